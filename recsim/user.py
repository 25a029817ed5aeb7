"""Users: their state, how it is sampled, what they respond to a slate and how it changes them."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from recsim import choice_model, seeding, types
from recsim import spaces as spaces_lib
from recsim._internal import owned_generators, validation
from recsim._internal.gym_import import spaces
from recsim._internal.overrides import own_method

__all__ = [
    "AbstractResponse",
    "AbstractUserModel",
    "AbstractUserSampler",
    "AbstractUserState",
]


# Objects of this library in which a user model may keep generators of its own.
_LOOKED_THROUGH = (choice_model.AbstractChoiceModel,)


class AbstractResponse(abc.ABC):
    """A user's response to one document of a slate."""

    @staticmethod
    @abc.abstractmethod
    def response_space() -> spaces.Space[Any]:
        """Returns the space of :meth:`create_observation`."""

    @abc.abstractmethod
    def create_observation(self) -> object:
        """Returns what an agent sees of the response, an element of the response space."""


class AbstractUserState(abc.ABC):
    """The state of a user: hidden properties and what an agent can see of them.

    A state scores documents for a choice model by ``score_document(doc_obs)``; it may also offer
    ``score_documents(doc_obs_list)``, which returns the scores of all of them as an array.
    """

    #: Number of observable features, where a subclass has a fixed one.
    NUM_FEATURES: int | None = None

    # The function that score_documents of the class stands in for, where there is one.
    _scored_by: Any = None

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "score_documents" in vars(cls):
            cls._scored_by = staticmethod(getattr(cls, "score_document", None))  # type: ignore[arg-type]

    @abc.abstractmethod
    def create_observation(self) -> object:
        """Returns what an agent sees of the user, an element of the observation space."""

    @staticmethod
    @abc.abstractmethod
    def observation_space() -> spaces.Space[Any]:
        """Returns the space of the observations."""


class AbstractUserSampler(abc.ABC):
    """Samples users' initial states, from a generator of its own in ``self._rng``.

    Args:
        user_ctor: the class (or a constructor) of the user states.
        seed: seed of the generator, an integer in [0, 2**32 - 1], or None for a seed from the
            operating system.
    """

    def __init__(self, user_ctor: Callable[..., Any], seed: int | None = 0) -> None:
        self._user_ctor = user_ctor
        self._seed = seed
        self.reset_sampler()

    def reset_sampler(self) -> None:
        """Sets the generator back to its seed: the same users follow again."""
        self._rng = validation.random_state("seed", self._seed)

    def reseed(self, seed: int) -> None:
        """Gives the generator another seed."""
        self._seed = seed
        self.reset_sampler()

    @abc.abstractmethod
    def sample_user(self) -> types.UserState:
        """Returns the initial state of a new user."""

    def get_user_ctor(self) -> Callable[..., Any]:
        """Returns the class of the user states."""
        return self._user_ctor

    def state_dict(self) -> dict[str, Any]:
        """Returns what a checkpoint keeps of the sampler: its generator.

        A sampler with further state that outlives an episode extends this dictionary, and
        :meth:`load_state_dict`, with data (numbers, strings, containers, arrays).
        """
        rng = getattr(self, "_rng", None)
        return {"rng": seeding.owned_state(self), **owned_generators.state_of(self, rng)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from a state that :meth:`state_dict` returned."""
        seeding.restore_owned(self, state["rng"])
        owned_generators.restore(self, state.get("generators", {}), getattr(self, "_rng", None))


class AbstractUserModel(abc.ABC):
    """The dynamics of a user: choice, response, change of state and end of the episode.

    Choices and transitions sample from ``self.environment_rng``, whose stream is derived from the
    sampler's seed and independent of it. An environment shares one such generator among its users
    and their choice models (:meth:`use_generator`). Other generators that a subclass keeps, under
    whatever name, are its own: nobody else samples from them, ``env.seed`` leaves them alone, and
    checkpoints have them.

    Attributes:
        environment_rng: the ``RandomState`` that the users of an environment share.

    Args:
        response_model_ctor: the class (or a constructor) of the responses.
        user_sampler: the sampler of users' initial states.
        slate_size: number of documents in a slate, at least 1.

    Raises:
        TypeError: if ``response_model_ctor`` is missing, or ``slate_size`` is not an integer.
        ValueError: if ``slate_size`` is below 1.
    """

    def __init__(
        self,
        response_model_ctor: Callable[..., Any],
        user_sampler: AbstractUserSampler,
        slate_size: int,
    ) -> None:
        if response_model_ctor is None:
            raise TypeError(
                f"response_model_ctor must be a class of responses, got {response_model_ctor!r}."
            )
        self._slate_size = validation.positive_int("slate_size", slate_size)
        self._response_model_ctor = response_model_ctor
        self._user_sampler = user_sampler
        self._user_state: Any = user_sampler.sample_user()
        self.environment_rng = initial_generator(user_sampler)

    def use_generator(self, rng: np.random.RandomState) -> None:
        """Makes the user's transitions and its choice models sample from ``rng`` from now on."""
        self.environment_rng = rng
        for attribute in vars(self).values():
            if isinstance(attribute, choice_model.AbstractChoiceModel):
                attribute.use_generator(rng)

    @abc.abstractmethod
    def update_state(self, slate_documents: Sequence[Any], responses: Sequence[Any]) -> None:
        """Changes the user's state after responses to a slate.

        Args:
            slate_documents: the documents of the slate.
            responses: the user's responses to them, in the same order.
        """

    def reset(self) -> None:
        """Puts a new user from the sampler in the place of this one."""
        self._user_state = self._user_sampler.sample_user()

    def reset_sampler(self) -> None:
        """Sets the sampler of users back to its seed."""
        self._user_sampler.reset_sampler()

    @abc.abstractmethod
    def is_terminal(self) -> bool:
        """Says whether the user's episode is over."""

    @abc.abstractmethod
    def simulate_response(self, documents: Sequence[Any]) -> Sequence[Any]:
        """Returns the user's responses to the documents of a slate, in the same order."""

    def response_space(self) -> spaces.Tuple:
        """Returns the space of the responses to a slate, one response a position."""
        space = self._response_model_ctor.response_space()  # type: ignore[attr-defined]
        return spaces.Tuple((spaces_lib.to_gym(space),) * self._slate_size)

    def get_response_model_ctor(self) -> Callable[..., Any]:
        """Returns the class of the responses."""
        return self._response_model_ctor

    def observation_space(self) -> spaces.Space[Any]:
        """Returns the space of the observations of the user."""
        space: spaces.Space[Any] = self._user_state.observation_space()
        return space

    def create_observation(self) -> object:
        """Returns what an agent sees of the user."""
        return self._user_state.create_observation()

    def state_dict(self) -> dict[str, Any]:
        """Returns what a checkpoint keeps of the user model between two episodes.

        That is the sampler of users, and the generators that the model and its choice models keep
        in attributes. ``environment_rng`` is the environment's, and a new user is sampled for each
        episode; a model with further state that outlives an episode extends this dictionary, and
        :meth:`load_state_dict`, with data (numbers, strings, containers, arrays).
        """
        sampler = getattr(self, "_user_sampler", None)
        shared = getattr(self, "environment_rng", None)
        own = owned_generators.state_of(self, shared, sampler, within=_LOOKED_THROUGH)
        state: dict[str, Any] = {"user_sampler": None, "generators": {}, **own}
        if sampler is not None:
            state["user_sampler"] = own_method(sampler, AbstractUserSampler, "state_dict")()
        elif not own:
            state["rng"] = None  # Whatever it samples from, it is not here.
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from a state that :meth:`state_dict` returned."""
        if state["user_sampler"] is not None:
            own_method(self._user_sampler, AbstractUserSampler, "load_state_dict")(
                state["user_sampler"]
            )
        owned_generators.restore(
            self,
            state.get("generators", {}),
            getattr(self, "environment_rng", None),
            getattr(self, "_user_sampler", None),
            within=_LOOKED_THROUGH,
        )


def initial_generator(user_sampler: object) -> np.random.RandomState:
    """Returns the generator of users' choices, derived from the seed of a sampler of users."""
    try:
        return seeding.named_random_state(getattr(user_sampler, "_seed", 0), "user model")
    except (TypeError, ValueError):  # What it calls so is not a seed.
        return seeding.named_random_state(0, "user model")
