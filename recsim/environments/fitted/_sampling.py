"""Sampling of different items by popularity, one after the other, for many users at once.

Popularities are integers here, so that all sums are exact. A uniform number says how far the next
item is along those that are left, laid end to end. Each item that was sampled before is a point
there, at which its length is left out; the place among all items follows from the points passed.
"""

from __future__ import annotations

import numpy as np

__all__ = ["PopularitySampler"]

# The popularities' sum, about: the greatest that leaves sums of them below 2**31.
_TOTAL = 2**30
# Entries of the table of where to look for an item, for each item.
_ENTRIES = 2
# Steps from such an entry to the item, after which a binary search is made.
_STEPS = 3


class PopularitySampler:
    """Samples different items by popularity.

    Args:
        popularity: shares of items, not negative, shape (n_items,).
    """

    def __init__(self, popularity: np.ndarray) -> None:
        shares = np.asarray(popularity, np.float64)
        whole = np.floor(shares / shares.sum() * _TOTAL).astype(np.int64)
        whole[(shares > 0.0) & (whole == 0)] = 1
        ends = whole.cumsum()
        self._sizes, self._ends = whole.astype(np.int32), ends.astype(np.int32)
        entries = 1 << (_ENTRIES * len(shares) - 1).bit_length()
        self._entries_of = entries / float(ends[-1])
        # An entry is the first item that may be at the places whose entry it is.
        self._first = np.searchsorted(
            self._entry(self._ends - 1), np.arange(entries), side="left"
        ).astype(np.int32)

    def sample(self, uniform: np.ndarray) -> np.ndarray:
        """Returns different items, each sampled by popularity of those that are left.

        Args:
            uniform: numbers in [0, 1), one for each item to be sampled, shape (n_users, number).

        Returns:
            int32 of that shape. A user's items follow from the user's numbers alone.
        """
        # Items first in memory: what follows is computed for an item of all users together.
        number, num_users = uniform.shape[1], len(uniform)
        items, sizes, points = (np.empty((number, num_users), np.int32) for _ in range(3))
        left = np.full(num_users, self._ends[-1], np.int32)
        for each in range(number):
            along = (uniform[:, each] * left.astype(np.float64)).astype(np.int32)
            passed = along >= points[:each]
            skipped = np.multiply(passed, sizes[:each]).sum(axis=0, dtype=np.int32)
            item = self._at(along + skipped)
            items[each] = item
            size = self._sizes[item]
            sizes[each], points[each] = size, self._ends[item] - size - skipped
            points[:each] -= np.multiply(points[:each] > points[each], size)
            left -= size
        return items.T

    def _entry(self, places: np.ndarray) -> np.ndarray:
        """Returns the entries of the table for places among all items."""
        entries: np.ndarray = (places * self._entries_of).astype(np.int32)
        return entries

    def _at(self, places: np.ndarray) -> np.ndarray:
        """Returns the items at places among all items."""
        found = self._first[self._entry(places)]
        for _ in range(_STEPS):
            beyond = self._ends[found] <= places
            if not beyond.any():
                return found
            found += beyond
        left = np.flatnonzero(self._ends[found] <= places)
        found[left] = np.searchsorted(self._ends, places[left], side="right")
        return found
