"""The command ``recsim bench``: speed and memory."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from typing import Any

from recsim import registry
from recsim._internal import command_line
from recsim.cli import _options

__all__ = ["add_parser", "run"]

# Numbers of candidates and sizes of slates, numbers of users, rounds and seconds of a benchmark.
_FULL: dict[str, Any] = {
    "size": [(10, 2), (30, 2), (100, 2), (300, 2), (100, 10)],
    "users": [1, 1000, 10000, 100000],
    "rounds": 5,
    "seconds": 0.5,
}
_QUICK: dict[str, Any] = {
    "size": [(10, 2), (100, 10)],
    "users": [1, 10000],
    "rounds": 2,
    "seconds": 0.1,
}

_DESCRIPTION = """\
Measures speed and memory of environments with agents: of one user with the
single-user engine, of many with the vector engine on all processor cores. Every
combination of environment, agent, size and number of users is measured, as far
as the agent fits; an agent that is named and fits nowhere is an error.
"""

_EXAMPLES = """\
examples:
  recsim bench --quick
  recsim bench --environment interest_evolution --size 10x2 --users 1000 1000000
  recsim bench --recsim-python recsim024/bin/python --output bench.json
"""


def add_parser(commands: command_line.Commands, arguments: Sequence[str]) -> None:
    """Adds the command to others."""
    del arguments
    parser = commands.add_parser(
        "bench",
        usage="%(prog)s [option ...]",
        help="measure speed and memory",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.set_defaults(parser=parser, run=run)
    _add_options(parser)


def _add_options(parser: argparse.ArgumentParser) -> None:
    def defaults(name: str) -> str:
        return f"(default: {_shown(_FULL[name])}; quick: {_shown(_QUICK[name])})"

    _options.add_quick(parser)
    what = parser.add_argument_group("what to measure")
    what.add_argument(
        "--environment", metavar="NAME", nargs="+", help="environments (default: all)"
    )
    what.add_argument(
        "--agent",
        metavar="NAME",
        nargs="+",
        help="agents, or all (default: those that RecSim 0.2.4 can be measured with)",
    )
    what.add_argument(
        "--size",
        metavar="CxS",
        nargs="+",
        type=_size,
        help="numbers of candidates and sizes of slates, such as 10x2 " + defaults("size"),
    )
    _options.add_count(
        what,
        "--users",
        "numbers of users; 1 is the single-user engine " + defaults("users"),
        nargs="+",
    )
    what.add_argument(
        "--no-resample",
        action="store_true",
        help="all users share the same documents throughout (default: new ones at each step)",
    )
    what.add_argument(
        "--recsim-python",
        metavar="INTERPRETER",
        type=command_line.existing_file,
        help="the Python interpreter of an environment with RecSim 0.2.4, to measure it too",
    )
    what.add_argument(
        "--baseline-python",
        metavar="INTERPRETER",
        type=command_line.existing_file,
        help="the Python interpreter of an environment with another version of this library, to "
        "measure it too, interleaved: with six --rounds or more, the table has a 95%% confidence "
        "interval of the median ratio",
    )
    how = parser.add_argument_group("how to measure")
    _options.add_count(
        how, "--rounds", "how often to measure everything, interleaved " + defaults("rounds")
    )
    how.add_argument(
        "--seconds",
        metavar="S",
        type=_positive_number,
        help="least time of each measurement " + defaults("seconds"),
    )
    _options.add_count(
        how,
        "--workers",
        "processes for users in parallel (default: as many as there are processor cores)",
    )
    files = parser.add_argument_group("files")
    files.add_argument("--output", metavar="FILE", help="a JSON file for the measurements")
    files.add_argument(
        "--figure",
        metavar="FILE",
        type=_figure_file,
        help="a figure (.png, .svg or .pdf): steps per second against users, and candidates",
    )
    _options.add_quiet(files)


def _shown(value: object) -> str:
    """Returns the value of an option of ``recsim bench`` as it is written there."""
    if isinstance(value, list):
        return " ".join(map(_shown, value))
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _size(text: str) -> tuple[int, int]:
    """A type for argparse: a number of candidates and the size of a slate."""
    try:
        num_candidates, slate_size = map(int, text.split("x"))
    except ValueError:
        num_candidates = slate_size = 0
    if not 1 <= slate_size <= num_candidates:
        raise argparse.ArgumentTypeError(
            f"must be a number of candidates and a size of slates, such as 10x2, got {text!r}"
        )
    return num_candidates, slate_size


def _figure_file(path: str) -> str:
    """A type for argparse: the name of a file for a figure."""
    if not path.endswith((".png", ".svg", ".pdf")):
        raise argparse.ArgumentTypeError(f"must end in .png, .svg or .pdf, got {path!r}")
    return path


def _positive_number(text: str) -> float:
    """A type for argparse: a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return number


def run(options: argparse.Namespace) -> int:
    """Measures and prints the tables; returns the exit code."""
    defaults = _QUICK if options.quick else _FULL
    sizes, users, rounds, seconds = (
        getattr(options, name) or default for name, default in defaults.items()
    )
    with command_line.user_errors(options.parser, *command_line.REFUSALS):
        for name in options.environment or ():
            registry.environment_entry(name)
        named = [] if options.agent == ["all"] else options.agent or []
        for name in named:
            registry.agent_entry(name)
        from recsim._internal import paths
        from recsim.benchmarks import throughput

        for name in ("output", "figure"):  # What cannot be written is told of now.
            if (file := getattr(options, name)) is not None:
                setattr(options, name, paths.output_file(f"--{name}", file))
        if options.output is not None and options.output == options.figure:
            raise ValueError("--output and --figure must be different files.")
        agents = named or (list(registry.AGENTS) if options.agent else throughput.RECSIM_AGENTS)
        cases = throughput.compatible_cases(
            options.environment or list(registry.ENVIRONMENTS),
            agents,
            sizes,
            users,
            resample_documents=not options.no_resample,
            every_agent=bool(named),
        )
    fitting = {case.agent for case in cases}
    if left_out := [agent for agent in agents if agent not in fitting]:
        print(f"Left out, as they fit nowhere here: {', '.join(left_out)}.", file=sys.stderr)
    with command_line.user_errors(options.parser, ValueError, RuntimeError, OSError, MemoryError):
        record = throughput.measure(
            cases,
            rounds=rounds,
            seconds=seconds,
            workers=options.workers,
            recsim_python=options.recsim_python,
            baseline_python=options.baseline_python,
            show_progress=False if options.quiet else None,
            arguments=options.arguments,
        )
    _options.print_text(throughput.text(record, shutil.get_terminal_size().columns))
    with command_line.user_errors(options.parser, OSError, ValueError):
        throughput.save(record, options.output, options.figure)
    return 0
