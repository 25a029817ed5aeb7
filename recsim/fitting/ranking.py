"""Whether scenarios that a log allows agree on the order of agents."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from recsim import types
from recsim._internal import arrays, trees, validation
from recsim.agents import greedy_pctr_agent, random_agent, softmax_agent
from recsim.environments import fitted
from recsim.simulator import rollout
from recsim.vector import agent as vector_agent
from recsim.vector import env as vector_env

__all__ = ["Ranking", "ranking_of"]

_MOST_STEPS = 50


@dataclasses.dataclass(frozen=True)
class Ranking:
    """The returns of the same agents in several scenarios.

    Attributes:
        agents: their names.
        scenarios: names of the scenarios, the first being the one that was fitted to all of the
            log.
        returns: mean clicks in a session, float64 of shape (n_scenarios, n_agents).
        standard_errors: of these, over users, of the same shape.
    """

    agents: tuple[str, ...]
    scenarios: tuple[str, ...]
    returns: np.ndarray
    standard_errors: np.ndarray

    def pairs(self) -> dict[tuple[str, str], float]:
        """Returns of each pair of agents in how many of the scenarios the order is the first's.

        Shares of the scenarios, the first one included. The better agent in that comes first.
        """
        shares = {}
        for one, other in itertools.combinations(range(len(self.agents)), 2):
            better = self.returns[:, one] > self.returns[:, other]
            first, second = (one, other) if better[0] else (other, one)
            agrees = self.returns[:, first] > self.returns[:, second]
            shares[self.agents[first], self.agents[second]] = float(agrees.mean())
        return shares

    @property
    def agreement(self) -> float:
        """The share of pairs of agents whose order is the same in all scenarios."""
        shares = list(self.pairs().values())
        return float(np.mean([share == 1.0 for share in shares]))

    def disagreements(self) -> list[tuple[str, str]]:
        """Returns the pairs of agents whose order is not the same in all scenarios."""
        return [pair for pair, share in self.pairs().items() if share < 1.0]


def ranking_of(
    scenarios: Mapping[str, fitted.FittedParameters],
    *,
    num_users: int = 1000,
    num_candidates: int = 20,
    seed: int = 0,
    advance: Callable[[int], None] | None = None,
) -> Ranking:
    """Runs five agents in scenarios, and compares their orders.

    The agents recommend at random, what the log shows most, what the average user clicks most, by a
    softmax of the latter, and what the user at hand clicks most, whom that agent knows. Where a
    scenario has no factors, all users are alike, and the last agent recommends what the log shows
    least instead. They recommend for a session of each user, 50 slates at most. All agents meet the
    same users with the same candidates.

    Args:
        scenarios: the scenarios by name, the one of all of the log first.
        num_users: number of users.
        num_candidates: the most items that a slate is chosen from, all where there are fewer.
        seed: seed of users and agents.
        advance: called with 1 after each scenario.

    Raises:
        ValueError: if there is none.
    """
    validation.positive_int("num_users", num_users)
    validation.positive_int("num_candidates", num_candidates)
    if not scenarios:
        raise ValueError("scenarios must have one scenario or more, got none.")
    knows_users = all(each.num_factors > 0 for each in scenarios.values())
    agents = _agents(knows_users)
    returns, errors = [], []
    for parameters in scenarios.values():
        of_agents = [
            _returns(parameters, create, num_users, num_candidates, seed, observes=knows_users)
            for create in agents.values()
        ]
        returns.append([float(each.mean()) for each in of_agents])
        errors.append([float(each.std() / np.sqrt(num_users)) for each in of_agents])
        if advance is not None:
            advance(1)
    return Ranking(tuple(agents), tuple(scenarios), np.array(returns), np.array(errors))


_Create = Callable[[vector_env.RecSimVectorEnv, fitted.FittedParameters, int], types.VectorAgent]


def _agents(knows_users: bool) -> dict[str, _Create]:
    """Returns what makes the agents, by name."""
    by_popularity = functools.partial(_ranks, functools.partial(_popularity, 1.0))
    rarest = functools.partial(_ranks, functools.partial(_popularity, -1.0))
    return {
        "random": lambda env, _, seed: random_agent.VectorRandomAgent(env, seed),
        "most shown": by_popularity,
        "average user": lambda env, _, __: greedy_pctr_agent.create_vector_agent(env),
        "softmax": lambda env, _, seed: softmax_agent.create_vector_agent(env, seed=seed),
        **({"this user": _PersonalAgent} if knows_users else {"least shown": rarest}),
    }


def _popularity(sign: float, documents: Mapping[str, np.ndarray]) -> np.ndarray:
    scores: np.ndarray = sign * documents["popularity"]
    return scores


def _ranks(
    score: Callable[[Mapping[str, np.ndarray]], np.ndarray],
    env: vector_env.RecSimVectorEnv,
    parameters: fitted.FittedParameters,
    seed: int,
) -> types.VectorAgent:
    """Makes an agent that recommends the documents of the highest scores."""
    del parameters, seed
    return greedy_pctr_agent.VectorGreedyPCTRAgent(env, score)


class _PersonalAgent(vector_agent.ChunkedVectorAgent):
    """Recommends what the user at hand clicks most, whose factors it observes."""

    def __init__(
        self, env: vector_env.RecSimVectorEnv, parameters: fitted.FittedParameters, seed: int
    ) -> None:
        del seed
        super().__init__(env)
        self._average = parameters.user_weights @ parameters.user_factors
        self._fatigue = parameters.fatigue

    def _slates_of_chunks(self, observation: types.Observation) -> Iterator[np.ndarray]:
        for rows in self._rows:
            user = trees.rows_of(observation["user"], rows)
            documents = trees.rows_of(observation["doc"], rows)
            quality = np.clip(documents["quality"].astype(np.float64), 1e-12, 1.0 - 1e-7)
            scores = np.log(quality) - np.log1p(-quality)
            own = user["factors"] - self._average
            scores += np.einsum("nck,nk->nc", documents["factors"], own)
            if "fatigue" in user:
                topics = documents["cluster_id"]
                scores -= self._fatigue * np.take_along_axis(user["fatigue"], topics, axis=1)
            yield arrays.highest(np.ascontiguousarray(scores), self._slate_size)


def _returns(
    parameters: fitted.FittedParameters,
    create: _Create,
    num_users: int,
    num_candidates: int,
    seed: int,
    *,
    observes: bool,
) -> np.ndarray:
    """Returns the clicks in a session of each user."""
    num_candidates = min(num_candidates, parameters.num_items)
    slate_size = min(parameters.max_slate_size, max(1, num_candidates // 2))
    env = fitted.create_vector_environment(
        {
            "fitted": parameters,
            "num_candidates": num_candidates,
            "slate_size": slate_size,
            "resample_documents": True,
            "seed": seed,
            "observe": "factors" if observes else "features",
            "observe_user_state": observes,
            "time_budget": _MOST_STEPS,
        },
        num_users,
    )
    totals = rollout.EpisodeTotals(num_users)
    agent = create(env, parameters, seed)
    rollout.VectorRollout(env, agent, [totals]).run_episodes(np.ones(num_users, np.int64))
    return totals.returns
