"""Submodules, and what is in them, that load at their first use, as PEP 562 has it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Collection, Mapping

__all__ = ["lazy_submodules"]


def lazy_submodules(
    package: str, names: Collection[str], contents: Mapping[str, str] | None = None
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Returns the functions ``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: the package's name.
        names: the submodules to import when they are first asked for.
        contents: what else the package offers, by name: the submodule that it is in, such as
            ``logs.reader``.
    """
    places = contents or {}

    def getattr_(name: str) -> object:
        if name in names:
            return importlib.import_module(f"{package}.{name}")
        if name in places:
            return getattr(importlib.import_module(f"{package}.{places[name]}"), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def dir_() -> list[str]:
        return sorted({*vars(sys.modules[package]), *names, *places})

    return getattr_, dir_
