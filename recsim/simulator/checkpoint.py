"""Checkpoints: files of data only, written whole or not at all and verified when read.

What a checkpoint may hold, its *tree*, is: None, bool, int, float, str, bytes; list, tuple, dict,
OrderedDict, Counter, set, frozenset; defaultdict, if its factory is a builtin type such as ``int``
or ``list``; NumPy arrays and scalars; and NumPy's random generators, which come back as generators
in the same state. Anything else is refused at saving, because reading it back would need code.

Reading a checkpoint never runs code from it and never ends the process, whoever wrote the file, and
takes memory and time bounded by its size. What cannot have come from :func:`save` is a
:class:`CheckpointError`. A checkpoint from somebody else may still hold any numbers: an agent made
of it recommends what its author wants.

The file is a zip archive of ``tree.json`` and, for each array, a member in NumPy's ``.npy`` format,
so that other tools can read it too. Nothing in it is compressed. Its archive comment is the SHA-256
of all that precedes the digest.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import os
import re
from collections.abc import Callable
from typing import Any

from recsim._internal import (
    bundles,
    checkpoint_files,
    files,
    paths,
    saved_agents,
    validation,
)
from recsim._internal.checkpoint_files import CheckpointError
from recsim.simulator import fingerprint, run_data

__all__ = [
    "CheckpointError",
    "Checkpointer",
    "check",
    "is_checkpoint",
    "load",
    "restore_agent",
    "save",
]

_logger = logging.getLogger(__name__)


def save(path: paths.Path, tree: object) -> None:
    """Writes a tree of data to a checkpoint file, whole or not at all.

    Args:
        path: the file, whose folder is made; one that exists is replaced.
        tree: the data, of the types that the module's description lists.

    Raises:
        TypeError: if something in the tree does not fit in a checkpoint; the error names its
            place, such as ``q_table[3]``.
        ValueError: if the tree is nested too deeply or contains itself.
        OSError: if the file cannot be written.
    """
    checkpoint_files.write(paths.absolute("path", path), tree)


def load(path: paths.Path) -> Any:  # noqa: ANN401  # A tree of any kind, as of JSON.
    """Reads the tree that :func:`save` wrote, after verifying the file.

    Raises:
        CheckpointError: if the file is truncated, altered or no checkpoint.
        FileNotFoundError: if there is no such file.
    """
    return checkpoint_files.read(paths.absolute("path", path))[1]


def restore_agent(agent: object, path: paths.Path) -> None:
    """Gives an agent the state that a file holds, or raises an error.

    What ``agent.unbundle`` returns is easily missed; an agent that was not restored recommends by
    its initial values.

    Args:
        agent: the agent, made as the one that was trained.
        path: a checkpoint of a training; a folder of checkpoints, the newest good one of which is
            taken; the file of an agent's ``save``; or a file that :func:`save` wrote of what the
            agent's ``bundle_and_checkpoint`` or ``serving_bundle`` returned.

    Raises:
        ValueError: if the state is not of this agent.
        CheckpointError: if the file is truncated, altered or no checkpoint.
        FileNotFoundError: if there is no such file, or no checkpoint in the folder.
    """
    path = folder = paths.absolute("path", path)
    iteration = 0
    if os.path.isdir(path):
        newest = Checkpointer(path).load_newest()
        if newest is None:
            raise FileNotFoundError(f"There is no checkpoint in {path!r}.")
        bundle = newest[1]
    else:
        folder, bundle = os.path.dirname(path), load(path)
    if isinstance(bundle, dict) and {"agent", "current_iteration"} <= bundle.keys():
        try:
            run_data.check(bundle)
        except ValueError as error:
            raise CheckpointError(f"{path!r} is not a checkpoint of a run: {error}.") from None
        if "fingerprint" in bundle:
            made = dataclasses.asdict(fingerprint.of_agent(agent))
            there = bundle["fingerprint"]["agent"]
            if different := fingerprint.agent_differences(there, made):
                raise ValueError(
                    f"{path!r} does not hold the state of this agent: {'; '.join(different)}. "
                    "Create the agent that was trained."
                )
        bundle, iteration = bundle["agent"], bundle["current_iteration"]
    elif isinstance(bundle, dict) and saved_agents.MARK in bundle:
        bundle = bundle.get("state")
    answer = bundles.restore_checkpoint(agent, folder, iteration, bundle) if bundle else False
    if not answer:
        raise ValueError(
            f"{path!r} does not hold the state of this agent: {type(agent).__name__}.unbundle "
            f"returned {answer!r}, not True. Create the agent that was trained."
            if bundle
            else f"{path!r} holds no state of an agent: it saved none."
        )


def check(tree: object) -> None:
    """Raises the errors of :func:`save` for what cannot go into a checkpoint; writes nothing."""
    checkpoint_files.check(tree)


def is_checkpoint(path: paths.Path) -> bool:
    """Says whether a file is a whole checkpoint."""
    try:
        checkpoint_files.read(paths.absolute("path", path), with_tree=False)
    except CheckpointError:
        return False
    return True


class Checkpointer:
    """The checkpoints of one run: files ``<prefix>.<iteration>`` in a folder.

    A file says in itself which iteration it is of: one that was renamed is still of that.

    Args:
        folder: where they are. It is made when the first is saved.
        prefix: the beginning of their names.
        keep: how many of the newest to keep, >= 1.
        check: function of a tree that raises ValueError if it is none of these checkpoints, which
            is then a bad one; None to take any.

    Raises:
        TypeError: if ``folder`` is not a path, ``prefix`` not a string or ``keep`` not an integer.
        ValueError: if ``keep`` is below 1, or ``prefix`` is not a file name.
    """

    def __init__(
        self,
        folder: paths.Path,
        prefix: str = "ckpt",
        *,
        keep: int = 3,
        check: Callable[[Any], None] | None = None,
    ) -> None:
        if not isinstance(prefix, str):
            raise TypeError(f"prefix must be a string, got {prefix!r}.")
        if not prefix or os.path.basename(prefix) != prefix or "\0" in prefix:
            raise ValueError(f"prefix must be the beginning of a file name, got {prefix!r}.")
        self._folder = paths.absolute("folder", folder)
        self._prefix = prefix
        self._keep = validation.positive_int("keep", keep)
        self._check = check
        # What the files were like that were looked at, and the iterations that they are of or what
        # is wrong with them: they are large, and looked at after each iteration.
        self._known: dict[tuple[Any, ...], int | CheckpointError] = {}
        #: The SHA-256 that ends the file that :meth:`load_newest` read; None before.
        self.newest_digest: str | None = None

    def path(self, iteration: int) -> str:
        """Returns the name of the checkpoint of an iteration."""
        return os.path.join(self._folder, f"{self._prefix}.{iteration}")

    def iterations(self) -> list[int]:
        """Returns the iterations in the names of what may be checkpoints, oldest first."""
        return sorted({number for number, _ in self._entries()})

    def files(self) -> list[str]:
        """Returns the paths of what may be checkpoints, by the iterations in their names."""
        return [path for _, path in self._entries()]

    def _entries(self) -> list[tuple[int, str]]:
        pattern = re.compile(re.escape(self._prefix) + r"\.([0-9]{1,18})")
        names = os.listdir(self._folder) if os.path.isdir(self._folder) else []
        return sorted(
            (int(match[1]), os.path.join(self._folder, name))
            for name in names
            if (match := pattern.fullmatch(name))
        )

    def save(self, iteration: int, tree: object) -> None:
        """Saves the checkpoint of an iteration, then removes the oldest good ones of too many.

        What has a checkpoint's name and is none, or a bad one, gets the further ending ``.bad``.

        Raises:
            TypeError, ValueError, OSError: as :func:`save`.
        """
        os.makedirs(self._folder, exist_ok=True)
        path = self.path(iteration)
        if os.path.lexists(path) and self._iteration_of(path, iteration) != iteration:
            self._set_aside(path)
        checkpoint_files.write(path, tree, iteration=iteration)
        self._known[_signature(path)] = iteration
        older = []
        for number, other in self._entries():
            with contextlib.suppress(FileNotFoundError):  # Another process removed it just now.
                found = self._iteration_of(other, number)
                if not isinstance(found, int):
                    self._set_aside(other)
                elif found < iteration:
                    older.append((found, other))
        for _, other in sorted(older)[: max(0, len(older) - self._keep + 1)]:
            with contextlib.suppress(FileNotFoundError):
                self._known.pop(_signature(other), None)
                os.remove(other)

    def _iteration_of(self, path: str, number: int) -> int | CheckpointError:
        """Returns the iteration that a file is of, or what is wrong with it.

        Raises:
            FileNotFoundError: if it is not there.
        """
        signature = _signature(path)
        if signature not in self._known:
            try:
                iteration, tree = checkpoint_files.read(path, with_tree=False)
                if iteration is None:  # It was saved before files said it.
                    iteration, tree = self._checked(path)
                self._known[signature] = _content_iteration(iteration, tree, number)
            except CheckpointError as error:
                self._known[signature] = error
            except PermissionError as error:
                self._known[signature] = CheckpointError(f"{path!r} cannot be read: {error}.")
        return self._known[signature]

    def _set_aside(self, path: str) -> None:
        """Gives a bad checkpoint another name."""
        for ending in itertools.chain([".bad"], (f".bad_{n}" for n in itertools.count(2))):
            aside = path + ending
            if not os.path.lexists(aside):
                break
        files.move(path, aside)
        _logger.warning(
            "%r is not the good checkpoint that its name says: it is now %r.", path, aside
        )

    def load_newest(self) -> tuple[int, Any] | None:
        """Returns the iteration and the tree of the newest good checkpoint.

        A bad one gets a warning in the log, and the one before it is taken. So does a file whose
        name says another iteration than its content, which counts.

        Returns:
            None if there is no checkpoint.

        Raises:
            CheckpointError: if there are checkpoints and every one is bad.
        """
        errors = []
        found: list[tuple[int, str]] = []
        for number, path in self._entries():
            with contextlib.suppress(FileNotFoundError):  # A running training removed it just now.
                iteration = self._iteration_of(path, number)
                if isinstance(iteration, int):
                    found.append((iteration, path))
                else:
                    errors.append(iteration)
        newest = None
        for iteration, path in sorted(found, reverse=True):
            try:
                digest = checkpoint_files.stored_digest(path)
                newest = iteration, self._checked(path)[1]
            except CheckpointError as error:
                self._known[_signature(path)] = error
                errors.append(error)
            except FileNotFoundError:
                continue
            else:
                self.newest_digest = digest
                if path != self.path(iteration):
                    _logger.warning("%r holds the checkpoint of iteration %d.", path, iteration)
                break
        for bad in errors:
            _logger.warning("Passing over a bad checkpoint: %s", bad)
        if newest is None and errors:
            raise CheckpointError(
                f"No checkpoint in {self._folder!r} is good. The newest: {errors[-1]}"
            )
        return newest

    def _checked(self, path: str) -> tuple[int | None, Any]:
        """Returns what a file says that it is of, and its tree."""
        found, tree = checkpoint_files.read(path)
        if self._check is not None:
            try:
                self._check(tree)
            except ValueError as error:
                raise CheckpointError(
                    f"{path!r} holds something else than was looked for: {error}. Move it away."
                ) from None
        return found, tree

    def remove_unfinished(self) -> None:
        """Removes what a killed process left half-written. Only for the process that saves."""
        if os.path.isdir(self._folder):
            files.remove_unfinished(self._folder)


def _signature(path: str) -> tuple[Any, ...]:
    """Returns what is different if a file is another one or was changed."""
    try:
        status = os.stat(path)  # Of what a link leads to.
    except OSError:
        status = os.lstat(path)
    return path, status.st_ino, status.st_size, status.st_mtime_ns


def _content_iteration(iteration: int | None, tree: object, number: int) -> int:
    """Returns the iteration that a checkpoint is of.

    Args:
        iteration: what the file says.
        tree: its tree, which says it in checkpoints of runs from before the file did.
        number: what its name says, if nothing else does.
    """
    if iteration is None and isinstance(tree, dict):
        iteration = tree.get("current_iteration")
    return iteration if type(iteration) is int and iteration >= 0 else number
