"""What an experiment runs: each agent in each scenario, with those settings that concern it.

Everything is made before anything runs, so that mistakes are found at once. What would import
TensorFlow for that is made in a process of its own: the one that only hands out tasks stays small.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import math
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import gin

from recsim import parallel, registry
from recsim._internal import bindings, keys
from recsim.experiments import _tasks, agent_run

if TYPE_CHECKING:
    from recsim.experiments.experiment import Experiment

__all__ = ["Combination", "combinations", "size_of_task", "uses_tensorflow"]

_MOST_TASKS = 100_000


@dataclasses.dataclass(frozen=True)
class Combination:
    """An agent in a scenario, with settings.

    Attributes:
        scenario: the scenario's name.
        agent: the agent's name.
        settings: values by gin's name of a parameter.
        made: what gin could configure of it.
    """

    scenario: str
    agent: str
    settings: Mapping[str, Any]
    made: bindings.Made


def combinations(wanted: Experiment, arguments: Mapping[str, Any]) -> list[Combination]:
    """Returns what there is to run with each seed, when it is certain that it can be made.

    Args:
        wanted: the experiment.
        arguments: those of :class:`recsim.experiments.agent_run.AgentRun` that all tasks share.

    Raises:
        ValueError, TypeError, MemoryError, OSError: if something cannot be made.
    """
    _check_sweep(wanted)
    pairs = list(itertools.product(wanted.scenarios_by_name, wanted.agents_by_name))
    # Without bindings, and unless it is to be timed, an agent is made and does nothing. Networks
    # are made late.
    is_tried = bool(gin.config_str().strip() or wanted.sweep) or (
        size_of_task(wanted) >= agent_run.FEW_STEPS
    )
    elsewhere = [pair for pair in pairs if is_tried and uses_tensorflow(wanted, pair[1])]
    found = _made(wanted, arguments, [pair for pair in pairs if pair not in elsewhere])
    if elsewhere:
        task = parallel.Task(
            "checks before the run",
            functools.partial(_made_in_worker, wanted, arguments, elsewhere),
            {},
            1,
            uses_tensorflow=True,
        )
        with contextlib.closing(parallel.run_tasks([task], 1, lambda _: None)) as results:
            ((_, result),) = results
        found += result["combinations"]
    _check_number(len(found), wanted)
    return sorted(found, key=lambda made: pairs.index((made.scenario, made.agent)))


def _check_sweep(wanted: Experiment) -> None:
    """Raises ValueError if what a sweep names is named twice, or bound to something already."""
    names: dict[tuple[str, str, str], str] = {}
    for name in wanted.sweep:
        try:
            parameter = bindings.split(name)
        except ValueError as error:
            raise ValueError(f"sweep: {error}") from error
        if parameter in names:
            raise ValueError(
                f"sweep must name different parameters, got {names[parameter]!r} and {name!r}, "
                "which are the same."
            )
        names[parameter] = name
        if bindings.is_bound(name):
            raise ValueError(
                f"sweep has values for {name!r}, which gin binds to one already: leave out one of "
                "the two."
            )


def _check_number(number: int, wanted: Experiment) -> None:
    """Raises ValueError for more tasks than an experiment may have."""
    if number * wanted.num_seeds > _MOST_TASKS:
        raise ValueError(
            f"seeds and sweep must make at most {_MOST_TASKS:,} tasks, got "
            f"{number * wanted.num_seeds:,} or more."
        )


def uses_tensorflow(wanted: Experiment, agent: str) -> bool:
    """Says whether tasks with an agent may compute with TensorFlow."""
    entry = registry.agent_entry(agent)
    if entry.learns and entry.plans_training:
        return True
    # What an agent of the user's own computes with is not known.
    return "tensorflow" in sys.modules and agent in registry.own_entries()[1]


def size_of_task(wanted: Experiment) -> int:
    """Returns about how many steps a task has."""
    steps = wanted.steps or agent_run.EVAL_DEFAULTS["max_steps_per_episode"]
    episodes = wanted.episodes or wanted.num_envs
    size = steps * (episodes or agent_run.EVAL_DEFAULTS["max_eval_episodes"])
    if wanted.learners:
        iterations = agent_run.TRAIN_DEFAULTS["num_iterations"]
        planned = agent_run.TRAIN_DEFAULTS["max_training_steps"] * iterations
        size += wanted.train_steps or planned
    return size


def _made_in_worker(
    wanted: Experiment,
    arguments: Mapping[str, Any],
    pairs: Sequence[tuple[str, str]],
    advance: parallel.Advance,
) -> parallel.Result:
    del advance
    registry.import_all()
    made = _made(wanted, arguments, pairs)
    # Values that gin has may not be fit to be sent.
    return {"combinations": [dataclasses.replace(of, made=of.made.names()) for of in made]}


def _made(
    wanted: Experiment, arguments: Mapping[str, Any], pairs: Sequence[tuple[str, str]]
) -> list[Combination]:
    return [of for pair in pairs for of in _of_pair(wanted, arguments, *pair)]


def _of_pair(
    wanted: Experiment, arguments: Mapping[str, Any], scenario: str, agent: str
) -> Iterator[Combination]:
    """Yields an agent in a scenario with each of the settings that have an effect on it."""
    sweep = wanted.sweep
    first = {name: values[0] for name, values in sweep.items()}
    made = _made_with(wanted, arguments, scenario, agent, first)
    own = [name for name in sweep if made.uses(name)]
    _check_number(math.prod(len(sweep[name]) for name in own), wanted)
    for values in itertools.product(*(sweep[name] for name in own)):
        settings = dict(zip(own, values))
        if settings != {name: first[name] for name in own}:
            made = _made_with(wanted, arguments, scenario, agent, settings)
        yield Combination(scenario, agent, settings, made)


def _made_with(
    wanted: Experiment,
    arguments: Mapping[str, Any],
    scenario: str,
    agent: str,
    settings: Mapping[str, Any],
) -> bindings.Made:
    spec = _tasks.Spec(scenario, agent, settings, wanted.seed, 0)
    with tempfile.TemporaryDirectory() as folder, bindings.restored():
        try:
            bindings.load([], [_tasks.gin_text(*setting) for setting in settings.items()])
        except ValueError as error:
            raise ValueError(f"sweep: {error}") from error
        # Some agents take any argument: what nothing reads of them is told of.
        refused = {} if wanted.gin_allow_unused else bindings.by_parameter()
        with keys.refusing_bound(refused):
            return _tasks.check(spec, folder, arguments)
