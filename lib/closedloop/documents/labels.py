"""Labels of figures: short enough to stand beside what they name, and of signs that the figure's font has."""

import unicodedata
from collections.abc import Callable
from functools import cache

from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator

FONT = "DejaVu Sans"
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


def made_legible(figure: Figure) -> str:
    """Put numbers where the font lacks a script, and say what they stand for; no text is read as a formula.

    Other fonts of the machine are not asked: a figure has the same bytes everywhere.
    """
    numbered: dict[str, str] = {}
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        said = [label.get_text() for label in axis.get_ticklabels()]
        told = [legible(label, numbered, _is_drawn) for label in said]
        if told != said and isinstance(axis.get_major_locator(), FixedLocator):
            axis.set_ticklabels(told)  # an axis writes its own anew when it is drawn
    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_text(legible(text.get_text(), numbered, _is_drawn))
    return "; ".join(f"{number}: {said}" for said, number in numbered.items())


@cache
def _is_drawn(sign: str) -> bool:
    """Has the font this sign? Scripts from right to left would be drawn backwards."""
    is_reversed = unicodedata.bidirectional(sign) in ("R", "AL")
    return sign == "\n" or (not is_reversed and get_font(findfont(FONT)).get_char_index(ord(sign)) > 0)
