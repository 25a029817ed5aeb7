"""What several test files share."""

from __future__ import annotations

import importlib.util
import json
import pathlib
import types
from typing import Any

import numpy as np

#: The folders of the tests, of the checkout and of its committed results.
TESTS = pathlib.Path(__file__).parents[1]
CHECKOUT = TESTS.parent
RESULTS = CHECKOUT / "docs" / "results"


def recorded(name: str) -> Any:
    """Returns what was recorded under RecSim 0.2.4 in a file of ``tests/traces``."""
    return json.loads((TESTS / "traces" / f"{name}.json").read_text())


def recorder(name: str) -> types.ModuleType:
    """Returns a program of ``tests/traces`` that records, as a module."""
    spec = importlib.util.spec_from_file_location(name, TESTS / "traces" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def same(first: Any, second: Any) -> bool:
    """Says whether two trees of arrays and numbers are equal to the last bit."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(same, first, second))
    return np.asarray(first).tobytes() == np.asarray(second).tobytes()
