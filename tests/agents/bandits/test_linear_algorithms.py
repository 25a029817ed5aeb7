"""Linear contextual bandits: exact updates, MABWiser's values, joint regressions, regret."""

from __future__ import annotations

import json
import math
import pathlib

import numpy as np
import pytest

from recsim.agents.bandits import linear_algorithms

MABWISER = json.loads((pathlib.Path(__file__).parent / "data/mabwiser_values.json").read_text())
DIM, ARM_DIM, NUM_ARMS, RIDGE = 6, 3, 4, 0.7
BLOCKS = {"one by one": [1] * 240, "at once": [240], "in blocks": [60, 1, 1, 58, 2, 118]}


def outcomes(num=240, seed=0):
    """Returns contexts, arms and rewards."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(num, DIM)), rng.integers(NUM_ARMS, size=num), rng.normal(size=num)


def updated(model, contexts, arms, rewards, blocks):
    start = 0
    for size in blocks:
        rows = slice(start, start + size)
        model.update(contexts[rows], rewards[rows], None if arms is None else arms[rows])
        start += size
    assert start == len(contexts)
    return model


def random_inverse(dim, seed=0, leading=()):
    matrix = np.random.default_rng(seed).normal(size=(*leading, dim, 2 * dim))
    return np.linalg.inv(matrix @ matrix.swapaxes(-1, -2))


def test_updates_of_inverses():
    inverse = random_inverse(5, leading=(2, 3))
    contexts = np.random.default_rng(1).normal(size=(2, 3, 4, 5))
    precision = np.linalg.inv(inverse) + contexts.swapaxes(-1, -2) @ contexts
    at_once = linear_algorithms.block_update(inverse, contexts)
    np.testing.assert_allclose(at_once, np.linalg.inv(precision), rtol=1e-9, atol=1e-12)
    one_by_one = inverse
    for place in range(4):
        one_by_one = linear_algorithms.rank_one_update(one_by_one, contexts[..., place, :])
    np.testing.assert_allclose(one_by_one, at_once, rtol=1e-9, atol=1e-12)
    # By hand: 1 / (2 + 3 * 3).
    assert linear_algorithms.rank_one_update([[0.5]], [3.0]) == pytest.approx(1 / 11)


def test_indices_by_hand():
    weights, inverse = [1.0, 2.0], [[4.0, 0.0], [0.0, 1.0]]
    contexts = [[1.0, 0.0], [0.0, 3.0]]
    assert linear_algorithms.standard_deviations(inverse, contexts).tolist() == [2.0, 3.0]
    index = linear_algorithms.linear_ucb_index(weights, inverse, contexts, 0.5)
    assert index.tolist() == [2.0, 7.5]
    # The factor of the covariance is the diagonal (2, 1).
    index = linear_algorithms.linear_thompson_index(weights, inverse, contexts, [1.0, -1.0], 0.5)
    assert index.tolist() == [2.0, 4.5]


@pytest.mark.parametrize("blocks", BLOCKS)
@pytest.mark.parametrize("num_arms", [1, NUM_ARMS])
def test_updates_equal_a_refit(blocks, num_arms):
    contexts, arms, rewards = outcomes()
    arms = None if num_arms == 1 else arms
    model = linear_algorithms.LinearModels(DIM, num_arms, ridge=RIDGE)
    updated(model, contexts, arms, rewards, BLOCKS[blocks])
    for arm in range(num_arms):
        rows = slice(None) if arms is None else arms == arm
        precision = RIDGE * np.eye(DIM) + contexts[rows].T @ contexts[rows]
        weights = np.linalg.solve(precision, contexts[rows].T @ rewards[rows])
        np.testing.assert_allclose(model.precision[arm], precision, rtol=1e-12)
        np.testing.assert_allclose(model.inverse[arm], np.linalg.inv(precision), atol=1e-13)
        np.testing.assert_allclose(model.weights[arm], weights, atol=1e-12)
        assert (model.inverse[arm] == model.inverse[arm].T).all()


def test_rounding_errors_do_not_add_up():
    """After 20,000 updates by single contexts the inverse is as exact as after one."""
    rng = np.random.default_rng(3)
    contexts = rng.normal(size=(20_000, 8)) * np.geomspace(1.0, 1e3, 8)
    model = linear_algorithms.LinearModels(8)
    for context in contexts:
        model.update(context[np.newaxis], [1.0])
    product = model.inverse[0] @ (np.eye(8) + contexts.T @ contexts)
    np.testing.assert_allclose(product, np.eye(8), atol=1e-8)


def stacked(contexts, arms):
    """Returns the contexts of the one regression that the hybrid model stands for."""
    joint = np.zeros((len(contexts), DIM + NUM_ARMS * ARM_DIM))
    joint[:, :DIM] = contexts
    for row, arm in enumerate(arms):
        start = DIM + arm * ARM_DIM
        joint[row, start : start + ARM_DIM] = contexts[row, :ARM_DIM]
    return joint


@pytest.mark.parametrize("blocks", BLOCKS)
def test_hybrid_model_is_a_joint_regression(blocks):
    contexts, arms, rewards = outcomes()
    model = linear_algorithms.HybridModel(DIM, ARM_DIM, NUM_ARMS, ridge=RIDGE)
    updated(model, contexts, arms, rewards, BLOCKS[blocks])
    joint = stacked(contexts, arms)
    inverse = np.linalg.inv(RIDGE * np.eye(joint.shape[1]) + joint.T @ joint)
    weights = inverse @ joint.T @ rewards
    found = np.concatenate([model.shared_weights, model.weights.ravel()])
    np.testing.assert_allclose(found, weights, atol=1e-12)
    np.testing.assert_allclose(model.means(contexts, arms), joint @ weights, atol=1e-12)
    deviations = np.sqrt(np.einsum("ni,ij,nj->n", joint, inverse, joint))
    np.testing.assert_allclose(model.deviations(contexts, arms), deviations, atol=1e-12)


def made(kind):
    if kind == "hybrid":
        return linear_algorithms.HybridModel(DIM, ARM_DIM, NUM_ARMS)
    return linear_algorithms.LinearModels(DIM, NUM_ARMS if kind == "disjoint" else 1)


def joint_contexts(kind, contexts, arms):
    """Returns the contexts of the one regression that a model of the kind stands for."""
    if kind == "hybrid":
        return stacked(contexts, arms)
    joint = np.zeros((len(contexts), NUM_ARMS if kind == "disjoint" else 1, DIM))
    joint[np.arange(len(contexts)), arms if kind == "disjoint" else 0] = contexts
    return joint.reshape(len(contexts), -1)


def refit(joint, rewards, new):
    """Returns what a regression has for new contexts, computed without the sums of its products."""
    stack = np.vstack([joint, np.eye(joint.shape[1])])
    scales = np.linalg.norm(stack, axis=0)
    q, r = np.linalg.qr(stack / scales)
    means = new / scales @ np.linalg.solve(r, rewards @ q[: len(joint)])
    return means, np.linalg.norm(np.linalg.solve(r.T, (new / scales).T), axis=0)


def with_sizes(case, size, contexts):
    """Returns contexts some of whose numbers are of another size than 1."""
    contexts = contexts.copy()
    contexts[:, 0] = 1.0
    if case == "one number":
        contexts[20, 1] = size
    elif case == "an offset":
        contexts[:, 1] += size
    else:
        contexts[:, 1] *= size
        contexts[:, 2] = contexts[:, 1] * (1.0 + 1e-3 * contexts[:, 2])
    return contexts


@pytest.mark.parametrize("block", [1, 2, 30])
@pytest.mark.parametrize("kind", ["shared", "disjoint", "hybrid"])
@pytest.mark.parametrize("case", ["one number", "an offset", "two alike"])
def test_contexts_of_any_size_have_the_estimates_of_a_refit_or_none(kind, case, block):
    contexts, arms, rewards = outcomes(120)
    new, of_new = np.random.default_rng(1).normal(size=(20, DIM)), np.arange(20) % NUM_ARMS
    # Up to which size it must not be refused. The hybrid model has numbers of its arms' contexts
    # twice, which the ridge alone tells apart, as it does two that are alike at first.
    allowed = 1e3 if case == "two alike" else 1e5 if kind == "hybrid" else 1e40
    refused = []
    for size in (1e3, 1e5, 1e6, 1e7, 1.7e9, 1e13, 1e16, 1e40):
        model, large = made(kind), with_sizes(case, size, contexts)
        of_rows, of_others = (None, None) if kind == "shared" else (arms, of_new)
        try:
            updated(model, large, of_rows, rewards, [block] * (len(large) // block))
        except FloatingPointError:
            refused.append(size)
            continue
        means, deviations = refit(
            joint_contexts(kind, large, arms), rewards, joint_contexts(kind, new, of_new)
        )
        tolerance = 1e-5 if size <= allowed else 1e-3
        found = model.deviations(new, of_others)
        np.testing.assert_allclose(found, deviations, rtol=tolerance, err_msg=f"{size}")
        errors = np.abs(model.means(new, of_others) - means) / deviations
        assert errors.max() < tolerance * np.linalg.norm(rewards), size
    assert min(refused, default=math.inf) > allowed


def test_hybrid_model_refuses_contexts_that_leave_no_digits():
    contexts, arms, rewards = outcomes(30)
    contexts[20, 1] = 1e8
    with pytest.raises(FloatingPointError, match="no longer exact, .* scale features to about 1"):
        updated(made("hybrid"), contexts, arms, rewards, [1] * 30)


def failing_at(number):
    """Returns a Cholesky decomposition whose call of this number finds no definite matrix."""
    calls = iter(range(1, number + 1))

    def cholesky(matrix, factorize=np.linalg.cholesky):
        if next(calls) == number:
            raise np.linalg.LinAlgError("Matrix is not positive definite")
        return factorize(matrix)

    return cholesky


@pytest.mark.parametrize("kind", ["shared", "disjoint", "hybrid"])
@pytest.mark.parametrize("case", ["the last arm has no digits", "an update of an inverse fails"])
def test_a_refused_update_changes_nothing(monkeypatch, case, kind):
    contexts, arms, rewards = outcomes(80)
    model, untouched = made(kind), made(kind)
    if case == "the last arm has no digits":
        rows, bad = slice(0, 80), contexts.copy()
        bad[arms == NUM_ARMS - 1, 1:3] = 1e10
    else:
        rows, bad = slice(0, 1), contexts[:1]
    for start, end, blocks in ((0, 41, [40, 1]), (41, 80, [1, 38])):
        for each in (model, untouched):
            block = slice(start, end)
            of_block = None if kind == "shared" else arms[block]
            updated(each, contexts[block], of_block, rewards[block], blocks)
        with monkeypatch.context() as patch:
            if len(bad) == 1:
                # The hybrid model has updated one of its two inverses by then.
                fails = failing_at(2 if kind == "hybrid" else 1)
                patch.setattr(np.linalg, "cholesky", fails)
            with pytest.raises(FloatingPointError, match="no longer exact"):
                model.update(bad, rewards[rows], None if kind == "shared" else arms[rows])
        state = model.state_dict()
        for name, array in untouched.state_dict().items():
            np.testing.assert_array_equal(state[name], array, err_msg=name)
        of_contexts = None if kind == "shared" else arms
        for method in ("means", "deviations"):
            found, expected = (
                getattr(each, method)(contexts, of_contexts) for each in (model, untouched)
            )
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", ["shared", "disjoint", "hybrid"])
def test_samples_have_the_moments_of_the_posterior(kind):
    """Means and covariances of three documents' sampled rewards, of 100,000 users."""
    contexts, arms, rewards = outcomes(60)
    new, of_new, scale, num_users = contexts[:3], np.array([1, 2, 1]), 1.5, 100_000
    if kind == "hybrid":
        model = linear_algorithms.HybridModel(DIM, ARM_DIM, NUM_ARMS, ridge=RIDGE)
        joint, joint_new = stacked(contexts, arms), stacked(new, of_new)
    else:
        num_arms = 1 if kind == "shared" else NUM_ARMS
        model = linear_algorithms.LinearModels(DIM, num_arms, ridge=RIDGE)
        arms, of_new = (None, None) if kind == "shared" else (arms, of_new)
        joint = np.zeros((60, num_arms, DIM))
        joint[np.arange(60), 0 if arms is None else arms] = contexts
        joint_new = np.zeros((3, num_arms, DIM))
        joint_new[np.arange(3), 0 if arms is None else of_new] = new
        joint, joint_new = joint.reshape(60, -1), joint_new.reshape(3, -1)
    updated(model, contexts, arms, rewards, [60])
    inverse = np.linalg.inv(RIDGE * np.eye(joint.shape[1]) + joint.T @ joint)
    covariance = scale**2 * joint_new @ inverse @ joint_new.T
    normals = np.random.default_rng(5).normal(size=(num_users, model.num_normals))
    repeated = np.broadcast_to(new, (num_users, 3, DIM))
    of_repeated = None if of_new is None else np.broadcast_to(of_new, (num_users, 3))
    sampled = model.sampled_means(repeated, normals, scale, of_repeated)
    # Four standard errors.
    errors = np.sqrt(np.diag(covariance) / num_users)
    assert (
        np.abs(sampled.mean(axis=0) - joint_new @ inverse @ joint.T @ rewards) < 4 * errors
    ).all()
    variances = np.diag(covariance)
    spread = np.sqrt((np.outer(variances, variances) + covariance**2) / num_users)
    assert (np.abs(np.cov(sampled.T) - covariance) < 4 * spread).all()


def test_as_mabwiser_estimates_and_chooses():
    contexts, rewards = np.array(MABWISER["contexts"]), np.array(MABWISER["rewards"])
    new = np.array(MABWISER["new_contexts"])
    num_arms, alpha = rewards.shape[1], MABWISER["alpha"]
    model = linear_algorithms.LinearModels(contexts.shape[1], num_arms, ridge=MABWISER["ridge"])
    all_arms = np.arange(num_arms)

    def bounds(context):
        repeated = np.tile(context, (num_arms, 1))
        return model.means(repeated, all_arms) + alpha * model.deviations(repeated, all_arms)

    chosen = []
    for row, context in enumerate(contexts):
        arm = int(bounds(context).argmax()) if row >= 2 * num_arms else row % num_arms
        model.update([context], [rewards[row, arm]], np.array([arm]))
        chosen.append(arm)
    assert chosen == MABWISER["ucb"]["arms"]
    found = [bounds(context) for context in new]
    np.testing.assert_allclose(found, MABWISER["ucb"]["expectations"], rtol=1e-10)
    one_arm = linear_algorithms.linear_ucb_index(model.weights[1], model.inverse[1], new, alpha)
    np.testing.assert_allclose(one_arm, np.array(found)[:, 1], rtol=1e-12)


def test_posterior_that_mabwiser_samples():
    """Its samples' moments, of 20,000, are within four standard errors of ours."""
    recorded = MABWISER["thompson"]
    contexts, rewards = np.array(MABWISER["contexts"]), np.array(MABWISER["rewards"])
    arms, num_arms = np.array(recorded["arms"]), rewards.shape[1]
    model = linear_algorithms.LinearModels(contexts.shape[1], num_arms, ridge=MABWISER["ridge"])
    model.update(contexts, rewards[np.arange(len(arms)), arms], arms)
    first = np.tile(MABWISER["new_contexts"][0], (num_arms, 1))
    means = model.means(first, np.arange(num_arms))
    deviations = MABWISER["scale"] * model.deviations(first, np.arange(num_arms))
    num = recorded["num_samples"]
    assert (np.abs(recorded["means_of_samples"] - means) < 4 * deviations / math.sqrt(num)).all()
    errors = deviations / math.sqrt(2 * num)
    assert (np.abs(recorded["deviations_of_samples"] - deviations) < 4 * errors).all()


def regrets(explore, num_rounds=4000, num_bandits=20, num_documents=10, dim=5, seed=0):
    """Returns the cumulative regret, a mean over bandits, in problems of a linear reward.

    Bandits are computed together, as leading axes. Contexts are new in each round, so that there
    are always documents that are nearly as good as the best.
    """
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(num_bandits, dim))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    inverse = np.tile(np.eye(dim), (num_bandits, 1, 1))
    moments = np.zeros((num_bandits, dim))
    estimates = np.zeros((num_bandits, dim))
    regret = np.empty(num_rounds)
    bandits = np.arange(num_bandits)
    for round_ in range(num_rounds):
        contexts = rng.normal(size=(num_bandits, num_documents, dim))
        contexts /= np.linalg.norm(contexts, axis=2, keepdims=True)
        means = np.einsum("bdi,bi->bd", contexts, weights)
        chosen = explore(rng, estimates, inverse, contexts).argmax(axis=1)
        shown = contexts[bandits, chosen]
        rewards = means[bandits, chosen] + 0.5 * rng.normal(size=num_bandits)
        regret[round_] = (means.max(axis=1) - means[bandits, chosen]).mean()
        inverse = linear_algorithms.rank_one_update(inverse, shown)
        moments += rewards[:, np.newaxis] * shown
        estimates = np.matmul(inverse, moments[..., np.newaxis])[..., 0]
    return regret.cumsum()


def slope(regret):
    """Returns the slope of the logarithm of regret over that of time, from a tenth of it on."""
    rounds = np.arange(1, len(regret) + 1)
    rows = np.unique(np.geomspace(len(regret) // 10, len(regret), 50).astype(int)) - 1
    return np.polyfit(np.log(rounds[rows]), np.log(regret[rows]), 1)[0]


EXPLORE = {
    "LinUCB": lambda rng, weights, inverse, contexts: linear_algorithms.linear_ucb_index(
        weights, inverse, contexts, 1.0
    ),
    "LinTS": lambda rng, weights, inverse, contexts: linear_algorithms.linear_thompson_index(
        weights, inverse, contexts, rng.normal(size=weights.shape), 0.5
    ),
    "random": lambda rng, weights, inverse, contexts: rng.random(contexts.shape[:2]),
}


@pytest.mark.parametrize("name", ["LinUCB", "LinTS"])
def test_regret_grows_as_the_square_root_of_time_at_most(name):
    """The exponent is at most 1/2, by which the known bounds grow, within 0.05; 1 at random."""
    assert slope(regrets(EXPLORE[name])) < 0.55


def test_random_choices_have_linear_regret():
    assert slope(regrets(EXPLORE["random"], num_rounds=1000)) == pytest.approx(1.0, abs=0.02)


BAD = {
    "a matrix of another size": (
        lambda: linear_algorithms.rank_one_update(np.eye(2), [1.0, 2.0, 3.0]),
        ValueError,
        r"inverse must be of shape \(\.\.\., dim, dim\).*got the shapes \(2, 2\) and \(3,\)",
    ),
    "one context for a block": (
        lambda: linear_algorithms.block_update(np.eye(2), [1.0, 2.0]),
        ValueError,
        "num_contexts, dim",
    ),
    "weights of another size": (
        lambda: linear_algorithms.linear_ucb_index([1.0], np.eye(2), [[1.0, 2.0]]),
        ValueError,
        "weights must be of shape",
    ),
    "a negative width": (
        lambda: linear_algorithms.linear_ucb_index([1.0], [[1.0]], [[1.0]], -1.0),
        ValueError,
        "alpha must be",
    ),
    "words": (
        lambda: linear_algorithms.standard_deviations([["a"]], [[1.0]]),
        TypeError,
        "inverse",
    ),
    "no finite context": (
        lambda: linear_algorithms.LinearModels(1).update([[np.nan]], [1.0]),
        ValueError,
        "contexts must be finite",
    ),
    "rewards of another number": (
        lambda: linear_algorithms.LinearModels(1).update([[1.0]], [1.0, 2.0]),
        ValueError,
        r"shapes \(n, 1\) and \(n,\), got \(1, 1\) and \(2,\)",
    ),
    "no arms": (
        lambda: linear_algorithms.LinearModels(1, 2).update([[1.0]], [1.0]),
        ValueError,
        "arms must be given",
    ),
    "an arm too many": (
        lambda: linear_algorithms.LinearModels(1, 2).update([[1.0]], [1.0], [2]),
        ValueError,
        "arms must be in 0 to 1, got",
    ),
    "half an arm": (
        lambda: linear_algorithms.LinearModels(1, 2).update([[1.0]], [1.0], [0.5]),
        ValueError,
        "arms must be integers",
    ),
    "no ridge": (lambda: linear_algorithms.LinearModels(1, ridge=0.0), ValueError, "ridge"),
    "a part that is larger": (
        lambda: linear_algorithms.HybridModel(2, 3, 1),
        ValueError,
        "arm_dim must be an integer <= 2",
    ),
    "matrices beyond memory": (
        lambda: linear_algorithms.LinearModels(2**20, 100),
        MemoryError,
        "matrices",
    ),
    "large features that are nearly equal": (
        lambda: linear_algorithms.LinearModels(2).update([[1e9, 1e9 + 1]] * 2, [1.0, -1.0]),
        FloatingPointError,
        r"no longer exact, as features .* or choose a larger ridge\.$",
    ),
    "equal features beyond reason": (
        lambda: linear_algorithms.LinearModels(2).update([[1e100, 1e100]] * 2, [1.0, -1.0]),
        FloatingPointError,
        "no longer exact",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    call, error, message = BAD[case]
    with pytest.raises(error, match=message), np.errstate(all="ignore"):
        call()
