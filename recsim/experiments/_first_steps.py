"""The first steps of an agent, played before a run to see whether they work and what they take."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

from recsim import agent as agent_lib

__all__ = ["peak_memory", "play"]

_STEPS = 3


def play(agent: Any, env: Any) -> None:
    """Lets an agent recommend for some steps in an environment, a vector agent in a vector one."""
    if hasattr(env, "single_action_space"):
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
