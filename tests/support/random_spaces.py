"""Strategies for spaces of gym and of gymnasium, and for how a number may be written."""

from __future__ import annotations

from typing import Any

import gym.spaces
import gymnasium.spaces
import numpy as np
from hypothesis import strategies as st

LIBRARIES = (gym.spaces, gymnasium.spaces)

_SHAPES = st.sampled_from([(), (1,), (2,), (2, 3)])
_FLOATS = st.sampled_from([np.float32, np.float64])
_INTEGERS = st.sampled_from([np.int8, np.int64, np.uint8])


@st.composite
def boxes(draw: st.DrawFn, library: Any) -> Any:
    """Returns a Box: offsets, bounds that exclude 0, no bounds, floats and integers."""
    shape = draw(_SHAPES)
    if draw(st.booleans()):
        low = draw(st.sampled_from([0.0, -1.0, 0.5, 3.0, -7.5, -np.inf]))
        width = draw(st.sampled_from([0.5, 1.0, 10.0, np.inf]))
        high = np.inf if np.isinf(low) or np.isinf(width) else low + width
        return library.Box(low, high, shape, draw(_FLOATS))
    dtype = draw(_INTEGERS)
    low = draw(st.integers(0 if dtype is np.uint8 else -5, 5))
    return library.Box(low, low + draw(st.integers(0, 6)), shape, dtype)


def leaves(library: Any) -> st.SearchStrategy[Any]:
    """Returns a strategy for spaces that hold no others."""
    return st.one_of(
        boxes(library),
        st.builds(lambda n, start: library.Discrete(n, start=start), _sizes(), st.integers(-3, 3)),
        st.builds(library.MultiDiscrete, st.lists(_sizes(), min_size=1, max_size=3)),
        st.builds(library.MultiBinary, st.integers(1, 3)),
        st.builds(library.Text, st.integers(1, 5)),
    )


def _sizes() -> st.SearchStrategy[int]:
    return st.integers(1, 4)


def spaces(library: Any, depth: int = 2) -> st.SearchStrategy[Any]:
    """Returns a strategy for spaces, with dictionaries and tuples nested so deep at most."""
    if depth == 0:
        return leaves(library)
    inner = spaces(library, depth - 1)
    keys = st.sampled_from(["a", "b", "click", "z 9"])
    return st.one_of(
        leaves(library),
        st.builds(library.Dict, st.dictionaries(keys, inner, min_size=1, max_size=2)),
        st.builds(lambda items: library.Tuple(items), st.lists(inner, min_size=1, max_size=2)),
    )


def elements(space: Any, number: int, seed: int) -> list[Any]:
    """Returns elements of a space."""
    space.seed(seed)
    return [space.sample() for _ in range(number)]


#: Ways to write a number that code written for RecSim uses, each with its name.
SPELLINGS = {
    "float": float,
    "int": int,
    "bool": bool,
    "float16": np.float16,
    "float32": np.float32,
    "float64": np.float64,
    "int8": np.int8,
    "uint8": np.uint8,
    "int64": np.int64,
    "bool_": np.bool_,
    "array ()": lambda value: np.array(value, np.float32),
    "array (1,)": lambda value: np.array([value], np.float32),
    "integer array (1,)": lambda value: np.array([value], np.int64),
    "array (1, 1)": lambda value: np.array([[value]]),
}

#: What is not one number.
NO_NUMBERS = {
    "two": np.array([1.0, 2.0]),
    "none": np.zeros(0),
    "None": None,
    "text": "1.0",
    "dictionary": {"reward": 1.0},
    "complex": 1j,
    "object": object(),
}
