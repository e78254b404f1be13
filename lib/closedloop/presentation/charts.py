"""Figures: points, bars, curves and maps of claims, with labels that are short and of signs that the font has."""

import base64
import io
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape

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
    canvas: FigureCanvasAgg
    panels: tuple[Axes, ...]

    def picture(self, title: str, told: Sequence[str], caption: str, claims: tuple[str, ...]) -> Picture:
        """The finished figure: its bytes without a date or version in them, and its words.

        Numbers stand where the font lacks a script, and the caption says what for; no text is read as a formula. Other
        fonts of the machine are not asked: a figure has the same bytes everywhere.
        """
        numbered: dict[str, str] = {}
        for axis in (axis for axes in self.figure.axes for axis in (axes.xaxis, axes.yaxis)):
            said = [label.get_text() for label in axis.get_ticklabels()]
            drawn = [legible(label, numbered, _is_drawn) for label in said]
            if drawn != said and isinstance(axis.get_major_locator(), FixedLocator):
                axis.set_ticklabels(drawn)  # an axis writes its own anew when it is drawn
        for text in self.figure.findobj(Text):
            text.set_parse_math(False)
            text.set_text(legible(text.get_text(), numbered, _is_drawn))
        legend = "; ".join(f"{number}: {said}" for said, number in numbered.items())
        memory = io.BytesIO()
        if layout := self.figure.get_layout_engine():  # once; ``savefig`` lays out and draws twice
            layout.execute(self.figure)
            self.figure.set_layout_engine("none")
        self.canvas.print_png(memory, metadata={"Software": None})  # type: ignore[no-untyped-call]
        below = " ".join(f"{caption} {legend}".split())
        return Picture(memory.getvalue(), f"{title} {'; '.join(told)}.", below, claims)


def sheet(title: str, height: float, heights: Sequence[float] = (1.0,)) -> Sheet:
    """A sheet of that height in inches; ``heights``: the panels' shares of it, which share the axis below."""
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, layout="constrained", facecolor="white")
    canvas = FigureCanvasAgg(figure)
    panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=list(heights), squeeze=False)[:, 0]
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK, fontfamily=_FONT)
    for axes in panels:
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(RULE)
        axes.tick_params(colors=INK, labelsize=9)
        axes.set_axisbelow(True)
    return Sheet(figure, canvas, tuple(panels))


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
    drawn, axes = _rows(title, axis, len(shown))
    places = np.arange(len(shown))
    axes.hlines(places, shown["low"].astype(float), shown["high"].astype(float), color=MIDDLE, linewidth=2.4)
    estimates = shown["estimate"].astype(float).to_numpy()
    sure = shown["is_sure"].to_numpy(dtype=bool) if "is_sure" in shown else np.ones(len(shown), dtype=bool)
    for chosen, face in ((sure, INK), (~sure, "white")):
        axes.plot(estimates[chosen], places[chosen], "o", mfc=face, mec=INK, markersize=6, linestyle="none")
    if "baseline" in shown:
        axes.plot(shown["baseline"].astype(float), places, "|", color=RULE, markersize=15, mew=1.6, linestyle="none")
    if baseline is not None and not numbers.is_missing(baseline):
        axes.axvline(float(baseline), color=RULE, linewidth=1.2, linestyle=(0, (4, 3)))
    sizes = [numbers.sample(row["n"], row.get("n_effective")) for _, row in shown.iterrows()]
    _name_rows(axes, [f"{short(label)}  ({size})" for label, size in zip(shown["label"], sizes, strict=True)])
    _scale(axes, unit, currency)
    told = [
        f"{row['label']}: {numbers.written(row['estimate'], unit, currency)} "
        f"({numbers.interval(row['low'], row['high'], unit, currency)}, {size})"
        for (_, row), size in zip(shown.iterrows(), sizes, strict=True)
    ]
    said = "" if baseline is None else f"Dashed line: {numbers.written(baseline, unit, currency)} over all."
    below = f"Point: estimate; bar: 90 % interval. {said} {caption} {_left_out(rows, rest)}"
    return drawn.picture(title, told, below, _ids(rows))


def bars(rows: pd.DataFrame, title: str, axis: str, *, caption: str = "") -> Picture:
    """Counts as horizontal bars from top to bottom, each with its number and a remark.

    ``rows``: label, n, remark (text behind the number, may be empty), optionally claim_id.
    """
    shown = rows.head(MOST_ROWS).reset_index(drop=True)
    drawn, axes = _rows(title, axis, len(shown))
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
    return drawn.picture(title, told, f"{caption} {_left_out(rows, 'in the ledger')}", _ids(rows))


def curve(frame: pd.DataFrame, title: str, *, names: dict[str, str], caption: str = "") -> Picture:
    """Share of deals that ended in each way by days since they were opened, with 90 % bands.

    ``frame``: day, cause, estimate, low, high, optionally claim_id. Open deals count until the day they were last seen.
    """
    drawn, axes = _rows(title, "days since the deal was opened", 7)
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
    return drawn.picture(title, told, f"Line: estimate; band: 90 % interval. {caption}", _ids(frame))


def heat(profile: pd.DataFrame, rows: pd.DataFrame, title: str, *, unit: str = "rate") -> Picture:
    """Values by segment (columns) and item (rows), as numbers on shades of blue.

    ``profile``: item x segment, fractions (``unit`` rate) or means; at most ``MOST_ROWS`` items are drawn. ``rows``:
    item and claim_id of each value.
    """
    shown = profile.head(MOST_ROWS)
    drawn, axes = _rows(title, "", len(shown))
    values = shown.astype(float).to_numpy()
    low, high = np.nanmin(values, axis=1, keepdims=True), np.nanmax(values, axis=1, keepdims=True)
    # means have different units: each row goes from its smallest (0) to its largest value (1)
    shades = values if unit == "rate" else (values - low) / np.where(high > low, high - low, 1.0)
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
    stated = rows[rows["item"].isin(shown.index)]
    return drawn.picture(title, told, _left_out(profile, "in the ledger"), _ids(stated))


def calibration(frame: pd.DataFrame, title: str) -> Picture:
    """Predicted against observed rates, with the line of perfect agreement.

    ``frame``: predicted, observed, low, high, n; fractions; optionally claim_id.
    """
    drawn, axes = _rows(title, "predicted rate", 7)
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
    return drawn.picture(title, told, "", _ids(frame))


def _rows(title: str, axis: str, n_rows: int) -> tuple[Sheet, Axes]:
    """A sheet of one panel that is as high as its rows need."""
    drawn = sheet(title, 1.15 + 0.36 * max(n_rows, 1))
    axes = drawn.panels[0]
    axes.set_xlabel(axis, fontsize=9, color=INK)
    axes.grid(axis="x", color="#e3e6e8", linewidth=0.8)
    return drawn, axes


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
    return numbers.left_out(len(rows) - MOST_ROWS, where)


def _ids(rows: pd.DataFrame) -> tuple[str, ...]:
    """The claims that the rows are made of."""
    return claim_ids(rows) if "claim_id" in rows else ()


@cache
def _is_drawn(sign: str) -> bool:
    """Has the font this sign? Scripts from right to left would be drawn backwards."""
    is_reversed = unicodedata.bidirectional(sign) in ("R", "AL")
    return sign == "\n" or (not is_reversed and get_font(findfont(_FONT)).get_char_index(ord(sign)) > 0)


_FITS = {"bic": "BIC", "icl": "ICL", "held_out_log_likelihood": "held-out rows"}
_INK = np.array([0x12, 0x32, 0x4A]) / 255
_LESS_IS_BETTER = ("bic", "icl")


def stability(claims: pd.DataFrame, title: str, *, recommended: int | None) -> Picture:
    """Everything that speaks for a number of segments, on one axis: found again, the weakest one, and fit.

    ``claims``: measure (ari, ari_shuffled, weakest_slsw, bic, icl, held_out_log_likelihood), level (the number),
    estimate, baseline (the least that counts), claim_id. ``recommended``: None when no number can be trusted.
    """
    numbered = claims.assign(k=claims["level"].astype(int)).sort_values("k")
    parts = {str(name): part for name, part in numbered.groupby("measure")}
    drawn = sheet(title, 5.7, (3.0, 2.2, 1.5))
    whole, weakest, fit = drawn.panels
    fit.set_xlabel("number of segments", fontsize=9, color=INK)
    _line(whole, parts.get("ari"), "o-", INK, "the answers as given")
    _line(whole, parts.get("ari_shuffled"), "s--", MIDDLE, "the same answers, shuffled")
    _line(weakest, parts.get("weakest_slsw"), "o-", INK, "")
    for axes, name, heading in ((whole, "ari", "The whole cut is found again"),
                                (weakest, "weakest_slsw", "Its weakest segment is found again")):  # fmt: skip
        _agreement(axes, parts.get(name), heading)
    if "ari" in parts:
        whole.legend(frameon=False, fontsize=8.5, loc="lower right", bbox_to_anchor=(1, 0.98), ncols=2)
    told = [f"{k} segments found again: {numbers.decimal(value)}" for k, value in _values(parts.get("ari"))]
    told += [f"weakest of {k}: {numbers.decimal(value)}" for k, value in _values(parts.get("weakest_slsw"))]
    told += _strip(fit, {name: parts[name] for name in _FITS if name in parts})
    if recommended:
        for axes in (whole, weakest, fit):
            axes.axvspan(recommended - 0.5, recommended + 0.5, color=PALE, alpha=0.35, linewidth=0, zorder=0)
        whole.text(recommended, 0.42, "used", fontsize=9, color=INK, ha="center")
    caption = "Dotted line: the least that counts. Lowest panel: the darker, the better the fit; “best” is preferred."
    return drawn.picture(title, told, caption, claim_ids(claims))


def _values(part: pd.DataFrame | None) -> list[tuple[int, float]]:
    return [] if part is None else list(zip(part["k"], part["estimate"].astype(float), strict=True))


def _line(axes: Axes, part: pd.DataFrame | None, style: str, ink: str, label: str) -> None:
    if part is not None:
        axes.plot(part["k"], part["estimate"], style, color=ink, linewidth=1.8, markersize=5, label=label)


def _agreement(axes: Axes, part: pd.DataFrame | None, heading: str) -> None:
    """A panel of agreement from 0 to 1 with the least that counts."""
    axes.set_title(heading, loc="left", fontsize=9, color=INK)
    axes.set_ylim(-0.04, 1.06)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1: always"])
    axes.grid(axis="y", color="#e3e6e8", linewidth=0.8)
    least = np.nan if part is None else part["baseline"].astype(float).max()
    if np.isfinite(least):
        axes.axhline(least, color=RULE, linewidth=1.2, linestyle=":")


def _strip(axes: Axes, parts: Mapping[str, pd.DataFrame]) -> list[str]:
    """A row of cells for each criterion of fit, shaded from its worst to its best number; says which is best."""
    axes.set_title("What fit alone prefers", loc="left", fontsize=9, color=INK)
    told = []
    for place, (name, part) in enumerate(parts.items()):
        values = part["estimate"].astype(float).to_numpy() * (-1 if name in _LESS_IS_BETTER else 1)
        spread = np.ptp(values)
        shades = (values - values.min()) / spread if spread > 0 else np.ones(len(values))
        blues = [tuple(1 - (0.08 + 0.92 * float(shade) ** 2) * (1 - _INK)) for shade in shades]  # readable in grey
        axes.barh([place] * len(values), 0.94, left=part["k"] - 0.47, height=0.84, color=blues, linewidth=0)
        best = int(part["k"].to_numpy()[values.argmax()])
        axes.text(best, place, "best", ha="center", va="center", fontsize=8.5, color="white")
        told.append(f"{_FITS[name]}: best is {best}")
    axes.set_yticks(range(len(parts)), [_FITS[name] for name in parts])
    axes.set_ylim(len(parts) - 0.5, -0.5)
    axes.tick_params(length=0)
    every = sorted({int(k) for part in parts.values() for k in part["k"]})
    axes.set_xticks(every)
    return told


def positions(rows: pd.DataFrame, title: str, axes_named: tuple[str, str], *, caption: str = "") -> Picture:
    """Segments by attractiveness (up) and own strength (right), each with its 90 % interval on both.

    ``rows``: label, x, x_low, x_high, y, y_low, y_high, is_sure (hollow otherwise); the lines at 0 are the average.
    """
    drawn = sheet(title, 4.6)
    axes = drawn.panels[0]
    axes.axhline(0, color=RULE, linewidth=1, linestyle=(0, (4, 3)))
    axes.axvline(0, color=RULE, linewidth=1, linestyle=(0, (4, 3)))
    axes.hlines(rows["y"], rows["x_low"], rows["x_high"], color=MIDDLE, linewidth=1.8)
    axes.vlines(rows["x"], rows["y_low"], rows["y_high"], color=MIDDLE, linewidth=1.8)
    for _, row in rows.iterrows():
        face = INK if row["is_sure"] else "white"
        axes.plot([row["x"]], [row["y"]], "o", mfc=face, mec=INK, markersize=8)
        axes.annotate(str(row["label"]), (row["x"], row["y"]), xytext=(7, 6), textcoords="offset points",
                      fontsize=9, color=INK)  # fmt: skip
    axes.set_xlabel(f"{axes_named[0]} (0: the average segment)", fontsize=9, color=INK)
    axes.set_ylabel(f"{axes_named[1]} (0: the average segment)", fontsize=9, color=INK)
    axes.margins(0.14)
    axes.spines["left"].set_visible(True)
    told = [
        f"{row['label']}: {axes_named[0]} {numbers.decimal(row['x'])}, {axes_named[1]} {numbers.decimal(row['y'])}"
        for _, row in rows.iterrows()
    ]
    return drawn.picture(title, told, caption, tuple(name for ids in rows["claims"] for name in ids))
