"""Classes that gin configures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import gin

__all__ = ["configurable"]

_Class = TypeVar("_Class", bound=type)


def configurable(module: str | None = None) -> Callable[[_Class], _Class]:
    """Returns a decorator that lets gin configure a class, if its configuration is locked, too.

    Modules of this library are imported late, and a user may have loaded a configuration before,
    which locks it: gin would then refuse new classes.

    Args:
        module: the module in gin's name of the class; by default the one that it stands in.
    """

    def decorate(of_class: _Class) -> _Class:
        with gin.unlock_config():
            decorated: _Class = gin.configurable(module=module)(of_class)
        return decorated

    return decorate
