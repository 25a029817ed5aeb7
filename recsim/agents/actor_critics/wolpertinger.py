"""The Wolpertinger learner: an actor's vector, the items near it, and a critic that chooses."""

from __future__ import annotations

import numpy as np

from recsim.agents import _learner
from recsim.agents.actor_critics import ball, learner, search

__all__ = ["WolpertingerLearner"]

# Vectors are at most as long as twice the items' typical length, with which they reach all items
# but rare ones.
_RADIUS = 2.0


class WolpertingerLearner(learner.ActorCriticLearner):
    """The actor of Dulac-Arnold et al. (2015), whose vector is an item that there need not be.

    Of the items nearest to the vector those are shown that the critic values most; in training
    the nearest, to a vector with noise.

    Args:
        num_neighbors: number of items that the critic chooses among.
        noise: length of what is added to vectors in training, in units of items' lengths.
        settings: how it learns.
        sizes: what it is made for.
    """

    num_critics = 1
    outputs_per_entry = 1

    def __init__(
        self, num_neighbors: int, noise: float, settings: learner.Settings, sizes: _learner.Sizes
    ) -> None:
        super().__init__(settings, sizes)
        self.num_neighbors, self.noise = num_neighbors, noise

    def vectors(self, users: np.ndarray, normals: np.ndarray | None) -> np.ndarray:
        """Returns the actor's outputs drawn into a ball, with noise."""
        vectors = ball.drawn_in(self._outputs(users), _RADIUS)
        if normals is not None:
            vectors += (self.noise / np.sqrt(max(1, self.vector_size))) * normals
        return vectors.astype(np.float32, copy=False)

    def slates(
        self,
        users: np.ndarray,
        vectors: np.ndarray,
        documents: np.ndarray,
        masks: np.ndarray | None = None,
        *,
        training: bool,
    ) -> np.ndarray:
        """Returns the nearest documents that the critic values most; in training the nearest.

        Where not all may stand in all positions, the critic chooses among the nearest that may
        stand in each of them.
        """
        scaled = self.scaled(documents)
        number = self.slate_size if training else max(self.num_neighbors, self.slate_size)
        number = min(scaled.shape[-2], number)
        if masks is not None:
            return self._slates_under_masks(users, vectors, scaled, masks, number)
        near = search.nearest(vectors, scaled, number)
        if number == self.slate_size:
            return near
        values = self._critics[0].values(users, search.taken(scaled, near))
        best = np.argsort(-values, axis=1, kind="stable")[:, : self.slate_size]
        return np.take_along_axis(near, best, axis=1)

    def _slates_under_masks(
        self,
        users: np.ndarray,
        vectors: np.ndarray,
        scaled: np.ndarray,
        masks: np.ndarray,
        number: int,
    ) -> np.ndarray:
        halves = search.half_squares(scaled)
        listed = search.shortlist(vectors, scaled, number, masks, halves)
        points = search.taken(scaled, listed.indices)
        if number > self.slate_size:
            return listed.best(self._critics[0].values(users, points))
        distances = np.square(points - vectors[:, np.newaxis]).sum(axis=-1)
        return listed.best(-distances)

    def columns(
        self, user: np.ndarray, vector: np.ndarray, documents: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Returns documents' distances to the vector, and the critic's values of them."""
        scaled = self.scaled(documents)
        values = self.values(user[np.newaxis], scaled[np.newaxis])[0]
        return {"distance": np.linalg.norm(scaled - vector, axis=1), "value": values}

    def _learn_actor(self, users: np.ndarray) -> None:
        layers = self._layers(users)
        vectors = ball.drawn_in(layers.outputs, _RADIUS)
        _, by_vectors = self._lowest_and_gradient(users, vectors[:, np.newaxis])
        self._climb(layers, -ball.gradient(layers.outputs, by_vectors, _RADIUS))
