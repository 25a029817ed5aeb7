"""A chunk of users in parallel: what a step does to them, and to whom it gives a new episode."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from recsim import spaces as spaces_lib
from recsim import types
from recsim._internal import action_masks, global_generator, trees
from recsim.vector import _checks, streams
from recsim.vector import scenario as scenario_lib

__all__ = ["Chunk", "ChunkStep", "shared_documents"]

T = TypeVar("T")

#: The only user, and the number of the only episode, of what is sampled once for all.
_ONE = np.zeros(1, np.int64)

# The modules of classes that a model's may derive from, and that keep no arrays.
_WITHOUT_ARRAYS = frozenset({"abc", "builtins", "typing", scenario_lib.__name__})


@dataclasses.dataclass(slots=True)
class ChunkStep:
    """The outcome of a step of a chunk of users.

    Attributes:
        observation: what is observed after the step, of new users where episodes ended.
        rewards: shape (n_users,).
        terminated: whose episodes ended by themselves, bools of shape (n_users,).
        truncated: whose episodes reached the limit on their steps, likewise.
        ended_rows: where episodes ended, shape (n_ended,).
        last: what was observed there last, by entry, where it is not as in ``observation``; None
            if no episode ended.
        metrics: what the step adds to the metrics, by name.
    """

    observation: types.Observation
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    ended_rows: np.ndarray
    last: types.Observation | None
    metrics: Mapping[str, float]


def shared_documents(scenario: scenario_lib.VectorScenario, seed: int) -> object:
    """Returns candidates that all users share, a dataclass of arrays of shape (num_candidates, …).

    Args:
        scenario: the scenario.
        seed: an integer >= 0.
    """
    stream = streams.UserStream(
        streams.hash_key(seed, "shared documents"), _ONE, _ONE, scenario.dtype
    )
    documents = scenario.document_sampler.sample(stream, scenario.num_candidates)
    return trees.rows_of(documents, 0)


class Chunk:
    """Users who are simulated together.

    Documents that all users share are not in the observations.

    Args:
        scenario: what they are simulated with.
        seed: the seed of their random streams, an integer >= 0.
        users: the users' numbers, all of one chunk (see :func:`recsim.vector.streams.chunks`).
        stream: the random stream of what happens at every step; None for that of the seed.
        documents: the candidates that all users share, if they do.
    """

    def __init__(
        self,
        scenario: scenario_lib.VectorScenario,
        seed: int,
        users: range,
        *,
        stream: streams.RandomStream | None = None,
        documents: object = None,
    ) -> None:
        self.num_users = len(users)
        self._scenario = scenario
        self._model = scenario.user_model
        self._sampler = scenario.document_sampler
        self._candidates = scenario.candidates
        self._sees_users = scenario.sampler_sees_users
        # Whether new users do not find the candidates that are there.
        self._new_candidates = self._candidates == "episode" or self._sees_users
        self._first_user = users.start
        self._episodes = np.full(self.num_users, -1, np.int32)
        self._steps = np.zeros(self.num_users, np.int32)
        self._user_key = streams.hash_key(seed, "users")
        self._document_key = streams.hash_key(seed, "documents")
        if stream is None:
            (stream,) = streams.chunk_streams(
                seed, "environment", users.start, self.num_users, scenario.dtype
            )
        self._stream: Any = stream
        self._users: Any = None
        self._documents: Any = documents
        self._no_response = spaces_lib.nearest_to_zero(scenario.spaces["response"])
        # Where documents may stand now, (n_users or 1, num_candidates, slate_size), if they tell.
        self._masks: np.ndarray | None = None
        if documents is not None:
            observed = self._sampler.observe(documents)
            self._keep_masks(trees.map_leaves(lambda array: array[np.newaxis], observed))
        # How many steps are still watched for samples from NumPy's global generator, and what the
        # scenario returns in them looked at field by field.
        self._steps_to_watch = global_generator.WATCHED_STEPS
        # Whether the responses' arrays are the users' own, which change.
        self._copies_responses = False
        # Whether what is observed of the users is their own arrays, likewise.
        self._copies_observed = False
        # Whether the users' arrays are the model's own, which are not to be changed.
        self._copies_users = False

    def reset(self) -> types.Observation:
        """Begins an episode of every user and returns the first observation."""
        everyone = np.arange(self.num_users)
        # Copies, for these are changed in place, and may be a constant of the model.
        self._users = trees.map_leaves(np.array, self._new_users(everyone))
        if self._candidates == "episode":
            self._documents = self._new_documents(everyone)
        elif self._candidates == "step":
            self._documents = self._sampled(self._stream, self._users)
        no_responses = trees.map_leaves(
            lambda array: np.array(np.broadcast_to(array, (self.num_users, *array.shape))),
            self._no_response,
        )
        return self._observation(no_responses)

    def step(
        self, slates: np.ndarray, max_steps: int | None = None, counted: np.ndarray | None = None
    ) -> ChunkStep:
        """Shows a slate to every user, and replaces those whose episodes end.

        Args:
            slates: indices of candidates, shape (n_users, slate_size).
            max_steps: number of steps after which an episode is truncated; None for no limit.
            counted: who counts in the metrics, bools of shape (n_users,); None for everyone.
        """
        self.check_slates(slates)
        users, documents, responses, terminated = self._shown(
            self._users, self._documents, slates, self._stream
        )
        self._users, self._documents = users, documents
        self._steps += 1
        if max_steps is None:
            truncated = np.zeros(self.num_users, np.bool_)
            rows = terminated.nonzero()[0]
        else:
            truncated = self._steps >= max_steps
            rows = (terminated | truncated).nonzero()[0]
        observed = self._model.observe_responses(responses)
        last = None
        if len(rows):
            last = self._replace(rows)
            last["response"] = trees.rows_of(observed, rows)
            observed = trees.with_rows(observed, rows, self._no_response)
        observation = self._observation(observed)
        self._steps_to_watch -= self._steps_to_watch > 0
        return ChunkStep(
            observation,
            _checks.checked_rewards(self._scenario.reward_aggregator(responses), self.num_users),
            terminated,
            truncated,
            rows,
            last,
            self._metrics(responses, counted),
        )

    def check_slates(self, slates: np.ndarray) -> None:
        """Raises ValueError if a slate has a document where its action mask does not let it stand.

        Args:
            slates: indices of candidates, shape (n_users, slate_size).
        """
        self._check_slates_of(slice(None), slates)

    def _check_slates_of(self, rows: slice | np.ndarray, slates: np.ndarray) -> None:
        if self._masks is not None:
            masks = self._masks if len(self._masks) == 1 else self._masks[rows]
            users = (self._first_user + np.arange(self.num_users))[rows]
            action_masks.check_slates(masks, slates[rows], users)

    def _keep_masks(self, documents: trees.ArrayTree) -> None:
        """Keeps the masks of documents that were observed, for the next slates."""
        if isinstance(documents, dict) and action_masks.KEY in documents:
            self._masks = action_masks.observed(documents, self._scenario.slate_size)

    def _shown(
        self, users: object, candidates: object, slates: np.ndarray, stream: streams.RandomStream
    ) -> tuple[Any, Any, Any, np.ndarray]:
        """Shows slates to users, of whom the random stream says how many there are.

        Returns:
            The users after the step, the candidates after it, the responses, and whose episodes
            ended by themselves.
        """
        model, num_users = self._model, stream.num_users
        looks = self._steps_to_watch > 0
        if looks:
            model = self._watched(model)
        documents = scenario_lib.slate_documents(candidates, slates, self._candidates == "shared")
        choice = model.choose(users, documents, stream)
        if looks:
            choice = _checks.checked_choice(
                self._model, choice, num_users, self._scenario.slate_size
            )
        responses = model.respond(users, documents, choice, stream)
        if looks:
            size = self._scenario.slate_size
            _checks.check_fields(self._model, "respond", responses, num_users, size)
            self._copies_responses |= trees.share_memory(responses, users)
        if self._copies_responses:
            responses = trees.map_leaves(np.array, responses)
        users = model.update(users, documents, choice, responses, stream)
        if looks:
            _checks.check_fields(self._model, "update", users, num_users)
            self._copies_users |= not _may_be_changed(self._model, users)
        if self._copies_users:
            users = trees.map_leaves(np.array, users)
        if self._candidates == "step":
            candidates = self._sampled(stream, users)
        done = model.is_done(users)
        if looks and done is not None:
            _checks.check_done(self._model, done, num_users)
        # A copy, for it may be the users' own, which changes when some are replaced.
        terminated = np.array(done, np.bool_) if done is not None else np.zeros(num_users, np.bool_)
        return users, candidates, responses, terminated

    def _new_users(self, rows: np.ndarray) -> object:
        """Returns new users for some rows, whose next episodes begin."""
        self._episodes[rows] += 1
        self._steps[rows] = 0
        users = self._watched(self._model).sample_users(self._stream_of(self._user_key, rows))
        if self._steps_to_watch:
            _checks.check_fields(self._model, "sample_users", users, len(rows))
        return users

    def _new_documents(self, rows: np.ndarray) -> object:
        users = trees.rows_of(self._users, rows) if self._sees_users else None
        return self._sampled(self._stream_of(self._document_key, rows), users)

    def _sampled(self, stream: streams.RandomStream, users: object) -> object:
        """Returns new candidates for the users of a random stream.

        Args:
            stream: the stream.
            users: their states, if the sampler sees them.
        """
        number = self._scenario.num_candidates
        sampler: Any = self._watched(self._sampler)
        if self._sees_users:
            name, documents = "sample_for", sampler.sample_for(users, stream, number)
        else:
            name, documents = "sample", sampler.sample(stream, number)
        if self._steps_to_watch:
            _checks.check_fields(self._sampler, name, documents, stream.num_users, number)
        return documents

    def _stream_of(self, key: int, rows: np.ndarray) -> streams.UserStream:
        users = self._first_user + rows
        return streams.UserStream(key, users, self._episodes[rows], self._scenario.dtype)

    def _watched(self, part: T) -> T:
        """Returns the model or the sampler, in the first steps with its calls being watched."""
        if not self._steps_to_watch:
            return part
        method_by_method: Any = global_generator.Watched(part, global_generator.IN_VECTOR_SCENARIO)
        watched: T = method_by_method
        return watched

    def _observation(self, responses: trees.ArrayTree) -> types.Observation:
        observed = self._model.observe_users(self._users)
        if self._steps_to_watch:
            self._copies_observed |= trees.share_memory(observed, self._users)
        if self._copies_observed:
            observed = trees.map_leaves(np.array, observed)
        observation = {"user": observed, "response": responses}
        if self._candidates != "shared":
            observation["doc"] = self._sampler.observe(self._documents)
            self._keep_masks(observation["doc"])
        return observation

    def _metrics(self, responses: object, counted: np.ndarray | None) -> Mapping[str, float]:
        """Returns what the responses of those who count add to the metrics."""
        aggregator = self._scenario.metrics_aggregator
        if aggregator is None:
            return {}
        if counted is not None:
            if not counted.any():
                return {}
            responses = trees.rows_of(responses, counted)
        return _checks.checked_metrics(aggregator(responses))

    def _replace(self, rows: np.ndarray) -> types.Observation:
        """Replaces the users of some rows by new ones and returns what was observed of the old."""
        last = {"user": self._model.observe_users(trees.rows_of(self._users, rows))}
        if self._new_candidates:
            last["doc"] = self._sampler.observe(trees.rows_of(self._documents, rows))
        self._begin_episodes(rows)
        return last

    def _begin_episodes(self, rows: np.ndarray) -> None:
        """Replaces the users of some rows by new ones."""
        trees.set_rows(self._users, rows, self._new_users(rows))
        if self._new_candidates:
            # Documents are in observations: they are never changed.
            self._documents = trees.map_leaves(np.copy, self._documents)
            trees.set_rows(self._documents, rows, self._new_documents(rows))

    def user_states(self) -> dict[str, np.ndarray]:
        """Returns the users between two steps: copies of their fields by name."""
        return _fields(self._users)

    def state_dict(self) -> types.State:
        """Returns the state between two steps, as data."""
        documents = None if self._candidates == "shared" else _fields(self._documents)
        return {
            "episodes": self._episodes.copy(),
            "steps": self._steps.copy(),
            "stream": self._stream.state_dict(),
            "users": self.user_states(),
            "documents": documents,
        }

    def load_state_dict(self, state: types.State) -> None:
        """Continues from a state that :meth:`state_dict` returned.

        Raises:
            ValueError: if users or documents are of other fields, shapes or dtypes.
        """
        # One user tells which dataclass the arrays are fields of.
        stream = streams.UserStream(self._user_key, _ONE, _ONE, self._scenario.dtype)
        one_user = self._model.sample_users(stream)
        users = _with_fields(one_user, state["users"], self.num_users)
        documents = self._documents
        if state["documents"] is not None:
            documents = _with_fields(
                self._sampled(stream, one_user),
                state["documents"],
                self.num_users,
            )
        self._stream.load_state_dict(state["stream"])
        self._episodes = state["episodes"].copy()
        self._steps = state["steps"].copy()
        self._users, self._documents = users, documents
        if self._candidates != "shared":
            self._keep_masks(self._sampler.observe(documents))


def _may_be_changed(model: object, users: object) -> bool:
    """Says whether a model's users may be changed in place: it keeps none of their arrays."""
    classes = [each for each in type(model).__mro__ if each.__module__ not in _WITHOUT_ARRAYS]
    kept = [getattr(each, "__dict__", {}) for each in (model, *classes)]
    return all(array.flags.writeable for array in trees.leaves(users)) and not trees.share_memory(
        users, tuple(kept)
    )


def _fields(values: object) -> dict[str, np.ndarray]:
    """Returns copies of the fields of a dataclass."""
    one: Any = values
    return {field.name: np.array(getattr(one, field.name)) for field in dataclasses.fields(one)}


def _with_fields(of_one: T, fields: Mapping[str, np.ndarray], num_users: int) -> T:
    """Returns a dataclass with copies of fields.

    Args:
        of_one: the dataclass of one user.
        fields: the fields of all users.
        num_users: number of users.

    Raises:
        ValueError: if they are of other names, shapes or dtypes.
    """
    new = {name: np.array(field) for name, field in fields.items()}
    for name, own in _fields(of_one).items():
        field, shape = new.get(name), (num_users, *own.shape[1:])
        if field is None or (field.shape, field.dtype) != (shape, own.dtype):
            there = "nothing" if field is None else f"{field.dtype} of shape {field.shape}"
            raise ValueError(f"{name} must be {own.dtype} of shape {shape}, got {there}.")
    one: Any = of_one
    of_all: T = dataclasses.replace(one, **new)
    return of_all
