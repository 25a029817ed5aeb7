"""A Q-learner: networks, optimizer, schedules, replay buffer and state, without an agent.

The agents of one user and of users in parallel act on it: they turn observations into features,
explore, and tell it of transitions.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np

from recsim import seeding, types
from recsim._internal import bundles, tensorflow_import, validation
from recsim.agents.dopamine import gradients, network, training, transitions, values

if TYPE_CHECKING:
    import keras

__all__ = ["QLearner", "Replay", "Settings", "checked_last", "linearly_decaying_epsilon"]

#: What bundles of agents have of networks with other numbers of documents, too.
_NUMBERS_OF_DOCUMENTS = ("num_candidates", "slate_size")


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


def checked_last(agent: object, last: object) -> tuple[Any, Any, Any] | None:
    """Returns an agent's last state and slate out of a bundle; ValueError for something else.

    Args:
        agent: the agent that is to be restored.
        last: what the bundle has: features of the user, those of the documents, and the slate, for
            users in parallel too; or None.
    """
    if last is None or (isinstance(last, tuple) and len(last) == 3):
        return last
    bundles.refuse(agent, "last", "a state and its slate, or None", last)


class Replay(Protocol):
    """A memory of transitions: a buffer of one user's, or of those of users in parallel."""

    #: Number of transitions of a batch.
    batch_size: int

    @property
    def add_count(self) -> int:
        """Number of transitions added so far."""

    def can_sample(self) -> bool:
        """Says whether there is a transition whose next state is there."""

    def sample(self) -> transitions.Batch:
        """Samples a batch."""

    def state_dict(self) -> types.State:
        """Returns the content, the counters and the generator, as data."""

    def check(self, state: object) -> object:
        """Raises ValueError for something else than a state of such a buffer."""

    def load_state_dict(self, state: types.State) -> None:
        """Restores what :meth:`state_dict` returned; ValueError if :meth:`check` refuses it."""


ReplayT = TypeVar("ReplayT", bound=Replay)


@dataclasses.dataclass(kw_only=True)
class Settings:
    """How a Q-learner learns, with Dopamine's names and defaults.

    Attributes:
        optimizer_name: see :class:`recsim.agents.dopamine.training.Trainer`; that of the class, if
            there is an optimizer.
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
        tf_device: TensorFlow's name of the device to train on. On a processor, optimizers by name
            are computed by NumPy, which takes less time.
        optimizer: a Keras optimizer, of which the learner takes copies, instead of one by name.
            Only an argument.
        make_optimizer: function that makes such a copy, or None. No argument.
        summary_writing_frequency: number of training steps between two statistics, >= 1.
        allow_partial_reload: whether state without a replay buffer is taken for training too.
        replay_capacity: number of transitions to remember; the replay buffer's own, if None.
        batch_size: number of transitions of an update; the replay buffer's own, if None.
        hidden_units: sizes of the network's hidden layers, each >= 1.
        loss: 'squared' or 'huber'.
        seed: seed of the initial weights and of the batches.
        learning_rate: of an optimizer by name; its own, if None.
        recurrent_units: size of a recurrent state that stands for the rows of recent slates among
            a user's features, see :mod:`recsim.agents.networks.recurrent`; 0 for none.

    Raises:
        TypeError, ValueError: for a value of the wrong type or out of its range.
    """

    #: Names of those that shape the state.
    state_settings: ClassVar[tuple[str, ...]] = (
        "update_horizon",
        "optimizer_name",
        "recurrent_units",
    )

    optimizer_name: str = ""
    gamma: float = 0.99
    update_horizon: int = 1
    min_replay_history: int = 20000
    update_period: int = 4
    target_update_period: int = 8000
    # By a factory: a function as the class's attribute would be a method of it.
    epsilon_fn: Callable[[int, int, int, float], float] = dataclasses.field(
        default_factory=lambda: linearly_decaying_epsilon
    )
    epsilon_train: float = 0.01
    epsilon_eval: float = 0.001
    epsilon_decay_period: int = 250000
    tf_device: str = "/cpu:*"
    optimizer: dataclasses.InitVar[keras.Optimizer | None] = None
    make_optimizer: Callable[[], keras.Optimizer] | None = dataclasses.field(
        default=None, init=False
    )
    summary_writing_frequency: int = 500
    allow_partial_reload: bool = False
    replay_capacity: int | None = None
    batch_size: int | None = None
    hidden_units: Sequence[int] = (256, 32)
    loss: str = "squared"
    seed: int | None = 0
    learning_rate: float | None = None
    recurrent_units: int = 0

    def __post_init__(self, optimizer: keras.Optimizer | None) -> None:
        training.check_arguments(self.optimizer_name, optimizer, self.loss, self.learning_rate)
        self.make_optimizer = training.optimizer_maker(optimizer)
        self.optimizer_name = self.optimizer_name or "rmsprop"
        if optimizer is not None:
            self.optimizer_name = type(optimizer).__name__
        for name in ("gamma", "epsilon_train", "epsilon_eval"):
            setattr(self, name, validation.probability(name, getattr(self, name)))
        for name in (
            "update_horizon",
            "update_period",
            "target_update_period",
            "epsilon_decay_period",
            "summary_writing_frequency",
        ):
            setattr(self, name, validation.positive_int(name, getattr(self, name)))
        self.min_replay_history = validation.positive_int(
            "min_replay_history", self.min_replay_history, 0
        )
        validation.function("epsilon_fn", self.epsilon_fn)
        if not isinstance(self.hidden_units, (list, tuple)):
            raise TypeError(
                f"hidden_units must be a list of the layers' sizes, got {self.hidden_units!r:.80}."
            )
        self.hidden_units = tuple(
            validation.positive_int("hidden_units", size) for size in self.hidden_units
        )
        self.recurrent_units = validation.positive_int("recurrent_units", self.recurrent_units, 0)
        if self.recurrent_units and self.uses_tensorflow:
            raise ValueError(
                "recurrent_units needs an optimizer by name, on a processor, for its gradient is "
                f"computed by NumPy, got {self.optimizer_name} on {self.tf_device!r}: choose "
                "optimizer_name='adam' without an optimizer, and leave tf_device out."
            )

    @property
    def uses_tensorflow(self) -> bool:
        """Whether gradients are TensorFlow's: for Keras's optimizers, and for other devices."""
        return self.make_optimizer is not None or "cpu" not in self.tf_device.lower()

    @property
    def replay_arguments(self) -> dict[str, Any]:
        """Arguments of a replay buffer, but for the sizes of what it holds."""
        sizes = {"replay_capacity": self.replay_capacity, "batch_size": self.batch_size}
        return {
            "update_horizon": self.update_horizon,
            "gamma": self.gamma,
            "seed": self.seed,
            **{name: size for name, size in sizes.items() if size is not None},
        }


class QLearner(Generic[ReplayT]):
    """Learns values by Q-learning (Mnih et al., "Human-level control…", Nature 2015).

    Args:
        slate_values: what is learned.
        settings: how.
        make_replay: function that makes the replay buffer, when it is needed first.
        agent_name: name of the single-user agent's class, which state is of.

    Raises:
        MemoryError: if there is no memory for the networks.
    """

    def __init__(
        self,
        slate_values: values.SlateValues,
        settings: Settings,
        make_replay: Callable[[], ReplayT],
        agent_name: str,
    ) -> None:
        self.values = slate_values
        self.settings = settings
        self.agent_name = agent_name
        #: Number of training steps so far: of slates recommended in training.
        self.training_steps = 0
        self._num_updates = 0
        self._make_replay = make_replay
        self._replay: ReplayT | None = None
        self._network = network.QNetwork.initial(
            slate_values.num_inputs,
            settings.hidden_units,
            seeding.named_random_state(settings.seed, "network"),
            slate_values.adapter.recurrence(settings.recurrent_units),
        )
        self._target_network = self._network
        self._trainer: training.Trainer | gradients.NumpyTrainer | None = None
        self._optimizer_state: list[np.ndarray] | None = None
        self._network_is_current = True
        # Updates that are made while agents of users in parallel act, and what makes them.
        self._under_way: futures.Future[None] | None = None
        self._executor: futures.ThreadPoolExecutor | None = None
        self._acting_network = self._network
        self._slate_counts = np.zeros(slate_values.num_candidates, np.int64)

    def prepare(self) -> None:
        """Checks that it can learn, and makes the replay buffer: faulty sizes are told of now.

        Raises:
            TypeError, ValueError: for a setting that gives no replay buffer.
            MemoryError: if there is no memory for it.
            RuntimeError: if TensorFlow does not execute eagerly.
        """
        if self.settings.uses_tensorflow:
            tensorflow_import.check_eager_execution()
        self.replay  # noqa: B018  # Makes it.

    @property
    def replay(self) -> ReplayT:
        """The replay buffer, made when it is first asked for."""
        self.wait()
        if self._replay is None:
            self._replay = self._make_replay()
        return self._replay

    @property
    def num_updates(self) -> int:
        """Number of updates of the network so far, of those that learned from something."""
        self.wait()
        return self._num_updates

    @property
    def online_network(self) -> network.QNetwork:
        """The network as it was updated last.

        Raises:
            FloatingPointError: if its weights are no longer finite.
        """
        self.wait()
        return self._current_network()

    @property
    def acting_network(self) -> network.QNetwork:
        """The network as it was at the last :meth:`catch_up`."""
        return self._acting_network

    def catch_up(self) -> None:
        """Waits for the updates under way, and lets :attr:`acting_network` be their outcome.

        Raises:
            FloatingPointError: if the network's loss or weights are no longer finite.
        """
        self._acting_network = self.online_network

    def _current_network(self) -> network.QNetwork:
        if self._trainer is not None and not self._network_is_current:
            weights = self._trainer.weights()
            # A sum of finite weights is finite, unless they are beyond all reason.
            for layer in weights:
                with np.errstate(over="ignore", invalid="ignore"):
                    total = np.add.reduce(layer, axis=None)
                if not math.isfinite(total):
                    self._refuse_numbers("sum of a layer's weights", total)
            self._network = self._network.with_weights(weights)
            self._network_is_current = True
        return self._network

    @property
    def target_network(self) -> network.QNetwork:
        """The copy of the network that targets are computed with."""
        self.wait()
        return self._target_network

    @property
    def optimizer_state(self) -> list[np.ndarray] | None:
        """The optimizer's variables, see ``Trainer.optimizer_state``; None before the first use."""
        self.wait()
        if self._trainer is not None:
            return self._trainer.optimizer_state()
        return self._optimizer_state

    def _refuse_numbers(self, what: str, number: float) -> None:
        """Stops a training whose numbers are no longer finite."""
        raise FloatingPointError(
            f"The training has diverged: at training step {self.training_steps} the {what} is "
            f"{number}. Choose a smaller learning_rate, or smaller rewards. The last checkpoint "
            "is from before."
        )

    def epsilon(self, *, for_training: bool, steps_ahead: int = 0) -> float:
        """Returns the probability of a random slate, in training or in evaluation.

        Args:
            for_training: which of them.
            steps_ahead: number of training steps that are made but not counted yet.
        """
        settings = self.settings
        if not for_training:
            return settings.epsilon_eval
        return settings.epsilon_fn(
            settings.epsilon_decay_period,
            self.training_steps + steps_ahead,
            settings.min_replay_history,
            settings.epsilon_train,
        )

    # Learning.

    def train_step(self, summary_writer: types.SummaryWriter | None = None) -> None:
        """Counts a training step; updates the network and its copy, if it is time to.

        Args:
            summary_writer: where statistics go, or None.

        Raises:
            FloatingPointError: if the network's loss or weights are no longer finite.
        """
        step, settings = self.training_steps, self.settings
        if self._can_learn():
            if step % settings.update_period == 0:
                self.update()
            if step % settings.target_update_period == 0:
                self._target_network = self.online_network
        if summary_writer is not None and step and step % settings.summary_writing_frequency == 0:
            self._write_summary(summary_writer)
        self.training_steps += 1

    def train_steps(self, number: int, summary_writer: types.SummaryWriter | None = None) -> None:
        """Counts training steps taken in parallel, and makes the updates that are due in them.

        The updates are made in a thread of their own, while the agent acts on
        :attr:`acting_network` and the environment makes its next step, until :meth:`catch_up`.
        Whoever asks for what they change waits for them, so that results do not depend on how
        fast which thread is. Where functions of others take part, which may not be made for two
        threads, they are made here. The network is copied at the first update from where it is
        time to.

        Args:
            number: number of steps, one a user.
            summary_writer: where statistics go, or None: those of the updates before.

        Raises:
            FloatingPointError: as :meth:`train_step`, of the updates before.
        """
        settings, begin = self.settings, self.training_steps
        can_learn = self._can_learn()
        end = begin + number
        frequency = settings.summary_writing_frequency
        self.training_steps = end
        if summary_writer is not None and begin // frequency != end // frequency:
            self._write_summary(summary_writer)
        period = settings.update_period
        steps = range(-(-begin // period) * period, end, period)
        if can_learn and steps and not self.values.may_learn_in_a_thread:
            self._update_at(steps, self.replay)
        elif can_learn and steps:
            if self._executor is None:
                self._executor = futures.ThreadPoolExecutor(1, "learner")
            self._under_way = self._executor.submit(self._update_at, steps, self.replay)

    def _update_at(self, steps: range, replay: ReplayT) -> None:
        """Makes the updates of training steps, and copies the network where it is time to."""
        for step in steps:
            self._update(replay)
            if step % self.settings.target_update_period < self.settings.update_period:
                self._target_network = self._current_network()

    def wait(self) -> None:
        """Waits for the updates under way, if there are any.

        Raises:
            FloatingPointError: if the network's loss or weights are no longer finite.
        """
        if self._under_way is not None:
            self._under_way.result()
            self._under_way = None

    def _can_learn(self) -> bool:
        replay = self.replay
        return replay.add_count > self.settings.min_replay_history and replay.can_sample()

    def update(self) -> None:
        """Makes one gradient step on a batch of the replay buffer.

        Raises:
            FloatingPointError: if the loss is not finite.
        """
        self._update(self.replay)

    def _update(self, replay: ReplayT) -> None:
        settings = self.settings
        batch = self.values.training_batch(
            replay.sample(),
            self._target_network,
            settings.gamma if settings.update_horizon == 1 else None,
        )
        if self._trainer is None:
            self._trainer = self._make_trainer(replay.batch_size)
            if self._optimizer_state is not None:
                self._trainer.set_optimizer_state(self._optimizer_state)
        self._trainer.step(batch)
        self._network_is_current = False
        if not math.isfinite(self._trainer.loss):
            self._refuse_numbers("loss", self._trainer.loss)
        if batch.used.any():
            self._num_updates += 1

    def _make_trainer(self, batch_size: int) -> training.Trainer | gradients.NumpyTrainer:
        settings, weights = self.settings, self._network.weights
        if settings.uses_tensorflow:
            return training.Trainer(
                weights,
                settings.optimizer_name,
                settings.make_optimizer,
                settings.loss,
                batch_size,
                settings.tf_device,
                settings.learning_rate,
            )
        return gradients.NumpyTrainer(
            weights,
            settings.optimizer_name,
            settings.loss,
            settings.learning_rate,
            self._network.evaluation,
        )

    # Statistics.

    def count_slates(self, slates: types.Slate) -> None:
        """Counts the documents of slates, for the next statistics.

        Args:
            slates: indices of documents, of any shape.
        """
        self._slate_counts += np.bincount(np.reshape(slates, -1), minlength=len(self._slate_counts))

    def _write_summary(self, summary_writer: types.SummaryWriter) -> None:
        step = self.training_steps
        write = summary_writer.add_scalar
        write("epsilon", self.epsilon(for_training=True), step)
        if self._trainer is not None:
            write("Loss", self._trainer.loss, step)
            write("MeanQ", self._trainer.mean_q, step)
        shares = self._slate_counts / max(1, self._slate_counts.sum())
        for candidate, share in enumerate(shares):
            write(f"slate_choices/candidate_{candidate}", share, step)
        self._slate_counts[:] = 0

    # State.

    def __getstate__(self) -> dict[str, Any]:
        # What Keras holds becomes arrays, of which it is made again at the next update.
        online, optimizer = self.online_network, self.optimizer_state
        return {
            **self.__dict__,
            "_network": online,
            "_network_is_current": True,
            "_optimizer_state": optimizer,
            "_trainer": None,
            "_executor": None,
        }

    def description(self) -> dict[str, Any]:
        """Returns what a state's agent and this one must have in common."""
        described = self.values.description()
        names = ("hidden_units", "recurrent_units")
        shape = {name: getattr(self.settings, name) for name in names}
        return {"agent": self.agent_name, **described, **shape}

    def serving_state(self) -> types.State:
        """Returns what recommending needs: the networks and counters, but no replay buffer.

        Raises:
            FloatingPointError: if the network's weights are no longer finite.
        """
        return {
            "description": self.description(),
            "training_steps": self.training_steps,
            "num_updates": self.num_updates,
            "online_network": list(self.online_network.weights),
            "target_network": list(self._target_network.weights),
        }

    def state_dict(self) -> types.State:
        """Returns all that was learned and that training resumes with, as data.

        That is :meth:`serving_state`, the optimizer's state, and the replay buffer as far as it
        is filled.
        """
        return {
            **self.serving_state(),
            "optimizer_state": self.optimizer_state,
            "replay": None if self._replay is None else self._replay.state_dict(),
            "slate_counts": self._slate_counts.copy(),
        }

    def misfit(self, state: Mapping[str, Any], *, for_training: bool) -> str | None:
        """Returns why a state does not fit, as a clause; None if it does.

        Args:
            state: what :meth:`state_dict` or :meth:`serving_state` returned.
            for_training: whether training is to resume from it, and not only to recommend.

        Raises:
            ValueError: if an entry is not as such a state has it.
        """
        described = {
            "recurrent_units": 0,  # Of states from before there were any.
            **bundles.entries(self.agent_name, "description", state["description"]),
        }
        own = self.description()
        if self.values.any_number_of_documents and not for_training:
            described.update({name: own[name] for name in _NUMBERS_OF_DOCUMENTS})
        if described != own:
            return (
                f"it is of another agent or of other spaces. It has {state['description']}, this "
                f"agent has {own}"
            )
        partial = for_training and state.get("replay") is None
        if partial and not self.settings.allow_partial_reload:
            return (
                "it has no replay buffer, which training resumes with. Make the agent with "
                "eval_mode=True, or with allow_partial_reload=True to train without it"
            )
        self._check_entries(state, for_training=for_training)
        if for_training and state.get("replay") is not None:
            self.replay.check(state["replay"])
        return None

    def _check_entries(self, state: Mapping[str, Any], *, for_training: bool) -> None:
        """Raises ValueError for an entry, but for the replay buffer, that is not as it was made."""
        owner = self.agent_name
        names = ("training_steps", "online_network", "target_network")
        bundles.entries(owner, "the bundle", state, *names)
        bundles.count(owner, "training_steps", state["training_steps"])
        bundles.count(owner, "num_updates", state.get("num_updates", 0))
        own_weights = self._network.weights
        for name in ("online_network", "target_network"):
            weights = state[name]
            if not isinstance(weights, list) or len(weights) != len(own_weights):
                bundles.refuse(owner, name, f"{len(own_weights)} arrays", weights)
            for own, other in zip(own_weights, weights, strict=True):
                bundles.array(owner, name, other, own.shape)
        optimizer = state.get("optimizer_state")
        if optimizer is not None:
            if not isinstance(optimizer, list):
                bundles.refuse(owner, "optimizer_state", "a list of arrays", optimizer)
            for variable in optimizer:
                shape = np.shape(variable) if isinstance(variable, np.ndarray) else ()
                bundles.array(owner, "optimizer_state", variable, shape, "iuf")
        if "slate_counts" in state:
            shape = self._slate_counts.shape if for_training else (None,)
            bundles.array(owner, "slate_counts", state["slate_counts"], shape, "iu")

    def load_state_dict(self, state: Mapping[str, Any], *, for_training: bool = True) -> None:
        """Restores a state, of this or an earlier version.

        Args:
            state: as in :meth:`misfit`. If it has no replay buffer, the one there is stays.
            for_training: whether to restore the replay buffer.

        Raises:
            ValueError: if the state does not fit, or the replay buffer was larger or smaller than
                this one.
        """
        reason = self.misfit(state, for_training=for_training)
        if reason is not None:
            raise ValueError(f"The learner cannot be restored from this state: {reason}.")
        self.restore(state, for_training=for_training)

    def restore(self, state: Mapping[str, Any], *, for_training: bool) -> None:
        """Does what :meth:`load_state_dict` does with a state that :meth:`misfit` has checked."""
        self.wait()
        if for_training and state.get("replay") is not None:
            self.replay.load_state_dict(state["replay"])
        self.training_steps = state["training_steps"]
        online, target = state["online_network"], state["target_network"]
        self._network = self._acting_network = self._network.with_weights(online)
        self._target_network = self._network.with_weights(target)
        self._network_is_current = True
        self._trainer = None
        self._optimizer_state = state.get("optimizer_state")
        self._num_updates = state.get("num_updates", 0)
        if "num_updates" not in state and self._optimizer_state:
            # A state from before there was the count; Keras counts an optimizer's steps.
            self._num_updates = int(self._optimizer_state[0])
        if "slate_counts" in state:
            self._slate_counts = state["slate_counts"].copy()

    # What tells it from others, see recsim.simulator.fingerprint.

    @property
    def state_settings(self) -> tuple[str, ...]:
        """Names of the settings that shape the state."""
        return (*self.settings.state_settings, *self.values.state_settings)

    @property
    def fingerprint_name(self) -> str:
        """The name of the single-user agent's class."""
        return self.agent_name

    def fingerprint_attributes(self) -> dict[str, Any]:
        """Returns the settings, the sizes and the networks, by name."""
        return {
            **vars(self.settings),
            **vars(self.values),
            "network": self._network,
            "target_network": self._target_network,
        }
