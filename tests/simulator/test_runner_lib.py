"""Runners: what they run, what they write, what they refuse."""

from __future__ import annotations

import ast
import json
import logging
import os
import pathlib
import subprocess
import sys
import threading

import gin
import numpy as np
import pytest

from recsim import agent as agent_lib
from recsim._gym import spaces
from recsim.agents import random_agent
from recsim.environments import interest_exploration, long_term_satisfaction
from recsim.simulator import _files, checkpoint, environment, recsim_gym, runner_lib

CONFIG = {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 4}


@pytest.fixture(autouse=True)
def no_configuration():
    yield
    with gin.unlock_config():
        gin.clear_config()


@pytest.fixture
def env():
    return interest_exploration.create_environment(CONFIG)


def create_random(sess, environment, eval_mode, summary_writer=None):
    return random_agent.RandomAgent(environment.action_space, random_seed=1)


def train_runner(base_dir, env, create_agent=create_random, **kwargs):
    settings = {
        "max_training_steps": 20,
        "num_iterations": 2,
        "max_steps_per_episode": 10,
        "progress": False,
        **kwargs,
    }
    return runner_lib.TrainRunner(
        base_dir=base_dir, create_agent_fn=create_agent, env=env, **settings
    )


def eval_runner(base_dir, env, create_agent=create_random, **kwargs):
    settings = {
        "max_eval_episodes": 3,
        "max_steps_per_episode": 10,
        "min_interval_secs": 0.01,
        "timeout_secs": 0.2,
        "progress": False,
        **kwargs,
    }
    return runner_lib.EvalRunner(
        base_dir=base_dir, create_agent_fn=create_agent, env=env, **settings
    )


def returns(path):
    return ast.literal_eval(pathlib.Path(path).read_text())


def records(folder):
    lines = (pathlib.Path(folder) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def snapshot(folder):
    return {path: path.read_bytes() for path in pathlib.Path(folder).rglob("*") if path.is_file()}


class ScriptedEnv:
    """Episodes with given rewards; the last of them ends with ``done`` where it says so."""

    environment = None
    sampler_resets = 0

    def __init__(self, *episodes):
        self._episodes = list(episodes)
        self._counted = 0
        self.action_space = spaces.MultiDiscrete([2])

    def reset(self):
        self._rewards, self._ends = self._episodes.pop(0)
        self._rewards = list(self._rewards)
        return {"user": None, "doc": {}, "response": None}

    def step(self, action):
        reward = self._rewards.pop(0)
        done = self._ends and not self._rewards
        return {"user": None, "doc": {}, "response": (reward,)}, reward, done, {"action": action}

    def reset_sampler(self):
        self.sampler_resets += 1

    def reset_metrics(self):
        self._counted = 0

    def update_metrics(self, responses, info):
        assert set(info) == {"action"}
        self._counted += responses[0]

    def write_metrics(self, add_summary):
        add_summary("Counted", self._counted)


class RecordingAgent(agent_lib.AbstractEpisodicRecommenderAgent):
    """Notes what it is told."""

    def __init__(self, action_space):
        super().__init__(action_space)
        self.told = []

    def begin_episode(self, observation=None):
        self.told.append("begin")
        return super().begin_episode(observation)

    def step(self, reward, observation):
        self.told.append(reward)
        return [0]

    def end_episode(self, reward, observation=None, *, truncated=False):
        self.told.append(("end", reward, truncated))


def test_the_agent_is_told_of_every_reward_and_of_ends_and_cut_offs(tmp_path):
    env = ScriptedEnv(([1, 2, 3], True), ([4, 5, 6, 7, 8], True))
    agents = []

    def create_agent(*args, **kwargs):
        agents.append(RecordingAgent(env.action_space))
        return agents[-1]

    runner = eval_runner(
        tmp_path, env, create_agent, max_eval_episodes=2, max_steps_per_episode=4, test_mode=True
    )
    runner.run_experiment()
    assert agents[0].told == [
        *["begin", 0, 1, 2, ("end", 3, False)],
        *["begin", 0, 4, 5, 6, ("end", 7, True)],
    ]
    assert returns(tmp_path / "eval_2/returns_0") == [6.0, 22.0]


def test_an_episode_that_ends_at_the_limit_ends_and_is_not_cut_off(tmp_path):
    env = ScriptedEnv(([1, 2], True))
    agent = RecordingAgent(env.action_space)
    runner = eval_runner(tmp_path, env, lambda *args, **kwargs: agent, max_steps_per_episode=2)
    runner._initialize_metrics()
    assert runner._run_one_episode() == (2, 3.0)
    assert agent.told[-1] == ("end", 2, False)
    assert runner._stats["episode_length"] == [2]
    assert runner._stats["episode_reward"] == [3.0]


def test_the_metrics_are_those_of_the_episodes(tmp_path):
    env = ScriptedEnv(([1, 2, 3], True), ([10], True), ([4, 4], True), ([1, 1], True))
    train_runner(
        tmp_path,
        env,
        lambda *args, **kwargs: RecordingAgent(env.action_space),
        max_training_steps=4,
    ).run_experiment()
    first, second = records(tmp_path / "train")
    assert first.pop("TimePerStep") > 0
    assert first == {
        "total_steps": 4,
        "episodes": 2,
        "AverageEpisodeLength": 2.0,
        "AverageEpisodeRewards": 8.0,
        "StdEpisodeRewards": 2.0,
        "Counted": 16.0,
    }
    assert second["total_steps"] == 8
    assert second["AverageEpisodeRewards"] == 5.0
    assert second["Counted"] == 10.0


def test_training_writes_the_documented_files(tmp_path, env):
    train_runner(tmp_path, env, num_iterations=5, keep_checkpoints=2).run_experiment()
    (events,) = (tmp_path / "train").glob("events.out.tfevents.*")
    files = {str(path.relative_to(tmp_path)) for path in snapshot(tmp_path)}
    assert files == {
        "train/metrics.jsonl",
        "train/checkpoints/ckpt.3",
        "train/checkpoints/ckpt.4",
        f"train/{events.name}",
    }
    assert [record["total_steps"] for record in records(tmp_path / "train")] == [
        20 * (i + 1) for i in range(5)
    ]
    assert {"CTR", "AverageQuality", "cluster_watch_count_frac/no_click"} <= set(
        records(tmp_path / "train")[0]
    )


def test_checkpoints_come_at_their_frequency_and_at_the_end(tmp_path, env):
    train_runner(
        tmp_path, env, num_iterations=6, checkpoint_frequency=2, keep_checkpoints=9
    ).run_experiment()
    checkpointer = checkpoint.Checkpointer(tmp_path / "train/checkpoints")
    assert checkpointer.iterations() == [0, 2, 4, 5]
    finished = [checkpoint.load(checkpointer.path(i))["finished"] for i in (0, 2, 4, 5)]
    assert finished == [False, False, False, True]


def test_create_agent_fn_is_called_as_in_recsim(tmp_path, env):
    calls = []

    def create_agent(sess, environment, eval_mode, summary_writer=None):
        summary_writer.add_scalar("own/tag", 1.0, 3)
        calls.append((sess, environment is env, eval_mode))
        return create_random(sess, environment, eval_mode)

    train_runner(tmp_path, env, create_agent)
    eval_runner(tmp_path, env, create_agent)
    assert calls == [(None, True, False), (None, True, True)]


def test_the_tutorials_runner(tmp_path, env):
    runner = runner_lib.EvalRunner(
        base_dir=tmp_path,
        create_agent_fn=create_random,
        env=env,
        max_eval_episodes=1,
        max_steps_per_episode=5,
        test_mode=True,
    )
    runner.run_experiment()
    (episode_return,) = returns(tmp_path / "eval_1/returns_0")
    assert 0 <= episode_return <= 10
    assert records(tmp_path / "eval_1")[0]["total_steps"] == 0


def test_protected_methods_can_be_overridden_as_in_recsim(tmp_path, env):
    class MyRunner(runner_lib.TrainRunner):
        def _run_one_episode(self):
            steps, total = super()._run_one_episode()
            self._stats["mine"] = self._stats.get("mine", 0) + 1
            return steps, total

        def _run_train_phase(self, total_steps):
            return super()._run_train_phase(total_steps) + 1000

        def _write_metrics(self, step, suffix):
            assert suffix == "train"
            assert self._stats["mine"] == 2
            assert os.path.isdir(self._output_dir)
            assert os.path.isdir(self._checkpoint_dir)
            super()._write_metrics(step, suffix)

    runner = MyRunner(
        base_dir=tmp_path,
        create_agent_fn=create_random,
        env=env,
        max_training_steps=20,
        num_iterations=2,
        max_steps_per_episode=10,
        progress=False,
    )
    runner.run_experiment()
    newest = checkpoint.Checkpointer(tmp_path / "train/checkpoints").load_newest()[1]
    assert newest["total_steps"] == 2040
    assert newest["agent"]["episode_num"] == 4


# Evaluation


def test_evaluations_do_not_depend_on_what_was_evaluated_before(tmp_path):
    for make in (
        interest_exploration.create_environment,
        long_term_satisfaction.create_environment,
    ):
        folder = tmp_path / make.__module__
        shared = make(CONFIG)
        runner = eval_runner(folder / "shared", shared, test_mode=True)
        runner.run_experiment()
        first = returns(folder / "shared/eval_3/returns_0")
        runner.run_experiment()
        assert returns(folder / "shared/eval_3/returns_0") == first
        eval_runner(folder / "fresh", make(CONFIG), test_mode=True).run_experiment()
        assert returns(folder / "fresh/eval_3/returns_0") == first


def test_an_evaluation_of_a_checkpoint_changes_nothing_of_the_training(tmp_path, env):
    train_runner(tmp_path, env).run_experiment()
    before = snapshot(tmp_path / "train")
    for _ in range(2):
        eval_runner(tmp_path, env, test_mode=True).run_experiment()
    assert snapshot(tmp_path / "train") == before
    assert len(returns(tmp_path / "eval_3/returns_40")) == 3
    assert len(records(tmp_path / "eval_3")) == 1  # The second took the place of the first.


def test_each_evaluation_resets_the_samplers_once(tmp_path):
    env = ScriptedEnv(([1], True), ([2], True))
    runner = eval_runner(
        tmp_path,
        env,
        lambda *args, **kwargs: RecordingAgent(env.action_space),
        max_eval_episodes=1,
        test_mode=True,
    )
    for count in (1, 2):
        runner.run_experiment()
        assert env.sampler_resets == count


def test_the_training_may_be_elsewhere(tmp_path, env):
    train_runner(tmp_path / "training", env).run_experiment()
    eval_runner(
        tmp_path / "evaluation", env, train_base_dir=tmp_path / "training", test_mode=True
    ).run_experiment()
    assert (tmp_path / "evaluation/eval_3/returns_40").exists()
    assert not (tmp_path / "training/eval_3").exists()


class CountingAgent(RecordingAgent):
    """Plays slate 0 or 1 depending on how many steps it has made in all."""

    steps = 0

    def step(self, reward, observation):
        self.steps += 1
        return [self.steps % 2]

    def bundle_and_checkpoint(self, checkpoint_dir, iteration_number):
        return {"steps": self.steps}

    def unbundle(self, checkpoint_dir, iteration_number, bundle_dict):
        self.steps = bundle_dict["steps"]
        return True


def create_counting(sess, environment, eval_mode, summary_writer=None):
    return CountingAgent(environment.action_space)


def test_a_running_training_is_followed_to_its_end(tmp_path):
    agents = []

    def create_agent(*args, **kwargs):
        agents.append(create_counting(*args, **kwargs))
        return agents[-1]

    class Evaluated(runner_lib.EvalRunner):
        def _run_eval_phase(self, total_steps):
            evaluated.append((total_steps, self._agent.steps))
            super()._run_eval_phase(total_steps)
            if len(evaluated) < 3:
                trained.wait(10)
                trained.clear()
                evaluations.release()

    class Training(runner_lib.TrainRunner):
        def _checkpoint_experiment(self, iteration, total_steps):
            super()._checkpoint_experiment(iteration, total_steps)
            trained.set()
            evaluations.acquire(timeout=10)

    evaluated = []
    trained = threading.Event()
    evaluations = threading.Semaphore(0)
    settings = {"base_dir": tmp_path, "max_steps_per_episode": 10, "progress": False}
    training = Training(
        create_agent_fn=create_counting,
        env=interest_exploration.create_environment(CONFIG),
        max_training_steps=20,
        num_iterations=3,
        **settings,
    )
    thread = threading.Thread(target=training.run_experiment)
    thread.start()
    Evaluated(
        create_agent_fn=create_agent,
        env=interest_exploration.create_environment(CONFIG),
        max_eval_episodes=2,
        min_interval_secs=0.01,
        timeout_secs=20,
        **settings,
    ).run_experiment()
    evaluations.release()
    thread.join()
    assert evaluated == [(20, 20), (40, 40), (60, 60)]
    assert sorted(path.name for path in (tmp_path / "eval_2").glob("returns_*")) == [
        "returns_20",
        "returns_40",
        "returns_60",
    ]


def test_a_finished_training_is_evaluated_once_and_not_again(tmp_path, env):
    train_runner(tmp_path, env).run_experiment()
    eval_runner(tmp_path, env).run_experiment()
    path = tmp_path / "eval_3/returns_40"
    assert len(returns(path)) == 3
    path.write_text("[0.0]")
    eval_runner(tmp_path, env).run_experiment()
    assert returns(path) == [0.0]
    eval_runner(tmp_path, env, test_mode=True).run_experiment()
    assert len(returns(path)) == 3


def test_without_a_training_run_following_times_out(tmp_path, env, caplog):
    with pytest.raises(TimeoutError, match=r"No training run saved .* within 0.2 s"):
        eval_runner(tmp_path, env).run_experiment()
    assert "Waiting up to 0.2 s for a checkpoint" in caplog.text
    assert str(tmp_path) in caplog.text


def test_a_training_run_that_stops_ends_the_evaluation_with_a_warning(tmp_path, env, caplog):
    train_runner(tmp_path, env, num_iterations=3, keep_checkpoints=9).run_experiment()
    (tmp_path / "train/checkpoints/ckpt.2").unlink()
    eval_runner(tmp_path, env).run_experiment()
    assert (tmp_path / "eval_3/returns_40").exists()
    assert "after that of iteration 1" in caplog.text
    assert "the evaluation ends here" in caplog.text


def test_test_mode_waits_for_a_training_run_that_has_begun(tmp_path, env):
    (tmp_path / "train/checkpoints").mkdir(parents=True)
    with pytest.raises(TimeoutError, match="timeout_secs"):
        eval_runner(tmp_path, env, test_mode=True).run_experiment()
    assert not (tmp_path / "eval_3/returns_0").exists()


def test_bad_checkpoints_alone_are_an_error(tmp_path, env):
    (tmp_path / "train/checkpoints").mkdir(parents=True)
    (tmp_path / "train/checkpoints/ckpt.0").write_bytes(b"PK\x03\x04")
    for test_mode in (True, False):
        with pytest.raises(checkpoint.CheckpointError, match=r"ckpt\.0.* is truncated"):
            eval_runner(tmp_path, env, test_mode=test_mode).run_experiment()


# Checkpoints that do not fit


def test_a_checkpoint_of_another_agent_is_refused(tmp_path, env):
    train_runner(tmp_path, env, create_counting).run_experiment()
    for runner in (
        train_runner(tmp_path, env, num_iterations=3),
        eval_runner(tmp_path, env, test_mode=True),
    ):
        with pytest.raises(ValueError, match=r"ckpt\.1' is not of this agent: RandomAgent"):
            runner.run_experiment()


def test_another_prefix_does_not_start_over_in_silence(tmp_path, env):
    train_runner(tmp_path, env).run_experiment()
    with pytest.raises(ValueError, match="checkpoint_file_prefix"):
        train_runner(tmp_path, env, checkpoint_file_prefix="other").run_experiment()
    train_runner(tmp_path / "other", env, checkpoint_file_prefix="other").run_experiment()
    assert (tmp_path / "other/train/checkpoints/other.1").exists()


def test_a_resumed_run_clears_what_the_killed_one_left(tmp_path, env):
    train_runner(tmp_path, env, num_iterations=3, keep_checkpoints=9).run_experiment()
    checkpoints = tmp_path / "train/checkpoints"
    for iteration in (1, 2):
        (checkpoints / f"ckpt.{iteration}").unlink()
    for folder, name in ((checkpoints, "ckpt.1"), (tmp_path / "train", "metrics.jsonl")):
        (folder / f".{name}.{'0a' * 16}.tmp").write_bytes(b"PK")
    # With longer iterations the steps are others than before.
    train_runner(tmp_path, env, max_training_steps=30).run_experiment()
    assert sorted(path.name for path in checkpoints.iterdir()) == ["ckpt.0", "ckpt.1"]
    assert list((tmp_path / "train").glob(".*")) == []
    assert [record["total_steps"] for record in records(tmp_path / "train")] == [20, 50]


def test_a_finished_training_says_so(tmp_path, env, caplog):
    train_runner(tmp_path, env).run_experiment()
    before = snapshot(tmp_path)
    train_runner(tmp_path, env).run_experiment()
    assert "Nothing to train: 2 iterations are done" in caplog.text
    assert snapshot(tmp_path) == before


def test_an_agent_without_state_is_checkpointed_and_resumed(tmp_path, env):
    class Stateless(RecordingAgent):
        def bundle_and_checkpoint(self, checkpoint_dir, iteration_number):
            return {}

        def unbundle(self, checkpoint_dir, iteration_number, bundle_dict):
            return False

    def create_agent(sess, environment, eval_mode, summary_writer=None):
        return Stateless(environment.action_space)

    train_runner(tmp_path, env, create_agent).run_experiment()
    train_runner(tmp_path, env, create_agent, num_iterations=3).run_experiment()
    assert [record["total_steps"] for record in records(tmp_path / "train")] == [20, 40, 60]


def test_an_agents_state_that_is_no_data_is_refused_by_name(tmp_path, env):
    class Unfit(RecordingAgent):
        def bundle_and_checkpoint(self, checkpoint_dir, iteration_number):
            return {"q_table": [0.0, object()]}

    with pytest.raises(TypeError, match=r"agent\.q_table\[1\] cannot go into a checkpoint"):
        train_runner(
            tmp_path, env, lambda *args, **kwargs: Unfit(env.action_space)
        ).run_experiment()


def test_agents_may_write_files_of_their_own(tmp_path, env):
    class Writer(CountingAgent):
        def bundle_and_checkpoint(self, checkpoint_dir, iteration_number):
            pathlib.Path(checkpoint_dir, f"own.{iteration_number}").write_text(str(self.steps))
            return {"file": True}

        def unbundle(self, checkpoint_dir, iteration_number, bundle_dict):
            path = pathlib.Path(checkpoint_dir, f"own.{iteration_number}")
            self.steps = int(path.read_text())
            return True

    def create_agent(sess, environment, eval_mode, summary_writer=None):
        return Writer(environment.action_space)

    train_runner(tmp_path, env, create_agent).run_experiment()
    runner = train_runner(tmp_path, env, create_agent, num_iterations=3)
    runner.run_experiment()
    assert runner._agent.steps == 60


# Several users


class FirstDocuments(agent_lib.AbstractMultiUserEpisodicRecommenderAgent):
    def step(self, reward, observation):
        return [list(range(self._slate_size)) for _ in range(self._num_users)]


def create_multi_user(sess, environment, eval_mode, summary_writer=None):
    return FirstDocuments(environment.action_space)


def clicks_by_user(responses):
    return [float(sum(r.clicked for r in of_one)) for of_one in responses]


def all_clicks(responses):
    return sum(clicks_by_user(responses))


class Document(interest_exploration.IEDocument):
    NUM_CLUSTERS = 2


class Response(interest_exploration.IEResponse):
    NUM_CLUSTERS = 2


def several_users(reward):
    models = [
        interest_exploration.IEUserModel(
            2,
            user_state_ctor=interest_exploration.IEUserState,
            response_model_ctor=Response,
            seed=seed,
        )
        for seed in (3, 4)
    ]
    documents = interest_exploration.IETopicDocumentSampler(doc_ctor=Document, seed=5)
    world = environment.MultiUserEnvironment(models, documents, 6, 2)
    return recsim_gym.RecSimGymEnv(world, reward)


@pytest.mark.parametrize("log", ["", "episodes"])
def test_several_users_get_the_sum_of_their_rewards(tmp_path, log):
    found = []
    for reward in (clicks_by_user, lambda r: np.array(clicks_by_user(r)), all_clicks):
        base_dir = tmp_path / str(len(found))
        train_runner(
            base_dir, several_users(reward), create_multi_user, episode_log_file=log
        ).run_experiment()
        eval_runner(
            base_dir, several_users(reward), create_multi_user, test_mode=True
        ).run_experiment()
        found.append(returns(base_dir / "eval_3/returns_40"))
    assert found[0] == found[1] == found[2]
    assert any(found[0])


@pytest.mark.parametrize("runner", [train_runner, eval_runner])
def test_agent_and_environment_must_agree_on_the_number_of_users(tmp_path, env, runner):
    with pytest.raises(ValueError, match="FirstDocuments serves several users, but the env"):
        runner(tmp_path, env, lambda *args, **kwargs: FirstDocuments([env.action_space] * 2))
    with pytest.raises(ValueError, match="RandomAgent serves one user, but the environment is"):
        runner(
            tmp_path,
            several_users(all_clicks),
            lambda *args, **kwargs: random_agent.RandomAgent(env.action_space),
        )


# Configuration


@pytest.mark.parametrize("module", ["runner_lib", "simulator.runner_lib", ""])
def test_gin_bindings(tmp_path, env, module):
    prefix = f"{module}." if module else ""
    runner_lib.load_gin_configs(
        [], [f"{prefix}Runner.max_steps_per_episode=7", f"{prefix}TrainRunner.num_iterations=4"]
    )
    runner = runner_lib.TrainRunner(base_dir=tmp_path, create_agent_fn=create_random, env=env)
    assert runner._max_steps_per_episode == 7
    assert runner._num_iterations == 4


def test_gin_configurations_can_be_loaded_again(tmp_path, env):
    (tmp_path / "a.gin").write_text("runner_lib.EvalRunner.max_eval_episodes = 9\n")
    runner_lib.load_gin_configs([], ["runner_lib.EvalRunner.max_eval_episodes=5"])
    runner_lib.load_gin_configs(
        [str(tmp_path / "a.gin")], ["simulator.runner_lib.EvalRunner.timeout_secs=1.5"]
    )
    runner = runner_lib.EvalRunner(base_dir=tmp_path, create_agent_fn=create_random, env=env)
    assert (runner._max_eval_episodes, runner._timeout_secs) == (9, 1.5)
    assert runner._output_dir == str(tmp_path / "eval_9")
    runner_lib.load_gin_configs([], [])
    runner_lib.load_gin_configs(None, None)


@pytest.mark.parametrize(
    ("binding", "suggestion"),
    [
        ("runner_lib.Runer.max_steps_per_episode=1", "Did you mean 'runner_lib.Runner'?"),
        ("EvalRuner.test_mode=True", "Did you mean 'EvalRunner'?"),
        ("Runner.max_step_per_episode=1", "Did you mean 'max_steps_per_episode'?"),
        ("Zebra.stripes=1", "has to be imported"),
    ],
)
def test_unknown_bindings_name_the_nearest(binding, suggestion):
    with pytest.raises(ValueError) as caught:
        runner_lib.load_gin_configs([], [binding])
    assert suggestion in str(caught.value)
    assert binding in str(caught.value)


def test_an_unknown_binding_of_a_runner_with_keywords_is_found_at_construction(tmp_path, env):
    runner_lib.load_gin_configs([], ["TrainRunner.num_iteration=3"])
    with pytest.raises(TypeError, match="no parameter 'num_iteration'. Did you mean 'num_iterati"):
        runner_lib.TrainRunner(base_dir=tmp_path, create_agent_fn=create_random, env=env)


# Bad input


@pytest.mark.parametrize(
    ("runner", "arguments", "error", "message"),
    [
        (train_runner, {"base_dir": None}, ValueError, "base_dir must be .* got None"),
        (train_runner, {"create_agent": 3}, TypeError, "create_agent_fn must be a function"),
        (train_runner, {"max_steps_per_episode": 0}, ValueError, "max_steps_per_episode .* got 0"),
        (train_runner, {"max_steps_per_episode": 1.5}, TypeError, "max_steps_per_episode .* 1.5"),
        (train_runner, {"num_iterations": -1}, ValueError, "num_iterations .* got -1"),
        (train_runner, {"max_training_steps": "9"}, TypeError, "max_training_steps .* '9'"),
        (train_runner, {"checkpoint_frequency": 0}, ValueError, "checkpoint_frequency .* got 0"),
        (train_runner, {"keep_checkpoints": 0}, ValueError, "keep_checkpoints .* got 0"),
        (train_runner, {"num_iteration": 3}, TypeError, "Did you mean 'num_iterations'"),
        (eval_runner, {"max_eval_episodes": True}, TypeError, "max_eval_episodes .* bool True"),
        (eval_runner, {"min_interval_secs": -1}, ValueError, "min_interval_secs .* got -1"),
        (eval_runner, {"timeout_secs": -1}, ValueError, "timeout_secs .* got -1"),
        (eval_runner, {"test_mod": True}, TypeError, "Did you mean 'test_mode'"),
    ],
)
def test_bad_arguments(tmp_path, env, runner, arguments, error, message):
    with pytest.raises(error, match=message):
        runner(**{"base_dir": tmp_path, "env": env, **arguments})


@pytest.mark.parametrize("runner", [train_runner, eval_runner])
def test_an_unwritable_output_folder_is_named_at_construction(tmp_path, env, runner):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"can be written to .*choose another") as caught:
        runner(tmp_path / "file", env)
    assert str(tmp_path / "file") in str(caught.value)
    name = "train" if runner is train_runner else "eval_3"
    (tmp_path / name).touch()
    with pytest.raises(NotADirectoryError, match=name):
        runner(tmp_path, env)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_named_at_construction(tmp_path, env):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="can be written to"):
        train_runner(tmp_path, env)


@pytest.mark.parametrize(("runner", "folder"), [(train_runner, "train"), (eval_runner, "eval_3")])
def test_an_episode_log_is_never_overwritten(tmp_path, env, runner, folder):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "log").write_bytes(b"precious")
    with pytest.raises(FileExistsError, match="would be overwritten; choose another"):
        runner(tmp_path, env, episode_log_file="log")
    assert (tmp_path / folder / "log").read_bytes() == b"precious"


# Worlds


@pytest.mark.parametrize(
    ("make", "config", "message"),
    [
        (long_term_satisfaction, {}, r"document space was Dict\(.* and is Box\("),
        (interest_exploration, {"slate_size": 3}, "slate_size was 2 and is 3"),
    ],
)
def test_a_checkpoint_of_another_world_is_refused(make, config, message, tmp_path, env):
    train_runner(tmp_path, env).run_experiment()
    before = snapshot(tmp_path / "train/checkpoints")
    for runner in (train_runner, eval_runner):
        other = make.create_environment({**CONFIG, **config})
        kwargs = {"test_mode": True} if runner is eval_runner else {"num_iterations": 3}
        with pytest.raises(ValueError, match=message) as caught:
            runner(tmp_path, other, **kwargs).run_experiment()
        assert "is of another world" in str(caught.value)
        assert "choose another base_dir" in str(caught.value)
    assert snapshot(tmp_path / "train/checkpoints") == before


def test_an_evaluation_may_have_other_users_and_more_candidates(tmp_path, env):
    train_runner(tmp_path, env).run_experiment()
    other = interest_exploration.create_environment({**CONFIG, "num_candidates": 9, "seed": 5})
    eval_runner(tmp_path, other, test_mode=True).run_experiment()
    assert len(returns(tmp_path / "eval_3/returns_40")) == 3
    with pytest.raises(ValueError, match="num_candidates was 5 and is 9; action space was"):
        train_runner(tmp_path, other, num_iterations=3).run_experiment()


def test_a_world_with_other_parts_is_refused_for_resuming(tmp_path, env):
    class OtherUser(interest_exploration.IEUserModel):
        pass

    train_runner(tmp_path, env).run_experiment()
    env.environment.user_model.__class__ = OtherUser
    with pytest.raises(ValueError, match=r"user models was \['IEUserModel'\] and is \['OtherUser"):
        train_runner(tmp_path, env, num_iterations=3).run_experiment()
    eval_runner(tmp_path, env, test_mode=True).run_experiment()


class World(environment.SingleUserEnvironment):
    """A world whose parts may lack state."""

    def __init__(self, env, state):
        self._world, self._state = env.environment, state

    def __getattr__(self, name):
        return getattr(self._world, name)

    def reset(self):
        return self._world.reset()

    def step(self, slate):
        return self._world.step(slate)

    def checkpoint_state(self):
        if isinstance(self._state, Exception):
            raise self._state
        return self._state

    def restore_state(self, state):
        assert state == self._state


@pytest.mark.parametrize(
    ("state", "part"),
    [
        ({"rng": None}, "the environment"),
        ({"rng": {}, "document_sampler": {"rng": None, "doc_count": 3}}, "document_sampler"),
        ({"rng": {}, "user_models": [{"user_sampler": {"rng": None}}]}, "user_sampler"),
        (AttributeError("no _rng"), "the environment"),
    ],
)
def test_parts_without_a_generator_are_named_and_run(state, part, tmp_path, env, caplog):
    for parts in ("one", "two"):
        world = recsim_gym.RecSimGymEnv(World(env, state), lambda responses: 1.0)
        train_runner(tmp_path / parts, world).run_experiment()
        assert caplog.text.count(f"hold no random generator of {part}: ") == 1
        assert caplog.text.count("checkpoint_state failed") == isinstance(state, Exception)
        caplog.clear()
        eval_runner(tmp_path / parts, world, test_mode=True).run_experiment()
        assert returns(tmp_path / parts / "eval_3/returns_40") == [10, 10, 10]
        caplog.clear()


# Overriding as for RecSim


class Proto:
    """Stands for a SequenceExample."""

    def SerializeToString(self):
        raise AssertionError("nobody writes it")


class OwnLoop(runner_lib.TrainRunner):
    """Plays its episodes itself, by what RecSim's runner has for it."""

    def _run_one_episode(self):
        assert self._sess is None
        example = Proto()
        rewards = []
        before = self._env.reset()
        slate = self._agent.begin_episode(before)
        while True:
            after, reward, over, info = self._env.step(slate)
            self._log_one_step(
                before["user"], before["doc"], slate, after["response"], reward, over, example
            )
            self._env.update_metrics(after["response"], info)
            rewards.append(reward)
            if over or len(rewards) == self._max_steps_per_episode:
                break
            before, slate = after, self._agent.step(reward, after)
        self._agent.end_episode(reward, after)
        if self._episode_writer is not None:
            self._episode_writer.write(example.SerializeToString())
        self._update_episode_metrics(
            episode_length=len(rewards), episode_time=0.1, episode_reward=sum(rewards)
        )
        return len(rewards), sum(rewards)


@pytest.mark.parametrize("log", ["", "log"])
def test_an_episode_loop_written_for_recsim_logs_the_same(log, tmp_path):
    for name, kind in (("own", OwnLoop), ("ours", runner_lib.TrainRunner)):
        kind(
            base_dir=tmp_path / name,
            create_agent_fn=create_random,
            env=interest_exploration.create_environment(CONFIG),
            max_training_steps=20,
            num_iterations=2,
            max_steps_per_episode=10,
            episode_log_file=log,
            progress=False,
        ).run_experiment()
    own, ours = tmp_path / "own/train", tmp_path / "ours/train"
    for one, other in zip(records(own), records(ours), strict=True):
        assert {**one, "TimePerStep": 0} == {**other, "TimePerStep": 0}
    if log:
        assert (own / log).read_bytes() == (ours / log).read_bytes() != b""


# The process around


def test_an_interrupt_leaves_whole_files_and_written_events(tmp_path, env):
    class Interrupted(RecordingAgent):
        steps = 0

        def step(self, reward, observation):
            self.steps += 1
            if self.steps == 35:
                raise KeyboardInterrupt
            return [0]

    def create_agent(sess, environment, eval_mode, summary_writer=None):
        summary_writer.add_scalar("mine", 1.0, 1)
        return Interrupted(environment.action_space)

    with pytest.raises(KeyboardInterrupt):
        train_runner(tmp_path, env, create_agent).run_experiment()
    (events,) = (tmp_path / "train").glob("events*")
    assert b"mine" in events.read_bytes()
    assert [path.name for path in (tmp_path / "train/checkpoints").iterdir()] == ["ckpt.0"]
    assert len(records(tmp_path / "train")) == 1


def test_runners_need_no_tensorflow_and_write_nothing_to_stdout(tmp_path):
    program = """
import sys
sys.modules["tensorflow"] = None  # Importing it fails.
from recsim.agents import random_agent
from recsim.environments import interest_exploration
from recsim.simulator import runner_lib
env = interest_exploration.create_environment(
    {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 4})
settings = dict(base_dir=sys.argv[1], env=env, max_steps_per_episode=5, episode_log_file="log",
    create_agent_fn=lambda sess, env, eval_mode, summary_writer:
        random_agent.RandomAgent(env.action_space))
runner_lib.TrainRunner(max_training_steps=5, num_iterations=1, **settings).run_experiment()
runner_lib.EvalRunner(max_eval_episodes=2, **settings).run_experiment()
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    assert done.stderr.splitlines()[0].startswith("Training: 5 of 5 steps (100%) in ")
    assert done.stderr.splitlines()[1].startswith("Evaluation: 2 of 2 episodes (100%) in ")
    assert len(done.stderr.splitlines()) == 2
    assert (tmp_path / "eval_2/log").stat().st_size > 0


def test_runners_log_through_logging(tmp_path, env, caplog):
    caplog.set_level(logging.INFO, logger="recsim")
    eval_runner(tmp_path, env, test_mode=True).run_experiment()
    assert "evaluating the agent as it was created" in caplog.text


# Several processes


def test_a_second_training_in_a_folder_is_refused_while_the_first_runs(tmp_path, env):
    pytest.importorskip("fcntl")
    attempts = []

    class Meanwhile(RecordingAgent):
        def step(self, reward, observation):
            if not attempts:
                attempts.append(1)
                eval_runner(tmp_path / "other", second, test_mode=True).run_experiment()
                with pytest.raises(BlockingIOError, match=r"train' now: wait .* another base_dir"):
                    train_runner(tmp_path, second).run_experiment()
            return [0]

    second = interest_exploration.create_environment(CONFIG)
    train_runner(tmp_path, env, lambda *args, **kw: Meanwhile(env.action_space)).run_experiment()
    assert attempts
    assert len(records(tmp_path / "train")) == 2
    # It is free again.
    train_runner(tmp_path, second, num_iterations=3).run_experiment()
    assert len(records(tmp_path / "train")) == 3


def test_a_training_made_while_another_ran_keeps_its_metrics(tmp_path, env):
    early = train_runner(tmp_path, env, num_iterations=3)
    second = interest_exploration.create_environment(CONFIG)
    train_runner(tmp_path, second, num_iterations=2).run_experiment()
    early.run_experiment()
    assert [record["total_steps"] for record in records(tmp_path / "train")] == [20, 40, 60]


def test_an_evaluation_beside_its_training(tmp_path, env):
    evaluated = []

    class Meanwhile(random_agent.RandomAgent):
        def bundle_and_checkpoint(self, checkpoint_dir, iteration_number):
            if iteration_number == 1:
                world = interest_exploration.create_environment(CONFIG)
                eval_runner(tmp_path, world, test_mode=True).run_experiment()
                evaluated.append(returns(tmp_path / "eval_3/returns_20"))
            return super().bundle_and_checkpoint(checkpoint_dir, iteration_number)

    train_runner(tmp_path, env, lambda *args, **kw: Meanwhile(env.action_space)).run_experiment()
    assert len(evaluated) == 1


def test_files_written_at_the_same_time_do_not_meet(tmp_path):
    path = str(tmp_path / "file")
    with _files.atomic_file(path) as one, _files.atomic_file(path) as other:
        one.write(b"one")
        other.write(b"other")
    assert (tmp_path / "file").read_bytes() == b"one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
