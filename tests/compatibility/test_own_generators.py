"""Generators that users' code keeps are its own; what has none gets the environment's stream."""

import contextlib
import random
import re

import gym
import numpy as np
import pytest
from support import recorded, recorder, recsim_names
from support.scenarios import CONFIG

from recsim import agent, choice_model, testing
from recsim.agents import full_slate_q_agent, random_agent, tabular_q_agent
from recsim.environments import interest_exploration, long_term_satisfaction
from recsim.simulator import environment, recsim_gym, runner_lib

songs = recorder("record_own_generators")
RECORDED = recorded("own_generators")["traces"]


@pytest.mark.parametrize("trace", RECORDED, ids=["two users", "three kinds of users"])
def test_users_with_generators_of_their_own_act_as_in_recsim(assert_recorded, trace):
    steps = songs.run(trace["config"], 30)
    assert_recorded(steps, trace["steps"], "step")


def clicks(responses):
    return sum(response.clicked for response in responses)


def one_listener(kind=songs.Listener, make_environment=environment.SingleUserEnvironment, seed=7):
    raw_environment = make_environment(kind(seed, 1), songs.SongSampler(3), 5, 2)
    return recsim_gym.RecSimGymEnv(raw_environment, clicks)


class Drawing(songs.Listener):
    """Keeps what its own generator gave."""

    def simulate_response(self, documents):
        self.drawn = self._rng.rand()
        return super().simulate_response(documents)


def test_each_user_model_draws_from_its_own_generator():
    models = [Drawing(seed, own_seed) for seed, own_seed in ((0, 1), (0, 2))]
    raw_environment = environment.MultiUserEnvironment(models, songs.SongSampler(3), 5, 2)
    raw_environment.seed(5)
    raw_environment.reset()
    raw_environment.step([[0, 1], [2, 3]])
    expected = [np.random.RandomState(seed).rand() for seed in (1, 2)]
    assert [model.drawn for model in models] == expected


def test_env_seed_gives_no_generator_to_what_has_its_own():
    model = songs.NoisyListener(0, 6)

    def generators():
        return [model._rng, *(mood._rng for mood in model._moods)]

    own = generators()
    raw_environment = environment.SingleUserEnvironment(model, songs.SongSampler(3), 5, 2)
    raw_environment.seed(5)
    raw_environment.reset()
    raw_environment.step([0, 1])
    assert all(a is b for a, b in zip(own, generators(), strict=True))
    assert model.environment_rng is raw_environment.environment_rng


def test_a_user_model_has_no_rng_of_ours():
    model = long_term_satisfaction.LTSUserModel(
        2, long_term_satisfaction.LTSUserState, long_term_satisfaction.LTSResponse
    )
    for part in (model, environment.SingleUserEnvironment(model, songs.SongSampler(0), 5, 2)):
        assert not hasattr(part, "_rng")
    assert not hasattr(choice_model.MultinomialLogitChoiceModel({}), "_rng")


class OwnEnvironment(environment.SingleUserEnvironment):
    """Changes a document at random, from a generator of its own."""

    def __init__(self, *args):
        self._rng = np.random.default_rng(3)
        super().__init__(*args)

    def _do_resample_documents(self):
        super()._do_resample_documents()
        self._candidate_set.get_all_documents()[0].loudness = float(self._rng.random())


class ChoosesByItself(songs.OwnChoice):
    """Draws the choice from its own generator too."""

    def choose_item(self):
        return int(self._rng.randint(len(self.scores)))


class OneChoiceModel(songs.Listener):
    def __init__(self, seed, own_seed):
        super().__init__(seed, own_seed)
        self.choice_model = ChoosesByItself({}, own_seed)


class LateGenerator(songs.Listener):
    """Makes its generator at the first reset."""

    def reset(self):
        super().reset()
        if not hasattr(self, "_late"):
            self._late = np.random.RandomState(11)

    def draw(self):
        return self._late.rand()


@pytest.mark.parametrize(
    "make",
    [
        one_listener,
        lambda: one_listener(songs.ModernListener),
        lambda: one_listener(OneChoiceModel),
        lambda: one_listener(LateGenerator),
        lambda: one_listener(make_environment=OwnEnvironment),
        lambda: songs.make(RECORDED[0]["config"]),
    ],
)
def test_checkpoints_have_the_generators_of_users_code(make):
    testing.check_environment(make)


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        (np.random.default_rng(0), "_rng of Listener was a Generator and is a RandomState"),
        ("code", "_rng must be a random generator, got str"),
    ],
)
def test_generators_of_another_kind_are_refused(saved, message):
    env = one_listener()
    state = env.state_dict()
    state["user_models"][0]["generators"]["_rng"] = saved
    expected = np.random.RandomState(1).rand()
    with pytest.raises(ValueError, match=message):
        env.load_state_dict(state)
    assert env.environment.user_model.draw() == expected


class SeveralChoiceModels(songs.Listener):
    def __init__(self, seed, own_seed):
        super().__init__(seed, own_seed)
        self._by_mood = {"any": [choice_model.MultinomialLogitChoiceModel({})]}

    def simulate_response(self, documents):
        self.choice_model = self._by_mood["any"][0]
        responses = super().simulate_response(documents)
        self.choice_model = None
        return responses


class NewChoiceModelEachTime(songs.Listener):
    def simulate_response(self, documents):
        self.choice_model = choice_model.MultinomialLogitChoiceModel({})
        responses = super().simulate_response(documents)
        self.choice_model = None
        return responses


def chosen(env, seed, num_steps=40):
    env.seed(seed)
    env.reset()
    positions = []
    for _ in range(num_steps):
        observation, _, done, _ = env.step([0, 1])
        positions.append([response["click"] for response in observation["response"]].index(1))
        if done:
            env.reset()
    return positions


class WholeStep(environment.SingleUserEnvironment):
    """Overrides the step whole."""

    def step(self, slate):
        documents = self._candidate_set.get_documents(
            [list(self._current_documents)[index] for index in slate]
        )
        responses = self._user_model.simulate_response(documents)
        self._user_model.update_state(documents, responses)
        self._do_resample_documents()
        self._current_documents = self._candidate_set.create_observation()
        user_obs, done = self._user_model.create_observation(), self._user_model.is_terminal()
        return user_obs, self._current_documents, responses, done


@pytest.mark.parametrize("make_environment", [environment.SingleUserEnvironment, WholeStep])
@pytest.mark.parametrize("kind", [SeveralChoiceModels, NewChoiceModelEachTime])
def test_choice_models_draw_from_the_environments_stream_wherever_they_are(kind, make_environment):
    first = chosen(one_listener(kind, make_environment), 1)
    assert set(first) == {0, 1}
    assert chosen(one_listener(kind, make_environment), 1) == first
    assert chosen(one_listener(kind, make_environment), 2) != first


def test_a_choice_model_alone_has_a_stream_of_its_own():
    def draws():
        model = choice_model.MultinomialLogitChoiceModel({})
        model.score_documents(songs.ListenerState(1.0, 3), [np.array([0.0])] * 3)
        return [model.choose_item() for _ in range(20)]

    assert draws() == draws()
    assert len(set(draws())) == 3


def run_on(env):
    env.reset()
    for _ in range(3):
        env.step([0, 1])


@contextlib.contextmanager
def global_generator_may_be_drawn_from():
    state = np.random.get_state()
    yield
    np.random.set_state(state)


def sampling_globally(base, method):
    """Returns a new class whose method draws from NumPy's global generator."""

    def draws(self, *args, **kwargs):
        np.random.rand()
        return getattr(super(kind, self), method)(*args, **kwargs)

    kind = type(f"Global{base.__name__}", (base,), {method: draws})
    return kind


def env_of(user_kind=songs.Listener, sampler_kind=songs.SongSampler, reward=clicks):
    raw_environment = environment.SingleUserEnvironment(user_kind(0, 1), sampler_kind(3), 5, 2)
    return recsim_gym.RecSimGymEnv(raw_environment, reward)


def reward_with_noise(responses):
    return float(np.random.rand())


def env_with_noisy_responses():
    env = env_of()
    env.environment.user_model._response_model_ctor = sampling_globally(
        songs.Listening, "create_observation"
    )
    return env


@pytest.mark.parametrize(
    ("make", "name", "remedy"),
    [
        (
            lambda: env_of(sampling_globally(songs.Listener, "simulate_response")),
            "GlobalListener",
            "self.environment_rng",
        ),
        (
            lambda: env_of(sampling_globally(songs.Listener, "create_observation")),
            "GlobalListener",
            "self.environment_rng",
        ),
        (
            lambda: env_of(sampling_globally(songs.Listener, "reset")),
            "GlobalListener",
            "self.environment_rng",
        ),
        (
            lambda: env_of(sampler_kind=sampling_globally(songs.SongSampler, "sample_document")),
            "GlobalSongSampler",
            "self._rng",
        ),
        (
            lambda: env_of(sampler_kind=sampling_globally(songs.SongSampler, "update_state")),
            "GlobalSongSampler",
            "self._rng",
        ),
        (env_with_noisy_responses, "GlobalListening", "the user model"),
        (lambda: env_of(reward=reward_with_noise), "reward_with_noise", "the user model"),
        (
            lambda: one_listener(make_environment=sampling_globally(WholeStep, "step")),
            "GlobalWholeStep",
            "rng",
        ),
    ],
)
def test_draws_from_the_global_generator_are_told_of_once(make, name, remedy):
    with global_generator_may_be_drawn_from():
        env = make()
        told = pytest.warns(UserWarning, match=rf"{name}, or .*global generator.*{remedy}")
        with told as warned:
            run_on(env)
        assert len(warned) == 1


def test_the_model_of_several_users_that_draws_is_the_one_named():
    kind = sampling_globally(songs.Listener, "update_state")
    with global_generator_may_be_drawn_from():
        raw_environment = environment.MultiUserEnvironment(
            [songs.Listener(0, 1), kind(0, 2)], songs.SongSampler(3), 5, 2
        )
        raw_environment.reset()
        with pytest.warns(UserWarning, match="GlobalListener"):
            raw_environment.step([[0, 1], [2, 3]])


@pytest.mark.parametrize("method", ["begin_episode", "step"])
def test_an_agent_that_draws_from_the_global_generator_is_told_of(method, tmp_path):
    kind = sampling_globally(random_agent.RandomAgent, method)
    with global_generator_may_be_drawn_from():
        runner = runner_lib.TrainRunner(
            base_dir=tmp_path,
            create_agent_fn=lambda sess, env, eval_mode, summary_writer: kind(env.action_space),
            env=env_of(),
            max_training_steps=30,
            num_iterations=2,
            progress=False,
        )
        with pytest.warns(UserWarning, match=r"GlobalRandomAgent, or .*self\._rng") as told:
            runner.run_experiment()
        assert len(told) == 1


def test_who_draws_from_its_own_generators_is_not_told_of(tmp_path):
    state = np.random.get_state(legacy=False)["state"]
    songs.run(RECORDED[1]["config"], 15)
    assert np.random.get_state(legacy=False)["state"]["pos"] == state["pos"]


class ExploringSlates(full_slate_q_agent.FullSlateQAgent):
    drawn = ()

    def __init__(self, *args, **kwargs):
        super().__init__(None, *args, **kwargs)
        self._rng = np.random.default_rng(5)

    def step(self, reward, observation):
        self.drawn = [*self.drawn, self._rng.random()]
        return super().step(reward, observation)


class ExploringTable(tabular_q_agent.TabularQAgent):
    drawn = ()

    def __init__(self, *args, **kwargs):
        self._rng = np.random.default_rng(5)
        super().__init__(*args, number_bins=2, **kwargs)

    def step(self, reward, observation):
        self.drawn = [*self.drawn, self._rng.random()]
        return super().step(reward, observation)


class Wrapping(agent.AbstractHierarchicalAgentLayer):
    """A layer that reverses slates at random."""

    drawn = ()

    def __init__(self, observation_space, action_space):
        super().__init__(action_space, random_agent.RandomAgent)
        self._base_agents = [random_agent.RandomAgent(action_space)]
        self._rng = np.random.RandomState(2)

    def begin_episode(self, observation=None):
        return recsim_names.base_agent(self).begin_episode(observation)

    def step(self, reward, observation):
        slate = recsim_names.base_agent(self).step(reward, observation)
        self.drawn = [*self.drawn, self._rng.random_sample()]
        return slate[::-1] if self.drawn[-1] < 0.5 else slate

    def end_episode(self, reward, observation):
        recsim_names.base_agent(self).end_episode(reward, observation)

    def _preprocess_reward_observation(self, reward, observation):
        return reward, observation

    def _postprocess_actions(self, action_list):
        return action_list


@pytest.mark.parametrize("kind", [ExploringSlates, ExploringTable, Wrapping])
def test_what_an_agent_keeps_in_rng_is_its_own_and_in_its_bundle(kind):
    def make(env):
        return kind(env.observation_space, env.action_space)

    def make_env():
        return interest_exploration.create_environment(CONFIG)

    env = make_env()
    one = make(env)
    observation = env.reset()
    one.begin_episode(observation)
    one.step(0.0, env.step([0, 1])[0])
    own = np.random.RandomState(2) if kind is Wrapping else np.random.default_rng(5)
    assert one.drawn == [own.random() for _ in one.drawn]
    testing.check_agent(make_env, make)


class Helper:
    def __init__(self, rng):
        self.rng = rng


class NoisyReward:
    """A reward that samples from a generator that is held somewhere."""

    def __init__(self, kept):
        self.kept = kept

    def draw(self):
        kept = self.kept
        while not hasattr(kept, "bit_generator") and not hasattr(kept, "random_raw"):
            if isinstance(kept, Helper):
                kept = kept.rng
            else:
                kept = kept["noise"] if isinstance(kept, dict) else kept[-1]
        return kept.random_raw() / 2**64 if hasattr(kept, "random_raw") else kept.random()

    def __call__(self, responses):
        return clicks(responses) + float(self.draw())


KEEPERS = {
    "attribute": lambda: np.random.default_rng(4),
    "list": lambda: [None, np.random.default_rng(4)],
    "dictionary": lambda: {"noise": np.random.default_rng(4)},
    "helper": lambda: Helper([np.random.default_rng(4)]),
    "bit generator": lambda: np.random.PCG64(4),
}


class NoisyGym(recsim_gym.RecSimGymEnv):
    def __init__(self, raw_environment, kept):
        super().__init__(raw_environment, clicks)
        self.noise = NoisyReward(kept)

    def step(self, action):
        observation, reward, done, info = super().step(action)
        return observation, reward + float(self.noise.draw()), done, info


class NoisyWrapper(gym.Wrapper):
    def __init__(self, env, kept):
        super().__init__(env)
        self.noise = NoisyReward(kept)

    def step(self, action):
        observation, reward, done, info = self.env.step(action)
        return observation, reward + float(self.noise.draw()), done, info


class NoisySampler(songs.SongSampler):
    def __init__(self, kept):
        super().__init__(3)
        self.noise = NoisyReward(kept)

    def sample_document(self):
        document = super().sample_document()
        document.loudness = float(self.noise.draw())
        return document


class NoisyUser(songs.Listener):
    def __init__(self, kept):
        super().__init__(7, 1)
        self.noise = NoisyReward(kept)

    def create_observation(self):
        return super().create_observation() * float(self.noise.draw())


class NoisyAgent(random_agent.RandomAgent):
    def __init__(self, action_space, kept):
        super().__init__(action_space, random_seed=0)
        self.noise = NoisyReward(kept)

    def step(self, reward, observation):
        slate = super().step(reward, observation)
        return slate if self.noise.draw() < 0.5 else slate[:1]


def single_user_environment(users=None, sampler=None):
    return environment.SingleUserEnvironment(
        users or songs.Listener(7, 1), sampler or songs.SongSampler(3), 5, 2
    )


def closure(kept):
    noise = NoisyReward(kept)
    return recsim_gym.RecSimGymEnv(single_user_environment(), lambda responses: noise(responses))


OWNERS = {
    "gym environment": lambda kept: NoisyGym(single_user_environment(), kept),
    "wrapper": lambda kept: NoisyWrapper(
        recsim_gym.RecSimGymEnv(single_user_environment(), clicks), kept
    ),
    "reward": lambda kept: recsim_gym.RecSimGymEnv(single_user_environment(), NoisyReward(kept)),
    "closure": closure,
    "sampler": lambda kept: recsim_gym.RecSimGymEnv(
        single_user_environment(sampler=NoisySampler(kept)), lambda responses: float(len(responses))
    ),
    "user model": lambda kept: recsim_gym.RecSimGymEnv(
        single_user_environment(NoisyUser(kept)), clicks
    ),
    "agent": lambda kept: recsim_gym.RecSimGymEnv(single_user_environment(), clicks),
}


def train_in_parts(folder, owner, make_kept, *numbers_of_iterations):
    """Returns what a training that is resumed after some iterations shows the agent."""
    seen = []

    class Watching(NoisyAgent):
        def step(self, reward, observation):
            slate = super().step(reward, observation)
            seen.append((reward, str(observation), list(slate)))
            return slate

    def create_agent(session, env, eval_mode=False, summary_writer=None):
        kept = make_kept() if owner == "agent" else np.random.default_rng(0)
        return Watching(env.action_space, kept)

    for number in numbers_of_iterations:
        runner_lib.TrainRunner(
            base_dir=str(folder),
            create_agent_fn=create_agent,
            env=OWNERS[owner](make_kept()),
            max_training_steps=15,
            num_iterations=number,
            max_steps_per_episode=5,
            progress=False,
        ).run_experiment()
    return seen


@pytest.mark.parametrize("keeper", KEEPERS)
@pytest.mark.parametrize("owner", OWNERS)
def test_a_resumed_training_continues_with_generators_held_anywhere(tmp_path, owner, keeper):
    whole = train_in_parts(tmp_path / "whole", owner, KEEPERS[keeper], 3)
    resumed = train_in_parts(tmp_path / "parts", owner, KEEPERS[keeper], 1, 3)
    assert resumed == whole
    assert len(whole) > 20


class OfTheClass(songs.SongSampler):
    shared = np.random.RandomState(5)


class OfPython(songs.SongSampler):
    def __init__(self, seed):
        super().__init__(seed)
        self.noise = [random.Random(5)]


@pytest.mark.parametrize(
    ("kind", "name"),
    [(OfTheClass, r"OfTheClass.shared \(of"), (OfPython, r"OfPython.noise\[0\] \(random.Random")],
)
def test_generators_that_no_checkpoint_holds_are_told_of(tmp_path, caplog, kind, name):
    runner_lib.TrainRunner(
        base_dir=str(tmp_path),
        create_agent_fn=lambda session, env, **_: random_agent.RandomAgent(env.action_space),
        env=recsim_gym.RecSimGymEnv(single_user_environment(sampler=kind(3)), clicks),
        max_training_steps=5,
        num_iterations=1,
        progress=False,
    )
    assert re.search(f"Checkpoints hold no random generator of {name}", caplog.text)
