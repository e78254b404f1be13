select
    printf('D%05d', row_no) as deal_id,
    printf('L%05d', row_no) as lead_id,
    called_on as created_on,
    called_on as closed_on,
    'term deposit' as product,
    case y when 'yes' then 'won' when 'no' then 'lost' else y end as outcome
from _calls
