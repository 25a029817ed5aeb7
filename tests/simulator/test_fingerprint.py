"""Fingerprints: equal where a state fits, different where it does not, whatever the names say."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.scenarios import CONFIG, MODULES

from recsim import registry
from recsim import spaces as recsim_spaces
from recsim._internal.gym_import import spaces
from recsim.environments import interest_evolution, interest_exploration
from recsim.simulator import checkpoint, fingerprint, recsim_gym
from recsim.simulator import environment as environment_lib


def make(environment, agent, vector=False, **kwargs):
    if vector:
        env = registry.create_vector_environment(environment, CONFIG, 3)
        return env, registry.create_vector_agent(agent, env, seed=1, **kwargs)
    env = registry.create_environment(environment, CONFIG)
    return env, registry.create_agent(agent, env, seed=1, **kwargs)


def learners(environment, agent, vector):
    """Returns what is the same for strategies that differ in numbers alone."""
    agent = "slate_greedy_sarsa" if agent == "dp_random" else agent.removeprefix("myopic_")
    return environment, agent, vector


def pairs():
    for environment in registry.ENVIRONMENTS:
        for agent in registry.AGENTS:
            for vector in (False, True):
                try:
                    env, made = make(environment, agent, vector)
                except ValueError:  # It does not fit, or has no vector form.
                    continue
                yield (environment, agent, vector), fingerprint.fingerprint(env, made).data()


def test_all_scenarios_and_agents_differ_and_equal_ones_are_equal():
    first, second = dict(pairs()), dict(pairs())
    assert first == second
    assert len({data["sha256"] for data in first.values()}) == len(first) > 40
    for one, data in first.items():
        assert json.loads(json.dumps(data, allow_nan=False)) == data
        for other, other_data in first.items():
            state = fingerprint.differences(data, other_data).state
            assert bool(state) == (learners(*one) != learners(*other)), (one, other, state)


def test_an_evaluation_takes_the_agent_of_the_other_engine_and_no_other():
    found = dict(pairs())
    for (environment, agent, vector), data in found.items():
        for (other_environment, other_agent, _), other_data in found.items():
            if vector or environment != other_environment:
                continue
            state = fingerprint.differences(data, other_data, evaluation=True).state
            of_both = [learners("", name, False)[1] for name in (agent, other_agent)]
            if of_both[0] == of_both[1]:
                assert state == []
            elif not all(name.startswith("slate_") for name in of_both):  # One class, two modes.
                assert state, (agent, other_agent)


def test_a_moved_module_and_another_seed_are_no_difference():
    class IEUserModel(interest_exploration.IEUserModel):
        pass

    env, agent = make("interest_exploration", "cluster_bandit_ts")
    other = registry.create_environment("interest_exploration", {**CONFIG, "seed": 77})
    other.environment.user_model.__class__ = IEUserModel
    assert fingerprint.of_scenario(env) == fingerprint.of_scenario(other)
    other_agent = registry.create_agent("cluster_bandit_ts", env, seed=5)
    assert fingerprint.of_agent(agent) == fingerprint.of_agent(other_agent)


def test_a_scenario_is_the_same_after_it_was_stepped():
    for module in MODULES.values():
        env = module.create_environment(CONFIG)
        before = fingerprint.of_scenario(env)
        env.reset()
        for _ in range(5):
            env.step([0, 1])
        assert fingerprint.of_scenario(env) == before


def test_settings_of_a_scenario_are_apart_from_what_shapes_its_state():
    env, agent = make("interest_exploration", "random")
    sampler = interest_exploration.IETopicDocumentSampler(
        seed=4, topic_distribution=(0.5, 0.5), topic_quality_mean=(0.8, 0.2)
    )
    other, _ = make("interest_exploration", "random")
    single_user = environment_lib.SingleUserEnvironment(
        other.environment.user_model, sampler, CONFIG["num_candidates"], CONFIG["slate_size"]
    )
    other = recsim_gym.RecSimGymEnv(single_user, interest_exploration.total_clicks_reward)
    there, here = (fingerprint.fingerprint(one, agent).data() for one in (env, other))
    different = fingerprint.differences(there, here)
    assert different.state == []
    assert "document sampler.topic dist was [0.2, 0.8] and is [0.5, 0.5]" in different.settings
    assert there["sha256"] != here["sha256"]


def test_settings_of_agents_reach_their_fingerprint():
    env, _ = make("interest_exploration", "random")
    from recsim.agents import cluster_bandit_agent
    from recsim.agents.layers import cluster_click_statistics

    def layer(**kwargs):
        return cluster_click_statistics.ClusterClickStatsLayer(
            cluster_bandit_agent.ClusterBanditAgent,
            env.observation_space,
            env.action_space,
            **kwargs,
        )

    one, other = (fingerprint.fingerprint(env, layer(ci_scaling=c)).data() for c in (1.0, 2.0))
    different = fingerprint.differences(one, other)
    assert different.state == []
    assert "agent agents[0].bandit.optimism scaling was 1.0 and is 2.0" in different.settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_units": (8,)}, "agent networks network"),
        ({"optimizer_name": "adam"}, "agent modes optimizer name was rmsprop and is adam"),
        ({"update_horizon": 3}, "agent modes update horizon was 1 and is 3"),
        ({"gamma": 0.5}, None),
        ({"loss": "huber"}, None),
    ],
)
def test_networks_and_modes_of_deep_agents(settings, message):
    from recsim.agents import slate_decomp_q_agent

    env = interest_evolution.create_environment(CONFIG)

    def agent(**kwargs):
        return slate_decomp_q_agent.SlateDecompQAgent(
            None, env.observation_space, env.action_space, **kwargs
        )

    data = [fingerprint.fingerprint(env, agent(**each)).data() for each in ({}, settings)]
    different = fingerprint.differences(*data)
    assert bool(different.state) == (message is not None)
    if message is None:
        (name,) = settings
        assert any(difference.startswith(f"agent {name} was") for difference in different.settings)
    else:
        assert different.state[0].startswith(message)


def test_spaces_of_gym_and_gymnasium_are_told_alike():
    import gymnasium

    for module in (spaces, gymnasium.spaces):
        space = module.Dict(
            {
                "a": module.Tuple([module.Discrete(3), module.Discrete(3)]),
                "b": module.Box(-1.0, 2.0, (2,), np.float32),
                "c": module.MultiDiscrete([2, 3]),
                "d": module.MultiBinary(4),
            }
        )
        assert fingerprint.space_data(space) == {
            "Dict": {
                "a": {"Tuple": [{"Discrete": 3, "start": 0}], "times": 2},
                "b": {"Box": [2], "dtype": "float32", "low": -1.0, "high": 2.0},
                "c": {"MultiDiscrete": [2, 3]},
                "d": {"MultiBinary": [4]},
            }
        }


def test_offsets_and_classes_of_a_users_own_are_told():
    import gymnasium

    class Interests(gymnasium.spaces.Box):
        """Interests."""

    box = fingerprint.space_data(gymnasium.spaces.Box(0.0, 1.0, (2,)))
    assert fingerprint.space_data(Interests(0.0, 1.0, (2,))) == box
    shifted = gymnasium.spaces.MultiDiscrete([2, 3], start=[0, 4])
    assert fingerprint.space_data(shifted) == {"MultiDiscrete": [2, 3], "start": [0, 4]}
    assert fingerprint.space_data(recsim_spaces.to_gym(shifted)) == fingerprint.space_data(shifted)


def test_what_an_environment_does_not_tell_is_not_compared():
    env, agent = make("interest_exploration", "random")
    told = fingerprint.fingerprint(env, agent).data()
    unknown = fingerprint.fingerprint(object(), agent).data()
    assert unknown["scenario"]["slate_size"] is None
    assert fingerprint.differences(told, unknown, evaluation=True).state == []


# States of environments


def states():
    for module in MODULES.values():
        for config in ({}, {"slate_size": 1}, {"num_candidates": 6}, {"resample_documents": False}):
            yield lambda m=module, c=config: m.create_environment({**CONFIG, **c})
            yield lambda m=module, c=config: m.create_vector_environment({**CONFIG, **c}, 3)
        yield lambda m=module: m.create_vector_environment(CONFIG, 4)


def test_a_state_of_another_scenario_is_refused_and_nothing_is_restored(tmp_path):
    makers = list(states())
    for number, make_env in enumerate(makers):
        env = make_env()
        env.reset()
        before = env.state_dict()
        checkpoint.save(tmp_path / "before", before)
        for other_number, make_other in enumerate(makers):
            other = make_other()
            other.reset()
            state = other.state_dict()
            if number == other_number:
                env.load_state_dict(state)
                continue
            with pytest.raises(ValueError, match="state must be of"):
                env.load_state_dict(state)
            checkpoint.save(tmp_path / "after", env.state_dict())
            assert (tmp_path / "after").read_bytes() == (tmp_path / "before").read_bytes()


@pytest.mark.parametrize("vector", [False, True])
def test_a_state_that_does_not_fit_leaves_the_environment_as_it_was(vector, tmp_path):
    def make_env():
        if vector:
            return interest_evolution.create_vector_environment(CONFIG, 3)
        return interest_evolution.create_environment(CONFIG)

    env, other = make_env(), make_env()
    env.reset()
    other.reset(seed=5) if vector else other.seed(5)
    state = other.state_dict()
    if vector:
        state["chunks"][0]["documents"] = {"features": np.zeros(3)}
    else:
        state["user_models"] = [{"user_sampler": {"rng": {"bit_generator": "MT"}}}]
    checkpoint.save(tmp_path / "before", env.state_dict())
    with pytest.raises(ValueError, match="state does not fit this environment"):
        env.load_state_dict(state)
    checkpoint.save(tmp_path / "after", env.state_dict())
    assert (tmp_path / "after").read_bytes() == (tmp_path / "before").read_bytes()
