"""Which leads sales accepts and which are won: rates against the records, and what joins the family."""

from pathlib import Path

import pandas as pd
import pytest
from closedloop import funnel
from closedloop.errors import ParameterError
from closedloop.period.lead_records import handed_off
from closedloop.workbench.period import OpenPeriod

from tests.questions.periods import by_size, everyone, planning


@pytest.fixture(scope="module")
def now(tmp_path_factory: pytest.TempPathFactory) -> OpenPeriod:
    return planning("harbor", "2025-q2", by_size(), tmp_path_factory.mktemp("acceptance"))


def records(now: OpenPeriod) -> pd.DataFrame:
    """The leads of the window with the period in which each was handed off."""
    rows = now.records["leads"]
    placed = handed_off(rows)
    return rows.assign(quarter=placed.dt.to_period("Q"))[placed >= "2024-04-01"]


def expected(rows: pd.DataFrame, level: pd.Series, hit: str) -> float:
    """The rate that all leads of the same periods have, for the leads of one level."""
    decided = rows[rows[hit].notna()]
    by_period = decided[hit].astype(float).groupby(decided["quarter"]).mean()
    return float(decided.loc[level[decided.index], "quarter"].map(by_period).mean())


def test_each_channel_is_compared_inside_the_periods_of_its_leads(now: OpenPeriod) -> None:
    found = funnel(now.leads(), by=[*now.fields("leads"), "persona"], outcome="accepted")
    compared = found.compared.query("measure == 'accepted_rate'")
    assert set(compared["field"]) == {*now.fields("leads"), "persona"}
    rows, channels = records(now), compared[compared["field"] == "channel"].set_index("level")
    assert len(channels) == 7
    for level, look in channels.iterrows():
        mine = rows["channel"] == level
        assert look["n"] == rows.loc[mine, "is_accepted"].notna().sum()
        assert look["baseline"] == pytest.approx(expected(rows, mine, "is_accepted"))
        plain = rows.loc[mine, "is_accepted"].astype(float).mean()
        assert min(plain, look["baseline"]) - 0.03 < look["estimate"] < max(plain, look["baseline"]) + 0.03
    assert set(found.compared["measure"]) == {"accepted_rate", "recorded_share"}
    (redraw,) = found.redraws
    assert (redraw.table, redraw.outcome, redraw.subject) == ("leads", "is_accepted", "market")
    assert len(redraw.ids) == len(rows) and list(redraw.by) == [*now.fields("leads"), "persona"]


def test_won_leads_are_compared_by_channel_unless_asked_otherwise(now: OpenPeriod) -> None:
    found = funnel(now.leads(), outcome="won")
    assert set(found.compared["field"]) == {"channel"}
    partner = found.compared.set_index("level").loc["partner"]
    rows = records(now)
    assert partner["n"] == (rows["channel"].eq("partner") & rows["is_won"].notna()).sum()
    assert partner["baseline"] == pytest.approx(expected(rows, rows["channel"] == "partner", "is_won"))
    asked = funnel(now.leads(), by=["role", "region"], outcome="won")
    assert set(asked.compared["field"]) == {"role", "region"}


def test_each_personas_channels_are_compared_with_its_own_leads(now: OpenPeriod) -> None:
    found = funnel(now.leads(), by=["channel", "campaign"], by_persona=True, outcome="accepted")
    looks, rows = found.compared, records(now)
    assert set(looks["subject"]) == {"large", "small"} and set(looks["measure"]) == {"persona_accepted_rate"}
    assert set(looks["field"]) == {"channel", "campaign"}
    large = rows[rows["persona"] == "large"]
    mine = looks[(looks["subject"] == "large") & (looks["field"] == "channel")].set_index("level")
    for level, look in mine.iterrows():
        assert look["baseline"] == pytest.approx(expected(large, large["channel"] == level, "is_accepted"))
    assert {redraw.subject for redraw in found.redraws} == {"large", "small"}


def test_one_persona_for_all_has_no_channels_of_its_own(tmp_path: Path) -> None:
    now = planning("harbor", "2024-q3", everyone(), tmp_path)
    found = funnel(now.leads(), by=["channel", "campaign"], by_persona=True, outcome="accepted")
    assert found.compared.empty
    assert found.missing["persona_channels"].startswith("Channels cannot be compared by persona")


def test_a_filter_a_threshold_and_the_least_group_are_the_callers(tmp_path: Path) -> None:
    now = planning("harbor", "2024-q3", everyone(), tmp_path)
    leads = now.leads()
    some = funnel(leads[leads["channel"] == "search"], by="role", among="leads by search", outcome="accepted")
    assert set(some.compared["among"]) == {"leads by search"} and some.compared["is_retrospective"].all()
    n = some.compared.query("measure == 'accepted_rate'")["n"].sum()
    assert n == (leads["is_accepted"].notna() & (leads["channel"] == "search") & leads["role"].notna()).sum()
    early = funnel(
        leads[leads["channel"] == "search"], by="role", among="search leads", known_at="creation", outcome="accepted"
    )
    assert not early.compared["is_retrospective"].any()
    large = funnel(leads, by="campaign", least=130, outcome="accepted")
    sizes = large.compared.query("measure == 'accepted_rate'")["n"]
    every = funnel(leads, by="campaign", outcome="accepted")
    assert sizes.dropna().min() >= 130 and len(every.compared) > len(large.compared)
    assert funnel(leads, by="campaign", threshold=0.2, outcome="accepted").redraws[0].threshold == 0.2


def test_what_a_cell_compares_is_corrected_with_the_rest(tmp_path: Path) -> None:
    now = planning("harbor", "2024-q3", everyone(), tmp_path)
    first = funnel(now.leads(), by="channel", outcome="accepted")
    now.close()
    alone = first.claims.query("measure == 'accepted_rate'").set_index("level")
    assert set(alone["family_size"]) == {len(alone)}
    leads = now.leads().assign(is_monday=lambda rows: rows["created_on"].dt.day_of_week == 0)
    funnel(leads, by="is_monday", outcome="accepted")
    beside = first.claims.query("measure == 'accepted_rate'").set_index("level")
    assert set(beside["family_size"]) == {len(alone) + 2}
    assert beside["estimate"].to_dict() == alone["estimate"].to_dict()
    late = now.claims.query("field == 'is_monday' and measure == 'accepted_rate'")
    assert len(late) == 2 and late["is_retrospective"].all(), "known at the close unless it is declared"


def test_too_few_decisions_say_what_to_collect(tmp_path: Path) -> None:
    now = planning("harbor", "2024-q3", everyone(), tmp_path)
    undecided = now.leads()[lambda rows: rows["is_accepted"].isna()]
    found = funnel(undecided, by="channel", among="undecided leads", outcome="accepted")
    assert found.missing["accepted_rate"] == (
        f"No accepted rate can be compared: it is known of 0 of {len(undecided):,} leads, and 10 are needed. Collect "
        "the dates of sales acceptance and of leads that were given back."
    )
    assert found.compared.empty
    nothing = funnel(now.leads(), by=[], outcome="accepted")
    assert "no field of leads is recorded to compare it by" in nothing.missing["accepted_rate"]


def test_an_outcome_that_leads_do_not_have_is_refused(now: OpenPeriod) -> None:
    with pytest.raises(ParameterError, match="outcome = 'lost'; allowed: accepted, won"):
        funnel(now.leads(), outcome="lost")
    with pytest.raises(ParameterError, match=r"outcome = 'won'; allowed: accepted \(by persona no other\)"):
        funnel(now.leads(), outcome="won", by_persona=True)
