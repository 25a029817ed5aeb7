"""The course of episodes: sums over users by the step."""

from __future__ import annotations

import numpy as np
import pytest

from recsim import registry
from recsim.agents import random_agent
from recsim.experiments import _course
from recsim.simulator import rollout

CONFIG = {"num_candidates": 6, "slate_size": 3, "resample_documents": True, "seed": 3}


@pytest.mark.parametrize("scenario", ["interest_exploration", "interest_evolution"])
def test_course_of_single_users(scenario):
    env = registry.create_environment(scenario, CONFIG)
    course = _course.for_environment(env)
    agent = random_agent.RandomAgent(env.action_space, random_seed=0)
    steps = []
    lengths = [
        rollout.run_episode(
            env, agent, max_steps=most, listeners=[course, rollout.OnStep(steps.append)]
        ).num_steps
        for most in (4, 9, 2)
    ]
    found = course.measures()
    assert found["step"].tolist() == list(range(max(lengths)))
    places = np.concatenate([np.arange(length) for length in lengths])
    firsts = [step for step, place in zip(steps, places) if place == 1]
    assert found["reward"][1] == pytest.approx(np.mean([step.reward for step in firsts]))
    responses = [step.next_observation["response"] for step in firsts]
    clicks = [sum(int(each["click"]) for each in of_step) for of_step in responses]
    assert found["click_through_rate"][1] == pytest.approx(np.mean(clicks))
    topics = [int(each["cluster_id"]) for of_step in responses for each in of_step]
    shares = [values for name, values in found.items() if name.startswith("slate_share_of")]
    np.testing.assert_allclose(
        [share[1] for share in shares], np.bincount(topics, minlength=len(shares)) / len(topics)
    )
    course.clear()
    assert course.measures() == {}


@pytest.mark.parametrize(
    ("scenario", "limit"), [("interest_exploration", 7), ("interest_evolution", None)]
)
def test_course_of_users_in_parallel_is_that_of_each(scenario, limit):
    """Episodes end together in one of them; in the other they are counted by their own steps."""
    env = registry.create_vector_environment(scenario, CONFIG, 50, max_steps_per_episode=limit)
    course = _course.for_environment(env)
    agent = registry.create_vector_agent("random", env, seed=0)
    steps = []
    episodes = rollout.VectorRollout(env, agent, [course, _Listener(steps)])
    episodes.run_episodes(1 + np.arange(50) % 3)
    found = course.measures()
    rewards = {}
    for places, counting, of_users in steps:
        for user in np.flatnonzero(counting):
            rewards.setdefault(int(places[user]), []).append(of_users[user])
    assert found["step"].tolist() == sorted(rewards)
    np.testing.assert_allclose(
        found["reward"], [np.mean(rewards[step]) for step in sorted(rewards)]
    )
    shares = [values for name, values in found.items() if name.startswith("slate_share_of")]
    np.testing.assert_allclose(np.sum(shares, axis=0), 1.0)


class _Listener(rollout.VectorListener):
    def __init__(self, steps):
        self._kept = steps
        self._places = np.zeros(50, int)

    def on_step(self, step):
        counting = np.ones(50, bool) if step.counting is None else step.counting.copy()
        self._kept.append((self._places.copy(), counting, step.rewards.copy()))
        self._places += 1

    def on_episodes_end(self, episodes):
        self._places[episodes.ended] = 0


def clickbait(documents, slate):
    return np.mean([float(documents[position][0]) for position in slate])


def test_course_of_clickbait():
    config = {**CONFIG, "slate_size": 2, "num_candidates": 5}
    env = registry.create_environment("long_term_satisfaction", config)
    course = _course.for_environment(env, "long_term_satisfaction")
    agent = random_agent.RandomAgent(env.action_space, random_seed=0)
    steps = []
    for _ in range(3):
        rollout.run_episode(
            env, agent, max_steps=7, listeners=[course, rollout.OnStep(steps.append)]
        )
    found = course.measures()
    assert list(found) == ["step", "reward", "click_through_rate", "slate_mean_of_clickbait_score"]
    shown = [clickbait(list(step.observation["doc"].values()), step.slate) for step in steps]
    assert found["slate_mean_of_clickbait_score"] == pytest.approx(
        np.mean(np.reshape(shown, (3, 7)), axis=0)
    )


def test_course_of_clickbait_of_users_in_parallel():
    config = {**CONFIG, "slate_size": 2, "num_candidates": 5}
    env = registry.create_vector_environment(
        "long_term_satisfaction", config, 30, max_steps_per_episode=6
    )
    course = _course.for_environment(env, "long_term_satisfaction")
    agent = registry.create_vector_agent("random", env, seed=0)
    kept = []

    class Keeping(rollout.VectorListener):
        def on_reset(self, observation, infos):
            self.documents = observation["doc"]

        def on_step(self, step):
            kept.append(np.mean([*map(clickbait, self.documents, step.slates)]))
            self.documents = step.observation["doc"]

    rollout.VectorRollout(env, agent, [course, Keeping()]).run_episodes(np.full(30, 2))
    found = course.measures()["slate_mean_of_clickbait_score"]
    np.testing.assert_allclose(found, np.mean(np.reshape(kept, (2, 6)), axis=0), rtol=1e-6)


def test_long_courses_are_put_together():
    kind = _course._Kind(has_clicks=False, num_topics=0, has_score=False, score="")
    rows = np.zeros((500, kind.width))
    rows[:, 0], rows[:, 1] = 2.0, np.arange(500)
    found = _course._measures(rows, kind)
    assert list(found) == ["step", "reward"]
    assert found["step"][:3].tolist() == [0, 3, 6] and len(found["step"]) == 167
    np.testing.assert_allclose(found["reward"][:2], [(0 + 1 + 2) / 6, (3 + 4 + 5) / 6])
