"""Runners with short defaults, what they wrote, and agents and environments that take notes."""

from __future__ import annotations

import ast
import json
import pathlib

from recsim import agent as agent_lib
from recsim._internal.gym_import import spaces
from recsim.agents import random_agent
from recsim.simulator import runner_lib


def create_random(sess, environment, eval_mode, summary_writer=None):
    return random_agent.RandomAgent(environment.action_space, random_seed=1)


def train_runner(base_dir, env, create_agent=create_random, kind=runner_lib.TrainRunner, **kwargs):
    settings = {
        "max_training_steps": 20,
        "num_iterations": 2,
        "max_steps_per_episode": 10,
        "progress": False,
        **kwargs,
    }
    return kind(base_dir=base_dir, create_agent_fn=create_agent, env=env, **settings)


def eval_runner(base_dir, env, create_agent=create_random, **kwargs):
    settings = {
        "max_eval_episodes": 3,
        "max_steps_per_episode": 10,
        "min_interval_secs": 0.01,
        "timeout_secs": 0.2,
        "progress": False,
        **kwargs,
    }
    return runner_lib.EvalRunner(
        base_dir=base_dir, create_agent_fn=create_agent, env=env, **settings
    )


def returns(path):
    return ast.literal_eval(pathlib.Path(path).read_text())


def records(folder):
    lines = (pathlib.Path(folder) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def snapshot(folder):
    return {path: path.read_bytes() for path in pathlib.Path(folder).rglob("*") if path.is_file()}


class ScriptedEnv:
    """Episodes with given rewards; the last of them ends with ``done`` where it says so."""

    environment = None
    sampler_resets = 0

    def __init__(self, *episodes):
        self._episodes = list(episodes)
        self._counted = 0
        self.action_space = spaces.MultiDiscrete([2])

    def reset(self):
        self._rewards, self._ends = self._episodes.pop(0)
        self._rewards = list(self._rewards)
        return {"user": None, "doc": {}, "response": None}

    def step(self, action):
        reward = self._rewards.pop(0)
        done = self._ends and not self._rewards
        return {"user": None, "doc": {}, "response": (reward,)}, reward, done, {"action": action}

    def reset_sampler(self):
        self.sampler_resets += 1

    def reset_metrics(self):
        self._counted = 0

    def update_metrics(self, responses, info):
        assert set(info) == {"action"}
        self._counted += responses[0]

    def write_metrics(self, add_summary):
        add_summary("Counted", self._counted)


class RecordingAgent(agent_lib.AbstractEpisodicRecommenderAgent):
    """Notes what it is told."""

    def __init__(self, action_space):
        super().__init__(action_space)
        self.told = []

    def begin_episode(self, observation=None):
        self.told.append("begin")
        return super().begin_episode(observation)

    def step(self, reward, observation):
        self.told.append(reward)
        return [0]

    def end_episode(self, reward, observation=None, *, truncated=False):
        self.told.append(("end", reward, truncated))


class CountingAgent(RecordingAgent):
    """Plays slate 0 or 1 depending on how many steps it has made in all."""

    steps = 0

    def step(self, reward, observation):
        self.steps += 1
        return [self.steps % 2]

    def bundle_and_checkpoint(self, checkpoint_dir, iteration_number):
        return {"steps": self.steps}

    def unbundle(self, checkpoint_dir, iteration_number, bundle_dict):
        self.steps = bundle_dict["steps"]
        return True


def create_counting(sess, environment, eval_mode, summary_writer=None):
    return CountingAgent(environment.action_space)
