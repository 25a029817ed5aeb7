"""Reads of the protected names that RecSim's own code has, and that programs rely on.

docs/deviations.md says which they are. The tests read each in one place, here, where what it holds
cannot be seen through the public interface.
"""

from __future__ import annotations

from typing import Any


def user_state(user_model: Any) -> Any:
    """Returns the state of the user of a user model."""
    return user_model._user_state


def document_sampler(env: Any) -> Any:
    """Returns the document sampler of an environment."""
    return env.environment._document_sampler


def base_agents(layer: Any) -> Any:
    """Returns the agents that a layer wraps."""
    return layer._base_agents


def base_agent(layer: Any) -> Any:
    """Returns the one agent that a layer wraps."""
    (agent,) = base_agents(layer)
    return agent


def episode_statistics(runner: Any) -> Any:
    """Returns the lists of a runner's statistics of its last iteration's episodes, by name."""
    return runner._stats


def agent_of(runner: Any) -> Any:
    """Returns the agent of a runner that has run."""
    return runner._agent
