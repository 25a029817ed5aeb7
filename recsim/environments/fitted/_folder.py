"""The folder of a fitted scenario: ``scenario.json`` and ``arrays.npz``, data only.

``scenario.json`` is written last: a folder without it is not a scenario, whatever else is
there, so that an interrupted save leaves nothing half-written.
"""

from __future__ import annotations

import json
import os
import zipfile
from typing import NoReturn

import numpy as np

from recsim._internal import files, json_text, numbers, paths, resources
from recsim.environments.fitted._parameters import FittedParameters

__all__ = ["FILES", "FORMAT_VERSION", "SCENARIO_FILE", "ScenarioFolderError", "load", "save"]

#: The version of the format that is written. Older ones are read.
FORMAT_VERSION = 1
#: The file whose presence makes a folder a fitted scenario.
SCENARIO_FILE = "scenario.json"
_ARRAYS_FILE = "arrays.npz"
#: All files of a scenario.
FILES = (SCENARIO_FILE, _ARRAYS_FILE)
_FORMAT = "recsim fitted scenario"


class ScenarioFolderError(ValueError):
    """A folder is not a fitted scenario: damaged, of a newer version, or something else."""


def save(parameters: FittedParameters, path: paths.Path) -> None:
    """Writes a scenario into a folder, whole or not at all.

    Other files in the folder stay as they are.

    Args:
        parameters: the scenario.
        path: the folder, which is made if it is not there.

    Raises:
        TypeError: if an argument is of another type.
        FileExistsError: if there is another scenario in the folder.
        OSError: if nothing can be written there.
    """
    if not isinstance(parameters, FittedParameters):
        raise TypeError(
            f"parameters must be FittedParameters, got {numbers.described(parameters)}."
        )
    folder = paths.absolute("path", path)
    scenario_file = os.path.join(folder, SCENARIO_FILE)
    if os.path.exists(scenario_file) and load(folder).sha256 != parameters.sha256:
        raise FileExistsError(
            f"path must be a folder without another fitted scenario, got {folder!r}, which has "
            "one: choose another folder, or remove it."
        )
    paths.writable_folder("path", folder)
    data, arrays = parameters.contents()
    with files.atomic_file(os.path.join(folder, _ARRAYS_FILE)) as file:
        # Given allow_pickle, old NumPy would save it as one more array.
        np.savez(file, **arrays)  # type: ignore[arg-type]
    text = json_text.dumps(
        {"format": _FORMAT, "version": FORMAT_VERSION, "sha256": parameters.sha256, **data},
        indent=1,
    )
    with files.atomic_file(scenario_file) as file:
        file.write(text.encode())


def load(path: paths.Path) -> FittedParameters:
    """Reads a scenario that :func:`save` wrote.

    Args:
        path: the folder.

    Raises:
        TypeError: if it is not a path.
        FileNotFoundError: if there is no such folder, or no scenario in it.
        ScenarioFolderError: if it is damaged, of a newer version, or something else.
    """
    folder = paths.absolute("path", path)
    if not os.path.isdir(folder):
        what = "is not a folder" if os.path.exists(folder) else "does not exist"
        raise FileNotFoundError(
            f"path must be the folder of a fitted scenario, got {folder!r}, which {what}: make one "
            "with `recsim fit LOG --output FOLDER`."
        )
    scenario_file = os.path.join(folder, SCENARIO_FILE)
    if not os.path.exists(scenario_file):
        raise FileNotFoundError(
            f"path must be the folder of a fitted scenario, got {folder!r}, which has no "
            f"{SCENARIO_FILE}: make one with `recsim fit LOG --output FOLDER`."
        )
    data = _data(folder, scenario_file)
    expected = data.pop("sha256", None)
    arrays = _arrays(folder)
    try:
        parameters = FittedParameters.from_contents(data, arrays)
    except (KeyError, TypeError, ValueError) as error:
        _refuse(folder, f"{SCENARIO_FILE} and {_ARRAYS_FILE} are not good ({error!s:.200})")
    if parameters.sha256 != expected:
        _refuse(
            folder, f"{_ARRAYS_FILE} and {SCENARIO_FILE} do not belong together, or were edited"
        )
    return parameters


def _data(folder: str, scenario_file: str) -> dict[str, object]:
    """Returns what is in ``scenario.json`` without its heading."""
    try:
        with open(scenario_file, encoding="utf-8") as file:
            data = json.load(file)
    except (ValueError, RecursionError):
        _refuse(folder, f"{SCENARIO_FILE} is not JSON")
    if not isinstance(data, dict) or data.pop("format", None) != _FORMAT:
        _refuse(folder, f"{SCENARIO_FILE} is of something else")
    version = data.pop("version", None)
    if type(version) is not int or version < 1:
        _refuse(folder, f"its version is {numbers.described(version)}")
    if version > FORMAT_VERSION:
        raise ScenarioFolderError(
            f"{folder!r} was written by a newer version of recsim (its format is {version}, this "
            f"version reads up to {FORMAT_VERSION}): upgrade recsim to load it."
        )
    return data


def _arrays(folder: str) -> dict[str, np.ndarray]:
    path = os.path.join(folder, _ARRAYS_FILE)
    try:
        with zipfile.ZipFile(path) as archive:
            resources.check_memory(
                sum(entry.file_size for entry in archive.infolist()),
                f"The arrays of {folder!r}",
                "use a machine with more memory",
            )
        with np.load(path, allow_pickle=False) as loaded:
            return {name: loaded[name] for name in loaded.files}
    except FileNotFoundError:
        _refuse(folder, f"{_ARRAYS_FILE} is missing")
    except (zipfile.BadZipFile, ValueError, EOFError, KeyError, OSError) as error:
        _refuse(folder, f"{_ARRAYS_FILE} cannot be read ({error!s:.200})")


def _refuse(folder: str, fault: str) -> NoReturn:
    raise ScenarioFolderError(
        f"{folder!r} is not a good fitted scenario: {fault}. Fit it again, or fetch it again."
    )
