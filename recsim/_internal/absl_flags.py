"""The flags that RecSim's runners define, for programs in the style of its ``main.py``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from importlib import machinery
from typing import Any

__all__ = ["NAMES", "define_with_absl", "late_import"]

#: The names of the flags.
NAMES = (
    "base_dir",
    "agent_name",
    "environment_name",
    "episode_log_file",
    "gin_files",
    "gin_bindings",
    "debug_mode",
)


def define_with_absl() -> None:
    """Defines the flags, now if absl's flags are imported, or else as soon as they are.

    A program that has defined one of them keeps its own, and may define it afterwards too.
    """
    if "absl.flags" in sys.modules:
        _define(sys.modules["absl.flags"])
    elif not any(isinstance(finder, _AfterAbsl) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterAbsl())


def late_import(module: str, name: str) -> object:
    """Imports what takes time and is a name of RecSim's runners, when a module is asked for it.

    Args:
        module: name of the module.
        name: what it is asked for.

    Raises:
        AttributeError: for any other name.
    """
    if name == "tf":
        return importlib.import_module("tensorflow.compat.v1")
    if name in ("flags", "FLAGS"):
        flags = importlib.import_module("absl.flags")
        return flags if name == "flags" else flags.FLAGS  # An object with the flags' values.
    raise AttributeError(f"module {module!r} has no attribute {name!r}")


class _AfterAbsl:
    """Defines the flags right after ``absl.flags`` was imported, and is gone."""

    def find_spec(
        self, name: str, path: object = None, target: object = None
    ) -> machinery.ModuleSpec | None:
        del path, target
        if name != "absl.flags":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: types.ModuleType) -> None:
                execute(module)
                _define(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _define(flags: types.ModuleType) -> None:
    definitions: tuple[tuple[Any, str, Any, str], ...] = (
        (flags.DEFINE_string, "base_dir", None, "Folder for the files of the run."),
        (flags.DEFINE_string, "agent_name", None, "Name of the agent."),
        (flags.DEFINE_string, "environment_name", "interest_evolution", "Name of the scenario."),
        (flags.DEFINE_string, "episode_log_file", "", "File for the episodes of the training."),
        (flags.DEFINE_multi_string, "gin_files", [], "Files of gin bindings."),
        (flags.DEFINE_multi_string, "gin_bindings", [], "Gin bindings, which override the files."),
        (flags.DEFINE_bool, "debug_mode", False, "Whether agents write to TensorBoard (slower)."),
    )
    for define, name, default, text in definitions:
        if name not in flags.FLAGS:
            define(name, default, text, allow_override=True)
