"""How many random cases a property test takes.

``RECSIM_CASES=25 pytest tests/properties`` takes 25 times as many as usual, other ones each time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import hypothesis

_FACTOR = float(os.environ.get("RECSIM_CASES", "1"))


def random_cases(number: int) -> Callable[[Any], Any]:
    """Returns a decorator that has a property test take so many cases, the same ones each time."""
    return hypothesis.settings(
        max_examples=max(1, round(number * _FACTOR)),
        derandomize=_FACTOR == 1,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
