"""Strategies for spaces of gym and of gymnasium, and for how a number may be written."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from hypothesis import strategies as st

from recsim._internal.gym_import import spaces as gym_spaces

LIBRARIES = (gym_spaces, gymnasium.spaces)
_SHAPES = st.sampled_from([(), (1,), (2,), (3,), (0,), (2, 3)])
_FLOATS = (np.float32, np.float64)
_INTEGERS = (np.int8, np.uint8, np.int32, np.int64)


@st.composite
def boxes(draw: Any, library: Any) -> Any:
    """Draws a Box, bounded, half bounded or not, of floating-point numbers or integers."""
    shape = draw(_SHAPES)
    size = int(np.prod(shape))
    dtype = draw(st.sampled_from(_FLOATS + _INTEGERS))
    if dtype in _INTEGERS:
        info = np.iinfo(dtype)
        numbers = st.integers(max(int(info.min), -1000), min(int(info.max), 1000))
    else:
        # Without minus zero, which Gym cannot sample below zero from.
        numbers = st.floats(-1000, 1000, width=32, allow_subnormal=False).map(lambda end: end + 0.0)
    ends = st.lists(numbers, min_size=2 * size, max_size=2 * size)
    pairs = np.sort(np.array(draw(ends), dtype).reshape(2, size), axis=0)
    low, high = pairs[0].reshape(shape), pairs[1].reshape(shape)
    if dtype in _FLOATS and size:
        if draw(st.booleans()):
            low = np.full(shape, -np.inf, dtype)
        if draw(st.booleans()):
            high = np.full(shape, np.inf, dtype)
    return library.Box(low, high, shape, dtype)


def discretes(library: Any) -> Any:
    """Draws a Discrete space, which may start anywhere."""
    starts = st.sampled_from([0, 1, 3, -2, 2**33, -(2**40)])
    return st.builds(lambda n, start: library.Discrete(n, start=start), st.integers(1, 4), starts)


@st.composite
def multi_discretes(draw: Any, library: Any) -> Any:
    """Draws a MultiDiscrete space; one of gymnasium may start anywhere."""
    nvec = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    if len(nvec) == 4 and draw(st.booleans()):
        nvec = np.reshape(nvec, (2, 2)).tolist()
    if library is gym_spaces or draw(st.booleans()):
        return library.MultiDiscrete(nvec)
    start = np.full(np.shape(nvec), draw(st.sampled_from([1, -3, 2**35])))
    return library.MultiDiscrete(nvec, start=start)


def multi_binaries(library: Any) -> Any:
    """Draws a MultiBinary space."""
    return st.sampled_from([1, 3, (2, 2)]).map(library.MultiBinary)


def arrays(library: Any, *more_leaves: Any) -> Any:
    """Draws a space whose elements are arrays, nested in Dict and Tuple spaces.

    Args:
        library: the module of the spaces.
        *more_leaves: strategies for spaces that may be among the innermost ones too.
    """
    leaves = st.one_of(
        boxes(library),
        discretes(library),
        multi_discretes(library),
        multi_binaries(library),
        *more_leaves,
    )
    keys = st.sampled_from(["b", "a", "click", "z 9"])
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.dictionaries(keys, inner, min_size=1, max_size=3).map(library.Dict),
            st.lists(inner, min_size=1, max_size=3).map(library.Tuple),
        ),
        max_leaves=4,
    )


def spaces(library: Any) -> Any:
    """Draws a space whose elements are arrays or texts, nested in Dict and Tuple spaces."""
    return arrays(library, st.builds(library.Text, st.integers(1, 5)))


def texts(library: Any) -> Any:
    """Draws a Text space, some in a Dict or Tuple space."""
    text = st.builds(
        lambda low, more: library.Text(low + more, min_length=low, charset="abc"),
        st.integers(0, 2),
        st.integers(1, 3),
    )
    return st.one_of(
        text,
        text.map(lambda space: library.Dict({"text": space})),
        text.map(lambda space: library.Tuple([library.Discrete(2), space])),
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
