"""A memory of the last transitions, from which training samples its batches."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from recsim import seeding, types
from recsim._internal import bundles, resources, validation
from recsim._internal.configurable import configurable
from recsim.agents.dopamine import transitions

__all__ = ["WrappedReplayBuffer"]


@configurable()
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
        seed: seed of the generator that samples batches.

    Raises:
        TypeError: if a number is not an integer.
        ValueError: if a number is out of its range.
        MemoryError: if there is no memory for the arrays.
    """

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
        self._discounts = transitions.discounts_of_steps(gamma, update_horizon)
        self._update_horizon = len(self._discounts) - 1
        self.batch_size = transitions.checked_batch_size(
            batch_size, user_size, num_candidates, doc_size
        )
        self._capacity = validation.positive_int(
            "replay_capacity", replay_capacity, minimum=self._update_horizon + 2
        )
        self._rng = seeding.named_random_state(seed, "replay")
        self._shapes: dict[str, tuple[tuple[int, ...], type]] = {
            "users": ((user_size,), np.float32),
            "documents": ((num_candidates, doc_size), np.float32),
            "slates": ((slate_size,), np.int32),
            "clicks": ((), np.int32),
            "rewards": ((), np.float32),
            "ends": ((), np.int8),
        }
        self._arrays = self._empty_arrays()
        #: Number of transitions added so far.
        self.add_count = 0
        self._num_rows = 0  # Rows written so far, with those that are overwritten.

    def _empty_arrays(self) -> dict[str, np.ndarray]:
        try:
            return {
                name: np.zeros((self._capacity, *shape), dtype)
                for name, (shape, dtype) in self._shapes.items()
            }
        except MemoryError as error:
            row = sum(
                np.dtype(dtype).itemsize * math.prod(shape)
                for shape, dtype in self._shapes.values()
            )
            raise MemoryError(
                f"A replay buffer of {self._capacity} transitions needs "
                f"{self._capacity * row / 2**30:.1f} GiB{resources.memory_of_process()}: choose a "
                "smaller replay_capacity."
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        # Without the memory that is not filled.
        return {**self.__dict__, "_arrays": self.state_dict()}

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        self.__dict__.update(attributes)
        self._arrays = self._empty_arrays()
        self.load_state_dict(attributes["_arrays"])

    def add(
        self,
        user: np.ndarray,
        documents: np.ndarray,
        slate: types.Slate,
        click: int,
        reward: float,
        terminal: bool,
    ) -> None:
        """Adds a state, the slate shown and its outcome; the next state is added next."""
        end = transitions.TERMINAL if terminal else transitions.CONTINUES
        self._write(user, documents, slate, click, reward, end)
        self.add_count += 1

    def truncate(self, user: np.ndarray, documents: np.ndarray, slate: types.Slate) -> None:
        """Adds the last state of an episode that is truncated, and the slate that would be next.

        Does nothing where no transition of a running episode was added.
        """
        last_row = (self._num_rows - 1) % self._capacity
        if self.add_count and self._arrays["ends"][last_row] == transitions.CONTINUES:
            self._arrays["ends"][last_row] = transitions.TRUNCATED
            self._write(
                user, documents, slate, transitions.NO_CLICK, 0.0, transitions.BOOTSTRAP_STATE
            )

    def _write(self, *values: object) -> None:
        row = self._num_rows % self._capacity
        for array, value in zip(self._arrays.values(), values):
            array[row] = value
        self._num_rows += 1

    @property
    def capacity(self) -> int:
        """Number of transitions that it remembers at most."""
        return self._capacity

    @property
    def _size(self) -> int:
        return min(self._num_rows, self._capacity)

    def can_sample(self) -> bool:
        """Says whether there is a transition whose next state is there."""
        return self._size > self._update_horizon

    def sample(self) -> transitions.Batch:
        """Draws a batch, each transition with equal probability, with replacement."""
        rows = self._sample_rows()
        rewards, discounts, last_rows = transitions.returns(
            rows, 1, self._arrays["rewards"], self._arrays["ends"], self._discounts
        )
        next_rows = (last_rows + 1) % self._capacity
        users, documents, slates = (self._arrays[name] for name in ("users", "documents", "slates"))
        return transitions.Batch(
            users=users[rows],
            documents=documents[rows],
            slates=slates[rows],
            clicks=self._arrays["clicks"][rows],
            rewards=rewards,
            discounts=discounts,
            terminals=self._arrays["ends"][last_rows] == transitions.TERMINAL,
            next_users=users[next_rows],
            next_documents=documents[next_rows],
            next_slates=slates[next_rows],
        )

    def _sample_rows(self) -> np.ndarray:
        """Draws rows of states that a slate was shown in and whose next states are there."""
        num_rows = self._size - self._update_horizon
        oldest = self._num_rows - self._size
        rows = (oldest + self._rng.randint(num_rows, size=self.batch_size)) % self._capacity
        while True:
            ends = self._arrays["ends"][rows]
            unfit = np.flatnonzero(ends == transitions.BOOTSTRAP_STATE)
            if not len(unfit):
                return rows
            again = oldest + self._rng.randint(num_rows, size=len(unfit))
            rows[unfit] = again % self._capacity

    def state_dict(self) -> types.State:
        """Returns the buffer's content, its counters and its generator, as data.

        Only rows that are filled are in it, and of the documents' features, most of which are 0
        in scenarios of one topic a document, only those that are not.
        """
        filled = {name: array[: self._size] for name, array in self._arrays.items()}
        documents = filled.pop("documents")
        return {
            **{name: array.copy() for name, array in filled.items()},
            "documents": transitions.pack(documents),
            "add_count": self.add_count,
            "num_rows": self._num_rows,
            "rng_state": seeding.generator_state(self._rng),
        }

    def check(self, state: object) -> int:
        """Returns the number of rows of what :meth:`state_dict` returned.

        Raises:
            ValueError: if it is something else, or of a buffer of another capacity or other shapes.
        """
        names = (*self._shapes, "add_count", "num_rows", "rng_state")
        entries = bundles.entries(self, "replay", state, *names)
        for name in ("add_count", "num_rows"):
            bundles.count(self, name, entries[name])
        num_rows = len(entries["users"]) if isinstance(entries["users"], np.ndarray) else -1
        if num_rows != min(entries["num_rows"], self._capacity):
            raise ValueError(
                f"A replay buffer's state of {num_rows} rows does not fit a replay_capacity of "
                f"{self._capacity}: make the agent with the capacity that it was saved with."
            )
        for name, (shape, dtype) in self._shapes.items():
            if name != "documents":
                kind = np.dtype(dtype).kind
                bundles.array(self, name, entries[name], (num_rows, *shape), kind)
        size = num_rows * math.prod(self._shapes["documents"][0])
        transitions.check_packed(self, "documents", entries["documents"], size)
        bundles.generator_state(self, "rng_state", entries["rng_state"], with_normal=True)
        return num_rows

    def load_state_dict(self, state: types.State) -> None:
        """Restores what :meth:`state_dict` returned.

        Raises:
            ValueError: as :meth:`check`; nothing is restored then.
        """
        num_rows = self.check(state)
        self.add_count = state["add_count"]
        self._num_rows = state["num_rows"]
        for name in ("users", "slates", "clicks", "rewards", "ends"):
            self._arrays[name][:num_rows] = state[name]
        transitions.unpack(state["documents"], self._arrays["documents"][:num_rows])
        seeding.restore_generator(self._rng, state["rng_state"])
