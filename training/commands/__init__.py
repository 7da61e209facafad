"""The commands of ``tension-train``, one module a group; `training.cli` puts them together.

What takes long to import (scikit-learn, MLflow) waits in the commands for its turn, so that ``--help`` answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    list[Path],
    typer.Option("--data", help="Labelled statements: JSONL file or folder; repeatable."),
]


def say(message: str) -> None:
    """Tell something on standard error, in one line."""
    typer.echo(f"tension-train: {' '.join(message.split())}", err=True)
