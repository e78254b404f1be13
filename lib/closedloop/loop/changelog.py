"""The changelog of a persona set: every permanent edit, and the claim behind it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

SPLIT, MERGE, RETIRE, COMMIT = "split", "merge", "retire", "commit"
# the measure of an edit's claim -> what the edit does
EDITS: Mapping[str, str] = MappingProxyType({"win_rate": SPLIT, "merge_gap": MERGE, "remaining_share": RETIRE})
_FIGURES = ("estimate", "low", "high", "baseline", "q")


@dataclass(frozen=True)
class Change:
    """One edit of a persona set, in force from ``period``, with the figures of its claim.

    ``edit``: split, merge, retire, or commit (people put another set into force). ``persona``: whose; ``into``:
    the persona that was cut out of it, or that took its people. ``field`` and ``level``: what it was split by.
    ``estimate`` with ``low`` and ``high`` and ``baseline`` are fractions; what the claim lacks is missing.
    """

    period: str
    edit: str
    persona: str = ""
    into: str = ""
    field: str = ""
    level: str = ""
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    baseline: float | None = None
    q: float | None = None
    n: int | None = None
    last_period: str = ""
    claim_id: str = ""


def plain_changes(changelog: tuple[Change, ...]) -> list[dict[str, Any]]:
    """The entries as plain values for YAML; what is empty is left out."""
    return [{key: value for key, value in asdict(entry).items() if value not in ("", None)} for entry in changelog]


def change_of(claim: Mapping[str, Any], *, period: str, edit: str, into: str) -> Change:
    """The entry of an edit whose claim this is."""
    figures = {name: _figure(claim[name]) for name in _FIGURES}
    return Change(
        period,
        edit,
        persona=str(claim["subject"]),
        into=into,
        field=str(claim["field"]),
        level=str(claim["level"]),
        n=int(claim["n"]),
        last_period=str(claim["last_period"]),
        claim_id=str(claim["claim_id"]),
        **figures,
    )


def _figure(value: Any) -> float | None:
    """Significant digits rather than decimals: a q value may be tiny."""
    return float(f"{float(value):.6g}") if np.isfinite(value) else None
