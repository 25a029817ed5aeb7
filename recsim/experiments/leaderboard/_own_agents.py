"""Agents of one's own that would be run as what they are not: refused before they are run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recsim import registry
from recsim.experiments import factories
from recsim.experiments.leaderboard import tasks
from recsim.vector import agent as vector_agent

__all__ = ["check"]


def check(reference: factories.Reference, wanted: Sequence[tasks.Task]) -> None:
    """Checks what makes an agent.

    Args:
        reference: the agent, see :mod:`recsim.experiments.factories`.
        wanted: the tasks that it will be run in.

    Raises:
        ValueError: if there is no such agent; or it is code of one's own that is for one user at a
            time, or learns and has no state by which what it learned gets to where it is evaluated.
    """
    entry = factories.agent_entry(reference)
    if not (isinstance(reference, str) and factories.is_reference(reference)):
        return
    code: Any = factories.loaded(reference, "agent")
    if hasattr(code, "begin_episode"):
        raise ValueError(
            f"agents must be for users in parallel, got {reference}, which is for one user at a "
            "time: write a function of the environment that returns a "
            "recsim.vector.wrappers.SingleUserAgents, with an agent for each user."
        )
    if not entry.learns:
        return
    made = next(filter(None, (_made(entry, task) for task in wanted)), None)
    if isinstance(made, vector_agent.AbstractVectorAgent) and not made.state_dict():
        raise ValueError(
            f"agents that learn must have a state, got {reference}, whose state_dict() is empty: "
            "define state_dict and load_state_dict, by which what it learned gets to the agent "
            "that is evaluated."
        )


def _made(entry: registry.AgentEntry, task: tasks.Task) -> object | None:
    """Returns the agent, made for a task; None if it cannot be made for it."""
    create: Any = entry.create_vector
    make: Any = task.scenario.create_vector
    try:
        made: object = create(make({"seed": 0}, 2), seed=0, eval_mode=False, summary_writer=None)
    except Exception:  # How it fails, or why it cannot take part, is told of where it is run.
        return None
    return made
