"""The Wolpertinger agent: an actor's vector, the items near it, and a critic that chooses.

Dulac-Arnold et al., "Deep Reinforcement Learning in Large Discrete Action Spaces"
(arXiv 1512.07679). The vector is learned by deterministic policy gradients (Lillicrap et al.,
"Continuous Control with Deep Reinforcement Learning", ICLR 2016). Slates of several items, and
targets of the next slate as it was shown, are this library's.
"""

from __future__ import annotations

from recsim import types
from recsim._internal import validation
from recsim._internal.configurable import configurable
from recsim.agents import _learner, _with_learner, adapters
from recsim.agents.actor_critics import agent as agent_lib
from recsim.agents.actor_critics import learner as learner_lib
from recsim.agents.actor_critics import vector_agent, wolpertinger

__all__ = ["VectorWolpertingerAgent", "WolpertingerAgent"]

_NUM_NEIGHBORS = 10
_NOISE = 1.0


@configurable()
class WolpertingerAgent(agent_lib.ItemVectorAgent):
    """Shows those of the items nearest to an actor's vector that a critic values most.

    Args:
        observation_space: space of the observations.
        action_space: the ``MultiDiscrete`` space of slates.
        num_neighbors: number of nearest items that the critic chooses among, >= 1; those of a slate
            at least, and all candidates at most. In training the nearest are shown.
        noise: length of what is added to the vector in training, in units of items' lengths, >= 0.
        eval_mode: whether the agent only recommends.
        **kwargs: arguments of :class:`recsim.agents.actor_critics.agent.ItemVectorAgent`, but
            ``method``.

    Raises:
        TypeError, ValueError: for arguments or spaces that give no agent.

    Example:
        >>> from recsim.environments import topic_boredom
        >>> env = topic_boredom.create_environment(
        ...     {"num_candidates": 100, "slate_size": 3, "resample_documents": True, "seed": 0})
        >>> agent = WolpertingerAgent(env.observation_space, env.action_space)
        >>> len(agent.begin_episode(env.reset()))
        3
    """

    def __init__(
        self,
        observation_space: types.DictSpace,
        action_space: types.SlateSpace,
        *,
        num_neighbors: int = _NUM_NEIGHBORS,
        noise: float = _NOISE,
        eval_mode: bool = False,
        **kwargs: object,
    ) -> None:
        method = {"num_neighbors": num_neighbors, "noise": noise}
        settings = _with_learner.settings_of(type(self), kwargs)
        super().__init__(
            observation_space, action_space, method=method, eval_mode=eval_mode, **settings
        )

    @classmethod
    def learner_of(
        cls,
        settings: learner_lib.Settings,
        adapter: adapters.ObservationAdapter,
        slate_size: int,
        *,
        num_neighbors: int = _NUM_NEIGHBORS,
        noise: float = _NOISE,
    ) -> learner_lib.ActorCriticLearner:
        """See :meth:`recsim.agents.actor_critics.agent.ItemVectorAgent.learner_of`."""
        return wolpertinger.WolpertingerLearner(
            validation.positive_int("num_neighbors", num_neighbors),
            validation.non_negative_float("noise", noise),
            settings,
            _learner.Sizes.of(adapter, slate_size, cls, settings.recurrent_units),
        )


class VectorWolpertingerAgent(vector_agent.VectorItemVectorAgent):
    """Recommends to users in parallel, and learns from them, as :class:`WolpertingerAgent` does.

    Args:
        environment: the environment to recommend in.
        **kwargs: arguments of
            :class:`recsim.agents.actor_critics.vector_agent.VectorItemVectorAgent` and
            :class:`WolpertingerAgent`.
    """

    single_user_class = WolpertingerAgent
