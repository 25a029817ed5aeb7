"""Whatever the spaces of a scenario are, it is refused when it is made, or observed rightly."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import (
    random_cases,
    random_scenarios,
    random_spaces,
    random_vector_scenarios,
)

from recsim import spaces as spaces_lib
from recsim._internal import trees
from recsim._internal.gym_import import gym
from recsim._internal.gym_import import spaces as gym_spaces
from recsim.agents import adapters, random_agent, tabular_q_agent
from recsim.agents.layers import fixed_length_history, temporal_aggregation
from recsim.benchmarks.endurance import clear_errors
from recsim.simulator import episode_log, gymnasium_env, runner_lib
from recsim.vector import wrappers

NUM_STEPS = 3
SIZES = {"num_candidates": 3, "slate_size": 2, "session_length": 2}


@st.composite
def triples(draw: Any) -> tuple[Any, Any, Any]:
    """Draws the spaces of a user, a document and a response, all of one library."""
    library = draw(st.sampled_from(random_spaces.LIBRARIES))
    return tuple(draw(random_spaces.arrays(library)) for _ in range(3))  # type: ignore[return-value]


def seeded(spaces: Any) -> Any:
    """Returns spaces that sample the same in each run."""
    spaces = list(spaces)
    for number, space in enumerate(spaces):
        space.seed(number)
    return spaces


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


@random_cases.random_cases(200)
@given(scenarios(), st.sampled_from([None, 2]))
def test_the_environment_in_recsims_form(scenario, num_users):
    env = scenario.make(num_users=num_users)
    slates = [2, 0] if num_users is None else [[2, 0], [1, 1]]
    observation = env.reset()
    assert isinstance(env.observation_space, gym_spaces.Dict)
    for part in ("user", "doc"):
        spaces_lib.check_observation(env.observation_space[part], observation[part], part)
    for _ in range(NUM_STEPS):
        observation, reward, _, _ = env.step(slates)
        spaces_lib.check_observation(env.observation_space, observation)
        assert reward == 2  # Responses to one slate, or lists of responses of two users.


@random_cases.random_cases(200)
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
    # A short slate has no response to its second position.
    assert env.step([1])[0] in env.observation_space
    nothing = env.reset()[0]["response"]
    zeros = trees.map_leaves(np.zeros_like, nothing)
    if zeros in env.observation_space["response"]:
        assert_equal(nothing, zeros)


def _row(tree: Any, index: int) -> Any:
    if isinstance(tree, Mapping):
        return {key: _row(value, index) for key, value in tree.items()}
    if isinstance(tree, tuple):
        return tuple(_row(item, index) for item in tree)
    return tree[index]


class Checking(random_agent.RandomAgent):
    """Checks each observation that it gets."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__(action_space)
        self.space = observation_space

    def step(self, reward: float, observation: Any) -> list[int]:
        for part in ("user", "doc", "response"):
            if observation[part] is not None:
                spaces_lib.check_observation(self.space[part], observation[part], part)
        return list(super().step(reward, observation))


@random_cases.random_cases(100)
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
            lambda observation_space, action_space, _: Checking(observation_space, action_space),
            env,
        )
    )
    observation, _ = env.reset()
    assert observation in env.observation_space
    slates = agents.begin(observation) if agents else np.array([[0, 1], [2, 3]])
    for _ in range(NUM_STEPS + 3):  # Past the end of an episode.
        observation, *outcome = env.step(slates)
        assert observation in env.observation_space
        assert outcome[0].tolist() == [2.0, 2.0]
        for final in outcome[-1].get("final_obs", ()):
            assert final in env.single_observation_space
        if agents:
            slates = agents.step(observation, *outcome)


@random_cases.random_cases(100)
@given(scenarios(), st.integers(1, 4))
def test_layers_and_tables(scenario, history_length):
    env = scenario.make(resample_documents=False)
    ctors = [
        lambda: fixed_length_history.FixedLengthHistoryLayer(
            tabular_q_agent.TabularQAgent,
            env.observation_space,
            env.action_space,
            history_length,
            remember_doc=True,
        ),
        lambda: temporal_aggregation.TemporalAggregationLayer(
            tabular_q_agent.TabularQAgent,
            env.observation_space,
            env.action_space,
            aggregation_period=2,
            ignore_response=False,
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


@random_cases.random_cases(200)
@given(st.data())
def test_flattened_observations_are_those_of_gymnasium(data):
    library = data.draw(st.sampled_from(random_spaces.LIBRARIES))
    space = data.draw(random_spaces.spaces(library))
    size = made(lambda: spaces_lib.flat_size(space))
    if size is None:
        return
    for element in random_spaces.elements(space, 2, data.draw(st.integers(0, 1000))):
        out = np.full(size, np.nan)
        spaces_lib.flatten(space, element, out)
        np.testing.assert_array_equal(out, np.asarray(library.flatten(space, element), float))


@pytest.mark.slow
@random_cases.random_cases(60)
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


@random_cases.random_cases(60)
@given(triples())
def test_features_and_episode_logs(spaces: Any) -> None:
    env = random_scenarios.make(*seeded(spaces), **SIZES)
    stack = spaces_lib.ObservationStacker(
        spaces_lib.spaces_of(env), env.environment.num_candidates, 2, many=True
    )
    adapter = adapters.ObservationAdapter(env.observation_space)
    of_many = adapters.ObservationAdapter(spaces_lib.single_user_space(stack.space))
    space = env.observation_space
    observation = env.reset()
    observation = env.step([1, 0])[0]
    user, documents = adapter.features(observation)
    expected = gym_flatten(space["user"], observation["user"])
    np.testing.assert_array_equal(user, expected.astype(np.float32))
    for row, one, of_one in zip(documents, observation["doc"].values(), space["doc"].values()):
        np.testing.assert_array_equal(row, gym_flatten(of_one, one).astype(np.float32))
    users, all_documents = of_many.features_of_many(stack([observation]))
    np.testing.assert_array_equal(users, user[np.newaxis])
    np.testing.assert_array_equal(all_documents, documents[np.newaxis])

    encoder = episode_log.StepEncoder(env)
    encoded = dict(
        encoder.encode(observation["user"], observation["doc"], [1], observation["response"], 0.0)
    )
    assert encoded["user"].endswith(user.tobytes())
    assert encoded["doc_0"].endswith(documents[0].tobytes())


def gym_flatten(space: Any, value: Any) -> np.ndarray:
    """Returns what gym's ``flatten`` does, which knows no MultiDiscrete space with a start."""
    if isinstance(space, (gym_spaces.Dict, gym_spaces.Tuple)):
        parts = [gym_flatten(entry, value[key]) for key, entry in spaces_lib.children(space)]
        return np.concatenate([np.ravel(part) for part in parts])
    if isinstance(space, gym_spaces.MultiDiscrete):
        value = np.asarray(value) - getattr(space, "start", 0)
        space = gym_spaces.MultiDiscrete(space.nvec)
    return np.ravel(gym_spaces.flatten(space, value))


@pytest.mark.skipif(gym.__version__ < "0.26", reason="Gym flattened no text before")
@random_cases.random_cases(15)
@given(st.sampled_from(random_spaces.LIBRARIES).flatmap(random_spaces.texts))
def test_texts_are_for_recsims_form_alone(space: Any) -> None:
    space.seed(0)
    for position in range(3):
        spaces = [random_scenarios.UNIT, random_scenarios.UNIT, random_scenarios.CLICK]
        spaces[position] = space
        env = random_scenarios.make(*spaces, **SIZES)
        observation = env.reset()
        observation = env.step([1, 0])[0]
        spaces_lib.check_observation(env.observation_space, observation)
        dict(
            episode_log.StepEncoder(env).encode(
                observation["user"], observation["doc"], [1], observation["response"], 0.0
            )
        )
        refusing = [
            lambda env=env: gymnasium_env.RecSimGymnasiumEnv(env),
            lambda env=env: wrappers.SingleUserEnvs([env]),
        ]
        if position < 2:
            refusing.append(lambda env=env: adapters.ObservationAdapter(env.observation_space))
            refusing.append(
                lambda env=env: tabular_q_agent.TabularQAgent(
                    env.observation_space, env.action_space
                )
            )
        for make in refusing:
            with pytest.raises(NotImplementedError, match="Use a MultiDiscrete space of the char"):
                make()


@random_cases.random_cases(50)
@given(triples())
def test_vector_environments_of_a_users_own(spaces: Any) -> None:
    user, document, response = map(spaces_lib.to_gym, spaces)
    env = random_vector_scenarios.make(
        spaces_lib.stacked_space(user, None),
        spaces_lib.stacked_space(document, 3),
        spaces_lib.stacked_space(response, 2),
    )
    # Numbers of floating point are all of the dtype of the environment.
    observed = seeded(env.single_observation_space[part] for part in ("user", "doc", "response"))
    env = random_vector_scenarios.make(*observed)
    assert env.reset()[0] in env.observation_space
    for _ in range(3):
        *outcome, infos = env.step([[0, 1], [2, 2]])
        assert outcome[0] in env.observation_space
        for final in infos.get("final_obs", ()):
            assert final is None or final in env.single_observation_space
