"""A served agent comes without TensorFlow, an environment, and what else it does not need."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from recsim import registry

SCRIPT = """
import json, sys
import recsim

agent = recsim.load_agent(sys.argv[1])
requests = json.loads(sys.argv[2])
print(json.dumps([agent.recommend(*request) for request in requests]))
print(json.dumps(sorted(sys.modules)))
"""

# What takes long to import, and is for other things.
NOT_NEEDED = {
    "keras",
    "matplotlib",
    "pandas",
    "pyarrow",
    "recsim.environments",
    "recsim.experiments",
    "recsim.simulator.environment",
    "recsim.simulator.runner_lib",
    "scipy",
    "tensorflow",
    "torch",
}


@pytest.mark.parametrize("name", ["slate_optimal_optimal_q", "full_slate_q"])
def test_deep_agent_serves_in_a_new_process(name, tmp_path):
    config = {"num_candidates": 8, "slate_size": 3, "resample_documents": True, "seed": 2}
    env = registry.create_environment("interest_evolution", config)
    agent = registry.create_agent(name, env, seed=0, eval_mode=True)
    agent.save(tmp_path / "agent.recsim")
    requests, expected = [], []
    observation = env.reset()
    slate = agent.begin_episode(observation)
    for _ in range(5):
        ids = list(observation["doc"])
        features = [row.tolist() for row in observation["doc"].values()]
        requests.append(
            [
                {"id": 7, "features": observation["user"].tolist()},
                {"ids": ids, "features": features},
            ]
        )
        expected.append([ids[index] for index in slate])
        observation, reward, _, _ = env.step(slate)
        slate = agent.step(reward, observation)
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "agent.recsim"), json.dumps(requests)],
        stdout=subprocess.PIPE,
        check=True,
        timeout=120,
    )
    recommended, modules = map(json.loads, result.stdout.splitlines())
    assert recommended == expected
    assert NOT_NEEDED & set(modules) == set()


def test_file_of_a_deep_agent_holds_arrays_and_json_alone(tmp_path):
    import zipfile

    config = {"num_candidates": 8, "slate_size": 3, "resample_documents": True, "seed": 2}
    env = registry.create_environment("interest_evolution", config)
    registry.create_agent("slate_topk_sarsa", env, seed=0, eval_mode=True).save(tmp_path / "a")
    with zipfile.ZipFile(tmp_path / "a") as archive:
        assert json.loads(archive.read("tree.json"))["format"] == 1
        for name in archive.namelist():
            if name != "tree.json":
                with archive.open(name) as member:
                    np.load(member, allow_pickle=False)
