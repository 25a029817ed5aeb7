"""What the defaults of ``recsim run`` teach its agents: returns above chance, seed by seed.

``python -m recsim.benchmarks.default_training`` trains every agent of
:data:`recsim.registry.AGENTS` that learns, as ``recsim run --environment … --agent … random`` does
where nothing else is said, in the environment that the agent is meant for. It prints a table as
Markdown, a row an agent: the mean return above random's with its 95% interval, for each seed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from recsim import registry
from recsim._internal import command_line
from recsim.experiments import experiment, tables

__all__ = ["learning_agents", "main", "measured"]


def learning_agents(*, vector: bool) -> dict[str, str]:
    """Returns the agents that are trained, and the environment that each is meant for.

    Args:
        vector: whether only those that have a vector form.
    """
    return {
        name: entry.environment
        for name, entry in registry.AGENTS.items()
        if entry.learns
        and entry.environment is not None
        and (entry.create_vector is not None or not vector)
    }


def measured(agent: str, environment: str, seed: int, num_envs: int | None) -> dict[str, Any]:
    """Trains and evaluates an agent beside ``random``, with the defaults of ``recsim run``.

    Args:
        agent: its name.
        environment: the name of the environment.
        seed: seed of everything.
        num_envs: number of users in parallel; None for the single-user engine.

    Returns:
        ``agent``, ``environment``, ``seed``, ``num_envs``, ``steps`` and ``updates`` of the
        training, ``processor_seconds`` of all, and ``mean``, ``low`` and ``high`` of the returns
        above random's, see
        :func:`recsim.experiments.statistics.paired_difference`.
    """
    begin = _processor_seconds()
    results = experiment.experiment(
        [agent, "random"],
        environment,
        seeds=1,
        seed=seed,
        num_envs=num_envs,
        workers=1,
        progress=False,
    )
    if results.metadata.failures:
        raise RuntimeError(results.metadata.failures[0]["traceback"])
    summary = results.summary("random")
    (row,) = summary[(summary.measure == "return") & (summary.agent == agent)].to_dict("records")
    tasks: Any = results.metadata.provenance["tasks"]
    settings = tasks[f"{environment}/seed_{seed}/{agent}"]["settings"]
    return {
        "agent": agent,
        "environment": environment,
        "seed": seed,
        "num_envs": num_envs,
        "steps": settings["training_steps"][agent],
        "updates": settings["training_updates"][agent],
        "processor_seconds": _processor_seconds() - begin,
        "mean": row["difference"],
        "low": row["difference_low"],
        "high": row["difference_high"],
    }


def _processor_seconds() -> float:
    """Returns the processor time of this process and of those it has started and seen end."""
    return sum(os.times()[:4])


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, printing a row as soon as it is there.

    Args:
        argv: the arguments after the program's name; those of the process by default.

    Returns:
        The exit code: 1 if an interval is not above random's.
    """
    with command_line.orderly_exit("default_training"):
        options = _parser().parse(sys.argv[1:] if argv is None else argv)
        agents = learning_agents(vector=options.num_envs is not None)
        above = True
        rows = []
        for agent in options.agent or agents:
            environment = options.environment or agents[agent]
            records = []
            for seed in range(options.seeds):
                records.append(measured(agent, environment, seed, options.num_envs))
                print(_line(records[-1]), file=sys.stderr, flush=True)
            above = above and all(record["low"] > 0 for record in records)
            rows.append([agent, environment, *_cells(records)])
        header = ["agent", "environment", *(f"seed {seed}" for seed in range(options.seeds))]
        print(tables.markdown(tables.Table(_title(options), [*header, "updates", "s"], rows)))
    return 0 if above else 1


def _title(options: argparse.Namespace) -> str:
    users = "one user at a time" if options.num_envs is None else f"{options.num_envs} users"
    return f"Return above random's with the defaults of recsim run, {users} (95% interval):"


def _cells(records: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield from map(_interval, records)
    yield f"{min(record['updates'] for record in records):,}"
    yield f"{max(record['processor_seconds'] for record in records):.0f}"


def _interval(record: dict[str, Any]) -> str:
    return f"{record['mean']:+.1f} ({record['low']:+.1f} to {record['high']:+.1f})"


def _line(record: dict[str, Any]) -> str:
    return (
        f"{record['agent']}, seed {record['seed']}: {_interval(record)}, {record['steps']:,} steps,"
        f" {record['updates']:,} updates, {record['processor_seconds']:.1f} s"
    )


def _parser() -> command_line.Parser:
    parser = command_line.Parser(
        prog="python -m recsim.benchmarks.default_training",
        description="Trains the agents that learn with the defaults of recsim run, and shows\n"
        "their returns above random's.",
    )
    parser.add_argument(
        "--agent",
        metavar="NAME",
        nargs="+",
        choices=list(learning_agents(vector=False)),
        help="agents (default: all that learn)",
    )
    parser.add_argument(
        "--environment",
        metavar="NAME",
        choices=list(registry.ENVIRONMENTS),
        help="the environment (default: the one that each agent is meant for)",
    )
    parser.add_argument(
        "--num-envs",
        metavar="N",
        type=command_line.integer(2),
        help="users in parallel (default: the single-user engine)",
    )
    parser.add_argument(
        "--seeds",
        metavar="N",
        type=command_line.integer(1),
        default=3,
        help="trainings of each agent (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
