"""Topic boredom: by hand, beside sardine-rec, and both engines beside each other.

``tests/traces/sardine.json`` has what sardine-rec did; ``tests/traces/record_sardine.py`` says how
it was recorded.
"""

from __future__ import annotations

import functools
import json
import pathlib
from typing import Any

import gymnasium
import numpy as np
import pytest
from support import recsim_names

from recsim import registry, testing
from recsim.environments import topic_boredom
from recsim.simulator import recsim_gym
from recsim.vector import scenario, streams

SARDINE = json.loads(
    (pathlib.Path(__file__).parents[1] / "traces" / "sardine.json").read_text(encoding="utf-8")
)
VARIANTS = sorted(SARDINE["traces"])
POLICIES = ("random", "greedy")
#: Number of episodes of this library that are compared with sardine-rec's 2,000.
NUM_EPISODES = 2000
SMALL = {"num_candidates": 12, "slate_size": 4, "resample_documents": True, "seed": 2}


def parameters_of(variant: str, **changes: Any) -> topic_boredom.TopicBoredomParameters:
    return topic_boredom.parameters_of({**topic_boredom.VARIANTS[variant], **changes})


# ---- Beside sardine-rec, with the same clicks


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_same_clicks_change_a_user_as_in_sardine(variant: str) -> None:
    trace = SARDINE["traces"][variant]
    parameters = parameters_of(variant, observe_user_state=True)
    catalogue = topic_boredom.catalogue_of(parameters)
    user = topic_boredom.BoredomUserState(parameters, np.array(trace["interests"]))
    for step, (slate, clicks, state) in enumerate(
        zip(trace["slates"], trace["clicks"], trace["user_states"], strict=True)
    ):
        if step:
            assert np.flatnonzero(user.bored).tolist() == trace["bored"][step - 1]
            np.testing.assert_allclose(
                user.relevances(catalogue.embedding[slate]),
                trace["relevances"][step - 1],
                atol=1e-8,
            )
        user.see(np.array(clicks) > 0, catalogue.embedding[slate], catalogue.cluster_id[slate])
        np.testing.assert_allclose(user.create_observation(), state, atol=2e-7)
    assert np.sum(trace["clicks"]) > 5


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_same_clicks_change_users_in_parallel_as_in_sardine(variant: str) -> None:
    trace = SARDINE["traces"][variant]
    env: Any = topic_boredom.create_vector_environment(
        {**topic_boredom.VARIANTS[variant], "observe_user_state": True}, 3, dtype=np.float64
    )
    model, catalogue = env.user_model, topic_boredom.catalogue_of(env.user_model.parameters)
    users = model.sample_users(stream_of(3))
    # As they were before the first slate.
    users.interests[:] = trace["interests"]
    users.time[:] = users.next_click[:] = 0
    users.clicked_steps[:] = -(2**30)
    users.bored[:] = False
    users.boredom_timeout[:] = model.parameters.boredom_window
    for slate, clicks, state in zip(
        trace["slates"], trace["clicks"], trace["user_states"], strict=True
    ):
        documents = topic_boredom.VectorBoredomDocuments(
            *(
                np.repeat(field[np.newaxis, slate], 3, axis=0)
                for field in (catalogue.embedding, catalogue.cluster_id, catalogue.quality)
            )
        )
        clicked = np.tile(np.array(clicks) > 0, (3, 1))
        responses = model.respond(users, documents, clicked, stream_of(3))
        users = model.update(users, documents, clicked, responses, stream_of(3))
        np.testing.assert_allclose(model.observe_users(users), [state] * 3, atol=2e-7)


def stream_of(num_users: int, step: int = 0) -> streams.UserStream:
    rows = np.arange(num_users)
    return streams.UserStream(streams.hash_key(step, "draws"), rows, rows, np.float64)


# ---- Beside sardine-rec, in distribution


def episodes(variant: str, policy: str, num_episodes: int) -> dict[str, np.ndarray]:
    """Returns what is compared, with a row an episode."""
    config = {**topic_boredom.VARIANTS[variant], "observe_user_state": True}
    env: Any = topic_boredom.create_vector_environment(config, num_episodes)
    size, num_topics = env.slate_size, env.user_model.parameters.num_topics
    rng, observation = np.random.default_rng(5), env.reset(seed=6)[0]
    embedding = observation["doc"]["embedding"][0]
    topics = observation["doc"]["cluster_id"][0]
    names = ("clicks_by_position", "clicks_by_topic", "shown_by_topic")
    sizes = (size, num_topics, num_topics)
    counts = {name: np.zeros((num_episodes, n)) for name, n in zip(names, sizes, strict=True)}
    counts |= {name: np.zeros((num_episodes, 1)) for name in ("return", "bored")}
    ended = np.zeros(num_episodes, bool)
    while not ended.any():
        bored = env.user_states()["bored"].any(axis=1)
        slates = rng.integers(env.num_candidates, size=(num_episodes, size))
        if policy == "greedy":
            interests = observation["user"][:, :num_topics]
            slates = topic_boredom.greedy_slates(interests, embedding, size)
        observation, rewards, ended, _, infos = env.step(slates)
        last = infos["final_obs"].batch if infos else observation
        clicked = last["response"]["click"] > 0
        on_topic = topics[slates][..., np.newaxis] == np.arange(num_topics)
        counts["clicks_by_position"] += clicked
        counts["clicks_by_topic"] += (on_topic & clicked[..., np.newaxis]).sum(axis=1)
        counts["shown_by_topic"] += on_topic.sum(axis=1)
        counts["return"][:, 0] += rewards
        counts["bored"][:, 0] += bored
    assert ended.all()
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_episodes_are_distributed_as_in_sardine(variant: str, policy: str) -> None:
    """Means of episodes are within three standard errors of each other.

    Of the numbers by position and by topic, of which there are 20 to 30, within four.
    """
    here = episodes(variant, policy, NUM_EPISODES)
    config = topic_boredom.VARIANTS[variant]
    of_some = config["num_candidates"] != config["slate_size"]
    for name, there in SARDINE["statistics"][f"{variant} {policy}"].items():
        if (name, policy) == ("shown_by_topic", "greedy") and here["bored"].any() and of_some:
            # To the bored all items are worth the same: NumPy's argpartition, which sardine-rec
            # calls, then has an order of its own. They click next to none of them.
            continue
        means, stddevs = np.array(there["mean"]), np.array(there["stddev"])
        variances = stddevs**2 / SARDINE["episodes"] + here[name].var(axis=0, ddof=1) / NUM_EPISODES
        difference = np.abs(here[name].mean(axis=0) - means)
        limit = 3.0 if name in ("return", "bored") else 4.0
        assert (difference <= limit * np.sqrt(variances) + 1e-9).all(), name


# ---- By hand


def user_of(**changes: Any) -> topic_boredom.BoredomUserState:
    """Returns a user of two topics, who likes the first four times as much as the second."""
    parameters = topic_boredom.TopicBoredomParameters(
        **{"num_topics": 2, "topics_per_item": 1, "topics_per_user": 1, **changes}
    )
    return topic_boredom.BoredomUserState(parameters, np.array([0.8, 0.6]))


def test_too_many_clicks_bore_for_a_while() -> None:
    user = user_of(boredom_threshold=2, boredom_window=3)
    embedding, topics = np.eye(2), np.arange(2)
    bored = []
    for clicks in ([1, 0], [1, 1], [0, 0], [0, 0], [0, 0], [0, 0], [0, 0]):
        user.see(np.array(clicks, bool), embedding, topics)
        bored.append(user.bored.tolist())
    # The second click on topic 0 bores. The clicks count for three slates and boredom lasts for
    # three, but is there anew while two clicks count: after the slates 2 to 5.
    assert [first for first, _ in bored] == [False, True, True, True, False, False, False]
    assert not any(second for _, second in bored)


def test_boredom_hides_all_interests_or_those_in_what_bores() -> None:
    for effect, expected in (("all_topics", [0.0, 0.0]), ("bored_topics", [0.0, 0.6])):
        user = user_of(boredom_threshold=1, boredom_effect=effect)
        user.see(np.array([True]), np.array([[1.0, 0.0]]), np.array([0]))
        np.testing.assert_allclose(user.shown_interests, expected)
        np.testing.assert_allclose(user.interests, [0.8, 0.6])


def test_only_the_last_clicks_count() -> None:
    user = user_of(clicks_remembered=3)
    embedding = np.array([[1.0, 0.0]] * 2 + [[0.0, 1.0]] * 2)
    user.see(np.ones(4, bool), embedding, np.array([0, 0, 1, 1]))
    assert user.recent_clicks.tolist() == [1, 2]
    user.see(np.array([True, False, False, False]), embedding, np.array([0, 0, 1, 1]))
    assert user.recent_clicks.tolist() == [1, 2]
    np.testing.assert_allclose(user.create_observation(), [0.2, 0.4])


def test_interests_drift() -> None:
    clicked, embedding = np.array([True, False]), np.array([[0.0, 1.0], [1.0, 0.0]])
    # Towards the item, 0.5 (0.8, 0.6) + 0.5 (0, 1); or towards the mean of its entries, 0.5.
    for drift, moved in (("topics", [0.4, 0.8]), ("uniform", [0.65, 0.55])):
        user = user_of(interest_memory=0.5, drift=drift)
        user.see(clicked, embedding, np.array([1, 0]))
        np.testing.assert_allclose(user.interests, np.array(moved) / np.linalg.norm(moved))
        before = user.interests
        user.see(np.zeros(2, bool), embedding, np.array([1, 0]))
        assert user.interests is before or (user.interests == before).all()


def test_each_click_draws_interests_in_turn() -> None:
    items = np.array([[0.0, 1.0], [1.0, 0.0], [0.6, 0.8]])
    user = user_of(interest_memory=0.5, drift="each_click")
    user.see(np.array([True, False, True]), items, np.array([1, 0, 1]))
    first = np.array([0.4, 0.8]) / np.sqrt(0.8)
    second = 0.5 * first + [0.3, 0.4]
    np.testing.assert_allclose(user.interests, second / np.linalg.norm(second))
    # In the mixtures of topics of GeMS the lengths in topics sum to 1, (0.3, 0.4) is 0.5 long.
    user = user_of(interest_memory=0.5, drift="each_click", embeddings="diffuse", subtopics=2)
    user.interests = np.array([0.3, 0.4, 0.0, 0.5])
    user.see(np.array([True]), np.array([[0.0, 0.0, 0.6, 0.8]]), np.array([1]))
    moved = np.array([0.15, 0.2, 0.3, 0.65])
    sum_of_lengths = 0.25 + np.hypot(0.3, 0.65)
    np.testing.assert_allclose(user.interests, moved / sum_of_lengths)
    user = user_of(boredom_threshold=1, boredom_effect="bored_topics", subtopics=2)
    user.interests = np.array([0.1, 0.2, 0.3, 0.4])
    user.see(np.array([True]), np.array([[1.0, 0.0, 0.0, 0.0]]), np.array([0]))
    np.testing.assert_array_equal(user.shown_interests, [0.0, 0.0, 0.3, 0.4])


def test_relevance_and_attraction() -> None:
    documents = [
        {"embedding": np.array([1.0, 0.0]), "cluster_id": 0},
        {"embedding": np.array([0.0, 1.0]), "cluster_id": 1},
        {"embedding": np.array([0.6, 0.8]), "cluster_id": 1},
    ]
    scores = np.array([0.8, 0.6, 0.96])
    logistic = 1.0 / (1.0 + np.exp(-10.0 * (scores - 0.7)))
    settings = {"relevance_slope": 10.0, "relevance_offset": 0.7}
    np.testing.assert_allclose(user_of(**settings).score_documents(documents), logistic)
    user = user_of(**settings, attraction_factor=0.5, same_topic_limit=2, same_topic_penalty=4.0)
    np.testing.assert_allclose(user.score_documents(documents), logistic / 8.0)
    np.testing.assert_allclose(user.score_documents(documents[:2]), logistic[:2] / 2.0)
    assert user.score_document(documents[0]) == pytest.approx(logistic[0] / 2.0)
    user = user_of(relevance="threshold", relevance_offset=0.7, bored_relevance_factor=0.25)
    assert user.score_documents(documents).tolist() == [1.0, 0.0, 1.0]
    user.bored[1] = True
    user.interests = np.array([1.0, 0.0])
    assert user.relevances(np.array([[1.0, 0.0]])).tolist() == [0.0]  # Bored of everything.


def test_new_users_have_topics_around_the_mean() -> None:
    env: Any = topic_boredom.create_vector_environment(
        {**SMALL, "num_topics": 10, "topics_per_user": 4}, 20_000
    )
    env.reset(seed=0)
    states = env.user_states()
    number = (states["interests"] > 0).sum(axis=1)
    # Of ten topics each with probability 0.4, given that they are 3, 4 or 5.
    weights = np.array([120 * 0.4**3 * 0.6**7, 210 * 0.4**4 * 0.6**6, 252 * 0.4**5 * 0.6**5])
    shares = np.bincount(number, minlength=6)[3:] / len(number)
    np.testing.assert_allclose(shares, weights / weights.sum(), atol=0.015)
    assert number.min() >= 3
    assert number.max() <= 5
    np.testing.assert_allclose(np.linalg.norm(states["interests"], axis=1), 1.0, rtol=1e-5)


def test_the_catalogue_has_items_of_two_or_three_topics() -> None:
    catalogue = topic_boredom.catalogue_of(topic_boredom.TopicBoredomParameters())
    number = (catalogue.embedding > 0).sum(axis=1)
    assert set(number) == {2, 3}
    assert 450 < (number == 2).sum() < 550
    np.testing.assert_allclose(np.linalg.norm(catalogue.embedding, axis=1), 1.0)
    assert (catalogue.embedding[np.arange(1000), catalogue.cluster_id] == catalogue.quality).all()
    with pytest.raises(ValueError, match="read-only"):
        catalogue.embedding[0, 0] = 1.0
    other = topic_boredom.catalogue_of(topic_boredom.TopicBoredomParameters(catalogue_seed=1))
    assert (other.embedding != catalogue.embedding).any()


def share_of_main_topic(embeddings: str) -> float:
    """Returns the mean share of items' squared length that is in their main topics."""
    parameters = topic_boredom.TopicBoredomParameters(embeddings=embeddings, subtopics=2)
    catalogue = topic_boredom.catalogue_of(parameters)
    assert catalogue.embedding.shape == (1000, 20)
    np.testing.assert_allclose(np.linalg.norm(catalogue.embedding, axis=1), 1.0)
    lengths = np.linalg.norm(catalogue.embedding.reshape(1000, 10, 2), axis=2)
    np.testing.assert_array_equal(catalogue.cluster_id, lengths.argmax(axis=1))
    np.testing.assert_allclose(catalogue.quality, lengths.max(axis=1))
    if embeddings != "few_topics":
        assert (catalogue.embedding > 0.0).all()
    return float(np.mean(catalogue.quality**2))


def test_items_of_mixtures_of_topics() -> None:
    # By their definition, over 400,000 items: 0.410 and 0.530.
    diffuse, focused = share_of_main_topic("diffuse"), share_of_main_topic("focused")
    assert diffuse == pytest.approx(0.410, abs=0.015)
    assert focused == pytest.approx(0.530, abs=0.015)
    assert share_of_main_topic("few_topics") > 0.6


def test_new_users_of_mixtures_of_topics_in_both_engines() -> None:
    config = {**topic_boredom.VARIANTS["mixed_diffuse"], "seed": 4}
    env: Any = topic_boredom.create_vector_environment(config, 4000)
    env.reset(seed=0)
    many = env.user_states()["interests"].reshape(4000, 10, 2)
    sampler = topic_boredom.BoredomUserSampler(topic_boredom.parameters_of(config), 10, seed=1)
    each = np.array([sampler.sample_user().interests for _ in range(1000)]).reshape(-1, 10, 2)
    for interests in (many, each):
        lengths = np.linalg.norm(interests, axis=2)
        assert (lengths > 0.0).all()
    # The slate before the episode may have drawn some already, who keep the sum.
    np.testing.assert_allclose(np.linalg.norm(many, axis=2).sum(axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(each, axis=2).sum(axis=1), 1.0)
    largest = [np.linalg.norm(of, axis=2).max(axis=1) for of in (many, each)]
    error = np.hypot(*(of.std() / np.sqrt(len(of)) for of in largest))
    assert abs(largest[0].mean() - largest[1].mean()) < 4 * error


def test_greedy_slates() -> None:
    embedding = np.array([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6], [0.0, 1.0]])
    interests = np.array([[0.6, 0.8], [1.0, 0.0], [0.0, 0.0]])
    slates = topic_boredom.greedy_slates(interests, embedding, 3)
    assert slates.tolist() == [[2, 3, 1], [0, 2, 3], [3, 2, 1]]
    each = np.repeat(embedding[np.newaxis], 3, axis=0)
    assert topic_boredom.greedy_slates(interests, each, 3).tolist() == slates.tolist()


# ---- As an environment


@pytest.mark.parametrize(
    "choice_model", ["position_based", "dependent_click", "multi_click_cascade"]
)
def test_the_contract_with_every_choice_model(choice_model: str) -> None:
    config = {**SMALL, "choice_model": choice_model, "observe_user_state": True}
    config |= {"relevance_slope": 8.0, "relevance_offset": 0.4, "time_budget": 20}
    testing.check_environment(lambda: topic_boredom.create_environment(config), num_steps=60)
    for candidates in scenario.CANDIDATES:
        testing.check_vector_environment(
            functools.partial(
                topic_boredom.create_vector_environment, config, candidates=candidates
            )
        )


@pytest.mark.parametrize("variant", topic_boredom.VARIANTS)
def test_gymnasium_has_the_variants(variant: str) -> None:
    camel = variant.title().replace("_", "")
    name = f"recsim/TopicBoredom-{camel}-v0"
    env = gymnasium.make(name)
    config = topic_boredom.VARIANTS[variant]
    env.reset(seed=1)
    assert env.action_space.nvec.tolist() == [config["num_candidates"]] * config["slate_size"]
    steps, ended = 0, False
    while not ended:
        _, _, ended, truncated, _ = env.step(env.action_space.sample())
        steps += 1
        assert not truncated
    assert steps == config.get("time_budget", 100)
    many = gymnasium.make_vec(name, num_envs=3, observe_user_state=True)
    assert many.reset(seed=1)[0]["user"].shape == (3, 20 + 10 * config.get("subtopics", 1))
    by_name = gymnasium.make_vec(
        "recsim/TopicBoredom-v0", num_envs=3, variant=variant, observe_user_state=True
    )
    np.testing.assert_array_equal(by_name.reset(seed=1)[0]["user"], many.reset(seed=1)[0]["user"])


def test_variants_are_listed_and_unknown_ones_refused() -> None:
    assert set(registry.ENVIRONMENTS["topic_boredom"].variants) == set(topic_boredom.VARIANTS)
    with pytest.raises(ValueError, match=r"variant must be one of .*Did you mean 'slate_bored'"):
        gymnasium.make("recsim/TopicBoredom-v0", variant="slate_boredom")
    with pytest.raises(ValueError, match="variant must be one of none"):
        gymnasium.make_vec("recsim/InterestEvolution-v0", num_envs=2, variant="slate_bored")


def test_engines_agree_under_the_same_random_numbers() -> None:
    config = {**SMALL, "relevance_slope": 6.0, "relevance_offset": 0.4, "boredom_threshold": 2}
    for changes in (
        {},
        {"choice_model": "multi_click_cascade", "continue_after_skip": 0.8, "attention_prob": 0.9},
        {"choice_model": "dependent_click", "boredom_effect": "bored_topics"},
        {
            "interest_memory": 0.9,
            "drift": "topics",
            "bored_relevance_factor": 0.5,
            "clicks_remembered": 3,
            "same_topic_limit": 2,
            "same_topic_penalty": 1.5,
            "examination_order": "both_ends",
        },
        {
            "embeddings": "focused",
            "subtopics": 3,
            "relevance_offset": 0.2,
            "interest_memory": 0.7,
            "drift": "each_click",
            "boredom_effect": "bored_topics",
        },
    ):
        compare_engines({**config, **changes})


def compare_engines(config: dict[str, Any]) -> None:
    num_users = 20
    env: Any = topic_boredom.create_vector_environment(config, num_users, dtype=np.float64)
    model = env.user_model
    users = model.sample_users(stream_of(num_users))
    singles = [topic_boredom.create_environment(config).environment for _ in range(num_users)]
    for row, single in enumerate(singles):
        take_over(recsim_names.user_state(single.user_model), users, row)
    clicks = 0
    for step in range(1, 40):
        documents = env.document_sampler.sample(stream_of(num_users, 1000 + step), 4)
        stream = Recorded(num_users, step)
        clicked = model.choose(users, documents, stream)
        responses = model.respond(users, documents, clicked, stream)
        users = model.update(users, documents, clicked, responses, stream)
        observed = model.observe_users(users)
        for row, single in enumerate(singles):
            single.user_model.use_generator(Replayed(stream.drawn, row))
            slate = [
                topic_boredom.BoredomDocument(i, vector, int(topic), float(quality))
                for i, (vector, topic, quality) in enumerate(
                    zip(
                        documents.embedding[row],
                        documents.cluster_id[row],
                        documents.quality[row],
                        strict=True,
                    )
                )
            ]
            of_single = single.user_model.simulate_response(slate)
            assert single.user_model.num_bored == responses.num_bored[row, 0]
            single.user_model.update_state(slate, of_single)
            assert [response.clicked for response in of_single] == clicked[row].tolist()
            state = recsim_names.user_state(single.user_model)
            np.testing.assert_allclose(state.interests, users.interests[row], rtol=1e-12)
            for name in ("bored", "boredom_timeout", "recent_clicks"):
                assert getattr(state, name).tolist() == getattr(users, name)[row].tolist()
            np.testing.assert_allclose(state.create_observation(), observed[row], rtol=1e-12)
        clicks += clicked.sum()
    assert clicks > 200
    assert responses.num_bored.any()


class Recorded(streams.UserStream):
    """Remembers the numbers that it returns."""

    def __init__(self, num_users: int, step: int) -> None:
        rows = np.arange(num_users)
        super().__init__(streams.hash_key(step, "draws"), rows, rows, np.float64)
        self.drawn: list[np.ndarray] = []

    def uniform(self, *shape: int) -> np.ndarray:
        self.drawn.append(super().uniform(*shape))
        return self.drawn[-1]


class Replayed:
    """Samples what one of the users in parallel sampled."""

    def __init__(self, drawn: list[np.ndarray], row: int) -> None:
        self._numbers = iter([float(number) for numbers in drawn for number in numbers[row]])

    def random_sample(self) -> float:
        return next(self._numbers)


def take_over(user: Any, users: Any, row: int) -> None:
    """Makes a single user what one of many is."""
    for name in ("interests", "clicked_topics", "clicked_steps", "recent_clicks", "bored"):
        setattr(user, name, getattr(users, name)[row].copy())
    user.boredom_timeout = users.boredom_timeout[row].copy()
    user.next_click = users.next_click[row : row + 1].copy()
    user.time = int(users.time[row])


def test_metrics_of_both_engines() -> None:
    config = {**SMALL, "relevance_slope": 6.0, "relevance_offset": 0.3, "boredom_threshold": 2}
    tags = []
    for env, slates in (
        (topic_boredom.create_environment(config), [0, 1, 2, 3]),
        (topic_boredom.create_vector_environment(config, 500), np.tile(np.arange(4), (500, 1))),
    ):
        env.reset()
        total = 0.0
        for _ in range(40):
            observation, reward, *_, info = env.step(slates)
            total += np.sum(reward)
            if isinstance(env, recsim_gym.RecSimGymEnv):
                env.update_metrics(observation["response"], info)
        written: dict[str, float] = {}
        if isinstance(env, gymnasium.vector.VectorEnv):
            env.metrics_writer(env.metrics, written.__setitem__)
        else:
            env.write_metrics(written.__setitem__)
        slates_shown = 40 * (500 if len(tags) else 1)
        assert written["CTR"] == pytest.approx(total / slates_shown)
        tags.append(written)
    assert list(tags[0]) == list(tags[1])
    assert {"BoredShare", "TopicsPerSlate", "AverageQuality"} < set(tags[0])
    for name in ("CTR", "BoredShare", "TopicsPerSlate"):
        assert tags[0][name] == pytest.approx(tags[1][name], abs=0.5), name
    assert 0.0 < tags[1]["BoredShare"] < 1.0
    assert 1.0 < tags[1]["TopicsPerSlate"] < 4.0


def test_the_catalogue_must_have_the_candidates() -> None:
    for create in (
        topic_boredom.create_environment,
        lambda config: topic_boredom.create_vector_environment(config, 2),
    ):
        with pytest.raises(ValueError, match=r"num_items must be at least num_candidates.*5.*12"):
            create({**SMALL, "num_items": 5})
    everything = topic_boredom.create_environment({**SMALL, "num_items": 12})
    assert list(everything.reset()["doc"]) == [str(item) for item in range(12)]


def test_candidates_are_items_by_their_index() -> None:
    env = topic_boredom.create_environment(SMALL)
    catalogue = topic_boredom.catalogue_of(topic_boredom.parameters_of(SMALL))
    seen = set()
    observation = env.reset()
    for _ in range(30):
        for item, document in observation["doc"].items():
            seen.add(int(item))
            np.testing.assert_array_equal(document["embedding"], catalogue.embedding[int(item)])
        observation = env.step([0, 1])[0]
    assert len(seen) > 200


def test_the_seed_is_0_by_default() -> None:
    config = {key: value for key, value in SMALL.items() if key != "seed"}
    for make in (
        topic_boredom.create_environment,
        lambda config: topic_boredom.create_vector_environment(config, 3),
    ):
        ours, of_zero, of_another = (
            make(settings).reset() for settings in (config, {**config, "seed": 0}, SMALL)
        )
        assert repr(ours) == repr(of_zero) != repr(of_another)
