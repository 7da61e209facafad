"""From challenger to champion: ``promote``, ``rollback``, ``champion`` and ``register``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from scoring.errors import UsageError
from training.commands import say

if TYPE_CHECKING:
    from training.promote import Outcome

Models = Annotated[Path, typer.Option("--models", help="Folder of the versions.")]
Why = Annotated[str, typer.Option(help="What changed and why, for the changelog of the models.")]


def add(app: typer.Typer) -> None:
    """Add the commands to an application."""
    app.command()(promote)
    app.command()(rollback)
    app.command()(champion)
    app.command()(register)


def promote(
    challenger: Annotated[
        str | None,
        typer.Argument(help="Folder of a model, id of an MLflow run, or models:/NAME@challenger."),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", help="Labelled statements that neither was trained on; repeatable."),
    ] = None,
    models: Models = Path("models"),
    champion: Annotated[
        Path | None,
        typer.Option(help="Folder of the model to compare with; default: models/CHAMPION."),
    ] = None,
    gates: Annotated[
        Path | None, typer.Option(help="Other gates; default: training/gates.toml.")
    ] = None,
    limits_only: Annotated[
        bool, typer.Option("--limits-only", help="Only the absolute limits, without a champion.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure and judge, change nothing.")
    ] = False,
    version: Annotated[
        str | None, typer.Option("--as", help="Version to ship it as; default: its own.")
    ] = None,
    why: Why = "",
    trained_on: Annotated[
        list[Path] | None,
        typer.Option(
            help="Labelled statements with text, to look for near-duplicates of training; repeatable."
        ),
    ] = None,
    finish: Annotated[
        bool, typer.Option("--finish", help="Only finish a promotion that was interrupted.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="What the gates say, as JSON.")] = False,
) -> None:
    """Measure a model beside the champion; if every gate holds, ship it as the new champion."""
    if finish:
        _finish(models, (challenger, data))
        return
    if challenger is None or not data:
        raise UsageError(
            "expected CHALLENGER and --data, or --finish. See 'tension-train promote --help'."
        )
    from training.promote import promote as promote_

    outcome = promote_(
        challenger,
        data,
        models=models,
        champion=champion,
        gates_file=gates,
        limits_only=limits_only,
        dry_run=dry_run,
        name=version,
        why=why,
        trained_on=trained_on or (),
        say=say,
    )
    if as_json:
        typer.echo(json.dumps(_as_json(outcome), indent=1))
    else:
        _show(outcome)
    failing = [verdict for verdict in outcome.verdicts if not verdict.holds]
    for verdict in failing:
        say(verdict.reason())
    if failing:
        held = len(outcome.verdicts) - len(failing)
        say(f"refused: {held} of {len(outcome.verdicts)} gates hold. Nothing was changed.")
        raise typer.Exit(1)
    if outcome.shipped is None:
        say(f"every gate holds: {outcome.version} could be promoted. Nothing was changed.")
        return
    say(
        f"{outcome.version} is the champion. Read 'git diff', then run make check test, and commit it all at once; "
        f"tension-train rollback goes back to {outcome.champion or 'the one before'}."
    )
    typer.echo(outcome.shipped)


def _finish(models: Path, others: Sequence[Any]) -> None:
    if any(others):
        raise UsageError("expected --finish alone, found CHALLENGER or --data too.")
    from training.promote import finish

    if not finish(models, say):
        say(f"{models}: nothing was half done.")


def rollback(
    to: Annotated[
        str | None, typer.Option(help="Version; default: the champion before this one.")
    ] = None,
    models: Models = Path("models"),
    why: Why = "",
) -> None:
    """Make the version that was champion before the champion again, in models/ and in the registry."""
    from training.promote import rollback as rollback_

    typer.echo(rollback_(models, to, why=why, say=say))


def champion(
    models: Models = Path("models"),
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Say who is champion in models/ and in the registry; exit code 1 if they do not agree."""
    from training.promote import standing

    found = standing(models)
    if as_json:
        typer.echo(json.dumps(found._asdict(), indent=1))
    else:
        typer.echo(f"{models / 'CHAMPION'}: {found.files or 'none'}")
        typer.echo(f"{found.registry}: {found.champion or 'none'}")
        typer.echo(f"challenger: {found.challenger or 'none'}")
        if found.pending:
            typer.echo(f"half done: {found.pending} (tension-train promote --finish)")
    if not found.agree:
        how = f"tension-train register {models / (found.files or 'VERSION')} --alias champion"
        what = "the two do not agree" if found.champion else "the registry has no champion"
        say(f"{what}. If the files are right: {how}")
        raise typer.Exit(1)


def register(
    folder: Annotated[Path, typer.Argument(help="Folder of a model.")],
    alias: Annotated[
        Literal["challenger", "champion", "none"],
        typer.Option(
            help="Alias to move to it; champion only for the one that models/CHAMPION names."
        ),
    ] = "challenger",
    models: Models = Path("models"),
) -> None:
    """Register a model in MLflow, as the challenger unless told otherwise."""
    from training.promote import register as register_

    version = register_(folder, None if alias == "none" else alias, models)
    typer.echo(f"models:/{version.name}/{version.number}")


def _as_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "version": outcome.version,
        "champion": outcome.champion,
        "rows": outcome.rows,
        "holds": outcome.holds,
        "shipped": None if outcome.shipped is None else str(outcome.shipped),
        "gates": [
            {
                "tier": verdict.gate.table,
                "metric": verdict.gate.metric,
                "value": verdict.value,
                "bound": verdict.bound,
                "by": verdict.by,
                "champion": verdict.champion,
                "holds": verdict.holds,
            }
            for verdict in outcome.verdicts
        ],
    }


def _show(outcome: Outcome) -> None:
    """Print a row a gate."""
    from rich.console import Console
    from rich.table import Table

    from training.gates import number

    against = outcome.champion or "no champion"
    table = Table("", "gate", outcome.version, "bound", "from", against, "holds")
    table.title = f"{outcome.version} on {outcome.rows:,} statements"
    for column in table.columns:
        column.no_wrap = True
    for at in (2, 3, 5):
        table.columns[at].justify = "right"
    tier = None
    for verdict in outcome.verdicts:
        gate = verdict.gate
        if tier not in (None, gate.table):
            table.add_section()
        bound = number(verdict.bound)
        if verdict.bound is not None:
            bound = f"{'≥' if gate.higher_is_better else '≤'} {bound}"
        table.add_row(
            "" if gate.table == tier else gate.table,
            gate.metric,
            number(verdict.value),
            bound,
            verdict.by,
            number(verdict.champion),
            "yes" if verdict.holds else "NO",
        )
        tier = gate.table
    # Whole names in a pipe too, where the width is not known.
    Console(width=None if sys.stdout.isatty() else 100).print(table)
