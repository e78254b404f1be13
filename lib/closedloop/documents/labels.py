"""Labels of figures: short enough to stand beside what they name, and of signs that the figure's font has."""

from collections.abc import Callable

import pandas as pd

from closedloop.documents import numbers

_LONGEST, _TAIL = 46, 14


def short(label: object) -> str:
    """A label with its middle left out where it is long: two that begin alike often end differently."""
    text = str(label)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - _TAIL - 1].rstrip()}…{text[-_TAIL:].lstrip()}"


def wrapped(label: str) -> str:
    """A long question on two lines."""
    if len(label) <= _LONGEST:
        return label
    cut = label.rfind(" ", 0, _LONGEST)
    return f"{label[:cut]}\n{short(label[cut + 1 :])}" if cut > 0 else short(label)


def legible(text: str, numbered: dict[str, str], is_drawn: Callable[[str], bool]) -> str:
    """The text with a number from its first to its last sign that cannot be drawn; adds it to ``numbered``."""
    strange = [place for place, sign in enumerate(text) if not is_drawn(sign)]
    if not strange:
        return text
    said = text[strange[0] : strange[-1] + 1]
    return text.replace(said, numbered.setdefault(said, f"[{len(numbered) + 1}]"))


def in_words(row: pd.Series, unit: str, currency: str) -> str:
    """A drawn row in words: label, estimate, interval and how many cases."""
    value = numbers.written(row["estimate"], unit, currency)
    ends = numbers.interval(row["low"], row["high"], unit, currency)
    return f"{row['label']}: {value} ({ends}, {size(row)})"


def size(row: pd.Series) -> str:
    """How many cases are behind a drawn row."""
    return numbers.sample(row["n"], row.get("n_effective"))
