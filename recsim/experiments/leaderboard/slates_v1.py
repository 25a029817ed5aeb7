"""The tasks of ``recsim-slates-v1``, the first version of the leaderboard.

They are frozen: another parameter, or another budget, is another version.

Example:
    >>> CLICKBAIT.environment, CLICKBAIT.steps, CLICKBAIT.train_steps
    ('long_term_satisfaction', 200, 50000)
    >>> VERSION.task("clickbait") is CLICKBAIT
    True
"""

from __future__ import annotations

from recsim.experiments.leaderboard import tasks

__all__ = [
    "BOREDOM",
    "CATALOGUE",
    "CLICKBAIT",
    "EASY",
    "EVOLUTION",
    "EXPLORATION",
    "LARGE_SLATES",
    "ORDERING",
    "VERSION",
]

EASY = tasks.Task(
    "easy",
    "users who all like the same topics, and nothing has consequences",
    "interest_exploration",
    num_candidates=10,
    slate_size=2,
    parameters={
        "topic_distribution": [0.2] * 5,
        "topic_quality_mean": [0.0] * 5,
        "topic_quality_stddev": [0.2] * 5,
        "user_type_distribution": [1.0],
        "user_document_mean_affinity_matrix": [[0.1, 0.4, 0.7, 1.0, 1.3]],
        "user_document_stddev_affinity_matrix": [[0.1] * 5],
        "no_click_mass": 5.0,
    },
    steps=100,
)

EVOLUTION = tasks.Task(
    "evolution",
    "videos of low quality are liked more, and cost the user's time",
    "interest_evolution",
    num_candidates=10,
    slate_size=3,
)

LARGE_SLATES = tasks.Task(
    "large_slates",
    "the same with slates of ten out of twenty",
    "interest_evolution",
    num_candidates=20,
    slate_size=10,
)

CATALOGUE = tasks.Task(
    "catalogue",
    "the same with a catalogue of a thousand, of which slates are made at once",
    "interest_evolution",
    num_candidates=1_000,
    slate_size=3,
    resample_documents=False,
    train_steps=10_000,
    users=100,
    curve_users=10,
)

EXPLORATION = tasks.Task(
    "exploration",
    "users of hidden types, who must be explored one by one",
    "interest_exploration",
    num_candidates=10,
    slate_size=2,
    parameters={
        "topic_distribution": [0.2] * 5,
        "topic_quality_mean": [0.0] * 5,
        "topic_quality_stddev": [0.2] * 5,
        "user_type_distribution": [0.4, 0.15, 0.15, 0.15, 0.15],
        "user_document_mean_affinity_matrix": [
            [1.4 if topic == favourite else 0.1 for topic in range(5)] for favourite in range(5)
        ],
        "user_document_stddev_affinity_matrix": [[0.1] * 5] * 5,
        "no_click_mass": 5.0,
    },
    steps=100,
)

CLICKBAIT = tasks.Task(
    "clickbait",
    "a long horizon: what engages now wears out over many steps, unseen",
    "long_term_satisfaction",
    num_candidates=10,
    slate_size=1,
    parameters={"memory_discount": 0.9, "sensitivity": 0.1, "time_budget": 120},
)

BOREDOM = tasks.Task(
    "boredom",
    "hidden interests, and topics that bore who clicks them too often",
    "topic_boredom",
    num_candidates=10,
    slate_size=3,
    parameters={
        "num_items": 500,
        "relevance_slope": 10.0,
        "boredom_threshold": 4,
        "time_budget": 50,
    },
)

ORDERING = tasks.Task(
    "ordering",
    "ten items to put into an order for users who get bored, in ten slates",
    "topic_boredom",
    num_candidates=10,
    slate_size=10,
    resample_documents=False,
    parameters={
        "num_items": 10,
        "time_budget": 10,
        "relevance_offset": 0.3,
        "relevance_slope": 5.0,
        "examination_decay": 0.7,
        "boredom_threshold": 4,
    },
)

_TASKS = (EASY, EVOLUTION, LARGE_SLATES, CATALOGUE, EXPLORATION, CLICKBAIT, BOREDOM, ORDERING)

# The mean returns of random slates and of the best agent, or the oracle, when it was published; in
# `clickbait`, where none was better than random, that of always the least clickbait.
_SCALES = {
    "easy": (31.58, 56.09),
    "evolution": (160.34, 253.14),
    "large_slates": (169.50, 252.43),
    "catalogue": (160.48, 216.71),
    "exploration": (26.57, 59.48),
    "clickbait": (1926.93, 3204.30),
    "boredom": (14.73, 33.59),
    "ordering": (12.05, 13.28),
}

#: The version.
VERSION = tasks.Version(
    "recsim-slates-v1", __name__, {task.name: task for task in _TASKS}, scales=_SCALES
)
