"""Q-learning with a table over discretised observations and slates."""

from __future__ import annotations

import bisect
import dataclasses
import functools
import heapq
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from recsim import agent, types
from recsim import spaces as spaces_lib
from recsim._internal import action_masks, bundles, numbers, observations, resources, validation
from recsim._internal.gym_import import spaces
from recsim.agents import _propensities, agent_utils

__all__ = ["TabularQAgent"]

Index = tuple[int, ...]
ExplorationPolicy = Callable[
    [Iterable[tuple[Sequence[int], Index]], Mapping[Index, float], float],
    tuple[Sequence[int], Index],
]

# The least that a slate takes with its index, beside 8 bytes for each document in each of the two.
_BYTES_OF_SLATE = 150

# How many slates an explanation has.
_SLATES_TO_EXPLAIN = 10

_EXPLORATION_POLICIES = ("epsilon_greedy", "min_count")


class TabularQAgent(agent.AbstractEpisodicRecommenderAgent):
    """Tabular Q-learning, for small scenarios and for the truth to compare other agents with.

    The state is the observation of the user, with the last responses if ``ignore_response`` is
    False; an action is a slate, known by the observable features of its documents. Continuous
    features are put into bins. The update is ``Q(s, a) += learning_rate * (target - Q(s, a))``
    with the target ``reward + gamma * max_a' Q(s', a')``, which is the reward alone where the
    episode ends (Watkins and Dayan, "Q-learning", 1992). An episode that is only truncated at a
    length limit still has the value of its last observation.

    Every slate that can be made of the candidates is looked at in each step, so that the number
    of candidates and the slate size have to be small.

    Args:
        observation_space: space of the observations.
        action_space: the ``MultiDiscrete`` space of slates.
        eval_mode: whether the agent only plays the slate of the highest value and learns nothing.
        ignore_response: whether the last responses are left out of the state. They are empty at
            the first step of an episode.
        discretization_bounds: the lowest and the highest edge of the bins of continuous features;
            what is below or above them falls in a bin of its own.
        number_bins: number of edges, at least 2, evenly spaced between the bounds.
        exploration_policy: 'epsilon_greedy', 'min_count' (the slate shown least often in this
            state), or a function of the pairs (slate, index) of all slates, the table of Q-values
            by index, and the exploration temperature, that returns one of the pairs.
        exploration_temperature: epsilon of the first episode, in [0, 1]; that of the n-th is its
            n-th power.
        learning_rate: step size, in [0, 1].
        gamma: discount, in [0, 1].
        ordinal_slates: whether slates of the same documents in another order are other actions.
        seed: seed of the generator that explores.
        max_num_slates: the largest number of slates to take on, >= 1. A million of them take
            seconds in each step.
        **kwargs: not used; there is a warning for what is not among the arguments of RecSim's
            agents.

    Raises:
        TypeError: if ``number_bins`` is not an integer, or ``exploration_policy`` neither a name
            nor a function.
        ValueError: if an argument is out of its range, the exploration policy unknown, or if there
            are more than ``max_num_slates`` slates.
        NotImplementedError: for a space of text, graphs or sequences.
        MemoryError: if there are more slates than there is memory for.
    """

    state_settings: ClassVar[tuple[str, ...]] = (
        "discretization_bins",
        "ignore_response",
        "ordinal_slates",
    )

    def __init__(
        self,
        observation_space: types.DictSpace,
        action_space: types.SlateSpace,
        eval_mode: bool = False,
        ignore_response: bool = True,
        discretization_bounds: tuple[float, float] = (0.0, 10.0),
        number_bins: int = 100,
        exploration_policy: str | ExplorationPolicy = "epsilon_greedy",
        exploration_temperature: float = 0.99,
        learning_rate: float = 0.1,
        gamma: float = 0.99,
        ordinal_slates: bool = False,
        *,
        seed: int | None = 0,
        max_num_slates: int = 1_000_000,
        **kwargs: Any,
    ) -> None:
        agent_utils.warn_of_unused(TabularQAgent, kwargs)
        self._kwargs = kwargs
        super().__init__(action_space)
        action_masks.refuse(self, observation_space)
        self._keep_space(observation_space)
        low, high = _bounds(discretization_bounds)
        if not low < high:
            raise ValueError(
                "discretization_bounds must be a pair (low, high) with low < high, got "
                f"{discretization_bounds!r}."
            )
        number_bins = validation.positive_int("number_bins", number_bins, 2, 2**24)
        self._discretization_bins = np.linspace(low, high, num=number_bins).tolist()
        self._gamma = validation.probability("gamma", gamma)
        self._learning_rate = validation.probability("learning_rate", learning_rate)
        self._base_exploration_temperature = validation.probability(
            "exploration_temperature", exploration_temperature
        )
        self._exploration_temperature = self._base_exploration_temperature
        self._eval_mode = validation.flag("eval_mode", eval_mode)
        self._ignore_response = validation.flag("ignore_response", ignore_response)
        self._ordinal_slates = validation.flag("ordinal_slates", ordinal_slates)
        self._max_num_slates = validation.positive_int("max_num_slates", max_num_slates)
        self._check_number_of_slates(int(max(action_space.nvec)), len(action_space.nvec))
        self._exploration_rng = validation.random_state("seed", seed)
        self._exploration_policy = _known_policy(exploration_policy)
        # Functions of an observation, by the policy's name, in which a subclass may put others.
        self._exploration_functions: dict[str, Callable[[Any], tuple[Sequence[int], Index]]] = {
            "epsilon_greedy": self._explore_from,
            "min_count": self._explore_from,
        }
        self._q_value_table: dict[Index, float] = {}
        self._state_action_counts: dict[Index, int] = {}
        self._previous_state_action_index: Index | None = None
        self._previous_slate: Sequence[int] | None = None
        observations.check_space(observation_space, "user", "doc", "response")
        parts: Mapping[str, Any] = observation_space.spaces
        document_space = next(iter(observations.spaces_of_documents(parts["doc"]).values()))
        state_action = {
            "user": parts["user"],
            "action": spaces.Tuple((document_space,) * self._slate_size),
        }
        if not self._ignore_response:
            state_action["response"] = parts["response"]
        self._state_action_space = spaces.Dict(state_action)
        # Which refuses what the walkers do not know.
        spaces_lib.flat_size(self._state_action_space)
        self._document_walker, self._user_walker, self._response_walker = (
            agent_utils.GymSpaceWalker(space, self._discretize_gym_leaf)
            for space in (document_space, parts["user"], parts["response"])
        )

    def _explore_from(self, observation: types.Observation) -> tuple[Sequence[int], Index]:
        return self._explore(self._enumerate_state_action_indices(observation))

    def _check_number_of_slates(self, num_candidates: int, slate_size: int) -> None:
        """Raises ValueError or MemoryError if there are more slates than can be looked at."""
        most = self._max_num_slates
        count = math.perm if self._ordinal_slates else math.comb
        num_slates = count(num_candidates, slate_size)
        if num_slates > most:
            raise ValueError(
                f"{num_candidates} candidates make {resources.shown(num_slates)} slates of "
                f"{slate_size}, which is more than max_num_slates={most}, and all of them are "
                "compared in each step: choose fewer candidates or smaller slates, or an agent "
                "that does not enumerate them."
            )
        resources.check_memory(
            num_slates * (_BYTES_OF_SLATE + 16 * slate_size),
            f"The {resources.shown(num_slates)} slates of {slate_size} out of {num_candidates} "
            "candidates, all of which are compared in each step,",
            "choose fewer candidates or smaller slates, or an agent that does not enumerate them",
        )

    def _explore(
        self, state_actions: Iterable[tuple[Sequence[int], Index]]
    ) -> tuple[Sequence[int], Index]:
        if self._exploration_policy == "min_count":
            return agent_utils.min_count_exploration(state_actions, self._state_action_counts)
        policy = self._exploration_policy
        if policy == "epsilon_greedy":
            policy = functools.partial(
                agent_utils.epsilon_greedy_exploration, rng=self._exploration_rng
            )
        assert callable(policy)
        return policy(state_actions, self._q_value_table, self._exploration_temperature)

    def _discretize_gym_leaf(
        self, gym_space: spaces.Space[Any], gym_observations: list[Any]
    ) -> list[int]:
        """Returns the integers of discrete spaces, and the bins of the numbers of a ``Box``.

        What is missing, as in a history that is not yet full, is below all of them.
        """
        values: list[int] = []
        for observation in gym_observations:
            if observation is None:
                size = int(np.prod(gym_space.shape))  # type: ignore[arg-type]
                lowest = 0 if isinstance(gym_space, spaces.Box) else spaces_lib.bounds(gym_space)[0]
                values += (np.zeros(size, np.int64) + np.ravel(lowest) - 1).tolist()
            elif isinstance(gym_space, spaces.Discrete):
                values.append(numbers.as_int("an observation of a Discrete space", observation))
            elif isinstance(gym_space, spaces.Box):
                # As numpy.digitize, which takes much longer for a few numbers.
                edges = self._discretization_bins
                features = np.ravel(observation).tolist()
                if math.isnan(sum(features)) and any(x != x for x in features):
                    raise ValueError(f"An observation must hold numbers, got NaN in {observation}.")
                values += [bisect.bisect_right(edges, x) for x in features]
            else:
                name = f"an entry of an observation of {gym_space}"
                values += [numbers.as_int(name, value) for value in np.ravel(observation).tolist()]
        return values

    def _enumerate_slates(
        self, doc_dict: Mapping[str, Any]
    ) -> Iterator[tuple[tuple[int, ...], tuple[Any, ...]]]:
        """Yields every slate, as indices and as the values of ``doc_dict`` at these."""
        documents = list(doc_dict.values())
        if len(documents) > self._made_for.num_candidates:
            self._check_number_of_slates(len(documents), self._slate_size)
        if len(documents) < self._slate_size:
            raise ValueError(
                f"slate_size must be at most the number of documents, got a slate of "
                f"{self._slate_size} and {len(documents)} documents."
            )
        choose = itertools.permutations if self._ordinal_slates else itertools.combinations
        for slate in choose(range(len(documents)), self._slate_size):
            yield slate, tuple(documents[index] for index in slate)

    def _enumerate_state_action_indices(
        self, observation: agent.Observation
    ) -> Iterator[tuple[tuple[int, ...], Index]]:
        """Yields every slate with its index in the table.

        An index holds the features of the slate's documents, of the responses and of the user.
        """
        state: list[int] = []
        if not self._ignore_response and observation["response"] is not None:
            state += self._response_walker.apply_and_flatten([observation["response"]])
        state += self._user_walker.apply_and_flatten([observations.entry(observation, "user")])
        features = {
            doc_id: self._document_walker.apply_and_flatten([document])
            for doc_id, document in observations.entry(observation, "doc").items()
        }
        for slate, slate_features in self._enumerate_slates(features):
            yield slate, tuple(itertools.chain(*slate_features, state))

    def _greedy(
        self, state_actions: Iterable[tuple[Sequence[int], Index]]
    ) -> tuple[Sequence[int], float]:
        """Returns the slate of the highest Q-value, the first where several tie, and the value."""
        slate, index = max(state_actions, key=lambda pair: self._q_value_table.get(pair[1], 0.0))
        return slate, self._q_value_table.get(index, 0.0)

    def explain(self, observation: agent.Observation) -> types.Explanation:
        """See :meth:`recsim.types.Explains.explain`: the slates of the highest Q-values."""
        state_actions = list(self._enumerate_state_action_indices(observation))
        best = heapq.nlargest(
            _SLATES_TO_EXPLAIN,
            state_actions,
            key=lambda pair: self._q_value_table.get(pair[1], 0.0),
        )
        columns: dict[str, list[float]] = {
            "Q-value": [self._q_value_table.get(index, 0.0) for _, index in best],
            "times shown": [self._state_action_counts.get(index, 0) for _, index in best],
        }
        tried = sum(index in self._state_action_counts for _, index in state_actions)
        numbers_of: dict[str, float] = {"slates": len(state_actions), "slates shown before": tried}
        if not self._eval_mode and self._exploration_policy == "epsilon_greedy":
            numbers_of["probability of a random slate"] = self._exploration_temperature
        return types.Explanation(
            "Tabular Q-learning: the slate of the highest Q-value.",
            [types.ExplanationTable("slate", [tuple(slate) for slate, _ in best], columns)],
            numbers_of,
        )

    def serving(self) -> agent.Serving:
        """See :meth:`recsim.agent.AbstractRecommenderAgent.serving`."""
        bins = self._discretization_bins
        return dataclasses.replace(
            super().serving(),
            settings={
                "ignore_response": self._ignore_response,
                "discretization_bounds": (bins[0], bins[-1]),
                "number_bins": len(bins),
                "ordinal_slates": self._ordinal_slates,
                "max_num_slates": self._max_num_slates,
            },
            response_fields=() if self._ignore_response else None,
            any_number_of_items=True,
        )

    def user_state(self) -> None:
        """Returns None: in evaluation it knows nothing of users."""

    def load_user_state(self, state: None) -> None:
        """Does nothing."""

    def serving_bundle(self) -> types.State:
        """Returns what recommending needs: the tables, as arrays, and the generator.

        :meth:`load_state_dict` takes it.
        """
        return {
            **super().state_dict(),
            "q_value_table": _as_arrays(self._q_value_table, np.float64),
            "sa_count": _as_arrays(self._state_action_counts, np.int64),
            "exploration_temperature": self._exploration_temperature,
        }

    @property
    def num_updates(self) -> int:
        """Number of updates of the table so far."""
        return sum(self._state_action_counts.values())

    @property
    def steps_without_update(self) -> int:
        """0: the first step is learned from."""
        return 0

    def _learn(self, target: float) -> None:
        """Moves the value of the slate played last towards a target."""
        index = self._previous_state_action_index
        if index is None:
            return
        old_value = self._q_value_table.get(index, 0.0)
        new_value = self._learning_rate * target + (1.0 - self._learning_rate) * old_value
        if not math.isfinite(new_value):
            raise ValueError(
                f"The value of a slate is no longer finite: the target is {target!r} after the "
                f"value {old_value!r}. Scale the rewards down, or choose a gamma below 1."
            )
        self._q_value_table[index] = new_value
        self._state_action_counts[index] = self._state_action_counts.get(index, 0) + 1

    def begin_episode(self, observation: agent.Observation | None = None) -> agent.Slate:
        """Starts an episode, forgetting the last slate of one that nobody ended."""
        self._previous_state_action_index = None
        return super().begin_episode(observation)

    def step(self, reward: float, observation: agent.Observation) -> agent.Slate:
        """Learns from the last transition and returns the next slate.

        Args:
            reward: the reward of the last slate.
            observation: the newest observation.

        Returns:
            Indices into ``observation['doc']``.

        Raises:
            TypeError, ValueError: if the reward is not a finite number.
            ValueError: if there are fewer documents than the slate has places.
        """
        if not self._eval_mode:
            reward = numbers.finite("reward", reward)
        state_actions = list(self._enumerate_state_action_indices(observation))
        slate, value = self._greedy(state_actions)
        if self._eval_mode:
            return slate
        self._learn(reward + self._gamma * value)
        policy = self._exploration_policy
        explore = self._exploration_functions.get(policy) if isinstance(policy, str) else None
        if explore is None or explore == self._explore_from:
            slate, self._previous_state_action_index = self._explore(state_actions)
        else:
            slate, self._previous_state_action_index = explore(observation)
        self._previous_slate = slate
        return slate

    def propensities(
        self, observation: types.Observation, slate: types.Slate
    ) -> types.Propensities | None:
        """See :meth:`recsim.types.KnowsPropensities.propensities`.

        They are known in evaluation, and with the exploration policy 'epsilon_greedy'.
        """
        greedy, _ = self._greedy(self._enumerate_state_action_indices(observation))
        if self._eval_mode:
            return _propensities.deterministic(slate, greedy)
        explore = self._exploration_functions.get("epsilon_greedy")
        if self._exploration_policy != "epsilon_greedy" or explore != self._explore_from:
            return None
        number = len(observation["doc"])
        any_slate = (
            _propensities.uniform if self._ordinal_slates else _propensities.uniform_ascending
        )
        return _propensities.epsilon_greedy(
            slate, greedy, self._exploration_temperature, any_slate(slate, number)
        )

    def end_episode(  # type: ignore[override]  # RecSim's needs the observation.
        self, reward: float, observation: agent.Observation, *, truncated: bool = False
    ) -> None:
        """Learns from the last transition of the episode and lowers the temperature.

        Args:
            reward: the reward of the last slate.
            observation: the last observation.
            truncated: whether the episode was only truncated, so that the last observation has a
                value, which counts.
        """
        if self._eval_mode:
            return
        target = numbers.finite("reward", reward)
        if truncated:
            _, value = self._greedy(self._enumerate_state_action_indices(observation))
            target += self._gamma * value
        self._learn(target)
        self._previous_state_action_index = None
        self._exploration_temperature *= self._base_exploration_temperature

    def state_dict(self) -> types.State:
        """Returns the tables, the exploration temperature, the generator and the last slate."""
        return {
            **super().state_dict(),
            "q_value_table": dict(self._q_value_table),
            "sa_count": dict(self._state_action_counts),
            "exploration_temperature": self._exploration_temperature,
            "previous_state_action_index": self._previous_state_action_index,
        }

    def load_state_dict(self, state: types.State) -> None:
        """Restores the agent.

        A bundle of RecSim's, with ``'q_value_table'`` and ``'sa_count'`` alone, restores these, and
        what :meth:`serving_bundle` returned the table of values.

        Raises:
            ValueError: if the state has no ``'q_value_table'``, or does not fit otherwise.
        """
        bundles.require(self, state, "q_value_table")
        table = self._table("q_value_table", state["q_value_table"])
        counts = self._table("sa_count", state.get("sa_count", {}))
        for name, entries, check in (
            ("q_value_table", table, bundles.number),
            ("sa_count", counts, bundles.count),
        ):
            for index, value in entries.items():
                if not isinstance(index, tuple):
                    bundles.refuse(self, name, "a dictionary by tuples", index)
                check(self, f"{name}[{index}]", value)
        temperature = bundles.number(
            self,
            "exploration_temperature",
            state.get("exploration_temperature", self._exploration_temperature),
            0.0,
            1.0,
        )
        previous = state.get("previous_state_action_index")
        if previous is not None and not isinstance(previous, tuple):
            bundles.refuse(self, "previous_state_action_index", "a tuple or None", previous)
        if "episode_num" in state:
            super().load_state_dict(state)
        self._q_value_table = dict(table)
        self._state_action_counts = dict(counts)
        self._exploration_temperature = temperature
        self._previous_state_action_index = previous

    def _table(self, name: str, entry: object) -> Mapping[Any, Any]:
        """Returns a table of a state, be it a dictionary or what :func:`_as_arrays` returned."""
        pairs: Any = entry if isinstance(entry, list) else [entry]
        if not all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
            return bundles.entries(self, name, entry)
        table: dict[Index, float] = {}
        for pair in pairs:
            indices = bundles.array(self, name, pair[0], (None, None), "iu")
            values = bundles.array(self, name, pair[1], (len(indices),), "iuf")
            table.update(zip(map(tuple, indices.tolist()), values.tolist()))
        return table


def _as_arrays(
    table: Mapping[Index, float], dtype: type[np.generic]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns the indices and the values of a table, in two arrays for each length of an index."""
    tables = []
    for length in sorted(set(map(len, table))):
        indices = [index for index in table if len(index) == length]
        values = [table[index] for index in indices]
        tables.append((np.array(indices, np.int64).reshape(-1, length), np.array(values, dtype)))
    return tables


def _bounds(discretization_bounds: Sequence[float]) -> tuple[float, float]:
    bounds = validation.finite("discretization_bounds", discretization_bounds)
    if bounds.shape != (2,):
        raise ValueError(
            "discretization_bounds must be a pair (low, high), got "
            f"{numbers.described(discretization_bounds)}."
        )
    return bounds[0].item(), bounds[1].item()


def _known_policy(policy: str | ExplorationPolicy) -> str | ExplorationPolicy:
    if not callable(policy) and not isinstance(policy, str):
        raise TypeError(
            "exploration_policy must be a name or a function, got "
            f"{policy!r} of type {type(policy).__name__}."
        )
    if isinstance(policy, str) and policy not in _EXPLORATION_POLICIES:
        raise ValueError(
            f"exploration_policy must be one of {_EXPLORATION_POLICIES} or a function, got "
            f"{policy!r}.{validation.nearest_name(policy, _EXPLORATION_POLICIES)}"
        )
    return policy
