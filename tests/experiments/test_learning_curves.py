"""Learning curves of evaluations: what an agent earns after each iteration of its training."""

import numpy as np
import pytest

import recsim
from recsim.experiments import agent_run, experiment

SETTINGS = {
    "scenarios": "interest_evolution",
    "seeds": 1,
    "num_envs": 20,
    "train_envs": 50,
    "train_steps": 3_000,
    "progress": False,
    "workers": 1,
}


def test_curves_are_of_evaluations(tmp_path):
    of_evaluations = recsim.experiment(
        ["lin_ucb", "random"], curve_users=30, output=tmp_path / "run", figures=False, **SETTINGS
    )
    curve = of_evaluations.curves
    assert list(curve["step"]) == [1_000, 2_000, 3_000]
    assert set(curve["agent"]) == {"lin_ucb"}
    # The last point is of the agent that was evaluated, on other users; nothing else differs.
    of_training = recsim.experiment(["lin_ucb", "random"], **SETTINGS)
    assert not of_training.curves.equals(curve)
    returns = [
        found.to_dataframe().query("measure == 'return'")["value"].to_numpy()
        for found in (of_evaluations, of_training)
    ]
    np.testing.assert_array_equal(*returns)
    again = experiment.rerun(tmp_path / "run", progress=False, figures=False)
    assert again.curves.equals(curve)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"curve_users": 0}, "curve_users must be an integer >= 1"),
        ({"curve_users": 5, "num_envs": None, "train_envs": None}, "curve_users has no effect"),
    ],
)
def test_what_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        recsim.experiment("lin_ucb", **{**SETTINGS, **settings})


def test_runs_of_one_user_are_refused(tmp_path):
    with pytest.raises(ValueError, match="curve_users are for users in parallel: give num_envs"):
        agent_run.AgentRun("interest_evolution", "lin_ucb", tmp_path, curve_users=5)
