"""Functions and classes as bytes, for another process: those of notebooks and scripts too."""

from __future__ import annotations

import functools
import importlib
import io
import operator
import sys
import types
from typing import Any

__all__ = ["dumps"]


def dumps(value: Any) -> bytes:
    """Returns a value as bytes that :func:`pickle.loads` makes the value of.

    What cannot be imported goes along, as cloudpickle has it, and also where gin configures it.
    """
    file = io.BytesIO()
    _pickler()(file).dump(value)
    return file.getvalue()


@functools.cache
def _pickler() -> Any:
    """Returns the class of picklers; it and cloudpickle are made at the first use."""
    import cloudpickle

    class Pickler(cloudpickle.Pickler):
        def reducer_override(self, obj: Any) -> Any:
            if _is_reference_of_gin(obj):
                module = obj.configurable.wrapped.__module__
                return _reference_of_gin, (module, obj.scoped_selector, obj.evaluate)
            if _is_wrapper_of_gin(obj) and not _can_be_imported(obj):
                arguments = (obj.__code__, obj.__name__, obj.__defaults__, obj.__closure__)
                state = (obj.__kwdefaults__, vars(obj))
                return _function_of_gin, arguments, state, None, None, _set_state
            return super().reducer_override(obj)

    return Pickler


def _is_reference_of_gin(obj: Any) -> bool:
    """Says whether something is gin's reference to what can be imported, which holds locks."""
    gin_config = sys.modules.get("gin.config")
    return (
        gin_config is not None
        and isinstance(obj, gin_config.ConfigurableReference)
        and obj.configurable.wrapped.__module__ != "__main__"
    )


def _reference_of_gin(module: str, scoped_selector: str, evaluate: bool) -> Any:
    importlib.import_module(module)  # Which makes it known to gin.
    return importlib.import_module("gin.config").ConfigurableReference(scoped_selector, evaluate)


def _is_wrapper_of_gin(obj: Any) -> bool:
    """Says whether something is a function that gin has put around another one.

    Cloudpickle would take gin's configuration and locks along with it.
    """
    gin_config = sys.modules.get("gin.config")
    return isinstance(obj, types.FunctionType) and obj.__globals__ is vars(gin_config or sys)


def _can_be_imported(function: types.FunctionType) -> bool:
    if function.__module__ == "__main__":
        return False
    try:
        module = sys.modules[function.__module__]
        return operator.attrgetter(function.__qualname__)(module) is function
    except (KeyError, AttributeError):
        return False


def _function_of_gin(code: Any, name: str, defaults: Any, closure: Any) -> types.FunctionType:
    namespace = vars(importlib.import_module("gin.config"))
    return types.FunctionType(code, namespace, name, defaults, closure)


def _set_state(function: types.FunctionType, state: Any) -> None:
    function.__kwdefaults__, attributes = state
    vars(function).update(attributes)
    wrapped = attributes.get("__wrapped__")
    if wrapped is not None:
        functools.update_wrapper(function, wrapped)
