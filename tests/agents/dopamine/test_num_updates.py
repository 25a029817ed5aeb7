"""How many updates agents say that they have made, and how long they make none."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from support import rollouts
from support.scenarios import CONFIG

from recsim import types
from recsim._internal import learning
from recsim.agents import (
    full_slate_q_agent,
    random_agent,
    slate_decomp_q_agent,
    tabular_q_agent,
)
from recsim.agents.layers import cluster_click_statistics, temporal_aggregation
from recsim.environments import interest_evolution, interest_exploration
from recsim.simulator import runner_lib
from recsim.vector import wrappers

SMALL = {"hidden_units": (4,), "batch_size": 4, "replay_capacity": 1000}


def without_clicks(observation):
    observation = copy.deepcopy(observation)
    for response in observation["response"]:
        response["click"] = 0
    return observation


@pytest.mark.parametrize(
    "agent_class", [slate_decomp_q_agent.SlateDecompQAgent, full_slate_q_agent.FullSlateQAgent]
)
@pytest.mark.parametrize(
    ("settings", "longest"),
    [
        ({"min_replay_history": 0, "update_period": 1}, 2),
        ({"min_replay_history": 0, "update_period": 4}, 4),
        ({"min_replay_history": 11, "update_period": 4}, 12),
        ({"min_replay_history": 12, "update_period": 4}, 16),
        ({"min_replay_history": 5, "update_period": 1, "update_horizon": 9}, 10),
    ],
)
def test_the_longest_training_without_an_update(agent_class, settings, longest):
    for num_steps in (longest, longest + 1):
        env = interest_evolution.create_environment(CONFIG)
        agent = agent_class(None, env.observation_space, env.action_space, **SMALL, **settings)
        assert isinstance(agent, types.Learner)
        assert agent.steps_without_update == longest
        rollouts.run(env, agent, num_steps, 10)
        if agent_class is full_slate_q_agent.FullSlateQAgent:  # It learns from every transition.
            assert agent.num_updates == (num_steps > longest)
        else:
            assert agent.num_updates <= (num_steps > longest)


@pytest.mark.parametrize(
    ("num_envs", "settings", "longest"),
    [
        (7, {"min_replay_history": 0, "update_period": 1}, 7),
        (7, {"min_replay_history": 20, "update_period": 1}, 14),
        (7, {"min_replay_history": 21, "update_period": 1}, 21),
        (7, {"min_replay_history": 0, "update_period": 100}, 91),
    ],
)
def test_the_longest_training_of_many_users_without_an_update(num_envs, settings, longest):
    env = interest_evolution.create_vector_environment(CONFIG, num_envs)
    agent = full_slate_q_agent.VectorFullSlateQAgent(env, **SMALL, **settings)
    assert agent.steps_without_update == longest
    slates = agent.begin(env.reset()[0])
    for step in range(longest // num_envs + 1):
        assert agent.num_updates == 0, step
        slates = agent.step(*env.step(slates))
    assert agent.num_updates > 0


def test_steps_that_nothing_is_learned_from_are_no_updates():
    env = interest_evolution.create_environment(CONFIG)
    settings = {**SMALL, "min_replay_history": 0, "update_period": 1}
    agent = slate_decomp_q_agent.SlateDecompQAgent(
        None, env.observation_space, env.action_space, **settings
    )
    rollouts.run(env, agent, 20, 10, without_clicks)
    assert agent.num_updates == 0
    rollouts.run(env, agent, 40, 10)
    assert agent.num_updates > 0


def test_the_count_is_kept():
    env = interest_evolution.create_environment(CONFIG)

    def make():
        return full_slate_q_agent.FullSlateQAgent(
            None, env.observation_space, env.action_space, **SMALL, min_replay_history=0
        )

    agent, restored, of_old_bundle = make(), make(), make()
    rollouts.run(env, agent, 30, 10)
    bundle = agent.bundle_and_checkpoint("", 0)
    assert restored.unbundle("", 0, bundle)
    assert restored.num_updates == agent.num_updates > 1
    del bundle["num_updates"]  # As in bundles of before.
    assert of_old_bundle.unbundle("", 0, bundle)
    assert of_old_bundle.num_updates == agent.num_updates


def test_tables_count_their_updates():
    env = interest_exploration.create_environment(CONFIG)
    agent = tabular_q_agent.TabularQAgent(env.observation_space, env.action_space)
    assert agent.num_updates == 0
    rollouts.run(env, agent, 25, 10)
    assert agent.num_updates == 25
    evaluated = tabular_q_agent.TabularQAgent(
        env.observation_space, env.action_space, eval_mode=True
    )
    rollouts.run(env, evaluated, 25, 10)
    assert evaluated.num_updates == 0


def test_layers_and_wrappers_pass_on_what_their_agents_say():
    env = interest_exploration.create_environment(CONFIG)
    layer = temporal_aggregation.TemporalAggregationLayer(
        tabular_q_agent.TabularQAgent, env.observation_space, env.action_space, aggregation_period=1
    )
    rollouts.run(env, layer, 30, 10)
    assert learning.num_updates(layer) == 30
    of_random = temporal_aggregation.TemporalAggregationLayer(
        random_agent.RandomAgent,
        env.observation_space,
        env.action_space,
        aggregation_period=1,
    )
    assert learning.num_updates(of_random) is None
    assert learning.steps_without_update(of_random) == 0

    envs = interest_evolution.create_vector_environment(CONFIG, 3)
    agents = wrappers.SingleUserAgents(
        lambda observation_space, action_space, user: full_slate_q_agent.FullSlateQAgent(
            None, observation_space, action_space, **SMALL, min_replay_history=17
        ),
        envs,
    )
    assert learning.num_updates(agents) == 0
    assert learning.steps_without_update(agents) == 20

    envs = interest_exploration.create_vector_environment(CONFIG, 3)
    layer = cluster_click_statistics.VectorClusterClickStatsLayer(
        lambda environment: full_slate_q_agent.VectorFullSlateQAgent(
            environment, **SMALL, min_replay_history=17
        ),
        envs,
    )
    assert learning.num_updates(layer) == 0
    assert learning.steps_without_update(layer) == 123


@pytest.mark.parametrize("number", [[0], "x", None, 1.5, True, np.array([3])], ids=repr)
def test_what_is_not_a_number_of_updates_says_nothing(number):
    # An agent of a user's own may have attributes of these names for something else.
    agent = random_agent.RandomAgent(interest_exploration.create_environment(CONFIG).action_space)
    agent.num_updates = number
    agent.steps_without_update = number
    assert learning.num_updates(agent) is None
    assert learning.steps_without_update(agent) == 0
    agent.num_updates, agent.steps_without_update = np.int64(4), np.int32(9)
    assert learning.num_updates(agent) == 4
    assert learning.steps_without_update(agent) == 9


def test_a_training_ends_whatever_the_agents_attributes_hold(tmp_path):
    def create_agent(sess, environment, eval_mode, summary_writer=None):
        agent = random_agent.RandomAgent(environment.action_space)
        agent.num_updates, agent.steps_without_update = [0], "x"
        return agent

    runner = runner_lib.TrainRunner(
        base_dir=tmp_path,
        create_agent_fn=create_agent,
        env=interest_exploration.create_environment(CONFIG),
        max_training_steps=5,
        num_iterations=1,
        progress=False,
    )
    runner.run_experiment()
    assert (tmp_path / "train").exists()
