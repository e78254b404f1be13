"""Sections: every one answers or says what is missing; sentences are computed by hand here."""

import numpy as np
import pandas as pd
import pytest
from closedloop.documents.pieces import Missing
from closedloop.documents.sections import catalogue
from closedloop.documents.sections.catalogue import SECTIONS, bottom_line, render
from closedloop.errors import ParameterError

from tests.documents.ledger import HOSTILE, claims, definition, evidence

NAN = float("nan")


def plain(shown: object) -> str:
    """What is shown, as text with plain spaces."""
    return repr(shown).replace("\N{NO-BREAK SPACE}", " ")


def shares(**columns: object) -> pd.DataFrame:
    """A table of shares with intervals."""
    return pd.DataFrame({"share": [0.6, 0.4], "low": [0.5, 0.3], "high": [0.7, 0.5], "n": [60, 40], **columns})


TABLES = {
    "research": {
        "sample": pd.DataFrame([["respondents", 900, 12, 720]], columns=["source", "n", "n_items", "n_needed"]),
        "criteria": pd.DataFrame({"k": [2, 3], "ari_median": [0.9, 0.8], "ari_null_median": [0.1, 0.1]}),
        "slsw": pd.DataFrame(
            {"k": [2, 2, 3], "segment": ["0", "1", "0"], "slsw": [0.9, 0.8, 0.2], "size": [60, 40, 9]}
        ),
        "profile": pd.DataFrame(
            {
                "segment": ["0", "1"] * 2,
                "item": ["wants_price"] * 2 + ["product=plan"] * 2,
                "share": [0.9, 0.1, 0.5, 0.45],
                "market_share": 0.5,
                "n": [60, 40] * 2,
            }
        ),
        "segments": shares(segment=["0", "1"], n_accounts=[120.0, 80.0]),
    },
    "personas": {
        "personas": shares(persona=["fast", "slow"], name=["Fast start", "Slow"], is_assumed=[False, True]),
        "rules": pd.DataFrame({"persona": ["fast"], "sentence": ["sites is 1"]}),
        "nearest": pd.DataFrame(
            {
                "persona": ["fast"],
                "nearest": ["slow"],
                "distance": [0.2],
                "field": ["wants_price"],
                "level": ["yes"],
                "share": [0.8],
                "nearest_share": [0.1],
            }
        ),
        "prevalence": pd.DataFrame(
            {"persona": ["fast"], "n_traits": [3], "n": [60], "n_all": [9], "n_all_but_one": [30]}
        ),
        "changes": pd.DataFrame({"persona": ["fast"], "change": ["adjusted"], "detail": ["larger"]}),
    },
    "leads": {
        "funnel": pd.DataFrame(
            {
                "status": ["inquiry", "handed_off", "won"],
                "n": [100, 50, 5],
                "rate": [1.0, 0.5, 0.1],
                "low": [0.9, 0.4, 0.05],
                "high": [1.0, 0.6, 0.2],
            }
        ),
        "channels": pd.DataFrame(
            {
                "channel": ["search", "fair"],
                "n_leads": [80, 20],
                "n_accepted": [40, 5],
                "n_won": [10, 1],
                "spent_amount": [1000.0, 900.0],
                "cost_per_accepted_amount": [25.0, 180.0],
                "cost_per_won_amount": [100.0, 900.0],
            }
        ),
        "experiments": pd.DataFrame(
            {
                "experiment": ["opening"],
                "arm": ["short"],
                "n": [100],
                "k": [60],
                "rate": [0.6],
                "low": [0.5],
                "high": [0.7],
            }
        ),
        "quality": pd.DataFrame(
            {"model": ["logistic"], "brier": [0.2], "ece": [0.03], "auc": [0.7], "auc_within": [0.6], "n": [90]}
        ),
        "calibration": pd.DataFrame(
            {"predicted": [0.1, 0.5], "observed": [0.2, 0.5], "low": [0.15, 0.4], "high": [0.3, 0.6], "n": 40}
        ),
        "next_leads": pd.DataFrame(
            {
                "record_id": ["L1"],
                "persona": ["fast"],
                "score": [0.4],
                "rank": [1],
                "reasons": ["sites: 1 (+)"],
                "channel": ["search"],
                "created_on": pd.to_datetime(["2025-01-02"]),
                "slot": ["ranked"],
            }
        ),
    },
    "handoff": {
        "promises": pd.DataFrame(
            {
                "promise": ["n_leads", "accepted_rate"],
                "team": ["marketing"] * 2,
                "promised": [100, 0.6],
                "observed": [120, 0.5],
                "is_kept": [True, False],
            }
        ),
        "waterfall": pd.DataFrame({"status": ["handed_off", "waiting"], "n": [50, 5], "share": [1.0, 0.1]}),
        "first_touch": pd.DataFrame(
            {
                "group": ["all", "channel"],
                "level": ["all", "search"],
                "n": [50, 9],
                "median_days": [4.0, 3.0],
                "p90_days": [NAN, 9.0],
                "never_share": [0.25, 0.1],
            }
        ),
        "rejections": shares(reason=["too_early", "no_need"]),
        "disagreements": pd.DataFrame({"kind": ["rejected, yet won later"], "n": [3], "n_of": [40]}),
        "questions": pd.DataFrame({"question": ["What should marketing ask first?"]}),
    },
    "deals": {
        "totals": pd.DataFrame({"outcome": ["won", "lost", "no_decision", "open"], "n": [30, 60, 0, 10]}),
        "win_rates": pd.DataFrame(
            {
                "definition": ["narrow", "broad"],
                "estimate": [0.33, 0.3],
                "low": [0.25, 0.2],
                "high": [0.4, 0.4],
                "n": [90, 95],
            }
        ),
        "curve": pd.DataFrame(
            {
                "day": [0, 50] * 2,
                "cause": ["won"] * 2 + ["lost"] * 2,
                "estimate": [0, 0.3, 0, 0.5],
                "low": 0.0,
                "high": [0, 0.4, 0, 0.6],
                "n_at_risk": [100, 10] * 2,
            }
        ),
        "cycle": pd.DataFrame(
            {"field": ["all"], "level": ["all"], "n": [30], "median_days": [54.0], "low": [50], "high": [60]}
        ),
        "amounts": pd.DataFrame(
            {
                "field": ["all", "product"],
                "level": ["all", "plan"],
                "n": [30, 12],
                "median_amount": [10, 20],
                "mean_amount": [1000.0, 2500.0],
                "low": [900, 2000],
                "high": [1100, 3000],
            }
        ),
        "loss_reasons": pd.DataFrame(
            {
                "source": ["rep", "buyer"],
                "reason": ["price", "trust"],
                "n": [20, 12],
                "share": [0.5, 0.6],
                "low": [0.4, 0.3],
                "high": [0.6, 0.8],
            }
        ),
        "adjusted": pd.DataFrame(
            {
                "field": ["product"],
                "level": ["plan"],
                "crude": [-0.08],
                "adjusted": [0.11],
                "low": [0.05],
                "high": [0.2],
                "is_reversed": [True],
                "confounder": ["sites"],
            }
        ),
        "reps": pd.DataFrame({"n_reps": [12], "n_deals": [90], "p": [0.4], "is_beyond_luck": [False]}),
    },
    "refinement": {
        "duel": pd.DataFrame(
            {
                "contender": ["proposal", "in force"],
                "log_loss": [0.6, 0.65],
                "auc_within": [0.6, 0.55],
                "n": [200, 200],
                "gain": [0.05, 0.0],
                "gain_low": [0.01, 0.0],
                "gain_high": [0.09, 0.0],
            }
        ),
        "promises": pd.DataFrame(
            {
                "persona": ["fast"],
                "promised_low": [0.4],
                "promised_high": [0.52],
                "observed": [0.44],
                "n": [80],
                "is_kept": [True],
            }
        ),
        "edits": pd.DataFrame(
            {
                "persona": ["fast"],
                "edit": ["split"],
                "field": ["sites"],
                "level": ["1"],
                "effect": [-0.12],
                "n": [70],
                "p": [0.001],
                "q": [0.01],
                "status": ["permanent"],
                "reverts_when": ["the sign turns"],
            }
        ),
        "drift": pd.DataFrame({"kind": ["mix"], "statistic": [9.0], "p": [0.01], "is_drift": [True]}),
    },
    "review": {
        "promises": pd.DataFrame(
            {"promise": ["n_leads"], "team": ["marketing"], "promised": [100], "observed": [NAN], "is_kept": [None]}
        ),
        "changes": pd.DataFrame({"persona": ["fast"], "change": ["split"], "detail": ["by sites"]}),
        "asks": pd.DataFrame({"team": ["sales"], "ask": ["Touch every lead."]}),
    },
}
RESULTS = {
    "recommended_k": 2, "verdict": "reproducible", "lowest_k": 2, "highest_k": 7, "rule_error": 0.2, "guess_error": 0.5,
    "n_handed_off": 50, "accepted_rate": 0.6, "first_touch_median_days": 4.0, "never_touched_share": 0.25,
    "sales_cycle_days": 54.0, "score_verdict": "usable", "shown_as": "probability", "prospects": "leads", "n_watch": 1,
}  # fmt: skip

SAID = [
    ("research", "sample", "900 rows of respondents for 12 columns: enough."),
    ("research", "criteria", "2 segments are used; verdict: reproducible; the criteria name 2 to 7."),
    ("research", "slsw", "The weakest segment is segment 1: found again at 0.80 on a scale to 1."),
    ("research", "profile", "The segments differ most on: wants price, product: Yard Plan."),
    ("research", "segments", "The largest is segment 0: 60 % of the market (50–70 %), about 120 known accounts."),
    ("personas", "personas", "2 personas; 1 still assumed, without outcomes of its own."),
    ("personas", "rules", "The rule errs on 20 % of unseen cases, guessing the largest persona on 50 %."),
    ("personas", "nearest", "Most easily confused: Fast start and slow."),
    ("personas", "prevalence", "9 of 60 real records match every trait of their description."),
    ("personas", "changes", "1 change since the last period."),
    ("leads", "funnel", "The narrowest step is to won: 10 % (5–20 %)."),
    ("leads", "channels", "Lowest cost per won deal: search, EUR 100 (10 won deals)."),
    ("leads", "quality", "Verdict: usable; scores are shown as probabilities."),
    ("leads", "calibration", "In 1 of 2 groups the prediction lies within the 90 % interval of what happened."),
    ("leads", "next_leads", "1 open leads in order; internal: record ids lead back to the CRM."),
    ("handoff", "promises", "1 of 2 promises were kept."),
    ("handoff", "waterfall", "50 leads were handed off; sales accepted 60 %."),
    ("handoff", "first_touch", "The median lead waited 4 days; 25 % were never touched by sales."),
    ("handoff", "rejections", "Named most often: too early, 60 % (50–70 %, n = 60)."),
    ("handoff", "disagreements", "3 leads are worth a joint look."),
    ("handoff", "questions", "What should marketing ask first?"),
    ("deals", "totals", "100 deals: 30 won, 60 lost, 0 no decision, 10 still open."),
    ("deals", "win_rates", "33 % won of won and lost (25–40 %, n = 90)."),
    ("deals", "curve", "30 % of all deals are won within 50 days (0–40 %)."),
    ("deals", "cycle", "A won deal typically takes 54 days; half are faster."),
    ("deals", "amounts", "Largest mean amount: product: Yard Plan, EUR 2,500;"),
    ("deals", "loss_reasons", "By the buyer's account: trust first, 60 % (30–80 %, n = 12)."),
    ("deals", "adjusted", "1 difference turns round once like meets like."),
    ("deals", "reps", "12 sellers with 90 decided deals differ no more than luck would make them (p = 0.4): no league table."),
    ("refinement", "duel", "Verdict: reproducible."),
    ("refinement", "promises", "1 of 1 promised win rates came true."),
    ("refinement", "edits", "1 edits hold, 0 to watch."),
    ("refinement", "drift", "The market drifts in: mix."),
    ("review", "promises", "No promise could be judged yet."),
    ("review", "asks", "1 request for the next period."),
]  # fmt: skip


@pytest.mark.parametrize(("step", "name", "sentence"), SAID, ids=[f"{step}-{name}" for step, name, _ in SAID])
def test_each_section_says_one_computed_sentence(step: str, name: str, sentence: str) -> None:
    assert sentence in plain(render(step, name, evidence(step, TABLES[step], results=RESULTS)))


@pytest.mark.parametrize(("step", "name"), SECTIONS)
def test_a_section_without_data_is_calm(step: str, name: str) -> None:
    shown = render(step, name, evidence(step, {}, missing={name: f"No {name}. Collect it."}))
    assert f"No {name}. Collect it." in plain(shown)
    assert "nan" not in plain(shown).lower()


@pytest.mark.parametrize(("step", "name"), [key for key, section in SECTIONS.items() if section.tables])
def test_an_empty_table_is_missing_and_not_an_error(step: str, name: str) -> None:
    empty = {key: frame.head(0) for key, frame in TABLES[step].items()}
    shown = render(step, name, evidence(step, empty, results=RESULTS))
    assert isinstance(shown.pieces[0], Missing)


@pytest.mark.parametrize(("step", "name"), SECTIONS)
def test_hostile_text_never_becomes_a_tag(step: str, name: str) -> None:
    poisoned = {
        key: frame.map(lambda cell: HOSTILE if isinstance(cell, str) else cell) for key, frame in TABLES[step].items()
    }
    ledger = claims({"field": HOSTILE, "level": HOSTILE, "subject": HOSTILE, "notebook": "05_deals"})
    hostile = {**RESULTS, "verdict": HOSTILE, "score_verdict": HOSTILE, "prospects": HOSTILE}
    html = render(step, name, evidence(step, poisoned, ledger, results=hostile, missing={"x": HOSTILE}))._repr_html_()
    assert "<script" not in html
    assert "<img src=x" not in html


@pytest.mark.parametrize("step", TABLES)
def test_the_bottom_line_is_one_to_three_sentences(step: str) -> None:
    for results in ({}, RESULTS):
        lines = bottom_line(evidence(step, TABLES[step], claims({}), results=results)).pieces[0].items
        assert 1 <= len(lines) <= 3
        assert all(line.endswith((".", ")")) for line in lines)


def test_the_largest_effect_that_holds_leads_and_nothing_is_said_when_none_does() -> None:
    held = bottom_line(
        evidence("deals", {}, claims({"verdict": "refused", "effect": 0.5}, {"level": "1"}), results=RESULTS)
    )
    assert "Number of sites: 1 – won more often" in plain(held)
    none = bottom_line(evidence("deals", {}, claims({"verdict": "refused"}), results=RESULTS))
    assert "The data show no difference by number of sites" in plain(none)


def test_small_groups_are_not_shown_with_attributes() -> None:
    ledger = claims({"level": "rare", "n": 9}, {"level": "common", "n": 10})
    text = plain(render("deals", "findings", evidence("deals", {}, ledger)))
    assert "common" in text
    assert "rare" not in text
    assert "search" not in plain(
        render("handoff", "first_touch", evidence("handoff", TABLES["handoff"], results=RESULTS))
    )


def test_sellers_are_ranked_only_when_they_differ_by_more_than_luck() -> None:
    ledger = claims({"field": "rep_id", "level": "rep-07", "n": 60})
    calm = {"reps": TABLES["deals"]["reps"]}
    differ = {"reps": calm["reps"].assign(is_beyond_luck=True)}
    assert "rep-07" not in plain(render("deals", "findings", evidence("deals", calm, ledger)))
    assert "rep-07" in plain(render("deals", "findings", evidence("deals", differ, ledger)))


def test_an_outcome_that_the_source_cannot_record_is_left_out() -> None:
    shown = evidence("deals", TABLES["deals"], results=RESULTS)
    declared = definition(deals={"stages": [], "outcomes": ["won", "lost"]})
    limited = catalogue.Evidence(type(shown.words)(declared), "all", shown.step, shown.claims)
    assert "no decision" not in plain(render("deals", "totals", limited))
    assert "no decision" not in plain(render("deals", "win_rates", limited))


def test_scores_are_hidden_unless_they_are_probabilities() -> None:
    ranks = {**RESULTS, "shown_as": "rank"}
    assert "40 %" in plain(render("leads", "next_leads", evidence("leads", TABLES["leads"], results=RESULTS)))
    assert "40 %" not in plain(render("leads", "next_leads", evidence("leads", TABLES["leads"], results=ranks)))


def test_rules_are_told_in_the_markets_words_where_they_are_known() -> None:
    shown = evidence("personas", TABLES["personas"], results=RESULTS)
    told = catalogue.Evidence(shown.words, "all", shown.step, shown.claims, {"fast": ["number of sites: 1"]})
    assert "number of sites: 1" in plain(render("personas", "rules", told))


def test_an_unknown_section_lists_what_there_is() -> None:
    with pytest.raises(ParameterError, match=r"allowed: totals, win_rates, curve"):
        catalogue.section("deals", "pie")


def test_tables_are_not_changed_by_being_shown() -> None:
    before = {step: {name: frame.copy(deep=True) for name, frame in frames.items()} for step, frames in TABLES.items()}
    for step, name in SECTIONS:
        render(step, name, evidence(step, TABLES[step], results=RESULTS))
    for step, frames in TABLES.items():
        for name, frame in frames.items():
            pd.testing.assert_frame_equal(frame, before[step][name])
    assert np.isnan(TABLES["handoff"]["first_touch"]["p90_days"].iloc[0])
