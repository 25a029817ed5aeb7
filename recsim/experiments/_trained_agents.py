"""Files of the agents that experiments train, to serve them elsewhere."""

from __future__ import annotations

import logging
import os

from recsim import types

__all__ = ["FILE", "save"]

#: The file's name in the folder of the agent's runs.
FILE = "agent.recsim"

_logger = logging.getLogger(__name__)


def save(agent: types.AnyAgent | None, folder: str) -> None:
    """Saves a trained agent for :func:`recsim.load_agent`, where it can be saved.

    Args:
        agent: the agent. One of the user's own class may have no ``save``, or lack what its
            constructor takes, see :meth:`recsim.agent.AbstractRecommenderAgent.serving`.
        folder: the folder of its runs.
    """
    save_agent = getattr(agent, "save", None)
    if save_agent is None:
        return
    try:
        save_agent(os.path.join(folder, FILE))
    except (TypeError, ValueError, NotImplementedError) as error:
        _logger.info("%s is not saved to serve: %s", type(agent).__name__, error)
