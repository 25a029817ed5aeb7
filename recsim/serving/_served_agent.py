"""An agent of a file that answers requests."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar, overload

import numpy as np

from recsim import agent as agent_lib
from recsim import spaces as spaces_lib
from recsim import types
from recsim._internal import (
    action_masks,
    bundles,
    numbers,
    paths,
    saved_agents,
    trees,
    validation,
)
from recsim.serving import _files, _requests
from recsim.serving._requests import Id, ItemsLike, Recommendation, UserLike
from recsim.serving._users import Record, Users

__all__ = ["ServedAgent", "UnknownUserError", "load_agent"]

UserT = TypeVar("UserT", bound=UserLike)

Response = Mapping[str, object] | Sequence[Mapping[str, object]]


class UnknownUserError(ValueError):
    """A user whom an agent does not remember: nothing was recommended, or it was forgotten."""


def load_agent(
    path: paths.Path,
    *,
    agent_class: type | Sequence[type] | None = None,
    max_users: int = 100_000,
    **given: object,
) -> ServedAgent:
    """Loads an agent that was saved, to serve recommendations.

    No code is loaded from a file: classes and functions of your own, which it only names, are given
    again.

    Args:
        path: the file that the agent's ``save`` wrote.
        agent_class: the agent's class if it is of your own; a list of classes, if there are several
            in a layer.
        max_users: how many users to remember, for an agent that remembers users: those that were
            seen last.
        **given: what else the agent was made with that a file cannot hold, such as a
            ``score_documents_fn`` of your own.

    Raises:
        AgentFileError: if the file is truncated, altered, of a newer version or something else.
        FileNotFoundError: if there is no such file.
        TypeError: if ``agent_class`` or a setting is missing, or not one that the agent needs.
        ValueError: if ``max_users`` is below 1.

    Example:
        >>> import tempfile
        >>> from recsim import registry
        >>> env = registry.create_environment("interest_exploration", {
        ...     "num_candidates": 10, "slate_size": 2, "resample_documents": True, "seed": 0})
        >>> path = f"{tempfile.mkdtemp()}/agent.recsim"
        >>> registry.create_agent("cluster_bandit_ucb1", env).save(path)
        >>> served = load_agent(path)
        >>> features = {"cluster_id": [0, 0, 1, 1], "quality": [1.0, 2.0, 1.5, 0.5]}
        >>> items = {"ids": ["tea", "coffee", "milk", "cocoa"], "features": features}
        >>> served.recommend("ann", items)
        ['coffee', 'tea']
        >>> served.observe("ann", ["coffee", "tea"], {"click": [1, 0]})
        >>> served.recommend(["ann", "ben"], items, k=1)
        [['milk'], ['coffee']]
    """
    max_users = validation.positive_int("max_users", max_users)
    saved = _files.read(path)
    make_agent = functools.partial(_files.make_agent, agent_class=agent_class, given=given)
    return ServedAgent(saved, make_agent, max_users)


class ServedAgent:
    """An agent that recommends items, by their ids, to users, by theirs.

    :func:`load_agent` makes it. An agent that remembers users (:attr:`remembers_users`), such as a
    bandit, is told of what they did by :meth:`observe`. What it knows of a user is stored by the
    user's id, of the ``max_users`` that were seen last, and saved by :meth:`save`.

    Its methods may be called from several threads: one call waits for another. Processes share
    nothing, so that a user's requests belong to one of them. A copy, such as pickle makes for
    another process, knows what this one knew when it was made.

    Args:
        saved: the content of the file.
        make_agent: function that makes the agent of such content.
        max_users: how many users to remember.
    """

    def __init__(
        self,
        saved: _files.Saved,
        make_agent: Callable[[_files.Saved], agent_lib.AbstractRecommenderAgent],
        max_users: int,
    ) -> None:
        self._saved = saved
        self._make_agent = make_agent
        self._agent: Any = make_agent(saved)
        self._lock = threading.RLock()
        self._slate_size = saved.slate_size
        serving: agent_lib.Serving = self._agent.serving()
        # Action masks are of the positions of slates of the size that the agent was made for.
        any_size = serving.any_slate_size and not action_masks.are_in(saved.space)
        self._serving = dataclasses.replace(serving, any_slate_size=any_size)
        parts: Any = getattr(saved.space, "spaces", {})
        self._user_features = self._item_features = None
        self._response_features: dict[str, _requests.Features] = {}
        if saved.space is not None:
            self._user_features = _requests.Features(parts["user"])
            self._item_features = _requests.Features(_first(parts["doc"]))
        if "response" in parts:
            self._response_features = _requests.Features(_first(parts["response"])).fields
        # The fields of responses that the agent needs.
        wanted = self._serving.response_fields
        self._response_fields = tuple(self._response_features if wanted is None else wanted)
        # What the agent knows of somebody new.
        self._of_nobody = bundles.user_state_of(self._agent)
        self._max_users = max_users
        self._users = Users(max_users)
        if saved.users is not None:
            try:
                self._users.load(saved.users, self._check_record)
            except (ValueError, TypeError, KeyError, IndexError) as error:
                raise _files.AgentFileError(
                    f"{saved.path!r} does not hold what its agent remembers of users: {error}"
                ) from error

    def _check_record(self, record: Record) -> None:
        if self._of_nobody is None:
            raise ValueError("its agent remembers none")
        bundles.load_user_state(self._agent, record.state)
        bundles.load_user_state(self._agent, self._of_nobody)

    # What it is.

    def __repr__(self) -> str:
        remembers = f", {len(self._users)} users" if self.remembers_users else ""
        return (
            f"<ServedAgent {self.name}: slates of {self.slate_size} out of "
            f"{self._saved.num_candidates}{remembers}>"
        )

    @property
    def name(self) -> str:
        """The name of the agent's class; of a layer, with those of the agents in it."""
        return _named(self._saved.description)

    @property
    def slate_size(self) -> int:
        """Number of items in a slate that the agent was made for."""
        return self._saved.slate_size

    @property
    def remembers_users(self) -> bool:
        """Whether what the agent recommends depends on what it knows of a user by the id."""
        return self._of_nobody is not None

    @property
    def user_ids(self) -> list[Id]:
        """The ids of the users that are remembered, those that were seen last at the end."""
        with self._lock:
            return list(self._users)

    def describe(self) -> dict[str, Any]:
        """Returns what the agent is and takes, as JSON values.

        Returns:
            ``agent``, ``slate_size``, ``any_slate_size``, ``num_items``, ``any_number_of_items``,
            ``user_features`` and ``item_features`` (shapes and bounds, None where it looks at
            none), ``response_fields``, ``remembers_users`` and ``versions`` (of what saved it).
        """
        item, user = self._item_features, self._user_features
        return {
            "agent": self.name,
            "slate_size": self.slate_size,
            "any_slate_size": self._serving.any_slate_size,
            "num_items": self._saved.num_candidates,
            "any_number_of_items": self._serving.any_number_of_items,
            "user_features": None if user is None else user.described(),
            "item_features": None if item is None else item.described(),
            "response_fields": list(self._response_fields),
            "remembers_users": self.remembers_users,
            "versions": dict(self._saved.versions),
        }

    def make_agent(self) -> agent_lib.AbstractRecommenderAgent:
        """Returns a new agent of the class that was saved, for environments.

        It recommends as the one that was saved, and knows none of the users that this one does.
        """
        return self._make_agent(self._saved)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self._as_saved(), self._make_agent, self._max_users)

    # What it does.

    @overload
    def recommend(
        self,
        user: UserLike,
        items: ItemsLike,
        k: int | None = None,
        *,
        scores: Literal[False] = False,
    ) -> list[Id]: ...

    @overload
    def recommend(
        self,
        user: list[UserT] | tuple[UserT, ...] | np.ndarray,
        items: ItemsLike | list[_requests.Items],
        k: int | None = None,
        *,
        scores: Literal[False] = False,
    ) -> list[list[Id]]: ...

    @overload
    def recommend(
        self, user: UserLike, items: ItemsLike, k: int | None = None, *, scores: Literal[True]
    ) -> Recommendation: ...

    @overload
    def recommend(
        self,
        user: list[UserT] | tuple[UserT, ...] | np.ndarray,
        items: ItemsLike | list[_requests.Items],
        k: int | None = None,
        *,
        scores: Literal[True],
    ) -> list[Recommendation]: ...

    def recommend(
        self, user: object, items: object, k: int | None = None, *, scores: bool = False
    ) -> object:
        """Returns the ids of the items to show to a user, or to each of several.

        Args:
            user: a :class:`User`, a dictionary of its fields, or an id; or a list of such, or a
                column of ids, such as an array.
            items: the items to choose from: :class:`Items`, a dictionary of its fields, or ids
                alone where the agent needs no features. Of several users, the items of all, or a
                list of Items, one for each.
            k: number of items to recommend; what the agent was made for by default.
            scores: whether to return what the agent went by too.

        Returns:
            Up to ``k`` ids, the first place first; a list of such lists for a list of users. With
            ``scores`` a :class:`Recommendation` each.

        Raises:
            TypeError: if an argument is of the wrong type.
            ValueError: if an id or a feature is missing, there twice, not finite or outside what
                the agent was made for; or if the agent cannot recommend ``k`` items, out of so
                many.
            RuntimeError: if an agent that holds a slate for several steps finds none of these
                items equal to those that it holds.
        """
        several = _requests.is_batch(user)
        each_user: Any = user if several else [user]
        users = [_requests.read_user(each, self._user_features) for each in each_user]
        of_users = self._read_items(items, len(users), several)
        k = self._checked_size(k, of_users)
        for each in users:
            if self.remembers_users and each.id is None:
                raise ValueError(
                    f"user must have an id, for {self.name} remembers users, got one without."
                )
        if scores and not types.explains(self._agent):
            raise ValueError(
                f"scores must be False, for {self.name} cannot say what it goes by: it has no "
                "explain."
            )
        with self._lock:
            if k != self._slate_size:
                self._agent.resize_slates(k)
                self._slate_size = k
            found: list[Any]
            if len(users) > 1 and not scores and self._is_parallel(of_users):
                found = self._recommend_in_parallel(users, of_users)
            else:
                found = [self._recommend(*of, k, scores) for of in zip(users, of_users)]
        return found if several else found[0]

    def _read_items(self, items: object, number: int, several: bool) -> list[_requests.ReadItems]:
        of: Any = items
        if several and isinstance(of, (list, tuple)) and of and not _requests.is_id(of[0]):
            if len(of) != number:
                raise ValueError(
                    f"items must be those of all users, or one for each of the {number}, got "
                    f"{len(of)}."
                )
            return [
                _requests.read_items(f"items[{row}]", each, self._item_features)
                for row, each in enumerate(of)
            ]
        return [_requests.read_items("items", items, self._item_features)] * number

    def _checked_size(self, k: int | None, of_users: Sequence[_requests.ReadItems]) -> int:
        own = self.slate_size
        k = own if k is None else validation.positive_int("k", k)
        if k != own and not self._serving.any_slate_size:
            raise ValueError(
                f"k must be {own}, for {self.name} was made for slates of {own} and knows nothing "
                f"of others, got {k}."
            )
        for items in of_users:
            if len(items) < k:
                raise ValueError(f"k must be at most the number of items, {len(items)}, got {k}.")
            number = self._saved.num_candidates
            if len(items) != number and not self._serving.any_number_of_items:
                raise ValueError(
                    f"items must be {number}, for {self.name} was made to choose out of {number}, "
                    f"got {len(items)}."
                )
        return k

    def _recommend(
        self, user: _requests.ReadUser, items: _requests.ReadItems, k: int, scores: bool
    ) -> list[Id] | Recommendation:
        agent = self._agent
        record = None
        if user.id is not None and self.remembers_users:
            record = self._users.get(user.id)
            bundles.load_user_state(agent, self._of_nobody if record is None else record.state)
        observation = {
            "user": user.observation,
            "doc": items.observations(),
            "response": None,
        }
        if record is None:
            slate = agent.begin_episode(observation)
        else:
            if record.responses is not None:
                observation["response"] = tuple(record.responses)
            slate = agent.step(record.reward, observation)
        indices = self._checked_slate(slate, items, k)
        ids = [items.ids[index] for index in indices]
        found: list[Id] | Recommendation = ids
        if scores:
            found = _explained(agent.explain(observation), indices, items.ids, self.name)
        if user.id is not None and self.remembers_users:
            shown = self._shown(items, indices)
            self._users.put(user.id, Record(bundles.user_state_of(agent), ids, shown))
        return found

    def _checked_slate(self, slate: object, items: _requests.ReadItems, k: int) -> list[int]:
        """Returns the indices of a slate, which an agent of the user's own may have made."""
        indices = [int(each) for each in np.ravel(np.asarray(slate)).tolist()]
        if len(set(indices)) < len(indices) or not all(0 <= each < len(items) for each in indices):
            raise ValueError(
                f"{self.name} must recommend different indices of items, 0 to {len(items) - 1}, "
                f"got {numbers.described(indices)}."
            )
        if len(indices) > k:
            raise ValueError(f"{self.name} must recommend at most {k} items, got {len(indices)}.")
        return indices

    def _shown(self, items: _requests.ReadItems, indices: list[int]) -> dict[str, np.ndarray]:
        """Returns what of the items recommended the responses to them repeat."""
        arrays: Any = items.arrays
        if not isinstance(arrays, dict):
            return {}
        return {
            name: arrays[name][indices]
            for name in self._response_fields
            if isinstance(arrays.get(name), np.ndarray)
        }

    def _is_parallel(self, of_users: Sequence[_requests.ReadItems]) -> bool:
        return (
            not self.remembers_users
            and hasattr(self._agent, "slates_in_parallel")
            and self._item_features is not None
            and len({len(items) for items in of_users}) == 1
        )

    def _recommend_in_parallel(
        self, users: Sequence[_requests.ReadUser], of_users: Sequence[_requests.ReadItems]
    ) -> list[list[Id]]:
        shared = all(items is of_users[0] for items in of_users)
        documents = [items.arrays for items in (of_users[:1] if shared else of_users)]
        observation = {
            "user": _stacked([user.observation for user in users]),
            "doc": _stacked(documents),
        }
        slates = self._agent.slates_in_parallel(observation).tolist()
        return [[items.ids[index] for index in slate] for items, slate in zip(of_users, slates)]

    def observe(
        self,
        user: UserLike,
        items: ItemsLike,
        responses: Response,
        *,
        reward: float = 0.0,
    ) -> None:
        """Tells the agent what a user did with items that were shown.

        An agent that remembers nothing of users only checks what it is told.

        An agent that counts, such as a cluster bandit, takes the responses to some or all items of
        a slate, and to several slates. Another one takes the responses to all items of the last
        slate, once, for it sees them as they are when it recommends next.

        Args:
            user: the user, by id, or as in :meth:`recommend`.
            items: the items: ids of the last slate recommended to the user, or Items with their
                features, where what is missing in the responses (a topic say) is looked up.
            responses: a dictionary (or data frame) of columns such as ``{'click': [0, 1]}``, or a
                list with a dictionary for each item. See ``describe()['response_fields']``.
            reward: the reward of it, for agents of your own that go by it.

        Raises:
            UnknownUserError: if the agent remembers users, and not this one.
            TypeError: if an argument is of the wrong type.
            ValueError: if a response or what it needs of the items is missing, unknown or outside
                what the agent was made for.
        """
        number = _requests.user_id(user)
        ids, features = _requests.item_fields("items", items)
        reward = numbers.finite("reward", reward)
        with self._lock:
            record = self._users.get(number)
            if record is None and self.remembers_users:
                raise UnknownUserError(
                    f"user must be one that something was recommended to, got {number!r}, whom "
                    "the agent does not know, or has forgotten."
                )
            columns = _requests.response_columns(responses, len(ids))
            known = self._known(record, ids, features, columns)
            read = _requests.read_responses(
                columns, ids, self._response_features, self._response_fields, known
            )
            if record is None:
                return
            if self._serving.response_fields is None:
                self._check_last_slate(number, ids, record)
            record.responses = [*(record.responses or ()), *read]
            record.reward += reward
            self._users.put(number, record)

    def _known(
        self, record: Record | None, ids: list[Id], features: object, columns: Mapping[str, object]
    ) -> dict[str, Any]:
        """Returns columns of what is known of items and missing in the responses."""
        fields = {} if self._item_features is None else self._item_features.fields
        names = [name for name in self._response_fields if name in fields and name not in columns]
        if features is not None and self._item_features is not None:
            arrays: Any = self._item_features.read("the features of items", features, ids)
            return {name: arrays[name] for name in names}
        if record is None or not names:
            return {}
        places = {each: place for place, each in enumerate(record.slate)}
        for each in ids:
            if each not in places:
                raise ValueError(
                    f"items must be of the last slate recommended to the user, "
                    f"{numbers.described(record.slate)}, got {each!r}: pass Items with the "
                    "features of others."
                )
        rows = [places[each] for each in ids]
        return {name: column[rows] for name, column in record.shown.items()}

    def _check_last_slate(self, user: Id, ids: list[Id], record: Record) -> None:
        if record.responses is not None:
            raise ValueError(
                f"{self.name} sees the responses to one slate at a time, and those of {user!r} to "
                "the last one were observed already: call recommend before the next observe."
            )
        if ids != record.slate:
            raise ValueError(
                f"items must be the last slate recommended to the user, "
                f"{numbers.described(record.slate)}, got {numbers.described(ids)}: {self.name} "
                "sees the responses to whole slates."
            )

    def forget(self, user: UserLike) -> bool:
        """Forgets a user; returns whether the agent knew the user.

        What is recommended next is the first slate of a new episode.
        """
        number = _requests.user_id(user)
        with self._lock:
            return self._users.remove(number)

    def save(self, path: paths.Path) -> None:
        """Saves the agent, and what it knows of users, to a file for :func:`load_agent`.

        Args:
            path: the file, whose folder is made; one that exists is replaced, once the new one is
                whole.

        Raises:
            OSError: if the file cannot be written.
        """
        with self._lock:
            saved = self._as_saved()
            users: Any = saved.users
            saved_agents.write(
                path,
                saved.description,
                saved.state,
                None if saved.space is None else spaces_lib.to_data(saved.space),
                saved.num_candidates,
                saved.slate_size,
                users,
            )

    def _as_saved(self) -> _files.Saved:
        """Returns what a file of the agent, with what it knows of users, holds."""
        with self._lock:
            if self._slate_size != self.slate_size:
                self._agent.resize_slates(self.slate_size)
                self._slate_size = self.slate_size
            if self._of_nobody is not None:
                bundles.load_user_state(self._agent, self._of_nobody)
            return dataclasses.replace(
                self._saved,
                state=bundles.state_to_serve(self._agent),
                users=self._users.data() if len(self._users) else None,
            )


def _first(space: types.Space) -> types.Space:
    """Returns the space of one of the items of a space."""
    return spaces_lib.children(space)[0][1]


def _named(description: Mapping[str, Any]) -> str:
    inner = dict.fromkeys(map(_named, _files.agents_in(description)))
    name: str = description["class"]
    return f"{name}({', '.join(inner)})" if inner else name


def _stacked(each: Sequence[Any]) -> trees.ArrayTree:
    """Returns trees of arrays as one, along a new axis 0."""
    first = each[0]
    if isinstance(first, dict):
        return {key: _stacked([tree[key] for tree in each]) for key in first}
    if isinstance(first, tuple):
        return tuple(_stacked(column) for column in zip(*each))
    return np.stack(each)


def _explained(
    explanation: types.Explanation | None, indices: list[int], ids: list[Id], name: str
) -> Recommendation:
    if explanation is None:
        raise ValueError(f"scores must be False, for {name} cannot say what it went by.")
    scores: dict[str, list[float]] = {}
    tables = []
    for table in explanation.tables:
        rows: list[Any] = list(table.rows)
        if table.of == "candidate":
            places = {int(row): place for place, row in enumerate(rows)}
            if set(indices) <= set(places):
                for column, values in table.columns.items():
                    array = np.asarray(values)
                    scores[column] = [float(array[places[index]]) for index in indices]
            rows = [ids[row] for row in rows]
        elif table.of == "slate":
            rows = [tuple(ids[index] for index in row) for row in rows]
        tables.append(types.ExplanationTable(table.of, rows, table.columns))
    told = types.Explanation(explanation.title, tables, explanation.numbers)
    return Recommendation([ids[index] for index in indices], scores, told)
