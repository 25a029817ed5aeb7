"""Bad input of what Stable-Baselines3 is given: each row is refused by an error that names it."""

import functools
import zipfile

import gymnasium
import numpy as np
import pytest
from support import sb3_models

pytest.importorskip("stable_baselines3")

import stable_baselines3
import torch

from recsim import registry, sb3
from recsim.environments import interest_exploration

SMALL = {"num_candidates": 4, "slate_size": 2}
CONFIG = {**SMALL, "resample_documents": True, "seed": 0}
ID = "recsim/InterestExploration-v0"


def make(**changes):
    return sb3.make_vec_env(**{"id": ID, "num_envs": 2, **SMALL, **changes})


def started(**changes):
    env = make(**changes)
    env.reset()
    return env


def step(actions, **changes):
    started(**changes).step(np.asarray(actions))


@functools.cache
def model(action="discrete"):
    algorithm = "DQN" if action == "discrete" else "PPO"
    settings = sb3_models.ALGORITHMS[algorithm, action]
    return sb3_models.model(algorithm, make(action=action, num_envs=4), **settings)


def of_space(observations, actions):
    """Returns a model of a stranger's environment."""

    class Strange(gymnasium.Env):
        observation_space = observations
        action_space = actions

    with sb3_models.training():
        return stable_baselines3.PPO("MlpPolicy", Strange(), device="cpu")


def diverged():
    env = make(num_envs=4)
    made = sb3_models.model("PPO", env, **sb3_models.ALGORITHMS["PPO", "slate"])
    with torch.no_grad():
        next(made.policy.parameters())[0, 0] = float("nan")
    return made


def file(folder, content, name="model.zip"):
    path = folder / name
    path.write_bytes(content)
    return path


def empty_archive(folder):
    with zipfile.ZipFile(folder / "empty.zip", "w") as archive:
        archive.writestr("data", "{}")
    return folder / "empty.zip"


def vector(**options):
    return registry.create_vector_environment("interest_exploration", CONFIG, 2, **options)


BOX = gymnasium.spaces.Box(-1.0, 1.0, (3,))

# (what is called with an empty folder, the error's type, what it says)
ROWS = {
    "id: unknown": (
        lambda _: make(id="recsim/InterestEvolutoin-v0"),
        ValueError,
        r"id must be that of a scenario, 'recsim/.*Did you mean 'recsim/InterestEvolution-v0'",
    ),
    "id: a class": (
        lambda _: make(id=make),
        TypeError,
        "id must be the id of a scenario in Gymnasium, such as",
    ),
    "id: of another library": (
        lambda _: make(id="CartPole-v1"),
        ValueError,
        "id must be that of a scenario, .*got 'CartPole-v1'",
    ),
    "num_envs: 0": (lambda _: make(num_envs=0), ValueError, "num_envs must be .*1, got 0"),
    "num_envs: 2.5": (lambda _: make(num_envs=2.5), TypeError, "num_envs must be an integer"),
    "observation: nested": (
        lambda _: make(observation="nested"),
        ValueError,
        "observation must be 'flat' or 'dict', got 'nested': policies",
    ),
    "observation: unknown": (
        lambda _: make(observation="falt"),
        ValueError,
        "observation must be one of .*Did you mean 'flat'",
    ),
    "action: unknown": (
        lambda _: make(action="score"),
        ValueError,
        "action must be one of .*Did you mean 'scores'",
    ),
    "action: too many slates": (
        lambda _: make(action="discrete", num_candidates=100, slate_size=5),
        ValueError,
        "action='discrete' must have at most 100000 slates",
    ),
    "setting: unknown": (
        lambda _: make(num_candidate=5),
        TypeError,
        "'num_candidate'. Did you mean 'num_candidates'",
    ),
    "setting: RecSim's limit": (
        lambda _: make(max_episode_steps=0),
        ValueError,
        "max_steps_per_episode must be .*1, got 0",
    ),
    "env: of one user": (
        lambda _: sb3.RecSimVecEnv(gymnasium.make(ID)),
        TypeError,
        "env must be a vector environment of recsim, such as gymnasium.make_vec",
    ),
    "env: of another library": (
        lambda _: sb3.RecSimVecEnv(gymnasium.make_vec("CartPole-v1", 2)),
        TypeError,
        "env must be a vector environment of recsim, such as gymnasium.make_vec",
    ),
    "env: nested": (
        lambda _: sb3.RecSimVecEnv(vector()),
        ValueError,
        "env must have observations that are an array, or arrays by name",
    ),
    "step: before reset": (
        lambda _: make().step(np.zeros((2, 2), int)),
        RuntimeError,
        r"step was called before reset: call reset\(\)",
    ),
    "step: not a candidate": (
        lambda _: step([[0, 4], [0, 1]]),
        IndexError,
        "actions must hold indices of candidates, 0 to 3, got 0 to 4",
    ),
    "step: of one user": (
        lambda _: step([0, 1]),
        ValueError,
        r"actions must have the shape \(num_envs, slate_size\)",
    ),
    "step: scores that are not finite": (
        lambda _: step(np.full((2, 4), np.nan), action="scores"),
        ValueError,
        "actions must be finite scores",
    ),
    "step: not the number of a slate": (
        lambda _: step([0, 12], action="discrete"),
        IndexError,
        "actions must be numbers of slates, 0 to 11, got 0 to 12",
    ),
    "seed: negative": (lambda _: make().seed(-1), ValueError, "seed must be .*0, got -1"),
    "seed: a text": (lambda _: make().seed("one"), TypeError, "seed must be an integer"),
    "set_options: an option": (
        lambda _: make().set_options({"user": 3}),
        ValueError,
        "options must be empty: none are known",
    ),
    "get_attr: unknown": (
        lambda _: make().get_attr("num_candidate"),
        AttributeError,
        "no attribute 'num_candidate'. Did you mean 'num_candidates'",
    ),
    "get_attr: no such user": (
        lambda _: make().get_attr("slate_size", [0, 2]),
        IndexError,
        "indices must be numbers of users, 0 to 1, got 2",
    ),
    "get_attr: not a number": (
        lambda _: make().get_attr("slate_size", "all"),
        TypeError,
        "indices must be integers, the numbers of users, got 'all'",
    ),
    "set_attr: unknown": (
        lambda _: make().set_attr("max_steps", 3),
        AttributeError,
        "no attribute 'max_steps'",
    ),
    "set_attr: of one user": (
        lambda _: make().set_attr("max_steps_per_episode", 3, indices=0),
        ValueError,
        "indices must be None, or all of the 2 users, whose environment is one",
    ),
    "set_attr: bad value": (
        lambda _: make().set_attr("max_steps_per_episode", 0),
        ValueError,
        "max_steps_per_episode must be",
    ),
    "set_attr: what is fixed": (
        lambda _: make().set_attr("slate_size", 3),
        AttributeError,
        "slate_size",
    ),
    "env_method: reset": (
        lambda _: make().env_method("reset"),
        ValueError,
        "method_name must not be 'reset', which moves all users on",
    ),
    "env_method: unknown": (
        lambda _: make().env_method("user_state"),
        AttributeError,
        "no attribute 'user_state'. Did you mean 'user_states'",
    ),
    "env_method: not a method": (
        lambda _: make().env_method("slate_size"),
        TypeError,
        "method_name must be the name of a method, got 'slate_size', which is 2",
    ),
    "model: a number": (
        lambda _: sb3.PolicyAgent(3),
        TypeError,
        "model must be a model of Stable-Baselines3, such as a PPO, one of its policies",
    ),
    "model: a class": (
        lambda _: sb3.PolicyAgent(stable_baselines3.PPO),
        TypeError,
        "model must be a model of Stable-Baselines3",
    ),
    "model: no file": (
        lambda folder: sb3.PolicyAgent(folder / "nothing.zip"),
        FileNotFoundError,
        "model must be the path of a model's file, got .*nothing.zip': there is none",
    ),
    "model: a folder": (
        lambda folder: sb3.PolicyAgent(folder),
        FileNotFoundError,
        "model must be the path of a model's file",
    ),
    "model: another file": (
        lambda folder: sb3.PolicyAgent(file(folder, b"weights")),
        ValueError,
        "model must be the path of a file that model.save wrote, got",
    ),
    "model: another archive": (
        lambda folder: sb3.PolicyAgent(empty_archive(folder)),
        ValueError,
        "model.save wrote, got .*which has no action_space, observation_space, policy_class",
    ),
    "model: an empty path": (lambda _: sb3.PolicyAgent(""), ValueError, "model must be a path"),
    "model: diverged": (
        lambda _: sb3.PolicyAgent(diverged()),
        ValueError,
        "model must have finite weights, got .* with others: its training diverged",
    ),
    "model: other observations": (
        lambda _: sb3.PolicyAgent(of_space(gymnasium.spaces.Discrete(3), BOX)),
        ValueError,
        "model must be trained with observation='flat' or 'dict', got",
    ),
    "model: other actions": (
        lambda _: sb3.PolicyAgent(of_space(BOX, gymnasium.spaces.MultiBinary(3))),
        ValueError,
        "model must be trained with action='slate', 'discrete' or 'scores', got",
    ),
    "deterministic: a DQN": (
        lambda _: sb3.PolicyAgent(model(), deterministic=False),
        ValueError,
        "deterministic must be True for a DQNPolicy, which samples nothing",
    ),
    "vec_normalize: a number": (
        lambda _: sb3.PolicyAgent(model(), vec_normalize=3),
        TypeError,
        "vec_normalize must be the VecNormalize of the training, or the path",
    ),
    "vec_normalize: no file": (
        lambda folder: sb3.PolicyAgent(model(), vec_normalize=folder / "nothing.pkl"),
        FileNotFoundError,
        "vec_normalize must be the path of a file that VecNormalize.save wrote",
    ),
    "vec_normalize: another file": (
        lambda folder: sb3.PolicyAgent(model(), vec_normalize=file(folder, b"statistics")),
        ValueError,
        "vec_normalize must be the path of a file .*which cannot be read",
    ),
    "environment: a number": (
        lambda _: sb3.PolicyAgent(model())(3),
        TypeError,
        "environment must be a RecSimGymEnv, or an environment with users in parallel, got 3",
    ),
    "environment: Gymnasium's of one user": (
        lambda _: sb3.PolicyAgent(model())(gymnasium.make(ID)),
        TypeError,
        "environment must be a RecSimGymEnv, or an environment with users in parallel, got",
    ),
    "environment: flat": (
        lambda _: sb3.PolicyAgent(model())(vector(observation="flat")),
        TypeError,
        "environment must have nested observations, .*make it with observation='nested'",
    ),
    "environment: other actions": (
        lambda _: sb3.PolicyAgent(model())(vector(action="discrete")),
        TypeError,
        "environment must be a vector environment whose single_action_space is a MultiDiscrete",
    ),
    "environment: other candidates": (
        lambda _: sb3.PolicyAgent(model())(
            interest_exploration.create_environment({**CONFIG, "num_candidates": 5})
        ),
        ValueError,
        "trained with observation='flat' of the space .*make it with the scenario, num_candidates",
    ),
    "seed: a text in a vector environment": (
        lambda _: sb3.PolicyAgent(model("slate"), deterministic=False)(vector(), seed="one"),
        TypeError,
        "seed must be an integer",
    ),
    "seed: negative in a single-user environment": (
        lambda _: sb3.PolicyAgent(model("slate"), deterministic=False)(
            interest_exploration.create_environment(CONFIG), seed=-1
        ),
        ValueError,
        "seed must be an integer >= 0, got -1",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), ROWS.values(), ids=ROWS)
def test_bad_input_is_refused_by_name(call, error, message, tmp_path):
    with pytest.raises(error, match=message):
        call(tmp_path)


def test_an_observation_of_another_scenario_is_refused():
    agent = sb3.PolicyAgent(model())(interest_exploration.create_environment(CONFIG))
    for observation in (None, {}, {"user": np.zeros(0)}):
        with pytest.raises((TypeError, ValueError), match="observation must"):
            agent.begin_episode(observation)
