"""Advantages: by how much what followed was better than what the states promised."""

from __future__ import annotations

import numpy as np

__all__ = ["generalized_advantages"]


def generalized_advantages(
    rewards: np.ndarray,
    values: np.ndarray,
    next_values: np.ndarray,
    ended: np.ndarray,
    gamma: float,
    trace_decay: float,
) -> np.ndarray:
    """Returns generalized advantage estimates (Schulman et al., 2016).

    With the temporal differences ``delta[t] = rewards[t] + gamma * next_values[t] - values[t]``
    they are sums of ``(gamma * trace_decay) ** k * delta[t + k]`` up to the end of the episode or
    of the steps. With a ``trace_decay`` of 1 and the values they add up to returns.

    Args:
        rewards: of steps in turn, shape (num_steps, ...).
        values: of the states at these steps, of the same shape.
        next_values: of the states after them, of the same shape: 0 where the episode terminated.
        ended: whether the episode ended with the step, bools of the same shape.
        gamma: discount of rewards from step to step, in [0, 1].
        trace_decay: in [0, 1].

    Returns:
        float64 array of the same shape.

    Example:
        >>> generalized_advantages(
        ...     np.array([1.0, 2.0]), np.array([0.5, 1.0]), np.array([1.0, 4.0]),
        ...     np.array([False, False]), 0.5, 0.5).tolist()  # Of deltas of 1 and 3.
        [1.75, 3.0]
    """
    deltas = np.asarray(rewards, np.float64) + gamma * np.asarray(next_values) - values
    advantages = np.empty(deltas.shape)
    following = np.zeros(deltas.shape[1:])
    for step in reversed(range(len(deltas))):
        following = deltas[step] + gamma * trace_decay * np.where(ended[step], 0.0, following)
        advantages[step] = following
    return advantages
