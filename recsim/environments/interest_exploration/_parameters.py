"""The parameters of interest exploration, which both engines read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from recsim import choice_model as choice_models
from recsim._internal import numbers, validation
from recsim.environments import _clicks, _config

__all__ = ["DocumentParameters", "IEParameters", "UserParameters"]

#: A number for each topic, or a probability for each topic or user type.
Vector = tuple[float, ...]
#: A number for each user type and topic: a row for each type.
Matrix = tuple[Vector, ...]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DocumentParameters:
    """What :class:`~recsim.environments.interest_exploration.IETopicDocumentSampler` takes.

    See :class:`IEParameters`.
    """

    topic_distribution: Vector = (0.2, 0.8)
    topic_quality_mean: Vector = (0.8, 0.2)
    topic_quality_stddev: Vector = (0.1, 0.1)

    def __post_init__(self) -> None:
        """Checks the values and makes them tuples of floats."""
        _config.normalize(
            self,
            topic_distribution=_probabilities,
            topic_quality_mean=self._by_topic,
            topic_quality_stddev=self._by_topic,
        )
        if min(self.topic_quality_stddev) < 0:
            raise ValueError(
                f"topic_quality_stddev must be >= 0, got {list(self.topic_quality_stddev)}."
            )
        DocumentParameters.check_precision(self, np.float64)

    @property
    def num_topics(self) -> int:
        """Number of topics."""
        return len(self.topic_distribution)

    def check_precision(self, dtype: DTypeLike) -> None:
        """Raises ValueError if qualities may be too large for floats of a type."""
        _config.check_log_normal(
            "topic_quality_mean",
            self.topic_quality_mean,
            "topic_quality_stddev",
            self.topic_quality_stddev,
            dtype,
        )

    def _by_topic(self, name: str, values: object) -> Vector:
        array = validation.finite(name, values)
        if array.shape != (self.num_topics,):
            raise ValueError(
                f"{name} must have an entry for each of the {self.num_topics} topics of "
                f"topic_distribution, got shape {array.shape}."
            )
        return tuple(array.tolist())


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class UserParameters:
    """What :class:`~recsim.environments.interest_exploration.IEClusterUserSampler` takes.

    See :class:`IEParameters`.
    """

    user_type_distribution: Vector = (0.3, 0.7)
    user_document_mean_affinity_matrix: Matrix = ((0.1, 0.7), (0.7, 0.1))
    user_document_stddev_affinity_matrix: Matrix = ((0.1, 0.1), (0.1, 0.1))

    def __post_init__(self) -> None:
        """Checks the values and makes them tuples of floats."""
        _config.normalize(
            self,
            user_type_distribution=_probabilities,
            user_document_mean_affinity_matrix=self._by_type,
            user_document_stddev_affinity_matrix=self._by_type,
        )
        means = np.array(self.user_document_mean_affinity_matrix)
        stddevs = np.array(self.user_document_stddev_affinity_matrix)
        if means.shape != stddevs.shape:
            raise ValueError(
                "user_document_mean_affinity_matrix and user_document_stddev_affinity_matrix must "
                f"have the same shape (n_types, n_topics), got {means.shape} and {stddevs.shape}."
            )
        if (stddevs < 0).any():
            raise ValueError(
                f"user_document_stddev_affinity_matrix must be >= 0, got {stddevs.tolist()}."
            )
        UserParameters.check_precision(self, np.float64)

    @property
    def num_affinities(self) -> int:
        """Number of topics that users have affinities to."""
        return len(self.user_document_mean_affinity_matrix[0])

    def check_precision(self, dtype: DTypeLike) -> None:
        """Raises ValueError if affinities may be too large for floats of a type."""
        _config.check_log_normal(
            "user_document_mean_affinity_matrix",
            self.user_document_mean_affinity_matrix,
            "user_document_stddev_affinity_matrix",
            self.user_document_stddev_affinity_matrix,
            dtype,
        )

    def average_affinity(self) -> np.ndarray:
        """Returns the mean over user types of the means of the logarithms, shape (n_topics,)."""
        means = np.array(self.user_document_mean_affinity_matrix)
        average: np.ndarray = np.array(self.user_type_distribution) @ means
        return average

    def _by_type(self, name: str, matrix: object) -> Matrix:
        array = validation.finite(name, matrix)
        num_types = len(self.user_type_distribution)
        if array.ndim != 2 or len(array) != num_types:
            raise ValueError(
                f"{name} must have a row for each of the {num_types} user types of "
                f"user_type_distribution, shape ({num_types}, n_topics), got shape {array.shape}."
            )
        return tuple(tuple(row) for row in array.tolist())


@dataclasses.dataclass(frozen=True, kw_only=True)
class IEParameters(DocumentParameters, UserParameters, _clicks.ClickParameters):
    """The parameters of the scenario.

    :mod:`recsim.environments.interest_exploration` says what they mean.
    """

    no_click_mass: float = 5.0
    choice_model: str = "multinomial_logit"
    attention_prob: float = 1.0

    def __post_init__(self) -> None:
        """Checks the values and makes them floats and tuples of floats."""
        DocumentParameters.__post_init__(self)
        UserParameters.__post_init__(self)
        _clicks.ClickParameters.__post_init__(self)
        if self.num_affinities != self.num_topics:
            raise ValueError(
                "users and documents must have the same topics, got "
                f"user_document_mean_affinity_matrix with {self.num_affinities} columns and "
                f"topic_distribution with {self.num_topics} entries."
            )
        _config.normalize(
            self,
            no_click_mass=_logit,
            choice_model=_config.one_of("multinomial_logit", *_clicks.MODELS),
            attention_prob=validation.probability,
        )

    @property
    def allows_several_clicks(self) -> bool:
        """Whether users may click several documents of a slate."""
        return self.choice_model in _clicks.MODELS

    def choice_model_ctor(
        self, slate_size: int
    ) -> Callable[[Mapping[str, Any]], choice_models.NormalizableChoiceModel]:
        """Returns what makes the choice model, of a dictionary with ``no_click_mass``."""
        if not self.allows_several_clicks:
            return choice_models.MultinomialLogitChoiceModel
        return self.multi_click_ctor(
            self.choice_model, slate_size, attention_prob=self.attention_prob
        )

    def check_precision(self, dtype: DTypeLike) -> None:
        """Raises ValueError if qualities or affinities may be too large for floats of a type."""
        UserParameters.check_precision(self, dtype)
        DocumentParameters.check_precision(self, dtype)


def _probabilities(name: str, values: object) -> Vector:
    return tuple(validation.probability_vector(name, values).tolist())


def _logit(name: str, value: object) -> float:
    logit = numbers.as_float(name, value)
    # Single precision holds the difference to any score.
    return logit if logit == -np.inf else validation.number(name, value, -1e30, 1e30)
