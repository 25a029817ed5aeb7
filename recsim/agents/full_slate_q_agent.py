"""Full-slate Q-learning: every slate is an action of its own."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from recsim import agent, types
from recsim._internal import resources, validation
from recsim._internal.configurable import configurable
from recsim.agents import adapters
from recsim.agents._action_masks.allowed_slates import AllowedSlates
from recsim.agents.dopamine import (
    dqn_agent,
    network,
    training,
    transitions,
    values,
    vector_dqn_agent,
)

__all__ = ["FullSlateQAgent", "FullSlateValues", "VectorFullSlateQAgent"]

# The least that a slate takes, beside 8 bytes for each document in a tuple and in an array.
_BYTES_OF_SLATE = 64

# How many slates an explanation has.
_SLATES_TO_EXPLAIN = 10

# Number of the hidden units, of the first layer for all slates, that are computed together.
_BLOCK = 2**18


class FullSlateValues(values.SlateValues):
    """Values of whole slates, by one network whose inputs are a user and a slate's documents.

    Args:
        observation_space: space of the observations.
        adapter: what turns observations into features.
        slate_size: number of documents of a slate.
        max_num_slates: the largest number of slates to take on, >= 1.

    Raises:
        TypeError: if ``max_num_slates`` is not an integer.
        ValueError: if there are more slates.
        MemoryError: if there is no memory for so many slates.
    """

    def __init__(
        self,
        observation_space: types.DictSpace,
        adapter: adapters.ObservationAdapter,
        slate_size: int,
        *,
        max_num_slates: int = 100000,
    ) -> None:
        num_candidates = adapter.num_candidates
        max_num_slates = validation.positive_int("max_num_slates", max_num_slates)
        num_slates = math.perm(num_candidates, slate_size)
        if num_slates > max_num_slates:
            raise ValueError(
                f"{num_candidates} candidates make {resources.shown(num_slates)} slates of "
                f"{slate_size}, which is "
                f"more than max_num_slates={max_num_slates}: use SlateDecompQAgent, which does "
                "not enumerate slates, or fewer candidates."
            )
        resources.check_memory(
            num_slates * (_BYTES_OF_SLATE + 16 * slate_size),
            f"The {resources.shown(num_slates)} slates of {slate_size} out of {num_candidates} "
            "candidates",
            "choose fewer candidates, or SlateDecompQAgent, which does not enumerate slates",
        )
        super().__init__(observation_space, adapter, slate_size)
        self._all_possible_slates = list(itertools.permutations(range(num_candidates), slate_size))
        self._slates = slates = np.array(self._all_possible_slates)
        # For each beginning of a slate, in their order, the documents that can come next.
        self._next_documents = [
            slates[:: math.perm(num_candidates - place - 1, slate_size - place - 1), place].reshape(
                -1, num_candidates - place
            )
            for place in range(slate_size)
        ]

    @property
    def may_learn_in_a_thread(self) -> bool:
        """See :attr:`recsim.agents.dopamine.values.SlateValues.may_learn_in_a_thread`."""
        return type(self) is FullSlateValues

    @property
    def num_slates(self) -> int:
        """Number of slates."""
        return len(self._all_possible_slates)

    @property
    def num_inputs(self) -> int:
        """Number of the network's inputs: features of a user and of a slate's documents."""
        return self.adapter.user_size + self.slate_size * self.adapter.doc_size

    def of_slates(
        self, q_network: network.QNetwork, users: np.ndarray, documents: np.ndarray
    ) -> np.ndarray:
        """Returns the values of all slates.

        Args:
            q_network: the network.
            users: features of users, shape (..., user_size).
            documents: features of the candidates, shape (..., num_candidates, doc_size).

        Returns:
            Array of shape (..., num_slates).
        """
        return self._of_slates(q_network, q_network.encoded(users), documents)

    def _of_slates(
        self, q_network: network.QNetwork, users: np.ndarray, documents: np.ndarray
    ) -> np.ndarray:
        """Does what :meth:`of_slates` does, for users as the first layer takes them."""
        kernel, bias = q_network.first_layer
        *leading, user_size = users.shape
        of_places = kernel[user_size:].reshape(self.slate_size, documents.shape[-1], -1)
        of_documents = documents[..., np.newaxis, :, :] @ of_places
        # User by user, so that the values of one do not depend on the others.
        hidden = (users[..., np.newaxis, :] @ kernel[:user_size])[..., 0, :] + bias
        for place, next_documents in enumerate(self._next_documents):
            beginnings = hidden.reshape(*leading, -1, 1, hidden.shape[-1])
            hidden = of_documents[..., place, :, :].take(next_documents, axis=-2)
            hidden += beginnings
        return q_network.finish(hidden).reshape(*leading, -1)

    def best_slate(
        self, q_network: network.QNetwork, user: np.ndarray, documents: np.ndarray
    ) -> tuple[int, ...]:
        """Returns the slate of the highest value."""
        best = self._of_allowed(q_network, q_network.encoded(user), documents).argmax()
        return self._all_possible_slates[best]

    def _of_allowed(
        self, q_network: network.QNetwork, users: np.ndarray, documents: np.ndarray
    ) -> np.ndarray:
        """Returns the values of all slates, -inf of those that masks forbid, (..., num_slates).

        Args:
            q_network: the network.
            users: of a user, or of several, as the first layer takes them.
            documents: features, and masks, shape (..., num_candidates, doc_width).
        """
        features, masks = self.adapter.split(documents)
        of_slates = self._of_slates(q_network, users, features)
        if masks is not None:
            allowed = AllowedSlates(masks.reshape(-1, *masks.shape[-2:])).contain(self._slates)
            of_slates[~allowed.reshape(of_slates.shape)] = -np.inf
        return of_slates

    def best_slates(
        self, q_network: network.QNetwork, users: np.ndarray, documents: np.ndarray
    ) -> np.ndarray:
        """Returns the slates of the highest value, for users in parallel."""
        users = q_network.encoded(users)
        best = [
            self._of_allowed(q_network, users[block], documents[block]).argmax(axis=-1)
            for block in self._blocks(q_network, len(users))
        ]
        slates: np.ndarray = self._slates[np.concatenate(best)]
        return slates

    def _blocks(self, q_network: network.QNetwork, num_users: int) -> Iterator[slice]:
        """Returns users in blocks whose slates' hidden units stay in a processor's cache."""
        size = max(1, _BLOCK // (len(self._slates) * q_network.first_layer[1].size))
        return (slice(start, start + size) for start in range(0, num_users, size))

    def explanation(
        self, q_network: network.QNetwork, user: np.ndarray, documents: np.ndarray
    ) -> types.Explanation:
        """Returns the slates of the highest values."""
        slate_values = self._of_allowed(q_network, q_network.encoded(user), documents)
        number = int(np.count_nonzero(slate_values > -np.inf))
        best = np.argsort(-slate_values, kind="stable")[: min(number, _SLATES_TO_EXPLAIN)]
        return types.Explanation(
            "Full-slate Q-learning: the slate of the highest Q-value.",
            [
                types.ExplanationTable(
                    "slate",
                    [self._all_possible_slates[slate] for slate in best],
                    {"Q-value": slate_values[best]},
                )
            ],
            {"slates": number},
        )

    def serving_settings(self) -> dict[str, Any]:
        """See :meth:`recsim.agents.dopamine.values.SlateValues.serving_settings`."""
        return {"max_num_slates": max(1, self.num_slates)}

    def random_slate(self, rng: np.random.RandomState, num_documents: int) -> tuple[int, ...]:
        """Returns a random slate, all with equal probability."""
        return self._all_possible_slates[rng.randint(len(self._all_possible_slates))]

    def training_batch(
        self,
        batch: transitions.Batch,
        target_network: network.QNetwork,
        gamma: float | None = None,
    ) -> training.TrainingBatch:
        """Returns the slates shown and their targets, of all transitions."""
        batch_size = len(batch.rewards)
        documents, _ = self.adapter.split(batch.documents)
        documents = np.take_along_axis(documents, batch.slates[:, :, np.newaxis], axis=1)
        inputs = np.empty((batch_size, self.num_inputs), np.float32)
        inputs[:, : batch.users.shape[1]] = batch.users
        inputs[:, batch.users.shape[1] :] = documents.reshape(batch_size, -1)
        targets = batch.rewards.astype(np.float32)
        continuing = np.flatnonzero(~batch.terminals)
        next_users = target_network.encoded(batch.next_users)
        for block in self._blocks(target_network, len(continuing)):
            rows = continuing[block]
            next_values = self._of_allowed(
                target_network, next_users[rows], batch.next_documents[rows]
            )
            targets[rows] += batch.discounts[rows] * next_values.max(axis=-1)
        return training.TrainingBatch(inputs, targets, np.ones(batch_size, np.bool_))

    def outcome(self, reward: float, observation: agent.Observation) -> tuple[int, float]:
        """Returns no click, for clicks do not count, and the reward."""
        return transitions.NO_CLICK, reward

    def outcomes(
        self, responses: Mapping[str, np.ndarray], rewards: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns what :meth:`outcome` does, for users in parallel."""
        return np.full(len(rewards), transitions.NO_CLICK), rewards


@configurable()
class FullSlateQAgent(dqn_agent.DQNAgentRecSim):
    """Q-learning of whole slates, with one network for all slates.

    The network's inputs are the features of the user and, in the order of the slate, of its
    documents. Every slate is looked at in each step: this is the method that SlateQ is compared
    with (Ie et al., arXiv 1905.12767, section 7), and not one for many candidates.

    Args:
        sess: not used.
        observation_space: space of the observations.
        action_space: the ``MultiDiscrete`` space of slates.
        optimizer_name: see :class:`recsim.agents.dopamine.training.Trainer`.
        eval_mode: whether the agent only recommends.
        max_num_slates: the largest number of slates to take on, >= 1.
        **kwargs: arguments of :class:`recsim.agents.dopamine.dqn_agent.DQNAgent`.

    Raises:
        TypeError, ValueError: for arguments or spaces that give no agent, or where there are more
            than ``max_num_slates`` slates.
        MemoryError: if there is no memory for so many slates.
    """

    def __init__(
        self,
        sess: object,
        observation_space: types.DictSpace,
        action_space: types.SlateSpace,
        optimizer_name: str = "",
        eval_mode: bool = False,
        *,
        max_num_slates: int = 100000,
        **kwargs: Any,
    ) -> None:
        nvec = getattr(action_space, "nvec", ())  # The base class refuses what has none.
        super().__init__(
            sess,
            observation_space,
            num_actions=math.perm(int(max(nvec, default=0)), len(nvec)),
            stack_size=1,
            optimizer_name=optimizer_name,
            eval_mode=eval_mode,
            action_space=action_space,
            create_values=functools.partial(
                FullSlateValues, observation_space, max_num_slates=max_num_slates
            ),
            **kwargs,
        )


class VectorFullSlateQAgent(vector_dqn_agent.VectorDQNAgent):
    """Recommends to users in parallel, and learns from them, as :class:`FullSlateQAgent` does.

    Args:
        environment: the environment to recommend in.
        **kwargs: arguments of :class:`recsim.agents.dopamine.vector_dqn_agent.VectorDQNAgent` and
            :class:`FullSlateQAgent`.
    """

    single_user_class = FullSlateQAgent
    values_class = FullSlateValues
