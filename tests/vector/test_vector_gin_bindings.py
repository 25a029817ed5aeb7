"""Gin's bindings of single-user classes reach their vector forms: every parameter of each."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import gin
import numpy as np
import pytest
from support.scenarios import CONFIG

from recsim._internal import bindings
from recsim.agents import (
    cluster_bandit_agent,
    full_slate_q_agent,
    random_agent,
    slate_decomp_q_agent,
)
from recsim.agents.bandits import algorithms
from recsim.agents.dopamine import circular_replay_buffer, dqn_agent
from recsim.agents.layers import cluster_click_statistics
from recsim.environments import interest_evolution, interest_exploration, long_term_satisfaction
from recsim.simulator import runner_lib
from recsim.vector import scenario


@pytest.fixture(autouse=True)
def no_bindings() -> Iterator[None]:
    yield
    gin.clear_config()


def parameters_of(configurable: type, not_configured: set[str]) -> set[str]:
    """Returns the parameters of a class, but for those that whoever makes it gives it."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    found = {
        name
        for name, parameter in inspect.signature(configurable).parameters.items()
        if parameter.kind not in kinds
    }
    assert not_configured <= found
    return found - not_configured


# Scenarios.


def rollout(module: Any, num_steps: int = 100, **settings: Any) -> list[np.ndarray]:
    """Returns what is observed of users with random slates."""
    env = module.create_vector_environment({**CONFIG, **settings}, 20)
    agent = random_agent.VectorRandomAgent(env)
    observation, _ = env.reset()
    slates = agent.begin(observation)
    found = []
    for _ in range(num_steps):
        outcome = env.step(slates)
        found += [outcome[1], outcome[2], *_arrays(outcome[0])]
        slates = agent.step(*outcome)
    return found


def _arrays(observation: Any) -> Iterator[np.ndarray]:
    if hasattr(observation, "items"):
        for _, value in observation.items():
            yield from _arrays(value)
    else:
        yield np.asarray(observation)


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(map(np.array_equal, one, other))


SAMPLERS: dict[type, tuple[Any, set[str], dict[str, Any]]] = {
    interest_evolution.UtilityModelUserSampler: (
        interest_evolution,
        {"user_ctor", "no_click_mass"},  # The user model gives them.
        {
            "document_quality_factor": 0.1,
            "min_normalizer": -3.0,
            "time_budget": 30.0,
            "step_penalty": 3.0,
            "score_scaling": 0.1,
            "attention_prob": 0.3,
            "user_quality_factor": 5.0,
            "user_update_alpha": 0.9,
            "min_interest": 0.5,
            "max_interest": -0.5,
        },
    ),
    interest_exploration.IEClusterUserSampler: (
        interest_exploration,
        {"user_ctor"},
        {
            "user_type_distribution": (0.9, 0.1),
            "user_document_mean_affinity_matrix": ((0.9, 0.1), (0.1, 0.9)),
            "user_document_stddev_affinity_matrix": ((2.0, 2.0), (2.0, 2.0)),
        },
    ),
    interest_exploration.IETopicDocumentSampler: (
        interest_exploration,
        set(),
        {
            "topic_distribution": (0.9, 0.1),
            "topic_quality_mean": (2.0, 2.0),
            "topic_quality_stddev": (1.0, 0.5),
        },
    ),
    long_term_satisfaction.LTSStaticUserSampler: (
        long_term_satisfaction,
        {"user_ctor"},
        {
            "memory_discount": 0.2,
            "sensitivity": 0.5,
            "innovation_stddev": 0.5,
            "choc_mean": 3.0,
            "choc_stddev": 2.0,
            "kale_mean": 2.0,
            "kale_stddev": 2.0,
            "time_budget": 7,
            "initial_exposure_scale": 2.0,
        },
    ),
}
#: What parameters need to have an effect.
NEEDED: dict[str, dict[str, Any]] = {
    name: {"choice_model": "exponential_cascade"} for name in ("score_scaling", "attention_prob")
}


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler.__name__)
def test_every_parameter_of_a_sampler_changes_what_many_users_do(sampler: type) -> None:
    module, not_configured, values = SAMPLERS[sampler]
    ignored = {"doc_ctor"} if "doc_ctor" in inspect.signature(sampler).parameters else set()
    assert set(values) == parameters_of(sampler, not_configured | ignored)
    for parameter, value in values.items():
        config = NEEDED.get(parameter, {})
        default = rollout(module, **config)
        gin.bind_parameter(f"{sampler.__name__}.{parameter}", value)
        assert not same(rollout(module, **config), default), parameter
        gin.clear_config()
        assert same(rollout(module, **config), default)


# Bandits.


def bandit_slates(**arguments: Any) -> list[np.ndarray]:
    env = interest_exploration.create_vector_environment(CONFIG, 40)
    agent = cluster_click_statistics.VectorClusterClickStatsLayer(
        cluster_bandit_agent.VectorClusterBanditAgent, env, **arguments
    )
    observation, _ = env.reset()
    slates = [agent.begin(observation)]
    for _ in range(30):
        slates.append(agent.step(*env.step(slates[-1])))
    return slates


BANDIT: dict[str, tuple[Any, dict[str, Any]]] = {
    "alg_ctor": (algorithms.KLUCB, {}),
    "ci_scaling": (0.1, {}),
    "random_seed": (7, {"alg_ctor": algorithms.ThompsonSampling}),
}


def test_every_parameter_of_the_bandit_reaches_many_users() -> None:
    own = parameters_of(
        cluster_bandit_agent.ClusterBanditAgent,
        {"observation_space", "action_space", "propensity_samples"},  # The last changes no slate.
    )
    assert set(BANDIT) == own
    for parameter, (value, others) in BANDIT.items():
        default, given = bandit_slates(**others), bandit_slates(**others, **{parameter: value})
        gin.bind_parameter(f"ClusterBanditAgent.{parameter}", value)
        assert same(bandit_slates(**others), given), parameter
        assert not same(given, default), parameter
        gin.clear_config()


# Deep agents.

SMALL = {
    "hidden_units": (4,),
    "min_replay_history": 10,
    "update_period": 5,
    "batch_size": 8,
    "replay_capacity": 200,
    "learning_rate": 0.01,
}


def constant_epsilon(*_: Any) -> float:
    return 0.5


def learned(
    agent_class: type, eval_mode: bool | None = None, left_out: str = "", **arguments: Any
) -> list[np.ndarray]:
    """Returns what an agent showed and learned in a short training."""
    env = interest_evolution.create_vector_environment(CONFIG, 4, max_steps_per_episode=9)
    settings = {name: value for name, value in SMALL.items() if name != left_out}
    if eval_mode is not None:
        arguments["eval_mode"] = eval_mode
    agent = agent_class(env, **{**settings, **arguments})
    observation, _ = env.reset()
    slates = [agent.begin(observation)]
    for _ in range(25):
        slates.append(agent.step(*env.step(slates[-1])))
    return [*slates, *agent.serving_bundle()["online_network"], np.array(agent.num_updates)]


#: Values of parameters, and arguments without which they have no effect.
DEEP: dict[str, tuple[Any, dict[str, Any]]] = {
    "optimizer_name": ("sgd", {}),
    "gamma": (0.3, {"target_update_period": 1}),
    "update_horizon": (3, {}),
    "min_replay_history": (50, {}),
    "update_period": (11, {}),
    "target_update_period": (5, {}),
    "epsilon_fn": (constant_epsilon, {}),
    "epsilon_train": (0.9, {"epsilon_decay_period": 1}),
    "epsilon_eval": (0.9, {"eval_mode": True}),
    "epsilon_decay_period": (3, {}),
    "eval_mode": (True, {}),
    "replay_capacity": (20, {}),
    "batch_size": (3, {}),
    "hidden_units": ((3, 3), {}),
    "loss": ("huber", {}),
    "seed": (5, {}),
    "learning_rate": (0.1, {}),
}
#: Those that change nothing of it: where the agent computes, what it writes, what bundles it takes,
#: and the recurrent state, which observations without recent slates are refused for.
WITHOUT_EFFECT_HERE = {
    "tf_device",
    "use_staging",
    "max_tf_checkpoints_to_keep",
    "optimizer",
    "summary_writer",
    "summary_writing_frequency",
    "allow_partial_reload",
    "recurrent_units",
}
VECTOR_FORMS = {
    full_slate_q_agent.FullSlateQAgent: full_slate_q_agent.VectorFullSlateQAgent,
    slate_decomp_q_agent.SlateDecompQAgent: slate_decomp_q_agent.VectorSlateDecompQAgent,
}


def check_reaches(vector_form: type, name: str, parameter: str, value: Any, others: Any) -> None:
    """Checks that a binding does what the argument of that name does."""
    default = learned(vector_form, left_out=parameter, **others)
    given = learned(vector_form, **others, **{parameter: value})
    gin.bind_parameter(f"{name}.{parameter}", value)
    bound = learned(vector_form, left_out=parameter, **others)
    gin.clear_config()
    assert same(bound, given), f"{name}.{parameter}"
    assert len(given) != len(default) or not same(given, default), f"{name}.{parameter}"


def test_every_parameter_of_deep_agents_is_tried() -> None:
    own = parameters_of(dqn_agent.DQNAgent, {"adapter", "action_space", "create_values"})
    assert set(DEEP) | WITHOUT_EFFECT_HERE == own


@pytest.mark.parametrize("parameter", DEEP)
def test_bindings_of_the_deep_agent_reach_many_users(parameter: str) -> None:
    value, others = DEEP[parameter]
    vector_form = full_slate_q_agent.VectorFullSlateQAgent
    # Subclasses of DQNAgent give it two of them themselves, also for one user.
    of_subclass = parameter in ("eval_mode", "optimizer_name")
    name = "FullSlateQAgent" if of_subclass else "DQNAgent"
    check_reaches(vector_form, name, parameter, value, others)


@pytest.mark.parametrize("parameter", ["update_period", "batch_size", "learning_rate", "gamma"])
def test_bindings_of_subclasses_reach_many_users(parameter: str) -> None:
    value, others = DEEP[parameter]
    for agent_class, vector_form in VECTOR_FORMS.items():
        check_reaches(vector_form, agent_class.__name__, parameter, value, others)


@pytest.mark.parametrize("parameter", ["batch_size", "replay_capacity"])
def test_bindings_of_the_replay_buffer_reach_many_users(parameter: str) -> None:
    value, others = DEEP[parameter]
    form = full_slate_q_agent.VectorFullSlateQAgent
    check_reaches(form, circular_replay_buffer.WrappedReplayBuffer.__name__, parameter, value, {})
    # The agent's own setting comes before the buffer's, as with one user.
    gin.bind_parameter(f"WrappedReplayBuffer.{parameter}", 150)
    gin.bind_parameter(f"DQNAgent.{parameter}", value)
    both = learned(form, left_out=parameter, **others)
    gin.clear_config()
    assert same(both, learned(form, **others, **{parameter: value}))


SLATE_Q: dict[str, tuple[Any, dict[str, Any]]] = {
    "optimizer_name": ("sgd", {}),
    "select_slate_fn": (slate_decomp_q_agent.select_slate_topk, {"epsilon_decay_period": 1}),
    "compute_target_fn": (
        slate_decomp_q_agent.compute_target_sarsa,
        {"target_update_period": 1, "epsilon_decay_period": 1},
    ),
    "eval_mode": (True, {}),
    "no_click_mass": (9.0, {"epsilon_decay_period": 1}),
    "is_mnl": (True, {"epsilon_decay_period": 1}),
    "min_normalizer": (-30.0, {"epsilon_decay_period": 1}),
    "reward_field": ("quality", {}),
    "learn_no_click_value": (True, {}),
}


def scores(users: np.ndarray, documents: np.ndarray) -> Any:
    weights = np.exp(-(documents @ users[..., np.newaxis])[..., 0])
    return weights, np.ones(weights.shape[:-1])


@pytest.mark.parametrize("parameter", [*SLATE_Q, "score_documents_fn"])
def test_bindings_of_slate_q_reach_many_users(parameter: str) -> None:
    slate_q = slate_decomp_q_agent.SlateDecompQAgent
    made = {"sess", "observation_space", "action_space", "stack_size"}
    assert {*SLATE_Q, "score_documents_fn"} == parameters_of(slate_q, made)
    value, others = SLATE_Q.get(parameter, (scores, {"epsilon_decay_period": 1}))
    check_reaches(VECTOR_FORMS[slate_q], slate_q.__name__, parameter, value, others)


def test_bindings_of_full_slates_reach_many_users() -> None:
    own = parameters_of(
        full_slate_q_agent.FullSlateQAgent, {"sess", "observation_space", "action_space"}
    )
    assert own == {"optimizer_name", "eval_mode", "max_num_slates"}
    gin.bind_parameter("FullSlateQAgent.max_num_slates", 11)
    with pytest.raises(ValueError, match="max_num_slates=11"):
        learned(full_slate_q_agent.VectorFullSlateQAgent)


def test_an_optimizer_that_is_bound_needs_no_learning_rate() -> None:
    import keras

    form = full_slate_q_agent.VectorFullSlateQAgent
    optimizer = keras.optimizers.SGD(0.01)
    gin.bind_parameter("DQNAgent.optimizer", optimizer)
    bound = learned(form, left_out="learning_rate")
    gin.clear_config()
    assert same(bound, learned(form, left_out="learning_rate", optimizer=optimizer))
    with pytest.raises(ValueError, match="learning_rate is for an optimizer by name"):
        learned(form, optimizer=optimizer, learning_rate=0.1)


def test_a_binding_of_the_vector_form_comes_first() -> None:
    form = full_slate_q_agent.VectorFullSlateQAgent
    gin.bind_parameter("DQNAgent.update_period", 3)
    gin.bind_parameter("VectorDQNAgent.update_period", 9)
    bound = learned(form, left_out="update_period")
    gin.clear_config()
    assert same(bound, learned(form, update_period=9))


def test_what_changes_no_results_is_not_refused_for_many_users() -> None:
    bindings_without_effect = {
        "DQNAgent.tf_device": "/cpu:0",
        "DQNAgent.summary_writing_frequency": 7,
        "DQNAgent.allow_partial_reload": True,
        "ObservationAdapter.stack_size": 3,
    }
    for name, value in bindings_without_effect.items():
        gin.bind_parameter(name, value)
    with bindings.recorded() as made:
        learned(full_slate_q_agent.VectorFullSlateQAgent)
    made.refuse_unused()
    gin.bind_parameter("LTSStaticUserSampler.sensitivity", 0.5)
    with pytest.raises(ValueError, match="'LTSStaticUserSampler.sensitivity' has no effect"):
        made.refuse_unused()


# Runners.


def test_bindings_of_runners_reach_runs_of_many_users(tmp_path: Any) -> None:
    runner_lib.load_gin_configs(
        [],
        [
            "Runner.max_steps_per_episode = 3",
            "Runner.episode_log_file = 'log.tfrecord'",
            "Runner.checkpoint_file_prefix = 'kept'",
            "Runner.keep_checkpoints = 2",
            "TrainRunner.max_training_steps = 24",
            "TrainRunner.num_iterations = 4",
            "TrainRunner.checkpoint_frequency = 2",
            "EvalRunner.max_eval_episodes = 5",
        ],
    )
    env: Any = interest_exploration.create_vector_environment(CONFIG, 4)
    assert isinstance(env.user_model, scenario.VectorUserModel)
    create: Callable[..., Any] = lambda sess, env, **_: random_agent.VectorRandomAgent(env)  # noqa: E731
    runner_lib.TrainRunner(
        base_dir=tmp_path, create_agent_fn=create, env=env, progress=False
    ).run_experiment()
    runner_lib.EvalRunner(
        base_dir=tmp_path, create_agent_fn=create, env=env, progress=False, test_mode=True
    ).run_experiment()
    checkpoints = sorted(path.name for path in (tmp_path / "train/checkpoints").glob("*.[0-9]"))
    assert checkpoints == ["kept.2", "kept.3"]
    assert (tmp_path / "train/log.tfrecord").is_file()
    assert (tmp_path / "eval_5/returns_96").is_file()
    lengths = (tmp_path / "eval_5/metrics.jsonl").read_text()
    assert '"AverageEpisodeLength": 3.0' in lengths
