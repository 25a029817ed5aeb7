"""Interest exploration: users of hidden types, whose niche interests must be found by exploring.

Documents belong to topics and have a production quality. Users belong to types, which differ in
their affinity to topics; neither is observed. A user scores a document by the sum of the affinity
to its topic and its quality, and chooses by a multinomial logit model. An agent that ranks by the
click rate of the average user serves the topics of high quality, which most users click, and never
learns who would rather see something else (Ie et al., arXiv 1909.04847, section 5.1).

The functions are the scenario's mathematics on arrays with any leading axes; the classes call
them for one user.
"""

from __future__ import annotations

import bisect
import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from recsim import choice_model, document, user, utils
from recsim._internal import arrays, numbers, validation
from recsim._internal.configurable import configurable
from recsim._internal.gym_import import spaces
from recsim.environments import _config
from recsim.simulator import recsim_gym
from recsim.vector import scenario, streams

if TYPE_CHECKING:
    from recsim.vector import env as vector_env

__all__ = [
    "CONFIG_KEYS",
    "IEClusterUserSampler",
    "IEDocument",
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
    "sampled_log_normal",
    "total_clicks_reward",
]

_DOCUMENT_KEYS = ("topic_distribution", "topic_quality_mean", "topic_quality_stddev")
# An array without entries can be handed out again and again: no one can change it.
_NOTHING = np.array([])

_USER_KEYS = (
    "user_type_distribution",
    "user_document_mean_affinity_matrix",
    "user_document_stddev_affinity_matrix",
)
#: The entries that a config may have beside those of every scenario.
CONFIG_KEYS = (*_DOCUMENT_KEYS, *_USER_KEYS, "no_click_mass")


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
    return _document_scores(topic_affinity, topics, quality)


def _document_scores(
    topic_affinity: np.ndarray, cluster_id: ArrayLike, quality: ArrayLike
) -> np.ndarray:
    """Does what :func:`document_scores` does, without checks."""
    if topic_affinity.ndim == 1:
        return topic_affinity[np.asarray(cluster_id)] + quality
    return arrays.take_along_rows(topic_affinity, np.asarray(cluster_id)) + quality


@numbers.on_floats()
def sampled_log_normal(mean: Any, stddev: Any, normal: Any) -> Any:
    """Returns log-normal numbers, such as affinities and qualities.

    Args:
        mean: means of their logarithms, numbers or arrays of any shape, as the other arguments.
        stddev: standard deviations of their logarithms.
        normal: standard normal numbers.
    """
    return np.exp(mean + stddev * normal)


_sampled_log_normal = inspect.unwrap(sampled_log_normal)


class IEUserModel(user.AbstractUserModel):
    """A user who does not change, and whose session does not end by itself.

    Args:
        slate_size: number of documents in a slate.
        no_click_mass: the logit of no click.
        choice_model_ctor: class of the choice model, called with ``{'no_click_mass': …}``.
        user_state_ctor: class of the user states, :class:`IEUserState` by default.
        response_model_ctor: class of the responses, such as :class:`IEResponse`.
        seed: seed of the sampler of users.
        user_sampler: a sampler to use in place of ``IEClusterUserSampler(user_state_ctor, seed)``.

    Raises:
        ValueError: if ``choice_model_ctor`` is None.
    """

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
        super().__init__(response_model_ctor, sampler, slate_size)  # type: ignore[arg-type]
        self.choice_model = choice_model_ctor({"no_click_mass": no_click_mass})
        self.use_generator(self.environment_rng)

    @property
    def avg_user_state(self) -> Any:
        """The user with the mean affinities of the user types (their logarithms' means)."""
        return self._user_state_ctor(self._user_sampler.avg_affinity_given_topic())  # type: ignore[attr-defined]

    def is_terminal(self) -> bool:
        """Returns False: only a runner ends a session."""
        return False

    def update_state(self, slate_documents: Sequence[Any], responses: Sequence[Any]) -> None:
        """Does nothing: the user does not change."""

    def simulate_response(self, documents: Sequence[Any]) -> list[Any]:
        """Returns the responses to a slate of IEDocument, at most one of which is a click."""
        responses = [self._response_model_ctor() for _ in documents]
        observations = [doc.create_observation() for doc in documents]
        self.choice_model.score_documents(self._user_state, observations)
        clicked = self.choice_model.choose_item()
        for doc, response in zip(documents, responses):
            response.quality = doc.quality
            response.cluster_id = doc.cluster_id
        if clicked is not None:
            self._generate_response(documents[clicked], responses[clicked])
        return responses

    def _generate_response(self, doc: Any, response: Any) -> None:
        """Turns the response to a chosen document into a click."""
        response.clicked = True


class IEUserState(user.AbstractUserState):
    """A user: affinities to topics, which are not observed.

    Args:
        topic_affinity: affinities >= 0, array of shape (n_topics,).
    """

    def __init__(self, topic_affinity: np.ndarray) -> None:
        self.topic_affinity = topic_affinity

    def score_document(self, doc_obs: Mapping[str, Any]) -> float:
        """Returns the score of one document's observation."""
        return self.topic_affinity[doc_obs["cluster_id"]] + doc_obs["quality"]

    def score_documents(self, doc_obs: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Returns the scores of a list of documents' observations, shape (n_docs,)."""
        cluster_id = np.array([doc["cluster_id"] for doc in doc_obs], dtype=np.intp)
        quality = np.array([doc["quality"] for doc in doc_obs], dtype=np.float64)
        return _document_scores(np.asarray(self.topic_affinity), cluster_id, quality)

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
        user_type_distribution: probabilities of the user types, shape (n_types,).
        user_document_mean_affinity_matrix: means of the logarithm of the affinity, shape
            (n_types, n_topics).
        user_document_stddev_affinity_matrix: its standard deviations, shape (n_types, n_topics).
        user_ctor: class of the user states.
        **kwargs: ``seed``, see :class:`recsim.user.AbstractUserSampler`.

    Raises:
        ValueError: if the distribution does not sum to one, or the shapes do not match.
    """

    def __init__(
        self,
        user_type_distribution: ArrayLike = (0.3, 0.7),
        user_document_mean_affinity_matrix: ArrayLike = ((0.1, 0.7), (0.7, 0.1)),
        user_document_stddev_affinity_matrix: ArrayLike = ((0.1, 0.1), (0.1, 0.1)),
        user_ctor: Callable[..., Any] = IEUserState,
        **kwargs: Any,
    ) -> None:
        distribution = validation.probability_vector(
            "user_type_distribution", user_type_distribution
        )
        self._number_of_user_types = len(distribution)
        self._user_type_dist = distribution
        self._user_doc_means = _topic_matrix(
            "user_document_mean_affinity_matrix", user_document_mean_affinity_matrix, distribution
        )
        self._user_doc_stddev = _topic_matrix(
            "user_document_stddev_affinity_matrix",
            user_document_stddev_affinity_matrix,
            distribution,
        )
        if self._user_doc_means.shape != self._user_doc_stddev.shape:
            raise ValueError(
                "user_document_mean_affinity_matrix and user_document_stddev_affinity_matrix must "
                f"have the same shape (n_types, n_topics), got {self._user_doc_means.shape} and "
                f"{self._user_doc_stddev.shape}."
            )
        _config.check_log_normal(
            "user_document_mean_affinity_matrix",
            self._user_doc_means,
            "user_document_stddev_affinity_matrix",
            self._user_doc_stddev,
        )
        if (self._user_doc_stddev < 0).any():
            raise ValueError(
                "user_document_stddev_affinity_matrix must be >= 0, got "
                f"{self._user_doc_stddev.tolist()}."
            )
        self._cumulative_types = _cumulative(distribution)
        super().__init__(user_ctor, **kwargs)

    @property
    def num_topics(self) -> int:
        """Number of topics that users have affinities to."""
        return self._user_doc_means.shape[1]

    def sample_user(self) -> Any:
        """Returns a new user state."""
        user_type = bisect.bisect_right(self._cumulative_types, self._rng.random_sample())
        # The same numbers as lognormal(mean, sigma) gives, faster.
        normal = self._rng.standard_normal(self.num_topics)
        affinity = _sampled_log_normal(
            self._user_doc_means[user_type], self._user_doc_stddev[user_type], normal
        )
        return self._user_ctor(affinity)

    def avg_affinity_given_topic(self) -> np.ndarray:
        """Returns the mean over user types of the means, shape (n_topics,)."""
        return self._user_type_dist @ self._user_doc_means


def _topic_matrix(name: str, matrix: ArrayLike, distribution: np.ndarray) -> np.ndarray:
    array = validation.finite(name, matrix)
    if array.ndim != 2 or len(array) != len(distribution):
        raise ValueError(
            f"{name} must have a row for each of the {len(distribution)} user types of "
            f"user_type_distribution, shape ({len(distribution)}, n_topics), got shape "
            f"{array.shape}."
        )
    return array


def _cumulative(distribution: np.ndarray) -> list[float]:
    cumulative = np.cumsum(distribution)
    return (cumulative / cumulative[-1]).tolist()


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
        topic_distribution: probabilities of the topics, shape (n_topics,).
        topic_quality_mean: means of the logarithm of the quality, shape (n_topics,).
        topic_quality_stddev: its standard deviations >= 0, shape (n_topics,).
        doc_ctor: class of the documents.
        **kwargs: ``seed``, see :class:`recsim.document.AbstractDocumentSampler`.

    Raises:
        ValueError: if the distribution does not sum to one, or the lengths do not match.
    """

    def __init__(
        self,
        topic_distribution: ArrayLike = (0.2, 0.8),
        topic_quality_mean: ArrayLike = (0.8, 0.2),
        topic_quality_stddev: ArrayLike = (0.1, 0.1),
        doc_ctor: Callable[..., Any] = IEDocument,
        **kwargs: Any,
    ) -> None:
        distribution = validation.probability_vector("topic_distribution", topic_distribution)
        self._number_of_topics = len(distribution)
        self._topic_dist = distribution
        self._topic_quality_mean = _topic_vector(
            "topic_quality_mean", topic_quality_mean, distribution
        )
        self._topic_quality_stddev = _topic_vector(
            "topic_quality_stddev", topic_quality_stddev, distribution
        )
        if min(self._topic_quality_stddev) < 0:
            raise ValueError(
                f"topic_quality_stddev must be >= 0, got {self._topic_quality_stddev}."
            )
        _config.check_log_normal(
            "topic_quality_mean",
            self._topic_quality_mean,
            "topic_quality_stddev",
            self._topic_quality_stddev,
        )
        self._cumulative_topics = _cumulative(distribution)
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


def _topic_vector(name: str, values: ArrayLike, distribution: np.ndarray) -> list[float]:
    array = validation.finite(name, values)
    if array.shape != distribution.shape:
        raise ValueError(
            f"{name} must have an entry for each of the {len(distribution)} topics of "
            f"topic_distribution, got shape {array.shape}."
        )
    return array.tolist()


def total_clicks_reward(responses: Sequence[Any]) -> float:
    """Returns the number of clicks among the responses."""
    clicks = sum([response.clicked for response in responses])
    return float(clicks) if type(clicks) is int else numbers.as_float("the clicks", clicks)


def create_environment(env_config: Mapping[str, Any]) -> recsim_gym.RecSimGymEnv:
    """Creates the interest exploration environment.

    Args:
        env_config: a dictionary with ``num_candidates``, ``slate_size``, ``resample_documents``
            (whether each step has new documents) and ``seed``; and, where the world is not the
            default one, the parameters of :class:`IETopicDocumentSampler`
            (``topic_distribution``, ``topic_quality_mean``, ``topic_quality_stddev``), of
            :class:`IEClusterUserSampler` (``user_type_distribution``,
            ``user_document_mean_affinity_matrix``, ``user_document_stddev_affinity_matrix``) and
            ``no_click_mass``.

    Returns:
        A Gym environment whose reward is the number of clicks.

    Raises:
        KeyError, TypeError, ValueError: for a config that gives no world; ValueError too if
            documents and users disagree on the number of topics.

    Example:
        >>> env = create_environment(
        ...     {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 0})
        >>> observation = env.reset()
        >>> observation, reward, done, info = env.step([0, 1])
        >>> len(observation["doc"]), len(observation["response"]), done
        (5, 2, False)
    """
    user_model, document_sampler = _world(env_config)
    return recsim_gym.RecSimGymEnv(
        _config.single_user_world(env_config, user_model, document_sampler),
        total_clicks_reward,
        utils.aggregate_video_cluster_metrics,
        _config.video_metrics_writer(user_model),
    )


def _world(env_config: Mapping[str, Any]) -> tuple[IEUserModel, IETopicDocumentSampler]:
    """Returns the user model and the sampler of documents of a config."""
    _config.check_config(env_config, CONFIG_KEYS)
    seed = env_config["seed"]
    document_sampler = IETopicDocumentSampler(
        seed=seed, **_config.chosen(env_config, _DOCUMENT_KEYS)
    )
    user_sampler = IEClusterUserSampler(
        user_ctor=IEUserState, seed=seed, **_config.chosen(env_config, _USER_KEYS)
    )
    num_topics = document_sampler.num_clusters
    if user_sampler.num_topics != num_topics:
        raise ValueError(
            "users and documents must have the same topics, got "
            f"user_document_mean_affinity_matrix with {user_sampler.num_topics} columns and "
            f"topic_distribution with {num_topics} entries."
        )
    document_sampler._doc_ctor = _config.with_constants(IEDocument, NUM_CLUSTERS=num_topics)
    user_model = IEUserModel(
        env_config["slate_size"],
        user_state_ctor=IEUserState,
        response_model_ctor=_config.with_constants(IEResponse, NUM_CLUSTERS=num_topics),
        seed=seed,
        user_sampler=user_sampler,
        **_config.chosen(env_config, ("no_click_mass",)),
    )
    return user_model, document_sampler


@dataclasses.dataclass
class VectorIEDocuments:
    """Documents of many users."""

    cluster_id: np.ndarray  # (n_users, n_docs), int32: topics.
    quality: np.ndarray  # (n_users, n_docs)


@dataclasses.dataclass
class VectorIEUsers:
    """Many users."""

    topic_affinity: np.ndarray  # (n_users, n_topics)


@dataclasses.dataclass
class VectorIEResponses:
    """The responses of many users to their slates."""

    clicked: np.ndarray  # (n_users, slate_size), bool
    quality: np.ndarray  # (n_users, slate_size): of the documents, clicked or not.
    cluster_id: np.ndarray  # (n_users, slate_size), int32: their topics.


class VectorIEDocumentSampler(scenario.VectorDocumentSampler):
    """Samples documents as a single-user sampler does, for many users.

    Args:
        sampler: the single-user sampler.
    """

    def __init__(self, sampler: IETopicDocumentSampler) -> None:
        self._num_topics = sampler.num_clusters
        self._cumulative_topics = np.array(sampler._cumulative_topics)
        self._quality_mean = np.array(sampler._topic_quality_mean)
        self._quality_stddev = np.array(sampler._topic_quality_stddev)

    def sample(self, stream: streams.RandomStream, num_documents: int) -> VectorIEDocuments:
        """See :meth:`recsim.vector.scenario.VectorDocumentSampler.sample`."""
        topics = stream.categories(self._cumulative_topics, num_documents)
        quality = _sampled_log_normal(
            self._quality_mean.astype(stream.dtype).take(topics),
            self._quality_stddev.astype(stream.dtype).take(topics),
            stream.normal(num_documents),
        )
        return VectorIEDocuments(topics, quality)

    def observe(self, documents: VectorIEDocuments) -> dict[str, np.ndarray]:
        """Returns ``quality`` and ``cluster_id``."""
        return {"quality": documents.quality, "cluster_id": documents.cluster_id}

    def observation_space(self, num_documents: int) -> Any:
        """Returns the space of one user's documents."""
        return _vector_space(num_documents, self._num_topics)


class VectorIEUserModel(scenario.VectorUserModel):
    """Users as those of a single-user model, many of them.

    Args:
        user_model: the single-user model, with a :class:`NormalizableChoiceModel
            <recsim.choice_model.NormalizableChoiceModel>`.
    """

    def __init__(self, user_model: IEUserModel) -> None:
        super().__init__(user_model._slate_size)
        sampler: Any = user_model._user_sampler
        self._choice_model = user_model.choice_model
        self._num_topics = sampler.num_topics
        self._cumulative_types = np.array(sampler._cumulative_types)
        self._means = sampler._user_doc_means
        self._stddevs = sampler._user_doc_stddev
        self._average_affinity = sampler.avg_affinity_given_topic()

    def average_user_scores(self, documents: Mapping[str, np.ndarray]) -> np.ndarray:
        """Returns the scores of documents by a user as ``IEUserModel.avg_user_state``.

        Args:
            documents: ``cluster_id`` and ``quality``, as they are observed, of any one shape.

        Returns:
            Scores of that shape.
        """
        return _document_scores(
            self._average_affinity, documents["cluster_id"], documents["quality"]
        )

    def sample_users(self, stream: streams.RandomStream) -> VectorIEUsers:
        """See :meth:`recsim.vector.scenario.VectorUserModel.sample_users`."""
        types = stream.categories(self._cumulative_types)
        affinity = _sampled_log_normal(
            self._means.astype(stream.dtype).take(types, axis=0),
            self._stddevs.astype(stream.dtype).take(types, axis=0),
            stream.normal(self._num_topics),
        )
        return VectorIEUsers(affinity)

    def choose(
        self, users: VectorIEUsers, documents: VectorIEDocuments, stream: streams.RandomStream
    ) -> np.ndarray:
        """See :meth:`recsim.vector.scenario.VectorUserModel.choose`."""
        scores = _document_scores(users.topic_affinity, documents.cluster_id, documents.quality)
        weights = self._choice_model.choice_weights(scores)
        return choice_model.sampled_choices(weights, stream.uniform())

    def respond(
        self,
        users: VectorIEUsers,
        documents: VectorIEDocuments,
        choice: np.ndarray,
        stream: streams.RandomStream,
    ) -> VectorIEResponses:
        """See :meth:`recsim.vector.scenario.VectorUserModel.respond`."""
        del users, stream
        return VectorIEResponses(
            scenario.clicked(choice, self.slate_size), documents.quality, documents.cluster_id
        )

    def observe_users(self, users: VectorIEUsers) -> np.ndarray:
        """Returns an array without entries: nothing of the users is observed."""
        return np.zeros((len(users.topic_affinity), 0), users.topic_affinity.dtype)

    def user_space(self) -> Any:
        """Returns the space of arrays without entries."""
        from gymnasium import spaces

        return spaces.Box(0.0, np.inf, (0,), np.float32)

    def observe_responses(self, responses: VectorIEResponses) -> dict[str, np.ndarray]:
        """Returns ``click``, ``quality`` and ``cluster_id``."""
        return {
            "click": responses.clicked.astype(np.int32),
            "quality": responses.quality,
            "cluster_id": responses.cluster_id,
        }

    def response_space(self) -> Any:
        """Returns the space of one user's responses."""
        from gymnasium import spaces

        of_documents = _vector_space(self.slate_size, self._num_topics)
        return spaces.Dict(
            {
                "click": spaces.MultiDiscrete(np.full(self.slate_size, 2), dtype=np.int32),
                **of_documents.spaces,
            }
        )


def _vector_space(num_documents: int, num_topics: int) -> Any:
    """Returns the space of the qualities and topics of a user's documents."""
    from gymnasium import spaces

    return spaces.Dict(
        {
            "quality": spaces.Box(0.0, np.inf, (num_documents,), np.float32),
            "cluster_id": spaces.MultiDiscrete(np.full(num_documents, num_topics), dtype=np.int32),
        }
    )


def create_vector_environment(
    env_config: Mapping[str, Any], num_envs: int, **options: Any
) -> vector_env.RecSimVectorEnv:
    """Creates the interest exploration environment for many users.

    Args:
        env_config: as :func:`create_environment` takes it. Without ``resample_documents`` all
            users share the candidates, and keep them.
        num_envs: number of users.
        **options: ``candidates``, ``max_steps_per_episode``, ``first_user`` and ``dtype``, see
            :class:`recsim.vector.env.RecSimVectorEnv`.

    Returns:
        A Gymnasium vector environment whose rewards are the numbers of clicks.

    Raises:
        KeyError, TypeError, ValueError: for a config or an option that gives no world.

    Example:
        >>> env = create_vector_environment(
        ...     {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 0}, 1000)
        >>> observation, _ = env.reset()
        >>> observation, rewards, terminated, truncated, infos = env.step([[0, 1]] * 1000)
        >>> observation["doc"]["quality"].shape, rewards.shape
        ((1000, 5), (1000,))
    """
    from recsim.vector import env as vector_env

    user_model, document_sampler = _world(env_config)
    dtype = _config.vector_dtype(options)
    users: Any = user_model._user_sampler
    _config.check_log_normal(
        "user_document_mean_affinity_matrix",
        users._user_doc_means,
        "user_document_stddev_affinity_matrix",
        users._user_doc_stddev,
        dtype,
    )
    _config.check_log_normal(
        "topic_quality_mean",
        document_sampler._topic_quality_mean,
        "topic_quality_stddev",
        document_sampler._topic_quality_stddev,
        dtype,
    )
    return vector_env.RecSimVectorEnv(
        VectorIEUserModel(user_model),
        VectorIEDocumentSampler(document_sampler),
        num_envs=num_envs,
        reward_aggregator=scenario.total_clicks,
        metrics_aggregator=utils.video_cluster_metrics,
        metrics_writer=_config.video_metrics_writer(user_model),
        **_config.vector_options(env_config, options),
    )
