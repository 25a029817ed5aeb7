"""Protocols: what an object may say of itself to those who use it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = ["Learner"]


@runtime_checkable
class Learner(Protocol):
    """An agent that says how much it has learned.

    No agent has to be one. Where an agent is, :class:`recsim.simulator.runner_lib.TrainRunner` and
    ``recsim run`` tell of a training in which nothing was learned.
    """

    @property
    def num_updates(self) -> int:
        """Number of updates so far of what the agent knows, such as gradient steps."""

    @property
    def steps_without_update(self) -> int:
        """Number of training steps, of all users together, in which a new agent makes no update.

        A training that is no longer teaches the agent nothing. 0 if the first step may be learned
        from.
        """
