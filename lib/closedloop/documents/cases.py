"""How many cases are behind a claim, in words."""

from collections.abc import Mapping
from typing import Any

from closedloop.documents import numbers


def cases(claim: Mapping[str, Any]) -> str:
    """How many cases are behind a claim, and of a weighted survey how many that is worth."""
    return numbers.sample(claim["n"], claim["n_effective"] if is_weighted(claim) else None)


def is_weighted(claim: Mapping[str, Any]) -> bool:
    """Is it of answers that count by their weights? Only answers to a survey have any."""
    return claim["source_table"] == "respondents" and not numbers.is_missing(claim["n_effective"])
