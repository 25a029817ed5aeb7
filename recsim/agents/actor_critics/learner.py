"""Learners of actors and critics: networks, optimizers, replay buffer and their state."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from recsim import seeding, types
from recsim._internal import bundles, validation
from recsim.agents import _learner
from recsim.agents.actor_critics import critics as critics_lib
from recsim.agents.actor_critics import replay as replay_lib
from recsim.agents.actor_critics import units
from recsim.agents.networks import optimizers, user_networks

__all__ = ["ActorCriticLearner", "Settings", "Shown"]

#: Features of users, and of the documents in their slates.
Shown = tuple[np.ndarray, np.ndarray]

# The first outputs of the actors are nearly 0.
_FIRST_SCALE = 0.1
# How fast the size of rewards that values are in units of follows those seen.
_RATE_OF_SCALE = 0.01


@dataclasses.dataclass(kw_only=True)
class Settings(_learner.Settings):
    """How an actor and its critics are learned.

    Attributes:
        gamma: discount of rewards from step to step, in [0, 1).
        min_replay_history: number of transitions to gather before learning begins, >= 1.
        update_period: number of steps, of all users together, from one update to the next, >= 1.
        replay_capacity: number of transitions to remember, >= 1.
        learning_rate: of Adam, for all networks, above 0.
        target_rate: share of the critics' weights that their averages take at each update, above 0
            and at most 1.

    Raises:
        TypeError, ValueError: for a value of the wrong type or out of its range.
    """

    gamma: float = 0.95
    min_replay_history: int = 1000
    update_period: int = 64
    replay_capacity: int = 100_000
    learning_rate: float = 1e-3
    target_rate: float = 0.005

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gamma == 1.0:
            raise ValueError("gamma must be below 1, for values are counted in units of it, got 1.")
        for name in ("min_replay_history", "replay_capacity"):
            setattr(self, name, validation.positive_int(name, getattr(self, name)))
        self.target_rate = validation.probability("target_rate", self.target_rate)
        self.target_rate = validation.positive_float("target_rate", self.target_rate)

    @property
    def first_update(self) -> int:
        """Number of transitions at which a new learner makes its first update."""
        return -(-self.min_replay_history // self.update_period) * self.update_period


class ActorCriticLearner(_learner.Learner[Settings]):
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

    entries_to_serve: ClassVar[tuple[str, ...]] = (
        "actor",
        "critics",
        "item_units",
        "reward_square",
    )
    entries_to_train: ClassVar[tuple[str, ...]] = ("trained_critics", "actor_optimizer", "replay")

    def __init__(self, settings: Settings, sizes: _learner.Sizes) -> None:
        super().__init__(settings, sizes)
        self.slate_size = sizes.slate_size
        user_size, doc_size = sizes.user_size, sizes.doc_size
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
                sizes.recurrence,
            )
            for _ in range(self.num_critics)
        ]
        self._of_actor = user_networks.UserNetwork(sizes.recurrence)
        actor = self._of_actor.initial_weights(
            [user_size, *settings.hidden_units, self.outputs_per_entry * doc_size], rng
        )
        actor[-2] *= np.float32(_FIRST_SCALE)
        self._actor = self._new_optimizer(actor)
        self._reward_square = 0.0
        self._replay: replay_lib.PointReplay | None = None

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

    def prepare(self) -> None:
        """Makes the replay buffer: a size that does not fit is told of now."""
        self.replay  # noqa: B018  # Makes it.

    @property
    def vector_size(self) -> int:
        """Number of entries of a vector, and of a point."""
        return self._sizes["doc_size"]

    # Acting.

    def _outputs(self, users: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):  # The sum tells of them.
            outputs = self._of_actor.outputs(self._actor.weights, users, "actor")
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
        self,
        users: np.ndarray,
        vectors: np.ndarray,
        documents: np.ndarray,
        masks: np.ndarray | None = None,
        *,
        training: bool,
    ) -> np.ndarray:
        """Returns slates, integers of shape (n_users, slate_size).

        Args:
            users: features of users, shape (n_users, user_size).
            vectors: what :meth:`vectors` returned.
            documents: features of documents, shape (n_users, num_documents, doc_size), or
                (num_documents, doc_size) where all users have the same.
            masks: which documents may stand where, bools of shape
                (n_users, num_documents, slate_size), or (num_documents, slate_size) where all users
                have the same; None without masks.
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

    # Learning.

    @property
    def _reward_unit(self) -> float:
        return math.sqrt(self._reward_square) + 1e-8

    def add(
        self,
        shown: Shown,
        rewards: np.ndarray,
        following: Shown,
        terminated: np.ndarray,
        summary_writer: types.SummaryWriter | None = None,
    ) -> None:
        """Remembers transitions and makes the updates due; all arrays have them on axis 0.

        Args:
            shown: users, and what they were shown.
            rewards: what followed.
            following: the same users, and what they were shown then.
            terminated: whose episodes had ended, so that this does not count.
            summary_writer: where the statistics of an update go, or None.

        Raises:
            FloatingPointError: if the networks' numbers are no longer finite.
        """
        before = self.replay.add_count
        self.replay.add(
            {
                "users": shown[0],
                "actions": shown[1],
                "rewards": rewards,
                "next_users": following[0],
                "next_actions": following[1],
                "terminated": terminated,
            }
        )
        after, period = self.replay.add_count, self.settings.update_period
        share = max(_RATE_OF_SCALE, len(rewards) / after)
        square = float(np.square(rewards, dtype=np.float64).mean())
        self._reward_square += share * (square - self._reward_square)
        begin = max(before, self.settings.first_update - 1)
        number = after // period - begin // period if after > begin else 0
        for _ in range(number):
            self._update()
        if number and summary_writer is not None:
            self.write_summary(summary_writer)

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

    def _layers(self, users: np.ndarray) -> user_networks.Layers:
        """Returns the actor's outputs, and what their gradient needs."""
        return self._of_actor.forward(self._actor.weights, users, "actor")

    def _climb(self, layers: user_networks.Layers, by_outputs: np.ndarray) -> None:
        """Moves the actor against the gradient of a mean loss by its outputs."""
        change = (by_outputs / len(by_outputs)).astype(np.float32)
        actor = self._actor
        self._of_actor.backward(actor.weights, layers, change, actor.gradients, "actor")
        self._actor.descend()

    # State.

    def _state_to_serve(self) -> types.State:
        actor = self._actor.copied_weights()
        averages = [[array.copy() for array in each.averages] for each in self._critics]
        self._check_layers([array for weights in (actor, *averages) for array in weights])
        return {
            "actor": actor,
            "critics": averages,
            "item_units": self._units.state_dict(),
            "reward_square": self._reward_square,
        }

    def _state_to_train(self) -> types.State:
        return {
            "actor_optimizer": self._actor.state(),
            "trained_critics": [each.state_dict() for each in self._critics],
            "replay": None if self._replay is None else self._replay.state_dict(),
        }

    def _check_to_serve(self, state: Mapping[str, Any]) -> None:
        owner = self.agent_name
        bundles.number(owner, "reward_square", state["reward_square"], 0.0)
        self._units.check(owner, state["item_units"])
        shapes = [array.shape for array in self._actor.weights]
        bundles.arrays(owner, "actor", state["actor"], shapes)
        for critic, averages in self._of_critics(state, "critics"):
            critic.check_averages(owner, averages)

    def _check_to_train(self, state: Mapping[str, Any]) -> None:
        owner = self.agent_name
        shapes = [array.shape for array in self._actor.state()]
        bundles.arrays(owner, "actor_optimizer", state["actor_optimizer"], shapes, "iuf")
        if state["replay"] is not None:
            self.replay.check(owner, state["replay"])
        for critic, trained in self._of_critics(state, "trained_critics"):
            critic.check(owner, trained)

    def _of_critics(
        self, state: Mapping[str, Any], name: str
    ) -> Iterator[tuple[critics_lib.Critic, Any]]:
        """Returns critics and their parts of an entry; ValueError if there are not as many."""
        parts = state[name]
        if not isinstance(parts, list) or len(parts) != self.num_critics:
            bundles.refuse(self.agent_name, name, f"a list of {self.num_critics}", parts)
        return zip(self._critics, parts, strict=True)

    def check_last(self, owner: object, last: object, rows: tuple[int, ...]) -> None:
        """See the base class: features of users, and of the documents in their slates."""
        if last is None:
            return
        names = ("users", "actions")
        if not isinstance(last, tuple) or len(last) != len(names):
            bundles.refuse(owner, "last", "features and actions, or None", last)
        for name, array in zip(names, last, strict=True):
            shape = self.replay.arrays[name].shape[1:]
            bundles.array(owner, f"last {name}", array, (*rows, *shape))

    def _restore_to_serve(self, state: Mapping[str, Any]) -> None:
        self._actor = self._new_optimizer(state["actor"])
        self._units.load_state_dict(state["item_units"])
        self._reward_square = float(state["reward_square"])
        for critic, averages in self._of_critics(state, "critics"):
            critic.restore_averages(averages)

    def _restore_to_train(self, state: Mapping[str, Any]) -> None:
        self._actor.set_state(state["actor_optimizer"])
        for critic, trained in self._of_critics(state, "trained_critics"):
            critic.load_state_dict(trained)
        if state["replay"] is not None:
            self.replay.load_state_dict(state["replay"])

    def fingerprint_attributes(self) -> dict[str, Any]:
        """Returns the settings, the sizes and the actor, by name."""
        return {**vars(self.settings), **self._sizes, "actor": self._actor}
