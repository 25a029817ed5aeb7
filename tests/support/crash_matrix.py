"""Crashes at every system call, power failures and I/O errors: what a run leaves, and ends with.

    python -m support.crash_matrix            # up to ten calls of each kind and fault
    python -m support.crash_matrix --every    # each call, some hours
    python -m support.crash_matrix --short    # one call of each kind and fault, as in CI

in the folder ``tests`` prints a table. Each of five programs is run with a fault at one point, and
again without: the files that the first left must be whole, and the second must end with the numbers
of a run that had no fault. The faults, each at the k-th call of its kind:

* *killed before* a rename, an fsync, a removal, a write, a truncation or the making of a folder
  (as by ``kill -9``), and *killed within* a write, half of which is in the file then;
* *power failure* at such a call: what was not brought onto the disk by ``fsync`` is lost, contents
  of files and names in folders (*all lost*), or only contents while names remain (*names kept*);
* *no space* (ENOSPC) and *bad disk* (EIO) at a write, an fsync, a rename or the opening of a file;
  *short write*: half of a write is done, and the rest fails.

It ends with code 1 if a number is wrong. It needs Linux: processes are forked, and ``/proc`` is
read.
"""

from __future__ import annotations

import builtins
import collections
import errno
import functools
import io
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from recsim import parallel
from recsim._internal import tfrecord
from recsim.agents import cluster_bandit_agent
from recsim.agents.bandits import algorithms
from recsim.agents.layers import cluster_click_statistics
from recsim.environments import interest_exploration
from recsim.experiments import experiment
from recsim.reproductions import base
from recsim.simulator import checkpoint, runner_lib
from support import vector_training_child
from support.scenarios import CONFIG

# Programs. Each writes to a folder, and continues with what is there.


def _create_agent(sess: Any, environment: Any, eval_mode: bool, summary_writer: Any) -> Any:
    summary_writer.add_scalar("agents/created", 1.0, 0)
    return cluster_click_statistics.ClusterClickStatsLayer(
        functools.partial(
            cluster_bandit_agent.ClusterBanditAgent, alg_ctor=algorithms.ThompsonSampling
        ),
        environment.observation_space,
        environment.action_space,
    )


def train_one_user(folder: str) -> None:
    """A training with an episode log of each format."""
    runner_lib.TrainRunner(
        base_dir=folder,
        create_agent_fn=_create_agent,
        env=interest_exploration.create_environment(CONFIG),
        max_training_steps=18,
        num_iterations=3,
        keep_checkpoints=1,
        max_steps_per_episode=9,
        episode_log_file="episodes.tfrecord",
        parquet_log="episodes.parquet",
        progress=False,
    ).run_experiment()


def train_users_in_parallel(folder: str) -> None:
    """A training of a vector environment, with logs of both formats and fewer checkpoints."""
    vector_training_child.train(
        folder,
        num_iterations=3,
        checkpoint_frequency=2,
        keep_checkpoints=1,
        max_training_steps=15,
        parquet_log="episodes.parquet",
        log_user_state=True,
    )


def evaluate(folder: str) -> None:
    """Evaluations of one user and of users in parallel, of a training that had no fault."""
    if not os.path.isdir(os.path.join(folder, "one")):
        shutil.copytree(_TRAINED, folder, dirs_exist_ok=True)
    runner_lib.EvalRunner(
        base_dir=os.path.join(folder, "one"),
        create_agent_fn=_create_agent,
        env=interest_exploration.create_environment(CONFIG),
        max_eval_episodes=4,
        max_steps_per_episode=9,
        progress=False,
    ).run_experiment()
    vector_training_child.evaluate(os.path.join(folder, "several"), test_mode=False)


def run_command(folder: str) -> None:
    """What ``recsim run`` does; the same command in the same folder resumes."""
    experiment.experiment(
        ["tabular_q", "cluster_bandit_ts", "random"],
        output=folder,
        seeds=1,
        episodes=3,
        steps=8,
        train_steps=80,
        workers=1,
        progress=False,
        figures=False,
    )


def _task(start: int, advance: Callable[[int], None]) -> dict[str, Any]:
    advance(5)
    return {"values": np.arange(start, start + 5.0)}


class _Reproduction(base.Reproduction):
    """A reproduction without anything that takes long."""

    sizes = (base.Size("number", 1, 4, 2, "tasks"),)
    name = "matrix"
    unit = "numbers"
    notes = "No notes."

    def __init__(self, seed: int = 0, number: int = 4) -> None:
        super().__init__(seed, number=number)

    def tasks(self, folder: str) -> list[Any]:
        return [
            parallel.Task(f"task_{i}", _task, {"start": i}, 5)
            for i in range(self.settings["number"])
        ]

    def results(self, tasks: Any) -> dict[str, Any]:
        return {name: np.asarray(task["values"]).tolist() for name, task in tasks.items()}

    def tables(self, results: Any) -> list[Any]:
        return []

    def figures(self, results: Any) -> dict[str, Any]:
        return {}


def run_reproduction(folder: str) -> None:
    """What ``recsim reproduce`` does."""
    base.run(_Reproduction(), folder, show_progress=False)


PROGRAMS: dict[str, Callable[[str], None]] = {
    "training, one user": train_one_user,
    "training, users in parallel": train_users_in_parallel,
    "evaluation": evaluate,
    "recsim run": run_command,
    "recsim reproduce": run_reproduction,
}

_TRAINED = ""


def _make_trained(folder: str) -> None:
    """Makes the trainings that are evaluated."""
    train_one_user(os.path.join(folder, "one"))
    vector_training_child.train(os.path.join(folder, "several"), num_iterations=2)


# What a run left.


def outcome(folder: str) -> dict[str, Any]:
    """Returns everything that two runs must have in common, by file: all but the clock's traces."""
    found: dict[str, Any] = {}
    base = pathlib.Path(folder)
    for path in sorted(base.rglob("*")):
        name = str(path.relative_to(base))
        if path.is_dir() or path.name.startswith("events.") or path.name == "timing.json":
            continue
        if path.name == "metrics.jsonl":
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            found[name] = [{**line, "TimePerStep": None} for line in lines]
        elif "checkpoints" in path.parts:
            prefix, _, number = path.name.rpartition(".")
            if not number.isdigit():
                found[name] = "left over"
            elif int(number) == max(_iterations(path.parent)):
                found[str(path.parent.relative_to(base) / prefix)] = path.read_bytes()
        elif path.suffix == ".result":
            found[name] = repr(_without_clock(checkpoint.load(path)))
        elif path.name in ("results.json", "settings.json"):
            found[name] = _without_clock(json.loads(path.read_text()))
        elif path.name == "episodes.csv":
            rows = [line.split(",") for line in path.read_text().splitlines()]
            kept = [i for i, head in enumerate(rows[0]) if "second" not in head]
            found[name] = [[row[i] for i in kept] for row in rows]
        else:
            found[name] = path.read_bytes()
    return found


def _iterations(folder: pathlib.Path) -> list[int]:
    return checkpoint.Checkpointer(folder).iterations()


def _without_clock(data: Any) -> Any:
    if isinstance(data, dict):
        return {
            key: _without_clock(value)
            for key, value in data.items()
            if not any(word in key for word in ("second", "time", "command", "started", "speed"))
        }
    return [_without_clock(each) for each in data] if isinstance(data, list) else data


def check_files(folder: str, expected: dict[str, Any]) -> None:
    """Raises AssertionError if a file that has its final name is not whole.

    Args:
        folder: what a run left that was stopped.
        expected: the outcome of one that was not.
    """
    base = pathlib.Path(folder)
    for path in base.rglob("*"):
        if path.is_dir() or path.name.startswith("."):
            continue
        name = str(path.relative_to(base))
        if path.name.startswith("events."):
            content = path.read_bytes()
            check_records(content, name)
        elif path.parent.name == "checkpoints" or path.suffix == ".result":
            checkpoint.load(path)
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.name.startswith("part-"):
            from pyarrow import parquet  # Which takes long to import.

            parquet.read_table(path, use_threads=False)
        elif path.name == "metrics.jsonl":
            whole, _, torn = path.read_bytes().rpartition(b"\n")
            for line in whole.splitlines():
                assert "total_steps" in json.loads(line), name
            assert torn.strip(b"\0") in b'{"total_steps": ' or torn.startswith(b'{"'), (name, torn)
        elif path.name.startswith("returns_") and "several" not in name and name in expected:
            assert path.read_bytes() == expected[name], name


def check_records(content: bytes, name: str) -> None:
    """Raises AssertionError unless a file is of whole records, but for its torn end."""
    while len(content) >= 12:
        (length,) = struct.unpack("<Q", content[:8])
        if len(content) < length + 16:
            return
        framed, content = content[: length + 16], content[length + 16 :]
        if framed != tfrecord.record(framed[12:-4]):
            assert not content.strip(b"\0"), f"{name} is spoiled in its middle"
            return


# Faults.


class _Power:
    """What is on the disk: contents and names as they were when they were brought there.

    Args:
        folder: the folder, all of which is on the disk.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        # Files by numbers of their own: those of the system are used again.
        self._files: dict[str, int] = {}
        self._last = 0
        self._contents: dict[int, bytes] = {}
        self._names: dict[str, dict[str, int]] = {}
        for path, _, names in os.walk(folder):
            for name in names:
                self.sync(os.path.join(path, name))
            self.sync(path)

    def _file(self, path: str) -> int:
        if path not in self._files:
            self._last += 1
            self._files[path] = self._last
        return self._files[path]

    def moved(self, source: str, target: str) -> None:
        """Follows a file, or the files of a folder, to the new name."""
        if os.path.isdir(target):
            for kept in (self._files, self._names):
                for path in [path for path in kept if f"{path}/".startswith(f"{source}/")]:
                    kept[target + path.removeprefix(source)] = kept.pop(path)
            return
        self._files[target] = self._file(source)
        del self._files[source]

    def removed(self, path: str) -> None:
        """Forgets the name of a file."""
        self._files.pop(path, None)

    def sync(self, path: str) -> None:
        """Takes a file, or the names in a folder, for what is on the disk."""
        if os.path.isdir(path):
            self._names[path] = self._present(path)
        else:
            self._contents[self._file(path)] = pathlib.Path(path).read_bytes()

    def _present(self, path: str) -> dict[str, int]:
        return {e.name: self._file(e.path) for e in os.scandir(path) if not e.is_dir()}

    def fail(self, names_kept: bool) -> None:
        """Makes the folder what it is after a power failure. Folders themselves remain."""
        for path, _, _ in list(os.walk(self._folder)):
            names = self._present(path) if names_kept else self._names.get(path, {})
            for entry in list(os.scandir(path)):
                if not entry.is_dir():
                    os.unlink(entry.path)
            for name, file in names.items():
                pathlib.Path(path, name).write_bytes(self._contents.get(file, b""))


class Faults:
    """Counts the calls of the system that change files in a folder, and lets one of them fail.

    Args:
        folder: the folder.
        kind: of the call that fails: 'rename', 'fsync', 'remove', 'write', 'truncate', 'mkdir' or
            'open'.
        number: which of them, from 0 on; -1 for none.
        fault: 'before', 'within', 'all lost', 'names kept', 'no space', 'bad disk' or 'short'.
    """

    def __init__(self, folder: str, kind: str = "", number: int = -1, fault: str = "") -> None:
        self.folder = os.path.realpath(folder)
        self.counts: collections.Counter[str] = collections.Counter()
        self._wanted = kind, number
        self._fault = fault
        self._power = _Power(self.folder) if fault in ("all lost", "names kept") else None

    @staticmethod
    def _real(path: Any) -> str:
        return os.path.realpath(os.fsdecode(path))

    def _inside(self, path: Any) -> bool:
        path = self._real(path)
        return path == self.folder or path.startswith(self.folder + os.sep)

    def happens(self, kind: str, path: Any) -> str:
        """Counts a call; returns 'within' or 'short' if it is to be done by half."""
        if not self._inside(path):
            return ""
        number = self.counts[kind]
        self.counts[kind] += 1
        if (kind, number) != self._wanted:
            return ""
        fault = self._fault
        if fault == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault in ("no space", "bad disk"):
            code = errno.ENOSPC if fault == "no space" else errno.EIO
            raise OSError(code, os.strerror(code), os.fsdecode(path))
        if self._power is not None:
            self.uninstall()
            self._power.fail(fault == "names kept")
            os.kill(os.getpid(), signal.SIGKILL)
        return fault

    def install(self) -> None:
        """Puts this between Python and the system."""
        self._originals = [
            (os, name, getattr(os, name))
            for name in ("replace", "rename", "fsync", "remove", "unlink", "mkdir", "truncate")
        ]
        self._originals.append((builtins, "open", builtins.open))
        for owner, name, function in self._originals:
            setattr(owner, name, functools.partial(getattr(self, f"_{name}"), function))

    def uninstall(self) -> None:
        """Takes this away again."""
        for owner, name, function in self._originals:
            setattr(owner, name, function)

    def _replace(self, function: Any, source: Any, target: Any, **kwargs: Any) -> None:
        self.happens("rename", target)
        function(source, target, **kwargs)
        if self._power is not None and self._inside(target):
            self._power.moved(self._real(source), self._real(target))

    _rename = _replace

    def _fsync(self, function: Any, descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        self.happens("fsync", path)
        function(descriptor)
        if self._power is not None and self._inside(path):
            self._power.sync(path)

    def _remove(self, function: Any, path: Any, *, dir_fd: int | None = None) -> None:
        whole = os.fsdecode(path)
        if dir_fd is not None:
            whole = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), whole)
        self.happens("remove", whole)
        function(path) if dir_fd is None else function(path, dir_fd=dir_fd)
        if self._power is not None and self._inside(whole):
            self._power.removed(self._real(whole))

    _unlink = _remove

    def _mkdir(self, function: Any, path: Any, *args: Any, **kwargs: Any) -> None:
        self.happens("mkdir", path)
        function(path, *args, **kwargs)

    def _truncate(self, function: Any, path: Any, length: int) -> None:
        self.happens("truncate", path)
        function(path, length)

    def _open(self, function: Any, file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        writes = not isinstance(file, int) and any(letter in mode for letter in "wax+")
        if not writes or "b" not in mode or not self._inside(file):
            return function(file, mode, *args, **kwargs)
        self.happens("open", file)
        raw = _File(self, file, mode.replace("b", ""))
        return io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)


class _File(io.FileIO):
    """A file whose writes may fail."""

    def __init__(self, faults: Faults, path: Any, mode: str) -> None:
        self._faults = faults
        super().__init__(path, mode)

    _full = False

    def write(self, data: Any) -> int:
        if self._full:
            self._full = False
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.name)
        fault = self._faults.happens("write", self.name)
        if fault not in ("within", "short"):
            return super().write(data)
        written = super().write(bytes(data)[: (len(data) + 1) // 2])
        if fault == "within":
            os.kill(os.getpid(), signal.SIGKILL)
        self._full = True
        return written

    def truncate(self, size: int | None = None) -> int:
        self._faults.happens("truncate", self.name)
        return super().truncate(size)


def _in_a_process(
    program: Callable[[str], None], folder: str, log: str, faults: Faults | None = None
) -> tuple[int, dict[str, int]]:
    """Runs a program in a forked process.

    Returns:
        Its exit code (3 after an OSError, 4 after another error, negative after a signal), and how
        many calls there were of each kind.
    """
    counts_file = log + ".counts"
    child = os.fork()
    if not child:
        code = 0
        with open(log, "w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        try:
            if faults is not None:
                faults.install()
            program(folder)
        except OSError:
            traceback.print_exc()
            code = 3
        except BaseException:
            traceback.print_exc()
            code = 4
        finally:
            if faults is not None:
                faults.uninstall()
                pathlib.Path(counts_file).write_text(json.dumps(faults.counts))
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    counts = pathlib.Path(counts_file)
    return (
        os.waitstatus_to_exitcode(status),
        json.loads(counts.read_text()) if counts.exists() else {},
    )


#: The faults of each kind of call.
FAULTS = {
    "rename": ("before", "all lost", "names kept", "no space", "bad disk"),
    "fsync": ("before", "all lost", "names kept", "bad disk"),
    "remove": ("before", "all lost", "names kept", "bad disk"),
    "write": ("before", "within", "all lost", "names kept", "no space", "bad disk", "short"),
    "truncate": ("before", "names kept", "bad disk"),
    "mkdir": ("before", "no space"),
    "open": ("before", "no space"),
}
_GROUPS = {
    "before": "killed",
    "within": "killed",
    "all lost": "power failure",
    "names kept": "power failure",
    "no space": "I/O error",
    "bad disk": "I/O error",
    "short": "I/O error",
}


def points(counts: dict[str, int], most: int | None) -> Iterator[tuple[str, int, str]]:
    """Yields the kind, the number and the fault of each point.

    Args:
        counts: how many calls there are of each kind.
        most: how many calls of a kind to let fail with each fault, at random; None for all.
    """
    chosen = random.Random("crash matrix")
    for kind, faults in FAULTS.items():
        for fault in faults:
            numbers = range(counts.get(kind, 0))
            if most is not None and most < len(numbers):
                numbers = sorted(chosen.sample(numbers, most))
            for number in numbers:
                yield kind, number, fault


def examine(
    name: str, expected: dict[str, Any], point: tuple[str, int, str], folder: str
) -> str | None:
    """Runs a program with a fault, and again; returns what is wrong, or None."""
    program = PROGRAMS[name]
    run, log = os.path.join(folder, "run"), os.path.join(folder, "log")
    os.makedirs(run)
    if name == "evaluation":
        shutil.copytree(_TRAINED, run, dirs_exist_ok=True)
    code, _ = _in_a_process(program, run, log, Faults(run, *point))
    group = _GROUPS[point[2]]
    wanted = (-signal.SIGKILL,) if group != "I/O error" else (0, 3)
    if code not in wanted:
        return f"ended with {code}: {pathlib.Path(log).read_text()[-800:]}"
    try:
        check_files(run, expected)
    except (AssertionError, ValueError, OSError, KeyError) as error:
        return f"left a file that is not whole: {error!r}"
    again, _ = _in_a_process(program, run, log)
    if again != 0:
        return f"did not continue ({again}): {pathlib.Path(log).read_text()[-800:]}"
    try:
        found = outcome(run)
    except (ValueError, KeyError) as error:
        return f"ended with a file that is not whole: {error!r}"
    if found != expected:
        different = [key for key in {**found, **expected} if found.get(key) != expected.get(key)]
        return f"ended with other numbers, in {different}"
    return None


def main(most: int | None) -> int:
    """Examines the points, or at most some of each kind and fault, and prints the table."""
    global _TRAINED
    table: dict[tuple[str, str], collections.Counter[str]] = collections.defaultdict(
        collections.Counter
    )
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        _TRAINED = os.path.join(folder, "trained")
        code, _ = _in_a_process(_make_trained, _TRAINED, os.path.join(folder, "log"))
        assert code == 0, pathlib.Path(folder, "log").read_text()
        for name, program in PROGRAMS.items():
            whole = os.path.join(folder, "whole")
            os.makedirs(whole)
            if name == "evaluation":
                shutil.copytree(_TRAINED, whole, dirs_exist_ok=True)
            log = os.path.join(folder, "log")
            code, counts = _in_a_process(program, whole, log, Faults(whole))
            assert code == 0, pathlib.Path(log).read_text()
            expected = outcome(whole)
            assert expected
            for number, point in enumerate(points(counts, most)):
                where = os.path.join(folder, f"point_{number}")
                problem = examine(name, expected, point, where)
                table[name, _GROUPS[point[2]]]["points"] += 1
                if problem is not None:
                    table[name, _GROUPS[point[2]]]["wrong"] += 1
                    problems.append((name, point, problem))
                    print(name, point, problem, file=sys.stderr, flush=True)
                shutil.rmtree(where)
            shutil.rmtree(whole)
    groups = list(dict.fromkeys(_GROUPS.values()))
    print(f"| Program | {' | '.join(groups)} | wrong |\n|---|{'---|' * (len(groups) + 1)}")
    for name in PROGRAMS:
        cells = [str(table[name, group]["points"]) for group in groups]
        wrong = sum(table[name, group]["wrong"] for group in groups)
        print(f"| {name} | {' | '.join(cells)} | {wrong} |")
    total = sum(each["points"] for each in table.values())
    print(f"\n{total} points, {len(problems)} of them wrong.")
    return 1 if problems else 0


if __name__ == "__main__":
    choices = {"--every": None, "--short": 1, "": 10}
    sys.exit(main(choices[(sys.argv[1:] or [""])[0]]))
