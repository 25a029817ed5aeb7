"""The one place that imports TensorFlow: late, and without its messages about itself."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from typing import Any

from recsim._internal import process_state

__all__ = ["check_eager_execution", "import_tensorflow"]

# TensorFlow's own errors and warnings about a machine without a graphics processor, which it looks
# for at the import and once more when it lists the devices. Other errors of CUDA are shown.
_NOISE = re.compile(
    rb"All log messages before absl::InitializeLog"
    rb"|Could not find cuda drivers"
    rb"|failed call to cuInit.*(\(303\)|no CUDA-capable device)"
    rb"|Unable to register cu(DNN|FFT|BLAS) factory"
    rb"|computation placer already registered"
    rb"|Could not find TensorRT"
    rb"|This TensorFlow binary is optimized"
    rb"|oneDNN custom operations are on"
)
_LEVEL = "TF_CPP_MIN_LOG_LEVEL"


def import_tensorflow() -> tuple[Any, Any]:
    """Returns the modules ``tensorflow`` and ``keras``, imported now if they were not before.

    At the first import, warnings and messages of TensorFlow's native code are switched off, but not
    its errors. Where the user has imported TensorFlow or set ``TF_CPP_MIN_LOG_LEVEL``, nothing is
    changed or left out. Our environment variables are removed again.

    Raises:
        RuntimeError: if Keras uses another backend than TensorFlow, or eager execution is off.
    """
    if "tensorflow" in sys.modules:
        import keras
        import tensorflow as tf
    else:
        quiet = _LEVEL not in os.environ
        noise = process_state.stderr_without(_NOISE) if quiet else contextlib.nullcontext()
        # They are read at the import. oneDNN gains nothing here: the matrices are too small.
        settings = {_LEVEL: "2", "TF_ENABLE_ONEDNN_OPTS": "0"}
        with process_state.environment_kept(**settings), noise:
            import keras
            import tensorflow as tf

            if quiet:
                tf.config.list_physical_devices()
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"Keras uses the backend {keras.backend.backend()!r}, but the agents train with "
            "TensorFlow: set the environment variable KERAS_BACKEND=tensorflow."
        )
    if not tf.executing_eagerly():
        raise _eager_execution_is_off()
    return tf, keras


def check_eager_execution() -> None:
    """Raises RuntimeError if TensorFlow is imported and its eager execution is off."""
    if "tensorflow" in sys.modules:
        tf = sys.modules["tensorflow"]
        if not tf.compat.v1.executing_eagerly_outside_functions():
            raise _eager_execution_is_off()


def _eager_execution_is_off() -> RuntimeError:
    return RuntimeError(
        "TensorFlow's eager execution is off (tf.compat.v1.disable_v2_behavior(), "
        "disable_eager_execution(), or a surrounding graph), where Keras trains nothing without "
        "an error: train deep agents of recsim in a process that leaves it on, and agents with a "
        "graph of TensorFlow 1 in another one, or within tf.Graph().as_default()."
    )
