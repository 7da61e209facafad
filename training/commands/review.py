"""``tension-train review``: pick statements worth labelling, code them, compare the coders, merge, measure."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from training.commands import Data, say

if TYPE_CHECKING:
    from training.review.codes import Codes, Row

review = typer.Typer(
    help="Pick the statements most worth labelling, code them, compare coders, merge.",
    no_args_is_help=True,
)

MISSES: Final = Path(__file__).parents[2] / "tests" / "model" / "cases" / "past_misses.jsonl"
"""What models got wrong, in our own words; there in a checkout."""

_SHOWN: Final = 20  # statements or errors that are listed before the rest is counted

Queue = Annotated[Path, typer.Argument(help="Queue, from 'pick'.")]
Coder = Annotated[str, typer.Option("--coder", help="Name of the coder.")]
Near = Annotated[
    list[Path] | None,
    typer.Option(
        "--near",
        help="JSONL with text and level of past misses; repeatable; default: those of the tests.",
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of all that is drawn.")]


def add(app: typer.Typer) -> None:
    """Add the group ``review`` to the commands."""
    app.add_typer(review, name="review")


@review.command()
def pick(
    tables: Annotated[
        list[Path],
        typer.Argument(
            help="Tables of 'tension score --all', Parquet, JSONL or CSV: of one model, or of both tiers."
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Queue to write: JSONL.")],
    per: Annotated[int, typer.Option(min=1, help="Statements of each reason, at most.")] = 50,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            help="Labelled statements with text, as for 'run'; repeatable; default: training/corpus.",
        ),
    ] = None,
    leave_out: Annotated[
        list[Path] | None,
        typer.Option(help="JSONL with ids or texts of statements not to pick; repeatable."),
    ] = None,
    near: Near = None,
    pool: Annotated[
        str | None, typer.Option(help="Pool of what is picked; default: the publisher.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Pick from scored tables the statements most worth labelling, and say why.

    What the corpus has labels of, to train on, held out or for base rates, is not picked, nor what is kept apart for
    base rates (docs/corpus.md), nor what comes near any of it.
    """
    from training.dataset import read
    from training.hydrate import CORPUS
    from training.review import pick as picking
    from training.review import tables as scored_tables
    from training.review.codes import objects, write_rows

    scored = scored_tables.read(tables, leave_out or [])
    labelled = read(data or [CORPUS])["text"].tolist()
    passed = [row["text"] for path in leave_out or [] for _, row in objects(path) if "text" in row]
    say(
        f"{len(scored.free):,} statements to pick from; {scored.labelled:,} labelled, {scored.apart:,} kept apart "
        f"for base rates and {scored.left_out:,} named by --leave-out are left out, and what comes near them"
    )
    if not data:
        say(
            "no --data: the words of real labelled statements count as new; give hydrated.jsonl too"
        )
    past = picking.known(labelled, [*scored.known, *passed])
    queue = picking.queue(scored.free, past, per, seed, _misses(near), pool)
    _tell_picked(queue, per, "other_level" in scored.free)
    write_rows(out, queue)
    typer.echo(out)


def _misses(near: Sequence[Path] | None) -> list[Row]:
    from scoring.levels import LEVELS
    from training.dataset import DataError
    from training.review.codes import objects

    if near is None:
        near = [MISSES] if MISSES.is_file() else []
    found = []
    for path in near:
        for number, row in objects(path):
            if not isinstance(row.get("text"), str) or row.get("level") not in LEVELS:
                problem = "expected text and level of a past miss, found no such line."
                raise DataError(str(path), problem, "Mend the line.", number)
            found.append(row)
    return found


def _tell_picked(queue: Sequence[Row], per: int, both: bool) -> None:
    from training.review.pick import REASONS

    counts = dict.fromkeys(REASONS, 0)
    for row in queue:
        counts[row["stratum"].removeprefix("review-")] += 1
    shown = ", ".join(f"{name} {number}" for name, number in counts.items())
    say(f"{len(queue):,} picked ({shown}; at most {per} each)")
    if not queue:
        say(
            "none of them is in doubt, of a rare level or like a past miss: give tables of more news"
        )
    if not both:
        say("one model only: to see where the tiers differ, give a table of the other one too")


@review.command()
def code(
    queue: Queue,
    coder: Coder,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Codes, JSONL: gone on with if they are there.")
    ],
) -> None:
    """Code a queue at the terminal: one statement at a time, each answer on disk at once.

    Level, dyads, unsure; skip, undo, quit. It goes on where it was left.
    """
    from rich.console import Console

    from training.review import coding
    from training.review.codes import coder_name, read_queue

    console = Console(stderr=True, markup=False, highlight=False)
    entries = read_queue(queue)
    left = coding.code(
        entries, out, coder_name(coder), lambda prompt: console.input(prompt), console, say
    )
    say(f"{len(entries) - left:,} of {len(entries):,} coded; all answers are in {out}")


@review.command()
def export(
    queue: Queue,
    out: Annotated[Path, typer.Option("-o", "--out", help="Sheet to write: .csv or .jsonl.")],
) -> None:
    """Write a queue as a sheet for who labels elsewhere; it tells nothing of what a model says."""
    from training.review import sheets
    from training.review.codes import read_queue

    sheets.export(read_queue(queue), out)
    typer.echo(out)


@review.command("import")
def import_(
    sheet: Annotated[Path, typer.Argument(help="Filled sheet, CSV or JSONL.")],
    queue: Annotated[Path, typer.Option(help="Queue that the sheet was made of.")],
    coder: Coder,
    out: Annotated[Path, typer.Option("-o", "--out", help="Codes to add them to: JSONL.")],
) -> None:
    """Take the codes of a filled sheet: all rows, or none if one is wrong."""
    from training.review import sheets
    from training.review.agreement import same
    from training.review.codes import coder_name, read_queue, resume, write_rows

    name = coder_name(coder)
    rows, errors = sheets.read_sheet(sheet, read_queue(queue), name)
    before = {row["id"]: row for row in resume(out, name, say)} if out.exists() else {}
    for error in errors[:_SHOWN]:
        say(str(error))
    other = [
        row["id"] for row in rows if row["id"] in before and not same([row, before[row["id"]]])
    ]
    if other:
        say(
            f"{out}: expected no other codes of the same statements, found some of {len(other):,}, "
            f"{other[0]} first. Name another -o."
        )
    if errors or other:
        say(
            f"{len(errors):,} rows are wrong; nothing was taken."
            if errors
            else "nothing was taken."
        )
        raise typer.Exit(1)
    if not rows:
        say(f"{sheet}: no row has a level yet: fill the column level.")
    new = [row for row in rows if row["id"] not in before]
    write_rows(out, [*before.values(), *new])
    say(f"{len(new):,} codes taken, {len(rows) - len(new):,} were there")
    typer.echo(out)


@review.command()
def agreement(
    codes: Annotated[list[Path], typer.Argument(help="Codes, one file a coder; two or more.")],
    differ: Annotated[
        Path | None,
        typer.Option(help="Also write the statements on which they differ, as a queue."),
    ] = None,
    seed: Seed = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Every figure, as JSON.")] = False,
) -> None:
    """Compare coders: Cohen's kappa, Krippendorff's alpha, pairs, and where they differ."""
    from training.review import agreement as agreeing
    from training.review.codes import write_rows

    coders = _read(codes)
    figures = agreeing.agreement(coders, seed)
    where = agreeing.differing(coders)
    if as_json:
        told = [
            {"id": id_, **{name: _said(row) for name, row in said.items()}} for id_, said in where
        ]
        typer.echo(json.dumps(figures | {"differ": told}, indent=1, ensure_ascii=False))
    else:
        _show_agreement(figures, where)
    few = figures["statements"]
    if few < agreeing.FEW:
        say(f"{few} statements are few: kappa and alpha are a hint at most.")
    if differ is not None:
        names = ("id", "text", "pool", "stratum")
        write_rows(differ, [_named(next(iter(said.values())), names, differ) for _, said in where])
        say(f"written: {differ}")


def _named(row: Mapping[str, Any], names: Sequence[str], to: Path) -> Row:
    from scoring.errors import UsageError

    if "text" not in row:
        raise UsageError(
            f"{to}: expected codes with their text to make a queue of, found none. Hydrate them."
        )
    return {name: row[name] for name in names}


def _said(row: Mapping[str, Any]) -> str:
    from training.review.codes import typed_dyads

    return f"{row['level']} {typed_dyads(row['dyads'])}".strip()


def _read(paths: Sequence[Path]) -> list[Codes]:
    from training.review.codes import read_codes

    return [read_codes(path, say) for path in paths]


def _show_agreement(
    figures: Mapping[str, Any], where: Sequence[tuple[str, Mapping[str, Row]]]
) -> None:
    from rich.console import Console
    from rich.table import Table

    from scoring.levels import LEVELS
    from scoring.report import visible

    console = Console(markup=False, highlight=False)
    console.print(
        f"{figures['statements']:,} statements coded by two or more; "
        f"Krippendorff's alpha (ordinal) {_figure(figures['alpha'])}"
    )
    for pair in figures["pairs"]:
        first, second = map(visible, pair["coders"])
        interval = f"{_figure(pair.get('kappa.low'))} to {_figure(pair.get('kappa.high'))}"
        console.print(
            f"\n{first} and {second}: {pair['rows']:,} statements, level the same in {pair['agree']:.0%}\n"
            f"kappa, quadratic {_figure(pair['kappa'])} ({interval}), nominal {_figure(pair['kappa_nominal'])}\n"
            f"F1 of pairs {_figure(pair['pairs_f1'])}, with the level {_figure(pair['triples_f1'])}"
        )
        if any(pair["only"]):
            alone = ", ".join(
                f"{n:,} by {name}" for n, name in zip(pair["only"], (first, second), strict=True)
            )
            console.print(f"coded by one alone, not compared: {alone}")
        table = Table(f"{first} \\ {second}".replace("\\", "/"), *LEVELS)
        for name, counts in zip(LEVELS, pair["confusion"], strict=True):
            table.add_row(name, *map(str, counts))
        console.print(table)
    if where:
        console.print(f"\n{len(where):,} statements on which they differ:")
    for id_, said in where[:_SHOWN]:
        console.print(id_, visible(next(iter(said.values())).get("text")))
        for name, row in said.items():
            console.print(f"    {visible(name)}: {_said(row)}{', unsure' if row['unsure'] else ''}")
    if len(where) > _SHOWN:
        console.print(f"... and {len(where) - _SHOWN:,} more: --json or --differ FILE has all")


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


@review.command()
def merge(
    codes: Annotated[list[Path], typer.Argument(help="Codes, one file a coder.")],
    into: Annotated[Path, typer.Option(help="JSONL file to append to.")],
    adjudicated: Annotated[
        Path | None, typer.Option(help="Codes that decide where the coders differ.")
    ] = None,
    ids_only: Annotated[
        bool, typer.Option("--ids-only", help="Append labels by id, without text.")
    ] = False,
    at_least: Annotated[int, typer.Option(min=1, help="Coders that a statement needs.")] = 1,
    pool: Annotated[
        str | None, typer.Option(help="Pool of what is added; default: the queue's.")
    ] = None,
) -> None:
    """Append what the coders agree on to labelled statements: whole or not at all.

    With their text, to a file that git ignores; with --ids-only without, as in training/corpus/real.jsonl.
    """
    from training.review import merge as merging

    judged = None if adjudicated is None else _read([adjudicated])[0]
    done = merging.merge(
        _read(codes), into, adjudicated=judged, ids_only=ids_only, at_least=at_least, pool=pool
    )
    for reason, left in done.left.items():
        shown = ", ".join(left[:_SHOWN]) + (" ..." if len(left) > _SHOWN else "")
        say(f"not merged, {reason}: {len(left):,} ({shown})")
    say(
        f"{len(done.added):,} added ({done.alone:,} coded by one alone, {done.adjudicated:,} adjudicated), "
        f"{done.there:,} were there"
    )
    typer.echo(into)


@review.command()
def study(
    data: Data,
    near: Near = None,
    start: Annotated[int, typer.Option(min=50, help="Labels at first, at random.")] = 300,
    batch: Annotated[int, typer.Option(min=10, help="Labels added at a time.")] = 150,
    until: Annotated[int, typer.Option(min=100, help="Labels in the end.")] = 1800,
    folds: Annotated[int, typer.Option(min=2, help="Parts, each tested on once.")] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="How often all is drawn anew.")] = 2,
    seed: Seed = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Every figure, as JSON.")] = False,
) -> None:
    """Measure how many labels the queue saves against chance, with labels hidden and uncovered."""
    from training.dataset import read
    from training.review import study as studying

    plan = studying.Plan(start, batch, until, folds, seeds)
    with _progress() as told:
        figures = studying.study(read(data), plan, _misses(near), seed, told)
    if as_json:
        typer.echo(json.dumps(figures, indent=1))
    else:
        _show_study(figures)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Give what is to be told how much is done: a bar where people look, else nothing."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("simulating", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _show_study(figures: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from training.review.study import WAYS

    console = Console(markup=False, highlight=False)
    table = Table("labels", *WAYS, title=f"macro-F1, mean of {figures['runs']} runs")
    for column in table.columns:
        column.justify = "right"
    for at, labels in enumerate(figures["labels"]):
        table.add_row(f"{labels:,}", *(f"{figures[way]['curve'][at]:.3f}" for way in WAYS))
    console.print(table)
    last = figures["labels"][-1]
    for way in WAYS[:-1]:
        part = figures[way]
        found = (
            "is not reached" if part["labels"] is None else f"takes {part['labels']:,.0f} labels"
        )
        console.print(
            f"{way}: macro-F1 {figures['target']:.3f}, chance's with {last:,} labels, {found}: saves "
            f"{part['saving']:.0%} ({part['saving.low']:.0%} to {part['saving.high']:.0%}); with {last:,} labels "
            f"{part['gain']:+.3f} ({part['gain.low']:+.3f} to {part['gain.high']:+.3f})"
        )
