"""What experiments showed, as something to do: which arm to use instead of which, where, and what it gave."""

import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.findings import Claim, first, value, where
from closedloop.documents.pieces import Sentence, stating
from closedloop.documents.wording import Words, other_arm, records, span


def winners(ledger: pd.DataFrame, words: Words, channels: set[str] | None = None) -> list[Sentence]:
    """The arm to use of each experiment in which a difference holds, the largest first.

    ``channels``: only experiments whose leads came through one of these.
    """
    held = where(ledger, kind="causal", verdict="supported").sort_values("effect", key=abs, ascending=False)
    found = []
    for claim in records(held.drop_duplicates("subject")):
        own = where(ledger, subject=str(claim["subject"]))
        drawn = where(own, measure="n_drawn_leads")
        if channels is None or channels & set(drawn["level"]):
            found.append(_winner(claim, own, drawn, words))
    return found


def _winner(claim: Claim, own: pd.DataFrame, drawn: pd.DataFrame, words: Words) -> Sentence:
    """The better of two arms with both rates and how far apart they are; ``drawn``: its leads by channel."""
    sides = [
        (f"“{words.level('arm', claim['level'])}”", str(claim["level"]), value(claim, words)),
        (other_arm(claim, words), str(claim["against"]), numbers.rate(claim["baseline"])),
    ]
    better, worse = sides if claim["effect"] > 0 else sides[::-1]
    accepted = [first(own, measure="n_arm_accepted", level=level) for _, level, _ in (better, worse)]
    rates = " against ".join(
        rate if n is None else f"{rate} ({numbers.count(n['estimate'])} of {numbers.count(n['n'])})"
        for (_, _, rate), n in zip((better, worse), accepted, strict=True)
    )
    gap = first(own, measure="arm_difference", level=str(claim["level"]))
    far = numbers.signed_points(abs(claim["effect"]))
    if gap is not None:
        low, high = sorted(abs(claim["effect"]) / claim["effect"] * gap[end] for end in ("low", "high"))
        far += f" (90 % interval {numbers.interval(low, high, 'points', words.currency)})"
    place = f" in {', '.join(words.level('channel', name) for name in sorted(drawn['level']))}" if len(drawn) else ""
    text = (
        f"Use {better[0]} instead of {worse[0]}{place}: sales accepted {rates}, {far}, because of it ({span(claim)})."
    )
    return stating(text, claim, *(part for part in (gap, *accepted) if part is not None), drawn)
