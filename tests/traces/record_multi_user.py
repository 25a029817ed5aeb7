"""Records a multi-user trace: run it with an interpreter that has RecSim 0.2.4.

python record_multi_user.py > multi_user.json
"""

import json
import platform
import sys

import numpy as np

from recsim import choice_model
from recsim.environments import interest_evolution, interest_exploration
from recsim.simulator import environment, recsim_gym


def plain(value):
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, np.floating):
        return float(value)
    return value


def rewards(responses):
    return [
        float(sum(response.watch_time for response in of_user if response.clicked))
        for of_user in responses
    ]


def clicks(responses):
    return [float(sum(response.clicked for response in of_user)) for of_user in responses]


def make_interest_evolution(config):
    users = [
        interest_evolution.IEvUserModel(
            config["slate_size"],
            choice_model_ctor=choice_model.MultinomialProportionalChoiceModel,
            seed=seed,
        )
        for seed in config["user_seeds"]
    ]
    sampler = interest_evolution.UtilityModelVideoSampler(seed=config["seed"])
    return users, sampler, rewards


def make_interest_exploration(config):
    sampler = interest_exploration.IETopicDocumentSampler(seed=config["seed"])
    interest_exploration.IEDocument.NUM_CLUSTERS = sampler.num_clusters
    interest_exploration.IEResponse.NUM_CLUSTERS = sampler.num_clusters
    users = [
        interest_exploration.IEUserModel(
            config["slate_size"],
            user_state_ctor=interest_exploration.IEUserState,
            response_model_ctor=interest_exploration.IEResponse,
            seed=seed,
        )
        for seed in config["user_seeds"]
    ]
    return users, sampler, clicks


MAKERS = {
    "interest_evolution": make_interest_evolution,
    "interest_exploration": make_interest_exploration,
}


def record(name, config, env_seed, num_steps):
    users, sampler, aggregate = MAKERS[name](config)
    raw_environment = environment.MultiUserEnvironment(
        users,
        sampler,
        config["num_candidates"],
        config["slate_size"],
        resample_documents=config["resample_documents"],
    )
    env = recsim_gym.RecSimGymEnv(raw_environment, aggregate)
    env.seed(env_seed)
    slates = np.random.RandomState(1000 + env_seed)
    observation = env.reset()
    trace = {
        "environment": name,
        "env_config": config,
        "env_seed": env_seed,
        "agent": "scripted",
        "first_observation": plain({key: observation[key] for key in ("user", "doc")}),
        "steps": [],
    }
    for _ in range(num_steps):
        shown = [
            slates.permutation(config["num_candidates"])[: config["slate_size"]].tolist()
            for _ in users
        ]
        observation, reward, done, _ = env.step(shown)
        step = {
            "slate": shown,
            "reward": reward,
            "done": bool(done),
            "response": observation["response"],
            "user": observation["user"],
            "doc": observation["doc"],
        }
        if done:
            first = env.reset()
            step["reset"] = {key: first[key] for key in ("user", "doc")}
        trace["steps"].append(plain(step))
    return trace


def main():
    base = {"num_candidates": 6, "slate_size": 2}
    traces = [
        record(
            "interest_exploration",
            {**base, "seed": 3, "user_seeds": [0, 1, 2], "resample_documents": True},
            5,
            25,
        ),
        record(
            "interest_evolution",
            {**base, "seed": 1, "user_seeds": [4, 5], "resample_documents": True},
            2,
            160,
        ),
    ]
    source = (
        "RecSim 0.2.4 (google-research/recsim, Apache-2.0), "
        f"Python {platform.python_version()}, NumPy {np.__version__}"
    )
    json.dump({"source": source, "traces": traces}, sys.stdout)


if __name__ == "__main__":
    main()
