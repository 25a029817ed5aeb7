"""Long-term satisfaction: clickbait engages at once and, shown again and again, wears users out.

A document has a clickbait score in [0, 1], from kale (nourishing) to choc (tempting). Engagement
is log-normal, its parameters interpolated between those of kale and choc and its mean scaled by
the user's satisfaction, a logistic function of the net positive exposure (NPE), which is hidden.
Each document shown changes it:

    NPE' = memory_discount NPE - 2 (clickbait_score - 1/2) + N(0, innovation_stddev)

so that kale raises it and choc lowers it. The user always takes the first document of a slate
(Ie et al., arXiv 1909.04847; Mladenov et al., arXiv 1905.13559).

The functions are the scenario's mathematics on numbers or arrays of any shape; the classes call
them for one user.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recsim import document, user
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
    "LTSDocument",
    "LTSDocumentSampler",
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
    "satisfaction",
    "total_engagement",
]

# An array without entries can be handed out again and again: no one can change it.
_NOTHING = np.array([])

#: The entries that a config may have beside those of every scenario: the users' parameters.
CONFIG_KEYS = (
    "memory_discount",
    "sensitivity",
    "innovation_stddev",
    "choc_mean",
    "choc_stddev",
    "kale_mean",
    "kale_stddev",
    "time_budget",
)


@numbers.on_floats()
def satisfaction(net_positive_exposure: Any, sensitivity: Any) -> Any:
    """Returns users' satisfaction in (0, 1): the logistic function of sensitivity * exposure."""
    exponent = -sensitivity * net_positive_exposure
    if type(exponent) is float and exponent > 700.0:
        exponent = 700.0  # The exponential of more overflows; satisfaction is as good as 0.
    return 1.0 / (1.0 + np.exp(exponent))


@numbers.on_floats()
def next_net_positive_exposure(
    net_positive_exposure: Any, clickbait_score: Any, memory_discount: Any, innovation: Any
) -> Any:
    """Returns users' net positive exposure after a document was shown to them.

    Args:
        net_positive_exposure: numbers or arrays of shape (...), as the other arguments.
        clickbait_score: the document's score in [0, 1].
        memory_discount: share of the exposure that is remembered, in [0, 1).
        innovation: noise, normal with standard deviation ``innovation_stddev``.
    """
    return memory_discount * net_positive_exposure - 2.0 * (clickbait_score - 0.5) + innovation


@numbers.on_floats()
def initial_net_positive_exposure(memory_discount: Any, uniform: Any) -> Any:
    """Returns new users' net positive exposure, uniform within half of 1 / (1 - discount) of 0.

    Args:
        memory_discount: see :func:`next_net_positive_exposure`.
        uniform: numbers in [0, 1), of shape (...).
    """
    return (uniform - 0.5) * (1.0 / (1.0 - memory_discount))


@numbers.on_floats()
def log_engagement(location: Any, scale: Any, satisfaction: Any, normal: Any) -> Any:
    """Returns the logarithms of users' engagements with documents.

    Args:
        location: the documents' means at a satisfaction of 1, of shape (...), as the others.
        scale: their standard deviations, see :func:`interpolated` for both.
        satisfaction: the users' satisfaction.
        normal: standard normal numbers.
    """
    return location * satisfaction + scale * normal


@numbers.on_floats()
def interpolated(clickbait_score: Any, choc: Any, kale: Any) -> Any:
    """Returns a document's parameter of engagement between those of kale (0) and choc (1)."""
    return clickbait_score * choc + (1 - clickbait_score) * kale


# The formulas without their checks, for what steps once or thousands of times a second.
_satisfaction = inspect.unwrap(satisfaction)
_next_net_positive_exposure = inspect.unwrap(next_net_positive_exposure)
_initial_net_positive_exposure = inspect.unwrap(initial_net_positive_exposure)
_log_engagement = inspect.unwrap(log_engagement)
_interpolated = inspect.unwrap(interpolated)


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
        return self._user_state.time_budget <= 0

    def update_state(self, slate_documents: Sequence[Any], responses: Sequence[Any]) -> None:
        """Changes the net positive exposure by the (first) document clicked."""
        state = self._user_state
        for doc, response in zip(slate_documents, responses):
            if response.clicked:
                state.net_positive_exposure = _next_net_positive_exposure(
                    state.net_positive_exposure,
                    doc.clickbait_score,
                    state.memory_discount,
                    state.innovation_stddev * self.environment_rng.standard_normal(),
                )
                state.satisfaction = _satisfaction(state.net_positive_exposure, state.sensitivity)
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

    def generate_response(self, doc: Any, response: Any) -> None:
        """Turns the response to a document into a click with an engagement."""
        state = self._user_state
        location = _interpolated(doc.clickbait_score, state.choc_mean, state.kale_mean)
        scale = _interpolated(doc.clickbait_score, state.choc_stddev, state.kale_stddev)
        response.clicked = True
        response.engagement = np.exp(
            _log_engagement(
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
        time_budget: number of steps of the session; infinity for one that does not end by itself.
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
        self.satisfaction = _satisfaction(
            numbers.as_float("net_positive_exposure", net_positive_exposure),
            numbers.as_float("sensitivity", sensitivity),
        )
        self.time_budget = time_budget

    def create_observation(self) -> np.ndarray:
        """Returns an empty array: nothing of the user is observed."""
        return _NOTHING

    def score_document(self, doc_obs: Any) -> int:
        """Returns 1: the user does not choose by scores."""
        return 1

    @staticmethod
    def observation_space() -> spaces.Box:
        """Returns the space of empty arrays."""
        return spaces.Box(shape=(0,), dtype=np.float32, low=0.0, high=np.inf)


@configurable()
class LTSStaticUserSampler(user.AbstractUserSampler):
    """Samples users with the same parameters and a random initial net positive exposure.

    The exposure is uniform within half of 1 / (1 - memory_discount) around 0.

    Args:
        user_ctor: class of the user states.
        memory_discount: see :class:`LTSUserState`.
        sensitivity: see :class:`LTSUserState`.
        innovation_stddev: see :class:`LTSUserState`.
        choc_mean: see :class:`LTSUserState`.
        choc_stddev: see :class:`LTSUserState`.
        kale_mean: see :class:`LTSUserState`.
        kale_stddev: see :class:`LTSUserState`.
        time_budget: see :class:`LTSUserState`.
        **kwargs: ``seed``, see :class:`recsim.user.AbstractUserSampler`.

    Raises:
        TypeError: if a parameter is not a number.
        ValueError: if ``memory_discount`` is not in [0, 1), a standard deviation is negative, a
            parameter is not finite or so large that engagements may be infinite, or
            ``time_budget`` is not above 0.
    """

    def __init__(
        self,
        user_ctor: Callable[..., Any] = LTSUserState,
        memory_discount: float = 0.7,
        sensitivity: float = 0.01,
        innovation_stddev: float = 0.05,
        choc_mean: float = 5.0,
        choc_stddev: float = 1.0,
        kale_mean: float = 4.0,
        kale_stddev: float = 1.0,
        time_budget: int = 60,
        **kwargs: Any,
    ) -> None:
        discount = numbers.as_float("memory_discount", memory_discount)
        if not 0.0 <= discount < 1.0:
            raise ValueError(f"memory_discount must be in [0, 1), got {memory_discount!r}.")
        # Larger ones have products that single precision cannot hold.
        most = 1e30
        sensitivity = validation.number("sensitivity", sensitivity, -most, most)
        innovation_stddev = validation.number("innovation_stddev", innovation_stddev, 0.0, most)
        _check_engagement(choc_mean, choc_stddev, kale_mean, kale_stddev)
        # It may be infinite, where a limit on the number of steps ends sessions.
        if not numbers.as_float("time_budget", time_budget) > 0:
            raise ValueError(f"time_budget must be a number of steps above 0, got {time_budget!r}.")
        self._state_parameters: dict[str, Any] = {
            "memory_discount": memory_discount,
            "sensitivity": sensitivity,
            "innovation_stddev": innovation_stddev,
            "choc_mean": choc_mean,
            "choc_stddev": choc_stddev,
            "kale_mean": kale_mean,
            "kale_stddev": kale_stddev,
            "time_budget": time_budget,
        }
        super().__init__(user_ctor, **kwargs)

    def sample_user(self) -> Any:
        """Returns a new user state."""
        exposure = _initial_net_positive_exposure(
            self._state_parameters["memory_discount"], self._rng.random_sample()
        )
        return self._user_ctor(net_positive_exposure=exposure, **self._state_parameters)


def _check_engagement(
    choc_mean: Any, choc_stddev: Any, kale_mean: Any, kale_stddev: Any, dtype: Any = np.float64
) -> None:
    """Raises an error for parameters of engagements that are no numbers, or may overflow."""
    for food, mean, stddev in (("choc", choc_mean, choc_stddev), ("kale", kale_mean, kale_stddev)):
        names = f"{food}_mean", f"{food}_stddev"
        mean = validation.number(names[0], mean)
        stddev = validation.non_negative_float(names[1], stddev)
        # The mean is multiplied by a satisfaction in (0, 1).
        _config.check_log_normal(names[0], max(mean, 0.0), names[1], stddev, dtype)


class LTSResponse(user.AbstractResponse):
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
        return {"click": int(self.clicked), "engagement": np.float64(engagement)}

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
        return list(np.array(clickbait_score, ndmin=2).T)

    @staticmethod
    def observation_space() -> spaces.Box:
        """Returns the space of the clickbait score."""
        return spaces.Box(shape=(1,), dtype=np.float32, low=0.0, high=1.0)


class LTSDocumentSampler(document.BatchDocumentSampler):
    """Samples documents with uniformly distributed clickbait scores.

    Args:
        doc_ctor: class of the documents.
        **kwargs: ``seed``, see :class:`recsim.document.AbstractDocumentSampler`.
    """

    def __init__(self, doc_ctor: Callable[..., Any] = LTSDocument, **kwargs: Any) -> None:
        super().__init__(doc_ctor, **kwargs)

    def _sample_features(self, num_documents: int) -> dict[str, Any]:
        return {"clickbait_score": self._rng.random_sample(num_documents)}


def clicked_engagement_reward(responses: Sequence[Any]) -> float:
    """Returns the engagement with the documents clicked among the responses."""
    engagement = sum([response.engagement for response in responses if response.clicked], 0.0)
    if isinstance(engagement, float):
        return float(engagement)
    return numbers.as_float("engagement", engagement)


def create_environment(env_config: Mapping[str, Any]) -> recsim_gym.RecSimGymEnv:
    """Creates the long-term satisfaction environment.

    Args:
        env_config: a dictionary with ``num_candidates``, ``slate_size`` and
            ``resample_documents`` (whether each step has new documents); ``seed`` (0 where it is
            missing); and, where the users are not the default ones, the parameters of
            :class:`LTSStaticUserSampler`.

    Returns:
        A Gym environment whose reward is the engagement.

    Raises:
        KeyError, TypeError, ValueError: for a config that gives no world.

    Example:
        >>> env = create_environment(
        ...     {"num_candidates": 5, "slate_size": 1, "resample_documents": True, "seed": 0})
        >>> observation = env.reset()
        >>> observation, reward, done, info = env.step([4])
        >>> reward > 0
        True
    """
    return recsim_gym.RecSimGymEnv(
        _config.single_user_world(env_config, *_world(env_config)), clicked_engagement_reward
    )


def _world(env_config: Mapping[str, Any]) -> tuple[LTSUserModel, LTSDocumentSampler]:
    """Returns the user model and the sampler of documents of a config."""
    _config.check_config(env_config, CONFIG_KEYS, required=_config.REQUIRED_WITHOUT_SEED)
    seed = env_config.get("seed", 0)
    user_sampler = LTSStaticUserSampler(
        user_ctor=LTSUserState, seed=seed, **_config.chosen(env_config, CONFIG_KEYS)
    )
    user_model = LTSUserModel(
        env_config["slate_size"],
        user_state_ctor=LTSUserState,
        response_model_ctor=LTSResponse,
        seed=seed,
        user_sampler=user_sampler,
    )
    return user_model, LTSDocumentSampler(seed=seed)


@dataclasses.dataclass
class VectorLTSDocuments:
    """Documents of many users."""

    clickbait_score: np.ndarray  # (n_users, n_docs), in [0, 1]


@dataclasses.dataclass
class VectorLTSUsers:
    """Many users."""

    net_positive_exposure: np.ndarray  # (n_users,)
    time_budget: np.ndarray  # (n_users,): steps left.


@dataclasses.dataclass
class VectorLTSResponses:
    """The responses of many users to their slates."""

    clicked: np.ndarray  # (n_users, slate_size), bool
    engagement: np.ndarray  # (n_users, slate_size): 0 where nothing was clicked.


class VectorLTSDocumentSampler(scenario.VectorDocumentSampler):
    """Samples documents as :class:`LTSDocumentSampler` does, for many users."""

    def sample(self, stream: streams.RandomStream, num_documents: int) -> VectorLTSDocuments:
        """See :meth:`recsim.vector.scenario.VectorDocumentSampler.sample`."""
        return VectorLTSDocuments(stream.uniform(num_documents))

    def observe(self, documents: VectorLTSDocuments) -> np.ndarray:
        """Returns the clickbait scores, shape (n_users, n_docs, 1)."""
        return documents.clickbait_score[..., np.newaxis]

    def observation_space(self, num_documents: int) -> Any:
        """Returns the space of one user's documents."""
        from gymnasium import spaces

        return spaces.Box(0.0, 1.0, (num_documents, 1), np.float32)


class VectorLTSUserModel(scenario.VectorUserModel):
    """Users as those of a single-user model, many of them.

    Args:
        user_model: the single-user model.
    """

    def __init__(self, user_model: LTSUserModel) -> None:
        super().__init__(user_model._slate_size)
        sampler: Any = user_model._user_sampler
        self._parameters = {name: float(value) for name, value in sampler._state_parameters.items()}
        # Mean and standard deviation of the engagement with each, shape (2, 1).
        self._choc, self._kale = (
            np.array([[self._parameters[f"{food}_mean"]], [self._parameters[f"{food}_stddev"]]])
            for food in ("choc", "kale")
        )
        self._max_engagement = LTSResponse.MAX_ENGAGEMENT_MAGNITUDE

    def sample_users(self, stream: streams.RandomStream) -> VectorLTSUsers:
        """See :meth:`recsim.vector.scenario.VectorUserModel.sample_users`."""
        return VectorLTSUsers(
            _initial_net_positive_exposure(self._parameters["memory_discount"], stream.uniform()),
            np.full(stream.num_users, self._parameters["time_budget"]),
        )

    def choose(
        self, users: VectorLTSUsers, documents: VectorLTSDocuments, stream: streams.RandomStream
    ) -> np.ndarray:
        """Returns zeros: users take the first document of their slates."""
        del documents, stream
        return np.zeros(len(users.time_budget), np.intp)

    def respond(
        self,
        users: VectorLTSUsers,
        documents: VectorLTSDocuments,
        choice: np.ndarray,
        stream: streams.RandomStream,
    ) -> VectorLTSResponses:
        """See :meth:`recsim.vector.scenario.VectorUserModel.respond`."""
        score = documents.clickbait_score[:, 0]
        with np.errstate(over="ignore"):  # In float32 users soon have a satisfaction of just 0.
            satisfied = _satisfaction(users.net_positive_exposure, self._parameters["sensitivity"])
        location, scale = _interpolated(
            score, self._choc.astype(score.dtype), self._kale.astype(score.dtype)
        )
        log_engagements = _log_engagement(location, scale, satisfied, stream.normal())
        clicked = scenario.clicked(choice, self.slate_size)
        engagement = arrays.empty_slates(clicked.shape, log_engagements.dtype)
        engagement[:, 0] = np.exp(log_engagements)
        engagement[:, 1:] = 0.0
        return VectorLTSResponses(clicked, engagement)

    def update(
        self,
        users: VectorLTSUsers,
        documents: VectorLTSDocuments,
        choice: np.ndarray,
        responses: VectorLTSResponses,
        stream: streams.RandomStream,
    ) -> VectorLTSUsers:
        """See :meth:`recsim.vector.scenario.VectorUserModel.update`."""
        parameters = self._parameters
        exposure = _next_net_positive_exposure(
            users.net_positive_exposure,
            documents.clickbait_score[:, 0],
            parameters["memory_discount"],
            parameters["innovation_stddev"] * stream.normal(),
        )
        return VectorLTSUsers(exposure, users.time_budget - 1)

    def is_done(self, users: VectorLTSUsers) -> np.ndarray | None:
        """Says whose time budget is used up; None if there is no end of it."""
        if self._parameters["time_budget"] > 2.0**53:  # Less a step, it is the same float.
            return None
        return users.time_budget <= 0

    def observe_users(self, users: VectorLTSUsers) -> np.ndarray:
        """Returns an array without entries: nothing of the users is observed."""
        exposure = users.net_positive_exposure
        return np.zeros((len(exposure), 0), exposure.dtype)

    def user_space(self) -> Any:
        """Returns the space of arrays without entries."""
        from gymnasium import spaces

        return spaces.Box(0.0, np.inf, (0,), np.float32)

    def observe_responses(self, responses: VectorLTSResponses) -> dict[str, np.ndarray]:
        """Returns ``click`` and ``engagement``."""
        return {
            "click": responses.clicked.astype(np.int32),
            "engagement": np.minimum(responses.engagement, self._max_engagement),
        }

    def response_space(self) -> Any:
        """Returns the space of one user's responses."""
        from gymnasium import spaces

        return spaces.Dict(
            {
                "click": spaces.MultiDiscrete(np.full(self.slate_size, 2), dtype=np.int32),
                "engagement": spaces.Box(0.0, self._max_engagement, (self.slate_size,), np.float32),
            }
        )


def total_engagement(responses: VectorLTSResponses) -> np.ndarray:
    """Returns the engagements with what was clicked: the rewards, shape (n_users,)."""
    return responses.engagement.sum(axis=1)


def create_vector_environment(
    env_config: Mapping[str, Any], num_envs: int, **options: Any
) -> vector_env.RecSimVectorEnv:
    """Creates the long-term satisfaction environment for many users.

    Args:
        env_config: as :func:`create_environment` takes it. Without ``resample_documents`` all
            users share the candidates, and keep them.
        num_envs: number of users.
        **options: ``candidates``, ``max_steps_per_episode``, ``first_user`` and ``dtype``, see
            :class:`recsim.vector.env.RecSimVectorEnv`.

    Returns:
        A Gymnasium vector environment whose rewards are the engagements.

    Raises:
        KeyError, TypeError, ValueError: for a config or an option that gives no world.
    """
    from recsim.vector import env as vector_env

    user_model, _ = _world(env_config)
    parameters = user_model._user_sampler._state_parameters  # type: ignore[attr-defined]
    of_engagement = _config.chosen(
        parameters, ("choc_mean", "choc_stddev", "kale_mean", "kale_stddev")
    )
    _check_engagement(**of_engagement, dtype=_config.vector_dtype(options))
    return vector_env.RecSimVectorEnv(
        VectorLTSUserModel(user_model),
        VectorLTSDocumentSampler(),
        num_envs=num_envs,
        reward_aggregator=total_engagement,
        **_config.vector_options(env_config, options),
    )
