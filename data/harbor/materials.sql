-- One row per text of the team. None is written for a persona: its topic (a need) leads to the personas that have it.
select
    "ID" as material_id,
    try_cast("Added" as date) as added_on,
    "Kind" as kind,
    "Title" as title,
    "Text" as text,
    cast(null as varchar) as persona,
    nullif("Role", '') as buying_role,
    nullif("Stage", '') as stage,
    nullif("Competitor", '') as competitor,
    nullif("Topic", '') as topic,
    try_cast("Retired" as date) as retired_on
from raw.materials
