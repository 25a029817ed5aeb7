"""An oracle: what an agent would earn that knows the users and looks at one step alone.

It is not an agent that could be deployed: it reads the users' hidden states. Beside others it shows
how much there is to gain at once; where agents earn more, they have looked further ahead.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from recsim import types
from recsim._internal import arrays
from recsim.agents import softmax_agent
from recsim.environments import interest_exploration, long_term_satisfaction, topic_boredom
from recsim.vector import agent as vector_agent

__all__ = ["ShortTermOracle"]


class ShortTermOracle(vector_agent.AbstractVectorAgent):
    """Shows the slates that bring the most reward at once, whatever they cost later.

    These are: in interest evolution the videos that the user likes best, in interest exploration
    those most likely to be clicked, in topic boredom those of the highest relevance as boredom
    leaves it, and in long-term satisfaction the document of the highest expected engagement.

    Args:
        environment: a vector environment of one of these scenarios.

    Raises:
        ValueError: if it is another one.

    Example:
        >>> from recsim.environments import interest_evolution
        >>> config = {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 0}
        >>> env = interest_evolution.create_vector_environment(config, num_envs=3)
        >>> agent = ShortTermOracle(env)
        >>> observation, _ = env.reset(seed=0)
        >>> slates = agent.begin(observation)
        >>> slates.shape
        (3, 2)
        >>> liked = (observation["doc"] @ env.user_states()["interests"][:, :, np.newaxis])[..., 0]
        >>> bool((slates[:, 0] == liked.argmax(axis=1)).all())
        True
    """

    def __init__(self, environment: vector_agent.UsersAndSpaces) -> None:
        super().__init__(environment)
        self._env: Any = environment.unwrapped
        if not hasattr(self._env, "user_states"):
            raise ValueError(
                "environment must tell its users' states, as a RecSimVectorEnv does, got "
                f"{type(self._env).__name__}."
            )

    def step(
        self,
        observation: types.Observation,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        infos: types.Infos,
    ) -> np.ndarray:
        """See :meth:`recsim.vector.agent.AbstractVectorAgent.step`."""
        del rewards, terminated, truncated, infos
        users: dict[str, np.ndarray] = self._env.user_states()
        documents: Any = observation["doc"]
        parameters: Any = getattr(self._env.user_model, "parameters", None)
        if "bored" in users:
            interests = users["interests"]
            bored: np.ndarray = users["bored"]
            if parameters.boredom_effect == "all_topics":
                interests = np.where(np.any(bored, axis=1, keepdims=True), 0.0, interests)
            return topic_boredom.greedy_slates(
                np.where(bored, 0.0, interests), documents["embedding"], self._slate_size
            )
        if "topic_affinity" in users:
            scores = interest_exploration.document_scores(
                users["topic_affinity"], documents["cluster_id"], documents["quality"]
            )
        elif "net_positive_exposure" in users:
            scores = _expected_engagement(users["net_positive_exposure"], documents, parameters)
        elif "interests" in users and isinstance(documents, np.ndarray):
            scores = softmax_agent.inner_products({"user": users["interests"], "doc": documents})
        else:
            raise ValueError(
                "environment must be of interest evolution, interest exploration, topic boredom "
                f"or long-term satisfaction, got users with {', '.join(users)}."
            )
        return arrays.highest(np.ascontiguousarray(scores), self._slate_size)


def _expected_engagement(
    exposure: np.ndarray,
    documents: np.ndarray,
    parameters: long_term_satisfaction.LTSParameters,
) -> np.ndarray:
    """Returns what engagement to expect with each document, shape (n_users, n_docs)."""
    satisfaction = 1.0 / (1.0 + np.exp(-parameters.sensitivity * exposure))
    clickbait = documents[..., 0]
    location, scale = (
        clickbait * choc + (1.0 - clickbait) * kale
        for choc, kale in (
            (parameters.choc_mean, parameters.kale_mean),
            (parameters.choc_stddev, parameters.kale_stddev),
        )
    )
    expected: np.ndarray = np.exp(location * satisfaction[:, np.newaxis] + scale**2 / 2.0)
    return expected
