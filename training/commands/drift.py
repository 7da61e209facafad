"""``tension-train drift``: what has moved between two scored feeds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from training.commands import say

if TYPE_CHECKING:
    from training.drift import Report, Result

MOVED = 3
"""Exit code if something moved."""

_COLUMNS = ("reference", "new", "change", "chance ±", "effect", "p")


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command(epilog="Exit code: 0 nothing moved, 3 something did, 1 failed, 2 wrong usage.")(
        drift
    )


def drift(
    reference: Annotated[
        str,
        typer.Argument(
            help="Table of 'tension score --all': Parquet, JSONL or CSV; folder, or glob in quotes."
        ),
    ],
    new: Annotated[str, typer.Argument(help="Another, scored by the same model and tier.")],
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data", help="Labels of statements in them, to compare calibration; repeatable."
        ),
    ] = None,
    alpha: Annotated[
        float, typer.Option(help="Chance of a false alarm, of all figures together.", min=0, max=1)
    ] = 0.05,
    least: Annotated[
        float,
        typer.Option(help="Effect that counts (Cohen's h or d, share of a mix); 0: any.", min=0),
    ] = 0.05,
    seed: Annotated[int, typer.Option(help="Seed of everything random.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Every figure, as JSON.")] = False,
    log: Annotated[bool, typer.Option("--log", help="Log the figures to MLflow.")] = False,
) -> None:
    """Tell what moved from a scored feed to another: levels, scores, words, actors, calibration."""
    from rich.console import Console

    from training.drift import coded, compare, read

    levels = coded(data) if data else None
    with Console(stderr=True, markup=False).status("reading") as status:  # on terminals only
        feeds = read(reference), read(new)
        status.update("comparing")
        report = compare(*feeds, levels, alpha=alpha, least_effect=least, seed=seed)
    if as_json:
        typer.echo(json.dumps(report.asdict(), indent=1, ensure_ascii=False))
    else:
        _show(report)
    _tell(report, with_labels=levels is not None)
    if log:
        from training.tracking.drift import log_drift

        say(f"MLflow run {log_drift(report)}")
    if report.moved:
        raise typer.Exit(MOVED)


def _tell(report: Report, with_labels: bool) -> None:
    """Say what came of it, and what stands in the way of trusting it."""
    if report.shared:
        say(
            f"{report.shared:,} articles are on both sides: what moved looks smaller than it is. "
            "Compare feeds that share none."
        )
    if with_labels and not report.reference["labelled"] + report.new["labelled"]:
        say("no label is of a statement of these tables, so calibration is not compared.")
    slight = sum(figure.verdict == "slight" for figure in report.figures)
    more = f", {slight} more by less than counts" if slight else ""
    few = [figure.title for figure in report.figures if figure.verdict == "too few"]
    untested = f" Too few articles to tell: {', '.join(few)}." if few else ""
    number = len(report.moved)
    say(f"{number or 'no'} figure{'' if number == 1 else 's'} moved{more}.{untested}")


def _show(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", *_COLUMNS, "", box=None, pad_edge=False, header_style="bold")
    for column in table.columns:
        column.no_wrap = True
        column.justify = "right" if column.header in _COLUMNS else "left"
    for figure in report.figures:
        table.add_row(*_cells(figure))
    console = Console(markup=False, highlight=False)
    for title, side in (("reference", report.reference), ("new", report.new)):
        counts = f"{side['articles']:,} articles, {side['statements']:,} statements"
        labelled = f", {side['labelled']:,} of them labelled" if side["labelled"] else ""
        console.print(f"{title}: {side['name']} ({counts}{labelled})", soft_wrap=True)
    console.print(table)
    for figure in report.figures:
        if figure.parts and figure.verdict in ("moved", "slight"):
            parts = (f"{name} {old:.0%} -> {new:.0%}" for name, old, new in figure.parts)
            console.print(f"{figure.title}: {', '.join(parts)}", soft_wrap=True)
    unknown = next(figure for figure in report.figures if figure.name == "unknown")
    if report.words and unknown.verdict in ("moved", "slight"):
        words = ", ".join(f"{word} ({number:,} articles)" for word, number in report.words)
        console.print(f"unknown words, as stems, the most frequent: {words}", soft_wrap=True)


def _cells(figure: Result) -> list[str]:
    def write(value: float | None, sign: str = "") -> str:
        if value is None:
            return "–"
        form = f"{sign}.2%" if figure.kind != "mean" else f"{sign}.3f"
        return format(value, form)

    return [
        figure.title,
        write(figure.reference),
        write(figure.new),
        write(figure.change, "" if figure.kind == "mix" else "+"),
        write(figure.chance),
        "–"
        if figure.effect is None
        else format(figure.effect, ".2f" if figure.kind == "mix" else "+.2f"),
        "–" if figure.p_holm is None else f"{figure.p_holm:.3f}",
        "" if figure.verdict == "same" else figure.verdict,
    ]
