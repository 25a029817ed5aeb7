"""What agents that learn slates earn: a short run, and the results on record."""

from __future__ import annotations

import json

import pytest
from support import CHECKOUT, RESULTS

from recsim.benchmarks import slate_learning
from recsim.experiments import statistics, tables

RECORD = json.loads((RESULTS / "slate_learning.json").read_text(encoding="utf-8"))
BASELINES = {"random", "oracle"}


def test_a_short_run_writes_its_results(tmp_path, capsys):
    path = tmp_path / "results.json"
    options = ["--steps", "1000", "--seeds", "2", "--users", "20", "--agents", "ppo"]
    assert slate_learning.main([*options, "--output", str(path)]) == 0
    record = json.loads(path.read_text(encoding="utf-8"))
    assert set(record["results"]) == {"interest_evolution", "topic_boredom"}
    assert set(record["results"]["topic_boredom"]) == {"random", "oracle", "ppo"}
    assert record["results"]["topic_boredom"]["ppo"]["steps_per_second"] > 0
    printed = capsys.readouterr().out
    assert tables.markdown(slate_learning.table(record)) in printed
    again = slate_learning.measured("ppo", "topic_boredom", 1, 1000, 20)
    assert round(again["return"], 3) == record["results"]["topic_boredom"]["ppo"]["returns"][1]


@pytest.mark.parametrize("name", sorted({*RECORD["results"]["topic_boredom"]} - BASELINES))
@pytest.mark.parametrize("scenario", slate_learning.SCENARIOS)
def test_agents_on_record_are_above_random(scenario, name):
    results = RECORD["results"][scenario]
    estimates = {each: statistics.estimate(results[each]["returns"]) for each in (name, "random")}
    assert estimates[name]["low"] > estimates["random"]["high"]


def test_pages_show_the_results_on_record():
    shown = tables.markdown(slate_learning.table(RECORD))
    page = (CHECKOUT / "docs" / "agents" / "ppo.md").read_text(encoding="utf-8")
    assert shown in page
    assert RECORD["command"] in " ".join(page.replace("\\\n", " ").split())
