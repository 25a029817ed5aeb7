"""What is recorded of an episode: by hand, without a trace in the episode, and refused."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gym import spaces
from support import scenarios

import recsim
from recsim import choice_model, document, registry, types, user, watching
from recsim.agents import random_agent
from recsim.environments import interest_evolution, interest_exploration, long_term_satisfaction
from recsim.simulator import environment, recsim_gym, rollout

CONFIG = {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 3}


def watched(name, agent="random", *, max_steps=8, config=CONFIG, **kwargs):
    env = registry.create_environment(name, config)
    made = registry.create_agent(agent, env, eval_mode=True)
    return recsim.watch(env, made, max_steps=max_steps, show=False, **kwargs)


@pytest.mark.parametrize("name", registry.ENVIRONMENTS)
@pytest.mark.parametrize("agent", ["random", "tabular_q"])
def test_watching_changes_nothing(name, agent):
    """Rewards, slates and candidates are those of a rollout that nobody watches."""
    expected = []

    def on_step(step):
        expected.append((tuple(np.ravel(step.slate)), step.reward, tuple(step.observation["doc"])))

    def make():
        env = registry.create_environment(name, CONFIG)
        env.seed(5)
        return env, registry.create_agent(agent, env)

    env, made = make()
    for _ in range(2):
        rollout.run_episode(env, made, max_steps=30, listeners=[rollout.OnStep(on_step)])
    after = env.state_dict()["rng"]
    env, made = make()
    episodes = [recsim.watch(env, made, max_steps=30, show=False) for _ in range(2)]
    steps = [step for episode in episodes for step in episode]
    assert [(step.slate, step.reward, step.item_ids) for step in steps] == expected
    assert str(env.state_dict()["rng"]) == str(after)


def test_choice_probabilities_of_interest_exploration_by_hand():
    """exp(affinity to the topic + quality), beside exp(5) for no click."""
    for step in watched("interest_exploration"):
        affinity = step.state["topic_affinity"]
        topics, qualities = step.candidates["cluster_id"], step.candidates["quality"]
        logits = [affinity[topics[i]] + qualities[i] for i in step.slate] + [5.0]
        weights = np.array([math.exp(logit) for logit in logits])
        assert step.probabilities == pytest.approx(weights / weights.sum())
        assert step.reward == len(step.clicked)
        assert step.responses["quality"].tolist() == qualities[list(step.slate)].tolist()
        assert step.next_state["topic_affinity"].tolist() == affinity.tolist()


def test_choice_probabilities_and_states_of_interest_evolution_by_hand():
    """Scores + 1 beside 2 for no click; the budget shrinks by 0.5 without a click."""
    episode = watched("interest_evolution", max_steps=60)
    no_click = 0
    for step in episode:
        features, interests = step.candidates["features"], step.state["user_interests"]
        weights = np.append(features[list(step.slate)] @ interests + 1.0, 2.0)
        assert step.probabilities == pytest.approx(weights / weights.sum())
        assert step.user["features"].tolist() == interests.tolist()
        if step.clicked == ():
            no_click += 1
            assert step.next_state["time_budget"] == step.state["time_budget"] - 0.5
            assert step.next_state["user_interests"].tolist() == interests.tolist()
        else:
            (position,) = step.clicked
            topic = features[step.slate[position]].argmax()
            changed = np.flatnonzero(step.next_state["user_interests"] != interests)
            assert set(changed) <= {topic}
            assert step.reward == step.responses["watch_time"][position]
    assert 0 < no_click < len(episode)
    for step, following in zip(episode.steps, episode.steps[1:]):
        assert step.next_state is following.state


def test_users_of_long_term_satisfaction_take_the_first_document():
    for step in watched("long_term_satisfaction"):
        assert step.probabilities.tolist() == [1.0, 0.0, 0.0]
        assert step.clicked == (0,)
        assert step.next_state["time_budget"] == step.state["time_budget"] - 1


@pytest.mark.parametrize(
    "name", ["multinomial_logit", "exponential_cascade", "proportional_cascade"]
)
def test_choices_are_as_often_as_the_probabilities_say(name):
    """Over 800 choices each position is chosen as often as expected, within 4 deviations."""
    config = {**CONFIG, "choice_model": name, "time_budget": 1e9, "attention_prob": 0.9}
    if "cascade" in name:
        config["score_scaling"] = 0.1
    episode = watched("interest_evolution", max_steps=800, config=config)
    chosen, expected, variance = np.zeros(3), np.zeros(3), np.zeros(3)
    for step in episode:
        chosen[step.clicked[0] if step.clicked else 2] += 1
        expected += step.probabilities
        variance += step.probabilities * (1 - step.probabilities)
    assert (np.abs(chosen - expected) < 4 * np.sqrt(variance)).all()
    assert expected.min() > 20


# A scenario of a user's own.


class Thing(document.AbstractDocument):
    def create_observation(self):
        return {
            "price": 2.5,
            "tags": (1, 2, 3),
            "name": "<b>thing</b>",
            "box": {"size": [1.0, 2.0]},
        }

    @staticmethod
    def observation_space():
        return spaces.Dict({})


class Things(document.AbstractDocumentSampler):
    def sample_document(self):
        self.number = getattr(self, "number", 0) + 1
        return Thing(self.number)


class Answer(user.AbstractResponse):
    def create_observation(self):
        return np.array([0.25, 0.75])

    @staticmethod
    def response_space():
        return spaces.Box(0, 1, (2,))


class Mood(user.AbstractUserState):
    __slots__ = ("energy",)

    def __init__(self):
        self.energy = 3
        self.mood = "calm\x1b[31m"
        self.memory = {"last": [1.0, 2.0]}
        self.seen = {2, 1}
        self.friend = object()

    def create_observation(self):
        return {"mood": 1, "nested": ({"deep": np.array(2)}, "text")}

    @staticmethod
    def observation_space():
        return spaces.Dict({})


class Moods(user.AbstractUserSampler):
    def sample_user(self):
        return Mood()


class Person(user.AbstractUserModel):
    def __init__(self, slate_size=2):
        super().__init__(Answer, Moods(Mood), slate_size)

    def simulate_response(self, documents):
        return [Answer() for _ in documents]

    def update_state(self, slate_documents, responses):
        self._user_state.energy -= 1
        self._user_state.mood = "tired"

    def is_terminal(self):
        return self._user_state.energy <= 0


class First:
    """An agent that is not derived from anything, and says nothing."""

    def begin_episode(self, observation):
        return [0]

    def step(self, reward, observation):
        return [0]

    def end_episode(self, reward, observation):
        pass


def own_env(model):
    inner = environment.SingleUserEnvironment(model, Things(Thing), 3, 2)
    return recsim_gym.RecSimGymEnv(inner, lambda responses: float(len(responses)))


def test_a_scenario_of_ones_own_with_observations_of_any_shape():
    episode = recsim.watch(own_env(Person()), First(), show=False)
    assert len(episode) == 3 and not episode.truncated and episode.total_reward == 3.0
    first, *_, last = episode
    assert first.candidates["price"].tolist() == [2.5] * 3
    assert first.candidates["tags"].tolist() == [[1, 2, 3]] * 3
    assert first.candidates["box.size"].tolist() == [[1.0, 2.0]] * 3
    assert first.candidates["name"].tolist() == ["<b>thing</b>"] * 3
    assert first.user == {"mood": 1, "nested.0.deep": 2, "nested.1": "text"}
    assert first.responses["response"].tolist() == [[0.25, 0.75]]
    assert first.slate == (0,) and first.clicked is None and first.probabilities is None
    assert first.explanation is None
    assert first.state["mood"] == "calm\x1b[31m" and last.next_state["energy"] == 0
    assert first.state["memory.last"].tolist() == [1.0, 2.0] and first.state["seen"] == "{1, 2}"
    assert "friend" not in first.state
    for index in range(3):
        text = episode.text(index)
        assert "\x1b" not in text and all(len(line) <= 80 for line in text.splitlines())
    assert "mood  calm\\x1b[31m → tired" in episode.text(0)
    assert json.loads(episode.to_json()) == episode.to_dict()


def test_probabilities_that_a_user_model_tells_are_recorded():
    class Telling(Person):
        def choice_probabilities(self, documents):
            assert [type(each) for each in documents] == [Thing]
            return [0.25, 0.75]

    step = recsim.watch(own_env(Telling()), First(), show=False)[0]
    assert step.probabilities.tolist() == [0.25, 0.75]


@pytest.mark.parametrize("told", [[0.5, 0.6], [1.0], [-0.5, 1.5], [math.nan, 1.0], "no"])
def test_probabilities_that_are_none_are_refused(told):
    class Wrong(Person):
        def choice_probabilities(self, documents):
            return told

    with pytest.raises((ValueError, TypeError), match="choice_probabilities"):
        recsim.watch(own_env(Wrong()), First(), show=False)


def test_a_choice_model_of_another_kind_tells_no_probabilities():
    class Fickle(choice_model.MultinomialLogitChoiceModel):
        def choose_item(self):
            return 0

    class Choosing(Person):
        def __init__(self, model):
            super().__init__()
            self.choice_model = model

    for model in (Fickle({}), choice_model.MultinomialLogitChoiceModel({}), "a model"):
        # The state of these users has no score_document.
        step = recsim.watch(own_env(Choosing(model)), First(), show=False)[0]
        assert step.probabilities is None


def test_an_explanation_of_another_type_is_refused():
    class Wrong(First):
        def explain(self, observation):
            return {"Q": 1}

    with pytest.raises(TypeError, match=r"Wrong.explain must return a recsim.types.Explanation"):
        recsim.watch(own_env(Person()), Wrong(), show=False)


def test_what_an_agent_of_ones_own_says_is_recorded():
    class Telling(First):
        def explain(self, observation):
            table = types.ExplanationTable("candidate", [2], {"worth": [1.5]})
            return types.Explanation("The first.", [table], {"certainty": 1.0})

    episode = recsim.watch(own_env(Person()), Telling(), show=False)
    assert episode[0].explanation.numbers == {"certainty": 1.0}
    plain = episode.to_dict()["steps"][0]["explanation"]
    assert plain == {
        "title": "The first.",
        "tables": [{"of": "candidate", "rows": [2], "columns": {"worth": [1.5]}}],
        "numbers": {"certainty": 1.0},
    }
    assert "worth" in episode.text(0)


# Arguments.


def test_a_seed_gives_the_same_episode():
    env = registry.create_environment("interest_evolution", CONFIG)
    agent = registry.create_agent("random", env)
    one, other = (
        recsim.watch(env, registry.create_agent("random", env), seed=7, max_steps=9, show=False)
        for _ in range(2)
    )
    # IDs of documents continue.
    assert [each.state["user_interests"].tolist() for each in one] == [
        each.state["user_interests"].tolist() for each in other
    ]
    assert [(s.slate, s.clicked, s.reward) for s in one] == [
        (s.slate, s.clicked, s.reward) for s in other
    ]
    third = recsim.watch(env, agent, seed=8, max_steps=9, show=False)
    assert third[0].state["user_interests"].tolist() != one[0].state["user_interests"].tolist()


def test_environments_of_gymnasiums_form_are_watched():
    env = gymnasium.make("recsim/InterestExploration-v0", num_candidates=4)
    recsim_env = env.unwrapped.recsim_env
    agent = registry.create_agent("random", recsim_env)
    episode = recsim.watch(env, agent, max_steps=3, show=False)
    assert len(episode[0].item_ids) == 4 and episode.truncated
    assert episode.title == "RandomAgent in IEUserModel"


def good(**changed):
    env = registry.create_environment("interest_exploration", CONFIG)
    arguments = {"env": env, "agent": registry.create_agent("random", env), "max_steps": 2}
    return recsim.watch(**{**arguments, "show": False, **changed})


@pytest.mark.parametrize(
    ("changed", "error", "match"),
    [
        ({"env": None}, TypeError, "env must be an environment of one user.*got None"),
        ({"env": "interest_exploration"}, TypeError, "env must be an environment of one user"),
        ({"agent": None}, TypeError, "agent must be an agent of one user.*got None"),
        ({"agent": "random"}, TypeError, "agent must be an agent of one user"),
        ({"agent": random_agent.RandomAgent}, TypeError, "Pass an agent, not what makes one"),
        ({"max_steps": 0}, ValueError, "max_steps.*0"),
        ({"max_steps": None}, TypeError, "max_steps"),
        ({"max_steps": 2.5}, TypeError, "max_steps"),
        ({"seed": -1}, ValueError, "seed"),
        ({"seed": "1"}, TypeError, "seed"),
        ({"title": 3}, TypeError, "title must be a string"),
        ({"show": np.zeros(2)}, TypeError, "show"),
    ],
)
def test_bad_arguments_are_refused(changed, error, match):
    with pytest.raises(error, match=match):
        good(**changed)


def test_environments_of_several_users_are_refused():
    env = scenarios.make_interest_exploration_users([0, 1])
    with pytest.raises(ValueError, match="env must have one user, got one with . users"):
        recsim.watch(env, First(), show=False)


def test_vector_environments_are_refused():
    env = registry.create_vector_environment("interest_exploration", CONFIG, 3)
    with pytest.raises(TypeError, match="users in parallel. Make it by create_environment"):
        recsim.watch(env, registry.create_vector_agent("random", env), show=False)


def test_episodes_are_sequences_of_frozen_steps():
    episode = watched("interest_exploration", max_steps=4)
    assert len(episode) == len(list(episode)) == 4 and episode[-1] is episode.steps[3]
    assert repr(episode) == (
        f"<Episode of 4 steps, return {episode.total_reward:g}: RandomAgent in IEUserModel>"
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        episode[0].reward = 3.0
    assert episode.text(-1) == episode.text(np.int64(3)) != episode.text(2)
    for index in (4, -5):
        with pytest.raises(IndexError, match=f"0 to 3, or from the end, -4 to -1, got {index}"):
            episode.text(index)
    with pytest.raises(TypeError):
        episode.text(slice(2))
    assert isinstance(episode, watching.Episode) and isinstance(episode[0], watching.Step)


def test_json_has_null_for_what_is_not_finite(tmp_path):
    env = interest_exploration.create_environment(CONFIG)
    agent = registry.create_agent("cluster_bandit_ucb1", env)
    episode = recsim.watch(env, agent, max_steps=2, show=False)
    text = episode.to_json(tmp_path / "episode.json")
    assert (tmp_path / "episode.json").read_text() == text
    rates = json.loads(text)["steps"][0]["explanation"]["tables"][0]["columns"]["click rate"]
    assert rates == [None, None]  # No topic was shown before the first step.


def test_recsim_watch_is_a_function_whatever_is_imported():
    code = (
        "import recsim, recsim.watching, recsim.watching.recording\n"
        "assert callable(recsim.watch) and recsim.watch is recsim.watching.watch\n"
        "import sys; assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_each_scenario_tells_its_probabilities():
    """The scenarios' user models have what is looked for."""
    for module in (interest_evolution, interest_exploration, long_term_satisfaction):
        model = module.create_environment(CONFIG).environment.user_model
        assert hasattr(model, "choice_model") or hasattr(model, "choice_probabilities")
