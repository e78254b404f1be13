"""What a score is learned from and gives: leads, or deals where no leads are recorded, with the fields it may use."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from closedloop.claims.comparisons import gain_looks
from closedloop.claims.ledger import Origin
from closedloop.errors import ParameterError, allowed
from closedloop.period.counting import LEAST_SHOWN
from closedloop.period.records import ONLY_WON, column, won
from closedloop.period.situation import Situation
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Piece, stating
from closedloop.presentation.charts import calibration
from closedloop.presentation.findings import Claim, Column, ends, table_of, value
from closedloop.statistics.scoring.accuracy import calibration_table
from closedloop.statistics.scoring.scores import LEARNERS, Score, fit_score
from closedloop.terms import Moment, Verdict
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.comparison import level_of
from closedloop.workbench.period import OpenPeriod, opened
from closedloop.workbench.redraws import ScoreRedraw

MATURE_SHARE = 0.7
_KEYS = {"leads": "lead_id", "deals": "deal_id"}
_NOT_SCORED_BY = ("campaign", "experiment", "arm", "rep_team", "status")


@dataclass(frozen=True)
class Prospects:
    """What is scored: rows of leads (else deals), the fields a score may use, the outcome, and the day it is about.

    ``times`` names what each row is compared in for being decided: its month, or without a calendar its period.
    """

    table: str
    rows: pd.DataFrame
    fields: list[str]
    is_won: pd.Series
    when: pd.Series
    times: pd.Series

    @property
    def key(self) -> str:
        """The column that names a row."""
        return _KEYS[self.table]

    @property
    def is_mature(self) -> pd.Series:
        """Decided rows of times of which most are decided: quick outcomes must not crowd out slow ones."""
        if self.when.isna().all():
            return self.is_won.notna()
        decided = self.is_won.notna().where(self.when.notna()).groupby(self.times).transform("mean")
        return self.is_won.notna() & (decided >= MATURE_SHARE)


def prospects_of(
    situation: Situation, rows: pd.DataFrame, table: str, fields: Sequence[str] | None = None
) -> Prospects:
    """The rows of ``table`` (leads or deals, as the situation has them) with what a score may learn.

    ``fields``: the ones to score by; without any those known at the hand-off of leads, or at the creation of deals.
    """
    if rows.empty:
        nothing = pd.Series(dtype="datetime64[us]")
        return Prospects(table, rows, [], nothing, nothing, nothing)
    if table == "leads":
        known = [name for name in situation.fields("leads", Moment.HANDOFF) if name not in _NOT_SCORED_BY]
        handed = rows[rows["handed_off_on"].notna()] if "handed_off_on" in rows else rows
        day = column(handed, "handed_off_on").fillna(column(handed, "created_on")).reindex(rows.index)
        is_won = handed["is_won"].reindex(rows.index)
    else:
        known, day, is_won = situation.deal_fields(), rows["closed_on"], won(rows)
    names = [name for name in (known if fields is None else fields) if name in rows]
    times = day.dt.to_period("M") if situation.definition.has_calendar else situation.names_of(day)
    return Prospects(table, rows, names, is_won, day, times)


_FEWEST_SCORED = 200
_MOST_TRAINED = 12_000
_MOST_GROUPS = 10
_QUALITY = {
    "brier": "brier",
    "ece": "ece",
    "auc": "auc",
    "auc_within": "auc_within",
    "gain_over_base_rate": "gain",
}


class Scored:
    """What ``score`` leaves for the verbs that go on from it: what was scored, and the score (None: not learned)."""

    def __init__(self, prospects: Prospects, model: Score | None, learner: Any) -> None:
        self.prospects, self.model, self.learner = prospects, model, learner

    @property
    def can_be_redrawn(self) -> bool:
        """Is the learner one of the project's own, which the self-test may fit again and again?"""
        return self.learner is None or isinstance(self.learner, str)


def score(
    prospects: pd.DataFrame,
    fields: Sequence[str] | None = None,
    *,
    learner: Any = None,
    among: str | None = None,
) -> Answer:
    """The chance of each lead (where none are recorded, of each deal) to be won, judged on later ones.

    The last 40 % are predicted in four blocks by models fitted on what came before: two base rates, ridge logistic
    regression and gradient boosting, of which the least log loss chooses (METHODS 8). ``fields``: to score by, known
    at the hand-off. ``learner``: the one model beside base rates, "logistic", "boosting", or a classifier of
    scikit-learn, which is cloned, seeded, not stored, and not in the self-test.
    """
    now, table = opened(), "leads" if prospects.index.name == "lead" else "deals"
    used = None if fields is None else list(fields)
    answer = now.ask("score", "quality", prospects, table, _show, among=among, fields=used, learner=repr(learner))
    asked = prospects_of(now.situation, answer.rows, table, _checked(now, used))
    if len(now.personas.personas) > 1 and used is None and len(asked.rows):
        asked.fields.append("persona")  # levels that hardly anybody has shown yet are drawn to their persona
    answer.results |= {"prospects": table, "score_verdict": "no usable signal", "shown_as": None}
    answer.results |= {"auc": None, "auc_within": None}
    answer.fitted = Scored(asked, None, learner)
    if why := _why_unlearned(asked):
        if now.situation.has_only_won:
            why = f"{ONLY_WON} Until then there is nothing that a score could tell won ones from."
        answer.missing |= dict.fromkeys(("quality", "calibration"), why)
        return answer
    when = asked.when[asked.is_mature].sort_values(kind="stable").tail(_MOST_TRAINED)
    rows, is_won = asked.rows.loc[when.index, asked.fields], asked.is_won[when.index].astype(int)
    model = _fitted(now.situation, rows, is_won, when, learner)
    answer.fitted = Scored(asked, model, learner)
    answer.results |= {"score_verdict": model.verdict, "shown_as": model.shown_as, "model": model.model}
    answer.results["n_scored"] = int(asked.is_mature.sum())
    chosen = model.quality.set_index("model").loc[model.model]
    answer.results |= {"auc": chosen["auc"], "auc_within": chosen["auc_within"]}
    ids = asked.rows.loc[when.index, asked.key]
    dates = when if now.situation.is_dated else None
    redraw = ScoreRedraw(table, ids, rows, is_won, dates, "score_auc", learner)
    _judge(answer, model, when, redraw if answer.fitted.can_be_redrawn and answer.is_recorded else None)
    return answer


def _fitted(situation: Situation, rows: pd.DataFrame, is_won: pd.Series, when: pd.Series, learner: Any) -> Score:
    """The score of these rows: the dear part, and the same wherever the input is the same."""
    dates = when if situation.is_dated else None
    return fit_score(rows, is_won, dates, rng=situation.rng("score"), learner=learner)


def _checked(now: OpenPeriod, fields: list[str] | None) -> list[str] | None:
    """The fields, if all are known by the hand-off; errors: ParameterError for one that is known later."""
    late = [name for name in fields or () if now.known_at(name) > Moment.HANDOFF]
    if late:
        raise ParameterError(
            f"score: {late[0]!r} is known only after the hand-off, so no score may read it; allowed: "
            f'{allowed(now.fields("leads", "handoff"))}, or columns of one\'s own after now.declare(name, "handoff")'
        )
    return fields


def _why_unlearned(prospects: Prospects) -> str:
    """What keeps a score from being learned, with what was found and what it needs; empty where nothing does."""
    time = "month" if isinstance(prospects.times.dtype, pd.PeriodDtype) else "period"
    table, n_known = prospects.table, int(prospects.is_won.notna().sum())
    mature = prospects.is_won[prospects.is_mature]
    if not prospects.fields:
        return f"A score needs fields of {table} that are known in time to use it; none is declared in market.toml."
    if n_known < _FEWEST_SCORED:
        return f"A score needs {_FEWEST_SCORED} {table} whose outcome is known; {n_known} are. Collect more outcomes."
    if len(mature) < _FEWEST_SCORED:
        return (
            f"The outcome of {n_known:,} {table} is known, but only {len(mature):,} come from a {time} of which "
            f"{MATURE_SHARE:.0%} are decided, and a score needs {_FEWEST_SCORED} such: it would learn from the quick "
            "outcomes alone. Wait until more are decided."
        )
    n_won = int(mature.sum())
    n_lost = len(mature) - n_won
    if min(n_won, n_lost) < LEAST_SHOWN:
        return (
            f"Of {len(mature):,} {table} to learn from {n_won:,} were won and {n_lost:,} lost; a score needs "
            f"{LEAST_SHOWN} of each. Collect both outcomes."
        )
    return ""


def _judge(answer: Answer, model: Score, when: pd.Series, redraw: ScoreRedraw | None) -> None:
    """State how good every model was on rows that it had not seen, and compare the best learner with chance."""
    origin, quality = answer.origin(when), model.quality.assign(field="model", level=model.quality["model"])
    for measure, name in _QUALITY.items():
        ends_ = {f"{name}_{end}": end for end in ("low", "high")}
        rows = quality.assign(estimate=quality[name]).rename(columns=ends_)
        answer.estimate(rows[rows["estimate"].notna()], origin, measure, unit="ratio", kind="predictive")
    bins = min(_MOST_GROUPS, len(model.held_out_y) // LEAST_SHOWN)
    groups = calibration_table(model.held_out_y, model.held_out_p, bins)
    rows = groups.assign(field="score_group", level=groups["bin"], estimate=groups["observed"])
    come_true = origin._replace(cell="calibration")
    answer.estimate(rows.assign(baseline=groups["predicted"]), come_true, "observed_rate", kind="predictive")
    inside = groups["predicted"].between(groups["low"], groups["high"])
    answer.count([{"estimate": inside.sum(), "n": len(groups)}], come_true, "n_groups_inside")
    answer.compare(advantage(model, origin), redraw, known_at="handoff")


def advantage(model: Score, origin: Origin) -> pd.DataFrame:
    """The best learner's AUC within periods beside that of chance, as a comparison."""
    best = model.quality[model.quality["model"].isin(LEARNERS)].nsmallest(1, "log_loss")
    best = best.assign(field="model", level=best["model"], baseline=0.5)
    areas = {"auc_within": "estimate", "auc_within_low": "low", "auc_within_high": "high"}
    return gain_looks(best.rename(columns=areas), origin, measure="score_auc")


def score_verdict(shown: Evidence) -> str:
    """What the score's verdict says: usable only where its advantage over chance holds as a claim."""
    found = shown.first("score_auc")
    verdict = str(shown.result("score_verdict") or "not judged")
    is_held = found is not None and found["verdict"] == Verdict.SUPPORTED and found["effect"] > 0
    return verdict if verdict != "usable" or is_held else "not shown to be usable"


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    claims = shown.cell("quality")
    columns: dict[str, str | tuple[str, Column]] = {
        "brier": "Brier score",
        "ece": "calibration error",
        "auc": ("AUC", _with_ends(shown, "auc")),
        "auc_within": ("AUC within periods", _with_ends(shown, "auc_within")),
        "gain_over_base_rate": ("log-loss gained", _with_ends(shown, "gain_over_base_rate")),
        "n": ("cases", lambda row: numbers.count(next(iter(row.values()))["n"])),
    }
    listed = table_of(claims, shown.words, "model", columns, label=level_of(shown.words))
    verdict = score_verdict(shown)
    kinds = {"probability": "as probabilities", "rank": "as ranks"} if verdict == "usable" else {}
    kind = kinds.get(str(shown.result("shown_as")))
    chosen = claims[claims["level"] == str(shown.result("model"))]
    said = stating(
        f"Verdict: {verdict}; scores are {f'shown {kind}' if kind else 'not shown'}.", shown.of("score_auc"), chosen
    )
    return listed, *_come_true(shown), said


def _with_ends(shown: Evidence, measure: str) -> Callable[[Mapping[str, Claim]], str]:
    """A row's figure with its 90 % interval."""

    def written(row: Mapping[str, Claim]) -> str:
        claim = row.get(measure)
        return numbers.MISSING if claim is None else f"{value(claim, shown.words)} ({ends(claim, shown.words)})"

    return written


def _come_true(shown: Evidence) -> Sequence[Piece]:
    """Predicted beside observed rates."""
    rows = shown.of("observed_rate").rename(columns={"baseline": "predicted", "estimate": "observed"})
    picture, inside = calibration(rows, "Do predicted rates come true?"), shown.first("n_groups_inside")
    if inside is None:
        return (picture,)
    found = f"In {numbers.count(inside['estimate'])} of {numbers.count(inside['n'])} groups"
    return picture, stating(f"{found} the prediction lies within the 90 % interval of what happened.", inside)
