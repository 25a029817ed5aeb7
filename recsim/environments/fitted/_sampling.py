"""Sampling of different items by popularity, sequentially, for users in parallel.

Popularities are integers here, so that all sums are exact. A uniform number says how far the next
item is along those that are left, laid end to end. Each item that was sampled before is a point
there, at which its length is left out; the place among all items follows from the points passed.
"""

from __future__ import annotations

import numpy as np

__all__ = ["PopularitySampler"]

# The popularities' sum, about: the greatest that leaves sums of them below 2**31.
_TOTAL_BITS = 30
# Entries of the table of where to look for an item, for each item: with so many, hardly any covers
# the ends of two items.
_ENTRIES = 8
# How far the sign of an int32 is from its last bit.
_SIGN = 31


class PopularitySampler:
    """Samples different items by popularity.

    Args:
        popularity: shares of items, not negative, shape (n_items,).
    """

    def __init__(self, popularity: np.ndarray) -> None:
        shares = np.asarray(popularity, np.float64)
        sizes = np.floor(shares / shares.sum() * 2**_TOTAL_BITS).astype(np.int64)
        sizes[(shares > 0.0) & (sizes == 0)] = 1
        ends = sizes.cumsum()
        self._ends = ends.astype(np.int32)
        # Of each item its end and its size.
        self._items = _pairs(ends, sizes)
        self._shift = max(0, _TOTAL_BITS - (_ENTRIES * len(shares)).bit_length())
        # Of each entry the first item that is at its places, and the end of this item.
        entries = np.arange((int(ends[-1]) >> self._shift) + 1)
        first = np.searchsorted((ends - 1) >> self._shift, entries, side="left")
        first = np.minimum(first, len(shares) - 1)
        self._entries = _pairs(first, ends[first])

    def sample(self, uniform: np.ndarray) -> np.ndarray:
        """Returns different items, each sampled by popularity of those that are left.

        Args:
            uniform: numbers in [0, 1), one for each item to be sampled, shape (n_users, number).

        Returns:
            int32 of that shape. A user's items follow from the user's numbers alone.
        """
        # Items first in memory: what follows is computed for an item of all users together.
        number, num_users = uniform.shape[1], len(uniform)
        items, sizes, points, work = np.empty((4, number, num_users), np.int32)
        left = np.full(num_users, float(self._ends[-1]))
        for each, numbers in enumerate(np.ascontiguousarray(uniform.T)):
            along = (numbers * left).astype(np.int32)
            # Comparisons are masks of bits, by signs of differences: quicker than bools. Points are
            # those before the items.
            masks = np.subtract(points[:each], along, out=work[:each])
            masks >>= _SIGN
            masks &= sizes[:each]
            skipped = masks.sum(axis=0, dtype=np.int32)
            item, end, size = self._at(along + skipped)
            skipped += size
            items[each], sizes[each] = item, size
            if each + 1 == number:
                break
            point = np.subtract(end - 1, skipped, out=points[each])
            masks = np.subtract(point, points[:each], out=work[:each])
            masks >>= _SIGN
            masks &= size
            points[:each] -= masks
            left -= size
        return items.T

    def _at(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the items at places among all items, their ends and their sizes."""
        first, end = _split(self._entries.take(places >> self._shift))
        item = first + (end <= places)
        end, size = _split(self._items.take(item))
        beyond = end <= places
        if np.count_nonzero(beyond):
            item[beyond] = np.searchsorted(self._ends, places[beyond], side="right")
            end, size = _split(self._items.take(item))
        return item, end, size


def _pairs(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns pairs of int32, each as one number, which NumPy picks quicker than rows."""
    return np.stack([first, second], axis=1).astype(np.int32).view(np.int64)[:, 0]


def _split(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first and the second numbers of pairs."""
    both = pairs.view(np.int32)
    return both[0::2], both[1::2]
