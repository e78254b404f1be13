"""Playbook, brief and battlecard: made of claims and of the team's own texts, and of nothing else."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from closedloop.documents.battlecard import Battlecard
from closedloop.documents.brief import CampaignBrief
from closedloop.documents.document import Document, Dossier, Glance, Part
from closedloop.documents.playbook import SalesPlaybook
from closedloop.market.periods import Period
from closedloop.period.store import Step
from closedloop.personas.persona_set import SPLIT, Change, Persona, PersonaSet
from closedloop.presentation.blocks import RESULTS, Sentence
from closedloop.statistics.rules import Among, Branch, Rule

from tests.documents.dossiers import OUTCOME as ENDED
from tests.documents.dossiers import PLAN as PLANNED
from tests.documents.dossiers import TABLES, won_by
from tests.documents.ledger import HOSTILE, claims, definition, words

PERIOD = Period(date(2025, 4, 1), date(2025, 7, 1), "2025-q2")
RULE = Rule((Branch((Among("sites", ("1",)),), "fast", 40, 0.9),), "slow", ("sites",))
PERSONAS = PersonaSet(
    market="yard",
    period="2025-q2",
    origin="research",
    rule=RULE,
    personas=(
        Persona("fast", "Fast start", "0", ("sites is 1",), 0.44, 0.40, 0.52, 80, 35, False),
        Persona("slow", "Slow", "1", ("everyone else",)),
    ),
)
SHARE = {"measure": "share", "notebook": "02_personas", "subject": "fast", "source_table": "respondents"}
WISH = {**SHARE, "field": "wants_price", "level": "yes", "estimate": 0.8, "baseline": 0.5, "effect": 0.3}
CHANNEL = {"measure": "accepted_rate", "notebook": "03_leads", "cell": "accepted", "field": "channel"}
BY_CHANNEL = claims(WISH, CHANNEL | {"level": "search"}, CHANNEL | {"level": "fair", "effect": -0.2})
PLAN = pd.concat([BY_CHANNEL, PLANNED], ignore_index=True)
REFUSED = {"claim_id": "outcome-1", "field": "competitor", "level": "rival-a", "verdict": "refused", "n": 15}
OUTCOME = pd.concat([claims({"claim_id": "outcome-0"}, REFUSED), ENDED], ignore_index=True)


def material(kind: str, text: str, **columns: Any) -> dict[str, Any]:
    """One text of the team."""
    return {"material_id": f"M-{kind}-{text[:3]}", "kind": kind, "title": "Title", "text": text, **columns}


MATERIALS = [
    material("value_proposition", "For everyone."),
    material("value_proposition", "A fair price.", topic="price"),
    material("question", "What does it cost today? Good answer: a figure.", topic="price"),
    material("question", "Who else decides?"),
    material("question", "How soon?", topic="speed"),
    material("proof", "The price list.", topic="price"),
    material("answer", "Compare the hours.", topic="trust"),
    material("disqualifier", "Walk away when nobody pays."),
    material("question", "What do you like about it?", competitor="rival-a"),
    material("message", "For the other persona.", persona="slow", topic="price"),
]
COLUMNS = [
    "material_id", "added_on", "kind", "title", "text", "persona", "buying_role", "stage", "competitor", "topic",
]  # fmt: skip


def written(texts: list[dict[str, Any]]) -> pd.DataFrame:
    """The team's texts."""
    return pd.DataFrame(texts).reindex(columns=COLUMNS)


def dossier(kind: str = "persona", chosen: str = "fast", **changes: Any) -> Dossier:
    """A dossier made by hand."""
    steps = {name: Step(name, tables) for name, tables in TABLES.items()}
    steps["leads"].results["score_verdict"] = "usable"
    steps["personas"].results["competitors"] = ["rival-a", "no_decision"]
    dated = definition(clock="day", extracted_on=date(2025, 3, 31), periods={"first": "2025-q1", "length": "quarter"})
    told = replace(words(fast="Fast start", slow="Slow"), definition=dated)
    whole = Dossier(told, PERIOD, PERSONAS, steps, PLAN, OUTCOME, written(MATERIALS))
    return replace(whole, **changes, kind=kind, chosen=chosen)


def playbook(found: Dossier) -> SalesPlaybook:
    """The sales playbook of a dossier."""
    return SalesPlaybook(found, Path("nowhere"))


def brief(found: Dossier) -> CampaignBrief:
    """The campaign brief of a dossier."""
    return CampaignBrief(found, Path("nowhere"))


def battlecard(found: Dossier) -> Battlecard:
    """The battlecard of a dossier."""
    return Battlecard(found, Path("nowhere"))


PLAYBOOK = ("glance", "fit", "buying", "messages", "stages", "signals", "qualification", "objections", "materials",
            "cadence", "expected", "next_leads")  # fmt: skip
BRIEF = ("glance", "whom", "message", "channels", "offer", "feedback", "expected", "judged")
CARD = ("glance", "met", "why", "strong", "questions", "walk_away", "verified")


def glance(page: Document) -> Glance:
    """The glance of a document."""
    (shown,) = page.glance().pieces
    assert isinstance(shown, Glance)
    return shown


def plain(shown: object) -> str:
    """What is shown, as text with plain spaces."""
    return repr(shown).replace("\N{NO-BREAK SPACE}", " ")


def card(name: str, found: Dossier) -> list[str]:
    """The texts on one card of the glance page."""
    return [line.text for line in next(part for part in glance(playbook(found)).cards if part.name == name).lines]


def test_the_glance_has_every_card_that_a_seller_needs() -> None:
    names = [part.name for part in glance(playbook(dossier())).cards]
    assert names == ["who", "sentence", "ask", "prove", "objection", "walk", "expect", "changed"]


def test_the_facts_are_size_choice_and_the_last_day_of_the_period() -> None:
    facts = glance(playbook(dossier())).facts
    assert said(facts) == [
        "60 % (50–70 %, n = 60) of known leads",
        "our choice – target",
        "valid until 2025-06-30",
    ]
    assert all(fact.claims for fact in facts[:2])


def test_texts_follow_what_sets_the_persona_apart_then_what_was_heard() -> None:
    assert dossier().topics == ["price", "trust"]
    assert card("sentence", dossier()) == ["A fair price."]
    assert card("ask", dossier()) == ["What does it cost today?", "Who else decides?", "How soon?"]


def test_what_a_good_answer_sounds_like_stands_apart() -> None:
    line = glance(playbook(dossier())).cards[2].lines[0]
    assert (line.text, line.detail, line.mark) == ("What does it cost today?", "Good: a figure.", "assumed")


def test_the_top_objection_comes_with_its_count_and_the_teams_answer() -> None:
    assert card("objection", dossier()) == ["“Trust”", "Compare the hours."]
    (heard, _) = next(part for part in glance(playbook(dossier())).cards if part.name == "objection").lines
    assert heard.detail.replace("\N{NO-BREAK SPACE}", " ") == "79 % (52–92 %, n = 14) of objections"
    unanswered = dossier(materials=written([text for text in MATERIALS if text["kind"] != "answer"]))
    assert card("objection", unanswered)[1] == "No answer is written yet: write one (materials, kind answer)."


LOGGED = {"measure": "n_objection", "unit": "count", "family": "none", "verdict": "counted", "low": None, "high": None}
WHOLE = [
    {**LOGGED, "field": "topic", "level": "trust", "estimate": 61, "n": 223},
    {**LOGGED, "field": "topic", "level": "price", "estimate": 50, "n": 223},
    {**LOGGED, "field": "", "level": "", "estimate": 223, "n": 223},
]
HERE = {**LOGGED, "subject": "slow", "field": "", "level": "", "estimate": 29, "n": 29}


def rarely_heard(*told: dict[str, Any], logged: Sequence[str] = ("n_objection",)) -> Dossier:
    """A persona of whom no topic was named ten times."""
    told_of = {"logged": list(logged)}
    steps = {"personas": Step("personas", TABLES["personas"], results=told_of)}
    return dossier(chosen="slow", plan=claims(*told), steps=steps)


def test_where_no_topic_is_named_ten_times_those_of_all_deals_are_shown_and_marked() -> None:
    (top, answer, here) = next(
        part for part in glance(playbook(rarely_heard(*WHOLE, HERE))).cards if part.name == "objection"
    ).lines
    assert (top.text, top.detail, top.mark) == ("“Trust”", "61 of 223 objections", "in all deals, 2024-q2 to 2025-q1")
    assert answer.text == "Compare the hours."
    assert here.text == "29 objections were logged here in 2024-q2 to 2025-q1, no topic ten times"
    assert top.claims == ("claim-0",) and here.claims == ("claim-3",)
    (detail,) = playbook(rarely_heard(*WHOLE, HERE)).objections().pieces
    assert [row[:3] for row in detail.tables[0].rows] == [
        ("trust", "61 of 223", "Compare the hours."), ("price", "50 of 223", "not written yet"),
    ]  # fmt: skip
    assert [line.text for line in detail.lines] == [here.text]


def test_what_was_logged_fewer_than_ten_times_is_no_number() -> None:
    few = "Fewer than ten objections were logged {} in {}"
    assert card("objection", rarely_heard(*WHOLE))[-1] == few.format("here", "2024-q2 to 2025-q1")
    none = [few.format(where, "the periods looked at") for where in ("here", "in all deals")]
    assert card("objection", rarely_heard()) == none


def test_nobody_is_asked_to_log_what_was_logged() -> None:
    asked, heard = ("Log objections", "Let sales log remarks"), ("glance", "buying", "objections")
    kinds = ("pain", "trigger", "question", "objection", "sales_feedback", "sales_rejection")
    full = rarely_heard(logged=[f"n_{kind}" for kind in kinds])
    text = plain([*(getattr(playbook(full), name)() for name in heard), brief(full).feedback()])
    assert not any(words in text for words in asked)
    none = plain([getattr(playbook(rarely_heard(logged=())), name)() for name in heard])
    assert all(words in none for words in asked), "nothing was logged, so it is asked for"


def test_the_battlecard_shows_what_is_objected_elsewhere_where_it_is_too_rare_here() -> None:
    told_of = {"logged": ["n_objection"], "competitors": ["rival-b"]}
    steps = {"personas": Step("personas", results=told_of)}
    found = dossier("competitor", "rival-b", plan=claims(*WHOLE), steps=steps)
    objected = battlecard(found).why().pieces[2]
    assert [line.text for line in objected.lines] == [
        "trust",
        "price",
        "Fewer than ten objections were logged with ended deals against rival-b in 2024-q2 to 2025-q1",
    ]
    assert {line.mark for line in objected.lines} == {"in all deals, 2024-q2 to 2025-q1", ""}


def test_rules_on_the_glance_are_in_the_markets_words() -> None:
    assert card("who", dossier())[0] == "In the CRM: number of sites: 1"
    assert card("who", dossier())[1] == "Wants price"


def test_of_a_win_rate_that_two_notebooks_compared_the_periods_own_verdict_is_told() -> None:
    own = {"field": "persona", "level": "fast", "estimate": 0.42, "baseline": 0.36, "effect": 0.06}
    planned, ended = own | {"notebook": "02_personas"}, own | {"verdict": "leaning", "claim_id": "ended-0"}
    page = playbook(dossier(plan=claims(planned), outcome=claims(ended)))
    text = plain(page.expected())
    assert "won more often: 42 % against 36 %" in text and "may be won more often" not in text
    (numbers, _) = page.pieces
    assert isinstance(numbers, Part) and numbers.intro.startswith("Rates are those that this period was planned with")


MOVED = {"measure": "drift_win_rate", "notebook": "06_refinement", "subject": "fast", "field": "", "level": "",
         "estimate": 0.3, "baseline": 0.47, "effect": -0.17, "against": "2024-q1 to 2024-q4"}  # fmt: skip


def test_what_moved_against_the_periods_before_is_told_on_the_playbook() -> None:
    page = playbook(dossier(outcome=claims(MOVED)))
    said = "won less often than before: 30 % against 47 % in 2024-q1 to 2024-q4"
    (line,) = (text for text in card("changed", page.dossier) if "than before" in text)
    assert said in line.replace("\N{NO-BREAK SPACE}", " ") and said in plain(page.expected())
    watched = dossier(outcome=claims(MOVED | {"verdict": "leaning"}))
    assert "may be won less often" in plain(playbook(watched).expected())
    assert not any("than before" in text for text in card("changed", watched)), "what leans is no headline"


def test_a_brief_is_judged_by_what_was_promised_and_by_nothing_that_was_not() -> None:
    text = plain(brief(dossier()).judged())
    assert "that sales accepts, no share is promised" in text and "against the promised range 44 %" in text
    none = plain(brief(dossier(chosen="slow")).judged())
    assert "no range is promised: no evidence yet" in none and "against the promised range" not in none


def test_the_size_says_whom_the_rule_knows_nothing_of() -> None:
    size = {"measure": "persona_share", "field": "persona", "level": "fast", "family": "none", "verdict": "estimated"}
    blank = size | {"measure": "n_unrecognised", "verdict": "counted", "unit": "count", "estimate": 546, "n": 2171}
    facts = glance(playbook(dossier(plan=claims(size, blank)))).facts
    assert "; 546 of these 2,171 are given to it though nothing that the rule asks for is known" in facts[0].text
    assert len(facts[0].claims) == 2


def test_points_of_two_cards_are_told_apart() -> None:
    card = {"measure": "card_points", "unit": "count", "family": "none", "verdict": "estimated", "baseline": None,
            "field": "persona", "level": "fast", "estimate": 0, "low": -8, "high": 8}  # fmt: skip
    text = plain(brief(dossier(plan=claims(card, card | {"source_table": "leads"}))).expected())
    assert "points on the card for deals: 0" in text and "points on the card for leads: 0" in text


def test_a_personas_own_channels_stand_before_those_of_everyone() -> None:
    own = {"notebook": "03_leads", "cell": "persona_channels", "field": "channel", "subject": "fast", "unit": "amount"}
    cost = own | {"measure": "cost_per_won_amount", "effect": -5.0, "needed_n": 9}
    came = own | {"measure": "n_leads", "verdict": "counted", "unit": "count", "family": "none"}
    few = cost | {"level": "search", "verdict": "leaning", "n": 5}
    everyone = cost | {"level": "search", "subject": "market", "estimate": 0.1}
    counted = [came | {"level": name, "measure": of} for name in ("search", "partner") for of in ("n_leads", "n_won")]
    plan = claims(*counted, few, everyone, cost | {"level": "partner"})
    page = brief(dossier(plan=plan))
    used = next(part for part in glance(page).cards if part.title == "Channels").lines
    assert [line.text for line in used] == ["Partner – use:", "Search – use (all personas):"]
    assert "a difference that leans and does not hold" in plain(page.channels())


def test_without_evidence_every_card_says_what_to_collect() -> None:
    empty = dossier(
        steps={name: Step(name) for name in ("personas", "leads")},
        plan=claims(),
        outcome=claims(),
        materials=written([]),
        personas=replace(PERSONAS, personas=(Persona("fast", "Fast start"), Persona("slow", "Slow"))),
    )
    text = plain(glance(playbook(empty)))
    assert text.count("No evidence yet.") == 5
    assert "Win rate: no evidence yet, fewer than ten of its deals are decided" in text
    assert "nan" not in text.lower()


@pytest.mark.parametrize("section", PLAYBOOK)
def test_every_part_of_the_playbook_renders_with_and_without_evidence(section: str) -> None:
    full = plain(getattr(playbook(dossier()), section)())
    none = dossier(materials=written([]), plan=claims(), outcome=claims())
    assert len(full) > 40
    assert "nan" not in (full + plain(getattr(playbook(none), section)())).lower()


def test_the_win_rate_when_raised_is_called_an_association() -> None:
    text = plain(playbook(dossier()).objections())
    assert "73 % (48–89 %, n = 11)" in text
    assert "an association" in playbook(dossier()).objections()._repr_html_()


def test_the_annex_lists_every_claim_that_the_page_has_cited_and_no_other() -> None:
    page = playbook(dossier())
    page.glance()
    page.expected()
    short = [row[0] for row in page.evidence().pieces[0].tables[0].rows]
    for section in PLAYBOOK:
        getattr(page, section)()
    (annex,) = page.evidence().pieces
    assert isinstance(annex, Part) and annex.is_internal
    listed = [row[0] for row in annex.tables[0].rows]
    assert listed[: len(short)] == short and len(set(listed)) == len(listed)
    assert len(listed) == 9 and set(listed) <= set(page.dossier.ledger["claim_id"])
    raised = set(PLANNED.query("measure == 'win_rate_when_raised'")["claim_id"])
    assert raised <= set(listed) and not raised & set(short)
    assert page.claims["claim_id"].tolist() == listed


def test_closing_writes_the_cited_claims_and_records_the_key_figures(tmp_path: Path) -> None:
    page = SalesPlaybook(dossier(), tmp_path)
    page.objections()
    closed = page.close()
    recorded = closed._repr_mimebundle_()[RESULTS]
    assert json.loads(json.dumps(recorded)) == recorded
    assert recorded == {
        "market": "yard", "period": "2025-q2", "persona": "fast", "win_rate": 0.44, "win_rate_low": 0.40,
        "win_rate_high": 0.52, "n_deals": 80, "is_assumed": False, "n_attributes": 1, "n_cited": 2,
    }  # fmt: skip
    saved = pd.read_csv(tmp_path / "documents" / "sales_playbook-fast.csv")
    assert saved["measure"].tolist() == ["objection_share", "win_rate_when_raised"]


def test_what_a_page_read_and_the_rule_as_sql_stand_at_its_end() -> None:
    read = pd.DataFrame([{"notebook": "05 deals", "period": "2025-q1", "n_claims": 7, "digest": "a1b2c3"}])
    table, _, sql = playbook(dossier(sources=read)).sources().pieces
    assert table.rows == (("05 deals", "2025-q1", "7", "a1b2c3"),)
    assert repr(sql).startswith("The whole rule as SQL: CASE WHEN")
    assert "CASE WHEN" not in "".join(plain(getattr(playbook(dossier()), section)()) for section in PLAYBOOK)


QUALIFYING = claims(
    {"claim_id": "more", "field": "sites", "level": "1"},
    {"claim_id": "never", "field": "sites", "level": "over 20"},  # none of the persona has them by its rule
    {"claim_id": "less", "field": "region", "level": "north", "effect": -0.1},
    {"claim_id": "perhaps", "field": "sites", "level": "2-5"},
    {"claim_id": "turned", "field": "sites", "level": "6-20"},
    {"claim_id": "quarter", "field": "is_quarter_end", "level": "yes"},
    {"claim_id": "channel", "field": "channel", "level": "partner"},
    {"claim_id": "edit", "field": "sites", "level": "over 20", "subject": "slow", "family": "edit"},
    *(
        {"claim_id": f"by-{field}", "field": field}
        for field in ("persona", "rep_id", "rep_team", "competitor", "stage")
    ),
)
OTHER_WAY = {"estimate": -0.05, "low": -0.12, "high": -0.01, "within": "product", "family": "none"}  # like for like
TURNING = claims(
    OTHER_WAY | {"claim_id": "t1", "measure": "win_rate_perhaps_reversed", "field": "sites", "level": "2-5"},
    OTHER_WAY | {"claim_id": "t2", "measure": "win_rate_reversed", "field": "sites", "level": "6-20"},
)


def lines_of(shown: Any) -> dict[str, list[tuple[str, ...]]]:
    """The claims of every line, by part."""
    return {part.title: [line.claims for line in part.lines] for part in shown.pieces if isinstance(part, Part)}


def test_only_what_a_buyer_is_and_wins_more_is_to_be_looked_for() -> None:
    found = dossier(outcome=pd.concat([QUALIFYING, TURNING], ignore_index=True))
    told = lines_of(playbook(found).qualification())
    assert told["What has been measured to matter"] == [("more",)]
    assert told["Won less often"] == [("less",)]
    assert told["Also won more often"] == [("channel",)]
    assert lines_of(playbook(found).stages())["When deals close"] == [("quarter",)]
    pages = "".join(plain(getattr(playbook(found), section)()) for section in PLAYBOOK)
    assert "number of sites: 2-5" not in pages, "what may turn round goes into no playbook"


def test_where_nothing_was_looked_back_on_no_page_says_that_nothing_was_shown() -> None:
    before = plain(playbook(dossier(outcome=claims())).qualification())
    assert "No period before this one was looked back on: see what 05 compares." in before
    assert "was shown to be won more often" not in before
    refused = plain(playbook(dossier(outcome=claims(REFUSED))).qualification())
    assert "nothing that tells its buyers apart was shown to be won more often" in refused


def test_what_was_observed_stands_beside_the_stop_rule() -> None:
    kept = {"claim_id": "kept", "measure": "promise", "field": "promise", "level": "n_touches", "unit": "count"}
    kept |= {"estimate": 1.0, "n": 30, "family": "none", "verdict": "estimated", "notebook": "04_handoff"}
    text = plain(playbook(dossier(outcome=claims(kept))).cadence())
    assert "Touches of all personas' leads before they were disqualified, of those touched, 1 (median, n = 30," in text
    assert "disqualified had been touched" not in plain(playbook(dossier()).cadence())


def test_a_personas_own_win_rate_that_may_turn_round_is_not_handed_on() -> None:
    own = {"claim_id": "own", "field": "persona", "level": "fast", "family": "how they end"}
    other = own | OTHER_WAY | {"claim_id": "turn", "measure": "win_rate_perhaps_reversed"}
    both = pd.concat([PLAN, claims(own, other)], ignore_index=True)
    for page in (playbook(dossier(plan=both)).expected(), brief(dossier(plan=both)).expected()):
        assert "won more often" not in plain(page)
    turned = both.replace({"measure": {"win_rate_perhaps_reversed": "win_rate_reversed"}})
    for page in (playbook(dossier(plan=turned)).expected(), brief(dossier(plan=turned)).expected()):
        assert ("own", "turn") in [line.claims for part in page.pieces for line in part.lines]


@pytest.mark.parametrize(
    ("persona", "choice"), [("fast", "target: more attractive"), ("slow", "cannot tell: it stands for")]
)
def test_brief_and_playbook_say_what_research_chose(persona: str, choice: str) -> None:
    page = dossier(chosen=persona)
    assert any(fact.text == f"our choice – {choice.partition(':')[0]}" for fact in glance(playbook(page)).facts)
    assert f"our choice – {choice}" in plain(playbook(page).fit().pieces[0])
    assert f"Our choice – {choice}" in plain(brief(page).whom().pieces[0])


def test_a_part_that_was_split_by_outcomes_has_no_choice_of_research() -> None:
    entry = Change("2025-q1", SPLIT, persona="slow", into="fast", field="sites", level="1")
    page = dossier(personas=replace(PERSONAS, changelog=(entry,)))
    assert any(fact.text == "our choice – none of its own" for fact in glance(playbook(page)).facts)
    assert "our choice – none of its own: it was split from persona Slow by outcomes" in plain(playbook(page).fit())


def test_one_market_has_no_choice_to_hand_on() -> None:
    steps = {name: Step(name) for name in ("personas", "leads")}
    steps["research"] = Step("research", missing={"targets": "There is one market, so there is no choice."})
    assert dossier(steps=steps).choice.text == "our choice – cannot tell: there is one market, so there is no choice"


def test_facts_are_what_one_in_twenty_has_and_what_the_rule_does_not_settle() -> None:
    held = [
        WISH | {"claim_id": "few", "field": "wants_speed", "n": 27, "estimate": 0.56, "effect": 0.34},
        WISH | {"claim_id": "settled", "field": "visits", "level": "0", "n": 210, "estimate": 1.0, "effect": 0.9},
        WISH | {"claim_id": "told", "n": 210},
    ]
    members = {"measure": "n_members", "subject": "fast", "field": "", "level": "", "estimate": 400, "n": 400}
    personas = Step("personas", TABLES["personas"] | {"implied": pd.DataFrame({"field": ["visits"], "level": ["0"]})})
    page = dossier(
        plan=claims(*held, members | {"claim_id": "all"}), steps={"personas": personas, "leads": Step("leads")}
    )
    assert list(page.facts["claim_id"]) == ["told"]
    assert [claim for part in glance(playbook(page)).cards[:1] for line in part.lines for claim in line.claims] == [
        "told"
    ]
    assert set(page.attributes["claim_id"]) == {"told", "few", "settled"}, "the detail keeps them all"


def test_rules_are_told_by_what_most_of_the_group_are() -> None:
    share = {"measure": "member_share", "subject": "fast", "notebook": "02_personas", "cell": "rules", "family": "none"}
    made = [
        share | {"claim_id": "m1", "field": "sites", "level": "1", "estimate": 0.69, "baseline": 0.25},
        share | {"claim_id": "m2", "field": "role", "level": "owner", "estimate": 0.42, "baseline": 0.3},
        share | {"claim_id": "m3", "field": "role", "level": "clerk", "estimate": 0.32, "baseline": 0.3},
        share | {"claim_id": "m4", "field": "role", "level": "boss", "estimate": 0.26, "baseline": 0.4},
        share | {"claim_id": "m5", "field": "product", "level": "plan", "estimate": 0.95, "baseline": 0.9},
    ]
    page = dossier(plan=claims(*made))
    assert said(page.makeup) == [
        "mostly number of sites: 1 (69 % of them)",
        "often role: owner (42 %) or clerk (32 %)",
        "product: Yard Plan (95 % of them)",
    ]
    assert [one.claims for one in page.makeup] == [("m1",), ("m2", "m3"), ("m5",)]
    assert card("who", page)[0] == f"In the CRM: {page.makeup[0].text}"
    for shown in (playbook(page).fit(), brief(page).whom()):
        assert "The whole rule in words: number of sites: 1" in plain(shown)


def test_messages_for_another_persona_are_left_out() -> None:
    assert "For the other persona." not in plain(playbook(dossier()).messages())
    assert "For the other persona." in plain(playbook(dossier(chosen="slow")).messages())


def test_internal_parts_are_marked() -> None:
    shown = playbook(dossier()).next_leads()
    assert [part.is_internal for part in shown.pieces if isinstance(part, Part)] == [True, True]
    assert "internal only" in shown._repr_html_()


@pytest.mark.parametrize("section", BRIEF)
def test_every_part_of_the_brief_renders_with_and_without_evidence(section: str) -> None:
    none = dossier(materials=written([]), plan=claims(), outcome=claims())
    for found in (dossier(), none):
        text = plain(getattr(brief(found), section)())
        assert len(text) > 40
        assert "nan" not in text.lower()


def answer(name: str, found: Dossier) -> list[Any]:
    """The lines of one card of the brief's glance."""
    return list(next(part for part in glance(brief(found)).cards if part.title == name).lines)


def test_the_brief_speaks_to_the_need_that_sets_the_persona_apart() -> None:
    assert [line.text for line in answer("Message", dossier())][1:2] == ["Speak to: price."]
    assert brief(dossier()).results["topics"] == ["price", "trust"]


def test_the_brief_begins_with_the_arm_that_won_in_its_channels() -> None:
    first, *_ = answer("Message", dossier())
    assert first.text.startswith("Use “short” instead of “long” in search: sales accepted 60")
    assert set(first.claims) >= {"arm-1"} and len(first.claims) == 5
    elsewhere = PLAN.assign(level=PLAN["level"].where(PLAN["measure"] != "n_drawn_leads", "fair"))
    assert answer("Message", dossier(plan=elsewhere))[0].text == "Speak to: price.", "it reaches none of its leads"
    everybody = answer("Message", dossier(chosen="slow", plan=elsewhere))
    assert everybody[0].text.startswith("Use “short”"), "where a persona has no channels told, all channels are its own"


def test_what_the_control_did_better_is_kept() -> None:
    held = PLAN[PLAN["claim_id"] != "arm-1"]
    plan = pd.concat([held, won_by("short", "long", -0.2)], ignore_index=True)
    assert answer("Message", dossier(plan=plan))[0].text.startswith("Use “long” instead of “short”")
    alone = pd.concat([held, won_by("short", "", -0.2)], ignore_index=True)
    assert answer("Message", dossier(plan=alone))[0].text.startswith("Use all other arms instead of “short”")
    watched = pd.concat([held, won_by().assign(verdict="leaning")], ignore_index=True)
    assert "Use" not in answer("Message", dossier(plan=watched))[0].text


def test_the_later_outcome_decides_and_an_earlier_one_against_it_is_told() -> None:
    later = won_by("long", "short", 0.2).assign(claim_id="arm-2", measure="won_rate", estimate=0.3, baseline=0.1)
    plan = pd.concat([PLAN, later], ignore_index=True)
    first, second, third, *_ = answer("Message", dossier(plan=plan))
    assert first.text.startswith("Use “long” instead of “short” in search: won 30")
    assert second.text.startswith("Mind that “long” does worse before: sales accepted 40")
    assert "arm-1" in second.claims and third.text == "Speak to: price."
    agreed = won_by("short", "long", 0.2).assign(claim_id="arm-2", measure="won_rate", estimate=0.3, baseline=0.1)
    first, second, *_ = answer("Message", dossier(plan=pd.concat([PLAN, agreed], ignore_index=True)))
    assert first.text.startswith("Use “short” instead of “long” in search: won 30")
    assert second.text == "Speak to: price."


def test_the_brief_answers_with_size_promise_channels_stop_and_offer() -> None:
    assert said(glance(brief(dossier())).facts)[0] == "60 % (50–70 %, n = 60) of known leads"
    assert said(answer("What to expect", dossier()))[0] == (
        "Win rate: 44 % of decided deals (40–52 %; 35 won of 80 decided in 2024-q2 to 2025-q1, "
        "drawn toward the rate of all personas)"
    )
    (used,) = answer("Channels", dossier())
    assert used.text == "Search – use (all personas):"
    assert used.detail.replace("\N{NO-BREAK SPACE}", " ").startswith(
        "EUR 50 a won deal (EUR 35–80; 20 of 80 leads won)"
    )
    (stopped,) = answer("Stop", dossier(chosen="slow"))
    assert stopped.text == "Fair – stop:" and stopped.claims
    assert [line.text for line in answer("Stop", dossier())] == ["Nothing, on today's evidence."]
    offers = dossier(materials=written([*MATERIALS, material("offer", "One site first.")]))
    assert [line.text for line in answer("Offer", offers)] == ["One site first."]


def test_the_brief_tells_what_channels_cost_and_which_differ() -> None:
    listed, advised, others, _ = brief(dossier()).channels().pieces
    assert [row[0] for row in listed.tables[0].rows] == ["search"]
    assert listed.tables[0].columns[-1] == "what to do"
    assert listed.tables[0].rows[0][-1] == "use (all personas)"
    assert "EUR 80 (EUR 50–150, n = 40)" in plain(listed)
    assert listed.intro.startswith("This persona's leads")
    assert all(listed.tables[0].claims)
    assert [line.text.replace("\N{NO-BREAK SPACE}", " ") for line in advised.lines] == [
        "Search – use, as for all personas together: EUR 50 a won deal (EUR 35–80; 20 of 80 leads won), against "
        "EUR 900 over the other channels, 2024-q2 to 2025-q1; of this persona's own 5 of 40 leads were won, too few to "
        "tell."
    ]
    assert [line.text.split(" – ")[0] for line in others.lines] == [
        "Persona Fast start, channel: search", "Channel: fair", "Channel: search",
    ]  # fmt: skip
    assert all(line.claims for part in (advised, others) for line in part.lines)
    everybody, advised, *_ = brief(dossier(chosen="slow")).channels().pieces
    assert [row[0] for row in everybody.tables[0].rows] == ["search", "fair"]
    assert everybody.intro.startswith("All personas together")
    assert [line.text.split(":")[0] for line in advised.lines] == ["Search – use", "Fair – stop"]


def test_the_brief_names_the_tests_to_run_next() -> None:
    ahead = brief(dossier()).message().pieces[-1]
    assert [line.text[:15] for line in ahead.lines] == ["Channel: search", "Number of sites"]
    assert all(line.claims for line in ahead.lines)


def test_the_brief_hands_on_what_sales_said() -> None:
    rejected, said_here = brief(dossier()).feedback().pieces
    assert "too early 60 % (50–70 %, n = 100) of rejected leads" in plain(rejected)
    assert "too early 70 % (50–85 %, n = 20) of remarks on rejected leads" in plain(said_here)
    assert "No evidence yet." in plain(brief(dossier(chosen="slow")).feedback().pieces[1])


@pytest.mark.parametrize("section", CARD)
@pytest.mark.parametrize("rival", ["rival-a", "no_decision"])
def test_every_part_of_the_battlecard_renders(section: str, rival: str) -> None:
    text = plain(getattr(battlecard(dossier("competitor", rival)), section)())
    assert len(text) > 20
    assert "nan" not in text.lower()


def said(lines: Sequence[Sentence]) -> list[str]:
    """Sentences with plain spaces."""
    return [line.text.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def test_the_battlecard_says_how_often_the_rival_is_met_and_how_often_we_win() -> None:
    found = dossier("competitor", "rival-a")
    assert said(battlecard(found).standing) == [
        "rival-a was met in 12 of 28 ended deals that record whom we met (43 %).",
        "We win 40 % (20–64 %, n = 12) of decided deals against it; of all that record whom we met "
        "50 % (40–60 %, n = 70), not shown to differ.",
    ]
    shown = claims(REFUSED | {"verdict": "supported"})
    assert said(battlecard(dossier("competitor", "rival-a", outcome=shown)).standing)[1].endswith("n = 70).")
    assert battlecard(found).results == {
        "n_deals": 12, "n_decided": 12, "win_rate": 0.4, "win_rate_low": 0.2, "win_rate_high": 0.64,
    }  # fmt: skip
    card = plain(battlecard(dossier("competitor", "no_decision")).glance())
    assert "Why they decide nothing" in card and "Why buyers say no" not in card
    undecided = battlecard(dossier("competitor", "no_decision")).standing
    assert said(undecided) == ["11 of 40 ended deals had no decision (28 %)."]


def test_nobody_is_asked_to_record_what_is_recorded() -> None:
    recorded = {"recorded": ["competitor", "loss_reason", "no_decision"]}
    for rival in ("rival-a", "no_decision"):
        page = battlecard(
            dossier("competitor", rival, plan=claims(), steps={"personas": Step("personas", {}, recorded)})
        )
        text = plain([page.met(), page.why(), page.strong()])
        assert "It is recorded; fewer than ten deals of a kind are known yet." in text
        assert "Record deals" not in text and "Record no_decision" not in text
    first_one = dossier(steps={"personas": Step("personas", {}, recorded)}, outcome=claims())
    assert "rejection_reason" not in plain(brief(first_one).feedback())
    assert "Record deals.competitor" not in plain(playbook(replace(first_one, plan=claims())).buying())


def test_a_rival_without_ten_deals_gets_no_figures() -> None:
    for rival in ("rival-a", "no_decision"):
        found = dossier("competitor", rival, plan=claims())
        (only,) = said(battlecard(found).standing)
        assert only.endswith("in fewer than ten of the deals that ended: too few to tell.")
        assert battlecard(found).results["n_deals"] is None
        asked = "Record no_decision" if rival == "no_decision" else "Record deals.competitor"
        assert asked in plain(battlecard(found).met())


def test_the_battlecard_is_as_old_as_the_deals_and_texts_behind_it() -> None:
    text = plain(battlecard(dossier("competitor", "rival-a")).verified())
    assert "2 questions and answers about it, the latest written in 2025-q1" in text
    assert "Latest deal with it ended in 2025-q1" in text


def test_objections_come_with_the_claim_that_counts_them() -> None:
    (line,) = battlecard(dossier("competitor", "rival-a")).why().pieces[2].lines
    objected = PLANNED.query("measure == 'objection_share' and subject == 'rival-a'")
    assert f"{line.text} {line.detail}".replace("\N{NO-BREAK SPACE}", " ") == (
        "low price 62 % (40–80 %, n = 21) of objections"
    )
    assert line.claims == tuple(objected["claim_id"])


def test_the_battlecard_asks_what_was_written_about_the_rival_and_says_what_cannot_be_told() -> None:
    assert "What do you like about it?" in plain(battlecard(dossier("competitor", "rival-a")).questions())
    assert "cannot tell: n = 15" in plain(battlecard(dossier("competitor", "rival-a")).strong())


@pytest.mark.parametrize("kind", [SalesPlaybook, CampaignBrief, Battlecard])
def test_hostile_text_stays_text(kind: type[Document]) -> None:
    poisoned = [{**text, "text": HOSTILE, "title": HOSTILE} for text in MATERIALS]
    sections = {SalesPlaybook: PLAYBOOK, CampaignBrief: BRIEF, Battlecard: CARD}[kind]
    chosen = "rival-a" if kind is Battlecard else "fast"
    found = dossier(kind.kind, chosen, materials=written(poisoned))
    found = replace(found, words=replace(found.words, names={"fast": HOSTILE, "slow": HOSTILE}))
    html = "".join(getattr(kind(found, Path("nowhere")), section)()._repr_html_() for section in sections)
    assert "alert(1)" in html and "<script" not in html
    assert "<img src=x" not in html


def test_what_is_known_only_later_is_neither_looked_for_nor_in_sight() -> None:
    late = WISH | {"claim_id": "late", "field": "wants_speed", "is_retrospective": True}
    page = dossier(plan=claims(WISH | {"claim_id": "told"}, late))
    assert list(page.facts["claim_id"]) == ["told"]
    more = {"claim_id": "more", "field": "region", "level": "north"}
    held = claims(more, more | {"claim_id": "late", "level": "south", "is_retrospective": True})
    found = lines_of(playbook(dossier(outcome=held)).qualification())
    assert found["What has been measured to matter"] == [("more",)]


def test_what_a_won_deal_brings_is_the_personas_or_everyones_where_there_is_one() -> None:
    amount = {"measure": "median_amount", "unit": "amount", "verdict": "estimated", "family": "none", "n": 40}
    own = amount | {"field": "persona", "level": "fast", "estimate": 900, "low": 800, "high": 1000}
    whole = amount | {"field": "", "level": "", "estimate": 700, "low": 650, "high": 760}
    found = dossier(outcome=claims(own, whole))
    assert card("expect", found)[1:] == ["A won deal brings"]
    assert "EUR 900 (EUR 800–1,000, n = 40), median, 2024-q2 to 2025-q1" in plain(glance(playbook(found)))
    alone = replace(PERSONAS, rule=Rule((), "fast", ()), personas=PERSONAS.personas[:1])
    assert "EUR 700 (EUR 650–760, n = 40), median, 2024-q2 to 2025-q1" in plain(
        glance(playbook(replace(found, personas=alone)))
    )


def test_a_card_does_not_repeat_its_title() -> None:
    assert card("walk", dossier()) == ["Nobody pays."]


def test_a_mark_that_all_lines_bear_stands_once_at_the_heading() -> None:
    html = glance(playbook(dossier()))._repr_html_()
    ask = html[html.index("<h3>Ask") : html.index("<h3>Prove")]
    assert ask.count("assumed") == 2 and "</small></h3>" in ask.replace("\n", ""), "the class and the word, once"
