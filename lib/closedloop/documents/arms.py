"""What experiments showed, as something to do: which arm to use instead of which, where, and what it gave."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.findings import Claim, first, value, where
from closedloop.documents.pieces import Sentence, span, stating
from closedloop.documents.wording import Words, other_arm, records

# rates of arms, and the measure that counts how many of each got there
ARM_RATES = {"accepted_rate": "n_arm_accepted", "qualified_rate": "n_arm_qualified", "won_rate": "n_arm_won"}
# the later an outcome, the more it counts for the choice of an arm
_TOLD: Mapping[str, str] = MappingProxyType(
    {
        "accepted_rate": "sales accepted",
        "qualified_rate": "sales qualified",
        "won_rate": "won",
        "won_amount_per_lead": "won amount per lead",
    }
)
DAYS = "_days"  # the end of measures of how long an outcome takes


def winners(ledger: pd.DataFrame, words: Words, channels: set[str] | None = None) -> list[Sentence]:
    """The arm to use of each experiment in which a difference holds, the largest first.

    The last outcome that shows one decides; where an earlier one points to another arm, that is said as well.
    ``channels``: only experiments whose leads came through one of these.
    """
    held = where(ledger, kind="causal", verdict="supported")
    held = held.assign(_late=held["measure"].map(list(_TOLD).index), _size=held["effect"].abs())
    held = held.sort_values(["_late", "_size"], ascending=False, kind="stable")
    chosen = held.drop_duplicates("subject").sort_values("_size", ascending=False, kind="stable")
    found = []
    for claim in records(chosen):
        own = where(ledger, subject=str(claim["subject"]))
        drawn = where(own, measure="n_drawn_leads")
        if channels is None or channels & set(drawn["level"]):
            found.append(_winner(claim, own, drawn, words))
            found += _against_it(claim, records(where(held, subject=str(claim["subject"]))), words)
    return found


def _sides(claim: Claim, words: Words) -> list[tuple[str, str, str]]:
    """The better arm and the worse one: name, level and what each gave."""
    base = numbers.written(claim["baseline"], str(claim["unit"]), words.currency)
    sides = [
        (f"“{words.level('arm', claim['level'])}”", str(claim["level"]), value(claim, words)),
        (other_arm(claim, words), str(claim["against"]), base),
    ]
    return sides if claim["effect"] > 0 else sides[::-1]


def _winner(claim: Claim, own: pd.DataFrame, drawn: pd.DataFrame, words: Words) -> Sentence:
    """The better of two arms with what both gave and how far apart they are; ``drawn``: its leads by channel."""
    measure, unit = str(claim["measure"]), "amount" if claim["unit"] == "amount" else "points"
    better, worse = _sides(claim, words)
    counted = [
        first(own, measure=ARM_RATES[measure], level=level) if measure in ARM_RATES else None
        for _, level, _ in (better, worse)
    ]
    both = " against ".join(
        told if n is None else f"{told} ({numbers.count(n['estimate'])} of {numbers.count(n['n'])})"
        for (_, _, told), n in zip((better, worse), counted, strict=True)
    )
    gap = first(own, measure=f"arm_{measure}_difference", level=str(claim["level"]))
    size = numbers.written(abs(claim["effect"]), unit, words.currency)
    far = size if unit == "points" else f"+{size}"
    if gap is not None:
        low, high = sorted(abs(claim["effect"]) / claim["effect"] * gap[end] for end in ("low", "high"))
        far += f" (90 % interval {numbers.interval(low, high, unit, words.currency)})"
    place = f" in {', '.join(words.level('channel', name) for name in sorted(drawn['level']))}" if len(drawn) else ""
    text = (
        f"Use {better[0]} instead of {worse[0]}{place}: {_TOLD[measure]} {both}, {far}, because of it ({span(claim)})."
    )
    return stating(text, claim, *(part for part in (gap, *counted) if part is not None), drawn)


def _against_it(chosen: Claim, held: Sequence[Claim], words: Words) -> list[Sentence]:
    """Earlier outcomes of the same experiment that point to another arm than the one that is chosen."""
    best = _sides(chosen, words)[0][1]
    found = []
    for claim in held:
        better, worse = _sides(claim, words)
        if claim["measure"] != chosen["measure"] and worse[1] == best:
            rates = f"{worse[2]} against {better[2]} with {better[0]}"
            text = f"Mind that {worse[0]} does worse before: {_TOLD[str(claim['measure'])]} {rates} ({span(claim)})."
            found.append(stating(text, claim))
    return found


def compared_by(ledger: pd.DataFrame, words: Words) -> list[Sentence]:
    """By which outcomes the arms of each experiment are compared, and which leads count."""
    found = []
    for subject, own in ledger[ledger["measure"].isin([*ARM_RATES.values(), "n_arm_leads"])].groupby("subject"):
        rates = [name for name, counted in ARM_RATES.items() if counted in set(own["measure"])]
        days = {name: first(ledger, subject=str(subject), measure=f"arm_{name}{DAYS}") for name in rates}
        told = [_TOLD[name] + _within(days[name], words) for name in rates]
        cited = [claim for claim in days.values() if claim is not None]
        if told:
            text = f"{words.name(str(subject))}: arms are compared by {'; '.join(told)}."
            young = " Who came too late to have had that time counts in no arm." if cited else ""
            found.append(stating(f"{text[:1].upper()}{text[1:]}{young}", own, *cited))
    return found


def _within(days: Claim | None, words: Words) -> str:
    if days is None:
        return ""
    return f" within {value(days, words)} (nine of ten needed no more; {numbers.count(days['n'])} leads had them)"
