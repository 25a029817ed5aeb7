"""What a request needs, and what the machine has."""

import functools
import os
import subprocess
import sys

import numpy as np
import pytest

from recsim import registry
from recsim._internal import resources
from recsim.agents import (
    full_slate_q_agent,
    random_agent,
    slate_decomp_q_agent,
    tabular_q_agent,
)
from recsim.experiments import agent_run
from recsim.simulator import runner_lib
from recsim.vector import simulate

GIB = 2**30
SCENARIOS = sorted(registry.ENVIRONMENTS)
#: The scenario whose candidates are items of a catalogue, of 65,536 at most.
OF_CATALOGUE = "topic_boredom"


def config(num_candidates, slate_size=2, **others):
    return {
        "num_candidates": num_candidates,
        "slate_size": slate_size,
        "resample_documents": True,
        "seed": 0,
        **others,
    }


@pytest.fixture
def four_gib(monkeypatch):
    """Makes the machine one of 4 GiB."""
    monkeypatch.setattr(resources, "usable_memory", lambda: 4 * GIB)


def test_the_figures_are_told(four_gib):
    with pytest.raises(MemoryError, match=r"Ten users need at least 5\.0 GiB .* 4\.0 GiB .*: wait"):
        resources.check_memory(5 * GIB, "Ten users", "wait")
    resources.check_memory(4 * GIB, "Ten users", "wait")


@pytest.mark.parametrize("exponent", [12, 30, 400, 10_000])
def test_absurd_numbers_are_told_too(exponent, four_gib):
    with pytest.raises(MemoryError, match=r"need at least [\d.,e^+]+ \w+ of memory"):
        resources.check_memory(10**exponent, resources.shown(10**exponent), "wait")


def test_a_limit_of_the_process_counts():
    """As a container's limit does, which a test cannot set."""
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**33, -1));"
        "from recsim._internal import resources; print(resources.usable_memory())"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert 0 < int(out.stdout) <= 2**33
    assert resources.usable_memory() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("0::/box/inner", "box/memory.max"),
        ("0::/box/inner", "memory.max"),
        ("4:memory:/box", "memory/box/memory.limit_in_bytes"),
        ("4:cpu,memory:/elsewhere", "memory/memory.limit_in_bytes"),
    ],
)
def test_limits_of_control_groups_count(line, path, monkeypatch, tmp_path):
    limit = tmp_path / path
    limit.parent.mkdir(parents=True, exist_ok=True)
    limit.write_text("123456\n")
    (tmp_path / "cgroup").write_text(f"3:pids:/other\n{line}\n")
    monkeypatch.setattr(resources, "_CGROUP_ROOT", str(tmp_path))
    monkeypatch.setattr(resources, "_CGROUP_FILE", str(tmp_path / "cgroup"))
    assert resources.usable_memory() == 123456
    limit.write_text("max\n")
    assert resources.usable_memory() > 123456


@pytest.mark.parametrize("name", sorted({*SCENARIOS} - {OF_CATALOGUE}))
def test_environments_that_cannot_be_in_memory_are_refused(name, four_gib):
    with pytest.raises(MemoryError, match="10,000,000 candidates .*choose fewer candidates"):
        registry.create_environment(name, config(10**7))
    for num_envs, num_candidates in ((10**10, 2), (10**6, 10**4), (10, 10**9), (10**18, 10**18)):
        with pytest.raises(MemoryError, match="choose fewer users or candidates"):
            registry.create_vector_environment(name, config(num_candidates), num_envs)


def test_environments_of_a_catalogue_that_cannot_be_in_memory_are_refused(monkeypatch):
    monkeypatch.setattr(resources, "usable_memory", lambda: GIB)
    with pytest.raises(ValueError, match="num_items must be at least num_candidates"):
        registry.create_environment(OF_CATALOGUE, config(10**7))
    with pytest.raises(MemoryError, match="65,536 items with 1,000 numbers .*smaller num_items"):
        registry.create_environment(OF_CATALOGUE, config(10, num_items=65_536, num_topics=1000))
    for num_envs, num_candidates in ((10**10, 2), (10**6, 10**4), (10**18, 65_536)):
        settings = config(num_candidates, num_items=max(num_candidates, 1000))
        with pytest.raises(MemoryError, match="choose fewer users or candidates"):
            registry.create_vector_environment(OF_CATALOGUE, settings, num_envs)


@pytest.mark.parametrize("name", SCENARIOS)
def test_environments_that_can_are_made(name, four_gib):
    registry.create_environment(name, config(1000)).reset()
    env = registry.create_vector_environment(name, config(10), 1_000_000)
    assert env.num_envs == 1_000_000


def test_estimates_are_no_more_than_what_is_taken(monkeypatch):
    """Else a request that the machine can serve would be refused."""
    estimated = []
    monkeypatch.setattr(
        resources, "check_memory", lambda needed, what, remedy: estimated.append(needed)
    )
    import tracemalloc

    for name in SCENARIOS:
        estimated.clear()
        tracemalloc.start()
        env = registry.create_vector_environment(name, config(100), 20_000)
        agent = random_agent.VectorRandomAgent(env)
        slates = agent.begin(env.reset()[0])
        for _ in range(3):
            outcome = env.step(slates)
            slates = agent.step(*outcome)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak / 4 < max(estimated) <= peak, name
        estimated.clear()
        tracemalloc.start()
        catalogue = {"num_items": 3000} if name == OF_CATALOGUE else {}
        env = registry.create_environment(name, config(3000, **catalogue))
        env.reset()
        env.observation_space  # noqa: B018
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak / 8 < max(estimated) <= peak, name


def test_agents_that_enumerate_too_many_slates_are_refused(four_gib):
    env = registry.create_environment("long_term_satisfaction", config(60, 10))
    with pytest.raises(MemoryError, match="75,394,027,566 slates of 10 out of 60 candidates"):
        tabular_q_agent.TabularQAgent(
            env.observation_space, env.action_space, max_num_slates=10**18
        )
    with pytest.raises(MemoryError, match="slates of 10 out of 60"):
        full_slate_q_agent.FullSlateQAgent(
            None, env.observation_space, env.action_space, max_num_slates=10**18
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"update_horizon": 10**10}, "Transitions of 10,000,000,000 steps"),
        ({"batch_size": 10**9}, "states of 1,000,000,000 transitions"),
        ({"hidden_units": [10**5, 10**5]}, "layers of 100,000, 100,000 units"),
    ],
)
@pytest.mark.parametrize("engine", ["single", "vector"])
def test_deep_agents_that_cannot_be_in_memory_are_refused(engine, settings, message, four_gib):
    if engine == "single":
        env = registry.create_environment("interest_evolution", config(5))
        spaces = (env.observation_space, env.action_space)
        create = functools.partial(slate_decomp_q_agent.SlateDecompQAgent, None, *spaces)
    else:
        env = registry.create_vector_environment("interest_evolution", config(5), 3)
        create = functools.partial(
            slate_decomp_q_agent.create_vector_agent, "slate_topk_topk_q", env
        )
    with pytest.raises(MemoryError, match=message):
        create(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_candidates": 10**8}, "100,000,000 candidates"),
        ({"num_candidates": 10**8, "num_envs": 1000}, "1,000 users with 100,000,000"),
        ({"num_envs": 10**10}, "10,000,000,000 users"),
        ({"num_envs": 2 * 10**7}, "20,000,000 users with 10 candidates and random"),
        ({"episodes": 10**9}, "1,000,000,000 episodes"),
    ],
)
def test_runs_are_refused_before_anything_is_there(settings, message, four_gib, tmp_path):
    with pytest.raises(MemoryError, match=message):
        agent_run.AgentRun("interest_exploration", "random", tmp_path / "run", **settings)
    assert list(tmp_path.iterdir()) == []


def test_simulations_and_evaluations_are_refused(four_gib, tmp_path):
    with pytest.raises(MemoryError, match="results of 1,000,000,000 users"):
        simulate.simulate(dict, dict, 10**9, num_steps=1)
    with pytest.raises(MemoryError, match="10,000 processes .* choose fewer workers"):
        simulate.simulate(dict, dict, 10**8, num_steps=1, workers=10_000)
    env = registry.create_environment("interest_exploration", config(5))
    with pytest.raises(MemoryError, match="1e\\+18 episodes .* max_eval_episodes"):
        runner_lib.EvalRunner(
            base_dir=tmp_path, create_agent_fn=dict, env=env, max_eval_episodes=10**18
        )


def test_a_training_of_more_iterations_than_can_be_counted_begins(tmp_path):
    class StopError(Exception):
        pass

    class Agent(random_agent.RandomAgent):
        def step(self, reward, observation):
            raise StopError

    env = registry.create_environment("interest_exploration", config(5))
    runner = runner_lib.TrainRunner(
        base_dir=tmp_path,
        create_agent_fn=lambda sess, env, **_: Agent(env.action_space),
        env=env,
        num_iterations=2**63 - 1,
        max_training_steps=2**63 - 1,
    )
    with pytest.raises(StopError):
        runner.run_experiment()


def test_numpy_numbers_count_as_well(four_gib):
    with pytest.raises(MemoryError):
        registry.create_environment("interest_exploration", config(np.int64(10**12)))


def test_the_heap_is_what_is_in_use():
    before = resources.heap_in_use()
    if before is None:
        pytest.skip("The C library does not say.")
    array = np.ones(10 * 2**20, np.uint8)
    assert 10 * 2**20 <= resources.heap_in_use() - before < 11 * 2**20
    del array
    assert resources.heap_in_use() - before < 2**20
