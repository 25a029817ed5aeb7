"""Observations and actions in the forms that libraries expect."""

from __future__ import annotations

import itertools
import pickle

import gymnasium
import hypothesis
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import strategies as st

from recsim import registry
from recsim.spaces import (
    ACTION_FORMS,
    MAX_DISCRETE_ACTIONS,
    OBSERVATION_FORMS,
    ActionForm,
    ObservationForm,
)

IDS = sorted(str(entry.gymnasium_id) for entry in registry.ENVIRONMENTS.values())
OPTIONS = list(itertools.product(OBSERVATION_FORMS, ACTION_FORMS))
SLATE = {"slate": np.array([2, 0]), "discrete": 6, "scores": [0.25, -1.0, 0.5, 0.125]}

MIXED = spaces.Dict(
    {
        "user": spaces.Dict(
            {"age": spaces.Box(0.0, 99.0, ()), "kind": spaces.Discrete(3, start=-1)}
        ),
        "doc": spaces.Box(-1.0, 1.0, (2, 3), np.float32),
        "response": spaces.Tuple((spaces.MultiBinary((2, 2)), spaces.MultiDiscrete([[2, 3]]))),
        "nothing": spaces.Box(0.0, 1.0, (0,)),
    }
)


def test_slates_by_number_are_those_of_itertools() -> None:
    for candidates, size in [(4, 2), (5, 5), (3, 1), (6, 3)]:
        form = ActionForm("discrete", candidates, size)
        slates = list(itertools.permutations(range(candidates), size))
        assert form.space == spaces.Discrete(len(slates))
        assert [tuple(form.slate(number)) for number in range(len(slates))] == slates
        np.testing.assert_array_equal(form.slates(np.arange(len(slates)), len(slates)), slates)


def test_the_number_of_discrete_actions_has_a_limit() -> None:
    assert ActionForm("discrete", 316, 2).space.n == 316 * 315 <= MAX_DISCRETE_ACTIONS
    with pytest.raises(ValueError, match="at most 100000 slates, got 100,?172 of 2 out of 317"):
        ActionForm("discrete", 317, 2)


@hypothesis.given(
    st.lists(
        st.lists(st.sampled_from([-1.0, -0.5, -0.0, 0.0, 0.3, 1.0]), min_size=5, max_size=5),
        min_size=1,
        max_size=4,
    ),
    st.integers(1, 5),
    st.sampled_from([np.float32, np.float64]),
)
def test_the_highest_scores_are_shown_ties_to_the_lower_index(rows, size, dtype) -> None:
    expected = [sorted(range(5), key=lambda i, row=row: (-row[i], i))[:size] for row in rows]
    form = ActionForm("scores", 5, size)
    np.testing.assert_array_equal(form.slates(np.array(rows, dtype), len(rows)), expected)
    for row, slate in zip(rows, expected):
        assert form.slate(np.array(row, dtype)).tolist() == slate


def test_scores_of_any_numbers() -> None:
    form = ActionForm("scores", 3, 2)
    assert form.space == spaces.Box(-1.0, 1.0, (3,), np.float32)
    for scores in ([5, 7, 6], np.array([5, 7, 6], np.uint8), np.array([-1e300, 1e300, 0.0])):
        assert form.slate(scores).tolist() == [1, 2]


def test_flat_observations_are_those_of_gymnasium() -> None:
    form = ObservationForm("flat", MIXED)
    MIXED.seed(0)
    observations = [MIXED.sample() for _ in range(20)]
    assert form.space.dtype == np.float32
    expected = spaces.flatten_space(MIXED)
    np.testing.assert_array_equal(form.space.low, expected.low.astype(np.float32))
    np.testing.assert_array_equal(form.space.high, expected.high.astype(np.float32))
    for observation in observations:
        flat = form(observation)
        np.testing.assert_array_equal(flat, spaces.flatten(MIXED, observation).astype(np.float32))
        assert flat in form.space


def test_dictionaries_of_one_level() -> None:
    form = ObservationForm("dict", MIXED)
    assert form.space == spaces.Dict(
        {
            "doc": spaces.Box(-1.0, 1.0, (6,), np.float32),
            "response_0": spaces.MultiBinary(4),
            "response_1": spaces.MultiDiscrete([2, 3]),
            "user_age": spaces.Box(0.0, 99.0, (1,)),
            "user_kind": spaces.Discrete(3, start=-1),
        }
    )
    MIXED.seed(0)
    observation = MIXED.sample()
    converted = form(observation)
    assert converted in form.space
    np.testing.assert_array_equal(converted["doc"], observation["doc"].ravel())
    np.testing.assert_array_equal(converted["response_1"], observation["response"][1].ravel())
    assert converted["user_age"] == observation["user"]["age"]
    assert converted["user_kind"] == observation["user"]["kind"]


@pytest.mark.parametrize("form_name", ["dict", "flat"])
def test_many_observations_are_those_of_each(form_name: str) -> None:
    form = ObservationForm(form_name, MIXED)
    batched = gymnasium.vector.utils.batch_space(MIXED, 3)
    batched.seed(1)
    many = batched.sample()
    converted = form(many, 1)
    of_users = gymnasium.vector.utils.iterate(
        gymnasium.vector.utils.batch_space(form.space, 3), converted
    )
    for row, (of_one, nested) in enumerate(
        zip(of_users, gymnasium.vector.utils.iterate(batched, many), strict=True)
    ):
        assert of_one in form.space, row
        alone = form(nested)
        if form_name == "flat":
            np.testing.assert_array_equal(of_one, alone)
        elif form_name == "dict":
            assert list(of_one) == list(alone)
            for key in alone:
                np.testing.assert_array_equal(of_one[key], alone[key])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_flat_observations_keep_the_dtype(dtype: type) -> None:
    env = gymnasium.make_vec(
        "recsim/InterestExploration-v0", num_envs=2, observation="flat", dtype=dtype
    )
    assert env.single_observation_space.dtype == env.reset()[0].dtype == dtype


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize(("observation", "action"), OPTIONS)
def test_a_seed_gives_the_same_episode_whatever_the_options(
    env_id: str, observation: str, action: str
) -> None:
    settings = {"num_candidates": 4, "slate_size": 2}
    plain = gymnasium.make(env_id, **settings)
    other = gymnasium.make(env_id, **settings, observation=observation, action=action)
    form = ObservationForm(observation, plain.observation_space)
    first, _ = plain.reset(seed=7)
    _assert_equal(other.reset(seed=7)[0], form(first))
    for _ in range(12):
        step, expected = other.step(SLATE[action]), plain.step(SLATE["slate"])
        _assert_equal(step[0], form(expected[0]))
        assert step[1:] == expected[1:]
        if step[2] or step[3]:
            break


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize(("observation", "action"), OPTIONS)
@pytest.mark.parametrize("vectorization_mode", ["vector_entry_point", "sync"])
def test_vector_environments_of_the_options(
    env_id: str, observation: str, action: str, vectorization_mode: str
) -> None:
    def made(**options: str) -> gymnasium.vector.VectorEnv:
        return gymnasium.make_vec(
            env_id,
            num_envs=3,
            vectorization_mode=vectorization_mode,
            num_candidates=4,
            max_episode_steps=3,
            **options,
        )

    plain, other = made(), made(observation=observation, action=action)
    form = ObservationForm(observation, plain.single_observation_space)
    assert form.space == other.single_observation_space
    first, _ = plain.reset(seed=7)
    observed, _ = other.reset(seed=7)
    _assert_equal(observed, form(first, 1))
    assert observed in other.observation_space
    for number in range(1, 8):
        expected = plain.step(np.array([SLATE["slate"]] * 3))
        step = other.step(np.array([SLATE[action]] * 3))
        _assert_equal(step[0], form(expected[0], 1))
        for given, of_plain in zip(step[1:4], expected[1:4]):
            np.testing.assert_array_equal(given, of_plain)
        assert ("final_obs" in step[4]) == ("final_obs" in expected[4])
        if "final_obs" in step[4]:
            assert number in (3, 6)
            for given, of_plain in zip(step[4]["final_obs"], expected[4]["final_obs"]):
                _assert_equal(given, form(of_plain))
                assert given in other.single_observation_space


@pytest.mark.parametrize("observation", OBSERVATION_FORMS)
def test_last_observations_do_not_hold_the_environment(observation: str) -> None:
    env = gymnasium.make_vec(IDS[0], num_envs=2, max_episode_steps=1, observation=observation)
    env.reset(seed=0)
    final = env.step(env.action_space.sample())[4]["final_obs"]
    pickled = pickle.dumps(final)
    assert b"RecSimVectorEnv" not in pickled
    for one, other in zip(pickle.loads(pickled), final):
        _assert_equal(one, other)


def _assert_equal(one: object, other: object) -> None:
    """Compares arrays nested in dictionaries."""
    if isinstance(one, dict):
        assert isinstance(other, dict) and list(one) == list(other)
        for key in one:
            _assert_equal(one[key], other[key])
    else:
        np.testing.assert_array_equal(one, other)
