"""What the libraries that NumPy may be built with, and TensorFlow, take their threads from."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from recsim._internal import process_state

__all__ = ["ONE_THREAD", "one_in_new_processes"]

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


@contextlib.contextmanager
def one_in_new_processes() -> Iterator[None]:
    """Lets processes that inherit this one's environment use one thread, in a block."""
    with process_state.environment_kept(*ONE_THREAD):
        os.environ.update(ONE_THREAD)
        yield
