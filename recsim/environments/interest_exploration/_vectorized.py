"""Interest exploration for users in parallel."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from recsim import choice_model, types
from recsim import spaces as spaces_lib
from recsim.environments.interest_exploration import _dynamics
from recsim.environments.interest_exploration._parameters import DocumentParameters, IEParameters
from recsim.vector import scenario, streams

__all__ = [
    "VectorIEDocumentSampler",
    "VectorIEDocuments",
    "VectorIEResponses",
    "VectorIEUserModel",
    "VectorIEUsers",
]


@dataclasses.dataclass
class VectorIEDocuments:
    """Documents of users in parallel."""

    cluster_id: np.ndarray  # (n_users, n_docs), int32: topics.
    quality: np.ndarray  # (n_users, n_docs)


@dataclasses.dataclass
class VectorIEUsers:
    """Users in parallel."""

    topic_affinity: np.ndarray  # (n_users, n_topics)


@dataclasses.dataclass
class VectorIEResponses:
    """The responses of users in parallel to their slates."""

    clicked: np.ndarray  # (n_users, slate_size), bool
    quality: np.ndarray  # (n_users, slate_size): of the documents, clicked or not.
    cluster_id: np.ndarray  # (n_users, slate_size), int32: their topics.


class VectorIEDocumentSampler(scenario.VectorDocumentSampler[VectorIEDocuments]):
    """Samples documents as :class:`IETopicDocumentSampler` does, for users in parallel.

    Args:
        parameters: how documents are distributed.
        document_space: the space of one document's observation.
    """

    def __init__(self, parameters: DocumentParameters, document_space: types.Space) -> None:
        self.parameters = parameters
        self._document_space = document_space
        self._cumulative_topics = _dynamics.cumulative(parameters.topic_distribution)
        self._quality_mean = np.array(parameters.topic_quality_mean)
        self._quality_stddev = np.array(parameters.topic_quality_stddev)

    def sample(self, stream: streams.RandomStream, num_documents: int) -> VectorIEDocuments:
        """See :meth:`recsim.vector.scenario.VectorDocumentSampler.sample`."""
        topics = stream.categories(self._cumulative_topics, num_documents)
        quality = _dynamics.sampled_log_normal(
            self._quality_mean.astype(stream.dtype).take(topics),
            self._quality_stddev.astype(stream.dtype).take(topics),
            stream.normal(num_documents),
        )
        return VectorIEDocuments(topics, quality)

    def observe(self, documents: VectorIEDocuments) -> dict[str, np.ndarray]:
        """Returns ``quality`` and ``cluster_id``."""
        return {"quality": documents.quality, "cluster_id": documents.cluster_id}

    def observation_space(self, num_documents: int) -> types.Space:
        """Returns the space of one user's documents."""
        space: types.Space = spaces_lib.stacked_space(self._document_space, num_documents)
        return space


class VectorIEUserModel(
    scenario.VectorUserModel[VectorIEUsers, VectorIEDocuments, VectorIEResponses]
):
    """Users as those of :class:`IEUserModel`, many of them.

    Args:
        parameters: the scenario's parameters.
        slate_size: number of documents in a slate.
        user_space: the space of one user's observation.
        response_space: the space of the observation of one response.
    """

    def __init__(
        self,
        parameters: IEParameters,
        slate_size: int,
        user_space: types.Space,
        response_space: types.Space,
    ) -> None:
        super().__init__(slate_size)
        self.parameters = parameters
        self._user_space = user_space
        self._response_space = response_space
        create = parameters.choice_model_ctor(slate_size)
        self._choice_model: Any = create({"no_click_mass": parameters.no_click_mass})
        self._cumulative_types = _dynamics.cumulative(parameters.user_type_distribution)
        self._means = np.array(parameters.user_document_mean_affinity_matrix)
        self._stddevs = np.array(parameters.user_document_stddev_affinity_matrix)
        self._average_affinity = parameters.average_affinity()

    @property
    def avg_user_state(self) -> types.UserState:
        """The user of the single-user engine whose scores :meth:`average_user_scores` returns."""
        from recsim.environments.interest_exploration import IEUserState

        return IEUserState(self._average_affinity)

    def average_user_scores(self, documents: Mapping[str, np.ndarray]) -> np.ndarray:
        """Returns the scores of documents by a user as ``IEUserModel.avg_user_state``.

        Args:
            documents: ``cluster_id`` and ``quality``, as they are observed, of any one shape.

        Returns:
            Scores of that shape.
        """
        return _dynamics.document_scores(
            self._average_affinity, documents["cluster_id"], documents["quality"]
        )

    def sample_users(self, stream: streams.RandomStream) -> VectorIEUsers:
        """See :meth:`recsim.vector.scenario.VectorUserModel.sample_users`."""
        user_types = stream.categories(self._cumulative_types)
        affinity = _dynamics.sampled_log_normal(
            self._means.astype(stream.dtype).take(user_types, axis=0),
            self._stddevs.astype(stream.dtype).take(user_types, axis=0),
            stream.normal(self.parameters.num_topics),
        )
        return VectorIEUsers(affinity)

    def choose(
        self, users: VectorIEUsers, documents: VectorIEDocuments, stream: streams.RandomStream
    ) -> np.ndarray:
        """See :meth:`recsim.vector.scenario.VectorUserModel.choose`."""
        scores = _dynamics.document_scores(
            users.topic_affinity, documents.cluster_id, documents.quality
        )
        if self.parameters.allows_several_clicks:
            numbers = self._choice_model.numbers_per_position * self.slate_size
            clicks: np.ndarray = self._choice_model.sampled_clicks(
                _dynamics.attractions(scores, self.parameters.no_click_mass),
                stream.uniform(numbers),
            )
            return clicks
        weights = self._choice_model.choice_weights(scores)
        choice: np.ndarray = choice_model.sampled_choices(weights, stream.uniform())
        return choice

    def respond(
        self,
        users: VectorIEUsers,
        documents: VectorIEDocuments,
        choice: np.ndarray,
        stream: streams.RandomStream,
    ) -> VectorIEResponses:
        """See :meth:`recsim.vector.scenario.VectorUserModel.respond`."""
        del users, stream
        clicked = choice if choice.ndim > 1 else scenario.clicked(choice, self.slate_size)
        return VectorIEResponses(clicked, documents.quality, documents.cluster_id)

    def observe_users(self, users: VectorIEUsers) -> np.ndarray:
        """Returns an array without entries: nothing of the users is observed."""
        return np.zeros((len(users.topic_affinity), 0), users.topic_affinity.dtype)

    def user_space(self) -> types.Space:
        """Returns the space of arrays without entries."""
        space: types.Space = spaces_lib.stacked_space(self._user_space, None)
        return space

    def observe_responses(self, responses: VectorIEResponses) -> dict[str, np.ndarray]:
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
