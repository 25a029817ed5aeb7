"""Learning from logged slates, of whatever agent, without an environment."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from recsim._internal import numbers, validation
from recsim.agents.dopamine import circular_replay_buffer, learner

__all__ = ["LoggedSlates", "fill", "learn"]


class LoggedSlates(Protocol):
    """What a log has to hold, such as a :class:`recsim.ope.log.SlateLog`.

    Rows are slates; those of an episode follow one another.
    """

    @property
    def items(self) -> np.ndarray:
        """What was shown: the candidates' indices, shape (n, slate_size)."""

    @property
    def rewards(self) -> np.ndarray:
        """Of the slates, shape (n,)."""

    @property
    def position_rewards(self) -> np.ndarray | None:
        """What each document earned, shape (n, slate_size)."""

    @property
    def clicks(self) -> np.ndarray | None:
        """Which documents were clicked, bools of shape (n, slate_size)."""

    @property
    def users(self) -> np.ndarray:
        """Whom the slates were shown to, integers of shape (n,)."""

    @property
    def episodes(self) -> np.ndarray:
        """Number of the user's episode, shape (n,)."""

    @property
    def terminated(self) -> np.ndarray:
        """Whether the environment ended the episode with a slate, shape (n,)."""

    @property
    def user_features(self) -> np.ndarray:
        """Of the users before the slates, shape (n, user_size)."""

    @property
    def candidate_features(self) -> np.ndarray | None:
        """Of all candidates, shape (n or 1, num_candidates, doc_size)."""


def fill(
    q_learner: learner.QLearner[circular_replay_buffer.WrappedReplayBuffer], log: LoggedSlates
) -> None:
    """Adds logged transitions to a replay buffer.

    What follows the last slate of an episode that was not terminated is not in the log. Such an
    episode loses its last slate, whose state is what the one before led to.

    Raises:
        ValueError: if the log does not fit what is learned, or the buffer.
    """
    values, replay = q_learner.values, q_learner.replay
    if values.adapter.mask_size:
        raise ValueError(
            "A log tells nothing of action masks, and the agent was made for documents that have "
            "them: make it for an environment without masks to learn from a log."
        )
    features = log.candidate_features
    if features is None:
        raise ValueError(
            "The log has no candidate_features, and an agent learns from what it could have shown "
            "too: log by recsim.ope.simulated.collect."
        )
    number, slate_size = log.items.shape
    shape = (features.shape[1], features.shape[2], log.user_features.shape[1], slate_size)
    adapter = values.adapter
    wanted = (adapter.num_candidates, adapter.doc_size, adapter.user_size, values.slate_size)
    if shape != wanted:
        raise ValueError(
            "The log must be of the scenario that the agent was made for, with num_candidates, "
            f"features of a document, features of a user and slate_size = {wanted}, got {shape}."
        )
    if number > replay.capacity:
        raise ValueError(
            f"The log has {number} slates, more than the replay_capacity of {replay.capacity}: "
            "make the agent with a greater one."
        )
    clicks, rewards = _outcomes(q_learner, log)
    users = log.user_features.astype(np.float32)
    documents = np.broadcast_to(features, (number, *features.shape[1:]))
    follows = (np.diff(log.users) == 0) & (np.diff(log.episodes) == 0)
    last = np.append(~follows, True)
    for row in range(number):
        state = users[row], documents[row], log.items[row]
        if not last[row]:
            replay.add(*state, int(clicks[row]), float(rewards[row]), terminal=False)
        elif log.terminated[row]:
            replay.add(*state, int(clicks[row]), float(rewards[row]), terminal=True)
        else:
            replay.truncate(*state)


def _outcomes(
    q_learner: learner.QLearner[circular_replay_buffer.WrappedReplayBuffer], log: LoggedSlates
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the clicked positions, and the rewards to learn from.

    What is learned of a response, such as the time that a document was watched, is what the
    document earned.
    """
    responses: dict[str, np.ndarray] = {}
    field = getattr(q_learner.values, "reward_field", "")
    if field != "":  # Documents are learned, from clicks.
        if log.clicks is None:
            raise ValueError("The log has no clicks, by which values of documents are learned.")
        responses["click"] = log.clicks.astype(np.float64)
        if field is not None:
            if log.position_rewards is None:
                raise ValueError(
                    f"The log has no position_rewards, of which the reward_field {field!r} is "
                    "learned: make the agent with reward_field=None, or give them."
                )
            responses[field] = log.position_rewards
    rewards = np.asarray(log.rewards, np.float64)
    clicks, learned = q_learner.values.outcomes(responses, rewards)
    numbers.finite_per_user("rewards to learn from", learned, len(learned), single_precision=True)
    return clicks, learned


def learn(
    q_learner: learner.QLearner[circular_replay_buffer.WrappedReplayBuffer],
    log: LoggedSlates,
    num_updates: int,
) -> None:
    """Adds logged transitions to a replay buffer, and updates the network.

    See :meth:`recsim.agents.dopamine.dqn_agent.DQNAgent.learn_from`.
    """
    num_updates = validation.positive_int("num_updates", num_updates)
    fill(q_learner, log)
    settings, replay = q_learner.settings, q_learner.replay
    if replay.add_count <= settings.min_replay_history or not replay.can_sample():
        raise ValueError(
            f"The log has {replay.add_count} transitions, and the agent learns once there are more "
            f"than min_replay_history={settings.min_replay_history}: log more, or make the agent "
            "with a smaller one."
        )
    for _ in range(num_updates * settings.update_period):
        q_learner.train_step()
