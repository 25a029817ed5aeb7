"""Adapters that turn observations and responses, of whatever spaces, into arrays of features."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recsim import agent, types
from recsim import spaces as spaces_lib
from recsim._internal import action_masks, numbers, observations
from recsim._internal.configurable import configurable
from recsim._internal.gym_import import spaces
from recsim.agents._action_masks.allowed_slates import AllowedSlates
from recsim.agents.layers import recent_slates
from recsim.agents.networks import recurrent

__all__ = ["ObservationAdapter", "ResponseAdapter", "State", "checked_num_candidates", "part_of"]

#: Features of a user, shape (user_size,), and of the candidates, shape (num_candidates, doc_width).
State = tuple[np.ndarray, np.ndarray]


class ResponseAdapter:
    """Turns the responses to a slate into one array.

    Args:
        input_response_space: the ``Tuple`` space of the responses, each a ``Dict`` of numbers.
    """

    def __init__(self, input_response_space: types.Space) -> None:
        responses = observations.spaces_of_responses(input_response_space)
        self._response_names = list(observations.fields_of_response(input_response_space))
        self._response_shape = (len(responses), len(self._response_names))

    @property
    def response_names(self) -> list[str]:
        """The keys of a response, in the order of the array's columns."""
        return self._response_names

    @property
    def response_shape(self) -> tuple[int, int]:
        """(slate size, number of keys)."""
        return self._response_shape

    @property
    def response_dtype(self) -> type[np.float32]:
        """The dtype of the array, float32."""
        return np.float32

    def encode(self, responses: Sequence[Any]) -> np.ndarray:
        """Returns the responses as an array of shape ``response_shape``."""
        encoded = np.zeros(self._response_shape, np.float32)
        for row, response in zip(encoded, responses):
            for column, name in enumerate(self._response_names):
                row[column] = numbers.as_float(f"a response's {name}", response[name])
        return encoded


def part_of(observation_space: types.Space, name: str) -> types.Space:
    """Returns the space of a part of the observations, 'user', 'doc' or 'response'.

    Raises:
        ValueError: if the observations have no such part.
    """
    parts: Mapping[str, types.Space] = getattr(observation_space, "spaces", {})
    if name not in parts:
        raise ValueError(
            "observation_space must be a Dict space of 'user', 'doc' and 'response' "
            f"(environment.observation_space), got {observation_space!r}."
        )
    return parts[name]


# To gin it is where RecSim has it.
@configurable(module="recsim.agents.dopamine.dqn_agent")
class ObservationAdapter:
    """Turns observations of users and documents, of whatever spaces, into arrays of features.

    Integers become indicators of their values, and what is missing becomes zeros, see
    :func:`recsim.spaces.flatten`. An ``action_mask`` of documents is not one of their features: its
    zeros and ones are further columns after the features, one for each position of a slate.

    Args:
        input_observation_space: space of the observations.
        stack_size: length of the last axis of what :meth:`encode` returns.
        takes_masks: whether documents may have an ``action_mask``: its owner heeds it then.
        owner: what needs the adapter, for the error where documents have a mask.

    Raises:
        ValueError: if the space has no users or no documents, or has masks that are not taken, or
            are not of integers 0 and 1 for the positions of a slate.
    """

    def __init__(
        self,
        input_observation_space: types.DictSpace,
        stack_size: int = 1,
        *,
        takes_masks: bool = False,
        owner: str = "ObservationAdapter",
    ) -> None:
        self._space = input_observation_space
        self._user_space = part_of(input_observation_space, "user")
        doc_spaces = observations.spaces_of_documents(part_of(input_observation_space, "doc"))
        self._doc_space = next(iter(doc_spaces.values()))
        self._num_candidates = len(doc_spaces)
        self._mask_size = 0
        mask_space = action_masks.space_of(self._doc_space)
        if mask_space is not None:
            if not takes_masks:
                action_masks.refuse(owner, input_observation_space)
            responses = part_of(input_observation_space, "response")
            self._mask_size = len(observations.spaces_of_responses(responses))
            action_masks.check_space(mask_space, self._mask_size)
            self._doc_space = action_masks.space_without(self._doc_space)
        self._user_flattener = spaces_lib.Flattener(self._user_space)
        self._doc_flattener = spaces_lib.Flattener(self._doc_space)
        self._user_size = self._user_flattener.size
        self._doc_size = self._doc_flattener.size
        self._stack_size = stack_size

    @property
    def num_candidates(self) -> int:
        """Number of documents of an observation."""
        return self._num_candidates

    @property
    def user_size(self) -> int:
        """Number of features of a user."""
        return self._user_size

    @property
    def doc_size(self) -> int:
        """Number of features of a document."""
        return self._doc_size

    def recurrence(self, units: int) -> recurrent.Recurrence | None:
        """Returns which of a user's features a recurrent state reads, None for one of 0 units.

        Raises:
            ValueError: if there are units, but no rows of recent slates in the observations.
        """
        return recent_slates.recurrence_of(self._space, units)

    @property
    def mask_size(self) -> int:
        """Number of columns of a document's mask, one for each position; 0 without masks."""
        return self._mask_size

    @property
    def doc_width(self) -> int:
        """Number of columns of a document, of its features and of its mask after them."""
        return self._doc_size + self._mask_size

    def split(self, documents: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns the features of documents, and where they may stand.

        Args:
            documents: array of shape (..., num_candidates, doc_width).

        Returns:
            A view of shape (..., num_candidates, doc_size), and bools of shape
            (..., num_candidates, mask_size); None where documents have no masks.
        """
        if not self._mask_size:
            return documents, None
        return documents[..., : self._doc_size], documents[..., self._doc_size :] != 0

    def allowed_slates(self, documents: np.ndarray) -> AllowedSlates | None:
        """Returns the slates that the masks of users' documents allow; None without masks.

        Args:
            documents: array of shape (n_users, num_candidates, doc_width).

        Raises:
            ValueError: if a user's slate cannot be filled.
        """
        return self.features_and_allowed_slates(documents)[1]

    def features_and_allowed_slates(
        self, documents: np.ndarray
    ) -> tuple[np.ndarray, AllowedSlates | None]:
        """Returns the features of documents as :meth:`split`, and :meth:`allowed_slates`."""
        features, masks = self.split(documents)
        return features, None if masks is None else AllowedSlates(masks)

    @property
    def output_observation_space(self) -> spaces.Box:
        """The space of what :meth:`encode` returns, without the last axis."""
        shape = (self._num_candidates + 1, max(self._user_size, self._doc_size))
        # What only pads a row is always 0.
        bound = np.zeros(shape, np.float32)
        bound[0, : self._user_size] = np.inf
        bound[1:, : self._doc_size] = np.inf
        return spaces.Box(low=-bound, high=bound, dtype=np.float32)

    def features(self, observation: agent.Observation) -> State:
        """Returns the features of an observation.

        Returns:
            The user's, float32 of shape (user_size,), and the documents', float32 of shape
            (number of documents, doc_width).

        Raises:
            ValueError: if a feature is not finite, or does not fit its space, or a mask has another
                number than 0 and 1.
        """
        with _must_fit("user", self._user_space):
            user = np.empty(self._user_size, np.float32)
            self._user_flattener.flatten(observation["user"], user)
        with _must_fit("doc", self._doc_space):
            documents = list(observation["doc"].values())
            if isinstance(self._doc_space, spaces.Box):
                docs = np.array(documents, np.float32).reshape(len(documents), self._doc_size)
            else:
                docs = np.empty((len(documents), self.doc_width), np.float32)
                for row, document in zip(docs[:, : self._doc_size], documents):
                    self._doc_flattener.flatten(document, row)
            mask = [document[action_masks.KEY] for document in documents if self._mask_size]
        if self._mask_size:
            docs[:, self._doc_size :] = self._mask_of(mask, (len(documents),))
        _check_finite(observation, user=user, doc=docs)
        return user, docs

    def features_of_many(self, observation: agent.Observation) -> State:
        """Returns the features of an observation of users in parallel.

        Args:
            observation: arrays with the users on axis 0, and those of ``doc`` with each user's
                documents on axis 1.

        Returns:
            The users', float32 of shape (n_users, user_size), and the documents', float32 of
            shape (n_users, number of documents, doc_width).

        Raises:
            ValueError: as :meth:`features`.
        """
        users = self.users_of_many(observation)
        with _must_fit("doc", self._doc_space):
            docs = self._doc_flattener.flattened(observation["doc"], num_axes=2)
        if self._mask_size:
            leading = docs.shape[:2]
            mask = self._mask_of(observation["doc"].get(action_masks.KEY), leading)
            docs = np.concatenate([docs, mask], axis=2, dtype=np.float32)
        _check_finite(observation, doc=docs)
        return users, docs

    def _mask_of(self, observed: ArrayLike, leading: tuple[int, ...]) -> np.ndarray:
        return action_masks.array_of(observed, leading, self._mask_size)

    def users_of_many(self, observation: agent.Observation) -> np.ndarray:
        """Returns the first part of :meth:`features_of_many`: the users' features."""
        with _must_fit("user", self._user_space):
            users = self._user_flattener.flattened(observation["user"])
        _check_finite(observation, user=users)
        return users

    def encode(self, observation: agent.Observation) -> np.ndarray:
        """Returns an observation as an image: the user's row, then a row for each document.

        Returns:
            float32 array of shape (num_candidates + 1, width, stack_size), whose rows are padded
            with zeros to the larger of ``user_size`` and ``doc_size``. The observation is the
            first of the stack.
        """
        user, documents = self.features(observation)
        images = self.images(user[np.newaxis], documents[np.newaxis])
        image = np.zeros((*images.shape[1:3], self._stack_size), np.float32)
        image[..., :1] = images[0]
        return image

    def images(self, users: np.ndarray, documents: np.ndarray) -> np.ndarray:
        """Returns images of users' and documents' features, see :meth:`encode`.

        Args:
            users: array of shape (batch, user_size).
            documents: array of shape (batch, num_candidates, doc_width), whose masks are left out.

        Returns:
            float32 array of shape (batch, num_candidates + 1, width, 1).
        """
        documents = documents[..., : self._doc_size]
        batch, num_candidates, _ = documents.shape
        width = max(self._user_size, self._doc_size)
        images = np.zeros((batch, num_candidates + 1, width, 1), np.float32)
        images[:, 0, : self._user_size, 0] = users
        images[:, 1:, : self._doc_size, 0] = documents
        return images


def checked_num_candidates(action_space: types.SlateSpace, num_documents: int) -> int:
    """Returns a number of candidates.

    Args:
        action_space: the ``MultiDiscrete`` space of slates.
        num_documents: number of documents of an observation.

    Raises:
        ValueError: if they do not fit.
    """
    nvec = np.asarray(action_space.nvec)
    if (nvec != num_documents).any():
        raise ValueError(
            "action_space must have as many values as observation_space['doc'] has documents, "
            f"{num_documents}, got {nvec.tolist()}."
        )
    if len(nvec) > num_documents:
        raise ValueError(
            f"A slate holds different documents: action_space has slates of {len(nvec)}, but "
            f"observation_space['doc'] has only {num_documents} documents."
        )
    return num_documents


def _check_finite(observation: agent.Observation, **features: np.ndarray) -> None:
    for name, array in features.items():
        # A sum of finite features is finite, unless they are beyond all reason.
        if not math.isfinite(array.sum()):
            raise ValueError(
                f"observation[{name!r}] must hold finite numbers, got {observation[name]!r}."
            )


@contextlib.contextmanager
def _must_fit(part: str, space: object) -> Iterator[None]:
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"observation[{part!r}] does not fit the space that the agent was made for, {space!r}"
            f"{' for each document' if part == 'doc' else ''}: {type(error).__name__}: {error}."
        ) from error
