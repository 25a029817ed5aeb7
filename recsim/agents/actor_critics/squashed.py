"""Normal vectors squashed into (-1, 1): their log-densities, and gradients through samples."""

from __future__ import annotations

import numpy as np

__all__ = ["log_density", "policy_gradient", "sample"]

# Within these bounds deviations are neither 0 nor without end.
_LOWEST, _HIGHEST = -5.0, 2.0
_LOG_ROOT = 0.5 * np.log(2.0 * np.pi)


def _parts(outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns means and logarithms of deviations, of a network's outputs."""
    size = outputs.shape[-1] // 2
    return outputs[..., :size], np.clip(outputs[..., size:], _LOWEST, _HIGHEST)


def sample(outputs: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Returns ``tanh(mean + deviation * normal)``.

    Args:
        outputs: means, and logarithms of deviations (which count within [-5, 2]), of shape
            (..., 2 * size).
        normals: standard normal numbers of shape (..., size); zeros for the means.
    """
    means, logs = _parts(outputs)
    samples: np.ndarray = np.tanh(means + np.exp(logs) * normals)
    return samples


def log_density(outputs: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Returns the log-densities of samples, of shape (...).

    Args:
        outputs: as in :func:`sample`.
        normals: what the samples were made of.
    """
    means, logs = _parts(outputs)
    before = means + np.exp(logs) * normals
    # The logarithm of 1 - tanh², which is exact where that is 0 as a float.
    slopes = 2.0 * (np.log(2.0) - before - np.logaddexp(0.0, -2.0 * before))
    densities: np.ndarray = (-0.5 * normals**2 - logs - _LOG_ROOT - slopes).sum(axis=-1)
    return densities


def policy_gradient(
    outputs: np.ndarray, normals: np.ndarray, by_samples: np.ndarray, temperature: float
) -> np.ndarray:
    """Returns the gradient of ``temperature * log_density - value`` by a network's outputs.

    Args:
        outputs: as in :func:`sample`.
        normals: what the samples were made of.
        by_samples: the gradient of the value by the samples, of shape (..., size).
        temperature: weight of the entropy.
    """
    means, logs = _parts(outputs)
    moved = np.exp(logs) * normals
    samples = np.tanh(means + moved)
    by_means = temperature * 2.0 * samples - by_samples * (1.0 - samples**2)
    by_logs = by_means * moved - temperature
    raw = outputs[..., outputs.shape[-1] // 2 :]
    by_logs[(raw < _LOWEST) | (raw > _HIGHEST)] = 0.0
    return np.concatenate([by_means, by_logs], axis=-1)
