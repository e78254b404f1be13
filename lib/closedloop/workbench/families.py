"""The families of a notebook: every comparison that was made in it, corrected together; how they end apart from who."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from closedloop.claims.ledger import CLAIM_COLUMNS, close_family, outside, stacked
from closedloop.period.situation import Situation

if TYPE_CHECKING:
    from closedloop.workbench.answer import Answer


ENDING, WHO, RECORDING = "how they end", "who they are", "recording"
_WHO = ("share", "wave_share", "drift_share", "association")
_RECORDING = ("recorded_share", "arm_share")  # of every notebook a test of the data, made to be strict
# of false claims among all, where it is not one in ten: true shares are large and lose next to nothing, and the many
# families of shares would make most of a period's false lines
_RATES = {RECORDING: 0.01, WHO: 0.03}
_SAME = ["measure", "subject", "field", "level", "within", "among"]
_FIGURES = ["first_period", "last_period", "estimate", "n", "p"]


def family_of(measure: str) -> str:
    """The family that a comparison joins: shares say who they are; rates, amounts, days and gains how they end."""
    return RECORDING if measure in _RECORDING else WHO if measure in _WHO else ENDING


def rate_of(family: str) -> float:
    """The rate of false discoveries at which a family is closed."""
    return _RATES.get(family, 0.10)


def set_apart(answers: Sequence["Answer"]) -> None:
    """Name those answers that look at the same as an earlier one with other settings: their claims are others."""
    for part in ("compared", "stated", "judged"):
        frames = [getattr(answer, part)[[*_SAME, *_FIGURES]].assign(place=n) for n, answer in enumerate(answers)]
        every = pd.concat(frames).drop_duplicates([*_SAME, *_FIGURES]) if frames else pd.DataFrame()
        for place in every.loc[every.duplicated(_SAME), "place"].unique() if len(every) else ():
            verb = answers[place].verb
            number = sum(answer.verb == verb for answer in answers[: place + 1])
            answers[place].rename(f"{verb} asked another way, no. {number}")


def close(
    comparisons: pd.DataFrame,
    statements: pd.DataFrame,
    closed: Iterable[pd.DataFrame],
    situation: Situation,
) -> pd.DataFrame:
    """Every figure of a notebook as a claim: its closed families, and what stands outside them.

    ``comparisons``: all that were made (columns of looks), each once; ``closed``: claims of families that a verb had to
    close itself, since something follows from their verdicts.
    """
    fingerprint = situation.warehouse.fingerprint(situation.on)
    about = {"market": situation.market, "period": situation.period.name, "expires_on": situation.expires_on}
    distinct = comparisons.drop_duplicates([*_SAME, *_FIGURES])
    of_family = distinct["measure"].map(family_of)
    families = [
        close_family(
            distinct[of_family == name],
            family=name,
            smallest_worth=situation.claims.smallest_worth,
            rate=rate_of(name),
            fingerprint=fingerprint,
            **about,  # type: ignore[arg-type]
        )
        for name in (WHO, RECORDING, ENDING)
    ]
    others = stated(statements, situation)
    own = [claims.assign(fingerprint=fingerprint) for claims in closed]
    return stacked([*families, others, *own], CLAIM_COLUMNS)


def stated(statements: pd.DataFrame, situation: Situation) -> pd.DataFrame:
    """Figures that compare nothing as claims: they are final whatever else is asked."""
    about = {"market": situation.market, "period": situation.period.name, "expires_on": situation.expires_on}
    return outside(statements, fingerprint=situation.warehouse.fingerprint(situation.on), **about)  # type: ignore[arg-type]
