"""Layers: agents that change what base agents see, or mix what they recommend."""

from recsim.agents.layers import (
    abstract_click_bandit,
    cluster_click_statistics,
    fixed_length_history,
    recent_slates,
    sufficient_statistics,
    temporal_aggregation,
)

__all__ = [
    "abstract_click_bandit",
    "cluster_click_statistics",
    "fixed_length_history",
    "recent_slates",
    "sufficient_statistics",
    "temporal_aggregation",
]
