"""What rollout workers gain: user-steps per second of trainings with and without them.

``python -m recsim.benchmarks.rollout_workers`` trains agents on users in parallel in interest
evolution: in one process, and with workers on each backend that simulate the users and choose the
slates, without and with staleness, interleaved. Every training is a process of its own. The steps
before the agent has learned for a while, and those in which workers start, do not count. Trainings
of equal staleness must have equal rewards.

The table of the documentation's page on clusters::

    python -m recsim.benchmarks.rollout_workers --markdown
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence

from recsim import clusters, registry, types
from recsim._internal import command_line
from recsim.experiments import tables
from recsim.simulator import rollout, runner_lib
from recsim.vector import env as vector_env
from recsim.vector import rollouts

__all__ = ["Case", "Run", "cases", "main", "measured", "measured_in_a_process"]

_PROGRAM = "python -m recsim.benchmarks.rollout_workers"
_CONFIG = {"num_candidates": 10, "slate_size": 3, "resample_documents": True, "seed": 0}
_SCENARIO = "interest_evolution"


@dataclasses.dataclass(frozen=True)
class Case:
    """A kind of training.

    Attributes:
        agent: the agent's name.
        workers: number of rollout workers; 0 for a training in one process.
        backend: where they are.
        staleness: see :class:`recsim.vector.rollouts.RolloutWorkers`.
    """

    agent: str
    workers: int = 0
    backend: str = "loky"
    staleness: int = 0


@dataclasses.dataclass(frozen=True)
class Run:
    """What a training took.

    Attributes:
        seconds: of the steps that count.
        rewards: the sum of all rewards, which the number of workers does not change.
    """

    seconds: float
    rewards: float


class _Watch(rollout.VectorListener):
    """Adds up rewards, and notes when steps were made."""

    def __init__(self) -> None:
        self.rewards = 0.0
        self.moments: list[float] = []

    def on_step(self, step: rollout.VectorStep) -> None:
        self.rewards += float(step.rewards.sum(dtype="float64"))
        self.moments.append(time.perf_counter())


def measured(case: Case, num_users: int, num_steps: int) -> Run:
    """Trains an agent, of which this process is the learner, and returns what it took.

    Args:
        case: how.
        num_users: number of users in parallel.
        num_steps: number of steps of each that count; before them there are as many others.
    """
    env = registry.create_vector_environment(_SCENARIO, _CONFIG, num_users)
    workers = None
    if case.workers:
        workers = rollouts.RolloutWorkers(case.workers, case.backend, staleness=case.staleness)
    watch = _Watch()
    with tempfile.TemporaryDirectory() as folder:
        runner_lib.TrainRunner(
            base_dir=folder,
            create_agent_fn=functools.partial(_create_agent, case.agent),
            env=env,
            max_training_steps=2 * num_steps * num_users,
            num_iterations=1,
            progress=False,
            listeners=[watch],
            rollout_workers=workers,
        ).run_experiment()
    return Run(watch.moments[-1] - watch.moments[num_steps - 1], watch.rewards)


def _create_agent(
    name: str,
    sess: object,
    environment: vector_env.RecSimVectorEnv,
    eval_mode: bool,
    summary_writer: types.SummaryWriter | None = None,
) -> types.VectorAgent:
    del sess, summary_writer
    return registry.create_vector_agent(name, environment, eval_mode=eval_mode)


def measured_in_a_process(case: Case, num_users: int, num_steps: int) -> Run:
    """Trains an agent in a process of its own, see :func:`measured`."""
    one = json.dumps(dataclasses.asdict(case))
    command = [sys.executable, "-m", "recsim.benchmarks.rollout_workers", "--one-run", one]
    command += ["--users", str(num_users), "--steps", str(num_steps)]
    result = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if result.returncode:  # It has said why.
        sys.exit(result.returncode)
    return Run(**json.loads(result.stdout.splitlines()[-1]))


def cases(
    agents: Sequence[str], backends: Sequence[str], workers: Sequence[int], staleness: Sequence[int]
) -> Iterator[Case]:
    """Yields the trainings to compare: of each agent, first that in one process.

    Args:
        agents: their names.
        backends: where workers are.
        workers: numbers of workers.
        staleness: as many steps may be missing; above 0 only for agents that take stale slates.
    """
    env = registry.create_vector_environment(_SCENARIO, _CONFIG, 1)
    for agent in agents:
        yield Case(agent)
        takes = getattr(registry.create_vector_agent(agent, env), "takes_stale_slates", False)
        for backend in backends:
            for number in workers:
                for steps in staleness:
                    if takes or not steps:
                        yield Case(agent, number, backend, steps)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark and prints its table; returns the exit status."""
    with command_line.orderly_exit("rollout_workers"):
        parser = _parser()
        options = parser.parse(sys.argv[1:] if argv is None else argv)
        if options.one_run:
            with command_line.user_errors(parser, *command_line.REFUSALS):
                case = Case(**json.loads(options.one_run))
                run = measured(case, options.users, options.steps)
            print(json.dumps(dataclasses.asdict(run)))
            return 0
        of_cases = cases(options.agents, options.backends, options.workers, options.staleness)
        runs: dict[Case, list[Run]] = {case: [] for case in of_cases}
        for _ in range(options.rounds):
            for case, of_case in runs.items():
                of_case.append(measured_in_a_process(case, options.users, options.steps))
        header = ["agent", "workers", "backend", "staleness", "user-steps/s", "of one process"]
        rows = [_row(case, runs, options.users * options.steps) for case in runs]
        title = f"{options.users:,} users in parallel, {options.steps} steps, {_SCENARIO}"
        table = tables.Table(title, header, rows, num_labels=3)
        print(tables.markdown(table) if options.markdown else tables.plain(table, width=100))
        rewards: dict[tuple[str, int], set[float]] = {}
        for case, of_case in runs.items():
            found = rewards.setdefault((case.agent, case.staleness), set())
            found.update(run.rewards for run in of_case)
        are_equal = all(len(found) == 1 for found in rewards.values())
        print(f"\nRewards are {'' if are_equal else 'NOT '}equal where agent and staleness are.")
        return 0 if are_equal else 1


def _row(case: Case, runs: Mapping[Case, Sequence[Run]], user_steps: int) -> list[str]:
    seconds = statistics.median(run.seconds for run in runs[case])
    alone = statistics.median(run.seconds for run in runs[Case(case.agent)])
    where = [str(case.workers), case.backend, str(case.staleness)] if case.workers else ["", "", ""]
    return [case.agent, *where, f"{user_steps / seconds:,.0f}", f"{alone / seconds:.2f}"]


def _parser() -> command_line.Parser:
    parser = command_line.Parser(prog=_PROGRAM, description=__doc__.partition("\n")[0])
    learning = [name for name, entry in registry.AGENTS.items() if entry.learns]
    count = command_line.integer(1)
    parser.add_argument(
        "--agents",
        nargs="+",
        choices=learning,
        default=["slate_topk_topk_q", "ppo"],
        metavar="NAME",
        help="agents that learn (default: %(default)s)",
    )
    parser.add_argument("--backends", nargs="+", choices=clusters.BACKENDS, default=["loky", "ray"])
    parser.add_argument("--workers", nargs="+", type=count, default=[1, 2], metavar="N")
    parser.add_argument(
        "--staleness", nargs="+", type=command_line.integer(0), default=[0, 1], metavar="N"
    )
    parser.add_argument("--users", type=count, default=8192, metavar="N")
    parser.add_argument("--steps", type=count, default=50, metavar="N")
    parser.add_argument("--rounds", type=count, default=3, metavar="N")
    parser.add_argument("--markdown", action="store_true", help="print a table of Markdown")
    parser.add_argument("--one-run", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
