"""Actor-critic agents of both engines: contract, checkpoints, serving, catalogues, refusals."""

from __future__ import annotations

import copy
import functools
import pickle

import gin
import numpy as np
import pytest
from support.scenarios import config, make_env

from recsim import registry, testing
from recsim import types as recsim_types
from recsim.agents import sac_topk_agent, wolpertinger_agent
from recsim.environments import interest_evolution, topic_boredom
from recsim.simulator import rollout

SMALL = {
    "min_replay_history": 20,
    "update_period": 8,
    "batch_size": 8,
    "hidden_units": (8,),
    "replay_capacity": 500,
}
AGENTS = {
    "wolpertinger": (
        wolpertinger_agent.WolpertingerAgent,
        wolpertinger_agent.VectorWolpertingerAgent,
    ),
    "sac_topk": (sac_topk_agent.SACTopKAgent, sac_topk_agent.VectorSACTopKAgent),
}
NAMES = sorted(AGENTS)


def boredom(num_candidates=5, **entries):
    resampled = {"num_candidates": num_candidates, "slate_size": 2, "resample_documents": True}
    return topic_boredom.create_environment({**resampled, "seed": 3, **entries})


def vector_env(num_envs=8, num_candidates=5, **options):
    return interest_evolution.create_vector_environment(
        config(num_candidates=num_candidates), num_envs, **options
    )


def single(name, env, **kwargs):
    return AGENTS[name][0](env.observation_space, env.action_space, **{**SMALL, **kwargs})


def vector(name, env, **kwargs):
    return AGENTS[name][1](env, **{**SMALL, **kwargs})


def run(agent, env, num_steps, observation=None):
    """Returns the slates of steps in a vector environment, and the last observation."""
    if observation is None:
        observation, _ = env.reset(seed=1)
    slates = [agent.begin(observation)]
    for _ in range(num_steps):
        observation, *outcome = env.step(slates[-1])
        slates.append(agent.step(observation, *outcome))
    return np.array(slates), observation


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("make", [boredom, functools.partial(make_env, "interest_evolution")])
def test_the_contract(name, make):
    testing.check_agent(make, lambda env: single(name, env), num_steps=120)


@pytest.mark.parametrize("name", NAMES)
def test_both_engines_recommend_the_same(name):
    env = vector_env(max_steps_per_episode=7)
    trained = vector(name, env, item_units=(4,))
    _, observation = run(trained, env, 30)
    assert trained.num_updates > 5
    served = vector(name, env, item_units=(4,), eval_mode=True)
    assert served.unbundle("", 0, trained.serving_bundle())
    one = served.single_user_agent()
    slates = served.begin(observation)
    parts = {"user": observation["user"], "doc": observation["doc"]}
    np.testing.assert_array_equal(one.slates_in_parallel(parts), slates)
    for user in range(3):
        documents = {str(i): row for i, row in enumerate(observation["doc"][user])}
        seen = {"user": observation["user"][user], "doc": documents, "response": None}
        np.testing.assert_array_equal(one.begin_episode(seen), slates[user])


@pytest.mark.parametrize("name", NAMES)
def test_a_shared_catalogue_is_as_good_as_one_for_each_user(name):
    environment = topic_boredom.create_vector_environment(
        {
            "num_items": 300,
            "num_candidates": 300,
            "slate_size": 4,
            "resample_documents": False,
            "seed": 0,
        },
        6,
    )
    agent = vector(name, environment)
    observation, _ = environment.reset(seed=1)
    assert observation["doc"]["embedding"].strides[0] == 0
    copies = {**observation, "doc": {key: doc.copy() for key, doc in observation["doc"].items()}}
    other = vector(name, environment)
    np.testing.assert_array_equal(agent.begin(observation), other.begin(copies))
    parts = {"user": observation["user"], "doc": observation["doc"]}
    served = vector(name, environment, eval_mode=True)
    served.unbundle("", 0, agent.serving_bundle())
    one = served.single_user_agent()
    first = {key: doc[:1] for key, doc in observation["doc"].items()}
    slates = one.slates_in_parallel({**parts, "doc": first})
    np.testing.assert_array_equal(one.slates_in_parallel(parts), slates)
    np.testing.assert_array_equal(served.begin(observation), slates)


@pytest.mark.parametrize("name", NAMES)
def test_equal_seeds_equal_trainings(name):
    runs = [
        run(vector(name, env, seed=seed), env, 20)[0]
        for seed in (4, 4, 5)
        for env in [vector_env(max_steps_per_episode=6)]
    ]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert (runs[0] != runs[2]).any()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("num_steps", [1, 7])
def test_trainings_in_parallel_resume_exactly(name, num_steps):
    env = vector_env(max_steps_per_episode=6)
    agent = vector(name, env)
    slates, _ = run(agent, env, num_steps)
    other_env = vector_env(max_steps_per_episode=6)
    other_env.reset(seed=9)
    other_env.unwrapped.load_state_dict(copy.deepcopy(env.unwrapped.state_dict()))
    other = vector(name, other_env, seed=77)
    assert other.unbundle("", 0, copy.deepcopy(agent.bundle_and_checkpoint("", 0)))
    slates = {"this": slates[-1], "other": slates[-1]}
    for _ in range(15):
        for key, (an_agent, an_env) in {"this": (agent, env), "other": (other, other_env)}.items():
            slates[key] = an_agent.step(*an_env.step(slates[key]))
        np.testing.assert_array_equal(slates["this"], slates["other"])
    assert agent.num_updates == other.num_updates > 5
    for own, of_other in zip(
        agent.serving_bundle()["critics"][0], other.serving_bundle()["critics"][0], strict=True
    ):
        np.testing.assert_array_equal(own, of_other)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("num_steps", [10, 30])
def test_a_training_resumes_within_an_episode_of_one_user(name, num_steps):
    env = boredom()
    agent = single(name, env)
    slate = agent.begin_episode(env.reset())
    for _ in range(num_steps):
        observation, reward, _, _ = env.step(slate)
        slate = agent.step(reward, observation)
    other = single(name, boredom(), seed=5)
    assert other.unbundle("", 0, copy.deepcopy(agent.bundle_and_checkpoint("", 0)))
    for _ in range(40):
        observation, reward, done, _ = env.step(slate)
        if done:
            break
        slate = agent.step(reward, observation)
        np.testing.assert_array_equal(other.step(reward, observation), slate)
    assert agent.num_updates == other.num_updates > 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda agent: pickle.loads(pickle.dumps(agent))])
def test_copies_train_on_by_themselves(name, copied):
    env = vector_env(max_steps_per_episode=6)
    agent = vector(name, env)
    slates, observation = run(agent, env, 7)
    other = copied(agent)
    before = [array.copy() for array in agent.serving_bundle()["actor"]]
    other_env = vector_env(max_steps_per_episode=6)
    run(other, other_env, 10)
    assert other.num_updates > agent.num_updates
    for own, now in zip(before, agent.serving_bundle()["actor"], strict=True):
        np.testing.assert_array_equal(own, now)
    assert any(
        (own != now).any() for own, now in zip(before, other.serving_bundle()["actor"], strict=True)
    )


def test_a_state_of_other_users_serves_and_trains_further():
    agent = vector("sac_topk", vector_env(8))
    run(agent, vector_env(8), 10)
    other = vector("sac_topk", vector_env(3))
    other.load_state_dict(copy.deepcopy(agent.state_dict()))
    assert other.training_steps == agent.training_steps
    run(other, vector_env(3), 10)
    assert other.num_updates > agent.num_updates


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("actor", [], "'actor' must be 4 arrays"),
        ("critics", [], "'critics' must be a list of"),
        ("critics", [[1], [1]], "must be"),
        ("trained_critics", [None, None], "'trained_critics' must be"),
        ("item_units", {"count": 1}, "'item_units' must be"),
        ("reward_square", -1.0, "'reward_square' must be"),
        ("num_updates", -1, "'num_updates' must be an integer"),
        ("replay", {"users": 1}, "'replay' must be a dictionary"),
        ("last", (1, 2), "'last users' must be"),
        ("batches_rng_state", {}, "'batches_rng_state' is not a state"),
    ],
)
def test_faulty_bundles_are_refused_and_nothing_is_changed(name, entry, value, message):
    env = boredom()
    agent = single(name, env)
    rollout.run_episode(env, agent, max_steps=30)
    before = copy.deepcopy(agent.state_dict())
    with pytest.raises(ValueError, match=message):
        agent.load_state_dict({**copy.deepcopy(before), entry: value})
    after = agent.state_dict()
    np.testing.assert_array_equal(before["actor"][0], after["actor"][0])
    assert before["training_steps"] == after["training_steps"]


def test_bundles_of_other_agents_do_not_fit():
    env = boredom()
    bundle = single("sac_topk", env).state_dict()
    assert not single("wolpertinger", env).unbundle("", 0, bundle)
    with pytest.raises(ValueError, match="of another agent or of other spaces"):
        single("wolpertinger", env, eval_mode=True).unbundle("", 0, bundle)
    serving = single("sac_topk", env).serving_bundle()
    assert not single("sac_topk", env).unbundle("", 0, serving)


def test_transitions_are_of_slates_as_they_were_shown():
    env = vector_env(4, max_steps_per_episode=3)
    agent = vector("wolpertinger", env, min_replay_history=400)
    observation, _ = env.reset(seed=1)
    slates, users, items = [agent.begin(observation)], [observation["user"].copy()], []
    items.append(np.take_along_axis(observation["doc"], slates[0][..., np.newaxis], axis=1))
    for _ in range(3):
        observation, rewards, terminated, truncated, infos = env.step(slates[-1])
        slates.append(agent.step(observation, rewards, terminated, truncated, infos))
        users.append(observation["user"].copy())
        shown = np.take_along_axis(observation["doc"], slates[-1][..., np.newaxis], axis=1)
        items.append(shown)
    assert truncated.all()
    arrays = {
        name: array[:12].reshape(3, 4, *array.shape[1:])
        for name, array in agent.learner.replay.arrays.items()
    }
    np.testing.assert_array_equal(arrays["users"], users[:3])
    np.testing.assert_array_equal(arrays["actions"], items[:3])
    np.testing.assert_array_equal(arrays["next_actions"][:2], items[1:3])
    np.testing.assert_array_equal(arrays["rewards"][2], rewards)
    # The last state of a truncated episode has a value: that of what would have been shown.
    assert not arrays["terminated"].any()
    final = infos["final_obs"].batch
    np.testing.assert_array_equal(arrays["next_users"][2], final["user"])
    found = arrays["next_actions"][2][:, :, np.newaxis] == final["doc"][:, np.newaxis]
    assert found.all(axis=-1).any(axis=-1).all()


def test_the_last_slate_of_an_episode_of_one_user_counts():
    env = boredom(time_budget=2)
    agent = single("wolpertinger", env, min_replay_history=400)
    rollout.run_episode(env, agent)
    replay = agent.learner.replay
    assert replay.size == 2
    assert replay.arrays["terminated"][:2].tolist() == [0.0, 1.0]
    env = boredom()
    agent = single("wolpertinger", env, min_replay_history=400)
    agent.begin_episode(env.reset())
    observation, reward, _, _ = env.step([0, 1])
    agent.end_episode(reward, observation, truncated=True)
    replay = agent.learner.replay
    assert replay.arrays["terminated"][0] == 0.0
    assert np.abs(replay.arrays["next_actions"][0]).sum() > 0.0


def test_gin_configures_agents_of_both_engines():
    with gin.unlock_config():
        gin.parse_config(
            ["ItemVectorAgent.update_period = 48", "WolpertingerAgent.noise = 0.25"],
        )
    try:
        env = boredom()
        one = wolpertinger_agent.WolpertingerAgent(env.observation_space, env.action_space)
        many = registry.create_vector_agent("wolpertinger", vector_env())
        for agent in (one, many):
            assert agent.learner.settings.update_period == 48
            assert agent.learner.noise == 0.25
    finally:
        gin.clear_config()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("settings", [{}, {"min_replay_history": 24}, {"min_replay_history": 3}])
def test_the_steps_before_the_first_update_are_told(name, settings):
    for more, expected in ((0, 0), (1, 1)):
        env = boredom()
        agent = single(name, env, **settings)
        rollout.run_episode(env, agent, max_steps=agent.steps_without_update + more)
        assert agent.num_updates == expected
    env = vector_env(10)
    agent = vector(name, env, **settings)
    run(agent, env, agent.steps_without_update // 10)
    assert agent.num_updates == 0
    run(agent, env, 1)
    assert agent.num_updates >= 1


@pytest.mark.parametrize(
    ("name", "columns"), [("wolpertinger", ["distance", "value"]), ("sac_topk", ["product"])]
)
def test_explanations_have_what_slates_are_chosen_by(name, columns):
    env = boredom()
    agent = single(name, env, eval_mode=True)
    observation = env.reset()
    known = agent.explain(observation)
    assert list(known.tables[0].columns) == columns
    assert list(known.numbers) == ["value of the vector"]
    # Of five candidates the critic may choose among all.
    scores = known.tables[0].columns[columns[-1]]
    expected = np.argsort(-scores, kind="stable")[:2]
    np.testing.assert_array_equal(agent.begin_episode(observation), expected)


@pytest.mark.parametrize("name", NAMES)
def test_it_has_no_propensities(name):
    assert not recsim_types.knows_propensities(single(name, boredom()))


def test_a_training_that_diverges_is_stopped():
    env = vector_env(8)
    agent = vector("sac_topk", env, learning_rate=1e30)
    with pytest.raises(FloatingPointError, match="diverged.*smaller learning_rate"):
        run(agent, env, 60)


def test_rewards_that_are_all_0_are_learned():
    agent = single("wolpertinger", boredom())
    observation = boredom().reset()
    agent.begin_episode(observation)
    for _ in range(50):
        agent.step(0.0, observation)
    assert np.isfinite(agent.learner.statistics["ValueLoss"])


REFUSED = {
    "num_neighbors": ("wolpertinger", {"num_neighbors": 0}, ValueError, "num_neighbors must be"),
    "noise": ("wolpertinger", {"noise": -0.1}, ValueError, "noise must be"),
    "target_entropy": ("sac_topk", {"target_entropy": 0.7}, ValueError, "target_entropy must be"),
    "min_replay_history": (
        "sac_topk",
        {"min_replay_history": 0},
        ValueError,
        "min_replay_history must be",
    ),
    "update_period": ("sac_topk", {"update_period": 0}, ValueError, "update_period must be"),
    "batch_size": ("sac_topk", {"batch_size": 2.5}, TypeError, "batch_size must be an integer"),
    "gamma": ("wolpertinger", {"gamma": 1.1}, ValueError, "gamma must be a probability"),
    "gamma of 1": ("wolpertinger", {"gamma": 1.0}, ValueError, "gamma must be below 1"),
    "target_rate": ("wolpertinger", {"target_rate": 0.0}, ValueError, "target_rate must be above"),
    "learning_rate": ("sac_topk", {"learning_rate": 0.0}, ValueError, "learning_rate must be"),
    "hidden_units": ("sac_topk", {"hidden_units": 8}, TypeError, "hidden_units must be a list"),
    "item_units": ("sac_topk", {"item_units": (0,)}, ValueError, "item_units must be an integer"),
    "unknown": ("wolpertinger", {"nosie": 0.1}, TypeError, "Did you mean 'noise'"),
    "of another agent": ("sac_topk", {"noise": 0.1}, TypeError, "no parameter 'noise'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_arguments_are_refused(case):
    name, arguments, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        single(name, boredom(), **arguments)
    with pytest.raises(kind, match=message):
        vector(name, vector_env(), **arguments)


def test_candidates_fewer_than_a_slate_are_refused():
    env, small = boredom(), boredom(2)
    observation = env.reset()
    observation = {**observation, "doc": dict(list(observation["doc"].items())[:1])}
    agent = single("wolpertinger", small, eval_mode=True)
    with pytest.raises(ValueError, match=r"must hold 2 documents.* got 1"):
        agent.begin_episode(observation)
    larger = boredom(4)
    with pytest.raises(ValueError, match="as many values as observation_space"):
        sac_topk_agent.SACTopKAgent(env.observation_space, larger.action_space)


@pytest.mark.parametrize("name", NAMES)
def test_features_of_another_size_are_refused(name):
    env = boredom()
    observation = env.reset()
    agent = single(name, env)
    agent.begin_episode(observation)
    for part, changed in (
        ("user", np.zeros(3, np.float32)),
        ("doc", {key: {**doc, "embedding": [0.1]} for key, doc in observation["doc"].items()}),
    ):
        with pytest.raises(ValueError, match=f"observation\\['{part}'\\] does not fit"):
            agent.step(0.0, {**observation, part: changed})


@pytest.mark.parametrize("reward", [np.nan, np.inf, 1e300])
def test_rewards_that_are_not_finite_are_refused(reward):
    env = boredom()
    agent = single("wolpertinger", env)
    observation = env.reset()
    agent.begin_episode(observation)
    with pytest.raises(ValueError, match="reward must be"):
        agent.step(reward, observation)
    assert agent.learner.replay.size == 0


def test_steps_before_episodes_began_are_refused():
    env = boredom()
    with pytest.raises(RuntimeError, match="call begin_episode"):
        single("wolpertinger", env).step(0.0, env.reset())
    many = vector_env()
    observation, _ = many.reset()
    nobody = np.zeros(8, bool)
    with pytest.raises(RuntimeError, match=r"call begin\(observation\)"):
        vector("sac_topk", many).step(observation, np.zeros(8), nobody, nobody, {})


def test_more_memory_than_there_is_is_refused():
    with pytest.raises(MemoryError, match="smaller replay_capacity"):
        single("wolpertinger", boredom(), replay_capacity=10**13)
