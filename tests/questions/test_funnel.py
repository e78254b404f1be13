"""How far leads come, against the records themselves."""

from types import SimpleNamespace

import pandas as pd
import pytest
from closedloop import funnel
from closedloop.errors import ParameterError
from closedloop.market.warehouse import open_warehouse
from scipy.stats import norm

from tests.questions.periods import everyone, planning

STATUSES = ["inquiry", "marketing_qualified", "handed_off", "sales_accepted", "sales_qualified", "won"]


def by_level(found: pd.DataFrame, measure: str) -> pd.DataFrame:
    return found[found["measure"] == measure].set_index("level")


def test_each_status_counts_the_records_of_the_window(planned: SimpleNamespace) -> None:
    n = by_level(planned.funnel.claims, "n_reached")["estimate"]
    assert list(n.index) == STATUSES
    rows = open_warehouse("harbor").frame("leads")
    days = rows.filter(like="_on").apply(pd.to_datetime)
    known = days.where(days < "2025-04-01")
    placed = known["handed_off_on"].fillna(known["created_on"])
    inside = known[(known["created_on"] < "2025-04-01") & (placed >= "2024-04-01")]
    assert n["inquiry"] == len(inside) == planned.funnel.results["n_leads"] > 3_000
    for status in STATUSES[1:-1]:
        assert n[status] == inside[f"{status}_on"].notna().sum()


def test_conversion_is_of_those_at_the_status_before(planned: SimpleNamespace) -> None:
    n, rate = (by_level(planned.funnel.claims, name) for name in ("n_reached", "conversion_rate"))
    assert list(rate.index) == STATUSES[1:]
    assert rate["n"].tolist() == n["estimate"].iloc[:-1].tolist()
    assert (rate["estimate"] * rate["n"] <= n["estimate"].iloc[1:] + 1e-9).all()
    k, size, z = n.loc["sales_accepted", "estimate"], n.loc["handed_off", "estimate"], norm.isf(0.05)
    middle, half = (k + z * z / 2) / (size + z * z), z * (k * (size - k) / size + z * z / 4) ** 0.5 / (size + z * z)
    assert rate.loc["sales_accepted", ["low", "high"]].astype(float).tolist() == pytest.approx(
        [middle - half, middle + half]
    ), "Wilson's interval, written out"


def test_the_page_names_the_narrowest_step(planned: SimpleNamespace) -> None:
    rate = by_level(planned.funnel.claims, "conversion_rate")["estimate"]
    assert rate.idxmin() == "won"
    assert f"So far the narrowest step is to won: {rate['won']:.0%}".replace("%", " %") in repr(
        planned.funnel.sentence
    ).replace("\N{NO-BREAK SPACE}", " ")


def test_rows_that_are_no_leads_are_refused_and_none_are_calm(tmp_path) -> None:
    now = planning("harbor", "2025-q2", everyone(), tmp_path)
    with pytest.raises(ParameterError, match=r"funnel: these .* rows are no leads of the open period"):
        funnel(now.leads().reset_index(drop=True))
    nobody = funnel(now.leads().head(0))
    assert nobody.missing == {"funnel": "No lead of the periods looked at is among those that were chosen."}
    few = funnel(now.leads().head(7))
    assert few.missing["funnel"].startswith("7 leads of the last periods were known, fewer than 10")
