"""An agent that recommends the documents most likely to be clicked, given the choice model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recsim import agent
from recsim import choice_model as cm

__all__ = ["GreedyPCTRAgent"]


class GreedyPCTRAgent(agent.AbstractEpisodicRecommenderAgent):
    """Recommends the documents of the highest predicted click-through rate, best first.

    It knows the user's choice model and a belief about the user's state, and is myopic: it learns
    nothing from responses.

    Args:
        action_space: the ``MultiDiscrete`` space of slates.
        belief_state: the user state that the documents are scored for, such as the average user.
        choice_model: the choice model that scores them; by default a new
            ``MultinomialLogitChoiceModel({'no_click_mass': 5})``.
    """

    def __init__(
        self,
        action_space: Any,
        belief_state: Any,
        choice_model: cm.AbstractChoiceModel | None = None,
    ) -> None:
        super().__init__(action_space)
        if choice_model is None:
            choice_model = cm.MultinomialLogitChoiceModel({"no_click_mass": 5})
        self._choice_model = choice_model
        self._belief_state = belief_state

    def step(  # type: ignore[override]  # An array is a slate too.
        self, reward: float, observation: agent.Observation
    ) -> np.ndarray:
        """Returns the best slate as integer indices into ``observation['doc']``.

        Raises:
            ValueError: if there are fewer documents than the slate has places.
        """
        del reward
        self._choice_model.score_documents(self._belief_state, observation["doc"].values())
        scores: Any = self._choice_model.scores
        return self.findBestDocuments(scores)

    def findBestDocuments(self, scores: ArrayLike) -> np.ndarray:
        """Returns the indices of the ``slate_size`` highest scores, highest first.

        Documents of equal score keep their order.

        Args:
            scores: the documents' scores, shape (num_docs,).

        Raises:
            ValueError: if there are fewer scores than the slate has places.
        """
        scores = np.asarray(scores)
        if len(scores) < self._slate_size:
            raise ValueError(
                f"slate_size must be at most the number of documents, got a slate of "
                f"{self._slate_size} and {len(scores)} documents."
            )
        return np.argsort(-scores, kind="stable")[: self._slate_size]
