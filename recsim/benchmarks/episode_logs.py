"""What a Parquet log costs: impressions per second and core, and memory.

``python -m recsim.benchmarks.episode_logs`` plays interest evolution, whose documents have 20
features, with the random agent and candidates sampled anew at every step, once without a log and
once with one, interleaved. Every run is a process of its own. Times are processor time, of all
threads together; the time of the log is what a run with it takes more than the fastest run without.
Memory is the greatest that a process took.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from recsim import registry
from recsim._internal import command_line, resources
from recsim.experiments import tables
from recsim.logs import parquet
from recsim.simulator import rollout

__all__ = ["Run", "main", "measured", "measured_in_a_process"]

_CONFIG = {"num_candidates": 10, "slate_size": 2, "resample_documents": True, "seed": 0}
#: Of the table: numbers of users in parallel.
USERS = (2048, 50_000)


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run took.

    Attributes:
        seconds: processor time of the rollout, with its log.
        peak_mib: greatest memory of the process, in MiB.
        log_mib: size of the log, in MiB; 0 without one.
        impressions: number of impressions.
    """

    seconds: float
    peak_mib: float
    log_mib: float
    impressions: int


def measured(num_users: int, num_impressions: int, *, with_log: bool) -> Run:
    """Runs a rollout in this process and returns what it took.

    Args:
        num_users: number of users in parallel.
        num_impressions: the least number of impressions of all of them.
        with_log: whether to log them.
    """
    env = registry.create_vector_environment("interest_evolution", _CONFIG, num_users)
    agent = registry.create_vector_agent("random", env)
    num_steps = math.ceil(num_impressions / (num_users * env.slate_size))
    size = 0
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "episodes.parquet")
        logs = [parquet.VectorParquetLog(path, env)] if with_log else []
        vector_rollout = rollout.VectorRollout(env, agent, logs, follows_episodes=False)
        begin = time.process_time()
        vector_rollout.run_steps(num_steps)
        for log in logs:
            log.finish()
        seconds = time.process_time() - begin
        if with_log:
            size = sum(entry.stat().st_size for entry in os.scandir(path))
    num_impressions = num_steps * num_users * env.slate_size
    return Run(seconds, resources.peak_memory() / 2**20, size / 2**20, num_impressions)


def measured_in_a_process(num_users: int, num_impressions: int, *, with_log: bool) -> Run:
    """Runs a rollout in a process of its own and returns what it took, see :func:`measured`."""
    command = [sys.executable, "-m", "recsim.benchmarks.episode_logs"]
    command += [
        "--impressions",
        str(num_impressions),
        "--users",
        str(num_users),
        "--one-run",
        "log" if with_log else "none",
    ]
    result = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return Run(**json.loads(result.stdout))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark and prints its table; returns the exit status."""
    with command_line.orderly_exit("episode_logs"):
        options = _parser().parse(sys.argv[1:] if argv is None else argv)
        if options.one_run:
            (num_users,) = options.users
            run = measured(num_users, options.impressions, with_log=options.one_run == "log")
            print(json.dumps(dataclasses.asdict(run)))
            return 0
        rows = [_row(users, options.impressions, options.rounds) for users in options.users]
        header = ["users", "impressions", "log alone", "simulated and logged", "memory", "log"]
        title = "A Parquet log with 20 features: impressions per second and core, additional memory"
        print(tables.plain(tables.Table(title, header, rows), width=100))
    return 0


def _row(num_users: int, num_impressions: int, rounds: int) -> list[str]:
    runs: dict[bool, list[Run]] = {False: [], True: []}
    for _ in range(rounds):
        for with_log, of_kind in runs.items():
            of_kind.append(measured_in_a_process(num_users, num_impressions, with_log=with_log))
    without, logged = (min(of_kind, key=lambda run: run.seconds) for of_kind in runs.values())
    more_memory = max(run.peak_mib for run in runs[True]) - min(run.peak_mib for run in runs[False])
    return [
        f"{num_users:,}",
        f"{logged.impressions:,}",
        f"{logged.impressions / (logged.seconds - without.seconds):,.0f}",
        f"{logged.impressions / logged.seconds:,.0f}",
        f"{more_memory:.0f} MiB",
        f"{logged.log_mib:.0f} MiB",
    ]


def _parser() -> command_line.Parser:
    parser = command_line.Parser(
        prog="python -m recsim.benchmarks.episode_logs",
        description="Measures what a Parquet log of a vectorized rollout costs.",
    )
    parser.add_argument(
        "--impressions",
        metavar="N",
        type=command_line.integer(1),
        default=1_000_000,
        help="impressions of each run (default: %(default)s)",
    )
    parser.add_argument(
        "--users",
        metavar="N",
        nargs="+",
        type=command_line.integer(1),
        default=list(USERS),
        help="numbers of users in parallel (default: 2048 50000)",
    )
    parser.add_argument(
        "--rounds",
        metavar="N",
        type=command_line.integer(1),
        default=5,
        help="how often to measure everything, interleaved (default: %(default)s)",
    )
    parser.add_argument("--one-run", choices=["none", "log"], help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
