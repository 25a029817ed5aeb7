"""Interest exploration: users of hidden types, whose niche interests must be found by exploring.

**Description.** Documents belong to topics and have a production quality. Users belong to types,
which differ in their affinity to topics; neither is observed. An agent that ranks by the click rate
of the average user serves the topics of high quality, which most users click, and never learns who
would rather see something else.

**Observation space.** Nothing of the user (an empty array); of a document its ``quality`` and its
topic, ``cluster_id``; of a response both, and ``click``.

**Action space.** A slate of ``slate_size`` candidates.

**Reward.** The number of clicks, 0 or 1 but with a choice model of several.

**Dynamics.** A user scores a document by the sum of the affinity to its topic and its quality, and
chooses by a multinomial logit model. Users do not change.

**Episode end.** None but a limit on the number of steps.

**Parameters**, which are entries of ``env_config`` (with their defaults) and attributes of
:class:`IEParameters`; qualities, affinities and the logit of no click are in the same unit:

- ``topic_distribution`` ((0.2, 0.8)): probabilities of the topics of documents, shape (n_topics,).
- ``topic_quality_mean`` ((0.8, 0.2)): means of the logarithm of a document's quality, shape
  (n_topics,).
- ``topic_quality_stddev`` ((0.1, 0.1)): its standard deviations, at least 0, shape (n_topics,).
- ``user_type_distribution`` ((0.3, 0.7)): probabilities of the user types, shape (n_types,).
- ``user_document_mean_affinity_matrix`` (((0.1, 0.7), (0.7, 0.1))): means of the logarithm of a
  user's affinity to a topic, shape (n_types, n_topics).
- ``user_document_stddev_affinity_matrix`` (((0.1, 0.1), (0.1, 0.1))): its standard deviations, at
  least 0, shape (n_types, n_topics).
- ``no_click_mass`` (5.0): the logit of no click; minus infinity for users who always click.
- ``choice_model`` ('multinomial_logit'): how users choose; or a model of several clicks,
  'position_based', 'dependent_click' or 'multi_click_cascade'. A document that is looked at is then
  clicked with the probability that it has alone on a slate by the multinomial logit model.
- ``examination_decay`` (0.85): probability of a look at a position over that at the one before, in
  [0, 1] (position-based model).
- ``attention_prob`` (1.0): probability of a look at a document that is reached (cascade).
- ``continue_after_click`` (0.5): probability of continuing to the next document after a click
  (dependent clicks, cascade).
- ``continue_after_skip`` (1.0): probability of continuing without one (cascade).

**References.** Ie et al., arXiv 1909.04847, section 5.1.

The functions are the scenario's mathematics on arrays with any leading axes; the classes call
them for one user, or for many.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from recsim import choice_model, document, types, user, utils
from recsim._internal import lazy, numbers
from recsim._internal.configurable import configurable
from recsim._internal.gym_import import spaces
from recsim.environments import _config
from recsim.environments.interest_exploration import _dynamics
from recsim.environments.interest_exploration._parameters import (
    DocumentParameters,
    IEParameters,
    UserParameters,
)
from recsim.simulator import recsim_gym

if TYPE_CHECKING:
    from recsim.environments.interest_exploration._vectorized import (
        VectorIEDocuments,
        VectorIEDocumentSampler,
        VectorIEResponses,
        VectorIEUserModel,
        VectorIEUsers,
    )
    from recsim.vector import env as vector_env

__all__ = [
    "CONFIG_KEYS",
    "IEClusterUserSampler",
    "IEDocument",
    "IEParameters",
    "IEResponse",
    "IETopicDocumentSampler",
    "IEUserModel",
    "IEUserState",
    "VectorIEDocumentSampler",
    "VectorIEDocuments",
    "VectorIEResponses",
    "VectorIEUserModel",
    "VectorIEUsers",
    "create_environment",
    "create_vector_environment",
    "document_scores",
    "parameters_of",
    "sampled_log_normal",
    "total_clicks_reward",
]

# What the vector engine needs loads at its first use.
__getattr__, __dir__ = lazy.lazy_submodules(
    __name__,
    (),
    {
        "VectorIEDocuments": "_vectorized",
        "VectorIEDocumentSampler": "_vectorized",
        "VectorIEResponses": "_vectorized",
        "VectorIEUserModel": "_vectorized",
        "VectorIEUsers": "_vectorized",
    },
)

# An array without entries can be handed out again and again: no one can change it.
_NOTHING = np.array([])
_USERS, _DOCUMENTS = UserParameters(), DocumentParameters()

#: The entries that a config may have beside those of every scenario: the parameters.
CONFIG_KEYS = _config.names_of(IEParameters)

# The formulas with checks of their arguments, which broadcast against each other.
sampled_log_normal: Callable[..., Any] = numbers.on_floats()(_dynamics.sampled_log_normal)


@numbers.on_floats("cluster_id")
def document_scores(
    topic_affinity: np.ndarray, cluster_id: ArrayLike, quality: ArrayLike
) -> np.ndarray:
    """Returns the users' scores of documents: affinity to the topic plus quality.

    Args:
        topic_affinity: affinities of shape (..., n_topics).
        cluster_id: topics in [0, n_topics), of shape (..., n_docs).
        quality: qualities of shape (..., n_docs).

    Returns:
        Scores of shape (..., n_docs).
    """
    topics = np.asarray(cluster_id)
    if topics.size and not 0 <= topics.min() <= topics.max() < topic_affinity.shape[-1]:
        raise IndexError(
            f"cluster_id must hold topics, 0 to {topic_affinity.shape[-1] - 1}, got others"
        )
    return _dynamics.document_scores(topic_affinity, topics, np.asarray(quality))


class IEUserModel(user.AbstractUserModel):
    """A user who does not change, and whose episode does not end by itself.

    Args:
        slate_size: number of documents in a slate.
        no_click_mass: the logit of no click.
        choice_model_ctor: class of the choice model, called with ``{'no_click_mass': …}``. With
            one of several clicks a document that is looked at is clicked with the probability that
            the multinomial logit model gives it alone.
        user_state_ctor: class of the user states, :class:`IEUserState` by default.
        response_model_ctor: class of the responses, such as :class:`IEResponse`.
        seed: seed of the sampler of users.
        user_sampler: a sampler to use in place of ``IEClusterUserSampler(user_state_ctor, seed)``.

    Raises:
        ValueError: if ``choice_model_ctor`` is None.
    """

    # The logit of no click where several documents may be clicked, None elsewhere.
    _no_click_mass: float | None = None

    def __init__(
        self,
        slate_size: int,
        no_click_mass: float = 5,
        choice_model_ctor: Callable[..., Any] = choice_model.MultinomialLogitChoiceModel,
        user_state_ctor: Callable[..., Any] | None = None,
        response_model_ctor: Callable[..., Any] | None = None,
        seed: int | None = 0,
        *,
        user_sampler: user.AbstractUserSampler | None = None,
    ) -> None:
        if choice_model_ctor is None:
            raise ValueError("choice_model_ctor must be a class of choice models, got None.")
        self._user_state_ctor = user_state_ctor or IEUserState
        sampler = user_sampler or IEClusterUserSampler(user_ctor=self._user_state_ctor, seed=seed)
        if hasattr(sampler, "num_topics"):
            _config.check_class_constant(
                response_model_ctor,
                IEResponse,
                "NUM_CLUSTERS",
                "user_document_mean_affinity_matrix",
                sampler.num_topics,
                is_default=user_sampler is None,
            )
        super().__init__(response_model_ctor, sampler, slate_size)  # type: ignore[arg-type]
        self.choice_model = choice_model_ctor({"no_click_mass": no_click_mass})
        if isinstance(self.choice_model, choice_model.MultiClickChoiceModel):
            self._no_click_mass = float(no_click_mass)
        self.use_generator(self.environment_rng)

    @property
    def avg_user_state(self) -> types.UserState:
        """The user with the mean affinities of the user types (their logarithms' means)."""
        sampler: Any = self._user_sampler
        state: types.UserState = self._user_state_ctor(sampler.avg_affinity_given_topic())
        return state

    def is_terminal(self) -> bool:
        """Returns False: only a limit on the number of steps ends an episode."""
        return False

    def update_state(self, slate_documents: Sequence[Any], responses: Sequence[Any]) -> None:
        """Does nothing: the user does not change."""

    def simulate_response(self, documents: Sequence[Any]) -> list[Any]:
        """Returns the responses to a slate of IEDocument, with the choice model's clicks."""
        responses = [self._response_model_ctor() for _ in documents]
        observations = [doc.create_observation() for doc in documents]
        if self._no_click_mass is None:
            self.choice_model.score_documents(self._user_state, observations)
            clicked = self.choice_model.choose_item()
            clicks = () if clicked is None else (clicked,)
        else:
            attracted = _Attracted(self._user_state, self._no_click_mass)
            self.choice_model.score_documents(attracted, observations)
            clicks = self.choice_model.choose_items()
        for doc, response in zip(documents, responses):
            response.quality = doc.quality
            response.cluster_id = doc.cluster_id
        for position in clicks:
            self._generate_response(documents[position], responses[position])
        return responses

    def _generate_response(self, doc: IEDocument, response: IEResponse) -> None:
        """Turns the response to a chosen document into a click."""
        response.clicked = True


class _Scores(Protocol):
    """A user who scores documents one by one."""

    def score_document(self, doc_obs: Mapping[str, Any]) -> float:
        """Returns the score of a document."""


class _Attracted:
    """A user whose scores are probabilities of clicks, for a choice model of several."""

    def __init__(self, state: _Scores, no_click_mass: float) -> None:
        self._state = state
        self._no_click_mass = no_click_mass

    def score_document(self, doc_obs: Mapping[str, Any]) -> float:
        """Returns how likely a document is clicked that is looked at."""
        scores = np.array([self._state.score_document(doc_obs)])
        return float(_dynamics.attractions(scores, self._no_click_mass)[0])


class IEUserState(user.AbstractUserState):
    """A user: affinities to topics, which are not observed.

    Args:
        topic_affinity: affinities >= 0, array of shape (n_topics,).
    """

    def __init__(self, topic_affinity: np.ndarray) -> None:
        self.topic_affinity = topic_affinity

    def score_document(self, doc_obs: Mapping[str, Any]) -> float:
        """Returns the score of one document's observation."""
        score: float = self.topic_affinity[doc_obs["cluster_id"]] + doc_obs["quality"]
        return score

    def score_documents(self, doc_obs: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Returns the scores of a list of documents' observations, shape (n_docs,)."""
        cluster_id = np.array([doc["cluster_id"] for doc in doc_obs], dtype=np.intp)
        quality = np.array([doc["quality"] for doc in doc_obs], dtype=np.float64)
        return _dynamics.document_scores(np.asarray(self.topic_affinity), cluster_id, quality)

    def create_observation(self) -> np.ndarray:
        """Returns an empty array: nothing of the user is observed."""
        return _NOTHING

    @staticmethod
    def observation_space() -> spaces.Box:
        """Returns the space of empty arrays."""
        return spaces.Box(shape=(0,), dtype=np.float32, low=0.0, high=np.inf)


@configurable()
class IEClusterUserSampler(user.AbstractUserSampler):
    """Samples a user's type, then log-normal affinities to the topics with the type's parameters.

    Args:
        user_type_distribution: see :class:`IEParameters`.
        user_document_mean_affinity_matrix: see :class:`IEParameters`.
        user_document_stddev_affinity_matrix: see :class:`IEParameters`.
        user_ctor: class of the user states.
        **kwargs: ``seed``, see :class:`recsim.user.AbstractUserSampler`.

    Raises:
        TypeError: if a parameter does not hold numbers.
        ValueError: if the distribution does not sum to one, or the shapes do not match.
    """

    def __init__(
        self,
        user_type_distribution: ArrayLike = _USERS.user_type_distribution,
        user_document_mean_affinity_matrix: ArrayLike = _USERS.user_document_mean_affinity_matrix,
        user_document_stddev_affinity_matrix: ArrayLike = (
            _USERS.user_document_stddev_affinity_matrix
        ),
        user_ctor: Callable[..., Any] = IEUserState,
        **kwargs: int | None,
    ) -> None:
        parameters = UserParameters(
            user_type_distribution=user_type_distribution,  # type: ignore[arg-type]
            user_document_mean_affinity_matrix=user_document_mean_affinity_matrix,  # type: ignore[arg-type]
            user_document_stddev_affinity_matrix=user_document_stddev_affinity_matrix,  # type: ignore[arg-type]
        )
        self._number_of_user_types = len(parameters.user_type_distribution)
        self._user_type_dist = np.array(parameters.user_type_distribution)
        self._user_doc_means = np.array(parameters.user_document_mean_affinity_matrix)
        self._user_doc_stddev = np.array(parameters.user_document_stddev_affinity_matrix)
        self._cumulative_types: list[float] = _dynamics.cumulative(self._user_type_dist).tolist()
        super().__init__(user_ctor, **kwargs)

    @property
    def num_topics(self) -> int:
        """Number of topics that users have affinities to."""
        return int(self._user_doc_means.shape[1])

    def sample_user(self) -> types.UserState:
        """Returns a new user state."""
        user_type = bisect.bisect_right(self._cumulative_types, self._rng.random_sample())
        # The same numbers as lognormal(mean, sigma) gives, faster.
        normal = self._rng.standard_normal(self.num_topics)
        affinity = _dynamics.sampled_log_normal(
            self._user_doc_means[user_type], self._user_doc_stddev[user_type], normal
        )
        state: types.UserState = self._user_ctor(affinity)
        return state

    def avg_affinity_given_topic(self) -> np.ndarray:
        """Returns the mean over user types of the means, shape (n_topics,)."""
        average: np.ndarray = self._user_type_dist @ self._user_doc_means
        return average


class IEResponse(user.AbstractResponse, metaclass=_config.ClassWithConstants):
    """A user's response to a document.

    Args:
        clicked: whether the document was clicked.
        quality: the document's quality, at least 0.
        cluster_id: the document's topic, in [0, NUM_CLUSTERS).
    """

    #: Number of topics of the response space.
    NUM_CLUSTERS = 0

    def __init__(self, clicked: bool = False, quality: float = 0.0, cluster_id: int = 0) -> None:
        self.clicked = clicked
        self.quality = quality
        self.cluster_id = cluster_id

    def __repr__(self) -> str:
        return str(self.clicked)

    def create_observation(self) -> dict[str, Any]:
        """Returns ``click``, ``quality`` and ``cluster_id``."""
        return {
            "click": int(self.clicked),
            "quality": np.array(self.quality),
            "cluster_id": self.cluster_id,
        }

    @classmethod
    def response_space(cls) -> spaces.Dict:
        """Returns the space of a response."""
        return spaces.Dict(
            {
                "click": spaces.Discrete(2),
                "quality": spaces.Box(low=0.0, high=np.inf, shape=(), dtype=np.float32),
                "cluster_id": spaces.Discrete(cls.NUM_CLUSTERS),
            }
        )


class IEDocument(document.AbstractDocument, metaclass=_config.ClassWithConstants):
    """A document with a topic and a quality, both observed.

    Args:
        doc_id: the document's ID.
        cluster_id: its topic, in [0, NUM_CLUSTERS).
        quality: its production quality, at least 0.
    """

    #: Number of topics of the observation space.
    NUM_CLUSTERS = 0

    def __init__(self, doc_id: int, cluster_id: int, quality: float) -> None:
        self._doc_id = doc_id
        self.cluster_id = cluster_id
        self.quality = quality

    def create_observation(self) -> dict[str, Any]:
        """Returns ``quality`` and ``cluster_id``."""
        return {"quality": np.array(self.quality), "cluster_id": self.cluster_id}

    @staticmethod
    def create_observations(
        cluster_id: Sequence[int], quality: Sequence[float]
    ) -> list[dict[str, Any]]:
        """Returns the observations of documents with these features."""
        array = np.array
        return [
            {"quality": array(document_quality), "cluster_id": topic}
            for topic, document_quality in zip(cluster_id, quality)
        ]

    @classmethod
    def observation_space(cls) -> spaces.Dict:
        """Returns the space of a document."""
        return spaces.Dict(
            {
                "quality": spaces.Box(low=0.0, high=np.inf, shape=(), dtype=np.float32),
                "cluster_id": spaces.Discrete(cls.NUM_CLUSTERS),
            }
        )


@configurable()
class IETopicDocumentSampler(document.BatchDocumentSampler):
    """Samples a document's topic, then a log-normal quality with the topic's parameters.

    Args:
        topic_distribution: see :class:`IEParameters`.
        topic_quality_mean: see :class:`IEParameters`.
        topic_quality_stddev: see :class:`IEParameters`.
        doc_ctor: class of the documents.
        **kwargs: ``seed``, see :class:`recsim.document.AbstractDocumentSampler`.

    Raises:
        TypeError: if a parameter does not hold numbers.
        ValueError: if the distribution does not sum to one, the lengths do not match, or
            ``doc_ctor`` is a class that was made for another number of topics.
    """

    def __init__(
        self,
        topic_distribution: ArrayLike = _DOCUMENTS.topic_distribution,
        topic_quality_mean: ArrayLike = _DOCUMENTS.topic_quality_mean,
        topic_quality_stddev: ArrayLike = _DOCUMENTS.topic_quality_stddev,
        doc_ctor: Callable[..., Any] = IEDocument,
        **kwargs: int | None,
    ) -> None:
        parameters = DocumentParameters(
            topic_distribution=topic_distribution,  # type: ignore[arg-type]
            topic_quality_mean=topic_quality_mean,  # type: ignore[arg-type]
            topic_quality_stddev=topic_quality_stddev,  # type: ignore[arg-type]
        )
        _config.check_class_constant(
            doc_ctor,
            IEDocument,
            "NUM_CLUSTERS",
            "topic_distribution",
            parameters.num_topics,
            is_default=parameters.topic_distribution == _DOCUMENTS.topic_distribution,
        )
        self._number_of_topics = parameters.num_topics
        self._topic_dist = np.array(parameters.topic_distribution)
        self._topic_quality_mean = list(parameters.topic_quality_mean)
        self._topic_quality_stddev = list(parameters.topic_quality_stddev)
        self._cumulative_topics: list[float] = _dynamics.cumulative(self._topic_dist).tolist()
        super().__init__(doc_ctor, **kwargs)

    @property
    def num_clusters(self) -> int:
        """Number of topics."""
        return self._number_of_topics

    def _sample_features(self, num_documents: int) -> dict[str, Any]:
        uniform, normal = self._rng.random_sample, self._rng.standard_normal
        topics, qualities = [], []
        for _ in range(num_documents):
            topic = bisect.bisect_right(self._cumulative_topics, uniform())
            # exp(…) is the number that lognormal(mean, sigma) gives, faster.
            log_quality = (
                self._topic_quality_mean[topic] + self._topic_quality_stddev[topic] * normal()
            )
            topics.append(topic)
            qualities.append(math.exp(log_quality))
        return {"cluster_id": topics, "quality": qualities}


def total_clicks_reward(responses: Sequence[Any]) -> float:
    """Returns the number of clicks among the responses."""
    clicks = sum([response.clicked for response in responses])
    return float(clicks) if type(clicks) is int else numbers.as_float("the clicks", clicks)


def parameters_of(env_config: types.EnvConfig) -> IEParameters:
    """Returns the scenario's parameters, which both engines read.

    Args:
        env_config: as :func:`create_environment` takes it. What it leaves out is what gin binds for
            :class:`IEClusterUserSampler` and :class:`IETopicDocumentSampler` or, by default,
            RecSim's value.

    Raises:
        KeyError, TypeError, ValueError: for a config that gives no environment.
    """
    _config.check_config(env_config, CONFIG_KEYS)
    return _config.parameters_of(
        IEParameters,
        env_config,
        {
            IEClusterUserSampler: _config.names_of(UserParameters),
            IETopicDocumentSampler: _config.names_of(DocumentParameters),
        },
    )


def _document_class(parameters: IEParameters) -> type[IEDocument]:
    return _config.with_constants(IEDocument, NUM_CLUSTERS=parameters.num_topics)


def _response_class(parameters: IEParameters) -> type[IEResponse]:
    return _config.with_constants(IEResponse, NUM_CLUSTERS=parameters.num_topics)


def create_environment(env_config: types.EnvConfig) -> recsim_gym.RecSimGymEnv:
    """Creates the interest exploration environment.

    Args:
        env_config: a dictionary with ``num_candidates``, ``slate_size``, ``resample_documents``
            (whether each step has new documents) and ``seed``; and those attributes of
            :class:`IEParameters` that are not the default ones.

    Returns:
        A Gym environment whose reward is the number of clicks.

    Raises:
        KeyError, TypeError, ValueError: for a config that gives no environment; ValueError too if
            documents and users disagree on the number of topics.

    Example:
        >>> env = create_environment(
        ...     {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 0})
        >>> observation = env.reset()
        >>> observation, reward, done, info = env.step([0, 1])
        >>> len(observation["doc"]), len(observation["response"]), done
        (5, 2, False)
    """
    parameters = parameters_of(env_config)
    seed = env_config["seed"]
    user_model = IEUserModel(
        env_config["slate_size"],
        no_click_mass=parameters.no_click_mass,
        choice_model_ctor=parameters.choice_model_ctor(env_config["slate_size"]),
        response_model_ctor=_response_class(parameters),
        user_sampler=IEClusterUserSampler(
            **_config.field_values(UserParameters, parameters), user_ctor=IEUserState, seed=seed
        ),
    )
    document_sampler = IETopicDocumentSampler(
        **_config.field_values(DocumentParameters, parameters),
        doc_ctor=_document_class(parameters),
        seed=seed,
    )
    return recsim_gym.RecSimGymEnv(
        _config.single_user_environment(env_config, user_model, document_sampler),
        total_clicks_reward,
        utils.aggregate_video_cluster_metrics,
        _config.video_metrics_writer(parameters.num_topics),
    )


def create_vector_environment(
    env_config: types.EnvConfig, num_envs: int, **options: object
) -> vector_env.RecSimVectorEnv:
    """Creates the interest exploration environment for users in parallel.

    Args:
        env_config: as :func:`create_environment` takes it. Without ``resample_documents`` all
            users share the candidates, and keep them.
        num_envs: number of users.
        **options: ``candidates``, ``max_steps_per_episode``, ``first_user`` and ``dtype``, see
            :class:`recsim.vector.env.RecSimVectorEnv`.

    Returns:
        A Gymnasium vector environment whose rewards are the numbers of clicks.

    Raises:
        KeyError, TypeError, ValueError: for a config or an option that gives no environment.

    Example:
        >>> env = create_vector_environment(
        ...     {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 0}, 1000)
        >>> observation, _ = env.reset()
        >>> observation, rewards, terminated, truncated, infos = env.step([[0, 1]] * 1000)
        >>> observation["doc"]["quality"].shape, rewards.shape
        ((1000, 5), (1000,))
    """
    from recsim.environments.interest_exploration._vectorized import (
        VectorIEDocumentSampler,
        VectorIEUserModel,
    )
    from recsim.vector import env as vector_env
    from recsim.vector import scenario

    parameters = parameters_of(env_config)
    parameters.check_precision(_config.vector_dtype(options))
    return vector_env.RecSimVectorEnv(
        VectorIEUserModel(
            parameters,
            env_config["slate_size"],
            IEUserState.observation_space(),
            _response_class(parameters).response_space(),
        ),
        VectorIEDocumentSampler(parameters, _document_class(parameters).observation_space()),
        num_envs=num_envs,
        reward_aggregator=scenario.total_clicks,
        metrics_aggregator=utils.video_cluster_metrics,
        metrics_writer=_config.video_metrics_writer(parameters.num_topics),
        **_config.vector_options(env_config, options),
    )
