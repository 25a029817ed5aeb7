"""Deep Q-learning, as the slate agents share it.

The settings have the names and defaults of Dopamine's ``DQNAgent`` and ``WrappedReplayBuffer``,
as arguments and in gin. Nothing here needs Dopamine, and TensorFlow is imported at the first
gradient step only: an agent that only recommends never loads it.
"""

from __future__ import annotations

import abc
import collections
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from recsim import agent, seeding
from recsim._internal import bundles, keys, numbers, observations, tensorflow_import, validation
from recsim._internal.configurable import configurable
from recsim._internal.gym_import import spaces
from recsim.agents.dopamine import adapters, circular_replay_buffer, network, training, transitions
from recsim.agents.dopamine.adapters import ObservationAdapter, ResponseAdapter

__all__ = [
    "DQNAgent",
    "DQNAgentRecSim",
    "DQNNetworkType",
    "ObservationAdapter",
    "ResponseAdapter",
    "linearly_decaying_epsilon",
    "recsim_dqn_network",
    "wrapped_replay_buffer",
]

_HIDDEN_UNITS = (256, 32)

#: What a network returns: ``q_values`` of shape (batch, number of outputs).
DQNNetworkType = collections.namedtuple("DQNNetworkType", ["q_values"])


@functools.cache
def _shared_model(scope: str, num_inputs: int) -> Any:
    rng = seeding.named_random_state(0, scope)
    return training.make_model(network.QNetwork.initial(num_inputs, _HIDDEN_UNITS, rng).weights)


def recsim_dqn_network(user: Any, doc: Any, scope: str) -> Any:
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


def linearly_decaying_epsilon(
    decay_period: float, step: float, warmup_steps: float, epsilon: float
) -> float:
    """Returns 1 during the warm-up, and then a rate that falls on a line to ``epsilon``.

    Args:
        decay_period: number of steps of the fall.
        step: number of training steps so far.
        warmup_steps: number of steps before the fall begins.
        epsilon: what is reached.

    Raises:
        TypeError, ValueError: if an argument is not a number, or the period below 1.
    """
    if not (type(step) is type(decay_period) is type(warmup_steps) is int and decay_period > 0):
        step = validation.number("step", step)
        warmup_steps = validation.number("warmup_steps", warmup_steps)
        decay_period = validation.number("decay_period", decay_period, low=1.0)
    epsilon = validation.number("epsilon", epsilon)
    steps_left = decay_period + warmup_steps - step
    try:
        bonus = (1.0 - epsilon) * steps_left / decay_period
    except OverflowError:
        raise ValueError(
            "decay_period, step and warmup_steps must be numbers that a float can hold, got "
            "larger integers."
        ) from None
    return epsilon + min(max(bonus, 0.0), 1.0 - epsilon)


@configurable()
class DQNAgent(agent.AbstractEpisodicRecommenderAgent):
    """Deep Q-learning of slates (Mnih et al., "Human-level control…", Nature 2015).

    A subclass says what the network's inputs are, what its targets are and which slate is best.

    Args:
        adapter: what turns observations into features.
        action_space: the ``MultiDiscrete`` space of slates.
        optimizer_name: see :class:`recsim.agents.dopamine.training.Trainer`.
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

    Raises:
        TypeError, ValueError: for an argument of the wrong type or out of its range.
        MemoryError: if there is no memory for the replay buffer.
    """

    state_settings: ClassVar[tuple[str, ...]] = ("update_horizon", "optimizer_name")

    def __init__(
        self,
        adapter: ObservationAdapter,
        action_space: Any,
        optimizer_name: str = "",
        *,
        gamma: float = 0.99,
        update_horizon: int = 1,
        min_replay_history: int = 20000,
        update_period: int = 4,
        target_update_period: int = 8000,
        epsilon_fn: Callable[[int, int, int, float], float] = linearly_decaying_epsilon,
        epsilon_train: float = 0.01,
        epsilon_eval: float = 0.001,
        epsilon_decay_period: int = 250000,
        tf_device: str = "/cpu:*",
        eval_mode: bool = False,
        use_staging: bool = False,
        max_tf_checkpoints_to_keep: int = 4,
        optimizer: Any = None,
        summary_writer: Any = None,
        summary_writing_frequency: int = 500,
        allow_partial_reload: bool = False,
        replay_capacity: int | None = None,
        batch_size: int | None = None,
        hidden_units: Sequence[int] = _HIDDEN_UNITS,
        loss: str = "squared",
        seed: int | None = 0,
        learning_rate: float | None = None,
    ) -> None:
        del use_staging, max_tf_checkpoints_to_keep
        super().__init__(action_space, summary_writer)
        at_least = validation.positive_int
        self._obs_adapter = adapter
        self._num_candidates = _checked_num_candidates(action_space, adapter.num_candidates)
        training.check_arguments(optimizer_name, optimizer, loss, learning_rate)
        if not eval_mode:
            tensorflow_import.check_eager_execution()
        self._learning_rate = learning_rate
        self._trainer_arguments = (optimizer_name, training.optimizer_maker(optimizer), loss)
        self.loss = loss
        self.optimizer_name = optimizer_name or "rmsprop"
        if optimizer is not None:
            self.optimizer_name = type(optimizer).__name__
        self.gamma = validation.probability("gamma", gamma)
        self.update_horizon = at_least("update_horizon", update_horizon)
        self.min_replay_history = at_least("min_replay_history", min_replay_history, 0)
        self.update_period = at_least("update_period", update_period)
        self.target_update_period = at_least("target_update_period", target_update_period)
        self.epsilon_fn = validation.function("epsilon_fn", epsilon_fn)
        self.epsilon_train = validation.probability("epsilon_train", epsilon_train)
        self.epsilon_eval = validation.probability("epsilon_eval", epsilon_eval)
        self.epsilon_decay_period = at_least("epsilon_decay_period", epsilon_decay_period)
        self.summary_writing_frequency = at_least(
            "summary_writing_frequency", summary_writing_frequency
        )
        self.eval_mode = eval_mode
        #: Number of training steps so far: of slates recommended in training.
        self.training_steps = 0
        #: Number of updates of the network so far, of those that learned from something.
        self.num_updates = 0
        self._tf_device = tf_device
        self._allow_partial_reload = allow_partial_reload
        if not isinstance(hidden_units, (list, tuple)):
            raise TypeError(
                f"hidden_units must be a list of the layers' sizes, got {hidden_units!r:.80}."
            )
        self._hidden_units = tuple(at_least("hidden_units", size) for size in hidden_units)
        self._seed = seed
        self._exploration_rng = seeding.named_random_state(seed, "exploration")
        self._replay_arguments = {
            name: value
            for name, value in (("replay_capacity", replay_capacity), ("batch_size", batch_size))
            if value is not None
        }
        self._replay_buffer: circular_replay_buffer.WrappedReplayBuffer | None = None
        if not eval_mode:
            self._replay  # noqa: B018  # Faulty sizes are told of now, not at the first step.
        self._network = network.QNetwork.initial(
            self._num_inputs(), self._hidden_units, seeding.named_random_state(seed, "network")
        )
        self._target_network = self._network
        self._trainer: training.Trainer | None = None
        self._optimizer_state: list[np.ndarray] | None = None
        self._network_is_current = True
        # The state and slate that the next reward belongs to.
        self._last: tuple[np.ndarray, np.ndarray, Any] | None = None
        self._slate_counts = np.zeros(self._num_candidates, np.int64)

    @abc.abstractmethod
    def _num_inputs(self) -> int:
        """Returns the number of the network's inputs."""

    @abc.abstractmethod
    def _best_slate(self, user: np.ndarray, documents: np.ndarray) -> Any:
        """Returns the slate of the highest estimated value."""

    @abc.abstractmethod
    def _training_rows(self, batch: transitions.Batch) -> np.ndarray:
        """Returns inputs, targets and use of a batch, see ``Trainer.step``."""

    @abc.abstractmethod
    def _outcome(self, reward: float, observation: agent.Observation | None) -> tuple[int, float]:
        """Returns what the user clicked, see ``Batch.clicks``, and the reward to learn from."""

    @property
    def _replay(self) -> circular_replay_buffer.WrappedReplayBuffer:
        if self._replay_buffer is None:
            adapter = self._obs_adapter
            self._replay_buffer = wrapped_replay_buffer(
                user_size=adapter.user_size,
                num_candidates=self._num_candidates,
                doc_size=adapter.doc_size,
                slate_size=self._slate_size,
                update_horizon=self.update_horizon,
                gamma=self.gamma,
                seed=self._seed,
                **self._replay_arguments,
            )
        return self._replay_buffer

    @property
    def uses_tensorflow(self) -> bool:
        """Whether the agent computes with TensorFlow: where it learns."""
        return not self.eval_mode

    @property
    def _online_network(self) -> network.QNetwork:
        if self._trainer is not None and not self._network_is_current:
            weights = self._trainer.weights()
            # A sum of finite weights is finite, unless they are beyond all reason.
            for layer in weights:
                total = np.add.reduce(layer, axis=None)
                if not math.isfinite(total):
                    self._refuse_numbers("sum of a layer's weights", total)
            self._network = network.QNetwork(weights)
            self._network_is_current = True
        return self._network

    def _refuse_numbers(self, what: str, number: float) -> None:
        """Stops a training whose numbers are no longer finite."""
        raise FloatingPointError(
            f"The training has diverged: at training step {self.training_steps} the {what} is "
            f"{number}. Choose a smaller learning_rate, or smaller rewards. The last checkpoint "
            "is from before."
        )

    # How the agent takes part in an episode.

    def begin_episode(  # type: ignore[override]  # RecSim's needs the observation.
        self, observation: agent.Observation
    ) -> agent.Slate:
        """Starts an episode and returns its first slate."""
        self._episode_num += 1
        state = self._features(observation)
        if not self.eval_mode:
            if self._last is not None:  # Nobody ended the last episode.
                self._replay.cut_off(*self._last)
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
            truncated: whether the episode was only cut off, so that the last observation has a
                value, which counts.
        """
        if self.eval_mode:
            return
        self._store_transition(reward, observation, terminal=not truncated)
        if truncated:
            user, documents = self._features(observation)
            self._replay.cut_off(user, documents, self._select_slate(user, documents))
        self._last = None

    def _features(self, observation: agent.Observation) -> adapters.State:
        user, documents = self._obs_adapter.features(observation)
        if len(documents) != self._num_candidates:
            self._refuse_documents(len(documents))
        return user, documents

    def _refuse_documents(self, number: int) -> None:
        raise ValueError(
            f"observation['doc'] must hold {self._num_candidates} documents, as the action space "
            f"that the agent was made for, got {number}."
        )

    def _store_transition(
        self, reward: float, observation: agent.Observation | None, terminal: bool
    ) -> None:
        if self._last is None:
            raise RuntimeError(
                "An episode was not begun: call begin_episode(observation) for its first slate."
            )
        reward = numbers.finite_float32("reward", reward)
        click, learned_reward = self._outcome(reward, observation)
        learned_reward = numbers.finite_float32("the reward to learn from", learned_reward)
        self._replay.add(*self._last, click, learned_reward, terminal)

    def _recommend(self, user: np.ndarray, documents: np.ndarray) -> agent.Slate:
        slate = self._select_slate(user, documents)
        if not self.eval_mode:
            self._last = user, documents, slate
            if self._summary_writer is not None:
                self._slate_counts[list(slate)] += 1
        return slate

    def _select_slate(self, user: np.ndarray, documents: np.ndarray) -> Any:
        if self._exploration_rng.random_sample() < self._epsilon():
            return self._random_slate(len(documents))
        return self._best_slate(user, documents)

    def _random_slate(self, num_documents: int) -> Any:
        return self._exploration_rng.permutation(num_documents)[: self._slate_size]

    def _epsilon(self) -> float:
        if self.eval_mode:
            return self.epsilon_eval
        return self.epsilon_fn(
            self.epsilon_decay_period,
            self.training_steps,
            self.min_replay_history,
            self.epsilon_train,
        )

    # How the agent learns.

    @property
    def steps_without_update(self) -> int:
        """Number of training steps in which a new agent makes no update yet."""
        needed = max(self.min_replay_history, self.update_horizon)
        return (needed // self.update_period + 1) * self.update_period

    def _train_step(self) -> None:
        """Updates the network and its copy, if it is time to."""
        replay = self._replay
        if replay.add_count > self.min_replay_history and replay.can_sample():
            if self.training_steps % self.update_period == 0:
                self._update()
            if self.training_steps % self.target_update_period == 0:
                self._target_network = self._online_network
        if self._summary_writer is not None:
            step = self.training_steps
            if step and step % self.summary_writing_frequency == 0:
                self._write_summary()
        self.training_steps += 1

    def _update(self) -> None:
        rows = self._training_rows(self._replay.sample())
        if self._trainer is None:
            self._trainer = training.Trainer(
                self._network.weights,
                *self._trainer_arguments,
                self._replay.batch_size,
                self._tf_device,
                self._learning_rate,
            )
            if self._optimizer_state is not None:
                self._trainer.set_optimizer_state(self._optimizer_state)
        self._trainer.step(rows)
        self._network_is_current = False
        if not math.isfinite(self._trainer.loss):
            self._refuse_numbers("loss", self._trainer.loss)
        if rows[:, -1].any():
            self.num_updates += 1

    def _write_summary(self) -> None:
        step = self.training_steps
        write = self._summary_writer.add_scalar
        write("epsilon", self._epsilon(), step)
        if self._trainer is not None:
            write("Loss", self._trainer.loss, step)
            write("MeanQ", self._trainer.mean_q, step)
        shares = self._slate_counts / max(1, self._slate_counts.sum())
        for candidate, share in enumerate(shares):
            write(f"slate_choices/candidate_{candidate}", share, step)
        self._slate_counts[:] = 0

    # How the agent is kept.

    def __getstate__(self) -> dict[str, Any]:
        # What Keras holds becomes arrays, of which it is made again at the next update.
        state = {**self.__dict__, "_network": self._online_network, "_network_is_current": True}
        if self._trainer is not None:
            state["_optimizer_state"] = self._trainer.optimizer_state()
            state["_trainer"] = None
        return state

    def _description(self) -> dict[str, Any]:
        """Returns what a bundle's agent and this one must have in common."""
        adapter = self._obs_adapter
        return {
            "agent": type(self).__name__,
            "user_size": adapter.user_size,
            "doc_size": adapter.doc_size,
            "num_candidates": self._num_candidates,
            "slate_size": self._slate_size,
            "hidden_units": self._hidden_units,
        }

    def _fits(self, description: dict[str, Any]) -> bool:
        """Says whether this agent takes the bundle of an agent of a description."""
        return description == self._description()

    def serving_bundle(self) -> dict[str, Any]:
        """Returns what recommending needs: the networks and counters, but no replay buffer.

        :meth:`unbundle` takes it in an agent made with ``eval_mode=True``, or with
        ``allow_partial_reload=True`` to train it further. :func:`recsim.simulator.checkpoint.save`
        writes it to a file.
        """
        return {
            **super().bundle_and_checkpoint("", 0),
            "description": self._description(),
            "training_steps": self.training_steps,
            "num_updates": self.num_updates,
            "online_network": list(self._online_network.weights),
            "target_network": list(self._target_network.weights),
        }

    def bundle_and_checkpoint(self, checkpoint_dir: str, iteration_number: int) -> dict[str, Any]:
        """Returns all that the agent has learned and will go on with.

        That is :meth:`serving_bundle`, the optimizer's state, and the replay buffer as far as it
        is filled.
        """
        del checkpoint_dir, iteration_number  # All state is in the bundle.
        optimizer_state = self._optimizer_state
        if self._trainer is not None:
            optimizer_state = self._trainer.optimizer_state()
        return {
            **self.serving_bundle(),
            "optimizer_state": optimizer_state,
            "replay": None if self._replay_buffer is None else self._replay_buffer.state(),
            "last": self._last,
            "slate_counts": self._slate_counts.copy(),
        }

    def unbundle(
        self, checkpoint_dir: str, iteration_number: int, bundle_dict: dict[str, Any]
    ) -> bool:
        """Restores the agent; False, and a warning that says why, if the bundle does not fit.

        In evaluation, and if ``allow_partial_reload`` is set, the bundle needs no replay buffer.
        :func:`recsim.simulator.checkpoint.restore_agent` restores the agent from a file.

        Raises:
            ValueError: if the bundle does not fit and the agent was made with ``eval_mode=True``;
                if the replay buffer was larger or smaller than this agent's, and its content does
                not fit.
        """
        if not agent.has_entry(self, bundle_dict, "description"):
            return False
        description = dict(bundles.entries(self, "description", bundle_dict["description"]))
        if not self._fits(description):
            return agent.refuse_bundle(
                self,
                f"it is of another agent or of other spaces. It has {description}, this agent has "
                f"{self._description()}",
            )
        replay_state = bundle_dict.get("replay")
        if not self.eval_mode and replay_state is None and not self._allow_partial_reload:
            return agent.refuse_bundle(
                self,
                "it has no replay buffer, which training resumes with. Make the agent with "
                "eval_mode=True, or with allow_partial_reload=True to train without it",
            )
        self._check_bundle(bundle_dict)
        if not self.eval_mode and replay_state is not None:
            self._replay.check(replay_state)
        if not super().unbundle(checkpoint_dir, iteration_number, bundle_dict):
            return False
        if not self.eval_mode:
            if replay_state is not None:
                self._replay.restore(replay_state)
            elif self._last is not None:  # The next episode does not follow this one.
                self._replay.cut_off(*self._last)
        self.training_steps = bundle_dict["training_steps"]
        self._network = network.QNetwork(bundle_dict["online_network"])
        self._target_network = network.QNetwork(bundle_dict["target_network"])
        self._network_is_current = True
        self._trainer = None
        self._optimizer_state = bundle_dict.get("optimizer_state")
        self.num_updates = bundle_dict.get("num_updates", 0)
        if "num_updates" not in bundle_dict and self._optimizer_state:
            # A bundle from before there was the count; Keras counts an optimizer's steps.
            self.num_updates = int(self._optimizer_state[0])
        self._last = bundle_dict.get("last")
        if "slate_counts" in bundle_dict:
            self._slate_counts = bundle_dict["slate_counts"].copy()
        return True

    def _check_bundle(self, bundle: Mapping[str, Any]) -> None:
        """Raises ValueError for an entry, but for the replay buffer, that is not as it was made."""
        names = ("training_steps", "online_network", "target_network")
        bundles.entries(self, "the bundle", bundle, *names)
        bundles.count(self, "training_steps", bundle["training_steps"])
        bundles.count(self, "num_updates", bundle.get("num_updates", 0))
        for name in names[1:]:
            weights = bundle[name]
            if not isinstance(weights, list) or len(weights) != len(self._network.weights):
                bundles.refuse(self, name, f"{len(self._network.weights)} arrays", weights)
            for own, other in zip(self._network.weights, weights):
                bundles.array(self, name, other, own.shape)
        optimizer = bundle.get("optimizer_state")
        if optimizer is not None:
            if not isinstance(optimizer, list):
                bundles.refuse(self, "optimizer_state", "a list of arrays", optimizer)
            for values in optimizer:
                shape = np.shape(values) if isinstance(values, np.ndarray) else ()
                bundles.array(self, "optimizer_state", values, shape, "iuf")
        last = bundle.get("last")
        if last is not None and not (isinstance(last, tuple) and len(last) == 3):
            bundles.refuse(self, "last", "a state and its slate, or None", last)
        if "slate_counts" in bundle:
            of_any_size = (None,) if self.eval_mode else self._slate_counts.shape
            bundles.array(self, "slate_counts", bundle["slate_counts"], of_any_size, "iu")


def _checked_num_candidates(action_space: Any, num_documents: int) -> int:
    nvec = np.asarray(action_space.nvec)
    if (nvec != num_documents).any():
        raise ValueError(
            "action_space must have as many values as observation_space['doc'] has documents, "
            f"{num_documents}, got {nvec.tolist()}."
        )
    if len(nvec) > num_documents:
        raise ValueError(
            f"A slate holds different documents: action_space has slates of {len(nvec)}, but "
            f"observation_space['doc'] has only {num_documents} documents."
        )
    return num_documents


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
        sess: Any,
        observation_space: Any,
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
        if validation.positive_int("stack_size", stack_size) != 1:
            raise ValueError(
                f"stack_size must be 1, got {stack_size!r}; FixedLengthHistoryLayer shows an "
                "agent the last observations."
            )
        self._env_observation_space = observation_space
        adapter = ObservationAdapter(observation_space)
        if "action_space" not in kwargs:
            responses = adapters.part_of(observation_space, "response")
            slate_size = len(observations.spaces_of_responses(responses))
            kwargs["action_space"] = spaces.MultiDiscrete([adapter.num_candidates] * slate_size)
        super().__init__(adapter, optimizer_name=optimizer_name, eval_mode=eval_mode, **kwargs)
