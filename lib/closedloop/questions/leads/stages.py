"""Does the score order open deals better than their stage does? Asked of the last period, from what its start knew."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from closedloop.claims.comparisons import gain_looks
from closedloop.claims.ledger import Origin
from closedloop.market.periods import Period
from closedloop.market.warehouse import fetched
from closedloop.period.records import lead_frame, won
from closedloop.period.situation import Situation
from closedloop.personas.persona_set import PersonaSet
from closedloop.presentation.blocks import Piece, stating
from closedloop.presentation.findings import backed, value
from closedloop.questions.leads.scores import Prospects, Scored, prospects_of
from closedloop.statistics.scoring.accuracy import auc, paired_bootstrap
from closedloop.statistics.scoring.learners import ModelName
from closedloop.statistics.scoring.scores import Score, fit_score
from closedloop.statistics.segmentation.indicators import Floats
from closedloop.terms import Moment, Verdict
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.period import opened
from closedloop.workbench.redraws import ScoreRedraw

_FEWEST = 40  # deals that were open then and are decided now
_MOST_TRAINED = 12_000
MODELS: tuple[ModelName, ...] = ("base rate", "lagged base rate", "logistic")
_UNKNOWN = "Whether the score tells more than the stage cannot be told"


def score_over_stage(scored: Answer) -> Answer:
    """How well score and stage order the deals that were open when the last period began, by AUC within periods.

    Both know only what that day knew; the outcomes are those known now. The gain's interval is a paired bootstrap's.
    ``scored``: the answer of ``score``, whose fields are learned again as of that day.
    """
    now = opened()
    answer = now.ask("score_over_stage", "quality", scored.rows, "deals", _show, among=scored.among, **scored.arguments)
    found: Scored = scored.fitted
    if found.model is None:
        answer.missing["over_stage"] = f"{_UNKNOWN}: no score could be learned."
        return answer
    prospects, situation = found.prospects, now.situation
    past = [period for period in situation.warehouse.periods if period.end <= situation.on]
    if why := _why_not(situation, past, prospects):
        answer.missing["over_stage"] = f"{_UNKNOWN}: {why}."
        return answer
    then = Situation(situation.warehouse, past[-1], past[-1].start, situation.claims, situation.where)
    known, asked = _known_then(then, prospects, now.personas), _decided_since(situation, then, prospects)
    if known is None:
        answer.missing["over_stage"] = (
            "When the last period began too little was known to learn a score: none can be compared."
        )
        return answer
    if len(asked) < _FEWEST or asked["_won"].nunique() < 2:
        answer.missing["over_stage"] = (
            f"{len(asked)} deals that were open when the last period began are decided: too few to compare the score "
            f"with the stage, which takes {_FEWEST}, won and lost ones."
        )
        return answer
    rows, is_won, when = known.rows[prospects.fields], known.is_won.astype(int), known.when
    model = fit_score(rows, is_won, when, rng=then.rng("score"), models=MODELS, learner=found.learner)
    by_score = placed(model, asked[prospects.fields])
    y, by_stage = asked["_won"].to_numpy(float), asked["_stage"].to_numpy(float)
    origin = Origin(now.notebook, "quality", "deals", past[-1].name, past[-1].name)
    areas = [{"field": "order", "level": name, "estimate": auc(y, p), "n": len(y)} for name, p in
             (("score", by_score), ("stage", by_stage))]  # fmt: skip
    answer.estimate(areas, origin, "auc_open", unit="ratio", kind="predictive")
    row = gain_over(y, by_stage, by_score, situation.rng("over-stage"))
    redraw = ScoreRedraw(
        *(known.table, known.rows[known.key], rows, is_won, when, "gain_over_stage", found.learner),
        asked=asked[[prospects.key, *prospects.fields]],
        asked_is_won=asked["_won"],
        asked_stage=asked["_stage"],
    )
    compared = gain_looks([row], origin, measure="gain_over_stage")
    answer.compare(compared, redraw if found.can_be_redrawn and scored.is_recorded else None)
    return answer


def placed(model: Score, asked: pd.DataFrame) -> Floats:
    """The place of each row in the score's order, the higher the likelier."""
    by_score = np.empty(len(asked))
    by_score[model.order(asked)] = np.arange(len(asked))[::-1]
    return by_score


def gain_over(y: Floats, by_stage: Floats, by_score: Floats, rng: np.random.Generator) -> dict[str, float]:
    """The gain in AUC of the score's order over that of the stages, as a row of comparisons."""
    gain = paired_bootstrap(y, by_stage, by_score, rng=rng, measure="auc_within")
    return {"estimate": gain.estimate, "low": gain.low, "high": gain.high, "n": len(y)}


def _why_not(situation: Situation, past: list[Period], prospects: Prospects) -> str:
    """What keeps the stages of earlier deals from being known; empty where nothing does."""
    if not situation.is_dated or not situation.view.has("stage_history"):
        return "collect `stage_history` with the day of each change of a deal's stage"
    if situation.definition.deals is None or not situation.definition.deals.stages:
        return "name the stages in their order under [deals] in market.toml"
    if not past:
        return "no period has ended yet"
    made = set(prospects.fields) - {*situation.fields(prospects.table, Moment.HANDOFF), "persona"}
    return f"of {', '.join(sorted(made))}, made in a cell, nobody knows what was known then" if made else ""


def _known_then(then: Situation, prospects: Prospects, personas: PersonaSet) -> Prospects | None:
    """What the score would have been learned from on that day, in the order of time; None where it is too little."""
    if prospects.table == "leads":
        rows = lead_frame(then) if then.view.has("leads") else pd.DataFrame()
    else:
        rows = then.deals
    if rows.empty:
        return None
    old = prospects_of(then, rows.assign(persona=personas.assign(rows)), prospects.table)
    usable = old.is_mature & old.when.notna()
    when = old.when[usable].sort_values(kind="stable").tail(_MOST_TRAINED)
    is_won = old.is_won[when.index]
    if len(when) < _FEWEST or is_won.nunique() < 2:
        return None
    return replace(old, rows=old.rows.loc[when.index], is_won=is_won, when=when)


def _decided_since(situation: Situation, then: Situation, prospects: Prospects) -> pd.DataFrame:
    """What is scored of the deals that were open then and are decided now: ``_won``, and ``_stage``, its place then."""
    known, stages = fetched(then.view.known("deals")), situation.definition.deals
    if "stage" not in known or stages is None or prospects.key not in known:
        return pd.DataFrame({"_won": [], "_stage": []})
    place = {stage: number for number, stage in enumerate(stages.stages)}
    known = known[known["outcome"] == "open"].assign(_stage=lambda rows: rows["stage"].map(place))
    outcomes = situation.deals.assign(_won=won(situation.deals))[["deal_id", "_won"]]
    columns = [name for name in ("deal_id", "lead_id", "_stage") if name in known]
    decided = known[columns].merge(outcomes, on="deal_id").dropna(subset=["_won", "_stage"])
    own = decided[[prospects.key, "_won", "_stage"]].dropna(subset=[prospects.key])
    return prospects.rows.merge(own, on=prospects.key)


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    gain = shown.first("gain_over_stage")
    by = {name: shown.first("auc_open", level=name) for name in ("score", "stage")}
    if gain is None or by["score"] is None or by["stage"] is None:
        return []
    areas = f"AUC {value(by['score'], shown.words)} by score, {value(by['stage'], shown.words)} by stage"
    text = f"Deals open when the last period began and decided since: {areas}; gain {backed(gain, shown.words)}. "
    if gain["verdict"] == Verdict.SUPPORTED:
        text += f"Once a deal is open, the score tells {'more' if gain['effect'] > 0 else 'less'} than its stage."
    else:
        text += "Which of the two tells more cannot be told."
    return [stating(text, gain, by["score"], by["stage"])]
