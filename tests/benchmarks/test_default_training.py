"""The defaults of recsim run train agents until they are better than chance, and how that shows."""

from __future__ import annotations

import re

import pytest

from recsim import registry
from recsim.benchmarks import default_training


def test_every_agent_that_learns_is_measured_where_it_is_meant_to_be():
    agents = default_training.learning_agents(vector=False)
    # Contextual bandits are meant for every scenario, and learn at once.
    bandits = "recsim.agents.contextual_bandit_agent"
    assert set(agents) == {
        name
        for name, entry in registry.AGENTS.items()
        if entry.learns and bandits not in entry.modules
    }
    assert set(agents.values()) <= set(registry.ENVIRONMENTS)
    vector = default_training.learning_agents(vector=True)
    assert set(agents) - set(vector) == {"tabular_q"}
    for name, environment in agents.items():
        assert f"({environment})" in registry.AGENTS[name].description


@pytest.mark.parametrize(
    ("agent", "num_envs"), [("tabular_q", None), ("slate_topk_sarsa", 500), ("full_slate_q", 500)]
)
def test_the_defaults_train_agents_until_they_are_better_than_chance(agent, num_envs):
    environment = default_training.learning_agents(vector=False)[agent]
    record = default_training.measured(agent, environment, 0, num_envs)
    assert 0 < record["low"] < record["mean"] < record["high"]
    assert record["steps"] >= 30_000
    assert record["updates"] >= 200
    assert record["processor_seconds"] > 0


def test_the_command_prints_a_table_and_says_whether_all_are_above(capsys, monkeypatch):
    lows = [0.25, 0.5]

    def measured(agent, environment, seed, num_envs):
        assert (agent, environment, num_envs) == ("tabular_q", "interest_exploration", None)
        record = {"mean": 1.5, "low": lows[seed], "high": 2.0 + seed, "processor_seconds": 3.0}
        return {"agent": agent, "seed": seed, "steps": 4000, "updates": 2000 - seed, **record}

    monkeypatch.setattr(default_training, "measured", measured)
    arguments = ["--agent", "tabular_q", "--seeds", "2"]
    assert default_training.main(arguments) == 0
    out, err = capsys.readouterr()
    (row,) = re.findall(r"^\| tabular_q +\|(.*)\|$", out, re.M)
    assert [cell.strip() for cell in row.split("|")] == [
        "interest_exploration",
        "+1.5 (+0.2 to +2.0)",
        "+1.5 (+0.5 to +3.0)",
        "1,999",
        "3",
    ]
    assert err.splitlines()[1] == (
        "tabular_q, seed 1: +1.5 (+0.5 to +3.0), 4,000 steps, 1,999 updates, 3.0 s"
    )
    lows[1] = -0.5
    assert default_training.main(arguments) == 1


def test_bad_options_are_refused_in_a_line(refused):
    for option, value in [("--agent", "random"), ("--num-envs", "1"), ("--environment", "none")]:
        assert option in refused(default_training.main, [option, value])
