"""The rows of Parquet logs: what was observed, shown and answered, step by step and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from support import scenarios, vector_training_child
from support.resumable import FirstDocuments

import recsim
from recsim import agent as agent_lib
from recsim import types
from recsim._internal.gym_import import spaces
from recsim.agents import random_agent
from recsim.logs import columns, parquet
from recsim.simulator import rollout

FIRST = list(columns.FIRST_COLUMNS)
LAST = list(columns.LAST_COLUMNS)


def logged(tmp_path, log, **kwargs):
    log.finish()
    return recsim.read_episodes(tmp_path / "log", **kwargs)


class ShortSlates(random_agent.RandomAgent):
    """Shows one or two documents, interleaved."""

    number = 2

    def step(self, reward, observation):
        self.number = 3 - self.number
        return super().step(reward, observation)[: self.number]


def numbers_in(prefix, observation):
    """Returns an observation's numbers by the names that their columns should have."""
    if isinstance(observation, dict):
        return {
            name: value
            for key, entry in observation.items()
            for name, value in numbers_in(f"{prefix}_{key}", entry).items()
        }
    array = np.ravel(observation)
    if len(array) == 1:
        return {prefix: array[0]}
    return {f"{prefix}_{i}": value for i, value in enumerate(array)}


def rows_by_hand(env, agent, num_episodes, num_steps):
    """Returns the rows of episodes of one user, without a log."""
    rows = []
    for episode in range(num_episodes):
        before = env.reset()
        slate = agent.begin_episode(before)
        for step in range(num_steps):
            state = {
                f"state_{name}": float(value)
                for name, value in vars(env.environment.user_model._user_state).items()
                if isinstance(value, (int, float))
            }
            after, reward, done, _ = env.step(slate)
            ids = list(before["doc"])
            rows += [
                {
                    "episode": episode,
                    "user": 0,
                    "step": step,
                    "position": position,
                    "candidate": candidate,
                    "item_id": ids[candidate],
                    **numbers_in("item_feature", before["doc"][ids[candidate]]),
                    **numbers_in("user_feature", before["user"]),
                    **numbers_in("response", after["response"][position]),
                    "reward": reward,
                    "terminated": done,
                    "truncated": not done and step + 1 == num_steps,
                    **state,
                }
                for position, candidate in enumerate(slate)
            ]
            if done or step + 1 == num_steps:
                break
            before = after
            slate = agent.step(reward, before)
        agent.end_episode(reward, after)
    return rows


@pytest.mark.parametrize("agent", [random_agent.RandomAgent, ShortSlates])
@pytest.mark.parametrize("scenario", scenarios.SCENARIOS)
def test_rows_of_one_user(scenario, agent, tmp_path):
    env = scenarios.make_env(scenario)
    expected = rows_by_hand(env, agent(env.action_space), 3, 70)
    env = scenarios.make_env(scenario)
    log = parquet.ParquetLog(tmp_path / "log", env, user_state=True)
    its_agent = agent(env.action_space)
    for _ in range(3):
        rollout.run_episode(env, its_agent, max_steps=70, listeners=[log])
    frame = logged(tmp_path, log)
    assert len(frame) == len(expected) > 10
    for name in expected[0]:
        assert frame[name].tolist() == [row[name] for row in expected], name
    there = {name for name in frame.columns if not name.startswith("state_")}
    assert there - set(LAST) == {name for name in expected[0] if name not in states(expected)}


def states(rows):
    return {name for name in rows[0] if name.startswith("state_") or name in LAST}


def by_user(frame):
    return frame.sort_values(["user", "episode", "step", "position"]).reset_index(drop=True)


def vector_rows_by_hand(env, agent, num_steps):
    """Returns the rows of steps of users in parallel, without a log, in the log's order."""
    rows = []
    episodes, steps = np.zeros(env.num_envs, int), np.zeros(env.num_envs, int)
    before, _ = env.reset(seed=5)
    slates = agent.begin(before)
    for _ in range(num_steps):
        states = env.user_states()
        outcome = env.step(slates)
        after, rewards, terminated, truncated, infos = outcome
        last = infos["final_obs"].batch if infos else after
        for user in range(env.num_envs):
            for position, candidate in enumerate(slates[user]):

                def at(tree, *index):
                    if isinstance(tree, dict):
                        return {key: at(entry, *index) for key, entry in tree.items()}
                    return tree[index]

                rows.append(
                    {
                        "episode": episodes[user],
                        "user": env.first_user + user,
                        "step": steps[user],
                        "position": position,
                        "candidate": candidate,
                        **numbers_in("item_feature", at(before["doc"], user, candidate)),
                        **numbers_in("user_feature", at(before["user"], user)),
                        **numbers_in("response", at(last["response"], user, position)),
                        "reward": rewards[user],
                        "terminated": terminated[user],
                        "truncated": truncated[user],
                        **numbers_in("state", at(states, user)),
                    }
                )
        ended = terminated | truncated
        episodes += ended
        steps = np.where(ended, 0, steps + 1)
        before = after
        slates = agent.step(*outcome)
    return rows


@pytest.mark.parametrize("rows_together", [5, 65_536])
@pytest.mark.parametrize("resampled", [True, False])
@pytest.mark.parametrize("scenario", scenarios.SCENARIOS)
def test_rows_of_users_in_parallel(scenario, resampled, rows_together, tmp_path, monkeypatch):
    monkeypatch.setattr(columns, "ROWS_OF_GROUP", rows_together)

    def make_env():
        config = scenarios.config(resample_documents=resampled)
        return scenarios.make_vector_env(scenario, 7, config, max_steps_per_episode=4, first_user=3)

    env = make_env()
    expected = vector_rows_by_hand(env, random_agent.VectorRandomAgent(env), 10)
    env = make_env()
    log = parquet.VectorParquetLog(tmp_path / "log", env, user_state=True)
    rollout.VectorRollout(env, random_agent.VectorRandomAgent(env), [log]).run_steps(10, seed=5)
    frame = logged(tmp_path, log)
    assert len(frame) == len(expected) == 140
    for name in expected[0]:
        assert frame[name].tolist() == [row[name] for row in expected], name
    assert set(frame.columns) == {*expected[0], *FIRST, *LAST}
    assert frame.truncated.any()


@pytest.mark.parametrize(
    ("candidates", "same_item"),
    [
        ("step", ["user", "episode", "step", "candidate"]),
        ("episode", ["user", "episode", "candidate"]),
        ("shared", ["candidate"]),
    ],
)
def test_items_of_a_vector_environment_have_ids(candidates, same_item, tmp_path):
    env = vector_training_child.create_environment(candidates=candidates, max_steps_per_episode=4)
    log = parquet.VectorParquetLog(tmp_path / "log", env)
    for _ in range(2):  # A second reset has other documents.
        rollout.VectorRollout(env, random_agent.VectorRandomAgent(env), [log]).run_steps(9)
    frame = logged(tmp_path, log)
    assert len(frame) == 2 * 9 * env.num_envs * 2
    ids = frame.groupby(same_item).item_id
    assert (ids.nunique() == 1).all()
    assert frame.item_id.nunique() == len(ids)
    # The same item looks the same, and another one does not.
    looks = frame.groupby("item_id").item_feature_value.nunique()
    assert (looks == 1).all()
    assert frame.item_feature_value.nunique() == len(ids)


def test_there_are_ids_for_so_many_users(tmp_path):
    env = scenarios.make_vector_env(num_envs=2, first_user=2**31 - 2)
    log = parquet.VectorParquetLog(tmp_path / "log", env)
    rollout.VectorRollout(env, random_agent.VectorRandomAgent(env), [log]).run_steps(1)
    ids = logged(tmp_path, log).item_id
    assert ids.tolist() == [(2**31 - 2 + row // 2) * 2**32 + ids[row] % 4 for row in range(4)]
    env = scenarios.make_vector_env(num_envs=2, first_user=2**31 - 1)
    log = parquet.VectorParquetLog(tmp_path / "another", env)
    with pytest.raises(ValueError, match="of each of 2,147,483,648 users, got user 2,147,483,648"):
        rollout.VectorRollout(env, random_agent.VectorRandomAgent(env), [log]).run_steps(1)


def test_users_ids_do_not_depend_on_others(tmp_path):
    frames = []
    for number, first in ((6, 0), (3, 3)):
        env = scenarios.make_vector_env("interest_evolution", number, first_user=first)
        log = parquet.VectorParquetLog(tmp_path / f"log{number}", env)
        rollout.VectorRollout(env, random_agent.VectorRandomAgent(env), [log]).run_steps(3, seed=0)
        log.finish()
        frames.append(recsim.read_episodes(log.path))
    several = frames[0][frames[0].user >= 3].reset_index(drop=True)
    assert several.equals(frames[1])


def test_rows_of_several_users(tmp_path):
    env = scenarios.make_long_term_satisfaction_users((3, 5), scenarios.clicks_by_user)
    log = parquet.ParquetLog(tmp_path / "log", env, user_state=True)
    steps = []
    agent = FirstDocuments(env.action_space)
    episode = rollout.run_episode(env, agent, listeners=[log, rollout.OnStep(steps.append)])
    frame = logged(tmp_path, log)
    assert episode.num_steps == len(steps)
    rows = [
        (step, user, position, slate[position], response["engagement"], at.reward[user])
        for step, at in enumerate(steps)
        for user, slate in enumerate(at.slate)
        for position, response in enumerate(at.next_observation["response"][user])
    ]
    names = ["step", "user", "position", "candidate", "response_engagement", "reward"]
    assert list(frame[names].itertuples(index=False, name=None)) == rows
    assert set(frame.user) == {0, 1}
    assert frame[frame.user == 0].state_sensitivity.nunique() == 1


def test_users_who_do_not_count_have_no_rows(tmp_path):
    env = scenarios.make_vector_env("interest_exploration", 3, max_steps_per_episode=4)
    log = parquet.VectorParquetLog(tmp_path / "log", env)
    vector_rollout = rollout.VectorRollout(env, random_agent.VectorRandomAgent(env), [log])
    for _ in range(2):
        vector_rollout.run_episodes(np.array([1, 0, 3]))
    frame = logged(tmp_path, log)
    ends = frame[frame.truncated & (frame.position == 0)]
    found = ends.groupby("user").episode.apply(list).to_dict()
    assert found == {0: [0, 1], 2: [0, 1, 2, 3, 4, 5]}
    assert len(frame) == 8 * 4 * 2


# Probabilities


@pytest.mark.parametrize("vector", [False, True])
def test_random_agents_know_their_probabilities(vector, tmp_path):
    if vector:
        env = scenarios.make_vector_env("interest_exploration", 2000)
        log = parquet.VectorParquetLog(tmp_path / "log", env)
        rollout.VectorRollout(env, random_agent.VectorRandomAgent(env), [log]).run_steps(3)
    else:
        env = scenarios.make_env()
        log = parquet.ParquetLog(tmp_path / "log", env)
        agent = random_agent.RandomAgent(env.action_space)
        rollout.run_episode(env, agent, max_steps=3000, listeners=[log])
    frame = logged(tmp_path, log)
    assert set(frame.slate_probability) == {1 / 12}
    assert set(frame.item_probability) == {1 / 4}
    # And that is how often they are shown.
    slates = frame.pivot_table(
        index=["user", "episode", "step"], columns="position", values="candidate"
    )
    shares = slates.value_counts(normalize=True)
    assert len(shares) == 12
    np.testing.assert_allclose(shares, 1 / 12, atol=0.02)
    items = slates[0].value_counts(normalize=True)
    np.testing.assert_allclose(items, 1 / 4, atol=0.03)


def test_an_agent_that_chooses_otherwise_does_not_inherit_probabilities(tmp_path):
    env = scenarios.make_env()
    log = parquet.ParquetLog(tmp_path / "log", env)
    rollout.run_episode(env, ShortSlates(env.action_space), max_steps=3, listeners=[log])
    frame = logged(tmp_path, log)
    assert frame.slate_probability.isna().all()
    assert frame.item_probability.isna().all()


class LastFirst(random_agent.VectorRandomAgent):
    """Shows every user the last documents."""

    def _slates_of_chunks(self, observation):
        for slates in super()._slates_of_chunks(observation):
            slates[:] = [3, 2]
            yield slates


def test_a_vector_agent_that_chooses_otherwise_does_not_inherit_probabilities(tmp_path):
    env = scenarios.make_vector_env()
    log = parquet.VectorParquetLog(tmp_path / "log", env)
    rollout.VectorRollout(env, LastFirst(env), [log]).run_steps(2)
    frame = logged(tmp_path, log)
    assert set(frame.candidate) == {2, 3}
    assert frame.slate_probability.isna().all()


class EpsilonFirst(agent_lib.AbstractEpisodicRecommenderAgent):
    """Shows the first documents in their order, or reversed with probability 0.1."""

    def __init__(self, action_space):
        super().__init__(action_space)
        self._rng = np.random.default_rng(0)

    def step(self, reward, observation):
        return [1, 0] if self._rng.random() < 0.1 else [0, 1]

    def propensities(self, observation, slate):
        of_slate = 0.9 if list(slate) == [0, 1] else 0.1
        return types.Propensities(of_slate, [of_slate, of_slate])


def test_an_agent_of_ones_own_may_know_its_probabilities(tmp_path):
    env = scenarios.make_env()
    log = parquet.ParquetLog(tmp_path / "log", env)
    rollout.run_episode(env, EpsilonFirst(env.action_space), max_steps=40, listeners=[log])
    frame = logged(tmp_path, log)
    as_listed = frame.candidate == frame.position
    assert 0 < (~as_listed).sum() < 40
    assert (frame.slate_probability == np.where(as_listed, 0.9, 0.1)).all()


# Spaces of all kinds


class OddEnv:
    """The shape of an environment with observations of all kinds."""

    environment = scenarios.make_env().environment

    def __init__(self, document, user):
        self.observation_space = spaces.Dict(
            {
                "user": user,
                "doc": spaces.Dict({"a": document, "b": document}),
                "response": spaces.Tuple((spaces.Discrete(2),) * 2),
            }
        )


def one_step(tmp_path, env, documents, user):
    log = parquet.ParquetLog(tmp_path / "log", env)
    before = {"user": user, "doc": documents, "response": None}
    after = {**before, "response": (1, 0)}
    log.on_step(rollout.Step(before, [1, 0], 0.5, after, True, {}, None))
    log.on_episode_end(rollout.Episode(1, 0.5, 0.0, False))
    return logged(tmp_path, log)


@pytest.mark.skipif(not hasattr(spaces, "Text"), reason="from Gym 0.25 on")
def test_observations_of_all_kinds(tmp_path):
    document = spaces.Dict(
        {
            "title": spaces.Text(9),
            "tags": spaces.MultiBinary(2),
            "nested": spaces.Tuple(
                (spaces.Box(0, 255, (1, 2), np.uint8), spaces.MultiDiscrete([3, 4]))
            ),
            "none": spaces.Box(0, 1, (0,), np.float32),
        }
    )
    history = spaces.Tuple((spaces.Box(0, 1, (2,), np.float32), spaces.Discrete(5)))
    first = {"title": "é", "tags": [1, 0], "nested": ([[7, 8]], [2, 3]), "none": []}
    second = {"title": "", "tags": [0, 0], "nested": ([[0, 255]], [0, 1]), "none": []}
    frame = one_step(
        tmp_path, OddEnv(document, history), {"a": first, "b": second}, ([0.25, 1.0], None)
    )
    found = frame.drop(columns=[*FIRST, *LAST]).to_dict("list")
    assert {name: values for name, values in found.items() if name != "user_feature_1"} == {
        "item_feature_title": ["", "é"],
        "item_feature_tags_0": [0, 1],
        "item_feature_tags_1": [0, 0],
        "item_feature_nested_0_0": [0, 7],
        "item_feature_nested_0_1": [255, 8],
        "item_feature_nested_1_0": [0, 2],
        "item_feature_nested_1_1": [1, 3],
        "user_feature_0_0": [0.25, 0.25],
        "user_feature_0_1": [1.0, 1.0],
        "response": [1, 0],
    }
    assert frame.user_feature_1.isna().all()  # A history that is not yet full.
    assert frame.item_id.tolist() == ["b", "a"]


def test_two_entries_of_one_name_are_refused(tmp_path):
    one = spaces.Discrete(2)
    document = spaces.Dict({"a_b": one, "a": spaces.Dict({"b": one})})
    values = {"a_b": 0, "a": {"b": 1}}
    with pytest.raises(ValueError, match="would be the column 'item_feature_a_b' of"):
        one_step(tmp_path, OddEnv(document, one), {"a": values, "b": values}, 0)
