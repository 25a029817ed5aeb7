"""The command ``recsim fit``: a scenario fitted to a log of one's own."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from recsim._internal import command_line
from recsim.cli import _options
from recsim.experiments import tables

if TYPE_CHECKING:
    from recsim.fitting.ratings import RatingsResult
    from recsim.fitting.results import FitResult

__all__ = ["add_parser", "run"]

_MODELS = ("multinomial_logit", "position_based", "cascade", "dependent_click")
_AUTO, _NONE = "auto", "none"
_SWITCHES = {"auto": "auto", "on": True, "off": False}

_DESCRIPTION = """\
Fits a scenario to a log: a table with a row for each impression (user, time,
item, position, click…) or for each rating (user, item, rating). The folder of
the scenario is an environment: recsim run --environment FOLDER. A report in
it says how far to trust it. The same command resumes.
"""

_EXAMPLES = """\
examples:
  recsim fit clicks.csv --output shop
  recsim fit clicks.parquet --output shop --item sku --topic category \\
      --session-gap 1800 --item-table items.csv
  recsim fit clicks.csv --output shop --models cascade dependent_click \\
      --num-factors 4 --refits 0
  recsim fit ratings.csv --output films --item-table films.csv
  recsim fit u.data --output films --column-names user item rating time
  recsim run --environment shop --agent greedy_pctr random

Columns that are not named are looked for by their names; what was found is
printed. With none for a name there is no such column.
"""

# Help of the options that name columns.
_COLUMNS = {
    "user": "who saw or rated",
    "item": "what was shown or rated",
    "position": "where in the slate, counted from 0 or 1",
    "click": "1 or true where the item was clicked, else 0 or false",
    "rating": "a rating, of a table of ratings or of what was clicked",
    "duration": "how long the user stayed with what was clicked",
    "time": "when: a number, or a date with time",
    "session": "label of the user's session",
    "step": "number of the slate in its session",
    "slate": "label of the slate: rows with one label are a slate",
    "propensity": "probability with which the item was shown there",
    "topic": "the item's topic, category or genre",
    "item-name": "what to call the item",
}
_FEATURES = {
    "item-features": "columns that describe items: numbers, or some categories",
    "user-features": "columns that describe users, likewise",
}


def add_parser(commands: command_line.Commands, arguments: Sequence[str]) -> None:
    """Adds the command to others."""
    del arguments
    parser = commands.add_parser(
        "fit",
        usage="%(prog)s LOG --output FOLDER [option ...]",
        help="make a scenario of a log of one's own",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.set_defaults(parser=parser, run=run)
    _add_table(parser)
    _add_columns(parser)
    _add_models(parser)
    how = parser.add_argument_group("how to fit")
    how.add_argument(
        "--held-out",
        metavar="P",
        type=_number,
        default=0.2,
        help="share of the log that models are compared on (default: %(default)s)",
    )
    how.add_argument(
        "--refits",
        metavar="N",
        type=command_line.integer(0),
        default=20,
        help="fits to bootstrap samples, for intervals and the order of agents (default: "
        "%(default)s)",
    )
    _options.add_seed(how, "of all random choices")
    _options.add_workers(how)
    files = parser.add_argument_group("files and settings")
    files.add_argument(
        "--output",
        metavar="FOLDER",
        required=True,
        help="folder for the scenario and the report: new, empty, or that of the same command "
        "before",
    )
    files.add_argument(
        "--no-report", action="store_true", help="write no report, for which agents are simulated"
    )
    _options.add_quiet(files)


def _add_table(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("the log")
    what.add_argument(
        "table",
        metavar="LOG",
        help="a CSV file (also .gz), a Parquet file or a folder of such, such as an episode log",
    )
    what.add_argument(
        "--kind",
        choices=("auto", "slates", "ratings"),
        default=_AUTO,
        help="what a row is: an impression of a slate, or a rating (default: by the columns)",
    )
    what.add_argument(
        "--item-table",
        metavar="FILE",
        help="a table with a row for each item: name, topic, features",
    )
    what.add_argument(
        "--user-table", metavar="FILE", help="a table with a row for each user: features"
    )
    what.add_argument(
        "--session-gap",
        metavar="T",
        type=_number,
        help="a user's session ends with a pause of T: seconds, or whatever times are in (default: "
        "sessions are those of the column)",
    )
    what.add_argument(
        "--missing",
        choices=("error", "drop"),
        default="error",
        help="what to do with rows in which something is missing (default: %(default)s)",
    )
    what.add_argument(
        "--separator", metavar="SIGN", help="between entries of a CSV file (default: by its header)"
    )
    what.add_argument(
        "--column-names",
        metavar="NAME",
        nargs="+",
        help="names of the columns of a CSV file without a header",
    )


def _add_columns(parser: argparse.ArgumentParser) -> None:
    columns = parser.add_argument_group("columns of the log (default: by their names)")
    for name, text in _COLUMNS.items():
        columns.add_argument(f"--{name}", metavar="COLUMN", default=_AUTO, help=text)
    for name, text in _FEATURES.items():
        columns.add_argument(f"--{name}", metavar="COLUMN", nargs="+", help=text)


def _add_models(parser: argparse.ArgumentParser) -> None:
    models = parser.add_argument_group("models")
    models.add_argument(
        "--num-factors",
        metavar="N",
        type=_or_auto(command_line.integer(0)),
        default=_AUTO,
        help="latent factors of users and items (default: by what is held out)",
    )
    slates = parser.add_argument_group("models of slates")
    slates.add_argument(
        "--models",
        metavar="NAME",
        nargs="+",
        choices=_MODELS,
        help=f"click models to choose from: {', '.join(_MODELS)} (default: all that can explain "
        "the log)",
    )
    _options.add_count(
        slates, "--kinds", "the most kinds of users that differ in their click model (default: 2)"
    )
    for name, text in (
        ("drift", "whether interests move to what was clicked"),
        ("fatigue", "whether clicks on a topic tire of it"),
    ):
        slates.add_argument(
            f"--{name}", choices=_SWITCHES, help=f"{text} (default: auto, by a test)"
        )
    ratings = parser.add_argument_group("models of ratings")
    for name, text in (
        ("regularization", "weight of the squares of factors (default: by what is held out)"),
        (
            "temperature",
            "how much better a rating multiplies the odds of a click by e (default: as noisy as "
            "held-out ratings)",
        ),
        ("threshold", "the rating that is as good as no click (default: the mean)"),
    ):
        ratings.add_argument(f"--{name}", metavar="X", type=_or_auto(_number), help=text)
    _options.add_count(
        ratings, "--slate-size", "documents of the scenario's longest slates (default: 10)"
    )


def _number(text: str) -> float:
    """A type for argparse: a number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, got {text!r}") from None


def _or_auto(convert: Callable[[str], float]) -> Callable[[str], float | str]:
    """Returns a type for argparse: what another takes, or the word auto."""

    def converted(text: str) -> float | str:
        return text if text == _AUTO else convert(text)

    return converted


def run(options: argparse.Namespace) -> int:
    """Fits, writes the scenario and the report, and prints a table; returns the exit code."""
    from recsim import clusters, fitting, parallel

    parser = options.parser
    settings = _settings(options)
    try:
        with (
            command_line.user_errors(parser, *command_line.REFUSALS, parallel.TaskError),
            clusters.connect(options.backend, options.address, options.workers) as backend,
        ):
            result = fitting.fit(options.table, backend=backend or "loky", **settings)
            _options.print_text(_text(result, shutil.get_terminal_size().columns))
            sys.stdout.flush()
            if not options.no_report:
                _options.print_text(_reported(result, options))
    except KeyboardInterrupt:
        print(f"\nThe same command resumes with what is in {options.output}.", file=sys.stderr)
        raise
    report = "" if options.no_report else ", report.html, report.json"
    print(f"\nFiles: {options.output} (scenario.json, arrays.npz, fit.json{report})")
    print(f"Run agents in it: recsim run --environment {options.output}")
    return 0


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """Returns the arguments of :func:`recsim.fitting.fit`."""
    columns: dict[str, object] = {}
    for name in _COLUMNS:
        role = name.replace("-", "_")
        given = getattr(options, role)
        columns[role] = None if given == _NONE else given
    for name in _FEATURES:
        role = name.replace("-", "_")
        given = getattr(options, role)
        if given is not None:
            columns[role] = _AUTO if given == [_AUTO] else None if given == [_NONE] else given
    same = (
        "kind item_table user_table session_gap missing separator column_names models num_factors "
        "kinds regularization temperature threshold slate_size held_out refits seed workers output"
    )
    return {
        "columns": columns,
        **{name: getattr(options, name) for name in same.split()},
        **{name: _SWITCHES.get(getattr(options, name)) for name in ("drift", "fatigue")},
        "tell": _tell,
        "progress": False if options.quiet else None,
    }


def _reported(result: FitResult | RatingsResult, options: argparse.Namespace) -> str:
    """Writes the report; returns how far the scenarios agree, and the cautions."""
    from recsim.fitting import report
    from recsim.simulator import progress

    enabled = False if options.quiet else None
    path = os.path.join(options.output, "report.html")
    with progress.progress_bar(
        "Agents", report.num_scenarios(result), "scenarios", enabled
    ) as show:
        made = report.write(result, path, advance=lambda number: show(number, 0))
    ranking = made.ranking
    width = shutil.get_terminal_size().columns
    lines = textwrap.wrap(
        f"Of the pairs of {len(ranking.agents)} agents {ranking.agreement:.0%} are in the same "
        f"order in all of {len(ranking.scenarios)} scenarios that the log allows. What this one "
        "should not be used for:",
        width,
    )
    return "\n".join(["", *lines, *_as_list(made.cautions, width)])


def _as_list(sentences: Sequence[str], width: int) -> list[str]:
    """Returns sentences as the lines of a list."""
    return [
        line
        for sentence in sentences
        for line in textwrap.wrap(sentence, width, initial_indent="- ", subsequent_indent="  ")
    ]


def _tell(text: str) -> None:
    """Prints which columns were found."""
    _options.print_text(textwrap.fill(text, shutil.get_terminal_size().columns))


def _text(result: FitResult | RatingsResult, width: int) -> str:
    """Returns the models that were compared as a table, and what was done with the log."""
    from recsim.fitting import ratings

    if isinstance(result, ratings.RatingsResult):
        table = _table_of_ratings(result)
    else:
        table = _table_of_slates(result)
    notes = _as_list([*result.log.treatments, *result.treatments], width)
    return "\n".join([*notes, "", tables.plain(table, width)])


def _table_of_ratings(result: RatingsResult) -> tables.Table:
    rows = [
        [f"{_mark(each.name == result.chosen)}{each.name}", f"{each.error:.4f}", f"{each.rounds}"]
        for each in result.candidates
    ]
    rows += [
        [f"  {name}", f"{error:.4f}", ""]
        for name, error in result.baselines.items()
        if name.endswith(("mean", "means"))
    ]
    return tables.Table(
        f"Error of {int(result.held_out.sum()):,} held-out ratings, * the model that was chosen:",
        ["", "root mean square", "rounds"],
        rows,
    )


def _table_of_slates(result: FitResult) -> tables.Table:
    rows = [
        [
            f"{_mark(each.name == result.chosen)}{each.name}",
            f"{each.held_out_log_likelihood:.5f}",
            f"{each.difference:+.5f} ± {each.difference_standard_error:.5f}",
        ]
        for each in result.candidates
    ]
    rows += [[f"  {name}", f"{value:.5f}", ""] for name, value in result.baselines.items()]
    return tables.Table(
        f"Log-likelihood per impression of {int(result.held_out.sum()):,} held-out slates, * the "
        "model that was chosen:",
        ["", "log-likelihood", "to the chosen"],
        rows,
    )


def _mark(chosen: bool) -> str:
    return "* " if chosen else "  "
