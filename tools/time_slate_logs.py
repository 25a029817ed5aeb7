"""Times ``recsim fit`` on a generated log of slates, with its memory.

::

    python tools/time_slate_logs.py --folder scratch                 # a million impressions
    python tools/time_slate_logs.py --folder scratch --setting drift_and_fatigue

First one model is fitted (multinomial logit with 8 factors), then the default command is run: the
choice of a model, 20 refits, and the report with the ranking of agents. Logs are those of
:mod:`recsim.benchmarks.fitting_recovery`, with so many users that there are as many impressions.
Both commands begin anew, whatever the folder has.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import shutil
import sys
import threading
import time

import psutil

from recsim.benchmarks import fitting_recovery

ONE_MODEL = {
    "models": "multinomial_logit",
    "num-factors": "8",
    "kinds": "1",
    "drift": "off",
    "fatigue": "off",
    "refits": "0",
}
COMMANDS = ("one", "default")


def written(folder: pathlib.Path, setting: str, impressions: int) -> pathlib.Path:
    """Makes a log and returns its file: a Parquet table with a row for each impression."""
    import numpy as np
    import pandas as pd

    users = fitting_recovery.SETTINGS[setting]
    of_user = users.num_sessions * users.num_steps * fitting_recovery.SLATE_SIZE
    num_users = -(-impressions // of_user)
    truth = fitting_recovery.truth(users, num_users, 0)
    log = fitting_recovery.simulated(truth, users.num_sessions, users.num_steps, 0)
    size, items = log.slate_size, log.items.ravel()
    frame = pd.DataFrame(
        {
            "user": np.repeat(log.users, size),
            "session": np.repeat(log.sessions, size),
            "step": np.repeat(log.steps, size),
            "position": np.tile(np.arange(size), log.num_slates),
            "item": items,
            "topic": log.catalogue.topics[items],
            "click": log.clicks.ravel().astype(np.int8),
        }
    )
    path = folder / f"{setting}.parquet"
    frame.to_parquet(path)
    print(f"{path}: {len(frame):,} impressions, {num_users:,} users", flush=True)
    return path


def timed(name: str, arguments: list[str]) -> None:
    """Runs a command of recsim, and prints its seconds and how much memory it had."""
    start = time.perf_counter()
    process = psutil.Popen([sys.executable, "-m", "recsim", *arguments])
    most = {"largest": 0, "sum": 0}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            sizes = []
            with contextlib.suppress(psutil.Error):  # What ends meanwhile.
                for each in [process, *process.children(recursive=True)]:
                    sizes.append(each.memory_full_info().pss)
            most["largest"] = max(most["largest"], *sizes, 0)
            most["sum"] = max(most["sum"], sum(sizes))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    finally:
        over.set()
        watcher.join()
    print(
        f"{name}: {time.perf_counter() - start:.0f} s, processor time "
        f"{usage.ru_utime + usage.ru_stime:.0f} s, at most {most['largest'] / 2**20:.0f} MiB in a "
        f"process and {most['sum'] / 2**20:.0f} MiB in all",
        flush=True,
    )
    if status:
        raise SystemExit(f"{name} ended with status {os.waitstatus_to_exitcode(status)}")


def main() -> None:
    """Prints seconds and memory of both commands."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--setting", choices=fitting_recovery.SETTINGS, default="multinomial_logit")
    parser.add_argument("--impressions", type=int, default=1_000_000)
    parser.add_argument("--workers", default="2")
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=COMMANDS)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    log = written(options.folder, options.setting, options.impressions)
    for command in options.commands:
        output = options.folder / f"{options.setting}_{command}"
        shutil.rmtree(output, ignore_errors=True)
        arguments = ["fit", str(log), "--output", str(output), "--workers", options.workers]
        if command == "one":
            arguments += ["--no-report"]
            arguments += [
                part for name, value in ONE_MODEL.items() for part in (f"--{name}", value)
            ]
        timed(f"{options.setting}, {command}", [*arguments, "--quiet"])


if __name__ == "__main__":
    main()
