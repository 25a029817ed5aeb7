"""The scenarios in Gymnasium's registry, and one user's environment in Gymnasium's form."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import pickle
import subprocess
import sys
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils import env_checker
from gymnasium.vector import AutoresetMode

from recsim import registry, spaces
from recsim.simulator import gymnasium_env

MAX_EPISODE_STEPS = {
    str(entry.gymnasium_id): entry.max_episode_steps for entry in registry.ENVIRONMENTS.values()
}
IDS = sorted(MAX_EPISODE_STEPS)


def test_every_scenario_has_an_id() -> None:
    assert "None" not in IDS
    assert MAX_EPISODE_STEPS["recsim/InterestEvolution-v0"] == 1000
    assert MAX_EPISODE_STEPS["recsim/InterestExploration-v0"] == 200
    assert MAX_EPISODE_STEPS["recsim/LongTermSatisfaction-v0"] == 1000


@pytest.mark.parametrize(
    "imports",
    [
        "import recsim, gymnasium",
        "import gymnasium, recsim",
        "import recsim, gymnasium.spaces",
        "import gymnasium; gymnasium.make('recsim:recsim/InterestEvolution-v0')",
    ],
)
def test_ids_are_known_in_any_order_of_imports(imports: str) -> None:
    program = f"{imports}; print(sorted(i for i in gymnasium.registry if i.startswith('recsim/')))"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    entries = [*registry.ENVIRONMENTS.values(), registry.FITTED]
    known = [name for each in entries for name in each.gymnasium_ids()]
    assert set(IDS) <= set(known)
    assert result.stdout.strip() == str(sorted(known)), result.stderr


def test_an_entry_of_ones_own_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gymnasium.envs.registration, "registry", dict(gymnasium.registry))
    monkeypatch.setattr(gymnasium, "registry", gymnasium.envs.registration.registry)
    mine = dataclasses.replace(
        registry.ENVIRONMENTS["interest_exploration"],
        gymnasium_id="mine/Exploration-v3",
        max_episode_steps=2,
    )
    monkeypatch.setitem(registry.ENVIRONMENTS, "mine", mine)
    own = registry.own_entries()
    monkeypatch.delitem(registry.ENVIRONMENTS, "mine")
    registry.set_own_entries(own)  # As a worker process does.
    env = gymnasium.make("mine/Exploration-v3", num_candidates=4)
    env.reset(seed=0)
    assert [env.step([0, 1])[3] for _ in range(2)] == [False, True]
    registry.register_in_gymnasium()  # A second time, without a warning of Gymnasium.


OPTIONS = list(itertools.product(IDS, spaces.OBSERVATION_FORMS, spaces.ACTION_FORMS))


# Some numbers have no bounds, which the checker warns of.
@pytest.mark.filterwarnings("ignore:.*(maximum|minimum) value is -?infinity")
@pytest.mark.parametrize(("env_id", "observation", "action"), OPTIONS)
def test_gymnasium_checker(env_id: str, observation: str, action: str, capsys: Any) -> None:
    env = gymnasium.make(env_id, observation=observation, action=action)
    env_checker.check_env(env.unwrapped)
    assert "a new episode" in capsys.readouterr().out  # In the mode "human".


@pytest.mark.parametrize(("env_id", "observation", "action"), OPTIONS)
def test_stable_baselines_checker(env_id: str, observation: str, action: str) -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    env = gymnasium.make(env_id, observation=observation, action=action)
    with warnings.catch_warnings():
        if observation == "nested":
            warnings.filterwarnings("ignore", ".*Nested observation spaces.*")
            warnings.filterwarnings("ignore", ".*has an unconventional shape.*")
        checker.check_env(env.unwrapped)


@pytest.mark.parametrize("env_id", IDS)
def test_a_limit_of_ones_own(env_id: str) -> None:
    env = gymnasium.make(env_id, max_episode_steps=30)
    env.reset(seed=0)
    env.action_space.seed(0)
    for step in range(1, 61):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        assert truncated == (step == 30)
        if terminated or truncated:
            break


def test_no_episode_of_the_default_config_needs_the_limit_but_in_interest_exploration() -> None:
    # The users who stay the longest: those who are shown the best video at every step.
    longest = {}
    for env_id in ("recsim/InterestEvolution-v0", "recsim/LongTermSatisfaction-v0"):
        env = gymnasium.make_vec(env_id, num_envs=500, num_candidates=30, slate_size=1)
        observation, _ = env.reset(seed=0)
        topic_quality = np.zeros(20)
        steps = np.zeros(500, int)
        longest[env_id] = 0
        for _ in range(MAX_EPISODE_STEPS[env_id] // 2):
            documents = observation["doc"]
            scores = documents @ topic_quality if documents.shape[-1] == 20 else -documents[..., 0]
            slates = scores.argmax(axis=1)[:, np.newaxis]
            observation, _, terminated, truncated, infos = env.step(slates)
            assert not truncated.any()
            if documents.shape[-1] == 20:
                last = infos["final_obs"].batch if infos else observation
                topics = last["response"]["cluster_id"][:, 0]
                topic_quality[topics] += 0.1 * (
                    last["response"]["quality"][:, 0] - topic_quality[topics]
                )
            steps += 1
            if terminated.any():
                longest[env_id] = max(longest[env_id], steps[terminated].max())
            steps[terminated] = 0
        assert steps.max() < MAX_EPISODE_STEPS[env_id] // 2
    assert longest["recsim/LongTermSatisfaction-v0"] == 60
    assert 100 < longest["recsim/InterestEvolution-v0"] < 500


@pytest.mark.parametrize("env_id", IDS)
def test_one_user_and_many_have_the_same_spaces(env_id: str) -> None:
    settings = {"num_candidates": 7, "slate_size": 3}
    single = gymnasium.make(env_id, **settings)
    many = gymnasium.make_vec(env_id, num_envs=5, **settings)
    assert single.observation_space == many.single_observation_space
    assert single.action_space == many.single_action_space
    assert many.num_envs == 5 and many.spec is not None and many.spec.id == env_id
    assert many.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP


@pytest.mark.parametrize("env_id", IDS)
def test_vector_environment_in_gymnasiums_wrapper(env_id: str) -> None:
    env = gymnasium.wrappers.vector.RecordEpisodeStatistics(
        gymnasium.make_vec(env_id, num_envs=4, max_episode_steps=7)
    )
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    env.action_space.seed(0)
    returns = np.zeros(4)
    for step in range(1, 8):
        observation, rewards, _, truncated, infos = env.step(env.action_space.sample())
        assert observation in env.observation_space
        returns += rewards
        assert truncated.all() == (step == 7)
    assert infos["episode"]["l"].tolist() == [7] * 4
    np.testing.assert_allclose(infos["episode"]["r"], returns, rtol=1e-5)


def test_seeds_decide_users_documents_and_choices() -> None:
    def rollout(seed: int) -> list[np.ndarray]:
        env = gymnasium.make("recsim/InterestEvolution-v0", resample_documents=False)
        observation, _ = env.reset(seed=seed)
        observations = [observation] + [env.step([0, 1])[0] for _ in range(5)]
        return [np.concatenate([o["user"], o["doc"].ravel()]) for o in observations]

    np.testing.assert_array_equal(rollout(1), rollout(1))
    first, second = rollout(1), rollout(2)
    assert not np.array_equal(first[0][:20], second[0][:20])
    assert not np.array_equal(first[0][20:], second[0][20:])


def test_short_slates_have_responses_of_the_spaces_size() -> None:
    env = gymnasium.make("recsim/InterestEvolution-v0", slate_size=3, disable_env_checker=True)
    env.reset(seed=0)
    observation = env.step([4])[0]
    assert observation in env.observation_space
    assert observation["response"]["cluster_id"].shape == (3,)


def test_observations_are_those_of_the_environment_in_recsims_form() -> None:
    config = {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 3}
    env = gymnasium_env.make("interest_exploration", **config)
    second = registry.create_environment("interest_exploration", config)
    env.recsim_env.seed(1)
    second.seed(1)
    observation, expected = env.reset()[0], second.reset()
    assert not any(array.any() for array in observation["response"].values())
    for _ in range(5):
        observation, reward, terminated, truncated, _ = env.step(np.array([1, 0]))
        expected, expected_reward, done, _ = second.step([1, 0])
        assert (reward, terminated, truncated) == (expected_reward, done, False)
        for key in ("quality", "cluster_id"):
            documents = [document[key] for document in expected["doc"].values()]
            np.testing.assert_allclose(observation["doc"][key], documents, rtol=1e-6)
        clicks = [response["click"] for response in expected["response"]]
        assert observation["response"]["click"].tolist() == clicks


def test_an_environment_of_several_users_is_refused() -> None:
    from recsim.environments import interest_exploration as ie
    from recsim.simulator import environment, recsim_gym

    users = [ie.IEUserModel(1, response_model_ctor=ie.IEResponse) for _ in range(2)]
    raw_environment = environment.MultiUserEnvironment(users, ie.IETopicDocumentSampler(), 3, 1)
    with pytest.raises(ValueError, match="must have one user, got one with 2"):
        gymnasium_env.RecSimGymnasiumEnv(recsim_gym.RecSimGymEnv(raw_environment, sum))


@pytest.mark.parametrize("env_id", IDS)
def test_episodes_end_whatever_the_scenario(env_id: str) -> None:
    env = gymnasium.make(env_id)
    limit = MAX_EPISODE_STEPS[env_id]
    assert env.spec is not None and env.spec.max_episode_steps == limit
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(limit):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            break
    assert terminated or truncated
    # Only interest exploration needs the limit.
    assert truncated == (env_id == "recsim/InterestExploration-v0")


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize(
    ("given", "limit"),
    [
        ({}, "the registered one"),
        ({"max_episode_steps": 3}, 3),
        ({"max_steps_per_episode": 4}, 4),
        ({"max_steps_per_episode": None}, None),
        ({"max_episode_steps": -1}, None),
    ],
)
def test_limits_of_vector_environments(env_id: str, given: dict, limit: object) -> None:
    env = gymnasium.make_vec(env_id, num_envs=2, **given)
    if limit == "the registered one":
        limit = MAX_EPISODE_STEPS[env_id]
    assert env.unwrapped.max_steps_per_episode == limit
    env.reset(seed=0)
    for step in range(1, 5):
        truncated = env.step(env.action_space.sample())[3]
        assert truncated.all() == truncated.any() == (limit is not None and step == limit)


def test_limits_of_one_user() -> None:
    env = gymnasium.make("recsim/InterestExploration-v0", max_episode_steps=-1)
    env.reset(seed=0)
    assert not any(env.step([0, 1])[3] for _ in range(250))


def test_gym_is_imported_for_recsims_classes_alone_and_prints_nothing() -> None:
    program = """
import sys, gymnasium, recsim
assert gymnasium.spec("recsim/InterestEvolution-v0").max_episode_steps
recsim.registry.create_environment, recsim.seeding
assert "gym" not in sys.modules
gymnasium.make_vec("recsim/InterestEvolution-v0", num_envs=2).reset()
gymnasium.make("recsim/InterestEvolution-v0").reset()
assert "gym" in sys.modules and "tensorflow" not in sys.modules
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_a_spec_makes_the_same_environment_again() -> None:
    options: dict[str, Any] = {"observation": "flat", "action": "scores", "num_candidates": 6}
    env = gymnasium.make("recsim/InterestEvolution-v0", render_mode="ansi", **options)
    again = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    many = gymnasium.make_vec("recsim/InterestEvolution-v0", num_envs=3, **options)
    many_again = gymnasium.make_vec(many.spec)
    assert many_again.num_envs == 3
    assert many_again.single_observation_space == many.single_observation_space
    actions = np.linspace(1, -1, 6, dtype=np.float32)
    for one, other, action in ((env, again, actions), (many, many_again, np.stack([actions] * 3))):
        for first, second in zip(
            (one.reset(seed=1)[0], *one.step(action)[:4]),
            (other.reset(seed=1)[0], *other.step(action)[:4]),
        ):
            np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("action", spaces.ACTION_FORMS)
def test_a_copy_continues_as_the_original(action: str) -> None:
    env = gymnasium.make("recsim/InterestEvolution-v0", action=action, observation="dict")
    env.reset(seed=1)
    env.action_space.seed(1)
    env.step(env.action_space.sample())
    copies = [copy.deepcopy(env), pickle.loads(pickle.dumps(env))]
    for _ in range(4):
        given = env.action_space.sample()
        observation, *outcome = env.step(given)
        for each in copies:
            again, *outcome_again = each.step(given)
            assert outcome_again == outcome
            for key in observation:
                np.testing.assert_array_equal(again[key], observation[key])


def test_the_generator_of_gymnasium_has_the_seed_too() -> None:
    env = gymnasium.make("recsim/InterestEvolution-v0")
    env.reset(seed=3)
    assert env.unwrapped.np_random_seed == 3
    assert env.unwrapped.np_random.random() == np.random.default_rng(3).random()
