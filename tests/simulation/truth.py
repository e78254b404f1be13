"""The planted truth of a simulated market, read from its truth.toml."""

import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from closedloop.errors import DefinitionError

from .draws import Floats, Texts

Truth: TypeAlias = Mapping[str, Any]

_SECTIONS = (
    *("seed", "window", "waves", "survey", "segments", "everywhere", "win", "effects", "sites", "drift"),
    *(
        "products",
        "deals",
        "buyers",
        "reps",
        "channels",
        "leads",
        "experiment",
        "touches",
        "notes",
        "blemishes",
    ),
)


def read_truth(market_folder: Path) -> Truth:
    """Return truth.toml of the market as nested tables.

    Raises DefinitionError when a needed section is missing or when the segments' shares do not add up to one.
    """
    file = market_folder / "truth.toml"
    truth = tomllib.loads(file.read_text(encoding="utf-8"))
    missing = [section for section in _SECTIONS if section not in truth]
    if missing:
        raise DefinitionError(f"{file} lacks {', '.join(missing)}; it needs {', '.join(_SECTIONS)}")
    total = sum(segment["share"] for segment in truth["segments"].values())
    if abs(total - 1) > 1e-9:
        raise DefinitionError(f"{file}: shares of [segments] add up to {total:.3f}; they must add up to 1")
    return truth


def day_number(day: date) -> float:
    """Return the days from 1970-01-01 to a date."""
    return float((day - date(1970, 1, 1)).days)


def lookup(table: Mapping[str, Mapping[str, Any]], column: str, keys: Texts) -> Floats:
    """Return table[key][column] as a number for every key."""
    return np.array([table[key][column] for key in keys], dtype=np.float64)


def points(effects: list[Mapping[str, Any]], fields: Mapping[str, Texts]) -> Floats:
    """Return the sum of the effects' points per row; `fields` holds the level of each row by field name."""
    total = np.zeros(len(next(iter(fields.values()))))
    for effect in effects:
        total += np.where(fields[effect["field"]] == effect["level"], effect["points"], 0.0)
    return total
