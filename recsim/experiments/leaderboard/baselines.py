"""The library's agents on the leaderboard, and the settings that are tried for them.

For each agent a few values of one of its parameters are tried in each task, with seeds of their
own. The value of the highest mean return is what the agent is then run with in that task. What is
not named here has one setting, the agent's own.

Example:
    >>> [name for name in names() if "recent" in name]
    ['ppo+recent5', 'slate_optimal_optimal_q+recent5']
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from recsim import registry
from recsim.experiments import factories
from recsim.experiments.leaderboard import tasks

__all__ = ["ORACLE", "names", "reason_against", "reference_of", "settings_to_try"]

#: The name of the oracle on the leaderboard, which is not in the registry.
ORACLE = "short_term_oracle"

# Agents that also see what the last slates brought, for tasks that hide the users.
_WITH_RECENT_SLATES = ("ppo+recent5", "ppo+gru5", "slate_optimal_optimal_q+recent5")

_ORACLE_REFERENCE = "recsim.agents.short_term_oracle:ShortTermOracle"

# Values by gin's name of a parameter, and which agents they are tried for.
_TRIED: Mapping[str, tuple[Callable[[str], bool], tuple[float, ...]]] = {
    "ClusterBanditAgent.ci_scaling": (
        lambda name: name in ("cluster_bandit_ucb1", "cluster_bandit_kl_ucb"),
        (1.0, 0.3),
    ),
    "ContextualBanditAgent.exploration": (
        lambda name: name.startswith(("lin_", "logistic_")),
        (1.0, 0.1),
    ),
    "SlatePolicyAgent.learning_rate": (
        lambda name: name.partition("+")[0] in ("ppo", "reinforce"),
        (3e-3, 1e-3),
    ),
    "DQNAgent.learning_rate": (
        lambda name: "slate_" in name,
        (1e-3, 3e-4),
    ),
}

# Q-learners whose replay buffers would be larger are not run: 20 features a candidate.
_FEATURES = 20
_MOST_MEMORY = 2**30


def names() -> list[str]:
    """Returns the names of the agents that have a form for users in parallel, and the oracle.

    A learner of policies and one of values take part with recent slates, too.

    Example:
        >>> names()[0], names()[-1]
        ('random', 'short_term_oracle')
    """
    of_registry = [name for name, entry in registry.AGENTS.items() if entry.create_vector]
    return [*of_registry, *_WITH_RECENT_SLATES, ORACLE]


def reference_of(name: str) -> factories.Reference:
    """Returns what makes an agent of a name, or of a reference to code.

    Example:
        >>> reference_of("short_term_oracle")
        'recsim.agents.short_term_oracle:ShortTermOracle'
        >>> reference_of("my_agents.py:MyAgent")
        'my_agents.py:MyAgent'
    """
    return _ORACLE_REFERENCE if name == ORACLE else name


def settings_to_try(name: str) -> list[str]:
    """Returns the gin bindings that are tried for an agent; nothing where there is one setting.

    Example:
        >>> settings_to_try("lin_ucb")
        ['ContextualBanditAgent.exploration = 1.0', 'ContextualBanditAgent.exploration = 0.1']
    """
    if name.partition("+")[0] not in registry.AGENTS:
        return []  # Code of one's own, whatever its module is called.
    return [
        f"{parameter} = {value!r}"
        for parameter, (is_tried_for, values) in _TRIED.items()
        if is_tried_for(name)
        for value in values
    ]


def reason_against(reference: factories.Reference, task: tasks.Task, train_envs: int) -> str | None:
    """Says why an agent cannot take part in a task; None if it can.

    Args:
        reference: the agent, see :mod:`recsim.experiments.factories`.
        task: the task.
        train_envs: users in parallel of a training.

    Raises:
        ValueError: if there is no such agent.

    Example:
        >>> version = tasks.version_of("recsim-slates-v1")
        >>> print(reason_against("random", version.task("easy"), train_envs=10))
        None
        >>> reason_against("full_slate_q", version.task("ordering"), train_envs=10)[:48]
        '10 candidates make 3,628,800 slates of 10, which'
    """
    entry = factories.agent_entry(reference)
    if isinstance(reference, str) and _keeps_candidates(reference):
        size = 8 * task.train_steps * task.num_candidates * _FEATURES
        if size > _MOST_MEMORY:
            return (
                "its replay buffer keeps the candidates of every transition: they would take "
                f"{size / 2**30:.1f} GiB, and as much in each checkpoint"
            )
    if entry.create_vector is None:
        return "it has no form for users in parallel"
    environment = task.scenario.create_vector
    assert environment is not None
    planned = {"training_steps": task.train_steps} if entry.plans_training else {}
    env = environment({"seed": 0}, train_envs)
    try:
        entry.create_vector(env, seed=0, eval_mode=False, summary_writer=None, **planned)
    except (ValueError, MemoryError) as error:
        return str(error).splitlines()[0].rstrip(".")
    return None


def _keeps_candidates(name: str) -> bool:
    return name.partition("+")[0] in registry.AGENTS and ("slate_" in name or name == "dp_random")
