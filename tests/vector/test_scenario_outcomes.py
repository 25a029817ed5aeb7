"""What a vectorized scenario's own methods return is checked, and named where it is wrong."""

from __future__ import annotations

import collections
from typing import Any

import numpy as np
import pytest
from support.scenarios import CONFIG

from recsim._internal import trees
from recsim.environments import interest_exploration
from recsim.vector import env as vector_env
from recsim.vector import scenario, streams

SIZE = streams.CHUNK_SIZE


@pytest.mark.parametrize("num_envs", [3, SIZE + 1])
def test_rewards_that_are_not_one_a_user(num_envs: int) -> None:
    one_of_all = interest_exploration.create_vector_environment(CONFIG, num_envs)
    env = vector_env.RecSimVectorEnv(
        one_of_all.user_model,
        one_of_all.document_sampler,
        one_of_all.num_candidates,
        one_of_all.slate_size,
        num_envs,
        lambda responses: responses.clicked.sum(),
    )
    env.reset()
    with pytest.raises(ValueError, match=r"reward_aggregator must return .*got one of shape \(\)"):
        env.step(np.zeros((num_envs, 2), int))


class FaultyUsers(interest_exploration.VectorIEUserModel):
    """Answers with what it is told to."""

    answers: dict[str, Any]

    def choose(self, users: Any, documents: Any, stream: Any) -> Any:
        choice = super().choose(users, documents, stream)
        return self.answers.get("choose", lambda it: it)(choice)

    def respond(self, *args: Any) -> Any:
        return self.answers.get("respond", lambda it: it)(super().respond(*args))

    def update(self, users: Any, *args: Any) -> Any:
        return self.answers.get("update", lambda it: it)(super().update(users, *args))

    def is_done(self, users: Any) -> Any:
        return self.answers.get("is_done", lambda it: None)(users)


def one_short(values: Any) -> Any:
    return trees.rows_of(values, slice(-1))


@pytest.mark.parametrize(
    ("method", "answer", "error", "message"),
    [
        ("choose", lambda it: it - 5, ValueError, r"choose of FaultyUsers .* 2 \(slate_size\)"),
        ("choose", lambda it: it + 7, ValueError, r"choose of FaultyUsers .* got (7|8|9)"),
        ("choose", lambda it: it * 0 + 0.5, ValueError, "choose of FaultyUsers .* whole numbers"),
        ("choose", lambda it: it * np.nan, ValueError, "choose of FaultyUsers .* whole numbers"),
        ("choose", lambda it: it[:, None], ValueError, r"choose of FaultyUsers .* \(5, 1\)"),
        ("choose", lambda it: 0, ValueError, r"choose of FaultyUsers .* got one of shape \(\)"),
        ("choose", lambda it: None, TypeError, "choose of FaultyUsers .* must be numbers"),
        ("respond", lambda it: None, TypeError, "respond of FaultyUsers must return a dataclass"),
        ("respond", one_short, ValueError, r"respond of FaultyUsers .* \(5, 2, …\), got \(4, 2\)"),
        ("update", lambda it: None, TypeError, "update of FaultyUsers must return a dataclass"),
        ("update", one_short, ValueError, r"update of FaultyUsers .* \(5, …\), got \(4,"),
        ("is_done", lambda it: False, ValueError, r"is_done of FaultyUsers .* shape \(\)"),
        ("is_done", lambda it: np.zeros((5, 1), bool), ValueError, r"is_done .* \(5, 1\)"),
        ("is_done", lambda it: np.full(5, np.nan), ValueError, "is_done .* must return bools"),
        ("is_done", lambda it: ["no"] * 5, TypeError, "is_done .* must be numbers"),
    ],
)
def test_what_user_models_return_is_looked_at(
    method: str, answer: Any, error: type[Exception], message: str
) -> None:
    env = interest_exploration.create_vector_environment(CONFIG, num_envs=5)
    model = env.user_model
    model.__class__ = FaultyUsers
    model.answers = {}
    env.reset()
    model.answers = {method: answer}
    with pytest.raises(error, match=message):
        env.step(np.zeros((5, 2), np.int64))


@pytest.mark.parametrize(
    ("metrics", "error", "message"),
    [
        (None, TypeError, "metrics_aggregator must return .* got None"),
        ({"c": np.ones(3)}, ValueError, "metric 'c', of metrics_aggregator, must be one number"),
        ({"c": np.nan}, ValueError, "metric 'c', of metrics_aggregator, must be a finite number"),
        ({"c": "x"}, TypeError, "metric 'c', of metrics_aggregator, must be a number"),
    ],
)
def test_metrics_are_numbers(metrics: Any, error: type[Exception], message: str) -> None:
    made = interest_exploration.create_vector_environment(CONFIG, num_envs=3)
    env = vector_env.RecSimVectorEnv(
        made.user_model, made.document_sampler, 6, 2, 3, scenario.total_clicks, lambda _: metrics
    )
    env.reset()
    with pytest.raises(error, match=message):
        env.step(np.zeros((3, 2), np.int64))


class GlobalUsers(interest_exploration.VectorIEUserModel):
    def update(self, users: Any, *args: Any) -> Any:
        np.random.random()
        return super().update(users, *args)


def test_users_that_draw_from_the_global_generator_are_told_of_once() -> None:
    env = interest_exploration.create_vector_environment(CONFIG, num_envs=3)
    env.user_model.__class__ = GlobalUsers
    env.reset()
    slates, state = np.zeros((3, 2), np.int64), np.random.get_state()
    with pytest.warns(UserWarning, match=r"GlobalUsers, .* global generator .* \(stream\)") as told:
        collections.deque((env.step(slates) for _ in range(3)), 0)
    assert len(told) == 1
    np.random.set_state(state)


def test_clicks_are_at_whole_positions() -> None:
    for choice in ([0.5, 1], [np.nan, 1]):
        with pytest.raises(ValueError, match="choice must"):
            scenario.clicked(np.array(choice), 2)
