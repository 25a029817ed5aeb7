"""User models and samplers of users: what they are made of, and their seeds."""

from __future__ import annotations

import pytest

from recsim.environments import interest_exploration, long_term_satisfaction


def test_a_model_and_its_sampler_tell_their_classes():
    model = interest_exploration.IEUserModel(2, response_model_ctor=interest_exploration.IEResponse)
    assert model.get_response_model_ctor() is interest_exploration.IEResponse
    sampler = interest_exploration.IEClusterUserSampler()
    assert sampler.get_user_ctor() is interest_exploration.IEUserState


@pytest.mark.parametrize(
    "make",
    [interest_exploration.IEClusterUserSampler, long_term_satisfaction.LTSStaticUserSampler],
)
def test_a_sampler_with_another_seed_is_one_made_with_it(make):
    sampler, other = make(seed=1), make(seed=2)
    sampler.sample_user()
    sampler.reseed(2)
    users = [[repr(vars(each.sample_user())) for _ in range(5)] for each in (sampler, other)]
    assert users[0] == users[1]
    assert len(set(users[0])) == 5
