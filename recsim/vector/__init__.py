"""The vector engine: scenarios and agents of users in parallel, arrays with the users on axis 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsim._internal import lazy

if TYPE_CHECKING:
    from recsim.vector import agent, chunk, env, rollouts, scenario, simulate, streams, wrappers

__all__ = ["agent", "chunk", "env", "rollouts", "scenario", "simulate", "streams", "wrappers"]

# Scenarios need the abstract classes, and should not wait for Gymnasium.
__getattr__, __dir__ = lazy.lazy_submodules(__name__, __all__)
