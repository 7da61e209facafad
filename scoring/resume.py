"""Runs that go on where they were killed: the output grows part by part beside a journal of what is done.

A folder ``.OUT.unfinished`` stands beside the output until the run is over. It holds the rows so far and a journal, an
SQLite file that is locked for as long as a process works on it. A part is some batches of articles: its rows are
written and synced first, then the journal says so, in one transaction. Whoever goes on reads the inputs again from
the start, which is cheap beside scoring and brings back which stories were seen, skips the batches that are done and
cuts off what the journal does not know of. Parts begin and end at the same articles whenever a run was cut.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from importlib.metadata import PackageNotFoundError, version
from itertools import islice, zip_longest
from pathlib import Path
from typing import IO, Any, Final, cast

from scoring.articles import unique
from scoring.artifact import MANIFEST_FILE, shipped_folder
from scoring.artifact import load as load_model
from scoring.batch import (
    BATCH_CHARACTERS,
    CsvWriter,
    JsonlWriter,
    ParquetWriter,
    Progress,
    Settings,
    Sink,
    Summary,
    Writer,
    batches,
    form_of,
    output_errors,
    score_batches,
    whole_file,
)
from scoring.errors import InputError, OutputError, ResumeError, UsageError
from scoring.feeds import read_articles
from scoring.fingerprint import fingerprint
from scoring.inputs import expand, is_url
from scoring.records import RECORD_COLUMNS

PART_BATCHES: Final = 16
"""Batches in a part: some 25,000 sentences, all that a kill costs; one file of a Parquet folder."""

_JOURNAL: Final = "journal.sqlite"
_ROWS: Final = "rows"
_PARTS: Final = "parts"
_LAYOUT: Final = 1
_TABLES: Final = """
CREATE TABLE run (description TEXT NOT NULL, problems INTEGER, duplicates INTEGER);
CREATE TABLE inputs (number INTEGER PRIMARY KEY, name TEXT, size INTEGER, changed INTEGER);
CREATE TABLE parts (number INTEGER PRIMARY KEY, batches INTEGER, bytes INTEGER, summary TEXT);
"""


def score_resumable(
    inputs: Sequence[str],
    output: Path,
    kind: str,
    settings: Settings,
    *,
    on_problem: Callable[[InputError], None],
    input_format: str = "auto",
    jobs: int = 1,
    progress: Progress | None = None,
    part_batches: int = PART_BATCHES,
    batch_characters: int = BATCH_CHARACTERS,
) -> Summary:
    """Score as `scoring.batch.score_inputs` does, so that a killed run goes on when called again.

    Parameters
    ----------
    inputs : sequence of str
        Files, folders or globs; what cannot be read twice is refused.
    output : Path
        A file for JSONL and CSV; for Parquet a folder of files ``part-000000.parquet`` and so on.
    kind : str
        ``jsonl``, ``csv`` or ``parquet``; JSONL and CSV are packed, a gzip member a part, if `output` ends in ``.gz``.
    settings : Settings
        How to score and which rows to keep.
    on_problem : callable
        Called with every problem met in reading, in a run that goes on with the old ones too.
    input_format : str, optional
        As `scoring.feeds.read_articles` takes it.
    jobs : int, optional
        Number of processes; may be another when a run goes on.
    progress : Progress, optional
        Is told how the run goes on.
    part_batches, batch_characters : int, optional
        Size of a part in batches and of a batch in characters.

    Returns
    -------
    Summary
        Of the whole run, from its first start.

    Raises
    ------
    UsageError
        If an input is standard input or a URL, or the format none of the three.
    ResumeError
        If the run to go on with is another one (inputs, model, options), at work in another process or damaged.
    TensionError
        If nothing can go on, as of `scoring.batch.score_inputs`.
    """
    _check(inputs, kind)
    target = output.resolve()
    description = _describe(settings, kind, input_format, part_batches, batch_characters)
    progress = progress or Progress()
    with _Unfinished.open(target, kind, inputs, description, settings.keep) as unfinished:
        summary = unfinished.summary
        if not unfinished.finished:
            progress.resumed(summary)
            _score(
                unfinished, inputs, settings, part_batches, batch_characters,
                input_format=input_format, on_problem=on_problem, jobs=jobs, progress=progress,
            )  # fmt: skip
        unfinished.place()
    return summary


def _score(
    unfinished: _Unfinished,
    inputs: Sequence[str],
    settings: Settings,
    part_batches: int,
    batch_characters: int,
    *,
    on_problem: Callable[[InputError], None],
    input_format: str,
    jobs: int,
    progress: Progress,
) -> None:
    """Score what is still to be done, part by part."""
    summary = unfinished.summary

    def problem(error: InputError) -> None:
        summary.problems += 1
        on_problem(error)

    articles = unique(
        read_articles(inputs, input_format, problem, settings.keep, on_bytes=progress.read)
    )
    groups = batches(articles, batch_characters)
    for _ in islice(groups, unfinished.batches):
        pass  # done before; read again for the stories seen
    results = score_batches(groups, settings, jobs, form_of(unfinished.kind, settings.keep))
    with closing(results):
        while chunk := next(results, None):
            count, part = 0, Summary()
            with unfinished.part() as writer:
                while chunk:
                    formed, scored = chunk
                    writer.put(formed)
                    count += 1
                    part.add(scored)
                    summary.add(scored)
                    summary.duplicates = articles.dropped
                    progress.scored(summary)
                    chunk = next(results, None) if count < part_batches else None
            unfinished.done(count, part)
    if not unfinished.batches:  # nothing at all to score: a valid output without rows all the same
        with unfinished.part():
            pass
        unfinished.done(0, Summary())
    summary.duplicates = articles.dropped
    unfinished.finish()


def _check(inputs: Sequence[str], kind: str) -> None:
    if kind not in ("jsonl", "csv", "parquet"):
        raise UsageError(
            f"--resume: expected a file of JSONL, CSV or Parquet, found {kind}. Add -o OUT."
        )
    for name in inputs:
        if name == "-" or is_url(name):
            raise UsageError(
                f"--resume: expected files or folders, which can be read again, found {name!r}. "
                "Save it to a file first."
            )


def _describe(
    settings: Settings, kind: str, input_format: str, part_batches: int, batch_characters: int
) -> dict[str, Any]:
    """Say what decides about the output besides the inputs, under the names that a user knows."""
    try:
        package = version("tension-escalation")
    except PackageNotFoundError:
        package = "(not installed)"
    return {
        "layout of the journal": _LAYOUT,
        "package": package,
        "cues and features": fingerprint(),
        "--model": _digest(settings.model or shipped_folder()),
        "--format": kind,
        "--input-format": input_format,
        "--min-level": settings.min_level,
        "--all": settings.everything,
        "--tier": settings.tier,
        "--keep": list(settings.keep),
        "rows of what is not scored": settings.unscored,
        "batches in a part": part_batches,
        "characters in a batch": batch_characters,
    }


def _digest(model: Path) -> str:
    try:
        return hashlib.sha256((model / MANIFEST_FILE).read_bytes()).hexdigest()[:16]
    except OSError:
        load_model(model)  # says what is wrong with it
        raise


class _Unfinished:
    """What is there of a run: rows and journal, in a folder beside the output."""

    def __init__(self, target: Path, kind: str, keep: Sequence[str], journal: sqlite3.Connection):
        self._target, self.kind, self._keep, self._journal = target, kind, keep, journal
        self._folder = _folder(target)
        self.summary = Summary()
        self.batches = self._bytes = self._parts = 0
        for number, count, size, summary in journal.execute("SELECT * FROM parts ORDER BY number"):
            part = json.loads(summary)
            for name in ("levels", "unscored"):
                part[name] = Counter(part[name])
            self.summary.add(Summary(**part))
            self.batches += count
            self._bytes = size
            self._parts = number + 1
        problems, duplicates = journal.execute("SELECT problems, duplicates FROM run").fetchone()
        self.finished = problems is not None
        if self.finished:
            self.summary.problems, self.summary.duplicates = problems, duplicates

    @classmethod
    @contextmanager
    def open(
        cls,
        target: Path,
        kind: str,
        inputs: Sequence[str],
        description: dict[str, Any],
        keep: Sequence[str],
    ) -> Iterator[_Unfinished]:
        """Begin a run or take up the one that stands there, if it is the same; nobody else can meanwhile."""
        folder = _folder(target)
        _check_target(target, kind)
        with output_errors(str(target)):
            folder.mkdir(exist_ok=True)
        with closing(sqlite3.connect(folder / _JOURNAL, timeout=0, isolation_level=None)) as db:
            try:
                db.execute("PRAGMA locking_mode = EXCLUSIVE")  # kept to the end of this process
                db.execute("BEGIN EXCLUSIVE")
                if db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
                    shutil.rmtree(
                        folder / _PARTS, ignore_errors=True
                    )  # without a journal: nobody's
                    _begin(db, inputs, description)
                else:
                    _compare(db, folder, inputs, description)
                db.execute("COMMIT")
                self = cls(target, kind, keep, db)
                self._check_rows()
                yield self
            except sqlite3.Error as error:
                raise _journal_error(folder, error) from error

    @contextmanager
    def part(self) -> Iterator[Writer]:
        """Open the next part; when the block ends, its rows are on the disk."""
        if self.kind == "parquet":
            with output_errors(str(self._target)):
                (self._folder / _PARTS).mkdir(exist_ok=True)
            with whole_file(self._part_file(self._parts)) as file:
                writer: Writer = ParquetWriter(file, self._keep)
                yield writer
                writer.close()
            self._bytes = self._part_file(self._parts).stat().st_size
            return
        name = str(self._target)
        with output_errors(name):
            raw = (self._folder / _ROWS).open("ab")
            raw.truncate(self._bytes)
        with raw:
            file = cast(IO[bytes], Sink(raw, name))
            with ExitStack() as stack:
                if self._target.name.lower().endswith(".gz"):
                    packed = gzip.GzipFile("", "wb", 6, file, mtime=0)
                    file = stack.enter_context(cast(IO[bytes], packed))
                yield self._row_writer(file)
            with output_errors(name):
                raw.flush()
                os.fsync(raw.fileno())
                self._bytes = raw.tell()

    def _row_writer(self, file: IO[bytes]) -> Writer:
        if self.kind == "csv":
            names = (*RECORD_COLUMNS, *self._keep)
            return CsvWriter(file, names, header=not self._parts)
        return JsonlWriter(file)

    def done(self, count: int, summary: Summary) -> None:
        """Write down that the part is done; from here on it is never done again."""
        row = (self._parts, count, self._bytes, json.dumps(vars(summary)))
        self._journal.execute("INSERT INTO parts VALUES (?, ?, ?, ?)", row)
        self.batches += count
        self._parts += 1

    def finish(self) -> None:
        """Write down that all is done but the last step: to put the output where it belongs."""
        counts = (self.summary.problems, self.summary.duplicates)
        self._journal.execute("UPDATE run SET problems = ?, duplicates = ?", counts)
        self.finished = True

    def place(self) -> None:
        """Put the output where it belongs, unless that was done before the last kill, and clear up."""
        made = self._folder / (_PARTS if self.kind == "parquet" else _ROWS)
        with output_errors(str(self._target)):
            if made.exists():
                if self.kind == "parquet":
                    self._clear_parts()
                    if self._target.is_dir():  # of an earlier run: checked
                        self._target.rename(self._folder / f"old-{os.getpid()}")
                made.replace(self._target)
            self._journal.close()
            shutil.rmtree(self._folder)

    def _clear_parts(self) -> None:
        """Drop what a kill left of a part file that was being written."""
        for file in (self._folder / _PARTS).glob(".tension-*.tmp"):
            file.unlink()

    def _part_file(self, number: int) -> Path:
        return self._folder / _PARTS / f"part-{number:06}.parquet"

    def _check_rows(self) -> None:
        """Make sure that the rows which the journal knows of are still there."""
        if self.finished or not self._parts:
            return
        files = (
            [self._part_file(number) for number in range(self._parts)]
            if self.kind == "parquet"
            else [self._folder / _ROWS]
        )
        for file in files:
            size = file.stat().st_size if file.exists() else 0
            if size == 0 or (file is files[-1] and size < self._bytes):
                raise ResumeError(
                    f"{file}: expected the rows that the journal speaks of, found {size:,} bytes. "
                    f"To begin anew, remove {self._folder}."
                )


def _folder(target: Path) -> Path:
    """Name the folder of an unfinished run; hidden, so that it is never read as an input."""
    return target.with_name(f".{target.name}.unfinished")


def _check_target(target: Path, kind: str) -> None:
    """Refuse, before hours of work, to put the output over something else."""
    if not target.exists():
        return
    if kind != "parquet":
        if not target.is_file() or not os.access(target, os.W_OK):
            raise OutputError(f"{target}: expected a file to write, found none. Name another -o.")
        return
    if not target.is_dir():
        raise OutputError(
            f"{target}: expected a folder, as --resume writes Parquet in parts, found a file. "
            "Name another -o."
        )
    for file in target.iterdir():
        if not (file.name.startswith("part-") and file.suffix == ".parquet"):
            raise OutputError(
                f"{target}: expected a folder with nothing but the parts of an earlier run, "
                f"found {file.name} in it. Name another -o."
            )


def _stamps(inputs: Sequence[str]) -> Iterator[tuple[str, int | None, int | None]]:
    """Give name, size and time of change of every input, and the name of what cannot be found."""
    missing: list[InputError] = []
    for source in expand(inputs, missing.append):
        try:
            stat = Path(source.name).stat()
        except OSError:
            yield source.name, None, None
            continue
        yield source.name, stat.st_size, stat.st_mtime_ns
    for error in missing:
        yield error.where, None, None


def _begin(db: sqlite3.Connection, inputs: Sequence[str], description: dict[str, Any]) -> None:
    for statement in filter(str.strip, _TABLES.split(";")):
        db.execute(statement)
    db.execute("INSERT INTO run (description) VALUES (?)", (json.dumps(description),))
    stamps = ((number, *stamp) for number, stamp in enumerate(_stamps(inputs)))
    db.executemany("INSERT INTO inputs VALUES (?, ?, ?, ?)", stamps)


def _compare(
    db: sqlite3.Connection, folder: Path, inputs: Sequence[str], description: dict[str, Any]
) -> None:
    """Refuse to go on with a run that was begun otherwise: its output would be neither's."""
    remedy = f"Run it as it was begun, or remove {folder} to begin anew."
    before = json.loads(db.execute("SELECT description FROM run").fetchone()[0])
    for name in before | description:
        then, now = before.get(name), description.get(name)
        if then != now:
            raise ResumeError(
                f"--resume: expected the run that was interrupted, with {name} {_said(then)}, "
                f"found {_said(now)}. {remedy}"
            )
    query = "SELECT name, size, changed FROM inputs ORDER BY number"
    with closing(db.execute(query)) as known:  # an open cursor would keep the lock
        for then, now in zip_longest(known, _stamps(inputs)):
            if then == now:
                continue
            if then and now and then[0] == now[0]:
                what = f"{now[0]} as it was, found it changed since"
            else:
                here, there = (it[0] if it else "no more" for it in (now, then))
                what = f"the same inputs in the same order: {there}, found {here}"
            raise ResumeError(f"--resume: expected {what}. {remedy}")


def _said(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _journal_error(folder: Path, error: sqlite3.Error) -> ResumeError:
    if getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
        return ResumeError(
            f"{folder}: expected no other process at this run, found one. Wait for it, or end it."
        )
    return ResumeError(
        f"{folder / _JOURNAL}: expected the journal of an interrupted run, found: {error}. "
        f"To begin anew, remove {folder}."
    )
