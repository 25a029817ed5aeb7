"""How much the library withstands: memory over hours, kills, full disks, spoiled files, bad calls.

``python -m recsim.benchmarks.endurance`` goes through the phases of
:data:`recsim.benchmarks.endurance.results.TITLES`, each with a stated length, prints their tables
and writes them as JSON and as a page in Markdown. ``--quick`` takes two minutes. What was found in
other phases before stays in the files. It needs Linux: processes are forked, and ``/proc`` is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsim._internal import lazy

if TYPE_CHECKING:
    from recsim.benchmarks.endurance import (
        absurd,
        calls,
        checkpoints,
        clear_errors,
        disks,
        file_faults,
        fuzzing,
        kills,
        outcomes,
        programs,
        results,
        soak,
    )

__all__ = [
    "absurd",
    "calls",
    "checkpoints",
    "clear_errors",
    "disks",
    "file_faults",
    "fuzzing",
    "kills",
    "outcomes",
    "programs",
    "results",
    "soak",
]

__getattr__, __dir__ = lazy.lazy_submodules(__name__, __all__)
