"""Gradient steps on the network's weights, by Keras and one compiled TensorFlow function.

Optimizers by name are computed by :mod:`recsim.agents.dopamine.gradients` instead, on processors.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recsim._internal import validation
from recsim._internal.tensorflow_import import import_tensorflow
from recsim.agents.networks import optimizers

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

__all__ = [
    "Trainer",
    "TrainingBatch",
    "check_arguments",
    "import_tensorflow",
    "make_model",
    "optimizer_maker",
]

_OPTIMIZERS = ("rmsprop", "adam", "sgd")
_LOSSES = ("squared", "huber")


def check_arguments(
    optimizer_name: str, optimizer: object, loss: str, learning_rate: float | None = None
) -> None:
    """Checks what a :class:`Trainer` will be made of, without importing TensorFlow.

    Raises:
        TypeError: if ``optimizer`` is neither None nor a Keras optimizer.
        ValueError: if there is no optimizer and the name is unknown, the loss is unknown, or
            there is a learning rate that is not above 0 or not for an optimizer by name.
    """
    if learning_rate is not None:
        validation.positive_float("learning_rate", learning_rate)
    if learning_rate is not None and optimizer is not None:
        raise ValueError(
            "learning_rate is for an optimizer by name: give the optimizer that you pass the "
            "learning rate itself."
        )
    if optimizer is not None and (
        isinstance(optimizer, type)
        or not (hasattr(optimizer, "apply_gradients") and hasattr(optimizer, "get_config"))
    ):
        raise TypeError(
            "optimizer must be a Keras optimizer, such as keras.optimizers.Adam(1e-3), got "
            f"{optimizer!r}; for an optimizer by name there is optimizer_name."
        )
    if not isinstance(optimizer_name, (str, type(None))):
        raise TypeError(f"optimizer_name must be a string, got {optimizer_name!r:.80}.")
    if optimizer is None and optimizer_name:
        _check_name("optimizer_name", optimizer_name, _OPTIMIZERS)
    _check_name("loss", loss, _LOSSES)


def _check_name(argument: str, name: str, known: Sequence[str]) -> None:
    if not isinstance(name, str):
        raise TypeError(f"{argument} must be a string, got {name!r:.80}.")
    if name not in known:
        raise ValueError(
            f"{argument} must be one of {known}, got {name!r}."
            f"{validation.nearest_name(name, known)}"
        )


def optimizer_maker(optimizer: keras.Optimizer | None) -> Callable[[], keras.Optimizer] | None:
    """Returns a function that makes a new optimizer like one of Keras's; None for None.

    An optimizer belongs to the variables of one agent. The function can be pickled, which an
    optimizer cannot.
    """
    if optimizer is None:
        return None
    return functools.partial(type(optimizer).from_config, optimizer.get_config())


@dataclasses.dataclass
class TrainingBatch:
    """What a gradient step learns from.

    Attributes:
        inputs: the network's inputs, float32 of shape (batch_size, num_inputs).
        targets: what its outputs are to be, float32 of shape (batch_size,).
        used: which rows count, bools of shape (batch_size,).
    """

    inputs: np.ndarray
    targets: np.ndarray
    used: np.ndarray


class Trainer:
    """Makes gradient steps on weights.

    Args:
        weights: kernel and bias of each layer in turn, see
            :class:`recsim.agents.dopamine.network.QNetwork`.
        optimizer_name: 'rmsprop' or '' (centred, learning rate 2.5e-4, decay 0.95, epsilon 1e-5),
            'adam' or 'sgd' (both with the learning rate 1e-3).
        make_optimizer: function that makes a Keras optimizer, instead of one by name.
        loss: 'squared', or 'huber' (quadratic up to an error of 1, linear beyond).
        batch_size: number of rows of a batch.
        device: TensorFlow's name of the device to train on.
        learning_rate: of an optimizer by name, if not the one above.
    """

    def __init__(
        self,
        weights: Sequence[np.ndarray],
        optimizer_name: str,
        make_optimizer: Callable[[], Any] | None,
        loss: str,
        batch_size: int,
        device: str,
        learning_rate: float | None = None,
    ) -> None:
        self._tf, self._keras = import_tensorflow()
        self._loss = loss
        self._results: Sequence[Any] = ()
        with self._tf.device(device):
            self._model = make_model(weights)
            self._optimizer = (
                make_optimizer() if make_optimizer else self._named(optimizer_name, learning_rate)
            )
            self._optimizer.build(self._model.trainable_variables)
            rows = self._tf.TensorSpec((batch_size, len(weights[0]) + 2), self._tf.float32)
            self._function = self._tf.function(self._gradient_step).get_concrete_function(rows)
        self._variables = list(self._function.captured_inputs)
        self._result_types = [result.dtype for result in self._function.outputs]
        self._device = device

    def _named(self, name: str, learning_rate: float | None) -> keras.Optimizer:
        of_keras = self._keras.optimizers
        if name == "adam":
            return of_keras.Adam(learning_rate or 1e-3)
        if name == "sgd":
            return of_keras.SGD(learning_rate or 1e-3)
        return of_keras.RMSprop(learning_rate or 2.5e-4, rho=0.95, epsilon=1e-5, centered=True)

    def _gradient_step(self, rows: tf.Tensor) -> tuple[tf.Tensor, ...]:
        tf = self._tf
        inputs, targets, used = rows[:, :-2], rows[:, -2], rows[:, -1]
        num_used = tf.maximum(tf.reduce_sum(used), 1.0)
        with tf.GradientTape() as tape:
            q = self._model(inputs, training=True)[:, 0]
            error = tf.abs(q - targets)
            losses = tf.square(error)
            if self._loss == "huber":
                losses = tf.where(error <= 1.0, 0.5 * losses, error - 0.5)
            loss = tf.reduce_sum(used * losses) / num_used
        variables = self._model.trainable_variables
        self._optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        weights = [tf.identity(variable.value) for variable in variables]
        return loss, tf.reduce_sum(used * q) / num_used, *weights

    def step(self, batch: TrainingBatch) -> None:
        """Makes one gradient step."""
        # One array, for TensorFlow takes longer to be given three.
        rows = np.empty((len(batch.inputs), batch.inputs.shape[1] + 2), np.float32)
        rows[:, :-2] = batch.inputs
        rows[:, -2] = batch.targets
        rows[:, -1] = batch.used
        with self._tf.device(self._device):
            # What calling self._function does, without its checks, which take longer than the step.
            self._results = self._tf.raw_ops.StatefulPartitionedCall(
                args=[self._tf.constant(rows), *self._variables],
                Tout=self._result_types,
                f=self._function,
            )

    @property
    def loss(self) -> float:
        """The mean loss of the last batch, before its step."""
        return float(self._results[0])

    @property
    def mean_q(self) -> float:
        """The mean output for the last batch, before its step."""
        return float(self._results[1])

    def weights(self) -> list[np.ndarray]:
        """Returns the weights after the last step."""
        if self._results:
            return [weights.numpy() for weights in self._results[2:]]
        initial: list[np.ndarray] = self._model.get_weights()
        return initial

    def optimizer_state(self) -> list[np.ndarray]:
        """Returns the optimizer's variables: its step count, learning rate and moments."""
        return [np.asarray(variable) for variable in self._optimizer.variables]

    def set_optimizer_state(self, state: Sequence[np.ndarray]) -> None:
        """Sets the optimizer's variables to what :meth:`optimizer_state` returned.

        Raises:
            ValueError: if they are of another optimizer.
        """
        variables = self._optimizer.variables
        optimizers.check_state([tuple(variable.shape) for variable in variables], state)
        for variable, values in zip(variables, state):
            variable.assign(values)


def make_model(weights: Sequence[np.ndarray]) -> keras.Model:
    """Returns a fully connected Keras model whose hidden layers are rectified.

    Args:
        weights: kernel and bias of each layer in turn.
    """
    _, keras = import_tensorflow()
    # Keras would sample random initial weights from Python's global generator.
    dense = functools.partial(keras.layers.Dense, kernel_initializer="zeros", dtype="float32")
    *hidden, output = [len(bias) for bias in weights[1::2]]
    model = keras.Sequential(
        [
            keras.layers.Input((len(weights[0]),), dtype="float32"),
            *[dense(units, "relu") for units in hidden],
            dense(output),
        ]
    )
    model.set_weights(weights)
    return model
