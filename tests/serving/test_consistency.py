"""A served agent recommends what the agent does that was saved, step by step of episodes."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from recsim import registry, serving
from recsim.agents import cluster_bandit_agent, full_slate_q_agent, slate_decomp_q_agent
from recsim.agents.bandits import algorithms
from recsim.agents.layers import (
    abstract_click_bandit,
    cluster_click_statistics,
    fixed_length_history,
    recent_slates,
    temporal_aggregation,
)
from recsim.agents.tabular_q_agent import TabularQAgent

STRATEGIES = (
    "dp_random",
    "slate_topk_sarsa",
    "slate_greedy_optimal_q",
    "slate_greedy_no_click_q",
    "slate_optimal_optimal_q",
)
SCENARIOS = ("interest_exploration", "interest_evolution", "long_term_satisfaction")
STEPS = 12
NUM_CANDIDATES, SLATE_SIZE = 6, 2


def make_environment(scenario: str, **config: Any) -> Any:
    settings = {"num_candidates": NUM_CANDIDATES, "slate_size": SLATE_SIZE, "seed": 1}
    return registry.create_environment(scenario, {**settings, "resample_documents": True, **config})


def columns(observations: list[Any]) -> Any:
    """Returns the features of items as a service has them: one column a feature."""
    if isinstance(observations[0], dict):
        return {key: columns([each[key] for each in observations]) for key in observations[0]}
    return np.array(observations)


def asked(observation: dict[str, Any], user: serving.Id) -> tuple[serving.User, serving.Items]:
    """Returns an observation of the environment as a request."""
    documents = observation["doc"]
    features = columns(list(documents.values()))
    return serving.User(user, observation["user"]), serving.Items(list(documents), features)


def compare(agent: Any, served: serving.ServedAgent, env: Any, users: list[str]) -> None:
    """Plays an episode with each user, and compares every slate with the agent's own."""
    for user in users:
        observation = env.reset()
        slate = agent.begin_episode(observation)
        for step in range(STEPS):
            ids = list(observation["doc"])
            shown = [ids[index] for index in slate]
            assert served.recommend(*asked(observation, user)) == shown
            observation, reward, done, _ = env.step(slate)
            served.observe(user, shown, list(observation["response"]), reward=reward)
            if done or step == STEPS - 1:
                break
            slate = agent.step(reward, observation)
        agent.end_episode(reward, observation)


def restored(agent: Any, tmp_path: Any, **given: Any) -> serving.ServedAgent:
    agent.save(tmp_path / "agent.recsim")
    return serving.load_agent(tmp_path / "agent.recsim", **given)


NAMED = [
    (name, scenario)
    for scenario in SCENARIOS
    for name, entry in registry.AGENTS.items()
    if not entry.learns and entry.environment in (None, scenario)
] + [("tabular_q", scenario) for scenario in SCENARIOS]


@pytest.mark.parametrize(("name", "scenario"), NAMED)
def test_agents_by_name(name, scenario, tmp_path):
    env = make_environment(scenario, **({"slate_size": 1} if "long" in scenario else {}))
    agent = registry.create_agent(name, env, seed=3, eval_mode=True)
    compare(agent, restored(agent, tmp_path), env, ["a", "b", "c"])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_slate_q(strategy, tmp_path):
    env = make_environment("interest_evolution")
    agent = slate_decomp_q_agent.create_agent(
        strategy,
        None,
        observation_space=env.observation_space,
        action_space=env.action_space,
        eval_mode=True,
        **({} if strategy == "dp_random" else {"epsilon_eval": 0.2}),
        seed=4,
    )
    compare(agent, restored(agent, tmp_path), env, ["a", "b"])


def test_full_slate_q(tmp_path):
    env = make_environment("interest_evolution")
    agent = full_slate_q_agent.FullSlateQAgent(
        None, env.observation_space, env.action_space, eval_mode=True, epsilon_eval=0.2
    )
    compare(agent, restored(agent, tmp_path), env, ["a", "b"])


def history(base: Any, **settings: Any) -> Any:
    return functools.partial(
        fixed_length_history.FixedLengthHistoryLayer, base, history_length=3, **settings
    )


LAYERS = {
    "history over SlateQ": (
        history(
            functools.partial(
                slate_decomp_q_agent.SlateDecompQAgent, None, eval_mode=True, epsilon_eval=0.1
            )
        ),
        "interest_evolution",
    ),
    "history of documents": (
        history(
            functools.partial(
                full_slate_q_agent.FullSlateQAgent, None, eval_mode=True, epsilon_eval=0.1
            ),
            remember_doc=True,
        ),
        "interest_evolution",
    ),
    "recent slates over SlateQ": (
        functools.partial(
            recent_slates.RecentSlatesLayer,
            functools.partial(
                slate_decomp_q_agent.SlateDecompQAgent, None, eval_mode=True, epsilon_eval=0.1
            ),
            num_slates=2,
        ),
        "interest_evolution",
    ),
    "held slates": (
        functools.partial(
            temporal_aggregation.TemporalAggregationLayer,
            functools.partial(TabularQAgent, eval_mode=True),
            aggregation_period=3,
            gamma=0.9,
        ),
        "interest_exploration",
    ),
    "history over a bandit of topics": (
        history(
            functools.partial(
                cluster_click_statistics.ClusterClickStatsLayer,
                functools.partial(
                    cluster_bandit_agent.ClusterBanditAgent, alg_ctor=algorithms.ThompsonSampling
                ),
            )
        ),
        "interest_exploration",
    ),
    "a bandit of arms of one's choice": (
        functools.partial(
            cluster_click_statistics.ClusterClickStatsLayer,
            functools.partial(
                abstract_click_bandit.AbstractClickBanditLayer,
                arm_base_agent_ctors=[
                    functools.partial(cluster_bandit_agent.GreedyClusterAgent, cluster_id=topic)
                    for topic in (1, 0)
                ],
            ),
        ),
        "interest_exploration",
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, tmp_path):
    create, scenario = LAYERS[name]
    env = make_environment(scenario, resample_documents=name != "held slates")
    agent = create(observation_space=env.observation_space, action_space=env.action_space)
    compare(agent, restored(agent, tmp_path), env, ["a", "b"])
