"""Checks that intervals over seeds contain the true return as often as they say.

::

    python tools/check_intervals.py docs/results/intervals.json

An agent whose return is known by hand runs in many experiments of five seeds, through the engine of
``recsim.experiment``: how often does the 95% interval contain that return, and how often is the
agent called different from itself, with other seeds of the agent and the same users?

All experiments together are one whose seeds are split: an experiment of seeds 5 to 9 has the tasks
of these seeds.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import time

import numpy as np
import pandas as pd
from gymnasium import spaces

import recsim
from recsim import agent, document, user
from recsim.experiments import results
from recsim.simulator import environment, recsim_gym

SEEDS = 5
USERS = 20
STEPS = 5

#: A user clicks with the probability taste × quality, taste uniform in [0.2, 1], quality in [0, 1].
#: The best of two documents has a quality of 2/3 in the mean, a random one of 1/2; the skilled
#: agent shows the best with a probability that is 1/2 in the mean over the agent's seeds.
TRUE_RETURNS = {"skilled": STEPS * 0.6 * (2 / 3 + 1 / 2) / 2, "random": STEPS * 0.6 / 2}


class Article(document.AbstractDocument):
    """A document of a quality."""

    def __init__(self, doc_id: int, quality: float) -> None:
        super().__init__(doc_id)
        self.quality = quality

    def create_observation(self) -> np.ndarray:
        return np.array([self.quality])

    @classmethod
    def observation_space(cls) -> spaces.Box:
        return spaces.Box(0.0, 1.0, (1,), np.float64)


class ArticleSampler(document.AbstractDocumentSampler):
    """Samples documents of uniform qualities."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(Article, seed)
        self._count = 0

    def sample_document(self) -> Article:
        self._count += 1
        return Article(self._count, self._rng.uniform())


class Reader(user.AbstractUserState):
    """A user of a taste."""

    def __init__(self, taste: float) -> None:
        self.taste = taste

    def score_document(self, doc_obs: np.ndarray) -> float:
        return self.taste * float(doc_obs[0])

    def create_observation(self) -> np.ndarray:
        return np.array([])

    @staticmethod
    def observation_space() -> spaces.Box:
        return spaces.Box(0.0, 1.0, (0,), np.float64)


class ReaderSampler(user.AbstractUserSampler):
    """Samples users of uniform tastes."""

    def sample_user(self) -> Reader:
        return self._user_ctor(self._rng.uniform(0.2, 1.0))


class Click(user.AbstractResponse):
    """Whether a document was clicked."""

    def __init__(self) -> None:
        self.clicked = False

    def create_observation(self) -> dict[str, int]:
        return {"click": int(self.clicked)}

    @classmethod
    def response_space(cls) -> spaces.Dict:
        return spaces.Dict({"click": spaces.Discrete(2)})


class ReaderModel(user.AbstractUserModel):
    """Users who click by taste and quality."""

    def __init__(self, slate_size: int, seed: int) -> None:
        super().__init__(Click, ReaderSampler(Reader, seed), slate_size)

    def simulate_response(self, documents: list[Article]) -> list[Click]:
        responses = [Click() for _ in documents]
        for response, shown in zip(responses, documents):
            probability = self._user_state.taste * shown.quality
            response.clicked = bool(self.environment_rng.random() < probability)
        return responses

    def update_state(self, slate_documents: list[Article], responses: list[Click]) -> None:
        """Users stay as they are."""

    def is_terminal(self) -> bool:
        return False


def number_of_clicks(responses: list[Click]) -> float:
    """The reward of a slate."""
    return float(sum(response.clicked for response in responses))


def reading(env_config: dict) -> recsim_gym.RecSimGymEnv:
    """Makes the scenario."""
    return recsim_gym.RecSimGymEnv(
        environment.SingleUserEnvironment(
            ReaderModel(env_config["slate_size"], env_config["seed"]),
            ArticleSampler(env_config["seed"]),
            env_config["num_candidates"],
            env_config["slate_size"],
            resample_documents=True,
        ),
        number_of_clicks,
    )


class Skilled(agent.AbstractEpisodicRecommenderAgent):
    """Shows the best document with a probability, its skill, that its seed gives it."""

    def __init__(self, action_space: spaces.Space, random_seed: int) -> None:
        super().__init__(action_space)
        self._rng = np.random.default_rng(random_seed)
        self._skill = self._rng.uniform()

    def step(self, reward: float, observation: dict) -> list[int]:
        qualities = [float(quality[0]) for quality in observation["doc"].values()]
        if self._rng.uniform() < self._skill:
            return [int(np.argmax(qualities))]
        return [int(self._rng.integers(len(qualities)))]


def returns(repetitions: int, *, seed: int, workers: int) -> pd.DataFrame:
    """Runs the experiments; the skilled agent with other seeds of its own is called "other"."""
    settings = {
        "scenarios": {"reading": reading},
        "seeds": SEEDS * repetitions,
        "seed": seed,
        "num_candidates": 2,
        "slate_size": 1,
        "episodes": USERS,
        "steps": STEPS,
        "workers": workers,
    }
    first = recsim.experiment({"skilled": Skilled, "random": "random"}, **settings)
    second = recsim.experiment({"other": Skilled}, agent_seed=seed + 10**6, **settings)
    return pd.concat([first.to_dataframe(), second.to_dataframe()]).query("measure == 'return'")


def shares(frame: pd.DataFrame) -> dict[str, float]:
    """Returns in which shares of the experiments something is found."""
    found: dict[str, list[bool]] = {}

    def note(name: str, value: bool) -> None:
        found.setdefault(name, []).append(bool(value))

    difference = TRUE_RETURNS["skilled"] - TRUE_RETURNS["random"]
    for _, of_experiment in frame.groupby((frame["seed"] - frame["seed"].min()) // SEEDS):
        summary = results.Results(of_experiment).summary(baseline="random").set_index("agent")
        for name, truth in TRUE_RETURNS.items():
            row = summary.loc[name]
            note(f"interval of {name} contains its return", row["low"] <= truth <= row["high"])
        row = summary.loc["skilled"]
        inside = row["difference_low"] <= difference <= row["difference_high"]
        note("interval of their difference contains it", inside)
        pair = results.Results(of_experiment[of_experiment["agent"] != "random"])
        row = pair.summary(baseline="skilled").set_index("agent").loc["other"]
        apart = row["difference_low"] > 0 or row["difference_high"] < 0
        note("summary calls skilled different from itself", apart)
        lines = [line for line in pair.table().splitlines()[3:5] if line.endswith(("*", "~"))]
        note("table calls skilled different from itself", len(lines) == 1)
    return {name: float(np.mean(values)) for name, values in found.items()}


def main() -> None:
    """Writes the shares to a file, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--repetitions", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    given.output.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    frame = returns(given.repetitions, seed=given.seed, workers=given.workers)
    record = {
        "command": "python tools/check_intervals.py docs/results/intervals.json",
        "repetitions": given.repetitions,
        "seed": given.seed,
        "seeds": SEEDS,
        "users": USERS,
        "true_returns": TRUE_RETURNS,
        "shares": shares(frame),
        "versions": {"recsim": recsim.__version__, "numpy": np.__version__},
        "minutes": round((time.monotonic() - start) / 60, 1),
    }
    given.output.write_text(f"{json.dumps(record, indent=2)}\n", encoding="utf-8")
    print(json.dumps(record["shares"], indent=2))


if __name__ == "__main__":
    main()
