"""The abstract classes of a vectorized scenario: what it says of users in parallel.

A scenario is a sampler of documents and a model of users. Their methods get and return dataclasses
of arrays with the users on axis 0:

* *documents*, fields of shape (n_users, num_candidates, …);
* *users*, fields of shape (n_users, …);
* *responses*, fields of shape (n_users, slate_size, …).

The documents of slates have shape (n_users, slate_size, …). Documents and responses are never
changed once they are made. Users may be changed in place, and are where new users replace those
whose episodes end. Users are what their fields hold: nothing else of them, and nothing of the
model, is in a checkpoint.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from recsim import spaces as spaces_lib
from recsim import types
from recsim._internal import arrays, numbers, trees
from recsim.vector.streams import RandomStream

__all__ = [
    "CANDIDATES",
    "VectorDocumentSampler",
    "VectorScenario",
    "VectorUserModel",
    "chosen_documents",
    "clicked",
    "slate_documents",
    "total_clicks",
]

#: When users get new candidates: at each step, at each episode, or never, and then all the same.
CANDIDATES = ("step", "episode", "shared")

T = TypeVar("T")
#: The dataclass of the documents of a scenario.
DocumentsT = TypeVar("DocumentsT")
#: The dataclass of its users.
UsersT = TypeVar("UsersT")
#: The dataclass of their responses.
ResponsesT = TypeVar("ResponsesT")


class VectorDocumentSampler(abc.ABC, Generic[DocumentsT]):
    """Samples the candidates of users in parallel.

    A sampler that chooses candidates for users, as a retrieval stage does, has a method
    ``sample_for(users, stream, num_documents)`` too, which is called in place of :meth:`sample`:
    ``users`` is the dataclass of the users' states, of those that the stream has, as they are when
    the candidates are shown. All users cannot share such candidates.
    """

    @abc.abstractmethod
    def sample(self, stream: RandomStream, num_documents: int) -> DocumentsT:
        """Returns new candidates for every user.

        Args:
            stream: the random stream, which says how many users there are.
            num_documents: number of documents for each.

        Returns:
            A dataclass of arrays of shape (n_users, num_documents, …).
        """

    @abc.abstractmethod
    def observe(self, documents: DocumentsT) -> trees.ArrayTree:
        """Returns what agents see of documents: an array, or a dictionary of arrays.

        Args:
            documents: a dataclass from :meth:`sample`, of all users or of those whose episodes
                end; where all users share their candidates, with fields of shape
                (num_documents, …).
        """

    @abc.abstractmethod
    def observation_space(self, num_documents: int) -> types.Space:
        """Returns the Gymnasium space of what agents see of one user's candidates.

        Args:
            num_documents: number of candidates, the length of axis 0.
        """


class VectorUserModel(abc.ABC, Generic[UsersT, DocumentsT, ResponsesT]):
    """How users in parallel are sampled, choose, respond and change, and when their episodes end.

    Args:
        slate_size: number of documents in a slate.
    """

    def __init__(self, slate_size: int) -> None:
        self.slate_size = slate_size

    @abc.abstractmethod
    def sample_users(self, stream: RandomStream) -> UsersT:
        """Returns new users: a dataclass of arrays of shape (n_users, …)."""

    @abc.abstractmethod
    def choose(self, users: UsersT, documents: DocumentsT, stream: RandomStream) -> np.ndarray:
        """Returns what users choose from their slates.

        Args:
            users: the users.
            documents: the documents of their slates, fields of shape (n_users, slate_size, …).
            stream: the random stream.

        Returns:
            Positions in the slates, integers of shape (n_users,); slate_size where nothing is
            chosen. Where users may choose several documents, which positions they choose, bools of
            shape (n_users, slate_size).
        """

    @abc.abstractmethod
    def respond(
        self, users: UsersT, documents: DocumentsT, choice: np.ndarray, stream: RandomStream
    ) -> ResponsesT:
        """Returns the responses to the slates, fields of shape (n_users, slate_size, …).

        Args:
            users: the users.
            documents: the documents of their slates.
            choice: what :meth:`choose` returned.
            stream: the random stream.
        """

    def update(
        self,
        users: UsersT,
        documents: DocumentsT,
        choice: np.ndarray,
        responses: ResponsesT,
        stream: RandomStream,
    ) -> UsersT:
        """Returns the users after the slates; by default they do not change.

        Args:
            users: the users, which may be changed in place.
            documents: the documents of their slates.
            choice: what :meth:`choose` returned.
            responses: what :meth:`respond` returned.
            stream: the random stream.
        """
        del documents, choice, responses, stream
        return users

    def is_done(self, users: UsersT) -> np.ndarray | None:
        """Returns whose episode is over, bools of shape (n_users,); None if none ever ends."""
        del users
        return None

    @abc.abstractmethod
    def observe_users(self, users: UsersT) -> trees.ArrayTree:
        """Returns what agents see of users: an array of shape (n_users, …), or a dict of them.

        The arrays may be the users' own: an environment copies those.

        Args:
            users: all users, or those of them whose episodes end.
        """

    @abc.abstractmethod
    def user_space(self) -> types.Space:
        """Returns the Gymnasium space of what agents see of one user."""

    @abc.abstractmethod
    def observe_responses(self, responses: ResponsesT) -> trees.ArrayTree:
        """Returns what agents see of responses: an array of (n_users, slate_size, …), or a dict.

        Zeros stand for no response where there was no slate yet.
        """

    @abc.abstractmethod
    def response_space(self) -> types.Space:
        """Returns the Gymnasium space of what agents see of one user's responses.

        Zeros, which stand for no response, must be in it.
        """


@dataclasses.dataclass(frozen=True)
class VectorScenario:
    """A vectorized scenario, and what is asked of it: all that users are simulated with.

    Attributes:
        user_model: the users.
        document_sampler: the sampler of documents.
        num_candidates: number of candidates that a user can be recommended.
        candidates: when users get new candidates: one of :data:`CANDIDATES`.
        reward_aggregator: function of the responses of a step that returns the rewards, shape
            (n_users,).
        metrics_aggregator: function of the responses of a step that returns what it adds to the
            metrics, numbers by name; None for no metrics.
        dtype: float32 or float64, the dtype of all numbers that are not integers.
    """

    user_model: VectorUserModel[Any, Any, Any]
    document_sampler: VectorDocumentSampler[Any]
    num_candidates: int
    candidates: str
    reward_aggregator: Callable[[Any], np.ndarray]
    metrics_aggregator: Callable[[Any], Mapping[str, float]] | None
    dtype: np.dtype

    def __post_init__(self) -> None:
        """Raises ValueError if all users are to share what is chosen for each."""
        if self.sampler_sees_users and self.candidates == "shared":
            raise ValueError(
                "candidates must be 'step' or 'episode' (resample_documents True) for a document "
                f"sampler that sees the users ({type(self.document_sampler).__name__}.sample_for), "
                "got 'shared'."
            )

    @property
    def sampler_sees_users(self) -> bool:
        """Whether candidates follow from the users' states."""
        return hasattr(self.document_sampler, "sample_for")

    @property
    def slate_size(self) -> int:
        """Number of documents in a slate."""
        return self.user_model.slate_size

    @functools.cached_property
    def spaces(self) -> dict[str, Any]:
        """The Gymnasium spaces of one user's observations, by entry."""
        of_parts = {
            "user": self.user_model.user_space(),
            "doc": self.document_sampler.observation_space(self.num_candidates),
            "response": self.user_model.response_space(),
        }
        return {
            part: spaces_lib.with_float_dtype(space, self.dtype) for part, space in of_parts.items()
        }


def slate_documents(documents: T, slates: np.ndarray, shared: bool) -> T:
    """Returns the documents of slates, fields of shape (n_users, slate_size, …).

    Args:
        documents: the candidates, fields of shape (n_users, num_candidates, …).
        slates: indices of candidates, shape (n_users, slate_size).
        shared: whether all users have the same candidates, fields of shape (num_candidates, …).
    """
    if shared:
        # What NumPy takes by, once for all fields.
        indices = np.ascontiguousarray(slates.T, np.intp).T
        return trees.map_leaves(lambda field: arrays.take_shared(field, indices), documents)
    positions = arrays.row_positions(slates, _num_documents(documents))
    return trees.map_leaves(lambda field: arrays.take_positions(field, positions), documents)


def chosen_documents(documents: T, choice: np.ndarray) -> T:
    """Returns the documents that users chose, fields of shape (n_users, …).

    Args:
        documents: the documents of slates, fields of shape (n_users, slate_size, …).
        choice: positions in the slates, shape (n_users,). Where it is slate_size, for nothing
            chosen, the last document of the slate is returned.
    """
    choice = numbers.whole_array("choice", choice)
    positions = arrays.chosen_positions(choice, _num_documents(documents))
    return trees.map_leaves(lambda field: arrays.take_chosen(field, positions), documents)


def _num_documents(documents: object) -> int:
    """Returns the length of axis 1, which all fields share."""
    first: Any = trees.first_leaf(documents)
    length: int = first.shape[1]
    return length


def clicked(choice: np.ndarray, slate_size: int) -> np.ndarray:
    """Returns which documents of slates were clicked, bools of shape (n_users, slate_size).

    Args:
        choice: positions in the slates, shape (n_users,); slate_size where nothing was clicked.
        slate_size: number of documents in a slate.

    Raises:
        TypeError: if the positions are not numbers.
        ValueError: if one is not a whole number.
    """
    choice = numbers.whole_array("choice", choice)
    # By position, the order in memory.
    by_position: np.ndarray = np.equal(np.arange(slate_size)[:, np.newaxis], choice)
    return by_position.T


class _Clicked(Protocol):
    """Responses that say what was clicked."""

    @property
    def clicked(self) -> np.ndarray:
        """Bools of shape (n_users, slate_size)."""


def total_clicks(responses: _Clicked) -> np.ndarray:
    """Returns the numbers of clicks: rewards of responses with the field ``clicked``."""
    clicks = numbers.array("clicked", responses.clicked)
    totals: np.ndarray = np.add.reduce(clicks, axis=1, dtype=np.float32)
    return totals
