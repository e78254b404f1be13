with pipeline as (
    select *, case product when 'GTXPro' then 'GTX Pro' else product end as product_mended
    from raw.pipeline
)
select
    pipeline.opportunity_id as deal_id,
    nullif(pipeline.engage_date, '')::date as created_on,
    accounts.account_id,
    pipeline.product_mended as product,
    products.series,
    as_amount(products.sales_price) as list_amount,
    case when pipeline.deal_stage in ('Prospecting', 'Engaging') then pipeline.deal_stage end as stage,
    agents.rep_id,
    agents.rep_team,
    case
        when pipeline.deal_stage in ('Won', 'Lost') then lower(pipeline.deal_stage)
        when pipeline.deal_stage in ('Prospecting', 'Engaging') then 'open'
        else pipeline.deal_stage
    end as outcome,
    case when pipeline.deal_stage = 'Won' then as_amount(pipeline.close_value) end as won_amount,
    nullif(pipeline.close_date, '')::date as closed_on
from pipeline
left join accounts on accounts.name = pipeline.account
left join raw.products as products on products.product = pipeline.product_mended
left join _agents as agents on agents.sales_agent = pipeline.sales_agent
