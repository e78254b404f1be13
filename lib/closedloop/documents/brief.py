"""The campaign brief of one persona: whom, with which message, through which channels, and how it is judged."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from closedloop.claims.ledger import COST, TURNS
from closedloop.documents import glance, signals
from closedloop.documents.document import (
    DRAWN,
    NO_NOTES,
    NO_TEXTS,
    Document,
    Line,
    Part,
    assumed,
    plainly,
    share_lines,
    spoken,
)
from closedloop.documents.glance import heard, promise_of
from closedloop.presentation import numbers
from closedloop.presentation.advice import Advice, advise, planned_tests, winners
from closedloop.presentation.blocks import Shown
from closedloop.presentation.sentences import Claim, firm, honestly, records, where
from closedloop.presentation.tables import Columns
from closedloop.presentation.words import capital

NO_TESTS = "Log randomised comparisons (leads.experiment, arm, arm_rate): only drawn arms can show causes."
NO_OUTCOMES = "Arms are logged, but not compared yet: 03 leads says what is missing (section “experiments”)."
NO_OPEN_LINES = (
    "No line on leads leans either way far enough to be settled within two years. For what moves deals see “What to "
    "try and measure”."
)
PROMISED = "promised"
_CHANNEL_COLUMNS: Columns = {
    "n_leads": "leads",
    "n_accepted": "accepted",
    "n_won": "won deals",
    "cost_per_accepted_amount": ("cost per accepted lead", "backed"),
    "cost_per_won_amount": ("cost per won deal", "backed"),
    "won_amount_per_decided": ("won per decided deal of the window, estimated", "backed"),
}


class CampaignBrief(Document):
    """What marketing needs to know to address one persona."""

    notebook = "campaign_brief"

    def glance(self, most: int = 3) -> Shown:
        """Whom, which message, which channels to use and to stop, what to offer, what to expect (``most`` of each)."""
        dossier, advice = self.dossier, self._advice
        topics = dossier.topics[:most]
        texts = dossier.texts("message", topics=topics) if topics else dossier.texts("message")
        need = [Line(f"Speak to: {spoken(topics[0])}.")] if topics else []
        shown_by_test = [Line.of(said) for said in winners(dossier.plan, dossier.words, set(self._brought["level"]))]
        used = [one for one in advice if one.word in ("use", "keep")]
        used = sorted(used, key=lambda one: (one.word == "keep", one.is_markets))
        tried = [one for one in advice if one.word == "test"]
        channels = [self._short(one) for one in (used or tried)[:most]]
        stopped = [self._short(one) for one in advice if one.word == "stop"][:most]
        stopped = stopped or ([Line("Nothing, on today's evidence.")] if advice else [])
        cards = [
            glance.who(dossier),
            glance.written(dossier, "The one sentence", "value_proposition", "sentence", 1),
            Part("Message", [*shown_by_test, *need, *plainly(texts, 2)], empty=f"No messages. {NO_TEXTS}"),
            Part("Channels", channels, empty="Collect leads.channel and `spend`."),
            Part("Stop", stopped, empty="Nothing is known about channels yet: spread, and measure."),
            Part("Offer", plainly(dossier.texts("offer"), 2), empty=f"No offers. {NO_TEXTS}"),
            glance.prospects(dossier),
            Part("Leads", self._promised, empty="Set goals in market.toml."),
        ]
        return self._shown(glance.page(dossier, [glance.size_of(dossier), glance.choice(dossier)], cards))

    def whom(self, most: int = 6) -> Shown:
        """Whether to aim at them, who they are, and what sets them apart (``most`` attributes)."""
        dossier, size = self.dossier, glance.size_of(self.dossier)
        traits = [glance.attribute_line(row, dossier) for row in records(dossier.facts.head(most))]
        chosen = replace(dossier.choice, text=f"{capital(dossier.choice.text)}.")
        said = [chosen, *dossier.makeup[:4], *([size] if size.claims else [])]
        lacking = "Collect fields that leads and survey share."
        return self._shown(
            Part("Whom to reach", [Line.of(one) for one in said], empty=lacking),
            *dossier.whole_rule,
            Part(
                "What they want or have more often than others",
                traits,
                empty=glance.no_traits(dossier),
            ),
        )

    def message(self, most: int = 6) -> Shown:
        """Which need, which message (``most`` of them), and the tests behind it."""
        dossier = self.dossier
        topics = dossier.topics[:3]
        texts = dossier.texts("message", topics=topics) if topics else dossier.texts("message")
        tests = where(dossier.plan, kind="causal").loc[lambda claims: claims["family"] != "none"]
        is_logged = len(where(dossier.plan, measure="n_arm_leads")) > 0
        stopped = [one.channel for one in self._advice if one.word == "stop"]
        is_stopped = (dossier.plan["field"] == "channel") & dossier.plan["level"].isin(stopped)
        lines = dossier.plan[dossier.plan["subject"].isin(["market", dossier.chosen]) & ~is_stopped]
        ahead = planned_tests(lines, dossier.words)
        why_none = dossier.steps["leads"].missing.get("tests", NO_OPEN_LINES)
        if (is_stopped & (dossier.plan["cell"] == "tests")).any():
            why_none = "What could be tested is on channels to stop."
        sentence = assumed(dossier.texts("value_proposition"), 2)
        return self._shown(
            Part("The one sentence", sentence, empty=f"No value proposition. {NO_TEXTS}"),
            Part("Messages", assumed(texts, most), empty=f"No messages. {NO_TEXTS}"),
            Part("Tests behind them", self._said(tests), empty=NO_OUTCOMES if is_logged else NO_TESTS),
            Part("Tests to run next", [Line.of(said) for said in ahead[:4]], empty=why_none),
        )

    def channels(self) -> Shown:
        """What each channel cost and brought for the persona, else over the whole market, and what to do with it."""
        totals, advice = self._brought, self._advice
        marks = {one.channel: one.mark for one in advice}
        intro = "All personas together" if self._is_whole_market else "This persona's leads"

        def mark(row: Mapping[str, Claim]) -> str:
            return marks.get(str(next(iter(row.values()))["level"]), numbers.MISSING)

        columns = {**_CHANNEL_COLUMNS, "advice": ("what to do", mark)}
        shown = self._listed(totals[totals["measure"].isin(_CHANNEL_COLUMNS)], "channel", columns)
        # what holds or leans about what becomes of leads: of the persona's channels and campaigns, and of all channels
        sent = where(self.dossier.plan, notebook="03_leads", family="how they end", unit="rate")
        sent = sent[sent["field"].isin(["channel", "campaign"])]
        none = "No channel or campaign was shown to differ in what becomes of its leads."
        none = none if len(sent) else "No channel or campaign could be compared by what becomes of its leads."
        sent = sent[sent["verdict"].isin(["supported", "leaning"])]
        own = where(sent, subject=self.dossier.chosen)
        both = [own, where(sent, subject="market", field="channel")]
        others = pd.concat([part.sort_values("effect", key=abs, ascending=False, kind="stable") for part in both])
        return self._shown(
            Part("Channels", tables=shown, empty="Collect leads.channel and `spend`.",
                 intro=f"{intro}, as far as they had time to be won, and the money of the same days."),
            Part("What to do with each channel", [Line.of(one.line) for one in advice],
                 empty="Nothing is known about channels yet: spread, and measure."),
            Part("What else differs", self._said(others), empty=none, intro=DRAWN if len(others) else ""),
            signals.beside_amounts(self.dossier, ("channel", "product")),
        )  # fmt: skip

    def offer(self, most: int = 6) -> Shown:
        """What can be offered and sent, from the team's own texts (``most`` of each kind)."""
        texts = self.dossier.texts
        return self._shown(
            Part("Offers", assumed(texts("offer"), most, with_title=True), empty=f"No offers. {NO_TEXTS}"),
            Part("Materials", assumed(texts("asset"), most, with_title=True), empty=f"No assets. {NO_TEXTS}"),
            Part("Do not claim", assumed(texts("limit"), most), empty=f"No limits. {NO_TEXTS}"),
        )

    def feedback(self, most: int = 4) -> Shown:
        """What sales said about last period's leads: reasons of rejection for all, topics for this persona."""
        dossier = self.dossier
        rejected = where(dossier.outcome, measure="rejection_share").head(most)
        said = [line for kind in ("sales_feedback", "sales_rejection") for line in heard(dossier, kind, most)]
        return self._shown(
            Part("Why sales rejected last period's leads", share_lines(rejected, dossier.words, "rejected leads"),
                 intro="Of all personas together." if len(rejected) and len(dossier.personas.ids) > 1 else "",
                 empty="Collect leads.rejection_reason from a short closed list." if "handoff" in dossier.steps
                 else "No period before this one was looked back on."),
            Part("What sales says about this persona's leads", said, empty=NO_NOTES),
        )  # fmt: skip

    def expected(self) -> Shown:
        """How many leads were promised for the period, and what share of this persona's is accepted and won."""
        dossier = self.dossier
        own = where(dossier.plan, subject="market", field="persona", level=dossier.chosen)
        own = firm(own[~own["measure"].isin(TURNS.values())], dossier.ledger)
        said = {one.text: one for one in honestly(own, dossier.ledger, dossier.words)}  # two cards may give the same
        found = [Line.of(one) for one in said.values()]
        lacking = "Set goals in market.toml, and collect dates of sales acceptance."
        expected = Part("What to expect", [*self._promised, *found], empty=lacking, intro=DRAWN if found else "")
        return self._shown(expected)

    def judged(self) -> Shown:
        """What will be measured at the end of the period, agreed before it starts."""
        until, promise = self.dossier.valid_until, promise_of(self.dossier)
        goals = self.dossier.words.definition.goals.get(self.dossier.period.name)
        accepted = "no share is promised"
        if goals is not None and goals.accepted_rate is not None:
            accepted = f"against the promised {numbers.rate(goals.accepted_rate)}, all personas together"
        how = "Win rate of this persona's deals, against the promised range"
        how = how if promise.claims else "Win rate of this persona's deals; no range is promised:"
        if self.dossier.result("personas", "only_won"):
            how = "Share of this persona's leads won in time, against the last one; win rate"
        when = "at the next run" if until is None else f"on the data known after {numbers.day(until)}"
        lines = [Line(f"Judged {when}, by the same queries that made this page", mark=PROMISED)]
        known = set(self.dossier.ledger["measure"])
        is_promised = goals is not None and goals.accepted_rate is not None
        if known & {"accepted_rate", "lead_accepted_rate"} or is_promised:
            lines.append(Line(f"Share of handed-off leads that sales accepts, {accepted}"))
        if COST in known:
            lines.append(Line("Cost per accepted lead and per won deal, by channel"))
        lines.append(Line(how, promise.text, claims=promise.claims))
        return self._shown(Part("How the result will be judged", lines))

    @property
    def results(self) -> dict[str, Any]:
        """Key figures of the brief."""
        return {"n_attributes": len(self.dossier.attributes), "topics": self.dossier.topics[:3]}

    @property
    def _brought(self) -> pd.DataFrame:
        """What each channel brought for the persona; where nothing is told of it alone, for the whole market."""
        leads = where(self.dossier.plan, notebook="03_leads", field="channel")
        return where(leads, subject="market" if self._is_whole_market else self.dossier.chosen)

    @property
    def _is_whole_market(self) -> bool:
        own = where(self.dossier.plan, notebook="03_leads", field="channel", measure="n_leads")
        return where(own, subject=self.dossier.chosen).empty

    @property
    def _advice(self) -> list[Advice]:
        subject = "market" if self._is_whole_market else self.dossier.chosen
        return advise(where(self.dossier.plan, notebook="03_leads"), self.dossier.words, subject)

    @property
    def _promised(self) -> list[Line]:
        """How many leads marketing promised for the period."""
        goals = self.dossier.words.definition.goals.get(self.dossier.period.name)
        if goals is None or goals.n_leads is None:
            return []
        return [Line(f"{numbers.count(goals.n_leads)} leads to sales, all personas together", mark=PROMISED)]

    def _short(self, advice: Advice) -> Line:
        """What to do with a channel, and the figures behind it."""
        named = capital(self.dossier.words.level("channel", advice.channel))
        return Line(f"{named} – {advice.mark}:", advice.why.text, claims=advice.why.claims)
