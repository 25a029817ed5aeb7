"""Predictions of rewards, for the estimators that use a model."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import numpy as np

from recsim._internal import validation
from recsim.ope import log as log_lib
from recsim.ope import policy as policy_lib

__all__ = [
    "CascadeModel",
    "LinearModel",
    "Predictions",
    "RewardModel",
    "expected_features",
    "fitted_weights",
    "shown_documents",
    "slate_features",
]

# Users' and documents' features are multiplied, each with each, if that makes no more numbers.
_MOST_PRODUCTS = 100


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What a model predicts for the slates of a log.

    Attributes:
        logged: the rewards of what was shown: shape (n,) of slates; or (n, slate_size), what is
            still to come from a position on.
        expected: the rewards that the evaluated policy has in expectation, of the same shape; from
            a position on, it is the policy that chooses the document there, after those logged.
    """

    logged: Any
    expected: Any

    def __post_init__(self) -> None:
        for name in ("logged", "expected"):
            object.__setattr__(self, name, validation.finite(name, getattr(self, name)))
        if self.logged.shape != self.expected.shape or not 1 <= self.logged.ndim <= 2:
            raise ValueError(
                "logged and expected must both have the shape (n,) or (n, slate_size), got "
                f"{self.logged.shape} and {self.expected.shape}."
            )


class RewardModel(Protocol):
    """What predicts the rewards of slates, of which it knows those of a log."""

    def predict(self, log: log_lib.SlateLog, policy: policy_lib.Policy) -> Predictions:
        """Returns predictions for the slates of a log, and for the policy in their place."""


def slate_features(users: np.ndarray, documents: np.ndarray) -> np.ndarray:
    """Returns features of slates, which are linear in those of each document.

    They are a one, the features of the user, and for each position the features of the document
    and products with those of the user: each with each where these are few, else one by one where
    both are equally many. As they are linear, those of the expected documents are the expected
    features.

    Args:
        users: shape (n, num_user_features).
        documents: those of the documents at positions, shape (n, num_positions, num_features).

    Returns:
        Array of shape (n, num_slate_features).
    """
    number, _, size = documents.shape
    num_user_features = users.shape[1]
    parts = [np.ones((number, 1)), users, documents.reshape(number, -1)]
    if num_user_features * size <= _MOST_PRODUCTS:
        products = documents[:, :, :, np.newaxis] * users[:, np.newaxis, np.newaxis, :]
        parts.append(products.reshape(number, -1))
    elif num_user_features == size:
        parts.append((documents * users[:, np.newaxis]).reshape(number, -1))
    return np.concatenate(parts, axis=1)


def shown_documents(log: log_lib.SlateLog) -> np.ndarray:
    """Returns the features of the documents shown, shape (n, slate_size, num_features)."""
    features = log.features
    if len(features) == 1:
        shown: np.ndarray = features[0][log.items]
        return shown
    return np.take_along_axis(features, log.items[:, :, np.newaxis], axis=1)


def _expected_documents(log: log_lib.SlateLog, probabilities: np.ndarray) -> np.ndarray:
    """Returns expected features of documents at positions, shape (n, slate_size, num_features).

    Args:
        log: the log.
        probabilities: of candidates at positions, shape (n, num_candidates, slate_size).
    """
    features = log.features
    if probabilities.shape[1] < features.shape[1]:
        features = features[:, : probabilities.shape[1]]
    expected: np.ndarray = np.matmul(probabilities.swapaxes(1, 2), features)
    return expected


def expected_features(log: log_lib.SlateLog, policy: policy_lib.Policy) -> np.ndarray:
    """Returns the features of the slates that a policy would show, in expectation.

    Raises:
        ValueError: if it is not known how likely the policy is to show each candidate.
    """
    if policy.marginals is None:
        raise ValueError(
            "A model of rewards needs the probabilities of all candidates, policy.marginals, which "
            "are not known: make the policy by Policy.of, or use an estimator without a model."
        )
    return slate_features(log.user_features, _expected_documents(log, policy.marginals))


def fitted_weights(features: np.ndarray, targets: np.ndarray, ridge: float = 1.0) -> np.ndarray:
    """Returns the weights of features, of least squares with a ridge on standardized features.

    Args:
        features: shape (n, num_features), the first of which is one throughout.
        targets: shape (n,).
        ridge: the penalty of a squared weight, >= 0; the first one has none.
    """
    means, deviations = features.mean(axis=0), features.std(axis=0)
    # Also a weight that no slate tells of is 0.
    used = deviations > 1e-9 * np.maximum(1.0, np.abs(means))
    scaled = (features[:, used] - means[used]) / deviations[used]
    mean = targets.mean()
    gram = scaled.T @ scaled
    gram[np.diag_indices_from(gram)] += max(ridge, 1e-9)
    solution = np.linalg.solve(gram, scaled.T @ (targets - mean))
    weights = np.zeros(features.shape[1])
    weights[used] = solution / deviations[used]
    weights[0] = mean - means[used] @ weights[used]
    return weights


@dataclasses.dataclass(frozen=True)
class LinearModel:
    """Predicts rewards of slates by ridge regression on :func:`slate_features`.

    Users are parted in folds: those of a fold are predicted by what the others tell, so that no
    prediction has seen the reward that it is compared with (cross-fitting).

    Attributes:
        ridge: see :func:`fitted_weights`.
        num_folds: number of folds, >= 2, or 1 for predictions by all users.
        seed: of the folds.
    """

    ridge: float = 1.0
    num_folds: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        validation.non_negative_float("ridge", self.ridge)
        validation.positive_int("num_folds", self.num_folds)
        validation.positive_int("seed", self.seed, 0)

    def predict(self, log: log_lib.SlateLog, policy: policy_lib.Policy) -> Predictions:
        """See :meth:`RewardModel.predict`."""
        shown = slate_features(log.user_features, shown_documents(log))
        expected = expected_features(log, policy)
        logged, of_policy = np.empty(len(shown)), np.empty(len(shown))
        for fold, others in _folds(log, self.num_folds, self.seed):
            weights = fitted_weights(shown[others], log.rewards[others], self.ridge)
            logged[fold] = shown[fold] @ weights
            of_policy[fold] = expected[fold] @ weights
        return Predictions(logged, of_policy)


@dataclasses.dataclass(frozen=True)
class CascadeModel:
    """Predicts what is still to come from a position on, given the documents up to it.

    Backwards from the last position, the model of a position is fitted to what its document earned
    and what the evaluated policy is predicted to earn after it (Kiyohara et al., 2022). Features,
    ridge and folds are those of :class:`LinearModel`.
    """

    ridge: float = 1.0
    num_folds: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        LinearModel(self.ridge, self.num_folds, self.seed)

    def predict(self, log: log_lib.SlateLog, policy: policy_lib.Policy) -> Predictions:
        """See :meth:`RewardModel.predict`.

        Raises:
            ValueError: if the log does not say what documents earned, or the policy not how likely
                each candidate is after the documents logged.
        """
        if log.position_rewards is None or policy.conditionals is None:
            raise ValueError(
                "A cascade model needs position_rewards of the log, and the conditionals of the "
                "policy: name the column of the former, and make the policy by Policy.of."
            )
        shown = shown_documents(log)
        next_ones = _expected_documents(log, policy.conditionals)
        logged, expected = np.empty(log.items.shape), np.empty(log.items.shape)
        folds = _folds(log, self.num_folds, self.seed)
        to_come = np.zeros(log.num_slates)
        # Targets of a fold's model come from that model: nothing crosses between folds.
        by_fold = [to_come.copy() for _ in folds]
        for place in reversed(range(log.slate_size)):
            features = slate_features(log.user_features, shown[:, : place + 1])
            replaced = np.concatenate([shown[:, :place], next_ones[:, place, np.newaxis]], axis=1)
            of_policy = slate_features(log.user_features, replaced)
            for number, (fold, others) in enumerate(folds):
                targets = log.position_rewards[:, place] + by_fold[number]
                weights = fitted_weights(features[others], targets[others], self.ridge)
                by_fold[number] = of_policy @ weights
                logged[fold, place] = features[fold] @ weights
                expected[fold, place] = by_fold[number][fold]
        return Predictions(logged, expected)


def _folds(log: log_lib.SlateLog, num_folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns the rows of each fold of users, and those of all others."""
    users, rows = np.unique(log.users, return_inverse=True)
    if num_folds == 1 or len(users) < 2 * num_folds:
        every = np.arange(log.num_slates)
        return [(every, every)]
    fold_of_user = np.random.default_rng(seed).permutation(len(users)) % num_folds
    of_rows = fold_of_user[rows.reshape(-1)]
    return [
        (np.flatnonzero(of_rows == fold), np.flatnonzero(of_rows != fold))
        for fold in range(num_folds)
    ]
