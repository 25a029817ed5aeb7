"""Trains PPO and DQN of Stable-Baselines3 in interest evolution, beside agents of this library.

Both see how well each candidate matches the user's interests: a features extractor of a few lines
makes the products that a network would have to learn first. PPO chooses a candidate for each
position, DQN one of all 90 slates. All agents are then evaluated with the same new users; SlateQ is
trained for as many steps before. Needs the extra sb3: pip install 'recsim[sb3]'.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecNormalize

import recsim
from recsim import sb3
from recsim.vector import agent as vector_agent


class Matches(BaseFeaturesExtractor):
    """Candidates, the user's interests, and their products: how well each candidate matches."""

    def __init__(self, observation_space):
        self._topics = observation_space["user"].shape[0]
        size = observation_space["doc"].shape[0]
        super().__init__(observation_space, features_dim=size + size // self._topics + self._topics)

    def forward(self, observations):
        user, documents = observations["user"], observations["doc"]
        by_candidate = documents.reshape(len(documents), -1, self._topics)
        matches = torch.einsum("ndt,nt->nd", by_candidate, user)
        return torch.cat([matches, documents, user], dim=1)


class GreedyAgent(vector_agent.AbstractVectorAgent):
    """Shows the candidates that match the user's interests best, whatever comes of it."""

    def step(self, observation, rewards, terminated, truncated, infos):
        matches = np.einsum("ndt,nt->nd", observation["doc"], observation["user"])
        return np.argsort(-matches, axis=1)[:, : self._slate_size]


def train(algorithm, action: str, args: argparse.Namespace, **settings):
    env = sb3.make_vec_env(
        "interest_evolution", args.num_envs, observation="dict", action=action, seed=args.seed
    )
    # Rewards of a similar size whatever the scenario; observations stay as they are.
    env = VecNormalize(env, norm_obs=False, gamma=0.99)
    model = algorithm(
        "MultiInputPolicy",
        env,
        gamma=0.99,
        policy_kwargs={"features_extractor_class": Matches},
        seed=args.seed,
        device="cpu",
        **settings,
    )
    return model.learn(args.steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=50_000, help="of each training (%(default)s)")
    parser.add_argument("--num-envs", type=int, default=128, help="users in parallel (%(default)s)")
    parser.add_argument("--users", type=int, default=1000, help="of the evaluation (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    parser.add_argument("--save", metavar="FOLDER", help="where to save the two models")
    args = parser.parse_args()
    torch.set_num_threads(1)  # The networks are too small for more.

    ppo = train(
        PPO,
        "slate",
        args,
        learning_rate=1e-3,
        n_steps=32,
        batch_size=8 * args.num_envs,  # Four of them are a rollout.
        n_epochs=10,
    )
    dqn = train(
        DQN,
        "discrete",
        args,
        learning_rate=3e-4,
        buffer_size=min(args.steps, 200_000),
        learning_starts=args.steps // 20,
        batch_size=256,
        gradient_steps=8,  # For each step of all users.
        target_update_interval=10_000,
        exploration_fraction=0.3,
    )
    if args.save:
        ppo.save(f"{args.save}/ppo.zip")
        dqn.save(f"{args.save}/dqn.zip")
    results = recsim.experiment(
        {
            "ppo": sb3.PolicyAgent(ppo),
            "dqn": sb3.PolicyAgent(dqn),
            "slateq": "slate_optimal_optimal_q",
            "greedy": GreedyAgent,
            "random": "random",
        },
        "interest_evolution",
        num_envs=args.users,
        train_steps=args.steps,
        seed=args.seed + 1,  # Other users than those of the trainings.
        seeds=1,
        progress=False,
    )
    print(results.table())


if __name__ == "__main__":
    main()
