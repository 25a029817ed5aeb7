"""A training run that is stopped anywhere goes on to the numbers of one that was not."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import random
import signal
import struct
import subprocess
import sys
import time

import numpy as np
import pytest

from recsim import agent as agent_lib
from recsim.agents import (
    cluster_bandit_agent,
    greedy_pctr_agent,
    random_agent,
    tabular_q_agent,
)
from recsim.agents.bandits import algorithms
from recsim.agents.layers import cluster_click_statistics
from recsim.environments import interest_evolution, interest_exploration, long_term_satisfaction
from recsim.simulator import _tfrecord, checkpoint, environment, recsim_gym, runner_lib

CONFIG = {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 4}


def cluster_bandit(env, alg_ctor):
    return cluster_click_statistics.ClusterClickStatsLayer(
        functools.partial(cluster_bandit_agent.ClusterBanditAgent, alg_ctor=alg_ctor),
        env.observation_space,
        env.action_space,
    )


AGENTS = {
    "random": lambda env: random_agent.RandomAgent(env.action_space, random_seed=3),
    "tabular_q": lambda env: tabular_q_agent.TabularQAgent(
        env.observation_space, env.action_space, discretization_bounds=(0.0, 1.0), number_bins=3
    ),
    "ucb1": lambda env: cluster_bandit(env, algorithms.UCB1),
    "thompson": lambda env: cluster_bandit(env, algorithms.ThompsonSampling),
    "greedy": lambda env: greedy_pctr_agent.GreedyPCTRAgent(
        env.action_space, env.environment.user_model.avg_user_state
    ),
}


class FirstDocuments(agent_lib.AbstractMultiUserEpisodicRecommenderAgent):
    """Shows each of several users random documents."""

    def __init__(self, action_space):
        super().__init__(action_space)
        self._rng = np.random.default_rng(3)

    def step(self, reward, observation):
        return [self._rng.permutation(5)[: self._slate_size] for _ in range(self._num_users)]


def several_users():
    def clicks(responses):
        return [float(sum(response.clicked for response in of_one)) for of_one in responses]

    models = [
        long_term_satisfaction.LTSUserModel(
            2,
            user_state_ctor=long_term_satisfaction.LTSUserState,
            response_model_ctor=long_term_satisfaction.LTSResponse,
            seed=seed,
        )
        for seed in (5, 6)
    ]
    documents = long_term_satisfaction.LTSDocumentSampler(seed=7)
    world = environment.MultiUserEnvironment(models, documents, 5, 2)
    return recsim_gym.RecSimGymEnv(world, clicks)


AGENTS["several"] = lambda env: FirstDocuments(env.action_space)
WORLDS = {
    "exploration": lambda: interest_exploration.create_environment(CONFIG),
    "evolution": lambda: interest_evolution.create_environment(CONFIG),
    "satisfaction": lambda: long_term_satisfaction.create_environment(CONFIG),
    "fixed_documents": lambda: interest_evolution.create_environment(
        {**CONFIG, "resample_documents": False}
    ),
    "seeded": lambda: seeded(interest_evolution.create_environment(CONFIG)),
    "several_users": several_users,
}


def seeded(env):
    env.seed(8)
    return env


PAIRS = [
    ("fixed_documents", "random"),
    ("seeded", "random"),
    ("several_users", "several"),
    ("exploration", "random"),
    ("exploration", "ucb1"),
    ("exploration", "thompson"),
    ("exploration", "greedy"),
    ("exploration", "tabular_q"),
    ("evolution", "random"),
    ("satisfaction", "random"),
    ("satisfaction", "tabular_q"),
]


def make_env(world):
    return WORLDS[world]()


def train(base_dir, env, agent, **kwargs):
    settings = {
        "max_training_steps": 40,
        "num_iterations": 7,
        "max_steps_per_episode": 15,
        "episode_log_file": "episodes.tfrecord",
        "progress": False,
        **kwargs,
    }
    runner = runner_lib.TrainRunner(
        base_dir=base_dir,
        create_agent_fn=lambda sess, env, eval_mode, summary_writer: AGENTS[agent](env),
        env=env,
        **settings,
    )
    runner.run_experiment()


def metrics(folder):
    lines = (pathlib.Path(folder) / "metrics.jsonl").read_text().splitlines()
    return [{**json.loads(line), "TimePerStep": None} for line in lines]


def outcome(base_dir):
    """Everything that two runs must have in common: all but the clock's traces."""
    base_dir = pathlib.Path(base_dir)
    checkpoints = base_dir / "train" / "checkpoints"
    return {
        # Equal trees give equal files; of the run's last checkpoints at least one is common.
        "checkpoint": max(
            checkpoints.glob("ckpt.*[0-9]"), key=lambda path: int(path.suffix[1:])
        ).read_bytes(),
        "metrics": [metrics(path.parent) for path in sorted(base_dir.glob("*/metrics.jsonl"))],
        "returns": [path.read_bytes() for path in sorted(base_dir.glob("eval_*/returns_*"))],
        "log": (base_dir / "train" / "episodes.tfrecord").read_bytes(),
        "hidden": list(base_dir.glob("**/.*")) + list(base_dir.glob("**/*.part")),
    }


class StoppingEnv:
    """Behaves as an environment until a step at which it raises."""

    def __init__(self, env, steps):
        self._env = env
        self._steps = steps

    def __getattr__(self, name):
        return getattr(self._env, name)

    def step(self, action):
        self._steps -= 1
        if self._steps < 0:
            raise KeyboardInterrupt
        return self._env.step(action)


@pytest.mark.parametrize("frequency", [1, 3])
@pytest.mark.parametrize(("world", "agent"), PAIRS)
def test_an_interrupted_run_ends_as_an_uninterrupted_one(world, agent, frequency, tmp_path):
    train(tmp_path / "whole", make_env(world), agent, checkpoint_frequency=frequency)
    stopped = 0
    steps = random.Random(f"{world} {agent} {frequency}")
    while True:
        env = StoppingEnv(make_env(world), steps.randrange(60, 160))
        try:
            train(tmp_path / "resumed", env, agent, checkpoint_frequency=frequency)
            break
        except KeyboardInterrupt:
            stopped += 1
    assert stopped >= 1
    assert outcome(tmp_path / "resumed") == outcome(tmp_path / "whole")


def test_a_run_interrupted_in_a_notebook_goes_on_with_the_same_runner(tmp_path):
    train(tmp_path / "whole", make_env("exploration"), "thompson", num_iterations=3)
    for stop_after, name in ((20, "before_a_checkpoint"), (70, "after_a_checkpoint")):
        env = StoppingEnv(make_env("exploration"), stop_after)
        runner = runner_lib.TrainRunner(
            base_dir=tmp_path / name,
            create_agent_fn=lambda sess, env, eval_mode, summary_writer: AGENTS["thompson"](env),
            env=env,
            max_training_steps=40,
            num_iterations=3,
            max_steps_per_episode=15,
            episode_log_file="episodes.tfrecord",
            progress=False,
        )
        with pytest.raises(KeyboardInterrupt):
            runner.run_experiment()
        env._steps = 10**6
        runner.run_experiment()
        assert outcome(tmp_path / name) == outcome(tmp_path / "whole")
        runner.run_experiment()  # Nothing is left to do, and nothing changes.
        assert outcome(tmp_path / name) == outcome(tmp_path / "whole")


def test_a_longer_run_continues_a_finished_one(tmp_path):
    train(tmp_path / "whole", make_env("exploration"), "ucb1", episode_log_file="")
    for iterations in (2, 7):
        train(
            tmp_path / "longer",
            make_env("exploration"),
            "ucb1",
            num_iterations=iterations,
            episode_log_file="",
        )
    newest = [
        checkpoint.Checkpointer(tmp_path / name / "train/checkpoints").path(6)
        for name in ("longer", "whole")
    ]
    assert pathlib.Path(newest[0]).read_bytes() == pathlib.Path(newest[1]).read_bytes()
    assert metrics(tmp_path / "longer/train") == metrics(tmp_path / "whole/train")


def test_a_bad_newest_checkpoint_is_passed_over(tmp_path, caplog):
    train(tmp_path / "whole", make_env("exploration"), "thompson")
    env = StoppingEnv(make_env("exploration"), 200)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "resumed", env, "thompson")
    checkpointer = checkpoint.Checkpointer(tmp_path / "resumed/train/checkpoints")
    newest = pathlib.Path(checkpointer.path(checkpointer.iterations()[-1]))
    newest.write_bytes(newest.read_bytes()[:1000])
    train(tmp_path / "resumed", make_env("exploration"), "thompson")
    assert "Passing over a bad checkpoint" in caplog.text
    assert outcome(tmp_path / "resumed") == outcome(tmp_path / "whole")


def test_without_a_good_checkpoint_nothing_starts_afresh(tmp_path):
    train(tmp_path, make_env("exploration"), "random", num_iterations=2, episode_log_file="")
    for path in (tmp_path / "train/checkpoints").iterdir():
        path.write_bytes(b"")
    with pytest.raises(checkpoint.CheckpointError, match="No checkpoint in .* is good"):
        train(tmp_path, make_env("exploration"), "random", episode_log_file="")


def whole_records(path):
    """Returns the records of a TFRecord file, checked, and the bytes of a cut one at its end."""
    content, records = path.read_bytes(), []
    while len(content) >= 12:
        (length,) = struct.unpack("<Q", content[:8])
        if len(content) < length + 16:
            break
        framed, content = content[: length + 16], content[length + 16 :]
        assert framed == _tfrecord._record(framed[12:-4])
        records.append(framed[12:-4])
    return records, content


def check_files_of_a_killed_run(base_dir):
    """Every file is whole, but for the unfinished log after what the newest checkpoint counts."""
    train_dir = base_dir / "train"
    checkpointer = checkpoint.Checkpointer(train_dir / "checkpoints")
    trees = [checkpoint.load(checkpointer.path(i)) for i in checkpointer.iterations()]
    assert len(trees) <= 4  # A new one may be there before the oldest is gone.
    if (train_dir / "metrics.jsonl").exists():
        assert metrics(train_dir)
    for path in train_dir.glob("events*"):
        assert whole_records(path)[1] == b""
    part = train_dir / "episodes.tfrecord.part"
    if trees:
        length = trees[-1]["episode_logs"]["episodes.tfrecord"]["length"]
        os.truncate(part, length)
        assert whole_records(part)[1] == b""
        assert whole_records(part)[0]


def start_training(base_dir, world, iterations=200):
    child = pathlib.Path(__file__).with_name("training_child.py")
    process = subprocess.Popen(
        [sys.executable, str(child), str(base_dir), world, str(iterations)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "training\n"
    return process


def finish(process):
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert output == "done\n"


def train_and_evaluate(base_dir, evaluation_env, eval_log=""):
    """A script: a training with a log, then an evaluation."""
    train(base_dir, make_env("exploration"), "thompson", num_iterations=2)
    runner_lib.EvalRunner(
        base_dir=base_dir,
        create_agent_fn=lambda sess, env, eval_mode, summary_writer: AGENTS["thompson"](env),
        env=evaluation_env,
        max_eval_episodes=3,
        max_steps_per_episode=15,
        episode_log_file=eval_log,
        test_mode=True,
        progress=False,
    ).run_experiment()


@pytest.mark.parametrize("eval_log", ["", "evaluated.tfrecord"])
def test_a_script_interrupted_in_its_evaluation_can_be_run_again(eval_log, tmp_path, caplog):
    train_and_evaluate(tmp_path / "whole", make_env("exploration"), eval_log)
    env = StoppingEnv(make_env("exploration"), 20)
    with pytest.raises(KeyboardInterrupt):
        train_and_evaluate(tmp_path / "resumed", env, eval_log)
    log = tmp_path / "resumed/train/episodes.tfrecord"
    before = log.read_bytes()
    train_and_evaluate(tmp_path / "resumed", make_env("exploration"), eval_log)
    assert "Nothing to train" in caplog.text
    assert log.read_bytes() == before
    assert outcome(tmp_path / "resumed") == outcome(tmp_path / "whole")
    if eval_log:
        paths = [tmp_path / name / "eval_3" / eval_log for name in ("resumed", "whole")]
        assert paths[0].read_bytes() == paths[1].read_bytes()
        with pytest.raises(FileExistsError, match="would be overwritten"):
            train_and_evaluate(tmp_path / "resumed", make_env("exploration"), eval_log)


def test_a_longer_run_continues_the_log_of_a_finished_one(tmp_path):
    train(tmp_path / "whole", make_env("exploration"), "random")
    for iterations in (2, 7):
        train(tmp_path / "longer", make_env("exploration"), "random", num_iterations=iterations)
    logs = [tmp_path / name / "train/episodes.tfrecord" for name in ("longer", "whole")]
    assert logs[0].read_bytes() == logs[1].read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX")
@pytest.mark.parametrize("world", ["exploration", "satisfaction"])
def test_kill_9_at_random_moments(world, tmp_path):
    kills_wanted = 5  # For each of the two worlds.
    finish(start_training(tmp_path / "warm_up", world))
    begin = time.monotonic()
    finish(start_training(tmp_path / "whole", world))
    duration = time.monotonic() - begin
    expected = outcome(tmp_path / "whole")
    assert len(expected["returns"]) == 1
    assert len(expected["metrics"]) == 2

    moments = random.Random(f"kill {world}")
    kills, runs = 0, 0
    while kills < kills_wanted:
        base_dir = tmp_path / f"killed_{runs}"
        runs += 1
        while kills < kills_wanted:
            process = start_training(base_dir, world)
            time.sleep(moments.uniform(0.0, 0.3 * duration))
            process.kill()
            process.communicate()
            if (base_dir / "train" / "episodes.tfrecord").exists():
                break  # The training had ended: on to another run.
            assert process.returncode == -signal.SIGKILL
            check_files_of_a_killed_run(base_dir)
            kills += 1
        else:
            finish(start_training(base_dir, world))
            assert outcome(base_dir) == expected
