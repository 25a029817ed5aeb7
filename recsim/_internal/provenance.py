"""What a record of results says of how they came about, so that they can be had again."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import pathlib
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import gin

from recsim._internal import version

__all__ = ["Record", "installed", "record", "source_digest", "versions"]

#: JSON values by name.
Record = dict[str, Any]

# Packages that results may depend on, by the name of their module. Those in the second group do so
# only where they were imported.
_ALWAYS = {"numpy": "numpy", "scipy": "scipy", "gym": "gym", "gin": "gin-config"}
_WHERE_IMPORTED = {"gymnasium": "gymnasium", "tensorflow": "tensorflow", "keras": "keras"}


def record(arguments: Sequence[str] | None, seeds: Mapping[str, int], **more: object) -> Record:
    """Returns the command, the seeds, the versions and gin's configuration.

    Args:
        arguments: those of the command ``recsim``; None where a program of the user's runs.
        seeds: every seed, by what it is the seed of.
        **more: further entries.

    Returns:
        ``argv``, the arguments with the program's name; ``command``, the same as a line for a
        shell, None where a program of the user's runs; ``python``, the interpreter's version;
        ``versions`` by package; ``system``; ``seeds``; and ``gin``, with the ``bindings`` and the
        ``operative`` configuration: the parameters of everything configurable that this process has
        made so far, defaults included.
    """
    argv = list(sys.argv) if arguments is None else ["recsim", *arguments]
    return {
        "argv": argv,
        "command": None if arguments is None else shlex.join(argv),
        "python": platform.python_version(),
        "versions": versions(),
        "system": f"{platform.system()} {platform.machine()}",
        "seeds": dict(seeds),
        "gin": {"bindings": gin.config_str(), "operative": gin.operative_config_str()},
        **more,
    }


@functools.lru_cache
def source_digest() -> str:
    """Returns the SHA-256 of this library's code, which its version does not always tell apart."""
    folder = pathlib.Path(version.__file__).parent.parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py"), key=lambda each: each.relative_to(folder).as_posix()):
        code = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()} {len(code)}\n".encode())
        digest.update(code)
    return digest.hexdigest()


def installed() -> dict[str, str]:
    """Returns the versions of Python, of this library and of packages that results depend on.

    Unlike :func:`versions`, it does not depend on what this process has imported.
    """
    from importlib import metadata  # Slow to import.

    found = {"python": platform.python_version(), "recsim": version.__version__}
    for module, name in {**_ALWAYS, **_WHERE_IMPORTED}.items():
        for distribution in (name, f"{name}-cpu"):
            with contextlib.suppress(metadata.PackageNotFoundError):
                found.setdefault(module, metadata.version(distribution))
    return found


def versions() -> dict[str, str]:
    """Returns the versions of this library and of the packages that results depend on."""
    from importlib import metadata  # Slow to import, and needed at the end alone.

    imported = {module: name for module, name in _WHERE_IMPORTED.items() if module in sys.modules}
    found = {"recsim": version.__version__}
    for module, name in {**_ALWAYS, **imported}.items():
        try:
            found[module] = metadata.version(name)
        except metadata.PackageNotFoundError:  # Of another name, such as tensorflow-cpu.
            found[module] = str(getattr(sys.modules.get(module), "__version__", "unknown"))
    return found
