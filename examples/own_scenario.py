"""A scenario of one's own: users grow tired of a genre that they see too often.

Each document has a genre. A user likes each genre to a degree, and a genre shown in the last slates
less. The scenario is checked against the library's contract; then two simple policies are compared:
one that always recommends the favourite genre, and one that alternates.
"""

from __future__ import annotations

import argparse

import numpy as np
from gymnasium import spaces

from recsim import choice_model, document, testing, user
from recsim.simulator import environment, recsim_gym

NUM_GENRES = 3


class Film(document.AbstractDocument):
    """A document of a genre."""

    def __init__(self, doc_id, genre):
        super().__init__(doc_id)
        self.genre = genre

    def create_observation(self):
        return np.array(self.genre)

    @classmethod
    def observation_space(cls):
        return spaces.Discrete(NUM_GENRES)


class FilmSampler(document.AbstractDocumentSampler):
    """Samples films of uniform genres from `self._rng`, which the base class seeds."""

    def __init__(self, doc_ctor=Film, **kwargs):
        super().__init__(doc_ctor, **kwargs)
        self._doc_count = 0

    def sample_document(self):
        film = self._doc_ctor(self._doc_count, int(self._rng.randint(NUM_GENRES)))
        self._doc_count += 1
        return film


class Viewer(user.AbstractUserState):
    """How much a user likes each genre and how tired of each they are."""

    def __init__(self, liking):
        self.liking = np.asarray(liking)
        self.fatigue = np.zeros(NUM_GENRES)
        self.steps_left = 30

    def score_document(self, doc_obs):
        return float(self.liking[int(doc_obs)] - self.fatigue[int(doc_obs)])

    def create_observation(self):
        return self.liking.copy()

    @staticmethod
    def observation_space():
        return spaces.Box(0.0, 2.0, shape=(NUM_GENRES,), dtype=np.float64)


class ViewerSampler(user.AbstractUserSampler):
    """Samples users with uniform likings."""

    def sample_user(self):
        return self._user_ctor(self._rng.uniform(0.0, 2.0, size=NUM_GENRES))


class Viewing(user.AbstractResponse):
    """Whether a film was watched."""

    def __init__(self, watched=False):
        self.watched = watched

    def create_observation(self):
        return np.array(int(self.watched))

    @classmethod
    def response_space(cls):
        return spaces.Discrete(2)


class ViewerModel(user.AbstractUserModel):
    """Users who choose by a multinomial logit model and tire of what they are shown."""

    def __init__(self, slate_size, seed=0):
        super().__init__(Viewing, ViewerSampler(Viewer, seed=seed), slate_size)
        self._choice_model = choice_model.MultinomialLogitChoiceModel({"no_click_mass": 1.0})

    def simulate_response(self, documents):
        responses = [self._response_model_ctor() for _ in documents]
        self._choice_model.score_documents(
            self._user_state, [film.create_observation() for film in documents]
        )
        chosen = self._choice_model.choose_item()
        if chosen is not None:
            responses[chosen].watched = True
        return responses

    def update_state(self, slate_documents, responses):
        state = self._user_state
        state.fatigue *= 0.7
        for film in slate_documents:
            state.fatigue[film.genre] += 1.0
        state.steps_left -= 1

    def is_terminal(self):
        return self._user_state.steps_left <= 0


def films_watched(responses):
    """The reward of a slate."""
    return float(sum(response.watched for response in responses))


def make_environment(seed=0):
    scenario = environment.SingleUserEnvironment(
        ViewerModel(slate_size=1, seed=seed),
        FilmSampler(seed=seed),
        num_candidates=12,
        slate_size=1,
        resample_documents=True,
    )
    return recsim_gym.RecSimGymEnv(scenario, films_watched)


def favourite(observation, step):
    """Returns the position of a film of the favourite genre."""
    return _of_best_genre(observation, observation["user"])


def alternating(observation, step):
    """Returns the position of a film of the favourite genre and of the second alternately."""
    second = np.argsort(observation["user"])[-2]
    liking = observation["user"].copy()
    liking[second] += 2.0 * (step % 2)
    return _of_best_genre(observation, liking)


def _of_best_genre(observation, liking):
    genres = np.array([int(genre) for genre in observation["doc"].values()])
    return int(np.argmax(liking[genres]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--episodes", type=int, default=200, help="number of users (%(default)s)")
    args = parser.parse_args()

    testing.check_environment(make_environment)

    for policy in (favourite, alternating):
        env = make_environment()
        watched = []
        for _ in range(args.episodes):
            observation, done, rewards = env.reset(), False, []
            while not done:
                slate = [policy(observation, len(rewards))]
                observation, reward, done, _ = env.step(slate)
                rewards.append(reward)
            watched.append(sum(rewards))
        error = np.std(watched, ddof=1) / np.sqrt(len(watched))
        name = policy.__name__
        print(f"{name}: {np.mean(watched):.1f} films of 30 watched, standard error {error:.2f}")


if __name__ == "__main__":
    main()
