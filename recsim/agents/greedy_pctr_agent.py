"""An agent that recommends the documents most likely to be clicked, given the choice model."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recsim import agent, types
from recsim import choice_model as cm
from recsim._internal import action_masks, arrays, numbers, observations, trees
from recsim.agents import _propensities
from recsim.agents._action_masks.allowed_slates import AllowedSlates
from recsim.vector import agent as vector_agent

__all__ = ["GreedyPCTRAgent", "VectorGreedyPCTRAgent", "create_agent", "create_vector_agent"]

#: What a user clicks if nothing else is said.
_DEFAULT_CHOICE_FEATURES = {"no_click_mass": 5}

# Choice models in which documents' weights are in the same proportions in every slate.
_INDEPENDENT = (cm.MultinomialLogitChoiceModel, cm.MultinomialProportionalChoiceModel)


class GreedyPCTRAgent(agent.AbstractEpisodicRecommenderAgent):
    """Recommends the documents of the highest predicted click-through rate, best first.

    It knows the user's choice model and a belief about the user's state, and is myopic: it learns
    nothing from responses. Where documents have an ``action_mask``, the slate is that of the
    highest sum among those that it allows.

    Args:
        action_space: the ``MultiDiscrete`` space of slates.
        belief_state: the user state that the documents are scored for, such as the average user.
        choice_model: the choice model that scores them; by default a new
            ``MultinomialLogitChoiceModel({'no_click_mass': 5})``.
        observation_space: space of the observations, which :meth:`save` needs.
    """

    def __init__(
        self,
        action_space: types.SlateSpace,
        belief_state: object,
        choice_model: cm.AbstractChoiceModel | None = None,
        *,
        observation_space: types.DictSpace | None = None,
    ) -> None:
        super().__init__(action_space)
        self._keep_space(observation_space)
        if choice_model is None:
            choice_model = cm.MultinomialLogitChoiceModel(_DEFAULT_CHOICE_FEATURES)
        self._choice_model = choice_model
        self._belief_state = belief_state

    def step(self, reward: float, observation: types.Observation) -> np.ndarray:
        """Returns the best slate as integer indices into ``observation['doc']``.

        Raises:
            ValueError: if there are fewer documents than the slate has places.
        """
        del reward
        documents = observations.entry(observation, "doc")
        allowed = AllowedSlates.of(observation, self._slate_size)
        features = action_masks.documents_without(documents)
        self._choice_model.score_documents(self._belief_state, features.values())
        scores: Any = self._choice_model.scores
        if allowed is None:
            return self.findBestDocuments(scores)
        finite = numbers.finite_per_item("scores", scores, 1)
        return allowed.best(finite[np.newaxis]).reshape(-1)

    def propensities(
        self, observation: types.Observation, slate: types.Slate
    ) -> types.Propensities:
        """See :meth:`recsim.types.KnowsPropensities.propensities`."""
        return _propensities.deterministic(slate, self.step(0.0, observation))

    def findBestDocuments(self, scores: ArrayLike) -> np.ndarray:
        """Returns the indices of the ``slate_size`` highest scores, highest first.

        Documents of equal score keep their order.

        Args:
            scores: the documents' scores, shape (num_docs,).

        Raises:
            ValueError: if there are fewer scores than the slate has places.
        """
        scores = numbers.one_per_item("scores", numbers.array("scores", scores), 1)
        if np.isnan(scores).any():
            raise ValueError(f"scores must be numbers without NaN, got {scores.tolist()}.")
        if scores.dtype.kind in "ub":  # They have no negative.
            scores = scores.astype(np.float64)
        if len(scores) < self._slate_size:
            raise ValueError(
                f"slate_size must be at most the number of documents (of scores), got a slate of "
                f"{self._slate_size} and {len(scores)} documents."
            )
        return np.argsort(-scores, kind="stable")[: self._slate_size]

    def explain(self, observation: types.Observation) -> types.Explanation:
        """See :meth:`recsim.types.Explains.explain`.

        The predicted click of a candidate is the probability that the user of the belief clicks it
        in a slate of its own. There is none where the choice model's scores are not probabilities
        or weights of them.
        """
        observed = observations.entry(observation, "doc")
        documents = list(action_masks.documents_without(observed).values())
        # A copy, for scores remain in a choice model.
        choice_model = copy.copy(self._choice_model)
        choice_model.score_documents(self._belief_state, documents)
        columns = {"score": np.array(choice_model.scores, np.float64).reshape(-1)}
        if isinstance(choice_model, cm.NormalizableChoiceModel):
            columns["predicted click"] = self._predicted_clicks(choice_model, documents)
        return types.Explanation(
            "Greedy: the candidates of the highest score, for the user that it believes in.",
            [types.ExplanationTable("candidate", range(len(documents)), columns)],
        )

    def _predicted_clicks(
        self, choice_model: cm.AbstractChoiceModel, documents: Sequence[object]
    ) -> np.ndarray:
        """Returns the probabilities of clicks on documents that are shown alone."""
        # Weights that do not depend on the other documents are good for slates of one.
        if type(choice_model) in _INDEPENDENT or len(documents) == 1:
            scores = np.array(choice_model.scores, np.float64).reshape(-1)
            total = scores + numbers.as_float("score_no_click", choice_model.score_no_click)
            clicks: np.ndarray = np.full(len(scores), np.nan)
            np.divide(scores, total, out=clicks, where=total > 0)
            return clicks
        found = []
        for document in documents:
            choice_model.score_documents(self._belief_state, [document])
            found.append(self._predicted_clicks(choice_model, [document]))
        return np.concatenate(found)

    def serving(self) -> agent.Serving:
        """See :meth:`recsim.agent.AbstractRecommenderAgent.serving`."""
        return dataclasses.replace(
            super().serving(),
            settings={"belief_state": self._belief_state, "choice_model": self._choice_model},
            response_fields=(),
            any_slate_size=True,
            any_number_of_items=True,
        )

    def user_state(self) -> None:
        """Returns None: it knows nothing of users."""

    def load_user_state(self, state: None) -> None:
        """Does nothing."""


class VectorGreedyPCTRAgent(vector_agent.ChunkedVectorAgent):
    """Recommends to users in parallel the documents of the highest predicted click-through rate.

    Args:
        environment: the environment to recommend in.
        score_documents_fn: function of ``observation['doc']`` that returns scores of shape
            (n_users, num_candidates), such as those that the average user gives
            (``environment.user_model.average_user_scores`` in interest exploration).
        choice_model: the choice model that makes weights of scores; by default a new
            ``MultinomialLogitChoiceModel({'no_click_mass': 5})``.
        belief_state: the user state whose scores they are, which :meth:`save` needs.
    """

    def __init__(
        self,
        environment: vector_agent.UsersAndSpaces,
        score_documents_fn: Callable[[Any], np.ndarray],
        choice_model: cm.NormalizableChoiceModel | None = None,
        *,
        belief_state: object = None,
    ) -> None:
        super().__init__(environment)
        self._belief_state = belief_state
        if choice_model is None:
            choice_model = cm.MultinomialLogitChoiceModel(_DEFAULT_CHOICE_FEATURES)
        self._choice_model = choice_model
        self._score_documents_fn = score_documents_fn

    def single_user_agent(self) -> GreedyPCTRAgent:
        """See :meth:`recsim.vector.agent.AbstractVectorAgent.single_user_agent`.

        Raises:
            TypeError: if the agent was made without a ``belief_state``.
        """
        if self._belief_state is None:
            raise TypeError(
                "VectorGreedyPCTRAgent must be made with a belief_state to be saved: the user "
                "state that score_documents_fn scores documents for."
            )
        return GreedyPCTRAgent(
            self._made_for[1],
            self._belief_state,
            self._choice_model,
            observation_space=self._single_user_space(),
        )

    def _slates_of_chunks(self, observation: types.Observation) -> Iterator[np.ndarray]:
        for rows in self._rows:
            yield self._best_slates(trees.rows_of(observation["doc"], rows))

    def propensities(
        self, observation: types.Observation, slate: types.Slate
    ) -> types.Propensities:
        """See :meth:`recsim.types.KnowsPropensities.propensities`."""
        self._check_users(observation)
        best = arrays.joined(list(self._slates_of_chunks(observation)))
        return _propensities.deterministic(slate, best)

    def _best_slates(self, documents: object) -> np.ndarray:
        masks = action_masks.observed(documents, self._slate_size)
        features = action_masks.documents_without(documents)
        weights = self._choice_model.choice_weights(self._score_documents_fn(features))
        if masks is not None:
            return AllowedSlates(masks).best(weights[:, :-1])
        # A copy without the weights of no click, to overwrite.
        return arrays.highest(np.array(weights[:, :-1], order="C"), self._slate_size)


def create_agent(environment: types.RecommenderEnv, *, seed: int | None = None) -> GreedyPCTRAgent:
    """Makes an agent that ranks for the average user of an environment.

    Args:
        environment: the environment, whose user model has an ``avg_user_state``, and may have an
            ``avg_choice_model`` that makes weights of its scores.
        seed: not used: nothing is random.

    Raises:
        ValueError: if the user model has none.
    """
    del seed
    user_model: Any = environment.environment.user_model
    if not hasattr(user_model, "avg_user_state"):
        raise ValueError(
            f"the user model needs an avg_user_state to rank for, which {type(user_model).__name__}"
            " does not have."
        )
    space: Any = environment.action_space
    return GreedyPCTRAgent(
        space,
        user_model.avg_user_state,
        getattr(user_model, "avg_choice_model", None),
        observation_space=environment.observation_space,
    )


def create_vector_agent(
    environment: types.VectorEnv, *, seed: int | None = None
) -> VectorGreedyPCTRAgent:
    """Makes an agent that ranks for the average user of an environment of users in parallel.

    Args:
        environment: the environment, whose user model has ``average_user_scores``.
        seed: not used: nothing is random.

    Raises:
        ValueError: if the user model has none.
    """
    del seed
    user_model = getattr(environment.unwrapped, "user_model", environment.unwrapped)
    if not hasattr(user_model, "average_user_scores"):
        raise ValueError(
            "the user model needs average_user_scores to rank by, which "
            f"{type(user_model).__name__} does not have."
        )
    return VectorGreedyPCTRAgent(
        environment,
        user_model.average_user_scores,
        getattr(user_model, "avg_choice_model", None),
        belief_state=getattr(user_model, "avg_user_state", None),
    )
