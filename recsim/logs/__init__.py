"""Episode logs: what users were shown, and how they responded, as files for other tools.

* :mod:`recsim.logs.parquet`: logs of both engines as Parquet files, a row an impression;
* :mod:`recsim.logs.reader`: any episode log as a data frame, ``recsim.read_episodes``;
* :mod:`recsim.logs.columns`: the columns of a Parquet log.

:mod:`recsim.simulator.episode_log` writes RecSim's TFRecord files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsim._internal import lazy

if TYPE_CHECKING:
    from recsim.logs import columns, dataset, impressions, parquet, reader, sequence_examples

__all__ = ["columns", "dataset", "impressions", "parquet", "reader", "sequence_examples"]

__getattr__, __dir__ = lazy.lazy_submodules(__name__, __all__)
