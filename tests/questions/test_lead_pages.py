"""What the answers about leads say, worked out by hand from claims that were made by hand."""

from collections.abc import Callable, Sequence
from functools import partial

import pandas as pd
import pytest
from closedloop.claims.ledger import CLAIM_COLUMNS, stacked
from closedloop.presentation.blocks import Piece, Shown
from closedloop.questions.leads import arms, call_list, channels, conversions, scores
from closedloop.workbench.answer import Evidence

from tests.documents.ledger import words
from tests.questions.lead_claims import CLAIMS, RESULTS, TABLES, won_by

Show = Callable[[Evidence, str], Sequence[Piece]]


def page(show: Show, cells: str, claims: pd.DataFrame = CLAIMS, **rest: object) -> str:
    """The page of one answer, whose claims are those of these sections; all others are beside it."""
    own = claims[claims["cell"].isin(cells.split())]
    known = {"tables": TABLES, "results": RESULTS} | rest
    shown = Evidence(words(fast="Fast start"), "2025-q1", own, claims, **known)  # type: ignore[arg-type]
    return repr(Shown(tuple(show(shown, "")))).replace("\N{NO-BREAK SPACE}", " ")


SAID: list[tuple[Show, str, str]] = [
    (conversions._show, "funnel", "So far the narrowest step is to won: 10 % (5–20 %, n = 50)."),
    (channels._show_market, "channels",
     "Search – use: EUR 50 a won deal (EUR 35–80; 20 of 80 leads won), against EUR 900 over the other channels, "
     "2024-q2 to 2025-q1."),
    (channels._show_market, "channels",
     "Fair – stop: EUR 900 a won deal (EUR 195–4,800; 1 of 20 leads won), against EUR 50 over the other channels, "
     "2024-q2 to 2025-q1."),
    (channels._show_market, "channels",
     "Counted are 100 leads that had 90 days to be won, and the money of the same days"),
    (channels._show_personas, "persona_channels",
     "44 % (38–50 %, n = 210) EUR 80 (EUR 50–150, n = 40) use (all personas)"),
    (partial(conversions.show_rates, "persona_channels"), "persona_channels",
     "Persona Fast start, channel: search – accepted by sales more often: 44 % against"),
    (arms._show_tests, "tests", "is the share of handed-off leads that sales accepted 68 %, not 60 %? Two arms"),
    (arms._show_tests, "tests",
     "440 leads each: about 26 weeks. Stop half-way only if it is more than 11 points behind; else judge once"),
    (arms._show_tests, "tests", "is the share of decided deals won 40 %, not 33 %? Nobody can draw it: wait for"),
    (arms._show_tests, "tests", "about 300 more, 52 weeks at this pace."),
    (arms._show, "experiments", "60 % (50–70 %, n = 100)"),
    (arms._show, "experiments",
     "Use “short” instead of “long” in search: sales accepted 60 % (60 of 100) against 40 % (36 of 90), +20 points "
     "(90 % interval +8 to +31 points), because of it (2024-q2"),
    (scores._show, "quality calibration", "0.61 (0.52–0.7)"),
    (scores._show, "quality calibration", "Verdict: usable; scores are shown as probabilities."),
    (scores._show, "quality calibration",
     "In 1 of 2 groups the prediction lies within the 90 % interval of what happened."),
    (scores._show_beside, "quality",
     "decided since: AUC 0.61 by score, 0.72 by stage; gain −0.11 (−0.19 to −0.02, n = 164). Once a deal is open, the "
     "score tells less than its stage."),
    (call_list._show_list, "next_leads",
     "1 of 3 open leads in order; internal: record ids lead back to the CRM. Points in brackets are beside the average "
     "record. The median one on the list (n = 1) is known for 89 days. 12 more are qualified but not handed off: they "
     "are marketing's to hand over, not sales' to call."),
    (call_list._show_list, "next_leads",
     "A1 rep-07 Fast start  40 %     83 number of sites: 1 (+14)   89 days 2025-03-01 sales accepted ranked"),
    (call_list._show_old, "wake_up",
     "1 open ones are known for more than 365 days: warm them up first, or give them back."),
    (call_list._show_old, "wake_up", "1     L9 Fast start  20 %     70  400 days"),
]  # fmt: skip


@pytest.mark.parametrize(("show", "cells", "said"), SAID)
def test_what_is_said_is_what_the_claims_hold(show: Show, cells: str, said: str) -> None:
    assert said in page(show, cells)


def test_scores_are_hidden_unless_they_are_probabilities() -> None:
    assert "40 %" in page(call_list._show_list, "next_leads")
    unknown = {**TABLES, "next_leads": TABLES["next_leads"].assign(score=float("nan"))}
    assert "score" not in page(call_list._show_list, "next_leads", tables=unknown)


def test_nobody_to_wake_up_is_said() -> None:
    none = CLAIMS.assign(estimate=CLAIMS["estimate"].where(CLAIMS["cell"] != "wake_up", 0))
    assert page(call_list._show_old, "wake_up", none) == "No open one is known for more than 0 days."


def test_a_usable_score_without_a_held_advantage_is_not_shown_to_be_usable() -> None:
    doubtful = CLAIMS.assign(verdict=CLAIMS["verdict"].where(CLAIMS["measure"] != "score_auc", "leaning"))
    assert "Verdict: not shown to be usable; scores are not shown." in page(
        scores._show, "quality calibration", doubtful
    )


def test_arms_are_told_of_all_their_leads_and_within_their_days() -> None:
    """Rates of arms count leads that nobody has decided on as well, as far as they had the time."""
    won = won_by("long", "short", 0.2).assign(measure="won_rate", claim_id="arm-2")
    days = {"claim_id": "arm-3", "measure": "arm_won_rate_days", "estimate": 137, "unit": "days", "family": "none"}
    days |= {"field": "", "level": "", "verdict": "counted", "kind": "descriptive"}
    both = stacked([CLAIMS[CLAIMS["kind"] != "causal"], won, won.assign(**days)], CLAIM_COLUMNS)
    text = page(arms._show, "experiments", both)
    assert "won within 137 days 60 % against 40 %" in text
    assert "share of the arm's leads that were won" in text and "ended leads" not in text
    assert "Nothing was shown to differ by arm" not in text


def test_an_arm_that_does_worse_before_is_minded() -> None:
    """Won leads decide over accepted ones, and what speaks against the choice stands beside it."""
    later = won_by("long", "short", 0.2).assign(measure="won_rate", claim_id="arm-2")
    both = stacked([CLAIMS[CLAIMS["kind"] != "causal"], won_by(), later], CLAIM_COLUMNS)
    text = page(arms._show, "experiments", both)
    assert "Use “long” instead of “short”: won 60 % against 40 %" in text.replace(" in search", "")
    assert "Mind that “long” does worse before: sales accepted 40 % against 60 % with “short”" in text


def test_of_score_and_stage_no_more_is_said_than_the_verdict_allows() -> None:
    for verdict, said in (
        ("leaning", "the score may tell less than its stage: watch it."),
        ("refused", "Which of the two tells more cannot be told."),
    ):
        claims = CLAIMS.assign(verdict=CLAIMS["verdict"].mask(CLAIMS["measure"] == "gain_over_stage", verdict))
        assert said in page(scores._show_beside, "quality", claims)
