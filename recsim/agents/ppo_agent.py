"""Proximal policy optimization (PPO) of slates.

The policy samples slates without replacement by a softmax of items' scores. Its gradient is that of
slates' exact log-probabilities, weighted by advantages; a slate that has become much more or less
likely than when it was shown has none (Schulman et al., "Proximal Policy Optimization
Algorithms", arXiv 1707.06347).
"""

from __future__ import annotations

from recsim import types
from recsim._internal import validation
from recsim._internal.configurable import configurable
from recsim.agents import _with_learner
from recsim.agents.policy_gradients import agent as agent_lib
from recsim.agents.policy_gradients import objectives, vector_agent

__all__ = ["PPOAgent", "VectorPPOAgent"]

_CLIP_RANGE = 0.2


@configurable()
class PPOAgent(agent_lib.SlatePolicyAgent):
    """Learns a policy over slates by PPO.

    Args:
        observation_space: space of the observations.
        action_space: the ``MultiDiscrete`` space of slates.
        clip_range: by how much the ratio of a slate's probability to that when it was shown may
            leave 1 before its gradient is left out, above 0.
        eval_mode: whether the agent only recommends.
        **kwargs: arguments of
            :class:`recsim.agents.policy_gradients.agent.SlatePolicyAgent`, but ``objective``.

    Raises:
        TypeError, ValueError: for arguments or spaces that give no agent.

    Example:
        >>> from recsim.environments import interest_evolution
        >>> env = interest_evolution.create_environment(
        ...     {"num_candidates": 4, "slate_size": 2, "resample_documents": True, "seed": 0})
        >>> ppo = PPOAgent(env.observation_space, env.action_space, update_period=100)
        >>> observation = env.reset()
        >>> slate = ppo.begin_episode(observation)
        >>> bool(0.0 < ppo.propensities(observation, slate).slate < 1.0)
        True
    """

    def __init__(
        self,
        observation_space: types.DictSpace,
        action_space: types.SlateSpace,
        *,
        clip_range: float = _CLIP_RANGE,
        eval_mode: bool = False,
        **kwargs: object,
    ) -> None:
        objective = self.objective_of(0, clip_range=clip_range)
        settings = _with_learner.settings_of(type(self), kwargs)
        super().__init__(
            observation_space, action_space, objective=objective, eval_mode=eval_mode, **settings
        )

    @classmethod
    def objective_of(
        cls, slate_size: int, *, clip_range: float = _CLIP_RANGE
    ) -> objectives.Objective:
        """See :meth:`recsim.agents.policy_gradients.agent.SlatePolicyAgent.objective_of`."""
        del slate_size
        return objectives.ClippedSurrogate(validation.positive_float("clip_range", clip_range))


class VectorPPOAgent(vector_agent.VectorSlatePolicyAgent):
    """Recommends to users in parallel, and learns from them, as :class:`PPOAgent` does.

    Args:
        environment: the environment to recommend in.
        **kwargs: arguments of
            :class:`recsim.agents.policy_gradients.vector_agent.VectorSlatePolicyAgent` and
            :class:`PPOAgent`.
    """

    single_user_class = PPOAgent
