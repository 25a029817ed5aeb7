"""Entries of the leaderboard: files of what an agent earned, one for each agent.

An entry is a file in JSON:

* ``format``: 1;
* ``version``: the version of the leaderboard;
* ``agent``: the agent's name there;
* ``made_by``: a name of :data:`recsim.registry.AGENTS`, or a reference such as ``module:factory``;
* ``description``: a line on it;
* ``tasks``: for each task that the agent took part in

  * ``sha256``: the task's, so that results of another task are not taken for those of this one;
  * ``settings``: gin bindings;
  * ``search``: the mean return by each setting that was tried, empty if none was; and
    ``search_seconds``, the processor time of that;
  * ``returns``: the mean return over the users of the evaluation, by seed;
  * ``curve``: ``steps`` of the training, and ``values`` by seed, the returns after so many; or null
    for an agent that is not trained;
  * ``seconds``: of processor time that training, curve and evaluation took, by seed;
  * ``versions``: of packages; ``library``: the SHA-256 of this library's code; and ``source``: that
    of code of one's own, or null;

* ``not_applicable``: a reason for each task that the agent cannot take part in.

Example:
    >>> import tempfile
    >>> entry = Entry(
    ...     "recsim-slates-v1", "mine", "my_agents.py:Mine", "an agent", {}, {"easy": "too easy"}
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save(entry, folder)
    ...     os.path.basename(path), load(path) == entry, load_all(folder) == [entry]
    ('mine.json', True, True)
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
from collections.abc import Mapping
from typing import Any

from recsim._internal import files, json_text, numbers, paths
from recsim.experiments.leaderboard import baselines, tasks

__all__ = ["FOLDER", "Entry", "TaskResult", "load", "load_all", "save"]

#: The folder of the entries, in that of a run.
FOLDER = "entries"

_FORMAT = 1

# What agents of entries on record are made by, where that has moved since.
_MOVED = {
    "recsim.experiments.leaderboard.oracle:ShortTermOracle": (
        "recsim.agents.short_term_oracle:ShortTermOracle"
    ),
}


@dataclasses.dataclass(frozen=True)
class TaskResult:
    """What an agent earned in a task; the attributes are those of the file.

    Example:
        >>> task = tasks.version_of("recsim-slates-v1").task("easy")
        >>> result = TaskResult(
        ...     task.sha256,
        ...     settings=(),
        ...     search={},
        ...     search_seconds=0.0,
        ...     returns={"0": 31.4, "1": 31.9},
        ...     curve=None,
        ...     seconds={"0": 0.1, "1": 0.1},
        ...     versions={"numpy": "2.0.0"},
        ...     library="0" * 64,
        ... )
        >>> max(result.returns, key=result.returns.get)
        '1'
    """

    sha256: str
    settings: tuple[str, ...]
    search: Mapping[str, float]
    search_seconds: float
    returns: Mapping[str, float]
    curve: Mapping[str, Any] | None
    seconds: Mapping[str, float]
    versions: Mapping[str, str]
    library: str
    source: str | None = None


@dataclasses.dataclass(frozen=True)
class Entry:
    """What an agent earned; the attributes are those of the file.

    Example:
        >>> entry = Entry("recsim-slates-v1", "random", "random", "random slates", {}, {})
        >>> sorted(tasks.version_of(entry.version).tasks.keys() - entry.tasks.keys())[:3]
        ['boredom', 'catalogue', 'clickbait']
    """

    version: str
    agent: str
    made_by: str
    description: str
    tasks: Mapping[str, TaskResult]
    not_applicable: Mapping[str, str]


def save(entry: Entry, folder: str) -> str:
    """Writes an entry to a folder, which is made where it is not there.

    Args:
        entry: the entry.
        folder: the folder.

    Returns:
        The file's path: the agent's name, with ``.json``.

    Example:
        >>> import tempfile
        >>> entry = Entry("recsim-slates-v1", "random", "random", "random slates", {}, {})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     os.path.basename(save(entry, folder))
        'random.json'
    """
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"{entry.agent}.json")
    data = {"format": _FORMAT, **dataclasses.asdict(entry)}
    with files.atomic_file(path) as file:
        file.write(f"{json_text.dumps(data, indent=1)}\n".encode())
    return path


def load_all(folder: paths.Path) -> list[Entry]:
    """Returns the entries in a folder, by the names of their files.

    Args:
        folder: the folder, or that of a run, which has them in its folder ``entries``.

    Raises:
        ValueError: if there is none, a file is not an entry, or they are not of one version.
        OSError: if one cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("random", "ppo"):
        ...         _ = save(Entry("recsim-slates-v1", name, name, "an agent", {}, {}), folder)
        ...     [entry.agent for entry in load_all(folder)]
        ['ppo', 'random']
    """
    place = paths.absolute("folder", folder)
    if os.path.isdir(os.path.join(place, FOLDER)):
        place = os.path.join(place, FOLDER)
    names = sorted(name for name in os.listdir(place) if name.endswith(".json"))
    if not names:
        raise ValueError(f"folder must hold entries of the leaderboard, got none in {place!r}.")
    found = [load(os.path.join(place, name)) for name in names]
    versions = {entry.version for entry in found}
    if len(versions) > 1:
        raise ValueError(
            f"folder must hold entries of one version of the leaderboard, got {place!r} with "
            f"{', '.join(sorted(versions))}."
        )
    return found


def load(path: paths.Path) -> Entry:
    """Returns an entry, checked as far as a file can be.

    Args:
        path: the file.

    Raises:
        ValueError: if it is none, with what is wrong: another format, a version or a task that is
            not known or not the one that there is, seeds that are none of the task's, numbers that
            are not finite.
        OSError: if it cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = save(Entry("recsim-slates-v1", "mine", "mine", "an agent", {}, {}), folder)
        ...     load(path).agent
        'mine'
    """
    file_path = paths.absolute("path", path)
    with open(file_path, encoding="utf-8") as file:
        try:
            data = json.load(file)
        except ValueError as error:
            raise ValueError(
                f"{file_path!r} is not an entry of the leaderboard: it is not JSON ({error})."
            ) from error
    try:
        return _checked(data)
    except ValueError as error:
        raise ValueError(f"{file_path!r} is not an entry of the leaderboard: {error}") from error


def _checked(data: object) -> Entry:
    """Returns what a file has as an entry, or raises ValueError."""
    whole = _mapping("the file", data)
    if whole.get("format") != _FORMAT:
        raise ValueError(f"format must be {_FORMAT}, got {numbers.described(whole.get('format'))}.")
    fields = {field.name for field in dataclasses.fields(Entry)}
    _same_keys("the file", set(whole), {"format", *fields})
    version = tasks.version_of(whole["version"])
    for name in ("agent", "made_by", "description"):
        if not isinstance(whole[name], str) or not whole[name]:
            raise ValueError(f"{name} must be a text, got {numbers.described(whole[name])}.")
    results = {
        name: _task_result(version, name, of_task)
        for name, of_task in _mapping("tasks", whole["tasks"]).items()
    }
    reasons = _mapping("not_applicable", whole["not_applicable"])
    for name, reason in reasons.items():
        version.task(name)
        if not isinstance(reason, str) or name in results:
            raise ValueError(
                f"not_applicable[{name!r}] must be a text, of a task without results, got "
                f"{numbers.described(reason)}."
            )
    given = {name: whole[name] for name in ("version", "agent", "made_by", "description")}
    given["made_by"] = _MOVED.get(given["made_by"], given["made_by"])
    check_name(given["agent"], given["made_by"])
    return Entry(**given, tasks=results, not_applicable=reasons)


def check_name(agent: str, made_by: str) -> None:
    """Raises ValueError if an agent has the name of another one, which is the library's.

    Args:
        agent: its name on the leaderboard.
        made_by: a name of the registry, or a reference to code.

    Example:
        >>> check_name("mine", "my_agents.py:mine")
        >>> check_name("random", "my_agents.py:random")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: agent must be a name of its own, got 'random' made by my_agents.py:random: ...
    """
    if agent in baselines.names() and made_by != baselines.reference_of(agent):
        raise ValueError(
            f"agent must be a name of its own, got {agent!r} made by {made_by}: the library has an "
            "agent of that name. Name the class or function otherwise."
        )


def _task_result(version: tasks.Version, name: str, data: object) -> TaskResult:
    task = version.task(name)
    place = f"tasks[{name!r}]"
    found = _mapping(place, data)
    _same_keys(place, set(found), {field.name for field in dataclasses.fields(TaskResult)})
    if found["sha256"] != task.sha256:
        raise ValueError(
            f"{place}['sha256'] must be {task.sha256[:12]}…, that of the task in "
            f"{version.name}, got {numbers.described(found['sha256'])}: it was another task, or "
            "another budget."
        )
    for key in ("returns", "seconds", "search"):
        for which, value in _mapping(f"{place}[{key!r}]", found[key]).items():
            if not _is_finite(value):
                raise ValueError(
                    f"{place}[{key!r}][{which!r}] must be a finite number, got "
                    f"{numbers.described(value)}."
                )
    searched = found["search_seconds"]
    if not _is_finite(searched) or searched < 0.0:
        raise ValueError(
            f"{place}['search_seconds'] must be a finite number >= 0, got "
            f"{numbers.described(searched)}."
        )
    seeds = set(found["returns"])
    known = {str(seed) for seed in range(version.num_seeds)}
    if not seeds or not seeds <= known or seeds != set(found["seconds"]):
        raise ValueError(
            f"{place}['returns'] and ['seconds'] must be of the same seeds, of 0 to "
            f"{version.num_seeds - 1}, got {', '.join(sorted(seeds)) or 'none'}."
        )
    if found["curve"] is not None:
        curve = _mapping(f"{place}['curve']", found["curve"])
        _same_keys(f"{place}['curve']", set(curve), {"steps", "values"})
        values = _mapping(f"{place}['curve']['values']", curve["values"])
        of_all = [curve["steps"], *values.values()]
        if set(values) != seeds or not all(
            isinstance(of, list) and len(of) == len(curve["steps"]) and all(map(_is_finite, of))
            for of in of_all
        ):
            raise ValueError(
                f"{place}['curve'] must be finite, with a value of each seed for each of its steps."
            )
    settings, versions = found["settings"], _mapping(f"{place}['versions']", found["versions"])
    if not isinstance(settings, list) or not all(isinstance(each, str) for each in settings):
        raise ValueError(
            f"{place}['settings'] must be a list of texts, got {numbers.described(settings)}."
        )
    texts = [found["library"], *versions.values(), *filter(None, [found["source"]])]
    if not all(isinstance(each, str) for each in texts):
        raise ValueError(f"{place}['versions'], ['library'] and ['source'] must be texts.")
    return TaskResult(**{**found, "settings": tuple(found["settings"])})


def _is_finite(value: object) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    with contextlib.suppress(OverflowError):
        return is_number and math.isfinite(value)  # type: ignore[arg-type]
    return False


def _mapping(name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be an object of JSON, got {numbers.described(value)}.")
    return value


def _same_keys(name: str, found: set[str], wanted: set[str]) -> None:
    if found != wanted:
        raise ValueError(
            f"{name} must have the keys {', '.join(sorted(wanted))}; it lacks "
            f"{', '.join(sorted(wanted - found)) or 'none'} and has besides "
            f"{', '.join(sorted(found - wanted)) or 'none'}."
        )
