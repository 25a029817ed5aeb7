"""Reading episode logs: by our reader and by other tools, of both formats, and what is refused."""

from __future__ import annotations

import itertools
import pathlib
import subprocess
import sys

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
from support import scenarios
from support.resumable import FirstDocuments

import recsim
from recsim._internal import tfrecord
from recsim.agents import random_agent
from recsim.logs import columns, parquet
from recsim.simulator import episode_log, rollout

#: Two episodes of three steps of interest exploration with 4 candidates and slates of 2, as the
#: runner of RecSim 0.2.4 logged them under TensorFlow 2.12.
OF_RECSIM = pathlib.Path(__file__).parent / "data" / "recsim_0_2_4.tfrecord"

#: What a TFRecord log does not say.
UNKNOWN = ["item_id", *columns.LAST_COLUMNS[3:]]


class Witness:
    """A listener that keeps the values of some columns itself, a list for each."""

    def __init__(self, env):
        self._env = env
        self._episodes = np.zeros(env.num_envs, int)
        self.columns = {
            name: [] for name in ("user", "episode", "item_feature_7", "click", "reward")
        }

    def on_reset(self, observation, infos):
        self._before = observation

    def on_step(self, step):
        for user, slate in enumerate(step.slates.tolist()):
            for position, candidate in enumerate(slate):
                values = (
                    user,
                    self._episodes[user],
                    self._before["doc"][user, candidate, 7],
                    step.responses["click"][user, position],
                    step.rewards[user],
                )
                for column, value in zip(self.columns.values(), values, strict=True):
                    column.append(value)
        self._episodes += step.terminated | step.truncated
        self._before = step.observation

    def on_episodes_end(self, episodes):
        pass


def test_pandas_polars_and_duckdb_read_what_happened(tmp_path):
    env = scenarios.make_vector_env("interest_evolution", 50, max_steps_per_episode=9)
    log = parquet.VectorParquetLog(tmp_path / "log", env)
    witness = Witness(env)
    listeners = [log, witness]
    rollout.VectorRollout(env, random_agent.VectorRandomAgent(env), listeners).run_steps(70)
    log.sync()  # Two files.
    rollout.VectorRollout(env, random_agent.VectorRandomAgent(env), [log]).run_steps(2)
    log.finish()
    ours = recsim.read_episodes(log.path)
    assert len(ours) == 50 * 72 * 2
    read_by_others = {
        "pandas": pd.read_parquet(log.path),
        "Polars": pl.read_parquet(log.path).to_pandas(),
        "DuckDB": duckdb.sql(f"from read_parquet('{log.path}/*.parquet')").df(),
    }
    for tool, frame in read_by_others.items():
        assert list(frame.columns) == list(ours.columns), tool
        for name in ours.columns:
            np.testing.assert_array_equal(frame[name], ours[name], err_msg=f"{tool}: {name}")
    ours = ours.rename(columns={"response_click": "click"})
    for name, values in witness.columns.items():
        assert ours[name][: len(values)].tolist() == values, name


def test_a_column_of_text_is_the_same_in_all(tmp_path):
    env = scenarios.make_env()
    log = parquet.ParquetLog(tmp_path / "log", env)
    agent = random_agent.RandomAgent(env.action_space)
    rollout.run_episode(env, agent, max_steps=4, listeners=[log])
    log.finish()
    ids = recsim.read_episodes(log.path).item_id.tolist()
    assert all(isinstance(item, str) for item in ids)
    assert pl.read_parquet(log.path)["item_id"].to_list() == ids
    found = duckdb.sql(f"select item_id from read_parquet('{log.path}/*.parquet')").fetchall()
    assert [row[0] for row in found] == ids


# Both formats


def logs_of_one_user(folder, env, agent):
    logs = [
        parquet.ParquetLog(folder / "parquet", env),
        episode_log.EpisodeLog(folder / "tfrecord", env),
    ]
    for _ in range(3):
        rollout.run_episode(env, agent, max_steps=9, listeners=logs)
    return logs


def logs_of_users_in_parallel(folder, env):
    logs = [
        parquet.VectorParquetLog(folder / "parquet", env),
        episode_log.VectorEpisodeLog(folder / "tfrecord", env),
    ]
    agent = random_agent.VectorRandomAgent(env)
    rollout.VectorRollout(env, agent, logs).run_episodes(np.array([2, 1, 3]))
    return logs


def one_hot(numbers, size):
    return np.equal.outer(np.arange(size), np.asarray(numbers)).astype(float)


@pytest.mark.parametrize(
    ("scenario", "engine"),
    [
        *itertools.product(scenarios.SCENARIOS, ["one user", "users in parallel"]),
        ("long_term_satisfaction", "several users"),
    ],
)
def test_both_formats_say_the_same(scenario, engine, tmp_path):
    if engine == "one user":
        env = scenarios.make_env(scenario)
        logs = logs_of_one_user(tmp_path, env, random_agent.RandomAgent(env.action_space))
    elif engine == "users in parallel":
        env = scenarios.make_vector_env(scenario, 3, max_steps_per_episode=8)
        logs = logs_of_users_in_parallel(tmp_path, env)
    else:
        env = scenarios.make_long_term_satisfaction_users((4, 6), scenarios.clicks_by_user)
        logs = logs_of_one_user(tmp_path, env, FirstDocuments(env.action_space))
    for log in logs:
        log.finish()
    key = ["user", "episode", "step", "position"]
    ours, theirs = (
        recsim.read_episodes(tmp_path / name).sort_values(key).reset_index(drop=True)
        for name in ("parquet", "tfrecord")
    )
    assert len(ours) == len(theirs) > 20
    assert theirs[UNKNOWN].isna().all(axis=None)
    for name in set(theirs.columns) - set(UNKNOWN):
        if name in ours:
            np.testing.assert_allclose(theirs[name], ours[name], rtol=1e-6, err_msg=name)
    # What is not of the same name is of a Discrete space: an indicator for each of its values.
    for name in set(ours.columns) - set(theirs.columns):
        parts = [column for column in theirs if column.startswith(f"{name}_")]
        indicators = theirs[sorted(parts, key=lambda part: int(part.rpartition("_")[2]))]
        expected = one_hot(ours[name], len(parts))
        np.testing.assert_array_equal(indicators.to_numpy().T, expected, err_msg=name)


def test_a_log_of_recsim_is_read():
    frame = recsim.read_episodes(OF_RECSIM)
    assert frame.episode.tolist() == [0] * 6 + [1] * 6
    assert frame.step.tolist() == [0, 0, 1, 1, 2, 2] * 2
    assert frame.position.tolist() == [0, 1] * 6
    assert frame.candidate.tolist() == [2, 3, 0, 2, 3, 0, 1, 0, 1, 2, 0, 3]
    assert (frame.reward == 0).all()
    assert not frame.terminated.any()
    assert frame.item_feature_2[0] == pytest.approx(1.2820126)


def feature_list(name, *features):
    """Returns the bytes of an entry of a SequenceExample's feature lists."""
    content = b"".join(tfrecord.bytes_field(1, feature) for feature in features)
    entry = tfrecord.bytes_field(1, name.encode()) + tfrecord.bytes_field(2, content)
    return tfrecord.bytes_field(1, entry)


def test_numbers_may_be_packed_or_not(tmp_path):
    packed_floats = tfrecord.bytes_field(1, np.array([0.5, -2.0], "<f4").tobytes())
    loose_floats = tfrecord.float_field(1, 0.25) + tfrecord.float_field(1, 3.0)
    packed_integers = tfrecord.bytes_field(1, tfrecord.varint(1) + tfrecord.varint(0))
    loose_integers = tfrecord.integer_field(1, 1) + tfrecord.integer_field(1, 0)
    negative = tfrecord.bytes_field(1, tfrecord.varint(-1))  # Which takes ten bytes.
    lists = [
        feature_list("user", tfrecord.bytes_field(2, b""), tfrecord.bytes_field(2, b"")),
        feature_list("doc_0", *[tfrecord.bytes_field(2, packed_floats)] * 2),
        feature_list("doc_1", *[tfrecord.bytes_field(2, loose_floats)] * 2),
        feature_list(
            "slate",
            tfrecord.bytes_field(3, packed_integers),
            tfrecord.bytes_field(3, loose_integers),
        ),
        feature_list("reward", *[tfrecord.bytes_field(2, tfrecord.float_field(1, 1.5))] * 2),
        feature_list(
            "is_terminal",
            tfrecord.bytes_field(3, tfrecord.integer_field(1, 0)),
            tfrecord.bytes_field(3, negative),
        ),
    ]
    file = tfrecord.RecordFile(str(tmp_path / "log"), batch_bytes=0)
    file.add(tfrecord.bytes_field(2, b"".join(lists)))
    frame = recsim.read_episodes(tmp_path / "log")
    assert frame.candidate.tolist() == [1, 0, 1, 0]
    assert frame.item_feature_0.tolist() == [0.25, 0.5, 0.25, 0.5]
    assert frame.item_feature_1.tolist() == [3.0, -2.0, 3.0, -2.0]
    assert frame.reward.tolist() == [1.5] * 4
    assert frame.terminated.tolist() == [False, False, True, True]


def test_columns_can_be_chosen(tmp_path):
    env = scenarios.make_env()
    for log in logs_of_one_user(tmp_path, env, random_agent.RandomAgent(env.action_space)):
        log.finish()
    for name in ("parquet", "tfrecord"):
        whole = recsim.read_episodes(tmp_path / name)
        some = recsim.read_episodes(tmp_path / name, columns=["reward", "step"])
        assert list(some.columns) == ["reward", "step"]
        assert some.equals(whole[["reward", "step"]])


def test_reading_needs_no_tensorflow(tmp_path):
    code = (
        "import sys, recsim\n"
        f"assert len(recsim.read_episodes({str(OF_RECSIM)!r})) == 12\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def damaged_copies():
    content = OF_RECSIM.read_bytes()
    middle = len(content) // 2
    return {
        "cut": content[:-3],
        "cut in a header": content + content[:5],
        "changed": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "long": content[: len(content) // 2] + b"0" + content[len(content) // 2 :],
    }


@pytest.mark.parametrize("damage", damaged_copies())
def test_a_damaged_tfrecord_log_is_told_of(damage, tmp_path):
    (tmp_path / "log").write_bytes(damaged_copies()[damage])
    with pytest.raises(ValueError, match="is damaged or not complete at byte"):
        recsim.read_episodes(tmp_path / "log")


@pytest.mark.parametrize("record", [b"hello", b"", tfrecord.bytes_field(2, b"\x12")])
def test_records_of_something_else_are_told_of(record, tmp_path):
    file = tfrecord.RecordFile(str(tmp_path / "log"), batch_bytes=0)
    file.add(record)
    with pytest.raises(ValueError, match="record 0 is not a SequenceExample of an episode"):
        recsim.read_episodes(tmp_path / "log")
