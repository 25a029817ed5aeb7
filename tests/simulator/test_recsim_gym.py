"""What RecSim's environment says of itself beside its steps."""

from __future__ import annotations

from support.scenarios import make_env


def test_info_and_end_are_recsims():
    env = make_env("long_term_satisfaction", slate_size=1, time_budget=1)
    env.reset()
    assert env.game_over is False
    _, _, done, info = env.step([0])
    assert done
    assert env.game_over is False
    assert info["env"] is env.environment
    assert env.extract_env_info() == {"env": env.environment}
