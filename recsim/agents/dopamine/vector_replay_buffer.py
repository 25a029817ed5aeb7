"""A memory of the last transitions of users in parallel, which training samples batches of."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from recsim import seeding, types
from recsim._internal import bundles, resources, validation
from recsim.agents.dopamine import transitions

__all__ = ["VectorReplayBuffer"]

# What a state has of each row, but for its documents.
_PLAIN_ARRAYS = ("users", "slates", "clicks", "rewards", "ends")


class VectorReplayBuffer:
    """The last transitions of users in parallel, who all add one at each step.

    A row belongs to a user and a step; the rows of a step follow one another. The last state of an
    episode that was truncated stands beside its last row, in arrays whose memory is used as far as
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
        seed: seed of the generator that samples batches.

    Raises:
        TypeError: if a number is not an integer.
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
        capacity = validation.positive_int("replay_capacity", replay_capacity)
        self._num_users = num_users
        self._num_steps = capacity // num_users
        if self._num_steps < 2:
            raise ValueError(
                f"replay_capacity must be at least two transitions for each of {num_users} users, "
                f"got {capacity}."
            )
        self.batch_size = transitions.checked_batch_size(
            batch_size, user_size, num_candidates, doc_size
        )
        self._discounts = transitions.discounts_of_steps(gamma, update_horizon)
        self._rng = seeding.named_random_state(seed, "replay")
        self._sizes = user_size, num_candidates, doc_size, slate_size
        self._make_arrays()
        self._steps_added = 0

    def _make_arrays(self) -> None:
        user_size, num_candidates, doc_size, slate_size = self._sizes
        rows = self._num_steps * self._num_users
        try:
            # Not zeros: NumPy asks the system for larger pages then, which are filled in a
            # fraction of the time. Rows that were not added are never read.
            self._users, self._last_users = np.empty((2, rows, user_size), np.float32)
            self._documents, self._last_documents = np.empty(
                (2, rows, num_candidates, doc_size), np.float32
            )
            self._slates, self._last_slates = np.zeros((2, rows, slate_size), np.int32)
            self._clicks = np.zeros(rows, np.int32)
            self._rewards = np.zeros(rows, np.float32)
            self._ends = np.zeros(rows, np.int8)
        except MemoryError as error:
            size = 8 * (user_size + num_candidates * doc_size + slate_size + 1) + 1
            raise MemoryError(
                f"A replay buffer of {rows} transitions needs {rows * size / 2**30:.1f} GiB"
                f"{resources.memory_of_process()}: choose a smaller replay_capacity."
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        # Without the memory that is not filled.
        kept = ("_num_users", "_num_steps", "batch_size", "_discounts", "_rng", "_sizes")
        return {**{name: getattr(self, name) for name in kept}, "state": self.state_dict()}

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        state = attributes.pop("state")
        self.__dict__.update(attributes)
        self._make_arrays()
        self.load_state_dict(state)

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
        """Adds the states of all users, the slates shown and their outcomes.

        The states that follow are added next, but for users whose episodes ended; where they were
        truncated, :meth:`truncate` is called next.

        Args:
            users: features, shape (n_users, user_size).
            documents: features, shape (n_users, num_candidates, doc_size).
            slates: indices of the documents shown, shape (n_users, slate_size).
            clicks: what the users did, see ``Batch.clicks``, shape (n_users,).
            rewards: their rewards, shape (n_users,).
            terminal: whose episodes ended, bools of shape (n_users,).
        """
        rows = self._rows_of_step(self._steps_added)
        self._users[rows] = users
        self._documents[rows] = documents
        self._slates[rows] = slates
        self._clicks[rows] = clicks
        self._rewards[rows] = rewards
        self._ends[rows] = np.where(terminal, transitions.TERMINAL, transitions.CONTINUES)
        self._steps_added += 1

    def _rows_of_step(self, step: int) -> slice:
        start = step % self._num_steps * self._num_users
        return slice(start, start + self._num_users)

    def truncate(
        self, which: np.ndarray, users: np.ndarray, documents: np.ndarray, slates: np.ndarray
    ) -> None:
        """Adds the last states of episodes that are truncated, and the slates that would be next.

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
        continuing = self._ends[rows] == transitions.CONTINUES
        rows = rows[continuing]
        self._ends[rows] = transitions.TRUNCATED
        self._last_users[rows] = users[continuing]
        self._last_documents[rows] = documents[continuing]
        self._last_slates[rows] = slates[continuing]

    @property
    def _steps_filled(self) -> int:
        return min(self._steps_added, self._num_steps)

    def can_sample(self) -> bool:
        """Says whether there is a transition whose next state is there."""
        return self._steps_filled > 1

    def sample(self) -> transitions.Batch:
        """Samples a batch, each transition with equal probability, with replacement.

        Transitions of the step that was added last, whose next states are not all there, are not
        sampled.
        """
        steps_with_next = self._steps_filled - 1
        num_rows = len(self._ends)
        sampled = self._rng.randint(steps_with_next * self._num_users, size=self.batch_size)
        rows = sampled + (self._steps_added - self._steps_filled) * self._num_users
        rows %= num_rows
        num_known = steps_with_next - sampled // self._num_users
        rewards, discounts, last_rows = transitions.returns(
            rows, self._num_users, self._rewards, self._ends, self._discounts, num_known
        )
        ends = self._ends[last_rows]
        next_rows = (last_rows + self._num_users) % num_rows
        truncated = np.flatnonzero(ends == transitions.TRUNCATED)

        def next_values(values: np.ndarray, last_values: np.ndarray) -> np.ndarray:
            result: np.ndarray = values[next_rows]
            result[truncated] = last_values[last_rows[truncated]]
            return result

        return transitions.Batch(
            users=self._users[rows],
            documents=self._documents[rows],
            slates=self._slates[rows],
            clicks=self._clicks[rows],
            rewards=rewards,
            discounts=discounts,
            terminals=ends == transitions.TERMINAL,
            next_users=next_values(self._users, self._last_users),
            next_documents=next_values(self._documents, self._last_documents),
            next_slates=next_values(self._slates, self._last_slates),
        )

    def state_dict(self) -> types.State:
        """Returns the buffer's content, its counter and its generator, as data."""
        rows = slice(self._steps_filled * self._num_users)
        truncated = self._ends[rows] == transitions.TRUNCATED
        return {
            "num_users": self._num_users,
            "num_steps": self._num_steps,
            "steps_added": self._steps_added,
            **{name: getattr(self, f"_{name}")[rows].copy() for name in _PLAIN_ARRAYS},
            "documents": transitions.pack(self._documents[rows]),
            "last_users": self._last_users[rows][truncated],
            "last_documents": transitions.pack(self._last_documents[rows][truncated]),
            "last_slates": self._last_slates[rows][truncated],
            "rng_state": seeding.generator_state(self._rng),
        }

    def check(self, state: object) -> None:
        """Checks what should be a state that :meth:`state_dict` returned.

        Raises:
            ValueError: if it is something else, or of a buffer of another capacity or number of
                users.
        """
        last = ("last_users", "last_documents", "last_slates")
        names = ("num_users", "num_steps", "steps_added", *_PLAIN_ARRAYS, "documents", *last)
        entries = bundles.entries(self, "replay", state, *names, "rng_state")
        for name in names[:3]:
            bundles.count(self, name, entries[name])
        size = entries["num_users"], entries["num_steps"]
        if size != (self._num_users, self._num_steps):
            raise ValueError(
                f"A replay buffer's state of {size[0]} users and {size[1]} steps does not fit "
                f"{self._num_users} users and {self._num_steps} steps: make the agent with the "
                "users and the replay_capacity that it was saved with."
            )
        num_rows = min(entries["steps_added"], self._num_steps) * self._num_users
        for name in _PLAIN_ARRAYS:
            own = getattr(self, f"_{name}")
            bundles.array(self, name, entries[name], (num_rows, *own.shape[1:]), own.dtype.kind)
        features = math.prod(self._documents.shape[1:])
        transitions.check_packed(self, "documents", entries["documents"], num_rows * features)
        truncated = int(np.count_nonzero(entries["ends"] == transitions.TRUNCATED))
        for name in ("last_users", "last_slates"):
            own = getattr(self, f"_{name}")
            bundles.array(self, name, entries[name], (truncated, *own.shape[1:]), own.dtype.kind)
        transitions.check_packed(
            self, "last_documents", entries["last_documents"], truncated * features
        )
        bundles.generator_state(self, "rng_state", entries["rng_state"], with_normal=True)

    def load_state_dict(self, state: types.State) -> None:
        """Restores what :meth:`state_dict` returned.

        Raises:
            ValueError: as :meth:`check`; nothing is restored then.
        """
        self.check(state)
        self._steps_added = state["steps_added"]
        rows = slice(self._steps_filled * self._num_users)
        for name in _PLAIN_ARRAYS:
            getattr(self, f"_{name}")[rows] = state[name]
        transitions.unpack(state["documents"], self._documents[rows])
        truncated = np.flatnonzero(self._ends[rows] == transitions.TRUNCATED)
        self._last_users[truncated] = state["last_users"]
        last_documents = np.empty((len(truncated), *self._documents.shape[1:]), np.float32)
        transitions.unpack(state["last_documents"], last_documents)
        self._last_documents[truncated] = last_documents
        self._last_slates[truncated] = state["last_slates"]
        seeding.restore_generator(self._rng, state["rng_state"])
