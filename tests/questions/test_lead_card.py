"""The points card of leads: what the page says of it, which of card and score ranks, and the files for the CRM."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import duckdb
import numpy as np
import pandas as pd
import pytest
from closedloop import call_list, lead_card, score
from closedloop.errors import ParameterError
from closedloop.personas.persona_set import renewed
from closedloop.questions.leads.call_list import Waiting
from closedloop.questions.leads.lead_card import Learned, Lifts, _lifts
from closedloop.questions.leads.scores import prospects_of
from closedloop.statistics.scoring.accuracy import Interval
from closedloop.statistics.scoring.lift import lift
from closedloop.terms import RARE

from tests.questions.periods import by_size, everyone, planning

FILES = [f"{record}-{ending}" for record in ("deal", "lead") for ending in ("card.csv", "card.sql", "chance.csv")]


def test_what_a_team_chooses_gives_no_points(planned: SimpleNamespace) -> None:
    card = planned.card.fitted.card
    assert {"campaign", "experiment", "arm"} & set(planned.card.rows), "they are recorded"
    assert not {"campaign", "experiment", "arm", "rep_team", "status"} & set(card.fields)
    assert card.fields[0] == "persona" and {"channel", "role", "sites"} <= set(card.fields)


def test_every_row_of_the_card_is_a_claim_and_so_is_what_ranks(planned: SimpleNamespace) -> None:
    claims, card = planned.card.claims, planned.card.fitted.card
    points = claims[claims["measure"] == "card_points"].set_index(["field", "level"])
    rows = [row for row in card.rows if row.level != RARE and row.n >= 10]
    assert len(points) == len(rows) > 20
    for row in rows:
        claim = points.loc[(row.field, row.level)]
        assert tuple(claim[["estimate", "low", "high", "n"]]) == (row.points, row.low, row.high, row.n)
    chances = claims[claims["measure"] == "card_chance"]
    assert chances["level"].tolist() == [str(step) for step in range(0, 101, 10)]
    assert chances["estimate"].is_monotonic_increasing
    beside = claims["measure"] == "card_over_score_lift"
    assert set(claims.loc[beside, "family"]) == {"duel"} and set(claims.loc[~beside, "family"]) == {"none"}
    assert set(claims["kind"]) == {"predictive"}


def test_card_and_score_are_judged_on_the_same_later_rows(planned: SimpleNamespace) -> None:
    found, claims = planned.card.fitted, planned.card.claims
    gain = claims[claims["measure"] == "card_over_score_lift"].iloc[0]
    model, prospects = found.model, found.prospects
    days = prospects.learned_days
    asked = np.concatenate([part for _, part in model.splits])
    assert gain["n"] == len(asked) == len(model.held_out_y) == pytest.approx(0.4 * len(days), abs=1)
    assert asked.tolist() == list(range(len(days) - len(asked), len(days))), "the last two fifths"
    assert all(seen.max() < part.min() for seen, part in model.splits), "each card knows what came before"
    block = planned.now.situation.names_of(days).to_numpy()[asked]
    by_score = lift(model.held_out_y, model.held_out_ranking, block)
    assert by_score > 0.02 and abs(gain["estimate"]) < by_score
    assert gain["low"] < gain["estimate"] < gain["high"]
    assert found.order == ("card" if gain["low"] >= -0.0295 else "score")


def test_the_sentence_says_what_ranks_and_why(planned: SimpleNamespace) -> None:
    text = repr(planned.card.sentence).replace("\N{NO-BREAK SPACE}", " ").replace("−", "-")
    gain = planned.card.claims.query("measure == 'card_over_score_lift'").iloc[0]
    found, low, high = (f"{100 * gain[name]:+.1f}" for name in ("estimate", "low", "high"))
    assert text.startswith(
        f"Lift of the third ranked first, card less score: {found} points (90 % interval {low} to {high} points, "
        f"n = {gain['n']:,}, {gain['first_period']} to {gain['last_period']}). "
    )
    assert ("so it orders" in text) == (planned.card.fitted.order == "card")
    shown = repr(planned.card.figure("How many points does a lead get?"))
    assert "channel: partner" in shown and "90 % range" in shown and "chance" in shown


@pytest.mark.parametrize(
    ("ends", "order", "said"),
    [
        (
            (-0.01, -0.0294, 0.01),
            "card",
            "The interval leaves out a loss of 3 points or more, so the card orders the list to call.",
        ),
        (
            (0.01, -0.0296, 0.05),
            "score",
            "Too much may be lost by the card: the score orders the list to call, and the card explains it.",
        ),
        ((np.nan,) * 3, "score", "No card could be judged on later records, so the score orders the list to call."),
    ],
)
def test_the_card_ranks_where_it_costs_less_than_three_points(
    ends: tuple[float, float, float], order: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranks = Interval(0.08, 0.04, 0.12)
    found = Lifts(Interval(*ends), ranks, ranks)
    monkeypatch.setattr("closedloop.questions.leads.lead_card._lifts", lambda *_: found)
    now = planning("harbor", "2024-q3", everyone(), None)
    card = lead_card(score(now.prospects(), learner="logistic"))
    assert card.fitted.order == card.results["call_order"] == order
    assert repr(card.sentence).replace("\N{NO-BREAK SPACE}", " ").endswith(said)


@pytest.mark.parametrize(
    ("high", "verdict", "order", "said"),
    [
        (0.005, "no usable signal", "promise", "Neither ranks well enough: {lot}. The list to call goes newest first."),
        (0.06, "no usable signal", "card", " That either ranks better than a draw would is not shown: {lot}."),
        (0.005, "usable", "card", " That either ranks better than a draw would is not shown: {lot}."),
    ],
)
def test_what_ranks_no_better_than_a_draw_orders_no_list(
    high: float, verdict: str, order: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = Interval(0.0, -0.02, high)
    monkeypatch.setattr("closedloop.questions.leads.lead_card._lifts", lambda *_: Lifts(*[nothing] * 3))
    now = planning("harbor", "2024-q3", everyone(), None)
    scored = score(now.prospects(), learner="logistic")
    scored.fitted.model = replace(scored.fitted.model, verdict=verdict)
    card = lead_card(scored)
    assert card.fitted.order == card.results["call_order"] == order
    gained = f"+0.0 points (-2.0 to {100 * high:+.1f} points)"
    lot = f"over a draw by lot the card gains {gained} and the score {gained}"
    assert repr(card.sentence).replace("\N{NO-BREAK SPACE}", " ").replace("−", "-").endswith(said.format(lot=lot))
    if order == "promise":
        waiting = Waiting(now.situation, card.fitted, now.personas).ranked
        assert waiting["created_on"].is_monotonic_decreasing, "there is one persona, so the newest come first"


def test_rows_are_ranked_beside_those_that_the_same_model_predicted() -> None:
    """In half of a period everything is won, and the later model knows it: that is no order of its rows."""
    now = planning("harbor", "2025-q2", everyone(), None)
    learned = Learned.of(now, prospects_of(now.situation, now.prospects(), "leads"))
    learned.rows["is_won"] = np.arange(len(learned.rows)) % 2 == 0
    n = len(learned.rows)
    parts = [np.arange(n - 200, n - 100), np.arange(n - 100, n)]
    periods = learned.periods.copy()
    periods.iloc[-200:] = "one period"
    y = np.repeat([0, 1], 100)
    splits = tuple((np.arange(n - 200), part) for part in parts)
    model = SimpleNamespace(splits=splits, held_out_y=y, held_out_ranking=y.astype(float))
    found = _lifts(now, replace(learned, periods=periods), model)  # type: ignore[arg-type]
    assert found.score.estimate == pytest.approx(0), "the score tells the halves apart, and nothing else"


def test_the_files_for_the_crm_give_every_record_its_points(tmp_path: Path) -> None:
    now = planning("harbor", "2025-q2", by_size(), tmp_path)
    now.personas = renewed(now.personas, now.situation)
    card = lead_card(score(now.prospects(), learner="logistic"))
    calls = call_list(card)
    now.close(calls)
    assert sorted(path.name for path in now.folder.glob("*-c[ah]*.*") if "call" not in path.name) == FILES
    table = pd.read_csv(now.folder / "lead-card.csv")
    assert list(table) == ["field", "level", "points", "low", "high", "n", "signal"]
    assert (table.groupby("field")["level"].last() == "all other levels").all()
    chance = pd.read_csv(now.folder / "lead-chance.csv")
    assert chance["points"].tolist() == list(range(101)) and chance["chance"].is_monotonic_increasing
    own = {"leads": card.rows, "deals": now.situation.deals}
    with duckdb.connect() as connection:
        for name, rows in own.items():
            connection.register(name, rows)
        told = connection.sql((now.folder / "lead-card.sql").read_text()).df().set_index("lead_id")["points"]
        deals = connection.sql((now.folder / "deal-card.sql").read_text()).df()
    listed = calls.tables["next_leads"].set_index("record_id")["points"]
    assert told[listed.index].tolist() == listed.tolist()
    assert len(deals) == len(own["deals"]) and deals["points"].between(0, 100).all()


def test_cards_that_are_no_more_are_taken_back(tmp_path: Path) -> None:
    now = planning("harbor", "2025-q2", replace(everyone(), card=None), tmp_path)
    now.folder.mkdir(parents=True)
    for name in FILES:
        (now.folder / name).write_text("of yesterday")
    few = now.prospects().head(150)
    card = lead_card(score(few, learner="logistic"))
    assert card.missing == {"lead_card": card.fitted.scored.missing["quality"]} and card.fitted.card is None
    now.close(call_list(card))
    assert not [name for name in FILES if (now.folder / name).exists()]


def test_the_wrong_answer_is_refused_with_the_right_one(planned: SimpleNamespace) -> None:
    with pytest.raises(ParameterError, match=r"lead_card takes the answer of score: lead_card\(score\(prospects\)\)"):
        lead_card(planned.funnel)
    with pytest.raises(ParameterError, match=r"call_list\(lead_card\(score\(prospects\)\)\)"):
        call_list(planned.score)
