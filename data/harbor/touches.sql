-- One row per touch. The export numbers none, and gives a deal's touches without the lead and marketing's without channel.
with lead_facts as (
    select
        lead_id, min(channel) as channel, min(campaign) as campaign, min(rep_id) as rep_id, min(account_id) as account_id
    from leads
    group by lead_id
),

deal_facts as (
    select deal_id, min(lead_id) as lead_id, min(rep_id) as rep_id, min(account_id) as account_id
    from deals
    group by deal_id
),

touched as (
    select
        touches.*,
        coalesce(nullif("Lead ID", ''), deal_facts.lead_id) as lead_id,
        deal_facts.account_id as deal_account_id,
        deal_facts.rep_id as deal_rep_id
    from raw.touches as touches
    left join deal_facts on deal_facts.deal_id = "Deal ID"
)

select
    printf('T%05d', row_no) as touch_id,
    try_cast("Date" as date) as touched_on,
    touched.lead_id,
    nullif("Deal ID", '') as deal_id,
    coalesce(deal_account_id, lead_facts.account_id) as account_id,
    "Team" as from_team,
    "Direction" as direction,
    case when "Team" = 'marketing' then lead_facts.channel else "Type" end as channel,
    case when "Team" = 'marketing' then lead_facts.campaign end as campaign,
    nullif("Asset", '') as material_id,
    nullif("Role", '') as buying_role,
    case when "Team" = 'sales' then coalesce(deal_rep_id, lead_facts.rep_id) end as rep_id
from touched
left join lead_facts on lead_facts.lead_id = touched.lead_id
order by row_no
