"""What a score is learned from and gives: leads, or deals where no leads are recorded, with the fields it may use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from closedloop.claims.comparisons import gain_looks
from closedloop.claims.ledger import Origin
from closedloop.errors import ParameterError, allowed
from closedloop.market.periods import Period
from closedloop.period.counting import LEAST_SHOWN, ONLY_WON, won
from closedloop.period.lead_records import handed_off, lead_frame
from closedloop.period.situation import Situation
from closedloop.personas.persona_set import PersonaSet
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Piece, stating
from closedloop.presentation.charts import calibration
from closedloop.presentation.sentences import Claim, backed, ends, value
from closedloop.presentation.tables import Column, table_of
from closedloop.statistics.scoring.accuracy import auc, calibration_table, paired_bootstrap
from closedloop.statistics.scoring.learners import ModelName
from closedloop.statistics.scoring.scores import LEARNERS, Score, fit_score
from closedloop.statistics.segmentation.indicators import Floats
from closedloop.terms import Moment, Verdict
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.comparison import level_of
from closedloop.workbench.period import opened
from closedloop.workbench.redraws import ScoreRedraw

MATURE_SHARE = 0.7
_FEWEST_SCORED = 200
_FEWEST_BESIDE = 40  # deals that were open when the last period began and are decided now
_MOST_TRAINED = 12_000
_MOST_GROUPS = 10
MODELS: tuple[ModelName, ...] = ("base rate", "lagged base rate", "logistic")  # of the score beside the stage
_QUALITY = {"brier": "brier", "ece": "ece", "auc": "auc", "auc_within": "auc_within", "gain_over_base_rate": "gain"}
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
        return f"{self.table[:-1]}_id"

    @property
    def is_mature(self) -> pd.Series:
        """Decided rows of times of which most are decided: quick outcomes must not crowd out slow ones."""
        if self.when.isna().all():
            return self.is_won.notna()
        decided = self.is_won.notna().where(self.when.notna()).groupby(self.times).transform("mean")
        return self.is_won.notna() & (decided >= MATURE_SHARE)

    @property
    def learned_days(self) -> pd.Series:
        """The day of each row that a score learns of, in the order of time."""
        return self.when[self.is_mature].sort_values(kind="stable").tail(_MOST_TRAINED)


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
        day, is_won = handed_off(handed).reindex(rows.index), handed["is_won"].reindex(rows.index)
    else:
        known, day, is_won = situation.deal_fields(), rows["closed_on"], won(rows)
    names = [name for name in (known if fields is None else fields) if name in rows]
    times = day.dt.to_period("M") if situation.definition.has_calendar else situation.names_of(day)
    return Prospects(table, rows, names, is_won, day, times)


@dataclass
class Scored:
    """What ``score`` leaves for ``lead_card``: what was scored, and the score (None: not learned)."""

    prospects: Prospects
    model: Score | None = None


def score(
    prospects: pd.DataFrame,
    fields: Sequence[str] | None = None,
    *,
    learner: Any = None,
    beside: str = "",
    among: str | None = None,
) -> Answer:
    """The chance of each lead (where none are recorded, of each deal) to be won, judged on later ones.

    The last 40 % are predicted in four blocks by models fitted on what came before: two base rates, ridge logistic
    regression and gradient boosting, of which the least log loss chooses (METHODS 8). ``fields``: to score by, known
    at the hand-off. ``learner``: the one model beside base rates, "logistic", "boosting", or a classifier of
    scikit-learn, which is cloned, seeded, not stored, and not in the self-test. ``beside`` "stage": instead how well
    score and stage order the deals that were open when the last period began, by AUC within periods. Both know only
    what that day knew, the outcomes are those known now, and the gain's interval is a paired bootstrap's.
    Errors: ParameterError.
    """
    now, table = opened(), "leads" if prospects.index.name == "lead" else "deals"
    if beside not in ("", "stage"):
        raise ParameterError(f"score: beside = {beside!r}; allowed: stage")
    if late := [name for name in fields or () if now.known_at(name) > Moment.HANDOFF]:
        raise ParameterError(
            f"score: {late[0]!r} is known only after the hand-off, so no score may read it; allowed: "
            f'{allowed(now.fields("leads", "handoff"))}, or columns of one\'s own after now.declare(name, "handoff")'
        )
    used = None if fields is None else list(fields)
    answer = now.ask("score", "quality", prospects, table, _show_beside if beside else _show, among=among,
                     fields=used, learner=repr(learner), beside=beside)  # fmt: skip
    asked = prospects_of(now.situation, answer.rows, table, used)
    if len(now.personas.personas) > 1 and used is None and len(asked.rows):
        asked.fields.append("persona")  # levels that hardly anybody has shown yet are drawn to their persona
    if beside:
        _beside_stage(answer, asked, learner)
        return answer
    answer.results |= {"prospects": table, "score_verdict": "no usable signal", "shown_as": None}
    answer.results |= {"auc": None, "auc_within": None}
    answer.fitted = Scored(asked)
    if why := _why_unlearned(asked):
        if now.situation.has_only_won:
            why = f"{ONLY_WON} Until then there is nothing that a score could tell won ones from."
        answer.missing |= dict.fromkeys(("quality", "calibration"), why)
        return answer
    when = asked.learned_days
    rows, is_won = asked.rows.loc[when.index, asked.fields], asked.is_won[when.index].astype(int)
    dates = when if now.situation.is_dated else None
    answer.fitted.model = model = fit_score(rows, is_won, dates, rng=now.situation.rng("score"), learner=learner)
    answer.results |= {"score_verdict": model.verdict, "shown_as": model.shown_as, "model": model.model}
    answer.results["n_scored"] = int(asked.is_mature.sum())
    chosen = model.quality.set_index("model").loc[model.model]
    answer.results |= {"auc": chosen["auc"], "auc_within": chosen["auc_within"]}
    redraw = ScoreRedraw(table, asked.rows.loc[when.index, asked.key], rows, is_won, dates, "score_auc", learner)
    _judge(answer, model, when, redraw)
    return answer


def _compare(answer: Answer, looks: pd.DataFrame, redraw: ScoreRedraw, known_at: str = "") -> None:
    """Add a comparison; it is made again where rows are recorded, and the learner is one of the project's own."""
    is_own = redraw.learner is None or isinstance(redraw.learner, str)  # and so may be fitted again and again
    answer.compare(looks, redraw if answer.is_recorded and is_own else None, known_at)


def _why_unlearned(prospects: Prospects) -> str:
    """What keeps a score from being learned, with what was found and what it needs; empty where nothing does."""
    time = "month" if isinstance(prospects.times.dtype, pd.PeriodDtype) else "period"
    table, n_known = prospects.table, int(prospects.is_won.notna().sum())
    mature = prospects.is_won[prospects.is_mature]
    if not prospects.fields and len(prospects.rows):
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


def _judge(answer: Answer, model: Score, when: pd.Series, redraw: ScoreRedraw) -> None:
    """State how good every model was on rows that it had not seen, and compare the best learner with chance."""
    tested = when.iloc[np.concatenate([asked for _, asked in model.splits])]
    origin, quality = answer.origin(tested), model.quality.assign(field="model", level=model.quality["model"])
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
    _compare(answer, advantage(model, origin), redraw, "handoff")


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
    claims, words = shown.cell("quality"), shown.words

    def with_ends(row: Mapping[str, Claim], measure: str) -> str:
        claim = row.get(measure)
        return numbers.MISSING if claim is None else f"{value(claim, words)} ({ends(claim, words)})"

    columns: dict[str, str | tuple[str, Column]] = {
        "brier": "Brier score",
        "ece": "calibration error",
        "auc": ("AUC", lambda row: with_ends(row, "auc")),
        "auc_within": ("AUC within periods", lambda row: with_ends(row, "auc_within")),
        "gain_over_base_rate": ("log-loss gained", lambda row: with_ends(row, "gain_over_base_rate")),
        "n": ("cases", lambda row: numbers.count(next(iter(row.values()))["n"])),
    }
    listed = table_of(claims, words, "model", columns, label=level_of(words))
    rows = shown.of("observed_rate").rename(columns={"baseline": "predicted", "estimate": "observed"})
    model = words.level("model", str(shown.result("model")))
    picture = calibration(rows, f"Do predicted rates come true? Those of: {model}")
    inside, said = shown.first("n_groups_inside"), list[Piece]()
    if inside is not None:
        found = f"In {numbers.count(inside['estimate'])} of {numbers.count(inside['n'])} groups"
        said.append(stating(f"{found} the prediction lies within the 90 % interval of what happened.", inside))
    verdict, kinds = score_verdict(shown), {"probability": "shown as probabilities", "rank": "shown as ranks"}
    how = kinds.get(str(shown.result("shown_as")), "not shown") if verdict == "usable" else "not shown"
    chosen = claims[claims["level"] == str(shown.result("model"))]
    verdict_said = stating(f"Verdict: {verdict}; scores are {how}.", shown.of("score_auc"), chosen)
    return listed, picture, *said, verdict_said


def _beside_stage(answer: Answer, prospects: Prospects, learner: Any) -> None:
    """Judge score and stage on the deals that were open when the last period began and are decided now."""
    now, situation = answer.now, answer.now.situation
    past = [period for period in situation.warehouse.periods if period.end <= situation.on]
    why = "no score could be learned" if _why_unlearned(prospects) else _why_no_stages(situation, past, prospects)
    if why:
        answer.missing["over_stage"] = f"Whether the score tells more than the stage cannot be told: {why}."
        return
    then = Situation(situation.warehouse, past[-1], past[-1].start, situation.claims, situation.where)
    known, asked = _known_then(then, prospects, now.personas), _decided_since(situation, then, prospects)
    if known is None:
        answer.missing["over_stage"] = (
            "When the last period began too little was known to learn a score: none can be compared."
        )
        return
    if len(asked) < _FEWEST_BESIDE or asked["_won"].nunique() < 2:
        answer.missing["over_stage"] = (
            f"{len(asked)} deals that were open when the last period began are decided: too few to compare the score "
            f"with the stage, which takes {_FEWEST_BESIDE}, won and lost ones."
        )
        return
    rows, is_won, when = known.rows[prospects.fields], known.is_won.astype(int), known.when
    model = fit_score(rows, is_won, when, rng=then.rng("score"), models=MODELS, learner=learner)
    y, by_stage = asked["_won"].to_numpy(float), asked["_stage"].to_numpy(float)
    by = {"score": placed(model, asked[prospects.fields]), "stage": by_stage}
    origin = Origin(now.notebook, "quality", "deals", past[-1].name, past[-1].name)
    areas = [{"field": "order", "level": name, "estimate": auc(y, p), "n": len(y)} for name, p in by.items()]
    answer.estimate(areas, origin, "auc_open", unit="ratio", kind="predictive")
    gain = gain_over(y, by_stage, by["score"], situation.rng("over-stage"))
    redraw = ScoreRedraw(
        *(known.table, known.rows[known.key], rows, is_won, when, "gain_over_stage", learner),
        asked=asked[[prospects.key, *prospects.fields]],
        asked_is_won=asked["_won"],
        asked_stage=asked["_stage"],
    )
    _compare(answer, gain_looks([gain], origin, measure="gain_over_stage"), redraw)


def placed(model: Score, asked: pd.DataFrame) -> Floats:
    """The place of each row in the score's order, the higher the likelier."""
    by_score = np.empty(len(asked))
    by_score[model.order(asked)] = np.arange(len(asked))[::-1]
    return by_score


def gain_over(y: Floats, by_stage: Floats, by_score: Floats, rng: np.random.Generator) -> dict[str, float]:
    """The gain in AUC of the score's order over that of the stages, as a row of comparisons."""
    gain = paired_bootstrap(y, by_stage, by_score, rng=rng, measure="auc_within")
    return {"estimate": gain.estimate, "low": gain.low, "high": gain.high, "n": len(y)}


def _why_no_stages(situation: Situation, past: Sequence[Period], prospects: Prospects) -> str:
    """What keeps the stages of earlier deals from being known; empty where nothing does."""
    if not situation.is_dated or not situation.view.has("stage_history"):
        return "collect `stage_history` with the day of each change of a deal's stage"
    if situation.definition.deals is None or not situation.definition.deals.every_stage:
        return "name the stages in their order under [deals] in market.toml"
    if not past:
        return "no period has ended yet"
    made = set(prospects.fields) - {*situation.fields(prospects.table, Moment.HANDOFF), "persona"}
    return f"of {', '.join(sorted(made))}, made in a cell, nobody knows what was known then" if made else ""


def _known_then(then: Situation, prospects: Prospects, personas: PersonaSet) -> Prospects | None:
    """What the score would have been learned from on that day, in the order of time; None where it is too little."""
    leads = lead_frame(then) if prospects.table == "leads" and then.view.has("leads") else pd.DataFrame()
    rows = leads if prospects.table == "leads" else then.deals
    if rows.empty:
        return None
    old = prospects_of(then, rows.assign(persona=personas.assign(rows)), prospects.table)
    when = old.when[old.is_mature & old.when.notna()].sort_values(kind="stable").tail(_MOST_TRAINED)
    is_won = old.is_won[when.index]
    is_enough = len(when) >= _FEWEST_BESIDE and is_won.nunique() > 1
    return replace(old, rows=old.rows.loc[when.index], is_won=is_won, when=when) if is_enough else None


def _decided_since(situation: Situation, then: Situation, prospects: Prospects) -> pd.DataFrame:
    """What is scored of the deals that were open then and are decided now: ``_won``, and ``_stage``, its place then."""
    known, stages = then.known("deals"), situation.definition.deals
    if "stage" not in known or stages is None or prospects.key not in known:
        return pd.DataFrame({"_won": [], "_stage": []})
    place = {stage: number for number, stage in enumerate(stages.stages)}
    known = known[known["outcome"] == "open"].assign(_stage=lambda rows: rows["stage"].map(place))
    outcomes = situation.deals.assign(_won=won(situation.deals))[["deal_id", "_won"]]
    columns = [name for name in ("deal_id", "lead_id", "_stage") if name in known]
    decided = known[columns].merge(outcomes, on="deal_id").dropna(subset=["_won", "_stage"])
    own = decided[[prospects.key, "_won", "_stage"]].dropna(subset=[prospects.key])
    return prospects.rows.merge(own, on=prospects.key)


def _show_beside(shown: Evidence, title: str) -> Sequence[Piece]:
    gain = shown.first("gain_over_stage")
    by = {name: shown.first("auc_open", level=name) for name in ("score", "stage")}
    if gain is None or by["score"] is None or by["stage"] is None:
        return []
    areas = f"AUC {value(by['score'], shown.words)} by score, {value(by['stage'], shown.words)} by stage"
    text = f"Deals open when the last period began and decided since: {areas}; gain {backed(gain, shown.words)}. "
    more = "more" if gain["effect"] > 0 else "less"
    if gain["verdict"] == Verdict.SUPPORTED:
        text += f"Once a deal is open, the score tells {more} than its stage."
    elif gain["verdict"] == Verdict.LEANING:
        text += f"Once a deal is open, the score may tell {more} than its stage: watch it."
    else:
        text += "Which of the two tells more cannot be told."
    return [stating(text, gain, by["score"], by["stage"])]
