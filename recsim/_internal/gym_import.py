"""The one place that imports gym first.

gym 0.26 prints a notice about NumPy 2 and Gymnasium at its first import, which a user of this
library can do nothing about: the list it is taken from is emptied before.
"""

import gym_notices.notices as _notices

_notices.notices.clear()

import gym  # noqa: E402
from gym import spaces  # noqa: E402

__all__ = ["gym", "spaces"]
