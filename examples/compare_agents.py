"""Compares a bandit that learns which topic a user likes with a random agent.

Both agents meet the same users and recommend 100 slates to each.
"""

from __future__ import annotations

import argparse

import numpy as np

from recsim.agents.cluster_bandit_agent import ClusterBanditAgent
from recsim.agents.layers.cluster_click_statistics import ClusterClickStatsLayer
from recsim.agents.random_agent import RandomAgent
from recsim.environments import interest_exploration
from recsim.simulator import rollout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=50, help="number of users (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    def make_environment():
        return interest_exploration.create_environment(
            {"num_candidates": 10, "slate_size": 2, "resample_documents": True, "seed": args.seed}
        )

    env = make_environment()
    agents = {
        "bandit": ClusterClickStatsLayer(
            ClusterBanditAgent, env.observation_space, env.action_space, random_seed=args.seed
        ),
        "random": RandomAgent(env.action_space, random_seed=args.seed),
    }
    for name, agent in agents.items():
        env = make_environment()
        clicks = [
            rollout.run_episode(env, agent, max_steps=100).total_reward
            for _ in range(args.episodes)
        ]
        error = np.std(clicks, ddof=1) / np.sqrt(len(clicks))
        print(f"{name}: {np.mean(clicks):.1f} clicks a user, standard error {error:.1f}")


if __name__ == "__main__":
    main()
