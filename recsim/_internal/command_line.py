"""What the project's commands share: errors of one line, and an orderly exit."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, Protocol

from recsim._internal import interrupts

__all__ = [
    "MOST",
    "REFUSALS",
    "Commands",
    "Options",
    "Parser",
    "existing_file",
    "integer",
    "orderly_exit",
    "user_errors",
]


# Errors whose messages say enough without the name of their kind.
_TELLING = (ValueError, TypeError, SyntaxError, OSError, ImportError, MemoryError, RuntimeError)

#: The errors of what a command cannot do, raised before it does anything.
REFUSALS = (ValueError, TypeError, SyntaxError, OSError, ImportError, MemoryError)

#: The greatest number that an option takes: more of anything would never end.
MOST = 10**15


class Options(Protocol):
    """A parser, or a group of its options."""

    def add_argument(self, *names: str, **settings: Any) -> argparse.Action:
        """Adds an option."""


class Commands(Protocol):
    """The commands of a program."""

    def add_parser(self, name: str, **settings: Any) -> Parser:
        """Adds a command, and returns its parser."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, and name the option nearest to an unknown one."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **kwargs)

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parses the arguments after the program's name; exits with code 2 if they are wrong."""
        options, unknown = self.parse_known_args(argv)
        if unknown:
            parser: Parser = getattr(options, "parser", self)
            parser._refuse(unknown[0].partition("=")[0])
        return options

    def _refuse(self, argument: str) -> NoReturn:
        if not argument.startswith("-"):
            self.error(f"unexpected argument {argument!r}")
        from recsim._internal import validation

        suggestion = validation.nearest_name(argument, self._option_string_actions)
        self.error(f"there is no option {argument!r}.{suggestion} {self.prog} --help shows them.")

    def error(self, message: str) -> NoReturn:
        """Writes one line to the standard error stream and exits with code 2."""
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())}\n")


def integer(minimum: int, maximum: int | None = None) -> Callable[[str], int]:
    """Returns a type for argparse: a whole number in a range, bounds included.

    Without a maximum it is :data:`MOST`.
    """
    wanted = f"an integer >= {minimum}" if maximum is None else f"in [{minimum}, {maximum}]"

    def convert(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = minimum - 1
        if number < minimum or (maximum is not None and number > maximum):
            raise argparse.ArgumentTypeError(f"must be {wanted}, got {text!r}")
        if number > MOST:
            raise argparse.ArgumentTypeError(f"must be at most {MOST:,}, got {text!r}")
        return number

    return convert


def existing_file(path: str) -> str:
    """A type for argparse: the path of a file that can be read, with ``~`` expanded."""
    file = os.path.expanduser(path)
    if not (os.path.isfile(file) and os.access(file, os.R_OK)):
        raise argparse.ArgumentTypeError(f"must be a file that can be read, got {path!r}")
    return file


@contextlib.contextmanager
def user_errors(parser: Parser, *errors: type[Exception]) -> Iterator[None]:
    """Turns errors of these kinds, which what the user asked for causes, into one line."""
    try:
        yield
    except errors as error:
        message = re.sub(r"^\[Errno \d+\] ", "", str(error))
        # Gin tells which constructors it called, which a user of the command does not know.
        message = message.partition("In call to configurable")[0].strip()
        if not (message and isinstance(error, _TELLING)):
            message = f"{type(error).__name__}: {message}"
        parser.error(message)


@contextlib.contextmanager
def orderly_exit(program: str) -> Iterator[None]:
    """Leaves with a message on Ctrl-C (code 130) and SIGTERM (143), silently if nobody reads.

    A training continues to the end of its episode before, and saves a checkpoint.
    """
    try:
        with interrupts.terminable():
            yield
            sys.stdout.flush()
    except KeyboardInterrupt as error:
        number = getattr(error, "signal", signal.SIGINT)
        what = "interrupted" if number == signal.SIGINT else "terminated"
        print(f"\n{program}: {what}", file=sys.stderr)
        sys.exit(128 + number)
    except BrokenPipeError:
        # Python flushes the stream once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
