"""Interest evolution: users whose interests drift towards, or away from, what they watch.

A user has interests in topics and a time budget. The score of a video is the inner product of
its features and the interests, and the user chooses by a choice model of the scores. Watching
changes the interests, and gives back some budget where the video's quality is good; a slate
without a click costs a step penalty. The session ends with the budget (Ie et al., arXiv
1905.12767, section 7).

The functions are the scenario's mathematics on arrays with any leading axes; the classes call
them for one user.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recsim import choice_model, document, seeding, user, utils
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
    "IEvResponse",
    "IEvUserDistributionSampler",
    "IEvUserModel",
    "IEvUserState",
    "IEvVideo",
    "IEvVideoSampler",
    "UtilityModelUserSampler",
    "UtilityModelVideoSampler",
    "VectorIEvDocumentSampler",
    "VectorIEvDocuments",
    "VectorIEvResponses",
    "VectorIEvUserModel",
    "VectorIEvUsers",
    "clicked_watchtime_reward",
    "create_environment",
    "create_vector_environment",
    "total_clicks_reward",
    "total_watch_time",
    "updated_budget",
    "updated_interests",
]

#: Largest size of a video's length and qualities: single precision holds their products.
_LARGEST = 1e12

#: The entries that a config may have beside those of every scenario.
CONFIG_KEYS = ("choice_model",)


@numbers.on_floats()
def updated_interests(
    interests: np.ndarray,
    features: np.ndarray,
    uniform: float | np.ndarray,
    x_intercept: float = 1.0,
    y_intercept: float = 0.3,
) -> np.ndarray:
    """Returns users' interests after they watched a video.

    Interests move towards the video's features with probability ((interests + 1) / 2) . features,
    and away from them otherwise, by a step that is the smaller the stronger the interest:
    y_intercept (1 - abs(interest) / x_intercept).

    Args:
        interests: array of shape (..., n_topics), in [-1, 1].
        features: array of shape (..., n_topics).
        uniform: numbers in [0, 1) that decide the direction, of shape (...).
        x_intercept: interest at which the step is zero.
        y_intercept: step of an interest of zero.

    Returns:
        New array of shape (..., n_topics), in [-1, 1].
    """
    step = np.abs(interests)
    step *= -y_intercept / x_intercept
    step += y_intercept
    step *= features
    step *= features - interests
    # Ties are real: a seed shared by users and choices gives both the same uniform numbers.
    towards = _inner_product(interests + 1.0, features) > 2.0 * uniform
    direction = 2.0 * towards - 1.0
    if interests.ndim > 1:
        direction = direction[..., np.newaxis]
    step *= direction
    step += interests
    return np.minimum(np.maximum(step, -1.0), 1.0)


def _inner_product(first: np.ndarray, second: np.ndarray) -> Any:
    """Returns the inner products over the last axis; of two vectors by the faster ``dot``."""
    if first.ndim == second.ndim == 1:
        return first.dot(second)
    products = first * second
    # NumPy takes longer to add up many sums of one number than to compute them.
    return products[..., 0] if products.shape[-1] == 1 else products.sum(axis=-1)


@numbers.on_floats()
def updated_budget(budget: Any, watch_time: Any, utility: Any, alpha: Any) -> Any:
    """Returns users' time budgets after they watched a video.

    Args:
        budget: time left, numbers or arrays of shape (...), as the other arguments.
        watch_time: time watched, in the unit of the budget.
        utility: received utility (the video's quality, in the default world).
        alpha: share of the watch time that a unit of utility gives back.
    """
    return budget - watch_time + alpha * watch_time * utility


# The formulas without their checks, for what steps once or thousands of times a second.
_updated_interests = inspect.unwrap(updated_interests)
_updated_budget = inspect.unwrap(updated_budget)


class IEvResponse(user.AbstractResponse):
    """A user's response to a video.

    Args:
        clicked: whether the video was clicked.
        watch_time: time watched, in [0, IEvVideo.MAX_VIDEO_LENGTH].
        liked: whether the video was liked.
        quality: the video's quality, in [MIN_QUALITY_SCORE, MAX_QUALITY_SCORE].
        cluster_id: the video's topic, in [0, IEvVideo.NUM_FEATURES).
    """

    MIN_QUALITY_SCORE = -100
    MAX_QUALITY_SCORE = 100

    def __init__(
        self,
        clicked: bool = False,
        watch_time: float = 0.0,
        liked: bool = False,
        quality: float = 0.0,
        cluster_id: float = 0.0,
    ) -> None:
        self.clicked = clicked
        self.watch_time = watch_time
        self.liked = liked
        self.quality = quality
        self.cluster_id = cluster_id

    def create_observation(self) -> dict[str, Any]:
        """Returns ``click``, ``watch_time``, ``liked``, ``quality`` and ``cluster_id``."""
        return {
            "click": int(self.clicked),
            "watch_time": np.array(self.watch_time),
            "liked": int(self.liked),
            "quality": np.array(self.quality),
            "cluster_id": int(self.cluster_id),
        }

    @classmethod
    def response_space(cls) -> spaces.Dict:
        """Returns the space of a response."""
        return spaces.Dict(
            {
                "click": spaces.Discrete(2),
                "watch_time": spaces.Box(
                    low=0.0, high=IEvVideo.MAX_VIDEO_LENGTH, shape=(), dtype=np.float32
                ),
                "liked": spaces.Discrete(2),
                "quality": spaces.Box(
                    low=cls.MIN_QUALITY_SCORE,
                    high=cls.MAX_QUALITY_SCORE,
                    shape=(),
                    dtype=np.float32,
                ),
                "cluster_id": spaces.Discrete(IEvVideo.NUM_FEATURES),
            }
        )


class IEvVideo(document.AbstractDocument):
    """A video.

    Args:
        doc_id: the video's ID.
        features: its observed features (topics), shape (NUM_FEATURES,), in [-1, 1].
        cluster_id: its main topic.
        video_length: its length, in the unit of the users' time budget.
        quality: its quality, which is not observed.
    """

    #: Longest video, in the unit of the users' time budget.
    MAX_VIDEO_LENGTH = 100.0

    #: Number of features (topics).
    NUM_FEATURES: int = 20

    def __init__(
        self,
        doc_id: int,
        features: np.ndarray,
        cluster_id: int | None = None,
        video_length: float | None = None,
        quality: float | None = None,
    ) -> None:
        self._doc_id = doc_id
        self.features = features
        self.cluster_id = cluster_id
        self.video_length = video_length
        self.quality = quality

    def create_observation(self) -> np.ndarray:
        """Returns a copy of the features, float64 of shape (NUM_FEATURES,)."""
        return self.features.copy()

    @staticmethod
    def create_observations(features: np.ndarray, **_: Any) -> list[np.ndarray]:
        """Returns the observations of videos with these features, shape (n_docs, n_topics)."""
        return list(features.copy())

    @classmethod
    def observation_space(cls) -> spaces.Box:
        """Returns the space of the features."""
        return spaces.Box(shape=(cls.NUM_FEATURES,), dtype=np.float32, low=-1.0, high=1.0)


class IEvVideoSampler(document.AbstractDocumentSampler):
    """Samples videos with uniformly distributed features and a quality of 1.

    Args:
        doc_ctor: class of the videos.
        min_feature_value: least feature.
        max_feature_value: greatest feature.
        video_length_mean: mean of the normal distribution of the length.
        video_length_std: its standard deviation.
        **kwargs: ``seed``, see :class:`recsim.document.AbstractDocumentSampler`.
    """

    def __init__(
        self,
        doc_ctor: Callable[..., Any] = IEvVideo,
        min_feature_value: float = -1.0,
        max_feature_value: float = 1.0,
        video_length_mean: float = 4.3,
        video_length_std: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(doc_ctor, **kwargs)
        self._doc_count = 0
        number = validation.number
        self._min_feature_value = number("min_feature_value", min_feature_value)
        self._max_feature_value = number("max_feature_value", max_feature_value)
        if self._min_feature_value > self._max_feature_value:
            raise ValueError(
                "min_feature_value must be at most max_feature_value, got "
                f"{min_feature_value!r} and {max_feature_value!r}."
            )
        self._video_length_mean = number("video_length_mean", video_length_mean)
        self._video_length_std = validation.non_negative_float("video_length_std", video_length_std)

    def sample_document(self) -> Any:
        """Returns a new video."""
        doc_ctor: Any = self.get_doc_ctor()
        features = self._rng.uniform(
            self._min_feature_value, self._max_feature_value, doc_ctor.NUM_FEATURES
        )
        length = self._rng.normal(self._video_length_mean, self._video_length_std)
        doc_id = self._doc_count
        self._doc_count += 1
        return self._doc_ctor(
            doc_id=doc_id,
            features=features,
            video_length=min(length, doc_ctor.MAX_VIDEO_LENGTH),
            quality=1.0,
        )


class UtilityModelVideoSampler(document.BatchDocumentSampler):
    """Samples videos of one topic each, of qualities that grow with the number of the topic.

    Seven tenths of the topics have mean qualities evenly spaced from ``min_utility`` to 0, the
    others from 0 to ``max_utility``; a video's quality is normal with standard deviation 0.1.

    Args:
        doc_ctor: class of the videos; its ``NUM_FEATURES`` is the number of topics.
        min_utility: mean quality of the first topic.
        max_utility: mean quality of the last topic.
        video_length: length of every video, in minutes.
        **kwargs: ``seed``, see :class:`recsim.document.AbstractDocumentSampler`.
    """

    def __init__(
        self,
        doc_ctor: Callable[..., Any] = IEvVideo,
        min_utility: float = -3.0,
        max_utility: float = 3.0,
        video_length: float = 4.0,
        **kwargs: Any,
    ) -> None:
        self._num_clusters: int = doc_ctor.NUM_FEATURES  # type: ignore[attr-defined]
        super().__init__(doc_ctor, **kwargs)
        # Larger ones have products that single precision cannot hold.
        min_utility = validation.number("min_utility", min_utility, -_LARGEST, _LARGEST)
        max_utility = validation.number("max_utility", max_utility, -_LARGEST, _LARGEST)
        self._min_utility = min_utility
        self._max_utility = max_utility
        self._video_length = validation.number("video_length", video_length, 1e-6, _LARGEST)
        bad = np.linspace(min_utility, 0, int(self._num_clusters * 0.7))
        good = np.linspace(0, max_utility, self._num_clusters - len(bad))
        #: Mean quality by topic, shape (NUM_FEATURES,).
        self.cluster_means = np.concatenate((bad, good))
        self._mean_list: list[float] = self.cluster_means.tolist()
        self._one_hot = np.eye(self._num_clusters)

    def _sample_features(self, num_documents: int) -> dict[str, Any]:
        topics, normals = seeding.integers_and_normals(self._rng, self._num_clusters, num_documents)
        means = self._mean_list
        return {
            "features": self._one_hot.take(topics, axis=0),
            "cluster_id": topics,
            "video_length": [self._video_length] * num_documents,
            # The numbers that normal(mean, 0.1) gives, faster.
            "quality": [means[topic] + 0.1 * normal for topic, normal in zip(topics, normals)],
        }


class IEvUserState(user.AbstractUserState):
    """A user: observed interests, and a time budget and parameters, which are not observed.

    Args:
        user_interests: interests in [-1, 1], float64 of shape (NUM_FEATURES,).
        time_budget: time left, in minutes.
        score_scaling: see :class:`recsim.choice_model.CascadeChoiceModel`.
        attention_prob: see :class:`recsim.choice_model.CascadeChoiceModel`.
        no_click_mass: score (or logit) of no click.
        keep_interact_prob: probability of interacting with another document of the slate.
        min_doc_utility: least utility of a document to interact with.
        user_update_alpha: share of the watch time that a unit of utility gives back.
        watched_videos: IDs of the videos watched.
        impressed_videos: IDs of the videos shown.
        liked_videos: IDs of the videos liked.
        step_penalty: budget that a slate without a click costs.
        min_normalizer: what a proportional choice model subtracts from scores.
        user_quality_factor: weight of the user's own score in the received utility.
        document_quality_factor: weight of the video's quality in the received utility.
    """

    #: Number of features (topics).
    NUM_FEATURES: int = 20

    def __init__(
        self,
        user_interests: np.ndarray,
        time_budget: float | None = None,
        score_scaling: float | None = None,
        attention_prob: float | None = None,
        no_click_mass: float | None = None,
        keep_interact_prob: Any = None,
        min_doc_utility: float | None = None,
        user_update_alpha: float | None = None,
        watched_videos: set[int] | None = None,
        impressed_videos: set[int] | None = None,
        liked_videos: set[int] | None = None,
        step_penalty: float | None = None,
        min_normalizer: float | None = None,
        user_quality_factor: float | None = None,
        document_quality_factor: float | None = None,
    ) -> None:
        self.user_interests = user_interests
        self.time_budget: Any = time_budget
        self.keep_interact_prob = keep_interact_prob
        self.min_doc_utility = min_doc_utility
        #: What the choice model is made of.
        self.choice_features = {
            "score_scaling": score_scaling,
            "attention_prob": attention_prob,
            "no_click_mass": no_click_mass,
            "min_normalizer": min_normalizer,
        }
        self.user_update_alpha: Any = user_update_alpha
        self.step_penalty: Any = step_penalty
        self.user_quality_factor: Any = user_quality_factor
        self.document_quality_factor: Any = document_quality_factor
        self.watched_videos = watched_videos
        self.impressed_videos = impressed_videos
        self.liked_videos = liked_videos

    def score_document(self, doc_obs: np.ndarray) -> float:
        """Returns the inner product of the interests and a video's features.

        Raises:
            ValueError: if their shapes differ.
        """
        if self.user_interests.shape != doc_obs.shape:
            raise ValueError(
                f"doc_obs must have the shape of the user's interests, {self.user_interests.shape},"
                f" got {doc_obs.shape}."
            )
        return np.dot(self.user_interests, doc_obs)

    def score_documents(self, doc_obs: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the scores of a list of videos' features, shape (n_docs,).

        Raises:
            ValueError: if the shapes of features and interests differ.
        """
        features = np.array(doc_obs)
        if features.shape[1:] != self.user_interests.shape:
            raise ValueError(
                "doc_obs must hold features of the shape of the user's interests, "
                f"{self.user_interests.shape}, got {features.shape[1:]}."
            )
        return features.dot(self.user_interests)

    def create_observation(self) -> np.ndarray:
        """Returns a copy of the interests, float64 of shape (NUM_FEATURES,)."""
        return self.user_interests.copy()

    @classmethod
    def observation_space(cls) -> spaces.Box:
        """Returns the space of the interests."""
        return spaces.Box(shape=(cls.NUM_FEATURES,), dtype=np.float32, low=-1.0, high=1.0)


class IEvUserDistributionSampler(user.AbstractUserSampler):
    """Samples users with uniform interests and fixed parameters for a cascade choice model.

    Args:
        user_ctor: class of the user states.
        **kwargs: ``seed``, see :class:`recsim.user.AbstractUserSampler`.
    """

    def __init__(self, user_ctor: Callable[..., Any] = IEvUserState, **kwargs: Any) -> None:
        super().__init__(user_ctor, **kwargs)

    def sample_user(self) -> Any:
        """Returns a new user state."""
        return self._user_ctor(
            user_interests=self._rng.uniform(
                -1.0,
                1.0,
                self.get_user_ctor().NUM_FEATURES,  # type: ignore[attr-defined]
            ),
            time_budget=30,
            score_scaling=0.05,
            attention_prob=0.9,
            no_click_mass=1,
            keep_interact_prob=self._rng.beta(1, 3, 1),
            min_doc_utility=0.1,
            user_update_alpha=0,
            watched_videos=set(),
            impressed_videos=set(),
            liked_videos=set(),
            step_penalty=1.0,
            min_normalizer=-1.0,
            user_quality_factor=1.0,
            document_quality_factor=1.0,
        )


@configurable()
class UtilityModelUserSampler(user.AbstractUserSampler):
    """Samples users with uniform interests and 200 minutes, whom only a video's quality rewards.

    Args:
        user_ctor: class of the user states.
        document_quality_factor: weight of the video's quality in the received utility.
        no_click_mass: score of no click.
        min_normalizer: what the choice model subtracts from scores.
        **kwargs: ``seed``, see :class:`recsim.user.AbstractUserSampler`.
    """

    # A unit of quality gives back 0.9 of the watch time, over 3.4: the qualities of the default
    # videos, in [-3, 3] with a deviation of 0.1, over 3.4 lie within [-1, 1].
    _USER_UPDATE_ALPHA = 0.9 * (1.0 / 3.4)

    def __init__(
        self,
        user_ctor: Callable[..., Any] = IEvUserState,
        document_quality_factor: float = 1.0,
        no_click_mass: float = 1.0,
        min_normalizer: float = -1.0,
        **kwargs: Any,
    ) -> None:
        self._no_click_mass = validation.number("no_click_mass", no_click_mass)
        self._min_normalizer = validation.number("min_normalizer", min_normalizer)
        self._document_quality_factor = validation.number(
            "document_quality_factor", document_quality_factor, -_LARGEST, _LARGEST
        )
        super().__init__(user_ctor, **kwargs)

    def sample_user(self) -> Any:
        """Returns a new user state."""
        return self._user_ctor(
            user_interests=self._rng.uniform(
                -1.0,
                1.0,
                self.get_user_ctor().NUM_FEATURES,  # type: ignore[attr-defined]
            ),
            time_budget=200.0,
            no_click_mass=self._no_click_mass,
            step_penalty=0.5,
            score_scaling=0.05,
            attention_prob=0.65,
            min_normalizer=self._min_normalizer,
            user_quality_factor=0.0,
            document_quality_factor=self._document_quality_factor,
            user_update_alpha=self._USER_UPDATE_ALPHA,
        )


class IEvUserModel(user.AbstractUserModel):
    """A user whose interests and time budget change with what is watched.

    Args:
        slate_size: number of documents in a slate.
        choice_model_ctor: class of the choice model, called with the user's ``choice_features``.
        response_model_ctor: class of the responses.
        user_state_ctor: class of the user states.
        no_click_mass: score of no click.
        seed: seed of the sampler of users.
        alpha_x_intercept: see :func:`updated_interests`.
        alpha_y_intercept: see :func:`updated_interests`.

    Raises:
        ValueError: if ``choice_model_ctor`` is None.
    """

    def __init__(
        self,
        slate_size: int,
        choice_model_ctor: Callable[..., Any] | None = None,
        response_model_ctor: Callable[..., Any] = IEvResponse,
        user_state_ctor: Callable[..., Any] = IEvUserState,
        no_click_mass: float = 1.0,
        seed: int | None = 0,
        alpha_x_intercept: float = 1.0,
        alpha_y_intercept: float = 0.3,
    ) -> None:
        if choice_model_ctor is None:
            raise ValueError(
                "choice_model_ctor must be a class of choice models, such as "
                "recsim.choice_model.MultinomialProportionalChoiceModel, got None."
            )
        sampler = UtilityModelUserSampler(
            user_ctor=user_state_ctor, no_click_mass=no_click_mass, seed=seed
        )
        super().__init__(response_model_ctor, sampler, slate_size)
        self.choice_model = choice_model_ctor(self._user_state.choice_features)
        self.use_generator(self.environment_rng)
        x_intercept = validation.number("alpha_x_intercept", alpha_x_intercept)
        if abs(x_intercept) < validation.SMALLEST:
            raise ValueError(f"alpha_x_intercept must not be 0, got {alpha_x_intercept!r}.")
        self._alpha_x_intercept = x_intercept
        self._alpha_y_intercept = validation.number("alpha_y_intercept", alpha_y_intercept)

    def is_terminal(self) -> bool:
        """Says whether the time budget is used up."""
        return bool(self._user_state.time_budget <= 0)

    def update_state(self, slate_documents: Sequence[Any], responses: Sequence[Any]) -> None:
        """Changes interests and budget by the (first) video clicked, or takes the step penalty."""
        state = self._user_state
        for video, response in zip(slate_documents, responses):
            if response.clicked:
                utility = self._received_utility(video)
                state.user_interests = _updated_interests(
                    state.user_interests,
                    video.features,
                    self.environment_rng.random_sample(),
                    self._alpha_x_intercept,
                    self._alpha_y_intercept,
                )
                state.time_budget = _updated_budget(
                    state.time_budget, response.watch_time, utility, state.user_update_alpha
                )
                return
        state.time_budget -= state.step_penalty

    def _received_utility(self, video: Any) -> float:
        state = self._user_state
        utility = state.document_quality_factor * video.quality
        if state.user_quality_factor:
            self.choice_model.score_documents(state, [video.create_observation()])
            utility += state.user_quality_factor * self.choice_model.scores[0]
        return utility

    def simulate_response(self, documents: Sequence[Any]) -> list[Any]:
        """Returns the responses to a slate of IEvVideo, at most one of which is a click."""
        responses = [self._response_model_ctor() for _ in documents]
        observations = [video.create_observation() for video in documents]
        self.choice_model.score_documents(self._user_state, observations)
        clicked = self.choice_model.choose_item()
        for video, response in zip(documents, responses):
            response.quality = video.quality
            response.cluster_id = video.cluster_id
        if clicked is not None:
            self._generate_click_response(documents[clicked], responses[clicked])
        return responses

    def _generate_click_response(self, doc: Any, response: Any) -> None:
        """Turns the response to a chosen video into a click: it is watched while time is left."""
        response.clicked = True
        response.watch_time = min(self._user_state.time_budget, doc.video_length)


def clicked_watchtime_reward(responses: Sequence[Any]) -> float:
    """Returns the time watched of the videos clicked among the responses."""
    watch_time = sum([response.watch_time for response in responses if response.clicked], 0.0)
    if isinstance(watch_time, float):
        return float(watch_time)
    return numbers.as_float("watch_time", watch_time)


def total_clicks_reward(responses: Sequence[Any]) -> float:
    """Returns the number of clicks among the responses."""
    clicks = sum([response.clicked for response in responses])
    return float(clicks) if type(clicks) is int else numbers.as_float("the clicks", clicks)


_CHOICE_MODELS = {
    "multinomial_proportional": choice_model.MultinomialProportionalChoiceModel,
    "multinomial_logit": choice_model.MultinomialLogitChoiceModel,
    "exponential_cascade": choice_model.ExponentialCascadeChoiceModel,
    "proportional_cascade": choice_model.ProportionalCascadeChoiceModel,
}


def create_environment(env_config: Mapping[str, Any]) -> recsim_gym.RecSimGymEnv:
    """Creates the interest evolution environment.

    Args:
        env_config: a dictionary with ``num_candidates``, ``slate_size``, ``resample_documents``
            (whether each step has new documents) and ``seed``; further it may have
            ``choice_model``, how users choose: 'multinomial_proportional' (the default),
            'multinomial_logit', 'exponential_cascade' or 'proportional_cascade', with which users
            look at the documents one by one, each with an attention of 0.65.

    Returns:
        A Gym environment whose reward is the time watched, in minutes.

    Raises:
        KeyError, TypeError, ValueError: for a config that gives no world.

    Example:
        >>> env = create_environment(
        ...     {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 0})
        >>> observation = env.reset()
        >>> observation["user"].shape
        (20,)
    """
    user_model, document_sampler = _world(env_config)
    return recsim_gym.RecSimGymEnv(
        _config.single_user_world(env_config, user_model, document_sampler),
        clicked_watchtime_reward,
        utils.aggregate_video_cluster_metrics,
        _config.video_metrics_writer(user_model),
    )


def _world(env_config: Mapping[str, Any]) -> tuple[IEvUserModel, UtilityModelVideoSampler]:
    """Returns the user model and the sampler of videos of a config."""
    _config.check_config(env_config, CONFIG_KEYS)
    name = env_config.get("choice_model", "multinomial_proportional")
    if not isinstance(name, str) or name not in _CHOICE_MODELS:
        raise ValueError(
            f"env_config['choice_model'] must be one of {', '.join(map(repr, _CHOICE_MODELS))}, "
            f"got {name!r}.{validation.nearest_name(str(name), _CHOICE_MODELS)}"
        )
    seed = env_config["seed"]
    user_model = IEvUserModel(
        env_config["slate_size"],
        choice_model_ctor=_CHOICE_MODELS[name],
        response_model_ctor=IEvResponse,
        user_state_ctor=IEvUserState,
        seed=seed,
    )
    return user_model, UtilityModelVideoSampler(doc_ctor=IEvVideo, seed=seed)


@dataclasses.dataclass
class VectorIEvDocuments:
    """Videos of many users, each of one topic."""

    cluster_id: np.ndarray  # (n_users, n_docs), int32: topics.
    quality: np.ndarray  # (n_users, n_docs)


@dataclasses.dataclass
class VectorIEvUsers:
    """Many users."""

    interests: np.ndarray  # (n_users, n_topics), in [-1, 1]
    time_budget: np.ndarray  # (n_users,): time left, in minutes.


@dataclasses.dataclass
class VectorIEvResponses:
    """The responses of many users to their slates."""

    clicked: np.ndarray  # (n_users, slate_size), bool
    watch_time: np.ndarray  # (n_users, slate_size): 0 where nothing was clicked.
    quality: np.ndarray  # (n_users, slate_size): of the videos, clicked or not.
    cluster_id: np.ndarray  # (n_users, slate_size), int32: their topics.


class VectorIEvDocumentSampler(scenario.VectorDocumentSampler):
    """Samples videos as a single-user sampler does, for many users.

    Args:
        sampler: the single-user sampler.
    """

    def __init__(self, sampler: UtilityModelVideoSampler) -> None:
        self._means = sampler.cluster_means
        self._one_hot = sampler._one_hot

    def sample(self, stream: streams.RandomStream, num_documents: int) -> VectorIEvDocuments:
        """See :meth:`recsim.vector.scenario.VectorDocumentSampler.sample`."""
        topics = stream.integers(len(self._means), num_documents)
        means = self._means.astype(stream.dtype).take(topics)
        return VectorIEvDocuments(topics, means + 0.1 * stream.normal(num_documents))

    def observe(self, documents: VectorIEvDocuments) -> np.ndarray:
        """Returns the videos' features, shape (n_users, n_docs, n_topics)."""
        one_hot = self._one_hot.astype(documents.quality.dtype)
        return one_hot.take(documents.cluster_id, axis=0)

    def observation_space(self, num_documents: int) -> Any:
        """Returns the space of the features of one user's videos."""
        from gymnasium import spaces

        return spaces.Box(-1.0, 1.0, (num_documents, len(self._means)), np.float32)


class VectorIEvUserModel(scenario.VectorUserModel):
    """Users as those of a single-user model, many of them.

    Videos have one topic each, so that the inner product of features and interests is the
    interest in the topic, and watching a video changes that interest alone.

    Args:
        user_model: the single-user model, of a :class:`UtilityModelUserSampler`.
        video_length: length of the videos, in minutes.
    """

    def __init__(self, user_model: IEvUserModel, video_length: float) -> None:
        super().__init__(user_model._slate_size)
        self._choice_model: Any = user_model.choice_model
        self._user = user_model._user_state
        self._num_topics = len(self._user.user_interests)
        self._video_length = video_length
        self._intercepts = user_model._alpha_x_intercept, user_model._alpha_y_intercept

    def sample_users(self, stream: streams.RandomStream) -> VectorIEvUsers:
        """See :meth:`recsim.vector.scenario.VectorUserModel.sample_users`."""
        interests = 2.0 * stream.uniform(self._num_topics) - 1.0
        budget = np.full(stream.num_users, self._user.time_budget, stream.dtype)
        return VectorIEvUsers(interests, budget)

    def choose(
        self, users: VectorIEvUsers, documents: VectorIEvDocuments, stream: streams.RandomStream
    ) -> np.ndarray:
        """See :meth:`recsim.vector.scenario.VectorUserModel.choose`."""
        scores = arrays.take_along_rows(users.interests, documents.cluster_id)
        weights = self._choice_model.choice_weights(scores)
        return choice_model.sampled_choices(weights, stream.uniform())

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
        return np.minimum(users.time_budget, self._video_length)

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
        state = self._user
        clicked = choice < self.slate_size
        video = scenario.chosen_documents(documents, choice)
        # Where nothing was clicked, what is computed with some video of the slate is not used.
        positions = arrays.row_positions(video.cluster_id[:, np.newaxis], self._num_topics)[0]
        interests = users.interests.reshape(-1)
        interest = interests.take(positions)
        new_interest = _updated_interests(
            interest[:, np.newaxis],
            np.ones_like(interest)[:, np.newaxis],
            stream.uniform(),
            *self._intercepts,
        )[:, 0]
        interests[positions] = np.where(clicked, new_interest, interest)
        budget = _updated_budget(
            users.time_budget,
            self._watch_time(users),
            state.document_quality_factor * video.quality,
            state.user_update_alpha,
        )
        users.time_budget = np.where(clicked, budget, users.time_budget - state.step_penalty)
        return users

    def is_done(self, users: VectorIEvUsers) -> np.ndarray:
        """Says whose time budget is used up."""
        return users.time_budget <= 0

    def observe_users(self, users: VectorIEvUsers) -> np.ndarray:
        """Returns a copy of the interests, shape (n_users, n_topics)."""
        return users.interests.copy()

    def user_space(self) -> Any:
        """Returns the space of one user's interests."""
        from gymnasium import spaces

        return spaces.Box(-1.0, 1.0, (self._num_topics,), np.float32)

    def observe_responses(self, responses: VectorIEvResponses) -> dict[str, np.ndarray]:
        """Returns ``click``, ``watch_time``, ``liked``, ``quality`` and ``cluster_id``."""
        return {
            "click": responses.clicked.astype(np.int32),
            "watch_time": responses.watch_time,
            "liked": np.zeros(responses.clicked.shape, np.int32),
            "quality": responses.quality,
            "cluster_id": responses.cluster_id,
        }

    def response_space(self) -> Any:
        """Returns the space of one user's responses."""
        from gymnasium import spaces

        size = self.slate_size
        return spaces.Dict(
            {
                "click": spaces.MultiDiscrete(np.full(size, 2), dtype=np.int32),
                "watch_time": spaces.Box(0.0, IEvVideo.MAX_VIDEO_LENGTH, (size,), np.float32),
                "liked": spaces.MultiDiscrete(np.full(size, 2), dtype=np.int32),
                "quality": spaces.Box(
                    IEvResponse.MIN_QUALITY_SCORE,
                    IEvResponse.MAX_QUALITY_SCORE,
                    (size,),
                    np.float32,
                ),
                "cluster_id": spaces.MultiDiscrete(np.full(size, self._num_topics), dtype=np.int32),
            }
        )


def total_watch_time(responses: VectorIEvResponses) -> np.ndarray:
    """Returns the times watched of what was clicked: the rewards, shape (n_users,)."""
    return responses.watch_time.sum(axis=1)


def create_vector_environment(
    env_config: Mapping[str, Any], num_envs: int, **options: Any
) -> vector_env.RecSimVectorEnv:
    """Creates the interest evolution environment for many users.

    Args:
        env_config: as :func:`create_environment` takes it. Without ``resample_documents`` all
            users share the candidates, and keep them.
        num_envs: number of users.
        **options: ``candidates``, ``max_steps_per_episode``, ``first_user`` and ``dtype``, see
            :class:`recsim.vector.env.RecSimVectorEnv`.

    Returns:
        A Gymnasium vector environment whose rewards are the times watched, in minutes.

    Raises:
        KeyError, TypeError, ValueError: for a config or an option that gives no world.
    """
    from recsim.vector import env as vector_env

    user_model, document_sampler = _world(env_config)
    return vector_env.RecSimVectorEnv(
        VectorIEvUserModel(user_model, document_sampler._video_length),
        VectorIEvDocumentSampler(document_sampler),
        num_envs=num_envs,
        reward_aggregator=total_watch_time,
        metrics_aggregator=utils.video_cluster_metrics,
        metrics_writer=_config.video_metrics_writer(user_model),
        **_config.vector_options(env_config, options),
    )
