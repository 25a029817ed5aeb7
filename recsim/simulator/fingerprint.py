"""Fingerprints: what tells a scenario and an agent from others, as plain data.

A checkpoint holds the fingerprint of what was trained, so that it is not taken into something
else, and a record of results holds that of what was run. A fingerprint has two parts:

* what *shapes the state*: the types, the spaces, the sizes, when candidates are replaced, the
  shapes of networks and the modes of agents. A state of another shape does not fit;
* other *settings*: numbers, names and functions that objects were made with. With other ones a
  state fits, and means something else.

Types and functions go by their names without their modules, so that code may be moved. Seeds and
random numbers are left out: the same scenario has other users under another seed. Take the
fingerprint of an agent when it has just been made: attributes that change as it learns are
settings otherwise.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import inspect
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from recsim import spaces as spaces_lib
from recsim import types

__all__ = [
    "AgentFingerprint",
    "Differences",
    "Fingerprint",
    "ScenarioFingerprint",
    "agent_differences",
    "check_state",
    "differences",
    "fingerprint",
    "name_of",
    "of_agent",
    "of_scenario",
    "space_data",
]

#: JSON values.
Data = Any

T = TypeVar("T")

# Attributes that do not count as settings: seeds and generators, the last scores of choice models,
# whether an agent is evaluated, and where it writes.
_NO_SETTINGS = ("seed", "rng", "writer", "eval_mode", "scores", "score_no_click", "episode_num")
_MOST_ENTRIES = 64
_MOST_CANDIDATES = 10_000
# What an evaluation may have otherwise than the training.
_FREE_IN_EVALUATION = (
    "engine",
    "environment",
    "num_users",
    "users",
    "document_sampler",
    "num_candidates",
    "candidates",
    "settings",
)


@dataclasses.dataclass(frozen=True)
class ScenarioFingerprint:
    """What tells a scenario from others. What an environment does not tell is None.

    Attributes:
        engine: 'single_user', 'multi_user' or 'vector'.
        environment: name of the environment's class.
        users: names of the classes of the users' parts, by part (a user model, or several).
        document_sampler: name of its class.
        num_users: number of users.
        num_candidates: number of candidates.
        slate_size: number of documents of a slate.
        candidates: when candidates are replaced: 'step', 'episode', or 'shared' for never.
        spaces: the spaces of the observations of a user, a document and a response.
        settings: other settings, by name.
    """

    engine: str | None
    environment: str | None
    num_users: int | None
    users: Data
    document_sampler: str | None
    num_candidates: int | None
    slate_size: int | None
    candidates: str | None
    spaces: Data
    settings: dict[str, Data]

    def shape(self) -> dict[str, Data]:
        """Returns what shapes the state, as JSON values: all but the settings."""
        shape = dataclasses.asdict(self)
        del shape["settings"]
        return shape


@dataclasses.dataclass(frozen=True)
class AgentFingerprint:
    """What tells an agent from others.

    Attributes:
        type: name of its class.
        bases: names of the classes that it is a subclass of.
        sizes: numbers of documents of a slate, of candidates and of users, as far as it has them.
        algorithms: names of the classes of the bandits in it.
        spaces: the spaces that it keeps, by name.
        networks: the shapes of the arrays of its networks, by name.
        modes: the settings that shape its state, which its class names in ``state_settings``.
        agents: the fingerprints of the agents in it: base agents, arms, or the one that learns.
        settings: other settings, by name.
    """

    type: str
    bases: list[str]
    sizes: dict[str, int]
    algorithms: list[str]
    spaces: dict[str, Data]
    networks: dict[str, Data]
    modes: dict[str, Data]
    agents: list[AgentFingerprint]
    settings: dict[str, Data]


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """What tells a run's scenario and agent from others.

    Attributes:
        scenario: that of the scenario.
        agent: that of the agent.
    """

    scenario: ScenarioFingerprint
    agent: AgentFingerprint

    def data(self) -> dict[str, Data]:
        """Returns it as JSON values, with its hash under ``sha256``."""
        return {**dataclasses.asdict(self), "sha256": self.sha256()}

    def sha256(self) -> str:
        """Returns the SHA-256 of the scenario and the agent, settings included, in hexadecimal."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class Differences:
    """How two fingerprints differ, in words.

    Attributes:
        state: in what shapes the state.
        settings: in other settings.
    """

    state: list[str]
    settings: list[str]


def fingerprint(env: object, agent: object) -> Fingerprint:
    """Returns what tells the scenario of an environment and an agent from others.

    Args:
        env: a RecSimGymEnv, a RecSimVectorEnv, or what behaves like one.
        agent: an agent for it, as it was made.
    """
    return Fingerprint(of_scenario(env), of_agent(agent))


def of_scenario(env: object) -> ScenarioFingerprint:
    """Returns what tells a scenario from others.

    Args:
        env: a RecSimGymEnv, an AbstractEnvironment, a RecSimVectorEnv, or what behaves like one.
    """
    if types.is_vector_env(env):
        return _of_vector_env(env)
    inner: Any = getattr(env, "environment", env)
    users = _asked(lambda: list(getattr(inner, "_user_models", ()))) or []
    sampler = _asked(lambda: getattr(inner, "_document_sampler", None))
    settings: dict[str, Data] = {}
    for number, model in enumerate(users):
        name = "user_model" if len(users) == 1 else f"user_models[{number}]"
        settings.update(_user_settings(name, model))
    settings.update(_settings("document_sampler", sampler))
    settings.update(_scenario_parameters(*users, sampler))
    resample = _asked(lambda: getattr(inner, "_resample_documents", None))
    resample = None if resample is None else bool(resample)
    if resample is False and len(users) and inner.num_candidates <= _MOST_CANDIDATES:
        candidates = _asked(lambda: _digest(_plain(inner.candidate_set.create_observation())))
        settings["candidates"] = candidates
    several = isinstance(_asked(lambda: inner.user_model), (list, tuple))
    return ScenarioFingerprint(
        engine="multi_user" if several else "single_user",
        environment=_class_name(inner),
        users=[_user_types(model) for model in users] if several else _user_types(*users[:1]),
        document_sampler=_class_name(sampler),
        num_users=len(users) or None,
        num_candidates=_asked(lambda: int(inner.num_candidates)),
        slate_size=_asked(lambda: int(inner.slate_size)),
        candidates=None if resample is None else ("step" if resample else "shared"),
        spaces=_single_user_spaces(inner, users),
        settings=settings,
    )


def _of_vector_env(env: types.VectorEnv) -> ScenarioFingerprint:
    unwrapped: Any = getattr(env, "unwrapped", env)
    environments = getattr(unwrapped, "environments", None)
    inner = of_scenario(environments[0]) if environments else None
    model = _asked(lambda: unwrapped.user_model)
    sampler = _asked(lambda: unwrapped.document_sampler)
    space = _asked(lambda: spaces_lib.single_user_space(env.single_observation_space))
    spaces = {
        "user": space and space_data(space["user"]),
        "document": space and space_data(spaces_lib.children(space["doc"])[0][1]),
        "response": space and space_data(space["response"]),
    }
    settings = {**_user_settings("user_model", model), **_settings("document_sampler", sampler)}
    settings.update(_scenario_parameters(model, sampler))
    return ScenarioFingerprint(
        engine="vector",
        environment=_class_name(unwrapped),
        users=_user_types(model) if inner is None else inner.users,
        document_sampler=_class_name(sampler) if inner is None else inner.document_sampler,
        num_users=_asked(lambda: int(env.num_envs)),
        num_candidates=_asked(lambda: int(unwrapped.num_candidates)),
        slate_size=_asked(lambda: int(unwrapped.slate_size)),
        candidates=_asked(lambda: str(unwrapped.candidates)) if inner is None else inner.candidates,
        spaces=spaces,
        settings=settings if inner is None else inner.settings,
    )


def _single_user_spaces(env: types.Environment, users: Sequence[Any]) -> Data:
    def of_users(space: Callable[[Any], Any]) -> Data:
        of_each = [
            _asked(functools.partial(lambda one: space_data(space(one)), one)) for one in users
        ]
        same = all(one == of_each[0] for one in of_each)
        return of_each[0] if of_each and same else of_each or None

    return {
        "user": of_users(lambda model: model.observation_space()),
        # The keys of documents are their IDs, which are different at every step.
        "document": _asked(lambda: space_data(_a_document(env.candidate_set).observation_space())),
        "response": of_users(lambda model: model.response_space()),
    }


def _a_document(candidates: types.CandidateSet) -> types.Document:
    first = next(iter(candidates.create_observation()))
    try:
        (document,) = candidates.get_documents([first])
    except (KeyError, ValueError):
        document = next(iter(candidates.get_all_documents()))
    return document


def _user_types(model: object = None) -> dict[str, str | None]:
    """Returns the names of the classes of a user model and of its parts."""
    parts = {
        "model": model,
        "sampler": getattr(model, "_user_sampler", None),
        "state": getattr(model, "_user_state", None),
        "response": getattr(model, "_response_model_ctor", None),
    }
    types = {part: _class_name(value) for part, value in parts.items()}
    for name, choice_model in _choice_models(model):
        types[name] = _class_name(choice_model)
    return types


def _user_settings(name: str, model: object) -> dict[str, Data]:
    settings = _settings(name, model)
    settings.update(_settings("user_sampler", getattr(model, "_user_sampler", None), name))
    for part, choice_model in _choice_models(model):
        settings.update(_settings(part, choice_model, name))
    return settings


def _scenario_parameters(*parts: object) -> dict[str, Data]:
    """Returns the parameters that the parts of a scenario share, where they do."""
    for part in parts:
        parameters = getattr(part, "parameters", None)
        if dataclasses.is_dataclass(parameters) and not inspect.isclass(parameters):
            return {
                f"parameters.{field.name}": _plain(getattr(parameters, field.name))
                for field in dataclasses.fields(parameters)
            }
    return {}


def _choice_models(model: object) -> Iterator[tuple[str, Any]]:
    for name, value in _attributes(model):
        if hasattr(value, "score_documents") and hasattr(value, "choose_item"):
            yield name, value


def of_agent(agent: object) -> AgentFingerprint:
    """Returns what tells an agent from others.

    Args:
        agent: an agent as it was made.
    """
    shaping = tuple(getattr(agent, "state_settings", ()))
    attributes = dict(_attributes(agent))
    settings: dict[str, Data] = {}
    modes: dict[str, Data] = {}
    networks: dict[str, Data] = {}
    spaces: dict[str, Data] = {}
    agents: list[Any] = []
    algorithms: list[str] = []
    for name, value in attributes.items():
        if name in shaping:
            modes[name] = _plain(value)
        elif isinstance(value, (list, tuple)) and value and all(map(_is_agent, value)):
            agents.extend(value)
        elif _is_agent(value):
            agents.append(value)
        elif isinstance(value, (list, tuple)) and value and all(map(_is_bandit, value)):
            algorithms.append(type(value[0]).__name__)
            settings.update(_settings(name, value[0], state=True))
        elif _is_bandit(value):
            algorithms.append(type(value).__name__)
            settings.update(_settings(name, value, state=True))
        elif hasattr(value, "score_documents"):
            settings.update({name: _class_name(value), **_settings(name, value)})
        elif hasattr(value, "contains") and hasattr(value, "sample"):
            spaces[name] = space_data(value)
        elif isinstance(getattr(value, "weights", None), (list, tuple)):
            networks[name] = [list(np.shape(array)) for array in value.weights]
    own = _settings("", agent, state=True)
    settings.update({name: value for name, value in own.items() if name not in modes})
    sizes = {}
    for size in ("slate_size", "num_candidates", "num_envs", "num_users"):
        number = attributes.get(size)
        if isinstance(number, (int, np.integer)) and not isinstance(number, bool):
            sizes[size] = int(number)
            settings.pop(size, None)
    return AgentFingerprint(
        type=getattr(agent, "fingerprint_name", type(agent).__name__),
        bases=[kind.__name__ for kind in type(agent).__mro__[1:-1]],
        sizes=sizes,
        algorithms=sorted(algorithms),
        spaces=spaces,
        networks=networks,
        modes=modes,
        agents=[of_agent(inner) for inner in _different(agents)],
        settings=settings,
    )


def _different(agents: Sequence[Any]) -> list[Any]:
    """Returns the first of some agents for all of its class where there are many, such as users."""
    if len(agents) <= _MOST_ENTRIES:
        return list(agents)
    return list({type(agent): agent for agent in reversed(agents)}.values())


def _is_agent(value: object) -> bool:
    """Says whether an object is an agent, or what learns in one."""
    return _has(value, "bundle_and_checkpoint", "step") or _has(value, "fingerprint_attributes")


def _is_bandit(value: object) -> bool:
    return _has(value, "get_score", "get_arm")


def _has(value: object, *methods: str) -> bool:
    return not inspect.isclass(value) and all(hasattr(value, method) for method in methods)


# Settings as plain data.


def _attributes(owner: object) -> list[tuple[str, Any]]:
    """Returns the attributes of an object by their names without a leading underscore.

    An object that has a method ``fingerprint_attributes`` says itself which they are.
    """
    told = getattr(owner, "fingerprint_attributes", None)
    with contextlib.suppress(TypeError):
        attributes = vars(owner) if told is None else told()
        return sorted((name.lstrip("_"), value) for name, value in attributes.items())
    return []


def _settings(
    name: str, owner: object, prefix: str = "", *, state: bool = False
) -> dict[str, Data]:
    """Returns the attributes of an object that are plain data.

    Args:
        name: what the object is called.
        owner: the object. What its ``state_dict`` names is left out, of one that is not an agent.
        prefix: what it is in.
        state: whether it keeps state in its arrays and containers, as what learns does.
    """
    stateful: Any = owner
    # An agent's state may be large, and what is state in it is told apart otherwise.
    checkpointed = (None if state else _asked(lambda: set(stateful.state_dict()))) or set()
    path = ".".join(filter(None, (prefix, name)))
    settings = {}
    for attribute, value in _attributes(owner):
        if attribute in checkpointed or any(word in attribute for word in _NO_SETTINGS):
            continue
        if state and (value is None or _holds_state(value)):
            continue
        with contextlib.suppress(_NotPlainError):
            settings[f"{path}.{attribute}".lstrip(".")] = _plain(value)
    return settings


class _NotPlainError(TypeError):
    """A value is not plain data."""


def _holds_state(value: object) -> bool:
    return isinstance(value, np.ndarray) or (
        isinstance(value, (list, tuple, dict, set)) and not value
    )


def _plain(value: object, depth: int = 0) -> Data:
    """Returns numbers, names, functions and containers of them as JSON values.

    Raises:
        _NotPlainError: if the value is something else.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, np.generic) and value.dtype.kind in "biufU":
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, functools.partial):
        arguments = [*value.args, *(f"{k}={_shown(v)}" for k, v in sorted(value.keywords.items()))]
        return f"{_plain(value.func)}({', '.join(map(_shown, arguments))})"
    if inspect.isclass(value) or inspect.isroutine(value):
        return value.__name__
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufU":
        if value.size <= _MOST_ENTRIES:
            return _plain(value.tolist(), depth)
        return f"array of shape {value.shape}, {_digest(value.tolist())}"
    if depth < 4 and isinstance(value, (list, tuple)):
        items = [_plain(item, depth + 1) for item in value]
        return items if len(items) <= _MOST_ENTRIES else f"{len(items)} items, {_digest(items)}"
    if depth < 4 and isinstance(value, Mapping):
        entries = {str(key): _plain(item, depth + 1) for key, item in value.items()}
        return (
            entries
            if len(entries) <= _MOST_ENTRIES
            else f"{len(entries)} entries, {_digest(entries)}"
        )
    raise _NotPlainError(type(value).__name__)


def name_of(function: object) -> str:
    """Returns the name of a function, with the arguments of a partial one."""
    return _shown(function)


def _shown(value: object) -> str:
    with contextlib.suppress(_NotPlainError):
        plain = _plain(value)
        return plain if isinstance(plain, str) else json.dumps(plain)
    return type(value).__name__


def _digest(value: Data) -> str:
    return f"SHA-256 {hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]}…"


def _class_name(value: object) -> str | None:
    if value is None:
        return None
    if inspect.isclass(value) or inspect.isroutine(value):
        return value.__name__
    if isinstance(value, functools.partial):
        return _class_name(value.func)
    return type(value).__name__


def _asked(question: Callable[[], T]) -> T | None:
    """Returns an answer, None where there is none: a custom environment need not know all."""
    with contextlib.suppress(Exception):
        return question()
    return None


def space_data(space: types.Space) -> Data:
    """Returns a space of gym or gymnasium as JSON values, the same for equal ones of both."""
    kind = spaces_lib.kind_of(space)
    known: Any = space
    if kind == "Dict":
        if {"user", "doc", "response"} <= set(known.spaces):
            # The keys of documents are their IDs, which are different at every step.
            documents = list(getattr(known.spaces["doc"], "spaces", {}).values())[:1]
            others = {key: space_data(entry) for key, entry in known.spaces.items() if key != "doc"}
            return {"Dict": {**others, "a document": [space_data(entry) for entry in documents]}}
        return {"Dict": {str(key): space_data(entry) for key, entry in known.spaces.items()}}
    if kind == "Tuple":
        entries = [space_data(entry) for entry in known.spaces]
        if len(entries) > 1 and all(entry == entries[0] for entry in entries):
            return {"Tuple": [entries[0]], "times": len(entries)}
        return {"Tuple": entries}
    if kind == "Box":
        bounds = {name: _bound(getattr(space, name)) for name in ("low", "high")}
        return {"Box": list(known.shape), "dtype": np.dtype(known.dtype).name, **bounds}
    if kind == "Discrete":
        return {"Discrete": int(known.n), "start": int(getattr(space, "start", 0))}
    if kind == "MultiDiscrete":
        start = np.asarray(getattr(space, "start", 0))
        offset = {"start": _plain(start)} if start.any() else {}
        return {"MultiDiscrete": _plain(np.asarray(known.nvec)), **offset}
    if kind == "MultiBinary":
        return {"MultiBinary": [int(length) for length in known.shape]}
    return {kind: repr(space)}


def _bound(bound: np.ndarray) -> Data:
    bound = np.asarray(bound)
    if bound.size and (bound == bound.flat[0]).all():
        return _plain(bound.flat[0])
    return _plain(bound)


# Comparison.


def check_state(env: object, state: object) -> None:
    """Checks that a state is of an environment's scenario.

    Args:
        env: the environment that it is to go into.
        state: what ``state_dict`` returned, with the scenario's shape under ``scenario``. One
            without, from before there were fingerprints, passes.

    Raises:
        TypeError: if it is not a dictionary.
        ValueError: if it is of another scenario.
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"state must be a dictionary from state_dict, got {state!r:.80}.")
    there = state.get("scenario")
    if there is None:
        return
    if different := list(_differing("", there, of_scenario(env).shape())):
        raise ValueError(
            f"state must be of this environment's scenario: {'; '.join(different)}. Make the "
            "environment as the one was that the state is of."
        )


def differences(
    old: Mapping[str, Data], new: Mapping[str, Data], *, evaluation: bool = False
) -> Differences:
    """Returns how two fingerprints differ in what both of them tell.

    Args:
        old: what :meth:`Fingerprint.data` returned of what was trained.
        new: the same of what the state is to go into.
        evaluation: whether it is to be evaluated only: then numbers of users and candidates, other
            users and documents, and the engine are free, an agent may be of a subclass, and
            settings are not compared.
    """
    there, here = dict(old["scenario"]), dict(new["scenario"])
    trained, made = dict(old["agent"]), dict(new["agent"])
    if evaluation:
        same_engine = there["engine"] == here["engine"]
        for name in _FREE_IN_EVALUATION:
            there.pop(name, None)
        trained, made = _as_served(trained, same_engine), _as_served(made, same_engine)
        if _related(old["agent"], new["agent"]):
            del trained["type"]
    pairs = (("", there, here), ("agent", trained, made))
    state: list[str] = []
    settings: list[str] = []
    for whose, one, other in pairs:
        state += _differing(whose, _shape(one), _shape(other))
        settings += _differing(whose, _all_settings(one), _all_settings(other))
    return Differences(state, settings)


def agent_differences(old: Mapping[str, Data], new: Mapping[str, Data]) -> list[str]:
    """Returns in words how an agent differs from the one whose state it is to take for serving.

    Args:
        old: the fingerprint of the agent that was trained, as data.
        new: the same of the other one. Numbers of users and candidates are free, and the engine,
            and one class may be a subclass of the other.
    """
    same_engine = ("num_envs" in old["sizes"]) == ("num_envs" in new["sizes"])
    trained, made = _as_served(old, same_engine), _as_served(new, same_engine)
    if _related(old, new):
        del trained["type"]
    return list(_differing("agent", trained, made))


def _shape(record: Mapping[str, Data]) -> dict[str, Data]:
    """Returns a record of a scenario or an agent without its settings, and those in it."""
    shape = {name: value for name, value in record.items() if name not in ("settings", "bases")}
    if "agents" in record:
        shape["agents"] = [_shape(inner) for inner in record["agents"]]
    return shape


def _all_settings(record: Mapping[str, Data]) -> dict[str, Data]:
    """Returns the settings of a scenario or an agent, and of the agents in it."""
    settings = dict(record.get("settings", {}))
    for number, inner in enumerate(record.get("agents", [])):
        for name, value in _all_settings(inner).items():
            settings[f"agents[{number}].{name}"] = value
    return settings


def _as_served(agent: Mapping[str, Data], same_engine: bool) -> dict[str, Data]:
    """Returns what of an agent is the same in an evaluation, with other users and candidates."""
    served = {"type": agent["type"].removeprefix("Vector")}
    if same_engine:
        served["algorithms"] = agent["algorithms"]
        served["modes"] = agent["modes"]
    served["all_algorithms"] = sorted(set(_all_algorithms(agent)))
    return served


def _all_algorithms(agent: Mapping[str, Data]) -> Iterator[str]:
    yield from agent["algorithms"]
    for inner in agent["agents"]:
        yield from _all_algorithms(inner)


def _related(one: Mapping[str, Data], other: Mapping[str, Data]) -> bool:
    """Says whether one agent's class is, but for the engine, a subclass of the other's."""
    names = [
        [name.removeprefix("Vector") for name in (each["type"], *each["bases"])]
        for each in (one, other)
    ]
    return names[0][0] in names[1] or names[1][0] in names[0]


def _differing(path: str, old: Data, new: Data, strict: bool = False) -> Iterator[str]:
    """Yields in words where two trees of JSON values that both tell something differ.

    Args:
        path: the names on the way to them.
        old: the one.
        new: the other.
        strict: whether a name that only one of them has is a difference, as it is in spaces.
    """
    if old is None or new is None or old == new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        if strict and old.keys() != new.keys():
            yield _difference(path, old, new)
            return
        for key in old:
            if key in new:
                name = f"{path} {key}".strip()
                yield from _differing(name, old[key], new[key], strict or key == "spaces")
    elif _are_lists_of_records(old, new):
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            name = path if len(old) == 1 else f"{path}[{number}]"
            yield from _differing(name, one, other, strict)
    else:
        yield _difference(path, old, new)


def _are_lists_of_records(*values: Data) -> bool:
    return len({len(value) if isinstance(value, list) else -1 for value in values}) == 1 and all(
        isinstance(value, list) and all(isinstance(item, Mapping) for item in value)
        for value in values
    )


def _difference(path: str, old: Data, new: Data) -> str:
    return f"{path.replace('_', ' ')} was {_short(old)} and is {_short(new)}"


def _short(value: Data) -> str:
    # What a terminal does not only show is escaped: anybody may have written the checkpoint.
    text = value if isinstance(value, str) and value.isprintable() else json.dumps(value)
    return text if len(text) <= 100 else f"{text[:100]}…"
