"""What the backends of tasks cost: user-steps per second, seconds per task, memory.

``python -m recsim.benchmarks.scaling`` simulates users in interest exploration with the random
agent on each backend and with each number of workers, interleaved, and then many tasks that do
nothing. Every run is a process of its own, whose greatest memory is that of the driver, which
collects the returns, of half the size (float32), or lets the workers write them (``--output``). The
time to start a cluster is measured apart; it includes a small simulation, for which workers import
what they need. The bytes per user are what the driver's memory grows by in the simulation.

The table of the documentation's page on clusters, and ten million users through Ray::

    python -m recsim.benchmarks.scaling --markdown
    python -m recsim.benchmarks.scaling --markdown --backends loky ray --users 10000000 --rounds 1
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence

import psutil  # type: ignore[import-untyped]

from recsim import clusters, parallel, registry, types
from recsim._internal import command_line, paths, resources
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
        bytes_per_user: by how much that is more than its memory before the simulation.
        total: what users did in all, which no backend changes.
    """

    start_seconds: float
    seconds: float
    task_seconds: float
    peak_mib: float
    bytes_per_user: float
    total: float


def measured(
    backend: str, workers: int, num_users: int, num_steps: int, output: str | None = None
) -> Run:
    """Simulates users on a backend, from this process, and returns what it took.

    Args:
        backend: its name.
        workers: their number.
        num_users: number of users.
        num_steps: steps of each.
        output: a folder for those that workers write returns to, which are removed afterwards;
            None to collect them.
    """
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
        before = psutil.Process().memory_info().rss
        started = time.perf_counter()
        with contextlib.ExitStack() as stack:
            if output is not None:
                output = stack.enter_context(tempfile.TemporaryDirectory(dir=output))
            result = run(num_users, num_steps=num_steps, output=output)
        simulated = time.perf_counter()
        peak = resources.peak_memory()
        tasks = [parallel.Task(str(number), _nothing, {}, 1) for number in range(NUM_TASKS)]
        for _ in parallel.run_tasks(tasks, workers, lambda done: None, backend=cluster):
            pass
        ended = time.perf_counter()
    return Run(
        start_seconds=started - begin,
        seconds=simulated - started,
        task_seconds=(ended - simulated) / NUM_TASKS,
        peak_mib=peak / 2**20,
        bytes_per_user=max(0, peak - before) / num_users,
        total=result.metrics["click"],
    )


def _make_environment(*, num_envs: int, first_user: int) -> vector_env.RecSimVectorEnv:
    return registry.create_vector_environment(_SCENARIO, _CONFIG, num_envs, first_user=first_user)


def _make_agent(env: vector_env.RecSimVectorEnv) -> types.VectorAgent:
    return registry.create_vector_agent("random", env)


def _nothing(advance: parallel.Advance) -> parallel.Result:
    return {}


def measured_in_a_process(
    backend: str, workers: int, num_users: int, num_steps: int, output: str | None = None
) -> Run:
    """Simulates users on a backend from a process of its own, see :func:`measured`."""
    command = [sys.executable, "-m", "recsim.benchmarks.scaling", "--one-run", backend]
    command += ["--workers", str(workers), "--users", str(num_users), "--steps", str(num_steps)]
    if output is not None:
        command += ["--output", output]
    result = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if result.returncode:  # It has said why.
        sys.exit(result.returncode)
    return Run(**json.loads(result.stdout.splitlines()[-1]))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark and prints its table; returns the exit status."""
    with command_line.orderly_exit("scaling"):
        parser = _parser()
        options = parser.parse(sys.argv[1:] if argv is None else argv)
        if options.one_run:
            (workers,) = options.workers
            where = options.users, options.steps, options.output
            with command_line.user_errors(parser, *command_line.REFUSALS):
                run = measured(options.one_run, workers, *where)
            print(json.dumps(dataclasses.asdict(run)))
            return 0
        if options.output is not None:
            with command_line.user_errors(parser, *command_line.REFUSALS):
                options.output = paths.absolute("output", options.output)
                paths.writable_folder("output", options.output)
        runs: dict[tuple[str, int], list[Run]] = {
            (backend, workers): [] for backend in options.backends for workers in options.workers
        }
        for _ in range(options.rounds):
            for (backend, workers), of_kind in runs.items():
                of_kind.append(
                    measured_in_a_process(
                        backend, workers, options.users, options.steps, options.output
                    )
                )
        user_steps = options.users * options.steps
        rows = [_row(kind, runs, user_steps) for kind in runs]
        header = ["backend", "workers", "user-steps/s", "of loky's", "start", "per task"]
        header += ["driver's memory", "bytes per user"]
        title = f"{options.users:,} users, {options.steps} steps, {_SCENARIO}, random agent"
        table = tables.Table(title, header, rows, num_labels=2)
        text = tables.markdown(table) if options.markdown else tables.plain(table, width=120)
        print(text)
        totals = {run.total for of_kind in runs.values() for run in of_kind}
        print(f"\nAll clicks are {'equal' if len(totals) == 1 else 'NOT equal'}.")
        return 0 if len(totals) == 1 else 1


def _row(
    kind: tuple[str, int], runs: Mapping[tuple[str, int], Sequence[Run]], user_steps: int
) -> list[str]:
    def median(name: str, kind: tuple[str, int] = kind) -> float:
        return float(statistics.median(getattr(run, name) for run in runs[kind]))

    of_loky = ("loky", kind[1])
    share = median("seconds", of_loky) / median("seconds") if of_loky in runs else None
    return [
        kind[0],
        str(kind[1]),
        f"{user_steps / median('seconds'):,.0f}",
        "" if share is None else f"{share:.2f}",
        f"{median('start_seconds'):.1f} s",
        f"{1000 * median('task_seconds'):.1f} ms",
        f"{max(run.peak_mib for run in runs[kind]):.0f} MiB",
        f"{median('bytes_per_user'):.0f}",
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
    parser.add_argument(
        "--output",
        metavar="FOLDER",
        help="let the workers write returns there, to a folder that goes",
    )
    parser.add_argument("--markdown", action="store_true", help="print a table of Markdown")
    parser.add_argument("--one-run", choices=clusters.BACKENDS, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
