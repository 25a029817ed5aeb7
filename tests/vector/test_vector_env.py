"""What every vector environment keeps, whatever its scenario."""

from __future__ import annotations

import copy
import dataclasses
import functools
import gc
import pickle
import tracemalloc
import weakref
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from support.rollouts import vector_steps
from support.scenarios import CONFIG, MODULES

from recsim import registry, testing
from recsim.agents import random_agent
from recsim.environments import interest_evolution, interest_exploration, long_term_satisfaction
from recsim.vector import agent as vector_agent
from recsim.vector import env as vector_env
from recsim.vector import scenario, simulate, streams

SIZE = streams.CHUNK_SIZE

scenarios = pytest.mark.parametrize("scenario", MODULES.values(), ids=MODULES)
candidate_modes = pytest.mark.parametrize("candidates", scenario.CANDIDATES)


def assert_equal(first: Any, second: Any) -> None:
    if isinstance(first, dict):
        assert list(first) == list(second)
        for key in first:
            assert_equal(first[key], second[key])
    else:
        np.testing.assert_array_equal(first, second)


def rows(tree: Any, index: Any) -> Any:
    if isinstance(tree, dict):
        return {key: rows(value, index) for key, value in tree.items()}
    return tree[index]


@scenarios
@candidate_modes
def test_contract(scenario: Any, candidates: str) -> None:
    testing.check_vector_environment(
        functools.partial(
            scenario.create_vector_environment,
            CONFIG,
            candidates=candidates,
            max_steps_per_episode=7,
        )
    )


class DrawsDependingOnOthers(interest_exploration.VectorIEUserModel):
    def sample_users(self, stream: streams.RandomStream) -> Any:
        users = super().sample_users(stream)
        users.topic_affinity *= stream.num_users
        return users


class ChangesObservations(interest_evolution.VectorIEvUserModel):
    seen = np.zeros((2 * SIZE, 20), np.float32)

    def observe_users(self, users: Any) -> np.ndarray:
        seen = self.seen[: len(users.interests)]
        seen[:] = users.interests
        return seen


class KeepsWhatIsNoField(long_term_satisfaction.VectorLTSUserModel):
    def respond(self, users: Any, *args: Any) -> Any:
        responses = super().respond(users, *args)
        responses.engagement *= getattr(users, "mood", 1.0)
        return responses

    def update(self, users: Any, *args: Any) -> Any:
        changed = super().update(users, *args)
        changed.mood = 0.9 * getattr(users, "mood", 1.0)
        return changed


@pytest.mark.parametrize(
    ("scenario", "model", "message"),
    [
        (interest_exploration, DrawsDependingOnOthers, "a user alone differs"),
        (
            interest_evolution,
            ChangesObservations,
            "observe_users, .* differs at",
        ),
        (long_term_satisfaction, KeepsWhatIsNoField, "restored from a checkpoint differs"),
    ],
)
def test_contract_is_checked(scenario: Any, model: type, message: str) -> None:
    def create(**users: Any) -> Any:
        env = scenario.create_vector_environment(CONFIG, **users)
        env.user_model.__class__ = model
        return env

    with pytest.raises(AssertionError, match=message):
        testing.check_vector_environment(create)


@scenarios
@candidate_modes
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("num_envs", [1, SIZE + 3])
def test_observations_are_of_their_space_and_never_change(
    scenario: Any, candidates: str, dtype: type, num_envs: int
) -> None:
    env = scenario.create_vector_environment(
        CONFIG, num_envs, candidates=candidates, dtype=dtype, max_steps_per_episode=3
    )
    agent = random_agent.VectorRandomAgent(env)
    returned = []
    for _, observation, rewards, terminated, truncated, infos in vector_steps(env, agent, 7):
        assert observation in env.observation_space
        assert terminated.dtype == truncated.dtype == np.bool_
        assert rewards.shape == terminated.shape == truncated.shape == (num_envs,)
        seen = [observation, *([infos["final_obs"].batch] if infos else [])]
        returned += [(array, copy.deepcopy(array)) for array in seen]
        for final in infos.get("final_obs", [])[:3]:
            assert final in env.single_observation_space
    for observation, as_it_was in returned:
        assert_equal(observation, as_it_was)


def test_a_step_takes_little_more_memory_than_its_observation() -> None:
    num_envs = 10 * SIZE
    env = interest_evolution.create_vector_environment({**CONFIG, "num_candidates": 20}, num_envs)
    env.reset()
    slates = np.tile([0, 1], (num_envs, 1))
    tracemalloc.start()
    observation = env.step(slates)[0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.7 * observation["doc"].nbytes


@scenarios
@candidate_modes
@pytest.mark.parametrize(
    ("first_user", "num_envs"), [(0, 1), (2, 3), (SIZE - 1, 2), (SIZE + 5, 1), (7, SIZE)]
)
def test_users_do_not_depend_on_others(
    scenario: Any, candidates: str, first_user: int, num_envs: int
) -> None:
    create = functools.partial(
        scenario.create_vector_environment, CONFIG, candidates=candidates, max_steps_per_episode=3
    )
    everyone = create(2 * SIZE)
    some = create(num_envs, first_user=first_user)
    users = slice(first_user, first_user + num_envs)
    for of_all, of_some in zip(
        vector_steps(everyone, random_agent.VectorRandomAgent(everyone), 4),
        vector_steps(some, random_agent.VectorRandomAgent(some), 4),
        strict=True,
    ):
        for one, other in zip(of_all[1:5], of_some[1:5], strict=True):
            assert_equal(rows(one, users), other)
        if of_some[0] is not None:
            assert_equal(of_all[0][users], of_some[0])
        assert ("final_obs" in of_all[5]) == ("final_obs" in of_some[5])
        if "final_obs" in of_some[5]:
            assert_equal(rows(of_all[5]["final_obs"].batch, users), of_some[5]["final_obs"].batch)


@candidate_modes
def test_sessions_that_end_at_different_times_do_not_mix_users(candidates: str) -> None:
    create = functools.partial(
        interest_evolution.create_vector_environment, CONFIG, candidates=candidates
    )
    # The last of a chunk and the first of the next.
    everyone, alone = create(300, first_user=SIZE - 120), create(1, first_user=SIZE + 3)
    ends, others_end = 0, 0
    for of_all, of_one in zip(
        vector_steps(everyone, random_agent.VectorRandomAgent(everyone), 250),
        vector_steps(alone, random_agent.VectorRandomAgent(alone), 250),
        strict=True,
    ):
        for one, other in zip(of_all[1:5], of_one[1:5], strict=True):
            assert_equal(rows(one, slice(123, 124)), other)
        others_end += bool(of_all[5]) and not of_one[5]
        if of_one[5]:
            ends += 1
            assert_equal(of_all[5]["final_obs"][123], of_one[5]["final_obs"][0])
    assert ends >= 2 and others_end > 100


@candidate_modes
@pytest.mark.parametrize("num_envs", [40, SIZE + 40])
def test_last_observations_can_be_asked_for_late(candidates: str, num_envs: int) -> None:
    """They are put together when they are asked for, of what was observed then."""
    env, second = (
        interest_evolution.create_vector_environment(CONFIG, num_envs, candidates=candidates)
        for _ in range(2)
    )
    steps, of_second = (
        vector_steps(each, random_agent.VectorRandomAgent(each), 130) for each in (env, second)
    )
    late = []
    for step, at_once in zip(steps, of_second, strict=True):
        observation, infos = step[1], step[5]
        if infos:
            final = infos["final_obs"]
            finals = [final, copy.deepcopy(final), pickle.loads(pickle.dumps(final))]
            late.append((finals, copy.deepcopy(at_once[5]["final_obs"].batch)))
            # Entries, not arrays: the agent is still to see the observation.
            step[5]["final_obs"] = None
            del observation["user"]
            observation["response"]["click"] = None
    assert len(late) > 10
    for finals, expected in late:
        for final in finals:
            assert_equal(final.batch, expected)
            assert final.batch is final.batch and not final.batch["doc"].flags.writeable


def test_last_observations_keep_no_others_in_memory() -> None:
    env = interest_evolution.create_vector_environment(CONFIG, 5, max_steps_per_episode=1)
    env.reset()
    observation, *_, infos = env.step(np.zeros((5, 2), int))
    next_users = weakref.ref(observation["user"])
    assert infos["final_obs"].batch["user"] is not observation["user"]
    del observation
    gc.collect()
    assert next_users() is None


@scenarios
def test_seeds(scenario: Any) -> None:
    def rollout(seed: int | None, env_seed: int = 0) -> list[Any]:
        env = scenario.create_vector_environment({**CONFIG, "seed": env_seed}, 20)
        steps = vector_steps(env, random_agent.VectorRandomAgent(env), 10, seed)
        return [step[1]["doc"] for step in steps] + [step[2].sum() for step in steps]

    for seed in (None, 3):
        for first, second in zip(rollout(seed), rollout(seed), strict=True):
            assert_equal(first, second)
    # Without a seed, that of the config counts.
    assert_equal(rollout(None, 3)[0], rollout(3, 0)[0])
    with pytest.raises(AssertionError):
        assert_equal(rollout(3)[0], rollout(4)[0])


def test_a_reset_without_a_seed_continues() -> None:
    env = interest_evolution.create_vector_environment(CONFIG, 5)
    first, _ = env.reset(seed=1)
    second, _ = env.reset()
    assert not np.isin(first["user"], second["user"]).any()
    again, _ = env.reset(seed=1)
    assert_equal(first, again)
    assert_equal(second, env.reset()[0])


@scenarios
@candidate_modes
@pytest.mark.parametrize("num_envs", [2, SIZE + 1])
def test_what_is_done_to_observations_does_not_change_the_environment(
    scenario: Any, candidates: str, num_envs: int
) -> None:
    def spoil(tree: Any) -> None:
        if isinstance(tree, dict):
            for value in tree.values():
                spoil(value)
        elif tree.flags.writeable:
            tree[...] = 1

    create = functools.partial(
        scenario.create_vector_environment,
        CONFIG,
        num_envs,
        candidates=candidates,
        max_steps_per_episode=2,
    )
    env, second = create(), create()
    slates = np.tile([3, 1], (num_envs, 1))
    for _ in range(2):
        observation, _ = env.reset()
        assert_equal(observation, second.reset()[0])
        for _ in range(3):
            spoil(observation)
            observation, rewards, _, _, infos = env.step(slates)
            expected = second.step(slates)
            assert_equal(observation, expected[0])
            assert_equal(rewards, expected[1])
            if infos:
                assert_equal(infos["final_obs"].batch, expected[4]["final_obs"].batch)
                spoil(infos["final_obs"].batch)


@pytest.mark.parametrize("num_envs", [4, SIZE + 1])
def test_a_user_whose_session_ends_is_replaced_in_the_same_step(num_envs: int) -> None:
    env = interest_evolution.create_vector_environment(CONFIG, num_envs, max_steps_per_episode=4)
    agent = random_agent.VectorRandomAgent(env)
    steps = list(vector_steps(env, agent, 4))
    before = steps[3][1]
    _, observation, rewards, terminated, truncated, infos = steps[4]
    assert truncated.all() and not terminated.any() and infos["_final_obs"].all()
    final = infos["final_obs"].batch
    # The rewards are of the last slates, as are the responses of the final observations.
    np.testing.assert_allclose(final["response"]["watch_time"].sum(axis=1), rewards)
    assert_equal(vector_agent.last_responses(observation, infos), final["response"])
    assert not any(array.any() for array in observation["response"].values())
    # The old users changed one interest at most, the new ones are others.
    assert ((final["user"] != before["user"]).sum(axis=1) <= 1).all()
    assert (observation["user"] != before["user"]).all()
    entries = infos["final_obs"]
    assert len(entries) == num_envs
    assert_equal(entries[1], rows(final, 1))
    assert_equal(entries[-1], rows(final, num_envs - 1))


def test_final_observations_have_entries_where_sessions_ended() -> None:
    ended = np.array([True, False, True])
    final = vector_env.FinalObservations({"user": np.arange(3)}, ended)
    assert [entry and entry["user"] for entry in final] == [0, None, 2]
    assert [entry["user"] for entry in final[ended]] == [0, 2]
    assert final[[2, 1]][1] is None and final[np.array([2])][0]["user"] == 2
    # A number is an array, as Gymnasium takes it for an observation.
    assert isinstance(final[0]["user"], np.ndarray)
    copied = copy.deepcopy(final)
    copied.batch["user"][0] = 7
    restored = pickle.loads(pickle.dumps(final))
    assert final[0]["user"] == restored[0]["user"] == 0 and copied[0]["user"] == 7
    final[2] = "replaced"
    assert final[-1] == "replaced" and final[:2] == [{"user": 0}, None]
    with pytest.raises(IndexError):
        final[3]


def test_candidates() -> None:
    def documents(candidates: str) -> np.ndarray:
        env = long_term_satisfaction.create_vector_environment(
            CONFIG, 3, candidates=candidates, max_steps_per_episode=2
        )
        steps = vector_steps(env, random_agent.VectorRandomAgent(env), 3)
        return np.stack([step[1]["doc"][:, 0, 0] for step in steps])

    by_step = documents("step")
    assert len(np.unique(by_step)) == by_step.size
    by_episode = documents("episode")
    np.testing.assert_array_equal(by_episode[[0, 2]], by_episode[[1, 3]])
    assert len(np.unique(by_episode)) == by_episode.size / 2
    assert len(np.unique(documents("shared"))) == 1


def test_a_config_without_resampling_means_shared_candidates() -> None:
    config = {**CONFIG, "resample_documents": False}
    assert interest_evolution.create_vector_environment(config, 3).candidates == "shared"
    assert interest_evolution.create_vector_environment(CONFIG, 3).candidates == "step"


def test_metrics() -> None:
    env = interest_exploration.create_vector_environment(CONFIG, SIZE + 2)
    steps = list(vector_steps(env, random_agent.VectorRandomAgent(env), 5))[1:]
    responses = [step[1]["response"] for step in steps]
    clicks = np.stack([response["click"] for response in responses])
    topics = np.stack([response["cluster_id"] for response in responses])
    qualities = np.stack([response["quality"] for response in responses])
    assert env.metrics == {
        "impression": 5 * (SIZE + 2),
        "click": clicks.sum(),
        "quality": pytest.approx(qualities[clicks == 1].sum(dtype=np.float64)),
        "cluster_watch_count_cluster_0": (clicks * (topics == 0)).sum(),
        "cluster_watch_count_cluster_1": (clicks * (topics == 1)).sum(),
        "cluster_watch_count_no_click": 5 * (SIZE + 2) - clicks.sum(),
    }
    written: dict[str, float] = {}
    env.write_metrics(written.__setitem__)
    assert written["CTR"] == clicks.sum() / (5 * (SIZE + 2))
    env.reset_metrics()
    env.count_metrics_of(np.arange(SIZE + 2) < 10)
    env.step(np.tile([0, 1], (SIZE + 2, 1)))
    assert env.metrics["impression"] == 10


BAD_ENVIRONMENTS: list[tuple[dict[str, Any], dict[str, Any], type[Exception], str]] = [
    ({}, {"num_envs": 0}, ValueError, "num_envs must be an integer >= 1, got 0"),
    ({}, {"num_envs": 2.5}, TypeError, "num_envs must be an integer"),
    ({"slate_size": 7}, {}, ValueError, "slate_size must be at most num_candidates"),
    ({}, {"candidates": "steps"}, ValueError, "Did you mean 'step'"),
    ({}, {"dtype": np.float16}, ValueError, "dtype must be float32 or float64"),
    ({}, {"max_steps_per_episode": 0}, ValueError, "max_steps_per_episode must be"),
    ({}, {"first_user": -1}, ValueError, "first_user must be an integer >= 0"),
]


@pytest.mark.parametrize(("config", "options", "error", "message"), BAD_ENVIRONMENTS)
def test_bad_environments(
    config: dict[str, Any], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        interest_exploration.create_vector_environment(
            {**CONFIG, **config}, **{"num_envs": 3, **options}
        )


BAD_SLATES: list[tuple[Any, type[Exception], str]] = [
    ([[0, 1]] * 2, ValueError, r"shape \(num_envs, slate_size\) = \(3, 2\), got \(2, 2\)"),
    ([[0], [1], [2]], ValueError, r"got \(3, 1\)"),
    ([0, 1, 2], ValueError, r"got \(3,\)"),
    ([[0, 1], [2], [3, 4]], ValueError, "2 documents for each of 3 users, got lists of different"),
    ([[0, 1], [0, 4], [2, 3]], IndexError, "candidates, 0 to 3, got 0 to 4"),
    ([[0, 1], [0, -1], [2, 3]], IndexError, "got -1 to 3"),
    ([[0.0, 1.0]] * 3, TypeError, "must be integers .* dtype float64"),
    ([[True, False]] * 3, TypeError, "dtype bool"),
    (None, TypeError, "must be integers"),
]


@pytest.mark.parametrize(("slates", "error", "message"), BAD_SLATES)
def test_bad_slates(slates: Any, error: type[Exception], message: str) -> None:
    env = interest_exploration.create_vector_environment(CONFIG, 3)
    env.reset()
    with pytest.raises(error, match=message):
        env.step(slates)
    env.step([[0, 0], [3, 1], [2, 3]])  # The environment continues; slates may repeat documents.


def test_slates_of_small_and_of_foreign_integers() -> None:
    env = interest_exploration.create_vector_environment({**CONFIG, "num_candidates": 200}, 2)
    env.reset()
    with pytest.raises(IndexError, match="got -100 to 3"):
        env.step(np.array([[0, 1], [-100, 3]], np.int8))
    second = copy.deepcopy(env)
    slates = np.array([[0, 150], [2, 3]])
    assert_equal(env.step(slates.astype(">i8"))[0], second.step(slates)[0])


def test_step_before_reset() -> None:
    env = interest_exploration.create_vector_environment(CONFIG, 3)
    with pytest.raises(RuntimeError, match=r"call reset\(\)"):
        env.step([[0, 1]] * 3)


def test_bad_reset() -> None:
    env = interest_exploration.create_vector_environment(CONFIG, 3)
    with pytest.raises(ValueError, match="seed must be an integer >= 0"):
        env.reset(seed=-1)
    for options in ({"users": 3}, [3], 3):
        with pytest.raises(ValueError, match="options must be empty"):
            env.reset(options=options)


def test_agents_are_made_for_vector_environments() -> None:
    with pytest.raises(TypeError, match="environment must be a vector environment"):
        random_agent.VectorRandomAgent(interest_exploration.create_environment(CONFIG))


def test_agents_tell_other_scenarios_and_other_libraries_environments() -> None:
    env = interest_exploration.create_vector_environment(CONFIG, 3)
    agent = registry.create_vector_agent("cluster_bandit_ucb1", env)
    other = interest_evolution.create_vector_environment(CONFIG, 3)
    with pytest.raises(ValueError, match=r"with \['cluster_id', 'quality'\], got .* no keys"):
        agent.begin(other.reset()[0])
    observation, _ = env.reset()
    with pytest.raises(TypeError, match="must be the FinalObservations .* got ndarray"):
        vector_agent.last_responses(observation, {"final_obs": np.full(3, None)})


@pytest.mark.parametrize(("num_candidates", "slate_size"), [(1, 1), (3, 3), (6, 2), (40, 7)])
def test_random_slates_are_uniform(num_candidates: int, slate_size: int) -> None:
    config = {**CONFIG, "num_candidates": num_candidates, "slate_size": slate_size}
    env = interest_exploration.create_vector_environment(config, 20_000)
    slates = random_agent.VectorRandomAgent(env).begin(env.reset()[0])
    in_order = np.sort(slates, axis=1)
    assert (np.diff(in_order, axis=1) > 0).all() and in_order.min() >= 0
    for position in range(slate_size):
        counts = np.bincount(slates[:, position], minlength=num_candidates)
        expected = 20_000 / num_candidates
        # Five standard deviations.
        assert abs(counts - expected).max() <= 5 * np.sqrt(expected)
    if num_candidates == 3:
        orders, counts = np.unique(slates, axis=0, return_counts=True)
        assert len(orders) == 6 and abs(counts - 20_000 / 6).max() < 5 * np.sqrt(20_000 / 6)


@pytest.mark.parametrize(
    ("scenario", "amount"),
    [
        (interest_evolution, {"num_episodes": 1}),
        (interest_exploration, {"num_steps": 5}),
    ],
)
def test_simulations_do_not_depend_on_workers_and_company(
    scenario: Any, amount: dict[str, int]
) -> None:
    create = functools.partial(scenario.create_vector_environment, CONFIG)
    num_users = 2 * SIZE + 10
    results = [
        simulate.simulate(
            create, random_agent.VectorRandomAgent, num_users, workers=workers, seed=3, **amount
        )
        for workers in (1, 2)
    ]
    np.testing.assert_array_equal(results[0].returns, results[1].returns)
    np.testing.assert_array_equal(results[0].lengths, results[1].lengths)
    assert results[0].metrics == results[1].metrics
    assert results[0].written_metrics == results[1].written_metrics
    assert results[0].metrics["impression"] == results[0].num_steps
    few = simulate.simulate(create, random_agent.VectorRandomAgent, 7, seed=3, workers=1, **amount)
    np.testing.assert_array_equal(few.returns, results[0].returns[:7])
    assert few.num_users == 7


def test_bad_simulations() -> None:
    create = functools.partial(interest_exploration.create_vector_environment, CONFIG)
    run = functools.partial(simulate.simulate, create, random_agent.VectorRandomAgent)
    with pytest.raises(ValueError, match="num_users must be"):
        run(0, num_steps=3)
    for amounts in ({}, {"num_steps": 1, "num_episodes": 1}):
        with pytest.raises(ValueError, match="either num_steps or num_episodes"):
            run(3, **amounts)
    with pytest.raises(ValueError, match="num_steps must be"):
        run(3, num_steps=0)


@dataclasses.dataclass
class Pages:
    number: np.ndarray  # (n_users, n_docs), int32


@dataclasses.dataclass
class Readers:
    left: np.ndarray  # (n_users,), int32: slates left.
    last: np.ndarray  # (n_users,), int32: the page read last.


class PageSampler(scenario.VectorDocumentSampler):
    def sample(self, stream: streams.RandomStream, num_documents: int) -> Pages:
        return Pages(stream.integers(1000, num_documents))

    def observe(self, documents: Pages) -> np.ndarray:
        return documents.number

    def observation_space(self, num_documents: int) -> Any:
        return spaces.MultiDiscrete(np.full(num_documents, 1000), dtype=np.int32)


class ReaderModel(scenario.VectorUserModel):
    """Reads the last page of each slate; episodes have 3 steps. Its numbers are of small dtypes."""

    def sample_users(self, stream: streams.RandomStream) -> Readers:
        return Readers(np.full(stream.num_users, 3), np.zeros(stream.num_users, np.int32))

    def choose(self, users: Readers, documents: Pages, stream: streams.RandomStream) -> np.ndarray:
        return np.full(stream.num_users, self.slate_size - 1, np.int8)

    def respond(self, users: Readers, documents: Pages, choice: np.ndarray, stream: Any) -> Pages:
        return documents

    def update(self, users: Readers, documents: Pages, choice: np.ndarray, *_: Any) -> Readers:
        read = scenario.chosen_documents(documents, choice)
        return Readers(users.left - 1, read.number)

    def is_done(self, users: Readers) -> np.ndarray:
        return (users.left <= 0).astype(np.int64)

    def observe_users(self, users: Readers) -> np.ndarray:
        return users.last.copy()

    def user_space(self) -> Any:
        return spaces.Discrete(1000)

    def observe_responses(self, responses: Pages) -> np.ndarray:
        return responses.number

    def response_space(self) -> Any:
        return spaces.MultiDiscrete(np.full(self.slate_size, 1000), dtype=np.int32)


def read_pages(num_envs: int, slate_size: int = 20, **options: Any) -> vector_env.RecSimVectorEnv:
    return vector_env.RecSimVectorEnv(
        ReaderModel(slate_size),
        PageSampler(),
        num_candidates=20,
        slate_size=20,
        num_envs=num_envs,
        reward_aggregator=lambda pages: pages.number[:, -1],
        metrics_aggregator=lambda pages: {"mean": pages.number.mean(), "users": len(pages.number)},
        **options,
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint64, np.intp])
@candidate_modes
def test_slates_and_choices_of_any_integers(dtype: type, candidates: str) -> None:
    env = read_pages(SIZE, candidates=candidates)
    observation, _ = env.reset()
    slates = np.tile(np.arange(20)[::-1], (SIZE, 1)).astype(dtype)
    expected = observation["doc"][:, 0]
    observation, rewards, terminated, *_ = env.step(slates)
    assert_equal(rewards, expected)
    assert_equal(observation["user"], expected)
    assert terminated.dtype == np.bool_
    env.step(slates)
    assert env.step(slates)[2].all()


def test_a_model_of_another_slate_size_is_refused() -> None:
    with pytest.raises(ValueError, match="slate_size of the environment, got 3 and 20"):
        read_pages(2, slate_size=3)


def test_metrics_are_not_asked_of_nobody() -> None:
    env = read_pages(SIZE + 2)
    env.reset()
    env.count_metrics_of(np.arange(SIZE + 2) >= SIZE)
    env.step(np.tile(np.arange(20), (SIZE + 2, 1)))
    assert env.metrics["users"] == 2 and np.isfinite(env.metrics["mean"])


def test_a_state_of_other_users_is_refused() -> None:
    env = read_pages(5)
    env.reset()
    with pytest.raises(ValueError, match="num users was 5 and is 4"):
        read_pages(4).load_state_dict(env.state_dict())
    across = read_pages(5, first_user=SIZE - 2)
    across.reset(seed=3)
    before = across.state_dict()
    with pytest.raises(ValueError, match=f"the 5 users from number {SIZE - 2} on"):
        across.load_state_dict(env.state_dict())
    slates = np.tile(np.arange(20), (5, 1))
    rewards = across.step(slates)[1]  # It is stepped again.
    across.load_state_dict(before)
    assert_equal(across.step(slates)[1], rewards)


@scenarios
def test_no_seed_is_one_that_is_drawn(scenario: Any) -> None:
    config = {**CONFIG, "seed": None}
    envs = [scenario.create_vector_environment(dict(config), num_envs=4) for _ in range(2)]
    agents = [random_agent.VectorRandomAgent(env) for env in envs]
    assert envs[0].has_random_seed and envs[0].default_seed != envs[1].default_seed
    first = list(vector_steps(envs[0], agents[0], 3, seed=None))
    second = list(vector_steps(envs[1], agents[1], 3, seed=envs[0].default_seed))
    for one, other in zip(first, second, strict=True):
        assert_equal(one[1], other[1])
    envs[1].load_state_dict(envs[0].state_dict())
    slates = np.zeros((4, 2), np.int64)
    assert_equal(envs[0].step(slates)[0], envs[1].step(slates)[0])


def test_a_state_of_an_earlier_version_is_refused_with_what_to_do() -> None:
    env = interest_evolution.create_vector_environment(CONFIG, num_envs=3)
    env.reset()
    state = env.state_dict()
    for chunk in state["chunks"]:
        chunk["draws"] = chunk.pop("stream")  # Its name there.
    with pytest.raises(ValueError, match="of an earlier version .* resume with the version that"):
        env.load_state_dict(state)
