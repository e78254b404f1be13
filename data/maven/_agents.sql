-- A code for every sales agent, so that no name goes further, and one agent more renumbers nobody.
select
    sales_agent,
    as_code(sales_agent) as rep_id,
    regional_office as rep_team
from raw.teams
