"""Trains SlateQ with users in parallel: runs under this and other versions of the library alike.

:mod:`recsim.benchmarks.vector_training` starts it as a script with either interpreter. It reads a
request as JSON from its standard input: the strategy, its settings, the scenario's config, numbers
of users, steps and users of the evaluation, a seed, and when the request was made. It writes the
seconds from then to the end of the training, which importing the libraries is part of; the seconds
of the steps alone; the processor seconds of the process until then; the mean return of new users;
and where the library is.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recsim.agents import slate_decomp_q_agent
    from recsim.vector import agent as vector_agent


def main() -> None:
    """Answers one request."""
    request = json.load(sys.stdin)

    import recsim
    from recsim.agents import slate_decomp_q_agent
    from recsim.environments import interest_evolution
    from recsim.vector import simulate

    strategy, seed = request["strategy"], request["seed"]
    make_environment = functools.partial(
        interest_evolution.create_vector_environment, {**request["config"], "seed": seed}
    )
    env = make_environment(num_envs=request["train_users"])
    agent = slate_decomp_q_agent.create_vector_agent(
        strategy, env, seed=seed, **request["settings"]
    )
    begin = time.time()
    observation, _ = env.reset()
    slates = agent.begin(observation)
    while agent.training_steps < request["steps"]:
        slates = agent.step(*env.step(slates))
    bundle = agent.serving_bundle()
    end, processor_seconds = time.time(), time.process_time()

    def serve(
        environment: vector_agent.UsersAndSpaces,
    ) -> slate_decomp_q_agent.VectorSlateDecompQAgent:
        served = slate_decomp_q_agent.create_vector_agent(
            strategy,
            environment,
            eval_mode=True,
            epsilon_eval=0.0,
            learn_no_click_value=request["settings"].get("learn_no_click_value", False),
        )
        served.unbundle("", 0, bundle)
        return served

    result = simulate.simulate(
        make_environment, serve, request["users"], num_episodes=1, seed=seed + 1, workers=1
    )
    answer = {
        "seconds": end - request["begin"],
        "seconds_of_steps": end - begin,
        "processor_seconds": processor_seconds,
        "return": float(result.returns.mean()),
        "library": recsim.__file__,
    }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
