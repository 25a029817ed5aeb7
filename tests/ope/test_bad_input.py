"""What is refused, and by which error."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from recsim.ope import estimates, estimators, models, sequences, slates
from recsim.ope.log import SlateLog
from recsim.ope.policy import Policy, SlateDistribution, all_slates

FRAME = pd.DataFrame(
    {
        "episode": [0, 0, 0, 0],
        "user": [0, 0, 1, 1],
        "step": [0, 0, 0, 0],
        "position": [0, 1, 0, 1],
        "candidate": [2, 0, 1, 2],
        "reward": [1.0, 1.0, 0.0, 0.0],
        "response_click": [0, 1, 0, 0],
        "slate_probability": [0.1, 0.1, 0.2, 0.2],
    }
)


def changed(**columns):
    return FRAME.assign(**columns)


def doubled():
    return pd.concat([FRAME, FRAME[["reward"]]], axis=1)


FRAMES = {
    "a missing column": (FRAME.drop(columns="candidate"), "without candidate"),
    "two missing columns": (FRAME.drop(columns=["user", "reward"]), "without user, reward"),
    "a doubled column": (doubled(), "the column 'reward' more than once"),
    "an empty log": (FRAME.iloc[:0], "The log is empty"),
    "a propensity of 0": (changed(slate_probability=[0.0, 0.0, 0.2, 0.2]), "above 0 and at most 1"),
    "a propensity above 1": (
        changed(slate_probability=[1.5, 1.5, 0.2, 0.2]),
        r"slate_propensities.*got .*1\.5",
    ),
    "a propensity that is missing": (
        changed(slate_probability=[np.nan, np.nan, 0.2, 0.2]),
        "'slate_probability' must hold the.* none of 1, such as that of user 0, episode 0, step 0:",
    ),
    "positions with gaps": (changed(position=[0, 2, 0, 1]), r"0 to 1, each once, got \[0, 2\]"),
    "a position twice": (changed(position=[0, 0, 0, 1]), r"each once, got \[0, 0\]"),
    "a position missing": (FRAME.iloc[:3], "All slates must be of one size"),
    "a reward that is missing": (changed(reward=[np.nan, np.nan, 0, 0]), "'reward' must hold"),
    "an infinite reward": (changed(reward=[np.inf, np.inf, 0.0, 0.0]), "'reward' must hold"),
    "rewards that differ in a slate": (
        changed(reward=[1.0, 2.0, 0.0, 0.0]),
        "same in all rows",
    ),
    "a step left out": (changed(user=[0] * 4, step=[0, 0, 2, 2]), "steps counted one by one"),
    "half a candidate": (changed(candidate=[0.5, 0, 1, 2]), "'candidate' must hold integers"),
    "a negative position": (changed(position=[-1, 0, 0, 1]), "'position' must hold integers"),
}


@pytest.mark.parametrize("name", FRAMES)
def test_frames(name):
    frame, message = FRAMES[name]
    with pytest.raises(ValueError, match=message):
        SlateLog.from_episodes(frame)


def test_text_is_refused():
    with pytest.raises(TypeError, match="'reward' must hold numbers"):
        SlateLog.from_episodes(changed(reward=list("abcd")))


def test_rows_may_be_in_any_order():
    log = SlateLog.from_episodes(FRAME.sample(frac=1.0, random_state=3))
    assert log.items.tolist() == [[2, 0], [1, 2]]
    assert log.position_rewards.tolist() == [[0.0, 1.0], [0.0, 0.0]]
    assert log.slate_propensities.tolist() == [0.1, 0.2]
    assert log.num_candidates == 3
    # Nothing was changed.
    assert FRAME.columns.is_unique and FRAME.reward.tolist() == [1.0, 1.0, 0.0, 0.0]


def test_a_column_of_rewards_by_position_by_name():
    log = SlateLog.from_episodes(FRAME, position_reward="candidate")
    assert log.position_rewards.tolist() == [[2.0, 0.0], [1.0, 2.0]]
    with pytest.raises(ValueError, match="position_reward must be a column.*'likes'"):
        SlateLog.from_episodes(FRAME, position_reward="likes")


LOG = {"items": [[0, 1], [1, 0]], "rewards": [1.0, 0.0]}
ARRAYS = {
    "no slates": ({"items": np.zeros((0, 2), int)}, ValueError, "at least one slate"),
    "negative items": ({"items": [[0, -1], [1, 0]]}, ValueError, "indices of candidates, >= 0"),
    "half items": ({"items": [[0, 0.5], [1, 0]]}, (TypeError, ValueError), "items"),
    "too many rewards": ({"rewards": [1.0] * 3}, ValueError, r"rewards must have the shape \(2\)"),
    "a reward of NaN": ({"rewards": [np.nan, 0.0]}, ValueError, "rewards"),
    "rewards of text": ({"rewards": ["a", "b"]}, TypeError, "rewards"),
    "propensities of 0": ({"item_propensities": [[0.5, 0.0], [1, 1]]}, ValueError, "above 0"),
    "propensities above 1": ({"prefix_propensities": [[0.5, 1.2], [1, 1]]}, ValueError, "at most"),
    "propensities of slates": ({"slate_propensities": [[0.5], [1]]}, ValueError, r"shape \(2\)"),
    "steps with a gap": ({"users": [0, 0], "steps": [0, 2]}, ValueError, "one by one"),
    "too few candidates": ({"num_candidates": 1}, ValueError, "num_candidates"),
    "features of others": ({"candidate_features": np.zeros((3, 2, 1))}, ValueError, "n being 2"),
    "a distribution of others": (
        {"distribution": SlateDistribution.uniform(3, 2, 2)},
        ValueError,
        "distribution must be of the 2 slates",
    ),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(name):
    changes, error, message = ARRAYS[name]
    with pytest.raises(error, match=message):
        SlateLog(**{**LOG, **changes})


def bare(**arguments):
    return SlateLog(**{**LOG, **arguments})


CALLS = {
    "a policy above 1": (lambda: Policy(slates=[1.1]), "from 0 to 1"),
    "a negative policy": (lambda: Policy(items=[[-0.1]]), "from 0 to 1"),
    "a policy of NaN": (lambda: Policy(slates=[np.nan]), "slates"),
    "a policy of too many axes": (lambda: Policy(slates=[[0.5]]), "slates must have 1 axes"),
    "no distribution": (lambda: SlateDistribution([[0], [1]], [[0.5, 0.6]]), "sum up to 1"),
    "negative chances": (lambda: SlateDistribution([[0], [1]], [[1.5, -0.5]]), "numbers >= 0"),
    "other slates": (lambda: SlateDistribution([[0], [1]], [[1.0]]), "shapes"),
    "too many slates": (lambda: all_slates(20, 4), "more than the 5040"),
    "slates of too few": (lambda: all_slates(2, 3), "slate_size"),
    "an unknown slate": (
        lambda: SlateDistribution.uniform(1, 3, 2).of_slates(np.array([[1, 1]])),
        r"got \[1, 1\]",
    ),
    "no propensities": (
        lambda: estimators.InversePropensity().estimate(bare(), Policy(slates=[0.5, 0.5])),
        "The log has no slate_propensities",
    ),
    "no policy": (
        lambda: estimators.InversePropensity().estimate(
            bare(slate_propensities=[0.5, 0.5]), Policy()
        ),
        "The policy has no slates",
    ),
    "a policy of other slates": (
        lambda: estimators.InversePropensity().estimate(
            bare(slate_propensities=[0.5, 0.5]), Policy(slates=[0.5] * 3)
        ),
        "they are of other slates",
    ),
    "no rewards of positions": (
        lambda: estimators.InversePropensity("items").estimate(
            bare(item_propensities=[[0.5, 0.5]] * 2), Policy(items=[[0.5, 0.5]] * 2)
        ),
        "give position_rewards",
    ),
    "no probabilities of candidates": (
        lambda: estimators.DirectMethod().estimate(bare(), Policy(slates=[0.5, 0.5])),
        "policy.marginals",
    ),
    "no probabilities of all slates": (
        lambda: slates.PseudoInverse().estimate(bare(), Policy(slates=[0.5, 0.5])),
        "log.distribution",
    ),
    "weights of 0": (
        lambda: estimators.InversePropensity(self_normalized=True).estimate(
            bare(slate_propensities=[0.5, 0.5], distribution=SlateDistribution.uniform(2, 2, 2)),
            Policy.of(
                SlateDistribution([[0, 1], [1, 0]], [[0.0, 1.0], [1.0, 0.0]]),
                np.array(LOG["items"]),
            ),
        ),
        "all weights are 0",
    ),
    "an unknown weight": (lambda: estimators.InversePropensity("slate"), "'slates'|slates, items"),
    "a clip of 0": (lambda: estimators.InversePropensity(clip=0.0), "clip"),
    "a discount of 2": (lambda: sequences.PerDecision(discount=2.0), "discount"),
    "one batch": (lambda: sequences.FittedQ(num_batches=1), "num_batches"),
    "a method of its own": (lambda: estimates.Interval("bootstrp"), "Did you mean 'bootstrap'"),
    "a confidence of 1": (lambda: estimates.Interval(confidence=1.0), "confidence"),
    "predictions of other shapes": (
        lambda: models.Predictions([1.0, 2.0], [1.0]),
        r"shape \(n,\)",
    ),
    "predictions of others": (
        lambda: estimators.DirectMethod(models.Predictions([1], [1])).estimate(bare(), Policy()),
        r"shape \(2,\)",
    ),
}


@pytest.mark.filterwarnings("ignore::recsim.ope.estimates.SupportWarning")
@pytest.mark.parametrize("name", CALLS)
def test_calls(name):
    call, message = CALLS[name]
    with pytest.raises(ValueError, match=re.compile(message)):
        call()


def test_files(tmp_path):
    with pytest.raises(FileNotFoundError):
        SlateLog.from_episodes(tmp_path / "missing.parquet")
    empty = tmp_path / "empty.parquet"
    empty.touch()
    with pytest.raises(ValueError, match="is empty"):
        SlateLog.from_episodes(empty)
    with pytest.raises(TypeError, match="path"):
        SlateLog.from_episodes(3)
