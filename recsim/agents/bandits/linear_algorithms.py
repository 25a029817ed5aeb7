"""Linear contextual bandits: functions on arrays, and the regressions that they go by.

A document with the context x brings a reward with the mean ``x . w``. The weights w are estimated
by ridge regression: with the *precision* ``A = ridge * I + sum x x^T`` and the *moments*
``b = sum reward * x`` they are ``A^-1 b``, and the posterior of the weights has the covariance
``A^-1``, in units of the noise's variance (Li et al., "A Contextual-Bandit Approach to Personalized
News Article Recommendation", WWW 2010; Agrawal and Goyal, "Thompson Sampling for Contextual Bandits
with Linear Payoffs", ICML 2013).

Functions take the estimates of any number of bandits, which broadcast over the leading axes.
Precision and moments are sums, so that updates in any order and in blocks of any size lead to the
same estimates but for rounding. Models keep these sums, and update an inverse only as long as that
is as exact as to compute it from them: standard deviations are right to a part of about 1e-5, and
estimates to that part of a standard deviation for each unit that ``sqrt(sum reward^2)`` has. Where
not even an inverse from the sums has three right digits, they raise FloatingPointError.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recsim._internal import validation
from recsim.agents.bandits import _models

__all__ = [
    "HybridModel",
    "LinearModels",
    "block_update",
    "linear_thompson_index",
    "linear_ucb_index",
    "rank_one_update",
    "standard_deviations",
]

# After so many updates of an inverse it is computed anew, so that rounding errors do not add up.
_MOST_UPDATES = 1000
# One update counts as several if it loses more than this, see _models.lost_digits.
_LOST_BY_UPDATE = 1e-9
# A block of more contexts than this part of their size is not worth an update of the inverse.
_BLOCK = 0.25

# An arm, the contexts that it was shown in, and the rewards.
_Block = tuple[int, np.ndarray, np.ndarray]


def rank_one_update(inverse: ArrayLike, contexts: ArrayLike) -> np.ndarray:
    """Returns the inverse of a matrix after a context was added: of ``A + x x^T``.

    It is the formula of Sherman and Morrison (1950), which takes the square of the context's size,
    where an inverse takes its cube.

    Args:
        inverse: the inverse of A, symmetric, of shape (..., dim, dim).
        contexts: x, of shape (..., dim).

    Returns:
        float64 array of shape (..., dim, dim).

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if their sizes differ, or a number is not finite.
    """
    inverse, contexts = _checked("inverse", inverse, contexts, matrix=True, block=False)
    return _block_update(inverse, contexts[..., np.newaxis, :])


def block_update(inverse: ArrayLike, contexts: ArrayLike) -> np.ndarray:
    """Returns the inverse of a matrix after contexts were added: of ``A + sum x x^T``.

    It is the formula of Woodbury (1950): that of :func:`rank_one_update` for several at a time.

    Args:
        inverse: the inverse of A, symmetric, of shape (..., dim, dim).
        contexts: the contexts, of shape (..., num_contexts, dim).

    Returns:
        float64 array of shape (..., dim, dim).

    Raises:
        TypeError, ValueError: as :func:`rank_one_update`.
    """
    return _block_update(*_checked("inverse", inverse, contexts, matrix=True))


def _block_update(inverse: np.ndarray, contexts: np.ndarray) -> np.ndarray:
    products = contexts @ inverse
    gain = products @ contexts.swapaxes(-1, -2)
    gain += np.eye(contexts.shape[-2])
    # As a product with its own transpose, what is taken away is symmetric to the last bit.
    factor = np.linalg.solve(np.linalg.cholesky(gain), products)
    updated: np.ndarray = inverse - factor.swapaxes(-1, -2) @ factor
    return updated


def _counted(updates: int, num: int, lost: float) -> int:
    """Returns the updates of an inverse after some that each lose so much, see _MOST_UPDATES."""
    if lost <= _LOST_BY_UPDATE:
        return updates + num
    # Also where it is infinite, or not a number.
    weight = math.ceil(lost / _LOST_BY_UPDATE) if lost < 1.0 else _MOST_UPDATES + 1
    return updates + num * weight


def standard_deviations(inverse: ArrayLike, contexts: ArrayLike) -> np.ndarray:
    """Returns ``sqrt(x^T A^-1 x)``, the uncertainty of the mean rewards of contexts.

    Args:
        inverse: the inverse of the precision, of shape (..., dim, dim).
        contexts: of shape (..., num_contexts, dim).

    Returns:
        float64 array of shape (..., num_contexts).

    Raises:
        TypeError, ValueError: as :func:`rank_one_update`.
    """
    return _deviations(*_checked("inverse", inverse, contexts, matrix=True))


def _deviations(inverse: np.ndarray, contexts: np.ndarray) -> np.ndarray:
    deviations: np.ndarray = np.sqrt(np.maximum(_squares(inverse, contexts), 0.0))
    return deviations


def _squares(inverse: np.ndarray, contexts: np.ndarray) -> np.ndarray:
    squares: np.ndarray = np.einsum("...i,...i->...", contexts @ inverse, contexts)
    return squares


def linear_ucb_index(
    weights: ArrayLike, inverse: ArrayLike, contexts: ArrayLike, alpha: float = 1.0
) -> np.ndarray:
    """LinUCB: the estimated mean reward plus ``alpha`` standard deviations.

    See Li et al. (2010), algorithm 1.

    Args:
        weights: the estimated weights ``A^-1 b``, of shape (..., dim).
        inverse: ``A^-1``, of shape (..., dim, dim).
        contexts: of shape (..., num_contexts, dim).
        alpha: width of the confidence bounds, at least 0.

    Returns:
        float64 array of shape (..., num_contexts).

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if sizes differ, or a number is not finite or out of its range.
    """
    alpha = validation.non_negative_float("alpha", alpha)
    weights, _ = _checked("weights", weights, contexts)
    inverse, contexts = _checked("inverse", inverse, contexts, matrix=True)
    return _means(weights, contexts) + alpha * _deviations(inverse, contexts)


def linear_thompson_index(
    weights: ArrayLike,
    inverse: ArrayLike,
    contexts: ArrayLike,
    normals: ArrayLike,
    scale: float = 1.0,
) -> np.ndarray:
    """Linear Thompson sampling: the mean rewards under weights sampled from their posterior.

    See Agrawal and Goyal (2013): the weights are of a normal distribution with the mean
    ``A^-1 b`` and the covariance ``scale^2 A^-1``.

    Args:
        weights: the estimated weights, of shape (..., dim).
        inverse: ``A^-1``, of shape (..., dim, dim).
        contexts: of shape (..., num_contexts, dim); one sample is for all of these.
        normals: standard normal numbers, of shape (..., dim).
        scale: factor of the posterior's width, at least 0.

    Returns:
        float64 array of shape (..., num_contexts).

    Raises:
        TypeError, ValueError: as :func:`linear_ucb_index`.
    """
    scale = validation.non_negative_float("scale", scale)
    weights, _ = _checked("weights", weights, contexts)
    normals, _ = _checked("normals", normals, contexts)
    inverse, contexts = _checked("inverse", inverse, contexts, matrix=True)
    factor = _models.factor_of(inverse)
    spread = np.matmul(factor, normals[..., np.newaxis])[..., 0]
    return _means(weights + scale * spread, contexts)


def _means(weights: np.ndarray, contexts: np.ndarray) -> np.ndarray:
    means: np.ndarray = np.matmul(contexts, weights[..., np.newaxis])[..., 0]
    return means


def _checked(
    name: str, estimate: ArrayLike, contexts: ArrayLike, matrix: bool = False, block: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Returns an estimate and contexts as float64 arrays of sizes that fit."""
    array, contexts = validation.finite(name, estimate), validation.finite("contexts", contexts)
    size = contexts.shape[-1:]
    least = 2 if block else 1
    if (
        contexts.ndim < least
        or array.ndim < 1 + matrix
        or array.shape[-1 - matrix :] != size * (1 + matrix)
    ):
        of_contexts = "(..., num_contexts, dim)" if block else "(..., dim)"
        raise ValueError(
            f"{name} must be of shape (..., {'dim, dim' if matrix else 'dim'}) for contexts of "
            f"shape {of_contexts}, got the shapes {array.shape} and {contexts.shape}."
        )
    return array, contexts


class LinearModels(_models.ArmModels):
    """Ridge regressions of rewards: one that is shared, or one for each arm.

    With an arm a model it is Li et al.'s *disjoint* model.

    Args:
        dim: size of a context.
        num_arms: number of models.
        ridge: the precision of the weights' prior, above 0.

    Attributes:
        precision: ``A`` of each arm, shape (num_arms, dim, dim).
        moments: ``b`` of each arm, shape (num_arms, dim).
        inverse: ``A^-1`` of each arm.
        weights: ``A^-1 b`` of each arm.

    Raises:
        TypeError: if a number is not an integer, or ``ridge`` not a number.
        ValueError: if one is out of its range.
        MemoryError: if there is no memory for the matrices.

    Example:
        >>> models = LinearModels(dim=2)
        >>> models.update([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [1.0, 0.0, 1.0])
        >>> models.weights.round(3).tolist()
        [[0.333, 0.5]]
    """

    def __init__(self, dim: int, num_arms: int = 1, *, ridge: float = 1.0) -> None:
        super().__init__(dim, num_arms)
        ridge = validation.positive_float("ridge", ridge)
        _models.checked_size(3 * self._num_arms * self._dim**2)
        eye = np.eye(self._dim)
        self.precision = np.tile(ridge * eye, (self._num_arms, 1, 1))
        self.inverse = np.tile(eye / ridge, (self._num_arms, 1, 1))
        self.moments = np.zeros((self._num_arms, self._dim))
        # Contexts by which each inverse was updated since it was computed.
        self._updates = np.zeros(self._num_arms, np.int64)

    def update(
        self, contexts: ArrayLike, rewards: ArrayLike, arms: ArrayLike | None = None
    ) -> None:
        """Takes in rewards, all or none: contexts of shape (n, dim), rewards and arms (n,).

        Raises:
            TypeError, ValueError: for arrays that are not of finite numbers and these shapes.
            FloatingPointError: if estimates would not be finite, or not exact.
        """
        contexts, rewards, arms = _models.checked_outcomes(
            self._dim, self._num_arms, contexts, rewards, arms
        )
        updated = [
            (arm, *self._updated(arm, contexts[rows], rewards[rows]))
            for arm, rows in _models.rows_by_arm(arms)
        ]
        for arm, precision, moments, inverse, weights, updates in updated:
            self.precision[arm], self.moments[arm] = precision, moments
            self.inverse[arm], self.weights[arm] = inverse, weights
            self._updates[arm] = updates
            self._factors.pop(arm, None)

    def _updated(
        self, arm: int, contexts: np.ndarray, rewards: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
        """Returns an arm's precision, moments, inverse, weights and updates after outcomes."""
        precision = self.precision[arm] + contexts.T @ contexts
        moments = self.moments[arm] + rewards @ contexts
        lost = float(_models.lost_digits(precision.diagonal(), self.inverse[arm].diagonal()))
        updates = _counted(int(self._updates[arm]), len(contexts), lost)
        if len(contexts) > _BLOCK * self._dim or updates > _MOST_UPDATES:
            inverse, updates = _models.inverse_of(precision), 0
        else:
            inverse = _models.solved(_block_update, self.inverse[arm], contexts)
        weights = inverse @ moments
        if not np.isfinite(weights).all():
            raise FloatingPointError(_models.NOT_FINITE)
        return precision, moments, inverse, weights, updates

    def _squares(self, arm: int, contexts: np.ndarray) -> np.ndarray:
        return _squares(self.inverse[arm], contexts)

    def _factor_of_covariance(self, arm: int) -> np.ndarray:
        return _models.factor_of(self.inverse[arm])

    def state_dict(self) -> dict[str, Any]:
        """Returns the estimates as data."""
        return {
            "precision": self.precision.copy(),
            "moments": self.moments.copy(),
            "inverse": self.inverse.copy(),
            "weights": self.weights.copy(),
            "updates": self._updates.copy(),
        }

    def checked_state(self, owner: object, state: object) -> Mapping[str, Any]:
        """Returns what :meth:`state_dict` returned; ValueError for something else."""
        matrix, vector = (self._num_arms, self._dim, self._dim), (self._num_arms, self._dim)
        shapes = {"precision": matrix, "moments": vector, "inverse": matrix, "weights": vector}
        return _models.checked_arrays(
            owner, state, shapes, ("precision", "inverse"), self._updates.shape
        )

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restores a checked state."""
        self.precision, self.moments = state["precision"].copy(), state["moments"].copy()
        self.inverse, self.weights = state["inverse"].copy(), state["weights"].copy()
        self._updates = state["updates"].astype(np.int64)
        self._factors = {}


class HybridModel(_models.Model):
    """The hybrid model: a reward has a part that all arms share and a part of its arm.

    The mean reward is ``z . beta + x . theta_arm``, where x is the beginning of the context z. It
    is algorithm 2 of Li et al. (2010), whose estimates are those of one ridge regression of all
    weights. It stores the sums of that regression, the inverse of each arm's block, and the
    inverse of what is left for the shared weights (the Schur complement).

    Args:
        dim: size of a context z.
        arm_dim: size of its beginning x, at most ``dim``.
        num_arms: number of arms.
        ridge: the precision of all weights' prior, above 0.

    Raises:
        TypeError, ValueError, MemoryError: as :class:`LinearModels`.
    """

    def __init__(self, dim: int, arm_dim: int, num_arms: int, *, ridge: float = 1.0) -> None:
        self._dim = validation.positive_int("dim", dim, maximum=2**20)
        self._arm_dim = validation.positive_int("arm_dim", arm_dim, maximum=self._dim)
        self._num_arms = validation.positive_int("num_arms", num_arms, maximum=2**20)
        ridge = validation.positive_float("ridge", ridge)
        k, p, arms = self._dim, self._arm_dim, self._num_arms
        _models.checked_size(3 * k * k + arms * p * (3 * p + k))
        # The sums: of z z^T, of x x^T and x z^T of each arm, and of what they brought.
        self._shared_precision = ridge * np.eye(k)
        self._shared_moments = np.zeros(k)
        self._precision = np.tile(ridge * np.eye(p), (arms, 1, 1))
        self._cross = np.zeros((arms, p, k))
        self._moments = np.zeros((arms, p))
        # What follows from them.
        self._inverse = np.tile(np.eye(p) / ridge, (arms, 1, 1))
        self._shared_inverse = np.eye(k) / ridge
        self._updates = np.zeros((), np.int64)
        self._refresh()

    @property
    def num_normals(self) -> int:
        """How many normal numbers a user's sample of the weights takes."""
        return self._dim + self._num_arms * self._arm_dim

    @property
    def shared_weights(self) -> np.ndarray:
        """The estimate of beta, shape (dim,)."""
        return self._shared_weights

    @property
    def weights(self) -> np.ndarray:
        """The estimates of theta, shape (num_arms, arm_dim)."""
        return self._weights

    def update(
        self, contexts: ArrayLike, rewards: ArrayLike, arms: ArrayLike | None = None
    ) -> None:
        """Takes in rewards, see :meth:`LinearModels.update`; the arms must be given."""
        contexts, rewards, of_rows = _models.checked_outcomes(
            self._dim, self._num_arms, contexts, rewards, arms
        )
        by_arm = list(_models.rows_by_arm(of_rows))
        lost = self._lost_by_adding(np.square(contexts), by_arm)
        updates = _counted(int(self._updates), len(contexts), lost)
        one_by_one = len(contexts) <= _BLOCK * self._dim and updates <= _MOST_UPDATES
        blocks = [(arm, contexts[rows], rewards[rows]) for arm, rows in by_arm]
        # What an error restores: arrays that are replaced, and rows that are changed in place.
        in_place = self._cross, self._inverse, self._moments
        saved = [(arm, [array[arm].copy() for array in in_place]) for arm, _ in by_arm]
        precisions = self._shared_precision, self._precision
        shared_moments, shared_inverse = self._shared_moments, self._shared_inverse
        try:
            if one_by_one:
                for arm, block, _ in blocks:
                    for row in block:
                        self._update_inverses(arm, row)
            else:
                self._refit(blocks)
            for arm, block, of_rewards in blocks:
                self._shared_moments = self._shared_moments + of_rewards @ block
                self._moments[arm] += of_rewards @ block[:, : self._arm_dim]
            self._refresh()
        except (FloatingPointError, MemoryError):
            self._shared_precision, self._precision = precisions
            self._shared_moments, self._shared_inverse = shared_moments, shared_inverse
            self._cross, self._inverse, self._moments = in_place
            for arm, of_arm in saved:
                for array, row in zip(in_place, of_arm):
                    array[arm] = row
            raise
        if one_by_one:
            self._add_products(self._shared_precision, self._precision, blocks)
        self._updates[...] = updates if one_by_one else 0

    def _refit(self, blocks: list[_Block]) -> None:
        """Takes in the arms' contexts, and computes the inverses anew."""
        shared_precision, precision = self._shared_precision.copy(), self._precision.copy()
        self._add_products(shared_precision, precision, blocks)
        cross = self._cross.copy()
        for arm, block, _ in blocks:
            cross[arm] += block[:, : self._arm_dim].T @ block
        inverse = _models.inverse_of(precision)
        explained = np.matmul(cross.swapaxes(1, 2), inverse @ cross).sum(axis=0)
        self._shared_inverse = _models.inverse_of(shared_precision - explained, shared_precision)
        self._shared_precision, self._precision = shared_precision, precision
        self._cross, self._inverse = cross, inverse

    def _add_products(
        self, shared_precision: np.ndarray, precision: np.ndarray, blocks: list[_Block]
    ) -> None:
        """Adds the products of the arms' contexts to the sums of these, in place."""
        for arm, block, _ in blocks:
            own = block[:, : self._arm_dim]
            shared_precision += block.T @ block
            precision[arm] += own.T @ own

    def _lost_by_adding(
        self, squares: np.ndarray, by_arm: list[tuple[int, np.ndarray | slice]]
    ) -> float:
        """Returns what updates of the inverses lose, see :func:`_models.lost_digits`.

        Args:
            squares: the contexts' numbers, squared.
            by_arm: the arms, with the rows that each has.
        """
        # The Schur complement is as exact as the sums that it is the difference of.
        sizes = self._shared_precision.diagonal() + squares.sum(axis=0)
        lost = float(_models.lost_digits(sizes, self._shared_inverse.diagonal()))
        for arm, rows in by_arm:
            own = squares[rows, : self._arm_dim].sum(axis=0)
            sizes = self._precision[arm].diagonal() + own
            of_arm = _models.lost_digits(sizes, self._inverse[arm].diagonal())
            lost = max(lost, float(of_arm))
        return lost

    def _update_inverses(self, arm: int, context: np.ndarray) -> None:
        """Takes in a context in both inverses: each changes by a matrix of rank one."""
        own = context[: self._arm_dim]
        inverse, cross = self._inverse[arm], self._cross[arm]
        product = inverse @ own
        # What the context tells of the shared weights beside what the arm's own explain.
        left = (context - product @ cross) / np.sqrt(1.0 + own @ product)
        self._shared_inverse = _models.solved(_block_update, self._shared_inverse, left[np.newaxis])
        self._inverse[arm] = _models.solved(_block_update, inverse, own[np.newaxis])
        cross += own[:, np.newaxis] * context

    def _refresh(self) -> None:
        """Computes the weights; FloatingPointError, and those before, if they are not finite."""
        own = np.matmul(self._inverse, self._moments[..., np.newaxis])
        explained = np.matmul(self._cross.swapaxes(1, 2), own)[..., 0].sum(axis=0)
        shared_weights: np.ndarray = self._shared_inverse @ (self._shared_moments - explained)
        weights = self._own_weights(shared_weights)
        if not (np.isfinite(weights).all() and np.isfinite(shared_weights).all()):
            raise FloatingPointError(_models.NOT_FINITE)
        self._shared_weights, self._weights = shared_weights, weights
        self._factors: tuple[np.ndarray, np.ndarray] | None = None

    def _own_weights(self, shared_weights: np.ndarray) -> np.ndarray:
        """Returns the arms' weights that go with shared ones, shape (num_arms, arm_dim)."""
        left = self._moments - self._cross @ shared_weights
        weights: np.ndarray = np.matmul(self._inverse, left[..., np.newaxis])[..., 0]
        return weights

    def means(self, contexts: np.ndarray, arms: np.ndarray | None = None) -> np.ndarray:
        """Returns the estimated mean rewards of contexts, shape (n,)."""
        means: np.ndarray = contexts @ self._shared_weights
        for arm, rows in _models.rows_by_arm(arms):
            means[rows] += contexts[rows, : self._arm_dim] @ self._weights[arm]
        return means

    def deviations(self, contexts: np.ndarray, arms: np.ndarray | None = None) -> np.ndarray:
        """Returns the standard deviations of the mean rewards."""
        squares = np.empty(len(contexts))
        left = contexts.copy()
        for arm, rows in _models.rows_by_arm(arms):
            own = contexts[rows, : self._arm_dim]
            products = own @ self._inverse[arm]
            squares[rows] = np.einsum("ni,ni->n", products, own)
            left[rows] -= products @ self._cross[arm]
        squares += np.einsum("ni,ni->n", left @ self._shared_inverse, left)
        deviations: np.ndarray = np.sqrt(np.maximum(squares, 0.0))
        return deviations

    def sampled_means(
        self,
        contexts: np.ndarray,
        normals: np.ndarray,
        scale: float,
        arms: np.ndarray | None = None,
    ) -> np.ndarray:
        """Returns mean rewards under sampled weights, see :meth:`LinearModels.sampled_means`."""
        if self._factors is None:
            self._factors = (
                _models.factor_of(self._shared_inverse),
                _models.factor_of(self._inverse),
            )
        of_shared, of_arms = self._factors
        num_users, own = len(contexts), contexts[..., : self._arm_dim]
        shared = _models.sampled_weights(
            self._shared_weights, of_shared, normals[:, : self._dim], scale
        )
        sampled = _means(shared, contexts)
        assert arms is not None
        numbers_of_arms = normals[:, self._dim :].reshape(num_users, self._num_arms, -1)
        for arm in np.unique(arms).tolist():
            users, rows = np.nonzero(arms == arm)
            some, of_user = np.unique(users, return_inverse=True)
            # The arm's weights given the shared ones, which explain a part of its rewards.
            left = self._moments[arm] - shared[some] @ self._cross[arm].T
            weights = _models.sampled_weights(
                left @ self._inverse[arm], of_arms[arm], numbers_of_arms[some, arm], scale
            )
            sampled[users, rows] += np.einsum("ni,ni->n", own[users, rows], weights[of_user])
        return sampled

    def state_dict(self) -> dict[str, Any]:
        """Returns the estimates as data."""
        return {
            "shared_precision": self._shared_precision.copy(),
            "shared_moments": self._shared_moments.copy(),
            "precision": self._precision.copy(),
            "cross": self._cross.copy(),
            "moments": self._moments.copy(),
            "inverse": self._inverse.copy(),
            "shared_inverse": self._shared_inverse.copy(),
            "updates": self._updates.copy(),
        }

    def checked_state(self, owner: object, state: object) -> Mapping[str, Any]:
        """Returns what :meth:`state_dict` returned; ValueError for something else."""
        k, p, arms = self._dim, self._arm_dim, self._num_arms
        shapes: dict[str, tuple[int, ...]] = {
            "shared_precision": (k, k),
            "shared_moments": (k,),
            "precision": (arms, p, p),
            "cross": (arms, p, k),
            "moments": (arms, p),
            "inverse": (arms, p, p),
            "shared_inverse": (k, k),
        }
        definite = "shared_precision", "precision", "inverse", "shared_inverse"
        return _models.checked_arrays(owner, state, shapes, definite, ())

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restores a checked state."""
        for name in self.state_dict():
            setattr(self, f"_{name}", np.array(state[name]))
        self._updates = self._updates.astype(np.int64)
        self._refresh()
