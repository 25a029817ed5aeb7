"""What comes before any import of Stable-Baselines3: a look whether it is installed."""

from __future__ import annotations

import importlib.util

# Stable-Baselines3 imports Gym, which is silent where this has imported it before.
from recsim._internal import gym_import, version  # noqa: F401

__all__ = ["require"]


def require() -> None:
    """Raises ImportError, naming the extra, if Stable-Baselines3 is not installed."""
    if importlib.util.find_spec("stable_baselines3") is None:
        raise ImportError(
            "recsim.sb3 needs Stable-Baselines3, which is not installed: "
            f"pip install '{version.DISTRIBUTION}[sb3]'."
        )
