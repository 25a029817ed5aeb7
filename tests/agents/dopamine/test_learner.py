"""The Q-learner without an agent: schedules, networks, gradient steps, updates, state."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from support import same
from support.scenarios import CONFIG

from recsim.agents import adapters
from recsim.agents.dopamine import (
    gradients,
    learner,
    network,
    training,
    transitions,
    values,
)
from recsim.environments import interest_evolution

ENV = interest_evolution.create_environment(CONFIG)


class FirstFeature(values.SlateValues):
    """A value of users by their first two features, whatever the slate."""

    num_inputs = 2

    def training_batch(self, batch, target_network, gamma=None):
        return training.TrainingBatch(batch.users[:, :2], batch.rewards, batch.clicks >= 0)

    def best_slate(self, q_network, user, documents):
        return np.arange(self.slate_size)

    def best_slates(self, q_network, users, documents):
        return np.tile(np.arange(self.slate_size), (len(users), 1))

    def outcome(self, reward, observation):
        return 0, reward

    def outcomes(self, responses, rewards):
        return np.zeros(len(rewards), int), rewards


class Counted:
    """A replay buffer of equal transitions that counts the batches."""

    def __init__(self, batch_size=3, click=0, reward=1.0):
        self.batch_size = batch_size
        self.add_count = 0
        self.samples = 0
        self.click, self.reward = click, reward

    def can_sample(self):
        return self.add_count > 1

    def sample(self):
        self.samples += 1
        size = self.batch_size
        users = np.full((size, 20), 0.5, np.float32)
        documents = np.zeros((size, 4, 20), np.float32)
        slates = np.zeros((size, 2), int)
        rewards = np.full(size, self.reward, np.float32)
        return transitions.Batch(
            users=users,
            documents=documents,
            slates=slates,
            clicks=np.full(size, self.click),
            rewards=rewards,
            discounts=np.full(size, 0.9, np.float32),
            terminals=np.zeros(size, bool),
            next_users=users,
            next_documents=documents,
            next_slates=slates,
        )

    def state_dict(self):
        return {"add_count": self.add_count}

    def check(self, state):
        assert list(state) == ["add_count"]

    def load_state_dict(self, state):
        self.add_count = state["add_count"]


def make(replay=Counted, **settings):
    space = ENV.observation_space
    of_users = FirstFeature(space, adapters.ObservationAdapter(space), 2)
    settings = {"optimizer_name": "sgd", "hidden_units": (4,), "learning_rate": 0.1, **settings}
    return learner.QLearner(of_users, learner.Settings(**settings), replay, "Agent")


def train(one, num_steps, num_users=None, writer=None):
    """Trains, and returns the steps at which the learner updated and those at which it copied."""
    updates, copies = [], []
    for _ in range(num_steps):
        step, samples, target = one.training_steps, one.replay.samples, one.target_network
        if num_users is None:
            one.train_step(writer)
        else:
            one.train_steps(num_users, writer)
        one.replay.add_count += num_users or 1
        updates += [step] * (one.replay.samples - samples)
        if one.target_network is not target:
            copies.append(step)
    return updates, copies


# Schedules.


def test_epsilon():
    def epsilon(step):
        return learner.linearly_decaying_epsilon(100, step, 50, 0.2)

    assert [epsilon(step) for step in (0, 50, 150, 1000)] == pytest.approx([1.0, 1.0, 0.2, 0.2])
    assert epsilon(75) == pytest.approx(0.8)


def test_initial_weights_are_those_of_keras():
    weights = network.QNetwork.initial(40, (256, 32), np.random.RandomState(0)).weights
    assert [w.shape for w in weights] == [(40, 256), (256,), (256, 32), (32,), (32, 1), (1,)]
    assert all(w.dtype == np.float32 for w in weights)
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        limit = np.sqrt(6 / sum(kernel.shape))
        assert 0.9 * limit < np.abs(kernel).max() <= limit
        assert not bias.any()


def test_the_network_is_the_same_in_numpy_and_in_keras():
    rng = np.random.RandomState(0)
    q_network = network.QNetwork.initial(7, (16, 8), rng)
    inputs = rng.standard_normal((50, 7)).astype(np.float32)
    model = training.make_model(q_network.weights)
    kernel, bias = q_network.first_layer
    outputs = q_network.finish(inputs @ kernel + bias)
    np.testing.assert_allclose(outputs, np.asarray(model(inputs))[:, 0], rtol=1e-5, atol=1e-6)


def batch_of(*rows):
    """A batch of rows (input, input, target, whether it is used)."""
    columns = np.array(rows, np.float32)
    return training.TrainingBatch(columns[:, :2], columns[:, 2], columns[:, 3] == 1.0)


def linear_batch():
    """A batch for a network of two inputs and no hidden layer; the last row does not count."""
    return batch_of([1.0, 2.0, 3.0, 1.0], [0.5, -1.0, 0.0, 1.0], [9.0, 9.0, 9.0, 0.0])


def linear_trainer(weights=None, **kwargs):
    arguments = {"optimizer_name": "sgd", "make_optimizer": None, "loss": "squared", **kwargs}
    weights = weights or [np.array([[0.5], [0.25]], np.float32), np.zeros(1, np.float32)]
    return training.Trainer(weights, **arguments, batch_size=3, device="/cpu:*")


def numpy_trainer(weights=None, optimizer_name="sgd", loss="squared"):
    weights = weights or [np.array([[0.5], [0.25]], np.float32), np.zeros(1, np.float32)]
    return gradients.NumpyTrainer(weights, optimizer_name, loss)


both_trainers = pytest.mark.parametrize("linear_trainer", [linear_trainer, numpy_trainer])


@both_trainers
@pytest.mark.parametrize(
    ("loss", "expected_loss", "slopes"),
    [
        # Errors: 0.5 + 0.5 - 3 = -2 and 0.25 - 0.25 - 0 = 0; slopes 2 error / 2 rows.
        ("squared", 2.0, [-2.0, 0.0]),
        # 2 - 1/2 over 2 rows; the slope of a large error is its sign.
        ("huber", 0.75, [-0.5, 0.0]),
    ],
)
def test_a_gradient_step_by_hand(linear_trainer, loss, expected_loss, slopes):
    trainer = linear_trainer(loss=loss)
    assert trainer.weights()[0].ravel().tolist() == [0.5, 0.25]
    trainer.step(linear_batch())
    assert trainer.loss == pytest.approx(expected_loss)
    assert trainer.mean_q == pytest.approx((1.0 + 0.0) / 2)
    gradient = slopes[0] * np.array([1.0, 2.0]) + slopes[1] * np.array([0.5, -1.0])
    kernel, bias = trainer.weights()
    np.testing.assert_allclose(kernel[:, 0], np.array([0.5, 0.25]) - 1e-3 * gradient, rtol=1e-5)
    np.testing.assert_allclose(bias, [-1e-3 * sum(slopes)], rtol=1e-5)


@both_trainers
@pytest.mark.parametrize("name", ["", "rmsprop"])
def test_centred_rmsprop_with_dopamines_settings(linear_trainer, name):
    trainer = linear_trainer(optimizer_name=name)
    batch = batch_of([1.0, 0.0, 3.0, 1.0], [0.0] * 4, [0.0] * 4)
    moment, square, kernel, bias = 0.0, 0.0, 0.5, 0.0
    for _ in range(3):
        trainer.step(batch)
        gradient = 2 * (kernel + bias - 3.0)
        moment = 0.95 * moment + 0.05 * gradient
        square = 0.95 * square + 0.05 * gradient**2
        change = 2.5e-4 * gradient / np.sqrt(square - moment**2 + 1e-5)
        kernel, bias = kernel - change, bias - change
    np.testing.assert_allclose(trainer.weights()[0][0, 0], kernel, rtol=1e-5)
    np.testing.assert_allclose(trainer.weights()[1], [bias], rtol=1e-5)


def test_a_keras_optimizer_is_copied():
    import keras

    optimizer = keras.optimizers.SGD(0.1, momentum=0.5)
    make = training.optimizer_maker(optimizer)
    first, second = (linear_trainer(optimizer_name="", make_optimizer=make) for _ in range(2))
    first.step(linear_batch())
    second.step(linear_batch())
    np.testing.assert_allclose(first.weights()[0][:, 0], [0.5 + 0.2, 0.25 + 0.4], rtol=1e-5)
    assert first.weights()[0].tolist() == second.weights()[0].tolist()
    assert not optimizer.built


@both_trainers
@pytest.mark.parametrize("name", ["rmsprop", "adam", "sgd"])
def test_a_restored_optimizer_resumes_exactly(linear_trainer, name):
    trainer = linear_trainer(optimizer_name=name)
    for _ in range(3):
        trainer.step(linear_batch())
    restored = linear_trainer(trainer.weights(), optimizer_name=name)
    restored.set_optimizer_state(trainer.optimizer_state())
    for each in (trainer, restored):
        each.step(linear_batch())
    assert trainer.weights()[0].tobytes() == restored.weights()[0].tobytes()


@both_trainers
def test_the_state_of_another_optimizer_is_refused(linear_trainer):
    state = linear_trainer(optimizer_name="adam").optimizer_state()
    with pytest.raises(ValueError, match="it is of another optimizer"):
        linear_trainer(optimizer_name="sgd").set_optimizer_state(state)


def random_batch(rng, size, num_inputs):
    used = rng.uniform(size=size) < 0.7
    inputs = rng.standard_normal((size, num_inputs)).astype(np.float32)
    return training.TrainingBatch(inputs, rng.standard_normal(size).astype(np.float32) * 3.0, used)


@pytest.mark.parametrize("loss", ["squared", "huber"])
@pytest.mark.parametrize("name", ["rmsprop", "adam", "sgd"])
def test_numpy_makes_the_steps_of_keras_and_takes_and_gives_its_state(name, loss):
    rng = np.random.RandomState(0)
    weights = network.QNetwork.initial(40, (256, 32), rng).weights
    keras = training.Trainer(weights, name, None, loss, batch_size=100, device="/cpu:*")
    ours = gradients.NumpyTrainer(weights, name, loss)
    for _ in range(20):
        batch = random_batch(rng, 100, 40)
        keras.step(batch)
        ours.step(batch)
        assert ours.loss == pytest.approx(keras.loss, rel=1e-3)
        assert ours.mean_q == pytest.approx(keras.mean_q, rel=1e-2, abs=1e-3)
    for of_keras, own in zip(keras.weights(), ours.weights(), strict=True):
        # Adam divides by roots of squares that are 0 but for their rounding.
        np.testing.assert_allclose(own, of_keras, atol=1e-3 if name == "adam" else 1e-5)
    for of_keras, own in zip(keras.optimizer_state(), ours.optimizer_state(), strict=True):
        assert (own.shape, own.dtype) == (of_keras.shape, of_keras.dtype)
        np.testing.assert_allclose(own, of_keras, rtol=0.01, atol=1e-3)
    keras.set_optimizer_state(ours.optimizer_state())
    ours.set_optimizer_state(keras.optimizer_state())


@pytest.mark.parametrize("name", ["rmsprop", "adam", "sgd"])
def test_a_batch_without_rows_that_count_changes_no_weight_at_first(name):
    trainer = numpy_trainer(optimizer_name=name)
    trainer.step(batch_of([1.0, 2.0, 3.0, 0.0]))
    assert trainer.weights()[0].ravel().tolist() == [0.5, 0.25]
    assert (trainer.loss, trainer.mean_q) == (0.0, 0.0)


def test_numpy_trains_but_for_optimizers_of_keras_and_other_devices():
    import keras

    assert not learner.Settings().uses_tensorflow
    assert not learner.Settings(optimizer_name="adam", tf_device="/CPU:0").uses_tensorflow
    assert learner.Settings(tf_device="/gpu:0").uses_tensorflow
    assert learner.Settings(optimizer=keras.optimizers.SGD(0.1)).uses_tensorflow


# Learning.


def test_when_it_learns():
    one = make(min_replay_history=10, update_period=4, target_update_period=6)
    updates, copies = train(one, 26)
    # The 11th transition is there in the step of number 11.
    assert updates == [12, 16, 20, 24]
    assert copies == [12, 18, 24]
    assert (one.training_steps, one.num_updates) == (26, 4)


def test_when_it_learns_of_users_in_parallel():
    one = make(min_replay_history=400, update_period=20, target_update_period=100)
    updates, copies = train(one, 41, num_users=20)
    # Each is the number of the first step of 20.
    assert updates == list(range(420, 820, 20))
    assert copies == [500, 600, 700, 800]
    several = make(min_replay_history=0, update_period=3, target_update_period=100)
    updates, _ = train(several, 11, num_users=7)
    assert updates == [step // 7 * 7 for step in range(9, 77, 3)]


def test_the_copy_that_targets_are_computed_with_stays():
    one = make(min_replay_history=0, update_period=1, target_update_period=10)
    train(one, 11)
    kept = [layer.copy() for layer in one.target_network.weights]
    train(one, 5)
    assert same(kept, one.target_network.weights)
    assert not same(kept, one.online_network.weights)


def test_an_update_that_learns_from_nothing_is_not_counted():
    one = make(lambda: Counted(click=transitions.NO_CLICK), min_replay_history=0, update_period=1)
    updates, _ = train(one, 10)
    assert updates
    assert one.num_updates == 0


def test_numbers_that_are_not_finite_stop_it():
    one = make(lambda: Counted(reward=1e30), learning_rate=1e30, min_replay_history=0)
    with pytest.raises(FloatingPointError, match=r"diverged: at training step \d+ the (loss|sum)"):
        train(one, 100)
    with pytest.raises(FloatingPointError, match="diverged"):
        one.state_dict()


@pytest.mark.parametrize("name", ["", "rmsprop", "adam", "sgd"])
def test_the_optimizer_asked_for(name):
    one = make(optimizer_name=name, min_replay_history=0, update_period=1, hidden_units=())
    train(one, 10)
    count, learning_rate, *moments = one.optimizer_state
    assert count == one.num_updates == 8
    assert learning_rate == np.float32(0.1)
    # Of the kernel and the bias: mean squares, and means for centring; two moments; none.
    assert len(moments) == {"": 4, "rmsprop": 4, "adam": 4, "sgd": 0}[name]


def test_epsilon_of_training_and_evaluation():
    settings = {"min_replay_history": 4, "epsilon_decay_period": 4, "epsilon_train": 0.2}
    one = make(**settings, epsilon_eval=0.125)
    found = []
    for _ in range(10):
        found.append(one.epsilon(for_training=True))
        one.train_step()
    assert found == pytest.approx([1.0] * 5 + [0.8, 0.6, 0.4, 0.2, 0.2])
    assert one.epsilon(for_training=False) == 0.125


def test_statistics():
    points = []

    class Writer:
        def add_scalar(self, tag, value, step):
            points.append((tag, step, float(value)))

    one = make(min_replay_history=0, summary_writing_frequency=5, epsilon_decay_period=1)
    one.count_slates([0, 2])
    one.count_slates(np.array([[0, 1], [0, 3]]))
    train(one, 7, writer=Writer())
    assert [step for _, step, _ in points] == [5] * 7
    assert {tag: value for tag, _, value in points[3:]} == pytest.approx(
        {f"slate_choices/candidate_{i}": share for i, share in enumerate([3 / 6, *[1 / 6] * 3])}
    )
    assert [tag for tag, _, _ in points[:3]] == ["epsilon", "Loss", "MeanQ"]


# State.


COPIES = {
    "state": None,
    "deepcopy": copy.deepcopy,
    "pickle": lambda one: pickle.loads(pickle.dumps(one)),
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("num_steps", [0, 5, 23])
def test_a_restored_learner_learns_the_same_to_the_last_bit(how, num_steps):
    settings = {"optimizer_name": "adam", "min_replay_history": 0, "target_update_period": 8}
    one = make(**settings)
    train(one, num_steps)
    if COPIES[how] is None:
        other = make(**settings, seed=7)
        other.load_state_dict({**one.state_dict(), "replay": one.replay.state_dict()})
    else:
        other = COPIES[how](one)
    train(one, 20)
    train(other, 20)
    assert same(one.state_dict(), other.state_dict())
    assert one.num_updates > 3


def test_states_that_do_not_fit():
    one = make()
    state = one.state_dict()
    assert state["replay"] is None
    assert "it has no replay buffer" in one.misfit(state, for_training=True)
    assert one.misfit(state, for_training=False) is None
    with pytest.raises(ValueError, match="cannot be restored from this state: it has no replay"):
        one.load_state_dict(state)
    partial = make(allow_partial_reload=True)
    partial.load_state_dict(one.serving_state())
    assert same(partial.online_network.weights, one.online_network.weights)
    for for_training in (False, True):
        assert "'hidden_units': (5,)" in make(hidden_units=(5,)).misfit(
            state, for_training=for_training
        )


def test_a_state_from_before_updates_were_counted():
    one = make(min_replay_history=0)
    train(one, 20)
    state = one.state_dict()
    del state["num_updates"]
    other = make(allow_partial_reload=True)
    other.load_state_dict(state)
    assert other.num_updates == one.num_updates == 4


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"gamma": 2}, ValueError, "gamma must be a probability"),
        ({"update_period": 0.5}, TypeError, "update_period must be an integer"),
        ({"min_replay_history": -1}, ValueError, "min_replay_history must be an integer >= 0"),
        ({"hidden_units": 8}, TypeError, "hidden_units must be a list of the layers' sizes"),
        ({"epsilon_fn": 0.1}, TypeError, "epsilon_fn must be"),
    ],
)
def test_settings_are_checked_when_they_are_made(settings, error, message):
    with pytest.raises(error, match=message):
        learner.Settings(**settings)
