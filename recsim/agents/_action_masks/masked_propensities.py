"""Probabilities of slates under action masks, for the agents that know them.

They are known of users whose each two positions have the same documents or none in common:
positions of the same documents are filled as the slates of a scenario of these alone. Those of
other users are NaN, see :func:`recsim.agents._propensities.if_known`. Slates are integers of shape
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
) -> types.Propensities:
    """Returns the probabilities where a random slate is shown with a probability, else the best.

    Args:
        slates: the slates.
        greedy: the best slates, of shape (slate_size,), or (n_users, slate_size).
        epsilon: the probability of a random slate.
        num_candidates: number of candidates.
        allowed: the slates that masks allow; None without masks.
    """
    if allowed is None:
        explored = _propensities.uniform(slates, num_candidates)
    elif epsilon == 0.0:
        return _propensities.deterministic(slates, greedy)
    else:
        explored = _uniform(np.asarray(slates), allowed)
    return _propensities.epsilon_greedy(slates, greedy, epsilon, explored)


def random(
    slates: types.Slate, num_candidates: int, allowed: AllowedSlates | None
) -> types.Propensities:
    """Returns the probabilities of random slates, see :func:`epsilon_greedy`."""
    none_best = np.zeros(np.shape(slates)[-1], np.int64)
    return epsilon_greedy(slates, none_best, 1.0, num_candidates, allowed)


def _uniform(slates: np.ndarray, allowed: AllowedSlates) -> types.Propensities:
    of_users, may_stand, masks, is_known = _of_known_users(slates, allowed)
    sizes, ranks = _sizes_and_ranks(masks)
    items = may_stand / sizes[:, np.newaxis]
    steps = _allowed_so_far(of_users, may_stand) / (sizes - ranks)[:, np.newaxis]
    return _of_all_users(items, steps.cumprod(axis=-1), is_known, slates.shape)


def plackett_luce(
    slates: types.Slate, scores: np.ndarray, allowed: AllowedSlates | None
) -> types.Propensities:
    """Returns the probabilities where positions are filled in turn by a softmax of scores.

    Args:
        slates: the slates.
        scores: the logarithms of weights, of shape (num_candidates,), or (n_users, num_candidates).
        allowed: the slates that masks allow; None without masks.
    """
    if allowed is None:
        return _propensities.plackett_luce(slates, scores)
    slates = np.asarray(slates)
    of_users, may_stand, masks, is_known = _of_known_users(slates, allowed)
    scores = np.atleast_2d(scores)[is_known]
    _, ranks = _sizes_and_ranks(masks)
    items = np.empty(of_users.shape)
    logs = np.zeros(of_users.shape)
    so_far = _allowed_so_far(of_users, may_stand)
    users = np.arange(len(of_users))
    for place in range(slates.shape[-1]) if len(users) else ():
        of_place = np.where(masks[..., place], scores, -np.inf)
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
        logs[..., place] = np.where(so_far[..., place], log, -np.inf)
    return _of_all_users(items, np.exp(logs.cumsum(axis=-1)), is_known, slates.shape)


def _of_known_users(
    slates: np.ndarray, allowed: AllowedSlates
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns what there is of users whose probabilities are known.

    Returns:
        Their slates, (n_known, n_slates, slate_size); whether documents may stand there, of the
        same shape; their masks; and of all users whether theirs are known.
    """
    is_known = allowed.is_partition
    masks = allowed.masks[is_known]
    of_users = slates.reshape(len(is_known), -1, slates.shape[-1])[is_known]
    users = np.arange(len(masks))[:, np.newaxis, np.newaxis]
    may_stand = masks[users, of_users, np.arange(slates.shape[-1])]
    return of_users, may_stand, masks, is_known


def _of_all_users(
    items: np.ndarray, prefixes: np.ndarray, is_known: np.ndarray, shape: tuple[int, ...]
) -> types.Propensities:
    """Returns the probabilities of slates of a shape, NaN of users of whom they are not known."""

    def of_all(known: np.ndarray) -> np.ndarray:
        found = np.full((len(is_known), *known.shape[1:]), np.nan)
        found[is_known] = known
        return found.reshape(shape)

    prefixes = of_all(prefixes)
    return types.Propensities(prefixes[..., -1], of_all(items), prefixes)


def _allowed_so_far(of_users: np.ndarray, may_stand: np.ndarray) -> np.ndarray:
    so_far: np.ndarray = np.logical_and.accumulate(may_stand, axis=-1)
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
