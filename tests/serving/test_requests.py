"""What a served agent is asked: users, items, sizes, batches, scores."""

from __future__ import annotations

import json
import math
import threading

import numpy as np
import pytest
from support.saved_agents import SCENARIOS, create_agent
from support.scenarios import config, make_env, make_vector_env

import recsim
from recsim import registry, serving
from recsim.agents.networks import products
from recsim.serving import Items, User

RNG = np.random.default_rng(0)
USERS = RNG.uniform(-0.2, 0.2, (200, 20))
VIDEOS = RNG.uniform(-0.2, 0.2, (30, 20))
IDS = [f"video {number}" for number in range(30)]
TOPICS = {"cluster_id": [0, 1, 0, 1, 0], "quality": [1.0, 2.0, 3.0, 4.0, 5.0]}
LETTERS = ["a", "b", "c", "d", "e"]


def test_forms_of_users_and_items_are_the_same(served):
    agent = served("slate_topk_sarsa")
    expected = agent.recommend(User(3, USERS[0]), Items(IDS, VIDEOS))
    assert len(expected) == 2
    assert set(expected) <= set(IDS)
    for user in (User(None, USERS[0]), {"id": "x", "features": USERS[0].tolist()}):
        for items in (
            {"ids": IDS, "features": VIDEOS.tolist()},
            Items(np.array(IDS), VIDEOS.astype(np.float32)),
        ):
            assert agent.recommend(user, items) == expected
    assert json.loads(json.dumps(expected)) == expected


def test_ids_are_strings_and_integers_of_python(served):
    agent = served("random")
    slate = agent.recommend(np.int64(3), np.arange(5), 3)
    assert {type(each) for each in slate} == {int}
    slate = agent.recommend(np.str_("u"), np.array(LETTERS), 3)
    assert {type(each) for each in slate} == {str}
    assert json.dumps(slate)


@pytest.mark.parametrize("ids", [list(np.arange(5)), np.arange(5), range(5), list(range(5))])
def test_ids_alone_are_the_items_of_all_users_of_a_batch(ids, served):
    slates = served("random").recommend(["u", "v"], ids, 5)
    assert [sorted(slate) for slate in slates] == [[0, 1, 2, 3, 4]] * 2


@pytest.mark.parametrize("library", ["numpy", "pandas", "polars"])
def test_a_column_of_users_is_a_batch(library, served):
    columns = pytest.importorskip(library)
    make = columns.array if library == "numpy" else columns.Series
    for users in (["u", "v", "u"], [3, 4, 3]):
        agent, other = served("cluster_bandit_ucb1"), served("cluster_bandit_ucb1")
        expected = other.recommend(users, Items(LETTERS, TOPICS))
        assert agent.recommend(make(users), Items(LETTERS, TOPICS)) == expected
        assert agent.user_ids == other.user_ids == users[1:]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_frames_are_features(library, served):
    frames = pytest.importorskip(library)
    agent = served("greedy_pctr")
    features = frames.DataFrame(TOPICS)
    expected = agent.recommend("u", Items(LETTERS, TOPICS), 5)
    assert agent.recommend("u", Items(LETTERS, features), 5) == expected
    videos = frames.DataFrame({f"x{column}": VIDEOS[:, column] for column in range(20)})
    agent = served("slate_topk_sarsa")
    assert agent.recommend(User(features=USERS[0]), Items(IDS, videos)) == agent.recommend(
        User(features=USERS[0]), Items(IDS, VIDEOS)
    )


@pytest.mark.parametrize("name", ["greedy_pctr", "slate_topk_sarsa", "slate_optimal_optimal_q"])
def test_other_sizes_than_it_was_made_for(name, served):
    agent = served(name)
    user = User("u", USERS[0] if "slate" in name else None)
    for number in (5, 30):
        for k in (1, 4, 5):
            items = Items(IDS[:number], VIDEOS[:number])
            if name == "greedy_pctr":
                items = Items(LETTERS, TOPICS)
            slate = agent.recommend(user, items, k)
            assert len(slate) == len(set(slate)) == k
    # A greedy slate is the beginning of a longer one; the best documents come first.
    if name != "slate_optimal_optimal_q":
        assert agent.recommend(user, items, 2) == agent.recommend(user, items, 4)[:2]


def test_tabular_agent_takes_any_number_of_items(served):
    agent = served("tabular_q")
    items = Items(LETTERS, {"cluster_id": [0, 1, 0, 1, 0], "quality": [1.0, 2.0, 3.0, 4.0, 5.0]})
    assert len(agent.recommend("u", items)) == 2


@pytest.mark.parametrize("name", ["slate_topk_sarsa", "full_slate_q", "greedy_pctr"])
def test_a_batch_is_what_each_user_gets(name, served):
    deep = name != "greedy_pctr"
    agent, other = served(name), served(name)
    users = [User(number, USERS[number] if deep else None) for number in range(200)]
    items = Items(IDS[:4], VIDEOS[:4]) if deep else Items(LETTERS, TOPICS)
    together = agent.recommend(users, items)
    assert together == [other.recommend(user, items) for user in users]
    own = [
        Items([f"{number}/{each}" for each in items.ids], items.features) for number in range(200)
    ]
    found = other.recommend(users, own)
    assert [[each.partition("/")[2] for each in slate] for slate in found] == together


def test_a_batch_of_many_items_is_computed_part_by_part(served, monkeypatch):
    agent = served("slate_topk_sarsa")
    users = [User(features=features) for features in USERS[:20]]
    expected = [agent.recommend(user, Items(IDS, VIDEOS)) for user in users]
    number_of_documents = []

    def scratch(name, shape):
        number_of_documents.append(math.prod(shape[:-1]))
        return np.empty(shape, np.float32)

    monkeypatch.setattr(products, "scratch", scratch)
    assert agent.recommend(users, Items(IDS, VIDEOS)) == expected
    assert max(number_of_documents) == 20 * 30
    number_of_documents.clear()
    monkeypatch.setattr(products, "_MOST_DOCUMENTS", 100)
    assert agent.recommend(users, Items(IDS, VIDEOS)) == expected
    assert max(number_of_documents) == 3 * 30


def test_a_batch_explores_as_requests_in_turn_do(tmp_path):
    env = make_env("interest_evolution")
    agent = registry.create_agent("dp_random", env, seed=1, eval_mode=True)
    agent.save(tmp_path / "agent")
    one, other = (recsim.load_agent(tmp_path / "agent") for _ in range(2))
    users, items = [User(features=features) for features in USERS], Items(IDS, VIDEOS)
    together = one.recommend(users, items, 3)
    assert together == [other.recommend(user, items, 3) for user in users]
    assert len(set(map(tuple, together))) > 100


def test_scores_are_those_of_the_items_recommended(served):
    agent = served("slate_topk_sarsa")
    found = agent.recommend(User("u", USERS[0]), Items(IDS, VIDEOS), 3, scores=True)
    assert found.items == agent.recommend(User("u", USERS[0]), Items(IDS, VIDEOS), 3)
    weighted = np.multiply(found.scores["Q-value"], found.scores["choice weight"])
    assert (np.diff(weighted) <= 0).all()
    of_all, of_slate = found.explanation.tables
    assert list(of_all.rows) == IDS
    assert of_slate.rows == [tuple(found.items)]
    place = IDS.index(found.items[0])
    assert of_all.columns["Q-value"][place] == found.scores["Q-value"][0]


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_agent_says_what_it_went_by(name, served):
    agent = served(name)
    topics = SCENARIOS[name] == "interest_exploration"
    features = {key: values[:4] for key, values in TOPICS.items()} if topics else VIDEOS[:4]
    user = User("u", None if topics else USERS[0])
    for _ in range(2):
        found = agent.recommend(user, Items(LETTERS[:4], features), scores=True)
        assert len(found.items) == 2
        assert found.explanation.title
        for table in found.explanation.tables:
            if table.of == "candidate":
                assert set(table.rows) <= set(LETTERS)


def test_description_is_json(served):
    for name in SCENARIOS:
        described = served(name).describe()
        assert json.loads(json.dumps(described, allow_nan=False)) == described
    described = served("cluster_bandit_ts").describe()
    assert described["agent"] == "ClusterClickStatsLayer(ClusterBanditAgent)"
    assert described["item_features"]["cluster_id"] == {
        "shape": [],
        "low": 0,
        "high": 1,
        "whole": True,
    }
    assert described["item_features"]["quality"]["high"] is None
    assert described["response_fields"] == ["click", "cluster_id"]
    assert described["remembers_users"]


def test_threads_get_what_one_gets(served):
    agent, alone = served("history of topics"), served("history of topics")
    items = Items(LETTERS[:4], {key: values[:4] for key, values in TOPICS.items()})
    found: dict[str, list] = {}

    def visit(user, of):
        slates = []
        for _ in range(20):
            slate = of.recommend(user, items)
            of.observe(user, slate, {"click": [1, 0], "quality": [1.0, 1.0]})
            slates.append(slate)
        found[user] = slates

    names = [f"u{number}" for number in range(6)]
    threads = [threading.Thread(target=visit, args=(name, agent)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    together = dict(found)
    for name in names:
        visit(name, alone)
    assert together == found


@pytest.mark.parametrize(
    "name", ["slate_topk_sarsa", "full_slate_q", "greedy_pctr", "softmax", "lin_ucb"]
)
def test_agents_of_users_in_parallel_serve_single_ones(name, tmp_path):
    scenario = SCENARIOS[name]
    env = make_vector_env(scenario, num_envs=5)
    agent = registry.create_vector_agent(name, env, seed=3, eval_mode=True)
    agent.save(tmp_path / "agent")
    served = recsim.load_agent(tmp_path / "agent")
    observation, _ = env.reset(seed=0)
    slates = agent.begin(observation)
    for row in range(5):
        of_row = observation["doc"]
        features = (
            {key: column[row] for key, column in of_row.items()}
            if isinstance(of_row, dict)
            else of_row[row]
        )
        number = config()["num_candidates"]
        slate = served.recommend(
            User(row, observation["user"][row]), Items(list(range(number)), features)
        )
        if name != "softmax":  # It explores by other numbers.
            assert slate == slates[row].tolist()


@pytest.mark.parametrize("name", ["random", "cluster_bandit_ts", "cluster_bandit_ucb1"])
def test_bandits_of_users_in_parallel_serve_new_users(name, tmp_path):
    env = make_vector_env(num_envs=5)
    registry.create_vector_agent(name, env, seed=3).save(tmp_path / "agent")
    create_agent(name, make_env()).save(tmp_path / "of one user")
    served = recsim.load_agent(tmp_path / "agent")
    of_one = recsim.load_agent(tmp_path / "of one user")
    ignored = ("versions", "item_features", "user_features")
    described = [
        {key: value for key, value in each.describe().items() if key not in ignored}
        for each in (served, of_one)
    ]
    assert described[0] == described[1]
    items = Items(LETTERS[:4], {key: values[:4] for key, values in TOPICS.items()})
    for _ in range(5):
        slate = served.recommend("u", items)
        assert len(slate) == 2
        served.observe("u", slate, {"click": [1, 0]})


def test_vector_agents_that_cannot_be_saved_say_so(tmp_path):
    from recsim.agents import greedy_pctr_agent
    from recsim.vector import agent as vector_agent

    env = make_vector_env()

    class First(vector_agent.AbstractVectorAgent):
        def step(self, observation, rewards, terminated, truncated, infos):
            return np.tile(np.arange(2), (self.num_envs, 1))

    with pytest.raises(TypeError, match="First must define single_user_agent"):
        First(env).save(tmp_path / "agent")
    greedy = greedy_pctr_agent.VectorGreedyPCTRAgent(env, lambda documents: documents["quality"])
    with pytest.raises(TypeError, match="must be made with a belief_state"):
        greedy.save(tmp_path / "agent")


def test_an_agent_of_a_file_is_one_for_environments(served):
    env = make_env()
    made = served("cluster_bandit_ucb1").make_agent()
    slate = made.begin_episode(env.reset())
    observation, reward, *_ = env.step(slate)
    assert len(made.step(reward, observation)) == 2


def test_the_agent_itself_is_as_it_was_after_saving(saved, tmp_path):
    env = make_env("interest_evolution")
    agent = registry.create_agent("slate_topk_sarsa", env, seed=0, eval_mode=True)
    observation = env.reset()
    before = agent.bundle_and_checkpoint("", 0)["exploration_rng_state"]
    agent.save(tmp_path / "agent")
    after = agent.bundle_and_checkpoint("", 0)["exploration_rng_state"]
    assert (before["state"]["key"] == after["state"]["key"]).all()
    assert before["state"]["pos"] == after["state"]["pos"]
    assert len(agent.begin_episode(observation)) == 2
    assert isinstance(serving.load_agent(tmp_path / "agent").name, str)
