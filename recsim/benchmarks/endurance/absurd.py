"""Values that somebody may pass by mistake, or on purpose."""

from __future__ import annotations

import decimal
import fractions
from typing import Any

import numpy as np

__all__ = ["VALUES"]

#: Values of wrong types, out of every range, at the edges of floating-point numbers, and some that
#: are fine in an unusual type.
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    "x",
    "",
    "1",
    b"x",
    [],
    [1, 2],
    {},
    {"x": 1},
    (),
    object(),
    1j,
    float("nan"),
    float("inf"),
    float("-inf"),
    -1,
    0,
    1,
    2,
    7,
    0.5,
    1.5,
    -0.5,
    1e-300,
    1e300,
    -1e300,
    10**30,
    -(10**30),
    2**63,
    np.float32(0.5),
    np.int64(2),
    np.uint8(2),
    np.bool_(True),
    np.array(0.5),
    np.array([0.5]),
    np.array([1, 2]),
    np.array([[0.1, 0.2], [0.3, 0.4]]),
    np.array([np.nan, 1.0]),
    np.array(["a", "b"]),
    np.array([None, 1], object),
    np.zeros((0, 3)),
    fractions.Fraction(1, 2),
    decimal.Decimal("0.5"),
)
