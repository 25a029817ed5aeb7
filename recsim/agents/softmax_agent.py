"""Agents that recommend at random, documents of higher scores more often.

A slate is filled position by position: each is given to one of the documents that are left, with
probabilities proportional to ``exp(score / temperature)``, and which an ``action_mask`` lets stand
there, where documents have one. Slates then have the distribution of
Plackett (1975) and Luce (1959), and the agents know its probabilities: of slates, and of documents
at positions.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from recsim import agent, choice_model, types
from recsim import spaces as spaces_lib
from recsim._internal import action_masks, arrays, numbers, observations, trees, validation
from recsim._internal.configurable import configurable
from recsim.agents import _propensities
from recsim.agents._action_masks import masked_propensities
from recsim.agents._action_masks.allowed_slates import AllowedSlates
from recsim.vector import agent as vector_agent

__all__ = [
    "ScoreDocuments",
    "SoftmaxAgent",
    "VectorSoftmaxAgent",
    "create_agent",
    "create_vector_agent",
    "first_features",
    "inner_products",
    "scores_by_state",
    "scores_of_documents",
]

#: A function of an observation that returns a score for each document: of shape (num_candidates,),
#: or (n_users, num_candidates) of users in parallel.
ScoreDocuments = Callable[[types.Observation], Any]


class _ScoresDocuments(Protocol):
    """A user state that choice models take, such as that of the average user."""

    def score_document(self, doc_obs: object) -> float:
        """Returns the score of a document."""


def inner_products(observation: types.Observation) -> np.ndarray:
    """Returns the inner products of documents' and users' features, which both are arrays.

    Args:
        observation: of one user, or of users in parallel.

    Returns:
        Array of shape (num_candidates,), or (n_users, num_candidates).
    """
    documents: Any = observations.entry(observation, "doc")
    user = np.asarray(observations.entry(observation, "user"))
    if not isinstance(documents, np.ndarray):
        documents = np.array(list(documents.values()))
    products: np.ndarray = np.matmul(documents, user[..., np.newaxis])[..., 0]
    return products


def first_features(observation: types.Observation) -> np.ndarray:
    """Returns the only feature of each document, where documents are arrays of one number."""
    documents: Any = observations.entry(observation, "doc")
    if not isinstance(documents, np.ndarray):
        documents = np.array(list(documents.values()))
    features: np.ndarray = documents.reshape(documents.shape[:-1])
    return features


def _of_average_user(
    score_documents: Callable[[Any], np.ndarray], observation: types.Observation
) -> np.ndarray:
    return score_documents(observations.entry(observation, "doc"))


def scores_by_state(state: _ScoresDocuments, observation: types.Observation) -> np.ndarray:
    """Returns the scores that a user state gives documents.

    Args:
        state: the user state.
        observation: of one user.

    Returns:
        Array of shape (num_candidates,).
    """
    documents: Any = observations.entry(observation, "doc")
    return np.array([state.score_document(document) for document in documents.values()])


def scores_of_documents(user_model: object, observation_space: types.DictSpace) -> ScoreDocuments:
    """Returns scores for the documents of a scenario, of whatever it offers.

    They are the scores that the average user gives, where the user model has an
    ``avg_user_state``, or ``average_user_scores`` in the vector engine; else the inner products of
    users' and documents' features, where these are arrays of one size; else the documents' only
    feature, where they have one.

    Args:
        user_model: the user model of an environment of either engine.
        observation_space: the space of one user's observations.

    Raises:
        ValueError: if there is nothing of that.
    """
    if hasattr(user_model, "average_user_scores"):
        return functools.partial(_of_average_user, user_model.average_user_scores)
    if hasattr(user_model, "avg_user_state"):
        return functools.partial(scores_by_state, user_model.avg_user_state)
    observations.check_space(observation_space, "user", "doc")
    parts = observation_space.spaces
    document: Any = next(iter(observations.spaces_of_documents(parts["doc"]).values()))
    document = action_masks.space_of_features(document)
    user: Any = parts["user"]
    if spaces_lib.kind_of(document) == "Box" and len(document.shape) == 1:
        if spaces_lib.kind_of(user) == "Box" and user.shape == document.shape:
            return inner_products
        if document.shape == (1,):
            return first_features
    raise ValueError(
        "there is nothing to score documents by: the user model has no avg_user_state, and the "
        f"features of users and documents, {user} and {document}, are not arrays of one size. Make "
        "a SoftmaxAgent with a score_documents_fn of your own."
    )


@configurable()
class SoftmaxAgent(agent.AbstractEpisodicRecommenderAgent):
    """Recommends a random slate, documents of higher scores with higher probabilities.

    Args:
        action_space: the ``MultiDiscrete`` space of slates.
        score_documents_fn: function of an observation that returns the documents' scores, shape
            (num_candidates,), such as :func:`inner_products`.
        temperature: what scores are divided by, above 0: the higher, the more alike the
            probabilities.
        random_seed: seed of the agent's generator.
        observation_space: space of the observations, which :meth:`save` needs.

    Example:
        >>> from recsim.environments import interest_evolution
        >>> env = interest_evolution.create_environment(
        ...     {"num_candidates": 4, "slate_size": 2, "resample_documents": True, "seed": 0})
        >>> softmax = SoftmaxAgent(env.action_space, inner_products)
        >>> observation = env.reset()
        >>> slate = softmax.begin_episode(observation)
        >>> bool(0.0 < softmax.propensities(observation, slate).slate < 1.0)
        True
    """

    def __init__(
        self,
        action_space: types.SlateSpace,
        score_documents_fn: ScoreDocuments,
        temperature: float = 1.0,
        random_seed: int | None = 0,
        *,
        observation_space: types.DictSpace | None = None,
    ) -> None:
        super().__init__(action_space)
        self._keep_space(observation_space)
        self._score_documents_fn = validation.function("score_documents_fn", score_documents_fn)
        self._temperature = validation.positive_float("temperature", temperature)
        self._rng = validation.random_state("random_seed", random_seed)

    @property
    def temperature(self) -> float:
        """What scores are divided by."""
        return self._temperature

    def step(self, reward: float, observation: types.Observation) -> np.ndarray:
        """Returns ``slate_size`` indices into ``observation['doc']``.

        Raises:
            ValueError: if scores are not finite, or fewer than the slate has places.
        """
        del reward
        scores = self._scores(observation)
        allowed = AllowedSlates.of(observation, self._slate_size)
        if allowed is not None:
            uniforms = self._rng.random_sample((1, self._slate_size))
            slates = allowed.sample(scores[np.newaxis], uniforms)
            return slates.reshape(-1)
        # The order of scores with noise of Gumbel's distribution is that of sampling in turn.
        noisy = scores + self._rng.gumbel(size=len(scores))
        return np.argsort(-noisy, kind="stable")[: self._slate_size]

    def _scores(self, observation: types.Observation) -> np.ndarray:
        number = len(observations.entry(observation, "doc"))
        features = _without_masks(observation)
        scores = numbers.finite_per_item("scores", self._score_documents_fn(features), 1)
        if scores.shape != (number,) or number < self._slate_size:
            raise ValueError(
                f"score_documents_fn must return a score for each of the {number} documents, of "
                f"which a slate takes {self._slate_size}, got scores of shape {scores.shape}."
            )
        return scores.astype(np.float64) / self._temperature

    def propensities(
        self, observation: types.Observation, slate: types.Slate
    ) -> types.Propensities | None:
        """See :meth:`recsim.types.KnowsPropensities.propensities`."""
        scores = self._scores(observation)
        allowed = AllowedSlates.of(observation, self._slate_size)
        return _propensities.if_known(masked_propensities.plackett_luce(slate, scores, allowed))

    def explain(self, observation: types.Observation) -> types.Explanation:
        """See :meth:`recsim.types.Explains.explain`."""
        scores = self._scores(observation)
        allowed = AllowedSlates.of(observation, self._slate_size)
        first = np.ones(len(scores), np.bool_)
        if allowed is not None:
            first = allowed.open(0, np.zeros((1, len(scores)), np.bool_))[0]
        probabilities = np.zeros(len(scores))
        probabilities[first] = choice_model.softmax(scores[first])
        columns = {
            "score": scores * self._temperature,
            "probability of the first position": probabilities,
        }
        return types.Explanation(
            "Softmax: positions at random, higher scores with higher probabilities.",
            [types.ExplanationTable("candidate", range(len(scores)), columns)],
            {"temperature": self._temperature},
        )

    def serving(self) -> agent.Serving:
        """See :meth:`recsim.agent.AbstractRecommenderAgent.serving`."""
        return dataclasses.replace(
            super().serving(),
            settings={
                "score_documents_fn": self._score_documents_fn,
                "temperature": self._temperature,
            },
            response_fields=(),
            any_slate_size=True,
            any_number_of_items=True,
        )

    def user_state(self) -> None:
        """Returns None: it knows nothing of users."""

    def load_user_state(self, state: None) -> None:
        """Does nothing."""


class VectorSoftmaxAgent(vector_agent.ChunkedVectorAgent):
    """Recommends to users in parallel as a :class:`SoftmaxAgent` does to one.

    Args:
        environment: the environment to recommend in.
        score_documents_fn: function of an observation that returns the documents' scores, shape
            (n_users, num_candidates), such as :func:`inner_products`. It is given the users of a
            chunk at a time.
        temperature: what scores are divided by, above 0; None for what :class:`SoftmaxAgent` has,
            whose gin bindings count here too.
        random_seed: seed of the slates, an integer >= 0.
        score_of_one_user_fn: the function of :class:`SoftmaxAgent` that scores alike, which
            :meth:`save` needs where ``score_documents_fn`` does not take observations of one user.
    """

    def __init__(
        self,
        environment: vector_agent.UsersAndSpaces,
        score_documents_fn: ScoreDocuments,
        temperature: float | None = None,
        random_seed: int = 0,
        *,
        score_of_one_user_fn: ScoreDocuments | None = None,
    ) -> None:
        super().__init__(environment)
        self._score_of_one_user_fn = score_of_one_user_fn or score_documents_fn
        self._score_documents_fn = validation.function("score_documents_fn", score_documents_fn)
        given: dict[str, Any] = {} if temperature is None else {"temperature": temperature}
        of_one_user = SoftmaxAgent(environment.single_action_space, score_documents_fn, **given)
        self._temperature = of_one_user.temperature
        self._random_seed = validation.positive_int("random_seed", random_seed, 0)
        self._make_streams(random_seed, "softmax agent", np.float64)

    def single_user_agent(self) -> SoftmaxAgent:
        """See :meth:`recsim.vector.agent.AbstractVectorAgent.single_user_agent`."""
        return SoftmaxAgent(
            self._made_for[1],
            self._score_of_one_user_fn,
            self._temperature,
            self._random_seed,
            observation_space=self._single_user_space(),
        )

    def _slates_of_chunks(self, observation: types.Observation) -> Iterator[np.ndarray]:
        masks = action_masks.observed(observation["doc"], self._slate_size)
        for stream, rows in zip(self._streams, self._rows, strict=True):
            if masks is not None:
                uniforms = stream.uniform(self._slate_size)
                yield AllowedSlates(masks[rows]).sample(self._scores(observation, rows), uniforms)
                continue
            # A uniform number may be 0, and is below 1.
            noise = -np.log1p(-stream.uniform(self._num_candidates))
            with np.errstate(divide="ignore"):
                np.log(noise, out=noise)
            scores = self._scores(observation, rows)
            scores -= np.maximum(noise, -700.0, out=noise)
            yield arrays.highest(np.ascontiguousarray(scores), self._slate_size)

    def _scores(self, observation: types.Observation, rows: slice) -> np.ndarray:
        of_rows = trees.rows_of({key: observation[key] for key in ("user", "doc")}, rows)
        features = _without_masks(of_rows)
        scores = numbers.finite_per_item("scores", self._score_documents_fn(features), 2)
        expected = (rows.stop - rows.start, self._num_candidates)
        if scores.shape != expected:
            raise ValueError(
                "score_documents_fn must return scores of the shape (n_users, num_candidates) = "
                f"{expected}, got scores of shape {scores.shape}."
            )
        return scores.astype(np.float64) / self._temperature

    def propensities(
        self, observation: types.Observation, slate: types.Slate
    ) -> types.Propensities | None:
        """See :meth:`recsim.types.KnowsPropensities.propensities`."""
        self._check_users(observation)
        scores = np.concatenate([self._scores(observation, rows) for rows in self._rows])
        allowed = AllowedSlates.of(observation, self._slate_size)
        return _propensities.if_known(masked_propensities.plackett_luce(slate, scores, allowed))


def _without_masks(observation: types.Observation) -> types.Observation:
    """Returns an observation whose documents are as they were before masks were added."""
    documents = observation["doc"]
    features = action_masks.documents_without(documents)
    return observation if features is documents else {**observation, "doc": features}


def create_agent(environment: types.RecommenderEnv, *, seed: int | None = 0) -> SoftmaxAgent:
    """Makes an agent for an environment, by the scores of :func:`scores_of_documents`.

    Raises:
        ValueError: if the scenario offers no scores.
    """
    model = environment.environment.user_model
    scores = scores_of_documents(model, environment.observation_space)
    space: Any = environment.action_space
    observation_space = environment.observation_space
    return SoftmaxAgent(space, scores, random_seed=seed, observation_space=observation_space)


def create_vector_agent(environment: types.VectorEnv, *, seed: int = 0) -> VectorSoftmaxAgent:
    """Makes an agent for an environment of users in parallel, as :func:`create_agent` does.

    Raises:
        ValueError: if the scenario offers no scores.
    """
    model = getattr(environment.unwrapped, "user_model", environment.unwrapped)
    space = spaces_lib.single_user_space(environment.single_observation_space)
    scores = of_one = scores_of_documents(model, space)
    if hasattr(model, "average_user_scores") and hasattr(model, "avg_user_state"):
        of_one = functools.partial(scores_by_state, model.avg_user_state)
    return VectorSoftmaxAgent(environment, scores, random_seed=seed, score_of_one_user_fn=of_one)
