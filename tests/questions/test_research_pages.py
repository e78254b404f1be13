"""What 01 says of hand-made claims: figures in the right places, plain words where nothing holds."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest
from closedloop.claims.ledger import CLAIM_COLUMNS, Origin, counted, outside, stacked
from closedloop.presentation.blocks import Piece, Table
from closedloop.questions.research import sample, segments, targets
from closedloop.workbench.answer import Evidence

from tests.documents.ledger import HOSTILE, words
from tests.questions.research_claims import CLAIMS, RESULTS, TABLES

LEDGER = CLAIMS
PAGES = {
    "size": sample._show_size,
    "criteria": targets._show_ideal,
    "explore": sample._show_answers,
    "segments": segments._show_segments,
    "profile": segments._show_profile,
    "targets": targets._show_targets,
    "offer": targets._show_offer,
    "waves": segments._show_waves,
}


def evidence(claims: pd.DataFrame = LEDGER, **changes: Any) -> Evidence:
    given = {"tables": TABLES, "results": RESULTS} | changes
    return Evidence(words(fast="Fast start"), "2025-q1", claims, claims, **given)


def text(pieces: Sequence[Piece]) -> str:
    told = "\n".join(map(repr, pieces)).replace("\N{NO-BREAK SPACE}", " ")
    return "\n".join(" ".join(line.split()) for line in told.splitlines())


def page(name: str, **changes: Any) -> str:
    return text(PAGES[name](evidence(**changes), ""))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("size", "900 rows of respondents for 12 columns: enough (advised are 720)."),
        ("size", "Everything that a cut needs is there"),
        ("criteria", "large enough: share of the market at least 10 %"),
        ("criteria", "market.toml sets no criteria, so the usual ones count alike."),
        ("explore", "2 dimensions stand out from shuffled answers; the strongest holds 30 % of all variance,"),
        ("explore", "Missing most often: wants price, 5 % (3–7 %, n = 900)."),
        ("segments", "(agreement 0.90 where 0.75 is asked, and 0.10 for shuffled answers) with every segment"),
        ("segments", "(the weakest 0.80)."),
        (
            "segments",
            "With what is found again they name 2 to 3 (BIC 3, ICL 2, held-out rows 3): fit alone goes on rewarding",
        ),
        ("segments", "Verdict: reproducible, which means found again in other samples, though without clear"),
        ("segments", "The weakest segment is segment 1: found again at 0.8 on a scale to 1."),
        ("targets", "Segment 0 (persona Fast start) – target: more attractive."),
        ("targets", "attractiveness 0.90 (0.40 to 1.40) −0.90 (−1.40 to −0.40)"),
        ("offer", "Adapt offer, price, channels and messages for segment 0 (persona Fast start)."),
        ("offer", "wants price 90 %"),
        ("waves", "the cut gave 2 segments (natural), as many as now."),
        ("waves", "it agrees with today's cut at 0.85 (0.80 to 0.90, n = 300) on a scale to 1."),
        ("waves", "+6 points (+1 to +11 points)"),
        ("waves", "Changed in size: segment 0."),
        ("profile", "They are cut above all by: wants price, product: Yard Plan."),
        ("profile", "segment 0: 60 % (50–70 %, n = 900) of the market, about 120 known accounts."),
    ],
)
def test_a_page_says_what_its_claims_hold(name: str, said: str) -> None:
    assert said in page(name)


def test_answers_that_exclude_each_other_are_named_and_a_number_has_no_yes() -> None:
    assert "“wants price” and “" in page("explore")
    assert "exclude each other most: rank correlation −0.50 (−0.60 to −0.40, n = 900)." in page("explore")
    pair = LEDGER["measure"] == "association"
    number = LEDGER.assign(within=LEDGER["within"].mask(pair, "sites"))
    assert "“number of sites” exclude each other" in page("explore", claims=number)


def test_one_market_is_told_with_the_number_that_came_closest() -> None:
    results = {"recommended_k": 1, "verdict": "no segments", "lowest_k": 1, "highest_k": 1}
    told = page("segments", results=results)
    assert "No number of segments can be trusted: one market. The best number, 2, is found again at 0.90" in told
    assert "Verdict: no segments, which means that no cut comes back in other samples." in told
    alone = LEDGER[~((LEDGER["measure"] == "profile_share") & (LEDGER["subject"] == "1"))]
    said = "Not available: the market was not cut into segments, and one alone has no profile."
    assert page("profile", claims=alone) == said


def test_a_number_that_was_asked_for_is_not_called_the_largest_that_holds() -> None:
    told = page("segments", results={**RESULTS, "is_number_given": True, "verdict": "unstable"})
    assert "2 segments are used: this number was asked for (agreement 0.90 where 0.75 is asked" in told
    assert "found again (agreement" not in told
    assert "Verdict: unstable, which means that this number was asked for" in told


def test_without_a_target_none_is_favoured() -> None:
    rows = TABLES["targets"]
    tables = {**TABLES, "targets": rows.assign(choice=["cannot tell", "not now"])}
    assert "No segment is shown to be a target; whether segment 0" in page("offer", tables=tables)
    none = {**tables, "targets": rows.assign(choice="left out")}
    said = "No segment is a target, nor close to one: none is to be favoured with an offer of its own."
    assert page("offer", tables=none) == said


def test_too_few_rows_and_no_wave_are_named() -> None:
    is_rows = LEDGER["measure"] == "n_rows"
    few = LEDGER.assign(estimate=LEDGER["estimate"].mask(is_rows, 300.0))
    few = few[~few["measure"].isin(["n_last_wave", "n_ended"])]
    told = page("size", claims=few)
    assert "too few to be sure, so look at the stability first (advised are 720)" in told
    assert "A cut has to do without: as many rows to cut as advised; ended deals to judge segments by; rows" in told
    assert page("size", claims=LEDGER[~is_rows]) == "Nothing is recorded that could be cut into segments."


def test_fields_that_nobody_is_compared_by_and_leaks_are_told_with_the_sample() -> None:
    known = Origin("01_research", "sample", "deals", "2025-q1", "2025-q1")
    rows = [{"field": "account_hash", "level": "an identifier", "estimate": 495, "n": 512}]
    held = outside(counted(rows, known, measure="n_values"), market="yard", period="2025-q1")
    told = page("size", claims=stacked([LEDGER, held], CLAIM_COLUMNS), results={"kept_out": ["sites"]})
    assert (
        "account hash (account_hash of deals) looks like an identifier: 495 values among 512 records; it is kept out "
        "of rules, segments, comparisons and scores. List it under [checked] of market.toml if it is a field."
    ) in told
    assert "since they look like leaks of the outcome: number of sites. 03 leads says why." in told


@pytest.mark.parametrize("name", PAGES)
def test_every_number_is_of_a_claim_and_hostile_text_never_becomes_a_tag(name: str) -> None:
    tables = {key: frame.map(lambda cell: HOSTILE if cell == "more attractive" else cell)
              for key, frame in TABLES.items()}  # fmt: skip
    pieces = PAGES[name](evidence(tables=tables, results={**RESULTS, "verdict": HOSTILE}), HOSTILE)
    html = "".join(piece._repr_html_() for piece in pieces)
    assert "<script" not in html
    assert "<img src=x" not in html
    ids = set(LEDGER["claim_id"])
    for piece in pieces:
        if isinstance(piece, Table):
            assert all(row and set(row) <= ids for row in piece.claims)
