"""Names of environments, agents and reproductions: what the command line lists, makes and runs.

An entry imports what it makes when it makes it. To run an agent of your own by its name, add it to
:data:`AGENTS`::

    def create_my_agent(environment, *, seed, eval_mode, summary_writer):
        return MyAgent(environment.action_space, seed)

    registry.AGENTS["my_agent"] = registry.AgentEntry(create_my_agent, "a line on the agent")
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from recsim._internal import keys, validation, worker_state

if TYPE_CHECKING:
    from recsim import types
    from recsim.reproductions import base
    from recsim.simulator import recsim_gym
    from recsim.vector import env as vector_env

__all__ = [
    "AGENTS",
    "ENVIRONMENTS",
    "FITTED",
    "REPRODUCTIONS",
    "AgentEntry",
    "Entry",
    "EnvironmentEntry",
    "FittedEntry",
    "ReproductionEntry",
    "agent_entry",
    "create_agent",
    "create_environment",
    "create_vector_agent",
    "create_vector_environment",
    "environment_entry",
    "import_all",
    "is_folder",
    "makers_of",
    "own_entries",
    "register_in_gymnasium",
    "reproduction_entry",
    "set_own_entries",
]


@dataclasses.dataclass(frozen=True)
class EnvironmentEntry:
    """A scenario.

    Attributes:
        module: path of the module that has its ``create_environment``.
        description: a line on it.
        reward: what its rewards count, in the plural.
        gymnasium_id: its id in Gymnasium's registry, see :func:`register_in_gymnasium`; None for
            none.
        max_episode_steps: after how many steps Gymnasium truncates its episodes; None for no limit.
        create: what makes it in place of the module's ``create_environment``; None for that.
        create_vector: likewise in place of its ``create_vector_environment``.
        variants: the names of the configs in ``VARIANTS`` of its module. Gymnasium knows each by an
            id of its own, such as ``recsim/TopicBoredom-SlateBored-v0`` for ``slate_bored``.
    """

    module: str
    description: str
    reward: str
    gymnasium_id: str | None = None
    max_episode_steps: int | None = None
    create: Callable[[Mapping[str, object]], recsim_gym.RecSimGymEnv] | None = None
    create_vector: Callable[..., vector_env.RecSimVectorEnv] | None = None
    variants: tuple[str, ...] = ()

    def gymnasium_ids(self) -> dict[str, str | None]:
        """Returns its ids in Gymnasium's registry, with the variant that each is of, or None."""
        if self.gymnasium_id is None:
            return {}
        name, dash, version = self.gymnasium_id.rpartition("-v")
        if not dash:
            name, version = version, ""
        of_variants: dict[str, str | None] = {
            f"{name}-{variant.title().replace('_', '')}{dash}{version}": variant
            for variant in self.variants
        }
        return {self.gymnasium_id: None, **of_variants}


@dataclasses.dataclass(frozen=True)
class FittedEntry(EnvironmentEntry):
    """A scenario that was fitted to a log.

    Attributes:
        folder: path of its folder, absolute.
        content: SHA-256 of what is in there. Another content is refused when an environment is
            made: it would be another scenario under the same name.
    """

    folder: str = ""
    content: str = ""

    @property
    def source_digest(self) -> str:
        """What tells the scenario from others, for records of results."""
        return self.content


@dataclasses.dataclass(frozen=True)
class AgentEntry:
    """An agent.

    Attributes:
        create: function ``(environment, *, seed, eval_mode, summary_writer)`` that makes it, and
            raises ValueError if it cannot recommend in that environment.
        description: a line on it.
        learns: whether it learns from one episode for the next, so that it has to be trained.
        environment: name of the scenario that it is meant for, None if it suits any. By default
            ``recsim run`` trains an agent that learns until it is better than chance there.
        plans_training: whether ``create`` and ``create_vector`` take ``training_steps`` too: the
            number of steps that the agent will be trained for, or None.
        modules: paths of the modules that have what gin can configure of it.
        create_vector: the like of ``create`` for vector environments; None if it has no vector
            form.
        recurrent: whether they take ``recurrent_units`` too: the size of a recurrent state.
        averages_slates: whether ``+recent5`` shows it the average of the slates, not each of them.
    """

    create: Callable[..., types.SlateAgent]
    description: str
    learns: bool = False
    modules: tuple[str, ...] = ()
    create_vector: Callable[..., types.VectorAgent] | None = None
    environment: str | None = None
    plans_training: bool = False
    recurrent: bool = False
    averages_slates: bool = False


@dataclasses.dataclass(frozen=True)
class ReproductionEntry:
    """A reproduction of published results.

    Attributes:
        module: path of its module.
        class_name: its :class:`recsim.reproductions.base.Reproduction` there.
        description: a line on it.
    """

    module: str
    class_name: str
    description: str

    def load(self) -> type[base.Reproduction]:
        """Imports the class."""
        loaded: type[base.Reproduction] = getattr(
            importlib.import_module(self.module), self.class_name
        )
        return loaded


_Entry = TypeVar("_Entry", EnvironmentEntry, AgentEntry, ReproductionEntry)
_Agent = TypeVar("_Agent")

#: What is listed here.
Entry = EnvironmentEntry | AgentEntry | ReproductionEntry


def _made_by(function: str, *leading: str) -> Callable[..., Any]:
    """Returns a function of :mod:`recsim.agents.factories`, which is imported when it is called."""
    return functools.partial(_call, function, *leading)


def _call(function: str, *arguments: object, **keywords: object) -> object:
    from recsim.agents import factories

    return getattr(factories, function)(*arguments, **keywords)


_BOREDOM_VARIANTS = (
    *("single_static", "single_bored_drifting", "single_uncertain"),
    *("slate_bored", "slate_bored_drifting", "slate_uncertain", "rerank_static", "rerank_bored"),
    *("top_down_focused", "top_down_diffuse", "mixed_focused", "mixed_diffuse"),
    *("divpen_focused", "divpen_diffuse"),
)
_SLATE_Q_MODULES = ("recsim.agents.slate_decomp_q_agent",)


def _bandit_entry(algorithm: str, name: str) -> AgentEntry:
    return AgentEntry(
        _made_by("cluster_bandit", algorithm),
        f"learns a user's topics by {name} (interest_exploration)",
        modules=("recsim.agents.cluster_bandit_agent",),
        environment="interest_exploration",
        create_vector=_made_by("vector_cluster_bandit", algorithm),
    )


def _contextual_bandit_entry(
    explore: str, model: str, weights: str, description: str
) -> AgentEntry:
    return AgentEntry(
        _made_by("contextual_bandit", explore, model, weights),
        description,
        learns=True,
        modules=("recsim.agents.contextual_bandit_agent",),
        create_vector=_made_by("vector_contextual_bandit", explore, model, weights),
        averages_slates=True,
    )


def _slate_q_entry(strategy: str, description: str) -> AgentEntry:
    made = _learner_entry("slate_q", description, strategy, environment="interest_evolution")
    return dataclasses.replace(made, modules=_SLATE_Q_MODULES)


def _learner_entry(
    name: str,
    description: str,
    *leading: str,
    environment: str = "topic_boredom",
    plans_training: bool = True,
) -> AgentEntry:
    return AgentEntry(
        _made_by(name, *leading),
        f"{description} ({environment})",
        learns=True,
        modules=(f"recsim.agents.{name}_agent",),
        create_vector=_made_by(f"vector_{name}", *leading),
        environment=environment,
        plans_training=plans_training,
        recurrent=True,
    )


#: The environments by name. Time budgets end the episodes of all but interest exploration before
#: the limits here, unless a config raises them; in that scenario nothing else ends an episode.
ENVIRONMENTS: dict[str, EnvironmentEntry] = {
    "interest_exploration": EnvironmentEntry(
        "recsim.environments.interest_exploration",
        "users of hidden types, whose niche interests exploration must find",
        "clicks",
        gymnasium_id="recsim/InterestExploration-v0",
        max_episode_steps=200,
    ),
    "interest_evolution": EnvironmentEntry(
        "recsim.environments.interest_evolution",
        "videos change what users like and how long they stay",
        "minutes watched",
        gymnasium_id="recsim/InterestEvolution-v0",
        max_episode_steps=1000,
    ),
    "long_term_satisfaction": EnvironmentEntry(
        "recsim.environments.long_term_satisfaction",
        "clickbait engages users now and wears them out later",
        "engagement",
        gymnasium_id="recsim/LongTermSatisfaction-v0",
        max_episode_steps=1000,
    ),
    "topic_boredom": EnvironmentEntry(
        "recsim.environments.topic_boredom",
        "users click several items of a slate, and some topics too often",
        "clicks",
        gymnasium_id="recsim/TopicBoredom-v0",
        max_episode_steps=1000,
        variants=_BOREDOM_VARIANTS,
    ),
}

#: The scenarios that are fitted to logs: its environments need ``path`` in their config, the folder
#: that ``recsim fit`` wrote. The path of such a folder is as good as a name.
FITTED = EnvironmentEntry(
    "recsim.environments.fitted",
    "users of your own log; its name is the folder of recsim fit",
    "clicks",
    gymnasium_id="recsim/Fitted-v0",
    max_episode_steps=1000,
)
_FITTED_NAME = "fitted"

#: The agents by name.
AGENTS: dict[str, AgentEntry] = {
    "random": AgentEntry(
        _made_by("random"), "recommends random slates", create_vector=_made_by("vector_random")
    ),
    "softmax": AgentEntry(
        _made_by("softmax"),
        "random slates, documents of higher scores more often",
        modules=("recsim.agents.softmax_agent",),
        create_vector=_made_by("vector_softmax"),
    ),
    "greedy_pctr": AgentEntry(
        _made_by("greedy_pctr"),
        "ranks by the clicks of the average user (interest_exploration)",
        create_vector=_made_by("vector_greedy_pctr"),
        environment="interest_exploration",
    ),
    "cluster_bandit_ucb1": _bandit_entry("UCB1", "UCB1"),
    "cluster_bandit_kl_ucb": _bandit_entry("KLUCB", "KL-UCB"),
    "cluster_bandit_ts": _bandit_entry("ThompsonSampling", "Thompson sampling"),
    "tabular_q": AgentEntry(
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
    "dp_random": AgentEntry(
        _made_by("slate_q", "dp_random"),
        "SlateQ's baseline: random slates (interest_evolution)",
        modules=_SLATE_Q_MODULES,
        create_vector=_made_by("vector_slate_q", "dp_random"),
        environment="interest_evolution",
    ),
}

#: The reproductions of published results by name.
REPRODUCTIONS: dict[str, ReproductionEntry] = {
    "bandits": ReproductionEntry(
        "recsim.reproductions.bandit_regret",
        "BanditRegret",
        "regret curves of UCB1, KL-UCB and Thompson sampling",
    ),
    "slateq": ReproductionEntry(
        "recsim.reproductions.slateq",
        "SlateQ",
        "the strategies of the SlateQ paper, trained, and the value of no click",
    ),
    "advantage-amplification": ReproductionEntry(
        "recsim.reproductions.advantage_amplification",
        "AdvantageAmplification",
        "temporal aggregation and switching cost in long-term satisfaction",
    ),
    "interest-exploration": ReproductionEntry(
        "recsim.reproductions.interest_exploration",
        "InterestExploration",
        "agents that explore a user's interests more and more",
    ),
}


_KINDS: tuple[dict[str, Any], ...] = (ENVIRONMENTS, AGENTS, REPRODUCTIONS)
_OF_THE_LIBRARY = tuple(map(dict, _KINDS))


def own_entries() -> tuple[dict[str, Any], ...]:
    """Returns the entries that were added or replaced: environments, agents, reproductions."""
    return tuple(
        {name: entry for name, entry in entries.items() if entry is not known.get(name)}
        for entries, known in zip(_KINDS, _OF_THE_LIBRARY)
    )


def set_own_entries(own: Sequence[Mapping[str, Any]]) -> None:
    """Adds and replaces the entries that :func:`own_entries` returned in another process."""
    for entries, known, of_kind in zip(_KINDS, _OF_THE_LIBRARY, own):
        entries.clear()
        entries.update({**known, **of_kind})
    register_in_gymnasium()


worker_state.carry(own_entries, set_own_entries)


def environment_entry(name: str | os.PathLike[str]) -> EnvironmentEntry:
    """Returns the entry of an environment.

    Args:
        name: a key of :data:`ENVIRONMENTS`; 'fitted' for :data:`FITTED`; or the path of the folder
            of a fitted scenario.

    Raises:
        FileNotFoundError: for a folder that is not there, or that has no scenario.
        ValueError: for a name that is not known, naming the nearest one, or a damaged folder.
    """
    if is_folder(name):
        return _fitted_entry(name)
    return _entry("environment", {**ENVIRONMENTS, _FITTED_NAME: FITTED}, cast("str", name))


def is_folder(name: object) -> bool:
    """Says whether a name of an environment is the path of a folder, there or not."""
    if isinstance(name, os.PathLike):
        return True
    if not isinstance(name, str) or name in {*ENVIRONMENTS, *AGENTS, _FITTED_NAME}:
        return False
    if os.path.exists(name):
        return os.path.isdir(name)
    return ("/" in name or os.sep in name) and ":" not in name and not name.endswith(".py")


def _fitted_entry(path: str | os.PathLike[str]) -> FittedEntry:
    from recsim._internal import paths
    from recsim.environments import fitted

    folder = paths.absolute("environment", path)
    content = fitted.load(folder).sha256
    created: Any = functools.partial(_create_fitted, folder, content)
    return FittedEntry(
        FITTED.module,
        f"fitted to a log: {os.path.basename(folder)}",
        FITTED.reward,
        max_episode_steps=FITTED.max_episode_steps,
        create=created,
        create_vector=created,
        folder=folder,
        content=content,
    )


def _create_fitted(
    folder: str, content: str, env_config: Mapping[str, object], *num_envs: int, **options: Any
) -> object:
    """Makes an environment of a fitted scenario, of as many users as are given, or of one."""
    from recsim.environments import fitted

    scenario = fitted.scenario_of({**env_config, "path": folder})
    found = scenario.options.content
    if found != content:
        raise ValueError(
            f"The fitted scenario in {folder!r} has changed since it was first read (its SHA-256 "
            f"was {content[:12]}… and is {found[:12]}…): keep each scenario in a folder of its own."
        )
    config = {**env_config, "fitted": scenario.fitted}
    if num_envs:
        return fitted.create_vector_environment(config, *num_envs, **options)
    return fitted.create_environment(config)


def agent_entry(name: str) -> AgentEntry:
    """Returns the entry of an agent, or raises ValueError naming the nearest one.

    With ``+recent5`` or ``+gru5`` after it, or another number, it sees what 5 slates brought, too.
    """
    if not isinstance(name, str) or name in AGENTS or "+" not in name:
        return _entry("agent", AGENTS, name)
    bases = [known for known in AGENTS if name.startswith(f"{known}+")]
    base = max([name.partition("+")[0], *bases], key=len)
    suffix = name.removeprefix(base)
    return cast("AgentEntry", _call("entry_with_suffix", _entry("agent", AGENTS, base), suffix))


def reproduction_entry(name: str) -> ReproductionEntry:
    """Returns the entry of a reproduction, or raises ValueError naming the nearest one."""
    return _entry("experiment", REPRODUCTIONS, name)


def _entry(kind: str, entries: Mapping[str, _Entry], name: str) -> _Entry:
    if isinstance(name, str) and name in entries:
        return entries[name]
    raise ValueError(
        f"There is no {kind} {name!r}.{validation.nearest_name(name, entries)} "
        f"Known are: {', '.join(entries)}."
    )


def register_in_gymnasium() -> None:
    """Registers the ids of :data:`ENVIRONMENTS` for ``gymnasium.make`` and ``gymnasium.make_vec``.

    ``import recsim`` does so. Call it again for an entry of your own. An id that Gymnasium knows
    already is left as it is.
    """
    import gymnasium

    for name, entry in {**ENVIRONMENTS, _FITTED_NAME: FITTED}.items():
        for gymnasium_id, variant in entry.gymnasium_ids().items():
            if gymnasium_id in gymnasium.registry:
                continue
            of_variant = {} if variant is None else {"variant": variant}
            gymnasium.register(
                gymnasium_id,
                entry_point="recsim.simulator.gymnasium_env:make",
                vector_entry_point="recsim.simulator.gymnasium_env:make_vec",
                max_episode_steps=entry.max_episode_steps,
                kwargs={"environment_name": name, **of_variant},
            )


def create_environment(name: str, env_config: Mapping[str, Any]) -> recsim_gym.RecSimGymEnv:
    """Makes an environment.

    Args:
        name: a name or a folder, see :func:`environment_entry`.
        env_config: the config of its ``create_environment``, with ``num_candidates``,
            ``slate_size``, ``resample_documents`` and ``seed``.

    Raises:
        KeyError, TypeError, ValueError: if the name is unknown, or the config is not valid.
    """
    entry = environment_entry(name)
    create = entry.create or importlib.import_module(entry.module).create_environment
    return create(env_config)


def create_vector_environment(
    name: str, env_config: Mapping[str, Any], num_envs: int, **options: Any
) -> vector_env.RecSimVectorEnv:
    """Makes an environment of users in parallel.

    Args:
        name: a name or a folder, see :func:`environment_entry`.
        env_config: as :func:`create_environment` takes it.
        num_envs: number of users.
        **options: of the scenario's ``create_vector_environment``.

    Raises:
        KeyError, TypeError, ValueError: if the name is unknown, or the config is not valid.
    """
    entry = environment_entry(name)
    create = entry.create_vector or importlib.import_module(entry.module).create_vector_environment
    return create(env_config, num_envs, **options)


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


def makers_of(selector: str) -> str:
    """Returns a sentence that says which agents or environments make what gin can configure.

    It is empty if nothing that is listed makes it.

    Args:
        selector: gin's full name of it.
    """
    module, _, class_name = selector.rpartition(".")
    agents = [
        name
        for name, entry in AGENTS.items()
        if module in entry.modules
        or (class_name == "TrainRunner" and entry.learns)
        or (module.rpartition(".")[0] == "recsim.agents.dopamine" and entry.plans_training)
    ]
    environments = [name for name, entry in ENVIRONMENTS.items() if entry.module == module]
    if agents:
        return f"It is for {'such agents as ' * (len(agents) > 3)}{', '.join(agents[:3])}."
    return f"It is for the environment {environments[0]}." if environments else ""


def import_all() -> None:
    """Imports all that is listed here and the runners, so that gin knows what it can configure."""
    importlib.import_module("recsim.simulator.runner_lib")
    modules = [entry.module for entry in (*ENVIRONMENTS.values(), FITTED)]
    modules += [module for agent in AGENTS.values() for module in agent.modules]
    for module in modules:
        importlib.import_module(module)
