"""The mathematics of topic boredom, on arrays with any leading axes, without checks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

__all__ = [
    "NEVER",
    "Clicks",
    "attractions",
    "boredom_after",
    "clicks_by_topic",
    "clicks_of",
    "interests_after",
    "item_scores",
    "lengths_in_topics",
    "num_topics_distribution",
    "relevances",
    "remember_clicks",
    "sampled_interests",
    "sampled_items",
    "sampled_mixtures",
    "sampled_users",
    "shown_interests",
]

#: The step of a click that never was.
NEVER = -(2**30)

# Of the normal numbers that mixtures of topics are made of, which count up to 1.
_DEVIATION = 0.4
# What the numbers of focused items are raised to, as GeMS's code has it.
_FOCUS = 1.5

# The exponential of more is infinite in single precision.
_LARGEST_EXPONENT = 80.0


def num_topics_distribution(num_topics: int, mean: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns how many topics new users are interested in, and how likely, as cumulative sums.

    Each topic interests with probability ``mean / num_topics``, and of all users there are those
    whose topics are ``mean`` in number, or one fewer, or one more.
    """
    share = mean / num_topics
    sizes = np.array([n for n in (mean - 1, mean, mean + 1) if 1 <= n <= num_topics])
    weights = [
        math.comb(num_topics, n) * share**n * (1.0 - share) ** (num_topics - n) for n in sizes
    ]
    cumulative = np.cumsum(weights)
    cumulative /= cumulative[-1]
    return sizes, cumulative


def sampled_interests(values: np.ndarray, order: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Returns vectors of length 1 with so many topics.

    Args:
        values: uniform numbers in [0, 1), shape (..., embedding_size), what entries are made of.
        order: likewise, shape (..., num_topics); the topics with the least of them have entries.
        sizes: numbers of topics with entries above 0, at least 1, shape (...).

    Returns:
        Array of shape (..., embedding_size).
    """
    ranks = order.argsort(axis=-1).argsort(axis=-1)
    has = _of_numbers(ranks < np.asarray(sizes)[..., np.newaxis], values.shape[-1])
    vectors = np.where(has, 1.0 - values, 0.0)
    return _of_length_one(vectors.astype(values.dtype, copy=False))


def sampled_mixtures(normals: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Returns vectors with all topics, each by its share, as GeMS has them.

    Args:
        normals: numbers of the standard normal distribution, shape (..., embedding_size).
        shares: numbers above 0, shape (..., num_topics), which are divided by their sum.

    Returns:
        Array of shape (..., embedding_size), of any length.
    """
    shares = shares / np.add.reduce(shares, axis=-1, keepdims=True)
    numbers = np.minimum(np.abs(normals.dtype.type(_DEVIATION) * normals), 1.0)
    mixtures: np.ndarray = numbers * _of_numbers(shares, normals.shape[-1])
    return mixtures


def sampled_items(normals: np.ndarray, shares: np.ndarray, *, focused: bool) -> np.ndarray:
    """Returns items with all topics, vectors of length 1, see :func:`sampled_mixtures`.

    Args:
        normals: as there.
        shares: as there.
        focused: whether large numbers are made to count for more.
    """
    mixtures = sampled_mixtures(normals, shares)
    return _of_length_one(mixtures**_FOCUS if focused else mixtures)


def sampled_users(normals: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """Returns interests in all topics, in a few above all; their lengths in topics sum to 1.

    Args:
        normals: as for :func:`sampled_mixtures`.
        uniforms: uniform numbers in [0, 1), shape (..., num_topics), whose cubes make the shares.
    """
    mixtures = sampled_mixtures(normals, (1.0 - uniforms) ** 3)
    sums = np.add.reduce(lengths_in_topics(mixtures, uniforms.shape[-1]), axis=-1, keepdims=True)
    interests: np.ndarray = mixtures / np.where(sums > 0.0, sums, 1.0)
    return interests


def lengths_in_topics(vectors: np.ndarray, num_topics: int) -> np.ndarray:
    """Returns the lengths of vectors in each topic, shape (..., num_topics).

    Args:
        vectors: numbers >= 0, shape (..., embedding_size).
        num_topics: number of topics.
    """
    if vectors.shape[-1] == num_topics:
        return vectors
    return _lengths(vectors.reshape(*vectors.shape[:-1], num_topics, -1))


def _of_numbers(of_topics: np.ndarray, embedding_size: int) -> np.ndarray:
    """Returns what is said of topics for each of their numbers."""
    subtopics = embedding_size // of_topics.shape[-1]
    return of_topics if subtopics == 1 else of_topics.repeat(subtopics, axis=-1)


def _of_length_one(vectors: np.ndarray) -> np.ndarray:
    """Returns vectors, of the last axis, divided by their lengths."""
    divided: np.ndarray = vectors / _lengths(vectors)[..., np.newaxis]
    return divided


def _lengths(vectors: np.ndarray) -> np.ndarray:
    # Sums over a short last axis are slow in NumPy by any other way.
    lengths: np.ndarray = np.sqrt(np.einsum("...t,...t->...", vectors, vectors))
    return lengths


def shown_interests(interests: np.ndarray, bored: np.ndarray, effect: str) -> np.ndarray:
    """Returns users' interests as boredom leaves them.

    Args:
        interests: shape (..., embedding_size).
        bored: which topics they are bored of, bools of shape (..., num_topics).
        effect: 'bored_topics' for no interest in those topics, 'all_topics' for none in anything
            while there is one.
    """
    if effect == "all_topics":
        left: np.ndarray = interests.copy()
        left[np.logical_or.reduce(bored, axis=-1)] = 0.0
        return left
    left = interests * ~_of_numbers(bored, interests.shape[-1])
    return left


def item_scores(interests: np.ndarray, embedding: np.ndarray) -> np.ndarray:
    """Returns the products of users' interests and items.

    Args:
        interests: shape (..., embedding_size).
        embedding: shape (..., n_items, embedding_size).

    Returns:
        Scores in [0, 1] of shape (..., n_items).
    """
    if embedding.ndim == 3:  # Positions first in memory, as slates have them.
        by_position: np.ndarray = np.einsum("knt,nt->kn", embedding.swapaxes(0, 1), interests)
        return by_position.T
    scores: np.ndarray = np.einsum("...kt,...t->...k", embedding, interests)
    return scores


def relevances(scores: np.ndarray, relevance: str, offset: float, slope: float) -> np.ndarray:
    """Returns how relevant items of these scores are, in [0, 1].

    Args:
        scores: of any shape.
        relevance: 'logistic' for the logistic function of slope * (score - offset), 'threshold' for
            1 above the offset.
        offset: the score of relevance 1/2, or the greatest score of relevance 0.
        slope: steepness of the logistic function.
    """
    if relevance == "threshold":
        return (scores > offset).astype(scores.dtype)
    exponents = (offset - scores) * scores.dtype.type(slope)
    np.minimum(exponents, _LARGEST_EXPONENT, out=exponents)
    np.exp(exponents, out=exponents)
    exponents += 1.0
    np.reciprocal(exponents, out=exponents)
    result: np.ndarray = exponents
    return result


def attractions(
    relevance: np.ndarray, topics: np.ndarray, factor: float, limit: int, penalty: float
) -> np.ndarray:
    """Returns how likely the items of slates are clicked where they are looked at.

    Args:
        relevance: their relevance, shape (..., slate_size).
        topics: their main topics, same shape.
        factor: what the relevance is multiplied by.
        limit: of so many items of one main topic a slate is monotonous,
        penalty: and its items are less attractive by this divisor.
    """
    if factor != 1.0:
        relevance = relevance * relevance.dtype.type(factor)
    if penalty == 1.0 or limit > topics.shape[-1]:
        return relevance
    same = (topics[..., :, np.newaxis] == topics[..., np.newaxis, :]).sum(axis=-1)
    monotonous = (same >= limit).any(axis=-1, keepdims=True)
    return np.where(monotonous, relevance / relevance.dtype.type(penalty), relevance)


class Clicks(NamedTuple):
    """Clicks of users on slates, those on a position together: the order of slates in memory.

    Attributes:
        number: how many each user makes, int32 of shape (n_users,).
        cells: the clicks, as indices of arrays of shape (slate_size, n_users), shape (n_clicks,).
        users: whose each is, indices of that shape.
        ranks: how many the user makes before each, of that shape.
    """

    number: np.ndarray
    cells: np.ndarray
    users: np.ndarray
    ranks: np.ndarray

    def in_turn(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields users and cells of all first clicks, then of the second ones, and so on."""
        for turn in range(self.number.max(initial=0)):
            those = (self.ranks == turn).nonzero()[0]
            yield self.users.take(those), self.cells.take(those)


def clicks_of(clicked: np.ndarray) -> Clicks:
    """Returns the clicks on slates.

    Args:
        clicked: which items of the slates are clicked, bools of shape (n_users, slate_size).
    """
    num_users, slate_size = clicked.shape
    by_position = np.ascontiguousarray(clicked.T)
    before = np.zeros((slate_size + 1, num_users), np.int32)
    for position in range(slate_size):
        np.add(before[position], by_position[position], out=before[position + 1])
    cells = np.flatnonzero(by_position)
    return Clicks(before[-1], cells, cells % num_users, before.reshape(-1).take(cells))


def interests_after(
    interests: np.ndarray,
    clicks: Clicks,
    embedding: np.ndarray,
    memory: float,
    drift: str,
    num_topics: int | None = None,
) -> np.ndarray:
    """Returns users' interests after clicks, drawn towards the items.

    Args:
        interests: shape (n_users, embedding_size).
        clicks: the clicks on their slates.
        embedding: the items, shape (n_users, slate_size, embedding_size).
        memory: share of the interests that stays.
        drift: 'topics' for a step towards the mean of the items clicked, 'uniform' for one of the
            same sum that is equal in all topics, 'each_click' for one towards each of them.
        num_topics: the number of topics whose lengths sum to 1 in interests, None where these are
            vectors of length 1.
    """
    if memory == 1.0:
        return interests
    moved = interests.copy()
    # By position, the order in memory. Few click, and what others have is not even looked at.
    items = embedding.swapaxes(0, 1).reshape(-1, embedding.shape[-1])
    if drift == "each_click":
        for users, cells in clicks.in_turn():
            of_users, towards = moved.take(users, axis=0), items.take(cells, axis=0)
            moved[users] = _drawn(of_users, towards, memory, num_topics)
        return moved
    if not len(clicks.cells):
        return moved
    (who, cells), *others = clicks.in_turn()
    sums = np.empty_like(moved)
    sums[who] = items.take(cells, axis=0)
    # One click after the other, for sums depend on the order of their terms in the last bit.
    for users, cells in others:
        sums[users] += items.take(cells, axis=0)
    number = clicks.number.take(who).astype(interests.dtype)
    towards = sums.take(who, axis=0) / number[:, np.newaxis]
    if drift == "uniform":
        size = interests.dtype.type(interests.shape[-1])
        towards = np.einsum("nt->n", towards)[:, np.newaxis] / size
    moved[who] = _drawn(interests.take(who, axis=0), towards, memory, num_topics)
    return moved


def _drawn(
    interests: np.ndarray, towards: np.ndarray, memory: float, num_topics: int | None
) -> np.ndarray:
    """Returns the interests of some users drawn towards something."""
    dtype = interests.dtype.type
    moved: np.ndarray = dtype(memory) * interests + dtype(1.0 - memory) * towards
    if num_topics is None:
        lengths = _lengths(moved)
    else:
        lengths = np.add.reduce(lengths_in_topics(moved, num_topics), axis=-1)
    # What is clicked may have no topic: of the interests almost nothing may be left, or nothing.
    nothing = lengths == 0.0
    if nothing.any():
        moved[nothing], lengths[nothing] = interests[nothing], 1.0
    moved /= lengths[:, np.newaxis]
    return moved


def remember_clicks(
    memory: tuple[np.ndarray, np.ndarray, np.ndarray],
    clicks: Clicks,
    topics: np.ndarray,
    time: np.ndarray,
) -> None:
    """Adds clicks to what users remember, in the slate's order, in place of the oldest.

    Args:
        memory: the topics of the last clicks and their steps, arrays of shape (n_users, n_clicks),
            and where the next click goes, of shape (n_users,); all are changed in place.
        clicks: the clicks on their slates.
        topics: the main topics of the items, shape (n_users, slate_size).
        time: the step that the users are in, shape (n_users,).
    """
    remembered, steps, next_slot = memory
    num_users, capacity = remembered.shape
    cells, users, ranks = clicks.cells, clicks.users, clicks.ranks
    if topics.shape[1] > capacity:
        last = ranks >= clicks.number.take(users) - capacity
        cells, users, ranks = cells[last], users[last], ranks[last]
    slots = (next_slot.take(users) + ranks) % capacity * num_users + users
    # Clicks first in memory.
    np.put(remembered.T, slots, topics.T.reshape(-1).take(cells))
    np.put(steps.T, slots, time.take(users))
    next_slot += clicks.number
    next_slot %= capacity


def clicks_by_topic(
    remembered: np.ndarray, steps: np.ndarray, since: np.ndarray, num_topics: int
) -> np.ndarray:
    """Returns how many of the clicks that users remember are recent, by topic.

    Args:
        remembered: the topics of the last clicks, shape (n_users, n_clicks).
        steps: their steps, same shape.
        since: the first step that counts, shape (n_users,).
        num_topics: number of topics.

    Returns:
        int32 array of shape (n_users, num_topics).
    """
    num_users = len(remembered)
    # Topics first in memory: what is computed over topics is then computed for all users together.
    recent = np.flatnonzero(since <= steps.T)
    cells = remembered.T.reshape(-1).take(recent) * np.intp(num_users)
    cells += recent % num_users
    counts = np.bincount(cells, minlength=num_users * num_topics)
    return counts.astype(np.int32).reshape(num_topics, num_users).T


def boredom_after(
    bored: np.ndarray, timeout: np.ndarray, recent_clicks: np.ndarray, threshold: int, window: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns which topics users are bored of after a step, and for how many steps they would be.

    Args:
        bored: which topics they were bored of, bools of shape (..., num_topics).
        timeout: for how many steps more, ``window`` where they were not; same shape.
        recent_clicks: numbers of recent clicks on the topics, same shape.
        threshold: of so many clicks a user gets bored.
        window: number of steps that boredom lasts.
    """
    # By topic, the order in memory. Few are bored.
    cells = np.flatnonzero(bored.T)
    left = timeout.T.reshape(-1).take(cells) - timeout.dtype.type(1)
    still = left != 0
    cells, left = cells[still], left[still]
    bored_after = np.greater_equal(recent_clicks, threshold, order="F")
    timeout_after = np.full(timeout.shape, window, timeout.dtype, order="F")
    np.put(bored_after.T, cells, True)
    np.put(timeout_after.T, cells, left)
    return bored_after, timeout_after
