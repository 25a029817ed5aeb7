"""What simulating users in parallel refuses, and what it takes beside the library's scenarios."""

from __future__ import annotations

import functools
import os
import pathlib
import sys
import threading
from typing import Any

import gin
import numpy as np
import pytest
from support.scenarios import CONFIG

from recsim.agents import random_agent
from recsim.environments import (
    interest_evolution,
    interest_exploration,
    long_term_satisfaction,
)
from recsim.simulator import runner_lib
from recsim.vector import simulate, streams, wrappers

#: Users of two chunks, for two processes.
MANY = streams.CHUNK_SIZE + 1

create = functools.partial(interest_exploration.create_vector_environment, CONFIG)


def create_single_user_envs(num_envs: int, first_user: int) -> wrappers.SingleUserEnvs:
    environments = [
        interest_evolution.create_environment({**CONFIG, "seed": first_user + row})
        for row in range(num_envs)
    ]
    return wrappers.SingleUserEnvs(environments, first_user=first_user)


def test_single_user_environments_are_simulated() -> None:
    result = simulate.simulate(
        create_single_user_envs, random_agent.VectorRandomAgent, 3, num_steps=5, workers=1
    )
    assert result.returns.shape == (3,) and result.num_steps == 15
    assert result.metrics["impression"] == 15
    assert result.written_metrics["CTR"] == result.metrics["click"] / 15


def test_vector_agents_go_by_the_numbers_of_single_users() -> None:
    together, second = create_single_user_envs(2, 0), create_single_user_envs(1, 1)
    slates = []
    for env in (together, second):
        agent = random_agent.VectorRandomAgent(env)
        observation, _ = env.reset()
        slates.append(np.stack([agent.begin(observation) for _ in range(10)], axis=1))
    np.testing.assert_array_equal(slates[0][1:], slates[1])
    assert not np.array_equal(slates[0][:1], slates[1])


@pytest.mark.parametrize("time_budget", [np.inf, 1e300])
def test_a_time_budget_without_end_needs_a_limit(time_budget: float) -> None:
    config = {"num_candidates": 5, "slate_size": 1, "resample_documents": True}
    make = functools.partial(
        long_term_satisfaction.create_vector_environment, {**config, "time_budget": time_budget}
    )
    agent = random_agent.VectorRandomAgent
    with pytest.raises(ValueError, match="VectorLTSUserModel do not: .* max_steps_per_episode"):
        simulate.simulate(make, agent, 2, num_episodes=1, workers=1)
    limited = functools.partial(make, max_steps_per_episode=3)
    result = simulate.simulate(limited, agent, 2, num_episodes=1, workers=1)
    assert result.lengths.tolist() == [[3], [3]]


def test_sessions_that_never_end_have_no_number_of_episodes() -> None:
    with pytest.raises(ValueError, match=r"VectorIEUserModel do not: .* max_steps_per_episode"):
        simulate.simulate(create, random_agent.VectorRandomAgent, 3, num_episodes=1)
    cut = functools.partial(create, max_steps_per_episode=4)
    result = simulate.simulate(cut, random_agent.VectorRandomAgent, 3, num_episodes=2)
    assert result.lengths.tolist() == [[4, 4]] * 3


@pytest.mark.parametrize("workers", [1, 2])
def test_functions_may_be_lambdas_and_hold_what_can_be_pickled(workers: int) -> None:
    seed = 3
    result = simulate.simulate(
        lambda **users: create(**users),
        lambda env: random_agent.VectorRandomAgent(env, random_seed=seed),
        MANY,
        num_steps=1,
        workers=workers,
    )
    make_agent = functools.partial(random_agent.VectorRandomAgent, random_seed=seed)
    expected = simulate.simulate(create, make_agent, MANY, num_steps=1, workers=1)
    np.testing.assert_array_equal(result.returns, expected.returns)


def test_functions_for_several_processes_must_be_pickled() -> None:
    lock = threading.Lock()

    def make_agent(env: Any) -> random_agent.VectorRandomAgent:
        with lock:
            return random_agent.VectorRandomAgent(env)

    with pytest.raises(TypeError, match=r"make_agent must be a function that can be pickled.*lock"):
        simulate.simulate(create, make_agent, MANY, num_steps=1, workers=2)
    with pytest.raises(TypeError, match=r"make_environment must be a function that can be pickled"):
        simulate.simulate(
            lambda **users: create(**users) if lock else None,
            random_agent.VectorRandomAgent,
            MANY,
            num_steps=1,
            workers=2,
        )
    result = simulate.simulate(create, make_agent, MANY, num_steps=1, workers=1)
    assert result.num_users == MANY


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_process_is_raised_here(workers: int) -> None:
    fails = functools.partial(random_agent.VectorRandomAgent, random_seed=-1)
    with pytest.raises(ValueError, match="random_seed must be an integer >= 0, got -1"):
        simulate.simulate(create, fails, MANY, num_steps=1, workers=workers)


@pytest.mark.parametrize("workers", [1, 2])
def test_progress_is_told_in_users(workers: int) -> None:
    done: list[int] = []
    simulate.simulate(
        create,
        random_agent.VectorRandomAgent,
        MANY,
        num_steps=1,
        workers=workers,
        advance=done.append,
    )
    assert sum(done) == MANY


def make_agent_of(env: Any, path: pathlib.Path) -> random_agent.VectorRandomAgent:
    with path.open("a") as file:
        file.write(f"{env.num_envs}\n")
    return random_agent.VectorRandomAgent(env)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_agent_is_made_once_for_each_chunk(workers: int, tmp_path: pathlib.Path) -> None:
    make_agent = functools.partial(make_agent_of, path=tmp_path / "made")
    simulate.simulate(create, make_agent, MANY, num_steps=1, workers=workers)
    assert sorted((tmp_path / "made").read_text().split()) == ["1", "2048"]


def test_an_agent_with_tensorflow_has_a_process_and_one_thread_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)

    class Deep(random_agent.VectorRandomAgent):
        uses_tensorflow = True

        def begin(self, observation: Any) -> np.ndarray:
            threads = os.environ.get("TF_NUM_INTRAOP_THREADS")
            (tmp_path / f"{os.getpid()} {threads}").touch()
            return super().begin(observation)

    simulate.simulate(create, Deep, 2, num_steps=1, workers=1)
    (told,) = tmp_path.iterdir()
    process, threads = told.name.split()
    assert int(process) != os.getpid()
    assert threads == "1"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_users": 0}, ValueError, "num_users must be an integer >= 1, got 0"),
        ({"num_users": 2.5}, TypeError, "num_users must be an integer >= 1, got 2.5"),
        ({"num_steps": 1.5}, TypeError, "num_steps must be an integer"),
        ({"workers": 0}, ValueError, "workers must be an integer >= 1, got 0"),
        ({"workers": "2"}, TypeError, "workers must be an integer"),
        ({"make_agent": "random"}, TypeError, "make_agent must be a function, got 'random'"),
        ({"seed": -1}, ValueError, "seed must be an integer >= 0, got -1"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        simulate.simulate(
            create,
            **{
                "make_agent": random_agent.VectorRandomAgent,
                "num_users": 3,
                "num_steps": 1,
                **arguments,
            },
        )


@pytest.mark.parametrize(
    "bindings",
    [
        ["IETopicDocumentSampler.topic_quality_mean = (3.0, 3.0)"],
        ["mean = 3.0", "IETopicDocumentSampler.topic_quality_mean = (%mean, %mean)"],
    ],
    ids=["value", "reference"],
)
def test_gin_bindings_hold_in_every_process(bindings: list[str]) -> None:
    def returns(workers: int) -> np.ndarray:
        return simulate.simulate(
            create, random_agent.VectorRandomAgent, MANY, num_steps=3, workers=workers
        ).returns

    before = returns(2)
    try:
        runner_lib.load_gin_configs([], bindings)
        bound = returns(2)
        np.testing.assert_array_equal(bound, returns(1))
        assert not np.array_equal(bound, before)
    finally:
        gin.clear_config()
    np.testing.assert_array_equal(returns(2), before)


class StatefulAgent:
    """Recommends what a generator of its own gives."""

    def __init__(self, env: Any, rng: np.random.Generator) -> None:
        self._env, self._rng = env, rng
        self.num_envs = env.num_envs

    def begin(self, observation: Any) -> np.ndarray:
        return self._rng.integers(0, 4, (self.num_envs, 2))

    def step(self, *outcome: Any) -> np.ndarray:
        return self.begin(outcome)


class CountingMaker:
    """Makes environments of other seeds each time."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self, **sizes: int) -> Any:
        self.number += 1
        return interest_exploration.create_vector_environment(
            {**CONFIG, "seed": self.number}, **sizes
        )


@pytest.mark.parametrize("make_environment", [create, CountingMaker()])
def test_functions_with_state_give_the_same_for_any_number_of_workers(
    make_environment: Any,
) -> None:
    rng = np.random.default_rng(5)
    results = [
        simulate.simulate(
            make_environment,
            functools.partial(StatefulAgent, rng=rng),
            2 * streams.CHUNK_SIZE + 5,
            num_steps=2,
            workers=workers,
        )
        for workers in (1, 2, 1)
    ]
    for other in results[1:]:
        np.testing.assert_array_equal(results[0].returns, other.returns)
        assert results[0].metrics == other.metrics
    assert rng.random() == np.random.default_rng(5).random()


def test_no_seed_is_one_drawn_for_all_users() -> None:
    make = functools.partial(
        interest_exploration.create_vector_environment,
        {**CONFIG, "seed": None},
        candidates="shared",
    )
    agent = random_agent.VectorRandomAgent
    drawn = simulate.simulate(make, agent, MANY, num_steps=3, workers=2)
    assert drawn.seed is not None
    again = simulate.simulate(make, agent, MANY, num_steps=3, workers=1, seed=drawn.seed)
    np.testing.assert_array_equal(again.returns, drawn.returns)
    assert simulate.simulate(make, agent, 3, num_steps=1).seed != drawn.seed
    assert simulate.simulate(create, agent, 3, num_steps=1).seed is None


class GlobalAgent(random_agent.VectorRandomAgent):
    def step(self, *outcome: Any) -> np.ndarray:
        return np.random.randint(0, 4, (self.num_envs, 2))


def test_an_agent_that_draws_from_the_global_generator_is_told_of() -> None:
    state = np.random.get_state()
    with pytest.warns(UserWarning, match=r"GlobalAgent, .* draws from NumPy's global generator"):
        simulate.simulate(create, GlobalAgent, 3, num_steps=3, workers=1)
    np.random.set_state(state)
