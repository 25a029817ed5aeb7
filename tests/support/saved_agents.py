"""Agents of all kinds, to be saved and served."""

from __future__ import annotations

import functools

from recsim import registry
from recsim.agents import cluster_bandit_agent, slate_decomp_q_agent
from recsim.agents.layers import cluster_click_statistics, fixed_length_history

SCENARIOS = {
    "random": "interest_exploration",
    "greedy_pctr": "interest_exploration",
    "cluster_bandit_ts": "interest_exploration",
    "cluster_bandit_ucb1": "interest_exploration",
    "tabular_q": "interest_exploration",
    "softmax": "interest_evolution",
    "lin_ucb": "interest_evolution",
    "logistic_ts": "interest_exploration",
    "full_slate_q": "interest_evolution",
    "ppo": "interest_evolution",
    "reinforce": "interest_evolution",
    "wolpertinger": "interest_evolution",
    "sac_topk": "interest_evolution",
    "slate_topk_sarsa": "interest_evolution",
    "slate_optimal_optimal_q": "interest_evolution",
    "history": "interest_evolution",
    "history of topics": "interest_exploration",
}


def create_agent(name, env, seed=0):
    """Returns an agent of a name of the registry, or of SCENARIOS."""
    if name == "history":
        base = functools.partial(slate_decomp_q_agent.SlateDecompQAgent, None, eval_mode=True)
        return fixed_length_history.FixedLengthHistoryLayer(
            base, env.observation_space, env.action_space, history_length=2
        )
    if name == "history of topics":
        bandit = functools.partial(
            cluster_click_statistics.ClusterClickStatsLayer, cluster_bandit_agent.ClusterBanditAgent
        )
        return fixed_length_history.FixedLengthHistoryLayer(
            bandit, env.observation_space, env.action_space, history_length=2
        )
    return registry.create_agent(name, env, seed=seed, eval_mode=True)
