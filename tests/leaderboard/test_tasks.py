"""The tasks of the leaderboard: what they are made of, and that they never change."""

import numpy as np
import pytest

from recsim.agents import random_agent
from recsim.experiments.leaderboard import tasks
from recsim.simulator import rollout

V1 = tasks.version_of("recsim-slates-v1")

# Frozen with the version: the first digits of each task's digest, and what random slates of 20
# users earn. If one is not what it was, results that were published are of another task: undo the
# change, or make another version.
FROZEN = {
    "easy": ("d7e50f64b3d6", 32.2),
    "evolution": ("15e7246d50cc", 160.923423),
    "large_slates": ("f1bf0b663b0c", 172.566704),
    "catalogue": ("e8e650adbbf6", 163.890349),
    "exploration": ("d79dff37e6e5", 26.3),
    "clickbait": ("19da57ed095c", 1822.674288),
    "boredom": ("52843e8b160f", 13.8),
    "ordering": ("a0f12ba98740", 11.45),
}


def test_version_has_what_a_benchmark_of_slates_needs():
    assert len(V1.tasks) >= 8
    assert V1.num_seeds == 10
    assert any(task.num_candidates == 1_000 for task in V1.tasks.values())
    assert any(task.slate_size == 10 for task in V1.tasks.values())
    assert {task.environment for task in V1.tasks.values()} == {
        "interest_evolution",
        "interest_exploration",
        "long_term_satisfaction",
        "topic_boredom",
    }
    assert all(name == task.name for name, task in V1.tasks.items())
    assert (V1.train_envs, V1.search_seeds, V1.search_share) == (100, 2, 0.2)  # Frozen, too.
    search = range(V1.first_search_seed, V1.first_search_seed + V1.search_seeds)
    assert not set(search) & set(range(V1.num_seeds))


@pytest.mark.parametrize("name", V1.tasks)
def test_tasks_are_frozen(name):
    task = V1.task(name)
    env = task.scenario.create_vector({"seed": 0}, 20)
    env.max_steps_per_episode = task.steps
    totals = rollout.EpisodeTotals(20)
    agent = random_agent.VectorRandomAgent(env, random_seed=0)
    rollout.VectorRollout(env, agent, [totals]).run_episodes(np.ones(20, np.int64), seed=0)
    assert (task.sha256[:12], round(float(totals.returns.mean()), 6)) == FROZEN[name]


def test_the_config_of_a_task_is_the_tasks_own():
    env = V1.task("catalogue").scenario.create_vector(
        {"seed": 3, "num_candidates": 5, "slate_size": 1, "resample_documents": True}, 2
    )
    assert (env.num_candidates, env.slate_size, env.candidates) == (1_000, 3, "shared")


def test_single_user_form():
    env = V1.task("clickbait").scenario.create({"seed": 0})
    assert len(env.reset()["doc"]) == 10


def test_slates_that_repeat_a_candidate_are_refused():
    scenario = V1.task("large_slates").scenario
    many = scenario.create_vector({"seed": 0}, 3)
    many.reset()
    slates = np.tile(np.arange(10), (3, 1))
    many.step(slates)
    slates[1, 9] = 4
    with pytest.raises(ValueError, match=r"different candidates.*of user 1 is \[0, 1, .*, 4\]"):
        many.step(slates)
    one = scenario.create({"seed": 0})
    one.reset()
    one.step(slates[0])
    with pytest.raises(ValueError, match=r"different candidates.*the slate is \[0, 1, .*, 4\]"):
        one.step(slates[1])


def test_quick_version_is_another_one():
    quick = tasks.version_of("recsim-slates-v1-quick")
    assert quick == V1.quick() == quick.quick()
    assert quick.num_seeds < V1.num_seeds
    for name, task in quick.tasks.items():
        assert task.sha256 != V1.task(name).sha256
        assert task.train_steps < V1.task(name).train_steps


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tasks.version_of("recsim-slates-v2"), "There is no version 'recsim-slates-v2' of"),
        (lambda: tasks.version_of(1), "There is no version 1 of the leaderboard"),
        (lambda: V1.task("explore"), "no task 'explore' in recsim-slates-v1. Did you mean"),
        (lambda: V1.task("hard"), "Known are: easy, evolution"),
    ],
)
def test_unknown_names(call, message):
    with pytest.raises(ValueError, match=message):
        call()
