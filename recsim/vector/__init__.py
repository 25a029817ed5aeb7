"""The vector engine: worlds and agents of many users at once, every array with users on axis 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsim._internal import lazy

if TYPE_CHECKING:
    from recsim.vector import agent, env, scenario, simulate, streams, wrappers

__all__ = ["agent", "env", "scenario", "simulate", "streams", "wrappers"]

# Worlds need the abstract classes, and should not wait for Gymnasium.
__getattr__, __dir__ = lazy.lazy_submodules(__name__, __all__)
