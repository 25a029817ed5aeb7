"""Experiments leave the agents that they train as files that serve."""

from __future__ import annotations

import numpy as np
import pytest

import recsim
from recsim import registry, serving
from recsim.agents import random_agent
from recsim.simulator import checkpoint


def run(folder, agents, scenario="interest_exploration", **settings):
    """Runs an experiment of one seed, and returns the folder of its agents' runs."""
    settings = {"episodes": 2, "steps": 20, "train_steps": 100, **settings}
    recsim.experiment(
        agents,
        scenario,
        seeds=1,
        output=folder,
        workers=1,
        progress=False,
        figures=False,
        **settings,
    )
    return folder / scenario / "seed_0"


def test_a_trained_agent_serves_what_it_has_learned(tmp_path):
    folder = run(tmp_path, ["tabular_q", "random"])
    assert not (folder / "random" / "agent.recsim").exists()
    served = recsim.load_agent(folder / "tabular_q" / "agent.recsim")
    env = registry.create_environment(
        "interest_exploration",
        {"num_candidates": 10, "slate_size": 2, "resample_documents": True, "seed": 5},
    )
    trained = registry.create_agent("tabular_q", env, seed=0, eval_mode=True)
    checkpoint.restore_agent(trained, folder / "tabular_q" / "train" / "checkpoints")
    made = served.make_agent()
    for agent in (trained, made):
        assert agent.num_updates >= 100
    observation = env.reset()
    slate = trained.begin_episode(observation)
    assert made.begin_episode(observation) == slate
    assert trained.explain(observation).numbers == made.explain(observation).numbers


def test_an_agent_that_cannot_be_saved_is_none_the_less_trained(tmp_path, monkeypatch):
    class Own(random_agent.RandomAgent):
        learns = True

        def __init__(self, environment, needed):
            super().__init__(environment.action_space)

    def create(environment, **_):
        return Own(environment, 3)

    entry = registry.AgentEntry(create, "learns", learns=True)
    monkeypatch.setitem(registry.AGENTS, "own", entry)
    folder = run(tmp_path, ["own"])
    assert (folder / "own" / "eval_2" / "returns_100").exists()
    assert not (folder / "own" / "agent.recsim").exists()


@pytest.mark.parametrize("name", ["slate_optimal_optimal_q", "slate_greedy_no_click_q"])
def test_a_network_that_users_in_parallel_trained_serves_single_ones(name, tmp_path):
    settings = {"num_envs": 20, "train_steps": 2000, "episodes": 20}
    folder = run(tmp_path, [name], "interest_evolution", **settings)
    served = recsim.load_agent(folder / name / "agent.recsim")
    assert served.make_agent().num_updates > 0
    env = registry.create_environment(
        "interest_evolution",
        {"num_candidates": 10, "slate_size": 2, "resample_documents": True, "seed": 5},
    )
    trained = registry.create_agent(name, env, seed=0, eval_mode=True)
    checkpoint.restore_agent(trained, folder / name / "train" / "checkpoints")
    observation = env.reset()
    slate = trained.begin_episode(observation)
    for _ in range(20):
        ids = list(observation["doc"])
        features = np.array(list(observation["doc"].values()))
        user = serving.User("u", observation["user"])
        recommended = served.recommend(user, serving.Items(ids, features))
        assert recommended == [ids[index] for index in slate]
        observation, reward, *_ = env.step(slate)
        slate = trained.step(reward, observation)
