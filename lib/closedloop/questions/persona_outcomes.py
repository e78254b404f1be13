"""What becomes of each persona's leads and promises, and which people are won less often than the rest."""

from collections.abc import Mapping, Sequence

import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.findings import Claim, Column, Label, table_of, value
from closedloop.documents.pieces import Listing, Note, Piece, Sentence, span, stating
from closedloop.documents.wording import one_of_each_pair, records, sentences
from closedloop.evidence.claims import Origin
from closedloop.loop.comparisons import CONVERSION, turning
from closedloop.loop.counting import rates
from closedloop.loop.persona import PersonaSet, promises
from closedloop.loop.records import won
from closedloop.questions.answer import PROVISIONAL, Answer
from closedloop.questions.comparison import level_of, ranked
from closedloop.questions.evidence import Evidence
from closedloop.questions.period import opened

NO_ANTI_PERSONA = "No anti-persona is supported: nobody is shown to be won less often than the rest."
_JUDGED = "Sales accepts these less often. That is its judgement and no outcome: compare how often they are won."
_WON, _ACCEPTED = ("win_rate", "won_rate", CONVERSION), ("accepted_rate",)
_NOT_OF_CONTACTS = ("campaign", "experiment", "arm", "arm_rate", "channel", "product", "first_touch")
_MOST = 8
Columns = Mapping[str, str | tuple[str, Column]]


def promised_at_start(deals: pd.DataFrame, *, among: str | None = None) -> Answer:
    """The win rate that each persona promises now; what the last set had promised, and what came of it in ``deals``.

    A promise is made of the deals of the window (``persona.estimate``): without a deal that is new or gone since the
    last one, there is no other.
    """
    now = opened()
    answer = now.ask("promised_rates", "changes", deals, "deals", _show_promises, among=among)
    personas, before = now.personas, now.personas_before
    if before is not None:
        answer.estimate(promises(before), _of_promise(answer, before, "changes"), "promised_before", kind="predictive")
        _what_came(answer, before)
    if before is not None and personas.deals and personas.deals == before.deals:
        answer.missing["promises"] = (
            f"no deal was decided since the promise for {before.period}, which still stands: nothing new to promise"
        )
        return answer
    rows, origin = promises(personas), _of_promise(answer, personas, "personas")
    answer.estimate(rows, origin, "promised_win_rate", kind="predictive")
    answer.count([{**row, "estimate": row["n_won"]} for row in rows], origin, "n_promised_won")
    return answer


def _of_promise(answer: Answer, stated: PersonaSet, section: str) -> Origin:
    return Origin(answer.now.notebook, section, "deals", stated.first_period, stated.last_period)


def _what_came(answer: Answer, before: PersonaSet) -> None:
    """The win rates of the period of the last promise, by the rule that was in force."""
    if answer.rows.empty:
        return
    rows = answer.rows[answer.now.situation.names_of(answer.rows["closed_on"]) == before.period]
    if rows.empty:
        return
    hit = won(rows).dropna()
    ended = hit.groupby(before.assign(rows.loc[hit.index])).agg(["sum", "size"])
    origin = Origin(answer.now.notebook, "changes", "deals", before.period, before.period)
    answer.estimate(rates(ended.itertuples(name=None), "persona"), origin, "came_win_rate")


def _show_promises(shown: Evidence, title: str) -> Sequence[Piece]:
    claims = shown.of("promised_before", "came_win_rate", "promised_win_rate", "n_promised_won")
    if claims.empty:
        only_won = "no win rate: only won deals are recorded"
        nothing = only_won if shown.result("only_won") else "assumed: no persona has ten decided deals of its own yet"
        return (Sentence(f"Nothing is promised, {nothing}."),)
    columns: Columns = {
        "promised_before": ("win rate promised last", "backed"),
        "came_win_rate": ("it was", "backed"),
        "promised_win_rate": ("promised now", "backed"),
        "basis": ("rests on", lambda row: _basis(row, shown)),
    }
    listed = table_of(claims, shown.words, "persona", columns, label=level_of(shown.words), caption=title)
    best = shown.of("promised_win_rate").sort_values("estimate", ascending=False, kind="stable").head(1)
    said = [f"{value(row, shown.words)} of decided deals, by {shown.words.told(row['level'])}" for row in records(best)]
    return listed, *(stating(f"The highest promise now: {text}.", best) for text in said)


def _basis(row: Mapping[str, Claim], shown: Evidence) -> str:
    """The deals that a promise rests on."""
    promise, n_won = row.get("promised_win_rate"), row.get("n_promised_won")
    if promise is None or n_won is None:
        return "assumed: too few deals of its own"
    return f"{value(n_won, shown.words)} won of {numbers.count(promise['n'])} decided, {span(promise)}"


def anti_personas() -> Answer:
    """Who is shown to be won less often than the rest, among all that this notebook compares win rates by.

    Only fields that say who somebody is count, no channel and no product. What holds like for like alone is listed, and
    apart from it why sales gives leads back, by its own account: a judgement and no outcome.
    """
    now = opened()
    answer = now.ask("anti_personas", "avoid", pd.DataFrame(), "deals", _show_anti_personas)
    table = next((table for table in ("leads", "deals") if now.situation.view.has(table)), None)
    fields = [name for name in now.situation.fields(table) if name not in _NOT_OF_CONTACTS] if table else []
    answer.tables["whom"] = pd.DataFrame({"field": fields}, dtype="str")
    return answer


def turned_down(shown: Evidence) -> pd.DataFrame:
    """Claims of the notebook that hold and say who is won or accepted less often; channels and dates are nobody."""
    who, ledger = {"persona", *shown.table("whom").get("field", [])}, shown.ledger
    held = ledger[(ledger["verdict"] == "supported") & ledger["measure"].isin([*_WON, *_ACCEPTED])]
    less = held[(held["effect"] < 0) & held["field"].isin(who) & (held["within"].fillna("") == "")]
    return less[~turning(less, ledger)]


def _show_anti_personas(shown: Evidence, title: str) -> Sequence[Piece]:
    if shown.ledger.empty:
        return (PROVISIONAL,)
    found = turned_down(shown)
    fewer_won, fewer_accepted = (
        ranked(one_of_each_pair(found[found["measure"].isin(names)], shown.words)).head(_MOST)
        for names in (_WON, _ACCEPTED)
    )
    compared = shown.ledger[shown.ledger["measure"].isin(_WON) & (shown.ledger["family"] != "none")]
    nobody = (
        stating(NO_ANTI_PERSONA, compared)
        if len(compared)
        else Sentence("Nobody is compared yet, so nobody is left out.")
    )
    said: list[Piece] = [Listing(sentences(fewer_won, shown.words)) if len(fewer_won) else nobody]
    if len(fewer_accepted):
        said += [Note(_JUDGED), Listing(sentences(fewer_accepted, shown.words))]
    reasons = shown.ledger[shown.ledger["measure"] == "sales_rejection_share"]
    if reasons.empty:
        return said
    most = reasons.sort_values(["estimate", "n"], ascending=False, kind="stable").drop_duplicates("subject")
    columns: Columns = {
        "reason": ("named most often", lambda row: shown.words.level("topic", _only(row)["level"])),
        "sales_rejection_share": ("share of sales' notes", "backed"),
    }
    caption = f"{title} Why sales gave leads back, by its own account.".strip()
    return *said, table_of(most, shown.words, "persona", columns, label=_subject(shown), caption=caption)


def _subject(shown: Evidence) -> Label:
    return lambda claim: shown.words.name(str(claim["subject"]))


def _only(row: Mapping[str, Claim]) -> Claim:
    return next(iter(row.values()))
