"""Estimates beside the truth, and the command recsim ope."""

from __future__ import annotations

import concurrent.futures
import json

import numpy as np
import pandas as pd
import pytest

from recsim import cli
from recsim.ope import comparison
from recsim.ope.comparison import Settings, compare


def test_estimates_stand_beside_the_truth():
    found = compare(Settings(num_users=6000, evaluation_agents=("softmax", "random")))
    frame = found.to_frame().set_index(["agent", "estimator"])
    for name in ("softmax", "random"):
        of_agent = frame.loc[name]
        truth = of_agent.loc["true value"]
        assert (of_agent.low <= of_agent.value).all() and (of_agent.value <= of_agent.high).all()
        for estimator in ("IPS", "SNIPS", "DR", "SNDR"):
            each = of_agent.loc[estimator]
            assert abs(each.error) < 4 * np.hypot(each.standard_error, truth.standard_error)
        assert each.num_users == 6000
    # The agent that logged itself is known by its own rewards.
    assert frame.loc[("random", "IPS")].effective_sample_size == pytest.approx(6000)
    assert frame.loc[("softmax", "IPS")].effective_sample_size < 5000
    text = found.text()
    assert max(map(len, text.splitlines())) <= 80
    assert "The agent of the highest true value is softmax." in text


@pytest.mark.parametrize("discount", [1.0, 0.5])
def test_episodes(discount):
    settings = Settings(
        environment="long_term_satisfaction",
        num_users=3000,
        num_steps=3,
        slate_size=1,
        num_candidates=4,
        discount=discount,
    )
    found = compare(settings)
    truth = found.true_values["softmax"]
    by_name = {each.name: each for each in found.found["softmax"]}
    assert list(by_name) == ["PDIS", "PDIS clipped at 10", "weighted PDIS", "FQE"]
    for name in ("PDIS", "weighted PDIS", "FQE"):
        each = by_name[name]
        error = np.hypot(each.standard_error, truth.standard_error)
        assert abs(each.value - truth.value) < 4 * error


def test_documents_that_stay_are_those_of_the_truth():
    """A random agent's value depends on the three documents that there are."""
    values = {}
    for seed in range(4):
        settings = Settings(
            environment="long_term_satisfaction",
            num_users=4000,
            slate_size=1,
            num_candidates=3,
            resample_documents=False,
            evaluation_agents=("random",),
            seed=seed,
        )
        found = compare(settings)
        (ips,) = [each for each in found.found["random"] if each.name == "IPS"]
        truth = found.true_values["random"]
        error = np.hypot(ips.standard_error, truth.standard_error)
        assert abs(ips.value - truth.value) < 4 * error
        values[seed] = truth.value / error
    assert np.ptp(list(values.values())) > 10


def test_what_thompson_sampling_cannot_tell_is_left_out():
    settings = Settings(
        environment="interest_exploration",
        logging_agent="cluster_bandit_ts",
        evaluation_agents=("random",),
        num_users=500,
        gin_bindings=("ClusterBanditAgent.propensity_samples = 20",),
    )
    found = compare(settings)
    assert "IPS" in found.left_out["random"] and "IIPS" not in found.left_out["random"]
    assert "Left out: IPS" in found.text()
    assert any("should be 1" in text for text in found.warnings["random"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"environment": "interest_evolutoin"}, "Did you mean 'interest_evolution'"),
        ({"logging_agent": "slate_topk_sarsa"}, "learns, and has not"),
        ({"evaluation_agents": ()}, "at least one agent"),
        ({"evaluation_agents": ("random", "random")}, "must be different"),
        ({"num_users": 1}, "num_users"),
        ({"num_steps": 0}, "num_steps"),
        ({"slate_size": 11}, "slate_size"),
        ({"discount": 1.5}, "discount"),
        ({"true_users": 0}, "true_users"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_settings_are_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        Settings(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evaluation_agents": ("greedy_pctr",)}, "'greedy_pctr' cannot recommend"),
        ({"gin_bindings": ("ClusterBanditAgent.ci_scaling = 1.0",)}, "has no effect"),
        (
            {"environment": "interest_exploration", "logging_agent": "cluster_bandit_ts"},
            "needs propensity_samples",
        ),
    ],
    ids=["scenario", "gin", "thompson"],
)
def test_what_cannot_be_run_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        compare(Settings(num_users=50, **changes))


SMALL = ["ope", "--quiet", "--users", "300", "--true-users", "300"]


def test_command(tmp_path, capsys):
    folder = tmp_path / "out"
    arguments = [*SMALL, "--interval", "bootstrap", "--confidence", "0.9", "--output", str(folder)]
    assert cli.main(arguments) == 0
    output = capsys.readouterr().out
    assert "softmax, evaluated" in output and "90% interval" in output
    record = json.loads((folder / "estimates.json").read_text())
    assert record["command"].startswith("recsim ope --quiet --users 300")
    assert record["settings"]["interval"]["method"] == "bootstrap"
    frame = pd.read_csv(folder / "estimates.csv")
    assert frame.estimator.tolist() == [row["estimator"] for row in record["estimates"]]
    assert f"{frame.value[0]:.4f}" in output
    # The same command gives the same, and replaces its files alone.
    assert cli.main(arguments) == 0
    assert json.loads((folder / "estimates.json").read_text())["estimates"] == record["estimates"]
    (folder / "mine.txt").touch()
    with pytest.raises(SystemExit):
        cli.main(arguments)
    assert "is not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--evaluation-agent", "sofmax"], "Did you mean 'softmax'"),
        (["--confidence", "1"], "confidence"),
        (["--propensity-samples", "5"], "has no effect without the agent cluster_bandit_ts"),
        (["--users", "0"], "--users"),
        (["--gin-bindings", "SoftmaxAgent.temp = 1"], "Did you mean 'temperature'"),
    ],
)
def test_command_refuses(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([*SMALL, *arguments])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_gin_reaches_the_agents():
    values = {}
    for temperature in (0.1, 10.0):
        settings = Settings(
            num_users=300, gin_bindings=(f"SoftmaxAgent.temperature = {temperature}",)
        )
        values[temperature] = compare(settings).true_values["softmax"].value
    assert values[0.1] > values[10.0] + 0.2


def test_title_says_what_was_run():
    text = comparison.compare(Settings(num_users=50, true_users=50, num_steps=2)).text()
    assert "2 slates of 2 out of 10 documents" in text


def test_workers_change_nothing():
    settings = comparison.Settings(num_users=3000, true_users=5000, evaluation_agents=["softmax"])
    done = []
    one = comparison.compare(settings)
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        several = comparison.compare(settings, workers=2, backend=executor, advance=done.append)
    assert one.to_frame().equals(several.to_frame())
    assert one.to_frame().equals(comparison.compare(settings, workers=2).to_frame())
    assert sum(done) == 8000


def test_a_backend_that_is_not_there():
    with pytest.raises(ValueError, match="Did you mean 'dask'"):
        comparison.compare(comparison.Settings(num_users=10), backend="dusk")
