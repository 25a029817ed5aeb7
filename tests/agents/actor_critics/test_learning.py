"""Actor-critics find optima that dynamic programming, over all slates, knows."""

from __future__ import annotations

import numpy as np
import pytest
from support import mood_scenario
from support.seekers_scenario import seekers, solve_seekers

from recsim.agents import _learner, sac_topk_agent, wolpertinger_agent
from recsim.agents.actor_critics import learner as learner_lib
from recsim.agents.actor_critics import wolpertinger

AGENTS = {
    "wolpertinger": wolpertinger_agent.VectorWolpertingerAgent,
    "sac_topk": sac_topk_agent.VectorSACTopKAgent,
}
SETTINGS = {
    "gamma": mood_scenario.GAMMA,
    "min_replay_history": 200,
    "update_period": 10,
    "batch_size": 64,
    "hidden_units": (32,),
    "learning_rate": 3e-3,
    "target_rate": 0.02,
}
DOCUMENTS = np.eye(4, dtype=np.float32)


def trained(name, env, num_steps, **settings):
    agent = AGENTS[name](env, **{**SETTINGS, **settings})
    observation, _ = env.reset(seed=0)
    slates = agent.begin(observation)
    while agent.training_steps < num_steps:
        slates = agent.step(*env.step(slates))
    return agent


def best_slates(agent):
    """Returns the sets that the agent shows in each mood when it does not explore."""
    users = mood_scenario.INTERESTS
    vectors = agent.learner.vectors(users, None)
    return [
        set(slate)
        for slate in agent.learner.slates(users, vectors, DOCUMENTS, training=False).tolist()
    ]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("wolpertinger", {"num_neighbors": 1}),
        ("wolpertinger", {"num_neighbors": 4}),
        ("sac_topk", {}),
    ],
)
def test_agents_find_the_optimum_of_all_slates(name, settings):
    best, values = solve_seekers()
    assert best == [{1, 2}, {0, 3}]
    agent = trained(name, seekers(20), 10_000, **settings)
    assert best_slates(agent) == best
    # A slate's value is the mean of its items'. The policy that is learned from still explores.
    items = agent.learner.scaled(DOCUMENTS)[[[1, 2], [0, 3]]]
    found = agent.learner.values(mood_scenario.INTERESTS, items).mean(axis=1)
    assert ((0.6 * values < found) & (found < 1.3 * values)).all()


def test_the_best_item_may_be_amid_the_others():
    """Of items along a line, which ones are best depends on the user, and none are extreme."""
    learner = wolpertinger.WolpertingerLearner(
        1,
        1.0,
        settings=learner_lib.Settings(
            gamma=0.0, min_replay_history=100, batch_size=64, update_period=8, item_units=(32,)
        ),
        sizes=_learner.Sizes(2, 1, 1, "WolpertingerAgent"),
    )
    rng = np.random.RandomState(0)
    items = np.linspace(-1.0, 1.0, 101, dtype=np.float32)[:, np.newaxis]
    learner.see_items(items)
    peaks = np.array([-0.4, 0.4])
    both = np.eye(2, dtype=np.float32)
    for _ in range(400):
        kind = rng.randint(2, size=32)
        vectors = learner.vectors(both[kind], rng.standard_normal((32, 1)))
        slates = learner.slates(both[kind], vectors, items, training=True)
        shown = items[slates]
        rewards = 1.0 - np.abs(shown[:, 0, 0] - peaks[kind])
        seen = both[kind], shown
        learner.add(seen, rewards, seen, np.ones(32, bool))
    best = learner.slates(both, learner.vectors(both, None), items, training=False)
    np.testing.assert_allclose(items[best[:, 0], 0], peaks, atol=0.15)
