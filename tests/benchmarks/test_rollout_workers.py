"""The benchmark of rollout workers: small runs of it."""

from __future__ import annotations

import pytest

from recsim.benchmarks import rollout_workers
from recsim.benchmarks.rollout_workers import Case


def test_policies_that_learn_from_their_own_slates_are_not_trained_with_staleness():
    found = list(rollout_workers.cases(["slate_topk_topk_q", "ppo"], ["ray"], [2], [0, 1]))
    assert found == [
        Case("slate_topk_topk_q"),
        Case("slate_topk_topk_q", 2, "ray", 0),
        Case("slate_topk_topk_q", 2, "ray", 1),
        Case("ppo"),
        Case("ppo", 2, "ray", 0),
    ]


@pytest.mark.slow
def test_the_table_has_a_row_for_each_training(capsys):
    arguments = ["--agents", "reinforce", "--backends", "loky", "--workers", "1", "--users", "300"]
    assert rollout_workers.main([*arguments, "--steps", "3", "--rounds", "1"]) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines() if line.startswith("reinforce")]
    assert [row[:-2] for row in rows] == [["reinforce"], ["reinforce", "1", "loky", "0"]]
    assert rows[0][-1] == "1.00"
    assert "Rewards are equal where agent and staleness are." in out


@pytest.mark.slow
def test_an_agent_that_must_be_where_its_users_are_is_refused(capfd):
    with pytest.raises(SystemExit):
        rollout_workers.main(
            ["--agents", "lin_ucb", "--users", "300", "--steps", "2", "--rounds", "1"]
        )
    error = capfd.readouterr().err
    assert "got VectorContextualBanditAgent. Train it in one process." in error
    assert "Traceback" not in error
