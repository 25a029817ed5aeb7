"""Results of an experiment: as data frames, tables, figures, a report, and files.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({
    ...     "scenario": "interest_exploration", "agent": ["greedy", "greedy", "random", "random"],
    ...     "settings": "", "seed": [0, 1, 0, 1], "user": 0, "measure": "return",
    ...     "value": [12.0, 13.0, 7.0, 8.5]})
    >>> results = Results(frame)
    >>> float(results.summary().difference[0])
    4.75

What :meth:`Results.save` leaves in a folder:

* ``results.parquet``: the tidy data frame;
* ``summary.csv``: what :meth:`Results.summary` returns;
* ``curves.parquet`` and ``steps.parquet``, where there are such series;
* ``timing.json``: speed and times, so that all else is the same when an experiment is repeated;
* ``results.json``: the metadata, and a digest of the other files. It is written last: where it is,
  the results are complete.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from recsim._internal import files, json_text, paths, validation
from recsim.experiments import summary

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["CURVE_COLUMNS", "COLUMNS", "STEP_COLUMNS", "Metadata", "Results"]

#: The columns of the tidy data frame, and of the two series.
COLUMNS = ("scenario", "agent", "settings", "seed", "user", "measure", "value")
CURVE_COLUMNS = ("scenario", "agent", "settings", "seed", "step", "value")
STEP_COLUMNS = ("scenario", "agent", "settings", "seed", "step", "measure", "value")

_TEXT = {"scenario", "agent", "settings", "measure"}
_FORMAT = 1
_RECORD = "results.json"
_TIMING = "timing.json"
_FRAMES = {"frame": "results.parquet", "curves": "curves.parquet", "steps": "steps.parquet"}
_SUMMARY = "summary.csv"


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What belongs to results beside the numbers, as plain data.

    Attributes:
        spec: what was run: the experiment as a dictionary.
        provenance: what else the same numbers depend on: versions, seeds, gin's configuration.
        failures: a dictionary for each task that failed: ``task`` (its name), ``error`` (a line)
            and ``traceback``.
        timing: what differs when the same experiment is run again, such as the tasks' seconds.
    """

    spec: Mapping[str, object] = dataclasses.field(default_factory=dict)
    provenance: Mapping[str, object] = dataclasses.field(default_factory=dict)
    failures: Sequence[Mapping[str, object]] = ()
    timing: Mapping[str, object] = dataclasses.field(default_factory=dict)


class Results:
    """What an experiment measured.

    Agents, scenarios and measures are shown in the order in which the data frame has them. Where an
    agent of a scenario has one seed only, intervals are over users; else over seeds, with the mean
    over a seed's users as its value.

    Args:
        frame: a row for each value: ``scenario``, ``agent``, ``settings`` (a short text such as
            ``"ci_scaling=0.5"``, empty for none), ``seed``, ``user`` (which user, or episode, of
            the seed), ``measure`` and ``value``, NaN where a user has no such value. The measures
            that are known by name are ``return``, ``click_through_rate``, ``click_quality``,
            ``click_share_of_topic_<i>``, ``steps`` and ``steps_per_second``.
        metadata: what was run.
        curves: training curves: ``scenario``, ``agent``, ``settings``, ``seed``, ``step`` (training
            steps so far) and ``value`` (the return then).
        steps: what happened over the episode, as means over a seed's users: ``scenario``,
            ``agent``, ``settings``, ``seed``, ``step`` (of the episode), ``measure`` and ``value``.
            Measures ``slate_share_of_<what>`` are shares of the slate that make up the whole;
            others, such as ``click_through_rate``, are lines of their own.

    Raises:
        TypeError: if something is not a data frame.
        ValueError: if a column is missing or of another type, a value is infinite or there twice,
            or there is none and no failure either.

    Attributes:
        metadata: what was run.
        curves: training curves, None if there are none.
        steps: what happened over the episode, None if that was not measured.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        metadata: Metadata | None = None,
        *,
        curves: pd.DataFrame | None = None,
        steps: pd.DataFrame | None = None,
    ) -> None:
        self.metadata = metadata or Metadata()
        self._frame = _checked("frame", frame, COLUMNS)
        self.curves = None if curves is None else _checked("curves", curves, CURVE_COLUMNS)
        self.steps = None if steps is None else _checked("steps", steps, STEP_COLUMNS)
        if self._frame.empty and not self.metadata.failures:
            raise ValueError("frame must hold at least one value, got none.")

    def to_dataframe(self) -> pd.DataFrame:
        """Returns a row for each value, with the columns of :data:`COLUMNS`; a copy."""
        return self._frame.copy()

    def summary(self, baseline: str | None = None) -> pd.DataFrame:
        """Returns a row for each scenario, agent, settings and measure.

        Args:
            baseline: the agent that the others are compared with, as ``agent`` or
                ``agent (settings)``; by default the last one of the experiment, also where all
                its tasks failed: there is no difference to it then.

        Returns:
            A data frame with the columns ``scenario``, ``agent``, ``settings`` and ``measure``;
            ``seeds`` and ``users`` (how many there are, users of each seed); ``over``, which of
            the two intervals are over; ``mean``, ``low`` and ``high``, with Student's 95% interval;
            ``iqm``, the interquartile mean over seeds; ``baseline``, its name; ``difference``, the
            mean difference to it, paired by seed (by user where intervals are over users), with
            Student's interval; ``improvement``, the probability that a run is better than one of
            the baseline, over the seeds that both have; ``best``, whether the mean is the greatest
            of the scenario; ``alike``, whether paired t-tests of all pairs, with Holm's correction,
            cannot tell it apart from the best. ``iqm``, ``difference`` and ``improvement`` have 95%
            intervals in ``…_low`` and ``…_high``: Student's, and those of a stratified bootstrap.
            NaN stands for what too few seeds cannot say, and for what has no meaning: ``iqm``,
            ``improvement``, ``best`` and ``alike`` are of measures of which more is better.

        Raises:
            ValueError: if there is no such agent, or it has several settings.
        """
        return summary.summarized(self._frame, baseline, _planned(self.metadata))

    def overall(self, baseline: str | None = None) -> pd.DataFrame:
        """Returns how returns compare with a baseline's over all scenarios together.

        Args:
            baseline: see :meth:`summary`.

        Returns:
            See :func:`recsim.experiments.summary.overall`; no rows for a single scenario.
        """
        return summary.overall(self._frame, baseline, _planned(self.metadata))

    def table(self, baseline: str | None = None, *, topics: bool = False, width: int = 80) -> str:
        """Returns the results as tables of plain text, with what there is to say about them.

        Args:
            baseline: see :meth:`summary`.
            topics: whether to show the share of clicks on each topic.
            width: the length of a line. Wider tables continue below.

        Raises:
            TypeError: if ``width`` is not an integer.
            ValueError: if there is no such agent, it has several settings, or ``width`` is not
                positive.
        """
        width = validation.positive_int("width", width)
        from recsim.experiments import _text

        return _text.text(self, baseline, topics=topics, width=width)

    def to_latex(self, baseline: str | None = None, *, topics: bool = False) -> str:
        """Returns the tables in LaTeX, with the rules of the package ``booktabs``.

        The best is in bold, what cannot be told apart from it is underlined, and what there is to
        say about the tables follows as comments.

        Args:
            baseline: see :meth:`summary`.
            topics: whether to show the share of clicks on each topic.
        """
        from recsim.experiments import _latex

        return _latex.latex(self, baseline, topics=topics)

    def to_markdown(self, baseline: str | None = None, *, topics: bool = False) -> str:
        """Returns the tables in Markdown, with what there is to say about them.

        Args:
            baseline: see :meth:`summary`.
            topics: whether to show the share of clicks on each topic.
        """
        from recsim.experiments import _text

        return _text.markdown(self, baseline, topics=topics)

    def __repr__(self) -> str:
        return self.table()

    def _repr_html_(self) -> str:
        from recsim.experiments import _page

        return _page.fragment(self)

    def plot(self, path: paths.Path | None = None) -> Figure:
        """Draws returns with their intervals, and learning curves where something learned.

        Args:
            path: a file to write, ending in ``.png``, ``.svg`` or ``.pdf``; without a suffix, PNG
                and SVG are written.

        Returns:
            The figure, which a notebook shows.
        """
        from recsim.experiments import _figures, plots

        figure = _figures.overview(self)
        if path is None:
            plots.for_any_background(figure)
        else:
            plots.save(figure, path)
        return figure

    def report(self, path: paths.Path, baseline: str | None = None) -> None:
        """Writes the results as one HTML file, which opens without a network.

        Args:
            path: the file.
            baseline: see :meth:`summary`.
        """
        from recsim.experiments import _page

        file_path = paths.output_file("path", path)
        text = _page.page(self, baseline)
        with files.atomic_file(file_path) as file:
            file.write(text.encode())

    def save(self, folder: paths.Path) -> None:
        """Writes the results to a folder, whole or not at all; results that are there are replaced.

        Args:
            folder: the folder, which is made where it is not there.

        Raises:
            OSError: if it cannot be written to, or the disk is full. Earlier results are then there
                still.
        """
        path = paths.absolute("folder", folder)
        paths.writable_folder("The results folder", path)
        timed = self._frame["measure"].isin(summary.TIMES)
        untimed = self._frame[~timed]
        contents: dict[str, bytes] = {
            file: _parquet(frame)
            for name, file in _FRAMES.items()
            if (frame := untimed if name == "frame" else getattr(self, name)) is not None
        }
        table = (
            summary.summarized(untimed, None, _planned(self.metadata)) if len(untimed) else untimed
        )
        contents[_SUMMARY] = table.to_csv(index=False, lineterminator="\n").encode()
        record = {
            "format": _FORMAT,
            "spec": self.metadata.spec,
            "provenance": self.metadata.provenance,
            "failures": list(self.metadata.failures),
            "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()},
        }
        timing = {
            **self.metadata.timing,
            "values": self._frame[timed].to_dict("list"),
        }
        contents[_TIMING] = f"{json_text.dumps(timing, indent=1)}\n".encode()
        with contextlib.ExitStack() as stack:
            # Files get their names in the order opposite to this one: the record last.
            contents = {_RECORD: f"{json_text.dumps(record, indent=2)}\n".encode(), **contents}
            for name, data in contents.items():
                file: BinaryIO = stack.enter_context(files.atomic_file(os.path.join(path, name)))
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            # All are on the disk. What is replaced is incomplete from now on.
            for name in (_RECORD, *(set(_FRAMES.values()) - set(contents))):
                with contextlib.suppress(FileNotFoundError):
                    os.remove(os.path.join(path, name))

    @classmethod
    def load(cls, folder: paths.Path) -> Results:
        """Returns the results that :meth:`save` has written.

        Args:
            folder: the folder.

        Raises:
            FileNotFoundError: if there are no complete results in it.
            ValueError: if they are of another version, or a file is not the one that was saved.
        """
        path = paths.absolute("folder", folder)
        record = _record(path)
        frames = {
            name: _read_parquet(os.path.join(path, file), record["sha256"][file])
            for name, file in _FRAMES.items()
            if file in record["sha256"]
        }
        timing_path = os.path.join(path, _TIMING)
        timing = _read_json(timing_path) if os.path.exists(timing_path) else {}
        import pandas as pd

        try:
            frame = frames.pop("frame")
            times = pd.DataFrame(timing.pop("values", {}))
            if len(times):
                parts = [_checked("frame", frame, COLUMNS), _checked("values", times, COLUMNS)]
                frame = pd.concat(parts, ignore_index=True)
            return cls(
                frame,
                Metadata(record["spec"], record["provenance"], record["failures"], timing),
                **frames,
            )
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path!r} does not hold results of an experiment: {error}") from error


def _checked(name: str, frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Returns a frame's columns in their order, with their types, and a plain index."""
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"{name} must be a data frame of pandas, got {type(frame).__name__}.")
    if missing := [column for column in columns if column not in frame]:
        raise ValueError(
            f"{name} must have the columns {', '.join(columns)}; it lacks {', '.join(missing)}."
        )
    checked = frame[list(columns)].reset_index(drop=True)
    for column in columns:
        values = checked[column]
        if column in _TEXT:
            kind = pd.api.types.infer_dtype(np.asarray(values, dtype=object), skipna=False)
            if kind not in ("string", "empty"):
                raise ValueError(f"Column {column} of {name} must be text.")
            checked[column] = values.astype(str)
            continue
        try:
            numbers = values.astype(np.float64 if column == "value" else np.int64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"Column {column} of {name} must be numbers: {error}.") from None
        if column != "value" and not (numbers == values).all():
            raise ValueError(f"Column {column} of {name} must be integers.")
        if column == "value" and np.isinf(numbers).any():
            raise ValueError(f"Column value of {name} must be finite, or NaN for none; it has inf.")
        checked[column] = numbers
    keys = [column for column in columns if column != "value"]
    if (repeated := checked.duplicated(keys)).any():
        first = ", ".join(f"{key}={checked[key][repeated.idxmax()]!r}" for key in keys)
        raise ValueError(f"{name} must have each value once; it has several of {first}.")
    return checked


def _parquet(frame: pd.DataFrame) -> bytes:
    import pyarrow
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pandas(frame, preserve_index=False), file)
    return file.getvalue()


def _read_parquet(path: str, digest: str) -> pd.DataFrame:
    import pyarrow
    from pyarrow import parquet

    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        data = b""
    if hashlib.sha256(data).hexdigest() != digest:
        raise ValueError(
            f"{path!r} is not the file that the results beside it were saved with: run the "
            "experiment again in its folder, or restore the file."
        )
    try:
        return parquet.read_table(io.BytesIO(data)).to_pandas()
    except pyarrow.ArrowException as error:
        raise ValueError(f"{path!r} cannot be read as results: {error}.") from error


def _planned(metadata: Metadata) -> list[summary.Variant]:
    """Returns all agents with their settings that an experiment was to run, in order."""
    planned: Any = metadata.provenance.get("variants", [])
    return [summary.Variant(*names) for names in planned]


def _read_json(path: str) -> dict[str, Any]:
    """Returns the dictionary in a file of JSON."""
    with open(path, encoding="utf-8") as file:
        try:
            data = json.load(file)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path!r} cannot be read as results: {error}.") from None
    if not isinstance(data, dict):
        raise ValueError(f"{path!r} cannot be read as results: it holds no dictionary.")
    return data


def _record(folder: str) -> dict[str, Any]:
    """Returns the record of the results in a folder."""
    path = os.path.join(folder, _RECORD)
    try:
        record = _read_json(path)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"folder must hold the results of an experiment, got {folder!r}, which has no "
            f"{_RECORD}: they are not there, or not complete."
        ) from None
    if record.get("format") != _FORMAT:
        raise ValueError(
            f"{path!r} must be of results of format {_FORMAT}, which this version of recsim reads."
        )
    kinds = {"spec": dict, "provenance": dict, "failures": list, "sha256": dict}
    for name, kind in kinds.items():
        if not isinstance(record.get(name), kind):
            raise ValueError(
                f"{path!r} cannot be read as results: its {name!r} must be a {kind.__name__}, got "
                f"{record.get(name)!r}."
            )
    if not all(isinstance(failure, dict) for failure in record["failures"]):
        raise ValueError(
            f"{path!r} cannot be read as results: its 'failures' must be dictionaries."
        )
    if _FRAMES["frame"] not in record["sha256"]:
        raise ValueError(
            f"{path!r} cannot be read as results: its 'sha256' must have {_FRAMES['frame']!r}."
        )
    return record
