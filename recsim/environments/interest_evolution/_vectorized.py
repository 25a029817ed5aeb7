"""Interest evolution for users in parallel."""

from __future__ import annotations

import dataclasses

import numpy as np

from recsim import choice_model, types
from recsim import spaces as spaces_lib
from recsim._internal import arrays
from recsim.environments.interest_evolution import _dynamics
from recsim.environments.interest_evolution._parameters import IEvParameters
from recsim.vector import scenario, streams

__all__ = [
    "VectorIEvDocumentSampler",
    "VectorIEvDocuments",
    "VectorIEvResponses",
    "VectorIEvUserModel",
    "VectorIEvUsers",
    "total_watch_time",
]


@dataclasses.dataclass
class VectorIEvDocuments:
    """Videos of users in parallel, each of one topic."""

    cluster_id: np.ndarray  # (n_users, n_docs), int32: topics.
    quality: np.ndarray  # (n_users, n_docs)


@dataclasses.dataclass
class VectorIEvUsers:
    """Users in parallel."""

    interests: np.ndarray  # (n_users, n_topics), in [-1, 1]
    time_budget: np.ndarray  # (n_users,): time left, in minutes.


@dataclasses.dataclass
class VectorIEvResponses:
    """The responses of users in parallel to their slates."""

    clicked: np.ndarray  # (n_users, slate_size), bool
    watch_time: np.ndarray  # (n_users, slate_size): 0 where nothing was clicked.
    quality: np.ndarray  # (n_users, slate_size): of the videos, clicked or not.
    cluster_id: np.ndarray  # (n_users, slate_size), int32: their topics.


class VectorIEvDocumentSampler(scenario.VectorDocumentSampler[VectorIEvDocuments]):
    """Samples videos as :class:`UtilityModelVideoSampler` does, for users in parallel.

    Args:
        parameters: the scenario's parameters.
        document_space: the space of one video's observation.
    """

    def __init__(self, parameters: IEvParameters, document_space: types.Space) -> None:
        self.parameters = parameters
        self._document_space = document_space
        self._means = _dynamics.mean_qualities(
            parameters.num_topics,
            parameters.min_utility,
            parameters.max_utility,
            parameters.low_quality_share,
        )
        self._one_hot = np.eye(parameters.num_topics)

    def sample(self, stream: streams.RandomStream, num_documents: int) -> VectorIEvDocuments:
        """See :meth:`recsim.vector.scenario.VectorDocumentSampler.sample`."""
        topics = stream.integers(len(self._means), num_documents)
        quality = self._means.astype(stream.dtype).take(topics)
        quality += self.parameters.quality_stddev * stream.normal(num_documents)
        return VectorIEvDocuments(topics, quality)

    def observe(self, documents: VectorIEvDocuments) -> np.ndarray:
        """Returns the videos' features, shape (n_users, n_docs, n_topics)."""
        one_hot = self._one_hot.astype(documents.quality.dtype)
        return one_hot.take(documents.cluster_id, axis=0)

    def observation_space(self, num_documents: int) -> types.Space:
        """Returns the space of the features of one user's videos."""
        space: types.Space = spaces_lib.stacked_space(self._document_space, num_documents)
        return space


class VectorIEvUserModel(
    scenario.VectorUserModel[VectorIEvUsers, VectorIEvDocuments, VectorIEvResponses]
):
    """Users as those of :class:`IEvUserModel`, many of them.

    Videos have one topic each, so that the inner product of features and interests is the
    interest in the topic, and watching a video changes that interest alone.

    Args:
        parameters: the scenario's parameters.
        slate_size: number of documents in a slate.
        user_space: the space of one user's observation.
        response_space: the space of the observation of one response.
    """

    def __init__(
        self,
        parameters: IEvParameters,
        slate_size: int,
        user_space: types.Space,
        response_space: types.Space,
    ) -> None:
        super().__init__(slate_size)
        self._choice_model = parameters.create_choice_model(slate_size)
        self.parameters = parameters
        self._user_space = user_space
        self._response_space = response_space

    def sample_users(self, stream: streams.RandomStream) -> VectorIEvUsers:
        """See :meth:`recsim.vector.scenario.VectorUserModel.sample_users`."""
        parameters = self.parameters
        interests = _dynamics.scaled_interests(
            stream.uniform(parameters.num_topics), parameters.min_interest, parameters.max_interest
        )
        budget = np.full(stream.num_users, parameters.time_budget, stream.dtype)
        return VectorIEvUsers(interests, budget)

    def choose(
        self, users: VectorIEvUsers, documents: VectorIEvDocuments, stream: streams.RandomStream
    ) -> np.ndarray:
        """See :meth:`recsim.vector.scenario.VectorUserModel.choose`."""
        scores = arrays.take_along_rows(users.interests, documents.cluster_id)
        weights = self._choice_model.choice_weights(scores)
        choice: np.ndarray = choice_model.sampled_choices(weights, stream.uniform())
        return choice

    def respond(
        self,
        users: VectorIEvUsers,
        documents: VectorIEvDocuments,
        choice: np.ndarray,
        stream: streams.RandomStream,
    ) -> VectorIEvResponses:
        """See :meth:`recsim.vector.scenario.VectorUserModel.respond`."""
        del stream
        clicked = scenario.clicked(choice, self.slate_size)
        watch_time = self._watch_time(users)[:, np.newaxis] * clicked
        return VectorIEvResponses(clicked, watch_time, documents.quality, documents.cluster_id)

    def _watch_time(self, users: VectorIEvUsers) -> np.ndarray:
        """Returns how long users would watch a video: while time is left."""
        watch_time: np.ndarray = np.minimum(users.time_budget, self.parameters.video_length)
        return watch_time

    def update(
        self,
        users: VectorIEvUsers,
        documents: VectorIEvDocuments,
        choice: np.ndarray,
        responses: VectorIEvResponses,
        stream: streams.RandomStream,
    ) -> VectorIEvUsers:
        """See :meth:`recsim.vector.scenario.VectorUserModel.update`."""
        del responses
        parameters = self.parameters
        clicked = choice < self.slate_size
        video = scenario.chosen_documents(documents, choice)
        # Where nothing was clicked, what is computed with some video of the slate is not used.
        topics = video.cluster_id[:, np.newaxis]
        positions = arrays.row_positions(topics, parameters.num_topics)[0]
        interests = users.interests.reshape(-1)
        interest = interests.take(positions)
        new_interest = _dynamics.updated_interests(
            interest[:, np.newaxis],
            np.ones_like(interest)[:, np.newaxis],
            stream.uniform(),
            parameters.alpha_x_intercept,
            parameters.alpha_y_intercept,
        )[:, 0]
        interests[positions] = np.where(clicked, new_interest, interest)
        budget = _dynamics.updated_budget(
            users.time_budget,
            self._watch_time(users),
            self._received_utility(video.quality, interest),
            parameters.user_update_alpha,
        )
        left = users.time_budget - parameters.step_penalty
        users.time_budget = np.where(clicked, budget, left)
        return users

    def _received_utility(self, quality: np.ndarray, score: np.ndarray) -> np.ndarray:
        """Returns the utility of videos with a quality and a score each, shape (n_users,)."""
        utility = self.parameters.document_quality_factor * quality
        if self.parameters.user_quality_factor:
            weights = self._choice_model.slate_weights(score[:, np.newaxis])[:, 0]
            utility += self.parameters.user_quality_factor * weights
        return utility

    def is_done(self, users: VectorIEvUsers) -> np.ndarray:
        """Says whose time budget is used up."""
        return users.time_budget <= 0

    def observe_users(self, users: VectorIEvUsers) -> np.ndarray:
        """Returns a copy of the interests, shape (n_users, n_topics)."""
        return users.interests.copy()

    def user_space(self) -> types.Space:
        """Returns the space of one user's interests."""
        space: types.Space = spaces_lib.stacked_space(self._user_space, None)
        return space

    def observe_responses(self, responses: VectorIEvResponses) -> dict[str, np.ndarray]:
        """Returns ``click``, ``watch_time``, ``liked``, ``quality`` and ``cluster_id``."""
        return {
            "click": responses.clicked.astype(np.int32),
            "watch_time": responses.watch_time,
            "liked": np.zeros(responses.clicked.shape, np.int32),
            "quality": responses.quality,
            "cluster_id": responses.cluster_id,
        }

    def response_space(self) -> types.Space:
        """Returns the space of one user's responses."""
        space: types.Space = spaces_lib.stacked_space(self._response_space, self.slate_size)
        return space


def total_watch_time(responses: VectorIEvResponses) -> np.ndarray:
    """Returns the times watched of what was clicked: the rewards, shape (n_users,)."""
    watch_time: np.ndarray = responses.watch_time.sum(axis=1)
    return watch_time
