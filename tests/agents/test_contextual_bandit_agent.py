"""Contextual bandit agents: contexts, what is learned, both engines, returns, state, bad input."""

from __future__ import annotations

import copy

import gin
import numpy as np
import pytest
from support import scenarios
from support.fitted_scenarios import made_up

from recsim import registry, serving, testing
from recsim import spaces as spaces_lib
from recsim._internal.gym_import import spaces
from recsim.agents.bandits import linear_algorithms, logistic_algorithms
from recsim.agents.contextual_bandit_agent import (
    ContextualBanditAgent,
    VectorContextualBanditAgent,
)
from recsim.environments import fitted
from recsim.simulator import rollout

NAMES = [
    name
    for name, entry in registry.AGENTS.items()
    if entry.modules == ("recsim.agents.contextual_bandit_agent",)
]
UNIT = spaces.Box(0.0, 1.0, (2,), np.float32)
DOCUMENT = spaces.Dict({"topic": spaces.Discrete(3), "quality": spaces.Box(0.0, 1.0, ())})
CLICK = spaces.Dict({"click": spaces.Discrete(2), "minutes": spaces.Box(0.0, 9.0, ())})
#: Two features of the user, (topic, quality) of three documents.
USER = [0.5, 2.0]
DOCUMENTS = [(0, 0.25), (2, 0.75), (1, 1.0)]


def space_of(document=DOCUMENT, user=UNIT, response=CLICK, num_documents=3, slate_size=3):
    return spaces.Dict(
        {
            "user": user,
            "doc": spaces.Dict({str(i): document for i in range(num_documents)}),
            "response": spaces.Tuple((response,) * slate_size),
        }
    )


def agent_of(*, slate_size=3, space=None, **settings):
    space = space_of(slate_size=slate_size) if space is None else space
    actions = spaces.MultiDiscrete([len(space["doc"].spaces)] * slate_size)
    return ContextualBanditAgent(space, actions, **settings)


def observed(clicks=None, minutes=None, documents=DOCUMENTS, user=USER):
    """Returns an observation, with responses if there are clicks."""
    responses = None
    if clicks is not None:
        minutes = [0.0] * len(clicks) if minutes is None else minutes
        responses = tuple({"click": c, "minutes": m} for c, m in zip(clicks, minutes, strict=True))
    return {
        "user": np.array(user, np.float32),
        "doc": {
            str(i): {"topic": topic, "quality": np.float32(quality)}
            for i, (topic, quality) in enumerate(documents)
        },
        "response": responses,
    }


def features(row):
    """Returns the features of a document: its quality, then the indicators of its topic."""
    topic, quality = DOCUMENTS[row]
    return [quality, *(float(topic == each) for each in range(3))]


def context(row, interaction="outer"):
    of_both = {
        "outer": [u * d for u in USER for d in features(row)],
        "none": [],
    }[interaction]
    return [1.0, *USER, *features(row), *of_both]


@pytest.mark.parametrize("interaction", ["outer", "none"])
def test_contexts(interaction):
    contexts = agent_of(interaction=interaction).bandit.contexts
    user, documents = contexts.adapter.features(observed())
    found = contexts.of(user[np.newaxis], documents[np.newaxis])[0]
    np.testing.assert_allclose(found, [context(row, interaction) for row in range(3)])
    assert contexts.size == found.shape[1]
    arms = agent_of(weights="disjoint").bandit.contexts.arms_of(documents[np.newaxis])
    assert arms.tolist() == [[0, 2, 1]]


def test_products_of_equally_many_features():
    space = space_of(document=UNIT)
    contexts = agent_of(space=space).bandit.contexts
    user, document = np.array([[0.5, 2.0]]), np.array([[[3.0, 0.25]]])
    assert contexts.of(user, document).tolist() == [[[1, 0.5, 2, 3, 0.25, 1.5, 0.5]]]
    # A vector's largest feature is its topic.
    contexts = agent_of(space=space, weights="hybrid").bandit.contexts
    assert contexts.arms_of(np.array([[[3.0, 0.25], [0.0, 1.0]]])).tolist() == [[0, 1]]
    assert agent_of(space=space, weights="disjoint").bandit.contexts.interaction == "none"


LOOKED_AT = {
    # Clicks by position: positions learned from.
    ("slate", (0, 1, 0)): [0, 1, 2],
    ("first_click", (0, 1, 1)): [0, 1],
    ("first_click", (1, 0, 1)): [0],
    ("first_click", (0, 0, 0)): [0, 1, 2],
    ("last_click", (1, 0, 0)): [0],
    ("last_click", (1, 1, 0)): [0, 1],
    ("last_click", (0, 0, 0)): [0, 1, 2],
}


@pytest.mark.parametrize(("learn_from", "clicks"), LOOKED_AT)
@pytest.mark.parametrize("reward_field", ["click", "minutes"])
@pytest.mark.parametrize("ends", [False, True])
def test_learning_from_a_slate(learn_from, clicks, reward_field, ends):
    agent = agent_of(
        learn_from=learn_from, reward_field=reward_field, ridge=2.0, explore="thompson"
    )
    slate = agent.begin_episode(observed())
    minutes = [3.0, 5.0, 7.0]
    after = observed(clicks, minutes)
    agent.end_episode(1.0, after) if ends else agent.step(1.0, after)
    places = LOOKED_AT[learn_from, clicks]
    worth = minutes if reward_field == "minutes" else [1.0] * 3
    model = linear_algorithms.LinearModels(len(context(0)), ridge=2.0)
    model.update(
        [context(slate[place]) for place in places],
        [clicks[place] * worth[place] for place in places],
    )
    learned = agent.state_dict()["model"]
    np.testing.assert_allclose(learned["precision"], model.precision, rtol=1e-6)
    np.testing.assert_allclose(learned["moments"], model.moments, rtol=1e-6)
    assert agent.num_updates == 1


def one_user(observation, row):
    """Returns a user's observation of interest evolution as the single-user engine has it."""
    responses = observation["response"]
    return {
        "user": observation["user"][row],
        "doc": {str(i): document for i, document in enumerate(observation["doc"][row])},
        "response": tuple(
            {name: array[row, place] for name, array in responses.items()}
            for place in range(responses["click"].shape[1])
        ),
    }


@pytest.mark.parametrize("weights", ["shared", "disjoint", "hybrid"])
def test_users_in_parallel_are_learned_from_as_one_by_one(weights):
    """What a step of 40 users adds to the sums is what single-user agents learn from each."""
    env = scenarios.make_vector_env("interest_evolution", 40)
    agent = VectorContextualBanditAgent(env, weights=weights)
    first, _ = env.reset(seed=1)
    slates = agent.begin(first)
    new = agent.state_dict()["model"]
    observation, *outcome = env.step(slates)
    agent.step(observation, *outcome)
    total = copy.deepcopy(new)
    for row in range(40):
        single = VectorContextualBanditAgent(env, weights=weights).single_user_agent()
        trained = ContextualBanditAgent(
            spaces_lib.single_user_space(env.single_observation_space),
            env.single_action_space,
            weights=weights,
        )
        trained.load_state_dict(single.state_dict())
        assert list(trained.begin_episode(one_user(first, row))) == list(slates[row])
        trained.step(0.0, one_user(observation, row))
        learned = trained.state_dict()["model"]
        for name in ("precision", "moments", "shared_precision", "cross", "shared_moments"):
            if name in total:
                total[name] += learned[name] - new[name]
    found = agent.state_dict()["model"]
    for name in ("precision", "moments", "shared_precision", "cross", "shared_moments"):
        if name in found:
            np.testing.assert_allclose(found[name], total[name], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_users_get_the_same_slates_whoever_is_beside_them(name):
    def slates(num_envs, first_user):
        env = registry.create_vector_environment(
            "interest_evolution", scenarios.config(), num_envs, first_user=first_user
        )
        settings = registry.create_vector_agent(name, env).bandit.settings
        agent = VectorContextualBanditAgent(
            env,
            settings.explore,
            model=settings.model,
            weights=settings.weights,
            exploration_eval=0.5,
            eval_mode=True,
        )
        observation, _ = env.reset(seed=4)
        shown = [agent.begin(observation)]
        for _ in range(3):
            shown.append(agent.step(*env.step(shown[-1])))
        return np.array(shown)

    np.testing.assert_array_equal(slates(9, 0)[:, 5:8], slates(3, 5))


def returns(name, scenario, num_steps, num_users=1000):
    """Returns those of users in one episode each, after a training of 256 users."""
    config = scenarios.config(num_candidates=10, slate_size=3, resample_documents=True)
    env = registry.create_vector_environment(scenario, config, 256)
    agent = registry.create_vector_agent(name, env, seed=1, eval_mode=False)
    rollout.VectorRollout(env, agent, (), follows_episodes=False).run_steps(num_steps, seed=1)
    env = registry.create_vector_environment(scenario, config, num_users)
    served = registry.create_vector_agent(name, env, seed=1, eval_mode=True)
    served.load_state_dict(agent.state_dict())
    observation, _ = env.reset(seed=2)
    total, under_way = np.zeros(num_users), np.ones(num_users, bool)
    slates = served.begin(observation)
    while under_way.any():
        observation, rewards, terminated, truncated, infos = env.step(slates)
        total += rewards * under_way
        under_way &= ~(terminated | truncated)
        slates = served.step(observation, rewards, terminated, truncated, infos)
    return total


def interval(total):
    """Returns the ends of a 99.9% confidence interval of the mean."""
    error = 3.29 * total.std() / len(total) ** 0.5
    return total.mean() - error, total.mean() + error


@pytest.fixture(scope="module")
def random_returns():
    return {
        scenario: returns("random", scenario, 1)
        for scenario in ("interest_evolution", "topic_boredom")
    }


@pytest.mark.parametrize(
    ("name", "scenario"),
    [
        ("lin_ucb", "interest_evolution"),
        ("lin_ts_hybrid", "interest_evolution"),
        ("logistic_ts", "interest_evolution"),
        ("epsilon_greedy", "interest_evolution"),
        ("lin_ucb", "topic_boredom"),
        ("lin_ts_disjoint", "topic_boredom"),
        ("epsilon_greedy_logistic", "topic_boredom"),
    ],
)
def test_it_is_better_than_random(name, scenario, random_returns):
    """Intervals are apart after 8,000 steps of users."""
    low, _ = interval(returns(name, scenario, 30))
    _, high = interval(random_returns[scenario])
    assert low > high


@pytest.mark.parametrize("name", ["lin_ucb", "lin_ts_disjoint", "lin_ucb_hybrid", "logistic_ts"])
def test_it_learns_in_a_fitted_scenario(name):
    """A third more clicks than at random after 8,000 steps of users, features of items known."""
    config = {**scenarios.config(num_candidates=8, slate_size=3), "fitted": made_up()}

    def clicks(agent, env):
        observation, _ = env.reset(seed=5)
        slates, total = agent.begin(observation), 0.0
        for _ in range(30):
            observation, *outcome = env.step(slates)
            total += float(observation["response"]["click"].mean())
            slates = agent.step(observation, *outcome)
        return total

    env = fitted.create_vector_environment(config, 256)
    agent = registry.create_vector_agent(name, env, seed=1, eval_mode=False)
    clicks(agent, env)
    served = registry.create_vector_agent(name, env, seed=1, eval_mode=True)
    served.load_state_dict(agent.state_dict())
    assert clicks(served, env) > 1.33 * clicks(registry.create_vector_agent("random", env), env)
    testing.check_agent(
        lambda: fitted.create_environment(config),
        lambda single: registry.create_agent(name, single, seed=1),
        num_steps=30,
    )


@pytest.mark.parametrize("name", NAMES)
def test_resuming_users_in_parallel(name):
    def made(seed):
        env = scenarios.make_vector_env("topic_boredom", 7, env_config=scenarios.config())
        return env, registry.create_vector_agent(name, env, seed=seed, eval_mode=False)

    (env, agent), (other_env, other) = made(3), made(3)
    slates = agent.begin(env.reset(seed=1)[0])
    for _ in range(6):
        slates = agent.step(*env.step(slates))
    state, of_env = copy.deepcopy(agent.state_dict()), copy.deepcopy(env.state_dict())
    other_env.reset(seed=2)
    other.load_state_dict(state)
    other_env.load_state_dict(of_env)
    again = slates
    for _ in range(6):
        slates, again = agent.step(*env.step(slates)), other.step(*other_env.step(again))
        np.testing.assert_array_equal(slates, again)
    for one, two in zip(agent.state_dict()["model"].values(), other.state_dict()["model"].values()):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("name", NAMES)
def test_serving_what_users_in_parallel_taught(name, tmp_path):
    env = scenarios.make_vector_env("interest_evolution", 30)
    agent = registry.create_vector_agent(name, env, eval_mode=False)
    slates = agent.begin(env.reset(seed=1)[0])
    for _ in range(5):
        slates = agent.step(*env.step(slates))
    agent.save(tmp_path / "agent")
    served = serving.load_agent(tmp_path / "agent")
    evaluated = registry.create_vector_agent(name, env, eval_mode=True)
    evaluated.load_state_dict(agent.state_dict())
    observation, _ = env.reset(seed=5)
    best = evaluated.begin(observation)
    for row in range(5):
        user = serving.User(row, observation["user"][row])
        documents = serving.Items(
            list(range(len(observation["doc"][row]))), observation["doc"][row]
        )
        assert served.recommend(user, documents) == best[row].tolist()


@pytest.mark.parametrize("name", NAMES)
def test_explanations_say_why(name):
    env = scenarios.make_env("interest_evolution", num_candidates=6, slate_size=2)
    agent = registry.create_agent(name, env, seed=1, eval_mode=False)
    observation = env.reset()
    slate, explored = agent.begin_episode(observation), 0
    for _ in range(12):
        observation, reward, _, _ = env.step(slate)
        slate = agent.step(reward, observation)
        found = agent.explain(observation)
        columns = found.tables[0].columns
        means, deviations = list(columns.values())[:2]
        assert (deviations > 0).all() and found.numbers["updates"] == agent.num_updates
        if "upper bound" in columns:
            np.testing.assert_allclose(columns["upper bound"], means + deviations)
        by = columns.get("upper bound", columns.get("sampled", means))
        best = np.argsort(-by, kind="stable")[:2].tolist() == list(slate)
        assert best or found.numbers.get("probability of a random slate") == 0.1
        explored += not best
    assert explored < 6


def test_thompson_sampling_estimates_its_propensities():
    """What is estimated of two users is how often 10,000 users like each of them get it."""
    env, crowd = (scenarios.make_vector_env("interest_evolution", num) for num in (2, 20_000))
    agent = VectorContextualBanditAgent(env, "thompson", propensity_samples=5000)
    observation, _ = env.reset(seed=3)
    alike = {
        "user": np.tile(observation["user"], (10_000, 1)),
        "doc": np.tile(observation["doc"], (10_000, 1, 1)),
    }
    shown = VectorContextualBanditAgent(crowd, "thompson").begin(alike)
    slates = agent.begin(observation)
    known = agent.propensities(observation, slates)
    assert known.slate is None and known.num_samples == 5000
    frequencies = [(shown[row::2] == slates[row]).mean(axis=0) for row in (0, 1)]
    # Four standard errors of the two estimates' difference, at most.
    np.testing.assert_allclose(known.items, frequencies, atol=4 * (0.25 / 5000 + 0.25 / 1e4) ** 0.5)
    without = VectorContextualBanditAgent(env, "thompson")
    without.begin(observation)
    assert without.propensities(observation, slates) is None
    greedy = VectorContextualBanditAgent(env, "thompson", eval_mode=True)
    assert (greedy.propensities(observation, greedy.begin(observation)).slate == 1.0).all()


def test_gin_binds_both_engines():
    with gin.unlock_config():
        gin.parse_config(["ContextualBanditAgent.ridge = 3.0"])
        gin.bind_parameter("VectorContextualBanditAgent.exploration", 0.25)
    try:
        env = scenarios.make_vector_env("interest_evolution", 2)
        settings = registry.create_vector_agent("lin_ucb", env).bandit.settings
        assert (settings.ridge, settings.exploration) == (3.0, 0.25)
        assert agent_of().bandit.settings.ridge == 3.0
        assert agent_of().bandit.settings.exploration == 1.0
    finally:
        gin.clear_config()


def test_the_models_are_those_of_the_settings():
    env = scenarios.make_env("topic_boredom")
    of_model = {
        "lin_ucb": linear_algorithms.LinearModels,
        "lin_ts_disjoint": linear_algorithms.LinearModels,
        "lin_ts_hybrid": linear_algorithms.HybridModel,
        "logistic_ts": logistic_algorithms.LogisticModels,
    }
    for name, kind in of_model.items():
        names = set(registry.create_agent(name, env).state_dict()["model"])
        assert names == set(kind(*{"lin_ts_hybrid": (2, 1, 1)}.get(name, (1,))).state_dict())


def refused_state(**changes):
    agent, other = agent_of(), agent_of()
    agent.begin_episode(observed())
    agent.step(0.0, observed((0, 1, 0)))
    state = copy.deepcopy(agent.state_dict())
    for key, value in changes.items():
        (state["model"] if key in state["model"] else state)[key] = value
    before = other.state_dict()
    try:
        other.load_state_dict(state)
    finally:
        after = other.state_dict()
        for name, array in before["model"].items():
            np.testing.assert_array_equal(after["model"][name], array)


def stepped(agent, *args, **kwargs):
    agent.begin_episode(observed())
    agent.step(0.0, observed(*args, **kwargs))


def not_begun():
    agent_of().step(0.0, observed((0, 0, 0)))


def vector_not_begun():
    env = scenarios.make_vector_env("interest_evolution", 2)
    observation, _ = env.reset(seed=0)
    nobody = np.zeros(2, bool)
    VectorContextualBanditAgent(env).step(observation, np.zeros(2), nobody, nobody, {})


WIDE = spaces.Dict({"topic": spaces.Discrete(3), "quality": spaces.Box(0.0, 1.0, (2,))})
BAD = {
    "an unknown way to explore": (
        lambda: agent_of(explore="thomson"),
        ValueError,
        "explore must be one of 'ucb', 'thompson', 'epsilon_greedy', got 'thomson'. Did you mean "
        "'thompson'",
    ),
    "hybrid logistic weights": (
        lambda: agent_of(model="logistic", weights="hybrid"),
        ValueError,
        "weights must be 'shared' or 'disjoint' for model='logistic'",
    ),
    "a diagonal of a linear model": (
        lambda: agent_of(diagonal=True),
        ValueError,
        "diagonal must be False for model='linear'",
    ),
    "an arm without arms": (
        lambda: agent_of(arm_field="topic"),
        ValueError,
        "arm_field must be None for weights='shared'",
    ),
    "an unknown arm": (
        lambda: agent_of(weights="disjoint", arm_field="topics"),
        ValueError,
        r"arm_field must name a Discrete entry.*\['topic'\], got 'topics'. Did you mean 'topic'",
    ),
    "documents without arms": (
        lambda: agent_of(
            weights="disjoint",
            space=space_of(document=spaces.Dict({"quality": spaces.Box(0.0, 1.0, ())})),
        ),
        ValueError,
        "need a Discrete entry of the documents",
    ),
    "products of unequal sizes": (
        lambda: agent_of(interaction="product"),
        ValueError,
        "interaction='product' takes equally many features of users and of documents, got 2 and 4",
    ),
    "a probability above 1": (
        lambda: agent_of(explore="epsilon_greedy", exploration=1.5),
        ValueError,
        r"exploration must be a probability in \[0, 1\], got 1.5",
    ),
    "samples for exact propensities": (
        lambda: agent_of(propensity_samples=10),
        ValueError,
        "propensity_samples must be None",
    ),
    "rewards that are not probabilities": (
        lambda: agent_of(model="logistic", reward_field="minutes"),
        ValueError,
        r"reward_field must name numbers in \[0, 1\] for model='logistic'",
    ),
    "an unknown reward": (
        lambda: agent_of(reward_field="minute"),
        ValueError,
        "must have the reward_field 'minute'.*Did you mean 'minutes'",
    ),
    "responses without clicks": (
        lambda: agent_of(space=space_of(response=spaces.Dict({"liked": spaces.Discrete(2)}))),
        ValueError,
        "must have the key 'click'",
    ),
    "a catalogue smaller than a slate": (
        lambda: agent_of(space=space_of(num_documents=2)),
        ValueError,
        "slates of 3, but observation_space\\['doc'\\] has only 2 documents",
    ),
    "fewer documents than a slate": (
        lambda: agent_of().begin_episode(observed(documents=DOCUMENTS[:2])),
        ValueError,
        "slate_size must be at most the number of documents, got a slate of 3 and 2 documents",
    ),
    "a user of more features": (
        lambda: agent_of().begin_episode(observed(user=[1.0, 2.0, 3.0])),
        ValueError,
        r"observation\['user'\] does not fit the space",
    ),
    "documents of more features": (
        lambda: agent_of(space=space_of(document=WIDE)).begin_episode(observed()),
        ValueError,
        r"observation\['doc'\] does not fit the space",
    ),
    "an unknown topic": (
        lambda: agent_of().begin_episode(observed(documents=[(3, 0.5)] * 3)),
        ValueError,
        r"observation\['doc'\] does not fit the space",
    ),
    "a feature that is not finite": (
        lambda: agent_of().begin_episode(observed(user=[np.nan, 1.0])),
        ValueError,
        r"observation\['user'\] must hold finite numbers",
    ),
    "a reward that is not finite": (
        lambda: stepped(agent_of(reward_field="minutes"), (1, 0, 0), (np.inf, 0.0, 0.0)),
        ValueError,
        "a response's minutes must be a finite number",
    ),
    "fewer responses": (
        lambda: stepped(agent_of(), (1, 0)),
        ValueError,
        "a response to each of the 3 documents",
    ),
    "an episode that was not begun": (not_begun, RuntimeError, "begin_episode"),
    "episodes that were not begun": (vector_not_begun, RuntimeError, "begin"),
    "a state without a model": (
        lambda: refused_state(model=None),
        ValueError,
        "'model' must be a dictionary",
    ),
    "a state of other sizes": (
        lambda: refused_state(weights=np.zeros((1, 3))),
        ValueError,
        "'weights' must be an array",
    ),
    "an inverse that is none": (
        lambda: refused_state(inverse=-np.eye(15)[np.newaxis]),
        ValueError,
        "'inverse' must be positive definite",
    ),
    "a state of another agent": (
        lambda: refused_state(description={"model": "logistic"}),
        ValueError,
        "of another agent or of other spaces",
    ),
    "a last slate of other sizes": (
        lambda: refused_state(last=(np.zeros(3), np.zeros((3, 4)))),
        ValueError,
        "'last' must be an array",
    ),
    "an unknown argument": (
        lambda: VectorContextualBanditAgent(
            scenarios.make_vector_env("interest_evolution", 2), ridges=2.0
        ),
        TypeError,
        "no parameter 'ridges'. Did you mean 'ridge'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    call, error, message = BAD[case]
    with pytest.raises(error, match=message):
        call()
