"""Leaks of whole markets: the four at hand, and small ones with columns that were planted."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closedloop import leaks, score, win_rates
from closedloop.market.warehouse import Warehouse, open_warehouse
from closedloop.period.lead_records import lead_frame
from closedloop.period.leaks import ALARM, NOT_DECLARED, REMARK, known_leaks, market_leaks, told
from closedloop.period.situation import Situation
from closedloop.personas.persona_set import PersonaSet
from closedloop.personas.research import sample_of
from closedloop.questions.leads.scores import prospects_of
from closedloop.statistics.rules import Rule
from closedloop.statistics.scoring.leaks import FILL_TELLS, FILLED_AFTER, TELLS_TOGETHER, TELLS_TOO_WELL
from closedloop.workbench.period import OpenPeriod

from tests.market.conftest import project_at, write_market

FIELDS = """
[fields.deals]
creation = ["size", "result", "invoice_id", "n_talks"]
stage = ["answer"]
"""
LATE = """
[fields.deals]
creation = ["size", "n_talks"]
close = ["result", "invoice_id", "answer"]
"""


def deals(n: int = 500) -> pd.DataFrame:
    """Deals of five months, every fifth still open; ``size`` and ``n_talks`` are honest."""
    rng = np.random.default_rng(5)
    created = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(n) * 150 // n, unit="D")
    is_open = np.arange(n) % 5 == 0
    won = rng.random(n) < 0.4
    outcome = np.where(is_open, "open", np.where(won, "won", "lost"))
    decided = pd.Series(created).where(~is_open) + pd.Timedelta(days=20)
    return pd.DataFrame(
        {
            "deal_id": [f"D{i:03d}" for i in range(n)],
            "created_on": created.strftime("%Y-%m-%d"),
            "closed_on": decided.dt.strftime("%Y-%m-%d"),
            "outcome": outcome,
            "size": np.where(rng.random(n) < 0.35 + 0.25 * won, "large", "small"),
            "n_talks": rng.poisson(3 + won),
            "result": np.where(is_open, "pending", np.where(won, "signed", "gone")),
            "invoice_id": [f"I{i}" if value == "won" else "" for i, value in enumerate(outcome)],
            "answer": np.where(is_open, "", np.where(rng.random(n) < 0.5, "yes", "no")),
            "remark_code": np.where(outcome == "won", "A", "B"),
        }
    )


def select(frame: pd.DataFrame) -> str:
    cells = {name: f"nullif({name}, '') as {name}" for name in frame} | {
        "n_talks": "n_talks::bigint as n_talks",
        "created_on": "created_on::date as created_on",
        "closed_on": "nullif(closed_on, '')::date as closed_on",
    }
    return f"select row_no, {', '.join(cells[name] for name in frame)} from raw.deals"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    with project_at(tmp_path) as place:
        yield place


def planted(root: Path, more: str) -> Warehouse:
    frame = deals()
    write_market(root, {"deals": frame.to_csv(index=False)}, {"deals": select(frame)}, more)
    return open_warehouse("tiny")


def found(leaks: pd.DataFrame) -> dict[str, tuple[str, str, str]]:
    named = leaks[leaks["finding"] != ""]
    return {row["column"]: (row["known"], row["finding"], row["why"]) for row in named.to_dict("records")}


def test_planted_leaks_are_alarms_until_they_are_declared_at_the_close(root: Path) -> None:
    assert found(market_leaks(planted(root, FIELDS))) == {
        "result": ("creation", ALARM, TELLS_TOO_WELL),
        "invoice_id": ("creation", ALARM, FILL_TELLS),
        "answer": ("stage", ALARM, FILLED_AFTER),
        "remark_code": (NOT_DECLARED, REMARK, TELLS_TOO_WELL),
    }
    late = found(market_leaks(planted(root, LATE)))
    assert {name: told[:2] for name, told in late.items()} == {
        **dict.fromkeys(("result", "invoice_id", "answer"), ("close", REMARK)),
        "remark_code": (NOT_DECLARED, REMARK),
    }


def test_an_alarm_says_what_to_change_and_where(root: Path) -> None:
    leaks = market_leaks(planted(root, FIELDS)).set_index("column")
    advice = leaks.loc["result", "advice"]
    assert "Move it to close in [fields.deals] of market.toml" in advice
    assert 'deals = ["result"] in [checked]' in advice
    assert (leaks["table"] == "deals").all()
    assert leaks.loc["invoice_id", "won_filled_share"] == 1.0
    assert leaks.loc["invoice_id", "lost_filled_share"] == leaks.loc["invoice_id", "open_filled_share"] == 0.0


def test_what_people_vouch_for_is_a_remark_and_stays_in_the_score(root: Path) -> None:
    warehouse = planted(root, FIELDS + '\n[checked]\ndeals = ["result"]\n')
    assert found(market_leaks(warehouse))["result"] == ("creation", REMARK, TELLS_TOO_WELL)
    assert "result" not in scored(warehouse).step.results["kept_out"]


def scored(warehouse: Warehouse) -> OpenPeriod:
    """The period's plan after leaks and score were asked for."""
    situation = Situation.planning(warehouse, warehouse.periods[-1])
    now = OpenPeriod("03_leads", situation, None)
    now.personas = PersonaSet(
        warehouse.definition.name, situation.period.name, "research", Rule((), "everyone", ()), ()
    )
    with beside(now):
        leaks(now.prospects())
        score(now.prospects())
    return now


@contextmanager
def beside(now: OpenPeriod) -> Iterator[None]:
    """Verbs belong to this period within the block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("closedloop.workbench.period._opened", [now])
        yield


def test_an_alarm_is_kept_out_of_the_score_and_stated(root: Path) -> None:
    now = scored(planted(root, FIELDS))
    found = now.step
    assert set(found.results["kept_out"]) == {"result", "invoice_id"}
    assert found.results["auc_within"] < 0.75
    stated = pd.concat([answer.stated for answer in now.answers.values()])
    stated = stated.set_index(["measure", "field"])["estimate"]
    assert stated["column_auc", "result"] > 0.99
    assert stated["won_filled_rate", "invoice_id"] == 1.0
    assert ("won_filled_rate", "size") not in stated
    table = found.tables["leaks"].set_index("column")
    assert table.loc["size", "finding"] == ""
    assert "estimate" not in table


def test_the_score_of_a_period_judges_only_what_was_known_then(root: Path) -> None:
    """What is recorded from the planning day on changes nothing."""
    warehouse = planted(root, FIELDS)
    first = warehouse.periods[1]
    before = known_leaks(*_planning(warehouse, first))
    frame = deals()
    later = frame["closed_on"].fillna("2024-12-31") >= str(first.start)
    frame.loc[later, "result"] = "pending"
    frame.loc[later, ["outcome", "closed_on"]] = ["open", None]
    write_market(root, {"deals": frame.to_csv(index=False)}, {"deals": select(frame)}, FIELDS)
    again = known_leaks(*_planning(open_warehouse("tiny"), first))
    known = before["column"].isin(["size", "n_talks"])
    pd.testing.assert_frame_equal(before[known], again[again["column"].isin(["size", "n_talks"])])


def _planning(warehouse: Warehouse, period: object) -> tuple[Situation, str, pd.DataFrame]:
    situation = Situation.planning(warehouse, period)
    return situation, "deals", situation.deals


def test_a_market_without_outcomes_or_fields_has_no_leaks(root: Path) -> None:
    text = "deal_id,created_on,closed_on,outcome\nD1,2024-01-02,2024-02-01,won\nD2,2024-01-03,,open\n"
    write_market(root, {"deals": text})
    leaks = market_leaks(open_warehouse("tiny"))
    assert told(leaks) == [
        "cannot tell: only won deals are recorded, so nobody can say which columns know the outcome. "
        "Collect the outcomes of at least 20 won and 20 lost records."
    ]
    assert scored(open_warehouse("tiny")).step.missing["leaks"] == (
        "Whether a column knows the answer cannot be told: only won deals are recorded. "
        "Collect the outcomes of at least 20 won and 20 lost records."
    )


def stored(root: Path, frame: pd.DataFrame, fields: str) -> Warehouse:
    """The deals with more columns of their own."""
    write_market(root, {"deals": frame.to_csv(index=False)}, {"deals": select(frame)}, f"[fields.deals]\n{fields}")
    return open_warehouse("tiny")


def test_columns_that_leak_together_are_named_and_no_comparison_segment_or_score_reads_them(root: Path) -> None:
    """Each filled while selling, yes for 78 % of won and 22 % of lost: AUC .78 alone, .93 together."""
    rng, frame = np.random.default_rng(6), deals(1000).drop(columns=["result", "invoice_id", "answer", "remark_code"])
    late = [f"late_{i}" for i in range(3)]
    for name in late:
        frame[name] = np.where(rng.random(1000) < np.where(frame["outcome"] == "won", 0.78, 0.22), "yes", "no")
    warehouse = stored(root, frame, f"creation = {['size', 'n_talks', *late]}")
    leaks = market_leaks(warehouse)
    assert found(leaks) == dict.fromkeys(late, ("creation", ALARM, TELLS_TOGETHER))
    assert leaks["auc_within_low"].max() < 0.8
    assert leaks["auc_together"].max() > 0.9
    line = told(leaks)[0]
    assert line.startswith(f"alarm: deals.{leaks['column'][0]} tells the outcome too well together with others (AUC al")
    situation = Situation.looking_back(warehouse, warehouse.periods[-1])
    assert situation.fields("deals") == situation.deal_fields() == ["size", "n_talks"]
    assert sample_of(situation).items == ["size", "n_talks"]
    assert prospects_of(situation, situation.deals, "deals").fields == ["size", "n_talks"]


def test_sellers_recorded_only_at_the_win_are_compared_with_nobody(root: Path) -> None:
    rng, frame = (
        np.random.default_rng(7),
        deals(1000)[["deal_id", "created_on", "closed_on", "outcome", "size", "n_talks"]],
    )
    is_filled = rng.random(1000) < np.where(frame["outcome"] == "won", 0.97, 0.09)
    frame["rep_id"] = np.where(is_filled, rng.choice(["r1", "r2"], 1000), "")
    frame["rep_team"] = np.where(is_filled, "north", "")
    warehouse = stored(root, frame, 'creation = ["size", "n_talks"]')
    assert found(market_leaks(warehouse)) == dict.fromkeys(("rep_id", "rep_team"), ("stage", ALARM, FILL_TELLS))
    now = OpenPeriod("05_deals", Situation.looking_back(warehouse, warehouse.periods[-1]), None)
    now.personas = PersonaSet("tiny", now.period.name, "research", Rule((), "everyone", ()), ())
    assert now.fields("deals", "stage") == ["size", "n_talks"]
    with beside(now):
        rates, team = win_rates(now.deals(), by=now.fields("deals", "stage")), win_rates(now.deals(), by="rep_id")
    assert set(rates.compared["field"]) == {"size", "n_talks"}
    assert team.compared.empty
    assert team.missing["reps"].startswith("Sellers cannot be compared: who sold looks like a leak")


def test_a_level_that_no_won_deal_has_is_named_beside_the_leaks(root: Path) -> None:
    frame = deals()[["deal_id", "created_on", "closed_on", "outcome", "size", "n_talks"]]
    is_left = (frame["outcome"] == "lost") & (np.arange(500) % 3 == 0)
    frame["last_stage"] = np.where(is_left, "Proposal", "Negotiation")
    leaks = market_leaks(stored(root, frame, 'creation = ["size", "n_talks", "last_stage"]'))
    why = f"has a level that no won record has: 'Proposal' (0 of {is_left.sum()} won)"
    assert found(leaks) == {"last_stage": ("creation", REMARK, why)}
    assert "If it is set once the outcome is known, move it to close" in leaks["advice"][0]
    checked = 'creation = ["size", "n_talks", "last_stage"]\n[checked]\ndeals = ["last_stage"]'
    assert market_leaks(stored(root, frame, checked)).empty


def test_a_market_of_accounts_alone_has_no_leaks(root: Path) -> None:
    write_market(
        root, {"accounts": "account_id,size\nA1,large\n"}, more='[fields.accounts]\nresearch = ["size"]', deals=""
    )
    assert market_leaks(open_warehouse("tiny")).empty


# the markets at hand


def test_harbor_has_honest_columns_only() -> None:
    assert found(market_leaks(open_warehouse("harbor"))) == {}


@pytest.mark.real
@pytest.mark.parametrize(
    ("market", "leaks"),
    [("bank", {"call_seconds": ("close", REMARK, TELLS_TOO_WELL)}), ("b2b", {}), ("maven", {})],
)
def test_the_real_markets_leaks_are_named_and_no_honest_column_is(
    market: str, leaks: dict[str, tuple[str, str, str]]
) -> None:
    assert found(market_leaks(open_warehouse(market))) == leaks


@pytest.mark.real
def test_the_length_of_a_call_is_named_when_a_period_is_planned() -> None:
    warehouse = open_warehouse("bank")
    situation = Situation.planning(warehouse, warehouse.periods[0])
    leaks = known_leaks(situation, "leads", lead_frame(situation))
    assert found(leaks) == {"call_seconds": ("close", REMARK, TELLS_TOO_WELL)}
    assert leaks["column"].iloc[0] == "call_seconds"


@pytest.mark.real
@pytest.mark.parametrize("market", ["b2b", "maven"])
def test_no_period_of_a_real_market_raises_an_alarm(market: str) -> None:
    warehouse = open_warehouse(market)
    for period in warehouse.periods:
        situation = Situation.planning(warehouse, period)
        assert found(known_leaks(situation, "deals", situation.deals)) == {}


@pytest.mark.real
def test_a_call_declared_too_early_is_an_alarm_and_no_score_reads_it(tmp_path: Path) -> None:
    warehouse = open_warehouse("bank")
    shutil.copytree(warehouse.folder, tmp_path / "bank", ignore=shutil.ignore_patterns("seen"))  # its views are others
    early = {"creation": ("call_seconds", "age"), "handoff": ("n_calls",)}
    definition = warehouse.definition.model_copy(update={"fields": {"leads": early}})
    careless = Warehouse(definition, tmp_path / "bank")
    situation = Situation.planning(careless, careless.periods[0])
    frame = lead_frame(situation)
    assert found(known_leaks(situation, "leads", frame)) == {"call_seconds": ("creation", ALARM, TELLS_TOO_WELL)}
    found_then = scored(careless).step.results
    assert found_then["kept_out"] == ["call_seconds"]
    assert found_then["auc_within"] < 0.7
