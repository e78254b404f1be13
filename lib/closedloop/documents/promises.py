"""What a persona promises, what it promised last, and what came of it."""

from closedloop.documents import numbers
from closedloop.documents.dossier import Dossier
from closedloop.documents.findings import backed, ends, first, value
from closedloop.documents.part import Line
from closedloop.documents.pieces import Sentence, stating
from closedloop.documents.wording import span


def promise_of(dossier: Dossier) -> Sentence:
    """The win rate that the persona set promises and the deals behind it; or why there is none."""
    claim = first(dossier.plan, measure="promised_win_rate", level=dossier.chosen)
    won = first(dossier.plan, measure="n_promised_won", level=dossier.chosen)
    if claim is None or won is None:
        nothing = "no evidence yet, collect outcomes of its deals"
        return Sentence(dossier.steps["personas"].missing.get("promises", nothing))
    deals = f"{value(won, dossier.words)} won of {numbers.count(claim['n'])} decided in {span(claim)}"
    return stating(
        f"{value(claim, dossier.words)} of decided deals ({ends(claim, dossier.words)}; {deals})", claim, won
    )


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
