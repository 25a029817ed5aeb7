"""Walks over spaces, exploration of tables, construction of base agents."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from recsim._internal.gym_import import spaces
from recsim.agents import agent_utils

SLATES = [((0,), "a"), ((1,), "b"), ((2,), "c"), ((3,), "d")]


def test_walk_joins_the_leaves_in_order():
    space = spaces.Dict(
        {
            "z": spaces.Discrete(3),
            "a": spaces.Tuple((spaces.Box(0, 1, shape=(2,)), spaces.Discrete(5))),
        }
    )
    walker = agent_utils.GymSpaceWalker(space, lambda leaf, values: [type(leaf).__name__, values])
    observations = [{"z": i, "a": ([i, i], 10 + i)} for i in range(2)]
    # Gym sorts the keys of a plain dictionary.
    assert walker.apply_and_flatten(observations) == [
        *("Box", [[0, 0], [1, 1]]),
        *("Discrete", [10, 11]),
        *("Discrete", [0, 1]),
    ]


def test_walk_takes_entries_of_other_keys_in_their_order():
    space = spaces.Dict({"0": spaces.Discrete(9), "1": spaces.Discrete(9)})
    walker = agent_utils.GymSpaceWalker(space, lambda leaf, values: values)
    assert walker.apply_and_flatten([{"1": 2, "0": 1}]) == [1, 2]
    assert walker.apply_and_flatten([{"1": 2, "2": 3}, None]) == [2, None, 3, None]
    with pytest.raises(KeyError):
        walker.apply_and_flatten([{"1": 2}])


def test_walk_refuses_other_spaces():
    walker = agent_utils.GymSpaceWalker(spaces.Text(3), lambda leaf, values: [])
    with pytest.raises(NotImplementedError, match="Text"):
        walker.apply_and_flatten([None])


def test_greedy_without_exploration():
    pick = functools.partial(
        agent_utils.epsilon_greedy_exploration, epsilon=0.0, rng=np.random.RandomState(0)
    )
    assert pick(iter(SLATES), {"b": 2.0, "c": 3.0}) == ((2,), "c")
    # What is missing counts as 0, and the first of several is taken.
    assert pick(iter(SLATES), {"a": -1.0}) == ((1,), "b")
    assert pick(iter(SLATES), {"b": 0.5, "d": 0.5}) == ((1,), "b")


@pytest.mark.parametrize(("epsilon", "share_of_best"), [(1.0, 0.25), (0.4, 0.7)])
def test_exploration_is_uniform(epsilon, share_of_best):
    rng = np.random.RandomState(0)
    picks = [
        agent_utils.epsilon_greedy_exploration(iter(SLATES), {"c": 1.0}, epsilon, rng=rng)[1]
        for _ in range(10_000)
    ]
    # 5 standard deviations of a share of 10,000 are at most 0.025.
    assert picks.count("c") / 10_000 == pytest.approx(share_of_best, abs=0.025)
    for other in "abd":
        assert picks.count(other) / 10_000 == pytest.approx(epsilon / 4, abs=0.025)


def test_exploration_without_a_generator():
    picks = {agent_utils.epsilon_greedy_exploration(iter(SLATES), {}, 1.0)[1] for _ in range(200)}
    assert picks == {"a", "b", "c", "d"}


def test_minimum_count():
    pick = agent_utils.min_count_exploration
    assert pick(iter(SLATES), {"a": 3, "b": 1, "c": 1, "d": 2}) == ((1,), "b")
    slates = iter(SLATES)
    assert pick(slates, {"a": 3}) == ((1,), "b")
    assert next(slates) == SLATES[2]  # It looks no further than to one never played.


def test_no_slates():
    assert agent_utils.epsilon_greedy_exploration(iter([]), {}, 0.5) == ([], None)
    assert agent_utils.min_count_exploration(iter([]), {}) == ([], None)


def test_base_agents_get_what_they_take():
    offered = {"gamma": 0.5, "observation_space": "space"}
    build = functools.partial(agent_utils.build_base_agent, offered=offered, action_space=1)
    assert build(lambda action_space: action_space) == 1
    assert build(lambda action_space, gamma: (action_space, gamma)) == (1, 0.5)
    assert build(lambda **kwargs: kwargs) == {**offered, "action_space": 1}
    bound = functools.partial(lambda action_space, gamma, other: (gamma, other), other=3)
    assert build(bound) == (0.5, 3)
    with pytest.raises(TypeError):
        build(lambda gamma: gamma)
    # A callable whose signature cannot be read is given everything.
    assert build(dict) == {**offered, "action_space": 1}
