"""A critic: what points in the space of items' features are worth to users, and its averages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recsim import types
from recsim._internal import bundles
from recsim.agents.networks import item_scorers, optimizers, recurrent

__all__ = ["Critic"]

# What longer gradients are shortened to.
_LONGEST_GRADIENT = 10.0


def _with_constant(points: np.ndarray) -> np.ndarray:
    """Returns points with another feature, 1, so that a value has a part that is the user's."""
    constant = np.ones((*points.shape[:-1], 1), np.float32)
    return np.concatenate([points, constant], axis=-1)


class Critic:
    """Values points: the product of their features and a vector that is made of the user's.

    Beside the weights that are trained there are averages of them over the last updates, which
    targets, the actor and slates go by.

    Args:
        user_size: number of features of a user.
        doc_size: number of features of a point.
        hidden_units: sizes of the hidden layers of the users' network.
        item_units: sizes of the layers that make further features of points; empty for none.
        learning_rate: of Adam.
        rng: what initial weights are sampled from.
        recurrence: which of a user's features a recurrent state reads; None for none.

    Raises:
        MemoryError: if there is no memory for the weights.
    """

    def __init__(
        self,
        user_size: int,
        doc_size: int,
        hidden_units: Sequence[int],
        item_units: Sequence[int],
        learning_rate: float,
        rng: np.random.RandomState,
        recurrence: recurrent.Recurrence | None = None,
    ) -> None:
        self._scorer = item_scorers.ItemScorer.initial(
            user_size, doc_size + 1, hidden_units, item_units, rng, recurrence
        )
        self._learning_rate = learning_rate
        self._optimizer = self._new_optimizer(self._scorer.weights)
        self._averages = self._optimizer.copied_weights()

    def _new_optimizer(self, weights: Sequence[np.ndarray]) -> optimizers.Optimizer:
        return optimizers.Optimizer(weights, "adam", self._learning_rate)

    @property
    def averages(self) -> list[np.ndarray]:
        """The averages of the weights."""
        return self._averages

    def _averaged(self) -> item_scorers.ItemScorer:
        return self._scorer.with_weights(self._averages)

    def values(self, users: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Returns the values of points, by the averages, of shape (n_users, num_points).

        Args:
            users: features of users, float32 of shape (n_users, user_size).
            points: float32 of shape (n_users, num_points, doc_size).
        """
        return self._averaged().scores(users, _with_constant(points))

    def values_and_gradient(
        self, users: np.ndarray, points: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns what :meth:`values` does, and the gradient of each value by its point."""
        scores = item_scorers.Scores(self._averaged(), users, _with_constant(points))
        return scores.scores, scores.by_documents()[..., :-1]

    def learn(self, users: np.ndarray, points: np.ndarray, targets: np.ndarray) -> float:
        """Makes a gradient step towards targets of the mean value of a user's points.

        Args:
            users: as in :meth:`values`.
            points: as in :meth:`values`.
            targets: float32 of shape (n_users,).

        Returns:
            The mean of the squared errors before the step.
        """
        scorer = self._scorer.with_weights(self._optimizer.weights)
        scores = item_scorers.Scores(scorer, users, _with_constant(points))
        errors = scores.scores.mean(axis=1) - targets
        change = np.empty(scores.scores.shape, np.float32)
        change[:] = (2.0 / change.size) * errors[:, np.newaxis]
        scores.backward(change, self._optimizer.gradients)
        self._optimizer.clip(_LONGEST_GRADIENT)
        self._optimizer.descend()
        return float(np.square(errors).mean())

    def average(self, share: float) -> None:
        """Lets the averages take a share of the weights."""
        for average, weights in zip(self._averages, self._optimizer.weights, strict=True):
            average += np.float32(share) * (weights - average)

    # State.

    def state_dict(self) -> types.State:
        """Returns what training resumes with, beside the averages, as data."""
        return {"weights": self._optimizer.copied_weights(), "optimizer": self._optimizer.state()}

    def check_averages(self, owner: str, averages: object) -> None:
        """Raises ValueError for something else than :attr:`averages`."""
        bundles.arrays(owner, "critics", averages, [array.shape for array in self._averages])

    def check(self, owner: str, state: object) -> None:
        """Raises ValueError for something else than :meth:`state_dict` returned."""
        entries = bundles.entries(owner, "trained_critics", state, "weights", "optimizer")
        weights, of_optimizer = self._optimizer.weights, self._optimizer.state()
        bundles.arrays(owner, "weights", entries["weights"], [array.shape for array in weights])
        shapes = [array.shape for array in of_optimizer]
        bundles.arrays(owner, "optimizer", entries["optimizer"], shapes, "iuf")

    def restore_averages(self, averages: Sequence[np.ndarray]) -> None:
        """Restores averages, from which training would begin anew."""
        self._averages = [array.astype(np.float32) for array in averages]
        self._optimizer = self._new_optimizer(averages)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what :meth:`state_dict` returned, and :meth:`check` does not refuse."""
        self._optimizer = self._new_optimizer(state["weights"])
        self._optimizer.set_state(state["optimizer"])
