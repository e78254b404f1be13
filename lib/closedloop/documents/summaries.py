"""How much was looked at, and what became of it."""

from collections.abc import Mapping

import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.pieces import Sentence, stating
from closedloop.documents.wording import Words
from closedloop.evidence.equivalence import alike
from closedloop.loop.comparisons import turning

_UNLIKE = "unlike"  # what is counted of supported differences that do not hold like for like


def summary(claims: pd.DataFrame, words: Words, ledger: pd.DataFrame | None = None) -> list[Sentence]:
    """How many comparisons were made and what became of them; plainly said when nothing holds.

    ``claims``: claims outside families are not comparisons and are left out. ``ledger``: where it stands what becomes
    of their differences like for like; ``claims`` themselves unless given.
    """
    looked = claims[claims["family"] != "none"]
    if looked.empty:
        return [Sentence("Nothing could be compared yet: no evidence.")]
    is_unlike = (looked["verdict"] == "supported") & turning(looked, claims if ledger is None else ledger)
    verdicts = looked["verdict"].mask(is_unlike, _UNLIKE).value_counts()
    counted = _tally({str(verdict): int(n) for verdict, n in verdicts.items()}, len(looked))
    return [stating(text, looked) for text in (counted, *_without_difference(looked, words))]


def _tally(verdicts: Mapping[str, int], n: int) -> str:
    said = {"supported": "hold", "leaning": "to watch", "indistinguishable": "show no detectable difference",
            "refused": "cannot be told"}  # fmt: skip
    if verdicts.get(_UNLIKE):
        said = {
            "supported": said.pop("supported"),
            _UNLIKE: f"do{'es' * (verdicts[_UNLIKE] == 1)} not hold like for like",
            **said,
        }
    parts = ", ".join(f"{verdicts.get(verdict, 0)} {text}" for verdict, text in said.items())
    return f"We looked at {numbers.count(n)} comparison{'' if n == 1 else 's'}: {parts}."


def _without_difference(looked: pd.DataFrame, words: Words) -> list[str]:
    """The fields by which nothing was shown to differ; when each of them could have shown it, what to do about it."""
    held = set(looked.loc[looked["verdict"] == "supported", "field"])
    fields = [str(field) for field in dict.fromkeys(looked["field"].dropna()) if field and field not in held]
    without = [f"“{name}”" if name.endswith("?") else name for name in map(words.column, fields)]
    if not without:
        return []
    worth = words.definition.claims.smallest_worth
    if held or not alike(looked, worth).all():
        return [f"Nothing was shown to differ by {_listed(without)}."]
    return [f"Nothing differs by {numbers.points(worth)} or more by {_listed(without)}: treat all alike."]


def _listed(names: list[str], most: int = 5) -> str:
    shown = names if len(names) <= most else [*names[: most - 1], f"{len(names) - most + 1} other fields"]
    return " or ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
