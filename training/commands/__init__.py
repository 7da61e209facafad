"""The commands of ``tension-train``, one module a group; `training.cli` puts them together.

What takes long to import (scikit-learn, MLflow) waits in the commands for its turn, so that ``--help`` answers at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scoring.errors import UsageError

if TYPE_CHECKING:
    from training.pipeline import Params

Data = Annotated[
    list[Path],
    typer.Option("--data", help="Labelled statements: JSONL file or folder; repeatable."),
]


def say(message: str) -> None:
    """Tell something on standard error, in one line."""
    typer.echo(f"tension-train: {' '.join(message.split())}", err=True)


def params_of(settings: Sequence[str]) -> Params:
    """Make hyper-parameters of the values of ``--param NAME=VALUE``; the others are the defaults."""
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
