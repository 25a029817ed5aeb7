"""The units of items' features: those of which an item is about 1 in size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from recsim import types
from recsim._internal import bundles

__all__ = ["ItemUnits"]

# Features that differ by less than this share of their size count as constant.
_CONSTANT = 1e-6


class ItemUnits:
    """Centres and scales features, by the mean and the deviation of each over the items seen.

    The mean of the squared lengths of the items seen becomes 1, whatever their features are
    measured in and however many there are. Features that have been constant are only centred.

    Args:
        doc_size: number of features.
    """

    def __init__(self, doc_size: int) -> None:
        self._count = 0
        self._means, self._squares = np.zeros((2, doc_size))
        self._use()

    def _use(self) -> None:
        deviations = np.sqrt(self._squares / max(1, self._count))
        constant = deviations <= _CONSTANT * (1.0 + np.abs(self._means))
        deviations[constant] = 1.0
        self._centres = self._means.astype(np.float32)
        self._factors = (1.0 / (deviations * math.sqrt(max(1, len(deviations))))).astype(np.float32)

    def see(self, documents: np.ndarray) -> None:
        """Lets items count.

        Args:
            documents: their features, shape (..., doc_size).
        """
        rows = documents.reshape(-1, documents.shape[-1])
        means = rows.mean(axis=0, dtype=np.float64)
        squares = np.square(rows - means).sum(axis=0)
        # The sums of both sets of items (Chan et al., 1983).
        total = self._count + len(rows)
        apart = means - self._means
        self._squares += squares + apart**2 * (self._count * len(rows) / total)
        self._means += apart * (len(rows) / total)
        self._count = total
        self._use()

    def scaled(self, documents: np.ndarray) -> np.ndarray:
        """Returns features in these units, float32 of the same shape."""
        scaled: np.ndarray = documents - self._centres
        scaled *= self._factors
        return scaled

    @property
    def factors(self) -> np.ndarray:
        """What each feature is multiplied by, float32 of shape (doc_size,)."""
        return self._factors

    def state_dict(self) -> types.State:
        """Returns the counts, as data."""
        return {
            "count": self._count,
            "means": self._means.copy(),
            "squares": self._squares.copy(),
        }

    def check(self, owner: str, state: object) -> None:
        """Raises ValueError for something else than :meth:`state_dict` returned."""
        entries = bundles.entries(owner, "item_units", state, "count", "means", "squares")
        bundles.count(owner, "count", entries["count"])
        for name in ("means", "squares"):
            bundles.array(owner, name, entries[name], self._means.shape)
        if (entries["squares"] < 0.0).any():
            bundles.refuse(owner, "squares", "numbers >= 0", entries["squares"])

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what :meth:`check` does not refuse."""
        self._count = int(state["count"])
        self._means = state["means"].astype(np.float64)
        self._squares = state["squares"].astype(np.float64)
        self._use()
