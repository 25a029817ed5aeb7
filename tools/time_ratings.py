"""Times a fit to generated ratings, with its memory.

::

    python tools/time_ratings.py                                   # 1 million ratings
    python tools/time_ratings.py --ratings 10000000 --users 60000 --items 20000 --refits 0

Ratings are half stars, of effects of users and items, eight factors and noise.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from recsim import fitting

NUM_FACTORS = 8
ROWS_TOGETHER = 2**20


def generate(number: int, num_users: int, num_items: int) -> fitting.RatingsLog:
    """Returns ratings, of items of which some are rated much more often than others."""
    rng = np.random.default_rng(0)
    users = np.sort(rng.integers(0, num_users, number)).astype(np.int32)
    items = (num_items * rng.random(number) ** 2).astype(np.int32)
    of_users = rng.normal(0.0, 0.35, (num_users, NUM_FACTORS)).astype(np.float32)
    of_items = rng.normal(0.0, 0.6, (num_items, NUM_FACTORS)).astype(np.float32)
    user_effects, item_effects = rng.normal(0.0, 0.4, num_users), rng.normal(0.0, 0.5, num_items)
    ratings = np.empty(number, np.float32)
    for start in range(0, number, ROWS_TOGETHER):
        part = slice(start, start + ROWS_TOGETHER)
        user, item = users[part], items[part]
        exact = 3.5 + user_effects[user] + item_effects[item]
        exact += np.sum(of_users[user] * of_items[item], axis=1)
        ratings[part] = exact + rng.normal(0.0, 0.8, len(user))
    given = np.clip(np.round(2.0 * ratings) / 2.0, 0.5, 5.0)
    return fitting.RatingsLog(users=users, items=items, ratings=given)


def main() -> None:
    """Prints seconds, memory and held-out errors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ratings", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=6_000)
    parser.add_argument("--items", type=int, default=4_000)
    parser.add_argument("--refits", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    log = generate(options.ratings, options.users, options.items)
    start = time.perf_counter()
    result = fitting.fit(
        log, refits=options.refits, workers=options.workers, progress=False, tell=None
    )
    seconds = time.perf_counter() - start
    print(f"{log.num_ratings:,} ratings, {len(result.refits)} refits: {seconds:.0f} s")
    for who, kind in (("this process", "SELF"), ("a worker", "CHILDREN")):
        used = resource.getrusage(getattr(resource, f"RUSAGE_{kind}"))
        print(
            f"{who}: at most {used.ru_maxrss / 1024:.0f} MiB; processor time "
            f"{used.ru_utime + used.ru_stime:.0f} s"
        )
    print(f"held-out error of {result.chosen}: {result.candidate.error:.4f}")
    for name, error in result.baselines.items():
        print(f"held-out error of {name}: {error:.4f}")


if __name__ == "__main__":
    main()
