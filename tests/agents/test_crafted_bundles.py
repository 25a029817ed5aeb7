"""Bundles of anybody's: they are restored whole, or refused with the agent as it was."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from support.scenarios import make_env, make_vector_env

from recsim import registry
from recsim.agents import random_agent
from recsim.agents.layers import fixed_length_history, temporal_aggregation
from recsim.simulator import checkpoint
from recsim.vector import wrappers

HOSTILE = [
    None,
    True,
    -1,
    10**5000,
    math.nan,
    "x\x1b[31m",
    b"x",
    [],
    {},
    [1],
    {"a": 1},
    np.zeros((3, 3)),
    np.array(["a"]),
    set(),
    [None],
    {None: None},
]


def over_random(layer, **kwargs):
    def create(env):
        def base(observation_space, action_space, **_):
            return random_agent.RandomAgent(action_space, random_seed=1)

        return layer(base, env.observation_space, env.action_space, **kwargs)

    return create


SINGLE = {
    "temporal": over_random(temporal_aggregation.TemporalAggregationLayer, aggregation_period=3),
    "history": over_random(
        fixed_length_history.FixedLengthHistoryLayer,
        history_length=2,
        remember_user=True,
        remember_response=True,
        remember_doc=True,
    ),
}


def single(name):
    """Returns a function that makes an agent, and the bundle of one that has recommended."""
    env = make_env(resample_documents=False)

    def create():
        return SINGLE[name](env) if name in SINGLE else registry.create_agent(name, env, seed=1)

    agent = create()
    slate = agent.begin_episode(env.reset())
    for _ in range(5):
        observation, reward, *_ = env.step(slate)
        slate = agent.step(reward, observation)
    return create, agent.bundle_and_checkpoint("", 0)


def vector(name):
    """Returns what :func:`single` does, of an agent of several users."""
    env = make_vector_env()

    def create():
        return registry.create_vector_agent(name, env, seed=1)

    agent = create()
    observation, _ = env.reset()
    slates = agent.begin(observation)
    for _ in range(5):
        observation, *outcome = env.step(slates)
        slates = agent.step(observation, *outcome)
    return create, agent.bundle_and_checkpoint("", 0)


def places(tree, path=()):
    """Yields where something is in a tree, but for what is after the second entry of each list."""
    yield path
    if isinstance(tree, dict):
        entries = list(tree.items())[:9]
    elif isinstance(tree, (list, tuple)):
        entries = list(enumerate(tree))[:2]
    else:
        return
    for key, value in entries:
        yield from places(value, (*path, key))


def replaced(tree, path, value):
    if not path:
        return copy.deepcopy(value)
    key, *rest = path
    if isinstance(tree, tuple):
        changed = list(tree)
        changed[key] = replaced(tree[key], rest, value)
        return tuple(changed)
    changed = copy.copy(tree)
    changed[key] = replaced(tree[key], rest, value) if rest else copy.deepcopy(value)
    return changed


def content(tree, folder):
    """Returns the bytes of a checkpoint, which are equal for equal trees."""
    checkpoint.save(folder / "tree", tree)
    return (folder / "tree").read_bytes()


@pytest.mark.parametrize(
    ("made", "name"),
    [
        *(
            (single, name)
            for name in ("random", "tabular_q", "cluster_bandit_ts", "lin_ts_hybrid", *SINGLE)
        ),
        (single, "full_slate_q"),
        (single, "ppo"),
        (single, "wolpertinger"),
        (vector, "sac_topk"),
        (vector, "reinforce"),
        *((vector, name) for name in ("random", "cluster_bandit_ts", "lin_ucb", "full_slate_q")),
    ],
)
def test_a_crafted_bundle_is_restored_whole_or_refused(made, name, tmp_path):
    create, bundle = made(name)
    agent = create()
    before = content(agent.bundle_and_checkpoint("", 0), tmp_path)
    refused = 0
    for place in places(bundle):
        for value in HOSTILE:
            crafted = replaced(bundle, place, value)
            try:
                restored = agent.unbundle("", 0, crafted)
            except ValueError:
                restored = False
            if restored:
                agent = create()
            else:
                refused += 1
                after = content(agent.bundle_and_checkpoint("", 0), tmp_path)
                assert after == before, (place, value)
    assert refused > 30
    assert agent.unbundle("", 0, bundle)
    restored = agent.bundle_and_checkpoint("", 0)
    assert content(restored, tmp_path) == content(bundle, tmp_path)


@pytest.mark.parametrize(
    ("name", "place", "values", "message"),
    [
        (
            "random",
            ("episode_num",),
            [None, math.nan, "x", 1.0, -1, True, np.zeros(2)],
            "an integer",
        ),
        ("random", ("rng_state",), [3, {}, {"state": 1}], "not a state of its generator"),
        ("tabular_q", ("q_value_table",), [[1], 3, "x"], "'q_value_table' must be a dictionary"),
        (
            "tabular_q",
            ("q_value_table", (0, 0)),
            ["x", [1], math.nan, math.inf, None, True, np.zeros(2)],
            r"'q_value_table\[\(0, 0\)\]' must be a finite number",
        ),
        ("tabular_q", ("q_value_table", "x"), [1.0], "must be a dictionary by tuples, got 'x'"),
        ("tabular_q", ("sa_count", (0, 0)), [1.5, -1, "x"], "must be an integer"),
        ("tabular_q", ("exploration_temperature",), [2, -1, None, math.nan], r"in \[0, 1\]"),
        ("tabular_q", ("previous_state_action_index",), [3, [1]], "a tuple or None"),
        ("cluster_bandit_ts", ("sufficient_statistics",), [3, [1], {"a": 1}], "'impression_count'"),
        (
            "cluster_bandit_ts",
            ("sufficient_statistics", "click_count"),
            [3, np.zeros(5), np.array(["a", "b"]), np.array([1.0, math.nan])],
            "must be an array of finite numbers",
        ),
        ("temporal", ("episode",), [3, {"a": 1}], "'episode' must be a dictionary"),
        ("temporal", ("episode", "reward"), ["x", math.nan], "must be a finite number"),
        ("history", ("sufficient_statistics",), [3, [None], [1, 2]], "a list of 2 observations"),
    ],
)
def test_a_bad_entry_is_named(name, place, values, message):
    create, bundle = single(name)
    for value in values:
        with pytest.raises(ValueError, match=message):
            create().unbundle("", 0, replaced(bundle, place, value))


def test_agents_of_users_before_one_that_refuses_are_taken_back(tmp_path):
    create, bundle = single("random")
    env = make_vector_env(num_envs=2)
    agents = wrappers.SingleUserAgents(lambda *_: create(), env)
    before = content(agents.bundle_and_checkpoint("", 0), tmp_path)
    with pytest.raises(ValueError, match="episode_num"):
        agents.unbundle("", 0, {"agents": [bundle, {**bundle, "episode_num": None}]})
    assert content(agents.bundle_and_checkpoint("", 0), tmp_path) == before
    for other in ({"agents": [bundle, {}]}, {"agents": 3}, None):
        assert not agents.unbundle("", 0, other)
        assert content(agents.bundle_and_checkpoint("", 0), tmp_path) == before
    assert agents.unbundle("", 0, {"agents": [bundle, bundle]})
    assert content(agents.bundle_and_checkpoint("", 0), tmp_path) != before
