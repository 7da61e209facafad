"""Articles -> batches -> records -> output, in memory bounded by the batch, whatever the input."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import multiprocessing
import os
import secrets
import sys
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import (
    AbstractContextManager,
    ExitStack,
    closing,
    contextmanager,
    nullcontext,
    suppress,
)
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, TypeVar, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from scoring.articles import Article, unique
from scoring.errors import InputError, OutputError, TensionError, UsageError
from scoring.feeds import read_articles
from scoring.ledger import Ledger
from scoring.levels import CODE, LEVELS, PROBABILITIES
from scoring.records import RECORD_COLUMNS
from scoring.tiers import TIERS
from scoring.workers import pool as workers_pool
from scoring.workers import scorer

BATCH_CHARACTERS: Final = 200_000
"""Characters of title, text and kept keys in a batch: some 1,500 sentences, a blink of work."""

_ARTICLE_COST: Final = (
    100  # characters that an article counts for beyond its text: an empty one is work too
)

T = TypeVar("T")

ENDINGS: Final[dict[str, str]] = {
    ".jsonl": "jsonl",
    ".jsonl.gz": "jsonl",
    ".csv": "csv",
    ".csv.gz": "csv",
    ".parquet": "parquet",
}
"""Endings of output files and the format that each stands for."""


# --- articles -> records ---


@dataclass(frozen=True)
class Settings:
    """How articles are scored and which rows are kept.

    Parameters
    ----------
    model : Path, optional
        Folder of a model; the shipped one by default.
    min_level : str
        Rows below this level are left out.
    everything : bool
        Keep every row, of any level and without one.
    keep : tuple of str
        Keys of the input that are carried through as columns, after the record's.
    unscored : bool
        Keep one row of every article that could not be scored: none is lost without a word.
    tier : str
        ``"fast"`` or ``"accurate"`` (`scoring.tiers`).
    """

    model: Path | None = None
    min_level: str = "protest"
    everything: bool = False
    keep: tuple[str, ...] = ()
    unscored: bool = True
    tier: str = TIERS[0]

    def __post_init__(self) -> None:
        if self.min_level not in CODE:
            raise UsageError(
                f"expected a level ({', '.join(LEVELS)}), found {self.min_level!r}. Name one."
            )
        for key in self.keep:
            if key in RECORD_COLUMNS or self.keep.count(key) > 1:
                raise UsageError(
                    f"--keep {key}: expected a key that is not yet a column of the output, "
                    "found that it is. Rename it in the input."
                )


@dataclass
class Summary:
    """What came of a run.

    Parameters
    ----------
    articles, duplicates, sentences, problems, known : int
        Articles taken, those dropped as seen before, sentences scored, problems of reading, articles
        left out as scored in an earlier run (`scoring.ledger`).
    levels : Counter
        Rows (statements with their dyads) by level, those that are left out of the output included.
    unscored : Counter
        Articles that were not scored, by the reason why.
    """

    articles: int = 0
    duplicates: int = 0
    sentences: int = 0
    problems: int = 0
    levels: Counter[str] = field(default_factory=Counter)
    unscored: Counter[str] = field(default_factory=Counter)
    known: int = 0

    def add(self, part: Summary) -> None:
        """Add the counts of another part of the run."""
        self.articles += part.articles
        self.duplicates += part.duplicates
        self.sentences += part.sentences
        self.problems += part.problems
        self.levels += part.levels
        self.unscored += part.unscored
        self.known += part.known

    def __str__(self) -> str:
        read = _count(self.articles, "article")
        if self.duplicates:
            read += f" ({_count(self.duplicates, 'duplicate')} dropped)"
        if self.known:
            read += f" ({_count(self.known, 'article')} of earlier runs skipped)"
        levels = ", ".join(f"{self.levels[level]:,} {level}" for level in reversed(LEVELS))
        parts = [f"{read}, {_count(self.sentences, 'sentence')}: {levels}"]
        if self.unscored:
            reasons = (f"{number:,} {why}" for why, number in self.unscored.most_common())
            parts.append("articles not scored: " + ", ".join(reasons))
        if self.problems:
            parts.append(_count(self.problems, "problem"))
        return "; ".join(parts) + "."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def batches(articles: Iterable[Article], size: int = BATCH_CHARACTERS) -> Iterator[list[Article]]:
    """Group articles, in order, into batches of about `size` characters; no article is split.

    Parameters
    ----------
    articles : iterable of Article
        Read one batch at a time.
    size : int, optional
        A batch is full when it holds so many characters.

    Yields
    ------
    list of Article
        Never empty.
    """
    batch: list[Article] = []
    filled = 0
    for article in articles:
        batch.append(article)
        filled += _ARTICLE_COST + len(article.title or "") + len(article.text or "")
        filled += sum(len(str(value)) for value in article.extra.values())
        if filled >= size:
            yield batch
            batch, filled = [], 0
    if batch:
        yield batch


def score_batch(articles: list[Article], settings: Settings) -> tuple[pd.DataFrame, Summary]:
    """Score one batch; the model is loaded once a process.

    Parameters
    ----------
    articles : list of Article
        May be empty.
    settings : Settings
        Model, kept keys and which rows are wanted.

    Returns
    -------
    frame : pandas.DataFrame
        The wanted rows, columns `RECORD_COLUMNS` and the kept keys.
    summary : Summary
        Counts over all rows, also those that are left out.
    """
    found = scorer(settings.model, settings.tier)
    frame, numbers = found.score_numbered(articles, settings.keep)
    scored = frame["level"].notna().to_numpy()
    begins = np.diff(numbers, prepend=-1) != 0  # the first row of an article, of a sentence
    sentences = begins | (np.diff(frame["sentence"].to_numpy(), prepend=-1) != 0)
    summary = Summary(
        articles=len(articles),
        sentences=int((sentences & scored).sum()),
        levels=Counter(frame["level"].to_numpy()[scored].tolist()),
        unscored=Counter(frame["note"].to_numpy()[begins & ~scored].tolist()),
    )
    if not settings.everything:
        wanted = frame["level"].map(CODE).ge(CODE[settings.min_level]).to_numpy()
        frame = frame[wanted | (begins & ~scored & settings.unscored)]
    return frame, summary


def as_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave a table of records as it is."""
    return frame


def score_batches(
    groups: Iterable[list[Article]],
    settings: Settings,
    jobs: int = 1,
    form: Callable[[pd.DataFrame], T] = as_frame,  # type: ignore[assignment]
) -> Generator[tuple[T, Summary]]:
    """Score batches, here or in `jobs` processes, and give the results in the order of the batches.

    At most two batches a process are under way, whoever waits, so that a slow reader of the results
    does not fill the memory; and the input is read here, so that its errors are met here.

    Parameters
    ----------
    groups : iterable of list of Article
        From `batches`; read in this process and thread.
    settings : Settings
        How to score.
    jobs : int, optional
        Number of processes.
    form : callable, optional
        What is made of each table where it is scored; that of a `Writer` spares this process the work.

    Yields
    ------
    formed : object
        What `form` makes of the table of `score_batch`.
    summary : Summary
        As of `score_batch`.

    Raises
    ------
    TensionError
        If the model cannot be loaded, or a process died.
    """
    if jobs == 1:
        scorer(settings.model, settings.tier)  # one that cannot be loaded shows before all reading
        for group in groups:
            yield _score_and_form(group, settings, form)
        return
    strangers = set(multiprocessing.active_children())
    pool = workers_pool(jobs, settings.model, settings.tier)
    task = partial(_score_and_form, settings=settings, form=form)
    try:
        pending = deque(
            [pool.submit(task, [])]
        )  # loads the model while the first articles are read
        for group in groups:
            pending.append(pool.submit(task, group))
            if len(pending) > 2 * jobs:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool as error:
        raise TensionError(
            f"expected {jobs} processes at work, found that one had died (was memory short?). "
            "Run again with a smaller --jobs."
        ) from error
    except BaseException:  # nobody wants the batches under way any more
        for process in set(multiprocessing.active_children()) - strangers:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _score_and_form(
    articles: list[Article], settings: Settings, form: Callable[[pd.DataFrame], T]
) -> tuple[T, Summary]:
    frame, summary = score_batch(articles, settings)
    return form(frame), summary


class Progress:
    """Is told how a run goes on. This one keeps quiet; `scoring.report.ProgressBar` shows it."""

    def read(self, size: int) -> None:
        """So many bytes more of the input have been read."""

    def resumed(self, summary: Summary) -> None:
        """Go on with an interrupted run; this is what came of it before."""

    def scored(self, summary: Summary) -> None:
        """One more batch has been scored and written; this is what came of the run so far."""

    def paused(self) -> AbstractContextManager[None]:
        """Leave the terminal to the output for the length of a block."""
        return nullcontext()


def score_inputs(
    inputs: Sequence[str],
    writer: Writer,
    settings: Settings,
    *,
    on_problem: Callable[[InputError], None],
    input_format: str = "auto",
    jobs: int = 1,
    progress: Progress | None = None,
    ledger: Ledger | None = None,
) -> Summary:
    """Read, score and write: the whole way, one batch at a time.

    Parameters
    ----------
    inputs : sequence of str
        Files, folders, globs, ``-`` or URLs.
    writer : Writer
        Where the records go; not closed here.
    settings : Settings
        How to score and which rows to keep.
    on_problem : callable
        Called with every problem met in reading; reading goes on.
    input_format : str, optional
        As `scoring.feeds.read_articles` takes it.
    jobs : int, optional
        Number of processes.
    progress : Progress, optional
        Is told how the run goes on.
    ledger : Ledger, optional
        Stories that it knows are left out; the others are entered.

    Returns
    -------
    Summary

    Raises
    ------
    TensionError
        If nothing can go on: no model, output not writable, a process died.
    """
    summary = Summary()
    progress = progress or Progress()

    def problem(error: InputError) -> None:
        summary.problems += 1
        on_problem(error)

    articles = unique(
        read_articles(inputs, input_format, problem, settings.keep, on_bytes=progress.read)
    )
    wanted = iter(articles) if ledger is None else ledger.new(articles)

    def count() -> None:
        summary.duplicates = articles.dropped
        summary.known = 0 if ledger is None else ledger.skipped

    with closing(score_batches(batches(wanted), settings, jobs, writer.form)) as results:
        for formed, part in results:
            summary.add(part)
            count()
            with progress.paused():
                writer.put(formed)
            progress.scored(summary)
    count()  # also when all that came after the last batch was dropped
    return summary


# --- records -> output ---


class Writer:
    """Takes tables of records, in order: each is given the form of the output, then put there.

    Parameters
    ----------
    form : callable
        Makes of a table what `put` takes. It can be pickled: the process that scores may do it.
    """

    def __init__(self, form: Callable[[pd.DataFrame], Any]) -> None:
        self.form = form

    def write(self, frame: pd.DataFrame) -> None:
        """Write the rows of a table; it may have none."""
        self.put(self.form(frame))

    def put(self, formed: Any) -> None:
        """Write what `form` made of a table."""
        raise NotImplementedError

    def close(self) -> None:
        """Write what is still held back; the file itself stays open."""


class JsonlWriter(Writer):
    """One JSON object a line, keys in the order of the record; spans are [start, end].

    Parameters
    ----------
    file : binary file
        Written to, not closed.
    """

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(jsonl_rows)
        self._file = file

    def put(self, formed: bytes) -> None:
        """Write lines."""
        self._file.write(formed)


class CsvWriter(Writer):
    """CSV in UTF-8, for spreadsheets too: spans are start:end, null is empty, formulas are defused.

    Parameters
    ----------
    file : binary file
        Written to, not closed.
    names : sequence of str
        The columns; written at once, so that a run without rows gives a valid table.
    header : bool, optional
        Whether to write them: a table that is gone on with has them.
    """

    def __init__(self, file: IO[bytes], names: Sequence[str], header: bool = True) -> None:
        super().__init__(csv_rows)
        self._file = file
        if header:
            self.put(_csv_lines([[_defused(name) for name in names]]))

    def put(self, formed: bytes) -> None:
        """Write lines."""
        self._file.write(formed)


def jsonl_rows(frame: pd.DataFrame) -> bytes:
    """Make of a table of records what `JsonlWriter` puts."""
    return b"".join(map(json_line, plain_rows(frame)))


def csv_rows(frame: pd.DataFrame) -> bytes:
    """Make of a table of records what `CsvWriter` puts."""
    columns = plain_columns(frame).values()
    return _csv_lines([[_cell(value) for value in row] for row in zip(*columns, strict=True)])


def _csv_lines(rows: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode(errors="backslashreplace")


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return _defused(value)
    if isinstance(value, list) and len(value) == 2 and all(type(part) is int for part in value):
        return f"{value[0]}:{value[1]}"
    return repr(value) if isinstance(value, float) else _defused(_as_text(value))


def _defused(cell: str) -> str:
    """Keep a spreadsheet from running a cell of somebody else's text as a formula."""
    return f"'{cell}" if cell.startswith(tuple("=+-@\t\r\n＝＋－＠")) else cell


class ParquetWriter(Writer):
    """Parquet with one fixed schema, also when there are no rows; kept keys are strings.

    Parameters
    ----------
    file : binary file
        Written to, not closed.
    keep : sequence of str
        Columns after the record's.
    """

    _GROUP: Final = (
        50_000  # rows; a group for every small batch would make a large file slow to read
    )

    def __init__(self, file: IO[bytes], keep: Sequence[str]) -> None:
        super().__init__(form_of("parquet", keep))
        self._schema = arrow_schema(keep)
        self._writer = pq.ParquetWriter(file, self._schema, compression="zstd")
        self._held: list[pa.Table] = []

    def put(self, formed: pa.Table) -> None:
        """Take rows as of `arrow_table`; they are written when there are enough for a row group."""
        self._held.append(formed)
        if sum(table.num_rows for table in self._held) >= self._GROUP:
            self._flush()

    def close(self) -> None:
        """Write the last row group and the footer."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        table = pa.concat_tables(self._held) if self._held else self._schema.empty_table()
        self._held = []
        self._writer.write_table(table)


def arrow_table(frame: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    """Turn a table of records into Arrow's; NaN is null.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns `RECORD_COLUMNS` and kept keys.
    schema : pyarrow.Schema
        From `arrow_schema`, with the same kept keys.

    Returns
    -------
    pyarrow.Table
    """
    arrays = [_arrow_column(frame[field.name], field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def _arrow_column(column: pd.Series[Any], kind: pa.DataType) -> pa.Array:
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return pa.array(column.dt.tz_convert(None).to_numpy(), type=kind)
    values = column.tolist() if column.dtype == object else column.to_numpy()
    if not pa.types.is_string(kind):
        return pa.array(values, type=kind, from_pandas=True)
    try:
        return pa.array(values, type=kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError):
        # What a kept key holds may be of any kind; a lone surrogate is no UTF-8.
        plain = map(plain_value, values)
        texts = [None if value is None else _arrow_text(value) for value in plain]
        return pa.array(texts, type=kind)


def arrow_schema(keep: Sequence[str] = ()) -> pa.Schema:
    """Return the Arrow schema of the record, with kept keys as strings at the end."""
    kinds = dict.fromkeys(("score", *PROBABILITIES), pa.float64()) | {
        "published": pa.timestamp("us", tz="UTC"),
        "sentence": pa.int32(),
        "source_span": pa.list_(pa.int32()),
        "target_span": pa.list_(pa.int32()),
        "review": pa.bool_(),
    }
    names = (*RECORD_COLUMNS, *keep)
    return pa.schema([(name, kinds.get(name, pa.string())) for name in names])


def plain_columns(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """Turn a table of records into lists of what JSON knows: null for NaN, times as ISO 8601, Z.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns `RECORD_COLUMNS` and kept keys.

    Returns
    -------
    dict of str to list
        Column by column, of equal length.
    """
    columns = {}
    for name in frame.columns:
        values = frame[name].tolist()
        if name == "published":
            values = [None if value is pd.NaT else _iso(value) for value in values]
        elif name not in ("sentence", "review"):
            values = [plain_value(value) for value in values]
        columns[str(name)] = values
    return columns


def plain_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Turn a table of records into one dict a row, of what JSON knows (`plain_columns`)."""
    columns = plain_columns(frame)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def json_line(value: object) -> bytes:
    """Return a value as a line of JSON in UTF-8."""
    line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return f"{line}\n".encode(errors="backslashreplace")  # a lone surrogate: "\ud800" is its JSON


def _iso(when: pd.Timestamp) -> str:
    return when.isoformat().replace("+00:00", "Z")


def plain_value(value: Any) -> Any:
    """Return a value as JSON has it: what JSON lacks (NaN, dates, bytes) as null or text."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [plain_value(part) for part in value]
    if isinstance(value, dict):
        return {str(key): plain_value(part) for key, part in value.items()}
    if hasattr(value, "tolist"):  # NumPy's scalars and arrays
        return plain_value(value.tolist())
    return None if value is pd.NaT or value is pd.NA else str(value)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _arrow_text(value: Any) -> str:
    text = _as_text(value)
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def choose_format(output: Path | None, wanted: str | None, terminal: bool) -> str:
    """Choose the output's format: the one asked for, else by the file's ending, else by who reads.

    Parameters
    ----------
    output : Path or None
        The file; None is standard output.
    wanted : str or None
        ``table``, ``jsonl``, ``csv`` or ``parquet``.
    terminal : bool
        Whether standard output is one.

    Returns
    -------
    str
        Without a file, ``table`` for people at a terminal and ``jsonl`` for a pipe.

    Raises
    ------
    UsageError
        If the ending stands for no format, or Parquet would go to a terminal.
    """
    if output is None:
        if wanted == "parquet" and terminal:
            raise UsageError(
                "--format parquet: expected a file or a pipe, found a terminal. Add -o OUT.parquet."
            )
        return wanted or ("table" if terminal else "jsonl")
    if wanted:
        return wanted
    for ending, name in ENDINGS.items():
        if output.name.lower().endswith(ending):
            return name
    raise UsageError(
        f"{output}: expected a file that ends in {', '.join(ENDINGS)}, found none of these. "
        "Rename it, or say --format."
    )


@contextmanager
def open_output(output: Path | None, kind: str, keep: Sequence[str] = ()) -> Iterator[Writer]:
    """Open the output: a file that is there whole when the block ends, or standard output.

    Parameters
    ----------
    output : Path or None
        The file; None is standard output. ``.gz`` at the end makes JSONL and CSV a gzip stream.
    kind : str
        ``table``, ``jsonl``, ``csv`` or ``parquet``.
    keep : sequence of str, optional
        Columns after the record's.

    Yields
    ------
    Writer
        Closed here.

    Raises
    ------
    OutputError
        If the folder or file is not writable, at once; if the disk is full, when it is.
    """
    with standard_output() if output is None else whole_file(output) as file, ExitStack() as stack:
        if output is not None and kind in ("jsonl", "csv") and output.name.lower().endswith(".gz"):
            # Neither name nor time in the header: the same rows are the same bytes.
            file = stack.enter_context(gzip.GzipFile("", "wb", 6, file, mtime=0))  # type: ignore
        writer = _writer(file, kind, keep)
        try:
            yield writer
        except BaseException:
            with suppress(Exception):  # the file is thrown away; what matters is the first error
                writer.close()
            raise
        writer.close()


def form_of(kind: str, keep: Sequence[str]) -> Callable[[pd.DataFrame], Any]:
    """Give the form that the writer of a format takes: ``jsonl``, ``csv`` or ``parquet``."""
    forms = {"jsonl": jsonl_rows, "csv": csv_rows}
    return forms.get(kind) or partial(arrow_table, schema=arrow_schema(keep))


def _writer(file: IO[bytes], kind: str, keep: Sequence[str]) -> Writer:
    if kind == "csv":
        return CsvWriter(file, (*RECORD_COLUMNS, *keep))
    if kind == "parquet":
        return ParquetWriter(file, keep)
    if kind == "table":
        from scoring.report import TableWriter

        return TableWriter(file)
    return JsonlWriter(file)


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that is there whole when the block ends, and is as before when it fails.

    Parameters
    ----------
    path : Path
        The file.

    Yields
    ------
    binary file
        A temporary file in the same folder, which takes the place of `path` in the end.

    Raises
    ------
    OutputError
        If the folder or file is not writable, at once; if the disk is full, when it is.
    """
    name = str(path)
    with output_errors(name):
        target = path.resolve()  # a symbolic link stays one
        if target.exists() and not (target.is_file() and os.access(target, os.W_OK)):
            found = "a folder" if target.is_dir() else "something that may not be written to"
            raise OutputError(f"{name}: expected a file to write, found {found}. Name another -o.")
        temporary = target.with_name(f".tension-{os.getpid()}-{secrets.token_hex(4)}.tmp")
        file = temporary.open("xb")
    try:
        yield cast(IO[bytes], Sink(file, name))
        with output_errors(name):
            file.flush()
            os.fsync(file.fileno())
            file.close()
            temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            file.close()
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def standard_output() -> Iterator[IO[bytes]]:
    """Give standard output as a binary file; every write goes out at once, and errors name it."""
    if sys.stdout is None:
        raise OutputError(
            "standard output: expected it open, found it closed. Name a file with -o."
        )
    yield cast(IO[bytes], Sink(sys.stdout.buffer, "standard output", at_once=True))


class Sink(io.RawIOBase):
    """A file whose write errors name it; `at_once` hands every write on to whoever waits for it.

    Parameters
    ----------
    file : binary file
        Written to, not closed.
    name : str
        As errors name it.
    at_once : bool, optional
        Flush after every write.
    """

    def __init__(self, file: IO[bytes], name: str, at_once: bool = False) -> None:
        self._file, self._name, self._at_once = file, name, at_once

    def writable(self) -> bool:
        """Tell that it is."""
        return True

    def isatty(self) -> bool:
        """Tell whether the file is a terminal."""
        return self._file.isatty()

    def fileno(self) -> int:
        """Give the file's descriptor."""
        return self._file.fileno()

    def write(self, data: Any) -> int:
        """Write bytes; an error names the file."""
        with output_errors(self._name):
            written = self._file.write(data)
            if self._at_once:
                self._file.flush()
            return written

    def flush(self) -> None:
        """Hand on what is held back."""
        if not self._file.closed:
            with output_errors(self._name):
                self._file.flush()


@contextmanager
def output_errors(name: str) -> Iterator[None]:
    """Say which output failed, and why; a reader that has gone (``| head``) is no failure.

    Parameters
    ----------
    name : str
        The output, as the user knows it.

    Raises
    ------
    OutputError
        Instead of an OSError.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(
            f"{name}: expected to write there, found: {error.strerror or error}. "
            "Mend that, or name another place with -o."
        ) from error
