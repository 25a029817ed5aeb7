"""What makes the agents that are listed in :data:`recsim.registry.AGENTS`.

The functions have the form of an entry's ``create`` and ``create_vector``: they take an environment
and keywords (``seed``, ``eval_mode``, ``summary_writer``, ``training_steps``), and raise ValueError
where the agent cannot recommend in the environment.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from recsim._internal import bindings
from recsim.agents import (
    cluster_bandit_agent,
    contextual_bandit_agent,
    full_slate_q_agent,
    greedy_pctr_agent,
    ppo_agent,
    random_agent,
    reinforce_agent,
    sac_topk_agent,
    slate_decomp_q_agent,
    softmax_agent,
    tabular_q_agent,
    wolpertinger_agent,
)
from recsim.agents.bandits import algorithms
from recsim.agents.dopamine import circular_replay_buffer
from recsim.agents.layers import cluster_click_statistics, recent_slates
from recsim.agents.policy_gradients import learner as policy_learner

if TYPE_CHECKING:
    from recsim import registry, types
    from recsim.vector import env as vector_env

__all__ = [
    "cluster_bandit",
    "contextual_bandit",
    "entry_with_recent_slates",
    "entry_with_recurrent_state",
    "entry_with_suffix",
    "full_slate_q",
    "greedy_pctr",
    "ppo",
    "random",
    "reinforce",
    "sac_topk",
    "slate_q",
    "softmax",
    "tabular_q",
    "vector_cluster_bandit",
    "vector_contextual_bandit",
    "vector_full_slate_q",
    "vector_greedy_pctr",
    "vector_ppo",
    "vector_random",
    "vector_reinforce",
    "vector_sac_topk",
    "vector_slate_q",
    "vector_softmax",
    "vector_with_recent_slates",
    "vector_wolpertinger",
    "with_recent_slates",
    "wolpertinger",
]

# How many transitions deep agents gather before they learn, and remember, by default: RecSim's.
_MOST_WARM_UP = 20_000
_MOST_CAPACITY = 1_000_000
# How often a training with a value of no click copies the network, as in recsim reproduce slateq.
_NO_CLICK_TARGET_UPDATES = 300
_NO_CLICK = "slate_greedy_no_click_q"
# Size of a recurrent state, by default.
_RECURRENT_UNITS = 32


class _Env(Protocol):
    """A single-user environment, as its agents need it."""

    environment: Any
    action_space: types.SlateSpace
    observation_space: types.DictSpace


@dataclasses.dataclass
class _Seen:
    """An environment as an agent below a layer is told of it."""

    environment: Any
    action_space: types.SlateSpace
    observation_space: types.DictSpace


def random(environment: _Env, *, seed: int | None, **_: object) -> types.SlateAgent:
    """Returns an agent that recommends random slates."""
    return random_agent.RandomAgent(environment.action_space, random_seed=seed)


def vector_random(
    environment: vector_env.RecSimVectorEnv, *, seed: int, **_: object
) -> types.VectorAgent:
    """Returns what :func:`random` does, for users in parallel."""
    return random_agent.VectorRandomAgent(environment, seed)


def softmax(
    environment: types.RecommenderEnv, *, seed: int | None, **_: object
) -> types.SlateAgent:
    """Returns an agent that recommends documents of higher scores more often."""
    return softmax_agent.create_agent(environment, seed=seed)


def vector_softmax(environment: types.VectorEnv, *, seed: int, **_: object) -> types.VectorAgent:
    """Returns what :func:`softmax` does, for users in parallel."""
    return softmax_agent.create_vector_agent(environment, seed=seed)


def greedy_pctr(environment: types.RecommenderEnv, **_: object) -> types.SlateAgent:
    """Returns an agent that ranks by the clicks of the average user."""
    return greedy_pctr_agent.create_agent(environment)


def vector_greedy_pctr(environment: types.VectorEnv, **_: object) -> types.VectorAgent:
    """Returns what :func:`greedy_pctr` does, for users in parallel."""
    return greedy_pctr_agent.create_vector_agent(environment)


def cluster_bandit(
    algorithm: str, environment: _Env, *, seed: int | None, **_: object
) -> types.SlateAgent:
    """Returns an agent that learns topics by a bandit algorithm of that name."""
    return cluster_click_statistics.ClusterClickStatsLayer(
        cluster_bandit_agent.ClusterBanditAgent,
        environment.observation_space,
        environment.action_space,
        alg_ctor=getattr(algorithms, algorithm),
        random_seed=seed,
    )


def vector_cluster_bandit(
    algorithm: str, environment: vector_env.RecSimVectorEnv, *, seed: int, **_: object
) -> types.VectorAgent:
    """Returns what :func:`cluster_bandit` does, for users in parallel."""
    return cluster_click_statistics.VectorClusterClickStatsLayer(
        cluster_bandit_agent.VectorClusterBanditAgent,
        environment,
        alg_ctor=getattr(algorithms, algorithm),
        random_seed=seed,
    )


def contextual_bandit(
    explore: str,
    model: str,
    weights: str,
    environment: _Env,
    *,
    seed: int | None,
    eval_mode: bool,
    **_: object,
) -> types.SlateAgent:
    """Returns an agent that learns by a linear or logistic model, and explores in a way."""
    return contextual_bandit_agent.ContextualBanditAgent(
        environment.observation_space,
        environment.action_space,
        explore,
        eval_mode=eval_mode,
        model=model,
        weights=weights,
        seed=seed,
    )


def vector_contextual_bandit(
    explore: str,
    model: str,
    weights: str,
    environment: vector_env.RecSimVectorEnv,
    *,
    seed: int | None,
    eval_mode: bool,
    **_: object,
) -> types.VectorAgent:
    """Returns what :func:`contextual_bandit` does, for users in parallel."""
    return contextual_bandit_agent.VectorContextualBanditAgent(
        environment, explore, eval_mode=eval_mode, model=model, weights=weights, seed=seed
    )


def tabular_q(
    environment: _Env, *, seed: int | None, eval_mode: bool, **_: object
) -> types.SlateAgent:
    """Returns a Q-learner with a table, whose bins follow from the documents' features."""
    return tabular_q_agent.TabularQAgent(
        environment.observation_space,
        environment.action_space,
        eval_mode=eval_mode,
        # Few enough bins that a short training meets most of them.
        discretization_bounds=_feature_bounds(environment.observation_space["doc"]),
        number_bins=11,
        seed=seed,
    )


def _slate_q_settings(environment: object) -> dict[str, Any]:
    """Returns what a scenario says of how SlateQ scores its documents, if it says something."""
    inner: Any = getattr(environment, "environment", environment)
    model = getattr(inner, "user_model", None)
    settings: dict[str, Any] = getattr(model, "slate_q_settings", {})
    return settings


def _feature_bounds(document_space: types.Space) -> tuple[float, float]:
    """Returns the bounds of the features in a Box of documents, (0, 10) where it has none."""
    spaces: dict[str, Any] = getattr(document_space, "spaces", {})
    space: Any = next(iter(spaces.values()), None)
    if hasattr(space, "is_bounded") and space.is_bounded():
        return float(space.low.min()), float(space.high.max())
    return 0.0, 10.0


def _planned(
    training_steps: int | None, *learners: type, num_envs: int = 1, strategy: str = ""
) -> dict[str, Any]:
    """Returns the settings of deep agents that follow from the length of their training.

    They gather a tenth of its transitions before they learn, and remember no more than there are.

    Args:
        training_steps: number of steps of the training, None if there is none to plan for.
        *learners: the classes that are given the settings, which are left to gin where it binds
            them.
        num_envs: number of users in parallel.
        strategy: SlateQ's. One that learns the value of no click copies its target network sooner.
    """
    if training_steps is None:
        return {}
    # The last episodes of a training go beyond its steps.
    capacity = max(2 * training_steps + 1000, 10 * num_envs)
    settings: dict[str, Any] = {
        "min_replay_history": min(_MOST_WARM_UP, training_steps // 10),
        "replay_capacity": min(_MOST_CAPACITY, capacity),
    }
    if strategy == _NO_CLICK:
        settings["target_update_period"] = max(1, training_steps // _NO_CLICK_TARGET_UPDATES)
    for learner in (*learners, circular_replay_buffer.WrappedReplayBuffer):
        settings = bindings.unbound(learner, settings)
    return settings


def _chosen(keywords: Mapping[str, object], of_class: type) -> dict[str, Any]:
    """Returns keywords, which the agent's class checks, but for what is left to gin's bindings.

    Args:
        keywords: arguments by name.
        of_class: the class of one user, whose bindings count.
    """
    name = "recurrent_units"
    unbound = bindings.unbound(of_class, {name: None})
    return {key: value for key, value in keywords.items() if key != name or name in unbound}


def full_slate_q(
    environment: _Env, *, training_steps: int | None = None, **kwargs: Any
) -> types.SlateAgent:
    """Returns a deep Q-learner of whole slates, fit for a training of a given length."""
    agent_class = full_slate_q_agent.FullSlateQAgent
    return agent_class(
        None,
        environment.observation_space,
        environment.action_space,
        **_planned(training_steps, agent_class),
        **_chosen(kwargs, agent_class),
    )


def slate_q(
    strategy: str, environment: _Env, *, training_steps: int | None = None, **kwargs: Any
) -> types.SlateAgent:
    """Returns an agent of SlateQ, of a strategy, fit for a training of a given length."""
    return slate_decomp_q_agent.create_agent(
        strategy,
        None,
        observation_space=environment.observation_space,
        action_space=environment.action_space,
        **_slate_q_settings(environment),
        **_planned(training_steps, slate_decomp_q_agent.SlateDecompQAgent, strategy=strategy),
        **_chosen(kwargs, slate_decomp_q_agent.SlateDecompQAgent),
    )


def vector_full_slate_q(
    environment: vector_env.RecSimVectorEnv, *, training_steps: int | None = None, **kwargs: Any
) -> types.VectorAgent:
    """Returns what :func:`full_slate_q` does, for users in parallel."""
    agent_class = full_slate_q_agent.VectorFullSlateQAgent
    planned = _planned(
        training_steps,
        agent_class,
        full_slate_q_agent.FullSlateQAgent,
        num_envs=environment.num_envs,
    )
    chosen = _chosen(kwargs, full_slate_q_agent.FullSlateQAgent)
    return agent_class(environment, **planned, **chosen)


def vector_slate_q(
    strategy: str,
    environment: vector_env.RecSimVectorEnv,
    *,
    training_steps: int | None = None,
    **kwargs: Any,
) -> types.VectorAgent:
    """Returns what :func:`slate_q` does, for users in parallel."""
    planned = _planned(
        training_steps,
        slate_decomp_q_agent.VectorSlateDecompQAgent,
        slate_decomp_q_agent.SlateDecompQAgent,
        num_envs=environment.num_envs,
        strategy=strategy,
    )
    chosen = _chosen(kwargs, slate_decomp_q_agent.SlateDecompQAgent)
    settings = {**_slate_q_settings(environment), **planned, **chosen}
    return slate_decomp_q_agent.create_vector_agent(strategy, environment, **settings)


# Into how many updates a short training is divided, at least.
_FEWEST_UPDATES = 20


def _policy_settings(
    training_steps: int | None, *learners: type, num_envs: int = 1
) -> dict[str, Any]:
    """Returns the settings of policy gradients that follow from the length of their training.

    Args:
        training_steps: number of steps of the training, None if there is none to plan for.
        *learners: the classes that are given the settings, which are left to gin where it binds
            them.
        num_envs: number of users in parallel.
    """
    default = max(policy_learner.Settings.update_period, 2 * num_envs)
    if training_steps is None or training_steps >= _FEWEST_UPDATES * default:
        return {}
    settings: dict[str, Any] = {"update_period": max(2, training_steps // _FEWEST_UPDATES)}
    for learner in learners:
        settings = bindings.unbound(learner, settings)
    return settings


def ppo(
    environment: _Env, *, training_steps: int | None = None, **kwargs: object
) -> types.SlateAgent:
    """Returns an agent of proximal policy optimization, fit for a training of a given length."""
    planned = _policy_settings(training_steps, ppo_agent.PPOAgent)
    return ppo_agent.PPOAgent(
        environment.observation_space,
        environment.action_space,
        **{**planned, **_chosen(kwargs, ppo_agent.PPOAgent)},
    )


def vector_ppo(
    environment: vector_env.RecSimVectorEnv, *, training_steps: int | None = None, **kwargs: object
) -> types.VectorAgent:
    """Returns what :func:`ppo` does, for users in parallel."""
    number = environment.num_envs
    planned = _policy_settings(training_steps, ppo_agent.PPOAgent, num_envs=number)
    chosen = _chosen(kwargs, ppo_agent.PPOAgent)
    return ppo_agent.VectorPPOAgent(environment, **{**planned, **chosen})


def reinforce(
    environment: _Env, *, training_steps: int | None = None, **kwargs: object
) -> types.SlateAgent:
    """Returns an agent of REINFORCE with the top-k correction, fit for a training of a length."""
    planned = _policy_settings(training_steps, reinforce_agent.ReinforceAgent)
    return reinforce_agent.ReinforceAgent(
        environment.observation_space,
        environment.action_space,
        **{**planned, **_chosen(kwargs, reinforce_agent.ReinforceAgent)},
    )


def vector_reinforce(
    environment: vector_env.RecSimVectorEnv, *, training_steps: int | None = None, **kwargs: object
) -> types.VectorAgent:
    """Returns what :func:`reinforce` does, for users in parallel."""
    number = environment.num_envs
    planned = _policy_settings(training_steps, reinforce_agent.ReinforceAgent, num_envs=number)
    chosen = _chosen(kwargs, reinforce_agent.ReinforceAgent)
    return reinforce_agent.VectorReinforceAgent(environment, **{**planned, **chosen})


def wolpertinger(environment: _Env, **kwargs: object) -> types.SlateAgent:
    """Returns an actor-critic agent that shows items near to an actor's vector."""
    return wolpertinger_agent.WolpertingerAgent(
        environment.observation_space,
        environment.action_space,
        **_chosen(kwargs, wolpertinger_agent.WolpertingerAgent),
    )


def vector_wolpertinger(
    environment: vector_env.RecSimVectorEnv, **kwargs: object
) -> types.VectorAgent:
    """Returns what :func:`wolpertinger` does, for users in parallel."""
    return wolpertinger_agent.VectorWolpertingerAgent(
        environment, **_chosen(kwargs, wolpertinger_agent.WolpertingerAgent)
    )


def sac_topk(environment: _Env, **kwargs: object) -> types.SlateAgent:
    """Returns an agent of soft actor-critic that ranks items by an actor's vector."""
    return sac_topk_agent.SACTopKAgent(
        environment.observation_space,
        environment.action_space,
        **_chosen(kwargs, sac_topk_agent.SACTopKAgent),
    )


def vector_sac_topk(environment: vector_env.RecSimVectorEnv, **kwargs: object) -> types.VectorAgent:
    """Returns what :func:`sac_topk` does, for users in parallel."""
    return sac_topk_agent.VectorSACTopKAgent(
        environment, **_chosen(kwargs, sac_topk_agent.SACTopKAgent)
    )


def entry_with_suffix(entry: registry.AgentEntry, suffix: str) -> registry.AgentEntry:
    """Returns an entry of the registry for an agent whose name has a suffix, such as ``+recent5``.

    Args:
        entry: the entry of the agent without it.
        suffix: the suffix, with its plus.

    Raises:
        ValueError: for another suffix, or an agent that it is not for.
    """
    parts = re.fullmatch(r"\+(recent|gru)(\d*[1-9]\d*)", suffix)
    if parts is None:
        raise ValueError(
            f"The suffix of an agent's name must be +recent or +gru followed by a number of "
            f"slates, an integer >= 1, such as +recent5 or +gru5, got {suffix!r}."
        )
    with_suffix = entry_with_recent_slates if parts[1] == "recent" else entry_with_recurrent_state
    return with_suffix(entry, int(parts[2]))


def entry_with_recent_slates(entry: registry.AgentEntry, num_slates: int) -> registry.AgentEntry:
    """Returns an entry of the registry for an agent that sees what the last slates brought, too.

    Where the entry ``averages_slates`` it sees their average, unless gin binds
    ``RecentSlatesLayer.average``.

    Args:
        entry: the entry of the agent.
        num_slates: number of slates.

    Raises:
        ValueError: if the agent does not learn from what it sees of users.
    """
    if not entry.learns:
        raise ValueError(
            f"+recent{num_slates} is for agents that learn from what they see of users, got one "
            f"that does not: {entry.description}."
        )
    vector, average = entry.create_vector, entry.averages_slates
    seen = f"the {'average of the ' * average}last {num_slates} slates"
    return dataclasses.replace(
        entry,
        create=functools.partial(with_recent_slates, entry.create, num_slates, average),
        create_vector=vector
        and functools.partial(vector_with_recent_slates, vector, num_slates, average),
        description=f"{entry.description}, which sees {seen}",
        modules=(*entry.modules, recent_slates.__name__),
    )


def entry_with_recurrent_state(entry: registry.AgentEntry, num_slates: int) -> registry.AgentEntry:
    """Returns an entry for an agent with a recurrent state, which reads what slates brought.

    Args:
        entry: the entry of the agent.
        num_slates: number of slates.

    Raises:
        ValueError: if the agent does not learn by networks of features.
    """
    if not entry.recurrent:
        raise ValueError(
            f"+gru{num_slates} is for agents whose networks can have a recurrent state, got one "
            f"that has none: {entry.description}."
        )
    vector = entry.create_vector
    with_state = dataclasses.replace(
        entry,
        create=functools.partial(entry.create, recurrent_units=_RECURRENT_UNITS),
        create_vector=vector and functools.partial(vector, recurrent_units=_RECURRENT_UNITS),
    )
    return dataclasses.replace(
        entry_with_recent_slates(with_state, num_slates),
        description=f"{entry.description}, with a recurrent state of the last {num_slates} slates",
    )


def with_recent_slates(
    create: Callable[..., types.SlateAgent],
    num_slates: int,
    average: bool,
    environment: _Env,
    **kwargs: object,
) -> types.SlateAgent:
    """Returns an agent that sees what the last slates brought, too.

    Args:
        create: what makes an agent, a function such as those here.
        num_slates: number of slates.
        average: whether it sees their average, unless gin binds another.
        environment: where it will recommend.
        **kwargs: what ``create`` is given.
    """
    return recent_slates.RecentSlatesLayer(
        functools.partial(_create_base, create, environment.environment, kwargs),
        environment.observation_space,
        environment.action_space,
        num_slates,
        **_average_unless_bound(average),
    )


def _create_base(
    create: Callable[..., types.SlateAgent],
    environment: object,
    arguments: Mapping[str, object],
    *,
    observation_space: types.DictSpace,
    action_space: types.SlateSpace,
) -> types.SlateAgent:
    """Returns an agent that sees what a layer shows it, in a function that can be pickled."""
    return create(_Seen(environment, action_space, observation_space), **arguments)


def vector_with_recent_slates(
    create: Callable[..., types.VectorAgent],
    num_slates: int,
    average: bool,
    environment: vector_env.RecSimVectorEnv,
    **kwargs: object,
) -> types.VectorAgent:
    """Returns what :func:`with_recent_slates` does, for users in parallel."""
    create_base = functools.partial(create, **kwargs)
    return recent_slates.VectorRecentSlatesLayer(
        create_base, environment, num_slates, **_average_unless_bound(average)
    )


def _average_unless_bound(average: bool) -> dict[str, Any]:
    """Returns the layer's argument that makes it show the average, but not against gin's."""
    return bindings.unbound(recent_slates.RecentSlatesLayer, {"average": True} if average else {})
