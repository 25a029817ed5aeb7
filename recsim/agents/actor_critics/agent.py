"""Actor-critics over items' features, as the agents of one user share them."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from recsim import agent, types
from recsim._internal.configurable import configurable
from recsim.agents import _with_learner, adapters
from recsim.agents.actor_critics import learner as learner_lib
from recsim.agents.actor_critics import search
from recsim.agents.actor_critics.learner import Settings, Shown

__all__ = ["ItemVectorAgent", "blocks"]

# Features of documents that are in memory at once, as long as those of a user fit.
_BLOCK = 2**22


@configurable()
class ItemVectorAgent(
    _with_learner.SingleUserAgentWithLearner[learner_lib.ActorCriticLearner, Shown]
):
    """Turns a user into a vector in the space of items' features, and the vector into a slate.

    Nothing is learned of single items, so that a catalogue may be large, and change. How slates
    are chosen and what is learned, a subclass says. The probabilities of slates are not known.

    Args:
        observation_space: space of the observations.
        action_space: the ``MultiDiscrete`` space of slates.
        method: settings of the subclass, by name.
        eval_mode: whether the agent only recommends: it then stores and learns nothing.
        greedy_eval: whether it then recommends without noise.
        summary_writer: where statistics for TensorBoard go, or None.
        gamma: discount of rewards from step to step, in [0, 1).
        min_replay_history: number of transitions to gather before learning begins, >= 1.
        update_period: number of steps from one update to the next, >= 1.
        replay_capacity: number of transitions to remember, >= 1.
        batch_size: number of transitions of an update, >= 1.
        learning_rate: of Adam, above 0.
        target_rate: share of the critics' weights that their averages take at each update, above 0
            and at most 1.
        hidden_units: sizes of the hidden layers of the networks that take users, each >= 1.
        item_units: sizes of the layers by which critics learn further features of items, each
            >= 1; none if values are linear in the items' features.
        recurrent_units: size of the state of a gated recurrent unit, which reads the rows of recent
            slates that :class:`~recsim.agents.layers.recent_slates.RecentSlatesLayer` shows, and
            stands in their place among the user's features; 0 for none.
        seed: seed of initial weights, exploration and batches.

    Raises:
        TypeError, ValueError: for an argument of the wrong type or out of its range.
        MemoryError: if there is no memory for the replay buffer.
    """

    state_settings = Settings.state_settings

    def __init__(
        self,
        observation_space: types.DictSpace,
        action_space: types.SlateSpace,
        *,
        method: Mapping[str, Any],
        eval_mode: bool = False,
        greedy_eval: bool = True,
        summary_writer: types.SummaryWriter | None = None,
        gamma: float = Settings.gamma,
        min_replay_history: int = Settings.min_replay_history,
        update_period: int = Settings.update_period,
        replay_capacity: int = Settings.replay_capacity,
        batch_size: int = Settings.batch_size,
        learning_rate: float = Settings.learning_rate,
        target_rate: float = Settings.target_rate,
        hidden_units: Sequence[int] = Settings.hidden_units,
        item_units: Sequence[int] = Settings.item_units,
        recurrent_units: int = Settings.recurrent_units,
        seed: int | None = Settings.seed,
    ) -> None:
        super().__init__(action_space, summary_writer)
        self._set_up(
            observation_space,
            action_space,
            eval_mode=eval_mode,
            greedy_eval=greedy_eval,
            seed=seed,
        )
        settings = Settings(
            gamma=gamma,
            min_replay_history=min_replay_history,
            update_period=update_period,
            replay_capacity=replay_capacity,
            batch_size=batch_size,
            learning_rate=learning_rate,
            target_rate=target_rate,
            hidden_units=hidden_units,
            item_units=item_units,
            recurrent_units=recurrent_units,
            seed=seed,
        )
        self._method = dict(method)
        self._learner = self.learner_of(settings, self._adapter, self._slate_size, **self._method)
        if not self._eval_mode:
            self._learner.prepare()

    @classmethod
    @abc.abstractmethod
    def learner_of(
        cls, settings: Settings, adapter: adapters.ObservationAdapter, slate_size: int
    ) -> learner_lib.ActorCriticLearner:
        """Returns what learns. Further arguments of a subclass are its settings."""

    #: Gin's name of the setting that says when the agent learns first.
    first_update_setting: ClassVar[str] = "ItemVectorAgent.min_replay_history"

    @property
    def steps_without_update(self) -> int:
        """Number of training steps in which a new agent makes no update yet."""
        return self._learner.settings.first_update - 1

    # How the agent takes part in an episode.

    def _next_slate(
        self, last: Shown, reward: float, observation: agent.Observation, state: adapters.State
    ) -> agent.Slate:
        slate = self._recommend(*state)
        self._learn(last, reward, self._begun(), terminated=False)
        return slate

    def _end(
        self,
        last: Shown,
        reward: float,
        observation: agent.Observation,
        state: adapters.State,
        *,
        truncated: bool,
    ) -> None:
        user, documents = state
        following = user, np.zeros_like(last[1])
        if truncated:
            following = user, self._actions(user[np.newaxis], documents, None)[1][0]
        self._learn(last, reward, following, terminated=not truncated)

    def _learn(
        self,
        last: Shown,
        reward: float,
        following: Shown,
        *,
        terminated: bool,
    ) -> None:
        self._learner.add(
            (last[0][np.newaxis], last[1][np.newaxis]),
            np.array([reward], np.float32),
            (following[0][np.newaxis], following[1][np.newaxis]),
            np.array([terminated]),
            self._summary_writer,
        )

    def _normals(self, num_users: int) -> np.ndarray | None:
        if self._is_greedy:
            return None
        return self._exploration_rng.standard_normal((num_users, self._learner.vector_size))

    def _actions(
        self, users: np.ndarray, documents: np.ndarray, normals: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns slates of users, and the features of their documents."""
        vectors = self._learner.vectors(users, normals)
        features, masks = self._adapter.split(documents)
        training = not self._eval_mode
        slates = self._learner.slates(users, vectors, features, masks, training=training)
        return slates, search.taken(features, slates)

    def _recommend(self, user: np.ndarray, documents: np.ndarray) -> agent.Slate:
        if not self._eval_mode:
            self._learner.see_items(self._adapter.split(documents)[0])
        slates, actions = self._actions(user[np.newaxis], documents, self._normals(1))
        slate: np.ndarray = slates[0]
        if not self._eval_mode:
            self._last = user, actions[0]
            self._learner.training_steps += 1
        return slate

    def explain(self, observation: types.Observation) -> types.Explanation:
        """See :meth:`recsim.types.Explains.explain`: what slates are chosen by, without noise."""
        user, documents = self._features(observation)
        vectors = self._learner.vectors(user[np.newaxis], None)
        features, masks = self._adapter.split(documents)
        columns = self._learner.columns(user, vectors[0], features)
        if masks is not None:
            columns["positions that it may have"] = masks.sum(axis=1)
        values = self._learner.values(user[np.newaxis], self._learner.points_of(vectors))
        return types.Explanation(
            "Actor-critic: items by a vector that is made of the user.",
            [types.ExplanationTable("candidate", range(len(documents)), columns)],
            {"value of the vector": float(values[0, 0])},
        )

    # Serving.

    def resize_slates(self, slate_size: int) -> None:
        """See :meth:`recsim.agent.AbstractRecommenderAgent.resize_slates`."""
        super().resize_slates(slate_size)
        self._learner.slate_size = slate_size

    def slates_in_parallel(self, observation: agent.Observation) -> np.ndarray:
        """Returns slates for users in parallel, in evaluation.

        They are those that the agent would recommend to one user at a time, but where numbers
        are equal to within rounding.

        Args:
            observation: arrays: those of ``user`` with the users on axis 0, those of ``doc`` with
                users and documents on axes 0 and 1. A single row of documents is of all users.

        Returns:
            Indices of documents, shape (n_users, slate_size).
        """
        users, documents = self._adapter.features_of_many(observation)
        normals = self._normals(len(users))
        if len(documents) == 1:
            return self._actions(users, documents[0], normals)[0]
        slates = np.empty((len(users), self._slate_size), np.int64)
        for rows in blocks(len(users), documents[0].size):
            of_rows = None if normals is None else normals[rows]
            slates[rows] = self._actions(users[rows], documents[rows], of_rows)[0]
        return slates


def blocks(num_users: int, features_of_user: int) -> Iterator[slice]:
    """Returns rows of users whose documents' features are in memory together.

    Args:
        num_users: number of users.
        features_of_user: number of features of all documents of a user.
    """
    size = max(1, _BLOCK // max(1, features_of_user))
    for start in range(0, num_users, size):
        yield slice(start, min(start + size, num_users))
