"""What the scenarios' ``create_environment`` functions share: checking and using a config."""

from __future__ import annotations

import copyreg
import functools
import math
from abc import ABCMeta
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import numpy as np

from recsim import utils
from recsim._internal import keys, numbers, validation
from recsim.simulator import environment

__all__ = [
    "ClassWithConstants",
    "check_config",
    "check_log_normal",
    "chosen",
    "single_user_world",
    "vector_dtype",
    "vector_options",
    "video_metrics_writer",
    "with_constants",
]

REQUIRED_WITHOUT_SEED = ("num_candidates", "slate_size", "resample_documents")
REQUIRED_KEYS = (*REQUIRED_WITHOUT_SEED, "seed")

# What may be said of a vector environment beside its config.
VECTOR_OPTIONS = ("candidates", "dtype", "first_user", "max_steps_per_episode", "seed")

T = TypeVar("T")


def check_config(
    env_config: Mapping[str, Any],
    optional: Collection[str] = (),
    required: Collection[str] = REQUIRED_KEYS,
) -> None:
    """Checks that an environment's config has what it needs.

    Args:
        env_config: the config of ``create_environment``.
        optional: keys that the scenario knows and does not need.
        required: keys that it needs.

    Raises:
        TypeError: if the config is no mapping, or a value is of the wrong type.
        KeyError: if a required key is missing.
        ValueError: if a size is below 1 or the seed is outside [0, 2**32 - 1].

    Warns:
        UserWarning: for a key that the scenario does not know, naming the nearest that it does.
    """
    if not isinstance(env_config, Mapping):
        raise TypeError(f"env_config must be a dictionary, got {env_config!r}.")
    missing = [key for key in required if key not in env_config]
    if missing:
        raise KeyError(
            f"env_config misses {', '.join(map(repr, missing))}; it needs the keys "
            f"{', '.join(map(repr, required))}."
        )
    validation.positive_int("env_config['num_candidates']", env_config["num_candidates"])
    validation.positive_int("env_config['slate_size']", env_config["slate_size"])
    if not isinstance(env_config["resample_documents"], (bool, int, np.bool_)):
        raise TypeError(
            "env_config['resample_documents'] must be True or False, got "
            f"{env_config['resample_documents']!r}."
        )
    seed = env_config.get("seed")
    if seed is not None and validation.positive_int("env_config['seed']", seed, 0) >= 2**32:
        raise ValueError(f"env_config['seed'] must be in [0, 2**32 - 1], got {seed}.")
    keys.warn_of_unknown("env_config", env_config, {*required, *REQUIRED_KEYS, *optional})


def check_log_normal(
    mean_name: str, mean: Any, stddev_name: str, stddev: Any, dtype: Any = np.float64
) -> None:
    """Raises ValueError for log-normal numbers that a float may be too small for.

    Args:
        mean_name: the name of the means, for errors.
        mean: means of the logarithms, numbers or an array.
        stddev_name: the name of the standard deviations.
        stddev: standard deviations of the logarithms, of the same shape.
        dtype: the numbers' dtype, float32 or float64.
    """
    # Twice such a number is finite too. Of 10**18 normal numbers one is beyond 9.
    largest = math.log(np.finfo(dtype).max / 2.0)
    if (np.add(mean, np.multiply(9.0, stddev)) > largest).any():
        raise ValueError(
            f"{mean_name} + 9 * {stddev_name} must be at most {largest:.0f}, for exp of it must "
            f"be a finite {np.dtype(dtype)}, got {mean_name}={numbers.described(mean)} and "
            f"{stddev_name}={numbers.described(stddev)}."
        )


def vector_dtype(options: Mapping[str, Any]) -> np.dtype:
    """Returns the dtype that the options of a vector environment ask for; float32 if it is odd."""
    try:
        dtype = np.dtype(options.get("dtype", np.float32))
    except TypeError:
        dtype = np.dtype(np.float32)
    return dtype if dtype.kind == "f" else np.dtype(np.float32)


def chosen(env_config: Mapping[str, T], keys: Collection[str]) -> dict[str, T]:
    """Returns the part of a config with the given keys, where they are present."""
    return {key: env_config[key] for key in keys if key in env_config}


def single_user_world(
    env_config: Mapping[str, Any], user_model: Any, document_sampler: Any
) -> environment.SingleUserEnvironment:
    """Returns a world with one user, of the sizes of a config that was checked."""
    return environment.SingleUserEnvironment(
        user_model,
        document_sampler,
        env_config["num_candidates"],
        env_config["slate_size"],
        resample_documents=env_config["resample_documents"],
    )


def video_metrics_writer(user_model: Any) -> Callable[..., None]:
    """Returns the writer of the metrics of clicks by topic, which reports every topic.

    Args:
        user_model: a user model whose responses have a ``cluster_id`` out of a Discrete space.
    """
    space: Any = user_model._response_model_ctor.response_space()
    num_topics = int(space["cluster_id"].n)
    return functools.partial(utils.write_video_cluster_metrics, num_topics=num_topics)


def vector_options(env_config: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options of a vector environment: those of its config, and those given.

    Args:
        env_config: a config that was checked.
        options: further keyword arguments of :class:`recsim.vector.env.RecSimVectorEnv`.

    Raises:
        TypeError: for an option that is not known, naming the nearest.
    """
    keys.refuse_unknown("create_vector_environment", options, VECTOR_OPTIONS)
    return {
        "num_candidates": env_config["num_candidates"],
        "slate_size": env_config["slate_size"],
        "candidates": "step" if env_config["resample_documents"] else "shared",
        "seed": env_config.get("seed", 0),
        **options,
    }


class ClassWithConstants(ABCMeta):
    """The metaclass of documents and responses whose space depends on a number of topics.

    Each environment uses a subclass of its own number (see :func:`with_constants`), so that
    environments of different sizes live side by side; pickle rebuilds such a class by its base.
    """


@functools.cache
def _subclass(base: type, constants: tuple[tuple[str, Any], ...]) -> type:
    attributes = {"__module__": base.__module__, "__doc__": base.__doc__, **dict(constants)}
    subclass = type(base)(base.__name__, (base,), attributes)
    subclass._made_from = (base, constants)  # type: ignore[attr-defined]
    return subclass


def with_constants(base: type[T], **constants: Any) -> type[T]:
    """Returns a subclass of ``base`` (the same one each time) with these class constants."""
    return _subclass(base, tuple(sorted(constants.items())))  # type: ignore[arg-type]


def _reduce_class(cls: type) -> str | tuple[Any, ...]:
    made_from = vars(cls).get("_made_from")
    return cls.__qualname__ if made_from is None else (_subclass, made_from)


copyreg.pickle(ClassWithConstants, _reduce_class)
