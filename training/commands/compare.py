"""``tension-train compare``: which of two models is better, and where they differ."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from training.commands import Data, say

if TYPE_CHECKING:
    from rich.console import Console

    from training.compare import Comparison, Difference, Side

Tier = Literal["fast", "accurate"]
_LESS = ("ece", "log_loss", "brier")
_NAME = 24  # columns of a name in the tables
_FOOT = (
    "Gain: how much better B is, with its interval of 95% over resamples of the statements. *: more than noise by "
    "itself; of many lines one in twenty is so by chance. Right: share with the right level."
)


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command("compare")(compare_)


def compare_(
    a: Annotated[
        str,
        typer.Argument(metavar="A", help="Folder of a model, MLflow run, or models:/NAME@ALIAS."),
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="Another, or the same for its other tier.")],
    data: Data,
    tier: Annotated[Tier, typer.Option(help="Tier of A, and of B.")] = "fast",
    tier_b: Annotated[Tier | None, typer.Option(help="Tier of B, if another.")] = None,
    most: Annotated[int, typer.Option(min=0, help="Statements to list.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of the intervals.", min=0)] = 0,
    log: Annotated[bool, typer.Option("--log", help="Log the comparison to MLflow.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Everything, all statements included, as JSON.")
    ] = False,
) -> None:
    """Tell which of two models is better on the same statements, where, and on which they differ."""
    from training import compare
    from training.dataset import read

    statements = read(data)
    with tempfile.TemporaryDirectory() as scratch:
        one = compare.load(a, tier, "A", Path(scratch))
        other = compare.load(b, tier_b or tier, "B", Path(scratch))
        if one.is_same(other):
            told = f"A and B are the same: {one.version}, {tier} tier. There is nothing to compare."
            typer.echo(json.dumps({"same": True}) if as_json else told)
            return
        found = compare.compare(one, other, statements, seed=seed, say=say)
    if as_json:
        content = json.dumps(compare.as_dict(found), indent=1, allow_nan=False, ensure_ascii=False)
        typer.echo(content)
    else:
        _show(found, most)
    if log:
        say(f"MLflow run {compare.log(found, statements, seed)}")


def verdict(found: Comparison) -> str:
    """Say in a line or two which is better."""
    from training.compare import HEADLINE
    from training.evaluate import LEAST

    one = found.all[HEADLINE]
    if found.rows < LEAST:
        return f"{found.rows} rows are too few to tell the two apart: give at least {LEAST}."
    if not found.statements:
        return "No difference: both say the same of every statement."
    better, sure = ("B", one.better) if one.gain > 0 else ("A", 1 - one.better)
    told = f"{HEADLINE} {one.a:.3f} and {one.b:.3f}, difference {one.gain:+.3f} ({one.low:+.3f} to {one.high:+.3f})"
    if found.winner:
        return f"{better} is better, by more than noise: {told}."
    return f"Not told apart: {told}; {better} is ahead in {sure:.0%} of the resamples."


def _show(found: Comparison, most: int) -> None:
    from rich.console import Console

    from training.compare import PART

    console = Console(markup=False, highlight=False, emoji=False)
    for name, side in (("A", found.a), ("B", found.b)):
        console.print(f"{name}  {_label(side)}", soft_wrap=True)
    console.print(f"{found.rows:,} statements, {len(found.statements):,} on which they differ")
    console.print()
    console.print(verdict(found))
    console.print()
    everything = ((name, found.rows, one) for name, one in found.all.items())
    _table(console, "all rows", everything, counted=False)
    for by, parts in found.parts.items():
        shown = [(name, n, figures[PART]) for name, (n, figures) in parts.items()]
        _table(console, f"right, by {'gold level' if by == 'level' else by}", shown)
    console.print(_FOOT)
    _list(console, found, most)


def _label(side: Side) -> str:
    return f"{side.given}, {side.tier} tier ({side.version})"


def _table(
    console: Console,
    title: str,
    lines: Iterable[tuple[str, int, Difference]],
    counted: bool = True,
) -> None:
    """Print differences; the columns are of fixed width and fit into 80 columns."""
    from rich.table import Table

    from training.evaluate import LEAST

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    widths = {title: _NAME, "rows": 5, "A": 5, "B": 5, "gain": 6, "interval": 14, "B ahead": 7}
    for name, width in widths.items():
        if name != "rows" or counted:
            first = name == title
            table.add_column(
                name,
                justify="left" if first else "right",
                min_width=width,
                max_width=width if first else None,
                overflow="fold",
                no_wrap=not first,
            )
    for name, n, one in lines:
        label = f"{name} (lower better)" if name in _LESS else name
        cells = [f"{one.a:.3f}", f"{one.b:.3f}", f"{one.gain:+.3f}"]
        mark = "*" if one.winner and n >= LEAST else " "
        count = [f"{n:,}"] if counted else []
        interval = f"{one.low:+.3f} {one.high:+.3f}{mark}"
        table.add_row(label, *count, *cells, interval, f"{one.better:.0%}")
    console.print(table)
    console.print()


def _list(console: Console, found: Comparison, most: int) -> None:
    """Print the statements that tell most: a block each, which stands at any width."""
    shown = found.statements[:most]
    if not shown:
        return
    console.print()
    console.print(
        f"The {len(shown)} most telling of {len(found.statements):,} statements on which they differ"
    )
    for one in shown:
        console.print()
        right = f", {one['right'].upper()} is right" if one["right"] else ""
        console.print(f"gold {one['gold']}{right}  [{one['pool']}, {one['stratum']}, {one['id']}]")
        said = [f"{name.upper()} {_answer(one[name], one['differs'])}" for name in ("a", "b")]
        console.print("   ".join(said))
        console.print(one["text"])
    if left := len(found.statements) - len(shown):
        console.print()
        console.print(f"{left:,} more: --most {len(found.statements)}, or --json.")


def _answer(said: Mapping[str, object], differs: str) -> str:
    answer = f"{said['level']} {said['probability']:.2f}"
    if differs == "dyads":
        dyads = said["dyads"]
        assert isinstance(dyads, list)  # noqa: S101 - for the type checker
        answer += " " + (", ".join(f"{source}>{target}" for source, target, _ in dyads) or "nobody")
    return answer
