"""The tidy data frames of an experiment, of what its tasks gave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from recsim._internal import files
from recsim.experiments import _tasks

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["curves", "steps", "values", "write_episodes"]

_Finished = Iterable[tuple[_tasks.Spec, Mapping[str, Any]]]


def values(finished: _Finished) -> pd.DataFrame:
    """Returns every measure of every user: see :class:`recsim.experiments.results.Results`."""
    import pandas as pd

    parts = []
    for spec, result in finished:
        speed = result["steps_per_second"]
        # Users in parallel have one speed.
        speed = speed[:1] if len(speed) and (speed == speed[0]).all() else speed
        measures = {**result["measures"], "steps_per_second": speed}
        for measure, of_users in measures.items():
            users = np.arange(len(of_users))
            parts.append(
                pd.DataFrame(
                    {**_columns(spec), "user": users, "measure": measure, "value": of_users}
                )
            )
    names = [*_columns(_NONE), "user", "measure", "value"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=names)


def curves(finished: _Finished) -> pd.DataFrame | None:
    """Returns the training curves, None where nothing was trained."""
    import pandas as pd

    parts = [
        pd.DataFrame({**_columns(spec), **result["curve"]})
        for spec, result in finished
        if result["curve"] and len(result["curve"]["step"])
    ]
    return pd.concat(parts, ignore_index=True) if parts else None


def steps(finished: _Finished) -> pd.DataFrame | None:
    """Returns what happened over the episode, None where nobody kept it."""
    import pandas as pd

    parts = [
        pd.DataFrame(
            {**_columns(spec), "step": course["step"], "measure": measure, "value": values}
        )
        for spec, result in finished
        for course in [result["course"]]
        for measure, values in course.items()
        if measure != "step"
    ]
    return pd.concat(parts, ignore_index=True) if parts else None


def write_episodes(finished: _Finished, path: str) -> None:
    """Writes a row for each episode of each task, with every measure but the speed."""
    import pandas as pd

    parts = []
    for spec, result in finished:
        part = pd.DataFrame(result["measures"])
        for place, (name, value) in enumerate(_columns(spec).items()):
            part.insert(place, name, value)
        part.insert(len(_columns(spec)), "episode", np.arange(len(part)))
        parts.append(part)
    if parts:
        with files.atomic_file(path) as file:
            frame = pd.concat(parts, ignore_index=True)
            file.write(frame.to_csv(index=False, lineterminator="\n").encode())


_NONE = _tasks.Spec("", "", {}, 0, 0)


def _columns(spec: _tasks.Spec) -> dict[str, Any]:
    return {
        "scenario": spec.scenario,
        "agent": spec.agent,
        "settings": _tasks.settings_text(spec.settings),
        "seed": spec.seed,
    }
