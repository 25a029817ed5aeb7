"""What simulating many users refuses, and what it takes beside the library's own worlds."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from recsim.agents import random_agent
from recsim.environments import interest_evolution, interest_exploration
from recsim.vector import simulate, streams, wrappers

CONFIG = {"num_candidates": 4, "slate_size": 2, "resample_documents": True, "seed": 0}
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


def test_sessions_that_never_end_have_no_number_of_episodes() -> None:
    with pytest.raises(ValueError, match=r"VectorIEUserModel do not: .* max_steps_per_episode"):
        simulate.simulate(create, random_agent.VectorRandomAgent, 3, num_episodes=1)
    cut = functools.partial(create, max_steps_per_episode=4)
    result = simulate.simulate(cut, random_agent.VectorRandomAgent, 3, num_episodes=2)
    assert result.lengths.tolist() == [[4, 4]] * 3


@pytest.mark.parametrize(
    ("functions", "name"),
    [
        ((lambda **users: create(**users), random_agent.VectorRandomAgent), "make_environment"),
        ((create, lambda env: random_agent.VectorRandomAgent(env)), "make_agent"),
    ],
)
def test_functions_for_several_processes_must_be_pickled(
    functions: tuple[Callable[..., Any], Callable[..., Any]], name: str
) -> None:
    with pytest.raises(TypeError, match=rf"{name} must be a function that can be pickled.*workers"):
        simulate.simulate(*functions, MANY, num_steps=1, workers=2)
    assert simulate.simulate(*functions, MANY, num_steps=1, workers=1).num_users == MANY


def test_an_error_in_a_process_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    fails = functools.partial(random_agent.VectorRandomAgent, random_seed=-1)
    with pytest.raises(RuntimeError, match=r"chunks_\d_to_\d ended with exit code 1 .* printed"):
        simulate.simulate(create, fails, MANY, num_steps=1, workers=2)
    assert "random_seed must be an integer >= 0, got -1" in capfd.readouterr().err
    assert multiprocessing.active_children() == []


LONG_SIMULATION = """
import functools, multiprocessing, threading, time
from recsim.agents import random_agent
from recsim.environments import interest_exploration
from recsim.vector import simulate

def tell():
    while len(multiprocessing.active_children()) < 2:
        time.sleep(0.05)
    time.sleep(0.5)  # Until the start is over, in which Ctrl-C is held back from one thread only.
    print("simulating", flush=True)

threading.Thread(target=tell, daemon=True).start()
config = {"num_candidates": 4, "slate_size": 2, "resample_documents": True, "seed": 0}
create = functools.partial(interest_exploration.create_vector_environment, config)
simulate.simulate(create, random_agent.VectorRandomAgent, 8192, num_steps=10**6, workers=2)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_one_that_started_it(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", LONG_SIMULATION],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        # Where the tests run in the background, the shell has it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "simulating\n"
        process.send_signal(number)
        # The output ends with the last process that could write to it.
        process.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


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
