"""Helpers of agents: walks over Gym spaces, exploration of tables, construction of base agents."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from recsim._gym import spaces

__all__ = [
    "GymSpaceWalker",
    "build_base_agent",
    "epsilon_greedy_exploration",
    "min_count_exploration",
]

# A slate, and its index in a table.
StateAction = tuple[Sequence[int], Any]


class GymSpaceWalker:
    """Applies a function to every leaf of a nested space and joins the results in one list.

    For ``Tuple((Box(1), Box(1)))`` it turns the observations ``[(a, b)]`` into
    ``leaf_op(Box(1), [a]) + leaf_op(Box(1), [b])``.

    Args:
        gym_space: nested ``Dict`` and ``Tuple`` spaces of ``Box`` and ``Discrete`` ones.
        leaf_op: function of a leaf space and the list of its observations (one for each of the
            observations walked) that returns a list.
    """

    def __init__(
        self, gym_space: spaces.Space, leaf_op: Callable[[spaces.Space, list[Any]], list[Any]]
    ) -> None:
        self._gym_space = gym_space
        self._leaf_op = leaf_op

    def apply_and_flatten(self, gym_observations: Sequence[Any]) -> list[Any]:
        """Returns the joined results for a list of observations of the space.

        Raises:
            NotImplementedError: if the space holds one that is not of the four kinds.
        """
        return self._descend(self._gym_space, list(gym_observations))

    def _descend(self, space: spaces.Space, observations: list[Any]) -> list[Any]:
        if isinstance(space, (spaces.Box, spaces.Discrete)):
            return self._leaf_op(space, observations)
        if isinstance(space, spaces.Dict):
            children: Iterable[tuple[Any, spaces.Space]] = space.spaces.items()
        elif isinstance(space, spaces.Tuple):
            children = enumerate(space.spaces)
        else:
            raise NotImplementedError(
                f"A space must be a Dict, Tuple, Box or Discrete one, got {space!r}."
            )
        flat: list[Any] = []
        for key, child in children:
            flat += self._descend(child, [observation[key] for observation in observations])
        return flat


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
        rng: the generator to draw from; without it a new one, seeded by the operating system.

    Returns:
        The slate and its index; the first one where several have the highest value, and
        ``([], None)`` if there is none.
    """
    state_actions = list(state_action_iterator)
    if not state_actions:
        return [], None
    rng = rng or np.random.RandomState()
    if rng.random_sample() < epsilon:
        return state_actions[rng.randint(len(state_actions))]
    return max(state_actions, key=lambda state_action: q_function.get(state_action[1], 0.0))


def min_count_exploration(
    state_action_iterator: Iterable[StateAction], counts_function: Mapping[Any, int]
) -> StateAction:
    """Picks the slate that was played least often in this state.

    Args:
        state_action_iterator: pairs of a slate and its index in the table of counts.
        counts_function: how often each was played, where what is missing counts as 0.

    Returns:
        The slate and its index; the first one where several have the lowest count, and
        ``([], None)`` if there is none.
    """
    best: StateAction = ([], None)
    lowest = np.inf
    for slate, index in state_action_iterator:
        count = counts_function.get(index, 0)
        if count < lowest:
            best, lowest = (slate, index), count
        if count == 0:
            break
    return best


def build_base_agent(
    agent_ctor: Callable[..., Any], offered: Mapping[str, Any], **kwargs: Any
) -> Any:
    """Constructs the base agent of a layer.

    Args:
        agent_ctor: the class of the agent, or a callable that constructs it.
        offered: arguments that the agent gets if its constructor takes them.
        **kwargs: arguments that it gets in any case.
    """
    try:
        parameters = inspect.signature(agent_ctor).parameters
    except ValueError:  # A callable that has no signature to read.
        return agent_ctor(**offered, **kwargs)
    takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    taken = {name: value for name, value in offered.items() if takes_all or name in parameters}
    return agent_ctor(**taken, **kwargs)
