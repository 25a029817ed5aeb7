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
from recsim.experiments import results as results_lib
from recsim.vector import rollouts, simulate

CONFIG = {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 3}


CLUSTERS = [
    pytest.param("ray", marks=[pytest.mark.needs("ray"), pytest.mark.slow]),
    pytest.param("dask", marks=[pytest.mark.needs("distributed"), pytest.mark.slow]),
]


def simulated(make_agent=random_agent.VectorRandomAgent, **settings):
    make = functools.partial(interest_exploration.create_vector_environment, CONFIG)
    return simulate.simulate(make, make_agent, 5000, num_steps=7, seed=1, **settings)


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


@pytest.fixture(scope="module", params=CLUSTERS)
def cluster(request):
    """A cluster of this machine with two workers; it takes seconds to start."""
    with clusters.connect(request.param, workers=2) as backend:
        yield backend


def killing_once(path):
    """Returns a class of agents that kills its worker in the middle of its episode, once."""
    parent = os.getpid()

    class Killing(random_agent.RandomAgent):
        def step(self, reward, observation):
            with contextlib.suppress(FileExistsError):
                if os.getpid() != parent:
                    pathlib.Path(path).touch(exist_ok=False)
                    os.kill(os.getpid(), signal.SIGKILL)
            return super().step(reward, observation)

    return Killing


def failing(path):
    """Returns a class of agents that notes that it was begun, and fails."""

    class Failing(random_agent.RandomAgent):
        def step(self, reward, observation):
            with open(path, "a") as file:
                file.write("begun\n")
            raise LookupError("of the agent's own")

    return Failing


AGENTS = ["cluster_bandit_ucb1", "cluster_bandit_ts", "greedy_pctr", "random"]


def experiment(folder, agents=tuple(AGENTS), **settings):
    """Returns what an experiment measured, but for times."""
    settings = {"seeds": 3, "episodes": 2, "steps": 6, **settings}
    results = recsim.experiment(
        agents if isinstance(agents, dict) else list(agents),
        output=str(folder),
        progress=False,
        figures=False,
        **settings,
    )
    return without_times(results), results


def without_times(results):
    frame = results.to_dataframe()
    return frame[~frame.measure.str.contains("per_second")].reset_index(drop=True)


SWEEP = {
    "agents": ("cluster_bandit_ucb1", "random"),
    "sweep": {"ClusterBanditAgent.ci_scaling": [0.1, 1.0]},
    "seeds": 2,
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """What an experiment and a sweep measure in this process."""
    folder = tmp_path_factory.mktemp("here")
    return {
        "experiment": experiment(folder / "experiment", workers=1)[0],
        "sweep": experiment(folder / "sweep", workers=1, **SWEEP)[0],
    }


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


def test_a_cluster_of_this_machine(cluster, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(clusters.dask_backend, "_SECONDS_TO_START", 0.1)
    with clusters.connect(cluster) as backend:
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


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 3])
def test_experiments_do_not_depend_on_the_number_of_workers(workers, measured, tmp_path):
    assert experiment(tmp_path / "e", workers=workers)[0].equals(measured["experiment"])
    assert experiment(tmp_path / "s", workers=workers, **SWEEP)[0].equals(measured["sweep"])


def test_two_shards_together_are_the_experiment(measured, tmp_path):
    for settings, name in (({}, "experiment"), (SWEEP, "sweep")):
        first, _ = experiment(tmp_path / name, shard=(2, 2), workers=1, **settings)
        assert len(first) < len(measured[name])
        both, _ = experiment(tmp_path / name, shard=(1, 2), workers=1, **settings)
        assert both.equals(measured[name])
        assert without_times(results_lib.Results.load(tmp_path / name)).equals(measured[name])


def test_an_executor_of_the_callers_takes_experiments(measured, tmp_path):
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        found, _ = experiment(tmp_path / "e", workers=1, backend=executor)
    assert found.equals(measured["experiment"])


def test_experiments_on_a_cluster(cluster, measured, tmp_path):
    assert experiment(tmp_path / "e", backend=cluster)[0].equals(measured["experiment"])
    assert experiment(tmp_path / "s", backend=cluster, **SWEEP)[0].equals(measured["sweep"])


def check_killed_and_failed(backend, tmp_path):
    """Runs an experiment and a simulation of which a worker is killed, and a task that fails."""
    marker = tmp_path / "killed"
    agents = {"killing": killing_once(str(marker)), "random": "random"}
    found, results = experiment(tmp_path / "e", agents, workers=2, backend=backend, seeds=2)
    assert marker.exists()
    assert not results.metadata.failures
    alone, _ = experiment(tmp_path / "alone", agents, workers=1, seeds=2)
    assert found.equals(alone)

    marker = tmp_path / "begun"
    agents = {"failing": failing(str(marker)), "random": "random"}
    found, results = experiment(tmp_path / "f", agents, workers=2, backend=backend, seeds=2)
    assert set(found.agent) == {"random"}
    assert [failure["error"] for failure in results.metadata.failures] == [
        "LookupError: of the agent's own"
    ] * 2
    assert marker.read_text() == 2 * "begun\n"


def test_workers_of_this_machine_that_are_killed_and_tasks_that_fail(tmp_path):
    check_killed_and_failed("loky", tmp_path)


def test_workers_of_a_cluster_that_are_killed_and_tasks_that_fail(cluster, tmp_path):
    check_killed_and_failed(cluster, tmp_path)


def killing_agent(path, parent, env):
    """Makes an agent; kills the worker before the second chunk, the first time."""
    if env.first_user and os.getpid() != parent:
        with contextlib.suppress(FileExistsError):
            pathlib.Path(path).touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)
    return random_agent.VectorRandomAgent(env)


@pytest.mark.parametrize("output", [False, True])
def test_a_simulation_on_a_cluster_of_which_a_worker_is_killed(cluster, output, expected, tmp_path):
    make_agent = functools.partial(killing_agent, str(tmp_path / "killed"), os.getpid())
    written = {"output": tmp_path / "o", "impressions": True} if output else {}
    assert_same(simulated(backend=cluster, make_agent=make_agent, **written), expected)
    assert (tmp_path / "killed").exists()


def test_rollout_workers_on_a_cluster_of_which_one_is_killed(cluster, tmp_path):
    from support import trainings  # Workers import this module, and do not find it.

    trainings.runner(tmp_path / "here").run_experiment()
    for staleness in (0, 1):
        marker = tmp_path / f"killed_{staleness}"
        workers = rollouts.RolloutWorkers(2, cluster, staleness=staleness)
        trainings.runner(tmp_path / str(staleness), workers, kill=marker).run_experiment()
        assert marker.exists()
    trainings.assert_equal(trainings.left_by(tmp_path / "0"), trainings.left_by(tmp_path / "here"))
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        workers = rollouts.RolloutWorkers(1, executor, staleness=1)
        trainings.runner(tmp_path / "one", workers).run_experiment()
    trainings.assert_equal(trainings.left_by(tmp_path / "1"), trainings.left_by(tmp_path / "one"))


SCRIPT = """
import functools
from recsim.agents import random_agent
from recsim.environments import interest_exploration
from recsim.experiments import results as results_lib
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


@pytest.mark.needs("distributed")
@pytest.mark.parametrize(
    "address", ["10.0.0.1", "tcp://somewhere", "tcp://somewhere:x", "far://a:1"]
)
def test_an_address_that_cannot_be_of_a_scheduler_makes_no_client(address, monkeypatch):
    monkeypatch.setattr("distributed.Client", None)
    refused = pytest.raises(ConnectionError, match="no Dask scheduler at address=")
    with refused, clusters.connect("dask", address):
        pass


@pytest.mark.parametrize(("name", "module"), [("ray", "ray"), ("dask", "distributed")])
def test_the_extra_is_named_where_it_is_not_installed(name, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"backend='{name}' needs .* '\.\[{name}\]'"):
        simulated(backend=name)
