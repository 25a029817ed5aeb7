"""Logistic contextual bandits: the posterior of a logistic regression, taken in block by block.

A document with the context x is clicked with the probability ``sigmoid(x . w)``. The posterior of
the weights w is taken as normal: after each block of outcomes its mean is the most likely w, given
the posterior before as the prior, and its precision the curvature there (Laplace's approximation;
Chapelle and Li, "An Empirical Evaluation of Thompson Sampling", NIPS 2011, algorithm 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from recsim._internal import numbers, validation
from recsim.agents.bandits import _models

__all__ = ["LogisticModels", "laplace_update"]

_MOST_STEPS = 100
_TOLERANCE = 1e-10
# Digits that an inverse may lose, see _models.lost_digits, without a doubt that it is exact.
_SURELY_EXACT = 1e-6


def laplace_update(
    mean: ArrayLike,
    precision: ArrayLike,
    contexts: ArrayLike,
    rewards: ArrayLike,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the normal posterior of the weights of a logistic regression after outcomes.

    The mean minimizes ``1/2 (w - mean)^T precision (w - mean) - log likelihood``, found by Newton's
    method to about 1e-10; the precision gains ``sum p (1 - p) x x^T`` there.

    Args:
        mean: the mean of the prior, shape (dim,).
        precision: its precision, a positive definite matrix of shape (dim, dim), or its diagonal,
            of shape (dim,). What is returned is of the same shape: the diagonal alone, as Chapelle
            and Li have it, if that was given.
        contexts: the contexts, shape (n, dim).
        rewards: the outcomes, in [0, 1], shape (n,). One between 0 and 1 counts as that part of a
            click.

    Returns:
        The mean and the precision of the posterior.

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if sizes differ, a number is not finite, or a reward not in [0, 1].
        FloatingPointError: if numbers are so large that the posterior is not finite.
    """
    mean, precision = validation.finite("mean", mean), validation.finite("precision", precision)
    if mean.ndim != 1 or precision.shape not in (mean.shape, mean.shape * 2):
        raise ValueError(
            "mean and precision must have the shapes (dim,) and (dim, dim), or (dim,) for its "
            f"diagonal, got {mean.shape} and {precision.shape}."
        )
    contexts, rewards, _ = _models.checked_outcomes(len(mean), 1, contexts, rewards, None)
    check_probabilities(rewards)
    return _laplace_update(mean, precision, contexts, rewards)


def check_probabilities(rewards: np.ndarray) -> None:
    """Raises ValueError for a reward that is not in [0, 1]."""
    if not ((rewards >= 0.0) & (rewards <= 1.0)).all():
        raise ValueError(
            "rewards of a logistic model must be in [0, 1], got "
            f"{numbers.described(rewards.tolist())}."
        )


def _laplace_update(
    mean: np.ndarray, precision: np.ndarray, contexts: np.ndarray, rewards: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    diagonal = precision.ndim == 1
    matrix = np.diag(precision) if diagonal else precision
    weights = _most_likely(mean, matrix, contexts, rewards)
    probabilities = special.expit(contexts @ weights)
    variances = probabilities * (1.0 - probabilities)
    if diagonal:
        return weights, precision + variances @ np.square(contexts)
    return weights, precision + _weighted_products(contexts, variances)


def _weighted_products(contexts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns the sum of ``weight * x x^T``, symmetric to the last bit."""
    scaled = contexts * np.sqrt(weights)[:, np.newaxis]
    products: np.ndarray = scaled.T @ scaled
    return products


def _most_likely(
    mean: np.ndarray, precision: np.ndarray, contexts: np.ndarray, rewards: np.ndarray
) -> np.ndarray:
    """Returns the weights at the posterior's maximum, by Newton's method with halved steps."""
    weights = mean
    value = _loss(mean, weights, precision, contexts, rewards)
    for _ in range(_MOST_STEPS):
        probabilities = special.expit(contexts @ weights)
        slope = precision @ (weights - mean) + (probabilities - rewards) @ contexts
        variances = probabilities * (1.0 - probabilities)
        curvature = precision + _weighted_products(contexts, variances)
        step = _models.solved(np.linalg.solve, curvature, slope)
        size, decrease = 1.0, float(slope @ step)
        while True:
            tried = weights - size * step
            found = _loss(mean, tried, precision, contexts, rewards)
            if found <= value - 0.1 * size * decrease or size < _TOLERANCE:
                break
            size *= 0.5
        if found > value:  # It is as low as rounding lets it be.
            break
        weights, value = tried, found
        if np.abs(size * step).max(initial=0.0) <= _TOLERANCE * (1.0 + np.abs(weights).max()):
            break
    return weights


def _loss(
    mean: np.ndarray,
    weights: np.ndarray,
    precision: np.ndarray,
    contexts: np.ndarray,
    rewards: np.ndarray,
) -> float:
    """Returns the negative logarithm of the posterior, without a constant."""
    logits = contexts @ weights
    distance = weights - mean
    likelihood = rewards @ logits - np.logaddexp(0.0, logits).sum()
    return float(0.5 * distance @ precision @ distance - likelihood)


class LogisticModels(_models.ArmModels):
    """Logistic regressions of clicks: one that is shared, or one for each arm.

    Args:
        dim: size of a context.
        num_arms: number of models.
        ridge: the precision of the weights' prior, above 0.
        diagonal: whether the posterior is taken as independent in each weight, as Chapelle and Li
            do for contexts of many features.

    Attributes:
        weights: the means of the weights' posteriors, shape (num_arms, dim).
        precision: their precisions, shape (num_arms, dim, dim), or (num_arms, dim) if
            ``diagonal``.

    Raises:
        TypeError: if a number is not an integer, or ``ridge`` not a number.
        ValueError: if one is out of its range.
        MemoryError: if there is no memory for the matrices.

    Example:
        >>> models = LogisticModels(dim=1)
        >>> models.update([[1.0], [1.0]], [1.0, 1.0])
        >>> models.weights.round(3).tolist()
        [[0.675]]
    """

    def __init__(
        self, dim: int, num_arms: int = 1, *, ridge: float = 1.0, diagonal: bool = False
    ) -> None:
        super().__init__(dim, num_arms)
        ridge = validation.positive_float("ridge", ridge)
        self._diagonal = validation.flag("diagonal", diagonal)
        _models.checked_size(2 * self._num_arms * self._dim ** (1 if diagonal else 2))
        self._variances = np.full(self._dim, 1.0 / ridge)  # Those of the prior.
        of_arm = np.full(self._dim, ridge) if diagonal else ridge * np.eye(self._dim)
        self.precision = np.repeat(of_arm[np.newaxis], self._num_arms, axis=0)

    def update(
        self, contexts: ArrayLike, rewards: ArrayLike, arms: ArrayLike | None = None
    ) -> None:
        """Takes in clicks, all or none: contexts (n, dim), rewards in [0, 1] and arms (n,).

        Raises:
            TypeError, ValueError: for arrays that are not of such numbers and shapes.
            FloatingPointError: if estimates would not be finite, or their deviations not exact.
        """
        contexts, rewards, arms = _models.checked_outcomes(
            self._dim, self._num_arms, contexts, rewards, arms
        )
        check_probabilities(rewards)
        updated = []
        for arm, rows in _models.rows_by_arm(arms):
            weights, precision = _laplace_update(
                self.weights[arm], self.precision[arm], contexts[rows], rewards[rows]
            )
            # By the prior's variances, the largest there are, few inverses need to be computed.
            if not (
                self._diagonal
                or _models.lost_digits(precision.diagonal(), self._variances) <= _SURELY_EXACT
            ):
                self._factor_of_inverse(precision)
            updated.append((arm, weights, precision))
        for arm, weights, precision in updated:
            self.weights[arm], self.precision[arm] = weights, precision
            self._factors.pop(arm, None)

    def _squares(self, arm: int, contexts: np.ndarray) -> np.ndarray:
        # Kept as the factor is, which an agent needs as often as it does this.
        scaled = contexts * self._factor(arm) if self._diagonal else contexts @ self._factor(arm)
        squares: np.ndarray = np.einsum("ni,ni->n", scaled, scaled)
        return squares

    def _factor_of_covariance(self, arm: int) -> np.ndarray:
        return self._factor_of_inverse(self.precision[arm])

    def _factor_of_inverse(self, precision: np.ndarray) -> np.ndarray:
        if self._diagonal:
            factor: np.ndarray = 1.0 / np.sqrt(precision)
            return factor
        return _models.factor_of(_models.inverse_of(precision))

    def state_dict(self) -> dict[str, Any]:
        """Returns the posteriors as data."""
        return {"precision": self.precision.copy(), "weights": self.weights.copy()}

    def checked_state(self, owner: object, state: object) -> Mapping[str, Any]:
        """Returns what :meth:`state_dict` returned; ValueError for something else."""
        shapes = {"precision": self.precision.shape, "weights": self.weights.shape}
        definite = () if self._diagonal else ("precision",)
        return _models.checked_arrays(owner, state, shapes, definite)

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restores a checked state."""
        self.precision, self.weights = state["precision"].copy(), state["weights"].copy()
        self._factors = {}
