"""What agents that learn slates earn: a short run, and the results on record."""

from __future__ import annotations

import json

import pytest
from support import CHECKOUT, RESULTS

from recsim.benchmarks import slate_learning
from recsim.experiments import statistics, tables

#: The pages that show results, and the records of these.
RECORDS = {
    page: json.loads((RESULTS / name).read_text(encoding="utf-8"))
    for page, name in (
        ("agents/ppo", "slate_learning.json"),
        ("agents/reinforce", "slate_learning.json"),
        ("agents/wolpertinger", "actor_critics.json"),
        ("agents/sac_topk", "actor_critics.json"),
        ("agents/contextual_bandits", "contextual_bandits.json"),
        ("agents", "recurrent_state.json"),
    )
}
BASELINES = {"random", "oracle"}


def test_a_short_run_writes_its_results(tmp_path, capsys):
    path = tmp_path / "results.json"
    options = ["--steps", "1000", "--seeds", "2", "--users", "20", "--agents", "ppo"]
    assert slate_learning.main([*options, "--output", str(path)]) == 0
    record = json.loads(path.read_text(encoding="utf-8"))
    assert set(record["results"]) == {"interest_evolution", "topic_boredom"}
    assert set(record["results"]["topic_boredom"]) == {"random", "oracle", "ppo"}
    rates = record["results"]["topic_boredom"]["ppo"]["steps_per_second"]
    assert len(rates) == 2 and min(rates) > 0
    assert record["clock"] == "processor time"
    printed = capsys.readouterr().out
    assert tables.markdown(slate_learning.table(record)) in printed
    again = slate_learning.measured("ppo", "topic_boredom", 1, 1000, 20)
    assert round(again["return"], 3) == record["results"]["topic_boredom"]["ppo"]["returns"][1]


@pytest.mark.parametrize(
    ("page", "scenario"),
    [(page, scenario) for page, record in RECORDS.items() for scenario in record["results"]],
)
def test_agents_on_record_are_above_random(page, scenario):
    results = RECORDS[page]["results"][scenario]
    estimates = {name: statistics.estimate(found["returns"]) for name, found in results.items()}
    agents = set(results) - BASELINES
    if scenario == "hidden_tastes":  # There is nothing to learn for who forgets.
        agents = {name for name in agents if "+" in name}
    assert len(agents) >= 2
    for name in agents:
        assert estimates[name]["low"] > estimates["random"]["high"]


@pytest.mark.parametrize("page", RECORDS)
def test_pages_show_the_results_on_record(page):
    record = RECORDS[page]
    text = (CHECKOUT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    assert tables.markdown(slate_learning.table(record)) in text
    assert record["command"] in " ".join(text.replace("\\\n", " ").split())
