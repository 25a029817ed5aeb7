"""The users of interest evolution and their samplers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from recsim import types, user
from recsim._internal.configurable import configurable
from recsim._internal.gym_import import spaces
from recsim.environments import _config
from recsim.environments.interest_evolution._parameters import UserParameters

__all__ = ["IEvUserDistributionSampler", "IEvUserState", "UtilityModelUserSampler"]

_USERS = UserParameters()


class IEvUserState(user.AbstractUserState, metaclass=_config.ClassWithConstants):
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

    __module__ = "recsim.environments.interest_evolution"  # Where pickles look for it.

    #: Number of features (topics).
    NUM_FEATURES: int = 20

    def __init__(
        self,
        user_interests: np.ndarray,
        time_budget: float | None = None,
        score_scaling: float | None = None,
        attention_prob: float | None = None,
        no_click_mass: float | None = None,
        keep_interact_prob: float | np.ndarray | None = None,
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
        score: float = np.dot(self.user_interests, doc_obs)
        return score

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
        scores: np.ndarray = features.dot(self.user_interests)
        return scores

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

    __module__ = "recsim.environments.interest_evolution"  # Where pickles look for it.

    def __init__(self, user_ctor: Callable[..., Any] = IEvUserState, **kwargs: int | None) -> None:
        super().__init__(user_ctor, **kwargs)

    def sample_user(self) -> types.UserState:
        """Returns a new user state."""
        user_ctor: Any = self.get_user_ctor()
        state: types.UserState = user_ctor(
            user_interests=self._rng.uniform(-1.0, 1.0, user_ctor.NUM_FEATURES),
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
        return state


@configurable()
class UtilityModelUserSampler(user.AbstractUserSampler):
    """Samples users with uniform interests and otherwise the same parameters.

    Args:
        user_ctor: class of the user states.
        document_quality_factor: see :class:`IEvParameters`.
        no_click_mass: see :class:`IEvParameters`.
        min_normalizer: see :class:`IEvParameters`.
        time_budget: see :class:`IEvParameters`.
        step_penalty: see :class:`IEvParameters`.
        score_scaling: see :class:`IEvParameters`.
        attention_prob: see :class:`IEvParameters`.
        user_quality_factor: see :class:`IEvParameters`.
        user_update_alpha: see :class:`IEvParameters`.
        min_interest: see :class:`IEvParameters`.
        max_interest: see :class:`IEvParameters`.
        **kwargs: ``seed``, see :class:`recsim.user.AbstractUserSampler`.

    Raises:
        TypeError: if a parameter is not a number.
        ValueError: if a parameter is outside its range.
    """

    __module__ = "recsim.environments.interest_evolution"  # Where pickles look for it.

    # Of samplers whose own __init__, or pickle of before, does not set them.
    _no_click_mass = _USERS.no_click_mass
    _min_normalizer = _USERS.min_normalizer
    _document_quality_factor = _USERS.document_quality_factor
    _time_budget = _USERS.time_budget
    _step_penalty = _USERS.step_penalty
    _score_scaling = _USERS.score_scaling
    _attention_prob = _USERS.attention_prob
    _user_quality_factor = _USERS.user_quality_factor
    _user_update_alpha = _USERS.user_update_alpha
    _min_interest = _USERS.min_interest
    _max_interest = _USERS.max_interest

    def __init__(
        self,
        user_ctor: Callable[..., Any] = IEvUserState,
        document_quality_factor: float = _USERS.document_quality_factor,
        no_click_mass: float = _USERS.no_click_mass,
        min_normalizer: float = _USERS.min_normalizer,
        *,
        time_budget: float = _USERS.time_budget,
        step_penalty: float = _USERS.step_penalty,
        score_scaling: float = _USERS.score_scaling,
        attention_prob: float = _USERS.attention_prob,
        user_quality_factor: float = _USERS.user_quality_factor,
        user_update_alpha: float = _USERS.user_update_alpha,
        min_interest: float = _USERS.min_interest,
        max_interest: float = _USERS.max_interest,
        **kwargs: int | None,
    ) -> None:
        parameters = UserParameters(
            document_quality_factor=document_quality_factor,
            no_click_mass=no_click_mass,
            min_normalizer=min_normalizer,
            time_budget=time_budget,
            step_penalty=step_penalty,
            score_scaling=score_scaling,
            attention_prob=attention_prob,
            user_quality_factor=user_quality_factor,
            user_update_alpha=user_update_alpha,
            min_interest=min_interest,
            max_interest=max_interest,
        )
        for name, value in dataclasses.asdict(parameters).items():
            setattr(self, f"_{name}", value)
        super().__init__(user_ctor, **kwargs)

    def sample_user(self) -> types.UserState:
        """Returns a new user state."""
        user_ctor: Any = self.get_user_ctor()
        state: types.UserState = user_ctor(
            user_interests=self._rng.uniform(
                self._min_interest, self._max_interest, user_ctor.NUM_FEATURES
            ),
            time_budget=self._time_budget,
            no_click_mass=self._no_click_mass,
            step_penalty=self._step_penalty,
            score_scaling=self._score_scaling,
            attention_prob=self._attention_prob,
            min_normalizer=self._min_normalizer,
            user_quality_factor=self._user_quality_factor,
            document_quality_factor=self._document_quality_factor,
            user_update_alpha=self._user_update_alpha,
        )
        return state
