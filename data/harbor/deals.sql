-- One row per deal. Channel and campaign are the lead's. What was not won is exported as 0: missing here.
with handed_off as (
    select lead_id, min(handed_off_on) as handed_off_on
    from leads
    where lead_id is not null
    group by lead_id
)

select
    "Deal ID" as deal_id,
    try_cast("Create Date" as date) as created_on,
    nullif("Lead ID", '') as lead_id,
    nullif("Account ID", '') as account_id,
    "Product" as product,
    case
        when first.touched_on - handed_off.handed_off_on <= 1 then 'within a day'
        when first.touched_on <= try_cast("Create Date" as date) then 'later'
    end as first_touch,
    "Deal Stage" as stage,
    as_amount("Amount") as expected_amount,
    try_cast("Expected Close" as date) as expected_close_on,
    nullif("Competitor", 'Select') as competitor,
    nullif(deals."Owner", '') as rep_id,
    reps."Team" as rep_team,
    case "Deal Status"
        when 'Closed Won' then 'won'
        when 'Closed Lost' then 'lost'
        when 'No Decision' then 'no_decision'
        when 'Open' then 'open'
    end as outcome,
    case when "Deal Status" = 'Closed Won' then as_amount("Won Amount") end as won_amount,
    nullif("Closed Reason", '') as loss_reason,
    try_cast("Close Date" as date) as closed_on
from raw.deals as deals
left join raw.reps as reps on reps."Owner" = deals."Owner"
left join handed_off on handed_off.lead_id = deals."Lead ID"
left join _first_touches as first on first.lead_id = deals."Lead ID"
order by deals.row_no
