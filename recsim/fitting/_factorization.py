"""Biased matrix factorization of ratings by alternating least squares.

A rating is ``mean + user effect + item effect + ⟨user factors, item factors⟩`` and noise. Given the
items, each user's effect and factors are a small ridge regression, and the other way round (Y.
Koren, R. Bell, C. Volinsky. Matrix factorization techniques for recommender systems. Computer 42,
2009). The normal equations of users with about as many ratings are formed and solved together, in
pieces of a bounded size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from recsim.fitting import tables

__all__ = ["Factors", "Ratings", "factorize", "root_mean_square"]

# Ratings whose factors are in memory together.
_ROWS_TOGETHER = 2**18
# Of the search for principal factors: how many more are looked for than needed, how often, and the
# number of ratings that is added to those of a user or an item.
_MORE_FACTORS, _PASSES, _MORE_RATINGS = 8, 8, 10.0
# Rounds of the estimation of effects without factors, which converge fast.
_ROUNDS_OF_EFFECTS = 8


@dataclasses.dataclass(frozen=True)
class Factors:
    """What predicts ratings.

    Attributes:
        mean: of all ratings.
        user_effects: shape (num_users,).
        item_effects: shape (num_items,).
        user_factors: shape (num_users, num_factors).
        item_factors: shape (num_items, num_factors).
    """

    mean: float
    user_effects: np.ndarray
    item_effects: np.ndarray
    user_factors: np.ndarray
    item_factors: np.ndarray

    def predict(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Returns the ratings to expect, float32 of the shape of the indices."""
        result = np.empty(len(users), np.float32)
        for start in range(0, len(users), _ROWS_TOGETHER):
            part = slice(start, start + _ROWS_TOGETHER)
            user, item = users[part], items[part]
            products = np.einsum("ij,ij->i", self.user_factors[user], self.item_factors[item])
            effects = self.user_effects[user] + self.item_effects[item]
            result[part] = self.mean + effects + products
        return result

    def errors(self, log: tables.RatingsLog) -> np.ndarray:
        """Returns what ratings of a log are above those to expect."""
        errors: np.ndarray = log.ratings - self.predict(log.users, log.items)
        return errors


class Ratings:
    """Ratings in the order of users and in that of items.

    Args:
        log: the ratings.
        weights: how much the ratings of each user count, shape (num_users,), for bootstraps; None
            for all alike.
    """

    def __init__(self, log: tables.RatingsLog, weights: np.ndarray | None = None) -> None:
        by_item = np.argsort(log.items, kind="stable")
        weights = None if weights is None else weights.astype(np.float32)
        of_ratings = None if weights is None else weights[log.users]
        self.mean = float(np.average(log.ratings.astype(np.float64), weights=of_ratings))
        self.users = _Side(log.users, log.items, log.ratings, log.num_users)
        self.items = _Side(
            log.items[by_item], log.users[by_item], log.ratings[by_item], log.num_items, weights
        )


class _Side:
    """The ratings of users, or of items, one after another.

    Attributes:
        number: number of users (items).
        others: item (user) of each rating.
        ratings: the ratings.
        own: user (item) of each rating, in order.
        starts: where the ratings of each begin, and an end.
    """

    def __init__(
        self,
        own: np.ndarray,
        others: np.ndarray,
        ratings: np.ndarray,
        number: int,
        weights: np.ndarray | None = None,
    ) -> None:
        self.number = number
        self.others = others
        self.ratings = ratings
        self.own = own
        self._weights = weights  # Of the others.
        self.starts = np.searchsorted(own, np.arange(number + 1))
        self._counts = np.diff(self.starts)
        self._order = np.argsort(-self._counts, kind="stable")

    def solve(
        self, factors: np.ndarray, effects: np.ndarray, mean: float, ridge: np.ndarray
    ) -> np.ndarray:
        """Returns factors and effects, shape (number, num_factors + 1), given those of the others.

        Args:
            factors: the others' factors.
            effects: the others' effects.
            mean: of all ratings.
            ridge: what is added to the diagonal of the normal equations, (num_factors + 1,).
        """
        num_others, num_factors = factors.shape
        # The last row is of padding, the last column of the effect.
        rows = np.ones((num_others + 1, num_factors + 1), np.float32)
        rows[:-1, :-1] = factors
        rows[-1] = 0.0
        offsets = np.append(effects, 0.0).astype(np.float32) + np.float32(mean)
        weights = None if self._weights is None else np.append(self._weights, np.float32(0.0))
        found = np.zeros((self.number, num_factors + 1))
        for chosen, places, inside in self._pieces():
            others = np.where(inside, self.others[places], num_others)
            x = rows[others]
            y = np.where(inside, self.ratings[places] - offsets[others], np.float32(0.0))
            transposed = x.transpose(0, 2, 1)
            if weights is not None:
                x = x * weights[others][:, :, np.newaxis]
                y = y * weights[others]
            normal = (transposed @ x).astype(np.float64)
            diagonal = np.arange(num_factors + 1)
            normal[:, diagonal, diagonal] += ridge
            right = (transposed @ y[:, :, np.newaxis]).astype(np.float64)
            found[chosen] = np.linalg.solve(normal, right)[:, :, 0]
        return found

    def _pieces(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yields users of about as many ratings, the places of these, and where there is one."""
        start = 0
        last = len(self.others) - 1
        while start < self.number and self._counts[self._order[start]]:
            width = int(self._counts[self._order[start]])
            chosen = self._order[start : start + max(_ROWS_TOGETHER // width, 1)]
            start += len(chosen)
            within = np.arange(width)
            inside = within < self._counts[chosen][:, np.newaxis]
            places = np.minimum(self.starts[chosen][:, np.newaxis] + within, last)
            yield chosen, places, inside

    def effects(self, of_others: np.ndarray, mean: float, ridge: float) -> np.ndarray:
        """Returns shrunk means of what ratings are above the others' effects."""
        left = self.ratings - of_others[self.others] - np.float32(mean)
        counts: np.ndarray = self._counts
        if self._weights is not None:
            weights = self._weights[self.others]
            left = left * weights
            counts = np.bincount(self.own, weights, minlength=self.number)
        sums = np.bincount(self.own, left, minlength=self.number)
        return sums / (counts + ridge)

    @property
    def counts(self) -> np.ndarray:
        """Number of ratings of each."""
        return self._counts


def factorize(
    ratings: Ratings,
    num_factors: int,
    regularization: float,
    *,
    seed: int,
    most_rounds: int,
    go_on: Callable[[Factors], bool] = lambda factors: True,
    start: Factors | None = None,
) -> Factors:
    """Returns the factors that predict ratings best.

    Args:
        ratings: the ratings.
        num_factors: number of factors; 0 for effects alone.
        regularization: weight of the squares of factors, in squared units of ratings.
        seed: of the search for factors to begin with.
        most_rounds: how often users and items are solved for, at most.
        go_on: called after each round; says whether to continue.
        start: factors to begin with; None for the principal ones of what effects leave.
    """
    factors, ridges = _effects(ratings)
    if not num_factors:
        return factors
    if start is None:
        item_factors, item_effects = (
            _principal(ratings, factors, num_factors, seed),
            factors.item_effects,
        )
    else:
        item_factors, item_effects = start.item_factors, start.item_effects
    of_users, of_items = (
        np.append(np.full(num_factors, regularization), ridge) for ridge in ridges
    )
    for _ in range(most_rounds):
        users = ratings.users.solve(item_factors, item_effects, ratings.mean, of_users)
        items = ratings.items.solve(users[:, :-1], users[:, -1], ratings.mean, of_items)
        item_factors, item_effects = items[:, :-1], items[:, -1]
        factors = Factors(ratings.mean, users[:, -1], item_effects, users[:, :-1], item_factors)
        if not go_on(factors):
            break
    return factors


def _principal(ratings: Ratings, effects: Factors, num_factors: int, seed: int) -> np.ndarray:
    """Returns factors of items near to the best ones, shape (num_items, num_factors).

    They are singular vectors of the sparse matrix of what effects leave of the ratings, by subspace
    iteration from a random subspace. Rows and columns are divided by the roots of their numbers of
    ratings. From random factors least squares would take several rounds more.
    """
    from scipy import sparse

    users, items = ratings.users, ratings.items
    left = users.ratings - effects.predict(users.own, users.others)
    size = float(np.sqrt(root_mean_square(left)))
    of_users, of_items = (
        ((side.counts + _MORE_RATINGS) ** -0.5).astype(np.float32) for side in (users, items)
    )
    left *= of_users[users.own] * of_items[users.others]
    matrix = sparse.csr_matrix(
        (left, users.others, users.starts), shape=(users.number, items.number)
    )
    number = min(num_factors + _MORE_FACTORS, items.number)
    rng = np.random.default_rng(seed)
    basis = rng.normal(size=(items.number, number)).astype(np.float32)
    for _ in range(_PASSES):
        basis, _ = np.linalg.qr(matrix.T @ (matrix @ basis))
    images = matrix @ basis
    vectors = np.linalg.eigh(images.T @ images).eigenvectors[:, ::-1]
    factors = basis @ vectors[:, :num_factors] * of_items[:, np.newaxis]
    norm = np.sqrt(np.mean(np.sum(factors**2, axis=1)))
    principal: np.ndarray = factors * (size / norm if norm > 0.0 else 1.0)
    return principal


def _effects(ratings: Ratings) -> tuple[Factors, tuple[float, float]]:
    """Returns effects without factors, and the ridges of users' and items' effects.

    A ridge is the variance of the noise over that of the effects: both are estimated (empirical
    Bayes), so that users with few ratings are close to the average by as much as users differ.
    """
    sides = ratings.users, ratings.items
    effects = [np.zeros(side.number, np.float32) for side in sides]
    ridges = [1.0, 1.0]
    for _ in range(_ROUNDS_OF_EFFECTS):
        for i, side in enumerate(sides):
            effects[i] = side.effects(effects[1 - i], ratings.mean, ridges[i]).astype(np.float32)
        users, items = sides
        left = users.ratings - effects[0][users.own] - effects[1][users.others]
        noise = float(np.mean((left - np.float32(ratings.mean)) ** 2, dtype=np.float64))
        noise = max(noise, 1e-12)
        for i, side in enumerate(sides):
            of_rated = side.counts > 0
            spread = np.square(effects[i], dtype=np.float64) + noise / (side.counts + ridges[i])
            ridges[i] = noise / max(float(spread[of_rated].mean()), 1e-12)
    nothing = [np.zeros((side.number, 0)) for side in sides]
    return Factors(ratings.mean, effects[0], effects[1], *nothing), (ridges[0], ridges[1])


def root_mean_square(values: np.ndarray) -> float:
    """Returns the root of the mean of squares."""
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
