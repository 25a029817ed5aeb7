"""Scripts that measure, run by this interpreter or by one that has another library."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import recsim

__all__ = ["check_library", "start"]

_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}


def start(python: str, script: str, errors: Any) -> subprocess.Popen[str]:
    """Starts a script that reads its standard input and answers on its standard output.

    Args:
        python: the interpreter.
        script: path of the script.
        errors: where its standard error stream goes, as subprocess has it.
    """
    # Another library's interpreter is isolated from what this one finds by PYTHONPATH.
    isolated = [] if python == sys.executable else ["-I"]
    return subprocess.Popen(
        [python, *isolated, script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        env={**os.environ, **_ENVIRONMENT},
    )


def check_library(python: str, library: str) -> None:
    """Raises RuntimeError if an interpreter that should have another library has this one.

    Args:
        python: the interpreter.
        library: the file of the package ``recsim`` that it imported.
    """
    if python != sys.executable and library == recsim.__file__:
        raise RuntimeError(
            f"{python} imports this library, not RecSim 0.2.4 or another version of it: name "
            "another one."
        )
