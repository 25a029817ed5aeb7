"""Interest evolution: users whose interests drift towards, or away from, what they watch.

**Description.** A user has interests in topics and a time budget. Videos have one topic each and a
quality, which is higher for topics of higher numbers and is not observed.

**Observation space.** The user's interests, shape (num_topics,), in [-1, 1]; a video's features,
one-hot of its topic, shape (num_topics,); of a response ``click``, ``watch_time``, ``liked`` (0
here), ``quality`` and the topic, ``cluster_id``.

**Action space.** A slate of ``slate_size`` candidates.

**Reward.** The time watched, in minutes.

**Dynamics.** The score of a video is the inner product of its features and the interests, and the
user chooses by a choice model of the scores. Watching a video moves the interest in its topic, and
costs time, of which it gives back some where the video's quality is good; a slate without a click
costs a step penalty. Of several clicks each is watched, moves its interest and costs its time, in
the order of the slate, while time is left; what a video gives back follows from the user's state
when the slate was shown.

**Episode end.** When the time budget is used up.

**Parameters**, which are entries of ``env_config`` (with their defaults) and attributes of
:class:`IEvParameters`; times are in minutes, a *score* is a user's interest in a video's topic:

- ``num_topics`` (20): number of topics, 1 to 10,000; by default ``IEvVideo.NUM_FEATURES``.
- ``min_utility`` (-3.0): mean quality of the videos of the first topic.
- ``max_utility`` (3.0): mean quality of the videos of the last topic.
- ``low_quality_share`` (0.7): share of the topics, in [0, 1] and rounded down to whole ones, whose
  mean qualities are evenly spaced from ``min_utility`` to 0; those of the others are, from 0 to
  ``max_utility``.
- ``quality_stddev`` (0.1): standard deviation of a video's quality, at least 0.
- ``video_length`` (4.0): length of every video, above 0.
- ``max_video_length`` (100.0): longest video, the upper bound of the watch times that are observed;
  by default ``IEvVideo.MAX_VIDEO_LENGTH``.
- ``min_interest`` (-1.0): least interest of a new user in a topic, in [-1, 1].
- ``max_interest`` (1.0): greatest one, in [min_interest, 1]. Interests are uniform between the two.
- ``time_budget`` (200.0): time that a new user has, above 0.
- ``step_penalty`` (0.5): time that a slate without a click costs, at least 0.
- ``document_quality_factor`` (1.0): weight of a video's quality in the received utility.
- ``user_quality_factor`` (0.0): weight, in the received utility, of the choice model's weight for a
  slate of that video alone.
- ``user_update_alpha`` (0.26471): share of the watch time that a unit of received utility gives
  back: 0.9 / 3.4.
- ``alpha_x_intercept`` (1.0): strength of an interest that watching changes no more, 1e-6 to 1e6 in
  size.
- ``alpha_y_intercept`` (0.3): change of an interest of 0 in the topic of the video watched.
- ``choice_model`` ('multinomial_proportional'): how users choose; or 'multinomial_logit',
  'exponential_cascade' or 'proportional_cascade', with which they look at the documents one by one;
  or a model of several clicks, 'position_based', 'dependent_click' or 'multi_click_cascade'.
- ``no_click_mass`` (1.0): score of no click (multinomial models).
- ``min_normalizer`` (-1.0): what is subtracted from scores, at most -1 (proportional models, and
  those of several clicks).
- ``score_scaling`` (0.05): factor that turns the weights of documents into probabilities of clicks,
  at least 0 (cascade models, and those of several clicks).
- ``attention_prob`` (0.65): probability that a user looks at the next document, in [0, 1] (cascade
  models).
- ``examination_decay`` (0.85): probability of a look at a position over that at the one before, in
  [0, 1] (position-based model).
- ``continue_after_click`` (0.5): probability of continuing to the next document after a click
  (dependent clicks, cascade of several clicks).
- ``continue_after_skip`` (1.0): probability of continuing without one (cascade of several clicks).

**References.** Ie et al., arXiv 1905.12767, section 7.

The functions are the scenario's mathematics on arrays with any leading axes; the classes call
them for one user, or for many.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recsim import (
    choice_model,
    document,  # noqa: F401  # A name of RecSim's module.
    types,
    user,
    utils,
)
from recsim._internal import lazy, numbers, validation
from recsim._internal.gym_import import spaces
from recsim.environments import _config
from recsim.environments.interest_evolution import _dynamics
from recsim.environments.interest_evolution._parameters import (
    DocumentParameters,
    IEvParameters,
    UserParameters,
    x_intercept,
)
from recsim.environments.interest_evolution._users import (
    IEvUserDistributionSampler,
    IEvUserState,
    UtilityModelUserSampler,
)
from recsim.environments.interest_evolution._videos import (
    IEvVideo,
    IEvVideoSampler,
    UtilityModelVideoSampler,
)
from recsim.simulator import recsim_gym

if TYPE_CHECKING:
    from recsim.environments.interest_evolution._several_clicks import VectorIEvMultiClickUserModel
    from recsim.environments.interest_evolution._vectorized import (
        VectorIEvDocuments,
        VectorIEvDocumentSampler,
        VectorIEvResponses,
        VectorIEvUserModel,
        VectorIEvUsers,
        total_watch_time,
    )
    from recsim.vector import env as vector_env

__all__ = [
    "CONFIG_KEYS",
    "IEvParameters",
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
    "VectorIEvMultiClickUserModel",
    "VectorIEvResponses",
    "VectorIEvUserModel",
    "VectorIEvUsers",
    "clicked_watchtime_reward",
    "create_environment",
    "create_vector_environment",
    "parameters_of",
    "total_clicks_reward",
    "total_watch_time",
    "updated_budget",
    "updated_interests",
]

# What the vector engine needs loads at its first use.
__getattr__, __dir__ = lazy.lazy_submodules(
    __name__,
    (),
    {
        "VectorIEvDocuments": "_vectorized",
        "VectorIEvDocumentSampler": "_vectorized",
        "VectorIEvMultiClickUserModel": "_several_clicks",
        "VectorIEvResponses": "_vectorized",
        "VectorIEvUserModel": "_vectorized",
        "VectorIEvUsers": "_vectorized",
        "total_watch_time": "_vectorized",
    },
)

#: The entries that a config may have beside those of every scenario: the parameters.
CONFIG_KEYS = _config.names_of(IEvParameters)

# The formulas with checks of their arguments, which broadcast against each other.
updated_interests: Callable[..., Any] = numbers.on_floats()(_dynamics.updated_interests)
updated_budget: Callable[..., Any] = numbers.on_floats()(_dynamics.updated_budget)


class IEvResponse(user.AbstractResponse, metaclass=_config.ClassWithConstants):
    """A user's response to a video.

    Args:
        clicked: whether the video was clicked.
        watch_time: time watched, in [0, MAX_VIDEO_LENGTH of the video_class].
        liked: whether the video was liked.
        quality: the video's quality, in [MIN_QUALITY_SCORE, MAX_QUALITY_SCORE].
        cluster_id: the video's topic, in [0, NUM_FEATURES of the video_class).
    """

    MIN_QUALITY_SCORE = -100
    MAX_QUALITY_SCORE = 100

    #: The class of the videos, whose constants are in the response space.
    video_class: type[IEvVideo] = IEvVideo

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
        clicked, liked, topic = self.clicked, self.liked, self.cluster_id
        # Bools and integers, which these are as a rule, need no call.
        return {
            "click": 0 if clicked is False else 1 if clicked is True else int(clicked),
            "watch_time": np.array(self.watch_time),
            "liked": 0 if liked is False else int(liked),
            "quality": np.array(self.quality),
            "cluster_id": topic if type(topic) is int else int(topic),
        }

    @classmethod
    def response_space(cls) -> spaces.Dict:
        """Returns the space of a response."""
        return spaces.Dict(
            {
                "click": spaces.Discrete(2),
                "watch_time": spaces.Box(
                    low=0.0, high=cls.video_class.MAX_VIDEO_LENGTH, shape=(), dtype=np.float32
                ),
                "liked": spaces.Discrete(2),
                "quality": spaces.Box(
                    low=cls.MIN_QUALITY_SCORE,
                    high=cls.MAX_QUALITY_SCORE,
                    shape=(),
                    dtype=np.float32,
                ),
                "cluster_id": spaces.Discrete(cls.video_class.NUM_FEATURES),
            }
        )


class IEvUserModel(user.AbstractUserModel):
    """A user whose interests and time budget change with what is watched.

    Args:
        slate_size: number of documents in a slate.
        choice_model_ctor: class of the choice model, called with the user's ``choice_features``.
            If it is one of several clicks, such as
            :class:`recsim.choice_model.PositionBasedChoiceModel`, the user watches what is clicked
            in the order of the slate.
        response_model_ctor: class of the responses.
        user_state_ctor: class of the user states.
        no_click_mass: score of no click.
        seed: seed of the sampler of users.
        alpha_x_intercept: see :func:`updated_interests`.
        alpha_y_intercept: see :func:`updated_interests`.
        user_sampler: a sampler to use in place of a :class:`UtilityModelUserSampler` of
            ``user_state_ctor``, ``no_click_mass`` and ``seed``.

    Raises:
        ValueError: if ``choice_model_ctor`` is None.
    """

    _clicks_several = False  # Of subclasses with an __init__ of their own.

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
        *,
        user_sampler: user.AbstractUserSampler | None = None,
    ) -> None:
        if choice_model_ctor is None:
            raise ValueError(
                "choice_model_ctor must be a class of choice models, such as "
                "recsim.choice_model.MultinomialProportionalChoiceModel, got None."
            )
        sampler = user_sampler or UtilityModelUserSampler(
            user_ctor=user_state_ctor, no_click_mass=no_click_mass, seed=seed
        )
        super().__init__(response_model_ctor, sampler, slate_size)
        self.choice_model = choice_model_ctor(self._user_state.choice_features)
        self._clicks_several = isinstance(self.choice_model, choice_model.MultiClickChoiceModel)
        self.use_generator(self.environment_rng)
        self._alpha_x_intercept = x_intercept("alpha_x_intercept", alpha_x_intercept)
        self._alpha_y_intercept = validation.number("alpha_y_intercept", alpha_y_intercept)

    def is_terminal(self) -> bool:
        """Says whether the time budget is used up."""
        return bool(self._user_state.time_budget <= 0)

    def update_state(self, slate_documents: Sequence[Any], responses: Sequence[Any]) -> None:
        """Changes interests and budget by the (first) video clicked, or takes the step penalty.

        With a choice model of several clicks all of them count, in the order of the slate.
        """
        if self._clicks_several:
            self._update_by_clicks(slate_documents, responses)
            return
        state = self._user_state
        for video, response in zip(slate_documents, responses):
            if response.clicked:
                utility = self._received_utility(video)
                state.user_interests = _dynamics.updated_interests_of_one(
                    state.user_interests,
                    video.features,
                    self.environment_rng.random_sample(),
                    self._alpha_x_intercept,
                    self._alpha_y_intercept,
                )
                state.time_budget = _dynamics.updated_budget(
                    state.time_budget, response.watch_time, utility, state.user_update_alpha
                )
                return
        state.time_budget -= state.step_penalty

    def _update_by_clicks(self, slate_documents: Sequence[Any], responses: Sequence[Any]) -> None:
        state = self._user_state
        clicks = [pair for pair in zip(slate_documents, responses) if pair[1].clicked]
        # Of the user to whom the slate was shown.
        utilities = [self._received_utility(video) for video, _ in clicks]
        for (video, response), utility in zip(clicks, utilities):
            state.user_interests = _dynamics.updated_interests_of_one(
                state.user_interests,
                video.features,
                self.environment_rng.random_sample(),
                self._alpha_x_intercept,
                self._alpha_y_intercept,
            )
            state.time_budget = _dynamics.updated_budget(
                state.time_budget, response.watch_time, utility, state.user_update_alpha
            )
        if not clicks:
            state.time_budget -= state.step_penalty

    def _received_utility(self, video: IEvVideo) -> float:
        state = self._user_state
        utility: float = state.document_quality_factor * video.quality
        if state.user_quality_factor:
            self.choice_model.score_documents(state, [video.create_observation()])
            utility += state.user_quality_factor * self.choice_model.scores[0]
        return utility

    def simulate_response(self, documents: Sequence[Any]) -> list[Any]:
        """Returns the responses to a slate of IEvVideo, as many clicks as the choice model has."""
        make, several = self._response_model_ctor, self._clicks_several
        responses = [make() for _ in documents]
        observations = [video.create_observation() for video in documents]
        self.choice_model.score_documents(self._user_state, observations)
        clicked = None if several else self.choice_model.choose_item()
        for video, response in zip(documents, responses):
            response.quality = video.quality
            response.cluster_id = video.cluster_id
        if several:
            self._click_several(documents, responses)
        elif clicked is not None:
            self._generate_click_response(documents[clicked], responses[clicked])
        return responses

    def _click_several(self, documents: Sequence[Any], responses: Sequence[Any]) -> None:
        """Turns responses into clicks, in the order of the slate, while time is left."""
        state = self._user_state
        left = state.time_budget
        for position in self.choice_model.choose_items():
            if left <= 0:
                break
            video, response = documents[position], responses[position]
            response.clicked = True
            response.watch_time = min(left, video.video_length)
            left = _dynamics.updated_budget(
                left, response.watch_time, self._received_utility(video), state.user_update_alpha
            )

    def _generate_click_response(self, doc: IEvVideo, response: IEvResponse) -> None:
        """Turns the response to a chosen video into a click: it is watched while time is left."""
        response.clicked = True
        response.watch_time = min(self._user_state.time_budget, doc.video_length)


def clicked_watchtime_reward(responses: Sequence[Any]) -> float:
    """Returns the time watched of the videos clicked among the responses."""
    watch_time = 0.0
    for response in responses:
        if response.clicked:
            watch_time += response.watch_time
    return watch_time if type(watch_time) is float else numbers.as_float("watch_time", watch_time)


def total_clicks_reward(responses: Sequence[Any]) -> float:
    """Returns the number of clicks among the responses."""
    clicks = sum([response.clicked for response in responses])
    return float(clicks) if type(clicks) is int else numbers.as_float("the clicks", clicks)


def parameters_of(env_config: types.EnvConfig) -> IEvParameters:
    """Returns the scenario's parameters, which both engines read.

    Args:
        env_config: as :func:`create_environment` takes it. What it leaves out is what gin binds for
            :class:`UtilityModelUserSampler` or, by default, RecSim's value. The numbers of topics
            and the longest video are then the constants of :class:`IEvVideo`.

    Raises:
        KeyError, TypeError, ValueError: for a config that gives no environment; ValueError too if
            it contradicts a constant that was set.
    """
    _config.check_config(env_config, CONFIG_KEYS)
    # The user model gives its sampler the mass of no click itself.
    bound = set(_config.names_of(UserParameters)) - {"no_click_mass"}
    parameters = _config.parameters_of(
        IEvParameters,
        env_config,
        {UtilityModelUserSampler: bound},
        num_topics=_constant(IEvVideo, "NUM_FEATURES", "num_topics", env_config),
        max_video_length=_constant(IEvVideo, "MAX_VIDEO_LENGTH", "max_video_length", env_config),
    )
    _constant(IEvUserState, "NUM_FEATURES", "num_topics", {"num_topics": parameters.num_topics})
    _check_qualities(parameters)
    return parameters


def _constant(of_class: type, constant: str, name: str, env_config: types.EnvConfig) -> object:
    default = getattr(IEvParameters, name)
    return _config.class_constant(of_class, constant, default, name, env_config)


def _check_qualities(parameters: IEvParameters) -> None:
    """Raises ValueError if a quality may be outside the response space."""
    # Of 10**18 normal numbers one is beyond 9.
    spread = 9.0 * parameters.quality_stddev
    least = min(parameters.min_utility, 0.0) - spread
    most = max(parameters.max_utility, 0.0) + spread
    low, high = IEvResponse.MIN_QUALITY_SCORE, IEvResponse.MAX_QUALITY_SCORE
    if least < low or most > high:
        raise ValueError(
            "min_utility - 9 * quality_stddev and max_utility + 9 * quality_stddev must be in "
            f"[{low}, {high}], IEvResponse's MIN_QUALITY_SCORE and MAX_QUALITY_SCORE, got {least:g}"
            f" and {most:g}."
        )


def _classes(
    parameters: IEvParameters,
) -> tuple[type[IEvVideo], type[IEvUserState], type[IEvResponse]]:
    """Returns the classes of videos, users and responses, whose spaces are of the parameters."""
    video_class = _config.with_constants(
        IEvVideo,
        NUM_FEATURES=parameters.num_topics,
        MAX_VIDEO_LENGTH=parameters.max_video_length,
    )
    return (
        video_class,
        _config.with_constants(IEvUserState, NUM_FEATURES=parameters.num_topics),
        _config.with_constants(IEvResponse, video_class=video_class),
    )


def create_environment(env_config: types.EnvConfig) -> recsim_gym.RecSimGymEnv:
    """Creates the interest evolution environment.

    Args:
        env_config: a dictionary with ``num_candidates``, ``slate_size``, ``resample_documents``
            (whether each step has new documents) and ``seed``; and those attributes of
            :class:`IEvParameters` that are not the default ones.

    Returns:
        A Gym environment whose reward is the time watched, in minutes.

    Raises:
        KeyError, TypeError, ValueError: for a config that gives no environment.

    Example:
        >>> env = create_environment(
        ...     {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 0})
        >>> observation = env.reset()
        >>> observation["user"].shape
        (20,)
    """
    parameters = parameters_of(env_config)
    video_class, user_class, response_class = _classes(parameters)
    seed = env_config["seed"]
    user_model = IEvUserModel(
        env_config["slate_size"],
        choice_model_ctor=parameters.choice_model_ctor(env_config["slate_size"]),
        response_model_ctor=response_class,
        alpha_x_intercept=parameters.alpha_x_intercept,
        alpha_y_intercept=parameters.alpha_y_intercept,
        user_sampler=UtilityModelUserSampler(
            user_class, seed=seed, **_config.field_values(UserParameters, parameters)
        ),
    )
    document_sampler = UtilityModelVideoSampler(
        video_class, seed=seed, **_config.field_values(DocumentParameters, parameters)
    )
    return recsim_gym.RecSimGymEnv(
        _config.single_user_environment(env_config, user_model, document_sampler),
        clicked_watchtime_reward,
        utils.aggregate_video_cluster_metrics,
        _config.video_metrics_writer(parameters.num_topics),
    )


def create_vector_environment(
    env_config: types.EnvConfig, num_envs: int, **options: object
) -> vector_env.RecSimVectorEnv:
    """Creates the interest evolution environment for users in parallel.

    Args:
        env_config: as :func:`create_environment` takes it. Without ``resample_documents`` all
            users share the candidates, and keep them.
        num_envs: number of users.
        **options: ``candidates``, ``max_steps_per_episode``, ``first_user`` and ``dtype``, see
            :class:`recsim.vector.env.RecSimVectorEnv`.

    Returns:
        A Gymnasium vector environment whose rewards are the times watched, in minutes.

    Raises:
        KeyError, TypeError, ValueError: for a config or an option that gives no environment.
    """
    from recsim.environments.interest_evolution import _several_clicks
    from recsim.environments.interest_evolution._vectorized import (
        VectorIEvDocumentSampler,
        VectorIEvUserModel,
        total_watch_time,
    )
    from recsim.vector import env as vector_env

    parameters = parameters_of(env_config)
    several = parameters.allows_several_clicks
    model_class = _several_clicks.VectorIEvMultiClickUserModel if several else VectorIEvUserModel
    video_class, user_class, response_class = _classes(parameters)
    return vector_env.RecSimVectorEnv(
        model_class(
            parameters,
            env_config["slate_size"],
            user_class.observation_space(),
            response_class.response_space(),
        ),
        VectorIEvDocumentSampler(parameters, video_class.observation_space()),
        num_envs=num_envs,
        reward_aggregator=total_watch_time,
        metrics_aggregator=utils.video_cluster_metrics,
        metrics_writer=_config.video_metrics_writer(parameters.num_topics),
        **_config.vector_options(env_config, options),
    )
