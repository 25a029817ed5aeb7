"""The classic Gym interface: ``reset() -> obs``, ``step() -> (obs, reward, done, info)``."""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any

import numpy as np

from recsim import spaces as spaces_lib
from recsim import types
from recsim._internal import global_generator, numbers, owned_generators, shared_stream
from recsim._internal.gym_import import gym, spaces
from recsim.simulator import environment, fingerprint

__all__ = ["RecSimGymEnv"]

Metrics = types.Metrics


def _dummy_metrics_aggregator(responses: object, metrics: Metrics, info: object) -> Metrics:
    del responses, info  # There is nothing to count.
    return metrics


def _dummy_metrics_writer(metrics: Metrics, add_summary_fn: Callable[[str, float], None]) -> None:
    del metrics, add_summary_fn  # There is nothing to write.


class RecSimGymEnv(gym.Env[dict[str, Any], Any]):
    """An environment with Gym's interface, as in RecSim.

    An observation is a dictionary with the keys ``user``, ``doc`` (a dictionary of documents'
    observations by their IDs as strings, in the order that slates index) and ``response`` (a tuple
    with one response a slate position; None after a reset). With several users, ``user`` is a list
    and ``response`` a tuple with an entry a user.

    Args:
        raw_environment: a SingleUserEnvironment or MultiUserEnvironment.
        reward_aggregator: function of the responses of a step (a list of them; with several users
            a list of lists) that returns the reward, a finite number; with several users a number,
            or one for each user.
        metrics_aggregator: function ``(responses' observations, metrics, info) -> metrics``.
        metrics_writer: function ``(metrics, add_summary_fn)`` that reports the metrics by
            calling ``add_summary_fn(tag, value)``.
    """

    def __init__(
        self,
        raw_environment: environment.AbstractEnvironment,
        reward_aggregator: Callable[[Any], Any],
        metrics_aggregator: Callable[..., Metrics] = _dummy_metrics_aggregator,
        metrics_writer: Callable[..., None] = _dummy_metrics_writer,
    ) -> None:
        self._environment = raw_environment
        self._reward_aggregator = reward_aggregator
        self._metrics_aggregator = metrics_aggregator
        self._metrics_writer = metrics_writer
        self._multi_user = isinstance(raw_environment, environment.MultiUserEnvironment)
        self.reset_metrics()

    # The stream of the choice models in an environment of another base class, which has none.
    _substitute_rng: np.random.RandomState | None = None
    # How many resets and steps are still watched for samples from NumPy's global generator.
    _steps_to_watch = global_generator.WATCHED_STEPS

    @property
    def environment(self) -> environment.AbstractEnvironment:
        """The environment of users and documents behind this one."""
        return self._environment

    @property
    def game_over(self) -> bool:
        """Always False, as in RecSim: ``step`` says when an episode is over."""
        return False

    @property
    def action_space(self) -> spaces.Space[Any]:  # type: ignore[override]
        """Slates: one index into ``observation['doc']`` a position; a Tuple for several users."""
        inner = self._environment
        slates = spaces.MultiDiscrete(np.full(inner.slate_size, inner.num_candidates))
        return spaces.Tuple((slates,) * len(inner.user_model)) if self._multi_user else slates

    @property
    def observation_space(self) -> spaces.Dict:  # type: ignore[override]
        """The space of observations with the current documents' IDs as keys of ``doc``.

        It is made of spaces of gym, in place of those of gymnasium that a scenario may use.
        """
        inner = self._environment
        if self._multi_user:
            models = inner.user_model
            to_gym = spaces_lib.to_gym
            user: spaces.Space[Any] = spaces.Tuple(
                [to_gym(model.observation_space()) for model in models]
            )
            response: spaces.Space[Any] = spaces.Tuple(
                [to_gym(model.response_space()) for model in models]
            )
        else:
            user = spaces_lib.to_gym(inner.user_model.observation_space())
            response = spaces_lib.to_gym(inner.user_model.response_space())
        documents = spaces_lib.to_gym(inner.candidate_set.observation_space())
        return spaces.Dict({"user": user, "doc": documents, "response": response})

    @shared_stream.lends
    def step(self, action: types.Action) -> tuple[dict[str, Any], Any, bool, dict[str, Any]]:  # type: ignore[override]
        """Shows a slate and returns the outcome.

        Args:
            action: up to ``slate_size`` integer indices into the last ``observation['doc']``;
                with several users, a sequence of such slates.

        Returns:
            The next observation, the reward of the slate, whether the episode is over, and a
            dictionary with :attr:`environment` under ``env``.

        Raises:
            RuntimeError: if there was no reset before.
            TypeError, ValueError, IndexError: for a slate that cannot be shown.
            TypeError, ValueError: if the reward is not a finite number (for each user, where
                there are several).
        """
        if self._steps_to_watch:
            inner, observe, aggregate = self._watched_parts()
            user_obs, doc_obs, responses, done = inner.step(action)
        else:
            observe, aggregate = _observe_responses, self._reward_aggregator
            user_obs, doc_obs, responses, done = self._environment.step(action)
        if self._multi_user:
            observed = tuple([observe(of_one_user) for of_one_user in responses])
        else:
            observed = observe(responses)
        observation = {"user": user_obs, "doc": doc_obs, "response": observed}
        reward = aggregate(responses)
        if type(reward) is not float or not isfinite(reward):
            reward = self._checked_reward(reward)
        return observation, reward, done, self.extract_env_info()

    def _checked_reward(self, reward: types.Reward) -> types.Reward:
        """Returns a reward of another kind than a float, if it is one or one for each user."""
        name = "the reward, of reward_aggregator,"
        if self._multi_user:
            rewards = numbers.float_array(name, reward)
            num_users = len(self._environment.user_model)
            if rewards.shape in ((num_users,), (num_users, 1)):
                of_users = [numbers.finite(name, of_user) for of_user in rewards]
                return of_users if rewards.ndim == 2 else reward
            if rewards.size != 1:
                raise ValueError(
                    f"{name} must be a number, or one for each of the {num_users} users, got an "
                    f"array of shape {rewards.shape}: {numbers.described(reward)}."
                )
        number = numbers.finite(name, reward)
        return number if isinstance(reward, (np.ndarray, list, tuple)) else reward

    @shared_stream.lends
    def reset(self) -> dict[str, Any]:  # type: ignore[override]
        """Starts an episode with a new user and returns the first observation."""
        inner: Any = self._environment
        if self._steps_to_watch:
            inner, *_ = self._watched_parts()
        user_obs, doc_obs = inner.reset()
        return {"user": user_obs, "doc": doc_obs, "response": None}

    @property
    def environment_rng(self) -> np.random.RandomState:
        """The random stream that the users share, see :class:`AbstractEnvironment`."""
        rng = getattr(self._environment, "environment_rng", None)
        if rng is None:
            rng = self._substitute_rng
        if rng is None:
            rng = self._substitute_rng = np.random.RandomState(0)
        return rng

    def _watched_parts(self) -> tuple[Any, Callable[[Any], tuple[Any, ...]], Callable[[Any], Any]]:
        """Returns the parts of a step, watched for samples from NumPy's global generator."""
        self._steps_to_watch -= 1
        inner = global_generator.Watched(self._environment, global_generator.IN_ENVIRONMENT)
        aggregate = self._reward_aggregator
        return (
            inner,
            _observe_watched_responses,
            global_generator.watched(aggregate, aggregate, global_generator.IN_RESPONSE),
        )

    def reset_sampler(self) -> None:
        """Sets the samplers of documents and users back to their seeds."""
        self._environment.reset_sampler()

    def render(self, mode: str = "human") -> None:
        """Raises NotImplementedError: an environment has no picture."""
        raise NotImplementedError("a RecSim environment cannot be rendered.")

    def close(self) -> None:
        """Does nothing: there is nothing to release."""

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Seeds the users' choices and transitions; samplers keep ``env_config['seed']``.

        Args:
            seed: an integer in [0, 2**32 - 1], or None for one from the operating system.

        Returns:
            The list ``[seed]``.
        """
        if hasattr(self._environment, "seed"):
            self._environment.seed(seed)
        else:
            self._substitute_rng = np.random.RandomState(seed)
        return [seed]

    def extract_env_info(self) -> dict[str, Any]:
        """Returns the info of a step: :attr:`environment`, under ``env``."""
        return {"env": self._environment}

    def reset_metrics(self) -> None:
        """Sets every metric to zero; runners do it at each iteration, not at each episode."""
        self._metrics: Metrics = collections.defaultdict(float)

    def update_metrics(self, responses: Sequence[Any], info: object = None) -> None:
        """Counts one step's observed responses in the metrics."""
        self._metrics = self._metrics_aggregator(responses, self._metrics, info)

    def write_metrics(self, add_summary_fn: Callable[[str, float], None]) -> None:
        """Reports the metrics by calling ``add_summary_fn(tag, value)``."""
        self._metrics_writer(self._metrics, add_summary_fn)

    def state_dict(self) -> dict[str, Any]:
        """Returns the generators and counters of the environment between two episodes, as data."""
        if not hasattr(self._environment, "state_dict"):
            return {"rng": None}
        state = self._environment.state_dict()
        own = owned_generators.state_of(self, self._environment)
        return {**state, "gym": own} if own and isinstance(state, dict) else state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from a state that :meth:`state_dict` returned; reset comes next.

        Raises:
            ValueError: if the state is of another scenario, or does not fit. The environment stays
                as it was then.
        """
        if not hasattr(self._environment, "load_state_dict"):
            return
        fingerprint.check_state(self._environment, state)
        before = self._environment.state_dict()
        try:
            self._environment.load_state_dict(state)
            own = state.get("gym", {}).get("generators", {})
            owned_generators.restore(self, own, self._environment)
        except Exception as error:
            self._environment.load_state_dict(before)
            raise ValueError(
                f"state does not fit this environment ({error!r}): it must be what "
                "state_dict returned, of an environment made alike."
            ) from error


def _observe_responses(responses: Sequence[types.Response]) -> tuple[Any, ...]:
    return tuple([response.create_observation() for response in responses])


def _observe_watched_responses(responses: Sequence[types.Response]) -> tuple[Any, ...]:
    watch = global_generator.Watch()
    observed = _observe_responses(responses)
    if observed:
        watch.check(responses[0], global_generator.IN_RESPONSE)
    return observed
