"""Random streams of users in parallel, the same for a user whoever else is simulated.

Users have numbers, 0, 1, 2, …, and belong to chunks of :data:`CHUNK_SIZE` of them. The numbers
that a user gets follow from the seed, the user's number and the order of the calls alone. They do
not depend on how many other users there are, nor on the work being spread over several workers.

* A :class:`ChunkStream` is for what happens at every step. Each chunk has a generator, in whose
  period a stream begins for each array that is filled. It fills the rows of the chunk's users from
  the first on, so that those who come after a user never change the user's row.
* A :class:`UserStream` is for what happens to a few users at a time, when their episodes begin. The
  numbers are hashes of the user's number, the number of the episode and a counter.

The second kind costs more for each number, and nothing for the users who do not take part.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from recsim import seeding
from recsim._internal import numbers, validation

__all__ = [
    "CHUNK_SIZE",
    "ChunkStream",
    "RandomStream",
    "UserStream",
    "check",
    "chunk_streams",
    "chunk_rows",
    "chunks",
    "float_dtype",
    "hash_key",
    "restore",
    "slates",
]

#: Number of users whose step is computed together: enough that NumPy's calls cost little for each
#: of them, few enough that their arrays stay in a processor's cache.
CHUNK_SIZE = 2048

# Integers are made of uniform numbers, which leaves them equally likely up to about here.
_MAX_INTEGER = 65536

# A float32 from [0, 1) has 24 bits: of more candidates some would never be sampled.
_MAX_CANDIDATES = 2**24

_MAX_INT16 = np.iinfo(np.int16).max

# The numbers of more users fit into no machine.
_MAX_USERS = 2**40

# Pairs of normal numbers that are computed together.
_BLOCK = 8192

# So many numbers of a user are sampled at once where a call asks for at most half of them: what
# NumPy takes for each array, whatever its size, is then taken once for several calls.
_FEW = 6

# Distance of two streams, 2**128 divided by the golden ratio: in the generator's period of 2**128,
# multiples of it are far from one another, however many there are.
_STREAM_LENGTH = 0x9E3779B97F4A7C15F39CC0605CEDC835

# Number of categories from which on a binary search is faster than comparing with each.
_MANY = 24


def float_dtype(dtype: DTypeLike) -> np.dtype:
    """Returns float32 or float64 as a dtype.

    Raises:
        TypeError: if it is not a dtype.
        ValueError: if it is another one.
    """
    try:
        result = np.dtype(dtype)
    except TypeError:
        raise TypeError(
            f"dtype must be float32 or float64, got {numbers.described(dtype)}."
        ) from None
    if result not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"dtype must be float32 or float64, got {numbers.described(dtype)}.")
    return result


class RandomStream(abc.ABC):
    """Source of random numbers with the users on axis 0.

    Every user must take part in every call, whether the number is used for the user or not: a
    model may not sample depending on what happened.

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

        They come in pairs, by the method of Box and Muller (1958): of all ways to sample them, it
        leaves the most work to vectorised functions. In float32 none is beyond 5.8, where one of
        100 million would be: a uniform number has 24 bits.
        """
        return _normal(self.uniform, self.num_users, shape)

    def categories(self, cumulative: np.ndarray, *shape: int) -> np.ndarray:
        """Returns categories, int32 of shape ``(n_users, *shape)``.

        Args:
            cumulative: cumulative probabilities of the categories, shape (n_categories,), the
                last one being 1.
            *shape: shape of a user's categories.
        """
        if type(cumulative) is not np.ndarray or cumulative.ndim != 1 or not len(cumulative):
            cumulative = _checked_cumulative(cumulative)
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
        if type(high) is not int or not 1 <= high <= _MAX_INTEGER:
            high = validation.positive_int("high", high, 1, _MAX_INTEGER)
        below: np.ndarray = self.uniform(*shape) * self.dtype.type(high)
        return below.astype(np.int32)

    def slates(self, num_candidates: int, slate_size: int) -> np.ndarray:
        """Returns slates of different candidates, int32 of shape ``(n_users, slate_size)``.

        All slates are equally likely, as far as :meth:`integers` are.

        Args:
            num_candidates: number of candidates, in [slate_size, 2**24].
            slate_size: number of candidates in a slate.
        """
        _check_slates(num_candidates, slate_size)
        return _slates(self.uniform(slate_size), num_candidates)


def _checked_cumulative(cumulative: object) -> np.ndarray:
    """Returns cumulative probabilities as an array, or refuses them."""
    array = numbers.float_array("cumulative", cumulative)
    if array.ndim != 1 or not len(array) or not (np.diff(array, prepend=0.0) >= 0.0).all():
        raise ValueError(
            "cumulative must be cumulative probabilities, a vector that rises to 1, got "
            f"{numbers.described(array.tolist())}."
        )
    if abs(array[-1] - 1.0) > 1e-6:
        raise ValueError(f"cumulative must rise to 1, got {numbers.described(array.tolist())}.")
    return array


def slates(uniform: np.ndarray, num_candidates: int) -> np.ndarray:
    """Returns slates of different candidates, made of uniform numbers.

    A number says which of the candidates that are left is next. From the last position to the
    first, those that come later make room for it: the decoding of a Lehmer code.

    Args:
        uniform: numbers in [0, 1), shape (..., slate_size).
        num_candidates: number of candidates.

    Returns:
        Integers of shape (..., slate_size).
    """
    uniform = numbers.float_array("uniform", uniform)
    if not uniform.ndim or not ((uniform >= 0.0) & (uniform < 1.0)).all():
        raise ValueError(
            "uniform must be numbers in [0, 1) with a slate's positions on the last axis, got "
            f"{numbers.described(uniform.tolist())}."
        )
    num_candidates = validation.positive_int("num_candidates", num_candidates, 0, _MAX_CANDIDATES)
    if uniform.shape[-1] > num_candidates:
        raise ValueError(
            f"num_candidates must be at least the positions of a slate, {uniform.shape[-1]} in "
            f"uniform, got {num_candidates}."
        )
    return _slates(uniform, num_candidates)


def _check_slates(num_candidates: int, slate_size: int) -> None:
    if type(slate_size) is not int or type(num_candidates) is not int:
        validation.positive_int("slate_size", slate_size)
        validation.positive_int("num_candidates", num_candidates)
    if not 0 < slate_size <= num_candidates <= _MAX_CANDIDATES:
        raise ValueError(
            f"slate_size and num_candidates must be 0 < slate_size <= num_candidates <= "
            f"{_MAX_CANDIDATES}, got {numbers.described((slate_size, num_candidates))}."
        )


def _slates(uniform: np.ndarray, num_candidates: int) -> np.ndarray:
    """Does what :func:`slates` does, without checks."""
    # Positions first in memory: what follows is computed for a position of all slates at once.
    last = uniform.ndim - 1
    by_position = uniform.transpose(last, *range(last))
    lengths = np.arange(num_candidates, num_candidates - len(by_position), -1)
    lengths = lengths.astype(uniform.dtype).reshape(-1, *[1] * (uniform.ndim - 1))
    # Half the memory to go over, where numbers are small and it is gone over often.
    is_short = len(by_position) < 4 or num_candidates > _MAX_INT16
    dtype = np.int32 if is_short else np.int16
    result = np.multiply(by_position, lengths, order="C").astype(dtype)
    for position in reversed(range(len(result) - 1)):
        later = result[position + 1 :]
        later += later >= result[position]
    slates: np.ndarray = result.astype(np.int32, copy=False)
    return slates.transpose(*range(1, last + 1), 0)


def _normal(
    uniform: Callable[[int], np.ndarray], num_users: int, shape: tuple[int, ...]
) -> np.ndarray:
    """Returns normal numbers made of the uniform ones that a function returns."""
    size = math.prod(shape)
    numbers = uniform(2 * ((size + 1) // 2))
    _box_muller(numbers.reshape(-1))
    return numbers[:, :size].reshape(num_users, *shape)


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
    first_user = validation.positive_int("first_user", first_user, 0)
    num_users = validation.positive_int("num_users", num_users, 0, _MAX_USERS)
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


def chunk_streams(
    seed: int | None, name: str, first_user: int, num_users: int, dtype: DTypeLike = np.float32
) -> list[ChunkStream]:
    """Returns the random streams of the chunks that users belong to.

    Args:
        seed: an integer >= 0.
        name: what the numbers are for: streams of different names are independent.
        first_user: number of the first user.
        num_users: number of users.
        dtype: float32 or float64.
    """
    parent = seeding.named_sequence(seed, name)
    return [
        ChunkStream(
            np.random.SeedSequence(parent.entropy, spawn_key=(*parent.spawn_key, number)),
            len(users),
            users.start - number * CHUNK_SIZE,
            dtype,
        )
        for number, users in chunks(first_user, num_users)
    ]


def restore(streams: Sequence[ChunkStream], states: Sequence[dict[str, Any]]) -> None:
    """Continues from the states of random streams.

    Args:
        streams: the random streams of an agent.
        states: what their :meth:`ChunkStream.state_dict` returned.

    Raises:
        ValueError: if it is something else, or of another number of chunks; the streams are as
            they were then.
    """
    if not isinstance(states, (list, tuple)) or len(states) != len(streams):
        raise ValueError(
            f"The states of random streams must be a list of {len(streams)}, got "
            f"{numbers.described(states)}."
        )
    before = [each.state_dict() for each in streams]
    try:
        for each, state in zip(streams, states, strict=True):
            each.load_state_dict(state)
    except (TypeError, KeyError, IndexError, AttributeError, ValueError) as error:
        for each, state in zip(streams, before):
            each.load_state_dict(state)
        raise ValueError(
            f"A state of a random stream is not one that it was in: {error!r:.200}."
        ) from error


def check(streams: Sequence[ChunkStream], states: Sequence[dict[str, Any]]) -> None:
    """Raises ValueError for states that :func:`restore` refuses; the streams are as they were."""
    before = [each.state_dict() for each in streams]
    restore(streams, states)
    restore(streams, before)


@dataclasses.dataclass
class _Ahead:
    """Numbers that were sampled for several calls, and are still to be returned."""

    generator: dict[str, Any]  # The state before they were sampled.
    numbers: list[np.ndarray]  # Those of the next call last.


class ChunkStream(RandomStream):
    """The numbers of a range of users of one chunk, new ones at each call.

    Where a call asks for few numbers of each user, those of the next calls of its kind and shape
    are sampled with them.

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
        self.dtype = float_dtype(dtype)
        self._first_row = first_row
        self._sequence = sequence
        self._rng = np.random.Generator(np.random.PCG64DXSM(sequence))
        self._ahead: dict[tuple[Any, ...], _Ahead] = {}

    def restart(self) -> None:
        """Begins anew, as a new stream of the same seeds."""
        self._rng = np.random.Generator(np.random.PCG64DXSM(self._sequence))
        self._ahead = {}

    def uniform(self, *shape: int) -> np.ndarray:
        """See :meth:`RandomStream.uniform`."""
        return self._numbers("uniform", shape)

    def normal(self, *shape: int) -> np.ndarray:
        """See :meth:`RandomStream.normal`."""
        return self._numbers("normal", shape)

    def slates(self, num_candidates: int, slate_size: int) -> np.ndarray:
        """See :meth:`RandomStream.slates`."""
        _check_slates(num_candidates, slate_size)
        return self._numbers("slates", (slate_size,), num_candidates)

    def _numbers(self, kind: str, shape: tuple[int, ...], *arguments: int) -> np.ndarray:
        """Returns the numbers of a call, sampled with those of later calls where they are few."""
        if math.prod(shape) > _FEW // 2:
            return self._new(kind, shape, *arguments)
        key = (kind, shape, *arguments)
        ahead = self._ahead.get(key)
        if ahead is None or not ahead.numbers:
            ahead = self._ahead[key] = self._sample_ahead(kind, shape, *arguments)
        return ahead.numbers.pop()

    def _sample_ahead(self, kind: str, shape: tuple[int, ...], *arguments: int) -> _Ahead:
        generator = dict(self._rng.bit_generator.state)
        calls = _FEW // max(1, math.prod(shape))
        numbers = self._new(kind, (calls, *shape), *arguments)
        # Copies, so that those that are returned keep no others in memory.
        of_calls = [numbers[:, call].copy(order="K") for call in reversed(range(calls))]
        return _Ahead(generator, of_calls)

    def _new(self, kind: str, shape: tuple[int, ...], *arguments: int) -> np.ndarray:
        """Returns numbers of a new stream."""
        if kind == "normal":
            return _normal(self._new_uniform, self.num_users, shape)
        uniform = self._new_uniform(*shape)
        return _slates(uniform, *arguments) if kind == "slates" else uniform

    def _new_uniform(self, *shape: int) -> np.ndarray:
        out = np.empty((self._first_row + self.num_users, *shape), self.dtype)
        self._rng.random(out=out, dtype=self.dtype.type)
        bits: Any = self._rng.bit_generator
        # A step of it makes a float64 or two float32.
        bits.advance(_STREAM_LENGTH - -(-out.nbytes // 8))
        return out[self._first_row :]

    def state_dict(self) -> dict[str, Any]:
        """Returns the state of the generator, as data for a checkpoint."""
        ahead = [
            {
                "kind": kind,
                "shape": [int(length) for length in shape],
                "arguments": arguments,
                "generator": dict(ahead.generator),
                "left": len(ahead.numbers),
            }
            for (kind, shape, *arguments), ahead in self._ahead.items()
            if ahead.numbers
        ]
        return {"generator": dict(self._rng.bit_generator.state), "ahead": ahead}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from a state that :meth:`state_dict` returned, of any number of users.

        Raises:
            TypeError, ValueError: if it is none.
        """
        for each in (state["generator"], *(entry["generator"] for entry in state["ahead"])):
            seeding.check_state(each, with_normal=False)
        self._ahead = {}
        for entry in state["ahead"]:
            key = (entry["kind"], tuple(entry["shape"]), *entry["arguments"])
            if math.prod(key[1]) > _FEW:
                raise ValueError(f"There are no numbers of shape {key[1]} sampled ahead.")
            self._rng.bit_generator.state = entry["generator"]
            self._ahead[key] = self._sample_ahead(*key)
            del self._ahead[key].numbers[entry["left"] :]
        self._rng.bit_generator.state = state["generator"]


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
    """Returns the key of the numbers that are sampled for a purpose, a 64-bit integer.

    Args:
        seed: an integer >= 0.
        name: the purpose.
    """
    return int(seeding.named_sequence(seed, name).generate_state(1, np.uint64)[0])


class UserStream(RandomStream):
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
        #: The users' numbers, integers of shape (n_users,).
        self.users = users
        self.dtype = float_dtype(dtype)
        keys = _mixed(users.astype(np.uint64) * _GOLDEN + np.uint64(key))
        self._keys = _mixed(keys + episodes.astype(np.uint64) * _GOLDEN)
        self._counter = 0

    def uniform(self, *shape: int) -> np.ndarray:
        """See :meth:`RandomStream.uniform`."""
        size = math.prod(shape)
        counters = np.arange(self._counter + 1, self._counter + size + 1, dtype=np.uint64)
        self._counter += size
        words = _mixed(self._keys[:, np.newaxis] + counters * _GOLDEN)
        bits = 24 if self.dtype == np.float32 else 53
        words >>= np.uint64(64 - bits)
        numbers = words.astype(self.dtype)
        numbers *= self.dtype.type(2.0**-bits)
        return numbers.reshape(self.num_users, *shape)
