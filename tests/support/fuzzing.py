"""Calls of the public interface with one to three absurd arguments, and what came of them.

Every target is a function and its good arguments. A call replaces some of them by values of
:mod:`support.absurd`. Its outcome is a *fault* where an error is not clear (see
:mod:`support.clear_errors`), where finite arguments give NaN, or where it takes too long.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import os
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from recsim import choice_model, registry, seeding, spaces, utils
from recsim.agents import (
    agent_utils,
    cluster_bandit_agent,
    greedy_pctr_agent,
    random_agent,
    slate_decomp_q_agent,
    tabular_q_agent,
)
from recsim.agents.bandits import algorithms, glm_algorithms
from recsim.agents.layers import (
    abstract_click_bandit,
    cluster_click_statistics,
    fixed_length_history,
    temporal_aggregation,
)
from recsim.environments import interest_evolution, interest_exploration, long_term_satisfaction
from recsim.experiments import comparison, statistics
from recsim.simulator import checkpoint, gymnasium_env, recsim_gym, runner_lib
from recsim.simulator import environment as environment_lib
from recsim.vector import simulate, streams, wrappers
from support import absurd, clear_errors

__all__ = ["Fault", "Target", "fault_of_call", "random_call", "targets"]

CONFIG = {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 0}
SECONDS = 20


@dataclasses.dataclass(frozen=True)
class Target:
    """What is called.

    Attributes:
        name: its name.
        prepare: function that returns what to call, and its good arguments by name, anew.
    """

    name: str
    prepare: Callable[[], tuple[Callable[..., Any], dict[str, Any]]]


@dataclasses.dataclass(frozen=True)
class Fault:
    """A call that went wrong.

    Attributes:
        target: the name of what was called.
        arguments: the absurd arguments.
        reason: what went wrong.
    """

    target: str
    arguments: dict[str, Any]
    reason: str


def make_environment(name: str = "interest_exploration") -> Any:
    env = registry.create_environment(name, CONFIG)
    env.reset()
    return env


def make_vector_environment(name: str = "interest_exploration") -> Any:
    env = registry.create_vector_environment(name, CONFIG, 3)
    env.reset(seed=0)
    return env


def make_random_agent(_: Any, env: Any, **kwargs: Any) -> Any:
    return random_agent.RandomAgent(env.action_space, random_seed=0)


def functions(*made: Callable[..., Any], **good: Any) -> Iterator[Target]:
    """Yields targets that are functions, or classes, that all take these good arguments."""
    for function in made:
        name = f"{function.__module__.removeprefix('recsim.')}.{function.__qualname__}"
        yield Target(name, functools.partial(lambda function: (function, dict(good)), function))


def method(make: Callable[[], Any], name: str, good: Mapping[str, Any]) -> Target:
    """Returns a target that is a method of an object, made anew for each call."""

    def prepare() -> tuple[Callable[..., Any], dict[str, Any]]:
        return getattr(make(), name), dict(good)

    return Target(f"{type(make()).__name__}.{name}", prepare)


def make_bandit(kind: Any) -> Any:
    bandit = kind(3, {})
    for arm in range(3):
        bandit.update(arm, 1.0)
    return bandit


def make_glm(kind: Any) -> Any:
    bandit = kind(2, horizon=10) if kind is glm_algorithms.UCB_GLM else kind(2)
    bandit.update(1.0, np.array([1.0, 0.5]))
    return bandit


def make_scored(kind: Any) -> Any:
    features = {"min_normalizer": -1.0, "score_scaling": 0.1, "attention_prob": 0.5}
    return kind(features)


class Scorer:
    """A user who scores documents by what is observed of them."""

    def score_document(self, doc_obs: Any) -> Any:
        return doc_obs


def choose(kind: Any, scores: Any) -> Any:
    model = make_scored(kind)
    model.score_documents(Scorer(), scores)
    return model.choose_item()


def first_observation() -> Any:
    return make_environment().reset()


def later_observation() -> Any:
    return make_environment().step([0, 1])[0]


def make_agent(name: str) -> Any:
    env = make_environment()
    agent = registry.create_agent(name, env, seed=0)
    agent.begin_episode(env.reset())
    return agent


def make_user_model() -> Any:
    return interest_exploration.IEUserModel(2, response_model_ctor=interest_exploration.IEResponse)


def simulate_few(**changed: Any) -> Any:
    arguments = {
        "make_environment": functools.partial(
            registry.create_vector_environment, "interest_exploration", CONFIG
        ),
        "make_agent": functools.partial(registry.create_vector_agent, "random"),
        "num_users": 3,
        "num_steps": 2,
        "workers": 1,
        **changed,
    }
    return simulate.simulate(**arguments)


def arrays() -> Iterator[Target]:
    """Yields the functions of arrays."""
    scores = np.array([[0.1, 0.5], [1.0, 2.0]])
    yield from functions(choice_model.softmax, vector=np.array([0.1, 0.5]))
    yield from functions(
        choice_model.multinomial_logit_probabilities, scores=scores, no_click_mass=0.5
    )
    yield from functions(
        choice_model.multinomial_proportional_probabilities,
        scores=scores,
        no_click_mass=0.5,
        min_normalizer=-1.0,
    )
    cascade = {"attention_prob": 0.5, "score_scaling": 0.1}
    yield from functions(choice_model.exponential_cascade_probabilities, scores=scores, **cascade)
    yield from functions(
        choice_model.proportional_cascade_probabilities,
        scores=scores,
        min_normalizer=-1.0,
        **cascade,
    )
    yield from functions(choice_model.cascade_probabilities, weights=scores, **cascade)
    yield from functions(choice_model.sample_choice, weights=scores, uniform=np.array([0.1, 0.9]))
    counts = {"pulls": np.array([3.0, 2.0]), "reward": np.array([1.0, 2.0])}
    yield from functions(
        algorithms.ucb1_index, algorithms.kl_ucb_index, **counts, t=6, optimism_scaling=1.0
    )
    yield from functions(
        algorithms.thompson_index,
        **counts,
        rng=np.random.RandomState(0),
        optimism_scaling=1.0,
    )
    documents = {"s": np.array([1.0, 2.0, 0.5]), "q": np.array([0.5, 1.0, 2.0])}
    yield from functions(
        slate_decomp_q_agent.select_slate_topk,
        slate_decomp_q_agent.select_slate_greedy,
        slate_decomp_q_agent.select_slate_optimal,
        slate_size=2,
        s_no_click=1.0,
        **documents,
    )
    yield from functions(
        slate_decomp_q_agent.score_documents,
        user_obs=np.array([0.1, 0.5]),
        doc_obs=np.eye(2),
        no_click_mass=1.0,
        is_mnl=False,
        min_normalizer=-1.0,
    )
    yield from functions(statistics.estimate, statistics.median_interval, values=np.arange(8.0))
    yield from functions(statistics.mean_and_deviation, values=np.arange(8.0))
    yield from functions(
        statistics.paired_difference, values=np.arange(8.0), baseline=np.arange(8.0)[::-1]
    )
    yield from functions(seeding.derived_seed, seeding.named_random_state, seed=0, name="x")
    box = make_environment().observation_space["user"]
    yield from functions(spaces.flat_size, space=box)
    yield from functions(
        spaces.check_observation,
        space=box,
        observation=later_observation()["user"],
    )


def bandits_and_choices() -> Iterator[Target]:
    """Yields bandits and choice models."""
    for kind in (algorithms.UCB1, algorithms.KLUCB, algorithms.ThompsonSampling):
        yield from functions(kind, num_arms=3, params={"optimism_scaling": 1.0}, seed=0)
        make = functools.partial(make_bandit, kind)
        yield method(make, "update", {"arm": 1, "reward": 1.0})
        yield method(make, "get_arm", {"t": 4})
        yield method(make, "get_score", {"t": 4})
        yield method(
            make, "set_state", {"pulls": np.array([2, 1, 1]), "reward": np.array([1, 1, 0])}
        )
    arms = [np.array([1.0, 0.0]), np.array([0.5, 0.5])]
    for kind in (glm_algorithms.UCB_GLM, glm_algorithms.GLM_TS):
        more = {"horizon": 10} if kind is glm_algorithms.UCB_GLM else {}
        yield from functions(kind, dim=2, sigma0=1.0, optimism_scaling=1.0, seed=0, **more)
        make = functools.partial(make_glm, kind)
        yield method(make, "update", {"reward": 1.0, "arm": arms[0]})
        yield method(make, "get_arm", {"arms": arms})
    for name in (
        "MultinomialLogitChoiceModel",
        "MultinomialProportionalChoiceModel",
        "ExponentialCascadeChoiceModel",
        "ProportionalCascadeChoiceModel",
    ):
        kind = getattr(choice_model, name)
        features = {"min_normalizer": -1.0, "score_scaling": 0.1, "attention_prob": 0.5}
        yield from functions(kind, choice_features=features)
        choose_by = functools.partial(choose, kind)
        yield Target(
            f"{name}.score_documents",
            functools.partial(lambda choose_by: (choose_by, {"scores": [0.1, 0.5]}), choose_by),
        )


def environments() -> Iterator[Target]:
    """Yields environments of both engines."""
    for module in (interest_exploration, interest_evolution, long_term_satisfaction):
        yield from functions(module.create_environment, env_config=CONFIG)
        yield from functions(module.create_vector_environment, env_config=CONFIG, num_envs=3)
        name = module.__name__.rpartition(".")[2]
        make = functools.partial(make_environment, name)
        yield method(make, "step", {"action": [0, 1]})
        yield method(make, "seed", {"seed": 3})
        make_vector = functools.partial(make_vector_environment, name)
        yield method(make_vector, "step", {"actions": np.zeros((3, 2), int)})
        yield method(make_vector, "reset", {"seed": 3, "options": None})
        yield method(make_vector, "load_state_dict", {"state": make_vector().state_dict()})
        yield method(make, "load_state_dict", {"state": make().state_dict()})
    yield from functions(
        registry.create_environment, name="interest_exploration", env_config=CONFIG
    )
    yield from functions(
        registry.create_vector_environment,
        name="interest_exploration",
        env_config=CONFIG,
        num_envs=3,
        max_steps_per_episode=5,
    )
    yield from functions(registry.create_agent, name="random", environment=make_environment())
    yield from functions(
        registry.create_vector_agent, name="random", environment=make_vector_environment()
    )
    users = {"user_model": make_user_model()}
    sampler = interest_exploration.IETopicDocumentSampler()
    sizes = {"num_candidates": 4, "slate_size": 2, "resample_documents": True}
    yield from functions(
        environment_lib.SingleUserEnvironment, **users, document_sampler=sampler, **sizes
    )
    yield from functions(
        environment_lib.MultiUserEnvironment,
        user_model=[make_user_model()],
        document_sampler=sampler,
        **sizes,
    )
    yield from functions(
        recsim_gym.RecSimGymEnv,
        raw_environment=make_environment().environment,
        reward_aggregator=len,
    )
    yield from functions(gymnasium_env.RecSimGymnasiumEnv, env=make_environment())
    yield from functions(wrappers.SingleUserEnvs, environments=[make_environment()])
    yield from functions(interest_exploration.IETopicDocumentSampler, seed=0)
    yield from functions(interest_evolution.UtilityModelVideoSampler, seed=0)
    yield from functions(long_term_satisfaction.LTSDocumentSampler, seed=0)
    yield from functions(
        long_term_satisfaction.LTSUserState,
        memory_discount=0.7,
        sensitivity=0.01,
        innovation_stddev=0.05,
        choc_mean=5.0,
        choc_stddev=1.0,
        kale_mean=4.0,
        kale_stddev=1.0,
        net_positive_exposure=0.0,
        time_budget=60,
    )
    yield Target(
        "vector.simulate",
        lambda: (simulate_few, {"num_users": 3, "num_steps": 2, "seed": 1, "workers": 1}),
    )
    yield from functions(streams.chunks, first_user=0, num_users=5)


def agents() -> Iterator[Target]:
    """Yields agents and layers."""
    env = make_environment()
    both = {"observation_space": env.observation_space, "action_space": env.action_space}
    yield from functions(random_agent.RandomAgent, action_space=env.action_space, random_seed=0)
    yield from functions(
        greedy_pctr_agent.GreedyPCTRAgent,
        action_space=env.action_space,
        belief_state=env.environment.user_model.avg_user_state,
    )
    yield from functions(cluster_bandit_agent.GreedyClusterAgent, **both, cluster_id=0)
    yield from functions(
        tabular_q_agent.TabularQAgent,
        **both,
        eval_mode=False,
        ignore_response=True,
        discretization_bounds=(0.0, 1.0),
        number_bins=5,
        exploration_policy="epsilon_greedy",
        exploration_temperature=0.9,
        learning_rate=0.1,
        gamma=0.9,
        ordinal_slates=False,
        seed=0,
    )
    yield from functions(
        cluster_click_statistics.ClusterClickStatsLayer,
        base_agent_ctor=cluster_bandit_agent.ClusterBanditAgent,
        **both,
    )
    yield from functions(
        fixed_length_history.FixedLengthHistoryLayer,
        base_agent_ctor=random_agent.RandomAgent,
        **both,
        history_length=2,
        remember_user=True,
    )
    yield from functions(
        temporal_aggregation.TemporalAggregationLayer,
        base_agent_ctor=random_agent.RandomAgent,
        **both,
        gamma=0.9,
        aggregation_period=2,
        switching_cost=1.0,
    )
    layer = cluster_click_statistics.ClusterClickStatsLayer(
        functools.partial(
            abstract_click_bandit.AbstractClickBanditLayer,
            arm_base_agent_ctors=[random_agent.RandomAgent, random_agent.RandomAgent],
        ),
        **both,
    )
    yield method(lambda: layer, "begin_episode", {"observation": first_observation()})
    for name in ("random", "greedy_pctr", "cluster_bandit_ucb1", "tabular_q"):
        make = functools.partial(make_agent, name)
        yield method(make, "step", {"reward": 1.0, "observation": later_observation()})
        yield method(make, "begin_episode", {"observation": first_observation()})
        yield method(make, "end_episode", {"reward": 1.0, "observation": later_observation()})
        bundle = make().bundle_and_checkpoint("", 0)
        yield method(
            make,
            "unbundle",
            {"checkpoint_dir": "", "iteration_number": 0, "bundle_dict": bundle},
        )
    yield from functions(
        agent_utils.epsilon_greedy_exploration,
        state_action_iterator=[([0], (0,)), ([1], (1,))],
        q_function={(0,): 1.0},
        epsilon=0.5,
        rng=np.random.RandomState(0),
    )
    yield from functions(
        agent_utils.min_count_exploration,
        state_action_iterator=[([0], (0,)), ([1], (1,))],
        counts_function={(0,): 1},
    )


def files_in(folder: str) -> Iterator[Target]:
    """Yields what writes files."""
    runner = {
        "base_dir": folder,
        "create_agent_fn": make_random_agent,
        "env": make_environment(),
        "episode_log_file": "",
        "checkpoint_file_prefix": "ckpt",
        "max_steps_per_episode": 3,
        "progress": False,
        "keep_checkpoints": 3,
    }
    yield from functions(
        runner_lib.TrainRunner,
        **runner,
        max_training_steps=3,
        num_iterations=1,
        checkpoint_frequency=1,
    )
    yield from functions(
        runner_lib.EvalRunner,
        **runner,
        max_eval_episodes=1,
        test_mode=True,
        min_interval_secs=0.1,
        timeout_secs=0.1,
    )
    yield from functions(checkpoint.Checkpointer, folder=folder, prefix="ckpt", keep=3)
    saved = f"{folder}/saved"
    checkpoint.save(saved, {"x": 1})
    yield from functions(checkpoint.load, checkpoint.is_checkpoint, path=saved)
    yield from functions(checkpoint.save, path=f"{folder}/other", tree={"x": 1})
    yield from functions(
        comparison.Comparison,
        environment="interest_exploration",
        agents=["random"],
        output_dir=os.path.join(folder, "comparison"),
        num_candidates=5,
        slate_size=2,
        seed=0,
        steps=2,
        episodes=2,
        train_steps=10,
        num_envs=None,
    )
    yield from functions(
        utils.write_video_cluster_metrics,
        metrics={"impression": 2, "click": 1, "quality": 1.0},
        add_summary_fn=print,
    )


def targets(folder: str) -> list[Target]:
    """Returns all targets; those that write files write to a folder."""
    return [*arrays(), *bandits_and_choices(), *environments(), *agents(), *files_in(folder)]


def random_call(rng: np.random.Generator, good: Mapping[str, Any]) -> dict[str, Any]:
    """Returns one to three absurd arguments, to be put in the place of good ones."""
    number = min(len(good), 1 + int(rng.choice(3, p=[0.7, 0.2, 0.1])))
    names = rng.choice(sorted(good), size=number, replace=False).tolist()
    return {name: absurd.VALUES[rng.integers(len(absurd.VALUES))] for name in names}


def fault_of_call(target: Target, arguments: Mapping[str, Any] = {}) -> Fault | None:
    """Calls a target, with some arguments replaced; returns what went wrong, None if nothing."""
    function, good = target.prepare()

    def fault(reason: str) -> Fault:
        return Fault(target.name, dict(arguments), reason)

    with warnings.catch_warnings(), _time_limit():
        warnings.simplefilter("ignore")
        try:
            result = function(**{**good, **arguments})
        except _TookTooLongError:
            return fault(f"takes more than {SECONDS} seconds")
        except Exception as error:  # Which one is what this is about.
            reason = clear_errors.unclear(error)
            return None if reason is None else fault(reason)
    if _is_finite(list(arguments.values())) and not _is_finite(result):
        return fault(f"returns {result!r} for finite arguments")
    return None


class _TookTooLongError(BaseException):
    """A call took too long."""


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    def give_up(*_: Any) -> None:
        raise _TookTooLongError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _is_finite(value: Any) -> bool:
    """Says whether there is no NaN in a value, at any depth (infinity may be right)."""
    if isinstance(value, (list, tuple)):
        return all(map(_is_finite, value))
    if isinstance(value, Mapping):
        return all(map(_is_finite, value.values()))
    if isinstance(value, (float, np.floating)):
        return not math.isnan(value)
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return not np.isnan(value).any()
    return True
