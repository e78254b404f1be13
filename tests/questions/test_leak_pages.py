"""Columns that know the answer: what is named, what it rests on, what was done."""

from collections.abc import Sequence

import pandas as pd
from closedloop.claims.ledger import Origin
from closedloop.presentation.blocks import Piece
from closedloop.questions.leads import conversions
from closedloop.questions.research import sample

from tests.documents.ledger import HOSTILE, Draft, plain, seen

ORIGIN = Origin("03_leads", "leaks", "leads", "2024-q1", "2024-q4")


def found(finding: str, name: str = "seconds", why: str = "tells the outcome too well") -> dict[str, pd.DataFrame]:
    """One column with this finding beside an honest one, as the verb leaves them."""
    rows = [
        {"column": name, "known": "creation", "finding": finding, "why": why if finding else "", "advice": "Move it."},
        {"column": "sites", "known": "research", "finding": "", "why": "", "advice": ""},
    ]
    return {"leaks": pd.DataFrame(rows).assign(table="leads")}


def drafted(name: str = "seconds") -> Draft:
    """How well both columns tell the outcome, and when the first is filled."""
    areas = [
        {"field": name, "estimate": 0.89, "low": 0.88, "high": 0.9, "baseline": 0.8, "n": 5000},
        {"field": "sites", "estimate": 0.61, "low": 0.58, "high": 0.64, "baseline": 0.8, "n": 5000},
    ]
    draft = Draft()
    draft.estimate(areas, ORIGIN, "column_auc", unit="ratio", kind="predictive")
    draft.count([{"field": name, "estimate": 0.25}], ORIGIN, "lost_filled_rate", unit="rate")
    return draft


def shown(finding: str, claims: pd.DataFrame | None = None, **more: str) -> Sequence[Piece]:
    own = drafted(more.get("name", "seconds")).claims() if claims is None else claims
    return conversions._show_leaks(seen(own, tables=found(finding, **more)), "")


def html_of(pieces: Sequence[Piece]) -> str:
    return "".join(piece._repr_html_() for piece in pieces)


def test_an_alarm_is_named_with_its_figures_and_kept_out() -> None:
    text = plain(shown("alarm"))
    assert (
        "seconds (seconds): tells the outcome too well; kept out of scores, comparisons, segments and rules. Move it."
        in text
    )
    assert "0.89 (0.88–0.9, n = 5,000)" in text
    assert "25 %" in text
    assert "The most telling column that is no leak, number of sites, has an AUC of 0.61 alone" in text
    assert "of a leak the whole interval lies above 0.8." in text
    assert "No column looks like a leak." not in text


def test_a_remark_is_named_and_nothing_was_kept_out() -> None:
    text = plain(shown("remark"))
    assert "seconds (seconds): tells the outcome too well. Move it." in text
    assert "kept out" not in text


def test_columns_that_tell_together_are_listed_with_what_they_reach() -> None:
    together = [{"field": "seconds", "estimate": 0.93, "low": 0.91, "high": 0.95, "baseline": 0.8, "n": 5000}]
    draft = drafted()
    draft.estimate(together, ORIGIN, "together_auc", unit="ratio", kind="predictive")
    text = plain(shown("alarm", draft.claims(), why="tells together"))
    assert "AUC together with those below" in text
    assert "0.89 (0.88–0.9, n = 5,000) 0.93 (0.91–0.95, n = 5,000)" in text


def test_a_level_that_no_won_record_has_is_one_line_of_its_column() -> None:
    why = "has a level that no won record has: 'Proposal' (0 of 61 won)"
    row = [{"field": "seconds", "level": "Proposal", "estimate": 0.0, "low": 0.0, "high": 0.04, "n": 61}]
    draft = drafted()
    draft.estimate(row, ORIGIN, "level_won_rate")
    claims = draft.claims()
    pieces = shown("remark", claims, why=why)
    text = plain(pieces)
    assert f"seconds (seconds): {why}. Move it." in text
    assert "kept out" not in text
    assert text.count("0.89 (0.88–0.9, n = 5,000)") == 1
    assert claims.set_index("measure").loc["level_won_rate", "claim_id"] in html_of(pieces)


def test_fields_that_nobody_is_compared_by_are_told_with_the_sample() -> None:
    known = Origin("01_research", "sample", "deals", "2025-q1", "2025-q1")
    rows = [{"field": "account_hash", "level": "an identifier", "estimate": 495, "n": 512}]
    draft = Draft()
    for name, n in (("n_rows", 512), ("n_columns", 4), ("n_advised", 240)):
        draft.count([{"estimate": n}], known, name)
    draft.count(rows, known, "n_values")
    text = plain(sample._show_size(seen(draft.claims()), ""))
    assert (
        "account hash (account_hash of deals) looks like an identifier: 495 values among 512 records; it is kept out "
        "of rules, segments, comparisons and scores. List it under [checked] of market.toml if it is a field."
    ) in text


def test_honest_columns_are_said_to_be_honest() -> None:
    text = plain(shown(""))
    assert "No column looks like a leak." in text
    assert "The most telling column that is no leak, seconds, has an AUC of 0.89 alone" in text


def test_every_sentence_with_figures_names_its_claims() -> None:
    html = html_of(shown("alarm"))
    for claim in drafted().claims()["claim_id"]:
        assert claim in html


def test_hostile_names_and_texts_never_become_tags() -> None:
    html = html_of(shown("alarm", name=HOSTILE, why=HOSTILE))
    assert "<script" not in html
    assert "<img src=x" not in html
