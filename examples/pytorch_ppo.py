"""PPO in plain PyTorch on the vector engine, in a single file.

A policy and a value network on flat observations, whose actions are slates: a candidate for each
position. Episodes begin anew in the step in which they end; where only a limit on its steps ended
one, the value of its last observation stands for what would have followed. Needs PyTorch.
"""

from __future__ import annotations

import argparse
import time

import gymnasium
import numpy as np
import torch
from torch import nn

import recsim  # noqa: F401  # Registers the scenarios.


def network(num_inputs: int, num_outputs: int, last_gain: float) -> nn.Sequential:
    sizes = [num_inputs, 64, 64, num_outputs]
    layers: list[nn.Module] = []
    for i in range(3):
        linear = nn.Linear(sizes[i], sizes[i + 1])
        nn.init.orthogonal_(linear.weight, last_gain if i == 2 else np.sqrt(2))
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


class Agent(nn.Module):
    def __init__(self, num_features: int, num_candidates: int, slate_size: int):
        super().__init__()
        self.shape = (slate_size, num_candidates)
        self.policy = network(num_features, slate_size * num_candidates, last_gain=0.01)
        self.value = network(num_features, 1, last_gain=1.0)

    def slates(self, observations):
        logits = self.policy(observations).reshape(-1, *self.shape)
        return torch.distributions.Categorical(logits=logits)

    def values(self, observations):
        return self.value(observations).squeeze(-1)


def advantages(rewards, values, last_values, ended, gamma, trace):
    """Generalized advantage estimates; all of shape (steps, users) but last_values."""
    estimates = torch.zeros_like(rewards)
    following, running = last_values, torch.zeros_like(last_values)
    for step in reversed(range(len(rewards))):
        continues = 1.0 - ended[step]
        surprise = rewards[step] + gamma * following * continues - values[step]
        running = surprise + gamma * trace * continues * running
        estimates[step], following = running, values[step]
    return estimates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--id", default="recsim/InterestEvolution-v0", help="(%(default)s)")
    parser.add_argument("--candidates", type=int, default=5, help="(%(default)s)")
    parser.add_argument("--slate-size", type=int, default=1, help="(%(default)s)")
    parser.add_argument("--num-envs", type=int, default=256, help="users in parallel (%(default)s)")
    parser.add_argument("--steps", type=int, default=32, help="of a rollout (%(default)s)")
    parser.add_argument("--iterations", type=int, default=50, help="rollouts (%(default)s)")
    parser.add_argument("--epochs", type=int, default=4, help="(%(default)s)")
    parser.add_argument("--minibatches", type=int, default=4, help="of an epoch (%(default)s)")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="(%(default)s)")
    parser.add_argument("--gamma", type=float, default=0.99, help="(%(default)s)")
    parser.add_argument("--trace", type=float, default=0.95, help="lambda (%(default)s)")
    parser.add_argument("--clip", type=float, default=0.2, help="(%(default)s)")
    parser.add_argument("--reward-scale", type=float, default=0.1, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)  # The networks are too small for more.

    env = gymnasium.make_vec(
        args.id,
        args.num_envs,
        vectorization_mode="vector_entry_point",
        observation="flat",
        num_candidates=args.candidates,
        slate_size=args.slate_size,
    )
    num_features = env.single_observation_space.shape[0]
    agent = Agent(num_features, args.candidates, args.slate_size)
    optimizer = torch.optim.Adam(agent.parameters(), lr=args.learning_rate, eps=1e-5)

    size = (args.steps, args.num_envs)
    observations = torch.zeros((*size, num_features))
    slates = torch.zeros((*size, args.slate_size), dtype=torch.int64)
    rewards, values, ended, log_probs = (torch.zeros(size) for _ in range(4))
    observation = torch.as_tensor(env.reset(seed=args.seed)[0])
    returns, finished = np.zeros(args.num_envs), []
    start = time.perf_counter()
    for iteration in range(1, args.iterations + 1):
        for step in range(args.steps):
            with torch.no_grad():
                distribution = agent.slates(observation)
                slate = distribution.sample()
                log_probs[step] = distribution.log_prob(slate).sum(dim=-1)
                values[step] = agent.values(observation)
            observations[step], slates[step] = observation, slate
            after, reward, terminated, truncated, infos = env.step(slate.numpy())
            observation = torch.as_tensor(after)
            rewards[step] = torch.as_tensor(reward) * args.reward_scale
            ended[step] = torch.as_tensor(terminated | truncated)
            only_limit = np.flatnonzero(truncated & ~terminated)
            if len(only_limit):
                last = np.stack([infos["final_obs"][user] for user in only_limit])
                with torch.no_grad():
                    rewards[step, only_limit] += args.gamma * agent.values(torch.as_tensor(last))
            returns += reward
            done = terminated | truncated
            finished += returns[done].tolist()
            returns[done] = 0.0

        with torch.no_grad():
            last_values = agent.values(observation)
        estimates = advantages(rewards, values, last_values, ended, args.gamma, args.trace)
        batch = [
            array.reshape(-1, *array.shape[2:])
            for array in (observations, slates, log_probs, estimates, estimates + values)
        ]
        for _ in range(args.epochs):
            for rows in torch.randperm(len(batch[0])).chunk(args.minibatches):
                seen, shown, old_log_probs, advantage, target = (array[rows] for array in batch)
                distribution = agent.slates(seen)
                ratio = (distribution.log_prob(shown).sum(dim=-1) - old_log_probs).exp()
                advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
                clipped = ratio.clamp(1 - args.clip, 1 + args.clip)
                gain = torch.min(ratio * advantage, clipped * advantage).mean()
                error = (agent.values(seen) - target).square().mean()
                optimizer.zero_grad()
                (0.5 * error - gain).backward()
                nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
                optimizer.step()

        if finished and (iteration % 10 == 0 or iteration == args.iterations):
            rate = iteration * args.steps * args.num_envs / (time.perf_counter() - start)
            recent = finished[-1000:]
            print(
                f"iteration {iteration}: return {np.mean(recent):.1f} of the last {len(recent)} "
                f"episodes, {rate:,.0f} steps per second",
                flush=True,
            )


if __name__ == "__main__":
    main()
