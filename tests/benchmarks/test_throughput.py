"""The benchmark: what is measured, how users are shared out, and how it looks."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys

import numpy as np
import pytest

import recsim
from recsim import cli, registry
from recsim.benchmarks import _throughput_worker, throughput
from recsim.vector import streams


def record():
    """Returns a record of made-up measurements."""
    cases = [
        {
            "environment": environment,
            "agent": "random",
            "num_candidates": num_candidates,
            "slate_size": 2,
            "num_users": num_users,
            "resample_documents": True,
            "processes": 1,
            "steps_per_second": [rate * num_users, 2.0 * rate * num_users, 4.0 * rate * num_users],
            "peak_memory_mib": [60.4, 1.0e5, 2000.6],
            "recsim_steps_per_second": [100.0, 200.0, 100.0],
            "baseline_steps_per_second": None,
        }
        for environment, rate in (("interest_exploration", 1000.0), ("interest_evolution", 500.0))
        for num_candidates in (10, 100)
        for num_users in (1, 1000)
    ]
    return {"machine": {"cores": 2}, "rounds": 3, "seconds": 0.1, "workers": 2, "cases": cases}


def test_all_combinations_that_fit_are_measured():
    cases = throughput.compatible_cases(
        list(registry.ENVIRONMENTS),
        ["random", "greedy_pctr", "tabular_q"],
        [(5, 2), (5, 1)],
        [1, 10, 30],
    )
    assert len(cases) == len(set(cases))
    by_agent = {
        agent: [case for case in cases if case.agent == agent]
        for agent in ("random", "greedy_pctr", "tabular_q")
    }
    assert len(by_agent["random"]) == len(registry.ENVIRONMENTS) * 2 * 3
    # Only interest exploration has an average user; tabular Q-learning has no vector form.
    assert {case.environment for case in by_agent["greedy_pctr"]} == {"interest_exploration"}
    assert len(by_agent["greedy_pctr"]) == 2 * 3
    assert {case.num_users for case in by_agent["tabular_q"]} == {1}


@pytest.mark.parametrize(
    ("agents", "message"),
    [(["tabular_q"], "has no vector form"), (["nobody"], "There is no agent 'nobody'")],
)
def test_an_agent_that_fits_nowhere(agents, message):
    with pytest.raises(ValueError, match=message):
        throughput.compatible_cases(["interest_exploration"], agents, [(5, 2)], [10])


def test_agents_that_need_not_fit_are_left_out_where_they_fit_nowhere():
    agents = ["greedy_pctr", "random", "tabular_q"]
    arguments = (["long_term_satisfaction"], agents, [(3, 2)], [10])
    with pytest.raises(ValueError, match="greedy_pctr"):
        throughput.compatible_cases(*arguments)
    cases = throughput.compatible_cases(*arguments, every_agent=False)
    assert [case.agent for case in cases] == ["random"]
    with pytest.raises(ValueError, match="tabular_q"):
        throughput.compatible_cases(arguments[0], agents[::2], *arguments[2:], every_agent=False)
    with pytest.raises(ValueError, match="There is no agent 'nobody'"):
        throughput.compatible_cases(
            arguments[0], ["random", "nobody"], [(3, 2)], [10], every_agent=False
        )


@pytest.mark.parametrize(
    ("num_users", "most", "shares"),
    [
        (1, 2, [1]),
        (streams.CHUNK_SIZE, 2, [streams.CHUNK_SIZE]),
        (streams.CHUNK_SIZE + 5, 2, [streams.CHUNK_SIZE, 5]),
        (3 * streams.CHUNK_SIZE, 2, [streams.CHUNK_SIZE, 2 * streams.CHUNK_SIZE]),
        (3 * streams.CHUNK_SIZE, 1, [3 * streams.CHUNK_SIZE]),
    ],
)
def test_processes_share_whole_chunks_of_users(num_users, most, shares):
    assert throughput.shares_of_users(num_users, most) == shares


def test_tables_have_medians_and_ratios_of_rounds():
    exploration, evolution = throughput.measured_tables(record())
    assert exploration.title == "interest_exploration"
    assert exploration.header[4:] == ["MiB", "RecSim 0.2.4", "ratio", "range"]
    # Rates 1000, 2000, 4000 beside 100, 200, 100.
    assert exploration.rows[0] == [
        *("random, 10 x 2", "1", "2,000", "1,000–4,000", "2,001"),
        *("100", "10.0", "10.0–40.0"),
    ]
    assert evolution.rows[3][:3] == ["random, 100 x 2", "1,000", "1,000,000"]
    assert evolution.rows[3][-2:] == ["5,000", "5,000–20,000"]
    assert "median and range of 3 rounds" in throughput.text(record(), 100)


@pytest.mark.parametrize("width", [80, 100])
def test_text_fits_the_terminal(width):
    wide = record()
    for case in wide["cases"]:
        case["agent"] = "cluster_bandit_kl_ucb"
    wide["machine"] = dict.fromkeys(("system", "processor"), "a processor of a long name")
    text = throughput.text(wide, width)
    assert max(map(len, text.splitlines())) <= width
    # Each part of a table that continues below tells which row has how many users.
    parts = [part for part in text.split("\n\n") if part.startswith("agent")]
    assert len(parts) == 4
    assert all(len(re.findall(r" 10 x 2 +1,000  ", part)) == 1 for part in parts)


def test_memory_that_is_not_known():
    unknown = record()
    for case in unknown["cases"]:
        case["peak_memory_mib"] = None
    assert throughput.measured_tables(unknown)[0].rows[0][4] == "–"


def test_peak_memory_is_that_since_the_reset():
    if not _throughput_worker.reset_peak_memory():
        pytest.skip("the system does not reset it")
    before = _throughput_worker.peak_memory()
    block = np.ones(8 * 2**20)
    with_block = _throughput_worker.peak_memory()
    del block
    assert 60 < with_block - before < 80
    assert abs(_throughput_worker.peak_memory() - with_block) < 5
    assert _throughput_worker.reset_peak_memory()
    assert _throughput_worker.peak_memory() - before < 20


def test_without_recsim_there_are_no_ratios():
    alone = record()
    for case in alone["cases"]:
        case["recsim_steps_per_second"] = None
    assert "RecSim" not in throughput.text(alone)
    mixed = record()
    mixed["cases"][0]["recsim_steps_per_second"] = None
    assert throughput.measured_tables(mixed)[0].rows[0][-3:] == ["–", "–", "–"]


def test_files(tmp_path):
    throughput.save(record(), tmp_path / "b.json", tmp_path / "b.png")
    assert json.loads((tmp_path / "b.json").read_text()) == record()
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")
    users, candidates = throughput.figure_of(record()).axes
    (line, _) = users.get_lines()
    assert line.get_xdata().tolist() == [1, 1000]
    assert line.get_ydata().tolist() == [2000.0, 2_000_000.0]
    assert [line.get_xdata().tolist() for line in candidates.get_lines()] == [[10, 100]] * 2


def test_figure_has_no_panel_for_a_single_number_of_candidates():
    of_one_size = record()
    size = of_one_size["cases"][0]["num_candidates"]
    of_one_size["cases"] = [case for case in of_one_size["cases"] if case["num_candidates"] == size]
    (axes,) = throughput.figure_of(of_one_size).axes
    assert axes.get_xlabel() == "users"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "2x10"], "such as 10x2, got '2x10'"),
        (["--size", "ten"], "such as 10x2, got 'ten'"),
        (["--users", "0"], "must be an integer >= 1, got '0'"),
        (["--seconds", "0"], "must be a number above 0, got '0'"),
        (["--figure", "speed.txt"], "must end in .png, .svg or .pdf"),
        (["--agent", "rndom"], "There is no agent 'rndom'. Did you mean 'random'?"),
        (["--environment", "nowhere"], "There is no environment 'nowhere'"),
        (["--agent", "tabular_q", "--users", "5"], "'tabular_q' has no vector form"),
        (["--recsim-python", "no/such/file"], "must be a file that can be read"),
    ],
)
def test_mistakes_end_in_one_line(arguments, message, refused):
    err = refused(cli.main, ["bench", *arguments])
    assert err.startswith("recsim bench: error: ")
    assert message in err
    assert err.count("\n") == 1


SMALL = ["--environment", "long_term_satisfaction", "--agent", "random", "--size", "3x1"]


@pytest.mark.slow
def test_bench_measures_and_compares(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "200")
    output = str(tmp_path / "new/bench.json")
    arguments = ["--users", "1", "5000", "--rounds", "2", "--seconds", "0.01", "--quiet"]
    assert cli.main(["bench", *SMALL, *arguments, "--output", output]) == 0
    shown = capsys.readouterr().out
    with open(output) as file:
        cases = json.load(file)["cases"]
    assert [case["num_users"] for case in cases] == [1, 5000]
    assert all(len(case["steps_per_second"]) == 2 for case in cases)
    assert all(rate > 0 for case in cases for rate in case["steps_per_second"])
    if sys.platform == "linux":
        assert all(10 < peak < 1000 for case in cases for peak in case["peak_memory_mib"])
    assert shown.count("random, 3 x 1") == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("python", "message"),
    [
        ("ours", "imports this library, not RecSim"),
        ("broken", "could not measure:.*no recsim here"),
    ],
)
def test_an_interpreter_without_recsim(python, message, tmp_path):
    script = tmp_path / "python"
    if python == "broken":
        script.write_text("#!/bin/sh\necho no recsim here >&2\nexit 1\n")
    else:  # One that ignores that it is to be isolated from this library.
        script.write_text(f'#!/bin/sh\nshift\nexec {sys.executable} "$@"\n')
    script.chmod(0o755)
    case = throughput.Case("long_term_satisfaction", "random", 3, 1, 1)
    with pytest.raises(RuntimeError, match=f"(?s){message}"):
        throughput.measure([case], rounds=1, seconds=0.01, recsim_python=str(script))


def test_recsim_is_measured_in_its_own_scenarios_alone(monkeypatch):
    asked = {"ours": [], "theirs": []}

    @contextlib.contextmanager
    def start_processes(python, number):
        cases = asked["ours" if python == sys.executable else "theirs"]

        class Processes:
            def measured(self, case, seconds):
                cases.append(case.environment)
                return 100.0, None

        yield Processes()

    monkeypatch.setattr(throughput, "start_processes", start_processes)
    environments = list(registry.ENVIRONMENTS)
    cases = throughput.compatible_cases(environments, ["random"], [(4, 2)], [1])
    found = throughput.measure(cases, rounds=1, recsim_python="another", show_progress=False)
    assert asked["ours"] == environments
    assert set(environments) - set(asked["theirs"]) == {"topic_boredom"}
    rates = {each["environment"]: each["recsim_steps_per_second"] for each in found["cases"]}
    assert rates["topic_boredom"] is None
    assert rates["interest_evolution"] == [100.0]


def test_this_interpreter_is_not_that_of_recsim_024():
    with pytest.raises(RuntimeError, match="runs this library, not RecSim 0.2.4"):
        throughput.measure([], recsim_python=sys.executable)


def test_a_baseline_is_compared_round_by_round():
    compared = record()
    for case in compared["cases"]:
        case["steps_per_second"] = [float(rate) for rate in range(100, 115)]
        case["baseline_steps_per_second"] = [100.0] * 15
        case["recsim_steps_per_second"] = None
    row = throughput.measured_tables(compared)[0].rows[0]
    # The median of 1.00, 1.01, ... 1.14, and the 4th and the 12th of them.
    assert row[-3:] == ["100", "1.070", "1.030–1.110"]


@pytest.mark.slow
def test_another_version_of_the_library_is_measured_too(tmp_path):
    package = os.path.dirname(os.path.dirname(recsim.__file__))
    script = tmp_path / "python"  # One that finds the library in a folder of another name.
    (tmp_path / "other").symlink_to(package)
    script.write_text(
        f'#!/bin/sh\nshift\nexport PYTHONPATH={tmp_path / "other"}\nexec {sys.executable} "$@"\n'
    )
    script.chmod(0o755)
    cases = [
        throughput.Case("long_term_satisfaction", "random", 3, 1, users) for users in (1, 5000)
    ]
    measured = throughput.measure(
        cases, rounds=2, seconds=0.01, workers=2, baseline_python=str(script), show_progress=False
    )
    for case in measured["cases"]:
        assert len(case["baseline_steps_per_second"]) == 2
        assert all(0.1 < rate < 1e9 for rate in case["baseline_steps_per_second"])


def test_this_interpreter_is_not_a_baseline():
    with pytest.raises(RuntimeError, match="runs this library, not a baseline"):
        throughput.measure([], baseline_python=sys.executable)


def test_a_config_takes_the_place_of_that_of_the_sizes():
    case = {"environment": "topic_boredom", "agent": "random", "num_users": 1}
    sizes = {"num_candidates": 5, "slate_size": 2, "resample_documents": True}
    _throughput_worker.prepared({**case, **sizes, "config": None})
    with pytest.raises(ValueError, match="num_topics"):
        _throughput_worker.prepared({**case, **sizes, "config": {**sizes, "num_topics": 0}})
