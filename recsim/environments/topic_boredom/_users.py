"""The users of topic boredom one at a time: their state, sampler and model."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from recsim import types, user
from recsim._internal.gym_import import spaces
from recsim.environments.topic_boredom import _catalogue, _dynamics
from recsim.environments.topic_boredom._items import BoredomResponse
from recsim.environments.topic_boredom._parameters import TopicBoredomParameters

__all__ = ["BoredomUserModel", "BoredomUserSampler", "BoredomUserState"]

_MODULE = "recsim.environments.topic_boredom"  # Where pickles look for the classes.


class BoredomUserState(user.AbstractUserState):
    """A user: interests, the last clicks, and what topics bore.

    Args:
        parameters: the scenario's parameters.
        interests: a vector of length 1, shape (embedding_size,).
    """

    __module__ = _MODULE

    def __init__(self, parameters: TopicBoredomParameters, interests: np.ndarray) -> None:
        self._parameters = parameters
        self.interests = interests
        self.clicked_topics = np.zeros(parameters.clicks_remembered, np.int32)
        self.clicked_steps = np.full(parameters.clicks_remembered, _dynamics.NEVER, np.int32)
        self.next_click = np.zeros(1, np.int32)
        self.recent_clicks = np.zeros(parameters.num_topics, np.int32)
        self.bored = np.zeros(parameters.num_topics, np.bool_)
        self.boredom_timeout = np.full(parameters.num_topics, parameters.boredom_window, np.int32)
        #: Number of slates seen, that before the episode included.
        self.time = 0

    @property
    def shown_interests(self) -> np.ndarray:
        """The interests as boredom leaves them, shape (embedding_size,)."""
        return _dynamics.shown_interests(
            self.interests, self.bored, self._parameters.boredom_effect
        )

    def relevances(self, embedding: np.ndarray) -> np.ndarray:
        """Returns how relevant items are, in [0, 1].

        Args:
            embedding: their topics, shape (n_items, embedding_size).
        """
        parameters = self._parameters
        relevance = _dynamics.relevances(
            _dynamics.item_scores(self.shown_interests, embedding),
            parameters.relevance,
            parameters.relevance_offset,
            parameters.relevance_slope,
        )
        return relevance * parameters.bored_relevance_factor ** int(self.bored.sum())

    def score_document(self, doc_obs: Mapping[str, Any]) -> float:
        """Returns how likely an item alone on a slate is clicked if it is looked at."""
        return float(self.score_documents([doc_obs])[0])

    def score_documents(self, doc_obs: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Returns how likely items of a slate are clicked where they are looked at."""
        parameters = self._parameters
        return _dynamics.attractions(
            self.relevances(np.array([doc["embedding"] for doc in doc_obs])),
            np.array([doc["cluster_id"] for doc in doc_obs]),
            parameters.attraction_factor,
            parameters.same_topic_limit,
            parameters.same_topic_penalty,
        )

    def see(self, clicked: np.ndarray, embedding: np.ndarray, topics: np.ndarray) -> None:
        """Changes the user by a slate.

        Args:
            clicked: which items were clicked, bools of shape (slate_size,).
            embedding: their topics, shape (slate_size, embedding_size).
            topics: their main topics, shape (slate_size,).
        """
        parameters = self._parameters
        one = np.newaxis
        clicks = _dynamics.clicks_of(clicked[one])
        _dynamics.remember_clicks(
            (self.clicked_topics[one], self.clicked_steps[one], self.next_click),
            clicks,
            topics[one],
            np.array([self.time]),
        )
        self.time += 1
        self.recent_clicks = _dynamics.clicks_by_topic(
            self.clicked_topics[one],
            self.clicked_steps[one],
            np.array([self.time - parameters.boredom_window]),
            parameters.num_topics,
        )[0]
        self.bored, self.boredom_timeout = _dynamics.boredom_after(
            self.bored,
            self.boredom_timeout,
            self.recent_clicks,
            parameters.boredom_threshold,
            parameters.boredom_window,
        )
        self.interests = _dynamics.interests_after(
            self.interests[one],
            clicks,
            embedding[one],
            parameters.interest_memory,
            parameters.drift,
            parameters.topics_that_sum_to_one,
        )[0]

    def create_observation(self) -> np.ndarray:
        """Returns the shares of recent clicks, and the hidden state if it is to be observed."""
        parameters = self._parameters
        recent = np.minimum(self.recent_clicks / parameters.boredom_threshold, 1.0)
        if not parameters.observe_user_state:
            return recent
        timeout = self.boredom_timeout / parameters.boredom_window
        return np.concatenate([self.shown_interests, recent, timeout])

    @staticmethod
    def space_of(parameters: TopicBoredomParameters) -> spaces.Box:
        """Returns the space of the observations of users with these parameters."""
        size = parameters.num_topics
        if parameters.observe_user_state:
            size += parameters.embedding_size + parameters.num_topics
        return spaces.Box(low=0.0, high=1.0, shape=(size,), dtype=np.float32)

    def observation_space(self) -> spaces.Box:  # type: ignore[override]
        """Returns the space of the observations."""
        return self.space_of(self._parameters)


class BoredomUserSampler(user.AbstractUserSampler):
    """Samples users, who have seen one random slate of the whole catalogue already.

    Args:
        parameters: the scenario's parameters.
        slate_size: number of items in that slate.
        user_ctor: class of the user states.
        seed: see :class:`recsim.user.AbstractUserSampler`.
    """

    __module__ = _MODULE

    def __init__(
        self,
        parameters: TopicBoredomParameters,
        slate_size: int,
        user_ctor: Callable[..., Any] = BoredomUserState,
        seed: int | None = 0,
    ) -> None:
        self.parameters = parameters
        self._slate_size = slate_size
        self._choice_model = parameters.create_choice_model(slate_size)
        sizes, cumulative = _dynamics.num_topics_distribution(
            parameters.num_topics, parameters.topics_per_user
        )
        self._sizes: list[int] = sizes.tolist()
        self._cumulative_sizes: list[float] = cumulative.tolist()
        super().__init__(user_ctor, seed)

    def sample_user(self) -> types.UserState:
        """Returns a new user state."""
        uniform, parameters = self._rng.random_sample, self.parameters
        num_topics = parameters.num_topics
        if parameters.embeddings == "few_topics":
            size = self._sizes[bisect.bisect_right(self._cumulative_sizes, uniform())]
            values, order = uniform(parameters.embedding_size), uniform(num_topics)
            interests = _dynamics.sampled_interests(values, order, np.array(size))
        else:
            normals = self._rng.standard_normal(parameters.embedding_size)
            interests = _dynamics.sampled_users(normals, uniform(num_topics))
        state: Any = self._user_ctor(parameters, interests)
        catalogue = _catalogue.catalogue_of(parameters)
        items = self._rng.randint(0, parameters.num_items, self._slate_size)
        embedding, topics = catalogue.embedding[items], catalogue.cluster_id[items]
        observed = [
            {"embedding": of_one, "cluster_id": topic} for of_one, topic in zip(embedding, topics)
        ]
        numbers = uniform(self._choice_model.numbers_per_position * self._slate_size)
        clicked = self._choice_model.sampled_clicks(state.score_documents(observed), numbers)
        state.see(clicked, embedding, topics)
        new: types.UserState = state
        return new


class BoredomUserModel(user.AbstractUserModel):
    """A user who clicks any number of items, and gets bored.

    Args:
        parameters: the scenario's parameters.
        slate_size: number of items in a slate.
        response_model_ctor: class of the responses.
        seed: seed of the sampler of users.
        user_sampler: a sampler to use in place of ``BoredomUserSampler(parameters, slate_size,
            seed=seed)``.
    """

    __module__ = _MODULE

    def __init__(
        self,
        parameters: TopicBoredomParameters,
        slate_size: int,
        response_model_ctor: Callable[..., Any] = BoredomResponse,
        seed: int | None = 0,
        *,
        user_sampler: user.AbstractUserSampler | None = None,
    ) -> None:
        sampler = user_sampler or BoredomUserSampler(parameters, slate_size, seed=seed)
        super().__init__(response_model_ctor, sampler, slate_size)
        self.parameters = parameters
        self.choice_model = parameters.create_choice_model(slate_size)
        #: How many topics the user was bored of when the last slate was shown.
        self.num_bored = 0
        self.use_generator(self.environment_rng)

    def is_terminal(self) -> bool:
        """Says whether the user has seen ``time_budget`` slates."""
        return bool(self._user_state.time > self.parameters.time_budget)

    def simulate_response(self, documents: Sequence[Any]) -> list[Any]:
        """Returns the responses to a slate of BoredomDocument, any number of which are clicks."""
        self.num_bored = int(self._user_state.bored.sum())
        observations = [doc.create_observation() for doc in documents]
        responses = [self._response_model_ctor() for _ in documents]
        for doc, response in zip(documents, responses):
            response.cluster_id = doc.cluster_id
            response.quality = doc.quality
        if documents:
            self.choice_model.score_documents(self._user_state, observations)
            for position in self.choice_model.choose_items():
                responses[position].clicked = True
        return responses

    def update_state(self, slate_documents: Sequence[Any], responses: Sequence[Any]) -> None:
        """Changes the user by the clicks on a slate."""
        parameters, size = self.parameters, len(slate_documents)
        self._user_state.see(
            np.array([response.clicked for response in responses], np.bool_),
            np.array([doc.embedding for doc in slate_documents]).reshape(
                size, parameters.embedding_size
            ),
            np.array([doc.cluster_id for doc in slate_documents], np.int32),
        )

    def click_probabilities(self, documents: Sequence[Any]) -> np.ndarray:
        """Returns how likely each document of a slate is clicked, shape (slate_size,)."""
        observations = [doc.create_observation() for doc in documents]
        return self.choice_model.click_probabilities(self._user_state.score_documents(observations))
