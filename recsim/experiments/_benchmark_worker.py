"""Measures single-user steps a second: runs under RecSim 0.2.4 and under this library alike.

The benchmark starts it as a script with either interpreter, so that both play the same loop. It
reads cases as JSON from its standard input and writes a rate (steps a second) for each of them,
and where the library is that it measured.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any

# Long enough to hold several episodes of the scenarios that end by themselves.
STEPS_A_PART = 500


def make_agent(name: str, env: Any) -> Any:
    """Returns the agent that a case names."""
    if name == "random":
        from recsim.agents import random_agent

        return random_agent.RandomAgent(env.action_space, random_seed=0)
    from recsim.agents import cluster_bandit_agent
    from recsim.agents.layers import cluster_click_statistics

    return cluster_click_statistics.ClusterClickStatsLayer(
        cluster_bandit_agent.ClusterBanditAgent, env.observation_space, env.action_space
    )


def steps_a_second(case: dict[str, Any], seconds: float) -> float:
    """Plays a case for about some seconds and returns the rate of its fastest part.

    Whatever else the machine does can only slow a part down.
    """
    module = importlib.import_module("recsim.environments." + case["environment"])
    env = module.create_environment(
        {
            "num_candidates": case["num_candidates"],
            "slate_size": case["slate_size"],
            "resample_documents": True,
            "seed": 0,
        }
    )
    env.seed(0)
    agent = make_agent(case["agent"], env)
    end = time.perf_counter() + seconds
    fastest = play(env, agent)
    while time.perf_counter() < end:
        fastest = min(fastest, play(env, agent))
    return STEPS_A_PART / fastest


def play(env: Any, agent: Any) -> float:
    """Plays a part, which begins an episode, and returns the seconds that it took."""
    start = time.perf_counter()
    slate = agent.begin_episode(env.reset())
    for _ in range(STEPS_A_PART):
        observation, reward, done, _ = env.step(slate)
        if done:
            agent.end_episode(reward, observation)
            slate = agent.begin_episode(env.reset())
        else:
            slate = agent.step(reward, observation)
    elapsed = time.perf_counter() - start
    agent.end_episode(reward, observation)
    return elapsed


def main() -> None:
    """Answers one request."""
    request = json.load(sys.stdin)
    rates = [steps_a_second(case, request["seconds"]) for case in request["cases"]]
    library = importlib.import_module("recsim").__file__
    json.dump({"rates": rates, "library": library}, sys.stdout)


if __name__ == "__main__":
    main()
