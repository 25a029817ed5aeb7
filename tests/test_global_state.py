"""What calls of the library leave in the process as they found it, whether they succeed or fail."""

from __future__ import annotations

import contextlib
import locale
import logging
import os
import random
import signal
import sys
import threading
import time
import warnings

import gin
import matplotlib as mpl
import numpy as np
import pytest
import scipy.linalg
import scipy.special
import threadpoolctl
from support.scenarios import CONFIG

from recsim import cli, main
from recsim.agents import random_agent
from recsim.environments import interest_exploration
from recsim.reproductions import bandit_regret, base
from recsim.simulator import runner_lib
from recsim.vector import simulate

# Their libraries are asked for their threads, and their import adds a filter of warnings.
assert scipy.linalg
assert scipy.special


def state():
    """Returns what of a process belongs to all that runs in it."""
    root = logging.getLogger()
    umask = os.umask(0o22)
    os.umask(umask)
    return {
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "umask": umask,
        "path": list(sys.path),
        "arguments": list(sys.argv),
        "streams": (sys.stdout, sys.stderr, sys.stdin, sys.excepthook),
        # Without those that modules add for themselves when they are first imported.
        "filters": [each for each in warnings.filters if each[3] is None],
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "mask": signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        "logging": (root.level, list(root.handlers)),
        "numpy errors": np.geterr(),
        "numpy printing": np.get_printoptions(),
        "numpy generator": np.random.get_state()[1].tolist(),
        "generator": random.getstate(),
        "locale": locale.setlocale(locale.LC_ALL),
        "gin": (gin.config_str(), gin.config_is_locked(), gin.current_scope()),
        "matplotlib": dict(mpl.rcParams),
        "threads": {thread.name for thread in threading.enumerate()} - {"Thread-tqdm"},
        "linear algebra": [pool["num_threads"] for pool in threadpoolctl.threadpool_info()],
    }


def create(**users):
    return interest_exploration.create_vector_environment(CONFIG, **users)


class Fails(random_agent.VectorRandomAgent):
    def step(self, *arguments):
        raise ZeroDivisionError


def simulated(workers, agent=random_agent.VectorRandomAgent):
    simulate.simulate(
        create, lambda env: agent(env), 2049, num_steps=2, workers=workers, advance=lambda n: None
    )


class Interrupted(random_agent.RandomAgent):
    def step(self, reward, observation):
        raise KeyboardInterrupt


def trained(agent):
    env = interest_exploration.create_environment(CONFIG)
    runner_lib.TrainRunner(
        base_dir="train",
        create_agent_fn=lambda sess, env, **settings: agent(env.action_space),
        env=env,
        max_training_steps=5,
        num_iterations=1,
        max_steps_per_episode=5,
        progress=False,
    ).run_experiment()


def reproduced(workers):
    experiment = bandit_regret.BanditRegret(2)
    base.run(experiment, f"reproduced {workers}", workers=workers, show_progress=False)


RUN = ["run", "--episodes", "1", "--steps", "5", "--output", "out"]
BENCH = "bench --environment long_term_satisfaction --agent random --size 4x1 --users 1 4"
MAIN = ["main", "--logtostderr", "--base_dir=main", "--agent_name=random"]
CALLS = {
    "simulate": lambda: simulated(1),
    "simulate on workers": lambda: simulated(2),
    "simulate that fails": lambda: simulated(1, Fails),
    "simulate on workers that fail": lambda: simulated(2, Fails),
    "train": lambda: trained(random_agent.RandomAgent),
    "train, interrupted": lambda: trained(Interrupted),
    "reproduce": lambda: reproduced(1),
    "reproduce on workers": lambda: reproduced(2),
    "run": lambda: cli.main([*RUN, "--gin-bindings", "ClusterBanditAgent.ci_scaling = 0.1"]),
    "run that fails": lambda: cli.main([*RUN, "--gin-bindings", "Nothing.at_all = 1"]),
    "run that fails late": lambda: cli.main(
        [*RUN, "--gin-bindings", "ClusterBanditAgent.ci_scaling = 0.1", "--output", __file__]
    ),
    "bench": lambda: cli.main([*BENCH.split(), "--rounds=1", "--seconds=0.01", "--figure=f.png"]),
    # Its episodes end by themselves.
    "main": lambda: main.main([*MAIN, "--environment_name=long_term_satisfaction"]),
    "main that fails": lambda: main.main([*MAIN, "--environment_name=nothing"]),
}
FAIL = {
    "simulate that fails": ZeroDivisionError,
    "simulate on workers that fail": ZeroDivisionError,
    "train, interrupted": KeyboardInterrupt,
    "run that fails": SystemExit,
    "run that fails late": SystemExit,
    "main that fails": SystemExit,
}


@pytest.fixture(scope="module", autouse=True)
def short():
    """Leaves two short problems of the reproduction."""
    with pytest.MonkeyPatch.context() as patch:
        names = ("one", "other")
        problem = bandit_regret.Problem("2 arms", (0.6, 0.4), 100)
        patch.setattr(bandit_regret, "PROBLEMS", dict.fromkeys(names, problem))
        cases = [bandit_regret.Case(name, "kl_ucb", (10.0, 1.0)) for name in names]
        patch.setattr(bandit_regret, "CASES", cases)
        yield


@pytest.mark.parametrize("name", CALLS)
def test_a_call_leaves_the_process_as_it_found_it(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    before = state()
    fails = FAIL.get(name)
    with pytest.raises(fails) if fails else contextlib.nullcontext():
        CALLS[name]()
    deadline = time.monotonic() + 60
    while (after := state())["threads"] != before["threads"] and time.monotonic() < deadline:
        time.sleep(0.05)  # A queue's thread is about to end.
    changed = {key: (before[key], after[key]) for key in before if before[key] != after[key]}
    assert changed == {}
