"""Numbers that come as arrays of one entry, in every place that takes a number from outside."""

import collections
import functools

import numpy as np
import pytest
from support import recsim_names

from recsim import choice_model, document, user, utils
from recsim import metrics as metrics_lib
from recsim._internal import numbers
from recsim._internal.gym_import import spaces
from recsim.agents import (
    cluster_bandit_agent,
    full_slate_q_agent,
    random_agent,
    slate_decomp_q_agent,
    tabular_q_agent,
)
from recsim.agents.layers import cluster_click_statistics, temporal_aggregation
from recsim.simulator import environment, gymnasium_env, recsim_gym, runner_lib, summary
from recsim.vector import wrappers

NUM_TOPICS = 3


def box(high):
    return spaces.Box(0.0, high, (1,), np.float32)


def scalar(high):
    return spaces.Box(0.0, high, (), np.float32)


class Scenario:
    """A scenario whose numbers are floats (or ints), or arrays of one entry."""

    def __init__(self, as_array):
        make = (lambda number: np.array([number])) if as_array else float
        space = box if as_array else scalar
        topics = box(NUM_TOPICS - 1.0) if as_array else spaces.Discrete(NUM_TOPICS)
        topic = make if as_array else int

        class Document(document.AbstractDocument):
            def __init__(self, doc_id):
                super().__init__(doc_id)
                self.topic, self.quality = doc_id % NUM_TOPICS, 0.25 * doc_id

            def create_observation(self):
                return {"cluster_id": topic(self.topic), "quality": make(self.quality)}

            @classmethod
            def observation_space(cls):
                return spaces.Dict({"cluster_id": topics, "quality": space(100.0)})

        class Sampler(document.AbstractDocumentSampler):
            def sample_document(self):
                self.count = (getattr(self, "count", -1) + 1) % 6
                return Document(self.count)

        class Response(user.AbstractResponse):
            clicked, doc = 0, None

            def create_observation(self):
                return {
                    "click": make(self.clicked),
                    "quality": make(self.doc.quality),
                    "cluster_id": topic(self.doc.topic),
                }

            @classmethod
            def response_space(cls):
                return spaces.Dict(
                    {"click": space(1.0), "quality": space(100.0), "cluster_id": topics}
                )

        class State(user.AbstractUserState):
            def create_observation(self):
                return make(0.5)

            def score_document(self, doc_obs):
                return doc_obs["quality"]

            @classmethod
            def observation_space(cls):
                return space(1.0)

        class Users(user.AbstractUserSampler):
            def sample_user(self):
                return State()

        class Model(user.AbstractUserModel):
            def __init__(self):
                super().__init__(Response, Users(State), 2)
                self.choices = choice_model.MultinomialProportionalChoiceModel(
                    {"min_normalizer": make(0.0), "no_click_mass": make(0.5)}
                )

            def update_state(self, slate_documents, responses):
                self.steps_left -= 1

            def reset(self):
                super().reset()
                self.steps_left = 4

            steps_left = 4

            def is_terminal(self):
                return self.steps_left <= 0

            def simulate_response(self, documents):
                observations = [doc.create_observation() for doc in documents]
                self.choices.score_documents(self._user_state, observations)
                chosen = self.choices.choose_item()
                responses = [Response() for _ in documents]
                for position, (response, doc) in enumerate(zip(responses, documents)):
                    response.doc, response.clicked = doc, int(position == chosen)
                return responses

        self.reward = lambda responses: make(sum(response.clicked for response in responses))
        self.parts = Model, Sampler, Document

    def make(self, metrics_writer=utils.write_video_cluster_metrics):
        model, sampler, doc_ctor = self.parts
        raw_environment = environment.SingleUserEnvironment(
            model(), sampler(doc_ctor, 0), 6, 2, resample_documents=False
        )
        return recsim_gym.RecSimGymEnv(
            raw_environment,
            self.reward,
            utils.aggregate_video_cluster_metrics,
            metrics_writer,
        )


ARRAYS, PLAIN = Scenario(as_array=True), Scenario(as_array=False)


def cluster_bandit(env, **_):
    return cluster_click_statistics.ClusterClickStatsLayer(
        cluster_bandit_agent.ClusterBanditAgent, env.observation_space, env.action_space
    )


def tabular_q(env, **_):
    return tabular_q_agent.TabularQAgent(
        env.observation_space, env.action_space, ignore_response=False
    )


def full_slate_q(env, eval_mode=False):
    return full_slate_q_agent.FullSlateQAgent(
        None, env.observation_space, env.action_space, eval_mode=eval_mode, replay_capacity=50
    )


def slate_q(reward_field, env, eval_mode=False):
    return slate_decomp_q_agent.SlateDecompQAgent(
        None,
        env.observation_space,
        env.action_space,
        eval_mode=eval_mode,
        replay_capacity=50,
        reward_field=reward_field,
        score_documents_fn=lambda users, docs: (docs[..., 0] + 1.0, np.ones(docs.shape[:-2])),
    )


def temporal(env, **_):
    return temporal_aggregation.TemporalAggregationLayer(
        functools.partial(random_agent.RandomAgent),
        env.observation_space,
        env.action_space,
        gamma=0.9,
        aggregation_period=2,
    )


AGENTS = {
    "cluster bandit": cluster_bandit,
    "tabular q": tabular_q,
    "full slate q": full_slate_q,
    "slate q": functools.partial(slate_q, "quality"),
    "slate q of rewards": functools.partial(slate_q, None),
    "temporal aggregation": temporal,
}


def write_counts(counts, add_summary):
    for name, count in counts.items():
        add_summary(name, count)


def rollout(scenario, create_agent):
    env = scenario.make(write_counts)
    agent = create_agent(env)
    slates, rewards = [], []
    for _ in range(3):
        observation = env.reset()
        slate, done = agent.begin_episode(observation), False
        while not done:
            slates.append([int(index) for index in slate])
            observation, reward, done, info = env.step(slate)
            env.update_metrics(observation["response"], info)
            assert type(reward) is float
            rewards.append(reward)
            if not done:
                slate = agent.step(np.array([reward]), observation)
        agent.end_episode(np.array([reward]), observation)
    metrics = {}
    env.write_metrics(metrics.__setitem__)
    return slates, rewards, metrics


# Networks see a topic as a number or as indicators, so that their slates differ.
@pytest.mark.parametrize("name", [name for name in AGENTS if "q" not in name or "tab" in name])
def test_agents_do_with_arrays_of_one_entry_what_they_do_with_numbers(name):
    assert rollout(ARRAYS, AGENTS[name]) == rollout(PLAIN, AGENTS[name])


@pytest.mark.parametrize("name", [name for name in AGENTS if "slate q" in name])
def test_deep_agents_learn_from_arrays_of_one_entry(name):
    agents = []

    def create_agent(env):
        agents.append(AGENTS[name](env))
        return agents[-1]

    _, rewards, metrics = rollout(ARRAYS, create_agent)
    replay = agents[0].bundle_and_checkpoint("", 0)["replay"]
    assert metrics["click"] == sum(rewards) > 0
    learned = np.concatenate([replay[key] for key in replay if key == "rewards"])
    assert learned.sum() == (metrics["quality"] if name == "slate q" else metrics["click"])


def test_names_of_metrics_hold_the_topics_number():
    _, _, metrics = rollout(ARRAYS, cluster_bandit)
    names = {name for name in metrics if name.startswith(metrics_lib.CLICKS_ON_TOPIC)}
    assert names <= {f"{metrics_lib.CLICKS_ON_TOPIC}{topic}" for topic in range(NUM_TOPICS)}
    assert names


@pytest.mark.parametrize("name", AGENTS)
@pytest.mark.parametrize("runner", ["train", "eval"])
def test_runners(runner, name, tmp_path):
    def create_agent(sess, env, eval_mode, summary_writer):
        return AGENTS[name](env, eval_mode=eval_mode)

    arguments = {
        "base_dir": str(tmp_path),
        "create_agent_fn": create_agent,
        "env": ARRAYS.make(),
        "episode_log_file": "log",
    }
    if runner == "train":
        run = runner_lib.TrainRunner(max_training_steps=8, num_iterations=1, **arguments)
    else:
        run = runner_lib.EvalRunner(max_eval_episodes=2, test_mode=True, **arguments)
    run.run_experiment()
    assert recsim_names.episode_statistics(run)["episode_length"] == [4, 4]
    assert all(
        type(value) is float for value in recsim_names.episode_statistics(run)["episode_reward"]
    )


def test_runner_takes_rewards_of_an_environment_that_is_not_of_this_library(tmp_path):
    class OneEntry(recsim_gym.RecSimGymEnv):
        def step(self, action):
            observation, reward, done, info = super().step(action)
            return observation, np.array([reward]), done, info

    env = ARRAYS.make()
    env.__class__ = OneEntry
    run = runner_lib.EvalRunner(
        base_dir=str(tmp_path),
        create_agent_fn=lambda sess, env, **_: random_agent.RandomAgent(env.action_space),
        env=env,
        max_eval_episodes=2,
        test_mode=True,
    )
    run.run_experiment()
    assert all(
        type(value) is float for value in recsim_names.episode_statistics(run)["episode_reward"]
    )


def test_gymnasium_adapter_returns_a_float():
    env = gymnasium_env.RecSimGymnasiumEnv(ARRAYS.make())
    env.reset(seed=0)
    assert type(env.step([5, 4])[1]) is float


@pytest.mark.parametrize("name", ["cluster bandit", "slate q", "full slate q"])
def test_vector_agents(name):
    def rewards_of(scenario):
        env = wrappers.SingleUserEnvs([scenario.make() for _ in range(3)])
        if name == "cluster bandit":
            agent = cluster_click_statistics.VectorClusterClickStatsLayer(
                cluster_bandit_agent.VectorClusterBanditAgent, env
            )
        elif name == "slate q":
            agent = slate_decomp_q_agent.VectorSlateDecompQAgent(
                env,
                replay_capacity=30,
                reward_field="quality",
                score_documents_fn=lambda users, docs: (docs[..., 0] + 1.0, np.ones(len(docs))),
            )
        else:
            agent = full_slate_q_agent.VectorFullSlateQAgent(env, replay_capacity=30)
        observation, _ = env.reset(seed=0)
        slates, result = agent.begin(observation), []
        for _ in range(9):
            outcome = env.step(slates)
            slates = agent.step(*outcome)
            result.append((outcome[1].tolist(), slates.tolist()))
        return result

    of_arrays = rewards_of(ARRAYS)
    assert of_arrays == rewards_of(ARRAYS)
    if name == "cluster bandit":
        assert of_arrays == rewards_of(PLAIN)


def test_single_user_agents_among_many():
    env = wrappers.SingleUserEnvs([ARRAYS.make() for _ in range(2)])
    agents = wrappers.SingleUserAgents(
        lambda observation_space, action_space, number: random_agent.RandomAgent(action_space), env
    )
    observation, _ = env.reset(seed=0)
    outcome = env.step(agents.begin(observation))
    _, _, terminated, truncated, infos = outcome
    agents.step(outcome[0], outcome[1][:, np.newaxis], terminated, truncated, infos)


def test_summary_writer(tmp_path):
    writer = summary.SummaryWriter(tmp_path)
    writer.add_scalar("tag", np.array([1.0]), 0)
    with pytest.raises(ValueError, match=r"value of 'tag'.*one number.*\(2,\)"):
        writer.add_scalar("tag", np.array([1.0, 2.0]), 0)


@pytest.mark.parametrize(
    ("reward", "error", "message"),
    [
        ([1.0, 2.0], ValueError, r"reward.*one number, got 2 in an array of shape \(2,\)"),
        (np.zeros(0), ValueError, r"reward.*one number, got 0"),
        (np.nan, ValueError, "reward.*finite.*nan"),
        (np.float32(np.inf), ValueError, "reward.*finite.*inf"),
        (None, TypeError, "reward.*number, got None"),
        ("1", TypeError, "reward.*number, got '1'"),
        (1j, TypeError, "reward.*number"),
    ],
)
def test_rewards_that_are_not_one_finite_number(reward, error, message):
    env = recsim_gym.RecSimGymEnv(PLAIN.make().environment, lambda responses: reward)
    env.reset()
    with pytest.raises(error, match=message):
        env.step([0, 1])


def several_users(reward):
    model, sampler, doc_ctor = PLAIN.parts
    raw_environment = environment.MultiUserEnvironment(
        [model(), model()], sampler(doc_ctor, 0), 6, 2
    )
    env = recsim_gym.RecSimGymEnv(raw_environment, lambda responses: reward)
    env.reset()
    return env.step([[0, 1], [2, 3]])[1]


@pytest.mark.parametrize("reward", [3.0, 2, [1.0, 2.0], (1, 2), np.array([1.0, 2.0])])
def test_several_users_have_a_reward_together_or_one_each(reward):
    assert several_users(reward) is reward


def test_several_users_rewards_in_arrays_of_one_entry():
    assert several_users(np.array([3.0])) == 3.0
    assert several_users([np.array([1.0]), np.array([2.0])]) == [1.0, 2.0]


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        ([1.0, 2.0, 3.0], r"one for each of the 2 users, got an array of shape \(3,\)"),
        ([1.0, np.nan], "finite"),
        ([[1.0], [2.0, 3.0]], "different lengths"),
    ],
)
def test_several_users_rewards_of_another_number(reward, message):
    with pytest.raises(ValueError, match=message):
        several_users(reward)


@pytest.mark.parametrize("name", ["cluster_id", "click", "quality"])
def test_entries_of_responses_that_are_not_one_number(name):
    response = {"cluster_id": 1, "click": 1, "quality": 0.5, name: np.array([1.0, 2.0])}
    metrics = collections.defaultdict(float)
    with pytest.raises(ValueError, match=f"{name} must be one number"):
        utils.aggregate_video_cluster_metrics((response,), metrics)


@pytest.mark.parametrize(
    ("value", "number"),
    [(2, 2.0), (True, 1.0), (np.float32(0.5), 0.5), (np.array(2), 2.0), ([1.5], 1.5),
     (np.array([[1]], np.uint8), 1.0), (np.bool_(True), 1.0)],
)  # fmt: skip
def test_as_float(value, number):
    result = numbers.as_float("x", value)
    assert type(result) is float
    assert result == number


@pytest.mark.parametrize("value", [2.5, np.nan, [2.5], np.inf])
def test_as_int_refuses_what_is_not_whole(value):
    with pytest.raises(ValueError, match="x must be a whole number"):
        numbers.as_int("x", value)


def test_huge_integers_are_refused_by_name():
    with pytest.raises(ValueError, match="x must be a number that a float can hold"):
        numbers.as_float("x", 10**5000)
