"""Where the time of a step of one user goes, with 10 candidates and slates of 2.

    python tools/step_profile.py [--steps 20000]

Parts are timed where they are called, in the midst of whole steps: each without those that it calls
itself, and less what the clock takes. The figures are means over the faster half of the steps, for
whatever else the machine does can only slow a step down; their sum is the whole step.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from recsim import document, registry, seeding
from recsim.simulator import recsim_gym

CONFIG = {"num_candidates": 10, "slate_size": 2, "resample_documents": True, "seed": 0}
SCENARIOS = ("interest_evolution", "long_term_satisfaction")
CALLS = 20_000


class Clock:
    """Times functions, each without those timed functions that it calls.

    Attributes:
        names: the names of what is timed.
        spent: microseconds of each in the step under way.
        calls: calls of each likewise.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.spent: list[float] = []
        self.calls: list[int] = []
        self._inner = 0.0

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns a function that does what another one does, under the clock."""
        if name not in self.names:
            self.names.append(name)
            self.spent.append(0.0)
            self.calls.append(0)
        index, clock = self.names.index(name), time.perf_counter_ns

        def call(*arguments: object, **named: object) -> object:
            before, self._inner = self._inner, 0.0
            begin = clock()
            result = function(*arguments, **named)
            elapsed = (clock() - begin) / 1e3
            self.spent[index] += elapsed - self._inner
            self.calls[index] += 1
            self._inner = before + elapsed
            return result

        return call

    def time(self, owner: object, attribute: str, name: str) -> None:
        """Puts a method, or a function of a module, under the clock."""
        setattr(owner, attribute, self.timed(name, getattr(owner, attribute)))

    def begin_step(self) -> None:
        """Forgets the step before."""
        self.spent[:] = [0.0] * len(self.spent)
        self.calls[:] = [0] * len(self.calls)


def cost_of_clock() -> tuple[float, float]:
    """Returns the microseconds that a timed call adds to itself, and to what calls it."""
    clock = Clock()
    nothing = clock.timed("nothing", lambda: None)
    own, whole = [], []
    for _ in range(CALLS):
        clock.begin_step()
        begin = time.perf_counter_ns()
        nothing()
        whole.append((time.perf_counter_ns() - begin) / 1e3)
        own.append(clock.spent[0])
    return float(np.median(own)), float(np.median(whole) - 2 * np.median(own))


def time_parts(clock: Clock, env: recsim_gym.RecSimGymEnv) -> None:
    """Puts the parts of an environment's steps under the clock."""
    inner: Any = env.environment
    user, sampler = inner.user_model, inner._document_sampler  # noqa: SLF001
    clock.time(seeding, "integers_and_normals", "random numbers of candidates")
    clock.time(sampler, "sample_candidates", "candidates, otherwise")
    clock.time(document.LazyCandidateSet, "create_observation", "observing candidates")
    clock.time(inner, "_slate_documents", "documents of the slate")
    if hasattr(user, "choice_model"):
        clock.time(user.choice_model, "score_documents", "scores")
        clock.time(user.choice_model, "choose_item", "choice")
    clock.time(user, "simulate_response", "responses, otherwise")
    clock.time(user, "update_state", "update of the user")
    clock.time(user, "create_observation", "observing the user")
    clock.time(recsim_gym, "_observe_responses", "observing responses")
    clock.time(env, "_reward_aggregator", "reward")
    clock.time(env, "step", "what calls them")


def profile(scenario: str, num_steps: int) -> dict[str, float]:
    """Returns the microseconds of the parts of a step."""
    env = registry.create_environment(scenario, CONFIG)
    env.reset()
    for _ in range(20):  # The first steps are watched for NumPy's global generator.
        env.step([0, 1])
    originals = seeding.integers_and_normals, document.LazyCandidateSet.create_observation
    observe = recsim_gym._observe_responses  # noqa: SLF001
    clock = Clock()
    time_parts(clock, env)
    own, outer = cost_of_clock()
    rows = []
    slates = np.random.RandomState(0).rand(num_steps, 10).argsort(axis=1)[:, :2].tolist()
    for slate in slates:
        clock.begin_step()
        done = env.step(slate)[2]
        spent = np.subtract(clock.spent, own * np.array(clock.calls))
        # The last is what calls the others.
        spent[-1] -= outer * (sum(clock.calls) - 1)
        rows.append(spent)
        if done:
            env.reset()
    seeding.integers_and_normals = originals[0]
    document.LazyCandidateSet.create_observation = originals[1]  # type: ignore[method-assign]
    recsim_gym._observe_responses = observe  # noqa: SLF001
    table = np.array(rows)
    whole = table.sum(axis=1)
    means = table[whole <= np.median(whole)].mean(axis=0)
    return dict(zip(clock.names, means.tolist()))


def main() -> None:
    """Prints a table for each scenario."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20_000)
    num_steps = parser.parse_args().steps
    for scenario in SCENARIOS:
        parts = profile(scenario, num_steps)
        whole = sum(parts.values())
        print(f"{scenario}, a step {whole:.1f}")
        for name, part in parts.items():
            if part:
                print(f"  {name:30} {part:5.1f}  {part / whole:4.0%}")


if __name__ == "__main__":
    main()
