"""Reads the files of saved agents, whoever wrote them, and makes the agents again."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from recsim import agent as agent_lib
from recsim import spaces as spaces_lib
from recsim import types
from recsim._internal import bundles, checkpoint_files, numbers, paths, saved_agents, validation
from recsim._internal.gym_import import spaces as gym_spaces

__all__ = ["AgentFileError", "Saved", "agents_in", "make_agent", "read"]

# Nobody's file takes memory for more documents, or more levels of layers.
_MOST_CANDIDATES = 1_000_000
_MOST_LAYERS = 20
_MOST = {"history_length": 1_000_000, "max_num_slates": 10_000_000}


class AgentFileError(ValueError):
    """A file is not a saved agent: truncated, altered, of another version, or something else."""


@dataclasses.dataclass(frozen=True)
class Saved:
    """What the file of a saved agent holds, see :mod:`recsim._internal.saved_agents`."""

    path: str
    versions: Mapping[str, str]
    description: Mapping[str, Any]
    state: types.State
    space: gym_spaces.Dict | None
    num_candidates: int
    slate_size: int
    users: object

    @property
    def action_space(self) -> gym_spaces.MultiDiscrete:
        """The space of its slates."""
        return gym_spaces.MultiDiscrete([self.num_candidates] * self.slate_size)


def _refuse(path: str, fault: str) -> NoReturn:
    raise AgentFileError(f"{path!r} is not a good saved agent: {fault}. Save the agent again.")


def read(path: paths.Path) -> Saved:
    """Reads a file that an agent's ``save`` wrote.

    Raises:
        AgentFileError: if it is something else.
        FileNotFoundError: if there is no such file.
    """
    path = paths.absolute("path", path)
    try:
        _, tree = checkpoint_files.read(path)
    except checkpoint_files.CheckpointError as error:
        reason = error.fault.replace(f"{path!r} ", "").rstrip(".")
        raise AgentFileError(
            f"{path!r} cannot be loaded as a saved agent: it {reason}. Save the agent again, or "
            "fetch the file again."
        ) from None
    if not isinstance(tree, dict) or saved_agents.MARK not in tree:
        what = "a checkpoint of another kind"
        if isinstance(tree, dict) and {"agent", "current_iteration"} <= tree.keys():
            what = (
                "a checkpoint of a training: make the agent, restore it by "
                "recsim.simulator.checkpoint.restore_agent(agent, path), and save it"
            )
        raise AgentFileError(f"{path!r} is not a saved agent but {what}.")
    number = tree[saved_agents.MARK]
    if type(number) is not int or number < 1:
        _refuse(path, f"its format is {number!r:.40}")
    if number > saved_agents.FORMAT:
        raise AgentFileError(
            f"{path!r} was saved by a newer version of recsim (its format is {number}, this "
            f"version reads up to {saved_agents.FORMAT}): upgrade recsim to load it."
        )
    return _checked(path, tree)


def _checked(path: str, tree: dict[Any, Any]) -> Saved:
    for name, kind in (
        ("versions", dict),
        ("agent", dict),
        ("state", dict),
        ("num_candidates", int),
        ("slate_size", int),
    ):
        if type(tree.get(name)) is not kind:
            _refuse(path, f"its {name} is {numbers.described(tree.get(name))}")
    for name in ("num_candidates", "slate_size"):
        if not 0 < tree[name] <= _MOST_CANDIDATES:
            _refuse(path, f"its {name} is {numbers.described(tree[name])}")
    if not all(type(text) is str for pair in tree["versions"].items() for text in pair):
        _refuse(path, f"its versions are {numbers.described(tree['versions'])}")
    for depth, description in _agents(tree["agent"]):
        if depth > _MOST_LAYERS:
            _refuse(path, f"it has more than {_MOST_LAYERS} layers")
        _check_description(path, description)
    space = None
    if tree.get("space") is not None:
        try:
            read_space: Any = spaces_lib.from_data(tree["space"])
        except ValueError as error:
            _refuse(path, f"its space is none: {error}".rstrip("."))
        _check_space(path, read_space, tree["num_candidates"])
        space = read_space
    return Saved(
        path,
        tree["versions"],
        tree["agent"],
        tree["state"],
        space,
        tree["num_candidates"],
        tree["slate_size"],
        tree.get("users"),
    )


def agents_in(description: Mapping[str, Any]) -> list[Any]:
    """Returns the descriptions of the agents that a checked description names as settings."""
    return [each for setting in description["settings"].values() for each in _agents_of(setting)]


def _agents(description: object, depth: int = 0) -> Iterator[tuple[int, Any]]:
    """Yields the description of an agent and those of the agents in it, each with its depth."""
    yield depth, description
    if depth > _MOST_LAYERS or not isinstance(description, dict):
        return
    settings = description.get("settings")
    for setting in settings.values() if isinstance(settings, dict) else ():
        for inner in _agents_of(setting):
            yield from _agents(inner, depth + 1)


def _agents_of(setting: object) -> list[object]:
    """Returns the descriptions of the agents that a setting stands for."""
    if isinstance(setting, dict) and "agent" in setting:
        return [setting["agent"]]
    if isinstance(setting, dict) and isinstance(setting.get("list"), list):
        return [inner for item in setting["list"] for inner in _agents_of(item)]
    return []


def _check_description(path: str, description: object) -> None:
    of: Any = description
    if (
        type(of) is not dict
        or type(of.get("class")) is not str
        or type(of.get("module")) is not str
        or type(of.get("own")) is not bool
        or type(of.get("settings")) is not dict
        or not all(type(name) is str for name in of["settings"])
    ):
        _refuse(path, f"it describes an agent by {numbers.described(description)}")
    if not of["own"] and of["class"] not in saved_agents.CODE:
        raise AgentFileError(
            f"{path!r} is of the agent {of['class']!r:.80}, which this version of recsim does not "
            "know: load it with the version that saved it, or a newer one."
        )


def _check_space(path: str, space: gym_spaces.Space[Any], num_candidates: int) -> None:
    parts = getattr(space, "spaces", None)
    if not isinstance(parts, Mapping) or not {"user", "doc"} <= parts.keys():
        _refuse(path, f"its space is not one of observations: {numbers.described(space)}")
    documents = getattr(parts["doc"], "spaces", None)
    if not isinstance(documents, Mapping) or len(documents) != num_candidates:
        _refuse(path, f"its space does not have {num_candidates} documents")
    first = next(iter(documents.values()))
    if any(document is not first and document != first for document in documents.values()):
        _refuse(path, "the documents of its space are not alike")
    if "response" in parts and not getattr(parts["response"], "spaces", None):
        _refuse(path, f"its space does not have responses: {numbers.described(parts['response'])}")


def make_agent(
    saved: Saved,
    agent_class: type | Sequence[type] | None = None,
    given: Mapping[str, object] | None = None,
) -> agent_lib.AbstractRecommenderAgent:
    """Makes the agent of a file again.

    Args:
        saved: the file's content.
        agent_class: the agent's class if it is of the user's own, or a list of those of the agent
            and the agents in it.
        given: the settings that the file does not hold, by name.

    Raises:
        TypeError: if ``agent_class`` or ``given`` lacks something, or has something too many.
        AgentFileError: if the file does not hold what such an agent is made of.
    """
    maker = _Maker(saved.path, _classes(agent_class), dict(given or {}))
    maker.check(saved.description)
    _check_networks(saved.path, saved.description, saved.state)
    agent = maker.make(saved.description, saved.space, saved.action_space)
    try:
        bundles.load(agent, saved.state)
    except (MemoryError, OSError):
        raise
    except Exception as error:  # Nobody knows what is in the file of somebody else.
        raise AgentFileError(
            f"{saved.path!r} does not hold the state of {type(agent).__name__}: "
            f"{type(error).__name__}: {error}"
        ) from error
    return agent


def _classes(agent_class: object) -> dict[str, type]:
    classes: Any = agent_class
    if agent_class is None:
        classes = []
    elif not isinstance(agent_class, (list, tuple)):
        classes = [agent_class]
    base = agent_lib.AbstractRecommenderAgent
    if not all(isinstance(each, type) and issubclass(each, base) for each in classes):
        raise TypeError(
            "agent_class must be a class of agents, a subclass of recsim.agent."
            f"AbstractRecommenderAgent, or a list of such, got {numbers.described(agent_class)}."
        )
    return {each.__name__: each for each in classes}


def _check_networks(path: str, description: Mapping[str, Any], state: object) -> None:
    """Raises AgentFileError where networks would be made of other sizes than the file holds.

    The layers of an agent have the states of the agents in them as ``base_agent_bundle_0``, ….
    """
    of: Any = state if isinstance(state, Mapping) else {}
    setting = description["settings"].get("hidden_units")
    if isinstance(setting, dict) and "data" in setting:
        network = of.get("online_network", of.get("critic", of.get("actor")))
        arrays = network if isinstance(network, list) else []
        arrays = _without_recurrent_state(path, description["settings"], arrays)
        sizes = [np.size(array) for array in arrays[1::2]][:-1]
        units = setting["data"]
        if not isinstance(units, (list, tuple)) or not all(type(each) is int for each in units):
            _refuse(path, f"its 'hidden_units' are {numbers.described(units)}")
        if list(units) != sizes:
            _refuse(path, "it does not hold a network with the hidden_units that it names")
    for number, base in enumerate(agents_in(description)):
        _check_networks(path, base, of.get(f"base_agent_bundle_{number}"))


def _without_recurrent_state(
    path: str, settings: Mapping[str, Any], arrays: list[Any]
) -> list[Any]:
    """Returns a network's arrays of fully connected layers; those of a recurrent state are first.

    Raises:
        AgentFileError: if these are not of the size that the settings name.
    """
    setting = settings.get("recurrent_units")  # Files from before there were any have none.
    units = setting.get("data", 0) if isinstance(setting, dict) else 0
    if type(units) is not int or units < 0:
        _refuse(path, f"its 'recurrent_units' are {numbers.described(units)}")
    if not units:
        return arrays
    from recsim.agents.networks import recurrent  # With all agents, which take a while.

    number = recurrent.Recurrence.num_arrays
    if len(arrays) < number or np.shape(arrays[1]) != (units, 3 * units):
        _refuse(path, "it does not hold a network with the recurrent_units that it names")
    return arrays[number:]


class _Maker:
    """Makes agents of their descriptions."""

    def __init__(self, path: str, classes: dict[str, type], given: dict[str, object]) -> None:
        self._path = path
        self._classes = classes
        self._given = given

    def check(self, description: Mapping[str, Any]) -> None:
        """Raises TypeError unless there are just the classes and settings that the file lacks."""
        every = [each for _, each in _agents(description)]
        own = {each["class"]: each["module"] for each in every if each["own"]}
        needed: dict[str, str] = {}
        for each in every:
            for name, setting in each["settings"].items():
                if isinstance(setting, dict) and "given" in setting:
                    needed[name] = str(setting["given"])
        for name, module in own.items():
            if name not in self._classes:
                raise TypeError(
                    f"{self._path!r} is of an agent of your own, the class {name!r:.80} of the "
                    f"module {module!r:.80}: load it with agent_class={name:.80}, for no code is "
                    "ever loaded from a file."
                )
        for name in self._classes:
            if name not in own:
                there = " and ".join(sorted(own)) or str(description["class"])
                raise TypeError(
                    f"agent_class must be what {self._path!r} needs, which is of {there:.80}, got "
                    f"{name}."
                )
        for name, kind in needed.items():
            if name not in self._given:
                raise TypeError(
                    f"{self._path!r} needs {name:.80}, a {kind:.80} of your own, which a file "
                    f"cannot hold: load it with {name:.80}=…, as the agent was made with."
                )
        for name in self._given:
            if name not in needed:
                known = ", ".join(needed) or "no more than the path"
                raise TypeError(
                    f"load_agent takes no argument {name!r} for {self._path!r}, which needs "
                    f"{known}.{validation.nearest_name(name, needed)}"
                )

    def make(
        self,
        description: Mapping[str, Any],
        observation_space: types.Space | None,
        action_space: types.Space,
    ) -> agent_lib.AbstractRecommenderAgent:
        """Returns a new agent, which has learned nothing yet."""
        name = description["class"]
        kind: Any = self._classes[name] if description["own"] else _code(name)
        offered = {
            "observation_space": observation_space,
            "action_space": action_space,
            "eval_mode": True,
            "sess": None,
        }
        parameters = inspect.signature(kind).parameters
        arguments = {each: offered[each] for each in saved_agents.OFFERED if each in parameters}
        if description["own"]:
            own: agent_lib.AbstractRecommenderAgent = kind(
                **arguments, **self._settings(description)
            )
            return own
        try:
            agent: agent_lib.AbstractRecommenderAgent = kind(
                **arguments, **self._settings(description)
            )
        except (OSError, AgentFileError):
            raise
        except Exception as error:  # MemoryError, too, of sizes that nobody's agent has.
            raise AgentFileError(
                f"{self._path!r} does not hold what {name} is made of: {type(error).__name__}: "
                f"{error}"
            ) from error
        return agent

    def _settings(self, description: Mapping[str, Any]) -> dict[str, object]:
        return {
            name: self._setting(name, setting) for name, setting in description["settings"].items()
        }

    def _setting(self, name: str, setting: object) -> object:
        """Returns a setting that :func:`recsim._internal.saved_agents.described` made data of."""
        if type(setting) is not dict or len(setting) != 1:
            _refuse(self._path, f"its {name!r:.80} is {numbers.described(setting)}")
        ((kind, content),) = setting.items()
        if kind == "data":
            most = _MOST.get(name)
            if most is not None and not (type(content) is int and content <= most):
                _refuse(self._path, f"its {name!r} is {numbers.described(content)}")
            return content
        if kind == "given":
            return self._given[name]
        if kind == "code" and type(content) is str and content in saved_agents.CODE:
            return _code(content)
        if kind == "agent":
            return self._constructor(content)
        if (
            kind == "partial"
            and type(content) is list
            and [type(part) for part in content] == [str, list]
            and content[0] in saved_agents.CODE
        ):
            first = [self._setting(name, item) for item in content[1]]
            return functools.partial(_code(content[0]), *first)
        if kind == "list" and type(content) is list:
            return [self._setting(name, item) for item in content]
        if (
            kind == "object"
            and type(content) is list
            and [type(part) for part in content] == [str, dict]
            and content[0] in saved_agents.CODE
        ):
            arguments = {key: self._setting(name, part) for key, part in content[1].items()}
            return _code(content[0])(**arguments)
        _refuse(self._path, f"its {name!r:.80} is {numbers.described(setting)}")

    def _constructor(
        self, description: Mapping[str, Any]
    ) -> Callable[..., agent_lib.AbstractRecommenderAgent]:
        def create(
            observation_space: types.Space | None = None,
            action_space: types.Space | None = None,
            **_: object,
        ) -> agent_lib.AbstractRecommenderAgent:
            assert action_space is not None
            return self.make(description, observation_space, action_space)

        return create


def _code(name: str) -> Callable[..., Any]:
    """Returns a function or class of this library that a file may name."""
    module = importlib.import_module(saved_agents.CODE[name])
    code: Callable[..., Any] = getattr(module, name)
    return code
