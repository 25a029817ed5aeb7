"""The short-term oracle: the slates that bring the most at once, in each scenario."""

import copy
import random

import numpy as np
import pytest

from recsim import registry
from recsim.agents import short_term_oracle
from recsim.experiments.leaderboard import tasks

V1 = tasks.version_of("recsim-slates-v1")


def slates_of(name, num_users=50):
    env = V1.task(name).scenario.create_vector({"seed": 0}, num_users)
    agent = short_term_oracle.ShortTermOracle(env)
    observation, _ = env.reset(seed=0)
    slates = agent.begin(observation)
    # Later states are hidden better than the first.
    for _ in range(5):
        observation, *outcome = env.step(slates)
        slates = agent.step(observation, *outcome)
    return env.user_states(), observation["doc"], slates


def test_interest_evolution():
    users, documents, slates = slates_of("evolution")
    liked = (documents * users["interests"][:, np.newaxis]).sum(axis=2)
    best = np.sort(liked, axis=1)[:, :-4:-1]
    np.testing.assert_allclose(np.take_along_axis(liked, slates, 1), best)


def test_interest_exploration():
    users, documents, slates = slates_of("exploration")
    scores = documents["quality"] + np.take_along_axis(
        users["topic_affinity"], documents["cluster_id"], axis=1
    )
    best = np.sort(scores, axis=1)[:, :-3:-1]
    np.testing.assert_allclose(np.take_along_axis(scores, slates, 1), best)


def test_topic_boredom():
    users, documents, slates = slates_of("boredom")
    bored = users["bored"].any(axis=1)
    assert bored.any() and not bored.all()
    scores = (documents["embedding"] * users["interests"][:, np.newaxis]).sum(axis=2)
    best = np.sort(scores, axis=1)[:, :-4:-1]
    chosen = np.take_along_axis(scores, slates, 1)
    np.testing.assert_allclose(chosen[~bored], best[~bored], rtol=1e-6)


def test_long_term_satisfaction():
    users, documents, slates = slates_of("clickbait")
    # A mean of 5 and one of 4, a deviation of 1: clickbait brings more, however satisfied one is.
    assert (users["net_positive_exposure"] < 0).any()
    np.testing.assert_array_equal(slates[:, 0], documents[:, :, 0].argmax(axis=1))


def test_other_environments_are_refused():
    env = registry.create_vector_environment(
        "interest_evolution",
        {"num_candidates": 4, "slate_size": 2, "resample_documents": True, "seed": 0},
        3,
    )
    agent = short_term_oracle.ShortTermOracle(env)
    observation, _ = env.reset()
    env.user_states = lambda: {"mood": np.zeros(3)}
    with pytest.raises(ValueError, match="must be of interest evolution.*got users with mood"):
        agent.begin(observation)


def test_environments_without_states_are_refused():
    class WithoutStates:
        def __init__(self, env):
            self.num_envs = env.num_envs
            self.single_action_space = env.single_action_space
            self.single_observation_space = env.single_observation_space
            self.unwrapped = self

    env = V1.task("easy").scenario.create_vector({"seed": 0}, 2)
    with pytest.raises(ValueError, match="must tell its users' states"):
        short_term_oracle.ShortTermOracle(WithoutStates(env))


@pytest.mark.parametrize("name", ["evolution", "exploration", "boredom", "clickbait"])
def test_contract_of_vector_agents(name):
    """What recsim.testing checks of agents, of users in parallel."""
    task = V1.task(name)
    env = task.scenario.create_vector({"seed": 0}, 6)
    agent, other = (short_term_oracle.ShortTermOracle(env) for _ in range(2))
    globals_before = random.getstate(), np.random.get_state()[1].tolist()
    observation, _ = env.reset(seed=0)
    slates, outcome = agent.begin(observation), ()
    for step in range(6):
        # Indices of candidates without repetition; what was observed is left as it was.
        assert slates.shape == (6, task.slate_size)
        assert all(len(set(slate)) == task.slate_size for slate in slates.tolist())
        assert 0 <= slates.min() <= slates.max() < task.num_candidates
        kept = copy.deepcopy(observation)
        again = other.step(observation, *outcome) if outcome else other.begin(observation)
        np.testing.assert_array_equal(again, slates)
        np.testing.assert_equal(kept, observation)
        if step == 2:  # It has no state of its own, so that any other one continues it.
            other = short_term_oracle.ShortTermOracle(env)
            other.load_state_dict(agent.state_dict())
        observation, *outcome = env.step(slates)
        slates = agent.step(observation, *outcome)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == globals_before
    with pytest.raises(TypeError, match="must define single_user_agent"):
        agent.save("never.bin")
