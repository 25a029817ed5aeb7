"""What a call leaves in the process as it found it."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator

__all__ = ["environment_kept", "logging_kept", "stderr_without"]


@contextlib.contextmanager
def environment_kept(*names: str, **defaults: str) -> Iterator[None]:
    """Restores environment variables at the end of a block.

    Args:
        *names: variables that the block may set.
        **defaults: variables to set in the block, where the user has not set them.
    """
    before = {name: os.environ.get(name) for name in (*names, *defaults)}
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    try:
        yield
    finally:
        for name, old in before.items():
            if old is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = old


@contextlib.contextmanager
def logging_kept() -> Iterator[None]:
    """Restores level and handlers of the root logger at the end of a block."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    try:
        yield
    finally:
        root.setLevel(level)
        for handler in [handler for handler in root.handlers if handler not in handlers]:
            root.removeHandler(handler)
            handler.close()


@contextlib.contextmanager
def stderr_without(noise: re.Pattern[bytes]) -> Iterator[None]:
    """Leaves lines out of what a block writes to the process's standard error stream.

    That is what native code writes to the file descriptor too. The rest of it is written at the end
    of the block, whatever ends it. Where the stream is closed, the block just runs.

    Args:
        noise: found in a line that is to be left out.
    """
    with contextlib.ExitStack() as stack:
        try:
            stream = os.dup(2)
        except OSError:
            yield
            return
        stack.callback(os.close, stream)
        written = stack.enter_context(tempfile.TemporaryFile())
        _flush_stderr()
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            _flush_stderr()
            os.dup2(stream, 2)
            written.seek(0)
            for line in written:
                if not noise.search(line):
                    os.write(2, line)


def _flush_stderr() -> None:
    if sys.stderr is not None:
        sys.stderr.flush()
