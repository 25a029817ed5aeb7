"""What checkpoints hold of an environment: its state, its metrics, and what has no generator."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from recsim import types
from recsim._internal import owned_generators

__all__ = [
    "metrics_state",
    "restore",
    "restore_metrics",
    "state_of",
    "warn_of_parts_without_generator",
]

#: An environment's metrics by name; of several environments, one for each.
MetricsState = Mapping[str, float] | list[Any]

_logger = logging.getLogger(__name__)


def state_of(env: object) -> tuple[types.State | None, Exception | None]:
    """Returns an environment's state, or None and the error if ``state_dict`` does not work.

    The generators of the wrappers around it are in it.
    """
    if not hasattr(env, "state_dict"):
        return None, None
    try:
        return _with_wrappers(env), None
    except Exception as error:  # Whatever it is, the environment can be run without.
        return None, error


def _with_wrappers(env: object) -> types.State:
    stateful: Any = env
    state: types.State = stateful.state_dict()
    of_wrappers = [owned_generators.state_of(*wrapper) for wrapper in _wrappers(env)]
    if any(of_wrappers) and isinstance(state, Mapping):
        return {**state, "wrappers": of_wrappers}
    return state


def restore(env: types.Stateful, state: types.State) -> None:
    """Gives an environment, and the wrappers around it, a state from :func:`state_of`."""
    env.load_state_dict(state)
    of_wrappers = state.get("wrappers", []) if isinstance(state, Mapping) else []
    for (wrapper, inner), own in zip(_wrappers(env), of_wrappers, strict=False):
        owned_generators.restore(wrapper, own.get("generators", {}), inner)


def _wrappers(env: object) -> Iterator[tuple[Any, Any]]:
    """Yields the wrappers around an environment that save nothing themselves, and what is in each.

    One that asks what it wraps for what it has not itself, as Gym's do, has ``state_dict``.
    """
    while not hasattr(type(env), "state_dict"):
        inner = getattr(env, "__dict__", {}).get("env")
        if inner is None:
            return
        yield env, inner
        env = inner


def warn_of_parts_without_generator(state: object) -> None:
    """Warns where a training that is resumed would not have the numbers that it had.

    Args:
        state: the state of the environment, None if it has none.
    """
    parts = ["the environment"] if state is None else list(_parts_without_generator(state))
    if parts:
        _logger.warning(
            "Checkpoints hold no random generator of %s: if it samples numbers, a "
            "resumed training will have other ones. Keep one of NumPy's generators in self._rng "
            "there, or extend state_dict and load_state_dict.",
            ", ".join(parts),
        )


def metrics_state(env: object) -> MetricsState | None:
    """Returns an environment's metrics as data, None if it does not keep them by name."""
    if environments := getattr(env, "environments", None):
        states = [state for each in environments if (state := metrics_state(each)) is not None]
        return states if len(states) == len(environments) else None
    metrics = getattr(env, "_metrics", None)
    return dict(metrics) if isinstance(metrics, MutableMapping) else None


def restore_metrics(env: object, state: MetricsState) -> None:
    """Gives an environment the metrics that :func:`metrics_state` returned."""
    if isinstance(state, list):
        for each, of_each in zip(getattr(env, "environments", ()), state, strict=True):
            restore_metrics(each, of_each)
        return
    keeper: Any = env
    keeper.reset_metrics()
    keeper._metrics.update(state)  # noqa: SLF001  # RecSim's name.


def _parts_without_generator(state: object, part: str = "the environment") -> Iterator[str]:
    """Yields the parts of an environment whose ``state_dict`` has None for a generator."""
    if isinstance(state, Mapping):
        if state.get("rng", state) is None and not state.get("generators"):
            yield part
        yield from state.get("unsaved_generators", ())
        for name, value in state.items():
            yield from _parts_without_generator(value, str(name))
    elif isinstance(state, list):
        for i, value in enumerate(state):
            yield from _parts_without_generator(value, f"{part}[{i}]")
