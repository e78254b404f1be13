"""Notes between the teams and from buyers: short remarks by kind and topic."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from .draws import Draws, Floats, Texts
from .remark_texts import FEEDBACK, HOSTILE, LOSS, OBJECTION, PAIN, QUESTION, REJECTION, TRIGGER
from .truth import Truth, day_number

_WORDS: dict[str, Mapping[str, tuple[str, ...]]] = {
    "pain": PAIN,
    "objection": OBJECTION,
    "trigger": TRIGGER,
    "question": QUESTION,
    "loss": LOSS,
    "rejection": REJECTION,
    "feedback": FEEDBACK,
}


def draw_notes(truth: Truth, leads: pd.DataFrame, deals: pd.DataFrame) -> pd.DataFrame:
    """Return one row per remark in order of its day, with the lead or the deal that it is about."""
    parts = [
        _of_deals(truth, deals),
        _of_buyers(truth, deals),
        _of_rejections(truth, leads),
        _feedback(truth),
    ]
    notes = pd.concat(parts)
    notes = notes[notes["day"] <= day_number(truth["window"]["extracted_on"])]
    return _with_hostile(
        truth, notes.sort_values(["day", "kind", "deal_id", "lead_id"], kind="stable").reset_index(drop=True)
    )


def _of_deals(truth: Truth, deals: pd.DataFrame) -> pd.DataFrame:
    draws, settings = Draws(truth["seed"], "remarks"), truth["notes"]
    noted = deals[draws.yes(settings["deal_rate"], len(deals))]
    twice = noted[draws.yes(1 / 3, len(noted))]
    rows = pd.concat([noted, twice]).reset_index(drop=True)
    kind = draws.pick(settings["kind"], len(rows))
    topic = np.where(
        kind == "objection",
        draws.pick(settings["objection"], len(rows)),
        _needs(truth, rows["segment"].to_numpy(dtype=object), draws),
    )
    days = np.floor(rows["opened_day"] + draws.uniform(len(rows)) * (rows["ends_day"] - rows["opened_day"]))
    return _notes(days.to_numpy(), "sales", kind, topic, draws).assign(lead_id="", deal_id=rows["deal_id"])


def _needs(truth: Truth, segment: Texts, draws: Draws) -> Texts:
    return draws.pick_by({name: entry["needs"] for name, entry in truth["segments"].items()}, segment)


def _of_buyers(truth: Truth, deals: pd.DataFrame) -> pd.DataFrame:
    draws, settings = Draws(truth["seed"], "buyers"), truth["buyers"]
    lost = deals[deals["outcome"] == "lost"]
    asked = lost[draws.yes(settings["asked_rate"], len(lost))].reset_index(drop=True)
    n = len(asked)
    rep = asked["loss_reason"].to_numpy(dtype=object)
    table = {reason: {**settings["otherwise"], reason: 0.0} for reason in truth["deals"]["loss_reason"]}
    levels = sorted({level for shares in table.values() for level in shares})
    table = {reason: {level: shares.get(level, 0.0) for level in levels} for reason, shares in table.items()}
    said = np.where(draws.yes(settings["agreed_rate"], n), rep, draws.pick_by(table, rep))
    days = asked["ends_day"].to_numpy() + 5 + draws.waiting(14, n)
    return _notes(days, "buyer", np.full(n, "loss", dtype=object), said, draws).assign(
        lead_id="", deal_id=asked["deal_id"]
    )


def _of_rejections(truth: Truth, leads: pd.DataFrame) -> pd.DataFrame:
    draws = Draws(truth["seed"], "rejections")
    # The reason of a lead that was accepted at first and recycled later is no rejection.
    back = leads["recycled_day"].fillna(leads["disqualified_day"])
    rows = leads[leads["rejection_reason"].ne("") & back.notna()]
    rows = rows[draws.yes(truth["notes"]["rejection_rate"], len(rows))].reset_index(drop=True)
    days = rows["recycled_day"].fillna(rows["disqualified_day"]).to_numpy()
    kind = np.full(len(rows), "rejection", dtype=object)
    notes = _notes(days, "sales", kind, rows["rejection_reason"].to_numpy(dtype=object), draws)
    return notes.assign(lead_id=rows["lead_id"], deal_id="")


def _feedback(truth: Truth) -> pd.DataFrame:
    draws, n = Draws(truth["seed"], "feedback"), truth["notes"]["n_feedback"]
    window = truth["window"]
    days = draws.whole(day_number(window["first_lead_on"]), day_number(window["extracted_on"]), n)
    topic = draws.pick(dict.fromkeys(FEEDBACK, 1.0), n)
    team = np.where(draws.yes(0.6, n), "sales", "marketing")
    return _notes(days, team, np.full(n, "feedback", dtype=object), topic, draws).assign(lead_id="", deal_id="")


def _notes(days: Floats, team: "str | Texts", kind: Texts, topic: Texts, draws: Draws) -> pd.DataFrame:
    place = draws.uniform(len(days))
    text = [_text(*case) for case in zip(kind, topic, place, strict=True)]
    return pd.DataFrame({"day": days, "from_team": team, "kind": kind, "topic": topic, "text": text})


def _text(kind: str, topic: str, place: float) -> str:
    choices = _WORDS[kind][topic]
    return choices[int(place * len(choices))]


def _with_hostile(truth: Truth, notes: pd.DataFrame) -> pd.DataFrame:
    places = Draws(truth["seed"], "hostile").some(len(notes), truth["blemishes"]["hostile_notes"])
    text = notes["text"].to_numpy(dtype=object).copy()
    text[places] = [HOSTILE[number % len(HOSTILE)] for number in range(len(places))]
    return notes.assign(text=text)
