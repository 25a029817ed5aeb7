"""The learner of soft actor-critic with top-k: items by their products with a random vector."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from recsim import types
from recsim._internal import bundles
from recsim.agents import _learner
from recsim.agents.actor_critics import learner, search, squashed

__all__ = ["SACTopKLearner"]

# The weight of the entropy at first, for values that differ by hundredths, how fast its logarithm
# changes, and its bounds.
_FIRST_TEMPERATURE, _RATE_OF_TEMPERATURE = 1e-3, 0.01
_LOWEST, _HIGHEST = -14.0, 3.0


class SACTopKLearner(learner.ActorCriticLearner):
    """Soft actor-critic (Haarnoja et al., 2018) of vectors that items are ranked by.

    A slate is of the items with the largest products with the vector. The weight of the entropy
    follows from a target of it.

    Args:
        target_entropy: of vectors, for each entry, in nats.
        settings: how it learns.
        sizes: what it is made for.
    """

    num_critics = 2
    outputs_per_entry = 2

    entries_to_train = (*learner.ActorCriticLearner.entries_to_train, "log_temperature")

    def __init__(
        self, target_entropy: float, settings: learner.Settings, sizes: _learner.Sizes
    ) -> None:
        super().__init__(settings, sizes)
        self.target_entropy = target_entropy
        self._log_temperature = math.log(_FIRST_TEMPERATURE)

    def vectors(self, users: np.ndarray, normals: np.ndarray | None) -> np.ndarray:
        """Returns samples of the actor's distribution, or what they are about."""
        outputs = self._outputs(users)
        if normals is None:
            normals = np.zeros((len(users), self.vector_size), np.float32)
        return squashed.sample(outputs, normals).astype(np.float32, copy=False)

    def slates(
        self,
        users: np.ndarray,
        vectors: np.ndarray,
        documents: np.ndarray,
        masks: np.ndarray | None = None,
        *,
        training: bool,
    ) -> np.ndarray:
        """Returns the documents with the largest products, of those that may be shown."""
        del users, training
        # The centre of the units is the same for all documents.
        vectors = vectors * self._units.factors
        if masks is None:
            return search.largest_products(vectors, documents, self.slate_size)
        listed = search.shortlist(vectors, documents, self.slate_size, masks)
        points = search.taken(documents, listed.indices)
        return listed.best(np.matmul(points, vectors[..., np.newaxis])[..., 0])

    def columns(
        self, user: np.ndarray, vector: np.ndarray, documents: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Returns the documents' products with the vector."""
        del user
        return {"product": self.scaled(documents) @ vector}

    def points_of(self, vectors: np.ndarray) -> np.ndarray:
        """Returns vectors in units in which they are as long as items at most."""
        points: np.ndarray = vectors[:, np.newaxis] * self._point_unit
        return points

    @property
    def _point_unit(self) -> np.float32:
        return np.float32(1.0 / math.sqrt(max(1, self.vector_size)))

    def _normals(self, users: np.ndarray) -> np.ndarray:
        normals: np.ndarray = self._rng.standard_normal((len(users), self.vector_size))
        return normals.astype(np.float32)

    def _future_values(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        users = batch["next_users"]
        outputs = self._of_actor.outputs(self._actor.weights, users, "actor")
        entropies = -squashed.log_density(outputs, self._normals(users))
        soft: np.ndarray = super()._future_values(batch) + self._temperature * entropies
        return soft

    @property
    def _temperature(self) -> float:
        return math.exp(self._log_temperature)

    def _learn_actor(self, users: np.ndarray) -> None:
        layers = self._layers(users)
        outputs, normals = layers.outputs, self._normals(users)
        vectors = squashed.sample(outputs, normals).astype(np.float32, copy=False)
        _, by_points = self._lowest_and_gradient(users, self.points_of(vectors))
        by_vectors = by_points * self._point_unit
        change = squashed.policy_gradient(outputs, normals, by_vectors, self._temperature)
        self._climb(layers, change)
        entropy = -float(squashed.log_density(outputs, normals).mean())
        step = math.copysign(_RATE_OF_TEMPERATURE, self.target_entropy * self.vector_size - entropy)
        self._log_temperature = _bounded(self._log_temperature + step)
        self.statistics["Entropy"] = entropy

    def _state_to_train(self) -> types.State:
        return {**super()._state_to_train(), "log_temperature": self._log_temperature}

    def _check_to_train(self, state: Mapping[str, Any]) -> None:
        super()._check_to_train(state)
        bundles.number(self.agent_name, "log_temperature", state["log_temperature"])

    def _restore_to_train(self, state: Mapping[str, Any]) -> None:
        super()._restore_to_train(state)
        self._log_temperature = _bounded(state["log_temperature"])


def _bounded(log_temperature: float) -> float:
    return min(max(float(log_temperature), _LOWEST), _HIGHEST)
