"""Records an episode: what was there to choose from, shown, chosen, felt and thought."""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from recsim import choice_model, seeding, types
from recsim._internal import numbers, validation
from recsim._internal.overrides import own_method
from recsim.simulator import environment, rollout
from recsim.watching import _leaves, episode

__all__ = ["environment_of_one_user", "watch"]

# Names under which responses say that a document was chosen.
_CLICKS = ("click", "clicked")


def watch(
    env: object,
    agent: types.SlateAgent,
    *,
    max_steps: int = 200,
    seed: int | None = None,
    title: str | None = None,
    show: bool | None = None,
) -> episode.Episode:
    """Runs an episode and shows it: in the terminal step by step, in a notebook as a page.

    The episode is the one that the agent would have in any other rollout: nothing that is recorded
    takes numbers from a random stream.

    Args:
        env: an environment of one user, as the scenarios' ``create_environment`` or
            ``gymnasium.make`` makes it. Where its user model has a method
            ``choice_probabilities(documents)``, which may return None, or a choice model whose
            scores are weights of choices in an attribute ``choice_model``, the probabilities are
            recorded; and with a method ``item_names(item_ids)`` the names of items.
        agent: the agent. It is not told that it is watched: one that learns learns from the
            episode. Where it has a method ``explain``, see :class:`recsim.types.Explains`, what it
            says is recorded.
        max_steps: number of steps, >= 1, after which the episode is truncated.
        seed: an integer >= 0 that users, documents and choices depend on from now on; None to
            continue as before.
        title: a line on agent and environment; their classes by default.
        show: whether to print the episode, step by step if the standard input is a terminal. By
            default it is printed but in a notebook, which shows what is returned.

    Returns:
        The episode, which can be written as a page (:meth:`~recsim.watching.Episode.to_html`).

    Raises:
        TypeError: if the environment or the agent is of another kind.
        ValueError: if the environment has several users, or an argument is out of its range.

    Example:
        >>> import recsim
        >>> env = recsim.environments.long_term_satisfaction.create_environment(
        ...     {"num_candidates": 5, "slate_size": 1, "resample_documents": True})
        >>> episode = recsim.watch(
        ...     env, recsim.registry.create_agent("random", env), max_steps=4, show=False)
        >>> episode[0].probabilities
        array([1., 0.])
        >>> sorted(set(episode[0].state) & {"satisfaction", "time_budget"})
        ['satisfaction', 'time_budget']
    """
    recsim_env = environment_of_one_user(env)
    if not types.is_slate_agent(agent) or isinstance(agent, type):
        hint = ""
        if hasattr(agent, "make_agent"):  # It serves.
            hint = " Pass what its make_agent() returns."
        elif callable(agent):
            hint = " Pass an agent, not what makes one."
        raise TypeError(
            "agent must be an agent of one user, with begin_episode, step and end_episode, got "
            f"{numbers.described(agent)}.{hint}"
        )
    validation.positive_int("max_steps", max_steps)
    if title is not None and not isinstance(title, str):
        raise TypeError(f"title must be a string, got {title!r}.")
    if show is not None:
        validation.flag("show", show)
    if seed is not None:
        validation.positive_int("seed", seed, 0, 2**32 - 1)
        _reseed(recsim_env, seed)
    recorder = _Recorder(recsim_env)
    ended = rollout.run_episode(
        cast(types.RecommenderEnv, recorder), agent, max_steps=max_steps, listeners=[recorder]
    )
    if title is None:
        title = f"{_name(agent)} in {type(recsim_env.environment.user_model).__name__}"
    recorded = episode.Episode(title, tuple(recorder.steps), ended.truncated)
    if not _in_notebook() if show is None else show:
        recorded.show()
    return recorded


def environment_of_one_user(env: object) -> types.RecommenderEnv:
    """Returns an environment in RecSim's form, which has one user.

    Args:
        env: an environment in the form of RecSim or of Gymnasium.

    Raises:
        TypeError: if it is something else.
        ValueError: if it has several users.
    """
    inner = getattr(env, "unwrapped", env)
    found = getattr(inner, "recsim_env", env)  # Of Gymnasium's form.
    if types.is_vector_env(found):
        raise TypeError(
            "env must be an environment of one user: an episode to watch is that of one user, got "
            f"{numbers.described(env)}, of users in parallel. Make it by create_environment."
        )
    if not types.is_recommender_env(found):
        raise TypeError(
            "env must be an environment of one user, as the scenarios' create_environment makes, "
            f"got {numbers.described(env)}."
        )
    recsim_env = cast(types.RecommenderEnv, found)
    if rollout.has_several_users(recsim_env) or isinstance(
        recsim_env.environment.user_model, (list, tuple)
    ):
        number = len(cast(Sequence[object], recsim_env.environment.user_model))
        raise ValueError(
            f"env must have one user, got one with {number} users: an episode to watch is that of "
            "one user. Make a SingleUserEnvironment of one of the user models."
        )
    return recsim_env


def _reseed(env: types.RecommenderEnv, seed: int) -> None:
    """Gives users, documents and choices other seeds, as ``reset(seed=…)`` of Gymnasium does."""
    reseed = own_method(env.environment, environment.AbstractEnvironment, "reseed_samplers")
    reseed(seed)
    cast(Any, env).seed(seeding.derived_seed(seed, "choices"))


def _name(agent: object) -> str:
    """Returns the names of an agent's class and of those in it."""
    inner = getattr(agent, "_base_agents", ())
    names = list(dict.fromkeys(map(_name, inner)))
    own = type(agent).__name__
    return f"{own}({names[0]})" if len(names) == 1 else own


def _in_notebook() -> bool:
    """Says whether what is returned is shown: in a notebook, not in IPython's terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


class _Recorder(rollout.Listener):
    """An environment that records what a rollout does in it, and the rollout's listener.

    As an environment it knows the slate before the user does: that is when choice probabilities
    can be told.

    Args:
        env: the environment in RecSim's form.
    """

    def __init__(self, env: types.RecommenderEnv) -> None:
        self._env = env
        self.environment = env.environment
        self.steps: list[episode.Step] = []
        self._observation: types.Observation = {}
        self._state: Mapping[str, _leaves.Leaf] = {}
        self._probabilities: np.ndarray | None = None

    # As an environment.

    def reset(self) -> types.Observation:
        """Begins an episode."""
        return self._env.reset()

    def step(self, action: types.Action) -> tuple[types.Observation, Any, bool, Any]:
        """Looks at the probabilities of the user's choice, and shows the slate."""
        self._probabilities = self._choice_probabilities(action)
        return self._env.step(action)

    # As a listener.

    def on_reset(self, observation: types.Observation) -> None:
        """Looks at the new user."""
        self._observation = observation
        self._state = self._hidden_state()

    def on_step(self, step: rollout.Step) -> None:
        """Records a step."""
        documents = _documents(step.observation)
        responses = _leaves.stacked(
            [_leaves.leaves(each, "response") for each in step.next_observation["response"]]
        )
        before, self._state = self._state, self._hidden_state()
        self._observation = step.next_observation
        self.steps.append(
            episode.Step(
                item_ids=tuple(documents),
                candidates=_leaves.stacked(
                    [_leaves.leaves(document, "features") for document in documents.values()]
                ),
                user=_leaves.leaves(step.observation["user"], "features"),
                slate=_indices(step.slate),
                probabilities=self._probabilities,
                responses=responses,
                clicked=_clicked(responses),
                reward=float(step.reward),
                state=before,
                next_state=self._state,
                explanation=_explanation(step.agent, step.observation),
                item_names=self._item_names(tuple(documents)),
            )
        )

    def _item_names(self, item_ids: tuple[str, ...]) -> tuple[str, ...] | None:
        """Returns the names of items where the user model has a method ``item_names``."""
        named = getattr(self.environment.user_model, "item_names", None)
        names = named(item_ids) if callable(named) else None
        return None if names is None else tuple(map(str, names))

    def _user_state(self) -> object:
        # RecSim's name, which its subclasses rely on.
        return getattr(self.environment.user_model, "_user_state", None)

    def _hidden_state(self) -> dict[str, _leaves.Leaf]:
        state = self._user_state()
        return {} if state is None else _leaves.leaves_of_object(state)

    def _choice_probabilities(self, slate: types.Action) -> np.ndarray | None:
        """Returns the probabilities that the user chooses each position and, last, none of them."""
        documents = _documents(self._observation)
        ids = list(documents)
        try:
            shown = [ids[index] for index in _indices(slate)]
        except (IndexError, TypeError, ValueError):
            return None  # The environment refuses such a slate.
        if not shown:
            return None
        user_model: Any = self.environment.user_model
        if callable(getattr(user_model, "choice_probabilities", None)):
            of_slate = self.environment.candidate_set.get_documents(shown)
            known = user_model.choice_probabilities(of_slate)
            return None if known is None else _checked_probabilities(known, len(shown))
        model = getattr(user_model, "choice_model", None)
        if not isinstance(model, choice_model.NormalizableChoiceModel) or (
            type(model).choose_item is not choice_model.NormalizableChoiceModel.choose_item
        ):
            return None
        # It may be any user's model, which need not use its choice model in this way.
        with contextlib.suppress(Exception):
            model, state = copy.deepcopy((model, self._user_state()))
            model.score_documents(state, [documents[item_id] for item_id in shown])
            no_click = numbers.as_float("score_no_click", model.score_no_click)
            weights = np.append(np.ravel(np.asarray(model.scores)), no_click)
            return _checked_probabilities(weights / weights.sum(), len(shown))
        return None


def _documents(observation: types.Observation) -> dict[str, object]:
    """Returns the observations of the candidates by their IDs."""
    documents = observation["doc"]
    pairs = documents.items() if isinstance(documents, Mapping) else enumerate(documents)
    return {str(item_id): document for item_id, document in pairs}


def _indices(slate: object) -> tuple[int, ...]:
    return tuple(int(index) for index in np.ravel(cast(Any, slate)))


def _clicked(responses: Mapping[str, np.ndarray]) -> tuple[int, ...] | None:
    for name in _CLICKS:
        clicks = responses.get(name)
        if clicks is not None and clicks.ndim == 1 and clicks.dtype.kind in "biuf":
            return tuple(np.flatnonzero(clicks).tolist())
    return None


def _checked_probabilities(probabilities: object, num_shown: int) -> np.ndarray:
    """Returns probabilities of a choice as an array.

    Raises:
        ValueError: if they are not a distribution over the slate and no click.
    """
    array = numbers.float_array("choice_probabilities", cast(Any, probabilities))
    if array.shape != (num_shown + 1,) or not (
        (array >= 0.0).all() and abs(array.sum() - 1.0) < 1e-6
    ):
        raise ValueError(
            f"choice_probabilities must return {num_shown + 1} probabilities that sum to 1, of the "
            f"{num_shown} positions and, last, of no click, got {array.tolist()}."
        )
    return array.astype(np.float64)


def _explanation(agent: object, observation: types.Observation) -> types.Explanation | None:
    if not types.explains(agent):
        return None
    explanation = agent.explain(observation)
    if explanation is not None and not isinstance(explanation, types.Explanation):
        raise TypeError(
            f"{type(agent).__name__}.explain must return a recsim.types.Explanation or None, got "
            f"{numbers.described(explanation)}."
        )
    return explanation
