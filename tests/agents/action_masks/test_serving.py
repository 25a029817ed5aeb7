"""Served agents under action masks."""

from __future__ import annotations

import numpy as np
import pytest

import recsim
from recsim import action_masks
from recsim.agents import greedy_pctr_agent, random_agent, softmax_agent
from recsim.environments import interest_exploration

CONFIG = {"num_candidates": 6, "slate_size": 3, "resample_documents": True, "seed": 3}
IDS = list("abcdef")


def environment():
    page = action_masks.CategoriesOfSlots([0, 1, None], "cluster_id", otherwise="any")
    return action_masks.with_action_masks(interest_exploration.create_environment(CONFIG), page)


def saved(name, told, env, path):
    """Saves an agent that is told of the spaces of documents when it is made, or saved."""
    made = saving = {"observation_space": env.observation_space}
    made, saving = ({}, saving) if told == "when it is saved" else (made, {})
    if name == "random":
        agent = random_agent.RandomAgent(env.action_space)
    elif name == "softmax":
        agent = softmax_agent.SoftmaxAgent(env.action_space, qualities, **made)
    else:
        believed = env.environment.user_model.avg_user_state
        agent = greedy_pctr_agent.GreedyPCTRAgent(env.action_space, believed, **made)
    agent.save(path, **saving)
    given = {"score_documents_fn": qualities} if name == "softmax" else {}
    return recsim.load_agent(path, **given)


def qualities(observation):
    return np.array([document["quality"] for document in observation["doc"].values()])


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("random", "when it is saved"),
        ("softmax", "when it is saved"),
        ("softmax", "when it is made"),
        ("greedy", "when it is saved"),
        ("greedy", "when it is made"),
    ],
)
def test_slates_under_masks_have_the_size_that_they_were_made_for(name, told, tmp_path):
    env = environment()
    served = saved(name, told, env, tmp_path / "agent")
    assert not served.describe()["any_slate_size"]
    documents = list(env.reset()["doc"].values())
    features = {key: [each[key] for each in documents] for key in documents[0]}
    with pytest.raises(ValueError, match="^k must be 3"):
        served.recommend("ann", {"ids": IDS, "features": features}, k=2)
    slate = served.recommend("ann", {"ids": IDS, "features": features})
    for position, item in enumerate(slate):
        assert features["action_mask"][IDS.index(item)][position]


def test_masks_are_refused_by_an_agent_that_would_not_heed_them(tmp_path):
    env = environment()
    random_agent.RandomAgent(env.action_space).save(tmp_path / "agent")
    served = recsim.load_agent(tmp_path / "agent")
    assert served.describe()["any_slate_size"]
    mask = [[1, 0, 1]] * 6
    with pytest.raises(ValueError, match=r"'action_mask', for the agent was saved without.*save\("):
        served.recommend("ann", {"ids": IDS, "features": {"action_mask": mask}})
    assert len(served.recommend("ann", IDS)) == 3
    # In an environment it sees the masks itself, which refuses other slates.
    agent = served.make_agent()
    slate = agent.begin_episode(env.reset())
    for _ in range(20):
        observation, reward, _, _ = env.step(slate)
        slate = agent.step(reward, observation)
