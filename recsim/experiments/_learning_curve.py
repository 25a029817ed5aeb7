"""What an agent earns along its training, from users who meet it anew at each point."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from recsim import types
from recsim._internal import bundles, files, json_text
from recsim.simulator import rollout

if TYPE_CHECKING:
    from recsim.vector import env as vector_env

__all__ = ["LearningCurve", "read"]

_FILE = "learning_curve.json"


class LearningCurve:
    """Evaluates an agent from time to time, on the same users each time, an episode each.

    A training that resumes evaluates again what came after its checkpoint, with the same values.

    Args:
        folder: the folder for its file.
        env: an environment of the users.
        create_agent: makes an agent for it that only recommends.
        seed: that of the users.
    """

    def __init__(
        self,
        folder: str,
        env: vector_env.RecSimVectorEnv,
        create_agent: Callable[[], types.VectorAgent],
        seed: int,
    ) -> None:
        self._folder = folder
        self._env = env
        self._create_agent = create_agent
        self._seed = seed

    def add(self, trained: types.AnyAgent, total_steps: int) -> None:
        """Evaluates the agent as it is after so many steps of its training."""
        agent = self._create_agent()
        bundles.load(agent, copy.deepcopy(bundles.state_to_serve(trained)))
        number = self._env.num_envs
        totals = rollout.EpisodeTotals(number)
        rollout.VectorRollout(self._env, agent, [totals]).run_episodes(
            np.ones(number, np.int64), seed=self._seed
        )
        points = {**read(self._folder), total_steps: float(totals.returns.mean())}
        data = [[step, points[step]] for step in sorted(points)]
        with files.atomic_file(os.path.join(self._folder, _FILE)) as file:
            file.write(json_text.dumps(data).encode())


def read(folder: str) -> dict[int, float]:
    """Returns the mean returns by the number of steps; nothing where there is no curve."""
    path = os.path.join(folder, _FILE)
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        return dict(json.load(file))
