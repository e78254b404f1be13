-- One row per recorded change. A deal keeps its owner for life in this CRM, so the owner comes from the deal.
with owners as (
    select deal_id, min(rep_id) as rep_id, min(rep_team) as rep_team
    from deals
    group by deal_id
)

select
    "Deal ID" as deal_id,
    try_cast("Change" as integer) as change_no,
    try_cast("Changed On" as date) as entered_on,
    "Deal Stage" as stage,
    as_amount("Amount") as expected_amount,
    try_cast("Expected Close" as date) as expected_close_on,
    nullif("Competitor", 'Select') as competitor,
    owners.rep_id,
    owners.rep_team
from raw.deal_changes
left join owners on owners.deal_id = "Deal ID"
order by row_no
