"""Bandits with generalised linear models: an arm is a vector, its mean reward a logistic function.

An arm with features x gives the reward 1 with probability ``sigmoid(x . w)``, for weights w that
the bandit learns.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from recsim._internal import validation

__all__ = ["GLMAlgorithm", "GLM_TS", "UCB_GLM"]


# The matrices of more features do not fit into a machine.
_MAX_DIM = 2**20
_NOT_FINITE = (
    "The bandit's weights are no longer finite: scale the arms' features to about 1, or choose "
    "another sigma0 or optimism_scaling."
)


def _solved(function: Callable[..., np.ndarray], *arrays: np.ndarray) -> np.ndarray:
    """Returns what a function of linear algebra does; FloatingPointError if it is not finite."""
    if not all(np.isfinite(array).all() for array in arrays):
        raise FloatingPointError(_NOT_FINITE)
    try:
        result = function(*arrays)
    except np.linalg.LinAlgError as error:
        raise FloatingPointError(f"{_NOT_FINITE} ({error})") from error
    if not np.isfinite(result).all():
        raise FloatingPointError(_NOT_FINITE)
    return result


class GLMAlgorithm(abc.ABC):
    """Base class of the bandits: keeps what was pulled and fits a Bayesian logistic regression.

    Args:
        dim: number of features of an arm.
        sigma0: standard deviation of the Gaussian prior of the weights, above 0.
        optimism_scaling: width of the confidence bounds; 1 is the width of the literature, less
            explores less.
        seed: seed of the generator that breaks ties and samples posteriors.

    Raises:
        TypeError: if ``dim`` is not an integer.
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
        self._dim = validation.positive_int("dim", dim, maximum=_MAX_DIM)
        self._sigma0 = validation.positive_float("sigma0", sigma0)
        self._optimism_scaling = validation.number("optimism_scaling", optimism_scaling)
        self._outer = np.zeros((self._dim, self._dim))
        self._rng = validation.random_state("seed", seed)
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
        precision: np.ndarray = np.eye(self._dim) / np.square(self._sigma0)
        return precision

    def update(self, reward: float, arm: ArrayLike) -> None:
        """Takes in the reward of a pull.

        Args:
            reward: the reward, in [0, 1].
            arm: the features of the arm pulled, shape (dim,).

        Raises:
            TypeError: if the reward or the features are not numbers.
            ValueError: if the reward is not in [0, 1], or the arm has another number of features
                or one that is not finite.
        """
        reward = validation.number("reward", reward, 0.0, 1.0)
        arm = validation.finite("arm", arm)
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

        Raises:
            TypeError, ValueError: if an argument is not a number >= 0.
            FloatingPointError: if the features are so large that the weights are not finite.
        """
        validation.positive_int("init_iters", init_iters, 0)
        validation.positive_int("num_iters", num_iters, 0)
        validation.non_negative_float("tol", tol)
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
            weights = _solved(
                np.linalg.solve, gram, arms.T @ (variances * logits - (means - rewards))
            )
            if np.linalg.norm(weights - previous) < tol:
                break
        return weights, gram

    def get_arm_matrix(self, arms: Sequence[ArrayLike]) -> np.ndarray:
        """Returns the features of arms as an array of shape (num_arms, dim).

        Raises:
            TypeError: if they are not numbers.
            ValueError: if there is no arm, or one has another number of features or one that is
                not finite.
        """
        matrix = validation.finite("arms", arms)
        if matrix.ndim != 2 or not len(matrix) or matrix.shape[1] != self._dim:
            raise ValueError(
                f"arms must hold at least one arm, each a vector of dim={self._dim} features, got "
                f"an array of shape {matrix.shape}."
            )
        return matrix

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
        if not np.isfinite(scores).all():
            raise FloatingPointError(_NOT_FINITE)
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
        TypeError: if ``dim`` or ``horizon`` is not an integer.
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
        # As a float, for integers of any size.
        rounds = float(validation.positive_int("horizon", horizon))
        noise = 0.5  # Sub-Gaussian parameter of a reward in [0, 1].
        min_slope = 0.25  # kappa of the theorem.
        # The theorem's failure probability delta is 1 / horizon.
        radius = np.sqrt(dim / 2 * np.log(1 + 2 * rounds / dim) + np.log(rounds))
        self._ci_scaling = self._optimism_scaling * noise / min_slope * radius

    def get_arm(self, arms: Sequence[ArrayLike]) -> tuple[ArrayLike, int, np.ndarray]:
        """See :meth:`GLMAlgorithm.get_arm`; the scores are the upper confidence bounds."""
        arm_matrix = self.get_arm_matrix(arms)
        covariance = _solved(np.linalg.inv, self._outer + self._prior_precision)
        widths = np.sqrt(((arm_matrix @ covariance) * arm_matrix).sum(axis=1))
        weights, _ = self.solve_logistic_bandit()
        return self._best_arm(arms, arm_matrix @ weights + self._ci_scaling * widths)

    @staticmethod
    def print() -> str:
        """Returns the algorithm's name."""
        return "GLM-UCB"


class GLM_TS(GLMAlgorithm):
    """Thompson sampling: plays the highest ``x . w`` for weights w sampled from their posterior.

    See "Linear Thompson Sampling Revisited", Abeille and Lazaric (2017).
    """

    def get_arm(self, arms: Sequence[ArrayLike]) -> tuple[ArrayLike, int, np.ndarray]:
        """See :meth:`GLMAlgorithm.get_arm`; the scores are those of the sampled weights."""
        arm_matrix = self.get_arm_matrix(arms)
        weights, gram = self.solve_logistic_bandit()
        covariance = np.square(self._optimism_scaling) * _solved(np.linalg.inv, gram)
        sampled_weights = _solved(self._rng.multivariate_normal, weights, covariance)
        return self._best_arm(arms, arm_matrix @ sampled_weights)

    @staticmethod
    def print() -> str:
        """Returns the algorithm's name."""
        return "GLM-TS"
