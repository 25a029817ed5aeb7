"""Measures steps per second and memory: runs under RecSim 0.2.4 and under this library alike.

The benchmark starts it as a script with either interpreter, so that both run the same loop. It
writes where the library is that it measures. Then it answers requests, a line of JSON each: it
prepares the case, writes ``ready``, waits for a line, and writes how many steps it made in how many
seconds, and how much memory the process had at most meanwhile, where the system (Linux) can start
that measurement anew.
"""

from __future__ import annotations

import functools
import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recsim import types
    from recsim.simulator import recsim_gym

# Long enough to hold several episodes of the scenarios that end by themselves.
STEPS_OF_SECTION = 500

# Steps of users in parallel: fewer of more users, whose arrays take as long to make as a few.
MOST_USER_STEPS = 2_000_000
FEWEST_STEPS, MOST_STEPS = 20, 200

Measurement = tuple[int, float]


def make_agent(name: str, env: recsim_gym.RecSimGymEnv) -> types.SlateAgent:
    """Returns the agent that a case names."""
    if hasattr(importlib.import_module("recsim"), "__version__"):
        from recsim import registry

        return registry.create_agent(name, env)
    return make_recsim_agent(name, env)


def make_recsim_agent(name: str, env: recsim_gym.RecSimGymEnv) -> types.SlateAgent:
    """Returns the agent of RecSim 0.2.4 of a name that this library's registry has."""
    space: Any = env.action_space
    if name == "random":
        from recsim.agents import random_agent

        return random_agent.RandomAgent(space, random_seed=0)
    if name == "greedy_pctr":
        from recsim.agents import greedy_pctr_agent

        average_user = env.environment.user_model.avg_user_state
        return greedy_pctr_agent.GreedyPCTRAgent(space, average_user)
    from recsim.agents import cluster_bandit_agent
    from recsim.agents.bandits import algorithms
    from recsim.agents.layers import cluster_click_statistics

    names = {
        "cluster_bandit_ucb1": "UCB1",
        "cluster_bandit_kl_ucb": "KLUCB",
        "cluster_bandit_ts": "ThompsonSampling",
    }
    return cluster_click_statistics.ClusterClickStatsLayer(
        cluster_bandit_agent.ClusterBanditAgent,
        env.observation_space,
        space,
        alg_ctor=getattr(algorithms, names[name]),
    )


def prepared(case: dict[str, Any]) -> Callable[[float], Measurement]:
    """Returns a function that runs a case for some seconds."""
    config = case["config"] or {
        "num_candidates": case["num_candidates"],
        "slate_size": case["slate_size"],
        "resample_documents": case["resample_documents"],
        "seed": 0,
    }
    if case["num_users"] > 1:
        return functools.partial(run_vectorized, case, config)
    name = case["environment"]
    if "/" in name:  # A variant by its id in Gymnasium, or a fitted scenario: RecSim has neither.
        registry = importlib.import_module("recsim.registry")
        env = registry.create_environment(name, config)
    else:
        env = importlib.import_module(f"recsim.environments.{name}").create_environment(config)
    env.seed(0)
    return functools.partial(run_single_user, env, make_agent(case["agent"], env))


def run_single_user(
    env: types.RecommenderEnv, agent: types.SlateAgent, seconds: float
) -> Measurement:
    """Runs episodes sequentially, and returns the time of the fastest section.

    Whatever else the machine does can only slow a section down.
    """
    end = time.perf_counter() + seconds
    fastest = run_section(env, agent)
    while time.perf_counter() < end:
        fastest = min(fastest, run_section(env, agent))
    return STEPS_OF_SECTION, fastest


def run_section(env: types.RecommenderEnv, agent: types.SlateAgent) -> float:
    """Runs a section, which begins an episode, and returns the seconds that it took."""
    start = time.perf_counter()
    slate = agent.begin_episode(env.reset())
    for _ in range(STEPS_OF_SECTION):
        observation, reward, done, _ = env.step(slate)
        if done:
            agent.end_episode(reward, observation)
            slate = agent.begin_episode(env.reset())
        else:
            slate = agent.step(reward, observation)
    elapsed = time.perf_counter() - start
    agent.end_episode(reward, observation)
    return elapsed


def run_vectorized(case: dict[str, Any], config: dict[str, Any], seconds: float) -> Measurement:
    """Simulates users in parallel again and again, and returns the steps of all together."""
    from recsim import registry
    from recsim.vector import simulate

    make_environment = functools.partial(
        registry.create_vector_environment, case["environment"], config
    )
    make_agent = functools.partial(registry.create_vector_agent, case["agent"])
    num_steps = MOST_USER_STEPS // case["num_users"]
    num_steps = min(max(num_steps, FEWEST_STEPS), MOST_STEPS)
    steps = 0
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds or not steps:
        simulate.simulate(
            make_environment, make_agent, case["num_users"], num_steps=num_steps, workers=1
        )
        steps += case["num_users"] * num_steps
    return steps, elapsed


def reset_peak_memory() -> bool:
    """Forgets what this process has had in memory before; says whether the system lets it."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")  # Linux's number for it.
    except OSError:
        return False
    return True


def peak_memory() -> float:
    """Returns the most memory that this process has had resident since the reset, in MiB."""
    with open("/proc/self/status", encoding="utf-8") as file:
        (line,) = (line for line in file if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Answers requests until there are no more."""
    answer = functools.partial(print, flush=True)
    answer(importlib.import_module("recsim").__file__)
    for line in sys.stdin:
        case = json.loads(line)
        measure = prepared(case)
        answer("ready")
        sys.stdin.readline()
        is_reset = reset_peak_memory()
        steps, seconds = measure(case["seconds"])
        answer(json.dumps([steps, seconds, peak_memory() if is_reset else None]))


if __name__ == "__main__":
    main()
