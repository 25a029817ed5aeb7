"""A layer that treats base agents as the arms of a bandit."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from recsim import agent, seeding, types
from recsim._internal import action_masks, bundles, numbers, validation
from recsim._internal.configurable import configurable
from recsim.agents import agent_utils
from recsim.agents.bandits import algorithms

__all__ = ["AbstractClickBanditLayer", "check_counts"]


@dataclasses.dataclass(frozen=True, slots=True)
class _Choice:
    """A bandit's counts, of shape (num_arms,), and the indices of its arms that they gave."""

    pulls: np.ndarray
    clicks: np.ndarray
    scores: np.ndarray


@configurable()
class AbstractClickBanditLayer(agent.AbstractHierarchicalAgentLayer):
    """Fills slates from base agents (arms) in the order of a bandit's index.

    The arms' impressions and clicks come from the observation (see
    :class:`~recsim.agents.layers.cluster_click_statistics.ClusterClickStatsLayer`). The documents
    of the arm with the highest index come first, then those of the second, until the slate is
    full; it stays short if the arms have fewer documents. As long as some arm was never shown,
    arms go by their impressions, the fewest first. Arms that tie go in the order given at the
    first slate of an episode, and in the reverse order at the later ones.

    Args:
        observation_space: space of the observations, with ``impression_count`` and
            ``click_count`` of shape (num_arms,) in ``['user']['sufficient_statistics']``.
        action_space: the ``MultiDiscrete`` space of slates.
        arm_base_agent_ctors: constructors of the base agents, one for each arm, at least two.
        alg_ctor: class of the bandit algorithm, a subclass of MABAlgorithm.
        ci_scaling: width of the confidence bounds, the bandit's ``optimism_scaling``.
        random_seed: seed of the bandit, whose generator moves on from step to step.
        **kwargs: arguments for the base agents, which also get ``observation_space`` (if they
            take one) and ``action_space``.

    Raises:
        ValueError: if there are fewer than two arms, or the observations have no counts of that
            many arms.
    """

    def __init__(
        self,
        observation_space: types.DictSpace,
        action_space: types.SlateSpace,
        arm_base_agent_ctors: Sequence[Callable[..., Any]],
        alg_ctor: Callable[..., algorithms.MABAlgorithm] = algorithms.UCB1,
        ci_scaling: float = 1.0,
        random_seed: int | None = 0,
        **kwargs: Any,
    ) -> None:
        if not isinstance(arm_base_agent_ctors, (list, tuple)):
            raise TypeError(
                "arm_base_agent_ctors must be a list of constructors of agents, got "
                f"{numbers.described(arm_base_agent_ctors)}."
            )
        for agent_ctor in arm_base_agent_ctors:
            validation.function("each of arm_base_agent_ctors", agent_ctor)
        super().__init__(action_space, *arm_base_agent_ctors)
        action_masks.refuse(self, observation_space)
        self._keep_space(observation_space)
        self._num_arms = validation.positive_int(
            "the number of arms (arm_base_agent_ctors)", len(arm_base_agent_ctors), minimum=2
        )
        check_counts(observation_space, self._num_arms)
        self._alg_ctor = validation.function("alg_ctor", alg_ctor)
        validation.non_negative_float("ci_scaling", ci_scaling)
        validation.random_state("random_seed", random_seed)
        self._params = {"optimism_scaling": ci_scaling}
        self._random_seed = random_seed
        self._bandit = alg_ctor(self._num_arms, dict(self._params), random_seed)
        self._base_agents = [
            agent_utils.build_base_agent(
                agent_ctor,
                {"observation_space": observation_space},
                of_layer=type(self),
                action_space=action_space,
                **kwargs,
            )
            for agent_ctor in arm_base_agent_ctors
        ]

    #: What its arms are, in the singular, see :class:`recsim.types.ExplanationTable`.
    arms_are: ClassVar[str] = "arm"

    # The last choice, of which explain tells.
    _last_choice: _Choice | None = None

    @property
    def bandit(self) -> algorithms.MABAlgorithm:
        """The bandit that orders the arms."""
        return self._bandit

    @property
    def random_seed(self) -> int | None:
        """The seed of the bandit."""
        return self._random_seed

    def serving(self) -> agent.Serving:
        """See :meth:`recsim.agent.AbstractRecommenderAgent.serving`."""
        return dataclasses.replace(
            self._serving_of_base_agents(),
            settings={
                "arm_base_agent_ctors": list(self._base_agents),
                "alg_ctor": self._alg_ctor,
                "ci_scaling": self._params["optimism_scaling"],
            },
        )

    def begin_episode(self, observation: agent.Observation | None = None) -> agent.Slate:
        """Starts an episode in every arm and returns the first slate."""
        actions = [arm.begin_episode(observation=observation) for arm in self._base_agents]
        scores = self._scores(observation)  # type: ignore[arg-type]  # It is given one.
        order = (-scores).argsort(kind="stable")
        return self._postprocess_actions([actions[arm] for arm in order.tolist()])

    def step(self, reward: float, observation: agent.Observation) -> agent.Slate:
        """Returns the next slate, asking arms in their order until it is full.

        Args:
            reward: the reward of the last slate, passed on to the arms.
            observation: the newest observation, with the arms' counts.

        Returns:
            Up to ``slate_size`` different indices into ``observation['doc']``.
        """
        order = self._scores(observation).argsort(kind="stable")[::-1]
        return self._postprocess_actions(
            self._base_agents[arm].step(reward, observation) for arm in order.tolist()
        )

    def _scores(self, observation: types.Observation) -> np.ndarray:
        counts = observation["user"]["sufficient_statistics"]
        pulls = np.asarray(counts["impression_count"])
        clicks = counts["click_count"]
        scores = self._scores_by(self._bandit, pulls, clicks)
        self._last_choice = _Choice(pulls, np.asarray(clicks), scores)
        return scores

    def _scores_by(
        self, bandit: algorithms.MABAlgorithm, pulls: np.ndarray, clicks: np.ndarray
    ) -> np.ndarray:
        """Returns the arms' indices; while some arm was never shown, what stands for them."""
        bandit.set_state(pulls, clicks)
        if np.count_nonzero(pulls) == self._num_arms:
            return bandit.get_score(pulls.sum())
        # Unsigned counts have no negatives.
        fewest_first: np.ndarray = np.negative(pulls, dtype=np.float64)
        return fewest_first

    def explain(self, observation: agent.Observation) -> types.Explanation:
        """See :meth:`recsim.types.Explains.explain`.

        The indices are those of the last choice, so that samples of a posterior are the ones that
        counted.
        """
        counts = observation["user"]["sufficient_statistics"]
        pulls, clicks = np.asarray(counts["impression_count"]), np.asarray(counts["click_count"])
        last = self._last_choice
        if last is None or not (
            np.array_equal(last.pulls, pulls) and np.array_equal(last.clicks, clicks)
        ):
            # Of other counts: what it would go by, without a sample from its own stream.
            scores = self._scores_by(copy.deepcopy(self._bandit), pulls, clicks)
        else:
            scores = last.scores
        columns = {
            "impressions": pulls,
            "clicks": clicks,
            "click rate": np.divide(
                clicks, pulls, out=np.full(pulls.shape, np.nan), where=pulls > 0
            ),
        }
        name = self._bandit.print() if hasattr(self._bandit, "print") else "A bandit"
        if np.count_nonzero(pulls) == self._num_arms:
            columns["index"] = scores
            title = f"{name}: the {self.arms_are} of the highest index comes first."
        else:
            title = f"{name}: the {self.arms_are} that was shown least comes first, at the start."
        return types.Explanation(
            title, [types.ExplanationTable(self.arms_are, range(self._num_arms), columns)]
        )

    def _postprocess_actions(self, action_list: Iterable[Sequence[int]]) -> list[int]:
        """Joins the arms' documents, each once, and asks for no more than the slate needs."""
        slate: dict[int, None] = {}
        for action in action_list:
            for document in action:
                slate[int(document)] = None
                if len(slate) == self._slate_size:
                    return list(slate)
        return list(slate)

    def user_state(self) -> types.State:
        """Returns what the arms know of the user: the bandit's counts are observed, see above."""
        return super().user_state()

    def load_user_state(self, state: types.State) -> None:
        """Restores what :meth:`user_state` returned."""
        super().load_user_state(state)

    def state_dict(self) -> types.State:
        """Returns the arms' states and that of the bandit's generator."""
        return {**super().state_dict(), "bandit_rng_state": seeding.owned_state(self._bandit)}

    def load_state_dict(self, state: types.State) -> None:
        """Restores the arms and the bandit's generator.

        Raises:
            ValueError: if the generator's state does not fit, or an arm refuses its state.
        """
        rng_state = None
        if isinstance(state, Mapping):
            rng_state = state.get("bandit_rng_state")
        own = seeding.owned_state(self._bandit)
        if rng_state is not None and own is not None:
            bundles.generator_state(self, "bandit_rng_state", rng_state, with_normal="gauss" in own)
            if rng_state["bit_generator"] != own["bit_generator"]:
                wanted = f"a state of {own['bit_generator']}"
                bundles.refuse(self, "bandit_rng_state", wanted, rng_state["bit_generator"])
        super().load_state_dict(state)
        if own is not None:
            seeding.restore_owned(self._bandit, rng_state)


def check_counts(observation_space: types.DictSpace, num_arms: int) -> None:
    """Checks that observations have the counts of arms.

    Args:
        observation_space: space of the observations of one user.
        num_arms: number of arms.

    Raises:
        ValueError: if there are no counts of that many arms.
    """
    user_space = getattr(observation_space.spaces["user"], "spaces", {})
    if "sufficient_statistics" not in user_space:
        raise ValueError(
            "observation_space['user'] must contain the key 'sufficient_statistics', got "
            f"{observation_space.spaces['user']}; wrap the agent in ClusterClickStatsLayer."
        )
    statistics_space = user_space["sufficient_statistics"].spaces
    for key in ("impression_count", "click_count"):
        if key not in statistics_space:
            raise ValueError(
                f"observation_space['user']['sufficient_statistics'] must contain the key {key!r},"
                f" got {user_space['sufficient_statistics']}."
            )
        shape = statistics_space[key].shape
        if shape != (num_arms,):
            raise ValueError(
                f"{key} must have an entry for each of the {num_arms} arms, got shape {shape}."
            )
