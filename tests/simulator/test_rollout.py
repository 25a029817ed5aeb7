"""Rollouts: what agents, environments and listeners are told, in which order, in both engines."""

from __future__ import annotations

import numpy as np
import pytest
from support.runners import RecordingAgent, ScriptedEnv, create_random, eval_runner
from support.runners import train_runner as make_train_runner
from support.scenarios import CONFIG

from recsim.agents import random_agent
from recsim.environments import interest_exploration
from recsim.simulator import episode_log, rollout, runner_lib


class Recorder(rollout.Listener):
    """Notes what it is told."""

    def __init__(self, told=None):
        self.told = [] if told is None else told

    def on_reset(self, observation):
        self.told.append(("reset", observation["response"]))

    def on_step(self, step):
        self.told.append(("step", step.reward, step.done))

    def on_episode_end(self, episode):
        self.told.append(("episode", episode.num_steps, episode.total_reward, episode.truncated))


def test_listeners_are_told_of_a_step_before_the_agent_and_of_the_end_after_it():
    env = ScriptedEnv(([1, 2], True))
    agent = RecordingAgent(env.action_space)
    agent.told = told = []
    episode = rollout.run_episode(env, agent, listeners=[Recorder(told)])
    assert told == [
        ("reset", None),
        *["begin", 0],
        *[("step", 1.0, False), 1],
        *[("step", 2.0, True), ("end", 2, False)],
        ("episode", 2, 3.0, False),
    ]
    assert (episode.num_steps, episode.total_reward, episode.truncated) == (2, 3.0, False)
    assert episode.seconds > 0


@pytest.mark.parametrize(("limit", "truncated"), [(1, True), (2, True), (3, False), (None, False)])
def test_a_limit_truncates_an_episode_that_has_not_ended(limit, truncated):
    env = ScriptedEnv(([1, 2, 3], True))
    agent = RecordingAgent(env.action_space)
    recorder = Recorder()
    episode = rollout.run_episode(env, agent, max_steps=limit, listeners=[recorder])
    assert episode.truncated == truncated
    assert episode.num_steps == (3 if limit is None else limit)
    assert agent.told[-1] == ("end", episode.num_steps, truncated)
    assert recorder.told[-1] == ("episode", episode.num_steps, episode.total_reward, truncated)


def test_a_step_has_what_was_seen_before_and_after_it():
    env = interest_exploration.create_environment(CONFIG)
    agent = random_agent.RandomAgent(env.action_space, random_seed=1)
    steps = []
    rollout.run_episode(env, agent, max_steps=4, listeners=[rollout.OnStep(steps.append)])
    assert steps[0].observation["response"] is None
    for step, following in zip(steps, steps[1:]):
        assert step.next_observation is following.observation
    for step in steps:
        assert step.reward == sum(each["click"] for each in step.next_observation["response"])
        assert len(step.slate) == CONFIG["slate_size"]
        assert step.info["env"] is env.environment
        assert step.agent is agent


def test_a_listener_of_any_class_will_do():
    class OnlyEnds:
        ends = 0

        def on_reset(self, observation):
            pass

        def on_step(self, step):
            pass

        def on_episode_end(self, episode):
            self.ends += 1

    env = ScriptedEnv(([1], True))
    listener = OnlyEnds()
    rollout.run_episode(env, RecordingAgent(env.action_space), listeners=[listener])
    assert listener.ends == 1


@pytest.mark.parametrize("reward", [np.nan, np.inf, "1", None])
def test_a_reward_that_is_not_a_finite_number(reward):
    env = ScriptedEnv(([1, reward], True))
    with pytest.raises((TypeError, ValueError), match="the reward must be a"):
        rollout.run_episode(env, RecordingAgent(env.action_space))


@pytest.mark.parametrize(("limit", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError)])
def test_a_limit_that_is_none(limit, error):
    env = ScriptedEnv(([1, 2], True))
    with pytest.raises(error, match="max_steps"):
        rollout.run_episode(env, RecordingAgent(env.action_space), max_steps=limit)


def test_a_log_that_listens_is_the_log_of_a_runner(tmp_path):
    env = interest_exploration.create_environment(CONFIG)
    eval_runner(tmp_path, env, test_mode=True, episode_log_file="log").run_experiment()
    env = interest_exploration.create_environment(CONFIG)
    env.reset_sampler()
    log = episode_log.EpisodeLog(tmp_path / "own", env)
    agent = create_random(None, env, True)
    for _ in range(3):
        rollout.run_episode(env, agent, max_steps=10, listeners=[log])
    log.finish()
    assert (tmp_path / "own").read_bytes() == (tmp_path / "eval_3/log").read_bytes() != b""


# Runners


@pytest.mark.parametrize("make_runner", [make_train_runner, eval_runner])
def test_a_runner_tells_its_listeners_of_every_step_and_episode(make_runner, tmp_path):
    env = interest_exploration.create_environment(CONFIG)
    recorder = Recorder()
    arguments = {"test_mode": True} if make_runner is eval_runner else {}
    make_runner(tmp_path, env, listeners=[recorder], **arguments).run_experiment()
    num_episodes = 3 if make_runner is eval_runner else 4
    names = [each[0] for each in recorder.told]
    assert names == num_episodes * ["reset", *10 * ["step"], "episode"]


class StepsSeen(runner_lib.TrainRunner):
    """Notes what ``_log_one_step`` is told, in place of a log."""

    def _log_one_step(self, user, documents, slate, responses, reward, done):
        self.seen = [*getattr(self, "seen", []), (len(documents), len(slate), reward, done)]


@pytest.mark.parametrize("log", ["", "log"])
@pytest.mark.parametrize("where", ["class", "instance"])
def test_an_overridden_method_for_the_log_sees_every_step(where, log, tmp_path):
    env = interest_exploration.create_environment(CONFIG)
    kind = StepsSeen if where == "class" else runner_lib.TrainRunner
    runner = make_train_runner(tmp_path, env, kind=kind, episode_log_file=log)
    if where == "instance":
        runner.seen = []
        runner._log_one_step = lambda user, documents, slate, responses, reward, done: (
            runner.seen.append((len(documents), len(slate), reward, done))
        )
    runner.run_experiment()
    assert len(runner.seen) == 40
    assert all(step[:2] == (4, 2) for step in runner.seen)
    assert {type(step[2]) for step in runner.seen} == {float}
    assert not (tmp_path / "train/log").exists()


def test_overridden_methods_are_honoured_in_training_and_evaluation(tmp_path):
    called = []

    class Own(runner_lib.EvalRunner):
        def _run_one_episode(self):
            called.append("episode")
            return 5, 2.5

        def _initialize_metrics(self):
            called.append("initialize")

        def _write_metrics(self, step, suffix):
            called.append((step, suffix))

    env = interest_exploration.create_environment(CONFIG)
    Own(
        base_dir=tmp_path,
        create_agent_fn=create_random,
        env=env,
        max_eval_episodes=2,
        test_mode=True,
        progress=False,
    ).run_experiment()
    assert called == ["initialize", "episode", "episode", (0, "eval")]
    assert (tmp_path / "eval_2/returns_0").read_text() == "[2.5, 2.5]"


# The vector engine


NUM_ENVS = 3


class VectorRecorder(rollout.VectorListener):
    """Notes what it is told."""

    def __init__(self):
        self.told = []
        self.rewards = []
        self.episodes = []

    def on_reset(self, observation, infos):
        assert set(observation) == {"user", "doc", "response"} and infos == {}
        self.told.append("reset")

    def on_step(self, step):
        self.told.append("step")
        clicks = step.responses["click"].sum(axis=1)
        np.testing.assert_array_equal(step.rewards, clicks)
        self.rewards.append(step.rewards)

    def on_episodes_end(self, episodes):
        self.told.append("episodes")
        self.episodes.append(episodes)


class VectorAgent(random_agent.VectorRandomAgent):
    """Counts what it is asked."""

    asked = 0

    def step(self, *args):
        self.asked += 1
        return super().step(*args)


def vector_pair(limit=4):
    env = interest_exploration.create_vector_environment(
        CONFIG, num_envs=NUM_ENVS, max_steps_per_episode=limit
    )
    return env, VectorAgent(env, 1)


def test_steps_are_not_chosen_that_are_not_shown():
    env, agent = vector_pair()
    recorder = VectorRecorder()
    rollout.VectorRollout(env, agent, [recorder]).run_steps(6)
    assert agent.asked == 6  # One of them at the beginning.
    assert recorder.told == ["reset", *4 * ["step"], "episodes", *2 * ["step"]]
    (ended,) = recorder.episodes
    assert ended.users.tolist() == ended.ended.tolist() == ended.episodes.tolist() == [0, 1, 2]
    assert ended.lengths.tolist() == [4, 4, 4]
    np.testing.assert_allclose(ended.returns, np.sum(recorder.rewards[:4], axis=0))


def test_without_episodes_nobody_is_told_of_their_ends():
    env, agent = vector_pair(1)
    recorder = VectorRecorder()
    rollout.VectorRollout(env, agent, [recorder], follows_episodes=False).run_steps(3)
    assert recorder.told == ["reset", *3 * ["step"]]


def test_episodes_that_count_are_the_first_of_each_user():
    env, agent = vector_pair()
    recorder, totals = VectorRecorder(), rollout.EpisodeTotals(4)
    rollout.VectorRollout(env, agent, [recorder, totals]).run_episodes(np.array([2, 1, 1]))
    assert recorder.told.count("step") == 8
    assert [each.users.tolist() for each in recorder.episodes] == [[0, 1, 2], [0]]
    assert [each.episodes.tolist() for each in recorder.episodes] == [[0, 1, 2], [3]]
    assert totals.lengths.tolist() == 4 * [4]
    rewards = np.array(recorder.rewards)
    expected = [*rewards[:4].sum(axis=0), rewards[4:, 0].sum()]
    np.testing.assert_allclose(totals.returns, expected)
    assert env.metrics["impression"] == 16


def test_a_step_says_whose_steps_count_and_who_chose():
    env, agent = vector_pair(2)
    steps = []

    class Keeper(rollout.VectorListener):
        def on_step(self, step):
            steps.append(step)

    vector_rollout = rollout.VectorRollout(env, agent, [Keeper()])
    vector_rollout.run_episodes(np.array([1, 0, 2]))
    counting = [step.counting.tolist() for step in steps]
    assert counting == [[True, False, True]] * 2 + [[False, False, True]] * 2
    assert all(step.agent is agent for step in steps)
    steps.clear()
    vector_rollout.run_episodes(np.array([1, 1, 1]))
    vector_rollout.run_steps(1)
    assert [step.counting for step in steps] == [None] * 3


def test_a_rollout_continues_from_its_state():
    found = []
    for interrupted in (False, True):
        env, agent = vector_pair()
        totals = rollout.EpisodeTotals(9)
        under_way = rollout.VectorRollout(env, agent, [totals])
        under_way.reset()
        for step in range(12):
            if interrupted and step == 6:
                state = under_way.state_dict()
                under_way = rollout.VectorRollout(env, agent, [totals])
                under_way.load_state_dict(state)
            under_way.step()
        found.append((totals.returns, totals.lengths))
    np.testing.assert_array_equal(found[0], found[1])
    assert found[0][1].tolist() == 9 * [4]


def test_what_a_vector_rollout_refuses():
    env, agent = vector_pair()
    under_way = rollout.VectorRollout(env, agent)
    with pytest.raises(RuntimeError, match=r"Call reset\(\) before"):
        under_way.step()
    with pytest.raises(ValueError, match="num_episodes must be at least 1 for some user"):
        under_way.run_episodes(np.zeros(NUM_ENVS, np.int64))
    with pytest.raises(ValueError, match="num_steps"):
        under_way.run_steps(0)


def test_runners_tell_the_listeners_of_a_vector_environment(tmp_path):
    env, _ = vector_pair()
    training, evaluation = VectorRecorder(), VectorRecorder()
    create = lambda *args, **kwargs: random_agent.VectorRandomAgent(env, 1)  # noqa: E731
    make_train_runner(tmp_path, env, create, listeners=[training]).run_experiment()
    # Episodes continue from the first iteration, of 21 steps of all users, to the second.
    assert training.told.count("reset") == 1
    assert training.told.count("step") == 14
    assert [each.episodes.tolist() for each in training.episodes] == [
        [0, 1, 2],
        [3, 4, 5],
        [6, 7, 8],
    ]
    eval_runner(
        tmp_path, env, create, listeners=[evaluation], test_mode=True, max_eval_episodes=4
    ).run_experiment()
    assert evaluation.told.count("reset") == 1
    assert [each.users.tolist() for each in evaluation.episodes] == [[0, 1, 2], [0]]
