"""What learners over items' features have in common: settings, counters, and their state."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic, NoReturn, TypeVar

import numpy as np

from recsim import seeding, types
from recsim._internal import bundles, validation
from recsim.agents import adapters
from recsim.agents.networks import perceptrons, recurrent

__all__ = ["Learner", "Settings", "Sizes"]


@dataclasses.dataclass(kw_only=True)
class Settings:
    """How a learner learns.

    Attributes:
        gamma: discount of rewards from step to step, in [0, 1].
        update_period: number of steps, of all users together, from one update to the next, >= 1.
        batch_size: number of steps that a gradient is of, >= 1.
        learning_rate: of Adam, for all networks, above 0.
        hidden_units: sizes of the hidden layers of the networks that take users, each >= 1.
        item_units: sizes of the layers that learn further features of items, each >= 1; none if
            scores are linear in the items' features, which ones of topics may well be.
        recurrent_units: size of a recurrent state that stands for the rows of recent slates among
            a user's features, see :mod:`recsim.agents.networks.recurrent`; 0 for none.
        seed: seed of initial weights, exploration and batches.

    Raises:
        TypeError, ValueError: for a value of the wrong type or out of its range.
    """

    #: Names of those that shape the state.
    state_settings: ClassVar[tuple[str, ...]] = ("hidden_units", "item_units", "recurrent_units")

    gamma: float
    update_period: int
    batch_size: int = 256
    learning_rate: float
    hidden_units: Sequence[int] = (64, 64)
    item_units: Sequence[int] = ()
    recurrent_units: int = 0
    seed: int | None = 0

    def __post_init__(self) -> None:
        self.gamma = validation.probability("gamma", self.gamma)
        for name in ("update_period", "batch_size"):
            setattr(self, name, validation.positive_int(name, getattr(self, name)))
        self.learning_rate = validation.positive_float("learning_rate", self.learning_rate)
        for name in ("hidden_units", "item_units"):
            setattr(self, name, perceptrons.checked_units(name, getattr(self, name)))
        self.recurrent_units = validation.positive_int("recurrent_units", self.recurrent_units, 0)


@dataclasses.dataclass(frozen=True)
class Sizes:
    """The sizes that a learner is made for.

    Attributes:
        user_size: number of features of a user.
        doc_size: number of features of a document.
        slate_size: number of documents in a slate.
        agent_name: name of the single-user agent's class, which state is of.
        mask_size: number of columns of a document's action mask, 0 without masks.
        recurrence: which of a user's features a recurrent state reads; None for none.
    """

    user_size: int
    doc_size: int
    slate_size: int
    agent_name: str
    mask_size: int = 0
    recurrence: recurrent.Recurrence | None = None

    @classmethod
    def of(
        cls,
        adapter: adapters.ObservationAdapter,
        slate_size: int,
        single_user_class: type,
        recurrent_units: int,
    ) -> Sizes:
        """Returns those of what an adapter turns into features.

        Raises:
            ValueError: if there are recurrent units, but no rows of recent slates.
        """
        name, recurrence = single_user_class.__name__, adapter.recurrence(recurrent_units)
        sizes = adapter.user_size, adapter.doc_size, slate_size
        return cls(*sizes, name, adapter.mask_size, recurrence)


_S = TypeVar("_S", bound=Settings)


class Learner(abc.ABC, Generic[_S]):
    """Learns from what one user does, or users in parallel, whose agents act on it.

    Its state has a description, which the states of two agents have in common that take each
    other's, counters, what recommending needs, and where it was not made to serve, what training
    resumes with.

    Args:
        settings: how it learns.
        sizes: what it is made for.
    """

    #: Names of a state's entries of what recommending needs.
    entries_to_serve: ClassVar[tuple[str, ...]]
    #: Names of those that training resumes with; the first one tells that there are any.
    entries_to_train: ClassVar[tuple[str, ...]]

    def __init__(self, settings: _S, sizes: Sizes) -> None:
        self.settings = settings
        self.agent_name = sizes.agent_name
        self._sizes = {"user_size": sizes.user_size, "doc_size": sizes.doc_size}
        if sizes.mask_size:
            self._sizes["mask_size"] = sizes.mask_size
        #: Number of training steps so far: of slates recommended in training.
        self.training_steps = 0
        #: Number of updates so far.
        self.num_updates = 0
        self._rng = seeding.named_random_state(settings.seed, "batches")
        #: Statistics of the last update, by name.
        self.statistics: dict[str, float] = {}

    @abc.abstractmethod
    def prepare(self) -> None:
        """Makes what it learns from: faulty sizes are told of now, by a MemoryError."""

    def write_summary(self, summary_writer: types.SummaryWriter) -> None:
        """Writes the statistics of the last update."""
        for name, number in self.statistics.items():
            summary_writer.add_scalar(name, number, self.training_steps)

    def _refuse_numbers(self, what: str, number: float) -> NoReturn:
        """Stops a training whose numbers are no longer finite."""
        raise FloatingPointError(
            f"The training has diverged: at training step {self.training_steps} the {what} is "
            f"{number}. Choose a smaller learning_rate, or smaller rewards. The last checkpoint "
            "is from before."
        )

    def _check_layers(self, layers: Iterable[np.ndarray]) -> None:
        """Raises FloatingPointError if weights are no longer finite."""
        for layer in layers:
            with np.errstate(over="ignore", invalid="ignore"):
                total = float(layer.sum())
            if not math.isfinite(total):
                self._refuse_numbers("sum of a layer's weights", total)

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
        return {
            "description": self.description(),
            "training_steps": self.training_steps,
            "num_updates": self.num_updates,
            **self._state_to_serve(),
        }

    def state_dict(self) -> types.State:
        """Returns all that was learned and that training resumes with, as data."""
        rng_state = {"batches_rng_state": seeding.generator_state(self._rng)}
        return {**self.serving_state(), **self._state_to_train(), **rng_state}

    @abc.abstractmethod
    def _state_to_serve(self) -> types.State:
        """Returns the entries of what recommending needs."""

    @abc.abstractmethod
    def _state_to_train(self) -> types.State:
        """Returns the entries that training resumes with, but for the generator's."""

    def check(self, state: Mapping[str, Any], *, for_training: bool) -> None:
        """Raises an error for a state that :meth:`restore` cannot take.

        Args:
            state: what :meth:`state_dict` or :meth:`serving_state` returned.
            for_training: whether training is to resume from it, and not only to recommend.

        Raises:
            UnfitStateError: as :meth:`check_kind`.
            ValueError: if an entry is not as such a state has it.
        """
        self.check_kind(state, for_training=for_training)
        owner = self.agent_name
        counts = ("training_steps", "num_updates")
        bundles.entries(owner, "the bundle", state, *counts, *self.entries_to_serve)
        for name in counts:
            bundles.count(owner, name, state[name])
        self._check_to_serve(state)
        if not for_training:
            return
        bundles.entries(owner, "the bundle", state, *self.entries_to_train, "batches_rng_state")
        rng_state = state["batches_rng_state"]
        bundles.generator_state(owner, "batches_rng_state", rng_state, with_normal=True)
        self._check_to_train(state)

    def check_kind(self, state: Mapping[str, Any], *, for_training: bool) -> None:
        """Raises UnfitStateError for a state of another agent, or one to serve where it trains."""
        own = self.description()
        described = {
            "recurrent_units": 0,  # Of states from before there were any.
            **bundles.entries(self.agent_name, "description", state["description"]),
        }
        if described != own:
            raise bundles.UnfitStateError(
                f"it is of another agent or of other spaces. It has {described}, this agent has "
                f"{own}"
            )
        if for_training and self.entries_to_train[0] not in state:
            raise bundles.UnfitStateError(
                "it has no optimizers, which training resumes with. Make the agent with "
                "eval_mode=True"
            )

    @abc.abstractmethod
    def _check_to_serve(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError for something else than :meth:`_state_to_serve` returned."""

    @abc.abstractmethod
    def _check_to_train(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError for something else than :meth:`_state_to_train` returned."""

    @abc.abstractmethod
    def check_last(self, owner: object, last: object, rows: tuple[int, ...]) -> None:
        """Raises ValueError for something else than what an agent remembers of a slate, or None.

        Args:
            owner: the agent that is to be restored.
            last: what the bundle has.
            rows: the number of users in parallel, or nothing.
        """

    def restore(self, state: Mapping[str, Any], *, for_training: bool) -> None:
        """Restores a state that :meth:`check` has checked.

        Args:
            state: what :meth:`state_dict` or :meth:`serving_state` returned.
            for_training: whether training resumes from it.
        """
        self.training_steps = int(state["training_steps"])
        self.num_updates = int(state["num_updates"])
        self._restore_to_serve(state)
        if for_training:
            seeding.restore_generator(self._rng, state["batches_rng_state"])
            self._restore_to_train(state)

    @abc.abstractmethod
    def _restore_to_serve(self, state: Mapping[str, Any]) -> None:
        """Restores what :meth:`_state_to_serve` returned."""

    @abc.abstractmethod
    def _restore_to_train(self, state: Mapping[str, Any]) -> None:
        """Restores what :meth:`_state_to_train` returned, after :meth:`_restore_to_serve`."""

    # What tells it from others, see recsim.simulator.fingerprint.

    @property
    def state_settings(self) -> tuple[str, ...]:
        """Names of the settings that shape the state."""
        return self.settings.state_settings

    @property
    def fingerprint_name(self) -> str:
        """The name of the single-user agent's class."""
        return self.agent_name

    @abc.abstractmethod
    def fingerprint_attributes(self) -> dict[str, Any]:
        """Returns the settings, the sizes and the networks, by name."""
