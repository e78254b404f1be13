-- One row per campaign and month. A month's money is spread over its days.
select
    printf('S%04d', row_no) as spend_id,
    cast("Month" || '-01' as date) as starts_on,
    last_day(cast("Month" || '-01' as date)) as ends_on,
    "Channel" as channel,
    "Campaign" as campaign,
    as_amount("Cost") as spent_amount
from raw.spend
order by row_no
