"""Environments of one user and of several: steps, recorded transitions and checkpoints."""

import pytest
from support import recorded, recsim_names

from recsim import choice_model, testing
from recsim.environments import interest_evolution, interest_exploration
from recsim.simulator import environment, recsim_gym

TRACES = recorded("multi_user")["traces"]


def make_several(name, config):
    if name == "interest_evolution":
        users = [
            interest_evolution.IEvUserModel(
                config["slate_size"],
                choice_model_ctor=choice_model.MultinomialProportionalChoiceModel,
                seed=seed,
            )
            for seed in config["user_seeds"]
        ]
        sampler = interest_evolution.UtilityModelVideoSampler(seed=config["seed"])
        reward = interest_evolution.clicked_watchtime_reward
    else:
        users = [
            interest_exploration.IEUserModel(
                config["slate_size"],
                user_state_ctor=interest_exploration.IEUserState,
                response_model_ctor=interest_exploration.IEResponse,
                seed=seed,
            )
            for seed in config["user_seeds"]
        ]
        sampler = interest_exploration.IETopicDocumentSampler(seed=config["seed"])
        reward = interest_exploration.total_clicks_reward
    raw_environment = environment.MultiUserEnvironment(
        users,
        sampler,
        config["num_candidates"],
        config["slate_size"],
        resample_documents=config["resample_documents"],
    )
    return recsim_gym.RecSimGymEnv(
        raw_environment, lambda everyones: [reward(one) for one in everyones]
    )


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace["environment"])
def test_recorded_transitions_of_several_users(assert_recorded, trace):
    env = make_several(trace["environment"], trace["env_config"])
    env.seed(trace["env_seed"])
    observation = env.reset()
    for key in ("user", "doc"):
        assert_recorded(observation[key], trace["first_observation"][key], f"reset {key}")
    for number, step in enumerate(trace["steps"]):
        observation, reward, done, _ = env.step(step["slate"])
        assert_recorded(reward, step["reward"], f"step {number} reward")
        assert done == step["done"]
        for key in ("response", "user", "doc"):
            assert_recorded(observation[key], step[key], f"step {number} {key}")
        if done:
            observation = env.reset()
            for key in ("user", "doc"):
                assert_recorded(observation[key], step["reset"][key], f"step {number} reset {key}")


def test_the_recorded_transitions_show_a_user_who_left_before_the_others():
    lengths = {
        tuple(len(of_user) for of_user in step["response"])
        for trace in TRACES
        for step in trace["steps"]
    }
    assert {(0, 2), (2, 2)} <= lengths


CONFIG = {
    "num_candidates": 5,
    "slate_size": 2,
    "seed": 1,
    "user_seeds": [0, 1],
    "resample_documents": True,
}


def test_documents_change_by_the_responses_of_those_who_responded():
    env = make_several("interest_evolution", CONFIG)
    seen = []
    recsim_names.document_sampler(env).update_state = lambda documents, responses: seen.append(
        (len(documents), len(responses))
    )
    env.reset()
    recsim_names.user_state(env.environment.user_model[0]).time_budget = -1.0
    env.step([[0, 1], [2, 3]])
    assert seen == [(2, 2)]


def test_repeated_documents_are_shown_repeatedly():
    env = interest_exploration.create_environment(
        {key: CONFIG[key] for key in ("num_candidates", "slate_size", "seed", "resample_documents")}
    )
    env.reset()
    observation, *_ = env.step([3, 3])
    assert observation["response"][0]["quality"] == observation["response"][1]["quality"]


def test_a_shorter_slate_gets_fewer_responses():
    env = make_several("interest_evolution", CONFIG)
    env.reset()
    observation, *_ = env.step([[4], [0, 1]])
    assert [len(of_user) for of_user in observation["response"]] == [1, 2]


def test_documents_that_are_not_resampled_stay():
    env = make_several("interest_evolution", {**CONFIG, "resample_documents": False})
    first = list(env.reset()["doc"])
    assert list(env.step([[0, 1], [2, 3]])[0]["doc"]) == first
    assert list(env.reset()["doc"]) == first


class ForgetfulChoices(interest_evolution.IEvUserModel):
    """Makes a new choice model for each user, as scenarios in the wild do."""

    def reset(self):
        super().reset()
        self.choice_model = choice_model.MultinomialProportionalChoiceModel(
            self._user_state.choice_features
        )


def test_a_choice_model_made_at_reset_draws_from_the_environments_generator():
    user = ForgetfulChoices(
        2, choice_model_ctor=choice_model.MultinomialProportionalChoiceModel, seed=0
    )
    raw_environment = environment.SingleUserEnvironment(
        user, interest_evolution.UtilityModelVideoSampler(), 5, 2
    )
    for _ in range(2):
        raw_environment.reset()
        assert (
            user.choice_model.environment_rng
            is user.environment_rng
            is raw_environment.environment_rng
        )


class Population(interest_evolution.UtilityModelVideoSampler):
    """A sampler with state of its own that outlives an episode."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.times_shown = 0

    def update_state(self, documents, responses):
        self.times_shown += len(documents)
        self._video_length = 4.0 + self.times_shown / 1000

    def state_dict(self):
        return {**super().state_dict(), "times_shown": self.times_shown}

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.times_shown = state["times_shown"]
        self._video_length = 4.0 + self.times_shown / 1000


def test_an_environment_with_further_state_hooks_it_into_checkpoints():
    def make():
        user = interest_evolution.IEvUserModel(
            2, choice_model_ctor=choice_model.MultinomialProportionalChoiceModel
        )
        raw_environment = environment.SingleUserEnvironment(user, Population(), 5, 2)
        return recsim_gym.RecSimGymEnv(raw_environment, interest_evolution.clicked_watchtime_reward)

    testing.check_environment(make)


def test_a_state_of_another_number_of_users_is_refused():
    env = make_several("interest_evolution", CONFIG)
    other = make_several("interest_evolution", {**CONFIG, "user_seeds": [0, 1, 2]})
    with pytest.raises(ValueError, match="num users was 3 and is 2"):
        env.load_state_dict(other.state_dict())
