"""Networks that score items: a vector for the user, and its products with the items' features.

A user's features are turned into a vector of weights, one for each feature of an item; an item's
score is the product of the two. The network of users is evaluated once for a user, however many
candidates there are. Where scores are not linear in the features of items, further features are
learned by a network of its own (``item_units``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recsim.agents.networks import perceptrons, products, recurrent, user_networks

__all__ = ["ItemScorer", "Scores"]

# The first scores are nearly equal, so that the first slates are nearly random.
_FIRST_SCALE = 0.01


class ItemScorer:
    """Scores items for users, and gives the gradient by its weights.

    Args:
        weights: those of the users' network, and then of the items' where there is one.
        num_of_users: how many arrays are of the users' network.
        network: how the users' network is evaluated.
    """

    def __init__(
        self,
        weights: Sequence[np.ndarray],
        num_of_users: int,
        network: user_networks.UserNetwork,
    ) -> None:
        self.weights = list(weights)
        self._num_of_users = num_of_users
        #: How the users' network is evaluated.
        self.network = network

    @classmethod
    def initial(
        cls,
        user_size: int,
        doc_size: int,
        hidden_units: Sequence[int],
        item_units: Sequence[int],
        rng: np.random.RandomState,
        recurrence: recurrent.Recurrence | None = None,
    ) -> ItemScorer:
        """Returns a scorer with initial weights, whose scores are nearly equal.

        Args:
            user_size: number of features of a user.
            doc_size: number of features of an item.
            hidden_units: sizes of the hidden layers of the users' network.
            item_units: sizes of the layers that make further features of items; empty for none.
            rng: what weights are sampled from.
            recurrence: what of the users' features is read by a recurrent state; None for none.

        Raises:
            MemoryError: if there is no memory for the weights.
        """
        num_features = doc_size + (item_units[-1] if item_units else 0)
        network = user_networks.UserNetwork(recurrence)
        of_users = network.initial_weights([user_size, *hidden_units, num_features], rng)
        of_users[-2] *= np.float32(_FIRST_SCALE)
        of_items = perceptrons.initial_weights([doc_size, *item_units], rng) if item_units else []
        return cls([*of_users, *of_items], len(of_users), network)

    def with_weights(self, weights: Sequence[np.ndarray]) -> ItemScorer:
        """Returns a scorer of the same layers with other weights."""
        return ItemScorer(weights, self._num_of_users, self.network)

    def scores(self, users: np.ndarray, documents: np.ndarray) -> np.ndarray:
        """Returns the scores of items.

        Args:
            users: features of users, float32 of shape (n_users, user_size).
            documents: features of items, float32 of shape (n_users, num_items, doc_size).

        Returns:
            float64 array of shape (n_users, num_items).
        """
        scores = np.empty(documents.shape[:2])
        size = products.users_of_block(documents.shape[1])
        for start in range(0, len(users), size):
            rows = slice(start, start + size)
            scores[rows] = Scores(self, users[rows], documents[rows]).scores
        return scores

    def of_users(self) -> list[np.ndarray]:
        """Returns the weights of the users' network."""
        return self.weights[: self._num_of_users]

    def of_items(self) -> list[np.ndarray]:
        """Returns the weights of the items' network, an empty list if there is none."""
        return self.weights[self._num_of_users :]

    def split(self, arrays: Sequence[np.ndarray]) -> tuple[Sequence[np.ndarray], ...]:
        """Returns arrays of the shapes of the weights as those of the two networks."""
        return arrays[: self._num_of_users], arrays[self._num_of_users :]


class Scores:
    """The scores of some items, and what their gradient needs.

    Args:
        scorer: what scores.
        users: features of users, float32 of shape (n_users, user_size).
        documents: features of items, float32 of shape (n_users, num_items, doc_size).
    """

    def __init__(self, scorer: ItemScorer, users: np.ndarray, documents: np.ndarray) -> None:
        self._scorer = scorer
        self._documents = np.ascontiguousarray(documents)
        doc_size = documents.shape[-1]
        self._users_layers = scorer.network.forward(scorer.of_users(), users, "users")
        vectors = self._users_layers.outputs
        scores = np.matmul(self._documents, vectors[:, :doc_size, np.newaxis])[..., 0]
        if of_items := scorer.of_items():
            rows = self._documents.reshape(-1, doc_size)
            self._items_layers = perceptrons.forward(of_items, rows, "items")
            # The last layer of this network is one of hidden units of the whole.
            learned = np.maximum(self._items_layers[-1], 0.0)
            self._learned = learned.reshape(*documents.shape[:2], -1)
            scores += np.matmul(self._learned, vectors[:, doc_size:, np.newaxis])[..., 0]
        #: The scores, float32 of shape (n_users, num_items).
        self.scores = scores

    def backward(self, change: np.ndarray, gradients: Sequence[np.ndarray]) -> None:
        """Writes the gradient of a function of the scores by the weights.

        Args:
            change: the gradient by the scores, of their shape.
            gradients: arrays of the shapes of the weights, which are overwritten.
        """
        change = change.astype(np.float32, copy=False)
        of_users, of_items = self._scorer.split(gradients)
        vectors = self._users_layers.outputs
        doc_size = self._documents.shape[-1]
        by_vectors = np.empty(vectors.shape, np.float32)
        rows = change[:, np.newaxis]
        by_vectors[:, :doc_size] = np.matmul(rows, self._documents)[:, 0]
        if self._scorer.of_items():
            by_vectors[:, doc_size:] = np.matmul(rows, self._learned)[:, 0]
            by_learned = change[..., np.newaxis] * vectors[:, np.newaxis, doc_size:]
            by_learned *= self._learned > 0.0
            perceptrons.backward(
                self._scorer.of_items(),
                self._items_layers,
                by_learned.reshape(-1, by_learned.shape[-1]),
                of_items,
                "items",
            )
        self._scorer.network.backward(
            self._scorer.of_users(), self._users_layers, by_vectors, of_users, "users"
        )

    def by_documents(self) -> np.ndarray:
        """Returns the gradient of each score by its item's features, of the documents' shape."""
        vectors = self._users_layers.outputs
        doc_size = self._documents.shape[-1]
        gradient = np.repeat(vectors[:, np.newaxis, :doc_size], self._documents.shape[1], axis=1)
        if of_items := self._scorer.of_items():
            by_learned = vectors[:, np.newaxis, doc_size:] * (self._learned > 0.0)
            by_inputs = perceptrons.backward(
                of_items,
                self._items_layers,
                by_learned.reshape(-1, by_learned.shape[-1]),
                (),
                "items",
                of_inputs=True,
            )
            assert by_inputs is not None
            gradient += by_inputs.reshape(gradient.shape)
        return gradient
