"""Topic boredom: users click several items of a slate, and too many of one topic bore them.

**Description.** A catalogue has items with a few topics each, unit vectors; users have interests of
the same form. Of a slate any number of items is clicked. Who has clicked too many items of a topic
of late is bored for a while and clicks next to nothing, so that the slates that bring the most
clicks now cost clicks later. Interests may drift with what is clicked. The dynamics are those of
SARDINE; its eight settings and the six of GeMS, which came before it, are :data:`VARIANTS`.

**Observation space.** Of the user for each topic the number of recent clicks, divided by
``boredom_threshold``, at most 1; with ``observe_user_state`` before it the interests as boredom
leaves them, and after it for how long boredom of the topic will last, divided by
``boredom_window`` (1 where there is none). Of a document its ``embedding`` (the item's topics), its
main topic, ``cluster_id``, and its length there, ``quality``; of a response ``click``,
``cluster_id`` and ``quality``.

**Action space.** A slate of ``slate_size`` candidates. Candidates are items of the catalogue, all
of them where there are as many.

**Reward.** The number of clicks.

**Dynamics.** The score of an item is the product of its topics and the user's interests, and a
function of it the relevance. The item at position k is looked at with probability
``examination_decay ** k`` and then clicked with the probability that is its relevance. After each
slate:

1. Clicks of the last ``boredom_window`` slates are counted by main topic, among the last
   ``clicks_remembered`` clicks. The user becomes bored of topics with ``boredom_threshold`` of
   them, for ``boredom_window`` slates.
2. If something was clicked, interests become ``interest_memory`` times themselves and
   ``1 - interest_memory`` times what the items have, of length 1 again.
3. While the user is bored, interests count as 0: all of them, or those in the topics that bore
   (``boredom_effect``).

A new user has from ``topics_per_user - 1`` to ``topics_per_user + 1`` interests, and has seen a
slate of random items of the catalogue, which counts as the others do.

**Episode end.** After ``time_budget`` slates.

**Parameters**, which are entries of ``env_config`` (with their defaults) and attributes of
:class:`TopicBoredomParameters`:

- ``num_items`` (1000): number of items in the catalogue, at least ``num_candidates``.
- ``num_topics`` (10): number of topics.
- ``subtopics`` (1): numbers that items and interests have in each topic. The main topic of an item
  is that in which these make the longest vector.
- ``embeddings`` ('few_topics'): items and users have a few topics each, as below; or 'diffuse',
  items have all topics, 0.4 times the absolute value of normal numbers, at most 1, times the
  topic's share, uniform numbers over their sum; or 'focused', these numbers to the power 1.5; and
  users all topics likewise, with the cubes of uniform numbers, so that a few count, and lengths in
  topics that sum to 1, also after drift.
- ``topics_per_item`` (2): an item has so many topics, or one more, in [1, num_topics].
- ``catalogue_seed`` (0): seed of the catalogue.
- ``topics_per_user`` (4): number of topics that users are interested in, give or take one, in
  [1, num_topics].
- ``time_budget`` (100): number of slates of an episode, above 0; infinity for episodes that do not
  end by themselves.
- ``relevance`` ('logistic'): the relevance of an item, the logistic function of
  ``relevance_slope * (score - relevance_offset)``; or 'threshold', 1 above ``relevance_offset`` and
  0 else.
- ``relevance_offset`` (0.65): see above.
- ``relevance_slope`` (100.0): see above, at least 0.
- ``attraction_factor`` (1.0): what the relevance is multiplied by, in [0, 1].
- ``same_topic_limit`` (4): with so many items of one main topic a slate is monotonous,
- ``same_topic_penalty`` (1.0): which divides the relevance of its items by this, at least 1.
- ``choice_model`` ('position_based'): how users click; or 'dependent_click', continuing after a
  click with probability ``continue_after_click``; or 'multi_click_cascade', which
  ``attention_prob`` and ``continue_after_skip`` belong to as well. See :mod:`recsim.choice_model`.
- ``examination_decay`` (0.85): of the position-based model, see above, in [0, 1].
- ``examination_order`` ('top_down'): of the same; or 'both_ends' for users half of whom go up.
- ``attention_prob`` (1.0): probability of a look at an item that is reached.
- ``continue_after_click`` (0.5): probability of continuing to the next item after a click.
- ``continue_after_skip`` (1.0): probability of continuing without one.
- ``interest_memory`` (1.0): share of the interests that stays at a click, in [0, 1].
- ``drift`` ('uniform'): what is added to interests in each topic: the mean over the items clicked
  and all topics, as in SARDINE's code; or 'topics', the mean over the items of each topic; or
  'each_click', each item clicked in turn, as in GeMS, in the order of the slate.
- ``boredom_threshold`` (5): number of recent clicks on a topic that bores.
- ``boredom_window`` (5): number of slates whose clicks count, and that boredom lasts.
- ``clicks_remembered`` (10): how many clicks count at most.
- ``boredom_effect`` ('all_topics'): bored users are interested in nothing; or 'bored_topics', not
  in what bores.
- ``bored_relevance_factor`` (1.0): what relevance is multiplied by for each topic that the user is
  bored of, in [0, 1].
- ``observe_user_state`` (False): whether the hidden state is observed.

**References.** Deffayet et al., "SARDINE: A Simulator for Automated Recommendation in Dynamic and
Interactive Environments", 2024. Its code is at https://github.com/naver/sardine. Deffayet et al.,
"Generative Slate Recommendation with Reinforcement Learning", WSDM 2023 (GeMS). Its settings are at
https://github.com/naver/gems.

The functions are the scenario's mathematics on arrays with any leading axes; the classes call
them for one user, or for many.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recsim import types
from recsim._internal import lazy, validation
from recsim.environments import _config
from recsim.environments.topic_boredom import _metrics
from recsim.environments.topic_boredom._catalogue import Catalogue, catalogue_of
from recsim.environments.topic_boredom._items import (
    BoredomDocument,
    BoredomDocumentSampler,
    BoredomResponse,
)
from recsim.environments.topic_boredom._metrics import (
    aggregate_boredom_metrics,
    write_boredom_metrics,
)
from recsim.environments.topic_boredom._parameters import VARIANTS, TopicBoredomParameters
from recsim.environments.topic_boredom._users import (
    BoredomUserModel,
    BoredomUserSampler,
    BoredomUserState,
)
from recsim.simulator import recsim_gym

if TYPE_CHECKING:
    from recsim.environments.topic_boredom._vectorized import (
        VectorBoredomDocuments,
        VectorBoredomDocumentSampler,
        VectorBoredomResponses,
        VectorBoredomUserModel,
        VectorBoredomUsers,
        boredom_metrics,
    )
    from recsim.vector import env as vector_env

__all__ = [
    "CONFIG_KEYS",
    "VARIANTS",
    "BoredomDocument",
    "BoredomDocumentSampler",
    "BoredomResponse",
    "BoredomUserModel",
    "BoredomUserSampler",
    "BoredomUserState",
    "Catalogue",
    "TopicBoredomParameters",
    "VectorBoredomDocumentSampler",
    "VectorBoredomDocuments",
    "VectorBoredomResponses",
    "VectorBoredomUserModel",
    "VectorBoredomUsers",
    "aggregate_boredom_metrics",
    "boredom_metrics",
    "catalogue_of",
    "create_environment",
    "create_vector_environment",
    "greedy_slates",
    "parameters_of",
    "total_clicks_reward",
    "write_boredom_metrics",
]

# What the vector engine needs loads at its first use.
__getattr__, __dir__ = lazy.lazy_submodules(
    __name__,
    (),
    {
        "VectorBoredomDocuments": "_vectorized",
        "VectorBoredomDocumentSampler": "_vectorized",
        "VectorBoredomResponses": "_vectorized",
        "VectorBoredomUserModel": "_vectorized",
        "VectorBoredomUsers": "_vectorized",
        "boredom_metrics": "_vectorized",
    },
)

#: The entries that a config may have beside those of every scenario: the parameters.
CONFIG_KEYS = _config.names_of(TopicBoredomParameters)


def total_clicks_reward(responses: Sequence[Any]) -> float:
    """Returns the number of clicks among the responses."""
    return float(sum(bool(response.clicked) for response in responses))


def greedy_slates(interests: np.ndarray, embedding: np.ndarray, slate_size: int) -> np.ndarray:
    """Returns the slates of the most relevant items: those of the greedy oracle.

    They bring the most clicks on this slate, whatever they cost later.

    Args:
        interests: users' interests as boredom leaves them, shape (..., num_topics): the first
            entries of what is observed of users with ``observe_user_state``.
        embedding: the candidates' topics, shape (..., num_candidates, num_topics), or of the last
            two axes alone where all users have the same.
        slate_size: number of items in a slate, at most num_candidates.

    Returns:
        Indices of candidates, shape (..., slate_size), the most relevant first; of candidates of
        one score, as all are to who is bored, the last comes first.

    Raises:
        TypeError, ValueError: for more items than there are, sizes that do not fit, or interests or
            topics that are not finite numbers.

    Example:
        >>> greedy_slates(np.array([0.6, 0.8]), np.array([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6]]), 2)
        array([2, 1])
    """
    interests, embedding = np.asarray(interests), np.asarray(embedding)
    if embedding.ndim < 2 or interests.ndim < 1 or interests.shape[-1] != embedding.shape[-1]:
        raise ValueError(
            "interests and embedding must have as many topics, shapes (..., num_topics) and (..., "
            f"num_candidates, num_topics), got {interests.shape} and {embedding.shape}."
        )
    slate_size = validation.positive_int("slate_size", slate_size)
    if slate_size > embedding.shape[-2]:
        raise ValueError(
            f"slate_size must be at most the number of candidates, {embedding.shape[-2]}, got "
            f"{slate_size}."
        )
    if embedding.ndim == 2:
        scores = interests @ embedding.T
    else:
        scores = (embedding @ interests[..., np.newaxis])[..., 0]
    if not np.isfinite(scores).all():
        validation.finite("interests", interests)
        validation.finite("embedding", embedding)
    order = scores.argsort(axis=-1, kind="stable")
    slates: np.ndarray = order[..., ::-1][..., :slate_size]
    return slates


def parameters_of(env_config: types.EnvConfig) -> TopicBoredomParameters:
    """Returns the scenario's parameters, which both engines read.

    Args:
        env_config: as :func:`create_environment` takes it.

    Raises:
        KeyError, TypeError, ValueError: for a config that gives no environment.
    """
    _config.check_config(env_config, CONFIG_KEYS, required=_config.REQUIRED_WITHOUT_SEED)
    parameters = _config.parameters_of(TopicBoredomParameters, env_config, {})
    if env_config["num_candidates"] > parameters.num_items:
        raise ValueError(
            "num_items must be at least num_candidates, for candidates are different items of the "
            f"catalogue, got num_items={parameters.num_items} and num_candidates="
            f"{env_config['num_candidates']}."
        )
    return parameters


def _response_class(parameters: TopicBoredomParameters) -> type[BoredomResponse]:
    return _config.with_constants(BoredomResponse, NUM_TOPICS=parameters.num_topics)


def _document_class(parameters: TopicBoredomParameters) -> type[BoredomDocument]:
    return _config.with_constants(
        BoredomDocument,
        NUM_TOPICS=parameters.num_topics,
        EMBEDDING_SIZE=parameters.embedding_size,
    )


def _metrics_writer(parameters: TopicBoredomParameters) -> Callable[..., None]:
    return functools.partial(_metrics.write_boredom_metrics, num_topics=parameters.num_topics)


def create_environment(env_config: types.EnvConfig) -> recsim_gym.RecSimGymEnv:
    """Creates the topic boredom environment.

    Args:
        env_config: a dictionary with ``num_candidates``, ``slate_size`` and
            ``resample_documents`` (whether each step has other items of the catalogue); ``seed`` (0
            where it is missing); and those attributes of :class:`TopicBoredomParameters` that are
            not the default ones. :data:`VARIANTS` has ready ones.

    Returns:
        A Gym environment whose reward is the number of clicks.

    Raises:
        KeyError, TypeError, ValueError: for a config that gives no environment.

    Example:
        >>> env = create_environment({**VARIANTS["rerank_bored"], "seed": 0})
        >>> observation = env.reset()
        >>> observation, reward, done, info = env.step(range(10))
        >>> reward == sum(response["click"] for response in observation["response"])
        True
    """
    parameters = parameters_of(env_config)
    seed = env_config.get("seed", 0)
    user_model = BoredomUserModel(
        parameters,
        env_config["slate_size"],
        response_model_ctor=_response_class(parameters),
        user_sampler=BoredomUserSampler(parameters, env_config["slate_size"], seed=seed),
    )
    sampler = BoredomDocumentSampler(parameters, _document_class(parameters), seed=seed)
    return recsim_gym.RecSimGymEnv(
        _config.single_user_environment(env_config, user_model, sampler),
        total_clicks_reward,
        aggregate_boredom_metrics,
        _metrics_writer(parameters),
    )


def create_vector_environment(
    env_config: types.EnvConfig, num_envs: int, **options: object
) -> vector_env.RecSimVectorEnv:
    """Creates the topic boredom environment for users in parallel.

    Args:
        env_config: as :func:`create_environment` takes it. Without ``resample_documents`` all
            users share the candidates, and keep them.
        num_envs: number of users.
        **options: ``candidates``, ``max_steps_per_episode``, ``first_user`` and ``dtype``, see
            :class:`recsim.vector.env.RecSimVectorEnv`.

    Returns:
        A Gymnasium vector environment whose rewards are the numbers of clicks.

    Raises:
        KeyError, TypeError, ValueError: for a config or an option that gives no environment.

    Example:
        >>> env = create_vector_environment({**VARIANTS["slate_bored"], "seed": 0}, 100)
        >>> observation, _ = env.reset()
        >>> slates = np.tile(np.arange(10), (100, 1))
        >>> observation, rewards, terminated, truncated, infos = env.step(slates)
        >>> observation["doc"]["embedding"].shape, rewards.max() <= 10
        ((100, 1000, 10), np.True_)
    """
    from recsim.environments.topic_boredom._vectorized import (
        VectorBoredomDocumentSampler,
        VectorBoredomUserModel,
        boredom_metrics,
    )
    from recsim.vector import env as vector_env
    from recsim.vector import scenario

    parameters = parameters_of(env_config)
    return vector_env.RecSimVectorEnv(
        VectorBoredomUserModel(
            parameters,
            env_config["slate_size"],
            BoredomUserState.space_of(parameters),
            _response_class(parameters).response_space(),
        ),
        VectorBoredomDocumentSampler(parameters, _document_class(parameters).observation_space()),
        num_envs=num_envs,
        reward_aggregator=scenario.total_clicks,
        metrics_aggregator=boredom_metrics,
        metrics_writer=_metrics_writer(parameters),
        **_config.vector_options(env_config, options),
    )
