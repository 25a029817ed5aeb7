"""Policies of Stable-Baselines3, taken out of trained models and of their files."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import zipfile
from collections.abc import Iterator
from typing import Any, TypeAlias

import cloudpickle
import numpy as np

from recsim import spaces as spaces_lib
from recsim import types
from recsim._internal import numbers, paths, trees
from recsim.sb3 import _extra, _spaces

_extra.require()

import torch  # noqa: E402
from stable_baselines3.common import save_util  # noqa: E402
from stable_baselines3.common.base_class import BaseAlgorithm  # noqa: E402
from stable_baselines3.common.policies import BasePolicy  # noqa: E402
from stable_baselines3.dqn.policies import DQNPolicy  # noqa: E402
from stable_baselines3.td3.policies import TD3Policy  # noqa: E402

from recsim.sb3 import _explanations, _normalization  # noqa: E402

__all__ = ["Recommender", "TrainedPolicy"]

#: Observations as policies take them: an array, or arrays by name.
Observed: TypeAlias = types.Observation | np.ndarray

# What of a model's file is for its training alone, and may be code that cannot be read elsewhere.
_NOT_NEEDED = {"lr_schedule": None, "learning_rate": 0.0, "clip_range": 0.2, "clip_range_vf": None}


class TrainedPolicy:
    """A copy of a trained model's policy, which recommends and learns no more.

    Args:
        model: an algorithm of Stable-Baselines3, a policy of its own, or the path of a ``.zip``
            file that ``model.save`` wrote.
        vec_normalize: the ``VecNormalize`` that observations went through in the training, or the
            path of a file that its ``save`` wrote; None for that of the model's environment, if
            there is one.

    Raises:
        TypeError: if they are something else.
        FileNotFoundError: if there is no such file.
        ValueError: if a file is not such a one, weights are not finite, or observations went
            through a wrapper that is not given.
    """

    def __init__(self, model: object, vec_normalize: object = None) -> None:
        last_observation = None
        if isinstance(model, (str, os.PathLike)):
            self.policy, last_observation = _loaded(model)
        elif isinstance(model, BaseAlgorithm):
            self.policy = _copied(model.policy)
            last_observation = getattr(model, "_last_obs", None)
            if vec_normalize is None:
                vec_normalize = model.get_vec_normalize_env()
        elif isinstance(model, BasePolicy):
            self.policy = _copied(model)
        else:
            raise TypeError(
                "model must be a model of Stable-Baselines3, such as a PPO, one of its policies, "
                f"or the path of a file that model.save wrote, got {numbers.described(model)}."
            )
        self.policy.optimizer = None  # It is for training.
        self.policy.to("cpu")
        self.policy.set_training_mode(False)
        for name, weights in self.policy.state_dict().items():
            if not bool(torch.isfinite(weights).all()):
                raise ValueError(
                    f"model must have finite weights, got {name!r} with others: its training "
                    "diverged."
                )
        self._normalize = _normalization.normalization(vec_normalize)
        if self._normalize is None:
            _check_observation(self.observation_space, last_observation)

    @property
    def observation_space(self) -> types.Space:
        """The space of the observations that it was trained with, before any normalization."""
        if self._normalize is None:
            space: types.Space = self.policy.observation_space
            return space
        return self._normalize.space

    @property
    def action_space(self) -> types.Space:
        """The space of its actions."""
        space: types.Space = self.policy.action_space
        return space

    def digest(self) -> str:
        """Returns the SHA-256 of the weights, and of the statistics that observations go by."""
        digest = hashlib.sha256()
        for name, weights in sorted(self.policy.state_dict().items()):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(weights.numpy()).tobytes())
        if self._normalize is not None:
            for key, mean in self._normalize.means.items():
                digest.update(f"{key}".encode())
                digest.update(mean.tobytes() + self._normalize.variances[key].tobytes())
        return digest.hexdigest()

    @property
    def samples(self) -> bool:
        """Whether it samples actions in training, rather than adding noise to the best one."""
        return not isinstance(self.policy, (DQNPolicy, TD3Policy))

    def actions(self, observations: Observed, seed: int | None) -> np.ndarray:
        """Returns actions, with the users on axis 0.

        PyTorch's global generator is as it was afterwards.

        Args:
            observations: with the users on axis 0.
            seed: seed of the actions that are sampled; None for the most probable ones.
        """
        observations = self._normalized(observations)
        with _one_thread():
            if seed is None:
                return self._predicted(observations, deterministic=True)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                return self._predicted(observations, deterministic=False)

    def explanation(self, observation: Observed, form: spaces_lib.ActionForm) -> types.Explanation:
        """Returns what the policy goes by.

        Args:
            observation: what it observes of one user, arrays with an axis of length 1 first.
            form: the form of its actions.
        """
        observation = self._normalized(observation)
        with _one_thread():
            actions = self._predicted(observation, deterministic=True)
            return _explanations.explanation(self.policy, observation, form, actions)

    def _normalized(self, observations: Observed) -> Observed:
        return observations if self._normalize is None else self._normalize(observations)

    def _predicted(self, observations: object, *, deterministic: bool) -> np.ndarray:
        actions, memory = self.policy.predict(observations, deterministic=deterministic)
        if memory is not None:
            raise NotImplementedError(
                f"model must not be recurrent, got a {type(self.policy).__name__}, which remembers "
                "what it observed before."
            )
        of_users: np.ndarray = actions
        return of_users


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Lets PyTorch compute with one thread: results then do not depend on how many there are."""
    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Recommender:
    """Makes slates of the observations of an environment, as a policy was trained to.

    Args:
        policy: the policy.
        observation_form: the form of the environment's observations that it was trained with.
        action_form: the form of its actions.

    Raises:
        ValueError: if the spaces of these forms are not those of the policy.
    """

    def __init__(
        self,
        policy: TrainedPolicy,
        observation_form: spaces_lib.ObservationForm,
        action_form: spaces_lib.ActionForm,
    ) -> None:
        for name, form, space in (
            ("observation", observation_form, policy.observation_space),
            ("action", action_form, policy.action_space),
        ):
            if not _spaces.same(form.space, space):
                raise ValueError(
                    f"The model was trained with {name}={form.form!r} of the space "
                    f"{_spaces.shown(space)}, and environment has {_spaces.shown(form.space)} in "
                    "this form: make it with the scenario, num_candidates and slate_size of the "
                    "training."
                )
        self._policy = policy
        self._observation_form = observation_form
        self._action_form = action_form
        #: What tells the model from others.
        self.digest = policy.digest()

    def explanation(self, observation: types.Observation) -> types.Explanation:
        """Returns what the policy goes by.

        Args:
            observation: one user's, nested arrays with an axis of length 1 first.
        """
        return self._policy.explanation(self._observed(observation), self._action_form)

    def _observed(self, observation: types.Observation) -> Observed:
        """Returns the environment's observation as the policy takes it."""
        in_form: Any = self._observation_form(observation, 1)
        observed: Observed = trees.writable(in_form)
        return observed

    def slates(
        self, observation: types.Observation, num_users: int, seed: int | None
    ) -> np.ndarray:
        """Returns slates, integers of shape (num_users, slate_size).

        Args:
            observation: the environment's, nested arrays with the users on axis 0.
            num_users: number of users.
            seed: seed of the slates that are sampled; None for the most probable ones.
        """
        actions = self._policy.actions(self._observed(observation), seed)
        slates: np.ndarray = self._action_form.slates(actions, num_users)
        return slates


def _copied(policy: BasePolicy) -> BasePolicy:
    """Returns a copy of a policy, which may be in training, and have classes of a script's."""
    return pickle.loads(cloudpickle.dumps(policy))  # noqa: S301  # Written here.


def _loaded(path: paths.Path) -> tuple[BasePolicy, object]:
    """Returns the policy in a model's file, and the last observation of its training."""
    file = paths.absolute("model", path)
    if not os.path.exists(file) and os.path.exists(file + ".zip"):
        file += ".zip"  # As the models' own load has it.
    if not os.path.isfile(file):
        raise FileNotFoundError(
            f"model must be the path of a model's file, got {file!r}: there is none."
        )
    if not zipfile.is_zipfile(file):
        raise ValueError(f"model must be the path of a file that model.save wrote, got {file!r}.")
    data, weights, _ = save_util.load_from_zip_file(file, device="cpu", custom_objects=_NOT_NEEDED)
    missing = {"policy_class", "observation_space", "action_space", "policy_kwargs"} - set(
        data or {}
    )
    if missing or "policy" not in weights:
        raise ValueError(
            f"model must be the path of a file that model.save wrote, got {file!r}, which has no "
            f"{', '.join(sorted(missing)) or 'weights of a policy'}."
        )
    settings = dict(data["policy_kwargs"])
    if data.get("use_sde"):
        settings["use_sde"] = True
    with torch.random.fork_rng(devices=[]):  # Weights are sampled before they are replaced.
        policy = data["policy_class"](
            data["observation_space"], data["action_space"], _no_learning, **settings
        )
    policy.load_state_dict(weights["policy"])
    return policy, data.get("_last_obs")


def _no_learning(progress_remaining: float) -> float:
    """Returns the learning rate of a policy that learns no more."""
    del progress_remaining
    return 0.0


def _check_observation(space: types.Space, last: object) -> None:
    """Raises ValueError if a model was trained on observations that are not in its space.

    Args:
        space: the space.
        last: the last observations of the training; None if they are not known.
    """
    if last is not None and not _is_inside(space, last):
        raise ValueError(
            "The model was trained with observations outside of their space: they went through a "
            "wrapper. Pass a VecNormalize, or the path of its file, as vec_normalize; models that "
            "were trained in other wrappers, such as VecFrameStack, are not taken."
        )


def _is_inside(space: types.Space, observations: object) -> bool:
    """Says whether observations are within the bounds of their space, where it has some."""
    given: Any = observations
    try:
        for path, leaf in spaces_lib.leaves(space):
            if spaces_lib.kind_of(leaf) == "Box":
                array = np.asarray(given[path[0]] if path else given)
                low, high = spaces_lib.bounds(leaf)
                if not ((array >= low) & (array <= high)).all():
                    return False
    except (KeyError, IndexError, TypeError, ValueError):
        return True  # They are of another kind, which the environments' spaces tell.
    return True
