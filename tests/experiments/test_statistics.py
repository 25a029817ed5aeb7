"""What a sample says about a mean, a median and a difference."""

from __future__ import annotations

import numpy as np
import pytest

from recsim.experiments import statistics


def test_intervals_cover_the_mean_as_often_as_they_say():
    samples = np.random.RandomState(0).exponential(size=(20, 10_000))
    found = {name: np.array(values) for name, values in statistics.estimate(samples).items()}
    assert found["mean"].shape == (10_000,)
    covered = (found["low"] < 1.0) & (found["high"] > 1.0)
    assert 0.90 < covered.mean() < 0.96  # Less than 0.95: the distribution is skewed.
    normal = np.random.RandomState(0).standard_normal((5, 10_000))
    found = statistics.estimate(normal)
    covered = (np.array(found["low"]) < 0.0) & (np.array(found["high"]) > 0.0)
    # Five standard errors of a proportion of 0.95.
    assert covered.mean() == pytest.approx(0.95, abs=5 * np.sqrt(0.95 * 0.05 / 10_000))


@pytest.mark.parametrize("values", [[], [1.0], 3.0])
def test_too_few_values(values):
    with pytest.raises(ValueError, match="at least two"):
        statistics.estimate(values)


def test_in_standard_errors():
    assert statistics.in_standard_errors(10.0, 3.0, 20.0, 4.0) == pytest.approx(-2.0)


def test_intervals_of_medians_cover():
    rng = np.random.default_rng(3)
    for number in (6, 15, 40):
        samples = rng.exponential(size=(2000, number))
        intervals = np.array([statistics.median_interval(sample) for sample in samples])
        covered = (intervals[:, 0] <= np.log(2)) & (np.log(2) <= intervals[:, 1])
        # At least 95%, here within three standard errors of 2,000 samples.
        assert covered.mean() > 0.935
    assert statistics.median_interval([1.0] * 5) == (-np.inf, np.inf)
    assert statistics.median_interval([3.0, 1.0, 2.0, 6.0, 5.0, 4.0]) == (1.0, 6.0)


def test_difference_by_hand():
    # Differences 1, 3, 2: mean 2, standard error 1 / sqrt(3), Student's quantile 4.302653.
    result = statistics.paired_difference(np.array([2.0, 4.0, 3.0]), np.array([1.0, 1.0, 1.0]))
    half_width = 4.30265273 / np.sqrt(3)
    assert result == pytest.approx({"mean": 2, "low": 2 - half_width, "high": 2 + half_width})
    single = statistics.paired_difference(np.array([2.0]), np.array([0.5]))
    assert single == {"mean": 1.5, "low": None, "high": None}


REPETITIONS = 400
SEEDS = 5


def seed_means(rng, truth, seed_deviation, num_users=20):
    """Returns (SEEDS, REPETITIONS) means over users, of whom each has a skewed return."""
    of_seeds = truth + seed_deviation * rng.standard_normal((SEEDS, REPETITIONS, 1))
    users = rng.exponential(size=(SEEDS, REPETITIONS, num_users)) - 1.0
    return (of_seeds + 10.0 * users).mean(axis=2)


@pytest.mark.parametrize("seed_deviation", [0.0, 1.0, 10.0])
def test_intervals_over_five_seeds_contain_the_true_return(seed_deviation):
    rng = np.random.default_rng(12)
    found = statistics.estimate(seed_means(rng, 50.0, seed_deviation))
    contained = (np.array(found["low"]) <= 50.0) & (np.array(found["high"]) >= 50.0)
    assert 0.92 <= contained.mean() <= 0.98


@pytest.mark.parametrize("seed_deviation", [0.0, 1.0, 10.0])
def test_an_agent_is_seldom_different_from_itself(seed_deviation):
    """With agent seeds of its own; what the scenario's seed does is common to both."""
    rng = np.random.default_rng(13)
    common = 20.0 * rng.standard_normal((SEEDS, REPETITIONS))
    ours, theirs = (common + seed_means(rng, 50.0, seed_deviation) for _ in range(2))
    p_values = [statistics.paired_p_value(*pair) for pair in zip(ours.T, theirs.T)]
    assert np.mean(np.array(p_values) < 0.05) <= 0.08


def test_p_value_and_interval_of_a_difference_agree():
    from scipy import stats

    rng = np.random.default_rng(1)
    for _ in range(50):
        values, baseline = rng.normal(0.8, 1.0, 6), rng.normal(size=6)
        p_value = statistics.paired_p_value(values, baseline)
        assert p_value == pytest.approx(stats.ttest_rel(values, baseline).pvalue)
        difference = statistics.paired_difference(values, baseline)
        assert (p_value < 0.05) == (not difference["low"] <= 0.0 <= difference["high"])
    assert statistics.paired_p_value([1.0, 2.0], [1.0, 2.0]) == 1.0
    assert statistics.paired_p_value([2.0, 3.0], [1.0, 2.0]) == 0.0
    assert statistics.paired_p_value([2.0], [1.0]) is None


def test_holm_by_hand():
    assert statistics.holm([]) == []
    # 0.01 is compared with 0.05 / 3, then 0.02 with 0.05 / 2, then 0.06 with 0.05.
    assert statistics.holm([0.06, 0.01, 0.02]) == [False, True, True]
    # The first that is not significant ends it.
    assert statistics.holm([0.04, 0.03, 0.02]) == [False, False, False]


def test_interquartile_mean_by_hand():
    # Of all scenarios together two of eight are left out at each end.
    found = statistics.interquartile_mean([[1.0, 2.0, 3.0, 100.0], [4.0, 5.0, 6.0, -50.0]])
    assert found["mean"] == pytest.approx((2.0 + 3.0 + 4.0 + 5.0) / 4)
    assert found["low"] <= found["mean"] <= found["high"]
    assert statistics.interquartile_mean([[3.0], [1.0, 2.0]]) == {
        "mean": 2.0,
        "low": None,
        "high": None,
    }


@pytest.mark.parametrize("num_seeds", range(1, 14))
def test_interquartile_mean_and_improvement_are_those_of_scipy(num_seeds):
    """Agarwal et al. compute them by a trimmed mean and by the statistic of Mann and Whitney."""
    from scipy import stats

    rng = np.random.default_rng(num_seeds)
    # Rounded, so that some scores are equal.
    ours, theirs = (rng.normal(size=(2, 3, num_seeds)) * 2).round()
    found = statistics.interquartile_mean(ours, resamples=10)["mean"]
    assert found == pytest.approx(stats.trim_mean(ours, 0.25, axis=None))
    theirs = [*theirs[:2], theirs[2][: num_seeds // 2 + 1]]
    expected = [
        stats.mannwhitneyu(runs, others).statistic / (len(runs) * len(others))
        for runs, others in zip(ours, theirs)
    ]
    found = statistics.probability_of_improvement(ours, theirs, resamples=10)["mean"]
    assert found == pytest.approx(np.mean(expected))


def test_bootstrap_is_stratified():
    """Scenarios are not mixed: no variance within them, no width of the interval."""
    found = statistics.interquartile_mean([[0.0, 0.0], [10.0, 10.0]])
    assert found == {"mean": 5.0, "low": 5.0, "high": 5.0}
    found = statistics.probability_of_improvement([[1.0, 1.0], [0.0, 0.0]], [[0.0, 0.0]] * 2)
    assert found == {"mean": 0.75, "low": 0.75, "high": 0.75}


def test_probability_of_improvement_by_hand():
    # (1 > 0) + (3 > 0) + (3 > 2) of four pairs; then two equal ones, a half each.
    found = statistics.probability_of_improvement([[1.0, 3.0], [1.0]], [[0.0, 2.0], [1.0, 1.0]])
    assert found == {"mean": pytest.approx((0.75 + 0.5) / 2), "low": None, "high": None}
    with pytest.raises(ValueError, match="the same scenarios"):
        statistics.probability_of_improvement([[1.0]], [[1.0], [2.0]])
    with pytest.raises(ValueError, match="at least one score"):
        statistics.probability_of_improvement([[]], [[1.0]])


def test_bootstrap_agrees_with_one_that_samples_runs():
    rng = np.random.default_rng(2)
    ours, theirs = rng.normal(0.5, 1.0, 10), rng.normal(size=12)
    found = statistics.probability_of_improvement([ours], [theirs], resamples=20_000)
    resampled = [
        np.mean(rng.choice(ours, 10)[:, None] > rng.choice(theirs, 12)[None, :])
        for _ in range(5000)
    ]
    expected = np.percentile(resampled, [2.5, 97.5])
    assert (found["low"], found["high"]) == pytest.approx(expected, abs=0.02)


def test_intervals_of_a_bootstrap_of_ten_seeds_cover():
    rng = np.random.default_rng(3)
    contained = {"iqm": 0, "improvement": 0}
    for _ in range(200):
        ours, theirs = rng.normal(size=(2, 2, 10))
        found = statistics.interquartile_mean(ours, resamples=500)
        contained["iqm"] += found["low"] <= 0.0 <= found["high"]
        found = statistics.probability_of_improvement(ours, theirs, resamples=500)
        contained["improvement"] += found["low"] <= 0.5 <= found["high"]
    # Percentile intervals of so few are a little narrow.
    assert all(0.87 <= number / 200 <= 0.99 for number in contained.values()), contained
