"""Submodules that load at their first use, as PEP 562 has it."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable, Collection

__all__ = ["lazy_submodules"]


def lazy_submodules(
    package: str, names: Collection[str]
) -> tuple[Callable[[str], types.ModuleType], Callable[[], list[str]]]:
    """Returns the functions ``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: the package's name.
        names: the submodules to import when they are first asked for.
    """

    def getattr_(name: str) -> types.ModuleType:
        if name in names:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def dir_() -> list[str]:
        return sorted({*vars(sys.modules[package]), *names})

    return getattr_, dir_
