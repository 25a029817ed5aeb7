"""The vector engine as a VecEnv of Stable-Baselines3 behaves as its users and wrappers expect."""

import itertools
import subprocess
import sys
import time

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from support import sb3_models

pytest.importorskip("stable_baselines3")

from stable_baselines3.common import env_checker, evaluation, monitor, vec_env

from recsim import registry, sb3

IDS = [entry.gymnasium_id for entry in registry.ENVIRONMENTS.values()]
FORMS = list(itertools.product(["flat", "dict"], ["slate", "discrete", "scores"]))
SMALL = {"num_candidates": 4, "slate_size": 2}


def actions_of(env, number, seed=0):
    """Returns random actions of so many steps."""
    space = gymnasium.vector.utils.batch_space(env.action_space, env.num_envs)
    space.seed(seed)
    return [space.sample() for _ in range(number)]


def arrays_of(observation):
    return list(observation.values()) if isinstance(observation, dict) else [observation]


def row_of(observation, row):
    if isinstance(observation, dict):
        return {key: array[row] for key, array in observation.items()}
    return observation[row]


def assert_same(observation, other):
    assert type(observation) is type(other)
    if isinstance(observation, dict):
        assert list(observation) == list(other)
    for array, expected in zip(arrays_of(observation), arrays_of(other), strict=True):
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize(("observation", "action"), FORMS)
def test_single_user_environments_pass_check_env(env_id, observation, action):
    env = gymnasium.make(env_id, observation=observation, action=action, **SMALL)
    env_checker.check_env(env.unwrapped)


def test_nested_observations_do_not_pass_check_env():
    env = gymnasium.make(IDS[0], **SMALL).unwrapped
    with pytest.warns(UserWarning, match="Nested observation spaces are not supported"):
        env_checker.check_env(env, skip_render_check=True)


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize(("observation", "action"), FORMS)
def test_spaces_are_those_of_the_single_user_environment(env_id, observation, action):
    env = sb3.make_vec_env(env_id, 3, observation=observation, action=action, **SMALL)
    single = gymnasium.make(env_id, observation=observation, action=action, **SMALL)
    assert env.observation_space == single.observation_space
    assert env.action_space == single.action_space
    assert env.num_envs == 3
    first = env.reset()
    assert all(row_of(first, row) in env.observation_space for row in range(3))
    after = vec_env.VecCheckNan(env).step(actions_of(env, 1)[0])
    assert row_of(after[0], 2) in env.observation_space


@pytest.mark.parametrize(("observation", "action"), FORMS)
def test_steps_are_those_of_the_vector_environment(observation, action):
    settings = {**SMALL, "observation": observation, "action": action, "max_episode_steps": 5}
    env = sb3.make_vec_env("long_term_satisfaction", 3, **settings)
    raw = gymnasium.make_vec(
        "recsim/LongTermSatisfaction-v0", 3, vectorization_mode="vector_entry_point", **settings
    )
    env.seed(3)
    assert_same(env.reset(), raw.reset(seed=3)[0])
    for step, actions in enumerate(actions_of(env, 12), start=1):
        observed, rewards, dones, infos = env.step(actions)
        expected, expected_rewards, terminated, truncated, raw_infos = raw.step(actions)
        assert_same(observed, expected)
        np.testing.assert_array_equal(rewards, expected_rewards)
        np.testing.assert_array_equal(dones, terminated | truncated)
        assert dones.all() == (step % 5 == 0)
        for row, info in enumerate(infos):
            assert bool(info) == dones[row]
            if info:
                assert_same(info["terminal_observation"], raw_infos["final_obs"][row])


@pytest.mark.parametrize("observation", ["flat", "dict"])
@pytest.mark.parametrize("scenario", ["interest_exploration", "interest_evolution"])
def test_terminal_observation_is_the_last_one_of_the_episode(scenario, observation):
    # What an environment without a limit observes at that step, from the same seed.
    limited, unlimited = (
        sb3.make_vec_env(
            scenario, 4, observation=observation, max_episode_steps=limit, seed=5, **SMALL
        )
        for limit in (3, -1)
    )
    assert_same(limited.reset(), unlimited.reset())
    for actions in actions_of(limited, 3):
        after, rewards, dones, infos = limited.step(actions)
        last, expected_rewards, others, _ = unlimited.step(actions)
    assert dones.all()
    assert not others.any()
    np.testing.assert_array_equal(rewards, expected_rewards)
    for row, info in enumerate(infos):
        assert info["TimeLimit.truncated"] is True
        assert_same(info["terminal_observation"], row_of(last, row))
        # And not what the next episode begins with.
        pairs = zip(arrays_of(row_of(after, row)), arrays_of(info["terminal_observation"]))
        assert any((one != other).any() for one, other in pairs)


def test_only_episodes_that_a_limit_ended_are_truncated():
    # Time budgets end episodes of interest evolution; some reach the limit before.
    env = sb3.make_vec_env("interest_evolution", 64, max_episode_steps=70, **SMALL)
    env.reset()
    ended_by = {True: set(), False: set()}
    lengths = np.zeros(64, int)
    for actions in actions_of(env, 150):
        _, _, dones, infos = env.step(actions)
        lengths += 1
        for row in np.flatnonzero(dones):
            ended_by[infos[row]["TimeLimit.truncated"]].add(int(lengths[row]))
            assert infos[row]["episode"]["l"] == lengths[row]
            lengths[row] = 0
    assert ended_by[True] == {70}
    assert ended_by[False]
    assert max(ended_by[False]) <= 70


def test_episode_infos_are_those_of_vec_monitor():
    ours = sb3.make_vec_env("interest_evolution", 32, **SMALL)
    theirs = vec_env.VecMonitor(sb3.make_vec_env("interest_evolution", 32, monitor=False, **SMALL))
    ours.reset()
    theirs.reset()
    number = 0
    for actions in actions_of(ours, 150):
        infos, expected = ours.step(actions)[3], theirs.step(actions)[3]
        for info, other in zip(infos, expected, strict=True):
            assert ("episode" in info) == ("episode" in other)
            if "episode" in info:
                number += 1
                assert info["episode"]["r"] == pytest.approx(other["episode"]["r"], rel=1e-5)
                assert info["episode"]["l"] == other["episode"]["l"]
                assert type(info["episode"]["r"]) is float
                assert 0 <= info["episode"]["t"] < 600
    assert number > 32


def test_seconds_of_episodes_count_from_when_the_environment_was_made(monkeypatch):
    now = iter([100.0, 107.25, 108.5])
    monkeypatch.setattr(time, "time", lambda: next(now))
    env = sb3.make_vec_env("interest_exploration", 2, max_episode_steps=1, **SMALL)
    env.reset()
    for seconds in (7.25, 8.5):
        infos = env.step(np.zeros((2, 2), int))[3]
        assert [info["episode"]["t"] for info in infos] == [seconds] * 2


def test_infos_belong_to_a_user_and_a_step():
    env = sb3.make_vec_env("interest_exploration", 3, **SMALL)
    env.reset()
    actions = np.zeros((3, 2), int)
    first = env.step(actions)[3]
    first[0]["mine"] = 1
    assert first[1] == {}
    assert env.step(actions)[3] == [{}, {}, {}]
    env.reset_infos[0]["mine"] = 1
    env.reset()
    assert env.reset_infos == [{}, {}, {}]


@pytest.mark.parametrize("observation", ["flat", "dict"])
def test_what_is_returned_may_be_changed(observation):
    env, other = (
        sb3.make_vec_env(
            "interest_evolution", 3, observation=observation, max_episode_steps=2, **SMALL
        )
        for _ in range(2)
    )

    def spoil(spoiled):
        for array in arrays_of(spoiled):
            array[...] = 0

    spoil(env.reset())
    other.reset()
    for actions in actions_of(env, 5):
        outcome, expected = env.step(actions), other.step(actions)
        assert_same(outcome[0], expected[0])
        np.testing.assert_array_equal(outcome[1], expected[1])
        spoil(outcome[0])
        outcome[1][:] = -1.0
        for info in outcome[3]:
            if info:
                spoil(info["terminal_observation"])


class FirstCandidates:
    """A policy that shows the first candidates."""

    def predict(self, observations, state=None, episode_start=None, deterministic=False):
        return np.tile([0, 1], (len(observations), 1)), state


def test_evaluate_policy_counts_episodes_without_a_warning():
    env = sb3.make_vec_env("interest_evolution", 4, **SMALL)
    returns, lengths = evaluation.evaluate_policy(
        FirstCandidates(), env, n_eval_episodes=6, return_episode_rewards=True
    )
    again = sb3.make_vec_env("interest_evolution", 4, monitor=False, **SMALL)
    with pytest.warns(UserWarning, match="not wrapped with a ``Monitor``"):
        expected, expected_lengths = evaluation.evaluate_policy(
            FirstCandidates(), again, n_eval_episodes=6, return_episode_rewards=True
        )
    assert len(returns) == 6
    assert returns == pytest.approx(expected, abs=1e-3)
    assert lengths == expected_lengths


@pytest.mark.parametrize("observation", ["flat", "dict"])
def test_vec_normalize_normalizes_last_observations_too(observation):
    env = sb3.make_vec_env(
        "interest_evolution", 8, observation=observation, max_episode_steps=4, **SMALL
    )
    boxes = None
    if observation == "dict":
        spaces = env.observation_space.spaces.items()
        boxes = [key for key, space in spaces if isinstance(space, gymnasium.spaces.Box)]
    normalized = vec_env.VecNormalize(env, norm_obs_keys=boxes)
    normalized.reset()
    for actions in actions_of(env, 4):
        observed, rewards, dones, infos = normalized.step(actions)
        before = normalized.get_original_obs()
    assert dones.all()
    assert rewards.dtype == np.float32
    assert_same(observed, normalized.normalize_obs(before))
    raw = sb3.make_vec_env(
        "interest_evolution", 8, observation=observation, max_episode_steps=4, **SMALL
    )
    raw.reset()
    for actions in actions_of(raw, 4):
        raw_infos = raw.step(actions)[3]
    for info, raw_info in zip(infos, raw_infos, strict=True):
        expected = normalized.normalize_obs(raw_info["terminal_observation"])
        assert_same(info["terminal_observation"], expected)


@pytest.mark.parametrize("observation", ["flat", "dict"])
def test_vec_frame_stack_ends_with_the_last_observation(observation):
    settings = {**SMALL, "observation": observation, "max_episode_steps": 3}
    raw, env = (sb3.make_vec_env("interest_evolution", 2, **settings) for _ in range(2))
    if observation == "dict":
        raw, env = (vec_env.VecExtractDictObs(each, "doc") for each in (raw, env))
    stacked = vec_env.VecFrameStack(env, 2)
    size = raw.observation_space.shape[0]
    before = raw.reset()
    stacked.reset()
    for actions in actions_of(raw, 3):
        previous, (before, _, _, infos) = before, raw.step(actions)
        observed, _, _, stacked_infos = stacked.step(actions)
        np.testing.assert_array_equal(observed[0, size:], before[0])
        if not infos[0]:
            np.testing.assert_array_equal(observed[0, :size], previous[0])
    last = stacked_infos[0]["terminal_observation"]
    if observation == "flat":  # VecExtractDictObs leaves last observations as they are.
        np.testing.assert_array_equal(last[size:], infos[0]["terminal_observation"])
        np.testing.assert_array_equal(last[:size], previous[0])


def test_vec_monitor_writes_a_log(tmp_path):
    env = sb3.make_vec_env("interest_exploration", 3, monitor=False, max_episode_steps=2, **SMALL)
    monitored = vec_env.VecMonitor(env, str(tmp_path / "log"))
    monitored.reset()
    for actions in actions_of(env, 4):
        monitored.step(actions)
    monitored.close()
    assert list(monitor.load_results(str(tmp_path))["l"]) == [2] * 6


def test_seed_counts_from_the_next_reset_on():
    env = sb3.make_vec_env("interest_exploration", 3, **SMALL)
    other = sb3.make_vec_env("interest_exploration", 3, seed=11, **SMALL)
    assert env.seed(11) == [11, 12, 13]
    first = env.reset()
    np.testing.assert_array_equal(first, other.reset())
    # The seed was for one reset: the next one continues the streams.
    assert (env.reset() != first).any()
    env.seed(11)
    np.testing.assert_array_equal(env.reset(), first)
    env.seed(12)
    assert (env.reset() != first).any()
    assert env.seed()[0] != env.seed()[0]


def test_attributes_are_those_of_the_environment():
    env = sb3.make_vec_env("interest_exploration", 3, max_episode_steps=7, **SMALL)
    assert env.get_attr("num_candidates") == [4, 4, 4]
    assert env.get_attr("num_candidates", 1) == [4]
    assert env.get_attr("num_candidates", [0, 2]) == [4, 4]
    assert env.get_attr("num_candidates", []) == []
    assert env.get_attr("observation_space", -1) == [env.observation_space]
    assert env.get_attr("action_space") == [env.action_space] * 3
    assert env.get_attr("render_mode") == [None] * 3
    assert env.has_attr("slate_size")
    assert not env.has_attr("nothing")
    env.set_attr("max_steps_per_episode", 2)
    env.set_attr("max_steps_per_episode", 1, indices=[0, 1, 2])
    env.reset()
    assert env.step(np.zeros((3, 2), int))[2].all()
    assert vec_env.VecNormalize(env).get_attr("slate_size") == [2, 2, 2]


def test_methods_are_called_once():
    env = sb3.make_vec_env("interest_evolution", 3, **SMALL)
    env.reset()
    states = env.env_method("user_states")
    assert len(states) == 3
    whole = env.env.unwrapped.user_states()
    for row, of_user in enumerate(states):
        for name, values in of_user.items():
            np.testing.assert_array_equal(values, whole[name][row])
    env.step(np.zeros((3, 2), int))
    assert env.get_attr("metrics")[0]
    assert env.env_method("reset_metrics", indices=0) == [None]
    assert not env.get_attr("metrics")[0]


def test_environments_are_wrapped_by_monitor_alone():
    env = sb3.make_vec_env("interest_exploration", 2, **SMALL)
    assert env.env_is_wrapped(monitor.Monitor) == [True, True]
    assert env.env_is_wrapped(monitor.Monitor, 0) == [True]
    assert env.env_is_wrapped(gymnasium.wrappers.TimeLimit) == [False, False]
    without = sb3.make_vec_env("interest_exploration", 2, monitor=False, **SMALL)
    assert without.env_is_wrapped(monitor.Monitor) == [False, False]
    without.set_attr("max_steps_per_episode", 1)
    without.reset()
    info = without.step(np.zeros((2, 2), int))[3][0]
    assert set(info) == {"terminal_observation", "TimeLimit.truncated"}


def test_no_options_are_taken():
    env = sb3.make_vec_env("interest_exploration", 2, **SMALL)
    for options in (None, {}, [{}, {}], [None, {}]):
        env.set_options(options)
    env.reset()
    for options in ({"user": 3}, [{}, {"user": 3}]):
        with pytest.raises(ValueError, match="options must be empty: none are known"):
            env.set_options(options)


def test_names_and_ids_make_the_same_environment():
    for env_id, (name, entry) in zip(IDS, registry.ENVIRONMENTS.items(), strict=True):
        by_id, by_name = (sb3.make_vec_env(each, 2, **SMALL) for each in (env_id, name))
        np.testing.assert_array_equal(by_id.reset(), by_name.reset())
        assert by_id.get_attr("max_steps_per_episode", 0) == [entry.max_episode_steps]


def test_environment_that_was_made_before():
    raw = registry.create_vector_environment(
        "interest_exploration",
        {**SMALL, "resample_documents": True, "seed": 0},
        2,
        observation="flat",
        action="discrete",
        max_steps_per_episode=1,
    )
    env = sb3.RecSimVecEnv(raw)
    assert env.env is raw
    env.reset()
    assert env.step(np.array([0, 11]))[2].all()


def test_next_step_and_nested_observations_are_refused():
    nested = gymnasium.make_vec(IDS[0], 2, vectorization_mode="vector_entry_point", **SMALL)
    with pytest.raises(ValueError, match="make it with observation='flat' or observation='dict'"):
        sb3.RecSimVecEnv(nested)
    nested.metadata = {**nested.metadata, "autoreset_mode": AutoresetMode.NEXT_STEP}
    with pytest.raises(ValueError, match="env must begin episodes anew in the step in which"):
        sb3.RecSimVecEnv(nested)


@pytest.mark.parametrize(("algorithm", "action"), sb3_models.ALGORITHMS)
@pytest.mark.parametrize("observation", ["flat", "dict"])
def test_algorithms_train(algorithm, action, observation, tmp_path):
    env = sb3.make_vec_env(
        "interest_evolution",
        4,
        observation=observation,
        action=action,
        max_episode_steps=5,
        **SMALL,
    )
    settings = sb3_models.ALGORITHMS[algorithm, action]
    model = sb3_models.model(algorithm, env, steps=96, **settings)
    assert model.num_timesteps >= 96
    assert {episode["l"] for episode in model.ep_info_buffer} == {5}
    model.save(tmp_path / "model.zip")
    with sb3_models.training():
        loaded = type(model).load(tmp_path / "model.zip", env=env)
        assert loaded.learn(32, reset_num_timesteps=False).num_timesteps >= 128


def test_the_extra_is_named_where_it_is_missing():
    code = (
        "import sys; sys.modules['stable_baselines3'] = None; from recsim import sb3\n"
        "for name in ('make_vec_env', 'PolicyAgent'):\n"
        "    try: getattr(sb3, name)\n"
        "    except ImportError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == 2 * [
        "recsim.sb3 needs Stable-Baselines3, which is not installed: pip install 'recsim[sb3]'."
    ]


def test_import_brings_in_neither_pytorch_nor_tensorflow():
    code = (
        "import sys, recsim; recsim.sb3\n"
        "print({'torch', 'stable_baselines3', 'tensorflow', 'gym'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("then", ["sb3.make_vec_env, sb3.PolicyAgent", "import stable_baselines3"])
def test_import_is_silent(then):
    code = f"from recsim import sb3; {then}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
