"""What the models of contextual bandits share: checks, and estimates for each arm."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recsim._internal import bundles, numbers, resources, validation

__all__ = [
    "NOT_FINITE",
    "ArmModels",
    "Model",
    "checked_arrays",
    "checked_outcomes",
    "checked_size",
    "factor_of",
    "inverse_of",
    "lost_digits",
    "rows_by_arm",
    "sampled_weights",
    "solved",
]

#: The matrices of more numbers do not fit into a machine.
_MAX_DIM = 2**20
_EPS = float(np.finfo(np.float64).eps)

#: Rounding errors of estimates, as parts of standard deviations, beyond which they are refused.
_MOST_LOST = 1e-3
#: Matrices whose diagonals differ by more than this factor are scaled before they are inverted.
_UNEQUAL = 2.0**30

_FEW_ROWS = 100

NOT_FINITE = (
    "The bandit's estimates are no longer finite: scale features and rewards to about 1, or choose "
    "a larger ridge."
)
_NOT_EXACT = (
    "The bandit's estimates are no longer exact, as features of its contexts are too different in "
    "size, or one is nearly a sum of others: scale features to about 1, leave out what others say, "
    "or choose a larger ridge."
)


def solved(function: Callable[..., np.ndarray], *arrays: np.ndarray) -> np.ndarray:
    """Returns what a function of linear algebra does.

    Raises:
        FloatingPointError: if it is not finite, or there is none. Matrices are definite here, so
            that one without, of finite numbers, has lost its digits.
    """
    try:
        result: np.ndarray = function(*arrays)
    except np.linalg.LinAlgError as error:
        finite = all(np.isfinite(array).all() for array in arrays)
        raise FloatingPointError(_NOT_EXACT if finite else NOT_FINITE) from error
    if not np.isfinite(result).all():
        raise FloatingPointError(NOT_FINITE)
    return result


def lost_digits(sizes: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Returns a bound on the rounding error of an inverse, as a part of the variances by it.

    Each number of the inverse of a precision A is rounded by about the part eps of
    ``sqrt(A^-1_ii A^-1_jj)``, so that variances by it are off by ``eps * sum_i A_ii A^-1_ii`` of
    themselves at most. That sum is the number of features where these are independent, and larger
    where some are nearly sums of others; it does not depend on their scales.

    Args:
        sizes: the diagonals of precisions, shape (..., dim).
        variances: those of their inverses, or of inverses that contexts will be added to.

    Returns:
        float64 array of shape (...).
    """
    lost: np.ndarray = np.einsum("...i,...i->...", sizes, variances) * _EPS
    return lost


def inverse_of(precision: np.ndarray, of: np.ndarray | None = None) -> np.ndarray:
    """Returns the inverses of positive definite matrices, symmetric to the last bit.

    Args:
        precision: the matrices, shape (..., dim, dim).
        of: the matrices that they are what is left of, where they are differences.

    Raises:
        FloatingPointError: if they have no inverse, or one without right digits.
    """
    diagonal = precision.diagonal(0, -2, -1)
    if not (diagonal > 0.0).all():
        raise FloatingPointError(_NOT_EXACT)
    if (diagonal.max(axis=-1) > _UNEQUAL * diagonal.min(axis=-1)).any():
        # By powers of two, which rounds nothing: the inverse of a factor is not exact otherwise.
        scales = np.exp2(-np.rint(np.log2(diagonal) / 2.0))
        both = scales[..., np.newaxis] * scales[..., np.newaxis, :]
        inverse: np.ndarray = _inverse_of(precision * both) * both
    else:
        inverse = _inverse_of(precision)
    sizes = diagonal if of is None else of.diagonal(0, -2, -1)
    if not (lost_digits(sizes, inverse.diagonal(0, -2, -1)) <= _MOST_LOST).all():
        raise FloatingPointError(_NOT_EXACT)
    return inverse


def _inverse_of(precision: np.ndarray) -> np.ndarray:
    factor = solved(np.linalg.inv, solved(np.linalg.cholesky, precision))
    inverse: np.ndarray = factor.swapaxes(-1, -2) @ factor
    return inverse


def rows_by_arm(arms: np.ndarray | None) -> Iterator[tuple[int, np.ndarray | slice]]:
    """Yields the arms that there are, with the rows that each has; arm 0 has all for None."""
    if arms is None:
        yield 0, slice(None)
        return
    # Python's sets are the faster of the two for few rows.
    few = len(arms) <= _FEW_ROWS
    for arm in sorted(set(arms.tolist())) if few else np.unique(arms).tolist():
        yield arm, np.flatnonzero(arms == arm)


def checked_size(num_numbers: int) -> None:
    """Raises MemoryError if there is no memory for the matrices of a bandit."""
    resources.check_memory(
        8 * num_numbers,
        "The bandit's matrices, each the square of a context's size,",
        "observe fewer features, or choose interaction='product' or 'none'",
    )


def factor_of(covariance: np.ndarray) -> np.ndarray:
    """Returns the lower Cholesky factors of covariances, shape (..., dim, dim)."""
    return solved(np.linalg.cholesky, covariance)


def sampled_weights(
    mean: np.ndarray, factor: np.ndarray, normals: np.ndarray, scale: float
) -> np.ndarray:
    """Returns weights of a normal distribution, made of standard normal numbers.

    Args:
        mean: their mean, shape (dim,), or (n_users, dim).
        factor: a lower factor of their covariance, shape (dim, dim), or its diagonal, (dim,).
        normals: standard normal numbers, shape (n_users, dim).
        scale: what their standard deviations are multiplied by.
    """
    spread = normals * factor if factor.ndim == 1 else normals @ factor.T
    weights: np.ndarray = mean + scale * spread
    return weights


def checked_arrays(
    owner: object,
    state: object,
    shapes: Mapping[str, tuple[int, ...]],
    definite: Sequence[str],
    updates: tuple[int, ...] | None = None,
) -> Mapping[str, Any]:
    """Returns a state's entries, float64 arrays; ValueError if one is something else.

    Args:
        owner: the agent that is to be restored.
        state: the state.
        shapes: the shapes of its arrays by name.
        definite: names of those that hold positive definite matrices.
        updates: the shape of an entry 'updates', of integers; None where there is none.
    """
    counted = () if updates is None else ("updates",)
    found = bundles.entries(owner, "model", state, *shapes, *counted)
    for name, shape in shapes.items():
        array = bundles.array(owner, name, found[name], shape)
        if name in definite:
            try:
                np.linalg.cholesky(array)
            except np.linalg.LinAlgError:
                bundles.refuse(owner, name, "positive definite matrices", "others")
    if updates is not None:
        bundles.array(owner, "updates", found["updates"], updates, "iu")
    return found


def checked_outcomes(
    dim: int, num_arms: int, contexts: ArrayLike, rewards: ArrayLike, arms: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Returns contexts, rewards and arms as arrays of one length, or refuses them."""
    contexts = validation.finite("contexts", contexts)
    rewards = validation.finite("rewards", rewards)
    if contexts.ndim != 2 or contexts.shape[1] != dim or rewards.shape != contexts.shape[:1]:
        raise ValueError(
            f"contexts and rewards must have the shapes (n, {dim}) and (n,), got "
            f"{contexts.shape} and {rewards.shape}."
        )
    if arms is None:
        if num_arms > 1:
            raise ValueError(f"arms must be given where there are several, {num_arms}, got None.")
        return contexts, rewards, None
    arms = numbers.array("arms", arms)
    if arms.shape != rewards.shape or arms.dtype.kind not in "iu":
        raise ValueError(
            f"arms must be integers of the shape of rewards, {rewards.shape}, got "
            f"{arms.dtype} of shape {arms.shape}."
        )
    if arms.size and not 0 <= arms.min() <= arms.max() < num_arms:
        raise ValueError(
            f"arms must be in 0 to {num_arms - 1}, got {numbers.described(arms.tolist())}."
        )
    return contexts, rewards, arms


class Model(abc.ABC):
    """What a contextual bandit goes by: estimates of what documents bring.

    Contexts are float64 arrays of shape (n, dim), and arms integers of shape (n,), None where all
    contexts share one model.
    """

    @property
    @abc.abstractmethod
    def num_normals(self) -> int:
        """How many normal numbers a user's sample of the weights takes."""

    @abc.abstractmethod
    def update(
        self, contexts: ArrayLike, rewards: ArrayLike, arms: ArrayLike | None = None
    ) -> None:
        """Takes in rewards: all of them, or none if it raises an error.

        Args:
            contexts: what brought them, shape (n, dim).
            rewards: the rewards, shape (n,).
            arms: the arms, integers of shape (n,); None where there is one model.

        Raises:
            TypeError, ValueError: for arrays that are not of finite numbers and these shapes.
            FloatingPointError: if numbers are so large that the estimates are not finite, or
                contexts so different in size, or dependent, that they have no right digits.
        """

    @abc.abstractmethod
    def means(self, contexts: np.ndarray, arms: np.ndarray | None = None) -> np.ndarray:
        """Returns the estimates for contexts, shape (n,)."""

    @abc.abstractmethod
    def deviations(self, contexts: np.ndarray, arms: np.ndarray | None = None) -> np.ndarray:
        """Returns the standard deviations of the estimates, shape (n,)."""

    @abc.abstractmethod
    def sampled_means(
        self,
        contexts: np.ndarray,
        normals: np.ndarray,
        scale: float,
        arms: np.ndarray | None = None,
    ) -> np.ndarray:
        """Returns estimates under weights sampled from their posterior, a sample for each user.

        Args:
            contexts: float64 array of shape (n_users, num_contexts, dim).
            normals: standard normal numbers, shape (n_users, num_normals).
            scale: factor of the posterior's width.
            arms: integers of shape (n_users, num_contexts); None where there is one model.

        Returns:
            float64 array of shape (n_users, num_contexts).
        """

    @abc.abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Returns the estimates as data."""

    @abc.abstractmethod
    def checked_state(self, owner: object, state: object) -> Mapping[str, Any]:
        """Returns what :meth:`state_dict` returned; ValueError for something else."""

    @abc.abstractmethod
    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restores a checked state."""


class ArmModels(Model):
    """Models of which each arm has one of its own, or all contexts share the only one.

    Args:
        dim: size of a context.
        num_arms: number of models.

    Attributes:
        weights: the estimated weights of each arm, shape (num_arms, dim).
    """

    def __init__(self, dim: int, num_arms: int) -> None:
        self._dim = validation.positive_int("dim", dim, maximum=_MAX_DIM)
        self._num_arms = validation.positive_int("num_arms", num_arms, maximum=_MAX_DIM)
        self.weights = np.zeros((self._num_arms, self._dim))
        self._factors: dict[int, np.ndarray] = {}

    @property
    def num_normals(self) -> int:
        """How many normal numbers a user's sample of the weights takes."""
        return self._num_arms * self._dim

    @abc.abstractmethod
    def _squares(self, arm: int, contexts: np.ndarray) -> np.ndarray:
        """Returns the variances of the estimates for an arm's contexts, shape (n,)."""

    @abc.abstractmethod
    def _factor_of_covariance(self, arm: int) -> np.ndarray:
        """Returns a lower factor of the covariance of an arm's weights, or its diagonal."""

    def means(self, contexts: np.ndarray, arms: np.ndarray | None = None) -> np.ndarray:
        """See :meth:`Model.means`."""
        means = np.empty(len(contexts))
        for arm, rows in rows_by_arm(arms):
            means[rows] = contexts[rows] @ self.weights[arm]
        return means

    def deviations(self, contexts: np.ndarray, arms: np.ndarray | None = None) -> np.ndarray:
        """See :meth:`Model.deviations`."""
        squares = np.empty(len(contexts))
        for arm, rows in rows_by_arm(arms):
            squares[rows] = self._squares(arm, contexts[rows])
        deviations: np.ndarray = np.sqrt(np.maximum(squares, 0.0))
        return deviations

    def sampled_means(
        self,
        contexts: np.ndarray,
        normals: np.ndarray,
        scale: float,
        arms: np.ndarray | None = None,
    ) -> np.ndarray:
        """See :meth:`Model.sampled_means`."""
        of_arms = normals.reshape(len(contexts), self._num_arms, self._dim)
        if arms is None:
            weights = self._sampled_weights(0, of_arms[:, 0], scale)
            of_users: np.ndarray = np.matmul(contexts, weights[..., np.newaxis])[..., 0]
            return of_users
        sampled = np.empty(contexts.shape[:2])
        for arm in np.unique(arms).tolist():
            users, places = np.nonzero(arms == arm)
            # Once for a user who has several documents of the arm.
            some, of_user = np.unique(users, return_inverse=True)
            weights = self._sampled_weights(arm, of_arms[some, arm], scale)
            of_arm = contexts[users, places]
            sampled[users, places] = np.einsum("ni,ni->n", of_arm, weights[of_user])
        return sampled

    def _sampled_weights(self, arm: int, normals: np.ndarray, scale: float) -> np.ndarray:
        return sampled_weights(self.weights[arm], self._factor(arm), normals, scale)

    def _factor(self, arm: int) -> np.ndarray:
        """Returns what :meth:`_factor_of_covariance` does, computed once for each update."""
        if arm not in self._factors:
            self._factors[arm] = self._factor_of_covariance(arm)
        return self._factors[arm]
