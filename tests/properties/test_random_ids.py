"""Documents may have any IDs that can be told apart, or are refused by name."""

from __future__ import annotations

import gym.spaces
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import random_cases, random_scenarios

from recsim.agents import random_agent
from recsim.benchmarks.endurance import clear_errors
from recsim.simulator import gymnasium_env, runner_lib
from recsim.vector import wrappers

NUM_CANDIDATES = 4

IDS = st.one_of(
    st.integers(-(2**70), 2**70),
    st.integers(0, 3),
    st.text(max_size=3),
    st.sampled_from(["0", "1", "2", "doc 7", ""]),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.floats(allow_nan=True),
    st.none(),
    st.booleans(),
    st.binary(max_size=2),
    st.builds(np.int64, st.integers(0, 5)),
    st.builds(np.array, st.integers(0, 3)),
    st.builds(list, st.just("ab")),
)


def scenario(ids):
    box = gym.spaces.Box(0.0, 1.0, (1,), np.float32)
    features = [np.array([value], np.float32) for value in (0.1, 0.3, 0.6, 0.9)]
    response_space = gym.spaces.Dict({"click": gym.spaces.Discrete(2)})
    return random_scenarios.Scenario(
        box, box, response_space, features[:1], features, [{"click": 1}], ids=ids
    )


def step_by_hand(env):
    observation = env.reset()
    for _ in range(3):
        assert len(observation["doc"]) == NUM_CANDIDATES
        shown = [observation["doc"][key] for key in list(observation["doc"])]
        assert [round(float(value[0]), 1) for value in shown] == [0.1, 0.3, 0.6, 0.9]
        observation, _, _, _ = env.step([1, 3])


def step_in_gymnasium(env):
    env = gymnasium_env.RecSimGymnasiumEnv(env)
    env.reset()
    for _ in range(3):
        observation, *_ = env.step(np.array([1, 3]))
        assert observation in env.observation_space


def step_as_vector(env):
    env = wrappers.SingleUserEnvs([env])
    env.reset()
    for _ in range(3):
        observation, *_ = env.step(np.array([[1, 3]]))
        assert observation in env.observation_space


WAYS = {"by hand": step_by_hand, "Gymnasium": step_in_gymnasium, "vector": step_as_vector}


@pytest.mark.filterwarnings("ignore:.*twice for one candidate set")
@random_cases.random_cases(200)
@given(
    st.lists(IDS, min_size=NUM_CANDIDATES, max_size=NUM_CANDIDATES), st.sampled_from(sorted(WAYS))
)
def test_candidate_sets_keep_their_size_or_say_whose_id_is_wrong(ids, way):
    try:
        WAYS[way](scenario(ids).make())
    except AssertionError:
        raise
    except Exception as error:
        clear_errors.assert_clear(error, naming=["ID"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*twice for one candidate set")
@random_cases.random_cases(40)
@given(st.lists(IDS, min_size=NUM_CANDIDATES, max_size=NUM_CANDIDATES, unique_by=repr))
def test_runners_log_documents_of_any_id(tmp_path_factory, ids):
    try:
        env = scenario(ids).make()
        env.reset()
    except Exception as error:
        clear_errors.assert_clear(error, naming=["ID"])
        return
    runner = runner_lib.EvalRunner(
        base_dir=tmp_path_factory.mktemp("run"),
        create_agent_fn=lambda _, env, **kwargs: random_agent.RandomAgent(env.action_space, 0),
        env=env,
        episode_log_file="episodes",
        max_eval_episodes=1,
        test_mode=True,
        progress=False,
    )
    runner.run_experiment()
