"""A number from an observation or a reward may be written in many ways, and means one thing."""

from __future__ import annotations

import collections
import functools
import math
from typing import Any

import gym.spaces
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import random_cases, random_scenarios, random_spaces

from recsim import registry, utils
from recsim.agents import (
    cluster_bandit_agent,
    contextual_bandit_agent,
    full_slate_q_agent,
    ppo_agent,
    random_agent,
    reinforce_agent,
    sac_topk_agent,
    tabular_q_agent,
    wolpertinger_agent,
)
from recsim.agents.layers import (
    abstract_click_bandit,
    cluster_click_statistics,
    fixed_length_history,
    temporal_aggregation,
)
from recsim.benchmarks.endurance import clear_errors
from recsim.simulator import gymnasium_env, runner_lib
from recsim.vector import wrappers

SPELLINGS = sorted(random_spaces.SPELLINGS)
NO_NUMBERS = sorted(random_spaces.NO_NUMBERS)
NUM_STEPS = 3


def click_scenario(
    spelling: str,
    numbers: list[int],
    reward: Any = random_scenarios.clicks,
    last_topic: int = 2,
) -> Any:
    """Returns a scenario whose documents and responses write their numbers in a way."""
    last_topic = min(last_topic, limit_of(spelling))
    write = random_spaces.SPELLINGS[spelling]
    one = np.shape(write(1))
    box = gym.spaces.Box(0.0, 1.0, one, np.float32)
    topics = gym.spaces.Box(0.0, 2.0, one, np.float32) if one else gym.spaces.Discrete(3)
    response_space = gym.spaces.Dict({"click": box, "cluster_id": topics, "quality": box})
    responses = [
        {
            "click": write(n % 2),
            "cluster_id": write(min(n, last_topic)),
            "quality": write(1),
        }
        for n in numbers
    ]
    documents = gym.spaces.Dict({"cluster_id": topics, "quality": box})
    observations = [
        {"cluster_id": write(min(n, last_topic)), "quality": write(1)} for n in range(3)
    ]
    user_space = gym.spaces.Box(0.0, 1.0, (1,), np.float32)
    return random_scenarios.Scenario(
        user_space,
        documents,
        response_space,
        [np.zeros(1, np.float32)],
        observations,
        responses,
        reward,
    )


def limit_of(spelling: str) -> int:
    """Returns the greatest number of topics that a way to write it can tell apart."""
    return 1 if "bool" in spelling else 2


def cluster_bandit(env: Any) -> Any:
    return cluster_click_statistics.ClusterClickStatsLayer(
        cluster_bandit_agent.ClusterBanditAgent, env.observation_space, env.action_space
    )


def click_bandit(env: Any) -> Any:
    def arms(**kwargs: Any) -> Any:
        return abstract_click_bandit.AbstractClickBanditLayer(
            arm_base_agent_ctors=[
                lambda observation_space, action_space, topic=topic: (
                    cluster_bandit_agent.GreedyClusterAgent(
                        observation_space, action_space, cluster_id=topic
                    )
                )
                for topic in range(3)
            ],
            **kwargs,
        )

    return cluster_click_statistics.ClusterClickStatsLayer(
        arms, env.observation_space, env.action_space
    )


def tabular_q(env: Any) -> Any:
    return tabular_q_agent.TabularQAgent(
        env.observation_space, env.action_space, ignore_response=False, seed=0
    )


def history(env: Any) -> Any:
    return fixed_length_history.FixedLengthHistoryLayer(
        tabular_q_agent.TabularQAgent, env.observation_space, env.action_space, 2
    )


def aggregation(env: Any) -> Any:
    return temporal_aggregation.TemporalAggregationLayer(
        tabular_q_agent.TabularQAgent,
        env.observation_space,
        env.action_space,
        gamma=0.9,
        aggregation_period=2,
    )


def full_slate_q(env: Any) -> Any:
    return full_slate_q_agent.FullSlateQAgent(None, env.observation_space, env.action_space)


def policy_gradient(agent_class: Any, env: Any) -> Any:
    return agent_class(env.observation_space, env.action_space, update_period=2)


def actor_critic(agent_class: Any, env: Any) -> Any:
    return agent_class(
        env.observation_space,
        env.action_space,
        min_replay_history=2,
        update_period=2,
        replay_capacity=100,
    )


def contextual_bandit(env: Any) -> Any:
    return contextual_bandit_agent.ContextualBanditAgent(env.observation_space, env.action_space)


AGENTS = {
    "contextual bandit": contextual_bandit,
    "full slate Q": full_slate_q,
    "PPO": functools.partial(policy_gradient, ppo_agent.PPOAgent),
    "REINFORCE": functools.partial(policy_gradient, reinforce_agent.ReinforceAgent),
    "Wolpertinger": functools.partial(actor_critic, wolpertinger_agent.WolpertingerAgent),
    "SAC with top-k": functools.partial(actor_critic, sac_topk_agent.SACTopKAgent),
    "cluster bandit": cluster_bandit,
    "click bandit": click_bandit,
    "tabular Q": tabular_q,
    "history": history,
    "temporal aggregation": aggregation,
}
LEARNING_FROM_REWARDS = (
    "full slate Q",
    "tabular Q",
    "temporal aggregation",
    "PPO",
    "REINFORCE",
    "Wolpertinger",
    "SAC with top-k",
)
WITH_TABLES = ("tabular Q", "temporal aggregation", "history")


def rollout(scenario: Any, make_agent: Any, spell: Any = float) -> list[Any]:
    """Returns the slates of an agent who is told of rewards in a way."""
    env = scenario.make()
    agent = make_agent(env)
    slates = [agent.begin_episode(env.reset())]
    for _ in range(NUM_STEPS):
        observation, reward, _, _ = env.step(slates[-1])
        slates.append(agent.step(spell(reward), observation))
    agent.end_episode(spell(reward), observation)
    return [np.asarray(slate).tolist() for slate in slates]


@random_cases.random_cases(150)
@given(
    st.sampled_from(SPELLINGS),
    st.lists(st.integers(0, 2), min_size=1, max_size=5),
    st.sampled_from(sorted(AGENTS)),
)
def test_agents_read_a_number_however_it_is_written(spelling, numbers, name):
    numbers = [min(number, limit_of(spelling)) for number in numbers]
    slates = rollout(click_scenario(spelling, numbers), AGENTS[name])
    as_floats = "array (1,)" if np.shape(random_spaces.SPELLINGS[spelling](1)) else "float"
    same_topics = click_scenario(as_floats, numbers, last_topic=limit_of(spelling))
    expected = rollout(same_topics, AGENTS[name])
    if name not in WITH_TABLES:  # They may tell a bin of a Box from a value of a Discrete space.
        assert slates == expected


@random_cases.random_cases(150)
@given(
    st.sampled_from(SPELLINGS),
    st.lists(st.integers(0, 1), min_size=1, max_size=5),
    st.sampled_from(sorted(AGENTS)),
)
def test_agents_learn_from_a_reward_however_it_is_written(spelling, numbers, name):
    scenario = click_scenario("float", numbers)
    spell = random_spaces.SPELLINGS[spelling]
    if "bool" in spelling:
        expected = rollout(scenario, AGENTS[name], lambda reward: float(bool(reward)))
    else:
        expected = rollout(scenario, AGENTS[name])
    assert rollout(scenario, AGENTS[name], spell) == expected


@random_cases.random_cases(100)
@given(
    st.sampled_from([*NO_NUMBERS, "nan", "inf"]),
    st.sampled_from(LEARNING_FROM_REWARDS),
    st.integers(0, NUM_STEPS),
)
def test_agents_refuse_a_reward_that_they_cannot_learn_from(no_number, name, when):
    scenario = click_scenario("float", [0, 1])
    env = scenario.make()
    agent = AGENTS[name](env)
    slate = agent.begin_episode(env.reset())
    for _ in range(when):
        observation, reward, _, _ = env.step(slate)
        slate = agent.step(reward, observation)
    observation, _, _, _ = env.step(slate)
    bad = {**random_spaces.NO_NUMBERS, "nan": math.nan, "inf": math.inf}[no_number]
    for call in (agent.step, agent.end_episode):
        with pytest.raises((TypeError, ValueError)) as caught:
            call(bad, observation)
        clear_errors.assert_clear(caught.value, naming=["reward"])


ADAPTERS = {
    "Gymnasium": lambda scenario: gymnasium_env.RecSimGymnasiumEnv(scenario.make()),
    "vector": lambda scenario: wrappers.SingleUserEnvs([scenario.make()]),
}


@random_cases.random_cases(100)
@given(st.sampled_from([*SPELLINGS, *NO_NUMBERS, "nan", "inf"]), st.sampled_from(sorted(ADAPTERS)))
def test_adapters_hand_out_one_number_as_reward(name, adapter):
    bad = {**random_spaces.NO_NUMBERS, "nan": math.nan, "inf": math.inf}
    reward = bad[name] if name in bad else random_spaces.SPELLINGS[name](1)
    env = ADAPTERS[adapter](click_scenario("float", [1], lambda responses: reward))
    env.reset()
    slates = np.array([0, 1]) if adapter == "Gymnasium" else np.array([[0, 1]])
    if name not in bad:
        assert float(np.asarray(env.step(slates)[1]).item()) == 1.0
        return
    with pytest.raises((TypeError, ValueError)) as caught:
        env.step(slates)
    clear_errors.assert_clear(caught.value, naming=["reward"])


@pytest.mark.slow
@random_cases.random_cases(60)
@given(st.sampled_from([*SPELLINGS, *NO_NUMBERS, "nan", "inf"]), st.booleans())
def test_runners_add_up_rewards_however_they_are_written(tmp_path_factory, name, training):
    bad = {**random_spaces.NO_NUMBERS, "nan": math.nan, "inf": math.inf}
    reward = bad[name] if name in bad else random_spaces.SPELLINGS[name](1)
    folder = tmp_path_factory.mktemp("run")
    shared = {
        "base_dir": folder,
        "create_agent_fn": lambda _, env, **kwargs: random_agent.RandomAgent(env.action_space, 0),
        "env": click_scenario("float", [1], lambda responses: reward).make(),
        "progress": False,
        "max_steps_per_episode": NUM_STEPS,
        "episode_log_file": "episodes",
    }
    if training:
        runner = runner_lib.TrainRunner(max_training_steps=2, num_iterations=1, **shared)
    else:
        runner = runner_lib.EvalRunner(max_eval_episodes=2, test_mode=True, **shared)
    if name not in bad:
        runner.run_experiment()
        if not training:
            returns = (folder / "eval_2" / "returns_0").read_text()
            assert returns == "[3.0, 3.0]"
        return
    with pytest.raises((TypeError, ValueError)) as caught:
        runner.run_experiment()
    clear_errors.assert_clear(caught.value, naming=["reward"])


@random_cases.random_cases(60)
@given(st.sampled_from(SPELLINGS), st.lists(st.integers(0, 2), min_size=2, max_size=2))
def test_metrics_read_a_number_however_it_is_written(spelling, numbers):
    def metrics(written: str) -> dict[str, float]:
        scenario = click_scenario(written, numbers, last_topic=limit_of(spelling))
        found = collections.defaultdict(float)
        return dict(utils.aggregate_video_cluster_metrics(scenario.responses, found))

    assert metrics(spelling) == metrics("float")
    assert all(type(value) in (float, int) for value in metrics(spelling).values())


def test_every_registered_agent_is_known_here():
    # Those that are not in this file are deep ones, which their own tests cover.
    others = {"random", "greedy_pctr", "softmax", "tabular_q", "ppo", "reinforce"}
    others |= {"wolpertinger", "sac_topk"}
    learning = tuple(
        name
        for name, entry in registry.AGENTS.items()
        if entry.modules == ("recsim.agents.contextual_bandit_agent",)
    )
    assert learning
    bandits = {name for name in registry.AGENTS if name.startswith("cluster_bandit")}
    deep = {name for name in registry.AGENTS if "slate" in name or name == "dp_random"}
    assert set(registry.AGENTS) == others | bandits | deep | set(learning)
