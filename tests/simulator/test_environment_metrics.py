"""Metrics of environments of users' own: their tags, and what a signal leaves of them."""

from __future__ import annotations

import os
import re
import signal

import pytest
from support.resumable import SignallingEnv, signal_in_step
from support.runners import records, train_runner
from support.scenarios import CONFIG

from recsim import utils
from recsim._internal import interrupts
from recsim.agents import random_agent
from recsim.environments import interest_exploration
from recsim.simulator import recsim_gym
from recsim.vector import env as vector_env

posix = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")


def count_slates(responses, metrics, info):
    metrics["slates"] += 1
    return metrics


def write_slates(metrics, add):
    add("slates", metrics["slates"])


def make(aggregator=count_slates, writer=write_slates, env_class=recsim_gym.RecSimGymEnv):
    env = interest_exploration.create_environment(CONFIG)
    return env_class(env.environment, interest_exploration.total_clicks_reward, aggregator, writer)


class CountsByItself(recsim_gym.RecSimGymEnv):
    def reset_metrics(self):
        super().reset_metrics()
        self.slates = 0

    def update_metrics(self, responses, info=None):
        super().update_metrics(responses, info)
        self.slates += 1

    def write_metrics(self, add_summary_fn):
        add_summary_fn("slates", self.slates)


class ReportsOnly(recsim_gym.RecSimGymEnv):
    slates = 0

    def reset(self):
        self.slates += 1
        return super().reset()

    def write_metrics(self, add_summary_fn):
        add_summary_fn("slates", self.slates)
        self.slates = 0


class Counter:
    slates = 0

    def count(self, responses, metrics, info):
        self.slates += 1
        return metrics

    def write(self, metrics, add):
        add("slates", self.slates)
        self.slates = 0


def counting_object():
    counter = Counter()
    return make(counter.count, counter.write)


def counting_closure():
    slates = [0]

    def count(responses, metrics, info):
        slates[0] += 1
        return metrics

    def write(metrics, add):
        add("slates", slates[0])
        slates[0] = 0

    return make(count, write)


class Number:
    value = 0


def count_in_an_object(responses, metrics, info):
    metrics["number"] = metrics["number"] or Number()
    metrics["number"].value += 1
    return metrics


def write_number(metrics, add):
    add("slates", metrics["number"].value)


def train(folder, env):
    train_runner(folder, env).run_experiment()


def untimed(folder):
    return [{**record, "TimePerStep": None} for record in records(folder / "train")]


@posix
@pytest.mark.parametrize(
    ("create", "reason"),
    [
        (lambda: make(env_class=CountsByItself), "CountsByItself.update_metrics is not the"),
        (lambda: make(env_class=ReportsOnly), "ReportsOnly.write_metrics is not the library's"),
        (counting_object, "metrics_aggregator is not a function but <bound method"),
        (counting_closure, "metrics_aggregator shares variables"),
        (lambda: make(count_in_an_object, write_number), r"metrics\.number cannot go into"),
    ],
)
def test_metrics_that_cannot_be_saved_do_not_resume_in_an_iteration(
    create, reason, tmp_path, caplog
):
    train(tmp_path / "whole", create())
    with pytest.raises(interrupts.Terminated), interrupts.terminable():
        train(tmp_path / "resumed", SignallingEnv(create(), 25))
    assert os.listdir(tmp_path / "resumed/train/checkpoints") == ["ckpt.0"]
    (warning,) = [each for each in caplog.messages if "ends without a checkpoint" in each]
    assert "of iteration 1" in warning
    caplog.clear()
    assert re.search(reason, warning)
    train(tmp_path / "resumed", create())
    assert untimed(tmp_path / "resumed") == untimed(tmp_path / "whole")


@posix
@pytest.mark.parametrize(
    "create",
    [
        make,
        lambda: make(utils.aggregate_video_cluster_metrics, utils.write_video_cluster_metrics),
        lambda: interest_exploration.create_environment(CONFIG),
    ],
)
def test_metrics_by_their_names_resume_in_an_iteration(create, tmp_path):
    train(tmp_path / "whole", create())
    with pytest.raises(interrupts.Terminated), interrupts.terminable():
        train(tmp_path / "resumed", SignallingEnv(create(), 25))
    assert (tmp_path / "resumed/train/checkpoints/ckpt.interrupted").exists()
    train(tmp_path / "resumed", create())
    assert untimed(tmp_path / "resumed") == untimed(tmp_path / "whole")


@posix
def test_what_was_interrupted_with_other_metrics_is_passed_over(tmp_path, caplog):
    with pytest.raises(interrupts.Terminated), interrupts.terminable():
        train(tmp_path, SignallingEnv(make(), 25))
    train(tmp_path, make(env_class=CountsByItself))
    assert "CountsByItself.update_metrics is not the library's" in caplog.text
    assert [record["slates"] for record in records(tmp_path / "train")] == [20, 20]


class SignalsInStep3(vector_env.RecSimVectorEnv):
    steps = 0

    def step(self, actions):
        self.steps += 1
        if self.steps == 3:
            signal.raise_signal(signal.SIGTERM)
        return super().step(actions)


class CountsSteps(SignalsInStep3):
    @property
    def metrics(self):
        return {**super().metrics, "steps": self.steps}


def users_in_parallel(env_class, metrics_aggregator=None):
    parts = interest_exploration.create_vector_environment(CONFIG, 2).scenario
    return env_class(
        parts.user_model,
        parts.document_sampler,
        parts.num_candidates,
        parts.slate_size,
        2,
        parts.reward_aggregator,
        metrics_aggregator,
    )


def counting_users_in_parallel():
    slates = []

    def count(responses):
        slates.append(2.0)
        return {"slates": sum(slates)}

    return users_in_parallel(SignalsInStep3, count)


@posix
@pytest.mark.parametrize(
    ("create", "reason"),
    [
        (lambda: users_in_parallel(CountsSteps), "CountsSteps.metrics is not the library's"),
        (counting_users_in_parallel, "metrics_aggregator shares variables"),
    ],
)
def test_metrics_of_users_in_parallel_that_are_kept_elsewhere(create, reason, tmp_path, caplog):
    runner = train_runner(
        tmp_path,
        create(),
        lambda sess, env, eval_mode, summary_writer: random_agent.VectorRandomAgent(env),
    )
    with pytest.raises(interrupts.Terminated), interrupts.terminable():
        runner.run_experiment()
    assert reason in caplog.text
    assert not (tmp_path / "train/checkpoints/ckpt.interrupted").exists()


@posix
def test_users_in_parallel_resume_with_fewer_steps_than_they_made(tmp_path):
    def train_in_parallel(max_training_steps, env=None):
        train_runner(
            tmp_path,
            env or interest_exploration.create_vector_environment(CONFIG, 10),
            lambda sess, env, eval_mode, summary_writer: random_agent.VectorRandomAgent(env),
            max_training_steps=max_training_steps,
        ).run_experiment()

    env = interest_exploration.create_vector_environment(CONFIG, 10)
    signal_in_step(env, 30)
    with pytest.raises(interrupts.Terminated), interrupts.terminable():
        train_in_parallel(1000, env)
    train_in_parallel(100)
    first, second = records(tmp_path / "train")
    assert (first["total_steps"], first["episodes"], first["TimePerStep"]) == (300, 30, None)
    assert (second["total_steps"], second["episodes"]) == (400, 10)
    assert second["TimePerStep"] > 0


@pytest.mark.parametrize(
    "tag",
    [
        "total_steps",
        "episodes",
        "TimePerStep",
        "AverageEpisodeLength",
        "AverageEpisodeRewards",
        "StdEpisodeRewards",
    ],
)
def test_metrics_of_an_environment_do_not_replace_those_of_the_runner(tag, tmp_path):
    runner = train_runner(tmp_path, make(writer=lambda metrics, add: add(tag, 1.0)))
    with pytest.raises(ValueError, match=f"must not report a metric '{tag}'.*another tag"):
        runner.run_experiment()
    assert not (tmp_path / "train/metrics.jsonl").exists()


def test_tags_are_strings(tmp_path):
    runner = train_runner(tmp_path, make(writer=lambda metrics, add: add(3, 1.0)))
    with pytest.raises(TypeError, match="a string as its tag, got 3"):
        runner.run_experiment()


def test_infinite_metrics_are_null(tmp_path):
    env = make(writer=lambda metrics, add: add("rate", float("inf")))
    train(tmp_path, env)
    assert [record["rate"] for record in records(tmp_path / "train")] == [None, None]
