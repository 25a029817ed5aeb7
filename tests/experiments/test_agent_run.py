"""Runs of an agent: what is measured, on which users, how long trainings are, what is refused."""

from __future__ import annotations

import dataclasses
import functools
import json

import gin
import numpy as np
import pytest
from support import recsim_names

from recsim import registry
from recsim.agents import random_agent
from recsim.experiments import agent_run
from recsim.simulator import runner_lib

SPEED = "steps_per_second"


@pytest.fixture(autouse=True)
def _no_bindings():
    yield
    gin.clear_config()


def prepared(folder, agent="random", environment="interest_exploration", **settings):
    settings = {"episodes": 4, "steps": 25, **settings}
    return agent_run.AgentRun(environment, agent, folder / agent, **settings)


def measured(folder, agent="random", environment="interest_exploration", **settings):
    return prepared(folder, agent, environment, **settings).measure()


class Spy(random_agent.RandomAgent):
    """Notes what it gets to see, and the truth about the user, by episode."""

    def __init__(self, environment, always_first, **_):
        super().__init__(environment.action_space)
        self._environment = environment.environment
        self._always_first = always_first
        self.users = []
        self.episodes = []

    def begin_episode(self, observation=None):
        state = vars(recsim_names.user_state(self._environment.user_model))
        self.users.append({name: np.copy(value) for name, value in state.items()})
        self.episodes.append([])
        return super().begin_episode(observation)

    def step(self, reward, observation):
        self.episodes[-1].append((reward, observation))
        slate = super().step(reward, observation)
        return list(range(self._slate_size)) if self._always_first else slate


@pytest.fixture
def spies(monkeypatch):
    """Makes the agents spy_first and spy_random known; returns those that run, in order."""
    created = []

    def create(environment, always_first, **_):
        created.append(Spy(environment, always_first))
        return created[-1]

    for name, always_first in (("spy_first", True), ("spy_random", False)):
        entry = registry.AgentEntry(functools.partial(create, always_first=always_first), "a spy")
        monkeypatch.setitem(registry.AGENTS, name, entry)
    return lambda: [spy for spy in created if spy.episodes]


@pytest.mark.parametrize(
    ("given", "sizes"), [({}, (10, 10)), ({"num_candidates": 9, "slate_size": 3}, (9, 3))]
)
def test_a_variant_has_its_own_sizes_unless_others_are_given(given, sizes, spies, tmp_path):
    variant = "recsim/TopicBoredom-RerankBored-v0"
    measured(tmp_path, "spy_first", variant, episodes=1, steps=2, **given)
    ((_, (_, observation)),) = [spy.episodes[0] for spy in spies()]
    assert (len(observation["doc"]), len(observation["response"])) == sizes


@pytest.mark.parametrize("environment", sorted(registry.ENVIRONMENTS))
def test_agents_meet_the_same_users_and_documents(environment, spies, tmp_path):
    for agent in ("spy_first", "spy_random"):
        measured(tmp_path, agent, environment)
    first, second = spies()
    assert len(first.users) == 4
    np.testing.assert_equal(first.users, second.users)
    assert len({str(user) for user in first.users}) == 4
    same_length = environment != "interest_evolution"
    for one, other in list(zip(first.episodes, second.episodes))[: 4 if same_length else 1]:
        for (_, seen), (_, seen_by_other) in zip(one, other, strict=same_length):
            np.testing.assert_equal(seen["doc"], seen_by_other["doc"])


def test_measures_are_those_of_the_episodes(spies, tmp_path):
    measures = measured(tmp_path, "spy_first").measures
    (spy,) = spies()
    for episode, steps in enumerate(spy.episodes):
        # What came of the last slate is not shown to step; it shows in the return alone.
        responses = [r for _, observation in steps[1:] for r in observation["response"]]
        clicked = [response for response in responses if response["click"]]
        assert measures["steps"][episode] == len(steps) == 25
        assert 0 <= measures["return"][episode] - len(clicked) <= 1
        assert measures["click_through_rate"][episode] == measures["return"][episode] / 25
        if measures["return"][episode] == len(clicked):
            quality = np.mean([response["quality"] for response in clicked])
            assert measures["click_quality"][episode] == pytest.approx(quality)
            share = np.mean([response["cluster_id"] == 1 for response in clicked])
            assert measures["click_share_of_topic_1"][episode] == pytest.approx(share)
    shares = [measures[f"click_share_of_topic_{topic}"] for topic in (0, 1)]
    np.testing.assert_allclose(np.sum(shares, axis=0), 1.0)
    assert (measures[SPEED] > 0).all()


def test_returns_and_metrics_are_those_of_the_runner(tmp_path):
    measures = measured(tmp_path, "cluster_bandit_ucb1").measures
    folder = tmp_path / "cluster_bandit_ucb1" / "eval_4"
    assert json.loads((folder / "returns_0").read_text()) == measures["return"].tolist()
    (line,) = (folder / "metrics.jsonl").read_text().splitlines()
    metrics = json.loads(line)
    assert metrics["AverageEpisodeRewards"] == pytest.approx(measures["return"].mean())
    assert metrics["CTR"] == pytest.approx(measures["click_through_rate"].mean())
    assert list(folder.glob("events.out.tfevents.*"))


@pytest.mark.parametrize("num_envs", [None, 1])
@pytest.mark.parametrize(
    ("environment", "topics"),
    [("interest_exploration", 2), ("interest_evolution", 20), ("long_term_satisfaction", 0)],
)
def test_a_single_step_without_a_click_is_a_result(environment, topics, num_envs, tmp_path):
    rates = set()
    for seed in range(6):
        measures = measured(
            tmp_path / str(seed),
            environment=environment,
            num_envs=num_envs,
            seed=seed,
            episodes=1,
            steps=1,
        ).measures
        shares = [f"click_share_of_topic_{topic}" for topic in range(topics)]
        assert [name for name in measures if name.startswith("click_share")] == shares
        if not topics:
            continue
        (rate,) = measures["click_through_rate"]
        rates.add(rate)
        for name in ("click_quality", *shares):  # Of no clicks there are none.
            assert np.isnan(measures[name]).all() == (rate == 0)
    assert not topics or 0.0 in rates


def test_the_same_seed_gives_the_same_results(tmp_path):
    def run(name, seed):
        runs = {
            agent: measured(tmp_path / name, agent, seed=seed, train_steps=50)
            for agent in ("tabular_q", "cluster_bandit_ts", "random")
        }
        return {
            agent: {key: values for key, values in run.measures.items() if key != SPEED}
            for agent, run in runs.items()
        }

    first, again, other = run("first", 1), run("again", 1), run("other", 2)
    np.testing.assert_equal(first, again)
    assert not np.array_equal(first["random"]["return"], other["random"]["return"])


def test_agents_that_learn_are_trained_with_other_users(monkeypatch, spies, tmp_path):
    entry = dataclasses.replace(registry.AGENTS["spy_first"], learns=True)
    monkeypatch.setitem(registry.AGENTS, "spy_first", entry)
    found = measured(tmp_path, "spy_first", train_steps=200)
    trained, evaluated = spies()
    assert len(trained.users) == 8  # One iteration of 200 steps, in episodes of 25.
    assert len(evaluated.users) == 4
    assert len({str(user) for user in [*trained.users, *evaluated.users]}) == 12
    assert found.settings["training_steps"] == {"spy_first": 200}
    assert found.settings["training_updates"] == {"spy_first": None}  # It does not say.
    assert (tmp_path / "spy_first" / "train" / "checkpoints").is_dir()
    assert (tmp_path / "spy_first" / "eval_4" / "returns_200").is_file()


def test_settings_come_from_the_caller_then_gin_then_defaults(tmp_path):
    runner_lib.load_gin_configs(
        [],
        [
            "simulator.runner_lib.Runner.max_steps_per_episode = 7",
            "runner_lib.EvalRunner.max_eval_episodes = 3",
        ],
    )
    by_gin = measured(tmp_path / "gin", steps=None, episodes=None)
    assert by_gin.measures["steps"].tolist() == [7, 7, 7]
    by_caller = measured(tmp_path / "caller", steps=5, episodes=2)
    assert by_caller.measures["steps"].tolist() == [5, 5]
    gin.clear_config()
    by_default = measured(tmp_path / "default", steps=None, episodes=None)
    assert by_default.measures["steps"].tolist() == [200] * 50


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"agent": "rndom"}, ValueError, "Did you mean 'random'"),
        ({"environment": "interest_exploratoin"}, ValueError, "Did you mean 'interest_explora"),
        ({"slate_size": 11}, ValueError, "slate_size must be at most num_candidates"),
        ({"seed": -1}, ValueError, "seed"),
        ({"steps": 0}, ValueError, "max_steps_per_episode"),
        ({"episodes": 1.5}, TypeError, "episodes must be an integer"),
        ({"agent": "tabular_q", "episodes": 0}, ValueError, "episodes must be"),
        ({"train_steps": 0}, ValueError, "train_steps"),
        (
            {"environment": "long_term_satisfaction", "agent": "greedy_pctr"},
            ValueError,
            "'greedy_pctr' cannot recommend",
        ),
    ],
)
def test_mistakes_are_found_before_anything_runs(changes, error, message, tmp_path):
    with pytest.raises(error, match=message):
        prepared(tmp_path, **changes)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("num_envs", [None, 3])
def test_bindings_that_fail_in_the_first_steps_are_found_before_anything_runs(
    num_envs, monkeypatch, tmp_path
):
    def create(environment, **_):
        agent = registry.AGENTS["random"].create(environment, seed=0)
        agent.step = None  # As a value that gin binds may be: it is looked at in a step alone.
        return agent

    def create_vector(environment, **_):
        agent = random_agent.VectorRandomAgent(environment)
        agent.step = None
        return agent

    entry = registry.AgentEntry(create, "fails", create_vector=create_vector)
    monkeypatch.setitem(registry.AGENTS, "failing", entry)
    runner_lib.load_gin_configs([], ["Runner.max_steps_per_episode = 7"])
    message = "failing in interest_exploration fails in its first steps .*: TypeError: "
    with pytest.raises(ValueError, match=message):
        prepared(tmp_path, "failing", steps=None, num_envs=num_envs)
    assert list(tmp_path.iterdir()) == []


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="output folder"):
        prepared(tmp_path / "file" / "below")


def test_settings_tell_of_training(tmp_path):
    found = measured(tmp_path, "tabular_q", "long_term_satisfaction", train_steps=30).settings
    steps = found["training_steps"]["tabular_q"]
    assert steps == found["training_updates"]["tabular_q"] == 50  # Whole episodes.


@pytest.mark.parametrize("agent", ["cluster_bandit_ucb1", "random"])
def test_users_in_parallel_have_the_measures_of_the_single_user_engine(agent, tmp_path):
    one = measured(tmp_path / "alone", agent, episodes=40, steps=30).measures
    together = measured(tmp_path / "together", agent, num_envs=400, episodes=None, steps=30)
    many = together.measures
    assert list(one) == list(many)
    for name, values in one.items():
        if name == SPEED:
            continue
        assert len(many[name]) == 400
        error = np.hypot(np.nanstd(values) / np.sqrt(40), np.nanstd(many[name]) / np.sqrt(400))
        assert abs(np.nanmean(values) - np.nanmean(many[name])) <= 4 * error, name
    shares = [values for name, values in many.items() if name.startswith("click_share")]
    np.testing.assert_allclose(np.nansum(shares, axis=0)[many["return"] > 0], 1)
    assert together.settings["num_envs"] == 400


@pytest.mark.parametrize("environment", sorted(registry.ENVIRONMENTS))
def test_users_in_parallel_in_every_scenario(environment, tmp_path):
    measures = measured(tmp_path, environment=environment, num_envs=3, episodes=7).measures
    assert all(len(values) == 7 for values in measures.values())
    returns = json.loads((tmp_path / "random/eval_7/returns_0").read_text())
    assert measures["return"].tolist() == returns


def test_users_in_parallel_need_a_vector_form(tmp_path):
    message = "'tabular_q' has no vector form.*Agents that have one: random, softmax, greedy_pctr"
    with pytest.raises(ValueError, match=message):
        prepared(tmp_path, "tabular_q", num_envs=3)
    with pytest.raises(ValueError, match="'greedy_pctr' cannot recommend in this environment"):
        prepared(tmp_path, "greedy_pctr", "long_term_satisfaction", num_envs=3)
    with pytest.raises(ValueError, match="num_envs must be"):
        prepared(tmp_path, num_envs=0)


def test_users_in_parallel_of_a_training_are_few_enough_for_whole_episodes(tmp_path, monkeypatch):
    numbers = []

    def create(environment, **_):
        numbers.append(environment.num_envs)
        return random_agent.VectorRandomAgent(environment)

    entry = registry.AgentEntry(create, "learns", learns=True, create_vector=create)
    monkeypatch.setitem(registry.AGENTS, "learner", entry)
    found = measured(tmp_path, "learner", num_envs=130, train_steps=4000)
    assert {100, 130} <= set(numbers)
    assert found.settings["training_steps"] == {"learner": 4000}
    assert len(found.measures["return"]) == 4


class NeverLearns(random_agent.RandomAgent):
    """Says that it learns, and makes no update."""

    num_updates = 0
    steps_without_update = 0


def test_an_agent_that_has_learned_nothing_is_not_called_trained(tmp_path, monkeypatch, caplog):
    entry = registry.AgentEntry(
        lambda env, **_: NeverLearns(env.action_space), "learns nothing", learns=True
    )
    monkeypatch.setitem(registry.AGENTS, "never", entry)
    found = measured(tmp_path, "never", train_steps=50)
    assert found.settings["training_steps"] == {"never": 50}
    assert found.settings["training_updates"] == {"never": 0}
    assert "NeverLearns has learned nothing" in caplog.text


DEEP = ["full_slate_q", "slate_optimal_optimal_q", "myopic_slate_greedy_sarsa"]


@pytest.mark.parametrize("num_envs", [None, 3])
@pytest.mark.parametrize(
    ("train_steps", "bindings", "expected"),
    [
        (None, [], 3000),
        (2000, [], 200),
        (10**6, [], 20_000),
        (2000, ["DQNAgent.min_replay_history = 77"], 77),
        (None, ["TrainRunner.max_training_steps = 90"], 90),
    ],
)
def test_warm_up_follows_the_length_of_the_training(
    num_envs, train_steps, bindings, expected, tmp_path
):
    runner_lib.load_gin_configs([], bindings)
    for agent in DEEP:
        run = prepared(
            tmp_path, agent, "interest_evolution", train_steps=train_steps, num_envs=num_envs
        )
        found = run.settings()["min_replay_history"]
        assert found == {agent: pytest.approx(expected, abs=3)}


@pytest.mark.parametrize(
    ("train_steps", "iterations"), [(1, 1), (300, 1), (2500, 2), (9999, 9), (10_000, 10)]
)
def test_short_trainings_have_few_iterations(train_steps, iterations, tmp_path):
    run = prepared(tmp_path, "tabular_q", train_steps=train_steps)
    training = run.settings()["training"]["tabular_q"]
    assert training["num_iterations"] == iterations
    assert 0 <= training["max_training_steps"] * iterations - train_steps < iterations


def test_what_is_remembered_follows_the_length_of_the_training(tmp_path):
    config = {"num_candidates": 30_000, "slate_size": 2, "resample_documents": False, "seed": 0}
    env = registry.create_environment("interest_evolution", config)
    # A million transitions of these candidates would be more than 2 TiB.
    registry.create_agent(DEEP[1], env, training_steps=300)
    runner_lib.load_gin_configs([], ["WrappedReplayBuffer.replay_capacity = 1000000000000000"])
    with pytest.raises(MemoryError, match=r"10+ transitions needs .*, and there are .* for this"):
        registry.create_agent(DEEP[1], env, training_steps=300)


def test_gins_operative_configuration_tells_no_other_warm_up(tmp_path):
    prepared(tmp_path / "default", DEEP[0], "interest_evolution")
    assert "min_replay_history" not in gin.operative_config_str()  # The run gives it.
    runner_lib.load_gin_configs([], ["DQNAgent.min_replay_history = 77"])
    prepared(tmp_path / "bound", DEEP[0], "interest_evolution")
    assert "DQNAgent.min_replay_history = 77" in gin.operative_config_str()


def test_warm_up_by_the_name_of_the_agent(tmp_path):
    runner_lib.load_gin_configs([], ["SlateDecompQAgent.min_replay_history = 5"])
    for num_envs in (None, 3):
        for agent, expected in ((DEEP[0], 3000), (DEEP[1], 5)):
            run = prepared(tmp_path / str(num_envs), agent, "interest_evolution", num_envs=num_envs)
            assert run.settings()["min_replay_history"] == {agent: expected}


@pytest.mark.parametrize(
    ("num_envs", "train_steps", "bindings", "message"),
    [
        (None, 4, [], "A training of 4 steps is too short for full_slate_q, .* its first 4: ask"),
        (
            130,
            90,
            ["DQNAgent.min_replay_history = 1000"],
            r"100 steps \(1 for each of 100 users\) .* its first 1,000: ask",
        ),
        (
            None,
            3000,
            ["DQNAgent.min_replay_history = 3000"],
            "3,000 steps is .* its first 3,004: ask",
        ),
        (
            None,
            None,
            ["TrainRunner.max_training_steps = 1", "DQNAgent.min_replay_history = 10"],
            "of 10 steps is too short .* its first 12: ask",
        ),
    ],
)
def test_trainings_too_short_for_any_update_are_refused(
    num_envs, train_steps, bindings, message, tmp_path
):
    runner_lib.load_gin_configs([], bindings)
    with pytest.raises(ValueError, match=message):
        prepared(
            tmp_path,
            "full_slate_q",
            "interest_evolution",
            train_steps=train_steps,
            num_envs=num_envs,
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("num_envs", [None, 3])
def test_a_training_just_long_enough_changes_the_results(num_envs, tmp_path):
    """What was found: results of 1, 4,000 and 10,000 training steps were equal to the bit."""
    returns = []
    for train_steps in (200, 400):
        found = measured(
            tmp_path / str(train_steps),
            "full_slate_q",
            "interest_evolution",
            train_steps=train_steps,
            num_envs=num_envs,
            steps=100,
        )
        assert found.settings["training_updates"]["full_slate_q"] > 0
        returns.append(found.measures["return"].tolist())
    assert returns[0] != returns[1]
