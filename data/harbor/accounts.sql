-- One row per account that either team knows. "Select" is what a form shows before anybody chooses: missing.
select
    nullif("Account ID", '') as account_id,
    try_cast("Created Date" as date) as created_on,
    nullif("Site Type", '') as site_type,
    nullif("Number of Sites", '') as sites,
    nullif("Region", '') as region,
    nullif("Automation", 'Select') as automation,
    nullif("Throughput", '') as throughput,
    as_flag("Integration in Place") as is_integrated
from raw.accounts
