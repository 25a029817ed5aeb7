"""Silences the notice of Gym.

gym 0.26 prints a notice about NumPy 2 and Gymnasium at its first import, which a user of this
library can do nothing about: importing this empties the list that it is taken from.
"""

import gym_notices.notices as _notices

_notices.notices.clear()
