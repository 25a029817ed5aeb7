"""Long-term satisfaction: clickbait engages at once and, shown again and again, wears users out.

**Description.** A document has a clickbait score in [0, 1], from kale (nourishing) to choc
(tempting). Engagement with it is log-normal, its parameters interpolated between those of kale and
choc and its mean scaled by the user's satisfaction, a logistic function of the net positive
exposure (NPE), which is hidden.

**Observation space.** Nothing of the user (an empty array); of a document its clickbait score,
shape (1,); of a response ``click`` and ``engagement``, at most ``max_engagement_magnitude``.

**Action space.** A slate of ``slate_size`` candidates. The user always takes the first one.

**Reward.** The engagement with the document taken.

**Dynamics.** Each document taken changes the user's exposure::

    NPE' = memory_discount NPE - 2 (clickbait_score - 1/2) + N(0, innovation_stddev)

so that kale raises it and choc lowers it.

**Episode end.** After ``time_budget`` steps.

**Parameters**, which are entries of ``env_config`` (with their defaults) and attributes of
:class:`LTSParameters`:

- ``memory_discount`` (0.7): share of the NPE that is remembered from one step to the next, in
  [0, 1).
- ``sensitivity`` (0.01): how strongly the NPE moves satisfaction.
- ``innovation_stddev`` (0.05): standard deviation of the noise of the NPE, at least 0.
- ``choc_mean`` (5.0): mean of the logarithm of the engagement with pure clickbait.
- ``choc_stddev`` (1.0): its standard deviation, at least 0.
- ``kale_mean`` (4.0): mean of the logarithm of the engagement with no clickbait.
- ``kale_stddev`` (1.0): its standard deviation, at least 0.
- ``time_budget`` (60): number of steps, above 0; infinity for episodes that do not end by
  themselves.
- ``initial_exposure_scale`` (1.0): width of the uniform distribution, around 0, of new users' NPE,
  in units of 1 / (1 - memory_discount); at least 0.
- ``min_clickbait_score`` (0.0): least clickbait score of a document, in [0, 1].
- ``max_clickbait_score`` (1.0): greatest one, in [min_clickbait_score, 1]. Scores are uniform
  between the two.
- ``max_engagement_magnitude`` (100.0): greatest engagement that is observed, above 0; a greater
  one still counts in full in the reward. By default it is ``LTSResponse.MAX_ENGAGEMENT_MAGNITUDE``.

**References.** Ie et al., arXiv 1909.04847; Mladenov et al., arXiv 1905.13559.

The functions are the scenario's mathematics on numbers or arrays of any shape; the classes call
them for one user, or for many.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recsim import document, types, user
from recsim._internal import lazy, numbers
from recsim._internal.configurable import configurable
from recsim._internal.gym_import import spaces
from recsim.environments import _config
from recsim.environments.long_term_satisfaction import _dynamics
from recsim.environments.long_term_satisfaction._parameters import (
    DocumentParameters,
    LTSParameters,
    UserParameters,
)
from recsim.simulator import recsim_gym

if TYPE_CHECKING:
    from recsim.environments.long_term_satisfaction._vectorized import (
        VectorLTSDocuments,
        VectorLTSDocumentSampler,
        VectorLTSResponses,
        VectorLTSUserModel,
        VectorLTSUsers,
        total_engagement,
    )
    from recsim.vector import env as vector_env

__all__ = [
    "CONFIG_KEYS",
    "LTSDocument",
    "LTSDocumentSampler",
    "LTSParameters",
    "LTSResponse",
    "LTSStaticUserSampler",
    "LTSUserModel",
    "LTSUserState",
    "VectorLTSDocumentSampler",
    "VectorLTSDocuments",
    "VectorLTSResponses",
    "VectorLTSUserModel",
    "VectorLTSUsers",
    "clicked_engagement_reward",
    "create_environment",
    "create_vector_environment",
    "initial_net_positive_exposure",
    "interpolated",
    "log_engagement",
    "next_net_positive_exposure",
    "parameters_of",
    "satisfaction",
    "total_engagement",
]

# What the vector engine needs loads at its first use.
__getattr__, __dir__ = lazy.lazy_submodules(
    __name__,
    (),
    {
        "VectorLTSDocuments": "_vectorized",
        "VectorLTSDocumentSampler": "_vectorized",
        "VectorLTSResponses": "_vectorized",
        "VectorLTSUserModel": "_vectorized",
        "VectorLTSUsers": "_vectorized",
        "total_engagement": "_vectorized",
    },
)

# An array without entries can be handed out again and again: no one can change it.
_NOTHING = np.array([])
_USERS, _DOCUMENTS = UserParameters(), DocumentParameters()

#: The entries that a config may have beside those of every scenario: the parameters.
CONFIG_KEYS = _config.names_of(LTSParameters)

# The formulas with checks of their arguments, which broadcast against each other.
satisfaction: Callable[..., Any] = numbers.on_floats()(_dynamics.satisfaction)
next_net_positive_exposure: Callable[..., Any] = numbers.on_floats()(
    _dynamics.next_net_positive_exposure
)
initial_net_positive_exposure: Callable[..., Any] = numbers.on_floats()(
    _dynamics.initial_net_positive_exposure
)
log_engagement: Callable[..., Any] = numbers.on_floats()(_dynamics.log_engagement)
interpolated: Callable[..., Any] = numbers.on_floats()(_dynamics.interpolated)


class LTSUserModel(user.AbstractUserModel):
    """A user who takes the first document of each slate and remembers what it was like.

    Args:
        slate_size: number of documents in a slate.
        user_state_ctor: class of the user states, :class:`LTSUserState` by default.
        response_model_ctor: class of the responses, such as :class:`LTSResponse`.
        seed: seed of the sampler of users.
        user_sampler: a sampler to use in place of ``LTSStaticUserSampler(user_state_ctor, seed)``.

    Raises:
        TypeError: if ``response_model_ctor`` is missing.
    """

    def __init__(
        self,
        slate_size: int,
        user_state_ctor: Callable[..., Any] | None = None,
        response_model_ctor: Callable[..., Any] | None = None,
        seed: int | None = 0,
        *,
        user_sampler: user.AbstractUserSampler | None = None,
    ) -> None:
        sampler = user_sampler or LTSStaticUserSampler(
            user_ctor=user_state_ctor or LTSUserState, seed=seed
        )
        super().__init__(response_model_ctor, sampler, slate_size)  # type: ignore[arg-type]

    def is_terminal(self) -> bool:
        """Says whether the time budget is used up."""
        return bool(self._user_state.time_budget <= 0)

    def update_state(self, slate_documents: Sequence[Any], responses: Sequence[Any]) -> None:
        """Changes the net positive exposure by the (first) document clicked."""
        state = self._user_state
        for doc, response in zip(slate_documents, responses):
            if response.clicked:
                state.net_positive_exposure = _dynamics.next_net_positive_exposure(
                    state.net_positive_exposure,
                    doc.clickbait_score,
                    state.memory_discount,
                    state.innovation_stddev * self.environment_rng.standard_normal(),
                )
                state.satisfaction = _dynamics.satisfaction(
                    state.net_positive_exposure, state.sensitivity
                )
                state.time_budget -= 1
                return

    def simulate_response(self, documents: Sequence[Any]) -> list[Any]:
        """Returns the responses to a slate of LTSDocument, the first of which is a click.

        Raises:
            ValueError: if there is no document to click.
        """
        if not documents:
            raise ValueError(
                "slate must hold a document at least: the user takes the first one, got none."
            )
        responses = [self._response_model_ctor() for _ in documents]
        self.generate_response(documents[0], responses[0])
        return responses

    def choice_probabilities(self, documents: Sequence[Any]) -> np.ndarray:
        """Returns the probabilities of each position and, last, of no click: 1 for the first."""
        probabilities = np.zeros(len(documents) + 1)
        probabilities[0] = 1.0
        return probabilities

    def generate_response(self, doc: LTSDocument, response: LTSResponse) -> None:
        """Turns the response to a document into a click with an engagement."""
        state = self._user_state
        location = _dynamics.interpolated(doc.clickbait_score, state.choc_mean, state.kale_mean)
        scale = _dynamics.interpolated(doc.clickbait_score, state.choc_stddev, state.kale_stddev)
        response.clicked = True
        response.engagement = np.exp(
            _dynamics.log_engagement(
                location, scale, state.satisfaction, self.environment_rng.standard_normal()
            )
        )


class LTSUserState(user.AbstractUserState):
    """A user, nothing of whom is observed.

    Args:
        memory_discount: share of the net positive exposure that is remembered, in [0, 1).
        sensitivity: how strongly exposure moves satisfaction.
        innovation_stddev: standard deviation of the noise of the exposure.
        choc_mean: mean of the logarithm of the engagement with pure clickbait.
        choc_stddev: its standard deviation.
        kale_mean: mean of the logarithm of the engagement with no clickbait.
        kale_stddev: its standard deviation.
        net_positive_exposure: initial exposure.
        time_budget: number of steps of the episode; infinity for one that does not end by itself.
    """

    def __init__(
        self,
        memory_discount: float,
        sensitivity: float,
        innovation_stddev: float,
        choc_mean: float,
        choc_stddev: float,
        kale_mean: float,
        kale_stddev: float,
        net_positive_exposure: float,
        time_budget: int,
    ) -> None:
        self.memory_discount = memory_discount
        self.sensitivity = sensitivity
        self.innovation_stddev = innovation_stddev
        self.choc_mean = choc_mean
        self.choc_stddev = choc_stddev
        self.kale_mean = kale_mean
        self.kale_stddev = kale_stddev
        self.net_positive_exposure = net_positive_exposure
        self.satisfaction = _dynamics.satisfaction(
            numbers.as_float("net_positive_exposure", net_positive_exposure),
            numbers.as_float("sensitivity", sensitivity),
        )
        self.time_budget = time_budget

    def create_observation(self) -> np.ndarray:
        """Returns an empty array: nothing of the user is observed."""
        return _NOTHING

    def score_document(self, doc_obs: object) -> int:
        """Returns 1: the user does not choose by scores."""
        return 1

    @staticmethod
    def observation_space() -> spaces.Box:
        """Returns the space of empty arrays."""
        return spaces.Box(shape=(0,), dtype=np.float32, low=0.0, high=np.inf)


@configurable()
class LTSStaticUserSampler(user.AbstractUserSampler):
    """Samples users with the same parameters and a random initial net positive exposure.

    Args:
        user_ctor: class of the user states.
        memory_discount: see :class:`LTSParameters`.
        sensitivity: see :class:`LTSParameters`.
        innovation_stddev: see :class:`LTSParameters`.
        choc_mean: see :class:`LTSParameters`.
        choc_stddev: see :class:`LTSParameters`.
        kale_mean: see :class:`LTSParameters`.
        kale_stddev: see :class:`LTSParameters`.
        time_budget: see :class:`LTSParameters`.
        initial_exposure_scale: see :class:`LTSParameters`.
        **kwargs: ``seed``, see :class:`recsim.user.AbstractUserSampler`.

    Raises:
        TypeError: if a parameter is not a number.
        ValueError: if a parameter is outside its range, or so large that engagements may be
            infinite.
    """

    # Of samplers whose own __init__, or pickle of before, does not set it.
    _initial_exposure_scale = _USERS.initial_exposure_scale

    def __init__(
        self,
        user_ctor: Callable[..., Any] = LTSUserState,
        memory_discount: float = _USERS.memory_discount,
        sensitivity: float = _USERS.sensitivity,
        innovation_stddev: float = _USERS.innovation_stddev,
        choc_mean: float = _USERS.choc_mean,
        choc_stddev: float = _USERS.choc_stddev,
        kale_mean: float = _USERS.kale_mean,
        kale_stddev: float = _USERS.kale_stddev,
        time_budget: float = _USERS.time_budget,
        *,
        initial_exposure_scale: float = _USERS.initial_exposure_scale,
        **kwargs: int | None,
    ) -> None:
        parameters = UserParameters(
            memory_discount=memory_discount,
            sensitivity=sensitivity,
            innovation_stddev=innovation_stddev,
            choc_mean=choc_mean,
            choc_stddev=choc_stddev,
            kale_mean=kale_mean,
            kale_stddev=kale_stddev,
            time_budget=time_budget,
            initial_exposure_scale=initial_exposure_scale,
        )
        self._state_parameters: dict[str, float] = dataclasses.asdict(parameters)
        self._initial_exposure_scale = self._state_parameters.pop("initial_exposure_scale")
        super().__init__(user_ctor, **kwargs)

    def sample_user(self) -> types.UserState:
        """Returns a new user state."""
        exposure = _dynamics.initial_net_positive_exposure(
            self._state_parameters["memory_discount"],
            self._rng.random_sample(),
            self._initial_exposure_scale,
        )
        state: types.UserState = self._user_ctor(
            net_positive_exposure=exposure, **self._state_parameters
        )
        return state


class LTSResponse(user.AbstractResponse, metaclass=_config.ClassWithConstants):
    """A user's response to a document.

    Args:
        clicked: whether the document was clicked.
        engagement: degree of engagement (such as watch time), at least 0.
    """

    #: Greatest engagement that is observed; a greater one still counts in full in the reward.
    MAX_ENGAGEMENT_MAGNITUDE = 100.0

    def __init__(self, clicked: bool = False, engagement: float = 0.0) -> None:
        self.clicked = clicked
        self.engagement = engagement

    def __repr__(self) -> str:
        return f"[{self.engagement}]"

    def create_observation(self) -> dict[str, Any]:
        """Returns ``click`` and ``engagement``."""
        engagement = self.engagement
        if not 0.0 <= engagement <= self.MAX_ENGAGEMENT_MAGNITUDE:
            engagement = max(0.0, min(engagement, self.MAX_ENGAGEMENT_MAGNITUDE))
        clicked = self.clicked
        click = 0 if clicked is False else 1 if clicked is True else int(clicked)
        return {"click": click, "engagement": np.float64(engagement)}

    @classmethod
    def response_space(cls) -> spaces.Dict:
        """Returns the space of a response."""
        return spaces.Dict(
            {
                "click": spaces.Discrete(2),
                "engagement": spaces.Box(
                    low=0.0, high=cls.MAX_ENGAGEMENT_MAGNITUDE, shape=(), dtype=np.float32
                ),
            }
        )


class LTSDocument(document.AbstractDocument):
    """A document.

    Args:
        doc_id: the document's ID.
        clickbait_score: how clickbaity it is, in [0, 1].
    """

    def __init__(self, doc_id: int, clickbait_score: float) -> None:
        self._doc_id = doc_id
        self.clickbait_score = float(clickbait_score)

    def create_observation(self) -> np.ndarray:
        """Returns the clickbait score, float64 of shape (1,)."""
        return np.array([self.clickbait_score])

    @staticmethod
    def create_observations(clickbait_score: np.ndarray) -> list[np.ndarray]:
        """Returns the observations of documents with these features."""
        # A copy: what becomes of an observation does not change the documents.
        return list(np.array(clickbait_score).reshape(-1, 1))

    @staticmethod
    def observation_space() -> spaces.Box:
        """Returns the space of the clickbait score."""
        return spaces.Box(shape=(1,), dtype=np.float32, low=0.0, high=1.0)


class LTSDocumentSampler(document.BatchDocumentSampler):
    """Samples documents with uniformly distributed clickbait scores.

    Args:
        doc_ctor: class of the documents.
        min_clickbait_score: see :class:`LTSParameters`.
        max_clickbait_score: see :class:`LTSParameters`.
        **kwargs: ``seed``, see :class:`recsim.document.AbstractDocumentSampler`.

    Raises:
        TypeError: if a score is not a number.
        ValueError: if a score is outside its range.
    """

    # Of samplers whose own __init__, or pickle of before, does not set them.
    _min_clickbait_score = _DOCUMENTS.min_clickbait_score
    _max_clickbait_score = _DOCUMENTS.max_clickbait_score

    def __init__(
        self,
        doc_ctor: Callable[..., Any] = LTSDocument,
        *,
        min_clickbait_score: float = _DOCUMENTS.min_clickbait_score,
        max_clickbait_score: float = _DOCUMENTS.max_clickbait_score,
        **kwargs: int | None,
    ) -> None:
        parameters = DocumentParameters(
            min_clickbait_score=min_clickbait_score, max_clickbait_score=max_clickbait_score
        )
        self._min_clickbait_score = parameters.min_clickbait_score
        self._max_clickbait_score = parameters.max_clickbait_score
        super().__init__(doc_ctor, **kwargs)

    def _sample_features(self, num_documents: int) -> dict[str, Any]:
        scores = _dynamics.scaled_score(
            self._rng.random_sample(num_documents),
            self._min_clickbait_score,
            self._max_clickbait_score,
        )
        return {"clickbait_score": scores}


def clicked_engagement_reward(responses: Sequence[Any]) -> float:
    """Returns the engagement with the documents clicked among the responses."""
    engagement = 0.0
    for response in responses:
        if response.clicked:
            engagement += response.engagement
    return engagement if type(engagement) is float else numbers.as_float("engagement", engagement)


def parameters_of(env_config: types.EnvConfig) -> LTSParameters:
    """Returns the scenario's parameters, which both engines read.

    Args:
        env_config: as :func:`create_environment` takes it. What it leaves out is what gin binds for
            :class:`LTSStaticUserSampler` or, by default, RecSim's value.

    Raises:
        KeyError, TypeError, ValueError: for a config that gives no environment.
    """
    _config.check_config(env_config, CONFIG_KEYS, required=_config.REQUIRED_WITHOUT_SEED)
    return _config.parameters_of(
        LTSParameters,
        env_config,
        {LTSStaticUserSampler: _config.names_of(UserParameters)},
        max_engagement_magnitude=_config.class_constant(
            LTSResponse,
            "MAX_ENGAGEMENT_MAGNITUDE",
            LTSParameters.max_engagement_magnitude,
            "max_engagement_magnitude",
            env_config,
        ),
    )


def _response_class(parameters: LTSParameters) -> type[LTSResponse]:
    return _config.with_constants(
        LTSResponse, MAX_ENGAGEMENT_MAGNITUDE=parameters.max_engagement_magnitude
    )


def create_environment(env_config: types.EnvConfig) -> recsim_gym.RecSimGymEnv:
    """Creates the long-term satisfaction environment.

    Args:
        env_config: a dictionary with ``num_candidates``, ``slate_size`` and
            ``resample_documents`` (whether each step has new documents); ``seed`` (0 where it is
            missing); and those attributes of :class:`LTSParameters` that are not the default ones.

    Returns:
        A Gym environment whose reward is the engagement.

    Raises:
        KeyError, TypeError, ValueError: for a config that gives no environment.

    Example:
        >>> env = create_environment(
        ...     {"num_candidates": 5, "slate_size": 1, "resample_documents": True, "seed": 0})
        >>> observation = env.reset()
        >>> observation, reward, done, info = env.step([4])
        >>> reward > 0
        True
    """
    parameters = parameters_of(env_config)
    seed = env_config.get("seed", 0)
    user_model = LTSUserModel(
        env_config["slate_size"],
        response_model_ctor=_response_class(parameters),
        user_sampler=LTSStaticUserSampler(
            LTSUserState, seed=seed, **_config.field_values(UserParameters, parameters)
        ),
    )
    document_sampler = LTSDocumentSampler(
        LTSDocument, seed=seed, **_config.field_values(DocumentParameters, parameters)
    )
    return recsim_gym.RecSimGymEnv(
        _config.single_user_environment(env_config, user_model, document_sampler),
        clicked_engagement_reward,
    )


def create_vector_environment(
    env_config: types.EnvConfig, num_envs: int, **options: object
) -> vector_env.RecSimVectorEnv:
    """Creates the long-term satisfaction environment for users in parallel.

    Args:
        env_config: as :func:`create_environment` takes it. Without ``resample_documents`` all
            users share the candidates, and keep them.
        num_envs: number of users.
        **options: ``candidates``, ``max_steps_per_episode``, ``first_user`` and ``dtype``, see
            :class:`recsim.vector.env.RecSimVectorEnv`.

    Returns:
        A Gymnasium vector environment whose rewards are the engagements.

    Raises:
        KeyError, TypeError, ValueError: for a config or an option that gives no environment.
    """
    from recsim.environments.long_term_satisfaction._vectorized import (
        VectorLTSDocumentSampler,
        VectorLTSUserModel,
        total_engagement,
    )
    from recsim.vector import env as vector_env

    parameters = parameters_of(env_config)
    parameters.check_precision(_config.vector_dtype(options))
    return vector_env.RecSimVectorEnv(
        VectorLTSUserModel(
            parameters,
            env_config["slate_size"],
            LTSUserState.observation_space(),
            _response_class(parameters).response_space(),
        ),
        VectorLTSDocumentSampler(parameters, LTSDocument.observation_space()),
        num_envs=num_envs,
        reward_aggregator=total_engagement,
        **_config.vector_options(env_config, options),
    )
