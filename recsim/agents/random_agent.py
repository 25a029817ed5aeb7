"""Agents that recommend documents at random."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from recsim import agent, types
from recsim._internal import action_masks, observations, paths, validation
from recsim.agents import _propensities
from recsim.agents._action_masks import masked_propensities
from recsim.agents._action_masks.allowed_slates import AllowedSlates
from recsim.vector import agent as vector_agent

__all__ = ["RandomAgent", "VectorRandomAgent"]


class RandomAgent(agent.AbstractEpisodicRecommenderAgent):
    """Recommends a random slate, all equally likely, without repetition.

    Where documents have an ``action_mask``, positions are filled in turn, each by a document that
    may stand there, all equally likely.

    Args:
        action_space: the ``MultiDiscrete`` space of slates.
        random_seed: seed of the agent's generator.

    To be served under masks it is saved with an ``observation_space``, see :meth:`save`.
    """

    def __init__(self, action_space: types.SlateSpace, random_seed: int | None = 0) -> None:
        super().__init__(action_space)
        self._rng = validation.random_state("random_seed", random_seed)

    def step(self, reward: float, observation: types.Observation) -> list[int]:
        """Returns up to ``slate_size`` indices into ``observation['doc']``."""
        del reward
        try:
            documents = list(range(len(observation["doc"])))
        except (IndexError, KeyError, TypeError):
            raise observations.without_entry(observation, "doc") from None
        allowed = AllowedSlates.of(observation, self._slate_size)
        if allowed is not None:
            slates = allowed.random(self._rng.random_sample((1, self._slate_size)))
            slate: list[int] = slates[0].tolist()
            return slate
        self._rng.shuffle(documents)
        return documents[: self._slate_size]

    def serving(self) -> agent.Serving:
        """See :meth:`recsim.agent.AbstractRecommenderAgent.serving`."""
        return dataclasses.replace(
            super().serving(), response_fields=(), any_slate_size=True, any_number_of_items=True
        )

    def user_state(self) -> None:
        """Returns None: it knows nothing of users."""

    def load_user_state(self, state: None) -> None:
        """Does nothing."""

    def propensities(
        self, observation: types.Observation, slate: types.Slate
    ) -> types.Propensities | None:
        """See :meth:`recsim.types.KnowsPropensities.propensities`."""
        allowed = AllowedSlates.of(observation, self._slate_size)
        known = masked_propensities.random(slate, len(observation["doc"]), allowed)
        return _propensities.if_known(known)

    def explain(self, observation: types.Observation) -> types.Explanation:
        """See :meth:`recsim.types.Explains.explain`: all candidates are equally likely."""
        number = len(observation["doc"])
        masks = action_masks.observed(observation["doc"], self._slate_size)
        if masks is not None:
            positions = {"positions that it may have": masks[0].sum(axis=1)}
            return types.Explanation(
                "Random: each position has one of the documents that may stand there.",
                [types.ExplanationTable("candidate", range(number), positions)],
            )
        probability = min(self._slate_size, number) / number
        shown = {"probability of being shown": np.full(number, probability)}
        return types.Explanation(
            "Random: all slates are equally likely.",
            [types.ExplanationTable("candidate", range(number), shown)],
        )


class VectorRandomAgent(vector_agent.ChunkedVectorAgent):
    """Recommends random slates, without repetition, to users in parallel.

    Args:
        environment: the vector environment to recommend in.
        random_seed: seed of the slates, an integer >= 0.
    """

    def __init__(self, environment: vector_agent.UsersAndSpaces, random_seed: int = 0) -> None:
        super().__init__(environment)
        self._random_seed = validation.positive_int("random_seed", random_seed, 0)
        self._make_streams(random_seed, "random agent")

    def _slates_of_chunks(self, observation: types.Observation) -> Iterator[np.ndarray]:
        masks = action_masks.observed(observation["doc"], self._slate_size)
        for stream, rows in zip(self._streams, self._rows, strict=True):
            if masks is None:
                yield stream.slates(self._num_candidates, self._slate_size)
            else:
                yield AllowedSlates(masks[rows]).random(stream.uniform(self._slate_size))

    def save(self, path: paths.Path) -> None:
        """See :meth:`recsim.vector.agent.AbstractVectorAgent.save`."""
        space = self._single_user_space()
        masked = action_masks.are_in(space)  # Without masks it needs no features of items.
        self.single_user_agent().save(path, observation_space=space if masked else None)

    def single_user_agent(self) -> RandomAgent:
        """See :meth:`recsim.vector.agent.AbstractVectorAgent.single_user_agent`."""
        return RandomAgent(self._made_for[1], self._random_seed)

    def propensities(
        self, observation: types.Observation, slate: types.Slate
    ) -> types.Propensities | None:
        """See :meth:`recsim.types.KnowsPropensities.propensities`."""
        allowed = AllowedSlates.of(observation, self._slate_size)
        known = masked_propensities.random(slate, self._num_candidates, allowed)
        return _propensities.if_known(known)
