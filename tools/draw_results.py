"""Draws the figures under ``docs/results`` anew from the results beside them.

::

    python tools/draw_results.py            # all of them
    python tools/draw_results.py slateq     # those of a folder

Nothing is computed again.
"""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from recsim import registry
from recsim.benchmarks import throughput
from recsim.experiments import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULTS = pathlib.Path(__file__).resolve().parents[1] / "docs" / "results"


def figures(folder: pathlib.Path) -> Iterator[tuple[pathlib.Path, Figure]]:
    """Yields the figures of a folder of results, and their files."""
    if (path := folder / "bench.json").is_file():
        yield (
            folder / "users.png",
            throughput.figure_of(json.loads(path.read_text(encoding="utf-8"))),
        )
        return
    record = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    experiment = registry.reproduction_entry(record["experiment"]).load()(**record["settings"])
    for name, figure in experiment.figures(record["results"]).items():
        yield folder / f"{name}.png", figure


def main(names: list[str]) -> None:
    """Draws the figures of some folders, by default of all."""
    for folder in sorted(RESULTS / name for name in names) if names else sorted(RESULTS.iterdir()):
        if folder.is_dir():
            for path, figure in figures(folder):
                plots.save(figure, path)
                print(path.relative_to(RESULTS))


if __name__ == "__main__":
    main(sys.argv[1:])
