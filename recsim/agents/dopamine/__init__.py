"""The deep Q-network that the slate agents share; the path is RecSim's."""

from recsim.agents.dopamine import dqn_agent

__all__ = ["dqn_agent"]
