select
    printf('A%03d', row_no) as account_id,
    account as name,
    case sector when 'technolgy' then 'technology' else sector end as sector,
    case office_location when 'Philipines' then 'Philippines' else office_location end as country,
    year_established::integer as established_year,
    -- The file counts millions of dollars.
    (as_amount(revenue) * 1000000)::decimal(18, 2) as revenue_amount,
    employees::integer as n_employees,
    nullif(subsidiary_of, '') is not null as is_subsidiary
from raw.accounts
