"""A scenario whose users own generators, and its trace: record it with an interpreter of RecSim's.

python record_own_generators.py > own_generators.json

The same code runs with this library, for the test.
"""

import json
import platform
import sys

import numpy as np
from gym import spaces

from recsim import choice_model, document, user
from recsim.simulator import environment, recsim_gym

NUM_CANDIDATES = 5
SLATE_SIZE = 2


class Song(document.AbstractDocument):
    def __init__(self, doc_id, loudness):
        super().__init__(doc_id)
        self.loudness = loudness

    def create_observation(self):
        return np.array([self.loudness])

    @classmethod
    def observation_space(cls):
        return spaces.Box(shape=(1,), dtype=np.float32, low=0.0, high=1.0)


class SongSampler(document.AbstractDocumentSampler):
    def __init__(self, seed):
        super().__init__(Song, seed=seed)
        self._doc_count = 0

    def sample_document(self):
        self._doc_count += 1
        return self._doc_ctor(self._doc_count, self._rng.random_sample())


class ListenerState(user.AbstractUserState):
    def __init__(self, taste, patience):
        self.taste = taste
        self.patience = patience

    def create_observation(self):
        return np.array([self.taste])

    @staticmethod
    def observation_space():
        return spaces.Box(shape=(1,), dtype=np.float32, low=-50.0, high=50.0)

    def score_document(self, doc_obs):
        return float(self.taste * doc_obs[0])


class ListenerSampler(user.AbstractUserSampler):
    def __init__(self, seed):
        super().__init__(ListenerState, seed=seed)

    def sample_user(self):
        return self._user_ctor(self._rng.uniform(0.0, 3.0), self._rng.randint(3, 7))


class Listening(user.AbstractResponse):
    def __init__(self):
        self.clicked = False
        self.seconds = 0.0

    def create_observation(self):
        return {"click": int(self.clicked), "seconds": np.array(self.seconds)}

    @classmethod
    def response_space(cls):
        seconds = spaces.Box(low=0.0, high=1000.0, shape=(), dtype=np.float32)
        return spaces.Dict({"click": spaces.Discrete(2), "seconds": seconds})


class Listener(user.AbstractUserModel):
    """Chooses by RecSim's choice model, and draws all else from a generator of its own."""

    def __init__(self, seed, own_seed):
        # As much before the base class's __init__ as after it.
        self._rng = np.random.RandomState(own_seed)
        super().__init__(Listening, ListenerSampler(seed), SLATE_SIZE)
        self.choice_model = choice_model.MultinomialLogitChoiceModel({"no_click_mass": 0.5})

    def draw(self):
        return self._rng.rand()

    def simulate_response(self, documents):
        responses = [self._response_model_ctor() for _ in documents]
        observations = [song.create_observation() for song in documents]
        self.choice_model.score_documents(self._user_state, observations)
        selected = self.choice_model.choose_item()
        if selected is not None:
            responses[selected].clicked = True
            responses[selected].seconds = 10.0 * self.draw()
        return responses

    def update_state(self, slate_documents, responses):
        self._user_state.patience -= 1
        self._user_state.taste += self.draw() - 0.5

    def is_terminal(self):
        return self._user_state.patience <= 0


class ModernListener(Listener):
    """Has a generator of NumPy's newer kind, made after the base class's __init__."""

    def __init__(self, seed, own_seed):
        super().__init__(seed, own_seed)
        self._rng = np.random.default_rng(own_seed)

    def draw(self):
        return float(self._rng.random())


class OwnChoice(choice_model.MultinomialLogitChoiceModel):
    """A choice model with a generator of its own beside the choice, which RecSim makes."""

    def __init__(self, choice_features, own_seed):
        super().__init__(choice_features)
        self._rng = np.random.RandomState(own_seed)

    def score_documents(self, user_state, doc_obs):
        noise = self._rng.normal(size=len(doc_obs))
        noisy = [obs + 0.1 * one for obs, one in zip(doc_obs, noise)]
        super().score_documents(user_state, noisy)


class NoisyListener(Listener):
    """Shares a generator between its choice models, of which it has a list, and itself."""

    def __init__(self, seed, own_seed):
        super().__init__(seed, own_seed)
        self._moods = [OwnChoice({"no_click_mass": mass}, own_seed + 1) for mass in (-1.0, 1.0)]

    def simulate_response(self, documents):
        self.choice_model = self._moods[self._user_state.patience % 2]
        return super().simulate_response(documents)


def seconds(responses):
    return [float(sum(response.seconds for response in of_user)) for of_user in responses]


def make(config):
    kinds = {"Listener": Listener, "ModernListener": ModernListener, "NoisyListener": NoisyListener}
    users = [kinds[kind](seed, own_seed) for kind, seed, own_seed in config["users"]]
    raw_environment = environment.MultiUserEnvironment(
        users,
        SongSampler(config["seed"]),
        NUM_CANDIDATES,
        SLATE_SIZE,
        resample_documents=config["resample_documents"],
    )
    return recsim_gym.RecSimGymEnv(raw_environment, seconds)


def plain(value):
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def run(config, num_steps):
    """Returns what comes of a reset and of each step, under random slates."""
    env = make(config)
    env.seed(config["env_seed"])
    slates = np.random.RandomState(config["env_seed"] + 1000)
    first = env.reset()
    steps = [{key: first[key] for key in ("user", "doc")}]
    for _ in range(num_steps):
        slate = [slates.permutation(NUM_CANDIDATES)[:SLATE_SIZE].tolist() for _ in config["users"]]
        observation, reward, done, _ = env.step(slate)
        steps.append(dict(observation, slate=slate, reward=reward, done=bool(done)))
        if done:
            first = env.reset()
            steps.append({key: first[key] for key in ("user", "doc")})
    return plain(steps)


CONFIGS = [
    {
        "users": [["Listener", 0, 1], ["Listener", 1, 2]],
        "seed": 3,
        "env_seed": 4,
        "resample_documents": True,
    },
    {
        "users": [["ModernListener", 5, 6], ["NoisyListener", 6, 7], ["Listener", 7, 8]],
        "seed": 9,
        "env_seed": 5,
        "resample_documents": False,
    },
]


def main():
    source = (
        "RecSim 0.2.4 (google-research/recsim, Apache-2.0), "
        f"Python {platform.python_version()}, NumPy {np.__version__}"
    )
    traces = [{"config": config, "steps": run(config, 30)} for config in CONFIGS]
    json.dump({"source": source, "traces": traces}, sys.stdout)


if __name__ == "__main__":
    main()
