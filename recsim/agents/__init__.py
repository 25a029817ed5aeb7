"""Agents: random, bandits, Q-learning, policy gradients, actor-critics; an oracle; layers."""

from recsim._internal import lazy
from recsim.agents import (
    agent_utils,
    cluster_bandit_agent,
    contextual_bandit_agent,
    factories,
    full_slate_q_agent,
    greedy_pctr_agent,
    ppo_agent,
    random_agent,
    reinforce_agent,
    sac_topk_agent,
    slate_decomp_q_agent,
    softmax_agent,
    tabular_q_agent,
    wolpertinger_agent,
)

__all__ = [
    "agent_utils",
    "cluster_bandit_agent",
    "contextual_bandit_agent",
    "factories",
    "full_slate_q_agent",
    "greedy_pctr_agent",
    "ppo_agent",
    "random_agent",
    "reinforce_agent",
    "sac_topk_agent",
    "short_term_oracle",
    "slate_decomp_q_agent",
    "softmax_agent",
    "tabular_q_agent",
    "wolpertinger_agent",
]

# It knows scenarios, which an agent that only serves does not need.
__getattr__, __dir__ = lazy.lazy_submodules(__name__, ("short_term_oracle",))
