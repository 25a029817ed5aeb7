"""Multi-armed bandits: index functions on arrays of bandits, and RecSim's classes for one bandit.

An index function takes the pulls and the summed rewards of the arms of any number of bandits,
shape (..., num_arms), and returns the indices of their arms, of the same shape; each bandit pulls
the arm of the highest index next. Rewards are in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from recsim._internal import keys, numbers, validation

__all__ = [
    "KLUCB",
    "MABAlgorithm",
    "SamplesBeta",
    "ThompsonSampling",
    "UCB1",
    "kl_ucb_index",
    "thompson_index",
    "ucb1_index",
]

# Newton's method for KL-UCB: when it stops, and what keeps logarithms and quotients finite.
_MAX_NEWTON_STEPS = 50
_TOLERANCE = 1e-9
_TINY = 1e-300
_MIN_SLOPE = 1e-100

# Beta distributions of larger counts cannot be told from their means.
_LEAST_THOMPSON_SCALING = 1e-6
_LARGEST_KL_WEIGHT = 1e12
_MAX_ARMS = 2**31 - 1
_SCALARS = (int, float, np.number)
_WRONG_COUNTS = (
    "pulls and reward must be finite, and an arm's summed rewards from 0 to its pulls (rewards are "
    "in [0, 1]), "
)


class SamplesBeta(Protocol):
    """What Thompson sampling needs of a generator."""

    def beta(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Returns samples of Beta distributions."""


def ucb1_index(
    pulls: ArrayLike, reward: ArrayLike, t: ArrayLike, optimism_scaling: float = 1.0
) -> np.ndarray:
    """UCB1: the mean reward plus ``optimism_scaling * sqrt(2 log(t) / pulls)``.

    See "Finite-time Analysis of the Multiarmed Bandit Problem", Auer, Cesa-Bianchi and Fischer
    (2002); the scaling is from Hsu et al., https://arxiv.org/abs/1904.02664.

    Args:
        pulls: how often each arm was pulled, shape (..., num_arms).
        reward: sum of each arm's rewards, shape (..., num_arms).
        t: the round, of shape (...); a round below 1 counts as 1.
        optimism_scaling: width of the confidence bounds, at least 0.

    Returns:
        float64 array of shape (..., num_arms). In a bandit with arms never pulled these have the
        index infinity and the others 0.

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if pulls or rewards are negative or not finite, or an arm's rewards are above
            its pulls, or another argument is out of its range.
    """
    pulls, reward = _checked_counts(pulls, reward)
    return _ucb1_index(pulls, reward, t, _checked_scaling(optimism_scaling))


def _ucb1_index(
    pulls: np.ndarray, reward: np.ndarray, t: ArrayLike, optimism_scaling: float
) -> np.ndarray:
    pulls, divisor, log_t = _pulls_divisor_and_log(pulls, t)
    width = optimism_scaling * np.sqrt(2.0 * log_t)
    index = reward / divisor + width * np.sqrt(1.0 / divisor)
    return index if divisor is pulls else _never_pulled_first(pulls, index)


def kl_ucb_index(
    pulls: ArrayLike,
    reward: ArrayLike,
    t: ArrayLike,
    optimism_scaling: float = 1.0,
    c: float = 3.0,
) -> np.ndarray:
    """KL-UCB: the largest mean that the rewards do not rule out.

    It is the largest q in [p, 1] with ``pulls * d(p, q) <= log(t) + c log(log(t))``, where p is
    the mean reward and ``d(p, q) = p log(p / q) + (1 - p) log((1 - p) / (1 - q))`` the
    Kullback-Leibler divergence of Bernoulli distributions. The right-hand side is multiplied by
    the square of ``optimism_scaling``, and 0 where it is negative (at the first rounds).

    See "The KL-UCB Algorithm for Bounded Stochastic Bandits and Beyond", Garivier and Cappe
    (2011).

    Args:
        pulls: how often each arm was pulled, shape (..., num_arms).
        reward: sum of each arm's rewards, shape (..., num_arms).
        t: the round, of shape (...); a round below 1 counts as 1.
        optimism_scaling: width of the confidence bounds, at least 0.
        c: weight of the term log(log(t)).

    Returns:
        float64 array of shape (..., num_arms), within 1e-7 of the exact index. In a bandit with
        arms never pulled these have the index infinity and the others 0.

    Raises:
        TypeError, ValueError: as :func:`ucb1_index`.
    """
    pulls, reward = _checked_counts(pulls, reward)
    c = validation.non_negative_float("c", c)
    return _kl_ucb_index(pulls, reward, t, _checked_scaling(optimism_scaling), c)


def _kl_ucb_index(
    pulls: np.ndarray, reward: np.ndarray, t: ArrayLike, optimism_scaling: float, c: float
) -> np.ndarray:
    pulls, divisor, log_t = _pulls_divisor_and_log(pulls, t)
    # Before round e, where log(log(t)) < 0, the limit at t = 1 is minus infinity.
    exploration = log_t + c * np.log(np.maximum(log_t, _TINY))
    # A wider bound is 1 to the last bit too.
    weight = min(optimism_scaling**2, _LARGEST_KL_WEIGHT)
    divergence = weight * np.maximum(exploration, 0.0) / divisor
    index = _kl_upper_bound(reward / divisor, divergence)
    return index if divisor is pulls else _never_pulled_first(pulls, index)


def thompson_index(
    pulls: ArrayLike,
    reward: ArrayLike,
    rng: np.random.RandomState | np.random.Generator,
    optimism_scaling: float = 1.0,
) -> np.ndarray:
    """Thompson sampling: a sample of each arm's Beta posterior, from a uniform prior.

    See "Further Optimal Regret Bounds for Thompson Sampling", Agrawal and Goyal (2013).

    Args:
        pulls: how often each arm was pulled, shape (..., num_arms).
        reward: sum of each arm's rewards, shape (..., num_arms).
        rng: the generator to sample from.
        optimism_scaling: factor of the posterior's width, above 0 (from 1e-6 on, below which the
            posterior is as good as its mean); counts are divided by its square.

    Returns:
        float64 array of shape (..., num_arms), with values in [0, 1].

    Raises:
        TypeError, ValueError: as :func:`ucb1_index`.
    """
    pulls, reward = _checked_counts(pulls, reward)
    if not callable(getattr(rng, "beta", None)):
        raise TypeError(f"rng must be a generator of NumPy's, got {rng!r}.")
    return _thompson_index(pulls, reward, rng, _checked_scaling(optimism_scaling, thompson=True))


def _thompson_index(
    pulls: np.ndarray, reward: np.ndarray, rng: SamplesBeta, optimism_scaling: float
) -> np.ndarray:
    weight = 1.0 / optimism_scaling**2
    return np.asarray(rng.beta(1.0 + weight * reward, 1.0 + weight * (pulls - reward)))


def _checked_scaling(optimism_scaling: float, thompson: bool = False) -> float:
    """Returns the scaling as a float, if indices made with it are finite."""
    least = _LEAST_THOMPSON_SCALING if thompson else 0.0
    return validation.number("optimism_scaling", optimism_scaling, low=least)


def _checked_counts(pulls: ArrayLike, reward: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Returns pulls and rewards as float64 arrays of one shape.

    Raises:
        TypeError: if they are not numbers.
        ValueError: if their shapes differ, or they are not outcomes of pulls.
    """
    pulls = numbers.float_array("pulls", pulls).astype(np.float64, copy=False)
    reward = numbers.float_array("reward", reward).astype(np.float64, copy=False)
    if pulls.shape != reward.shape or not pulls.ndim:
        raise ValueError(
            "pulls and reward must have an entry for each arm, arrays of one shape (..., "
            f"num_arms), got shapes {pulls.shape} and {reward.shape}."
        )
    if not ((reward >= 0.0) & (reward <= pulls) & (pulls < np.inf)).all():
        raise ValueError(_WRONG_COUNTS + f"got {pulls.tolist()} and {reward.tolist()}.")
    return pulls, reward


def _pulls_divisor_and_log(
    pulls: np.ndarray, t: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the pulls, the pulls to divide by (1 for 0), and log(t) of shape (..., 1).

    Where every arm was pulled, both are the same array.
    """
    pulls = np.asarray(pulls, dtype=np.float64)
    all_pulled = np.count_nonzero(pulls) == pulls.size
    divisor = pulls if all_pulled else np.where(pulls == 0.0, 1.0, pulls)
    rounds = _checked_rounds(pulls, t)
    if isinstance(rounds, float):
        return pulls, divisor, np.log(max(rounds, 1.0))[..., None]
    return pulls, divisor, np.log(np.maximum(rounds, 1.0))[..., None]


def _checked_rounds(pulls: np.ndarray, t: ArrayLike) -> float | np.ndarray:
    """Returns a round, or a round for each bandit, of shape (...): finite numbers.

    Args:
        pulls: the pulls, shape (..., num_arms).
        t: the round or rounds.

    Raises:
        TypeError: if they are not numbers.
        ValueError: if one is not finite, or there are not as many as there are bandits.
    """
    if isinstance(t, _SCALARS) or not np.ndim(rounds := numbers.float_array("t", t)):
        return numbers.finite("t", t)
    if rounds.shape != pulls.shape[:-1]:
        raise ValueError(
            f"t must be a round for each bandit, of shape {pulls.shape[:-1]}, got shape "
            f"{rounds.shape}."
        )
    if not np.isfinite(rounds).all():
        raise ValueError(f"t must be finite, got {numbers.described(rounds.tolist())}.")
    return rounds


def _never_pulled_first(pulls: np.ndarray, index: np.ndarray) -> np.ndarray:
    never_pulled = pulls == 0.0
    some_never_pulled = never_pulled.any(axis=-1, keepdims=True)
    return np.where(never_pulled, np.inf, np.where(some_never_pulled, 0.0, index))


def _kl_upper_bound(mean: np.ndarray, divergence: np.ndarray) -> np.ndarray:
    """Returns the largest q in [mean, 1] with d(mean, q) <= divergence, by Newton's method.

    d is convex in q, so from a start above the root the steps come down to it without passing it.
    The start is the lower of two bounds: Pinsker's, tight where the divergence is small, and the
    one that takes log(q) as 0, tight near 1 and exact for a mean of 0.
    """
    miss = 1.0 - mean
    mean_log_mean = mean * np.log(np.maximum(mean, _TINY))
    # The unknown is the gap 1 - q, which keeps its relative precision where q is close to 1.
    with np.errstate(over="ignore"):  # Where no miss is possible the exponential is 0.
        exponent = (mean_log_mean - divergence) / np.maximum(miss, _TINY)
    gap = np.maximum(miss * np.exp(exponent), miss - np.sqrt(0.5 * divergence))
    constant = mean_log_mean + miss * np.log(np.maximum(miss, _TINY)) - divergence
    for _ in range(_MAX_NEWTON_STEPS):
        gap = np.maximum(gap, _TINY)
        bound = np.maximum(1.0 - gap, _TINY)
        excess = np.maximum(constant - mean * np.log(bound) - miss * np.log(gap), 0.0)
        slope = (bound - mean) / (bound * gap)
        step = np.minimum(excess / np.maximum(slope, _MIN_SLOPE), miss - gap)
        gap = gap + step
        if (step < _TOLERANCE).all():
            break
    # 1 - (1 - mean) may round to less than the mean.
    index: np.ndarray = np.maximum(1.0 - gap, mean)
    return index


class MABAlgorithm:
    """A multi-armed bandit whose arms' rewards are in [0, 1].

    Confidence widths are scaled as in Hsu et al., https://arxiv.org/abs/1904.02664.

    Attributes:
        pulls: how often each arm was pulled, float64 of shape (num_arms,).
        reward: sum of each arm's rewards, float64 of shape (num_arms,).
        optimism_scaling: width of the confidence bounds; 1 is the width of the literature, less
            explores less.

    Args:
        num_arms: number of arms, at least 2.
        params: attributes to set, such as ``{'optimism_scaling': 0.5}``. One that the algorithm
            does not have is set too, with a warning.
        seed: seed of the bandit's generator.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if there are fewer than two arms, or ``optimism_scaling`` is negative, above
            1e100 or, for Thompson sampling, below 1e-6.
    """

    optimism_scaling: float

    def __init__(self, num_arms: int, params: Mapping[str, Any], seed: int | None = 0) -> None:
        num_arms = validation.positive_int("num_arms", num_arms, 2, _MAX_ARMS)
        validation.mapping("params", params)
        self.pulls = np.zeros(num_arms)
        self.reward = np.zeros(num_arms)
        self._rng: Any = validation.random_state("seed", seed)
        self.optimism_scaling = 1.0
        similarity = keys.similarity_for(type(self))
        keys.warn_of_unknown("params", params, self._attributes(), similarity=similarity)
        for name, value in params.items():
            setattr(self, name, value)
        self.optimism_scaling = _checked_scaling(
            self.optimism_scaling, thompson=isinstance(self, ThompsonSampling)
        )

    def _attributes(self) -> list[str]:
        """Returns the names of the attributes that ``params`` can set."""
        names = [name for name in dir(self) if not name.startswith("__")]
        return [name for name in names if not callable(getattr(self, name))]

    def sample_from(self, rng: SamplesBeta) -> None:
        """Sets the generator that Thompson sampling samples posteriors from."""
        self._rng = rng

    def set_state(self, pulls: ArrayLike, reward: ArrayLike) -> None:
        """Sets the pulls and the summed rewards of the arms, each of shape (num_arms,).

        Raises:
            TypeError: if they are not numbers.
            ValueError: if there are not as many as the bandit has arms, one is not finite, or an
                arm's rewards are negative or above its pulls.
        """
        if not type(pulls) is type(reward) is np.ndarray or not (
            pulls.dtype.kind in "iuf" and reward.dtype.kind in "iuf"
        ):
            pulls, reward = numbers.array("pulls", pulls), numbers.array("reward", reward)
        if pulls.shape != self.pulls.shape or reward.shape != self.reward.shape:
            raise ValueError(
                f"pulls and reward must have an entry for each of the {len(self.pulls)} arms, got "
                f"shapes {pulls.shape} and {reward.shape}."
            )
        # In Python, which takes less time than NumPy for a few arms.
        for of_arm, rewards in zip(pulls.tolist(), reward.tolist()):
            if not 0 <= rewards <= of_arm < math.inf:
                raise ValueError(_WRONG_COUNTS + f"got {pulls.tolist()} and {reward.tolist()}.")
        self.pulls[:] = pulls
        self.reward[:] = reward

    def update(self, arm: int, reward: float) -> None:
        """Counts a pull of an arm and its reward.

        Args:
            arm: the arm's number, an integer in [0, num_arms).
            reward: its reward, in [0, 1].

        Raises:
            TypeError: if the arm is not an integer, or the reward not a number.
            ValueError: if one is out of its range.
        """
        arm, reward = self._checked(arm, reward)
        self.pulls[arm] += 1
        self.reward[arm] += reward

    def _checked(self, arm: int, reward: float) -> tuple[int, float]:
        """Returns an arm as an int and a reward as a float, or refuses them."""
        if type(arm) is not int:
            arm = validation.positive_int("arm", arm, minimum=0)
        if not 0 <= arm < len(self.pulls):
            raise ValueError(
                f"arm must be in 0 to {len(self.pulls) - 1}, got {numbers.described(arm)}."
            )
        number = numbers.as_float("reward", reward)
        if not 0.0 <= number <= 1.0:
            raise ValueError(f"reward must be in [0, 1], got {reward!r}.")
        return arm, number

    def get_score(self, t: float) -> np.ndarray:
        """Returns the indices of the arms at round t, float64 of shape (num_arms,)."""
        raise NotImplementedError(f"{type(self).__name__} must define get_score(t).")

    def get_arm(self, t: float) -> int:
        """Returns the arm of the highest index at round t, the first one where several tie."""
        return int(np.argmax(self.get_score(t)))


class UCB1(MABAlgorithm):
    """UCB1, see :func:`ucb1_index`."""

    def get_score(self, t: float) -> np.ndarray:
        """Returns upper confidence bounds of the arms' means at round t."""
        return _ucb1_index(self.pulls, self.reward, t, self.optimism_scaling)

    @staticmethod
    def print() -> str:
        """Returns the algorithm's name."""
        return "UCB1"


class KLUCB(MABAlgorithm):
    """KL-UCB, see :func:`kl_ucb_index`.

    Attributes:
        c: weight of the term log(log(t)), 3 unless ``params`` sets it.
    """

    c = 3.0

    def __init__(self, num_arms: int, params: Mapping[str, Any], seed: int | None = 0) -> None:
        super().__init__(num_arms, params, seed)
        self.c = validation.non_negative_float("c", self.c)

    def get_score(self, t: float) -> np.ndarray:
        """Returns upper confidence bounds of the arms' means at round t."""
        return _kl_ucb_index(self.pulls, self.reward, t, self.optimism_scaling, self.c)

    @staticmethod
    def print() -> str:
        """Returns the algorithm's name."""
        return "KL-UCB"


class ThompsonSampling(MABAlgorithm):
    """Thompson sampling for Bernoulli rewards, see :func:`thompson_index`."""

    def update(self, arm: int, reward: float) -> None:
        """Counts a pull; a reward r strictly between 0 and 1 counts as 1 with probability r."""
        arm, reward = self._checked(arm, reward)
        if 0.0 < reward < 1.0:
            reward = float(self._rng.random_sample() < reward)
        super().update(arm, reward)

    def get_score(self, t: float) -> np.ndarray:
        """Returns a sample of the posterior of each arm's mean; the round does not matter."""
        _checked_rounds(self.pulls, t)
        return _thompson_index(self.pulls, self.reward, self._rng, self.optimism_scaling)

    @staticmethod
    def print() -> str:
        """Returns the algorithm's name."""
        return "ThompsonSampling"
