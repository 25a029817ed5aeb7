"""Rules of pages, and environments whose documents have action masks."""

import copy
import functools
import pickle

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from recsim import action_masks, spaces
from recsim.agents import random_agent
from recsim.environments import interest_evolution, interest_exploration, topic_boredom
from recsim.vector import wrappers

CONFIG = {"num_candidates": 6, "slate_size": 2, "resample_documents": True, "seed": 3}
RULE = action_masks.CategoriesOfSlots([0, 1], "cluster_id", otherwise="any")


def all_but_the_best(documents):
    """Returns which documents are not of the highest quality: one number for all positions."""
    quality = documents["quality"]
    return quality < quality.max(axis=-1, keepdims=True)


def vector_env(num_envs=3, rule=RULE, **kwargs):
    env = interest_exploration.create_vector_environment(CONFIG, num_envs, **kwargs)
    return action_masks.with_action_masks(env, rule)


@pytest.mark.parametrize(
    "documents",
    [
        {"category": np.array([1, 0, 2, 1])},
        {"category": np.array([[1], [0], [2], [1]])},
        {"category": np.eye(3)[[1, 0, 2, 1]] * 0.5},
        {"category": np.eye(3)[[1, 0, 2, 1]][np.newaxis]},
    ],
)
def test_positions_show_documents_of_their_category(documents):
    rule = action_masks.CategoriesOfSlots([1, None, 0, 1], field="category")
    expected = [[1, 1, 0, 1], [0, 1, 1, 0], [0, 1, 0, 0], [1, 1, 0, 1]]
    found = rule(documents)
    assert found.reshape(-1, 4).astype(int).tolist() == expected
    assert found.ndim == 2 + (documents["category"].ndim == 3)


def test_documents_of_too_few_are_refused_or_others_stand_there():
    documents = {"category": np.array([[1, 0, 1], [1, 0, 0]])}
    message = (
        r"^categories must leave a document for each position, got 1 of category 1 among the 3 "
        r"candidates for 2 positions: sample more candidates, or let others .* otherwise='any'"
    )
    with pytest.raises(ValueError, match=message):
        action_masks.CategoriesOfSlots([1, 1, 0], "category")(documents)
    found = action_masks.CategoriesOfSlots([1, 1, 0], "category", otherwise="any")(documents)
    assert found[0].astype(int).tolist() == [[1, 1, 0], [0, 0, 1], [1, 1, 0]]
    assert found[1].astype(int).tolist() == [[1, 1, 0], [1, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"categories": []}, ValueError, "^categories must have an entry for each position"),
        ({"categories": "ab"}, TypeError, "^categories must be a list"),
        ({"categories": 3}, TypeError, "^categories must be a list"),
        ({"categories": [-1]}, ValueError, "a category must be"),
        ({"categories": [0.5]}, TypeError, "a category must be"),
        ({"categories": [0], "field": 3}, TypeError, "^field must be a string or None, got 3"),
        ({"categories": [0], "otherwise": "all"}, ValueError, "^otherwise must be 'refuse' or"),
    ],
)
def test_categories_that_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        action_masks.CategoriesOfSlots(**arguments)


@pytest.mark.parametrize(
    ("field", "documents", "message"),
    [
        ("topics", {"topic": np.array([0])}, r"one of \['topic'\], got 'topics'. Did you mean"),
        ("topic", np.eye(2), "^field must be None where documents are vectors"),
        ("x", {"x": np.array([0.5, 0.25])}, "^field must name integers, or vectors"),
        ("x", {"x": np.array([[0.5], [0.25]])}, "numbers such as 0.5"),
        ("x", {"x": np.array([[0.5, 0.1], [np.nan, 1]])}, "NaN in 'x' of candidate 1.$"),
        ("x", {"x": np.full((2, 3, 2), np.nan)}, "NaN in 'x' of candidate 0 of user 0.$"),
        (None, np.array([[1.0], [np.nan]]), "NaN in 'the vector' of candidate 1.$"),
    ],
)
def test_documents_without_categories_are_refused(field, documents, message):
    with pytest.raises(ValueError, match=message):
        action_masks.CategoriesOfSlots([0], field)(documents)


def test_a_number_that_is_no_category_is_refused_where_slates_show_all_candidates():
    config = {**CONFIG, "num_candidates": 2, "slate_size": 2}
    env = interest_exploration.create_vector_environment(config, 3)
    rule = action_masks.CategoriesOfSlots([0, 1], "quality", otherwise="any")
    with pytest.raises(ValueError, match="^field must name integers, or vectors"):
        action_masks.with_action_masks(env, rule).reset()


def test_the_environment_is_left_as_it_was_and_goes_through_the_same_documents():
    env = interest_exploration.create_environment(CONFIG)
    masked = action_masks.with_action_masks(env, RULE)
    plain, with_masks = env.reset()["doc"], masked.reset()["doc"]
    assert list(plain) == list(with_masks)
    for document, other in zip(plain.values(), with_masks.values()):
        assert "action_mask" not in document
        assert other["quality"] == document["quality"]
    spaces.check_observation(masked.observation_space["doc"], with_masks, "documents")
    vector = interest_exploration.create_vector_environment(CONFIG, 3)
    plain, with_masks = vector.reset(seed=1)[0], vector_env().reset(seed=1)[0]
    assert "action_mask" not in plain["doc"]
    np.testing.assert_array_equal(with_masks["doc"]["quality"], plain["doc"]["quality"])
    np.testing.assert_array_equal(with_masks["doc"]["action_mask"], RULE(plain["doc"]))


@pytest.mark.parametrize("resample", [True, False])
@pytest.mark.parametrize("scenario", [interest_evolution, topic_boredom])
def test_scenarios_get_masks_whatever_their_documents_are_observed_as(scenario, resample):
    config = {**CONFIG, "resample_documents": resample}
    field = "cluster_id" if scenario is topic_boredom else None
    rule = action_masks.CategoriesOfSlots([None, 2], field, otherwise="any")
    env = action_masks.with_action_masks(scenario.create_environment(config), rule)
    env = pickle.loads(pickle.dumps(env))
    documents = env.reset()["doc"]
    spaces.check_observation(env.observation_space["doc"], documents, "documents")
    vector = action_masks.with_action_masks(scenario.create_vector_environment(config, 4), rule)
    observation, _ = pickle.loads(pickle.dumps(vector)).reset()
    features = {key: array for key, array in observation["doc"].items() if key != "action_mask"}
    expected = rule(features.get("features", features))
    np.testing.assert_array_equal(observation["doc"]["action_mask"], expected)


def test_slates_that_masks_forbid_are_refused_before_anybody_is_shown_one():
    env = interest_exploration.create_environment(CONFIG)
    env = action_masks.with_action_masks(env, all_but_the_best)
    documents = list(env.reset()["doc"].values())
    (best,) = [i for i, document in enumerate(documents) if not document["action_mask"].any()]
    others = [i for i in range(6) if i != best]
    message = rf"^The slate has document {best} in position 1, where its action_mask does not let"
    with pytest.raises(ValueError, match=message):
        env.step([others[0], best])
    env.step(others[:1])
    # The last of a chunk of users and the first of the next: none of them has made a step.
    users = {"num_envs": 4, "first_user": 2046}
    env, other = vector_env(**users), vector_env(**users)
    for each in (env, other):
        observation, _ = each.reset(seed=0)
    slates = random_agent.VectorRandomAgent(env).begin(observation)
    user, document, position = np.argwhere(observation["doc"]["action_mask"][2:] == 0)[0]
    wrong = slates.copy()
    wrong[2 + user, position] = document
    with pytest.raises(ValueError, match=rf"^The slate of user {2048 + user} has document"):
        env.step(wrong)
    np.testing.assert_array_equal(env.step(slates)[1], other.step(slates)[1])


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_masks_are_of_the_documents_that_are_shown_in_every_mode_of_autoreset(mode):
    env = vector_env(6, autoreset_mode=mode, max_steps_per_episode=3)
    agent = random_agent.VectorRandomAgent(env)
    observation, _ = env.reset(seed=0)
    for _ in range(9):
        observation, _, terminated, truncated, infos = env.step(agent.begin(observation))
        ended = terminated | truncated
        if mode == AutoresetMode.SAME_STEP and ended.any():
            last = infos["final_obs"].batch["doc"]
            np.testing.assert_array_equal(last["action_mask"], RULE(last))
        if mode == AutoresetMode.DISABLED and ended.any():
            observation, _ = env.reset(options={"reset_mask": ended})
        np.testing.assert_array_equal(observation["doc"]["action_mask"], RULE(observation["doc"]))


def test_candidates_that_all_users_share_have_masks_that_are_heeded():
    config = {**CONFIG, "resample_documents": False}
    env = interest_exploration.create_vector_environment(config, 3)
    env = action_masks.with_action_masks(env, all_but_the_best)
    observation, _ = env.reset(seed=0)
    agent = random_agent.VectorRandomAgent(env)
    for _ in range(3):
        observation, *_ = env.step(agent.begin(observation))
    best = int(observation["doc"]["quality"][0].argmax())
    slates = agent.begin(observation)
    slates[1, 0] = best
    with pytest.raises(ValueError, match=f"of user 1 has document {best} in position 0"):
        env.step(slates)


def test_single_user_environments_in_parallel_refuse_slates_before_anybody_is_shown_one():
    single = action_masks.with_action_masks(
        interest_exploration.create_environment(CONFIG), all_but_the_best
    )
    env, other = (wrappers.SingleUserEnvs([copy.deepcopy(single), single]) for _ in range(2))
    observation, _ = env.reset(seed=0)
    slates = random_agent.VectorRandomAgent(env).begin(observation)
    wrong = slates.copy()
    wrong[1, 1] = best = observation["doc"]["quality"][1].argmax()
    with pytest.raises(ValueError, match=rf"^The slate of user 1 has document {best} in position"):
        env.step(wrong)
    outcome = env.step(slates)
    other.reset(seed=0)
    np.testing.assert_array_equal(other.step(slates)[1], outcome[1])


def test_a_restored_environment_heeds_the_masks_of_its_documents():
    env, other = vector_env(), vector_env()
    agent = random_agent.VectorRandomAgent(env)
    observation, _ = env.reset(seed=0)
    observation, *_ = env.step(agent.begin(observation))
    other.load_state_dict(env.state_dict())
    mask = observation["doc"]["action_mask"]
    wrong = np.stack([mask[..., 1].argmax(axis=1), mask[..., 0].argmax(axis=1)], axis=1)
    forbidden = ~np.take_along_axis(mask[..., 0], wrong[:, :1], axis=1).astype(bool)
    assert forbidden.any()
    with pytest.raises(ValueError, match="where its action_mask does not let it stand"):
        other.step(wrong)
    with pytest.raises(ValueError, match="state must be of"):
        interest_exploration.create_vector_environment(CONFIG, 3).load_state_dict(env.state_dict())


def no_function_of_documents(documents):
    return np.ones(3)


@pytest.mark.parametrize(
    ("make", "rule", "error", "message"),
    [
        (lambda: 3, RULE, TypeError, "^environment must be a RecSimGymEnv or a RecSimVectorEnv"),
        (
            lambda: wrappers.SingleUserEnvs([interest_exploration.create_environment(CONFIG)]),
            RULE,
            TypeError,
            "add masks before an environment is wrapped",
        ),
        (vector_env, RULE, ValueError, "^environment must have documents without 'action_mask'"),
        (
            lambda: interest_exploration.create_environment(CONFIG),
            3,
            TypeError,
            "^rule must be",
        ),
    ],
)
def test_environments_and_rules_that_are_refused(make, rule, error, message):
    with pytest.raises(error, match=message):
        action_masks.with_action_masks(make(), rule)


def test_what_a_rule_returns_is_looked_at():
    env = interest_exploration.create_environment(CONFIG)
    with pytest.raises(ValueError, match=r"shape \(6, 2\), or one for each document, .*\(3,\)"):
        action_masks.with_action_masks(env, no_function_of_documents).reset()
    twos = functools.partial(np.full_like, fill_value=2)
    env = action_masks.with_action_masks(env, lambda documents: twos(documents["cluster_id"]))
    with pytest.raises(ValueError, match=r"1 where a document may stand.*got \[2, 2"):
        env.reset()
