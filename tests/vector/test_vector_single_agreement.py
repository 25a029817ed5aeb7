"""Both engines: the same distribution, and the same numbers from the same random stream.

``single_user_statistics.json`` has what the single-user engine did: for each scenario, choice model
and way to sample candidates, histograms over 20,000 users of what is compared here. To record all
of it again (half an hour)::

    python tests/vector/test_vector_single_agreement.py 20000
"""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy import stats
from support import recsim_names, scenarios

from recsim import document, registry
from recsim.agents import random_agent
from recsim.environments import interest_evolution, interest_exploration, long_term_satisfaction
from recsim.simulator import environment
from recsim.vector import env as vector_env
from recsim.vector import scenario, streams

RECORDS = pathlib.Path(__file__).with_name("single_user_statistics.json")
NUM_CANDIDATES, SLATE_SIZE = 6, 3
CONFIG = {
    "num_candidates": NUM_CANDIDATES,
    "slate_size": SLATE_SIZE,
    "resample_documents": True,
    "seed": 1,
}
SCENARIOS: dict[str, tuple[Any, dict[str, Any]]] = {
    "interest_exploration": (interest_exploration, {"no_click_mass": 3}),
    "long_term_satisfaction": (long_term_satisfaction, {}),
    **{
        f"interest_evolution/{name}": (interest_evolution, {"choice_model": name})
        for name in (
            "multinomial_proportional",
            "multinomial_logit",
            "exponential_cascade",
            "proportional_cascade",
        )
    },
}
#: Models of one click, for users who click several by the other parameters.
ONE_CLICK = {
    "interest_evolution": {"choice_model": "proportional_cascade"},
    "interest_exploration": {"choice_model": "multinomial_logit"},
}
#: Other parameters than RecSim's, with which nothing was recorded.
OTHERS: dict[str, tuple[Any, dict[str, Any]]] = {
    **{
        f"{name}/others": (
            sys.modules[registry.ENVIRONMENTS[name].module],
            {**parameters, **ONE_CLICK.get(name, {})},
        )
        for name, parameters in scenarios.OTHER_PARAMETERS.items()
        if name != "topic_boredom"  # Whose users click several: tests/environments has its own.
    },
    "interest_exploration/three topics": (
        interest_exploration,
        {
            "topic_distribution": (0.5, 0.2, 0.3),
            "topic_quality_mean": (0.1, -0.2, 0.5),
            "topic_quality_stddev": (0.2, 0.3, 0.1),
            "user_document_mean_affinity_matrix": ((0.1, 0.7, 0.3), (0.5, 0.1, 0.2)),
            "user_document_stddev_affinity_matrix": ((0.2, 0.2, 0.2), (0.1, 0.4, 0.1)),
        },
    ),
    **{
        f"interest_evolution/others, {name}": (
            interest_evolution,
            {**scenarios.OTHER_PARAMETERS["interest_evolution"], "choice_model": name},
        )
        for name in ("multinomial_proportional", "multinomial_logit", "exponential_cascade")
    },
}
ALL = {**SCENARIOS, **OTHERS}
CASES = [(name, mode) for name in SCENARIOS for mode in scenario.CANDIDATES]
#: Steps at which users and their choices are compared.
CHECKPOINTS = (1, 10, 60)
#: Topics whose clicks are counted, as far as the scenario has them.
TOPICS = (0, 1, 13, 19)
NUM_SIMULATED = 30_000
#: Probability with which one comparison failed if the distributions were the same, before the
#: seeds were fixed. There are about 300 comparisons.
LEVEL = 1e-4

#: What is compared, with an entry a user: not a number where the episode ended before.
Sample = dict[str, np.ndarray]


def max_steps(name: str) -> int:
    """Returns after how many steps episodes are truncated: only in one scenario are they longer."""
    return 120 if name.startswith("interest_evolution") else 60


def new_sample(num_users: int) -> Sample:
    """Returns a sample in which nothing has happened yet."""
    names = ["return", "clicks", "length", *(f"clicks_at_{i}" for i in range(SLATE_SIZE))]
    sample = {name: np.zeros(num_users) for name in names}
    sample |= {f"clicks_on_{topic}": np.zeros(num_users) for topic in TOPICS}
    for step in CHECKPOINTS:
        for name in ("choice", "state", "second_state"):
            sample[f"{name}_{step}"] = np.full(num_users, np.nan)
    return sample


# ---- One user at a time


def single_user_sample(name: str, mode: str, num_users: int) -> tuple[Sample, dict[str, Any]]:
    """Shows random slates to users sequentially; also returns the shared candidates."""
    scenario, settings = ALL[name]
    env = scenario.create_environment({**CONFIG, **settings, "resample_documents": mode == "step"})
    sample = new_sample(num_users)
    rng = np.random.RandomState(0)
    for row in range(num_users):
        if mode == "episode":
            env.environment._do_resample_documents()
        env.reset()
        for step in range(1, max_steps(name) + 1):
            slate = rng.permutation(NUM_CANDIDATES)[:SLATE_SIZE]
            observation, reward, done, _ = env.step(slate)
            count_single_step(sample, row, step, reward, observation["response"])
            if step in CHECKPOINTS:
                first, second = single_user_state(
                    recsim_names.user_state(env.environment.user_model)
                )
                sample[f"state_{step}"][row] = first
                sample[f"second_state_{step}"][row] = second
            if done:
                break
    return sample, shared_candidates(env.environment)


def count_single_step(sample: Sample, row: int, step: int, reward: float, responses: Any) -> None:
    clicks = [position for position, response in enumerate(responses) if response["click"]]
    choice = clicks[0] if clicks else SLATE_SIZE
    sample["return"][row] += reward
    sample["length"][row] += 1
    if clicks:
        sample["clicks"][row] += 1
        sample[f"clicks_at_{choice}"][row] += 1
        topic = responses[choice].get("cluster_id")
        if topic in TOPICS:
            sample[f"clicks_on_{topic}"][row] += 1
    if step in CHECKPOINTS:
        sample[f"choice_{step}"][row] = choice


def single_user_state(user: Any) -> tuple[float, float]:
    """Returns two numbers that describe a user."""
    if hasattr(user, "topic_affinity"):
        return user.topic_affinity[0], user.topic_affinity[1]
    if hasattr(user, "user_interests"):
        return user.user_interests[19], user.time_budget
    return user.net_positive_exposure, user.time_budget


def shared_candidates(raw_environment: environment.SingleUserEnvironment) -> dict[str, Any]:
    """Returns the features of the current candidates as lists."""
    documents = raw_environment.candidate_set.get_all_documents()
    names = [n for n in ("cluster_id", "quality", "clickbait_score") if hasattr(documents[0], n)]
    return {name: [float(getattr(doc, name)) for doc in documents] for name in names}


# ---- Users in parallel


class GivenCandidates(scenario.VectorDocumentSampler):
    """Hands out the same candidates to everybody.

    Args:
        sampler: what observes documents.
        documents: their features by name.
    """

    def __init__(self, sampler: scenario.VectorDocumentSampler, documents: dict[str, Any]) -> None:
        self._sampler = sampler
        self._documents = documents

    def sample(self, stream: streams.RandomStream, num_documents: int) -> Any:
        documents = self._sampler.sample(stream, num_documents)
        for name, values in self._documents.items():
            field = getattr(documents, name)
            field[:] = np.asarray(values, field.dtype)
        return documents

    def observe(self, documents: Any) -> Any:
        return self._sampler.observe(documents)

    def observation_space(self, num_documents: int) -> Any:
        return self._sampler.observation_space(num_documents)


def vector_sample(name: str, mode: str, num_users: int, candidates: dict[str, Any]) -> Sample:
    """Shows random slates to users in parallel."""
    module, settings = ALL[name]
    env = module.create_vector_environment(
        {**CONFIG, **settings}, num_users, candidates=mode, max_steps_per_episode=max_steps(name)
    )
    if mode == "shared":
        env = vector_env.RecSimVectorEnv(
            env.user_model,
            GivenCandidates(env.document_sampler, candidates),
            env.num_candidates,
            env.slate_size,
            num_users,
            env.scenario.reward_aggregator,
            candidates=mode,
            max_steps_per_episode=env.max_steps_per_episode,
        )
    agent = random_agent.VectorRandomAgent(env)
    observation, infos = env.reset(seed=2)
    slates = agent.begin(observation)
    sample, active = new_sample(num_users), np.ones(num_users, np.bool_)
    for step in range(1, max_steps(name) + 1):
        # The users as they are after the step, before those whose episodes end are replaced.
        outcome, users = step_and_look(env, slates)
        observation, rewards, terminated, _, infos = outcome
        responses = (infos["final_obs"].batch if infos else observation)["response"]
        clicks = np.asarray(responses["click"], bool)
        choice = np.where(clicks.any(axis=1), clicks.argmax(axis=1), SLATE_SIZE)
        sample["return"] += rewards * active
        sample["length"] += active
        sample["clicks"] += clicks.any(axis=1) * active
        for position in range(SLATE_SIZE):
            sample[f"clicks_at_{position}"] += (choice == position) * active
        for topic in TOPICS if "cluster_id" in responses else ():
            on_topic = (clicks & (responses["cluster_id"] == topic)).any(axis=1)
            sample[f"clicks_on_{topic}"] += on_topic * active
        if step in CHECKPOINTS:
            for key, values in (
                ("choice", choice),
                ("state", users[0]),
                ("second_state", users[1]),
            ):
                sample[f"{key}_{step}"][active] = values[active]
        active &= ~terminated
        if not active.any():
            break
        slates = agent.step(*outcome)
    return sample


def step_and_look(env: Any, slates: np.ndarray) -> tuple[Any, tuple[np.ndarray, np.ndarray]]:
    """Returns what a step returned and what the users were before any of them was replaced."""
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    is_done = env.user_model.is_done

    def look(users: Any) -> Any:
        seen.append(vector_state(users))
        return is_done(users)

    env.user_model.is_done = look
    outcome = env.step(slates)
    env.user_model.is_done = is_done
    return outcome, (
        np.concatenate([first for first, _ in seen]),
        np.concatenate([second for _, second in seen]),
    )


def vector_state(users: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns two numbers that describe each user."""
    if hasattr(users, "topic_affinity"):
        return users.topic_affinity[:, 0].copy(), users.topic_affinity[:, 1].copy()
    if hasattr(users, "interests"):
        return users.interests[:, 19].copy(), users.time_budget.copy()
    return users.net_positive_exposure.copy(), users.time_budget.copy()


# ---- The comparison


def bin_edges(values: np.ndarray) -> np.ndarray:
    """Returns edges of up to 20 bins, about as full as each other."""
    different = np.unique(values)
    if len(different) <= 12:
        return np.append(different - 0.25, different[-1] + 0.25)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, 21)))
    edges[0], edges[-1] = -1e9, 1e9
    # Values that are whole numbers stay clear of the edges, whatever their precision.
    return np.where(abs(edges) < 1e8, edges + 1e-3, edges)


def histogram(values: np.ndarray, edges: np.ndarray) -> list[int]:
    """Returns counts by bin, the last of which counts what is in none."""
    values = values[~np.isnan(values)]
    counts = np.histogram(values, edges)[0].tolist()
    return [*counts, len(values) - sum(counts)]


def record(num_users: int) -> None:
    """Writes what the single-user engine does."""
    records = {}
    for name, mode in CASES:
        sample, candidates = single_user_sample(name, mode, num_users)
        records[f"{name} {mode}"] = {"candidates": candidates, "histograms": histograms(sample)}
        print(name, mode, file=sys.stderr, flush=True)
    lines = [f"{json.dumps(key)}:{json.dumps(value)}" for key, value in records.items()]
    RECORDS.write_text("{" + ",\n".join(lines) + "}\n")


def histograms(sample: Sample) -> dict[str, Any]:
    """Returns the histograms of a sample where it says much."""
    records = {}
    for key, values in sample.items():
        of_some = values[~np.isnan(values)]
        if len(of_some) > 500:
            edges = bin_edges(of_some).round(6)
            records[key] = {"edges": edges.tolist(), "counts": histogram(values, edges)}
    return records


def recorded_cases() -> list[str]:
    """Returns the names of what was recorded."""
    return list(json.loads(RECORDS.read_text())) if RECORDS.exists() else []


def test_every_case_is_recorded() -> None:
    assert sorted(recorded_cases()) == sorted(f"{name} {mode}" for name, mode in CASES)


@pytest.mark.parametrize("case", recorded_cases())
def test_engines_have_the_same_distribution(case: str) -> None:
    name, mode = case.split()
    recorded = json.loads(RECORDS.read_text())[case]
    sample = vector_sample(name, mode, NUM_SIMULATED, recorded["candidates"])
    p_values = {}
    for key, of_single in recorded["histograms"].items():
        table = np.array([of_single["counts"], histogram(sample[key], of_single["edges"])])
        table = table[:, table.sum(axis=0) > 0]
        if table.shape[1] > 1:
            p_values[key] = stats.chi2_contingency(table).pvalue
        assert table.sum(axis=1).min() > 500
    assert {"return", "state_1", "state_60"} <= set(p_values)
    assert min(p_values.values()) > LEVEL, p_values


def test_the_comparison_sees_small_differences() -> None:
    """A probability of a click that is off by a fiftieth shows."""
    recorded = json.loads(RECORDS.read_text())["interest_exploration step"]
    sample = vector_sample("interest_exploration", "step", NUM_SIMULATED, {})
    rng = np.random.default_rng(0)
    clicks = sample["clicks"]
    sample["clicks"] = rng.binomial(clicks.astype(int), 0.98)
    of_single = recorded["histograms"]["clicks"]
    table = np.array([of_single["counts"], histogram(sample["clicks"], of_single["edges"])])
    table = table[:, table.sum(axis=0) > 0]
    assert stats.chi2_contingency(table).pvalue < LEVEL


@pytest.mark.parametrize("name", OTHERS)
def test_distributions_agree_for_other_parameters(name: str) -> None:
    single, _ = single_user_sample(name, "step", 400)
    vectorized = vector_sample(name, "step", NUM_SIMULATED, {})
    p_values = {}
    for key in single:
        samples = [sample[key][~np.isnan(sample[key])] for sample in (single, vectorized)]
        if len(samples[0]) > 100 and np.ptp(samples[0]) > 0:
            # Whole numbers tell apart less than what the test assumes: it is the more lenient.
            p_values[key] = stats.ks_2samp(*samples, method="asymp").pvalue
    assert {"return", "state_1"} <= set(p_values)
    assert min(p_values.values()) > LEVEL, p_values


# ---- The same random stream


class RecordedStream(streams.UserStream):
    """Remembers the numbers that it returns."""

    def __init__(self, num_users: int, step: int) -> None:
        rows = np.arange(num_users)
        super().__init__(streams.hash_key(step, "draws"), rows, rows, np.float64)
        self.drawn: list[np.ndarray] = []

    def uniform(self, *shape: int) -> np.ndarray:
        numbers = super().uniform(*shape)
        self.drawn.append(numbers)
        return numbers

    def normal(self, *shape: int) -> np.ndarray:
        numbers = super().normal(*shape)
        self.drawn[-1] = numbers  # In place of the uniform numbers that they were made of.
        return numbers


class Replayed:
    """Samples what one of the users in parallel sampled."""

    def __init__(self, drawn: list[np.ndarray], row: int) -> None:
        self._numbers: Iterator[float] = iter([float(numbers[row]) for numbers in drawn])

    def random_sample(self) -> float:
        return next(self._numbers)

    standard_normal = random_sample


def single_user_documents(
    name: str, parameters: Any, documents: Any, row: int
) -> list[document.AbstractDocument]:
    if name.startswith("interest_exploration"):
        return [
            interest_exploration.IEDocument(i, int(topic), float(quality))
            for i, (topic, quality) in enumerate(
                zip(documents.cluster_id[row], documents.quality[row])
            )
        ]
    if name.startswith("long_term_satisfaction"):
        return [
            long_term_satisfaction.LTSDocument(i, float(score))
            for i, score in enumerate(documents.clickbait_score[row])
        ]
    one_hot = np.eye(parameters.num_topics)
    return [
        interest_evolution.IEvVideo(
            i, one_hot[topic], int(topic), parameters.video_length, float(quality)
        )
        for i, (topic, quality) in enumerate(zip(documents.cluster_id[row], documents.quality[row]))
    ]


def take_over(user: Any, users: Any, row: int) -> None:
    """Makes a single user what one of many is."""
    if hasattr(user, "topic_affinity"):
        user.topic_affinity = users.topic_affinity[row].copy()
    elif hasattr(user, "user_interests"):
        user.user_interests = users.interests[row].copy()
    else:
        user.net_positive_exposure = float(users.net_positive_exposure[row])
        user.satisfaction = long_term_satisfaction.satisfaction(
            user.net_positive_exposure, user.sensitivity
        )


@pytest.mark.parametrize("name", ALL)
def test_the_same_draws_give_the_same_numbers(name: str) -> None:
    scenario, settings = ALL[name]
    num_users, num_steps = 25, 40
    config = {**CONFIG, **settings}
    parameters = scenario.parameters_of(config)
    env = scenario.create_vector_environment(config, num_users, dtype=np.float64)
    model, sampler = env.user_model, env.document_sampler
    users = model.sample_users(RecordedStream(num_users, 0))
    singles = [scenario.create_environment(config).environment for _ in range(num_users)]
    for row, single in enumerate(singles):
        take_over(recsim_names.user_state(single.user_model), users, row)
    for step in range(1, num_steps + 1):
        documents = sampler.sample(RecordedStream(num_users, 1000 + step), SLATE_SIZE)
        stream = RecordedStream(num_users, step)
        choice = model.choose(users, documents, stream)
        responses = model.respond(users, documents, choice, stream)
        users = model.update(users, documents, choice, responses, stream)
        rewards = env.scenario.reward_aggregator(responses)
        done = model.is_done(users)
        for row, single in enumerate(singles):
            single.user_model.use_generator(Replayed(stream.drawn, row))
            slate = single_user_documents(name, parameters, documents, row)
            of_single = single.user_model.simulate_response(slate)
            single.user_model.update_state(slate, of_single)
            clicks = [response.clicked for response in of_single]
            assert (clicks.index(True) if True in clicks else SLATE_SIZE) == choice[row]
            expected = sum(
                getattr(response, "watch_time", getattr(response, "engagement", 1.0))
                for response in of_single
                if response.clicked
            )
            assert rewards[row] == expected
            assert single_user_state(recsim_names.user_state(single.user_model)) == tuple(
                state[row] for state in vector_state(users)
            )
            if done is not None:
                assert single.user_model.is_terminal() == done[row]


if __name__ == "__main__":
    record(int(sys.argv[1]))
