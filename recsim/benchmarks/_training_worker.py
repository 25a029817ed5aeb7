"""Trains a deep agent for a benchmark: runs under RecSim 0.2.4 and under this library alike.

:mod:`recsim.benchmarks.training` starts it as a script with either interpreter and takes
the time of the whole process. It reads a case as JSON from its standard input and writes how much
was done, and where the library is that did it.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recsim import types

ENV_CONFIG = {"num_candidates": 10, "slate_size": 3, "resample_documents": True, "seed": 0}


def make_agent(name: str, env: types.RecommenderEnv, settings: dict[str, Any]) -> types.SlateAgent:
    """Returns the agent that a case names, ready to be trained."""
    if hasattr(importlib.import_module("recsim"), "__version__"):
        return create_agent(name, None, env, settings)
    import tensorflow as tf

    tf.compat.v1.disable_v2_behavior()
    session = tf.compat.v1.Session()
    agent = create_agent(name, session, env, {**settings, "eval_mode": False})
    session.run(tf.compat.v1.global_variables_initializer())
    return agent


def create_agent(
    name: str, session: object, env: types.RecommenderEnv, settings: dict[str, Any]
) -> types.SlateAgent:
    """Calls the constructor, which both libraries have under the same name."""
    spaces: dict[str, Any] = {
        "observation_space": env.observation_space,
        "action_space": env.action_space,
    }
    if name == "full_slate_q":
        from recsim.agents import full_slate_q_agent

        return full_slate_q_agent.FullSlateQAgent(session, **spaces, **settings)
    from recsim.agents import slate_decomp_q_agent

    return slate_decomp_q_agent.create_agent(name, session, **spaces, **settings)


def train(agent: types.SlateAgent, env: types.RecommenderEnv, num_steps: int) -> int:
    """Runs episodes until there were so many steps; returns how many there were."""
    steps = 0
    while steps < num_steps:
        slate = agent.begin_episode(env.reset())
        while True:
            observation, reward, done, _ = env.step(slate)
            steps += 1
            if done:
                break
            slate = agent.step(reward, observation)
        agent.end_episode(reward, observation)
    return steps


def main() -> None:
    """Answers one request."""
    request = json.load(sys.stdin)
    environments = importlib.import_module("recsim.environments.interest_evolution")
    env = environments.create_environment(ENV_CONFIG)
    settings = {
        "min_replay_history": request["warm_up"],
        "epsilon_decay_period": request["steps"],
    }
    steps = train(make_agent(request["agent"], env, settings), env, request["steps"])
    library = importlib.import_module("recsim").__file__
    json.dump({"steps": steps, "library": library}, sys.stdout)


if __name__ == "__main__":
    main()
