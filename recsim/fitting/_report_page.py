"""The report on a fit as HTML: a page that needs no other file."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

import numpy as np

from recsim._internal import figures, json_text, pages
from recsim.fitting import _report_figures, fidelity, ranking, results
from recsim.fitting import ratings as ratings_lib

__all__ = ["page"]

_LEFT = 'style="text-align: left"'
_STYLE = """
.cautions li { margin-bottom: 0.5rem; }
.cautions { border-left: 3px solid #D55E00; padding: 0.2rem 0 0.2rem 1.6rem; margin: 0; }
"""
_MODELS = {
    "multinomial_logit": "multinomial logit with no click",
    "position_based": "position-based",
    "cascade": "cascade",
    "dependent_click": "dependent click",
}


def page(
    result: results.FitResult | ratings_lib.RatingsResult,
    of_log: fidelity.Fidelity | None,
    panels: Sequence[_report_figures.Panel],
    ranked: ranking.Ranking,
    cautions: Sequence[str],
) -> str:
    """Returns the page."""
    title = "A fitted scenario, and how far to trust it"
    parts = [f"<h1>{title}</h1>", *_summary(result)]
    items = "".join(f"<li>{html.escape(caution)}</li>" for caution in cautions)
    parts.append(f'<h2>What not to use it for</h2>\n<ul class="cautions">{items}</ul>')
    parts.append("<h2>Does it predict what was held out?</h2>")
    if isinstance(result, ratings_lib.RatingsResult):
        parts += _errors(result)
    else:
        parts += _likelihoods(result)
    drawn = "".join(_figure(panel, f"p{number}-") for number, panel in enumerate(panels))
    parts.append(f'<h2>The log and the scenario</h2>\n<div class="figures">{drawn}</div>')
    if of_log is not None:
        parts += _concentration(of_log)
    if isinstance(result, results.FitResult):
        parts += _parameters(result)
    parts += _ranking(ranked)
    parts += _record(result)
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{title}</title>\n<style>{pages.STYLE}{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _summary(result: results.FitResult | ratings_lib.RatingsResult) -> Iterator[str]:
    log, made = result.log, result.parameters
    if isinstance(result, ratings_lib.RatingsResult):
        yield (
            f"<p>{result.log.num_ratings:,} ratings of {log.num_items:,} items by "
            f"{log.num_users:,} users, of which {int(result.held_out.sum()):,} were held out. "
            f"Utilities have {made.num_factors} factors; a rating of {result.threshold:.3g} is as "
            f"good as no click, and the temperature is {result.temperature:.3g}.</p>"
        )
        return
    logged = result.log
    of_users = f" by {logged.num_users:,} users" if logged.has_users else ", of unknown users"
    yield (
        f"<p>{logged.num_impressions:,} impressions in {logged.num_slates:,} slates"
        f"{of_users}; {int(logged.clicks.sum()):,} clicks on {logged.num_items:,} items. "
        f"{int(result.held_out.sum()):,} slates were held out.</p>"
    )
    kinds = [_MODELS[model.name] for model in made.click_models]
    shares = np.bincount(made.user_kinds, made.user_weights, len(kinds))
    if len(kinds) == 1:
        models = f"The click model is {kinds[0]}"
    else:
        named = ", ".join(f"{name} ({share:.0%})" for name, share in zip(kinds, shares))
        models = f"Users are of {len(kinds)} kinds: {named}"
    moves = [
        f"interests drift by {made.drift:.2g} of the way to what was clicked"
        if made.drift
        else "interests do not drift",
        f"a click on a topic takes {made.fatigue:.2g} off its utility"
        if made.fatigue
        else "topics do not tire",
    ]
    factors = f"{made.num_factors} latent factors" if made.num_factors else "no latent factors"
    yield f"<p>{models}, with {factors}; {' and '.join(moves)}.</p>"


def _likelihoods(result: results.FitResult) -> Iterator[str]:
    """Yields the table of held-out log-likelihoods."""
    chosen = result.candidate
    single = [each for each in result.candidates if len(each.click_models) == 1]
    best_single = max(single, key=lambda each: each.held_out_log_likelihood, default=None)
    rows = [
        [f"{name} (no model)", f"{value:.5f}", "", f"{value - chosen.held_out_log_likelihood:+.5f}"]
        for name, value in sorted(result.baselines.items(), key=lambda pair: pair[1])
    ]
    for each in sorted(result.candidates, key=lambda one: one.held_out_log_likelihood):
        name = each.name
        if each is best_single and each is not chosen:
            name += " (the best single click model)"
        if each is chosen:
            name += " (chosen)"
        error = "" if each is chosen else f" ± {each.difference_standard_error:.5f}"
        difference = "" if each is chosen else f"{each.difference:+.5f}{error}"
        likelihood = f"{each.held_out_log_likelihood:.5f}"
        rows.append([name, likelihood, f"{each.standard_error:.5f}", difference])
    yield _table(
        "Log-likelihood of held-out slates for each impression: the higher, the better",
        ["model", "log-likelihood", "standard error", "to the chosen"],
        rows,
        bold=next(index for index, row in enumerate(rows) if "(chosen)" in row[0]),
    )


def _errors(result: ratings_lib.RatingsResult) -> Iterator[str]:
    rows = [
        [f"{name} (no model)", f"{value:.4f}"]
        for name, value in sorted(result.baselines.items(), key=lambda pair: -pair[1])
    ]
    for each in sorted(result.candidates, key=lambda one: -one.error):
        rows.append([each.name + " (chosen)" * (each.name == result.chosen), f"{each.error:.4f}"])
    yield _table(
        "Root mean squared error of held-out ratings: the lower, the better",
        ["model", "error"],
        rows,
        bold=next(index for index, row in enumerate(rows) if "(chosen)" in row[0]),
    )


def _concentration(of_log: fidelity.Fidelity) -> Iterator[str]:
    yield "<h2>Diversity and concentration of what is clicked</h2>"
    yield _table(
        "In the log, and in clicks sampled from the scenario on the log's own slates",
        ["", "log", "scenario", "95% of samples"],
        [
            [
                each.name,
                f"{each.observed:.3g}",
                f"{each.expected:.3g}",
                f"{each.low:.3g} to {each.high:.3g}",
            ]
            for each in of_log.concentration
        ],
    )


def _parameters(result: results.FitResult) -> Iterator[str]:
    yield "<h2>Parameters</h2>"
    if result.intervals:
        of_what = "users" if result.log.has_users else "slates"
        yield _table(
            f"With 95% intervals from {len(result.refits)} refits to bootstrap samples of "
            f"{of_what}",
            ["parameter", "estimate", "95% interval"],
            [
                [each.name, f"{each.estimate:.4g}", f"{each.low:.4g} to {each.high:.4g}"]
                for each in result.intervals
            ],
        )
    else:
        yield '<p class="note">There are no intervals: it was not refitted.</p>'
    for strength in result.strengths:
        yield f"<p>{strength.name.capitalize()}: {html.escape(strength.reason)}</p>"


def _ranking(ranked: ranking.Ranking) -> Iterator[str]:
    others = len(ranked.scenarios) - 1
    yield "<h2>Would another fit rank agents otherwise?</h2>"
    pairs = ranked.pairs()
    same = sum(share == 1.0 for share in pairs.values())
    yield (
        f"<p>The same five agents were run in the scenario and in {others} others that the log "
        "allows: those fitted to bootstrap samples, and the models that came next. Of "
        f"{len(pairs)} pairs of agents {same} ({ranked.agreement:.0%}) are in the same order in "
        "all of them.</p>"
    )
    panel = _report_figures.of_ranking(ranked)
    yield f'<div class="figures">{_figure(panel, "r-")}</div>'
    order = np.argsort(-ranked.returns[0])
    yield _table(
        "Clicks in a session",
        ["agent", "the scenario", "standard error", "lowest of all", "highest of all"],
        [
            [
                ranked.agents[agent],
                f"{ranked.returns[0, agent]:.3f}",
                f"{ranked.standard_errors[0, agent]:.3f}",
                f"{ranked.returns[:, agent].min():.3f}",
                f"{ranked.returns[:, agent].max():.3f}",
            ]
            for agent in order
        ],
    )
    differing = [
        [f"{better} above {worse}", f"{share:.0%}"]
        for (better, worse), share in pairs.items()
        if share < 1.0
    ]
    if differing:
        yield _table("Orders that are not the same in all", ["", "share of scenarios"], differing)


def _record(result: results.FitResult | ratings_lib.RatingsResult) -> Iterator[str]:
    treatments = [*result.log.treatments, *result.treatments]
    yield "<h2>How it was made</h2>"
    if treatments:
        items = "".join(f"<li>{html.escape(each)}</li>" for each in treatments)
        yield f"<ul>{items}</ul>"
    for name, data in (
        ("Settings", dict(result.settings)),
        ("Source", dict(result.parameters.source)),
    ):
        if data:
            text = html.escape(json_text.dumps(data, indent=2))
            yield f"<details><summary>{name}</summary><pre>{text}</pre></details>"


def _table(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], bold: int | None = None
) -> str:
    first, *others = map(html.escape, header)
    head = f'<th scope="col" {_LEFT}>{first}</th>'
    head += "".join(f'<th scope="col">{name}</th>' for name in others)
    body = ""
    for index, (name, *cells) in enumerate(rows):
        row = f'<th scope="row" {_LEFT}>{html.escape(name).replace("_", "_<wbr>")}</th>'
        for cell in cells:
            text = html.escape(cell)
            row += f"<td>{f'<strong>{text}</strong>' if index == bold else text}</td>"
        body += f"<tr>{row}</tr>"
    label = html.escape(title)
    return (
        f'<p class="note">{label}</p>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _figure(panel: _report_figures.Panel, prefix: str) -> str:
    return pages.figure(figures.svg(_report_figures.drawn(panel)), panel.title, prefix)
