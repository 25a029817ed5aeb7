"""The one place that imports gym first, without its notice."""

from recsim._internal import gym_notice  # noqa: F401

import gym  # isort: skip
from gym import spaces  # isort: skip

__all__ = ["gym", "spaces"]
