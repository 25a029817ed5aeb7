"""Document samplers that choose candidates for users, in both engines."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from support import recsim_names

from recsim.document import CandidateSet
from recsim.environments import interest_evolution, interest_exploration
from recsim.simulator import environment
from recsim.vector import env as vector_env
from recsim.vector import scenario

CONFIG = {"num_candidates": 3, "slate_size": 2, "resample_documents": True, "seed": 0}


class Retrieval(interest_exploration.IETopicDocumentSampler):
    """Keeps those of many documents that the first user scores highest."""

    seen = None

    def sample_candidates_for(self, users, num_documents):
        self.seen = [user.topic_affinity.copy() for user in users]
        documents = [self.sample_document() for _ in range(10)]
        documents.sort(key=lambda doc: -users[0].score_document(doc.create_observation()))
        candidates = CandidateSet()
        for document in documents[:num_documents]:
            candidates.add_document(document)
        return candidates


def one_user(resample=True, sampler=None):
    sampler = sampler or Retrieval(doc_ctor=interest_exploration.IEDocument, seed=0)
    model = interest_exploration.IEUserModel(
        2,
        user_sampler=interest_exploration.IEClusterUserSampler(seed=0),
        response_model_ctor=interest_exploration.IEResponse,
    )
    return environment.SingleUserEnvironment(model, sampler, 3, 2, resample), sampler


def test_single_user_engine_shows_the_sampler_the_user_of_the_moment():
    env, sampler = one_user()
    for _ in range(4):
        env.reset()
        user = recsim_names.user_state(env.user_model)
        assert np.array_equal(sampler.seen, [user.topic_affinity])
        env.step([0, 1])
        assert np.array_equal(sampler.seen, [user.topic_affinity])
        scores = [
            user.score_document(document.create_observation())
            for document in env.candidate_set.get_all_documents()
        ]
        assert scores == sorted(scores, reverse=True)


def test_candidates_that_stay_cannot_follow_from_the_user():
    with pytest.raises(ValueError, match="resample_documents must be True for a document sampler"):
        one_user(resample=False)


RETURNED = {
    "no documents": (0, ValueError, "got one of 0"),
    "too few": (1, ValueError, "got one of 1"),
    "too many": (12, ValueError, "got one of 12"),
    "a list": ([], TypeError, r"got \[\]: make a CandidateSet"),
    "nothing": (None, TypeError, "got None: make a CandidateSet"),
    "an array": (np.zeros(3), TypeError, "got array.*: make a CandidateSet"),
}


@pytest.mark.parametrize("method", ["sample_candidates_for", "sample_candidates"])
@pytest.mark.parametrize("case", RETURNED)
def test_a_sampler_must_return_as_many_candidates_as_it_is_asked_for(case, method):
    returned, error, message = RETURNED[case]
    from_step = 3

    def sampled(self, *arguments):
        self.calls = getattr(self, "calls", 0) + 1
        number = arguments[-1] if self.calls < from_step else returned
        if not isinstance(number, int):
            return number
        candidates = CandidateSet()
        for _ in range(number):
            candidates.add_document(self.sample_document())
        return candidates

    own = type("Own", (interest_exploration.IETopicDocumentSampler,), {method: sampled})
    env, _ = one_user(sampler=own(doc_ctor=interest_exploration.IEDocument, seed=0))
    env.reset()
    with pytest.raises(error, match=rf"Own\.{method} must return .* num_candidates=3 .*{message}"):
        env.step([0, 1])
    from_step = 1
    with pytest.raises(error, match=message):
        one_user(sampler=own(doc_ctor=interest_exploration.IEDocument, seed=0))


class Nearest(interest_evolution.VectorIEvDocumentSampler):
    """Candidates of the topics that the user likes best, the best first."""

    def sample_for(self, users, stream, num_documents):
        documents = self.sample(stream, num_documents)
        topics = np.argsort(-users.interests, axis=1)[:, :num_documents]
        return interest_evolution.VectorIEvDocuments(topics.astype(np.int32), documents.quality)


def users_in_parallel(num_envs=7, candidates="step", **options):
    made = interest_evolution.create_vector_environment(
        {**CONFIG, "time_budget": 9.0, "alpha_y_intercept": 0.9}, num_envs
    )
    parameters = interest_evolution.parameters_of({**CONFIG, "time_budget": 9.0})
    spaces = made.single_observation_space
    model = interest_evolution.VectorIEvUserModel(
        interest_evolution.parameters_of({**CONFIG, "time_budget": 9.0, "alpha_y_intercept": 0.9}),
        2,
        spaces["user"],
        interest_evolution.IEvResponse.response_space(),
    )
    return vector_env.RecSimVectorEnv(
        model,
        Nearest(parameters, interest_evolution.IEvVideo.observation_space()),
        num_candidates=3,
        slate_size=2,
        num_envs=num_envs,
        reward_aggregator=interest_evolution.total_watch_time,
        candidates=candidates,
        seed=3,
        **options,
    )


def best_topics(observation):
    return np.argsort(-observation["user"], axis=1)[:, :3]


def shown_topics(observation):
    return observation["doc"].argmax(axis=-1)


def test_vector_engine_shows_the_sampler_the_users_of_the_moment():
    env = users_in_parallel(200)
    slates = np.tile([0, 1], (200, 1))
    observation, _ = env.reset()
    ended = changed = 0
    for _ in range(25):
        assert np.array_equal(shown_topics(observation), best_topics(observation))
        before = best_topics(observation)
        observation, _, terminated, _, infos = env.step(slates)
        changed += int((best_topics(observation) != before).any(axis=1)[~terminated].sum())
        rows = np.flatnonzero(terminated)
        ended += len(rows)
        for row in rows:
            final = infos["final_obs"][row]
            assert np.array_equal(final["doc"].argmax(axis=-1), np.argsort(-final["user"])[:3])
    assert ended > 200
    assert changed > 50


def test_candidates_of_an_episode_follow_from_its_new_user():
    env = users_in_parallel(200, "episode")
    observation, _ = env.reset()
    assert np.array_equal(shown_topics(observation), best_topics(observation))
    first = shown_topics(observation)
    for _ in range(8):
        observation, _, terminated, _, _ = env.step(np.tile([0, 1], (200, 1)))
        shown = shown_topics(observation)
        assert np.array_equal(shown[~terminated], first[~terminated])
        assert np.array_equal(shown[terminated], best_topics(observation)[terminated])
        first = shown


def test_users_do_not_depend_on_how_many_there_are():
    many, few = users_in_parallel(7), users_in_parallel(2)
    observations = many.reset()[0], few.reset()[0]
    for _ in range(12):
        assert np.array_equal(observations[0]["doc"][:2], observations[1]["doc"])
        observations = (
            many.step(np.tile([0, 1], (7, 1)))[0],
            few.step(np.tile([0, 1], (2, 1)))[0],
        )


def test_a_checkpoint_restores_the_candidates():
    env, other = users_in_parallel(), users_in_parallel()
    slates = np.tile([0, 1], (7, 1))
    env.reset()
    for _ in range(5):
        env.step(slates)
    other.reset()
    other.load_state_dict(env.state_dict())
    for _ in range(8):
        ours, theirs = env.step(slates), other.step(slates)
        assert np.array_equal(ours[0]["doc"], theirs[0]["doc"])
        assert np.array_equal(ours[1], theirs[1])


def test_all_users_cannot_share_what_is_chosen_for_each():
    with pytest.raises(ValueError, match="candidates must be 'step' or 'episode'.*Nearest"):
        users_in_parallel(candidates="shared")
    assert "shared" in scenario.CANDIDATES


@pytest.mark.parametrize("mode", ["NEXT_STEP", "SAME_STEP"])
def test_candidates_follow_from_users_in_modes_of_autoreset(mode):
    env = users_in_parallel(50, autoreset_mode=AutoresetMode[mode])
    observation, _ = env.reset()
    for _ in range(15):
        assert np.array_equal(shown_topics(observation), best_topics(observation))
        observation, *_ = env.step(np.tile([0, 1], (50, 1)))
