"""The battlecard of one competitor, or of buyers who decide nothing."""

from typing import Any

import numpy as np
import pandas as pd

from closedloop.claims.ledger import TURNS
from closedloop.documents import glance
from closedloop.documents.document import DRAWN, NO_NOTES, NO_TEXTS, Document, Line, Part, assumed, plainly, share_lines
from closedloop.documents.glance import heard
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Note, Sentence, Shown, stating
from closedloop.presentation.charts import MOST_ROWS, Picture
from closedloop.presentation.sentences import (
    COUNTED_ONLY,
    Claim,
    backed,
    firm,
    first,
    honestly,
    recorded,
    records,
    where,
)
from closedloop.presentation.tables import dots_of
from closedloop.terms import NO_COMPETITOR, NO_DECISION

_ASK_BUYERS = "Ask buyers who said no; log it as a note of kind loss."
_DIFFERS = {"supported": "", "leaning": ": it may differ, see what the comparison says"}
_CELLS = ("met", "why", "strong", "verified")  # where the plan states what it knows of rivals


class Battlecard(Document):
    """How we stand against one competitor, or against doing nothing."""

    notebook = "battlecard"
    kind = "competitor"

    def glance(self, most: int = 3) -> Shown:
        """How often we meet them and win, why buyers turn to them, what to ask and answer, when to walk away."""
        dossier = self.dossier
        general = [text for text in dossier.texts("limit") if numbers.is_missing(text["topic"])]
        cards = [
            Part("How we stand", [Line.of(said) for said in self.standing], name="who"),
            self._why(most),
            Part("Ask", plainly(self._asked, most), empty=f"No questions. {NO_TEXTS}"),
            Part("Answer", plainly(self._written("answer"), most), empty=f"No answers about it. {NO_TEXTS}"),
            glance.written(dossier, "Walk away when", "disqualifier", "walk", most),
            Part("Never", plainly(general, 2), empty=f"No limits. {NO_TEXTS}"),
            Part("Last verified", self._age, empty="Neither texts nor deals about it carry a date."),
        ]  # fmt: skip
        return self._shown(glance.page(dossier, [], cards))

    def _why(self, most: int) -> Part:
        """Why buyers say no, in their words' topics; why they decide nothing, as sellers recorded it."""
        if self._is_undecided:
            empty = "Record deals.loss_reason of such deals."
            return Part("Why they decide nothing", self._sellers_reasons(most), empty=empty)
        return Part("Why buyers say no", heard(self.dossier, "loss_topic", most), empty=_ASK_BUYERS)

    def _sellers_reasons(self, most: int) -> list[Line]:
        """Why such deals were not won, as sellers recorded it."""
        return share_lines(self._stated("loss_reason_share").head(most), self.dossier.words, "sellers' reasons")

    def met(self) -> Shown:
        """In which deals the rival is met: by persona, product and channel, as shares of the ended deals of each."""
        shares = self._stated("met_share")
        if shares.empty:
            lacking = self.dossier.lacking("competitor", "Record deals.competitor; ten deals of a kind are enough.")
            lacking = self._no_decision_lacking if self._is_undecided else lacking
            return self._shown(Part("When you meet them", empty=lacking))
        title = "Which deals end without a decision?" if self._is_undecided else f"Where is {self.dossier.name} met?"
        axis = "share of ended deals of this kind" + ("" if self._is_undecided else " that record whom we met")
        return self._shown(self._dots(shares, title, axis))

    def why(self, most: int = 5) -> Shown:
        """Why buyers consider them: what buyers and sellers said about such deals (``most`` of each)."""
        return self._shown(
            Part("Why buyers say no, in their words' topics", heard(self.dossier, "loss_topic", most),
                 empty=_ASK_BUYERS),
            Part("Why, as sellers recorded it", self._sellers_reasons(most),
                 empty=self.dossier.lacking("loss_reason", "Record deals.loss_reason; ten of a kind are enough.")),
            Part("What is objected in such deals", heard(self.dossier, "objection", most), empty=NO_NOTES),
        )  # fmt: skip

    def strong(self) -> Shown:
        """Where they are strong and where we win: win rates against them by persona, product and channel."""
        if self._is_undecided:
            text = "See the figure above: the share of deals of each kind that ended undecided."
            lines = [] if self._stated("met_share").empty else [Line(text)]
            return self._shown(Part("Where deals stall", lines, empty=self._no_decision_lacking))
        rates = self._stated("win_rate").sort_values("estimate", ascending=False, kind="stable")
        outcome = self.dossier.outcome
        rows = where(outcome, field="competitor", level=self.dossier.chosen)
        rows = firm(rows[~rows["measure"].isin(TURNS.values())], outcome)
        compared = Part(
            "What last period's comparison says",
            [Line.of(said) for said in honestly(rows, outcome, self.dossier.words)],
            empty="No comparison was made: too few deals, or the first period.",
            intro=DRAWN if len(rows) else "",
        )
        if rates.empty:
            lacking = "Ten decided deals of a kind against this rival are needed."
            return self._shown(Part("Where we win and for whom", empty=lacking), compared)
        title = f"Where do we win against {self.dossier.name}?"
        return self._shown(self._dots(rates, title, "share of decided deals won"), Note(COUNTED_ONLY), compared)

    def questions(self, most: int = 4) -> Shown:
        """What to ask and to answer, from the team's own texts (``most`` of each)."""
        return self._shown(
            Part("Ask", assumed(self._asked, most), empty=f"No questions. {NO_TEXTS}"),
            Part("Answer", assumed(self._written("answer"), most), empty=f"No answers about it. {NO_TEXTS}"),
        )

    def walk_away(self, most: int = 4) -> Shown:
        """When to leave, and what never to say (``most`` of each)."""
        general = [text for text in self.dossier.texts("limit") if numbers.is_missing(text["topic"])]
        leave = assumed(self.dossier.texts("disqualifier"), most)
        return self._shown(
            Part("Walk away when", leave, empty=f"No disqualifiers. {NO_TEXTS}"),
            Part("Never", assumed(general, most), empty=f"No limits. {NO_TEXTS}"),
        )

    def verified(self) -> Shown:
        """How old the texts and the deals behind the card are."""
        return self._shown(Part("Last verified", self._age, empty="Neither texts nor deals about it carry a date."))

    @property
    def standing(self) -> list[Sentence]:
        """How often the rival is met, and how such deals end."""
        dossier, words = self.dossier, self.dossier.words
        n, share = self._first("n_met"), self._first("met_share")
        if n is None or share is None:
            named = "No decision was recorded" if self._is_undecided else f"{dossier.name} was met"
            return [Sentence(f"{named} in fewer than ten of the deals that ended: too few to tell.")]
        sizes = f"{numbers.count(n['estimate'])} of {numbers.count(n['n'])} ended deals"
        rate_met = numbers.rate(share["estimate"])
        if self._is_undecided:
            return [stating(f"{sizes} had no decision ({rate_met}).", n, share)]
        met = stating(f"{dossier.name} was met in {sizes} that record whom we met ({rate_met}).", n, share)
        if dossier.result("personas", "only_won"):
            return [met, Sentence("Only won deals are recorded: how often we win against them cannot be told.")]
        rate, everyone = self._first("win_rate"), first(self._plan, subject="market", measure="win_rate")
        if rate is None or everyone is None:
            return [met, Sentence("Fewer than ten of them were decided: too few for a win rate.")]
        text = f"We win {backed(rate, words)} of decided deals against it; of all that record whom we met "
        uneven = first(self._plan, measure="recorded_share", verdict="supported")
        told = [] if uneven is None else [recorded(uneven, words)]
        tested = first(dossier.outcome, measure="win_rate", field="competitor", level=dossier.chosen)
        judged = [] if tested is None else [tested]
        differs = _DIFFERS.get(str(tested["verdict"]) if tested else "", ", not shown to differ")
        return [met, stating(f"{text}{backed(everyone, words)}{differs}.", rate, everyone, *judged), *told]

    @property
    def results(self) -> dict[str, Any]:
        """Key figures of the card; None where ten deals are lacking."""
        n, rate = self._first("n_met"), self._first("win_rate") or {}
        return {
            "n_deals": None if n is None else int(n["estimate"]),
            "n_decided": rate.get("n"),
            "win_rate": rate.get("estimate"),
            "win_rate_low": rate.get("low"),
            "win_rate_high": rate.get("high"),
        }

    @property
    def _is_undecided(self) -> bool:
        return self.dossier.chosen == NO_DECISION

    @property
    def _no_decision_lacking(self) -> str:
        return self.dossier.lacking(NO_DECISION, "Record no_decision as an outcome of deals.")

    @property
    def _plan(self) -> pd.DataFrame:
        """What the plan states of rivals."""
        return self.dossier.plan[self.dossier.plan["cell"].isin(_CELLS)]

    def _stated(self, measure: str) -> pd.DataFrame:
        """What the plan states on one measure of this rival."""
        return where(self._plan, subject=self.dossier.chosen, measure=measure)

    def _first(self, measure: str) -> Claim | None:
        """The claim on one measure of all deals with this rival."""
        return first(self._stated(measure), field="")

    def _written(self, kind: str) -> list[dict[str, Any]]:
        """Texts about this rival; those about doing nothing for buyers who decide nothing."""
        named = NO_COMPETITOR[0] if self._is_undecided else self.dossier.chosen
        rows = self.dossier.materials
        return records(rows[(rows["kind"] == kind) & (rows["competitor"] == named)])

    @property
    def _asked(self) -> list[dict[str, Any]]:
        """Questions about this rival, then those that fit any deal."""
        own = self._written("question")
        known = {text["material_id"] for text in own}
        return own + [text for text in self.dossier.texts("question") if text["material_id"] not in known]

    @property
    def _age(self) -> list[Line]:
        texts, deals = self._first("n_texts"), self._first("n_met")
        told = []
        if texts is not None:
            n = numbers.count(texts["estimate"])
            text = f"{n} questions and answers about it, the latest written in {texts['last_period']}"
            told.append(Line.of(stating(text, texts)))
        if deals is not None and self.dossier.words.definition.clock != "none":
            told.append(Line.of(stating(f"Latest deal with it ended in {deals['last_period']}", deals)))
        return told

    def _dots(self, claims: pd.DataFrame, title: str, axis: str) -> Picture:
        """A figure of all deals and of kinds of deals, with a line at all deals."""
        words = self.dossier.words

        def named(claim: Claim) -> str:
            return words.condition(claim["field"], claim["level"]) if claim["field"] else "all deals"

        whole = claims.loc[claims["field"] == "", "estimate"]
        base = None if whole.empty else float(whole.iloc[0])
        far = claims  # what lies nearest to all deals is left out: where we are weakest is asked as well
        if base is not None and len(claims) > MOST_ROWS:
            kept = (claims["estimate"] - base).abs().mask(claims["field"] == "", np.inf).nlargest(MOST_ROWS).index
            far = claims[claims.index.isin(kept)]
        n_near = len(claims) - len(far)
        left = f"{numbers.plural(n_near, 'kind')} of deals nearest to all, left out here." if n_near else ""
        return dots_of(far, words, title, axis, named, baseline=base, caption=left)
