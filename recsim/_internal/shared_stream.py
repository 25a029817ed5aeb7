"""The random stream of the environment that is being stepped, for whatever has none of its own."""

from __future__ import annotations

import threading

import numpy as np

__all__ = ["CURRENT"]


class _Current(threading.local):
    """What is being stepped in this thread.

    Attributes:
        rng: the stream of the environment, None outside of its reset and step.
    """

    rng: np.random.RandomState | None = None


CURRENT = _Current()
