"""Text is read as a value only where one reading exists; a declared style reads its own, and never another value."""

from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from closedloop.market.reading.values import ORDERS, Style, read, why_unreadable
from hypothesis import given
from hypothesis import strategies as st

PLAIN = Style("USD")
GERMAN = Style("EUR", ",", "DMY")
AMOUNTS = {
    # text: undeclared in USD, German in EUR
    "12": ("12", "12"),
    "1,234.50": ("1234.50", None),
    "1.234,50": ("1234.50", "1234.50"),
    "1.234": (None, "1234"),
    "1,234": (None, "1.234"),
    "0.123": ("0.123", None),
    "1 200": ("1200", "1200"),
    "1'200.50": ("1200.50", None),
    "$342.09K": ("342090.00", None),
    "2,5 Mio": ("2500000", "2500000"),
    "(500)": ("-500", "-500"),
    "500-": ("-500", "-500"),
    "−65437.00": ("-65437.00", None),
    "12.345.678": ("12345678", "12345678"),
    "12,34,567.5": ("1234567.5", None),
    ".5": ("0.5", None),
    "EUR 12": (None, "12"),
    "12 €": (None, "12"),
    "US$ 12": ("12", None),
    "JPY 12": (None, None),
    "12 kr": (None, None),
    "12,5o": (None, None),
    "1,234,56": (None, None),
    "1e6": (None, None),
    "--5": (None, None),
    "n/a": (None, None),
    "99999999999999999": (None, None),
}


@pytest.mark.parametrize(("text", "wanted"), AMOUNTS.items())
def test_amounts(text: str, wanted: tuple[str | None, str | None]) -> None:
    found = (read("amount", text, PLAIN), read("amount", text, GERMAN))
    assert found == tuple(None if value is None else Decimal(value) for value in wanted)


def test_why_an_amount_is_not_read_names_the_setting_or_the_currency() -> None:
    assert why_unreadable("amount", "1.234", PLAIN, "[sources.a]") == (
        "unreadable as an amount: it can be read in two ways; to mend: write decimal under [sources.a]"
    )
    assert why_unreadable("amount", "JPY 12", PLAIN, "[sources.a]") == (
        "unreadable as an amount: in JPY, and the market counts in USD"
    )
    assert why_unreadable("date", "03/04/2024", PLAIN, "[sources.a]").endswith("write dates under [sources.a]")
    assert why_unreadable("amount", "12", PLAIN, "[sources.a]") == ""


DAYS = {
    # text: undeclared, day first, month first
    "2024-03-31": ("2024-03-31",) * 3,
    "20240331": ("2024-03-31",) * 3,
    "2024/3/5": ("2024-03-05",) * 3,
    "03/04/2024": (None, "2024-04-03", "2024-03-04"),
    "31/12/2024": ("2024-12-31", "2024-12-31", None),
    "12/31/2024": ("2024-12-31", None, "2024-12-31"),
    "03/03/2024": ("2024-03-03",) * 3,
    "31.12.24": (None, "2024-12-31", None),
    "12. März 2024": ("2024-03-12",) * 3,
    "Mar 12, 2024": ("2024-03-12",) * 3,
    "3 de enero de 2024": ("2024-01-03",) * 3,
    "2024-02-30": (None,) * 3,
    "45382": (None,) * 3,
    "soon": (None,) * 3,
    "2024-03-31 23:30": ("2024-03-31",) * 3,
}


@pytest.mark.parametrize(("text", "wanted"), DAYS.items())
def test_days(text: str, wanted: tuple[str | None, ...]) -> None:
    styles = (PLAIN, Style("USD", None, "DMY"), Style("USD", None, "MDY"))
    assert tuple(None if (day := read("date", text, style)) is None else f"{day}" for style in styles) == wanted


PHOENIX = Style("USD", None, "MDY", None, ZoneInfo("America/Phoenix"))
TIMES = [
    ("2024-04-01T01:09:44Z", None, datetime(2024, 3, 31, 18, 9, 44)),
    ("2024-04-01 01:09:44+02:00", None, datetime(2024, 3, 31, 16, 9, 44)),
    ("4/1/2024 1:09 PM", None, datetime(2024, 4, 1, 13, 9)),
    ("4/1/2024, 12:30 AM", UTC, datetime(2024, 3, 31, 17, 30)),
    ("4/1/2024", UTC, datetime(2024, 4, 1)),  # a day without a time never moves
    ("4/1/2024 13:09 PM", None, None),
    ("4/1/2024 25:00", None, None),
]


@pytest.mark.parametrize(("text", "zone", "wanted"), TIMES)
def test_times_are_those_of_the_market(text: str, zone: object, wanted: datetime | None) -> None:
    style = Style("USD", None, "MDY", zone, ZoneInfo("America/Phoenix"))  # type: ignore[arg-type]
    assert read("time", text, style) == wanted
    day = read("date", text, style)
    assert day == (wanted.date() if wanted else None)
    assert not isinstance(day, datetime)


@pytest.mark.parametrize("text", ["WAHR", "Ja", "X", "✓", "on", "1.0", "oui", "sí", "waar", "sim"])
def test_what_says_yes(text: str) -> None:
    assert read("flag", text, PLAIN) is True


@pytest.mark.parametrize("text", ["FALSCH", "Nein", "0", "off", "non", "nee", "não"])
def test_what_says_no(text: str) -> None:
    assert read("flag", text, PLAIN) is False


@pytest.mark.parametrize(("text", "n"), [("1,234", 1234), ("12.0", 12), ("12.5", None), ("1 200", 1200), ("x", None)])
def test_counts_have_one_reading_where_only_one_is_whole(text: str, n: int | None) -> None:
    assert read("count", text, PLAIN) == n


@given(st.text("0123456789.,' -()$€kM", max_size=12))
def test_what_is_read_without_a_style_is_read_alike_or_not_at_all_with_one(text: str) -> None:
    found = read("amount", text, PLAIN)
    others = {value for mark in ".," if (value := read("amount", text, Style("USD", mark))) is not None}
    assert found is None or others == {found}
    assert (len(others) == 1) == (found is not None)


@given(st.decimals("-999999999", "999999999", places=2), st.sampled_from(".,"))
def test_every_amount_that_a_style_writes_is_read_back(value: Decimal, mark: str) -> None:
    whole, part = f"{value:,.2f}".split(".")
    text = f"{whole.replace(',', '.' if mark == ',' else ',')}{mark}{part}"
    assert read("amount", text, Style("USD", mark)) == value


@given(st.dates(date(1990, 1, 1), date(2100, 12, 31)), st.sampled_from(ORDERS), st.sampled_from("-/."))
def test_every_day_that_a_style_writes_is_read_back(day: date, order: str, mark: str) -> None:
    parts = {"Y": f"{day.year}", "M": f"{day.month:02d}", "D": f"{day.day:02d}"}
    text = mark.join(parts[letter] for letter in order)
    assert read("date", text, Style("USD", None, order)) == day
    assert read("date", text, PLAIN) in (day, None)
