"""Methods that a program replaces, of a class or of one object, are those that are called."""

import numpy as np
import pytest
from support import recsim_names
from support.scenarios import CONFIG, MODULES

from recsim import choice_model
from recsim.environments import interest_exploration, long_term_satisfaction


def test_a_samplers_own_sample_document_is_called():
    env = interest_exploration.create_environment(CONFIG)
    env.reset()
    sampler = recsim_names.document_sampler(env)
    original = sampler.sample_document

    def better():
        document = original()
        document.quality = 99.0
        return document

    sampler.sample_document = better
    shown = env.reset()["doc"].values()
    assert [float(document["quality"]) for document in shown] == [99.0] * 4


def test_a_sampler_class_s_new_sample_document_is_called(monkeypatch):
    env = long_term_satisfaction.create_environment(CONFIG)
    env.reset()
    kind = type(recsim_names.document_sampler(env))
    original = kind.sample_document

    def clickbait(sampler):
        document = original(sampler)
        document.clickbait_score = 0.5
        return document

    monkeypatch.setattr(kind, "sample_document", clickbait)
    assert [float(document[0]) for document in env.reset()["doc"].values()] == [0.5] * 4


@pytest.mark.parametrize("resample", [True, False])
@pytest.mark.parametrize("scenario", MODULES.values(), ids=MODULES)
def test_a_document_class_s_new_create_observation_is_called(monkeypatch, scenario, resample):
    env = scenario.create_environment({**CONFIG, "resample_documents": resample})
    kind = recsim_names.document_sampler(env).get_doc_ctor()
    if resample:
        env.reset()
    monkeypatch.setattr(kind, "create_observation", lambda document: {"seen": document.doc_id()})
    documents = env.reset()["doc"]
    assert documents == {key: {"seen": int(key)} for key in documents}
    assert len(documents) == 4


def test_a_document_class_s_new_init_is_called(monkeypatch):
    env = long_term_satisfaction.create_environment(CONFIG)
    env.reset()
    kind = long_term_satisfaction.LTSDocument
    original = kind.__init__
    monkeypatch.setattr(kind, "__init__", lambda self, doc_id, **_: original(self, doc_id, 0.25))
    assert [float(document[0]) for document in env.reset()["doc"].values()] == [0.25] * 4


def test_a_user_state_s_own_score_document_is_called(monkeypatch):
    env = interest_exploration.create_environment(CONFIG)
    observation = env.reset()
    state = recsim_names.user_state(env.environment.user_model)
    scores = choice_model.NormalizableChoiceModel._score_documents_helper
    documents = list(observation["doc"].values())
    state.score_document = lambda document: 7.0
    np.testing.assert_array_equal(scores(state, documents), [7.0] * 4)
    del state.score_document
    monkeypatch.setattr(type(state), "score_document", lambda state, document: 5.0)
    np.testing.assert_array_equal(scores(state, documents), [5.0] * 4)


@pytest.mark.parametrize("resample", [True, False])
@pytest.mark.parametrize("scenario", MODULES.values(), ids=MODULES)
def test_what_becomes_of_an_observation_does_not_change_later_slates(scenario, resample):
    config = {**CONFIG, "resample_documents": resample}
    env, other = (scenario.create_environment(config) for _ in range(2))
    observation, _ = env.reset(), other.reset()
    for slate in ([1, 0], [2, 3], [3, 1]):
        documents = observation["doc"]
        documents.pop(next(iter(documents)))
        observation, reward, *_ = env.step(slate)
        expected, expected_reward, *_ = other.step(slate)
        assert reward == expected_reward
        np.testing.assert_equal(observation["response"], expected["response"])
