"""Parquet logs: whole or absent whatever happens, and the same from a run that was interrupted."""

from __future__ import annotations

import copy
import functools
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pandas as pd
import pytest
from support import scenarios, vector_training_child
from support.resumable import make_env, train
from support.runners import create_random, eval_runner, snapshot, train_runner

import recsim
from recsim.agents import random_agent
from recsim.logs import columns, dataset, parquet
from recsim.simulator import checkpoint, rollout, runner_lib
from recsim.vector import simulate


def add_episodes(log, env, num_episodes=1):
    agent = random_agent.RandomAgent(env.action_space, random_seed=2)
    for _ in range(num_episodes):
        rollout.run_episode(env, agent, max_steps=5, listeners=[log])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def env():
    return scenarios.make_env()


def test_a_log_has_its_name_only_when_it_is_complete(env, tmp_path):
    log = parquet.ParquetLog(tmp_path / "log", env)
    add_episodes(log, env)
    log.sync()
    assert names(tmp_path) == ["log.part"]
    # Nothing that looks for Parquet files finds one.
    assert list(tmp_path.rglob("*.parquet")) == []
    add_episodes(log, env)
    log.finish()
    assert names(tmp_path) == ["log"]
    assert names(tmp_path / "log") == ["part-000000.parquet", "part-000001.parquet"]
    assert recsim.read_episodes(tmp_path / "log").episode.tolist() == [0] * 10 + [1] * 10


def test_a_log_without_an_episode_is_not_there(env, tmp_path):
    log = parquet.ParquetLog(tmp_path / "log", env)
    log.start()
    log.finish()
    assert names(tmp_path) == []


def test_what_another_process_left_is_in_no_log(env, tmp_path):
    log = parquet.ParquetLog(tmp_path / "log", env)
    for _ in range(3):
        add_episodes(log, env)
        log.sync()
    del log  # As if its process was killed.
    parquet.ParquetLog(tmp_path / "log", env).finish()
    assert names(tmp_path) == ["log.part"]
    log = parquet.ParquetLog(tmp_path / "log", env)
    add_episodes(log, env)
    log.finish()
    assert names(tmp_path / "log") == ["part-000000.parquet"]
    assert len(recsim.read_episodes(tmp_path / "log")) == 10


def test_a_log_is_never_overwritten(env, tmp_path):
    log = parquet.ParquetLog(tmp_path / "log", env)
    add_episodes(log, env)
    log.finish()
    before = snapshot(tmp_path)
    again = parquet.ParquetLog(tmp_path / "log", env)
    with pytest.raises(FileExistsError, match="path '.*log' exists and would be overwritten"):
        again.start()
    add_episodes(again, env)
    with pytest.raises(FileExistsError, match="exists and would be overwritten"):
        again.finish()
    assert {path: before[path] for path in before} == snapshot(tmp_path / "log")


def test_a_resumed_log_drops_what_came_after_the_checkpoint(env, tmp_path):
    log = parquet.ParquetLog(tmp_path / "log", env)
    add_episodes(log, env)
    log.sync()
    add_episodes(log, env)
    kept = log.sync()
    before = snapshot(tmp_path)
    add_episodes(log, env, 3)
    log.sync()
    add_episodes(log, env)
    log = parquet.ParquetLog(tmp_path / "log", env)
    log.start(kept)
    assert snapshot(tmp_path) == before
    assert log.sync() == kept
    add_episodes(log, env)
    log.finish()
    assert recsim.read_episodes(tmp_path / "log").episode.unique().tolist() == [0, 1, 2]


def test_a_complete_log_continues_if_it_has_what_is_to_be_kept(env, tmp_path):
    log = parquet.ParquetLog(tmp_path / "log", env)
    add_episodes(log, env)
    kept = log.sync()
    add_episodes(log, env)
    log.finish()
    before = snapshot(tmp_path)
    with pytest.raises(FileExistsError, match="would be overwritten"):
        parquet.ParquetLog(tmp_path / "log", env).start()
    assert snapshot(tmp_path) == before
    log = parquet.ParquetLog(tmp_path / "log", env)
    log.start(kept)
    assert names(tmp_path) == ["log.part"]
    assert names(tmp_path / "log.part") == ["part-000000"]
    add_episodes(log, env)
    log.finish()
    assert recsim.read_episodes(tmp_path / "log").episode.tolist() == [0] * 10 + [1] * 10


@pytest.mark.parametrize("complete", [False, True])
@pytest.mark.parametrize("change", ["a byte", "shorter", "longer", "removed"])
def test_a_log_whose_content_changed_is_refused_and_left_alone(change, complete, env, tmp_path):
    log = parquet.ParquetLog(tmp_path / "log", env)
    add_episodes(log, env)
    log.sync()
    add_episodes(log, env)
    kept = log.sync()
    add_episodes(log, env)
    if complete:
        log.finish()
    file = next((tmp_path / ("log" if complete else "log.part")).glob("part-000001*"))
    content = file.read_bytes()
    if change == "removed":
        file.unlink()
    else:
        middle = len(content) // 2
        changed = {
            "a byte": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
            "shorter": content[:-1],
            "longer": content + b"0",
        }
        file.write_bytes(changed[change])
    before = snapshot(tmp_path)
    with pytest.raises(ValueError, match="are not what the run to resume had written: .* Put them"):
        parquet.ParquetLog(tmp_path / "log", env).start(kept)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    "kept", [{}, {"length": -1, "sha256": ""}, {"length": "9", "sha256": ""}, {"length": 3}, 1, "9"]
)
def test_what_no_log_has_returned_is_refused(kept, env, tmp_path):
    with pytest.raises(ValueError, match="kept must be what sync"):
        parquet.ParquetLog(tmp_path / "log", env).start(kept)


def test_files_that_disappear_are_told_of(env, tmp_path):
    log = parquet.ParquetLog(tmp_path / "log", env)
    add_episodes(log, env)
    log.sync()
    (tmp_path / "log.part" / "part-000000").unlink()
    with pytest.raises(OSError, match="were removed while it was written to"):
        log.finish()


def test_a_log_that_is_written_has_no_copies(env, tmp_path):
    log = parquet.ParquetLog(tmp_path / "log", env)
    for make_copy in (copy.deepcopy, lambda log: pickle.loads(pickle.dumps(log))):
        assert make_copy(log).path == log.path
    add_episodes(log, env)
    log.sync()
    for make_copy in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="cannot be copied or pickled any more"):
            make_copy(log)


def test_rows_are_written_in_groups_and_files(env, tmp_path, monkeypatch):
    import pyarrow.parquet as pq

    monkeypatch.setattr(columns, "ROWS_OF_GROUP", 40)
    monkeypatch.setattr(dataset, "ROWS_OF_FILE", 100)
    vector_env = scenarios.make_vector_env(num_envs=11)
    log = parquet.VectorParquetLog(tmp_path / "log", vector_env)
    agent = random_agent.VectorRandomAgent(vector_env)
    rollout.VectorRollout(vector_env, agent, [log]).run_steps(12)
    log.finish()
    files = sorted((tmp_path / "log").iterdir())
    groups = [
        [pq.ParquetFile(file).metadata.row_group(i).num_rows for i in range(count)]
        for file in files
        for count in [pq.ParquetFile(file).metadata.num_row_groups]
    ]
    assert [sum(of_file) for of_file in groups] == [110, 110, 44]
    assert all(max(of_file) <= 44 for of_file in groups)
    frame = recsim.read_episodes(tmp_path / "log")
    assert frame.step.tolist() == np.repeat(np.arange(12), 22).tolist()


# Full disks and killed processes


FULL_DISK = """
    import resource, signal, sys
    from recsim.agents import random_agent
    from recsim.environments import interest_evolution
    from recsim.logs import columns, dataset, parquet
    from recsim.simulator import rollout

    columns.ROWS_OF_GROUP, dataset.ROWS_OF_FILE = 100, 600
    config = dict(num_candidates=4, slate_size=2, resample_documents=True, seed=0)
    env = interest_evolution.create_vector_environment(config, 50)
    log = parquet.VectorParquetLog(sys.argv[1], env)
    episodes = rollout.VectorRollout(env, random_agent.VectorRandomAgent(env), [log])
    episodes.reset()
    for _ in range(7):
        episodes.step()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, -1))  # A file cannot grow beyond this.
    try:
        while True:
            episodes.step()
    except OSError as error:
        print(type(error).__name__, flush=True)
    del log, episodes
"""


@pytest.mark.skipif(os.name != "posix", reason="Limits on files are POSIX")
def test_a_full_disk_is_an_error_and_loses_nothing_that_was_complete(tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(tmp_path / "log")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "OSError\n", "")
    assert names(tmp_path) == ["log.part"]
    assert names(tmp_path / "log.part") == ["part-000000"]  # And nothing half-written.
    complete = pd.read_parquet(tmp_path / "log.part" / "part-000000")
    assert len(complete) == 600


KILLED = """
    import sys
    from recsim.agents import random_agent
    from recsim.environments import interest_evolution
    from recsim.logs import columns, dataset, parquet
    from recsim.simulator import rollout

    columns.ROWS_OF_GROUP, dataset.ROWS_OF_FILE = 500, 20_000
    config = dict(num_candidates=4, slate_size=2, resample_documents=True, seed=0)
    env = interest_evolution.create_vector_environment(config, 50)
    log = parquet.VectorParquetLog(sys.argv[1], env)
    log.start()
    print("writing", flush=True)
    rollout.VectorRollout(env, random_agent.VectorRandomAgent(env), [log]).run_steps(10**9)
"""


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX")
@pytest.mark.parametrize("seconds", [0.0, 0.4, 0.9])
def test_a_killed_process_leaves_nothing_that_passes_for_a_log(seconds, tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        time.sleep(seconds)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert names(tmp_path) == ["log.part"]
    assert list(tmp_path.rglob("*.parquet")) == []
    with pytest.raises(FileNotFoundError, match="none: the run that writes it has not ended"):
        recsim.read_episodes(tmp_path / "log")
    for file in (tmp_path / "log.part").glob("part-*"):  # Files with their names are whole.
        assert len(pd.read_parquet(file)) == 20_000
    # Another process can begin anew, and clears up.
    log = parquet.ParquetLog(tmp_path / "log", scenarios.make_env())
    log.start()
    assert names(tmp_path / "log.part") == []


# Runs


def frames(*folders):
    return [recsim.read_episodes(folder) for folder in folders]


LOGS = {"parquet_log": "impressions", "log_user_state": True}


@pytest.mark.parametrize("scenario", ["exploration", "several_users", "fixed_documents"])
def test_a_resumed_training_ends_with_the_log_of_one_that_was_not_interrupted(scenario, tmp_path):
    agent = "several" if scenario == "several_users" else "random"
    train(tmp_path / "whole", make_env(scenario), agent, **LOGS)
    for iterations in (2, 5, 7):  # Each resumes from a checkpoint, and from a complete log.
        train(tmp_path / "resumed", make_env(scenario), agent, num_iterations=iterations, **LOGS)
    logs = [tmp_path / run / "train" / "impressions" for run in ("whole", "resumed")]
    contents = [{path.name: path.read_bytes() for path in log.iterdir()} for log in logs]
    assert contents[0] == contents[1]
    whole, episodes = frames(logs[0], tmp_path / "whole/train/episodes.tfrecord")
    assert len(whole) == len(episodes) > 500
    assert whole.episode.tolist() == (
        episodes.episode.tolist() if scenario != "several_users" else sorted(whole.episode)
    )


@pytest.mark.parametrize("candidates", ["step", "episode", "shared"])
def test_a_resumed_training_of_users_in_parallel_has_the_same_log(candidates, tmp_path):
    def run(folder, **kwargs):
        env = vector_training_child.create_environment(candidates=candidates)
        vector_training_child.train(folder, env, **LOGS, **kwargs)

    run(tmp_path / "whole")
    for iterations in (1, 4, 6):
        run(tmp_path / "resumed", num_iterations=iterations)
    logs = [tmp_path / run / "train" / "impressions" for run in ("whole", "resumed")]
    contents = [{path.name: path.read_bytes() for path in log.iterdir()} for log in logs]
    assert contents[0] == contents[1]


class Interrupting(random_agent.RandomAgent):
    """Sends its process a signal at some step."""

    steps_left = -1

    def step(self, reward, observation):
        self.steps_left -= 1
        if self.steps_left == 0:
            signal.raise_signal(signal.SIGINT)
        return super().step(reward, observation)


def test_a_training_interrupted_within_an_iteration_has_the_same_rows(tmp_path):
    def run(folder, steps_left):
        def create(sess, environment, eval_mode, summary_writer=None):
            agent = Interrupting(environment.action_space)
            agent.steps_left = steps_left
            return agent

        env = scenarios.make_env()
        train_runner(folder, env, create, max_training_steps=50, **LOGS).run_experiment()

    run(tmp_path / "whole", -1)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "resumed", 72)
    assert not (tmp_path / "resumed/train/impressions").exists()
    run(tmp_path / "resumed", -1)
    whole, resumed = frames(
        *(tmp_path / name / "train/impressions" for name in ("whole", "resumed"))
    )
    assert whole.equals(resumed)


def test_evaluations_log_every_episode(env, tmp_path):
    runner = eval_runner(tmp_path, env, test_mode=True, episode_log_file="log", **LOGS)
    runner.run_experiment()
    ours, theirs = frames(tmp_path / "eval_3/impressions", tmp_path / "eval_3/log")
    assert ours.episode.unique().tolist() == [0, 1, 2]
    for name in ("episode", "step", "position", "candidate", "reward", "truncated"):
        assert ours[name].tolist() == theirs[name].tolist()
    with pytest.raises(FileExistsError, match="parquet_log '.*impressions' exists and would be"):
        eval_runner(tmp_path, env, test_mode=True, **LOGS)


def test_a_checkpoint_of_another_log_is_warned_of(env, tmp_path, caplog):
    train_runner(tmp_path, env, num_iterations=1).run_experiment()
    train_runner(tmp_path, env, num_iterations=2, **LOGS).run_experiment()
    assert "The episode log impressions will hold no episodes before iteration 1" in caplog.text
    assert len(recsim.read_episodes(tmp_path / "train/impressions")) == 40


@pytest.mark.skipif(os.name != "posix", reason="Locks are of POSIX")
def test_another_run_cannot_write_the_same_log(env, tmp_path):
    log = tmp_path / "log"
    other = train_runner(tmp_path / "b", scenarios.make_env(), parquet_log=log)

    class Rival(random_agent.RandomAgent):
        def begin_episode(self, observation):
            with pytest.raises(BlockingIOError, match="Another run is writing"):
                other.run_experiment()
            return super().begin_episode(observation)

    def create(sess, environment, eval_mode, summary_writer=None):
        return Rival(environment.action_space)

    train_runner(tmp_path / "a", env, create, parquet_log=log).run_experiment()
    assert len(recsim.read_episodes(log)) == 80


def test_gin_can_ask_for_a_log(env, tmp_path):
    runner_lib.load_gin_configs([], ["Runner.parquet_log = 'bound'"])
    runner = runner_lib.EvalRunner(
        base_dir=tmp_path,
        create_agent_fn=create_random,
        env=env,
        max_eval_episodes=1,
        test_mode=True,
        max_steps_per_episode=2,
        progress=False,
    )
    runner.run_experiment()
    assert len(recsim.read_episodes(tmp_path / "eval_1/bound")) == 4


def test_a_checkpoint_does_not_hold_shared_documents_for_each_user(tmp_path):
    env = scenarios.make_vector_env(
        "interest_evolution", 500, scenarios.config(resample_documents=False, num_candidates=400)
    )
    log = parquet.VectorParquetLog(tmp_path / "log", env)
    rollout.VectorRollout(env, random_agent.VectorRandomAgent(env), [log]).run_steps(2)
    checkpoint.save(tmp_path / "checkpoint", log.sync())
    assert (tmp_path / "checkpoint").stat().st_size < 1_000_000


# Simulations


def make_simulated(num_envs, first_user, scenario="interest_evolution"):
    return scenarios.make_vector_env(scenario, num_envs, first_user=first_user)


def simulated(log, workers, num_users=4500, **kwargs):
    settings = {"num_steps": 3, "seed": 1, **kwargs}
    return simulate.simulate(
        make_simulated,
        random_agent.VectorRandomAgent,
        num_users,
        workers=workers,
        parquet_log=log,
        **settings,
    )


@pytest.mark.slow
def test_the_log_of_a_simulation_does_not_depend_on_the_number_of_workers(tmp_path):
    for workers in (1, 2, 3):
        simulated(tmp_path / f"log{workers}", workers, log_user_state=True)
    contents = [
        {path.name: path.read_bytes() for path in (tmp_path / f"log{workers}").iterdir()}
        for workers in (1, 2, 3)
    ]
    assert sorted(contents[0]) == [f"part-00000{chunk}.parquet" for chunk in range(3)]
    assert contents[0] == contents[1] == contents[2]
    assert names(tmp_path) == ["log1", "log2", "log3"]


def test_the_log_of_a_simulation_has_its_returns(tmp_path):
    result = simulated(tmp_path / "log", 1, num_steps=None, num_episodes=2)
    frame = recsim.read_episodes(tmp_path / "log")
    first = frame[frame.position == 0]
    returns = first.groupby(["user", "episode"]).reward.sum().unstack()
    np.testing.assert_allclose(returns, result.returns, rtol=1e-5)
    lengths = first.groupby(["user", "episode"]).size().unstack()
    assert (lengths == result.lengths).all(axis=None)
    assert len(frame) == 2 * result.num_steps


def test_a_simulation_that_fails_leaves_no_log(tmp_path):
    def make_agent(env):
        if env.first_user:
            raise RuntimeError("no agent")
        return random_agent.VectorRandomAgent(env)

    with pytest.raises(RuntimeError, match="no agent"):
        simulate.simulate(
            make_simulated,
            make_agent,
            4000,
            num_steps=2,
            workers=1,
            parquet_log=tmp_path / "log",
        )
    assert not (tmp_path / "log").exists()
    simulated(tmp_path / "log", 1, 100)  # Which does away with what that one left.
    assert names(tmp_path) == ["log"]
    assert len(recsim.read_episodes(tmp_path / "log")) == 600


def test_a_simulation_refuses_a_log_that_is_there_before_it_begins(tmp_path):
    (tmp_path / "log").mkdir()
    never = functools.partial(pytest.fail, "an environment was made")
    with pytest.raises(FileExistsError, match="parquet_log '.*log' exists and would be"):
        simulate.simulate(never, never, 10, num_steps=1, parquet_log=tmp_path / "log")
