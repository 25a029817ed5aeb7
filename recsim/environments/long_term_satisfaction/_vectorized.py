"""Long-term satisfaction for users in parallel."""

from __future__ import annotations

import dataclasses

import numpy as np

from recsim import spaces as spaces_lib
from recsim import types
from recsim._internal import arrays
from recsim.environments.long_term_satisfaction import _dynamics
from recsim.environments.long_term_satisfaction._parameters import DocumentParameters, LTSParameters
from recsim.vector import scenario, streams

__all__ = [
    "VectorLTSDocumentSampler",
    "VectorLTSDocuments",
    "VectorLTSResponses",
    "VectorLTSUserModel",
    "VectorLTSUsers",
    "total_engagement",
]


@dataclasses.dataclass
class VectorLTSDocuments:
    """Documents of users in parallel."""

    clickbait_score: np.ndarray  # (n_users, n_docs), in [0, 1]


@dataclasses.dataclass
class VectorLTSUsers:
    """Users in parallel."""

    net_positive_exposure: np.ndarray  # (n_users,)
    time_budget: np.ndarray  # (n_users,): steps left.


@dataclasses.dataclass
class VectorLTSResponses:
    """The responses of users in parallel to their slates."""

    clicked: np.ndarray  # (n_users, slate_size), bool
    engagement: np.ndarray  # (n_users, slate_size): 0 where nothing was clicked.


class VectorLTSDocumentSampler(scenario.VectorDocumentSampler[VectorLTSDocuments]):
    """Samples documents as :class:`LTSDocumentSampler` does, for users in parallel.

    Args:
        parameters: how documents are distributed.
        document_space: the space of one document's observation.
    """

    def __init__(self, parameters: DocumentParameters, document_space: types.Space) -> None:
        self.parameters = parameters
        self._document_space = document_space

    def sample(self, stream: streams.RandomStream, num_documents: int) -> VectorLTSDocuments:
        """See :meth:`recsim.vector.scenario.VectorDocumentSampler.sample`."""
        scores = _dynamics.scaled_score(
            stream.uniform(num_documents),
            self.parameters.min_clickbait_score,
            self.parameters.max_clickbait_score,
        )
        return VectorLTSDocuments(scores)

    def observe(self, documents: VectorLTSDocuments) -> np.ndarray:
        """Returns the clickbait scores, shape (n_users, n_docs, 1)."""
        return documents.clickbait_score[..., np.newaxis]

    def observation_space(self, num_documents: int) -> types.Space:
        """Returns the space of one user's documents."""
        space: types.Space = spaces_lib.stacked_space(self._document_space, num_documents)
        return space


class VectorLTSUserModel(
    scenario.VectorUserModel[VectorLTSUsers, VectorLTSDocuments, VectorLTSResponses]
):
    """Users as those of :class:`LTSUserModel`, many of them.

    Args:
        parameters: the scenario's parameters.
        slate_size: number of documents in a slate.
        user_space: the space of one user's observation.
        response_space: the space of the observation of one response.
    """

    def __init__(
        self,
        parameters: LTSParameters,
        slate_size: int,
        user_space: types.Space,
        response_space: types.Space,
    ) -> None:
        super().__init__(slate_size)
        self.parameters = parameters
        self._user_space = user_space
        self._response_space = response_space
        # Mean and standard deviation of the engagement with each, shape (2, 1).
        self._choc = np.array([[parameters.choc_mean], [parameters.choc_stddev]])
        self._kale = np.array([[parameters.kale_mean], [parameters.kale_stddev]])

    def sample_users(self, stream: streams.RandomStream) -> VectorLTSUsers:
        """See :meth:`recsim.vector.scenario.VectorUserModel.sample_users`."""
        exposure = _dynamics.initial_net_positive_exposure(
            self.parameters.memory_discount,
            stream.uniform(),
            self.parameters.initial_exposure_scale,
        )
        return VectorLTSUsers(
            exposure, np.full(stream.num_users, float(self.parameters.time_budget))
        )

    def choose(
        self, users: VectorLTSUsers, documents: VectorLTSDocuments, stream: streams.RandomStream
    ) -> np.ndarray:
        """Returns zeros: users take the first document of their slates."""
        del documents, stream
        return np.zeros(len(users.time_budget), np.intp)

    def respond(
        self,
        users: VectorLTSUsers,
        documents: VectorLTSDocuments,
        choice: np.ndarray,
        stream: streams.RandomStream,
    ) -> VectorLTSResponses:
        """See :meth:`recsim.vector.scenario.VectorUserModel.respond`."""
        score = documents.clickbait_score[:, 0]
        with np.errstate(over="ignore"):  # In float32 users soon have a satisfaction of just 0.
            satisfied = _dynamics.satisfaction(
                users.net_positive_exposure, self.parameters.sensitivity
            )
        location, scale = _dynamics.interpolated(
            score, self._choc.astype(score.dtype), self._kale.astype(score.dtype)
        )
        log_engagements = _dynamics.log_engagement(location, scale, satisfied, stream.normal())
        clicked = scenario.clicked(choice, self.slate_size)
        engagement = arrays.empty_slates(clicked.shape, log_engagements.dtype)
        engagement[:, 0] = np.exp(log_engagements)
        engagement[:, 1:] = 0.0
        return VectorLTSResponses(clicked, engagement)

    def update(
        self,
        users: VectorLTSUsers,
        documents: VectorLTSDocuments,
        choice: np.ndarray,
        responses: VectorLTSResponses,
        stream: streams.RandomStream,
    ) -> VectorLTSUsers:
        """See :meth:`recsim.vector.scenario.VectorUserModel.update`."""
        parameters = self.parameters
        exposure = _dynamics.next_net_positive_exposure(
            users.net_positive_exposure,
            documents.clickbait_score[:, 0],
            parameters.memory_discount,
            parameters.innovation_stddev * stream.normal(),
        )
        return VectorLTSUsers(exposure, users.time_budget - 1)

    def is_done(self, users: VectorLTSUsers) -> np.ndarray | None:
        """Says whose time budget is used up; None if there is no end of it."""
        if self.parameters.time_budget > 2.0**53:  # Less a step, it is the same float.
            return None
        return users.time_budget <= 0

    def observe_users(self, users: VectorLTSUsers) -> np.ndarray:
        """Returns an array without entries: nothing of the users is observed."""
        exposure = users.net_positive_exposure
        return np.zeros((len(exposure), 0), exposure.dtype)

    def user_space(self) -> types.Space:
        """Returns the space of arrays without entries."""
        space: types.Space = spaces_lib.stacked_space(self._user_space, None)
        return space

    def observe_responses(self, responses: VectorLTSResponses) -> dict[str, np.ndarray]:
        """Returns ``click`` and ``engagement``."""
        return {
            "click": responses.clicked.astype(np.int32),
            "engagement": np.minimum(
                responses.engagement, self.parameters.max_engagement_magnitude
            ),
        }

    def response_space(self) -> types.Space:
        """Returns the space of one user's responses."""
        space: types.Space = spaces_lib.stacked_space(self._response_space, self.slate_size)
        return space


def total_engagement(responses: VectorLTSResponses) -> np.ndarray:
    """Returns the engagements with what was clicked: the rewards, shape (n_users,)."""
    engagement: np.ndarray = responses.engagement.sum(axis=1)
    return engagement
