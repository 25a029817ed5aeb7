"""Actor-critics over items' features, as the agents of one user share them."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from recsim import agent, seeding, types
from recsim._internal import bundles, keys, numbers, validation
from recsim._internal.configurable import configurable
from recsim.agents import _with_learner
from recsim.agents.actor_critics import learner as learner_lib
from recsim.agents.actor_critics import search
from recsim.agents.actor_critics.learner import Settings
from recsim.agents.dopamine import adapters, dqn_agent

__all__ = ["ItemVectorAgent", "LastActions", "blocks", "checked_last", "settings_of"]

#: Features of users, and of the documents in their slates.
LastActions = tuple[np.ndarray, np.ndarray]

# Features of documents that are in memory at once, as long as those of a user fit.
_BLOCK = 2**22


@configurable()
class ItemVectorAgent(
    _with_learner.SingleUserAgentWithLearner[learner_lib.ActorCriticLearner, LastActions]
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
        seed: seed of initial weights, exploration and batches.

    Raises:
        TypeError, ValueError: for an argument of the wrong type or out of its range.
        MemoryError: if there is no memory for the replay buffer.
    """

    state_settings: ClassVar[tuple[str, ...]] = Settings.state_settings

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
        seed: int | None = Settings.seed,
    ) -> None:
        super().__init__(action_space, summary_writer)
        self._adapter = adapters.ObservationAdapter(observation_space)
        number = self._adapter.num_candidates
        self._num_candidates = dqn_agent.checked_num_candidates(action_space, number)
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
            seed=seed,
        )
        self._eval_mode = validation.flag("eval_mode", eval_mode)
        self._greedy_eval = validation.flag("greedy_eval", greedy_eval)
        self._method = dict(method)
        self._learner = self.learner_of(settings, self._adapter, self._slate_size, **self._method)
        if not self._eval_mode:
            self._learner.replay  # noqa: B018  # Makes it: faulty sizes are told of now.
        self._exploration_rng = seeding.named_random_state(seed, "exploration")
        self._last = None
        self._keep_space(observation_space)

    @classmethod
    @abc.abstractmethod
    def learner_of(
        cls, settings: Settings, adapter: adapters.ObservationAdapter, slate_size: int
    ) -> learner_lib.ActorCriticLearner:
        """Returns what learns. Further arguments of a subclass are its settings."""

    @classmethod
    def sizes_of(cls, adapter: adapters.ObservationAdapter, slate_size: int) -> learner_lib.Sizes:
        """Returns the sizes of a learner, and the name of its agent."""
        return learner_lib.Sizes(adapter.user_size, adapter.doc_size, slate_size, cls.__name__)

    @property
    def steps_without_update(self) -> int:
        """Number of training steps in which a new agent makes no update yet."""
        return self._learner.settings.first_update - 1

    # How the agent takes part in an episode.

    def begin_episode(  # type: ignore[override]  # RecSim's needs the observation.
        self, observation: agent.Observation
    ) -> agent.Slate:
        """Starts an episode and returns its first slate."""
        self._episode_num += 1
        state = self._features(observation)
        slate, self._last = self._chosen(*state)
        return slate

    def step(self, reward: float, observation: agent.Observation) -> agent.Slate:
        """Takes in the last transition, learns, and returns the next slate.

        Args:
            reward: the reward of the last slate.
            observation: the newest observation.

        Returns:
            ``slate_size`` indices into ``observation['doc']``.

        Raises:
            RuntimeError: if an episode that is to be learned from was not begun.
            ValueError: if the reward or the observation is not finite.
            FloatingPointError: if the networks' numbers are no longer finite.
        """
        state = self._features(observation)
        if self._eval_mode:
            return self._chosen(*state)[0]
        last, reward = self._begun(), numbers.finite_float32("reward", reward)
        slate, self._last = self._chosen(*state)
        assert self._last is not None
        self._learn(last, reward, self._last, terminated=False)
        return slate

    def end_episode(  # type: ignore[override]  # RecSim's needs the observation.
        self, reward: float, observation: agent.Observation, *, truncated: bool = False
    ) -> None:
        """Takes in the last transition of an episode.

        Args:
            reward: the reward of the last slate.
            observation: the last observation.
            truncated: whether the episode was only truncated, so that the last observation has a
                value, which counts.
        """
        if self._eval_mode:
            return
        user, documents = self._features(observation)
        last, reward = self._begun(), numbers.finite_float32("reward", reward)
        following = user, np.zeros_like(last[1])
        if truncated:
            following = user, self._actions(user[np.newaxis], documents, None)[1][0]
        self._learn(last, reward, following, terminated=not truncated)
        self._last = None

    def _begun(self) -> LastActions:
        if self._last is None:
            raise RuntimeError(
                "An episode was not begun: call begin_episode(observation) for its first slate."
            )
        return self._last

    def _learn(
        self, last: LastActions, reward: float, following: LastActions, *, terminated: bool
    ) -> None:
        updates = self._learner.num_updates
        self._learner.add(
            users=last[0][np.newaxis],
            actions=last[1][np.newaxis],
            rewards=np.array([reward], np.float32),
            next_users=following[0][np.newaxis],
            next_actions=following[1][np.newaxis],
            terminated=np.array([terminated]),
        )
        if self._summary_writer is not None and self._learner.num_updates > updates:
            self._learner.write_summary(self._summary_writer)

    def _normals(self, num_users: int) -> np.ndarray | None:
        if self._eval_mode and self._greedy_eval:
            return None
        return self._exploration_rng.standard_normal((num_users, self._learner.vector_size))

    def _actions(
        self, users: np.ndarray, documents: np.ndarray, normals: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns slates of users, and the features of their documents."""
        vectors = self._learner.vectors(users, normals)
        slates = self._learner.slates(users, vectors, documents, training=not self._eval_mode)
        return slates, search.taken(documents, slates)

    def _chosen(
        self, user: np.ndarray, documents: np.ndarray
    ) -> tuple[agent.Slate, LastActions | None]:
        if not self._eval_mode:
            self._learner.see_items(documents)
        slates, actions = self._actions(user[np.newaxis], documents, self._normals(1))
        slate: np.ndarray = slates[0]
        if self._eval_mode:
            return slate, None
        self._learner.training_steps += 1
        return slate, (user, actions[0])

    def explain(self, observation: types.Observation) -> types.Explanation:
        """See :meth:`recsim.types.Explains.explain`: what slates are chosen by, without noise."""
        user, documents = self._features(observation)
        vectors = self._learner.vectors(user[np.newaxis], None)
        columns = self._learner.columns(user, vectors[0], documents)
        values = self._learner.values(user[np.newaxis], self._learner.points_of(vectors))
        return types.Explanation(
            "Actor-critic: items by a vector that is made of the user.",
            [types.ExplanationTable("candidate", range(len(documents)), columns)],
            {"value of the vector": float(values[0, 0])},
        )

    # Serving.

    def serving(self) -> agent.Serving:
        """See :meth:`recsim.agent.AbstractRecommenderAgent.serving`."""
        settings = self._learner.settings
        return dataclasses.replace(
            super().serving(),
            settings={
                **self._method,
                "greedy_eval": self._greedy_eval,
                "hidden_units": settings.hidden_units,
                "item_units": settings.item_units,
            },
            response_fields=(),
            any_slate_size=True,
            any_number_of_items=True,
        )

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

    # State.

    def _check_last(self, last: object) -> None:
        checked_last(self, last, self._learner, ())

    def fingerprint_attributes(self) -> dict[str, Any]:
        """Returns what tells the agent from others, see :mod:`recsim.simulator.fingerprint`."""
        own = {name: value for name, value in vars(self).items() if name != "_learner"}
        return {**self._learner.fingerprint_attributes(), **self._method, **own}


def settings_of(kind: type[ItemVectorAgent], keywords: Mapping[str, object]) -> dict[str, Any]:
    """Returns keyword arguments of an agent's class; TypeError for one that it does not take."""
    keys.refuse_unknown(kind.__name__, keywords, keys.parameters_of(kind) - {"method"})
    return dict(keywords)


def blocks(num_users: int, features_of_user: int) -> Iterator[slice]:
    """Returns rows of users whose documents' features are in memory together.

    Args:
        num_users: number of users.
        features_of_user: number of features of all documents of a user.
    """
    size = max(1, _BLOCK // max(1, features_of_user))
    for start in range(0, num_users, size):
        yield slice(start, min(start + size, num_users))


def checked_last(
    owner: object, last: object, learner: learner_lib.ActorCriticLearner, rows: tuple[int, ...]
) -> None:
    """Raises ValueError for something else than an agent's last actions out of a bundle, or None.

    Args:
        owner: the agent that is to be restored.
        last: what the bundle has.
        learner: its learner.
        rows: the number of users in parallel, or nothing.
    """
    if last is None:
        return
    if not isinstance(last, tuple) or len(last) != 2:
        bundles.refuse(owner, "last", "features and actions, or None", last)
    for name, array in zip(("users", "actions"), last, strict=True):
        shape = learner.replay.arrays[name].shape[1:]
        bundles.array(owner, f"last {name}", array, (*rows, *shape))
