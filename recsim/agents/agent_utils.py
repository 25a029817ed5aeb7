"""Helpers of agents: walks over Gym spaces, exploration of tables, construction of base agents."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from recsim import spaces as spaces_lib
from recsim import types
from recsim._internal import keys, numbers, validation
from recsim._internal.gym_import import spaces

__all__ = [
    "GymSpaceWalker",
    "build_base_agent",
    "epsilon_greedy_exploration",
    "min_count_exploration",
    "warn_of_unused",
    "number_of_topics",
]

# What runners and layers offer every agent, of use to it or not.
_OFFERED = ("eval_mode", "gamma", "observation_space", "sess", "summary_writer")

# A slate, and its index in a table.
StateAction = tuple[Sequence[int], Any]

AgentT = TypeVar("AgentT")


class GymSpaceWalker:
    """Applies a function to every leaf of a nested space and joins the results in one list.

    For ``Tuple((Box(1), Box(1)))`` it turns the observations ``[(a, b)]`` into
    ``leaf_op(Box(1), [a]) + leaf_op(Box(1), [b])``.

    Args:
        gym_space: nested ``Dict`` and ``Tuple`` spaces of ``Box``, ``Discrete``, ``MultiDiscrete``
            and ``MultiBinary`` ones.
        leaf_op: function of a leaf space and the list of its observations (one for each of the
            observations walked) that returns a list. Where an observation is None, so are its
            leaves.
    """

    def __init__(
        self, gym_space: types.Space, leaf_op: Callable[[Any, list[Any]], list[Any]]
    ) -> None:
        self._gym_space = gym_space
        self._leaf_op = leaf_op
        self._tree: _Tree | None = None

    def apply_and_flatten(self, gym_observations: Sequence[object]) -> list[Any]:
        """Returns the joined results for a list of observations of the space.

        Raises:
            NotImplementedError: if the space holds one that is not of these kinds.
        """
        return self._descend_and_flatten(self._gym_space, list(gym_observations))

    def _descend_and_flatten(
        self, gym_space: types.Space, gym_observations: list[Any]
    ) -> list[Any]:
        if gym_space is not self._gym_space:
            return self._flatten(_Tree.of(gym_space), gym_observations)
        if self._tree is None:
            self._tree = _Tree.of(gym_space)
        return self._flatten(self._tree, gym_observations)

    def _flatten(self, tree: _Tree, observations: list[Any]) -> list[Any]:
        if tree.children is None:
            return self._leaf_op(tree.space, observations)
        flat: list[Any] = []
        for key, child in tree.children:
            try:
                of_child = [
                    None if observation is None else observation[key]
                    for observation in observations
                ]
            except KeyError:
                return self._flatten_in_order(tree.children, observations)
            flat += self._flatten(child, of_child)
        return flat

    def _flatten_in_order(
        self, children: Sequence[tuple[Any, _Tree]], observations: list[Any]
    ) -> list[Any]:
        """Does what :meth:`_flatten` does where keys are not those of the space."""
        rows = [_entries(children, observation) for observation in observations]
        flat: list[Any] = []
        for (_, child), *column in zip(children, *rows, strict=True):
            flat += self._flatten(child, column)
        return flat


@dataclasses.dataclass(frozen=True)
class _Tree:
    """A space, and the trees of those in it by their keys, None for a leaf."""

    space: types.Space
    children: list[tuple[Any, _Tree]] | None

    @classmethod
    def of(cls, space: types.Space) -> _Tree:
        if spaces_lib.is_numeric(space):
            return cls(space, None)
        if not spaces_lib.is_composite(space):
            raise spaces_lib.unsupported(space)
        return cls(space, [(key, cls.of(child)) for key, child in spaces_lib.children(space)])


def _entries(
    children: Sequence[tuple[Any, object]], observation: Mapping[Any, Any] | None
) -> Sequence[Any]:
    """Returns the entries of an observation of a Dict or Tuple space, in the space's order.

    Documents that were resampled have other IDs than those that are the keys of their space: they
    are in the space's order already.

    Args:
        children: keys and spaces of the entries.
        observation: the observation, None where there is none.

    Raises:
        KeyError: if the observation has not as many entries as the space.
    """
    if observation is None:
        return [None] * len(children)
    try:
        return [observation[key] for key, _ in children]
    except KeyError:
        if len(observation) != len(children):
            raise
        return list(observation.values())


def _pairs(state_action_iterator: Iterable[StateAction]) -> Iterator[StateAction]:
    """Yields pairs of a slate and its index; TypeError if what comes is something else."""
    try:
        for slate, index in state_action_iterator:
            hash(index)
            yield slate, index
    except (TypeError, ValueError) as error:
        raise TypeError(
            "state_action_iterator must yield pairs of a slate and its index in the table, got "
            f"{numbers.described(state_action_iterator)} ({error})."
        ) from None


def epsilon_greedy_exploration(
    state_action_iterator: Iterable[StateAction],
    q_function: Mapping[Any, float],
    epsilon: float,
    *,
    rng: np.random.RandomState | None = None,
) -> StateAction:
    """Picks a slate at random with probability epsilon, else one of the highest Q-value.

    Args:
        state_action_iterator: pairs of a slate and its index in the table of Q-values.
        q_function: the table, where what is missing counts as 0.
        epsilon: probability of a random slate, in [0, 1].
        rng: the generator to sample from; without it a new one, seeded by the operating system.

    Returns:
        The slate and its index; the first one where several have the highest value, and
        ``([], None)`` if there is none.

    Raises:
        TypeError, ValueError: if an argument is not what is said above.
    """
    state_actions = list(_pairs(state_action_iterator))
    validation.mapping("q_function", q_function)
    epsilon = validation.probability("epsilon", epsilon)
    if rng is not None and not callable(getattr(rng, "random_sample", None)):
        raise TypeError(f"rng must be a RandomState of NumPy's, got {numbers.described(rng)}.")
    if not state_actions:
        return [], None
    rng = rng or np.random.RandomState()
    if rng.random_sample() < epsilon:
        return state_actions[rng.randint(len(state_actions))]
    return max(state_actions, key=lambda state_action: q_function.get(state_action[1], 0.0))


def min_count_exploration(
    state_action_iterator: Iterable[StateAction], counts_function: Mapping[Any, int]
) -> StateAction:
    """Picks the slate that was shown least often in this state.

    Args:
        state_action_iterator: pairs of a slate and its index in the table of counts.
        counts_function: how often each was shown, where what is missing counts as 0.

    Returns:
        The slate and its index; the first one where several have the lowest count, and
        ``([], None)`` if there is none.

    Raises:
        TypeError, ValueError: if an argument is not what is said above.
    """
    validation.mapping("counts_function", counts_function)
    best: StateAction = ([], None)
    lowest = np.inf
    for slate, index in _pairs(state_action_iterator):
        count = counts_function.get(index, 0)
        if count < lowest:
            best, lowest = (slate, index), count
        if count == 0:
            break
    return best


def warn_of_unused(
    agent_class: type, kwargs: Iterable[str], also_known: type | None = None
) -> None:
    """Warns of keyword arguments that an agent has no use for, naming the nearest that it has.

    Args:
        agent_class: the class of the agent.
        kwargs: the arguments' names. Those that runners and layers offer every agent are passed
            over.
        also_known: a class whose arguments are known too.
    """
    if kwargs:
        known = {*keys.parameters_of(agent_class), *_OFFERED}
        if also_known is not None:
            known |= keys.parameters_of(also_known)
        what = f"The arguments of {agent_class.__name__}"
        keys.warn_of_unknown(what, kwargs, known, has="have", arguments=True)


def number_of_topics(where: str, space: types.Space | None) -> int:
    """Returns the number of topics that a space of topics' numbers, from 0, tells.

    Args:
        where: where the space is found, for errors.
        space: a ``Discrete`` space, or a ``Box`` of one entry whose upper bound is the last topic.

    Raises:
        ValueError: if it is another space, or its numbers do not begin with 0.
    """
    if isinstance(space, spaces.Discrete):
        first, last = int(getattr(space, "start", 0)), int(space.start + space.n) - 1
    elif isinstance(space, spaces.Box) and space.high.size == 1 and np.isfinite(space.high).all():
        first, last = 0, int(space.high.item())
    else:
        raise ValueError(
            f"{where} must have a Discrete 'cluster_id', or one in a Box of one entry and a "
            f"finite upper bound, got {space}."
        )
    if first != 0:
        raise ValueError(f"cluster_id in {where} must be numbers from 0 on, got {space}.")
    return last + 1


def build_base_agent(
    agent_ctor: Callable[..., AgentT],
    offered: Mapping[str, Any],
    *,
    of_layer: type | None = None,
    **kwargs: Any,
) -> AgentT:
    """Constructs the base agent of a layer.

    Args:
        agent_ctor: the class of the agent, or a callable that constructs it.
        offered: arguments that the agent gets if its constructor takes them.
        of_layer: the class of the layer, for errors to suggest its parameters too.
        **kwargs: arguments that it gets in any case.

    Raises:
        TypeError: for an argument that its constructor does not take, naming the nearest that it
            or the layer takes.
    """
    validation.function("base_agent_ctor", agent_ctor)
    try:
        parameters = inspect.signature(agent_ctor).parameters
    except (TypeError, ValueError):  # It has no signature to read.
        return agent_ctor(**offered, **kwargs)
    takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    own = keys.parameters_of(of_layer) if of_layer is not None else set()
    if takes_all:
        # A misspelled argument of the layer would get lost in the base agent's.
        of_agent = keys.parameters_of(agent_ctor)
        passed_on = [name for name in kwargs if name not in of_agent]
        what = f"What {of_layer.__name__} passes on" if of_layer is not None else ""
        keys.warn_of_unknown(what, passed_on, own, similarity=0.8, arguments=True)
    else:
        named = agent_ctor.func if isinstance(agent_ctor, functools.partial) else agent_ctor
        name = getattr(named, "__name__", repr(named))
        keys.refuse_unknown(name, kwargs, parameters, own)
    taken = {name: value for name, value in offered.items() if takes_all or name in parameters}
    return agent_ctor(**taken, **kwargs)
