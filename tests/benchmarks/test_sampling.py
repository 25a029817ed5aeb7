"""What share of a step random numbers take."""

from __future__ import annotations

import pytest

from recsim import registry
from recsim.benchmarks import sampling


@pytest.mark.parametrize(
    ("environment", "uniform", "normal"),
    [
        # A topic and a quality a candidate; a choice; two positions of the slate.
        ("interest_exploration", 7 + 1 + 2, 7),
        # A chance that interests move towards the video, too.
        ("interest_evolution", 7 + 1 + 1 + 2, 7),
        # A clickbait score a candidate; an engagement and an innovation; two positions.
        ("long_term_satisfaction", 7 + 2, 1 + 1),
    ],
)
def test_numbers_of_a_step_are_counted(environment, uniform, normal):
    times = sampling.measured(environment, num_candidates=7, slate_size=2, rounds=1)
    assert (times.uniform, times.normal) == (uniform, normal)
    assert min(*times.steps.values(), times.sampling, times.numpy) > 0


def test_table(capsys, monkeypatch):
    monkeypatch.setattr(sampling, "SIZES", ((5, 1),))
    assert sampling.main(["--rounds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * (2 + 1 + len(registry.ENVIRONMENTS)) + 1
    assert lines[3].split()[:4] == ["interest_exploration,", "5", "x", "1"]
    header = lines[6 + len(registry.ENVIRONMENTS)]
    assert header.split()[:5] == ["scenario", "1,000", "users", "2,048", "users"]
    assert max(map(len, lines)) <= 100
