"""Topic boredom for users in parallel."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from recsim import spaces as spaces_lib
from recsim import types, utils
from recsim._internal import arrays
from recsim.environments.topic_boredom import _catalogue, _dynamics, _metrics
from recsim.environments.topic_boredom._parameters import TopicBoredomParameters
from recsim.vector import scenario, streams

__all__ = [
    "VectorBoredomDocumentSampler",
    "VectorBoredomDocuments",
    "VectorBoredomResponses",
    "VectorBoredomUserModel",
    "VectorBoredomUsers",
    "boredom_metrics",
]

# From so many candidates on sorting the whole catalogue is faster than sampling one by one.
_MANY = 64


@dataclasses.dataclass
class VectorBoredomDocuments:
    """Items of users in parallel."""

    embedding: np.ndarray  # (n_users, n_docs, embedding_size), vectors of length 1.
    cluster_id: np.ndarray  # (n_users, n_docs), int32: main topics.
    quality: np.ndarray  # (n_users, n_docs): their lengths in the main topics.


@dataclasses.dataclass
class VectorBoredomUsers:
    """Users in parallel."""

    interests: np.ndarray  # (n_users, embedding_size)
    clicked_topics: np.ndarray  # (n_users, clicks_remembered), int32: of the last clicks.
    clicked_steps: np.ndarray  # (n_users, clicks_remembered), int32: when they were.
    next_click: np.ndarray  # (n_users,), int32: where the next click is remembered.
    recent_clicks: np.ndarray  # (n_users, num_topics), int32: clicks in the window.
    bored: np.ndarray  # (n_users, num_topics), bool
    boredom_timeout: np.ndarray  # (n_users, num_topics), int32: the window where not bored.
    time: np.ndarray  # (n_users,), int32: slates seen, that before the episode included.


@dataclasses.dataclass
class VectorBoredomResponses:
    """The responses of users in parallel to their slates."""

    clicked: np.ndarray  # (n_users, slate_size), bool
    cluster_id: np.ndarray  # (n_users, slate_size), int32: the items' main topics.
    quality: np.ndarray  # (n_users, slate_size): their lengths in the main topics.
    # (n_users, slate_size): how many topics the user was bored of, the same at each position.
    num_bored: np.ndarray


class VectorBoredomDocumentSampler(scenario.VectorDocumentSampler[VectorBoredomDocuments]):
    """Samples items of the catalogue as :class:`BoredomDocumentSampler` does.

    Args:
        parameters: the scenario's parameters.
        document_space: the space of one item's observation.
    """

    def __init__(self, parameters: TopicBoredomParameters, document_space: types.Space) -> None:
        self.parameters = parameters
        self._document_space = document_space

    def sample(self, stream: streams.RandomStream, num_documents: int) -> VectorBoredomDocuments:
        """See :meth:`recsim.vector.scenario.VectorDocumentSampler.sample`."""
        num_items = self.parameters.num_items
        if num_documents == num_items:
            items = np.broadcast_to(np.arange(num_items), (stream.num_users, num_items))
        elif num_documents < _MANY:
            items = stream.slates(num_items, num_documents)
        else:
            items = stream.uniform(num_items).argsort(axis=1)[:, :num_documents]
        return documents_of(self.parameters, items, stream.dtype)

    def observe(self, documents: VectorBoredomDocuments) -> dict[str, np.ndarray]:
        """Returns ``cluster_id``, ``embedding`` and ``quality``."""
        return {
            "cluster_id": documents.cluster_id,
            "embedding": documents.embedding,
            "quality": documents.quality,
        }

    def observation_space(self, num_documents: int) -> types.Space:
        """Returns the space of one user's candidates."""
        space: types.Space = spaces_lib.stacked_space(self._document_space, num_documents)
        return space


def documents_of(
    parameters: TopicBoredomParameters, items: np.ndarray, dtype: np.dtype
) -> VectorBoredomDocuments:
    """Returns items of the catalogue.

    Args:
        parameters: the scenario's parameters.
        items: indices of the catalogue, shape (n_users, n_docs).
        dtype: the dtype of their numbers.
    """
    catalogue = _catalogue.catalogue_of(parameters)
    return VectorBoredomDocuments(
        arrays.take_shared(catalogue.embedding.astype(dtype), items),
        arrays.take_shared(catalogue.cluster_id, items),
        arrays.take_shared(catalogue.quality.astype(dtype), items),
    )


class VectorBoredomUserModel(
    scenario.VectorUserModel[VectorBoredomUsers, VectorBoredomDocuments, VectorBoredomResponses]
):
    """Users as those of :class:`BoredomUserModel`, many of them.

    Args:
        parameters: the scenario's parameters.
        slate_size: number of items in a slate.
        user_space: the space of one user's observation.
        response_space: the space of the observation of one response.
    """

    def __init__(
        self,
        parameters: TopicBoredomParameters,
        slate_size: int,
        user_space: types.Space,
        response_space: types.Space,
    ) -> None:
        super().__init__(slate_size)
        self.parameters = parameters
        self._user_space = user_space
        self._response_space = response_space
        self._choice_model = parameters.create_choice_model(slate_size)
        self._sizes, self._cumulative_sizes = _dynamics.num_topics_distribution(
            parameters.num_topics, parameters.topics_per_user
        )

    def sample_users(self, stream: streams.RandomStream) -> VectorBoredomUsers:
        """Returns new users, who have seen one random slate of the whole catalogue already."""
        parameters = self.parameters
        num_users, num_topics = stream.num_users, parameters.num_topics
        if parameters.embeddings == "few_topics":
            sizes = self._sizes.take(stream.categories(self._cumulative_sizes))
            values = stream.uniform(parameters.embedding_size)
            interests = _dynamics.sampled_interests(values, stream.uniform(num_topics), sizes)
        else:
            normals = stream.normal(parameters.embedding_size)
            interests = _dynamics.sampled_users(normals, stream.uniform(num_topics))
        clicks = (num_users, parameters.clicks_remembered)
        topics = (num_users, num_topics)
        users = VectorBoredomUsers(
            interests=interests,
            clicked_topics=np.zeros(clicks, np.int32, order="F"),
            clicked_steps=np.full(clicks, _dynamics.NEVER, np.int32, order="F"),
            next_click=np.zeros(num_users, np.int32),
            recent_clicks=np.zeros(topics, np.int32),
            bored=np.zeros(topics, np.bool_, order="F"),
            boredom_timeout=np.full(topics, parameters.boredom_window, np.int32, order="F"),
            time=np.zeros(num_users, np.int32),
        )
        items = stream.integers(parameters.num_items, self.slate_size)
        slates = documents_of(parameters, items, stream.dtype)
        return self._after(users, slates, self.choose(users, slates, stream))

    def attractions(
        self, users: VectorBoredomUsers, documents: VectorBoredomDocuments
    ) -> np.ndarray:
        """Returns how likely users click the items of slates that they look at.

        Args:
            users: the users.
            documents: the items of their slates.

        Returns:
            Probabilities of shape (n_users, slate_size).
        """
        parameters = self.parameters
        return _dynamics.attractions(
            self.relevances(users, documents),
            documents.cluster_id,
            parameters.attraction_factor,
            parameters.same_topic_limit,
            parameters.same_topic_penalty,
        )

    def relevances(
        self, users: VectorBoredomUsers, documents: VectorBoredomDocuments
    ) -> np.ndarray:
        """Returns how relevant items are to users, in [0, 1].

        Args:
            users: the users.
            documents: items, fields of shape (n_users, n_docs, …).

        Returns:
            Array of shape (n_users, n_docs).
        """
        parameters = self.parameters
        relevance = _dynamics.relevances(
            _dynamics.item_scores(self._shown_interests(users), documents.embedding),
            parameters.relevance,
            parameters.relevance_offset,
            parameters.relevance_slope,
        )
        if parameters.bored_relevance_factor != 1.0:
            factor = relevance.dtype.type(parameters.bored_relevance_factor)
            relevance *= (factor ** users.bored.sum(axis=1).astype(relevance.dtype))[:, np.newaxis]
        return relevance

    def choose(
        self,
        users: VectorBoredomUsers,
        documents: VectorBoredomDocuments,
        stream: streams.RandomStream,
    ) -> np.ndarray:
        """Returns which items of their slates users click, bools of shape (n_users, slate_size)."""
        numbers = self._choice_model.numbers_per_position * self.slate_size
        return self._choice_model.sampled_clicks(
            self.attractions(users, documents), stream.uniform(numbers)
        )

    def respond(
        self,
        users: VectorBoredomUsers,
        documents: VectorBoredomDocuments,
        choice: np.ndarray,
        stream: streams.RandomStream,
    ) -> VectorBoredomResponses:
        """See :meth:`recsim.vector.scenario.VectorUserModel.respond`."""
        del stream
        num_bored = np.add.reduce(users.bored, axis=1, dtype=np.int32)
        return VectorBoredomResponses(
            choice,
            documents.cluster_id,
            documents.quality,
            np.broadcast_to(num_bored[:, np.newaxis], choice.shape),
        )

    def update(
        self,
        users: VectorBoredomUsers,
        documents: VectorBoredomDocuments,
        choice: np.ndarray,
        responses: VectorBoredomResponses,
        stream: streams.RandomStream,
    ) -> VectorBoredomUsers:
        """See :meth:`recsim.vector.scenario.VectorUserModel.update`."""
        del responses, stream
        return self._after(users, documents, choice)

    def _after(
        self, users: VectorBoredomUsers, documents: VectorBoredomDocuments, clicked: np.ndarray
    ) -> VectorBoredomUsers:
        """Returns the users after clicks on slates."""
        parameters = self.parameters
        clicks = _dynamics.clicks_of(clicked)
        _dynamics.remember_clicks(
            (users.clicked_topics, users.clicked_steps, users.next_click),
            clicks,
            documents.cluster_id,
            users.time,
        )
        users.time += 1
        users.recent_clicks = _dynamics.clicks_by_topic(
            users.clicked_topics,
            users.clicked_steps,
            users.time - parameters.boredom_window,
            parameters.num_topics,
        )
        users.bored, users.boredom_timeout = _dynamics.boredom_after(
            users.bored,
            users.boredom_timeout,
            users.recent_clicks,
            parameters.boredom_threshold,
            parameters.boredom_window,
        )
        users.interests = _dynamics.interests_after(
            users.interests,
            clicks,
            documents.embedding,
            parameters.interest_memory,
            parameters.drift,
            parameters.topics_that_sum_to_one,
        )
        return users

    def is_done(self, users: VectorBoredomUsers) -> np.ndarray | None:
        """Says who has seen ``time_budget`` slates; None if there is no end of them."""
        if self.parameters.time_budget > 2**31:
            return None
        return users.time > self.parameters.time_budget

    def _shown_interests(self, users: VectorBoredomUsers) -> np.ndarray:
        return _dynamics.shown_interests(
            users.interests, users.bored, self.parameters.boredom_effect
        )

    def observe_users(self, users: VectorBoredomUsers) -> np.ndarray:
        """Returns the shares of recent clicks, and the hidden state if it is to be observed."""
        parameters = self.parameters
        dtype = users.interests.dtype
        recent = users.recent_clicks.astype(dtype)
        recent /= dtype.type(parameters.boredom_threshold)
        np.minimum(recent, dtype.type(1.0), out=recent)
        if not parameters.observe_user_state:
            return recent
        timeout = (users.boredom_timeout / dtype.type(parameters.boredom_window)).astype(dtype)
        return np.concatenate([self._shown_interests(users), recent, timeout], axis=1)

    def user_space(self) -> types.Space:
        """Returns the space of what is observed of a user."""
        space: types.Space = spaces_lib.stacked_space(self._user_space, None)
        return space

    def observe_responses(self, responses: VectorBoredomResponses) -> dict[str, np.ndarray]:
        """Returns ``click``, ``quality`` and ``cluster_id``."""
        return {
            "click": responses.clicked.astype(np.int32),
            "quality": responses.quality,
            "cluster_id": responses.cluster_id,
        }

    def response_space(self) -> types.Space:
        """Returns the space of one user's responses."""
        space: types.Space = spaces_lib.stacked_space(self._response_space, self.slate_size)
        return space


def boredom_metrics(responses: VectorBoredomResponses) -> Mapping[str, float]:
    """Returns what slates add to the metrics of :func:`aggregate_boredom_metrics`.

    Args:
        responses: the responses of the vector engine's users.
    """
    return {
        **utils.video_cluster_metrics(responses),
        _metrics.BORED: float(np.count_nonzero(responses.num_bored[:, 0])),
        _metrics.TOPICS: float(_metrics.num_topics(responses.cluster_id)),
    }
