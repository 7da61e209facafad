"""The command ``tension-train``: results to standard output, progress and errors to standard error.

What takes long to import (scikit-learn, MLflow) waits in the commands for its turn, so that
``--help`` answers at once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from scoring.errors import TensionError, UsageError

if TYPE_CHECKING:
    from training.evaluate import Metrics
    from training.pipeline import Params

app = typer.Typer(
    name="tension-train",
    help="Train, evaluate and describe models of escalation.",
    epilog="Exit code: 0 done, 1 failed, 2 wrong usage.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Data = Annotated[
    list[Path],
    typer.Option("--data", help="Labelled statements: JSONL file or folder; repeatable."),
]


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line.

    Parameters
    ----------
    arguments : sequence of str
        What stands behind ``tension-train``.

    Returns
    -------
    int
        Exit code: 0 done, 1 failed (one line on standard error says why), 2 wrong usage.
    """
    try:
        return int(app(list(arguments), prog_name="tension-train", standalone_mode=False) or 0)
    except UsageError as error:
        _say(str(error))
        return 2
    except typer.TyperException as error:
        _say(f"{error.format_message()} See 'tension-train --help'.")
        return error.exit_code
    except TensionError as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        _say("interrupted; nothing was saved.")
        return 130


def _say(message: str) -> None:
    typer.echo(f"tension-train: {' '.join(message.split())}", err=True)


@app.command("run")
def run_(
    data: Data,
    dev: Annotated[
        list[Path] | None,
        typer.Option("--dev", help="Labelled statements to evaluate on, never used in fitting."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.", min=0)] = 0,
    out: Annotated[Path, typer.Option(help="Folder of the versions.")] = Path("models"),
    version: Annotated[
        str | None, typer.Option(help="Version; default: the package's and the data's digest.")
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Another hyper-parameter; repeatable."),
    ] = None,
    save: Annotated[
        bool, typer.Option("--save/--no-save", help="Save the model, or only log the run.")
    ] = True,
) -> None:
    """Train a model, log the run to MLflow, save the model with its card."""
    from training import train

    outcome = train.run(
        data,
        dev or [],
        seed=seed,
        params=_params(param or []),
        out=out if save else None,
        name=version,
        say=_say,
    )
    for part in ("cv", "dev"):
        if part in outcome.metrics:
            _show(part, outcome.metrics[part])
    _say(f"MLflow run {outcome.model.manifest['mlflow_run']}")
    if outcome.folder is not None:
        typer.echo(outcome.folder)


def _params(settings: Sequence[str]) -> Params:
    from training.pipeline import Params

    values = Params().asdict()
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in values:
            raise UsageError(f"expected --param of {', '.join(values)}, found {setting!r}.")
        try:
            values[name] = type(values[name])(value)
        except ValueError as error:
            kind = type(values[name]).__name__
            raise UsageError(f"expected --param {name} to be {kind}, found {value!r}.") from error
    return Params(**values)  # type: ignore[arg-type]


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="Folder of a model.")],
    data: Data,
    seed: Annotated[int, typer.Option(help="Seed of the intervals.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Every metric, as JSON.")] = False,
) -> None:
    """Evaluate a saved model on labelled statements."""
    from scoring.artifact import load
    from training.dataset import read
    from training.evaluate import evaluate as evaluate_
    from training.train import predict

    loaded, statements = load(model), read(data)
    metrics = evaluate_(statements, predict(loaded, statements), seed)
    if as_json:
        typer.echo(json.dumps(metrics, indent=1))
    else:
        _show(str(model), metrics)


@app.command()
def card(
    folder: Annotated[Path, typer.Argument(help="Folder of a model.")],
    page: Annotated[
        Path | None,
        typer.Option("--page", help="Also put the main table between the markers of this page."),
    ] = None,
) -> None:
    """Render the card of a saved model again, from its manifest and metrics."""
    from training.card import write, write_headlines

    typer.echo(write(folder))
    if page is not None:
        typer.echo(write_headlines(folder, page))


def _show(title: str, metrics: Metrics) -> None:
    """Print the figures of all rows as a table; pools, strata and counts are left to the card."""
    from rich.console import Console
    from rich.table import Table

    table = Table("", "value", "low", "high", title=f"{title}: {metrics['rows']:,.0f} statements")
    for column in table.columns[1:]:
        column.justify = "right"
    shown = [
        name
        for name in metrics
        if f"{name}.low" in metrics and not name.startswith(("pool.", "stratum."))
    ]
    for name in shown:
        table.add_row(
            name, *(f"{metrics[key]:.3f}" for key in (name, f"{name}.low", f"{name}.high"))
        )
    Console().print(table)


if __name__ == "__main__":
    main()
