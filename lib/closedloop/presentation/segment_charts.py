"""Figures of segments: how many can be trusted, and which of them to aim at."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from closedloop.presentation import numbers
from closedloop.presentation.blocks import claim_ids
from closedloop.presentation.charts import INK, MIDDLE, PALE, RULE, Picture, sheet

_Axes = Any  # matplotlib has one home, charts

_FITS = {"bic": "BIC", "icl": "ICL", "held_out_log_likelihood": "held-out rows"}
_LESS_IS_BETTER = ("bic", "icl")


def stability(claims: pd.DataFrame, title: str, *, recommended: int | None) -> Picture:
    """Everything that speaks for a number of segments, on one axis: found again, the weakest one, and fit.

    ``claims``: measure (ari, ari_shuffled, weakest_slsw, bic, icl, held_out_log_likelihood), level (the number),
    estimate, baseline (the least that counts), claim_id. ``recommended``: None when no number can be trusted.
    """
    parts = {str(name): _ordered(part) for name, part in claims.groupby("measure")}
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
    told = [f"{k} segments found again: {value:.2f}" for k, value in _values(parts.get("ari"))]
    told += [f"weakest of {k}: {value:.2f}" for k, value in _values(parts.get("weakest_slsw"))]
    told += _strip(fit, {name: parts[name] for name in _FITS if name in parts})
    if recommended:
        for axes in (whole, weakest, fit):
            axes.axvspan(recommended - 0.5, recommended + 0.5, color=PALE, alpha=0.35, linewidth=0, zorder=0)
        whole.text(recommended, 0.42, "used", fontsize=9, color=INK, ha="center")
    caption = "Dotted line: the least that counts. Lowest panel: the darker, the better the fit; “best” is preferred."
    return drawn.picture(title, told, caption, claim_ids(claims))


def _ordered(part: pd.DataFrame) -> pd.DataFrame:
    """Claims on numbers of segments with the number as ``k``, smallest first."""
    return part.assign(k=part["level"].astype(int)).sort_values("k")


def _values(part: pd.DataFrame | None) -> list[tuple[int, float]]:
    return [] if part is None else list(zip(part["k"], part["estimate"].astype(float), strict=True))


def _line(axes: _Axes, part: pd.DataFrame | None, style: str, ink: str, label: str) -> None:
    if part is not None:
        axes.plot(part["k"], part["estimate"], style, color=ink, linewidth=1.8, markersize=5, label=label)


def _agreement(axes: _Axes, part: pd.DataFrame | None, heading: str) -> None:
    """A panel of agreement from 0 to 1 with the least that counts."""
    axes.set_title(heading, loc="left", fontsize=9, color=INK)
    axes.set_ylim(-0.04, 1.06)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1: always"])
    axes.grid(axis="y", color="#e3e6e8", linewidth=0.8)
    least = np.nan if part is None else part["baseline"].astype(float).max()
    if np.isfinite(least):
        axes.axhline(least, color=RULE, linewidth=1.2, linestyle=":")


def _strip(axes: _Axes, parts: Mapping[str, pd.DataFrame]) -> list[str]:
    """A row of cells for each criterion of fit, shaded from its worst to its best number; says which is best."""
    axes.set_title("What fit alone prefers", loc="left", fontsize=9, color=INK)
    told = []
    for place, (name, part) in enumerate(parts.items()):
        values = part["estimate"].astype(float).to_numpy() * (-1 if name in _LESS_IS_BETTER else 1)
        spread = np.ptp(values)
        shades = (values - values.min()) / spread if spread > 0 else np.ones(len(values))
        axes.barh([place] * len(values), 0.94, left=part["k"] - 0.47, height=0.84, color=_blues(shades), linewidth=0)
        best = int(part["k"].to_numpy()[values.argmax()])
        axes.text(best, place, "best", ha="center", va="center", fontsize=8.5, color="white")
        told.append(f"{_FITS[name]}: best is {best}")
    axes.set_yticks(range(len(parts)), [_FITS[name] for name in parts])
    axes.set_ylim(len(parts) - 0.5, -0.5)
    axes.tick_params(length=0)
    every = sorted({int(k) for part in parts.values() for k in part["k"]})
    axes.set_xticks(every)
    return told


def _blues(shades: Any) -> list[tuple[float, ...]]:
    """From almost white to ink, readable in grey."""
    ink = np.array([0x12, 0x32, 0x4A]) / 255
    return [tuple(1 - (0.08 + 0.92 * float(shade) ** 2) * (1 - ink)) for shade in shades]


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
