"""What the replay buffers share: batches, returns of several steps, packing."""

from __future__ import annotations

import dataclasses

import numpy as np

from recsim._internal import bundles, resources, validation

__all__ = [
    "TRUNCATED",
    "CONTINUES",
    "BOOTSTRAP_STATE",
    "NO_CLICK",
    "SEVERAL_CLICKS",
    "TERMINAL",
    "Batch",
    "checked_batch_size",
    "discounts_of_steps",
    "pack",
    "returns",
    "unpack",
]

#: What follows a row. It is the next row of the same episode; nothing, for the episode ended; or
#: the last state of an episode that was truncated, whose value counts, and which nothing follows
#: if it has a row.
CONTINUES, TERMINAL, TRUNCATED, BOOTSTRAP_STATE = range(4)

#: Values of ``Batch.clicks`` that are not positions.
NO_CLICK, SEVERAL_CLICKS = -1, -2


@dataclasses.dataclass
class Batch:
    """Transitions from a slate to the state ``update_horizon`` steps later.

    Attributes:
        users: features of the users, float32 of shape (batch, user_size).
        documents: features of the candidates, float32 of shape (batch, num_candidates, doc_size).
        slates: indices of the documents shown, integers of shape (batch, slate_size).
        clicks: what the user did, the clicked position of the slate or one of ``NO_CLICK`` and
            ``SEVERAL_CLICKS``, integers of shape (batch,).
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


def discounts_of_steps(gamma: float, update_horizon: int) -> np.ndarray:
    """Returns the discounts of the steps of a transition and of the state after them.

    Args:
        gamma: discount of rewards from step to step, in [0, 1].
        update_horizon: number of steps of a transition, >= 1.

    Returns:
        float32 array of shape (update_horizon + 1,).

    Raises:
        TypeError: if ``update_horizon`` is not an integer.
        ValueError: if an argument is out of its range.
    """
    horizon = validation.positive_int("update_horizon", update_horizon)
    gamma = validation.probability("gamma", gamma)
    resources.check_memory(
        12 * horizon, f"Transitions of {resources.shown(horizon)} steps", "choose fewer"
    )
    return np.power(gamma, np.arange(horizon + 1), dtype=np.float32)


def checked_batch_size(batch_size: int, user_size: int, num_candidates: int, doc_size: int) -> int:
    """Returns a number of transitions of a batch.

    Args:
        batch_size: the number, >= 1.
        user_size: number of features of a user.
        num_candidates: number of candidates of a state.
        doc_size: number of features of a document.

    Raises:
        TypeError: if it is not an integer.
        ValueError: if it is out of its range.
        MemoryError: if there is no memory for a batch.
    """
    number = validation.positive_int("batch_size", batch_size)
    resources.check_memory(
        2 * 4 * number * (user_size + num_candidates * doc_size),
        f"The states of {resources.shown(number)} transitions",
        "choose a smaller batch_size",
    )
    return number


def returns(
    rows: np.ndarray,
    stride: int,
    rewards: np.ndarray,
    ends: np.ndarray,
    discounts: np.ndarray,
    num_known: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums up the rewards of several steps, which are fewer where the episode ends before.

    Args:
        rows: the rows of the first steps, shape (batch,).
        stride: how many rows further the next step of an episode is, the first row coming after
            the last one.
        rewards: the rows' rewards, shape (num_rows,).
        ends: what follows each row, shape (num_rows,).
        discounts: what :func:`discounts_of_steps` returned.
        num_known: how many steps are known from the first one on, each at least 1, shape (batch,);
            None if all are.

    Returns:
        The discounted sums, float32 of shape (batch,); the discounts of what follows, float32 of
        shape (batch,); and the rows of the last steps, shape (batch,).
    """
    steps = np.arange(len(discounts) - 1)
    window = (rows[:, np.newaxis] + stride * steps) % len(ends)
    counts = np.ones(window.shape, bool)
    np.logical_and.accumulate(ends[window[:, :-1]] == CONTINUES, axis=1, out=counts[:, 1:])
    if num_known is not None:
        counts &= steps < num_known[:, np.newaxis]
    num_steps = counts.sum(axis=1)
    gains = rewards[window] * discounts[:-1]
    last_rows = window[np.arange(len(rows)), num_steps - 1]
    return gains.sum(axis=1, where=counts), discounts[num_steps], last_rows


def pack(documents: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the features of documents, float32, as data that holds only those that are not 0.

    In scenarios of one topic a document most are 0.
    """
    # Compared as bits, for -0.0 is not 0.0 there.
    used = documents.view(np.int32) != 0
    return {"used": np.packbits(used), "values": documents[used]}


def unpack(packed: dict[str, np.ndarray], documents: np.ndarray) -> None:
    """Writes what :func:`pack` returned to an array of the shape that it was."""
    used = np.unpackbits(packed["used"], count=documents.size)
    documents[...] = 0.0
    documents[used.reshape(documents.shape).astype(bool)] = packed["values"]


def check_packed(owner: object, name: str, packed: object, size: int) -> None:
    """Raises ValueError for what :func:`unpack` cannot write to an array of so many features."""
    entries = bundles.entries(owner, name, packed, "used", "values")
    used = bundles.array(owner, f"{name}['used']", entries["used"], (-(-size // 8),), "u")
    if used.dtype != np.uint8:
        bundles.refuse(owner, f"{name}['used']", "an array of uint8", used.dtype)
    number = int(np.unpackbits(used, count=size).sum())
    bundles.array(owner, f"{name}['values']", entries["values"], (number,))
