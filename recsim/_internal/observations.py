"""Entries of observations, and spaces of them, told apart from what is not an observation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recsim._internal import numbers

__all__ = [
    "check_space",
    "clicked",
    "clicks",
    "clicks_of_users",
    "entry",
    "fields_of_document",
    "fields_of_response",
    "final_batch",
    "last_responses",
    "of_response",
    "spaces_of_documents",
    "spaces_of_responses",
    "without_entry",
]


def without_entry(observation: object, key: str) -> Exception:
    """Returns the error for an observation that has no entry 'user', 'doc' or 'response'."""
    if isinstance(observation, Mapping):
        return ValueError(
            f"observation must have the key {key!r}, as the environment's have, got the keys "
            f"{numbers.described(sorted(map(str, observation)))}."
        )
    return TypeError(
        "observation must be a dictionary as the environment returns it, got "
        f"{numbers.described(observation)}."
    )


def entry(observation: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401  # As observed.
    """Returns an entry of an environment's observation.

    Raises:
        TypeError, ValueError: see :func:`without_entry`.
    """
    try:
        return observation[key]
    except (IndexError, KeyError, TypeError):
        raise without_entry(observation, key) from None


def clicks(responses: Sequence[Mapping[str, Any]], slate_size: int) -> list[bool]:
    """Returns which documents of one user's slate were clicked.

    Args:
        responses: the responses to the slate, ``observation['response']``.
        slate_size: number of documents of the slate.

    Raises:
        TypeError: if a click is not a number.
        ValueError: if they are not responses, or of another number, one has no click, or one is
            neither 0 nor 1.
    """
    if not isinstance(responses, (list, tuple)) or len(responses) != slate_size:
        raise ValueError(
            f"observation['response'] must have a response to each of the {slate_size} "
            f"documents of the slate, got {numbers.described(responses)}."
        )
    return [clicked(response) for response in responses]


def of_response(response: Mapping[str, Any], key: str) -> object:
    """Returns an entry of a response, or of users' responses; ValueError if it has none."""
    try:
        return response[key]
    except (IndexError, KeyError, TypeError):
        raise ValueError(
            f"a response must have the key {key!r}, got {numbers.described(response)}."
        ) from None


def clicked(response: Mapping[str, Any]) -> bool:
    """Says whether the document of a response was clicked.

    Raises:
        TypeError: if the click is not a number.
        ValueError: if it is not a response, has no click, or one that is neither 0 nor 1.
    """
    click = of_response(response, "click")
    if type(click) is not int:
        click = numbers.finite("a response's click", click)
    if click not in (0, 1):
        raise ValueError(f"a response's click must be 0 or 1, got {numbers.described(click)}.")
    return click == 1


def clicks_of_users(responses: Mapping[str, Any], shape: tuple[int, int]) -> np.ndarray:
    """Returns what :func:`clicks` does, for users in parallel.

    Args:
        responses: the responses to their slates, whose clicks are of the shape.
        shape: numbers of users, and of documents of a slate.
    """
    values = numbers.finite_per_item("responses' click", of_response(responses, "click"), 2)
    if values.shape != shape:
        raise ValueError(
            "observation['response']['click'] must have a number for each document of each slate, "
            f"shape {shape}, got shape {values.shape}."
        )
    clicked: np.ndarray = values == 1
    if not (clicked | (values == 0)).all():
        wrong = values[~clicked & (values != 0)][0]
        raise ValueError(f"responses' click must be 0 or 1, got {wrong}.")
    return clicked


def check_space(space: object, *keys: str) -> None:
    """Raises TypeError if a space is not a Dict space of observations with some entries."""
    entries = getattr(space, "spaces", None)
    if not isinstance(entries, Mapping) or not set(keys) <= set(entries):
        raise TypeError(
            f"observation_space must be a Dict space with {' and '.join(map(repr, keys))} "
            f"(environment.observation_space), got {numbers.described(space)}."
        )


def spaces_of_documents(space: object) -> Mapping[str, Any]:
    """Returns the spaces of documents, by their keys.

    Args:
        space: the entry 'doc' of a space of observations.

    Raises:
        TypeError: if it is not a Dict space of documents.
    """
    documents = getattr(space, "spaces", None)
    if not isinstance(documents, Mapping) or not documents:
        raise TypeError(
            "observation_space['doc'] must be a Dict space with an entry for each document, got "
            f"{numbers.described(space)}."
        )
    return documents


def spaces_of_responses(space: object) -> Sequence[Any]:
    """Returns the spaces of responses.

    Args:
        space: the entry 'response' of a space of observations.

    Raises:
        TypeError: if it is not a Tuple space of responses.
    """
    responses = getattr(space, "spaces", None)
    if not isinstance(responses, (list, tuple)) or not responses:
        raise TypeError(
            "observation_space['response'] must be a Tuple space with an entry for each document "
            f"of a slate, got {numbers.described(space)}."
        )
    return responses


def fields_of_document(space: object, *names: str) -> Mapping[str, Any]:
    """Returns the spaces of what is observed of a document, by name.

    Args:
        space: the entry 'doc' of a space of observations.
        *names: the entries that are needed, for the error.

    Raises:
        TypeError: if it is not a Dict space of documents.
        ValueError: if these are not Dict spaces.
    """
    return _fields("doc", next(iter(spaces_of_documents(space).values())), names)


def fields_of_response(space: object, *names: str) -> Mapping[str, Any]:
    """Returns the spaces of what is observed of a response, by name.

    Args:
        space: the entry 'response' of a space of observations.
        *names: the entries that are needed, for the error.

    Raises:
        TypeError: if it is not a Tuple space of responses.
        ValueError: if these are not Dict spaces.
    """
    return _fields("response", spaces_of_responses(space)[0], names)


def _list(names: Sequence[str]) -> str:
    return f" ({', '.join(names)})" if names else ""


def _fields(key: str, space: object, names: Sequence[str]) -> Mapping[str, Any]:
    fields = getattr(space, "spaces", None)
    if not isinstance(fields, Mapping):
        raise ValueError(
            f"What observation_space[{key!r}] holds must be Dict spaces, whose entries the agent "
            f"reads by name{_list(names)}, got {numbers.described(space)}."
        )
    return fields


def last_responses(observation: Mapping[str, Any], infos: Mapping[str, Any]) -> Any:  # noqa: ANN401  # As observed.
    """Returns the responses to the last slates, also where an episode ended with them.

    Args:
        observation: an observation of the ``step`` of a vector environment.
        infos: the infos that came with it.

    Returns:
        Arrays of shape (n_users, slate_size, …), as in ``observation['response']``.

    Raises:
        TypeError: if they are not of one of this library's environments.
    """
    if "final_obs" not in infos:
        return entry(observation, "response")
    # It has the rows of users whose episodes continue, too.
    return entry(final_batch(infos), "response")


def final_batch(infos: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the last observations of all users, arrays with the users on axis 0."""
    final = infos["final_obs"]
    if not hasattr(final, "batch"):
        raise TypeError(
            "infos['final_obs'] must be the FinalObservations of a RecSimVectorEnv, got "
            f"{type(final).__name__}: let the agent recommend in a vector environment of recsim's."
        )
    batch: dict[str, Any] = final.batch
    return batch
