"""The campaign brief of one persona: whom, with which message, through which channels, and how it is judged."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.arms import winners
from closedloop.documents.dossier import Dossier
from closedloop.documents.findings import Claim, Column, table_of, where
from closedloop.documents.heard import heard
from closedloop.documents.part import Line, Part, assumed, share_lines, spoken
from closedloop.documents.pieces import Piece, Sentence, Shown
from closedloop.documents.planned_tests import planned_tests
from closedloop.documents.playbook import attribute_line, promise_of, size_of
from closedloop.documents.selling import NO_NOTES, NO_TEXTS
from closedloop.documents.wording import records, sentences
from closedloop.errors import ParameterError, allowed

Parts = tuple[Part, ...]
NO_TESTS = "Log randomised comparisons (leads.experiment, arm, arm_rate): only drawn arms can show causes."
NO_OPEN_LINES = "No line of this plan leans either way far enough to be settled within two years."

PROMISED = "promised"
_MOST = 4
_CHANNEL_COLUMNS: Mapping[str, str | tuple[str, Column]] = MappingProxyType(
    {
        "n_leads": "leads",
        "n_accepted": "accepted",
        "n_won": "won deals",
        "persona_accepted_rate": ("accepted (90 % interval)", "backed"),
        "cost_per_accepted_amount": ("cost per accepted lead", "backed"),
        "cost_per_won_amount": ("cost per won deal", "backed"),
    }
)


def bottom_line(dossier: Dossier) -> list[Sentence]:
    """What experiments in its channels showed to use, whom it is for, the need it speaks to, and what to expect."""
    need = f"Speak to: {spoken(dossier.topics[0])}." if dossier.topics else "No need is known yet that sets them apart."
    size, promise = size_of(dossier), promise_of(dossier)
    return [
        *winners(dossier.plan, dossier.words, set(_brought(dossier)["level"])),
        Sentence(f"{dossier.name}: {size.text}.", size.claims),
        Sentence(need),
        Sentence(f"Win rate to expect: {promise.text}.", promise.claims),
    ]


def whom(dossier: Dossier) -> Parts:
    """Who they are, by rule and by what sets them apart."""
    size = size_of(dossier)
    more = dossier.attributes[dossier.attributes["effect"] > 0].head(6)
    traits = [attribute_line(row, dossier) for row in records(more)]
    return (
        Part(
            "Whom to reach",
            [*map(Line, dossier.ways), *([Line.of(size)] if size.claims else [])],
            empty="Collect fields that leads and survey share.",
        ),
        Part("What they want more than others", traits, empty="Nothing was shown to differ from the market."),
    )


def message(dossier: Dossier) -> Parts:
    """Which need, which message, and the tests behind it."""
    topics = dossier.topics[:3]
    texts = dossier.texts("message", topics=topics) if topics else dossier.texts("message")
    tests = where(dossier.plan, kind="causal", unit="rate")
    ahead = planned_tests(dossier.plan, dossier.words)
    return (
        Part(
            "The one sentence",
            assumed(dossier.texts("value_proposition"), 2),
            empty=f"No value proposition. {NO_TEXTS}",
        ),
        Part("Messages", assumed(texts, 6), empty=f"No messages. {NO_TEXTS}"),
        Part("Tests behind them", _lines(tests, dossier), empty=NO_TESTS),
        Part("Tests to run next", [Line.of(said) for said in ahead[:_MOST]], empty=NO_OPEN_LINES),
    )


def _lines(claims: pd.DataFrame, dossier: Dossier) -> list[Line]:
    return [Line.of(said) for said in sentences(claims, dossier.words)]


def channels(dossier: Dossier) -> Parts:
    """What each channel cost and brought for the persona, else over the whole market, and which differ."""
    words, leads = dossier.words, where(dossier.plan, notebook="03_leads")
    totals = _brought(dossier)

    def named(claim: Claim) -> str:
        return words.level("channel", claim["level"])

    shown = [table_of(totals, words, "channel", _CHANNEL_COLUMNS, label=named)]
    sent = leads[leads["field"].isin(["channel", "campaign"])]
    mine, all_of_them = sent[sent["subject"] == dossier.chosen], sent[sent["subject"] == "market"]
    held = pd.concat([_held(mine), _held(all_of_them[all_of_them["field"] == "channel"])])
    more, less = held[held["effect"] > 0].head(_MOST), held[held["effect"] < 0].head(_MOST)
    whose = "All personas together" if (totals["subject"] == "market").all() else "This persona's leads"
    return (
        Part("Channels", tables=shown if len(totals) else [], intro=f"{whose}; totals of the window.",
             empty="Collect leads.channel and `spend`."),
        Part("Which to use", _lines(more, dossier), empty="No channel was shown to do better: spread, and measure."),
        Part("Which to stop or test", _lines(less, dossier), empty="No channel was shown to do worse."),
    )  # fmt: skip


def _brought(dossier: Dossier) -> pd.DataFrame:
    """What each channel brought for the persona; where nothing is told of it alone, for the whole market."""
    leads = where(dossier.plan, notebook="03_leads", field="channel")
    own = where(leads, cell="persona_channels", subject=dossier.chosen)
    return own if len(own) else where(leads, cell="channels")


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
    lines += _lines(own, dossier)
    return (Part("What to expect", lines, empty="Set goals in market.toml, and collect dates of sales acceptance."),)


def judged(dossier: Dossier) -> Parts:
    """What will be measured at the end of the period, agreed before it starts."""
    until, promise = dossier.valid_until, promise_of(dossier)
    when = "at the next run" if until is None else f"on the data known after {numbers.day(until)}"
    lines = [
        Line(f"Judged {when}, by the same queries that made this page", mark=PROMISED),
        Line("Share of handed-off leads that sales accepts, against the promise above"),
        Line("Cost per accepted lead and per won deal, by channel"),
        Line("Win rate of this persona's deals, against the promised range", promise.text, claims=promise.claims),
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
