"""A layer that shows its base agent what the last slates brought, where users are hidden."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from recsim import agent, types
from recsim import spaces as spaces_lib
from recsim._internal import (
    action_masks,
    bindings,
    bundles,
    observations,
    resources,
    trees,
    validation,
)
from recsim._internal.configurable import configurable
from recsim._internal.gym_import import spaces
from recsim.agents.layers import sufficient_statistics
from recsim.agents.networks import recurrent
from recsim.vector import agent as vector_agent

__all__ = ["RecentSlates", "RecentSlatesLayer", "VectorRecentSlatesLayer", "recurrence_of"]

# How many slates are seen, where it is not said.
_NUM_SLATES = 5

# Bytes of a number of a row, and of what a Box keeps of one: two bounds, and whether it has them.
_BYTES = np.dtype(np.float32).itemsize
_BYTES_OF_BOUNDS = 2 * (_BYTES + np.dtype(np.bool_).itemsize)

_NOT_BEGUN = "{} has responses to a slate that it has not recommended: begin an episode first."


class RecentSlates:
    """What the last slates brought, as numbers: the part of a user's state that can be seen.

    A slate becomes a row: 1, for there was a slate; the mean of its responses; the mean features
    of its items that were clicked; and those of its items that were not. Features are those of
    :func:`recsim.spaces.flatten`, and zeros where there is nothing to take the mean of. Rows do not
    depend on the order in a slate, nor their size on the slate's.

    Args:
        observation_space: space of the observations of one user, with documents, and responses
            that have a ``click``.
        num_slates: how many of the last slates count, at least 1.
        average: whether the rows are averaged, over the slates that there were, rather than shown
            each, the newest first.

    Attributes:
        num_slates: see above.
        average: see above.
        row_size: number of numbers in a row.
        doc_size: number of features of an item.
        shape: shape of what is shown of a user: (num_slates, row_size), or (row_size,).

    Raises:
        TypeError: if an argument or a space is of the wrong type.
        ValueError: if ``num_slates`` is below 1, or responses have no ``click``.
        MemoryError: if there is no memory for the rows of so many slates.
        NotImplementedError: for a space that has no features.
    """

    def __init__(
        self, observation_space: types.DictSpace, num_slates: int, average: bool = False
    ) -> None:
        observations.check_space(observation_space, "user", "doc", "response")
        self.num_slates = validation.positive_int("num_slates", num_slates)
        self.average = validation.flag("average", average)
        parts: Mapping[str, Any] = observation_space.spaces
        fields = observations.fields_of_response(parts["response"], "click")
        if "click" not in fields:
            raise ValueError(
                "observation_space['response'] must have the key 'click', which tells the items "
                f"of recent slates apart, got responses with {sorted(fields)}."
            )
        self._responses = spaces_lib.Flattener(
            observations.spaces_of_responses(parts["response"])[0]
        )
        documents = observations.spaces_of_documents(parts["doc"])
        document = action_masks.space_without(next(iter(documents.values())))
        self._documents = spaces_lib.Flattener(document)
        self.doc_size = self._documents.size
        self.row_size = 1 + self._responses.size + 2 * self.doc_size
        self.shape = (self.row_size,) if self.average else (self.num_slates, self.row_size)
        self._check_memory()

    def _check_memory(self, *num_users: int) -> None:
        """Raises MemoryError if there is no memory for the rows of users."""
        size = _BYTES
        if not self.average:
            size += _BYTES  # A copy is shown,
            if not num_users:
                size += _BYTES_OF_BOUNDS  # in a space, which is made before the users' rows.
        resources.check_memory(
            size * math.prod(num_users) * self.num_slates * self.row_size,
            f"Rows of the last {resources.shown(self.num_slates)} slates (num_slates)"
            + "".join(f" of {resources.shown(number)} users" for number in num_users),
            "choose fewer slates, such as +recent5 or +gru5",
        )

    @contextlib.contextmanager
    def advising(self) -> Iterator[None]:
        """Lets a MemoryError of a base agent, which may see many rows, tell of their number."""
        try:
            yield
        except MemoryError as error:
            raise MemoryError(
                f"With the last {resources.shown(self.num_slates)} slates (num_slates), of which "
                f"fewer need less memory: {error}"
            ) from error

    def nothing(self, *num_users: int) -> np.ndarray:
        """Returns the rows of users who have seen no slate, of shape (…, num_slates, row_size).

        Raises:
            MemoryError: if there is no memory for them.
        """
        self._check_memory(*num_users)
        return np.zeros((*num_users, self.num_slates, self.row_size), np.float32)

    def items_of(self, documents: Sequence[Any]) -> np.ndarray:
        """Returns the features of the items of one user's slate, shape (slate size, doc_size)."""
        features = np.empty((len(documents), self.doc_size), np.float32)
        for row, document in zip(features, documents):
            self._documents.flatten(document, row)
        return features

    def items_of_many(self, documents: trees.ArrayTree, slates: np.ndarray) -> np.ndarray:
        """Returns the features of the items of users' slates, shape (n_users, slate_size, …).

        Args:
            documents: what is observed of the candidates, users and candidates on axes 0 and 1.
            slates: indices of candidates, shape (n_users, slate_size).
        """
        users = np.arange(len(slates))[:, np.newaxis]
        return self._documents.flattened(trees.rows_of(documents, (users, slates)), num_axes=2)

    def after(self, rows: np.ndarray, items: np.ndarray, responses: Sequence[Any]) -> np.ndarray:
        """Returns one user's rows after a slate.

        Args:
            rows: those before, shape (num_slates, row_size).
            items: features of the slate's items, shape (slate size, doc_size).
            responses: the responses to them.

        Raises:
            TypeError, ValueError: as :func:`recsim._internal.observations.clicks`.
        """
        clicked = np.array(observations.clicks(responses, len(items)), np.bool_)
        features = np.empty((len(responses), self._responses.size), np.float32)
        for row, response in zip(features, responses):
            self._responses.flatten(response, row)
        return self._pushed(rows, self._row(features, clicked, items))

    def after_many(
        self, rows: np.ndarray, items: np.ndarray, responses: Mapping[str, Any]
    ) -> np.ndarray:
        """Returns users' rows after slates: as :meth:`after`, with the users on axis 0."""
        clicked = observations.clicks_of_users(responses, items.shape[:2])
        features = self._responses.flattened(responses, num_axes=2)
        return self._pushed(rows, self._row(features, clicked, items))

    def _row(self, responses: np.ndarray, clicked: np.ndarray, items: np.ndarray) -> np.ndarray:
        *leading, slate_size, num_fields = responses.shape
        row = np.zeros((*leading, self.row_size), np.float32)
        row[..., 0] = 1.0
        if not slate_size:
            return row
        row[..., 1 : 1 + num_fields] = responses.mean(axis=-2)
        start = 1 + num_fields
        for of_items in (clicked, ~clicked):
            weights = of_items.astype(np.float32)
            weights /= np.maximum(weights.sum(axis=-1, keepdims=True), 1.0)
            means = (weights[..., np.newaxis, :] @ items)[..., 0, :]
            row[..., start : start + self.doc_size] = means
            start += self.doc_size
        return row

    def _pushed(self, rows: np.ndarray, row: np.ndarray) -> np.ndarray:
        return np.concatenate([row[..., np.newaxis, :], rows[..., :-1, :]], axis=-2)

    def shown(self, rows: np.ndarray) -> np.ndarray:
        """Returns what base agents see of rows, float32, with `shape` as the last dimensions."""
        if not self.average:
            return rows.copy()
        num_seen = np.maximum(rows[..., 0].sum(axis=-1), 1.0)
        averages: np.ndarray = rows.sum(axis=-2) / num_seen[..., np.newaxis]
        return averages


@configurable()
class RecentSlatesLayer(sufficient_statistics.SufficientStatisticsLayer):
    """Shows a base agent what the last slates of the episode brought.

    It makes up for what is not observed of users: an agent that learns from features, whichever
    it is, sees their tastes in what they clicked, and what they passed over. The statistics are an
    array, see :class:`RecentSlates`.

    Args:
        base_agent_ctor: constructor of the base agent.
        observation_space: space of the observations, with documents, and responses that have a
            ``click``.
        action_space: the ``MultiDiscrete`` space of slates.
        num_slates: how many of the last slates it sees, at least 1.
        average: whether it sees their average, and not each of them.
        **kwargs: further arguments for the base agent.

    Raises:
        TypeError: if an argument or a space is of the wrong type.
        ValueError: if ``num_slates`` is below 1, or responses have no ``click``.
        MemoryError: if there is no memory for the rows of so many slates.

    Example:
        >>> from recsim.agents import ppo_agent
        >>> from recsim.environments import interest_exploration
        >>> config = {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 0}
        >>> env = interest_exploration.create_environment(config)
        >>> layer = RecentSlatesLayer(
        ...     ppo_agent.PPOAgent, env.observation_space, env.action_space, num_slates=5)
        >>> len(layer.begin_episode(env.reset()))
        2
    """

    def __init__(
        self,
        base_agent_ctor: Callable[..., Any],
        observation_space: types.DictSpace,
        action_space: types.SlateSpace,
        num_slates: int = _NUM_SLATES,
        average: bool = False,
        **kwargs: Any,
    ) -> None:
        self._recent = RecentSlates(observation_space, num_slates, average)
        self._documents: list[Any] | None = None  # Those that the base agent sees now.
        with self._recent.advising():
            super().__init__(
                base_agent_ctor,
                observation_space,
                action_space,
                spaces.Box(-np.inf, np.inf, self._recent.shape, np.float32),
                **kwargs,
            )

    def serving(self) -> agent.Serving:
        """See :meth:`recsim.agent.AbstractRecommenderAgent.serving`."""
        return dataclasses.replace(
            self._serving_of_base_agents(),
            settings={
                "base_agent_ctor": self._base_agents[0],
                "num_slates": self._recent.num_slates,
                "average": self._recent.average,
            },
            response_fields=None,
            any_slate_size=False,
        )

    def _update(self, observation: agent.Observation) -> None:
        responses = observations.entry(observation, "response")
        self._documents = list(observations.entry(observation, "doc").values())
        known = self._sufficient_statistics
        if known is None:
            known = {"rows": self._recent.nothing(), "items": None}
        if responses is not None:
            if known["items"] is None:
                raise RuntimeError(_NOT_BEGUN.format(type(self).__name__))
            rows = self._recent.after(known["rows"], known["items"], responses)
            known = {"rows": rows, "items": None}
        self._sufficient_statistics = known

    def _create_observation(self) -> np.ndarray:
        return self._recent.shown(self._sufficient_statistics["rows"])

    def _postprocess_actions(self, action_list: list[Any]) -> agent.Slate:
        slate = super()._postprocess_actions(action_list)
        if self._documents is not None:
            items = self._recent.items_of([self._documents[index] for index in slate])
            self._sufficient_statistics = {**self._sufficient_statistics, "items": items}
        return slate

    def _reset(self) -> None:
        super()._reset()
        self._documents = None

    def load_user_state(self, state: types.State) -> None:
        """Restores what :meth:`user_state` returned."""
        # No array of it ever changes.
        self._load_user_state(state, lambda statistics: statistics)

    def _check_statistics(self, statistics: object) -> None:
        entries = bundles.entries(self, "sufficient_statistics", statistics, "rows", "items")
        recent = self._recent
        shape = (recent.num_slates, recent.row_size)
        bundles.array(self, "sufficient_statistics['rows']", entries["rows"], shape)
        if entries["items"] is not None:
            name, shape_of_items = "sufficient_statistics['items']", (None, recent.doc_size)
            bundles.array(self, name, entries["items"], shape_of_items)


class VectorRecentSlatesLayer(sufficient_statistics.VectorSufficientStatisticsLayer):
    """Does what :class:`RecentSlatesLayer` does, for users in parallel.

    Gin's bindings of the single-user layer count here too; an argument takes precedence.

    Args:
        base_agent_ctor: constructor of the base agent, a vector agent: a function of an
            environment, whose observations have the statistics, and of the further arguments.
        environment: the environment to recommend in.
        num_slates: as for the single-user layer.
        average: likewise.
        **kwargs: further arguments for the base agent.

    Raises:
        TypeError: if an argument or a space is of the wrong type.
        ValueError: if ``num_slates`` is below 1, or responses have no ``click``.
        MemoryError: if there is no memory for the rows of so many slates.
    """

    def __init__(
        self,
        base_agent_ctor: Callable[..., Any],
        environment: vector_agent.UsersAndSpaces,
        num_slates: int | None = None,
        average: bool | None = None,
        **kwargs: Any,
    ) -> None:
        from gymnasium import spaces as gymnasium_spaces

        super().__init__(environment)
        self._recent = recent = RecentSlates(
            self._single_user_space(), **_settings(num_slates=num_slates, average=average)
        )
        space: Any = gymnasium_spaces.Box(-np.inf, np.inf, recent.shape, np.float32)
        with recent.advising():
            self._make_base_agent(base_agent_ctor, environment, space, kwargs)
        self._slates_seen = recent.nothing(self._num_envs)
        self._items: np.ndarray | None = None

    def single_user_agent(self) -> RecentSlatesLayer:
        """See :meth:`recsim.vector.agent.AbstractVectorAgent.single_user_agent`."""
        return RecentSlatesLayer(
            self._create_single_user_base,
            self._single_user_space(),
            self._made_for[1],
            self._recent.num_slates,
            self._recent.average,
        )

    def _update(self, responses: Mapping[str, Any]) -> None:
        if self._items is None:
            raise RuntimeError(_NOT_BEGUN.format(type(self).__name__))
        self._slates_seen = self._recent.after_many(self._slates_seen, self._items, responses)

    def _forget(self, ended: np.ndarray | slice) -> None:
        self._slates_seen[ended] = 0.0

    def _create_observation(self) -> np.ndarray:
        return self._recent.shown(self._slates_seen)

    def _recommended(self, observation: types.Observation, slates: np.ndarray) -> None:
        self._items = self._recent.items_of_many(observation["doc"], slates)

    def _memory(self) -> types.State:
        return {"rows": self._slates_seen.copy(), "items": self._items}

    def _check_memory(self, memory: Mapping[str, Any]) -> None:
        bundles.entries(self, "users", memory, "rows", "items")
        bundles.array(self, "rows", memory["rows"], self._slates_seen.shape)
        if memory["items"] is not None:
            shape = (self._num_envs, self._slate_size, self._recent.doc_size)
            bundles.array(self, "items", memory["items"], shape)

    def _load_memory(self, memory: Mapping[str, Any] | None) -> None:
        if memory is None:
            self._slates_seen, self._items = self._recent.nothing(self._num_envs), None
        else:
            self._slates_seen, self._items = memory["rows"].copy(), memory["items"]


def _settings(**given: object) -> dict[str, Any]:
    """Returns the layer's settings: those given, those that gin binds, and the defaults."""
    chosen = {name: value for name, value in given.items() if value is not None}
    bound = bindings.taken(RecentSlatesLayer, sorted(set(given) - set(chosen)))
    return {"num_slates": _NUM_SLATES, **bound, **chosen}


def recurrence_of(observation_space: types.DictSpace, units: int) -> recurrent.Recurrence | None:
    """Returns what of users' features a recurrent state reads: the rows of recent slates.

    They are recognized by where and what they are: under ``sufficient_statistics``, where
    :class:`RecentSlatesLayer` shows them, an array of rows as long as :class:`RecentSlates` makes
    them of these documents and responses.

    Args:
        observation_space: space of the observations of one user, as the agent sees them.
        units: number of units of the recurrent state; with 0 there is none.

    Raises:
        ValueError: if there are units, but no such rows.
    """
    if not units:
        return None
    user_space = observation_space.spaces["user"]
    found = _rows_of(user_space, 0)
    if found is not None:
        start, num_slates, row_size = found
        if row_size == RecentSlates(observation_space, num_slates).row_size:
            return recurrent.Recurrence(start, num_slates, row_size, units)
    raise ValueError(
        f"recurrent_units={units} needs an observation with the rows of recent slates, which a "
        "recurrent state reads: give the agent to RecentSlatesLayer (or to VectorRecentSlatesLayer)"
        " as its base agent, without average=True, or leave recurrent_units out; in the registry "
        f"ppo+gru5 and the like do so. What is observed of a user is {user_space!r:.200}."
    )


def _rows_of(space: types.Space, start: int) -> tuple[int, int, int] | None:
    """Returns the first column, the number and the size of rows among features of users."""
    if spaces_lib.kind_of(space) != "Dict":
        return None
    entries, end = {}, start
    for key, entry in spaces_lib.children(space):
        entries[key] = entry, end
        end += spaces_lib.flat_size(entry)
    rows, first = entries.get("sufficient_statistics", (None, 0))
    shape = getattr(rows, "shape", None) or ()
    if rows is not None and spaces_lib.kind_of(rows) == "Box" and len(shape) == 2:
        return first, *shape
    return _rows_of(*entries["raw_observation"]) if "raw_observation" in entries else None
