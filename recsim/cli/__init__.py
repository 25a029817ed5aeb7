"""The ``recsim`` command: a module for each of its commands, and the parser that they share.

Nothing that takes time to import is imported before it is needed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from recsim._internal import command_line, version
from recsim.cli import bench, checkpoints, fit, leaderboard, listing, ope, reproduce, run, watch

__all__ = ["main"]

_COMMANDS = (run, watch, reproduce, leaderboard, bench, checkpoints, ope, fit, listing)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the ``recsim`` command.

    Args:
        argv: the arguments after the program's name; those of the process by default.

    Returns:
        The exit code.
    """
    arguments = [_hyphenated(argument) for argument in (sys.argv[1:] if argv is None else argv)]
    with command_line.orderly_exit("recsim"):
        parser = _parser(arguments)
        options = parser.parse(arguments)
        options.arguments = arguments
        if options.command is None:
            parser.print_help()
            return 0
        code: int = options.run(options)
    return code


def _hyphenated(argument: str) -> str:
    """Returns an option with hyphens in its name, another argument as it is."""
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value if name.startswith("--") else argument


def _parser(arguments: Sequence[str]) -> command_line.Parser:
    """Returns the parser, with the options of the experiment that the arguments name."""
    parser = command_line.Parser(
        prog="recsim", description="Simulation of recommender systems that interact with users."
    )
    parser.add_argument("--version", action="version", version=f"recsim {version.__version__}")
    commands = parser.add_subparsers(
        dest="command", metavar="{run,watch,reproduce,leaderboard,bench,checkpoints,ope,fit,list}"
    )
    for command in _COMMANDS:
        command.add_parser(commands, arguments)
    return parser
