"""What scenarios share: from a config to checked parameters, and to an environment's options."""

from __future__ import annotations

import copyreg
import dataclasses
import functools
import math
from abc import ABCMeta
from collections.abc import Callable, Collection, Hashable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from recsim import types, utils
from recsim._internal import bindings, keys, numbers, validation
from recsim.simulator import environment

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = [
    "ClassWithConstants",
    "check_class_constant",
    "check_config",
    "check_log_normal",
    "check_order",
    "class_constant",
    "field_values",
    "names_of",
    "normalize",
    "one_of",
    "parameters_of",
    "single_user_environment",
    "vector_dtype",
    "vector_options",
    "video_metrics_writer",
    "with_constants",
]

REQUIRED_WITHOUT_SEED = ("num_candidates", "slate_size", "resample_documents")
REQUIRED_KEYS = (*REQUIRED_WITHOUT_SEED, "seed")

# What may be said of a vector environment beside its config.
VECTOR_OPTIONS = (
    "action",
    "autoreset_mode",
    "candidates",
    "dtype",
    "first_user",
    "max_steps_per_episode",
    "observation",
    "seed",
)

# Larger logarithms may be infinite in single precision, and their differences no numbers.
_LARGEST_LOGARITHM = 1e30

Parameters = TypeVar("Parameters", bound="DataclassInstance")
T = TypeVar("T")


# From a config to parameters.


def check_config(
    env_config: types.EnvConfig,
    optional: Collection[str] = (),
    required: Collection[str] = REQUIRED_KEYS,
) -> None:
    """Checks that an environment's config has what it needs.

    Args:
        env_config: the config of ``create_environment``.
        optional: keys that the scenario knows and does not need.
        required: keys that it needs.

    Raises:
        TypeError: if the config is not a mapping, or a value is of the wrong type.
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


def parameters_of(
    kind: type[Parameters],
    env_config: types.EnvConfig,
    configurables: Mapping[type, Collection[str]],
    **constants: object,
) -> Parameters:
    """Returns the parameters of a scenario.

    What the config says comes first, then what gin binds, then a class's constant, then the
    default.

    Args:
        kind: the dataclass of the parameters.
        env_config: a config that was checked.
        configurables: the classes whose arguments gin may bind: the names of those that are
            parameters too.
        **constants: the constants of classes by the name of the parameter, see
            :func:`class_constant`.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    values = dict(constants)
    for configurable, names in configurables.items():
        free = [name for name in names if name not in env_config]
        values.update(bindings.taken(configurable, free, defaults))
    values.update({name: env_config[name] for name in defaults if name in env_config})
    return kind(**values)


def class_constant(
    of_class: type, constant: str, default: float, name: str, env_config: types.EnvConfig
) -> object:
    """Returns the value of a parameter that a class has as a constant too.

    Args:
        of_class: the class.
        constant: name of the constant.
        default: its value, where nobody sets it.
        name: name of the parameter.
        env_config: the config, which may have it.

    Raises:
        ValueError: if the config contradicts a constant that was set.
    """
    value = getattr(of_class, constant)
    if name not in env_config:
        return value
    given = env_config[name]
    if value != default and value != given:
        raise ValueError(
            f"env_config[{name!r}] must be {value!r}, as {of_class.__name__}.{constant} is, got "
            f"{numbers.described(given)}: leave out one of the two."
        )
    return given


def check_class_constant(
    constructor: object, base: type, constant: str, name: str, number: int, is_default: bool = False
) -> None:
    """Checks the constant of a class that a user derived from the library's.

    Args:
        constructor: the class, or a function that makes objects, which has no constant.
        base: the class of the library. What is set there is not looked at: it may be a left-over.
        constant: name of the constant, a number of topics.
        name: the argument that it must agree with.
        number: number of topics of the argument.
        is_default: whether the argument is the default. A class may have more topics then.

    Raises:
        ValueError: if the two differ.
    """
    value = getattr(constructor, constant, number)
    if not isinstance(constructor, type) or value in (number, getattr(base, constant)):
        return
    if not is_default or value < number:
        raise ValueError(
            f"{name} must be for the {value!r} topics of {constructor.__name__}.{constant}, got "
            f"{number}: leave out {constant}, or make the two equal."
        )


def normalize(parameters: object, **checks: Callable[[str, object], object]) -> None:
    """Replaces fields of a frozen dataclass by what checks return of them.

    Args:
        parameters: the dataclass, while it is being made.
        **checks: functions of a field's name and value, by the name of the field.
    """
    for name, check in checks.items():
        object.__setattr__(parameters, name, check(name, getattr(parameters, name)))


def names_of(kind: type[DataclassInstance]) -> tuple[str, ...]:
    """Returns the names of the fields of a dataclass."""
    return tuple(field.name for field in dataclasses.fields(kind))


def field_values(kind: type[DataclassInstance], parameters: object) -> dict[str, Any]:
    """Returns those parameters that are fields of a dataclass, by name."""
    return {name: getattr(parameters, name) for name in names_of(kind)}


def one_of(*known: str) -> Callable[[str, object], str]:
    """Returns a check of a parameter that is one of some names."""
    return functools.partial(_name, known)


def _name(known: tuple[str, ...], name: str, value: object) -> str:
    if not isinstance(value, str) or value not in known:
        raise ValueError(
            f"env_config[{name!r}] must be one of {', '.join(map(repr, known))}, got "
            f"{numbers.described(value)}.{validation.nearest_name(str(value), known)}"
        )
    return value


def check_order(parameters: object, low: str, high: str) -> None:
    """Raises ValueError if one parameter is above another one."""
    bounds = getattr(parameters, low), getattr(parameters, high)
    if bounds[0] > bounds[1]:
        raise ValueError(f"{low} must be at most {high}, got {bounds[0]!r} and {bounds[1]!r}.")


def check_log_normal(
    mean_name: str,
    mean: ArrayLike,
    stddev_name: str,
    stddev: ArrayLike,
    dtype: DTypeLike = np.float64,
) -> None:
    """Raises ValueError for log-normal numbers that a float may be too small for.

    Args:
        mean_name: the name of the means, for errors.
        mean: means of the logarithms, numbers or an array.
        stddev_name: the name of the standard deviations.
        stddev: standard deviations of the logarithms, of the same shape.
        dtype: the numbers' dtype, float32 or float64.
    """
    if (np.maximum(np.abs(mean), stddev) > _LARGEST_LOGARITHM).any():
        raise ValueError(
            f"{mean_name} and {stddev_name} must be at most {_LARGEST_LOGARITHM:g} in size, got "
            f"{numbers.described(mean)} and {numbers.described(stddev)}."
        )
    # Twice such a number is finite too. Of 10**18 normal numbers one is beyond 9.
    largest = math.log(np.finfo(np.dtype(dtype)).max / 2.0)
    if (np.add(mean, np.multiply(9.0, stddev)) > largest).any():
        raise ValueError(
            f"{mean_name} + 9 * {stddev_name} must be at most {largest:.0f}, for exp of it must "
            f"be a finite {np.dtype(dtype)}, got {mean_name}={numbers.described(mean)} and "
            f"{stddev_name}={numbers.described(stddev)}."
        )


# From parameters to environments.


def single_user_environment(
    env_config: types.EnvConfig,
    user_model: types.UserModel,
    document_sampler: types.DocumentSampler,
) -> environment.SingleUserEnvironment:
    """Returns an environment with one user, of the sizes of a config that was checked."""
    return environment.SingleUserEnvironment(
        user_model,
        document_sampler,
        env_config["num_candidates"],
        env_config["slate_size"],
        resample_documents=env_config["resample_documents"],
    )


def video_metrics_writer(num_topics: int) -> Callable[..., None]:
    """Returns the writer of the metrics of clicks by topic, which reports every topic."""
    return functools.partial(utils.write_video_cluster_metrics, num_topics=num_topics)


def vector_dtype(options: Mapping[str, object]) -> np.dtype:
    """Returns the dtype that the options of a vector environment ask for; float32 if it is odd."""
    try:
        dtype = np.dtype(cast(DTypeLike, options.get("dtype", np.float32)))
    except TypeError:
        dtype = np.dtype(np.float32)
    return dtype if dtype.kind == "f" else np.dtype(np.float32)


def vector_options(env_config: types.EnvConfig, options: Mapping[str, object]) -> dict[str, Any]:
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


# Classes of environments whose spaces depend on the parameters.


class ClassWithConstants(ABCMeta):
    """The metaclass of documents, users and responses whose space depends on the parameters.

    Each environment uses a subclass with its own numbers (see :func:`with_constants`), so that
    environments of different sizes live side by side; pickle rebuilds such a class by its base.
    """

    #: The class and the constants that :func:`with_constants` made this class of, if it did.
    made_from: tuple[type, tuple[tuple[str, object], ...]] | None = None


@functools.cache
def _subclass(base: Hashable, constants: tuple[tuple[str, object], ...]) -> type:
    base_class = cast(type, base)
    attributes = {
        "__module__": base_class.__module__,
        "__doc__": base_class.__doc__,
        "made_from": (base_class, constants),
        **dict(constants),
    }
    return type(base_class)(base_class.__name__, (base_class,), attributes)


def with_constants(base: type[T], **constants: object) -> type[T]:
    """Returns a subclass of ``base`` (the same one each time) with these class constants.

    It is ``base`` itself where that has these constants.
    """
    if all(getattr(base, name) == value for name, value in constants.items()):
        return base
    return cast(type[T], _subclass(cast(Hashable, base), tuple(sorted(constants.items()))))


def _reduce_class(cls: ClassWithConstants) -> str | tuple[Callable[..., Any], tuple[Any, ...]]:
    made_from = vars(cls).get("made_from")
    return cls.__qualname__ if made_from is None else (_subclass, made_from)


copyreg.pickle(ClassWithConstants, _reduce_class)
