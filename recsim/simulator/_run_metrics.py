"""An environment's metrics as runners see them: their tags, and where their state is."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping, Sequence

from recsim import types
from recsim.simulator import summary

__all__ = ["collected", "kept_elsewhere"]

# What counts metrics, sets them to zero and reports them.
_METHODS = (
    "update_metrics",
    "reset_metrics",
    "write_metrics",
    "count_metrics_of",
    "metrics",
    "metrics_writer",
)


def collected(
    stats: Mapping[str, Sequence[float]], env: types.RecommenderEnv | types.VectorEnv
) -> dict[str, float]:
    """Returns the metrics of episodes: those that a runner records, then the environment's.

    Args:
        stats: lists with an entry an episode, see :func:`recsim.simulator.summary.of_episodes`.
        env: the environment.

    Raises:
        TypeError: if the environment's ``write_metrics`` gives a tag that is not a string.
        ValueError: if it gives the name of a metric that the runner records itself.
    """
    metrics = {tag: float(value) for tag, value in summary.of_episodes(stats).items()}
    reserved = {"total_steps", "episodes", *metrics}

    def add(tag: str, value: float) -> None:
        if not isinstance(tag, str):
            raise TypeError(
                "write_metrics (or metrics_writer) must give every metric a string as its tag, "
                f"got {tag!r:.80}."
            )
        if tag in reserved:
            raise ValueError(
                f"write_metrics (or metrics_writer) must not report a metric {tag!r}: the runner "
                f"records one of this name itself (as {', '.join(sorted(reserved))}). Choose "
                "another tag."
            )
        metrics[tag] = float(value)

    env.write_metrics(add)
    return metrics


def kept_elsewhere(env: object) -> str | None:
    """Returns what may keep the state of an environment's metrics elsewhere than by their names.

    A runner knows the state that ``_metrics`` holds. A method of the user's own, an object that is
    called and a function that shares variables with others may keep any more.

    Returns:
        What it is, in words; None if ``_metrics`` holds all that can be seen.
    """
    for inner in getattr(env, "environments", None) or ():
        if found := kept_elsewhere(inner):
            return found
    for name in _METHODS:
        method = inspect.getattr_static(env, name, None) or getattr(env, name, None)
        method = _unwrapped(method.fget if isinstance(method, property) else method)
        if method is not None and not _is_of_this_library(method):
            return f"{getattr(method, '__qualname__', name)} is not the library's"
    names = ["metrics_aggregator", "metrics_writer"]
    if not types.is_vector_env(env):
        names = [f"_{name}" for name in names]
    for name in names:
        function = _unwrapped(getattr(env, name, None))
        if function is None or _is_of_this_library(function):
            continue
        argument = name.removeprefix("_")
        if not inspect.isfunction(function) and not inspect.isbuiltin(function):
            return f"{argument} is not a function but {function!r:.80}"
        if getattr(function, "__closure__", None):
            return f"{argument} shares variables with the function that it was made in"
    return None


def _unwrapped(function: object) -> object:
    """Returns what a partial function or a decorator, such as gin's, has inside."""
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.unwrap(function) if callable(function) else function


def _is_of_this_library(function: object) -> bool:
    owner = function if hasattr(function, "__module__") else type(function)
    return str(owner.__module__).split(".")[0] == "recsim"
