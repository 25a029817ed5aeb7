"""Scenarios and agents of a user's own: by ``module:factory``, by path to a file, or as they are.

A *reference* is a text such as ``my_package.agents:MyAgent`` or ``agents/mine.py:MyAgent``, or a
class or function itself. An agent's factory is called with those of the following that it names:
``environment`` (or ``env``), ``observation_space``, ``action_space``, ``seed`` (or
``random_seed``), ``eval_mode``, ``summary_writer`` and ``training_steps``. A first parameter of
another name without a default is the environment. A class or function with a true attribute
``learns`` is trained, as is a class with ``num_updates``. A scenario's factory is called with
``env_config``; where it names ``num_envs``, it makes an environment of so many users in parallel.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, cast

from recsim import registry
from recsim._internal import paths, validation

__all__ = [
    "Reference",
    "agent_entry",
    "environment_entry",
    "import_own",
    "is_reference",
    "label_of",
    "loaded",
    "name_of",
    "source_digest",
]

#: A name in the registry, ``module:factory``, a path to a file, or what makes an agent or scenario.
Reference = (
    str | os.PathLike[str] | Callable[..., Any] | registry.AgentEntry | registry.EnvironmentEntry
)
#: What a reference names: a class or function, or an entry of the registry.
Code = Callable[..., Any] | registry.AgentEntry | registry.EnvironmentEntry

_SYNONYMS = {"env": "environment", "random_seed": "seed"}
_OF_AGENTS = (
    "environment",
    "observation_space",
    "action_space",
    "seed",
    "eval_mode",
    "summary_writer",
    "training_steps",
)


def name_of(reference: Reference) -> str:
    """Returns the text of a reference, ``module:name`` for a class or function."""
    if registry.is_folder(reference):
        return paths.absolute("the folder", cast("str | os.PathLike[str]", reference))
    if isinstance(reference, str):
        return reference
    if isinstance(reference, (registry.AgentEntry, registry.EnvironmentEntry)):
        return f"an entry of the registry: {reference.description}"
    of = reference if hasattr(reference, "__qualname__") else type(reference)
    return f"{of.__module__}:{of.__qualname__}"


def label_of(reference: Reference) -> str:
    """Returns a short name of what a reference names."""
    if isinstance(reference, (registry.AgentEntry, registry.EnvironmentEntry)):
        raise ValueError(
            f"An entry such as {reference.description!r} needs a name: give a dictionary of "
            "entries by name."
        )
    text = name_of(reference)
    if registry.is_folder(text):
        return re.sub(r"[^A-Za-z0-9_.+@-]", "_", os.path.basename(text)) or "fitted"
    if not is_reference(text):
        return text.rpartition("/")[2]  # Gymnasium's ids have a namespace.
    place, _, name = text.rpartition(":") if ":" in text else (text, "", "")
    if not name or os.sep in name or "/" in name:
        return os.path.splitext(os.path.basename(text))[0]
    return name.rpartition(".")[2]


def is_reference(text: str) -> bool:
    """Says whether a text is a reference to code, not a name in the registry or a folder."""
    return ":" in text or text.endswith(".py")


def loaded(reference: Reference, kind: str) -> Code:
    """Returns what a reference to code, or to the folder of a fitted scenario, names.

    Args:
        reference: the reference.
        kind: 'agent' or 'scenario', for errors.

    Raises:
        FileNotFoundError: for a folder without a fitted scenario.
        ValueError: if it cannot be imported, with the import's own reason, or is not there.
    """
    if kind == "scenario" and registry.is_folder(reference):
        return registry.environment_entry(cast("str | os.PathLike[str]", reference))
    if not isinstance(reference, (str, os.PathLike)):
        return reference
    reference = os.fspath(reference)
    place, colon, name = reference.rpartition(":")
    if not colon or place == "" or name.endswith(".py"):
        place, name = reference, "create_environment" if kind == "scenario" else "create_agent"
    if place == "__main__":
        main = vars(sys.modules["__main__"])
        if name.partition(".")[0] not in main:
            raise ValueError(
                f"The {kind} {reference!r} was defined in a script or a notebook and cannot be "
                "found: run the experiment there, or give the class again by its name."
            )
    try:
        module = _module(place)
    except Exception as error:  # It may raise anything.
        raise ValueError(
            f"The {kind} {reference!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    found: Any = module
    for part in name.split("."):
        known = [known for known in vars(found) if not known.startswith("_")]
        if not hasattr(found, part):
            raise ValueError(
                f"The {kind} {reference!r} cannot be found: {place} has no {part!r}."
                f"{validation.nearest_name(part, known)}"
            )
        found = getattr(found, part)
    if not callable(found) and not isinstance(
        found, (registry.AgentEntry, registry.EnvironmentEntry)
    ):
        raise ValueError(f"The {kind} {reference!r} must be a class or a function, got {found!r}.")
    code: Code = found
    return code


def _callable(reference: Reference, kind: str) -> Callable[..., Any]:
    """Returns the class or function that a reference names."""
    found = loaded(reference, kind)
    assert not isinstance(found, (registry.AgentEntry, registry.EnvironmentEntry))
    return found


def _module(place: str) -> ModuleType:
    """Imports a module by its name or from a file."""
    if not place.endswith(".py"):
        return importlib.import_module(place)
    path = os.path.realpath(os.path.expanduser(place))
    if not os.path.isfile(path):
        raise FileNotFoundError(f"there is no file {path!r}")
    digest = hashlib.sha256(path.encode()).hexdigest()[:12]
    stem = os.path.splitext(os.path.basename(path))[0]
    name = f"recsim_file_{digest}_{stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def source_digest(reference: Reference, kind: str) -> str | None:
    """Returns the SHA-256 of the source of what a reference to code names.

    It is of the whole file that the code is in; of the class or function alone where there is no
    file, as in a notebook; None where there is no source. An object with an attribute
    ``source_digest``, such as a trained model, says what tells it from others.
    """
    found: Any = loaded(reference, kind)
    own_digest: str | None = getattr(found, "source_digest", None)
    if isinstance(own_digest, str):
        return own_digest
    if isinstance(found, (registry.AgentEntry, registry.EnvironmentEntry)):
        found = found.create
    while isinstance(found, functools.partial):
        found = found.func
    of = inspect.unwrap(found) if hasattr(found, "__qualname__") else type(found)
    try:
        file = inspect.getsourcefile(of)
        if file is not None and os.path.isfile(file):
            with open(file, "rb") as opened:
                return hashlib.sha256(opened.read()).hexdigest()
        return hashlib.sha256(inspect.getsource(of).encode()).hexdigest()
    except (OSError, TypeError):
        return None


def import_own() -> None:
    """Imports the code that entries of the registry refer to, so that gin can configure it."""
    _, *own = registry.own_entries()[::-1]
    for entries in own:
        for entry in entries.values():
            create = entry.create
            if isinstance(create, functools.partial) and create.func in (
                _create_agent,
                _create_environment,
            ):
                loaded(create.args[0], "agent" if create.func is _create_agent else "scenario")


def agent_entry(reference: Reference) -> registry.AgentEntry:
    """Returns the entry of an agent.

    Raises:
        ValueError: if there is none.
    """
    if isinstance(reference, str) and not is_reference(reference):
        return registry.agent_entry(reference)
    found = loaded(reference, "agent")
    if isinstance(found, registry.AgentEntry):
        return found
    create: Any = functools.partial(_create_agent, reference)
    return registry.AgentEntry(
        create,
        f"an agent of your own: {name_of(reference)}",
        learns=bool(getattr(found, "learns", hasattr(found, "num_updates"))),
        create_vector=create,
        plans_training=True,
    )


def _create_agent(reference: Reference, environment: object, **given: object) -> object:
    """Makes an agent of a factory, with those arguments that it names."""
    factory = _callable(reference, "agent")
    given["environment"] = environment
    for name in ("observation_space", "action_space"):
        given[name] = getattr(environment, name)
    parameters = inspect.signature(factory).parameters.values()
    arguments: dict[str, object] = {}
    if not isinstance(factory, type) and any(p.kind is p.VAR_KEYWORD for p in parameters):
        # A function of this library's form. A class hands the rest to a base class of any form.
        named = {_SYNONYMS.get(p.name, p.name) for p in parameters}
        arguments = {name: value for name, value in given.items() if name not in named}
        for name in ("observation_space", "action_space"):
            arguments.pop(name, None)
    positional: list[object] = []
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        name = _SYNONYMS.get(parameter.name, parameter.name)
        if name in given:
            value = given[name]
        elif parameter.default is not parameter.empty:
            continue
        elif parameter is next(iter(parameters)):
            value = environment
        else:
            raise ValueError(
                f"{name_of(reference)} takes an argument {parameter.name!r} that is none of those "
                f"that it can be given: {', '.join(_OF_AGENTS)}. Give it a default, or write a "
                "function of these that makes the agent."
            )
        if parameter.kind is parameter.POSITIONAL_ONLY:
            positional.append(value)
        else:
            arguments[parameter.name] = value
    return factory(*positional, **arguments)


def environment_entry(reference: Reference) -> registry.EnvironmentEntry:
    """Returns the entry of a scenario.

    Raises:
        ValueError: if there is none.
    """
    if isinstance(reference, str) and not is_reference(reference):
        return registry.environment_entry(reference)
    found = loaded(reference, "scenario")
    if isinstance(found, registry.EnvironmentEntry):
        return found
    create: Any = functools.partial(_create_environment, reference)
    create_vector: Any = functools.partial(_create_vector_environment, reference)
    return registry.EnvironmentEntry(
        "recsim.environments",
        f"a scenario of your own: {name_of(reference)}",
        "reward",
        create=create,
        create_vector=create_vector,
    )


def _create_environment(reference: Reference, env_config: Mapping[str, object]) -> object:
    return _callable(reference, "scenario")(env_config)


def _create_vector_environment(
    reference: Reference,
    env_config: Mapping[str, object],
    num_envs: int,
    **options: object,
) -> object:
    factory = _callable(reference, "scenario")
    if "num_envs" not in inspect.signature(factory).parameters:
        module = inspect.getmodule(factory)
        vector = getattr(module, "create_vector_environment", None)
        if getattr(factory, "__name__", "") != "create_environment" or vector is None:
            raise ValueError(
                f"The scenario {name_of(reference)} has no form for users in parallel: name a "
                "function (env_config, num_envs), or leave num_envs out."
            )
        factory = vector
    return factory(env_config, num_envs, **options)
