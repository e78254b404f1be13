-- A code for every sales agent, in alphabetical order, so that no name goes further.
select
    sales_agent,
    printf('rep-%02d', row_number() over (order by sales_agent)) as rep_id,
    regional_office as rep_team
from raw.teams
