"""The state of a random generator as data, and a generator from it."""

from __future__ import annotations

from typing import Any, TypeGuard

import numpy as np

__all__ = [
    "AnyGenerator",
    "check_state",
    "checked_sequence",
    "generator_state",
    "is_generator",
    "make_generator",
    "owned_state",
    "restore_generator",
    "restore_owned",
]

AnyGenerator = np.random.RandomState | np.random.Generator


def is_generator(value: object) -> TypeGuard[AnyGenerator]:
    """Says whether a value is one of NumPy's random generators."""
    return isinstance(value, (np.random.RandomState, np.random.Generator))


def generator_state(rng: AnyGenerator) -> dict[str, Any]:
    """Returns the state of a generator as a dictionary of numbers, strings and arrays.

    The state goes into checkpoints: :func:`restore_generator` continues the stream from it.
    """
    if isinstance(rng, np.random.RandomState):
        return dict(rng.get_state(legacy=False))
    return dict(rng.bit_generator.state)


def restore_generator(rng: AnyGenerator, state: dict[str, Any]) -> None:
    """Sets a generator, in place, to a state from :func:`generator_state`.

    Raises:
        TypeError, ValueError: if the state is none, or of another kind of bit generator.
    """
    check_state(state, with_normal=isinstance(rng, np.random.RandomState))
    if isinstance(rng, np.random.RandomState):
        rng.set_state(state)
    else:
        rng.bit_generator.state = state


# The arrays and integers of bit generators' states, with shapes and (exclusive) upper bounds.
_ARRAYS: dict[str, dict[str, tuple[type, int]]] = {
    "MT19937": {"key": (np.uint32, 624)},
    "Philox": {"counter": (np.uint64, 4), "key": (np.uint64, 2)},
    "SFC64": {"state": (np.uint64, 4)},
    "PCG64": {},
    "PCG64DXSM": {},
}
_INTEGERS: dict[str, dict[str, int]] = {
    "MT19937": {"pos": 625},
    "PCG64": {"state": 1 << 128, "inc": 1 << 128},
    "PCG64DXSM": {"state": 1 << 128, "inc": 1 << 128},
}
_LEFT_OVER = {"has_uint32": 2, "uinteger": 1 << 32}


def check_state(state: object, *, with_normal: bool) -> None:
    """Checks a generator's state, since NumPy reads memory that is not its own with some of them.

    Args:
        state: what should be a state from :func:`generator_state`.
        with_normal: whether it is that of a RandomState, which has a normal number left over.

    Raises:
        TypeError, ValueError: if it is none, or one that a generator cannot get into.
    """
    if not isinstance(state, dict) or not isinstance(state.get("state"), dict):
        raise TypeError(f"A generator's state must be a dictionary, got {state!r:.80}.")
    name = state.get("bit_generator")
    if not isinstance(name, str) or name not in _ARRAYS:
        raise ValueError(
            f"A generator's state must be of one of {', '.join(_ARRAYS)}, got {name!r:.80}."
        )
    inner = state["state"]
    outer = {} if name == "MT19937" else dict(_LEFT_OVER)
    arrays = _ARRAYS[name]
    integers = _INTEGERS.get(name, {})
    _check_names(f"{name}'s state", inner, {*arrays, *integers})
    for field, (dtype, length) in arrays.items():
        _check_array(f"{name}'s {field}", inner[field], dtype, length)
    for field, bound in integers.items():
        _check_integer(f"{name}'s {field}", inner[field], bound)
    names = {"bit_generator", "state", *outer}
    if name == "Philox":
        _check_array("Philox's buffer", state.get("buffer"), np.uint64, 4)
        outer["buffer_pos"] = 5
        names |= {"buffer", "buffer_pos"}
    if with_normal:
        outer["has_gauss"] = 2
        names |= {"has_gauss", "gauss"}
        gauss = state.get("gauss")
        if not isinstance(gauss, float) or not np.isfinite(gauss):
            raise ValueError(f"gauss must be a finite number, got {gauss!r:.80}.")
    _check_names("A generator's state", state, names)
    for field, bound in outer.items():
        _check_integer(field, state[field], bound)
    # States from which only zeros would follow, and a normal number never.
    if name == "MT19937" and not (inner["key"][1:].any() or int(inner["key"][0]) >> 31):
        raise ValueError("MT19937's key must not be zeros.")
    if name.startswith("PCG64") and inner["inc"] % 2 == 0:
        raise ValueError(f"{name}'s inc must be odd, got {inner['inc']}.")


def _check_names(what: str, state: dict[str, Any], names: set[str]) -> None:
    if state.keys() != names:
        raise ValueError(f"{what} must have {sorted(names)}, got {sorted(map(str, state))!r:.200}.")


def _check_integer(what: str, value: object, bound: int) -> None:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{what} must be an integer, got {value!r:.80}.")
    if not 0 <= value < bound:
        most = bound - 1 if bound <= 1 << 64 else f"2**{bound.bit_length() - 1} - 1"
        bits = int(value).bit_length()
        got = value if bits <= 128 else f"one of {bits:,} bits"
        raise ValueError(f"{what} must be in [0, {most}], got {got}.")


def _check_array(what: str, value: object, dtype: type, length: int) -> None:
    array = (
        np.asarray(value) if isinstance(value, (list, tuple)) and len(value) == length else value
    )
    if not isinstance(array, np.ndarray) or array.shape != (length,) or array.dtype != dtype:
        raise ValueError(
            f"{what} must be an array of {length} {dtype.__name__}, got {value!r:.80}."
        )


_BIT_GENERATORS = {name: getattr(np.random, name) for name in _ARRAYS}
_GENERATORS = {kind.__name__: kind for kind in (np.random.RandomState, np.random.Generator)}
#: The most bits of a seed that a checkpoint keeps to spawn from; NumPy's own have 128.
_MAX_ENTROPY_BITS = 8192
_MAX_SPAWN_KEY = 256
_MAX_POOL = 64


def checked_sequence(state: object) -> np.random.SeedSequence:
    """Returns the SeedSequence of a state (``SeedSequence.state``), which mixing takes no time.

    Raises:
        TypeError, ValueError: if it is none, or an absurdly large one.
    """
    if not isinstance(state, dict):
        raise TypeError(f"A seed sequence's state must be a dictionary, got {state!r:.80}.")
    _check_names(
        "A seed sequence's state",
        {"spawn_key": (), "pool_size": 4, "n_children_spawned": 0, **state},
        {"entropy", "spawn_key", "pool_size", "n_children_spawned"},
    )
    entropy = state["entropy"]
    words = list(entropy) if isinstance(entropy, (list, tuple, np.ndarray)) else [entropy]
    words += list(state.get("spawn_key", ()))
    if len(words) > _MAX_SPAWN_KEY:
        raise ValueError(f"A seed sequence has {len(words)} numbers, {_MAX_SPAWN_KEY} at most.")
    for word in words:
        _check_integer("A seed sequence's number", word, 1 << _MAX_ENTROPY_BITS)
    _check_integer("pool_size", state.get("pool_size", 4), _MAX_POOL + 1)
    _check_integer("n_children_spawned", state.get("n_children_spawned", 0), 1 << 32)
    return np.random.SeedSequence(**state)


def make_generator(
    kind: str, state: dict[str, Any], sequence: np.random.SeedSequence
) -> AnyGenerator:
    """Returns a generator in a state.

    Args:
        kind: 'RandomState' or 'Generator'.
        state: its state, see :func:`generator_state`.
        sequence: what it spawns from.

    Raises:
        TypeError, ValueError, KeyError: if there is no such generator.
    """
    check_state(state, with_normal=kind == "RandomState")
    rng = _GENERATORS[kind](_BIT_GENERATORS[state["bit_generator"]](sequence))
    restore_generator(rng, state)
    return rng


def owned_state(owner: object) -> dict[str, Any] | None:
    """Returns the state of the generator in ``owner._rng``, None where there is none of NumPy's."""
    rng = getattr(owner, "_rng", None)
    return generator_state(rng) if is_generator(rng) else None


def restore_owned(owner: object, state: dict[str, Any] | None) -> None:
    """Sets the generator in ``owner._rng`` to a state from :func:`owned_state`, if it has one."""
    if state is not None:
        rng: Any = getattr(owner, "_rng", None)
        restore_generator(rng, state)
