"""A checkpoint made on trial: what it cannot hold is told of before a training takes its time."""

from __future__ import annotations

import copy
import logging
import tempfile

from recsim._internal import bundles
from recsim.simulator import checkpoint

__all__ = ["check_arguments", "check_state"]

_logger = logging.getLogger(__name__)


def check_arguments(base_dir: object, create_agent_fn: object) -> None:
    """Raises ValueError or TypeError if a runner has no folder, or nothing to make agents with."""
    if base_dir is None:
        raise ValueError("base_dir must be the folder for the run's files, got None.")
    if not callable(create_agent_fn):
        raise TypeError(
            "create_agent_fn must be a function (sess, environment, eval_mode, "
            f"summary_writer) that returns an agent, got {create_agent_fn!r}."
        )


def check_state(agent: object, environment_state: object) -> None:
    """Checks that the state of an agent and of an environment can go into a checkpoint.

    The bundle of an agent that is not of this library is that of a copy, for the agent's own code
    may do more than to return it; one that cannot be copied is not tried. Files that it writes go
    to a temporary folder.

    Args:
        agent: the agent, which is not changed.
        environment_state: what the environment's ``state_dict`` returned.

    Raises:
        TypeError, ValueError: if something in the state is not data; the error names its place.
        TypeError: if the agent has no method for its state.
    """
    bundles.check_has_state(agent)
    state = {"environment": environment_state}
    with tempfile.TemporaryDirectory() as folder:
        try:
            asked = agent if _is_of_this_library(agent) else copy.deepcopy(agent)
            state["agent"] = bundles.state_for_checkpoint(asked, folder, 0)
        except Exception as error:  # It may need what only a training brings.
            _logger.debug("No trial of the agent's bundle: %r", error)
    checkpoint.check(state)


def _is_of_this_library(agent: object) -> bool:
    """Says whether no code of others returns an agent's bundle: a copy would only take memory."""
    base_agents = getattr(agent, "_base_agents", None) or [getattr(agent, "_base_agent", None)]
    return type(agent).__module__.startswith("recsim.") and all(
        base_agent is None or _is_of_this_library(base_agent) for base_agent in base_agents
    )
