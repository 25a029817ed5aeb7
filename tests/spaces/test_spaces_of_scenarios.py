"""Spaces, and observations outside them, that are refused when they come."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from support import random_scenarios, random_vector_scenarios

from recsim import spaces as spaces_lib
from recsim._internal.gym_import import spaces as gym_spaces
from recsim.agents import adapters
from recsim.simulator import gymnasium_env
from recsim.vector import wrappers

BOX = gymnasium.spaces.Box
REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "too few documents": (
        (BOX(0, 1, (2,)), BOX(0, 1, (2, 2)), BOX(0, 1, (2,))),
        ValueError,
        r"single_observation_space\['doc'\] must have 3 items on axis 0",
    ),
    "too many responses, in an entry": (
        (BOX(0, 1), BOX(0, 1, (3,)), gymnasium.spaces.Dict({"click": BOX(0, 1, (3,))})),
        ValueError,
        r"\['response'\]\['click'\] must have 2 items",
    ),
    "a user's text": (
        (gymnasium.spaces.Text(3), BOX(0, 1, (3,)), BOX(0, 1, (2,))),
        NotImplementedError,
        "got Text.*Use a MultiDiscrete space",
    ),
    "a graph": (
        (BOX(0, 1), gymnasium.spaces.Graph(BOX(0, 1), None), BOX(0, 1, (2,))),
        NotImplementedError,
        "got Graph",
    ),
}


@pytest.mark.parametrize("row", REFUSED)
def test_spaces_that_vector_environments_refuse(row: str) -> None:
    spaces, error, message = REFUSED[row]
    with pytest.raises(error, match=message):
        random_vector_scenarios.make(*spaces)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_arrays_that_are_not_in_their_space_are_refused(part: int) -> None:
    spaces = [BOX(0, 1, (2,)), BOX(0, 1, (3,)), BOX(0, 1, (2,))]
    env = random_vector_scenarios.make(*spaces)
    outside = BOX(2.0, 3.0, spaces[part].shape, np.float64)
    if part == 1:
        env.document_sampler.space = outside
    else:
        pair = list(env.user_model.spaces)
        pair[part // 2] = outside
        env.user_model.spaces = tuple(pair)
    name = ("user", "doc", "response")[part]

    def step() -> None:
        env.reset()
        env.step([[0, 1], [2, 2]])

    with pytest.raises(ValueError, match=rf"observation\['{name}'\] must lie within Box"):
        step()


# What scenarios say wrong of themselves.

OUTSIDE = {
    "a number out of bounds": (BOX(0.0, 1.0, (2,)), [0.5, 1.5], "must lie within Box"),
    "NaN": (BOX(-np.inf, np.inf, (2,)), [0.5, np.nan], "must lie within Box"),
    "another shape": (BOX(0.0, 1.0, (2,)), [0.5], r"must have the shape \(2,\)"),
    "lists of different lengths": (BOX(0, 1, (2, 2)), [[1, 0], [1]], "different lengths"),
    "half an integer": (BOX(0, 9, (2,), np.int64), [0.5, 2.0], "must hold integers"),
    "an integer too large for its dtype": (BOX(0, 255, (1,), np.uint8), [300], "must lie within"),
    "text": (BOX(0.0, 1.0, (1,)), ["0.5"], "must hold numbers"),
    "a number that a discrete space lacks": (gym_spaces.Discrete(2, start=3), 2, "must lie within"),
    "a part of a discrete number": (gym_spaces.Discrete(2, start=3), 3.5, "must hold integers"),
    "a number that is not binary": (gym_spaces.MultiBinary(2), [0, 2], "within MultiBinary"),
    "no such entry": (gym_spaces.Dict({"a": gym_spaces.Discrete(2)}), {"b": 1}, "an element of"),
}


@pytest.mark.parametrize("row", OUTSIDE)
@pytest.mark.parametrize("position", ["the user", "documents", "responses"])
def test_the_adapters_hand_out_nothing_outside_the_space(row: str, position: str) -> None:
    space, value, message = OUTSIDE[row]
    index = ("the user", "documents", "responses").index(position)
    spaces: list[Any] = [random_scenarios.UNIT, random_scenarios.UNIT, random_scenarios.CLICK]
    spaces[index] = space

    def sample(asked: Any) -> Any:
        return value if asked is space else asked.sample()

    def step_single() -> None:
        env = gymnasium_env.RecSimGymnasiumEnv(
            random_scenarios.make(*spaces, sample=sample, num_candidates=3)
        )
        env.reset()
        env.step([0, 1])

    def step_vectorized() -> None:
        env = random_scenarios.make(*spaces, sample=sample, num_candidates=3)
        env = wrappers.SingleUserEnvs([env])
        env.reset()
        env.step([[0, 1]])

    for step in (step_single, step_vectorized):
        with pytest.raises(ValueError, match=message):
            step()


def test_documents_of_different_spaces_are_no_rows_of_arrays() -> None:
    env = random_scenarios.make()
    documents = env.environment.candidate_set.get_all_documents()
    documents[1].observation_space = lambda: gym_spaces.Discrete(2)
    with pytest.raises(ValueError, match="All documents must have the same observation space"):
        gymnasium_env.RecSimGymnasiumEnv(env)


def test_environments_of_different_spaces_are_refused() -> None:
    envs = [random_scenarios.make(), random_scenarios.make(gym_spaces.Discrete(3))]
    with pytest.raises(ValueError, match="the same spaces of users, documents and responses"):
        wrappers.SingleUserEnvs(envs)


def test_a_box_of_float32_takes_the_float64_numbers_of_its_bounds() -> None:
    # The float32 nearest to 0.1 is above it.
    space = gym_spaces.Box(0.1, 0.7, (1,), np.float32)
    spaces_lib.check_observation(space, np.array([0.1]))
    spaces_lib.check_observation(space, np.array([0.7]))
    with pytest.raises(ValueError, match="must lie within"):
        spaces_lib.check_observation(space, np.array([0.0999]))
    with pytest.raises(ValueError, match="whole numbers"):
        spaces_lib.check_observation(gym_spaces.Box(0, 3, (1,), np.int64), [0.5])


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (gym_spaces.Box(-1, 1, (2,)), [0, 0]),
        (gym_spaces.Box(np.array([1, -3]), np.array([2, -2]), dtype=np.int64), [1, -2]),
        (gym_spaces.Discrete(4, start=3), 3),
        (gym_spaces.Discrete(4, start=-9), -6),
        (gymnasium.spaces.MultiDiscrete([2, 3, 3], start=[5, -1, -9]), [5, 0, -7]),
        (gym_spaces.MultiBinary(2), [0, 0]),
    ],
)
def test_the_element_nearest_to_zero(space: Any, expected: Any) -> None:
    nearest = spaces_lib.nearest_to_zero(space)
    assert nearest.tolist() == expected
    spaces_lib.check_observation(space, nearest)


def test_a_space_of_a_users_own_class_is_what_it_derives_from() -> None:
    class Interests(gym_spaces.Box):
        """Interests."""

    env = random_scenarios.make(Interests(0.0, 1.0, (2,)))
    assert gymnasium_env.RecSimGymnasiumEnv(env).reset()[0]["user"].shape == (2,)
    assert adapters.ObservationAdapter(env.observation_space).user_size == 2
