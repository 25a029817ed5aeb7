"""Objects with the methods that RecSim calls, and none of its base classes.

Under RecSim 0.2.4 and under this library it prints the same line, which duck_typed.json has.
"""

import glob
import json
import os
import sys
import tempfile

import numpy as np
from gym import spaces

from recsim import choice_model, user
from recsim.agents import cluster_bandit_agent, greedy_pctr_agent
from recsim.agents.layers import cluster_click_statistics
from recsim.simulator import environment, recsim_gym, runner_lib

SLATE_SIZE = 2
NUM_CANDIDATES = 4


class Poem:
    def __init__(self, number, length):
        self.number, self.length = number, length

    def doc_id(self):
        return self.number

    def create_observation(self):
        return {
            "cluster_id": self.number % 2,
            "length": np.array([self.length]),
            "quality": np.array(self.length),
        }

    def observation_space(self):
        return spaces.Dict(
            {
                "cluster_id": spaces.Discrete(2),
                "length": spaces.Box(0.0, 1.0, (1,), np.float32),
                "quality": spaces.Box(0.0, 1.0, (), np.float32),
            }
        )


class Library:
    """A sampler of documents."""

    def __init__(self, seed):
        self.seed = seed
        self.reset_sampler()

    def reset_sampler(self):
        self.stream = np.random.RandomState(self.seed)
        self.count = 0

    def sample_document(self):
        self.count += 1
        return Poem(self.count, self.stream.rand())

    def update_state(self, documents, responses):
        pass


class ReaderState:
    def __init__(self, taste):
        self.taste = taste

    def create_observation(self):
        return np.array([self.taste])

    def observation_space(self):
        return spaces.Box(0.0, 1.0, (1,), np.float32)

    def score_document(self, observation):
        return self.taste * observation["length"][0]


class Readers:
    """A sampler of users."""

    def __init__(self, seed):
        self.seed = seed
        self.reset_sampler()

    def reset_sampler(self):
        self.stream = np.random.RandomState(self.seed)

    def sample_user(self):
        return ReaderState(self.stream.rand())


class Reading:
    def __init__(self, poem, liked):
        self.poem, self.liked = poem, liked

    def create_observation(self):
        return {"click": int(self.liked), "cluster_id": self.poem.number % 2}

    @staticmethod
    def response_space():
        return spaces.Dict({"click": spaces.Discrete(2), "cluster_id": spaces.Discrete(2)})


class Preference:
    """A choice model."""

    def score_documents(self, user_state, doc_obs):
        self.scores = np.array([user_state.score_document(one) for one in doc_obs])
        self.score_no_click = 0.3

    def choose_item(self):
        best = int(np.argmax(self.scores))
        return best if self.scores[best] > self.score_no_click else None


class Reader:
    """A user model."""

    def __init__(self, seed):
        self.readers = Readers(seed)
        self.choice_model = Preference()
        self.reset()

    def reset(self):
        self.state = self.readers.sample_user()
        self.read = 0

    def reset_sampler(self):
        self.readers.reset_sampler()

    def create_observation(self):
        return self.state.create_observation()

    def observation_space(self):
        return self.state.observation_space()

    def response_space(self):
        return spaces.Tuple((Reading.response_space(),) * SLATE_SIZE)

    def simulate_response(self, documents):
        observations = [poem.create_observation() for poem in documents]
        self.choice_model.score_documents(self.state, observations)
        chosen = self.choice_model.choose_item()
        return [Reading(poem, place == chosen) for place, poem in enumerate(documents)]

    def update_state(self, documents, responses):
        self.read += 1
        self.state.taste = 0.9 * self.state.taste + 0.1 * any(one.liked for one in responses)

    def is_terminal(self):
        return self.read >= 5


class ReaderOfRecSims(user.AbstractUserModel):
    """A user model with the base class, a sampler without one and choices at random."""

    def __init__(self, seed):
        super().__init__(Reading, Readers(seed), SLATE_SIZE)
        self.choices = [choice_model.MultinomialLogitChoiceModel({"no_click_mass": 0.2})]
        self.read = 0

    def reset(self):
        super().reset()
        self.read = 0

    def simulate_response(self, documents):
        observations = [poem.create_observation() for poem in documents]
        self.choices[0].score_documents(self._user_state, observations)
        chosen = self.choices[0].choose_item()
        return [Reading(poem, place == chosen) for place, poem in enumerate(documents)]

    def update_state(self, documents, responses):
        self.read += 1

    def is_terminal(self):
        return self.read >= 4


class ReadingRoom:
    """An environment of one user."""

    num_candidates = NUM_CANDIDATES
    slate_size = SLATE_SIZE

    def __init__(self, user_model):
        self.user_model = user_model
        self.library = Library(6)
        self.inner = environment.SingleUserEnvironment(
            user_model, self.library, NUM_CANDIDATES, SLATE_SIZE
        )

    @property
    def candidate_set(self):
        return self.inner.candidate_set

    def reset(self):
        return self.inner.reset()

    def reset_sampler(self):
        self.inner.reset_sampler()

    def step(self, slate):
        # In this order: it is not what an environment of RecSim's does.
        poems = self.candidate_set.get_all_documents()
        documents = [poems[place] for place in slate]
        responses = self.user_model.simulate_response(documents)
        self.user_model.update_state(documents, responses)
        observations = self.candidate_set.create_observation()
        done = self.user_model.is_terminal()
        return self.user_model.create_observation(), observations, responses, done


class Rotating:
    """An agent."""

    multi_user = False

    def __init__(self, multi_user=False, num_users=1):
        self.multi_user, self.num_users = multi_user, num_users
        self.shown = 0

    def slate(self):
        self.shown += 1
        one = [(self.shown + place) % NUM_CANDIDATES for place in range(SLATE_SIZE)]
        return [one] * self.num_users if self.multi_user else one

    def begin_episode(self, observation):
        return self.slate()

    def step(self, reward, observation):
        return self.slate()

    def end_episode(self, reward, observation):
        pass

    def bundle_and_checkpoint(self, checkpoint_dir, iteration_number):
        return {"shown": self.shown}

    def unbundle(self, checkpoint_dir, iteration_number, bundle_dict):
        self.shown = bundle_dict["shown"]
        return True


class Counted:
    """A wrapper that passes all on."""

    def __init__(self, agent):
        self.agent, self.calls = agent, 0

    def __getattr__(self, name):
        return getattr(self.agent, name)

    def end_episode(self, *args, **kwargs):
        self.calls += 1
        return self.agent.end_episode(*args, **kwargs)


def assigned():
    """Returns an agent whose methods are its attributes."""
    agent, inner = Rotating.__new__(Rotating), Rotating()
    for name in ("begin_episode", "step", "end_episode", "bundle_and_checkpoint", "unbundle"):
        setattr(agent, name, getattr(inner, name))
    return agent


class BestLength:
    """A base agent of a layer."""

    def __init__(self, observation_space, action_space):
        assert "sufficient_statistics" in observation_space.spaces["user"].spaces
        self.seen = 0

    def begin_episode(self, observation=None):
        return self.step(0, observation)

    def step(self, reward, observation):
        self.seen += int(observation["user"]["sufficient_statistics"]["click_count"].sum())
        lengths = [one["length"][0] for one in observation["doc"].values()]
        return [int(np.argmax(lengths)), self.seen % NUM_CANDIDATES]

    def end_episode(self, reward, observation=None):
        pass

    def bundle_and_checkpoint(self, checkpoint_dir, iteration_number):
        return {"seen": self.seen}

    def unbundle(self, checkpoint_dir, iteration_number, bundle_dict):
        self.seen = bundle_dict["seen"]
        return True


class HalfBandit:
    """A bandit algorithm: the arm with the fewest pulls."""

    def __init__(self, num_arms, params, seed=0):
        self.num_arms = num_arms

    def set_state(self, pulls, reward):
        self.pulls, self.reward = np.array(pulls), np.array(reward)

    def get_score(self, t):
        return -self.pulls - 0.01 * np.arange(self.num_arms)

    @staticmethod
    def print():
        return "half"


def liked(responses):
    return float(sum(one.liked for one in responses))


def liked_by_each(responses):
    return np.array([liked(of_one) for of_one in responses])


def count(responses, metrics, info):
    metrics["count"] += 1
    return metrics


def write(metrics, add_summary):
    add_summary("count", metrics["count"])


def single(model):
    return environment.SingleUserEnvironment(model, Library(5), NUM_CANDIDATES, SLATE_SIZE)


def several(models):
    return environment.MultiUserEnvironment(models, Library(5), NUM_CANDIDATES, SLATE_SIZE)


def greedy(env):
    return greedy_pctr_agent.GreedyPCTRAgent(env.action_space, ReaderState(0.7), Preference())


def layer(base_agent_ctor, **kwargs):
    return lambda env: cluster_click_statistics.ClusterClickStatsLayer(
        base_agent_ctor, env.observation_space, env.action_space, **kwargs
    )


def array_of(models):
    array = np.empty(len(models), dtype=object)
    array[:] = models
    return array


CASES = {
    "all": (lambda: single(Reader(1)), lambda env: Rotating()),
    "a sampler of users": (lambda: single(ReaderOfRecSims(1)), lambda env: Rotating()),
    "an environment": (lambda: ReadingRoom(Reader(2)), lambda env: Rotating()),
    "an environment with choices": (lambda: ReadingRoom(ReaderOfRecSims(2)), greedy),
    "several users": (lambda: several([Reader(1), Reader(2)]), lambda env: Rotating(True, 2)),
    "an array of users": (
        lambda: several(array_of([Reader(1), ReaderOfRecSims(2)])),
        lambda env: Rotating(True, 2),
    ),
    "a choice model of an agent": (lambda: single(Reader(3)), greedy),
    "a wrapper": (lambda: single(Reader(3)), lambda env: Counted(Rotating())),
    "methods as attributes": (lambda: single(Reader(3)), lambda env: assigned()),
    "a base agent": (lambda: single(ReaderOfRecSims(3)), layer(BestLength)),
    "a bandit": (
        lambda: single(ReaderOfRecSims(3)),
        layer(cluster_bandit_agent.ClusterBanditAgent, alg_ctor=HalfBandit),
    ),
}


def train_and_evaluate(make_environment, make_agent, base_dir):
    """Returns the returns of the training's episodes, and of an evaluation's."""
    returns = []

    class Trainer(runner_lib.TrainRunner):
        def _run_one_episode(self):
            length, total = super()._run_one_episode()
            returns.append([length, np.sum(total).tolist()])
            return length, total

    def make():
        raw = make_environment()
        several_users = isinstance(raw, environment.MultiUserEnvironment)
        env = recsim_gym.RecSimGymEnv(raw, liked_by_each if several_users else liked, count, write)
        env.seed(9)
        return env

    shared = {
        "base_dir": base_dir,
        "create_agent_fn": lambda sess, env, eval_mode, summary_writer: make_agent(env),
        "max_steps_per_episode": 4,
    }
    Trainer(env=make(), max_training_steps=9, num_iterations=2, **shared).run_experiment()
    if isinstance(make_environment(), environment.MultiUserEnvironment):
        return returns, None  # RecSim cannot evaluate several users.
    evaluator = runner_lib.EvalRunner(env=make(), max_eval_episodes=2, test_mode=True, **shared)
    evaluator.run_experiment()
    (path,) = glob.glob(os.path.join(base_dir, "eval_2", "returns_*"))
    with open(path) as file:
        return returns, json.loads(file.read())


def main():
    results = {}
    for name, (make_environment, make_agent) in CASES.items():
        with tempfile.TemporaryDirectory() as base_dir:
            try:
                results[name] = train_and_evaluate(make_environment, make_agent, base_dir)
            except Exception as error:
                if "-v" in sys.argv:
                    raise
                results[name] = repr(error)
    return results


if __name__ == "__main__":
    runner_lib.tf.disable_eager_execution()
    print(json.dumps(main()))
