"""The benchmark of Parquet logs: that it counts what it says, and the memory of a log."""

from __future__ import annotations

import json

import pytest

from recsim.benchmarks import episode_logs


def test_a_run_counts_its_impressions_and_its_log():
    without, logged = (
        episode_logs.measured(50, 1_001, with_log=with_log) for with_log in (False, True)
    )
    assert without.impressions == logged.impressions == 1_100
    assert without.log_mib == 0
    assert logged.log_mib > 0.001
    assert logged.seconds > 0


def test_the_table_has_a_row_for_each_number_of_users(capsys):
    arguments = ["--users", "40", "60", "--impressions", "1000", "--rounds", "1"]
    assert episode_logs.main(arguments) == 0
    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines()[3:]]
    assert rows == [["40", "1,040"], ["60", "1,080"]]


def test_a_run_in_a_process_of_its_own_says_what_it_took(capsys):
    arguments = ["--users", "40", "--impressions", "1000", "--one-run", "log"]
    assert episode_logs.main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["impressions"] == 1_040


@pytest.mark.slow
def test_a_log_of_a_million_impressions_takes_bounded_memory():
    peaks = {
        with_log: episode_logs.measured_in_a_process(50_000, 1_000_000, with_log=with_log).peak_mib
        for with_log in (False, True)
    }
    assert peaks[True] - peaks[False] < 300
