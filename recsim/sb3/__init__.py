"""Stable-Baselines3: the vector engine as a ``VecEnv``, and trained models as agents.

Needs the extra ``sb3``: ``pip install 'recsim[sb3]'``. What is here loads at its first use, and
raises ImportError without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

# Stable-Baselines3 imports Gym, whose notice is not printed where this comes first.
from recsim._internal import gym_notice, lazy  # noqa: F401

if TYPE_CHECKING:
    from recsim.sb3.policy_agent import PolicyAgent
    from recsim.sb3.vec_env import RecSimVecEnv, make_vec_env

__all__ = ["PolicyAgent", "RecSimVecEnv", "make_vec_env", "policy_agent", "vec_env"]

__getattr__, __dir__ = lazy.lazy_submodules(
    __name__,
    ["policy_agent", "vec_env"],
    {
        "PolicyAgent": "policy_agent",
        "RecSimVecEnv": "vec_env",
        "make_vec_env": "vec_env",
    },
)
