"""Agents: random, greedy, cluster bandits and tabular Q-learning; layers that wrap agents."""

from recsim.agents import (
    agent_utils,
    cluster_bandit_agent,
    greedy_pctr_agent,
    random_agent,
    tabular_q_agent,
)

__all__ = [
    "agent_utils",
    "cluster_bandit_agent",
    "greedy_pctr_agent",
    "random_agent",
    "tabular_q_agent",
]
