"""Checkpoints of deep agents: training that stops resumes exactly, serving needs little."""

from __future__ import annotations

import functools
import logging
import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest
from support import TESTS, deep_agents, rollouts, same
from support.deep_agents import (
    AGENTS,
    full_slate,
    make_env,
    optimal,
    results,
    run,
    with_no_click,
)

from recsim import testing
from recsim.environments import (
    interest_evolution,
)
from recsim.simulator import checkpoint


@pytest.mark.parametrize("name", AGENTS)
def test_the_contract_of_agents(name):
    scenario, make_agent = AGENTS[name]
    testing.check_agent(lambda: make_env(scenario), make_agent, num_steps=120)


def save_and_load(bundle, path):
    checkpoint.save(path, bundle)
    return checkpoint.load(path)


@pytest.mark.parametrize("name", ["optimal", "with_no_click", "sarsa", "full_slate"])
@pytest.mark.parametrize("num_steps", [1, 21, 60, 150])
def test_a_restored_agent_learns_the_same_to_the_last_bit(name, num_steps, tmp_path):
    scenario, make_agent = AGENTS[name]
    env = make_env(scenario)
    agent = make_agent(env)
    rollouts.run(env, agent, num_steps, 15)
    other_env = make_env(scenario)
    restored = make_agent(other_env, seed=7)
    bundle = save_and_load(agent.bundle_and_checkpoint("", 0), tmp_path / "checkpoint")
    assert restored.unbundle("", 0, bundle)
    other_env.load_state_dict(env.state_dict())
    assert rollouts.run(env, agent, 60, 15) == rollouts.run(other_env, restored, 60, 15)
    final = [each.bundle_and_checkpoint("", 0) for each in (agent, restored)]
    assert same(*final)
    if num_steps > 20:
        assert not same(bundle["online_network"], final[0]["online_network"])


def test_the_same_seed_gives_the_same_agent():
    bundles = []
    for seed in (1, 1, 2):
        env = make_env()
        agent = with_no_click(env, seed=seed)
        rollouts.run(env, agent, 100, 15)
        bundles.append(agent.bundle_and_checkpoint("", 0))
    assert same(bundles[0], bundles[1])
    assert not same(bundles[0]["online_network"], bundles[2]["online_network"])


def test_a_restored_agent_in_the_middle_of_an_episode():
    env = make_env()
    agent, restored = optimal(env), optimal(env, seed=7)
    slate = agent.begin_episode(env.reset())
    observation, reward, _, _ = env.step(slate)
    assert restored.unbundle("", 0, agent.bundle_and_checkpoint("", 0))
    assert agent.step(reward, observation).tolist() == restored.step(reward, observation).tolist()
    assert same(agent.bundle_and_checkpoint("", 0), restored.bundle_and_checkpoint("", 0))


def test_an_agent_serves_without_its_replay_buffer(tmp_path):
    env = make_env()
    agent = with_no_click(env)
    rollouts.run(env, agent, 100, 15)
    observation = make_env().reset()
    learner = agent.learner
    features = learner.values.adapter.features(observation)
    best = learner.values.best_slate(learner.online_network, *features).tolist()
    whole = save_and_load(agent.bundle_and_checkpoint("", 0), tmp_path / "whole")
    small = save_and_load(agent.serving_bundle(), tmp_path / "small")
    assert "replay" not in small
    for bundle in (whole, small):
        server = with_no_click(env, eval_mode=True, epsilon_eval=0.0)
        assert server.unbundle("", 0, bundle)
        assert server.step(0.0, observation).tolist() == best
        assert server.bundle_and_checkpoint("", 0)["replay"] is None


def test_the_replay_buffer_does_not_join_episodes_across_a_reload():
    env = make_env()
    agent = optimal(env, allow_partial_reload=True)
    slate = agent.begin_episode(env.reset())
    observation, reward, _, _ = env.step(slate)
    agent.step(reward, observation)
    assert agent.unbundle("", 0, agent.serving_bundle())
    agent.begin_episode(env.reset())
    expected, _ = agent.learner.values.adapter.features(observation)
    np.testing.assert_array_equal(agent.learner.replay.sample().next_users[0], expected)


def test_evaluation_in_between_leaves_no_trace_in_training():
    env, other_env = make_env(), make_env()
    agent, interrupted = optimal(env), optimal(other_env)
    for each, scenario in ((agent, env), (interrupted, other_env)):
        observation, reward, _, _ = scenario.step(each.begin_episode(scenario.reset()))
        each.step(reward, observation)
    interrupted.eval_mode = True
    interrupted.begin_episode(make_env().reset())
    interrupted.eval_mode = False
    for each, scenario in ((agent, env), (interrupted, other_env)):
        each.begin_episode(scenario.reset())
    assert same(agent.learner.replay.state_dict(), interrupted.learner.replay.state_dict())


def test_training_on_without_the_replay_buffer(caplog):
    env = make_env()
    agent = optimal(env)
    rollouts.run(env, agent, 60, 15)
    bundle = agent.serving_bundle()
    assert not optimal(env).unbundle("", 0, bundle)
    assert "it has no replay buffer" in caplog.text
    again = optimal(env, allow_partial_reload=True)
    assert again.unbundle("", 0, bundle)
    assert same(again.serving_bundle(), bundle)
    rollouts.run(env, again, 40, 15)
    assert again.training_steps > agent.training_steps


@pytest.mark.parametrize(
    ("make_other", "difference"),
    [
        (full_slate, "SlateDecompQAgent"),
        (functools.partial(optimal, hidden_units=(8, 8)), "hidden_units"),
        (functools.partial(optimal, learn_no_click_value=True), "learn_no_click_value"),
    ],
)
def test_the_bundle_of_another_agent_is_refused(make_other, difference, caplog):
    env = make_env()
    bundle = optimal(env).bundle_and_checkpoint("", 0)
    with caplog.at_level(logging.WARNING):
        assert not make_other(env).unbundle("", 0, bundle)
    assert "it is of another agent or of other spaces" in caplog.text
    assert difference in caplog.text
    with pytest.raises(ValueError, match="cannot be restored from this bundle: it is of another"):
        make_other(env, eval_mode=True).unbundle("", 0, bundle)


def test_bundles_of_other_spaces_are_refused(caplog):
    bundle = optimal(make_env()).bundle_and_checkpoint("", 0)
    other = interest_evolution.create_environment(
        {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 0}
    )
    assert not optimal(other).unbundle("", 0, bundle)
    assert "'num_candidates': 5" in caplog.text
    assert not full_slate(make_env("exploration")).unbundle("", 0, {"episode_num": 1})


def test_slate_q_serves_candidates_and_slates_of_any_number():
    env = make_env()
    other = interest_evolution.create_environment(
        {"num_candidates": 7, "slate_size": 3, "resample_documents": True, "seed": 0}
    )
    agent = optimal(env)
    rollouts.run(env, agent, 60, 15)
    server = optimal(other, eval_mode=True, epsilon_eval=0.0)
    assert server.unbundle("", 0, agent.bundle_and_checkpoint("", 0))
    assert same(server.learner.online_network.weights, agent.learner.online_network.weights)
    assert len(set(server.begin_episode(other.reset()).tolist())) == 3
    with pytest.raises(ValueError, match="FullSlateQAgent cannot be restored"):
        full_slate(other, eval_mode=True).unbundle("", 0, full_slate(env).serving_bundle())


@pytest.mark.parametrize("name", ["optimal", "full_slate", "clicks", "history", "aggregation"])
@pytest.mark.parametrize("bundle", [{}, {"agent": {}}, {"episode_num": 3}, None])
def test_an_agent_that_serves_is_never_left_with_its_initial_values(name, bundle, caplog):
    scenario, make_agent = AGENTS[name]
    assert not make_agent(make_env(scenario)).unbundle("", 0, bundle)
    assert "cannot be restored from this bundle: it has no" in caplog.text
    with pytest.raises(ValueError, match="cannot be restored from this bundle: it has no"):
        make_agent(make_env(scenario), eval_mode=True).unbundle("", 0, bundle)


def test_an_agent_is_restored_from_every_kind_of_file(tmp_path):
    run(tmp_path, full_slate, 2)
    env = make_env()
    checkpoints = tmp_path / "train/checkpoints"
    trained = checkpoint.load(checkpoints / "ckpt.1")["agent"]
    agent = full_slate(env)
    checkpoint.restore_agent(agent, checkpoints)
    checkpoint.save(tmp_path / "serving", agent.serving_bundle())
    checkpoint.save(tmp_path / "whole", agent.bundle_and_checkpoint("", 0))
    for path in (checkpoints, checkpoints / "ckpt.1", tmp_path / "serving", tmp_path / "whole"):
        server = full_slate(env, eval_mode=True)
        checkpoint.restore_agent(server, path)
        assert same(server.serving_bundle()["online_network"], trained["online_network"])


def test_an_agent_is_restored_from_a_file_or_there_is_an_error(tmp_path):
    run(tmp_path, full_slate, 1)
    env = make_env()
    for path in (tmp_path / "train/checkpoints", tmp_path / "train/checkpoints/ckpt.0"):
        for make_agent in (optimal, functools.partial(optimal, eval_mode=True)):
            with pytest.raises(
                ValueError, match="agent type was FullSlateQAgent and is SlateDecompQAgent"
            ):
                checkpoint.restore_agent(make_agent(env), path)
    checkpoint.save(tmp_path / "empty", {})
    with pytest.raises(ValueError, match="holds no state of an agent"):
        checkpoint.restore_agent(full_slate(env), tmp_path / "empty")
    (tmp_path / "folder").mkdir()
    for path in ("folder", "missing"):
        with pytest.raises(FileNotFoundError, match=path):
            checkpoint.restore_agent(full_slate(env), tmp_path / path)


@pytest.mark.parametrize("make_agent", [with_no_click, full_slate])
def test_the_runners_train_and_evaluate(make_agent, tmp_path):
    run(tmp_path / "whole", make_agent, 4)
    run(tmp_path / "resumed", make_agent, 2, seed=0)
    (old,) = (tmp_path / "resumed/eval_3").glob("returns_*")
    old.unlink()
    # Another seed, to see that the random stream continues and is not made anew.
    run(tmp_path / "resumed", make_agent, 4, seed=5)
    assert results(tmp_path / "resumed") == results(tmp_path / "whole")


def test_a_run_of_another_agent_is_refused(tmp_path):
    run(tmp_path, optimal, 1)
    with pytest.raises(ValueError, match="another agent: .* was SlateDecompQAgent and is Full"):
        run(tmp_path, full_slate, 2)


def start_child(base_dir, agent):
    command = [sys.executable, "-m", deep_agents.__name__, str(base_dir), agent]
    process = subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "training\n"
    return process


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX")
@pytest.mark.parametrize("agent", ["with_no_click", "full_slate"])
def test_kill_9_at_five_random_moments(agent, tmp_path):
    begin = time.monotonic()
    output, _ = start_child(tmp_path / "whole", agent).communicate(timeout=300)
    assert output == "done\n"
    duration = time.monotonic() - begin
    moments = random.Random(agent)
    kills = 0
    for attempt in range(10):  # A run may end before it is killed often enough.
        base_dir = tmp_path / f"killed_{attempt}"
        while not list(base_dir.glob("eval_3/returns_*")):
            process = start_child(base_dir, agent)
            try:
                process.wait(moments.uniform(0.1, 0.6) * duration if kills < 5 else 300)
                assert process.returncode == 0
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
            process.communicate()
        assert results(base_dir) == results(tmp_path / "whole")
        if kills == 5:
            return
    pytest.fail(f"Runs ended before they were killed five times: {kills} kills.")
