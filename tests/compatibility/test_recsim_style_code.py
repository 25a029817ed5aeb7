"""Code as it was written for RecSim runs here: old calls of super, habits of old NumPy."""

import gym
import numpy as np
import pytest
from gym import spaces
from support import recsim_names

from recsim import agent, choice_model, document, testing, user
from recsim.environments import interest_evolution, long_term_satisfaction
from recsim.simulator import environment, recsim_gym, runner_lib

# ruff: noqa: UP008


class SnackDocument(document.AbstractDocument):
    def __init__(self, doc_id, healthiness):
        self.healthiness = healthiness
        super(SnackDocument, self).__init__(doc_id)

    def create_observation(self):
        return np.array([self.healthiness])

    @staticmethod
    def observation_space():
        return spaces.Box(shape=(1,), dtype=np.float32, low=0.0, high=1.0)


class SnackSampler(document.AbstractDocumentSampler):
    def __init__(self, doc_ctor=SnackDocument, **kwargs):
        super(SnackSampler, self).__init__(doc_ctor, **kwargs)
        self._doc_count = 0

    def sample_document(self):
        features = {"doc_id": self._doc_count, "healthiness": self._rng.random_sample()}
        self._doc_count += 1
        return self._doc_ctor(**features)


class SnackUserState(user.AbstractUserState):
    def __init__(self, appetite, time_budget):
        self.appetite = appetite
        self.time_budget = time_budget

    def create_observation(self):
        return np.array([self.appetite])

    @staticmethod
    def observation_space():
        return spaces.Box(shape=(1,), dtype=np.float32, low=0.0, high=1.0)

    def score_document(self, doc_obs):
        return self.appetite - doc_obs  # An array of one entry.


class SnackUserSampler(user.AbstractUserSampler):
    def __init__(self, user_ctor=SnackUserState, **kwargs):
        super(SnackUserSampler, self).__init__(user_ctor, **kwargs)

    def sample_user(self):
        return self._user_ctor(appetite=self._rng.uniform(), time_budget=12)


class SnackResponse(user.AbstractResponse):
    def __init__(self, clicked=False, enjoyment=0.0):
        self.clicked = clicked
        self.enjoyment = enjoyment

    def create_observation(self):
        return {"click": int(self.clicked), "enjoyment": np.array(self.enjoyment)}

    @classmethod
    def response_space(cls):
        box = spaces.Box(low=0.0, high=10.0, shape=(), dtype=np.float32)
        return spaces.Dict({"click": spaces.Discrete(2), "enjoyment": box})


class SnackUserModel(user.AbstractUserModel):
    def __init__(self, slate_size, seed=0, choice=choice_model.MultinomialLogitChoiceModel):
        super(SnackUserModel, self).__init__(
            SnackResponse, SnackUserSampler(SnackUserState, seed=seed), slate_size
        )
        features = {"no_click_mass": 0.1, "min_normalizer": -1.0, "score_scaling": 0.2}
        self.choice_model = choice(features)

    def simulate_response(self, slate_documents):
        responses = [self._response_model_ctor() for _ in slate_documents]
        observations = [doc.create_observation() for doc in slate_documents]
        self.choice_model.score_documents(self._user_state, observations)
        selected = self.choice_model.choose_item()
        if selected is not None:
            responses[selected].clicked = True
            responses[selected].enjoyment = 1.0 + slate_documents[selected].healthiness
        return responses

    def update_state(self, slate_documents, responses):
        self._user_state.time_budget -= 1

    def is_terminal(self):
        return self._user_state.time_budget <= 0


def enjoyment(responses):
    return sum(response.enjoyment for response in responses)


def make_env(choice=choice_model.MultinomialLogitChoiceModel, user_model=None):
    user_model = user_model or SnackUserModel(2, choice=choice)
    raw_environment = environment.Environment(
        user_model, SnackSampler(), 6, 2, resample_documents=True
    )
    return recsim_gym.RecSimGymEnv(raw_environment, enjoyment)


@pytest.mark.parametrize(
    "choice",
    [
        choice_model.MultinomialLogitChoiceModel,
        choice_model.MultinomialProportionalChoiceModel,
        choice_model.ExponentialCascadeChoiceModel,
        choice_model.ProportionalCascadeChoiceModel,
    ],
)
def test_scores_may_be_arrays_of_one_entry(choice):
    testing.check_environment(lambda: make_env(choice))


def test_scores_of_a_models_own_may_be_arrays_of_one_entry():
    class Fixed(choice_model.NormalizableChoiceModel):
        def __init__(self, choice_features):
            pass

        def score_documents(self, user_state, doc_obs):
            self._scores = np.array([[0.0], [2.0]])
            self._score_no_click = np.array([0.0])

    model = Fixed({})
    model.score_documents(None, None)
    assert {model.choose_item() for _ in range(10)} == {1}


class UserModelOfItsOwn(SnackUserModel):
    """Does not call the base class's __init__."""

    def __init__(self):
        self._user_sampler = SnackUserSampler(SnackUserState, seed=2)
        self._user_state = self._user_sampler.sample_user()
        self._response_model_ctor = SnackResponse
        self._slate_size = 2
        self.choice_model = choice_model.MultinomialLogitChoiceModel({"no_click_mass": 0.1})


def test_a_user_model_that_skips_its_base_class():
    testing.check_environment(lambda: make_env(user_model=UserModelOfItsOwn()))


class SamplerOfItsOwn(SnackSampler):
    """Samples from what is not a generator, and does not call the base class's __init__."""

    def __init__(self):
        self._doc_count = 0
        self._doc_ctor = SnackDocument
        self.reset_sampler()

    def reset_sampler(self):
        self._rng = iter(np.linspace(0.0, 1.0, 50).tolist() * 50)

    def sample_document(self):
        self._doc_count += 1
        return SnackDocument(self._doc_count, next(self._rng))


class FirstSlate(agent.AbstractEpisodicRecommenderAgent):
    def __init__(self, action_space, log):
        super(FirstSlate, self).__init__(action_space)
        self._log = log

    def step(self, reward, observation):
        return list(range(self._slate_size))

    def end_episode(self, reward, observation):
        self._log.append((reward, observation["response"]))


def test_an_environment_with_a_foreign_generator_and_an_old_agent_run_in_a_runner(tmp_path):
    log = []
    raw_environment = environment.Environment(SnackUserModel(2), SamplerOfItsOwn(), 6, 2)
    runner = runner_lib.EvalRunner(
        base_dir=str(tmp_path),
        create_agent_fn=lambda sess, env, eval_mode, summary_writer: FirstSlate(
            env.action_space, log
        ),
        env=recsim_gym.RecSimGymEnv(raw_environment, enjoyment),
        max_eval_episodes=3,
        max_steps_per_episode=5,
        test_mode=True,
        progress=False,
    )
    runner.run_experiment()
    assert len(log) == 3


class OneSlateForEach(agent.AbstractMultiUserEpisodicRecommenderAgent):
    def __init__(self, action_space):
        super(OneSlateForEach, self).__init__(action_space)

    def step(self, reward, observation):
        assert len(observation["user"]) == self._num_users
        return [[0, 1]] * self._num_users


def test_several_users_in_a_runner(tmp_path):
    raw_environment = environment.MultiUserEnvironment(
        [SnackUserModel(2, seed=seed) for seed in range(3)], SnackSampler(), 6, 2
    )
    env = recsim_gym.RecSimGymEnv(
        raw_environment, lambda responses: np.array([enjoyment(one) for one in responses])
    )
    runner = runner_lib.TrainRunner(
        base_dir=str(tmp_path),
        create_agent_fn=lambda sess, env, eval_mode, summary_writer: OneSlateForEach(
            env.action_space
        ),
        env=env,
        max_training_steps=24,
        num_iterations=2,
        progress=False,
    )
    runner.run_experiment()
    assert recsim_names.episode_statistics(runner)["episode_length"] == [12, 12]
    assert all(reward > 0 for reward in recsim_names.episode_statistics(runner)["episode_reward"])


class RenumberedDocument(SnackDocument):
    def doc_id(self):
        return 1000 + self._doc_id


def test_documents_may_have_ids_of_their_own():
    candidates = SnackSampler(doc_ctor=RenumberedDocument).sample_candidates(2)
    assert list(candidates.create_observation()) == ["1000", "1001"]


def test_an_empty_slate_gets_no_response():
    env = make_env()
    env.reset()
    observation, reward, *_ = env.step([])
    assert (observation["response"], reward) == ((), 0)


class HalvedRewards(gym.Wrapper):
    """A wrapper as written for the Gym of RecSim's time."""

    def step(self, action):
        observation, reward, done, info = self.env.step(action)
        return observation, reward / 2, done, info

    def reset(self):
        return self.env.reset()


def test_wrappers_of_gym_around_an_environment_in_a_runner(tmp_path):
    log = []
    returns = {}
    for name, wrap in (("bare", lambda env: env), ("wrapped", HalvedRewards)):
        runner = runner_lib.TrainRunner(
            base_dir=tmp_path / name,
            create_agent_fn=lambda sess, env, eval_mode, summary_writer: FirstSlate(
                env.action_space, log
            ),
            env=wrap(make_env()),
            max_training_steps=24,
            num_iterations=2,
            progress=False,
        )
        runner.run_experiment()
        returns[name] = recsim_names.episode_statistics(runner)["episode_reward"]
    assert returns["wrapped"] == [total / 2 for total in returns["bare"]]
    assert max(returns["bare"]) > 0


def test_samplers_with_an_init_of_their_own_sample_as_in_recsim():
    class Documents(long_term_satisfaction.LTSDocumentSampler):
        def __init__(self):
            document.AbstractDocumentSampler.__init__(self, long_term_satisfaction.LTSDocument)
            self._doc_count = 0

    class Users(long_term_satisfaction.LTSStaticUserSampler):
        def __init__(self):
            user.AbstractUserSampler.__init__(self, long_term_satisfaction.LTSUserState)
            self._state_parameters = {
                **long_term_satisfaction.LTSStaticUserSampler()._state_parameters,
                "memory_discount": 0.5,
            }

    class Viewers(interest_evolution.UtilityModelUserSampler):
        def __init__(self):
            user.AbstractUserSampler.__init__(self, interest_evolution.IEvUserState)
            self._document_quality_factor = self._no_click_mass = 1.0
            self._min_normalizer = -1.0

    viewer = interest_evolution.UtilityModelUserSampler().sample_user()
    np.testing.assert_equal(vars(Viewers().sample_user()), vars(viewer))
    uniform = np.random.RandomState(0).random_sample()
    assert Documents().sample_document().clickbait_score == uniform
    assert Users().sample_user().net_positive_exposure == (uniform - 0.5) / (1 - 0.5)
