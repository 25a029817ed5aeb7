"""The agents by name, and what makes them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from recsim._internal import keys, validation
from recsim.registry import _entries

if TYPE_CHECKING:
    from recsim import types
    from recsim.simulator import recsim_gym
    from recsim.vector import env as vector_env

__all__ = ["AGENTS", "agent_entry", "create_agent", "create_vector_agent"]

_Agent = TypeVar("_Agent")
_SLATE_Q_MODULES = ("recsim.agents.slate_decomp_q_agent",)


def _made_by(function: str, *leading: str) -> Callable[..., Any]:
    """Returns a function of :mod:`recsim.agents.factories`, which is imported when it is called."""
    return functools.partial(_call, function, *leading)


def _call(function: str, *arguments: object, **keywords: object) -> object:
    from recsim.agents import factories

    return getattr(factories, function)(*arguments, **keywords)


def _bandit_entry(algorithm: str, name: str) -> _entries.AgentEntry:
    return _entries.AgentEntry(
        _made_by("cluster_bandit", algorithm),
        f"learns a user's topics by {name} (interest_exploration)",
        modules=("recsim.agents.cluster_bandit_agent",),
        environment="interest_exploration",
        create_vector=_made_by("vector_cluster_bandit", algorithm),
    )


def _contextual_bandit_entry(
    explore: str, model: str, weights: str, description: str
) -> _entries.AgentEntry:
    return _entries.AgentEntry(
        _made_by("contextual_bandit", explore, model, weights),
        description,
        learns=True,
        modules=("recsim.agents.contextual_bandit_agent",),
        create_vector=_made_by("vector_contextual_bandit", explore, model, weights),
        averages_slates=True,
    )


def _slate_q_entry(strategy: str, description: str) -> _entries.AgentEntry:
    made = _learner_entry("slate_q", description, strategy, environment="interest_evolution")
    return dataclasses.replace(made, modules=_SLATE_Q_MODULES)


def _learner_entry(
    name: str,
    description: str,
    *leading: str,
    environment: str = "topic_boredom",
    plans_training: bool = True,
) -> _entries.AgentEntry:
    return _entries.AgentEntry(
        _made_by(name, *leading),
        f"{description} ({environment})",
        learns=True,
        modules=(f"recsim.agents.{name}_agent",),
        create_vector=_made_by(f"vector_{name}", *leading),
        environment=environment,
        plans_training=plans_training,
        recurrent=True,
    )


AGENTS: dict[str, _entries.AgentEntry] = {
    "random": _entries.AgentEntry(
        _made_by("random"), "recommends random slates", create_vector=_made_by("vector_random")
    ),
    "softmax": _entries.AgentEntry(
        _made_by("softmax"),
        "random slates, documents of higher scores more often",
        modules=("recsim.agents.softmax_agent",),
        create_vector=_made_by("vector_softmax"),
    ),
    "greedy_pctr": _entries.AgentEntry(
        _made_by("greedy_pctr"),
        "ranks by the clicks of the average user (interest_exploration)",
        create_vector=_made_by("vector_greedy_pctr"),
        environment="interest_exploration",
    ),
    "cluster_bandit_ucb1": _bandit_entry("UCB1", "UCB1"),
    "cluster_bandit_kl_ucb": _bandit_entry("KLUCB", "KL-UCB"),
    "cluster_bandit_ts": _bandit_entry("ThompsonSampling", "Thompson sampling"),
    "tabular_q": _entries.AgentEntry(
        _made_by("tabular_q"),
        "Q-learning with a table over binned observations (interest_exploration)",
        learns=True,
        environment="interest_exploration",
    ),
    **{
        f"{name}{suffix}": _contextual_bandit_entry(
            explore, "linear", weights, f"{title}{of_weights}"
        )
        for name, explore, title in (
            ("lin_ucb", "ucb", "LinUCB"),
            ("lin_ts", "thompson", "linear Thompson sampling"),
        )
        for suffix, weights, of_weights in (
            ("", "shared", ""),
            ("_disjoint", "disjoint", ", a model for each arm"),
            ("_hybrid", "hybrid", ", shared weights and those of arms"),
        )
    },
    **{
        name: _contextual_bandit_entry(explore, model, "shared", f"{how} by {model} regression")
        for name, explore, model, how in (
            ("logistic_ts", "thompson", "logistic", "Thompson sampling"),
            ("epsilon_greedy", "epsilon_greedy", "linear", "best or random slates"),
            ("epsilon_greedy_logistic", "epsilon_greedy", "logistic", "best or random slates"),
        )
    },
    "full_slate_q": _learner_entry(
        "full_slate_q",
        "deep Q-learning of whole slates, of few candidates",
        environment="interest_evolution",
    ),
    **{
        strategy: _slate_q_entry(strategy, f"SlateQ: {serving} slates, {targets} targets")
        for strategy, serving, targets in (
            ("slate_topk_sarsa", "top-k", "on-policy"),
            ("slate_greedy_sarsa", "greedy", "on-policy"),
            ("slate_topk_topk_q", "top-k", "top-k"),
            ("slate_greedy_greedy_q", "greedy", "greedy"),
            ("slate_topk_optimal_q", "top-k", "optimal"),
            ("slate_greedy_optimal_q", "greedy", "optimal"),
            ("slate_optimal_optimal_q", "optimal", "optimal"),
            ("myopic_slate_topk_sarsa", "top-k", "myopic"),
            ("myopic_slate_greedy_sarsa", "greedy", "myopic"),
        )
    },
    "slate_greedy_no_click_q": _slate_q_entry(
        "slate_greedy_no_click_q", "SlateQ: greedy slates, no click has a value"
    ),
    "ppo": _learner_entry("ppo", "policy gradient, proximal policy optimization"),
    "reinforce": _learner_entry("reinforce", "policy gradient with the top-k correction"),
    "wolpertinger": _learner_entry(
        "wolpertinger", "actor-critic, items near to an actor's vector", plans_training=False
    ),
    "sac_topk": _learner_entry(
        "sac_topk", "actor-critic, soft, items ranked by an actor's vector", plans_training=False
    ),
    "dp_random": _entries.AgentEntry(
        _made_by("slate_q", "dp_random"),
        "SlateQ's baseline: random slates (interest_evolution)",
        modules=_SLATE_Q_MODULES,
        create_vector=_made_by("vector_slate_q", "dp_random"),
        environment="interest_evolution",
    ),
}


def agent_entry(name: str) -> _entries.AgentEntry:
    """Returns the entry of an agent, or raises ValueError naming the nearest one.

    With ``+recent5`` or ``+gru5`` after it, or another number, it sees what 5 slates brought, too.
    """
    if not isinstance(name, str) or name in AGENTS or "+" not in name:
        return _entries.look_up("agent", AGENTS, name)
    bases = [known for known in AGENTS if name.startswith(f"{known}+")]
    base = max([name.partition("+")[0], *bases], key=len)
    suffix = name.removeprefix(base)
    entry = _entries.look_up("agent", AGENTS, base)
    return cast("_entries.AgentEntry", _call("entry_with_suffix", entry, suffix))


def create_agent(
    name: str,
    environment: recsim_gym.RecSimGymEnv,
    *,
    seed: int | None = 0,
    eval_mode: bool = False,
    summary_writer: types.SummaryWriter | None = None,
    training_steps: int | None = None,
) -> types.SlateAgent:
    """Makes an agent for an environment.

    Args:
        name: a key of :data:`AGENTS`, see :func:`agent_entry`.
        environment: where it will recommend.
        seed: seed of the agent's generator.
        eval_mode: whether it is only to show what it has learned.
        summary_writer: where it may write statistics for TensorBoard, or None.
        training_steps: number of steps that it will be trained for. Deep agents then gather
            transitions for a tenth of them before they learn, and for 20,000 steps at most, unless
            gin binds ``min_replay_history``. None for the agent's own setting.

    Raises:
        ValueError: if the name is unknown, or the agent cannot recommend in this environment.
    """
    return _created(
        name,
        agent_entry(name).create,
        environment,
        training_steps,
        seed=seed,
        eval_mode=eval_mode,
        summary_writer=summary_writer,
    )


def create_vector_agent(
    name: str,
    environment: vector_env.RecSimVectorEnv,
    *,
    seed: int = 0,
    eval_mode: bool = False,
    summary_writer: types.SummaryWriter | None = None,
    training_steps: int | None = None,
) -> types.VectorAgent:
    """Makes an agent for an environment of users in parallel.

    Args:
        name: a key of :data:`AGENTS`, see :func:`agent_entry`.
        environment: where it will recommend.
        seed: seed of the agent's generator.
        eval_mode: whether it is only to show what it has learned.
        summary_writer: where it may write statistics for TensorBoard, or None.
        training_steps: see :func:`create_agent`.

    Raises:
        ValueError: if the name is unknown, or the agent has no vector form or cannot recommend in
            this environment.
    """
    create = agent_entry(name).create_vector
    if create is None:
        known = [other for other, entry in AGENTS.items() if entry.create_vector is not None]
        raise ValueError(
            f"The agent {name!r} has no vector form, for users in parallel. Agents that have one: "
            f"{', '.join(known)}."
        )
    return _created(
        name,
        create,
        environment,
        training_steps,
        seed=seed,
        eval_mode=eval_mode,
        summary_writer=summary_writer,
    )


def _created(
    name: str,
    create: Callable[..., _Agent],
    environment: types.AnyEnv,
    training_steps: int | None,
    **arguments: object,
) -> _Agent:
    if not hasattr(environment, "action_space"):
        raise TypeError(
            "environment must be one that create_environment or create_vector_environment made, "
            f"got {environment!r}."
        )
    if agent_entry(name).plans_training:
        if training_steps is not None:
            training_steps = validation.positive_int("training_steps", training_steps)
        arguments["training_steps"] = training_steps
    try:
        return create(environment, **arguments)
    except keys.UnusedBindingError:
        raise
    except ValueError as error:
        raise ValueError(
            f"The agent {name!r} cannot recommend in this environment: {error}"
        ) from error
