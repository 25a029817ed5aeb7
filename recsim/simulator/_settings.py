"""Defaults of a program that gin may override."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gin

__all__ = ["unbound"]


def unbound(runner: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of a runner that gin has no binding for.

    An argument given in code takes precedence over a binding; defaults that a binding is to
    override are given only where there is none.

    Args:
        runner: name of the runner's class.
        settings: arguments of the runner by name.
    """
    classes = (f"runner_lib.{runner}", "runner_lib.Runner")
    return {
        name: value
        for name, value in settings.items()
        if not any(_is_bound(f"{class_name}.{name}") for class_name in classes)
    }


def _is_bound(parameter: str) -> bool:
    try:
        gin.query_parameter(parameter)
    except ValueError:
        return False
    return True
