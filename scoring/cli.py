"""The command ``tension``: data to standard output, messages and progress to standard error.

Only typer is imported at the top; what takes long to import (pandas, pyarrow) waits in the
commands for its turn, so that ``tension --help`` answers at once.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, NoReturn

import typer

from scoring.errors import InputError, TensionError, UsageError
from scoring.garbage import collect_seldom

if TYPE_CHECKING:
    import pandas as pd

    from scoring.batch import Progress
    from scoring.ledger import Ledger
    from scoring.scorer import Scorer

Level = Literal["none", "protest", "warning", "threat"]
InputFormat = Literal["auto", "feed", "jsonl", "csv", "parquet", "html", "text", "lines"]
OutputFormat = Literal["table", "jsonl", "csv", "parquet"]
TierName = Literal["fast", "accurate"]
Engine = Literal["local", "spark"]
Tier = Annotated[
    TierName,
    typer.Option(
        help="accurate: an encoder reads what the fast tier leaves in doubt; needs the extra 'encoder'."
    ),
]

SHOWN_PROBLEMS: Final = 10
"""Problems of one input that are told one by one; the rest of them is counted."""

app = typer.Typer(
    name="tension",
    help="Score statements between states for escalation: none < protest < warning < threat, "
    "and who says it to whom.",
    epilog="Exit code: 0 done, 1 an input could not be read (the others are done), 2 wrong usage.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


class _Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: like Ctrl-C, from elsewhere; its argument is the signal's number."""


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    collect_seldom()  # from the start: half of it is imports
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _terminate)
    try:
        code = app(prog_name="tension", standalone_mode=False)
    except typer.TyperException as error:  # the arguments do not parse
        _say(f"{error.format_message()} See 'tension --help'.")
        code = error.exit_code
    sys.exit(code)


def _terminate(number: int, _frame: object) -> NoReturn:
    raise _Terminated(number)


@contextmanager
def _exit_codes() -> Iterator[None]:
    """Turn what ends a command early into one line on standard error and an exit code."""
    try:
        yield
    except UsageError as error:
        _say(str(error))
        raise typer.Exit(2) from None
    except TensionError as error:
        _say(str(error))
        raise typer.Exit(1) from None
    except BrokenPipeError:  # whoever read our output has seen enough (| head)
        _drop_output()
        raise typer.Exit(0) from None
    except KeyboardInterrupt as error:
        _say("interrupted; a file that was being written is as it was before.")
        raise typer.Exit(128 + int(error.args[0] if error.args else signal.SIGINT)) from None


def _say(message: str) -> None:
    """Print one line on standard error; if nobody reads that either, there is nobody to tell."""
    with suppress(OSError, ValueError):
        typer.echo(f"tension: {' '.join(message.split())}", err=True)


def _drop_output() -> None:
    """Point standard output at nothing, or Python complains in the end that it cannot flush it."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_version(wanted: bool) -> None:
    if wanted:
        try:
            number = version("tension-escalation")
        except PackageNotFoundError:
            number = "(not installed)"
        typer.echo(f"tension {number}")
        raise typer.Exit


@app.callback()
def _tension(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


@app.command()
def score(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[INPUT]...",
            help="Files, folders, globs, - for standard input, or http(s) URLs of feeds. "
            "Without any, a sample feed that ships with the package.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="File: .jsonl, .jsonl.gz, .csv, .csv.gz or .parquet. Written whole or not at all. "
            "With --engine spark a folder of such files.",
            show_default="standard output",
        ),
    ] = None,
    kind: Annotated[
        OutputFormat | None,
        typer.Option(
            "--format",
            help="Format of the output.",
            show_default="by the ending of OUT; table on a terminal, jsonl in a pipe",
        ),
    ] = None,
    input_format: Annotated[
        InputFormat, typer.Option(help="Format of the inputs; lines: one statement a line.")
    ] = "auto",
    min_level: Annotated[
        Level,
        typer.Option(
            help="Leave out rows below this level. "
            "Of an article that could not be scored, files hold one row that says why."
        ),
    ] = "protest",
    everything: Annotated[
        bool, typer.Option("--all", help="Keep every row, sentences without escalation included.")
    ] = False,
    tier: Tier = "fast",
    jobs: Annotated[int, typer.Option(min=1, help="Processes to score with.")] = 1,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="Carry this key of the input through; repeatable."),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="Folder of a model.", show_default="the one that ships with the package"),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="For long runs: whatever ends it, the same command goes on from there. "
            "Parquet becomes a folder of parts.",
        ),
    ] = False,
    ledger: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="For repeated runs: skip what earlier runs with this FILE (SQLite) have scored.",
            show_default=False,
        ),
    ] = None,
    engine: Annotated[
        Engine,
        typer.Option(
            help="spark: JSONL and Parquet on the workers of Apache Spark; needs the extra 'spark'."
        ),
    ] = "local",
    master: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Master of Spark: spark://HOST:PORT, local[2] ...",
            show_default="as configured for Spark, else all cores of this machine",
        ),
    ] = None,
) -> None:
    """Score news feeds: one row for each statement and who makes it to whom."""
    with _exit_codes():
        from scoring.batch import (
            Settings,
            choose_format,
            open_output,
            score_inputs,
        )

        output = (
            None if out is None else Path(out)
        )  # a Path would spoil a URI: Spark gets it as said
        terminal = output is None and sys.stdout is not None and sys.stdout.isatty()
        chosen = choose_format(output, kind, terminal)
        # People read of articles that could not be scored in the summary; files hold a row of each.
        settings = Settings(
            model, min_level, everything, tuple(keep or ()), chosen != "table", tier
        )
        _check_apart((inputs or ()) if engine == "local" else (), output)
        _check_together(output, resume, ledger)
        _check_engine(engine, inputs, out, master, jobs, resume, ledger)
        problems = _Problems()
        if engine == "spark" and out is not None:
            from scoring.spark import score_on_spark
            from scoring.spark_session import session

            with session(master) as spark:
                summary = score_on_spark(
                    spark,
                    inputs or (),
                    out,
                    chosen,
                    settings,
                    on_problem=problems,
                    input_format=input_format,
                )
        elif resume and output is not None:
            from scoring.resume import score_resumable

            with (
                _or_sample(inputs) as named,
                _says_resumable(),
                _progress(named, terminal) as progress,
            ):
                summary = score_resumable(
                    named,
                    output,
                    chosen,
                    settings,
                    on_problem=problems,
                    progress=progress,
                    input_format=input_format,
                    jobs=jobs,
                )
        else:
            with (
                _or_sample(inputs) as named,
                _ledger(ledger) as book,  # outermost: entries are kept when the output is whole
                open_output(output, chosen, settings.keep) as writer,
                _progress(named, terminal) as progress,
            ):
                summary = score_inputs(
                    named,
                    writer,
                    settings,
                    on_problem=problems,
                    progress=progress,
                    input_format=input_format,
                    jobs=jobs,
                    ledger=book,
                )
        problems.tell_rest()
        _say(str(summary))
        if summary.problems:
            raise typer.Exit(1)


def _check_apart(inputs: Sequence[str], output: Path | None) -> None:
    """Refuse to write over an input, also one in a folder: a slip would cost an archive."""
    if output is None or not output.exists():
        return
    from scoring.inputs import expand

    target = output.resolve()
    for source in expand(inputs, lambda error: None):
        path = Path(source.name).resolve()
        if path == target or target in path.parents:
            raise UsageError(
                f"{output}: expected an output that is no input, found it named as both. "
                "Name another with -o."
            )


def _check_together(output: Path | None, resume: bool, ledger: Path | None) -> None:
    """Refuse options that do not fit together."""
    if resume and output is None:
        raise UsageError(
            "--resume: expected an output file, found standard output. Add -o OUT.jsonl."
        )
    if resume and ledger is not None:
        raise UsageError(
            "--resume, --ledger: expected one of them, found both. "
            "Resume the long run, then begin the ledger with the hourly ones."
        )
    if ledger is not None and output is not None and ledger.resolve() == output.resolve():
        raise UsageError(
            f"{ledger}: expected a ledger that is not the output, found it named as both. "
            "Name another --ledger."
        )


def _check_engine(
    engine: Engine,
    inputs: Sequence[str] | None,
    out: str | None,
    master: str | None,
    jobs: int,
    resume: bool,
    ledger: Path | None,
) -> None:
    """Refuse what the engine does not do, and say who does it."""
    if engine == "local":
        if master is not None:
            raise UsageError("--master: expected --engine spark, found local. Add it.")
        return
    for option, given, reason in (
        ("--jobs", jobs > 1, "Spark decides how many tasks run at once: --master 'local[4]'"),
        ("--resume", resume, "Spark itself does again what fails; a run that ends leaves nothing"),
        ("--ledger", ledger is not None, "a file on one machine cannot be kept by many workers"),
    ):
        if given:
            raise UsageError(
                f"--engine spark: expected no {option}, found it: {reason}. Leave it out, or use --engine local."
            )
    if not inputs:
        raise UsageError("--engine spark: expected an INPUT, found none. Name files or folders.")
    if out is None:
        raise UsageError(
            "--engine spark: expected a folder for the parts, found no -o. Add -o OUT.parquet."
        )


@contextmanager
def _says_resumable() -> Iterator[None]:
    """Tell whoever stops a run that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        _say("what is done so far is kept: the same command goes on from there.")
        raise


def _ledger(path: Path | None) -> AbstractContextManager[Ledger | None]:
    """Open the ledger, if one is wanted; say so if that means waiting."""
    if path is None:
        return nullcontext()
    from scoring.ledger import open_ledger

    return open_ledger(path, lambda: _say(f"{path}: waiting for another run to end."))


@contextmanager
def _or_sample(inputs: Sequence[str] | None) -> Iterator[list[str]]:
    """Give the inputs, or the sample feed where there are none."""
    if inputs:
        yield list(inputs)
        return
    _say("no INPUT, so this is the sample feed that ships with the package (tension score --help).")
    with as_file(files("scoring") / "data" / "sample_feed.xml") as sample:
        yield [str(sample)]


def _progress(inputs: list[str], over_output: bool) -> AbstractContextManager[Progress]:
    """Show progress to people only; a log file wants no bar."""
    from scoring.batch import Progress
    from scoring.inputs import total_bytes
    from scoring.report import ProgressBar

    if sys.stderr is None or not sys.stderr.isatty():
        return nullcontext(Progress())
    return ProgressBar(total_bytes(inputs), over_output)


class _Problems:
    """Tells the problems of reading on standard error: the first of each input, then a count."""

    def __init__(self) -> None:
        self._met: Counter[str] = Counter()

    def __call__(self, error: InputError) -> None:
        self._met[error.where] += 1
        if self._met[error.where] <= SHOWN_PROBLEMS:
            _say(str(error))

    def tell_rest(self) -> None:
        for where, number in self._met.items():
            if number > SHOWN_PROBLEMS:
                _say(f"{where}: {number - SHOWN_PROBLEMS:,} more problems like these.")


@app.command()
def explain(
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="A statement, or - to read standard input.")
    ],
    kind: Annotated[
        Literal["table", "jsonl"] | None,
        typer.Option(
            "--format",
            help="Format of the output.",
            show_default="table on a terminal, jsonl in a pipe",
        ),
    ] = None,
    tier: Tier = "fast",
    model: Annotated[
        Path | None,
        typer.Option(help="Folder of a model.", show_default="the one that ships with the package"),
    ] = None,
) -> None:
    """Show what a statement is scored as, and the words and phrases that moved its score."""
    with _exit_codes():
        from scoring.batch import choose_format, json_line, plain_rows, standard_output
        from scoring.report import TableWriter
        from scoring.scorer import load

        text = sys.stdin.buffer.read().decode(errors="replace") if text == "-" else text
        if not text.strip():
            raise UsageError("explain: expected a statement, found no text. Give one in quotes.")
        scorer = load(model, tier=tier)
        chosen = choose_format(None, kind, sys.stdout is not None and sys.stdout.isatty())
        with standard_output() as file:
            table = TableWriter(file)
            for records, phrases in _explained(scorer, text):
                if chosen == "table":
                    table.write(records)
                    table.write_phrases(phrases)
                else:
                    told = {
                        "statements": plain_rows(records),
                        "phrases": phrases.to_dict("records"),
                    }
                    file.write(json_line(told))


def _explained(scorer: Scorer, text: str) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Give records and moving phrases of each sentence that escalates, else of the likeliest."""
    records = scorer.score(text)
    escalates = records["level"].notna() & records["level"].ne("none")
    if not escalates.any():
        likeliest = int(records["score"].fillna(-1.0).to_numpy().argmax())
        escalates = records["sentence"].eq(records["sentence"].iloc[likeliest])
    for _, rows in records[escalates].groupby("sentence", sort=False):
        scored = rows["level"].notna().all()
        yield rows, scorer.explain(rows["text"].iloc[0] if scored else "")
