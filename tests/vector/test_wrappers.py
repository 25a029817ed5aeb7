"""Single-user environments as a vector environment, and single-user agents in vector ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from support.scenarios import MODULES

from recsim import agent as single_user_agent
from recsim import registry, spaces
from recsim.agents import cluster_bandit_agent, random_agent
from recsim.agents.layers import cluster_click_statistics
from recsim.environments import interest_exploration
from recsim.simulator import environment, recsim_gym
from recsim.vector import env as vector_env
from recsim.vector import wrappers

CONFIG = {"num_candidates": 5, "slate_size": 2, "resample_documents": True}


def make_envs(module: Any, number: int = 3, **kwargs: Any) -> wrappers.SingleUserEnvs:
    environments = [module.create_environment({**CONFIG, "seed": seed}) for seed in range(number)]
    return wrappers.SingleUserEnvs(environments, **kwargs)


def shapes(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: shapes(value) for key, value in tree.items()}
    return tree.shape


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_observations_are_those_of_the_vector_environment(module):
    env = make_envs(module)
    native = module.create_vector_environment({**CONFIG, "seed": 0}, 3)
    assert env.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    slates = np.array([[0, 1], [2, 4], [3, 0]])
    for each in (env, native):
        each.reset(seed=0)
    (observation, *results), (native_observation, *native_results) = (
        each.step(slates) for each in (env, native)
    )
    assert shapes(observation) == shapes(native_observation)
    assert observation in env.observation_space
    assert env.reset()[0] in env.observation_space
    assert env.single_action_space == native.single_action_space
    for result, native_result in zip(results[:3], native_results[:3]):
        assert (result.shape, result.dtype) == (native_result.shape, native_result.dtype)


def test_users_step_their_environments():
    env = make_envs(interest_exploration, max_steps_per_episode=3)
    singles = [interest_exploration.create_environment({**CONFIG, "seed": k}) for k in range(3)]
    observations = [single.reset() for single in singles]
    observation, _ = env.reset()
    slates = np.array([[0, 1], [2, 4], [3, 0]])
    for step in range(1, 8):
        for user in range(3):
            documents = list(observations[user]["doc"].values())
            qualities = [document["quality"] for document in documents]
            np.testing.assert_allclose(observation["doc"]["quality"][user], qualities, rtol=1e-6)
        observation, rewards, terminated, truncated, infos = env.step(slates)
        happened = [single.step(slate) for single, slate in zip(singles, slates, strict=True)]
        assert rewards.tolist() == [reward for _, reward, _, _ in happened]
        assert not terminated.any()
        assert truncated.all() == truncated.any() == (step % 3 == 0)
        observations = [last for last, _, _, _ in happened]
        if step % 3 == 0:
            final = infos["final_obs"]
            clicks = [[r["click"] for r in last["response"]] for last in observations]
            assert final.batch["response"]["click"].tolist() == clicks
            assert final[1]["response"]["click"].tolist() == clicks[1]
            assert observation["response"]["click"].sum() == 0
            observations = [single.reset() for single in singles]
        else:
            assert infos == {}


def test_metrics_are_added_up():
    env = make_envs(interest_exploration)
    env.reset()
    total = sum(env.step(np.array([[0, 1]] * 3))[1].sum() for _ in range(20))
    assert env.metrics["impression"] == 60
    assert env.metrics["click"] == total
    written = {}
    env.write_metrics(written.__setitem__)
    assert written["CTR"] == pytest.approx(total / 60)
    env.reset_metrics()
    assert not env.metrics


def test_seed_repeats_the_users_and_their_choices():
    env = make_envs(interest_exploration)
    runs = []
    for _ in range(2):
        env.reset(seed=5)
        runs.append([env.step(np.array([[0, 1]] * 3)) for _ in range(10)])
    for (observation, rewards, *_), (again, rewards_again, *_) in zip(*runs, strict=True):
        np.testing.assert_array_equal(observation["doc"]["quality"], again["doc"]["quality"])
        np.testing.assert_array_equal(rewards, rewards_again)


def test_agents_that_need_a_vector_environment_are_refused():
    with pytest.raises(ValueError, match="average_user_scores .* SingleUserEnvs does not have"):
        registry.create_vector_agent("greedy_pctr", make_envs(interest_exploration))


def test_users_of_a_number_make_the_same_choices_in_any_company():
    envs = [make_envs(interest_exploration, 3)]
    envs.append(
        wrappers.SingleUserEnvs(make_envs(interest_exploration, 3).environments[1:], first_user=1)
    )
    rewards = []
    for env in envs:
        env.reset(seed=5)
        rewards.append([env.step([[0, 1]] * env.num_envs)[1] for _ in range(20)])
    np.testing.assert_array_equal(np.array(rewards[0])[:, 1:], rewards[1])


def test_vector_agents_recommend_in_wrapped_environments():
    env = make_envs(interest_exploration, max_steps_per_episode=4)
    agent = cluster_click_statistics.VectorClusterClickStatsLayer(
        cluster_bandit_agent.VectorClusterBanditAgent, env
    )
    slates = agent.begin(env.reset()[0])
    for _ in range(6):
        slates = agent.step(*env.step(slates))
    assert slates.shape == (3, 2)


def test_faulty_environments_and_actions_are_told():
    with pytest.raises(ValueError, match="number of environments must be an integer >= 1"):
        wrappers.SingleUserEnvs([])
    with pytest.raises(TypeError, match="must be RecSimGymEnvs"):
        wrappers.SingleUserEnvs([make_envs(interest_exploration)])
    other = interest_exploration.create_environment({**CONFIG, "num_candidates": 6, "seed": 0})
    env = make_envs(interest_exploration)
    with pytest.raises(ValueError, match="same action_space"):
        wrappers.SingleUserEnvs([*env.environments, other])
    with pytest.raises(RuntimeError, match="step was called before reset"):
        env.step(np.zeros((3, 2), int))
    with pytest.raises(ValueError, match="options must be empty"):
        env.reset(options={"users": 3})
    for seed, error in ((-1, ValueError), ([1, 2, 3], TypeError)):
        with pytest.raises(error, match="seed must be an integer >= 0"):
            env.reset(seed=seed)
    env.reset()
    with pytest.raises(ValueError, match=r"\(3, 2\), got \(2, 2\)"):
        env.step(np.zeros((2, 2), int))
    with pytest.raises(TypeError, match="must be integers"):
        env.step(np.zeros((3, 2)))
    with pytest.raises(IndexError, match="0 to 4, got 0 to 5"):
        env.step([[0, 1], [2, 3], [4, 5]])
    assert not env.metrics  # Nobody was shown a slate.


def test_environments_of_several_users_are_refused():
    users = [
        interest_exploration.IEUserModel(1, response_model_ctor=interest_exploration.IEResponse)
        for _ in range(2)
    ]
    several = environment.MultiUserEnvironment(
        users, interest_exploration.IETopicDocumentSampler(), 3, 1
    )
    with pytest.raises(ValueError, match="must have one user each"):
        wrappers.SingleUserEnvs([recsim_gym.RecSimGymEnv(several, sum)])


class Recorder(single_user_agent.AbstractEpisodicRecommenderAgent):
    """Shows the first documents and remembers what it is told."""

    def __init__(self, action_space: Any) -> None:
        super().__init__(action_space)
        self.calls: list[tuple[Any, ...]] = []

    def begin_episode(self, observation=None):
        self.calls.append(("begin", observation["response"]))
        return [0, 1]

    def step(self, reward, observation):
        self.calls.append(("step", reward, observation))
        return [0, 1]

    def end_episode(self, reward, observation=None, *, truncated=False):
        self.calls.append(("end", reward, observation, truncated))


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_agents_see_what_the_single_user_environment_shows(module):
    seen = []

    def create(observation_space, action_space, user):
        seen.append((observation_space, action_space, user))
        return Recorder(action_space)

    env = module.create_vector_environment(
        {**CONFIG, "seed": 0}, 2, max_steps_per_episode=2, first_user=7
    )
    agents = wrappers.SingleUserAgents(create, env)
    single = module.create_environment({**CONFIG, "seed": 0})
    for observation_space, action_space, _ in seen:
        single.reset()
        assert action_space == single.action_space
        own = single.observation_space
        assert observation_space["user"] == own["user"]
        assert list(observation_space["doc"].spaces.values()) == list(own["doc"].spaces.values())
        assert observation_space["response"] == own["response"]
    assert [user for _, _, user in seen] == [7, 8]
    observation, _ = env.reset()
    slates = agents.begin(observation)
    rewards = []
    for _ in range(2):
        happened = env.step(slates)
        rewards.append(happened[1])
        slates = agents.step(*happened)
    assert isinstance(happened[4]["final_obs"], vector_env.FinalObservations)
    for user, agent in enumerate(agents.agents):
        begin, step, end, again = agent.calls
        assert begin == again == ("begin", None)
        assert step[1] == pytest.approx(rewards[0][user])
        spaces.check_observation(seen[user][0], step[2])
        assert end[1] == pytest.approx(rewards[1][user])
        spaces.check_observation(seen[user][0], end[2])
        assert end[3] is True


def test_agents_are_kept_and_their_slates_must_be_full():
    env = interest_exploration.create_vector_environment({**CONFIG, "seed": 0}, 4)

    def create(observation_space, action_space, user):
        return random_agent.RandomAgent(action_space, user)

    agents, others = (wrappers.SingleUserAgents(create, env) for _ in range(2))
    observation, _ = env.reset()
    agents.begin(observation)
    assert others.unbundle("", 0, agents.bundle_and_checkpoint("", 0))
    np.testing.assert_array_equal(agents.begin(observation), others.begin(observation))
    fewer = wrappers.SingleUserAgents(
        create, interest_exploration.create_vector_environment({**CONFIG, "seed": 0}, 3)
    )
    assert not fewer.unbundle("", 0, agents.bundle_and_checkpoint("", 0))
    agents.agents[2].begin_episode = lambda observation: [1]
    with pytest.raises(ValueError, match=r"hold 2 documents, got \[1\]"):
        agents.begin(observation)
