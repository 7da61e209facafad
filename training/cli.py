"""The command ``tension-train``: results to standard output, progress and errors to standard error.

What takes long to import (scikit-learn, MLflow) waits in the commands for its turn, so that
``--help`` answers at once.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NoReturn

import typer
from typer.core import TyperGroup

from scoring.errors import InputError, TensionError, UsageError
from training.commands import Data, compare, drift, params_of, promote, review, say, tune

if TYPE_CHECKING:
    import pandas as pd

    from training.evaluate import Metrics
    from training.hydrate import Source

LeaveOut = Annotated[
    list[Path] | None,
    typer.Option(help="JSONL with ids of statements labelled before; repeatable."),
]

ORDER: Final = {
    "Label": ("review", "hydrate"),
    "Train": ("run", "tune", "encoder", "soft-labels"),
    "Measure": ("compare", "evaluate", "sample", "base-rates", "card"),
    "Ship": ("register", "promote", "champion", "rollback"),
    "Watch": ("drift",),
}
"""The commands as `--help` shows them: in the order of the work."""


class InOrder(TyperGroup):
    """Lists the commands by `ORDER`."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in order, each command in its panel; what `ORDER` does not name comes last."""
        panels = {name: panel for panel, names in ORDER.items() for name in names}
        known = [name for name in panels if name in self.commands]
        for name in known:
            self.commands[name].rich_help_panel = panels[name]  # type: ignore[attr-defined]
        return known + [name for name in super().list_commands(ctx) if name not in panels]


app = typer.Typer(
    name="tension-train",
    cls=InOrder,
    help="Train, evaluate and describe models of escalation.",
    epilog="Exit code: 0 done, 1 failed, 2 wrong usage.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


_MAIN: Final = (
    "macro_f1",
    "kappa",
    "ece",
    "any.f1",
    "none.f1",
    "protest.f1",
    "warning.f1",
    "threat.f1",
    "triples.f1",
    "review.errors_caught",
)
"""Figures that `run` prints; the card has all."""


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
        say(str(error))
        return 2
    except typer.TyperException as error:
        say(f"{error.format_message().rstrip('.')}. See 'tension-train --help'.")
        return error.exit_code
    except TensionError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted; nothing was saved.")
        return 130


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
    soft: Annotated[
        Path | None, typer.Option(help="A teacher's labels, from 'tension-train soft-labels'.")
    ] = None,
    encoder: Annotated[
        list[Path] | None,
        typer.Option(
            help="Encoder of the accurate tier, from 'tension-train encoder'; if given twice, first a small one."
        ),
    ] = None,
    calibrate: Annotated[
        list[Path] | None,
        typer.Option(
            help="Labelled statements that no classifier learns from: probabilities are calibrated on these. "
            "Default: on the training statements, by cross-validation."
        ),
    ] = None,
    study: Annotated[
        bool, typer.Option("--study", help="Also train without each pool and part of the data.")
    ] = False,
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
        params=params_of(param or []),
        out=out if save else None,
        name=version,
        soft=soft,
        encoders=encoder or [],
        calibrate=calibrate or [],
        study=study,
        say=say,
    )
    _show_parts(outcome.metrics)
    say(f"MLflow run {outcome.model.manifest['mlflow_run']}")
    if outcome.served is not None:
        say(f"MLflow model {outcome.served}")
    if outcome.folder is not None:
        say(
            f"every figure is in {outcome.folder / 'card.md'}. Is it better than the champion? "
            f"tension-train promote {outcome.folder} --data FILE --dry-run"
        )
        typer.echo(outcome.folder)


@app.command()
def encoder(
    data: Data,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write.")],
    soft: Annotated[
        Path | None, typer.Option(help="A teacher's labels, from 'tension-train soft-labels'.")
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(help="Folder of another base of transformers; default: all-MiniLM-L6-v2."),
    ] = None,
    vocabulary: Annotated[
        int | None, typer.Option(min=2_000, help="Tokens that the encoder keeps; default: all.")
    ] = None,
    held_out: Annotated[
        list[Path] | None,
        typer.Option("--dev", help="Statements that nothing near them is learned from."),
    ] = None,
    aside_of: Annotated[
        Path | None,
        typer.Option(help="Folder of an encoder: what it was kept from, this one is kept from."),
    ] = None,
    onward: Annotated[
        Path | None,
        typer.Option(help="Folder of an encoder: train it further, on what it has not seen."),
    ] = None,
    replay: Annotated[
        int | None,
        typer.Option(min=0, help="With --onward: of what it knows, so many again; default: all."),
    ] = None,
    keep: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="With --onward: share of what it has not seen to keep from it again; default: 0.5.",
        ),
    ] = None,
    mean: Annotated[
        bool,
        typer.Option("--mean", help="With --onward: the mean of the weights before and after."),
    ] = False,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the data.")] = 3,
    rate: Annotated[float, typer.Option(help="Learning rate.")] = 8e-5,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
) -> None:
    """Fine-tune an encoder: to ship in the accurate tier, to label other text, or both (extra 'teach')."""
    from training.dataset import apart, read
    from training.encoder import EncoderParams, teach
    from training.onward import KEPT, go_on
    from training.train import soft_rows

    if onward is None and (replay is not None or keep is not None or mean):
        raise UsageError("--replay, --keep, --mean: expected --onward, found none. Add it.")
    if onward is not None and (vocabulary is not None or aside_of is not None):
        raise UsageError(
            "--onward: expected neither --vocabulary nor --aside-of, found one: it has the vocabulary of its encoder, "
            "and --keep says what it is kept from. Leave them out."
        )
    statements, held = read(data), read(held_out) if held_out else None
    if held is not None:
        statements, _ = apart(statements, held)
    params = EncoderParams(epochs=epochs, rate=rate, seed=seed)
    rows = None if soft is None else soft_rows(soft, held, statements["id"])
    if onward is not None:
        further = partial(
            go_on,
            base=base,
            replay=replay,
            keep=KEPT if keep is None else keep,
            soft_rows=rows,
            mean=mean,
            say=say,
        )
        typer.echo(further(statements, onward, out, params))
        return
    made = teach(
        statements,
        out,
        params,
        soft_rows=rows,
        base=base,
        vocabulary=vocabulary,
        aside_of=aside_of,
        say=say,
    )
    typer.echo(made)


@app.command("soft-labels")
def soft_labels_(
    teacher: Annotated[
        Path,
        typer.Argument(help="Folder of a model with an encoder, or of 'tension-train encoder'."),
    ],
    tables: Annotated[
        list[Path], typer.Argument(help="Parquet tables of 'tension score --all': the sentences.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Parquet file to write.")],
    base: Annotated[
        Path | None, typer.Option(help="Folder of the base that the teacher was made of.")
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="Sentences to label.")] = 40_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the choice.")] = 0,
    leave_out: LeaveOut = None,
) -> None:
    """Let a teacher label sentences of real news, those first in which the fast tier doubts."""
    from scoring.artifact import MANIFEST_FILE
    from training.base_rates import ids
    from training.encoder import choose, open_teacher, read_labels, soft_labels

    labelled = {id_ for path in leave_out or [] for id_ in ids(path)}
    texts = choose(tables, most, seed, labelled)
    say(f"labelling {len(texts):,} sentences")
    if (teacher / MANIFEST_FILE).is_file():
        taught = read_labels(teacher, texts, say)
    else:
        taught = soft_labels(*open_teacher(teacher, base), texts, say)
    taught.to_parquet(out, index=False)
    typer.echo(out)


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="Folder of a model.")],
    data: Data,
    tier: Annotated[Literal["fast", "accurate"], typer.Option(help="Tier to evaluate.")] = "fast",
    seed: Annotated[int, typer.Option(help="Seed of the intervals.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Every metric, as JSON.")] = False,
) -> None:
    """Evaluate a saved model on labelled statements."""
    from scoring.artifact import load
    from training.dataset import read
    from training.evaluate import evaluate as evaluate_
    from training.train import predict

    loaded, statements = load(model), read(data)
    metrics = evaluate_(statements, predict(loaded, statements, tier), seed)
    if as_json:
        typer.echo(json.dumps(metrics, indent=1))
    else:
        _show(f"{model}, {tier} tier", metrics)


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


@app.command()
def hydrate(
    inputs: Annotated[
        list[str],
        typer.Option("--from", help="File or folder that may hold the texts; repeatable."),
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Statements with their text, to train on.")
    ] = Path("hydrated.jsonl"),
    held_out: Annotated[
        Path | None,
        typer.Option("--held-out", help="Also write the held-out statements, to measure on."),
    ] = None,
    fresh: Annotated[
        Path | None,
        typer.Option(
            "--fresh", help="Also write those kept apart for base rates, to calibrate on."
        ),
    ] = None,
    corpus: Annotated[
        Path | None, typer.Option(help="Folder of the labels; default: training/corpus.")
    ] = None,
) -> None:
    """Join the labels of real statements with their texts, found in files that you have.

    The texts are not part of the project: corpus/sources.toml says where they can be had.
    """
    import pandas as pd

    from training import hydrate as hydration
    from training.dataset import labels

    corpus = corpus or hydration.CORPUS
    parts = {"": out, hydration.HELD_OUT: held_out, hydration.BASE_RATES: fresh}
    paths = {part: path for part, path in parts.items() if path is not None}
    hydration.check_outputs(inputs, list(paths.values()), corpus)
    wanted = {path: labels([corpus / part]) for part, path in paths.items()}
    sources = hydration.sources(corpus)
    problems = _Problems()
    with _bytes_read(inputs) as on_bytes:
        every = pd.concat(wanted.values(), ignore_index=True)
        found = hydration.hydrate(every, inputs, problems, on_bytes)
    problems.tell_rest()
    outputs = {path: found[found["id"].isin(part["id"])] for path, part in wanted.items()}
    for path, part in wanted.items():
        _show_coverage(str(path), hydration.coverage(part, outputs[path]), sources)
    hydration.write(outputs)
    for path in outputs:
        typer.echo(path)
    if problems:
        raise typer.Exit(1)


class _Problems:
    """Tells the problems of reading on standard error: the first of each input, then a count."""

    def __init__(self) -> None:
        self._met: Counter[str] = Counter()

    def __call__(self, error: InputError) -> None:
        self._met[error.where] += 1
        if self._met[error.where] == 1:
            say(str(error))

    def __bool__(self) -> bool:
        return bool(self._met)

    def tell_rest(self) -> None:
        for where, number in self._met.items():
            if number > 1:
                say(f"{where}: {number - 1:,} more problems.")


@contextmanager
def _bytes_read(inputs: Sequence[str]) -> Iterator[Callable[[int], None]]:
    """Give what is to be told the bytes read: a progress bar where people look, else nothing."""
    from scoring.inputs import total_bytes
    from scoring.report import ProgressBar

    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda size: None
    else:
        with ProgressBar(total_bytes(inputs), False) as bar:
            yield bar.read


def _show_coverage(title: str, counts: pd.DataFrame, sources: Mapping[str, Source]) -> None:
    """Print by pool how many texts were found, and where the rest can be had; data are elsewhere."""
    from rich.console import Console
    from rich.table import Table

    table = Table("pool", "labelled", "found", "where to get the rest", title=title)
    table.columns[1].justify = table.columns[2].justify = "right"
    table.columns[3].overflow = "fold"
    for pool, labelled, found in counts.itertuples():
        source = sources.get(pool)
        where = source.where if source else "not said in sources.toml"
        table.add_row(pool, f"{labelled:,}", f"{found:,}", where if found < labelled else "")
    table.add_section()
    table.add_row("all", *(f"{counts[name].sum():,}" for name in ("labelled", "found")))
    Console(stderr=True, markup=False, highlight=False).print(table)


@app.command()
def sample(
    tables: Annotated[
        list[Path], typer.Argument(help="Parquet tables of 'tension score --all', by one model.")
    ],
    out: Annotated[Path, typer.Option("--output", "-o", help="Sheet to code: CSV.")],
    key: Annotated[Path, typer.Option(help="What the sheet must not tell: JSONL.")],
    per: Annotated[
        str, typer.Option(metavar="LEVEL=N,...", help="How many of each called level.")
    ] = "threat=150,warning=150,protest=150,none=300",
    seed: Annotated[int, typer.Option(help="Seed of the draw.", min=0)] = 0,
    leave_out: LeaveOut = None,
) -> None:
    """Draw statements of whole feeds by what they were called, to be coded unseen."""
    from training import base_rates

    sizes = _sizes(per)
    drawn_from = base_rates.read_tables(tables, leave_out or [])
    sheet, rows = base_rates.draw(drawn_from, sizes, seed)
    base_rates.write(sheet, rows, out, key)
    for level, number in drawn_from.counts().items():
        called = sum(row["called"] == level for row in rows)
        say(f"{level}: {called:,} drawn of {number:,} statements called so")
    say(
        f"left out: {drawn_from.labelled:,} labelled before, {drawn_from.unscored:,} not scored. "
        f"Code {out} before you look into {key}."
    )


def _sizes(per: str) -> dict[str, int]:
    sizes = {}
    for part in per.split(","):
        level, _, number = part.partition("=")
        if not number.strip().isdecimal():
            raise UsageError(f"expected --per LEVEL=N,..., found {part!r}.")
        sizes[level.strip()] = int(number)
    return sizes


@app.command("base-rates")
def base_rates_(
    key: Annotated[Path, typer.Argument(help="Key of a sheet, from 'tension-train sample'.")],
    coded: Annotated[Path, typer.Argument(help="Its codes: JSONL with id, level, unsure.")],
    seed: Annotated[int, typer.Option(help="Seed of the intervals.", min=0)] = 0,
    into: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Also put the figures into this model's card."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Every figure, as JSON.")] = False,
) -> None:
    """Estimate from a coded sheet how good the levels are in whole feeds."""
    from training import base_rates

    coded_sample = base_rates.read_coded(key, coded)
    figures = base_rates.measure(coded_sample, seed)
    if as_json:
        typer.echo(json.dumps(figures, indent=1))
    else:
        _show(f"{coded_sample.tier} tier, {figures['model']}", figures)
    if into is not None:
        say(f"written: {base_rates.add(into, coded_sample.tier, figures)}")


def _show_parts(metrics: Mapping[str, Metrics]) -> None:
    """Print the main figures of a run, cross-validated and held out side by side, with intervals of 95%."""
    from rich.console import Console
    from rich.table import Table

    parts = [name for name in ("cv", "dev", "dev.accurate") if name in metrics]
    table = Table("", *(f"{name}: {metrics[name]['rows']:,.0f} statements" for name in parts))
    for column in table.columns[1:]:
        column.justify = "right"
    for name in _MAIN:
        cells = (
            f"{metrics[part][name]:.3f} ({metrics[part][f'{name}.low']:.3f} to {metrics[part][f'{name}.high']:.3f})"
            if name in metrics[part]
            else "–"
            for part in parts
        )
        table.add_row(name, *cells)
    Console().print(table)


def _show(title: str, metrics: Metrics) -> None:
    """Print the figures of all rows as a table; parts and counts are left to the card."""
    from rich.console import Console
    from rich.table import Table

    table = Table("", "value", "low", "high", title=f"{title}: {metrics['rows']:,.0f} statements")
    for column in table.columns[1:]:
        column.justify = "right"
    shown = [
        name
        for name in metrics
        if f"{name}.low" in metrics and not name.startswith(("pool.", "stratum.", "publisher."))
    ]
    for name in shown:
        table.add_row(
            name, *(f"{metrics[key]:.3f}" for key in (name, f"{name}.low", f"{name}.high"))
        )
    Console().print(table)


for group in (review, tune, compare, promote, drift):
    group.add(app)


if __name__ == "__main__":
    main()
