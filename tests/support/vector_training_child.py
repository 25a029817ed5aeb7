"""A training of users in parallel with its evaluation, to be killed.

``python -m support.vector_training_child BASE_DIR`` prints "training" when the training
begins, and "done" at the end.
"""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
from gymnasium import spaces

from recsim import utils
from recsim.simulator import runner_lib
from recsim.vector import agent as vector_agent
from recsim.vector import env as vector_env
from recsim.vector import scenario, streams

NUM_USERS = 5


@dataclasses.dataclass
class Songs:
    value: np.ndarray  # (n_users, n_docs)
    genre: np.ndarray  # (n_users, n_docs), int32


@dataclasses.dataclass
class Listeners:
    patience: np.ndarray  # (n_users,), int32: slates left.
    mood: np.ndarray  # (n_users,)


@dataclasses.dataclass
class Heard:
    clicked: np.ndarray  # (n_users, slate_size), bool
    quality: np.ndarray  # (n_users, slate_size)
    cluster_id: np.ndarray  # (n_users, slate_size), int32


class SongSampler(scenario.VectorDocumentSampler):
    def sample(self, stream, num_documents):
        return Songs(stream.uniform(num_documents), stream.integers(3, num_documents))

    def observe(self, documents):
        return {"value": documents.value, "genre": documents.genre}

    def observation_space(self, num_documents):
        return spaces.Dict(
            {
                "value": spaces.Box(0.0, 1.0, (num_documents,), np.float32),
                "genre": spaces.MultiDiscrete(np.full(num_documents, 3), dtype=np.int32),
            }
        )


class Audience(scenario.VectorUserModel):
    """Those who like what they hear stay, those who do not leave soon."""

    def sample_users(self, stream):
        return Listeners(stream.integers(6) + 1, stream.uniform())

    def choose(self, users, documents, stream):
        hears = stream.uniform() < users.mood
        return np.where(hears, np.argmax(documents.value, axis=1), self.slate_size)

    def respond(self, users, documents, choice, stream):
        return Heard(scenario.clicked(choice, self.slate_size), documents.value, documents.genre)

    def update(self, users, documents, choice, responses, stream):
        users.patience -= 1
        users.mood = 0.9 * users.mood + 0.1 * stream.uniform()
        return users

    def is_done(self, users):
        return users.patience <= 0

    def observe_users(self, users):
        return users.mood[:, np.newaxis].copy()

    def user_space(self):
        return spaces.Box(0.0, 1.0, (1,), np.float32)

    def observe_responses(self, responses):
        return {"click": responses.clicked.view(np.int8), "value": responses.quality}

    def response_space(self):
        return spaces.Dict(
            {
                "click": spaces.MultiBinary(self.slate_size),
                "value": spaces.Box(0.0, 1.0, (self.slate_size,), np.float32),
            }
        )


def create_environment(num_envs=NUM_USERS, **kwargs):
    return vector_env.RecSimVectorEnv(
        Audience(2),
        SongSampler(),
        num_candidates=3,
        slate_size=2,
        num_envs=num_envs,
        reward_aggregator=lambda heard: (heard.quality * heard.clicked).sum(axis=1),
        metrics_aggregator=utils.video_cluster_metrics,
        metrics_writer=lambda metrics, add: add("CTR", metrics["click"] / metrics["impression"]),
        **{"seed": 4, **kwargs},
    )


class Learner(vector_agent.AbstractVectorAgent):
    """Learns what everybody likes, and what a user has heard in the episode."""

    def __init__(self, environment, seed=0):
        super().__init__(environment)
        self._streams = streams.chunk_streams(seed, "learner", 0, self.num_envs)
        self._liked = 0.0
        self._heard = np.zeros(self.num_envs)

    def begin(self, observation):
        self._heard[:] = 0
        return super().begin(observation)

    def step(self, observation, rewards, terminated, truncated, infos):
        clicks = vector_agent.last_responses(observation, infos)["click"].sum(axis=1)
        self._liked += float(rewards.sum())
        self._heard += clicks
        self._heard[terminated | truncated] = 0
        noise = np.concatenate([stream.uniform(3) for stream in self._streams])
        scores = noise + observation["doc"]["value"] * np.tanh(self._liked / 50)
        scores[:, 0] += self._heard
        return np.argsort(-scores, axis=1, kind="stable")[:, :2]

    def bundle_and_checkpoint(self, checkpoint_dir, iteration_number):
        return {
            "draws": [stream.state_dict() for stream in self._streams],
            "liked": self._liked,
            "heard": self._heard,
        }

    def unbundle(self, checkpoint_dir, iteration_number, bundle_dict):
        self._liked = bundle_dict["liked"]
        if len(bundle_dict["heard"]) == self.num_envs:
            self._heard = bundle_dict["heard"].copy()
        for stream, state in zip(self._streams, bundle_dict["draws"], strict=False):
            stream.load_state_dict(state)
        return True


def create_learner(sess, environment, eval_mode, summary_writer=None):
    return Learner(environment)


def train(base_dir, env=None, **kwargs):
    """Trains a learner."""
    settings = {
        "create_agent_fn": create_learner,
        "env": create_environment() if env is None else env,
        "max_training_steps": 22,
        "num_iterations": 6,
        "max_steps_per_episode": 4,
        "episode_log_file": "episodes.tfrecord",
        "progress": False,
        **kwargs,
    }
    runner_lib.TrainRunner(base_dir=base_dir, **settings).run_experiment()


def evaluate(base_dir, env=None, **kwargs):
    """Evaluates a learner."""
    settings = {
        "create_agent_fn": create_learner,
        "env": create_environment() if env is None else env,
        "max_eval_episodes": 13,
        "max_steps_per_episode": 4,
        "test_mode": True,
        "progress": False,
        **kwargs,
    }
    runner_lib.EvalRunner(base_dir=base_dir, **settings).run_experiment()


if __name__ == "__main__":
    print("training", flush=True)
    train(sys.argv[1], num_iterations=40)
    evaluate(sys.argv[1])
    assert "tensorflow" not in sys.modules
    print("done", flush=True)
