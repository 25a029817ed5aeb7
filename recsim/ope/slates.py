"""Estimators for slates: cascade doubly robust and pseudo-inverse.

Independent and reward-interaction inverse propensity scoring are
:class:`recsim.ope.estimators.InversePropensity` with weights of items and of prefixes.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from recsim._internal import validation
from recsim.ope import estimates, estimators, models
from recsim.ope import log as log_lib
from recsim.ope import policy as policy_lib

__all__ = ["CascadeDoublyRobust", "PseudoInverse", "pseudo_inverse_weights"]

# Eigenvalues below this share of the largest are taken for 0.
_RELATIVE = 1e-10


@dataclasses.dataclass(frozen=True)
class CascadeDoublyRobust:
    """Doubly robust along the positions of a slate (Kiyohara et al., 2022).

    Users are taken to go through a slate from its first position on: what a document earns depends
    on the documents before it, and not on those after. Then it is unbiased.

    Attributes:
        model: what predicts, from each position on, what is still to come, or such predictions.
        clip: the highest weight that counts, None for no clipping.
    """

    model: models.RewardModel | models.Predictions = models.CascadeModel()
    clip: float | None = None

    def __post_init__(self) -> None:
        if self.clip is not None:
            validation.positive_float("clip", self.clip)

    @property
    def name(self) -> str:
        """A short name."""
        return "cascade DR" + ("" if self.clip is None else f" clipped at {self.clip:g}")

    def estimate(
        self,
        log: log_lib.SlateLog,
        policy: policy_lib.Policy,
        interval: estimates.Interval | None = None,
    ) -> estimates.Estimate:
        """See :meth:`recsim.ope.estimators.Estimator.estimate`."""
        weights = estimators.importance_weights(log, policy, "prefixes")
        missing = estimators.missing_support(log, policy)
        missing = estimates.warn_of_support(missing, weights, self.name)
        predictions = estimators.predictions_of(self.model, log, policy, 2)
        if log.position_rewards is None:
            raise ValueError(
                f"{self.name} goes by positions, and the log does not say what each document "
                "earned: give position_rewards."
            )
        if self.clip is not None:
            weights = np.minimum(weights, self.clip)
        before = np.ones_like(weights)
        before[:, 1:] = weights[:, :-1]
        # What a position earns and what is predicted after it, beside what was predicted from it.
        errors = weights * (log.position_rewards - predictions.logged)
        return estimates.estimate(
            self.name,
            errors + before * predictions.expected,
            users=log.users,
            interval=interval,
            weights=weights,
            missing_support=missing,
        )


def pseudo_inverse_weights(log: log_lib.SlateLog, policy: policy_lib.Policy) -> np.ndarray:
    """Returns the weights of logged slates, for rewards that are sums over their documents.

    A document at a position has an unknown value, and a slate's reward is the sum of its documents'
    in expectation. The weight is the product of how likely the evaluated policy is to show each
    document at each position, the pseudo-inverse of how likely the logging policy is to show pairs
    of them, and what the slate shows (Swaminathan et al., 2017).

    Returns:
        Array of shape (n,); weights may be negative.

    Raises:
        ValueError: if the log does not have the probabilities of all slates, or the policy not
            those of all candidates.
    """
    if log.distribution is None or policy.marginals is None:
        raise ValueError(
            "The pseudo-inverse needs the logging policy's probabilities of all slates, "
            "log.distribution, and the evaluated policy's of all candidates, policy.marginals; "
            "logs of recsim.ope.simulated have them where there are not too many slates."
        )
    moments, which = log.distribution.second_moments()
    inverses = np.linalg.pinv(moments, rcond=_RELATIVE, hermitian=True)
    number, num_candidates, slate_size = policy.marginals.shape
    of_policy = policy.marginals.swapaxes(1, 2).reshape(number, -1)
    columns = log.items + num_candidates * np.arange(slate_size)
    weights = np.empty(number)
    for distinct in range(len(inverses)):
        rows = np.flatnonzero(which == distinct)
        products = of_policy[rows] @ inverses[distinct]
        weights[rows] = np.take_along_axis(products, columns[rows], axis=1).sum(axis=1)
    return weights


@dataclasses.dataclass(frozen=True)
class PseudoInverse:
    """Weighs the rewards of slates as if these were sums over their documents.

    It is unbiased where they are, in expectation, whatever each document adds at its position, and
    needs no rewards of positions. Its variance grows with the number of positions and candidates,
    not with the number of slates.

    Attributes:
        self_normalized: whether to divide by the sum of the weights, not the number of slates.
    """

    self_normalized: bool = False

    @property
    def name(self) -> str:
        """A short name."""
        return "SNPI" if self.self_normalized else "PI"

    def estimate(
        self,
        log: log_lib.SlateLog,
        policy: policy_lib.Policy,
        interval: estimates.Interval | None = None,
    ) -> estimates.Estimate:
        """See :meth:`recsim.ope.estimators.Estimator.estimate`."""
        weights = pseudo_inverse_weights(log, policy)
        missing = estimators.missing_support(log, policy, "items")
        missing = estimates.warn_of_support(missing, weights, self.name)
        return estimates.estimate(
            self.name,
            weights * log.rewards,
            weights if self.self_normalized else None,
            users=log.users,
            interval=interval,
            weights=weights,
            missing_support=missing,
        )
