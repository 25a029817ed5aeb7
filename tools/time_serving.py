"""Times served agents: the start of a process that serves one, requests, and memory per user.

::

    python tools/time_serving.py

Prints the table of docs/serving.md. The start is of a new process, from the launch of Python to its
first recommendation, the least of several; requests are of 50 items, in the same process, timed by
the processor, so that what else the machine does counts little.
"""

from __future__ import annotations

import argparse
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable

import numpy as np

import recsim
from recsim import registry
from recsim.serving import Items, User

NUM_ITEMS = 50
AGENTS = {
    "random": "interest_exploration",
    "greedy_pctr": "interest_exploration",
    "cluster_bandit_ucb1": "interest_exploration",
    "cluster_bandit_ts": "interest_exploration",
    "slate_topk_sarsa": "interest_evolution",
    "slate_optimal_optimal_q": "interest_evolution",
}
START = """
import sys
import numpy as np
import recsim
from recsim.serving import Items, User
agent = recsim.load_agent(sys.argv[1])
agent.recommend(User(1, np.zeros(20)), Items(range(50), np.zeros((50, 20))))
assert "tensorflow" not in sys.modules
"""


def save_agents(folder: pathlib.Path) -> None:
    """Saves the agents to files of their names."""
    config = {"num_candidates": 10, "slate_size": 3, "resample_documents": True, "seed": 0}
    for name, scenario in AGENTS.items():
        environment = registry.create_environment(scenario, config)
        agent = registry.create_agent(name, environment, seed=0, eval_mode=True)
        agent.save(folder / name)


def starts(path: pathlib.Path, number: int) -> tuple[float, float]:
    """Returns the least seconds of a start, and the least processor seconds of one."""
    seconds, processor = [], []
    for _ in range(number):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", START, str(path)], check=True)
        seconds.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(seconds), min(processor)


def microseconds(function: Callable[[], object], number: int) -> float:
    """Returns the least mean processor time of a call, of five rounds."""
    rounds = []
    for _ in range(5):
        start = time.process_time()
        for _ in range(number):
            function()
        rounds.append((time.process_time() - start) / number)
    return 1e6 * min(rounds)


def requests(scenario: str) -> tuple[list[User], Items]:
    """Returns users and items of a scenario."""
    rng = np.random.default_rng(0)
    ids = [f"item {number}" for number in range(NUM_ITEMS)]
    if scenario == "interest_exploration":
        topics, qualities = rng.integers(0, 2, NUM_ITEMS), rng.uniform(1, 2, NUM_ITEMS)
        users = [User(number) for number in range(1000)]
        return users, Items(ids, {"cluster_id": topics, "quality": qualities})
    features = rng.uniform(-0.2, 0.2, (1000, 20))
    users = [User(number, features[number]) for number in range(1000)]
    return users, Items(ids, rng.uniform(-0.2, 0.2, (NUM_ITEMS, 20)))


def bytes_per_user(agent: recsim.serving.ServedAgent, users: list[User], items: Items) -> float:
    """Returns how much memory an agent takes for each user, at the first request."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for user in users:
        agent.recommend(user, items)
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return used / len(users)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--starts", type=int, default=10, help="(default: %(default)s)")
    args = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp())
    save_agents(folder)
    seconds, processor = starts(folder / "slate_optimal_optimal_q", args.starts)
    print(f"Start of SlateQ: {seconds:.2f} s, of which {processor:.2f} s are the processor's.\n")
    print("| agent | a request, µs | of a batch of 1,000 users, µs each | bytes per user |")
    print("| --- | --- | --- | --- |")
    for name, scenario in AGENTS.items():
        users, items = requests(scenario)
        agent = recsim.load_agent(folder / name)
        memory = bytes_per_user(agent, users, items)
        single = microseconds(lambda: agent.recommend(users[7], items), 300)  # noqa: B023
        batch = microseconds(lambda: agent.recommend(users, items), 1) / len(users)  # noqa: B023
        of_user = f"{memory:,.0f}" if agent.remembers_users else "none"
        print(f"| `{name}` | {single:.0f} | {batch:.0f} | {of_user} |")


if __name__ == "__main__":
    main()
