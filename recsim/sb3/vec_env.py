"""The vector engine as a ``VecEnv`` of Stable-Baselines3."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from recsim import registry, types
from recsim import spaces as spaces_lib
from recsim._internal import numbers, trees, validation
from recsim.sb3 import _extra, _spaces

_extra.require()

from stable_baselines3.common.monitor import Monitor  # noqa: E402
from stable_baselines3.common.vec_env import VecEnv  # noqa: E402

__all__ = ["RecSimVecEnv", "make_vec_env"]

# What an environment of one user has under these names.
_OF_ONE_USER = {
    "observation_space": "single_observation_space",
    "action_space": "single_action_space",
}
# Methods that would move only this environment on, not what is around it.
_NOT_TO_CALL = ("reset", "step", "close")


class RecSimVecEnv(VecEnv):  # type: ignore[misc]
    """Users in parallel as an environment of Stable-Baselines3.

    All users are stepped together by the vector engine. Where an episode ends, the next one begins
    in the same step, and the user's info has ``terminal_observation``, the last observation of the
    episode that ended; ``TimeLimit.truncated``, whether only a limit on its steps ended it; and
    ``episode``, as ``Monitor`` has it: the return ``r``, the length ``l`` and the seconds ``t``
    since the environment was made. The infos of other users are empty.

    The users are not environments of their own. What is asked of them by ``get_attr`` and
    ``env_method`` is asked of the one environment, and what ``set_attr`` sets is set for all users.

    Args:
        env: a vector environment of this library, whose episodes begin anew in the step in which
            they end (``AutoresetMode.SAME_STEP``), with observations that are an array or arrays
            by name (``observation='flat'`` or ``'dict'``).
        monitor: whether infos have ``episode``, and the environment counts as wrapped by
            ``Monitor``; False where ``VecMonitor`` shall do it.

    Raises:
        TypeError: if it is not a vector environment of this library.
        ValueError: if its observations are nested, or episodes begin anew a step later.
    """

    def __init__(self, env: types.VectorEnv, *, monitor: bool = True) -> None:
        if not types.is_vector_env(env) or not hasattr(env.unwrapped, "count_metrics_of"):
            raise TypeError(
                "env must be a vector environment of recsim, such as "
                "gymnasium.make_vec('recsim/InterestEvolution-v0', 64, observation='flat', "
                f"vectorization_mode='vector_entry_point') makes, got {numbers.described(env)}."
            )
        mode = env.metadata.get("autoreset_mode")
        if mode is not AutoresetMode.SAME_STEP:
            raise ValueError(
                "env must begin episodes anew in the step in which they end, got autoreset_mode="
                f"{mode}: make it with autoreset_mode=AutoresetMode.SAME_STEP."
            )
        _check_observation_space(env.single_observation_space)
        self._env: Any = env
        self._monitor = validation.flag("monitor", monitor)
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)
        self._actions: Any = None
        self.reset_infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        self._returns = np.zeros(self.num_envs)
        self._lengths = np.zeros(self.num_envs, np.int64)
        self._start = time.time()

    @property
    def env(self) -> types.VectorEnv:
        """The vector environment."""
        env: types.VectorEnv = self._env
        return env

    def reset(self) -> types.Observation | np.ndarray:
        """Begins an episode of every user, with the seed of the last :meth:`seed` if there was one.

        Returns:
            The first observations, with the users on axis 0.
        """
        observation, _ = self._env.reset(seed=self._seeds[0])
        self._reset_seeds()
        self._reset_options()
        self.reset_infos = [{} for _ in range(self.num_envs)]
        self._returns[:] = 0.0
        self._lengths[:] = 0
        first: types.Observation | np.ndarray = trees.writable(observation)
        return first

    def step_async(self, actions: np.ndarray) -> None:
        """Takes the actions for :meth:`step_wait`.

        Args:
            actions: with the users on axis 0.
        """
        self._actions = actions

    def step_wait(
        self,
    ) -> tuple[types.Observation | np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Shows every user a slate.

        Returns:
            The observations, the rewards, whose episodes ended, and the users' infos.

        Raises:
            RuntimeError: if there was no reset before.
            TypeError, ValueError, IndexError: for actions that are not in the action space.
        """
        observation, rewards, terminated, truncated, infos = self._env.step(self._actions)
        rewards = np.array(rewards, np.float32)  # Algorithms change it.
        ended = terminated | truncated
        self._returns += rewards
        self._lengths += 1
        infos_by_user: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if "final_obs" in infos:
            only_truncated = truncated & ~terminated
            self._describe_ended(ended, only_truncated, infos["final_obs"].batch, infos_by_user)
        return trees.writable(observation), rewards, ended, infos_by_user

    def _describe_ended(
        self,
        ended: np.ndarray,
        only_truncated: np.ndarray,
        last: types.Observation | np.ndarray,
        infos: list[dict[str, Any]],
    ) -> None:
        """Puts into the infos what there is to say of the episodes that ended.

        Args:
            ended: whose episodes ended, bools of shape (n_users,).
            only_truncated: whose episodes ended at the limit on their steps alone, likewise.
            last: the last observations, with the users on axis 0.
            infos: the users' infos.
        """
        rows = ended.nonzero()[0]
        seconds = round(time.time() - self._start, 6)
        returns, lengths = self._returns[rows].tolist(), self._lengths[rows].tolist()
        observations: Any = trees.rows_of(last, rows)  # A copy: it may be changed.
        for number, (row, limit) in enumerate(zip(rows.tolist(), only_truncated[rows].tolist())):
            info = infos[row]
            info["terminal_observation"] = trees.rows_of(observations, number)
            info["TimeLimit.truncated"] = limit
            if self._monitor:
                info["episode"] = {
                    "r": round(returns[number], 6),
                    "l": lengths[number],
                    "t": seconds,
                }
            self.reset_infos[row] = {}
        self._returns[rows] = 0.0
        self._lengths[rows] = 0

    def close(self) -> None:
        """Closes the vector environment."""
        self._env.close()

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Sets the seed of the next :meth:`reset`, from which every user's random stream derives.

        Args:
            seed: an integer >= 0; None for one from the operating system.

        Returns:
            A number for each user, the first of which is the seed.

        Raises:
            TypeError, ValueError: if it is not such an integer.
        """
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        seed = validation.positive_int("seed", seed, 0)
        self._seeds = [seed + row for row in range(self.num_envs)]
        return self._seeds

    def set_options(self, options: list[dict[str, Any]] | dict[str, Any] | None = None) -> None:
        """Refuses options of resets: there are none.

        Args:
            options: None, an empty dictionary, or a list of them.

        Raises:
            ValueError: for an option.
        """
        given = options if isinstance(options, (list, tuple)) else [options]
        if not all(of_user is None or of_user == {} for of_user in given):
            raise ValueError(f"options must be empty: none are known, got {options!r}.")
        self._reset_options()

    def get_attr(self, attr_name: str, indices: None | int | Iterable[int] = None) -> list[Any]:
        """Returns an attribute of the environment, once for each user.

        Args:
            attr_name: its name, such as ``num_candidates``. ``observation_space`` and
                ``action_space`` are those of one user.
            indices: the users; None for all.

        Raises:
            AttributeError: if there is none of that name.
            IndexError: if there are no such users.
        """
        rows = self._rows(indices)
        return [self._attribute(attr_name)] * len(rows)

    def _attribute(self, name: str) -> object:
        name = _OF_ONE_USER.get(name, name)
        for env in (self._env, self._env.unwrapped):
            if hasattr(env, name):
                return getattr(env, name)
        raise AttributeError(
            f"{type(self._env.unwrapped).__name__} has no attribute {name!r}."
            f"{validation.nearest_name(name, dir(self._env.unwrapped))}"
        )

    def set_attr(
        self, attr_name: str, value: object, indices: None | int | Iterable[int] = None
    ) -> None:
        """Sets an attribute of the environment, for all users.

        Args:
            attr_name: its name, such as ``max_steps_per_episode``.
            value: its new value.
            indices: None, or all users.

        Raises:
            AttributeError: if there is none of that name, or it cannot be set.
            IndexError: if there are no such users.
            ValueError: if the users are not all, or the value is not fitting.
        """
        rows = self._rows(indices)
        self._attribute(attr_name)
        if set(rows) != set(range(self.num_envs)):
            raise ValueError(
                f"indices must be None, or all of the {self.num_envs} users, whose environment is "
                f"one, got {rows}: set {attr_name!r} for all of them, or make an environment for "
                "those that shall have it."
            )
        setattr(self._env.unwrapped, _OF_ONE_USER.get(attr_name, attr_name), value)

    def env_method(
        self,
        method_name: str,
        *method_args: object,
        indices: None | int | Iterable[int] = None,
        **method_kwargs: object,
    ) -> list[Any]:
        """Calls a method of the environment once and returns the result, once for each user.

        Args:
            method_name: its name, such as ``reset_metrics``.
            *method_args: its arguments.
            indices: the users for whom to return the result; None for all. What
                ``user_states`` returns is each user's own.
            **method_kwargs: its arguments by name.

        Raises:
            AttributeError: if there is none of that name.
            IndexError: if there are no such users.
            TypeError: if it is not a method.
            ValueError: for ``reset``, ``step`` and ``close``, which this object has itself.
        """
        rows = self._rows(indices)
        if method_name in _NOT_TO_CALL:
            raise ValueError(
                f"method_name must not be {method_name!r}, which moves all users on: call "
                f"{method_name}() of the {type(self).__name__}, or of what it is wrapped in."
            )
        method: Any = self._attribute(method_name)
        if not callable(method):
            raise TypeError(
                f"method_name must be the name of a method, got {method_name!r}, which is "
                f"{numbers.described(method)}: call get_attr."
            )
        result = method(*method_args, **method_kwargs)
        if method_name == "user_states":
            return [trees.rows_of(result, row) for row in rows]
        return [result] * len(rows)

    def env_is_wrapped(
        self, wrapper_class: type[Any], indices: None | int | Iterable[int] = None
    ) -> list[bool]:
        """Says whether each user's environment counts as wrapped: by ``Monitor`` it does.

        Args:
            wrapper_class: a class of wrappers of environments with one user.
            indices: the users; None for all.

        Raises:
            IndexError: if there are no such users.
        """
        return [self._monitor and wrapper_class is Monitor] * len(self._rows(indices))

    def _rows(self, indices: None | int | Iterable[int]) -> list[int]:
        """Returns the numbers of users; raises IndexError if there are no such users."""
        if indices is None:
            return list(range(self.num_envs))
        given = np.atleast_1d(np.array(indices if np.ndim(indices) else [indices]))  # type: ignore[arg-type]
        if given.dtype.kind not in "iu" and given.size:
            raise TypeError(
                f"indices must be integers, the numbers of users, got {numbers.described(indices)}."
            )
        rows: list[int] = given.tolist()
        for row in rows:
            if not -self.num_envs <= row < self.num_envs:
                raise IndexError(
                    f"indices must be numbers of users, 0 to {self.num_envs - 1}, got {row}."
                )
        return [row % self.num_envs for row in rows]


def _check_observation_space(space: types.Space) -> None:
    """Raises ValueError for a space of other observations than an array, or arrays by name."""
    entries = getattr(space, "spaces", {"": space})
    if any(spaces_lib.is_composite(entry) for entry in dict(entries).values()):
        raise ValueError(
            "env must have observations that are an array, or arrays by name, as policies of "
            f"Stable-Baselines3 take them, got the space {_spaces.shown(space)}: make it with "
            "observation='flat' or observation='dict'."
        )


def make_vec_env(
    id: str,
    num_envs: int,
    *,
    observation: str = "flat",
    action: str = "slate",
    monitor: bool = True,
    **settings: object,
) -> RecSimVecEnv:
    """Makes a scenario with users in parallel for Stable-Baselines3.

    Args:
        id: the scenario's id in Gymnasium, such as ``'recsim/InterestEvolution-v0'``, or its name
            here, such as ``'interest_evolution'``.
        num_envs: number of users.
        observation: ``'flat'``, a vector, for ``MlpPolicy``; or ``'dict'``, arrays by name, for
            ``MultiInputPolicy``.
        action: ``'slate'``, indices of candidates, a ``MultiDiscrete`` space; ``'discrete'``, the
            number of a slate among all of different candidates, as DQN needs it; or ``'scores'``, a
            score for each candidate, a ``Box`` space.
        monitor: see :class:`RecSimVecEnv`.
        **settings: entries of the scenario's config, such as ``num_candidates`` and ``seed``, and
            options of its vector environment, such as ``max_episode_steps``, as
            :func:`recsim.simulator.gymnasium_env.make_vec` takes them.

    Raises:
        ImportError: if Stable-Baselines3 is not installed.
        TypeError: for a setting that is not known, naming the nearest.
        KeyError, TypeError, ValueError: for an id, a number or an option that gives no environment.

    Example:
        >>> from recsim import sb3
        >>> env = sb3.make_vec_env("interest_evolution", 64, num_candidates=5, slate_size=1)
        >>> env.reset().shape
        (64, 146)
    """
    if observation == "nested":
        raise ValueError(
            "observation must be 'flat' or 'dict', got 'nested': policies of Stable-Baselines3 "
            "take an array, or arrays by name."
        )
    make_vec: Any = gymnasium.make_vec
    env: types.VectorEnv = make_vec(
        _gymnasium_id(id),
        num_envs,
        vectorization_mode=gymnasium.VectorizeMode.VECTOR_ENTRY_POINT,
        observation=observation,
        action=action,
        **settings,
    )
    return RecSimVecEnv(env, monitor=monitor)


def _gymnasium_id(id: object) -> str:
    """Returns the id of a scenario in Gymnasium.

    Raises:
        TypeError, ValueError: if there is none.
    """
    if not isinstance(id, str):
        raise TypeError(
            "id must be the id of a scenario in Gymnasium, such as 'recsim/InterestEvolution-v0', "
            f"got {numbers.described(id)}."
        )
    entries = {**registry.ENVIRONMENTS, "fitted": registry.FITTED}
    of_name = {
        name: entry.gymnasium_id
        for name, entry in entries.items()
        if entry.gymnasium_id is not None
    }
    if id in of_name or any(id in entry.gymnasium_ids() for entry in entries.values()):
        registry.register_in_gymnasium()  # Entries of a user's own may not be there yet.
        return of_name.get(id, id)
    known = [*of_name.values(), *of_name]
    raise ValueError(
        f"id must be that of a scenario, {', '.join(map(repr, known))}, got {id!r}."
        f"{validation.nearest_name(id, known)}"
    )
