"""Trainings whose users are simulated by workers, beside those of one process."""

from __future__ import annotations

import concurrent.futures
import os
import signal

import numpy as np
import pytest
from support import trainings

from recsim import parallel
from recsim._internal import interrupts
from recsim.agents import random_agent, slate_decomp_q_agent
from recsim.environments import interest_evolution
from recsim.simulator import rollout, runner_lib
from recsim.vector import rollouts, wrappers


@pytest.fixture
def threads():
    with concurrent.futures.ThreadPoolExecutor(3) as executor:
        yield executor


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What a training in this process leaves."""
    folder = tmp_path_factory.mktemp("expected")
    trainings.runner(folder).run_experiment()
    return trainings.left_by(folder)


def trained(folder, workers, **settings):
    trainings.runner(folder, workers, **settings).run_experiment()
    return trainings.left_by(folder)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_synchronous_workers_leave_what_one_process_does(workers, threads, expected, tmp_path):
    found = trained(tmp_path, rollouts.RolloutWorkers(workers, threads))
    trainings.assert_equal(found, expected)
    assert expected["checkpoint"]["agent"]["num_updates"] > 20


@pytest.mark.parametrize("learner", ["ppo", "reinforce"])
def test_policies_that_learn_from_their_own_slates(learner, threads, tmp_path):
    expected = trained(tmp_path / "here", None, learner=learner)
    assert expected["checkpoint"]["agent"]["num_updates"] == 6
    for number in (1, 3):
        workers = rollouts.RolloutWorkers(number, threads)
        found = trained(tmp_path / str(number), workers, learner=learner)
        trainings.assert_equal(found, expected)
    for iterations, workers in ((1, None), (2, rollouts.RolloutWorkers(2)), (3, None)):
        settings = {"learner": learner, "iterations": iterations}
        trainings.runner(tmp_path / "both", workers, **settings).run_experiment()
    trainings.assert_equal(trainings.left_by(tmp_path / "both"), expected)


def test_processes_of_this_machine_and_one_of_them_killed(expected, tmp_path):
    marker = tmp_path / "killed"
    found = trained(tmp_path, rollouts.RolloutWorkers(2), kill=marker)
    assert marker.exists()
    trainings.assert_equal(found, expected)


def test_a_training_resumes_with_workers_and_without(threads, expected, tmp_path):
    workers = rollouts.RolloutWorkers(2, threads)
    trainings.runner(tmp_path, iterations=1).run_experiment()
    trainings.runner(tmp_path, workers, iterations=2).run_experiment()
    trainings.runner(tmp_path, iterations=3).run_experiment()
    trainings.assert_equal(trainings.left_by(tmp_path), expected)


class Interrupting(rollout.VectorListener):
    """Sends Ctrl-C in a step."""

    def __init__(self, step: int) -> None:
        self.left = step

    def on_step(self, step: rollout.VectorStep) -> None:
        self.left -= 1
        if not self.left:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("staleness", [0, 3])
def test_it_resumes_after_an_interrupt(staleness, threads, expected, tmp_path):
    workers = rollouts.RolloutWorkers(3, threads, staleness=staleness)
    if staleness:
        expected = trained(tmp_path / "whole", workers)
    with pytest.raises(KeyboardInterrupt), interrupts.terminable():
        trainings.runner(tmp_path / "a", workers, listeners=[Interrupting(6)]).run_experiment()
    saved = (tmp_path / "a" / "train" / "checkpoints" / "ckpt.interrupted").exists()
    assert saved == (not staleness)
    trainings.assert_equal(trained(tmp_path / "a", workers), expected)


@pytest.mark.parametrize("staleness", [1, 2, 4])
def test_stale_results_depend_on_the_staleness_alone(staleness, threads, expected, tmp_path):
    found = [
        trained(tmp_path / str(n), rollouts.RolloutWorkers(n, threads, staleness=staleness))
        for n in (1, 3)
    ]
    trainings.assert_equal(*found)
    # The first steps, which are chosen by the same network, are the same; later ones are not.
    weights = [each["checkpoint"]["agent"]["online_network"][0] for each in (found[0], expected)]
    assert not np.array_equal(*weights)
    for each in (found[0], expected):
        steps = each["checkpoint"]["agent"]["training_steps"]
        assert steps == expected["checkpoint"]["agent"]["training_steps"]


@pytest.mark.parametrize(("staleness", "most"), [(0, 0), (1, 1), (2, 1), (3, 3), (5, 5)])
def test_slates_lack_the_updates_of_so_many_steps(staleness, most, threads, tmp_path, monkeypatch):
    agent_class = slate_decomp_q_agent.VectorSlateDecompQAgent
    learn, recommend, instructions = (
        getattr(agent_class, name) for name in ("learn", "recommend", "instructions")
    )
    lags = []
    # The first slates are chosen when the agent has learned from nothing, and the next ones, where
    # nobody is ahead, when it has learned from one step.
    count = {"chosen": 1, "learned": 0}

    def counted_learn(self, *arguments):
        count["learned"] += 1
        learn(self, *arguments)

    def counted_recommend(self, *arguments):
        count["chosen"] += 1
        return recommend(self, *arguments)

    def counted_instructions(self, num_steps, steps_ahead):
        for _ in range(num_steps):
            lags.append(count["chosen"] - count["learned"])
            count["chosen"] += 1
        return instructions(self, num_steps, steps_ahead)

    monkeypatch.setattr(agent_class, "learn", counted_learn)
    monkeypatch.setattr(agent_class, "recommend", counted_recommend)
    monkeypatch.setattr(agent_class, "instructions", counted_instructions)
    workers = rollouts.RolloutWorkers(2, threads, staleness=staleness)
    trainings.runner(tmp_path, workers, iterations=1, steps=12).run_experiment()
    assert max(lags) == most


def test_episode_logs_are_the_same(threads, tmp_path):
    for name, workers in (("here", None), ("there", rollouts.RolloutWorkers(2, threads))):
        trained(tmp_path / name, workers, parquet_log="log")
    here, there = (
        [path.read_bytes() for path in sorted((tmp_path / name / "train" / "log").iterdir())]
        for name in ("here", "there")
    )
    assert here == there and here


def test_candidates_that_all_users_share(threads, tmp_path):
    def run(workers):
        config = {**trainings.CONFIG, "resample_documents": False}
        env = interest_evolution.create_vector_environment(config, num_envs=2100)
        agent = trainings.runner(tmp_path / "unused")._create_agent_fn(
            None, env, eval_mode=False, summary_writer=None
        )
        if workers is None:
            elsewhere = rollout.VectorRollout(env, agent)
        else:
            elsewhere = workers.rollout(env, agent)
        elsewhere.reset(seed=1)
        elsewhere.plan(5)
        for _ in range(5):
            elsewhere.step()
        elsewhere.settle()
        return {"env": env.state_dict(), "agent": agent.state_dict(), **elsewhere.state_dict()}

    here = run(None)
    workers = rollouts.RolloutWorkers(2, threads)
    with workers.connected():
        trainings.assert_equal(run(workers), here)


def test_an_error_of_the_scenarios_own_is_raised_and_not_tried_again(threads, tmp_path):
    runner = trainings.runner(tmp_path, rollouts.RolloutWorkers(2, threads))

    def respond(*arguments):
        raise LookupError("of the scenario's own")

    runner._env.user_model.respond = respond
    with pytest.raises(LookupError, match="of the scenario's own"):
        runner.run_experiment()


def kill(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_ends_again_and_again_is_given_up(tmp_path):
    runner = trainings.runner(tmp_path, rollouts.RolloutWorkers(1))
    runner._env.user_model.respond = kill
    with pytest.raises(parallel.TaskError, match="rollout worker 0 has ended 3 times"):
        runner.run_experiment()


def test_users_who_are_elsewhere_are_not_asked_for(threads):
    env = interest_evolution.create_vector_environment(trainings.CONFIG, num_envs=10)
    env.reset(seed=0)
    states = [chunk.state_dict() for chunk in env.lend_chunks()]
    for call in (env.user_states, env.state_dict, env.reset, env.lend_chunks):
        with pytest.raises(RuntimeError, match="while the users are simulated elsewhere"):
            call()
    with pytest.raises(RuntimeError, match="step was called while the users"):
        env.step(np.zeros((10, 2), np.int64))
    env.take_chunks_back(states)
    env.state_dict()
    env.lend_chunks()
    env.reset(seed=1)  # New users.
    env.state_dict()


def test_it_needs_a_plan_and_a_connection(threads, tmp_path):
    runner = trainings.runner(tmp_path)
    workers = rollouts.RolloutWorkers(2, threads)
    with pytest.raises(RuntimeError, match=r"in a block of connected\(\) alone"):
        workers.rollout(runner._env, runner._agent)
    with workers.connected():
        elsewhere = workers.rollout(runner._env, runner._agent)
        elsewhere.reset(seed=0)
        with pytest.raises(RuntimeError, match=r"Say by plan\(\) how many steps"):
            elsewhere.step()


def vector_env(**settings):
    return interest_evolution.create_vector_environment(
        trainings.CONFIG, **{"num_envs": 2100, **settings}
    )


def refused_env(kind):
    if kind == "single":
        return interest_evolution.create_environment(trainings.CONFIG)
    if kind == "wrapped":
        return wrappers.SingleUserEnvs([interest_evolution.create_environment(trainings.CONFIG)])
    return vector_env(**({"autoreset_mode": "DISABLED"} if kind == "disabled" else {}))


@pytest.mark.parametrize(
    ("kind", "workers", "error", "message"),
    [
        ("single", rollouts.RolloutWorkers(1), TypeError, "need a RecSimVectorEnv without"),
        ("wrapped", rollouts.RolloutWorkers(1), TypeError, "need a RecSimVectorEnv without"),
        ("disabled", rollouts.RolloutWorkers(1), ValueError, "in autoreset_mode SAME_STEP"),
        ("random", rollouts.RolloutWorkers(1), TypeError, "learns from slates .* VectorRandom"),
        ("slate_q", rollouts.RolloutWorkers(3), ValueError, "at most 2 for 2,100 users, got 3"),
        ("slate_q", 2, TypeError, "rollout_workers must be a .*RolloutWorkers, got 2"),
        (
            "ppo",
            rollouts.RolloutWorkers(2, staleness=1),
            ValueError,
            "staleness must be 0 for VectorPPOAgent, .* got 1",
        ),
    ],
)
def test_what_is_refused(kind, workers, error, message, tmp_path):
    def create_agent(_, env, **arguments):
        if kind == "single":
            return random_agent.RandomAgent(env.action_space)
        if kind in ("random", "wrapped"):
            return random_agent.VectorRandomAgent(env)
        learner = "ppo" if kind == "ppo" else "slate_q"
        runner = trainings.runner(tmp_path / "unused", learner=learner)
        return runner._create_agent_fn(None, env, **arguments)

    with pytest.raises(error, match=message):
        runner_lib.TrainRunner(
            base_dir=tmp_path / "run",
            create_agent_fn=create_agent,
            env=refused_env(kind),
            rollout_workers=workers,
            progress=False,
        )


def test_hidden_states_cannot_be_logged(threads, tmp_path):
    workers = rollouts.RolloutWorkers(2, threads)
    with pytest.raises(ValueError, match="log_user_state must be False with rollout_workers"):
        trainings.runner(tmp_path, workers, parquet_log="log", log_user_state=True)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"workers": 0}, ValueError, "workers must be an integer >= 1, got 0"),
        ({"workers": 1.5}, TypeError, "workers must be an integer"),
        ({"workers": 1, "staleness": -1}, ValueError, "staleness must be an integer >= 0, got -1"),
        ({"workers": 1, "staleness": "a"}, TypeError, "staleness must be an integer"),
    ],
)
def test_arguments_that_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        rollouts.RolloutWorkers(**arguments)


def test_a_backend_that_is_not_there_is_told_of_when_it_is_connected(tmp_path):
    runner = trainings.runner(tmp_path, rollouts.RolloutWorkers(2, "dusk"))
    with pytest.raises(ValueError, match="Did you mean 'dask'"):
        runner.run_experiment()
