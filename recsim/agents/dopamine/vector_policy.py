"""How deep agents choose slates for users in parallel: here, or where the users are simulated."""

from __future__ import annotations

import dataclasses

import numpy as np

from recsim import types
from recsim.agents.dopamine import network, values
from recsim.vector import streams

__all__ = ["ExploringPolicy", "Instruction"]

# So many users' slates are chosen together, for NumPy's calls to cost little for each of them.
_BLOCK = 1024


@dataclasses.dataclass(frozen=True)
class Instruction:
    """What slates of a step are chosen by.

    Attributes:
        q_network: the network.
        epsilon: the probability of a random slate.
        uniforms: random numbers, shape (n_users, slate_size + 1).
    """

    q_network: network.QNetwork
    epsilon: float
    uniforms: np.ndarray


class ExploringPolicy:
    """Chooses the slates of the highest values, and sometimes random ones.

    Args:
        slate_values: what the network's outputs mean.
    """

    def __init__(self, slate_values: values.SlateValues) -> None:
        self._values = slate_values

    def slates(self, observation: types.Observation, instruction: object) -> np.ndarray:
        """See :meth:`recsim.vector.agent.RolloutPolicy.slates`."""
        assert isinstance(instruction, Instruction)
        act = instruction.q_network, instruction.epsilon
        features = self._values.adapter.features_of_many(observation)
        return self.choose(act, *features, instruction.uniforms)

    def choose(
        self,
        act: tuple[network.QNetwork, float],
        users: np.ndarray,
        documents: np.ndarray,
        uniforms: np.ndarray,
    ) -> np.ndarray:
        """Returns slates for users.

        Args:
            act: the network, and the probability of a random slate.
            users: features, shape (n_users, user_size).
            documents: features, and masks, shape (n_users, num_candidates, doc_width).
            uniforms: random numbers in [0, 1), shape (n_users, slate_size + 1).

        Returns:
            Indices of documents, shape (n_users, slate_size).
        """
        q_network, epsilon = act
        allowed = self._values.adapter.allowed_slates(documents)
        if allowed is None:
            slates = streams.slates(uniforms[:, 1:], documents.shape[1])
        else:
            slates = allowed.random(uniforms[:, 1:])
        rows = np.flatnonzero(uniforms[:, 0] >= epsilon)
        self.fill_in_best(slates, rows, q_network, users, documents)
        return slates

    def fill_in_best(
        self,
        slates: np.ndarray,
        rows: np.ndarray,
        q_network: network.QNetwork,
        users: np.ndarray,
        documents: np.ndarray,
    ) -> None:
        """Writes the best slates of some users into ``slates``."""
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            slates[block] = self._values.best_slates(q_network, users[block], documents[block])
