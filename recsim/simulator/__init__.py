"""The simulator: environments, their Gym face, and runners of experiments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsim import _lazy

if TYPE_CHECKING:
    from recsim.simulator import environment, recsim_gym, runner_lib

__all__ = ["environment", "recsim_gym", "runner_lib"]

# Worlds need the environment, and should not wait for the runners.
__getattr__, __dir__ = _lazy.lazy_submodules(__name__, __all__)
