"""Trainings of each kind of agent and environment, what they leave, and an interruption."""

from __future__ import annotations

import functools
import itertools
import json
import pathlib
import signal

import numpy as np

from recsim import agent as agent_lib
from recsim.agents import (
    cluster_bandit_agent,
    contextual_bandit_agent,
    greedy_pctr_agent,
    random_agent,
    tabular_q_agent,
)
from recsim.agents.bandits import algorithms
from recsim.agents.layers import cluster_click_statistics
from recsim.simulator import runner_lib
from support.scenarios import clicks_by_user, make_long_term_satisfaction_users
from support.scenarios import make_env as make_scenario

make_small = functools.partial(make_scenario, num_candidates=5, seed=4)


def cluster_bandit(env, alg_ctor):
    return cluster_click_statistics.ClusterClickStatsLayer(
        functools.partial(cluster_bandit_agent.ClusterBanditAgent, alg_ctor=alg_ctor),
        env.observation_space,
        env.action_space,
    )


class FirstDocuments(agent_lib.AbstractMultiUserEpisodicRecommenderAgent):
    """Shows each of several users random documents."""

    def __init__(self, action_space):
        super().__init__(action_space)
        self._rng = np.random.default_rng(3)

    def step(self, reward, observation):
        return [self._rng.permutation(5)[: self._slate_size] for _ in range(self._num_users)]


AGENTS = {
    "random": lambda env: random_agent.RandomAgent(env.action_space, random_seed=3),
    "tabular_q": lambda env: tabular_q_agent.TabularQAgent(
        env.observation_space, env.action_space, discretization_bounds=(0.0, 1.0), number_bins=3
    ),
    "ucb1": lambda env: cluster_bandit(env, algorithms.UCB1),
    "thompson": lambda env: cluster_bandit(env, algorithms.ThompsonSampling),
    "greedy": lambda env: greedy_pctr_agent.GreedyPCTRAgent(
        env.action_space, env.environment.user_model.avg_user_state
    ),
    "lin_ucb": lambda env: contextual_bandit_agent.ContextualBanditAgent(
        env.observation_space, env.action_space
    ),
    "logistic_ts": lambda env: contextual_bandit_agent.ContextualBanditAgent(
        env.observation_space, env.action_space, "thompson", model="logistic"
    ),
    "several": lambda env: FirstDocuments(env.action_space),
}
ENVIRONMENTS = {
    "exploration": make_small,
    "evolution": lambda: make_small("interest_evolution"),
    "satisfaction": lambda: make_small("long_term_satisfaction"),
    "fixed_documents": lambda: make_small("interest_evolution", resample_documents=False),
    "seeded": lambda: seeded(make_small("interest_evolution")),
    "several_users": functools.partial(
        make_long_term_satisfaction_users, (5, 6), clicks_by_user, sampler_seed=7
    ),
}


def seeded(env):
    env.seed(8)
    return env


PAIRS = [
    ("fixed_documents", "random"),
    ("seeded", "random"),
    ("several_users", "several"),
    ("exploration", "random"),
    ("exploration", "ucb1"),
    ("exploration", "thompson"),
    ("exploration", "greedy"),
    ("exploration", "tabular_q"),
    ("evolution", "random"),
    ("satisfaction", "random"),
    ("satisfaction", "tabular_q"),
    ("evolution", "lin_ucb"),
    ("exploration", "logistic_ts"),
]


def make_env(name):
    return ENVIRONMENTS[name]()


def train(base_dir, env, agent, **kwargs):
    settings = {
        "max_training_steps": 40,
        "num_iterations": 7,
        "max_steps_per_episode": 15,
        "episode_log_file": "episodes.tfrecord",
        "progress": False,
        **kwargs,
    }
    runner = runner_lib.TrainRunner(
        base_dir=base_dir,
        create_agent_fn=lambda sess, env, eval_mode, summary_writer: AGENTS[agent](env),
        env=env,
        **settings,
    )
    runner.run_experiment()


def metrics(folder):
    lines = (pathlib.Path(folder) / "metrics.jsonl").read_text().splitlines()
    return [{**json.loads(line), "TimePerStep": None} for line in lines]


def outcome(base_dir):
    """Everything that two runs must have in common: all but the clock's traces."""
    base_dir = pathlib.Path(base_dir)
    checkpoints = base_dir / "train" / "checkpoints"
    return {
        # Equal trees give equal files; of the run's last checkpoints at least one is common.
        "checkpoint": max(
            checkpoints.glob("ckpt.*[0-9]"), key=lambda path: int(path.suffix[1:])
        ).read_bytes(),
        "metrics": [metrics(path.parent) for path in sorted(base_dir.glob("*/metrics.jsonl"))],
        "returns": [path.read_bytes() for path in sorted(base_dir.glob("eval_*/returns_*"))],
        "log": (base_dir / "train" / "episodes.tfrecord").read_bytes(),
        "hidden": list(base_dir.glob("**/.*")) + list(base_dir.glob("**/*.part")),
    }


class StoppingEnv:
    """Behaves as an environment until a step at which it raises."""

    def __init__(self, env, steps):
        self.env = env
        self.steps_left = steps

    def __getattr__(self, name):
        return getattr(self.env, name)

    def step(self, action):
        self.steps_left -= 1
        if self.steps_left < 0:
            raise KeyboardInterrupt
        return self.env.step(action)


class SignallingEnv(StoppingEnv):
    """Behaves as an environment that is sent a signal in a step."""

    def __init__(self, env, steps, number=signal.SIGTERM):
        super().__init__(env, steps)
        self._number = number

    def step(self, action):
        self.steps_left -= 1
        if self.steps_left == 0:
            signal.raise_signal(self._number)
        return self.env.step(action)


def signal_in_step(env, steps):
    """Has a vectorized environment send the process SIGTERM in one of its steps."""
    step, counter = env.step, itertools.count(1)

    def signalling_step(actions):
        if next(counter) == steps:
            signal.raise_signal(signal.SIGTERM)
        return step(actions)

    env.step = signalling_step
