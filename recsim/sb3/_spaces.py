"""Spaces of models and of environments, compared and shown."""

from __future__ import annotations

from typing import Any

import numpy as np

from recsim import spaces as spaces_lib
from recsim import types

__all__ = ["same", "shown"]


def same(space: types.Space, other: types.Space) -> bool:
    """Says whether two spaces have the same elements, whatever their precision."""
    leaves, others = dict(spaces_lib.leaves(space)), dict(spaces_lib.leaves(other))
    if list(leaves) != list(others):
        return False
    return all(_same_leaf(leaf, others[path]) for path, leaf in leaves.items())


def _same_leaf(leaf: types.Space, other: types.Space) -> bool:
    one, another = (getattr(each, "low", None) for each in (leaf, other))
    if one is None or another is None:
        return bool(leaf == other)
    bounds: Any = [(each.low, each.high) for each in (leaf, other)]  # type: ignore[attr-defined]
    return one.shape == another.shape and bool(np.allclose(*bounds))


def shown(space: types.Space) -> str:
    """Returns a space as a short text."""
    parts = []
    for path, leaf in spaces_lib.leaves(space):
        is_box = spaces_lib.kind_of(leaf) == "Box"
        text = f"Box{getattr(leaf, 'shape', '')}" if is_box else str(leaf)
        parts.append(f"{'_'.join(map(str, path))}: {text}" if path else text)
    return parts[0] if len(parts) == 1 else f"Dict({', '.join(parts)})"
