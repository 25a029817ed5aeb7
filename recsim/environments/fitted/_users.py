"""The users of a fitted scenario one at a time: their state, sampler and model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recsim import choice_model, types, user
from recsim import spaces as spaces_lib
from recsim._internal.gym_import import spaces
from recsim.environments.fitted import _dynamics
from recsim.environments.fitted._items import FittedResponse
from recsim.environments.fitted._scenario import FittedScenario, average_scores

__all__ = ["AverageUser", "FittedUserModel", "FittedUserSampler", "FittedUserState"]

_MODULE = "recsim.environments.fitted"  # Where pickles look for the classes.


class FittedUserState(user.AbstractUserState):
    """A user in a session.

    Args:
        scenario: the scenario.
        index: index of the fitted user.
    """

    __module__ = _MODULE

    def __init__(self, scenario: FittedScenario, index: int) -> None:
        fitted = scenario.fitted
        self.scenario = scenario
        self.user_id = fitted.user_ids[index]
        self.index = index
        self.kind = int(fitted.user_kinds[index])
        #: The factors as they have drifted.
        self.factors = np.array(fitted.user_factors[index])
        #: What is left of the clicks on each topic.
        self.fatigue = np.zeros(scenario.num_topics)
        #: Number of clicks on each topic.
        self.clicks = np.zeros(scenario.num_topics)
        #: Number of slates seen.
        self.time = 0

    def utilities(self, items: np.ndarray) -> np.ndarray:
        """Returns the utilities of items, given by their indices, shape (n_items,)."""
        fitted = self.scenario.fitted
        tired = None
        if fitted.fatigue:
            tired = fitted.fatigue * self.fatigue[self.scenario.topics[items]]
        base = fitted.item_utilities[items] + fitted.user_utilities[self.index]
        return _dynamics.utilities(base, self.factors, fitted.item_factors[items], tired)

    def see(self, items: np.ndarray, clicked: np.ndarray) -> None:
        """Changes the user by a slate.

        Args:
            items: indices of its items, shape (slate_size,).
            clicked: which were clicked, bools of shape (slate_size,).
        """
        fitted, scenario = self.scenario.fitted, self.scenario
        on_topics = _dynamics.clicks_by_topic(
            clicked[np.newaxis], scenario.topics[items][np.newaxis], scenario.num_topics
        )[0]
        self.clicks = self.clicks + on_topics
        if fitted.fatigue:
            self.fatigue = fitted.fatigue_memory * self.fatigue + on_topics
        if fitted.drift:
            self.factors = _dynamics.factors_after(
                self.factors, clicked, fitted.item_factors[items], fitted.drift
            )
        self.time += 1

    def create_observation(self) -> dict[str, np.ndarray]:
        """Returns the clicks a slate on each topic, features, and the hidden state if asked for."""
        state = {
            "clicks": self.clicks,
            "time": np.array(self.time),
            "factors": self.factors,
            "fatigue": self.fatigue,
        }
        index = np.array(self.index)
        return self.scenario.observed_user(index, state, np.dtype(np.float64))

    def observation_space(self) -> spaces.Dict:  # type: ignore[override]
        """Returns the space of the observations."""
        return self.scenario.user_space()


class AverageUser:
    """The average user as agents know him: by the quality of documents."""

    __module__ = _MODULE

    def score_document(self, doc_obs: Mapping[str, Any]) -> float:
        """Returns the utility of an observed document."""
        return float(average_scores(doc_obs))


class FittedUserSampler(user.AbstractUserSampler):
    """Samples fitted users by their weights, or goes through them in their order.

    Args:
        scenario: the scenario.
        seed: see :class:`recsim.user.AbstractUserSampler`.
    """

    __module__ = _MODULE

    def __init__(self, scenario: FittedScenario, seed: int | None = 0) -> None:
        self.scenario = scenario
        self.parameters = scenario.options
        self.next_user = 0
        super().__init__(FittedUserState, seed)

    def reset_sampler(self) -> None:
        """Sets the generator back to its seed: the same users follow again."""
        super().reset_sampler()
        self.next_user = 0

    def sample_user(self) -> types.UserState:
        """Returns a new user state."""
        if self.parameters.users == "each":
            index = self.next_user
            self.next_user = (index + 1) % self.scenario.fitted.num_users
        else:
            uniform = self._rng.random_sample()
            bounds = self.scenario.cumulative_weights[:-1]
            index = int(np.searchsorted(bounds, uniform, side="right"))
        return FittedUserState(self.scenario, index)

    def state_dict(self) -> dict[str, Any]:
        """Returns the generator, and who is next."""
        return {**super().state_dict(), "next_user": self.next_user}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from a state that :meth:`state_dict` returned."""
        super().load_state_dict(state)
        self.next_user = int(state["next_user"])


class FittedUserModel(user.AbstractUserModel):
    """A user who clicks, changes and leaves as the log has it.

    Args:
        scenario: the scenario.
        user_sampler: the sampler of users.
    """

    __module__ = _MODULE

    def __init__(self, scenario: FittedScenario, user_sampler: FittedUserSampler) -> None:
        self.scenario = scenario
        self.parameters = scenario.options
        self._ended = False
        super().__init__(FittedResponse, user_sampler, scenario.slate_size)
        # The user of the sampler's that is made with the model has no episode.
        user_sampler.next_user = 0

    def fingerprint_attributes(self) -> dict[str, object]:
        """Returns what is not in the parameters: nothing but the size of slates."""
        return {"slate_size": self._slate_size}

    @property
    def avg_user_state(self) -> AverageUser:
        """The average user, whose scores of documents agents may know."""
        return AverageUser()

    @property
    def slate_q_settings(self) -> dict[str, object]:
        """The settings of SlateQ that this scenario needs."""
        return self.scenario.slate_q_settings

    @property
    def avg_choice_model(self) -> choice_model.NormalizableChoiceModel:
        """What the average user's scores mean on a slate of one item: logits of a click."""
        return choice_model.MultinomialLogitChoiceModel({"no_click_mass": 0.0})

    def reset(self) -> None:
        """Puts a new user from the sampler in the place of this one."""
        super().reset()
        self._ended = False

    def item_names(self, item_ids: Sequence[str]) -> list[str]:
        """Returns what people call items, with their IDs; these alone where there are no names."""
        fitted = self.scenario.fitted
        if fitted.item_names is None:
            return list(item_ids)
        index = self.scenario.index_of_items
        names = [fitted.item_names[index[item_id]] for item_id in item_ids]
        return [
            name if name == item_id else f"{name} ({item_id})"
            for name, item_id in zip(names, item_ids, strict=True)
        ]

    def response_space(self) -> spaces.Tuple:
        """Returns the space of the responses to a slate."""
        space = spaces_lib.to_gym(self.scenario.response_space())
        return spaces.Tuple((space,) * self._slate_size)

    def is_terminal(self) -> bool:
        """Says whether the session is over."""
        return self._ended

    def simulate_response(self, documents: Sequence[Any]) -> list[Any]:
        """Returns the responses to a slate of FittedDocument."""
        scenario, fitted = self.scenario, self.scenario.fitted
        responses = []
        for doc in documents:
            quality = float(scenario.quality[doc.item])
            responses.append(
                FittedResponse(scenario, False, int(scenario.topics[doc.item]), quality)
            )
        if not documents:
            return responses
        state, uniform = self._user_state, self.environment_rng.random_sample
        model = fitted.click_models[state.kind]
        items = _items_of(documents)
        numbers = uniform(_dynamics.numbers_of_clicks(model, len(items)))
        clicked = _dynamics.sampled_clicks(model, state.utilities(items), numbers)
        for position in np.flatnonzero(clicked).tolist():
            responses[position].clicked = True
        values = fitted.values
        if values is not None:
            noise = self.environment_rng.standard_normal(len(items))
            means = values.item_means[items] + values.user_effects[state.index]
            factors = fitted.item_factors[items]
            drawn = _dynamics.sampled_values(values, means, state.factors, factors, noise)
            for response, value in zip(responses, drawn.tolist(), strict=True):
                response.value = value if response.clicked else 0.0
        return responses

    def update_state(self, slate_documents: Sequence[Any], responses: Sequence[Any]) -> None:
        """Changes the user by the clicks on a slate, after which the session may end."""
        state, session = self._user_state, self.scenario.fitted.session
        clicked = np.array([response.clicked for response in responses], np.bool_)
        step = state.time
        state.see(_items_of(slate_documents), clicked)
        self._ended = state.time >= self.scenario.most_steps
        if session is not None:
            hazard = _dynamics.hazards(session, clicked.any(), step)
            self._ended |= bool(self.environment_rng.random_sample() < hazard)

    def click_probabilities(self, documents: Sequence[Any]) -> np.ndarray:
        """Returns how likely each document of a slate is clicked, shape (slate_size,)."""
        model = self.scenario.fitted.click_models[self._user_state.kind]
        utility = self._user_state.utilities(_items_of(documents))
        return _dynamics.click_probabilities(model, utility)

    def choice_probabilities(self, documents: Sequence[Any]) -> np.ndarray | None:
        """Returns the probabilities of a click on each document and, last, on none.

        Returns:
            Array of shape (slate_size + 1,); None for a user who may click several.
        """
        model = self.scenario.fitted.click_models[self._user_state.kind]
        utility = self._user_state.utilities(_items_of(documents))
        return _dynamics.choice_probabilities(model, utility)


def _items_of(documents: Sequence[Any]) -> np.ndarray:
    return np.array([doc.item for doc in documents], np.int64)
