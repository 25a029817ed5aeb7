"""The Parquet data set that workers write: what is in it, what resumes, what is refused."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import signal
import uuid
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from support.scenarios import CONFIG

import recsim
from recsim.agents import random_agent
from recsim.environments import interest_exploration
from recsim.vector import simulate, streams

#: Users of three chunks, and so of three files.
USERS = 2 * streams.CHUNK_SIZE + 100

make_environment = functools.partial(interest_exploration.create_vector_environment, CONFIG)


def simulated(**settings: Any) -> simulate.Simulation:
    settings = {"num_steps": 3, "seed": 1, "workers": 1, **settings}
    make_agent = settings.pop("make_agent", random_agent.VectorRandomAgent)
    return simulate.simulate(make_environment, make_agent, USERS, **settings)


def assert_same(one: simulate.Simulation, other: simulate.Simulation) -> None:
    np.testing.assert_array_equal(one.returns, other.returns)
    np.testing.assert_array_equal(one.lengths, other.lengths)
    assert one.returns.dtype == other.returns.dtype
    assert (one.metrics, one.num_steps) == (other.metrics, other.num_steps)
    assert one.written_metrics == other.written_metrics


@pytest.fixture(params=["folder", "file", "memory"])
def place(request, tmp_path):
    """A folder for a data set, by its path or by an address."""
    if request.param == "folder":
        return tmp_path / "output"
    pytest.importorskip("fsspec")
    return f"file://{tmp_path}/output" if request.param == "file" else f"memory://{uuid.uuid4()}/o"


def test_it_holds_what_is_returned_otherwise(place):
    expected = simulated()
    written = simulated(output=place, impressions=True)
    assert written.output == str(place).removeprefix("file://")
    assert_same(written, expected)
    assert_same(simulated(output=place, impressions=True), expected)  # It is all there.


@pytest.mark.parametrize("settings", [{}, {"dtype": "float32"}])
def test_episodes_have_rows_of_their_own(settings, tmp_path):
    settings = {"num_steps": None, "num_episodes": 2, **settings}
    limited = functools.partial(make_environment, max_steps_per_episode=4)
    run = functools.partial(
        simulate.simulate, limited, random_agent.VectorRandomAgent, 30, workers=1, **settings
    )
    written = run(output=tmp_path / "o")
    assert_same(written, run())
    table = pq.read_table(tmp_path / "o" / "returns").to_pandas()
    assert list(table.columns) == ["user", "episode", "return", "length"]
    assert table.user.tolist() == np.repeat(np.arange(30), 2).tolist()
    assert table.episode.tolist() == [0, 1] * 30
    np.testing.assert_array_equal(table["return"].to_numpy(), written.returns.reshape(-1))


def test_impressions_are_those_of_a_log(tmp_path):
    simulated(output=tmp_path / "o", impressions=True, log_user_state=True)
    simulated(parquet_log=tmp_path / "log", log_user_state=True)
    there = recsim.read_episodes(tmp_path / "o" / "impressions")
    assert there.equals(recsim.read_episodes(tmp_path / "log"))
    (count,) = duckdb.sql(
        f"SELECT count(*), avg(response_click::INT) FROM '{tmp_path}/o/impressions/*.parquet'"
    ).fetchall()
    assert count == (USERS * 3 * 2, pytest.approx(there.response_click.mean()))


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "simulation.json"
    }


def test_files_do_not_depend_on_the_number_of_workers(tmp_path):
    for workers in (1, 2):
        simulated(output=tmp_path / str(workers), impressions=True, workers=workers)
    one = contents(tmp_path / "1")
    names = [f"{part}/part-00000{i}.parquet" for part in ("impressions", "returns") for i in (0, 1)]
    assert len(one) == 6 and set(names) < set(one)
    assert one == contents(tmp_path / "2")


class Failing(random_agent.VectorRandomAgent):
    """Fails in the last chunk."""

    def step(self, *arguments: Any) -> np.ndarray:
        if self._first_user == 2 * streams.CHUNK_SIZE:
            raise LookupError("of the agent's own")
        return super().step(*arguments)


def test_the_same_call_continues_after_an_error(tmp_path, monkeypatch):
    expected = simulated()
    with pytest.raises(LookupError, match="of the agent's own"):
        simulated(output=tmp_path / "o", impressions=True, make_agent=Failing)
    before = contents(tmp_path / "o")
    assert len(before) == 4 and all(name.endswith(".parquet") for name in before)
    # What a killed worker leaves is removed, and the impressions of an unfinished file replaced.
    (tmp_path / "o" / "returns" / f".part-000002.parquet.{uuid.uuid4().hex}.tmp").touch()
    (tmp_path / "o" / "impressions" / "part-000002.parquet").touch()
    monkeypatch.setattr(Failing, "step", random_agent.VectorRandomAgent.step)
    done: list[int] = []
    result = simulated(
        output=tmp_path / "o", impressions=True, make_agent=Failing, advance=done.append
    )
    assert_same(result, expected)
    assert done == [2 * streams.CHUNK_SIZE, 100]
    after = contents(tmp_path / "o")
    assert len(after) == 6 and before.items() < after.items()


def kill_once(marker: str, parent: int, env: Any) -> random_agent.VectorRandomAgent:
    """Makes an agent; the first time for the second chunk, kills the worker."""
    here = env.first_user == streams.CHUNK_SIZE and os.getpid() != parent
    if here and not os.path.exists(marker):
        pathlib.Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return random_agent.VectorRandomAgent(env)


def test_a_killed_worker_costs_its_file_alone(tmp_path):
    make_agent = functools.partial(kill_once, str(tmp_path / "killed"), os.getpid())
    result = simulated(output=tmp_path / "o", workers=2, make_agent=make_agent)
    assert (tmp_path / "killed").exists()
    assert_same(result, simulated())


def test_a_sampled_seed_is_that_of_the_data_set(tmp_path):
    make = functools.partial(
        interest_exploration.create_vector_environment, {**CONFIG, "seed": None}
    )
    run = functools.partial(
        simulate.simulate, make, random_agent.VectorRandomAgent, USERS, num_steps=2, workers=1
    )
    first = run(output=tmp_path / "o")
    os.remove(tmp_path / "o" / "returns" / "part-000001.parquet")
    again = run(output=tmp_path / "o")
    assert again.seed == first.seed
    assert_same(again, first)
    assert_same(run(seed=first.seed), first)


def test_returns_that_are_gone_are_missed(tmp_path):
    result = simulated(output=tmp_path / "o")
    os.remove(tmp_path / "o" / "returns" / "part-000001.parquet")
    with pytest.raises(FileNotFoundError, match="has the returns of 2,148 episodes, of 4,196"):
        result.returns  # noqa: B018


@pytest.mark.parametrize(
    ("settings", "difference"),
    [
        ({"seed": 2}, "seed is 1 there and 2 here"),
        ({"num_steps": 4}, "num_steps is 3 there and 4 here"),
        ({"dtype": "float32"}, "dtype is float64 there and float32 here"),
        ({"impressions": True}, "impressions is False there and True here"),
        (
            {"make_agent": functools.partial(random_agent.VectorRandomAgent, random_seed=5)},
            "state_of_agent is .* there and",
        ),
    ],
)
def test_another_simulation_is_refused(settings, difference, tmp_path):
    simulated(output=tmp_path / "o")
    with pytest.raises(ValueError, match=f"holds another simulation .*{difference}"):
        simulated(output=tmp_path / "o", **settings)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"id": 1}'])
def test_a_spoiled_record_is_refused(text, tmp_path):
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "simulation.json").write_text(text)
    with pytest.raises(ValueError, match=r"simulation\.json in .* is spoiled|another simulation"):
        simulated(output=tmp_path / "o")


def never(*arguments: Any, **keywords: Any) -> None:
    raise AssertionError("It is refused before anything is made.")


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"output": 3}, TypeError, "output must be a path"),
        ({"output": ""}, ValueError, "output must be a path, got ''"),
        ({"output": "nowhere://x"}, ValueError, "output must be a path, or an address that fsspec"),
        ({"impressions": True}, ValueError, "impressions has no effect without output"),
        ({"output": "o", "impressions": np.zeros(2)}, TypeError, "impressions must be"),
        ({"output": "o", "parquet_log": "l"}, ValueError, "parquet_log must be None with output"),
        ({"output": "o", "log_user_state": True}, ValueError, "log_user_state has no effect"),
    ],
)
def test_what_is_refused(settings, error, message, empty_folder):
    pytest.importorskip("fsspec")
    with pytest.raises(error, match=message):
        simulate.simulate(never, never, 10, num_steps=1, **settings)
    assert os.listdir(empty_folder) == []


def test_a_folder_with_something_else_is_refused(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(ValueError, match="is not empty, and no simulation's: there is 'mine.txt'"):
        simulated(output=tmp_path)
    with pytest.raises(OSError, match="output must be a folder that can be written to"):
        simulated(output=tmp_path / "mine.txt")


@pytest.fixture
def bucket(monkeypatch):
    """The address of a bucket of an object store, beside which there is no other."""
    memory = pytest.importorskip("fsspec.implementations.memory")
    registry = pytest.importorskip("fsspec.registry")

    class Store(memory.MemoryFileSystem):
        protocol = "s3"
        store: dict[str, Any] = {}
        pseudo_dirs = [""]

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return f"/{path.removeprefix('s3://').strip('/')}"

        def makedirs(self, path: str, exist_ok: bool = False) -> None:
            assert path.startswith("/bucket/"), "A bucket would be made of it."
            super().makedirs(path, exist_ok)

        def put_file(self, lpath: str, rpath: str, **settings: Any) -> None:
            if not rpath.startswith("/bucket/"):
                raise FileNotFoundError("The specified bucket does not exist")
            super().put_file(lpath, rpath, **settings)

    monkeypatch.setitem(registry._registry, "s3", Store)
    return "s3://bucket"


def test_an_object_store_takes_it_and_gets_no_buckets(bucket):
    expected = simulated()
    for _ in range(2):
        assert_same(simulated(output=f"{bucket}/simulation", impressions=True), expected)
    with pytest.raises(OSError, match="'s3://misspelt/o' cannot be .* bucket does not exist"):
        simulated(output="s3://misspelt/o", make_agent=Failing)


@pytest.mark.needs("fsspec")
def test_workers_that_do_not_reach_it_are_noticed_before_they_simulate():
    with pytest.raises(OSError, match="must be reached by all workers, but the one on"):
        simulated(output=f"memory://{uuid.uuid4()}", workers=2, make_agent=Failing)


def test_the_extra_is_named_where_it_is_not_installed(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(ImportError, match=r"output='s3://b/f' needs fsspec, .* '\.\[fsspec\]'"):
        simulated(output="s3://b/f")


def test_the_record_says_what_the_files_are_of(tmp_path):
    simulated(output=tmp_path / "o")
    record = json.loads((tmp_path / "o" / "simulation.json").read_text())
    assert (record["num_users"], record["num_steps"], record["seed"]) == (USERS, 3, 1)
