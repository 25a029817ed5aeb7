"""The direct method, inverse propensity scoring and doubly robust estimators.

An estimator is an object with a ``name`` and a method ``estimate(log, policy)``, see
:class:`Estimator`. The value that it estimates is the mean reward of the slates that the evaluated
policy would show, to users as they are in the log. :func:`estimate_all` applies several.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np

from recsim._internal import validation
from recsim.ope import _sums, estimates, models
from recsim.ope import log as log_lib
from recsim.ope import policy as policy_lib

__all__ = [
    "DirectMethod",
    "DoublyRobust",
    "Estimator",
    "InversePropensity",
    "estimate_all",
    "importance_weights",
    "missing_support",
]

Weights = Literal["slates", "items", "prefixes"]

_PROPENSITIES = {
    "slates": "slate_propensities",
    "items": "item_propensities",
    "prefixes": "prefix_propensities",
}
_NAMES = {"slates": "IPS", "items": "IIPS", "prefixes": "RIPS"}
# Batches of users that are left out for the interval of a model.
_NUM_BATCHES = 50
# What is shown with less is not shown.
_NEVER = 1e-12


class Estimator(Protocol):
    """What estimates the value of a policy from a log of another."""

    @property
    def name(self) -> str:
        """A short name."""

    def estimate(
        self,
        log: log_lib.SlateLog,
        policy: policy_lib.Policy,
        interval: estimates.Interval | None = None,
    ) -> estimates.Estimate:
        """Returns the estimate.

        Args:
            log: logged slates.
            policy: the probabilities of the evaluated policy, for each of them.
            interval: how the interval is made; None for Student's of 95%.

        Raises:
            ValueError: if log or policy do not have what the estimator needs.
        """


def importance_weights(
    log: log_lib.SlateLog, policy: policy_lib.Policy, kind: Weights = "slates"
) -> np.ndarray:
    """Returns how much likelier the evaluated policy is to show what was logged.

    Args:
        log: logged slates.
        policy: the probabilities of the evaluated policy.
        kind: 'slates', for an array of shape (n,); 'items' or 'prefixes', of documents at positions
            or of these and all before them, for (n, slate_size).

    Raises:
        ValueError: if the log or the policy does not have these probabilities, or the policy is of
            other slates.
    """
    if kind not in _PROPENSITIES:
        raise ValueError(f"kind must be one of {', '.join(_PROPENSITIES)}, got {kind!r}.")
    logged, evaluated = getattr(log, _PROPENSITIES[kind]), getattr(policy, kind)
    if evaluated is None and policy.slates is not None and log.slate_size == 1:
        evaluated = policy.slates[:, np.newaxis]  # A single item is all of its slate.
    if logged is None:
        raise ValueError(
            f"The log has no {_PROPENSITIES[kind]}: it was written by an agent that does not know "
            "them. Log with one that does, or use an estimator that needs others."
        )
    if evaluated is None:
        raise ValueError(
            f"The policy has no {kind}: give its probabilities for what the log shows, or use an "
            "estimator that needs others."
        )
    if evaluated.shape != logged.shape:
        raise ValueError(
            f"The policy's {kind} must have the shape of the log's, {logged.shape}, got "
            f"{evaluated.shape}: they are of other slates."
        )
    weights: np.ndarray = evaluated / logged
    return weights


def missing_support(
    log: log_lib.SlateLog, policy: policy_lib.Policy, kind: Weights = "slates"
) -> float | None:
    """Returns the share of what a policy shows that the logging policy never does.

    Args:
        log: logged slates.
        policy: the evaluated policy.
        kind: see :func:`importance_weights`: of slates, or of documents at positions. What a slate
            begins with is never shown if no slate is that begins with it.

    Returns:
        A number from 0 to 1; None where the probabilities of all slates are not known.
    """
    logged, evaluated = log.distribution, policy.distribution
    if logged is None or evaluated is None:
        return None
    if kind == "items":
        never = logged.marginals() <= _NEVER
        return float((evaluated.marginals() * never).sum(axis=1).mean())
    if logged.slates.shape != evaluated.slates.shape or (logged.slates != evaluated.slates).any():
        raise ValueError(
            "The distributions of the log and of the policy must be of the same slates in the same "
            "order, as policy.all_slates returns them."
        )
    of_never = (evaluated.probabilities * (logged.probabilities <= _NEVER)).sum(axis=1)
    return float(of_never.mean())


@dataclasses.dataclass(frozen=True)
class InversePropensity:
    """Weighs logged rewards by how much likelier the evaluated policy is to show the slate.

    By slates it is unbiased (Horvitz and Thompson, 1952), and of great variance where slates are
    long. By items, what a document earns is taken to depend on itself and its position alone
    (independent, Li et al., 2018); by prefixes, on the documents before it too (reward interaction,
    McInerney et al., 2020). Where that does not hold, these two are biased.

    Attributes:
        weights: 'slates', 'items' or 'prefixes'.
        self_normalized: whether to divide by the sum of the weights, of each position, not by the
            number of slates (Hájek, 1971): a little biased, and of less variance.
        clip: the highest weight that counts; larger ones count as much, which biases the estimate
            towards 0 for positive rewards. None for no clipping.
    """

    weights: Weights = "slates"
    self_normalized: bool = False
    clip: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.weights, str) or self.weights not in _PROPENSITIES:
            raise ValueError(
                f"weights must be one of {', '.join(_PROPENSITIES)}, got {self.weights!r}."
                f"{validation.nearest_name(str(self.weights), _PROPENSITIES)}"
            )
        validation.flag("self_normalized", self.self_normalized)
        if self.clip is not None:
            validation.positive_float("clip", self.clip)

    @property
    def name(self) -> str:
        """A short name, such as SNIPS."""
        clipped = "" if self.clip is None else f" clipped at {self.clip:g}"
        return f"{'SN' if self.self_normalized else ''}{_NAMES[self.weights]}{clipped}"

    def estimate(
        self,
        log: log_lib.SlateLog,
        policy: policy_lib.Policy,
        interval: estimates.Interval | None = None,
    ) -> estimates.Estimate:
        """See :meth:`Estimator.estimate`."""
        weights = importance_weights(log, policy, self.weights)
        missing = missing_support(log, policy, self.weights)
        missing = estimates.warn_of_support(missing, weights, self.name)
        if self.clip is not None:
            weights = np.minimum(weights, self.clip)
        rewards = log.rewards
        if self.weights != "slates":
            rewards = log.position_rewards
            if rewards is None:
                raise ValueError(
                    f"{self.name} goes by positions, and the log does not say what each document "
                    "earned: give position_rewards, or use weights='slates'."
                )
        return estimates.estimate(
            self.name,
            weights * rewards,
            weights if self.self_normalized else None,
            users=log.users,
            interval=interval,
            weights=weights,
            missing_support=missing,
        )


@dataclasses.dataclass(frozen=True)
class DirectMethod:
    """Predicts the rewards of the slates that the evaluated policy would show.

    It is as good as the model: of little variance, and biased where the model is. With a
    :class:`recsim.ope.models.LinearModel` its interval comes from fits that leave out users, by the
    jackknife; with another model, or predictions, it is that of a given model, and too narrow for
    one that was fitted to the log.

    Attributes:
        model: what predicts, or predictions.
    """

    model: models.RewardModel | models.Predictions = models.LinearModel()

    @property
    def name(self) -> str:
        """A short name."""
        return "DM"

    def estimate(
        self,
        log: log_lib.SlateLog,
        policy: policy_lib.Policy,
        interval: estimates.Interval | None = None,
    ) -> estimates.Estimate:
        """See :meth:`Estimator.estimate`."""
        predictions = predictions_of(self.model, log, policy, 1)
        found = estimates.estimate(
            self.name, predictions.expected, users=log.users, interval=interval
        )
        if not isinstance(self.model, models.LinearModel):
            return found
        slates = np.arange(log.num_slates)[:, np.newaxis]
        wanted = interval or estimates.Interval()
        sums = _sums.Sums(log, policy, slates, log.users, _NUM_BATCHES, wanted.seed)
        error, low, high = sums.interval(found.value, wanted, 1.0, self.model.ridge)
        return dataclasses.replace(found, standard_error=error, low=low, high=high)


@dataclasses.dataclass(frozen=True)
class DoublyRobust:
    """Predicts rewards, and weighs what the predictions are wrong by (Dudík et al., 2014).

    It is unbiased if the propensities are right, and of less variance than inverse propensity
    scoring as far as the model predicts.

    Attributes:
        model: what predicts, or predictions.
        self_normalized: whether to divide by the sum of the weights.
        clip: the highest weight that counts, None for no clipping.
        switch: above which weight the prediction alone counts (Wang et al., 2017); None for never.
        shrinkage: lambda of the weights ``lambda * w / (w**2 + lambda)`` (Su et al., 2020); None
            for the weights themselves.
    """

    model: models.RewardModel | models.Predictions = models.LinearModel()
    self_normalized: bool = False
    clip: float | None = None
    switch: float | None = None
    shrinkage: float | None = None

    def __post_init__(self) -> None:
        validation.flag("self_normalized", self.self_normalized)
        for name in ("clip", "switch", "shrinkage"):
            value = getattr(self, name)
            if value is not None:
                validation.non_negative_float(name, value)

    @property
    def name(self) -> str:
        """A short name, such as SNDR."""
        changes = [
            f" {text} {value:g}"
            for text, value in (
                ("clipped at", self.clip),
                ("switched at", self.switch),
                ("shrunk by", self.shrinkage),
            )
            if value is not None
        ]
        return f"{'SN' if self.self_normalized else ''}DR{''.join(changes)}"

    def estimate(
        self,
        log: log_lib.SlateLog,
        policy: policy_lib.Policy,
        interval: estimates.Interval | None = None,
    ) -> estimates.Estimate:
        """See :meth:`Estimator.estimate`."""
        weights = importance_weights(log, policy)
        missing = missing_support(log, policy)
        missing = estimates.warn_of_support(missing, weights, self.name)
        predictions = predictions_of(self.model, log, policy, 1)
        if self.clip is not None:
            weights = np.minimum(weights, self.clip)
        if self.switch is not None:
            weights = np.where(weights <= self.switch, weights, 0.0)
        if self.shrinkage is not None and math.isfinite(self.shrinkage):
            # Where both are 0, so is the weight.
            below = weights**2 + self.shrinkage
            weights = np.divide(
                self.shrinkage * weights, below, out=np.zeros_like(weights), where=below > 0
            )
        errors = weights * (log.rewards - predictions.logged)
        numerators = np.stack([predictions.expected, errors], axis=1)
        ones = np.ones_like(weights)
        of_weights = np.stack([ones, weights], axis=1)
        return estimates.estimate(
            self.name,
            numerators,
            of_weights if self.self_normalized else None,
            users=log.users,
            interval=interval,
            weights=weights,
            missing_support=missing,
        )


def predictions_of(
    model: models.RewardModel | models.Predictions,
    log: log_lib.SlateLog,
    policy: policy_lib.Policy,
    num_axes: int,
) -> models.Predictions:
    """Returns the predictions for the slates of a log, which must be of their shape.

    Args:
        model: what predicts, or predictions.
        log: the log.
        policy: the evaluated policy.
        num_axes: 1 for predictions of slates, 2 for those from positions on.
    """
    predictions = model
    if not isinstance(model, models.Predictions):
        predictions = model.predict(log, policy)
    assert isinstance(predictions, models.Predictions)
    wanted = log.items.shape[:num_axes]
    if predictions.logged.shape != wanted:
        raise ValueError(
            f"Predictions must have the shape {wanted}, as the log, got {predictions.logged.shape}."
        )
    return predictions


def estimate_all(
    log: log_lib.SlateLog,
    policy: policy_lib.Policy,
    estimators: Sequence[Estimator],
    interval: estimates.Interval | None = None,
) -> list[estimates.Estimate]:
    """Returns the estimates of several estimators."""
    return [estimator.estimate(log, policy, interval) for estimator in estimators]
