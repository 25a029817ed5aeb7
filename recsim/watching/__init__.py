"""An episode to watch: recorded step by step, shown in the terminal or on a page of its own.

:func:`recsim.watch` records an episode, in which an agent recommends to one user, as an
:class:`~recsim.watching.episode.Episode`.
"""

from recsim.watching.episode import Episode, Step
from recsim.watching.recording import watch

__all__ = ["Episode", "Step", "watch"]
