"""Microseconds of the parts of a step of one user, with 10 candidates and slates of 2.

    python tools/step_profile.py [--rounds 15]

Each part is timed alone, in processor time, as the shortest of the rounds of a thousand calls; the
whole step, with the resets in between, likewise. The rest is what the parts take longer for amid
the others, and what calls them.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable

from recsim import registry
from recsim.simulator import recsim_gym

CALLS = 1000
CONFIG = {"num_candidates": 10, "slate_size": 2, "resample_documents": True, "seed": 0}
SCENARIOS = ("interest_evolution", "long_term_satisfaction")


def microseconds(function: Callable[[], object], rounds: int) -> float:
    """Returns the processor time of a call."""
    shortest = float("inf")
    for _ in range(rounds):
        begin = time.thread_time()
        for _ in range(CALLS):
            function()
        shortest = min(shortest, time.thread_time() - begin)
    return shortest / CALLS * 1e6


def step(env: recsim_gym.RecSimGymEnv) -> None:
    """Shows the first two candidates; begins the next episode where one ends."""
    if env.step([0, 1])[2]:
        env.reset()


def parts_of(env: recsim_gym.RecSimGymEnv) -> dict[str, Callable[[], object]]:
    """Returns the parts of a step by name, each as a function."""
    inner = env.environment
    user, sampler = inner.user_model, inner._document_sampler  # noqa: SLF001
    ids = [*env.reset()["doc"]][:2]

    # A clicked slate, for a click is what changes a user.
    responses: list[object] = []
    shown = inner.candidate_set.get_documents(ids)
    while not any(response.clicked for response in responses):
        responses = user.simulate_response(shown)
    new = sampler.sample_candidates(10)

    def make() -> list[object]:
        new._made.clear()  # noqa: SLF001
        return new.get_documents(new._ids[:2])  # noqa: SLF001

    return {
        "sampling candidates": functools.partial(sampler.sample_candidates, 10),
        "observing candidates": sampler.sample_candidates(10).create_observation,
        "documents of the slate": make,
        "responses": lambda: user.simulate_response(shown),
        "update after a click": lambda: user.update_state(shown, responses),
        "observing the user": user.create_observation,
        "observing responses": lambda: [each.create_observation() for each in responses],
        "reward": lambda: env._reward_aggregator(responses),  # noqa: SLF001
    }


def main() -> None:
    """Prints a table for each scenario."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    for scenario in SCENARIOS:
        env = registry.create_environment(scenario, CONFIG)
        env.reset()
        whole = microseconds(lambda env=env: step(env), rounds)  # type: ignore[misc]
        parts = {name: microseconds(part, rounds) for name, part in parts_of(env).items()}
        print(f"{scenario}, a step {whole:.1f}")
        for name, part in {**parts, "the rest": whole - sum(parts.values())}.items():
            print(f"  {name:24} {part:5.1f}  {part / whole:4.0%}")


if __name__ == "__main__":
    main()
