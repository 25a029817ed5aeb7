"""The command ``recsim list``: environments, agents and reproductions by name."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Mapping, Sequence

from recsim import registry
from recsim._internal import command_line

__all__ = ["add_parser", "run"]


def add_parser(commands: command_line.Commands, arguments: Sequence[str]) -> None:
    """Adds the command to others."""
    del arguments
    parser = commands.add_parser("list", help="list what there is to run", description="Lists it.")
    parser.set_defaults(parser=parser, run=run)


def _variants(entry: registry.Entry) -> list[str]:
    """Returns lines of the names of an environment's variants, their ids in Gymnasium."""
    if not isinstance(entry, registry.EnvironmentEntry) or not entry.variants:
        return []
    names = [name for name, variant in entry.gymnasium_ids().items() if variant is not None]
    return textwrap.wrap(f"variants: {', '.join(names)}", 70, break_on_hyphens=False)


def run(options: argparse.Namespace) -> int:
    """Prints the lists; returns the exit code."""
    del options
    groups: dict[str, Mapping[str, registry.Entry]] = {
        "Environments": {**registry.ENVIRONMENTS, "FOLDER": registry.FITTED},
        "Agents": registry.AGENTS,
        "Reproductions": registry.REPRODUCTIONS,
    }
    width = max(len(name) for entries in groups.values() for name in entries)
    for title, entries in groups.items():
        print(title)
        for name, entry in entries.items():
            print(f"  {name:<{width}}  {entry.description}")
            for text in _variants(entry):
                print(f"  {'':<{width}}  {text}")
    return 0
