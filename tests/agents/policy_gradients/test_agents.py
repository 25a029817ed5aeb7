"""Policy gradient agents of both engines: contract, propensities, checkpoints, refusals."""

from __future__ import annotations

import copy
import functools
import pickle

import gin
import numpy as np
import pytest
from gym import spaces
from support.scenarios import config, make_env

from recsim import registry, testing
from recsim import types as recsim_types
from recsim.agents import ppo_agent, reinforce_agent
from recsim.environments import interest_evolution, topic_boredom
from recsim.simulator import rollout

SMALL = {"update_period": 24, "batch_size": 8, "hidden_units": (8,), "num_epochs": 2}
AGENTS = {
    "ppo": (ppo_agent.PPOAgent, ppo_agent.VectorPPOAgent),
    "reinforce": (reinforce_agent.ReinforceAgent, reinforce_agent.VectorReinforceAgent),
}
NAMES = sorted(AGENTS)


def boredom(num_candidates=5):
    return topic_boredom.create_environment(
        {"num_candidates": num_candidates, "slate_size": 2, "resample_documents": True, "seed": 3}
    )


def vector_env(num_envs=8, num_candidates=5, **options):
    return interest_evolution.create_vector_environment(
        config(num_candidates=num_candidates), num_envs, **options
    )


def single(name, env, **kwargs):
    return AGENTS[name][0](env.observation_space, env.action_space, **{**SMALL, **kwargs})


def vector(name, env, **kwargs):
    return AGENTS[name][1](env, **{**SMALL, **kwargs})


def run(agent, env, num_steps, observation=None):
    """Returns the slates of steps in a vector environment, the first observation and the last."""
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
@pytest.mark.parametrize("greedy_eval", [False, True])
def test_both_engines_recommend_and_know_the_same(name, greedy_eval):
    env = vector_env(max_steps_per_episode=7)
    trained = vector(name, env, item_units=(4,))
    _, observation = run(trained, env, 30)
    assert trained.num_updates > 5
    served = vector(name, env, item_units=(4,), eval_mode=True, greedy_eval=greedy_eval)
    assert served.unbundle("", 0, trained.serving_bundle())
    one = served.single_user_agent()
    slates = served.begin(observation)
    known = served.propensities(observation, slates)
    for user in range(3):
        documents = {str(i): row for i, row in enumerate(observation["doc"][user])}
        seen = {"user": observation["user"][user], "doc": documents, "response": None}
        of_one = one.propensities(seen, slates[user])
        np.testing.assert_allclose(of_one.slate, known.slate[user], rtol=1e-4)
        np.testing.assert_allclose(of_one.items, known.items[user], rtol=1e-4)
        if greedy_eval:
            np.testing.assert_array_equal(one.begin_episode(seen), slates[user])
            assert known.slate[user] == 1.0


@pytest.mark.parametrize("name", NAMES)
def test_propensities_are_the_shares_of_slates(name):
    env = boredom(4)
    agent = single(name, env)
    for _ in range(2):
        rollout.run_episode(env, agent, max_steps=30)
    observation = env.reset()
    slates = np.array([agent.begin_episode(observation) for _ in range(4000)])
    pairs = np.array([(i, j) for i in range(4) for j in range(4) if i != j])
    shares = (slates[:, np.newaxis] == pairs).all(axis=2).mean(axis=0)
    known = agent.propensities(observation, pairs)
    assert (np.abs(shares - known.slate) < 5 * np.sqrt(known.slate / 4000)).all()
    np.testing.assert_allclose(known.slate.sum(), 1.0)
    assert recsim_types.knows_propensities(agent)


@pytest.mark.parametrize("name", NAMES)
def test_equal_seeds_equal_trainings(name):
    runs = [
        run(vector(name, vector_env(max_steps_per_episode=6), seed=seed), env, 20)[0]
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
    slates, observation = run(agent, env, num_steps)
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
    for own, of_other in zip(
        agent.serving_bundle()["actor"], other.serving_bundle()["actor"], strict=True
    ):
        np.testing.assert_array_equal(own, of_other)


@pytest.mark.parametrize("name", NAMES)
def test_a_training_resumes_within_an_episode_of_one_user(name):
    def environment_and_agent():
        env = boredom()
        return env, single(name, env)

    env, agent = environment_and_agent()
    observation = env.reset()
    slate = agent.begin_episode(observation)
    for _ in range(30):
        observation, reward, _, _ = env.step(slate)
        slate = agent.step(reward, observation)
    _, other = environment_and_agent()
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
def test_copies_train_on_as_the_agent_does(name, copied):
    env = boredom()
    agent = single(name, env)
    rollout.run_episode(env, agent, max_steps=40)
    other, other_env = copied(agent), copied(env)
    for an_agent, an_env in ((agent, env), (other, other_env)):
        rollout.run_episode(an_env, an_agent, max_steps=60)
    assert other.num_updates == agent.num_updates > 2
    before, after = (each.serving_bundle()["actor"] for each in (agent, other))
    for own, of_other in zip(before, after, strict=True):
        np.testing.assert_array_equal(own, of_other)


def test_a_state_of_other_users_serves_and_trains_further():
    agent = vector("ppo", vector_env(8))
    run(agent, vector_env(8), 10)
    other = vector("ppo", vector_env(3))
    other.load_state_dict(copy.deepcopy(agent.state_dict()))
    assert other.training_steps == agent.training_steps
    run(other, vector_env(3), 10)
    assert other.num_updates > agent.num_updates


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("actor", [], "'actor' must be 4 arrays"),
        ("value_scale", [1.0], "'value_scale' must be two numbers"),
        ("optimizers", [[], []], "'optimizers' must be"),
        ("num_updates", -1, "'num_updates' must be an integer"),
        ("rollouts", {"users": 1}, "'rollouts' must be a dictionary"),
        ("last", (1, 2), "'last' must be features"),
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
    bundle = single("ppo", env).state_dict()
    assert not single("reinforce", env).unbundle("", 0, bundle)
    with pytest.raises(ValueError, match="of another agent or of other spaces"):
        single("reinforce", env, eval_mode=True).unbundle("", 0, bundle)
    serving = single("ppo", env).serving_bundle()
    assert not single("ppo", env).unbundle("", 0, serving)


def test_episodes_that_nobody_ended_end_without_the_last_slate():
    env = boredom()
    agent = single("ppo", env)
    slate = agent.begin_episode(env.reset())
    for _ in range(3):
        observation, reward, _, _ = env.step(slate)
        slate = agent.step(reward, observation)
    agent.begin_episode(env.reset())
    rollouts = agent.learner.rollouts
    assert rollouts.length == 3
    assert rollouts.arrays["ended"][:3, 0].tolist() == [False, False, True]
    assert not rollouts.arrays["terminated"][:3].any()


def test_the_last_state_of_a_truncated_episode_has_a_value():
    env = vector_env(4, max_steps_per_episode=3)
    agent = vector("reinforce", env, update_period=400)
    observation, _ = env.reset(seed=1)
    slates = agent.begin(observation)
    for _ in range(3):
        observation, rewards, terminated, truncated, infos = env.step(slates)
        slates = agent.step(observation, rewards, terminated, truncated, infos)
    assert truncated.all()
    arrays = agent.learner.rollouts.arrays
    assert arrays["ended"][2].all() and not arrays["terminated"][2].any()
    np.testing.assert_array_equal(arrays["next_users"][2], infos["final_obs"].batch["user"])
    np.testing.assert_array_equal(arrays["next_users"][0], arrays["users"][1])
    clicks = infos["final_obs"].batch["response"]["click"]
    np.testing.assert_array_equal(arrays["clicks"][2], clicks != 0)


def test_gin_configures_agents_of_both_engines():
    with gin.unlock_config():
        gin.parse_config(
            ["SlatePolicyAgent.update_period = 48", "PPOAgent.clip_range = 0.3"],
        )
    try:
        env = boredom()
        one = ppo_agent.PPOAgent(env.observation_space, env.action_space)
        many = ppo_agent.VectorPPOAgent(vector_env())
        for agent in (one, many):
            assert agent.learner.settings.update_period == 48
            assert agent.learner.objective.clip_range == 0.3
        planned = registry.create_agent("ppo", env, training_steps=1000)
        assert planned.learner.settings.update_period == 48
    finally:
        gin.clear_config()


def test_short_trainings_have_twenty_updates():
    agent = registry.create_agent("reinforce", boredom(), training_steps=1000)
    assert agent.learner.settings.update_period == 50
    agent = registry.create_agent("reinforce", boredom(), training_steps=30_000)
    assert agent.learner.settings.update_period == 512
    many = registry.create_vector_agent("ppo", vector_env(8), training_steps=30_000)
    assert many.learner.settings.update_period == 512


@pytest.mark.parametrize("name", NAMES)
def test_the_steps_before_the_first_update_are_told(name):
    env = boredom()
    agent = single(name, env)
    rollout.run_episode(env, agent, max_steps=agent.steps_without_update)
    assert agent.num_updates == 0
    agent = single(name, env)
    rollout.run_episode(env, agent, max_steps=agent.steps_without_update + 1)
    assert agent.num_updates == 1


def test_explanations_have_scores_and_the_values_of_states():
    env = boredom()
    observation = env.reset()
    agent = single("reinforce", env)
    known = agent.explain(observation)
    columns = known.tables[0].columns
    np.testing.assert_allclose(columns["probability of the first position"].sum(), 1.0)
    assert list(known.numbers) == ["value of the state", "value of no click"]


def test_a_training_that_diverges_is_stopped():
    env = vector_env(8)
    agent = vector("ppo", env, learning_rate=1e30)
    with pytest.raises(FloatingPointError, match="diverged.*smaller learning_rate"):
        run(agent, env, 60)


REFUSED = {
    "clip_range": ("ppo", {"clip_range": 0.0}, ValueError, "clip_range must be above 0"),
    "max_weight": ("reinforce", {"max_weight": -1.0}, ValueError, "max_weight must be above 0"),
    "update_period": ("ppo", {"update_period": 1}, ValueError, "update_period must be"),
    "num_epochs": ("ppo", {"num_epochs": 0}, ValueError, "num_epochs must be"),
    "batch_size": ("ppo", {"batch_size": 2.5}, TypeError, "batch_size must be an integer"),
    "gamma": ("ppo", {"gamma": 1.1}, ValueError, "gamma must be a probability"),
    "trace_decay": ("ppo", {"trace_decay": np.nan}, ValueError, "trace_decay must be"),
    "learning_rate": ("reinforce", {"learning_rate": 0.0}, ValueError, "learning_rate must be"),
    "entropy_weight": ("ppo", {"entropy_weight": -0.1}, ValueError, "entropy_weight must be"),
    "hidden_units": ("ppo", {"hidden_units": 8}, TypeError, "hidden_units must be a list"),
    "item_units": ("ppo", {"item_units": (0,)}, ValueError, "item_units must be an integer"),
    "unknown": ("ppo", {"clip_rnage": 0.1}, TypeError, "Did you mean 'clip_range'"),
    "of another agent": ("reinforce", {"clip_range": 0.1}, TypeError, "no parameter 'clip_range'"),
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
    agent = single("ppo", small, eval_mode=True)
    with pytest.raises(ValueError, match=r"must hold 2 documents.* got 1"):
        agent.begin_episode(observation)
    larger = boredom(4)
    with pytest.raises(ValueError, match="as many values as observation_space"):
        ppo_agent.PPOAgent(env.observation_space, larger.action_space)


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


def test_reinforce_needs_clicks():
    env = boredom()
    responses = spaces.Tuple([spaces.Dict({"liked": spaces.Discrete(2)})] * 2)
    space = spaces.Dict({**env.observation_space.spaces, "response": responses})
    with pytest.raises(ValueError, match="must have the key 'click'"):
        reinforce_agent.ReinforceAgent(space, env.action_space)
    ppo_agent.PPOAgent(space, env.action_space)


def test_steps_before_episodes_began_are_refused():
    env = boredom()
    with pytest.raises(RuntimeError, match="call begin_episode"):
        single("ppo", env).step(0.0, env.reset())
    many = vector_env()
    observation, _ = many.reset()
    nobody = np.zeros(8, bool)
    with pytest.raises(RuntimeError, match=r"call begin\(observation\)"):
        vector("ppo", many).step(observation, np.zeros(8), nobody, nobody, {})


def test_more_memory_than_there_is_is_refused():
    with pytest.raises(MemoryError, match="smaller update_period"):
        single("ppo", boredom(), update_period=10**13)
