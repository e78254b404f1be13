"""What 02 says of hand-made claims: figures in the right places, plain words where nothing holds."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from closedloop.presentation.blocks import Piece, Table
from closedloop.questions.leads import conversions
from closedloop.questions.personas import attributes, promised_rates, recognition
from closedloop.workbench.answer import Evidence

from tests.documents.ledger import HOSTILE, claims, words
from tests.questions.persona_claims import CHANGED, CLAIMS, TABLES

LEDGER = CLAIMS
PAGES = {
    "personas": recognition._show_sizes,
    "rules": recognition._show_rule,
    "attributes": attributes._show_shares,
    "nearest": attributes._show_nearest,
    "prevalence": attributes._show_prevalence,
    "funnel": conversions._show_groups,
    "promises": promised_rates._show_promises,
    "avoid": promised_rates._show_anti_personas,
    "stability": recognition._show_samples,
    "changes": recognition._show_changes,
    "history": recognition._show_history,
}
CELLS = {"promises": ("personas", "changes")}


def evidence(page: str, ledger: pd.DataFrame = LEDGER, **changes: Any) -> Evidence:
    own = ledger[ledger["cell"].isin(CELLS.get(page, (page,)))]
    results = {"is_cross_fitted": True, "review_on": "2025-07-01"}
    given = {"tables": TABLES, "results": results} | changes
    return Evidence(words(fast="Fast start"), "2025-q1", own, ledger, **given)


def text(pieces: Sequence[Piece]) -> str:
    told = "\n".join(map(repr, pieces)).replace("\N{NO-BREAK SPACE}", " ")
    return "\n".join(" ".join(line.split()) for line in told.splitlines())


def page(name: str, ledger: pd.DataFrame = LEDGER, **changes: Any) -> str:
    return text(PAGES[name](evidence(name, ledger, **changes), ""))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("personas", "2 personas; 1 still assumed, with fewer than ten decided deals of its own."),
        ("rules", "errs on 20 % (15–26 %, n = 90) of unseen cases, guessing the largest persona on 50 %."),
        ("rules", "The same rule as SQL: CASE x END"),
        ("attributes", "wants price 33 % ▲ 80 % (38–50 %) ▼ 10 % (5–15 %)"),
        ("attributes", "Persona Fast start – no detectable difference from the market: product: Yard Plan."),
        ("attributes", "Measured on 90 rows of leads, 2024-q4 to 2025-q1."),
        ("attributes", "by rules learned on the others, so that no answer proves itself."),
        (
            "attributes",
            "Persona Fast start – lead with: wants price (80 % against 33 % of the market). No other persona",
        ),
        ("nearest", "Look twice before you tell them apart: persona Fast start and slow."),
        ("nearest", "Fast start slow wants price 80 % (38–50 %, n = 210) 10 % (5–15 %, n = 210)"),
        ("prevalence", "Rarest among its members is the full description of slow: 5 of 50 have every trait."),
        ("promises", "50 % (46–58 %, n = 80) 30 % (26–38 %, n = 80) 40 % (36–48 %, n = 80) 31 won of 80"),
        ("promises", "The highest promise now: 40 % of decided deals, by persona Fast start."),
        ("funnel", "Fast start 100 60 % (59–70 %, n = 100) 20 % (19–70 %, n = 100)"),
        ("avoid", "Slow – won less often: 23 % against 33 % of all deals decided in like periods"),
        ("avoid", "Number of sites: 1 – accepted by sales less often: 23 % against 33 %"),
        ("avoid", "Fast start too early 70 % (50–85 %, n = 20)"),
        ("stability", "Each is found again with 0.7 or more (slow): too loose to plan with alone."),
        ("stability", "95 %"),
        ("changes", "1 change since the last period."),
        (
            "history",
            "Fast-sites is split from persona Fast start 70 % won, were periods alike (60–79 %, n = 68) against 50 %",
        ),
        ("history", "1 edit made since research found the first set."),
        ("history", "People put another set into force"),
        ("history", "Next review: 2025-07-01, when the period has ended."),
    ],
)
def test_figures_stand_where_they_belong(name: str, said: str) -> None:
    assert said in page(name)


@pytest.mark.parametrize("name", [name for name in PAGES if name not in ("changes", "history")])
def test_every_row_of_a_table_of_claims_cites_them(name: str) -> None:
    known = set(LEDGER["claim_id"])
    tables = [piece for piece in PAGES[name](evidence(name), "") if isinstance(piece, Table)]
    for table in tables:
        assert len(table.claims) == len(table.rows) and all(table.claims)
        assert {name for ids in table.claims for name in ids} <= known


@pytest.mark.parametrize("name", PAGES)
def test_text_of_the_source_cannot_become_markup(name: str) -> None:
    ledger = LEDGER.assign(level=LEDGER["level"].replace({"slow": HOSTILE, "1": HOSTILE}))
    html = "".join(piece._repr_html_() for piece in PAGES[name](evidence(name, ledger), ""))
    assert HOSTILE not in html and "<script>alert" not in html and "<img src=x" not in html


def test_equal_promises_are_named_together() -> None:
    own = LEDGER[LEDGER["measure"].eq("promised_win_rate")]
    other = own.assign(level="slow", claim_id="promise-2")
    said = page("promises", pd.concat([LEDGER, other], ignore_index=True))
    assert "The highest promise now: 40 % of decided deals, by persona Fast start and slow." in said
    lower = page("promises", pd.concat([LEDGER, other.assign(estimate=0.3)], ignore_index=True))
    assert "40 % of decided deals, by persona Fast start." in lower


def test_the_first_set_has_no_changes_and_a_first_promise_is_none() -> None:
    one = TABLES["changes"]
    first = page("changes", tables=TABLES | {"changes": one.assign(change="new")})
    assert "The first set, as research found it." in first and "since the last period" not in first
    promise = one.assign(change="adjusted", is_rule_changed=False, is_first_promise=True)
    assert "No persona changed since the last period." in page("changes", tables=TABLES | {"changes": promise})


def test_a_pair_cites_the_claims_on_its_attribute_in_both_personas() -> None:
    table = PAGES["nearest"](evidence("nearest"), "")[0]
    assert isinstance(table, Table)
    assert {"share-1", "share-2"} <= set(table.claims[0])


def test_an_anti_persona_needs_outcomes_that_hold() -> None:
    told = page("avoid")
    assert "fair" not in told, "a channel is nobody"
    assert "2-5" not in told, "what is only watched turns nobody away"
    assert told.index("won less often") < told.index("its judgement and no outcome") < told.index("Number of sites: 1")
    judged = LEDGER[~LEDGER["claim_id"].isin(["won-less"])]
    assert page("avoid", judged).startswith("Nobody is compared yet, so nobody is left out.")
    refused = pd.concat([judged, claims({"measure": "win_rate", "verdict": "refused"})])
    told = page("avoid", refused)
    assert told.startswith("No anti-persona is supported: nobody is shown to be won less often than the rest.")
    assert "accepted by sales less often" in told


def test_what_does_not_hold_like_for_like_makes_no_anti_persona() -> None:
    turned = {"measure": "win_rate_reversed", "family": "none", "field": "persona", "level": "slow", "within": "sites"}
    told = page("avoid", pd.concat([LEDGER, claims(turned | {"claim_id": "turned"})]))
    assert "Slow – won less often" not in told


def test_before_the_families_are_closed_no_anti_persona_is_named() -> None:
    assert page("avoid", LEDGER.head(0)).startswith("Provisional")


def test_a_retired_persona_keeps_its_name() -> None:
    gone = pd.DataFrame([CHANGED | {"persona": "old", "name": "Old hands", "change": "retired"}])
    assert "Old hands retired no longer a persona" in page("changes", tables={"changes": gone})


def test_what_is_no_different_for_all_is_told_once() -> None:
    wishes = LEDGER.query("measure == 'share' and field == 'wants_price'").assign(verdict="refused")
    told = page("attributes", wishes)
    assert "- Every persona – too few to tell: wants price." in told
    assert "Nothing is shown to set the personas apart." in told and "lead with" not in told


def test_a_fact_that_the_rule_settles_is_nothing_to_lead_with() -> None:
    implied = pd.DataFrame({"field": ["wants_price"], "level": ["yes"]})
    assert "lead with" not in page("attributes", tables={"implied": implied})


def test_a_set_without_edits_is_as_research_found_it() -> None:
    bare = {"history": TABLES["history"].head(0)}
    told = page("history", tables=bare, results={"review_on": None})
    assert "No edit has been made: the set is as research found it." in told
    assert "this market records no dates" in told


def test_the_rule_is_told_in_the_markets_words() -> None:
    shown = replace(evidence("rules"), rules={"fast": ["number of sites: 1"]})
    assert "The whole rule in words: Persona Fast start: number of sites: 1" in text(PAGES["rules"](shown, ""))


def test_where_only_won_deals_are_recorded_nothing_is_promised() -> None:
    told = page("promises", LEDGER.head(0), results={"only_won": True})
    assert told == "Nothing is promised, no win rate: only won deals are recorded."
