"""Spaces become data and come back as equal ones; what is not a space is refused."""

from __future__ import annotations

import collections

import gymnasium
import numpy as np
import pytest
from support.scenarios import SCENARIOS, make_env, make_vector_env

from recsim import spaces as spaces_lib
from recsim._internal.gym_import import spaces
from recsim.simulator import checkpoint


def through_a_file(data, tmp_path):
    checkpoint.save(tmp_path / "data", data)
    return checkpoint.load(tmp_path / "data")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_spaces_of_scenarios_come_back(scenario, tmp_path):
    space = make_env(scenario).observation_space
    data = spaces_lib.to_data(space)
    assert spaces_lib.from_data(through_a_file(data, tmp_path)) == space
    single = spaces_lib.single_user_space(make_vector_env(scenario).single_observation_space)
    assert spaces_lib.from_data(spaces_lib.to_data(single)) == single


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-1.0, np.inf, (2, 3), np.float64),
        spaces.Box(np.array([0, -2], np.int8), np.array([1, 5], np.int8), dtype=np.int8),
        spaces.Box(0.0, 1.0, (0,), np.float32),
        spaces.Box(0.0, 1.0, (), np.float32),
        spaces.Box(0, 255, (2,), np.uint8),
        spaces.Discrete(3, start=-4),
        spaces.MultiDiscrete([2, 5, 3]),
        spaces.MultiBinary(3),
        spaces.MultiBinary((3,)),
        spaces.MultiBinary((2, 2)),
        spaces.Tuple([]),
        spaces.Dict({}),
        spaces.Tuple([spaces.Discrete(2), spaces.Discrete(3)]),
        spaces.Tuple([spaces.Discrete(2)] * 5),
        spaces.Dict({"0": spaces.Discrete(2), "1": spaces.Discrete(2), "2": spaces.Discrete(2)}),
        spaces.Dict({"b": spaces.Discrete(2), "a": spaces.Tuple([spaces.MultiBinary(3)] * 2)}),
    ],
    ids=str,
)
def test_space_comes_back(space, tmp_path):
    back = spaces_lib.from_data(through_a_file(spaces_lib.to_data(space), tmp_path))
    assert back == space
    assert [key for key, _ in spaces_lib.leaves(back)] == [
        key for key, _ in spaces_lib.leaves(space)
    ]
    for (_, one), (_, other) in zip(spaces_lib.leaves(back), spaces_lib.leaves(space), strict=True):
        assert one.dtype == other.dtype


def test_spaces_of_gymnasium_become_those_of_gym():
    gymnasium = pytest.importorskip("gymnasium")
    space = gymnasium.spaces.MultiDiscrete([2, 3], start=[5, -1])
    back = spaces_lib.from_data(spaces_lib.to_data(space))
    assert back.contains(np.array([6, 1]))
    assert not back.contains(np.array([7, 1]))
    assert back == spaces_lib.to_gym(space)


def test_equal_entries_take_little_place(tmp_path):
    document = spaces.Box(-1.0, 1.0, (20,), np.float32)
    space = spaces.Dict(collections.OrderedDict((str(i), document) for i in range(1000)))
    data = spaces_lib.to_data(space)
    assert data == {"Dict of equal entries": [1000, {"Box": [-1.0, 1.0, [20], "float32"]}]}
    # Gym sorts the keys of other dictionaries.
    by_text = spaces.Dict({str(number): document for number in range(12)})
    assert spaces_lib.from_data(spaces_lib.to_data(by_text)) == by_text
    assert len(spaces_lib.from_data(data).spaces) == 1000


@pytest.mark.parametrize(
    "data",
    [
        None,
        3,
        {},
        {"Box": [0, 1, [2]]},
        {"Box": [0, 1, [-2], "float32"]},
        {"Box": [0, 1, [2], "object"]},
        {"Box": [0, 1, [10**9, 10**9], "float32"]},
        {"Box": [np.zeros(3), 1, [2], "float32"]},
        {"Box": ["0", 1, [2], "float32"]},
        {"Discrete": [0, 0]},
        {"Discrete": [3, 1 << 70]},
        {"Discrete": [10**12, 0]},
        {"MultiDiscrete": [np.array([2, 0]), np.array([0, 0])]},
        {"MultiDiscrete": [[2], [0]]},
        {"MultiBinary": 3},
        {"Tuple": {"Discrete": [2, 0]}},
        {"Dict": [["a", {"Discrete": [2, 0]}], ["a", {"Discrete": [2, 0]}]]},
        {"Dict": [[1, {"Discrete": [2, 0]}]]},
        {"Dict of equal entries": [10**9, {"Discrete": [2, 0]}]},
        {"Dict of equal entries": [["a", "a"], {"Discrete": [2, 0]}]},
        {"Dict of equal entries": [[1], {"Discrete": [2, 0]}]},
        {"Dict of equal entries": [0, {"Discrete": [2, 0]}]},
        {"Tuple of equal entries": [10**4, {"Tuple of equal entries": [10**4, {"Tuple": []}]}]},
        {"Dictionary": []},
        {"Graph": []},
    ],
    ids=repr,
)
def test_what_is_no_space_is_refused(data):
    with pytest.raises(ValueError, match="data of a space|at most"):
        spaces_lib.from_data(data)


def test_deep_nesting_is_refused():
    data = {"Discrete": [2, 0]}
    for _ in range(30):
        data = {"Tuple": [data]}
    with pytest.raises(ValueError, match="levels deep"):
        spaces_lib.from_data(data)


def test_spaces_that_have_no_data_are_refused():
    with pytest.raises(NotImplementedError, match="must be a Dict, Tuple, Box"):
        spaces_lib.to_data(gymnasium.spaces.Text(3))
    with pytest.raises(TypeError, match="keys of a Dict space must be strings"):
        spaces_lib.to_data(spaces.Dict({1: spaces.Discrete(2)}))
    with pytest.raises(ValueError, match="at most 10,000,000 numbers"):
        spaces_lib.to_data(spaces.Tuple([spaces.MultiBinary(4_000_000)] * 3))
