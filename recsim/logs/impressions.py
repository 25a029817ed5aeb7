"""Listeners that turn steps into the rows of a Parquet log: a row for each impression.

Columns are made of arrays, those of a whole step of a vector environment or of many steps of a
single user. :mod:`recsim.logs.columns` says what they hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recsim import types
from recsim._internal import numbers, trees, validation
from recsim.logs import columns

if TYPE_CHECKING:
    import pyarrow as pa

    from recsim.simulator import rollout

__all__ = ["Impressions", "VectorImpressions"]

# Rows of a single user that are turned into columns together.
_ROWS_TOGETHER = 4096

AddRows = Callable[["pa.RecordBatch"], None]


class _Row(NamedTuple):
    """An impression of the single-user engine, but for whether the episode was truncated."""

    episode: int
    user: int
    step: int
    position: int
    candidate: int
    item_id: str
    document: object
    user_observation: object
    response: object
    reward: float
    terminated: bool
    slate_probability: float | None
    item_probability: float | None
    prefix_probability: float | None
    propensity_samples: int | None
    state: tuple[np.ndarray, ...]


class _Schema(NamedTuple):
    """The schema of a log, and the entries of observations that its columns are of."""

    arrow: pa.Schema
    documents: list[columns.Entry]
    users: list[columns.Entry]
    responses: list[columns.Entry]
    states: list[columns.Entry]


class Impressions:
    """A listener that makes the rows of episodes of an environment of RecSim's kind.

    With several users an impression is of each user who responded to the slate.

    Args:
        env: the environment, a :class:`recsim.simulator.recsim_gym.RecSimGymEnv`.
        add: function that is given rows, some steps together.
        user_state: whether to log the users' hidden states: the attributes of a state that are
            numbers or arrays of numbers, as float64.

    Raises:
        TypeError: if the environment is of another kind.
    """

    def __init__(
        self, env: types.RecommenderEnv, add: AddRows, *, user_state: bool = False
    ) -> None:
        if not types.is_recommender_env(env):
            raise TypeError(
                "env must be a RecSimGymEnv, as the scenarios' create_environment makes, got "
                f"{numbers.described(env)}."
            )
        self._env = env
        self._add = add
        self._user_state = validation.flag("user_state", user_state)
        self._several_users = isinstance(env.environment.user_model, Sequence)
        self._schema: _Schema | None = None
        self.start(0)

    def start(self, episode: int) -> None:
        """Drops the rows that were not given away; an episode of a number is the next."""
        #: Number of the present episode, or of the next one.
        self.episode = episode
        self._step = 0
        self._rows: list[_Row] = []
        self._truncated: list[bool] = []
        self._rows_of_step = 0
        self._states: list[tuple[np.ndarray, ...]] = []

    def on_reset(self, observation: types.Observation) -> None:
        """Begins an episode."""
        if self._step:  # The one before was not ended.
            self.episode += 1
        self._step = 0
        self._look_at_states()

    def on_step(self, step: rollout.Step) -> None:
        """Adds the rows of a step."""
        if len(self._rows) >= _ROWS_TOGETHER:
            self.flush()
        before = step.observation
        documents = list(before["doc"].items())
        responses = step.next_observation["response"]
        rows_before = len(self._rows)
        action: Any = step.slate  # A slate, or one for each of several users.
        if self._several_users:
            rewards = step.reward if np.ndim(step.reward) else [step.reward] * len(responses)
            for user, (observed, slate, of_user) in enumerate(
                zip(before["user"], action, responses, strict=True)
            ):
                self._add_slate(
                    user, observed, documents, slate, of_user, rewards[user], step.done, None
                )
        else:
            known = None
            if types.knows_propensities(step.agent):
                known = step.agent.propensities(before, action)
            self._add_slate(
                0, before["user"], documents, action, responses, step.reward, step.done, known
            )
        self._rows_of_step = len(self._rows) - rows_before
        self._step += 1
        self._look_at_states()

    def _add_slate(
        self,
        user: int,
        observed: object,
        documents: Sequence[tuple[str, object]],
        slate: types.Slate,
        responses: Sequence[object],
        reward: float,
        done: bool,
        known: types.Propensities | None,
    ) -> None:
        """Adds the rows of a user's slate; without responses the user's episode is over."""
        state = self._states[user] if self._user_state else ()
        of_slate, items, prefixes, samples = _propensities(known)
        for position, (candidate, response) in enumerate(zip(slate, responses, strict=False)):
            item_id, document = documents[candidate]
            self._rows.append(
                _Row(
                    self.episode,
                    user,
                    self._step,
                    position,
                    int(candidate),
                    item_id,
                    document,
                    observed,
                    response,
                    numbers.as_float("the reward", reward),
                    done,
                    of_slate,
                    None if items is None else float(items[position]),
                    None if prefixes is None else float(prefixes[position]),
                    samples,
                    state,
                )
            )
            self._truncated.append(False)

    def on_episode_end(self, episode: rollout.Episode) -> None:
        """Ends the present episode."""
        first = len(self._rows) - self._rows_of_step
        self._truncated[first:] = [episode.truncated] * self._rows_of_step
        self._rows_of_step = 0
        self.episode += 1
        self._step = 0

    def flush(self) -> None:
        """Gives away the rows so far."""
        if self._rows:
            rows, truncated = self._rows, self._truncated
            self._rows, self._truncated = [], []
            self._add(self._batch(rows, truncated))

    def _batch(self, rows: Sequence[_Row], truncated: Sequence[bool]) -> pa.RecordBatch:
        import pyarrow as pa

        if self._schema is None:
            self._schema = self._make_schema()
        made = self._schema
        by_field = _Row(*zip(*rows, strict=True))

        def observed(entries: Sequence[columns.Entry], observations: object) -> list[object]:
            return [column for entry in entries for column in _arrow_columns(entry, observations)]

        arrays = [
            *by_field[:6],
            *observed(made.documents, by_field.document),
            *observed(made.users, by_field.user_observation),
            *observed(made.responses, by_field.response),
            by_field.reward,
            by_field.terminated,
            truncated,
            by_field.slate_probability,
            by_field.item_probability,
            by_field.prefix_probability,
            by_field.propensity_samples,
            *observed(made.states, by_field.state),
        ]
        return pa.record_batch(
            [
                pa.array(array, field.type) if isinstance(array, (tuple, list)) else array
                for array, field in zip(arrays, made.arrow, strict=True)
            ],
            schema=made.arrow,
        )

    def _make_schema(self) -> _Schema:
        """Returns the schema, of the spaces of an environment that was reset."""
        import pyarrow as pa

        space: Any = self._env.observation_space
        users, responses = space["user"], space["response"]
        if self._several_users:
            users, responses = users[0], responses[0]
        document = next(iter(space["doc"].spaces.values()))
        documents = columns.entries_of_space(document, columns.ITEM_FEATURE, exact=True)
        of_users = columns.entries_of_space(users, "user_feature", exact=True)
        of_responses = columns.entries_of_space(responses[0], "response", exact=True)
        states = self._state_entries() if self._user_state else []
        return _Schema(
            columns.schema(pa.string(), [*documents, *of_users, *of_responses], states),
            documents,
            of_users,
            of_responses,
            states,
        )

    def _users(self) -> list[object]:
        """Returns the states of the users."""
        model: Any = self._env.environment.user_model
        # RecSim's name, which its subclasses rely on.
        models = model if self._several_users else [model]
        return [each._user_state for each in models]  # noqa: SLF001

    def _look_at_states(self) -> None:
        """Keeps the users' states, which the next step changes."""
        if self._user_state:
            self._states = [
                tuple(value for _, value in _numbers_of_state(state)) for state in self._users()
            ]

    def _state_entries(self) -> list[columns.Entry]:
        entries = []
        for index, (name, value) in enumerate(_numbers_of_state(self._users()[0])):
            entries += columns.entry_of_array(
                (index,), f"state_{name}", value.shape, np.dtype(np.float64)
            )
        return entries


def _propensities(
    known: types.Propensities | None,
) -> tuple[
    float | None,
    Sequence[float] | np.ndarray | None,
    Sequence[float] | np.ndarray | None,
    int | None,
]:
    """Returns the probabilities of a single user's slate, None for what is not known."""
    if known is None:
        return None, None, None, None
    of_slate = None if known.slate is None else float(known.slate)
    return of_slate, known.items, known.prefixes, known.num_samples


def _numbers_of_state(state: object) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the names and copies of the attributes of a state that are numbers or arrays."""
    for name, value in vars(state).items():
        if isinstance(value, (bool, int, float, np.generic, np.ndarray)):
            array = np.asarray(value)
            if array.dtype.kind in "biuf":
                yield name, array.astype(np.float64)


def _arrow_columns(entry: columns.Entry, observations: object) -> list[object]:
    """Returns the columns of an entry of many observations, null where it is missing."""
    import pyarrow as pa

    values = [columns.take(observation, entry.path) for observation in observations]  # type: ignore[attr-defined]
    if entry.dtype == object:
        return [pa.array(values, pa.string())]
    missing = np.array([value is None for value in values])
    if missing.any():
        empty = np.zeros(len(entry.names))
        values = [empty if value is None else np.ravel(np.asarray(value)) for value in values]
    arrays = entry.columns(np.asarray(values))
    return [pa.array(array, mask=missing if missing.any() else None) for array in arrays]


class VectorImpressions:
    """A listener that makes the rows of the steps of a vector environment.

    Users whose steps do not count in a rollout have no rows.

    Args:
        env: the environment.
        add: function that is given rows, those of a step or of a part of its users.
        user_state: whether to log the users' hidden states, which the environment then must
            offer (:meth:`recsim.vector.env.RecSimVectorEnv.user_states`).

    Raises:
        TypeError: if the environment is of another kind, or has no states to offer.
    """

    def __init__(self, env: types.VectorEnv, add: AddRows, *, user_state: bool = False) -> None:
        if not types.is_vector_env(env):
            raise TypeError(
                "env must be a RecSimVectorEnv, as the scenarios' create_vector_environment makes, "
                f"got {numbers.described(env)}."
            )
        space: Any = env.single_observation_space
        if not {"user", "doc", "response"} <= set(getattr(space, "spaces", ())):
            raise TypeError(
                "env must hand out observations with 'user', 'doc' and 'response', as it does with "
                "observation='nested', got one whose observations are of "
                f"{numbers.described(space)}."
            )
        unwrapped: Any = getattr(env, "unwrapped", env)
        self._user_state = validation.flag("user_state", user_state)
        if self._user_state and not hasattr(unwrapped, "user_states"):
            raise TypeError(
                "user_state needs an environment that has user_states, as a RecSimVectorEnv has, "
                f"got {numbers.described(env)}: leave user_state out."
            )
        self._env = env
        self._unwrapped = unwrapped
        self._add = add
        self._candidates: str | None = getattr(unwrapped, "candidates", None)
        self._numbers = getattr(unwrapped, "first_user", 0) + np.arange(env.num_envs)
        self._num_candidates = 0
        self._schema: _Schema | None = None
        self.load_state_dict(None)

    def state_dict(self) -> types.State:
        """Returns what is known of the episodes under way, as data."""
        return {
            "observation": trees.map_leaves(_shared_once, self._observation),
            "states": self._states,
            "episodes": self._episodes,
            "steps": self._steps,
            "sets": self._sets,
        }

    def load_state_dict(self, state: types.State | None) -> None:
        """Restores what :meth:`state_dict` returned; None for no episode so far."""
        num_users = self._env.num_envs
        if state is None:
            state = {
                "observation": {},
                "states": {},
                "episodes": np.zeros(num_users, np.int64),
                "steps": np.zeros(num_users, np.int32),
                # How many sets of candidates each user had before the present one.
                "sets": np.full(num_users, -1, np.int64),
            }
        self._observation: types.Observation = trees.map_leaves(
            lambda array: np.broadcast_to(array, (num_users, *array.shape[1:])),
            state["observation"],
        )
        self._states: dict[str, np.ndarray] = state["states"]
        self._episodes = np.array(state["episodes"])
        self._steps = np.array(state["steps"])
        self._sets = np.array(state["sets"])

    def on_reset(self, observation: types.Observation, infos: types.Infos) -> None:
        """Begins an episode of every user."""
        self._episodes[self._steps > 0] += 1  # Those that were not ended.
        self._steps[:] = 0
        self._sets += 1
        self._look_at(observation)

    def on_episodes_end(self, episodes: rollout.EndedEpisodes) -> None:
        """Does nothing: a step says which episodes ended with it."""

    def _look_at(self, observation: types.Observation) -> None:
        """Keeps what is observed, and the states, before the next step."""
        self._observation = observation
        if self._user_state:
            self._states = self._unwrapped.user_states()

    def on_step(self, step: rollout.VectorStep) -> None:
        """Adds the rows of a step."""
        counting = step.counting
        known = None
        if types.knows_propensities(step.agent):
            known = step.agent.propensities(self._observation, step.slates)
        slate_size = step.slates.shape[1]
        users_together = max(1, columns.ROWS_OF_GROUP // slate_size)
        users = np.arange(len(step.slates)) if counting is None else np.flatnonzero(counting)
        for start in range(0, len(users), users_together):
            self._add(self._batch(users[start : start + users_together], step, known))
        ended = step.terminated | step.truncated
        self._steps[users] += 1
        ended_users = users[ended[users]]
        self._steps[ended_users] = 0
        self._episodes[ended_users] += 1
        if self._candidates == "step":
            self._sets += 1
        else:
            self._sets[ended] += 1
        self._look_at(step.observation)

    def _batch(
        self, users: np.ndarray, step: rollout.VectorStep, known: types.Propensities | None
    ) -> pa.RecordBatch:
        """Returns the rows of some users, indices of them, those of a user one after another."""
        import pyarrow as pa

        if self._schema is None:
            self._schema = self._make_schema()
        made = self._schema
        slates = step.slates[users]
        num_users, slate_size = slates.shape
        num_rows = slates.size
        candidates = slates.reshape(-1).astype(np.int64)

        def by_user(values: np.ndarray) -> np.ndarray:
            return np.repeat(values, slate_size)

        def of_users(entries: Sequence[columns.Entry], tree: object) -> list[np.ndarray]:
            return [
                by_user(column)
                for entry in entries
                for column in entry.columns(_array(tree, entry)[users])
            ]

        documents = [
            column
            for entry in made.documents
            for column in entry.columns(
                _rows(_array(self._observation["doc"], entry)[users[:, np.newaxis], slates])
            )
        ]
        responses = [
            column
            for entry in made.responses
            for column in entry.columns(_rows(_array(step.responses, entry)[users]))
        ]

        def probabilities(values: float | Sequence[float] | np.ndarray | None) -> object:
            """Returns a column of probabilities of slates, or of documents; null for None, NaN."""
            if values is None:
                return pa.nulls(num_rows, pa.float64())
            array = np.asarray(values, np.float64)[users]
            of_rows = by_user(array) if array.ndim == 1 else array.reshape(-1)
            return pa.array(of_rows, pa.float64(), from_pandas=True)

        samples = None if known is None else known.num_samples
        arrays = [
            by_user(self._episodes[users]),
            by_user(self._numbers[users]),
            by_user(self._steps[users]),
            np.tile(np.arange(slate_size, dtype=np.int32), num_users),
            candidates,
            self._item_ids(users, candidates, slate_size),
            *documents,
            *of_users(made.users, self._observation["user"]),
            *responses,
            by_user(np.asarray(step.rewards, np.float64)[users]),
            by_user(np.asarray(step.terminated)[users]),
            by_user(np.asarray(step.truncated)[users]),
            probabilities(None if known is None else known.slate),
            probabilities(None if known is None else known.items),
            probabilities(None if known is None else known.prefixes),
            pa.nulls(num_rows, pa.int64()) if samples is None else np.full(num_rows, samples),
            *of_users(made.states, self._states),
        ]
        return pa.record_batch(
            [
                pa.array(array, field.type) if isinstance(array, np.ndarray) else array
                for array, field in zip(arrays, made.arrow, strict=True)
            ],
            schema=made.arrow,
        )

    def _item_ids(
        self, users: np.ndarray, candidates: np.ndarray, slate_size: int
    ) -> np.ndarray | pa.Array:
        """Returns the item IDs of some users' slates."""
        if self._candidates == "shared":
            return candidates
        if self._candidates is None:
            import pyarrow as pa

            return pa.nulls(len(candidates), pa.int64())
        before = self._sets[users] * self._num_candidates
        last_user, most = int(self._numbers[-1]), int(before.max()) + self._num_candidates
        if most > columns.ITEMS_OF_USER or last_user >= 2**63 // columns.ITEMS_OF_USER:
            raise ValueError(
                f"A log has IDs for {columns.ITEMS_OF_USER:,} documents of each of "
                f"{2**63 // columns.ITEMS_OF_USER:,} users, got user {last_user:,} with {most:,} "
                "documents: begin another log."
            )
        first = self._numbers[users] * columns.ITEMS_OF_USER + before
        return np.repeat(first, slate_size) + candidates

    def _make_schema(self) -> _Schema:
        import pyarrow as pa

        space = self._env.single_observation_space
        documents = columns.entries_of_space(space["doc"], columns.ITEM_FEATURE, num_axes=1)
        users = columns.entries_of_space(space["user"], "user_feature")
        responses = columns.entries_of_space(space["response"], "response", num_axes=1)
        states = [
            entry
            for name, array in self._states.items()
            for entry in columns.entry_of_array(
                (name,), f"state_{name}", array.shape[1:], array.dtype
            )
        ]
        self._num_candidates = getattr(self._unwrapped, "num_candidates", 0)
        return _Schema(
            columns.schema(pa.int64(), [*documents, *users, *responses], states),
            documents,
            users,
            responses,
            states,
        )


def _array(tree: object, entry: columns.Entry) -> np.ndarray:
    """Returns an entry of nested arrays."""
    return np.asarray(columns.take(tree, entry.path))


def _rows(array: np.ndarray) -> np.ndarray:
    """Returns an array of shape (n_users, slate_size, …) as one of shape (n_rows, …)."""
    return array.reshape(-1, *array.shape[2:])


def _shared_once(array: np.ndarray) -> np.ndarray:
    """Returns an array of which all users have the same row with that row alone."""
    return array if array.strides[0] else array[:1]
