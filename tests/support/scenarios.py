"""Environments of the scenarios, small and with a seed, for tests that need any one."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from typing import Any

from recsim import registry
from recsim.environments import interest_exploration, long_term_satisfaction
from recsim.simulator import environment, recsim_gym

__all__ = [
    "CONFIG",
    "MODULES",
    "OTHER_PARAMETERS",
    "SCENARIOS",
    "clicks_by_user",
    "config",
    "make_env",
    "make_interest_exploration_users",
    "make_long_term_satisfaction_users",
    "make_vector_env",
    "spaces_of",
]

SCENARIOS = tuple(sorted(registry.ENVIRONMENTS))
#: The modules of the scenarios by name.
MODULES: dict[str, Any] = {
    name: importlib.import_module(registry.ENVIRONMENTS[name].module) for name in SCENARIOS
}
CONFIG: dict[str, Any] = {
    "num_candidates": 4,
    "slate_size": 2,
    "resample_documents": True,
    "seed": 0,
}

#: For each scenario a value of every parameter that is not the default one. They go together.
OTHER_PARAMETERS: dict[str, dict[str, Any]] = {
    "interest_evolution": {
        "num_topics": 25,
        "min_utility": -5.0,
        "max_utility": 2.0,
        "low_quality_share": 0.4,
        "quality_stddev": 0.5,
        "video_length": 6.0,
        "max_video_length": 50.0,
        "min_interest": -0.8,
        "max_interest": 0.6,
        "time_budget": 90.0,
        "step_penalty": 1.5,
        "document_quality_factor": 0.7,
        "user_quality_factor": 0.4,
        "user_update_alpha": 0.2,
        "alpha_x_intercept": 1.5,
        "alpha_y_intercept": 0.2,
        "choice_model": "multi_click_cascade",
        "no_click_mass": 0.5,
        "min_normalizer": -1.5,
        "score_scaling": 0.3,
        "attention_prob": 0.8,
        "examination_decay": 0.7,
        "continue_after_click": 0.2,
        "continue_after_skip": 0.7,
    },
    "interest_exploration": {
        "topic_distribution": (0.6, 0.4),
        "topic_quality_mean": (0.3, 0.5),
        "topic_quality_stddev": (0.4, 0.2),
        "user_type_distribution": (0.8, 0.2),
        "user_document_mean_affinity_matrix": ((0.9, -0.4), (0.2, 0.3)),
        "user_document_stddev_affinity_matrix": ((0.3, 0.2), (0.4, 0.5)),
        "no_click_mass": 2.0,
        "choice_model": "multi_click_cascade",
        "attention_prob": 0.8,
        "examination_decay": 0.7,
        "continue_after_click": 0.2,
        "continue_after_skip": 0.7,
    },
    "long_term_satisfaction": {
        "memory_discount": 0.5,
        "sensitivity": 0.3,
        "innovation_stddev": 0.2,
        "choc_mean": 3.0,
        "choc_stddev": 0.7,
        "kale_mean": 2.5,
        "kale_stddev": 0.5,
        "time_budget": 25,
        "initial_exposure_scale": 2.0,
        "min_clickbait_score": 0.1,
        "max_clickbait_score": 0.8,
        "max_engagement_magnitude": 20.0,
    },
    "topic_boredom": {
        "num_items": 30,
        "num_topics": 6,
        "subtopics": 2,
        "embeddings": "diffuse",
        "topics_per_item": 1,
        "catalogue_seed": 3,
        "topics_per_user": 3,
        "time_budget": 25,
        "relevance": "threshold",
        "relevance_offset": 0.4,
        "relevance_slope": 8.0,
        "attraction_factor": 0.9,
        "same_topic_limit": 2,
        "same_topic_penalty": 1.5,
        "choice_model": "multi_click_cascade",
        "examination_decay": 0.6,
        "examination_order": "both_ends",
        "attention_prob": 0.8,
        "continue_after_click": 0.8,
        "continue_after_skip": 0.7,
        "interest_memory": 0.9,
        "drift": "topics",
        "boredom_threshold": 2,
        "boredom_window": 3,
        "clicks_remembered": 4,
        "boredom_effect": "bored_topics",
        "bored_relevance_factor": 0.5,
        "observe_user_state": True,
    },
}


def config(**changes: Any) -> dict[str, Any]:
    """Returns the shared configuration with some entries changed or added."""
    return {**CONFIG, **changes}


def make_env(scenario: str = "interest_exploration", **changes: Any) -> Any:
    """Returns a single-user environment of the shared configuration, with changes to it."""
    return registry.create_environment(scenario, config(**changes))


def make_vector_env(
    scenario: str = "interest_exploration",
    num_envs: int = 3,
    env_config: dict[str, Any] = CONFIG,
    **options: Any,
) -> Any:
    """Returns a vectorized environment of the shared configuration, or of another."""
    return registry.create_vector_environment(scenario, env_config, num_envs, **options)


def spaces_of(env: Any) -> dict[str, Any]:
    """Returns the spaces of an environment as arguments of an agent."""
    return {"observation_space": env.observation_space, "action_space": env.action_space}


class TwoTopicDocument(interest_exploration.IEDocument):
    """A document that says itself how many topics there are, as in code written for RecSim."""

    NUM_CLUSTERS = 2


class TwoTopicResponse(interest_exploration.IEResponse):
    """The same for a response."""

    NUM_CLUSTERS = 2


def clicks_by_user(responses: Any) -> list[float]:
    """Returns the number of clicks of each of several users."""
    return [float(sum(response.clicked for response in of_one)) for of_one in responses]


def no_reward(responses: Any) -> float:
    """Returns a reward of zero."""
    return 0.0


def _of_several_users(
    models: Sequence[Any], sampler: Any, num_candidates: int, reward: Callable[[Any], Any]
) -> recsim_gym.RecSimGymEnv:
    several = environment.MultiUserEnvironment(models, sampler, num_candidates, 2)
    return recsim_gym.RecSimGymEnv(several, reward)


def make_interest_exploration_users(
    user_seeds: Sequence[int],
    reward: Callable[[Any], Any] = no_reward,
    *,
    num_candidates: int = 5,
    sampler_seed: int = 0,
) -> recsim_gym.RecSimGymEnv:
    """Returns an environment of several users of interest exploration."""
    make_model = functools.partial(
        interest_exploration.IEUserModel, 2, response_model_ctor=TwoTopicResponse
    )
    sampler = interest_exploration.IETopicDocumentSampler(
        doc_ctor=TwoTopicDocument, seed=sampler_seed
    )
    models = [make_model(seed=seed) for seed in user_seeds]
    return _of_several_users(models, sampler, num_candidates, reward)


def make_long_term_satisfaction_users(
    user_seeds: Sequence[int],
    reward: Callable[[Any], Any] = no_reward,
    *,
    num_candidates: int = 5,
    sampler_seed: int = 0,
) -> recsim_gym.RecSimGymEnv:
    """Returns an environment of several users of long-term satisfaction."""
    make_model = functools.partial(
        long_term_satisfaction.LTSUserModel,
        2,
        user_state_ctor=long_term_satisfaction.LTSUserState,
        response_model_ctor=long_term_satisfaction.LTSResponse,
    )
    sampler = long_term_satisfaction.LTSDocumentSampler(seed=sampler_seed)
    models = [make_model(seed=seed) for seed in user_seeds]
    return _of_several_users(models, sampler, num_candidates, reward)
