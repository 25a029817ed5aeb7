"""Experiments from YAML files.

A file has the arguments of :class:`recsim.experiments.experiment.Experiment` by name::

    scenarios: interest_exploration       # a name, or a list; or names of your own with references
    agents:                               # likewise; the last one is the baseline
      bandit: cluster_bandit_ucb1
      mine: my_agents.py:MyAgent          # paths are relative to the file's folder
      random: random
    seeds: 10
    sweep:                                # every combination is run
      ClusterBanditAgent.ci_scaling: [0.1, 0.5, 1]
    episodes: 100
    gin_bindings:
      - Runner.max_steps_per_episode = 100

A mistake is an error that names the file and the line.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from recsim._internal import paths, validation
from recsim.experiments import experiment, factories

if TYPE_CHECKING:
    import yaml

__all__ = ["SCHEMA", "ExperimentFile", "load"]

#: What a file may have, and what of: the values are for errors and the documentation.
SCHEMA: Mapping[str, str] = {
    "agents": "a name or reference, a list of these, or a mapping of them by names of your own",
    "scenarios": "a name or reference, a list of these, or a mapping of them by names of your own",
    "seeds": "an integer >= 1",
    "seed": "an integer >= 0",
    "agent_seed": "an integer >= 0",
    "sweep": "a mapping of lists of values by gin's name of a parameter",
    "num_candidates": "an integer >= 1",
    "slate_size": "an integer >= 1",
    "resample_documents": "true or false",
    "steps": "an integer >= 1",
    "episodes": "an integer >= 1",
    "train_steps": "an integer >= 1",
    "num_envs": "an integer >= 1",
    "train_envs": "an integer >= 1",
    "staleness": "an integer >= 0",
    "gin_files": "a list of paths",
    "gin_bindings": "a list of bindings",
    "gin_allow_unused": "true or false",
    "log_episodes": "true or false",
    "log_user_state": "true or false",
    "curve_users": "an integer >= 1",
}


@dataclasses.dataclass(frozen=True)
class ExperimentFile:
    """What a file has.

    Attributes:
        path: its path.
        settings: the arguments of an experiment.
        lines: the line of each text in it, keys and values, counted from 1.
    """

    path: str
    settings: Mapping[str, Any]
    lines: Mapping[str, int]

    @contextlib.contextmanager
    def placed(self) -> Iterator[None]:
        """Adds, to an error raised in the block, the line of what it is about."""
        try:
            yield
        except (TypeError, ValueError) as error:
            line = self._line_of(str(error))
            place = repr(self.path) if line is None else f"{self.path!r}, line {line}"
            raise ValueError(f"{place}: {error}") from error

    def _line_of(self, message: str) -> int | None:
        quoted = [
            known
            for text in re.findall(r"'([^']+)'", message)
            for known in self.lines
            if text == known or text.endswith(os.sep + known)  # A path in it, with its folder.
        ]
        word = re.match(r"\w*", message)
        words = [word[0]] if word is not None and word[0] in self.lines else []
        found = [*quoted, *words]
        return self.lines[found[0]] if found else None


def load(path: paths.Path) -> ExperimentFile:
    """Returns what an experiment's file has.

    Args:
        path: the file.

    Raises:
        ValueError: if it is not YAML, or has an unknown or repeated key, with the line.
        OSError: if it cannot be read.
    """
    import yaml

    file_path = paths.absolute("path", path)
    with open(file_path, encoding="utf-8") as file:
        try:
            text = file.read()
        except UnicodeDecodeError as error:
            raise ValueError(f"{file_path!r} is not a text in UTF-8: {error}.") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = "" if mark is None else f", line {mark.line + 1}"
        problem = getattr(error, "problem", None) or str(error)
        raise ValueError(f"{file_path!r}{place}: not YAML: {problem}.") from error
    if not isinstance(node, yaml.MappingNode) or not isinstance(data, dict):
        raise ValueError(
            f"{file_path!r}, line 1: an experiment is a mapping, such as 'agents: [random]', got "
            f"{data!r:.60}."
        )
    lines: dict[str, int] = {}
    _note_lines(node, lines, file_path)
    for key in data:
        if key not in SCHEMA:
            raise ValueError(
                f"{file_path!r}, line {lines[str(key)]}: there is no key {key!r}."
                f"{validation.nearest_name(str(key), SCHEMA)} Known are: {', '.join(SCHEMA)}."
            )
        if data[key] is None:
            raise ValueError(
                f"{file_path!r}, line {lines[key]}: {key} must be {SCHEMA[key]}, got nothing."
            )
    if "agents" not in data:
        raise ValueError(f"{file_path!r}, line 1: agents is missing: {SCHEMA['agents']}.")
    folder = os.path.dirname(file_path)
    settings = {**data}
    for name in ("agents", "scenarios"):
        if name in settings:
            settings[name] = _located(settings[name], folder)
    if isinstance(settings.get("gin_files"), list):
        settings["gin_files"] = [
            os.path.join(folder, os.path.expanduser(str(name))) for name in settings["gin_files"]
        ]
    found = ExperimentFile(file_path, settings, lines)
    with found.placed():
        experiment.Experiment(**settings)
    return found


def _note_lines(node: yaml.Node, lines: dict[str, int], path: str) -> None:
    """Notes the lines of all texts; refuses a key that is there twice."""
    import yaml

    if isinstance(node, yaml.ScalarNode):
        lines.setdefault(node.value, node.start_mark.line + 1)
    elif isinstance(node, yaml.SequenceNode):
        for child in node.value:
            _note_lines(child, lines, path)
    elif isinstance(node, yaml.MappingNode):
        keys = set()
        for key, value in node.value:
            if key.value in keys:
                raise ValueError(
                    f"{path!r}, line {key.start_mark.line + 1}: {key.value!r} is there twice."
                )
            keys.add(key.value)
            _note_lines(key, lines, path)
            _note_lines(value, lines, path)


def _located(given: object, folder: str) -> object:
    """Returns references with paths that do not depend on the current directory."""
    if isinstance(given, str):
        place, colon, name = given.rpartition(":")
        if given.endswith(".py"):
            return os.path.join(folder, os.path.expanduser(given))
        if factories.is_reference(given) and place.endswith(".py"):
            return os.path.join(folder, os.path.expanduser(place)) + colon + name
        return given
    if isinstance(given, list):
        return [_located(one, folder) for one in given]
    if isinstance(given, dict):
        return {name: _located(one, folder) for name, one in given.items()}
    return given
