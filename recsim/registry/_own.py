"""Entries of one's own, which workers get too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recsim._internal import worker_state
from recsim.registry import _agents, _environments, _gymnasium, _reproductions

__all__ = ["own_entries", "set_own_entries"]

_KINDS: tuple[dict[str, Any], ...] = (
    _environments.ENVIRONMENTS,
    _agents.AGENTS,
    _reproductions.REPRODUCTIONS,
)
_OF_THE_LIBRARY = tuple(map(dict, _KINDS))


def own_entries() -> tuple[dict[str, Any], ...]:
    """Returns the entries that were added or replaced: environments, agents, reproductions."""
    return tuple(
        {name: entry for name, entry in entries.items() if entry is not known.get(name)}
        for entries, known in zip(_KINDS, _OF_THE_LIBRARY)
    )


def set_own_entries(own: Sequence[Mapping[str, Any]]) -> None:
    """Adds and replaces the entries that :func:`own_entries` returned in another process."""
    for entries, known, of_kind in zip(_KINDS, _OF_THE_LIBRARY, own):
        entries.clear()
        entries.update({**known, **of_kind})
    _gymnasium.register_in_gymnasium()


worker_state.carry(own_entries, set_own_entries)
