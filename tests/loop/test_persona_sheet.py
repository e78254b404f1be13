"""The rest of the sheet: splits held against the deals since, leads counted as far as they came, promises."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from closedloop.evidence.rules import Among, Branch, Rule
from closedloop.loop import persona_sheet
from closedloop.loop.changelog import SPLIT, Change
from closedloop.loop.lineage import Lineage
from closedloop.loop.persona import Persona, PersonaSet
from closedloop.loop.records import Sample
from closedloop.loop.step import Draft

ENTRY = Change("2", SPLIT, "yard", "yard-large", "size", "large", estimate=0.7, baseline=0.5, last_period="1")
RULE = Rule((Branch((Among("size", ("large",)),), "yard-large", 1, 1.0),), "yard", ("size",))
IN_FORCE = PersonaSet(
    "m", "3", "refined", RULE,
    (Persona("yard", "Yard", win_rate=0.5, low=0.4, high=0.6, n=50, is_assumed=False),
     Persona("yard-large", "Large", win_rate=0.7, low=0.5, high=0.8, n=5)),
    fields=("size",), changelog=(ENTRY,),
)  # fmt: skip


def deals(period: str, n: int, large: float, others: float) -> pd.DataFrame:
    sizes, rates = np.repeat(["large", "small"], n), np.repeat([large, others], n)
    return pd.DataFrame({"size": sizes, "closed_on": period, "is_won": np.tile(np.arange(n), 2) < rates * n})


class _Situation:
    """A market in its third period, as far as the sheet looks at it."""

    is_dated = True
    definition = SimpleNamespace(has_calendar=True)
    period = SimpleNamespace(name="3", end=pd.Timestamp(2025, 7, 1))
    view = SimpleNamespace(has=lambda table: table != "respondents")
    closed_deals = pd.DataFrame({"closed_on": ["1"]})

    def fields(self, table: str) -> list[str]:
        return ["size", "channel", "campaign"]

    def rng(self, step: str) -> np.random.Generator:
        return np.random.default_rng(5)

    def names_of(self, days: pd.Series) -> pd.Series:
        return days

    def span(self, days: pd.Series) -> tuple[str, str]:
        return "1", "2"


def stated(monkeypatch: pytest.MonkeyPatch, closed: pd.DataFrame, leads: pd.DataFrame) -> Draft:
    monkeypatch.setattr(persona_sheet, "decided", lambda situation: closed)
    monkeypatch.setattr(persona_sheet, "lead_frame", lambda situation: leads)
    monkeypatch.setattr(persona_sheet, "lead_window", lambda situation, frame: frame)
    situation: Any = _Situation()
    draft = Draft("personas")
    lineage = Lineage(situation, Sample("none", pd.DataFrame(), [], []), None, IN_FORCE)
    persona_sheet.sheet(draft, lineage, None)
    return draft


def leads_of(n: int) -> pd.DataFrame:
    """Of every ten leads eight are small; half are decided on, of which one in five was refused; one in ten is won."""
    i = np.arange(n)
    frame = pd.DataFrame(
        {
            "size": np.where(i % 10 < 8, "small", "large"),
            "handed_off_on": pd.NaT,
            "created_on": pd.Timestamp(2025, 1, 1),
        }
    )
    accepted = pd.Series(i % 5 != 4).where(pd.Series(i % 2 == 0)).astype("boolean")
    won = pd.Series(i % 10 == 0).where(pd.Series(i % 4 == 0) | (i % 10 == 0)).astype("boolean")
    return frame.assign(is_accepted=accepted, is_won=won, is_followed=True)


def test_a_split_that_the_later_deals_contradict_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = pd.concat([deals("1", 100, 0.8, 0.3), deals("2", 20, 0.3, 0.5)], ignore_index=True)
    told = stated(monkeypatch, closed, leads_of(100)).done().statements.set_index("measure")
    assert told.loc["split_kept_share", "estimate"] > 0.95
    assert told.loc["split_kept_since_share", "estimate"] < 0.2
    assert told.loc["split_kept_since_share", ["level", "n"]].tolist() == ["yard-large", 40]


def test_too_few_deals_since_a_split_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = pd.concat([deals("1", 100, 0.8, 0.3), deals("2", 9, 0.3, 0.5)], ignore_index=True)
    measures = set(stated(monkeypatch, closed, leads_of(100)).done().statements["measure"])
    assert "split_kept_share" in measures
    assert "split_kept_since_share" not in measures


def test_leads_count_as_far_as_they_came(monkeypatch: pytest.MonkeyPatch) -> None:
    leads = leads_of(100)
    told = stated(monkeypatch, deals("1", 10, 0.5, 0.5), leads).done().statements
    mine = told[told["level"] == "yard"].set_index("measure")
    small = leads[leads["size"] == "small"]
    assert mine.loc["n_leads", "estimate"] == 80
    assert mine.loc["lead_accepted_rate", "n"] == small["is_accepted"].notna().sum()
    assert mine.loc["lead_won_rate", "estimate"] == pytest.approx(10 / 80)
    assert mine.loc["lead_open_rate", "estimate"] == pytest.approx(small["is_won"].isna().mean())


def test_few_leads_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    draft = stated(monkeypatch, deals("1", 10, 0.5, 0.5), leads_of(9))
    assert draft.missing["funnel"].startswith("9 leads were known, fewer than 10.")


def test_only_measured_promises_are_stated_and_channels_are_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    draft = stated(monkeypatch, deals("1", 10, 0.5, 0.5), leads_of(100))
    told = draft.done().statements
    assert told.loc[told["measure"] == "promised_win_rate", "level"].tolist() == ["yard"]
    assert draft.tables["whom"]["field"].tolist() == ["size"]
    assert draft.tables["set"]["sql"].item().startswith("CASE WHEN")
    assert draft.missing["stability"].startswith("Research finds no segments that could be trusted now")
