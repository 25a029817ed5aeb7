"""A layer that holds a base agent's slate for several steps, or charges it for switching."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from recsim import agent, types
from recsim import spaces as spaces_lib
from recsim._internal import action_masks, bundles, numbers, observations, validation
from recsim._internal.gym_import import spaces
from recsim.agents import agent_utils

__all__ = ["TemporalAggregationLayer"]

_TOLERANCE = 1e-4


@dataclasses.dataclass
class _Episode:
    """What a layer knows of the running episode.

    Attributes:
        num_slates: number of slates played so far.
        reward: discounted reward since the last decision, less what this decision cost.
        discount: discount of the next reward.
        slate: indices of the documents of the last slate.
        documents: their observations.
    """

    num_slates: int = 0
    reward: float = 0.0
    discount: float = 1.0
    slate: list[int] = dataclasses.field(default_factory=list)
    documents: tuple[Any, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class _Asked:
    """The observation that a base agent decided after."""

    observation: types.Observation


class TemporalAggregationLayer(agent.AbstractHierarchicalAgentLayer):
    """Lets a base agent decide for several steps at once, or pay for a change of its slate.

    Both make the advantages of actions larger where users change slowly, see "Advantage
    Amplification in Slowly Evolving Latent-State Environments", Mladenov et al.,
    https://arxiv.org/abs/1905.13559. They can be combined.

    The base agent is asked at the first step of an episode and then every ``aggregation_period``
    steps. In between its slate is held: it is built again from the same or equal documents. At
    each decision the base agent gets ``sum_i gamma**i * reward_i`` over the rewards since its last
    decision, less ``switching_cost`` if that decision changed the slate. (The first slate of an
    episode changes nothing.) At the end of the episode it gets what has come together since.

    With a switching cost the base agent sees ``{'original_observation': …, 'last_slate': …}`` in
    the place of the observation of the user: without the slate that it would switch from, its
    task would not be Markovian. ``last_slate`` is a tuple of document observations; at the first
    step of an episode it is made up of the first candidates.

    Args:
        base_agent_ctor: constructor of the base agent, which gets ``action_space``, and where it
            takes them ``observation_space`` and ``gamma``, the discount from decision to
            decision (``gamma**aggregation_period``).
        observation_space: space of the observations.
        action_space: the ``MultiDiscrete`` space of slates.
        gamma: discount of rewards from step to step, in [0, 1].
        aggregation_period: number of steps for which a slate is held, at least 1.
        switching_cost: what a change of the slate costs, at least 0.
        document_comparison_fcn: function of two document observations that says whether they
            count as equal; for decisions on topics, say, it compares the topics. By default the
            entries of ``Box`` spaces must be within 1e-4 and the others equal.
        **kwargs: further arguments for the base agent.

    Raises:
        TypeError: if ``aggregation_period`` is not an integer.
        ValueError: if an argument is out of its range.
    """

    def __init__(
        self,
        base_agent_ctor: Callable[..., Any],
        observation_space: types.DictSpace,
        action_space: types.SlateSpace,
        gamma: float = 0.0,
        aggregation_period: int = 1,
        switching_cost: float = 1.0,
        document_comparison_fcn: Callable[[Any, Any], bool] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(action_space, base_agent_ctor)
        action_masks.refuse(self, observation_space)
        self._gamma = validation.probability("gamma", gamma)
        self._aggregation_period = validation.positive_int("aggregation_period", aggregation_period)
        self._switching_cost = validation.non_negative_float("switching_cost", switching_cost)
        observations.check_space(observation_space, "user", "doc")
        documents = observations.spaces_of_documents(observation_space.spaces["doc"])
        document_space = next(iter(documents.values()))
        validation.callable_or_none("document_comparison_fcn", document_comparison_fcn)
        if document_comparison_fcn is None:
            spaces_lib.flat_size(document_space)  # Which refuses what cannot be compared.
        self._doc_equality_walker = agent_utils.GymSpaceWalker(
            document_space, _leaves_equal
        ).apply_and_flatten
        self._doc_comparator = document_comparison_fcn or self._default_doc_comparator
        self._slate_comparator = self._default_slate_comparator
        self._observation_space = observation_space
        if self._switching_cost > 0:
            parts: Mapping[str, Any] = observation_space.spaces
            user_space = spaces.Dict(
                {
                    "original_observation": parts["user"],
                    "last_slate": spaces.Tuple((document_space,) * self._slate_size),
                }
            )
            observation_space = spaces.Dict({**parts, "user": user_space})
        self._base_observation_space = observation_space
        self._base_agents = [
            agent_utils.build_base_agent(
                base_agent_ctor,
                {
                    "observation_space": observation_space,
                    "gamma": self._gamma**self._aggregation_period,
                },
                of_layer=type(self),
                action_space=action_space,
                **kwargs,
            )
        ]
        self._episode = _Episode()

    # Of the last decision, of which explain tells.
    _asked: _Asked | None = None

    def serving(self) -> agent.Serving:
        """See :meth:`recsim.agent.AbstractRecommenderAgent.serving`."""
        own_comparison = self._doc_comparator != self._default_doc_comparator
        return dataclasses.replace(
            self._serving_of_base_agents(),
            settings={
                "base_agent_ctor": self._base_agents[0],
                "gamma": self._gamma,
                "aggregation_period": self._aggregation_period,
                "switching_cost": self._switching_cost,
                "document_comparison_fcn": self._doc_comparator if own_comparison else None,
            },
            any_slate_size=False,  # A slate that is held is of its size.
        )

    def user_state(self) -> types.State:
        """Returns the episode too, see ``AbstractHierarchicalAgentLayer``."""
        return {**super().user_state(), "episode": dict(vars(self._episode))}

    def load_user_state(self, state: types.State) -> None:
        """Restores what :meth:`user_state` returned."""
        super().load_user_state(state)
        self._episode = _Episode(**state["episode"])

    # RecSim's names of what is known of the running episode.

    @property
    def _step_count(self) -> int:
        return self._episode.num_slates

    @property
    def _last_slate(self) -> tuple[Any, ...] | None:
        return self._episode.documents if self._episode.num_slates else None

    @property
    def _reward_accumulator(self) -> float:
        return self._episode.reward

    @property
    def _gamma_accumulator(self) -> float:
        return self._episode.discount

    def begin_episode(self, observation: agent.Observation | None = None) -> agent.Slate:
        """Starts an episode in the base agent and returns its first slate."""
        self._episode = _Episode()
        _, augmented = self._preprocess_reward_observation(0.0, observation)  # type: ignore[arg-type]
        slate = self._base_agents[0].begin_episode(observation=augmented)
        self._asked = _Asked(augmented)
        return self._decide(slate, observation)  # type: ignore[arg-type]

    def step(self, reward: float, observation: agent.Observation) -> agent.Slate:
        """Returns the held slate, or a new one if it is time for a decision.

        Args:
            reward: the reward of the last slate.
            observation: the newest observation.

        Returns:
            Integer indices into ``observation['doc']``.

        Raises:
            RuntimeError: if a slate is held and one of its documents has no equal any more.
        """
        reward, augmented = self._preprocess_reward_observation(reward, observation)
        if self._episode.num_slates % self._aggregation_period == 0:
            self._asked = _Asked(augmented)
            return self._decide(self._base_agents[0].step(reward, augmented), observation)
        return self._hold(observation)

    def explain(self, observation: agent.Observation) -> types.Explanation | None:
        """See :meth:`recsim.types.Explains.explain`: what the base agent goes by, if it decided.

        Raises:
            RuntimeError: if no episode was begun.
        """
        del observation
        held = (self._episode.num_slates - 1) % self._aggregation_period
        if self._episode.num_slates == 0 or self._asked is None:
            raise RuntimeError("explain tells of the last slate: call begin_episode before it.")
        if held:
            return types.Explanation(
                "The last slate is held.",
                numbers={"steps to the next decision": self._aggregation_period - held},
            )
        base_agent = self._base_agents[0]
        if not types.explains(base_agent):
            return None
        return base_agent.explain(self._asked.observation)

    def end_episode(
        self, reward: float, observation: agent.Observation, *, truncated: bool = False
    ) -> None:
        """Gives the base agent the reward since its last decision and ends its episode."""
        super().end_episode(reward, observation, truncated=truncated)
        self._episode = _Episode()

    def _preprocess_reward_observation(
        self, reward: float, observation: agent.Observation
    ) -> tuple[float, agent.Observation]:
        episode = self._episode
        episode.reward += episode.discount * numbers.finite("reward", reward)
        episode.discount *= self._gamma
        if self._switching_cost == 0:
            return episode.reward, observation
        last_slate = episode.documents
        if episode.num_slates == 0:
            last_slate = tuple(observation["doc"].values())[: self._slate_size]
        user = {"original_observation": observation["user"], "last_slate": last_slate}
        return episode.reward, {**observation, "user": user}

    def _postprocess_actions(self, action_list: list[Any]) -> agent.Slate:
        slate: agent.Slate = action_list[0]
        return slate

    def _decide(self, slate: agent.Slate, observation: agent.Observation) -> agent.Slate:
        """Takes in a decision of the base agent and returns it."""
        episode = self._episode
        all_documents = list(observation["doc"].values())
        # A copy, for it is shown again when the environment may have changed the original.
        documents = copy.deepcopy(tuple(all_documents[index] for index in slate))
        switches = episode.num_slates > 0 and not self._slate_comparator(
            documents, episode.documents
        )
        episode.reward = -self._switching_cost if switches else 0.0
        episode.discount = 1.0
        episode.slate = [int(index) for index in slate]
        episode.documents = documents
        episode.num_slates += 1
        return self._postprocess_actions([slate])

    def _hold(self, observation: agent.Observation) -> list[int]:
        """Builds the last slate again."""
        episode = self._episode
        all_documents = list(observation["doc"].values())
        new_index: dict[int, int] = {}
        for index, wanted in zip(episode.slate, episode.documents, strict=True):
            if index not in new_index:
                new_index[index] = self._find(wanted, index, all_documents, new_index.values())
        episode.slate = [new_index[index] for index in episode.slate]
        episode.num_slates += 1
        return list(episode.slate)

    def _find(
        self, wanted: object, old_index: int, documents: Sequence[object], taken: Collection[int]
    ) -> int:
        """Returns the index of a document equal to ``wanted``, at its old place if it is there."""
        index: int
        for index in (old_index, *range(len(documents))):
            free = index < len(documents) and index not in taken
            if free and self._doc_comparator(documents[index], wanted):
                return index
        raise RuntimeError(
            f"The slate cannot be held for {self._aggregation_period} steps: no document that "
            f"equals {wanted!r} is left among the candidates. Pass a document_comparison_fcn under "
            "which new candidates can equal old ones, or make the environment with "
            "resample_documents=False."
        )

    def _default_slate_comparator(self, slate1: Sequence[Any], slate2: Sequence[Any]) -> bool:
        return len(slate1) == len(slate2) and all(map(self._doc_comparator, slate1, slate2))

    def _default_doc_comparator(self, doc1: object, doc2: object) -> bool:
        return all(self._doc_equality_walker([doc1, doc2]))

    def state_dict(self) -> types.State:
        """Returns the base agent's state and what the layer knows of the episode under way."""
        return {**super().state_dict(), "episode": dataclasses.asdict(self._episode)}

    def load_state_dict(self, state: types.State) -> None:
        """Restores the base agent and the episode under way.

        Raises:
            ValueError: if the episode does not fit, or the base agent refuses its state.
        """
        episode = _Episode()
        if isinstance(state, Mapping):
            episode = self._checked_episode(state.get("episode", {}))
        super().load_state_dict(state)
        self._episode = episode

    def _checked_episode(self, entry: object) -> _Episode:
        """Returns the running episode of a bundle; ValueError if it is none."""
        fields = {field.name for field in dataclasses.fields(_Episode)}
        values = bundles.entries(self, "episode", entry)
        if not values.keys() <= fields:
            bundles.refuse(self, "episode", f"a dictionary of {sorted(fields)}", entry)
        episode = _Episode(**values)
        bundles.count(self, "episode['num_slates']", episode.num_slates)
        bundles.number(self, "episode['reward']", episode.reward)
        bundles.number(self, "episode['discount']", episode.discount)
        if not isinstance(episode.slate, (list, tuple)):
            bundles.refuse(self, "episode['slate']", "a list of indices", episode.slate)
        for index in episode.slate:
            bundles.count(self, "an index of episode['slate']", index)
        if not isinstance(episode.documents, (list, tuple)):
            bundles.refuse(self, "episode['documents']", "a tuple", episode.documents)
        return episode


def _leaves_equal(space: spaces.Space[Any], observations: list[Any]) -> list[bool]:
    """Says whether all observations of a leaf of a document space equal the first."""
    first, *others = observations
    if not isinstance(space, spaces.Box):
        return [all(np.array_equal(first, other) for other in others)]
    return [
        all(
            (np.abs(np.subtract(first, other, dtype=np.float64)) <= _TOLERANCE).all()
            for other in others
        )
    ]
