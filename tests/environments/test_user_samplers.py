"""Samplers of users that no default scenario has, and what samplers tell of their users."""

from __future__ import annotations

import numpy as np

from recsim import choice_model
from recsim.environments import interest_evolution, interest_exploration
from recsim.simulator import environment, recsim_gym


def test_users_with_uniform_interests_choose_by_a_cascade():
    sampler = interest_evolution.IEvUserDistributionSampler(seed=0)
    interests = np.array([sampler.sample_user().user_interests for _ in range(500)])
    assert (np.abs(interests) <= 1).all()
    # The mean and the variance of uniform numbers in [-1, 1], within five standard errors.
    assert abs(interests.mean()) < 5 * np.sqrt(1 / 3 / interests.size)
    assert abs(interests.var() - 1 / 3) < 5 * np.sqrt(4 / 45 / interests.size)
    model = interest_evolution.IEvUserModel(
        2,
        choice_model_ctor=choice_model.ExponentialCascadeChoiceModel,
        user_sampler=sampler,
    )
    documents = interest_evolution.UtilityModelVideoSampler(seed=0)
    env = recsim_gym.RecSimGymEnv(
        environment.SingleUserEnvironment(model, documents, 4, 2),
        interest_evolution.clicked_watchtime_reward,
    )
    env.reset()
    rewards = [env.step([0, 1])[1] for _ in range(20)]
    assert max(rewards) > 0


def test_the_mean_affinity_is_that_of_the_types_of_users():
    sampler = interest_exploration.IEClusterUserSampler(
        user_type_distribution=(0.25, 0.75),
        user_document_mean_affinity_matrix=((0.0, 1.0), (1.0, 0.0)),
        user_document_stddev_affinity_matrix=((0.1, 0.1), (0.1, 0.1)),
    )
    assert sampler.avg_affinity_given_topic().tolist() == [0.75, 0.25]
