"""Full-slate Q-learning: every slate is an action of its own."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numpy as np

from recsim import agent
from recsim._internal import resources, validation
from recsim._internal.configurable import configurable
from recsim.agents.dopamine import dqn_agent, network, transitions, vector_dqn_agent

__all__ = ["FullSlateQAgent", "VectorFullSlateQAgent"]

# The least that a slate takes, beside 8 bytes for each document in a tuple and in an array.
_BYTES_OF_SLATE = 64

# Number of the hidden units, of the first layer for all slates, that are computed together.
_BLOCK = 1_000_000


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
        sess: Any,
        observation_space: Any,
        action_space: Any,
        optimizer_name: str = "",
        eval_mode: bool = False,
        *,
        max_num_slates: int = 100000,
        **kwargs: Any,
    ) -> None:
        nvec = getattr(action_space, "nvec", [])  # The base class refuses what has none.
        num_candidates, slate_size = int(max(nvec, default=0)), len(nvec)
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
        super().__init__(
            sess,
            observation_space,
            num_actions=num_slates,
            stack_size=1,
            optimizer_name=optimizer_name,
            eval_mode=eval_mode,
            action_space=action_space,
            **kwargs,
        )
        self._all_possible_slates = list(itertools.permutations(range(num_candidates), slate_size))
        self._slates = slates = np.array(self._all_possible_slates)
        # For each beginning of a slate, in their order, the documents that can come next.
        self._next_documents = [
            slates[:: math.perm(num_candidates - place - 1, slate_size - place - 1), place].reshape(
                -1, num_candidates - place
            )
            for place in range(slate_size)
        ]

    def _num_inputs(self) -> int:
        return self._obs_adapter.user_size + self._slate_size * self._obs_adapter.doc_size

    def _values(
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
        kernel, bias = q_network.first_layer
        *leading, user_size = users.shape
        of_places = kernel[user_size:].reshape(self._slate_size, documents.shape[-1], -1)
        of_documents = documents[..., np.newaxis, :, :] @ of_places
        hidden = users @ kernel[:user_size] + bias
        for place, next_documents in enumerate(self._next_documents):
            beginnings = hidden.reshape(*leading, -1, 1, hidden.shape[-1])
            hidden = of_documents[..., place, :, :].take(next_documents, axis=-2)
            hidden += beginnings
        return q_network.finish(hidden).reshape(*leading, -1)

    def _best_slate(self, user: np.ndarray, documents: np.ndarray) -> tuple[int, ...]:
        best = self._values(self._online_network, user, documents).argmax()
        return self._all_possible_slates[best]

    def _random_slate(self, num_documents: int) -> tuple[int, ...]:
        return self._all_possible_slates[
            self._exploration_rng.randint(len(self._all_possible_slates))
        ]

    def _training_rows(self, batch: transitions.Batch) -> np.ndarray:
        batch_size = len(batch.rewards)
        documents = np.take_along_axis(batch.documents, batch.slates[:, :, np.newaxis], axis=1)
        rows = np.ones((batch_size, self._num_inputs() + 2), np.float32)
        rows[:, : batch.users.shape[1]] = batch.users
        rows[:, batch.users.shape[1] : -2] = documents.reshape(batch_size, -1)
        rows[:, -2] = batch.rewards
        for i in np.flatnonzero(~batch.terminals):
            values = self._values(
                self._target_network, batch.next_users[i], batch.next_documents[i]
            )
            rows[i, -2] += batch.discounts[i] * values.max()
        return rows

    def _outcome(self, reward: float, observation: agent.Observation | None) -> tuple[int, float]:
        return transitions.NO_CLICK, reward


class VectorFullSlateQAgent(vector_dqn_agent.VectorDQNAgent):
    """Recommends to many users, and learns from them, as :class:`FullSlateQAgent` does from one.

    Args:
        environment: the environment to recommend in.
        **kwargs: arguments of :class:`recsim.agents.dopamine.vector_dqn_agent.VectorDQNAgent` and
            :class:`FullSlateQAgent`.
    """

    def __init__(self, environment: Any, **kwargs: Any) -> None:
        super().__init__(environment, functools.partial(FullSlateQAgent, None), **kwargs)

    def _best_slates(self, users: np.ndarray, documents: np.ndarray) -> np.ndarray:
        learner = self._learner
        units = len(learner._slates) * learner._online_network.first_layer[1].size
        size = max(1, _BLOCK // units)
        best = [
            learner._values(
                learner._online_network, users[i : i + size], documents[i : i + size]
            ).argmax(axis=-1)
            for i in range(0, len(users), size)
        ]
        return learner._slates[np.concatenate(best)]

    def _outcomes(self, responses: Any, rewards: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        no_click = transitions.NO_CLICK
        return np.full(len(rewards), no_click), rewards
