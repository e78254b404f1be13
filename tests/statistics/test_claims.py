"""The ledger: q values, the table of verdicts, stable ids and claims outside the families."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from closedloop.claims.ledger import (
    CLAIM_COLUMNS,
    LOOK_COLUMNS,
    STATEMENT_COLUMNS,
    Origin,
    close_family,
    counted,
    estimated,
    false_discovery_q,
    outside,
    stacked,
    typed,
)
from closedloop.errors import ParameterError
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

WHERE = {"family": "how they end", "market": "harbor", "period": "2024-q4"}
PERIOD = {"market": "harbor", "period": "2024-q4"}
ORIGIN = Origin("05_deals", "totals", "deals", "2024-q1", "2024-q4")


def _looks(p, beyond, n=1000, baseline=0.30, unit="rate", log_deviation=np.nan):
    """One look a p value, otherwise alike."""
    rows = [
        {
            "measure": "win_rate",
            "unit": unit,
            "subject": "market",
            "field": "region",
            "level": f"level-{i}",
            "notebook": "05_deals",
            "estimate": 0.40,
            "baseline": baseline,
            "effect": 0.10,
            "n": n,
            "p": value,
            "beyond": beyond,
            "log_deviation": log_deviation,
        }
        for i, value in enumerate(p)
    ]
    return typed(rows, LOOK_COLUMNS)


def test_q_values_by_hand():
    """4 x .01 / 1, 4 x .02 / 2, 4 x .03 / 3 = .04; the last 4 x .5 / 4."""
    assert false_discovery_q(np.array([0.01, 0.02, 0.5, 0.03])) == pytest.approx([0.04, 0.04, 0.5, 0.04])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_q_values_equal_statsmodels(p):
    assert false_discovery_q(np.array(p)) == pytest.approx(multipletests(p, method="fdr_bh")[1])


def test_a_look_without_p_counts_in_the_family_and_is_refused():
    claims = close_family(_looks([0.04, np.nan], beyond=0.9), **WHERE)
    assert claims["q"][0] == pytest.approx(0.08)
    assert np.isnan(claims["q"][1])
    assert claims["family_size"].tolist() == [2, 2]
    assert claims["verdict"].tolist() == ["supported", "refused"]


@pytest.mark.parametrize(
    ("p", "beyond", "n", "verdict"),
    [
        (0.10, 0.51, 1000, "supported"),
        (0.10, 0.50, 1000, "leaning"),
        (0.10, 0.26, 1000, "leaning"),
        (0.10, 0.25, 1000, "indistinguishable"),
        (0.11, 0.99, 1000, "leaning"),
        (0.20, 0.10, 1000, "leaning"),
        (0.21, 0.99, 1000, "indistinguishable"),
        (0.21, 0.99, 354, "indistinguishable"),
        (0.21, 0.99, 353, "refused"),
        (0.10, 0.25, 353, "refused"),
        (0.01, 0.90, 20, "supported"),
    ],
)
def test_the_table_of_verdicts(p, beyond, n, verdict):
    """A family of one: q is p. At a base rate of 30 %, 10 points need 354."""
    claim = close_family(_looks([p], beyond, n), **WHERE).iloc[0]
    assert claim["q"] == pytest.approx(p)
    assert claim["needed_n"] == 354
    assert claim["verdict"] == verdict


def test_more_looks_make_the_same_p_value_weaker():
    alone = close_family(_looks([0.03], 0.9), **WHERE)
    in_company = close_family(_looks([0.03] + [0.9] * 19, 0.9), **WHERE)
    assert alone["verdict"][0] == "supported"
    assert in_company["verdict"][0] == "indistinguishable"


def test_a_stricter_rate_moves_the_watch_limit_unless_it_is_given():
    looks = _looks([0.03], 0.9)
    strict = close_family(looks, rate=0.10 / 8, **WHERE)
    watched = close_family(looks, rate=0.10 / 8, watch_rate=0.10, **WHERE)
    assert strict["verdict"][0] == "indistinguishable"
    assert watched["verdict"][0] == "leaning"


def test_the_smallest_difference_that_n_shows_is_printed():
    claims = close_family(_looks([0.5], 0.1, n=354), **WHERE)
    assert claims["visible_difference"][0] == pytest.approx(0.10, abs=5e-4)


def test_amounts_need_the_size_that_shows_a_quarter():
    """Deviation 0.5 of the logs: 2 x 7.849 x 0.25 / ln(1.25)^2 = 78.8; at n = 79 a quarter of 8,000 shows."""
    looks = _looks([0.5], 0.1, n=79, baseline=8000, unit="amount", log_deviation=0.5)
    claim = close_family(looks, **WHERE).iloc[0]
    assert claim["needed_n"] == 79
    assert claim["verdict"] == "indistinguishable"
    assert claim["visible_difference"] == pytest.approx(2000, abs=5)
    small = close_family(_looks([0.5], 0.1, n=78, baseline=8000, unit="days", log_deviation=0.5), **WHERE)
    assert small["verdict"][0] == "refused"


def test_an_unknown_deviation_cannot_show_anything():
    claim = close_family(_looks([0.5], 0.1, baseline=8000, unit="amount"), **WHERE).iloc[0]
    assert pd.isna(claim["needed_n"])
    assert claim["verdict"] == "refused"


def test_ids_are_stable_and_depend_on_what_is_claimed_not_on_the_answer():
    first = close_family(_looks([0.01, 0.5], 0.9), **WHERE)
    again = close_family(_looks([0.30, 0.9], 0.1, n=40), **WHERE)
    elsewhere = close_family(_looks([0.01, 0.5], 0.9), **(WHERE | {"period": "2025-q1"}))
    assert first["claim_id"].tolist() == again["claim_id"].tolist()
    assert first["claim_id"].is_unique
    assert not set(first["claim_id"]) & set(elsewhere["claim_id"])
    assert first["claim_id"][0] == "win-rate-" + first["claim_id"][0][-12:]


def test_the_ledger_has_its_columns_also_when_empty():
    full = close_family(_looks([0.01], 0.9), expires_on=date(2025, 3, 31), fingerprint="abc", **WHERE)
    empty = close_family(stacked([]), **WHERE)
    for ledger in (full, empty):
        assert ledger.dtypes.astype(str).to_dict() == dict(CLAIM_COLUMNS)
    assert len(empty) == 0
    assert full["expires_on"][0] == pd.Timestamp("2025-03-31")
    assert full["fingerprint"][0] == "abc"


@pytest.mark.usefixtures("python_texts")
def test_the_ledger_survives_parquet(tmp_path):
    counts = outside(counted([{"estimate": 7}], ORIGIN, measure="deals"), **PERIOD)
    ledger = stacked([close_family(_looks([0.01], 0.9), **WHERE), counts], CLAIM_COLUMNS)
    ledger.to_parquet(tmp_path / "claims.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "claims.parquet"), ledger)


def test_two_looks_at_the_same_thing_and_unknown_families_are_refused():
    with pytest.raises(ParameterError, match=r"found two looks at .*region / level-0"):
        close_family(pd.concat([_looks([0.1], 0.5)] * 2), **WHERE)
    with pytest.raises(ParameterError, match=r"family 'outcomes'; allowed are who they are, .* simplify, none"):
        close_family(_looks([0.1], 0.5), **(WHERE | {"family": "outcomes"}))


def test_looks_are_not_changed():
    looks = _looks([0.1], 0.5)
    before = looks.copy(deep=True)
    close_family(looks, **WHERE)
    pd.testing.assert_frame_equal(looks, before)


def test_estimates_stand_outside_the_families():
    rows = [{"estimate": 61, "low": 57, "high": 66, "n": 240, "field": "persona", "level": "fast"}]
    claim = outside(estimated(rows, ORIGIN, measure="sales_cycle_days", unit="days"), **PERIOD).iloc[0]
    assert (claim["verdict"], claim["family"], claim["kind"]) == ("estimated", "none", "descriptive")
    assert (claim["estimate"], claim["low"], claim["high"], claim["n"]) == (61, 57, 66, 240)
    assert claim[["p", "q", "baseline", "needed_n", "family_size"]].isna().all()


def test_a_claim_says_where_it_is_shown_and_what_it_was_made_of():
    claim = outside(counted([{"estimate": 3}], ORIGIN, measure="n_won"), fingerprint="abc", **PERIOD).iloc[0]
    assert (claim["notebook"], claim["cell"], claim["source_table"]) == ("05_deals", "totals", "deals")
    assert (claim["first_period"], claim["last_period"], claim["fingerprint"]) == ("2024-q1", "2024-q4", "abc")


def test_counts_are_exact_and_have_no_interval():
    stated = [
        *counted([{"estimate": 240}], ORIGIN, measure="n_deals"),
        *counted([{"estimate": 1_250_000.5, "n": 80}], ORIGIN, measure="won_amount", unit="amount"),
        *counted([{"estimate": 5_000}], ORIGIN, measure="spent_amount", unit="amount"),
    ]
    deals, money, unknown = typed(stated, STATEMENT_COLUMNS).to_dict("records")
    assert (deals["verdict"], deals["estimate"], deals["n"]) == ("counted", 240, 240)
    assert (money["estimate"], money["n"], money["unit"]) == (1_250_000.5, 80, "amount")
    assert pd.isna(unknown["n"]), "rows behind an amount are not known from the amount"
    assert np.isnan([deals["low"], money["high"]]).all()


def test_a_row_may_have_a_subject_of_its_own():
    rows = [{"estimate": 2, "subject": "fast"}, {"estimate": 3}]
    stated = typed(counted(rows, ORIGIN, measure="n", subject="everyone"), STATEMENT_COLUMNS)
    assert stated["subject"].tolist() == ["fast", "everyone"]
    assert stated[["field", "level", "within"]].eq("").all(axis=None)
    assert stated.dtypes.astype(str).to_dict() == dict(STATEMENT_COLUMNS)


def test_like_compared_with_like_is_another_claim_than_the_crude_one():
    rows = [{"estimate": 0.1, "field": "plan", "level": "plus", "within": within} for within in ("", "region")]
    ids = outside(estimated(rows, ORIGIN, measure="win_rate_difference", unit="points"), **PERIOD)["claim_id"]
    assert ids.is_unique
    with pytest.raises(ParameterError, match="found two looks at"):
        outside(estimated([rows[0]] * 2, ORIGIN, measure="x"), **PERIOD)


def test_unknown_units_and_kinds_are_refused():
    with pytest.raises(ParameterError, match="unit 'eur'; allowed are rate"):
        counted([{"estimate": 5}], ORIGIN, measure="won_amount", unit="eur")
    with pytest.raises(ParameterError, match="kind 'cause'"):
        estimated([{"estimate": 0.1}], ORIGIN, measure="x", kind="cause")
