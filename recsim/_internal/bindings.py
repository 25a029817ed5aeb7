"""Gin's bindings: which there are for a class, and which of them had no effect."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gin

from recsim._internal import keys, validation

__all__ = [
    "Made",
    "State",
    "applied",
    "bound_parameters",
    "by_parameter",
    "described",
    "is_bound",
    "load",
    "recorded",
    "restored",
    "restored_on_error",
    "split",
    "state",
    "taken",
    "unbound",
]

# What gin has no public way to. All of it is changed in place.
_REGISTRY = gin.config._REGISTRY  # noqa: SLF001
_CONFIG = gin.config._CONFIG  # noqa: SLF001
_OPERATIVE_CONFIG = gin.config._OPERATIVE_CONFIG  # noqa: SLF001
_IMPORTS = gin.config._IMPORTS  # noqa: SLF001
_CONSTANTS = gin.config._CONSTANTS  # noqa: SLF001
_scope_and_selector = gin.config._as_scope_and_selector  # noqa: SLF001
_set_locked = gin.config._set_config_is_locked  # noqa: SLF001

#: Parameters by gin's scope and name of what is configured.
_Configuration = dict[tuple[str, str], dict[str, Any]]


def bound_parameters(of_class: type) -> set[str]:
    """Returns the parameters that gin binds for a class or a class that it is derived from."""
    names: set[str] = set()
    for base in of_class.__mro__[:-1]:  # Of object, nothing can be bound.
        with contextlib.suppress(ValueError):  # Gin cannot configure this one.
            names |= set(gin.get_bindings(base, resolve_references=False))
    return names


def unbound(of_class: type, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings that gin has no binding for.

    An argument given in code takes precedence over a binding; defaults that a binding is to
    override are given only where there is none.

    Args:
        of_class: the class whose arguments the settings are.
        settings: arguments by name.
    """
    bound = bound_parameters(of_class)
    return {name: value for name, value in settings.items() if name not in bound}


def load(files: Sequence[str], given: Sequence[str]) -> None:
    """Loads configuration files and bindings; if one is wrong, none is applied.

    Args:
        files: paths of configuration files.
        given: bindings as they are written.

    Raises:
        ValueError: if a binding names something unknown; the error suggests the nearest name.
        OSError: if a file cannot be read.
    """
    # The configuration is locked if others were loaded before.
    with restored_on_error(), gin.unlock_config():
        try:
            gin.parse_config_files_and_bindings(files, bindings=given)
        except ValueError as error:
            raise ValueError(f"{error}\n{_suggestion(str(error))}".rstrip()) from error


def split(binding: str) -> tuple[str, str, str]:
    """Returns scope, full name and parameter of what is bound, such as ``'UCB1.ci_scaling'``.

    Raises:
        ValueError: if gin knows no such class; the error suggests the nearest name.
    """
    scope, _, rest = binding.rpartition("/")
    name, _, parameter = rest.rpartition(".")
    found = _REGISTRY.get_match(name)
    if found is None:
        message = f"No configurable matching {name!r}."
        raise ValueError(f"{message} {_suggestion(message)}".rstrip())
    return scope, found.selector, parameter


def is_bound(binding: str) -> bool:
    """Says whether there is a binding of what is given as :func:`split` takes it."""
    scope, selector, parameter = split(binding)
    return parameter in _CONFIG.get((scope, selector), {})


def _not_configurable(name: str) -> str:
    """Returns why gin cannot configure a class of this library, an empty string for other names."""
    classes = {
        name: value
        for module in list(sys.modules.values())
        if getattr(module, "__name__", "").startswith("recsim.")
        for name, value in vars(module).items()
        if isinstance(value, type) and value.__module__.startswith("recsim.")
    }
    if name not in classes:
        return ""
    configurable = {configured.wrapped for _, configured in _REGISTRY.items()}
    single_user = classes.get(name.removeprefix("Vector"))
    if name.startswith("Vector") and single_user in configurable:
        return (
            f"{name} takes the bindings of its single-user form: bind those of "
            f"{name.removeprefix('Vector')}."
        )
    return f"{name} is not configurable in gin: give its arguments in code."


def _suggestion(message: str) -> str:
    """Returns what an error of gin's about an unknown name should add."""
    if match := re.search(r"No configurable matching '(.+?)'", message):
        if reason := _not_configurable(match[1].rpartition(".")[2]):
            return reason
        parts = match[1].count(".") + 1
        known = {".".join(selector.split(".")[-parts:]) for selector, _ in _REGISTRY.items()}
        suggestion = validation.nearest_name(match[1], sorted(known), 0.7)
        return f"{suggestion} What is configured has to be imported before.".lstrip()
    if match := re.search(r"Configurable '(.+?)' doesn't have a parameter named '(.+?)'", message):
        parameters = inspect.signature(_REGISTRY.get_match(match[1]).wrapped).parameters
        return validation.nearest_name(match[2], parameters).lstrip()
    return ""


def described() -> dict[str, str]:
    """Returns the values that gin binds, as they would be written, by what they are bound to."""
    return {
        _name(scope, selector, parameter): repr(value)
        for (scope, selector), parameters in sorted(_CONFIG.items())
        for parameter, value in sorted(parameters.items())
    }


def by_parameter() -> dict[str, str]:
    """Returns what gin binds, such as ``'UCB1.ci_scaling'``, by the name of the parameter."""
    return {
        parameter: _name(scope, selector, parameter)
        for (scope, selector), parameters in _CONFIG.items()
        for parameter in parameters
    }


def taken(
    of_class: type, parameters: Sequence[str], defaults: Mapping[str, object] | None = None
) -> dict[str, Any]:
    """Returns what gin binds for arguments of a class that something else stands in for.

    A vector form is given what is bound for its single-user form. Gin's operative configuration
    has these bindings then, as if the class had been called. A binding of a base class counts where
    no class that is derived from it has a parameter of that name, which it gives the base class.

    Args:
        of_class: the class that the bindings name, or one that is derived from it.
        parameters: names of arguments.
        defaults: their values where nothing is bound, which are returned and are in the operative
            configuration too; None to leave out what is not bound.
    """
    known = {name: defaults[name] for name in parameters} if defaults else {}
    values: dict[str, Any] = dict(known)
    wanted = set(parameters)
    for base in of_class.__mro__[:-1]:  # Of object, nothing can be bound.
        with contextlib.suppress(ValueError):  # Gin cannot configure this one.
            bound = gin.get_bindings(base)
            own = {name: bound[name] for name in sorted(wanted & set(bound))}
            operative = {**known, **own} if base is of_class else own
            if operative:
                scope, selector = _scope_and_selector(base)
                key = "/".join(scope), selector
                _OPERATIVE_CONFIG.setdefault(key, {}).update(operative)
            values.update(own)
            wanted -= set(own)
        if "__init__" in vars(base):
            wanted -= keys.parameters_of(vars(base)["__init__"])
    return values


class Made:
    """What gin configured while it was recorded.

    Attributes:
        configuration: the parameters that bindings could set.
    """

    def __init__(self) -> None:
        self.configuration: _Configuration = {}

    def refuse_unused(
        self,
        overridden: Mapping[str, str] | None = None,
        made_by: Callable[[str], str] = lambda selector: "",
    ) -> None:
        """Raises ValueError, which names it and its nearest neighbours, for a binding not used.

        Args:
            overridden: what takes precedence over a binding such as
                ``'Runner.max_steps_per_episode'``, for the error.
            made_by: returns a sentence for the error on what makes a class, by gin's full name.
        """
        for (scope, selector), parameters in _CONFIG.items():
            for parameter in parameters:
                if not self._used(scope, selector, parameter):
                    stronger = (overridden or {}).get(_name(scope, selector, parameter))
                    hint = "" if self._makes(selector) else made_by(selector)
                    raise ValueError(self._complaint(scope, selector, parameter, stronger, hint))

    def uses(self, binding: str) -> bool:
        """Says whether a binding of a parameter would have an effect on what was made.

        Args:
            binding: what is bound, such as ``'UCB1.ci_scaling'``.

        Raises:
            ValueError: if gin knows no such class; the error suggests the nearest name.
        """
        return self._used(*split(binding))

    def names(self) -> Made:
        """Returns the same without the values of the parameters, which may be of any kind."""
        names = Made()
        names.configuration = {
            key: dict.fromkeys(parameters) for key, parameters in self.configuration.items()
        }
        return names

    def joined_with(self, other: Made) -> Made:
        """Returns what was made here or there."""
        both = Made()
        for made in (self, other):
            for key, parameters in made.configuration.items():
                both.configuration.setdefault(key, {}).update(parameters)
        return both

    def _used(self, scope: str, selector: str, parameter: str) -> bool:
        wanted = f"{scope}/" if scope else ""
        return any(
            made == selector and f"{within}/".startswith(wanted) and parameter in parameters
            for (within, made), parameters in self.configuration.items()
        )

    def _makes(self, selector: str) -> bool:
        return any(selector == made for _, made in self.configuration)

    def _complaint(
        self, scope: str, selector: str, parameter: str, stronger: str | None, hint: str
    ) -> str:
        name = _name(scope, selector, parameter)
        if stronger is not None:
            return (
                f"The gin binding of {name!r} has no effect: {stronger} takes precedence over it. "
                "Leave out one of the two."
            )
        class_name = _name("", selector)
        if selector == _MACRO:
            reason = "no value that is used refers to it"
        elif not self._makes(selector):
            reason = f"no {class_name} is made for what is run"
        elif scope:
            reason = f"no {class_name} is made in the scope {scope!r}"
        else:
            reason = f"what is run gives {class_name} this argument itself"
        nearest = [] if hint else self._nearest(selector, parameter)
        if nearest:
            hint = f"Nearest are: {', '.join(nearest)}."
        return f"The gin binding of {name!r} has no effect: {reason}. {hint}".rstrip()

    def _nearest(self, selector: str, parameter: str) -> list[str]:
        """Returns bindings that would have an effect: of the same parameter, then similar ones."""
        names = sorted(
            {
                _name("", made, known)
                for (_, made), parameters in self.configuration.items()
                for known in parameters
                if made != _MACRO
            }
        )
        same = [name for name in names if name.rpartition(".")[2] == parameter]
        wanted = _name("", selector, parameter)
        similar = difflib.get_close_matches(wanted, names, n=3, cutoff=0.5)
        return list(dict.fromkeys([*same, *similar]))[:3]


_MACRO = "gin.macro"


def _name(scope: str, selector: str, parameter: str = "") -> str:
    """Returns how a binding is written, with the least of modules."""
    if selector == _MACRO:
        return scope
    name = selector.rpartition(".")[2]
    return "".join([f"{scope}/" * bool(scope), name, f".{parameter}" * bool(parameter)])


@contextlib.contextmanager
def recorded() -> Iterator[Made]:
    """Records what gin configures within the block."""
    operative: _Configuration = _OPERATIVE_CONFIG
    before = {key: dict(parameters) for key, parameters in operative.items()}
    operative.clear()
    made = Made()
    try:
        yield made
    finally:
        made.configuration = {key: dict(parameters) for key, parameters in operative.items()}
        for key, parameters in before.items():
            operative[key] = {**parameters, **operative.get(key, {})}


@dataclasses.dataclass(frozen=True)
class State:
    """What gin configures with.

    Attributes:
        bindings: parameters by scope and name of what is configured.
        imports: gin's statements of what was imported by configuration files.
        constants: values by name.
        scope: the names of the scope that is entered.
        is_locked: whether bindings may be changed by ``gin.unlock_config`` alone.
    """

    bindings: _Configuration
    imports: frozenset[Any]
    constants: Mapping[str, Any]
    scope: list[str]
    is_locked: bool


def state() -> State:
    """Returns what gin configures with now."""
    return State(
        {key: dict(parameters) for key, parameters in _CONFIG.items()},
        frozenset(_IMPORTS),
        dict(_CONSTANTS.items()),
        list(gin.current_scope()),
        gin.config_is_locked(),
    )


def _set(wanted: State) -> None:
    _CONFIG.clear()
    _CONFIG.update({key: dict(values) for key, values in wanted.bindings.items()})
    _IMPORTS.clear()
    _IMPORTS.update(wanted.imports)
    _set_locked(wanted.is_locked)


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """Restores gin's bindings at the end of a block."""
    before = state()
    try:
        yield
    finally:
        _set(before)


@contextlib.contextmanager
def restored_on_error() -> Iterator[None]:
    """Restores gin's bindings if a block raises."""
    before = state()
    try:
        yield
    except BaseException:
        _set(before)
        raise


@contextlib.contextmanager
def applied(wanted: State) -> Iterator[None]:
    """Lets gin configure with what it did in another process.

    The configuration is not locked: what the other process had imported before it locked its own
    may have to be imported now.
    """
    with restored():
        _set(dataclasses.replace(wanted, is_locked=False))
        for name, value in wanted.constants.items():
            if name not in _CONSTANTS:
                _CONSTANTS[name] = value
        with gin.config_scope(wanted.scope):
            yield
