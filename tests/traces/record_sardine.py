"""Records what sardine-rec does in its eight settings, for the tests of topic boredom.

It needs both packages in one environment (sardine-rec is by NAVER, under the MIT licence)::

    pip install sardine-rec==1.0.8
    python tests/traces/record_sardine.py tests/traces/sardine.json

The statistics are of 2,000 episodes of each policy, with the catalogues of this library in place of
sardine-rec's (a quarter of an hour). With ``--own-catalogues`` sardine-rec keeps its own, this
library gets them too, and the returns of both are printed, not recorded.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from importlib import metadata
from typing import Any
from unittest import mock

import gymnasium
import numpy as np
import sardine  # noqa: F401  # Its ids.

from recsim.environments import topic_boredom
from recsim.environments.topic_boredom import _catalogue

SETTINGS = {
    "single_static": "SingleItem-Static",
    "single_bored_drifting": "SingleItem-BoredInf",
    "single_uncertain": "SingleItem-Uncertain",
    "slate_bored": "SlateTopK-Bored",
    "slate_bored_drifting": "SlateTopK-BoredInf",
    "slate_uncertain": "SlateTopK-Uncertain",
    "rerank_static": "SlateRerank-Static",
    "rerank_bored": "SlateRerank-Bored",
}
TRACE_STEPS = 40


def make(variant: str, own_catalogue: bool = False) -> Any:
    """Returns sardine-rec's environment of a variant, with this library's catalogue."""
    env = gymnasium.make(f"sardine/{SETTINGS[variant]}-v0").unwrapped
    if not own_catalogue:
        config = topic_boredom.VARIANTS[variant]
        env.item_embedd = topic_boredom.catalogue_of(topic_boredom.parameters_of(config)).embedding
        env._set_topic_for_items()
    return env


def slate_of(policy: str, env: Any, rng: np.random.Generator) -> np.ndarray:
    """Returns random items, which may come twice, or what asks for the greedy oracle's slate."""
    if policy == "greedy":
        return np.full(env.slate_size, -1)
    return rng.integers(env.num_items, size=env.slate_size)


def statistics(variant: str, policy: str, num_episodes: int, own_catalogue: bool) -> dict[str, Any]:
    """Returns means and standard deviations over episodes."""
    env, rng = make(variant, own_catalogue), np.random.default_rng(1)
    rows = []
    for episode in range(num_episodes):
        env.reset(seed=episode)
        positions, topics = np.zeros(env.slate_size), np.zeros(env.num_topics)
        shown, bored, done = np.zeros(env.num_topics), 0, False
        while not done:
            _, _, done, _, info = env.step(slate_of(policy, env, rng))
            clicked = info["clicks"] > 0
            positions += clicked
            of_slate = info["slate_components"]
            topics += np.bincount(of_slate[clicked], minlength=env.num_topics)
            shown += np.bincount(of_slate, minlength=env.num_topics)
            bored += bool(info["bored"].any())
        rows.append([positions.sum(), bored, *positions, *topics, *shown])
    values = np.array(rows)
    ends = np.cumsum([1, 1, env.slate_size, env.num_topics])
    names = ("return", "bored", "clicks_by_position", "clicks_by_topic", "shown_by_topic")
    return {
        name: {"mean": mean.round(6).tolist(), "stddev": stddev.round(6).tolist()}
        for name, mean, stddev in zip(
            names,
            np.split(values.mean(axis=0), ends),
            np.split(values.std(axis=0, ddof=1), ends),
            strict=True,
        )
    }


def trace(variant: str) -> dict[str, Any]:
    """Returns the slates of an episode, the clicks, and the user's state after each."""
    env, rng = make(variant), np.random.default_rng(2)
    with mock.patch.object(env, "_initial_reco", wraps=env._initial_reco) as initial:
        before: list[np.ndarray] = []
        initial.side_effect = lambda: before.append(env.user_embedd.copy()) or mock.DEFAULT
        observation, info = env.reset(seed=3)
    found: dict[str, Any] = {
        "interests": before[0].tolist(),
        "slates": [observation["slate"].tolist()],
        "clicks": [info["clicks"].tolist()],
        "user_states": [info["user_state"].round(7).tolist()],
        "relevances": [],
        "bored": [],
    }
    done, steps = False, 0
    while not done and steps < TRACE_STEPS:
        greedy = slate_of("greedy", env, rng)
        slate = np.where(rng.random(env.slate_size) < 0.7, greedy, slate_of("random", env, rng))
        _, _, done, _, info = env.step(slate)
        steps += 1
        found["slates"].append(info["slate"].tolist())
        found["clicks"].append(info["clicks"].tolist())
        found["user_states"].append(info["user_state"].round(7).tolist())
        found["relevances"].append([float(f"{each:.9g}") for each in info["relevances"]])
        found["bored"].append(np.flatnonzero(info["bored"]).tolist())
    return found


def returns_here(variant: str, policy: str, num_episodes: int) -> np.ndarray:
    """Returns what this library's vector engine returns in as many episodes."""
    config = {**topic_boredom.VARIANTS[variant], "observe_user_state": True}
    env: Any = topic_boredom.create_vector_environment(config, num_episodes)
    rng, observation = np.random.default_rng(0), env.reset(seed=4)[0]
    total, done = np.zeros(num_episodes), np.zeros(num_episodes, bool)
    embedding = observation["doc"]["embedding"][0]
    size, num_topics = env.slate_size, embedding.shape[1]
    while not done.any():
        slates = rng.integers(env.num_candidates, size=(num_episodes, size))
        if policy == "greedy":
            shown = observation["user"][:, :num_topics]
            slates = topic_boredom.greedy_slates(shown, embedding, size)
        observation, rewards, done, _, _ = env.step(slates)
        total += rewards
    return total


def compare_own_catalogues(num_episodes: int) -> None:
    """Prints the returns of both, with sardine-rec's catalogues."""
    for variant in SETTINGS:
        items = make(variant, own_catalogue=True).item_embedd.astype(np.float64)
        own = topic_boredom.Catalogue(
            items, items.argmax(axis=1).astype(np.int32), items.max(axis=1)
        )
        for policy in ("random", "greedy"):
            theirs = statistics(variant, policy, num_episodes, own_catalogue=True)["return"]
            with mock.patch.object(_catalogue, "catalogue_of", lambda parameters, own=own: own):
                here = returns_here(variant, policy, num_episodes)
            mean, error = theirs["mean"][0], theirs["stddev"][0] / num_episodes**0.5
            error = np.hypot(error, here.std(ddof=1) / num_episodes**0.5)
            print(
                f"{variant} {policy}: sardine-rec {mean:.3f}, here {here.mean():.3f}, "
                f"{here.mean() - mean:+.3f} apart, standard error {error:.3f}",
                flush=True,
            )


def main() -> None:
    """Does what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=pathlib.Path)
    parser.add_argument("--episodes", type=int, default=2000)
    parser.add_argument("--own-catalogues", action="store_true")
    options = parser.parse_args()
    if options.own_catalogues:
        compare_own_catalogues(options.episodes)
        return
    found: dict[str, Any] = {
        "versions": {
            "sardine-rec": metadata.version("sardine-rec"),
            "numpy": np.__version__,
            "gymnasium": gymnasium.__version__,
        },
        "episodes": options.episodes,
        "traces": {variant: trace(variant) for variant in SETTINGS},
        "statistics": {},
    }
    for variant in SETTINGS:
        for policy in ("random", "greedy"):
            of_policy = statistics(variant, policy, options.episodes, own_catalogue=False)
            found["statistics"][f"{variant} {policy}"] = of_policy
            print(variant, policy, of_policy["return"], file=sys.stderr, flush=True)
    lines = []
    for name, part in found.items():
        entries = part.items() if isinstance(part, dict) else None
        if entries is None or name == "versions":
            lines.append(f"{json.dumps(name)}: {json.dumps(part)}")
        else:
            inner = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in entries)
            lines.append(f"{json.dumps(name)}: {{\n{inner}\n}}")
    options.file.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
