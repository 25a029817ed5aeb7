"""Actor-critics over items' features on what users in parallel do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from recsim import types
from recsim._internal import action_masks, arrays, observations, trees
from recsim.agents import _with_learner
from recsim.agents.actor_critics import agent as agent_lib
from recsim.agents.actor_critics import learner as learner_lib
from recsim.agents.actor_critics import search

__all__ = ["VectorItemVectorAgent"]


class VectorItemVectorAgent(
    _with_learner.VectorAgentWithLearner[learner_lib.ActorCriticLearner, learner_lib.Shown]
):
    """Recommends to users in parallel by what one learner has learned, and learns from all of them.

    A catalogue that all users have is searched without copies for each. Where each has candidates
    of his own, users are turned into slates in blocks, so that memory stays bounded.

    Args:
        environment: the environment to recommend in.
        eval_mode: whether the agent only recommends: it then stores and learns nothing.
        summary_writer: where statistics for TensorBoard go, or None.
        **kwargs: arguments of the single-user agent. Steps are those of single users.

    Gin's bindings of the single-user agent count here too; an argument takes precedence.

    Raises:
        TypeError, ValueError: for arguments or spaces that give no agent.
        MemoryError: if there is no memory for the replay buffer.
    """

    single_user_class: ClassVar[type[agent_lib.ItemVectorAgent]]
    settings_class = learner_lib.Settings
    greedy_by_default = True
    exploration_dtype = np.float32

    def _new_learner(self, settings: Mapping[str, Any]) -> learner_lib.ActorCriticLearner:
        return self.single_user_class.learner_of(
            learner_lib.Settings(**settings), self._adapter, self._slate_size, **self._method
        )

    #: Gin's name of the setting that says when the agent learns first.
    first_update_setting: ClassVar[str] = "ItemVectorAgent.min_replay_history"

    @property
    def steps_without_update(self) -> int:
        """Number of training steps, of all users together, in which a new agent makes no update."""
        first = self._learner.settings.first_update
        return (-(-first // self._num_envs) - 1) * self._num_envs

    # How the agent takes part in episodes.

    def _next_slates(
        self,
        observation: types.Observation,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        infos: types.Infos,
    ) -> np.ndarray:
        last = self._begun()
        slates = self._recommend(observation)
        next_users, next_actions = self._begun()
        # Where an episode has terminated, what comes next does not count.
        if (truncated := truncated & ~terminated).any():
            final = observations.final_batch(infos)
            next_users, next_actions = next_users.copy(), next_actions.copy()
            next_users[truncated] = self._adapter.users_of_many(final)[truncated]
            which = np.flatnonzero(truncated)
            next_actions[which] = self._chosen(final, next_users[which], None, which)[1]
        following = next_users, next_actions
        self._learner.add(last, rewards, following, terminated, self._summary_writer)
        return slates

    def _recommend(self, observation: types.Observation) -> np.ndarray:
        users = self._adapter.users_of_many(observation)
        normals = None
        if not self._is_greedy:
            size = self._learner.vector_size
            normals = arrays.joined([stream.normal(size) for stream in self._streams])
        if not self._eval_mode and not self._learner.num_updates:
            for _, documents, _ in self._documents(observation, np.arange(self._num_envs)):
                self._learner.see_items(documents)
        slates, actions = self._chosen(observation, users, normals, np.arange(self._num_envs))
        if not self._eval_mode:
            self._last = users, actions
            self._learner.training_steps += self._num_envs
        return slates

    def _chosen(
        self,
        observation: types.Observation,
        users: np.ndarray,
        normals: np.ndarray | None,
        which: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns slates of users, and the features of their documents.

        Args:
            observation: of all users.
            users: features of those who get slates.
            normals: numbers for them to explore with, or None.
            which: their indices.
        """
        learner = self._learner
        vectors = learner.vectors(users, normals)
        slates = np.empty((len(users), self._slate_size), np.int64)
        actions = np.empty((*slates.shape, learner.vector_size), np.float32)
        for rows, documents, masks in self._documents(observation, which):
            slates[rows] = learner.slates(
                users[rows], vectors[rows], documents, masks, training=not self._eval_mode
            )
            actions[rows] = search.taken(documents, slates[rows])
        return slates, actions

    def _documents(
        self, observation: types.Observation, which: np.ndarray
    ) -> Iterator[tuple[slice, np.ndarray, np.ndarray | None]]:
        """Returns documents' features in blocks of users, one for all where they are shared.

        Args:
            observation: of all users.
            which: indices of the users whose documents are wanted.

        Returns:
            Rows of ``which``, the documents of these users, or those that they share, and which may
            stand where, of the users or of all; None without masks.
        """
        parts = {"user": observation["user"], "doc": observation["doc"]}
        split = self._adapter.split
        if len(which) > 1 and _are_shared(action_masks.documents_without(parts["doc"])):
            _, documents = self._adapter.features_of_many(trees.rows_of(parts, slice(1)))
            features, of_all = split(documents[0])
            if of_all is None or _are_shared(parts["doc"]):
                yield slice(len(which)), features, of_all
                return
            masks = action_masks.observed(parts["doc"], self._slate_size)
            assert masks is not None
            for rows in agent_lib.blocks(len(which), of_all.size):
                yield rows, features, masks[which[rows]]
            return
        for rows in agent_lib.blocks(len(which), self._num_candidates * self._adapter.doc_width):
            of_block = trees.rows_of(parts, which[rows])
            yield rows, *split(self._adapter.features_of_many(of_block)[1])


def _are_shared(documents: object) -> bool:
    """Says whether all users' documents are the same ones."""
    return all(leaf.strides[0] == 0 for leaf in trees.leaves(documents))
