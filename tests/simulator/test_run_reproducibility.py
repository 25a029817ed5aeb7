"""Two runs with one seed are equal, for every environment, agent and runner."""

import json

import numpy as np
import pytest
from support.scenarios import make_env

from recsim import registry
from recsim.simulator import checkpoint, runner_lib

# The deep agents have tests of their own: they train for longer.
AGENTS = [
    name for name, entry in registry.AGENTS.items() if not entry.learns or name == "tabular_q"
]


def create(agent):
    entry = registry.agent_entry(agent)

    def create_agent(sess, env, eval_mode, summary_writer=None):
        return entry.create(env, seed=6, eval_mode=eval_mode, summary_writer=summary_writer)

    return create_agent


def fits(environment, agent):
    try:
        create(agent)(None, make_env(environment, num_candidates=5, seed=3), False)
    except ValueError:
        return False
    return True


CASES = [
    (environment, agent)
    for environment in registry.ENVIRONMENTS
    for agent in AGENTS
    if fits(environment, agent)
]


def train_and_evaluate(folder, environment, agent):
    common = {"create_agent_fn": create(agent), "max_steps_per_episode": 20, "progress": False}
    runner_lib.TrainRunner(
        base_dir=folder,
        env=make_env(environment, num_candidates=5, seed=3),
        max_training_steps=50,
        num_iterations=2,
        **common,
    ).run_experiment()
    runner_lib.EvalRunner(
        base_dir=folder,
        env=make_env(environment, num_candidates=5, seed=3),
        max_eval_episodes=4,
        test_mode=True,
        **common,
    ).run_experiment()
    metrics = {}
    for path in sorted(folder.glob("*/metrics.jsonl")):
        records = [json.loads(line) for line in path.read_text().splitlines()]
        for record in records:
            del record["TimePerStep"]
        metrics[path.parent.name] = records
    returns = {path.name: json.loads(path.read_text()) for path in folder.glob("eval_*/returns_*")}
    newest = checkpoint.load(folder / "train" / "checkpoints" / "ckpt.1")
    return {"metrics": metrics, "returns": returns, "checkpoint": newest}


@pytest.mark.parametrize(("environment", "agent"), CASES)
def test_runs_with_one_seed_are_equal(tmp_path, environment, agent):
    runs = []
    global_state = np.random.get_state()
    for name in ("first", "second"):
        np.random.seed(len(runs))  # Nothing may depend on the global generator.
        runs.append(train_and_evaluate(tmp_path / name, environment, agent))
    np.random.set_state(global_state)
    np.testing.assert_equal(runs[0], runs[1])
    assert set(runs[0]["metrics"]) == {"train", "eval_4"}
    ((_, returns),) = runs[0]["returns"].items()
    assert len(returns) == 4
    assert len(set(returns)) > 1


def test_every_scenario_and_agent_takes_part():
    assert {environment for environment, _ in CASES} == set(registry.ENVIRONMENTS)
    assert {agent for _, agent in CASES} == set(AGENTS)
