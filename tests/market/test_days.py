"""Up to which day the data go, and days that cannot be, or not yet."""

from datetime import date

import pytest
from closedloop.market.staging.audit import take_audit
from closedloop.market.staging.days import last_day
from closedloop.market.staging.ladder import Ladder

from .conftest import HEAD, TinyMarket

NOW = "closedloop.market.staging.findings.today"
LATEST = HEAD.replace("extracted_on = 2024-06-30", 'extracted_on = "latest"')


def dated(market: TinyMarket, days: list[str]) -> tuple[str | None, list[str], list[str]]:
    """The last day of deals that were created on these days, what is flagged, and what looks wrong with days."""
    rows = [f"D{i},{day},open" for i, day in enumerate(days)]
    ladder = Ladder(market({"deals": "\n".join(["deal_id,created_on,outcome", *rows])}, head=LATEST))
    ladder.climb()
    shown = take_audit(ladder).findings
    return (last_day(ladder.connection, ladder.columns), [action["reason"] for action in ladder.actions],
            [text for text in shown["what"] if "day" in text])  # fmt: skip


DAYS = [f"2024-{1 + i % 5:02d}-{1 + i % 28:02d}" for i in range(200)]


def test_one_day_of_another_year_does_not_move_the_end_of_a_small_file(
    tiny_market: TinyMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NOW, lambda _: date(2060, 1, 1))
    last, flags, texts = dated(tiny_market, [*DAYS, "2052-03-01"])
    assert (last, flags, texts) == ("2024-05-28", ["created_on after extracted_on"], [])


def test_a_lonely_day_of_the_same_year_is_told_and_believed(
    tiny_market: TinyMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NOW, lambda _: date(2060, 1, 1))
    assert dated(tiny_market, [*DAYS, "2024-11-28"]) == (
        "2024-11-28", [], ["2024-11-28 stands alone, 184 days behind all other days"]
    )  # fmt: skip
    sparse = [f"{2000 + i}-{1 + i % 3:02d}-11" for i in range(24)]  # a deal a year: no day is alone
    assert dated(tiny_market, sparse) == ("2023-03-11", [], [])


def test_days_to_come_are_told_by_the_clock(tiny_market: TinyMarket, monkeypatch: pytest.MonkeyPatch) -> None:
    for now, n in ((date(2024, 5, 28), 0), (date(2024, 5, 24), 2), (date(2024, 5, 21), 3)):
        monkeypatch.setattr(NOW, lambda _: now)  # noqa: B023
        _, _, texts = dated(tiny_market, DAYS[:60])
        assert len(texts) == (n > 0) and sum(text.count(" (1)") for text in texts) == n
        assert not n or texts[0].startswith(f"held days to come when it was imported, on {now}: 2024-05-")
