"""What a trained policy goes by: values of slates, probabilities or scores of candidates."""

from __future__ import annotations

import numpy as np

from recsim import spaces as spaces_lib
from recsim import types
from recsim.sb3 import _extra

_extra.require()

import torch  # noqa: E402
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy  # noqa: E402
from stable_baselines3.dqn.policies import DQNPolicy  # noqa: E402

__all__ = ["explanation"]

# How many slates an explanation has.
_SLATES = 10


def explanation(
    policy: BasePolicy,
    observation: object,
    form: spaces_lib.ActionForm,
    actions: np.ndarray,
) -> types.Explanation:
    """Returns what a policy goes by.

    Args:
        policy: the policy.
        observation: what it observes of one user, arrays with an axis of length 1 first.
        form: the form of its actions.
        actions: the most probable action, or the best one, shape (1, …).
    """
    with torch.no_grad():
        tensors, _ = policy.obs_to_tensor(observation)
        if isinstance(policy, DQNPolicy):
            values = policy.q_net(tensors)[0].numpy()
            return types.Explanation(
                "A Q-network of Stable-Baselines3: the slate of the highest Q-value.",
                [_of_slates(values, "Q-value", form)],
            )
        if isinstance(policy, ActorCriticPolicy):
            distribution = policy.get_distribution(tensors).distribution
            numbers = {"value of the state": float(policy.predict_values(tensors)[0, 0])}
            if form.form == "discrete":
                table = _of_slates(distribution.probs[0].numpy(), "probability", form)
                title = "the most probable slate."
            elif form.form == "slate":
                columns = {
                    f"probability at position {position}": of_position.probs[0].numpy()
                    for position, of_position in enumerate(distribution, start=1)
                }
                table = _of_candidates(columns)
                title = "the most probable candidate at each position."
            else:
                table = _of_candidates({"score": actions[0]})
                title = "the candidates of the highest scores."
            return types.Explanation(f"A policy of Stable-Baselines3: {title}", [table], numbers)
    return types.Explanation(
        "A policy of Stable-Baselines3: the candidates of the highest scores.",
        [_of_candidates({"score": actions[0]})] if form.form == "scores" else [],
    )


def _of_candidates(columns: dict[str, np.ndarray]) -> types.ExplanationTable:
    number = len(next(iter(columns.values())))
    return types.ExplanationTable("candidate", range(number), columns)


def _of_slates(
    numbers: np.ndarray, name: str, form: spaces_lib.ActionForm
) -> types.ExplanationTable:
    """Returns the slates of the highest numbers."""
    best = np.argsort(-numbers, kind="stable")[:_SLATES]
    slates = [tuple(np.asarray(form.slate(number)).tolist()) for number in best]
    return types.ExplanationTable("slate", slates, {name: numbers[best]})
