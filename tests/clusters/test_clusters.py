"""The same numbers from every backend, workers that are killed, and what is refused."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

import recsim
from recsim import clusters, parallel
from recsim.agents import random_agent
from recsim.environments import interest_exploration
from recsim.vector import simulate

CONFIG = {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 3}


CLUSTERS = [
    pytest.param("ray", marks=[pytest.mark.needs("ray"), pytest.mark.slow]),
    pytest.param("dask", marks=[pytest.mark.needs("distributed"), pytest.mark.slow]),
]


def simulated(**settings):
    make = functools.partial(interest_exploration.create_vector_environment, CONFIG)
    return simulate.simulate(
        make, random_agent.VectorRandomAgent, 5000, num_steps=7, seed=1, **settings
    )


def assert_same(one, other):
    np.testing.assert_array_equal(one.returns, other.returns)
    np.testing.assert_array_equal(one.lengths, other.lengths)
    assert one.metrics == other.metrics


def square(number, advance):
    return {"square": number**2, "process": os.getpid()}


def squares(backend, workers=2, number=5):
    tasks = [parallel.Task(str(n), square, {"number": n}, 1) for n in range(number)]
    done = []
    results = {
        task.name: result["square"]
        for task, result in parallel.run_tasks(tasks, workers, done.append, backend=backend)
    }
    return results, sum(done)


def sum_shared(array, number, advance):
    array += number  # A task may write to what it was given.
    return {"sum": array.sum()}


def fail(advance):
    raise LookupError("of the task's own")


def kill_once(path, number, advance):
    """Kills the worker the first time."""
    with contextlib.suppress(FileExistsError):
        pathlib.Path(path).touch(exist_ok=False)
        os.kill(os.getpid(), signal.SIGKILL)
    return {"number": number}


def kill_always(advance):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def expected():
    return simulated(workers=1)


@pytest.mark.parametrize("workers", [2, 3])
def test_the_number_of_workers_changes_nothing(workers, expected):
    assert_same(simulated(workers=workers), expected)


def test_an_executor_of_the_callers_takes_the_tasks_and_stays_open(expected):
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        assert_same(simulated(workers=2, backend=executor), expected)
        with clusters.connect(executor) as backend:
            assert squares(backend) == ({str(n): n**2 for n in range(5)}, 5)
        assert executor.submit(int, "7").result() == 7


def test_returns_of_half_the_memory(expected):
    small = simulated(workers=2, dtype="float32")
    assert (small.returns.dtype, small.lengths.dtype) == (np.float32, np.int32)
    np.testing.assert_array_equal(small.returns, expected.returns.astype(np.float32))
    np.testing.assert_array_equal(small.lengths, expected.lengths)


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_cluster_of_this_machine(name, expected, tmp_path):
    """All in one cluster, which takes seconds to start."""
    with clusters.connect(name, workers=2) as backend:
        assert backend.cores() == 2
        with pytest.raises(ValueError, match="workers must be at most 2, .* got 3"):
            squares(backend, workers=3)
        assert squares(backend) == ({str(n): n**2 for n in range(5)}, 5)
        assert_same(simulated(backend=backend), expected)
        # Arrays that tasks share are sent once, and each task has its own copy.
        array = np.arange(1_000_000.0)
        tasks = [
            parallel.Task(str(n), sum_shared, {"array": array, "number": n}, 1) for n in range(4)
        ]
        results = {
            task.name: result["sum"]
            for task, result in parallel.run_tasks(tasks, 2, lambda done: None, backend=backend)
        }
        assert results == {str(n): array.sum() + 1e6 * n for n in range(4)}
        # A worker that is killed costs its task, which runs again.
        path = tmp_path / "killed"
        tasks = [
            parallel.Task(str(n), kill_once, {"path": str(path), "number": n}, 1) for n in range(4)
        ]
        found = [
            result["number"]
            for _, result in parallel.run_tasks(tasks, 2, lambda done: None, backend=backend)
        ]
        assert path.exists()
        assert sorted(found) == [0, 1, 2, 3]
        # What a task raises is not tried again.
        with pytest.raises(LookupError, match="of the task's own"):
            list(
                parallel.run_tasks(
                    [parallel.Task("bad", fail, {}, 1)], 1, lambda done: None, backend=backend
                )
            )
        with pytest.raises(parallel.TaskError, match="'bad' was started 3 times"):
            list(
                parallel.run_tasks(
                    [parallel.Task("bad", kill_always, {}, 1)],
                    1,
                    lambda done: None,
                    backend=backend,
                )
            )


@pytest.mark.parametrize("name", CLUSTERS)
def test_an_experiment_on_a_cluster(name, tmp_path):
    def run(folder, **settings):
        return recsim.experiment(
            ["random", "cluster_bandit_ucb1"],
            seeds=2,
            episodes=2,
            steps=10,
            output=str(tmp_path / folder),
            progress=False,
            figures=False,
            **settings,
        ).to_dataframe()

    here = run("here", workers=1)
    there = run("there", workers=2, backend=name)
    measured = here[~here.measure.str.contains("per_second")].reset_index(drop=True)
    again = there[~there.measure.str.contains("per_second")].reset_index(drop=True)
    assert measured.equals(again)


SCRIPT = """
import functools
from recsim.agents import random_agent
from recsim.environments import interest_exploration
from recsim.vector.simulate import simulate

class Mine(random_agent.VectorRandomAgent):
    pass

config = {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 3}
result = simulate(
    functools.partial(interest_exploration.create_vector_environment, config),
    lambda env: Mine(env), 5000, num_steps=7, seed=1, backend=BACKEND, workers=2)
print(result.returns.sum())
"""


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_script_needs_no_guard(name, tmp_path, expected):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.replace("BACKEND", repr(name)))
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == str(expected.returns.sum())


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"backend": "dusk"}, ValueError, "backend must be one of 'loky', .* Did you mean 'dask'?"),
        ({"backend": None}, ValueError, "backend must be one of"),
        ({"address": "auto"}, ValueError, "address goes with the backends 'ray' and 'dask'"),
        ({"backend": "ray", "address": 1}, TypeError, "address must be a string"),
        ({"workers": 0}, ValueError, "workers"),
        ({"dtype": "int64"}, ValueError, "dtype must be 'float64' or 'float32', got 'int64'"),
        ({"dtype": "x"}, ValueError, "dtype must be 'float64' or 'float32', got 'x'"),
    ],
)
def test_what_is_refused(settings, error, message):
    with pytest.raises(error, match=message):
        simulated(**settings)


@pytest.mark.parametrize(("name", "module"), [("ray", "ray"), ("dask", "distributed")])
def test_the_extra_is_named_where_it_is_not_installed(name, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"backend='{name}' needs .* '\.\[{name}\]'"):
        simulated(backend=name)
