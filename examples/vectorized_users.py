"""Simulates 100,000 users in the vector engine, over all cores of the machine.

The results do not depend on the number of workers, nor user 0's on how many users there are.
"""

from __future__ import annotations

import argparse
import functools
import time

from recsim.agents import random_agent
from recsim.environments import long_term_satisfaction
from recsim.vector import simulate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--users", type=int, default=100_000, help="(%(default)s)")
    parser.add_argument("--workers", type=int, default=None, help="processes (one a core)")
    args = parser.parse_args()

    config = {"num_candidates": 10, "slate_size": 2, "resample_documents": True, "seed": 0}
    start = time.perf_counter()
    result = simulate.simulate(
        functools.partial(long_term_satisfaction.create_vector_environment, config),
        random_agent.VectorRandomAgent,
        num_users=args.users,
        num_steps=50,
        workers=args.workers,
    )
    seconds = time.perf_counter() - start
    print(f"{args.users:,} users, {50 * args.users / seconds:,.0f} user-steps per second")
    print(f"mean engagement of 50 steps: {result.returns.mean():.1f}")


if __name__ == "__main__":
    main()
