"""What utilities are made of, and how interests move in a session; forward and backward."""

from __future__ import annotations

import dataclasses

import numpy as np

from recsim.fitting import _layout

__all__ = ["Slopes", "Utilities", "Values", "backward", "by_target", "clicks_before", "forward"]


@dataclasses.dataclass(frozen=True)
class Values:
    """The numbers that utilities are made of.

    Attributes:
        items: utilities of items, shape (n_items,).
        users: utilities of users, shape (n_users,).
        item_factors: shape (n_items, k).
        user_factors: interests at the start of a session, shape (n_users, k).
        drift: how far interests move to what was clicked, in [0, 1].
        fatigue: what a level of a topic takes from the utility of its items.
        memory: what remains of a level at the next step.
    """

    items: np.ndarray
    users: np.ndarray
    item_factors: np.ndarray
    user_factors: np.ndarray
    drift: float = 0.0
    fatigue: float = 0.0
    memory: float = 0.0


@dataclasses.dataclass(frozen=True)
class Utilities:
    """Utilities, and what is needed to differentiate them.

    Attributes:
        utilities: of impressions, shape (L, n_slates).
        interests: of the users at each slate, shape (k, n_slates).
        targets: mean factors of what was clicked on each slate, of that shape; None without drift.
        levels: of topics, shape (L, n_slates); None without fatigue.
        level_slopes: their derivatives by the memory, likewise.
    """

    utilities: np.ndarray
    interests: np.ndarray
    targets: np.ndarray | None
    levels: np.ndarray | None
    level_slopes: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Slopes:
    """Derivatives of a sum over slates by each of :class:`Values`."""

    items: np.ndarray
    users: np.ndarray
    item_factors: np.ndarray
    user_factors: np.ndarray
    drift: float
    fatigue: float
    memory: float


def forward(
    values: Values, data: _layout.Layout, *, drifts: bool = False, tires: bool = False
) -> Utilities:
    """Returns the utilities of what is shown.

    Args:
        values: what they are made of.
        data: what was shown and clicked.
        drifts: whether interests move, if only by 0.
        tires: whether there is fatigue, if only of 0.
    """
    factors = np.ascontiguousarray(values.item_factors.T)
    start = values.user_factors.T[:, data.users]
    targets = None
    interests = start
    if drifts and len(factors):
        targets = np.stack([(data.shares * row[data.items]).sum(axis=0) for row in factors])
        interests = start.copy()
        for here, after, _ in data.steps():
            moves = values.drift * data.clicked[here]
            now = interests[:, here]
            interests[:, after] = now + moves * (targets[:, here] - now)
    utilities = values.items[data.items]
    utilities += values.users[data.users]
    for row, interest in zip(factors, interests):
        utilities += row[data.items] * interest
    levels = slopes = None
    if tires:
        levels, slopes = data.fatigue_levels(values.memory)
        utilities -= values.fatigue * levels
    return Utilities(utilities, interests, targets, levels, slopes)


def backward(
    values: Values, data: _layout.Layout, made: Utilities, by_utility: np.ndarray
) -> Slopes:
    """Returns derivatives by the values of a sum whose derivatives by the utilities are given."""
    factors = np.ascontiguousarray(values.item_factors.T)
    by_factors = np.zeros_like(factors)
    by_interest = np.zeros_like(made.interests)
    for each, row in enumerate(factors):
        by_factors[each] = data.by_item(by_utility * made.interests[each])
        by_interest[each] = (by_utility * row[data.items]).sum(axis=0)
    drift = 0.0
    if made.targets is not None:
        by_target = np.zeros_like(made.targets)
        for here, after, _ in reversed(data.steps()):
            clicked, later = data.clicked[here], by_interest[:, after]
            drift += float(
                (clicked * (made.targets[:, here] - made.interests[:, here]) * later).sum()
            )
            by_target[:, here] = values.drift * clicked * later
            by_interest[:, here] += (1.0 - values.drift * clicked) * later
        for each, row in enumerate(by_target):
            by_factors[each] += data.by_item(data.shares * row)
        first = slice(0, data.blocks[1])
        users, by_start = data.users[first], by_interest[:, first]
    else:
        users, by_start = data.users, by_interest
    by_user_factors = np.zeros_like(values.user_factors)
    for each, row in enumerate(by_start):
        by_user_factors[:, each] = np.bincount(users, row, data.num_users)
    fatigue = memory = 0.0
    if made.levels is not None and made.level_slopes is not None:
        fatigue = -float((by_utility * made.levels).sum())
        memory = -values.fatigue * float((by_utility * made.level_slopes).sum())
    return Slopes(
        data.by_item(by_utility),
        data.by_user(by_utility.sum(axis=0)),
        by_factors.T,
        by_user_factors,
        drift,
        fatigue,
        memory,
    )


def by_target(drift: float, data: _layout.Layout, by_interest: np.ndarray) -> np.ndarray:
    """Returns curvatures by the factors of items, as far as interests moved to them.

    An item's clicks in one session are taken to be of different items.

    Args:
        drift: how far interests move.
        data: what was shown and clicked.
        by_interest: curvatures by the interests at each slate, shape (k, n_slates).

    Returns:
        Array of shape (n_items, k).
    """
    later = np.zeros_like(by_interest)
    for here, after, _ in reversed(data.steps()):
        left = (1.0 - drift * data.clicked[after]) ** 2
        later[:, here] = by_interest[:, after] + left * later[:, after]
    moves = (drift * data.shares) ** 2
    return np.stack([data.by_item(moves * row) for row in later], axis=1)


def clicks_before(data: _layout.Layout) -> np.ndarray:
    """Returns how many slates of its session had a click before each slate, shape (n_slates,)."""
    counts = np.zeros(len(data.users), np.intp)
    for here, after, _ in data.steps():
        counts[after] = counts[here] + (data.clicked[here] > 0.0)
    return counts
