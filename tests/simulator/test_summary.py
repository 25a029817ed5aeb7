"""The metrics' files: TensorBoard's, and JSON lines."""

from __future__ import annotations

import gc
import json
import tracemalloc

import numpy as np
import pytest
from support.scenarios import CONFIG

from recsim import registry
from recsim.agents import random_agent
from recsim.environments import interest_exploration
from recsim.simulator import runner_lib, summary


def create_agent(sess, environment, eval_mode, summary_writer):
    return random_agent.RandomAgent(environment.action_space)


def read_events(folder):
    """Reads event files as TensorBoard does, in the order of their names."""
    tf = pytest.importorskip("tensorflow")
    return [
        tf.compat.v1.Event.FromString(record.numpy())
        for path in sorted(folder.glob("events.out.tfevents.*"))
        for record in tf.data.TFRecordDataset(str(path))
    ]


@pytest.mark.slow
def test_tensorflow_reads_the_events(tmp_path):
    tf = pytest.importorskip("tensorflow")
    writer = summary.SummaryWriter(tmp_path)
    writer.add_scalar("CTR/train", np.float64(0.1), 300)
    writer.add_scalar("ünï/code", -3, 2**40)
    writer.add_scalar("huge", 1e300, 0)
    writer.add_scalar("nan", float("nan"), 1)
    message = tf.compat.v1.Summary(value=[{"tag": "a", "simple_value": 2.0}])
    writer.add_summary(message, 5)
    writer.add_summary(message.SerializeToString(), global_step=6)
    writer.add_summary(message)
    writer.restart_at(7)
    writer.close()

    version, *events = read_events(tmp_path)
    assert version.file_version == "brain.Event:2"
    *scalars, restart = events
    points = [(e.summary.value[0].tag, e.summary.value[0].simple_value, e.step) for e in scalars]
    assert points[0] == ("CTR/train", np.float32(0.1), 300)
    assert points[1] == ("ünï/code", -3.0, 2**40)
    assert points[2] == ("huge", np.inf, 0)
    assert np.isnan(points[3][1])
    assert points[4:] == [("a", 2.0, 5), ("a", 2.0, 6), ("a", 2.0, 0)]
    assert restart.session_log.status == tf.compat.v1.SessionLog.START
    assert restart.step == 7
    assert scalars[0].wall_time == pytest.approx(version.wall_time, abs=60)


@pytest.mark.slow
def test_runners_write_recsims_tags(tmp_path):
    env = interest_exploration.create_environment(CONFIG)
    settings = {
        "base_dir": tmp_path,
        "env": env,
        "create_agent_fn": create_agent,
        "max_steps_per_episode": 100,
        "progress": False,
    }
    runner_lib.TrainRunner(max_training_steps=100, num_iterations=2, **settings).run_experiment()
    runner_lib.EvalRunner(max_eval_episodes=2, test_mode=True, **settings).run_experiment()
    tags = ["TimePerStep", "AverageEpisodeLength", "AverageEpisodeRewards", "StdEpisodeRewards"]
    tags += ["CTR", "AverageQuality", "cluster_watch_count_frac/no_click"]
    tags += ["cluster_watch_count_frac/cluster_0", "cluster_watch_count_frac/cluster_1"]
    for folder, suffix, steps in (("train", "train", {100, 200}), ("eval_2", "eval", {200})):
        points = [
            (event.summary.value[0].tag, event.step)
            for event in read_events(tmp_path / folder)
            if event.HasField("summary")
        ]
        assert set(points) == {(f"{tag}/{suffix}", step) for tag in tags for step in steps}
        assert len(points) == len(set(points))


@pytest.mark.slow
def test_a_resumed_run_withdraws_the_events_after_its_checkpoint(tmp_path):
    env = interest_exploration.create_environment(CONFIG)

    def train(iterations):
        runner_lib.TrainRunner(
            base_dir=tmp_path,
            env=env,
            create_agent_fn=create_agent,
            max_training_steps=10,
            num_iterations=iterations,
            max_steps_per_episode=10,
            progress=False,
        ).run_experiment()

    train(3)
    (tmp_path / "train/checkpoints/ckpt.2").unlink()
    train(4)
    shown: list[int] = []
    for event in read_events(tmp_path / "train"):
        if event.HasField("session_log"):  # As TensorBoard does at SessionLog.START.
            shown = [step for step in shown if step < event.step]
        elif event.HasField("summary") and event.summary.value[0].tag == "CTR/train":
            shown.append(event.step)
    assert shown == [10, 20, 30, 40]


def test_nothing_is_written_before_something_is_added(tmp_path):
    writer = summary.SummaryWriter(tmp_path)
    writer.flush()
    assert list(tmp_path.iterdir()) == []


def test_a_later_writer_has_a_later_file(tmp_path):
    names = []
    for _ in range(3):
        writer = summary.SummaryWriter(tmp_path)
        writer.add_scalar("a", 1.0, 1)
        writer.close()
        names.append(sorted({p.name for p in tmp_path.iterdir()} - set(names))[0])
    assert names == sorted(names)
    assert len(names) == 3


@pytest.mark.parametrize("num_envs", [None, 2])
@pytest.mark.parametrize("name", sorted(registry.ENVIRONMENTS))
def test_records_have_the_same_metrics_whatever_was_clicked(name, num_envs, tmp_path):
    """One step an iteration leaves most topics, often all, without a click."""
    if num_envs is None:
        env, create = registry.create_environment(name, CONFIG), registry.create_agent
    else:
        env = registry.create_vector_environment(name, CONFIG, num_envs)
        create = registry.create_vector_agent
    runner_lib.TrainRunner(
        base_dir=tmp_path,
        env=env,
        create_agent_fn=lambda sess, env, **_: create("random", env),
        max_training_steps=1,
        num_iterations=12,
        max_steps_per_episode=1,
        progress=False,
    ).run_experiment()
    lines = (tmp_path / "train" / "metrics.jsonl").read_text().splitlines()
    assert not any("NaN" in line or "Infinity" in line for line in lines)
    found = [json.loads(line) for line in lines]
    assert {tuple(record) for record in found} == {tuple(found[0])}
    topics = {"interest_exploration": 2, "interest_evolution": 20, "topic_boredom": 10}.get(name, 0)
    tags = [f"cluster_watch_count_frac/cluster_{topic}" for topic in range(topics)]
    assert set(tags) == {tag for tag in found[0] if "/cluster_" in tag}
    for record in found:
        assert sum(record[tag] for tag in tags) == pytest.approx(record.get("CTR", 0))
    if tags:
        assert any(record["AverageQuality"] is None for record in found)


def test_metrics_are_json_lines_in_the_order_of_steps(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics = summary.MetricsFile(path)
    metrics.add(20, {"CTR": 0.5, "bad": float("nan")})
    assert json.loads(path.read_text()) == {"total_steps": 20, "CTR": 0.5, "bad": None}
    metrics.add(10, {"CTR": 0.1})
    summary.MetricsFile(path).add(20, {"CTR": 0.75})
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"total_steps": 10, "CTR": 0.1},
        {"total_steps": 20, "CTR": 0.75},
    ]


def test_metrics_after_a_step_can_be_dropped(tmp_path):
    metrics = summary.MetricsFile(tmp_path / "metrics.jsonl")
    for step in (10, 20, 30):
        metrics.add(step, {})
    metrics.drop_after(20)
    assert (tmp_path / "metrics.jsonl").read_text() == '{"total_steps": 10}\n{"total_steps": 20}\n'


def test_a_record_is_appended_and_the_others_are_not_written_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics = summary.MetricsFile(path)
    metrics.add(10, {"CTR": 0.5})
    file = path.stat().st_ino
    marked = path.read_bytes().replace(b"0.5", b"0.7")
    with open(path, "r+b") as open_file:  # What is written again would lose the mark.
        open_file.write(marked)
    for step in range(20, 100, 10):
        metrics.add(step, {"CTR": 0.5})
    assert path.stat().st_ino == file
    assert path.read_bytes().startswith(marked)
    assert [record["total_steps"] for record in summary.MetricsFile(path).records] == [
        *range(10, 100, 10)
    ]


LINES = b'{"total_steps": 10, "CTR": 0.5}\n{"total_steps": 20, "CTR": 0.25}\n'
THIRD = b'{"total_steps": 30, "CTR": 0.75}\n'


@pytest.mark.parametrize("torn", [THIRD[:n] for n in range(1, len(THIRD) - 1)] + [b"\0" * 9])
def test_a_torn_last_line_is_dropped(tmp_path, torn):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(LINES + torn)
    metrics = summary.MetricsFile(path)
    assert [record["total_steps"] for record in metrics.records] == [10, 20]
    metrics.drop_after(20)
    assert path.read_bytes() == LINES
    path.write_bytes(LINES + torn)
    summary.MetricsFile(path).add(30, {"CTR": 0.75})
    assert path.read_bytes() == LINES + THIRD


def test_a_last_line_that_lacks_only_its_end_is_kept(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(LINES[:-1])
    summary.MetricsFile(path).add(30, {"CTR": 0.75})
    assert path.read_bytes() == LINES + THIRD


@pytest.mark.parametrize("content", [b"", LINES[:40]])
def test_metrics_that_somebody_shortened_or_removed_are_written_again(tmp_path, content):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(LINES)
    metrics = summary.MetricsFile(path)
    path.write_bytes(content)
    metrics.add(30, {"CTR": 0.75})
    assert path.read_bytes() == LINES + THIRD
    path.unlink()
    metrics.add(40, {})
    assert path.read_bytes() == LINES + THIRD + b'{"total_steps": 40}\n'


def test_what_a_failed_writing_left_is_overwritten(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(LINES)
    metrics = summary.MetricsFile(path)
    path.write_bytes(LINES + b"x" * 200)
    metrics.add(30, {"CTR": 0.75})
    assert path.read_bytes() == LINES + THIRD


@pytest.mark.parametrize("content", ["no json", "[1]", '{"a": 1}', "[1]\n", '{"totals'])
def test_a_foreign_metrics_file_is_refused(tmp_path, content):
    path = tmp_path / "metrics.jsonl"
    path.write_text(content)
    with pytest.raises(ValueError, match="does not hold metrics of recsim"):
        summary.MetricsFile(path)
    assert path.read_text() == content


def test_records_take_the_memory_of_their_lines(tmp_path):
    metrics = summary.MetricsFile(tmp_path / "metrics.jsonl")
    named = {f"metric {number}": 0.1 * number for number in range(30)}
    metrics.add(1, named)
    gc.collect()
    tracemalloc.start()
    for step in range(2, 502):
        metrics.add(step, named)
    gc.collect()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 1.3 * (tmp_path / "metrics.jsonl").stat().st_size
    assert metrics.records[-1] == {"total_steps": 501, **named}
