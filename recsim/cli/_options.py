"""What the commands share: options of the same meaning, and printing."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from recsim import clusters
from recsim._internal import command_line

__all__ = [
    "add_count",
    "add_gin",
    "add_quick",
    "add_quiet",
    "add_seed",
    "add_workers",
    "modules_here",
    "print_text",
]


def add_count(group: command_line.Options, name: str, text: str, **settings: Any) -> None:
    """Adds an option that takes a number of something, at least 1."""
    group.add_argument(name, metavar="N", type=command_line.integer(1), help=text, **settings)


def add_seed(group: command_line.Options, text: str) -> None:
    """Adds the option of the seed of everything."""
    group.add_argument(
        "--seed",
        metavar="N",
        type=command_line.integer(0, 2**32 - 1),
        default=0,
        help=f"{text} (default: %(default)s)",
    )


def add_gin(
    group: command_line.Options, example: str = "ClusterBanditAgent.ci_scaling = 0.5"
) -> None:
    """Adds the options of gin's bindings."""
    group.add_argument(
        "--gin-files",
        metavar="FILE",
        nargs="+",
        action="extend",
        type=command_line.existing_file,
        help="files of gin bindings",
    )
    group.add_argument(
        "--gin-bindings",
        metavar="BINDING",
        nargs="+",
        action="extend",
        help=f"gin bindings, such as '{example}'",
    )


def add_quick(group: command_line.Options) -> None:
    """Adds the option that asks for a small version."""
    group.add_argument(
        "--quick", action="store_true", help="a small version, unless other options say otherwise"
    )


def add_workers(
    group: command_line.Options, default: str = "as many as there are cores", needs: str = ""
) -> None:
    """Adds the options that say where tasks run, and how many at a time.

    Args:
        group: what they are added to.
        default: how many there are where nothing is said, in words.
        needs: what a cluster must have, in words.
    """
    add_count(group, "--workers", f"tasks at a time, which changes no result (default: {default})")
    group.add_argument(
        "--backend",
        choices=clusters.BACKENDS,
        default="loky",
        help="where tasks run: processes of this machine, or a cluster of Ray or Dask"
        f"{needs} (default: %(default)s)",
    )
    group.add_argument(
        "--address",
        help="the cluster's, such as auto or tcp://10.0.0.1:8786 (default: one of this machine, "
        "which starts and ends with the command)",
    )


def add_quiet(group: command_line.Options) -> None:
    """Adds the option that hides the progress."""
    group.add_argument("--quiet", action="store_true", help="show no progress")


def print_text(text: str) -> None:
    """Prints text, with plainer signs where the stream cannot show these."""
    encoding = sys.stdout.encoding or "ascii"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.replace("±", "+-").replace("–", "-")
    print(text)


@contextlib.contextmanager
def modules_here() -> Iterator[None]:
    """Lets modules of the current directory be imported in the block, for agents of one's own."""
    here = os.getcwd()
    added = here not in sys.path and "" not in sys.path
    if added:
        sys.path.append(here)
    try:
        yield
    finally:
        if added:
            sys.path.remove(here)
