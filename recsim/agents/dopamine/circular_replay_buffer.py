"""A memory of the last transitions, from which training draws its batches."""

from __future__ import annotations

import dataclasses
from typing import Any

import gin
import numpy as np

from recsim import _validation, seeding

__all__ = ["Batch", "VectorReplayBuffer", "WrappedReplayBuffer"]

# What follows a row: the next row of the same episode, nothing (the episode ended), or the last
# observation of an episode that was cut off, which has a row of its own, with nothing after it.
_GOES_ON, _TERMINAL, _CUT_OFF, _LAST_OBSERVATION = range(4)


@dataclasses.dataclass
class Batch:
    """Transitions from a slate to the state ``update_horizon`` steps later.

    Attributes:
        users: features of the users, float32 of shape (batch, user_size).
        documents: features of the candidates, float32 of shape (batch, num_candidates, doc_size).
        slates: indices of the documents shown, integers of shape (batch, slate_size).
        clicks: what the user did: the clicked position of the slate, or one of
            ``WrappedReplayBuffer.NO_CLICK`` and ``SEVERAL_CLICKS``; shape (batch,).
        rewards: discounted sums of the rewards on the way, float32 of shape (batch,).
        discounts: factors of the value of the next state, float32 of shape (batch,).
        terminals: whether there is no next state, for the episode ended, bool of shape (batch,).
        next_users: features of the next state, as ``users``.
        next_documents: features of the next candidates, as ``documents``.
        next_slates: the slates shown next, as ``slates``.
    """

    users: np.ndarray
    documents: np.ndarray
    slates: np.ndarray
    clicks: np.ndarray
    rewards: np.ndarray
    discounts: np.ndarray
    terminals: np.ndarray
    next_users: np.ndarray
    next_documents: np.ndarray
    next_slates: np.ndarray


@gin.configurable
class WrappedReplayBuffer:
    """The last ``replay_capacity`` transitions, in arrays that are allocated once.

    The memory of what is not filled is not used yet (the operating system hands it out when it is
    written to).

    Args:
        user_size: number of features of a user.
        num_candidates: number of candidates of a state.
        doc_size: number of features of a document.
        slate_size: number of documents of a slate.
        replay_capacity: number of transitions to remember, above ``update_horizon`` by 2 or more.
        batch_size: number of transitions of a batch, >= 1.
        update_horizon: number of steps of a transition, >= 1 (n of n-step returns).
        gamma: discount of rewards from step to step, in [0, 1].
        seed: seed of the generator that draws batches.

    Raises:
        TypeError: if a number is no integer.
        ValueError: if a number is out of its range.
        MemoryError: if there is no memory for the arrays.
    """

    #: Values of ``clicks`` that are no positions.
    NO_CLICK, SEVERAL_CLICKS = -1, -2

    def __init__(
        self,
        user_size: int,
        num_candidates: int,
        doc_size: int,
        slate_size: int,
        replay_capacity: int = 1000000,
        batch_size: int = 32,
        update_horizon: int = 1,
        gamma: float = 0.99,
        *,
        seed: int | None = 0,
    ) -> None:
        self._update_horizon = _validation.positive_int("update_horizon", update_horizon)
        gamma = _validation.probability("gamma", gamma)
        self._discounts = np.power(gamma, np.arange(self._update_horizon + 1), dtype=np.float32)
        self.batch_size = _validation.positive_int("batch_size", batch_size)
        self._capacity = _validation.positive_int(
            "replay_capacity", replay_capacity, minimum=self._update_horizon + 2
        )
        self._rng = seeding.named_random_state(seed, "replay")
        shapes = {
            "users": ((user_size,), np.float32),
            "documents": ((num_candidates, doc_size), np.float32),
            "slates": ((slate_size,), np.int32),
            "clicks": ((), np.int32),
            "rewards": ((), np.float32),
            "ends": ((), np.int8),
        }
        try:
            self._arrays: dict[str, np.ndarray] = {
                name: np.zeros((self._capacity, *shape), dtype)
                for name, (shape, dtype) in shapes.items()
            }
        except MemoryError as error:
            row = 4 * (user_size + num_candidates * doc_size + slate_size + 2) + 1
            raise MemoryError(
                f"A replay buffer of {self._capacity} transitions needs "
                f"{self._capacity * row / 2**30:.1f} GiB: choose a smaller replay_capacity."
            ) from error
        #: Number of transitions added so far.
        self.add_count = 0
        self._num_rows = 0  # Rows written so far, with those that are overwritten.

    def add(
        self,
        user: np.ndarray,
        documents: np.ndarray,
        slate: Any,
        click: int,
        reward: float,
        terminal: bool,
    ) -> None:
        """Adds a state, the slate shown and what came of it; the next state is added next."""
        self._write(user, documents, slate, click, reward, _TERMINAL if terminal else _GOES_ON)
        self.add_count += 1

    def cut_off(self, user: np.ndarray, documents: np.ndarray, slate: Any) -> None:
        """Adds the last state of an episode that is cut off, and the slate that would be next.

        Does nothing where no transition of a running episode was added.
        """
        last_row = (self._num_rows - 1) % self._capacity
        if self.add_count and self._arrays["ends"][last_row] == _GOES_ON:
            self._arrays["ends"][last_row] = _CUT_OFF
            self._write(user, documents, slate, self.NO_CLICK, 0.0, _LAST_OBSERVATION)

    def _write(self, *values: Any) -> None:
        row = self._num_rows % self._capacity
        for array, value in zip(self._arrays.values(), values):
            array[row] = value
        self._num_rows += 1

    @property
    def _size(self) -> int:
        return min(self._num_rows, self._capacity)

    def can_sample(self) -> bool:
        """Says whether there is a transition whose next state is there."""
        return self._size > self._update_horizon

    def sample(self) -> Batch:
        """Draws a batch, each transition with equal probability, with replacement."""
        rows = self._draw_rows()
        # The steps of each transition: those up to the end of the episode count.
        window = (rows[:, np.newaxis] + np.arange(self._update_horizon)) % self._capacity
        ends = self._arrays["ends"][window]
        counts = _up_to_end(ends)
        num_steps = counts.sum(axis=1)
        end = ends[np.arange(len(rows)), num_steps - 1]
        gains = self._arrays["rewards"][window] * self._discounts[:-1]
        rewards = gains.sum(axis=1, where=counts)
        next_rows = rows + num_steps
        next_rows %= self._capacity
        users, documents, slates = (self._arrays[name] for name in ("users", "documents", "slates"))
        return Batch(
            users=users[rows],
            documents=documents[rows],
            slates=slates[rows],
            clicks=self._arrays["clicks"][rows],
            rewards=rewards,
            discounts=self._discounts[num_steps],
            terminals=end == _TERMINAL,
            next_users=users[next_rows],
            next_documents=documents[next_rows],
            next_slates=slates[next_rows],
        )

    def _draw_rows(self) -> np.ndarray:
        """Draws rows of states that a slate was shown in and whose next states are there."""
        num_rows = self._size - self._update_horizon
        oldest = self._num_rows - self._size
        rows = (oldest + self._rng.randint(num_rows, size=self.batch_size)) % self._capacity
        while True:
            unfit = np.flatnonzero(self._arrays["ends"][rows] == _LAST_OBSERVATION)
            if not len(unfit):
                return rows
            again = oldest + self._rng.randint(num_rows, size=len(unfit))
            rows[unfit] = again % self._capacity

    def state(self) -> dict[str, Any]:
        """Returns the buffer's content, its counters and its generator, as data.

        Only rows that are filled are in it, and of the documents' features, most of which are 0
        in worlds of one topic a document, only those that are not.
        """
        filled = {name: array[: self._size] for name, array in self._arrays.items()}
        documents = filled.pop("documents")
        return {
            **{name: array.copy() for name, array in filled.items()},
            "documents": _packed(documents),
            "add_count": self.add_count,
            "num_rows": self._num_rows,
            "rng_state": seeding.generator_state(self._rng),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from what :meth:`state` returned.

        Raises:
            ValueError: if it is the state of a buffer of another capacity or other shapes.
        """
        num_rows = len(state["users"])
        if num_rows != min(state["num_rows"], self._capacity):
            raise ValueError(
                f"A replay buffer's state of {num_rows} rows does not fit a replay_capacity of "
                f"{self._capacity}: make the agent with the capacity that it was saved with."
            )
        self.add_count = state["add_count"]
        self._num_rows = state["num_rows"]
        for name in ("users", "slates", "clicks", "rewards", "ends"):
            self._arrays[name][:num_rows] = state[name]
        _unpack(state["documents"], self._arrays["documents"][:num_rows])
        seeding.restore_generator(self._rng, state["rng_state"])


def _up_to_end(ends: np.ndarray) -> np.ndarray:
    """Returns which of the steps that follow one another are of the first one's episode.

    Args:
        ends: what follows each step, shape (batch, num_steps).
    """
    counts = np.ones(ends.shape, bool)
    np.logical_and.accumulate(ends[:, :-1] == _GOES_ON, axis=1, out=counts[:, 1:])
    return counts


def _packed(documents: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the features of documents that are not 0, as data."""
    # Compared as bits, for -0.0 is not 0.0 there.
    used = documents.view(np.int32) != 0
    return {"used": np.packbits(used), "values": documents[used]}


def _unpack(packed: dict[str, np.ndarray], documents: np.ndarray) -> None:
    """Writes what :func:`_packed` returned to an array."""
    used = np.unpackbits(packed["used"], count=documents.size)
    documents[...] = 0.0
    documents[used.reshape(documents.shape).astype(bool)] = packed["values"]


class VectorReplayBuffer:
    """The last transitions of many users, who all add one at each step.

    A row belongs to a user and a step; the rows of a step follow one another. The last state of an
    episode that was cut off is kept beside its last row, in arrays whose memory is used as far as
    that happens.

    The returns of ``update_horizon`` steps are shorter where an episode ends, and also where the
    rest of it is not known yet.

    Args:
        num_users: number of users.
        user_size: number of features of a user.
        num_candidates: number of candidates of a state.
        doc_size: number of features of a document.
        slate_size: number of documents of a slate.
        replay_capacity: number of transitions to remember, for at least two steps of all users.
        batch_size: number of transitions of a batch, >= 1.
        update_horizon: largest number of steps of a transition, >= 1.
        gamma: discount of rewards from step to step, in [0, 1].
        seed: seed of the generator that draws batches.

    Raises:
        TypeError: if a number is no integer.
        ValueError: if a number is out of its range.
        MemoryError: if there is no memory for the arrays.
    """

    def __init__(
        self,
        num_users: int,
        user_size: int,
        num_candidates: int,
        doc_size: int,
        slate_size: int,
        replay_capacity: int = 1000000,
        batch_size: int = 32,
        update_horizon: int = 1,
        gamma: float = 0.99,
        seed: int | None = 0,
    ) -> None:
        self._num_users = num_users
        self._num_steps = replay_capacity // num_users
        if self._num_steps < 2:
            raise ValueError(
                f"replay_capacity must be at least two transitions for each of {num_users} users, "
                f"got {replay_capacity}."
            )
        self.batch_size = batch_size
        self._horizon = update_horizon
        self._discounts = np.power(gamma, np.arange(update_horizon + 1), dtype=np.float32)
        self._rng = seeding.named_random_state(seed, "replay")
        rows = self._num_steps * num_users
        try:
            self._users, self._last_users = np.zeros((2, rows, user_size), np.float32)
            self._documents, self._last_documents = np.zeros(
                (2, rows, num_candidates, doc_size), np.float32
            )
            self._slates, self._last_slates = np.zeros((2, rows, slate_size), np.int32)
            self._clicks = np.zeros(rows, np.int32)
            self._rewards = np.zeros(rows, np.float32)
            self._ends = np.zeros(rows, np.int8)
        except MemoryError as error:
            size = 8 * (user_size + num_candidates * doc_size + slate_size + 1) + 1
            raise MemoryError(
                f"A replay buffer of {rows} transitions needs {rows * size / 2**30:.1f} GiB: "
                "choose a smaller replay_capacity."
            ) from error
        self._steps_added = 0

    @property
    def add_count(self) -> int:
        """Number of transitions added so far."""
        return self._steps_added * self._num_users

    def add(
        self,
        users: np.ndarray,
        documents: np.ndarray,
        slates: np.ndarray,
        clicks: np.ndarray,
        rewards: np.ndarray,
        terminal: np.ndarray,
    ) -> None:
        """Adds the states of all users, the slates shown and what came of them.

        The states that follow are added next, but for users whose episodes ended; where they were
        cut off, :meth:`cut_off` is called next.

        Args:
            users: features, as :class:`Batch` has them.
            documents: features, as :class:`Batch` has them.
            slates: indices of the documents shown.
            clicks: what the users did, see :class:`Batch`.
            rewards: their rewards, shape (n_users,).
            terminal: whose episodes ended, bools of shape (n_users,).
        """
        rows = self._rows_of_step(self._steps_added)
        self._users[rows] = users
        self._documents[rows] = documents
        self._slates[rows] = slates
        self._clicks[rows] = clicks
        self._rewards[rows] = rewards
        self._ends[rows] = np.where(terminal, _TERMINAL, _GOES_ON)
        self._steps_added += 1

    def _rows_of_step(self, step: int) -> slice:
        start = step % self._num_steps * self._num_users
        return slice(start, start + self._num_users)

    def cut_off(
        self, which: np.ndarray, users: np.ndarray, documents: np.ndarray, slates: np.ndarray
    ) -> None:
        """Adds the last states of episodes that are cut off, and the slates that would be next.

        Does nothing where the transition added last is terminal, or where there is none.

        Args:
            which: the users, distinct integers of shape (n,).
            users: features, shape (n, user_size).
            documents: features, shape (n, num_candidates, doc_size).
            slates: indices of documents, shape (n, slate_size).
        """
        if not self._steps_added:
            return
        rows = self._rows_of_step(self._steps_added - 1).start + which
        go_on = self._ends[rows] == _GOES_ON
        rows = rows[go_on]
        self._ends[rows] = _CUT_OFF
        self._last_users[rows] = users[go_on]
        self._last_documents[rows] = documents[go_on]
        self._last_slates[rows] = slates[go_on]

    @property
    def _steps_filled(self) -> int:
        return min(self._steps_added, self._num_steps)

    def can_sample(self) -> bool:
        """Says whether there is a transition whose next state is there."""
        return self._steps_filled > 1

    def sample(self) -> Batch:
        """Draws a batch, each transition with equal probability, with replacement.

        Transitions of the step that was added last, whose next states are not all there, are not
        drawn.
        """
        steps_with_next = self._steps_filled - 1
        num_rows = len(self._ends)
        drawn = self._rng.randint(steps_with_next * self._num_users, size=self.batch_size)
        rows = drawn + (self._steps_added - self._steps_filled) * self._num_users
        rows %= num_rows
        ahead = np.arange(self._horizon)
        window = (rows[:, np.newaxis] + self._num_users * ahead) % num_rows
        counts = _up_to_end(self._ends[window])
        counts &= ahead < steps_with_next - drawn[:, np.newaxis] // self._num_users
        num_steps = counts.sum(axis=1)
        gains = self._rewards[window] * self._discounts[:-1]
        last_rows = window[np.arange(len(rows)), num_steps - 1]
        ends = self._ends[last_rows]
        next_rows = (last_rows + self._num_users) % num_rows
        cut = np.flatnonzero(ends == _CUT_OFF)

        def next_values(values: np.ndarray, last_values: np.ndarray) -> np.ndarray:
            result = values[next_rows]
            result[cut] = last_values[last_rows[cut]]
            return result

        return Batch(
            users=self._users[rows],
            documents=self._documents[rows],
            slates=self._slates[rows],
            clicks=self._clicks[rows],
            rewards=gains.sum(axis=1, where=counts),
            discounts=self._discounts[num_steps],
            terminals=ends == _TERMINAL,
            next_users=next_values(self._users, self._last_users),
            next_documents=next_values(self._documents, self._last_documents),
            next_slates=next_values(self._slates, self._last_slates),
        )

    def state(self) -> dict[str, Any]:
        """Returns the buffer's content, its counter and its generator, as data."""
        rows = slice(self._steps_filled * self._num_users)
        cut = self._ends[rows] == _CUT_OFF
        return {
            "num_users": self._num_users,
            "num_steps": self._num_steps,
            "steps_added": self._steps_added,
            **{name: getattr(self, f"_{name}")[rows].copy() for name in _PLAIN_ARRAYS},
            "documents": _packed(self._documents[rows]),
            "last_users": self._last_users[rows][cut],
            "last_documents": _packed(self._last_documents[rows][cut]),
            "last_slates": self._last_slates[rows][cut],
            "rng_state": seeding.generator_state(self._rng),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from what :meth:`state` returned.

        Raises:
            ValueError: if it is the state of a buffer of another capacity or number of users.
        """
        size = state["num_users"], state["num_steps"]
        if size != (self._num_users, self._num_steps):
            raise ValueError(
                f"A replay buffer's state of {size[0]} users and {size[1]} steps does not fit "
                f"{self._num_users} users and {self._num_steps} steps: make the agent with the "
                "users and the replay_capacity that it was saved with."
            )
        self._steps_added = state["steps_added"]
        rows = slice(self._steps_filled * self._num_users)
        for name in _PLAIN_ARRAYS:
            getattr(self, f"_{name}")[rows] = state[name]
        _unpack(state["documents"], self._documents[rows])
        cut = np.flatnonzero(self._ends[rows] == _CUT_OFF)
        self._last_users[cut] = state["last_users"]
        last_documents = np.empty((len(cut), *self._documents.shape[1:]), np.float32)
        _unpack(state["last_documents"], last_documents)
        self._last_documents[cut] = last_documents
        self._last_slates[cut] = state["last_slates"]
        seeding.restore_generator(self._rng, state["rng_state"])


# What a state has of each row, but for its documents.
_PLAIN_ARRAYS = ("users", "slates", "clicks", "rewards", "ends")
