"""What holds of one scenario's vector form, and not of every environment."""

from __future__ import annotations

import numpy as np
from support.scenarios import config, make_vector_env


def test_users_whose_satisfaction_float32_cannot_tell_from_zero() -> None:
    env = make_vector_env("long_term_satisfaction", 500, config(slate_size=1, sensitivity=300.0))
    env.reset()
    rewards = np.array([env.step(np.zeros((500, 1), int))[1] for _ in range(5)])
    # The satisfied users' engagement has a mean logarithm of 4 to 5, that of the others of 0.
    assert np.isfinite(rewards).all()
    assert abs(np.mean(np.log(rewards) < 2.0) - 0.5) < 0.1
