-- One row per lead. The milestones are dates; the status is the latest of them.
select
    nullif("Lead ID", '') as lead_id,
    try_cast("Create Date" as date) as created_on,
    nullif("Account ID", '') as account_id,
    "Original Source" as channel,
    "Campaign" as campaign,
    nullif("Test", '') as experiment,
    nullif("Test Arm", '') as arm,
    try_cast("Test Share" as double) as arm_rate,
    "Job Function" as role,
    nullif(leads."Owner", '') as rep_id,
    reps."Team" as rep_team,
    case greatest(
            try_cast("MQL Date" as date), try_cast("SAL Date" as date), try_cast("SQL Date" as date),
            try_cast("Recycled Date" as date), try_cast("Disqualified Date" as date)
        )
        when try_cast("SQL Date" as date) then 'sales_qualified'
        when try_cast("SAL Date" as date) then 'sales_accepted'
        when try_cast("Disqualified Date" as date) then 'disqualified'
        when try_cast("Recycled Date" as date) then 'recycled'
        when try_cast("MQL Date" as date) then 'marketing_qualified'
        else 'inquiry'
    end as status,
    nullif("Rejected Because", '') as rejection_reason,
    try_cast("MQL Date" as date) as marketing_qualified_on,
    try_cast("Hand-off Date" as date) as handed_off_on,
    try_cast("SAL Date" as date) as sales_accepted_on,
    try_cast("SQL Date" as date) as sales_qualified_on,
    try_cast("Recycled Date" as date) as recycled_on,
    try_cast("Disqualified Date" as date) as disqualified_on
from raw.leads as leads
left join raw.reps as reps on reps."Owner" = leads."Owner"
order by leads.row_no
