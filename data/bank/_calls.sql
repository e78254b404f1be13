-- One row per call, with the day it is placed on. The file has no dates: it has a month, a weekday, and rows in order of time.
with steps as (
    select *,
        list_position(['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'], month) as month_no,
        list_position(['mon', 'tue', 'wed', 'thu', 'fri'], day_of_week) as weekday_no
    from raw.calls
),
turns as (
    select *,
        coalesce(month_no <> lag(month_no) over (order by row_no), true) as is_new_month,
        coalesce(month_no < lag(month_no) over (order by row_no), false) as is_new_year,
        coalesce(weekday_no <> lag(weekday_no) over (order by row_no), true) as is_new_weekday,
        lag(weekday_no) over (order by row_no) as weekday_before
    from steps
),
months as (
    select *,
        count(*) filter (where is_new_month) over (order by row_no) as run_no,
        make_date(2008 + count(*) filter (where is_new_year) over (order by row_no), month_no, 1) as month_starts_on
    from turns
),
-- The earliest days that fit: the month's first day with the weekday, then each time the next day with the new weekday.
days_ahead as (
    select *,
        case
            when is_new_month then (weekday_no - isodow(month_starts_on) + 7) % 7
            when is_new_weekday then (weekday_no - weekday_before + 6) % 7 + 1
            else 0
        end as step_days
    from months
)
select *,
    month_starts_on + (sum(step_days) over (partition by run_no order by row_no))::integer as called_on
from days_ahead
