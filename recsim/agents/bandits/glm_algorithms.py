"""Bandits with generalised linear models: an arm is a vector, its mean reward a logistic function.

An arm with features x gives the reward 1 with probability ``sigmoid(x . w)``, for weights w that
the bandit learns.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from recsim import _validation

__all__ = ["GLMAlgorithm", "GLM_TS", "UCB_GLM"]


class GLMAlgorithm(abc.ABC):
    """Base class of the bandits: keeps what was pulled and fits a Bayesian logistic regression.

    Args:
        dim: number of features of an arm.
        sigma0: standard deviation of the Gaussian prior of the weights, above 0.
        optimism_scaling: width of the confidence bounds; 1 is the width of the literature, less
            explores less.
        seed: seed of the generator that breaks ties and draws from posteriors.

    Raises:
        TypeError: if ``dim`` is no integer.
        ValueError: if ``dim`` is below 1 or ``sigma0`` is not above 0.
    """

    def __init__(
        self,
        dim: int,
        sigma0: float = 1.0,
        optimism_scaling: float = 1.0,
        *,
        seed: int | None = 0,
    ) -> None:
        self._dim = _validation.positive_int("dim", dim)
        if not sigma0 > 0:
            raise ValueError(f"sigma0 must be above 0, got {sigma0!r}.")
        self._sigma0 = sigma0
        self._optimism_scaling = optimism_scaling
        self._outer = np.zeros((self._dim, self._dim))
        self._rng = np.random.RandomState(seed)
        # Storage with room to grow: it doubles when it is full.
        self._num_pulls = 0
        self._arm_storage = np.empty((16, self._dim))
        self._reward_storage = np.empty(16)

    @property
    def _arms(self) -> np.ndarray:
        """The arms pulled so far, shape (num_pulls, dim)."""
        return self._arm_storage[: self._num_pulls]

    @property
    def _rewards(self) -> np.ndarray:
        """Their rewards, shape (num_pulls,)."""
        return self._reward_storage[: self._num_pulls]

    @property
    def _prior_precision(self) -> np.ndarray:
        return np.eye(self._dim) / np.square(self._sigma0)

    def update(self, reward: float, arm: ArrayLike) -> None:
        """Takes in the reward of a pull.

        Args:
            reward: the reward, in [0, 1].
            arm: the features of the arm pulled, shape (dim,).

        Raises:
            ValueError: if the arm has another number of features.
        """
        arm = np.asarray(arm, dtype=np.float64)
        if arm.shape != (self._dim,):
            raise ValueError(
                f"arm must be a vector of dim={self._dim} features, got shape {arm.shape}."
            )
        if self._num_pulls == len(self._reward_storage):
            self._arm_storage = np.concatenate([self._arm_storage, np.empty_like(self._arms)])
            self._reward_storage = np.concatenate([self._rewards, np.empty_like(self._rewards)])
        self._arm_storage[self._num_pulls] = arm
        self._reward_storage[self._num_pulls] = reward
        self._num_pulls += 1
        self._outer += np.outer(arm, arm)

    def solve_logistic_bandit(
        self, init_iters: int = 10, num_iters: int = 20, tol: float = 1e-3
    ) -> tuple[np.ndarray, np.ndarray]:
        """Fits the weights by iteratively reweighted least squares.

        See Bishop, "Pattern Recognition and Machine Learning" (2006), sections 4.3.3 and 4.5.1.

        Args:
            init_iters: with this many pulls or fewer the weights are taken as 0.
            num_iters: the most iterations.
            tol: the iterations end when the weights move by less than this Euclidean distance.

        Returns:
            The most likely weights, shape (dim,), and the precision matrix of their posterior,
            shape (dim, dim).
        """
        weights = np.zeros(self._dim)
        gram = self._prior_precision
        if self._num_pulls <= init_iters:
            return weights, gram
        arms, rewards = self._arms, self._rewards
        for _ in range(num_iters):
            logits = arms @ weights
            means = special.expit(logits)
            variances = means * (1.0 - means)
            gram = (arms.T * variances) @ arms + self._prior_precision
            previous = weights
            weights = np.linalg.solve(gram, arms.T @ (variances * logits - (means - rewards)))
            if np.linalg.norm(weights - previous) < tol:
                break
        return weights, gram

    def get_arm_matrix(self, arms: Sequence[ArrayLike]) -> np.ndarray:
        """Returns the features of arms as an array of shape (num_arms, dim)."""
        return np.stack([np.asarray(arm) for arm in arms], axis=0)

    @abc.abstractmethod
    def get_arm(self, arms: Sequence[ArrayLike]) -> tuple[ArrayLike, int, np.ndarray]:
        """Chooses the arm to pull next, at random among those with the highest score.

        Args:
            arms: the features of each arm, vectors of shape (dim,).

        Returns:
            The arm's features, its position in ``arms``, and the scores of all, shape (num_arms,).
        """

    def _best_arm(
        self, arms: Sequence[ArrayLike], scores: np.ndarray
    ) -> tuple[ArrayLike, int, np.ndarray]:
        best = int(self._rng.choice(np.flatnonzero(scores == scores.max())))
        return arms[best], best, scores


class UCB_GLM(GLMAlgorithm):
    """UCB-GLM: plays the highest upper confidence bound of ``x . w``.

    See "Provably Optimal Algorithms for Generalized Linear Contextual Bandits", Li, Lu and Zhou
    (2017), theorem 2.

    Args:
        dim: number of features of an arm.
        horizon: number of rounds that the bandit is made for, at least 1.
        sigma0: standard deviation of the Gaussian prior of the weights, above 0.
        optimism_scaling: factor of the bounds' width.
        seed: seed of the generator that breaks ties.

    Raises:
        TypeError: if ``dim`` or ``horizon`` is no integer.
        ValueError: if ``dim`` or ``horizon`` is below 1, or ``sigma0`` is not above 0.
    """

    def __init__(
        self,
        dim: int,
        horizon: int,
        sigma0: float = 1.0,
        optimism_scaling: float = 1.0,
        *,
        seed: int | None = 0,
    ) -> None:
        super().__init__(dim, sigma0, optimism_scaling, seed=seed)
        horizon = _validation.positive_int("horizon", horizon)
        noise = 0.5  # Sub-Gaussian parameter of a reward in [0, 1].
        min_slope = 0.25  # kappa of the theorem.
        # The theorem's failure probability delta is 1 / horizon.
        radius = np.sqrt(dim / 2 * np.log(1 + 2 * horizon / dim) + np.log(horizon))
        self._ci_scaling = optimism_scaling * noise / min_slope * radius

    def get_arm(self, arms: Sequence[ArrayLike]) -> tuple[ArrayLike, int, np.ndarray]:
        """See :meth:`GLMAlgorithm.get_arm`; the scores are the upper confidence bounds."""
        arm_matrix = self.get_arm_matrix(arms)
        covariance = np.linalg.inv(self._outer + self._prior_precision)
        widths = np.sqrt(((arm_matrix @ covariance) * arm_matrix).sum(axis=1))
        weights, _ = self.solve_logistic_bandit()
        return self._best_arm(arms, arm_matrix @ weights + self._ci_scaling * widths)

    @staticmethod
    def print() -> str:
        """Returns the algorithm's name."""
        return "GLM-UCB"


class GLM_TS(GLMAlgorithm):
    """Thompson sampling: plays the highest ``x . w`` for weights w drawn from their posterior.

    See "Linear Thompson Sampling Revisited", Abeille and Lazaric (2017).
    """

    def get_arm(self, arms: Sequence[ArrayLike]) -> tuple[ArrayLike, int, np.ndarray]:
        """See :meth:`GLMAlgorithm.get_arm`; the scores are those of the drawn weights."""
        arm_matrix = self.get_arm_matrix(arms)
        weights, gram = self.solve_logistic_bandit()
        covariance = np.square(self._optimism_scaling) * np.linalg.inv(gram)
        drawn_weights = self._rng.multivariate_normal(weights, covariance)
        return self._best_arm(arms, arm_matrix @ drawn_weights)

    @staticmethod
    def print() -> str:
        """Returns the algorithm's name."""
        return "GLM-TS"
