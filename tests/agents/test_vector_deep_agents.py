"""Deep agents of users in parallel: acting as single-user agents do, training, and checkpoints."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import threading
import time
from typing import Any

import gin
import numpy as np
import pytest
from support import rollouts
from support.scenarios import config

from recsim import registry
from recsim.agents import full_slate_q_agent, slate_decomp_q_agent
from recsim.agents.dopamine import learner, transitions, vector_replay_buffer
from recsim.environments import interest_evolution, interest_exploration, long_term_satisfaction
from recsim.simulator import checkpoint
from recsim.vector import wrappers

NO_CLICK = transitions.NO_CLICK
SEVERAL_CLICKS = transitions.SEVERAL_CLICKS


def make_env(num_envs: int = 20, module: Any = interest_evolution, **options: Any) -> Any:
    return module.create_vector_environment(config(num_candidates=5), num_envs, **options)


def make_agent(env: Any, **kwargs: Any) -> Any:
    settings = {"min_replay_history": 50, "update_period": 10, "batch_size": 8, **kwargs}
    return slate_decomp_q_agent.VectorSlateDecompQAgent(env, replay_capacity=2000, **settings)


# Acting.


def strategies() -> list[Any]:
    names = [name for name in registry.AGENTS if "slate_" in name and name != "full_slate_q"]
    return [pytest.param(name, id=name) for name in names]


@pytest.mark.parametrize("strategy", strategies())
@pytest.mark.parametrize("learn_no_click_value", [False, True])
def test_slate_q_recommends_as_single_user_agents_do(strategy, learn_no_click_value):
    env = make_env()
    settings = {"learn_no_click_value": learn_no_click_value, "epsilon_eval": 0.0, "seed": 3}
    vector = slate_decomp_q_agent.create_vector_agent(strategy, env, eval_mode=True, **settings)
    single = wrappers.SingleUserAgents(
        lambda observation_space, action_space, user: slate_decomp_q_agent.create_agent(
            strategy,
            None,
            observation_space=observation_space,
            action_space=action_space,
            eval_mode=True,
            **settings,
        ),
        env,
    )
    observation, _ = env.reset(seed=1)
    assert_same_documents(observation, vector.begin(observation), single.begin(observation))


def assert_same_documents(observation: Any, slates: np.ndarray, other: np.ndarray) -> None:
    """Compares features: the last bits decide between documents of one topic, which tie."""
    users = np.arange(len(slates))[:, np.newaxis]
    documents = observation["doc"]
    np.testing.assert_array_equal(documents[users, slates], documents[users, other])


def test_full_slate_q_recommends_as_single_user_agents_do(monkeypatch):
    env = make_env()
    vector = full_slate_q_agent.VectorFullSlateQAgent(env, eval_mode=True, epsilon_eval=0.0, seed=3)
    single = wrappers.SingleUserAgents(
        lambda observation_space, action_space, user: full_slate_q_agent.FullSlateQAgent(
            None, observation_space, action_space, eval_mode=True, epsilon_eval=0.0, seed=3
        ),
        env,
    )
    observation, _ = env.reset(seed=1)
    expected = single.begin(observation)
    assert_same_documents(observation, vector.begin(observation), expected)
    monkeypatch.setattr(full_slate_q_agent, "_BLOCK", 1)  # One user at a time.
    assert_same_documents(observation, vector.begin(observation), expected)


def test_selection_of_ones_own_gets_one_user_at_a_time():
    seen = []

    def select(slate_size, s_no_click, s, q):
        seen.append((np.shape(s_no_click), s.shape, q.shape))
        return np.argsort(-q)[:slate_size].reshape(-1, 1)

    env = make_env(num_envs=3)
    agent = make_agent(env, eval_mode=True, epsilon_eval=0.0, select_slate_fn=select)
    assert agent.begin(env.reset()[0]).shape == (3, 2)
    assert seen == [((), (5,), (5,))] * 3


@pytest.mark.parametrize("module", [interest_exploration, long_term_satisfaction])
def test_features_are_those_of_single_user_agents(module):
    env = make_env(module=module, num_envs=4)
    full_slates = full_slate_q_agent.VectorFullSlateQAgent(env, eval_mode=True)
    adapter = full_slates.learner.values.adapter
    observation, _ = env.reset()
    users, documents = adapter.features_of_many(observation)
    to_single = wrappers.SingleUserAgents(lambda *_: None, env)
    for user in range(4):
        of_user, of_documents = adapter.features(to_single._observation(observation, user))
        np.testing.assert_array_equal(users[user], of_user)
        np.testing.assert_array_equal(documents[user], of_documents)


def test_exploration_is_uniform_and_as_frequent_as_epsilon():
    env = make_env(num_envs=1000)
    agent = make_agent(env, eval_mode=True, epsilon_eval=0.25, seed=5)
    greedy = make_agent(env, eval_mode=True, epsilon_eval=0.0, seed=5)
    observation, _ = env.reset()
    slates, best = agent.begin(observation), greedy.begin(observation)
    assert (np.diff(np.sort(slates, axis=1), axis=1) > 0).all()
    # A random one of 20 slates is the best one too.
    share = (slates == best).all(axis=1).mean()
    assert share == pytest.approx(0.75 + 0.25 / 20, abs=4 * np.sqrt(0.25 * 0.75 / 1000))
    random = make_agent(env, eval_mode=True, epsilon_eval=1.0).begin(observation)
    counts = np.bincount(random[:, 0] * 5 + random[:, 1], minlength=25)
    assert counts.max() < 50 + 5 * np.sqrt(50)
    assert (counts.reshape(5, 5)[~np.eye(5, dtype=bool)] > 50 - 5 * np.sqrt(50)).all()


# The replay buffer.


class Numbered:
    """Users whose states are numbered, so that a batch tells where its rows come from."""

    def __init__(self, num_users: int, seed: int, **kwargs: Any) -> None:
        self.rng = np.random.RandomState(seed)
        self.num_users = num_users
        self.buffer = vector_replay_buffer.VectorReplayBuffer(
            num_users, 2, 1, 1, 1, **{"batch_size": 1000, "gamma": 0.5, **kwargs}
        )
        self.steps = 0
        # By state number (user, step): the outcome, and the state that followed.
        self.outcomes: dict[tuple[int, int], tuple[float, str]] = {}

    def states(self, user: Any, step: Any) -> tuple[np.ndarray, ...]:
        users = np.stack(np.broadcast_arrays(user, step), axis=-1).astype(np.float32)
        slates = users[:, :1].astype(int) + 100
        return users, users[:, None, 1:], slates

    def add(self) -> None:
        step, everyone = self.steps, np.arange(self.num_users)
        rewards = self.rng.randint(1, 9, self.num_users).astype(np.float32)
        ends = self.rng.choice(["", "terminal", "cut"], p=[0.7, 0.15, 0.15], size=self.num_users)
        clicks = np.full(self.num_users, step)
        states = self.states(everyone, step)
        self.buffer.add(*states, clicks, rewards, ends == "terminal")
        cut = np.flatnonzero(ends == "cut")
        self.buffer.truncate(cut, *self.states(cut, step + 0.5))
        for user in range(self.num_users):
            self.outcomes[user, step] = (rewards[user], ends[user])
        self.steps += 1


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("capacity", [1000, 25])
def test_batches_hold_what_happened(horizon, capacity):
    scenario = Numbered(5, seed=1, update_horizon=horizon, replay_capacity=capacity)
    assert not scenario.buffer.can_sample()
    for _ in range(23):
        scenario.add()
        if scenario.steps < 2:
            continue
        batch = scenario.buffer.sample()
        for row in range(len(batch.rewards)):
            user, step = batch.users[row].astype(int).tolist()
            assert scenario.steps - capacity // 5 <= step < scenario.steps - 1
            assert batch.slates[row, 0] == user + 100
            assert batch.clicks[row] == step == batch.documents[row, 0, 0]
            reward, length, end = 0.0, 0, ""
            while length < horizon and not end and step + length < scenario.steps - 1:
                gain, end = scenario.outcomes[user, step + length]
                reward += 0.5**length * gain
                length += 1
            assert batch.rewards[row] == reward
            assert batch.discounts[row] == 0.5**length
            assert batch.terminals[row] == (end == "terminal")
            if end != "terminal":
                next_step = step + length - (0.5 if end == "cut" else 0)
                assert batch.next_users[row].tolist() == [user, next_step]
                assert batch.next_documents[row, 0, 0] == next_step
                assert batch.next_slates[row, 0] == user + 100
    # All that can be drawn is.
    drawn = {(user, step) for user, step in batch.users.tolist()}
    assert len(drawn) == 5 * (min(23, capacity // 5) - 1)


def test_buffer_continues_from_its_state(tmp_path):
    scenario, other = (Numbered(3, seed=2, replay_capacity=30, update_horizon=2) for _ in range(2))
    for _ in range(14):
        scenario.add()
    path = str(tmp_path / "buffer")
    checkpoint.save(path, scenario.buffer.state_dict())
    other.buffer.load_state_dict(dict(checkpoint.load(path)))
    other.rng, other.steps = scenario.rng, scenario.steps
    for buffer in (scenario.buffer, other.buffer):
        assert buffer.add_count == 42
    for _ in range(2):
        batches = [vars(buffer.sample()) for buffer in (scenario.buffer, other.buffer)]
        for name, values in batches[0].items():
            np.testing.assert_array_equal(values, batches[1][name])
        everyone = scenario.states(np.arange(3), 99)
        for buffer in (scenario.buffer, other.buffer):
            buffer.add(*everyone, np.zeros(3), np.ones(3), np.zeros(3, bool))


def test_buffer_refuses_states_and_capacities_that_do_not_fit():
    buffer = Numbered(3, seed=0, replay_capacity=30).buffer
    state = Numbered(3, seed=0, replay_capacity=33).buffer.state_dict()
    with pytest.raises(ValueError, match="3 users and 11 steps does not fit 3 users and 10 steps"):
        buffer.load_state_dict(state)
    with pytest.raises(ValueError, match="two transitions for each of 3 users, got 5"):
        Numbered(3, seed=0, replay_capacity=5)
    with pytest.raises(ValueError, match="batch_size must be an integer >= 1, got 0"):
        Numbered(3, seed=0, replay_capacity=30, batch_size=0)
    with pytest.raises(TypeError, match="update_horizon must be an integer >= 1, got 1.5"):
        Numbered(3, seed=0, replay_capacity=30, update_horizon=1.5)


# Training.


@pytest.mark.parametrize(("num_envs", "period"), [(20, 10), (20, 50), (7, 3)])
def test_updates_are_as_frequent_as_in_single_user_training(num_envs, period):
    env = make_env(num_envs=num_envs)
    settings = {"update_period": period, "min_replay_history": 0, "hidden_units": (4,)}
    agent = full_slate_q_agent.VectorFullSlateQAgent(env, **settings)
    for _ in rollouts.vector_steps(env, agent, 100, seed=None):
        pass
    assert agent.training_steps == 101 * num_envs
    # Nothing can be learned before there are two steps.
    assert agent.num_updates == pytest.approx(99 * num_envs / period, abs=1)


def test_outcomes_are_those_of_single_user_agents():
    env = make_env(num_envs=4)
    agent = make_agent(env)
    responses = {
        "click": np.array([[0, 1], [0, 0], [1, 0], [1, 1]]),
        "watch_time": np.array([[9.0, 4.0], [9.0, 9.0], [2.5, 9.0], [1.0, 2.0]], np.float32),
    }
    clicks, rewards = agent.learner.values.outcomes(responses, np.zeros(4))
    assert clicks.tolist() == [1, NO_CLICK, 0, SEVERAL_CLICKS]
    assert rewards.tolist() == [4.0, 0.0, 2.5, 3.0]
    agent = make_agent(env, reward_field=None)
    assert agent.learner.values.outcomes(responses, np.arange(4.0))[1].tolist() == [
        0.0,
        1.0,
        2.0,
        3.0,
    ]


def test_transitions_are_those_of_the_environment():
    env = make_env(num_envs=6, max_steps_per_episode=4)
    agent = make_agent(env, epsilon_train=0.0)
    observation, _ = env.reset()
    slates = agent.begin(observation)
    history = []
    for _ in range(4):
        happened = env.step(slates)
        history.append((observation, slates, happened))
        observation, slates = happened[0], agent.step(*happened)
    stored = agent.learner.replay.state_dict()
    documents = np.empty((24, 5, 20), np.float32)
    transitions.unpack(stored["documents"], documents)
    ends = [transitions.CONTINUES] * 18 + [transitions.TRUNCATED] * 6
    assert stored["ends"].tolist() == ends
    for step, (before, shown, happened) in enumerate(history):
        rows = slice(6 * step, 6 * step + 6)
        np.testing.assert_array_equal(stored["users"][rows], before["user"])
        np.testing.assert_array_equal(documents[rows], before["doc"])
        np.testing.assert_array_equal(stored["slates"][rows], shown)
        np.testing.assert_allclose(stored["rewards"][rows], happened[1])
    final = history[-1][2][4]["final_obs"].batch
    np.testing.assert_array_equal(stored["last_users"], final["user"])
    assert not np.array_equal(final["user"], observation["user"])
    # Episodes that are left are truncated too.
    happened = env.step(slates)
    agent.step(*happened)
    agent.begin(env.reset()[0])
    stored = agent.learner.replay.state_dict()
    assert (stored["ends"][24:] == transitions.TRUNCATED).all()
    np.testing.assert_array_equal(stored["last_users"][6:], happened[0]["user"])


def test_rewards_must_be_finite_and_episodes_begun():
    env = make_env()
    agent = make_agent(env)
    observation, _ = env.reset()
    with pytest.raises(RuntimeError, match=r"call begin\(observation\)"):
        agent.step(*env.step(np.zeros((20, 2), int)))
    slates = agent.begin(observation)
    observation, rewards, *rest = env.step(slates)
    rewards[3] = np.nan
    with pytest.raises(ValueError, match="finite"):
        agent.step(observation, rewards, *rest)


# Keeping.


def test_training_continues_from_a_checkpoint_exactly(tmp_path):
    env = make_env(num_envs=15, max_steps_per_episode=6)
    kwargs = {"update_period": 15, "target_update_period": 60, "update_horizon": 3}
    agent, restored = make_agent(env, **kwargs), make_agent(env, **kwargs)
    observation, _ = env.reset(seed=0)
    slates = agent.begin(observation)
    for _ in range(8):
        slates = agent.step(*env.step(slates))
    path = str(tmp_path / "bundle")
    checkpoint.save(path, agent.bundle_and_checkpoint("", 0))
    bundle = dict(checkpoint.load(path))
    assert restored.unbundle("", 0, bundle)
    for _ in range(6):
        happened = env.step(slates)
        slates = agent.step(*happened)
        np.testing.assert_array_equal(slates, restored.step(*happened))
    for weights, of_restored in zip(
        agent.serving_bundle()["online_network"], restored.serving_bundle()["online_network"]
    ):
        np.testing.assert_array_equal(weights, of_restored)
    assert agent.training_steps == restored.training_steps == 15 * 15
    # Single-user agents, and agents of other numbers of users, serve what was learned.
    observation, _ = env.reset(seed=1)
    server = make_agent(env, eval_mode=True, epsilon_eval=0.0)
    assert server.unbundle("", 0, bundle)
    slates = server.begin(observation)
    few = make_agent(make_env(num_envs=3), eval_mode=True, epsilon_eval=0.0)
    assert few.unbundle("", 0, bundle)
    other_config = config(num_candidates=8)
    more_candidates = interest_evolution.create_vector_environment(other_config, 3)
    assert make_agent(more_candidates, eval_mode=True).unbundle("", 0, bundle)
    observation_of_few, _ = make_env(num_envs=3).reset(seed=1)
    assert_same_documents(observation_of_few, few.begin(observation_of_few), slates[:3])
    single = wrappers.SingleUserAgents(
        lambda observation_space, action_space, user: slate_decomp_q_agent.SlateDecompQAgent(
            None, observation_space, action_space, eval_mode=True, epsilon_eval=0.0
        ),
        env,
    )
    assert all(agent.unbundle("", 0, bundle) for agent in single.agents)
    assert_same_documents(observation, single.begin(observation), slates)


def test_training_needs_a_bundle_of_the_same_users(caplog):
    agent = make_agent(make_env(num_envs=4))
    bundle = agent.bundle_and_checkpoint("", 0)
    other = make_agent(make_env(num_envs=5))
    with caplog.at_level(logging.WARNING):
        assert not other.unbundle("", 0, bundle)
        assert not other.unbundle("", 0, {})
    assert "no replay buffer" in caplog.text
    partial = make_agent(make_env(num_envs=5), allow_partial_reload=True)
    assert partial.unbundle("", 0, bundle)


def test_an_evaluation_with_other_users_needs_no_warning(caplog):
    bundle = make_agent(make_env(num_envs=4)).bundle_and_checkpoint("", 0)
    evaluated = make_agent(make_env(num_envs=5), eval_mode=True)
    assert evaluated.unbundle("", 0, bundle)
    assert not caplog.records
    trained_on = make_agent(make_env(num_envs=5), allow_partial_reload=True)
    assert trained_on.unbundle("", 0, bundle)
    assert "begins anew with users 0 to 4" in caplog.text


def test_the_replay_buffer_does_not_join_episodes_across_a_reload():
    env = make_env(num_envs=4)
    agent = make_agent(env, allow_partial_reload=True)
    happened = env.step(agent.begin(env.reset()[0]))
    agent.step(*happened)
    assert agent.unbundle("", 0, agent.serving_bundle())
    agent.step(*env.step(agent.begin(env.reset()[0])))
    batch = agent.learner.replay.sample()
    for next_user in batch.next_users:
        assert (happened[0]["user"] == next_user).all(axis=1).any()


# Settings and errors.


def test_settings_by_gin():
    bindings = [
        "VectorDQNAgent.update_period = 7",
        "vector_dqn_agent.VectorDQNAgent.batch_size = 5",
        "DQNAgent.gamma = 0.5",
        "SlateDecompQAgent.learn_no_click_value = True",
    ]
    try:
        gin.parse_config(bindings)
        agent = slate_decomp_q_agent.VectorSlateDecompQAgent(make_env(), replay_capacity=100)
        settings = agent.learner.settings
        assert (settings.update_period, settings.gamma) == (7, 0.5)
        assert agent.learner.replay.batch_size == 5
        assert agent.learner.values.learn_no_click_value
        assert make_agent(make_env(), update_period=3).learner.settings.update_period == 3
    finally:
        gin.clear_config()


def test_learning_rate_is_that_of_the_optimizer():
    env = make_env(num_envs=20)
    agent = make_agent(env, learning_rate=0.125, min_replay_history=0)
    for _ in rollouts.vector_steps(env, agent, 3, seed=None):
        pass
    _, learning_rate, *_ = agent.learner.optimizer_state
    assert learning_rate == 0.125


def test_summaries_are_written_as_often_as_asked():
    written = []

    class Writer:
        def add_scalar(self, name, value, step):
            written.append((name, step))

    env = make_env(num_envs=20)
    agent = make_agent(env, summary_writer=Writer(), summary_writing_frequency=100)
    for _ in rollouts.vector_steps(env, agent, 11, seed=None):
        pass
    assert {step for _, step in written} == {100, 200}
    assert ("slate_choices/candidate_4", 200) in written


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size must be an integer >= 1"),
        ({"replay_capacity": 1e6}, TypeError, "replay_capacity must be an integer >= 1"),
        ({"gamma": 1.5}, ValueError, "gamma must be a probability"),
        ({"update_period": 0}, ValueError, "update_period must be an integer >= 1"),
        ({"learning_rate": -1.0}, ValueError, "learning_rate must be above 0"),
        ({"replay_capacity": 39}, ValueError, "two transitions for each of 20 users"),
        ({"reward_field": "engagement"}, ValueError, "reward_field 'engagement'"),
    ],
)
def test_faulty_arguments_are_told(arguments, error, message):
    with pytest.raises(error, match=message):
        slate_decomp_q_agent.VectorSlateDecompQAgent(make_env(), **arguments)


def test_faulty_environments_are_told():
    with pytest.raises(ValueError, match=r"There is no|agent_name must be one of"):
        slate_decomp_q_agent.create_vector_agent("slate_optimal_optimal", make_env())
    with pytest.raises(ValueError, match="score_documents_fn"):
        slate_decomp_q_agent.VectorSlateDecompQAgent(
            make_env(module=long_term_satisfaction), reward_field="engagement"
        )
    single = interest_evolution.create_environment(config(num_candidates=5))
    with pytest.raises(TypeError, match="vector environment"):
        slate_decomp_q_agent.VectorSlateDecompQAgent(single)
    agent = make_agent(make_env(num_envs=5))
    with pytest.raises(ValueError, match=r"\(5, 5\).*\(6, 5, 20\)"):
        agent.begin(make_env(num_envs=6).reset()[0])


def trained(num_envs=256, steps=4_000):
    """Returns the weights, as bytes, after a training with updates of several steps."""
    scenario = {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 0}
    env = interest_evolution.create_vector_environment(scenario, num_envs)
    agent = slate_decomp_q_agent.create_vector_agent(
        "slate_optimal_optimal_q", env, min_replay_history=500, update_period=100
    )
    observation, _ = env.reset()
    slates = agent.begin(observation)
    while agent.training_steps < steps:
        slates = agent.step(*env.step(slates))
    assert agent.num_updates > 20
    return b"".join(layer.tobytes() for layer in agent.learner.online_network.weights)


def test_a_training_does_not_depend_on_the_speed_of_its_threads(monkeypatch):
    expected = trained()
    update = learner.QLearner._update

    def slow_update(self, replay):
        time.sleep(0.01)
        update(self, replay)

    monkeypatch.setattr(learner.QLearner, "_update", slow_update)
    assert trained() == expected


@pytest.mark.parametrize("own", [None, "select_slate_fn", "compute_target_fn"])
def test_functions_of_others_are_called_in_one_thread(own):
    threads = set()

    def called(function):
        def call(*args, **kwargs):
            threads.add(threading.current_thread())
            return function(*args, **kwargs)

        return call

    functions = {
        "select_slate_fn": slate_decomp_q_agent.select_slate_topk,
        "compute_target_fn": slate_decomp_q_agent.compute_target_sarsa,
    }
    values = {name: called(each) if name == own else each for name, each in functions.items()}
    env = interest_evolution.create_vector_environment(config(), 20)
    agent = slate_decomp_q_agent.VectorSlateDecompQAgent(
        env, **values, min_replay_history=40, update_period=20, epsilon_decay_period=1
    )
    slates = agent.begin(env.reset()[0])
    for _ in range(8):
        slates = agent.step(*env.step(slates))
    assert agent.num_updates > 3
    assert threads == ({threading.current_thread()} if own else set())


def test_a_training_does_not_depend_on_the_number_of_threads():
    path = os.pathsep.join(sys.path)
    digests = {
        subprocess.run(
            [sys.executable, __file__],
            env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": threads},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert digests == {hashlib.sha256(trained()).hexdigest() + "\n"}


if __name__ == "__main__":
    print(hashlib.sha256(trained()).hexdigest())
