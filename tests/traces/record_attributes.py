"""Names of the attributes of objects: record RecSim's with an interpreter that has RecSim 0.2.4.

python record_attributes.py > attributes.json

The same code runs with this library, for the test. The names are those in the objects themselves
(``vars``) when they were made, after a step and after an episode.
"""

import importlib
import inspect
import json
import platform
import sys
import tempfile

import numpy as np

from recsim import agent as agent_lib
from recsim import choice_model
from recsim.agents import (
    cluster_bandit_agent,
    greedy_pctr_agent,
    random_agent,
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
from recsim.simulator import environment, recsim_gym, runner_lib

CONFIG = {"num_candidates": 4, "slate_size": 2, "resample_documents": True, "seed": 0}


def several_users():
    users = [
        long_term_satisfaction.LTSUserModel(
            2,
            user_state_ctor=long_term_satisfaction.LTSUserState,
            response_model_ctor=long_term_satisfaction.LTSResponse,
            seed=seed,
        )
        for seed in (0, 1)
    ]
    simulation = environment.MultiUserEnvironment(
        users, long_term_satisfaction.LTSDocumentSampler(), 4, 2
    )
    return recsim_gym.RecSimGymEnv(simulation, lambda responses: 0.0)


ENVIRONMENTS = {
    "interest_evolution": lambda: interest_evolution.create_environment(CONFIG),
    "interest_exploration": lambda: interest_exploration.create_environment(CONFIG),
    "long_term_satisfaction": lambda: long_term_satisfaction.create_environment(CONFIG),
    "several_users": several_users,
}


def parts(env):
    """Yields an environment and its parts, by name."""
    simulation = env.environment
    yield "RecSimGymEnv", env
    yield type(simulation).__name__, simulation
    yield "candidate_set", simulation.candidate_set
    yield "document", simulation.candidate_set.get_all_documents()[0]
    yield "document_sampler", simulation._document_sampler
    user_model = (
        simulation.user_model[0]
        if isinstance(simulation.user_model, list)
        else simulation.user_model
    )
    yield "user_model", user_model
    yield "user_state", user_model._user_state
    yield "user_sampler", user_model._user_sampler
    yield "response", user_model._response_model_ctor()
    if hasattr(user_model, "choice_model"):
        yield "choice_model", user_model.choice_model


def cluster_bandit(layer, alg_ctor=algorithms.UCB1, **kwargs):
    def make(env):
        return layer(
            cluster_bandit_agent.ClusterBanditAgent,
            env.observation_space,
            env.action_space,
            alg_ctor=alg_ctor,
            **kwargs,
        )

    return make


def click_bandit(env):
    """A bandit over two greedy agents, on the counts of clusters."""

    def make_bandit(observation_space, action_space):
        return abstract_click_bandit.AbstractClickBanditLayer(
            observation_space,
            action_space,
            [cluster_bandit_agent.GreedyClusterAgent] * 2,
            cluster_id=0,
        )

    return cluster_click_statistics.ClusterClickStatsLayer(
        make_bandit, env.observation_space, env.action_space
    )


class FirstSlate(agent_lib.AbstractEpisodicRecommenderAgent):
    """A base agent for layers."""

    def __init__(self, observation_space, action_space, gamma=None):
        super().__init__(action_space)

    def step(self, reward, observation):
        return [0, 1]


AGENTS = {
    "RandomAgent": lambda env: random_agent.RandomAgent(env.action_space, random_seed=1),
    "TabularQAgent": lambda env: tabular_q_agent.TabularQAgent(
        env.observation_space, env.action_space, number_bins=2
    ),
    "GreedyPCTRAgent": lambda env: greedy_pctr_agent.GreedyPCTRAgent(
        env.action_space, env.environment.user_model.avg_user_state
    ),
    "ClusterBanditAgent": cluster_bandit(cluster_click_statistics.ClusterClickStatsLayer),
    "FixedLengthHistoryLayer": lambda env: fixed_length_history.FixedLengthHistoryLayer(
        FirstSlate, env.observation_space, env.action_space, 2
    ),
    "AbstractClickBanditLayer": click_bandit,
    "TemporalAggregationLayer": lambda env: temporal_aggregation.TemporalAggregationLayer(
        FirstSlate,
        env.observation_space,
        env.action_space,
        aggregation_period=1,
        switching_cost=0.5,
    ),
}

BANDITS = {
    "UCB1": lambda: algorithms.UCB1(2, {}),
    "KLUCB": lambda: algorithms.KLUCB(2, {}),
    "ThompsonSampling": lambda: algorithms.ThompsonSampling(2, {}),
    "UCB_GLM": lambda: glm_algorithms.UCB_GLM(2, 100),
    "GLM_TS": lambda: glm_algorithms.GLM_TS(2, 100),
}

CHOICE_MODELS = {
    "MultinomialLogitChoiceModel": {},
    "MultinomialProportionalChoiceModel": {"min_normalizer": -1.0},
    "ExponentialCascadeChoiceModel": {"attention_prob": 0.5, "score_scaling": 0.1},
    "ProportionalCascadeChoiceModel": {
        "attention_prob": 0.5,
        "score_scaling": 0.1,
        "min_normalizer": -1.0,
    },
}


def layers(agent):
    """Yields an agent and those that it wraps."""
    name = type(agent).__name__
    yield name, agent
    for base in (getattr(agent, "_base_agents", None) or [])[:1]:
        for inner, base_agent in layers(base):
            yield name + "/" + inner, base_agent


def slate_of(env):
    one = [0, 1]
    return [one] * 2 if isinstance(env.environment.user_model, list) else one


def collect(look):
    """Makes the objects and shows them to ``look(stage, name, object)``."""
    for name, make in ENVIRONMENTS.items():
        env = make()

        def look_at_parts(stage, env=env, name=name):
            for part, value in parts(env):
                look(stage, name + "/" + part, value)

        look_at_parts("made")
        env.reset()
        env.step(slate_of(env))
        look_at_parts("stepped")
        env.reset()
        look_at_parts("ended")
    for make in AGENTS.values():
        env = interest_exploration.create_environment(CONFIG)
        agent = make(env)
        for label, layer in layers(agent):
            look("made", "agent/" + label, layer)
        observation = env.reset()
        slate = agent.begin_episode(observation)
        observation, reward, _, _ = env.step(slate)
        agent.step(reward, observation)
        for label, layer in layers(agent):
            look("stepped", "agent/" + label, layer)
        agent.end_episode(reward, observation)
        for label, layer in layers(agent):
            look("ended", "agent/" + label, layer)
    for name, make in BANDITS.items():
        look("made", "bandit/" + name, make())
    for name, features in CHOICE_MODELS.items():
        look("made", "choice_model/" + name, getattr(choice_model, name)(features))
    collect_runners(look)


def collect_runners(look):
    def make_agent(sess, env, eval_mode, summary_writer=None):
        return random_agent.RandomAgent(env.action_space)

    with tempfile.TemporaryDirectory() as base_dir:
        shared = {
            "base_dir": base_dir,
            "create_agent_fn": make_agent,
            "max_steps_per_episode": 3,
        }
        env = interest_exploration.create_environment(CONFIG)
        runner = runner_lib.TrainRunner(env=env, max_training_steps=3, num_iterations=1, **shared)
        look("made", "TrainRunner", runner)
        runner.run_experiment()
        look("ended", "TrainRunner", runner)
        runner = runner_lib.EvalRunner(env=env, max_eval_episodes=1, test_mode=True, **shared)
        look("made", "EvalRunner", runner)
        runner.run_experiment()
        look("ended", "EvalRunner", runner)


MODULES = (
    "recsim.agent",
    "recsim.choice_model",
    "recsim.document",
    "recsim.user",
    "recsim.utils",
    "recsim.agents.agent_utils",
    "recsim.agents.cluster_bandit_agent",
    "recsim.agents.full_slate_q_agent",
    "recsim.agents.greedy_pctr_agent",
    "recsim.agents.random_agent",
    "recsim.agents.slate_decomp_q_agent",
    "recsim.agents.tabular_q_agent",
    "recsim.agents.bandits.algorithms",
    "recsim.agents.bandits.glm_algorithms",
    "recsim.agents.dopamine.dqn_agent",
    "recsim.agents.layers.abstract_click_bandit",
    "recsim.agents.layers.cluster_click_statistics",
    "recsim.agents.layers.fixed_length_history",
    "recsim.agents.layers.sufficient_statistics",
    "recsim.agents.layers.temporal_aggregation",
    "recsim.environments.interest_evolution",
    "recsim.environments.interest_exploration",
    "recsim.environments.long_term_satisfaction",
    "recsim.simulator.environment",
    "recsim.simulator.recsim_gym",
    "recsim.simulator.runner_lib",
)


def main():
    source = (
        "RecSim 0.2.4 (google-research/recsim, Apache-2.0), "
        f"Python {platform.python_version()}, NumPy {np.__version__}"
    )
    runner_lib.tf.disable_eager_execution()
    modules, classes = {}, {}
    for name in MODULES:
        module = importlib.import_module(name)
        modules[name] = sorted(n for n in vars(module) if not n.startswith("__"))
        for class_name, value in vars(module).items():
            if inspect.isclass(value) and value.__module__ == name:
                classes[f"{name}.{class_name}"] = sorted(
                    n for n in dir(value) if not n.startswith(("__", "_abc_"))
                )
    objects = {}
    collect(
        lambda stage, name, value: objects.setdefault(name, {}).update(
            {stage: sorted(getattr(value, "__dict__", {}))}
        )
    )
    record = {"source": source, "objects": objects, "classes": classes, "modules": modules}
    json.dump(record, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
