"""The sample and its segments, as 01 asks: counts from raw rows, what a cell may change, and what is made once."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy
from closedloop import explore, profile, segments, waves
from closedloop.errors import ParameterError
from closedloop.market.periods import find_period
from closedloop.market.warehouse import open_warehouse
from closedloop.period.situation import Situation
from closedloop.personas import research
from closedloop.statistics.proportions import wilson
from closedloop.statistics.segmentation.segments import segmentation

from tests.questions.researched import Researched, researched


@pytest.fixture(scope="module")
def planned(out: Path) -> Researched:
    return researched("harbor", "2025-q3", out / "segments")


def asked() -> pd.DataFrame:
    """The answers that were known before 2025-q3, with plain pandas."""
    rows = open_warehouse("harbor").frame("respondents")
    return rows[rows["answered_on"] < "2025-07-01"].sort_values("respondent_id", ignore_index=True)


def test_the_sample_is_the_survey_by_its_questions_and_shows_no_id(planned: Researched) -> None:
    assert len(planned.sample) == len(asked()) == 900
    assert planned.now.items == list(planned.now.definition.items)
    assert planned.sample.index.name == "respondent"
    assert planned.sample.index.is_unique
    assert not [name for name in planned.sample if name.endswith("_id")]


def test_what_a_cut_needs_is_counted(planned: Researched) -> None:
    stated = planned.size.stated.set_index("measure")["estimate"]
    deals = planned.now.deals()
    assert (stated["n_rows"], stated["n_columns"], stated["n_advised"]) == (900, 12, 720)
    assert (stated["n_ended"], stated["n_last_wave"]) == (len(deals), 300)
    assert planned.size.results["kept_out"] == []
    few = explore(planned.sample, planned.now.items[:3], "size").stated.set_index("measure")["estimate"]
    assert (few["n_columns"], few["n_advised"]) == (3, 180)


def test_answers_before_any_cut_are_those_of_the_raw_rows(planned: Researched) -> None:
    rows, stated = asked(), planned.answers.stated
    shares = stated[stated["measure"] == "profile_share"].set_index("field")
    missing = stated[stated["measure"] == "missing_share"].set_index("field")
    for item in planned.now.items:
        known = rows[item].dropna().astype(float)
        assert shares.loc[item, "estimate"] == pytest.approx(known.mean())
        low, high = wilson(known.sum(), len(known))
        assert (shares.loc[item, "low"], shares.loc[item, "high"]) == pytest.approx((float(low), float(high)))
        assert missing.loc[item, "estimate"] == pytest.approx(rows[item].isna().mean())


def test_what_goes_together_is_a_rank_correlation(planned: Researched) -> None:
    looks = planned.answers.compared
    assert len(looks) == 5
    first = looks.iloc[0]
    both = asked()[[first["field"], first["within"]]].dropna().astype(float)
    assert first["n"] == len(both)
    assert first["estimate"] == pytest.approx(scipy.stats.spearmanr(*both.to_numpy().T).statistic, abs=0.005)
    assert len(explore(planned.sample, planned.now.items, pairs=2).compared) == 2


def test_segments_are_those_of_the_estimator(planned: Researched) -> None:
    sample, found = planned.found.fitted
    plain = segmentation(sample.rows[planned.now.items], rng=planned.now.situation.rng("research", each_period=False))
    assert found.labels.tolist() == plain.labels.tolist()
    pd.testing.assert_frame_equal(found.criteria, plain.criteria)
    pd.testing.assert_frame_equal(found.profile, plain.profile)
    assert found.reason == plain.reason
    assert planned.found.results["recommended_k"] == plain.recommended_k == 4


def test_the_same_answers_give_the_same_segments_in_every_period() -> None:
    warehouse = open_warehouse("harbor")
    early, late = (
        research.research(Situation.planning(warehouse, find_period(warehouse.periods, name)))
        for name in ("2024-q2", "2024-q4")
    )
    assert early.segments and late.segments
    assert len(early.sample.rows) == len(late.sample.rows) == 600  # the second wave came later
    pd.testing.assert_series_equal(late.segments.labels, early.segments.labels)
    pd.testing.assert_frame_equal(late.segments.criteria, early.segments.criteria)


def test_the_profile_and_sizes_are_counts_of_the_labels(planned: Researched) -> None:
    labels = planned.found.fitted.segments.labels
    rows, stated = asked(), planned.shape.stated
    mine = stated[(stated["measure"] == "profile_share") & (stated["subject"] == "2")].set_index("field")
    for item in planned.now.items:
        known = rows.loc[(labels == 2).to_numpy(), item].dropna().astype(float)
        assert (mine.loc[item, "estimate"], mine.loc[item, "n"]) == (pytest.approx(known.mean()), len(known))
    sizes = stated[stated["measure"] == "segment_share"].set_index("level")["estimate"]
    assert sizes.tolist() == pytest.approx(labels.value_counts(normalize=True).sort_index().tolist())
    accounts = stated[stated["measure"] == "n_accounts"].set_index("level")["estimate"]
    assert (accounts / sizes).nunique() == 1 or np.ptp(accounts / sizes) < 1e-6


def test_fields_held_apart_are_compared_and_no_question_is(planned: Researched) -> None:
    looks, labels = planned.apart.compared, planned.found.fitted.segments.labels
    assert set(looks["measure"]) == {"share"}
    assert set(looks["field"]) == {"site_type", "sites", "region", "automation", "throughput", "role"}
    row = looks[(looks["field"] == "region") & (looks["subject"] == "1")].iloc[0]
    of = asked().loc[(labels == 1).to_numpy(), "region"]
    assert row["n"] == of.notna().sum()
    assert row["baseline"] == pytest.approx((asked()["region"] == row["level"]).mean())
    assert not looks["is_retrospective"].any()
    only = profile(planned.found, by=["region"]).compared
    assert set(only["field"]) == {"region"}
    with pytest.raises(ParameterError, match=r"by = \['wants_mobile'\].*allowed: .*region"):
        profile(planned.found, apart=True, by=["wants_mobile"])


def test_a_cell_may_ask_for_other_columns_rows_and_numbers(planned: Researched) -> None:
    by = planned.now.items
    fewer = segments(planned.sample.head(200), by[:6], number=3)
    assert fewer.results["recommended_k"] == 3
    assert fewer.fitted.sample.items == by[:6]
    assert len(fewer.fitted.segments.labels) == 200
    assert fewer.among == "200 of 900 respondents chosen in a cell"
    assert set(fewer.stated["among"]) == {fewer.among}
    assert set(profile(fewer).stated.query("measure == 'profile_share'")["subject"]) == {"0", "1", "2", "market"}
    assert set(profile(fewer, apart=True).compared["field"]) >= {*by[6:], "region"}
    assert profile(fewer, apart=True).compared["is_retrospective"].all()  # nobody says when a row was chosen
    early = segments(planned.sample.head(200), by[:6], number=3, among="the first 200", known_at="research")
    assert not profile(early, apart=True).compared["is_retrospective"].any()


def test_segments_made_of_what_is_known_late_only_look_back(planned: Researched) -> None:
    late = planned.sample.assign(luck=np.arange(900) % 2)
    found = segments(late, [*planned.now.items[:6], "luck"], number=2)
    looks = waves(found).compared
    assert len(looks) and looks["is_retrospective"].all()
    assert profile(found, apart=True, by=["region"]).compared["is_retrospective"].all()
    again = segments(planned.sample, planned.now.items)
    assert not waves(again).compared["is_retrospective"].any()


@pytest.mark.parametrize(
    ("asked_for", "said"),
    [
        ({"by": ["wants_mobile", "wants_moblie"]}, r"by = \['wants_moblie'\]: no such columns"),
        ({"least": 5}, "least = 5: segments need 20 rows"),
        ({"number": 91}, "number of segments is 91; allowed are 1 to 90"),
        ({"method": "kmeans"}, "method is 'kmeans'; allowed are"),
    ],
)
def test_what_cannot_be_is_refused(planned: Researched, asked_for: dict[str, object], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        segments(planned.sample, **{"by": planned.now.items, **asked_for})
    with pytest.raises(ParameterError, match=r"profile is asked of the answer of explore"):
        profile(planned.answers)


def test_too_few_rows_are_said_so_and_the_page_goes_on(planned: Researched) -> None:
    few = planned.sample.head(40)
    found = segments(few, planned.now.items)
    said = "Only 40 rows with 12 columns were known at the start: too little to cut into segments."
    assert found.missing["criteria"].startswith(said)
    assert found.results["recommended_k"] == 1
    for answer in (profile(found), profile(found, apart=True), waves(found), explore(few, planned.now.items)):
        assert next(iter(answer.missing.values())).startswith(said)
        assert answer.stated.empty
    assert segments(few, planned.now.items, least=30, number=2).results["recommended_k"] == 2


def test_the_same_rows_are_cut_once(planned: Researched, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("cut again")

    monkeypatch.setattr(research, "segmentation", never)
    by = planned.now.items
    again = segments(planned.sample, by)
    assert again.fitted.segments.labels.tolist() == planned.found.fitted.segments.labels.tolist()
    of_day = research.research(planned.now.situation)
    assert of_day.segments is not None
    assert of_day.segments.labels.tolist() == again.fitted.segments.labels.tolist()
    assert waves(again).results["earlier_k"] == planned.waves.results["earlier_k"]
    with pytest.raises(AssertionError, match="cut again"):
        segments(planned.sample.iloc[::-1], by)


def test_verdicts_come_with_the_closing_and_every_comparison_counts(planned: Researched) -> None:
    assert "Provisional" in repr(planned.apart)
    planned.now.close(planned.found)
    claims = planned.now.claims
    another = claims[claims["among"] != ""]
    claims = claims[claims["among"] == ""]
    who = claims[claims["family"] == "who they are"]
    assert set(who["measure"]) == {"association", "share", "wave_share"}
    assert (who["family_size"] == len(who) + (another["family"] == "who they are").sum()).all()
    assert "Provisional" not in repr(planned.apart)
    first = repr(planned.now.bottom_line()).replace("\N{NO-BREAK SPACE}", " ")
    assert first.startswith("- 900 rows of respondents show 4 segments (verdict: natural).")


def test_another_cut_of_the_same_rows_is_told_apart_and_feeds_nobody(out: Path) -> None:
    now = researched("harbor", "2024-q2", out / "another").now
    alone = now.close().results
    sizes = now.claims[now.claims["measure"] == "segment_share"]
    found = segments(now.sample(), now.items, number=2)
    described = profile(found, apart=True)
    profile(found)
    results = now.close().results
    assert (results["recommended_k"], results["n"]) == (4, 600) == (alone["recommended_k"], alone["n"])
    assert results["n_compared_who_they_are"] == alone["n_compared_who_they_are"] + len(described.compared)
    assert described.among == "profile asked another way, no. 3"
    assert len(described.claims) == len(described.compared) > 0
    every = now.claims[now.claims["measure"] == "segment_share"]
    pd.testing.assert_frame_equal(every[every["among"] == ""].reset_index(drop=True), sizes.reset_index(drop=True))
    assert every.loc[every["among"] != "", "level"].tolist() == ["0", "1"]
    assert now.claims["claim_id"].is_unique
