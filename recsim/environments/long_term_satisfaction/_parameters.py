"""The parameters of long-term satisfaction, which both engines read."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import DTypeLike

from recsim._internal import numbers, validation
from recsim.environments import _config

__all__ = ["DocumentParameters", "LTSParameters", "UserParameters"]

# Larger numbers have products that single precision cannot hold.
_LARGEST = 1e30


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class UserParameters:
    """What :class:`~recsim.environments.long_term_satisfaction.LTSStaticUserSampler` takes.

    See :class:`LTSParameters`.
    """

    memory_discount: float = 0.7
    sensitivity: float = 0.01
    innovation_stddev: float = 0.05
    choc_mean: float = 5.0
    choc_stddev: float = 1.0
    kale_mean: float = 4.0
    kale_stddev: float = 1.0
    time_budget: float = 60
    initial_exposure_scale: float = 1.0

    def __post_init__(self) -> None:
        """Checks the values and makes them floats."""
        _config.normalize(
            self,
            memory_discount=_discount,
            sensitivity=lambda name, value: validation.number(name, value, -_LARGEST, _LARGEST),
            innovation_stddev=lambda name, value: validation.number(name, value, 0.0, _LARGEST),
            choc_mean=validation.number,
            choc_stddev=validation.non_negative_float,
            kale_mean=validation.number,
            kale_stddev=validation.non_negative_float,
            time_budget=_number_of_steps,
            # The discount may be as good as 1.
            initial_exposure_scale=lambda name, value: validation.number(name, value, 0.0, 1e10),
        )
        self.check_precision(np.float64)

    def check_precision(self, dtype: DTypeLike) -> None:
        """Raises ValueError if engagements may be too large for floats of a type."""
        for food in ("choc", "kale"):
            mean, stddev = f"{food}_mean", f"{food}_stddev"
            # The mean is multiplied by a satisfaction in (0, 1).
            _config.check_log_normal(
                mean, max(getattr(self, mean), 0.0), stddev, getattr(self, stddev), dtype
            )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DocumentParameters:
    """What :class:`~recsim.environments.long_term_satisfaction.LTSDocumentSampler` takes.

    See :class:`LTSParameters`.
    """

    min_clickbait_score: float = 0.0
    max_clickbait_score: float = 1.0

    def __post_init__(self) -> None:
        """Checks the values and makes them floats."""
        _config.normalize(
            self,
            min_clickbait_score=lambda name, value: validation.number(name, value, 0.0, 1.0),
            max_clickbait_score=lambda name, value: validation.number(name, value, 0.0, 1.0),
        )
        _config.check_order(self, "min_clickbait_score", "max_clickbait_score")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LTSParameters(UserParameters, DocumentParameters):
    """The parameters of the scenario.

    :mod:`recsim.environments.long_term_satisfaction` says what they mean.
    """

    max_engagement_magnitude: float = 100.0

    def __post_init__(self) -> None:
        """Checks the values and makes them floats."""
        UserParameters.__post_init__(self)
        DocumentParameters.__post_init__(self)
        _config.normalize(
            self,
            max_engagement_magnitude=lambda name, value: validation.number(
                name, value, 1e-30, _LARGEST
            ),
        )


def _discount(name: str, value: object) -> float:
    discount = numbers.as_float(name, value)
    if not 0.0 <= discount < 1.0:
        raise ValueError(f"{name} must be in [0, 1), got {value!r}.")
    return discount


def _number_of_steps(name: str, value: object) -> float:
    # It may be infinite, where a limit on the number of steps truncates episodes.
    steps = numbers.as_float(name, value)
    if not steps > 0.0:
        raise ValueError(f"{name} must be a number of steps above 0, got {value!r}.")
    return int(steps) if isinstance(value, (int, np.integer)) else steps
