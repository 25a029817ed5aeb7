"""Vectors of any length drawn into a ball: what an actor without noise returns."""

from __future__ import annotations

import numpy as np

__all__ = ["drawn_in", "gradient"]

# Lengths are at least this.
_SHORTEST = 1e-8


def _lengths(outputs: np.ndarray) -> np.ndarray:
    lengths: np.ndarray = np.maximum(np.linalg.norm(outputs, axis=-1, keepdims=True), _SHORTEST)
    return lengths


def drawn_in(outputs: np.ndarray, radius: float) -> np.ndarray:
    """Returns vectors of the same directions, whose lengths are ``radius * tanh(length)``.

    A direction can be learned however long a vector has become, as it cannot where each entry is
    bounded by itself.

    Args:
        outputs: vectors, shape (..., size).
        radius: of the ball.
    """
    lengths = _lengths(outputs)
    vectors: np.ndarray = outputs * (radius * np.tanh(lengths) / lengths)
    return vectors


def gradient(outputs: np.ndarray, by_vectors: np.ndarray, radius: float) -> np.ndarray:
    """Returns the gradient of a function of the vectors by the outputs.

    Args:
        outputs: as in :func:`drawn_in`.
        by_vectors: the gradient by what that returns, of the same shape.
        radius: as in :func:`drawn_in`.
    """
    lengths = _lengths(outputs)
    directions, slopes = outputs / lengths, np.tanh(lengths)
    along = (by_vectors * directions).sum(axis=-1, keepdims=True) * directions
    by_outputs: np.ndarray = radius * (
        (1.0 - slopes**2) * along + slopes / lengths * (by_vectors - along)
    )
    return by_outputs
