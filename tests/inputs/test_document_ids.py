"""IDs of documents: what can be a dictionary's key works, and candidate sets keep their size."""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from collections.abc import Hashable
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from support import random_scenarios

from recsim import document
from recsim.agents import random_agent, tabular_q_agent
from recsim.agents.layers import fixed_length_history, temporal_aggregation
from recsim.environments.interest_exploration import IETopicDocumentSampler
from recsim.simulator import environment, gymnasium_env, runner_lib
from recsim.vector import wrappers


@dataclasses.dataclass(frozen=True)
class Product:
    """An ID of a user's own."""

    number: int


IDS = (
    [7, 3, -1, 10**30],
    ["a", "b", "7", "07"],
    [(1, 2), (1, 3), ("a",), ()],
    [7, "x", (7,), None],
    [0.5, 1.5, np.float64(2.5), np.int64(3)],
    [b"x", frozenset([1]), Product(1), Product(2)],
)


def made(ids: list[Hashable], **options: Any) -> Any:
    return random_scenarios.make(ids=lambda: itertools.cycle(ids), **options)


@pytest.mark.parametrize("ids", IDS, ids=str)
@pytest.mark.parametrize("num_users", [None, 2])
def test_slates_show_the_documents_they_index(ids: list[Hashable], num_users: int | None) -> None:
    env = made(ids, num_users=num_users)
    observation = env.reset()
    assert list(observation["doc"]) == list(map(str, ids))
    assert observation["doc"] in env.observation_space["doc"]
    raw_environment = env.environment
    for slate in itertools.permutations(range(4), 2):
        for keys in (ids, [str(key) for key in ids]):
            shown = raw_environment.candidate_set.get_documents([keys[index] for index in slate])
            assert [one.doc_id() for one in shown] == [ids[index] for index in slate]
        observation = env.step(slate if num_users is None else [slate] * num_users)[0]
        assert list(observation["doc"]) == list(map(str, ids))


@pytest.mark.parametrize("ids", IDS, ids=str)
def test_ids_in_adapters_agents_runners_and_logs(ids: list[Hashable], tmp_path: Any) -> None:
    adapter = gymnasium_env.RecSimGymnasiumEnv(made(ids))
    assert adapter.reset()[0] in adapter.observation_space
    assert adapter.step([0, 3])[0] in adapter.observation_space
    many = wrappers.SingleUserEnvs([made(ids), made(ids)])
    assert many.reset()[0] in many.observation_space
    assert many.step([[0, 3], [1, 2]])[0] in many.observation_space

    def create_agent(_: Any, env: Any, **__: Any) -> Any:
        return temporal_aggregation.TemporalAggregationLayer(
            tabular_q_agent.TabularQAgent,
            env.observation_space,
            env.action_space,
            aggregation_period=2,
        )

    log = tmp_path / "episodes.tfrecord"
    runner_lib.TrainRunner(
        base_dir=str(tmp_path),
        create_agent_fn=create_agent,
        env=made(ids, resample_documents=False),
        num_iterations=2,
        max_training_steps=6,
        episode_log_file=str(log),
    ).run_experiment()
    assert log.stat().st_size > 0


@hypothesis.given(
    ids=st.lists(
        st.recursive(
            st.one_of(st.integers(), st.text(max_size=3), st.floats(allow_nan=False), st.none()),
            lambda inner: st.tuples(inner, inner),
            max_leaves=3,
        ),
        min_size=4,
        max_size=4,
        unique=True,
    )
)
def test_any_ids_work_or_are_refused_by_name(ids: list[Hashable]) -> None:
    env = made(ids)
    if len(set(map(str, ids))) < len(ids):
        with pytest.raises(ValueError, match="must differ as strings"):
            env.reset()
        return
    env.reset()
    shown = env.environment.candidate_set.get_documents(map(str, reversed(ids)))
    assert [one.doc_id() for one in shown] == ids[::-1]
    assert len(env.step([3, 0])[0]["doc"]) == 4


def test_integers_are_found_by_any_string_of_them_as_in_recsim() -> None:
    candidates = random_scenarios.make().environment.candidate_set
    lazy = IETopicDocumentSampler().sample_candidates(5)
    assert [one.doc_id() for one in candidates.get_documents(["02", 1, np.int64(0)])] == [2, 1, 0]
    assert [one.doc_id() for one in lazy.get_documents(["02", 4, np.int64(3)])] == [2, 4, 3]


@pytest.mark.parametrize("key", ["x", 9, "9", 1.5, (1,), None])
def test_an_unknown_id_is_named(key: Hashable) -> None:
    lazy = IETopicDocumentSampler().sample_candidates(5)
    for candidates in (random_scenarios.make().environment.candidate_set, lazy):
        with pytest.raises(KeyError, match="no document with the ID"):
            candidates.get_documents([key])


def document_of(doc_id: Hashable) -> Any:
    class Document(document.AbstractDocument):
        def create_observation(self) -> str:
            return "seen"

        observation_space = None  # type: ignore[assignment]

    return Document(doc_id)


def test_an_id_that_is_no_key_is_refused() -> None:
    with pytest.raises(TypeError, match=r"doc_id\(\) must return .* got \[1\] from Document"):
        made([[1], [2], [3], [4]])


def test_a_corpus_sampled_with_replacement_fills_the_candidate_set() -> None:
    def picks() -> Any:
        rng = np.random.RandomState(0)
        while True:
            yield int(rng.randint(6))

    with pytest.warns(UserWarning, match=r"Sampler sampled the document ID \d twice") as warned:
        sizes = sizes_of_candidate_sets(picks)
    assert set(sizes) == {4}
    assert [warning.filename for warning in warned] == [__file__]


def sizes_of_candidate_sets(ids: Any) -> list[int]:
    env = random_scenarios.make(ids=ids)
    sizes = [len(env.reset()["doc"])]
    return sizes + [len(env.step([0, 3])[0]["doc"]) for _ in range(40)]


def test_too_few_ids_are_an_error_that_names_one() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match="ID 'a' twice.* of the 3 candidates so far"):
            made(["a", "b", "c"])


def test_an_id_that_came_twice_into_a_set_of_a_users_own_is_named() -> None:
    class TwoDocuments(environment.SingleUserEnvironment):
        def _do_resample_documents(self) -> None:
            self._candidate_set = document.CandidateSet()
            for doc_id in ("a", "b", "b", "c"):
                self._candidate_set.add_document(document_of(doc_id))

    raw_environment = random_scenarios.make().environment
    raw_environment = TwoDocuments(
        raw_environment.user_model, None, 4, 2
    )  # A sampler would not be asked.
    document_of_id = raw_environment.candidate_set.get_documents(["b"])
    assert len(document_of_id) == 1
    with pytest.raises(ValueError, match="has 3 documents, not num_candidates=4.*'b' came twice"):
        raw_environment.reset()


def test_agents_see_every_candidate(tmp_path: Any) -> None:
    env = made(["a", "b", "c", "d"])
    agent = fixed_length_history.FixedLengthHistoryLayer(
        random_agent.RandomAgent, env.observation_space, env.action_space, history_length=2
    )
    slates = [agent.begin_episode(env.reset()) for _ in range(40)]
    assert {index for slate in slates for index in slate} == {0, 1, 2, 3}
