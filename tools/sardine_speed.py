"""Steps per second of topic boredom and of sardine-rec, interleaved, in four of its settings.

    pip install sardine-rec==1.0.8
    python tools/sardine_speed.py [--users 10000] [--rounds 5]

Both play random slates, sampled included: sardine-rec's environments those of their action spaces,
one user at a time, and this library's those of the random agent: users in parallel, in this process
and on all cores, less the time in which processes start.
"""

from __future__ import annotations

import argparse
import functools
import os
import platform
import time
from collections.abc import Callable
from importlib import metadata

import gymnasium
import numpy as np
import sardine  # noqa: F401  # Its ids.

from recsim import types
from recsim.agents import random_agent
from recsim.environments import topic_boredom
from recsim.vector import simulate

SETTINGS = {
    "single_static": "SingleItem-Static",
    "slate_bored": "SlateTopK-Bored",
    "slate_bored_drifting": "SlateTopK-BoredInf",
    "rerank_bored": "SlateRerank-Bored",
}
SARDINE_STEPS, STEPS, FEW, MANY = 3_000, 20, 5, 45


def of_sardine(env: gymnasium.Env) -> float:
    """Returns the steps per second of sardine-rec."""
    begin = time.perf_counter()
    for _ in range(SARDINE_STEPS):
        if env.step(env.action_space.sample())[2]:
            env.reset()
    return SARDINE_STEPS / (time.perf_counter() - begin)


def in_one_process(env: types.VectorEnv, agent: types.VectorAgent, num_users: int) -> float:
    """Returns the steps per second of users in parallel."""
    slates = agent.begin(env.reset()[0])
    begin = time.perf_counter()
    for _ in range(STEPS):
        slates = agent.step(*env.step(slates))
    return num_users * STEPS / (time.perf_counter() - begin)


def on_all_cores(make: Callable[..., types.VectorEnv], num_users: int) -> float:
    """Returns the steps per second of users in parallel, on all cores."""
    seconds = []
    for steps in (FEW, MANY):
        begin = time.perf_counter()
        simulate.simulate(make, random_agent.VectorRandomAgent, num_users, num_steps=steps)
        seconds.append(time.perf_counter() - begin)
    return num_users * (MANY - FEW) / (seconds[1] - seconds[0])


def main() -> None:
    """Prints a line for each setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("sardine-rec", "numpy"))
    print(f"python {platform.python_version()}, {versions}, {os.cpu_count()} cores")
    for variant, name in SETTINGS.items():
        env = gymnasium.make(f"sardine/{name}-v0", disable_env_checker=True)
        env.reset(seed=0)
        config = {**topic_boredom.VARIANTS[variant], "seed": 0}
        make = functools.partial(topic_boredom.create_vector_environment, config)
        many = make(options.users)
        agent = random_agent.VectorRandomAgent(many)
        in_one_process(many, agent, options.users)
        on_all_cores(make, options.users)
        rates = np.array(
            [
                (
                    of_sardine(env),
                    in_one_process(many, agent, options.users),
                    on_all_cores(make, options.users),
                )
                for _ in range(options.rounds)
            ]
        )
        medians = np.median(rates, axis=0)
        ratios = np.median(rates[:, 1:] / rates[:, :1], axis=0)
        print(
            f"{variant:22} {medians[0]:8,.0f} {medians[1]:11,.0f} {ratios[0]:5.0f}x "
            f"{medians[2]:11,.0f} {ratios[1]:5.0f}x",
            flush=True,
        )


if __name__ == "__main__":
    main()
