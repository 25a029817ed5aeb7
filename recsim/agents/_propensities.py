"""Probabilities of slates, for the agents that know them.

Slates are integers of shape (..., slate_size). What else there is of a user is broadcast against
them from the left: with slates of shape (n_users, n_slates, slate_size), weights have the shape
(n_users, num_candidates). A slate that holds a document twice has the probability 0.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np

from recsim import types

__all__ = [
    "deterministic",
    "distinct",
    "epsilon_greedy",
    "if_known",
    "joined",
    "marginals",
    "of_user",
    "plackett_luce",
    "uniform",
    "uniform_ascending",
]

# Up to so many beginnings of slates are looked at one by one for each user.
_MOST_PREFIXES = 4096

# The step in which the logarithm of time is integrated, and the tails that are left out: the
# trapezoidal rule is exact to about 1e-13 then.
_STEP = 0.3
_SMALLEST, _LARGEST = 1e-15, 40.0
# How far below the others the score of a document is that is never shown, where it is integrated.
_NEVER = 50.0
# Numbers in an array of the integration.
_BLOCK = 2_000_000


def distinct(slates: np.ndarray) -> np.ndarray:
    """Says of each beginning of slates whether it holds no document twice."""
    found = np.ones(slates.shape, np.bool_)
    for first, second in itertools.combinations(range(slates.shape[-1]), 2):
        different = slates[..., first] != slates[..., second]
        found[..., second:] &= different[..., np.newaxis]
    return found


def uniform(slates: types.Slate, num_candidates: int) -> types.Propensities:
    """Returns the probabilities where all slates without repetition are equally likely."""
    slates = np.asarray(slates)
    slate_size = slates.shape[-1]
    counts = [math.perm(num_candidates, place + 1) for place in range(slate_size)]
    prefixes = distinct(slates) / np.array(counts, np.float64)
    items = np.full(slates.shape, 1.0 / num_candidates)
    return types.Propensities(prefixes[..., -1], items, prefixes)


def uniform_ascending(slates: types.Slate, num_candidates: int) -> types.Propensities:
    """Returns the probabilities where all sets are equally likely and shown in ascending order."""
    slates = np.asarray(slates)
    slate_size = slates.shape[-1]
    index = np.arange(num_candidates)
    count = np.vectorize(math.comb, otypes=[np.float64])
    ascending = np.ones(slates.shape, np.bool_)
    ascending[..., 1:] = np.logical_and.accumulate(np.diff(slates, axis=-1) > 0, axis=-1)
    number_of_sets = math.comb(num_candidates, slate_size)
    items = np.empty(slates.shape)
    prefixes = np.empty(slates.shape)
    for place in range(slate_size):
        after = count(num_candidates - 1 - index, slate_size - 1 - place)
        before = count(index, place)
        items[..., place] = (before * after / number_of_sets)[slates[..., place]]
        prefixes[..., place] = (after / number_of_sets)[slates[..., place]] * ascending[..., place]
    return types.Propensities(prefixes[..., -1], items, prefixes)


def epsilon_greedy(
    slates: types.Slate,
    greedy: types.Slate,
    epsilon: float,
    explored: types.Propensities,
) -> types.Propensities:
    """Returns the probabilities where a slate is explored with a probability, else the best one.

    Args:
        slates: the slates.
        greedy: the best slates, of shape (slate_size,), or (n_users, slate_size).
        epsilon: the probability of exploring.
        explored: the probabilities of the slates when exploring.
    """
    slates, greedy = np.asarray(slates), np.asarray(greedy)
    if slates.ndim > greedy.ndim > 1:
        greedy = np.expand_dims(greedy, tuple(range(1, slates.ndim - greedy.ndim + 1)))
    same = slates == greedy
    # An item's probability and a prefix's are sums of the probabilities of slates, as the slate's.
    items = epsilon * np.asarray(explored.items) + (1.0 - epsilon) * same
    so_far = np.logical_and.accumulate(same, axis=-1)
    prefixes = epsilon * np.asarray(explored.prefixes) + (1.0 - epsilon) * so_far
    return types.Propensities(prefixes[..., -1], items, prefixes)


def deterministic(slates: types.Slate, chosen: types.Slate) -> types.Propensities:
    """Returns the probabilities where the chosen slates are shown for certain."""
    slates = np.asarray(slates)
    nothing = np.zeros(slates.shape)
    return epsilon_greedy(slates, chosen, 0.0, types.Propensities(None, nothing, nothing))


def if_known(found: types.Propensities) -> types.Propensities | None:
    """Returns probabilities that are NaN where they are not known; None if they all are."""
    return None if np.isnan(found.items).all() else found


def joined(parts: Sequence[types.Propensities]) -> types.Propensities:
    """Returns the probabilities of users who follow one another as those of all."""

    def of_all(arrays: Iterable[float | Sequence[float] | np.ndarray | None]) -> np.ndarray | None:
        known = [np.asarray(array) for array in arrays if array is not None]
        return np.concatenate(known) if len(known) == len(parts) else None

    return types.Propensities(
        of_all(part.slate for part in parts),
        np.concatenate([np.asarray(part.items) for part in parts]),
        of_all(part.prefixes for part in parts),
        parts[0].num_samples,
    )


def of_user(known: types.Propensities, user: int) -> types.Propensities:
    """Returns the probabilities of one of several users."""

    def row(array: float | Sequence[float] | np.ndarray | None) -> np.ndarray | None:
        return None if array is None else np.asarray(array)[user]

    items = np.asarray(known.items)[user]
    return types.Propensities(row(known.slate), items, row(known.prefixes), known.num_samples)


def plackett_luce(slates: types.Slate, scores: np.ndarray) -> types.Propensities:
    """Returns the probabilities where documents are sampled in turn by a softmax of their scores.

    Args:
        slates: the slates, of shape (..., slate_size).
        scores: the logarithms of weights, of shape (num_candidates,), or
            (n_users, num_candidates).
    """
    slates = np.asarray(slates)
    several = slates.ndim - scores.ndim  # An axis of slates of each user.
    scores = scores - scores.max(axis=-1, keepdims=True)
    of_all = marginals(np.atleast_2d(scores), slates.shape[-1]).reshape(*scores.shape, -1)
    items = np.empty(slates.shape)
    for place in range(slates.shape[-1]):
        of_place = slates[..., place].reshape(*scores.shape[:-1], -1)
        found = np.take_along_axis(of_all[..., place], of_place, axis=-1)
        items[..., place] = found.reshape(slates.shape[:-1])
    left = np.array(
        np.broadcast_to(_expanded(scores, several), (*slates.shape[:-1], scores.shape[-1]))
    )
    prefixes = np.empty(slates.shape)
    so_far = np.zeros(slates.shape[:-1])
    for place in range(slates.shape[-1]):
        index = slates[..., place, np.newaxis]
        of_index = np.take_along_axis(left, index, axis=-1)[..., 0]
        so_far = so_far + of_index - _log_of_sum(left)
        prefixes[..., place] = np.exp(so_far)
        np.put_along_axis(left, index, -np.inf, axis=-1)
    return types.Propensities(prefixes[..., -1], items, prefixes)


def _expanded(scores: np.ndarray, axes: int) -> np.ndarray:
    return np.expand_dims(scores, tuple(range(scores.ndim - 1, scores.ndim - 1 + axes)))


def _log_of_sum(logs: np.ndarray) -> np.ndarray:
    """Returns the logarithms of the sums of numbers, given by their logarithms, of rows."""
    highest = logs.max(axis=-1)
    # A row of which nothing is left has no document that it is asked for either.
    shift = np.where(np.isfinite(highest), highest, 0.0)
    with np.errstate(divide="ignore"):
        sums: np.ndarray = np.log(np.exp(logs - shift[..., np.newaxis]).sum(axis=-1)) + shift
    return sums


def marginals(scores: np.ndarray, slate_size: int) -> np.ndarray:
    """Returns the probabilities of documents at positions, (n_users, num_candidates, slate_size).

    Args:
        scores: logarithms of weights, at most 0, shape (n_users, num_candidates); -inf for what
            is never shown, in rows that have a document for each position.
        slate_size: number of positions.
    """
    num_candidates = scores.shape[1]
    if math.perm(num_candidates, slate_size - 1) <= _MOST_PREFIXES:
        return _marginals_of_prefixes(scores, slate_size)
    is_shown = np.isfinite(scores)
    if not is_shown.all():
        lowest = np.where(is_shown, scores, 0.0).min(axis=1, keepdims=True)
        scores = np.where(is_shown, scores, lowest - _NEVER)
    rows = max(1, _BLOCK // (num_candidates * slate_size * 200))
    parts = [
        _marginals_by_integration(scores[start : start + rows], slate_size)
        for start in range(0, len(scores), rows)
    ]
    return np.concatenate(parts)


def _marginals_of_prefixes(scores: np.ndarray, slate_size: int) -> np.ndarray:
    """Sums the probabilities of all that may stand before a document."""
    num_candidates = scores.shape[1]
    marginals = np.zeros((*scores.shape, slate_size))
    for place in range(slate_size):
        for before in itertools.permutations(range(num_candidates), place):
            left = scores.copy()
            so_far = np.zeros(len(scores))
            for document in before:
                so_far += left[:, document] - _log_of_sum(left)
                left[:, document] = -np.inf
            so_far -= _log_of_sum(left)
            marginals[:, :, place] += np.exp(left + so_far[:, np.newaxis])
    return marginals


def _marginals_by_integration(scores: np.ndarray, slate_size: int) -> np.ndarray:
    """Integrates over the time at which a document arrives, where weights are rates of arrival.

    Documents ordered by independent exponential times with their weights as rates are ordered as
    Plackett and Luce have it. A document stands at a position if as many others came before.
    """
    num_users, num_candidates = scores.shape
    weights = np.exp(scores)
    # From when on one more document has arrived for certain than there are positions.
    ordered = np.sort(scores, axis=1)
    slowest = ordered[:, max(0, num_candidates - slate_size - 1)]
    first = math.log(_SMALLEST) - math.log(num_candidates)
    last = math.log(_LARGEST) - np.minimum(slowest, 0.0).min()
    log_times = np.arange(first, last + _STEP, _STEP)
    rates = weights[:, np.newaxis, :] * np.exp(log_times)[:, np.newaxis]
    arrived = -np.expm1(-rates)  # (n_users, num_times, num_candidates)
    shape = (num_users, len(log_times), slate_size)
    # How many of the documents before one, and of those from one on, have arrived.
    after = np.zeros((num_candidates + 1, *shape))
    after[num_candidates, ..., 0] = 1.0
    for document in range(num_candidates - 1, 0, -1):
        after[document] = _one_more(after[document + 1], arrived[..., document])
    before = np.zeros(shape)
    before[..., 0] = 1.0
    marginals = np.empty((num_users, num_candidates, slate_size))
    densities = rates * np.exp(-rates) * _STEP
    for document in range(num_candidates):
        rest = after[document + 1]
        for place in range(slate_size):
            others = (before[..., : place + 1] * rest[..., place::-1]).sum(axis=-1)
            marginals[:, document, place] = (others * densities[..., document]).sum(axis=1)
        before = _one_more(before, arrived[..., document])
    return marginals


def _one_more(counts: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Returns the distribution of a count to which one is added with a probability."""
    added: np.ndarray = counts * (1.0 - probability[..., np.newaxis])
    added[..., 1:] += counts[..., :-1] * probability[..., np.newaxis]
    return added
