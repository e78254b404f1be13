"""What a persona promises, what it promised last, and what came of it."""

from closedloop.documents import numbers
from closedloop.documents.dossier import Dossier
from closedloop.documents.findings import backed, ends, first, value
from closedloop.documents.part import Line
from closedloop.documents.pieces import Sentence, span, stating
from closedloop.loop.comparisons import CONVERSION, USUAL_DAYS


def promise_of(dossier: Dossier) -> Sentence:
    """The win rate that the persona set promises and the deals behind it; or why there is none."""
    claim = first(dossier.plan, measure="promised_win_rate", level=dossier.chosen)
    won = first(dossier.plan, measure="n_promised_won", level=dossier.chosen)
    if dossier.result("personas", "only_won"):
        return _of_leads(dossier)
    if claim is None or won is None:
        nothing = "no evidence yet, collect outcomes of its deals"
        return Sentence(dossier.steps["personas"].missing.get("promises", nothing))
    deals = f"{value(won, dossier.words)} won of {numbers.count(claim['n'])} decided in {span(claim)}"
    return stating(
        f"{value(claim, dossier.words)} of decided deals ({ends(claim, dossier.words)}; {deals})", claim, won
    )


def _of_leads(dossier: Dossier) -> Sentence:
    """That there is no win rate where only won deals are recorded, and how many of the persona's leads are won."""
    nothing = "not known, because only won deals are recorded"
    wanted = {"notebook": "02_personas", "field": "persona", "level": dossier.chosen}
    rate, days = first(dossier.plan, measure=CONVERSION, **wanted), first(dossier.plan, measure=USUAL_DAYS)
    if rate is None or days is None or numbers.is_missing(rate["estimate"]):
        return Sentence(f"{nothing}; record lost ones as well")
    told = f"{backed(rate, dossier.words)} of its leads are won within {value(days, dossier.words)}"
    return stating(f"{nothing}; {told}", rate, days)


def promise_history(dossier: Dossier) -> list[Line]:
    """The last promise, what came of it, and the promise now; nothing before there were two."""
    told = {
        "promised_before": "win rate promised last",
        "came_win_rate": "it was",
        "promised_win_rate": "promised now",
    }
    found = {name: first(dossier.plan, measure=name, level=dossier.chosen) for name in told}
    if found["promised_before"] is None:
        return []
    known = [claim for claim in found.values() if claim is not None]
    parts = [
        f"{told[name]} {'too few to tell' if claim is None else f'{backed(claim, dossier.words)} in {span(claim)}'}"
        for name, claim in found.items()
    ]
    return [Line.of(stating("; ".join(parts), *known))]
