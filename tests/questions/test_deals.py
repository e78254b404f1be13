"""What the step of deals states, against the bundled market's records counted by hand."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from closedloop.claims.ledger import TURNS, close_family
from closedloop.market.periods import find_period
from closedloop.market.warehouse import open_warehouse
from closedloop.period.counting import LEAST_SHOWN, levels
from closedloop.period.situation import Situation
from closedloop.personas.persona_set import Persona, PersonaSet
from closedloop.questions.deals.win_rates import adjusted
from closedloop.statistics.amounts import ONE_DEAL, shrink_amounts
from closedloop.statistics.proportions import wilson
from closedloop.statistics.rules import Among, Branch, Rule
from closedloop.terms import RARE, Moment

from tests.notebook_steps import Found, step_of
from tests.statistics.simulated import adjusted_of

PORTS = ("bulk_port", "inland_port")
RULE = Rule((Branch((Among("site_type", PORTS),), "ports", 100, 1.0),), "others", ("site_type",))
SET = PersonaSet("harbor", "2025-q2", "research", RULE, (Persona("ports", "Ports"), Persona("others", "Others")))


def looking_back(period: str = "2025-q2", change: Callable[[pd.DataFrame], pd.DataFrame] | None = None) -> Situation:
    """The bundled market at the end of a period, with its deals changed."""
    warehouse = open_warehouse("harbor")
    situation = Situation.looking_back(warehouse, find_period(warehouse.periods, period))
    if change is not None:
        vars(situation)["deals"] = change(situation.deals)
    return situation


@pytest.fixture(scope="module")
def step() -> Found:
    return step_of("05_deals", looking_back(), SET)


@pytest.fixture(scope="module")
def records() -> pd.DataFrame:
    """Deals as known at the end of 2025-q2, from the records as they are."""
    frame = open_warehouse("harbor").frame("deals")
    frame["closed_on"], frame["created_on"] = pd.to_datetime(frame["closed_on"]), pd.to_datetime(frame["created_on"])
    frame = frame[frame["created_on"] < "2025-07-01"]
    later = frame["closed_on"] >= "2025-07-01"
    return frame.assign(outcome=frame["outcome"].mask(later, "open"), closed_on=frame["closed_on"].mask(later))


@pytest.fixture(scope="module")
def window(records: pd.DataFrame) -> pd.DataFrame:
    """Deals that ended in the last four quarters."""
    return records[(records["closed_on"] >= "2024-07-01") & (records["outcome"] != "open")]


def stated(step: Found, measure: str, field: str = "") -> pd.DataFrame:
    """The statements on a measure, by level."""
    rows = step.statements[(step.statements["measure"] == measure) & (step.statements["field"] == field)]
    return rows.set_index("level")


def test_every_deal_is_counted_once(step: Found, records: pd.DataFrame) -> None:
    inside = records[records["closed_on"] >= "2025-04-01"]
    n = {outcome: int((inside["outcome"] == outcome).sum()) for outcome in ("won", "lost", "no_decision")}
    n["open"] = int((records["outcome"] == "open").sum())
    assert {outcome: stated(step, f"n_{outcome}")["estimate"].item() for outcome in n} == n
    assert stated(step, "n_won")["n"].item() == sum(n.values())
    amount = inside.loc[inside["outcome"] == "won", "won_amount"].sum()
    assert stated(step, "total_won_amount")["estimate"].item() == pytest.approx(amount)
    for measure, size in (("win_rate", n["won"] + n["lost"]), ("win_rate_broad", len(inside))):
        rate = stated(step, measure).iloc[0]
        assert [rate["estimate"], rate["n"]] == [n["won"] / size, size]
        assert [rate["low"], rate["high"]] == pytest.approx(wilson(n["won"], size))


def test_an_outcome_that_the_source_cannot_record_is_not_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    situation = looking_back()
    two = situation.definition.deals.model_copy(update={"outcomes": ["won", "lost"]})
    monkeypatch.setattr(Situation, "definition", situation.definition.model_copy(update={"deals": two}))
    measures = set(step_of("05_deals", situation, SET).statements["measure"])
    assert not measures & {"n_no_decision", "win_rate_broad", "no_decision_by"}
    assert {"n_won", "n_lost", "win_rate", "won_by"} <= measures


def test_the_curve_rises_to_what_is_known(step: Found) -> None:
    parts = {cause: stated(step, f"{cause}_by", "age_days") for cause in ("won", "lost", "no_decision")}
    for part in parts.values():
        assert part.index.astype(float).is_monotonic_increasing
        assert part["estimate"].is_monotonic_increasing
        assert len(part) == 30
    assert 0.5 < sum(part["estimate"].iloc[-1] for part in parts.values()) < 1


def test_days_and_amounts_are_those_of_won_deals(step: Found, window: pd.DataFrame) -> None:
    won = window[window["outcome"] == "won"]
    days = (won["closed_on"] - won["created_on"]).dt.days
    assert stated(step, "median_cycle_days")["estimate"].item() == days.median()
    by = stated(step, "median_cycle_days", "product")["estimate"]
    assert by.to_dict() == days.groupby(won["product"]).median().to_dict()
    mean = shrink_amounts(won["won_amount"], np.zeros(len(won))).iloc[0]
    assert stated(step, "mean_amount")["estimate"].item() == pytest.approx(won["won_amount"].mean())
    coming = stated(step, "next_amount").iloc[0]
    assert coming["kind"] == "predictive"
    assert won["won_amount"].between(coming["low"], coming["high"]).mean() == pytest.approx(0.9, abs=0.02)
    looked = step.looks[step.looks["measure"] == "won_amount"].set_index("level")
    assert set(looked.index) == {"ports", "others"}
    assert looked["baseline"].to_numpy() == pytest.approx(np.full(2, won["won_amount"].mean()))
    decided = window[window["outcome"].isin(["won", "lost"])]
    brings = won["won_amount"].sum() / len(decided)
    per_deal = step.looks[step.looks["measure"] == "won_amount_per_decided"]
    assert per_deal["baseline"].to_numpy() == pytest.approx(np.full(2, brings))
    assert stated(step, "won_amount_per_decided").loc[""]["estimate"] == pytest.approx(brings)
    products = stated(step, "mean_amount", "product")
    assert set(products.index) == {"plan", "gate", "crew"}, "products are shown, not compared"
    assert products["low"]["plan"] > mean["estimate"]
    assert set(looked["cell"]) == {"amounts"}
    assert set(step.looks.loc[step.looks["measure"] == "sales_cycle_days", "cell"]) == {"cycle"}


def test_where_one_deal_makes_the_mean_it_is_named_and_nothing_is_compared(window: pd.DataFrame) -> None:
    largest = window.loc[window["outcome"] == "won", "won_amount"].idxmax()
    name = window.loc[largest, "deal_id"]
    change = lambda d: d.assign(won_amount=d["won_amount"].mask(d["deal_id"] == name, 10**9))  # noqa: E731
    step = step_of("05_deals", looking_back(change=change), SET)
    won = window[window["outcome"] == "won"].assign(
        won_amount=lambda d: d["won_amount"].mask(d["deal_id"] == name, 1e9)
    )
    mean = stated(step, "mean_amount").loc[""]
    assert mean["estimate"] == pytest.approx(won["won_amount"].mean())
    assert mean[["low", "high"]].isna().all() and mean["reason"] == ONE_DEAL
    assert stated(step, "large_amount", "deal_id")["estimate"].to_dict() == {name: 1e9}
    median = stated(step, "median_amount").loc[""]
    assert median["estimate"] == won["won_amount"].median()
    assert median["low"] <= won["won_amount"].median() <= median["high"]
    per_decided = stated(step, "won_amount_per_decided").loc[""]
    assert per_decided["estimate"] > 1e6 and np.isnan(per_decided["low"])
    looks = step.looks[step.looks["measure"].isin(["won_amount", "won_amount_per_decided"])]
    assert (
        len(looks) == 4 and looks[["low", "high", "p", "beyond"]].isna().all().all() and (looks["reason"] != "").all()
    )
    closed = close_family(looks, family="how they end", market="harbor", period="2025-q2")
    assert set(closed["verdict"]) == {"refused"}


def test_a_field_that_settles_the_persona_and_the_persona_are_never_adjusted_by_each_other() -> None:
    """As the persona's own rule fields: a field made of them would erase the persona, and be erased by it."""
    situation = looking_back()
    ended = situation.closed_deals.assign(persona=SET.assign(situation.closed_deals))
    is_port = (ended["persona"] == "ports") ^ (np.arange(len(ended)) % 80 == 0)  # a slip in eighty
    fields = [*situation.deal_fields(Moment.STAGE), "is_quarter_end", "persona"]
    by = levels(ended, fields, RARE).assign(berth=is_port.map({True: "quay", False: "land"}))
    found = {(row["field"], row["within"]) for row in adjusted(situation, SET, ended, by, list(by))}
    assert {"persona", "berth"} <= {field for field, _ in found}
    assert not found & {("persona", "berth"), ("berth", "persona"), ("persona", "site_type"), ("site_type", "persona")}
    loose = by.assign(berth=by["berth"].where(np.arange(len(ended)) % 3 > 0, "land"))
    assert ("berth", "persona") in {
        (row["field"], row["within"]) for row in adjusted(situation, SET, ended, loose, list(loose))
    }


def test_velocity_is_the_product_of_its_parts(step: Found, records: pd.DataFrame, window: pd.DataFrame) -> None:
    decided = window[window["outcome"].isin(["won", "lost"])]
    n_open, rate = (records["outcome"] == "open").sum(), (decided["outcome"] == "won").mean()
    amount, days = (stated(step, measure)["estimate"].item() for measure in ("mean_amount", "median_cycle_days"))
    whole = stated(step, "sales_velocity_per_day").iloc[0]
    assert whole["estimate"] == pytest.approx(n_open * rate * amount / days)
    assert whole["low"] < whole["estimate"] < whole["high"]
    parts = stated(step, "sales_velocity_per_day", "persona")["estimate"]
    assert set(parts.index) == {"ports", "others"}
    assert parts.sum() == pytest.approx(whole["estimate"], rel=0.25)


def test_reasons_are_shares_of_those_recorded(step: Found, window: pd.DataFrame) -> None:
    for outcome, measure in (("lost", "loss_share"), ("no_decision", "undecided_share")):
        reasons = window.loc[window["outcome"] == outcome, "loss_reason"].value_counts(normalize=True)
        shown = stated(step, measure, "loss_reason")["estimate"]
        assert len(shown) >= 3 and shown.to_dict() == pytest.approx(reasons[shown.index].to_dict())
    lost, ended = window[window["outcome"] == "lost"], window[window["outcome"].isin(["lost", "no_decision"])]
    assert stated(step, "uncoded_loss_share")["estimate"].item() == ended["loss_reason"].isna().mean()
    agreement = stated(step, "loss_reason_agreement").iloc[0]
    assert agreement["n"] >= LEAST_SHOWN and 0.2 < agreement["estimate"] < 0.7
    assert set(stated(step, "buyer_loss_share", "topic")["source_table"]) == {"notes"}
    noted = stated(step, "n_buyer_losses").iloc[0]
    assert noted["n"] == len(lost) and noted["estimate"] >= agreement["n"]


def test_lost_deals_without_a_reason_are_told(window: pd.DataFrame) -> None:
    step = step_of(
        "05_deals", looking_back(change=lambda d: d.assign(loss_reason=d["loss_reason"].where(d.index % 2 == 0))), SET
    )
    uncoded = stated(step, "uncoded_loss_share").iloc[0]
    assert uncoded["estimate"] == pytest.approx(0.5, abs=0.05)
    assert stated(step, "loss_share", "loss_reason")["n"].max() < 0.6 * uncoded["n"]


def test_crude_stands_beside_adjusted_over_the_strongest_confounder_and_the_period(
    step: Found, window: pd.DataFrame
) -> None:
    rows = step.statements[step.statements["measure"].isin(TURNS.values())]
    assert stated(step, "n_adjusted")["estimate"].item() == len(rows)
    assert {"period", "site_type"} <= set(rows["within"])
    assert set(rows["unit"]) == {"points"}
    plan = rows[(rows["field"] == "product") & (rows["level"] == "plan")].set_index("within")
    assert plan.loc["persona", "measure"] == "win_rate_reversed"  # personas are kinds of site here
    assert plan.loc["persona", "baseline"] < 0 < plan.loc["persona", "low"]
    decided = window[window["outcome"].isin(["won", "lost"])]
    cases = pd.DataFrame(
        {
            "group": decided["product"] == "plan",
            "won": decided["outcome"] == "won",
            "stratum": decided["closed_on"].dt.to_period("Q").astype(str),
        }
    )
    found = adjusted_of(cases, level=0.95)
    wanted = [found.adjusted, found.low, found.high, found.crude, found.n]
    assert plan.loc["period", ["estimate", "low", "high", "baseline", "n"]].tolist() == pytest.approx(wanted)
    turned, perhaps = (rows[rows["measure"] == TURNS[answer]] for answer in ("yes", "maybe"))
    assert "plan" in set(turned["level"])
    assert (np.sign(turned["low"]) == np.sign(turned["high"])).all()
    assert (np.sign(turned["low"]) == -np.sign(turned["baseline"])).all()
    assert ((perhaps["low"] <= 0) & (perhaps["high"] >= 0)).all()
    assert (np.sign(perhaps["estimate"]) == -np.sign(perhaps["baseline"])).all()
    others = rows[rows["measure"] == TURNS["no"]]
    assert (others["estimate"] * others["baseline"] >= 0).all()
    erased = rows[(rows["field"] == "persona") & (rows["within"] == "site_type")]
    assert erased.empty, "personas are kinds of site here: they are not compared within themselves"


def test_the_age_of_the_deal_is_tried_as_a_confounder() -> None:
    """Old deals are lost and sold by one team: the age explains the whole difference."""

    def aged(frame: pd.DataFrame) -> pd.DataFrame:
        rng = np.random.default_rng(5)
        is_old = pd.Series(rng.random(len(frame)) < 0.5, index=frame.index)
        is_decided = frame["outcome"].isin(["won", "lost"])
        hit = rng.random(len(frame)) < np.where(is_old, 0.1, 0.7)
        team = np.where(rng.random(len(frame)) < np.where(is_old, 0.9, 0.1), "north", "south")
        outcome = frame["outcome"].mask(is_decided, pd.Series(np.where(hit, "won", "lost"), index=frame.index))
        return frame.assign(age_days=np.where(is_old, 200.0, 20.0), rep_team=team, outcome=outcome)

    rows = step_of("05_deals", looking_back(change=aged), SET).statements.query(
        "cell == 'adjusted' and field == 'rep_team'"
    )
    by_age = rows[rows["within"] == "age_days"].set_index("level")
    assert by_age.loc["north", "baseline"] < -0.3
    assert abs(by_age.loc["north", "estimate"]) < 0.12


def _reps(frame: pd.DataFrame, *, skill: float, ports: float) -> pd.DataFrame:
    """Three sellers; the first gets that share of the ports, which win far less, and is better by ``skill``."""
    rng = np.random.default_rng(7)
    is_port = frame["site_type"].isin(PORTS)
    is_first = rng.random(len(frame)) < np.where(is_port, ports, 0.1)
    rep = np.where(is_first, "rep-1", rng.choice(["rep-2", "rep-3"], len(frame)))
    hit = rng.random(len(frame)) < np.where(is_port, 0.2, 0.6) + skill * is_first
    decided = pd.Series(np.where(hit, "won", "lost"), index=frame.index)
    return frame.assign(rep_id=rep, outcome=decided.where(frame["outcome"] != "open", "open"))


def _rep_claims(skill: float, ports: float) -> pd.DataFrame:
    step = step_of("05_deals", looking_back(change=lambda frame: _reps(frame, skill=skill, ports=ports)), SET)
    assert step.results["is_rep_spread_beyond_luck"]
    closed = close_family(step.looks, family="how they end", market="harbor", period="2025-q2")
    return closed[closed["field"] == "rep_id"].set_index("level")


def test_a_seller_who_got_the_harder_deals_is_no_worse() -> None:
    found = _rep_claims(skill=0.0, ports=0.8)
    assert set(found["within"]) == {"persona"}
    assert (found["verdict"] != "supported").all()
    assert found["effect"].abs().max() < 0.05


def test_a_seller_who_wins_more_of_the_same_deals_is_found() -> None:
    first = _rep_claims(skill=0.3, ports=0.3).loc["rep-1"]
    assert first["verdict"] == "supported"
    assert 0.1 < first["effect"] < 0.4
    assert first["low"] > first["baseline"]


def test_sellers_who_differ_by_luck_are_not_compared(step: Found) -> None:
    assert not step.results["is_rep_spread_beyond_luck"]
    assert "rep_id" not in set(step.looks["field"])
    spread = step.looks[step.looks["measure"] == "rep_spread"].iloc[0]
    assert spread["p"] == spread["estimate"] > 0.05


def test_no_findings_are_left_in_tables_and_no_small_group_is_stated(step: Found) -> None:
    assert step.tables == {}
    groups = step.statements[step.statements["field"] != ""]
    assert groups["n"].min() >= LEAST_SHOWN
    assert step.looks["n"].min() >= LEAST_SHOWN


def _same_day(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(age_days=frame["age_days"].where(frame["outcome"] == "open", 0))


def _won(frame: pd.DataFrame, n: int) -> pd.DataFrame:
    """The deals with the ``n`` that were won last, and no other won one."""
    won = frame[frame["outcome"] == "won"].sort_values("closed_on")
    return frame.drop(index=won.index[:-n])


@pytest.mark.parametrize(
    ("change", "gap", "reason"),
    [
        (_same_day, "curve", "Every deal ends on the day it is opened: no curve."),
        (_same_day, "cycle", "Every deal ends on the day it is opened: winning takes no day"),
        (
            lambda d: d.assign(age_days=np.nan, created_on=pd.NaT),
            "curve",
            "No deal records created_on, so how many days",
        ),
        (
            lambda d: d.assign(age_days=np.nan, created_on=pd.NaT),
            "cycle",
            "No deal records created_on, so how many days",
        ),
        (lambda d: d.tail(9), "curve", "Fewer than ten deals with a known age were opened within the window"),
        (lambda d: _won(d, 9), "cycle", "Fewer than ten deals were won, too few to show how long"),
        (lambda d: _won(d, 9), "amounts", "Fewer than ten deals were won, too few to show what one is worth"),
        (lambda d: d.assign(age_days=d["age_days"].mask(d["outcome"] == "won")), "cycle", "Only 0 of "),
        (lambda d: d.assign(won_amount=np.nan), "amounts", "No won deal records its amount"),
        (lambda d: d.drop(columns="won_amount"), "amounts", "No won deal records its amount"),
        (
            lambda d: d.assign(won_amount=d["won_amount"] * 0),
            "amounts",
            "amounts of won deals is 0, which tells no price",
        ),
    ],
)
def test_a_gap_says_its_own_reason(change: Callable[[pd.DataFrame], pd.DataFrame], gap: str, reason: str) -> None:
    step = step_of("05_deals", looking_back(change=change), SET)
    assert reason in step.missing[gap]
    measures = {
        "curve": ["won_by", "lost_by"],
        "cycle": ["median_cycle_days"],
        "amounts": ["median_amount", "mean_amount"],
    }
    assert not step.statements["measure"].isin(measures[gap]).any()


@pytest.mark.parametrize(("n", "is_shown"), [(9, False), (10, True)])
def test_medians_and_curves_keep_the_floor_of_rates(n: int, is_shown: bool) -> None:
    """Of nine won deals there is no median of days or amounts and no key figure; of ten there is."""

    def only_won(frame: pd.DataFrame) -> pd.DataFrame:
        return _won(frame, n)[lambda rows: rows["outcome"] == "won"]

    step = step_of("05_deals", looking_back(change=only_won), SET)
    told = {"median_cycle_days", "median_amount", "mean_amount", "won_by"} & set(step.statements["measure"])
    assert told == ({"median_cycle_days", "median_amount", "mean_amount", "won_by"} if is_shown else set())
    figures = [step.results.get(name) for name in ("sales_cycle_days", "median_amount", "win_rate")]
    assert [figure is not None for figure in figures] == [is_shown] * 3


def test_totals_are_of_deals_that_record_their_day_and_their_amount() -> None:
    """Half of the won deals have no amount, and some that ended no day."""

    def damaged(frame: pd.DataFrame) -> pd.DataFrame:
        is_won = frame["outcome"].eq("won") & frame["closed_on"].between("2025-04-01", "2025-06-30")
        is_half = is_won & (is_won.cumsum() % 2 == 0)
        is_undated = frame["outcome"].eq("lost") & (np.arange(len(frame)) % 50 == 0)
        amount = frame["won_amount"].mask(is_half)
        return frame.assign(won_amount=amount, closed_on=frame["closed_on"].mask(is_undated))

    situation = looking_back(change=damaged)
    totals = step_of("05_deals", situation, SET).statements.set_index("measure")
    deals, is_now = situation.deals, situation.deals["closed_on"].between("2025-04-01", "2025-06-30")
    paid = deals.loc[is_now & deals["outcome"].eq("won"), "won_amount"].dropna()
    told = totals.loc["total_won_amount"]
    assert (told["estimate"], told["n"]) == (pytest.approx(paid.sum()), len(paid))
    assert 0 < len(paid) < totals.loc["n_won", "estimate"]
    n_undated = int((deals["outcome"].eq("lost") & deals["closed_on"].isna()).sum())
    assert totals.loc["n_closed_without_day", "estimate"] == n_undated > 0
    assert not situation.closed_deals["closed_on"].isna().any()


def test_without_a_known_deal_that_is_said() -> None:
    step = step_of("05_deals", looking_back(change=lambda frame: frame.head(0)), SET)
    assert step.missing["totals"].startswith("No deals are recorded up to that day")
    assert step.statements.empty
