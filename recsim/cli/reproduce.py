"""The command ``recsim reproduce``: published results, repeated."""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import sys
from collections.abc import Sequence

from recsim import registry
from recsim._internal import command_line
from recsim.cli import _options

__all__ = ["add_parser", "run"]

_DESCRIPTION = """\
Repeats published experiments and shows the results beside the published ones,
with figures. What is finished stays in the output folder: after an interruption
the same command resumes from there and ends with the same numbers.
"""


def add_parser(commands: command_line.Commands, arguments: Sequence[str]) -> None:
    """Adds the command to others, with the options of the experiment that the arguments name."""
    parser = commands.add_parser(
        "reproduce",
        usage="%(prog)s EXPERIMENT [option ...]",
        help="repeat published experiments",
        description=_DESCRIPTION,
    )
    parser.set_defaults(parser=parser, run=run)
    parser.add_argument(
        "experiment",
        metavar="EXPERIMENT",
        type=_experiment,
        help=f"one of: {', '.join(registry.REPRODUCTIONS)} (EXPERIMENT --help has its options)",
    )
    if name := _named_experiment(arguments):
        parser.prog, parser.usage = f"{parser.prog} {name}", "%(prog)s [option ...]"
        group = parser.add_argument_group(f"options of {name}")
        registry.reproduction_entry(name).load().add_options(group)
    _options.add_quick(parser)
    _options.add_seed(parser, "seed of everything")
    _options.add_workers(parser, needs=", which must have the output folder, too")
    parser.add_argument(
        "--output",
        metavar="FOLDER",
        help="folder for the files: new, empty, or that of the same command before (default: "
        "recsim_runs/EXPERIMENT, with --quick recsim_runs/EXPERIMENT_quick)",
    )
    _options.add_quiet(parser)


def _named_experiment(arguments: Sequence[str]) -> str | None:
    """Returns the first experiment that the arguments name, None if there is none."""
    for before, argument in itertools.pairwise(arguments):
        if argument in registry.REPRODUCTIONS and before != "--output":
            return argument
    return None


def _experiment(name: str) -> str:
    """A type for argparse: the name of a reproduction."""
    try:
        registry.reproduction_entry(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return name


def run(options: argparse.Namespace) -> int:
    """Runs the experiment and prints its tables; returns the exit code."""
    from recsim.reproductions import base

    name = options.experiment
    folder = options.output or os.path.join("recsim_runs", name + "_quick" * options.quick)
    with command_line.user_errors(options.parser, *command_line.REFUSALS):
        experiment = registry.reproduction_entry(name).load().from_options(options)
        base.prepare(experiment, folder)
    try:
        with command_line.user_errors(
            options.parser, ValueError, OSError, MemoryError, ImportError, base.TaskError
        ):
            record = base.run(
                experiment,
                folder,
                workers=options.workers,
                backend=options.backend,
                address=options.address,
                show_progress=False if options.quiet else None,
                arguments=options.arguments,
            )
    except KeyboardInterrupt:
        print(f"\nThe same command resumes with what is in {folder}.", file=sys.stderr, end="")
        raise
    text = base.text(experiment, record, shutil.get_terminal_size().columns)
    _options.print_text(f"{text}\n\nFiles: {folder} (results.json, table.md, figures)")
    return 0
