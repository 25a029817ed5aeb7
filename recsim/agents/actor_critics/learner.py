"""Learners of actors and critics: networks, optimizers, replay buffer and their state."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from recsim import seeding, types
from recsim._internal import bundles, validation
from recsim.agents.actor_critics import critics as critics_lib
from recsim.agents.actor_critics import replay as replay_lib
from recsim.agents.actor_critics import units
from recsim.agents.networks import optimizers, perceptrons

__all__ = ["ActorCriticLearner", "Settings", "Sizes"]

# The first outputs of the actors are nearly 0.
_FIRST_SCALE = 0.1
# How fast the size of rewards that values are in units of follows those seen.
_RATE_OF_SCALE = 0.01


@dataclasses.dataclass(kw_only=True)
class Settings:
    """How an actor and its critics are learned.

    Attributes:
        gamma: discount of rewards from step to step, in [0, 1).
        min_replay_history: number of transitions to gather before learning begins, >= 1.
        update_period: number of steps, of all users together, from one update to the next, >= 1.
        replay_capacity: number of transitions to remember, >= 1.
        batch_size: number of transitions of an update, >= 1.
        learning_rate: of Adam, for all networks, above 0.
        target_rate: share of the critics' weights that their averages take at each update, above 0
            and at most 1.
        hidden_units: sizes of the hidden layers of the networks that take users, each >= 1.
        item_units: sizes of the layers by which critics learn further features of items, each
            >= 1; none if values are linear in the items' features, which ones of topics may well
            be.
        seed: seed of initial weights, exploration and batches.

    Raises:
        TypeError, ValueError: for a value of the wrong type or out of its range.
    """

    #: Names of those that shape the state.
    state_settings: ClassVar[tuple[str, ...]] = ("hidden_units", "item_units")

    gamma: float = 0.95
    min_replay_history: int = 1000
    update_period: int = 64
    replay_capacity: int = 100_000
    batch_size: int = 256
    learning_rate: float = 1e-3
    target_rate: float = 0.005
    hidden_units: Sequence[int] = (64, 64)
    item_units: Sequence[int] = ()
    seed: int | None = 0

    def __post_init__(self) -> None:
        for name in ("gamma", "target_rate"):
            setattr(self, name, validation.probability(name, getattr(self, name)))
        if self.gamma == 1.0:
            raise ValueError("gamma must be below 1, for values are counted in units of it, got 1.")
        for name in ("min_replay_history", "update_period", "replay_capacity", "batch_size"):
            setattr(self, name, validation.positive_int(name, getattr(self, name)))
        for name in ("learning_rate", "target_rate"):
            setattr(self, name, validation.positive_float(name, getattr(self, name)))
        for name in ("hidden_units", "item_units"):
            setattr(self, name, perceptrons.checked_units(name, getattr(self, name)))

    @property
    def first_update(self) -> int:
        """Number of transitions at which a new learner makes its first update."""
        return -(-self.min_replay_history // self.update_period) * self.update_period


@dataclasses.dataclass(frozen=True)
class Sizes:
    """The sizes that a learner is made for.

    Attributes:
        user_size: number of features of a user.
        doc_size: number of features of a document.
        slate_size: number of documents in a slate.
        agent_name: name of the single-user agent's class, which state is of.
    """

    user_size: int
    doc_size: int
    slate_size: int
    agent_name: str


class ActorCriticLearner(abc.ABC):
    """Learns an actor, which makes vectors of users, and critics, which value points for users.

    Vectors and points are in the space of items' features, in the units of
    :class:`recsim.agents.actor_critics.units.ItemUnits`, which the items seen before the first
    update determine. Of a slate the critics are told the items, and its value is the mean of
    theirs; targets are of the next slate as it was shown.

    Args:
        settings: how it learns.
        sizes: what it is made for.

    Raises:
        MemoryError: if there is no memory for the networks.
    """

    #: Number of critics.
    num_critics: ClassVar[int]
    #: Number of the actor's outputs for each entry of a vector.
    outputs_per_entry: ClassVar[int]

    def __init__(self, settings: Settings, sizes: Sizes) -> None:
        self.settings = settings
        self.agent_name = sizes.agent_name
        self.slate_size = sizes.slate_size
        user_size, doc_size = sizes.user_size, sizes.doc_size
        self._sizes = {"user_size": user_size, "doc_size": doc_size}
        #: Number of training steps so far: of slates recommended in training.
        self.training_steps = 0
        #: Number of updates so far.
        self.num_updates = 0
        self._units = units.ItemUnits(doc_size)
        rng = seeding.named_random_state(settings.seed, "networks")
        self._critics = [
            critics_lib.Critic(
                user_size,
                doc_size,
                settings.hidden_units,
                settings.item_units,
                settings.learning_rate,
                rng,
            )
            for _ in range(self.num_critics)
        ]
        actor = perceptrons.initial_weights(
            [user_size, *settings.hidden_units, self.outputs_per_entry * doc_size], rng
        )
        actor[-2] *= np.float32(_FIRST_SCALE)
        self._actor = self._new_optimizer(actor)
        self._reward_square = 0.0
        self._rng = seeding.named_random_state(settings.seed, "batches")
        self._replay: replay_lib.PointReplay | None = None
        #: Statistics of the last update, by name.
        self.statistics: dict[str, float] = {}

    def _new_optimizer(self, weights: Sequence[np.ndarray]) -> optimizers.Optimizer:
        return optimizers.Optimizer(weights, "adam", self.settings.learning_rate)

    @property
    def replay(self) -> replay_lib.PointReplay:
        """The replay buffer, made when it is first asked for; MemoryError if it does not fit."""
        if self._replay is None:
            user, action = (self._sizes["user_size"],), (self.slate_size, self.vector_size)
            shapes = {
                "users": user,
                "actions": action,
                "rewards": (),
                "next_users": user,
                "next_actions": action,
                "terminated": (),
            }
            self._replay = replay_lib.PointReplay(self.settings.replay_capacity, shapes)
        return self._replay

    @property
    def vector_size(self) -> int:
        """Number of entries of a vector, and of a point."""
        return self._sizes["doc_size"]

    # Acting.

    def _outputs(self, users: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):  # The sum tells of them.
            outputs = perceptrons.forward(self._actor.weights, users, "actor")[-1]
            total = float(outputs.sum())
        if not math.isfinite(total):
            self._refuse_numbers("sum of the actor's outputs", total)
        return outputs

    @abc.abstractmethod
    def vectors(self, users: np.ndarray, normals: np.ndarray | None) -> np.ndarray:
        """Returns the actor's vectors, float32 of shape (n_users, doc_size).

        Args:
            users: features of users, shape (n_users, user_size).
            normals: standard normal numbers of shape (n_users, doc_size), to explore with; None
                for the slates that the agent has found best.
        """

    @abc.abstractmethod
    def slates(
        self, users: np.ndarray, vectors: np.ndarray, documents: np.ndarray, *, training: bool
    ) -> np.ndarray:
        """Returns slates, integers of shape (n_users, slate_size).

        Args:
            users: features of users, shape (n_users, user_size).
            vectors: what :meth:`vectors` returned.
            documents: features of documents, shape (n_users, num_documents, doc_size), or
                (num_documents, doc_size) where all users have the same.
            training: whether they are to be learned from.
        """

    def points_of(self, vectors: np.ndarray) -> np.ndarray:
        """Returns vectors as points that critics value, of shape (n_users, 1, doc_size)."""
        return vectors[:, np.newaxis]

    @abc.abstractmethod
    def columns(
        self, user: np.ndarray, vector: np.ndarray, documents: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Returns what the slate of one user is chosen by: numbers of each document, by name."""

    def see_items(self, documents: np.ndarray) -> None:
        """Lets items count for the units of features, as long as nothing was learned.

        Args:
            documents: their features, shape (..., doc_size).
        """
        if not self.num_updates:
            self._units.see(documents)

    def scaled(self, documents: np.ndarray) -> np.ndarray:
        """Returns features of items in their units."""
        return self._units.scaled(documents)

    def values(self, users: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Returns what points are worth, the lowest of the critics' values, for each user a row.

        They count in units of rewards: a discounted sum of them.

        Args:
            users: features of users, shape (n_users, user_size).
            points: shape (n_users, num_points, doc_size).
        """
        return self._lowest(users, points) * (self._reward_unit / (1.0 - self.settings.gamma))

    def _lowest(self, users: np.ndarray, points: np.ndarray) -> np.ndarray:
        lowest: np.ndarray = np.min([each.values(users, points) for each in self._critics], axis=0)
        return lowest

    def _refuse_numbers(self, what: str, number: float) -> None:
        """Stops a training whose numbers are no longer finite."""
        raise FloatingPointError(
            f"The training has diverged: at training step {self.training_steps} the {what} is "
            f"{number}. Choose a smaller learning_rate, or smaller rewards. The last checkpoint "
            "is from before."
        )

    # Learning.

    @property
    def _reward_unit(self) -> float:
        return math.sqrt(self._reward_square) + 1e-8

    def add(
        self,
        users: np.ndarray,
        actions: np.ndarray,
        rewards: np.ndarray,
        next_users: np.ndarray,
        next_actions: np.ndarray,
        terminated: np.ndarray,
    ) -> None:
        """Remembers transitions, all arrays with them on axis 0, and makes the updates due."""
        before = self.replay.add_count
        self.replay.add(
            {
                "users": users,
                "actions": actions,
                "rewards": rewards,
                "next_users": next_users,
                "next_actions": next_actions,
                "terminated": terminated,
            }
        )
        after, period = self.replay.add_count, self.settings.update_period
        share = max(_RATE_OF_SCALE, len(rewards) / after)
        square = float(np.square(rewards, dtype=np.float64).mean())
        self._reward_square += share * (square - self._reward_square)
        begin = max(before, self.settings.first_update - 1)
        for _ in range(after // period - begin // period if after > begin else 0):
            self._update()

    def _update(self) -> None:
        batch = self.replay.sample(self._rng, self.settings.batch_size)
        gamma = self.settings.gamma
        with np.errstate(over="ignore", invalid="ignore"):  # The loss tells of them.
            # Values are means of rewards then, and about 1 in size.
            rewards = batch["rewards"] * ((1.0 - gamma) / self._reward_unit)
            future = np.where(batch["terminated"] != 0, 0.0, gamma * self._future_values(batch))
            targets = (rewards + future).astype(np.float32)
            points = self.scaled(batch["actions"])
            losses = [each.learn(batch["users"], points, targets) for each in self._critics]
            self._learn_actor(batch["users"])
            for critic in self._critics:
                critic.average(self.settings.target_rate)
        loss = math.fsum(losses) / len(losses) if all(map(math.isfinite, losses)) else math.nan
        if not math.isfinite(loss):
            self._refuse_numbers("loss of values", loss)
        self.statistics["ValueLoss"] = loss
        self.num_updates += 1

    def _future_values(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        """Returns the values of next states, of shape (n,)."""
        points = self.scaled(batch["next_actions"])
        values: np.ndarray = self._lowest(batch["next_users"], points).mean(axis=1)
        return values

    @abc.abstractmethod
    def _learn_actor(self, users: np.ndarray) -> None:
        """Makes a gradient step of the actor."""

    def _lowest_and_gradient(
        self, users: np.ndarray, points: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the lowest of the critics' values, and its gradient; one point for each user."""
        of_critics = [each.values_and_gradient(users, points) for each in self._critics]
        lowest, gradient = of_critics[0]
        for values, by_points in of_critics[1:]:
            lower = values < lowest
            gradient = np.where(lower[..., np.newaxis], by_points, gradient)
            lowest = np.where(lower, values, lowest)
        return lowest[:, 0], gradient[:, 0]

    def _climb(self, layers: Sequence[np.ndarray], by_outputs: np.ndarray) -> None:
        """Moves the actor against the gradient of a mean loss by its outputs."""
        change = (by_outputs / len(by_outputs)).astype(np.float32)
        perceptrons.backward(self._actor.weights, layers, change, self._actor.gradients, "actor")
        self._actor.descend()

    def write_summary(self, summary_writer: types.SummaryWriter) -> None:
        """Writes the statistics of the last update."""
        for name, number in self.statistics.items():
            summary_writer.add_scalar(name, number, self.training_steps)

    # State.

    def description(self) -> dict[str, Any]:
        """Returns what a state's agent and this one must have in common."""
        layers = {name: getattr(self.settings, name) for name in self.settings.state_settings}
        return {"agent": self.agent_name, **self._sizes, **layers}

    def serving_state(self) -> types.State:
        """Returns what recommending needs, as data.

        Raises:
            FloatingPointError: if weights are no longer finite.
        """
        actor = self._actor.copied_weights()
        averages = [[array.copy() for array in each.averages] for each in self._critics]
        for layer in (array for weights in (actor, *averages) for array in weights):
            with np.errstate(over="ignore", invalid="ignore"):
                total = float(layer.sum())
            if not math.isfinite(total):
                self._refuse_numbers("sum of a layer's weights", total)
        return {
            "description": self.description(),
            "training_steps": self.training_steps,
            "num_updates": self.num_updates,
            "actor": actor,
            "critics": averages,
            "item_units": self._units.state_dict(),
            "reward_square": self._reward_square,
        }

    def state_dict(self) -> types.State:
        """Returns all that was learned and that training resumes with, as data."""
        return {
            **self.serving_state(),
            "actor_optimizer": self._actor.state(),
            "trained_critics": [each.state_dict() for each in self._critics],
            "batches_rng_state": seeding.generator_state(self._rng),
            "replay": None if self._replay is None else self._replay.state_dict(),
            **self._further_state(),
        }

    def _further_state(self) -> dict[str, float]:
        """Returns further numbers that training resumes with, by name."""
        return {}

    def _load_further_state(self, state: Mapping[str, float]) -> None:
        """Restores what :meth:`_further_state` returned."""

    def check(self, state: Mapping[str, Any], *, for_training: bool) -> None:
        """Raises an error for a state that :meth:`restore` cannot take.

        Args:
            state: what :meth:`state_dict` or :meth:`serving_state` returned.
            for_training: whether training is to resume from it, and not only to recommend.

        Raises:
            UnfitStateError: if it is of another agent, or has nothing to train with.
            ValueError: if an entry is not as such a state has it.
        """
        owner, own = self.agent_name, self.description()
        described = dict(bundles.entries(owner, "description", state["description"]))
        if described != own:
            raise bundles.UnfitStateError(
                f"it is of another agent or of other spaces. It has {described}, this agent has "
                f"{own}"
            )
        if for_training and "trained_critics" not in state:
            raise bundles.UnfitStateError(
                "it has no optimizers, which training resumes with. Make the agent with "
                "eval_mode=True"
            )
        names = ("training_steps", "num_updates", "actor", "critics", "item_units", "reward_square")
        bundles.entries(owner, "the bundle", state, *names)
        for name in ("training_steps", "num_updates"):
            bundles.count(owner, name, state[name])
        bundles.number(owner, "reward_square", state["reward_square"], 0.0)
        self._units.check(owner, state["item_units"])
        shapes = [array.shape for array in self._actor.weights]
        bundles.arrays(owner, "actor", state["actor"], shapes)
        trained = None
        if for_training:
            trained = self._checked_training_state(state)
        averages = self._of_critics("critics", state["critics"])
        for number, critic in enumerate(self._critics):
            critic.check(owner, averages[number], None if trained is None else trained[number])

    def _of_critics(self, name: str, value: object) -> list[Any]:
        if not isinstance(value, list) or len(value) != self.num_critics:
            bundles.refuse(self.agent_name, name, f"a list of {self.num_critics}", value)
        return value

    def _checked_training_state(self, state: Mapping[str, Any]) -> list[Any]:
        owner, further = self.agent_name, self._further_state()
        bundles.entries(
            owner, "the bundle", state, "actor_optimizer", "batches_rng_state", "replay", *further
        )
        shapes = [array.shape for array in self._actor.state()]
        bundles.arrays(owner, "actor_optimizer", state["actor_optimizer"], shapes, "iuf")
        for name in further:
            bundles.number(owner, name, state[name])
        rng_state = state["batches_rng_state"]
        bundles.generator_state(owner, "batches_rng_state", rng_state, with_normal=True)
        if state["replay"] is not None:
            self.replay.check(owner, state["replay"])
        trained = self._of_critics("trained_critics", state["trained_critics"])
        if any(each is None for each in trained):
            bundles.refuse(owner, "trained_critics", "dictionaries", trained)
        return trained

    def restore(self, state: Mapping[str, Any], *, for_training: bool) -> None:
        """Restores a state that :meth:`check` has checked.

        Args:
            state: what :meth:`state_dict` or :meth:`serving_state` returned.
            for_training: whether training resumes from it.
        """
        self.training_steps = int(state["training_steps"])
        self.num_updates = int(state["num_updates"])
        self._actor = self._new_optimizer(state["actor"])
        self._units.load_state_dict(state["item_units"])
        self._reward_square = float(state["reward_square"])
        trained = state["trained_critics"] if for_training else [None] * self.num_critics
        for critic, averages, of_training in zip(
            self._critics, state["critics"], trained, strict=True
        ):
            critic.restore(averages, of_training)
        if not for_training:
            return
        self._actor.set_state(state["actor_optimizer"])
        self._load_further_state(state)
        seeding.restore_generator(self._rng, state["batches_rng_state"])
        if state["replay"] is not None:
            self.replay.load_state_dict(state["replay"])

    # What tells it from others, see recsim.simulator.fingerprint.

    @property
    def state_settings(self) -> tuple[str, ...]:
        """Names of the settings that shape the state."""
        return self.settings.state_settings

    @property
    def fingerprint_name(self) -> str:
        """The name of the single-user agent's class."""
        return self.agent_name

    def fingerprint_attributes(self) -> dict[str, Any]:
        """Returns the settings, the sizes and the actor, by name."""
        return {**vars(self.settings), **self._sizes, "actor": self._actor}
