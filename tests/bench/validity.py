"""The figures that the methods promise, each with its bar, and the one table that `make test-full` prints of them.

A test measures a figure and hands it to the fixture ``validity`` (tests/conftest.py); the bars stand here, once.
"""

import importlib.metadata
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

Measured: TypeAlias = Mapping[str, Any]  # key, value, slack (what a small run's bar is widened by), n
PROPERTY = "validity"
PACKAGES = ("numpy", "scipy", "pandas", "scikit-learn", "statsmodels", "scikit-survival")


@dataclass(frozen=True)
class Figure:
    """A promised figure: its key, what it is, the section of METHODS, and the bar (either end may be missing).

    A figure without any bar is information. A bar holds its ends.
    """

    key: str
    what: str
    section: int
    low: float | None = None
    high: float | None = None
    shown: str = ".3f"

    @property
    def bar(self) -> str:
        """The bar as people read it."""
        low, high = (None if end is None else format(end, self.shown) for end in (self.low, self.high))
        if low is not None and high is not None:
            return f"{low} to {high}" if low != high else f"= {low}"
        return f">= {low}" if low is not None else f"<= {high}" if high is not None else "-"

    def holds(self, value: float, slack: float = 0.0) -> bool:
        """Does the value reach the bar, ``slack`` either side given away? A missing value never does."""
        low = -np.inf if self.low is None else self.low - slack
        high = np.inf if self.high is None else self.high + slack
        return bool(low <= value <= high)


def _coverage() -> list[Figure]:
    """Nominal 90 % intervals of rates, by spread between groups and number of groups."""
    figures = []
    for who, text in (("all", "all groups"), ("top", "the top-ranked group")):
        for spread in (0.25, 0.6):
            for n in (5, 20, 50):
                what = f"coverage of {text}: {n} groups, spread {spread:g}"
                figures.append(Figure(f"coverage-{who}-{spread:g}-{n}", what, 5, 0.87, 0.93))
        figures.append(Figure(f"coverage-{who}-0", f"coverage of {text}: 20 groups that do not differ", 5, 0.87))
    return figures


def _lifts() -> list[Figure]:
    """Simulated leads: 22 levels, effects of .5 on the logit scale, 600 leads a period, of which 200 are worked."""
    figures = []
    for layout, text in (("five", "five fields"), ("one", "one field")):
        figures += [
            Figure(f"lift-{layout}-2", f"score, {text}: share of the oracle's lift in period 2", 6, low=0.60),
            Figure(f"lift-{layout}-4", f"score, {text}: share of the oracle's lift in period 4", 6, low=0.75),
            Figure(f"lift-{layout}-static", f"score, {text}: least gain over static personas, points", 6, low=-2),
            Figure(f"lift-{layout}-drift", f"score, {text}: share, 4 periods after all effects changed", 6, low=0.60),
            Figure(f"lift-{layout}-static-share", f"static personas, {text}: share of the oracle's lift", 6),
        ]
    return figures


FIGURES = (
    # every sentence has a claim
    Figure("null-rates", "null market: any claim among 60 rates", 1, high=0.10),
    Figure("null-shares", "null market: any claim among 128 shares of personas", 1, high=0.10),
    Figure("null-weighted-shares", "null market, unequal weights: any claim among 24 shares of personas", 1, high=0.10),
    *(
        Figure(f"coverage-weighted-share-{n}", f"coverage of a weighted share: n = {n}", 2, 0.87, 0.93)
        for n in (120, 240)
    ),
    Figure("null-arms", "null worlds: any claim among two arms by two outcomes", 1, high=0.10),
    Figure("null-costs", "null market: any claim among seven channels of equal cost", 10, high=0.10),
    Figure("null-per-decided", "null market: any of five won amounts per decided deal", 10, high=0.10),
    *(
        Figure(
            f"per-decided-{n}-{most}",
            f"coverage of won amount per decided deal: {n} groups of up to {most}",
            10,
            0.85,
            0.95,
        )
        for n, most in ((5, 300), (5, 80), (20, 200))
    ),
    Figure("null-amounts", "null market: any claim among 40 amounts", 1, high=0.10),
    *(
        Figure(f"null-amounts-{name}", f"null market: any claim among 40 amounts, {text}", 1, high=0.10)
        for name, text in (("1.5", "deviation 1.5"), ("2.0", "deviation 2"), ("mixed", "one in fifty a hundredfold"))
    ),
    Figure("null-cycles", "null market: any claim among 40 sales cycles", 1, high=0.10),
    Figure("null-mixed", "null market: any claim in a family of rates, shares, amounts and cycles", 1, high=0.10),
    Figure("fdr-10", "false discoveries, 10 points planted both ways", 1, high=0.10),
    Figure("power-10", "planted 10 points found, n 10-300", 1, low=0.35),
    Figure("sign-10", "found with the wrong sign, 10 points", 1, high=0.01),
    Figure("fdr-15", "false discoveries, 15 points planted both ways", 1, high=0.10),
    Figure("power-15", "planted 15 points found, n 10-300", 1, low=0.60),
    Figure("sign-15", "found with the wrong sign, 15 points", 1, high=0.01),
    Figure("fdr-one-way-10", "10 points planted upwards only; others off the pooled rate count as false", 1),
    Figure("fdr-one-way-15", "15 points planted upwards only; others off the pooled rate count as false", 1),
    Figure("maven-others", "maven: supported claims about anything but quarter ends", 1, high=0, shown=".0f"),
    Figure("maven-quarter-end", "maven: quarter ends above the other months, points", 1, 25, 31, ".1f"),
    Figure("self-test-maven", "self-test of maven: null families with any claim", 7, high=0.10),
    Figure("self-test-b2b", "self-test of b2b: null families with any claim", 7, high=0.10),
    Figure("self-test-harbor", "self-test of harbor: null families with any claim", 7, high=0.10),
    Figure("self-test-bank", "self-test of bank: null families with any claim", 7, high=0.10),
    *(
        Figure(f"self-test-{market}-{key}", f"self-test of {market}: {text}", 7, high=0.15)
        for market in ("maven", "b2b", "harbor", "bank")
        for key, text in (
            ("worst", "upper 90 % bound of any claim in a family, the worst notebook"),
            ("lines", "false lines a period"),
            ("lines-end", "false lines a period about how they end"),
        )
    ),
    Figure("self-test-maven-edits", "self-test of maven: null worlds with a wrong edit in any period", 7, high=0.10),
    Figure("self-test-harbor-edits", "self-test of harbor: null worlds with a wrong edit in any period", 7, high=0.10),
    Figure("self-test-bank-edits", "self-test of bank: null worlds with a wrong edit in any period", 7, high=0.10),
    *(
        Figure(
            f"self-test-{market}-promises",
            f"self-test of {market}: periods, a promise wrongly called broken",
            7,
            high=0.10,
        )
        for market in ("maven", "harbor", "bank")
    ),
    Figure(
        "false-findings", "harbor redrawn: share of 05's findings that are about fields without an effect", 1, high=0.05
    ),
    Figure("false-families", "harbor redrawn: periods of 05 with any such finding", 1, high=0.15),
    Figure("planted-power", "harbor redrawn: planted effects of 10 to 15 points found in a period", 1, low=0.55),
    # market research
    Figure("survey-ari", "McDonald's survey: bootstrap ARI at k = 4", 2, low=0.80),
    Figure("survey-likelihood", "McDonald's survey: log-likelihood at k = 4", 2, low=-7111.15, shown=".2f"),
    Figure("survey-slsw", "McDonald's survey: least stable segment at k = 4 (SLSW)", 2, low=0.75),
    Figure("survey-null-ari", "McDonald's survey: largest ARI of permuted columns", 2, high=0.29),
    Figure("null-targets", "equal segments: any that is shown to be more attractive than the average", 2, high=0.10),
    Figure("no-segments", "independent columns: no segments", 2, low=0.95),
    Figure("one-trait-normal", "one normal trait: constructive or no segments", 2, low=0.90),
    Figure("one-trait-skewed", "one skewed trait: constructive or no segments", 2, low=0.90),
    Figure("three-classes", "three planted classes: share of the oracle's ARI", 2, low=0.97),
    # personas
    Figure("rule-error", "a planted assignment rule: cross-validated error", 3, high=0.02),
    Figure("null-persona", "null market: no attribute in any persona", 3, low=0.90),
    Figure("null-cross-fit", "segments cut from noise, rows by rules of the others: no attribute", 3, low=0.90),
    Figure("null-own-rule", "segments cut from noise, rows by their own rule: no attribute", 3),
    Figure("cross-fit-power", "wishes that differ by 40 points between two personas: found", 3, low=0.90),
    Figure("split-half", "claims about personas that keep their sign on the other half", 3, low=0.95),
    # leads and scoring
    Figure("bank-auc", "bank, refit every 412 rows: AUC", 4, low=0.765),
    Figure("bank-brier", "bank, refit every 412 rows: Brier score", 4, high=0.175),
    Figure("bank-ece", "bank, refit every 412 rows: calibration error", 4, high=0.04),
    Figure("bank-within", "bank, refit every 412 rows: AUC within blocks", 4, low=0.62),
    Figure("bank-quarter-auc", "bank, refit at quarter starts: AUC", 4, low=0.755),
    Figure("bank-quarter-brier", "bank, refit at quarter starts: Brier score", 4, high=0.18),
    Figure("bank-quarter-ece", "bank, refit at quarter starts: calibration error", 4, high=0.06),
    Figure("bank-quarter-within", "bank, refit at quarter starts: AUC within blocks", 4, low=0.60),
    Figure("b2b-auc", "b2b, duplicates grouped: AUC", 4, low=0.76),
    Figure("maven-signal", "maven: scores offered, with dates and without", 4, high=0, shown=".0f"),
    Figure("noise-score", "noise: no usable signal", 4, low=0.90),
    # deals
    *_coverage(),
    Figure("coverage-wilson-0", "the same by plain Wilson, top-ranked: the winner's curse", 5, high=0.80),
    Figure("crossed-all", "coverage of crossed reps and segments", 5, 0.87, 0.93),
    Figure("crossed-top", "coverage of the top-ranked rep, crossed with segments", 5),
    Figure("amounts-all", "coverage of mean amounts, all groups", 5, 0.87, 0.93),
    Figure("amounts-top", "coverage of mean amounts, the top-ranked group", 5, 0.87, 0.93),
    *(
        Figure(f"{key}-{deviation}-{n}", f"{what}: log-normal, deviation {deviation}, n {n}", 5, low, high)
        for key, what, low, high in (
            ("mean", "coverage of a mean amount", 0.86, 0.93),
            ("refused", "log-normality refused where it holds", None, 0.02),
        )
        for deviation in (0.8, 1.5, 2.0)
        for n in (30, 100, 400)
    ),
    *(
        Figure(f"refused-mixed-{n}", f"one deal in fifty a hundredfold: no interval, n {n}", 5, 0.95)
        for n in (100, 400)
    ),
    *(Figure(f"median-{n}", f"coverage of a median amount, n {n}", 5, 0.87, 0.98) for n in (30, 100, 400)),
    *(
        Figure(f"groups-{deviation}", f"coverage of mean amounts told, 5 groups, deviation {deviation}", 5, 0.86, 0.95)
        for deviation in (0.8, 1.5, 2.0)
    ),
    Figure("league-null", "12 reps that do not differ (n 30): found to differ at 5 %", 5, high=0.08),
    Figure("league-small", "6 reps that do not differ (n 8): found to differ at 5 %", 5, high=0.08),
    Figure("league-real", "12 reps of 20 to 50 % (n 60): found to differ at 5 %", 5, low=0.80),
    Figure("curve-bias", "win curve: largest bias at 30, 60, 90 days, points", 5, high=1.0, shown=".2f"),
    Figure("curve-bias-ratio", "won / closed of the same deals: bias, points", 5, shown=".2f"),
    Figure("curve-bias-km", "1 - Kaplan-Meier of the same deals: bias, points", 5, shown=".2f"),
    Figure("curve-30", "win curve: coverage at 30 days", 5, 0.87, 0.93),
    Figure("curve-60", "win curve: coverage at 60 days", 5, 0.87, 0.93),
    Figure("curve-90", "win curve: coverage at 90 days", 5, 0.87, 0.93),
    Figure("curve-oracle", "win curve: largest difference from scikit-survival", 5, high=1e-10, shown=".0e"),
    Figure("cycle", "coverage of the median cycle of 45 won deals", 5, low=0.88),
    Figure("reversal-flagged", "planted Simpson reversals flagged", 5, low=0.95),
    Figure("reversal-mix", "flagged where only the mix differs", 5, high=0.05),
    Figure("reversal-plain", "flagged where the difference is real", 5, high=0.05),
    Figure("explained-mix", "only the mix differs: told that nothing is left", 5, low=0.85),
    Figure("explained-real", "10 points inside and another mix: told that nothing is left", 5, high=0.05),
    Figure("explained-plain", "10 points and the same mix: told that nothing is left", 5, high=0.05),
    Figure("adjusted", "coverage of Mantel-Haenszel differences", 5, 0.87, 0.93),
    Figure("conformal", "range of the next amount: coverage, simulated", 5, 0.88, 0.92),
    Figure("conformal-maven", "range of the next amount: coverage of maven's next quarter", 5, 0.88, 0.92),
    # the loop measured
    *_lifts(),
    Figure("experiment-power", "planned tests: a difference as large as planned is found", 4, low=0.78),
    Figure("experiment-false", "planned tests: found where nothing differs", 4, high=0.11),
    Figure("harbor-oracle", "harbor replayed: score's share of the oracle's lift, all periods", 6, low=0.60),
    Figure("harbor-oracle-2", "harbor replayed: score's share of the oracle's lift, second period", 6, low=0.60),
    Figure("harbor-oracle-4", "harbor replayed: the same, four periods after the planted drift", 6, low=0.60),
    Figure("harbor-over-static", "harbor replayed: lift of score over static personas, lower, points", 6, low=0),
    Figure("harbor-set-oracle", "harbor replayed: set in force, share of the oracle's lift", 6, low=0.65),
    Figure("harbor-set-over-static", "harbor replayed: lift of set in force over static, lower, points", 6, low=0),
    Figure("bank-over-static", "bank replayed: lift of score over static personas, lower, points", 6, low=0),
    Figure("bank-set-over-static", "bank replayed: lift of set in force over static, lower, points", 6, low=0),
    # refinement
    Figure("edits-null-runs", "eight periods in which nothing differs: runs without any permanent edit", 6, low=0.90),
    Figure("edits-recall-20", "planted differences of 20 points found within eight periods", 6, low=0.85),
    Figure("edits-fdr-20", "false among permanent edits, 20 points planted", 6, high=0.10),
    Figure("edits-adopted-20", "planted differences of 20 points that also won their duel", 6),
    Figure("edits-recall-15", "planted differences of 15 points found within eight periods", 6),
    Figure("edits-fdr-15", "false among permanent edits, 15 points planted", 6, high=0.10),
    Figure("edits-adopted-15", "planted differences of 15 points that also won their duel", 6),
    # harbor's outcomes redrawn: points card and signals
    Figure("card-share", "harbor redrawn: points card, share of the truth's lift", 6, low=0.68),
    Figure("card-share-late", "harbor redrawn: points card, the same in the last four periods", 6, low=0.68),
    Figure("card-over-static", "harbor redrawn: points card over the first research's set, points of lift", 6, low=5.5),
    Figure("card-over-renewed", "harbor redrawn: points card over renewed rates, lower 5 %, points of lift", 6, low=0),
    Figure("card-slope", "harbor redrawn: calibration slope of the card's chances", 6, 0.9, 1.1),
    Figure("signals-early", "harbor redrawn: planted effects among signals by the end of 2025-q1", 6, low=2.0),
    Figure("signals-end", "harbor redrawn: planted effects among signals at the end", 6, low=3.5),
    Figure("signals-false", "harbor redrawn: signals of fields without an effect", 6, high=0.15),
    Figure("signals-beside", "harbor redrawn: signals beside them, of planted fields or kinds of site", 6, high=0.3),
    Figure("signals-bias", "harbor redrawn: points at entry less the truth", 6, -1.5, 1.5),
    *(
        Figure(
            f"signals-bias-{n}",
            f"harbor redrawn: the same of those that entered after {n} periods of deals",
            6,
            -1.5,
            1.5,
        )
        for n in range(4, 10)
    ),
    Figure("signals-coverage", "harbor redrawn: coverage of the points at entry", 6, low=0.85),
    Figure("signals-wrongly-out", "harbor redrawn: planted effects withdrawn, of those that entered", 6, high=0.15),
    Figure("signals-null", "harbor shuffled: anything enters in eight periods", 6, high=0.10),
    *(
        figure
        for points, out, wrongly, new in ((15, 0.75, 0.15, 0.45), (20, 0.90, 0.10, 0.80))
        for figure in (
            Figure(f"signals-ended-{points}", f"{points} points that end half way: withdrawn within 3 periods", 6, out),
            Figure(f"signals-kept-{points}", f"{points} points that last: wrongly withdrawn", 6, high=wrongly),
            Figure(f"signals-new-{points}", f"{points} points that begin half way: in within 4 periods", 6, new),
        )
    ),
    Figure("signals-maven", "maven: signals that enter in any period", 6, high=0, shown=".0f"),
    Figure("bank-card-over-static", "bank: lift of the points card over the first research's set, points", 6, low=3.3),
    Figure("bank-refined", "bank, refined against frozen, same base rate: AUC gain within blocks, lower", 6, low=0.09),
    Figure("bank-refined-pooled", "the same pooled, to which the base rate alone adds", 6),
    Figure("off-policy-coverage", "value of another order of calling, from drawn places: coverage", 6, 0.87, 0.93),
    # known-at firewall
    Figure("leak-bank", "bank: the call's duration is named as a leak", 8, low=1, shown=".0f"),
    Figure("leak-null", "markets without leaks, AUC about .78: any column named", 8, high=0.05),
    Figure("leak-alone", "planted leaks of AUC .87: named", 8, low=0.90),
    Figure("leak-threes", "planted threes, each of AUC .78, correlated: columns named", 8, low=0.90),
    Figure("leak-gaps", "columns filled more often, or only, for won deals: named", 8, low=0.90),
    Figure("leak-honest", "honest columns named as leaks, all markets", 8, high=2, shown=".0f"),
)
BY_KEY = {figure.key: figure for figure in FIGURES}


def measured(key: str, values: Any, *, n: int | None, is_full: bool) -> dict[str, Any]:
    """A figure's record: the mean of simulated ``values`` (or one number) and how far a small run may miss the bar.

    A small run is allowed two of its own standard errors; the full one, and a single number, nothing.
    """
    runs = np.atleast_1d(np.asarray(values, dtype=float))
    slack = 0.0 if is_full or runs.size == 1 else 2 * float(runs.std()) / float(np.sqrt(runs.size))
    return {"key": key, "value": float(runs.mean()), "slack": slack, "n": n or runs.size}


def missed(record: Measured) -> str:
    """What to say about a figure that misses its bar; nothing about one that reaches it."""
    figure = BY_KEY[record["key"]]
    if figure.holds(record["value"], record["slack"]):
        return ""
    room = f", give or take {format(record['slack'], figure.shown)} in a small run" if record["slack"] else ""
    return f"{figure.key}: {figure.what} is {format(record['value'], figure.shown)}; the bar is {figure.bar}{room}"


def passed(record: Measured) -> str:
    """The verdict of a figure in the table."""
    figure = BY_KEY[record["key"]]
    if figure.low is None and figure.high is None:
        return "-"
    if figure.holds(record["value"]):
        return "yes"
    return "within error" if figure.holds(record["value"], record["slack"]) else "NO"


def table(records: Iterable[Measured]) -> list[str]:
    """The lines of the table: machine, versions, one line a measured figure, and the figures nobody measured.

    Of a figure that was measured twice the larger run is shown.
    """
    by_key = {record["key"]: record for record in sorted(records, key=lambda record: record["n"])}
    found = [(BY_KEY[key], by_key[key]) for key in BY_KEY if key in by_key]
    rows = [("figure", "what", "§", "measured", "bar", "n", "passed")]
    rows += [
        (f.key, f.what, str(f.section), format(r["value"], f.shown), f.bar, f"{r['n']:,}", passed(r)) for f, r in found
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    absent = [key for key in BY_KEY if key not in by_key]
    return [*machine(), *lines, f"not measured in this run: {', '.join(absent) or 'none'}"]


def machine() -> list[str]:
    """Two lines: the processor and the versions that the figures were obtained with."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    versions = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    return [
        f"{os.cpu_count()} processors, {models[0] if models else platform.machine()}, {platform.system()}",
        ", ".join([f"Python {platform.python_version()}", *versions]),
    ]
