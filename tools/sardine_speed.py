"""Steps per second of topic boredom and of sardine-rec, interleaved, in its eight settings.

    pip install sardine-rec==1.0.8
    python tools/sardine_speed.py [--users 10000] [--rounds 5]

Both play random slates, sampled included: sardine-rec's environments those of their action spaces,
one user at a time, and this library's those of the random agent, users in parallel in this process.
The rate of a round is that of the fastest of sections of about ten milliseconds of processor time,
which alternate: whatever else the machine does can only slow a section down. The lines have the
medians of the rates, and those of the ratios of a round with their range.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from importlib import metadata

import gymnasium
import numpy as np
import sardine  # noqa: F401  # Its ids.

from recsim import types
from recsim.agents import random_agent
from recsim.environments import topic_boredom

SETTINGS = {
    "single_static": "SingleItem-Static",
    "single_bored_drifting": "SingleItem-BoredInf",
    "single_uncertain": "SingleItem-Uncertain",
    "slate_bored": "SlateTopK-Bored",
    "slate_bored_drifting": "SlateTopK-BoredInf",
    "slate_uncertain": "SlateTopK-Uncertain",
    "rerank_static": "SlateRerank-Static",
    "rerank_bored": "SlateRerank-Bored",
}
#: Steps of a section of sardine-rec, as long as a step of 10,000 users, and sections of a round.
SARDINE_STEPS, SECTIONS = 50, 60


def rates(
    one: gymnasium.Env, many: types.VectorEnv, agent: types.VectorAgent
) -> tuple[float, float]:
    """Returns the steps per second of sardine-rec and of users in parallel, of a round.

    A section of users in parallel is a step. Those in which episodes end count for as many as
    there are.
    """
    shortest = float("inf")
    seconds: dict[bool, list[float]] = {False: [], True: []}
    slates = agent.begin(many.reset()[0])
    for _ in range(SECTIONS):
        begin = time.process_time()
        for _ in range(SARDINE_STEPS):
            if one.step(one.action_space.sample())[2]:
                one.reset()
        middle = time.process_time()
        outcome = many.step(slates)
        slates = agent.step(*outcome)
        seconds[bool(outcome[2].any())].append(time.process_time() - middle)
        shortest = min(shortest, middle - begin)
    total = sum(len(steps) * min(steps) for steps in seconds.values() if steps)
    return SARDINE_STEPS / shortest, many.num_envs * SECTIONS / total


def main() -> None:
    """Prints a line for each setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("sardine-rec", "numpy"))
    print(f"python {platform.python_version()}, {versions}, {os.cpu_count()} cores")
    for variant, name in SETTINGS.items():
        one = gymnasium.make(f"sardine/{name}-v0", disable_env_checker=True)
        one.reset(seed=0)
        config = {**topic_boredom.VARIANTS[variant], "seed": 0}
        many = topic_boredom.create_vector_environment(config, options.users)
        agent = random_agent.VectorRandomAgent(many)
        rates(one, many, agent)
        all_rates = np.array([rates(one, many, agent) for _ in range(options.rounds)])
        rate, ratios = np.median(all_rates, axis=0), all_rates[:, 1] / all_rates[:, 0]
        print(
            f"{variant:22} {rate[0]:8,.0f} {rate[1]:11,.0f} {np.median(ratios):5.0f}x  "
            f"{ratios.min():.0f} to {ratios.max():.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
