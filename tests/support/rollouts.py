"""Rollouts written out, for tests that look at each step or at what an agent is told."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


def run(
    env: Any,
    agent: Any,
    num_steps: int,
    max_steps_per_episode: int = 20,
    change: Callable[[Any], Any] = lambda observation: observation,
) -> list[list[int]]:
    """Runs episodes until there were so many steps, the last of which is truncated.

    Args:
        env: an environment with RecSim's interface.
        agent: an agent with RecSim's interface.
        num_steps: number of steps of all episodes.
        max_steps_per_episode: number of steps at which an episode is truncated.
        change: function of an observation after a step that returns what the agent sees.

    Returns:
        The slates.
    """
    slates: list[list[int]] = []
    while len(slates) < num_steps:
        slate, length, ended = agent.begin_episode(env.reset()), 0, False
        while not ended:
            slates.append([int(index) for index in slate])
            observation, reward, done, _ = env.step(slate)
            observation, length = change(observation), length + 1
            ended = done or length == max_steps_per_episode or len(slates) == num_steps
            if not ended:
                slate = agent.step(reward, observation)
        agent.end_episode(reward, observation, truncated=not done)
    return slates


def vector_steps(
    env: Any, agent: Any, num_steps: int, seed: int | None = 5
) -> Iterator[tuple[Any, ...]]:
    """Yields slates and the outcomes of their steps; first None and the first observation."""
    observation, infos = env.reset(seed=seed)
    slates = agent.begin(observation)
    nobody = np.zeros(env.num_envs, np.bool_)
    yield None, observation, np.zeros(env.num_envs), nobody, nobody, infos
    for _ in range(num_steps):
        outcome = env.step(slates)
        yield (slates, *outcome)
        slates = agent.step(*outcome)


def data(value: Any) -> Any:
    """Returns what was observed as something that can be compared, to the last bit."""
    if isinstance(value, dict):
        return [(str(key), data(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [data(item) for item in value]
    return None if value is None else np.asarray(value).tobytes()


class SingleUserRollout:
    """An environment, an agent, and where they are in an episode."""

    def __init__(self, env, agent):
        self.env, self.agent = env, agent
        self.last = None

    def run(self, num_steps):
        seen = []
        for _ in range(num_steps):
            if self.last is None:
                slate = self.agent.begin_episode(self.env.reset())
            else:
                slate = self.agent.step(*self.last)
            observation, reward, done, _ = self.env.step(slate)
            self.last = reward, observation
            if done:
                self.agent.end_episode(reward, observation)
                self.last = None
            seen.append(data([slate, observation, reward, done]))
        return seen


class VectorRollout:
    """An environment and an agent of users in parallel, and their next slates."""

    def __init__(self, env, agent):
        self.env, self.agent = env, agent
        observation, _ = env.reset()
        self.slates = agent.begin(observation)

    def run(self, num_steps):
        seen = []
        for _ in range(num_steps):
            slates = self.slates
            observation, rewards, terminated, truncated, infos = self.env.step(slates)
            self.slates = self.agent.step(observation, rewards, terminated, truncated, infos)
            seen.append(data([slates, observation, rewards, terminated, truncated]))
        return seen


def digest(seen: Any) -> str:
    """Returns a text that is the same for the same data."""
    return hashlib.sha256(repr(seen).encode()).hexdigest()
