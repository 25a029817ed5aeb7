"""Episode logs: that TensorFlow reads back what happened, and that a log is whole or not there."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from support.runners import eval_runner
from support.scenarios import CONFIG, make_env

from recsim._internal import tfrecord
from recsim._internal.gym_import import spaces
from recsim.agents import random_agent
from recsim.environments import interest_evolution, interest_exploration, long_term_satisfaction
from recsim.simulator import environment, episode_log, runner_lib


class ShortSlates(random_agent.RandomAgent):
    """Shows one or two documents in turns."""

    def step(self, reward, observation):
        slate = super().step(reward, observation)
        self._slate_lengths = 3 - getattr(self, "_slate_lengths", 1)
        return slate[: self._slate_lengths]


class Witness:
    """Passes on what an environment says, and notes it flattened by gym itself."""

    def __init__(self, env):
        self._env = env
        self.episodes = []

    def __getattr__(self, name):
        return getattr(self._env, name)

    def reset(self):
        self.episodes.append([])
        self._observation = self._env.reset()
        return self._observation

    def step(self, action):
        space = self._env.observation_space
        noted = {"user": spaces.flatten(space["user"], self._observation["user"])}
        for i, (doc_space, doc) in enumerate(
            zip(space["doc"].spaces.values(), self._observation["doc"].values(), strict=True)
        ):
            noted[f"doc_{i}"] = spaces.flatten(doc_space, doc)
        step = self._env.step(action)
        self._observation, reward, done, _ = step
        noted["slate"] = np.array(action)
        noted["reward"] = np.array([reward])
        noted["is_terminal"] = np.array([done])
        for i, response_space in enumerate(space["response"]):
            for key, entry in response_space.spaces.items():
                if i < len(action):
                    response = self._observation["response"][i][key]
                    noted[f"response_{i}_{key}"] = spaces.flatten(entry, response)
                else:
                    noted[f"response_{i}_{key}"] = np.array([])
        self.episodes[-1].append(noted)
        return step


def evaluate(base_dir, env, agent=random_agent.RandomAgent, **kwargs):
    runner_lib.EvalRunner(
        base_dir=base_dir,
        create_agent_fn=lambda sess, env, eval_mode, summary_writer: agent(env.action_space),
        env=env,
        max_eval_episodes=3,
        test_mode=True,
        episode_log_file="log",
        progress=False,
        **kwargs,
    ).run_experiment()
    return base_dir / "eval_3" / "log"


INTEGERS = ("slate", "is_terminal", "is_truncated")


def read_back(path, names):
    """Reads a log as its users do; a list of episodes, dictionaries of lists of steps' arrays."""
    tf = pytest.importorskip("tensorflow")
    features = {
        name: tf.io.RaggedFeature(tf.int64 if name.startswith(INTEGERS) else tf.float32)
        for name in names
    }
    episodes = []
    for record in tf.data.TFRecordDataset(str(path)):
        _, lists = tf.io.parse_single_sequence_example(record, sequence_features=features)
        episodes.append({name: [row.numpy() for row in rows] for name, rows in lists.items()})
    return episodes


@pytest.mark.slow
@pytest.mark.parametrize(
    "make_env",
    [
        interest_exploration.create_environment,
        interest_evolution.create_environment,
        long_term_satisfaction.create_environment,
    ],
)
@pytest.mark.parametrize("agent", [random_agent.RandomAgent, ShortSlates])
def test_tensorflow_reads_back_what_happened(make_env, agent, tmp_path):
    env = Witness(make_env(CONFIG))
    path = evaluate(tmp_path, env, agent, max_steps_per_episode=6)
    names = env.episodes[0][0].keys()
    episodes = read_back(path, [*names, "is_truncated"])
    assert len(episodes) == len(env.episodes) == 3
    for lists, steps in zip(episodes, env.episodes, strict=True):
        for name in names:
            assert len(lists[name]) == len(steps) == 6
            for found, noted in zip(lists[name], steps, strict=True):
                np.testing.assert_allclose(found, noted[name], rtol=1e-6, err_msg=name)
        assert [row.tolist() for row in lists["is_truncated"]] == [[0]] * 5 + [[1]]
        assert [row.tolist() for row in lists["is_terminal"]] == [[0]] * 6


class TwoUsers:
    """The shape of an environment with two users, each with a reward."""

    environment = None

    def __init__(self):
        class Several(environment.MultiUserEnvironment):
            def __init__(self):
                pass

        self.environment = Several()
        one = spaces.Box(0, 1, (1,), np.float32)
        response = spaces.Dict({"click": spaces.Discrete(2)})
        self.observation_space = spaces.Dict(
            {
                "user": spaces.Tuple((one, spaces.Box(0, 1, (2,), np.float32))),
                "doc": spaces.Dict({"7": one, "8": one}),
                "response": spaces.Tuple((spaces.Tuple((response,)),) * 2),
            }
        )


@pytest.mark.slow
def test_several_users_have_lists_of_their_own(tmp_path):
    log = episode_log.EpisodeLog(str(tmp_path / "log"), TwoUsers())
    observation = {"user": [[0.5], [0.25, 1.0]], "doc": {"7": [0.0], "8": [1.0]}}
    # The second user's episode is over: no response.
    log.add_step(
        observation["user"],
        observation["doc"],
        [[1], [0]],
        (({"click": 1},), ()),
        [3.0, 0.0],
        done=True,
    )
    log.end_episode()
    log.finish()
    names = ["user_0", "user_1", "slate_0", "slate_1", "reward_0", "reward_1", "doc_0", "doc_1"]
    names += ["response_0_0_click", "response_1_0_click", "is_terminal", "is_truncated"]
    (episode,) = read_back(tmp_path / "log", names)
    assert {name: [row.tolist() for row in rows] for name, rows in episode.items()} == {
        "user_0": [[0.5]],
        "user_1": [[0.25, 1.0]],
        "slate_0": [[1]],
        "slate_1": [[0]],
        "reward_0": [[3.0]],
        "reward_1": [[0.0]],
        "doc_0": [[0.0]],
        "doc_1": [[1.0]],
        "response_0_0_click": [[0.0, 1.0]],
        "response_1_0_click": [[]],
        "is_terminal": [[1]],
        "is_truncated": [[0]],
    }


# Without TensorFlow: bytes that it wrote (TensorFlow 2.21).


def test_messages_are_tensorflows_byte_by_byte():
    floats = [tfrecord.floats(np.array([1, 2.5], "<f4").tobytes()), tfrecord.floats(b"")]
    lists = {"a": floats, "slate": [tfrecord.integers([3, 300, 0])]}
    assert tfrecord.sequence_example(lists) == (
        b"\x12.\n\x17\n\x01a\x12\x12\n\x0c\x12\n\n\x08\x00\x00\x80?\x00\x00 @\n\x02\x12\x00"
        b"\n\x13\n\x05slate\x12\n\n\x08\x1a\x06\n\x04\x03\xac\x02\x00"
    )


def test_records_are_tensorflows_byte_by_byte():
    expected = b"\x05\x00\x00\x00\x00\x00\x00\x00\xea\xb2\x04>hello\xbb\x1f\x1c\x19"
    assert tfrecord.record(b"hello") == expected


def slow_crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_the_checksum_is_crc_32c():
    # The check value of the CRC catalogue, and those of RFC 3720, appendix B.4.
    assert tfrecord.crc32c(b"123456789") == 0xE3069283
    assert tfrecord.crc32c(bytes(32)) == 0x8A9136AA
    assert tfrecord.crc32c(b"\xff" * 32) == 0x62A8AB43
    assert tfrecord.crc32c(bytes(range(32))) == 0x46DD794E
    data = hashlib.shake_128(b"any").digest(3100)
    for length in [0, 1, 2, 3, 4, 5, 1023, 1024, 1025, 1026, 1027, 1028, 2048, 2049, 3100]:
        assert tfrecord.crc32c(data[:length]) == slow_crc32c(data[:length])


# A log is whole or not there


def test_the_log_has_its_name_only_when_it_is_complete(tmp_path):
    seen = []

    class Watching(random_agent.RandomAgent):
        def step(self, reward, observation):
            seen.append(sorted(path.name for path in (tmp_path / "eval_3").glob("log*")))
            return super().step(reward, observation)

    env = interest_exploration.create_environment(CONFIG)
    path = evaluate(tmp_path, env, Watching, max_steps_per_episode=3)
    assert all("log" not in names for names in seen)
    assert path.exists()
    assert not path.with_name("log.part").exists()


def add_episode(log, env):
    observation = env.reset()
    after, reward, done, _ = env.step([0, 1])
    log.add_step(observation["user"], observation["doc"], [0, 1], after["response"], reward, done)
    log.end_episode()


def test_a_resumed_log_drops_what_came_after_the_checkpoint(tmp_path):
    env = interest_exploration.create_environment(CONFIG)
    log = episode_log.EpisodeLog(str(tmp_path / "log"), env)
    log.start()
    add_episode(log, env)
    position = log.sync()
    kept = (tmp_path / "log.part").read_bytes()
    assert len(kept) == position["length"] > 0
    assert hashlib.sha256(kept).hexdigest() == position["sha256"]
    add_episode(log, env)
    log.sync()

    log = episode_log.EpisodeLog(str(tmp_path / "log"), env)
    log.start(position)
    add_episode(log, env)
    after = log.sync()
    log.finish()
    content = (tmp_path / "log").read_bytes()
    assert content.startswith(kept)
    assert len(content) == 2 * len(kept)
    assert hashlib.sha256(content).hexdigest() == after["sha256"]


def test_every_episode_that_has_ended_is_in_the_unfinished_log(tmp_path):
    sizes = []

    class Agent(random_agent.RandomAgent):
        """Looks at the log at the beginning of each episode."""

        def begin_episode(self, observation=None):
            log = tmp_path / "eval_3/log.part"
            sizes.append(log.stat().st_size if log.exists() else 0)
            return super().begin_episode(observation)

    runner = eval_runner(
        tmp_path,
        make_env(),
        lambda sess, env, eval_mode, summary_writer: Agent(env.action_space),
        max_steps_per_episode=3,
        episode_log_file="log",
        test_mode=True,
    )
    runner.run_experiment()
    assert 0 == sizes[0] < sizes[1] < sizes[2]


def test_a_complete_log_continues_if_it_has_what_is_to_be_kept(tmp_path):
    env = interest_exploration.create_environment(CONFIG)
    log = episode_log.EpisodeLog(str(tmp_path / "log"), env)
    add_episode(log, env)
    position = log.sync()
    length = position["length"]
    log.finish()
    kept = (tmp_path / "log").read_bytes()
    for too_much in (None, 0, length + 1, {**position, "length": length + 1}):
        with pytest.raises(FileExistsError, match="would be overwritten"):
            log.start(too_much)
        assert (tmp_path / "log").read_bytes() == kept
    log.start(position)
    add_episode(log, env)
    log.finish()
    assert (tmp_path / "log").read_bytes()[:length] == kept
    assert (tmp_path / "log").stat().st_size == 2 * length
    assert not (tmp_path / "log.part").exists()


def test_a_log_that_lost_what_its_checkpoint_counts_is_refused(tmp_path):
    env = interest_exploration.create_environment(CONFIG)
    log = episode_log.EpisodeLog(str(tmp_path / "log"), env)
    (tmp_path / "log.part").write_bytes(b"1234")
    with pytest.raises(ValueError, match=r"has 4 bytes, but the run to resume had written 5"):
        log.start(5)


@pytest.mark.parametrize("complete", [False, True])
def test_a_log_whose_content_changed_is_refused_and_left_alone(tmp_path, complete):
    env = interest_exploration.create_environment(CONFIG)
    log = episode_log.EpisodeLog(tmp_path / "log", env)
    add_episode(log, env)
    position = log.sync()
    add_episode(log, env)
    if complete:
        log.finish()
    path = tmp_path / ("log" if complete else "log.part")
    content = path.read_bytes()
    for place in (0, position["length"] // 2, position["length"] - 1):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(
            ValueError, match=r"does not hold .* its content was changed. Put it ba"
        ):
            episode_log.EpisodeLog(tmp_path / "log", env).start(position)
        assert path.read_bytes() == changed
    # What came after it is dropped, whatever it is.
    path.write_bytes(content[: position["length"]] + b"anything")
    resumed = episode_log.EpisodeLog(tmp_path / "log", env)
    resumed.start(position)
    assert resumed.sync() == position
    assert (tmp_path / "log.part").read_bytes() == content[: position["length"]]


@pytest.mark.parametrize("kept", [{}, {"length": -1}, {"length": "9"}, -1, "9", 1.5, [3]])
def test_what_no_log_has_returned_is_refused(tmp_path, kept):
    env = interest_exploration.create_environment(CONFIG)
    log = episode_log.EpisodeLog(tmp_path / "log", env)
    add_episode(log, env)
    content = (tmp_path / "log.part").read_bytes()
    with pytest.raises(ValueError, match="kept must be what sync"):
        log.start(kept)
    assert (tmp_path / "log.part").read_bytes() == content


def test_a_log_that_disappears_while_it_is_written_is_told_of(tmp_path):
    env = interest_exploration.create_environment(CONFIG)
    log = episode_log.EpisodeLog(tmp_path / "log", env)
    add_episode(log, env)
    (tmp_path / "log.part").unlink()
    with pytest.raises(OSError, match="was removed or changed while it was written to"):
        add_episode(log, env)
    for act in (log.sync, log.finish):
        with pytest.raises(OSError, match="was removed or changed while it was written to"):
            act()
    assert list(tmp_path.iterdir()) == []


def test_what_a_failed_writing_left_is_overwritten(tmp_path):
    file = tfrecord.RecordFile(str(tmp_path / "file"), batch_bytes=10**6)
    file.add(b"one")
    file.flush()
    with open(tmp_path / "file", "ab") as open_file:
        open_file.write(tfrecord.record(b"two")[:7])
    file.add(b"two")
    file.flush()
    expected = tfrecord.record(b"one") + tfrecord.record(b"two")
    assert (tmp_path / "file").read_bytes() == expected


def test_a_second_log_of_a_name_is_refused(tmp_path):
    env = interest_exploration.create_environment(CONFIG)
    evaluate(tmp_path, env, max_steps_per_episode=2)
    with pytest.raises(FileExistsError, match="would be overwritten"):
        evaluate(tmp_path, env, max_steps_per_episode=2)


def test_a_run_that_continues_with_a_log_says_what_the_log_lacks(tmp_path, caplog):
    env = interest_exploration.create_environment(CONFIG)

    def train(iterations, log):
        runner_lib.TrainRunner(
            base_dir=tmp_path,
            create_agent_fn=lambda sess, env, eval_mode, summary_writer: random_agent.RandomAgent(
                env.action_space
            ),
            env=env,
            max_training_steps=4,
            num_iterations=iterations,
            max_steps_per_episode=4,
            episode_log_file=log,
            progress=False,
        ).run_experiment()

    train(2, "first")
    train(3, "second")
    assert "The episode log second will hold no episodes before iteration 2" in caplog.text
    sizes = [(tmp_path / "train" / name).stat().st_size for name in ("first", "second")]
    assert sizes[0] == 2 * sizes[1]
