"""Metrics of video-like environments: clicks a slate, in all and by topic, and their quality."""

from __future__ import annotations

import math
from collections.abc import Callable, MutableMapping
from typing import Any

from recsim._internal import numbers, validation

__all__ = ["CLUSTER_PREFIX", "aggregate_video_cluster_metrics", "write_video_cluster_metrics"]

#: What the names of the counts of clicks on a topic begin with; the topic follows.
CLUSTER_PREFIX = "cluster_watch_count_cluster_"


def aggregate_video_cluster_metrics(
    responses: Any, metrics: MutableMapping[str, float], info: Any = None
) -> MutableMapping[str, float]:
    """Adds the observed responses to one slate to the metrics.

    Args:
        responses: tuple of responses' observations with the keys ``click``, ``quality`` and
            ``cluster_id``; with several users, a tuple of such tuples.
        metrics: counts so far, a ``defaultdict(float)``: slates shown (``impression``), clicks
            (``click``), the sum of the clicked documents' quality (``quality``), clicks by topic
            and slates without a click. Changed in place.
        info: ignored.

    Returns:
        ``metrics``.

    Raises:
        TypeError, ValueError: if an entry of a response is not one number.
    """
    del info  # Unused.
    if responses and not isinstance(responses[0], dict):
        for of_one_user in responses:
            # A user whose session is over was shown nothing.
            if of_one_user:
                aggregate_video_cluster_metrics(of_one_user, metrics)
        return metrics
    clicked = [
        response
        for response in responses
        if numbers.is_nonzero("a response's click", response["click"])
    ]
    metrics["impression"] += 1
    for response in clicked:
        metrics["click"] += 1
        metrics["quality"] += numbers.finite("a response's quality", response["quality"])
        topic = response["cluster_id"]
        if not isinstance(topic, str):
            topic = numbers.as_int("a response's cluster_id", topic)
        metrics[f"{CLUSTER_PREFIX}{topic}"] += 1
    if not clicked:
        metrics["cluster_watch_count_no_click"] += 1
    return metrics


def write_video_cluster_metrics(
    metrics: MutableMapping[str, float],
    add_summary_fn: Callable[[str, float], None],
    *,
    num_topics: int = 0,
) -> None:
    """Reports click-through rate, mean quality of clicks, and clicks a slate by topic.

    The click-through rate ``CTR`` is the number of clicks a slate. Of it,
    ``cluster_watch_count_frac/cluster_<i>`` is what fell on topic ``i``: a share of the slates, as
    in RecSim, not of the clicks. ``cluster_watch_count_frac/no_click`` is the share of the slates
    without a click.

    Args:
        metrics: the counts of :func:`aggregate_video_cluster_metrics`.
        add_summary_fn: called as ``add_summary_fn(tag, value)`` for each metric, with NaN for one
            that is not defined: the quality where nothing was clicked, all of them before the
            first slate.
        num_topics: number of topics, each of which is reported, with 0 where it has no clicks.
            Without it, the topics that were clicked are.
    """
    validation.mapping("metrics", metrics)
    validation.function("add_summary_fn", add_summary_fn)
    impressions, clicks = metrics.get("impression", 0), metrics.get("click", 0)
    add_summary_fn("CTR", _ratio(clicks, impressions))
    add_summary_fn("AverageQuality", _ratio(metrics.get("quality", 0), clicks))
    names = {f"{CLUSTER_PREFIX}{topic}" for topic in range(num_topics)}
    names.update(name for name in metrics if name.startswith(CLUSTER_PREFIX))
    for name in sorted(names):
        tag = f"cluster_watch_count_frac/cluster_{name.removeprefix(CLUSTER_PREFIX)}"
        add_summary_fn(tag, _ratio(metrics.get(name, 0), impressions))
    no_click = metrics.get("cluster_watch_count_no_click", 0)
    add_summary_fn("cluster_watch_count_frac/no_click", _ratio(no_click, impressions))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
