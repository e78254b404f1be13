"""What 04, 06 and 07 say of hand-made claims; the sentences are worked out by hand."""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from closedloop.presentation.sentences import where
from closedloop.questions.handoff import promises, waterfall
from closedloop.questions.personas import promised_rates
from closedloop.questions.refinement import champion_challenger, drift, edits, review, signal_tests
from closedloop.questions.refinement.other_orders import _show_orders

from tests.documents.ledger import Show, claims, definition, plain, seen
from tests.questions.handoff_claims import CLAIMS as HANDOFF
from tests.questions.refinement_claims import CLAIMS as REFINEMENT

SAID: list[tuple[Show, pd.DataFrame, str]] = [
    (promises.show_promises, HANDOFF, "cannot tell"),
    (promises.show_promises, HANDOFF, "1 of 2 promises that can be judged was kept."),
    (waterfall._show_waterfall, HANDOFF, "50 leads were handed off; of those decided, sales accepted 60 % (49–70 %,"),
    (promises._show, HANDOFF, "9 of 18 rejected leads had no sales touch before; 30 % (20–42 %, n = 48) of leads were"),
    (promises._show, HANDOFF, "The median lead waited 4 days (3–5 days, n = 50); 25 % (16–36 %, n = 50) of all"),
    (waterfall._show_rejections, HANDOFF, "Named most often: too early, 60 % (50–70 %, n = 100)."),
    (waterfall._show_disagreements, HANDOFF, "rejected, yet won later 3 40"),
    (waterfall._show_questions, HANDOFF, "60 rejected leads were given back as “too early”: what should marketing ask"),
    (waterfall._show_questions, HANDOFF, "3 of 40 leads, rejected, yet won later: what happened to them?"),
    (promised_rates._show_kept, REFINEMENT, "Promised win rates: 1 perhaps exceeded."),
    (promised_rates._show_kept, REFINEMENT, "44 % (40–52 %, n = 80) 2025-q1 44 % (38–50 %, n = 210) perhaps exceeded"),
    (edits._show, REFINEMENT, "2 edits were tested: 1 holds, 0 to watch."),
    (edits._show, REFINEMENT, "split 44 % (38–50 %, n = 210) 33 % +11 points"),
    (drift._show, REFINEMENT, "Fast start – won less often than before: 20 % against 40 % in 2024-q4"),
    (drift._show, REFINEMENT, "The one comparison with the periods before shows a move."),
    (_show_orders, REFINEMENT, "Calling at random: cannot tell; the log is worth 31 leads, 50 are needed."),
    (_show_orders, REFINEMENT, "20 % (15–24 %, n = 90) won, against 30 % (25–35 %, n = 200) as called: fewer"),
    (_show_orders, REFINEMENT, "at random cannot tell 31"),
    (review._show_requests, HANDOFF, "Sales: touch every lead before giving it back, 9 of 18 were not."),
    (review._show_requests, HANDOFF, "Marketing: screen for “too early” before hand-off, 60 % (50–70 %, n = 100) of"),
]  # fmt: skip


@pytest.mark.parametrize(("show", "of", "text"), SAID)
def test_what_is_said(show: Show, of: pd.DataFrame, text: str) -> None:
    assert text in plain(show(seen(of), ""))


def promised(of: pd.DataFrame) -> str:
    return plain(promises.show_promises(seen(of), ""))


def test_a_promise_is_kept_broken_or_not_judged() -> None:
    rows = [line.split() for line in promised(HANDOFF).splitlines()]
    assert [row[-1] for row in rows[1:4]] == ["yes", "tell", "judged"], "the interval holds what was promised"
    apart = HANDOFF.assign(baseline=HANDOFF["baseline"].replace(0.6, 0.65))
    assert "no" in promised(apart).split()
    assert promises.show_promises(seen(HANDOFF), "")[1].claims  # type: ignore[attr-defined]
    assert "No promise could be judged yet." in promised(HANDOFF.query("level == 'first_touch_days'"))


@pytest.mark.parametrize(
    ("observed", "said"), [(100, "yes"), (95, "just missed"), (94, "no"), (60, "no"), (120, "yes")]
)
def test_a_promise_that_lacks_a_twentieth_is_just_missed(observed: int, said: str) -> None:
    rows = HANDOFF.query("measure != 'promise' or level == 'n_leads'")
    effect = rows["effect"].where(rows["measure"] != "promise", observed - 100)
    shown = promised(rows.assign(effect=effect, estimate=float(observed)))
    assert shown.splitlines()[1].endswith(f" {said}")
    assert ("; just missed: leads handed off." in shown) == (said == "just missed")


def test_what_both_teams_have_to_hear_cites_its_three_claims() -> None:
    (said,) = promises.neglected(seen(HANDOFF))
    assert plain(said) == (
        "9 of 18 rejected leads had no sales touch before; 30 % (20–42 %, n = 48) of leads were touched within the "
        "promised 2 days."
    )
    assert len(said.claims) == 3
    (alone,) = promises.neglected(seen(HANDOFF.query("measure != 'touched_in_time_share'")))
    assert plain(alone) == "9 of 18 rejected leads had no sales touch before."


def test_a_wait_without_an_end_is_told_without_a_median() -> None:
    undated = seen(HANDOFF.query("measure == 'never_touched_share'"))
    never = "25 % (16–36 %, n = 50) of all had no touch by sales so far"
    assert plain(promises.waited(undated)) == f"{never}; how long the others waited cannot be told without days."
    days = definition(clock="day", extracted_on=date(2025, 3, 31), periods={"first": "2025-q1", "length": "quarter"})
    dated = replace(undated, words=replace(undated.words, definition=days))
    assert plain(promises.waited(dated)) == f"{never}: too many for a median wait."


def test_teams_that_agree_are_told_so() -> None:
    agreed = seen(HANDOFF.assign(estimate=0.0))
    assert "The teams' verdicts agree on every lead." in plain(waterfall._show_disagreements(agreed, ""))
    assert "what happened to them?" not in plain(waterfall._show_questions(agreed, ""))


def test_a_duel_is_told_with_both_gains() -> None:
    own = where(REFINEMENT, cell="duel")
    (said,) = champion_challenger.duel_verdict(seen(own, results={"verdict": "better"}))
    told = "Sets in force against renewed rates alone, 200 deals, each predicted before its period began:"
    assert plain(said).startswith(f"{told} chances better (gain in log loss 0.05, 0.01")
    assert "; order within periods better (gain in AUC 0.06, 0.01" in plain(said)
    assert len(said.claims) == 2
    (unfought,) = champion_challenger.duel_verdict(seen(claims(), results={"verdict": "cannot tell"}))
    assert plain(unfought) == "Sets in force against renewed rates alone: cannot tell."


@pytest.mark.parametrize(
    ("verdict", "gain", "told"),
    [
        ("supported", 0.03, "better"),
        ("supported", -0.03, "worse"),
        ("leaning", 0.03, "perhaps better"),
        ("leaning", -0.03, "perhaps worse"),
        ("indistinguishable", 0.03, "not shown to differ"),
        ("refused", -0.03, "not shown to differ"),
    ],
)
@pytest.mark.parametrize(
    ("measure", "what"), [("log_loss_gain", "chances"), ("auc_within_gain", "order within periods")]
)
def test_the_words_on_a_duel_follow_the_verdict_of_each_claim(
    measure: str, what: str, verdict: str, gain: float, told: str
) -> None:
    own = where(REFINEMENT, cell="duel")
    is_meant = own["measure"] == measure
    figures = {"estimate": gain, "low": gain - 0.01, "high": gain + 0.01}
    changed = own.assign(verdict=own["verdict"].mask(is_meant, verdict))
    changed = changed.assign(**{name: own[name].mask(is_meant, value) for name, value in figures.items()})
    (said,) = champion_challenger.duel_verdict(seen(changed))
    assert f"{what} {told} (gain in " in plain(said)


def test_a_duel_is_judged_by_the_interval_of_its_gain_in_log_loss() -> None:
    assert champion_challenger.duel_says(REFINEMENT) == "better"
    gain = where(REFINEMENT, measure="log_loss_gain")
    cases = ((-0.01, 0.02, "not shown to differ"), (-0.03, -0.01, "worse"), (np.nan, 0.1, "cannot tell"))
    for low, high, verdict in cases:
        assert champion_challenger.duel_says(gain.assign(low=low, high=high)) == verdict
    assert champion_challenger.duel_says(claims()) == "cannot tell"


def test_an_edit_that_holds_is_permanent_unless_the_duel_forbids_it() -> None:
    own = REFINEMENT[REFINEMENT["cell"] == "edits"]
    assert "permanent" in plain(edits._show(seen(own, ledger=REFINEMENT), ""))
    unfought = REFINEMENT[REFINEMENT["family"] != "duel"]
    assert "holds; not made: the duel cannot be told" in plain(edits._show(seen(own, ledger=unfought), ""))
    assert plain(edits.edits_summary(seen(claims()))) == "No edit of the personas could be tested."


def test_a_level_that_passes_enters_unless_the_duel_forbids_it() -> None:
    passed = {"claim_id": "level-1", "family": "signal", "measure": "level_points", "unit": "points"}
    passed |= {"subject": "market"}
    own = claims(passed | {"field": "size", "level": "5", "estimate": 0.08, "low": 0.04, "high": 0.12, "n": 90})
    counted = {"n_passed": 1}
    entering = plain(signal_tests._show(seen(own, ledger=REFINEMENT, results=counted), ""))
    assert "Enters: " in entering and "1 level was tested, over all personas or in one: 1 becomes a signal;" in entering
    gain = REFINEMENT["measure"] == "log_loss_gain"
    lost = REFINEMENT.assign(low=REFINEMENT["low"].mask(gain, -0.03), high=REFINEMENT["high"].mask(gain, -0.01))
    kept_out = plain(signal_tests._show(seen(own, ledger=lost, results=counted), ""))
    assert "does not enter, as the duel's interval of the gain in log loss lies below 0" in kept_out
    assert "1 passes, and none becomes a signal" in kept_out and "Enters" not in kept_out


def test_drift_is_told_only_where_there_is_some() -> None:
    still = plain(drift._show(seen(REFINEMENT.assign(verdict="refused")), ""))
    assert "The one comparison with the periods before cannot be told: the deals are too few." in still
    assert "won less often" not in still
    assert "is known from 4 earlier ones on; there are 0, so only luck is counted." in still
    known = plain(drift._show(seen(REFINEMENT, results={"n_earlier_periods": 4}), ""))
    assert known.endswith("The verdicts count how far earlier periods differed anyway, beyond luck.")


def test_orders_whose_intervals_overlap_are_not_told_apart() -> None:
    alike = plain(_show_orders(seen(REFINEMENT.assign(verdict="refused")), ""))
    assert "as called: no difference is shown." in alike
    assert "more would have been won" in plain(_show_orders(seen(REFINEMENT.assign(effect=0.1)), ""))


def test_sales_is_asked_to_touch_what_it_accepted() -> None:
    level = {"level": "accepted, yet not touched by sales so far", "estimate": 7.0}
    accepted = HANDOFF.query("measure == 'n_disagreements'").head(1).assign(**level)
    asked = plain(review._show_requests(seen(accepted), ""))
    assert asked == "- Sales: touch every accepted lead, 7 of 40 were not."


LOST = {"measure": "n_lost", "family": "none", "unit": "count", "field": "", "level": "", "estimate": 40, "n": 90}
REASON = LOST | {"measure": "loss_share", "field": "loss_reason", "level": "price", "unit": "rate", "estimate": 0.5}


def test_sales_is_asked_for_more_buyers_reasons_than_those_that_are_known() -> None:
    few = plain(review._show_requests(seen(claims(LOST, REASON)), ""))
    assert "ask more buyers why they did not buy; fewer than ten of the lost deals" in few
    noted = LOST | {"measure": "n_buyer_losses", "estimate": 29, "n": 60, "source_table": "notes"}
    known = plain(review._show_requests(seen(claims(LOST, REASON, noted)), ""))
    assert "buy; 29 of the lost deals" in known and "own reason, none ten times" in known


def found(*changes: dict[str, object]) -> pd.DataFrame:
    """Claims of 05 on how deals end."""
    return claims(*({"family": "how they end"} | change for change in changes))


def test_a_finding_that_turns_round_is_told_apart_in_the_review() -> None:
    crude = {"field": "product", "level": "plan", "effect": -0.08, "claim_id": "crude"}
    turned = {"claim_id": "turned", "family": "none", "measure": "win_rate_reversed", "field": "product"}
    turned |= {"level": "plan", "within": "sites", "baseline": -0.08, "estimate": 0.11, "low": 0.05, "high": 0.2}
    both = found(crude, turned)
    shown = plain(review._show_findings(8, seen(both), ""))
    assert shown.startswith("Nothing that differs holds like for like in this period.")
    assert "Product: Yard Plan, within number of sites – the difference turns round" in shown
    (counted,) = review._how_many_hold(seen(both))
    assert plain(counted).startswith(
        "0 findings about deals hold, 1 does not, or may not, like for like, 0 to watch; for 0 comparisons"
    )


def test_findings_are_told_with_what_moved_and_what_is_recorded_unevenly() -> None:
    uneven = {"claim_id": "uneven", "family": "recording", "measure": "recorded_share", "field": "competitor"}
    uneven |= {"level": "", "estimate": 1.0, "baseline": 0.83, "n": 878}
    ledger_ = pd.concat([found({"field": "competitor", "level": "rival-a", "n_effective": 200.0}, uneven), REFINEMENT])
    shown = plain(review._show_findings(8, seen(ledger_.reset_index(drop=True)), ""))
    assert "1 finding about deals holds." in shown
    assert "Competitor is recorded in 100 % of won and 83 % of lost deals" in shown
    assert "Against the periods before:\n- Persona Fast start – won less often than before: 20 %" in shown


def test_findings_on_the_same_deals_are_counted_once_as_groups() -> None:
    shown = {"estimate": 0.42, "n": 306, "within": "", "among": ""}
    same = {"claim_id": "same", "field": "index", "level": "92"}
    both = found({"field": "rate", "level": "1.3", **shown}, same | shown)
    said = plain(review._show_findings(8, seen(both), ""))
    assert "2 findings about deals hold, of the same deals." in said


def test_plays_by_persona_pay_only_where_personas_are_won_unlike() -> None:
    persona = {"field": "persona", "level": "fast", "within": "", "among": ""}
    held = plain(review.one_play(seen(found(persona))))
    assert held == (
        "Deals of persona Fast start were won more or less often than the rest (2024-q2 to 2025-q1): plays by persona "
        "can pay."
    )
    wide = persona | {"verdict": "refused", "low": 0.2, "high": 0.6}
    assert "cannot be told" in plain(review.one_play(seen(found(wide))))
    narrow = {"verdict": "indistinguishable", "estimate": 0.33, "low": 0.30, "high": 0.36, "baseline": 0.33}
    same = plain(review.one_play(seen(found(persona | narrow | {"effect": 0.0, "n": 2000, "p": 0.9}))))
    assert same == "All personas were won alike, within 9 points of all (2024-q2 to 2025-q1): one play for all will do."
    alike = persona | narrow | {"effect": 0.01, "n": 2000, "p": 0.001, "q": 0.01}
    small = plain(review.one_play(seen(found(alike))))
    assert "won unlike each other, within 9 points of all (2024-q2 to 2025-q1): too little for plays" in small
    moved = {"claim_id": "moved", "measure": "drift_win_rate", "subject": "fast", "field": ""}
    assert "cannot be told" in plain(review.one_play(seen(found(alike, moved)))), "it was alike, and is no more"
    rare = narrow | {
        "estimate": 0.13,
        "low": 0.12,
        "high": 0.14,
        "baseline": 0.09,
        "effect": 0.04,
        "n": 2000,
        "p": 4e-9,
    }
    assert "cannot be told" in plain(review.one_play(seen(found(persona | rare))))
    leaning = persona | narrow | {"verdict": "leaning"}
    assert "cannot be told" in plain(review.one_play(seen(found(leaning))))
    assert "win rates are not compared" in plain(review.one_play(seen(claims())))


def test_nothing_that_holds_cannot_hold_falsely() -> None:
    none = {"family": "none", "measure": "expected_false_lines", "field": "", "level": "", "estimate": 0.0, "n": 0}
    shown = plain(review._show_false_lines(seen(claims(none)), ""))
    assert shown == "No line of this period is supported, so none is so falsely."
