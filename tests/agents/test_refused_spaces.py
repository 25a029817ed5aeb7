"""Agents that read entries of documents and responses by name refuse spaces without names."""

import types
from collections import OrderedDict

import gymnasium
import numpy as np
import pytest

from recsim._internal.gym_import import spaces
from recsim.agents import (
    adapters,
    cluster_bandit_agent,
    full_slate_q_agent,
    random_agent,
    slate_decomp_q_agent,
    tabular_q_agent,
)
from recsim.agents.layers import cluster_click_statistics, temporal_aggregation

ACTIONS = spaces.MultiDiscrete([3, 3])
UNIT = spaces.Box(0.0, 1.0, (2,), np.float32)
NO_DICTS = {
    "Box": UNIT,
    "Discrete": spaces.Discrete(2),
    "MultiBinary": spaces.MultiBinary(2),
    "MultiDiscrete": spaces.MultiDiscrete([2, 2]),
    "Tuple": spaces.Tuple((spaces.Discrete(2), spaces.Discrete(3))),
}
#: Spaces of all documents or responses of vector environments.
NO_DICTS_OF_MANY = {
    "Box": lambda size: gymnasium.spaces.Box(0.0, 1.0, (size, 2)),
    "Discrete": lambda size: gymnasium.spaces.MultiDiscrete([2] * size),
    "MultiBinary": lambda size: gymnasium.spaces.MultiBinary((size, 2)),
    "MultiDiscrete": lambda size: gymnasium.spaces.MultiDiscrete([[2, 2]] * size),
    "Tuple": lambda size: gymnasium.spaces.Tuple(
        [gymnasium.spaces.MultiDiscrete([2] * size), gymnasium.spaces.MultiBinary(size)]
    ),
}
every_kind = pytest.mark.parametrize("kind", NO_DICTS)


def with_spaces(document=UNIT, response=UNIT):
    documents = OrderedDict((str(i), document) for i in range(3))
    return spaces.Dict(
        {"user": UNIT, "doc": spaces.Dict(documents), "response": spaces.Tuple((response,) * 2)}
    )


def of_many(**entries):
    """Returns a vector environment whose observations have the spaces."""
    environment = types.SimpleNamespace(
        single_observation_space=gymnasium.spaces.Dict(
            {
                "user": gymnasium.spaces.Box(0.0, 1.0, (2,)),
                "doc": NO_DICTS_OF_MANY["Box"](3),
                "response": NO_DICTS_OF_MANY["Box"](2),
                **entries,
            }
        ),
        single_action_space=gymnasium.spaces.MultiDiscrete([3, 3]),
        num_envs=3,
    )
    environment.unwrapped = environment
    return environment


def statistics(observation_space):
    return cluster_click_statistics.ClusterClickStatsLayer(
        lambda *args, **kwargs: random_agent.RandomAgent(ACTIONS), observation_space, ACTIONS
    )


def decomposed(observation_space):
    return slate_decomp_q_agent.SlateDecompQAgent(None, observation_space, ACTIONS)


NAMES_NEEDED = r"What observation_space\['{}'\] holds must be Dict spaces.*got {}"


@every_kind
@pytest.mark.parametrize("create", [decomposed, statistics])
def test_responses_without_names(kind, create):
    shown = NAMES_NEEDED.format("response", kind)
    with pytest.raises(ValueError, match=shown):
        create(with_spaces(response=NO_DICTS[kind]))


@every_kind
@pytest.mark.parametrize(
    "create",
    [
        slate_decomp_q_agent.VectorSlateDecompQAgent,
        lambda environment: cluster_click_statistics.VectorClusterClickStatsLayer(
            random_agent.VectorRandomAgent, environment
        ),
    ],
)
def test_responses_without_names_of_many_users(kind, create):
    with pytest.raises(ValueError, match=NAMES_NEEDED.format("response", kind)):
        create(of_many(response=NO_DICTS_OF_MANY[kind](2)))


@every_kind
def test_documents_without_names(kind):
    with pytest.raises(ValueError, match=NAMES_NEEDED.format("doc", kind)):
        cluster_bandit_agent.ClusterBanditAgent(with_spaces(NO_DICTS[kind]), ACTIONS)
    with pytest.raises(ValueError, match=NAMES_NEEDED.format("doc", kind)):
        cluster_bandit_agent.VectorClusterBanditAgent(of_many(doc=NO_DICTS_OF_MANY[kind](3)))


@every_kind
def test_full_slates_need_no_names(kind):
    # Their values take what is observed of users and documents, and the rewards, as they are.
    agent = full_slate_q_agent.FullSlateQAgent(
        None, with_spaces(NO_DICTS[kind], NO_DICTS[kind]), ACTIONS
    )
    observation = with_spaces(NO_DICTS[kind]).sample()
    assert len(agent.begin_episode({**observation, "response": None})) == 2


@pytest.mark.parametrize(
    "create",
    [
        lambda space: full_slate_q_agent.FullSlateQAgent(None, space, ACTIONS),
        decomposed,
        lambda space: tabular_q_agent.TabularQAgent(space, ACTIONS),
        lambda space: cluster_bandit_agent.ClusterBanditAgent(space, ACTIONS),
        lambda space: temporal_aggregation.TemporalAggregationLayer(
            tabular_q_agent.TabularQAgent, space, ACTIONS
        ),
    ],
)
@pytest.mark.parametrize("documents", [UNIT, NO_DICTS["Tuple"], spaces.Dict({})], ids=str)
def test_documents_that_are_no_dict(create, documents):
    with pytest.raises(TypeError, match=r"observation_space\['doc'\] must be a Dict space with an"):
        create(spaces.Dict({**with_spaces().spaces, "doc": documents}))


@pytest.mark.parametrize("responses", [UNIT, spaces.Dict({"click": UNIT}), spaces.Tuple(())])
@pytest.mark.parametrize("create", [decomposed, statistics])
def test_responses_that_are_no_tuple(create, responses):
    with pytest.raises(TypeError, match=r"observation_space\['response'\] must be a Tuple space"):
        create(spaces.Dict({**with_spaces().spaces, "response": responses}))


@pytest.mark.parametrize("responses", [UNIT, spaces.Tuple((UNIT, UNIT))])
def test_an_adapter_of_responses_needs_names(responses):
    with pytest.raises((TypeError, ValueError), match=r"observation_space\['response'\].* must be"):
        adapters.ResponseAdapter(responses)
