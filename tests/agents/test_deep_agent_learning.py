"""Deep agents find the optimum of a small scenario, which dynamic programming knows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from recsim import choice_model
from recsim._internal.gym_import import spaces
from recsim.agents import slate_decomp_q_agent
from recsim.agents.full_slate_q_agent import FullSlateQAgent

GAMMA = 0.9
PAIRS = list(itertools.combinations(range(4), 2))


class MoodyScenario:
    """A user in one of two moods, four documents, slates of two.

    Fresh users (mood 0) watch document 0 with pleasure and are tired (mood 1) then; documents 1
    and 2 keep them fresh. What tired users watch gives little, but document 3 makes them fresh.
    A session continues after a click with the probability ``STAYS``. A user who clicks nothing
    leaves, or is fresh in the next step if ``without_click_users_rest`` is set (and continues with
    that probability).
    """

    INTERESTS = np.array([[1.0, 0.5, 0.5, -0.5], [1.0, 0.5, -0.9, 0.0]])
    REWARDS = np.array([[4.0, 5.0, 4.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    NEXT_MOODS = np.array([[1, 0, 0, 0], [1, 1, 1, 0]])
    STAYS = 0.8

    def __init__(self, without_click_users_rest, seed=0):
        self.rests = without_click_users_rest
        self.rng = np.random.RandomState(seed)
        features = spaces.Box(low=-1.0, high=1.0, shape=(4,), dtype=np.float32)
        response = spaces.Dict(
            {
                "click": spaces.Discrete(2),
                "watch_time": spaces.Box(low=0.0, high=5.0, shape=(), dtype=np.float32),
            }
        )
        self.observation_space = spaces.Dict(
            {
                "user": features,
                "doc": spaces.Dict({str(i): features for i in range(4)}),
                "response": spaces.Tuple((response, response)),
            }
        )
        self.action_space = spaces.MultiDiscrete([4, 4])

    def observe(self, mood, responses=None):
        documents = {str(i): features for i, features in enumerate(np.eye(4))}
        return {"user": self.INTERESTS[mood], "doc": documents, "response": responses}

    def reset(self):
        self.mood = self.rng.randint(2)
        return self.observe(self.mood)

    def step(self, slate):
        weights = [*(self.INTERESTS[self.mood][list(slate)] + 1.0), 2.0]
        choice = choice_model.sample_choice(weights, self.rng.random_sample())
        responses = [{"click": 0, "watch_time": 0.0} for _ in slate]
        reward, stays = 0.0, self.rng.random_sample() < self.STAYS
        if choice < 2:
            document = slate[choice]
            reward = self.REWARDS[self.mood, document]
            responses[choice] = {"click": 1, "watch_time": reward}
            self.mood = self.NEXT_MOODS[self.mood, document]
        else:
            self.mood, stays = 0, stays and self.rests
        return self.observe(self.mood, responses), reward, not stays, {}

    def solve(self, gamma=GAMMA, no_click_counts=True):
        """Returns the best pair and its value in each mood, by value iteration."""
        values = np.zeros(2)
        for _ in range(300):
            q = self.REWARDS + gamma * self.STAYS * values[self.NEXT_MOODS]
            q_no_click = gamma * self.STAYS * values[0] * (self.rests and no_click_counts)
            of_pairs = np.array(
                [
                    [
                        (weights[pair] @ q[mood][pair] + 2.0 * q_no_click)
                        / (weights[pair].sum() + 2.0)
                        for pair in map(list, PAIRS)
                    ]
                    for mood, weights in enumerate(self.INTERESTS + 1.0)
                ]
            )
            values = of_pairs.max(axis=1)
        return [set(PAIRS[best]) for best in of_pairs.argmax(axis=1)], values


def train(scenario, agent, num_steps):
    steps = 0
    while steps < num_steps:
        observation, done = scenario.reset(), False
        slate = agent.begin_episode(observation)
        while not done:
            observation, reward, done, _ = scenario.step(slate)
            steps += 1
            if not done:
                slate = agent.step(reward, observation)
        agent.end_episode(reward, observation)


def make(agent_class, scenario, **kwargs):
    import keras

    settings = {
        "gamma": GAMMA,
        "min_replay_history": 200,
        "update_period": 1,
        "target_update_period": 50,
        "epsilon_train": 0.2,
        "epsilon_decay_period": 500,
        "replay_capacity": 10000,
        "hidden_units": (32,),
        # Small last steps, so that the last samples do not decide.
        "optimizer": keras.optimizers.Adam(
            keras.optimizers.schedules.ExponentialDecay(5e-3, 1000, 0.5)
        ),
        **kwargs,
    }
    return agent_class(None, scenario.observation_space, scenario.action_space, **settings)


def found(agent, scenario):
    """Returns the agent's pair in each mood."""
    values, q_network = agent.learner.values, agent.learner.online_network
    features = [values.adapter.features(scenario.observe(mood)) for mood in (0, 1)]
    return [{int(i) for i in values.best_slate(q_network, *each)} for each in features]


def test_the_scenario_tells_agents_apart():
    leaving, resting = MoodyScenario(False), MoodyScenario(True)
    assert leaving.solve()[0] == [{1, 2}, {0, 3}]
    assert resting.solve()[0] == [{1, 2}, {2, 3}]
    # Who looks at the next reward only, or gives no click the value 0, finds another slate.
    assert leaving.solve(gamma=0.0)[0] == [{0, 1}, {0, 2}]
    assert resting.solve(no_click_counts=False)[0] == [{1, 2}, {0, 3}]


@pytest.mark.parametrize(
    "strategy", ["slate_optimal_optimal_q", "slate_greedy_greedy_q", "slate_greedy_optimal_q"]
)
def test_slate_q_finds_the_optimum(strategy):
    scenario = MoodyScenario(without_click_users_rest=False)

    def agent_class(sess, observation_space, action_space, **kwargs):
        return slate_decomp_q_agent.create_agent(
            strategy, sess, observation_space=observation_space, action_space=action_space, **kwargs
        )

    agent = make(agent_class, scenario)
    train(scenario, agent, 3000)
    best, values = scenario.solve()
    assert found(agent, scenario) == best
    for mood in (0, 1):
        learned, q_network = agent.learner.values, agent.learner.online_network
        user, documents = learned.adapter.features(scenario.observe(mood))
        s, s_no_click = learned.score(user, documents)
        q, _ = learned.of_documents(q_network, user[None], documents[None])
        pair = list(best[mood])
        value = s[pair] @ q[0][pair] / (s[pair].sum() + s_no_click)
        assert value == pytest.approx(values[mood], rel=0.1)


@pytest.mark.parametrize("update_horizon", [1, 3])
def test_slate_q_finds_the_value_of_no_click(update_horizon):
    scenario = MoodyScenario(without_click_users_rest=True)
    agent = make(
        slate_decomp_q_agent.SlateDecompQAgent,
        scenario,
        learn_no_click_value=True,
        update_horizon=update_horizon,
    )
    train(scenario, agent, 4000)
    best, values = scenario.solve()
    assert found(agent, scenario) == best
    for mood in (0, 1):
        learned, q_network = agent.learner.values, agent.learner.online_network
        user, documents = learned.adapter.features(scenario.observe(mood))
        _, q_no_click = learned.of_documents(q_network, user[None], documents[None])
        # Users without a click are fresh in the next step. Three steps are those of a policy
        # that explores.
        expected = GAMMA * scenario.STAYS * values[0]
        assert q_no_click[0, 0] == pytest.approx(expected, rel=0.1 if update_horizon == 1 else 0.25)


def test_without_the_value_of_no_click_another_slate_is_found():
    scenario = MoodyScenario(without_click_users_rest=True)
    agent = make(slate_decomp_q_agent.SlateDecompQAgent, scenario)
    train(scenario, agent, 3000)
    assert found(agent, scenario) == scenario.solve(no_click_counts=False)[0] != scenario.solve()[0]


@pytest.mark.slow
@pytest.mark.parametrize("without_click_users_rest", [False, True])
def test_full_slate_q_finds_the_optimum(without_click_users_rest):
    scenario = MoodyScenario(without_click_users_rest)
    agent = make(
        FullSlateQAgent,
        scenario,
        epsilon_fn=lambda *_: 0.7,  # There are twelve slates to try in each mood.
        update_period=2,
        replay_capacity=20000,
    )
    train(scenario, agent, 12000)
    best, values = scenario.solve()
    assert found(agent, scenario) == best
    for mood in (0, 1):
        slate_values = agent.learner.values
        features = slate_values.adapter.features(scenario.observe(mood))
        learned = slate_values.of_slates(agent.learner.online_network, *features).max()
        assert learned == pytest.approx(values[mood], rel=0.2)
