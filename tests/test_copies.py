"""Copies and pickles: taken at any moment, they continue exactly as the original does."""

from __future__ import annotations

import copy
import functools
import pickle
import subprocess
import sys
from typing import Any

import gin
import gymnasium
import numpy as np
import pytest
from support import TESTS, rollouts
from support.scenarios import TwoTopicDocument, clicks_by_user, make_interest_exploration_users

from recsim import choice_model, registry
from recsim.agents import full_slate_q_agent, random_agent
from recsim.agents.bandits import algorithms, glm_algorithms
from recsim.agents.dopamine import dqn_agent
from recsim.agents.layers import fixed_length_history, recent_slates, temporal_aggregation
from recsim.environments import interest_evolution, interest_exploration
from recsim.experiments import experiment
from recsim.simulator import (
    episode_log,
    gymnasium_env,
    runner_lib,
    summary,
)
from recsim.vector import simulate, wrappers

COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda original: pickle.loads(pickle.dumps(original)),
}
# So that deep agents have learned, and their replay buffers are full and begin anew, in 60 steps.
SMALL = """
DQNAgent.min_replay_history = 20
DQNAgent.update_period = 2
DQNAgent.target_update_period = 10
DQNAgent.epsilon_decay_period = 30
DQNAgent.batch_size = 8
DQNAgent.hidden_units = (8, 4)
WrappedReplayBuffer.replay_capacity = 50
VectorDQNAgent.update_period = 8
VectorDQNAgent.batch_size = 8
VectorDQNAgent.replay_capacity = 200
"""


@pytest.fixture(autouse=True)
def small_deep_agents():
    with gin.unlock_config():
        gin.parse_config(SMALL)
    yield
    with gin.unlock_config():
        gin.clear_config()


def config_of(scenario):
    slate_size = 1 if scenario == "long_term_satisfaction" else 2
    return {"num_candidates": 5, "slate_size": slate_size, "resample_documents": True, "seed": 3}


def agents_of(scenario, make, env):
    """Yields the names of the agents that recommend in an environment."""
    for name in registry.AGENTS:
        try:
            make(name, env)
        except ValueError:
            continue
        yield name


def copied(original, make_copy):
    """Copies each part by itself: what they share is not a part of the promise."""
    duplicate = copy.copy(original)
    for name, part in vars(original).items():
        setattr(duplicate, name, make_copy(part))
    return duplicate


def check(original, num_steps=(0, 1, 60), steps_after=20):
    for steps in num_steps:
        original.run(steps)
        duplicates = {name: copied(original, make_copy) for name, make_copy in COPIES.items()}
        seen = duplicates["deepcopy"].run(steps_after)
        assert original.run(steps_after) == seen
        assert duplicates["pickle"].run(steps_after) == seen


SINGLE = [
    pytest.param(scenario, agent, id=f"{scenario}-{agent}")
    for scenario in registry.ENVIRONMENTS
    for agent in agents_of(
        scenario,
        registry.create_agent,
        registry.create_environment(scenario, config_of(scenario)),
    )
]
VECTOR = [
    pytest.param(scenario, agent, id=f"{scenario}-{agent}")
    for scenario in registry.ENVIRONMENTS
    for agent in agents_of(
        scenario,
        registry.create_vector_agent,
        registry.create_vector_environment(scenario, config_of(scenario), 2),
    )
]


@pytest.mark.parametrize(("scenario", "agent"), SINGLE)
def test_every_agent_in_every_scenario(scenario, agent):
    env = registry.create_environment(scenario, config_of(scenario))
    learner = registry.create_agent(agent, env, seed=1)
    check(rollouts.SingleUserRollout(env, learner))
    if isinstance(learner, dqn_agent.DQNAgent):
        assert learner.num_updates > 10


@pytest.mark.parametrize(("scenario", "agent"), VECTOR)
def test_every_agent_in_every_vector_environment(scenario, agent):
    env = registry.create_vector_environment(scenario, config_of(scenario), 7)
    check(
        rollouts.VectorRollout(env, registry.create_vector_agent(agent, env, seed=1)),
        num_steps=(1, 40),
    )


@pytest.mark.parametrize("scenario", registry.ENVIRONMENTS)
@pytest.mark.parametrize("seed", [None, 5])
def test_fixed_documents_and_seeded_environments(scenario, seed):
    env = registry.create_environment(
        scenario, {**config_of(scenario), "resample_documents": False}
    )
    if seed is not None:
        env.seed(seed)
    check(
        rollouts.SingleUserRollout(env, random_agent.RandomAgent(env.action_space, random_seed=1))
    )


@pytest.mark.parametrize("candidates", ["resampled", "shared"])
def test_candidates_of_vector_environments(candidates):
    config = {**config_of("interest_evolution"), "resample_documents": candidates == "resampled"}
    # More than a chunk, whose users a copy has to know too.
    env = registry.create_vector_environment("interest_evolution", config, 2500)
    check(
        rollouts.VectorRollout(env, random_agent.VectorRandomAgent(env, 1)),
        num_steps=(3,),
        steps_after=5,
    )


def several_users():
    return make_interest_exploration_users((3, 4), clicks_by_user, num_candidates=6, sampler_seed=5)


class FirstDocuments:
    def begin_episode(self, observation):
        return [[0, 1], [1, 2]]

    def step(self, reward, observation):
        return [[0, 1], [1, 2]]

    def end_episode(self, reward, observation):
        pass


def test_an_environment_of_several_users():
    check(rollouts.SingleUserRollout(several_users(), FirstDocuments()))


def any_document(one, other):
    return True


def make_random(observation_space, action_space, **kwargs):
    return random_agent.RandomAgent(action_space, random_seed=1)


make_full_slate_q = functools.partial(full_slate_q_agent.FullSlateQAgent, None)
LAYERS = {
    "history": functools.partial(fixed_length_history.FixedLengthHistoryLayer, history_length=2),
    "recent slates": functools.partial(recent_slates.RecentSlatesLayer, num_slates=2),
    "aggregation": functools.partial(
        temporal_aggregation.TemporalAggregationLayer,
        aggregation_period=3,
        switching_cost=0.1,
        document_comparison_fcn=any_document,
    ),
}


@pytest.mark.parametrize("base_agent", [make_random, make_full_slate_q], ids=["random", "deep"])
@pytest.mark.parametrize("layer", LAYERS)
def test_layers(layer, base_agent):
    env = registry.create_environment("interest_evolution", config_of("interest_evolution"))
    agent = LAYERS[layer](
        base_agent, observation_space=env.observation_space, action_space=env.action_space
    )
    check(rollouts.SingleUserRollout(env, agent))


def test_single_user_environments_as_a_vector_environment():
    env = wrappers.SingleUserEnvs([make_numbered(number) for number in range(3)])
    check(rollouts.VectorRollout(env, random_agent.VectorRandomAgent(env, 1)), num_steps=(0, 7))


def test_single_user_agents_as_a_vector_agent():
    env = registry.create_vector_environment(
        "interest_exploration", config_of("interest_exploration"), 3
    )
    check(
        rollouts.VectorRollout(env, wrappers.SingleUserAgents(make_agent_of_one, env)),
        num_steps=(0, 7),
    )


def make_numbered(number):
    return registry.create_environment(
        "interest_exploration", {**config_of("interest_exploration"), "seed": number}
    )


def make_agent_of_one(observation_space, action_space, user):
    return random_agent.RandomAgent(action_space, random_seed=user)


@pytest.mark.parametrize("made_by", ["recsim", "gymnasium"])
def test_environments_for_gymnasium(made_by):
    if made_by == "recsim":
        env = gymnasium_env.make("interest_evolution")
    else:
        env = gymnasium.make("recsim/InterestEvolution-v0")
    env.reset(seed=1)

    def run(env):
        return rollouts.data([env.step(np.array([0, 1])) for _ in range(10)])

    for make_copy in COPIES.values():
        duplicate = make_copy(env)
        assert run(duplicate) == run(env)


@pytest.mark.parametrize("make_copy", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("algorithm", ["UCB1", "KLUCB", "ThompsonSampling"])
def test_bandits(algorithm, make_copy):
    bandit = getattr(algorithms, algorithm)(4, {}, seed=1)

    def run(bandit, num_steps):
        arms = []
        for step in range(num_steps):
            arms.append(int(bandit.get_arm(step + 1)))
            bandit.update(arms[-1], 0.25 * arms[-1])
        return arms

    run(bandit, 9)
    duplicate = make_copy(bandit)
    assert run(duplicate, 30) == run(bandit, 30)


@pytest.mark.parametrize("make_copy", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize(
    ("algorithm", "arguments"),
    [(glm_algorithms.UCB_GLM, {"horizon": 100}), (glm_algorithms.GLM_TS, {})],
)
def test_generalized_linear_bandits(algorithm, arguments, make_copy):
    rng = np.random.RandomState(0)
    features = rng.uniform(size=(5, 3))
    bandit = algorithm(3, seed=1, **arguments)

    def run(bandit, num_steps):
        arms = []
        for _ in range(num_steps):
            arm, index, _ = bandit.get_arm(features)
            bandit.update(float(index > 2), arm)
            arms.append(index)
        return arms

    run(bandit, 15)
    duplicate = make_copy(bandit)
    assert run(duplicate, 20) == run(bandit, 20)


class Scores:
    def score_document(self, document):
        return document


@pytest.mark.parametrize("make_copy", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize(
    ("model", "features"),
    [
        (choice_model.MultinomialLogitChoiceModel, {"no_click_mass": 0.5}),
        (
            choice_model.MultinomialProportionalChoiceModel,
            {"min_normalizer": -1.0, "no_click_mass": 0.5},
        ),
        (
            choice_model.ExponentialCascadeChoiceModel,
            {"attention_prob": 0.9, "score_scaling": 0.1},
        ),
        (
            choice_model.ProportionalCascadeChoiceModel,
            {"attention_prob": 0.9, "score_scaling": 0.1, "min_normalizer": -1.0},
        ),
    ],
)
def test_choice_models(model, features, make_copy):
    chooser = model(features)
    chooser.score_documents(Scores(), [0.5, 1.0, 0.25])

    def run(chooser):
        return [chooser.choose_item() for _ in range(20)]

    run(chooser)
    duplicate = make_copy(chooser)
    assert run(duplicate) == run(chooser)


@pytest.mark.parametrize("make_copy", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize(
    "make_sampler",
    [
        lambda: interest_exploration.IETopicDocumentSampler(doc_ctor=TwoTopicDocument, seed=2),
        lambda: interest_evolution.UtilityModelVideoSampler(seed=2),
        lambda: interest_evolution.IEvVideoSampler(seed=2),
    ],
)
def test_document_samplers(make_sampler, make_copy):
    sampler = make_sampler()

    def run(sampler):
        return rollouts.data([sampler.sample_document().create_observation() for _ in range(5)])

    run(sampler)
    duplicate = make_copy(sampler)
    assert run(duplicate) == run(sampler)


@pytest.mark.parametrize("make_copy", COPIES.values(), ids=COPIES)
def test_results(make_copy):
    results = experiment.experiment(
        ["cluster_bandit_ucb1", "random"],
        episodes=2,
        steps=5,
        progress=False,
        gin_allow_unused=True,  # Other tests may have bound something.
    )
    duplicate = make_copy(results)
    assert duplicate.to_dataframe().equals(results.to_dataframe())
    assert duplicate.table() == results.table()
    simulation = simulate.simulate(
        functools.partial(
            registry.create_vector_environment,
            "interest_exploration",
            config_of("interest_exploration"),
        ),
        random_agent.VectorRandomAgent,
        3,
        num_steps=4,
    )
    assert rollouts.data(list(vars(make_copy(simulation)).values())) == rollouts.data(
        list(vars(simulation).values())
    )


@pytest.mark.parametrize("make_copy", COPIES.values(), ids=COPIES)
def test_agents_with_a_summary_writer_and_a_keras_optimizer(make_copy, tmp_path):
    import keras

    env = registry.create_environment("interest_evolution", config_of("interest_evolution"))
    writer = summary.SummaryWriter(tmp_path)
    agent = full_slate_q_agent.FullSlateQAgent(
        None,
        env.observation_space,
        env.action_space,
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.01, 5, 0.9)),
        summary_writer=writer,
        summary_writing_frequency=10,
    )
    original = rollouts.SingleUserRollout(env, agent)
    original.run(45)
    writer.flush()
    (first,) = tmp_path.iterdir()
    content = first.read_bytes()
    duplicate = copied(original, make_copy)
    seen = duplicate.run(45)
    assert first.read_bytes() == content  # The copy writes a file of its own.
    assert original.run(45) == seen
    weights = [each.agent.serving_bundle()["online_network"] for each in (original, duplicate)]
    assert rollouts.data(weights[0]) == rollouts.data(weights[1])


CHILD = """
import pickle, sys
from support import rollouts
for name, original in pickle.load(open(sys.argv[1], "rb")).items():
    print(name, rollouts.digest(original.run(20)))
"""


def test_another_process_continues_with_a_pickle(tmp_path):
    originals: dict[str, Any] = {}
    for scenario, name in (
        ("interest_exploration", "cluster_bandit_ts"),
        ("interest_evolution", "slate_optimal_optimal_q"),
        ("long_term_satisfaction", "tabular_q"),
    ):
        env = registry.create_environment(scenario, config_of(scenario))
        originals[scenario] = rollouts.SingleUserRollout(
            env, registry.create_agent(name, env, seed=1)
        )
        if name != "tabular_q":
            env = registry.create_vector_environment(scenario, config_of(scenario), 7)
            vector = rollouts.VectorRollout(env, registry.create_vector_agent(name, env, seed=1))
            originals[f"vector_{scenario}"] = vector
    for original in originals.values():
        original.run(35)
    path = tmp_path / "originals"
    path.write_bytes(pickle.dumps(originals))
    command = [sys.executable, "-c", CHILD, str(path)]
    output = subprocess.run(command, cwd=TESTS, check=True, capture_output=True, text=True).stdout
    expected = {name: rollouts.digest(original.run(20)) for name, original in originals.items()}
    assert dict(line.split() for line in output.splitlines()) == expected


def create_random(sess, environment, eval_mode, summary_writer):
    return random_agent.RandomAgent(environment.action_space, random_seed=1)


@pytest.mark.parametrize("make_copy", COPIES.values(), ids=COPIES)
def test_a_runner_that_has_not_begun(make_copy, tmp_path):
    settings = {
        "create_agent_fn": create_random,
        "max_steps_per_episode": 5,
        "max_eval_episodes": 2,
        "test_mode": True,
        "episode_log_file": "log",
        "progress": False,
    }
    found = []
    for name in ("original", "copy"):
        env = registry.create_environment("interest_evolution", config_of("interest_evolution"))
        runner = runner_lib.EvalRunner(base_dir=tmp_path / name, env=env, **settings)
        (make_copy(runner) if name == "copy" else runner).run_experiment()
        folder = tmp_path / name / "eval_2"
        found.append((folder / "log").read_bytes() + (folder / "returns_0").read_bytes())
    assert found[0] == found[1]


@pytest.mark.parametrize("make_copy", COPIES.values(), ids=COPIES)
def test_what_writes_a_log_is_not_copied_in_its_middle(make_copy, tmp_path):
    env = registry.create_environment("interest_evolution", config_of("interest_evolution"))
    log = episode_log.EpisodeLog(tmp_path / "log", env)
    seen = env.reset()
    after, reward, done, _ = env.step([0, 1])
    make_copy(log)
    log.add_step(seen["user"], seen["doc"], [0, 1], after["response"], reward, done)
    log.end_episode()
    with pytest.raises(TypeError, match=r"log\.part.* two copies would overwrite each other"):
        make_copy(log)


def test_a_copy_takes_no_memory_that_is_not_filled():
    env = registry.create_environment("interest_evolution", config_of("interest_evolution"))
    agent = full_slate_q_agent.FullSlateQAgent(
        None, env.observation_space, env.action_space, replay_capacity=10**6
    )
    rollouts.SingleUserRollout(env, agent).run(10)
    assert len(pickle.dumps(agent)) < 10**6
    vector_env = registry.create_vector_environment(
        "interest_evolution", config_of("interest_evolution"), 10
    )
    vector = full_slate_q_agent.VectorFullSlateQAgent(vector_env, replay_capacity=10**6)
    rollouts.VectorRollout(vector_env, vector).run(3)
    assert len(pickle.dumps(vector)) < 10**6
