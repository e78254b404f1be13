"""A claim as a sentence: what each verdict may say, and what it may not."""

import pandas as pd
import pytest
from closedloop.presentation.sentences import one_of_each_pair, records, sentences, summary
from closedloop.presentation.tables import label_of

from tests.documents.ledger import claims, words


def said(**change: object) -> str:
    """The sentence of one changed claim, with plain spaces."""
    return sentences(claims(change), words(fast="Fast start"))[0].text.replace("\N{NO-BREAK SPACE}", " ")


def told(ledger: pd.DataFrame) -> list[str]:
    """The summary of claims, sentence by sentence."""
    return [sentence.text for sentence in summary(ledger, words())]


def test_a_supported_claim_is_stated_with_estimate_baseline_interval_n_and_period() -> None:
    assert said() == (
        "Number of sites: over 20 – won more often: 44 % against 33 % of all deals decided in like periods "
        "(90 % interval 38–50 %, n = 210, 2024-q2 to 2025-q1)."
    )


def test_less_is_said_where_the_effect_is_negative() -> None:
    assert "won less often: 22 % against 33 %" in said(estimate=0.22, effect=-0.11)


def test_a_leaning_claim_says_may_and_is_only_watched() -> None:
    text = said(verdict="leaning")
    assert "may be won more often" in text
    assert text.endswith("Watch it, do not act on it yet.")


def test_rates_that_would_read_the_same_get_a_decimal() -> None:
    assert "5.3 % against 4.9 % of all deals decided in like periods" in said(estimate=0.053, baseline=0.049)
    assert "44 % against 33 %" in said()


def test_an_indistinguishable_claim_says_what_n_could_show() -> None:
    assert said(verdict="indistinguishable", n=400) == (
        "Number of sites: over 20, share of decided deals won – no detectable difference from 33 % of all deals "
        "decided in like periods (n = 400 could show 8 points or more, 2024-q2 to 2025-q1)."
    )


def test_a_difference_that_is_sure_and_small_is_not_called_undetected() -> None:
    text = said(verdict="indistinguishable", n=40_000, estimate=0.35, low=0.345, high=0.355, baseline=0.33, q=0.001)
    assert text.startswith("Number of sites: over 20, share of decided deals won – no difference that counts: 35 %")
    assert "against 33 %" in text and "detectable" not in text


def test_a_refused_claim_says_how_many_are_needed_and_gives_no_rate() -> None:
    text = said(verdict="refused", n=41)
    assert text == (
        "Number of sites: over 20, share of decided deals won – cannot tell: n = 41, needs about 354 for a difference "
        "of 10 points (2024-q2 to 2025-q1)."
    )


def test_a_refused_amount_asks_for_enough_to_see_a_quarter() -> None:
    text = said(verdict="refused", measure="won_amount", unit="amount", n=12, needed_n=60)
    assert "cannot tell: n = 12, needs about 60 for a difference of a quarter" in text


@pytest.mark.parametrize("verdict", ["supported", "leaning", "indistinguishable", "refused", "estimated", "counted"])
@pytest.mark.parametrize("kind", ["descriptive", "predictive"])
def test_nothing_but_a_causal_claim_says_because(verdict: str, kind: str) -> None:
    assert "because" not in said(verdict=verdict, kind=kind)


def test_a_supported_causal_claim_says_because() -> None:
    assert "because of it" in said(kind="causal", subject="opening", field="arm", level="short")
    assert "because" not in said(kind="causal", verdict="leaning")


def test_an_arm_is_told_beside_the_arm_that_it_is_compared_with() -> None:
    drawn = {"kind": "causal", "subject": "opening", "field": "arm", "level": "short"}
    assert "44 % against 33 % with “save time”" in said(**drawn, against="save_time")
    assert "44 % against 33 % with all other arms" in said(**drawn)
    assert "from 33 % with “save time”" in said(**drawn, against="save_time", verdict="indistinguishable")


def test_personas_are_named_and_survey_questions_are_quoted() -> None:
    assert said(field="persona", level="fast").startswith("Persona Fast start – won more often")
    text = said(measure="share", subject="fast", field="wants_price", level="yes")
    assert text.startswith(
        "Persona Fast start, yes to “Is the price first?” – more common: 44 % against 33 % of all that record it"
    )


def test_a_persona_that_is_called_like_a_level_is_told_as_a_persona() -> None:
    """The persona is three kinds of people; the level itself differs from nothing: two lines, two beginnings."""
    named = words(multi="Product: Yard Plan")
    ledger = claims(
        {"field": "persona", "level": "multi"},
        {"field": "product", "level": "plan", "verdict": "indistinguishable"},
        {"field": "product", "level": "plan", "subject": "multi"},
    )
    persona, level, within = (sentence.text for sentence in sentences(ledger, named))
    assert persona.startswith("Persona Product: Yard Plan – won more often")
    assert level.startswith("Product: Yard Plan, share of decided deals won – no detectable difference")
    assert within.startswith("Persona Product: Yard Plan, product: Yard Plan – won more often")
    rows = [label_of(named)(claim) for claim in records(ledger)]
    assert rows == [
        "persona Product: Yard Plan",
        "product: Yard Plan",
        "persona Product: Yard Plan, product: Yard Plan",
    ]


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("cold_store", "cold store"),
        ("Cold_Store", "Cold_Store"),
        ("a  b", "a␣␣b"),
        (" a", "␣a"),
        ("a\nb", "a↵b"),
        ("a b", "a b"),
        ("<5", "<5"),
        ("C++", "C++"),
        ("業種　東京", "業種　東京"),
    ],
)
def test_a_level_is_shown_as_written_with_the_blanks_that_nobody_would_see(level: str, shown: str) -> None:
    assert words().level("kind", level) == shown


def test_an_estimate_and_a_count_stand_without_a_baseline() -> None:
    alone = {"family": "none", "field": "", "level": "", "baseline": float("nan")}
    assert said(verdict="estimated", **alone) == (
        "Yard – share of decided deals won: 44 % (90 % interval 38–50 %, n = 210, 2024-q2 to 2025-q1)."
    )
    assert said(verdict="counted", measure="n_deals", unit="count", estimate=1234, **alone) == (
        "Yard – deals: 1,234 (2024-q2 to 2025-q1)."
    )


def test_an_estimate_with_a_baseline_names_both() -> None:
    promise = {"measure": "promise", "family": "none", "field": "promise", "level": "accepted_rate"}
    assert "Promise: accepted rate – observed: 44 % against 33 % promised" in said(verdict="estimated", **promise)
    assert "observed: 120 against 100 promised" in said(
        **promise, verdict="counted", unit="count", estimate=120, baseline=100
    )


def test_a_column_without_a_level_is_named_alone() -> None:
    assert said(verdict="estimated", level="").startswith("Number of sites – share of decided deals won")


def test_a_market_without_dates_is_said_to_be_in_sample() -> None:
    assert "of all deals decided (90 % interval" in said(first_period="all", last_period="all")
    assert "all data, in sample" in said(first_period="all", last_period="all")


def test_the_summary_counts_every_comparison_and_leaves_out_totals() -> None:
    ledger = claims({}, {"verdict": "leaning"}, {"verdict": "refused"}, {"verdict": "counted", "family": "none"})
    assert told(ledger) == [
        "We looked at 3 comparisons: 1 holds, 1 to watch, 0 show no detectable difference, 1 cannot be told."
    ]


def test_fields_without_a_difference_are_named_beside_what_holds() -> None:
    others = [{"verdict": "refused", "field": name, "level": "a"} for name in ("b", "c", "d", "e", "f", "g")]
    assert told(claims({}, *others))[1] == "Nothing was shown to differ by b, c, d, e or 2 other fields."
    assert told(claims({}, *others[:2]))[1] == "Nothing was shown to differ by b or c."


def test_a_field_whose_count_hides_a_difference_is_not_said_to_show_none() -> None:
    hidden = {"measure": "win_rate_reversed", "family": "none", "verdict": "estimated", "field": "b", "level": "a"}
    others = [{"verdict": "refused", "field": name, "level": "a"} for name in ("b", "c")]
    assert told(claims({}, *others, hidden))[1] == "Nothing was shown to differ by c."


def test_arms_and_models_are_no_fields_by_which_nothing_differs() -> None:
    for name in ("arm", "model"):
        (only,) = told(claims({"verdict": "refused", "field": name, "level": "a"}))
        assert only.startswith("We looked at 1 comparison: 0 hold, 0 to watch")


def test_a_rate_within_personas_is_held_against_deals_of_the_same_persona() -> None:
    assert "of deals of the same persona decided in like periods (" in said(within="persona", field="rep_id")


def test_what_is_predicted_of_rows_left_out_is_not_in_sample() -> None:
    assert "all data)" in said(first_period="all", last_period="all", measure="auc")
    assert "all data, in sample" in said(first_period="all", last_period="all", kind="predictive")


def test_when_nothing_holds_it_is_said_plainly() -> None:
    alike = {"verdict": "indistinguishable", "p": 0.7, "n": 900, "baseline": 0.4}
    ledger = claims(alike, alike | {"field": "product", "level": "plan"})
    assert (
        told(ledger)[1] == "Nothing differs by 10\u00a0points or more by number of sites or product: treat all alike."
    )


def test_a_difference_that_the_data_allow_is_no_reason_to_treat_all_alike() -> None:
    alike = {"verdict": "indistinguishable", "p": 0.7, "n": 900, "baseline": 0.4}
    for doubt in ({"n": 60}, {"p": float("nan")}, {"unit": "amount"}):
        ledger = claims(alike, alike | doubt | {"field": "product", "level": "plan"})
        assert told(ledger)[1] == "Nothing was shown to differ by number of sites or product."


def test_too_few_cases_are_no_reason_to_treat_all_alike() -> None:
    ledger = claims({"verdict": "refused"}, {"verdict": "indistinguishable", "field": "product", "level": "plan"})
    assert told(ledger)[1] == "Nothing was shown to differ by number of sites or product."


def test_without_comparisons_there_is_no_evidence() -> None:
    assert told(claims()) == ["Nothing could be compared yet: no evidence."]


def test_the_no_of_a_question_is_left_out_only_beside_its_yes() -> None:
    pair = claims({"field": "wants_price", "level": "yes"}, {"field": "wants_price", "level": "no"})
    assert one_of_each_pair(pair, words())["level"].tolist() == ["yes"]
    alone = claims({"field": "wants_price", "level": "no"}, {"field": "sites", "level": "1"})
    assert one_of_each_pair(alone, words())["level"].tolist() == ["no", "1"]


def test_claims_are_not_changed_by_being_told() -> None:
    ledger = claims({}, {"verdict": "refused"})
    before = ledger.copy(deep=True)
    sentences(ledger, words())
    summary(ledger, words())
    pd.testing.assert_frame_equal(ledger, before)
