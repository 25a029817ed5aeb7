"""Choice of slates that maximise the decomposed value of SlateQ, for users in parallel.

A slate A of documents with choice weights s and values q is worth

    value(A) = sum_{i in A} s_i q_i / (s_0 + sum_{i in A} s_i),

where s_0 is the weight of no click, whose own value is 0 (Ie et al., "SlateQ", arXiv 1905.12767,
section 5). A value q_0 of no click needs no other formula, for it shifts every slate's value:

    (s_0 q_0 + sum_{i in A} s_i q_i) / (s_0 + sum_{i in A} s_i) = q_0 + value(A) with q - q_0.

All functions take scores of the shape (..., num_documents), one row a user. Where slates are chosen
under action masks (``allowed``), that shape is (n_users, num_documents): the positions are those of
:class:`recsim.agents._action_masks.allowed_slates.AllowedSlates`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from recsim._internal import numbers
from recsim.agents._action_masks.allowed_slates import AllowedSlates

__all__ = ["greedy_slates", "optimal_slates", "slate_values", "top_k_slates"]

# How many times the weight of no click is too much for single precision.
_LARGE_WEIGHT = 100.0


def slate_values(
    slates: np.ndarray, s_no_click: ArrayLike, s: np.ndarray, q: np.ndarray
) -> np.ndarray:
    """Returns the values of slates.

    Args:
        slates: indices of documents, integers of shape (..., slate_size).
        s_no_click: choice weights of no click, of shape (...).
        s: choice weights of the documents, at least 0, of shape (..., num_documents).
        q: values of the documents, of the same shape.

    Returns:
        Array of shape (...): 0 where all weights are 0.
    """
    s, q = _floats(s, q)
    slates = numbers.whole_array("slates", slates)
    slate_s = _take(s, slates)
    slate_q = _take(q, slates)
    total = s_no_click + slate_s.sum(axis=-1)
    weighted = (slate_s * slate_q).sum(axis=-1)
    values: np.ndarray = weighted / np.where(total > 0, total, 1)
    return values


def top_k_slates(
    slate_size: int, s: np.ndarray, q: np.ndarray, allowed: AllowedSlates | None = None
) -> np.ndarray:
    """Returns the documents of the highest ``s q``, the highest first.

    Under masks these are the slates of the highest sums of ``s q`` that they allow.

    Returns:
        Indices of shape (..., slate_size).
    """
    s, q = _floats(s, q)
    return _highest(s * q, slate_size, allowed)


def greedy_slates(
    slate_size: int,
    s_no_click: ArrayLike,
    s: np.ndarray,
    q: np.ndarray,
    allowed: AllowedSlates | None = None,
) -> np.ndarray:
    """Returns slates that are built document by document, each adding the most to the value.

    Under masks positions are filled in turn, each by one of the documents that it is open to.

    Returns:
        Indices of shape (..., slate_size), in the order of their choice.
    """
    s, q = _floats(s, q)
    weighted = s * q
    numerator = np.zeros((*s.shape[:-1], 1))
    denominator = numerator + numbers.float_array("s_no_click", s_no_click)[..., np.newaxis]
    taken = np.zeros(s.shape, dtype=bool)
    picks = []
    for position in range(slate_size):
        total = denominator + s
        value = (numerator + weighted) / np.where(total > 0, total, 1)
        value[taken if allowed is None else ~allowed.open(position, taken)] = -np.inf
        pick = value.argmax(axis=-1)[..., np.newaxis]
        numerator += _take(weighted, pick)
        denominator += _take(s, pick)
        np.put_along_axis(taken, pick, True, axis=-1)
        picks.append(pick)
    return np.concatenate(picks, axis=-1)


def optimal_slates(
    slate_size: int,
    s_no_click: ArrayLike,
    s: np.ndarray,
    q: np.ndarray,
    allowed: AllowedSlates | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the slates of the highest value, without looking at every slate.

    The linear-fractional programme is solved by Dinkelbach's method ("On nonlinear fractional
    programming", 1967): the slate that maximises ``sum s_i (q_i - v) - v s_0`` for the best value
    v so far consists of the documents of the highest ``s_i (q_i - v)``, and it either has a
    higher value or proves that v is the highest. This takes a few rounds. Under masks the slate of
    a round is the one of the highest sum that they allow, which is found exactly, and so is the
    optimum.

    Returns:
        Indices of shape (..., slate_size), the document that adds most first, and the slates'
        values, of shape (...).
    """
    s, q = _floats(s, q)
    s_no_click = numbers.float_array("s_no_click", s_no_click)
    slates, values = _optimal_slates(slate_size, s_no_click, s, q, allowed)
    if np.result_type(s, q) != np.float32:
        return slates, values
    # The rounding of v counts s_i times in s_i (q_i - v): where s_i is far above s_0, it can hide
    # that a slate without document i has a much higher value.
    rounded_off = s.max(axis=-1) > _LARGE_WEIGHT * np.asarray(s_no_click)
    if not rounded_off.any():
        return slates, values
    exact_slates, exact_values = _optimal_slates(
        slate_size, s_no_click, s.astype(np.float64), q.astype(np.float64), allowed
    )
    slates = np.where(rounded_off[..., np.newaxis], exact_slates, slates)
    return slates, np.where(rounded_off, exact_values, values).astype(np.float32)


def _optimal_slates(
    slate_size: int,
    s_no_click: ArrayLike,
    s: np.ndarray,
    q: np.ndarray,
    allowed: AllowedSlates | None,
) -> tuple[np.ndarray, np.ndarray]:
    weighted = s * q
    slates = _highest(weighted, slate_size, allowed)
    values = slate_values(slates, s_no_click, s, q)
    while True:
        candidates = _highest(weighted - values[..., np.newaxis] * s, slate_size, allowed)
        candidate_values = slate_values(candidates, s_no_click, s, q)
        # Each round continues with a strictly better one of finitely many slates.
        better = candidate_values > values
        if not better.any():
            return slates, values
        slates = np.where(better[..., np.newaxis], candidates, slates)
        values = np.where(better, candidate_values, values)


def _floats(s: ArrayLike, q: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Returns weights and values as floats: products of small integers overflow."""
    return numbers.float_array("s", s), numbers.float_array("q", q)


def _highest(values: np.ndarray, number: int, allowed: AllowedSlates | None = None) -> np.ndarray:
    """Returns the indices of the highest values of each row, ties in their order."""
    if allowed is not None:
        return allowed.best(values)
    return (-values).argsort(axis=-1, kind="stable")[..., :number]


def _take(values: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Returns what ``np.take_along_axis`` does along the last axis, several times faster."""
    *leading, length = values.shape
    starts = np.arange(0, values.size, length).reshape(*leading, 1)
    return values.reshape(-1)[indices + starts]
