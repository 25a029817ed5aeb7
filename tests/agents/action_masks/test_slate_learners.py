"""Agents that act by a learner under action masks, in both engines."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
from support import mood_scenario
from support.seekers_scenario import seekers, solve_seekers
from support.slate_learners import AGENTS, NAMES, SMALL, run, vector

from recsim import action_masks, testing
from recsim.agents import _propensities
from recsim.agents._action_masks.allowed_slates import AllowedSlates
from recsim.environments import interest_exploration, topic_boredom

CONFIG = {"num_candidates": 6, "slate_size": 3, "resample_documents": True, "seed": 3}
PAGE = action_masks.CategoriesOfSlots([0, 1, 0], "cluster_id", otherwise="any")
# On pages without a second topic all positions have all documents, on others some are shared.
POLICIES = ("ppo", "reinforce")


def single_env(rule=PAGE):
    return action_masks.with_action_masks(interest_exploration.create_environment(CONFIG), rule)


def vector_env(num_envs=8, rule=PAGE, **kwargs):
    env = interest_exploration.create_vector_environment(CONFIG, num_envs, **kwargs)
    return action_masks.with_action_masks(env, rule)


def available(documents):
    """Returns a mask of whole documents, of which the first and the last one are left out."""
    mask = np.ones(documents["cluster_id"].shape, np.int8)
    mask[..., [0, -1]] = 0
    return mask


def by_parity(documents):
    """Returns a mask of a page whose second position shows other documents than the others."""
    odd = np.broadcast_to(np.arange(6) % 2 == 1, documents["cluster_id"].shape)
    return np.stack([~odd, odd, ~odd], axis=-1)


@pytest.mark.parametrize("rule", [PAGE, available], ids=["page", "documents"])
@pytest.mark.parametrize("name", NAMES)
def test_every_slate_is_one_that_masks_allow(name, rule):
    # The environment refuses any other.
    env = vector_env(rule=rule, max_steps_per_episode=4)
    agent = vector(name, env, item_units=(4,))
    slates, observation = run(agent, env, 25)
    assert agent.num_updates > 3
    if rule is available:
        assert set(np.unique(slates)) == {1, 2, 3, 4}
    one = agent.single_user_agent()
    for user in range(8):
        known = one.explain(of_user(observation, user)).tables[0].columns
        expected = observation["doc"]["action_mask"][user].sum(axis=1)
        np.testing.assert_array_equal(known["positions that it may have"], expected)


@pytest.mark.parametrize("name", NAMES)
def test_the_contract_under_masks(name):
    def create(env):
        return AGENTS[name][0](env.observation_space, env.action_space, **SMALL[name])

    testing.check_agent(single_env, create, num_steps=60)


def of_user(observation, user):
    documents = {
        str(number): {key: array[user, number] for key, array in observation["doc"].items()}
        for number in range(6)
    }
    return {"user": observation["user"][user], "doc": documents, "response": None}


@pytest.mark.parametrize("name", NAMES)
def test_both_engines_recommend_the_same_under_masks(name):
    env = vector_env(max_steps_per_episode=7)
    trained = vector(name, env)
    _, observation = run(trained, env, 20)
    served = vector(name, env, eval_mode=True, greedy_eval=True)
    assert served.unbundle("", 0, trained.serving_bundle())
    slates, one = served.begin(observation), served.single_user_agent()
    parts = {"user": observation["user"], "doc": observation["doc"]}
    np.testing.assert_array_equal(one.slates_in_parallel(parts), slates)
    for user in range(8):
        of_one = one.begin_episode(of_user(observation, user))
        np.testing.assert_array_equal(of_one, slates[user])


@pytest.mark.parametrize("name", POLICIES)
def test_policies_know_their_propensities_where_positions_share_all_or_nothing(name, monkeypatch):
    env = vector_env(1, rule=by_parity)
    agent = vector(name, env)
    observation, _ = env.reset(seed=4)
    everything = np.array(list(itertools.permutations(range(6), 3)))
    propensities = agent.propensities(observation, everything[np.newaxis])
    known, items = propensities.slate[0], propensities.items[0]
    np.testing.assert_allclose(known.sum(), 1.0)
    for place in range(3):
        there = everything[:, place] == 1
        np.testing.assert_allclose(items[there, place], known[there].sum(), atol=1e-12)
    single = agent.single_user_agent()
    seen = of_user(observation, 0)
    np.testing.assert_allclose(single.propensities(seen, everything).slate, known)
    # Where there are many documents they are integrated.
    monkeypatch.setattr(_propensities, "_MOST_PREFIXES", 0)
    integrated = agent.propensities(observation, everything[np.newaxis])
    np.testing.assert_allclose(integrated.items[0], items, atol=1e-12)
    slates = np.array([single.begin_episode(seen) for _ in range(3000)])
    for slate, probability in zip(everything, known, strict=True):
        share = (slates == slate).all(axis=1).mean()
        assert abs(share - probability) <= 5 * np.sqrt(probability / 3000)


@pytest.mark.parametrize("name", POLICIES)
def test_slates_that_are_sampled_elsewhere_are_those_of_the_agent(name):
    env = vector_env()
    observation, _ = env.reset(seed=1)
    here, elsewhere = vector(name, env), vector(name, env)
    slates = here.begin(observation)
    ((instruction,),) = elsewhere.instructions(1, 0)
    found = elsewhere.rollout_policy().slates(observation, instruction)
    np.testing.assert_array_equal(found, slates)
    elsewhere.recommended(observation, found)
    outcome = env.step(slates)
    elsewhere.learn(*outcome)
    np.testing.assert_array_equal(elsewhere.recommend(outcome[0]), here.step(*outcome))


@pytest.mark.parametrize("name", NAMES)
def test_trainings_under_masks_resume_exactly(name):
    env, other_env = (vector_env(max_steps_per_episode=6) for _ in range(2))
    agent, other = vector(name, env), vector(name, other_env, seed=77)
    slates, _ = run(agent, env, 7)
    other_env.reset(seed=9)
    other_env.unwrapped.load_state_dict(copy.deepcopy(env.unwrapped.state_dict()))
    assert other.unbundle("", 0, copy.deepcopy(agent.bundle_and_checkpoint("", 0)))
    own = of_other = slates[-1]
    for _ in range(12):
        own, of_other = agent.step(*env.step(own)), other.step(*other_env.step(of_other))
        np.testing.assert_array_equal(own, of_other)
    assert other.num_updates > 3
    plain = interest_exploration.create_vector_environment(CONFIG, 8)
    assert not vector(name, plain).unbundle("", 0, agent.state_dict())


@pytest.mark.parametrize("name", ["sac_topk", "wolpertinger"])
def test_a_shared_catalogue_under_masks_of_users_is_as_good_as_copies(name):
    config = {"num_items": 300, "num_candidates": 300, "slate_size": 4, "resample_documents": False}
    env = topic_boredom.create_vector_environment({**config, "seed": 0}, 6)
    env = action_masks.with_action_masks(env, first_half)
    observation, _ = env.reset(seed=1)
    documents = observation["doc"]
    assert documents["embedding"].strides[0] == 0
    rng = np.random.RandomState(0)
    for mask in (documents["action_mask"], rng.randint(2, size=(6, 300, 4), dtype=np.int8)):
        shared = {**observation, "doc": {**documents, "action_mask": mask}}
        copies = {key: array.copy() for key, array in shared["doc"].items()}
        agents = [vector(name, env) for _ in range(2)]
        slates = agents[0].begin(shared)
        np.testing.assert_array_equal(agents[1].begin({**shared, "doc": copies}), slates)
        assert mask[np.arange(6)[:, np.newaxis], slates, np.arange(4)].all()


def first_half(documents):
    shape = documents["embedding"].shape[:-1]
    return np.broadcast_to(np.arange(shape[-1]) < 150, shape)


# The second position needs document 1, which the first could have, too. Document 2 is not shown, so
# that the best pairs without masks, 1 and 2, and 0 and 3, are out.
ALLOWED = np.array([[1, 0], [1, 1], [0, 0], [1, 0]], bool)


def needs_one(documents):
    return ALLOWED[documents.argmax(axis=-1)]


OF_ACTORS = {
    "min_replay_history": 200,
    "update_period": 10,
    "batch_size": 64,
    "hidden_units": (32,),
    "learning_rate": 3e-3,
    "target_rate": 0.02,
}
OF_POLICIES = {"update_period": 200, "batch_size": 50, "hidden_units": (16,)}
OPTIMUM = {
    "ppo": (OF_POLICIES, 9_000),
    "reinforce": (OF_POLICIES, 9_000),
    # Its policy explores: what it learns is worth less than the best.
    "sac_topk": ({**OF_ACTORS, "target_entropy": -1.0}, 8_000),
    "wolpertinger": (OF_ACTORS, 8_000),
}


@pytest.mark.parametrize("name", NAMES)
def test_agents_find_the_optimum_that_masks_leave(name):
    env = action_masks.with_action_masks(seekers(20), needs_one)
    settings, num_steps = OPTIMUM[name]
    agent = AGENTS[name][1](env, gamma=mood_scenario.GAMMA, **settings)
    slates = agent.begin(env.reset(seed=0)[0])
    while agent.training_steps < num_steps:
        slates = agent.step(*env.step(slates))
    best, _ = solve_seekers(pairs=[(0, 1), (3, 1)])
    assert best == [{0, 1}, {1, 3}]
    users, documents = mood_scenario.INTERESTS, np.eye(4, dtype=np.float32)
    if name in POLICIES:
        scores = agent.learner.scores(users, np.broadcast_to(documents, (2, 4, 4)))
        found = AllowedSlates(np.broadcast_to(ALLOWED, (2, 4, 2))).fill(scores)
    else:
        vectors = agent.learner.vectors(users, None)
        found = agent.learner.slates(users, vectors, documents, ALLOWED, training=False)
    assert found.tolist() == [[0, 1], [3, 1]]


@pytest.mark.parametrize("name", NAMES)
def test_masks_that_leave_no_slate_are_refused(name):
    env = single_env()
    observation = env.reset()
    for document in observation["doc"].values():
        document["action_mask"] = np.array([1, 1, 0], np.int8)
    agent = AGENTS[name][0](env.observation_space, env.action_space, **SMALL[name])
    with pytest.raises(
        ValueError, match="action_mask must leave a document.* position 2 of user 0"
    ):
        agent.begin_episode(observation)
