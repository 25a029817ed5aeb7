"""The steps of users in parallel that a policy gradient learns from next."""

from __future__ import annotations

import numpy as np

from recsim import types
from recsim._internal import bundles, resources

__all__ = ["Rollouts"]


class Rollouts:
    """What users did in the steps since the last update: arrays with steps and users in front.

    Args:
        num_steps: number of steps of each user.
        num_users: number of users.
        user_size: number of features of a user.
        num_candidates: number of candidates.
        doc_size: number of features of a document.
        slate_size: number of documents in a slate.

    Raises:
        MemoryError: if there is no memory for them.
    """

    def __init__(
        self,
        num_steps: int,
        num_users: int,
        user_size: int,
        num_candidates: int,
        doc_size: int,
        slate_size: int,
    ) -> None:
        self.num_steps, self.num_users = num_steps, num_users
        #: Number of steps that are there.
        self.length = 0
        rows = num_steps, num_users
        features = 2 * user_size + num_candidates * doc_size
        resources.check_memory(
            4 * num_steps * num_users * features,
            "The steps of an update",
            "choose fewer users, fewer candidates or a smaller update_period",
        )
        self.arrays: dict[str, np.ndarray] = {
            "users": np.zeros((*rows, user_size), np.float32),
            "documents": np.zeros((*rows, num_candidates, doc_size), np.float32),
            "slates": np.zeros((*rows, slate_size), np.int64),
            "remembered": np.zeros((*rows, slate_size)),
            "clicks": np.zeros((*rows, slate_size), np.bool_),
            "rewards": np.zeros(rows),
            "next_users": np.zeros((*rows, user_size), np.float32),
            "terminated": np.zeros(rows, np.bool_),
            "ended": np.zeros(rows, np.bool_),
        }

    @property
    def is_full(self) -> bool:
        """Whether an update is due."""
        return self.length == self.num_steps

    def add(self, **arrays: np.ndarray) -> None:
        """Adds a step of all users: their rows of all arrays."""
        for name, array in self.arrays.items():
            array[self.length] = arrays[name]
        self.length += 1

    def end_episodes(self) -> None:
        """Ends the episodes under way with their last steps, as a limit on their length does."""
        if self.length:
            self.arrays["ended"][self.length - 1] = True

    def clear(self) -> None:
        """Forgets all steps."""
        self.length = 0

    def state_dict(self) -> types.State:
        """Returns the steps that are there, as data."""
        return {name: array[: self.length].copy() for name, array in self.arrays.items()}

    def check(self, owner: object, state: object) -> None:
        """Raises ValueError for something else than such rollouts' :meth:`state_dict`.

        Args:
            owner: the agent that is to be restored.
            state: what should be the state.
        """
        entries = bundles.entries(owner, "rollouts", state, *self.arrays)
        length = len(entries["rewards"]) if isinstance(entries["rewards"], np.ndarray) else 0
        if length > self.num_steps:
            bundles.refuse(owner, "rollouts", f"at most {self.num_steps} steps", length)
        for name, own in self.arrays.items():
            kinds = {"f": "f", "i": "iu", "b": "b"}[own.dtype.kind]
            array = bundles.array(owner, name, entries[name], (length, *own.shape[1:]), kinds)
            if name == "slates" and length:
                num_candidates = self.arrays["documents"].shape[2]
                if array.min() < 0 or array.max() >= num_candidates:
                    bundles.refuse(owner, name, f"indices below {num_candidates}", array)

    def load_state_dict(self, state: types.State) -> None:
        """Restores what :meth:`state_dict` returned, and :meth:`check` does not refuse."""
        self.length = len(state["rewards"])
        for name, array in self.arrays.items():
            array[: self.length] = state[name]
