"""From one seed to independent, named random streams, and the state of a generator as data.

The single-user engine samples from :class:`numpy.random.RandomState`, whose streams NumPy has
frozen: a recorded trajectory stays reproducible in every later NumPy.
"""

from __future__ import annotations

import zlib

import numpy as np

from recsim._internal import numbers
from recsim._internal.generator_states import (
    AnyGenerator,
    check_state,
    checked_sequence,
    generator_state,
    is_generator,
    make_generator,
    owned_state,
    restore_generator,
    restore_owned,
)

__all__ = [
    "AnyGenerator",
    "check_state",
    "checked_sequence",
    "derived_seed",
    "generator_state",
    "integers_and_normals",
    "is_generator",
    "make_generator",
    "named_sequence",
    "named_random_state",
    "owned_state",
    "restore_generator",
    "restore_owned",
]


def named_random_state(seed: int | None, name: str) -> np.random.RandomState:
    """Returns a generator whose stream is independent of those of other names and seeds.

    Args:
        seed: an integer >= 0, or None for a stream from the operating system's entropy.
        name: what the stream is for. The same seed and name always give the same stream, which
            is also independent of ``RandomState(seed)``.
    """
    if seed is None:
        return np.random.RandomState()
    return np.random.RandomState(np.random.MT19937(named_sequence(seed, name)))


def derived_seed(seed: int, name: str) -> int:
    """Returns a seed in [0, 2**32 - 1] for what must not have the random numbers of ``seed``.

    Args:
        seed: an integer >= 0.
        name: what the new seed is for. The same seed and name always give the same.
    """
    return int(named_sequence(seed, name).generate_state(1)[0])


def named_sequence(seed: int | None, name: str) -> np.random.SeedSequence:
    """Returns a sequence of seeds, to spawn the streams of the parts of a computation from.

    Args:
        seed: an integer >= 0; None for streams that no seed determines.
        name: what the streams are for. The same seed and name always give the same sequence.

    Raises:
        TypeError: if the seed is not an integer, or the name not a string.
        ValueError: if the seed is negative.
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {numbers.described(name)}.")
    try:
        return np.random.SeedSequence(seed, spawn_key=(zlib.crc32(name.encode()),))
    except (TypeError, ValueError) as error:
        raise type(error)(f"seed must be an integer >= 0, got {numbers.described(seed)}.") from None


def integers_and_normals(
    rng: np.random.RandomState, high: int, size: int
) -> tuple[list[int], list[float]]:
    """Returns what ``size`` times ``rng.randint(high), rng.standard_normal()`` would sample.

    ``randint`` takes a 32-bit word from the generator, keeps the bits that ``high - 1`` needs and
    tries again while the number is too large; most of its time goes to its arguments. Doing that
    directly gives the same stream several times faster.

    Args:
        rng: the generator.
        high: an integer in [1, 2**32 - 1], above the greatest integer to sample.
        size: number of pairs.
    """
    normal = rng.standard_normal
    bit_generator = getattr(rng, "_bit_generator", None)
    integers, normals = [], []
    if high == 1 or not isinstance(bit_generator, np.random.MT19937):
        for _ in range(size):
            integers.append(int(rng.randint(high)))
            normals.append(normal())
        return integers, normals
    next_word = bit_generator.random_raw
    mask = (1 << (high - 1).bit_length()) - 1
    for _ in range(size):
        number = next_word() & mask
        while number >= high:
            number = next_word() & mask
        integers.append(number)
        normals.append(normal())
    return integers, normals
