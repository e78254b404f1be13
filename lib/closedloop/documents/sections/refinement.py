"""The sections of 06 refinement."""

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.findings import Claim, Column, backed, dots_of, table_of, where
from closedloop.documents.pieces import Listing, Note, Piece, Sentence, span, stating
from closedloop.documents.sections.section import Evidence, Pieces, Section, level_of
from closedloop.documents.wording import records, sentences
from closedloop.evidence.drift import FEWEST_EARLIER
from closedloop.evidence.equivalence import alike
from closedloop.loop.changelog import EDITS, MERGE, RETIRE, SPLIT
from closedloop.loop.drift import RATE, SHARE
from closedloop.loop.off_policy import AS_CALLED
from closedloop.terms import Verdict

_KEPT = {"supported": "no", "leaning": "doubtful", "indistinguishable": "yes", "refused": "cannot tell"}
_PROMISES_TOLD = {"no": "not kept", "doubtful": "doubtful", "yes": "kept", "cannot tell": "cannot be told from luck"}


def duel_verdict(shown: Evidence) -> Sentence:
    """What the duel of the proposal against the set in force says."""
    verdict = shown.result("verdict") or "cannot tell"
    gain, order = (shown.first(name, level="proposal") for name in ("log_loss_gain", "auc_within_gain"))
    if gain is None or order is None:
        return Sentence(f"Duel of new against old personas: {verdict}.")
    text = (
        f"Duel of new against old personas on {numbers.count(gain['n'])} deals: {verdict} "
        f"(gain in log loss {_signed(gain)}, in AUC within blocks {_signed(order)}; both must lie above 0)."
    )
    return stating(text, gain, order)


def one_play(shown: Evidence) -> Sentence:
    """Are the personas in force won unlike each other, so that plays of their own can pay?"""
    found = where(shown.ledger, measure="win_rate", field="persona", within="")
    if found.empty:
        return Sentence("Whether one play for all would do as well cannot be told: win rates are not compared.")
    held = where(found, verdict="supported")
    if len(held):
        text = f"{_listed(held, shown)} won more or less often than the rest: plays by persona can pay."
        return stating(text, held)
    worth = shown.words.definition.claims.smallest_worth
    if alike(found, worth).all():
        return stating(f"All personas are won alike, within {numbers.points(worth)}: one play for all will do.", found)
    return stating("Whether plays by persona pay, or one for all would do as well, cannot be told.", found)


def _listed(claims: pd.DataFrame, shown: Evidence) -> str:
    names = [f"{shown.words.told(str(level))}" for level in claims["level"]]
    return f"Deals of {' and '.join(names)} are" if len(names) < 3 else f"Deals of {len(names)} personas are"


def _signed(claim: Claim) -> str:
    """A gain with both ends of its interval, which may lie on either side of 0."""
    return f"{numbers.plain(claim['estimate'])}, {numbers.plain(claim['low'])} to {numbers.plain(claim['high'])}"


def _duel(shown: Evidence) -> Pieces:
    gains = shown.of("log_loss_gain")
    title = "Who predicts the next deals better than the personas in force?"
    picture = dots_of(
        gains.assign(baseline=0.0), shown.words, title, "gain in log loss over the set in force", level_of(shown.words)
    )
    columns: dict[str, str | tuple[str, Column]] = {
        "log_loss": "log loss (lower is better)",
        "auc_within": "AUC within blocks",
        "log_loss_gain": ("gain in log loss", lambda row: _gain(row, "log_loss_gain")),
        "auc_within_gain": ("gain in AUC", lambda row: _gain(row, "auc_within_gain")),
    }
    listed = table_of(shown.cell("duel"), shown.words, "contender", columns, label=level_of(shown.words))
    return picture, duel_verdict(shown), one_play(shown), listed


def _gain(row: Mapping[str, Claim], measure: str) -> str:
    return _signed(row[measure]) if measure in row else numbers.MISSING


def _looked_at(shown: Evidence) -> pd.DataFrame:
    """Every edit that was tested."""
    return shown.claims[shown.claims["family"].isin(["edit", "simplify"])]


def edits_summary(shown: Evidence) -> Sentence:
    """How many edits of the personas were looked at, how many hold and how many are to watch."""
    looked = _looked_at(shown)
    if looked.empty:
        return Sentence("No edit of the personas could be tested.")
    held, watched = (int((looked["verdict"] == verdict).sum()) for verdict in ("supported", "leaning"))
    return stating(
        f"{numbers.count(len(looked))} edits were tested: {held} hold{'s' if held == 1 else ''}, {watched} to watch.",
        looked,
    )


_BACK: Mapping[str, str] = MappingProxyType(  # what would take an edit back
    {
        SPLIT: "later deals show the two alike",
        MERGE: "the split is found again",
        RETIRE: "its share grows again",
    }
)


def _edits(shown: Evidence) -> Pieces:
    looked = _looked_at(shown)
    looked = looked[looked["verdict"].isin(["supported", "leaning"])]
    if looked.empty:
        return (edits_summary(shown),)
    order = looked.sort_values(["verdict", "q", "subject", "field", "level"], ascending=[False, *[True] * 4])
    columns: dict[str, str | tuple[str, Column]] = {
        "edit": ("edit", lambda row: EDITS[_only(row)["measure"]]),
        "now": ("rate", lambda row: backed(_only(row), shown.words)),
        "before": ("instead of", lambda row: numbers.rate(_only(row)["baseline"])),
        "effect": ("effect", lambda row: numbers.signed_points(_only(row)["effect"])),
        "p": ("p", lambda row: numbers.plain(_only(row)["p"])),
        "status": ("status", lambda row: _status(_only(row), shown)),
        "back": ("goes back if", lambda row: _BACK[EDITS[_only(row)["measure"]]]),
    }
    caption = "Everything that is not listed is kept as it is."
    return table_of(order, shown.words, "persona and case", columns, caption=caption), edits_summary(shown)


def _status(claim: Claim, shown: Evidence) -> str:
    """What becomes of an edit: one that holds is made only when its set won the duel."""
    if claim["verdict"] != "supported":
        return "watch"
    return "permanent" if shown.result("verdict") == "improved" else "holds; not made, the duel was not won"


def _only(row: Mapping[str, Claim]) -> Claim:
    return next(iter(row.values()))


def persona_promises(shown: Evidence) -> Pieces:
    """What the personas in force promised, what came of it, and whether the difference is more than luck."""
    claims = shown.of("promised_win_rate", "promise_gap", "next_win_rate")
    columns: dict[str, str | tuple[str, Column]] = {
        "promised_win_rate": ("we said", "backed"),
        "from": ("of deals of", lambda row: _span(row.get("promised_win_rate"))),
        "promise_gap": ("it was", "backed"),
        "kept": ("kept", lambda row: _kept(row.get("promise_gap"))),
        "next_win_rate": ("we will say", "backed"),
        "next_from": ("of deals of", lambda row: _span(row.get("next_win_rate"))),
    }
    listed = table_of(claims, shown.words, "persona", columns)
    judged = shown.of("promise_gap")
    n = {kept: int(judged["verdict"].map(_KEPT).eq(kept).sum()) for kept in _KEPT.values()}
    told = ", ".join(f"{n[kept]} {text}" for kept, text in _PROMISES_TOLD.items() if n[kept])
    return listed, stating(f"Promised win rates: {told}.", judged)


def _span(claim: Claim | None) -> str:
    return numbers.MISSING if claim is None else span(claim)


def _kept(claim: Claim | None) -> str:
    return "not judged" if claim is None else _KEPT[claim["verdict"]]


def _drift(shown: Evidence) -> Pieces:
    rates, shares = shown.of(RATE), shown.of(SHARE)
    pieces: list[Piece] = []
    for claims, title, axis in ((rates, "Are they won as often as before?", "share of decided deals won"),
                                (shares, "Do they come as often as before?", "share of decided deals")):  # fmt: skip
        if len(claims):
            pieces.append(dots_of(claims, shown.words, title, axis, caption="Line: the earlier periods together."))
    both = pd.concat([rates, shares])
    held = both[both["verdict"].isin(["supported", "leaning"])]
    pieces += [Listing(sentences(held, shown.words))] if len(held) else []
    return (*pieces, _moved(both), *_new_values(shown), Note(_spread(shown)))


def _moved(claims: pd.DataFrame) -> Sentence:
    """How many of the comparisons with the earlier periods show a move, and how many could not have."""
    if claims.empty:
        return Sentence("Whether the market drifts cannot be told: no persona has ten deals now and before.")
    n = {verdict: int((claims["verdict"] == verdict).sum()) for verdict in ("supported", "refused")}
    moved = f"{n['supported']} moved" if n["supported"] else "no move was shown"
    few = f"; for {n['refused']} the deals are too few to tell" if n["refused"] else ""
    return stating(f"Of {len(claims)} comparisons with the periods before, {moved}{few}.", claims)


def _new_values(shown: Evidence) -> list[Sentence]:
    new = shown.first("unseen_share")
    if new is None or new["estimate"] == 0:
        return []
    text = f"{backed(new, shown.words)} of the period's deals have values, in the fields of the rule, never seen before"
    return [stating(f"{text}: look whether the personas still mean what they meant.", new)]


def _spread(shown: Evidence) -> str:
    """Whether the test counts that periods differ anyway."""
    n = int(shown.result("n_earlier_periods") or 0)
    if n < FEWEST_EARLIER:
        are = "is 1" if n == 1 else f"are {n}"
        text = (
            f"How far periods differ anyway is known from {FEWEST_EARLIER} earlier ones on; there {are}, so only luck"
        )
        return f"{text} is counted."
    return "The verdicts count how far earlier periods differed anyway, beyond luck."


def _off_policy(shown: Evidence) -> Pieces:
    claims = shown.of("order_won_rate", "effective_sample")
    columns: dict[str, str | tuple[str, Column]] = {
        "order_won_rate": ("won", lambda row: _won_by_order(row, shown)),
        "effective_sample": "leads that the log is worth",
    }
    listed = table_of(claims, shown.words, "order of calling", columns, label=level_of(shown.words))
    return listed, Listing([_worth(claim, shown) for claim in records(shown.of("effective_sample"))])


def _won_by_order(row: Mapping[str, Claim], shown: Evidence) -> str:
    return backed(row["order_won_rate"], shown.words) if "order_won_rate" in row else "cannot tell"


def _worth(size: Claim, shown: Evidence) -> Sentence:
    """What an order would have been worth beside what was called; refused where the log is worth too little."""
    name = f"Calling {size['level']}"
    found, called = (shown.first("order_won_rate", level=level) for level in (size["level"], AS_CALLED))
    if found is None or called is None:
        worth, needed = numbers.count(size["estimate"]), numbers.count(size["baseline"])
        return stating(f"{name}: cannot tell; the log is worth {worth} leads, {needed} are needed.", size)
    beside = f"{name}: {backed(found, shown.words)} won, against {backed(called, shown.words)} as called"
    if found["verdict"] == Verdict.SUPPORTED:
        more = "more" if found["effect"] > 0 else "fewer"
        return stating(f"{beside}: {more} would have been won.", found, called)
    return stating(f"{beside}: no difference is shown.", found, called)


REFINEMENT = (
    Section("refinement", "duel", "Do new personas predict better than the old?", _duel, measures=("log_loss_gain",)),
    Section(
        "refinement",
        "promises",
        "Did the promised win rates come true?",
        persona_promises,
        measures=("promised_win_rate",),
    ),
    Section("refinement", "edits", "What changes in the personas?", _edits),
    Section("refinement", "drift", "Does the market drift?", _drift, measures=(RATE, SHARE)),
    Section(
        "refinement",
        "off_policy",
        "What would another order have been worth?",
        _off_policy,
        measures=("effective_sample",),
    ),
)
