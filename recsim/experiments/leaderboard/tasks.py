"""Tasks of the leaderboard: scenarios at fixed parameters, with a budget; and versions of it.

Example:
    >>> version = version_of("recsim-slates-v1")
    >>> ", ".join(version.tasks)
    'easy, evolution, large_slates, catalogue, exploration, clickbait, boredom, ordering'
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from recsim import registry
from recsim._internal import json_text, validation

if TYPE_CHECKING:
    from recsim.simulator import recsim_gym
    from recsim.vector import env as vector_env

__all__ = ["VERSIONS", "Scenario", "Task", "Version", "version_of"]

#: The modules of the versions' tasks by name.
VERSIONS: Mapping[str, str] = {"recsim-slates-v1": "recsim.experiments.leaderboard.slates_v1"}

_QUICK = "-quick"


@dataclasses.dataclass(frozen=True)
class Scenario(registry.EnvironmentEntry):
    """The scenario of a task, as the registry has scenarios.

    Attributes:
        source_digest: what tells the task from others, for records of results.

    Example:
        >>> scenario = version_of("recsim-slates-v1").task("easy").scenario
        >>> env = scenario.create_vector({"seed": 0}, 4)
        >>> env.num_envs, env.slate_size
        (4, 2)
    """

    source_digest: str = ""


@dataclasses.dataclass(frozen=True)
class Task:
    """A scenario at fixed parameters, and how long agents are trained and evaluated in it.

    Attributes:
        name: its name, in lower case; the module of its version has it in upper case.
        title: what it asks of an agent, in a few words.
        environment: the scenario's name in :data:`recsim.registry.ENVIRONMENTS`.
        num_candidates: number of candidates at each step.
        slate_size: number of documents in a slate.
        resample_documents: whether each step has new candidates; else all users share them.
        parameters: further entries of the scenario's config.
        steps: greatest number of steps of an episode.
        train_steps: user-steps of a training.
        users: users of an evaluation, an episode each.
        curve_users: users of each point of a learning curve.

    Example:
        >>> task = Task("short", "a task of my own", "topic_boredom", 10, 3, train_steps=1_000)
        >>> len(task.scenario.create({"seed": 0}).reset()["doc"])
        10
        >>> version_of("recsim-slates-v1").task("easy").sha256[:12]  # The same for ever.
        'd7e50f64b3d6'
    """

    name: str
    title: str
    environment: str
    num_candidates: int
    slate_size: int
    resample_documents: bool = True
    parameters: Mapping[str, object] = dataclasses.field(default_factory=dict)
    steps: int = 200
    train_steps: int = 50_000
    users: int = 500
    curve_users: int = 50

    @property
    def scenario(self) -> Scenario:
        """The scenario."""
        create: Any = functools.partial(_create, self)
        entry = registry.environment_entry(self.environment)
        return Scenario(
            entry.module,
            self.title,
            entry.reward,
            create=create,
            create_vector=create,
            source_digest=self.sha256,
        )

    @property
    def sha256(self) -> str:
        """What tells the task from others: a digest of all that it says but for the title."""
        data = {**dataclasses.asdict(self), "title": None}
        return hashlib.sha256(json_text.dumps(data).encode()).hexdigest()

    def quick(self) -> Task:
        """Returns the same task with a budget that shows whether all of it works."""
        return dataclasses.replace(
            self,
            train_steps=max(3_000, self.train_steps // 10),
            users=self.users // 10,
            curve_users=5,
        )


def _create(
    task: Task, env_config: Mapping[str, object], *num_envs: int, **options: object
) -> recsim_gym.RecSimGymEnv | vector_env.RecSimVectorEnv:
    """Makes an environment of a task, of as many users as are given, or of one.

    It refuses slates that have a candidate twice: that pays where users choose among what they are
    shown, and no page shows a document twice.
    """
    config = {
        **task.parameters,
        "num_candidates": task.num_candidates,
        "slate_size": task.slate_size,
        "resample_documents": task.resample_documents,
        "seed": env_config["seed"],
    }
    if not num_envs:
        one = registry.create_environment(task.environment, config, **options)
        one.environment.distinct_slates = True
        return one
    create: Any = registry.create_vector_environment
    many: vector_env.RecSimVectorEnv = create(task.environment, config, *num_envs, **options)
    many.distinct_slates = True
    return many


@dataclasses.dataclass(frozen=True)
class Version:
    """A version of the leaderboard, which never changes once results of it are out.

    Attributes:
        name: its name.
        module: the module that has its tasks.
        tasks: the tasks by name.
        train_envs: users in parallel of a training.
        num_seeds: how many seeds each agent is run with, from 0 on.
        search_seeds: how many seeds settings are chosen by, from :attr:`first_search_seed` on.
        first_search_seed: the first of these.
        search_share: what share of the evaluation's users these runs are evaluated on.
        scales: by task the returns that have the scores 0 and 1: those of ``random`` and of the
            best agent when the version was published. Where there are none, those of the entries.

    Example:
        >>> version = version_of("recsim-slates-v1")
        >>> version.reference(version.task("easy"))
        'recsim.experiments.leaderboard.slates_v1:EASY.scenario'
        >>> version.quick().name, version.quick().task("easy").train_steps
        ('recsim-slates-v1-quick', 5000)
    """

    name: str
    module: str
    tasks: Mapping[str, Task]
    train_envs: int = 100
    num_seeds: int = 10
    search_seeds: int = 2
    first_search_seed: int = 1_000
    search_share: float = 0.2
    scales: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)

    def task(self, name: str) -> Task:
        """Returns a task, or raises ValueError that names the nearest one."""
        if name not in self.tasks:
            raise ValueError(
                f"There is no task {name!r} in {self.name}."
                f"{validation.nearest_name(name, self.tasks)} Known are: {', '.join(self.tasks)}."
            )
        return self.tasks[name]

    def reference(self, task: Task) -> str:
        """Returns the reference of a task's scenario, see :mod:`recsim.experiments.factories`."""
        return f"{self.module}:{task.name.upper()}.scenario"

    def quick(self) -> Version:
        """Returns a small version, whose results are of another name and no entries of this one."""
        if self.name.endswith(_QUICK):
            return self
        return dataclasses.replace(
            self,
            name=f"{self.name}{_QUICK}",
            tasks={name: task.quick() for name, task in self.tasks.items()},
            num_seeds=2,
            search_seeds=1,
            scales={},
        )


def version_of(name: str) -> Version:
    """Returns a version of the leaderboard, or raises ValueError that names the nearest one.

    Args:
        name: a key of :data:`VERSIONS`; with ``-quick`` after it, :meth:`Version.quick` of it.

    Example:
        >>> version_of("recsim-slates-v1").num_seeds
        10
    """
    known = [*VERSIONS, *(f"{each}{_QUICK}" for each in VERSIONS)]
    if not isinstance(name, str) or name not in known:
        raise ValueError(
            f"There is no version {name!r} of the leaderboard."
            f"{validation.nearest_name(str(name), known)} Known are: {', '.join(known)}."
        )
    module = importlib.import_module(VERSIONS[name.removesuffix(_QUICK)])
    version: Version = module.VERSION
    return version.quick() if name.endswith(_QUICK) else version
