"""Tables of text, and what a sample says about a mean."""

from __future__ import annotations

import numpy as np
import pytest

from recsim.experiments import statistics, tables

TABLE = tables.Table(
    "Title", ["name", "a", "long header"], [["x", "1.0", "2"], ["yy", "10.0", "–"]]
)


def test_markdown():
    assert tables.markdown(TABLE).splitlines() == [
        "Title",
        "",
        "| name |    a | long header |",
        "| :--- | ---: | ----------: |",
        "| x    |  1.0 |           2 |",
        "| yy   | 10.0 |           – |",
    ]


def test_plain_fits_the_width():
    assert tables.plain(TABLE).splitlines() == [
        "Title",
        "",
        "name     a  long header",
        "x      1.0            2",
        "yy    10.0            –",
    ]
    assert tables.plain(TABLE, 22).splitlines()[2:] == [
        "name     a",
        "x      1.0",
        "yy    10.0",
        "",
        "name  long header",
        "x               2",
        "yy              –",
    ]


def test_names_of_rows_stand_before_every_part():
    table = tables.Table(
        "Title", ["name", "a", "b", "c"], [["x", "1", "2", "3"], ["yy", "10", "20", "30"]], 2
    )
    assert tables.plain(table, 12).splitlines()[2:] == [
        "name   a   b",
        "x      1   2",
        "yy    10  20",
        "",
        "name   a   c",
        "x      1   3",
        "yy    10  30",
    ]


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
