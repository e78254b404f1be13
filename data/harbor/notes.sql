-- One row per remark. The export numbers none.
select
    printf('N%04d', row_no) as note_id,
    try_cast("Date" as date) as written_on,
    "From" as from_team,
    "Kind" as kind,
    nullif("Topic", '') as topic,
    "Remark" as text,
    nullif("Lead ID", '') as lead_id,
    nullif("Deal ID", '') as deal_id
from raw.notes
order by row_no
