"""Random numbers for many users at once, the same for a user whoever else is simulated.

Users have numbers, 0, 1, 2, …, and belong to chunks of :data:`CHUNK_SIZE` of them. The numbers
that a user gets follow from the seed, the user's number and the order of the calls alone. They do
not depend on how many other users there are, nor on the work being spread over several workers.

* :class:`ChunkDraws` are for what happens at every step. Each chunk has a generator, which seeds a
  new stream for each call. A call fills the rows of the chunk's users from the first on, so that
  those who come after a user never change the user's row.
* :class:`UserDraws` are for what happens to a few users at a time, when their episodes begin. The
  numbers are hashes of the user's number, the number of the episode and a counter.

The second kind costs more for each number, and nothing for the users who do not take part.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from recsim import seeding

__all__ = [
    "CHUNK_SIZE",
    "ChunkDraws",
    "Draws",
    "UserDraws",
    "chunk_draws",
    "chunk_rows",
    "chunks",
    "hash_key",
    "restore",
]

#: Number of users whose step is computed together: enough that NumPy's calls cost little for each
#: of them, few enough that their arrays stay in a processor's cache.
CHUNK_SIZE = 4096

# Pairs of normal numbers that are computed together.
_BLOCK = 8192

# Number of categories from which on a binary search is faster than comparing with each.
_MANY = 24


class Draws(abc.ABC):
    """Source of random numbers with the users on axis 0.

    Every user must take part in every call, whether the number is used for the user or not: a
    model may not draw depending on what happened.

    Attributes:
        num_users: number of users.
        dtype: dtype of the numbers, float32 or float64.
    """

    num_users: int
    dtype: np.dtype

    @abc.abstractmethod
    def uniform(self, *shape: int) -> np.ndarray:
        """Returns uniform numbers in [0, 1), a new array of shape ``(n_users, *shape)``."""

    def normal(self, *shape: int) -> np.ndarray:
        """Returns standard normal numbers, a new array of shape ``(n_users, *shape)``.

        They come in pairs, by the method of Box and Muller (1958): of all ways to draw them, it
        leaves the most work to vectorised functions. In float32 none is beyond 5.8, where one of
        100 million would be: a uniform number has 24 bits.
        """
        size = math.prod(shape)
        numbers = self.uniform(2 * ((size + 1) // 2))
        _box_muller(numbers.reshape(-1))
        return numbers[:, :size].reshape(self.num_users, *shape)

    def categories(self, cumulative: np.ndarray, *shape: int) -> np.ndarray:
        """Returns categories, int32 of shape ``(n_users, *shape)``.

        Args:
            cumulative: cumulative probabilities of the categories, shape (n_categories,), the
                last one being 1.
            *shape: shape of a user's categories.
        """
        uniform = self.uniform(*shape)
        bounds = cumulative[:-1].astype(self.dtype)
        if len(bounds) > _MANY:
            return np.searchsorted(bounds, uniform, side="right").astype(np.int32)
        categories = np.zeros(uniform.shape, np.int8)
        for bound in bounds:
            categories += uniform >= bound
        return categories.astype(np.int32)

    def integers(self, high: int, *shape: int) -> np.ndarray:
        """Returns integers in [0, high), int32 of shape ``(n_users, *shape)``, all equally likely.

        Args:
            high: a number in [1, 65536]: the numbers are made of uniform ones, which leaves their
                probabilities equal to within one part in 256 at that size.
            *shape: shape of a user's numbers.
        """
        return (self.uniform(*shape) * self.dtype.type(high)).astype(np.int32)


def _box_muller(numbers: np.ndarray) -> None:
    """Turns uniform numbers, an even number of them in a vector, into normal ones in place."""
    dtype = numbers.dtype.type
    num_pairs = min(_BLOCK, len(numbers) // 2)
    # Scratch arrays that stay in the cache.
    all_radii, all_angles, all_products = np.empty((3, num_pairs), dtype)
    for start in range(0, len(numbers), 2 * _BLOCK):
        block = numbers[start : start + 2 * _BLOCK]
        size = len(block) // 2
        radii, angles, products = all_radii[:size], all_angles[:size], all_products[:size]
        np.subtract(dtype(1), block[0::2], out=radii)  # In (0, 1]: its logarithm is finite.
        np.log(radii, out=radii)
        np.multiply(radii, dtype(-2), out=radii)
        np.sqrt(radii, out=radii)
        np.multiply(block[1::2], dtype(2 * np.pi), out=angles)
        np.cos(angles, out=products)
        np.multiply(products, radii, out=block[0::2])
        np.sin(angles, out=products)
        np.multiply(products, radii, out=block[1::2])


def chunks(first_user: int, num_users: int) -> list[tuple[int, range]]:
    """Returns the chunks that users belong to, and which of the users belong to each.

    Args:
        first_user: number of the first user.
        num_users: number of users.

    Returns:
        Numbers of chunks, each with the numbers of its users.
    """
    last = first_user + num_users
    numbers = range(first_user // CHUNK_SIZE, -(-last // CHUNK_SIZE))
    return [
        (number, range(max(number * CHUNK_SIZE, first_user), min((number + 1) * CHUNK_SIZE, last)))
        for number in numbers
    ]


def chunk_rows(first_user: int, num_users: int) -> list[slice]:
    """Returns the rows, of arrays with the users on axis 0, that belong to each chunk.

    Args:
        first_user: number of the first user, whose row is the first.
        num_users: number of users.
    """
    return [
        slice(users.start - first_user, users.stop - first_user)
        for _, users in chunks(first_user, num_users)
    ]


def chunk_draws(
    seed: int, name: str, first_user: int, num_users: int, dtype: DTypeLike = np.float32
) -> list[ChunkDraws]:
    """Returns the draws of the chunks that users belong to.

    Args:
        seed: an integer >= 0.
        name: what draws the numbers: draws of different names are independent.
        first_user: number of the first user.
        num_users: number of users.
        dtype: float32 or float64.
    """
    parent = seeding.named_sequence(seed, name)
    return [
        ChunkDraws(
            np.random.SeedSequence(parent.entropy, spawn_key=(*parent.spawn_key, number)),
            len(users),
            users.start - number * CHUNK_SIZE,
            dtype,
        )
        for number, users in chunks(first_user, num_users)
    ]


def restore(draws: Sequence[ChunkDraws], states: Sequence[dict[str, Any]]) -> None:
    """Continues from the states of draws, if they are of as many chunks.

    Args:
        draws: the draws of an agent.
        states: what their :meth:`ChunkDraws.state` returned.
    """
    if len(states) == len(draws):
        for each, state in zip(draws, states):
            each.restore(state)


class ChunkDraws(Draws):
    """The numbers of a range of users of one chunk, new ones at each call.

    Args:
        sequence: the chunk's seeds.
        num_users: number of users.
        first_row: the first user's position in the chunk, in [0, CHUNK_SIZE - num_users].
        dtype: float32 or float64.
    """

    def __init__(
        self,
        sequence: np.random.SeedSequence,
        num_users: int,
        first_row: int = 0,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.num_users = num_users
        self.dtype = np.dtype(dtype)
        self._first_row = first_row
        self._seeds = np.random.SFC64(sequence)
        self._bits = np.random.SFC64(0)
        self._rng = np.random.Generator(self._bits)
        self._state: Any = self._bits.state

    def uniform(self, *shape: int) -> np.ndarray:
        """See :meth:`Draws.uniform`."""
        self._next_stream()
        out = np.empty((self._first_row + self.num_users, *shape), self.dtype)
        self._rng.random(out=out, dtype=self.dtype.type)
        return out[self._first_row :]

    def _next_stream(self) -> None:
        """Starts the stream of the next call, wherever the last one ended."""
        words = self._state["state"]["state"]
        words[:3] = self._seeds.random_raw(3)
        words[3] = 1
        self._bits.state = self._state
        self._bits.random_raw(12, output=False)  # As SFC64 mixes its seeds.

    def state(self) -> dict[str, Any]:
        """Returns the state of the generator, as data for a checkpoint."""
        return dict(self._seeds.state)

    def restore(self, state: dict[str, Any]) -> None:
        """Continues from a state that :meth:`state` returned."""
        self._seeds.state = state  # type: ignore[assignment]


# Constants of SplitMix64 (Steele, Lea and Flood, 2014).
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)


def _mixed(words: np.ndarray) -> np.ndarray:
    """Mixes 64-bit words in place, as SplitMix64 does, and returns them."""
    words ^= words >> _SHIFTS[0]
    words *= _FACTORS[0]
    words ^= words >> _SHIFTS[1]
    words *= _FACTORS[1]
    words ^= words >> _SHIFTS[2]
    return words


def hash_key(seed: int, name: str) -> int:
    """Returns the key of the numbers that are drawn for a purpose, a 64-bit integer.

    Args:
        seed: an integer >= 0.
        name: the purpose.
    """
    return int(seeding.named_sequence(seed, name).generate_state(1, np.uint64)[0])


class UserDraws(Draws):
    """The numbers of any users at the beginning of their episodes.

    The first call for an episode of a user always returns the same numbers, and so do the
    following ones.

    Args:
        key: what the numbers are for, see :func:`hash_key`.
        users: the users' numbers, integers of shape (n_users,).
        episodes: the numbers of their episodes, integers of shape (n_users,).
        dtype: float32 or float64.
    """

    def __init__(
        self, key: int, users: np.ndarray, episodes: np.ndarray, dtype: DTypeLike = np.float32
    ) -> None:
        self.num_users = len(users)
        self.dtype = np.dtype(dtype)
        keys = _mixed(users.astype(np.uint64) * _GOLDEN + np.uint64(key))
        self._keys = _mixed(keys + episodes.astype(np.uint64) * _GOLDEN)
        self._counter = 0

    def uniform(self, *shape: int) -> np.ndarray:
        """See :meth:`Draws.uniform`."""
        size = math.prod(shape)
        counters = np.arange(self._counter + 1, self._counter + size + 1, dtype=np.uint64)
        self._counter += size
        words = _mixed(self._keys[:, np.newaxis] + counters * _GOLDEN)
        bits = 24 if self.dtype == np.float32 else 53
        words >>= np.uint64(64 - bits)
        numbers = words.astype(self.dtype)
        numbers *= self.dtype.type(2.0**-bits)
        return numbers.reshape(self.num_users, *shape)
