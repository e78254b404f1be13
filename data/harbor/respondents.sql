-- One row per survey answer; the questions stand in market.toml under [items].
select
    "Response ID" as respondent_id,
    try_cast("Submitted" as date) as answered_on,
    nullif("Account ID", '') as account_id,
    "Job Function" as role,
    "Site Type" as site_type,
    "Number of Sites" as sites,
    "Region" as region,
    "Automation" as automation,
    "Throughput" as throughput,
    as_flag("Q1") as wants_integration,
    as_flag("Q2") as wants_multi_site,
    as_flag("Q3") as wants_security_proof,
    as_flag("Q4") as wants_fast_start,
    as_flag("Q5") as wants_low_price,
    as_flag("Q6") as wants_slot_booking,
    as_flag("Q7") as wants_berth_planning,
    as_flag("Q8") as wants_labour_planning,
    as_flag("Q9") as wants_compliance,
    as_flag("Q10") as wants_reporting,
    as_flag("Q11") as wants_mobile,
    as_flag("Q12") as wants_local_support
from raw.survey
