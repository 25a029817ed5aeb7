"""The command ``recsim leaderboard``: a frozen benchmark of agents."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from recsim._internal import command_line
from recsim.cli import _options

if TYPE_CHECKING:
    from recsim.experiments.leaderboard import tasks

__all__ = ["add_parser", "run"]

_DESCRIPTION = """\
Trains and evaluates agents in the tasks of the leaderboard, which never change
under the name of a version, and writes a file for each agent, an entry, with
the returns of every seed, and a page of tables and figures. The same command
in the same folder resumes, and repeats nothing.
"""

_EXAMPLES = """\
examples:
  recsim leaderboard --quick
  recsim leaderboard --output board
  recsim leaderboard --agents my_agents.py:MyAgent random --output mine
  recsim leaderboard --check mine/entries/MyAgent.json
  recsim leaderboard --rerun mine/entries/MyAgent.json --tasks easy --seed 3
  recsim leaderboard --page board/entries mine/entries --output page
"""


def add_parser(commands: command_line.Commands, arguments: Sequence[str]) -> None:
    """Adds the command to others."""
    del arguments
    parser = commands.add_parser(
        "leaderboard",
        usage="%(prog)s [VERSION] [option ...]",
        help="run agents in the tasks of a frozen benchmark",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.set_defaults(parser=parser, run=run)
    what = parser.add_argument_group("what to run")
    what.add_argument(
        "version",
        metavar="VERSION",
        nargs="?",
        default="recsim-slates-v1",
        help="a version of the leaderboard (default: %(default)s)",
    )
    for names, metavar, text in (
        (
            ("--agents", "--agent"),
            "NAME",
            "agents of recsim list, short_term_oracle, module:class or file.py:class (default: "
            "every agent of the library)",
        ),
        (("--tasks", "--task"), "TASK", "tasks of the version (default: all)"),
    ):
        what.add_argument(*names, metavar=metavar, nargs="+", action="extend", help=text)
    _options.add_count(what, "--seeds", "how many seeds, from 0 on (default: those of the version)")
    _options.add_quick(what)
    other = parser.add_argument_group("what to do with entries, in place of a run")
    other.add_argument("--check", metavar="FILE", nargs="+", help="say whether files are entries")
    other.add_argument(
        "--rerun",
        metavar="FILE",
        help="repeat one cell of an entry, of --tasks and --seed, and compare",
    )
    other.add_argument(
        "--seed", metavar="N", type=command_line.integer(0), help="the seed of --rerun"
    )
    other.add_argument(
        "--page",
        metavar="FOLDER",
        nargs="+",
        help="make the page of the entries in these folders, in --output; of an agent that is in "
        "several, the entry in the first",
    )
    how = parser.add_argument_group("how")
    how.add_argument(
        "--output",
        metavar="FOLDER",
        help="folder for the files: new, empty, or that of the same version, which resumes "
        "(default: recsim_runs/VERSION)",
    )
    _options.add_workers(how, needs=", which must have the output folder, too")
    _options.add_quiet(how)


def run(options: argparse.Namespace) -> int:
    """Does what the options say; returns the exit code."""
    with (
        _options.modules_here(),
        command_line.user_errors(options.parser, *command_line.REFUSALS),
    ):
        _refuse_what_has_no_effect(options)
        if options.check:
            return _check(options.check)
        if options.rerun:
            return _rerun(options)
        if options.page:
            return _page(options)
        return _run(options)


def _refuse_what_has_no_effect(options: argparse.Namespace) -> None:
    """Raises ValueError for options that what is asked for does not take."""
    modes = [name for name in ("check", "rerun", "page") if getattr(options, name)]
    if len(modes) > 1:
        raise ValueError(f"--{modes[0]} and --{modes[1]} cannot be asked for together.")
    mode = modes[0] if modes else "run"
    takes = {
        "check": set(),
        "rerun": {"tasks", "seed"},
        "page": {"output"},
        "run": {"agents", "tasks", "seeds", "quick", "output"},
    }[mode]
    for name in ("agents", "tasks", "seeds", "seed", "quick", "output"):
        if getattr(options, name) not in (None, False) and name not in takes:
            where = "a run" if mode == "run" else f"--{mode}"
            raise ValueError(f"--{name} has no effect on {where}: leave it out.")


def _version(options: argparse.Namespace) -> tasks.Version:
    from recsim.experiments.leaderboard import tasks

    version = tasks.version_of(options.version)
    return version.quick() if options.quick else version


def _run(options: argparse.Namespace) -> int:
    from recsim.experiments import experiment, tables
    from recsim.experiments.leaderboard import entries, page, runs

    version = _version(options)
    folder = options.output or os.path.join("recsim_runs", version.name)
    place = runs.Place(
        options.workers, options.backend, options.address, False if options.quiet else None
    )
    failure = ""
    try:
        runs.run(
            version,
            folder,
            options.agents,
            only_tasks=options.tasks,
            seeds=options.seeds,
            place=place,
        )
    except experiment.ExperimentFailedError as error:
        failure = str(error)
    except KeyboardInterrupt:
        print(f"\nThe same command resumes with what is in {folder}.", file=sys.stderr, end="")
        raise
    if os.path.isdir(os.path.join(folder, entries.FOLDER)):
        # Those of earlier commands in the folder, too.
        found = entries.load_all(folder)
        width = shutil.get_terminal_size().columns
        files = entries.FOLDER
        if any(entry.agent == "random" and entry.tasks for entry in found):
            page.write(found, folder)
            _options.print_text(page.Board(found).plain(width))
            files += ", tables.md, findings.md, figures"
        else:
            _options.print_text(tables.plain(page.returns_table(found), width))
            _options.print_text("\nScores begin at random slates: run --agents random here, too.\n")
        _options.print_text(f"Files: {folder} ({files})")
    if failure:
        print(f"{options.parser.prog}: error: {failure}", file=sys.stderr)
    return 1 if failure else 0


def _check(files: Sequence[str]) -> int:
    from recsim.experiments.leaderboard import entries, tasks

    are_entries = True
    for path in files:
        try:
            entry = entries.load(path)
        except (OSError, ValueError) as error:  # The others are told of, too.
            print(error, file=sys.stderr)
            are_entries = False
            continue
        version = tasks.version_of(entry.version)
        seeds = [len(result.returns) for result in entry.tasks.values()]
        missing = set(version.tasks) - set(entry.tasks) - set(entry.not_applicable)
        whole = not missing and all(number == version.num_seeds for number in seeds)
        lacks = f"with {min(seeds, default=0)} of {version.num_seeds} seeds"
        if missing:
            lacks += f", without {', '.join(sorted(missing))}"
        _options.print_text(
            f"{path}: an entry of {entry.agent} in {version.name}, {'whole' if whole else lacks}."
        )
    return 0 if are_entries else 1


def _rerun(options: argparse.Namespace) -> int:
    from recsim._internal import provenance
    from recsim.experiments.leaderboard import entries, runs

    if options.seed is None or len(options.tasks or ()) != 1:
        raise ValueError("--rerun needs a cell: give --tasks with one task, and --seed.")
    entry = entries.load(options.rerun)
    place = runs.Place(progress=False if options.quiet else None)
    recorded, now = runs.rerun(entry, options.tasks[0], options.seed, place=place)
    same = recorded == now
    _options.print_text(
        f"{entry.agent} in {options.tasks[0]} with seed {options.seed}: {recorded!r} on record, "
        f"{now!r} now: {'the same' if same else 'not the same'}."
    )
    if not same and entry.tasks[options.tasks[0]].library != provenance.source_digest():
        _options.print_text("The code of recsim is not the one on record.")
    return 0 if same else 1


def _page(options: argparse.Namespace) -> int:
    from recsim.experiments.leaderboard import entries, page

    if options.output is None:
        raise ValueError("--page needs a folder for its files: give --output.")
    # What several folders have, such as the entry of random, counts in the first.
    found: dict[str, entries.Entry] = {}
    for folder in options.page:
        for entry in entries.load_all(folder):
            first = found.setdefault(entry.agent, entry)
            if (first.version, first.made_by) != (entry.version, entry.made_by):
                raise ValueError(
                    f"--page must have folders of one version and of different agents, got "
                    f"{entry.agent} of {first.version} made by {first.made_by}, and of "
                    f"{entry.version} made by {entry.made_by}."
                )
    written = page.write(list(found.values()), options.output)
    _options.print_text("\n".join(written))
    return 0
