"""Exact search for the best items of a catalogue, in blocks of bounded memory."""

from __future__ import annotations

import dataclasses

import numpy as np

from recsim.agents._action_masks.allowed_slates import AllowedSlates
from recsim.agents.policy_gradients import plackett_luce

__all__ = ["Shortlist", "half_squares", "largest_products", "nearest", "shortlist", "taken"]

# Numbers in an array of products.
_BLOCK = 2**21
# Items whose products are computed together.
_ITEMS = 8192


def largest_products(
    vectors: np.ndarray, items: np.ndarray, number: int, offsets: np.ndarray | None = None
) -> np.ndarray:
    """Returns the items with the largest inner products with vectors, by comparing all.

    Args:
        vectors: float array of shape (n, size).
        items: the items' features, of shape (num_items, size), or (n, num_items, size) where each
            vector has items of its own.
        number: how many items are wanted, at most num_items.
        offsets: what is subtracted from the products, of the shape of ``items`` without the last
            axis; nothing if None.

    Returns:
        Indices of items, shape (n, number), the largest product first; of equal ones the first
        item.

    Example:
        >>> items = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        >>> largest_products(np.array([[1.0, 0.5]]), items, 2).tolist()
        [[2, 0]]
    """
    return _largest(vectors, items, number, offsets, None)[:, 0]


def _largest(
    vectors: np.ndarray,
    items: np.ndarray,
    number: int,
    offsets: np.ndarray | None,
    masks: np.ndarray | None,
) -> np.ndarray:
    """Does what :func:`largest_products` does, for each of some masks of the items.

    Args:
        vectors: see there.
        items: see there.
        number: see there.
        offsets: see there.
        masks: which items count, bools of the shape of ``items`` with the masks on the last axis;
            None for one that has all. Where too few count, others fill up.

    Returns:
        Shape (n, number of masks, number).
    """
    num_items = items.shape[-2]
    num_masks = 1 if masks is None else masks.shape[-1]
    found = np.empty((len(vectors), num_masks, number), np.int64)
    rows_of_block = max(1, _BLOCK // min(num_items, _ITEMS))
    for start in range(0, len(vectors), rows_of_block):
        rows = slice(start, start + rows_of_block)
        nothing = np.empty((len(vectors[rows]), 0))
        best = [(nothing.astype(np.int64), nothing)] * num_masks
        for first in range(0, num_items, _ITEMS):
            block = slice(first, first + _ITEMS)
            scores = _products(vectors[rows], items, rows, block)
            if offsets is not None:
                scores -= offsets[block] if offsets.ndim == 1 else offsets[rows, block]
            for which in range(num_masks):
                of_mask = scores
                if masks is not None:
                    counts = masks[..., which]
                    counts = counts[block] if counts.ndim == 1 else counts[rows, block]
                    of_mask = np.where(counts, scores, -np.inf)
                best[which] = _joined(best[which], of_mask, first, number)
        found[rows] = np.stack([indices for indices, _ in best], axis=1)
    return found


def _joined(
    best: tuple[np.ndarray, np.ndarray], scores: np.ndarray, first: int, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the best items and their scores, of those so far and a block from ``first`` on."""
    top = plackett_luce.highest(scores, min(number, scores.shape[1]))
    both = np.concatenate([best[1], np.take_along_axis(scores, top, axis=1)], axis=1)
    indices = np.concatenate([best[0], top + first], axis=1)
    order = np.argsort(-both, axis=1, kind="stable")[:, :number]
    return np.take_along_axis(indices, order, axis=1), np.take_along_axis(both, order, axis=1)


def _products(vectors: np.ndarray, items: np.ndarray, rows: slice, block: slice) -> np.ndarray:
    if items.ndim == 2:
        products: np.ndarray = vectors @ items[block].T
        return products
    own: np.ndarray = np.matmul(items[rows, block], vectors[..., np.newaxis])[..., 0]
    return own


def nearest(vectors: np.ndarray, items: np.ndarray, number: int) -> np.ndarray:
    """Returns the items nearest to vectors, by Euclidean distance, by comparing all.

    Args:
        vectors: float array of shape (n, size).
        items: the items' features, of shape (num_items, size), or (n, num_items, size).
        number: how many items are wanted, at most num_items.

    Returns:
        Indices of items, shape (n, number), the nearest first; of equal ones the first item, as
        far as rounding tells.

    Example:
        >>> items = np.array([[1.0, 0.0], [0.0, 1.0], [3.0, 3.0]])
        >>> nearest(np.array([[1.0, 0.5]]), items, 2).tolist()
        [[0, 1]]
    """
    return largest_products(vectors, items, number, half_squares(items))


def half_squares(items: np.ndarray) -> np.ndarray:
    """Returns half the squared lengths of items, of their shape without the last axis.

    Products with a vector less these order items by their distances to it.
    """
    # |v - i|² = |v|² - 2 (v i - |i|² / 2), whose first term is the same for all items.
    halves: np.ndarray = 0.5 * np.einsum("...i,...i", items, items)
    return halves


@dataclasses.dataclass(frozen=True)
class Shortlist:
    """Items among which the best slates are, where not all may stand in all positions.

    Attributes:
        indices: indices of items, shape (n, num_listed).
        masks: which of them may stand where, bools of shape (n, num_listed, slate_size).
        all_masks: the same of all items, of shape (n, num_items, slate_size).
    """

    indices: np.ndarray
    masks: np.ndarray
    all_masks: np.ndarray

    def best(self, scores: np.ndarray) -> np.ndarray:
        """Returns the slates of the highest sums of scores, indices of items, (n, slate_size).

        Args:
            scores: those of the items listed, shape (n, num_listed).

        Raises:
            ValueError: if a slate cannot be filled.
        """
        try:
            allowed = AllowedSlates(self.masks)
        except ValueError:
            AllowedSlates(self.all_masks)  # Its error names items, rather than their places here.
            raise
        return np.take_along_axis(self.indices, allowed.best(scores), axis=1)


def shortlist(
    vectors: np.ndarray,
    items: np.ndarray,
    number: int,
    masks: np.ndarray,
    offsets: np.ndarray | None = None,
) -> Shortlist:
    """Returns the items with the largest products of those that may stand in each position.

    With as many for each position as a slate has positions, the slates of the largest sums of
    products are among them: those of the other positions always leave one of a position's.

    Args:
        vectors: float array of shape (n, size).
        items: the items' features, of shape (num_items, size), or (n, num_items, size).
        number: how many items are wanted for each position; all there are, if they are fewer.
        masks: which items may stand where, bools of shape (num_items, slate_size), or
            (n, num_items, slate_size).
        offsets: see :func:`largest_products`.
    """
    num_items, slate_size = masks.shape[-2:]
    # Positions that have the same items, as all have where a mask is of whole items, are one.
    different = [
        position
        for position in range(slate_size)
        if not any(
            np.array_equal(masks[..., position], masks[..., other]) for other in range(position)
        )
    ]
    all_masks = np.broadcast_to(masks, (len(vectors), *masks.shape[-2:]))
    if number >= num_items:
        indices = np.broadcast_to(np.arange(num_items), (len(vectors), num_items))
        return Shortlist(indices, all_masks.copy(), all_masks)
    found = _largest(vectors, items, number, offsets, masks[..., different])
    indices = np.sort(found.reshape(len(vectors), -1), axis=1)
    listed = np.take_along_axis(all_masks, indices[..., np.newaxis], axis=1)
    # Each position has the items that were found for it: not those that only fill up where others
    # have too few.
    firsts = np.arange(len(vectors))[:, np.newaxis] * num_items
    for place, position in enumerate(different):
        of_place = np.isin(indices + firsts, found[:, place] + firsts)
        for other in range(slate_size):
            if np.array_equal(masks[..., other], masks[..., position]):
                listed[..., other] &= of_place
    listed[:, 1:][indices[:, 1:] == indices[:, :-1]] = False  # Each item counts once.
    return Shortlist(indices, listed, all_masks)


def taken(items: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Returns the features of items, of shape (n, number, size).

    Args:
        items: the items' features, of shape (num_items, size), or (n, num_items, size).
        indices: integers of shape (n, number).
    """
    if items.ndim == 2:
        of_all: np.ndarray = items[indices]
        return of_all
    return np.take_along_axis(items, indices[..., np.newaxis], axis=1)
