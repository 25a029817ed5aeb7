"""Interest evolution for users in parallel who click several videos of a slate."""

from __future__ import annotations

import numpy as np

from recsim import choice_model
from recsim._internal import arrays
from recsim.environments.interest_evolution import _dynamics
from recsim.environments.interest_evolution._vectorized import (
    VectorIEvDocuments,
    VectorIEvResponses,
    VectorIEvUserModel,
    VectorIEvUsers,
)
from recsim.vector import streams

__all__ = ["VectorIEvMultiClickUserModel"]


class VectorIEvMultiClickUserModel(VectorIEvUserModel):
    """Users as those of :class:`VectorIEvUserModel` who watch all that they click, in order.

    Args:
        parameters: the scenario's parameters, with a choice model of several clicks.
        slate_size: number of documents in a slate.
        user_space: the space of one user's observation.
        response_space: the space of the observation of one response.
    """

    _choice_model: choice_model.MultiClickChoiceModel

    def choose(
        self, users: VectorIEvUsers, documents: VectorIEvDocuments, stream: streams.RandomStream
    ) -> np.ndarray:
        """Returns which videos users click while time is left, shape (n_users, slate_size)."""
        scores = arrays.take_along_rows(users.interests, documents.cluster_id)
        uniform = stream.uniform(self._choice_model.numbers_per_position * self.slate_size)
        wanted = self._choice_model.sampled_clicks(scores, uniform)
        return self._watched(users, documents, wanted)[0]

    def respond(
        self,
        users: VectorIEvUsers,
        documents: VectorIEvDocuments,
        choice: np.ndarray,
        stream: streams.RandomStream,
    ) -> VectorIEvResponses:
        """See :meth:`recsim.vector.scenario.VectorUserModel.respond`."""
        del stream
        _, watch_time, _ = self._watched(users, documents, choice)
        return VectorIEvResponses(choice, watch_time, documents.quality, documents.cluster_id)

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
        _, _, left = self._watched(users, documents, choice)
        uniform = stream.uniform(self.slate_size)
        positions = arrays.row_positions(documents.cluster_id, parameters.num_topics)
        interests = users.interests.reshape(-1)
        for position, of_topics in enumerate(positions):
            interest = interests.take(of_topics)
            moved = _dynamics.updated_interests(
                interest[:, np.newaxis],
                np.ones_like(interest)[:, np.newaxis],
                uniform[:, position],
                parameters.alpha_x_intercept,
                parameters.alpha_y_intercept,
            )[:, 0]
            interests[of_topics] = np.where(choice[:, position], moved, interest)
        penalty = users.time_budget - parameters.step_penalty
        users.time_budget = np.where(choice.any(axis=1), left, penalty)
        return users

    def _watched(
        self, users: VectorIEvUsers, documents: VectorIEvDocuments, wanted: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns what is clicked of what users want, for how long, and the time left after it.

        Args:
            users: the users, as they were when the slates were shown.
            documents: the videos of the slates.
            wanted: bools of shape (n_users, slate_size).
        """
        parameters = self.parameters
        scores = arrays.take_along_rows(users.interests, documents.cluster_id)
        utility = parameters.document_quality_factor * documents.quality
        if parameters.user_quality_factor:
            utility += parameters.user_quality_factor * self._choice_model.clicks_if_seen(scores)
        clicked = arrays.empty_slates(wanted.shape, np.bool_)
        watch_time = arrays.empty_slates(wanted.shape, users.time_budget.dtype)
        left = users.time_budget
        for position in range(self.slate_size):
            clicks = wanted[:, position] & (left > 0)
            time = np.minimum(left, parameters.video_length) * clicks
            clicked[:, position], watch_time[:, position] = clicks, time
            left = _dynamics.updated_budget(
                left, time, utility[:, position], parameters.user_update_alpha
            )
        return clicked, watch_time, left
