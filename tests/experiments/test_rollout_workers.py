"""Experiments whose trainings have workers for their users."""

from __future__ import annotations

import concurrent.futures

import pytest

import recsim
from recsim.experiments import experiment

SETTINGS = {
    "scenarios": "interest_evolution",
    "num_envs": 2100,
    "train_envs": 2100,
    "train_steps": 60 * 2100,
    "steps": 4,
    "seeds": 1,
    "progress": False,
    "figures": False,
}


def run(folder, **settings):
    results = recsim.experiment(
        ["slate_topk_topk_q", "random"], output=folder, **{**SETTINGS, **settings}
    )
    assert not results.metadata.failures
    frame = results.to_dataframe()
    return frame[~frame.measure.str.contains("per_second")].reset_index(drop=True)


@pytest.mark.slow
def test_workers_change_nothing_and_a_staleness_is_of_the_experiment(tmp_path):
    here = run(tmp_path / "here")
    assert here.equals(run(tmp_path / "there", rollout_workers=2))
    stale = run(tmp_path / "stale", rollout_workers=2, staleness=3)
    assert not here.equals(stale)
    again = experiment.rerun(
        tmp_path / "stale", output=tmp_path / "again", progress=False, figures=False
    ).to_dataframe()
    again = again[~again.measure.str.contains("per_second")].reset_index(drop=True)
    assert stale.equals(again)
    with pytest.raises(ValueError, match="staleness 3 there and 1 here"):
        run(tmp_path / "stale", rollout_workers=2, staleness=1)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"rollout_workers": 3}, ValueError, "at most 2 for 2,100 users in training, got 3"),
        ({"rollout_workers": 2, "train_envs": None}, ValueError, "at most 1 for 100 users"),
        ({"rollout_workers": 0}, ValueError, "rollout_workers must be an integer >= 1"),
        ({"rollout_workers": 2, "workers": 2}, ValueError, "workers must be 1, or left out"),
        (
            {"rollout_workers": 2, "log_episodes": True, "log_user_state": True},
            ValueError,
            "log_user_state must be False with rollout_workers",
        ),
        ({"num_envs": None}, ValueError, "train_envs has no effect without num_envs"),
        ({"staleness": -1}, ValueError, "staleness must be an integer >= 0"),
        ({"train_envs": 0}, ValueError, "train_envs must be an integer >= 1"),
    ],
)
def test_what_is_refused(settings, error, message, tmp_path):
    with pytest.raises(error, match=message):
        run(tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_what_is_refused_without_a_learner(tmp_path):
    for settings, name in (
        ({"rollout_workers": 1}, "rollout_workers"),
        ({"staleness": 2}, "staleness"),
        ({"train_envs": 9}, "train_envs"),
    ):
        with pytest.raises(ValueError, match=f"{name} has no effect without num_envs and an agent"):
            recsim.experiment("random", num_envs=10, output=tmp_path / "run", **settings)


def test_an_executor_cannot_go_to_the_tasks(tmp_path):
    with (
        concurrent.futures.ThreadPoolExecutor(1) as executor,
        pytest.raises(TypeError, match="backend must be one of 'loky', 'ray' and 'dask' with"),
    ):
        run(tmp_path / "run", rollout_workers=2, backend=executor)


@pytest.mark.parametrize(
    ("agent", "settings", "error", "message"),
    [
        ("ppo", {"staleness": 1}, ValueError, "staleness must be 0 for VectorPPOAgent"),
        ("lin_ucb", {}, TypeError, "got VectorContextualBanditAgent. Train it in one process."),
    ],
)
def test_an_agent_that_cannot_is_refused_before_anything_runs(
    agent, settings, error, message, tmp_path
):
    with pytest.raises(error, match=message):
        recsim.experiment(
            ["random", agent],
            output=tmp_path / "run",
            **{**SETTINGS, "rollout_workers": 2, **settings},
        )
    assert not (tmp_path / "run" / "runs").exists()
