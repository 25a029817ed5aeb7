"""The command ``recsim checkpoints``: lists what is in the checkpoints of a run."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from recsim._internal import command_line

__all__ = ["add_parser", "run"]

_DESCRIPTION = """\
Lists the checkpoints in a folder and the folders in it: the iteration and the
number of training steps, the agent and the scenario, and whether it is good. It
changes nothing, and may be used while a training runs.
"""

_NAME = re.compile(r".+\.([0-9]+|interrupted)(\.bad(_[0-9]+)?)?", re.DOTALL)
_MOST_CHARACTERS = 300


def add_parser(commands: command_line.Commands, arguments: Sequence[str]) -> None:
    """Adds the command to others."""
    del arguments
    parser = commands.add_parser(
        "checkpoints",
        usage="%(prog)s FOLDER",
        help="list the checkpoints of a run",
        description=_DESCRIPTION,
    )
    parser.set_defaults(parser=parser, run=run)
    parser.add_argument(
        "folder", metavar="FOLDER", help="the folder of a run (its base_dir or --output), or in it"
    )


def run(options: argparse.Namespace) -> int:
    """Prints the list; ends with an error of one line where there is nothing to list."""
    folder = os.path.abspath(os.path.expanduser(options.folder))
    if not os.path.isdir(folder):
        options.parser.error(f"FOLDER must be a folder, got {options.folder!r}")
    lines = [tuple(map(_printable, _line(folder, path))) for path in _files(folder)]
    if not lines:
        options.parser.error(
            f"there are no checkpoints in {options.folder!r}: give the folder of a training run"
        )
    heads = ("file", "iteration", "steps", "agent", "scenario", "")
    rows = [heads, *lines]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads) - 1)]
    for row in rows:
        cells = [
            cell.rjust(width) if column in (1, 2) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, [*widths, 0], strict=True))
        ]
        print("  ".join(cells).rstrip())
    return 0


def _printable(text: str) -> str:
    """Returns text of whoever wrote the file as one that a terminal only shows."""
    if len(text) > _MOST_CHARACTERS:
        text = f"{text[:_MOST_CHARACTERS]}…"
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text
    )


def _files(folder: str) -> Iterator[str]:
    """Yields the paths of what may be checkpoints, in the order of their iterations."""
    for path, folders, names in os.walk(folder):
        folders.sort()
        if path != folder and os.path.basename(path) != "checkpoints":
            continue
        found = [name for name in [*names, *folders] if _NAME.fullmatch(name)]
        for name in sorted(found, key=_order):
            yield os.path.join(path, name)


def _order(name: str) -> tuple[str, float, str]:
    prefix, _, rest = name.partition(".")
    number = rest.partition(".")[0]
    return prefix, float(number) if number.isdigit() else float("inf"), name


def _line(folder: str, path: str) -> tuple[str, ...]:
    from recsim.simulator import checkpoint, run_data

    name = os.path.relpath(path, folder)
    try:
        data = checkpoint.load(path)
        run_data.check(data, interrupted=path.endswith(".interrupted"))
    except checkpoint.CheckpointError as error:
        reason = str(error).replace(f"{path!r} ", "").partition(". ")[0]
        return name, "", "", "", "", f"bad: {' '.join(reason.split())}"
    except ValueError as error:
        return name, "", "", "", "", f"bad: no checkpoint of a run, {' '.join(str(error).split())}"
    except OSError as error:
        return name, "", "", "", "", f"bad: {error.strerror}"
    there = data.get("fingerprint")
    steps = data["total_steps"]
    state = "good"
    if "interrupted" in data:
        steps += data["interrupted"]["steps"]
        state = "good, in the middle of its iteration"
    elif not re.search(rf"\.0*{data['current_iteration']}(\.bad.*)?$", name):
        state = "good, but its name says another iteration"
    return (
        name,
        str(data["current_iteration"]),
        f"{steps:,}",
        "unknown" if there is None else _agent(there["agent"]),
        "unknown" if there is None else _scenario(there["scenario"]),
        state + (", the last" if data["finished"] else ""),
    )


def _agent(agent: Mapping[str, Any]) -> str:
    """Returns the names of an agent's class and of those in it."""
    inner = list(dict.fromkeys([*agent["algorithms"], *map(_agent, agent["agents"])]))
    return f"{agent['type']}({', '.join(inner)})" if inner else str(agent["type"])


def _scenario(scenario: Mapping[str, Any]) -> str:
    users = scenario.get("users")
    if isinstance(users, list):
        users = users[0] if users else None
    model = users.get("model") if isinstance(users, Mapping) else None
    parts = [str(model or scenario.get("environment"))]
    for name, text in (
        ("num_users", "users"),
        ("num_candidates", "candidates"),
        ("slate_size", "in a slate"),
    ):
        number = scenario.get(name)
        if isinstance(number, int) and (name, number) != ("num_users", 1):
            parts.append(f"{number:,} {text}")
    return ", ".join(parts)
