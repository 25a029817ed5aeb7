"""The interface of Gymnasium to an environment with one user: terminated and truncated apart.

Importing recsim lets ``gymnasium.make`` and ``gymnasium.make_vec`` know the scenarios, as
``recsim/InterestExploration-v0``, ``recsim/InterestEvolution-v0``,
``recsim/LongTermSatisfaction-v0`` and ``recsim/TopicBoredom-v0``, whose variants have ids of their
own, such as ``recsim/TopicBoredom-SlateBored-v0``; and ``recsim/Fitted-v0``, whose ``path`` is the
folder of a scenario that was fitted to a log. Both take the entries of an ``env_config`` as
keyword arguments, such as ``num_candidates=20``; ``make_vec`` also takes the options of a vector
environment. Other keywords are a TypeError.

Episodes are truncated after 200 steps in interest exploration, whose episodes have no end of their
own, and after 1,000 in the other scenarios, whose episodes end before unless the config says
otherwise. ``max_episode_steps=…`` sets another limit, and -1 none.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

from recsim import registry, seeding, types
from recsim import spaces as spaces_lib
from recsim._internal import keys, numbers, validation
from recsim._internal.overrides import own_method
from recsim.simulator import _rendering, environment, recsim_gym, rollout

__all__ = ["RecSimGymnasiumEnv", "make", "make_vec"]

#: The config of an environment that is made by its id, where nothing else is said.
DEFAULT_CONFIG = {
    "num_candidates": 10,
    "slate_size": 2,
    "resample_documents": True,
    "seed": 0,
}

# What make takes beside the entries of a config.
_OPTIONS = ("observation", "action", "render_mode", "render_hidden_state", "variant")

# What make_vec takes beside the entries of a config, of which the seed is one.
_VECTOR_OPTIONS = (
    "action",
    "autoreset_mode",
    "candidates",
    "dtype",
    "first_user",
    "max_steps_per_episode",
    "observation",
)
# What it takes beside both.
_FURTHER = ("num_envs", "max_episode_steps", "variant")


class RecSimGymnasiumEnv(gymnasium.Env):
    """An environment with one user as Gymnasium has it.

    An observation is a dictionary of arrays as those of a user in a vector environment: ``user``;
    ``doc``, with the candidates on axis 0, which slates index; and ``response``, with the
    positions of the slate on axis 0, which are zeros after a reset (where zero is not in a space,
    the number in it that is nearest to zero).

    Args:
        env: the environment in RecSim's form, with one user.
        observation: the form of observations, see :class:`recsim.spaces.ObservationForm`.
        action: the form of actions, see :class:`recsim.spaces.ActionForm`.
        render_mode: what is to be seen of the episode: the last slate with the responses, the
            rewards and what is observed of the user. ``'ansi'``: :meth:`render` returns a text.
            ``'human'``: the text is printed at each reset and step; no window is opened.
            ``'rgb_array'``: :meth:`render` returns a picture, uint8 of shape (640, 960, 3), which
            is drawn without a display. None: nothing.
        render_hidden_state: whether the hidden state of the user is to be seen too.

    Raises:
        ValueError: if it has several users, or documents or responses of different spaces; for an
            unknown form or render mode, if there are too many slates for ``action='discrete'``, or
            if ``render_hidden_state`` is set and nothing is rendered.
        NotImplementedError: if a space is not a Box, Discrete, MultiDiscrete or MultiBinary one, or
            a Dict or Tuple of them.
    """

    metadata: dict[str, Any] = {"render_modes": list(_rendering.RENDER_MODES), "render_fps": 2}

    def __init__(
        self,
        env: recsim_gym.RecSimGymEnv,
        *,
        observation: str = "nested",
        action: str = "slate",
        render_mode: str | None = None,
        render_hidden_state: bool = False,
    ) -> None:
        if not types.is_recommender_env(env):
            raise TypeError(
                "env must be a RecSimGymEnv, as the scenarios' create_environment makes, got "
                f"{numbers.described(env)}."
            )
        inner = env.environment
        if rollout.has_several_users(env):
            raise ValueError(f"env must have one user, got one with {len(inner.user_model)} users.")
        known = _rendering.RENDER_MODES
        if render_mode is not None and render_mode not in known:
            raise ValueError(
                f"render_mode must be None or one of {', '.join(map(repr, known))}, got "
                f"{numbers.described(render_mode)}."
                f"{validation.nearest_name(str(render_mode), known)}"
            )
        self.render_mode = render_mode
        self._render_hidden_state = validation.flag("render_hidden_state", render_hidden_state)
        if render_hidden_state and render_mode is None:
            raise ValueError(
                "render_hidden_state needs a render_mode, got None: nothing is rendered without."
            )
        self._episode: _rendering.Episode | None = None
        self._env = env
        self._stacked = spaces_lib.ObservationStacker(
            spaces_lib.spaces_of(env), inner.num_candidates, inner.slate_size, many=False
        )
        self._form = spaces_lib.ObservationForm(observation, self._stacked.space)
        self._actions = spaces_lib.ActionForm(action, inner.num_candidates, inner.slate_size)
        self.observation_space = self._form.space
        self.action_space = self._actions.space

    @property
    def recsim_env(self) -> recsim_gym.RecSimGymEnv:
        """The environment in RecSim's form."""
        return self._env

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Starts an episode with a new user.

        Args:
            seed: an integer >= 0 that users, documents and choices depend on from now on; None to
                continue as before.
            options: none are known.

        Returns:
            The first observation, and an empty dictionary.

        Raises:
            ValueError: for an option.
        """
        if options:
            raise ValueError(f"options must be empty: none are known, got {options!r}.")
        super().reset(seed=seed)
        if seed is not None:
            inner = self._env.environment
            own_method(inner, environment.AbstractEnvironment, "reseed_samplers")(seed)
            self._env.seed(seeding.derived_seed(seed, "choices"))
        observation = self._env.reset()
        if self.render_mode is not None:
            self._episode = _rendering.Episode(observation)
            self._print()
        return self._observed(observation), {}

    def step(
        self, action: Sequence[int] | np.ndarray
    ) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Shows a slate and returns the outcome.

        Args:
            action: up to ``slate_size`` indices of candidates or, where the environment has
                another ``action``, as :class:`recsim.spaces.ActionForm` says.

        Returns:
            The next observation, the reward, whether the episode ended, False (a limit on an
            episode's length is Gymnasium's to set), and an empty dictionary.

        Raises:
            RuntimeError: if there was no reset before.
            TypeError, ValueError, IndexError: for a slate that cannot be shown.
            ValueError: for an observation that is not in its space.
        """
        slate = self._actions.slate(action)
        observation, reward, done, _ = self._env.step(slate)
        number = numbers.finite("the reward", reward)
        if self._episode is not None:
            self._episode.add(slate, observation, number, bool(done))
            self._print()
        return self._observed(observation), number, bool(done), False, {}

    def render(self) -> str | np.ndarray | None:
        """Returns what is to be seen of the last step, as :attr:`render_mode` says.

        Returns:
            A text, a picture, or None for the modes ``'human'``, whose text is printed already,
            and None.

        Raises:
            RuntimeError: if there was no reset before.
        """
        if self.render_mode is None:
            gymnasium.logger.warn(
                "render was called without a render_mode: make the environment with one, as "
                'gymnasium.make(…, render_mode="ansi").'
            )
            return None
        if self._episode is None:
            raise RuntimeError("render was called before reset: call reset() to start an episode.")
        if self.render_mode == "human":
            return None
        if self.render_mode == "ansi":
            return self._text(self._episode)
        return _rendering.picture(self._title, self._episode, self._hidden_state)

    def _print(self) -> None:
        if self.render_mode == "human" and self._episode is not None:
            print(self._text(self._episode), flush=True)

    def _text(self, episode: _rendering.Episode) -> str:
        return _rendering.text(self._title, episode, self._hidden_state)

    @property
    def _title(self) -> str:
        return self.spec.id if self.spec is not None else type(self._env.environment).__name__

    @property
    def _hidden_state(self) -> dict[str, np.ndarray] | None:
        if not self._render_hidden_state:
            return None
        model: Any = self._env.environment.user_model
        return _rendering.hidden_state(getattr(model, "_user_state", None))  # RecSim's name.

    def _observed(self, observation: types.Observation) -> dict[str, Any]:
        """Returns the arrays of an observation in the form that was asked for."""
        converted: Any = self._form(self._stacked(observation))
        of_form: dict[str, Any] = converted
        return of_form


def _config(
    environment_name: str, variant: str | None, settings: dict[str, Any], further: Sequence[str]
) -> dict[str, Any]:
    """Returns the config of a scenario.

    Args:
        environment_name: its name in :data:`recsim.registry.ENVIRONMENTS`.
        variant: the name of a config in ``VARIANTS`` of its module, which goes before the default
            one; or None.
        settings: entries of its config, which go before both.
        further: what else could have been among the settings.

    Raises:
        TypeError: for a setting that the scenario does not know, naming the nearest.
        ValueError: for a variant that it has not.
    """
    entry = registry.environment_entry(environment_name)
    module = importlib.import_module(entry.module)
    own_keys = getattr(module, "CONFIG_KEYS", None)
    if own_keys is not None:  # A scenario of a user's own need not say what it knows.
        known = {*DEFAULT_CONFIG, *own_keys}
        keys.refuse_unknown(f"The environment {environment_name!r}", settings, known, further)
    if variant is None:
        return {**DEFAULT_CONFIG, **settings}
    variants = getattr(module, "VARIANTS", {})
    if not isinstance(variant, str) or variant not in variants:
        raise ValueError(
            f"variant must be one of {', '.join(map(repr, variants)) or 'none'} in the environment "
            f"{environment_name!r}, got {numbers.described(variant)}."
            f"{validation.nearest_name(str(variant), variants)}"
        )
    return {**DEFAULT_CONFIG, **variants[variant], **settings}


def make(
    environment_name: str,
    *,
    observation: str = "nested",
    action: str = "slate",
    render_mode: str | None = None,
    render_hidden_state: bool = False,
    variant: str | None = None,
    **env_config: object,
) -> RecSimGymnasiumEnv:
    """Makes a scenario for Gymnasium's ``make``.

    Args:
        environment_name: its name in :data:`recsim.registry.ENVIRONMENTS`.
        observation: see :class:`RecSimGymnasiumEnv`.
        action: see :class:`RecSimGymnasiumEnv`.
        render_mode: see :class:`RecSimGymnasiumEnv`.
        render_hidden_state: see :class:`RecSimGymnasiumEnv`.
        variant: the name of a config in ``VARIANTS`` of its module, such as ``'slate_bored'`` of
            :mod:`recsim.environments.topic_boredom`; None for none.
        **env_config: entries of its config; missing ones are those of the variant, then those of
            :data:`DEFAULT_CONFIG`.

    Raises:
        TypeError: for a keyword that is not an entry of a config, naming the nearest.
        KeyError, TypeError, ValueError: for a config that gives no environment.
    """
    config = _config(environment_name, variant, env_config, ("max_episode_steps", *_OPTIONS))
    return RecSimGymnasiumEnv(
        registry.create_environment(environment_name, config),
        observation=observation,
        action=action,
        render_mode=render_mode,
        render_hidden_state=render_hidden_state,
    )


# What Gymnasium's ``make`` looks for: with it, it offers lists of what is rendered too.
make.metadata = RecSimGymnasiumEnv.metadata  # type: ignore[attr-defined]


def make_vec(
    environment_name: str,
    num_envs: int,
    max_episode_steps: int | None = None,
    variant: str | None = None,
    **settings: object,
) -> types.VectorEnv:
    """Makes a scenario for Gymnasium's ``make_vec``.

    Args:
        environment_name: its name in :data:`recsim.registry.ENVIRONMENTS`.
        num_envs: number of users.
        max_episode_steps: episodes are truncated after so many steps; None or -1 for no limit.
            Gymnasium passes the registered limit where its caller gives none.
        variant: see :func:`make`.
        **settings: entries of its config, as :func:`make` takes them, and the options
            ``observation``, ``action``, ``autoreset_mode``, ``candidates``, ``dtype``,
            ``first_user`` and ``max_steps_per_episode`` of
            :class:`recsim.vector.env.RecSimVectorEnv`; the last goes before ``max_episode_steps``.

    Raises:
        TypeError: for a keyword that is neither, naming the nearest.
        KeyError, TypeError, ValueError: for a config or an option that gives no environment.
    """
    if settings.pop("render_mode", None) is not None:
        raise ValueError(
            "render_mode must be None for users in parallel, who are not rendered: use "
            'gymnasium.make, or vectorization_mode="sync", which has single-user environments.'
        )
    options = {name: settings.pop(name) for name in _VECTOR_OPTIONS if name in settings}
    limit = None if max_episode_steps == -1 else max_episode_steps
    options.setdefault("max_steps_per_episode", limit)
    config = _config(environment_name, variant, settings, (*_FURTHER, *_VECTOR_OPTIONS))
    return registry.create_vector_environment(environment_name, config, num_envs, **options)
