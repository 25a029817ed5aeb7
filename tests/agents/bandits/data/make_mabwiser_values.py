"""Writes what MABWiser's linear bandits estimate and choose to mabwiser_values.json.

recsim does not need MABWiser, so that this runs in an environment of its own::

    python -m venv mabwiser
    mabwiser/bin/pip install mabwiser
    mabwiser/bin/python tests/agents/bandits/data/make_mabwiser_values.py
"""

import importlib.metadata
import json
import pathlib

import numpy as np
from mabwiser.mab import MAB, LearningPolicy

NUM_ARMS, DIM, NUM_ROUNDS = 3, 4, 150
RIDGE, ALPHA, SCALE = 0.5, 1.5, 0.7
NUM_SAMPLES = 20_000


def problem(rng):
    """Returns contexts, and what each arm would bring in each of them."""
    contexts = rng.normal(size=(NUM_ROUNDS, DIM))
    weights = rng.normal(size=(NUM_ARMS, DIM))
    rewards = contexts @ weights.T + 0.5 * rng.normal(size=(NUM_ROUNDS, NUM_ARMS))
    return contexts, rewards


def played(policy, contexts, rewards):
    """Returns a bandit after all rounds, and the arms: each twice in turn, then its own choice."""
    mab = MAB(list(range(NUM_ARMS)), policy, seed=7)
    given = 2 * NUM_ARMS
    arms = [round_ % NUM_ARMS for round_ in range(given)]
    rows = np.arange(given)
    mab.fit(arms, rewards[rows, arms], contexts[rows])
    for row in range(given, NUM_ROUNDS):
        arm = mab.predict(contexts[[row]])
        mab.partial_fit([arm], rewards[[row], [arm]], contexts[[row]])
        arms.append(int(arm))
    return mab, arms


def by_arm(expectations):
    """Returns expectations as lists of a number for each arm."""
    return [[row[arm] for arm in range(NUM_ARMS)] for row in expectations]


def main():
    rng = np.random.default_rng(11)
    contexts, rewards = problem(rng)
    new = rng.normal(size=(6, DIM))
    ucb, ucb_arms = played(LearningPolicy.LinUCB(ALPHA, RIDGE), contexts, rewards)
    thompson, thompson_arms = played(LearningPolicy.LinTS(SCALE, RIDGE), contexts, rewards)
    repeated = np.repeat(new[:1], NUM_SAMPLES, axis=0)
    sampled = np.array(by_arm(thompson.predict_expectations(repeated)))
    values = {
        "version": importlib.metadata.version("mabwiser"),
        "ridge": RIDGE,
        "alpha": ALPHA,
        "scale": SCALE,
        "contexts": contexts.tolist(),
        "rewards": rewards.tolist(),
        "new_contexts": new.tolist(),
        "ucb": {"arms": ucb_arms, "expectations": by_arm(ucb.predict_expectations(new))},
        "thompson": {
            "arms": thompson_arms,
            "num_samples": NUM_SAMPLES,
            "means_of_samples": sampled.mean(axis=0).tolist(),
            "deviations_of_samples": sampled.std(axis=0).tolist(),
        },
    }
    path = pathlib.Path(__file__).with_name("mabwiser_values.json")
    path.write_text(json.dumps(values) + "\n")


if __name__ == "__main__":
    main()
