"""The points card: what its points mean, and that a database counts them as we do."""

from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from closedloop.market.warehouse import open_warehouse
from closedloop.period.situation import Situation
from closedloop.personas.persona_set import Persona, PersonaSet, points_of, read_set, renewed, write_set
from closedloop.personas.points_card import PointsCard, cases_by_level, points_card
from closedloop.questions.leads.lead_card import Learned, select
from closedloop.questions.leads.scores import prospects_of
from closedloop.statistics.level_effects import MISSING
from closedloop.statistics.rules import Among, Between, Branch, Rule
from closedloop.terms import RARE

from tests.questions.periods import by_size, everyone, planning

RULE = Rule((Branch((Between("seats", above=20.0),), "it's large", 100, 1.0),), "small", ("seats",))
ODD = ["o'hara", 'say "hi"', "true", "1.0", "missing", "é, 漢字", "a;--b", " web "]


def deals(n: int = 3000, effect: float = 1.2, seed: int = 4) -> pd.DataFrame:
    """Deals with texts, odd ones among them, a truth value, a number in bands, a few whole numbers, and gaps."""
    rng = np.random.default_rng(seed)
    channel = rng.choice(["partner", "web", "fair", *ODD], n, p=[0.3, 0.3, 0.16, *[0.03] * 8])
    frame = pd.DataFrame(
        {
            "channel": pd.Series(channel, dtype="str"),
            "is_known": pd.Series(rng.random(n) < 0.4, dtype="boolean"),
            "seats": rng.gamma(2.0, 15.0, n).round(2),
            "sites": rng.integers(1, 5, n).astype(float),
            "rare name": pd.Series(np.where(rng.random(n) < 0.002, "seldom", "usual"), dtype="str"),
        }
    )
    chance = 1 / (1 + np.exp(1 - effect * (frame["channel"] == "partner") - effect * (frame["seats"] > 40)))
    for name in ("channel", "is_known", "seats", "sites"):
        frame.loc[rng.random(n) < 0.08, name] = None
    return frame.assign(is_won=rng.random(n) < chance)


def card_of(rows: pd.DataFrame, rule: Rule = RULE) -> PointsCard:
    """The card of these deals, in ten periods."""
    periods = pd.Series([f"p{10 * i // len(rows)}" for i in range(len(rows))], rows.index)
    fields = [name for name in rows if name != "is_won"]
    found = points_card(*cases_by_level(rows, fields, {}, periods, rule.assign(rows)))
    assert found is not None
    return found


def test_chances_are_at_the_level_of_whole_periods_whatever_their_last_days_are_like() -> None:
    """Of each period's 600 deals the 250 that close last are won more often, as at a quarter's end."""
    rows = deals(6000)
    late = np.arange(len(rows)) % 600 >= 350
    rows = rows.assign(is_won=np.where(late, np.random.default_rng(1).random(len(rows)) < 0.9, rows["is_won"]))
    card, last = card_of(rows), rows.tail(600)
    chance = card.chance(card.total(card.levels_of(last, RULE.assign(last))))
    assert chance.mean() == pytest.approx(last["is_won"].mean(), abs=0.005)
    assert rows.tail(400)["is_won"].mean() > last["is_won"].mean() + 0.05


@pytest.fixture(scope="module")
def card() -> PointsCard:
    return card_of(deals())


def points(card: PointsCard, rows: pd.DataFrame, rule: Rule = RULE) -> list[int]:
    """As we count them."""
    return card.total(card.levels_of(rows, rule.assign(rows))).astype(int).tolist()


def counted(card: PointsCard, rows: pd.DataFrame, rule: Rule = RULE, record: str = "deal") -> list[int]:
    """As DuckDB counts them, from the raw fields."""
    keyed = rows.drop(columns=f"{record}_id", errors="ignore").assign(**{f"{record}_id": np.arange(len(rows))})
    with duckdb.connect() as connection:
        connection.register(f"{record}s", keyed)
        told = connection.sql(select(card, rule, record, list(rows.columns))).df()
    return told.set_index(f"{record}_id")["points"].reindex(range(len(rows))).astype(int).tolist()


def test_points_are_whole_and_the_least_level_of_each_field_gives_none(card: PointsCard) -> None:
    assert card.fields == ["persona", "channel", "is_known", "seats", "sites", "rare name"]
    for name in card.fields:
        own = [row.points for row in card.rows if row.field == name]
        assert min(own) == 0 and all(isinstance(found, int) for found in own)
    total = points(card, deals())
    assert min(total) >= 0 and max(total) <= 100
    best = sum(max(row.points for row in card.rows if row.field == name) for name in card.fields)
    assert abs(best - 100) <= len(card.fields) / 2, "the best of all levels are the whole, but for rounding"
    for row in card.rows:
        assert row.low <= row.points + 0.5 and row.points - 0.5 <= row.high


def test_what_wins_gets_most_points_and_more_points_mean_a_better_chance(card: PointsCard) -> None:
    channel = {row.level: row.points for row in card.rows if row.field == "channel"}
    assert max(channel, key=lambda level: channel[level]) == "partner"
    seats = {row.level: row.points for row in card.rows if row.field == "seats"}
    assert max(seats, key=lambda level: seats[level]).startswith("over ")
    chance = card.chance(np.arange(101.0))
    assert (np.diff(chance) > 0).all() and chance[0] > 0 and chance[-1] < 1
    late = deals()
    gap = card.chance(np.array(points(card, late), dtype=float))[-600:].mean() - late["is_won"][-600:].mean()
    assert abs(gap) < 0.01, "the chances are level with the deals of the last two periods"


def test_a_gap_is_a_level_and_what_is_unknown_counts_as_the_others(card: PointsCard) -> None:
    assert {row.field for row in card.rows if row.level == MISSING} == {"channel", "is_known", "seats", "sites"}
    rows = deals().head(4).assign(channel=["never seen", None, "partner", "web"])
    given = card.given(card.levels_of(rows, RULE.assign(rows)))["channel"].tolist()
    channel = {row.level: row.points for row in card.rows if row.field == "channel"}
    middle = round(sum(channel.values()) / len(channel))
    assert given == [middle, channel[MISSING], channel["partner"], channel["web"]]
    seldom = {row.level: row.points for row in card.rows if row.field == "rare name"}
    assert set(seldom) == {"usual", RARE} and card.rest("rare name") == seldom[RARE]
    without = card.given(card.levels_of(rows.drop(columns="channel"), RULE.assign(rows)))["channel"]
    assert without.tolist() == [channel[MISSING]] * 4, "a field that is not there is missing"


def test_where_nothing_moves_the_chance_points_are_small() -> None:
    card = card_of(deals(effect=0.0))
    assert max(row.points for row in card.rows) <= 25
    total = points(card, deals(effect=0.0))
    assert np.ptp(card.chance(np.array([min(total), max(total)], dtype=float))) < 0.25
    assert np.std(total) < 8


def test_only_levels_that_stand_apart_are_told(card: PointsCard) -> None:
    rows = deals()
    texts = card.levels_of(rows, RULE.assign(rows))
    moves = card.moves(texts)
    by_level = {(row.field, row.level): row for row in card.rows}
    told = {(field, level, gap) for row in moves for field, level, gap in row}
    assert ("channel", "partner") in {move[:2] for move in told}
    for field, level, gap in told:
        own = [row for row in card.rows if row.field == field]
        usual = round(sum(row.points * row.n for row in own) / sum(row.n for row in own))
        row = by_level[field, level]
        assert gap == row.points - usual and (row.low > usual or row.high < usual)
        assert field != "persona" and level != RARE
    assert all(row == sorted(row, key=lambda move: -move[2]) for row in moves)


def test_a_database_counts_the_same_points_from_the_raw_fields(card: PointsCard) -> None:
    rows = deals(seed=9)
    assert counted(card, rows) == points(card, rows)
    assert len(set(points(card, rows))) > 20


def test_edges_of_bands_odd_texts_and_lacking_columns_count_the_same(card: PointsCard) -> None:
    ends = list(card.edges["seats"])
    seats = [*ends, *(np.nextafter(ends, np.inf)), None, 0.0, -1.0, 1e9]
    texts = [*ODD, None, "never seen", "'; drop table deals; --", "", "\n", "YES", "0x1"]
    rows = pd.DataFrame([(seat, text) for seat in seats for text in texts], columns=["seats", "channel"])
    rows = rows.assign(channel=rows["channel"].astype("str"), seats=rows["seats"].astype(float))
    assert counted(card, rows) == points(card, rows.assign(is_known=None, sites=None))
    query = select(card, RULE, "deal", list(rows.columns))
    assert 'NULL AS "is_known", NULL AS "sites", NULL AS "rare name"' in query
    quoting = replace(
        card, rows=tuple(replace(row, field=row.field.replace("rare name", 'a "b" c')) for row in card.rows)
    )
    named = deals(300).rename(columns={"rare name": 'a "b" c'})
    assert counted(quoting, named) == points(quoting, named)


def test_yes_and_no_are_true_and_false_and_whole_numbers_have_no_decimals(card: PointsCard) -> None:
    known = {row.level: row.points for row in card.rows if row.field == "is_known"}
    assert set(known) == {"yes", "no", MISSING}
    rows = pd.DataFrame({"is_known": ["true", "yes", "false", "no", None]})
    gaps = rows.assign(seats=np.nan, channel=None, sites=None).rename(columns=str)
    base = counted(card, gaps)
    assert base[0] == base[1] and base[2] == base[3]
    assert base[0] - base[2] == known["yes"] - known["no"] and base == points(card, gaps)
    whole = gaps.head(3).assign(sites=[2, 3, 4])
    assert (
        counted(card, whole) == points(card, whole) == counted(card, whole.assign(sites=whole["sites"].astype(float)))
    )


def test_a_card_comes_back_from_its_file(card: PointsCard, tmp_path: Path) -> None:
    told = PersonaSet("harbor", "2025-q1", "research", RULE, (Persona("small"), Persona("it's large")), card=card)
    write_set(tmp_path / "personas.yml", told)
    read = read_set(tmp_path / "personas.yml")
    assert read.card is not None and read.card.rows == card.rows and read.card.edges == card.edges
    rows = deals(500)
    found, before = points_of(read, rows), points_of(told, rows)
    assert found is not None and before is not None and found.equals(before)
    assert read.card.to_sql(RULE) == card.to_sql(RULE)


def test_fewer_than_a_hundred_deals_or_one_outcome_give_no_card() -> None:
    few, won = deals(99), deals(300).assign(is_won=True)
    for rows in (few, won):
        periods = pd.Series("p1", rows.index)
        assert points_card(*cases_by_level(rows, ["channel"], {}, periods, RULE.assign(rows))) is None


def same_everywhere(market: str, period: str, personas: PersonaSet) -> tuple[int, int]:
    """How many deals and leads of a period's plan a database gives the points that we give."""
    now = planning(market, period, personas, None)
    now.personas = renewed(personas, now.situation)
    rule, n_deals, n_leads = personas.rule, 0, 0
    if now.personas.card is not None:
        rows = Situation.latest(now.situation.warehouse).deals
        own = points_of(now.personas, rows)
        assert own is not None and counted(now.personas.card, rows, rule) == own.astype(int).tolist()
        n_deals = len(rows)
    if now.situation.view.has("leads"):
        rows, _ = now.rows(now.prospects(), "leads")
        learned = Learned.of(now, prospects_of(now.situation, rows, "leads"))
        card = learned.card(np.arange(len(learned.rows)))
        assert card is not None
        ours = card.total(card.levels_of(rows, rows["persona"])).astype(int).tolist()
        assert counted(card, rows, rule, "lead") == ours
        n_leads = len(rows)
    return n_deals, n_leads


def test_a_database_gives_every_deal_and_lead_of_harbor_our_points() -> None:
    n_deals, n_leads = same_everywhere("harbor", "2025-q2", by_size())
    assert n_deals > 2000 and n_leads > 5000


@pytest.mark.real
@pytest.mark.parametrize("market", ["bank", "maven"])
def test_a_database_gives_every_record_of_real_markets_our_points(market: str) -> None:
    period = open_warehouse(market).periods[-2].name
    field = {"bank": "job", "maven": "sector"}[market]
    rule = Rule((Branch((Among(field, ("student", "retail")),), "some", 100, 1.0),), "others", (field,))
    found = PersonaSet(market, period, "research", rule, (Persona("some"), Persona("others")), fields=(field,))
    assert sum(same_everywhere(market, period, found)) > 5000


def test_one_persona_for_all_counts_the_same() -> None:
    rows = deals(400)
    rule = everyone().rule
    card = card_of(rows, rule)
    assert counted(card, rows, rule) == points(card, rows, rule)
