"""Whatever the spaces of a scenario are, it is refused when it is made, or observed rightly."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gym.spaces
import gymnasium.spaces
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import clear_errors, drawing, random_scenarios, random_spaces

from recsim import spaces
from recsim.agents import random_agent, tabular_q_agent
from recsim.agents.layers import fixed_length_history
from recsim.simulator import gymnasium_env, runner_lib
from recsim.vector import wrappers

NUM_STEPS = 3


@st.composite
def scenarios(draw: st.DrawFn) -> random_scenarios.Scenario:
    library = draw(st.sampled_from(random_spaces.LIBRARIES))
    user_space, document_space, response_space = (
        draw(random_spaces.spaces(library)) for _ in range(3)
    )
    seed = draw(st.integers(0, 1000))
    return random_scenarios.Scenario(
        user_space,
        document_space,
        response_space,
        random_spaces.elements(user_space, 3, seed),
        random_spaces.elements(document_space, 5, seed),
        random_spaces.elements(response_space, 3, seed),
    )


def leaves(tree: Any) -> Iterator[Any]:
    """Yields the leaves of an observation, dictionaries in the order of their keys."""
    if isinstance(tree, Mapping):
        for key in sorted(tree):
            yield from leaves(tree[key])
    elif isinstance(tree, tuple):
        for item in tree:
            yield from leaves(item)
    else:
        yield tree


def assert_equal(ours: Any, raw: Any) -> None:
    """Checks that two observations hold the same values, texts apart from how they are coded."""
    ours, raw = list(leaves(ours)), list(leaves(raw))
    assert len(ours) == len(raw)
    for value, expected in zip(ours, raw, strict=True):
        if not isinstance(expected, str):
            np.testing.assert_array_equal(np.asarray(value, float), np.asarray(expected, float))


def made(make: Callable[[], Any]) -> Any:
    """Returns what is made, None if it is refused by a clear error."""
    try:
        return make()
    except Exception as error:
        clear_errors.assert_clear(error)
        return None


@drawing.draws(300)
@given(scenarios())
def test_the_single_user_engine_observes_what_lies_in_the_spaces(scenario):
    env = made(scenario.make)
    if env is None:
        return
    agent = random_agent.RandomAgent(env.action_space, random_seed=0)
    observation = env.reset()
    slate = agent.begin_episode(observation)
    for _ in range(NUM_STEPS):
        observation, reward, _, _ = env.step(slate)
        spaces.check_observation(env.observation_space, observation)
        assert reward == 2
        slate = agent.step(reward, observation)


@drawing.draws(300)
@given(scenarios())
def test_the_gymnasium_adapter_observes_what_lies_in_the_spaces(scenario):
    raw = made(scenario.make)
    env = None if raw is None else made(lambda: gymnasium_env.RecSimGymnasiumEnv(scenario.make()))
    if env is None:
        return
    observation, _ = env.reset()
    expected = raw.reset()
    assert observation in env.observation_space
    for _ in range(NUM_STEPS):
        assert_equal(observation["user"], expected["user"])
        observation, reward, terminated, truncated, _ = env.step(np.array([1, 3]))
        expected, _, _, _ = raw.step([1, 3])
        assert observation in env.observation_space
        assert (reward, terminated, truncated) == (2.0, False, False)
        assert type(reward) is float
        for index, of_item in enumerate(expected["doc"].values()):
            assert_equal(_row(observation["doc"], index), of_item)
        for index, of_item in enumerate(expected["response"]):
            assert_equal(_row(observation["response"], index), of_item)


def _row(tree: Any, index: int) -> Any:
    if isinstance(tree, Mapping):
        return {key: _row(value, index) for key, value in tree.items()}
    if isinstance(tree, tuple):
        return tuple(_row(item, index) for item in tree)
    return tree[index]


@drawing.draws(150)
@given(scenarios())
def test_single_user_environments_step_as_a_vector(scenario):
    raw = made(scenario.make)
    env = (
        None
        if raw is None
        else made(lambda: wrappers.SingleUserEnvs([scenario.make(), scenario.make()]))
    )
    if env is None:
        return
    agents = made(
        lambda: wrappers.SingleUserAgents(
            lambda _, action_space, seed: random_agent.RandomAgent(action_space, seed), env
        )
    )
    observation, _ = env.reset()
    assert observation in env.observation_space
    slates = agents.begin(observation) if agents else np.array([[0, 1], [2, 3]])
    for _ in range(NUM_STEPS + 3):  # Past the end of an episode.
        observation, *outcome = env.step(slates)
        assert observation in env.observation_space
        assert outcome[0].tolist() == [2.0, 2.0]
        if agents:
            slates = agents.step(observation, *outcome)


@drawing.draws(150)
@given(scenarios(), st.integers(1, 4))
def test_layers_and_tables_take_every_space(scenario, history_length):
    env = made(scenario.make)
    if env is None:
        return
    ctors = [
        lambda: fixed_length_history.FixedLengthHistoryLayer(
            random_agent.RandomAgent, env.observation_space, env.action_space, history_length
        ),
        lambda: tabular_q_agent.TabularQAgent(env.observation_space, env.action_space),
    ]
    for agent in filter(None, map(made, ctors)):
        observation = env.reset()
        slate = agent.begin_episode(observation)
        for _ in range(NUM_STEPS):
            observation, reward, _, _ = env.step(slate)
            as_it_was = copy.deepcopy(observation)
            slate = agent.step(reward, observation)
            assert_equal(tuple(observation["doc"].values()), tuple(as_it_was["doc"].values()))
        agent.end_episode(reward, observation)


@drawing.draws(200)
@given(st.data())
def test_flattened_observations_are_those_of_gymnasium(data):
    library = data.draw(st.sampled_from(random_spaces.LIBRARIES))
    space = data.draw(random_spaces.spaces(library))
    size = made(lambda: spaces.flat_size(space))
    if size is None:
        return
    for element in random_spaces.elements(space, 2, data.draw(st.integers(0, 1000))):
        out = np.full(size, np.nan)
        spaces.flatten(space, element, out)
        others = gymnasium.spaces if library is gymnasium.spaces else gym.spaces
        np.testing.assert_array_equal(out, np.asarray(others.flatten(space, element), float))


@pytest.mark.slow
@drawing.draws(60)
@given(scenarios(), st.booleans())
def test_runners_log_every_space(tmp_path_factory, scenario, log):
    env = made(scenario.make)
    if env is None:
        return
    runner = made(
        lambda: runner_lib.EvalRunner(
            base_dir=tmp_path_factory.mktemp("run"),
            create_agent_fn=lambda _, env, **kwargs: random_agent.RandomAgent(env.action_space, 0),
            env=env,
            episode_log_file="log" if log else "",
            max_eval_episodes=2,
            test_mode=True,
            max_steps_per_episode=NUM_STEPS,
            progress=False,
        )
    )
    if runner is not None:
        runner.run_experiment()
