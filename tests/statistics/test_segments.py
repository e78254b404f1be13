"""Segments: the fits against outside figures, and the verdicts on data whose structure is known."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from closedloop.errors import ParameterError
from closedloop.statistics.segmentation.indicators import coding_of, patterns_of
from closedloop.statistics.segmentation.partitions import fit_mixtures, k_means, one_trait_density
from closedloop.statistics.segmentation.segments import adjusted_rand, best_jaccard, fold_weights, matched, segmentation
from sklearn.metrics import adjusted_rand_score

from tests.statistics.simulated import runs

PUBLISHED_YES = {  # Dolnicar, Gruen & Leisch (2018), chapter on the McDonald's survey
    "yummy": 0.55, "convenient": 0.91, "spicy": 0.09, "fattening": 0.87, "greasy": 0.53, "fast": 0.90,
    "cheap": 0.60, "tasty": 0.64, "expensive": 0.36, "healthy": 0.20, "disgusting": 0.24,
}  # fmt: skip


def rng(seed=0):
    return np.random.default_rng(seed)


def patterns(answers):
    """Patterns of a 0/1/NaN array."""
    codes = np.where(np.isnan(answers), -1, answers).astype(np.int64)
    return patterns_of(codes, np.full(codes.shape[1], 2))


def latent_classes(answers, k, draw, starts=10):
    """One mixture of yes/no items: shares, chances of a yes, log-likelihood and the class of each row."""
    seen = patterns(answers)
    fitted = fit_mixtures(seen, seen.counts[None, :], k, draw, starts=starts).by_share()
    posterior, density = fitted.posterior(seen.indicators)
    labels = posterior[0].argmax(axis=0)[seen.pattern_of_row]
    return SimpleNamespace(
        shares=fitted.shares[0],
        probabilities=fitted.chances[0][:, 1::2],
        log_likelihood=float(density[0] @ seen.counts),
        labels=labels,
    )


def frame(answers):
    return pd.DataFrame(np.asarray(answers).astype(int), columns=[f"item_{j}" for j in range(answers.shape[1])])


def independent(draw, n=400, m=9):
    return draw.random((n, m)) < draw.uniform(0.1, 0.9, m)


def one_trait(draw, n=600, m=10, slope=1.5, shape="normal"):
    trait = draw.standard_normal(n) if shape == "normal" else draw.gamma(2, 1, n) / 1.414 - 1.414
    logit = slope * draw.uniform(0.7, 1.3, m) * trait[:, None] + draw.uniform(-1.5, 1.5, m)
    return draw.random((n, m)) < 1 / (1 + np.exp(-logit))


def three_classes(draw, n=600, m=9):
    """Answers, the class of each row, and the class that the true model gives it."""
    chance = np.where(np.arange(m) // (m // 3) == np.arange(3)[:, None], 0.85, 0.15)
    share = np.array([0.5, 0.3, 0.2])
    truth = draw.choice(3, n, p=share)
    answers = draw.random((n, m)) < chance[truth]
    oracle = answers @ np.log(chance.T) + ~answers @ np.log(1 - chance.T) + np.log(share)
    return answers, truth, oracle.argmax(axis=1)


@pytest.fixture(scope="module")
def survey(mirror):
    return pd.read_csv(mirror / "mcdonalds" / "mcdonalds.csv").iloc[:, :11]


@pytest.fixture(scope="module")
def survey_segments(survey):
    return segmentation(survey, rng=rng(1))


@pytest.mark.real
def test_latent_classes_reach_the_published_likelihoods(survey):
    answers = (survey == "Yes").to_numpy(float)
    found = {k: latent_classes(answers, k, rng(), starts=20).log_likelihood for k in (2, 3, 4, 5)}
    published = {2: -7610.84, 3: -7311.48, 4: -7111.11, 5: -7011.17}
    assert found == pytest.approx(published, abs=0.04)


@pytest.mark.real
def test_k_means_gives_the_published_segments(survey):
    answers = (survey == "Yes").to_numpy(float)
    distance = ((answers[:, None, :] - k_means(answers, 4, rng())) ** 2).sum(axis=2)
    assert distance.min(axis=1).sum() == pytest.approx(1602.90, abs=0.01)
    assert np.bincount(distance.argmin(axis=1)).tolist() == [580, 318, 315, 240]
    deviations = np.sqrt(np.linalg.eigvalsh(np.cov(answers.T))[::-1][:3])
    assert deviations == pytest.approx([0.757, 0.6075, 0.5046], abs=0.0005)


@pytest.mark.real
def test_the_survey_has_four_segments_that_come_back(validity, survey_segments):
    at_four = survey_segments.criteria.set_index("k").loc[4]
    assert survey_segments.recommended_k == 4
    assert survey_segments.verdict == "reproducible"
    n = len(survey_segments.labels)
    validity("survey-ari", at_four["ari_median"], n=n)
    validity("survey-likelihood", at_four["log_likelihood"], n=n)
    validity("survey-slsw", survey_segments.slsw.query("k == 4")["slsw"].min(), n=n)
    validity("survey-null-ari", survey_segments.criteria["ari_null_median"].max(), n=n)
    assert survey_segments.reason.beyond_trait_z > 5
    assert survey_segments.disagreement[0] == 4
    assert survey_segments.disagreement[1] >= 7


@pytest.mark.real
def test_the_survey_profile_ends_with_the_market(survey_segments):
    assert survey_segments.profile.loc["market"].round(2).to_dict() == pytest.approx(PUBLISHED_YES, abs=0.0051)
    assert survey_segments.profile.index.tolist() == ["0", "1", "2", "3", "market"]
    assert survey_segments.sizes["size"].sum() == 1453
    assert not survey_segments.sample_warning


@pytest.mark.real
def test_rows_that_take_no_part_are_labelled_as_their_twins_are(survey):
    some = survey.iloc[[700, 3, 12]]
    found = segmentation(survey, ks=range(4, 5), bootstraps=6, rng=rng(1), others=some, number=4)
    assert found.others.tolist() == found.labels.iloc[[700, 3, 12]].tolist()


def test_latent_classes_agree_with_stepmix():
    from stepmix.stepmix import StepMix

    answers, _, _ = three_classes(rng(5), n=300)
    oracle = StepMix(3, measurement="bernoulli", n_init=10, abs_tol=1e-9, max_iter=3000, random_state=0)
    oracle.fit(answers.astype(float))
    ours = latent_classes(answers.astype(float), 3, rng(1))
    assert ours.log_likelihood == pytest.approx(oracle.score(answers.astype(float)) * 300, abs=0.05)
    assert ours.shares == pytest.approx(np.sort(oracle.get_parameters()["weights"])[::-1], abs=0.003)


def test_one_class_is_the_market_and_its_likelihood_is_worked_out_by_hand():
    answers = np.array([[1, 0], [1, 1], [1, 0], [0, np.nan]])
    found = latent_classes(answers, 1, rng())
    # item 1: 3 of 4 yes; item 2: 1 of the 3 who answered
    assert found.probabilities == pytest.approx(np.array([[3 / 4, 1 / 3]]))
    by_hand = 3 * np.log(3 / 4) + np.log(1 / 4) + np.log(1 / 3) + 2 * np.log(2 / 3)
    assert found.log_likelihood == pytest.approx(by_hand)
    assert found.labels.tolist() == [0, 0, 0, 0]


def test_rows_with_gaps_join_the_class_of_their_answers():
    answers = np.repeat([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]], [30, 20], axis=0).astype(float)
    answers[0, :2] = np.nan
    answers[49, 3:5] = np.nan
    found = latent_classes(answers, 2, rng())
    assert found.labels.tolist() == [0] * 30 + [1] * 20
    assert found.shares == pytest.approx([0.6, 0.4], abs=1e-6)


def test_two_class_trait_and_one_trait_likelihoods_rank_as_their_data():
    answers = patterns(one_trait(rng(3), n=2000).astype(float))
    normal = one_trait_density(answers, answers.counts, any_shape=False) @ answers.counts
    free = one_trait_density(answers, answers.counts, any_shape=True) @ answers.counts
    apart = latent_classes(one_trait(rng(3), n=2000).astype(float), 1, rng()).log_likelihood
    assert normal > apart + 500  # a trait explains what no common cause cannot
    assert free >= normal - 1.0  # a free shape holds the normal one


def test_one_trait_density_sums_to_one_over_all_answers():
    every = np.array(np.meshgrid(*[[0.0, 1.0]] * 4)).reshape(4, -1).T
    seen = patterns(every)
    draws = rng(4).integers(1, 50, len(seen.counts)).astype(float)
    assert np.exp(one_trait_density(seen, draws, any_shape=True)).sum() == pytest.approx(1.0)


def test_adjusted_rand_is_scikit_learns():
    draw = rng(7)
    first, second = draw.integers(0, 4, (6, 50)), draw.integers(0, 3, (6, 50))
    second[0] = first[0] % 3
    counts = draw.integers(1, 5, 50).astype(float)
    spread = np.repeat(np.arange(50), counts.astype(int))
    expected = [adjusted_rand_score(a[spread], b[spread]) for a, b in zip(first, second, strict=True)]
    assert adjusted_rand(first, second, counts) == pytest.approx(expected)


def test_best_jaccard_worked_out_by_hand():
    reference = np.array([0, 0, 0, 1, 1])
    other = np.array([[1, 1, 0, 0, 0]])
    # segment 0: {0,1,2} with {0,1} shares 2 of 3; segment 1: {3,4} with {2,3,4} shares 2 of 3
    assert best_jaccard(reference, other, np.ones(5)) == pytest.approx(np.array([[2 / 3, 2 / 3]]))
    # the first pattern stands for three rows: 4 of 5
    assert best_jaccard(reference, other, np.array([3.0, 1, 1, 1, 1]))[0] == pytest.approx([4 / 5, 2 / 3])


def test_folds_hold_every_row_once():
    counts = np.array([4.0, 1.0, 7.0])
    folds = fold_weights(counts, 5, rng())
    assert folds.sum(axis=0).tolist() == counts.tolist()
    assert sorted(folds.sum(axis=1)) == [2, 2, 2, 3, 3]


def test_independent_columns_have_no_segments(validity):
    found = [segmentation(frame(independent(rng(i))), rng=rng(i)) for i in runs(6)]
    validity("no-segments", [s.verdict == "no segments" for s in found])
    assert all((s.labels == 0).all() for s in found if s.recommended_k == 1)


@pytest.mark.parametrize("shape", ["normal", "skewed"])
def test_one_continuous_trait_is_not_taken_for_segments(validity, shape):
    found = [segmentation(frame(one_trait(rng(i), shape=shape)), rng=rng(i)).verdict for i in runs(5)]
    validity(f"one-trait-{shape}", np.isin(found, ["constructive", "no segments"]))


def test_three_planted_classes_are_found(validity):
    share_of_oracle = []
    for i in runs(4):
        answers, truth, oracle = three_classes(rng(i))
        found = segmentation(frame(answers), rng=rng(i))
        assert found.recommended_k == 3
        assert found.verdict in ("natural", "reproducible")
        share_of_oracle.append(adjusted_rand_score(truth, found.labels) / adjusted_rand_score(truth, oracle))
    validity("three-classes", share_of_oracle)


def test_the_same_seed_gives_the_same_segmentation_and_leaves_its_input_alone():
    items = frame(three_classes(rng(2), n=200)[0])
    before = items.copy()
    one, two = (segmentation(items, ks=range(2, 5), rng=rng(9)) for _ in range(2))
    pd.testing.assert_frame_equal(one.criteria, two.criteria)
    pd.testing.assert_frame_equal(items, before)


def test_categories_with_gaps_and_unseen_levels():
    draw = rng(3)
    kind = draw.choice(3, 600)
    items = pd.DataFrame({f"field_{j}": np.array(["a", "b", "c"])[(kind + j) % 3] for j in range(6)})
    noise = draw.random(items.shape) < 0.12
    items = items.where(~noise, draw.choice(["a", "b", "c"], items.shape)).where(draw.random(items.shape) > 0.05)
    strange = items.head(3).assign(field_0="never seen")
    found = segmentation(items, ks=range(2, 5), rng=rng(1), others=strange)
    assert found.recommended_k == 3
    assert adjusted_rand_score(kind, found.labels) > 0.95
    assert found.profile.loc["market", ["field_0=a", "field_0=b", "field_0=c"]].sum() == pytest.approx(1)
    assert found.others.tolist() == found.labels.head(3).tolist()


def test_a_number_that_somebody_wants_is_taken_and_called_unstable_where_it_is():
    items = frame(three_classes(rng(2), n=300)[0])
    wanted = segmentation(items, ks=range(2, 5), rng=rng(9), number=6)
    free = segmentation(items, ks=range(2, 5), rng=rng(9))
    assert (wanted.recommended_k, wanted.verdict, len(wanted.sizes)) == (6, "unstable", 6)
    assert free.recommended_k < 6 and free.criteria["k"].max() == 4
    assert segmentation(items, ks=range(2, 5), rng=rng(9), number=1).verdict == "no segments"
    with pytest.raises(ParameterError, match="number of segments is 31; allowed are 1 to 30"):
        segmentation(items, rng=rng(9), number=31)


def test_measured_numbers_go_to_k_means():
    draw = rng(8)
    blob = draw.choice(3, 300)
    items = pd.DataFrame(
        np.array([[0, 0, 0], [8, 0, 4], [0, 9, 8]])[blob] + draw.normal(size=(300, 3)), columns=list("abc")
    )
    found = segmentation(items, ks=range(2, 6), bootstraps=6, rng=rng(1), others=items)
    assert found.method == "k_means"
    assert (found.recommended_k, found.verdict) == (3, "natural")
    assert adjusted_rand_score(blob, found.labels) == 1.0
    assert found.profile.loc["market", "b"] == pytest.approx(items["b"].mean())
    pd.testing.assert_series_equal(found.others, found.labels)


def test_one_normal_cloud_of_numbers_is_not_cut_naturally():
    for seed in range(4):
        draw = rng(seed)
        cloud = draw.normal(size=(300, 1)) * [2, 1.5, 1] + draw.normal(size=(300, 3))
        found = segmentation(pd.DataFrame(cloud, columns=list("abc")), ks=range(2, 5), bootstraps=6, rng=rng(seed))
        assert found.verdict in ("constructive", "no segments")


def test_many_rows_are_searched_in_part_and_labelled_whole():
    answers, truth, _ = three_classes(rng(1), n=3000)
    found = segmentation(frame(answers), ks=range(2, 5), most_rows=500, rng=rng(1))
    assert len(found.labels) == 3000
    assert adjusted_rand_score(truth, found.labels) > 0.6
    assert found.slsw.query("k == 3")["size"].sum() == 500


def test_few_rows_are_warned_about():
    items = frame(three_classes(rng(1), n=540)[0])  # 9 items call for as many
    assert segmentation(items[:-1], ks=[2], rng=rng(1)).sample_warning
    assert not segmentation(items, ks=[2], rng=rng(1)).sample_warning


def test_sizes_bear_wilson_intervals():
    found = segmentation(frame(independent(rng(1), n=100)), ks=[2], rng=rng(1))
    # 100 of 100 at 90 %: 1 / (1 + z^2 / n) with z = 1.645
    assert found.sizes[["segment", "size", "share"]].to_numpy().tolist() == [[0, 100, 1.0]]
    assert found.sizes.loc[0, ["low", "high"]].tolist() == pytest.approx([0.9737, 1.0], abs=1e-4)


@pytest.mark.parametrize("n", [2, 3, 5, 9, 19])
def test_a_handful_of_rows_has_no_segments(n):
    for items in (pd.DataFrame(rng(n).normal(size=(n, 3)), columns=list("abc")), frame(rng(n).random((n, 4)) < 0.5)):
        found = segmentation(items, rng=rng())
        assert (found.recommended_k, found.verdict) == (1, "no segments")
        assert found.criteria["k"].tolist() == [1]


def test_columns_without_any_answer_change_nothing():
    items = frame(three_classes(rng(2), n=300)[0])
    found = segmentation(items.assign(empty=pd.Series([None] * 300, dtype=object)), ks=[2, 3], rng=rng(1))
    assert found.recommended_k == 3
    assert found.profile.loc["market"].drop("empty", errors="ignore").to_dict() == items.mean().to_dict()


def test_too_little_to_segment_is_refused():
    with pytest.raises(ParameterError, match=r"shape \(1, 2\)"):
        segmentation(pd.DataFrame({"a": [1], "b": [0]}), rng=rng())
    with pytest.raises(ParameterError, match="'trees'; allowed are 'auto'"):
        segmentation(frame(independent(rng(1))), method="trees", rng=rng())


def test_numbers_beside_answers_are_cut_into_bands():
    coding = coding_of(pd.DataFrame({"n_sites": [1, 2, 3, 4, 5, 6, 7, 8], "is_open": [True, False] * 4}))
    assert coding.levels[1] == ("false", "true")
    assert coding.levels[0][0] == "up to 2"
    rows = pd.DataFrame({"n_sites": [1.0, 2.0, 100.0, np.nan], "is_open": [True, False, None, True]})
    assert coding.codes(rows).tolist() == [[0, 1], [0, 0], [3, -1], [-1, 1]]


def test_labels_are_matched_by_the_least_total_distance():
    old = pd.DataFrame([[0.0, 0.0], [1.0, 1.0], [5.0, 5.0]])
    new = pd.DataFrame([[4.8, 5.1], [0.4, 0.4], [0.1, 0.0]])
    # the second new profile is nearer to the first old one, which the third needs more
    assert matched(old, new) == {"0": "2", "1": "1", "2": "0"}
    assert matched(old[:2], new) == {"1": "1", "2": "0"}
