"""The campaign brief of one persona: whom, with which message, through which channels, and how it is judged."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.arms import winners
from closedloop.documents.channel_advice import advise
from closedloop.documents.dossier import Dossier
from closedloop.documents.findings import Claim, Column, joined, table_of, where
from closedloop.documents.heard import heard
from closedloop.documents.part import Line, Part, assumed, share_lines, spoken
from closedloop.documents.pieces import Piece, Sentence, Shown
from closedloop.documents.planned_tests import planned_tests
from closedloop.documents.playbook import attribute_line, size_of
from closedloop.documents.promises import promise_of
from closedloop.documents.selling import NO_NOTES, NO_TEXTS
from closedloop.documents.turning import firm, honestly
from closedloop.documents.wording import capital, records, sentences
from closedloop.errors import ParameterError, allowed
from closedloop.loop.comparisons import TURNS

Parts = tuple[Part, ...]
NO_TESTS = "Log randomised comparisons (leads.experiment, arm, arm_rate): only drawn arms can show causes."
NO_OUTCOMES = "Arms are logged, but not compared yet: 03 leads says what is missing (section “experiments”)."
NO_OPEN_LINES = "No line of this plan leans either way far enough to be settled within two years."

PROMISED = "promised"
_MOST = 4
_CHANNEL_COLUMNS: Mapping[str, str | tuple[str, Column]] = MappingProxyType(
    {
        "n_leads": "leads",
        "n_accepted": "accepted",
        "n_won": "won deals",
        "cost_per_accepted_amount": ("cost per accepted lead", "backed"),
        "cost_per_won_amount": ("cost per won deal", "backed"),
        "won_amount_per_decided": ("won per decided deal of the window", "backed"),
    }
)


def bottom_line(dossier: Dossier) -> list[Sentence]:
    """What experiments in its channels showed to use, whom it is for, the need it speaks to, and what to expect."""
    need = f"Speak to: {spoken(dossier.topics[0])}." if dossier.topics else "No need is known yet that sets them apart."
    size, promise = size_of(dossier), promise_of(dossier)
    who = capital(dossier.words.told(dossier.chosen))
    return [
        *winners(dossier.plan, dossier.words, set(_brought(dossier)["level"])),
        joined([Sentence(f"{who}: {size.text}.", size.claims), chosen(dossier)]),
        Sentence(need),
        Sentence(f"Win rate to expect: {promise.text}.", promise.claims),
    ]


def chosen(dossier: Dossier) -> Sentence:
    """The choice of 01 research as a sentence of its own."""
    return replace(dossier.choice, text=f"{capital(dossier.choice.text)}.")


def whom(dossier: Dossier) -> tuple[Piece, ...]:
    """Whether to aim at them, who they are, and what sets them apart."""
    size = size_of(dossier)
    traits = [attribute_line(row, dossier) for row in records(dossier.facts.head(6))]
    said = [chosen(dossier), *dossier.makeup[:_MOST], *([size] if size.claims else [])]
    return (
        Part("Whom to reach", [Line.of(one) for one in said], empty="Collect fields that leads and survey share."),
        *dossier.whole_rule,
        Part("What they want more than others", traits, empty="Nothing was shown to differ from the market."),
    )


def message(dossier: Dossier) -> Parts:
    """Which need, which message, and the tests behind it."""
    topics = dossier.topics[:3]
    texts = dossier.texts("message", topics=topics) if topics else dossier.texts("message")
    tests = where(dossier.plan, kind="causal").loc[lambda claims: claims["family"] != "none"]
    is_logged = len(where(dossier.plan, measure="n_arm_leads")) > 0
    ahead = planned_tests(dossier.plan, dossier.words)
    why_none = dossier.steps["leads"].missing.get("tests", NO_OPEN_LINES)
    return (
        Part(
            "The one sentence",
            assumed(dossier.texts("value_proposition"), 2),
            empty=f"No value proposition. {NO_TEXTS}",
        ),
        Part("Messages", assumed(texts, 6), empty=f"No messages. {NO_TEXTS}"),
        Part("Tests behind them", _lines(tests, dossier), empty=NO_OUTCOMES if is_logged else NO_TESTS),
        Part("Tests to run next", [Line.of(said) for said in ahead[:_MOST]], empty=why_none),
    )


def _lines(claims: pd.DataFrame, dossier: Dossier) -> list[Line]:
    return [Line.of(said) for said in sentences(claims, dossier.words)]


def channels(dossier: Dossier) -> Parts:
    """What each channel cost and brought for the persona, else over the whole market, and what to do with it."""
    words, leads = dossier.words, where(dossier.plan, notebook="03_leads")
    totals = _brought(dossier)
    subject = "market" if (totals["subject"] == "market").all() else dossier.chosen
    totals = totals[totals["measure"].isin(_CHANNEL_COLUMNS)]
    advice = advise(leads, words, subject)
    marks = {one.channel: one.mark for one in advice}

    def named(claim: Claim) -> str:
        return words.level("channel", claim["level"])

    def mark(row: Mapping[str, Claim]) -> str:
        return marks.get(str(next(iter(row.values()))["level"]), numbers.MISSING)

    shown = [table_of(totals, words, "channel", {**_CHANNEL_COLUMNS, "advice": ("what to do", mark)}, label=named)]
    whose = "All personas together" if subject == "market" else "This persona's leads"
    intro = f"{whose}, as far as they had time to be won, and the money of the same days."
    return (
        Part("Channels", tables=shown if len(totals) else [], intro=intro, empty="Collect leads.channel and `spend`."),
        Part("What to do with each channel", [Line.of(one.line) for one in advice],
             empty="Nothing is known about channels yet: spread, and measure."),
        Part("What else differs", _lines(_other_findings(leads, dossier.chosen), dossier),
             empty="No channel or campaign was shown to differ in what becomes of its leads."),
    )  # fmt: skip


def _brought(dossier: Dossier) -> pd.DataFrame:
    """What each channel brought for the persona; where nothing is told of it alone, for the whole market."""
    leads = where(dossier.plan, notebook="03_leads", field="channel")
    own = where(leads, measure="n_leads", subject=dossier.chosen)
    return where(leads, subject=dossier.chosen if len(own) else "market")


def _other_findings(leads: pd.DataFrame, chosen: str) -> pd.DataFrame:
    """What holds or leans about what becomes of leads: of the persona's channels and campaigns, and of all channels."""
    sent = leads[leads["field"].isin(["channel", "campaign"]) & (leads["family"] == "plan")]
    is_general = (sent["subject"] == "market") & (sent["field"] == "channel")
    return pd.concat([_held(sent[sent["subject"] == chosen]), _held(sent[is_general])])


def _held(claims: pd.DataFrame) -> pd.DataFrame:
    """What holds or leans, the largest effects first."""
    found = claims[claims["verdict"].isin(["supported", "leaning"])]
    return found.sort_values("effect", key=abs, ascending=False, kind="stable")


def offer(dossier: Dossier) -> Parts:
    """What can be offered and sent, from the team's own texts."""
    return (
        Part("Offers", assumed(dossier.texts("offer"), 4, with_title=True), empty=f"No offers. {NO_TEXTS}"),
        Part("Materials", assumed(dossier.texts("asset"), 6, with_title=True), empty=f"No assets. {NO_TEXTS}"),
        Part("Do not claim", assumed(dossier.texts("limit"), 4), empty=f"No limits. {NO_TEXTS}"),
    )


def feedback(dossier: Dossier) -> Parts:
    """What sales said about last period's leads: reasons of rejection for all, topics of feedback for this persona."""
    rejected = where(dossier.outcome, measure="rejection_share")
    reasons = share_lines(rejected.head(_MOST), dossier.words, "rejected leads")
    said = heard(dossier, "sales_feedback", _MOST) + heard(dossier, "sales_rejection", _MOST)
    return (
        Part("Why sales rejected last period's leads", reasons,
             empty="Collect leads.rejection_reason from a short closed list."),
        Part("What sales says about this persona's leads", said, empty=NO_NOTES),
    )  # fmt: skip


def expected(dossier: Dossier) -> Parts:
    """How many leads were promised for the period, and what share of this persona's is accepted and won."""
    goals = dossier.words.definition.goals.get(dossier.period.name)
    lines = [] if goals is None or goals.n_leads is None else [
        Line(f"{numbers.count(goals.n_leads)} leads promised to sales, all personas together", "", PROMISED)
    ]  # fmt: skip
    own = where(dossier.plan, subject="market", field="persona", level=dossier.chosen)
    own = firm(own[~own["measure"].isin(TURNS.values())], dossier.ledger)
    lines += [Line.of(said) for said in honestly(own, dossier.ledger, dossier.words)]
    return (Part("What to expect", lines, empty="Set goals in market.toml, and collect dates of sales acceptance."),)


def judged(dossier: Dossier) -> Parts:
    """What will be measured at the end of the period, agreed before it starts."""
    until, promise = dossier.valid_until, promise_of(dossier)
    how = "Win rate of this persona's deals, against the promised range"
    if dossier.result("personas", "only_won"):
        how = "Share of this persona's leads won in time, against the last one; win rate"
    when = "at the next run" if until is None else f"on the data known after {numbers.day(until)}"
    lines = [
        Line(f"Judged {when}, by the same queries that made this page", mark=PROMISED),
        Line("Share of handed-off leads that sales accepts, against the promise above"),
        Line("Cost per accepted lead and per won deal, by channel"),
        Line(how, promise.text, claims=promise.claims),
    ]
    return (Part("How the result will be judged", lines),)


SECTIONS: Mapping[str, Callable[[Dossier], tuple[Piece, ...]]] = MappingProxyType(
    {
        "whom": whom,
        "message": message,
        "channels": channels,
        "offer": offer,
        "feedback": feedback,
        "expected": expected,
        "judged": judged,
    }
)


def render(dossier: Dossier, section: str) -> Shown:
    """One section of the brief; a ParameterError lists what there is."""
    if section not in SECTIONS:
        raise ParameterError(f"show({section!r}): the brief has no such section; allowed: {allowed(SECTIONS)}")
    return Shown(SECTIONS[section](dossier), "document")


def results(dossier: Dossier) -> dict[str, Any]:
    """Key figures of the brief."""
    parts = [part for name in SECTIONS for part in SECTIONS[name](dossier) if isinstance(part, Part)]
    return {
        "n_attributes": len(dossier.attributes),
        "topics": dossier.topics[:3],
        "n_parts": len(parts),
        "n_parts_empty": sum(not part.has_evidence for part in parts),
    }
