"""Does the score order open deals better than their stage does? Asked of the last period, from what its start knew."""

import numpy as np
import pandas as pd

from closedloop.evidence.accuracy import auc, paired_bootstrap
from closedloop.evidence.claims import Origin
from closedloop.evidence.gains import gain_looks
from closedloop.evidence.indicators import Floats
from closedloop.evidence.scores import ModelName, Score, fit_score
from closedloop.loop.persona import PersonaSet
from closedloop.loop.prospects import Prospects, prospects_of, with_personas
from closedloop.loop.records import lead_frame, won
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft
from closedloop.market.periods import Period
from closedloop.market.warehouse import fetched

_FEWEST = 40  # deals that were open then and are decided now
_MOST_TRAINED = 12_000
_MODELS: tuple[ModelName, ...] = ("base rate", "lagged base rate", "logistic")


def over_stage(draft: Draft, situation: Situation, prospects: Prospects, in_force: PersonaSet) -> None:
    """State how well score and stage order the deals that were open when the last period began, by AUC.

    Both know only what that day knew; the outcomes are those known now. The score reads no stage: where it adds
    nothing, the stage is enough.
    """
    past = [period for period in situation.warehouse.periods if period.end <= situation.on]
    if why := _why_not(situation, past):
        draft.missing["over_stage"] = f"Whether the score tells more than the stage cannot be told: {why}."
        return
    then = Situation(situation.warehouse, past[-1], past[-1].start, situation.claims)
    deals = _decided_since(situation, then)
    score = _learned_then(then, prospects, in_force)
    rows = _rows_of(deals, prospects)
    if score is None or len(rows) < _FEWEST or deals["is_won"].nunique() < 2:
        draft.missing["over_stage"] = (
            f"{len(rows)} deals that were open when the last period began are decided: too few to compare the score "
            f"with the stage, which takes {_FEWEST}, won and lost ones."
            if score is not None
            else "When the last period began too little was known to learn a score: none can be compared."
        )
        return
    y = rows["_won"].to_numpy(float)
    by_stage, by_score = rows["_stage"].to_numpy(float), _places(score, with_personas(rows, in_force))
    origin = Origin("03_leads", "quality", "deals", past[-1].name, past[-1].name)
    areas = [{"field": "order", "level": name, "estimate": auc(y, p), "n": len(y)} for name, p in
             (("score", by_score), ("stage", by_stage))]  # fmt: skip
    draft.estimate(areas, origin, "auc_open", unit="ratio", kind="predictive")
    gain = paired_bootstrap(y, by_stage, by_score, rng=situation.rng("over-stage"), measure="auc_within")
    row = {"estimate": gain.estimate, "low": gain.low, "high": gain.high, "n": len(y)}
    draft.looks.append(gain_looks([row], origin, measure="gain_over_stage"))


def _stages(situation: Situation) -> tuple[str, ...]:
    deals = situation.definition.deals
    return deals.stages if deals else ()


def _why_not(situation: Situation, past: list[Period]) -> str:
    """What keeps the stages of earlier deals from being known; empty where nothing does."""
    if not situation.is_dated or not situation.view.has("stage_history"):
        return "collect `stage_history` with the day of each change of a deal's stage"
    if not _stages(situation):
        return "name the stages in their order under [deals] in market.toml"
    return "" if past else "no period has ended yet"


def _decided_since(situation: Situation, then: Situation) -> pd.DataFrame:
    """Deals open on that day, with their stage of that day as its place in the order, and whether they were won."""
    known = fetched(then.view.known("deals"))
    if "stage" not in known:
        return pd.DataFrame({"deal_id": [], "is_won": [], "stage_place": []})
    place = {stage: number for number, stage in enumerate(_stages(situation))}
    known = known[known["outcome"] == "open"].assign(stage_place=lambda d: d["stage"].map(place))
    now = situation.deals.assign(is_won=won(situation.deals))[["deal_id", "is_won"]]
    columns = [name for name in ("deal_id", "lead_id", "stage_place") if name in known]
    return known[columns].merge(now, on="deal_id").dropna(subset=["is_won", "stage_place"])


def _learned_then(then: Situation, prospects: Prospects, in_force: PersonaSet) -> Score | None:
    """The score as that day would have learned it, from the same fields."""
    leads = lead_frame(then) if prospects.table == "leads" else None
    old = prospects_of(then, leads)
    if old.rows.empty or old.table != prospects.table:
        return None
    rows = with_personas(old.rows, in_force)
    usable = old.is_mature & old.when.notna()
    when = old.when[usable].sort_values(kind="stable").tail(_MOST_TRAINED)
    if len(when) < _FEWEST or old.is_won[when.index].nunique() < 2:
        return None
    x = rows.loc[when.index, prospects.fields]
    return fit_score(x, old.is_won[when.index].astype(int), when, rng=then.rng("score"), models=_MODELS)


def _rows_of(deals: pd.DataFrame, prospects: Prospects) -> pd.DataFrame:
    """The prospects behind those deals, with ``_won`` and ``_stage``."""
    if prospects.key not in deals:
        return pd.DataFrame()
    told = deals.rename(columns={"is_won": "_won", "stage_place": "_stage"})[[prospects.key, "_won", "_stage"]]
    return prospects.rows.merge(told.dropna(subset=[prospects.key]), on=prospects.key)


def _places(score: Score, rows: pd.DataFrame) -> Floats:
    """The higher the likelier: the rows' places in the score's order."""
    names = [field.name for field in score.ranking.design.fields]
    order = score.order(rows[names])
    place = np.empty(len(rows))
    place[order] = np.arange(len(rows))[::-1]
    return place
