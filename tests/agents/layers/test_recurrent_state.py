"""Agents whose networks have a recurrent state of recent slates, in both engines."""

from __future__ import annotations

import copy
import functools

import gin
import numpy as np
import pytest
from gymnasium import spaces
from support import recsim_names

from recsim import action_masks, registry, serving, testing
from recsim.agents import full_slate_q_agent, slate_decomp_q_agent
from recsim.agents.layers import recent_slates
from recsim.vector import env as vector_env
from recsim.vector import wrappers

CONFIG = {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 3}
AGENTS = {
    "slate_optimal_optimal_q": "interest_evolution",
    "full_slate_q": "interest_exploration",
    "ppo": "topic_boredom",
    "reinforce": "topic_boredom",
    "wolpertinger": "topic_boredom",
    "sac_topk": "topic_boredom",
}


class FirstClick:
    """Users of two kinds, who only click in the first of four steps, and are rewarded in the last.

    A click says of which kind a user is, and the reward is for the item that the kind likes. In
    between nothing is observed of users, so that only who remembers the first slate can tell.
    """

    def __init__(self, num_envs=64, seed=0):
        self.num_envs, self.unwrapped = num_envs, self
        self.single_action_space = spaces.MultiDiscrete([2])
        self.single_observation_space = spaces.Dict(
            {
                "user": spaces.Box(0.0, 1.0, (4,), np.float32),
                "doc": spaces.Box(0.0, 1.0, (2, 2), np.float32),
                "response": spaces.Dict({"click": spaces.MultiDiscrete([2])}),
            }
        )
        self._rng = np.random.RandomState(seed)

    def _observation(self, step, clicks):
        return {
            "user": np.tile(np.eye(4, dtype=np.float32)[step], (self.num_envs, 1)),
            "doc": np.tile(np.eye(2, dtype=np.float32), (self.num_envs, 1, 1)),
            "response": {"click": clicks[:, np.newaxis]},
        }

    def reset(self):
        self._kinds, self._step = self._rng.randint(2, size=self.num_envs), 0
        return self._observation(0, np.zeros(self.num_envs, np.int64)), {}

    def step(self, slates):
        right = slates[:, 0] == self._kinds
        ends = np.full(self.num_envs, self._step == 3)
        clicks = right * int(self._step == 0)
        self._step += 1
        rewards = (right & ends).astype(np.float32)
        if not ends.all():
            return self._observation(self._step, clicks), rewards, ends, ~ends & ends, {}
        final = vector_env.FinalObservations(self._observation(3, clicks), ends)
        observation, _ = self.reset()
        return observation, rewards, ends, ~ends & ends, {"final_obs": final}


def last_rewards(agent, env, num_episodes):
    """Returns the mean reward of the last steps in the last ten episodes of a training."""
    slates, rewards = agent.begin(env.reset()[0]), []
    for _ in range(4 * num_episodes):
        observation, reward, *outcome = env.step(slates)
        slates = agent.step(observation, reward, *outcome)
        rewards.append(reward.mean())
    return float(np.mean(rewards[-40:]) * 4)


def test_what_was_clicked_first_is_remembered():
    learn = functools.partial(
        full_slate_q_agent.VectorFullSlateQAgent,
        min_replay_history=200,
        epsilon_decay_period=5_000,
        epsilon_train=0.02,
        update_period=128,
        target_update_period=500,
        hidden_units=(32,),
        optimizer_name="adam",
        learning_rate=3e-3,
        gamma=1.0,
    )
    env = FirstClick()
    with_state = recent_slates.VectorRecentSlatesLayer(learn, env, 4, recurrent_units=16)
    assert last_rewards(with_state, env, 100) > 0.9
    # Without what was clicked there is nothing to tell users apart by.
    env = FirstClick()
    assert last_rewards(learn(env), env, 60) < 0.6


def a_vector_env(scenario, num_envs=4):
    return registry.create_vector_environment(scenario, CONFIG, num_envs, max_steps_per_episode=5)


@pytest.fixture
def early_updates():
    """Lets actor-critics learn early, as the others do in short trainings."""
    gin.parse_config(
        ["ItemVectorAgent.min_replay_history = 8", "ItemVectorAgent.update_period = 8"]
    )


@pytest.mark.parametrize("name", AGENTS)
@pytest.mark.usefixtures("early_updates")
def test_exact_resumption_of_users_in_parallel(name):
    env = a_vector_env(AGENTS[name])
    made = functools.partial(
        registry.create_vector_agent, f"{name}+gru2", env, seed=1, training_steps=200
    )
    trained, resumed = made(), made()
    observation, _ = env.reset(seed=1)
    slates = trained.begin(observation)
    for step in range(45):
        if step == 20:
            resumed.load_state_dict(copy.deepcopy(trained.state_dict()))
        observation, *outcome = env.step(slates)
        slates = trained.step(observation, *outcome)
        if step >= 20:
            np.testing.assert_array_equal(resumed.step(observation, *outcome), slates)
    assert recsim_names.base_agent(trained).num_updates > 0


@pytest.mark.parametrize("name", AGENTS)
@pytest.mark.usefixtures("early_updates")
def test_exact_resumption_within_an_episode(name):
    env = registry.create_environment(AGENTS[name], CONFIG)
    made = functools.partial(registry.create_agent, f"{name}+gru2", env, training_steps=40)
    trained = made()
    slate = trained.begin_episode(env.reset())
    for step in range(30):
        if step == 10:
            resumed = made()
            resumed.load_state_dict(copy.deepcopy(trained.state_dict()))
        observation, reward, *_ = env.step(slate)
        slate = trained.step(reward, observation)
        if step >= 10:
            np.testing.assert_array_equal(resumed.step(reward, observation), slate)


@pytest.mark.parametrize("name", AGENTS)
def test_what_the_vector_agent_learned_serves(name, tmp_path):
    gin.parse_config(["SlatePolicyAgent.greedy_eval = True", "DQNAgent.epsilon_eval = 0.0"])
    env = a_vector_env(AGENTS[name], 6)
    trained = registry.create_vector_agent(f"{name}+gru3", env, eval_mode=True)
    trained.save(tmp_path / "agent.recsim")
    served = serving.load_agent(tmp_path / "agent.recsim")
    assert served.name.startswith("RecentSlatesLayer(")
    single = trained.single_user_agent()
    observation, _ = env.reset(seed=2)
    each = wrappers.SingleUserAgents(lambda *_: copy.deepcopy(single), env)
    slates = trained.begin(observation)
    np.testing.assert_array_equal(each.begin(observation), slates)
    for _ in range(4):
        observation, *outcome = env.step(slates)
        slates = trained.step(observation, *outcome)
        np.testing.assert_array_equal(each.step(observation, *outcome), slates)


@pytest.mark.parametrize("name", ["ppo", "slate_optimal_optimal_q"])
def test_the_contract_of_agents(name):
    testing.check_agent(
        functools.partial(registry.create_environment, AGENTS[name], CONFIG),
        functools.partial(registry.create_agent, f"{name}+gru2", training_steps=40),
        num_steps=30,
    )


@pytest.mark.usefixtures("early_updates")
@pytest.mark.parametrize("name", ["full_slate_q", "ppo", "sac_topk"])
def test_action_masks_are_kept(name):
    page = action_masks.CategoriesOfSlots([0, 1], "cluster_id", otherwise="any")
    env = action_masks.with_action_masks(a_vector_env("interest_exploration"), page)
    learning = registry.create_vector_agent(f"{name}+gru2", env, training_steps=200)
    slates = learning.begin(env.reset(seed=0)[0])
    for _ in range(40):  # The environment refuses a slate that they forbid.
        observation, *outcome = env.step(slates)
        slates = learning.step(observation, *outcome)
    assert recsim_names.base_agent(learning).num_updates > 0


def units_of(agent):
    """Returns how many recurrent units the base agent of a layer has."""
    return recsim_names.base_agent(agent).learner.description()["recurrent_units"]


@pytest.mark.parametrize(
    ("name", "of_class"),
    [
        ("slate_optimal_optimal_q", "DQNAgent"),
        ("full_slate_q", "DQNAgent"),
        ("ppo", "SlatePolicyAgent"),
        ("reinforce", "SlatePolicyAgent"),
        ("wolpertinger", "ItemVectorAgent"),
        ("sac_topk", "ItemVectorAgent"),
    ],
)
def test_the_number_of_units_is_gins_where_it_is_bound(name, of_class):
    env = registry.create_environment(AGENTS[name], CONFIG)
    envs = a_vector_env(AGENTS[name])

    def units():
        single = registry.create_agent(f"{name}+gru2", env, training_steps=100)
        many = registry.create_vector_agent(f"{name}+gru2", envs, training_steps=100)
        return units_of(single), units_of(many)

    assert units() == (32, 32)
    gin.parse_config(f"{of_class}.recurrent_units = 8")
    assert units() == (8, 8)
    with pytest.raises(ValueError, match="recurrent_units=8 needs an observation with the rows of"):
        registry.create_agent(name, env, training_steps=100)


def test_states_from_before_there_was_a_recurrent_state(caplog):
    env = registry.create_environment("interest_evolution", CONFIG)
    made = functools.partial(
        registry.create_agent, "slate_optimal_optimal_q", env, training_steps=100
    )
    state = made().state_dict()
    assert state["description"].pop("recurrent_units") == 0
    made().load_state_dict(state)
    with_state = registry.create_agent("slate_optimal_optimal_q+gru2", env, training_steps=100)
    without = registry.create_agent("slate_optimal_optimal_q+recent2", env, training_steps=100)
    with pytest.raises(ValueError, match="SlateDecompQAgent refused it"):
        without.load_state_dict(with_state.state_dict())
    assert "'recurrent_units': 32}, this agent has" in caplog.text


def test_rows_are_found_where_the_layer_shows_them(topic_scenario):
    scenario = topic_scenario()
    shown = []

    def base(observation_space, action_space):
        shown.append(observation_space)
        return slate_decomp_q_agent.SlateDecompQAgent(
            None, observation_space, action_space, eval_mode=True, reward_field=None,
            score_documents_fn=lambda users, documents: (documents[..., 0], users[..., 0]),
        )  # fmt: skip

    space, slates = scenario.observation_space, scenario.action_space
    recent_slates.RecentSlatesLayer(base, space, slates, num_slates=3)
    found = recent_slates.recurrence_of(shown[0], 7)
    assert (found.start, found.num_slates, found.row_size, found.units) == (1, 3, 11, 7)
    assert recent_slates.recurrence_of(space, 0) is None
    for other in (space, scenario.with_counts(2)):
        with pytest.raises(ValueError, match="without average=True"):
            recent_slates.recurrence_of(other, 7)


def test_the_suffix_is_for_agents_that_can_have_a_state():
    entry = registry.agent_entry("full_slate_q+gru3")
    assert entry.learns and entry.plans_training and entry.environment == "interest_evolution"
    assert entry.description.endswith("with a recurrent state of the last 3 slates")
    for name in ("lin_ucb+gru3", "tabular_q+gru3", "random+gru3"):
        with pytest.raises(ValueError, match=r"\+gru3 is for agents whose networks can have"):
            registry.agent_entry(name)
    with pytest.raises(ValueError, match="There is no agent 'pppo'"):
        registry.agent_entry("pppo+gru2")


def test_a_recurrent_state_is_not_for_optimizers_of_keras():
    env = registry.create_vector_environment("interest_evolution", CONFIG, 2)
    with pytest.raises(ValueError, match="recurrent_units needs an optimizer by name"):
        recent_slates.VectorRecentSlatesLayer(
            full_slate_q_agent.VectorFullSlateQAgent, env, recurrent_units=4, tf_device="/gpu:0"
        )
