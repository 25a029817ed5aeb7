"""What a call leaves in the process as it found it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

__all__ = ["environment_kept"]


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
