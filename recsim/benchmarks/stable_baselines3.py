"""Trains PPO of Stable-Baselines3 on the vector engine and in ``DummyVecEnv``, and compares times.

Usage::

    python -m recsim.benchmarks.stable_baselines3 [--rounds N] [--users N] [--rollout N]

Both trainings are of interest evolution with 10 candidates and slates of 2, with equal numbers of
users, steps and gradient steps, interleaved. One is in :func:`recsim.sb3.make_vec_env`, the other
in ``stable_baselines3.common.env_util.make_vec_env``: the single-user environments that
``gymnasium.make`` makes, in ``Monitor`` and ``DummyVecEnv``. The times are those of the rollouts,
with the policy's part in them, and of the whole of ``learn``. Needs the extra ``sb3``.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from recsim import sb3
from recsim._internal import command_line

__all__ = ["Times", "main", "measured"]

ID = "recsim/InterestEvolution-v0"

#: PPO's settings beside the length of a rollout; others are those of Stable-Baselines3.
SETTINGS: dict[str, Any] = {"n_epochs": 4, "device": "cpu"}

#: The most steps in a batch.
BATCH_SIZE = 4096

_KINDS = ("recsim.sb3", "DummyVecEnv")


@dataclasses.dataclass(frozen=True)
class Times:
    """How long a training took.

    Attributes:
        rollouts: seconds in which rollouts were collected.
        training: seconds of all of the training.
    """

    rollouts: float
    training: float


def measured(kind: str, num_envs: int, rollout: int, seed: int) -> Times:
    """Trains PPO for one rollout and returns the times.

    Args:
        kind: 'recsim.sb3' or 'DummyVecEnv'.
        num_envs: number of users.
        rollout: number of steps of each in a rollout.
        seed: seed of users and training.

    Raises:
        ImportError: if Stable-Baselines3 is not installed.
    """
    make_vec_env = sb3.make_vec_env
    import stable_baselines3
    import torch
    from stable_baselines3.common import env_util

    env: Any = None
    threads = torch.get_num_threads()
    state = np.random.get_state()  # noqa: NPY002  # Stable-Baselines3 seeds and uses it.
    try:
        torch.set_num_threads(1)
        if kind == "DummyVecEnv":
            env = env_util.make_vec_env(ID, num_envs, env_kwargs={"observation": "flat"})
        else:
            env = make_vec_env(ID, num_envs)
        model = stable_baselines3.PPO(
            "MlpPolicy",
            env,
            n_steps=rollout,
            batch_size=min(BATCH_SIZE, num_envs * rollout),
            seed=seed,
            **SETTINGS,
        )
        laps: list[float] = []
        begin = time.perf_counter()
        model.learn(num_envs * rollout, callback=_stopwatch(laps))
        return Times(sum(laps), time.perf_counter() - begin)
    finally:
        np.random.set_state(state)  # noqa: NPY002
        torch.set_num_threads(threads)
        if env is not None:
            env.close()


def _stopwatch(laps: list[float]) -> object:
    """Returns a callback of Stable-Baselines3 that notes the seconds of each rollout in a list."""
    from stable_baselines3.common import callbacks

    class Stopwatch(callbacks.BaseCallback):  # type: ignore[misc]
        def _on_rollout_start(self) -> None:
            self._begin = time.perf_counter()

        def _on_rollout_end(self) -> None:
            laps.append(time.perf_counter() - self._begin)

        def _on_step(self) -> bool:
            return True

    return Stopwatch()


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the trainings and prints their times; returns the exit code."""
    with command_line.orderly_exit("stable_baselines3"):
        parser = _parser()
        options = parser.parse(sys.argv[1:] if argv is None else argv)
        times: dict[str, list[Times]] = {kind: [] for kind in _KINDS}
        with command_line.user_errors(parser, ImportError):
            measured(_KINDS[0], 2, 2, 0)  # What is imported and compiled once is in no time.
        for number in range(options.rounds):
            for kind in _KINDS:
                times[kind].append(measured(kind, options.users, options.rollout, number))
        steps = options.users * options.rollout
        print(f"{_versions()}; {options.users} users, {options.rollout} steps of each, 1 thread")
        print(f"{'':10}  {'recsim.sb3':>12}  {'DummyVecEnv':>12}  {'ratio':>6}  range")
        print(_row("rollouts", times, steps, lambda each: each.rollouts))
        print(_row("training", times, steps, lambda each: each.training))
    return 0


def _row(name: str, times: dict[str, list[Times]], steps: int, of: Callable[[Times], float]) -> str:
    """Returns the line of a table: rates of steps, and the ratios of the rounds' times."""
    ours, dummys = ([of(each) for each in times[kind]] for kind in _KINDS)
    ratios = [dummy / own for own, dummy in zip(ours, dummys, strict=True)]
    rates = [f"{steps / np.median(seconds):10,.0f}/s" for seconds in (ours, dummys)]
    return (
        f"{name:10}  {rates[0]}  {rates[1]}  {np.median(ratios):5.1f}x  "
        f"{min(ratios):.1f} to {max(ratios):.1f}"
    )


def _versions() -> str:
    import gymnasium
    import stable_baselines3
    import torch

    import recsim

    packages = {
        "recsim": recsim,
        "stable-baselines3": stable_baselines3,
        "torch": torch,
        "gymnasium": gymnasium,
        "numpy": np,
    }
    return ", ".join(f"{name} {module.__version__}" for name, module in packages.items())


def _parser() -> command_line.Parser:
    parser = command_line.Parser(
        prog="python -m recsim.benchmarks.stable_baselines3",
        description="Trains PPO of Stable-Baselines3 on the vector engine and in DummyVecEnv, and\n"
        "compares the times of rollouts and of whole trainings (median and range over rounds).",
    )
    for name, least, default, text in (
        ("--rounds", 1, 5, "trainings of each kind"),
        ("--users", 1, 256, "users in parallel"),
        ("--rollout", 2, 64, "steps of each user in a training, which is one rollout"),
    ):
        parser.add_argument(
            name,
            metavar="N",
            type=command_line.integer(least),
            default=default,
            help=f"{text} (default: %(default)s)",
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
