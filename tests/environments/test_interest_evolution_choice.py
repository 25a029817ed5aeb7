"""Interest evolution with users who choose by other models."""

from __future__ import annotations

import numpy as np
import pytest
from support.scenarios import make_env

from recsim import choice_model
from recsim.environments.interest_evolution import _dynamics


def probabilities(name, scores):
    if name == "multinomial_logit":
        return choice_model.multinomial_logit_probabilities(scores, 1.0)
    if name == "exponential_cascade":
        return choice_model.exponential_cascade_probabilities(scores, 0.65, 0.05)
    if name == "proportional_cascade":
        return choice_model.proportional_cascade_probabilities(scores, 0.65, 0.05, -1.0)
    return choice_model.multinomial_proportional_probabilities(scores, 1.0, -1.0)


@pytest.mark.parametrize(
    "name",
    [None, "multinomial_proportional", "multinomial_logit", "exponential_cascade",
     "proportional_cascade"],
)  # fmt: skip
def test_users_choose_by_the_model_asked_for(name):
    chosen = {} if name is None else {"choice_model": name}
    env = make_env("interest_evolution", slate_size=3, seed=5, **chosen)
    env.seed(1)
    expected, clicks = np.zeros(4), np.zeros(4)
    observation, done = env.reset(), False
    for _ in range(3000):
        if done:
            observation = env.reset()
        features = np.array(list(observation["doc"].values()))[:3]
        expected += probabilities(name, features @ observation["user"])
        observation, _, done, _ = env.step([0, 1, 2])
        position = [response["click"] for response in observation["response"]]
        clicks[position.index(1) if any(position) else 3] += 1
    # Four standard deviations of a count of 3000, at most.
    spread = 4 * np.sqrt(np.maximum(expected * (1 - expected / 3000), 1.0))
    assert (np.abs(clicks - expected) < spread).all()


def test_an_unknown_choice_model():
    with pytest.raises(ValueError, match="must be one of .*Did you mean 'exponential_cascade'"):
        make_env("interest_evolution", choice_model="exponential_casade")


def test_one_user_changes_as_many_do_to_the_last_bit():
    rng = np.random.default_rng(0)
    for _ in range(500):
        features = np.zeros(20)
        features[rng.integers(20)] = rng.choice([1.0, rng.uniform(-1.0, 1.0)])
        if rng.random() < 0.1:
            features = rng.uniform(-1.0, 1.0, 20)
        # Interests of a user of one's own may be beyond the bounds, to which all are moved.
        interests = rng.uniform(-1.0, 1.0, 20) * rng.choice([1.0, 3.0])
        arguments = interests, features, rng.random(), 1.0, rng.choice([0.3, 0.9])
        np.testing.assert_array_equal(
            _dynamics.updated_interests_of_one(*arguments), _dynamics.updated_interests(*arguments)
        )
