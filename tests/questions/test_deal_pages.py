"""What the answers about deals say, worked out by hand from claims that were made by hand."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from closedloop.claims.ledger import CLAIM_COLUMNS, TURNS, stacked
from closedloop.presentation.blocks import Piece
from closedloop.questions.deals import amounts, outcomes, win_rates
from closedloop.workbench.comparison import strongest

from tests.documents.ledger import HOSTILE, Show, claims, plain, seen
from tests.questions.deal_claims import CLAIMS

PAGES: dict[str, Show] = {
    "totals": outcomes._show_outcomes,
    "findings": partial(win_rates._show_rates, of_signals=()),
    "curve": outcomes._show_curve,
    "cycle": amounts._show_cycle,
    "amounts": amounts._show_amounts,
    "loss_reasons": outcomes._show_reasons,
    "adjusted": partial(win_rates._show_adjusted, tuple(TURNS)),
    "reps": win_rates._show_sellers,
}
CELLS = {"totals": ("totals", "win_rates")}


def pieces(name: str, ledger: pd.DataFrame = CLAIMS) -> list[Piece]:
    """One answer, whose claims are those of its section; all others are beside it."""
    own = ledger[ledger["cell"].isin(CELLS.get(name, (name,)))]
    return list(PAGES[name](seen(own, ledger=ledger), ""))


def page(name: str, ledger: pd.DataFrame = CLAIMS) -> str:
    return plain(pieces(name, ledger))


def first_lines(ledger: pd.DataFrame) -> str:
    return plain(strongest(seen(ledger)))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("totals", "100 deals: 30 won, 60 lost, 0 no decision, 10 still open."),
        ("totals", "33 % (25–40 %, n = 90) won of won and lost."),
        ("totals", "Together the won deals are worth EUR 30,000."),
        ("curve", "30 % (20–40 %, n = 100) of all deals opened in 2024-q2 to 2025-q1 are won within 50 days."),
        ("cycle", "A won deal typically takes 54 days (50–60 days, n = 30); half take no longer."),
        ("cycle", "product: Yard Plan: 70 days (61–80 days, n = 12)"),
        (
            "amounts",
            "A won deal is worth EUR 1,000 (EUR 900–1,100, n = 30) on average; half are at most EUR 800.",
        ),
        ("amounts", "EUR 800 EUR 300–4,000 EUR 61 (EUR 40–93, n = 90)"),
        ("amounts", "(win rate times mean amount, each drawn toward that of all by itself) of"),
        (
            "amounts",
            "highest first; products, not compared: Yard Plan EUR 700 (EUR 500–980), gate EUR 150 (EUR 90–240).",
        ),
        ("amounts", "2 of 30 won deals have no amount: they count as won, and are taken to pay like the others"),
        (
            "loss_reasons",
            "by the seller's account: price 50 % (40–60 %, n = 40), then budget 30 %",
        ),
        ("loss_reasons", "Lost deals, by the buyer's account: trust 60 % (30–80 %, n = 20)."),
        ("loss_reasons", "10 % (5–15 %, n = 20) of deals that were not won lack a reason that can be read."),
        ("loss_reasons", "40 % (35–45 %, n = 20) of deals with both accounts: seller and buyer name the same"),
        ("adjusted", "Plan, within number of sites – the difference turns round: +11 points from like others, −8"),
        ("adjusted", "+11 points (+5 to +20 points, n = 90) number of sites yes"),
        ("adjusted", "+2 points (−10 to +14 points, n = 90) period no"),
        ("adjusted", "−11 points (−24 to +2 points, n = 90) number of sites maybe"),
        ("reps", "12 sellers with 90 decided deals are not shown to differ beyond luck (q = 0.4, corrected"),
    ],
)
def test_figures_stand_where_they_belong(name: str, said: str) -> None:
    assert said in page(name)


@pytest.mark.parametrize("name", PAGES)
def test_text_of_the_source_cannot_become_markup(name: str) -> None:
    is_named = CLAIMS["level"].isin(["plan", "gate", "price", "trust"])
    hostile = CLAIMS.assign(level=CLAIMS["level"].mask(is_named, CLAIMS["level"] + HOSTILE))
    html = "".join(piece._repr_html_() for piece in pieces(name, hostile))
    assert HOSTILE not in html and "<script>alert" not in html and "<img src=x" not in html


def test_the_key_figures_lead() -> None:
    own = CLAIMS[CLAIMS["cell"].isin(CELLS["totals"])]
    (said,) = outcomes._headline(seen(own, ledger=CLAIMS))
    assert plain(said) == "33 % of decided deals are won, after 54 days (median); 30 won, 60 lost, 10 open."
    wanted = CLAIMS["measure"].isin(["win_rate", "median_cycle_days", "n_won", "n_lost", "n_open"])
    assert set(said.claims) == set(CLAIMS.loc[wanted & (CLAIMS["field"] == ""), "claim_id"])


def test_the_largest_effect_that_holds_leads_and_nothing_is_said_when_none_does() -> None:
    held = claims({"verdict": "refused", "effect": 0.5}, {"level": "1"})
    assert first_lines(held).startswith("Number of sites: 1 – won more often")
    assert "Nothing was shown to differ by number of sites" in first_lines(claims({"verdict": "refused"}))


def test_what_all_of_a_persona_are_by_their_rule_is_no_headline() -> None:
    share = {"measure": "share", "subject": "fast", "effect": -0.9, "estimate": 0.001, "claim_id": "settled"}
    assert first_lines(claims(share, {"level": "1"})).startswith("Number of sites: 1 – won more often")
    assert "less common" in first_lines(claims(share | {"estimate": 0.01}, {"level": "1"}))


def test_rates_are_said_before_amounts_whatever_their_size() -> None:
    amount = {"measure": "won_amount", "unit": "amount", "field": "product", "level": "plan", "effect": 9000}
    assert "won more often" in first_lines(claims(amount, {}))


def test_small_groups_are_not_shown_with_attributes() -> None:
    text = page("findings", claims({"level": "rare", "n": 9}, {"level": "common", "n": 10}))
    assert "common" in text
    assert "rare" not in text


def test_a_field_of_a_signal_in_force_is_named_where_the_window_does_not_show_it() -> None:
    ledger = claims(
        {"field": "channel", "level": "partner", "verdict": "refused"},
        {"field": "sites", "level": "1", "verdict": "supported", "effect": 0.1},
    )

    def said(*of_signals: str) -> str:
        return plain(win_rates._show_rates(seen(ledger), "", of_signals=of_signals))

    also = "this window alone shows no difference that holds; signals are tested on all periods (02)."
    assert f"By channel {also}" in said(*["channel", "sites"] * 2)
    assert also not in said("sites") and also not in said("region") and also not in said()


def test_sellers_are_ranked_only_when_they_differ_by_more_than_luck() -> None:
    ranked = claims({"field": "rep_id", "level": "rep-07", "n": 60, "cell": "reps", "within": "persona"}, {})
    ledger = stacked([CLAIMS, ranked], CLAIM_COLUMNS)
    is_spread = ledger["measure"] == "rep_spread"
    differ = ledger.assign(p=ledger["p"].mask(is_spread, 0.001), verdict=ledger["verdict"].mask(is_spread, "supported"))
    assert "rep-07" not in page("findings", differ)
    assert "rep-07" not in page("reps", ledger)
    said = page("reps", differ)
    assert "Representative: rep-07, within persona – won more often: 44 % against 33 %" in said
    assert "We looked at 1 comparison: 1 hold" in said


def test_no_difference_that_turns_round_is_said_to() -> None:
    ledger = CLAIMS.query("measure in ('win_rate_adjusted', 'win_rate_perhaps_reversed')")
    assert "No difference is shown to turn round once like meets like." in page("adjusted", ledger)


def test_the_median_is_the_headline_where_the_mean_has_no_interval() -> None:
    whole = {"cell": "amounts", "field": "", "level": "", "unit": "amount", "n": 51, "baseline": np.nan}
    whole |= {"family": "none", "verdict": "estimated"}
    alone = {"low": np.nan, "high": np.nan}
    ledger = claims(
        whole | alone | {"measure": "mean_amount", "estimate": 2e7, "reason": "one deal"},
        whole | {"measure": "median_amount", "estimate": 49_000, "low": 31_000, "high": 65_000},
        whole | alone | {"measure": "large_amount", "field": "deal_id", "level": "D37", "estimate": 1e9}
        | {"verdict": "counted"},
    )  # fmt: skip
    said = page("amounts", ledger)
    assert (
        "Half of the won deals are under EUR 49,000 (EUR 31,000–65,000, n = 51). Their mean is EUR 20,000,000: one "
        "deal makes over a third of the amount, so the mean has no interval. Check D37 (EUR 1,000,000,000) in the CRM."
        in said
    )
    assert "highest first" not in said and said.count("D37") == 1


def test_amounts_are_compared_where_there_are_groups_to_compare() -> None:
    look = {"cell": "amounts", "measure": "won_amount", "unit": "amount", "field": "product", "level": "plan",
            "estimate": 2500, "low": 2000, "high": 3000, "baseline": 1000, "effect": 1500, "n": 12}  # fmt: skip
    said = page("amounts", stacked([claims(look), CLAIMS], CLAIM_COLUMNS))
    assert (
        "Product: Yard Plan – larger deals: EUR 2,500, drawn toward all, against EUR 1,000 on average over all" in said
    )
    assert "EUR 2,500 (EUR 2,000–3,000, n = 12) EUR 2,400" in said


def test_a_finding_that_turns_round_is_said_with_it_wherever_it_stands() -> None:
    """Even beyond the findings that are listed, and in the first lines of the page."""
    crude = {"field": "product", "level": "plan", "effect": -0.08, "claim_id": "crude"}
    others = [{"claim_id": f"other-{i}", "level": str(i), "effect": 0.5} for i in range(9)]
    ledger = pd.concat([CLAIMS.query("cell == 'adjusted'"), claims(crude, *others)], ignore_index=True)
    turn = "n = 210, 2024-q2 to 2025-q1). Product: Yard Plan, within number of sites – the difference turns round"
    assert turn in page("findings", ledger)
    assert turn in first_lines(ledger[~ledger["claim_id"].str.startswith("other")])


@pytest.mark.parametrize(("low", "is_unlike"), [(-0.70, False), (0.02, True)])
def test_what_like_for_like_goes_the_findings_own_way_does_not_turn_round(low: float, is_unlike: bool) -> None:
    """As counted nothing differs: a finding, which compares within periods, says what like for like says too."""
    other = {"measure": "win_rate_reversed", "family": "none", "verdict": "estimated", "unit": "points", "low": low}
    other |= {"high": low + 0.3, "estimate": low + 0.15, "baseline": 0.0, "cell": "adjusted", "within": "period"}
    ledger = claims({"effect": -0.35}, other | {"claim_id": "adjusted"})
    assert ("the count hides a difference" in page("findings", ledger)) is is_unlike
    assert ("1 hold" in page("findings", ledger)) is not is_unlike


def test_a_finding_on_a_field_that_is_recorded_unevenly_says_both_shares() -> None:
    found = {"field": "competitor", "level": "rival-a", "n_effective": 200.0}
    uneven = {"claim_id": "uneven", "family": "recording", "measure": "recorded_share", "field": "competitor"}
    uneven |= {"level": "", "estimate": 1.0, "baseline": 0.83, "n": 878}
    ledger = claims(found, uneven)
    shares = "Competitor is recorded in 100 % of won and 83 % of lost deals"
    said = page("findings", ledger)
    assert "of all deals decided in like periods that record it" in said and shares in said
    assert "is recorded in" not in page("findings", ledger.assign(verdict=["supported", "indistinguishable"]))


def test_a_level_that_cannot_be_compared_says_why() -> None:
    claim = {"verdict": "refused", "reason": "few recorded", "estimate": np.nan, "baseline": np.nan, "p": np.nan}
    said = page("findings", claims(claim, claim | {"level": "1"}))
    assert "2 cannot be told" in said and "nan" not in said
    assert "Number of sites – cannot be compared: fewer than ten of either outcome record it." in said
    said = page("findings", claims(claim | {"reason": "filled by the outcome"}))
    assert "Number of sites: over 20 – cannot be compared: hardly any of them ended otherwise" in said
