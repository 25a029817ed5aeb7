"""Processor cores, and how many threads the libraries use that NumPy is built with."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from recsim._internal import process_state

__all__ = ["ONE_THREAD", "one_in_new_processes", "usable_cores"]

#: The environment variables of a process that is to use one thread.
ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "TF_NUM_INTRAOP_THREADS",
        "TF_NUM_INTEROP_THREADS",
    ),
    "1",
)


def usable_cores() -> int:
    """Returns how many processor cores this process may use."""
    import loky

    return int(loky.cpu_count())


@contextlib.contextmanager
def one_in_new_processes() -> Iterator[None]:
    """Lets processes that inherit this one's environment use one thread, in a block."""
    with process_state.environment_kept(*ONE_THREAD):
        os.environ.update(ONE_THREAD)
        yield
