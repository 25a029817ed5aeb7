"""What a Q-learner learns values of: slates, by a network whose inputs a subclass makes."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from recsim import agent, types
from recsim.agents import adapters
from recsim.agents.dopamine import network, training, transitions

__all__ = ["SlateValues"]


class SlateValues(abc.ABC):
    """The meaning of a network's outputs: what slates are worth by it, and what it learns.

    It holds no weights: methods are given the network.

    Args:
        observation_space: space of the observations.
        adapter: what turns observations into features.
        slate_size: number of documents of a slate.
    """

    #: Names of attributes, without a leading underscore, that shape what is learned.
    state_settings: ClassVar[tuple[str, ...]] = ()

    #: Whether slates can be recommended out of any number of documents, and of any size.
    any_number_of_documents: ClassVar[bool] = False

    @property
    def may_learn_in_a_thread(self) -> bool:
        """Whether methods may be called by two threads: that no function of others is called."""
        return False

    def __init__(
        self,
        observation_space: types.DictSpace,
        adapter: adapters.ObservationAdapter,
        slate_size: int,
    ) -> None:
        self._env_observation_space = observation_space
        self.adapter = adapter
        self.slate_size = slate_size
        self.num_candidates = adapter.num_candidates

    @property
    @abc.abstractmethod
    def num_inputs(self) -> int:
        """Number of the network's inputs."""

    @abc.abstractmethod
    def training_batch(
        self,
        batch: transitions.Batch,
        target_network: network.QNetwork,
        gamma: float | None = None,
    ) -> training.TrainingBatch:
        """Returns what the network learns from transitions.

        Args:
            batch: the transitions.
            target_network: the network that the next states are valued by.
            gamma: the discount, if it is the same for all transitions: with one-step returns.
        """

    @abc.abstractmethod
    def best_slate(
        self, q_network: network.QNetwork, user: np.ndarray, documents: np.ndarray
    ) -> types.Slate:
        """Returns the slate of the highest estimated value.

        Args:
            q_network: the network.
            user: features of the user, shape (user_size,).
            documents: features of the candidates, and their masks, shape
                (num_documents, doc_width).

        Returns:
            Indices of documents, shape (slate_size,).
        """

    @abc.abstractmethod
    def best_slates(
        self, q_network: network.QNetwork, users: np.ndarray, documents: np.ndarray
    ) -> np.ndarray:
        """Returns what :meth:`best_slate` does, for users in parallel.

        Args:
            q_network: the network.
            users: features, shape (n_users, user_size).
            documents: features, and masks, shape (n_users, num_documents, doc_width).

        Returns:
            Indices of documents, shape (n_users, slate_size).
        """

    def explored_slate(self, rng: np.random.RandomState, documents: np.ndarray) -> types.Slate:
        """Returns a random slate out of those that the documents' masks allow.

        Args:
            rng: the generator to sample from.
            documents: features of the candidates, and their masks, shape
                (num_documents, doc_width).
        """
        allowed = self.adapter.allowed_slates(documents[np.newaxis])
        if allowed is None:
            return self.random_slate(rng, len(documents))
        return allowed.random(rng.random_sample((1, self.slate_size))).reshape(-1)

    def random_slate(self, rng: np.random.RandomState, num_documents: int) -> types.Slate:
        """Returns a random slate out of a number of documents, all with equal probability."""
        return rng.permutation(num_documents)[: self.slate_size]

    @abc.abstractmethod
    def outcome(self, reward: float, observation: agent.Observation) -> tuple[int, float]:
        """Returns what the user clicked, see ``Batch.clicks``, and the reward to learn from.

        Args:
            reward: the reward of the last slate.
            observation: the observation with the responses to it.
        """

    @abc.abstractmethod
    def outcomes(
        self, responses: Mapping[str, np.ndarray], rewards: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns what :meth:`outcome` does, for users in parallel.

        Args:
            responses: the responses to the last slates, arrays of shape (n_users, slate_size).
            rewards: the rewards of the last slates, shape (n_users,).

        Returns:
            The clicks and the rewards, both of shape (n_users,).
        """

    def explanation(
        self, q_network: network.QNetwork, user: np.ndarray, documents: np.ndarray
    ) -> types.Explanation | None:
        """Returns what :meth:`best_slate`, whose arguments these are, goes by; None if unknown."""
        return None

    def serving_settings(self) -> dict[str, Any]:
        """Returns the arguments of the agent that recommending depends on, by name."""
        return {}

    def description(self) -> dict[str, Any]:
        """Returns what the values that a bundle is of and these must have in common."""
        sizes = {
            "user_size": self.adapter.user_size,
            "doc_size": self.adapter.doc_size,
            "num_candidates": self.num_candidates,
            "slate_size": self.slate_size,
        }
        return {**sizes, "mask_size": self.adapter.mask_size} if self.adapter.mask_size else sizes
