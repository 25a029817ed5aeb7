"""Runners: how they run, what they write, and what code written for RecSim's relies on."""

from __future__ import annotations

import os

import numpy as np
import pytest
from support import recsim_names
from support.runners import (
    RecordingAgent,
    ScriptedEnv,
    create_random,
    eval_runner,
    records,
    returns,
    snapshot,
    train_runner,
)
from support.scenarios import CONFIG, clicks_by_user, make_interest_exploration_users

from recsim import agent as agent_lib
from recsim.agents import random_agent
from recsim.environments import interest_exploration
from recsim.simulator import checkpoint, runner_lib


def test_the_agent_is_told_of_every_reward_and_of_ends_and_truncations(tmp_path):
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


def test_an_episode_that_ends_at_the_limit_ends_and_is_not_truncated(tmp_path):
    env = ScriptedEnv(([1, 2], True))
    agent = RecordingAgent(env.action_space)
    runner = eval_runner(
        tmp_path,
        env,
        lambda *args, **kwargs: agent,
        max_eval_episodes=1,
        max_steps_per_episode=2,
        test_mode=True,
    )
    runner.run_experiment()
    assert agent.told[-1] == ("end", 2, False)
    assert returns(tmp_path / "eval_1/returns_0") == [3.0]
    statistics = recsim_names.episode_statistics(runner)
    assert (statistics["episode_length"], statistics["episode_reward"]) == ([2], [3.0])


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
        calls.append((sess is not None, environment is env, eval_mode))
        return create_random(sess, environment, eval_mode)

    train_runner(tmp_path, env, create_agent)
    eval_runner(tmp_path, env, create_agent)
    assert calls == [(True, True, False), (True, True, True)]


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
            recsim_names.episode_statistics(self)["mine"] = (
                recsim_names.episode_statistics(self).get("mine", 0) + 1
            )
            return steps, total

        def _run_train_phase(self, total_steps):
            return super()._run_train_phase(total_steps) + 1000

        def _write_metrics(self, step, suffix):
            assert suffix == "train"
            assert recsim_names.episode_statistics(self)["mine"] == 2
            assert os.path.isdir(self._output_dir)
            assert os.path.isdir(self._checkpoint_dir)
            super()._write_metrics(step, suffix)

    runner = train_runner(tmp_path, env, kind=MyRunner)
    runner.run_experiment()
    newest = checkpoint.Checkpointer(tmp_path / "train/checkpoints").load_newest()[1]
    assert newest["total_steps"] == 2040
    assert newest["agent"]["episode_num"] == 4


# Several users


class FirstDocuments(agent_lib.AbstractMultiUserEpisodicRecommenderAgent):
    def step(self, reward, observation):
        return [list(range(self._slate_size)) for _ in range(self._num_users)]


def create_multi_user(sess, environment, eval_mode, summary_writer=None):
    return FirstDocuments(environment.action_space)


def all_clicks(responses):
    return sum(clicks_by_user(responses))


def several_users(reward):
    return make_interest_exploration_users((3, 4), reward, num_candidates=6, sampler_seed=5)


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


# Overriding as for RecSim


class Proto:
    """Stands for a SequenceExample."""

    def SerializeToString(self):
        raise AssertionError("nobody writes it")


class OwnLoop(runner_lib.TrainRunner):
    """Runs its episodes itself, by what RecSim's runner has for it."""

    def _run_one_episode(self):
        assert self._sess is not None
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


class Plain:
    """An agent without a base class of the library, which changes its slates as it learns."""

    def __init__(self):
        self.num_steps = 0

    def begin_episode(self, observation):
        return [0, self.num_steps % 4]

    def step(self, reward, observation):
        self.num_steps += 1
        return [0, self.num_steps % 4]

    def end_episode(self, reward, observation):
        pass


class Stateful(Plain):
    """The same, which has the methods of ``recsim.types.Stateful``."""

    def state_dict(self):
        return {"num_steps": self.num_steps}

    def load_state_dict(self, state):
        self.num_steps = state["num_steps"]


def test_an_agent_needs_state_dict_and_no_bundle_to_be_trained(tmp_path):
    def train(folder, num_iterations):
        env = interest_exploration.create_environment(CONFIG)
        arguments = {"max_training_steps": 7, "max_steps_per_episode": 3}
        train_runner(
            tmp_path / folder,
            env,
            lambda *args, **kwargs: Stateful(),
            num_iterations=num_iterations,
            **arguments,
        ).run_experiment()

    train("whole", 3)
    train("resumed", 1)
    train("resumed", 3)
    saved = [tmp_path / folder / "train" / "checkpoints" for folder in ("whole", "resumed")]
    agents = [Stateful(), Stateful()]
    for agent, folder in zip(agents, saved):
        checkpoint.restore_agent(agent, folder)
    assert agents[0].num_steps == agents[1].num_steps == 18


def test_an_agent_without_state_is_refused_before_the_training(tmp_path):
    env = interest_exploration.create_environment(CONFIG)
    runner = train_runner(tmp_path, env, lambda *args, **kwargs: Plain())
    with pytest.raises(TypeError, match="Plain must have bundle_and_checkpoint .* or state_dict"):
        runner.run_experiment()
