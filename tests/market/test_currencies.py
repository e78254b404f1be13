"""Amounts with signs or codes of several currencies in one column: no value is read as another one, and it is told."""

import pytest
from closedloop.market.reading.values import currencies, currency_in
from closedloop.market.staging.audit import take_audit
from closedloop.market.staging.findings import told
from closedloop.market.staging.ladder import Ladder

from .conftest import TinyMarket

TEXT = 'id,paid{}\nD1,"$1,200"{}\nD2,"€1,100.50"{}\nD3,1200 GBP{}\nD4,900{}\nD5,(AED 5.0k){}\n'
READ = "as_amount(paid)"
STRIPPED = "regexp_replace(paid, '[^0-9.]', '', 'g')::double"


def found(market: TinyMarket, text: str, paid: str, more: str = "") -> tuple[list[str], list[str | None]]:
    """What is told of the column, and the amounts."""
    select = f"select id as deal_id, 'won' as outcome, {paid} as won_amount from raw.deals"
    ladder = Ladder(market({"deals": text.encode()}, {"deals": select}, more))
    ladder.climb()
    findings = take_audit(ladder).findings
    rows = ladder.connection.execute("select won_amount::varchar from deals order by deal_id").fetchall()
    return [told(one) for one in findings.to_dict("records") if one["table"] == "raw.deals"], [cell for (cell,) in rows]


@pytest.mark.parametrize(("paid", "more"), [(READ, ""), ("paid", '[sources.deals.columns]\npaid = "amount"\n')])
def test_amounts_of_several_currencies_are_named_and_none_is_read_as_another(
    tiny_market: TinyMarket, paid: str, more: str
) -> None:
    text = TEXT.format(*[""] * 6)
    (said,), amounts = found(tiny_market, text, paid, more)
    assert said == (
        "check raw.deals.paid: amounts in '$' (1), '€' (1), 'GBP' (1), 'AED' (1), and the market counts in EUR; then "
        "what is not in EUR is missing, or sums and means mix currencies; to mend: export converted amounts, or the "
        "currency in a column of its own, and add rates.csv"
    )
    assert amounts == [None, "1100.50", None, "900.00", None]


def test_signs_that_a_select_strips_are_told(tiny_market: TinyMarket) -> None:
    (said,), amounts = found(tiny_market, TEXT.format(*[""] * 6), STRIPPED)
    assert amounts[0] == "1200.00"  # dollars as euros: the select says so, and the check that it is wrong
    assert "raw.deals.paid: amounts in '$' (1), '€' (1), 'GBP' (1), 'AED' (1)" in said


def test_a_column_that_tells_the_currency_settles_it(tiny_market: TinyMarket) -> None:
    assert found(tiny_market, TEXT.format(",unit", ",USD", ",EUR", ",GBP", ",EUR", ",AED"), STRIPPED)[0] == []


def test_one_currency_in_several_ways_is_one(tiny_market: TinyMarket) -> None:
    said, amounts = found(tiny_market, "id,paid\nD1,€5\nD2,5 EUR\nD3,5\nD4,eur 5\nD5,5 €\n", READ)
    assert (said, amounts) == ([], ["5.00"] * 5)


@pytest.mark.parametrize(
    ("text", "name"),
    [("$1,200", "$"), ("US$ 5", "US$"), ("1.2 M CHF", "CHF"), ("5k€", "€"), ("(kr. 5)", "kr."), ("12", ""),
     ("May 2024", ""), ("MAY 2024", ""), ("12 kg", ""), ("12 pcs", ""), ("12 AED", "AED"), ("soon", "")],
)  # fmt: skip
def test_the_sign_or_code_of_an_amount(text: str, name: str) -> None:
    assert currency_in(text) == name
    assert bool(currencies(name)) == bool(name)
