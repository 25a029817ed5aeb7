"""Where environments differ from RecSim 0.2.4 on purpose; docs/deviations.md names these tests."""

import numpy as np
import pytest
from support.scenarios import CONFIG

from recsim import choice_model, document, spaces, user
from recsim.environments import (
    interest_evolution,
    interest_exploration,
    long_term_satisfaction,
)
from recsim.simulator import environment, recsim_gym


def rewards_of(env, num_steps=20):
    rewards = []
    for step in range(num_steps):
        if step % 20 == 0:
            env.reset()
        rewards.append(env.step([step % 4, 3])[1])
    return rewards


def check_spaces(env, num_steps):
    env.reset()
    for step in range(num_steps):
        observation, _, done, _ = env.step([step % 4, 3])
        spaces.check_observation(env.observation_space, observation)
        if done:
            env.reset()


def test_choices_follow_from_the_config_alone():
    """RecSim drew choices from NumPy's global generator, which nothing seeded."""
    rewards = []
    global_state = np.random.get_state()
    for noise in (1, 2):
        np.random.seed(noise)
        rewards.append(rewards_of(interest_evolution.create_environment(CONFIG)))
    np.random.set_state(global_state)
    assert rewards[0] == rewards[1]
    assert rewards[0] != rewards_of(interest_evolution.create_environment({**CONFIG, "seed": 1}))


def test_env_seed_steers_choices_but_not_samplers():
    envs = [interest_evolution.create_environment(CONFIG) for _ in range(3)]
    for env, seed in zip(envs, (5, 5, 6), strict=True):
        assert env.seed(seed) == [seed]
    first = [env.reset() for env in envs]
    for observation in first[1:]:
        np.testing.assert_equal(observation, first[0])
    rollouts = [rewards_of(env, 60) for env in envs]
    assert rollouts[0] == rollouts[1] != rollouts[2]


def test_reset_sampler_repeats_users_and_documents():
    env = interest_evolution.create_environment(CONFIG)
    env.reset_sampler()
    first = env.reset()
    rewards_of(env)
    env.reset_sampler()
    again = env.reset()
    np.testing.assert_array_equal(first["user"], again["user"])
    for video, same_video in zip(first["doc"].values(), again["doc"].values(), strict=True):
        np.testing.assert_array_equal(video, same_video)
    assert list(first["doc"]) != list(again["doc"])  # Identifiers are never used twice.


def test_observed_interests_stay_as_they_were_returned():
    """RecSim changed the array of an earlier observation when interests moved."""
    env = interest_evolution.create_environment(CONFIG)
    first = env.reset()["user"]
    as_it_was = first.copy()
    moved = False
    for _ in range(20):
        moved |= not np.array_equal(env.step([0, 1])[0]["user"], as_it_was)
        np.testing.assert_array_equal(first, as_it_was)
    assert moved


def test_long_term_satisfaction_heeds_the_seed():
    """RecSim's samplers always used the seed 0 here."""
    observations = [
        long_term_satisfaction.create_environment({**CONFIG, "seed": seed}).reset()["doc"]
        for seed in (0, 1)
    ]
    assert observations[0]["6"] != observations[1]["6"]


def test_long_term_satisfaction_needs_no_seed():
    """RecSim did not read it, so configs without it exist."""
    without_seed = {key: value for key, value in CONFIG.items() if key != "seed"}
    env = long_term_satisfaction.create_environment(without_seed)
    second = long_term_satisfaction.create_environment(CONFIG)
    assert env.reset()["doc"] == second.reset()["doc"]


def test_clickbait_lowers_exposure():
    """RecSim documented the opposite sign of its transition."""
    after_choc, after_kale = (
        long_term_satisfaction.next_net_positive_exposure(1.0, score, 0.5, 0.0)
        for score in (1.0, 0.0)
    )
    assert (after_choc, after_kale) == (-0.5, 1.5)


def test_long_term_satisfaction_response_can_be_printed():
    """RecSim's raised a TypeError."""
    assert repr(long_term_satisfaction.LTSResponse(True, 2.5)) == "[2.5]"


def test_proportional_cascade_scores_several_documents():
    """RecSim's raised for more than one document."""

    class User(user.AbstractUserState):
        def score_document(self, doc_obs):
            return doc_obs

        create_observation = observation_space = None

    model = choice_model.ProportionalCascadeChoiceModel(
        {"attention_prob": 0.5, "score_scaling": 0.25, "min_normalizer": -1.0}
    )
    model.score_documents(User(), [1.0, 3.0])
    assert model.scores == pytest.approx([0.25, 0.75 * 0.5])
    assert model.score_no_click == pytest.approx(0.75 * 0.5)


def test_environments_with_different_topics_live_side_by_side():
    """RecSim kept the number of topics on the class of all documents."""
    two = interest_exploration.create_environment(CONFIG)
    three = interest_exploration.create_environment(
        {
            **CONFIG,
            "topic_distribution": (0.5, 0.3, 0.2),
            "topic_quality_mean": (0.1, 0.2, 0.3),
            "topic_quality_stddev": (0.1, 0.1, 0.1),
            "user_document_mean_affinity_matrix": ((0.1, 0.2, 0.3), (0.3, 0.2, 0.1)),
            "user_document_stddev_affinity_matrix": ((0.1,) * 3,) * 2,
        }
    )
    for env, num_topics in ((two, 2), (three, 3), (two, 2)):
        check_spaces(env, 50)
        space = env.observation_space
        assert {doc["cluster_id"].n for doc in space["doc"].spaces.values()} == {num_topics}
        assert {response["cluster_id"].n for response in space["response"]} == {num_topics}


def test_close_does_not_raise():
    """RecSim's raised NotImplementedError."""
    env = interest_exploration.create_environment(CONFIG)
    assert env.close() is None
    with interest_exploration.create_environment(CONFIG):
        pass


def test_odd_numbers_of_topics_have_a_quality_each():
    """RecSim's sampler had too few qualities for some numbers of topics."""

    class Video(interest_evolution.IEvVideo):
        NUM_FEATURES = 5

    sampler = interest_evolution.UtilityModelVideoSampler(doc_ctor=Video)
    assert sampler.cluster_means == pytest.approx([-3.0, -1.5, 0.0, 0.0, 3.0])
    assert {sampler.sample_document().cluster_id for _ in range(100)} == set(range(5))


def test_no_metrics_are_counted_without_an_aggregator():
    """RecSim's default aggregator replaced the metrics by None."""
    env = long_term_satisfaction.create_environment(CONFIG)
    env.reset()
    observation, *_ = env.step([0])
    env.update_metrics(observation["response"])
    written = []
    env.write_metrics(lambda *arguments: written.append(arguments))
    assert written == []


def test_metrics_of_several_users():
    """RecSim's aggregator took the responses of one user only."""
    env = make_two_users()
    env.reset()
    clicks = 0
    for _ in range(30):
        observation, *_ = env.step([[0, 1], [1, 2]])
        clicks += sum(response["click"] for user in observation["response"] for response in user)
        env.update_metrics(observation["response"])
    written = {}
    env.write_metrics(written.__setitem__)
    shares = [value for tag, value in written.items() if tag.startswith("cluster_watch")]
    assert sum(shares) == pytest.approx(1.0)
    assert written["CTR"] == clicks / 60
    assert 0 < clicks < 60


def make_two_users():
    users = [
        interest_exploration.IEUserModel(2, response_model_ctor=interest_exploration.IEResponse)
        for _ in range(2)
    ]
    raw_environment = environment.MultiUserEnvironment(
        users, interest_exploration.IETopicDocumentSampler(), 6, 2
    )
    from recsim import utils

    return recsim_gym.RecSimGymEnv(
        raw_environment,
        lambda responses: [interest_exploration.total_clicks_reward(one) for one in responses],
        utils.aggregate_video_cluster_metrics,
        utils.write_video_cluster_metrics,
    )


def test_users_alike_choose_differently():
    """Users whose samplers have one seed still make choices of their own."""
    env = make_two_users()
    env.reset()
    rewards = np.array([env.step([[0, 1], [0, 1]])[1] for _ in range(60)])
    assert not np.array_equal(rewards[:, 0], rewards[:, 1])


class PopularityVideos(interest_evolution.UtilityModelVideoSampler):
    """Overrides what is done for a single document."""

    def sample_document(self):
        video = super().sample_document()
        video.quality = 7.0
        return video


class ShoutingDocument(interest_exploration.IEDocument):
    """Overrides how a single document is observed."""

    def create_observation(self):
        return {**super().create_observation(), "cluster_id": -1}


def test_overrides_for_single_documents_are_heeded():
    """Candidates are sampled and observed many at once only where that changes nothing."""
    videos = PopularityVideos().sample_candidates(4).get_all_documents()
    assert [video.quality for video in videos] == [7.0] * 4
    sampler = interest_exploration.IETopicDocumentSampler(doc_ctor=ShoutingDocument)
    observation = sampler.sample_candidates(3).create_observation()
    assert [doc["cluster_id"] for doc in observation.values()] == [-1] * 3


SAMPLERS = {
    "interest_exploration": interest_exploration.IETopicDocumentSampler,
    "interest_evolution": interest_evolution.UtilityModelVideoSampler,
    "long_term_satisfaction": long_term_satisfaction.LTSDocumentSampler,
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_candidates_sampled_at_once_are_those_sampled_one_by_one(name):
    at_once, one_by_one = SAMPLERS[name](seed=3), SAMPLERS[name](seed=3)
    for _ in range(5):
        candidates, expected = at_once.sample_candidates(4), document.CandidateSet()
        for _ in range(4):
            expected.add_document(one_by_one.sample_document())
        np.testing.assert_equal(candidates.create_observation(), expected.create_observation())
        ids = list(expected.create_observation())
        assert candidates.size() == 4
        assert candidates.get_documents(ids[2:])[0] is candidates.get_documents([int(ids[2])])[0]
        for ours, other in zip(
            candidates.get_all_documents(), expected.get_all_documents(), strict=True
        ):
            np.testing.assert_equal(vars(ours), vars(other))
        with pytest.raises(KeyError):
            candidates.get_documents([10_000])


def test_documents_changed_after_they_were_shown_are_observed_anew():
    candidates = long_term_satisfaction.LTSDocumentSampler().sample_candidates(3)
    candidates.create_observation()
    candidates.get_documents([1])[0].clickbait_score = 0.125
    candidates.remove_document(candidates.get_documents([0])[0])
    assert list(candidates.create_observation()) == ["1", "2"]
    assert candidates.create_observation()["1"] == [0.125]
    assert candidates.size() == 2
