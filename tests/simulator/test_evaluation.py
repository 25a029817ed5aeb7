"""Evaluations: of the agent as it is created, of a checkpoint, and of a training that runs."""

from __future__ import annotations

import threading

import pytest
from support.runners import (
    CountingAgent,
    RecordingAgent,
    ScriptedEnv,
    create_counting,
    create_random,
    eval_runner,
    records,
    returns,
    snapshot,
    train_runner,
)
from support.scenarios import CONFIG

from recsim.environments import interest_exploration, long_term_satisfaction
from recsim.simulator import checkpoint, recsim_gym, runner_lib


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


def test_a_finished_training_is_evaluated_once_and_not_again(tmp_path, env, caplog):
    train_runner(tmp_path, env).run_experiment()
    eval_runner(tmp_path, env).run_experiment()
    path = tmp_path / "eval_3/returns_40"
    assert len(returns(path)) == 3
    written = path.stat().st_mtime_ns
    caplog.clear()
    eval_runner(tmp_path, env).run_experiment()
    assert path.stat().st_mtime_ns == written
    assert not caplog.messages
    eval_runner(tmp_path, env, test_mode=True).run_experiment()
    assert path.stat().st_mtime_ns > written
    assert len(returns(path)) == 3


def evaluated(base_dir, scenario=long_term_satisfaction, create_agent=create_random, **kwargs):
    config = {**CONFIG, "slate_size": 1, "seed": kwargs.pop("seed", 4)}
    env = kwargs.pop("env", None) or scenario.create_environment(config)
    eval_runner(base_dir, env, create_agent, **kwargs).run_experiment()
    return returns(base_dir / "eval_3/returns_40")


def trained(base_dir, create_agent=create_random, **kwargs):
    env = long_term_satisfaction.create_environment({**CONFIG, "slate_size": 1})
    train_runner(base_dir, env, create_agent, **kwargs).run_experiment()


def create_counting_subclass(sess, environment, eval_mode, summary_writer=None):
    class Subclass(CountingAgent):
        pass

    return Subclass(environment.action_space)


def half_the_engagement(responses):
    return sum(response.engagement for response in responses) / 2


def with_half_the_reward():
    env = long_term_satisfaction.create_environment({**CONFIG, "slate_size": 1})
    return recsim_gym.RecSimGymEnv(env.environment, half_the_engagement)


@pytest.mark.parametrize(
    ("create_agent", "create_env", "changes", "reason"),
    [
        (create_random, None, {"seed": 5}, "seed was 4 and is 5"),
        (
            create_random,
            None,
            {"max_steps_per_episode": 20},
            "max_steps_per_episode was 10 and is 20",
        ),
        (
            create_random,
            with_half_the_reward,
            {},
            "reward_aggregator was 'clicked_engagement_reward' and is 'half_the_engagement'",
        ),
        (create_counting_subclass, None, {}, "another scenario or agent"),
    ],
)
def test_returns_of_other_settings_are_replaced(
    create_agent, create_env, changes, reason, tmp_path, caplog
):
    agent = create_random if create_agent is create_random else create_counting
    trained(tmp_path, agent)
    first = evaluated(tmp_path, create_agent=agent)
    caplog.clear()

    def again(base_dir):
        env = {} if create_env is None else {"env": create_env()}
        return evaluated(base_dir, create_agent=create_agent, **env, **changes)

    assert again(tmp_path) != first or create_agent is create_counting_subclass
    (warning,) = caplog.messages
    assert "Evaluating anew after 40 steps" in warning
    assert reason in warning
    trained(tmp_path / "fresh", agent)
    assert returns(tmp_path / "eval_3/returns_40") == again(tmp_path / "fresh")
    caplog.clear()
    again(tmp_path)
    assert not caplog.messages


def test_returns_of_another_training_are_replaced(tmp_path, caplog):
    trained(tmp_path / "one", create_counting)
    trained(tmp_path / "other", create_counting, max_training_steps=10, num_iterations=4)
    for training in ("one", "other"):
        evaluated(tmp_path, create_agent=create_counting, train_base_dir=tmp_path / training)
    assert "they are of another checkpoint" in caplog.text


@pytest.mark.parametrize("content", [None, "", "{}", "[]", "{" + '"returns": 3' + "}", "\xff"])
def test_returns_that_do_not_say_what_they_are_of_are_replaced(content, tmp_path, caplog):
    trained(tmp_path)
    expected = evaluated(tmp_path)
    (tmp_path / "eval_3/returns_40").write_text("[0.0]")
    record = tmp_path / "eval_3/evaluated_40.json"
    record.unlink()
    if content is not None:
        record.write_text(content, encoding="latin-1")
    assert evaluated(tmp_path) == expected
    assert "what they are of" in caplog.text


def test_returns_that_were_altered_are_replaced(tmp_path, caplog):
    trained(tmp_path)
    expected = evaluated(tmp_path)
    (tmp_path / "eval_3/returns_40").write_text("[0.0]")
    assert evaluated(tmp_path) == expected
    assert "they were altered" in caplog.text


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
