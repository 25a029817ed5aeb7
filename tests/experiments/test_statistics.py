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


def test_means_leave_out_what_is_missing():
    found = statistics.mean_and_deviation(np.array([1.0, np.nan, 3.0]))
    assert found == {
        "mean": 2.0,
        "standard_deviation": pytest.approx(np.sqrt(2.0)),
        "episodes": 2,
    }
    nothing = statistics.mean_and_deviation(np.array([np.nan]))
    assert nothing == {"mean": None, "standard_deviation": None, "episodes": 0}
