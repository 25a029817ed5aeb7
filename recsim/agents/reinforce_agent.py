"""REINFORCE with the top-k correction.

Chen et al., "Top-K Off-Policy Correction for a REINFORCE Recommender System" (WSDM 2019). The
policy samples slates without replacement by a softmax of items' scores; items that are clicked
become likelier by what followed, unless they are in nearly every slate already. See
:class:`recsim.agents.policy_gradients.objectives.TopKReinforce`.
"""

from __future__ import annotations

from recsim import types
from recsim._internal import validation
from recsim._internal.configurable import configurable
from recsim.agents import _with_learner
from recsim.agents.policy_gradients import agent as agent_lib
from recsim.agents.policy_gradients import objectives, vector_agent

__all__ = ["ReinforceAgent", "VectorReinforceAgent"]

_MAX_WEIGHT = 10.0


@configurable()
class ReinforceAgent(agent_lib.SlatePolicyAgent):
    """Learns a policy over slates by REINFORCE with the top-k correction.

    Args:
        observation_space: space of the observations, whose responses have ``click``.
        action_space: the ``MultiDiscrete`` space of slates.
        max_weight: the most that an item's probability now, over that of its having been in the
            slate, counts, above 0.
        eval_mode: whether the agent only recommends.
        **kwargs: arguments of
            :class:`recsim.agents.policy_gradients.agent.SlatePolicyAgent`, but ``objective``.

    Raises:
        TypeError, ValueError: for arguments or spaces that give no agent.

    Example:
        >>> from recsim.environments import interest_evolution
        >>> env = interest_evolution.create_environment(
        ...     {"num_candidates": 4, "slate_size": 2, "resample_documents": True, "seed": 0})
        >>> reinforce = ReinforceAgent(env.observation_space, env.action_space, update_period=100)
        >>> len(reinforce.begin_episode(env.reset()))
        2
    """

    def __init__(
        self,
        observation_space: types.DictSpace,
        action_space: types.SlateSpace,
        *,
        max_weight: float = _MAX_WEIGHT,
        eval_mode: bool = False,
        **kwargs: object,
    ) -> None:
        settings = {"eval_mode": eval_mode, **_with_learner.settings_of(type(self), kwargs)}
        slate_size = len(getattr(action_space, "nvec", ()))
        objective = self.objective_of(slate_size, max_weight=max_weight)
        super().__init__(observation_space, action_space, objective=objective, **settings)

    @classmethod
    def objective_of(
        cls, slate_size: int, *, max_weight: float = _MAX_WEIGHT
    ) -> objectives.Objective:
        """See :meth:`recsim.agents.policy_gradients.agent.SlatePolicyAgent.objective_of`."""
        return objectives.TopKReinforce(
            slate_size, validation.positive_float("max_weight", max_weight)
        )


class VectorReinforceAgent(vector_agent.VectorSlatePolicyAgent):
    """Recommends to users in parallel, and learns from them, as :class:`ReinforceAgent` does.

    Args:
        environment: the environment to recommend in.
        **kwargs: arguments of
            :class:`recsim.agents.policy_gradients.vector_agent.VectorSlatePolicyAgent` and
            :class:`ReinforceAgent`.
    """

    single_user_class = ReinforceAgent
