"""Deep agents kept in checkpoints: training that stops goes on exactly, serving needs little."""

from __future__ import annotations

import functools
import logging
import os
import pathlib
import random
import subprocess
import sys
import time

import numpy as np
import pytest

from recsim import testing
from recsim.agents import slate_decomp_q_agent as slate_q
from recsim.agents.full_slate_q_agent import FullSlateQAgent
from recsim.agents.layers.cluster_click_statistics import ClusterClickStatsLayer
from recsim.agents.layers.fixed_length_history import FixedLengthHistoryLayer
from recsim.agents.layers.temporal_aggregation import TemporalAggregationLayer
from recsim.environments import (
    interest_evolution,
    interest_exploration,
    long_term_satisfaction,
)
from recsim.simulator import checkpoint, runner_lib

SMALL = {
    "min_replay_history": 20,
    "update_period": 2,
    "target_update_period": 10,
    "epsilon_decay_period": 30,
    "replay_capacity": 70,
    "batch_size": 8,
    "hidden_units": (8, 4),
}
WORLDS = {
    "evolution": interest_evolution,
    "exploration": interest_exploration,
    "satisfaction": long_term_satisfaction,
}


def make_env(world="evolution"):
    slate_size = 1 if world == "satisfaction" else 2
    return WORLDS[world].create_environment(
        {"num_candidates": 4, "slate_size": slate_size, "resample_documents": True, "seed": 2}
    )


def spaces_of(env):
    return {"observation_space": env.observation_space, "action_space": env.action_space}


def strategy(name, env, **kwargs):
    return slate_q.create_agent(name, None, **{**spaces_of(env), **SMALL, **kwargs})


def full_slate(env, **kwargs):
    return FullSlateQAgent(None, **{**spaces_of(env), **SMALL, **kwargs})


def layered(layer, env, agent_class=FullSlateQAgent, **kwargs):
    return layer(agent_class, **spaces_of(env), sess=None, **{**SMALL, **kwargs})


optimal = functools.partial(strategy, "slate_optimal_optimal_q")
with_no_click = functools.partial(
    strategy, "slate_greedy_greedy_q", learn_no_click_value=True, update_horizon=3
)
AGENTS = {
    "optimal": ("evolution", optimal),
    "with_no_click": ("evolution", with_no_click),
    "sarsa": ("evolution", functools.partial(strategy, "slate_topk_sarsa", optimizer_name="adam")),
    "random": ("evolution", functools.partial(strategy, "dp_random", optimizer_name="sgd")),
    "full_slate": ("evolution", full_slate),
    "full_slate_in_exploration": ("exploration", full_slate),
    "full_slate_in_satisfaction": ("satisfaction", full_slate),
    "clicks": ("exploration", functools.partial(layered, ClusterClickStatsLayer)),
    "history": (
        "evolution",
        functools.partial(layered, FixedLengthHistoryLayer, history_length=2),
    ),
    "aggregation": (
        "satisfaction",
        functools.partial(
            layered,
            TemporalAggregationLayer,
            aggregation_period=2,
            gamma=0.9,
            document_comparison_fcn=lambda document1, document2: True,
        ),
    ),
    "aggregated_documents": (
        "evolution",
        functools.partial(
            layered,
            TemporalAggregationLayer,
            agent_class=slate_q.SlateDecompQAgent,
            switching_cost=0.1,
            reward_field=None,
        ),
    ),
}


@pytest.mark.parametrize("name", AGENTS)
def test_the_contract_of_agents(name):
    world, make_agent = AGENTS[name]
    testing.check_agent(lambda: make_env(world), make_agent, num_steps=120)


def play(env, agent, num_steps):
    """Plays episodes of up to 15 steps; returns the slates."""
    slates, observation, reward, length = [], None, 0.0, 0
    for _ in range(num_steps):
        if observation is None:
            observation, length = env.reset(), 0
            slate = agent.begin_episode(observation)
        else:
            slate = agent.step(reward, observation)
        slates.append([int(i) for i in slate])
        observation, reward, done, _ = env.step(slate)
        length += 1
        if done or length == 15:
            agent.end_episode(reward, observation, truncated=not done)
            observation = None
    if observation is not None:
        agent.end_episode(reward, observation, truncated=True)
    return slates


def save_and_load(bundle, path):
    checkpoint.save(path, bundle)
    return checkpoint.load(path)


def same(first, second):
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(same, first, second))
    return np.asarray(first).tobytes() == np.asarray(second).tobytes()


@pytest.mark.parametrize("name", ["optimal", "with_no_click", "sarsa", "full_slate"])
@pytest.mark.parametrize("num_steps", [1, 21, 60, 150])
def test_a_restored_agent_learns_the_same_to_the_last_bit(name, num_steps, tmp_path):
    world, make_agent = AGENTS[name]
    env = make_env(world)
    agent = make_agent(env)
    play(env, agent, num_steps)
    other_env = make_env(world)
    restored = make_agent(other_env, seed=7)
    bundle = save_and_load(agent.bundle_and_checkpoint("", 0), tmp_path / "checkpoint")
    assert restored.unbundle("", 0, bundle)
    other_env.load_state_dict(env.state_dict())
    assert play(env, agent, 60) == play(other_env, restored, 60)
    final = [each.bundle_and_checkpoint("", 0) for each in (agent, restored)]
    assert same(*final)
    if num_steps > 20:
        assert not same(bundle["online_network"], final[0]["online_network"])


def test_the_same_seed_gives_the_same_agent():
    bundles = []
    for seed in (1, 1, 2):
        env = make_env()
        agent = with_no_click(env, seed=seed)
        play(env, agent, 100)
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
    play(env, agent, 100)
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
    for each, world in ((agent, env), (interrupted, other_env)):
        observation, reward, _, _ = world.step(each.begin_episode(world.reset()))
        each.step(reward, observation)
    interrupted.eval_mode = True
    interrupted.begin_episode(make_env().reset())
    interrupted.eval_mode = False
    for each, world in ((agent, env), (interrupted, other_env)):
        each.begin_episode(world.reset())
    assert same(agent.learner.replay.state(), interrupted.learner.replay.state())


def test_training_on_without_the_replay_buffer(caplog):
    env = make_env()
    agent = optimal(env)
    play(env, agent, 60)
    bundle = agent.serving_bundle()
    assert not optimal(env).unbundle("", 0, bundle)
    assert "it has no replay buffer" in caplog.text
    again = optimal(env, allow_partial_reload=True)
    assert again.unbundle("", 0, bundle)
    assert same(again.serving_bundle(), bundle)
    play(env, again, 40)
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
    play(env, agent, 60)
    server = optimal(other, eval_mode=True, epsilon_eval=0.0)
    assert server.unbundle("", 0, agent.bundle_and_checkpoint("", 0))
    assert same(server.learner.online_network.weights, agent.learner.online_network.weights)
    assert len(set(server.begin_episode(other.reset()).tolist())) == 3
    with pytest.raises(ValueError, match="FullSlateQAgent cannot be restored"):
        full_slate(other, eval_mode=True).unbundle("", 0, full_slate(env).serving_bundle())


@pytest.mark.parametrize("name", ["optimal", "full_slate", "clicks", "history", "aggregation"])
@pytest.mark.parametrize("bundle", [{}, {"agent": {}}, {"episode_num": 3}, None])
def test_an_agent_that_serves_is_never_left_with_its_initial_values(name, bundle, caplog):
    world, make_agent = AGENTS[name]
    assert not make_agent(make_env(world)).unbundle("", 0, bundle)
    assert "cannot be restored from this bundle: it has no" in caplog.text
    with pytest.raises(ValueError, match="cannot be restored from this bundle: it has no"):
        make_agent(make_env(world), eval_mode=True).unbundle("", 0, bundle)


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


def run(base_dir, make_agent, iterations, seed=0):
    def create_agent(sess, environment, eval_mode, summary_writer):
        return make_agent(
            environment, eval_mode=eval_mode, summary_writer=summary_writer, seed=seed
        )

    settings = {
        "base_dir": base_dir,
        "create_agent_fn": create_agent,
        "env": make_env(),
        "max_steps_per_episode": 25,
        "progress": False,
    }
    runner_lib.TrainRunner(
        max_training_steps=40, num_iterations=iterations, **settings
    ).run_experiment()
    runner_lib.EvalRunner(max_eval_episodes=3, test_mode=True, **settings).run_experiment()


def results(base_dir):
    base_dir = pathlib.Path(base_dir)
    newest = max((base_dir / "train/checkpoints").iterdir(), key=lambda path: int(path.suffix[1:]))
    (returns,) = (base_dir / "eval_3").glob("returns_*")
    return newest.name, newest.read_bytes(), returns.name, returns.read_text()


@pytest.mark.parametrize("make_agent", [with_no_click, full_slate])
def test_the_runners_train_and_evaluate(make_agent, tmp_path):
    run(tmp_path / "whole", make_agent, 4)
    run(tmp_path / "resumed", make_agent, 2, seed=0)
    (old,) = (tmp_path / "resumed/eval_3").glob("returns_*")
    old.unlink()
    # Another seed, to see that what is drawn from goes on and is not made anew.
    run(tmp_path / "resumed", make_agent, 4, seed=5)
    assert results(tmp_path / "resumed") == results(tmp_path / "whole")


def test_a_run_of_another_agent_is_refused(tmp_path):
    run(tmp_path, optimal, 1)
    with pytest.raises(ValueError, match="another agent: .* was SlateDecompQAgent and is Full"):
        run(tmp_path, full_slate, 2)


CHILD = """
import sys
sys.path.insert(0, {folder!r})
import test_deep_agent_checkpoints as kept
print("training", flush=True)
kept.run({base_dir!r}, getattr(kept, {agent!r}), 60)
print("done", flush=True)
"""


def start_child(base_dir, agent):
    code = CHILD.format(folder=os.path.dirname(__file__), base_dir=str(base_dir), agent=agent)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
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
