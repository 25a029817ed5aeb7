"""A layer that shows its base agent the last observations."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from recsim import agent, types
from recsim._internal import bundles, observations, validation
from recsim._internal.gym_import import spaces
from recsim.agents.layers import sufficient_statistics

__all__ = ["FixedLengthHistoryLayer"]

_PARTS = ("user", "response", "doc")


class FixedLengthHistoryLayer(sufficient_statistics.SufficientStatisticsLayer):
    """Shows a base agent the last observations of the episode, the newest first.

    The statistics are a tuple of ``history_length`` dictionaries with the remembered parts of the
    observations. At the first steps of an episode, where there are fewer observations, its last
    entries are None (which the space does not tell).

    Args:
        base_agent_ctor: constructor of the base agent.
        observation_space: space of the observations.
        action_space: the ``MultiDiscrete`` space of slates.
        history_length: number of observations to remember, at least 1.
        remember_user: whether to remember ``observation['user']``.
        remember_response: whether to remember ``observation['response']``.
        remember_doc: whether to remember ``observation['doc']``.
        **kwargs: further arguments for the base agent.

    Raises:
        TypeError: if ``history_length`` is not an integer.
        ValueError: if ``history_length`` is below 1.
    """

    def __init__(
        self,
        base_agent_ctor: Callable[..., Any],
        observation_space: types.DictSpace,
        action_space: types.SlateSpace,
        history_length: int,
        remember_user: bool = True,
        remember_response: bool = True,
        remember_doc: bool = False,
        **kwargs: Any,
    ) -> None:
        self._history_length = validation.positive_int("history_length", history_length)
        remember = dict(zip(_PARTS, (remember_user, remember_response, remember_doc)))
        self._features = [
            feature
            for feature, wanted in remember.items()
            if validation.flag(f"remember_{feature}", wanted)
        ]
        observations.check_space(observation_space, "user", *self._features)
        parts: Mapping[str, Any] = observation_space.spaces
        self._document_keys = tuple(getattr(parts.get("doc"), "spaces", ()))
        remembered_space = spaces.Dict({feature: parts[feature] for feature in self._features})
        super().__init__(
            base_agent_ctor,
            observation_space,
            action_space,
            spaces.Tuple((remembered_space,) * self._history_length),
            **kwargs,
        )

    def serving(self) -> agent.Serving:
        """See :meth:`recsim.agent.AbstractRecommenderAgent.serving`."""
        serving = self._serving_of_base_agents()
        remember = {f"remember_{name}": name in self._features for name in _PARTS}
        remembers_response = "response" in self._features
        return dataclasses.replace(
            serving,
            settings={
                "base_agent_ctor": self._base_agents[0],
                "history_length": self._history_length,
                **remember,
            },
            response_fields=None if remembers_response else serving.response_fields,
            any_slate_size=serving.any_slate_size and not remembers_response,
            any_number_of_items=serving.any_number_of_items and "doc" not in self._features,
        )

    def load_user_state(self, state: types.State) -> None:
        """Restores what :meth:`user_state` returned."""
        # Nothing in a history ever changes.
        self._load_user_state(state, copy.copy)

    def _create_observation(self) -> tuple[dict[str, Any] | None, ...]:
        return tuple(self._sufficient_statistics)

    def _update(self, observation: agent.Observation) -> None:
        history = self._sufficient_statistics or [None] * self._history_length
        # A copy, for it is shown again when the environment may have changed the original.
        newest = copy.deepcopy({feature: observation[feature] for feature in self._features})
        if "doc" in newest and newest["doc"].keys() != set(self._document_keys):
            # Resampled documents have other IDs than the space of the statistics.
            newest["doc"] = dict(zip(self._document_keys, newest["doc"].values()))
        self._sufficient_statistics = [newest, *history[:-1]]

    def _check_statistics(self, statistics: object) -> None:
        if (
            not isinstance(statistics, list)
            or len(statistics) != self._history_length
            or not all(each is None or isinstance(each, dict) for each in statistics)
        ):
            wanted = f"a list of {self._history_length} observations"
            bundles.refuse(self, "sufficient_statistics", wanted, statistics)
