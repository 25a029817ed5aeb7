"""What the backends of tasks cost: user-steps per second, seconds per task, memory.

``python -m recsim.benchmarks.scaling`` simulates users in interest exploration with the random
agent on each backend and with each number of workers, interleaved, and then many tasks that do
nothing. Every run is a process of its own, whose greatest memory is that of the driver, which
collects the returns, of half the size (float32). The time to start a cluster is measured apart; it
includes a small simulation, for which workers import what they need.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from recsim import clusters, parallel, registry, types
from recsim._internal import command_line, resources
from recsim.experiments import tables
from recsim.vector import env as vector_env
from recsim.vector import simulate

__all__ = ["NUM_TASKS", "Run", "main", "measured", "measured_in_a_process"]

#: Number of tasks that do nothing.
NUM_TASKS = 200

_CONFIG = {"num_candidates": 10, "slate_size": 2, "resample_documents": True, "seed": 0}
_SCENARIO = "interest_exploration"


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run took.

    Attributes:
        start_seconds: until the cluster had run its first tasks.
        seconds: of the simulation.
        task_seconds: of a task that does nothing, on all workers together.
        peak_mib: greatest memory of the process that collects the results, in MiB.
        total: sum of the returns, which no backend changes.
    """

    start_seconds: float
    seconds: float
    task_seconds: float
    peak_mib: float
    total: float


def measured(backend: str, workers: int, num_users: int, num_steps: int) -> Run:
    """Simulates users on a backend, from this process, and returns what it took."""
    begin = time.perf_counter()
    with clusters.connect(backend, workers=workers) as cluster:
        run = functools.partial(
            simulate.simulate,
            _make_environment,
            _make_agent,
            seed=0,
            workers=workers,
            backend="loky" if cluster is None else cluster,
            dtype="float32",
        )
        run(parallel.usable_cores() * 4096, num_steps=1)
        started = time.perf_counter()
        result = run(num_users, num_steps=num_steps)
        simulated = time.perf_counter()
        tasks = [parallel.Task(str(number), _nothing, {}, 1) for number in range(NUM_TASKS)]
        for _ in parallel.run_tasks(tasks, workers, lambda done: None, backend=cluster):
            pass
        ended = time.perf_counter()
    return Run(
        start_seconds=started - begin,
        seconds=simulated - started,
        task_seconds=(ended - simulated) / NUM_TASKS,
        peak_mib=resources.peak_memory() / 2**20,
        total=float(result.returns.sum(dtype=float)),
    )


def _make_environment(*, num_envs: int, first_user: int) -> vector_env.RecSimVectorEnv:
    return registry.create_vector_environment(_SCENARIO, _CONFIG, num_envs, first_user=first_user)


def _make_agent(env: vector_env.RecSimVectorEnv) -> types.VectorAgent:
    return registry.create_vector_agent("random", env)


def _nothing(advance: parallel.Advance) -> parallel.Result:
    return {}


def measured_in_a_process(backend: str, workers: int, num_users: int, num_steps: int) -> Run:
    """Simulates users on a backend from a process of its own, see :func:`measured`."""
    command = [sys.executable, "-m", "recsim.benchmarks.scaling", "--one-run", backend]
    command += ["--workers", str(workers), "--users", str(num_users), "--steps", str(num_steps)]
    result = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return Run(**json.loads(result.stdout.splitlines()[-1]))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark and prints its table; returns the exit status."""
    with command_line.orderly_exit("scaling"):
        options = _parser().parse(sys.argv[1:] if argv is None else argv)
        if options.one_run:
            (workers,) = options.workers
            run = measured(options.one_run, workers, options.users, options.steps)
            print(json.dumps(dataclasses.asdict(run)))
            return 0
        runs: dict[tuple[str, int], list[Run]] = {
            (backend, workers): [] for backend in options.backends for workers in options.workers
        }
        for _ in range(options.rounds):
            for (backend, workers), of_kind in runs.items():
                of_kind.append(
                    measured_in_a_process(backend, workers, options.users, options.steps)
                )
        user_steps = options.users * options.steps
        rows = [_row(*kind, of_kind, user_steps) for kind, of_kind in runs.items()]
        header = ["backend", "workers", "user-steps/s", "start", "per task", "driver's memory"]
        title = f"{options.users:,} users, {options.steps} steps, {_SCENARIO}, random agent"
        print(tables.plain(tables.Table(title, header, rows), width=100))
        totals = {run.total for of_kind in runs.values() for run in of_kind}
        print(f"\nAll returns are {'equal' if len(totals) == 1 else 'NOT equal'}.")
        return 0 if len(totals) == 1 else 1


def _row(backend: str, workers: int, runs: Sequence[Run], user_steps: int) -> list[str]:
    def median(name: str) -> float:
        return float(statistics.median(getattr(run, name) for run in runs))

    return [
        backend,
        str(workers),
        f"{user_steps / median('seconds'):,.0f}",
        f"{median('start_seconds'):.1f} s",
        f"{1000 * median('task_seconds'):.1f} ms",
        f"{max(run.peak_mib for run in runs):.0f} MiB",
    ]


def _parser() -> command_line.Parser:
    parser = command_line.Parser(
        prog="python -m recsim.benchmarks.scaling", description=__doc__.partition("\n")[0]
    )
    count = command_line.integer(1)
    parser.add_argument(
        "--backends", nargs="+", choices=clusters.BACKENDS, default=list(clusters.BACKENDS)
    )
    parser.add_argument("--workers", nargs="+", type=count, default=[1, 2], metavar="N")
    parser.add_argument("--users", type=count, default=1_000_000, metavar="N")
    parser.add_argument("--steps", type=count, default=20, metavar="N")
    parser.add_argument("--rounds", type=count, default=3, metavar="N")
    parser.add_argument("--one-run", choices=clusters.BACKENDS, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
