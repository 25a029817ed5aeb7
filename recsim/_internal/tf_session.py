"""The TensorFlow 1 session that RecSim's runners hand to agents, opened when one uses it."""

from __future__ import annotations

import contextlib
import importlib
import sys
import types
from typing import Any

__all__ = ["Session"]

# The attributes of a session of TensorFlow's. Whoever looks for another one uses no session.
_PUBLIC = (
    "as_default",
    "close",
    "graph",
    "graph_def",
    "list_devices",
    "make_callable",
    "partial_run",
    "partial_run_setup",
    "reset",
    "run",
    "sess_str",
)


class Session:
    """Behaves as a ``tf.compat.v1.Session``, and opens one at the first use.

    An agent that asks for nothing of it imports no TensorFlow. The session's graph is the default
    one, which is reset when the object is made, so that each agent's variables get the same names.
    """

    _recsim_session: Any = None
    _recsim_graph: Any = None
    _recsim_agent_is_made = False

    def __init__(self) -> None:
        if sys.modules.get("tensorflow") is not None:
            tf = _tensorflow()
            with contextlib.suppress(AssertionError):  # It is within another graph.
                tf.reset_default_graph()
            self._recsim_graph = tf.get_default_graph()

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """The class of the session, for ``isinstance``, where TensorFlow is imported."""
        if sys.modules.get("tensorflow") is None:
            return Session
        session: type = _tensorflow().Session
        return session

    def recsim_agent_is_made(self) -> None:
        """Initializes the variables of the graph, now or when the session is opened."""
        self._recsim_agent_is_made = True
        if self._recsim_session is not None:
            self._recsim_initialize()

    def recsim_close(self) -> None:
        """Closes the session, if it was opened."""
        if self._recsim_session is not None:
            self._recsim_session.close()

    def _recsim_initialize(self) -> None:
        tf, session = _tensorflow(), self._recsim_session
        with session.graph.as_default():
            initializers = tf.global_variables_initializer(), tf.local_variables_initializer()
        for initializer in initializers:
            session.run(initializer)

    def _recsim_open(self) -> contextlib.AbstractContextManager[object]:
        if self._recsim_session is None:
            tf = _tensorflow()
            config = tf.ConfigProto(allow_soft_placement=True)
            self._recsim_session = tf.Session(graph=self._recsim_graph, config=config)
            if self._recsim_agent_is_made:
                self._recsim_initialize()
        session: contextlib.AbstractContextManager[object] = self._recsim_session
        return session

    def __getattr__(self, name: str) -> object:
        if name.startswith("__") or not (name in _PUBLIC or name.startswith("_")):
            raise AttributeError(f"a TensorFlow session has no attribute {name!r}")
        return getattr(self._recsim_open(), name)

    def __enter__(self) -> object:
        return self._recsim_open().__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> bool | None:
        return self._recsim_open().__exit__(kind, error, traceback)

    def __reduce__(self) -> tuple[type[Session], tuple[()]]:
        if self._recsim_session is not None:
            raise TypeError(
                "An agent's TensorFlow session cannot be copied or pickled: let the agent leave it "
                "out (__getstate__)."
            )
        return Session, ()


def _tensorflow() -> types.ModuleType:
    return importlib.import_module("tensorflow.compat.v1")
