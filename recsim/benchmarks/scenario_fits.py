"""Whether fits to logs of known scenarios stand in for them: for the clicks, and to order agents.

``python -m recsim.benchmarks.scenario_fits`` logs what 5,000 users of each of the library's
scenarios do with slates at random, fits each log as :func:`recsim.fitting.fit_slates` does by
default, but without refits, and asks of each fit:

* how far its held-out log-likelihood is from that of the scenario, which knows what users are like;
* whether its click model is the right one, and its click rates by position those of the log;
* whether it has drift and fatigue only where interests move and topics tire;
* whether five agents come in the same order in the scenario and in the fitted one, as far as their
  95% intervals are apart in the former.

The same is asked of made-up logs of each click model: :mod:`recsim.benchmarks.fitting_recovery`.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recsim import fitting, types
from recsim._internal import arrays, files, json_text, provenance
from recsim.agents import random_agent, softmax_agent
from recsim.benchmarks import fitting_recovery
from recsim.environments import interest_evolution, interest_exploration, topic_boredom
from recsim.fitting import predictions, ranking, slate_logs, tables
from recsim.logs import reader
from recsim.simulator import rollout
from recsim.vector import agent as vector_agent
from recsim.vector import env as vector_env
from recsim.vector import simulate

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "SCENARIOS",
    "Outcome",
    "Scenario",
    "catalogue_of",
    "logged",
    "main",
    "outcome_of",
    "table",
    "table_of_agents",
    "true_log_likelihoods",
]

ITEMS, SLATE_SIZE = 40, 4
_Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A scenario of the library, and what fits should find of it.

    Attributes:
        create: makes its environment of users in parallel.
        config: of the environment, beside its sizes.
        utilities: of users' states and documents, what makes them click: (n, n_documents).
        click_model: by which they do; '' where it is of no such family.
        looks: probabilities of looks at positions, where it is position-based.
        continues: probability of continuing after a click, where it is the dependent-click model.
        drifts: whether interests move.
        tires: whether topics tire.
        num_steps: slates of an episode.
        num_sessions: sessions that an episode is cut into, where users do not change in it.
        click_reward: reward of a click.
        outside: what of it no fit has, in words.
    """

    create: Callable[..., vector_env.RecSimVectorEnv]
    config: Mapping[str, object]
    utilities: Callable[[_Arrays, _Arrays], np.ndarray]
    click_model: str
    looks: tuple[float, ...] = ()
    continues: float = 0.0
    drifts: bool = False
    tires: bool = False
    num_steps: int = 30
    num_sessions: int = 1
    click_reward: float = 1.0
    outside: str = ""

    @property
    def session_steps(self) -> int:
        """Number of slates of a session."""
        return self.num_steps // self.num_sessions

    def environment(self, num_users: int, first_user: int, seed: int) -> vector_env.RecSimVectorEnv:
        """Returns users in parallel, all of whom have the same candidates."""
        config = {
            "num_candidates": ITEMS,
            "slate_size": SLATE_SIZE,
            "resample_documents": False,
            "seed": seed,
            **self.config,
        }
        steps = self.num_steps
        return self.create(config, num_users, first_user=first_user, max_steps_per_episode=steps)


def _of_exploration(states: _Arrays, documents: _Arrays) -> np.ndarray:
    topics, qualities = documents["cluster_id"], documents["quality"]
    scores = interest_exploration.document_scores(states["topic_affinity"], topics, qualities)
    return scores - interest_exploration.IEParameters().no_click_mass


def _of_evolution(states: _Arrays, documents: _Arrays) -> np.ndarray:
    parameters = interest_evolution.IEvParameters()
    interests = np.einsum("uf,uif->ui", states["interests"], documents["features"])
    weights = (interests - parameters.min_normalizer) / parameters.no_click_mass
    utilities: np.ndarray = np.log(np.maximum(weights, 1e-12))
    return utilities


def _of_boredom(slope: float, offset: float, states: _Arrays, documents: _Arrays) -> np.ndarray:
    bored = states["bored"].any(axis=1, keepdims=True)
    interests = np.where(bored, 0.0, states["interests"])
    scores = np.einsum("uf,uif->ui", interests, documents["embedding"])
    utilities: np.ndarray = slope * (scores - offset)
    return utilities


_LOOKS = tuple(0.7**position for position in range(SLATE_SIZE))
_BOREDOM = {
    "num_items": ITEMS,
    "relevance_offset": 0.3,
    "relevance_slope": 5.0,
    "examination_decay": 0.7,
    "time_budget": 30,
}

#: The scenarios by name. Long-term satisfaction is not among them: its users have no choice.
SCENARIOS: Mapping[str, Scenario] = {
    "interest_exploration": Scenario(
        interest_exploration.create_vector_environment,
        {},
        _of_exploration,
        "multinomial_logit",
        num_sessions=6,
    ),
    "interest_exploration, position_based": Scenario(
        interest_exploration.create_vector_environment,
        {"choice_model": "position_based", "examination_decay": 0.7},
        _of_exploration,
        "position_based",
        looks=_LOOKS,
        num_sessions=6,
    ),
    "interest_exploration, dependent_click": Scenario(
        interest_exploration.create_vector_environment,
        {"choice_model": "dependent_click"},
        _of_exploration,
        "dependent_click",
        continues=0.5,
        num_sessions=6,
    ),
    "topic_boredom, no boredom": Scenario(
        topic_boredom.create_vector_environment,
        {**_BOREDOM, "boredom_threshold": 11},
        functools.partial(_of_boredom, 5.0, 0.3),
        "position_based",
        looks=_LOOKS,
        num_sessions=6,
    ),
    "topic_boredom": Scenario(
        topic_boredom.create_vector_environment,
        {**_BOREDOM, "boredom_threshold": 4},
        functools.partial(_of_boredom, 5.0, 0.3),
        "position_based",
        looks=_LOOKS,
        tires=True,
        outside="bored users click nothing for some slates, where a fit has topics that tire",
    ),
    "interest_evolution": Scenario(
        interest_evolution.create_vector_environment,
        {},
        _of_evolution,
        "multinomial_logit",
        drifts=True,
        num_steps=25,
        click_reward=4.0,
        outside="interests in single topics move up or down by chance, where a fit has a drift "
        "towards what was clicked",
    ),
}


def logged(scenario: Scenario, num_users: int, seed: int) -> pd.DataFrame:
    """Returns the episode log of users who are shown slates at random, with their hidden states.

    Args:
        scenario: the scenario.
        num_users: how many there are, of an episode each.
        seed: of all random numbers, an integer >= 0.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "episodes.parquet")
        simulate.simulate(
            functools.partial(_environment, scenario, seed),
            functools.partial(random_agent.VectorRandomAgent, random_seed=seed),
            num_users,
            num_episodes=1,
            workers=1,
            parquet_log=path,
            log_user_state=True,
        )
        frame = reader.read_episodes(path).sort_values(["user", "step", "position"])
    frame["session"], frame["step"] = np.divmod(frame["step"], scenario.session_steps)
    if "item_feature_0" in frame:
        features = [name for name in frame if name.startswith("item_feature_")]
        frame["topic"] = frame[features].to_numpy().argmax(axis=1)
    return frame


def _environment(
    scenario: Scenario, seed: int, *, num_envs: int, first_user: int
) -> vector_env.RecSimVectorEnv:
    return scenario.environment(num_envs, first_user, seed)


def _read(frame: pd.DataFrame) -> tables.SlateLog:
    """Returns a log without what agents do not see of users."""
    columns = {"user_features": None, "rating": None, "duration": None}
    log = fitting.read(frame, columns, tell=None)
    assert isinstance(log, tables.SlateLog)
    return log


def _rows_in_frame(scenario: Scenario, log: tables.SlateLog) -> np.ndarray:
    """Returns which slate of the frame each slate of the log is."""
    users = log.user_table.ids.astype(np.intp)[log.users]
    _, firsts = np.unique(log.users, return_index=True)
    sessions = log.sessions - log.sessions[firsts][log.users]
    rows: np.ndarray = users * scenario.num_steps + sessions * scenario.session_steps + log.steps
    return rows


def true_log_likelihoods(scenario: Scenario, frame: pd.DataFrame, catalogue: _Arrays) -> np.ndarray:
    """Returns the logarithm of how likely the clicks on each slate are in their scenario.

    Args:
        scenario: the scenario.
        frame: what :func:`logged` returned.
        catalogue: the items, see :func:`catalogue_of`.
    """
    slates = frame["item_id"].to_numpy(np.intp).reshape(-1, SLATE_SIZE)
    clicks = frame["response_click"].to_numpy(np.bool_).reshape(slates.shape)
    states = _states(frame.iloc[::SLATE_SIZE])
    utilities = scenario.utilities(states, _rows_of(catalogue, slates))
    if scenario.click_model == "multinomial_logit":
        chosen = np.where(clicks, utilities, 0.0).sum(axis=1)
        return np.asarray(chosen - np.logaddexp.reduce(utilities, axis=1, initial=0.0))
    likes: np.ndarray = 1.0 / (1.0 + np.exp(-utilities))
    if scenario.click_model == "position_based":
        likes *= np.array(scenario.looks)
        return np.asarray(np.log(np.where(clicks, likes, 1.0 - likes)).sum(axis=1))
    # Probabilities of what was clicked so far, by whether the user still looks.
    looks, gone = np.ones(len(slates)), np.zeros(len(slates))
    for like, click in zip(likes.T, clicks.T, strict=True):
        gone = np.where(click, looks * like * (1.0 - scenario.continues), gone)
        looks = looks * np.where(click, like * scenario.continues, 1.0 - like)
    return np.asarray(np.log(looks + gone))


def _states(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Returns hidden states by name, of shape (n_slates, …)."""
    found: dict[str, list[np.ndarray]] = {}
    for column in frame:
        if column.startswith("state_"):
            name, _, number = column.removeprefix("state_").rpartition("_")
            if not number.isdigit():
                name = column.removeprefix("state_")
            found.setdefault(name, []).append(frame[column].to_numpy())
    return {name: np.stack(columns, axis=1) for name, columns in found.items()}


def catalogue_of(env: vector_env.RecSimVectorEnv) -> dict[str, np.ndarray]:
    """Returns what is observed of the candidates of all users, of shape (ITEMS, …).

    Args:
        env: an environment whose users share their candidates.
    """
    env.reset()
    documents: Any = env.shared_documents
    if isinstance(documents, np.ndarray):
        documents = {"features": documents}
    return {name: column[0] for name, column in documents.items()}


def _rows_of(catalogue: _Arrays, rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: column[rows] for name, column in catalogue.items()}


class _ScoringAgent(vector_agent.ChunkedVectorAgent):
    """Recommends the candidates of the highest scores, which a function returns for all users."""

    def __init__(self, env: vector_env.RecSimVectorEnv, scores: Callable[[], np.ndarray]) -> None:
        super().__init__(env)
        self._scores = scores

    def _slates_of_chunks(self, observation: types.Observation) -> Iterator[np.ndarray]:
        del observation
        scores = np.ascontiguousarray(self._scores(), np.float64)
        yield arrays.highest(scores, self._slate_size)


def _true_returns(
    scenario: Scenario, popularity: np.ndarray, agents: Sequence[str], num_users: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the means of clicks in a session by agent, and their standard errors.

    Args:
        scenario: the scenario, with other users than those of the log.
        popularity: shares of the items in the impressions of the log.
        agents: names of the agents of :func:`recsim.fitting.ranking.ranking_of`.
        num_users: number of users.
        seed: of all random numbers.
    """
    found = []
    for name in agents:
        env = scenario.environment(num_users, num_users, seed)
        totals = rollout.EpisodeTotals(num_users)
        run = rollout.VectorRollout(env, _agent(name, scenario, env, popularity, seed), [totals])
        run.run_episodes(np.ones(num_users, np.int64))
        found.append(totals.returns / scenario.click_reward / scenario.num_sessions)
    returns = np.array(found)
    return returns.mean(axis=1), returns.std(axis=1) / np.sqrt(num_users)


def _agent(
    name: str,
    scenario: Scenario,
    env: vector_env.RecSimVectorEnv,
    popularity: np.ndarray,
    seed: int,
) -> types.VectorAgent:
    """Makes an agent that does in the scenario what that of the name does in fitted ones."""
    shape = env.num_envs, ITEMS
    documents = _rows_of(catalogue_of(env), np.broadcast_to(np.arange(ITEMS), shape))
    average = scenario.utilities(env.user_states(), documents).mean(axis=0)
    scores = {"most shown": popularity, "least shown": -popularity, "average user": average}
    if name == "random":
        return random_agent.VectorRandomAgent(env, seed)
    if name == "softmax":
        return softmax_agent.VectorSoftmaxAgent(
            env,
            lambda observation: np.broadcast_to(average, (len(observation["user"]), ITEMS)),
            random_seed=seed,
        )
    if name == "this user":
        return _ScoringAgent(env, lambda: scenario.utilities(env.user_states(), documents))
    return _ScoringAgent(env, lambda: np.broadcast_to(scores[name], shape))


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a fit is like beside the scenario that made its log.

    Attributes:
        name: of the scenario.
        repetition: which log; the seed of all random numbers.
        users: of the log, and of each run of an agent.
        chosen: name of the model that was chosen.
        right_click_model: whether it is the scenario's.
        excess: how far the held-out log-likelihood is below the scenario's, in parts of it.
        constant: likewise, that of a constant click rate.
        rates_in_interval: whether click rates by position are within simultaneous 95% intervals.
        drift: the estimate, 0 for none.
        fatigue: likewise.
        agents: names of the agents.
        true_returns: mean clicks in a session, by agent.
        true_errors: their standard errors.
        returns: mean clicks in a session of the fitted scenario.
        errors: their standard errors.
        seconds: time that it took.
    """

    name: str
    repetition: int
    users: int
    chosen: str
    right_click_model: bool
    excess: float
    constant: float
    rates_in_interval: bool
    drift: float
    fatigue: float
    agents: tuple[str, ...]
    true_returns: tuple[float, ...]
    true_errors: tuple[float, ...]
    returns: tuple[float, ...]
    errors: tuple[float, ...]
    seconds: float

    def pairs(self) -> dict[tuple[str, str], bool]:
        """Returns of pairs of agents whose true 95% intervals are apart if they are in this order.

        The better agent comes first.
        """
        found = {}
        for one, other in itertools.permutations(range(len(self.agents)), 2):
            difference = self.true_returns[one] - self.true_returns[other]
            if difference > 1.96 * (self.true_errors[one] + self.true_errors[other]):
                pair = self.agents[one], self.agents[other]
                found[pair] = self.returns[one] > self.returns[other]
        return found


def outcome_of(name: str, repetition: int, num_users: int = 5000, workers: int = 1) -> Outcome:
    """Makes a log, fits it and compares.

    Args:
        name: one of :data:`SCENARIOS`, or of the settings of
            :mod:`recsim.benchmarks.fitting_recovery`.
        repetition: which log; the seed of all random numbers.
        num_users: users of the log, and of each run of an agent.
        workers: fits to make at a time.
    """
    start = time.perf_counter()
    if name in SCENARIOS:
        scenario = SCENARIOS[name]
        frame = logged(scenario, num_users, repetition)
        log, click_models = _read(frame), [scenario.click_model]
        catalogue = catalogue_of(scenario.environment(1, 0, repetition))
        best = true_log_likelihoods(scenario, frame, catalogue)[_rows_in_frame(scenario, log)]
    else:
        setting = fitting_recovery.SETTINGS[name]
        truth = fitting_recovery.truth(setting, num_users, repetition)
        log = fitting_recovery.simulated(truth, setting.num_sessions, setting.num_steps, repetition)
        truth = dataclasses.replace(truth, item_popularity=log.popularity)
        click_models = sorted(setting.click_models)
        best = predictions.log_likelihoods(truth, log)
    result = slate_logs.fit_slates(log, refits=0, seed=repetition, workers=workers, progress=False)
    held_out = log.select_slates(result.held_out)
    parameters = result.parameters
    scenarios = {"fitted": parameters}
    if name not in SCENARIOS:
        scenarios = {"truth": truth, **scenarios}
    ranked = ranking.ranking_of(
        scenarios, num_users=num_users, seed=repetition, num_candidates=log.num_items
    )
    if name in SCENARIOS:
        popularity = parameters.item_popularity[np.argsort(np.array(parameters.item_ids, np.intp))]
        true = _true_returns(scenario, popularity, ranked.agents, num_users, repetition)
    else:
        true = ranked.returns[0], ranked.standard_errors[0]
    per_impression = float(best[result.held_out].sum()) / held_out.num_impressions
    return Outcome(
        name,
        repetition,
        num_users,
        result.chosen,
        sorted(result.candidate.click_models) == click_models,
        result.candidate.held_out_log_likelihood / per_impression - 1.0,
        result.baselines["constant"] / per_impression - 1.0,
        fitting_recovery.rates_agree(result.candidate.parameters, held_out),
        parameters.drift,
        parameters.fatigue,
        ranked.agents,
        tuple(true[0].tolist()),
        tuple(true[1].tolist()),
        tuple(ranked.returns[-1].tolist()),
        tuple(ranked.standard_errors[-1].tolist()),
        time.perf_counter() - start,
    )


def table(outcomes: Sequence[Outcome]) -> str:
    """Returns what fits are like, as a table in Markdown.

    Args:
        outcomes: what to show, a row for each.
    """
    lines = [
        "| scenario | users | chosen | right click model "
        "| held-out log-likelihood below the true one's (constant click rate) "
        "| click rates by position within 95% intervals | drift | fatigue "
        "| pairs of agents in the true order |",
        "| --- | ---: | --- | :---: | ---: | :---: | ---: | ---: | ---: |",
    ]
    for each in outcomes:
        pairs = list(each.pairs().values())
        lines.append(
            f"| {each.name} | {each.users:,} | {each.chosen} | {_yes(each.right_click_model)} "
            f"| {each.excess:.2%} ({each.constant:.1%}) | {_yes(each.rates_in_interval)} "
            f"| {_strength(each.drift)} | {_strength(each.fatigue)} "
            f"| {sum(pairs)} of {len(pairs)} |"
        )
    return "\n".join(lines)


def table_of_agents(outcomes: Sequence[Outcome]) -> str:
    """Returns the mean clicks of agents in a session, as a table in Markdown.

    Args:
        outcomes: what to show, a true and a fitted row for each.
    """
    agents = list(dict.fromkeys(agent for each in outcomes for agent in each.agents))
    lines = [
        "| scenario | | " + " | ".join(agents) + " |",
        "| --- | --- |" + " ---: |" * len(agents),
    ]
    for each in outcomes:
        rows = {
            "true": (each.true_returns, each.true_errors),
            "fitted": (each.returns, each.errors),
        }
        for title, (returns, errors) in rows.items():
            found = dict(zip(each.agents, zip(returns, errors, strict=True), strict=True))
            cells = [
                f"{found[agent][0]:.2f} ± {1.96 * found[agent][1]:.2f}" if agent in found else ""
                for agent in agents
            ]
            lines.append(
                f"| {each.name if title == 'true' else ''} | {title} | {' | '.join(cells)} |"
            )
    return "\n".join(lines)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _strength(value: float) -> str:
    return f"{value:.3f}" if value else "none"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        arguments: those of the command line, by default the program's.
    """
    names = [*SCENARIOS, *fitting_recovery.SETTINGS]
    parser = argparse.ArgumentParser(
        prog="python -m recsim.benchmarks.scenario_fits",
        description="Fits logs of known scenarios and compares what is fitted with them.",
    )
    parser.add_argument("--scenarios", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--repetitions", type=int, default=1, help="logs of each scenario")
    parser.add_argument("--users", type=int, default=5000, help="users of each log")
    parser.add_argument("--workers", type=int, default=1, help="fits to make at a time")
    parser.add_argument(
        "--output", metavar="FILE", help="JSON file to write; what it has is not done again"
    )
    given = parser.parse_args(arguments)
    done: dict[tuple[str, int, int], Outcome] = {}
    if given.output and os.path.exists(given.output):
        with open(given.output, encoding="utf-8") as file:
            found = [Outcome(**each) for each in json.load(file)["outcomes"]]
        done = {(each.name, each.repetition, each.users): each for each in found}
    for repetition in range(given.repetitions):
        for name in given.scenarios:
            if (name, repetition, given.users) in done:
                continue
            outcome = outcome_of(name, repetition, given.users, given.workers)
            done[name, repetition, given.users] = outcome
            print(f"{name}, log {repetition}: {outcome.seconds:.0f} s", file=sys.stderr, flush=True)
            if given.output:
                _write(given.output, list(done.values()))
    found = sorted(done.values(), key=lambda each: (names.index(each.name), each.repetition))
    print(table(found), table_of_agents(found), sep="\n\n")
    return 0


def _write(path: str, outcomes: Sequence[Outcome]) -> None:
    data = {
        "versions": provenance.installed(),
        "hours": sum(each.seconds for each in outcomes) / 3600.0,
        "outcomes": [dataclasses.asdict(each) for each in outcomes],
    }
    with files.atomic_file(path) as file:
        file.write((json_text.dumps(data, indent=1) + "\n").encode())


if __name__ == "__main__":
    sys.exit(main())
