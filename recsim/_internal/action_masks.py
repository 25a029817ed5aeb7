"""Action masks: which documents may stand in which positions of a slate, as observations say it.

A document's observation may have the key ``action_mask``: for each position of the slate 1 where
the document may stand there, else 0; or one such number for all positions. It is not a feature.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from recsim import types
from recsim._internal import numbers
from recsim._internal.gym_import import spaces as gym_spaces

__all__ = [
    "ARRAYS",
    "KEY",
    "are_in",
    "array_of",
    "check_slates",
    "check_space",
    "documents_without",
    "observed",
    "refuse",
    "space_of",
    "space_of_features",
    "space_without",
]

T = TypeVar("T")

#: The key in a document's observation.
KEY = "action_mask"
#: The key of what is observed of documents as an array, beside a mask.
ARRAYS = "features"

_TAKES_MASKS = (
    "RandomAgent, GreedyPCTRAgent, SoftmaxAgent, ContextualBanditAgent, SlateDecompQAgent, "
    "FullSlateQAgent, PPOAgent, ReinforceAgent, WolpertingerAgent and SACTopKAgent, and their "
    "vectorized forms,"
)


def space_of(document_space: object) -> object | None:
    """Returns the space of a document's mask, or of several documents' masks; None without one."""
    entries = getattr(document_space, "spaces", None)
    return entries.get(KEY) if isinstance(entries, Mapping) else None


def space_without(document_space: types.Space) -> types.Space:
    """Returns the space of a document's features in gym's form: without the mask.

    Raises:
        ValueError: if there is nothing beside the mask.
    """
    if space_of(document_space) is None:
        return document_space
    entries: Any = document_space
    features = {key: space for key, space in entries.spaces.items() if key != KEY}
    if not features:
        raise ValueError(
            f"observation_space['doc'] must have features beside {KEY!r}, got documents of "
            f"{document_space!r}."
        )
    return gym_spaces.Dict(features)


def space_of_features(document_space: types.Space) -> types.Space:
    """Returns the space of a document as it was before a mask was added."""
    space = space_without(document_space)
    entries: Any = getattr(space, "spaces", {})
    if space is document_space or set(entries) != {ARRAYS}:
        return space
    features: types.Space = entries[ARRAYS]
    return features


def documents_without(documents: T) -> T:
    """Returns what is observed of documents without their masks, as it was before masks were added.

    Args:
        documents: of one user, by their keys, or of users in parallel; or one document.
    """
    if not isinstance(documents, Mapping):
        return documents
    features: Any = documents
    if KEY in documents:
        features = {key: value for key, value in documents.items() if key != KEY}
        features = features[ARRAYS] if set(features) == {ARRAYS} else features
    else:
        first = next(iter(documents.values()), None)
        if isinstance(first, Mapping) and KEY in first:
            features = {key: documents_without(document) for key, document in documents.items()}
    without: T = features
    return without


def check_space(space: object, slate_size: int) -> None:
    """Raises ValueError if a space is none of a document's mask.

    Args:
        space: the space of gym of one document's mask.
        slate_size: number of positions.
    """
    shape: Any = getattr(space, "shape", None)
    dtype: Any = getattr(space, "dtype", None)
    fits = shape in ((), (slate_size,)) and dtype is not None and np.dtype(dtype).kind in "iub"
    if not fits or _bounds(space) - {0, 1}:
        raise ValueError(
            f"observation_space['doc'] must have under {KEY!r} integers 0 and 1, one for each of "
            f"the {slate_size} positions of a slate or one for all, such as "
            f"MultiBinary({slate_size}), got {space!r}."
        )


def _bounds(space: object) -> set[int]:
    of: Any = space
    if hasattr(of, "nvec"):
        return {0, *(np.ravel(of.nvec) - 1).tolist()}
    if hasattr(of, "low"):
        return {*np.ravel(of.low).tolist(), *np.ravel(of.high).tolist()}
    if getattr(of, "start", 0) != 0:
        return {-1}
    return {0, int(of.n) - 1} if of.shape == () else {0, 1}


def array_of(mask: ArrayLike, leading: tuple[int, ...], slate_size: int) -> np.ndarray:
    """Returns an observed mask as zeros and ones of shape (*leading, slate_size), bools.

    Args:
        mask: what was observed, of shape (*leading, slate_size), or ``leading`` for all positions.
        leading: (num_candidates,), or (n_users, num_candidates).
        slate_size: number of positions.

    Raises:
        ValueError: if it has another shape, or another number than 0 and 1.
    """
    array = numbers.array(KEY, mask)
    if array.shape == leading:
        array = array[..., np.newaxis]
    elif array.shape != (*leading, slate_size):
        raise ValueError(
            f"observation['doc'] must have under {KEY!r} a number for each document and each "
            f"position of the slate, shape {(*leading, slate_size)}, or one for each document, "
            f"shape {leading}, got shape {array.shape}."
        )
    allowed = array == 1
    if not (allowed | (array == 0)).all():
        other = array[~(allowed | (array == 0))]
        raise ValueError(
            f"observation['doc'] must have under {KEY!r} 1 where a document may stand in a "
            f"position, and 0 elsewhere, got {numbers.described(other[:5].tolist())}."
        )
    result: np.ndarray = np.broadcast_to(allowed, (*leading, slate_size))
    return result


def observed(documents: object, slate_size: int) -> np.ndarray | None:
    """Returns the masks of an observation's documents as bools; None where they have none.

    Args:
        documents: ``observation['doc']`` of one user, or of users in parallel.
        slate_size: number of positions.

    Returns:
        Shape (n_users, num_candidates, slate_size), of one user (1, num_candidates, slate_size).

    Raises:
        ValueError: as :func:`array_of`.
    """
    # What observations are as a rule takes less time to see than what is a mapping.
    if type(documents) is not dict and not isinstance(documents, Mapping):
        return None
    if KEY in documents:
        mask = numbers.array(KEY, documents[KEY])
        return array_of(mask, mask.shape[:2], slate_size)
    first: Any = next(iter(documents.values()), None)
    kind = type(first)
    if kind is np.ndarray or (kind is not dict and not isinstance(first, Mapping)):
        return None
    if KEY not in first:
        return None
    rows = [document.get(KEY) for document in documents.values()]
    return array_of(rows, (len(rows),), slate_size)[np.newaxis]


def check_slates(
    masks: np.ndarray, slates: np.ndarray, users: Sequence[int] | np.ndarray | None = None
) -> None:
    """Raises ValueError if a slate has a document where the mask does not let it stand.

    Args:
        masks: bools of shape (n_users or 1, num_candidates, slate_size).
        slates: indices of candidates, shape (n_users, up to slate_size).
        users: the users' numbers, for the error; None where there is one.
    """
    if not slates.size:
        return
    positions = np.arange(slates.shape[1])
    rows = np.arange(len(slates))[:, np.newaxis] if len(masks) > 1 else 0
    allowed = masks[rows, slates, positions]
    if allowed.all():
        return
    row, position = np.argwhere(~allowed)[0].tolist()
    document = int(slates[row, position])
    of_user = masks[row if len(masks) > 1 else 0]
    there = np.flatnonzero(of_user[:, position])
    whose = "" if users is None else f" of user {users[row]}"
    raise ValueError(
        f"The slate{whose} has document {document} in position {position}, where its {KEY} does "
        f"not let it stand: {numbers.described(there.tolist())} may stand there. Choose among "
        "them, or let an agent choose that takes action masks."
    )


def are_in(observation_space: object) -> bool:
    """Says whether documents have action masks.

    Args:
        observation_space: the space of observations, of either engine; or None.
    """
    documents = getattr(observation_space, "spaces", {}).get("doc")
    if space_of(documents) is not None:
        return True
    entries = getattr(documents, "spaces", None)
    first = next(iter(entries.values()), None) if isinstance(entries, Mapping) else None
    return space_of(first) is not None


def refuse(owner: object, observation_space: object) -> None:
    """Raises ValueError if documents have action masks, for an agent that does not heed them.

    Args:
        owner: the agent, or the name of what cannot take masks.
        observation_space: the space of observations, of either engine.
    """
    if not are_in(observation_space):
        return
    name = owner if isinstance(owner, str) else type(owner).__name__
    raise ValueError(
        f"{name} does not take action masks, and observation_space['doc'] has {KEY!r}: "
        f"{_TAKES_MASKS} do. Or leave the masks out."
    )
