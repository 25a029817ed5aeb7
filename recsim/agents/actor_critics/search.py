"""Exact search for the best items of a catalogue, in blocks of bounded memory."""

from __future__ import annotations

import numpy as np

from recsim.agents.policy_gradients import plackett_luce

__all__ = ["largest_products", "nearest", "taken"]

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
    num_items = items.shape[-2]
    found = np.empty((len(vectors), number), np.int64)
    rows_of_block = max(1, _BLOCK // min(num_items, _ITEMS))
    for start in range(0, len(vectors), rows_of_block):
        rows = slice(start, start + rows_of_block)
        best = np.empty((len(vectors[rows]), 0), np.int64)
        best_scores = np.empty(best.shape)
        for first in range(0, num_items, _ITEMS):
            block = slice(first, first + _ITEMS)
            scores = _products(vectors[rows], items, rows, block)
            if offsets is not None:
                scores -= offsets[block] if offsets.ndim == 1 else offsets[rows, block]
            top = plackett_luce.highest(scores, min(number, scores.shape[1]))
            both = np.concatenate([best_scores, np.take_along_axis(scores, top, axis=1)], axis=1)
            indices = np.concatenate([best, top + first], axis=1)
            order = np.argsort(-both, axis=1, kind="stable")[:, :number]
            best = np.take_along_axis(indices, order, axis=1)
            best_scores = np.take_along_axis(both, order, axis=1)
        found[rows] = best
    return found


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
    # |v - i|² = |v|² - 2 (v i - |i|² / 2), whose first term is the same for all items.
    halves = 0.5 * np.einsum("...i,...i", items, items)
    return largest_products(vectors, items, number, halves)


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
