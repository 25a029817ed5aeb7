"""SlateQ: scores, targets, what a batch teaches, options, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from support import recorded, recsim_names
from support.scenarios import CONFIG

from recsim import choice_model
from recsim._internal.gym_import import spaces
from recsim.agents import slate_decomp_q_agent as slate_q
from recsim.agents.dopamine import network, transitions
from recsim.agents.layers.fixed_length_history import FixedLengthHistoryLayer
from recsim.agents.layers.temporal_aggregation import TemporalAggregationLayer
from recsim.environments import (
    interest_evolution,
    interest_exploration,
    long_term_satisfaction,
)

RECORDED = recorded("choice_bandit_slateq_math")["slateq_targets"]
TARGETS = {
    "target_sarsa": slate_q.compute_target_sarsa,
    "target_greedy_q": slate_q.compute_target_greedy_q,
    "target_topk_q": slate_q.compute_target_topk_q,
    "target_optimal_q": slate_q.compute_target_optimal_q,
}
STRATEGIES = [
    "dp_random",
    "slate_topk_sarsa",
    "myopic_slate_topk_sarsa",
    "slate_greedy_sarsa",
    "myopic_slate_greedy_sarsa",
    "slate_greedy_optimal_q",
    "slate_topk_topk_q",
    "slate_topk_optimal_q",
    "slate_optimal_optimal_q",
    "slate_greedy_greedy_q",
]


def recorded_arguments(case):
    return {
        "reward": np.array(case["reward"], np.float32),
        "gamma": case["gamma"],
        "next_actions": np.array(case["next_actions"], np.int32),
        "next_q_values": np.array(case["next_q_values"], np.float32),
        "next_states": np.array(case["next_states"], np.float32),
        "terminals": np.array(case["terminals"], np.uint8),
    }


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("case", RECORDED)
def test_recsims_targets(case, name):
    targets = TARGETS[name](**recorded_arguments(case))
    np.testing.assert_allclose(targets, case[name], rtol=1e-6)


def as_tensors(arguments):
    import tensorflow as tf

    return {
        key: tf.constant(value) if isinstance(value, np.ndarray) else value
        for key, value in arguments.items()
    }


@pytest.mark.parametrize("name", TARGETS)
def test_targets_of_tensors_are_tensors(name):
    import tensorflow as tf

    arguments = as_tensors(recorded_arguments(RECORDED[0]))
    for function in (TARGETS[name], tf.function(TARGETS[name])):
        targets = function(**arguments)
        assert targets.dtype == tf.float32
        np.testing.assert_allclose(targets, RECORDED[0][name], rtol=1e-6)


def test_slates_scores_and_probabilities_of_tensors_are_tensors():
    import tensorflow as tf

    s, q = tf.constant([2.0, 1.0, 3.0]), tf.constant([2.5, 5.0, 2.0])
    for select, expected in [
        (slate_q.select_slate_topk, [2, 0]),
        (slate_q.select_slate_greedy, [1, 0]),
        (slate_q.select_slate_optimal, [1, 0]),
    ]:
        slate = select(2, 1.0, s, q)
        assert slate.dtype == tf.int32
        assert slate.numpy().tolist() == expected
    scores, no_click = slate_q.score_documents_tf(s, tf.constant([[1.0, 0.0, 0.0]]))
    assert scores.numpy().tolist() == [3.0]
    assert float(no_click) == 2.0
    probabilities = slate_q.compute_probs_tf(tf.constant([[2], [0]]), s, tf.constant(1.0))
    np.testing.assert_allclose(probabilities.numpy(), [[3 / 6], [2 / 6]], rtol=1e-6)


def test_probabilities_by_hand():
    scores = np.array([2.0, 1.0, 3.0])
    np.testing.assert_allclose(slate_q.compute_probs_tf([2, 0], scores, 1.0), [3 / 6, 2 / 6])
    np.testing.assert_allclose(slate_q.compute_probs_tf([[1]], scores, 0.0), [[1.0]])


def test_scores_are_those_of_the_users_choice_model():
    rng = np.random.default_rng(0)
    user, documents = rng.uniform(-0.3, 0.3, 5), rng.uniform(-1, 1, (7, 5))
    state = interest_evolution.IEvUserState(user)
    for is_mnl, model in [
        (False, choice_model.MultinomialProportionalChoiceModel),
        (True, choice_model.MultinomialLogitChoiceModel),
    ]:
        model = model({"no_click_mass": 0.5, "min_normalizer": -1.5})
        model.score_documents(state, documents)
        for function in (slate_q.score_documents, slate_q.score_documents_tf):
            scores, no_click = function(user, documents, 0.5, is_mnl, -1.5)
            np.testing.assert_allclose(scores, model.scores)
            np.testing.assert_allclose(no_click, model.score_no_click)


def test_scores_of_many_users():
    rng = np.random.default_rng(0)
    users, documents = rng.uniform(-0.3, 0.3, (2, 3, 5)), rng.uniform(-1, 1, (2, 3, 7, 5))
    scores, no_click = slate_q.score_documents(users, documents)
    assert scores.shape == (2, 3, 7)
    assert no_click.tolist() == [[2.0] * 3] * 2
    alone, _ = slate_q.score_documents(users[1, 2], documents[1, 2])
    np.testing.assert_allclose(scores[1, 2], alone)


def test_scores_below_the_normalizer():
    with pytest.raises(ValueError, match="min_normalizer=-1.0, .* the least score .* -2"):
        slate_q.score_documents([2.0], [[1.0], [-1.0]])
    with pytest.raises(ValueError, match="no_click_mass=-2"):
        slate_q.score_documents([2.0], [[1.0]], no_click_mass=-2)


def make(strategy="slate_optimal_optimal_q", config=CONFIG, **kwargs):
    env = interest_evolution.create_environment(config)
    return slate_q.create_agent(
        strategy,
        None,
        observation_space=env.observation_space,
        action_space=env.action_space,
        **{"replay_capacity": 1000, **kwargs},
    )


def some_batch(agent, size=60, seed=0):
    """A batch of every kind of transition, in interest evolution."""
    rng = np.random.default_rng(seed)
    width = agent.learner.values.adapter.doc_size

    def topics():
        return np.eye(width, dtype=np.float32)[rng.integers(width, size=(size, 4))]

    return transitions.Batch(
        users=rng.uniform(-1, 1, (size, width)).astype(np.float32),
        documents=topics(),
        slates=np.argsort(rng.random((size, 4)))[:, :2].astype(np.int32),
        clicks=rng.integers(-2, 2, size).astype(np.int32),
        rewards=rng.uniform(0, 4, size).astype(np.float32),
        discounts=np.full(size, agent.gamma, np.float32),
        terminals=rng.random(size) < 0.3,
        next_users=rng.uniform(-1, 1, (size, width)).astype(np.float32),
        next_documents=topics(),
        next_slates=np.argsort(rng.random((size, 4)))[:, :2].astype(np.int32),
    )


def output(weights, inputs):
    """The network, row by row and layer by layer."""
    for kernel, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        inputs = np.maximum(inputs @ kernel + bias, 0)
    return (inputs @ weights[-2] + weights[-1])[0]


def next_value(agent, weights, strategy, batch, i):
    """The value of the next state, by the formulas of the paper and all slates."""
    user, documents = batch.next_users[i].astype(float), batch.next_documents[i].astype(float)
    extra = [0.0] if agent.learner.values.learn_no_click_value else []
    q = np.array([output(weights, np.array([*user, *doc, *extra])) for doc in documents])
    q_no_click = 0.0
    if extra:
        q_no_click = output(weights, np.array([*user, *np.zeros(len(user)), 1.0]))
    s, s_no_click = documents @ user + 1.0, 2.0

    def value(slate):
        slate = list(slate)
        total = s[slate].sum() + s_no_click
        return (s[slate] @ q[slate] + s_no_click * q_no_click) / total

    if strategy == "sarsa":
        return value(batch.next_slates[i])
    if strategy == "topk_q":
        return value(np.argsort(-s * (q - q_no_click))[:2])
    pairs = [(a, b) for a in range(4) for b in range(4) if a != b]
    if strategy == "optimal_q":
        return max(map(value, pairs))
    first = max(range(4), key=lambda a: value([a]))
    return max(value(pair) for pair in pairs if pair[0] == first)


@pytest.mark.parametrize("learn_no_click_value", [False, True])
@pytest.mark.parametrize("strategy", ["sarsa", "topk_q", "greedy_q", "optimal_q"])
def test_what_a_batch_teaches(strategy, learn_no_click_value):
    name = {"sarsa": "slate_topk_sarsa", "topk_q": "slate_topk_topk_q"}.get(
        strategy, f"slate_greedy_{strategy}"
    )
    agent = make(name, learn_no_click_value=learn_no_click_value, gamma=0.9)
    target_network = network.QNetwork.initial(
        agent.learner.values.num_inputs, (8, 4), np.random.RandomState(1)
    )
    batch = some_batch(agent)
    learned = agent.learner.values.training_batch(batch, target_network)
    user_size = batch.users.shape[1]
    used = 0
    for i, row in enumerate(learned.inputs):
        click = batch.clicks[i]
        not_clicked = click == transitions.NO_CLICK
        assert learned.used[i] == (click >= 0 or (learn_no_click_value and not_clicked))
        if not learned.used[i]:
            continue
        used += 1
        assert row[:user_size].tolist() == batch.users[i].tolist()
        document = np.zeros(user_size)
        if click >= 0:
            document = batch.documents[i, batch.slates[i, click]]
        assert row[user_size : 2 * user_size].tolist() == document.tolist()
        if learn_no_click_value:
            assert row[2 * user_size] == not_clicked
        target = batch.rewards[i]
        if not batch.terminals[i]:
            target = target + 0.9 * next_value(agent, target_network.weights, strategy, batch, i)
        assert learned.targets[i] == pytest.approx(target, rel=1e-4, abs=1e-5)
    assert 20 < used < 60


def test_a_batch_without_clicks_teaches_nothing():
    agent = make()
    batch = some_batch(agent)
    batch.clicks[:] = transitions.NO_CLICK
    learner = agent.learner
    assert not learner.values.training_batch(batch, learner.target_network).used.any()


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("learn_no_click_value", [False, True])
def test_the_best_slate(name, learn_no_click_value):
    agent = make(name, learn_no_click_value=learn_no_click_value, hidden_units=(8, 4))
    env = interest_evolution.create_environment(CONFIG)
    learner = agent.learner
    select = learner.values.select_slate_fn
    for _ in range(5):
        user, documents = learner.values.adapter.features(env.reset())
        weights = learner.online_network.weights
        extra = [0.0] if learn_no_click_value else []
        q = np.array([output(weights, np.array([*user, *doc, *extra])) for doc in documents])
        if learn_no_click_value:
            q = q - output(weights, np.array([*user, *np.zeros(20), 1.0]))
        expected = select(2, 2.0, documents @ user + 1.0, q)
        best = learner.values.best_slate(learner.online_network, user, documents)
        assert best.tolist() == expected.tolist()


def test_recsims_ten_strategies():
    serving = {
        "topk": slate_q.select_slate_topk,
        "greedy": slate_q.select_slate_greedy,
        "optimal": slate_q.select_slate_optimal,
    }
    training = {
        "sarsa": slate_q.compute_target_sarsa,
        "topk": slate_q.compute_target_topk_q,
        "greedy": slate_q.compute_target_greedy_q,
        "optimal": slate_q.compute_target_optimal_q,
    }
    for name in STRATEGIES:
        agent = make(name)
        parts = name.removeprefix("myopic_").removesuffix("_q").split("_")
        if name == "dp_random":
            assert agent.epsilon_train == agent.epsilon_eval == 1.0
            continue
        assert agent.learner.values.select_slate_fn is serving[parts[1]]
        assert agent.learner.values.compute_target_fn is training[parts[2]]
        assert agent.gamma == (0.0 if name.startswith("myopic") else 0.99)
        assert agent.epsilon_train == 0.01
    assert make("slate_topk_sarsa", gamma=0.5).gamma == 0.5


def test_an_unknown_strategy():
    with pytest.raises(ValueError, match="got 'slate_optimal_q'. Did you mean 'slate_.*_q'"):
        make("slate_optimal_q")


def test_optimal_slates_by_default():
    env = interest_evolution.create_environment(CONFIG)
    agent = slate_q.SlateDecompQAgent(None, env.observation_space, env.action_space)
    assert agent.learner.values.select_slate_fn is slate_q.select_slate_optimal
    assert agent.learner.values.compute_target_fn is slate_q.compute_target_optimal_q


@pytest.mark.parametrize("update_horizon", [1, 2])
def test_functions_of_the_users_own(update_horizon):
    calls = []

    def select(slate_size, s_no_click, s, q):
        calls.append((slate_size, s_no_click, s.shape, q.shape))
        return np.array([[3], [1]])  # As RecSim's greedy function has it.

    def target(reward, gamma, next_actions, next_q_values, next_states, terminals):
        calls.append((gamma, next_states))
        return slate_q.compute_target_greedy_q(
            reward, gamma, next_actions, next_q_values, next_states, terminals
        )

    env = interest_evolution.create_environment(CONFIG)
    kwargs = {"update_horizon": update_horizon, "learn_no_click_value": True}
    agent = slate_q.SlateDecompQAgent(
        None,
        env.observation_space,
        env.action_space,
        select_slate_fn=select,
        compute_target_fn=target,
        **kwargs,
    )
    values, q_network = agent.learner.values, agent.learner.online_network
    features = values.adapter.features(env.reset())
    assert values.best_slate(q_network, *features).tolist() == [3, 1]
    assert calls.pop() == (2, 2.0, (4,), (4,))
    batch = some_batch(agent)
    greedy = make("slate_greedy_greedy_q", **kwargs)
    gamma = 0.99 if update_horizon == 1 else None
    learned, expected = (
        each.learner.values.training_batch(batch, q_network, gamma) for each in (agent, greedy)
    )
    for name, values in vars(learned).items():
        np.testing.assert_allclose(values, vars(expected)[name], rtol=1e-5, atol=1e-6)
    gamma, next_states = calls.pop()
    used = batch.clicks >= -1
    assert next_states.shape == (used.sum(), 5, 20, 1)
    np.testing.assert_array_equal(next_states[:, 0, :, 0], batch.next_users[used])
    np.testing.assert_array_equal(next_states[:, 1:, :, 0], batch.next_documents[used])
    if update_horizon == 1:
        assert gamma == 0.99
    else:
        np.testing.assert_array_equal(gamma, batch.discounts[used])


def test_the_agents_own_choice_model():
    arguments = {"no_click_mass": 0.25, "is_mnl": True}
    agent = make("slate_topk_sarsa", **arguments)
    batch = some_batch(agent)
    s, s_no_click = slate_q.score_documents(batch.next_users, batch.next_documents, **arguments)
    values, q_network = agent.learner.values, agent.learner.target_network
    q, _ = values.of_documents(q_network, batch.next_users, batch.next_documents)
    targets = values.training_batch(batch, q_network).targets
    for i in np.flatnonzero((batch.clicks >= 0) & ~batch.terminals):
        slate = batch.next_slates[i]
        mean = s[i, slate] @ q[i, slate] / (s[i, slate].sum() + s_no_click[i])
        assert targets[i] == pytest.approx(batch.rewards[i] + 0.99 * mean, rel=1e-5)
    observation = interest_evolution.create_environment(CONFIG).reset()
    user, documents = values.adapter.features(observation)
    expected = slate_q.score_documents(user, documents, min_normalizer=-3.0)[0]
    np.testing.assert_array_equal(
        make(min_normalizer=-3.0).learner.values.score(user, documents)[0], expected
    )


def outcome(agent, responses, reward=7.0):
    return agent.learner.values.outcome(reward, {"response": responses})


def response(click, watch_time):
    return {"click": click, "watch_time": np.array(watch_time), "liked": 0}


def test_what_is_learned_from():
    agent = make()
    assert outcome(agent, [response(0, 0.0), response(1, 4.0)]) == (1, 4.0)
    assert outcome(agent, [response(0, 3.0), response(0, 0.0)]) == (-1, 0.0)
    assert outcome(agent, [response(1, 1.0), response(1, 4.0)])[0] == -2
    agent = make(reward_field=None)
    assert outcome(agent, [response(0, 0.0), response(1, 4.0)]) == (1, 7.0)
    assert outcome(agent, [response(0, 0.0), response(0, 0.0)]) == (-1, 7.0)


@pytest.mark.parametrize("response_", [response(1, np.nan), response(np.nan, 1.0)])
def test_responses_that_are_no_numbers(response_):
    agent = make()
    env = interest_evolution.create_environment(CONFIG)
    observation, _, _, _ = env.step(agent.begin_episode(env.reset()))
    observation["response"] = (response_, response(0, 0.0))
    with pytest.raises(ValueError, match="must be a finite number, got .*nan"):
        agent.step(0.0, observation)


def without(space, *names):
    single = {
        name: entry for name, entry in space["response"][0].spaces.items() if name not in names
    }
    responses = spaces.Tuple((spaces.Dict(single),) * 2)
    return spaces.Dict({**space.spaces, "response": responses})


@pytest.mark.parametrize(
    ("missing", "kwargs", "message"),
    [
        (["click"], {}, r"must have the key 'click'"),
        (["watch_time"], {}, "must have the reward_field 'watch_time'"),
        ([], {"no_click_mass": np.nan}, "no_click_mass must be a finite number.*got nan"),
        ([], {"min_normalizer": -np.inf}, "min_normalizer must be a finite number.*got -inf"),
        ([], {"reward_field": "watchtime"}, r"Did you mean 'watch_time'\? reward_field=None"),
    ],
)
def test_responses_that_teach_nothing(missing, kwargs, message):
    env = interest_evolution.create_environment(CONFIG)
    space = without(env.observation_space, *missing)
    with pytest.raises(ValueError, match=message):
        slate_q.SlateDecompQAgent(None, space, env.action_space, **kwargs)
    slate_q.SlateDecompQAgent(
        None, without(env.observation_space, "watch_time"), env.action_space, reward_field=None
    )


def test_documents_that_cannot_be_scored():
    env = interest_exploration.create_environment(CONFIG)
    with pytest.raises(ValueError, match="got 0 of the user and 3 of a document: pass a score_doc"):
        slate_q.SlateDecompQAgent(
            None, env.observation_space, env.action_space, reward_field="quality"
        )


def equal_scores(users, documents):
    """Every document has the weight 1, and users always click one."""
    return np.ones(documents.shape[:-1]), np.zeros(documents.shape[:-2])


def test_scores_of_the_users_own():
    env = long_term_satisfaction.create_environment({**CONFIG, "slate_size": 1})
    agent = slate_q.SlateDecompQAgent(
        None,
        env.observation_space,
        env.action_space,
        score_documents_fn=equal_scores,
        reward_field="engagement",
        min_replay_history=0,
        hidden_units=(4,),
        replay_capacity=100,
    )
    slate = agent.begin_episode(env.reset())
    for _ in range(20):
        observation, reward, _, _ = env.step(slate)
        slate = agent.step(reward, observation)
    stored = agent.learner.replay.state_dict()
    assert (stored["clicks"][:20] == 0).all()
    assert stored["rewards"][19] == np.float32(reward)


def test_documents_are_scored_by_the_users_own_interests():
    env = interest_evolution.create_environment({**CONFIG, "resample_documents": False})
    for layer, kwargs, key in [
        (FixedLengthHistoryLayer, {"history_length": 2}, "raw_observation"),
        (TemporalAggregationLayer, {"switching_cost": 1.0}, "original_observation"),
    ]:
        seen = []
        agent = layer(
            slate_q.SlateDecompQAgent,
            env.observation_space,
            env.action_space,
            sess=None,
            reward_field=None,
            replay_capacity=100,
            score_documents_fn=lambda users, documents, seen=seen: (
                seen.append(users) or equal_scores(users, documents)
            ),
            **kwargs,
        )
        base = recsim_names.base_agent(agent)
        base.eval_mode, base.epsilon_eval = True, 0.0
        observation = env.reset()
        agent.begin_episode(observation)
        np.testing.assert_array_equal(seen[0], observation["user"].astype(np.float32))
        assert base.learner.values.adapter.user_size > 20
        assert key in base._env_observation_space["user"].spaces


def test_users_who_choose_otherwise_than_the_agent_assumes():
    env = interest_evolution.create_environment({**CONFIG, "choice_model": "proportional_cascade"})
    agent = make(learn_no_click_value=True, min_replay_history=10, hidden_units=(4,))
    slate = agent.begin_episode(env.reset())
    for _ in range(40):
        observation, reward, _, _ = env.step(slate)
        slate = agent.step(reward, observation)
    assert {-1} < set(agent.learner.replay.state_dict()["clicks"][:40]) <= {-1, 0, 1}
    assert agent.num_updates > 0


def test_any_number_of_candidates_in_serving():
    agent = make(eval_mode=True)
    for num_candidates in (2, 4, 30):
        env = interest_evolution.create_environment({**CONFIG, "num_candidates": num_candidates})
        slate = agent.step(0.0, env.reset())
        assert len(set(slate.tolist())) == 2
        assert max(slate) < num_candidates
    observation = env.reset()
    observation["doc"] = dict(list(observation["doc"].items())[:1])
    with pytest.raises(ValueError, match="must hold 4 documents"):
        agent.step(0.0, observation)


def test_a_truncated_episode_has_a_slate_that_would_be_next():
    env = interest_evolution.create_environment(CONFIG)
    agent = make("slate_topk_sarsa", epsilon_fn=lambda *_: 0.0)
    slate = agent.begin_episode(env.reset())
    observation, reward, _, _ = env.step(slate)
    agent.end_episode(reward, observation, truncated=True)
    agent.begin_episode(env.reset())
    batch = agent.learner.replay.sample()
    values = agent.learner.values
    features = values.adapter.features(observation)
    expected = values.best_slate(agent.learner.online_network, *features)
    assert (batch.next_slates == expected).all()
    assert not batch.terminals.any()
