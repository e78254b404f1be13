"""A tiny market that knows in which order things happened and nothing of days."""

from pathlib import Path

from closedloop.market.definition import Definition

from .conftest import write_market

HEAD = """\
title = "Queue"
licence = "CC0-1.0"
currency = "EUR"
clock = "order"
extracted_on = 2001-09-20        # position 628
[periods]
first = "p002"
length = 210
"""
_AT = "date '2000-01-01' + "
_SELECTS = {
    "_queue": "select * replace (came::integer as came) from raw.queue",
    "leads": f"""select lead_id, {_AT} came as created_on, {_AT} came as handed_off_on, channel, size,
        case when (came % 3) > 0 then {_AT} (came + 2) end as sales_accepted_on,
        case when (came % 3) = 0 then {_AT} (came + 3) end as recycled_on from _queue""",
    "deals": f"""select 'D' || lead_id as deal_id, lead_id, {_AT} came as created_on, outcome, 'acme' as competitor,
        case when outcome <> 'open' then {_AT} (came + 5) end as closed_on,
        case when outcome = 'won' then 100 + came end as won_amount from _queue""",
    "touches": f"""select 'T' || lead_id as touch_id, lead_id, {_AT} (came + 1) as touched_on,
        'sales' as from_team from _queue""",
    "spend": f"""select 'S' || came as spend_id, {_AT} came as starts_on, channel, 5.0 as spent_amount
        from _queue""",
}


def order_market(root: Path) -> Definition:
    """Leads at the positions 1 to 620, each with a deal; those before 590 are decided, web more often won than fair."""
    lines = ["lead_id,came,channel,size,outcome"]
    for i in range(1, 621):
        channel, outcome = ("web", "fair")[i % 2], ("won", "lost")[(i * 7 + i // 2) % (3 + i % 2) > 0]
        lines.append(f"L{i},{i},{channel},{('big', 'small')[i // 3 % 2]},{'open' if i >= 590 else outcome}")
    files: dict[str, str | bytes] = {"queue": "\n".join(lines).encode()}
    deals = '\n[deals]\nstages = []\noutcomes = ["won", "lost"]\n'
    more = '[fields.leads]\ncreation = ["size"]\n[goals.p003]\nfirst_touch_days = 2\nn_leads = 100\n'
    return write_market(root, files, _SELECTS, more, HEAD, deals)
