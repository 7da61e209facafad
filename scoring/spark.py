"""The same scoring on Apache Spark: files -> articles -> the first of each story -> records, all on the workers.

Every article travels with its position (file, start of the split, row), so that the first of a story wins, rows come
out in the order of the inputs, and a bad line is named as the local engine names it. What makes articles of lines and
records of articles is the code of the local engine.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import re
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote

import pyarrow as pa

from scoring.articles import Article, story_key
from scoring.artifact import whole_copy
from scoring.batch import (
    CsvWriter,
    JsonlWriter,
    Settings,
    Summary,
    arrow_schema,
    arrow_table,
    batches,
    plain_value,
    score_batch,
)
from scoring.errors import InputError, OutputError, TensionError, UsageError
from scoring.feeds import article_of_line, article_of_record, wanted_columns
from scoring.inputs import SUFFIXES, expand, is_url, suffix_of
from scoring.records import RECORD_COLUMNS
from scoring.spark_session import in_short, no_pandas_warning
from scoring.tiers import TIERS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

FORMATS: Final = ("jsonl", "parquet")
"""Input formats that this engine takes."""

TOLD_PROBLEMS: Final = 1_000
"""Problems of one split that are told one by one; the rest of them is counted."""

_OPTIONS: Final = {
    "spark.sql.session.timeZone": "UTC",  # else a kept date would depend on the machine
    "spark.sql.caseSensitive": "true",  # as JSON and the local engine are
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",  # INT96 has no time zone
    "spark.sql.execution.arrow.maxRecordsPerBatch": "1000",  # articles may be long
    "spark.sql.legacy.parquet.nanosAsLong": "true",  # else Spark refuses what pandas 2 writes
    "spark.sql.files.ignoreCorruptFiles": "false",  # it would pass over them without a word
    "spark.sql.files.ignoreMissingFiles": "false",
}
_POSITION: Final = ("file", "start", "row")
_LAST: Final = 2**62  # the row behind all rows of a split
_ITEMS: Final = pa.schema(
    {"file": pa.int32(), "start": pa.int64(), "row": pa.int64()}
    | {"story": pa.string(), "item": pa.string()}
)
_LEAST_NANOSECONDS: Final = 10**14  # a day; as milliseconds that would be the year 5138
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")
_UNREADABLE: Final = re.compile(r"while reading file (.+?)\. +(?:SQLSTATE|Could not read footer)")

Make = Callable[[Any, str, int, Sequence[str]], Article | None]
Batches = Iterable[pa.RecordBatch]
Stage = Callable[[Batches], Iterator[pa.RecordBatch]]
Position = tuple[int, int, int]
_Placed = tuple[tuple[int, int], InputError]  # file and line, to tell problems in order


def score_on_spark(
    spark: SparkSession,
    inputs: Sequence[str],
    output: str | Path,
    kind: str,
    settings: Settings,
    *,
    on_problem: Callable[[InputError], None],
    input_format: str = "auto",
) -> Summary:
    """Read, score and write on the workers of a Spark session.

    Parameters
    ----------
    spark : pyspark.sql.SparkSession
        Of Spark 4, as `scoring.spark_session.session` gives it; no Spark Connect.
    inputs : sequence of str
        Files, folders and globs of JSONL (gzip is undone) and Parquet. What has no scheme is a path in the file system
        of the driver and of every worker; what has one (``s3a://``, ``hdfs://``) is listed and read by Spark.
    output : str or Path
        A folder that is not there yet. It gets ``part-*`` files, whose order by name is that of the rows, and
        ``_SUCCESS``; gzip files where its name ends in ``.gz``.
    kind : str
        ``jsonl``, ``csv`` or ``parquet``.
    settings : Settings
        How to score and which rows to keep.
    on_problem : callable
        Called with every problem of reading, when all is done, in the order of the inputs.
    input_format : str, optional
        ``auto`` (by the ending of each file), or one of `FORMATS`.

    Returns
    -------
    Summary

    Raises
    ------
    UsageError
        If an input is of another format, or no file.
    OutputError
        If the output is there already.
    TensionError
        If nothing can go on: no model, no package on the workers, a job that failed.
    """
    _check(inputs, kind, input_format)
    problems: list[_Placed] = []
    score_batch([], settings)  # a model that cannot be loaded shows before anything is read
    with no_pandas_warning(), _plain_errors(), _options(spark):
        found = _find(spark, inputs, input_format, problems)
        target = _Target(spark, output, kind)
        sent = _ship_model(spark, settings)
        while True:
            told = spark.sparkContext.accumulator(_Told(), cast(Any, _Adding()))
            try:
                with target.whole(), _plain_errors():
                    _job(spark, found, target, sent, told)
                break
            except _LeftOut as error:  # the others are done all the same
                problems += error.told(found)
                found = [file for file in found if not error.means(file)]
    whole: _Told = told.value
    problems += whole.placed(found)
    summary = whole.summary
    summary.problems = len(problems) + whole.untold
    for _, problem in sorted(problems, key=lambda placed: placed[0]):
        on_problem(problem)
    return summary


def _check(inputs: Sequence[str], kind: str, input_format: str) -> None:
    if kind not in ("jsonl", "csv", "parquet"):
        raise UsageError(
            f"--engine spark: expected an output of JSONL, CSV or Parquet, found {kind}. "
            "Add -o OUT.parquet."
        )
    if input_format not in ("auto", *FORMATS):
        raise UsageError(
            f"--engine spark: expected JSONL or Parquet, found --input-format {input_format}. "
            "Use --engine local."
        )
    for name in inputs:
        if name == "-" or is_url(name):
            raise UsageError(
                f"--engine spark: expected files that every worker can read, found {name!r}. "
                "Save it to a file first, or use --engine local."
            )


# --- inputs ---


@dataclass(frozen=True)
class _File:
    """A file to read: its place among the inputs, its name for people and for Spark."""

    number: int
    name: str
    path: str
    format: str

    @property
    def key(self) -> str:
        return _key(self.path)


def _key(path: str) -> str:
    """Give a file one name, however many slashes Spark writes behind the scheme."""
    scheme, _, rest = path.partition(":")
    return f"{scheme}:{re.sub('^//(?=/)', '', rest)}"


def _find(
    spark: SparkSession,
    inputs: Sequence[str],
    input_format: str,
    problems: list[_Placed],
) -> list[_File]:
    """List the files in the order in which the local engine reads them."""
    found: list[_File] = []

    def on_problem(error: InputError) -> None:
        problems.append(((len(found), -1), error))

    for asked in inputs:
        if _SCHEME.match(asked):
            names = [(path, path) for path in _listed(spark, asked, input_format, on_problem)]
        else:  # lexically, for Spark goes by the ending of the name as it is
            sources = expand([asked], on_problem)
            names = [(source.name, f"file:{os.path.abspath(source.name)}") for source in sources]  # noqa: PTH100
        for name, path in names:
            if path.rpartition("/")[2].startswith(("_", ".")):
                problem = "expected a name that Spark reads, found one that begins with _ or a dot."
                on_problem(InputError(name, problem, "Rename it."))
                continue
            suffix = suffix_of(name)
            known = SUFFIXES.get(suffix, suffix or "no ending")
            chosen = known if input_format == "auto" else input_format
            if chosen not in FORMATS:
                raise UsageError(
                    f"{name}: expected JSONL or Parquet for --engine spark, found {chosen}. "
                    "Use --engine local, or say --input-format jsonl if that is what it holds."
                )
            found.append(_File(len(found), name, path, chosen))
    return found


def _listed(
    spark: SparkSession, asked: str, input_format: str, on_problem: Callable[[InputError], None]
) -> list[str]:
    """List what a URI stands for by Spark's own means; no content is read."""
    from pyspark.errors import AnalysisException

    reader = spark.read.format("binaryFile").option("recursiveFileLookup", "true")
    try:
        rows = reader.load(asked).select("path").collect()
    except AnalysisException as error:
        if error.getCondition() != "PATH_NOT_FOUND":
            raise
        rows = []
    paths = sorted((row["path"] for row in rows), key=lambda path: path.split("/"))
    if input_format == "auto" and len(paths) > 1:
        paths = [path for path in paths if suffix_of(path) in SUFFIXES]
    if not paths:
        problem = "expected files, found none."
        on_problem(InputError(asked, problem, "Check the path, and what Spark needs to reach it."))
    return paths


def _readable(files: Iterable[_File]) -> list[str]:
    """Give the paths for Spark's reader, each once, with what would be a pattern escaped."""
    paths = dict.fromkeys(file.path for file in files)
    return [re.sub(r"([\[\]{}*?\\])", r"\\\1", path) for path in paths]


# --- the job ---


def _job(
    spark: SparkSession,
    found: list[_File],
    target: _Target,
    settings: Settings,
    told: Any,
) -> None:
    """Read, drop the stories seen before, bring into order, score and write."""
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    items = _items(spark, found, settings.keep)
    copy = f.row_number().over(Window.partitionBy("story").orderBy(*_POSITION))
    first = items.select(*_POSITION, f.when(copy == 1, f.col("item")).alias("item"))
    # Sorted before it is scored: what is shuffled is text, which is quick, and the scoring, which is not, is spread
    # evenly, also that of one large file that cannot be split.
    ordered = first.orderBy(*_POSITION)
    scored = ordered.mapInArrow(_scorer(settings, target.kind, told), _ddl(target, settings.keep))
    target.write(scored)


def _items(spark: SparkSession, found: list[_File], keep: Sequence[str]) -> DataFrame:
    """Read all files: a row for each article, each problem, and the end of each split."""
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as f
    from pyspark.sql.pandas.types import from_arrow_schema

    schema = from_arrow_schema(_ITEMS)
    places: dict[str, list[tuple[int, str]]] = {}
    for file in found:
        places.setdefault(file.key, []).append((file.number, file.name))
    frames: list[DataFrame] = []
    reader = spark.read.option("recursiveFileLookup", "true").option("mergeSchema", "true")
    for form in FORMATS:
        files = [file for file in found if file.format == form]
        if not files:
            continue
        make: Make = article_of_line
        if form == "jsonl":
            raw = reader.text(_readable(files), lineSep="\n")
            record = f.col("value").cast("binary")  # as it stands: what is no UTF-8 is mended later
        else:
            raw, make = reader.parquet(*_readable(files)), _article_of_row
            try:
                names = wanted_columns(raw.columns, files[0].name, keep)
            except InputError as error:
                raise _LeftOut(error.problem, error.remedy, form="parquet") from None
            record = f.struct(*(f.col(f"`{name.replace('`', '``')}`") for name in names))
        place = (f.col("_metadata.file_path"), f.col("_metadata.file_block_start"))
        read = raw.select(*place, record.alias("record"))
        frames.append(read.mapInArrow(_reader(places, keep, make), schema))
    return reduce(DataFrame.unionAll, frames) if frames else spark.createDataFrame([], schema)


# --- reading, on a worker ---


def _reader(places: dict[str, list[tuple[int, str]]], keep: Sequence[str], make: Make) -> Stage:
    def read(tables: Batches) -> Iterator[pa.RecordBatch]:
        split: _Split | None = None
        for table in tables:
            rows: list[tuple[object, ...]] = []
            for path, start, record in zip(*(c.to_pylist() for c in table.columns), strict=True):
                if split is None or split.at != (path, start):
                    rows += split.end() if split else ()
                    split = _Split((path, start), places[_key(unquote(path))], keep, make)
                rows += split.read(record)
            yield _table(rows)
        if split is not None:
            yield _table(list(split.end()))

    return read


def _article_of_row(row: dict[str, Any], name: str, number: int, keep: Sequence[str]) -> Article:
    """Make an article of a row of Parquet, where dates in nanoseconds come as numbers."""
    when = row.get("published")
    if isinstance(when, int) and abs(when) >= _LEAST_NANOSECONDS:
        row |= {
            "published": dt.datetime.fromtimestamp(0, dt.UTC)
            + dt.timedelta(microseconds=when // 1000)
        }
    return article_of_record(row, name, number, keep)


class _Split:
    """What a task reads of one file: from `start` on, in order."""

    def __init__(
        self,
        at: tuple[str, int],
        places: list[tuple[int, str]],
        keep: Sequence[str],
        make: Make,
    ) -> None:
        self.at, self._places, self._keep, self._make = at, places, keep, make
        self._rows = self._articles = self._problems = 0

    def read(self, record: Any) -> Iterator[tuple[object, ...]]:
        """Make items of one record: one, or one for each time that the file was named."""
        self._rows += 1
        for number, name in self._places:
            at = (number, self.at[1], self._rows)
            try:
                article = self._make(record, name, self._rows, self._keep)
            except InputError as error:
                self._problems += 1
                if self._problems <= TOLD_PROBLEMS:
                    yield _item(at, {"problem": [error.problem, error.remedy]})
                continue
            if article is not None:
                self._articles += 1
                yield _item(at, {"article": _packed(article)}, story_key(article))

    def end(self) -> Iterator[tuple[object, ...]]:
        """Say how much it was."""
        for number, _ in self._places:
            counts = [
                self._rows, self._articles // len(self._places), self._problems // len(self._places)
            ]  # fmt: skip
            yield _item((number, self.at[1], _LAST), {"split": counts})


def _item(at: Position, item: dict[str, Any], story: int | None = None) -> tuple[object, ...]:
    # What is no story, or never a duplicate, is one of its own.
    key = "/".join(map(str, at)) if story is None else str(story)
    return (*at, key, json.dumps(item))


def _table(rows: list[tuple[object, ...]]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True) if rows else ((),) * len(_ITEMS)
    arrays = [pa.array(c, type=k) for c, k in zip(columns, _ITEMS.types, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=_ITEMS)


def _packed(article: Article) -> list[Any]:
    when = article.published.isoformat() if article.published else None
    extra = {key: plain_value(value) for key, value in article.extra.items()}
    return [
        article.id, article.title, article.text, when, article.publisher, article.url, extra,
        article.note, article.whole,
    ]  # fmt: skip


def _unpacked(values: list[Any]) -> Article:
    article = Article(*values)
    when: Any = article.published
    article.published = dt.datetime.fromisoformat(when).astimezone(dt.UTC) if when else None
    return article


# --- scoring, on a worker ---


def _scorer(settings: Settings, kind: str, told: Any) -> Stage:
    def score(tables: Batches) -> Iterator[pa.RecordBatch]:
        here, part = _unshipped(settings), _Told()
        schema = arrow_schema(settings.keep)
        columns = (*RECORD_COLUMNS, *settings.keep)
        if kind == "csv":
            yield _text_of(partial(CsvWriter, names=columns))
        for group in batches(_articles(tables, part)):
            frame, summary = score_batch(group, here)
            part.summary.add(summary)
            if frame.empty:
                continue
            if kind == "parquet":
                yield from arrow_table(frame, schema).to_batches()
            elif kind == "csv":
                yield _text_of(partial(CsvWriter, names=columns, header=False), frame)
            else:
                yield _text_of(JsonlWriter, frame)
        told.add(part)

    return score


def _articles(tables: Batches, part: _Told) -> Iterator[Article]:
    """Give the articles of a partition; what else is in it is counted and told."""
    for table in tables:
        for file, start, row, item in zip(*(c.to_pylist() for c in table.columns), strict=True):
            if item is None:
                part.summary.duplicates += 1
                continue
            ((what, value),) = json.loads(item).items()
            if what == "article":
                yield _unpacked(value)
            elif what == "problem":
                part.problems.append(((file, start, row), *value))
            else:
                part.splits.append((file, start, *value))


def _text_of(writer: Callable[[Any], Any], frame: Any = None) -> pa.RecordBatch:
    """Write rows as the local engine does; they become one value, whose last line end Spark writes."""
    file = io.BytesIO()
    sink = writer(file)
    if frame is not None:
        sink.write(frame)
    return pa.RecordBatch.from_pydict({"value": [file.getvalue().decode().removesuffix("\n")]})


def _ddl(target: _Target, keep: Sequence[str]) -> Any:
    from pyspark.sql.pandas.types import from_arrow_schema

    if target.kind != "parquet":
        return "value string"
    return from_arrow_schema(arrow_schema(keep))


# --- what comes back to the driver ---


@dataclass
class _Told:
    """What came of a partition, or of all: problems and splits with their position."""

    summary: Summary = field(default_factory=Summary)
    problems: list[tuple[Position, str, str]] = field(default_factory=list)
    splits: list[tuple[int, int, int, int, int]] = field(default_factory=list)

    @property
    def untold(self) -> int:
        """Count the problems that were not told one by one."""
        return sum(problems for *_, problems in self.splits) - len(self.problems)

    def placed(self, found: list[_File]) -> list[_Placed]:
        """Name file and line of every problem; a file without articles and without a problem is one too."""
        names = {file.number: file.name for file in found}
        before: dict[tuple[int, int], int] = {}  # rows of a file before a split
        rows, met = Counter[int](), Counter[int]()
        for number, start, count, articles, problems in sorted(self.splits):
            before[number, start] = rows[number]
            rows[number] += count
            met[number] += articles + problems
        out: list[_Placed] = []
        for (number, start, row), problem, remedy in self.problems:
            line = before[number, start] + row
            out.append(((number, line), InputError(names[number], problem, remedy, line)))
        for file in found:
            if not met[file.number]:
                empty = file.format == "jsonl" and not rows[file.number]
                problem = f"expected articles, found {'an empty input' if empty else 'none'}."
                error = InputError(file.name, problem, "Nothing was read.")
                out.append(((file.number, 0), error))
        return out


class _Adding:
    """Adds up what the tasks tell. They are the last of their job: Spark counts each once, whatever it tries again."""

    def zero(self, value: _Told) -> _Told:
        return _Told()

    def addInPlace(self, value1: _Told, value2: _Told) -> _Told:  # noqa: N802 - as Spark calls it
        value1.summary.add(value2.summary)
        value1.problems += value2.problems
        value1.splits += value2.splits
        return value1


class _LeftOut(Exception):
    """A file that cannot be read, or all of a format: the job is done again without."""

    def __init__(self, problem: str, remedy: str, *, path: str = "", form: str = "") -> None:
        self._problem, self._remedy, self._path, self._form = problem, remedy, path, form

    def means(self, file: _File) -> bool:
        """Tell whether it is about a file."""
        paths = {_key(self._path), _key(unquote(self._path))}
        return file.format == self._form or file.key in paths

    def told(self, found: list[_File]) -> list[_Placed]:
        """Give a problem for each file that it is about."""
        bad = [file for file in found if self.means(file)]
        if not bad:
            raise TensionError(f"{self._path}: {self._problem} {self._remedy}")
        return [
            ((file.number, 0), InputError(file.name, self._problem, self._remedy)) for file in bad
        ]


# --- output ---


class _Target:
    """The folder that Spark writes to, by way of Hadoop, which knows every file system that Spark does."""

    def __init__(self, spark: SparkSession, output: str | Path, kind: str) -> None:
        self.name, self.kind = str(output), kind
        is_uri = _SCHEME.match(self.name)
        self._where = self.name if is_uri else f"file:{os.path.abspath(self.name)}"  # noqa: PTH100
        jvm, context = _java(spark)
        self._path = jvm.org.apache.hadoop.fs.Path(self._where)
        self._jvm = jvm
        self._system = self._path.getFileSystem(context.hadoopConfiguration())
        if self._system.exists(self._path):
            raise OutputError(
                f"{self.name}: expected a folder that is not there yet, as Spark writes one, found it there. "
                "Remove it, or name another -o."
            )

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Leave no folder behind where the block fails."""
        try:
            yield
        except BaseException:
            with suppress(Exception):  # what matters is the first error
                self._system.delete(self._path, True)
            raise

    def write(self, frame: DataFrame) -> None:
        """Write the parts."""
        if self.kind == "parquet":
            frame.write.parquet(self._where, compression="zstd")
            return
        packed = self.name.lower().endswith(".gz")
        frame.write.text(self._where, compression="gzip" if packed else "none")
        for status in self._system.listStatus(self._path):
            old = status.getPath()
            name = old.getName()
            if name.startswith("part-"):  # what Spark calls .txt
                new = re.sub(r"\.txt(?=\.gz$|$)", f".{self.kind}", name)
                self._system.rename(old, self._jvm.org.apache.hadoop.fs.Path(self._path, new))


def _java(spark: SparkSession) -> tuple[Any, Any]:
    """Give Spark's Java side, and its context."""
    context: Any = spark.sparkContext
    return context._jvm, context._jsc


# --- the model, options, errors ---


def _ship_model(spark: SparkSession, settings: Settings) -> Settings:
    """Send the folder of a model that was named to the workers; the shipped one they have in the package."""
    if settings.model is None:
        return settings
    context: Any = spark.sparkContext
    name = f"tension-model-{uuid.uuid4().hex}"
    folder = Path(context._temp_dir, name)  # goes with the context, which workers may join late
    if settings.tier == TIERS[0]:
        shutil.copytree(settings.model, folder, ignore=shutil.ignore_patterns("*.onnx"))
    else:
        whole_copy(settings.model, folder)
    archive = shutil.make_archive(str(folder), "zip", folder)
    context.addArchive(f"{Path(archive).as_uri()}#{name}")
    return replace(settings, model=Path(name))


def _unshipped(settings: Settings) -> Settings:
    if settings.model is None:
        return settings
    from pyspark import SparkFiles

    return replace(settings, model=Path(SparkFiles.get(str(settings.model))))


@contextmanager
def _options(spark: SparkSession) -> Iterator[None]:
    """Set what equality with the local engine needs, for the length of a block."""
    before = {name: spark.conf.get(name) for name in _OPTIONS}
    for name, value in _OPTIONS.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        for name, old in before.items():
            if old is not None:
                spark.conf.set(name, old)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Make one line of what Java and the workers say at length."""
    try:
        yield
    except Exception as error:
        raise _plain(error) from error


def _plain(error: Exception) -> Exception:
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    if not isinstance(error, Py4JError | PySparkException):
        return error
    text = str(error)
    if match := _UNREADABLE.search(text):
        return _LeftOut(
            "expected a file that Spark reads to its end, found it damaged or cut short.",
            "It was left out; --engine local reads what is whole of it.",
            path=match[1],
        )
    if match := re.search(r"scoring\.errors\.\w+: (.+)", text):
        return TensionError(match[1])
    if "No module named 'scoring" in text:
        return TensionError(
            "--engine spark: expected this package on every worker, found it missing. "
            "Send it along: docs/spark.md."
        )
    return TensionError(
        f"--engine spark: expected the job to run to its end, found: {in_short(error)} "
        "More is in the logs of Spark."
    )
