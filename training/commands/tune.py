"""``tension-train tune``: search hyper-parameters, and say whether any are better than the defaults."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from training.commands import Data, params_of, say

if TYPE_CHECKING:
    from training.tune import Found

_SHOWN = 5  # trials in the table, beside the defaults


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command("tune")(tune_)


def tune_(
    data: Data,
    trials: Annotated[
        int, typer.Option(min=1, help="Trials in all, the defaults being the first.")
    ] = 50,
    minutes: Annotated[
        float | None,
        typer.Option(min=0, help="Begin no trial that would end later; the search can go on."),
    ] = None,
    metric: Annotated[
        str, typer.Option(help="Figure to search by: macro_f1, kappa, log_loss, triples.f1 ...")
    ] = "macro_f1",
    seed: Annotated[int, typer.Option(help="Seed of the search and of the folds.", min=0)] = 0,
    param: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Set and do not search this one; repeatable."),
    ] = None,
    space: Annotated[
        Path | None, typer.Option(help="TOML of what to search; default: training/tune.toml.")
    ] = None,
    soft: Annotated[
        Path | None, typer.Option(help="A teacher's labels, from 'tension-train soft-labels'.")
    ] = None,
    study: Annotated[
        Path | None,
        typer.Option(help="SQLite file of the search; default: tune.db beside MLflow's store."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Every trial, as JSON.")] = False,
) -> None:
    """Search hyper-parameters by cross-validation on training statements; goes on where it was stopped.

    Prints the best as arguments of 'tension-train run', and on standard error whether they beat the defaults.
    """
    from training import tune

    settings = param or []
    try:
        found = tune.tune(
            data,
            trials=trials,
            minutes=minutes,
            seed=seed,
            metric=metric,
            params=params_of(settings),
            fixed=[setting.partition("=")[0] for setting in settings],
            space=space,
            soft=soft,
            study=study,
            say=say,
        )
    except KeyboardInterrupt:
        say(
            "interrupted; the trials that are done are kept, and the same command goes on after them."
        )
        raise typer.Exit(130) from None
    if as_json:
        typer.echo(json.dumps(_as_dict(found), indent=1, allow_nan=False))
    else:
        _show(found)
        typer.echo(
            " ".join(
                [*(f"--param {one}" for one in settings), tune.as_arguments(found.best.params)]
            )
        )
    say(verdict(found, trials))
    say(f"MLflow run {found.run}, study {found.study}")


def verdict(found: Found, trials: int) -> str:
    """Say in a line or two what the search found."""
    name, seen, n = found.objective.name, found.verdict, len(found.tried)
    short = ""
    if found.out_of_time:
        short = f"Out of time after {n} of {trials} trials; the same command goes on. "
    if n == 1:
        return f"{short}Only the first trial was run: {name} {found.best.value:.4f}."
    if seen.best == 0:
        return f"{short}None of {n - 1} trials is better than the defaults ({name} {found.best.value:.4f}): keep them."
    before = found.tried[0].value
    told = f"{short}{name} {found.best.value:.4f} against {before:.4f} of the defaults, better by {seen.gain:.4f}. "
    odds = f"by luck alone the best of {n - 1} would look as good in {seen.p_value:.1%} of cases"
    if seen.better:
        return f"{told}More than noise: {odds}; the gain is at least {seen.at_least:.4f} (95%)."
    return f"{told}That may be noise: {odds}. Keep the defaults."


def _as_dict(found: Found) -> dict[str, Any]:
    seen = found.verdict
    return {
        "metric": found.objective.name,
        "best": found.best.params,
        "best_trial": seen.best,
        "default": found.tried[0].value,
        "value": found.best.value,
        "gain": seen.gain,
        "gain_at_least": None if math.isnan(seen.at_least) else seen.at_least,
        "p_value": seen.p_value,
        "p_value_of_one": seen.naive,
        "better": seen.better,
        "out_of_time": found.out_of_time,
        "study": str(found.study),
        "mlflow_run": found.run,
        "trials": [
            {
                "trial": one.number,
                "params": one.params,
                "value": one.value,
                "spread": None if math.isnan(one.spread) else one.spread,
            }
            for one in found.tried
        ],
    }


def _show(found: Found) -> None:
    """Print the best trials and the defaults."""
    from rich.console import Console
    from rich.table import Table

    sign = found.objective.sign
    best = sorted(found.tried, key=lambda one: (-sign * one.value, one.number))[:_SHOWN]
    table = Table(
        "trial",
        found.objective.name,
        "± folds",
        "parameters",
        title=f"The best of {len(found.tried)} trials",
    )
    for column in table.columns[:3]:
        column.justify, column.no_wrap = "right", True
    table.columns[3].overflow = "fold"
    for one in [*best, *([] if found.tried[0] in best else found.tried[:1])]:
        label = f"{one.number}" if one.number else "defaults"
        shown = ", ".join(f"{name} {value}" for name, value in one.params.items())
        table.add_row(label, f"{one.value:.4f}", f"{one.spread:.4f}", shown)
    Console(stderr=True, markup=False, highlight=False).print(table)
