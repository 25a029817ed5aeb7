"""What is called with odd arguments: every public function and class, with arguments it takes."""

from __future__ import annotations

import collections
import functools

import numpy as np

from recsim import choice_model, seeding, user, utils
from recsim._internal.gym_import import spaces
from recsim.agents import (
    agent_utils,
    cluster_bandit_agent,
    full_slate_q_agent,
    greedy_pctr_agent,
    random_agent,
    slate_decomp_q_agent,
    tabular_q_agent,
)
from recsim.agents.bandits import algorithms, glm_algorithms
from recsim.agents.dopamine import dqn_agent, transitions
from recsim.agents.layers import (
    abstract_click_bandit,
    cluster_click_statistics,
    fixed_length_history,
    temporal_aggregation,
)
from recsim.environments import interest_evolution, interest_exploration, long_term_satisfaction
from recsim.experiments import statistics
from recsim.simulator import environment, recsim_gym, runner_lib
from recsim.vector import simulate, streams, wrappers

CONFIG = {"num_candidates": 4, "slate_size": 2, "resample_documents": True, "seed": 0}
LTS, IEV, IE = long_term_satisfaction, interest_evolution, interest_exploration


@functools.cache
def envs():
    """Environments of one user and of several in parallel, to make agents for."""
    return {
        "ie": IE.create_environment(CONFIG),
        "iev": IEV.create_environment(CONFIG),
        "lts": LTS.create_environment(CONFIG),
        "vector ie": IE.create_vector_environment(CONFIG, 3),
        "vector iev": IEV.create_vector_environment(CONFIG, 3),
    }


def spaces_of(name):
    env = envs()[name]
    return {"observation_space": env.observation_space, "action_space": env.action_space}


def method(make, name):
    """Returns a method of a new object at each call."""
    return lambda **arguments: getattr(make(), name)(**arguments)


def config_of(module):
    return lambda **config: module.create_environment(config)


def vector_config_of(module):
    def create(**arguments):
        config = {name: value for name, value in arguments.items() if name != "num_envs"}
        env = module.create_vector_environment(config, arguments["num_envs"])
        observation, _ = env.reset(seed=0)
        return env.step(np.zeros((env.num_envs, env.slate_size), int))[1]

    return create


def played(create):
    """Returns a function that makes an environment and returns the rewards of some steps."""

    def play(**arguments):
        env = create(**arguments)
        env.reset()
        return [env.step(list(range(env.environment.slate_size)))[1] for _ in range(3)]

    return play


def features(model):
    def scored(**choice_features):
        made = model(choice_features)
        made.score_documents(_Scores(), [0.5, 0.25])
        return [*made.scores, made.score_no_click]

    return scored


class _Scores(user.AbstractUserState):
    def score_document(self, doc_obs):
        return doc_obs

    create_observation = observation_space = None


class _User(user.AbstractUserModel):
    update_state = is_terminal = simulate_response = None


def world(**arguments):
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
        **spaces_of("ie"),
    )


def random_agent_of(sess, env, **_):
    return random_agent.RandomAgent(env.action_space)


def eval_runner(**arguments):
    return runner_lib.EvalRunner(test_mode=True, **arguments)


def bandit_of(kind):
    return lambda num_arms, seed, **params: kind(num_arms, params, seed)


def scores_of(kind):
    def scores(t, **params):
        bandit = kind(2, params)
        bandit.set_state([3, 1], [1, 1])
        return bandit.get_score(t)

    return scores


def stream():
    return streams.chunk_streams(0, "test", 0, 3)[0]


def of_scenario(module, num_envs, **options):
    return module.create_vector_environment(CONFIG, num_envs, **options)


SCORES = {"scores": [0.5, 0.25]}
CASCADE = {"attention_prob": 0.5, "score_scaling": 0.1}
COUNTS = {"pulls": [3, 1], "reward": [1, 1], "t": 4, "optimism_scaling": 1.0}
TARGETS = {
    "reward": np.ones(2, np.float32),
    "gamma": 0.9,
    "next_actions": np.array([[0, 1], [1, 2]]),
    "next_q_values": np.ones((2, 3), np.float32),
    "next_states": np.full((2, 4, 5, 1), 0.1, np.float32),
    "terminals": np.zeros(2, np.float32),
}
SELECT = {"slate_size": 1, "s_no_click": 1.0, "s": [0.5, 0.25], "q": [1.0, 2.0]}
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
IE_WORLD = {
    "topic_distribution": (0.2, 0.8),
    "topic_quality_mean": (0.8, 0.2),
    "topic_quality_stddev": (0.1, 0.1),
    "user_type_distribution": (0.3, 0.7),
    "user_document_mean_affinity_matrix": ((0.1, 0.7), (0.7, 0.1)),
    "user_document_stddev_affinity_matrix": ((0.1, 0.1), (0.1, 0.1)),
    "no_click_mass": 1.0,
}

# What is called, and arguments that it takes, by the name of the row. An argument that another
# name may be used for in errors, such as the entry of a dictionary, goes by that.
TABLE = {
    # Bandits.
    "ucb1_index": (algorithms.ucb1_index, COUNTS),
    "kl_ucb_index": (algorithms.kl_ucb_index, {**COUNTS, "c": 3.0}),
    "thompson_index": (
        algorithms.thompson_index,
        {**{k: v for k, v in COUNTS.items() if k != "t"}, "rng": np.random.RandomState(0)},
    ),
    **{
        kind.__name__: (bandit_of(kind), {"num_arms": 3, "seed": 0, "optimism_scaling": 0.5})
        for kind in (algorithms.UCB1, algorithms.KLUCB, algorithms.ThompsonSampling)
    },
    **{
        f"scores of {kind.__name__}": (scores_of(kind), {"t": 3, "optimism_scaling": 0.5})
        for kind in (algorithms.UCB1, algorithms.KLUCB, algorithms.ThompsonSampling)
    },
    "KLUCB's c": (scores_of(algorithms.KLUCB), {"t": 3, "c": 3.0}),
    "params of UCB1": (algorithms.UCB1, {"num_arms": 2, "params": {}}),
    **{
        f"{kind.__name__}.{name}": (method(lambda kind=kind: kind(2, {}), name), arguments)
        for kind in (algorithms.UCB1, algorithms.ThompsonSampling)
        for name, arguments in (
            ("update", {"arm": 0, "reward": 0.5}),
            ("set_state", {"pulls": [3, 1], "reward": [1, 1]}),
        )
    },
    "GLM_TS": (
        glm_algorithms.GLM_TS,
        {"dim": 2, "sigma0": 1.0, "optimism_scaling": 1.0, "seed": 0},
    ),
    "UCB_GLM": (
        glm_algorithms.UCB_GLM,
        {"dim": 2, "horizon": 9, "sigma0": 1.0, "optimism_scaling": 1.0, "seed": 0},
    ),
    **{
        f"{kind.__name__}.{name}": (
            method(lambda kind=kind, more=more: kind(dim=2, **more), name),
            arguments,
        )
        for kind, more in ((glm_algorithms.GLM_TS, {}), (glm_algorithms.UCB_GLM, {"horizon": 9}))
        for name, arguments in (
            ("update", {"reward": 0.5, "arm": [1.0, 0.0]}),
            ("get_arm", {"arms": [[1.0, 0.0], [0.0, 1.0]]}),
            ("solve_logistic_bandit", {"init_iters": 1, "num_iters": 2, "tol": 0.1}),
        )
    },
    # Choice.
    "softmax": (choice_model.softmax, {"vector": [1.0, 2.0]}),
    "multinomial_logit_probabilities": (
        choice_model.multinomial_logit_probabilities,
        {**SCORES, "no_click_mass": 0.5},
    ),
    "multinomial_proportional_probabilities": (
        choice_model.multinomial_proportional_probabilities,
        {**SCORES, "no_click_mass": 0.5, "min_normalizer": -1.0},
    ),
    "exponential_cascade_probabilities": (
        choice_model.exponential_cascade_probabilities,
        {**SCORES, **CASCADE},
    ),
    "proportional_cascade_probabilities": (
        choice_model.proportional_cascade_probabilities,
        {**SCORES, **CASCADE, "min_normalizer": -1.0},
    ),
    "cascade_probabilities": (
        choice_model.cascade_probabilities,
        {"weights": [0.5, 0.25], **CASCADE},
    ),
    "sample_choice of a list": (
        choice_model.sample_choice,
        {"weights": [0.5, 0.25], "uniform": 0.5},
    ),
    "sample_choice of an array": (
        choice_model.sample_choice,
        {"weights": np.ones((2, 3)), "uniform": np.array([0.5, 0.25])},
    ),
    "MultinomialLogitChoiceModel": (
        features(choice_model.MultinomialLogitChoiceModel),
        {"no_click_mass": 1.0},
    ),
    "MultinomialProportionalChoiceModel": (
        features(choice_model.MultinomialProportionalChoiceModel),
        {"no_click_mass": 1.0, "min_normalizer": -1.0},
    ),
    "ExponentialCascadeChoiceModel": (
        features(choice_model.ExponentialCascadeChoiceModel),
        CASCADE,
    ),
    "ProportionalCascadeChoiceModel": (
        features(choice_model.ProportionalCascadeChoiceModel),
        {**CASCADE, "min_normalizer": -1.0},
    ),
    "choice_features": (choice_model.MultinomialLogitChoiceModel, {"choice_features": {}}),
    # SlateQ's functions.
    "compute_probs_tf": (
        slate_decomp_q_agent.compute_probs_tf,
        {"slate": [0, 1], "scores_tf": [0.5, 0.25, 1.0], "score_no_click_tf": 1.0},
    ),
    "score_documents": (
        slate_decomp_q_agent.score_documents,
        {
            "user_obs": [0.5, 0.25],
            "doc_obs": [[0.5, 0.25], [1.0, 0.0]],
            "no_click_mass": 1.0,
            "min_normalizer": -1.0,
        },
    ),
    **{
        select.__name__: (select, SELECT)
        for select in (
            slate_decomp_q_agent.select_slate_topk,
            slate_decomp_q_agent.select_slate_greedy,
            slate_decomp_q_agent.select_slate_optimal,
        )
    },
    **{
        target.__name__: (target, TARGETS)
        for target in (
            slate_decomp_q_agent.compute_target_sarsa,
            slate_decomp_q_agent.compute_target_topk_q,
            slate_decomp_q_agent.compute_target_greedy_q,
            slate_decomp_q_agent.compute_target_optimal_q,
        )
    },
    # Scenarios.
    "satisfaction": (LTS.satisfaction, {"net_positive_exposure": 0.5, "sensitivity": 0.1}),
    "next_net_positive_exposure": (
        LTS.next_net_positive_exposure,
        {
            "net_positive_exposure": 0.5,
            "clickbait_score": 0.5,
            "memory_discount": 0.5,
            "innovation": 0.1,
        },
    ),
    "initial_net_positive_exposure": (
        LTS.initial_net_positive_exposure,
        {"memory_discount": 0.5, "uniform": 0.5},
    ),
    "log_engagement": (
        LTS.log_engagement,
        {"location": 1.0, "scale": 1.0, "satisfaction": 0.5, "normal": 0.5},
    ),
    "interpolated": (LTS.interpolated, {"clickbait_score": 0.5, "choc": 1.0, "kale": 2.0}),
    "document_scores": (
        IE.document_scores,
        {"topic_affinity": [0.5, 0.25], "cluster_id": [0, 1, 1], "quality": [0.5, 1.0, 2.0]},
    ),
    "sampled_log_normal": (IE.sampled_log_normal, {"mean": 0.5, "stddev": 1.0, "normal": 0.5}),
    "updated_interests": (
        IEV.updated_interests,
        {
            "interests": [0.5, 0.25],
            "features": [1.0, 0.0],
            "uniform": 0.5,
            "x_intercept": 1.0,
            "y_intercept": 0.3,
        },
    ),
    "updated_budget": (
        IEV.updated_budget,
        {"budget": 5.0, "watch_time": 1.0, "utility": 0.5, "alpha": 0.9},
    ),
    "LTSStaticUserSampler": (LTS.LTSStaticUserSampler, {**LTS_USERS, "seed": 0}),
    "long-term satisfaction": (played(config_of(LTS)), {**CONFIG, **LTS_USERS}),
    "interest exploration": (played(config_of(IE)), {**CONFIG, **IE_WORLD}),
    "interest evolution": (
        played(config_of(IEV)),
        {**CONFIG, "choice_model": "multinomial_logit"},
    ),
    "long-term satisfaction of many users": (
        vector_config_of(LTS),
        {**CONFIG, **LTS_USERS, "num_envs": 3},
    ),
    "interest exploration of many users": (
        vector_config_of(IE),
        {**CONFIG, **IE_WORLD, "num_envs": 3},
    ),
    "IEClusterUserSampler": (
        IE.IEClusterUserSampler,
        {key: value for key, value in IE_WORLD.items() if key.startswith("user")} | {"seed": 0},
    ),
    "IETopicDocumentSampler": (
        IE.IETopicDocumentSampler,
        {key: value for key, value in IE_WORLD.items() if key.startswith("topic")} | {"seed": 0},
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
        world,
        {"num_candidates": 4, "slate_size": 2},
    ),
    "RecSimGymEnv": (
        lambda reward_aggregator: recsim_gym.RecSimGymEnv(
            world(num_candidates=4, slate_size=2), reward_aggregator
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
    "actions": (
        lambda actions: (envs()["vector ie"].reset(), envs()["vector ie"].step(actions)[1])[1],
        {"actions": np.zeros((3, 2), int)},
    ),
    "slate": (
        lambda slate: (envs()["ie"].reset(), envs()["ie"].step(slate)[1])[1],
        {"slate": [0, 1]},
    ),
    "seed of a vector environment": (
        method(lambda: envs()["vector ie"], "reset"),
        {"seed": 0, "options": None},
    ),
    "seed of an environment": (method(lambda: IE.create_environment(CONFIG), "seed"), {"seed": 0}),
    # Agents.
    "RandomAgent": (
        random_agent.RandomAgent,
        {"action_space": spaces.MultiDiscrete([3, 3]), "random_seed": 0},
    ),
    "VectorRandomAgent": (
        lambda **arguments: random_agent.VectorRandomAgent(
            **{"environment": envs()["vector ie"], **arguments}
        ),
        {"random_seed": 0},
    ),
    "GreedyClusterAgent": (
        lambda **arguments: cluster_bandit_agent.GreedyClusterAgent(**spaces_of("ie"), **arguments),
        {"cluster_id": 1},
    ),
    "GreedyPCTRAgent.findBestDocuments": (
        method(
            lambda: greedy_pctr_agent.GreedyPCTRAgent(envs()["ie"].action_space, _Scores()),
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
            **spaces_of("ie"),
        ),
        {"alg_ctor": algorithms.UCB1, "ci_scaling": 1.0, "random_seed": 0},
    ),
    "VectorClusterBanditAgent": (
        lambda **arguments: cluster_click_statistics.VectorClusterClickStatsLayer(
            functools.partial(cluster_bandit_agent.VectorClusterBanditAgent, **arguments),
            envs()["vector ie"],
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
            **{**spaces_of("ie"), **arguments}
        ),
        {"base_agent_ctor": cluster_bandit_agent.ClusterBanditAgent},
    ),
    "FixedLengthHistoryLayer": (
        lambda **arguments: fixed_length_history.FixedLengthHistoryLayer(
            **{**spaces_of("ie"), **arguments}
        ),
        {"base_agent_ctor": random_agent.RandomAgent, "history_length": 2},
    ),
    "TemporalAggregationLayer": (
        lambda **arguments: temporal_aggregation.TemporalAggregationLayer(
            **{**spaces_of("ie"), **arguments}
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
        lambda **arguments: tabular_q_agent.TabularQAgent(**{**spaces_of("ie"), **arguments}),
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
            None, **{**spaces_of("iev"), **arguments}
        ),
        {**DEEP, "max_num_slates": 100},
    ),
    "SlateDecompQAgent": (
        lambda **arguments: slate_decomp_q_agent.SlateDecompQAgent(
            None, **{**spaces_of("iev"), **arguments}
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
            envs()["vector iev"], **arguments
        ),
        DEEP,
    ),
    "create_agent": (
        lambda agent_name: slate_decomp_q_agent.create_agent(
            agent_name, None, **spaces_of("iev"), replay_capacity=20
        ),
        {"agent_name": "slate_topk_sarsa"},
    ),
    "linearly_decaying_epsilon": (
        dqn_agent.linearly_decaying_epsilon,
        {"decay_period": 10, "step": 3, "warmup_steps": 2, "epsilon": 0.1},
    ),
    "discounts_of_steps": (transitions.discounts_of_steps, {"gamma": 0.5, "update_horizon": 2}),
    "epsilon_greedy_exploration": (
        agent_utils.epsilon_greedy_exploration,
        {
            "state_action_iterator": [([0], (0,)), ([1], (1,))],
            "q_function": {(0,): 1.0},
            "epsilon": 0.5,
            "rng": np.random.RandomState(0),
        },
    ),
    "min_count_exploration": (
        agent_utils.min_count_exploration,
        {"state_action_iterator": [([0], (0,)), ([1], (1,))], "counts_function": {(0,): 1}},
    ),
    # Runners and simulation.
    "EvalRunner": (
        eval_runner,
        {
            "base_dir": "unused",
            "create_agent_fn": random_agent_of,
            "env": None,
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
            "env": None,
            "max_training_steps": 2,
            "num_iterations": 1,
            "checkpoint_frequency": 1,
            "max_steps_per_episode": 5,
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
        },
    ),
    "SingleUserEnvs": (
        lambda **arguments: wrappers.SingleUserEnvs(**arguments),
        {
            "environments": [IE.create_environment(CONFIG)],
            "max_steps_per_episode": 3,
            "first_user": 0,
        },
    ),
    # Random numbers.
    "chunk_streams": (
        streams.chunk_streams,
        {"seed": 0, "name": "x", "first_user": 0, "num_users": 3, "dtype": "float32"},
    ),
    "chunks": (streams.chunks, {"first_user": 0, "num_users": 3}),
    "chunk_rows": (streams.chunk_rows, {"first_user": 0, "num_users": 3}),
    "slates": (streams.slates, {"uniform": np.array([[0.5, 0.25]]), "num_candidates": 3}),
    "RandomStream.slates": (
        method(stream, "slates"),
        {"num_candidates": 3, "slate_size": 2},
    ),
    "RandomStream.integers": (lambda high: stream().integers(high, 2), {"high": 3}),
    "RandomStream.categories": (
        lambda cumulative: stream().categories(cumulative, 2),
        {"cumulative": np.array([0.5, 1.0])},
    ),
    "hash_key": (streams.hash_key, {"seed": 0, "name": "x"}),
    "named_random_state": (seeding.named_random_state, {"seed": 0, "name": "x"}),
    "derived_seed": (seeding.derived_seed, {"seed": 0, "name": "x"}),
    "named_sequence": (seeding.named_sequence, {"seed": 0, "name": "x"}),
    # Estimates and metrics.
    "estimate": (statistics.estimate, {"values": [1.0, 2.0, 4.0]}),
    # Of fewer values the interval is the whole line.
    "median_interval": (
        lambda values: [x for x in statistics.median_interval(values) if np.isfinite(x)],
        {"values": [1.0, 2.0, 4.0, 5.0, 6.0, 7.0]},
    ),
    "in_standard_errors": (
        statistics.in_standard_errors,
        {"mean": 1.0, "standard_error": 0.5, "other_mean": 2.0, "other_error": 0.5},
    ),
    **{
        f"{name} of a response": (
            lambda **entry: utils.aggregate_video_cluster_metrics(
                ({"click": 1, "quality": 1.0, "cluster_id": 0, **entry},),
                collections.defaultdict(float),
            ),
            {name: 1},
        )
        for name in ("click", "quality", "cluster_id")
    },
}
