"""Saved agents that serve: recommendations in another process, by the ids of your items.

An agent is saved by its :meth:`save <recsim.agent.AbstractRecommenderAgent.save>`, and
:func:`load_agent` makes a :class:`ServedAgent` of the file, without an environment and without
TensorFlow.
"""

from recsim.serving._files import AgentFileError
from recsim.serving._requests import Id, Items, Recommendation, User
from recsim.serving._served_agent import ServedAgent, UnknownUserError, load_agent

__all__ = [
    "AgentFileError",
    "Id",
    "Items",
    "Recommendation",
    "ServedAgent",
    "UnknownUserError",
    "User",
    "load_agent",
]
