"""The sales playbook of one persona: the glance first, then whom it fits, what to say, to send and to expect."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from closedloop.claims.ledger import turning
from closedloop.documents import glance, signals
from closedloop.documents.document import (
    DRAWN,
    GOOD_ANSWER,
    NO_NOTES,
    NO_TEXTS,
    Document,
    Line,
    Part,
    assumed,
    share_lines,
    spoken,
)
from closedloop.documents.glance import (
    IN_ALL_DEALS,
    heard,
    logged,
    market_topics,
    own_topics,
    promise_history,
    share_of,
)
from closedloop.period.lead_records import CONVERSION
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Shown, Table, claim_ids, span, stating
from closedloop.presentation.sentences import Claim, backed, cases, firm, first, honestly, records, value, where
from closedloop.presentation.tables import Column, Columns, has_reasons, record_table
from closedloop.terms import Verdict

_ANSWERS = {"answer": "answer (assumed)", "proof": "proof", "question": "next question"}
_NOBODY = {"none": "no other supplier", "unnamed": "a supplier that was not named"}
_EXPECTED = ("promised_win_rate", CONVERSION, "median_cycle_days", "median_amount", "mean_amount", "next_amount",
             "sales_velocity_per_day")  # fmt: skip
_EXPECTED_OF = "Rates are those that this period was planned with; days and amounts are of what ended before it."


class SalesPlaybook(Document):
    """What a seller needs to know about one persona."""

    notebook = "sales_playbook"

    def glance(self) -> Shown:
        """Who they are, the one sentence, what to look for, ask, prove and answer, when to walk away, the prospects."""
        dossier = self.dossier
        cards = [
            glance.who(dossier),
            glance.written(dossier, "The one sentence", "value_proposition", "sentence", 1),
            *signals.look_for(dossier, most=1),
            glance.written(dossier, "Ask", "question", "ask"),
            glance.written(dossier, "Prove", "proof", "prove"),
            glance.objection(dossier),
            glance.written(dossier, "Walk away when", "disqualifier", "walk"),
            glance.prospects(dossier),
            glance.changed(dossier),
        ]
        return self._shown(glance.page(dossier, [glance.size_of(dossier), glance.choice(dossier)], cards))

    def fit(self, most: int = 6) -> Shown:
        """How to recognise the persona, what is special about it, and whom to leave (``most`` reasons)."""
        dossier = self.dossier
        rules = [Line.of(said) for said in (dossier.choice, *dossier.makeup)]
        error, guess = (first(dossier.plan, measure=name, subject="market") for name in ("rule_error", "guess_error"))
        if error is not None and guess is not None:
            missed = f"{backed(error, dossier.words)} of unseen cases (guessing: {value(guess, dossier.words)})"
            rules.append(Line.of(stating(f"The rule errs on {missed}", error, guess)))
        columns: Columns = {
            "share": ("share here", "backed"),
            "market": ("market", lambda row: numbers.rate(row["share"]["baseline"])),
            "data": ("data", lambda row: f"{row['share']['source_table']}, {span(row['share'])}"),
            "verdict": ("verdict", lambda row: "holds" if row["share"]["verdict"] == "supported" else "watch"),
        }

        def named(claim: Claim) -> str:
            return dossier.words.short(str(claim["field"]), claim["level"])

        traits = self._listed(dossier.attributes, "attribute", columns, label=named)
        lacking = "Collect fields that leads and survey share."
        return self._shown(
            Part("How to recognise them in the CRM", rules, empty=lacking),
            *dossier.whole_rule,
            Part("What is special about them", tables=traits, empty=glance.no_traits(dossier)),
            Part("Whom to leave", assumed(dossier.texts("disqualifier"), most), empty=f"No disqualifiers. {NO_TEXTS}"),
        )

    def buying(self, most: int = 4) -> Shown:
        """Who was met in won and lost deals; pains, triggers and questions (``most`` of each), what they weigh."""
        dossier = self.dossier
        columns: Columns = {f"met_in_{end}_share": (f"met in {end} deals", "backed") for end in ("won", "lost")}
        met = self._listed(dossier.stated(*columns), "role", columns)
        reasons = [
            replace(line, text=f"{kind.capitalize()}: {line.text}") if line.detail else line
            for kind in ("pain", "trigger")
            for line in heard(dossier, kind, most)
        ]
        weighed = [
            replace(line, text=_NOBODY.get(line.text, line.text))
            for line in share_lines(dossier.stated("weighed_share"), dossier.words, "deals that record whom we met")
        ]
        undecided = [
            Line("doing nothing (no decision)", f"{backed(one, dossier.words)} of ended deals", claims=claim_ids(one))
            for one in records(dossier.stated("no_decision_share"))
        ]
        return self._shown(
            Part("Who decides", tables=met, intro="Of deals with a role recorded; met, not the cause of winning.",
                 empty="Record touches with deal and buying role; ten won and ten lost deals are enough."),
            Part("Why they buy", reasons, empty=NO_NOTES),
            Part("What they ask", heard(dossier, "question", most), empty=NO_NOTES),
            Part("What they weigh instead", weighed + undecided,
                 intro="Intervals of whom they weigh hold for all shares at once." if weighed else "",
                 empty=dossier.lacking("competitor", "Record deals.competitor.")),
        )  # fmt: skip

    def messages(self, most: int = 12) -> Shown:
        """What to say to each role, with proof and limit of the same topic."""
        rows = []
        for text in self.dossier.texts("message", topics=self.dossier.topics[:6] or None)[:most]:
            about = [str(text["topic"])]
            proof, limit = (self.dossier.texts(kind, topics=about) for kind in ("proof", "limit"))
            role = "everyone" if numbers.is_missing(text["buying_role"]) else spoken(text["buying_role"])
            rows.append((role, str(text["text"]), _first(proof), str(text["material_id"]), _first(limit)))
        heads = ("role", "message (assumed)", "proof", "source", "do not claim")
        shown = [Table(heads, tuple(sorted(rows, key=lambda row: row[0])), (False,) * 5)] if rows else []
        return self._shown(Part("What to say to whom", tables=shown, empty=f"No messages. {NO_TEXTS}"))

    def stages(self) -> Shown:
        """When to move on, how long it takes, and when a deal is late."""
        columns: Columns = {"stage_days": ("typical", "backed"), "stage_late_days": ("late after", "backed")}
        days = self._listed(self.dossier.stated(*columns), "stage", columns)
        closing = self._measured(lambda field: field == "is_quarter_end")
        criteria = [
            Line(f"{spoken(text['stage']).capitalize()}: {text['text']}", "", "assumed")
            for text in self._by_stage("exit_criterion")
        ]
        pattern = "For the whole market, and known only at the end: no reason to choose a buyer or to wait."
        return self._shown(
            Part("When to move on", criteria, empty=f"No exit criteria. {NO_TEXTS}"),
            Part("When a deal is late", tables=days, intro="Late: nine of ten of its deals that moved on were sooner.",
                 empty="Record stage changes of deals (`stage_history`); ten per stage are enough."),
            *([Part("When deals close", self._said(closing), intro=pattern)] if len(closing) else []),
        )  # fmt: skip

    def signals(self) -> Shown:
        """What moves the chance, to look for or to try and measure, and how many points a deal gets."""
        dossier = self.dossier
        tried = signals.told(dossier, signals.to_try(dossier))
        changed = signals.changed(dossier) or [Line("No signal entered or left.")]
        return self._shown(
            Part("What to look for", signals.told(dossier, signals.of_buyers(dossier)), empty=signals.NOT_SHOWN),
            Part("What to try and measure", tried, empty=signals.NOT_SHOWN,
                 intro="How a deal came about or what was offered, not who the buyer is: an association until tested."),
            Part("What changed since the last period", changed),
            signals.points(dossier),
        )  # fmt: skip

    def qualification(self, most: int = 8) -> Shown:
        """Questions with what a good answer looks like, and what has been measured to matter (``most`` of each)."""
        dossier, rows = self.dossier, []
        for text in dossier.texts("question")[:10]:
            question, _, answer = str(text["text"]).partition(GOOD_ANSWER)
            topic = "anything" if numbers.is_missing(text["topic"]) else spoken(text["topic"])
            rows.append((topic, question, answer or "not written yet"))
        heads = ("topic", "question (assumed, unproven here)", "a good answer")
        asked = [Table(heads, tuple(rows), (False,) * 3)] if rows else []
        whom = set(dossier.table("personas", "whom").get("field", ()))
        matters = self._measured(lambda field: field in whom, is_early=True)
        tells = [signals.tells_apart(dossier, *level) for level in zip(matters["field"], matters["level"], strict=True)]
        matters = matters[pd.Series(tells, index=matters.index, dtype=bool)]
        tried = self._measured(lambda field: field not in whom and dossier.is_known_at_creation(field), is_early=True)
        more, less = matters[matters["effect"] > 0], matters[matters["effect"] < 0].sort_values("effect", kind="stable")
        others = (
            ("Won less often", less, "For the whole market; ask more before you invest time here."),
            ("Also won more often", tried[tried["effect"] > 0],
             "For the whole market; how a deal came about or what was offered, not who the buyer is: try and measure."),
        )  # fmt: skip
        nothing = "Compared one field at a time, nothing that tells its buyers apart was shown to be won more often."
        if dossier.outcome.empty:
            nothing = "No period before this one was looked back on: see what 05 compares."
        return self._shown(
            Part("What to ask", tables=asked, empty=f"No questions. {NO_TEXTS}"),
            Part("What has been measured to matter", self._said(more, most),
                 intro="For the whole market, one field at a time, as far as it tells this persona's buyers apart: ask "
                 "about it when you qualify. Points count all fields at once, and may make less of it.",
                 empty=nothing),
            *(Part(title, self._said(found, most), intro=intro) for title, found, intro in others if len(found)),
        )  # fmt: skip

    def objections(self, most: int = 8) -> Shown:
        """What is objected how often, how such deals end, and what to answer; in all deals where this is too little."""
        dossier = self.dossier

        def answer(kind: str) -> Column:
            return lambda row: _first(dossier.texts(kind, topics=[str(next(iter(row.values()))["level"])]))

        answers = {kind: (head, answer(kind)) for kind, head in _ANSWERS.items()}
        own = own_topics(dossier, "objection").head(most)
        if own.empty:
            everywhere = market_topics(dossier, "objection").head(most)
            within = "".join(f", {span(claim)}" for claim in records(everywhere.head(1)))
            told: Columns = {"n_objection": (f"heard {IN_ALL_DEALS}{within}", lambda row: share_of(row["n_objection"]))}
            shown = self._listed(everywhere, "objection", {**told, **answers})
            return self._shown(Part("Objections", logged(dossier, "objection"), shown, empty=NO_NOTES))
        columns: Columns = {
            "objection_share": ("share of objections", "backed"),
            "win_rate_when_raised": ("won when raised", "backed"),
            **answers,
        }
        raised = dossier.stated("win_rate_when_raised")
        shown = self._listed(pd.concat([own, raised[raised["level"].isin(own["level"])]]), "objection", columns)
        intro = "How deals ended in which it was raised: an association, not what the objection does."
        return self._shown(Part("Objections", tables=shown, intro=intro, empty=NO_NOTES))

    def materials(self) -> Shown:
        """Assets and offers by stage, when they were last used, and how those deals ended."""
        dossier, use = self.dossier, self.dossier.stated("n_used", "win_rate_when_used")
        seen = dossier.table("personas", "materials")
        rows, claims = [], []
        for text in self._by_stage("asset") + self._by_stage("offer"):
            used, won = (
                first(use, measure=name, level=text["material_id"]) for name in ("n_used", "win_rate_when_used")
            )
            mine = seen[(seen["persona"] == dossier.chosen) & (seen["material_id"] == text["material_id"])]
            last = numbers.MISSING if mine.empty else numbers.day(mine["last_on"].iloc[0])
            told = ("fewer than ten times", last, numbers.MISSING)
            if used is not None:
                ended = "too few to tell" if won is None else backed(won, dossier.words)
                told = (value(used, dossier.words), last, ended)
            rows.append((spoken(text["stage"]), str(text["kind"]), f"{text['title']}: {text['text']}", *told))
            claims.append(tuple(use.loc[use["level"] == text["material_id"], "claim_id"]))
        heads = ("stage", "kind", "what", "used", "last", "won when used")
        shown = [Table(heads, tuple(rows), tuple(h == "used" for h in heads), claims=tuple(claims))] if rows else []
        counted = first(use, measure="n_used")
        within = "the periods looked at" if counted is None else span(counted)
        intro = (
            f"Used: contacts on this persona's deals, open ones too, and their leads in {within}. Last: latest known. "
            "Won when used is an association: better deals may simply get more material."
        )
        return self._shown(
            Part("Materials and offers by stage", tables=shown, intro=intro, empty=f"No assets. {NO_TEXTS}")
        )

    def cadence(self) -> Shown:
        """What sales promised on speed and persistence, beside what was observed."""
        dossier, lines = self.dossier, []
        goals = dossier.words.definition.goals.get(dossier.period.name)
        days, touches = (None, None) if goals is None else (goals.first_touch_days, goals.n_touches)
        if days is not None:
            lines.append(Line(f"First touch within {numbers.days(days)} of hand-off (median)", mark="promised"))
        if touches is not None:
            lines.append(Line(f"{touches} touches before disqualifying: the stop rule", mark="promised"))
        given_up = first(dossier.outcome, measure="promise", level="n_touches")
        if given_up is not None:
            told = f"{value(given_up, dossier.words)} (median, {cases(given_up)}, {span(given_up)})"
            text = "Touches of all personas' leads before they were disqualified, of those touched,"
            lines.append(Line(text, told, claims=claim_ids(given_up)))
        waited = first(dossier.outcome, measure="first_touch_median_days", field="")
        if waited is not None:
            told = backed(waited, dossier.words)
            lines.append(
                Line("Last period's median lead, of all personas together, waited", told, claims=claim_ids(waited))
            )
        touched = first(dossier.stated("won_touches"))
        if touched is not None:
            told = f"{backed(touched, dossier.words)} times (median, {span(touched)})"
            lines.append(Line("Won leads of this persona were touched by sales", told, claims=claim_ids(touched)))
        return self._shown(Part("Cadence", lines, empty="Agree on goals in market.toml, and record `touches`."))

    def expected(self) -> Shown:
        """What to expect as ranges: win rate, days, amount; and what became of earlier promises."""
        dossier = self.dossier
        own = where(dossier.ledger, subject="market", field="persona", level=dossier.chosen)
        # 02 of this period and 05 of the one before compare the same win rates, each among its own: the plan's count
        own = own[own["measure"].isin(_EXPECTED) | (own["family"] != "none")].drop_duplicates("measure")
        lines = [Line.of(said) for said in honestly(firm(own, dossier.ledger), dossier.ledger, dossier.words)]
        moved = glance.moved(dossier, Verdict.SUPPORTED, Verdict.LEANING)
        first_one = "No promise was in force in the period before."
        if dossier.result("personas", "only_won"):
            first_one = "No win rate is promised while only won deals are recorded: record lost ones as well."
        return self._shown(
            Part(
                "Numbers to expect",
                lines,
                empty="Collect outcomes of this persona's deals; ten are enough to begin.",
                intro=f"{_EXPECTED_OF} {DRAWN}" if len(dossier.outcome) else "",
            ),
            Part("What was promised, and what came", promise_history(dossier), empty=first_one),
            *([Part("What moved against the periods before", moved)] if moved else []),
        )

    def next_leads(self, most: int = 10) -> Shown:
        """The persona's first open records, those drawn by lot last, with reasons, and the feedback slip; internal."""
        frame = self.dossier.table("leads", "next_leads")
        mine = frame[frame["persona"] == self.dossier.chosen] if len(frame) else frame
        is_drawn = mine["slot"] == "random" if "slot" in mine else pd.Series(False, index=mine.index)
        mine = mine.loc[is_drawn.sort_values(kind="stable").index].head(most)
        hidden = ("persona", "score")
        shown = [record_table(mine, self.dossier.words, without=hidden, limit=most)] if len(mine) else []
        verdict = self.dossier.result("leads", "score_verdict")
        intro = f"Score: {verdict}. Ranks are those of the whole list." if verdict else ""
        is_any_drawn = is_drawn[mine.index].any()
        intro += " Slot random: drawn by lot, so that another order can be judged." if is_any_drawn else ""
        has_points = "points" in mine and mine["points"].notna().any()
        is_of_leads = has_points and self.dossier.result("leads", "prospects") == "leads"
        intro += " Points are those of the card for leads, not for deals." if is_of_leads else ""
        intro += " Points in brackets are beside the average record." if has_reasons(mine) else ""
        asked = ("Deal or lead", "What they said first", "Objection", "What helped", "What was missing")
        slip = [Line(f"{field}: ______") for field in asked]
        after = "Two minutes after a talk; it becomes a note, and next period's playbook."
        called = Part("Whom to call next", (), shown, "No lead of this persona is on the list to call.", intro, True)
        return self._shown(called, Part("Feedback slip", slip, intro=after, is_internal=True))

    @property
    def results(self) -> dict[str, Any]:
        """Key figures of the page: what it promises, and on how many attributes it rests."""
        persona = self.dossier.persona
        return {
            "win_rate": persona.win_rate,
            "win_rate_low": persona.low,
            "win_rate_high": persona.high,
            "n_deals": persona.n,
            "is_assumed": persona.is_assumed,
            "n_attributes": len(self.dossier.attributes),
        }

    def _by_stage(self, kind: str) -> list[dict[str, Any]]:
        """The texts of one kind that are written for a stage, in the order of the stages."""
        deals = self.dossier.words.definition.deals
        order = {stage: place for place, stage in enumerate(deals.every_stage if deals else ())}
        texts = [text for text in self.dossier.texts(kind) if not numbers.is_missing(text["stage"])]
        return sorted(texts, key=lambda text: order.get(text["stage"], len(order)))

    def _measured(self, is_meant: Callable[[str], bool], *, is_early: bool = False) -> pd.DataFrame:
        """Last period's rates of winning that hold, like for like too, by these fields, the largest effect first.

        ``is_early``: only what is known when a lead is handed off, and so can be looked for.
        """
        outcome = self.dossier.outcome
        wanted = {"family": "how they end", "subject": "market", "notebook": "05_deals", "verdict": "supported"}
        held = where(outcome, **wanted)
        held = held[held["measure"].isin(["win_rate", CONVERSION])]
        held = held[held["field"].map(is_meant).astype(bool) & ~turning(held, outcome)]
        if is_early:
            held = held[~held["is_retrospective"].fillna(False).astype(bool)]
        return held.sort_values("effect", ascending=False, kind="stable")


def _first(texts: Sequence[dict[str, Any]]) -> str:
    return str(texts[0]["text"]) if texts else "not written yet"
