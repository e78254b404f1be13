-- The first sales touch of each lead (touches of deals come later and do not count here).
select "Lead ID" as lead_id, min(try_cast("Date" as date)) as touched_on
from raw.touches
where "Team" = 'sales' and "Lead ID" <> ''
group by "Lead ID"
