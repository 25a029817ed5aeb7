"""The normalization of observations that a policy was trained with."""

from __future__ import annotations

import dataclasses
import os
import pickle
from typing import Any

import numpy as np

from recsim import types
from recsim._internal import numbers, paths
from recsim.sb3 import _extra

_extra.require()

from stable_baselines3.common.vec_env import VecNormalize  # noqa: E402

__all__ = ["Normalization", "normalization"]


@dataclasses.dataclass(frozen=True)
class Normalization:
    """What ``VecNormalize`` does to observations, without the environment that it is around.

    Attributes:
        space: the space of observations.
        means: the means of an observation's entries, by key; by None where it is an array.
        variances: their variances, likewise.
        epsilon: what is added to the variances.
        clip: the largest absolute value of what is returned.
    """

    space: types.Space
    means: dict[str | None, np.ndarray]
    variances: dict[str | None, np.ndarray]
    epsilon: float
    clip: float

    def __call__(
        self, observations: types.Observation | np.ndarray
    ) -> types.Observation | np.ndarray:
        """Returns observations as the policy was trained with them."""
        if isinstance(observations, np.ndarray):
            return self._normalized(None, observations)
        return {
            key: self._normalized(key, array) if key in self.means else array
            for key, array in observations.items()
        }

    def _normalized(self, key: str | None, array: np.ndarray) -> np.ndarray:
        deviations = (array - self.means[key]) / np.sqrt(self.variances[key] + self.epsilon)
        clipped: np.ndarray = np.clip(deviations, -self.clip, self.clip).astype(np.float32)
        return clipped


def normalization(vec_normalize: object) -> Normalization | None:
    """Returns what a VecNormalize does to observations; None if it leaves them as they are.

    Args:
        vec_normalize: a VecNormalize, the path of the file that its ``save`` wrote, or None.

    Raises:
        TypeError: if it is something else.
        FileNotFoundError: if there is no such file.
        ValueError: if the file is not one of a VecNormalize.
    """
    given: Any = vec_normalize
    if isinstance(given, (str, os.PathLike)):
        given = _loaded(given)
    if given is None:
        return None
    if not isinstance(given, VecNormalize):
        raise TypeError(
            "vec_normalize must be the VecNormalize of the training, or the path of a file that "
            f"its save wrote, got {numbers.described(given)}."
        )
    if not given.norm_obs:
        return None
    of_keys = given.obs_rms if isinstance(given.obs_rms, dict) else {None: given.obs_rms}
    return Normalization(
        given.observation_space,
        {key: np.array(of_key.mean) for key, of_key in of_keys.items()},
        {key: np.array(of_key.var) for key, of_key in of_keys.items()},
        given.epsilon,
        given.clip_obs,
    )


def _loaded(path: paths.Path) -> object:
    """Returns what is in a file that VecNormalize.save should have written."""
    file = paths.absolute("vec_normalize", path)
    expected = "vec_normalize must be the path of a file that VecNormalize.save wrote"
    if not os.path.isfile(file):
        raise FileNotFoundError(f"{expected}, got {file!r}: there is none.")
    try:
        with open(file, "rb") as opened:
            loaded: object = pickle.load(opened)  # noqa: S301  # As VecNormalize.load does.
    except Exception as error:  # It may raise anything.
        raise ValueError(f"{expected}, got {file!r}, which cannot be read: {error!r}.") from error
    if not isinstance(loaded, VecNormalize):
        raise ValueError(f"{expected}, got {file!r}, which has {numbers.described(loaded)}.")
    return loaded
