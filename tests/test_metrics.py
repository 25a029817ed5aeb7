"""Metrics of slates, by hand, with any leading axes."""

from __future__ import annotations

import collections

import numpy as np
import pytest

from recsim import metrics

# Two episodes of three users: slates of two documents.
CLICKED = np.array([[[0, 1], [1, 1], [0, 0]], [[1, 0], [0, 0], [0, 0]]], bool)
QUALITY = np.array([[[9.0, 2.0], [1.0, -3.0], [9.0, 9.0]], [[0.5, 9.0], [9.0, 9.0], [9.0, 9.0]]])
TOPICS = np.array([[[0, 3], [1, 1], [2, 2]], [[3, 0], [1, 1], [1, 1]]])


def test_counts_of_each_slate() -> None:
    assert metrics.num_clicks(CLICKED).tolist() == [[1, 2, 0], [1, 0, 0]]
    assert metrics.click_quality(CLICKED, QUALITY).tolist() == [[2.0, -2.0, 0.0], [0.5, 0.0, 0.0]]
    by_topic = metrics.clicks_by_topic(CLICKED, TOPICS, 4)
    assert by_topic.shape == (2, 3, 4)
    assert by_topic[0].tolist() == [[0, 0, 0, 1], [0, 2, 0, 0], [0, 0, 0, 0]]
    assert by_topic[1, 0].tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("index", [(), (0,), (0, 1), (slice(0, 0),)])
def test_leading_axes_make_no_difference(index: tuple) -> None:
    clicked, quality, topics = CLICKED[index], QUALITY[index], TOPICS[index]
    np.testing.assert_array_equal(metrics.num_clicks(clicked), metrics.num_clicks(CLICKED)[index])
    np.testing.assert_array_equal(
        metrics.click_quality(clicked, quality), metrics.click_quality(CLICKED, QUALITY)[index]
    )
    np.testing.assert_array_equal(
        metrics.clicks_by_topic(clicked, topics, 4),
        metrics.clicks_by_topic(CLICKED, TOPICS, 4)[index],
    )


def test_totals_are_the_sums_of_slates_one_by_one() -> None:
    counts: dict[str, float] = collections.defaultdict(float)
    for clicked, quality, topics in zip(
        CLICKED.reshape(-1, 2), QUALITY.reshape(-1, 2), TOPICS.reshape(-1, 2), strict=True
    ):
        metrics.add_slate(counts, quality[clicked].tolist(), topics[clicked].tolist())
    assert metrics.totals(CLICKED, QUALITY, TOPICS) == counts
    assert counts == {
        "impression": 6,
        "click": 4,
        "quality": 0.5,
        "cluster_watch_count_no_click": 3,
        "cluster_watch_count_cluster_1": 2,
        "cluster_watch_count_cluster_3": 2,
    }
    assert metrics.totals(CLICKED[0, 0], QUALITY[0, 0], TOPICS[0, 0])["impression"] == 1


def test_clicks_on_topics() -> None:
    counts = metrics.totals(CLICKED, QUALITY, TOPICS)
    assert metrics.clicks_on_topics(counts) == {"1": 2, "3": 2}
    assert metrics.clicks_on_topics(counts, 3) == {"0": 0, "1": 2, "2": 0, "3": 2}


def test_ratios_of_nothing_are_not_defined() -> None:
    ratios = metrics.ratio([1, 0, 3], [[2], [0]])
    np.testing.assert_array_equal(ratios, [[0.5, 0.0, 1.5], [np.nan] * 3])
    assert metrics.ratio(1, 4) == 0.25
