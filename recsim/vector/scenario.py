"""The abstract classes of a vector world: what a scenario says of many users at once.

A world is a sampler of documents and a model of users. Their methods get and return dataclasses of
arrays with the users on axis 0:

* *documents*, fields of shape (n_users, num_candidates, …);
* *users*, fields of shape (n_users, …);
* *responses*, fields of shape (n_users, slate_size, …).

The documents of slates have shape (n_users, slate_size, …). Documents and responses are never
changed once they are made. Users may be changed in place, and are where others take their places:
responses, and what :meth:`VectorUserModel.observe_users` returns, may not change with them. Users
are what their fields hold: nothing else of them, and nothing of the model, is in a checkpoint.
"""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, TypeVar

import numpy as np

from recsim._internal import arrays, numbers, trees
from recsim.vector.streams import RandomStream

__all__ = [
    "VectorDocumentSampler",
    "VectorUserModel",
    "chosen_documents",
    "clicked",
    "slate_documents",
    "total_clicks",
]

T = TypeVar("T")


class VectorDocumentSampler(abc.ABC):
    """Samples the candidates of many users."""

    @abc.abstractmethod
    def sample(self, stream: RandomStream, num_documents: int) -> Any:
        """Returns new candidates for every user.

        Args:
            stream: the random numbers, which say how many users there are.
            num_documents: number of documents for each.

        Returns:
            A dataclass of arrays of shape (n_users, num_documents, …).
        """

    @abc.abstractmethod
    def observe(self, documents: Any) -> Any:
        """Returns what agents see of documents: an array, or a dictionary of arrays.

        Args:
            documents: a dataclass from :meth:`sample`, of all users or of those whose sessions
                end; where all users share their candidates, with fields of shape
                (num_documents, …).
        """

    @abc.abstractmethod
    def observation_space(self, num_documents: int) -> Any:
        """Returns the Gymnasium space of what agents see of one user's candidates.

        Args:
            num_documents: number of candidates, the length of axis 0.
        """


class VectorUserModel(abc.ABC):
    """Many users: how they are sampled, choose, respond and change, and when their sessions end.

    Args:
        slate_size: number of documents in a slate.
    """

    def __init__(self, slate_size: int) -> None:
        self.slate_size = slate_size

    @abc.abstractmethod
    def sample_users(self, stream: RandomStream) -> Any:
        """Returns new users: a dataclass of arrays of shape (n_users, …)."""

    @abc.abstractmethod
    def choose(self, users: Any, documents: Any, stream: RandomStream) -> np.ndarray:
        """Returns what users choose from their slates.

        Args:
            users: the users.
            documents: the documents of their slates, fields of shape (n_users, slate_size, …).
            stream: the random numbers.

        Returns:
            Positions in the slates, integers of shape (n_users,); slate_size where nothing is
            chosen.
        """

    @abc.abstractmethod
    def respond(self, users: Any, documents: Any, choice: np.ndarray, stream: RandomStream) -> Any:
        """Returns the responses to the slates, fields of shape (n_users, slate_size, …).

        Args:
            users: the users.
            documents: the documents of their slates.
            choice: what :meth:`choose` returned.
            stream: the random numbers.
        """

    def update(
        self, users: Any, documents: Any, choice: np.ndarray, responses: Any, stream: RandomStream
    ) -> Any:
        """Returns the users after the slates; by default they do not change.

        Args:
            users: the users, which may be changed in place.
            documents: the documents of their slates.
            choice: what :meth:`choose` returned.
            responses: what :meth:`respond` returned.
            stream: the random numbers.
        """
        del documents, choice, responses, stream
        return users

    def is_done(self, users: Any) -> np.ndarray | None:
        """Returns whose session is over, bools of shape (n_users,); None if sessions never end."""
        del users
        return None

    @abc.abstractmethod
    def observe_users(self, users: Any) -> Any:
        """Returns what agents see of users: an array of shape (n_users, …), or a dict of them.

        Args:
            users: all users, or those of them whose sessions end.
        """

    @abc.abstractmethod
    def user_space(self) -> Any:
        """Returns the Gymnasium space of what agents see of one user."""

    @abc.abstractmethod
    def observe_responses(self, responses: Any) -> Any:
        """Returns what agents see of responses: an array of (n_users, slate_size, …), or a dict.

        Zeros stand for no response where there was no slate yet.
        """

    @abc.abstractmethod
    def response_space(self) -> Any:
        """Returns the Gymnasium space of what agents see of one user's responses.

        Zeros, which stand for no response, must be in it.
        """


def slate_documents(documents: T, slates: np.ndarray, shared: bool) -> T:
    """Returns the documents of slates, fields of shape (n_users, slate_size, …).

    Args:
        documents: the candidates, fields of shape (n_users, num_candidates, …).
        slates: indices of candidates, shape (n_users, slate_size).
        shared: whether all users have the same candidates, fields of shape (num_candidates, …).
    """
    if shared:
        return trees.map_leaves(lambda field: arrays.take_shared(field, slates), documents)
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


def _num_documents(documents: Any) -> int:
    """Returns the length of axis 1, which all fields share."""
    return getattr(documents, dataclasses.fields(documents)[0].name).shape[1]


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
    return np.equal(np.arange(slate_size)[:, np.newaxis], choice).T


def total_clicks(responses: Any) -> np.ndarray:
    """Returns the numbers of clicks: rewards of responses with the field ``clicked``."""
    clicks = numbers.array("clicked", responses.clicked)
    return np.add.reduce(clicks, axis=1, dtype=np.float32)
