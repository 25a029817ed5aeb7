"""The defaults of recsim run train agents until they are better than chance, and how that shows."""

from __future__ import annotations

import re

import pytest

from recsim import registry
from recsim.benchmarks import default_training
from recsim.experiments import agent_run


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


def test_the_command_prints_a_table_and_says_whether_all_are_above(capsys, monkeypatch):
    monkeypatch.setitem(agent_run.TRAIN_DEFAULTS, "max_training_steps", 300)
    arguments = ["--agent", "tabular_q", "--seeds", "2"]
    code = default_training.main(arguments)
    out, err = capsys.readouterr()
    row = next(line for line in out.splitlines() if line.startswith("| tabular_q"))
    lows = re.findall(r"\(([+-]\d+\.\d) to [+-]\d+\.\d\)", row)
    assert len(lows) == 2
    assert code == (0 if min(map(float, lows)) > 0 else 1)
    assert len(err.splitlines()) == 2

    def below(*_):
        return {**dict.fromkeys(["mean", "low", "high"], -1.0), **fields}

    fields = {"agent": "x", "seed": 0, "steps": 1, "updates": 1, "processor_seconds": 0.0}
    monkeypatch.setattr(default_training, "measured", below)
    assert default_training.main(arguments) == 1


def test_bad_options_are_refused_in_a_line(refused):
    for option, value in [("--agent", "random"), ("--num-envs", "1"), ("--environment", "none")]:
        assert option in refused(default_training.main, [option, value])
