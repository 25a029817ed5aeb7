"""Scenarios, environments, agents and runners, with arguments that they take."""

from __future__ import annotations

import functools
import itertools
import os

import numpy as np

import recsim
from recsim import choice_model, registry, types, user
from recsim._internal.gym_import import spaces
from recsim.agents import (
    cluster_bandit_agent,
    full_slate_q_agent,
    greedy_pctr_agent,
    random_agent,
    slate_decomp_q_agent,
    tabular_q_agent,
)
from recsim.agents.bandits import algorithms
from recsim.agents.dopamine import dqn_agent
from recsim.agents.layers import (
    abstract_click_bandit,
    cluster_click_statistics,
    fixed_length_history,
    recent_slates,
    temporal_aggregation,
)
from recsim.environments import interest_evolution, interest_exploration, long_term_satisfaction
from recsim.experiments import agent_run
from recsim.logs import parquet
from recsim.simulator import checkpoint, environment, gymnasium_env, recsim_gym, runner_lib
from recsim.vector import simulate, wrappers
from support import TESTS, scenarios
from support.public_calls.functions import method
from support.scenarios import CONFIG

LTS, IEV, IE = long_term_satisfaction, interest_evolution, interest_exploration

# To make agents for; what is stepped is made anew.
ENV, EVOLUTION = scenarios.make_env(), scenarios.make_env("interest_evolution")
VECTOR_ENV, VECTOR_EVOLUTION = (
    scenarios.make_vector_env(name) for name in ("interest_exploration", "interest_evolution")
)


def config_of(module):
    return lambda **config: module.create_environment(config)


def vector_config_of(module):
    def create(**arguments):
        config = {name: value for name, value in arguments.items() if name != "num_envs"}
        env = module.create_vector_environment(config, arguments["num_envs"])
        observation, _ = env.reset(seed=0)
        return env.step(np.zeros((env.num_envs, env.slate_size), int))[1]

    return create


def rewards_of(create):
    """Returns a function that makes an environment and returns the rewards of some steps."""

    def rewards(**arguments):
        env = create(**arguments)
        env.reset()
        return [env.step(list(range(env.environment.slate_size)))[1] for _ in range(3)]

    return rewards


class _Scores(user.AbstractUserState):
    def score_document(self, doc_obs):
        return doc_obs

    create_observation = observation_space = None


def single_user_environment(**arguments):
    return environment.SingleUserEnvironment(
        IE.IEUserModel(2, response_model_ctor=IE.IEResponse),
        IE.IETopicDocumentSampler(),
        **arguments,
    )


def bandit_layer(**arguments):
    of_arms = [
        functools.partial(cluster_bandit_agent.GreedyClusterAgent, cluster_id=i) for i in (0, 1)
    ]
    return cluster_click_statistics.ClusterClickStatsLayer(
        lambda **kwargs: abstract_click_bandit.AbstractClickBanditLayer(
            **{"arm_base_agent_ctors": of_arms, **kwargs, **arguments}
        ),
        **SPACES,
    )


def random_agent_of(sess, env, **_):
    return random_agent.RandomAgent(env.action_space)


def eval_runner(**arguments):
    return runner_lib.EvalRunner(test_mode=True, **arguments)


def of_scenario(module, num_envs, **options):
    return module.create_vector_environment(CONFIG, num_envs, **options)


def was_reset(make, *arguments):
    """Returns a function that makes an environment and resets it."""

    def make_and_reset():
        env = make(*arguments)
        env.reset()
        return env

    return make_and_reset


def in_an_episode(name):
    """Returns a function that makes an agent that is in an episode."""

    def make():
        agent = registry.create_agent(name, ENV, seed=0)
        agent.begin_episode(FIRST_OBSERVATION)
        return agent

    return make


def step_of(scenario):
    """Returns a function that takes a step in an environment."""

    def step(slate):
        return was_reset(scenarios.make_env, scenario)().step(slate)[1]

    return step


def agent_run_of(agent, **arguments):
    return agent_run.AgentRun(agent=agent, folder=f"agent run {next(NUMBERS)}", **arguments)


def of_a_saved_one(function):
    """Returns a function of a path that saves a checkpoint before it calls another."""

    def call(path):
        if not os.path.exists("saved"):
            checkpoint.save("saved", {"x": 1})
        return function(path)

    return call


NUMBERS = itertools.count()
SPACES, EVOLUTION_SPACES = scenarios.spaces_of(ENV), scenarios.spaces_of(EVOLUTION)
FIRST_OBSERVATION = ENV.reset()
LATER_OBSERVATION = ENV.step([0, 1])[0]
DEEP = {
    "gamma": 0.9,
    "update_horizon": 1,
    "min_replay_history": 10,
    "update_period": 2,
    "target_update_period": 4,
    "epsilon_train": 0.1,
    "epsilon_eval": 0.1,
    "epsilon_decay_period": 10,
    "summary_writing_frequency": 5,
    "replay_capacity": 20,
    "batch_size": 2,
    "hidden_units": (4,),
    "learning_rate": 0.1,
    "loss": "squared",
    "optimizer_name": "sgd",
    "epsilon_fn": dqn_agent.linearly_decaying_epsilon,
    "seed": 0,
}
LTS_USERS = {
    "memory_discount": 0.7,
    "sensitivity": 0.01,
    "innovation_stddev": 0.05,
    "choc_mean": 5.0,
    "choc_stddev": 1.0,
    "kale_mean": 4.0,
    "kale_stddev": 1.0,
    "time_budget": 60,
}
PARAMETERS = {
    "topic_distribution": (0.2, 0.8),
    "topic_quality_mean": (0.8, 0.2),
    "topic_quality_stddev": (0.1, 0.1),
    "user_type_distribution": (0.3, 0.7),
    "user_document_mean_affinity_matrix": ((0.1, 0.7), (0.7, 0.1)),
    "user_document_stddev_affinity_matrix": ((0.1, 0.1), (0.1, 0.1)),
    "no_click_mass": 1.0,
}

TABLE = {
    "LTSStaticUserSampler": (LTS.LTSStaticUserSampler, {**LTS_USERS, "seed": 0}),
    "long-term satisfaction": (rewards_of(config_of(LTS)), {**CONFIG, **LTS_USERS}),
    "interest exploration": (rewards_of(config_of(IE)), {**CONFIG, **PARAMETERS}),
    "interest evolution": (
        rewards_of(config_of(IEV)),
        {**CONFIG, "choice_model": "multinomial_logit"},
    ),
    "long-term satisfaction of users in parallel": (
        vector_config_of(LTS),
        {**CONFIG, **LTS_USERS, "num_envs": 3},
    ),
    "interest exploration of users in parallel": (
        vector_config_of(IE),
        {**CONFIG, **PARAMETERS, "num_envs": 3},
    ),
    "IEClusterUserSampler": (
        IE.IEClusterUserSampler,
        {key: value for key, value in PARAMETERS.items() if key.startswith("user")} | {"seed": 0},
    ),
    "IETopicDocumentSampler": (
        IE.IETopicDocumentSampler,
        {key: value for key, value in PARAMETERS.items() if key.startswith("topic")} | {"seed": 0},
    ),
    "IEUserModel": (
        functools.partial(IE.IEUserModel, response_model_ctor=IE.IEResponse),
        {"slate_size": 2, "no_click_mass": 1.0, "seed": 0},
    ),
    "IEvVideoSampler": (
        IEV.IEvVideoSampler,
        {
            "min_feature_value": -1.0,
            "max_feature_value": 1.0,
            "video_length_mean": 4.0,
            "video_length_std": 1.0,
            "seed": 0,
        },
    ),
    "UtilityModelVideoSampler": (
        IEV.UtilityModelVideoSampler,
        {"min_utility": -3.0, "max_utility": 3.0, "video_length": 4.0, "seed": 0},
    ),
    "UtilityModelUserSampler": (
        IEV.UtilityModelUserSampler,
        {
            "document_quality_factor": 1.0,
            "no_click_mass": 1.0,
            "min_normalizer": -1.0,
            "seed": 0,
        },
    ),
    "IEvUserModel": (
        functools.partial(
            IEV.IEvUserModel, choice_model_ctor=choice_model.MultinomialProportionalChoiceModel
        ),
        {
            "slate_size": 2,
            "no_click_mass": 1.0,
            "seed": 0,
            "alpha_x_intercept": 1.0,
            "alpha_y_intercept": 0.3,
        },
    ),
    # Environments.
    "SingleUserEnvironment": (
        single_user_environment,
        {"num_candidates": 4, "slate_size": 2},
    ),
    "RecSimGymEnv": (
        lambda reward_aggregator: recsim_gym.RecSimGymEnv(
            single_user_environment(num_candidates=4, slate_size=2), reward_aggregator
        ),
        {"reward_aggregator": len},
    ),
    "options of a vector environment": (
        functools.partial(of_scenario, IE),
        {
            "num_envs": 3,
            "max_steps_per_episode": 5,
            "first_user": 0,
            "seed": 0,
            "dtype": "float64",
            "candidates": "step",
        },
    ),
    **{
        f"create_environment of {module.__name__}": (
            module.create_environment,
            {"env_config": CONFIG},
        )
        for module in (IE, IEV, LTS)
    },
    **{
        f"create_vector_environment of {module.__name__}": (
            module.create_vector_environment,
            {"env_config": CONFIG, "num_envs": 3},
        )
        for module in (IE, IEV, LTS)
    },
    **{
        f"{name} of an environment of {scenario}": (
            method(was_reset(scenarios.make_env, scenario), name),
            arguments,
        )
        for scenario in scenarios.SCENARIOS
        for name, arguments in (
            ("seed", {"seed": 3}),
            ("load_state_dict", {"state": was_reset(scenarios.make_env, scenario)().state_dict()}),
        )
    },
    **{
        f"{name} of a vectorized environment of {scenario}": (
            method(was_reset(scenarios.make_vector_env, scenario), name),
            arguments,
        )
        for scenario in scenarios.SCENARIOS
        for name, arguments in (
            ("step", {"actions": np.zeros((3, 2), int)}),
            ("reset", {"seed": 3, "options": None}),
            (
                "load_state_dict",
                {"state": was_reset(scenarios.make_vector_env, scenario)().state_dict()},
            ),
        )
    },
    **{
        f"step of an environment of {scenario}": (step_of(scenario), {"slate": [0, 1]})
        for scenario in scenarios.SCENARIOS
    },
    "registry.create_environment": (
        lambda environment, env_config: registry.create_environment(environment, env_config),
        {"environment": "interest_exploration", "env_config": CONFIG},
    ),
    "registry.create_vector_environment": (
        lambda environment, **arguments: registry.create_vector_environment(
            environment, **arguments
        ),
        {
            "environment": "interest_exploration",
            "env_config": CONFIG,
            "num_envs": 3,
            "max_steps_per_episode": 5,
        },
    ),
    "parts of a SingleUserEnvironment": (
        environment.SingleUserEnvironment,
        {
            "user_model": ENV.environment.user_model,
            "document_sampler": IE.IETopicDocumentSampler(),
            "num_candidates": 4,
            "slate_size": 2,
            "resample_documents": True,
        },
    ),
    "MultiUserEnvironment": (
        environment.MultiUserEnvironment,
        {
            "user_model": [ENV.environment.user_model],
            "document_sampler": IE.IETopicDocumentSampler(),
            "num_candidates": 4,
            "slate_size": 2,
            "resample_documents": True,
        },
    ),
    "raw_environment of a RecSimGymEnv": (
        recsim_gym.RecSimGymEnv,
        {"raw_environment": ENV.environment, "reward_aggregator": len},
    ),
    "RecSimGymnasiumEnv": (gymnasium_env.RecSimGymnasiumEnv, {"env": ENV}),
    "LTSDocumentSampler": (LTS.LTSDocumentSampler, {"seed": 0}),
    "LTSUserState": (LTS.LTSUserState, {**LTS_USERS, "net_positive_exposure": 0.0}),
    # Agents.
    "RandomAgent": (
        random_agent.RandomAgent,
        {"action_space": spaces.MultiDiscrete([3, 3]), "random_seed": 0},
    ),
    "VectorRandomAgent": (
        lambda **arguments: random_agent.VectorRandomAgent(
            **{"environment": VECTOR_ENV, **arguments}
        ),
        {"random_seed": 0},
    ),
    "GreedyClusterAgent": (
        lambda **arguments: cluster_bandit_agent.GreedyClusterAgent(**SPACES, **arguments),
        {"cluster_id": 1},
    ),
    "GreedyPCTRAgent.findBestDocuments": (
        method(
            lambda: greedy_pctr_agent.GreedyPCTRAgent(ENV.action_space, _Scores()),
            "findBestDocuments",
        ),
        {"scores": [0.5, 0.25]},
    ),
    "GreedyPCTRAgent": (
        lambda **arguments: greedy_pctr_agent.GreedyPCTRAgent(belief_state=_Scores(), **arguments),
        {"action_space": spaces.MultiDiscrete([3, 3])},
    ),
    "ClusterBanditAgent": (
        lambda **arguments: cluster_click_statistics.ClusterClickStatsLayer(
            functools.partial(cluster_bandit_agent.ClusterBanditAgent, **arguments),
            **SPACES,
        ),
        {"alg_ctor": algorithms.UCB1, "ci_scaling": 1.0, "random_seed": 0},
    ),
    "VectorClusterBanditAgent": (
        lambda **arguments: cluster_click_statistics.VectorClusterClickStatsLayer(
            functools.partial(cluster_bandit_agent.VectorClusterBanditAgent, **arguments),
            VECTOR_ENV,
        ),
        {"alg_ctor": algorithms.UCB1, "ci_scaling": 1.0, "random_seed": 0},
    ),
    "AbstractClickBanditLayer": (
        bandit_layer,
        {
            "arm_base_agent_ctors": [
                functools.partial(cluster_bandit_agent.GreedyClusterAgent, cluster_id=i)
                for i in (0, 1)
            ],
            "alg_ctor": algorithms.UCB1,
            "ci_scaling": 1.0,
            "random_seed": 0,
        },
    ),
    "ClusterClickStatsLayer": (
        lambda **arguments: cluster_click_statistics.ClusterClickStatsLayer(
            **{**SPACES, **arguments}
        ),
        {"base_agent_ctor": cluster_bandit_agent.ClusterBanditAgent},
    ),
    "FixedLengthHistoryLayer": (
        lambda **arguments: fixed_length_history.FixedLengthHistoryLayer(**{**SPACES, **arguments}),
        {"base_agent_ctor": random_agent.RandomAgent, "history_length": 2},
    ),
    "RecentSlatesLayer": (
        lambda **arguments: recent_slates.RecentSlatesLayer(**{**SPACES, **arguments}),
        {"base_agent_ctor": random_agent.RandomAgent, "num_slates": 2, "average": False},
    ),
    "VectorRecentSlatesLayer": (
        lambda **arguments: recent_slates.VectorRecentSlatesLayer(
            **{"environment": VECTOR_ENV, **arguments}
        ),
        {
            "base_agent_ctor": random_agent.VectorRandomAgent,
            "num_slates": 2,
            "average": False,
        },
    ),
    "TemporalAggregationLayer": (
        lambda **arguments: temporal_aggregation.TemporalAggregationLayer(
            **{**SPACES, **arguments}
        ),
        {
            "base_agent_ctor": random_agent.RandomAgent,
            "gamma": 0.5,
            "aggregation_period": 2,
            "switching_cost": 1.0,
            "document_comparison_fcn": None,
        },
    ),
    "TabularQAgent": (
        lambda **arguments: tabular_q_agent.TabularQAgent(**{**SPACES, **arguments}),
        {
            "discretization_bounds": (0.0, 10.0),
            "number_bins": 10,
            "exploration_policy": "epsilon_greedy",
            "exploration_temperature": 0.9,
            "learning_rate": 0.1,
            "gamma": 0.9,
            "seed": 0,
        },
    ),
    "FullSlateQAgent": (
        lambda **arguments: full_slate_q_agent.FullSlateQAgent(
            None, **{**EVOLUTION_SPACES, **arguments}
        ),
        {**DEEP, "max_num_slates": 100},
    ),
    "SlateDecompQAgent": (
        lambda **arguments: slate_decomp_q_agent.SlateDecompQAgent(
            None, **{**EVOLUTION_SPACES, **arguments}
        ),
        {
            **DEEP,
            "no_click_mass": 1.0,
            "min_normalizer": -1.0,
            "stack_size": 1,
            "reward_field": "watch_time",
            "select_slate_fn": None,
            "compute_target_fn": None,
            "score_documents_fn": None,
        },
    ),
    "VectorSlateDecompQAgent": (
        lambda **arguments: slate_decomp_q_agent.VectorSlateDecompQAgent(
            VECTOR_EVOLUTION, **arguments
        ),
        DEEP,
    ),
    "create_agent": (
        lambda agent_name: slate_decomp_q_agent.create_agent(
            agent_name, None, **EVOLUTION_SPACES, replay_capacity=20
        ),
        {"agent_name": "slate_topk_sarsa"},
    ),
    **{
        f"{name} of {agent}": (method(in_an_episode(agent), name), arguments)
        for agent in ("random", "greedy_pctr", "cluster_bandit_ucb1", "tabular_q")
        for name, arguments in (
            ("step", {"reward": 1.0, "observation": LATER_OBSERVATION}),
            ("begin_episode", {"observation": FIRST_OBSERVATION}),
            ("end_episode", {"reward": 1.0, "observation": LATER_OBSERVATION}),
            (
                "unbundle",
                {
                    "checkpoint_dir": "",
                    "iteration_number": 0,
                    "bundle_dict": in_an_episode(agent)().bundle_and_checkpoint("", 0),
                },
            ),
        )
    },
    "layer of click bandits": (
        method(
            lambda: cluster_click_statistics.ClusterClickStatsLayer(
                functools.partial(
                    abstract_click_bandit.AbstractClickBanditLayer,
                    arm_base_agent_ctors=[random_agent.RandomAgent] * 2,
                ),
                **SPACES,
            ),
            "begin_episode",
        ),
        {"observation": FIRST_OBSERVATION},
    ),
    "registry.create_agent": (
        lambda agent, environment: registry.create_agent(agent, environment),
        {"agent": "random", "environment": ENV},
    ),
    "registry.create_vector_agent": (
        lambda agent, environment: registry.create_vector_agent(agent, environment),
        {"agent": "random", "environment": VECTOR_ENV},
    ),
    # Runners and simulation.
    "EvalRunner": (
        eval_runner,
        {
            "base_dir": "unused",
            "create_agent_fn": random_agent_of,
            "env": ENV,
            "max_eval_episodes": 2,
            "max_steps_per_episode": 5,
            "keep_checkpoints": 2,
            "min_interval_secs": 0.0,
            "timeout_secs": 0.0,
        },
    ),
    "TrainRunner": (
        runner_lib.TrainRunner,
        {
            "base_dir": "unused",
            "create_agent_fn": random_agent_of,
            "env": ENV,
            "max_training_steps": 2,
            "num_iterations": 1,
            "checkpoint_frequency": 1,
            "max_steps_per_episode": 5,
            "parquet_log": "episodes.parquet",
            "log_user_state": False,
        },
    ),
    "simulate": (
        simulate.simulate,
        {
            "make_environment": functools.partial(IE.create_vector_environment, CONFIG),
            "make_agent": random_agent.VectorRandomAgent,
            "num_users": 2,
            "num_steps": 1,
            "seed": 0,
            "workers": 1,
            "log_user_state": False,
        },
    ),
    "ParquetLog": (
        parquet.ParquetLog,
        {"path": "episodes.parquet", "env": ENV, "user_state": True},
    ),
    "VectorParquetLog": (
        parquet.VectorParquetLog,
        {"path": "episodes.parquet", "env": VECTOR_ENV, "user_state": True},
    ),
    "read_episodes": (
        recsim.read_episodes,
        {
            "path": str(TESTS / "logs" / "data" / "recsim_0_2_4.tfrecord"),
            "columns": ["step", "reward"],
        },
    ),
    "watch": (
        recsim.watch,
        {
            "env": LTS.create_environment({**CONFIG, "time_budget": 3}),
            "agent": random_agent.RandomAgent(spaces.MultiDiscrete([5, 5])),
            "max_steps": 2,
            "seed": 0,
            "title": "a title",
            "show": False,
        },
    ),
    "ExplanationTable": (
        types.ExplanationTable,
        {"of": "candidate", "rows": range(3), "columns": {"Q-value": [1.0, 2.0, 3.0]}},
    ),
    "Explanation": (
        types.Explanation,
        {"title": "a title", "tables": [], "numbers": {"epsilon": 0.1}},
    ),
    "SingleUserEnvs": (
        lambda **arguments: wrappers.SingleUserEnvs(**arguments),
        {
            "environments": [IE.create_environment(CONFIG)],
            "max_steps_per_episode": 3,
            "first_user": 0,
        },
    ),
    "AgentRun": (
        agent_run_of,
        {
            "environment": "interest_exploration",
            "agent": "random",
            "num_candidates": 5,
            "slate_size": 2,
            "seed": 0,
            "steps": 2,
            "episodes": 2,
            "train_steps": 10,
            "num_envs": None,
        },
    ),
    # Checkpoints.
    "Checkpointer": (checkpoint.Checkpointer, {"folder": "ckpts", "prefix": "ckpt", "keep": 3}),
    "checkpoint.save": (checkpoint.save, {"path": "saved", "tree": {"x": 1}}),
    "checkpoint.load": (of_a_saved_one(checkpoint.load), {"path": "saved"}),
    "is_checkpoint": (of_a_saved_one(checkpoint.is_checkpoint), {"path": "saved"}),
}
