"""Assignment rules: their conditions, and what they ask of a row in pandas, in SQL and in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from closedloop.errors import ParameterError
from closedloop.statistics.segmentation.indicators import edge_text, level_text

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Among:
    """The field's text is one of ``levels``, or of all ``others``; ``missing`` says whether a missing value passes."""

    field: str
    levels: tuple[str, ...]
    missing: bool = False
    others: bool = False

    def holds(self, frame: pd.DataFrame) -> Flags:
        """(n,) which rows meet the condition."""
        text = level_text(_column(frame, self.field))
        absent = text.isna().to_numpy(dtype=bool)
        passed: Flags = (text.isin(list(self.levels)).to_numpy(dtype=bool) != self.others) & ~absent
        return passed | (absent & self.missing)

    def to_sql(self) -> str:
        """The condition in DuckDB's dialect; never NULL."""
        name = quoted_name(self.field)
        listed = ", ".join(quoted(level) for level in self.levels)
        within = f"CAST({name} AS VARCHAR) {'NOT IN' if self.others else 'IN'} ({listed})"
        parts = [f"coalesce({within}, FALSE)"] if self.levels else [f"{name} IS NOT NULL"] * self.others
        parts += [f"{name} IS NULL"] if self.missing else []
        return _any(parts)

    def sentence(self) -> str:
        """The condition in words."""
        gaps = ["missing"] if self.missing else []
        if self.others:
            named = f"none of {_listed(list(self.levels))}" if self.levels else "known"
            return " or ".join([f"{self.field} is {named}", *gaps])
        return f"{self.field} is {_listed([*self.levels, *gaps])}"

    def opposite(self) -> Among:
        """What this condition keeps out."""
        return Among(self.field, self.levels, not self.missing, not self.others)

    def both(self, other: Among) -> Among:
        """What passes this condition and the ``other`` one, on the same field."""
        missing = self.missing and other.missing
        if self.others and other.others:
            return Among(self.field, tuple(dict.fromkeys((*self.levels, *other.levels))), missing, others=True)
        narrow, wide = (other, self) if self.others else (self, other)
        kept = tuple(level for level in narrow.levels if (level in wide.levels) != wide.others)
        return Among(self.field, kept, missing)

    def is_within(self, other: Among) -> bool:
        """Does it let no value pass that the ``other`` one, on the same field, keeps out?"""
        beyond = self.both(other.opposite())
        return not (beyond.levels or beyond.others or beyond.missing)


@dataclass(frozen=True)
class Between:
    """``above`` < field <= ``up_to`` (None: no bound); ``missing``: gaps pass; not ``known``: only gaps may pass."""

    field: str
    above: float | None = None
    up_to: float | None = None
    missing: bool = False
    known: bool = True

    def holds(self, frame: pd.DataFrame) -> Flags:
        """(n,) which rows meet the condition."""
        values = pd.to_numeric(_column(frame, self.field), errors="coerce")
        numbers = values.to_numpy(dtype=float, na_value=np.nan)
        absent = np.isnan(numbers)
        passed: Flags = ~absent & self.known
        if self.above is not None:
            passed &= numbers > self.above
        if self.up_to is not None:
            passed &= numbers <= self.up_to
        return np.asarray(passed | (absent & self.missing), dtype=bool)

    def to_sql(self) -> str:
        """The condition in DuckDB's dialect; never NULL. NaN counts as missing, as in pandas."""
        number = f"TRY_CAST({quoted_name(self.field)} AS DOUBLE)"
        bounds = [f"NOT isnan({number})" if self.known else "FALSE"]
        bounds += [f"{number} > {_double(self.above)}"] if self.above is not None else []
        bounds += [f"{number} <= {_double(self.up_to)}"] if self.up_to is not None else []
        parts = [f"coalesce({' AND '.join(bounds)}, FALSE)"]
        return _any(parts + ([f"coalesce(isnan({number}), TRUE)"] if self.missing else []))

    def sentence(self) -> str:
        """The condition in words."""
        if not self.known:
            return f"{self.field} is missing"
        bounds = [f"above {edge_text(self.above)}"] if self.above is not None else []
        bounds += [f"up to {edge_text(self.up_to)}"] if self.up_to is not None else []
        known = " and ".join(bounds) or "known"
        return f"{self.field} is {known}" + (" or missing" if self.missing else "")


Condition = Among | Between


def implies(met: Condition, asked: Condition) -> bool:
    """Does ``met`` name only values that ``asked`` names as well?"""
    if not (isinstance(met, Among) and isinstance(asked, Among)):
        return False
    return met.field == asked.field and met.is_within(asked)


def _plain(condition: Condition) -> dict[str, Any]:
    if isinstance(condition, Among):
        named = "others_than" if condition.others else "among"
        return {"field": condition.field, named: list(condition.levels), "missing": condition.missing}
    return asdict(condition)


def _condition_of(plain: Mapping[str, Any]) -> Condition:
    """The condition that ``_plain`` wrote; KeyError when a part is absent."""
    if "among" in plain:
        return Among(str(plain["field"]), tuple(map(str, plain["among"])), bool(plain["missing"]))
    if "others_than" in plain:
        return Among(str(plain["field"]), tuple(map(str, plain["others_than"])), bool(plain["missing"]), others=True)
    return Between(
        str(plain["field"]), plain["above"], plain["up_to"], bool(plain["missing"]), bool(plain.get("known", True))
    )


def quoted(value: str) -> str:
    """A text in SQL."""
    return "'" + value.replace("'", "''") + "'"


def _column(frame: pd.DataFrame, name: str) -> pd.Series:
    if name not in frame.columns:
        raise ParameterError(f"the rule reads the field {name!r}, which is absent from {list(frame.columns)}")
    return frame[name]


def quoted_name(field: str) -> str:
    """The name of a column in SQL."""
    return '"' + field.replace('"', '""') + '"'


def _double(value: float) -> str:
    return f"CAST('{value!r}' AS DOUBLE)"  # a bare decimal literal would be read as a fixed-point number


def _any(parts: Iterable[str]) -> str:
    return "(" + (" OR ".join(parts) or "FALSE") + ")"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


@dataclass(frozen=True)
class Branch:
    """All ``conditions`` lead to ``label``; ``n`` training rows met them, ``share_right`` of which bore the label."""

    conditions: tuple[Condition, ...]
    label: str
    n: int
    share_right: float


@dataclass(frozen=True)
class Rule:
    """An ordered list of branches; the first that holds decides, else ``default`` does. Labels are text."""

    branches: tuple[Branch, ...]
    default: str
    fields: tuple[str, ...]

    def assign(self, frame: pd.DataFrame) -> pd.Series:
        """Label of every row, index kept. Raises ParameterError when a column that the rule reads is absent."""
        labels = np.full(len(frame), self.default, dtype=object)
        open_rows = np.ones(len(frame), dtype=bool)
        for branch in self.branches:
            held = open_rows.copy()
            for condition in branch.conditions:
                held &= condition.holds(frame)
            labels[held] = branch.label
            open_rows &= ~held
        return pd.Series(labels, index=frame.index, name="label", dtype=object)

    def to_sql(self) -> str:
        """One CASE expression in DuckDB's dialect, names and values quoted."""
        whens = [
            f"WHEN {' AND '.join(c.to_sql() for c in branch.conditions) or 'TRUE'} THEN {quoted(branch.label)}"
            for branch in self.branches
        ]
        return f"CASE {' '.join(whens)} ELSE {quoted(self.default)} END" if whens else quoted(self.default)

    def sentences(self) -> dict[str, list[str]]:
        """Label -> the ways to get it, each a list of conditions in words; the default label also takes the rest."""
        ways: dict[str, list[str]] = {}
        for branch in self.branches:
            words = ", and ".join(c.sentence() for c in branch.conditions) or "everyone"
            ways.setdefault(branch.label, []).append(words)
        ways.setdefault(self.default, []).append("everyone else")
        return ways

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, texts and numbers, fit for YAML or JSON."""
        branches = [
            {"label": b.label, "n": b.n, "share_right": b.share_right, "when": [_plain(c) for c in b.conditions]}
            for b in self.branches
        ]
        return {"default": self.default, "fields": list(self.fields), "branches": branches}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Rule:
        """The rule that ``to_dict`` wrote; raises ParameterError when a part is absent or unknown."""
        try:
            branches = [
                Branch(tuple(map(_condition_of, b["when"])), str(b["label"]), int(b["n"]), float(b["share_right"]))
                for b in plain["branches"]
            ]
            return cls(tuple(branches), str(plain["default"]), tuple(plain["fields"]))
        except (KeyError, TypeError) as error:
            raise ParameterError(
                f"rule: {error} is absent or of the wrong kind; a rule has default, fields and branches, "
                "a branch has label, n, share_right and when"
            ) from error
