"""The campaign brief of one persona: whom, with which message, through which channels, and how it is judged."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import pandas as pd

from closedloop.documents import numbers, observed
from closedloop.documents.dossier import Dossier
from closedloop.documents.part import Line, Part, assumed, spoken
from closedloop.documents.pieces import Piece, Shown
from closedloop.documents.playbook import attribute_line, promise_text, share_text
from closedloop.documents.selling import NO_NOTES, NO_TEXTS
from closedloop.documents.tables import table
from closedloop.documents.wording import records, sentence, sentences
from closedloop.errors import ParameterError, allowed

Parts = tuple[Part, ...]
NO_TESTS = "Log randomised comparisons (leads.experiment, arm, arm_rate): only drawn arms can show causes."


def bottom_line(dossier: Dossier) -> list[str]:
    """Whom the campaign is for, the need it speaks to, and what to expect."""
    need = f"Speak to: {spoken(dossier.topics[0])}." if dossier.topics else "No need is known yet that sets them apart."
    return [f"{dossier.name}: {share_text(dossier)}.", need, f"Win rate to expect: {promise_text(dossier)}."]


def whom(dossier: Dossier) -> Parts:
    """Who they are, by rule and by what sets them apart."""
    rules = [Line(way) for way in dossier.ways]
    more = dossier.attributes[dossier.attributes["effect"] > 0].head(6)
    traits = [attribute_line(row, dossier) for row in records(more)]
    return (
        Part("Whom to reach", rules, intro=share_text(dossier), empty="Collect fields that leads and survey share."),
        Part("What they want more than others", traits, empty="Nothing was shown to differ from the market."),
    )


def message(dossier: Dossier) -> Parts:
    """Which need, which message, and the tests behind it."""
    topics = dossier.topics[:3]
    texts = dossier.texts("message", topics=topics) if topics else dossier.texts("message")
    tests = dossier.plan[dossier.plan["kind"] == "causal"]
    return (
        Part(
            "The one sentence",
            assumed(dossier.texts("value_proposition"), 2),
            empty=f"No value proposition. {NO_TEXTS}",
        ),
        Part("Messages", assumed(texts, 6), empty=f"No messages. {NO_TEXTS}"),
        Part("Tests behind them", [Line(text) for text in sentences(tests, dossier.words)], empty=NO_TESTS),
    )


def channels(dossier: Dossier) -> Parts:
    """What each channel cost and brought over the whole market, and which differ."""
    frame = dossier.table("leads", "channels")
    columns = {"channel": "channel", "n_leads": "leads", "n_accepted": "accepted", "n_won": "won deals",
               "cost_per_accepted_amount": "cost per accepted", "cost_per_won_amount": "cost per won deal"}  # fmt: skip
    shown = [table(_named(frame, dossier), columns, dossier.words)] if len(frame) else []
    claims = dossier.plan[
        (dossier.plan["field"] == "channel") & (dossier.plan["verdict"].isin(["supported", "leaning"]))
    ]
    more, less = claims[claims["effect"] > 0], claims[claims["effect"] < 0]
    return (
        Part(
            "Channels",
            tables=shown,
            intro="All personas together; totals of the window.",
            empty="Collect leads.channel and `spend`.",
        ),
        Part("Which to use", _told(more, dossier), empty="No channel was shown to do better: spread, and measure."),
        Part("Which to stop or test", _told(less, dossier), empty="No channel was shown to do worse."),
    )


def _named(frame: pd.DataFrame, dossier: Dossier) -> pd.DataFrame:
    return frame.assign(channel=[dossier.words.level("channel", value) for value in frame["channel"]])


def _told(claims: pd.DataFrame, dossier: Dossier) -> list[Line]:
    ordered = claims.sort_values("effect", key=abs, ascending=False, kind="stable")
    return [Line(text) for text in sentences(ordered.head(5), dossier.words)]


def offer(dossier: Dossier) -> Parts:
    """What can be offered and sent, from the team's own texts."""
    return (
        Part("Offers", assumed(dossier.texts("offer"), 4, with_title=True), empty=f"No offers. {NO_TEXTS}"),
        Part("Materials", assumed(dossier.texts("asset"), 6, with_title=True), empty=f"No assets. {NO_TEXTS}"),
        Part("Do not claim", assumed(dossier.texts("limit"), 4), empty=f"No limits. {NO_TEXTS}"),
    )


def feedback(dossier: Dossier) -> Parts:
    """What sales said about last period's leads: reasons of rejection for all, topics of feedback for this persona."""
    rejected = dossier.table("handoff", "rejections")
    reasons = [Line(spoken(row["reason"]), _share(row, "rejected leads")) for row in records(rejected.head(4))]
    said = dossier.remarks[dossier.remarks["from_team"] == "sales"]
    topics = _said(said, "feedback") + _said(said, "rejection")
    return (
        Part(
            "Why sales rejected last period's leads",
            reasons,
            empty="Collect leads.rejection_reason from a short closed list.",
        ),
        Part("What sales says about this persona's leads", topics, empty=NO_NOTES),
    )


def _said(remarks: pd.DataFrame, kind: str) -> list[Line]:
    found = observed.heard(remarks, kind).head(4)
    return [Line(spoken(row["topic"]), _share(row, f"{kind} remarks")) for row in records(found)]


def _share(row: dict[str, Any], what: str) -> str:
    return f"{numbers.rate(row['share'])} of {what}, n = {numbers.count(row['n'])}"


def expected(dossier: Dossier) -> Parts:
    """How many leads were promised for the period, and what share of this persona's is accepted and won."""
    goals = dossier.words.definition.goals.get(dossier.period.name)
    lines = [] if goals is None or goals.n_leads is None else [
        Line(f"{numbers.count(goals.n_leads)} leads promised to sales, all personas together", "", "promised")
    ]  # fmt: skip
    own = dossier.plan[(dossier.plan["field"] == "persona") & (dossier.plan["level"] == dossier.chosen)]
    lines += [Line(sentence(row, dossier.words)) for row in records(own)]
    return (Part("What to expect", lines, empty="Set goals in market.toml, and collect dates of sales acceptance."),)


def judged(dossier: Dossier) -> Parts:
    """What will be measured at the end of the period, agreed before it starts."""
    until = dossier.valid_until
    when = "at the next run" if until is None else f"on the data known after {numbers.day(until)}"
    lines = [
        Line(f"Judged {when}, by the same queries that made this page"),
        Line("Share of handed-off leads that sales accepts, against the promise above"),
        Line("Cost per accepted lead and per won deal, by channel"),
        Line("Win rate of this persona's deals, against the promised range", promise_text(dossier)),
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
