"""What agents say of how much they have learned, layers and wrappers included."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from recsim import types

__all__ = ["complaint", "num_updates", "remedy", "steps_without_update"]


def num_updates(agent: object) -> int | None:
    """Returns how many updates an agent has made, its base agents included.

    Args:
        agent: any agent.

    Returns:
        The number, or None if neither the agent nor a base agent is a
        :class:`recsim.types.Learner`.
    """
    counts = [learner.num_updates for learner in _learners(agent)]
    counts = [int(count) for count in counts if _is_integer(count)]
    return sum(counts) if counts else None


def steps_without_update(agent: object) -> int:
    """Returns in how many training steps a new agent makes no update, 0 if it does not say.

    Args:
        agent: any agent.
    """
    numbers = (learner.steps_without_update for learner in _learners(agent))
    return min((int(number) for number in numbers if _is_integer(number)), default=0)


def remedy(agent: object) -> str:
    """Returns what lets an agent learn earlier, with the setting where the agent names it.

    Args:
        agent: any agent. One of the library that learns has ``first_update_setting``, gin's name.
    """
    names = (getattr(learner, "first_update_setting", None) for learner in _learners(agent))
    known = [name for name in dict.fromkeys(names) if isinstance(name, str)]
    return f"let it learn earlier (gin's {', '.join(known)})" if known else "let it learn earlier"


def _is_integer(value: object) -> bool:
    """Says whether a value is an integer: an agent's attribute of the same name may be another."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def complaint(agent: object, num_steps: int) -> str:
    """Returns what to say of a training in which an agent learned nothing; '' of others.

    Args:
        agent: the agent after the training.
        num_steps: number of training steps.
    """
    if num_updates(agent) != 0:  # None where the agent does not say.
        return ""
    needed = steps_without_update(agent)
    reason = (
        f"it makes none in its first {needed:,} steps. Train it for longer (max_training_steps"
        f" times num_iterations), or {remedy(agent)}."
        if needed >= num_steps
        else "no step brought it anything to learn from, or it was made for evaluation (eval_mode)."
    )
    return (
        f"{type(agent).__name__} has learned nothing: it made no update in a training of "
        f"{num_steps:,} steps, for {reason}"
    )


def _learners(agent: object) -> Iterator[types.Learner]:
    if isinstance(agent, types.Learner):
        yield agent
        return
    for base_agent in getattr(agent, "_base_agents", None) or ():
        yield from _learners(base_agent)
