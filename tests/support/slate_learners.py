"""Small agents of both engines that learn slates by policy gradients or by actors and critics."""

from __future__ import annotations

import numpy as np

from recsim.agents import ppo_agent, reinforce_agent, sac_topk_agent, wolpertinger_agent
from recsim.environments import interest_evolution, topic_boredom
from support.scenarios import config

AGENTS = {
    "ppo": (ppo_agent.PPOAgent, ppo_agent.VectorPPOAgent),
    "reinforce": (reinforce_agent.ReinforceAgent, reinforce_agent.VectorReinforceAgent),
    "sac_topk": (sac_topk_agent.SACTopKAgent, sac_topk_agent.VectorSACTopKAgent),
    "wolpertinger": (
        wolpertinger_agent.WolpertingerAgent,
        wolpertinger_agent.VectorWolpertingerAgent,
    ),
}
NAMES = sorted(AGENTS)

_OF_POLICIES = {"update_period": 24, "batch_size": 8, "hidden_units": (8,), "num_epochs": 2}
_OF_ACTORS = {
    "min_replay_history": 20,
    "update_period": 8,
    "batch_size": 8,
    "hidden_units": (8,),
    "replay_capacity": 500,
}
SMALL = {
    "ppo": _OF_POLICIES,
    "reinforce": _OF_POLICIES,
    "sac_topk": _OF_ACTORS,
    "wolpertinger": _OF_ACTORS,
}


def boredom(num_candidates=5, **entries):
    resampled = {"num_candidates": num_candidates, "slate_size": 2, "resample_documents": True}
    return topic_boredom.create_environment({**resampled, "seed": 3, **entries})


def vector_env(num_envs=8, num_candidates=5, **options):
    return interest_evolution.create_vector_environment(
        config(num_candidates=num_candidates), num_envs, **options
    )


def single(name, env, **kwargs):
    return AGENTS[name][0](env.observation_space, env.action_space, **{**SMALL[name], **kwargs})


def vector(name, env, **kwargs):
    return AGENTS[name][1](env, **{**SMALL[name], **kwargs})


def run(agent, env, num_steps):
    """Returns the slates of steps in a vector environment, and the last observation."""
    observation, _ = env.reset(seed=1)
    slates = [agent.begin(observation)]
    for _ in range(num_steps):
        observation, *outcome = env.step(slates[-1])
        slates.append(agent.step(observation, *outcome))
    return np.array(slates), observation
