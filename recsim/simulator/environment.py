"""One step: a slate is shown, users respond, users and documents change."""

from __future__ import annotations

import abc
import copy
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from recsim import document, seeding, types, user
from recsim._internal import (
    action_masks,
    global_generator,
    numbers,
    owned_generators,
    resources,
    shared_stream,
    validation,
)
from recsim._internal.overrides import own_method
from recsim.simulator import fingerprint

__all__ = ["AbstractEnvironment", "Environment", "MultiUserEnvironment", "SingleUserEnvironment"]


# The least that a candidate, or a place of a slate, takes of memory with its observation and its
# space: those of the scenarios take 1,200 to 2,500 bytes, small ones that share a space 600.
_BYTES_OF_CANDIDATE = 500


class AbstractEnvironment(abc.ABC):
    """An environment of users and documents.

    All choices and transitions of its users sample from one generator of the environment,
    ``environment_rng``, whose stream is derived from the (first) user sampler's seed, or set by
    :meth:`seed`.

    Args:
        user_model: an AbstractUserModel, or a list of them (one a user).
        document_sampler: an AbstractDocumentSampler.
        num_candidates: number of documents in the candidate set, at least ``slate_size``.
        slate_size: number of documents that a slate may hold, at least 1.
        resample_documents: whether a new candidate set is sampled at every step and reset.

    Raises:
        TypeError: if a size is not an integer.
        ValueError: if a size is below 1, or the slate is larger than the candidate set.
        MemoryError: if there is no memory for so many candidates.
    """

    def __init__(
        self,
        user_model: types.UserModel | Sequence[types.UserModel],
        document_sampler: types.DocumentSampler,
        num_candidates: int,
        slate_size: int,
        resample_documents: bool = True,
    ) -> None:
        self._num_candidates, self._slate_size = validation.candidates_and_slate(
            num_candidates, slate_size
        )
        resources.check_memory(
            _BYTES_OF_CANDIDATE * (self._num_candidates + self._slate_size),
            f"{resources.shown(self._num_candidates)} candidates and slates of "
            f"{resources.shown(self._slate_size)}",
            "choose fewer candidates, or smaller slates",
        )
        self._user_model: Any = user_model
        self._document_sampler: Any = document_sampler
        self._resample_documents = validation.flag("resample_documents", resample_documents)
        self._sees_users = hasattr(document_sampler, "sample_candidates_for")
        if self._sees_users and not self._resample_documents:
            raise ValueError(
                "resample_documents must be True for a document sampler that sees the users "
                f"({type(document_sampler).__name__}.sample_candidates_for), whose candidates "
                "follow from them at each step."
            )
        self._check_user_model()
        self._share_generator()
        self._do_resample_documents()

    #: Whether a slate that has a candidate twice is refused. As in RecSim it is taken by default.
    distinct_slates: bool = False
    # The observations of the candidates, by ID. There are none before the first reset.
    _current_documents: dict[str, Any]
    _candidate_set: document.CandidateSet
    #: The random stream that the users share.
    environment_rng: np.random.RandomState | None = None
    # Whether what is observed of documents has masks; None before the first reset.
    _has_masks: bool | None = None
    # Whether candidates follow from the users' states.
    _sees_users = False
    # How many resets and steps are still watched for samples from NumPy's global generator.
    _steps_to_watch = global_generator.WATCHED_STEPS

    @property
    def _user_models(self) -> Sequence[Any]:
        """The users' models as a sequence, for one user as for several."""
        models = self._user_model
        return models if isinstance(models, (list, tuple)) else [models]

    def _check_user_model(self) -> None:
        """Raises TypeError or ValueError if what the environment is made for is not there."""

    def _check_document_sampler(self) -> None:
        """Raises TypeError if the document sampler cannot sample."""
        if not hasattr(self._document_sampler, "sample_document"):
            raise TypeError(
                "document_sampler must have a method sample_document, as an "
                f"AbstractDocumentSampler has, got {self._document_sampler!r}."
            )

    def _share_generator(self) -> None:
        """Gives all users the environment's stream; at first, that of the first user."""
        rng = self.environment_rng
        if rng is None:
            first_user = self._user_models[0]
            rng = getattr(first_user, "environment_rng", None)
            if rng is None:  # It has another base class, or did not call its __init__.
                rng = user.initial_generator(getattr(first_user, "_user_sampler", None))
        self._use_generator(rng)

    def _use_generator(self, rng: np.random.RandomState) -> None:
        self.environment_rng = rng
        for user_model in self._user_models:
            if hasattr(user_model, "use_generator"):
                user_model.use_generator(rng)

    def _watched_parts(self) -> tuple[list[Any], Any, Callable[[], dict[str, Any]]]:
        """Returns users, document sampler and a method, watched for samples from np.random."""
        self._steps_to_watch -= 1
        watched, sampler = global_generator.Watched, self._document_sampler
        users = [watched(model, global_generator.IN_USER_MODEL) for model in self._user_models]
        next_documents = global_generator.watched(
            self._next_documents, sampler, global_generator.IN_SAMPLER
        )
        return users, watched(sampler, global_generator.IN_SAMPLER), next_documents

    def seed(self, seed: int | None = None) -> None:
        """Gives the users' choices and transitions a ``RandomState(seed)``, shared among them.

        The samplers of documents and users keep their own seeds.
        """
        self._use_generator(validation.random_state("seed", seed))

    def reseed_samplers(self, seed: int) -> None:
        """Gives the samplers of documents and users other seeds, and samples new candidates.

        Args:
            seed: an integer >= 0, from which their seeds are derived.
        """
        parts: list[tuple[str, Any, type]] = [
            ("documents", self._document_sampler, document.AbstractDocumentSampler)
        ]
        for i, model in enumerate(self._user_models):
            sampler = getattr(model, "_user_sampler", None)
            parts.append((f"users {i}" if i else "users", sampler, user.AbstractUserSampler))
        for name, sampler, base in parts:
            if hasattr(sampler, "_seed"):
                own_method(sampler, base, "reseed")(seeding.derived_seed(seed, name))
        self.reset_sampler()
        self._do_resample_documents()

    def wrap_documents(
        self,
        wrap: Callable[
            [types.DocumentSampler, types.CandidateSet],
            tuple[types.DocumentSampler, types.CandidateSet],
        ],
    ) -> None:
        """Samples documents by another sampler from now on; call it before the first reset.

        Args:
            wrap: function of the sampler and of the candidates there are, that returns what is to
                be there in their place.
        """
        self._document_sampler, candidates = wrap(self._document_sampler, self._candidate_set)
        self._candidate_set = candidates  # type: ignore[assignment]  # It has the methods.
        self._has_masks = None
        # What a slate points at is to be observed first.
        vars(self).pop("_current_documents", None)

    def _do_resample_documents(self) -> None:
        sampler = self._document_sampler
        if self._sees_users:
            users = [model._user_state for model in self._user_models]  # noqa: SLF001
            candidates = sampler.sample_candidates_for(users, self._num_candidates)
        else:
            try:
                sample_candidates = sampler.sample_candidates
            except AttributeError:  # It has another base class than ours.
                self._check_document_sampler()
                sample_candidates = own_method(
                    sampler, document.AbstractDocumentSampler, "sample_candidates"
                )
            candidates = sample_candidates(self._num_candidates)
        try:
            as_many = candidates.size() == self._num_candidates
        except (AttributeError, TypeError):  # A list, None or an array.
            as_many = False
        if not as_many:
            raise self._candidates_error(candidates)
        self._candidate_set = candidates

    def _observe_documents(self) -> dict[str, Any]:
        self._current_documents = documents = self._candidate_set.create_observation()
        if len(documents) < self._num_candidates:
            error = self._repeated_id(self._candidate_set, len(documents))
            if error is not None:
                raise error
        if self._has_masks is None:
            first = next(iter(documents.values()), None)
            self._has_masks = isinstance(first, Mapping) and action_masks.KEY in first
        # A copy: what becomes of it does not change what slates point at.
        return documents.copy() if type(documents) is dict else copy.copy(documents)

    def _candidates_error(self, candidates: object) -> Exception:
        """Says what is wrong with what a sampler's own method returned."""
        name = "sample_candidates_for" if self._sees_users else "sample_candidates"
        expected = (
            f"{type(self._document_sampler).__name__}.{name} must return a CandidateSet of "
            f"num_candidates={self._num_candidates} documents, got"
        )
        if not isinstance(candidates, types.CandidateSet):
            return TypeError(
                f"{expected} {numbers.described(candidates)}: make a CandidateSet() and add each "
                "document by its method add_document."
            )
        number = candidates.size()
        return self._repeated_id(candidates, number) or ValueError(f"{expected} one of {number}.")

    def _repeated_id(self, candidates: object, number: int) -> ValueError | None:
        """Says that there are too few candidates because an ID came twice, if it did."""
        repeated = getattr(candidates, "_replaced", None)
        if repeated is None:
            return None
        return ValueError(
            f"The candidate set has {number} documents, not num_candidates="
            f"{self._num_candidates}, for the document ID {repeated!r} came twice: give each "
            "document an ID of its own, or sample without replacement."
        )

    @shared_stream.lends
    def _reset_users_and_documents(self) -> tuple[list[Any], dict[str, Any]]:
        """Begins with new users and returns what is observed of each, and of the documents."""
        user_models, next_documents = self._user_models, self._next_documents
        if self._steps_to_watch:
            user_models, _, next_documents = self._watched_parts()
        self._share_generator()
        for user_model in user_models:
            user_model.reset()
        # A user model may have made a new choice model for its new user.
        self._share_generator()
        user_obs = [user_model.create_observation() for user_model in user_models]
        return user_obs, next_documents()

    def _next_documents(self) -> dict[str, Any]:
        if self._resample_documents:
            self._do_resample_documents()
        return self._observe_documents()

    def _slate_documents(self, slate: types.Slate) -> list[Any]:
        """Returns the candidates that a slate points at.

        Raises:
            RuntimeError: if there was no reset before.
            TypeError: if the slate is not a sequence of integers.
            ValueError: if it is longer than ``slate_size``, or has a candidate twice although
                ``distinct_slates`` is True.
            IndexError: if an index points at no candidate.
        """
        try:
            documents = self._current_documents
        except AttributeError:
            raise RuntimeError(
                "step was called before reset: call reset() to start an episode."
            ) from None
        candidates = self._candidate_set
        ids: Sequence[Any]
        if type(candidates) is document.LazyCandidateSet and candidates.observation is documents:
            ids = candidates.ids
        else:
            ids = [*documents]
        try:
            chosen = [ids[index] for index in slate]
            # An iterator, which is empty by now, has no length.
            fits = len(chosen) <= self._slate_size and (
                min(slate) >= 0 if chosen else not len(slate)
            )
        except (IndexError, TypeError, ValueError):
            fits = False
        if fits:
            if self._has_masks:
                self._check_masks(slate)
            if self.distinct_slates:
                validation.distinct(np.array([slate]))
            return candidates.get_documents(chosen)
        raise self._slate_error(slate)

    def _check_masks(self, slate: types.Slate) -> None:
        """Raises ValueError if a document may not stand where a slate has it."""
        masks = action_masks.observed(self._current_documents, self._slate_size)
        if masks is not None and len(slate):
            action_masks.check_slates(masks, np.array([slate]))

    def _slate_error(self, slate: types.Slate) -> Exception:
        """Says what is wrong with a slate that points at no documents."""
        try:
            len(slate)
            indices = [operator.index(index) for index in slate]
        except TypeError:
            return TypeError(
                f"slate must be a sequence of integers (indices of candidates), got {slate!r}. "
                "Make a list of an iterator."
            )
        if len(indices) > self._slate_size:
            return ValueError(
                f"slate must hold at most {self._slate_size} documents (slate_size), got "
                f"{len(indices)}: {indices!r}."
            )
        return IndexError(
            f"slate must hold indices of candidates, 0 to {self._num_candidates - 1}, got "
            f"{indices!r}."
        )

    @abc.abstractmethod
    def reset(self) -> tuple[Any, dict[str, Any]]:
        """Starts an episode with new users.

        Returns:
            The observation of the user (or of each), and those of the documents by their IDs.
        """

    @abc.abstractmethod
    def reset_sampler(self) -> None:
        """Sets the samplers of documents and users back to their seeds."""

    @property
    def num_candidates(self) -> int:
        """Number of documents in the candidate set."""
        return self._num_candidates

    @property
    def slate_size(self) -> int:
        """Number of documents that a slate may hold."""
        return self._slate_size

    @property
    def candidate_set(self) -> document.CandidateSet:
        """The documents that can be recommended now."""
        return self._candidate_set

    @property
    def user_model(self) -> Any:  # noqa: ANN401  # One or several, of the scenario's class.
        """The user's model, or the list of the users' models."""
        return self._user_model

    @abc.abstractmethod
    def step(self, slate: types.Action) -> tuple[Any, dict[str, Any], Any, bool]:
        """Shows a slate (or a slate to each user) and moves users and documents one step on.

        Args:
            slate: up to ``slate_size`` indices into the current documents; repeated ones are
                shown repeatedly, or refused where ``distinct_slates`` is True. With several
                users, a sequence of such slates.

        Returns:
            The next observation of the user(s), the observations of the next documents, the
            responses to the slate(s) and whether the episode is over.

        Raises:
            RuntimeError, TypeError, ValueError, IndexError: for a slate that cannot be shown.
        """

    def state_dict(self) -> dict[str, Any]:
        """Returns the generators and counters of the environment between two episodes, as data.

        Candidates that are never resampled are not in it: they follow from the samplers' seeds. An
        environment that changes them, or has further state that outlives an episode, extends this
        dictionary, and :meth:`load_state_dict`, with data (numbers, strings, containers, arrays).
        """
        if not hasattr(self, "_document_sampler"):  # It did not call this class's __init__.
            return {"rng": None}
        rng = self.environment_rng
        return {
            "scenario": fingerprint.of_scenario(self).shape(),
            "rng": None if rng is None else seeding.generator_state(rng),
            "generators": {},
            **owned_generators.state_of(self, *self._saved_elsewhere()),
            "document_sampler": own_method(
                self._document_sampler, document.AbstractDocumentSampler, "state_dict"
            )(),
            "user_models": [
                own_method(model, user.AbstractUserModel, "state_dict")()
                for model in self._user_models
            ],
        }

    def _saved_elsewhere(self) -> list[Any]:
        """Returns the parts whose generators are not the environment's own."""
        return [self.environment_rng, self._document_sampler, *self._user_models]

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from a state that :meth:`state_dict` returned; reset comes next.

        Raises:
            ValueError: if the state is of another scenario. Nothing is restored then.
        """
        if not hasattr(self, "_document_sampler"):
            return
        fingerprint.check_state(self, state)
        if missing := {"rng", "document_sampler", "user_models"} - state.keys():
            raise ValueError(
                f"state must be what state_dict returned, got one without {sorted(missing)}."
            )
        if len(state["user_models"]) != len(self._user_models):
            raise ValueError(
                f"state must be of an environment with {len(self._user_models)} users, got one "
                f"with {len(state['user_models'])}."
            )
        if state["rng"] is not None:
            self._share_generator()
            seeding.restore_generator(self.environment_rng, state["rng"])  # type: ignore[arg-type]
        owned_generators.restore(self, state.get("generators", {}), *self._saved_elsewhere())
        own_method(self._document_sampler, document.AbstractDocumentSampler, "load_state_dict")(
            state["document_sampler"]
        )
        for model, model_state in zip(self._user_models, state["user_models"], strict=True):
            own_method(model, user.AbstractUserModel, "load_state_dict")(model_state)


class SingleUserEnvironment(AbstractEnvironment):
    """An environment with one user."""

    def _check_user_model(self) -> None:
        if isinstance(self._user_model, (list, tuple)):
            raise TypeError(
                f"user_model must be one user model, got a {type(self._user_model).__name__} of "
                f"{len(self._user_model)}; a MultiUserEnvironment takes several."
            )

    def reset(self) -> tuple[Any, dict[str, Any]]:
        """See :meth:`AbstractEnvironment.reset`."""
        (user_obs,), documents = self._reset_users_and_documents()
        return user_obs, documents

    def reset_sampler(self) -> None:
        """See :meth:`AbstractEnvironment.reset_sampler`."""
        self._document_sampler.reset_sampler()
        self._user_model.reset_sampler()

    @shared_stream.lends
    def step(  # type: ignore[override]  # Of one user.
        self, slate: types.Slate
    ) -> tuple[Any, dict[str, Any], Sequence[Any], bool]:
        """See :meth:`AbstractEnvironment.step`."""
        documents = self._slate_documents(slate)
        if self._steps_to_watch:
            (user_model,), document_sampler, next_documents = self._watched_parts()
        else:
            user_model, document_sampler = self._user_model, self._document_sampler
            next_documents = self._next_documents
        responses = user_model.simulate_response(documents)
        user_model.update_state(documents, responses)
        document_sampler.update_state(documents, responses)
        user_obs = user_model.create_observation()
        done = user_model.is_terminal()
        return user_obs, next_documents(), responses, done


#: RecSim's older name of :class:`SingleUserEnvironment`.
Environment = SingleUserEnvironment


class MultiUserEnvironment(AbstractEnvironment):
    """An environment with several users, who are recommended to from one candidate set.

    A user whose episode is over responds no more (an empty list of responses); that of the
    environment ends when all users' are over.
    """

    @property
    def _user_models(self) -> Sequence[Any]:
        models: Sequence[Any] = self._user_model
        return models

    def _check_user_model(self) -> None:
        models = self._user_model
        if not isinstance(models, (Sequence, np.ndarray)) or getattr(models, "shape", None) == ():
            raise TypeError(
                f"user_model must be a list of user models, one a user, got {self._user_model!r}."
            )
        if not len(self._user_model):
            raise ValueError("user_model must hold at least one user model, got an empty list.")

    @property
    def num_users(self) -> int:
        """Number of users."""
        return len(self.user_model)

    def reset(self) -> tuple[list[Any], dict[str, Any]]:
        """See :meth:`AbstractEnvironment.reset`."""
        return self._reset_users_and_documents()

    def reset_sampler(self) -> None:
        """See :meth:`AbstractEnvironment.reset_sampler`."""
        self._document_sampler.reset_sampler()
        for user_model in self.user_model:
            user_model.reset_sampler()

    @shared_stream.lends
    def step(  # type: ignore[override]  # Of each user.
        self, slates: Sequence[types.Slate]
    ) -> tuple[list[Any], dict[str, Any], list[Sequence[Any]], bool]:
        """See :meth:`AbstractEnvironment.step`."""
        if not isinstance(slates, (list, tuple, np.ndarray)) or len(slates) != self.num_users:
            raise ValueError(
                f"slates must hold one slate for each of the {self.num_users} users, got "
                f"{slates!r}."
            )
        # Every slate is checked before any user responds.
        all_documents = [self._slate_documents(slate) for slate in slates]
        user_models, document_sampler = self.user_model, self._document_sampler
        next_documents = self._next_documents
        if self._steps_to_watch:
            user_models, document_sampler, next_documents = self._watched_parts()
        all_responses, user_obs = [], []
        for user_model, documents in zip(user_models, all_documents, strict=True):
            all_responses.append(self._respond(user_model, documents))
            user_obs.append(user_model.create_observation())
        shown = [
            pair
            for documents, responses in zip(all_documents, all_responses, strict=True)
            for pair in zip(documents, responses, strict=False)
        ]
        document_sampler.update_state([doc for doc, _ in shown], [resp for _, resp in shown])
        done = all(user_model.is_terminal() for user_model in user_models)
        return user_obs, next_documents(), all_responses, done

    @staticmethod
    def _respond(user_model: types.UserModel, documents: list[Any]) -> Sequence[Any]:
        if user_model.is_terminal():
            return []
        responses = user_model.simulate_response(documents)
        user_model.update_state(documents, responses)
        return responses
