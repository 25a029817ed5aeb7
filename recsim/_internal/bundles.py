"""Agents' states: RecSim's form of them, bundles, and checks of what a state holds.

Agents have ``state_dict`` and ``load_state_dict``. :class:`SavedAsBundle` puts RecSim's
``bundle_and_checkpoint`` and ``unbundle`` on top, which is what runners call, since programs for
RecSim override them. An agent that holds others saves and restores them by :func:`state_of` and
:func:`load`, whatever their class.

A state may be of anybody's file. What does not fit is a ValueError that names the agent, the entry
and what is there. Each ``load_state_dict`` checks everything first, then restores.
"""

from __future__ import annotations

import contextlib
import contextvars
import copy
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn, cast

import numpy as np

from recsim import types
from recsim._internal import generator_states, numbers

__all__ = [
    "SavedAsBundle",
    "UnfitStateError",
    "array",
    "arrays",
    "check_has_state",
    "count",
    "entries",
    "generator_state",
    "load",
    "load_all",
    "load_user_state",
    "number",
    "refuse",
    "refuse_bundle",
    "require",
    "restore_checkpoint",
    "state_for_checkpoint",
    "state_of",
    "state_to_serve",
    "user_state_of",
]

_logger = logging.getLogger(__name__)

_LARGEST = float(np.finfo(np.float64).max)

# The folder and the iteration of the checkpoint that agents are saved to or restored from now, for
# agents in RecSim's form that keep files of their own.
_checkpoint: contextvars.ContextVar[tuple[str, int]] = contextvars.ContextVar(
    "checkpoint", default=("", 0)
)

# Whether states are taken to serve from, which needs no replay buffer.
_to_serve: contextvars.ContextVar[bool] = contextvars.ContextVar("to_serve", default=False)

# Keys of states of generators, which users share.
_OF_GENERATORS = frozenset(
    {"bandit_rng_state", "exploration_rng_state", "generators", "rng_state", "unsaved_generators"}
)


class UnfitStateError(ValueError):
    """A state that is of another agent.

    Args:
        reason: what is wrong with it, as a clause.
        is_told: whether somebody else has said so already.
    """

    def __init__(self, reason: str, *, is_told: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_told = is_told


@contextlib.contextmanager
def _of_checkpoint(checkpoint_dir: str, iteration_number: int) -> Iterator[None]:
    token = _checkpoint.set((checkpoint_dir, iteration_number))
    try:
        yield
    finally:
        _checkpoint.reset(token)


class SavedAsBundle:
    """RecSim's methods for checkpoints, of an agent with ``state_dict`` and ``load_state_dict``."""

    def state_dict(self) -> types.State:
        """Returns the agent's state as data."""
        raise NotImplementedError

    def load_state_dict(self, state: types.State) -> None:
        """Restores what :meth:`state_dict` returned."""
        raise NotImplementedError

    def bundle_and_checkpoint(self, checkpoint_dir: str, iteration_number: int) -> types.State:
        """Returns :meth:`state_dict` as the agent's bundle for a checkpoint.

        Args:
            checkpoint_dir: folder of the checkpoints, for files of an agent's own.
            iteration_number: the iteration that the checkpoint is of, for naming such files.
        """
        with _of_checkpoint(checkpoint_dir, iteration_number):
            return self.state_dict()

    def unbundle(
        self, checkpoint_dir: str, iteration_number: int, bundle_dict: types.State
    ) -> bool:
        """Restores a bundle by :meth:`load_state_dict`.

        Args:
            checkpoint_dir: folder of the checkpoints.
            iteration_number: the iteration that the checkpoint is of.
            bundle_dict: the bundle.

        Returns:
            True if it was restored; False, after a warning, if it is of another agent.

        Raises:
            ValueError: if the bundle is of such an agent, and an entry is not what it must be; if
                it is of another agent, and this one was made with ``eval_mode=True``.
        """
        with _of_checkpoint(checkpoint_dir, iteration_number):
            try:
                self.load_state_dict(bundle_dict)
            except UnfitStateError as error:
                return False if error.is_told else refuse_bundle(self, error.reason)
        return True


def state_of(agent: object) -> types.State:
    """Returns the state of an agent of any class.

    That is its bundle where it has one, which a program for RecSim may have extended.

    Raises:
        TypeError: if the agent has no method for it.
    """
    check_has_state(agent)
    stateful: Any = agent
    if _to_serve.get() and hasattr(agent, "serving_bundle"):
        bundle: types.State = stateful.serving_bundle()
        return bundle
    has_bundle = hasattr(agent, "bundle_and_checkpoint")
    state: types.State = (
        stateful.bundle_and_checkpoint(*_checkpoint.get()) if has_bundle else stateful.state_dict()
    )
    return state


def state_to_serve(agent: object) -> types.State:
    """Returns the state of an agent as far as serving needs it, and those of the agents in it.

    That is ``serving_bundle()`` where an agent has it, and what :func:`state_of` returns elsewhere.
    """
    token = _to_serve.set(True)
    try:
        return state_of(agent)
    finally:
        _to_serve.reset(token)


def user_state_of(agent: object) -> types.State | None:
    """Returns what an agent knows of the user whose episode is under way; None for nothing.

    That is ``user_state()``, unless a class below the one that has it saves more of the agent's
    state, or there is none: then it is the agent's whole state but for its generators. What is
    returned is the agent's own, which is given another state before it continues.
    """
    if _tells_user_state(type(agent)):
        of: Any = agent
        state: types.State | None = of.user_state()
        return state
    return copy.deepcopy(_without_generators(state_of(agent)))


def load_user_state(agent: object, state: types.State | None) -> None:
    """Restores what :func:`user_state_of` returned, of which the agent takes a copy."""
    if _tells_user_state(type(agent)):
        of: Any = agent
        of.load_user_state(state)
    else:
        load(agent, cast(types.State, copy.deepcopy(state)))


def _tells_user_state(kind: type) -> bool:
    for base in kind.__mro__:
        if "user_state" in vars(base):
            return True
        if not vars(base).keys().isdisjoint({"bundle_and_checkpoint", "state_dict"}):
            return False
    return False


def _without_generators(state: types.State) -> types.State:
    return {
        key: _without_generators(value)
        if str(key).startswith("base_agent_bundle") and isinstance(value, dict)
        else value
        for key, value in state.items()
        if key not in _OF_GENERATORS
    }


def check_has_state(agent: object) -> None:
    """Raises TypeError for an agent that has no method for its state."""
    if not hasattr(agent, "bundle_and_checkpoint") and not hasattr(agent, "state_dict"):
        raise TypeError(
            f"{type(agent).__name__} must have bundle_and_checkpoint and unbundle, or state_dict "
            "and load_state_dict, for its state to be saved."
        )


def load(agent: object, state: types.State) -> None:
    """Restores an agent of any class from what :func:`state_of` returned.

    Raises:
        UnfitStateError: if the agent's ``unbundle`` returns that the state does not fit.
        TypeError: if the agent has no method for it.
    """
    if (unbundle := getattr(agent, "unbundle", None)) is not None:
        if not unbundle(*_checkpoint.get(), state):
            raise UnfitStateError(f"{type(agent).__name__} refused it", is_told=True)
    elif (load_state_dict := getattr(agent, "load_state_dict", None)) is not None:
        load_state_dict(state)
    else:
        raise TypeError(f"{type(agent).__name__} must have unbundle, or load_state_dict.")


def state_for_checkpoint(agent: object, checkpoint_dir: str, iteration_number: int) -> types.State:
    """Returns what :func:`state_of` does, for a checkpoint of an iteration in a folder."""
    with _of_checkpoint(checkpoint_dir, iteration_number):
        return state_of(agent)


def restore_checkpoint(
    agent: object, checkpoint_dir: str, iteration_number: int, state: types.State
) -> object:
    """Restores what :func:`state_for_checkpoint` returned.

    Returns:
        What the agent's ``unbundle`` returned; True if it has ``load_state_dict`` in its place.
    """
    if (unbundle := getattr(agent, "unbundle", None)) is not None:
        answer: object = unbundle(checkpoint_dir, iteration_number, state)
        return answer
    with _of_checkpoint(checkpoint_dir, iteration_number):
        load(agent, state)
    return True


def load_all(agents: Sequence[object], states: Sequence[types.State]) -> None:
    """Restores agents as :func:`load` does; where one refuses, all are as they were before."""
    before = [state_of(agent) for agent in agents[:-1]]
    restored = 0
    try:
        for agent, state in zip(agents, states, strict=True):
            load(agent, state)
            restored += 1
    finally:
        if restored < len(agents):  # The one that refused is as it was.
            for agent, state in zip(agents[:restored], before, strict=False):
                load(agent, state)


def require(owner: object, state: object, *keys: str) -> None:
    """Raises UnfitStateError for a state without the entries that all states of an agent have."""
    for key in keys:
        if not isinstance(state, Mapping) or key not in state:
            raise UnfitStateError(f"it has no {key!r}, so it is not of {type(owner).__name__}")


def refuse_bundle(agent: object, reason: str) -> bool:
    """Refuses a bundle in an agent's ``unbundle``: what it returns is to be returned there.

    An agent that only recommends would continue with random values, unnoticed by who does not
    look at what ``unbundle`` returned: there a bundle that does not fit is an error. Elsewhere it
    is a warning, as training may begin afresh.

    Args:
        agent: the agent that is to be restored.
        reason: what is wrong with the bundle, as a clause.

    Returns:
        False.

    Raises:
        ValueError: if the agent, or one that it is a layer on, was made with ``eval_mode=True``.
    """
    message = f"{type(agent).__name__} cannot be restored from this bundle: {reason}."
    if _only_recommends(agent):
        raise ValueError(message)
    _logger.warning("%s", message)
    return False


def _only_recommends(agent: object) -> bool:
    if getattr(agent, "eval_mode", getattr(agent, "_eval_mode", False)):
        return True
    bases = getattr(agent, "_base_agents", None) or [getattr(agent, "_base_agent", None)]
    return any(_only_recommends(base) for base in bases if base is not None)


def refuse(owner: object, name: str, expected: str, value: object) -> NoReturn:
    """Raises the ValueError of an entry that is something else than expected.

    Args:
        owner: the agent that is to be restored, or the name of its class.
        name: the entry's name.
        expected: what it must be.
        value: what it is.
    """
    raise ValueError(
        f"{_name(owner)} cannot be restored from this bundle: {name!r} must be {expected}, "
        f"got {numbers.described(value)}."
    )


def _name(owner: object) -> str:
    return owner if isinstance(owner, str) else type(owner).__name__


def count(owner: object, name: str, value: object) -> int:
    """Returns an integer in [0, 2**63); ValueError if it is something else."""
    if isinstance(value, np.integer):
        value = int(value)
    if type(value) is not int or not 0 <= value < 1 << 63:
        refuse(owner, name, "an integer in [0, 2**63)", value)
    return value


def number(
    owner: object, name: str, value: object, low: float = -math.inf, high: float = math.inf
) -> float:
    """Returns a finite number in a range; ValueError if it is something else."""
    real = type(value) in (float, int) or isinstance(value, (np.integer, np.floating))
    if not real or not max(low, -_LARGEST) <= cast(float, value) <= min(high, _LARGEST):
        limits = "" if math.isinf(low) else f" in [{low:g}, {high:g}]"
        refuse(owner, name, f"a finite number{limits}", value)
    return cast(float, value)


def entries(owner: object, name: str, value: object, *wanted: str) -> Mapping[Any, Any]:
    """Returns a dictionary with at least the entries wanted; ValueError if it is something else."""
    if not isinstance(value, Mapping) or not all(key in value for key in wanted):
        among = f" with {', '.join(map(repr, wanted))}" if wanted else ""
        refuse(owner, name, f"a dictionary{among}", value)
    return value


def array(
    owner: object, name: str, value: object, shape: Sequence[int | None], kinds: str = "f"
) -> np.ndarray:
    """Returns an array of finite numbers; ValueError if it is something else.

    Args:
        owner: the agent that is to be restored, or the name of its class.
        name: the entry's name.
        value: what should be the array.
        shape: its shape, None for an axis of any length.
        kinds: the kinds of dtypes that it may have, such as ``'iu'``.
    """
    if (
        isinstance(value, np.ndarray)
        and value.dtype.kind in kinds
        and value.ndim == len(shape)
        and all(wanted in (None, there) for wanted, there in zip(shape, value.shape, strict=True))
    ):
        if value.dtype.kind != "f" or np.isfinite(value).all():
            return value
        got: object = value
    else:
        got = (value.dtype.name, value.shape) if isinstance(value, np.ndarray) else value
    dimensions = ", ".join("any" if axis is None else str(axis) for axis in shape)
    refuse(owner, name, f"an array of finite numbers of shape ({dimensions})", got)


def arrays(
    owner: object, name: str, value: object, shapes: Sequence[tuple[int, ...]], kinds: str = "f"
) -> None:
    """Raises ValueError for something else than a list of arrays of finite numbers of some shapes.

    Args:
        owner: the agent that is to be restored, or the name of its class.
        name: the entry's name.
        value: what should be the list.
        shapes: the shapes of the arrays.
        kinds: the kinds of dtypes that they may have, such as ``'iu'``.
    """
    if not isinstance(value, list) or len(value) != len(shapes):
        refuse(owner, name, f"{len(shapes)} arrays", value)
    for each, shape in zip(value, shapes, strict=True):
        array(owner, name, each, shape, kinds)


def generator_state(
    owner: object, name: str, state: object, *, with_normal: bool
) -> dict[str, Any]:
    """Returns a generator's state; ValueError if it is something else.

    Args:
        owner: the agent that is to be restored, or the name of its class.
        name: the entry's name.
        state: what should be a state of :func:`recsim.seeding.generator_state`.
        with_normal: whether it is that of a RandomState.
    """
    try:
        generator_states.check_state(state, with_normal=with_normal)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{_name(owner)} cannot be restored from this bundle: {name!r} is not a state "
            f"of its generator. {error}"
        ) from None
    return cast("dict[str, Any]", state)
