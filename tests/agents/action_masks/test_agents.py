"""Agents under action masks, in both engines: what they choose, learn and save."""

import functools
import itertools
import pickle

import numpy as np
import pytest
from support.mood_scenario import GAMMA, INTERESTS, NEXT_MOODS, REWARDS, STAYS, make_env, solve

import recsim
from recsim import action_masks, registry, testing
from recsim.agents import (
    contextual_bandit_agent,
    full_slate_q_agent,
    greedy_pctr_agent,
    random_agent,
    slate_decomp_q_agent,
    softmax_agent,
)
from recsim.agents._action_masks.allowed_slates import AllowedSlates
from recsim.agents.dopamine import slate_selection
from recsim.agents.layers import temporal_aggregation
from recsim.environments import interest_evolution, interest_exploration
from recsim.ope import simulated
from recsim.vector import wrappers

CONFIG = {"num_candidates": 6, "slate_size": 3, "resample_documents": True, "seed": 3}
PAGE = action_masks.CategoriesOfSlots([0, 1, None], "cluster_id", otherwise="any")
LEARNING = {"min_replay_history": 20, "batch_size": 16, "hidden_units": (8,), "seed": 1}


def single_env(rule=PAGE):
    return action_masks.with_action_masks(interest_exploration.create_environment(CONFIG), rule)


def vector_env(num_envs=5, rule=PAGE, **kwargs):
    env = interest_exploration.create_vector_environment(CONFIG, num_envs, **kwargs)
    return action_masks.with_action_masks(env, rule)


def score(users, documents):
    """Returns choice weights of interest exploration's documents, for SlateQ."""
    return 1.0 + documents[..., -1], np.full(documents.shape[:-2], 0.5, np.float32)


def slate_q(strategy):
    return functools.partial(
        slate_decomp_q_agent.create_vector_agent,
        strategy,
        score_documents_fn=score,
        reward_field=None,
        **LEARNING,
    )


VECTOR_AGENTS = {
    "random": random_agent.VectorRandomAgent,
    "greedy": greedy_pctr_agent.create_vector_agent,
    "softmax": softmax_agent.create_vector_agent,
    "LinUCB": functools.partial(contextual_bandit_agent.VectorContextualBanditAgent, explore="ucb"),
    "Thompson": functools.partial(
        contextual_bandit_agent.VectorContextualBanditAgent, explore="thompson"
    ),
    "epsilon-greedy": functools.partial(
        contextual_bandit_agent.VectorContextualBanditAgent,
        explore="epsilon_greedy",
        exploration=0.5,
    ),
    "full slates": functools.partial(full_slate_q_agent.VectorFullSlateQAgent, **LEARNING),
    "top-k": slate_q("slate_topk_topk_q"),
    "greedy slates": slate_q("slate_greedy_greedy_q"),
    "optimal slates": slate_q("slate_optimal_optimal_q"),
    "sarsa": slate_q("slate_topk_sarsa"),
}


@pytest.mark.parametrize("name", VECTOR_AGENTS)
def test_every_slate_in_training_is_one_that_masks_allow(name):
    # The environment refuses any other.
    env = vector_env(8, max_steps_per_episode=4)
    agent = VECTOR_AGENTS[name](env)
    observation, _ = env.reset(seed=0)
    slates = agent.begin(observation)
    for _ in range(25):
        outcome = env.step(slates)
        known = agent.propensities(outcome[0], slates)
        assert known is None or known.items.shape == (8, 3)
        slates = agent.step(*outcome)
    if hasattr(agent, "num_updates"):
        assert agent.num_updates > 0


@pytest.mark.parametrize("name", ["greedy", "LinUCB", "full slates", "optimal slates", "sarsa"])
def test_agents_of_one_user_choose_what_those_of_users_in_parallel_do(name):
    env = vector_env(6)
    kwargs = {} if name == "greedy" else {"eval_mode": True}
    if name not in ("greedy", "LinUCB"):
        kwargs["epsilon_eval"] = 0.0
    agent = VECTOR_AGENTS[name](env, **kwargs)
    observation, _ = env.reset(seed=2)
    slates = agent.begin(observation)
    single = agent.single_user_agent()
    for user in range(6):
        documents = {
            str(number): {key: array[user, number] for key, array in observation["doc"].items()}
            for number in range(6)
        }
        of_user = {"user": observation["user"][user], "doc": documents, "response": None}
        assert list(single.begin_episode(of_user)) == slates[user].tolist()
    if hasattr(single, "slates_in_parallel"):
        np.testing.assert_array_equal(single.slates_in_parallel(observation), slates)


@pytest.mark.parametrize(
    "create",
    [
        lambda env: random_agent.RandomAgent(env.action_space),
        lambda env: softmax_agent.create_agent(env),
        lambda env: contextual_bandit_agent.ContextualBanditAgent(
            env.observation_space, env.action_space, "epsilon_greedy", exploration=0.5
        ),
        lambda env: full_slate_q_agent.FullSlateQAgent(
            None, env.observation_space, env.action_space, **LEARNING
        ),
        lambda env: slate_decomp_q_agent.create_agent(
            "slate_greedy_optimal_q",
            None,
            observation_space=env.observation_space,
            action_space=env.action_space,
            score_documents_fn=score,
            reward_field=None,
            **LEARNING,
        ),
    ],
    ids=["random", "softmax", "bandit", "full slates", "SlateQ"],
)
def test_the_contract_of_agents_under_masks(create):
    testing.check_agent(single_env, create, num_steps=60)


def test_the_contract_of_environments_with_masks():
    testing.check_environment(single_env, num_steps=60)
    testing.check_vector_environment(
        lambda num_envs, first_user: vector_env(
            num_envs, first_user=first_user, max_steps_per_episode=7
        )
    )


def test_both_engines_show_the_same_masks_for_the_same_documents():
    envs = wrappers.SingleUserEnvs([single_env()])
    observation, _ = envs.reset(seed=0)
    assert envs.single_observation_space["doc"] == vector_env().single_observation_space["doc"]
    features = {key: observation["doc"][key] for key in ("cluster_id", "quality")}
    np.testing.assert_array_equal(observation["doc"]["action_mask"], PAGE(features))


@pytest.mark.parametrize("density", [0.5, 0.8])
def test_selections_are_those_of_all_allowed_slates(density):
    rng = np.random.RandomState(0)
    s, q = rng.rand(40, 5), rng.standard_normal((40, 5))
    no_click = rng.rand(40)
    masks, allowed = [], []
    while len(masks) < 40:
        mask = rng.rand(5, 3) < density
        found = [p for p in itertools.permutations(range(5), 3) if mask[list(p), range(3)].all()]
        if found:
            masks.append(mask)
            allowed.append(found)
    page = AllowedSlates(np.array(masks))

    def value(user, slate):
        documents = list(slate)
        return (s[user, documents] @ q[user, documents]) / (
            s[user, documents].sum() + no_click[user]
        )

    top_k = slate_selection.top_k_slates(3, s, q, page)
    greedy = slate_selection.greedy_slates(3, no_click, s, q, page)
    optimal, values = slate_selection.optimal_slates(3, no_click, s, q, page)
    for user, of_user in enumerate(allowed):
        assert tuple(optimal[user]) in of_user
        best = max(value(user, slate) for slate in of_user)
        assert value(user, optimal[user]) == pytest.approx(best) == pytest.approx(values[user])
        sums = {slate: s[user, list(slate)] @ q[user, list(slate)] for slate in of_user}
        assert sums[tuple(top_k[user])] == pytest.approx(max(sums.values()))
        left = of_user
        for place in range(3):
            best_next = max({p[: place + 1] for p in left}, key=lambda p: value(user, p))
            assert tuple(greedy[user, : place + 1]) == best_next
            left = [p for p in left if p[: place + 1] == best_next]


# Documents 0 and 3 may stand first, 1 and 2 second: the best pairs without masks are out.
def halves(documents):
    number = documents.argmax(axis=-1)
    first = (number == 0) | (number == 3)
    return np.stack([first, ~first], axis=-1)


ALLOWED = [(0, 1), (0, 2), (3, 1), (3, 2)]


def solve_under_masks():
    """Returns the best allowed slate in each mood, by value iteration."""
    values, weights = np.zeros(2), INTERESTS + 1.0
    for _ in range(300):
        q = REWARDS + GAMMA * STAYS * values[NEXT_MOODS]
        of_slates = np.stack(
            [
                (weights[:, slate] * q[:, slate]).sum(axis=1) / (weights[:, slate].sum(axis=1) + 2)
                for slate in map(list, ALLOWED)
            ]
        )
        values = of_slates.max(axis=0)
    return [ALLOWED[best] for best in of_slates.argmax(axis=0)]


@pytest.mark.parametrize(
    "learner",
    ["slate_optimal_optimal_q", pytest.param("full slates", marks=pytest.mark.slow)],
)
def test_learners_find_the_optimum_that_masks_leave(learner):
    env = action_masks.with_action_masks(make_env(20), halves)
    settings = {
        "gamma": GAMMA,
        "min_replay_history": 400,
        "update_period": 20,
        "batch_size": 128,
        "target_update_period": 400,
        "epsilon_train": 0.3,
        "epsilon_decay_period": 2000,
        "replay_capacity": 20000,
        "hidden_units": (32,),
        "optimizer_name": "adam",
        "learning_rate": 5e-3,
    }
    if learner == "full slates":
        settings |= {"epsilon_fn": lambda *_: 0.7, "update_period": 40}
        agent = full_slate_q_agent.VectorFullSlateQAgent(env, **settings)
    else:
        agent = slate_decomp_q_agent.create_vector_agent(learner, env, **settings)
    slates = agent.begin(env.reset(seed=0)[0])
    while agent.training_steps < (60000 if learner == "full slates" else 10000):
        slates = agent.step(*env.step(slates))
    best = solve_under_masks()
    assert not {frozenset(slate) for slate in best} & set(map(frozenset, solve(STAYS)[0]))
    features = np.broadcast_to(np.eye(4, dtype=np.float32), (2, 4, 4))
    masks = np.broadcast_to(halves(np.eye(4)), (2, 4, 2))
    documents = np.concatenate([features, masks], axis=2, dtype=np.float32)
    learned = agent.learner.values.best_slates(agent.learner.online_network, INTERESTS, documents)
    assert list(map(tuple, learned.tolist())) == best


def batch_of(agent, env, num_steps=12):
    """Returns transitions of random slates, with ends of episodes among them."""
    slates = agent.begin(env.reset(seed=0)[0])
    for _ in range(num_steps):
        slates = agent.step(*env.step(slates))
    return agent.learner.replay.sample()


@pytest.mark.parametrize("learner", ["top-k", "optimal slates", "full slates"])
def test_targets_are_the_highest_values_of_allowed_slates(learner):
    env = vector_env(8)
    agent = VECTOR_AGENTS[learner](env, epsilon_fn=lambda *_: 1.0, gamma=0.5)
    batch = batch_of(agent, env)
    values, network = agent.learner.values, agent.learner.target_network
    found = values.training_batch(batch, network)
    features, masks = values.adapter.split(batch.next_documents)
    for row in np.flatnonzero(found.used):
        allowed = [
            slate
            for slate in itertools.permutations(range(6), 3)
            if masks[row][list(slate), range(3)].all()
        ]
        if learner == "full slates":
            of_slates = values.of_slates(network, batch.next_users[row], features[row])
            numbers = {slate: i for i, slate in enumerate(itertools.permutations(range(6), 3))}
            following = max(of_slates[numbers[slate]] for slate in allowed)
        else:
            s, no_click = score(None, features[row])
            q, _ = values.of_documents(network, batch.next_users[row][None], features[row][None])
            sums = {slate: s[list(slate)] @ q[0][list(slate)] for slate in allowed}
            worth = {slate: sums[slate] / (s[list(slate)].sum() + no_click) for slate in allowed}
            slate = max(sums, key=sums.get) if learner == "top-k" else max(worth, key=worth.get)
            following = worth[slate]
        expected = batch.rewards[row] + 0.5 * following * (not batch.terminals[row])
        assert found.targets[row] == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_propensities_sum_to_one_over_the_slates_that_masks_allow():
    rule = action_masks.CategoriesOfSlots([0, 1, 1], "cluster_id", otherwise="any")
    env = vector_env(4, rule=rule)
    observation, _ = env.reset(seed=1)
    page = AllowedSlates.of(observation, 3)
    users = np.flatnonzero(page.is_partition)
    assert len(users)
    env = vector_env(1, rule=rule)
    row = int(users[0])
    observation = {
        "user": observation["user"][row : row + 1],
        "doc": {key: array[row : row + 1] for key, array in observation["doc"].items()},
        "response": {k: array[row : row + 1] for k, array in observation["response"].items()},
    }
    everything = np.array(list(itertools.permutations(range(6), 3)))[np.newaxis]
    for name in ("random", "softmax", "greedy", "epsilon-greedy"):
        known = VECTOR_AGENTS[name](env).propensities(observation, everything)
        assert known.slate.sum() == pytest.approx(1.0)
        for place in range(3):
            for document in range(6):
                there = everything[0, :, place] == document
                total = known.slate[0, there].sum()
                np.testing.assert_allclose(known.items[0, there, place], total, atol=1e-12)


@pytest.mark.parametrize("name", ["tabular_q", "cluster_bandit_ucb1"])
def test_other_agents_refuse_masks_naming_those_that_take_them(name):
    entry = registry.AGENTS[name]
    with pytest.raises(ValueError, match=r"not take action masks.*SlateDecompQAgent"):
        entry.create(single_env(), seed=0, eval_mode=False)
    if entry.create_vector is not None:
        with pytest.raises(ValueError, match=r"not take action masks.*SlateDecompQAgent"):
            entry.create_vector(vector_env(), seed=0, eval_mode=False)


def test_functions_that_are_not_told_of_masks_are_refused():
    env = vector_env()
    with pytest.raises(ValueError, match="select_slate_fn must be one of select_slate_topk"):
        slate_decomp_q_agent.VectorSlateDecompQAgent(
            env, score_documents_fn=score, reward_field=None, select_slate_fn=print
        )
    with pytest.raises(ValueError, match="compute_target_fn must be one of compute_target_sarsa"):
        slate_decomp_q_agent.VectorSlateDecompQAgent(
            env, score_documents_fn=score, reward_field=None, compute_target_fn=print
        )


def test_scores_are_of_documents_as_they_were_without_masks():
    config = {**CONFIG, "num_candidates": 8}
    plain = interest_evolution.create_vector_environment(config, 3)
    masked = action_masks.with_action_masks(plain, action_masks.CategoriesOfSlots([None] * 3))
    agents = [softmax_agent.create_vector_agent(env) for env in (plain, masked)]
    first, second = (env.reset(seed=0)[0] for env in (plain, masked))
    everything = np.arange(3)[np.newaxis].repeat(3, axis=0)
    known = [
        agent.propensities(observation, everything).slate
        for agent, observation in zip(agents, (first, second))
    ]
    np.testing.assert_allclose(*known)


@pytest.mark.parametrize("name", ["random", "softmax", "LinUCB", "full slates"])
def test_served_agents_heed_the_masks_of_items(name, tmp_path):
    env = vector_env(4)
    agent = VECTOR_AGENTS[name](env)
    agent.save(tmp_path / "agent")
    served = recsim.load_agent(tmp_path / "agent")
    observation, _ = env.reset(seed=4)
    for user in range(4):
        features = {key: array[user] for key, array in observation["doc"].items()}
        slate = served.recommend(user, {"ids": list(range(6)), "features": features})
        assert features["action_mask"][slate, range(3)].all()
    with pytest.raises(ValueError, match="^k must be 3"):
        served.recommend(0, {"ids": list(range(6)), "features": features}, k=2)


@pytest.mark.parametrize("name", ["full slates", "optimal slates"])
def test_slates_chosen_where_users_are_simulated_are_those_chosen_here(name):
    env = vector_env(6, max_steps_per_episode=4)
    agent, other = (VECTOR_AGENTS[name](env, epsilon_fn=lambda *_: 0.5) for _ in range(2))
    observation, _ = env.reset(seed=0)
    slates = agent.begin(observation)
    np.testing.assert_array_equal(other.begin(observation), slates)
    policy = pickle.loads(pickle.dumps(other.rollout_policy()))
    for _ in range(8):
        outcome = env.step(slates)
        slates = agent.step(*outcome)
        other.learn(*outcome)
        ((instruction,),) = other.instructions(1, 0)
        elsewhere = policy.slates(outcome[0], instruction)
        other.recommended(outcome[0], elsewhere)
        np.testing.assert_array_equal(elsewhere, slates)


def test_logs_and_layers_that_know_nothing_of_masks_refuse_them():
    random = random_agent.VectorRandomAgent
    with pytest.raises(ValueError, match="^A log of slates does not take action masks"):
        simulated.collect(vector_env, random, {}, 3, num_steps=1)
    plain = functools.partial(interest_exploration.create_vector_environment, CONFIG)
    log = simulated.collect(plain, random, {}, 3, num_steps=1).log
    env = single_env()
    agent = full_slate_q_agent.FullSlateQAgent(
        None, env.observation_space, env.action_space, **LEARNING
    )
    with pytest.raises(ValueError, match="^A log tells nothing of action masks"):
        agent.learn_from(log, 1)
    with pytest.raises(ValueError, match="^TemporalAggregationLayer does not take action masks"):
        temporal_aggregation.TemporalAggregationLayer(
            random_agent.RandomAgent, env.observation_space, env.action_space
        )


def test_recent_slates_have_the_features_of_documents_and_no_masks():
    layers = [
        registry.create_vector_agent("lin_ucb+recent2", env, seed=0)
        for env in (interest_exploration.create_vector_environment(CONFIG, 5), vector_env())
    ]
    sizes = [layer._base_agents[0].bandit.contexts.adapter.user_size for layer in layers]
    assert sizes[0] == sizes[1]
    env = vector_env()
    slates = layers[1].begin(env.reset(seed=0)[0])
    for _ in range(4):
        slates = layers[1].step(*env.step(slates))
