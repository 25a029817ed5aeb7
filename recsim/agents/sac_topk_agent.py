"""Soft actor-critic (SAC) with top-k: items by their products with an actor's vector.

Haarnoja et al., "Soft Actor-Critic" (ICML 2018) and "Soft Actor-Critic Algorithms and
Applications" (arXiv 1812.05905), with slates of the top items as in Deffayet et al., "Generative
Slate Recommendation with Reinforcement Learning" (WSDM 2023), where it is a baseline.
"""

from __future__ import annotations

from recsim import types
from recsim._internal import validation
from recsim._internal.configurable import configurable
from recsim.agents import _learner, _with_learner, adapters
from recsim.agents.actor_critics import agent as agent_lib
from recsim.agents.actor_critics import learner as learner_lib
from recsim.agents.actor_critics import soft_actor_critic, vector_agent

__all__ = ["SACTopKAgent", "VectorSACTopKAgent"]

_TARGET_ENTROPY = 0.4
# A little below that of a uniform number in (-1, 1), log 2.
_HIGHEST_ENTROPY = 0.69


@configurable()
class SACTopKAgent(agent_lib.ItemVectorAgent):
    """Shows the items with the largest products with a vector that SAC learns.

    Args:
        observation_space: space of the observations.
        action_space: the ``MultiDiscrete`` space of slates.
        target_entropy: that of vectors is held there, in nats for each entry, in [-5, 0.69]: of
            numbers that are uniform in (-1, 1) it is log 2.
        eval_mode: whether the agent only recommends, by the vectors' means before squashing.
        **kwargs: arguments of :class:`recsim.agents.actor_critics.agent.ItemVectorAgent`, but
            ``method``.

    Raises:
        TypeError, ValueError: for arguments or spaces that give no agent.

    Example:
        >>> from recsim.environments import topic_boredom
        >>> env = topic_boredom.create_environment(
        ...     {"num_candidates": 100, "slate_size": 3, "resample_documents": True, "seed": 0})
        >>> len(SACTopKAgent(env.observation_space, env.action_space).begin_episode(env.reset()))
        3
    """

    def __init__(
        self,
        observation_space: types.DictSpace,
        action_space: types.SlateSpace,
        *,
        target_entropy: float = _TARGET_ENTROPY,
        eval_mode: bool = False,
        **kwargs: object,
    ) -> None:
        settings = {"eval_mode": eval_mode, **_with_learner.settings_of(type(self), kwargs)}
        method = {"target_entropy": target_entropy}
        super().__init__(observation_space, action_space, method=method, **settings)

    @classmethod
    def learner_of(
        cls,
        settings: learner_lib.Settings,
        adapter: adapters.ObservationAdapter,
        slate_size: int,
        *,
        target_entropy: float = _TARGET_ENTROPY,
    ) -> learner_lib.ActorCriticLearner:
        """See :meth:`recsim.agents.actor_critics.agent.ItemVectorAgent.learner_of`."""
        return soft_actor_critic.SACTopKLearner(
            validation.number("target_entropy", target_entropy, -5.0, _HIGHEST_ENTROPY),
            settings,
            _learner.Sizes.of(adapter, slate_size, cls, settings.recurrent_units),
        )


class VectorSACTopKAgent(vector_agent.VectorItemVectorAgent):
    """Recommends to users in parallel, and learns from them, as :class:`SACTopKAgent` does.

    Args:
        environment: the environment to recommend in.
        **kwargs: arguments of
            :class:`recsim.agents.actor_critics.vector_agent.VectorItemVectorAgent` and
            :class:`SACTopKAgent`.
    """

    single_user_class = SACTopKAgent
