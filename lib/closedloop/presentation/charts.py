"""Labels of figures: short enough to stand beside what they name, and of signs that the figure's font has."""

import base64
import io
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from closedloop.presentation import numbers
from closedloop.presentation.blocks import citing, claim_ids

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


MOST_ROWS = 12
INK, MIDDLE, PALE, RULE = "#12324a", "#3f7ea6", "#a9c7da", "#8a8f94"
_STYLES = ((INK, "-"), (MIDDLE, "--"), (RULE, ":"), (PALE, "-."))
_WIDTH, _DPI, _FONT = 7.2, 110, "DejaVu Sans"


@dataclass(frozen=True, repr=False)
class Picture:
    """A figure: its PNG, what it says in words, the line below it, and the claims that it draws."""

    png: bytes
    alt: str
    caption: str
    claims: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.png).decode("ascii")
        image = f'<img alt="{escape(self.alt)}" src="data:image/png;base64,{data}">'
        caption = f"<figcaption>{escape(self.caption)}</figcaption>"
        return f'<figure class="chart"{citing(self.claims)}>{image}{caption}</figure>'

    def __repr__(self) -> str:
        return f"[figure] {self.alt}"


@dataclass(frozen=True)
class Sheet:
    """An empty figure of the common style with panels below each other, for figures that are drawn elsewhere."""

    figure: Figure
    panels: tuple[Axes, ...]

    def picture(self, title: str, told: Sequence[str], caption: str, claims: tuple[str, ...]) -> Picture:
        """The finished figure."""
        return _picture(self.figure, title, told, caption, claims)


def sheet(title: str, height: float, heights: Sequence[float] = (1.0,)) -> Sheet:
    """A sheet of that height in inches; ``heights``: the panels' shares of it, which share the axis below."""
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=list(heights), squeeze=False)[:, 0]
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK, fontfamily=_FONT)
    for axes in panels:
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(RULE)
        axes.tick_params(colors=INK, labelsize=9)
        axes.set_axisbelow(True)
    return Sheet(figure, tuple(panels))


def dots(
    rows: pd.DataFrame,
    title: str,
    axis: str,
    *,
    unit: str = "rate",
    currency: str = "",
    baseline: float | None = None,
    caption: str = "",
    rest: str = "in the ledger",
) -> Picture:
    """Estimates with their 90 % intervals, one row each, a line or a tick of each row at the baseline.

    ``rows``: label, estimate, low, high, n, in the order to show, optionally n_effective, baseline, is_sure (a
    hollow point otherwise) and claim_id; the first ``MOST_ROWS`` are drawn, ``rest`` says where the others are.
    """
    shown = rows.head(MOST_ROWS).reset_index(drop=True)
    figure, axes = _sheet(title, axis, len(shown))
    places = np.arange(len(shown))
    _whiskers(axes, shown, places)
    _points(axes, shown, places)
    if baseline is not None and not numbers.is_missing(baseline):
        axes.axvline(float(baseline), color=RULE, linewidth=1.2, linestyle=(0, (4, 3)))
    _name_rows(axes, [f"{short(row['label'])}  ({size(row)})" for _, row in shown.iterrows()])
    _scale(axes, unit, currency)
    told = [in_words(row, unit, currency) for _, row in shown.iterrows()]
    said = "" if baseline is None else f"Dashed line: {numbers.written(baseline, unit, currency)} over all."
    below = f"Point: estimate; bar: 90 % interval. {said} {caption} {_left_out(rows, rest)}"
    return _picture(figure, title, told, below, _ids(rows))


def bars(rows: pd.DataFrame, title: str, axis: str, *, caption: str = "") -> Picture:
    """Counts as horizontal bars from top to bottom, each with its number and a remark.

    ``rows``: label, n, remark (text behind the number, may be empty), optionally claim_id.
    """
    shown = rows.head(MOST_ROWS).reset_index(drop=True)
    figure, axes = _sheet(title, axis, len(shown))
    values = shown["n"].astype(float).to_numpy()
    axes.barh(np.arange(len(shown)), values, color=MIDDLE, height=0.62)
    room = max([*values, 1.0])
    texts = [f"{numbers.count(row['n'])}  {row['remark']}".strip() for _, row in shown.iterrows()]
    for place, (value, text) in enumerate(zip(values, texts, strict=True)):
        axes.text(value + 0.01 * room, place, text, va="center", fontsize=9, fontfamily=_FONT, color=INK)
    axes.set_xlim(0, room * 1.45)
    _name_rows(axes, [short(label) for label in shown["label"]])
    _scale(axes, "count", "")
    told = [f"{label}: {text}" for label, text in zip(shown["label"], texts, strict=True)]
    return _picture(figure, title, told, f"{caption} {_left_out(rows, 'in the ledger')}", _ids(rows))


def curve(frame: pd.DataFrame, title: str, *, names: dict[str, str], caption: str = "") -> Picture:
    """Share of deals that ended in each way by days since they were opened, with 90 % bands.

    ``frame``: day, cause, estimate, low, high, optionally claim_id. Open deals count until the day they were last seen.
    """
    figure, axes = _sheet(title, "days since the deal was opened", 7)
    told = []
    for (cause, rows), (ink, dash) in zip(frame.groupby("cause", sort=False), _STYLES, strict=False):
        name = names.get(str(cause), str(cause).replace("_", " "))
        days = rows["day"].astype(float).to_numpy()
        axes.step(days, rows["estimate"], where="post", color=ink, linestyle=dash, linewidth=2, label=name)
        axes.fill_between(days, rows["low"], rows["high"], step="post", color=ink, alpha=0.13, linewidth=0)
        told.append(f"{name}: {numbers.rate(rows['estimate'].iloc[-1])} after {numbers.days(days[-1])}")
    axes.set_ylabel("share of deals", fontsize=9, color=INK)
    axes.yaxis.set_major_formatter(_formatter("rate", ""))
    axes.set_ylim(0, None)
    axes.set_xlim(0, None)
    if told:
        axes.legend(frameon=False, fontsize=9, loc="upper left")
    return _picture(figure, title, told, f"Line: estimate; band: 90 % interval. {caption}", _ids(frame))


def heat(profile: pd.DataFrame, rows: pd.DataFrame, title: str, *, unit: str = "rate") -> Picture:
    """Values by segment (columns) and item (rows), as numbers on shades of blue.

    ``profile``: item x segment, fractions (``unit`` rate) or means; at most ``MOST_ROWS`` items are drawn. ``rows``:
    item and claim_id of each value.
    """
    shown = profile.head(MOST_ROWS)
    figure, axes = _sheet(title, "", len(shown))
    values = shown.astype(float).to_numpy()
    shades = values if unit == "rate" else _row_shades(values)
    axes.imshow(shades, cmap="Blues", vmin=0, vmax=1.25, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        ink = "white" if shades[row, column] > 0.7 else INK
        text = numbers.written(value, unit, "")
        axes.text(column, row, text, ha="center", va="center", fontsize=9, color=ink)
    axes.set_xticks(range(len(shown.columns)), [short(str(name)) for name in shown.columns], fontsize=9)
    axes.set_yticks(range(len(shown)), [wrapped(str(item)) for item in shown.index], fontsize=8.5)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.grid(False)
    told = [
        f"{item}: " + ", ".join(numbers.written(value, unit, "") for value in row)
        for item, row in zip(shown.index, values, strict=True)
    ]
    drawn = rows[rows["item"].isin(shown.index)]
    return _picture(figure, title, told, _left_out(profile, "in the ledger"), _ids(drawn))


def _row_shades(values: Any) -> Any:
    """Each row from its smallest (0) to its largest value (1), for items of different units."""
    low, high = np.nanmin(values, axis=1, keepdims=True), np.nanmax(values, axis=1, keepdims=True)
    return (values - low) / np.where(high > low, high - low, 1.0)


def calibration(frame: pd.DataFrame, title: str, *, caption: str = "") -> Picture:
    """Predicted against observed rates, with the line of perfect agreement.

    ``frame``: predicted, observed, low, high, n; fractions; optionally claim_id.
    """
    figure, axes = _sheet(title, "predicted rate", 7)
    values = {name: frame[name].astype(float).to_numpy() for name in ("predicted", "observed", "low", "high")}
    top = float(np.nanmax([values["predicted"].max(), values["high"].max()])) * 1.05
    axes.plot([0, top], [0, top], color=RULE, linewidth=1.2, linestyle=(0, (4, 3)), label="perfect agreement")
    axes.vlines(values["predicted"], values["low"], values["high"], color=MIDDLE, linewidth=2)
    axes.plot(values["predicted"], values["observed"], "o", color=INK, label="what happened (90 % interval)")
    axes.set_ylabel("observed rate", fontsize=9, color=INK)
    axes.yaxis.set_major_formatter(_formatter("rate", ""))
    _scale(axes, "rate", "")
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    pairs = zip(values["predicted"], values["observed"], frame["n"], strict=True)
    told = [f"predicted {numbers.rate(p)}, observed {numbers.rate(o)} (n = {numbers.count(n)})" for p, o, n in pairs]
    return _picture(figure, title, told, caption, _ids(frame))


def _sheet(title: str, axis: str, n_rows: int) -> tuple[Figure, Axes]:
    """An empty figure of the common style, as high as its rows need."""
    figure = Figure(figsize=(_WIDTH, 1.15 + 0.36 * max(n_rows, 1)), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK, fontfamily=_FONT)
    axes.set_xlabel(axis, fontsize=9, color=INK)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    axes.tick_params(colors=INK, labelsize=9)
    axes.grid(axis="x", color="#e3e6e8", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def _whiskers(axes: Axes, rows: pd.DataFrame, places: Any) -> None:
    axes.hlines(places, rows["low"].astype(float), rows["high"].astype(float), color=MIDDLE, linewidth=2.4)


def _points(axes: Axes, rows: pd.DataFrame, places: Any) -> None:
    estimates = rows["estimate"].astype(float).to_numpy()
    sure = rows["is_sure"].to_numpy(dtype=bool) if "is_sure" in rows else np.ones(len(rows), dtype=bool)
    for chosen, face in ((sure, INK), (~sure, "white")):
        axes.plot(estimates[chosen], places[chosen], "o", mfc=face, mec=INK, markersize=6, linestyle="none")
    if "baseline" in rows:
        axes.plot(rows["baseline"].astype(float), places, "|", color=RULE, markersize=15, mew=1.6, linestyle="none")


def _name_rows(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), labels, fontsize=9)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def _scale(axes: Axes, unit: str, currency: str) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=unit == "count"))
    axes.xaxis.set_major_formatter(_formatter(unit, currency))


def _formatter(unit: str, currency: str) -> FuncFormatter:
    if unit == "points":
        return FuncFormatter(lambda value, _: f"{100 * value:+.0f}")
    if unit in ("rate", "count"):
        return FuncFormatter(lambda value, _: numbers.written(value, unit, currency))
    return FuncFormatter(lambda value, _: f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}")


def _left_out(rows: pd.DataFrame, where: str) -> str:
    n = len(rows) - MOST_ROWS
    return f"{n} more {'row is' if n == 1 else 'rows are'} {where}." if n > 0 else ""


def _ids(rows: pd.DataFrame) -> tuple[str, ...]:
    """The claims that the rows are made of."""
    return claim_ids(rows) if "claim_id" in rows else ()


def _picture(figure: Figure, title: str, told: Sequence[str], caption: str, claims: tuple[str, ...] = ()) -> Picture:
    """The figure as bytes without a date or version in it, and its words."""
    below = " ".join(f"{caption} {_made_legible(figure)}".split())
    memory = io.BytesIO()
    figure.savefig(memory, format="png", metadata={"Software": None}, facecolor="white")
    return Picture(memory.getvalue(), f"{title} {'; '.join(told)}.", below, claims)


def _made_legible(figure: Figure) -> str:
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
    return sign == "\n" or (not is_reversed and get_font(findfont(_FONT)).get_char_index(ord(sign)) > 0)
