"""The short-term oracle: the slates that bring the most at once, in each scenario."""

import numpy as np
import pytest

from recsim import registry
from recsim.experiments.leaderboard import oracle, tasks

V1 = tasks.version_of("recsim-slates-v1")


def slates_of(name, num_users=50):
    env = V1.task(name).scenario.create_vector({"seed": 0}, num_users)
    agent = oracle.ShortTermOracle(env)
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
    agent = oracle.ShortTermOracle(env)
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
        oracle.ShortTermOracle(WithoutStates(env))
