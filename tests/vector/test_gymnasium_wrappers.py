"""Gymnasium's wrappers of vector environments: what works with which autoreset mode."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import vector as gymnasium_wrappers
from support import TESTS

MODES = [mode.name for mode in AutoresetMode]
LATER = ["NEXT_STEP", "DISABLED"]
FLAT = {"observation": "flat"}
DICT = {"observation": "dict"}
SCORES = {"action": "scores"}
NUM_USERS = 4


def make(mode: str, **options: Any) -> Any:
    return gymnasium.make_vec(
        "recsim/InterestEvolution-v0",
        num_envs=NUM_USERS,
        autoreset_mode=mode,
        max_episode_steps=5,
        **options,
    )


def wrapped(name: str, env: Any, *args: Any, **kwargs: Any) -> Any:
    return getattr(gymnasium_wrappers, name)(env, *args, **kwargs)


def to_torch(env: Any) -> Any:
    import array_api_compat.torch

    return wrapped("ArrayConversion", env, env_xp=np, target_xp=array_api_compat.torch)


def unbounded(env: Any) -> spaces.Box:
    return spaces.Box(-np.inf, np.inf, env.single_observation_space.shape)


def same(x: Any) -> Any:
    return x


def halved(x: Any) -> Any:
    return 0.5 * x


Row = tuple[list[str], dict[str, Any], Callable[[Any], Any], Callable[[Any], Any], Any]

#: By wrapper: the modes that it works with, options of the environment, what makes it, and what it
#: makes of an observation and of rewards (None where that is more than a function of them).
WRAPPERS: dict[str, Row] = {
    "RecordEpisodeStatistics": (
        MODES,
        {},
        lambda env: wrapped("RecordEpisodeStatistics", env),
        same,
        same,
    ),
    "NormalizeReward": (MODES, {}, lambda env: wrapped("NormalizeReward", env), same, None),
    "ClipReward": (
        MODES,
        {},
        lambda env: wrapped("ClipReward", env, 1.0, 2.0),
        same,
        lambda rewards: np.clip(rewards, 1.0, 2.0),
    ),
    "TransformReward": (
        MODES,
        {},
        lambda env: wrapped("TransformReward", env, halved),
        same,
        halved,
    ),
    "VectorizeTransformReward": (
        MODES,
        {},
        lambda env: wrapped(
            "VectorizeTransformReward", env, gymnasium.wrappers.TransformReward, func=halved
        ),
        same,
        halved,
    ),
    "TransformAction": (
        MODES,
        {},
        lambda env: wrapped("TransformAction", env, same),
        same,
        same,
    ),
    "VectorizeTransformAction": (
        MODES,
        {},
        lambda env: wrapped(
            "VectorizeTransformAction",
            env,
            gymnasium.wrappers.TransformAction,
            func=same,
            action_space=None,
        ),
        same,
        same,
    ),
    "ClipAction": (MODES, SCORES, lambda env: wrapped("ClipAction", env), same, same),
    "RescaleAction": (
        MODES,
        SCORES,
        lambda env: wrapped("RescaleAction", env, -1.0, 1.0),
        same,
        same,
    ),
    "FlattenObservation": (
        LATER,
        {},
        lambda env: wrapped("FlattenObservation", env),
        None,
        same,
    ),
    "TransformObservation": (
        LATER,
        FLAT,
        lambda env: wrapped(
            "TransformObservation", env, halved, single_observation_space=unbounded(env)
        ),
        halved,
        same,
    ),
    "VectorizeTransformObservation": (
        LATER,
        {},
        lambda env: wrapped(
            "VectorizeTransformObservation",
            env,
            gymnasium.wrappers.TransformObservation,
            func=same,
            observation_space=None,
        ),
        same,
        same,
    ),
    "FilterObservation": (
        LATER,
        DICT,
        lambda env: wrapped("FilterObservation", env, ["user", "doc"]),
        lambda observation: {key: observation[key] for key in ("doc", "user")},
        same,
    ),
    "NormalizeObservation": (
        ["NEXT_STEP"],
        FLAT,
        lambda env: wrapped("NormalizeObservation", env),
        None,
        same,
    ),
    "RescaleObservation": (
        LATER,
        FLAT,
        lambda env: wrapped("RescaleObservation", env, -1.0, 1.0),
        None,
        same,
    ),
    "ReshapeObservation": (
        LATER,
        FLAT,
        lambda env: wrapped("ReshapeObservation", env, (1, *env.single_observation_space.shape)),
        lambda observation: observation[:, np.newaxis],
        same,
    ),
    "DtypeObservation": (
        LATER,
        FLAT,
        lambda env: wrapped("DtypeObservation", env, np.float64),
        same,
        same,
    ),
    "DictInfoToList": (LATER, {}, lambda env: wrapped("DictInfoToList", env), same, same),
    "ArrayConversion": (LATER, FLAT, to_torch, same, same),
    "NumpyToTorch": (LATER, {}, lambda env: wrapped("NumpyToTorch", env), same, same),
}
#: What is for pictures, which users in parallel have none of, or for arrays of JAX.
OTHERS = {
    "GrayscaleObservation",
    "HumanRendering",
    "JaxToNumpy",
    "JaxToTorch",
    "RecordVideo",
    "ResizeObservation",
}
IS_FIRST = gymnasium.__version__.startswith("1.1.")


def numpy_of(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: numpy_of(value) for key, value in tree.items()}
    return np.asarray(tree)


def assert_equal(one: Any, other: Any) -> None:
    if isinstance(one, dict):
        assert set(one) == set(other)
        for key in one:
            assert_equal(one[key], other[key])
    else:
        np.testing.assert_allclose(one, other, rtol=1e-6)


def stepped(env: Any, mode: str, *, torch: bool = False) -> list[Any]:
    """Returns the observation of the reset, and the outcomes of steps."""
    action_space = env.unwrapped.action_space
    action_space.seed(3)
    outcomes: list[Any] = [numpy_of(env.reset(seed=2)[0])]
    for _ in range(17):
        actions = action_space.sample()
        if torch:
            actions = __import__("torch").as_tensor(actions)
        *outcome, infos = env.step(actions)
        outcome = [numpy_of(part) for part in outcome]
        outcomes.append([*outcome, infos])
        ended = outcome[2] | outcome[3]
        if mode == "DISABLED" and ended.any():
            outcomes.append(numpy_of(env.reset(options={"reset_mask": ended})[0]))
    return outcomes


@pytest.mark.filterwarnings("ignore")  # Gymnasium's, such as of the precision of bounds.
@pytest.mark.parametrize("name", WRAPPERS)
@pytest.mark.parametrize("mode", MODES)
def test_wrappers(name: str, mode: str) -> None:
    modes, options, make_wrapper, of_observation, of_rewards = WRAPPERS[name]
    if not hasattr(gymnasium_wrappers, name):
        pytest.skip(f"Gymnasium {gymnasium.__version__} has no {name}")
    is_torch = name in ("ArrayConversion", "NumpyToTorch")
    if is_torch:
        pytest.importorskip("torch")
        if not IS_FIRST:
            pytest.importorskip("array_api_compat")
        if IS_FIRST and mode == "DISABLED":
            pytest.skip("Gymnasium 1.1 converts no options of a reset")
    env = make(mode, **options)
    if mode not in modes:
        with pytest.raises((AssertionError, TypeError, ValueError)):
            stepped(make_wrapper(env), mode, torch=is_torch)
        return
    wrapper = make_wrapper(env)
    outcomes = stepped(wrapper, mode, torch=is_torch)
    # Gymnasium 1.1 normalizes to float64, whatever the space says.
    if not (IS_FIRST and name == "NormalizeObservation") and not is_torch:
        assert outcomes[0] in wrapper.observation_space
    expected = stepped(make(mode, **options), mode)
    for outcome, plain in zip(outcomes, expected, strict=True):
        if isinstance(plain, list):
            observation, rewards, *ends, _ = outcome
            for ended, of_plain in zip(ends, plain[2:4], strict=True):
                np.testing.assert_array_equal(ended, of_plain)
            if of_rewards is not None:
                np.testing.assert_allclose(rewards, of_rewards(plain[1]), rtol=1e-6)
            plain = plain[0]
        else:
            observation = outcome
        if of_observation is not None:
            assert_equal(observation, of_observation(plain))


def test_every_wrapper_is_listed() -> None:
    names = {name for name in gymnasium_wrappers.__all__ if name[0].isupper()}
    assert names - OTHERS <= set(WRAPPERS)


def test_the_documentation_lists_them() -> None:
    page = (pathlib.Path(TESTS).parent / "docs/gymnasium.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (yes|no) \| (yes|no) \| (yes|no) \|", page, re.MULTILINE)
    listed = {
        name: [mode for mode, works in zip(["SAME_STEP", *LATER], answers) if works == "yes"]
        for name, *answers in rows
    }
    assert {name: set(modes) for name, modes in listed.items()} == {
        name: set(row[0]) for name, row in WRAPPERS.items()
    }


@pytest.mark.parametrize("mode", ["SAME_STEP", "NEXT_STEP"])
def test_episode_statistics_are_those_of_the_episodes(mode: str) -> None:
    if IS_FIRST and mode == "SAME_STEP":
        pytest.skip("Gymnasium 1.1 leaves out the first step of a next episode")
    env = gymnasium_wrappers.RecordEpisodeStatistics(make(mode))
    env.action_space.seed(3)
    env.reset(seed=2)
    returns, lengths, ended = np.zeros(NUM_USERS), np.zeros(NUM_USERS, int), np.zeros(NUM_USERS)
    num_ended = 0
    for _ in range(20):
        waits = ended.astype(bool) & (mode == "NEXT_STEP")
        _, rewards, terminated, truncated, infos = env.step(env.action_space.sample())
        returns += rewards
        lengths += ~waits
        ended = terminated | truncated
        if ended.any():
            num_ended += ended.sum()
            np.testing.assert_allclose(infos["episode"]["r"][ended], returns[ended], rtol=1e-5)
            assert (infos["episode"]["l"][ended] == lengths[ended]).all()
            returns[ended], lengths[ended] = 0.0, 0
    assert num_ended >= 12


def test_flattened_observations_are_the_flat_ones() -> None:
    one = gymnasium_wrappers.FlattenObservation(make("NEXT_STEP"))
    other = make("NEXT_STEP", **FLAT)
    for outcome, expected in zip(stepped(one, "NEXT_STEP"), stepped(other, "NEXT_STEP")):
        if isinstance(expected, list):
            outcome, expected = outcome[0], expected[0]
        np.testing.assert_allclose(outcome, expected, rtol=1e-6)


def test_observations_are_normalized_over_all_steps() -> None:
    env = gymnasium_wrappers.NormalizeObservation(make("NEXT_STEP", **FLAT))
    plain = [
        outcome[0] if isinstance(outcome, list) else outcome
        for outcome in stepped(make("NEXT_STEP", **FLAT), "NEXT_STEP")
    ]
    stepped(env, "NEXT_STEP")
    np.testing.assert_allclose(env.obs_rms.mean, np.concatenate(plain).mean(axis=0), atol=1e-3)
    assert env.obs_rms.mean.shape == env.single_observation_space.shape


@pytest.mark.skipif(IS_FIRST, reason="Gymnasium 1.1 counts the steps that begin an episode")
def test_rewards_are_normalized_without_the_steps_that_show_nothing() -> None:
    env = gymnasium_wrappers.NormalizeReward(make("NEXT_STEP"), gamma=0.0)
    stepped(env, "NEXT_STEP")
    rewards, waits = [], np.zeros(NUM_USERS, bool)
    for outcome in stepped(make("NEXT_STEP"), "NEXT_STEP")[1:]:
        rewards += outcome[1][~waits].tolist()
        waits = outcome[2] | outcome[3]
    assert env.return_rms.mean == pytest.approx(np.mean(rewards), rel=1e-3)
    assert env.return_rms.var == pytest.approx(np.var(rewards), rel=1e-2)
