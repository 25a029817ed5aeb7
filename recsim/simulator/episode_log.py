"""Episode logs: what was observed, shown and answered, as TFRecord files of SequenceExamples.

One record is one episode, a ``tf.train.SequenceExample`` whose feature lists have one entry a step:

* ``user``: the observation of the user before the slate, flattened as Gym flattens its space;
* ``doc_<i>``: the observation of candidate ``i``, flattened likewise (all have the same space);
* ``slate``: the indices of the documents shown (int64);
* ``response_<i>_<key>``: one entry of the response to the document in position ``i``, flattened
  (a click, of the space ``Discrete(2)``, is ``[0, 1]``); empty where the slate was shorter. A
  response that is not a dictionary is ``response_<i>``;
* ``reward``: the reward of the slate;
* ``is_terminal``: 1 at the step that ended the episode, otherwise 0 (int64);
* ``is_truncated``: 1 at the step after which the runner truncated the episode, otherwise 0 (int64).

With several users there are ``user_<u>``, ``slate_<u>``, ``response_<u>_<i>_<key>``, and
``reward_<u>`` where the environment gives each user a reward. All but the int64 lists are floats.
In a log of a vector environment a record is an episode of one user, as if the user had been alone;
the context has the user's number as ``user_number`` (int64). Records are in the order in which
episodes ended.

``tf.data.TFRecordDataset`` and ``tf.io.parse_single_sequence_example`` read the file; writing it
does not need TensorFlow.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np

from recsim import spaces as spaces_lib
from recsim import types
from recsim._internal import files, paths, tfrecord
from recsim._internal.gym_import import spaces
from recsim.simulator import rollout

__all__ = ["MAX_LOGGED_USERS", "EpisodeLog", "VectorEpisodeLog"]

#: Greatest number of users of a vector environment whose episodes can be logged. Their steps stay
#: in memory until the episodes end, and a file of more would be of no use.
MAX_LOGGED_USERS = 10_000


class _LogFile:
    """A file that gets its name when it is complete, and is a ``.part`` file until then.

    That file grows by an episode whenever one ends.
    """

    def __init__(self, path: paths.Path) -> None:
        self._path = paths.output_file("path", path)
        part = paths.output_file("path", f"{self._path}.part")
        self._part = tfrecord.RecordFile(part, batch_bytes=0, complete=True)
        self._started = False

    @property
    def is_complete(self) -> bool:
        """Whether a file has the log's name."""
        return os.path.exists(self._path)

    def check_free(self) -> None:
        """Raises FileExistsError if a file has the log's name already."""
        if os.path.exists(self._path):
            raise FileExistsError(
                f"The episode log {self._path!r} exists and would be overwritten; choose another "
                "episode_log_file or base_dir, or move the file away."
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other runs from writing this log, wherever their own folders are.

        Raises:
            BlockingIOError: if another one writes it now.
        """
        part = self._part.path
        if not (os.path.exists(part) or self.is_complete):
            with open(part, "ab"):
                files.sync_folder(os.path.dirname(part))
        with files.locked(part if os.path.exists(part) else self._path):
            yield

    def start(self, kept: Mapping[str, Any] | int | None = None) -> None:
        """Continues after the beginning of the log that a run had written, dropping the rest.

        A log that was complete is unfinished again from here on.

        Args:
            kept: what :meth:`sync` returned when the episodes to keep were in the log; None to
                begin anew. Checkpoints of earlier versions have its length only, so that its
                content cannot be compared.

        Raises:
            FileExistsError: if there is a complete log, and nothing or too little of it is to be
                kept.
            ValueError: if the log does not begin with what is to be kept.
        """
        length: Any = kept or 0
        sha256 = None
        if isinstance(kept, Mapping):
            length, sha256 = kept.get("length"), kept.get("sha256")
        if type(length) is not int or length < 0:
            raise ValueError(f"kept must be what sync() returned, got {kept!r:.80}.")
        part = self._part.path
        is_begun = os.path.exists(part)
        if not is_begun and length and self.is_complete and os.path.getsize(self._path) >= length:
            digest = _checked_beginning(self._path, length, sha256)
            files.move(self._path, part)
        else:
            self.check_free()
            digest = _checked_beginning(part, length, sha256)
        if os.path.exists(part):
            os.truncate(part, length)
        self._part.begin_after(length, digest)
        self._forget_episode()
        self._started = True

    def _forget_episode(self) -> None:
        """Drops what was logged of an episode that has not ended."""

    def sync(self) -> dict[str, Any]:
        """Brings the episodes logged so far onto the disk.

        Returns:
            The log's length in bytes and its SHA-256, as ``length`` and ``sha256``.

        Raises:
            OSError: if the log was removed or shortened since it was begun.
        """
        self._part.sync()
        return {"length": self._part.size, "sha256": self._part.sha256}

    def finish(self) -> None:
        """Gives the log, now complete, its name. Without an episode there is no file."""
        self._part.sync()
        if self._part.size:
            files.move(self._part.path, self._path)
        elif os.path.exists(self._part.path):
            os.remove(self._part.path)
        self._started = False


class EpisodeLog(_LogFile, rollout.Listener):
    """A log that gets its name when it is complete, and is a ``.part`` file until then.

    That file grows by an episode whenever one ends. The log is a listener of
    :func:`recsim.simulator.rollout.run_episode`.

    Args:
        path: the file, whose folder is made.
        env: the RecSimGymEnv whose episodes are logged.

    Raises:
        TypeError, ValueError: if ``path`` is not a path.
        OSError: if the file cannot be written.
    """

    def __init__(self, path: paths.Path, env: types.RecommenderEnv) -> None:
        super().__init__(path)
        self._env = env
        self._encoder: StepEncoder | None = None
        self._lists: dict[str, list[bytes]] = collections.defaultdict(list)
        self._done = False

    def _forget_episode(self) -> None:
        self._lists.clear()

    def on_step(self, step: rollout.Step) -> None:
        """Adds a step to the present episode."""
        before, after = step.observation, step.next_observation
        self.add_step(
            before["user"], before["doc"], step.slate, after["response"], step.reward, step.done
        )

    def on_episode_end(self, episode: rollout.Episode) -> None:
        """Adds the present episode to the log."""
        self.end_episode()

    def add_step(
        self,
        user: object,
        documents: Mapping[str, Any],
        slate: types.Action,
        responses: Sequence[Any],
        reward: types.Reward,
        done: bool,
    ) -> None:
        """Adds one step to the present episode.

        Args:
            user: the observation of the user before the slate, or a sequence of one a user.
            documents: the observations of the candidates by their IDs.
            slate: what was shown, or a sequence of one a user.
            responses: the observations of the responses to it, or a sequence of them.
            reward: its reward, or a sequence of one a user.
            done: whether the environment ended the episode.
        """
        if not self._started:
            self.start()
        if self._encoder is None:
            self._encoder = StepEncoder(self._env)
        for name, feature in self._encoder.encode(user, documents, slate, responses, reward):
            self._lists[name].append(feature)
        self._lists["is_terminal"].append(tfrecord.integers([done]))
        self._lists["is_truncated"].append(tfrecord.integers([False]))
        self._done = done

    def end_episode(self) -> None:
        """Adds the present episode to the log, truncated where its last step was not ``done``."""
        if self._lists:
            self._lists["is_truncated"][-1] = tfrecord.integers([not self._done])
            self._part.add(tfrecord.sequence_example(self._lists))
            self._lists.clear()


def _checked_beginning(path: str, length: int, sha256: str | None) -> hashlib._Hash:
    """Returns the SHA-256 of the beginning of a file, which must be what a run had written."""
    size = os.path.getsize(path) if os.path.exists(path) else 0
    remedy = (
        "Put it back, or choose another episode_log_file, which will then hold the episodes from "
        "here on."
    )
    if size < length:
        raise ValueError(
            f"The episode log {path!r} has {size} bytes, but the run to resume had written "
            f"{length}: it was removed or changed. {remedy}"
        )
    digest = hashlib.sha256()
    if not length:
        return digest
    with open(path, "rb") as file:
        remaining = length
        while remaining and (chunk := file.read(min(remaining, 1 << 20))):
            digest.update(chunk)
            remaining -= len(chunk)
    if sha256 not in (None, digest.hexdigest()):
        raise ValueError(
            f"The episode log {path!r} does not hold what the run to resume had written: its "
            f"content was changed. {remedy}"
        )
    return digest


class VectorEpisodeLog(_LogFile, rollout.VectorListener):
    """A log of the episodes of users in parallel, an episode of a user a record.

    It is a listener of a :class:`recsim.simulator.rollout.VectorRollout`.

    Args:
        path: the file, whose folder is made.
        env: the RecSimVectorEnv whose episodes are logged.

    Raises:
        TypeError: if ``path`` is not a path.
        ValueError: likewise, or if there are more than :data:`MAX_LOGGED_USERS` users.
        OSError: if the file cannot be written.
    """

    def __init__(self, path: paths.Path, env: types.VectorEnv) -> None:
        super().__init__(path)
        if env.num_envs > MAX_LOGGED_USERS:
            raise ValueError(
                f"An episode log is of {MAX_LOGGED_USERS:,} users at most, and the environment has "
                f"{env.num_envs:,}: make one of fewer users, or log them to Parquet files "
                "(parquet_log)."
            )
        space: Any = spaces_lib.single_user_space(env.single_observation_space)
        self._user_flattener = spaces_lib.Flattener(space["user"])
        self._document_flattener = spaces_lib.Flattener(next(iter(space["doc"].spaces.values())))
        self._response_flatteners = [
            (name, key, spaces_lib.Flattener(entry))
            for name, key, entry in _response_entries(space["response"][0])
        ]
        self._first_user = getattr(env.unwrapped, "first_user", 0)
        # What every step was like, as far back as an episode under way reaches.
        self._steps: collections.deque[dict[str, np.ndarray]] = collections.deque()
        self._seen: dict[str, np.ndarray] = {}  # What was observed after the last step.
        # How many steps of the present episodes are in the log; -1 where their beginning is not.
        self._lengths = np.full(env.num_envs, -1)

    def on_reset(self, observation: types.Observation, infos: Mapping[str, Any]) -> None:
        """Begins an episode of every user."""
        self._steps.clear()
        self._lengths[:] = 0
        self._seen = self._observed(observation)

    def on_step(self, step: rollout.VectorStep) -> None:
        """Adds a step to the episodes under way."""
        if not self._started:
            self.start()
        self._steps.append(
            {
                **self._seen,
                **dict(self._response_features(step.responses)),
                "slate": np.array(step.slates),
                "reward": np.asarray(step.rewards, "<f4")[:, np.newaxis],
                "is_terminal": step.terminated[:, np.newaxis],
            }
        )
        self._lengths[self._lengths >= 0] += 1
        self._drop_old_steps()
        self._seen = self._observed(step.observation)

    def on_episodes_end(self, episodes: rollout.EndedEpisodes) -> None:
        """Adds the episodes that ended to the log."""
        for user in episodes.users:
            if self._lengths[user] > 0:
                self._add_episode(int(user))
        self._lengths[episodes.ended] = 0
        self._drop_old_steps()

    def _drop_old_steps(self) -> None:
        while len(self._steps) > max(0, self._lengths.max()):
            self._steps.popleft()

    def _observed(self, observation: types.Observation) -> dict[str, np.ndarray]:
        documents = self._document_flattener.flattened(observation["doc"], 2)
        return {
            "user": self._user_flattener.flattened(observation["user"]),
            **dict(_numbered("doc_{}", documents)),
        }

    def _response_features(
        self, responses: np.ndarray | Mapping[str, np.ndarray]
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Yields the features of the users' responses, a feature a position and entry."""
        for name, key, flattener in self._response_flatteners:
            values = responses if key is None else responses[key]
            yield from _numbered(f"response_{{}}{name}", flattener.flattened(values, 2))

    def _add_episode(self, user: int) -> None:
        steps = list(self._steps)[len(self._steps) - self._lengths[user] :]
        lists = {
            name: [
                tfrecord.integers(step[name][user])
                if name in ("slate", "is_terminal")
                else tfrecord.floats(step[name][user].tobytes())
                for step in steps
            ]
            for name in steps[-1]
        }
        truncated = not steps[-1]["is_terminal"][user, 0]
        lists["is_truncated"] = [tfrecord.integers([False])] * (len(steps) - 1)
        lists["is_truncated"].append(tfrecord.integers([truncated]))
        context = tfrecord.context("user_number", self._first_user + user)
        self._part.add(context + tfrecord.sequence_example(lists))

    def state_dict(self) -> dict[str, Any]:
        """Returns the episodes under way, as data."""
        return {"steps": list(self._steps), "seen": self._seen, "lengths": self._lengths}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues the episodes that :meth:`state_dict` returned."""
        self._steps = collections.deque(state["steps"])
        self._seen = dict(state["seen"])
        self._lengths = state["lengths"]


def _numbered(name: str, values: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the feature of each document, of values of shape (n_users, n_docs, size)."""
    for i in range(values.shape[1]):
        yield name.format(i), np.ascontiguousarray(values[:, i])


class StepEncoder:
    """Turns the steps of an environment into features; its spaces are looked at only once."""

    def __init__(self, env: types.RecommenderEnv) -> None:
        self._multi_user = rollout.has_several_users(env)
        space: Any = env.observation_space.spaces
        users, responses = space["user"], space["response"]
        if self._multi_user:
            self._users = [
                _UserEncoder(f"_{u}", user, response)
                for u, (user, response) in enumerate(zip(users, responses, strict=True))
            ]
        else:
            self._users = [_UserEncoder("", users, responses)]
        self._pack_document = _packer(next(iter(space["doc"].spaces.values())))

    def encode(
        self,
        user: object,
        documents: Mapping[str, Any],
        slate: types.Action,
        responses: Sequence[Any],
        reward: types.Reward,
    ) -> Iterator[tuple[str, bytes]]:
        """Yields the names and the encoded features of one step."""
        if not self._multi_user:
            yield from self._users[0].encode(user, cast(types.Slate, slate), responses)
            yield "reward", tfrecord.floats(_packed(reward))
        else:
            users, slates, rewards = (cast(Any, each) for each in (user, slate, reward))
            for u, encoder in enumerate(self._users):
                yield from encoder.encode(users[u], slates[u], responses[u])
            if np.ndim(rewards):
                for u, user_reward in enumerate(rewards):
                    yield f"reward_{u}", tfrecord.floats(_packed(user_reward))
            else:
                yield "reward", tfrecord.floats(_packed(reward))
        for i, document in enumerate(documents.values()):
            yield f"doc_{i}", tfrecord.floats(self._pack_document(document))


class _UserEncoder:
    """Turns what concerns one user into features, whose names get a suffix."""

    def __init__(self, suffix: str, user: types.Space, responses: Iterable[types.Space]) -> None:
        self._user = f"user{suffix}", _packer(user)
        self._slate = f"slate{suffix}"
        self._responses = [
            [
                (f"response{suffix}_{i}{name}", key, _packer(entry))
                for name, key, entry in _response_entries(response)
            ]
            for i, response in enumerate(responses)
        ]

    def encode(
        self, user: object, slate: types.Slate, responses: Sequence[Any]
    ) -> Iterator[tuple[str, bytes]]:
        name, pack = self._user
        yield name, tfrecord.floats(pack(user))
        yield self._slate, tfrecord.integers(slate)
        for i, entries in enumerate(self._responses):
            for name, key, pack in entries:
                if i >= len(responses):
                    yield name, tfrecord.floats(b"")
                else:
                    response = responses[i]
                    yield name, tfrecord.floats(pack(response if key is None else response[key]))


def _response_entries(space: types.Space) -> Iterator[tuple[str, Any, Any]]:
    """Yields what the feature of each entry of a response ends with, its key and its space."""
    if not isinstance(space, spaces.Dict):
        yield "", None, space
        return
    for key, entry in space.spaces.items():
        yield f"_{key}", key, entry


def _packer(space: types.Space) -> Callable[[Any], bytes]:
    """Returns a function of an observation: the bytes of gym's ``flatten`` of it as floats.

    Raises:
        NotImplementedError: for a space whose elements are neither arrays nor text.
    """
    if spaces_lib.is_composite(space):
        packers = [(key, _packer(entry)) for key, entry in spaces_lib.children(space)]
        if isinstance(space, spaces.Dict):
            return lambda value: b"".join([pack(value[key]) for key, pack in packers])
        return lambda value: b"".join(
            [pack(item) for (_, pack), item in zip(packers, value, strict=True)]
        )
    kind = spaces_lib.kind_of(space)
    if kind == "Box":
        return functools.partial(_packed_box, cast(spaces.Box, space))
    if kind == "Text":  # Which old versions of Gym do not have.
        return lambda value: _packed(spaces.flatten(cast("spaces.Space[Any]", space), value))
    flattener = spaces_lib.Flattener(space)

    def packed(value: object) -> bytes:
        row = np.empty(flattener.size, "<f4")
        flattener.flatten(value, row)
        return row.tobytes()

    return packed


def _packed_box(space: spaces.Box, value: object) -> bytes:
    array = np.asarray(value, dtype="<f4")
    if array.shape != space.shape:
        raise ValueError(
            f"An observation of {space} must have its shape {space.shape}, got {array.shape}."
        )
    return array.tobytes()


def _packed(values: object) -> bytes:
    return np.asarray(values, dtype="<f4").tobytes()
