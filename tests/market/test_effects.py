"""Whatever is done to rows says what it does to the notebooks, and how to mend it."""

from closedloop.market.contract import TABLES
from closedloop.market.definition import read_definition
from closedloop.market.reading import lines
from closedloop.market.staging import checks
from closedloop.market.staging.audit import take_audit
from closedloop.market.staging.effects import effect
from closedloop.market.staging.ladder import Ladder

from .conftest import TinyMarket

OTHERWISE = effect("flag", "something that nobody thought of")
OF_FILES = (lines.UNFIT, lines.UNCLOSED, lines.AFTER_QUOTE, lines.TOO_LONG, lines.FOOTER, lines.CUT_OFF, lines.TOTAL,
            lines.AGAIN)  # fmt: skip


def test_every_contradiction_and_every_line_set_aside_has_texts_of_its_own() -> None:
    every = {table.name: [column.name for column in table.columns] for table in TABLES.values()}
    reasons = [flag.reason for flag in checks.flags_for(read_definition("harbor"), every)]
    assert len(reasons) > 60
    for reason in (*reasons, *OF_FILES):
        assert effect("flag", reason) != OTHERWISE, reason
    assert effect("flag", "campaign_id not found in leads")[1] == "export the missing leads too, or mend the id"


def test_one_reason_costs_a_row_or_a_cell() -> None:
    assert effect("set aside", "not in list")[0] == "its row counts nowhere"
    assert effect("empty the cell", "not in list")[0] == "it counts as missing"
    assert "rates.csv" in effect("empty the cell", "unreadable as an amount: in $, and the market counts in EUR")[1]
    assert effect("set aside", lines.TOTAL)[0] == "it is no record: nothing is missing"


def test_nothing_that_was_done_is_without_effect_and_mend(tiny_market: TinyMarket) -> None:
    deals = """
        deal_id,created_on,closed_on,outcome,won_amount,loss_reason,stage
        D1,2024-01-09,2024-01-02,won,-5,,
        D1,2024-01-05,,won,7,price,
        D2,2024-01-05,,gone,,,
        D3,,,open,,,x
        ,2024-01-05,,open,,,
        D4,2024-01-05
    """
    ladder = Ladder(tiny_market({"deals": deals}))
    ladder.climb()
    done = take_audit(ladder).actions
    assert {"set aside", "empty the cell", "flag"} <= set(done["action"])
    assert done["effect"].str.len().min() > 0 and done["mend"].str.len().min() > 0
    for action in done.to_dict("records"):
        assert (action["effect"], action["mend"]) != OTHERWISE, action
        assert checks.told(action).endswith(f"; then {action['effect']}; to mend: {action['mend']}")
