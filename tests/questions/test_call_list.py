"""The list to call: its drawn places, the known probability of each record, and the files for the CRM."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from closedloop import call_list, lead_card, score
from closedloop.errors import ParameterError
from closedloop.market.files import data_folder
from closedloop.questions.leads.call_list import listed

from tests.questions.periods import everyone, planning

DAY = pd.Timestamp(2025, 4, 1)


def ranked(n: int) -> pd.DataFrame:
    """Waiting records, the best first."""
    return pd.DataFrame({"lead_id": [f"L{place}" for place in range(n)]}, index=range(100, 100 + n))


def test_a_tenth_of_the_places_is_drawn_from_all_that_are_not_ranked_onto_the_list() -> None:
    found = listed(ranked(500), 0.10, np.random.default_rng(1), length=200)
    by_rank, drawn = (found[found["slot"] == slot] for slot in ("ranked", "random"))
    assert found["rank"].tolist() == list(range(1, 201))
    assert by_rank["lead_id"].tolist() == [f"L{place}" for place in range(180)], "the best, in their order"
    assert len(drawn) == 20
    assert drawn["lead_id"].is_unique
    assert not drawn["lead_id"].isin(by_rank["lead_id"]).any()
    assert by_rank["arm_rate"].eq(1).all()
    assert drawn["arm_rate"].tolist() == [20 / 320] * 20


def test_everybody_who_is_not_ranked_is_drawn_equally_often_and_to_any_place() -> None:
    n_times, places = np.zeros(30), []
    for seed in range(4000):
        found = listed(ranked(30), 0.2, np.random.default_rng(seed), length=10)
        drawn = found[found["slot"] == "random"]
        n_times[drawn["lead_id"].str[1:].astype(int)] += 1
        places += drawn["rank"].tolist()
    assert not n_times[:8].any()
    rate = 2 / 22
    error = np.sqrt(rate * (1 - rate) / 4000)
    assert np.abs(n_times[8:] / 4000 - rate).max() < 4 * error, "arm_rate is the share that was drawn"
    assert np.bincount(places)[1:].min() > 0.85 * len(places) / 10, "nobody is called last for being drawn"


@pytest.mark.parametrize(("n", "share"), [(50, 0.10), (200, 0.10), (500, 0.0), (0, 0.10)])
def test_nobody_is_drawn_where_all_are_called_or_no_share_is_set(n: int, share: float) -> None:
    found = listed(ranked(n), share, np.random.default_rng(1), length=200)
    assert found["lead_id"].tolist() == [f"L{place}" for place in range(min(n, 200))]
    assert set(found["slot"]) <= {"ranked"}
    assert found["arm_rate"].eq(1).all()


@pytest.fixture(scope="module")
def called(planned: SimpleNamespace) -> pd.DataFrame:
    return planned.calls.tables["next_leads"].set_index("record_id")


@pytest.fixture(scope="module")
def in_hand() -> pd.DataFrame:
    """Leads that sales has in hand on the day, from the raw files: handed off, undecided and without a deal."""
    raw = data_folder() / "harbor" / "raw"
    leads = pd.read_csv(raw / "leads.csv", dtype=str).drop_duplicates("Lead ID").set_index("Lead ID")
    names = [name for name in leads if name.endswith("Date")]
    days = leads[names].apply(pd.to_datetime, errors="coerce")
    known = days.where(days < DAY)
    deals = pd.read_csv(raw / "deals.csv", dtype=str)
    opened = deals.loc[pd.to_datetime(deals["Create Date"], errors="coerce") < DAY, "Lead ID"]
    is_back = known["Recycled Date"].notna() & ~(known["SAL Date"] > known["Recycled Date"])  # and not accepted since
    is_open = ~is_back & known["Disqualified Date"].isna() & ~leads.index.isin(opened)
    return leads.assign(age=(DAY - known["Create Date"]).dt.days)[is_open & known["Hand-off Date"].notna()]


def figures(planned: SimpleNamespace) -> pd.Series:
    return planned.calls.claims.set_index("measure")["estimate"]


def test_sales_calls_what_it_has_in_hand_and_what_may_still_go_on(
    planned: SimpleNamespace, called: pd.DataFrame, in_hand: pd.DataFrame
) -> None:
    young = in_hand[in_hand["age"] <= figures(planned)["oldest_days"]]
    assert 50 < len(called) < 200 and set(called.index) == set(young.index)
    assert called["age_days"].to_dict() == in_hand.loc[called.index, "age"].to_dict()
    assert called["rank"].tolist() == list(range(1, len(called) + 1))
    assert figures(planned)["median_age_days"] == in_hand.loc[called.index, "age"].median() < 30
    assert figures(planned)["n_listed"] == len(called)


def test_nineteen_of_twenty_that_went_on_had_done_so_by_the_age_of_who_is_called(
    planned: SimpleNamespace, in_hand: pd.DataFrame
) -> None:
    raw = data_folder() / "harbor" / "raw"
    leads = pd.read_csv(raw / "leads.csv", dtype=str).drop_duplicates("Lead ID").set_index("Lead ID")
    came, qualified = (pd.to_datetime(leads[name], errors="coerce") for name in ("Create Date", "SQL Date"))
    days = (qualified - came).dt.days[qualified < DAY]
    (oldest,) = planned.calls.stated.query("measure == 'oldest_days'").to_dict("records")
    assert oldest["n"] == len(days)
    assert 0.94 < (days <= oldest["estimate"]).mean() < 0.96
    deals = pd.read_csv(raw / "deals.csv", dtype=str)
    became = set(deals.loc[pd.to_datetime(deals["Create Date"], errors="coerce") >= DAY, "Lead ID"])
    is_young = in_hand["age"] <= oldest["estimate"]
    went_on = in_hand.index.isin(became)
    assert went_on[is_young].mean() > 0.3 > 0.02 > went_on[~is_young].mean(), "who waits for longer hardly goes on"


def test_some_places_of_a_short_list_are_drawn(in_hand: pd.DataFrame) -> None:
    now = planning("harbor", "2025-q2", everyone(), None)
    card = lead_card(score(now.prospects(), learner="logistic"))
    called = call_list(card, capacity=60, oldest_days=365).tables["next_leads"].set_index("record_id")
    young = in_hand[in_hand["age"] <= 365]
    drawn = called[called["slot"] == "random"]
    assert (len(called), len(drawn)) == (60, 6)
    assert drawn["arm_rate"].unique().tolist() == pytest.approx([6 / (len(young) - 54)]), "drawn from who is called"


def test_what_is_qualified_and_not_handed_off_is_marketings(planned: SimpleNamespace) -> None:
    raw = pd.read_csv(data_folder() / "harbor" / "raw" / "leads.csv", dtype=str).drop_duplicates("Lead ID")
    known = raw.filter(like="Date").apply(pd.to_datetime, errors="coerce") < DAY
    ended = known[["Hand-off Date", "Recycled Date", "Disqualified Date"]].any(axis=1)
    assert figures(planned)["n_to_hand_off"] == (known["MQL Date"] & ~ended).sum() > 200


def test_what_a_caller_needs_is_on_the_list(called: pd.DataFrame, in_hand: pd.DataFrame) -> None:
    mine = in_hand.loc[called.index]
    assert called["account_id"].fillna("").tolist() == mine["Account ID"].fillna("").tolist()
    assert called["rep_id"].fillna("").tolist() == mine["Owner"].fillna("").tolist()
    assert set(called["status"]) == {"marketing_qualified", "sales_accepted"}
    touches = pd.read_csv(data_folder() / "harbor" / "raw" / "touches.csv", dtype=str)
    touches = touches.assign(day=pd.to_datetime(touches["Date"], errors="coerce")).query("day < @DAY")
    last = touches.groupby("Lead ID")["day"].max().reindex(called.index)
    assert called["last_touch_on"].astype("datetime64[s]").fillna(DAY).tolist() == last.fillna(DAY).tolist()
    assert called["created_on"].max() < DAY, "nothing known later is on it"


def test_two_reasons_and_one_caution_at_most(called: pd.DataFrame) -> None:
    n_for, n_against = (called[name].map(len) for name in ("reasons", "caution"))
    assert n_for.max() == 2 and n_against.max() == 1
    assert (n_for + n_against > 0).mean() > 0.7, "levels whose range holds the usual points are no reason"
    said = {field for name in ("reasons", "caution") for row in called[name] for field, *_ in row}
    assert said <= {"channel", "role", "site_type", "sites", "region", "automation", "throughput", "is_integrated"}


@pytest.mark.parametrize("order", ["card", "score"])
def test_the_list_is_in_the_order_of_what_ranks_and_the_card_gives_the_reasons(order: str) -> None:
    now = planning("harbor", "2025-q2", everyone(), None)
    card = lead_card(score(now.prospects(), learner="logistic"))
    card.fitted = found = replace(card.fitted, order=order)
    listed_ = call_list(card, drawn_share=0.0).tables["next_leads"]
    rows = card.rows.set_index("lead_id", drop=False).loc[listed_["record_id"]]
    chance = found.model.ranking.predict(rows, found.model.history.at(len(rows), None))
    assert (np.diff(chance) <= 1e-12).all() == (order == "score")
    assert listed_["points"].is_monotonic_decreasing == (order == "card")
    texts = found.card.levels_of(rows, rows["persona"])
    assert listed_["points"].tolist() == found.card.total(texts).tolist()
    moves = found.card.moves(texts)
    for own, favour, against in zip(moves, listed_["reasons"], listed_["caution"], strict=True):
        told = [[field, level, f"{points:+d}"] for field, level, points in own]
        assert favour == [one for one in told if one[2].startswith("+")][:2]
        assert against == [one for one in told[::-1] if one[2].startswith("-")][:1]


def test_who_is_known_for_longer_is_on_a_list_of_its_own(planned: SimpleNamespace, in_hand: pd.DataFrame) -> None:
    old = planned.calls.tables["wake_up"]
    oldest = figures(planned)["oldest_days"]
    assert set(old["record_id"]) == set(in_hand.index[in_hand["age"] > oldest])
    assert old["rank"].tolist() == list(range(1, len(old) + 1))
    assert not {"slot", "arm", "arm_rate"} & set(old), "nobody is drawn to be woken up"
    assert old["score"].isna().all(), "the score's chance is that of a lead that just came"
    assert figures(planned)["n_wake_up"] == len(old)
    said = repr(planned.calls.sentence).replace("\N{NO-BREAK SPACE}", " ")
    assert (
        f"known for more than {oldest:.0f} days: warm them up first, or give them back. By then at least 19 of 20 of"
        in said
    )


def test_the_bottom_line_tells_who_came_who_waits_and_whether_to_rely_on_the_score(planned: SimpleNamespace) -> None:
    line = repr(planned.now.bottom_line()).splitlines()[0].replace("\N{NO-BREAK SPACE}", " ")
    n = planned.funnel.results["n_leads"]
    (waits,) = planned.calls.stated.query("measure == 'n_listed'")["n"]
    assert 50 < waits < 200
    assert line == (
        f"- {n:,} leads came or were handed off in 2024-q2 to 2025-q1; "
        f"{waits:,} records that wait in 2025-q1 are on the list to call. "
        "Lead score: usable."
    )


def test_the_file_for_the_crm_logs_the_draw(planned: SimpleNamespace, called: pd.DataFrame) -> None:
    log = pd.read_csv(planned.now.folder / "call-list.csv")
    assert log["experiment"].unique().tolist() == ["call-list"]
    assert log["record_id"].tolist() == called.index.tolist()
    assert log["arm"].tolist() == called["slot"].tolist() and "slot" not in log
    assert log["arm_rate"].tolist() == pytest.approx(called["arm_rate"].tolist())
    assert log["points"].tolist() == called["points"].tolist()
    told = ["; ".join(f"{field}: {level} ({points})" for field, level, points in moved) for moved in called["reasons"]]
    assert log["reasons"].fillna("").tolist() == told and any(told)
    woken = pd.read_csv(planned.now.folder / "wake-up-list.csv")
    assert woken["record_id"].tolist() == planned.calls.tables["wake_up"]["record_id"].tolist()


def test_capacity_share_and_age_can_be_set_and_wrong_ones_are_refused(planned: SimpleNamespace) -> None:
    now = planning("harbor", "2025-q2", everyone(), None)
    card = lead_card(score(now.prospects().query("channel == 'search'"), learner="logistic"))
    lists = call_list(card, capacity=20, drawn_share=0.25, oldest_days=90).tables
    short, old = lists["next_leads"], lists["wake_up"]
    assert (len(short), (short["slot"] == "random").sum()) == (20, 5)
    assert short["age_days"].max() <= 90 and set(short["channel"]) == {"search"}
    assert old["age_days"].min() > 90
    for wrong in ({"capacity": 0}, {"drawn_share": 0.6}, {"drawn_share": -0.1}):
        with pytest.raises(ParameterError, match=r"allowed: a share from 0 to 0\.5, a capacity of 1 or more"):
            call_list(card, **wrong)
    with pytest.raises(ParameterError, match="oldest_days = 0; allowed: 1 or more"):
        call_list(card, oldest_days=0)


def test_an_earlier_list_is_taken_back_when_nobody_is_on_it(tmp_path: Path) -> None:
    now = planning("harbor", "2024-q2", everyone(), tmp_path)
    now.folder.mkdir(parents=True)
    for name in ("call-list.csv", "wake-up-list.csv"):
        (now.folder / name).write_text("rank,record_id\n1,L1\n")
    scored = score(now.prospects().query("channel == 'search'"), learner="logistic")
    call_list(lead_card(scored), oldest_days=365)
    now.close()
    assert "L1" not in set(pd.read_csv(now.folder / "call-list.csv")["record_id"])
    assert not (now.folder / "wake-up-list.csv").exists(), "nobody is known for a year yet"


def test_a_draft_leaves_the_standing_lists_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("closedloop.workbench.period.runs_folder", lambda: tmp_path)
    standing = tmp_path / "harbor" / "2024-q2"
    standing.mkdir(parents=True)
    (standing / "call-list.csv").write_text("as it stands")
    now = planning("harbor", "2024-q2", everyone(), None)
    call_list(lead_card(score(now.prospects(), learner="logistic")))
    now.close()
    assert (standing / "call-list.csv").read_text() == "as it stands"
    (draft,) = standing.glob("drafts/03_leads-*/call-list.csv")
    assert len(pd.read_csv(draft)) > 30
