"""RecSim's metrics of video-like environments: clicks a slate, in all and by topic, and quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from recsim import metrics as metrics_lib
from recsim import types
from recsim._internal import numbers, validation

__all__ = [
    "VideoResponses",
    "aggregate_video_cluster_metrics",
    "video_cluster_metrics",
    "write_video_cluster_metrics",
]


class VideoResponses(Protocol):
    """Responses of users in parallel to a slate each, arrays of shape (n_users, slate_size)."""

    @property
    def clicked(self) -> np.ndarray:
        """Whether the documents were clicked."""

    @property
    def quality(self) -> np.ndarray:
        """Their qualities."""

    @property
    def cluster_id(self) -> np.ndarray:
        """Their topics."""


def aggregate_video_cluster_metrics(
    responses: Sequence[Any], metrics: types.Metrics, info: object = None
) -> types.Metrics:
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
            # A user whose episode is over was shown nothing.
            if of_one_user:
                aggregate_video_cluster_metrics(of_one_user, metrics)
        return metrics
    qualities, topics = [], []
    for response in responses:
        if numbers.is_nonzero("a response's click", response["click"]):
            qualities.append(numbers.finite("a response's quality", response["quality"]))
            topic = response["cluster_id"]
            if not isinstance(topic, str):
                topic = numbers.as_int("a response's cluster_id", topic)
            topics.append(topic)
    metrics_lib.add_slate(metrics, qualities, topics)
    return metrics


def video_cluster_metrics(responses: VideoResponses) -> Mapping[str, float]:
    """Returns what slates add to the metrics of :func:`aggregate_video_cluster_metrics`.

    Args:
        responses: the responses of the vector engine's users.
    """
    return metrics_lib.totals(responses.clicked, responses.quality, responses.cluster_id)


def write_video_cluster_metrics(
    metrics: types.Metrics, add_summary_fn: types.AddSummary, *, num_topics: int = 0
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
    slates, clicks = (
        metrics.get(name, 0) for name in (metrics_lib.IMPRESSIONS, metrics_lib.CLICKS)
    )

    def report(tag: str, part: float, whole: float) -> None:
        add_summary_fn(tag, float(metrics_lib.ratio(part, whole)))

    report("CTR", clicks, slates)
    report("AverageQuality", metrics.get(metrics_lib.QUALITY, 0), clicks)
    for topic, on_topic in metrics_lib.clicks_on_topics(metrics, num_topics).items():
        report(f"cluster_watch_count_frac/cluster_{topic}", on_topic, slates)
    without_click = metrics.get(metrics_lib.SLATES_WITHOUT_CLICK, 0)
    report("cluster_watch_count_frac/no_click", without_click, slates)
