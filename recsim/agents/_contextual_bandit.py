"""What contextual bandit agents of both engines share: settings, scores, learning and state."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from recsim import types
from recsim._internal import arrays, bundles, numbers, observations, validation
from recsim.agents import _contexts, _propensities
from recsim.agents._action_masks import masked_propensities

if TYPE_CHECKING:
    from recsim.agents.bandits import linear_algorithms, logistic_algorithms

    Model: TypeAlias = (
        linear_algorithms.LinearModels
        | linear_algorithms.HybridModel
        | logistic_algorithms.LogisticModels
    )

__all__ = ["ContextualBandit", "Settings", "check_number_of_documents", "checked_last"]

_CHOICES = {
    "explore": ("ucb", "thompson", "epsilon_greedy"),
    "model": ("linear", "logistic"),
    "weights": ("shared", "disjoint", "hybrid"),
    "interaction": _contexts.INTERACTIONS,
    "learn_from": ("slate", "first_click", "last_click"),
}

# How much is explored where nothing is said: widths of bounds and posteriors, or a probability.
_EXPLORATION = {"ucb": 1.0, "thompson": 1.0, "epsilon_greedy": 0.1}

# The largest contexts by model. Matrices of their square are multiplied, factored and solved in a
# step, which takes about two seconds of a processor core at these sizes.
_MOST_NUMBERS = {"linear": 4096, "logistic": 2048}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a contextual bandit.

    See :class:`recsim.agents.contextual_bandit_agent.ContextualBanditAgent`.
    """

    #: Names of those that shape what is learned.
    of_state: ClassVar[tuple[str, ...]] = (
        "model",
        "weights",
        "ridge",
        "diagonal",
        "learn_from",
        "reward_field",
    )

    explore: str
    model: str
    weights: str
    exploration: float | None
    exploration_eval: float
    ridge: float
    diagonal: bool
    interaction: str
    arm_field: str | None
    learn_from: str
    reward_field: str
    propensity_samples: int | None
    seed: int | None

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            _check_choice(name, getattr(self, name), known)
        if self.exploration is None:
            object.__setattr__(self, "exploration", _EXPLORATION[self.explore])
        for name in ("exploration", "exploration_eval"):
            check = validation.non_negative_float
            if self.explore == "epsilon_greedy":
                check = validation.probability
            object.__setattr__(self, name, check(name, getattr(self, name)))
        object.__setattr__(self, "ridge", validation.positive_float("ridge", self.ridge))
        object.__setattr__(self, "diagonal", validation.flag("diagonal", self.diagonal))
        if not isinstance(self.reward_field, str):
            raise TypeError(
                f"reward_field must be a string, got {numbers.described(self.reward_field)}."
            )
        if not isinstance(self.arm_field, (str, type(None))):
            raise TypeError(
                f"arm_field must be a string or None, got {numbers.described(self.arm_field)}."
            )
        if self.seed is not None:
            object.__setattr__(self, "seed", validation.seed("seed", self.seed))
        self._check_together()

    def _check_together(self) -> None:
        """Raises ValueError for a setting that has no effect beside the others."""
        if self.model == "logistic" and self.weights == "hybrid":
            raise ValueError(
                "weights must be 'shared' or 'disjoint' for model='logistic', got 'hybrid', which "
                "is for model='linear'."
            )
        if self.diagonal and self.model != "logistic":
            raise ValueError("diagonal must be False for model='linear', got True.")
        if self.arm_field is not None and self.weights == "shared":
            raise ValueError(
                "arm_field must be None for weights='shared', which has no arms, got "
                f"{self.arm_field!r}: choose weights='disjoint' or 'hybrid'."
            )
        if self.propensity_samples is not None:
            validation.positive_int("propensity_samples", self.propensity_samples)
            if self.explore != "thompson":
                raise ValueError(
                    "propensity_samples must be None for other agents than those of "
                    "explore='thompson', whose propensities are exact, got "
                    f"{self.propensity_samples}."
                )


def _check_choice(name: str, value: object, known: tuple[str, ...]) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {numbers.described(value)}.")
    if value not in known:
        raise ValueError(
            f"{name} must be one of {', '.join(map(repr, known))}, got "
            f"{numbers.described(value)}.{validation.nearest_name(value, known)}"
        )


class ContextualBandit:
    """A contextual bandit: scores documents, and learns from responses.

    Features of users have the shape (n_users, user_size), and those of documents
    (n_users, num_documents, doc_size).

    Args:
        observation_space: space of one user's observations.
        slate_size: number of documents of a slate.
        settings: the settings.

    Attributes:
        settings: the settings.
        contexts: what makes contexts of features.
        num_updates: number of updates of what is learned so far.
        training_steps: number of slates learned from so far.

    Raises:
        TypeError, ValueError: for spaces that give no contexts or rewards, or contexts so large
            that a step would take seconds.
        MemoryError: if there is no memory for the estimates.
    """

    def __init__(
        self, observation_space: types.DictSpace, slate_size: int, settings: Settings
    ) -> None:
        self.settings = settings
        self.contexts = _contexts.Contexts(
            observation_space,
            settings.interaction,
            weights=settings.weights,
            arm_field=settings.arm_field,
        )
        num_documents = self.contexts.adapter.num_candidates
        if slate_size > num_documents:
            raise ValueError(
                f"A slate holds different documents: action_space has slates of {slate_size}, but "
                f"observation_space['doc'] has only {num_documents} documents."
            )
        _check_responses(observation_space.spaces["response"], settings)
        _check_size(self.contexts, settings.model)
        self._model = _made_model(self.contexts, settings)
        self.num_updates = 0
        self.training_steps = 0

    def named(self, agent: object) -> str:
        """Returns the name of an agent's class, with how it explores and what it learns."""
        settings = self.settings
        how = settings.explore, settings.model, settings.weights
        return f"{type(agent).__name__} ({', '.join(how)})"

    # Choosing.

    @property
    def num_normals(self) -> int:
        """How many normal numbers a user takes for a slate by Thompson sampling."""
        return self._model.num_normals

    def exploration(self, *, for_training: bool) -> float:
        """Returns how much is explored in training or in evaluation."""
        settings = self.settings
        explored = settings.exploration if for_training else settings.exploration_eval
        assert explored is not None
        return explored

    def scores(
        self,
        users: np.ndarray,
        documents: np.ndarray,
        exploration: float,
        normals: np.ndarray | None,
    ) -> np.ndarray:
        """Returns the scores of documents, float64 of shape (n_users, num_documents).

        They are means, upper confidence bounds, or means under sampled weights, by the settings.

        Args:
            users: features of users.
            documents: features of documents.
            exploration: the width of bounds or of the posterior; of no effect in epsilon-greedy.
            normals: standard normal numbers, shape (n_users, num_normals), for Thompson sampling.
        """
        scores = np.empty(documents.shape[:2])
        size = self.contexts.users_of_block(documents.shape[1])
        explore = self.settings.explore
        arms = self.contexts.arms_of(documents)
        for start in range(0, len(users), size):
            rows = slice(start, start + size)
            contexts = self.contexts.of(users[rows], documents[rows])
            of_rows = None if arms is None else arms[rows]
            if explore == "thompson" and exploration > 0.0:
                assert normals is not None
                scores[rows] = self._model.sampled_means(
                    contexts, normals[rows], exploration, of_rows
                )
                continue
            flat = contexts.reshape(-1, contexts.shape[-1])
            of_flat = None if of_rows is None else of_rows.reshape(-1)
            found = self._model.means(flat, of_flat)
            if explore == "ucb" and exploration > 0.0:
                found += exploration * self._model.deviations(flat, of_flat)
            scores[rows] = found.reshape(contexts.shape[:2])
        if not np.isfinite(scores).all():
            raise FloatingPointError(
                "The bandit's scores are no longer finite: scale features and rewards to about 1."
            )
        return scores

    def takes_normals(self, exploration: float) -> bool:
        """Says whether scores take normal numbers."""
        return self.settings.explore == "thompson" and exploration > 0.0

    def best(
        self,
        users: np.ndarray,
        documents: np.ndarray,
        slate_size: int,
        exploration: float,
        normals: np.ndarray | None = None,
    ) -> np.ndarray:
        """Returns the documents of the highest scores, int32 of shape (n_users, slate_size).

        Args:
            users: features of users.
            documents: features of documents, and their masks.
            slate_size: number of documents of a slate.
            exploration: see :meth:`scores`.
            normals: see :meth:`scores`.

        Raises:
            ValueError: if there are fewer documents than the slate has places.
        """
        check_number_of_documents(documents.shape[1], slate_size)
        features, _ = self.contexts.adapter.split(documents)
        scores = self.scores(users, features, exploration, normals)
        return self.highest(scores, documents, slate_size)

    def highest(self, scores: np.ndarray, documents: np.ndarray, slate_size: int) -> np.ndarray:
        """Returns the documents of the highest scores, which are overwritten, in allowed slates.

        Args:
            scores: what :meth:`scores` returned.
            documents: features of the documents, and their masks.
            slate_size: number of documents of a slate.
        """
        allowed = self.contexts.adapter.allowed_slates(documents)
        return arrays.highest(scores, slate_size) if allowed is None else allowed.best(scores)

    def propensities(
        self,
        users: np.ndarray,
        documents: np.ndarray,
        slates: np.ndarray,
        slate_size: int,
        exploration: float,
    ) -> types.Propensities | None:
        """Returns the probabilities of slates, None if none are known, NaN of users without.

        Args:
            users: features of users.
            documents: features of documents, and their masks.
            slates: the slates to ask for, shape (n_users, …, slate_size).
            slate_size: number of documents of the slates that are shown.
            exploration: how much is explored.
        """
        of_users = users, documents, slate_size, exploration
        if not self.takes_normals(exploration):
            best = self.best(*of_users)
            if self.settings.explore == "epsilon_greedy":
                allowed = self.contexts.adapter.allowed_slates(documents)
                of_best = slates, best, exploration
                return masked_propensities.epsilon_greedy(*of_best, documents.shape[1], allowed)
            return _propensities.deterministic(slates, best)
        num_samples = self.settings.propensity_samples
        if num_samples is None:
            return None
        # Of what is observed, so that nothing has to be remembered.
        seeds = [zlib.crc32(np.ascontiguousarray(array).tobytes()) for array in (users, documents)]
        rng = np.random.default_rng([self.settings.seed or 0, self.num_updates, *seeds])
        times = np.full(slates.shape, 0.5)
        for _ in range(num_samples):
            sampled = self.best(*of_users, rng.standard_normal((len(users), self.num_normals)))
            times += slates == sampled.reshape(len(users), *[1] * (slates.ndim - 2), -1)
        return types.Propensities(None, times / (num_samples + 1), None, num_samples)

    def explained(
        self, user: np.ndarray, documents: np.ndarray, exploration: float, scores: object
    ) -> types.Explanation:
        """Returns what the choice for a user went by.

        Args:
            user: the user's features, shape (user_size,).
            documents: the documents', and their masks, shape (num_documents, doc_width).
            exploration: how much is explored.
            scores: the scores of the choice, where they were sampled; else None.
        """
        documents, masks = self.contexts.adapter.split(documents)
        contexts = self.contexts.of(user[np.newaxis], documents[np.newaxis])[0]
        arms = self.contexts.arms_of(documents)
        means, deviations = (
            self._model.means(contexts, arms),
            self._model.deviations(contexts, arms),
        )
        settings = self.settings
        what = "logit of a click" if settings.model == "logistic" else settings.reward_field
        columns: dict[str, Any] = {f"estimated {what}": means, "standard deviation": deviations}
        if arms is not None:
            columns["arm"] = arms
        if masks is not None:
            columns["positions that it may have"] = masks.sum(axis=1)
        found: dict[str, float] = {"updates": self.num_updates}
        if settings.explore == "ucb":
            columns["upper bound"] = means + exploration * deviations
        elif settings.explore == "thompson":
            if isinstance(scores, np.ndarray) and scores.shape == means.shape:
                columns["sampled"] = scores
        else:
            found["probability of a random slate"] = exploration
        by = {
            "ucb": "upper bound",
            "thompson": "sampled estimate" if exploration > 0.0 else "estimate",
            "epsilon_greedy": "estimate",
        }[settings.explore]
        return types.Explanation(
            f"Contextual bandit, {settings.model} model ({settings.weights} weights): the "
            f"candidates of the highest {by}.",
            [types.ExplanationTable("candidate", range(len(means)), columns)],
            found,
        )

    # Learning.

    def outcome(
        self, responses: Sequence[Mapping[str, Any]], slate_size: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns whether the documents of a slate were clicked, and what they brought.

        Args:
            responses: the responses to the slate.
            slate_size: number of documents of the slate.

        Returns:
            Bools and float64, both of shape (1, slate_size).
        """
        clicked = observations.clicks(responses, slate_size)
        field = self.settings.reward_field
        brought = [
            numbers.finite(f"a response's {field}", observations.of_response(response, field))
            for response in responses
        ]
        return np.array([clicked]), np.array([brought], np.float64)

    def outcomes(
        self, responses: Mapping[str, np.ndarray], shape: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns what :meth:`outcome` does, for users in parallel: arrays of the shape given."""
        field = self.settings.reward_field
        clicked = observations.clicks_of_users(responses, shape)
        brought = numbers.finite_per_item(f"responses' {field}", responses[field], 2)
        if brought.shape != shape:
            raise ValueError(
                f"observation['response'][{field!r}] must have a number for each document of "
                f"each slate, shape {shape}, got shape {brought.shape}."
            )
        return clicked, brought.astype(np.float64)

    def learn(
        self, users: np.ndarray, documents: np.ndarray, clicked: np.ndarray, brought: np.ndarray
    ) -> None:
        """Learns from the documents of slates that count as looked at.

        Args:
            users: features of users.
            documents: features of the documents of their slates, in the order of the slate.
            clicked: whether they were clicked, shape (n_users, slate_size).
            brought: what they brought if they were, of the same shape.

        Raises:
            FloatingPointError: if features or rewards are so large, or so different in size, that
                estimates are not finite or not exact.
            ValueError: if a reward is not in [0, 1] and the model logistic.
        """
        looked_at = self._looked_at(clicked)
        own = self.settings.reward_field == "click"
        rewards = clicked.astype(np.float64) if own else np.where(clicked, brought, 0.0)
        arms = self.contexts.arms_of(documents)
        # Blocks that do not depend on the processor, for the estimates depend on them.
        size = 8 * self.contexts.users_of_block(documents.shape[1])
        for start in range(0, len(users), size):
            rows = slice(start, start + size)
            some = looked_at[rows]
            if not some.any():
                continue
            self._model.update(
                self.contexts.of(users[rows], documents[rows])[some],
                rewards[rows][some],
                None if arms is None else arms[rows][some],
            )
        self.num_updates += 1
        self.training_steps += len(users)

    def _looked_at(self, clicked: np.ndarray) -> np.ndarray:
        """Says which documents of slates are learned from, bools of shape (n_users, slate_size).

        In the cascade model a user looks at documents in turn up to the first click, in the
        dependent click model up to the last one. Who clicks nothing has looked at all.
        """
        learn_from = self.settings.learn_from
        if learn_from == "slate":
            return np.ones(clicked.shape, np.bool_)
        places = np.arange(clicked.shape[1])
        if learn_from == "first_click":
            end = clicked.argmax(axis=1)
        else:
            end = clicked.shape[1] - 1 - clicked[:, ::-1].argmax(axis=1)
        looked_at: np.ndarray = places <= end[:, np.newaxis]
        looked_at[~clicked.any(axis=1)] = True
        return looked_at

    # State.

    def description(self) -> dict[str, Any]:
        """Returns what the bandit that a state is of and this one must have in common."""
        settings = {name: getattr(self.settings, name) for name in Settings.of_state}
        return {**self.contexts.description(), **settings}

    def state_dict(self) -> types.State:
        """Returns what was learned, as data."""
        return {
            "description": self.description(),
            "num_updates": self.num_updates,
            "training_steps": self.training_steps,
            "model": self._model.state_dict(),
        }

    def check(self, owner: object, state: types.State) -> None:
        """Raises ValueError, or UnfitStateError, for something else than :meth:`state_dict`.

        Args:
            owner: the agent that is to be restored.
            state: the state.
        """
        bundles.require(owner, state, "description", "model", "num_updates")
        described = bundles.entries(owner, "description", state["description"])
        own = self.description()
        if dict(described) != own:
            raise bundles.UnfitStateError(
                f"it is of another agent or of other spaces. It has {dict(described)}, this agent "
                f"has {own}"
            )
        for name in ("num_updates", "training_steps"):
            bundles.count(owner, name, state.get(name, 0))
        self._model.checked_state(owner, state["model"])

    def load_state_dict(self, state: types.State) -> None:
        """Restores a state that :meth:`check` has nothing against."""
        self._model.load_state(state["model"])
        self.num_updates = int(state["num_updates"])
        # States of earlier versions do not tell it of users in parallel.
        self.training_steps = int(state.get("training_steps", self.num_updates))


def check_number_of_documents(num_documents: int, slate_size: int) -> None:
    """Raises ValueError if there are fewer documents than a slate has places."""
    if num_documents < slate_size:
        raise ValueError(
            f"slate_size must be at most the number of documents, got a slate of {slate_size} and "
            f"{num_documents} documents."
        )


def checked_last(
    owner: object, last: object, of_users: tuple[int, ...], of_documents: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns the features that responses belong to next, out of a state; refuses something else.

    Args:
        owner: the agent that is to be restored.
        last: what the state has: features of users and documents, or None.
        of_users: the shape of the former.
        of_documents: the shape of the latter.
    """
    if last is None:
        return None
    if not isinstance(last, (tuple, list)) or len(last) != 2:
        bundles.refuse(owner, "last", "features of users and of the documents shown, or None", last)
    users, documents = last
    return (
        bundles.array(owner, "last", users, of_users),
        bundles.array(owner, "last", documents, of_documents),
    )


def _made_model(contexts: _contexts.Contexts, settings: Settings) -> Model:
    from recsim.agents.bandits import linear_algorithms

    if settings.model == "logistic":
        from recsim.agents.bandits import logistic_algorithms

        return logistic_algorithms.LogisticModels(
            contexts.size,
            contexts.num_arms,
            ridge=settings.ridge,
            diagonal=settings.diagonal,
        )
    if settings.weights == "hybrid":
        return linear_algorithms.HybridModel(
            contexts.size, contexts.size_of_user, contexts.num_arms, ridge=settings.ridge
        )
    return linear_algorithms.LinearModels(contexts.size, contexts.num_arms, ridge=settings.ridge)


def _check_size(contexts: _contexts.Contexts, model: str) -> None:
    """Raises ValueError for contexts so large that a step would take seconds."""
    most = _MOST_NUMBERS[model]
    if contexts.size <= most:
        return
    user, document = contexts.adapter.user_size, contexts.adapter.doc_size
    products = contexts.size - contexts.size_of_user - document
    raise ValueError(
        f"contexts must have at most {most:,} numbers for model={model!r}, for a step takes time "
        f"by their square and cube, seconds beyond; got {contexts.size:,}: 1, {user:,} of the "
        f"user, {document:,} of the document, and {products:,} products of both "
        f"(interaction={contexts.interaction!r}). Choose interaction='none', observe fewer "
        "features, or show recent slates by their average (RecentSlatesLayer.average = True)."
    )


def _check_responses(space: types.Space, settings: Settings) -> None:
    """Raises ValueError if responses do not have what is learned from."""
    fields = observations.fields_of_response(space, "click", settings.reward_field)
    names = list(fields)
    if "click" not in names:
        raise ValueError(
            "observation_space['response'] must have the key 'click', for what users clicked is "
            f"learned from, got responses with {names}."
        )
    field = settings.reward_field
    if field not in names:
        raise ValueError(
            f"observation_space['response'] must have the reward_field {field!r}, got responses "
            f"with {names}.{validation.nearest_name(field, names)}"
        )
    if settings.model == "logistic" and field != "click":
        low, high = getattr(fields[field], "low", 0.0), getattr(fields[field], "high", 1.0)
        if np.min(low) < 0.0 or np.max(high) > 1.0:
            raise ValueError(
                "reward_field must name numbers in [0, 1] for model='logistic', got "
                f"{field!r} of the space {fields[field]}: choose model='linear'."
            )
