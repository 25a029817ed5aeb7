"""What worker processes are given of the process that starts them, beside their tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

__all__ = ["Carried", "carry", "collected", "restore"]

_State = TypeVar("_State")

#: A function that restores a state in another process, and the state.
Carried = tuple[Callable[[object], None], object]

_carriers: list[tuple[Callable[[], object], Callable[[object], None]]] = []


def carry(state: Callable[[], _State], restore_state: Callable[[_State], None]) -> None:
    """Lets workers have a state of this process.

    Args:
        state: returns the state, which cloudpickle can pickle.
        restore_state: restores it in a worker; a function of a module that a worker can import.
    """
    _carriers.append((state, restore_state))  # type: ignore[arg-type]  # They go together.


def collected() -> list[Carried]:
    """Returns all states as they are now, each with what restores it."""
    return [(restore_state, state()) for state, restore_state in _carriers]


def restore(carried: Iterable[Carried]) -> None:
    """Restores, in a worker, what :func:`collected` returned in the process that started it."""
    for restore_state, state in carried:
        restore_state(state)
