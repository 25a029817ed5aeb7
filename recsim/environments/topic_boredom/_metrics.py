"""What is reported of topic boredom: clicks, boredom and the variety of slates."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recsim import metrics as metrics_lib
from recsim import types, utils

__all__ = [
    "BORED",
    "TOPICS",
    "aggregate_boredom_metrics",
    "num_topics",
    "write_boredom_metrics",
]

# Sets of so many topics are the bits of numbers that are looked up.
_BITS = 16

#: The names of counts: slates shown to users who are bored of a topic, and
BORED = "bored"
#: the sum of the numbers of main topics of the slates.
TOPICS = "topics"


def num_topics(topics: np.ndarray) -> int:
    """Returns the sum of the numbers of different topics of slates.

    Args:
        topics: whole numbers >= 0, shape (n_slates, slate_size).
    """
    if topics.max(initial=0) < _BITS:
        sets = np.bitwise_or.reduce(np.left_shift(1, topics.T, dtype=np.int32), axis=0)
        return int(_number_of_bits().take(sets).sum())
    num_slates = len(topics)
    shown = np.zeros(num_slates * (int(topics.max()) + 1), np.bool_)
    shown[topics * num_slates + np.arange(num_slates)[:, np.newaxis]] = True
    return int(np.count_nonzero(shown))


@functools.cache
def _number_of_bits() -> np.ndarray:
    """Returns how many bits are set in each number of so many bits."""
    sets = np.arange(2**_BITS)
    number: np.ndarray = np.add.reduce([sets >> bit & 1 for bit in range(_BITS)])
    return number


def aggregate_boredom_metrics(
    responses: Sequence[Any], metrics: types.Metrics, info: Mapping[str, Any]
) -> types.Metrics:
    """Adds the observed responses to one slate to the metrics.

    Args:
        responses: tuple of responses' observations; with several users, a tuple of such tuples.
        metrics: counts so far, those of :func:`recsim.utils.aggregate_video_cluster_metrics`, and
            slates shown to users who were bored of a topic (``bored``) and the sum of the numbers
            of main topics of slates (``topics``). Changed in place.
        info: what a step returns as its info, of which ``env`` is the environment.

    Returns:
        ``metrics``.
    """
    utils.aggregate_video_cluster_metrics(responses, metrics)
    models = info["env"].user_model
    several = isinstance(models, (list, tuple))
    for of_one, model in zip(responses, models) if several else ((responses, models),):
        if of_one:
            metrics[BORED] += model.num_bored > 0
            metrics[TOPICS] += len({int(response["cluster_id"]) for response in of_one})
    return metrics


def write_boredom_metrics(
    metrics: types.Metrics, add_summary_fn: types.AddSummary, *, num_topics: int = 0
) -> None:
    """Reports what :func:`recsim.utils.write_video_cluster_metrics` does, boredom and variety.

    ``BoredShare`` is the share of the slates that were shown to users who were bored of a topic,
    and ``TopicsPerSlate`` the mean number of main topics of a slate.

    Args:
        metrics: the counts of :func:`aggregate_boredom_metrics`.
        add_summary_fn: called as ``add_summary_fn(tag, value)`` for each metric, with NaN for one
            that is not defined.
        num_topics: number of topics, each of which is reported.
    """
    utils.write_video_cluster_metrics(metrics, add_summary_fn, num_topics=num_topics)
    slates = metrics.get(metrics_lib.IMPRESSIONS, 0)
    for tag, name in (("BoredShare", BORED), ("TopicsPerSlate", TOPICS)):
        add_summary_fn(tag, float(metrics_lib.ratio(metrics.get(name, 0), slates)))
