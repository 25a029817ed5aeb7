"""What agents that act by a learner share: contract, checkpoints, copies, refusals."""

from __future__ import annotations

import copy
import functools
import pickle

import numpy as np
import pytest
from support.scenarios import make_env
from support.slate_learners import AGENTS, NAMES, boredom, run, single, vector, vector_env

from recsim import testing
from recsim.simulator import rollout


def actor(agent):
    return agent.serving_bundle()["actor"]


def assert_equal(arrays, others):
    for array, other in zip(arrays, others, strict=True):
        np.testing.assert_array_equal(array, other)


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
    served = vector(name, env, item_units=(4,), eval_mode=True, greedy_eval=True)
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
    assert agent.num_updates == other.num_updates > 3
    assert_equal(actor(agent), actor(other))


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
def test_copies_train_on_as_the_agent_does_and_share_nothing(name, copied):
    env = boredom()
    agent = single(name, env)
    rollout.run_episode(env, agent, max_steps=40)
    other, other_env = copied(agent), copied(env)
    before = copy.deepcopy(actor(agent))
    rollout.run_episode(other_env, other, max_steps=60)
    assert_equal(actor(agent), before)
    rollout.run_episode(env, agent, max_steps=60)
    assert other.num_updates == agent.num_updates > 2
    assert_equal(actor(agent), actor(other))


@pytest.mark.parametrize("name", NAMES)
def test_a_state_of_other_users_serves_and_trains_further(name):
    agent = vector(name, vector_env(8))
    run(agent, vector_env(8), 10)
    other = vector(name, vector_env(3))
    other.load_state_dict(copy.deepcopy(agent.state_dict()))
    assert other.training_steps == agent.training_steps
    run(other, vector_env(3), 10)
    assert other.num_updates > agent.num_updates


FAULTY = [
    ("actor", [], "'actor' must be 4 arrays"),
    ("num_updates", -1, "'num_updates' must be an integer"),
    ("batches_rng_state", {}, "'batches_rng_state' is not a state"),
    ("last", 1, "'last' must be features"),
]
OF_POLICIES = [
    ("value_scale", [1.0], "'value_scale' must be two numbers"),
    ("optimizers", [[], []], "'optimizers' must be"),
    ("rollouts", {"users": 1}, "'rollouts' must be a dictionary"),
    ("last", (1, 2), "'last' must be features"),
]
OF_ACTORS = [
    ("critics", [], "'critics' must be a list of"),
    ("critics", [[1], [1]], "must be"),
    ("trained_critics", [None, None], "'trained_critics' must be"),
    ("item_units", {"count": 1}, "'item_units' must be"),
    ("reward_square", -1.0, "'reward_square' must be"),
    ("replay", {"users": 1}, "'replay' must be a dictionary"),
    ("last", (1, 2), "'last users' must be"),
]


@pytest.mark.parametrize("name", NAMES)
def test_faulty_bundles_are_refused_and_nothing_is_changed(name):
    env = boredom()
    agent = single(name, env)
    rollout.run_episode(env, agent, max_steps=30)
    before = copy.deepcopy(agent.state_dict())
    for entry, value, message in FAULTY + (OF_ACTORS if "critics" in before else OF_POLICIES):
        with pytest.raises(ValueError, match=message):
            agent.load_state_dict({**copy.deepcopy(before), entry: value})
        assert_equal(before["actor"], actor(agent))
        assert before["training_steps"] == agent.training_steps


@pytest.mark.parametrize(
    ("name", "other"), [("ppo", "reinforce"), ("sac_topk", "wolpertinger"), ("ppo", "sac_topk")]
)
def test_bundles_of_other_agents_do_not_fit(name, other):
    env, users = boredom(), vector_env()
    bundle = single(name, env).state_dict()
    assert not single(other, env).unbundle("", 0, bundle)
    with pytest.raises(ValueError, match="of another agent or of other spaces"):
        single(other, env, eval_mode=True).unbundle("", 0, bundle)
    assert not vector(other, users).unbundle("", 0, vector(name, users).state_dict())
    serving = single(name, env).serving_bundle()
    assert not single(name, env).unbundle("", 0, serving)


REFUSED = [
    ("ppo", {"clip_range": 0.0}, ValueError, "clip_range must be above 0"),
    ("ppo", {"update_period": 1}, ValueError, "update_period must be"),
    ("ppo", {"num_epochs": 0}, ValueError, "num_epochs must be"),
    ("ppo", {"trace_decay": np.nan}, ValueError, "trace_decay must be"),
    ("ppo", {"entropy_weight": -0.1}, ValueError, "entropy_weight must be"),
    ("ppo", {"max_gradient_norm": 0}, ValueError, "max_gradient_norm must be"),
    ("ppo", {"clip_rnage": 0.1}, TypeError, "Did you mean 'clip_range'"),
    ("reinforce", {"max_weight": -1.0}, ValueError, "max_weight must be above 0"),
    ("reinforce", {"clip_range": 0.1}, TypeError, "no parameter 'clip_range'"),
    ("wolpertinger", {"num_neighbors": 0}, ValueError, "num_neighbors must be"),
    ("wolpertinger", {"noise": -0.1}, ValueError, "noise must be"),
    ("wolpertinger", {"gamma": 1.0}, ValueError, "gamma must be below 1"),
    ("wolpertinger", {"target_rate": 0.0}, ValueError, "target_rate must be above"),
    ("wolpertinger", {"nosie": 0.1}, TypeError, "Did you mean 'noise'"),
    ("sac_topk", {"target_entropy": 0.7}, ValueError, "target_entropy must be"),
    ("sac_topk", {"min_replay_history": 0}, ValueError, "min_replay_history must be"),
    ("sac_topk", {"update_period": 0}, ValueError, "update_period must be"),
    ("sac_topk", {"noise": 0.1}, TypeError, "no parameter 'noise'"),
    *[
        (name, arguments, kind, message)
        for name in ("ppo", "wolpertinger")
        for arguments, kind, message in [
            ({"gamma": 1.1}, ValueError, "gamma must be a probability"),
            ({"batch_size": 2.5}, TypeError, "batch_size must be an integer"),
            ({"learning_rate": 0.0}, ValueError, "learning_rate must be"),
            ({"hidden_units": 8}, TypeError, "hidden_units must be a list"),
            ({"item_units": (0,)}, ValueError, "item_units must be an integer"),
        ]
    ],
]


@pytest.mark.parametrize(("name", "arguments", "kind", "message"), REFUSED)
def test_bad_arguments_are_refused(name, arguments, kind, message):
    with pytest.raises(kind, match=message):
        single(name, boredom(), **arguments)
    with pytest.raises(kind, match=message):
        vector(name, vector_env(), **arguments)


@pytest.mark.parametrize("name", NAMES)
def test_candidates_fewer_than_a_slate_are_refused(name):
    env, small = boredom(), boredom(2)
    observation = env.reset()
    observation = {**observation, "doc": dict(list(observation["doc"].items())[:1])}
    agent = single(name, small, eval_mode=True)
    with pytest.raises(ValueError, match=r"must hold 2 documents.* got 1"):
        agent.begin_episode(observation)
    with pytest.raises(ValueError, match="as many values as observation_space"):
        AGENTS[name][0](env.observation_space, small.action_space)


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


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("reward", [np.nan, np.inf, 1e300])
def test_rewards_that_are_not_finite_are_refused(name, reward):
    env = boredom()
    agent = single(name, env)
    observation = env.reset()
    agent.begin_episode(observation)
    with pytest.raises(ValueError, match="reward must be"):
        agent.step(reward, observation)
    assert agent.training_steps == 1


@pytest.mark.parametrize("name", NAMES)
def test_steps_before_episodes_began_are_refused(name):
    env = boredom()
    with pytest.raises(RuntimeError, match="call begin_episode"):
        single(name, env).step(0.0, env.reset())
    many = vector_env()
    observation, _ = many.reset()
    nobody = np.zeros(8, bool)
    with pytest.raises(RuntimeError, match=r"call begin\(observation\)"):
        vector(name, many).step(observation, np.zeros(8), nobody, nobody, {})


@pytest.mark.parametrize("name", NAMES)
def test_a_training_that_diverges_is_stopped(name):
    env = vector_env(8)
    agent = vector(name, env, learning_rate=1e30)
    with pytest.raises(FloatingPointError, match="diverged.*smaller learning_rate"):
        run(agent, env, 60)


@pytest.mark.parametrize(
    ("name", "setting"), [("ppo", "update_period"), ("wolpertinger", "replay_capacity")]
)
def test_more_memory_than_there_is_is_refused(name, setting):
    with pytest.raises(MemoryError, match=f"smaller {setting}"):
        single(name, boredom(), **{setting: 10**13})
