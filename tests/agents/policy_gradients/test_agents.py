"""Policy gradient agents of both engines: propensities, rollouts, explanations, refusals."""

from __future__ import annotations

import gin
import numpy as np
import pytest
from gym import spaces
from support.slate_learners import boredom, run, single, vector, vector_env

from recsim import registry
from recsim import types as recsim_types
from recsim.agents import ppo_agent, reinforce_agent
from recsim.simulator import rollout

NAMES = ("ppo", "reinforce")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("greedy_eval", [False, True])
def test_both_engines_recommend_and_know_the_same(name, greedy_eval):
    env = vector_env(max_steps_per_episode=7)
    trained = vector(name, env, item_units=(4,))
    _, observation = run(trained, env, 30)
    assert trained.num_updates > 5
    served = vector(name, env, item_units=(4,), eval_mode=True, greedy_eval=greedy_eval)
    assert served.unbundle("", 0, trained.serving_bundle())
    one = served.single_user_agent()
    slates = served.begin(observation)
    known = served.propensities(observation, slates)
    for user in range(3):
        documents = {str(i): row for i, row in enumerate(observation["doc"][user])}
        seen = {"user": observation["user"][user], "doc": documents, "response": None}
        of_one = one.propensities(seen, slates[user])
        np.testing.assert_allclose(of_one.slate, known.slate[user], rtol=1e-4)
        np.testing.assert_allclose(of_one.items, known.items[user], rtol=1e-4)
        if greedy_eval:
            np.testing.assert_array_equal(one.begin_episode(seen), slates[user])
            assert known.slate[user] == 1.0


@pytest.mark.parametrize("name", NAMES)
def test_propensities_are_the_shares_of_slates(name):
    env = boredom(4)
    agent = single(name, env)
    for _ in range(2):
        rollout.run_episode(env, agent, max_steps=30)
    observation = env.reset()
    slates = np.array([agent.begin_episode(observation) for _ in range(4000)])
    pairs = np.array([(i, j) for i in range(4) for j in range(4) if i != j])
    shares = (slates[:, np.newaxis] == pairs).all(axis=2).mean(axis=0)
    known = agent.propensities(observation, pairs)
    assert (np.abs(shares - known.slate) < 5 * np.sqrt(known.slate / 4000)).all()
    np.testing.assert_allclose(known.slate.sum(), 1.0)
    assert recsim_types.knows_propensities(agent)


def test_episodes_that_nobody_ended_end_without_the_last_slate():
    env = boredom()
    agent = single("ppo", env)
    slate = agent.begin_episode(env.reset())
    for _ in range(3):
        observation, reward, _, _ = env.step(slate)
        slate = agent.step(reward, observation)
    agent.begin_episode(env.reset())
    rollouts = agent.learner.rollouts
    assert rollouts.length == 3
    assert rollouts.arrays["ended"][:3, 0].tolist() == [False, False, True]
    assert not rollouts.arrays["terminated"][:3].any()


def test_the_last_state_of_a_truncated_episode_has_a_value():
    env = vector_env(4, max_steps_per_episode=3)
    agent = vector("reinforce", env, update_period=400)
    observation, _ = env.reset(seed=1)
    slates = agent.begin(observation)
    for _ in range(3):
        observation, rewards, terminated, truncated, infos = env.step(slates)
        slates = agent.step(observation, rewards, terminated, truncated, infos)
    assert truncated.all()
    arrays = agent.learner.rollouts.arrays
    assert arrays["ended"][2].all() and not arrays["terminated"][2].any()
    np.testing.assert_array_equal(arrays["next_users"][2], infos["final_obs"].batch["user"])
    np.testing.assert_array_equal(arrays["next_users"][0], arrays["users"][1])
    clicks = infos["final_obs"].batch["response"]["click"]
    np.testing.assert_array_equal(arrays["clicks"][2], clicks != 0)


def test_gin_configures_agents_of_both_engines():
    with gin.unlock_config():
        gin.parse_config(
            ["SlatePolicyAgent.update_period = 48", "PPOAgent.clip_range = 0.3"],
        )
    try:
        env = boredom()
        one = ppo_agent.PPOAgent(env.observation_space, env.action_space)
        many = ppo_agent.VectorPPOAgent(vector_env())
        for agent in (one, many):
            assert agent.learner.settings.update_period == 48
            assert agent.learner.objective.clip_range == 0.3
        planned = registry.create_agent("ppo", env, training_steps=1000)
        assert planned.learner.settings.update_period == 48
    finally:
        gin.clear_config()


def test_short_trainings_have_twenty_updates():
    agent = registry.create_agent("reinforce", boredom(), training_steps=1000)
    assert agent.learner.settings.update_period == 50
    agent = registry.create_agent("reinforce", boredom(), training_steps=30_000)
    assert agent.learner.settings.update_period == 512
    many = registry.create_vector_agent("ppo", vector_env(8), training_steps=30_000)
    assert many.learner.settings.update_period == 512


@pytest.mark.parametrize("name", NAMES)
def test_the_steps_before_the_first_update_are_told(name):
    env = boredom()
    agent = single(name, env)
    rollout.run_episode(env, agent, max_steps=agent.steps_without_update)
    assert agent.num_updates == 0
    agent = single(name, env)
    rollout.run_episode(env, agent, max_steps=agent.steps_without_update + 1)
    assert agent.num_updates == 1


def test_explanations_have_scores_and_the_values_of_states():
    env = boredom()
    observation = env.reset()
    agent = single("reinforce", env)
    known = agent.explain(observation)
    columns = known.tables[0].columns
    np.testing.assert_allclose(columns["probability of the first position"].sum(), 1.0)
    assert list(known.numbers) == ["value of the state", "value of no click"]


def test_reinforce_needs_clicks():
    env = boredom()
    responses = spaces.Tuple([spaces.Dict({"liked": spaces.Discrete(2)})] * 2)
    space = spaces.Dict({**env.observation_space.spaces, "response": responses})
    with pytest.raises(ValueError, match="must have the key 'click'"):
        reinforce_agent.ReinforceAgent(space, env.action_space)
    ppo_agent.PPOAgent(space, env.action_space)
