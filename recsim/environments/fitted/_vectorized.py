"""A fitted scenario for users in parallel."""

from __future__ import annotations

import dataclasses

import numpy as np

from recsim import choice_model, types
from recsim import spaces as spaces_lib
from recsim._internal import arrays
from recsim.environments.fitted import _dynamics
from recsim.environments.fitted._scenario import FittedScenario, average_scores
from recsim.vector import scenario as scenario_lib
from recsim.vector import streams

__all__ = [
    "VectorFittedDocumentSampler",
    "VectorFittedDocuments",
    "VectorFittedResponses",
    "VectorFittedUserModel",
    "VectorFittedUsers",
    "total_values",
]

# Samples of so many candidates are made of all items at once.
_MANY_CANDIDATES = 64
# By popularity they are if there are more pairs of candidates than so many times the items.
_PAIRS = 32


@dataclasses.dataclass
class VectorFittedDocuments:
    """Items of users in parallel."""

    item: np.ndarray  # (n_users, n_docs), int32: indices.


@dataclasses.dataclass
class VectorFittedUsers:
    """Users in parallel."""

    user: np.ndarray  # (n_users,), int32: indices of the fitted users.
    factors: np.ndarray  # (n_users, num_factors): as they have drifted.
    fatigue: np.ndarray  # (n_users, num_topics): what is left of the clicks.
    clicks: np.ndarray  # (n_users, num_topics), int32: numbers of clicks.
    time: np.ndarray  # (n_users,), int32: slates seen.
    ended: np.ndarray  # (n_users,), bool: whose sessions are over.


@dataclasses.dataclass
class VectorFittedResponses:
    """The responses of users in parallel to their slates."""

    clicked: np.ndarray  # (n_users, slate_size), bool
    cluster_id: np.ndarray  # (n_users, slate_size), int32: the items' topics.
    quality: np.ndarray  # (n_users, slate_size): how likely the average user clicks them.
    value: np.ndarray  # (n_users, slate_size): what clicks brought, 0 without one.


class VectorFittedDocumentSampler(scenario_lib.VectorDocumentSampler[VectorFittedDocuments]):
    """Samples items as :class:`FittedDocumentSampler` does.

    Args:
        scenario: the scenario.
        dtype: dtype of what is observed of the items.
    """

    def __init__(self, scenario: FittedScenario, dtype: np.dtype) -> None:
        self.scenario = scenario
        self.parameters = scenario.options
        # All numbers of an item side by side, to be picked together; whole ones apart.
        columns = scenario.document_columns
        self._whole = {name: column for name, column in columns.items() if column.dtype.kind == "i"}
        rows, self._places, size = [], {}, 0
        for name, column in columns.items():
            if name not in self._whole:
                rows.append(column.reshape(len(column), -1))
                width = rows[-1].shape[1]
                self._places[name] = size if column.ndim == 1 else slice(size, size + width)
                size += width
        self._numbers = np.concatenate(rows, axis=1).astype(dtype)

    def fingerprint_attributes(self) -> dict[str, object]:
        """Returns what is not in the parameters: nothing."""
        return {}

    def sample(self, stream: streams.RandomStream, num_documents: int) -> VectorFittedDocuments:
        """See :meth:`recsim.vector.scenario.VectorDocumentSampler.sample`."""
        num_items = self.scenario.fitted.num_items
        if num_documents == num_items:
            items = np.broadcast_to(np.arange(num_items), (stream.num_users, num_items))
        elif self.scenario.options.candidate_sampling == "popularity":
            items = _by_popularity(self.scenario, stream, num_documents)
        elif num_documents < _MANY_CANDIDATES:
            items = stream.slates(num_items, num_documents)
        else:
            items = stream.uniform(num_items).argsort(axis=1)[:, :num_documents]
        return VectorFittedDocuments(items.astype(np.int32, copy=False))

    def observe(self, documents: VectorFittedDocuments) -> dict[str, np.ndarray]:
        """Returns ``cluster_id``, ``popularity``, ``quality`` and what else is observed of them."""
        picked = self._numbers.take(documents.item, axis=0)
        observed = {name: picked[..., place] for name, place in self._places.items()}
        observed |= {name: column.take(documents.item) for name, column in self._whole.items()}
        return dict(sorted(observed.items()))

    def observation_space(self, num_documents: int) -> types.Space:
        """Returns the space of one user's candidates."""
        space: types.Space = spaces_lib.stacked_space(self.scenario.document_space(), num_documents)
        return space


def _by_popularity(
    scenario: FittedScenario, stream: streams.RandomStream, number: int
) -> np.ndarray:
    """Returns the first different ones of items sampled by popularity, (n_users, number)."""
    num_items = scenario.fitted.num_items
    if number**2 <= _PAIRS * num_items:
        return scenario.popularity_sampler.sample(stream.uniform(number))
    uniform = stream.uniform(num_items)
    return _ranked_by_popularity(scenario.fitted.item_popularity, uniform, number)


def _ranked_by_popularity(popularity: np.ndarray, uniform: np.ndarray, number: int) -> np.ndarray:
    """Returns items sampled by popularity without replacement, a number for each item.

    The items of the least exponential times, of which those of popular ones are shorter (Efraimidis
    and Spirakis, 2006).
    """
    with np.errstate(divide="ignore"):
        times = -np.log1p(-uniform) / popularity.astype(uniform.dtype)
    items: np.ndarray = times.argsort(axis=1, kind="stable")[:, :number]
    return items


class VectorFittedUserModel(
    scenario_lib.VectorUserModel[VectorFittedUsers, VectorFittedDocuments, VectorFittedResponses]
):
    """Users as those of :class:`FittedUserModel`, many of them.

    Args:
        scenario: the scenario.
        dtype: float32 or float64, the dtype of the numbers.
    """

    def __init__(self, scenario: FittedScenario, dtype: np.dtype) -> None:
        super().__init__(scenario.slate_size)
        fitted = scenario.fitted
        self.scenario = scenario
        self.parameters = scenario.options
        self._numbers = max(
            _dynamics.numbers_of_clicks(model, self.slate_size) for model in fitted.click_models
        )
        self._item_utilities = fitted.item_utilities.astype(dtype)
        self._item_factors = fitted.item_factors.astype(dtype)
        self._user_utilities = fitted.user_utilities.astype(dtype)
        self._user_factors = fitted.user_factors.astype(dtype)
        self._quality = scenario.quality.astype(dtype)
        # What clicks bring where the log has no values; never changed.
        self._no_values = np.zeros((0, self.slate_size), dtype)

    def fingerprint_attributes(self) -> dict[str, object]:
        """Returns what is not in the parameters: nothing but the size of slates."""
        return {"slate_size": self.slate_size}

    def average_user_scores(self, documents: dict[str, np.ndarray]) -> np.ndarray:
        """Returns the average user's utilities of documents, (n_users, num_candidates).

        Args:
            documents: what is observed of them.
        """
        return average_scores(documents)

    @property
    def avg_user_state(self) -> object:
        """The average user, whose scores these are."""
        from recsim.environments.fitted._users import AverageUser

        return AverageUser()

    @property
    def slate_q_settings(self) -> dict[str, object]:
        """The settings of SlateQ that this scenario needs."""
        return self.scenario.slate_q_settings

    @property
    def avg_choice_model(self) -> choice_model.NormalizableChoiceModel:
        """What the average user's scores mean on a slate of one item: logits of a click."""
        return choice_model.MultinomialLogitChoiceModel({"no_click_mass": 0.0})

    def sample_users(self, stream: streams.RandomStream) -> VectorFittedUsers:
        """Returns new users."""
        scenario, fitted = self.scenario, self.scenario.fitted
        number = stream.num_users
        if self.parameters.users == "each":
            if not isinstance(stream, streams.UserStream):
                raise TypeError(
                    "users='each' needs a UserStream, which knows the users' numbers, got "
                    f"{type(stream).__name__}."
                )
            users = stream.users % fitted.num_users
        else:
            users = stream.categories(scenario.cumulative_weights)
        topics = (number, scenario.num_topics)
        return VectorFittedUsers(
            user=users.astype(np.int32),
            factors=self._user_factors[users],
            fatigue=np.zeros(topics if fitted.fatigue else (number, 0), stream.dtype),
            clicks=np.zeros(topics, np.int32),
            time=np.zeros(number, np.int32),
            ended=np.zeros(number, np.bool_),
        )

    def utilities(self, users: VectorFittedUsers, documents: VectorFittedDocuments) -> np.ndarray:
        """Returns users' utilities of items.

        Args:
            users: the users.
            documents: items, of shape (n_users, n_docs).

        Returns:
            Array of shape (n_users, n_docs).
        """
        fitted = self.scenario.fitted
        base = arrays.take_shared(self._item_utilities, documents.item)
        if self._user_utilities.any():
            base += self._user_utilities[users.user][:, np.newaxis]
        tired = None
        if fitted.fatigue:
            topics = arrays.take_shared(self.scenario.topics, documents.item)
            tired = arrays.take_along_rows(users.fatigue, topics)
            tired *= base.dtype.type(fitted.fatigue)
        return _dynamics.utilities(base, users.factors, self._factors_of(documents), tired)

    def _factors_of(self, documents: VectorFittedDocuments) -> np.ndarray:
        return arrays.take_shared(self._item_factors, documents.item)

    def choose(
        self,
        users: VectorFittedUsers,
        documents: VectorFittedDocuments,
        stream: streams.RandomStream,
    ) -> np.ndarray:
        """Returns which items of their slates users click, bools of shape (n_users, slate_size)."""
        models = self.scenario.fitted.click_models
        utility = self.utilities(users, documents)
        uniform = stream.uniform(self._numbers)
        if len(models) == 1:
            return _dynamics.sampled_clicks(models[0], utility, uniform)
        kinds = self.scenario.fitted.user_kinds[users.user]
        clicked = arrays.empty_slates(utility.shape, np.bool_)
        for kind, model in enumerate(models):
            rows = np.flatnonzero(kinds == kind)
            number = _dynamics.numbers_of_clicks(model, self.slate_size)
            if len(rows):
                clicked[rows] = _dynamics.sampled_clicks(
                    model, utility[rows], uniform[rows, :number]
                )
        return clicked

    def respond(
        self,
        users: VectorFittedUsers,
        documents: VectorFittedDocuments,
        choice: np.ndarray,
        stream: streams.RandomStream,
    ) -> VectorFittedResponses:
        """See :meth:`recsim.vector.scenario.VectorUserModel.respond`."""
        items, values = documents.item, self.scenario.fitted.values
        value = self._no_values
        if values is not None:
            noise = stream.normal(self.slate_size)
            means = values.item_means[items] + values.user_effects[users.user][:, np.newaxis]
            factors = self._factors_of(documents)
            drawn = _dynamics.sampled_values(values, means, users.factors, factors, noise)
            value = np.where(choice, drawn, 0.0).astype(self._quality.dtype)
        elif len(value) != len(items):
            value = self._no_values = np.zeros(items.shape, self._quality.dtype)
        return VectorFittedResponses(
            choice,
            arrays.take_shared(self.scenario.topics, items),
            arrays.take_shared(self._quality, items),
            value,
        )

    def update(
        self,
        users: VectorFittedUsers,
        documents: VectorFittedDocuments,
        choice: np.ndarray,
        responses: VectorFittedResponses,
        stream: streams.RandomStream,
    ) -> VectorFittedUsers:
        """See :meth:`recsim.vector.scenario.VectorUserModel.update`."""
        fitted = self.scenario.fitted
        counts = [users.clicks]
        if fitted.fatigue:
            users.fatigue *= users.fatigue.dtype.type(fitted.fatigue_memory)
            counts.append(users.fatigue)
        _dynamics.add_clicks(choice, responses.cluster_id, *counts)
        if fitted.drift:
            users.factors = _dynamics.factors_after(
                users.factors, choice, self._factors_of(documents), fitted.drift
            )
        steps = users.time.copy()
        users.time += 1
        users.ended = users.time >= self.scenario.most_steps
        if fitted.session is not None:
            hazards = _dynamics.hazards(fitted.session, choice.any(axis=1), steps)
            users.ended |= stream.uniform(1)[:, 0] < hazards
        return users

    def is_done(self, users: VectorFittedUsers) -> np.ndarray:
        """Says whose sessions are over."""
        return users.ended

    def observe_users(self, users: VectorFittedUsers) -> dict[str, np.ndarray]:
        """Returns the clicks a slate on each topic, features, and the hidden state if asked for."""
        return self.scenario.observed_user(users.user, vars(users), self._quality.dtype)

    def user_space(self) -> types.Space:
        """Returns the space of what is observed of a user."""
        space: types.Space = spaces_lib.stacked_space(self.scenario.user_space(), None)
        return space

    def observe_responses(self, responses: VectorFittedResponses) -> dict[str, np.ndarray]:
        """Returns ``click``, ``cluster_id``, ``quality`` and, where the log has it, ``value``."""
        observed = {
            "click": responses.clicked.astype(np.int32),
            "cluster_id": responses.cluster_id,
            "quality": responses.quality,
        }
        if self.scenario.fitted.values is not None:
            observed["value"] = responses.value
        return observed

    def response_space(self) -> types.Space:
        """Returns the space of one user's responses."""
        space: types.Space = spaces_lib.stacked_space(
            self.scenario.response_space(), self.slate_size
        )
        return space


def total_values(responses: VectorFittedResponses) -> np.ndarray:
    """Returns what the clicks on each slate brought, shape (n_users,)."""
    totals: np.ndarray = responses.value.sum(axis=1)
    return totals
