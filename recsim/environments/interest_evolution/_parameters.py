"""The parameters of interest evolution, which both engines read."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from recsim import choice_model as choice_models
from recsim._internal import numbers, validation
from recsim.environments import _clicks, _config

__all__ = ["DocumentParameters", "IEvParameters", "UserParameters", "x_intercept"]

# Largest size of a video's length and qualities: single precision holds their products.
_LARGEST = 1e12
# Largest size of the factors of such products.
_LARGEST_FACTOR = 1e6

# A diagonal matrix has as many rows and columns.
_MOST_TOPICS = 10_000

_CHOICE_MODELS: dict[str, Callable[..., choice_models.NormalizableChoiceModel]] = {
    "multinomial_proportional": choice_models.MultinomialProportionalChoiceModel,
    "multinomial_logit": choice_models.MultinomialLogitChoiceModel,
    "exponential_cascade": choice_models.ExponentialCascadeChoiceModel,
    "proportional_cascade": choice_models.ProportionalCascadeChoiceModel,
    **_clicks.MODELS,
}


def _number(low: float, high: float) -> Callable[[str, object], float]:
    """Returns a check of a number in [low, high], see :func:`validation.number`."""
    return lambda name, value: validation.number(name, value, low, high)


def x_intercept(name: str, value: object) -> float:
    """Returns an intercept as a float, which is divided by."""
    intercept = validation.number(name, value)
    if abs(intercept) < validation.SMALLEST:
        raise ValueError(f"{name} must not be 0, got {value!r}.")
    return intercept


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DocumentParameters:
    """What :class:`~recsim.environments.interest_evolution.UtilityModelVideoSampler` takes.

    See :class:`IEvParameters`.
    """

    min_utility: float = -3.0
    max_utility: float = 3.0
    video_length: float = 4.0
    quality_stddev: float = 0.1
    low_quality_share: float = 0.7

    def __post_init__(self) -> None:
        """Checks the values and makes them floats."""
        _config.normalize(
            self,
            min_utility=_number(-_LARGEST, _LARGEST),
            max_utility=_number(-_LARGEST, _LARGEST),
            video_length=_number(1e-6, _LARGEST),
            quality_stddev=_number(0.0, _LARGEST),
            low_quality_share=validation.probability,
        )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class UserParameters:
    """What :class:`~recsim.environments.interest_evolution.UtilityModelUserSampler` takes.

    See :class:`IEvParameters`.
    """

    document_quality_factor: float = 1.0
    no_click_mass: float = 1.0
    min_normalizer: float = -1.0
    time_budget: float = 200.0
    step_penalty: float = 0.5
    score_scaling: float = 0.05
    attention_prob: float = 0.65
    user_quality_factor: float = 0.0
    # A unit of quality gives back 0.9 of the watch time, over 3.4: the qualities of the default
    # videos, in [-3, 3] with a deviation of 0.1, over 3.4 lie within [-1, 1].
    user_update_alpha: float = 0.9 * (1.0 / 3.4)
    min_interest: float = -1.0
    max_interest: float = 1.0

    def __post_init__(self) -> None:
        """Checks the values and makes them floats."""
        _config.normalize(
            self,
            document_quality_factor=_number(-_LARGEST, _LARGEST),
            no_click_mass=_number(-_LARGEST, _LARGEST),
            min_normalizer=_number(-_LARGEST, _LARGEST),
            time_budget=_number(1e-6, _LARGEST),
            step_penalty=_number(0.0, _LARGEST),
            score_scaling=_number(0.0, _LARGEST),
            attention_prob=validation.probability,
            user_quality_factor=_number(-_LARGEST_FACTOR, _LARGEST_FACTOR),
            user_update_alpha=_number(-_LARGEST_FACTOR, _LARGEST_FACTOR),
            min_interest=_number(-1.0, 1.0),
            max_interest=_number(-1.0, 1.0),
        )
        _config.check_order(self, "min_interest", "max_interest")


@dataclasses.dataclass(frozen=True, kw_only=True)
class IEvParameters(UserParameters, DocumentParameters, _clicks.ClickParameters):
    """The parameters of the scenario.

    :mod:`recsim.environments.interest_evolution` says what they mean.
    """

    num_topics: int = 20
    max_video_length: float = 100.0
    alpha_x_intercept: float = 1.0
    alpha_y_intercept: float = 0.3
    choice_model: str = "multinomial_proportional"

    def __post_init__(self) -> None:
        """Checks the values and makes them floats."""
        UserParameters.__post_init__(self)
        DocumentParameters.__post_init__(self)
        _clicks.ClickParameters.__post_init__(self)
        _config.normalize(
            self,
            num_topics=_number_of_topics,
            max_video_length=_number(1e-6, _LARGEST),
            alpha_x_intercept=_moderate_x_intercept,
            alpha_y_intercept=_number(-_LARGEST_FACTOR, _LARGEST_FACTOR),
            choice_model=_config.one_of(*_CHOICE_MODELS),
        )
        _config.check_order(self, "video_length", "max_video_length")
        self._check_choices()

    @property
    def allows_several_clicks(self) -> bool:
        """Whether users may click several videos of a slate."""
        return self.choice_model in _clicks.MODELS

    def choice_model_ctor(
        self, slate_size: int
    ) -> Callable[..., choice_models.NormalizableChoiceModel]:
        """Returns what makes the choice model of a user's ``choice_features``."""
        if self.allows_several_clicks:
            return self.multi_click_ctor(self.choice_model, slate_size)
        return _CHOICE_MODELS[self.choice_model]

    def create_choice_model(self, slate_size: int) -> choice_models.NormalizableChoiceModel:
        """Returns a new choice model for slates of a size."""
        features = ("score_scaling", "attention_prob", "no_click_mass", "min_normalizer")
        create = self.choice_model_ctor(slate_size)
        return create({name: getattr(self, name) for name in features})

    def _check_choices(self) -> None:
        """Raises ValueError if some scores in [-1, 1] give no choice probabilities."""
        greatest = math.e
        several = self.allows_several_clicks
        if "proportional" in self.choice_model or several:
            if self.min_normalizer > -1.0:
                raise ValueError(
                    "min_normalizer must be at most -1, the least score, for choice_model="
                    f"{self.choice_model!r}, got {self.min_normalizer!r}."
                )
            greatest = 1.0 - self.min_normalizer
        if ("cascade" in self.choice_model or several) and self.score_scaling * greatest > 1.0:
            raise ValueError(
                f"score_scaling must be at most {1.0 / greatest:g}, to turn the greatest weight of "
                f"a document, {greatest:g}, into a probability for choice_model="
                f"{self.choice_model!r}, got {self.score_scaling!r}."
            )
        self.create_choice_model(1)


def _moderate_x_intercept(name: str, value: object) -> float:
    intercept = x_intercept(name, value)
    if not 1.0 / _LARGEST_FACTOR <= abs(intercept) <= _LARGEST_FACTOR:
        raise ValueError(
            f"{name} must be {1.0 / _LARGEST_FACTOR:g} to {_LARGEST_FACTOR:g} in size, got "
            f"{numbers.described(value)}."
        )
    return intercept


def _number_of_topics(name: str, value: object) -> int:
    return validation.positive_int(name, value, maximum=_MOST_TOPICS)
