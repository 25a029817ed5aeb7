"""Simulation and training for as long as is asked for, with the memory of the process over time.

One training of users in parallel, by a :class:`recsim.simulator.runner_lib.TrainRunner` with logs
and checkpoints, lasts from the beginning to the end. Between its steps everything else is done in
rounds, in the same process: environments of both engines continue with agents that learn and with
bandits, trainings begin, resume and are evaluated, users are simulated by worker processes, agents
and environments are copied. After each round the garbage is collected and a :class:`Sample` taken.
"""

from __future__ import annotations

import bisect
import contextlib
import copy
import dataclasses
import functools
import gc
import itertools
import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psutil  # type: ignore[import-untyped]

from recsim import registry, types
from recsim._internal import resources
from recsim.benchmarks.endurance import programs, results
from recsim.experiments import experiment
from recsim.simulator import rollout, runner_lib
from recsim.vector import simulate

__all__ = ["MOST_GROWTH", "WARM_UP", "Sample", "Soak", "in_a_process", "run"]

#: The share of the time that is warm-up: the same for all soaks, whatever they find.
WARM_UP = 1 / 3
#: What the resident memory may grow by after that.
MOST_GROWTH = 0.01
# Memory is compared between the first and the last tenth of what follows.
_COMPARED = 0.1

_SMALL = {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 0}
_TOPICS = {**_SMALL, "num_items": 200, "time_budget": 30}
#: Scenarios with an agent each: of one user, and of users in parallel.
_PAIRS = (
    ("interest_exploration", "cluster_bandit_ts"),
    ("interest_evolution", "slate_topk_sarsa"),
    ("topic_boredom", "random"),
    ("long_term_satisfaction", "softmax"),
    ("interest_evolution", "full_slate_q"),
    ("interest_exploration", "cluster_bandit_ucb1"),
)
# For so many steps deep agents are planned: their buffers are full soon.
_PLANNED_STEPS = 500
_USERS = 128
# Worker processes take seconds to start: they do at every so many rounds.
_ROUNDS_BETWEEN_WORKERS = 12
# Shorter soaks say nothing of the growth of memory.
_SECONDS_TO_WARM_UP = 600.0
# So long may the workers of a soak take to end after it.
_SECONDS_TO_END = 30.0
_COUNTS = ("files", "processes", "threads")
# So many rows has the table.
_ROWS = 13


@dataclasses.dataclass(frozen=True)
class Sample:
    """What the process had at a moment.

    Attributes:
        seconds: since the beginning.
        user_steps: made so far, by all that was done in this process.
        resident: memory, in bytes.
        files: number of open files, sockets and pipes.
        processes: number of processes that it started and that are there.
        threads: number of its threads.
        heap: bytes of the C library's heap that are in use; None if it does not say.
        python_blocks: number of blocks of Python's own heap that are in use.
    """

    seconds: float
    user_steps: int
    resident: int
    files: int
    processes: int
    threads: int
    heap: int | None = None
    python_blocks: int = 0


@dataclasses.dataclass(frozen=True)
class Soak:
    """A soak, as its samples tell it.

    Attributes:
        samples: at the end of each round.
    """

    samples: Sequence[Sample]

    def after(self, share: float) -> list[Sample]:
        """Returns the samples after a share of the time: two at least, if there are as many."""
        end = self.samples[-1].seconds
        later = [sample for sample in self.samples if sample.seconds >= share * end]
        return later if len(later) > 1 else list(self.samples[-2:])

    def growth(self, share: float = WARM_UP) -> float:
        """Returns the growth of the resident memory after a share of the time, as a share.

        It is that of the median of the last tenth of the samples over that of the first tenth.
        """
        first, last = self._ends(lambda sample: sample.resident, share)
        return statistics.median(last) / statistics.median(first) - 1

    @property
    def files_left(self) -> int:
        """How many more files are open at the end than when the warm-up ended."""
        return self._more(lambda sample: sample.files)

    @property
    def processes_left(self) -> int:
        """How many more processes there are at the end than when the warm-up ended."""
        return self._more(lambda sample: sample.processes)

    def problems(self, seconds: float) -> Iterator[str]:
        """Yields what is wrong with a soak of a length; memory counts where it has warmed up.

        Args:
            seconds: how long it had to last.
        """
        if seconds >= _SECONDS_TO_WARM_UP and self.growth() >= MOST_GROWTH:
            yield f"resident memory has grown by {self.growth():.2%} after the warm-up"
        if self.files_left:
            yield f"{self.files_left} more files are open than after the warm-up"
        if self.processes_left:
            yield f"there are {self.processes_left} more processes than after the warm-up"

    def rows(self) -> list[list[str]]:
        """Returns the table: samples at equal distances in time, the first and the last of them."""
        seconds = [sample.seconds for sample in self.samples]
        moments = [row * seconds[-1] / (_ROWS - 1) for row in range(_ROWS)]
        chosen = sorted({min(bisect.bisect_left(seconds, m), len(seconds) - 1) for m in moments})
        return [_row(self.samples[number]) for number in chosen]

    def _more(self, value: Callable[[Sample], int]) -> int:
        # The greatest of the first: a file may be open in one round and not in another.
        first, last = self._ends(value)
        return max(0, max(last) - max(first))

    def _ends(
        self, value: Callable[[Sample], int], share: float = WARM_UP
    ) -> tuple[list[int], list[int]]:
        values = [value(sample) for sample in self.after(share)]
        number = max(1, round(_COMPARED * len(values)))
        return values[:number], values[-number:]


def _row(sample: Sample) -> list[str]:
    return [
        f"{sample.seconds / 60:.1f}",
        f"{sample.user_steps:,}",
        f"{sample.resident / 2**20:.1f} MiB",
        "" if sample.heap is None else f"{sample.heap / 2**20:.1f} MiB",
        f"{sample.python_blocks:,}",
        *map(str, (sample.files, sample.processes, sample.threads)),
    ]


class _TimeIsUpError(Exception):
    """The soak has lasted long enough."""


class _Rounds(rollout.VectorListener):
    """Does all else between the steps of the long training.

    Args:
        seconds: for how long.
        folder: a folder for the files.
        file: where samples are written, a line each.
    """

    def __init__(self, seconds: float, folder: str, file: str) -> None:
        self._seconds = seconds
        self._folder = folder
        self._file = file
        self._begin = time.perf_counter()
        self._process = psutil.Process()
        self._steps = itertools.count(1)
        self._rounds = itertools.count()
        self._continuing = [*_one_user(), *_users_in_parallel()]
        self.user_steps = 0
        self.runs = 0

    def on_step(self, step: rollout.VectorStep) -> None:
        """Counts a step of the long training; every tenth is followed by a round."""
        self.user_steps += len(step.rewards)
        if next(self._steps) % 10 == 0:
            self._round(next(self._rounds))

    def _round(self, number: int) -> None:
        for advance in self._continuing:
            self.user_steps += advance()
        self._short_run(*_PAIRS[number % len(_PAIRS)], parallel=bool(number // len(_PAIRS) % 2))
        if number % _ROUNDS_BETWEEN_WORKERS == 0:
            self._workers(number)
        gc.collect()
        resources.return_free_memory(at_once=True)
        with open(self._file, "a", encoding="utf-8") as file:
            print(json.dumps(dataclasses.asdict(self._sample())), file=file)
        if time.perf_counter() - self._begin > self._seconds:
            raise _TimeIsUpError

    def _sample(self) -> Sample:
        return Sample(
            seconds=round(time.perf_counter() - self._begin, 2),
            user_steps=self.user_steps,
            resident=self._process.memory_info().rss,
            files=self._process.num_fds(),
            processes=len(self._process.children(recursive=True)),
            threads=self._process.num_threads(),
            heap=resources.heap_in_use(),
            python_blocks=sys.getallocatedblocks(),
        )

    def _short_run(self, scenario: str, agent: str, parallel: bool) -> None:
        """Trains, resumes and evaluates, with both logs."""
        folder = os.path.join(self._folder, "short")
        settings: dict[str, Any] = {
            "base_dir": folder,
            "create_agent_fn": functools.partial(_create_agent, agent, parallel, planned=400),
            "max_steps_per_episode": 20,
            "progress": False,
        }
        for num_iterations in (1, 2):
            runner_lib.TrainRunner(
                env=_environment(scenario, 16 if parallel else None),
                max_training_steps=160,
                num_iterations=num_iterations,
                keep_checkpoints=1,
                episode_log_file="episodes.tfrecord",
                parquet_log="episodes.parquet",
                log_user_state=True,
                **settings,
            ).run_experiment()
        runner_lib.EvalRunner(
            env=_environment(scenario, 16 if parallel else None),
            max_eval_episodes=16,
            test_mode=True,
            **settings,
        ).run_experiment()
        shutil.rmtree(folder)
        self.runs += 3
        self.user_steps += 2 * 160

    def _workers(self, number: int) -> None:
        """Simulates users, and runs an experiment, in worker processes."""
        simulated = simulate.simulate(
            functools.partial(registry.create_vector_environment, "interest_exploration", _SMALL),
            functools.partial(registry.create_vector_agent, "random"),
            5_000,
            num_steps=10,
            seed=number,
            workers=2,
        )
        experiment.experiment(
            ["random", "cluster_bandit_ucb1"],
            "interest_exploration",
            seeds=2,
            episodes=3,
            steps=10,
            workers=2,
            progress=False,
            figures=False,
        )
        self.runs += 2
        self.user_steps += simulated.num_steps + 2 * 2 * 3 * 10


def _config(scenario: str) -> types.EnvConfig:
    return _TOPICS if scenario == "topic_boredom" else _SMALL


def _environment(scenario: str, num_envs: int | None) -> types.AnyEnv:
    if num_envs is None:
        return registry.create_environment(scenario, _config(scenario))
    return registry.create_vector_environment(scenario, _config(scenario), num_envs)


def _create_agent(
    name: str,
    parallel: bool,
    sess: object,
    environment: types.AnyEnv,
    eval_mode: bool,
    summary_writer: types.SummaryWriter | None = None,
    *,
    planned: int = _PLANNED_STEPS,
) -> types.AnyAgent:
    del sess
    create: Callable[..., types.AnyAgent] = (
        registry.create_vector_agent if parallel else registry.create_agent
    )
    return create(
        name,
        environment,
        eval_mode=eval_mode,
        summary_writer=summary_writer,
        training_steps=planned,
    )


def _one_user() -> Iterator[Callable[[], int]]:
    """Yields functions that make an episode, and return its number of steps."""
    for scenario, name in (*_PAIRS, ("long_term_satisfaction", "tabular_q")):
        env = registry.create_environment(scenario, _config(scenario))
        agent = registry.create_agent(name, env, training_steps=_PLANNED_STEPS)
        yield functools.partial(_episode_of_a_copy, [env, agent])


def _episode_of_a_copy(pair: list[Any]) -> int:
    """Replaces an environment and an agent by copies of themselves, and runs an episode."""
    pair[:] = copy.deepcopy(pair)
    return rollout.run_episode(*pair, max_steps=20).num_steps


def _users_in_parallel() -> Iterator[Callable[[], int]]:
    """Yields functions that make some steps, and return their number."""
    for scenario, name in _PAIRS:
        env = registry.create_vector_environment(
            scenario, _config(scenario), _USERS, max_steps_per_episode=50
        )
        agent = registry.create_vector_agent(name, env, training_steps=_PLANNED_STEPS)
        rollouts = rollout.VectorRollout(env, agent)
        rollouts.reset()
        yield functools.partial(_steps, rollouts)


def _steps(rollouts: rollout.VectorRollout) -> int:
    for _ in range(5):
        rollouts.step()
    return 5 * _USERS


def run(seconds: float, folder: str, samples: str) -> None:
    """Simulates and trains in this process.

    Args:
        seconds: for how long; the round that has begun is ended.
        folder: a folder for the files.
        samples: a file that each :class:`Sample` is added to, as a line of JSON, when it is taken.
    """
    rounds = _Rounds(seconds, folder, samples)
    runner = runner_lib.TrainRunner(
        base_dir=os.path.join(folder, "training"),
        create_agent_fn=functools.partial(_create_agent, "slate_greedy_optimal_q", True),
        env=_environment("interest_evolution", _USERS),
        max_training_steps=20 * _USERS,
        num_iterations=10**6,
        max_steps_per_episode=50,
        keep_checkpoints=2,
        parquet_log="episodes.parquet",
        progress=False,
        listeners=[rounds],
    )
    with contextlib.suppress(_TimeIsUpError):
        runner.run_experiment()


def in_a_process(seconds: float, folder: str) -> results.Phase:
    """Runs a soak in a process of its own, and returns what was found.

    Args:
        seconds: for how long.
        folder: an empty folder.
    """
    file, log = os.path.join(folder, "samples.jsonl"), os.path.join(folder, "log")
    command = [sys.executable, "-m", "recsim.benchmarks.endurance", "--soak-process"]
    replaced = functools.partial(_become, [*command, str(seconds), folder, file])
    ended = programs.in_a_process(replaced, folder, log)
    if ended.code:
        raise RuntimeError(f"The soak ended with {ended.code}: {ended.error[-2000:]}")
    with open(file, encoding="utf-8") as lines:
        soak = Soak([Sample(**json.loads(line)) for line in lines])
    return found(soak, seconds, programs.processes_left(log, _SECONDS_TO_END))


def found(soak: Soak, seconds: float, left: int) -> results.Phase:
    """Returns what a soak found.

    Args:
        soak: the soak.
        seconds: how long it had to last.
        left: how many processes were there after its end.
    """
    problems = list(soak.problems(seconds))
    if left:
        problems.append(f"{left} processes are left after the end")
    what = (
        f"Resident memory has grown by {soak.growth():+.2%} after the warm-up (by "
        f"{soak.growth(0.2):+.2%} after the first fifth of the time), and by "
        f"{soak.growth(0.5):+.2%} in the second half of the time"
        if seconds >= _SECONDS_TO_WARM_UP
        else "It was too short for a figure on the growth of memory"
    )
    return results.Phase(
        ["minutes", "user-steps", "resident memory", "heap", "blocks", *_COUNTS],
        soak.rows(),
        problems,
        f"Simulation and training for {seconds / 60:g} minutes in one process, "
        f"{len(soak.samples):,} rounds of trainings, evaluations, experiments, simulations and "
        "copies beside a training that lasts from the beginning to the end. Samples are taken "
        "after each round, when the garbage is collected and free memory returned to the system. "
        "The warm-up is the first third of the time in every soak, and no option changes that; "
        "growth is that of the median of the last tenth of the samples after it over the median "
        "of the first tenth, and must be less than "
        f"{MOST_GROWTH:.0%}. {what}; {soak.files_left} more files are open and "
        f"{soak.processes_left} more processes there than after the warm-up, and {left} processes "
        "are left when it has ended. (Two processes that are there meanwhile belong to the pool "
        "of workers.) *Heap* is what is in use of the C library's heap, *blocks* the number of "
        "those in use of Python's own: where resident memory grows and they do not, allocators "
        "hold more than is in use. So it is at first: the C library gives threads heaps of their "
        "own, of some 2 MiB each and up to 8 for each core, and Arrow takes 4 MiB at a time; "
        "when all have theirs, no more are added. What is in use grows by the metrics of the long "
        "training, which are held as text to be written again: 1.3 kB an iteration, of two rounds.",
        {
            "warm_up": WARM_UP,
            "growth": soak.growth(),
            "samples": [dataclasses.astuple(each) for each in soak.samples],
        },
    )


def _become(command: Sequence[str], folder: str) -> None:
    """Replaces this process by a command's."""
    del folder
    os.execv(command[0], list(command))
