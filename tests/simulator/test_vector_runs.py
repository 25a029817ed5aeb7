"""Runners in vector environments: metrics, logs, checkpoints, and what they refuse."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from support import TESTS
from support import vector_training_child as child
from support.runners import records
from support.scenarios import CONFIG

from recsim import registry
from recsim.agents import random_agent
from recsim.environments import interest_exploration
from recsim.simulator import checkpoint, episode_log, runner_lib
from recsim.vector import wrappers


def create_single_user(sess, environment, eval_mode, summary_writer=None):
    return random_agent.RandomAgent(interest_exploration.create_environment(CONFIG).action_space)


def create_random(sess, environment, eval_mode, summary_writer=None):
    return random_agent.VectorRandomAgent(environment)


def without_times(folder):
    return [
        {name: value for name, value in record.items() if name not in ("TimePerStep", "time")}
        for record in records(folder)
    ]


def outcome(base_dir):
    """Returns all that a training and its evaluation wrote, but for how long they took."""
    (returns,) = base_dir.glob("eval_13/returns_*")
    last = checkpoint.Checkpointer(base_dir / "train/checkpoints").load_newest()
    return {
        "train": without_times(base_dir / "train"),
        "eval": without_times(base_dir / "eval_13"),
        "returns": (returns.name, json.loads(returns.read_text())),
        "log": (base_dir / "train/episodes.tfrecord").read_bytes(),
        "last": repr(last),
    }


def run_by_hand(env, num_steps):
    """Returns the episodes that end within some steps: (user, number, length, return, steps)."""
    learner = child.create_learner(None, env, False)
    observation, _ = env.reset()
    slates = learner.begin(observation)
    under_way = {user: [] for user in range(env.num_envs)}
    numbers = dict.fromkeys(under_way, 0)
    ended = []
    for _ in range(num_steps):
        seen = observation
        result = env.step(slates)
        observation, rewards, terminated, truncated, infos = result
        last = infos["final_obs"].batch if infos else observation
        for user in under_way:
            under_way[user].append(
                {
                    "user": seen["user"][user],
                    "value": seen["doc"]["value"][user],
                    "genre": seen["doc"]["genre"][user],
                    "slate": slates[user],
                    "reward": rewards[user],
                    "click": last["response"]["click"][user],
                    "response_value": last["response"]["value"][user],
                    "terminal": terminated[user],
                }
            )
            if terminated[user] or truncated[user]:
                steps = under_way[user]
                total = sum(float(step["reward"]) for step in steps)
                ended.append((user, numbers[user], len(steps), total, steps))
                under_way[user] = []
                numbers[user] += 1
        slates = learner.step(*result)
    return ended


def test_a_training_has_the_metrics_of_the_episodes_that_ended(tmp_path):
    child.train(tmp_path)
    # 22 steps of 5 users are 5 steps of all, 25 in all; episodes continue over iterations.
    ended = run_by_hand(child.create_environment(max_steps_per_episode=4), 30)
    found = records(tmp_path / "train")
    assert [record["total_steps"] for record in found] == [25, 50, 75, 100, 125, 150]
    assert sum(record["episodes"] for record in found) == len(ended)
    lengths = sum(record["episodes"] * record["AverageEpisodeLength"] for record in found)
    assert lengths == pytest.approx(sum(length for _, _, length, _, _ in ended))
    rewards = sum(record["episodes"] * record["AverageEpisodeRewards"] for record in found)
    assert rewards == pytest.approx(sum(total for _, _, _, total, _ in ended))
    assert all(record["TimePerStep"] > 0 and 0 < record["CTR"] < 1 for record in found)


def test_an_evaluation_has_as_many_episodes_of_each_user(tmp_path):
    child.evaluate(tmp_path)  # 13 episodes of 5 users: 3 of the first three, 2 of the others.
    by_hand = run_by_hand(child.create_environment(max_steps_per_episode=4), 40)
    totals = {(user, number): total for user, number, _, total, _ in by_hand}
    returns = json.loads((tmp_path / "eval_13" / "returns_0").read_text())
    assert returns == pytest.approx([totals[e % 5, e // 5] for e in range(13)])
    (record,) = records(tmp_path / "eval_13")
    assert record["episodes"] == 13
    assert record["AverageEpisodeRewards"] == pytest.approx(np.mean(returns))
    assert record["StdEpisodeRewards"] == pytest.approx(np.std(returns))
    # Steps after a user's last episode that counts are in no metric.
    steps = [
        step for user, number, _, _, steps in by_hand if number * 5 + user < 13 for step in steps
    ]
    assert record["CTR"] == pytest.approx(sum(s["click"].sum() for s in steps) / len(steps))


def test_evaluations_of_one_runner_are_the_same(tmp_path):
    child.evaluate(tmp_path / "one")
    runner = runner_lib.EvalRunner(
        base_dir=tmp_path / "two",
        create_agent_fn=child.create_learner,
        env=child.create_environment(),
        max_eval_episodes=13,
        max_steps_per_episode=4,
        test_mode=True,
        progress=False,
    )
    runner.run_experiment()
    runner.run_experiment()
    one, two = (tmp_path / name / "eval_13/returns_0" for name in ("one", "two"))
    assert one.read_text() == two.read_text()


@pytest.mark.parametrize(("runner", "own", "longest"), [(3, None, 3), (3, 2, 2), (2, 3, 2)])
def test_the_smaller_limit_of_steps_holds(runner, own, longest, tmp_path):
    env = child.create_environment(max_steps_per_episode=own)
    child.train(tmp_path, env, max_steps_per_episode=runner, max_training_steps=5, num_iterations=9)
    lengths = [record.get("AverageEpisodeLength", 0) for record in records(tmp_path / "train")]
    assert max(lengths) == longest
    assert env.max_steps_per_episode == own  # Of the environment, whoever recommends next.


def test_an_iteration_without_the_end_of_an_episode(tmp_path):
    config = {**CONFIG, "slate_size": 2, "num_candidates": 3}
    env = interest_exploration.create_vector_environment(config, child.NUM_USERS)
    runner_lib.TrainRunner(
        base_dir=tmp_path,
        create_agent_fn=create_random,
        env=env,
        max_training_steps=10,
        num_iterations=3,
        max_steps_per_episode=5,
        progress=False,
    ).run_experiment()
    assert [record["episodes"] for record in records(tmp_path / "train")] == [0, 0, 5]
    first, second, third = records(tmp_path / "train")
    assert list(first) == list(second) == list(third)
    for name in ("TimePerStep", "AverageEpisodeLength", "AverageEpisodeRewards"):
        assert first[name] is second[name] is None
        assert third[name] > 0


def test_the_log_has_the_episodes_of_every_user(tmp_path):
    tf = pytest.importorskip("tensorflow")
    child.train(tmp_path)
    names = ["user", "reward", "doc_0", "doc_2", "response_1_click", "response_1_value"]
    integers = ["slate", "is_terminal", "is_truncated"]
    features = {
        **{name: tf.io.RaggedFeature(tf.float32) for name in names},
        **{name: tf.io.RaggedFeature(tf.int64) for name in integers},
    }
    by_hand = run_by_hand(child.create_environment(max_steps_per_episode=4), 30)
    logged = list(tf.data.TFRecordDataset(str(tmp_path / "train/episodes.tfrecord")))
    assert len(logged) == len(by_hand) > 20
    truncated = 0
    for record, (user, _, length, _, steps) in zip(logged, by_hand, strict=True):
        context, lists = tf.io.parse_single_sequence_example(
            record, {"user_number": tf.io.FixedLenFeature([], tf.int64)}, features
        )
        lists = {name: rows.numpy() for name, rows in lists.items()}
        assert int(context["user_number"]) == user
        assert len(lists["slate"]) == length
        for i, step in enumerate(steps):
            one_hot = np.eye(3)[step["genre"][2]]
            # Gym sorts the keys of a dictionary: genre before value.
            np.testing.assert_allclose(lists["doc_2"][i], [*one_hot, step["value"][2]])
            np.testing.assert_allclose(lists["user"][i], step["user"])
            np.testing.assert_allclose(lists["reward"][i], [step["reward"]])
            assert list(lists["slate"][i]) == list(step["slate"])
            assert list(lists["response_1_click"][i]) == list(np.eye(2)[step["click"][1]])
            np.testing.assert_allclose(lists["response_1_value"][i], [step["response_value"][1]])
            assert list(lists["is_terminal"][i]) == [step["terminal"]]
        ends = lists["is_truncated"][:, 0]
        assert list(ends) == [0] * (length - 1) + [not steps[-1]["terminal"]]
        truncated += int(ends[-1])
    assert 0 < truncated < len(logged)


def test_a_log_has_the_features_of_a_single_users(tmp_path):
    tf = pytest.importorskip("tensorflow")

    def sizes(path):
        (record, *_) = tf.data.TFRecordDataset(str(path))
        lists = tf.train.SequenceExample.FromString(record.numpy()).feature_lists.feature_list
        return {
            name: len(values.feature[0].float_list.value) + len(values.feature[0].int64_list.value)
            for name, values in lists.items()
        }

    settings = {"max_eval_episodes": 2, "test_mode": True, "max_steps_per_episode": 3}
    for name, env, create_agent in (
        ("one", interest_exploration.create_environment(CONFIG), create_single_user),
        (
            "many",
            interest_exploration.create_vector_environment(CONFIG, 2),
            create_random,
        ),
    ):
        runner_lib.EvalRunner(
            base_dir=tmp_path / name,
            create_agent_fn=create_agent,
            env=env,
            episode_log_file="log",
            progress=False,
            **settings,
        ).run_experiment()
    assert sizes(tmp_path / "many/eval_2/log") == sizes(tmp_path / "one/eval_2/log")


class Interrupted:
    """An environment that is interrupted after some steps."""

    def __init__(self, env, steps):
        self._env = env
        self._steps = steps

    def __getattr__(self, name):
        return getattr(self._env, name)

    def step(self, slates):
        self._steps -= 1
        if not self._steps:
            raise KeyboardInterrupt
        return self._env.step(slates)


@pytest.mark.parametrize("steps", [1, 7, 18, 29])
def test_a_stopped_training_ends_as_one_that_was_not(steps, tmp_path):
    for name in ("whole", "resumed"):
        if name == "resumed":
            env = Interrupted(child.create_environment(), steps)
            with pytest.raises(KeyboardInterrupt):
                child.train(tmp_path / name, env, checkpoint_frequency=2)
        child.train(tmp_path / name, checkpoint_frequency=2)
        child.evaluate(tmp_path / name)
    assert outcome(tmp_path / "resumed") == outcome(tmp_path / "whole")


@pytest.mark.parametrize("candidates", ["step", "episode", "shared"])
def test_a_longer_training_continues_in_the_middle_of_episodes(candidates, tmp_path):
    for name, iterations in (("whole", [6]), ("longer", [2, 3, 6])):
        for num_iterations in iterations:
            env = child.create_environment(candidates=candidates)
            child.train(tmp_path / name, env, num_iterations=num_iterations)
        child.evaluate(tmp_path / name)
    assert outcome(tmp_path / "longer") == outcome(tmp_path / "whole")


RESUMED = [
    ("random", "interest_evolution"),
    ("cluster_bandit_ts", "interest_exploration"),
    pytest.param("slate_topk_sarsa", "interest_evolution", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("agent", "environment"), RESUMED)
def test_the_agents_of_the_library_go_on_as_if_nothing_had_been(agent, environment, tmp_path):
    def create(sess, env, eval_mode, summary_writer):
        return registry.create_vector_agent(
            agent, env, seed=5, eval_mode=eval_mode, summary_writer=summary_writer
        )

    for name, iterations in (("whole", [4]), ("longer", [1, 3, 4])):
        for num_iterations in iterations:
            runner_lib.TrainRunner(
                base_dir=tmp_path / name,
                create_agent_fn=create,
                env=registry.create_vector_environment(environment, CONFIG, 30),
                max_training_steps=300,
                num_iterations=num_iterations,
                max_steps_per_episode=7,
                progress=False,
            ).run_experiment()
        runner_lib.EvalRunner(
            base_dir=tmp_path / name,
            create_agent_fn=create,
            env=registry.create_vector_environment(environment, CONFIG, 20),
            max_eval_episodes=40,
            max_steps_per_episode=7,
            test_mode=True,
            progress=False,
        ).run_experiment()
    found = {
        name: [
            without_times(tmp_path / name / "train"),
            without_times(tmp_path / name / "eval_40"),
            (tmp_path / name / "eval_40/returns_1200").read_text(),
        ]
        for name in ("whole", "longer")
    }
    assert found["longer"] == found["whole"]


def test_a_log_that_begins_later_has_the_sessions_that_begin_later(tmp_path, caplog):
    child.train(tmp_path / "unlogged", num_iterations=2, episode_log_file="")
    child.train(tmp_path / "unlogged")
    child.train(tmp_path / "logged")
    logs = [tmp_path / name / "train/episodes.tfrecord" for name in ("unlogged", "logged")]
    late, all_episodes = (log.read_bytes() for log in logs)
    assert 0 < len(late) < len(all_episodes)
    assert all_episodes.endswith(late[-100:])
    assert "will hold no episodes before" in caplog.text


def test_a_log_that_begins_while_no_session_ends(tmp_path):
    env = interest_exploration.create_vector_environment(CONFIG, child.NUM_USERS)
    for settings in ({"num_iterations": 1}, {"num_iterations": 6, "episode_log_file": "log"}):
        runner_lib.TrainRunner(
            base_dir=tmp_path,
            create_agent_fn=create_random,
            env=env,
            max_training_steps=2 * child.NUM_USERS,
            max_steps_per_episode=5,
            progress=False,
            **settings,
        ).run_experiment()
    # Of 12 steps of each user, the first 5 and the last 2 are of other episodes.
    assert (tmp_path / "train/log").read_bytes().count(b"user_number") == child.NUM_USERS


def test_another_number_of_users_can_be_evaluated_but_not_trained_on(tmp_path):
    child.train(tmp_path)
    child.evaluate(tmp_path, child.create_environment(8), max_eval_episodes=16)
    (returns,) = tmp_path.glob("eval_16/returns_*")
    assert len(json.loads(returns.read_text())) == 16
    with pytest.raises(ValueError, match="num users was 5 and is 8"):
        child.train(tmp_path, child.create_environment(8), num_iterations=7)


def test_what_one_user_trained_is_evaluated_by_many_and_not_trained_on(tmp_path):
    runner_lib.TrainRunner(
        base_dir=tmp_path,
        create_agent_fn=create_single_user,
        env=interest_exploration.create_environment(CONFIG),
        max_training_steps=5,
        num_iterations=1,
        max_steps_per_episode=5,
        progress=False,
    ).run_experiment()
    settings = {
        "base_dir": tmp_path,
        "create_agent_fn": lambda sess, env, **_: Indifferent(env),
        "env": interest_exploration.create_vector_environment(CONFIG, 6),
        "max_steps_per_episode": 5,
        "progress": False,
    }
    runner_lib.EvalRunner(max_eval_episodes=6, test_mode=True, **settings).run_experiment()
    assert len(json.loads((tmp_path / "eval_6/returns_5").read_text())) == 6
    with pytest.raises(ValueError, match="environment was SingleUserEnvironment and is RecSi"):
        runner_lib.TrainRunner(num_iterations=2, **settings).run_experiment()


class Indifferent(random_agent.VectorRandomAgent):
    """Takes the bundle of any agent."""

    def unbundle(self, checkpoint_dir, iteration_number, bundle_dict):
        return True


def test_single_user_agents_and_environments_wrapped_as_vectors(tmp_path, caplog):
    environments = [
        interest_exploration.create_environment({**CONFIG, "seed": seed}) for seed in range(3)
    ]

    def create(sess, env, eval_mode, summary_writer):
        return wrappers.SingleUserAgents(
            lambda observation_space, action_space, user: random_agent.RandomAgent(
                action_space, random_seed=user
            ),
            env,
        )

    settings = {
        "create_agent_fn": create,
        "env": wrappers.SingleUserEnvs(environments),
        "max_steps_per_episode": 5,
        "episode_log_file": "log",
        "progress": False,
    }
    runner_lib.EvalRunner(
        base_dir=tmp_path, max_eval_episodes=4, test_mode=True, **settings
    ).run_experiment()
    assert len(json.loads((tmp_path / "eval_4/returns_0").read_text())) == 4
    (record,) = records(tmp_path / "eval_4")
    assert record["AverageEpisodeLength"] == 5
    assert (tmp_path / "eval_4/log").stat().st_size > 0
    training = runner_lib.TrainRunner(
        base_dir=tmp_path, max_training_steps=6, num_iterations=2, **settings
    )
    training.run_experiment()
    assert [record["total_steps"] for record in records(tmp_path / "train")] == [6, 12]
    # Episodes under way of single-user environments are in no checkpoint.
    assert "Checkpoints hold no random generator of the environment" in caplog.text


def test_users_without_an_episode_that_counts_get_a_warning(tmp_path, caplog):
    child.evaluate(tmp_path, max_eval_episodes=3)
    assert "only so many of the 5 users count" in caplog.text


@pytest.mark.parametrize(
    ("make_env", "create_agent", "message"),
    [
        (child.create_environment, create_single_user, "RandomAgent serves one user, but"),
        (
            child.create_environment,
            lambda sess, env, **_: child.Learner(child.create_environment(4)),
            "Learner serves 4 users, but the environment has 5",
        ),
        (
            lambda: interest_exploration.create_environment(CONFIG),
            lambda sess, env, **_: child.Learner(child.create_environment()),
            "Learner does not serve the users of a RecSimGymEnv",
        ),
        (
            lambda: child.create_environment(episode_log.MAX_LOGGED_USERS + 1),
            child.create_learner,
            "An episode log is of 10,000 users at most, and the environment has 10,001",
        ),
    ],
)
def test_mistakes(make_env, create_agent, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        runner_lib.EvalRunner(
            base_dir=tmp_path, create_agent_fn=create_agent, env=make_env(), episode_log_file="log"
        )


ENV_ID = "recsim/InterestExploration-v0"


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (lambda: gymnasium.make(ENV_ID), "env must be a RecSimGymEnv, as"),
        (
            lambda: gymnasium.make_vec(ENV_ID, num_envs=2, vectorization_mode="sync"),
            "SyncVectorEnv.* has no max_steps_per_episode, .* without wrappers",
        ),
        (lambda: RecordEpisodeStatistics(child.create_environment()), "which has no max_steps_per"),
    ],
)
def test_environments_of_other_kinds(env, message, tmp_path):
    with pytest.raises(TypeError, match=message):
        runner_lib.EvalRunner(base_dir=tmp_path, create_agent_fn=create_random, env=env())


def start_child(base_dir):
    command = [sys.executable, "-m", child.__name__, str(base_dir)]
    process = subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "training\n"
    return process


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX")
def test_kill_9_at_random_moments_of_a_vector_training(tmp_path):
    begin = time.monotonic()
    assert start_child(tmp_path / "whole").communicate()[0] == "done\n"
    duration = time.monotonic() - begin
    expected = outcome(tmp_path / "whole")
    moments = random.Random(7)
    kills = 0
    for attempt in range(20):
        base_dir = tmp_path / f"killed_{attempt}"
        process = start_child(base_dir)
        time.sleep(moments.uniform(0.0, 0.5 * duration))
        process.kill()
        process.communicate()
        if process.returncode != -signal.SIGKILL:
            continue  # It had ended.
        assert start_child(base_dir).communicate()[0] == "done\n"
        assert outcome(base_dir) == expected
        kills += 1
        if kills == 4:
            return
    pytest.fail(f"Runs ended before they were killed four times: {kills} kills.")
