"""Logs as arrays: the slates that users were shown, or the ratings that they gave.

A :class:`SlateLog` and a :class:`RatingsLog` are what models are fitted to. They are made of
arrays:

    >>> log = SlateLog(
    ...     items=[[0, 1], [1, -1], [2, 0]],
    ...     clicks=[[True, False], [False, False], [False, True]],
    ...     users=[0, 0, 1], sessions=[0, 0, 1], steps=[0, 1, 0])
    >>> log.num_slates, log.num_impressions, log.num_users, log.num_items
    (3, 5, 2, 3)
    >>> log.select_users([1, 1]).clicks.tolist()
    [[False, True], [False, True]]
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from recsim._internal import numbers, validation

__all__ = ["Catalogue", "RatingsLog", "SlateLog", "Users"]


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """What a log tells of its items, which keep their indices in whatever is taken of the log.

    Attributes:
        ids: the items' labels, as text, shape (n_items,).
        features: numbers that describe them, float32 of shape (n_items, n_features).
        feature_names: names of the features.
        topics: index of each item's topic, int32 of shape (n_items,); None if not known.
        topic_names: names of the topics; empty if not known.
        names: what to call the items where they are shown; None for their labels.
    """

    ids: np.ndarray
    features: np.ndarray
    feature_names: tuple[str, ...] = ()
    topics: np.ndarray | None = None
    topic_names: tuple[str, ...] = ()
    names: np.ndarray | None = None

    @classmethod
    def of_size(cls, number: int) -> Catalogue:
        """Returns one of items of whom nothing but their indices is known."""
        return cls(np.arange(number).astype(np.str_), np.zeros((number, 0), np.float32))

    def __len__(self) -> int:
        return len(self.ids)


@dataclasses.dataclass(frozen=True)
class Users:
    """What a log tells of its users.

    Attributes:
        ids: their labels, as text, shape (n_users,).
        features: numbers that describe them, float32 of shape (n_users, n_features).
        feature_names: names of the features.
    """

    ids: np.ndarray
    features: np.ndarray
    feature_names: tuple[str, ...] = ()

    @classmethod
    def of_size(cls, number: int) -> Users:
        """Returns users of whom nothing but their indices is known."""
        return cls(np.arange(number).astype(np.str_), np.zeros((number, 0), np.float32))

    def take(self, indices: np.ndarray) -> Users:
        """Returns the users of these indices, in their order."""
        return Users(self.ids[indices], self.features[indices], self.feature_names)

    def __len__(self) -> int:
        return len(self.ids)


@dataclasses.dataclass(frozen=True, repr=False)
class SlateLog:
    """Slates that users were shown, and what they clicked.

    A row is a slate; L is the size of the longest one. Rows are sorted by user, session and step.
    Arrays are checked, and converted to the dtypes named here.

    Attributes:
        items: what was shown: indices of items, int32 of shape (n_slates, L); -1 for none. What is
            shown stands before the -1s, in the order of positions.
        clicks: which items were clicked, bool of the same shape.
        values: what a click was worth, such as a rating or a time, float32 of the same shape, NaN
            where nothing was clicked; None if not known.
        positions: position of each item, from 0, int16 of the same shape. By default the column;
            an impression whose slate is not known is a slate of one at its position.
        propensities: probability with which the item was shown at its position, float32 of the
            same shape, 1 where no item is; None if not known.
        users: user of each slate, int32 of shape (n_slates,); -1 throughout if the log does not
            say who saw what, and then nothing can be said on how users differ or change.
        sessions: session of each slate, counted over the log from 0, int32 of shape (n_slates,).
            Where the log has none, a user's slates are one session.
        steps: number of the slate in its session, from 0, int32 of shape (n_slates,).
        has_sessions: whether the log says where sessions begin and end.
        catalogue: what is known of the items.
        user_table: what is known of the users; empty where the log has none.
        value_name: what the values are, 'rating' or 'time'; empty without values.
        treatments: sentences on what was dropped or repaired when the log was read.

    Raises:
        TypeError: for arrays that are not of numbers.
        ValueError: for arrays of other shapes, indices beyond the catalogue, items after a -1,
            clicks on no item, propensities outside of (0, 1], and rows that are not in order.
    """

    items: Any
    clicks: Any
    values: Any = None
    positions: Any = None
    propensities: Any = None
    users: Any = None
    sessions: Any = None
    steps: Any = None
    has_sessions: bool = True
    catalogue: Catalogue = None  # type: ignore[assignment]  # Made in __post_init__.
    user_table: Users = None  # type: ignore[assignment]  # Likewise.
    value_name: str = ""
    treatments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        items = _whole("items", self.items, np.int32)
        if items.ndim != 2 or not items.size:
            raise ValueError(
                "items must have a row for each slate, shape (n_slates, L), and at least one "
                f"slate, got shape {items.shape}."
            )
        _set(self, "items", items)
        shown = items >= 0
        shape = items.shape
        clicks = _of_shape("clicks", numbers.array("clicks", self.clicks), shape, "items")
        _set(self, "clicks", clicks != 0)
        default = np.broadcast_to(np.arange(shape[1], dtype=np.int16), shape)
        self._check_whole("positions", shape, np.int16, default)
        for name in ("values", "propensities"):
            value = getattr(self, name)
            if value is not None:
                array = _floats(name, value, np.float32)
                if np.isinf(array).any():
                    raise ValueError(f"{name} must be finite, got {array[np.isinf(array)][0]}.")
                _set(self, name, _of_shape(name, array, shape, "items"))
        known = self.users is not None
        self._check_whole("users", shape[:1], np.int32, np.full(shape[0], -1, np.int32))
        each = np.arange(shape[0], dtype=np.int32)
        of_users = self.users - self.users[0] if known else each
        if self.sessions is None:
            _set(self, "has_sessions", False)
        self._check_whole("sessions", shape[:1], np.int32, of_users)
        starts = np.r_[True, np.diff(self.sessions) != 0]
        since = each - np.maximum.accumulate(np.where(starts, each, 0))
        self._check_whole("steps", shape[:1], np.int32, since)
        if self.catalogue is None:
            _set(self, "catalogue", Catalogue.of_size(int(items.max()) + 1))
        if self.user_table is None:
            _set(self, "user_table", Users.of_size(int(self.users.max()) + 1))
        if self.values is None or not self.value_name:
            _set(self, "value_name", "" if self.values is None else "rating")
        self._check_slates(shown)
        self._check_order()

    def _check_whole(
        self, name: str, shape: tuple[int, ...], dtype: type[np.signedinteger], default: np.ndarray
    ) -> None:
        value = getattr(self, name)
        array = default if value is None else _whole(name, value, dtype)
        _set(self, name, _of_shape(name, array.astype(dtype, copy=False), shape, "items"))

    def _check_slates(self, shown: np.ndarray) -> None:
        if not shown[:, 0].all() or (shown[:, 1:] & ~shown[:, :-1]).any():
            raise ValueError("items must have an item in each slate, and none after a -1.")
        if self.items.max() >= len(self.catalogue):
            raise ValueError(
                f"items must be below {len(self.catalogue)}, the number of items in the catalogue, "
                f"got {self.items.max()}."
            )
        if (self.clicks & ~shown).any():
            raise ValueError("clicks must be False where no item is shown, got True.")
        if self.positions.min() < 0:
            raise ValueError(f"positions must be >= 0, got {self.positions.min()}.")
        if self.propensities is not None:
            good = (self.propensities > 0.0) & (self.propensities <= 1.0)
            if not good[shown].all():
                raise ValueError(
                    "propensities must be above 0 and at most 1, for what was shown had one, got "
                    f"{self.propensities[shown & ~good][0]}."
                )

    def _check_order(self) -> None:
        if not -1 <= self.users.min() <= self.users.max() < max(len(self.user_table), 1):
            raise ValueError(
                f"users must be indices below {len(self.user_table)}, or -1 throughout, got "
                f"{self.users.min()} to {self.users.max()}."
            )
        session, user = np.diff(self.sessions), np.diff(self.users)
        same = session == 0
        ordered = (session[~same] > 0).all() and (user >= 0).all() and (user[same] == 0).all()
        if not ordered or not (np.diff(self.steps)[same] > 0).all():
            raise ValueError(
                "Slates must be sorted by users, sessions and steps, sessions counted over the "
                "whole log, and a session must be of one user; got another order."
            )

    def __repr__(self) -> str:
        users = f"{self.num_users:,} users" if self.has_users else "no users"
        return (
            f"<SlateLog: {self.num_slates:,} slates, {self.num_impressions:,} impressions, "
            f"{int(self.clicks.sum()):,} clicks, {self.num_items:,} items, {users}>"
        )

    @property
    def num_slates(self) -> int:
        """Number of slates."""
        return len(self.items)

    @property
    def slate_size(self) -> int:
        """Number of items of the longest slate."""
        return int(self.items.shape[1])

    @property
    def num_positions(self) -> int:
        """The largest position, and one."""
        return int(self.positions[self.shown].max()) + 1

    @property
    def num_impressions(self) -> int:
        """Number of items shown, over all slates."""
        return int(self.shown.sum())

    @property
    def num_items(self) -> int:
        """Number of items in the catalogue."""
        return len(self.catalogue)

    @property
    def num_users(self) -> int:
        """Number of users; 0 where the log does not say who saw what."""
        return len(self.user_table)

    @property
    def num_sessions(self) -> int:
        """Number of sessions."""
        return int((np.diff(self.sessions) != 0).sum()) + 1

    @property
    def has_users(self) -> bool:
        """Whether the log says who saw what."""
        return bool(self.users[0] >= 0)

    @property
    def shown(self) -> np.ndarray:
        """Where there is an item, bool of shape (n_slates, L)."""
        shown: np.ndarray = self.items >= 0
        return shown

    @property
    def fingerprint(self) -> str:
        """The 16 letters and digits that tell this log from others, by all its arrays."""
        return _fingerprint(self)

    @property
    def popularity(self) -> np.ndarray:
        """Share of each item in all impressions, shape (n_items,); sums to 1."""
        counts = np.bincount(self.items[self.shown], minlength=self.num_items)
        shares: np.ndarray = counts / counts.sum()
        return shares

    def select_slates(self, mask: np.ndarray) -> SlateLog:
        """Returns the log of some slates, with the same items and users.

        Args:
            mask: bool of shape (n_slates,), or indices in increasing order.

        Raises:
            TypeError, ValueError: if it is not such an array, or no slate is left.
        """
        rows = _rows_of_mask(mask, self.num_slates)
        return self._rows(rows, self.users[rows], _counted(self.sessions[rows]), self.user_table)

    def select_users(self, indices: Sequence[int] | np.ndarray) -> SlateLog:
        """Returns the log of some users, who become user 0, 1, …; one that is given twice, two.

        Args:
            indices: of the users, in any order and with repetitions, as a bootstrap draws them.

        Raises:
            ValueError: if the log does not say who saw what, or an index is none of a user.
        """
        if not self.has_users:
            raise ValueError("A log without users has none to select: use select_slates.")
        chosen = _user_indices(indices, self.num_users)
        rows, users = _rows_of(self.users, chosen, self.num_users)
        sessions = self.sessions[rows]
        begins = np.r_[True, (np.diff(sessions) != 0) | (np.diff(users) != 0)]
        counted = np.cumsum(begins, dtype=np.int32) - np.int32(1)
        return self._rows(rows, users, counted, self.user_table.take(chosen))

    def split(
        self, held_out: float = 0.2, seed: int = 0, by: str = "auto"
    ) -> tuple[SlateLog, SlateLog]:
        """Splits the log in two at random: to fit to, and held out.

        Args:
            held_out: share of the sessions, users or slates that is held out, in (0, 1).
            seed: of the random choice.
            by: what is not split: 'session', 'user' or 'slate'. 'auto' is the session where the
                log has some, else the slate.

        Returns:
            Two logs with the same items and users; the second has at least one slate, as has the
            first.

        Raises:
            ValueError: for another ``by``, or if the log has only one of them.
        """
        mask = self.held_out_slates(held_out, seed, by)
        return self.select_slates(~mask), self.select_slates(mask)

    def held_out_slates(self, held_out: float = 0.2, seed: int = 0, by: str = "auto") -> np.ndarray:
        """Returns which slates :meth:`split` holds out, bool of shape (n_slates,).

        Args:
            held_out: see there.
            seed: see there.
            by: see there.

        Raises:
            ValueError: see there.
        """
        if isinstance(by, str) and by == "auto":
            by = "session" if self.has_sessions else "slate"
        groups = {"session": self.sessions, "user": self.users, "slate": np.arange(len(self.items))}
        if not isinstance(by, str) or by not in groups or (by == "user" and not self.has_users):
            raise ValueError(
                "by must be 'auto', 'session', 'slate' or, in a log with users, 'user', got "
                f"{numbers.described(by)}."
            )
        return _held_out(groups[by], held_out, seed, by)

    def _rows(
        self, rows: np.ndarray, users: np.ndarray, sessions: np.ndarray, user_table: Users
    ) -> SlateLog:
        return dataclasses.replace(
            self,
            items=self.items[rows],
            clicks=self.clicks[rows],
            values=None if self.values is None else self.values[rows],
            positions=self.positions[rows],
            propensities=None if self.propensities is None else self.propensities[rows],
            users=users,
            sessions=sessions,
            steps=self.steps[rows],
            user_table=user_table,
        )


@dataclasses.dataclass(frozen=True, repr=False)
class RatingsLog:
    """Ratings that users gave to items, a row each, sorted by user.

    Attributes:
        users: index of the user, int32 of shape (n,).
        items: index of the item, int32 of shape (n,).
        ratings: the rating, float32 of shape (n,).
        times: when, float64 of shape (n,), in whatever unit; None if not known.
        catalogue: what is known of the items.
        user_table: what is known of the users.
        treatments: sentences on what was dropped or repaired when the log was read.

    Raises:
        TypeError: for arrays that are not of numbers.
        ValueError: for arrays of different lengths or without entries, indices that are none,
            ratings that are not finite, and users that are not in order.
    """

    users: Any
    items: Any
    ratings: Any
    times: Any = None
    catalogue: Catalogue = None  # type: ignore[assignment]  # Made in __post_init__.
    user_table: Users = None  # type: ignore[assignment]  # Likewise.
    treatments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        users = _whole("users", self.users, np.int32)
        if users.ndim != 1 or not users.size:
            raise ValueError(
                f"users must be one for each rating, and at least one, got shape {users.shape}."
            )
        _set(self, "users", users)
        _set(
            self,
            "items",
            _of_shape("items", _whole("items", self.items, np.int32), users.shape, "users"),
        )
        for name, dtype in (("ratings", np.float32), ("times", np.float64)):
            value = getattr(self, name)
            if value is not None:
                array = _floats(name, value, dtype)
                _set(self, name, _of_shape(name, array, users.shape, "users"))
                if not np.isfinite(array).all():
                    raise ValueError(f"{name} must be finite, got {array[~np.isfinite(array)][0]}.")
        if self.catalogue is None:
            _set(self, "catalogue", Catalogue.of_size(int(self.items.max()) + 1))
        if self.user_table is None:
            _set(self, "user_table", Users.of_size(int(users.max()) + 1))
        for name, known in (("users", self.user_table), ("items", self.catalogue)):
            array = getattr(self, name)
            if not 0 <= array.min() <= array.max() < len(known):
                raise ValueError(
                    f"{name} must be indices from 0, below {len(known)}, got {array.min()} to "
                    f"{array.max()}."
                )
        if (np.diff(users) < 0).any():
            raise ValueError("Ratings must be sorted by users, got another order.")

    def __repr__(self) -> str:
        return (
            f"<RatingsLog: {self.num_ratings:,} ratings, {self.num_items:,} items, "
            f"{self.num_users:,} users>"
        )

    @property
    def num_ratings(self) -> int:
        """Number of ratings."""
        return len(self.ratings)

    @property
    def num_items(self) -> int:
        """Number of items in the catalogue."""
        return len(self.catalogue)

    @property
    def num_users(self) -> int:
        """Number of users."""
        return len(self.user_table)

    @property
    def fingerprint(self) -> str:
        """The 16 letters and digits that tell this log from others, by all its arrays."""
        return _fingerprint(self)

    @property
    def popularity(self) -> np.ndarray:
        """Share of each item in all ratings, shape (n_items,); sums to 1."""
        return np.bincount(self.items, minlength=self.num_items) / self.num_ratings

    def select_ratings(self, mask: np.ndarray) -> RatingsLog:
        """Returns the log of some ratings, with the same items and users.

        Args:
            mask: bool of shape (n,), or indices in increasing order.

        Raises:
            TypeError, ValueError: if it is not such an array, or no rating is left.
        """
        rows = _rows_of_mask(mask, self.num_ratings)
        return self._rows(rows, self.users[rows], self.user_table)

    def select_users(self, indices: Sequence[int] | np.ndarray) -> RatingsLog:
        """Returns the log of some users, who become user 0, 1, …; one that is given twice, two.

        Raises:
            ValueError: if an index is none of a user, or none of them has a rating.
        """
        chosen = _user_indices(indices, self.num_users)
        rows, users = _rows_of(self.users, chosen, self.num_users)
        return self._rows(rows, users, self.user_table.take(chosen))

    def split(self, held_out: float = 0.2, seed: int = 0) -> tuple[RatingsLog, RatingsLog]:
        """Splits the log in two at random, rating by rating: to fit to, and held out.

        Raises:
            ValueError: if the log has only one rating.
        """
        mask = self.held_out_ratings(held_out, seed)
        return self.select_ratings(~mask), self.select_ratings(mask)

    def held_out_ratings(self, held_out: float = 0.2, seed: int = 0) -> np.ndarray:
        """Returns which ratings :meth:`split` holds out, bool of shape (n,).

        Raises:
            ValueError: if the log has only one rating.
        """
        return _held_out(np.arange(self.num_ratings), held_out, seed, "rating")

    def _rows(self, rows: np.ndarray, users: np.ndarray, user_table: Users) -> RatingsLog:
        times = None if self.times is None else self.times[rows]
        return dataclasses.replace(
            self,
            users=users,
            items=self.items[rows],
            ratings=self.ratings[rows],
            times=times,
            user_table=user_table,
        )


def _fingerprint(table: SlateLog | RatingsLog) -> str:
    digest = hashlib.sha256(type(table).__name__.encode())
    for part in (table, table.catalogue, table.user_table):
        for field in dataclasses.fields(part):
            value = getattr(part, field.name)
            if isinstance(value, np.ndarray):
                digest.update(f"{field.name} {value.dtype} {value.shape}".encode())
                digest.update(np.ascontiguousarray(value).data)
            elif field.name not in ("catalogue", "user_table", "treatments"):
                digest.update(f"{field.name} {value}".encode())
    return digest.hexdigest()[:16]


def _set(table: SlateLog | RatingsLog, name: str, value: object) -> None:
    object.__setattr__(table, name, value)


def _whole(name: str, values: object, dtype: type[np.signedinteger]) -> np.ndarray:
    """Returns whole numbers in a dtype; ValueError for those that it cannot hold."""
    array = numbers.whole_array(name, values)
    limits = np.iinfo(dtype)
    if array.size and not limits.min <= array.min() <= array.max() <= limits.max:
        raise ValueError(
            f"{name} must be in [{limits.min}, {limits.max}], got {array.min()} to {array.max()}."
        )
    return array.astype(dtype, copy=False)


def _of_shape(name: str, array: np.ndarray, shape: tuple[int, ...], first: str) -> np.ndarray:
    """Returns an array, which must have the shape that the first one gives it."""
    if array.shape != shape:
        raise ValueError(
            f"{name} must have the shape {shape}, by that of {first}, got {array.shape}."
        )
    return array


def _floats(name: str, values: object, dtype: type[np.floating]) -> np.ndarray:
    """Returns numbers in a dtype; what it cannot hold is infinite."""
    with np.errstate(over="ignore"):
        return numbers.array(name, values).astype(dtype, copy=False)


def _rows_of_mask(mask: object, number: int) -> np.ndarray:
    """Returns the rows of a mask, or of indices."""
    given = numbers.array("mask", mask)
    if given.dtype == np.bool_ and given.shape == (number,):
        rows: np.ndarray = np.flatnonzero(given)
    else:
        rows = numbers.whole_array("mask", given)
        fits = given.dtype != np.bool_ and rows.ndim == 1 and (np.diff(rows) > 0).all()
        if not fits or (rows.size and not 0 <= rows.min() <= rows.max() < number):
            raise ValueError(
                f"mask must be a bool for each of {number} rows, or indices of these in increasing "
                f"order, got {numbers.described(mask)}."
            )
    if not len(rows):
        raise ValueError("mask must leave at least one slate or rating, got none.")
    return rows


def _user_indices(indices: Sequence[int] | np.ndarray, number: int) -> np.ndarray:
    chosen = numbers.whole_array("indices", indices)
    if chosen.ndim != 1 or not chosen.size or chosen.min() < 0 or chosen.max() >= number:
        raise ValueError(
            f"indices must be of users, at least one, from 0 to {number - 1}, got "
            f"{numbers.described(indices)}."
        )
    return chosen


def _rows_of(users: np.ndarray, chosen: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows of chosen users, in the order of the choice, and which choice each is of."""
    starts = np.searchsorted(users, np.arange(number + 1))
    lengths = np.diff(starts)[chosen]
    if not lengths.sum():
        raise ValueError("indices must have a user with a row in the log, got none.")
    owners = np.repeat(np.arange(len(chosen), dtype=np.int32), lengths)
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return starts[chosen][owners] + within, owners


def _counted(groups: np.ndarray) -> np.ndarray:
    """Numbers groups of rows that stand together from 0."""
    return np.cumsum(np.r_[False, np.diff(groups) != 0], dtype=np.int32)


def _held_out(groups: np.ndarray, share: float, seed: int, what: str) -> np.ndarray:
    """Returns which rows are held out, all rows of a group alike."""
    share = validation.probability("held_out", share)
    first = np.r_[True, np.diff(groups) != 0]
    numbered = np.cumsum(first) - 1
    number = int(numbered[-1]) + 1
    if number < 2:
        raise ValueError(f"A log must have at least two {what}s to hold one out, got {number}.")
    if not 0.0 < share < 1.0:
        raise ValueError(f"held_out must be above 0 and below 1, got {share}.")
    size = min(max(round(share * number), 1), number - 1)
    rng = np.random.default_rng(validation.seed("seed", seed))
    chosen = np.zeros(number, np.bool_)
    chosen[rng.permutation(number)[:size]] = True
    return cast(np.ndarray, chosen[numbered])
