"""Metrics of clicks by topic, by hand."""

import collections
import math

import pytest

from recsim import utils


def response(click, quality=0.0, cluster_id=0):
    return {"click": click, "quality": quality, "cluster_id": cluster_id}


def written(metrics, **settings):
    tags = {}
    utils.write_video_cluster_metrics(metrics, tags.__setitem__, **settings)
    return {tag: None if math.isnan(value) else value for tag, value in tags.items()}


def test_metrics_by_hand():
    metrics = collections.defaultdict(float)
    for slate in (
        (response(0), response(1, 2.0, 3)),
        (response(1, -1.0, 3), response(0)),
        (response(0), response(0)),
        (response(1, 0.5, 0), response(0)),
    ):
        metrics = utils.aggregate_video_cluster_metrics(slate, metrics)
    assert written(metrics) == {
        "CTR": 0.75,
        "AverageQuality": pytest.approx(0.5),
        "cluster_watch_count_frac/cluster_0": 0.25,
        "cluster_watch_count_frac/cluster_3": 0.5,
        "cluster_watch_count_frac/no_click": 0.25,
    }


def test_a_slate_counts_for_each_user_who_saw_one():
    metrics = collections.defaultdict(float)
    utils.aggregate_video_cluster_metrics(((response(1), response(0)), (response(0),), ()), metrics)
    assert metrics["impression"] == 2
    assert metrics["click"] == metrics["cluster_watch_count_no_click"] == 1


def test_nothing_is_defined_before_the_first_slate():
    assert written(collections.defaultdict(float), num_topics=1) == dict.fromkeys(
        [
            "CTR",
            "AverageQuality",
            "cluster_watch_count_frac/cluster_0",
            "cluster_watch_count_frac/no_click",
        ]
    )


def test_without_clicks_the_quality_alone_is_not_defined():
    metrics = utils.aggregate_video_cluster_metrics((response(0),), collections.defaultdict(float))
    assert written(metrics) == {
        "CTR": 0.0,
        "AverageQuality": None,
        "cluster_watch_count_frac/no_click": 1.0,
    }


def test_topics_without_clicks_are_reported():
    slate = (response(1, 2.0, 1), response(0))
    metrics = utils.aggregate_video_cluster_metrics(slate, collections.defaultdict(float))
    before = dict(metrics)
    assert written(metrics, num_topics=3) == {
        "CTR": 1.0,
        "AverageQuality": 2.0,
        "cluster_watch_count_frac/cluster_0": 0.0,
        "cluster_watch_count_frac/cluster_1": 1.0,
        "cluster_watch_count_frac/cluster_2": 0.0,
        "cluster_watch_count_frac/no_click": 0.0,
    }
    assert metrics == before
