"""Tasks on workers: errors, killed workers, threads, signals, and what is left behind."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import importlib.util
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import cloudpickle
import pytest
import threadpoolctl

from recsim import clusters, parallel, registry

posix = pytest.mark.skipif(os.name != "posix", reason="signals")


def count(number, advance):
    for _ in range(number):
        advance(1)
    return {"number": number, "process": os.getpid()}


def fail_until(number, folder, advance, fail):
    """Fails as ``fail`` does at the first calls, so many of them."""
    advance(1)
    calls = len(list(pathlib.Path(folder).iterdir()))
    pathlib.Path(folder, str(calls)).touch()
    time.sleep(0.3)  # So that the progress before the failure is told of.
    if calls < number:
        fail()
    advance(2)
    return {"calls": calls + 1}


def kill(name):
    os.kill(os.getpid(), getattr(signal, name))


def counting(name, number=3):
    return parallel.Task(name, count, {"number": number}, number)


def results(tasks, workers, **settings):
    done = []
    found = {
        task.name: result
        for task, result in parallel.run_tasks(tasks, workers, done.append, **settings)
    }
    return found, done


def failing(folder, fail, number=9, name="bad"):
    folder.mkdir()
    arguments = {"number": number, "folder": str(folder), "fail": fail}
    return parallel.Task(name, fail_until, arguments, 3)


LOADED_FROM_A_FILE = """
import dataclasses

STEP = 3

@dataclasses.dataclass
class Count:
    number: int

def count(start, advance):
    advance(1)
    return {"number": Count(start.number + STEP).number}
"""


@pytest.mark.parametrize("name", ["some_file", "some.package.some_file"])
def test_functions_of_a_module_that_workers_cannot_import(tmp_path, monkeypatch, name):
    path = tmp_path / "some_file.py"
    path.write_text(LOADED_FROM_A_FILE)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    tasks = [
        parallel.Task(str(start), module.count, {"start": module.Count(start)}, 1)
        for start in range(2)
    ]
    found, _ = results(tasks, 2)
    assert {task: result["number"] for task, result in found.items()} == {"0": 3, "1": 4}
    assert name not in cloudpickle.list_registry_pickle_by_value()


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_and_progress_of_all_tasks(workers):
    found, done = results([counting("a"), counting("b", 5)], workers)
    assert {name: result["number"] for name, result in found.items()} == {"a": 3, "b": 5}
    assert all(isinstance(result["seconds"], float) for result in found.values())
    assert sum(done) == 8
    assert {result["process"] != os.getpid() for result in found.values()} == {workers > 1}


def test_a_task_that_tells_nothing_counts_when_it_is_done():
    silent = parallel.Task("silent", lambda advance: {}, {}, 7)
    assert results([silent], 1)[1] == [7]
    assert sorted(results([silent, counting("a")], 2)[1]) == [3, 7]


def test_results_come_as_they_are_done_and_few_are_held():
    """A slow first task does not hold the others' results back, nor do results pile up."""

    def slow(advance):
        time.sleep(2.0)
        return {}

    tasks = [parallel.Task("slow", slow, {}, 1), *(counting(str(i)) for i in range(6))]
    names = [task.name for task, _ in parallel.run_tasks(tasks, 2, lambda done: None)]
    assert names == [*map(str, range(6)), "slow"]


@posix
@pytest.mark.parametrize(
    ("fail", "reason"),
    [
        (
            lambda: kill("SIGKILL"),
            r"each time its worker was killed \(SIGKILL\), as .* memory runs",
        ),
        (
            lambda: kill("SIGSEGV"),
            r"each time its worker crashed \(SIGSEGV\), which is an error of",
        ),
        (lambda: kill("SIGTERM"), r"each time its worker was told to end \(SIGTERM\)"),
        (lambda: os._exit(7), "each time its worker exited with code 7"),
    ],
)
def test_a_task_whose_worker_ends_is_run_three_times_and_named(fail, reason, tmp_path, caplog):
    others = [counting("a"), counting("b")]
    found = {}
    tasks = [failing(tmp_path / "calls", fail), *others]
    running = parallel.run_tasks(tasks, 2, lambda done: None, keep_going=True)

    def run():
        for task, result in running:
            found[task.name] = result

    with pytest.raises(parallel.TaskError, match=f"The task 'bad' was started 3 times.*{reason}"):
        run()
    assert found.keys() == {"a", "b"}
    assert len(list((tmp_path / "calls").iterdir())) == 3
    assert caplog.text.count("The task 'bad' runs again") == 2
    assert ("memory" in reason) == ("memory" in caplog.text)


@posix
def test_a_task_whose_worker_is_killed_twice_is_done_and_told_once(tmp_path):
    tasks = [failing(tmp_path / "calls", lambda: kill("SIGKILL"), 2), counting("a")]
    found, done = results(tasks, 2)
    assert found["bad"]["calls"] == 3
    assert sum(done) == 6


@posix
def test_the_other_tasks_do_not_pay_for_one_whose_worker_is_killed(tmp_path):
    """A task that runs beside one that kills its workers is started once."""

    def slow(advance):
        time.sleep(2.0)
        (tmp_path / f"slow {os.getpid()}").touch()
        return {}

    tasks = [
        parallel.Task("slow", slow, {}, 1),
        failing(tmp_path / "calls", lambda: kill("SIGKILL")),
    ]
    with pytest.raises(parallel.TaskError, match="'bad'"):
        results(tasks, 2, keep_going=True)
    assert len(list(tmp_path.glob("slow *"))) == 1


@posix
def test_without_keep_going_the_first_task_given_up_ends_the_others(tmp_path):
    def long(advance):
        time.sleep(60)
        return {}

    tasks = [failing(tmp_path / "calls", lambda: os._exit(3)), parallel.Task("long", long, {}, 1)]
    start = time.monotonic()
    with pytest.raises(parallel.TaskError, match="'bad'"):
        results(tasks, 2)
    assert time.monotonic() - start < 55


class Unsendable(Exception):
    def __init__(self, one, two):
        super().__init__(one)


def raise_unsendable():
    raise Unsendable("the reason", 2)


def raise_key_error():
    raise KeyError("nothing")


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_task_is_raised_as_it_is(workers, tmp_path):
    tasks = [failing(tmp_path / "calls", raise_key_error), counting("a")]
    with pytest.raises(KeyError, match="nothing") as caught:
        results(tasks, workers)
    if sys.version_info >= (3, 11):
        assert caught.value.__notes__ == ["This happened in the task 'bad'."]
    assert len(list((tmp_path / "calls").iterdir())) == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_a_task_that_returns_no_dictionary_is_named(workers):
    tasks = [parallel.Task("bad", lambda advance: 1, {}, 1), counting("a")]
    with pytest.raises(TypeError, match="task 'bad' must return a dictionary.*got 1"):
        results(tasks, workers)


@pytest.mark.parametrize(
    ("fail", "message"),
    [
        (raise_unsendable, "Unsendable: the reason"),
        (lambda: sys.exit("enough"), "SystemExit: enough"),
        (lambda: results_of_broken_pool(), "BrokenExecutor: inner"),
    ],
)
def test_an_error_that_cannot_be_sent_is_told(fail, message, tmp_path):
    with pytest.raises(parallel.TaskError, match=message):
        results([failing(tmp_path / "calls", fail), counting("a")], 2)
    assert len(list((tmp_path / "calls").iterdir())) == 1


def results_of_broken_pool():
    raise concurrent.futures.BrokenExecutor("inner")


def test_a_task_that_cannot_be_pickled_is_named(tmp_path):
    with open(tmp_path / "file", "w") as file:
        task = parallel.Task("open file", lambda advance: {"file": file.name}, {}, 1)
        assert results([task], 1)[0]
        with pytest.raises(TypeError, match="The task 'open file' cannot be pickled.*one worker"):
            results([task, counting("a")], 2)


def threads_of(advance):
    import scipy.linalg  # noqa: F401

    pools = threadpoolctl.threadpool_info()
    return {"threads": [pool["num_threads"] for pool in pools if pool["user_api"] == "blas"]}


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_uses_one_thread_and_leaves_no_other(workers):
    pools = threadpoolctl.threadpool_limits(2, user_api="blas")
    try:
        assert 2 in threads_of(None)["threads"]
        environment = dict(os.environ)
        tasks = [parallel.Task(name, threads_of, {}, 1) for name in ("one", "other")]
        for _, result in parallel.run_tasks(tasks, workers, lambda done: None):
            assert result["threads"]
            assert set(result["threads"]) == {1}
            assert 2 in threads_of(None)["threads"]
        assert dict(os.environ) == environment
    finally:
        pools.restore_original_limits()


def test_limits_that_overlap_in_threads_are_restored_by_the_last():
    pools = threadpoolctl.threadpool_limits(2, user_api="blas")
    try:
        first, second = parallel.one_thread(), parallel.one_thread()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert set(threads_of(None)["threads"]) == {1}
        second.__exit__(None, None, None)
        assert set(threads_of(None)["threads"]) == {2}
    finally:
        pools.restore_original_limits()


def test_tasks_with_tensorflow_have_a_process_unless_it_has_one_thread_here(monkeypatch):
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)

    def look(advance):
        return {"process": os.getpid(), "threads": os.environ.get("TF_NUM_INTRAOP_THREADS")}

    task = parallel.Task("deep", look, {}, 1, uses_tensorflow=True)
    result = results([task], 1)[0]["deep"]
    assert (result["process"] != os.getpid(), result["threads"]) == (True, "1")
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    monkeypatch.setenv("TF_NUM_INTEROP_THREADS", "1")
    assert results([task], 1)[0]["deep"]["process"] == os.getpid()


def test_another_executor_takes_the_tasks(monkeypatch):
    made = []

    class Broken(concurrent.futures.ThreadPoolExecutor):
        def submit(self, *arguments):
            if len(made) == 1:
                raise concurrent.futures.BrokenExecutor("not yet")
            return super().submit(*arguments)

    class Elsewhere(clusters.Backend):
        def make_executor(self):
            made.append(Broken(1))
            return made[-1]

        def cores(self):
            return 2

    entry = dataclasses.replace(registry.AGENTS["random"])
    monkeypatch.setitem(registry.AGENTS, "mine", entry)
    found, done = results([counting("a"), counting("b", 5)], 2, backend=Elsewhere())
    assert registry.AGENTS["mine"] is entry  # Its threads are of this process.
    assert found.keys() == {"a", "b"}
    assert sum(done) == 8
    assert len(made) == 3


def run_script(*arguments, **settings):
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **settings,
    )


SCRIPT = """
import functools, os, threading, multiprocessing
import numpy as np
from recsim.agents import random_agent
from recsim.environments import interest_exploration
from recsim.vector import simulate

class Agent(random_agent.VectorRandomAgent):
    scale = 3

config = {"num_candidates": 4, "slate_size": 2, "resample_documents": True, "seed": 0}
create = lambda **users: interest_exploration.create_vector_environment(config, **users)
before = dict(os.environ)
returns = []

def run(workers):
    result = simulate.simulate(create, lambda env: Agent(env), 2049, num_steps=2, workers=workers)
    returns.append(result.returns)

threads = [threading.Thread(target=run, args=(2,)) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
run(1)
assert len(returns) == 3
assert all(np.array_equal(returns[0], other) for other in returns)
assert dict(os.environ) == before
assert multiprocessing.active_children() == []
assert [thread.name for thread in threading.enumerate()] == ["MainThread"]
multiprocessing.set_start_method("spawn")
print("done")
"""


CONFIGURED = """
import gin
from recsim import parallel

@gin.configurable
class Agent:
    def __init__(self, one=1, two=2, three=3):
        self.values = one, two, three()

@gin.configurable
def count(number=5):
    return number

gin.constant("constants.eleven", 11)
gin.parse_config('''
Agent.one = @count()
Agent.two = %seven
Agent.three = @inner/count
seven = 7
count.number = %constants.eleven
inner/count.number = 3
outer/Agent.two = 99
''')
tasks = [parallel.Task(n, lambda advance: {"values": Agent().values}, {}, 1) for n in "ab"]
for workers in (1, 2):
    for scope in (None, "outer"):
        with gin.config_scope(scope):
            running = parallel.run_tasks(tasks, workers, lambda done: None)
            print([result["values"] for _, result in running])
"""


def test_gin_configures_in_workers_as_here(tmp_path):
    """Bindings, references, macros, constants, scopes, of what a script makes configurable."""
    script = tmp_path / "script.py"
    script.write_text(CONFIGURED)
    process = run_script(str(script), cwd=tmp_path)
    out, errors = process.communicate(timeout=120)
    assert (out.splitlines(), errors) == (
        2 * ["[(11, 7, 3), (11, 7, 3)]", "[(11, 99, 3), (11, 99, 3)]"],
        "",
    )


LOCKED = """
import gin
import late
from recsim import clusters, parallel, registry

gin.parse_config("Late.value = 3")
gin.finalize()

def work(advance):
    import late  # Makes a new configurable in a worker.
    config = {"num_candidates": 3, "slate_size": 1, "resample_documents": True, "seed": 0}
    env = registry.create_environment("interest_exploration", config)
    registry.create_agent("cluster_bandit_ts", env)
    return {"value": late.Late().value}

tasks = [parallel.Task(n, work, {}, 1) for n in "ab"]
for workers in (2, 1):
    running = parallel.run_tasks(tasks, workers, lambda done: None)
    print([result["value"] for _, result in running], gin.config_is_locked())
"""


def test_a_locked_configuration_keeps_no_module_from_being_imported(tmp_path):
    """Modules of the library and of the user, which make what gin can configure, when imported."""
    (tmp_path / "late.py").write_text(
        "import gin\n\n@gin.configurable\nclass Late:\n"
        "    def __init__(self, value=1):\n        self.value = value\n"
    )
    script = tmp_path / "script.py"
    script.write_text(LOCKED)
    process = run_script(str(script), cwd=tmp_path)
    assert process.communicate(timeout=120) == (2 * "[3, 3] True\n", "")


def test_a_script_needs_no_guard_and_its_process_is_left_as_it_was(tmp_path):
    """Classes and lambdas of the main module, two threads with two workers each."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    process = run_script(str(script), cwd=tmp_path)
    assert process.communicate(timeout=120) == ("done\n", "")


REGISTERED = """
import dataclasses
from recsim import clusters, parallel, registry

class Agent:
    pass

for name in ("random", "mine"):
    entry = dataclasses.replace(registry.AGENTS["random"], create=lambda *_, **settings: Agent())
    registry.AGENTS[name] = entry

def work(name, advance):
    return {"agent": type(registry.agent_entry(name).create(None)).__name__}

tasks = [parallel.Task(name, work, {"name": name}, 1) for name in ("random", "mine")]
for workers in (1, 2):
    running = parallel.run_tasks(tasks, workers, lambda done: None)
    print([result["agent"] for _, result in running])
"""


def test_agents_of_a_script_are_registered_in_workers_too(tmp_path):
    """Those that are added, and those that replace the library's."""
    script = tmp_path / "script.py"
    script.write_text(REGISTERED)
    process = run_script(str(script), cwd=tmp_path)
    assert process.communicate(timeout=120) == (2 * "['Agent', 'Agent']\n", "")


LONG = """
import os, sys, time
from recsim import parallel

def work(advance):
    open(f"{os.getpid()}", "w").close()
    time.sleep(600)
    return {}

tasks = [parallel.Task(str(i), work, {}, 1) for i in range(2)]
list(parallel.run_tasks(tasks, 2, lambda done: None))
"""


@posix
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_no_worker_outlives_the_one_that_started_it(name, tmp_path):
    process = run_script(
        "-c",
        LONG,
        cwd=tmp_path,
        start_new_session=True,
        # Where the tests run in the background, the shell has it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        deadline = time.monotonic() + 120
        while len(os.listdir(tmp_path)) < 2:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        # Ctrl-C reaches all processes of a terminal, the others a single one.
        send = os.killpg if name == "SIGINT" else os.kill
        send(process.pid, getattr(signal, name))
        # The output ends with the last process that could write to it.
        _, errors = process.communicate(timeout=120)
        assert process.returncode == -getattr(signal, name)
        assert errors.count("KeyboardInterrupt") == (name == "SIGINT")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_leaving_the_results_ends_the_workers(tmp_path):
    def long(advance):
        (tmp_path / str(os.getpid())).touch()
        time.sleep(600)
        return {}

    running = parallel.run_tasks(
        [parallel.Task("long", long, {}, 1), counting("a")], 2, lambda done: None
    )
    assert next(running)[0].name == "a"
    deadline = time.monotonic() + 120
    while not list(tmp_path.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.close()
    (worker,) = tmp_path.iterdir()
    if os.name == "posix":
        with pytest.raises(ProcessLookupError):
            os.kill(int(worker.name), 0)


def test_importing_the_library_imports_nothing_of_this():
    code = textwrap.dedent(
        """
        import sys
        import recsim.parallel, recsim.vector.simulate
        late = {"loky", "cloudpickle", "threadpoolctl", "psutil", "scipy", "tensorflow"}
        print(sorted(late & sys.modules.keys()))
        """
    )
    process = run_script("-c", code)
    assert process.communicate(timeout=120) == ("[]\n", "")


def test_cores():
    assert 1 <= parallel.usable_cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("names", "workers", "error", "message"),
    [
        ("ab", 0, ValueError, "workers must be an integer >= 1, got 0"),
        ("ab", 2.0, TypeError, "workers must be an integer >= 1, got 2.0"),
        ("aba", 1, ValueError, "names that differ, got 'a' 2 times"),
    ],
)
def test_bad_arguments_are_refused_at_the_call(names, workers, error, message):
    with pytest.raises(error, match=message):
        parallel.run_tasks([counting(name) for name in names], workers, lambda done: None)
