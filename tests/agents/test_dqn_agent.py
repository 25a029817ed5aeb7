"""What the deep agents share: features, network, gradient steps, exploration."""

from __future__ import annotations

import subprocess
import sys

import gin
import numpy as np
import pytest

from recsim import spaces as spaces_lib
from recsim._internal.gym_import import gym, spaces
from recsim.agents import slate_decomp_q_agent
from recsim.agents.dopamine import dqn_agent, network, training
from recsim.agents.full_slate_q_agent import FullSlateQAgent
from recsim.agents.layers.fixed_length_history import FixedLengthHistoryLayer
from recsim.environments import (
    interest_evolution,
    interest_exploration,
    long_term_satisfaction,
)

CONFIG = {"num_candidates": 4, "slate_size": 2, "resample_documents": True, "seed": 0}
WORLDS = [interest_evolution, interest_exploration, long_term_satisfaction]


def float_box(*shape):
    return spaces.Box(low=-10.0, high=10.0, shape=shape, dtype=np.float32)


NESTED = spaces.Dict(
    {
        "number": spaces.Discrete(3),
        "scalar": float_box(),
        "several": spaces.Tuple((float_box(2), spaces.MultiDiscrete([2, 3]))),
    }
)
ELEMENT = {"several": ([3.0, 4.0], [1, 0]), "scalar": np.array(2.0), "number": 1}


def test_features_of_nested_spaces():
    out = np.empty(spaces_lib.flat_size(NESTED))
    spaces_lib.flatten(NESTED, ELEMENT, out)
    assert out.tolist() == [0, 1, 0, 2, 3, 4, 0, 1, 1, 0, 0]
    assert spaces_lib.flat_size(NESTED) == spaces.flatdim(NESTED)
    for seed in range(20):
        NESTED.seed(seed)
        element = NESTED.sample()
        spaces_lib.flatten(NESTED, element, out)
        np.testing.assert_array_equal(out, spaces.flatten(NESTED, element))


def test_what_is_missing_is_zero():
    out = np.ones(11)
    spaces_lib.flatten(NESTED, None, out)
    assert out.tolist() == [0.0] * 11
    spaces_lib.flatten(NESTED, {**ELEMENT, "several": None}, out)
    assert out.tolist() == [0, 1, 0, 2] + [0] * 7


@pytest.mark.parametrize(
    ("space", "element", "message"),
    [
        (spaces.Discrete(3), 3, "Discrete space of 3 values is not one of them: .* 3"),
        (spaces.Discrete(3), -1, "Discrete space of 3 values is not one of them: .* -1"),
        (float_box(2), [1.0, 2.0, 3.0], r"must have its shape, got the shape \(3,\)"),
        (float_box(2), 1.0, r"must have its shape, got the shape \(\)"),
        (spaces.MultiDiscrete([2, 3]), [1], r"must have its shape, got the shape \(1,\)"),
        (spaces.Tuple([spaces.Discrete(2)]), (1, 0), r"must have its shape, got the shape \(2,\)"),
        (spaces.MultiDiscrete([2, 3]), [1, 3], "is not one of them: .* 3"),
    ],
)
def test_what_does_not_fit_its_space(space, element, message):
    with pytest.raises(ValueError, match=message):
        spaces_lib.flatten(space, element, np.empty(spaces_lib.flat_size(space)))


def test_spaces_that_have_no_features():
    with pytest.raises(NotImplementedError, match=r"must be a Dict, .*got Text.*Use a MultiDiscr"):
        spaces_lib.flat_size(spaces.Text(3))


@pytest.mark.parametrize("world", WORLDS)
def test_images_of_observations(world):
    env = world.create_environment(CONFIG)
    adapter = dqn_agent.ObservationAdapter(env.observation_space)
    user_space = env.observation_space["user"]
    for _ in range(5):
        observation = env.reset()
        image = adapter.encode(observation)
        space = adapter.output_observation_space
        assert (*space.shape, 1) == image.shape
        assert space.contains(image[..., 0])
        user = gym.spaces.flatten(user_space, observation["user"])
        np.testing.assert_allclose(image[0, : len(user), 0], user, rtol=1e-6)
        assert not image[0, len(user) :].any()
        doc_spaces = env.observation_space["doc"].spaces.values()
        for row, space, document in zip(
            image[1:], doc_spaces, observation["doc"].values(), strict=True
        ):
            features = gym.spaces.flatten(space, document)
            np.testing.assert_allclose(row[: len(features), 0], features, rtol=1e-6)
            assert not row[len(features) :].any()


def test_a_stack_of_images():
    env = interest_evolution.create_environment(CONFIG)
    adapter = dqn_agent.ObservationAdapter(env.observation_space, stack_size=3)
    image = adapter.encode(env.reset())
    assert image.shape == (5, 20, 3)
    assert image[..., 0].any()
    assert not image[..., 1:].any()


def test_responses_as_an_array():
    response = spaces.Dict({"watch_time": float_box(), "click": spaces.Discrete(2)})
    adapter = dqn_agent.ResponseAdapter(spaces.Tuple((response, response)))
    assert adapter.response_names == list(response.spaces)
    assert adapter.response_shape == (2, 2)
    assert adapter.response_dtype is np.float32
    encoded = adapter.encode(
        [{"click": 0, "watch_time": 0.0}, {"watch_time": np.array([4.5]), "click": 1}]
    )
    columns = [adapter.response_names.index(name) for name in ("click", "watch_time")]
    assert encoded[:, columns].tolist() == [[0.0, 0.0], [1.0, 4.5]]
    assert encoded.dtype == np.float32


def test_epsilon():
    def epsilon(step):
        return dqn_agent.linearly_decaying_epsilon(100, step, 50, 0.2)

    assert [epsilon(step) for step in (0, 50, 150, 1000)] == pytest.approx([1.0, 1.0, 0.2, 0.2])
    assert epsilon(75) == pytest.approx(0.8)


def test_initial_weights_are_those_of_keras():
    weights = network.QNetwork.initial(40, (256, 32), np.random.RandomState(0)).weights
    assert [w.shape for w in weights] == [(40, 256), (256,), (256, 32), (32,), (32, 1), (1,)]
    assert all(w.dtype == np.float32 for w in weights)
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        limit = np.sqrt(6 / sum(kernel.shape))
        assert 0.9 * limit < np.abs(kernel).max() <= limit
        assert not bias.any()


def test_the_network_is_the_same_in_numpy_and_in_keras():
    rng = np.random.RandomState(0)
    q_network = network.QNetwork.initial(7, (16, 8), rng)
    inputs = rng.standard_normal((50, 7)).astype(np.float32)
    model = training.make_model(q_network.weights)
    kernel, bias = q_network.first_layer
    outputs = q_network.finish(inputs @ kernel + bias)
    np.testing.assert_allclose(outputs, np.asarray(model(inputs))[:, 0], rtol=1e-5, atol=1e-6)


def linear_rows():
    """Rows for a network of two inputs and no hidden layer; the last row does not count."""
    return np.array([[1.0, 2.0, 3.0, 1.0], [0.5, -1.0, 0.0, 1.0], [9.0, 9.0, 9.0, 0.0]], np.float32)


def linear_trainer(**kwargs):
    arguments = {"optimizer_name": "sgd", "make_optimizer": None, "loss": "squared", **kwargs}
    weights = [np.array([[0.5], [0.25]], np.float32), np.zeros(1, np.float32)]
    return training.Trainer(weights, **arguments, batch_size=3, device="/cpu:*")


@pytest.mark.parametrize(
    ("loss", "expected_loss", "slopes"),
    [
        # Errors: 0.5 + 0.5 - 3 = -2 and 0.25 - 0.25 - 0 = 0; slopes 2 error / 2 rows.
        ("squared", 2.0, [-2.0, 0.0]),
        # 2 - 1/2 over 2 rows; the slope of a large error is its sign.
        ("huber", 0.75, [-0.5, 0.0]),
    ],
)
def test_a_gradient_step_by_hand(loss, expected_loss, slopes):
    trainer = linear_trainer(loss=loss)
    assert trainer.weights()[0].ravel().tolist() == [0.5, 0.25]
    trainer.step(linear_rows())
    assert trainer.loss == pytest.approx(expected_loss)
    assert trainer.mean_q == pytest.approx((1.0 + 0.0) / 2)
    gradient = slopes[0] * np.array([1.0, 2.0]) + slopes[1] * np.array([0.5, -1.0])
    kernel, bias = trainer.weights()
    np.testing.assert_allclose(kernel[:, 0], np.array([0.5, 0.25]) - 1e-3 * gradient, rtol=1e-5)
    np.testing.assert_allclose(bias, [-1e-3 * sum(slopes)], rtol=1e-5)


@pytest.mark.parametrize("name", ["", "rmsprop"])
def test_centred_rmsprop_with_dopamines_settings(name):
    trainer = linear_trainer(optimizer_name=name)
    rows = np.array([[1.0, 0.0, 3.0, 1.0], [0.0] * 4, [0.0] * 4], np.float32)
    moment, square, kernel, bias = 0.0, 0.0, 0.5, 0.0
    for _ in range(3):
        trainer.step(rows)
        gradient = 2 * (kernel + bias - 3.0)
        moment = 0.95 * moment + 0.05 * gradient
        square = 0.95 * square + 0.05 * gradient**2
        change = 2.5e-4 * gradient / np.sqrt(square - moment**2 + 1e-5)
        kernel, bias = kernel - change, bias - change
    np.testing.assert_allclose(trainer.weights()[0][0, 0], kernel, rtol=1e-5)
    np.testing.assert_allclose(trainer.weights()[1], [bias], rtol=1e-5)


def test_a_keras_optimizer_is_copied():
    import keras

    optimizer = keras.optimizers.SGD(0.1, momentum=0.5)
    make = training.optimizer_maker(optimizer)
    first, second = (linear_trainer(optimizer_name="", make_optimizer=make) for _ in range(2))
    first.step(linear_rows())
    second.step(linear_rows())
    np.testing.assert_allclose(first.weights()[0][:, 0], [0.5 + 0.2, 0.25 + 0.4], rtol=1e-5)
    assert first.weights()[0].tolist() == second.weights()[0].tolist()
    assert not optimizer.built


@pytest.mark.parametrize("name", ["rmsprop", "adam", "sgd"])
def test_a_restored_optimizer_goes_on_exactly(name):
    trainer = linear_trainer(optimizer_name=name)
    for _ in range(3):
        trainer.step(linear_rows())
    restored = training.Trainer(
        trainer.weights(), name, None, "squared", batch_size=3, device="/cpu:*"
    )
    restored.set_optimizer_state(trainer.optimizer_state())
    for each in (trainer, restored):
        each.step(linear_rows())
    assert trainer.weights()[0].tobytes() == restored.weights()[0].tobytes()


def test_the_state_of_another_optimizer_is_refused():
    state = linear_trainer(optimizer_name="adam").optimizer_state()
    with pytest.raises(ValueError, match="it is of another optimizer"):
        linear_trainer(optimizer_name="sgd").set_optimizer_state(state)


def test_recsims_network_shares_weights_by_scope():
    user, doc = np.ones((3, 4)), np.eye(3)
    first, again, other = (
        np.asarray(dqn_agent.recsim_dqn_network(user, doc, scope))
        for scope in ("Online", "Online", "Target")
    )
    assert first.shape == (3, 1)
    assert len(set(first.ravel().tolist())) == 3
    assert first.tolist() == again.tolist() != other.tolist()


def make(agent_class=FullSlateQAgent, config=CONFIG, **kwargs):
    env = interest_evolution.create_environment(config)
    return agent_class(None, env.observation_space, env.action_space, **kwargs)


BOTH = [FullSlateQAgent, slate_decomp_q_agent.SlateDecompQAgent]


@pytest.mark.parametrize("agent_class", BOTH)
def test_dopamines_defaults(agent_class):
    agent = make(agent_class)
    settings = {
        "gamma": 0.99,
        "update_horizon": 1,
        "min_replay_history": 20000,
        "update_period": 4,
        "target_update_period": 8000,
        "epsilon_train": 0.01,
        "epsilon_eval": 0.001,
        "epsilon_decay_period": 250000,
    }
    assert {name: getattr(agent, name) for name in settings} == settings
    assert agent._replay.batch_size == 32
    assert agent._replay._capacity == 1000000
    assert [len(bias) for bias in agent._network.weights[1::2]] == [256, 32, 1]


def test_settings_by_gin():
    bindings = [
        "DQNAgent.gamma = 0.5",
        "dqn_agent.DQNAgent.update_period = 7",
        "dopamine.dqn_agent.ObservationAdapter.stack_size = 2",
        "WrappedReplayBuffer.batch_size = 5",
        "circular_replay_buffer.WrappedReplayBuffer.replay_capacity = 100",
        "slate_decomp_q_agent.SlateDecompQAgent.learn_no_click_value = True",
        "FullSlateQAgent.max_num_slates = 11",
    ]
    try:
        gin.parse_config(bindings)
        agent = make(slate_decomp_q_agent.SlateDecompQAgent)
        assert (agent.gamma, agent.update_period, agent._replay.batch_size) == (0.5, 7, 5)
        assert agent._replay._discounts.tolist() == [1.0, 0.5]
        assert agent._replay._capacity == 100
        assert agent._obs_adapter._stack_size == 2
        assert agent._learn_no_click_value
        assert make(slate_decomp_q_agent.SlateDecompQAgent, gamma=0.25).gamma == 0.25
        with pytest.raises(ValueError, match="max_num_slates=11"):
            make(FullSlateQAgent)
    finally:
        gin.clear_config()


BAD_SETTINGS = [
    ({"gamma": 2}, ValueError, "gamma must be a probability"),
    ({"update_horizon": 0}, ValueError, "update_horizon must be an integer >= 1"),
    ({"min_replay_history": -1}, ValueError, "min_replay_history must be an integer >= 0"),
    ({"update_period": 0.5}, TypeError, "update_period must be an integer"),
    ({"target_update_period": 0}, ValueError, "target_update_period must be"),
    ({"epsilon_train": -0.1}, ValueError, "epsilon_train must be a probability"),
    ({"epsilon_eval": 1.1}, ValueError, "epsilon_eval must be a probability"),
    ({"epsilon_decay_period": 0}, ValueError, "epsilon_decay_period must be"),
    ({"summary_writing_frequency": 0}, ValueError, "summary_writing_frequency must be"),
    ({"replay_capacity": 1}, ValueError, "replay_capacity must be"),
    ({"batch_size": 0}, ValueError, "batch_size must be"),
    ({"hidden_units": (8, 0)}, ValueError, "hidden_units must be"),
    ({"optimizer_name": "adamm"}, ValueError, "Did you mean 'adam'?"),
    ({"loss": "hubert"}, ValueError, "Did you mean 'huber'?"),
    ({"optimizer": "adam"}, TypeError, "optimizer must be a Keras optimizer"),
    ({"gama": 0.9}, TypeError, "gama"),
]


@pytest.mark.parametrize("agent_class", BOTH)
@pytest.mark.parametrize(("kwargs", "error", "message"), BAD_SETTINGS)
def test_bad_settings(agent_class, kwargs, error, message):
    with pytest.raises(error, match=message.replace("?", r"\?")):
        make(agent_class, **kwargs)


@pytest.mark.parametrize("agent_class", BOTH)
def test_a_space_of_slates_that_does_not_fit(agent_class):
    env = interest_evolution.create_environment(CONFIG)
    with pytest.raises(ValueError, match="as many values as .* has documents, 4, got"):
        agent_class(None, env.observation_space, spaces.MultiDiscrete([5, 5]))
    with pytest.raises(ValueError, match="slates of 5, but .* has only 4 documents"):
        agent_class(None, env.observation_space, spaces.MultiDiscrete([4] * 5))


@pytest.mark.parametrize("agent_class", BOTH)
@pytest.mark.parametrize(
    "action_space", [None, spaces.Discrete(4), spaces.Tuple((spaces.MultiDiscrete([4, 4]),) * 2)]
)
def test_a_space_that_is_not_of_slates(agent_class, action_space):
    env = interest_evolution.create_environment(CONFIG)
    with pytest.raises(TypeError, match="action_space must be a MultiDiscrete space .*, got"):
        agent_class(None, env.observation_space, action_space)


@pytest.mark.parametrize("agent_class", BOTH)
@pytest.mark.parametrize("missing", ["user", "doc", "all"])
def test_a_space_that_is_not_of_observations(agent_class, missing):
    env = interest_evolution.create_environment(CONFIG)
    parts = {name: part for name, part in env.observation_space.spaces.items() if name != missing}
    space = spaces.Discrete(2) if missing == "all" else spaces.Dict(parts)
    with pytest.raises(ValueError, match="observation_space must be a Dict space of 'user', 'doc'"):
        agent_class(None, space, env.action_space)


def test_an_optimizers_class_is_refused():
    import keras

    with pytest.raises(TypeError, match="optimizer must be a Keras optimizer, such as .*<class"):
        make(optimizer=keras.optimizers.Adam)


def test_stacks_are_refused():
    with pytest.raises(ValueError, match="stack_size must be 1, got 2; FixedLengthHistoryLayer"):
        make(slate_decomp_q_agent.SlateDecompQAgent, stack_size=2)


@pytest.mark.parametrize("agent_class", BOTH)
def test_numbers_that_are_none(agent_class):
    env = interest_evolution.create_environment(CONFIG)
    agent = agent_class(None, env.observation_space, env.action_space)
    observation = env.reset()
    bad_user = {**observation, "user": np.full(20, np.nan)}
    with pytest.raises(ValueError, match=r"observation\['user'\] must hold finite numbers, got"):
        agent.begin_episode(bad_user)
    documents = dict(observation["doc"])
    documents[next(iter(documents))] = np.full(20, np.inf)
    with pytest.raises(ValueError, match=r"observation\['doc'\] must hold finite numbers, got"):
        agent.begin_episode({**observation, "doc": documents})
    slate = agent.begin_episode(observation)
    observation, _, _, _ = env.step(slate)
    with pytest.raises(ValueError, match="reward must be a finite number, got nan"):
        agent.step(np.nan, observation)
    with pytest.raises(ValueError, match="reward must be a finite number, got inf"):
        agent.end_episode(np.inf, observation)


@pytest.mark.parametrize("agent_class", BOTH)
def test_observations_that_do_not_fit(agent_class):
    agent = make(agent_class)
    other = interest_evolution.create_environment({**CONFIG, "num_candidates": 5}).reset()
    with pytest.raises(ValueError, match="must hold 4 documents, .*, got 5"):
        agent.begin_episode(other)
    observation = interest_evolution.create_environment(CONFIG).reset()
    for part, bad, message in [
        ("user", np.zeros(19), r"Box.*must have its shape, got the shape \(19,\)"),
        ("doc", dict.fromkeys(observation["doc"], np.zeros(19)), "Box.* for each document: .* 76"),
        ("doc", list(observation["doc"].values()), "Box.* for each document: AttributeError"),
    ]:
        match = rf"observation\['{part}'\] does not fit the space that the agent was made for, "
        with pytest.raises(ValueError, match=match + message):
            agent.begin_episode({**observation, part: bad})
    with pytest.raises(ValueError, match=r"observation\['doc'\] does not fit .* KeyError: 'doc'"):
        agent.begin_episode({"user": observation["user"]})
    with pytest.raises(RuntimeError, match="call begin_episode"):
        agent.step(0.0, interest_evolution.create_environment(CONFIG).reset())


def play(env, agent, num_steps, max_length=20):
    """Plays episodes of up to max_length steps; returns the slates."""
    slates, observation, reward, length = [], None, 0.0, 0
    for _ in range(num_steps):
        if observation is None:
            observation, length = env.reset(), 0
            slate = agent.begin_episode(observation)
        else:
            slate = agent.step(reward, observation)
        slates.append([int(i) for i in slate])
        observation, reward, done, _ = env.step(slate)
        length += 1
        if done or length == max_length:
            agent.end_episode(reward, observation, truncated=not done)
            observation = None
    return slates


@pytest.mark.parametrize("agent_class", BOTH)
def test_when_the_agent_learns(agent_class):
    env = interest_evolution.create_environment(CONFIG)
    agent = agent_class(
        None,
        env.observation_space,
        env.action_space,
        min_replay_history=10,
        update_period=4,
        target_update_period=6,
        hidden_units=(4,),
    )
    updates, copies = [], []
    agent._update = lambda: updates.append(agent.training_steps)

    class Recorded(agent_class):
        def __setattr__(self, name, value):
            if name == "_target_network":
                copies.append(self.training_steps)
            super().__setattr__(name, value)

    agent.__class__ = Recorded
    play(env, agent, 26)
    # The 11th transition is stored in the step of number 11.
    assert updates == [12, 16, 20, 24]
    assert copies == [12, 18, 24]
    assert agent.training_steps == 26


@pytest.mark.parametrize("agent_class", BOTH)
def test_evaluation_learns_and_stores_nothing(agent_class):
    env = interest_evolution.create_environment(CONFIG)
    agent = agent_class(
        None, env.observation_space, env.action_space, eval_mode=True, min_replay_history=0
    )
    before = agent.serving_bundle()
    play(env, agent, 30)
    assert agent._replay_buffer is None
    assert agent._trainer is None
    assert agent.training_steps == before["training_steps"] == 0
    for old, new in zip(before["online_network"], agent.serving_bundle()["online_network"]):
        assert old.tolist() == new.tolist()


@pytest.mark.parametrize("agent_class", BOTH)
@pytest.mark.parametrize(("epsilon", "eval_mode"), [(0.3, False), (0.3, True), (0.0, True)])
def test_exploration(agent_class, epsilon, eval_mode):
    env = interest_evolution.create_environment({**CONFIG, "num_candidates": 3})
    agent = agent_class(
        None,
        env.observation_space,
        env.action_space,
        eval_mode=eval_mode,
        epsilon_train=epsilon,
        epsilon_eval=epsilon,
        epsilon_fn=lambda decay_period, step, warmup_steps, epsilon: epsilon,
    )
    observation = env.reset()
    slates = [tuple(int(i) for i in agent.begin_episode(observation)) for _ in range(3000)]
    found, counts = np.unique(slates, axis=0, return_counts=True)
    assert len(found) == (6 if epsilon else 1)
    best = tuple(int(i) for i in agent._best_slate(*agent._features(observation)))
    counts = {tuple(slate): count for slate, count in zip(found.tolist(), counts)}
    # Each of 6 slates is drawn with a probability of epsilon / 6: four standard deviations.
    for slate, count in counts.items():
        probability = epsilon / 6 + (1 - epsilon) * (slate == best)
        spread = 4 * np.sqrt(3000 * probability * (1 - probability))
        assert abs(count - 3000 * probability) <= spread


@pytest.mark.parametrize("agent_class", BOTH)
@pytest.mark.parametrize(
    ("name", "expected"),
    [("", "RMSprop"), ("rmsprop", "RMSprop"), ("adam", "Adam"), ("sgd", "SGD")],
)
def test_the_optimizer_asked_for(agent_class, name, expected):
    env = interest_evolution.create_environment(CONFIG)
    agent = agent_class(
        None,
        env.observation_space,
        env.action_space,
        optimizer_name=name,
        min_replay_history=0,
        hidden_units=(4,),
    )
    play(env, agent, 10)
    assert type(agent._trainer._optimizer).__name__ == expected


def test_an_episode_that_nobody_ended_is_cut_off():
    env = interest_evolution.create_environment(CONFIG)
    agent = FullSlateQAgent(None, env.observation_space, env.action_space, hidden_units=(4,))
    slate = agent.begin_episode(env.reset())
    observation, reward, _, _ = env.step(slate)
    last_state = agent._features(observation)
    agent.step(reward, observation)
    agent.begin_episode(env.reset())
    batch = agent._replay.sample()
    assert not batch.terminals.any()
    np.testing.assert_array_equal(batch.next_users[0], last_state[0])
    np.testing.assert_array_equal(batch.next_documents[0], last_state[1])


def test_summaries():
    points = {}

    class Writer:
        def add_scalar(self, tag, value, step):
            points.setdefault(tag, []).append((step, float(value)))

    env = interest_evolution.create_environment(CONFIG)
    agent = FullSlateQAgent(
        None,
        env.observation_space,
        env.action_space,
        hidden_units=(4,),
        min_replay_history=20,
        epsilon_decay_period=10,
        summary_writer=Writer(),
        summary_writing_frequency=15,
    )
    play(env, agent, 50)
    assert [step for step, _ in points["epsilon"]] == [15, 30, 45]
    assert points["epsilon"][0] == (15, 1.0)
    assert points["epsilon"][2] == (45, 0.01)
    assert [step for step, _ in points["Loss"]] == [step for step, _ in points["MeanQ"]] == [30, 45]
    shares = [points[f"slate_choices/candidate_{i}"] for i in range(4)]
    assert [sum(share[k][1] for share in shares) for k in range(3)] == pytest.approx([1, 1, 1])


def test_a_history_that_is_not_yet_full():
    env = interest_evolution.create_environment(CONFIG)
    agent = FixedLengthHistoryLayer(
        FullSlateQAgent,
        env.observation_space,
        env.action_space,
        history_length=3,
        sess=None,
        min_replay_history=0,
        hidden_units=(4,),
        replay_capacity=100,
    )
    slates = play(env, agent, 30)
    assert all(len(set(slate)) == 2 for slate in slates)


RECOMMENDING = """
import sys
import numpy as np
from recsim.agents import full_slate_q_agent, slate_decomp_q_agent
from recsim.environments import interest_evolution

env = interest_evolution.create_environment(
    {"num_candidates": 4, "slate_size": 2, "resample_documents": True, "seed": 0})
agents = [full_slate_q_agent.FullSlateQAgent, slate_decomp_q_agent.SlateDecompQAgent]
for agent_class in agents:
    for eval_mode in (False, True):
        agent = agent_class(None, env.observation_space, env.action_space, eval_mode=eval_mode)
        slate = agent.begin_episode(env.reset())
        for _ in range(5):
            observation, reward, done, _ = env.step(slate)
            slate = agent.step(reward, observation)
        agent.unbundle("", 0, agent.bundle_and_checkpoint("", 0))
assert not {"tensorflow", "keras"} & set(sys.modules)
"""


def test_recommending_loads_no_tensorflow():
    subprocess.run([sys.executable, "-c", RECOMMENDING], check=True)
