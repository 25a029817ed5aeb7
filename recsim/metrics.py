"""Metrics of slates: clicks, their quality and their topics, as functions of arrays.

Arrays of slates have the slate's positions on their last axis and any axes before it, such as users
or episodes. :mod:`recsim.utils` has RecSim's functions, which go by the names here.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from recsim._internal import numbers

__all__ = [
    "CLICKS",
    "CLICKS_ON_TOPIC",
    "IMPRESSIONS",
    "QUALITY",
    "SLATES_WITHOUT_CLICK",
    "add_slate",
    "click_quality",
    "clicks_by_topic",
    "clicks_on_topics",
    "num_clicks",
    "ratio",
    "totals",
]

#: The names of counts, which are RecSim's: slates shown,
IMPRESSIONS = "impression"
#: documents clicked,
CLICKS = "click"
#: the sum of their qualities,
QUALITY = "quality"
#: slates of which nothing was clicked, and
SLATES_WITHOUT_CLICK = "cluster_watch_count_no_click"
#: what the names of the counts of clicks on a topic begin with; the topic follows.
CLICKS_ON_TOPIC = "cluster_watch_count_cluster_"


def num_clicks(clicked: np.ndarray) -> np.ndarray:
    """Returns the number of clicks on each slate.

    Args:
        clicked: whether the documents were clicked, shape (..., slate_size).

    Returns:
        Integers of shape (...).
    """
    return np.asarray(np.count_nonzero(clicked, axis=-1))


def click_quality(clicked: np.ndarray, quality: np.ndarray) -> np.ndarray:
    """Returns the sum of the qualities of the documents clicked of each slate.

    Args:
        clicked: whether the documents were clicked, bools of shape (..., slate_size).
        quality: their qualities, same shape.

    Returns:
        Numbers of shape (...), float64.
    """
    return np.asarray(quality.sum(axis=-1, where=clicked, dtype=np.float64))


def clicks_by_topic(clicked: np.ndarray, topics: np.ndarray, num_topics: int) -> np.ndarray:
    """Returns the number of clicks on the documents of each topic, of each slate.

    Args:
        clicked: whether the documents were clicked, shape (..., slate_size).
        topics: their topics, integers in [0, num_topics), same shape.
        num_topics: number of topics.

    Returns:
        Integers of shape (..., num_topics).
    """
    leading, slate_size = clicked.shape[:-1], clicked.shape[-1]
    slates, positions = np.nonzero(clicked.reshape(-1, slate_size))
    cells = slates * num_topics + topics.reshape(-1, slate_size)[slates, positions]
    size = int(np.prod(leading, dtype=np.int64)) * num_topics
    return np.bincount(cells, minlength=size).reshape(*leading, num_topics)


def totals(clicked: np.ndarray, quality: np.ndarray, topics: np.ndarray) -> dict[str, float]:
    """Returns the counts of slates together, by their names; topics without clicks are left out.

    Args:
        clicked: whether the documents were clicked, shape (..., slate_size).
        quality: their qualities, same shape.
        topics: their topics, whole numbers >= 0, same shape.

    Raises:
        TypeError, ValueError: if a topic of a document clicked is not a whole number >= 0.
        ValueError: if the shapes differ.
    """
    if not clicked.shape == quality.shape == topics.shape:
        raise ValueError(
            "clicked, quality and topics must have the same shape, got "
            f"{clicked.shape}, {quality.shape} and {topics.shape}."
        )
    # By position, which the arrays of the vector engine have in this order in memory.
    by_position = clicked.T
    if by_position.dtype != np.bool_:
        by_position = by_position != 0
    cells = np.flatnonzero(by_position)
    clicked_topics, qualities = topics.T.reshape(-1).take(cells), quality.T.reshape(-1).take(cells)
    on_topics = np.bincount(numbers.whole_array("cluster_id", clicked_topics)).tolist()
    any_click = by_position.any(axis=0)
    return {
        IMPRESSIONS: float(any_click.size),
        CLICKS: float(len(clicked_topics)),
        QUALITY: float(qualities.sum(dtype=np.float64)),
        SLATES_WITHOUT_CLICK: float(any_click.size - np.count_nonzero(any_click)),
        **{f"{CLICKS_ON_TOPIC}{topic}": float(n) for topic, n in enumerate(on_topics) if n},
    }


def add_slate(
    counts: MutableMapping[str, float], qualities: Sequence[float], topics: Sequence[int | str]
) -> None:
    """Counts one slate, as :func:`totals` does, for which plain Python is several times faster.

    Args:
        counts: counts so far by their names, a ``defaultdict(float)``; changed in place.
        qualities: the qualities of the documents clicked.
        topics: their topics.
    """
    counts[IMPRESSIONS] += 1
    if not topics:
        counts[SLATES_WITHOUT_CLICK] += 1
        return
    counts[CLICKS] += len(topics)
    for quality in qualities:
        counts[QUALITY] += quality
    for topic in topics:
        counts[f"{CLICKS_ON_TOPIC}{topic}"] += 1


def clicks_on_topics(counts: Mapping[str, float], num_topics: int = 0) -> dict[str, float]:
    """Returns the numbers of clicks by topic among counts, in the order of their names.

    Args:
        counts: counts by their names.
        num_topics: number of topics, each of which is there, with 0 where it has no clicks.
            Without it, the topics that were clicked are.
    """
    names = {f"{CLICKS_ON_TOPIC}{topic}" for topic in range(num_topics)}
    names.update(name for name in counts if name.startswith(CLICKS_ON_TOPIC))
    return {name.removeprefix(CLICKS_ON_TOPIC): counts.get(name, 0) for name in sorted(names)}


def ratio(part: ArrayLike, whole: ArrayLike) -> np.ndarray:
    """Returns ``part / whole``, NaN where the whole is 0.

    Args:
        part: numbers of any shape.
        whole: numbers that broadcast against them.

    Returns:
        Numbers of their common shape, float64.
    """
    whole = np.asarray(whole, np.float64)
    return np.asarray(part / np.where(whole == 0.0, np.nan, whole))
