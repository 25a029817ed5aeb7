"""Models of Stable-Baselines3 for tests: quickly trained ones, and hardly trained ones."""

from __future__ import annotations

import contextlib

import numpy as np

#: Which algorithm suits which actions, with settings for a training of a second.
ALGORITHMS = {
    ("PPO", "slate"): {"n_steps": 8, "batch_size": 32, "n_epochs": 1},
    ("PPO", "scores"): {"n_steps": 8, "batch_size": 32, "n_epochs": 1},
    ("A2C", "discrete"): {},
    ("DQN", "discrete"): {"learning_starts": 16, "buffer_size": 1000},
    ("SAC", "scores"): {"learning_starts": 16, "buffer_size": 1000},
    ("TD3", "scores"): {"learning_starts": 16, "buffer_size": 1000},
}


@contextlib.contextmanager
def training():
    """Lets Stable-Baselines3 seed and use the global generators, which are as before afterwards."""
    import torch

    threads, state = torch.get_num_threads(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            torch.set_num_threads(1)  # The networks are small.
            yield
        finally:
            torch.set_num_threads(threads)
            np.random.set_state(state)


def model(algorithm, env, steps=0, seed=0, **settings):
    """Returns a model, trained for some steps of all users together."""
    import stable_baselines3
    from gymnasium import spaces

    policy = "MultiInputPolicy" if isinstance(env.observation_space, spaces.Dict) else "MlpPolicy"
    with training():
        made = getattr(stable_baselines3, algorithm)(
            policy, env, seed=seed, device="cpu", **settings
        )
        return made.learn(steps) if steps else made
