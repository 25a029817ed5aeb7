"""The first steps of an agent, played before a run to see whether they work and what they take."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

from recsim import agent as agent_lib

__all__ = ["length_of_episodes", "peak_memory", "play", "seconds_a_step"]

_STEPS = 3
# How long a speed or a length is measured.
_SECONDS = 0.3


def _is_vector(env: Any) -> bool:
    return hasattr(env, "single_action_space")


def play(agent: Any, env: Any) -> None:
    """Lets an agent recommend for some steps in an environment, a vector agent in a vector one."""
    if _is_vector(env):
        slates = agent.begin(env.reset()[0])
        for _ in range(_STEPS):
            slates = agent.step(*env.step(slates))
        return
    observation = env.reset()
    slate = agent.begin_episode(observation)
    for _ in range(_STEPS):
        observation, reward, done, _ = env.step(slate)
        if done:
            break
        slate = agent.step(reward, observation)
    agent_lib.end_episode(agent, reward, observation, truncated=not done)


def peak_memory(create: Callable[[], tuple[Any, Any]]) -> int:
    """Returns the most bytes that an agent and its environment take until their first steps end.

    Args:
        create: makes them.
    """
    was_tracing = tracemalloc.is_tracing()
    if not was_tracing:
        tracemalloc.start()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    try:
        play(*create())
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if not was_tracing:
            tracemalloc.stop()


def length_of_episodes(env: Any, most: int) -> int:
    """Returns how many steps sessions have on average that are shown their first documents.

    Args:
        env: an environment, or a vector environment.
        most: the greatest number of steps of an episode, which is returned where no session ends
            in the time of the measurement.
    """
    steps = ended = 0
    num_users = env.num_envs if _is_vector(env) else 1
    slates = np.tile(np.arange(env.action_space.shape[-1]), (num_users, 1))
    env.reset()
    deadline = time.perf_counter() + _SECONDS
    while time.perf_counter() < deadline:
        steps += num_users
        if _is_vector(env):
            _, _, terminated, truncated, _ = env.step(slates)
            ended += int((terminated | truncated).sum())
            continue
        _, _, done, _ = env.step(slates[0])
        if done:
            ended += 1
            env.reset()
    return min(most, -(-steps // ended)) if ended else most


def seconds_a_step(agent: Any, env: Any) -> float:
    """Returns how long an agent and its environment take for a step of a user, at least.

    Args:
        agent: a new agent; a vector agent in a vector environment.
        env: the environment.
    """
    play(agent, env)  # What the first time alone takes, as imports do, does not count.
    fastest = np.inf
    deadline = time.perf_counter() + _SECONDS
    while time.perf_counter() < deadline:
        begin = time.perf_counter()
        play(agent, env)
        fastest = min(fastest, (time.perf_counter() - begin) / _STEPS)
    return fastest / (env.num_envs if _is_vector(env) else 1)
