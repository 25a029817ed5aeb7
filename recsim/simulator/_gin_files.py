"""Loading of gin's configuration files and bindings."""

from __future__ import annotations

import os
from collections.abc import Sequence

from recsim._internal import bindings, paths

__all__ = ["load_gin_configs"]


def load_gin_configs(gin_files: Sequence[paths.Path], gin_bindings: Sequence[str]) -> None:
    """Loads configuration files and bindings of gin; later ones override earlier ones.

    If one is wrong, none is applied.

    Args:
        gin_files: paths of configuration files; a leading ``~`` is expanded.
        gin_bindings: bindings such as ``'runner_lib.Runner.max_steps_per_episode=100'``.

    Raises:
        ValueError: if a binding names something unknown; the error suggests the nearest name.
        OSError: if a file cannot be read.
    """
    if isinstance(gin_files, (str, os.PathLike)):
        gin_files = [gin_files]
    bindings.load([os.path.expanduser(os.fspath(file)) for file in gin_files or ()], gin_bindings)


# Where RecSim has it.
load_gin_configs.__module__ = "recsim.simulator.runner_lib"
