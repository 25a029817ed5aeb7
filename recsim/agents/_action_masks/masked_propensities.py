"""Probabilities of slates under action masks, for the agents that know them.

They are known where each two positions have the same documents or none in common: positions of the
same documents are filled as the slates of a scenario of these alone. Slates are integers of shape
(..., slate_size), of one user or of as many as there are masks on axis 0.
"""

from __future__ import annotations

import numpy as np

from recsim import types
from recsim.agents import _propensities
from recsim.agents._action_masks.allowed_slates import AllowedSlates

__all__ = ["epsilon_greedy", "plackett_luce", "random"]


def epsilon_greedy(
    slates: types.Slate,
    greedy: types.Slate,
    epsilon: float,
    num_candidates: int,
    allowed: AllowedSlates | None,
) -> types.Propensities | None:
    """Returns the probabilities where a random slate is shown with a probability, else the best.

    Args:
        slates: the slates.
        greedy: the best slates, of shape (slate_size,), or (n_users, slate_size).
        epsilon: the probability of a random slate.
        num_candidates: number of candidates.
        allowed: which documents may stand where; None for all everywhere.

    Returns:
        None where slates are explored under masks whose positions share some documents alone.
    """
    if allowed is None:
        explored = _propensities.uniform(slates, num_candidates)
    elif epsilon == 0.0:
        return _propensities.deterministic(slates, greedy)
    elif not allowed.is_partition.all():
        return None
    else:
        explored = _uniform(np.asarray(slates), allowed)
    return _propensities.epsilon_greedy(slates, greedy, epsilon, explored)


def random(
    slates: types.Slate, num_candidates: int, allowed: AllowedSlates | None
) -> types.Propensities | None:
    """Returns the probabilities of random slates, see :func:`epsilon_greedy`."""
    return epsilon_greedy(
        slates, np.zeros(np.shape(slates)[-1], np.int64), 1.0, num_candidates, allowed
    )


def _uniform(slates: np.ndarray, allowed: AllowedSlates) -> types.Propensities:
    of_users, allowed = _of_users(slates, allowed)
    sizes, ranks = _sizes_and_ranks(allowed.masks)
    items = allowed / sizes[:, np.newaxis]
    steps = _allowed_so_far(of_users, allowed) / (sizes - ranks)[:, np.newaxis]
    prefixes = steps.cumprod(axis=-1).reshape(slates.shape)
    return types.Propensities(prefixes[..., -1], items.reshape(slates.shape), prefixes)


def plackett_luce(
    slates: types.Slate, scores: np.ndarray, allowed: AllowedSlates
) -> types.Propensities | None:
    """Returns the probabilities where positions are filled in turn by a softmax of scores.

    Args:
        slates: the slates.
        scores: the logarithms of weights, of shape (n_users, num_candidates).
        allowed: which documents may stand where.

    Returns:
        None under masks whose positions share some documents alone.
    """
    slates = np.asarray(slates)
    size = slates.shape[-1]
    if not allowed.is_partition.all():
        return None
    of_users, allowed = _of_users(slates, allowed)
    _, ranks = _sizes_and_ranks(allowed.masks)
    items = np.empty(of_users.shape)
    logs = np.zeros(of_users.shape)
    distinct = _allowed_so_far(of_users, allowed)
    users = np.arange(len(of_users))
    for place in range(size):
        of_place = np.where(allowed.masks[..., place], scores, -np.inf)
        of_place = of_place - of_place.max(axis=1, keepdims=True)
        number = int(ranks[:, place].max()) + 1
        # Of users who have fewer documents there, positions after the last of them do not count.
        with np.errstate(invalid="ignore"):
            marginals = _propensities.marginals(of_place, number)
        at_rank = marginals[users, :, ranks[:, place]]
        items[..., place] = np.take_along_axis(at_rank, of_users[..., place], axis=1)
        left = np.repeat(of_place[:, np.newaxis], of_users.shape[1], axis=1)
        np.put_along_axis(left, of_users[..., :place], -np.inf, axis=-1)
        own = np.take_along_axis(left, of_users[..., place, np.newaxis], axis=-1)[..., 0]
        with np.errstate(invalid="ignore"):
            log = own - np.logaddexp.reduce(left, axis=-1)
        logs[..., place] = np.where(distinct[..., place], log, -np.inf)
    prefixes = np.exp(logs.cumsum(axis=-1)).reshape(slates.shape)
    return types.Propensities(prefixes[..., -1], items.reshape(slates.shape), prefixes)


def _of_users(slates: np.ndarray, allowed: AllowedSlates) -> tuple[np.ndarray, np.ndarray]:
    """Returns slates, (n_users, n_slates, slate_size), and whether documents may stand there."""
    masks = allowed.masks
    of_users = slates.reshape(len(masks), -1, slates.shape[-1])
    users = np.arange(len(masks))[:, np.newaxis, np.newaxis]
    return of_users, masks[users, of_users, np.arange(slates.shape[-1])]


def _allowed_so_far(of_users: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    so_far: np.ndarray = np.logical_and.accumulate(allowed, axis=-1)
    so_far &= _propensities.distinct(of_users)
    return so_far


def _sizes_and_ranks(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns how many documents positions have, and how many before them have the same ones.

    Both have the shape (n_users, slate_size).
    """
    of_positions = masks.astype(np.float32)
    shared = of_positions.swapaxes(1, 2) @ of_positions
    ranks = np.tril(shared > 0, -1).sum(axis=2)
    return masks.sum(axis=1), ranks
