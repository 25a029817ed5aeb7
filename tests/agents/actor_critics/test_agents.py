"""Actor-critic agents of both engines: catalogues, transitions, explanations, refusals."""

from __future__ import annotations

import gin
import numpy as np
import pytest
from support.slate_learners import boredom, run, single, vector, vector_env

from recsim import registry
from recsim import types as recsim_types
from recsim.agents import wolpertinger_agent
from recsim.environments import topic_boredom
from recsim.simulator import rollout

NAMES = ("sac_topk", "wolpertinger")


@pytest.mark.parametrize("name", NAMES)
def test_a_shared_catalogue_is_as_good_as_one_for_each_user(name):
    environment = topic_boredom.create_vector_environment(
        {
            "num_items": 300,
            "num_candidates": 300,
            "slate_size": 4,
            "resample_documents": False,
            "seed": 0,
        },
        6,
    )
    agent = vector(name, environment)
    observation, _ = environment.reset(seed=1)
    assert observation["doc"]["embedding"].strides[0] == 0
    copies = {**observation, "doc": {key: doc.copy() for key, doc in observation["doc"].items()}}
    other = vector(name, environment)
    np.testing.assert_array_equal(agent.begin(observation), other.begin(copies))
    parts = {"user": observation["user"], "doc": observation["doc"]}
    served = vector(name, environment, eval_mode=True)
    served.unbundle("", 0, agent.serving_bundle())
    one = served.single_user_agent()
    first = {key: doc[:1] for key, doc in observation["doc"].items()}
    slates = one.slates_in_parallel({**parts, "doc": first})
    np.testing.assert_array_equal(one.slates_in_parallel(parts), slates)
    np.testing.assert_array_equal(served.begin(observation), slates)


def test_transitions_are_of_slates_as_they_were_shown():
    env = vector_env(4, max_steps_per_episode=3)
    agent = vector("wolpertinger", env, min_replay_history=400)
    observation, _ = env.reset(seed=1)
    slates, users, items = [agent.begin(observation)], [observation["user"].copy()], []
    items.append(np.take_along_axis(observation["doc"], slates[0][..., np.newaxis], axis=1))
    for _ in range(3):
        observation, rewards, terminated, truncated, infos = env.step(slates[-1])
        slates.append(agent.step(observation, rewards, terminated, truncated, infos))
        users.append(observation["user"].copy())
        shown = np.take_along_axis(observation["doc"], slates[-1][..., np.newaxis], axis=1)
        items.append(shown)
    assert truncated.all()
    arrays = {
        name: array[:12].reshape(3, 4, *array.shape[1:])
        for name, array in agent.learner.replay.arrays.items()
    }
    np.testing.assert_array_equal(arrays["users"], users[:3])
    np.testing.assert_array_equal(arrays["actions"], items[:3])
    np.testing.assert_array_equal(arrays["next_actions"][:2], items[1:3])
    np.testing.assert_array_equal(arrays["rewards"][2], rewards)
    # The last state of a truncated episode has a value: that of what would have been shown.
    assert not arrays["terminated"].any()
    final = infos["final_obs"].batch
    np.testing.assert_array_equal(arrays["next_users"][2], final["user"])
    found = arrays["next_actions"][2][:, :, np.newaxis] == final["doc"][:, np.newaxis]
    assert found.all(axis=-1).any(axis=-1).all()


def test_the_last_slate_of_an_episode_of_one_user_counts():
    env = boredom(time_budget=2)
    agent = single("wolpertinger", env, min_replay_history=400)
    rollout.run_episode(env, agent)
    replay = agent.learner.replay
    assert replay.size == 2
    assert replay.arrays["terminated"][:2].tolist() == [0.0, 1.0]
    env = boredom()
    agent = single("wolpertinger", env, min_replay_history=400)
    agent.begin_episode(env.reset())
    observation, reward, _, _ = env.step([0, 1])
    agent.end_episode(reward, observation, truncated=True)
    replay = agent.learner.replay
    assert replay.arrays["terminated"][0] == 0.0
    assert np.abs(replay.arrays["next_actions"][0]).sum() > 0.0


def test_gin_configures_agents_of_both_engines():
    with gin.unlock_config():
        gin.parse_config(
            ["ItemVectorAgent.update_period = 48", "WolpertingerAgent.noise = 0.25"],
        )
    try:
        env = boredom()
        one = wolpertinger_agent.WolpertingerAgent(env.observation_space, env.action_space)
        many = registry.create_vector_agent("wolpertinger", vector_env())
        for agent in (one, many):
            assert agent.learner.settings.update_period == 48
            assert agent.learner.noise == 0.25
    finally:
        gin.clear_config()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("settings", [{}, {"min_replay_history": 24}, {"min_replay_history": 3}])
def test_the_steps_before_the_first_update_are_told(name, settings):
    for more, expected in ((0, 0), (1, 1)):
        env = boredom()
        agent = single(name, env, **settings)
        rollout.run_episode(env, agent, max_steps=agent.steps_without_update + more)
        assert agent.num_updates == expected
    env = vector_env(10)
    agent = vector(name, env, **settings)
    run(agent, env, agent.steps_without_update // 10)
    assert agent.num_updates == 0
    run(agent, env, 1)
    assert agent.num_updates >= 1


@pytest.mark.parametrize(
    ("name", "columns"), [("wolpertinger", ["distance", "value"]), ("sac_topk", ["product"])]
)
def test_explanations_have_what_slates_are_chosen_by(name, columns):
    env = boredom()
    agent = single(name, env, eval_mode=True)
    observation = env.reset()
    known = agent.explain(observation)
    assert list(known.tables[0].columns) == columns
    assert list(known.numbers) == ["value of the vector"]
    # Of five candidates the critic may choose among all.
    scores = known.tables[0].columns[columns[-1]]
    expected = np.argsort(-scores, kind="stable")[:2]
    np.testing.assert_array_equal(agent.begin_episode(observation), expected)


@pytest.mark.parametrize("name", NAMES)
def test_it_has_no_propensities(name):
    assert not recsim_types.knows_propensities(single(name, boredom()))


def test_rewards_that_are_all_0_are_learned():
    agent = single("wolpertinger", boredom())
    observation = boredom().reset()
    agent.begin_episode(observation)
    for _ in range(50):
        agent.step(0.0, observation)
    assert np.isfinite(agent.learner.statistics["ValueLoss"])
