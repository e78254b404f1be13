"""Figures over periods: rates of a few series side by side, period by period."""

import numpy as np
import pandas as pd

from closedloop.presentation import numbers
from closedloop.presentation.blocks import claim_ids
from closedloop.presentation.charts import INK, MIDDLE, RULE, Picture, sheet

_STYLES = ((INK, "o", "-"), (MIDDLE, "s", "--"), (RULE, "^", ":"))  # marks and dashes tell them apart in grey too
_MOST_PERIODS, _APART = 16, 0.16


def over_periods(rows: pd.DataFrame, title: str, axis: str, *, caption: str = "") -> Picture:
    """Rates with their 90 % intervals over periods, a line a series, at most three; a gap where one is missing.

    ``rows``: period, series (an ordered category), estimate, low, high, n, claim_id, in the order of time; the last 16
    periods are drawn.
    """
    periods = list(dict.fromkeys(rows["period"]))[-_MOST_PERIODS:]
    drawn, told = sheet(title, 3.9), []
    axes = drawn.panels[0]
    for number, (name, part) in enumerate(rows.groupby("series", observed=True)):
        ink, mark, dash = _STYLES[number]
        own = part.set_index("period").reindex(periods)
        estimate, low, high = (own[column].to_numpy(dtype=float) for column in ("estimate", "low", "high"))
        places = np.arange(len(periods)) + _APART * (number - 1)
        axes.vlines(places, low, high, color=ink, linewidth=1.6, alpha=0.7)
        axes.plot(places, estimate, mark + dash, color=ink, markersize=6, linewidth=1.6, label=str(name))
        for period, rate, of_low, of_high, n in own[["estimate", "low", "high", "n"]].dropna().itertuples():
            ends = numbers.interval(of_low, of_high, "rate", "")
            told.append(f"{name}, {period}: {numbers.rate(rate)} ({ends}, {numbers.sample(n)})")
    axes.set_xticks(range(len(periods)), periods, fontsize=9)
    axes.set_xlim(-0.5, len(periods) - 0.5)
    axes.set_ylim(0, None)
    axes.set_ylabel(axis, fontsize=9, color=INK)
    axes.yaxis.set_major_formatter(lambda value, _: numbers.rate(value))
    axes.grid(axis="y", color="#e3e6e8", linewidth=0.8)
    drawn.figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", frameon=False, fontsize=9)
    return drawn.picture(title, told, f"Point: observed; bar: 90 % interval. {caption}", claim_ids(rows))
