"""Deep Q-learning, as the slate agents share it.

The settings have the names and defaults of Dopamine's ``DQNAgent`` and ``WrappedReplayBuffer``,
as arguments and in gin. Nothing here needs Dopamine, and TensorFlow is imported at the first
gradient step only: an agent that only recommends never loads it.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, overload

import numpy as np

from recsim import agent, seeding, types
from recsim._internal import bundles, keys, numbers, observations, validation
from recsim._internal.configurable import configurable
from recsim._internal.gym_import import spaces
from recsim.agents import _propensities, adapters
from recsim.agents._action_masks import masked_propensities
from recsim.agents.adapters import ObservationAdapter, ResponseAdapter
from recsim.agents.dopamine import (
    circular_replay_buffer,
    network,
    offline,
    training,
    values,
)
from recsim.agents.dopamine import learner as learner_lib
from recsim.agents.dopamine.learner import Settings, linearly_decaying_epsilon
from recsim.agents.networks import products

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

__all__ = [
    "DQNAgent",
    "DQNAgentRecSim",
    "DQNNetworkType",
    "ObservationAdapter",
    "ResponseAdapter",
    "check_stack_size",
    "linearly_decaying_epsilon",
    "recsim_dqn_network",
    "wrapped_replay_buffer",
]

T = TypeVar("T")

#: What a network returns: ``q_values`` of shape (batch, number of outputs).
DQNNetworkType = collections.namedtuple("DQNNetworkType", ["q_values"])


@functools.cache
def _shared_model(scope: str, num_inputs: int) -> keras.Model:
    rng = seeding.named_random_state(0, scope)
    return training.make_model(
        network.QNetwork.initial(num_inputs, Settings.hidden_units, rng).weights
    )


def recsim_dqn_network(
    user: np.ndarray | tf.Tensor, doc: np.ndarray | tf.Tensor, scope: str
) -> tf.Tensor:
    """Applies the agents' network, 256-32-1, to features of users and documents.

    Args:
        user: features of users, array or tensor of shape (batch, user_size).
        doc: features of a document for each, of shape (batch, doc_size).
        scope: name of the network: calls with the same name (and sizes) share their weights.

    Returns:
        TensorFlow tensor of shape (batch, 1).
    """
    tf, _ = training.import_tensorflow()
    inputs = tf.concat([tf.cast(user, tf.float32), tf.cast(doc, tf.float32)], axis=1)
    return _shared_model(scope, inputs.shape[1])(inputs)


def wrapped_replay_buffer(**kwargs: Any) -> circular_replay_buffer.WrappedReplayBuffer:
    """Returns a replay buffer, see :class:`WrappedReplayBuffer` for the arguments."""
    return circular_replay_buffer.WrappedReplayBuffer(**kwargs)


class _Setting(Generic[T]):
    """An attribute of an agent that is a setting of its learner, of the same name."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, agent: None, owner: type) -> _Setting[T]: ...

    @overload
    def __get__(self, agent: DQNAgent, owner: type) -> T: ...

    def __get__(self, agent: DQNAgent | None, owner: type) -> T | _Setting[T]:
        if agent is None:
            return self
        value: T = getattr(agent.learner.settings, self._name)
        return value

    def __set__(self, agent: DQNAgent, value: T) -> None:
        setattr(agent.learner.settings, self._name, value)


@configurable()
class DQNAgent(agent.AbstractEpisodicRecommenderAgent):
    """Deep Q-learning of slates (Mnih et al., "Human-level control…", Nature 2015).

    The agent acts for one user: it turns observations into features, explores, and tells its
    :attr:`learner` of transitions. What slates are worth, and what is learned, is told by values.

    Args:
        adapter: what turns observations into features.
        action_space: the ``MultiDiscrete`` space of slates.
        optimizer_name: see :class:`recsim.agents.dopamine.training.Trainer`.
        create_values: function of the adapter and the slate size that returns what is learned, see
            :class:`recsim.agents.dopamine.values.SlateValues`.
        gamma: discount of rewards from step to step, in [0, 1].
        update_horizon: number of steps of rewards that a target sums up, >= 1.
        min_replay_history: number of transitions to gather before learning begins, >= 0.
        update_period: number of steps from one update of the network to the next, >= 1.
        target_update_period: number of steps between two copies of the network to the one that
            targets are computed with, >= 1.
        epsilon_fn: function ``(decay_period, step, warmup_steps, epsilon)`` that returns the
            probability of a random slate in training.
        epsilon_train: where that probability ends, in [0, 1].
        epsilon_eval: the probability of a random slate in evaluation, in [0, 1].
        epsilon_decay_period: number of steps in which it gets there, >= 1.
        tf_device: TensorFlow's name of the device to train on.
        eval_mode: whether the agent only recommends: it then stores and learns nothing.
        use_staging: not used.
        max_tf_checkpoints_to_keep: not used.
        optimizer: a Keras optimizer, of which the agent takes a copy, instead of one by name.
        summary_writer: where statistics for TensorBoard go, or None.
        summary_writing_frequency: number of training steps between two of them, >= 1.
        allow_partial_reload: whether :meth:`unbundle` takes a bundle without a replay buffer,
            such as :meth:`serving_bundle` makes, for training too.
        replay_capacity: number of transitions to remember; WrappedReplayBuffer's, if None.
        batch_size: number of transitions of an update; WrappedReplayBuffer's, if None.
        hidden_units: sizes of the network's hidden layers, each >= 1.
        learning_rate: of an optimizer by name; its own, if None.
        loss: 'squared', which makes values the means of what follows; or 'huber', Dopamine's for
            full slates, which is less moved by large errors, but makes values of what varies
            medians rather than means.
        seed: seed of the initial weights, of exploration and of the batches.
        recurrent_units: size of the state of a gated recurrent unit, which reads the rows of recent
            slates that :class:`~recsim.agents.layers.recent_slates.RecentSlatesLayer` shows, and
            stands in their place among the user's features; 0 for none.

    Raises:
        TypeError, ValueError: for an argument of the wrong type or out of its range.
        MemoryError: if there is no memory for the replay buffer.
    """

    state_settings: ClassVar[tuple[str, ...]] = Settings.state_settings

    gamma = _Setting[float]()
    update_horizon = _Setting[int]()
    min_replay_history = _Setting[int]()
    update_period = _Setting[int]()
    target_update_period = _Setting[int]()
    epsilon_fn = _Setting[Callable[[int, int, int, float], float]]()
    epsilon_train = _Setting[float]()
    epsilon_eval = _Setting[float]()
    epsilon_decay_period = _Setting[int]()
    summary_writing_frequency = _Setting[int]()
    optimizer_name = _Setting[str]()
    recurrent_units = _Setting[int]()
    loss = _Setting[str]()

    def __init__(
        self,
        adapter: ObservationAdapter,
        action_space: types.SlateSpace,
        optimizer_name: str = Settings.optimizer_name,
        *,
        create_values: Callable[[ObservationAdapter, int], values.SlateValues],
        gamma: float = Settings.gamma,
        update_horizon: int = Settings.update_horizon,
        min_replay_history: int = Settings.min_replay_history,
        update_period: int = Settings.update_period,
        target_update_period: int = Settings.target_update_period,
        epsilon_fn: Callable[[int, int, int, float], float] = linearly_decaying_epsilon,
        epsilon_train: float = Settings.epsilon_train,
        epsilon_eval: float = Settings.epsilon_eval,
        epsilon_decay_period: int = Settings.epsilon_decay_period,
        tf_device: str = Settings.tf_device,
        eval_mode: bool = False,
        use_staging: bool = False,
        max_tf_checkpoints_to_keep: int = 4,
        optimizer: keras.Optimizer | None = None,
        summary_writer: types.SummaryWriter | None = None,
        summary_writing_frequency: int = Settings.summary_writing_frequency,
        allow_partial_reload: bool = Settings.allow_partial_reload,
        replay_capacity: int | None = Settings.replay_capacity,
        batch_size: int | None = Settings.batch_size,
        hidden_units: Sequence[int] = Settings.hidden_units,
        loss: str = Settings.loss,
        seed: int | None = Settings.seed,
        learning_rate: float | None = Settings.learning_rate,
        recurrent_units: int = Settings.recurrent_units,
    ) -> None:
        del use_staging, max_tf_checkpoints_to_keep
        super().__init__(action_space, summary_writer)
        self._num_candidates = adapters.checked_num_candidates(action_space, adapter.num_candidates)
        settings = Settings(
            optimizer_name=optimizer_name,
            gamma=gamma,
            update_horizon=update_horizon,
            min_replay_history=min_replay_history,
            update_period=update_period,
            target_update_period=target_update_period,
            epsilon_fn=epsilon_fn,
            epsilon_train=epsilon_train,
            epsilon_eval=epsilon_eval,
            epsilon_decay_period=epsilon_decay_period,
            tf_device=tf_device,
            optimizer=optimizer,
            summary_writing_frequency=summary_writing_frequency,
            allow_partial_reload=allow_partial_reload,
            replay_capacity=replay_capacity,
            batch_size=batch_size,
            hidden_units=hidden_units,
            loss=loss,
            seed=seed,
            learning_rate=learning_rate,
            recurrent_units=recurrent_units,
        )
        make_replay = functools.partial(
            wrapped_replay_buffer,
            user_size=adapter.user_size,
            num_candidates=adapter.num_candidates,
            doc_size=adapter.doc_width,
            slate_size=self._slate_size,
            **settings.replay_arguments,
        )
        self.eval_mode = validation.flag("eval_mode", eval_mode)
        self._values = create_values(adapter, self._slate_size)
        self._learner = learner_lib.QLearner(
            self._values, settings, make_replay, type(self).__name__
        )
        if not self.eval_mode:
            self._learner.prepare()
        self._exploration_rng = seeding.named_random_state(seed, "exploration")
        # The state and slate that the next reward belongs to.
        self._last: tuple[np.ndarray, np.ndarray, Any] | None = None

    @property
    def learner(self) -> learner_lib.QLearner[circular_replay_buffer.WrappedReplayBuffer]:
        """What learns: networks, optimizer, schedules and replay buffer."""
        return self._learner

    @property
    def uses_tensorflow(self) -> bool:
        """Whether the agent computes with TensorFlow: where it learns by an optimizer of Keras."""
        return not self.eval_mode and self._learner.settings.uses_tensorflow

    @property
    def training_steps(self) -> int:
        """Number of training steps so far: of slates recommended in training."""
        return self._learner.training_steps

    @property
    def num_updates(self) -> int:
        """Number of updates of the network so far, of those that learned from something."""
        return self._learner.num_updates

    #: Gin's name of the setting that says when the agent learns first.
    first_update_setting: ClassVar[str] = "DQNAgent.min_replay_history"

    @property
    def steps_without_update(self) -> int:
        """Number of training steps in which a new agent makes no update yet."""
        settings = self._learner.settings
        needed = max(settings.min_replay_history, settings.update_horizon)
        return (needed // settings.update_period + 1) * settings.update_period

    # How the agent takes part in an episode.

    def begin_episode(  # type: ignore[override]  # RecSim's needs the observation.
        self, observation: agent.Observation
    ) -> agent.Slate:
        """Starts an episode and returns its first slate."""
        self._episode_num += 1
        state = self._features(observation)
        if not self.eval_mode:
            if self._last is not None:  # Nobody ended the last episode.
                self._learner.replay.truncate(*self._last)
            self._train_step()
        return self._recommend(*state)

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
            FloatingPointError: if the network's loss or weights are no longer finite.
        """
        state = self._features(observation)
        if not self.eval_mode:
            self._store_transition(reward, observation, terminal=False)
            self._train_step()
        return self._recommend(*state)

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
        if self.eval_mode:
            return
        self._store_transition(reward, observation, terminal=not truncated)
        if truncated:
            user, documents = self._features(observation)
            self._learner.replay.truncate(user, documents, self._select_slate(user, documents))
        self._last = None

    def learn_from(self, log: offline.LoggedSlates, num_updates: int) -> None:
        """Learns from logged slates, which any agent may have shown, without an environment.

        The transitions are added to the replay buffer, and the network is updated as often as in a
        training of ``num_updates * update_period`` steps, the copy for targets at its times.

        Args:
            log: logged slates with all candidates' features, such as those of
                :func:`recsim.ope.simulated.collect`. Where documents are learned, what each one
                earned (``position_rewards``) is taken for the ``reward_field``.
            num_updates: number of updates of the network, at least 1.

        Raises:
            ValueError: if the agent is in evaluation, or the log does not fit the agent or its
                replay buffer, or is shorter than ``min_replay_history``.
            FloatingPointError: if the network's loss or weights are no longer finite.
        """
        if self.eval_mode:
            raise ValueError("learn_from needs an agent that learns, made with eval_mode=False.")
        if self._last is not None:  # An episode is under way, which the log does not continue.
            self._learner.replay.truncate(*self._last)
            self._last = None
        offline.learn(self._learner, log, num_updates)

    def _features(self, observation: agent.Observation) -> adapters.State:
        user, documents = self._values.adapter.features(observation)
        number = len(documents)
        if number != self._num_candidates and not (
            self._values.any_number_of_documents and self.eval_mode and number >= self._slate_size
        ):
            raise ValueError(
                f"observation['doc'] must hold {self._num_candidates} documents, as the action "
                f"space that the agent was made for, got {number}."
            )
        return user, documents

    def _store_transition(
        self, reward: float, observation: agent.Observation, terminal: bool
    ) -> None:
        if self._last is None:
            raise RuntimeError(
                "An episode was not begun: call begin_episode(observation) for its first slate."
            )
        reward = numbers.finite_float32("reward", reward)
        click, learned_reward = self._values.outcome(reward, observation)
        learned_reward = numbers.finite_float32("the reward to learn from", learned_reward)
        self._learner.replay.add(*self._last, click, learned_reward, terminal)

    def _train_step(self) -> None:
        self._learner.train_step(self._summary_writer)

    def _recommend(self, user: np.ndarray, documents: np.ndarray) -> agent.Slate:
        slate = self._select_slate(user, documents)
        if not self.eval_mode:
            self._last = user, documents, slate
            if self._summary_writer is not None:
                self._learner.count_slates(slate)
        return slate

    def _select_slate(self, user: np.ndarray, documents: np.ndarray) -> types.Slate:
        epsilon = self._learner.epsilon(for_training=not self.eval_mode)
        if self._exploration_rng.random_sample() < epsilon:
            return self._values.explored_slate(self._exploration_rng, documents)
        return self._values.best_slate(self._learner.online_network, user, documents)

    def explain(self, observation: agent.Observation) -> types.Explanation | None:
        """See :meth:`recsim.types.Explains.explain`: what the network values."""
        user, documents = self._features(observation)
        known = self._values.explanation(self._learner.online_network, user, documents)
        if known is None:
            return None
        epsilon = self._learner.epsilon(for_training=not self.eval_mode)
        numbers_of = {**known.numbers, "probability of a random slate": epsilon}
        return dataclasses.replace(known, numbers=numbers_of)

    def propensities(
        self, observation: agent.Observation, slate: types.Slate
    ) -> types.Propensities | None:
        """See :meth:`recsim.types.KnowsPropensities.propensities`."""
        user, documents = self._features(observation)
        best = self._values.best_slate(self._learner.online_network, user, documents)
        epsilon = self._learner.epsilon(for_training=not self.eval_mode)
        allowed = self._values.adapter.allowed_slates(documents[np.newaxis])
        of_best = slate, best, epsilon
        known = masked_propensities.epsilon_greedy(*of_best, len(documents), allowed)
        return _propensities.if_known(known)

    # Serving.

    def serving(self) -> agent.Serving:
        """See :meth:`recsim.agent.AbstractRecommenderAgent.serving`."""
        settings = self._learner.settings
        any_number = self._values.any_number_of_documents
        return dataclasses.replace(
            super().serving(),
            settings={
                "epsilon_eval": settings.epsilon_eval,
                "hidden_units": settings.hidden_units,
                "recurrent_units": settings.recurrent_units,
                **self._values.serving_settings(),
            },
            response_fields=(),
            any_slate_size=any_number,
            any_number_of_items=any_number,
        )

    def resize_slates(self, slate_size: int) -> None:
        """See :meth:`recsim.agent.AbstractRecommenderAgent.resize_slates`."""
        super().resize_slates(slate_size)
        self._values.slate_size = slate_size

    def slates_in_parallel(self, observation: agent.Observation) -> np.ndarray:
        """Returns slates for users in parallel, in evaluation.

        They are those that the agent would recommend to one user at a time, but where values
        are equal to within the rounding of the network's outputs.

        Args:
            observation: arrays: those of ``user`` with the users on axis 0, those of ``doc`` with
                users and documents on axes 0 and 1. A single row of documents is of all users.

        Returns:
            Indices of documents, shape (n_users, slate_size).
        """
        users, documents = self._values.adapter.features_of_many(observation)
        number, num_documents = len(users), documents.shape[1]
        documents = np.broadcast_to(documents, (number, *documents.shape[1:]))
        epsilon = self._learner.epsilon(for_training=False)
        slates = np.empty((number, self._slate_size), np.int64)
        rows = []
        for row in range(number):
            if self._exploration_rng.random_sample() < epsilon:
                slates[row] = self._values.explored_slate(self._exploration_rng, documents[row])
            else:
                rows.append(row)
        size = products.users_of_block(num_documents)
        for start in range(0, len(rows), size):
            block = rows[start : start + size]
            slates[block] = self._values.best_slates(
                self._learner.online_network, users[block], documents[block]
            )
        return slates

    def user_state(self) -> None:
        """Returns None: in evaluation it knows nothing of users."""

    def load_user_state(self, state: None) -> None:
        """Does nothing."""

    # State.

    def serving_bundle(self) -> dict[str, Any]:
        """Returns what recommending needs: the networks and counters, but no replay buffer.

        :meth:`unbundle` takes it in an agent made with ``eval_mode=True``, or with
        ``allow_partial_reload=True`` to train it further. :func:`recsim.simulator.checkpoint.save`
        writes it to a file.
        """
        return {**super().state_dict(), **self._learner.serving_state()}

    def state_dict(self) -> types.State:
        """Returns all that the agent has learned and will resume with.

        That is :meth:`serving_bundle`, the optimizer's state, and the replay buffer as far as it
        is filled.
        """
        return {**super().state_dict(), **self._learner.state_dict(), "last": self._last}

    def load_state_dict(self, state: types.State) -> None:
        """Restores the agent.

        In evaluation, and if ``allow_partial_reload`` is set, the state needs no replay buffer.
        :func:`recsim.simulator.checkpoint.restore_agent` restores the agent from a file.

        Raises:
            ValueError: if the state is of another agent, if the replay buffer was larger or smaller
                than this agent's, and its content does not fit, or if an entry is not as it was
                made. The agent is as it was then.
        """
        bundles.require(self, state, "description")
        training = not self.eval_mode
        reason = self._learner.misfit(state, for_training=training)
        if reason is not None:
            raise bundles.UnfitStateError(reason)
        last = learner_lib.checked_last(self, state.get("last"))
        super().load_state_dict(state)
        if training and state.get("replay") is None and self._last is not None:
            self._learner.replay.truncate(*self._last)  # The next episode does not follow this one.
        self._learner.restore(state, for_training=training)
        self._last = last

    def fingerprint_attributes(self) -> dict[str, Any]:
        """Returns what tells the agent from others, see :mod:`recsim.simulator.fingerprint`."""
        own = {name: value for name, value in vars(self).items() if name != "_learner"}
        return {**self._learner.fingerprint_attributes(), **own}


def check_stack_size(stack_size: int) -> None:
    """Raises ValueError if a number of observations to stack is not 1."""
    if validation.positive_int("stack_size", stack_size) != 1:
        raise ValueError(
            f"stack_size must be 1, got {stack_size!r}; FixedLengthHistoryLayer shows an "
            "agent the last observations."
        )


class DQNAgentRecSim(DQNAgent):
    """A DQNAgent for RecSim's observations: a dictionary of a user and documents.

    Args:
        sess: not used.
        observation_space: space of the observations.
        num_actions: number of slates to choose from; only kept.
        stack_size: must be 1.
        optimizer_name: see :class:`recsim.agents.dopamine.training.Trainer`.
        eval_mode: whether the agent only recommends.
        **kwargs: arguments of :class:`DQNAgent`. Without an ``action_space`` there are as many
            documents to a slate as ``observation_space`` has responses.

    Raises:
        ValueError: if ``stack_size`` is not 1.
    """

    def __init__(
        self,
        sess: object,
        observation_space: types.DictSpace,
        num_actions: int,
        stack_size: int,
        optimizer_name: str,
        eval_mode: bool,
        **kwargs: Any,
    ) -> None:
        del sess
        self.num_actions = num_actions
        self.stack_size = stack_size
        takes = keys.parameters_of(DQNAgent) - {"adapter"}
        keys.refuse_unknown(type(self).__name__, kwargs, takes, keys.parameters_of(type(self)))
        check_stack_size(stack_size)
        self._env_observation_space = observation_space
        adapter = ObservationAdapter(observation_space, takes_masks=True)
        if "action_space" not in kwargs:
            responses = adapters.part_of(observation_space, "response")
            slate_size = len(observations.spaces_of_responses(responses))
            kwargs["action_space"] = spaces.MultiDiscrete([adapter.num_candidates] * slate_size)
        super().__init__(adapter, optimizer_name=optimizer_name, eval_mode=eval_mode, **kwargs)
        self._keep_space(observation_space)
