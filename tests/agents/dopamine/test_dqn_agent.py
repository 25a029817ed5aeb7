"""What the single-user deep agents share: features, settings, exploration, transitions."""

from __future__ import annotations

import subprocess
import sys

import gin
import numpy as np
import pytest
from support import rollouts
from support.scenarios import CONFIG

from recsim import spaces as spaces_lib
from recsim._internal.gym_import import gym, spaces
from recsim.agents import slate_decomp_q_agent
from recsim.agents.dopamine import dqn_agent
from recsim.agents.full_slate_q_agent import FullSlateQAgent
from recsim.agents.layers.fixed_length_history import FixedLengthHistoryLayer
from recsim.environments import (
    interest_evolution,
    interest_exploration,
    long_term_satisfaction,
)

SCENARIOS = [interest_evolution, interest_exploration, long_term_satisfaction]


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


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_images_of_observations(scenario):
    env = scenario.create_environment(CONFIG)
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
    assert agent.learner.replay.batch_size == 32
    assert agent.learner.replay.capacity == 1000000
    weights = agent.learner.online_network.weights
    assert [len(bias) for bias in weights[1::2]] == [256, 32, 1]


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
        assert (agent.gamma, agent.update_period) == (0.5, 7)
        learner = agent.learner
        assert (learner.replay.batch_size, learner.replay.capacity) == (5, 100)
        observation = interest_evolution.create_environment(CONFIG).reset()
        assert learner.values.adapter.encode(observation).shape[-1] == 2
        assert learner.values.learn_no_click_value
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


@pytest.mark.parametrize("agent_class", BOTH)
def test_evaluation_learns_and_stores_nothing(agent_class):
    env = interest_evolution.create_environment(CONFIG)
    agent = agent_class(
        None, env.observation_space, env.action_space, eval_mode=True, min_replay_history=0
    )
    before = agent.serving_bundle()
    rollouts.run(env, agent, 30)
    assert agent.bundle_and_checkpoint("", 0)["replay"] is None
    assert agent.num_updates == 0
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
    learner = agent.learner
    features = learner.values.adapter.features(observation)
    best = tuple(int(i) for i in learner.values.best_slate(learner.online_network, *features))
    counts = {tuple(slate): count for slate, count in zip(found.tolist(), counts)}
    # Each of 6 slates is drawn with a probability of epsilon / 6: four standard deviations.
    for slate, count in counts.items():
        probability = epsilon / 6 + (1 - epsilon) * (slate == best)
        spread = 4 * np.sqrt(3000 * probability * (1 - probability))
        assert abs(count - 3000 * probability) <= spread


def test_an_episode_that_nobody_ended_is_truncated():
    env = interest_evolution.create_environment(CONFIG)
    agent = FullSlateQAgent(None, env.observation_space, env.action_space, hidden_units=(4,))
    slate = agent.begin_episode(env.reset())
    observation, reward, _, _ = env.step(slate)
    last_state = agent.learner.values.adapter.features(observation)
    agent.step(reward, observation)
    agent.begin_episode(env.reset())
    batch = agent.learner.replay.sample()
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
    rollouts.run(env, agent, 50)
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
    slates = rollouts.run(env, agent, 30)
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
