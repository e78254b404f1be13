"""Signals in playbook and brief: what to look for, what to try and measure, and the points of a deal."""

from dataclasses import replace

import pandas as pd
import pytest
from closedloop.claims.ledger import CLAIM_COLUMNS, Origin, counted, estimated, stacked
from closedloop.documents.document import Dossier
from closedloop.documents.signals import of_buyers, to_try
from closedloop.personas.persona_set import Change
from closedloop.personas.signals import CONFIRMED, NEW, Signal
from closedloop.presentation.signal_words import state_told
from closedloop.statistics.level_effects import MISSING
from closedloop.statistics.rules import Among, Branch, Rule

from tests.documents.dossiers import SITES, held, stated
from tests.documents.ledger import rates, totals
from tests.documents.test_documents import PERSONAS, PLAN, brief, card, dossier, glance, plain, playbook

BY_NEED = replace(PERSONAS, rule=Rule((Branch((Among("need", ("speed",)),), "fast", 80, 1.0),), "slow", ("need",)))
AT = Origin("02_personas", "signals", "deals", "2024-q1", "2024-q4")
SINCE = AT._replace(first_period="2025-q1", last_period="2025-q1")
OF_LEADS = Origin("03_leads", "lead_card", "leads", "2024-q1", "2024-q4")
POINTS = {"unit": "points"}
SIGNALS = (
    Signal("sites", "over 20", "2025-q1", 0.12, 0.05, 0.19, 0.5, 0.2, 227, state=CONFIRMED, since_points=0.11,
           since_low=0.04, since_high=0.17, since_n=96, n_same=1, n_periods=1),
    Signal("sites", "1", "2025-q2", -0.08, -0.13, -0.03, -0.4, 0.1, 90, state=NEW),
    Signal("sites", "2-5", "2025-q2", 0.10, 0.02, 0.18, 0.4, 0.2, 60, persona="slow", state=NEW),
    Signal("product", "plan", "2025-q2", 0.07, 0.02, 0.12, 0.3, 0.1, 140, state=NEW),
)  # fmt: skip
ENTERED = Change("2025-q2", "signal", "", "", "product", "plan", estimate=0.07, low=0.02, high=0.12, n=140,
                 last_period="2025-q1")  # fmt: skip
OLD, OTHERS = replace(ENTERED, period="2025-q1", level="gate"), replace(ENTERED, persona="slow", level="crew")


def _claims() -> pd.DataFrame:
    promised = [
        {"field": one.field, "level": one.level, "subject": one.persona or "market"}
        | {"estimate": one.points, "low": one.low, "high": one.high, "n": one.n}
        for one in SIGNALS
    ]
    amounts = [*rates("product", plan=(15_700, 12_900, 19_200, 306)), *rates("", **{"": (11_800, 10_600, 13_300, 878)})]
    given = [
        *rates("sites", **{"1": (0, -3, 3, 90), "over 20": (14, 8, 20, 227)}),
        *rates("product", plan=(6, 2, 10, 140)),
    ]
    return stated(
        estimated(promised, AT, measure="signal_points", **POINTS),
        estimated(rates("sites", **{"over 20": (0.11, 0.04, 0.17, 96)}), SINCE, measure="signal_since", **POINTS),
        counted(totals("sites", 1, **{"over 20": 1}), SINCE, measure="signal_same_periods"),
        counted([{"field": "product", "level": "plan", "estimate": 640, "n": 140}], AT, measure="test_arm_deals"),
        estimated(amounts, SINCE._replace(notebook="05_deals"), measure="won_amount_per_decided", unit="amount"),
        estimated(given, AT._replace(cell="card"), measure="card_points", unit="count"),
        estimated(rates("sites", **{"2-5": (9, 5, 13, 300)}), OF_LEADS, measure="card_points", unit="count"),
        estimated([{"field": "points", "level": "40", "estimate": 0.3, "n": 25}], AT, measure="card_chance"),
    )


def with_own_deals(found: Dossier, n: int, of: int) -> Dossier:
    """The dossier, where so many of its persona's deals have the level of the first signal."""
    own = [{"field": "sites", "level": "over 20", "estimate": n, "n": of}]
    claims = stated(counted(own, AT, measure="signal_persona_deals", subject="fast"))
    return replace(found, plan=stacked([found.plan, claims], CLAIM_COLUMNS))


@pytest.fixture
def told() -> Dossier:
    """A dossier of a set with signals: of buyers, of one persona, and of a product."""
    personas = replace(BY_NEED, signals=SIGNALS, changelog=(OLD, OTHERS, ENTERED))
    found = dossier(personas=personas, plan=stacked([PLAN, _claims()], CLAIM_COLUMNS))
    return whose_members_have(found, held("sites", fast=SITES, slow=SITES))


def whose_members_have(found: Dossier, levels: pd.DataFrame) -> Dossier:
    """The dossier, where the personas' members have these levels."""
    tables = found.steps["personas"].tables | {"held": levels}
    return replace(found, steps=found.steps | {"personas": replace(found.steps["personas"], tables=tables)})


def test_the_glance_says_what_to_look_for_and_how_sure_it_is(told: Dossier) -> None:
    assert card("look", told) == ["Number of sites: over 20,", "And others: see “What moves the chance?”"]
    shown = plain(playbook(told).glance())
    text = (
        "promised +12 points (5 to 19; n = 227, 2024-q1 to 2024-q4), came since +11 points (4 to 17; n = 96, 2025-q1), "
        "in all personas together, confirmed: the promised way in the only period so far"
    )
    assert f"over 20, {text}; of this persona fewer than ten deals: too few to tell" in shown
    known = with_own_deals(told, 34, of=80)
    assert f"over 20, {text}; of this persona 34 of 80 deals, 2024-q1 to 2024-q4" in plain(playbook(known).glance())
    assert "Of this persona 34 of 80 deals, 2024-q1 to 2024-q4." in plain(playbook(known).signals())
    against = card("look", replace(told, personas=replace(BY_NEED, signals=SIGNALS[1:2])))
    assert against == ["Against it: number of sites: 1,"]


def test_nobody_is_told_to_look_for_what_tells_no_member_of_the_persona_from_another(told: Dossier) -> None:
    """Also of a persona that the rule gives all others: none of them may have a level that another one has."""
    found = whose_members_have(told, held("sites", fast=("1", "2-5"), slow=("2-5", "over 20")))
    assert [one.level for one in of_buyers(found)] == ["1"]
    assert [one.level for one in of_buyers(replace(found, chosen="slow"))] == ["2-5", "over 20"]
    nine = found.table("personas", "held")
    nine = nine.assign(n=nine["n"].mask(nine["level"] == "1", 9))
    assert of_buyers(whose_members_have(found, nine)) == [], "nine of 59 members have it"
    flags = [replace(SIGNALS[0], field="is_new", level=level) for level in ("yes", "no", MISSING)]
    found = replace(found, personas=replace(PERSONAS, signals=tuple(flags)))
    for levels, wanted in ((("yes",), []), (("yes", MISSING), ["yes", MISSING])):
        own = whose_members_have(found, held("is_new", fast=levels, slow=("no",)))
        assert [one.level for one in to_try(own)] == wanted
    assert [one.level for one in to_try(found)] == ["yes", "no", MISSING], "nobody knows what is not recorded of them"


def test_what_went_the_other_way_since_does_not_stand_first_and_is_said(told: Dossier) -> None:
    first = replace(SIGNALS[0], since_points=-0.06, since_low=-0.2, since_high=0.1, n_same=0, n_periods=1)
    first = replace(first, state="not yet told")
    other = replace(SIGNALS[0], level="2-5", n_same=3, n_periods=4)
    found = replace(told, personas=replace(BY_NEED, signals=(first, other)))
    assert [one.level for one in of_buyers(found)] == ["2-5", "over 20"]
    assert card("look", found) == ["Number of sites: 2-5,"]
    assert "look" not in {
        part.name for part in glance(playbook(replace(found, personas=replace(BY_NEED, signals=(first,))))).cards
    }
    assert state_told(first) == "not yet told: the other way in the only period so far"
    assert state_told(other) == "confirmed: the promised way in 3 of 4 periods"
    assert state_told(replace(first, n_periods=0, state="withdrawn")) == "withdrawn: too little came since to tell"


def test_what_hardly_any_deal_of_the_persona_lacks_is_not_to_be_looked_for(told: Dossier) -> None:
    assert [one.level for one in of_buyers(with_own_deals(told, 70, of=80))] == ["over 20", "1"]
    assert [one.level for one in of_buyers(with_own_deals(told, 71, of=80))] == ["1"], "nine deals lack it"


def test_what_hardly_any_deal_of_the_persona_has_stands_behind_what_more_have(told: Dossier) -> None:
    rarer = replace(SIGNALS[0], level="2-5", points=0.05, state=NEW)
    found = replace(told, personas=replace(BY_NEED, signals=(rarer, SIGNALS[0])))
    assert [one.level for one in of_buyers(found)] == ["over 20", "2-5"], "the confirmed one first"
    own = [{"field": "sites", "level": "2-5", "estimate": 34, "n": 80}]
    claims = stated(counted(own, AT, measure="signal_persona_deals", subject="fast"))
    known = replace(found, plan=stacked([found.plan, claims], CLAIM_COLUMNS))
    assert [one.level for one in of_buyers(known)] == ["2-5", "over 20"]


def test_the_confirmed_stands_before_what_nobody_can_tell_of_yet(told: Dossier) -> None:
    doubtful = replace(SIGNALS[0], level="2-5", state="not yet told", points=0.3)
    found = replace(told, personas=replace(BY_NEED, signals=(doubtful, replace(SIGNALS[0], state="confirmed"))))
    assert [one.level for one in of_buyers(found)] == ["over 20", "2-5"]


def test_a_deviation_is_told_in_the_documents_of_its_persona_alone(told: Dossier) -> None:
    assert "2-5" not in plain(playbook(told).signals()) + plain(playbook(told).glance())
    own = plain(playbook(replace(told, chosen="slow")).signals())
    assert "Number of sites: 2-5: in persona Slow it goes with more wins than in the other personas: promised" in own


def test_what_is_no_fact_of_a_buyer_is_to_be_tried_and_measured(told: Dossier) -> None:
    page = playbook(told)
    looked, tried, *_ = page.signals().pieces
    assert "product" not in plain(looked) and "sites" not in plain(tried)
    assert "in all personas together, deals were won more often when the product was “Yard Plan”" in plain(tried)
    assert "“product: Yard Plan” and what is usual, 640 decided deals each" in plain(tried)
    cited = page.claims.set_index("measure")
    assert {"signal_points", "signal_since", "test_arm_deals", "card_points", "card_chance"} <= set(cited.index)


def test_the_card_of_deals_stands_in_the_detail(told: Dossier) -> None:
    rows = playbook(told).signals().pieces[-1].tables[0].rows  # type: ignore[attr-defined]
    assert rows[1] == ("number of sites: over 20", "14", "8–20", "227", "in all personas together")
    assert rows[2][0] == "product: Yard Plan" and len(rows) == 3


def test_what_entered_when_the_period_began_is_told_as_a_change(told: Dossier) -> None:
    changed = card("changed", told)
    assert [text for text in changed if "points" in text] == [
        "Product: Yard Plan: +7\N{NO-BREAK SPACE}points (2 to 12), in all personas together, from now on"
    ]


def test_many_changes_are_counted_on_the_glance_and_told_below(told: Dossier) -> None:
    many = replace(told.personas, changelog=tuple(replace(ENTERED, level=level) for level in ("plan", "gate", "crew")))
    told = replace(told, personas=many)
    assert "3 signals entered or left: see “What moves the chance?”" in card("changed", told)
    assert plain(playbook(told).signals()).count("+7 points (2 to 12), in all personas together, from now on") == 3


def test_the_brief_sets_a_product_beside_what_a_decided_deal_brought(told: Dossier) -> None:
    part = brief(told).channels().pieces[-1]
    first, every = part.tables[0].rows  # type: ignore[attr-defined]
    assert first[0] == "product: Yard Plan" and every[0] == "all together"
    assert "won per decided deal, estimated" in plain(part)
    assert part.intro.endswith("drawn toward that of all, the more the fewer its deals.")  # type: ignore[attr-defined]
    assert "EUR 15,700" in plain(part) and "EUR 11,800 (EUR 10,600–13,300, n = 878), 2025-q1" in plain(part)
    assert "+7 points (2 to 12; n = 140, 2024-q1 to 2024-q4)" in plain(part) and "sites" not in plain(part)


def test_without_signals_nothing_is_said_to_matter_nothing() -> None:
    page = playbook(dossier())
    assert "Look for" not in plain(page.glance())
    assert plain(page.signals()).count("that is not to say that nothing matters") == 2
    assert "this does not say that none does" in plain(brief(dossier()).channels())
