"""Functions and classes as bytes, for another process: those of notebooks and scripts too."""

from __future__ import annotations

import functools
import importlib
import io
import operator
import os
import pickle
import sys
import threading
import types
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeGuard

__all__ = ["dumps"]


_BufferCallback = Callable[[pickle.PickleBuffer], object]


class _Pickler(Protocol):
    def __init__(self, file: io.BytesIO, buffer_callback: _BufferCallback | None) -> None: ...

    def dump(self, obj: object) -> None: ...

    def forget_modules(self) -> None: ...


class _Configurable(Protocol):
    wrapped: type | types.FunctionType


class _GinReference(Protocol):
    configurable: _Configurable
    scoped_selector: str
    evaluate: bool


# What is registered with cloudpickle while something is pickled is registered for all threads.
_lock = threading.RLock()


def dumps(value: object, buffer_callback: _BufferCallback | None = None) -> bytes:
    """Returns a value as bytes that :func:`pickle.loads` makes the value of.

    What another process cannot import goes along, as cloudpickle has it, and also where gin
    configures it, or where the module was loaded from a file that ``sys.path`` does not lead to.

    Args:
        value: what to pickle.
        buffer_callback: called with the contents of arrays; those for which it returns something
            false are left out, as :class:`pickle.Pickler` has it. None to leave nothing out.
    """
    file = io.BytesIO()
    with _lock:
        pickler = _pickler()(file, buffer_callback)
        try:
            pickler.dump(value)
        finally:
            pickler.forget_modules()
    return file.getvalue()


@functools.cache
def _pickler() -> type[_Pickler]:
    """Returns the class of picklers; it and cloudpickle are made at the first use."""
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # It is not typed.
        def __init__(self, file: io.BytesIO, buffer_callback: _BufferCallback | None) -> None:
            super().__init__(file, buffer_callback=buffer_callback)
            self._by_value: dict[str, bool] = {}  # Of the modules met so far.

        def forget_modules(self) -> None:
            for name, by_value in self._by_value.items():
                if by_value:
                    cloudpickle.unregister_pickle_by_value(sys.modules[name])

        def _meet_module(self, name: object) -> None:
            if not isinstance(name, str) or name in self._by_value or name not in sys.modules:
                return
            module = sys.modules[name]
            self._by_value[name] = (
                name != "__main__"
                and name not in cloudpickle.list_registry_pickle_by_value()
                and not _is_found_elsewhere(module)
            )
            if self._by_value[name]:
                cloudpickle.register_pickle_by_value(module)

        def reducer_override(self, obj: object) -> object:
            if isinstance(obj, (types.FunctionType, type)):
                self._meet_module(obj.__module__)
            if _is_reference_of_gin(obj):
                module = obj.configurable.wrapped.__module__
                return _reference_of_gin, (module, obj.scoped_selector, obj.evaluate)
            if (
                isinstance(obj, types.FunctionType)
                and _is_wrapper_of_gin(obj)
                and not _can_be_imported(obj)
            ):
                arguments = (obj.__code__, obj.__name__, obj.__defaults__, obj.__closure__)
                state = (obj.__kwdefaults__, vars(obj))
                return _function_of_gin, arguments, state, None, None, _set_state
            return super().reducer_override(obj)

    return Pickler


def _is_found_elsewhere(module: types.ModuleType) -> bool:
    """Says whether a process with the same ``sys.path`` imports a module from the same place."""
    file = getattr(module, "__file__", None)
    if file is None:
        return True  # Built in, or made by code that runs when something else is imported.
    path: Sequence[str] | None = None
    origin: str | None = None
    name = ""
    for part in module.__name__.split("."):
        name = f"{name}.{part}" if name else part
        found = (finder.find_spec(name, path) for finder in sys.meta_path)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is None:
            return False
        path, origin = spec.submodule_search_locations, spec.origin if spec.has_location else None
    # A module that Python itself contains has a file, but no place where it is found.
    return origin is None or os.path.realpath(origin) == os.path.realpath(file)


def _is_reference_of_gin(obj: object) -> TypeGuard[_GinReference]:
    """Says whether something is gin's reference to what can be imported, which holds locks."""
    gin_config = sys.modules.get("gin.config")
    return (
        gin_config is not None
        and isinstance(obj, gin_config.ConfigurableReference)
        and obj.configurable.wrapped.__module__ != "__main__"
    )


def _reference_of_gin(module: str, scoped_selector: str, evaluate: bool) -> object:
    importlib.import_module(module)  # Which makes it known to gin.
    return importlib.import_module("gin.config").ConfigurableReference(scoped_selector, evaluate)


def _is_wrapper_of_gin(function: types.FunctionType) -> bool:
    """Says whether a function is one that gin has put around another one.

    Cloudpickle would take gin's configuration and locks along with it.
    """
    gin_config = sys.modules.get("gin.config")
    return function.__globals__ is vars(gin_config or sys)


def _can_be_imported(function: types.FunctionType) -> bool:
    if function.__module__ == "__main__":
        return False
    try:
        module = sys.modules[function.__module__]
        return operator.attrgetter(function.__qualname__)(module) is function
    except (KeyError, AttributeError):
        return False


def _function_of_gin(
    code: types.CodeType,
    name: str,
    defaults: tuple[object, ...] | None,
    closure: tuple[types.CellType, ...] | None,
) -> types.FunctionType:
    namespace = vars(importlib.import_module("gin.config"))
    return types.FunctionType(code, namespace, name, defaults, closure)


def _set_state(function: types.FunctionType, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    function.__kwdefaults__, attributes = state
    vars(function).update(attributes)
    wrapped = attributes.get("__wrapped__")
    if wrapped is not None:
        functools.update_wrapper(function, wrapped)
