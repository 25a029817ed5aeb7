"""PPO of Stable-Baselines3 learns on the vector engine: it beats random in interest evolution."""

import functools

import numpy as np
import pytest
from support import sb3_models

pytest.importorskip("stable_baselines3")

import torch
from stable_baselines3.common import torch_layers, vec_env

from recsim import sb3
from recsim.agents import random_agent
from recsim.environments import interest_evolution
from recsim.vector import simulate

CONFIG = {"num_candidates": 5, "slate_size": 1, "resample_documents": True, "seed": 777}


def interval(make_agent):
    """Returns the 95% interval of the mean return of 1,000 users."""
    result = simulate.simulate(
        functools.partial(interest_evolution.create_vector_environment, CONFIG),
        make_agent,
        1000,
        num_episodes=1,
        workers=1,
    )
    half = 1.96 * result.returns.std() / np.sqrt(len(result.returns))
    return result.returns.mean() - half, result.returns.mean() + half


class Matches(torch_layers.BaseFeaturesExtractor):
    """The products of the user's interests with the candidates' features."""

    def __init__(self, observation_space):
        super().__init__(observation_space, features_dim=5)

    def forward(self, observations):
        documents = observations["doc"].reshape(-1, 5, 20)
        return torch.einsum("ndt,nt->nd", documents, observations["user"])


@pytest.mark.slow
def test_ppo_beats_random_with_intervals_apart():
    env = sb3.make_vec_env(
        "interest_evolution", 128, observation="dict", num_candidates=5, slate_size=1
    )
    model = sb3_models.model(
        "PPO",
        vec_env.VecNormalize(env, norm_obs=False),
        65_536,
        n_steps=32,
        batch_size=1024,
        n_epochs=4,
        learning_rate=3e-3,
        policy_kwargs={"features_extractor_class": Matches},
    )
    ppo, random = interval(sb3.PolicyAgent(model)), interval(random_agent.VectorRandomAgent)
    assert ppo[0] > random[1]
