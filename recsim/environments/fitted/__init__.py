"""A scenario that was fitted to a log of what real users were shown and clicked.

**Description.** The catalogue, the users and all numbers come from a folder that ``recsim fit``
wrote, see :mod:`recsim.fitting`. A user has utilities of the items, made of an item's and a user's
level and of latent factors, and clicks by the click model that fits the log best: at most one item
or several, depending on the position. Factors may drift to what was clicked, topics may tire, and a
session ends by a hazard, each as the log has it.

**Observation space.** Of the user ``clicks``, the number of clicks a slate on each topic in this
session, and the ``features`` of the log, if there are some; with ``observe_user_state`` the hidden
state too: ``utility``, ``factors`` and ``fatigue``, as far as there are such. Of an item its
``features``, if there are some, its topic, ``cluster_id`` (0 where the log has no topics), its
``popularity``, the share of all impressions, and its ``quality``, the probability that the average
user clicks it when he looks at it; with ``observe='factors'`` its ``factors`` too, with
``observe='items'`` its index, ``item``. Of a response ``click``, ``cluster_id``, ``quality`` and,
where the log has values, the ``value`` of the click.

**Action space.** A slate of ``slate_size`` candidates, no longer than the slates of the log.

**Reward.** The number of clicks, or the sum of their values.

**Dynamics.** :class:`FittedParameters` has them.

**Episode end.** An episode is a session. It ends by the fitted hazard, and after ``time_budget``
slates at the latest.

**Parameters**, which are entries of ``env_config`` (with their defaults):

- ``path``: the folder. Or ``fitted``: the :class:`FittedParameters` themselves.
- ``candidate_sampling`` ('uniform'): which items are candidates: all equally likely; or
  'popularity', those that are shown more often in the log more often. Candidates are different
  items, and where there are as many as items, all of them in their order.
- ``users`` ('sampled'): who comes: fitted users by their weights; or 'each': in the single-user
  engine all of them in their order, and in the vector engine the user of number n is the fitted
  user n, at each of his episodes. With as many episodes, or users in parallel, as were fitted, each
  is there exactly once.
- ``observe`` ('features'): what is observed of items: see above; or 'factors', or 'items'.
- ``observe_user_state`` (False): whether the hidden state is observed.
- ``reward`` ('clicks'): what is rewarded; or 'values'.
- ``time_budget`` (None): the most slates of an episode; None for those of the fitted sessions, and
  100 where the log does not say how long sessions last.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from recsim import types, utils
from recsim._internal import lazy
from recsim.environments import _config
from recsim.environments.fitted._folder import ScenarioFolderError, load, save
from recsim.environments.fitted._items import (
    FittedDocument,
    FittedDocumentSampler,
    FittedResponse,
)
from recsim.environments.fitted._parameters import (
    CLICK_MODELS,
    ClickModel,
    FittedParameters,
    SessionModel,
    ValueModel,
)
from recsim.environments.fitted._scenario import (
    CONFIG_KEYS,
    FittedOptions,
    FittedScenario,
    scenario_of,
)
from recsim.environments.fitted._users import (
    AverageUser,
    FittedUserModel,
    FittedUserSampler,
    FittedUserState,
)
from recsim.simulator import recsim_gym

if TYPE_CHECKING:
    from recsim.environments.fitted._vectorized import (
        VectorFittedDocuments,
        VectorFittedDocumentSampler,
        VectorFittedResponses,
        VectorFittedUserModel,
        VectorFittedUsers,
    )
    from recsim.vector import env as vector_env

__all__ = [
    "CLICK_MODELS",
    "CONFIG_KEYS",
    "AverageUser",
    "ClickModel",
    "FittedDocument",
    "FittedDocumentSampler",
    "FittedOptions",
    "FittedParameters",
    "FittedResponse",
    "FittedScenario",
    "FittedUserModel",
    "FittedUserSampler",
    "FittedUserState",
    "ScenarioFolderError",
    "SessionModel",
    "ValueModel",
    "VectorFittedDocumentSampler",
    "VectorFittedDocuments",
    "VectorFittedResponses",
    "VectorFittedUserModel",
    "VectorFittedUsers",
    "create_environment",
    "create_vector_environment",
    "load",
    "save",
    "scenario_of",
    "total_clicks_reward",
    "total_values_reward",
]

# What the vector engine needs loads at its first use.
__getattr__, __dir__ = lazy.lazy_submodules(
    __name__,
    (),
    {
        "VectorFittedDocuments": "_vectorized",
        "VectorFittedDocumentSampler": "_vectorized",
        "VectorFittedResponses": "_vectorized",
        "VectorFittedUserModel": "_vectorized",
        "VectorFittedUsers": "_vectorized",
    },
)


def total_clicks_reward(responses: Sequence[Any]) -> float:
    """Returns the number of clicks among the responses."""
    return float(sum(bool(response.clicked) for response in responses))


def total_values_reward(responses: Sequence[Any]) -> float:
    """Returns the sum of the values of the clicks among the responses."""
    return float(sum(response.value for response in responses))


def _metrics_writer(scenario: FittedScenario) -> Callable[..., None]:
    return functools.partial(utils.write_video_cluster_metrics, num_topics=scenario.num_topics)


def create_environment(env_config: types.EnvConfig) -> recsim_gym.RecSimGymEnv:
    """Creates the environment of a fitted scenario.

    Args:
        env_config: a dictionary with ``path``, ``num_candidates``, ``slate_size`` and
            ``resample_documents`` (whether each step has other candidates); ``seed`` (0 where it is
            missing); and further parameters as :mod:`recsim.environments.fitted` lists them.

    Returns:
        A Gym environment whose reward is the number of clicks, or their value.

    Raises:
        FileNotFoundError: if there is no scenario in the folder.
        KeyError, TypeError, ValueError: for a config that gives no environment.

    Example:
        >>> fitted = FittedParameters(
        ...     item_ids=("tea", "coffee", "milk"),
        ...     item_utilities=[-1.0, 0.5, 0.0],
        ...     item_popularity=[0.4, 0.4, 0.2],
        ...     click_models=(ClickModel("cascade", [0.0, 0.0], [1.0, 1.0]),),
        ... )
        >>> env = create_environment({"fitted": fitted, "num_candidates": 3, "slate_size": 2,
        ...                           "resample_documents": True, "seed": 0})
        >>> observation = env.reset()
        >>> list(observation["doc"])
        ['tea', 'coffee', 'milk']
        >>> observation, reward, done, info = env.step([1, 0])
        >>> reward == sum(response["click"] for response in observation["response"])
        True
    """
    scenario = scenario_of(env_config)
    seed = env_config.get("seed", 0)
    user_model = FittedUserModel(scenario, FittedUserSampler(scenario, seed))
    values = scenario.options.reward == "values"
    return recsim_gym.RecSimGymEnv(
        _config.single_user_environment(
            env_config, user_model, FittedDocumentSampler(scenario, seed)
        ),
        total_values_reward if values else total_clicks_reward,
        utils.aggregate_video_cluster_metrics,
        _metrics_writer(scenario),
    )


def create_vector_environment(
    env_config: types.EnvConfig, num_envs: int, **options: object
) -> vector_env.RecSimVectorEnv:
    """Creates the environment of a fitted scenario for users in parallel.

    Args:
        env_config: as :func:`create_environment` takes it. Without ``resample_documents`` all
            users share the candidates, and keep them.
        num_envs: number of users.
        **options: ``candidates``, ``max_steps_per_episode``, ``first_user`` and ``dtype``, see
            :class:`recsim.vector.env.RecSimVectorEnv`.

    Returns:
        A Gymnasium vector environment whose rewards are the numbers of clicks, or their values.

    Raises:
        FileNotFoundError: if there is no scenario in the folder.
        KeyError, TypeError, ValueError: for a config or an option that gives no environment.
    """
    from recsim.environments.fitted import _vectorized
    from recsim.vector import env as vector_env
    from recsim.vector import scenario as scenario_lib

    scenario = scenario_of(env_config)
    dtype = _config.vector_dtype(options)
    values = scenario.options.reward == "values"
    return vector_env.RecSimVectorEnv(
        _vectorized.VectorFittedUserModel(scenario, dtype),
        _vectorized.VectorFittedDocumentSampler(scenario, dtype),
        num_envs=num_envs,
        reward_aggregator=_vectorized.total_values if values else scenario_lib.total_clicks,
        metrics_aggregator=utils.video_cluster_metrics,
        metrics_writer=_metrics_writer(scenario),
        **_config.vector_options(env_config, options),
    )
