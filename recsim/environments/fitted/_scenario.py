"""A fitted scenario with what is asked of it: what both engines read."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import special

from recsim import spaces as spaces_lib
from recsim import types
from recsim._internal import numbers, validation
from recsim._internal.gym_import import spaces
from recsim.environments import _config
from recsim.environments.fitted import _dynamics, _folder, _sampling
from recsim.environments.fitted._parameters import FittedParameters

__all__ = ["FittedOptions", "FittedScenario", "average_scores", "odds_of_quality", "scenario_of"]

#: Number of slates of an episode where neither log nor config says how long sessions last.
DEFAULT_TIME_BUDGET = 100

_CHOICES = {
    "candidate_sampling": ("uniform", "popularity"),
    "users": ("sampled", "each"),
    "observe": ("features", "factors", "items"),
    "reward": ("clicks", "values"),
}
_MOST_STEPS = 10**9
# Odds beyond these say nothing more, and their logarithms are finite in single precision.
_LEAST_QUALITY, _MOST_QUALITY = 1e-30, 0.999999


@dataclasses.dataclass(frozen=True, kw_only=True)
class FittedOptions:
    """What is asked of a fitted scenario, see :mod:`recsim.environments.fitted`.

    ``content`` is the SHA-256 of the scenario.
    """

    content: str
    candidate_sampling: str = "uniform"
    users: str = "sampled"
    observe: str = "features"
    observe_user_state: bool = False
    reward: str = "clicks"
    time_budget: int | None = None

    def __post_init__(self) -> None:
        """Checks the values."""
        for name, known in _CHOICES.items():
            value = getattr(self, name)
            if not isinstance(value, str) or value not in known:
                raise ValueError(
                    f"env_config[{name!r}] must be one of {', '.join(map(repr, known))}, got "
                    f"{numbers.described(value)}.{validation.nearest_name(str(value), known)}"
                )
        flag = self.observe_user_state
        if not isinstance(flag, (bool, np.bool_)):
            raise TypeError(
                f"env_config['observe_user_state'] must be True or False, got "
                f"{numbers.described(flag)}."
            )
        object.__setattr__(self, "observe_user_state", bool(flag))
        if self.time_budget is not None:
            steps = validation.positive_int(
                "env_config['time_budget']", self.time_budget, 1, _MOST_STEPS
            )
            object.__setattr__(self, "time_budget", steps)


#: The entries that a config may have beside those of every scenario.
CONFIG_KEYS = ("path", "fitted", *_config.names_of(FittedOptions)[1:])


class FittedScenario:
    """A fitted scenario with what is asked of it.

    Nothing of it changes: copies of environments share it.

    Args:
        fitted: what was fitted.
        options: what is asked of it.
        slate_size: number of items in a slate.
    """

    def __init__(self, fitted: FittedParameters, options: FittedOptions, slate_size: int) -> None:
        self.fitted = fitted
        self.options = options
        self.slate_size = slate_size
        #: Number of topics; 1 where the log has none.
        self.num_topics = max(1, fitted.num_topics)
        self.topics = np.zeros(fitted.num_items, np.int32)
        if fitted.item_topics is not None:
            self.topics = fitted.item_topics
        average = fitted.user_weights @ fitted.user_factors
        utility = fitted.item_utilities + fitted.item_factors @ average
        utility = utility + float(fitted.user_weights @ fitted.user_utilities)
        #: How likely the average user clicks an item that he looks at.
        self.quality = special.expit(utility)
        #: The slates of the longest episodes.
        self.most_steps = DEFAULT_TIME_BUDGET
        if fitted.session is not None:
            self.most_steps = fitted.session.max_steps
        if options.time_budget is not None:
            limit = options.time_budget
            self.most_steps = limit if fitted.session is None else min(limit, self.most_steps)
        self._columns = self._document_columns()

    def __deepcopy__(self, memo: dict[int, object]) -> FittedScenario:
        """Returns itself."""
        return self

    def _document_columns(self) -> dict[str, np.ndarray]:
        """Returns what is observed of the items, by name, with the items on axis 0."""
        fitted, observe = self.fitted, self.options.observe
        columns = {
            "cluster_id": self.topics,
            "popularity": fitted.item_popularity,
            "quality": self.quality,
        }
        if fitted.item_features.shape[1]:
            columns["features"] = fitted.item_features.astype(np.float64)
        if observe == "factors":
            columns["factors"] = fitted.item_factors
        if observe == "items":
            columns["item"] = np.arange(fitted.num_items, dtype=np.int32)
        return dict(sorted(columns.items()))

    @property
    def document_columns(self) -> Mapping[str, np.ndarray]:
        """What is observed of the items, by name, with the items on axis 0."""
        return self._columns

    def document_space(self) -> spaces.Dict:
        """Returns the space of an item's observation."""
        entries: dict[str, spaces.Space[Any]] = {}
        for name, column in self._columns.items():
            if name == "cluster_id":
                entries[name] = spaces.Discrete(self.num_topics)
            elif name == "item":
                entries[name] = spaces.Discrete(self.fitted.num_items)
            elif name in ("popularity", "quality"):
                entries[name] = spaces.Box(0.0, 1.0, (), np.float32)
            else:
                entries[name] = _box_around(column)
        return spaces.Dict(entries)

    def user_space(self) -> spaces.Dict:
        """Returns the space of a user's observation."""
        fitted, size = self.fitted, (self.num_topics,)
        entries = {"clicks": spaces.Box(0.0, float(self.slate_size), size, np.float32)}
        if fitted.user_features.shape[1]:
            entries["features"] = _box_around(fitted.user_features)
        if self.options.observe_user_state:
            entries["utility"] = _box_around(fitted.user_utilities)
            if fitted.num_factors:
                everything = np.concatenate([fitted.user_factors, fitted.item_factors])
                entries["factors"] = _box_around(everything)
            if fitted.fatigue:
                left = 1.0 - fitted.fatigue_memory
                most = min(self.most_steps, np.inf if left == 0.0 else 1.0 / left)
                high = float(np.nextafter(np.float32(self.slate_size * most), np.float32(np.inf)))
                entries["fatigue"] = spaces.Box(0.0, high, size, np.float32)
        return spaces.Dict(dict(sorted(entries.items())))

    def observed_user(
        self, user: np.ndarray, state: Mapping[str, np.ndarray], dtype: np.dtype
    ) -> dict[str, np.ndarray]:
        """Returns what is observed of users, arrays of shape (..., number of entries) by name.

        Args:
            user: indices of fitted users, shape (...).
            state: ``clicks``, ``time``, ``factors`` and ``fatigue`` as
                :class:`FittedUserState` has them, with leading axes (...).
            dtype: dtype of the numbers.
        """
        fitted = self.fitted
        slates = np.maximum(state["time"], 1)[..., np.newaxis]
        observed = {"clicks": np.divide(state["clicks"], slates, dtype=dtype)}
        if fitted.user_features.shape[1]:
            observed["features"] = fitted.user_features[user].astype(dtype)
        if self.options.observe_user_state:
            observed["utility"] = fitted.user_utilities[user].astype(dtype)
            if fitted.num_factors:
                observed["factors"] = np.array(state["factors"], dtype)
            if fitted.fatigue:
                observed["fatigue"] = np.array(state["fatigue"], dtype)
        return dict(sorted(observed.items()))

    def response_space(self) -> spaces.Dict:
        """Returns the space of the observation of a response."""
        entries = {
            "click": spaces.Discrete(2),
            "cluster_id": spaces.Discrete(self.num_topics),
            "quality": spaces.Box(0.0, 1.0, (), np.float32),
        }
        values = self.fitted.values
        if values is not None:
            entries["value"] = _box_around(np.array([0.0, values.low, values.high]))
        return spaces.Dict(entries)

    @functools.cached_property
    def index_of_items(self) -> Mapping[str, int]:
        """The indices of the items by their IDs."""
        return {item_id: index for index, item_id in enumerate(self.fitted.item_ids)}

    @functools.cached_property
    def cumulative_weights(self) -> np.ndarray:
        """The cumulative probabilities of the users."""
        return _cumulative(self.fitted.user_weights)

    @functools.cached_property
    def popularity_sampler(self) -> _sampling.PopularitySampler:
        """Samples different items by popularity."""
        return _sampling.PopularitySampler(self.fitted.item_popularity)

    @property
    def slate_q_settings(self) -> dict[str, object]:
        """How SlateQ scores documents: by the odds of a click of the average user, no click by 1.

        Rewards are those of the environment.
        """
        start = 0
        for name, space in self.document_space().spaces.items():
            if name == "quality":
                break
            start += spaces_lib.flat_size(space)
        return {
            "reward_field": None,
            "score_documents_fn": functools.partial(odds_of_quality, start),
        }


def average_scores(documents: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the average user's utilities of observed documents, which have ``quality``."""
    quality = np.clip(documents["quality"], _LEAST_QUALITY, _MOST_QUALITY)
    return _dynamics.logit(quality)


def odds_of_quality(
    entry: int, users: np.ndarray, documents: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns choice weights of documents, and of no click, from their quality.

    Args:
        entry: which of the features of documents is the quality.
        users: features of users, shape (..., user_size).
        documents: features of documents, shape (..., num_documents, doc_size).

    Returns:
        Weights of shape (..., num_documents), and of shape (...).
    """
    quality = np.clip(documents[..., entry], 0.0, _MOST_QUALITY)
    return quality / (1.0 - quality), np.ones(users.shape[:-1], documents.dtype)


def _cumulative(shares: np.ndarray) -> np.ndarray:
    cumulative = np.cumsum(shares)
    cumulative /= cumulative[-1]
    return cumulative


def _box_around(values: np.ndarray) -> spaces.Box:
    """Returns the smallest space of rows of values, or of the values of a vector."""
    low, high = values.min(axis=0), values.max(axis=0)
    # Single precision may round into the space.
    low = np.nextafter(low.astype(np.float32), np.float32(-np.inf))
    high = np.nextafter(high.astype(np.float32), np.float32(np.inf))
    return spaces.Box(low, high, np.shape(low), np.float32)


def scenario_of(env_config: types.EnvConfig) -> FittedScenario:
    """Returns the scenario of a config.

    Args:
        env_config: as :func:`recsim.environments.fitted.create_environment` takes it.

    Raises:
        KeyError, TypeError, ValueError: for a config that gives no environment.
        FileNotFoundError: if its ``path`` is not the folder of a fitted scenario.
    """
    _config.check_config(env_config, CONFIG_KEYS, required=_config.REQUIRED_WITHOUT_SEED)
    fitted = _fitted_of(env_config)
    given = {
        name: env_config[name]
        for name in _config.names_of(FittedOptions)
        if name in env_config and name != "content"
    }
    options = FittedOptions(content=fitted.sha256, **given)
    num_candidates, slate_size = env_config["num_candidates"], env_config["slate_size"]
    if num_candidates > fitted.num_items:
        raise ValueError(
            f"env_config['num_candidates'] must be at most {fitted.num_items}, the number of items "
            f"of the fitted scenario, got {num_candidates}."
        )
    if slate_size > fitted.max_slate_size:
        raise ValueError(
            f"env_config['slate_size'] must be at most {fitted.max_slate_size}, the longest slates "
            f"that the scenario was fitted to, got {slate_size}."
        )
    if options.candidate_sampling == "popularity":
        shown = int(np.count_nonzero(fitted.item_popularity))
        if num_candidates > shown:
            raise ValueError(
                f"env_config['num_candidates'] must be at most {shown} with candidate_sampling="
                f"'popularity', the number of items that are shown in the log, got "
                f"{num_candidates}."
            )
    if options.observe == "factors" and not fitted.num_factors:
        raise ValueError(
            "env_config['observe'] must not be 'factors', for the scenario was fitted without "
            "factors: leave it out."
        )
    if options.reward == "values" and fitted.values is None:
        raise ValueError(
            "env_config['reward'] must be 'clicks', for the scenario was fitted to clicks without "
            "values, got 'values'."
        )
    return FittedScenario(fitted, options, slate_size)


def _fitted_of(env_config: types.EnvConfig) -> FittedParameters:
    given = [name for name in ("path", "fitted") if env_config.get(name) is not None]
    if not given:
        raise KeyError(
            "env_config misses 'path', the folder of a fitted scenario (or 'fitted', its "
            "parameters)."
        )
    if len(given) > 1:
        raise ValueError("env_config must have 'path' or 'fitted', got both.")
    if given == ["fitted"]:
        fitted = env_config["fitted"]
        if not isinstance(fitted, FittedParameters):
            raise TypeError(
                f"env_config['fitted'] must be FittedParameters, got {numbers.described(fitted)}."
            )
        return fitted
    return _loaded(env_config["path"])


def _loaded(path: str | os.PathLike[str]) -> FittedParameters:
    """Returns what :func:`load` does, of an unchanged folder from memory."""
    try:
        stamps = tuple(
            (status.st_mtime_ns, status.st_size, status.st_ino)
            for status in (os.stat(os.path.join(path, name)) for name in _folder.FILES)
        )
        folder = os.path.realpath(path)
    except (OSError, TypeError, ValueError):
        return _folder.load(path)  # It says what is wrong.
    return _load_once(folder, stamps)


@functools.lru_cache(maxsize=4)
def _load_once(folder: str, stamps: tuple[tuple[int, int, int], ...]) -> FittedParameters:
    del stamps
    return _folder.load(folder)
