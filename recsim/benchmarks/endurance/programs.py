"""What is stopped, starved of space and resumed: programs that write to a folder.

Each continues with what is there, and leaves the same files whenever it was stopped before. They
run in forked processes, whose ends :func:`in_a_process` tells.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import signal
import time
import traceback
from collections.abc import Callable
from typing import TypeAlias

import psutil  # type: ignore[import-untyped]

from recsim import registry, types
from recsim.benchmarks.endurance import file_faults
from recsim.experiments import experiment
from recsim.simulator import runner_lib

__all__ = [
    "Ended",
    "Program",
    "evaluate",
    "in_a_process",
    "processes_left",
    "processes_of",
    "run_experiment",
    "train_one_user",
    "train_users_in_parallel",
]

#: A function of the folder.
Program: TypeAlias = Callable[[str], None]

_CONFIG = {"num_candidates": 4, "slate_size": 2, "resample_documents": True, "seed": 0}

# The variable of the environment by which a process knows whom it was started for.
_MARK = "RECSIM_ENDURANCE_RUN"


def _create_agent(
    parallel: bool,
    name: str,
    sess: object,
    environment: types.AnyEnv,
    eval_mode: bool,
    summary_writer: types.SummaryWriter,
) -> types.AnyAgent:
    del sess
    summary_writer.add_scalar("agents/created", 1.0, 0)
    create: Callable[..., types.AnyAgent] = (
        registry.create_vector_agent if parallel else registry.create_agent
    )
    return create(name, environment, seed=0, eval_mode=eval_mode)


def train_one_user(
    folder: str,
    *,
    num_iterations: int = 3,
    scenario: str = "interest_exploration",
    agent: str = "cluster_bandit_ts",
    keep_checkpoints: int = 1,
) -> None:
    """Trains with an episode log of each format.

    Args:
        folder: where it writes.
        num_iterations: number of iterations.
        scenario: name of the scenario.
        agent: name of the agent.
        keep_checkpoints: how many checkpoints stay.
    """
    runner_lib.TrainRunner(
        base_dir=folder,
        create_agent_fn=functools.partial(_create_agent, False, agent),
        env=registry.create_environment(scenario, _CONFIG),
        max_training_steps=18,
        num_iterations=num_iterations,
        keep_checkpoints=keep_checkpoints,
        max_steps_per_episode=9,
        episode_log_file="episodes.tfrecord",
        parquet_log="episodes.parquet",
        progress=False,
    ).run_experiment()


def train_users_in_parallel(
    folder: str,
    *,
    num_iterations: int = 3,
    scenario: str = "interest_exploration",
    agent: str = "cluster_bandit_ts",
    keep_checkpoints: int = 1,
) -> None:
    """Does what :func:`train_one_user` does, with users in parallel."""
    runner_lib.TrainRunner(
        base_dir=folder,
        create_agent_fn=functools.partial(_create_agent, True, agent),
        env=registry.create_vector_environment(scenario, _CONFIG, 5, max_steps_per_episode=4),
        max_training_steps=15,
        num_iterations=num_iterations,
        keep_checkpoints=keep_checkpoints,
        episode_log_file="episodes.tfrecord",
        parquet_log="episodes.parquet",
        log_user_state=True,
        progress=False,
    ).run_experiment()


def evaluate(folder: str, *, parallel: bool = False, episodes: int = 4) -> None:
    """Evaluates what :func:`train_one_user` or :func:`train_users_in_parallel` trained there.

    Args:
        folder: where the training is.
        parallel: whether it is one of users in parallel.
        episodes: how many.
    """
    create = registry.create_vector_environment if parallel else registry.create_environment
    runner_lib.EvalRunner(
        base_dir=folder,
        create_agent_fn=functools.partial(_create_agent, parallel, "cluster_bandit_ts"),
        env=create("interest_exploration", _CONFIG, *([5] if parallel else [])),
        max_eval_episodes=episodes,
        max_steps_per_episode=9,
        progress=False,
    ).run_experiment()


def run_experiment(folder: str, *, workers: int = 1, seeds: int = 1, episodes: int = 3) -> None:
    """Does what ``recsim run`` does.

    Args:
        folder: where it writes.
        workers: how many tasks run at a time.
        seeds: number of seeds.
        episodes: number of episodes of an evaluation.
    """
    experiment.experiment(
        ["tabular_q", "cluster_bandit_ucb1", "random"],
        output=folder,
        seeds=seeds,
        episodes=episodes,
        steps=8,
        train_steps=80,
        workers=workers,
        progress=False,
        figures=False,
    )


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a program ended.

    Attributes:
        code: 0; 3 after an OSError, 4 after another error; negative after a signal.
        counts: how many calls there were of each kind, where they were counted.
        error: the error with its traceback, and all that was printed.
        seconds: that it ran.
    """

    code: int
    counts: dict[str, int]
    error: str
    seconds: float


def in_a_process(
    program: Program,
    folder: str,
    log: str,
    faults: file_faults.Faults | None = None,
    *,
    prepare: Callable[[], None] | None = None,
    kill_after: float | None = None,
) -> Ended:
    """Runs a program in a forked process, and waits for its end.

    Args:
        program: the program.
        folder: where it writes.
        log: a file for what it prints.
        faults: what is installed before it starts.
        prepare: what is called there before it starts.
        kill_after: after how many seconds it is killed; None for never.
    """
    begin = time.perf_counter()
    counts_file = log + ".counts"
    pathlib.Path(counts_file).unlink(missing_ok=True)
    pathlib.Path(log).write_bytes(b"")  # It may be killed before it opens it.
    child = os.fork()
    if not child:
        code = 4
        try:
            code = _code_of(program, folder, log, faults, prepare)
            if faults is not None:
                pathlib.Path(counts_file).write_text(json.dumps(faults.counts))
        finally:
            os._exit(code)
    code = _wait(child, None if kill_after is None else begin + kill_after)
    counts = pathlib.Path(counts_file)
    return Ended(
        code,
        json.loads(counts.read_text()) if counts.exists() else {},
        pathlib.Path(log).read_text(errors="replace"),
        time.perf_counter() - begin,
    )


def _code_of(
    program: Program,
    folder: str,
    log: str,
    faults: file_faults.Faults | None,
    prepare: Callable[[], None] | None,
) -> int:
    """Runs a program in this process, and returns the exit code."""
    os.environ[_MARK] = log
    with (
        open(log, "w", buffering=1) as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            if faults is not None:
                faults.install()
            if prepare is not None:
                prepare()
            program(folder)
        except BaseException as error:
            traceback.print_exc()
            return 3 if isinstance(error, OSError) else 4
        finally:
            if faults is not None:
                faults.uninstall()
    return 0


def _wait(child: int, moment: float | None) -> int:
    """Waits for the end of a process, which is killed at a moment, and returns its exit code."""
    while moment is not None:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        left = moment - time.perf_counter()
        if left <= 0:
            os.kill(child, signal.SIGKILL)
            break
        time.sleep(min(left, 0.001))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def processes_left(log: str, seconds: float) -> int:
    """Returns how many processes that a program started are there after its end.

    Args:
        log: what :func:`in_a_process` was called with.
        seconds: how long they may take to end.
    """
    until = time.perf_counter() + seconds
    while (left := len(processes_of(log))) and time.perf_counter() < until:
        time.sleep(0.1)
    return left


def processes_of(log: str) -> list[psutil.Process]:
    """Returns the processes that a program, and those that it started, have started.

    Args:
        log: what :func:`in_a_process` was called with.
    """
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            its_log = process.environ().get(_MARK)
            if its_log == log and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
