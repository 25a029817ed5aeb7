"""Which column of a table means what: as the caller says, or as the names suggest.

>>> found = find(["userId", "movieId", "rating", "timestamp"], Columns())
>>> print(found.text())
Columns: user = userId, item = movieId, rating, time = timestamp (guessed by name).
>>> find(["u", "movieId", "stars"], Columns(user="u", rating="stars")).guessed
frozenset({'item'})
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

from recsim._internal import numbers, validation

__all__ = ["AUTO", "KINDS", "ROLES", "Columns", "Found", "find", "find_described", "without"]

#: Stands for: look for a column of a fitting name.
AUTO = "auto"
#: The kinds of tables.
KINDS = ("slates", "ratings")

# Names of columns, in small letters with underscores, the likeliest first.
_NAMES = {
    "user": (
        "user_id user userid uid user_index visitor_id visitor customer_id customer member_id "
        "account_id reviewer_id profile_id"
    ),
    "item": (
        "item_id item itemid iid item_index document_id document doc_id product_id product "
        "movie_id movie movieid video_id video article_id article news_id song_id track_id track "
        "artist_id book_id ad_id content_id asin isbn sku"
    ),
    "position": "position pos rank slot item_position",
    "click": "click clicked clicks is_click is_clicked was_clicked response_click label",
    "rating": "rating ratings stars score response_rating value",
    "duration": (
        "watch_time response_watch_time dwell_time listening_time listen_time time_spent duration "
        "view_time"
    ),
    "time": (
        "timestamp time ts datetime date created_at event_time impression_time unix_time "
        "time_stamp time_ms timestamp_ms"
    ),
    "session": "session_id session visit_id visit episode sessionid",
    "step": "step step_in_session",
    "slate": (
        "slate_id slate page_id page page_view_id request_id impression_id query_id list_id serp_id"
    ),
    "propensity": "propensity propensity_score pscore item_probability",
    "topic": (
        "topic topic_id category category_id genre genres cluster cluster_id item_category "
        "item_topic item_feature_cluster_id item_feature_topic"
    ),
    "item_name": "title item_name item_title name movie_title",
}
#: What a column may mean, but for the features.
ROLES = tuple(_NAMES)
_FEATURES = {"item_features": "item_feature", "user_features": "user_feature"}

_WORDS = {
    "user": "users",
    "item": "items",
    "click": "clicks",
    "rating": "ratings",
}


@dataclasses.dataclass(frozen=True)
class Columns:
    """The columns of a table by their meanings.

    Each is the name of a column, ``"auto"`` to look for one of a fitting name, or None for none.

    Attributes:
        user: who saw or rated; labels of any kind.
        item: what was shown or rated; labels of any kind.
        position: where in the slate, counted from 0 or from 1.
        click: the response: 1 or true where the item was clicked, 0 or false where it was not.
        rating: a rating: of a table of ratings, or of what was clicked in a slate.
        duration: how long the user stayed with what was clicked; 0 or nothing where none was.
        time: when: a number, a date with time, or text such as 2026-11-27 12:00:00.
        session: label of the user's session; sessions of two users may have the same.
        step: number of the slate in its session: rows with one user, session and step are a slate.
        slate: label of the slate (page, request): rows with one label are a slate.
        propensity: probability with which the item was shown at its position, in (0, 1].
        topic: the item's topic (category, genre), a label.
        item_name: what to call the item.
        item_features: columns that describe the item, numbers or a few categories; ``"auto"`` for
            those whose names begin with item_feature.
        user_features: columns that describe the user, likewise.

    Raises:
        TypeError: for what is not text, or lists of text for the features.
    """

    user: str | None = AUTO
    item: str | None = AUTO
    position: str | None = AUTO
    click: str | None = AUTO
    rating: str | None = AUTO
    duration: str | None = AUTO
    time: str | None = AUTO
    session: str | None = AUTO
    step: str | None = AUTO
    slate: str | None = AUTO
    propensity: str | None = AUTO
    topic: str | None = AUTO
    item_name: str | None = AUTO
    item_features: Sequence[str] | str | None = AUTO
    user_features: Sequence[str] | str | None = AUTO

    def __post_init__(self) -> None:
        for role in ROLES:
            if not isinstance(value := getattr(self, role), (str, type(None))):
                raise TypeError(
                    f"{role} must be the name of a column, 'auto' or None, got "
                    f"{numbers.described(value)}."
                )
        for role in _FEATURES:
            value = getattr(self, role)
            if isinstance(value, str) and value == AUTO:
                continue
            names: object = [] if value is None else value
            if isinstance(names, str) or not isinstance(names, Sequence):
                raise TypeError(
                    f"{role} must be a list of names of columns, 'auto' or None, got "
                    f"{numbers.described(value)}."
                )
            if wrong := [name for name in names if not isinstance(name, str)]:
                raise TypeError(f"{role} must be names of columns, got {wrong[0]!r}.")
            object.__setattr__(self, role, tuple(names))

    @classmethod
    def of(cls, columns: Columns | Mapping[str, object] | None) -> Columns:
        """Returns columns that may be given as a dictionary; an error names unknown meanings."""
        if columns is None:
            return cls()
        if isinstance(columns, Columns):
            return columns
        given = dict(validation.mapping("columns", columns))
        known = [field.name for field in dataclasses.fields(cls)]
        if unknown := [name for name in given if name not in known]:
            raise ValueError(
                f"columns must be of {', '.join(known)}, got {unknown[0]!r}."
                f"{validation.nearest_name(str(unknown[0]), known)}"
            )
        return cls(**given)


@dataclasses.dataclass(frozen=True)
class Found:
    """The columns that a table has.

    Attributes:
        kind: 'slates' or 'ratings'.
        names: column of each meaning that has one.
        guessed: the meanings whose columns were found by their names.
        item_features: columns of the items' features.
        user_features: columns of the users' features.
        left_out: columns that are not used.
    """

    kind: str
    names: Mapping[str, str]
    guessed: frozenset[str]
    item_features: tuple[str, ...]
    user_features: tuple[str, ...]
    left_out: tuple[str, ...]

    def __contains__(self, role: str) -> bool:
        return role in self.names

    @property
    def needed(self) -> list[str]:
        """The columns to read, each once."""
        names = [*self.names.values(), *self.item_features, *self.user_features]
        return list(dict.fromkeys(names))

    def text(self) -> str:
        """Returns a sentence or two that say which column is taken for what."""
        pairs = {
            mark: [
                role if name == role else f"{role} = {name}"
                for role, name in self.names.items()
                if (role in self.guessed) == mark
            ]
            for mark in (False, True)
        }
        for role in _FEATURES:
            if names := getattr(self, role):
                pairs[role in self.guessed].append(f"{role} = {_listed(names)}")
        parts = [", ".join(pairs[False])] if pairs[False] else []
        if pairs[True]:
            parts.append(f"{', '.join(pairs[True])} (guessed by name)")
        text = f"Columns: {'; '.join(parts)}."
        if self.left_out:
            text += f" Not used: {_listed(self.left_out)}."
        return text

    def remark(self, role: str) -> str:
        """Returns what an error adds on a column that was found by its name."""
        if role not in self.guessed:
            return ""
        return f"The column was guessed by its name: say with the option {role} which one it is."


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raises ValueError if an argument is none of some words."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(
            f"{name} must be one of {', '.join(map(repr, choices))}, got "
            f"{numbers.described(value)}."
        )


def find(names: Sequence[str], columns: Columns, kind: str = AUTO) -> Found:
    """Returns which columns of a table mean what.

    Args:
        names: the columns of the table.
        columns: what the caller says.
        kind: 'slates', 'ratings', or 'auto': a table with a rating and neither clicks, positions
            nor slates is one of ratings.

    Raises:
        ValueError: for a doubled column, one that is not there or is named for two meanings, two
            that fit a guess equally, and a table without what its kind needs.
    """
    check_choice("kind", kind, (AUTO, *KINDS))
    _check_doubled(names)
    given = {role: getattr(columns, role) for role in ROLES}
    features = {role: getattr(columns, role) for role in _FEATURES}
    named = [name for name in given.values() if name not in (None, AUTO)]
    for of_role in features.values():
        named += [] if of_role in (None, AUTO) else of_role
    _check_named(named, names)
    taken = set(named)
    found: dict[str, str] = {}
    guessed = set()
    for role, name in given.items():
        if name == AUTO:
            name = _guess(role, [name for name in names if name not in taken])
            if name is not None:
                guessed.add(role)
        if name is not None:
            found[role] = name
            taken.add(name)
    kind = _kind(found, guessed, kind)
    if kind == "ratings":  # What only slates have is not looked at.
        for role in ("position", "click", "duration", "session", "step", "slate", "propensity"):
            if role in found:
                if role not in guessed:
                    raise ValueError(f"A table of ratings has no column {role}: leave it out.")
                taken.discard(found.pop(role))
    elif "rating" in found and "duration" in found:
        _drop_one_value(found, guessed, taken)
    of_features = {}
    for role, prefix in _FEATURES.items():
        if role == "user_features" and "user" not in found:
            if features[role] not in (None, AUTO, ()):
                raise ValueError("user_features has no effect: the table has no column of users.")
            of_features[role] = ()
        elif features[role] == AUTO:
            of_role = [name for name in names if _plain(name).startswith(prefix)]
            of_features[role] = tuple(name for name in of_role if name not in taken)
            guessed.update([role] if of_features[role] else [])
        else:
            of_features[role] = tuple(features[role] or ())
        taken.update(of_features[role])
    _check_complete(found, kind, names)
    left_out = tuple(name for name in names if name not in taken)
    return Found(
        kind, found, frozenset(guessed & {*found, *_FEATURES}), **of_features, left_out=left_out
    )


def find_described(
    names: Sequence[str], role: str, key: str, columns: Columns
) -> dict[str, list[str]]:
    """Returns which columns of a table of items or users mean what.

    Args:
        names: the columns of the table.
        role: 'item' or 'user', whom the table has a row for.
        key: what the log calls them.
        columns: what the caller says.

    Returns:
        The columns of each meaning, the labels' first. All columns that mean nothing else are
        features, unless the caller says which are.

    Raises:
        ValueError: for a doubled column, or a table without labels.
    """
    _check_doubled(names)
    labels = key if key in names else _guess(role, names)
    if labels is None:
        raise ValueError(
            f"The table of {role}s must have the column {key!r}, as the log has, or one that looks "
            f"like it, got {_listed(names)}."
        )
    found = {role: [labels]}
    taken = {labels}
    for other in ("topic", "item_name") if role == "item" else ():
        given = getattr(columns, other)
        left = [name for name in names if name not in taken]
        name = _guess(other, left) if given == AUTO else given
        found[other] = [name] if name in left else []
        taken.update(found[other])
    features = getattr(columns, f"{role}_features")
    left = [name for name in names if name not in taken]
    if features != AUTO:
        left = [name for name in left if name in (features or ())]
    found[f"{role}_features"] = left
    return found


def without(columns: Columns, names: Sequence[str], others: Sequence[str]) -> Columns:
    """Returns columns of items and users without those that other tables have, and the log has not.

    Args:
        columns: what the caller says.
        names: the columns of the log.
        others: the columns of the other tables.
    """
    elsewhere = set(others) - set(names)
    changes: dict[str, object] = {
        role: None for role in ("topic", "item_name") if getattr(columns, role) in elsewhere
    }
    for role in _FEATURES:
        given = getattr(columns, role)
        if given not in (None, AUTO):
            changes[role] = tuple(name for name in given if name not in elsewhere)
    return dataclasses.replace(columns, **changes)  # type: ignore[arg-type]


def _check_doubled(names: Sequence[str]) -> None:
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ValueError(
            f"The table has the column {', '.join(map(repr, doubled))} more than once: rename or "
            "drop all but one."
        )


def _plain(name: str) -> str:
    """Returns a name in small letters, with underscores between its words."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")


def _guess(role: str, names: Sequence[str]) -> str | None:
    """Returns the column whose name fits best, None if none does."""
    for wanted in _NAMES[role].split():
        fitting = [name for name in names if _plain(name) == wanted]
        if len(fitting) > 1:
            raise ValueError(
                f"The columns {' and '.join(map(repr, fitting))} look both like the {role}: say "
                f"with the option {role} which one it is."
            )
        if fitting:
            return fitting[0]
    return None


def _check_named(named: Sequence[str], names: Sequence[str]) -> None:
    for name in named:
        if name not in names:
            raise ValueError(
                f"The table must have the column {name!r}, got {_listed(names)}."
                f"{validation.nearest_name(name, names)}"
            )
        if named.count(name) > 1:
            raise ValueError(f"The column {name!r} is named for two meanings: choose one.")


def _kind(found: Mapping[str, str], guessed: set[str], kind: str) -> str:
    """Returns the kind of a table."""
    if kind != AUTO:
        return kind
    of_slates = {"click", "position", "slate", "step", "propensity", "duration"} & set(found)
    return "ratings" if "rating" in found and not of_slates else "slates"


def _drop_one_value(found: dict[str, str], guessed: set[str], taken: set[str]) -> None:
    """Leaves one of rating and duration, which both say what a click is worth."""
    for role in ("duration", "rating"):
        if role in guessed:
            taken.discard(found.pop(role))
            return
    raise ValueError(
        "A click has one value: name a column of ratings or one of durations, got both."
    )


def _check_complete(found: Mapping[str, str], kind: str, names: Sequence[str]) -> None:
    """Raises ValueError if a table lacks what its kind needs."""
    needed = {"slates": ["item"], "ratings": ["user", "item", "rating"]}[kind]
    for role in needed:
        if role not in found:
            raise ValueError(
                f"The table must have a column of {_WORDS[role]}, and none is named or looks like "
                f"one: name it with the option {role}. There are {_listed(names, 20)}."
            )
    if kind == "slates" and not {"click", "rating", "duration"} & set(found):
        raise ValueError(
            "The table must have a column of responses, and none is named or looks like one: name "
            f"it with the option click, rating or duration. There are {_listed(names, 20)}."
        )


def _listed(names: Sequence[str], most: int = 6) -> str:
    """Returns names for a sentence, the first ones of many."""
    shown = ", ".join(names[:most]) or "none"
    return shown if len(names) <= most else f"{shown} and {len(names) - most} others"
