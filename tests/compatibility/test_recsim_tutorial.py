"""The path of RecSim's tutorial on developing an agent: its calls print its values.

The figures are those that the tutorial shows (google-research/recsim, Apache-2.0).
"""

import functools

import numpy as np
import pytest
from support import recorded, recsim_names

from recsim import agent
from recsim.agents.layers import abstract_click_bandit, cluster_click_statistics
from recsim.environments import interest_exploration
from recsim.simulator import runner_lib

# The tutorial prints these of its first documents; the trace, recorded under its config, has all.
PRINTED = {"15": 1.2272016322975663, "21": 2.372569629131807, "29": 2.059365556961282}


class StaticAgent(agent.AbstractEpisodicRecommenderAgent):
    """Written as for RecSim: neither knows of truncated episodes nor takes keyword arguments."""

    def __init__(self, observation_space, action_space):
        super(StaticAgent, self).__init__(action_space)  # noqa: UP008
        self.seen = []

    def step(self, reward, observation):
        self.seen.append(observation)
        return list(range(self._slate_size))


class GreedyClusterAgent(agent.AbstractEpisodicRecommenderAgent):
    def __init__(self, observation_space, action_space, cluster_id, **kwargs):
        super().__init__(action_space)
        self._cluster_id = cluster_id

    def step(self, reward, observation):
        documents = list(observation["doc"].values())
        mine = [i for i, doc in enumerate(documents) if doc["cluster_id"] == self._cluster_id]
        qualities = [documents[i]["quality"] for i in mine]
        return list(np.array(mine, dtype=int)[np.argsort(qualities)[::-1]])


@pytest.fixture
def env():
    return interest_exploration.create_environment(
        {"slate_size": 2, "seed": 0, "num_candidates": 15, "resample_documents": True}
    )


def features(observation):
    """Returns (quality, topic) of each document, the quality to the figures that were printed."""
    documents = observation["doc"].values()
    return [(round(float(doc["quality"]), 12), doc["cluster_id"]) for doc in documents]


def rounded(documents):
    return [(round(quality, 12), topic) for quality, topic in documents]


@pytest.mark.parametrize("with_matplotlib", [False, True])
def test_the_tutorials_values(env, tmp_path, with_matplotlib):
    if with_matplotlib:
        pytest.importorskip("matplotlib.pyplot")
    first = env.reset()
    assert list(first["doc"]) == [str(number) for number in range(15, 30)]
    first_trace = recorded("agents_interest_exploration")["traces"][0]
    assert features(first) == rounded(
        (doc["quality"], doc["cluster_id"])
        for doc in first_trace["first_observation"]["doc"].values()
    )
    for doc_id, quality in PRINTED.items():
        assert float(first["doc"][doc_id]["quality"]) == pytest.approx(quality, rel=1e-12)
    assert (first["user"].tolist(), first["response"]) == ([], None)

    spaces = env.observation_space
    assert str(spaces["doc"]["15"]) == (
        "Dict('cluster_id': Discrete(2), 'quality': Box(0.0, inf, (), float32))"
    )
    assert list(spaces["doc"].spaces) == list(first["doc"])
    assert str(spaces["response"][1]) == (
        "Dict('click': Discrete(2), 'cluster_id': Discrete(2), "
        "'quality': Box(0.0, inf, (), float32))"
    )
    assert spaces["user"].shape == (0,)
    assert str(env.action_space) == "MultiDiscrete([15 15])"

    observation, reward, done, _ = env.step([0, 1])
    assert (reward, done) == (0.0, False)
    assert list(observation["doc"]) == [str(number) for number in range(30, 45)]
    assert [features(observation)[0], features(observation)[14]] == rounded(
        [(2.489224450301943, 0), (1.33980633202097, 1)]
    )
    assert [
        (response["click"], float(response["quality"]), response["cluster_id"])
        for response in observation["response"]
    ] == [(0, pytest.approx(1.2272016322975663), 1), (0, pytest.approx(1.2925848895378007), 1)]

    runner = runner_lib.EvalRunner(
        base_dir=str(tmp_path),
        create_agent_fn=lambda sess, environment, eval_mode, summary_writer=None: StaticAgent(
            environment.observation_space, environment.action_space
        ),
        env=env,
        max_eval_episodes=1,
        max_steps_per_episode=5,
        test_mode=True,
    )

    layer = cluster_click_statistics.ClusterClickStatsLayer(
        StaticAgent, env.observation_space, env.action_space
    )
    assert layer.step(reward, observation) == [0, 1]
    (seen,) = recsim_names.base_agent(layer).seen
    assert seen["user"]["raw_observation"].tolist() == []
    statistics = seen["user"]["sufficient_statistics"]
    assert str(statistics["impression_count"]) == "[0 2]"
    assert str(statistics["click_count"]) == "[0 0]"

    num_topics = env.observation_space.spaces["doc"].spaces["30"].spaces["cluster_id"].n
    bandit = cluster_click_statistics.ClusterClickStatsLayer(
        functools.partial(
            abstract_click_bandit.AbstractClickBanditLayer,
            arm_base_agent_ctors=[
                functools.partial(GreedyClusterAgent, cluster_id=topic)
                for topic in range(num_topics)
            ],
        ),
        env.observation_space,
        env.action_space,
    )
    observation0 = env.reset()
    slate = bandit.begin_episode(observation0)
    assert [features(observation0)[position] for position in slate] == rounded(
        [(1.4686875120276195, 1), (1.4226918183479484, 1)]
    )

    runner.run_experiment()
    assert len(recsim_names.agent_of(runner).seen) == 5
    assert (tmp_path / "eval_1" / "returns_0").exists()
