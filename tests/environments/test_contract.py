"""Every environment, single-user and multi-user, keeps the contract of recsim.testing."""

import pickle

import numpy as np
import pytest

from recsim import choice_model, registry, testing
from recsim.environments import interest_evolution
from recsim.simulator import environment, recsim_gym


def make_single(name, resample):
    config = {"num_candidates": 8, "slate_size": 3, "resample_documents": resample, "seed": 4}
    return registry.create_environment(name, config)


def make_several(resample):
    users = [
        interest_evolution.IEvUserModel(
            3, choice_model_ctor=choice_model.MultinomialProportionalChoiceModel, seed=seed
        )
        for seed in range(3)
    ]
    raw_environment = environment.MultiUserEnvironment(
        users, interest_evolution.UtilityModelVideoSampler(), 8, 3, resample_documents=resample
    )
    return recsim_gym.RecSimGymEnv(
        raw_environment,
        lambda all_: [interest_evolution.clicked_watchtime_reward(one) for one in all_],
    )


@pytest.mark.parametrize("resample", [True, False])
@pytest.mark.parametrize("name", registry.ENVIRONMENTS)
def test_scenario(name, resample):
    testing.check_environment(lambda: make_single(name, resample))


@pytest.mark.parametrize("resample", [True, False])
def test_several_users(resample):
    testing.check_environment(lambda: make_several(resample), num_steps=400)


@pytest.mark.parametrize("name", registry.ENVIRONMENTS)
def test_an_environment_can_be_pickled_in_the_middle_of_an_episode(name):
    env = make_single(name, True)
    env.reset()
    env.step([0, 1, 2])
    second = pickle.loads(pickle.dumps(env))
    for _ in range(5):
        (observation, reward, *_), (second_observation, second_reward, *_) = (
            each.step([2, 1]) for each in (env, second)
        )
        assert reward == second_reward
        np.testing.assert_equal(observation, second_observation)
    assert str(second.observation_space) == str(env.observation_space)


class LeakingObservation(interest_evolution.IEvUserModel):
    """Hands out its interests themselves and changes them in place, as RecSim does."""

    def create_observation(self):
        return self._user_state.user_interests

    def update_state(self, slate_documents, responses):
        interests = self._user_state.user_interests
        super().update_state(slate_documents, responses)
        interests[...] = self._user_state.user_interests
        self._user_state.user_interests = interests


def test_what_becomes_of_an_observation_does_not_change_the_environment():
    env, second = (make_single("interest_evolution", True) for _ in range(2))
    for _ in range(3):
        observation, _ = env.reset(), second.reset()
        observation["user"] += 5.0
        for document in observation["doc"].values():
            document *= -3.0
        for slate in ([0, 1, 2], [3, 4, 5]):
            (observation, reward, *_), (other, other_reward, *_) = (
                env.step(slate),
                second.step(slate),
            )
            assert reward == other_reward
            np.testing.assert_equal(observation, other)
            for document in observation["doc"].values():
                document += 1.0


class GlobalDraws(interest_evolution.IEvUserModel):
    """Draws from NumPy's global generator."""

    def simulate_response(self, documents):
        np.random.rand()
        return super().simulate_response(documents)


class OutOfBounds(interest_evolution.IEvUserModel):
    """Shows interests outside the observation space."""

    def create_observation(self):
        return 2.0 + super().create_observation()


@pytest.mark.parametrize(
    ("user_model", "message"),
    [
        (LeakingObservation, "after it was returned"),
        (GlobalDraws, "global generators"),
        (OutOfBounds, "must lie within"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*draws from NumPy's global generator:UserWarning")
def test_the_contract_notices_faults(user_model, message):
    def make():
        user = user_model(
            2, choice_model_ctor=choice_model.MultinomialProportionalChoiceModel, seed=1
        )
        sampler = interest_evolution.UtilityModelVideoSampler()
        raw_environment = environment.SingleUserEnvironment(user, sampler, 5, 2)
        return recsim_gym.RecSimGymEnv(raw_environment, interest_evolution.clicked_watchtime_reward)

    global_state = np.random.get_state()
    with pytest.raises((AssertionError, ValueError), match=message):
        testing.check_environment(make)
    np.random.set_state(global_state)
