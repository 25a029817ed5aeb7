"""What a request needs and what the machine has, compared before memory or time is taken."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import os
import sys
import time
from collections.abc import Callable, Iterator

__all__ = [
    "check_days",
    "check_memory",
    "check_processes",
    "heap_in_use",
    "memory_of_process",
    "peak_memory",
    "return_free_memory",
    "shown",
    "usable_memory",
]

# What would take longer is refused.
_MOST_DAYS = 31

_CGROUP_FILE = "/proc/self/cgroup"
_CGROUP_ROOT = "/sys/fs/cgroup"

# Below this much nothing is looked up: every machine that runs Python has it.
_ALWAYS_THERE = 64 * 2**20

# Resident size of a process that has imported this library and NumPy: about 60 MiB on Linux.
_BYTES_OF_PROCESS = 48 * 2**20

# Memory is returned to the system no oftener than this.
_SECONDS_BETWEEN_RETURNS = 5.0
_last_return = -math.inf

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def check_memory(needed: int, what: str, remedy: str) -> None:
    """Raises MemoryError if a request needs more memory than this process can ever get.

    Args:
        needed: the least number of bytes that it needs.
        what: what needs them, in the plural, such as "10 users".
        remedy: what to do, such as "choose fewer users".

    Raises:
        MemoryError: with both figures.
    """
    if needed <= _ALWAYS_THERE:
        return
    limit = usable_memory()
    if limit is not None and needed > limit:
        raise MemoryError(
            f"{what} need at least {_shown_bytes(needed)} of memory{memory_of_process()}: {remedy}."
        )


def check_processes(number: int, remedy: str = "choose fewer workers") -> None:
    """Raises MemoryError if so many processes cannot be in memory at the same time."""
    check_memory(number * _BYTES_OF_PROCESS, f"{shown(number)} processes", remedy)


def check_days(days: float, what: str, remedy: str) -> None:
    """Raises ValueError if a request would take more than a month.

    Args:
        days: the least time that it takes.
        what: what takes it.
        remedy: what to do, such as "choose fewer rounds".

    Raises:
        ValueError: with both figures.
    """
    if days > _MOST_DAYS:
        raise ValueError(
            f"{what} would take at least {days:,.3g} days, more than {_MOST_DAYS}: {remedy}."
        )


def memory_of_process() -> str:
    """Returns a clause that says how much memory there is for this process, if that is known."""
    limit = usable_memory()
    return "" if limit is None else f", and there are {_shown_bytes(limit)} for this process"


def usable_memory() -> int | None:
    """Returns how many bytes of memory this process can have, None if the system does not say.

    That is the least of the machine's memory, the limits of its control groups (containers) and
    the limit of its address space.
    """
    return min(_limits(), default=None)


def _limits() -> Iterator[int]:
    with contextlib.suppress(AttributeError, ValueError, OSError):
        yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(ImportError):  # Not on Windows.
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            yield soft
    for path in _limit_files():
        with contextlib.suppress(OSError, ValueError), open(path, encoding="ascii") as file:
            yield int(file.read())  # "max" stands for no limit.


def _limit_files() -> Iterator[str]:
    """Yields the files with the limits of this process's control groups and those above them."""
    try:
        with open(_CGROUP_FILE, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:
            roots, name = ["", "unified"], "memory.max"
        elif "memory" in controllers.split(","):
            roots, name = ["memory"], "memory.limit_in_bytes"
        else:
            continue
        parts = [part for part in group.split("/") if part and part != ".."]
        for root in roots:
            for depth in range(len(parts) + 1):
                yield os.path.join(_CGROUP_ROOT, root, *parts[:depth], name)


def peak_memory() -> int:
    """Returns the greatest memory of this process so far, in bytes."""
    if os.name != "posix":
        import psutil  # type: ignore[import-untyped]

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def return_free_memory(*, at_once: bool = False) -> None:
    """Returns to the system what is free in this process's heap, every few seconds at most.

    The heap of the GNU C library keeps what is freed between blocks that are in use. Where arrays
    of many sizes come and go for hours, that is more and more, though the program holds no more.

    Args:
        at_once: whether to do so even if it was done a moment ago.
    """
    global _last_return
    now = time.monotonic()
    if at_once or now - _last_return > _SECONDS_BETWEEN_RETURNS:
        _last_return = now
        _trim()(0)


@functools.cache
def _trim() -> Callable[[int], object]:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # Other C libraries do not have it.
            return ctypes.CDLL(None).malloc_trim
    return lambda size: None


_OF_HEAP = ["arena", "ordblks", "smblks", "hblks", "hblkhd"]
_OF_HEAP += ["usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"]


class _HeapInfo(ctypes.Structure):
    """What ``mallinfo2`` of the GNU C library returns."""

    _fields_ = [(name, ctypes.c_size_t) for name in _OF_HEAP]


def heap_in_use() -> int | None:
    """Returns how many bytes of the C library's heap are in use, None if it does not say.

    Resident memory is more: there is Python's own heap, code, and what lies free between.
    """
    if sys.platform != "linux":
        return None
    try:
        ask = ctypes.CDLL(None).mallinfo2
    except (OSError, AttributeError):  # Other C libraries, and older ones, do not have it.
        return None
    ask.restype = _HeapInfo
    found = ask()
    return int(found.uordblks + found.hblkhd)


def shown(number: int) -> str:
    """Returns a count as people read it, however large it is."""
    if number < 10**15:
        return f"{number:,}"
    return f"{number:.3g}" if number < 10**300 else f"10^{math.log10(number):.0f}"


def _shown_bytes(number: int) -> str:
    unit = min(max(number.bit_length() - 1, 0) // 10, len(_UNITS) - 1)
    if number < 2**80:
        return f"{number / 2 ** (10 * unit):,.1f} {_UNITS[unit]}"
    return f"{shown(number >> (10 * unit))} {_UNITS[unit]}"
