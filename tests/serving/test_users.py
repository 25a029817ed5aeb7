"""What a served agent remembers of users: by id, bounded, and saved with the agent."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest

import recsim
from recsim import serving
from recsim.serving import Items, User

LETTERS = ["a", "b", "c", "d"]
TOPICS = Items(LETTERS, {"cluster_id": [0, 0, 1, 1], "quality": [1.0, 2.0, 3.0, 4.0]})


def arm(agent, user):
    """Returns the impressions and the clicks of topics that an agent knows of a user."""
    (table,) = agent.recommend(user, TOPICS, scores=True).explanation.tables
    return table.columns["impressions"].tolist(), table.columns["clicks"].tolist()


def test_responses_are_counted_by_user(served):
    agent = served("cluster_bandit_ucb1")
    assert agent.remembers_users
    assert agent.recommend("u", TOPICS) == ["b", "a"]
    agent.observe("u", ["b", "a"], {"click": [1, 0]})
    assert arm(agent, "u") == ([2, 0], [1, 0])
    assert arm(agent, "v") == ([0, 0], [0, 0])
    # Topic 1 was shown less.
    assert agent.recommend("u", TOPICS) == ["d", "c"]
    # Some of a slate, and several times.
    agent.observe("u", ["c"], [{"click": 1}])
    agent.observe("u", ["d"], [{"click": True}])
    assert arm(agent, "u") == ([2, 2], [1, 2])


def test_index_is_that_of_ucb1(served):
    agent = served("cluster_bandit_ucb1")
    agent.recommend("u", TOPICS)
    for slate, clicks in ((["b", "a"], [1, 0]), (["d", "c"], [0, 0]), (["b", "a"], [0, 0])):
        agent.observe("u", Items(slate, features_of(slate)), {"click": clicks})
    (table,) = agent.recommend("u", TOPICS, scores=True).explanation.tables
    expected = [
        1 / 4 + math.sqrt(2 * math.log(6) / 4),
        0 / 2 + math.sqrt(2 * math.log(6) / 2),
    ]
    assert table.columns["index"] == pytest.approx(expected)


def features_of(ids):
    rows = [LETTERS.index(each) for each in ids]
    return {name: [column[row] for row in rows] for name, column in TOPICS.features.items()}


def test_what_responses_lack_is_looked_up_in_the_last_slate_or_the_features(served):
    agent = served("cluster_bandit_ucb1")
    agent.recommend("u", TOPICS)
    agent.observe("u", ["a"], {"click": [1]})
    with pytest.raises(ValueError, match=r"last slate .*\['b', 'a'\], got 'd'"):
        agent.observe("u", ["d"], {"click": [1]})
    agent.observe("u", Items(["d"], features_of(["d"])), {"click": [1]})
    agent.observe("u", ["other"], {"click": [0], "cluster_id": [1]})
    assert arm(agent, "u") == ([1, 2], [1, 1])


def test_a_history_sees_the_responses_to_whole_slates(served):
    agent = served("history of topics")
    slate = agent.recommend("u", TOPICS)
    with pytest.raises(ValueError, match="must be the last slate"):
        agent.observe("u", slate[::-1], {"click": [0, 1], "quality": [1.0, 1.0]})
    with pytest.raises(ValueError, match="must be the last slate"):
        agent.observe("u", slate[:1], {"click": [0], "quality": [1.0]})
    agent.observe("u", slate, {"click": [0, 1], "quality": [1.0, 1.0]})
    with pytest.raises(ValueError, match="one slate at a time.*call recommend before"):
        agent.observe("u", slate, {"click": [0, 1], "quality": [1.0, 1.0]})
    agent.recommend("u", TOPICS)


def test_a_refused_request_changes_nothing(served):
    agent, other = served("history of topics"), served("history of topics")
    for each in (agent, other):
        slate = each.recommend("u", TOPICS)
        each.observe("u", slate, {"click": [0, 1], "quality": [1.0, 1.0]})
    for bad in (Items(LETTERS, {**TOPICS.features, "quality": [1.0, math.nan, 1.0, 1.0]}), LETTERS):
        with pytest.raises(ValueError, match="quality|must be given"):
            agent.recommend("u", bad)
    assert agent.recommend("u", TOPICS) == other.recommend("u", TOPICS)


def test_users_that_were_not_seen_for_longest_are_forgotten(served):
    agent = served("cluster_bandit_ucb1", max_users=3)
    for user in (1, 2, 3):
        agent.recommend(user, TOPICS)
    agent.observe(1, ["b"], {"click": [1]})
    agent.recommend(4, TOPICS)
    assert agent.user_ids == [3, 1, 4]
    with pytest.raises(serving.UnknownUserError, match="got 2"):
        agent.observe(2, ["b"], {"click": [1]})
    assert agent.forget(1)
    assert not agent.forget(User(1))
    assert arm(agent, 1) == ([0, 0], [0, 0])


def test_ids_of_different_types_are_different_users(served):
    agent = served("cluster_bandit_ucb1")
    agent.recommend(1, TOPICS)
    agent.observe(1, ["b"], {"click": [1]})
    agent.recommend("1", TOPICS)
    assert agent.user_ids == [1, "1"]
    assert arm(agent, "1") == ([0, 0], [0, 0])


@pytest.mark.parametrize("name", ["cluster_bandit_ts", "history of topics"])
def test_users_are_saved_with_the_agent(name, served, tmp_path):
    agent = served(name)
    for user in ["u", 2, "drei"]:
        for step in range(3):
            slate = agent.recommend(user, TOPICS)
            if (user, step) != ("drei", 2):
                agent.observe(user, slate, {"click": [step % 2, 0], "quality": [1.0, 2.0]})
    agent.save(tmp_path / "agent")
    again = recsim.load_agent(tmp_path / "agent")
    assert again.user_ids == ["u", 2, "drei"]
    for user in ["u", "drei", 2, "new"]:
        slate = agent.recommend(user, TOPICS)
        assert again.recommend(user, TOPICS) == slate
        for each in (agent, again):
            each.observe(user, slate, {"click": [0, 1], "quality": [1.0, 2.0]})
    few = recsim.load_agent(tmp_path / "agent", max_users=2)
    assert few.user_ids == [2, "drei"]


def test_many_users_are_in_few_arrays(served, tmp_path):
    import zipfile

    agent = served("cluster_bandit_ucb1", max_users=5000)
    agent.recommend(list(range(5000)), TOPICS)
    agent.save(tmp_path / "agent")
    with zipfile.ZipFile(tmp_path / "agent") as archive:
        assert len(archive.namelist()) < 20
    assert (tmp_path / "agent").stat().st_size < 2_000_000
    assert recsim.load_agent(tmp_path / "agent").user_ids == list(range(5000))


def test_nothing_is_remembered_by_agents_that_need_nothing(served):
    agent = served("slate_topk_sarsa")
    assert not agent.remembers_users
    user = User("u", np.zeros(20))
    slate = agent.recommend(user, Items(LETTERS, np.zeros((4, 20))))
    agent.observe("u", slate, {"click": [1, 0]})
    agent.observe("somebody", ["x"], [{"watch_time": 3.0}])
    assert agent.user_ids == []


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda agent: pickle.loads(pickle.dumps(agent))]
)
@pytest.mark.parametrize("name", ["cluster_bandit_ts", "random"])
def test_a_copy_continues_as_the_original_does(name, copied, served):
    agent = served(name)

    def continued(agent):
        slates = []
        for _ in range(20):
            slate = agent.recommend("u", TOPICS, 1)
            agent.observe("u", slate, {"click": [1]})
            slates += slate
        return slates

    continued(agent)
    agent.recommend("v", TOPICS, 3)
    other = copied(agent)
    assert (other.user_ids, other.slate_size) == (agent.user_ids, agent.slate_size)
    assert continued(other) == continued(agent)  # Neither knows of what the other was asked.
    assert agent.forget("v") == other.forget("v") == agent.remembers_users
    assert set(copied(agent).user_ids) == set(agent.user_ids)
