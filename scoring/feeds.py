"""Bytes -> articles, from every format that news comes in. One bad record, or input, never stops the rest."""

from __future__ import annotations

import calendar
import contextlib
import csv
import io
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, Any, Final
from xml.sax import SAXException

from scoring.articles import MOST_CHARACTERS, Article, content_id, to_utc, unique
from scoring.errors import InputError, UsageError
from scoring.inputs import (
    SUFFIXES,
    Source,
    expand,
    open_source,
    read_document,
    unreadable,
)
from scoring.markup import read_page, to_text

__all__ = ["FORMATS", "Article", "read_articles", "unique"]

FORMATS: Final = ("auto", "feed", "jsonl", "csv", "parquet", "html", "text", "lines")
"""Input formats; auto goes by the file's ending, then by its first bytes."""

MOST_FEED: Final = 25_000_000
"""Bytes of one XML feed, unpacked; the largest real ones are a few million."""

MOST_LINE: Final = 10_000_000
"""Bytes of one line of JSONL or of statements; of one CSV field in characters."""

NO_TEXT: Final = "no text"

_KEYS: Final = ("id", "title", "text", "published", "publisher", "url")
_LONGEST_TITLE: Final = 300
_SNIFF: Final = 4096
_TRAILER: Final = re.compile(
    r"\s*(?:(?:Continue reading|Read more|Read full story|Read the full story)\s*(?:\.{3}|…|»|→|>)*|\[?(?:…|\.{3})\]?|"
    r"The post .{1,300} (?:appeared first on|first appeared on) .{1,100})\s*$"
)

Problem = Callable[[InputError], None]
Reader = Callable[[IO[bytes], str, Problem, Sequence[str]], Iterator[Article]]


def read_articles(
    inputs: Sequence[str],
    input_format: str = "auto",
    on_problem: Problem = lambda error: None,
    keep: Sequence[str] = (),
    *,
    on_bytes: Callable[[int], None] | None = None,
) -> Iterator[Article]:
    """Read articles lazily from files, folders, globs, standard input and URLs.

    Parameters
    ----------
    inputs : sequence of str
        As `scoring.inputs.expand` takes them.
    input_format : str, optional
        One of `FORMATS`.
    on_problem : callable, optional
        Takes an `InputError` for each input or record that cannot be read; reading goes on with the next.
    keep : sequence of str, optional
        Keys of the records to carry through in ``Article.extra``.
    on_bytes : callable, optional
        Told how many bytes have been read, as they lie on disk.

    Yields
    ------
    Article

    Raises
    ------
    UsageError
        If the format is none of `FORMATS`.
    """
    if input_format not in FORMATS:
        raise UsageError(f"expected a format out of {', '.join(FORMATS)}, found {input_format!r}.")
    for source in expand(inputs, on_problem):
        try:
            with contextlib.closing(open_source(source, on_bytes)) as stream:
                reader = _READERS[_format(source, stream, input_format)]
                yield from reader(stream, source.name, on_problem, keep)
        except InputError as error:
            on_problem(error)
        except OSError as error:
            on_problem(unreadable(source.name, error))


def _format(source: Source, stream: io.BufferedReader, asked: str) -> str:
    head = stream.peek(_SNIFF)[:_SNIFF]
    if head.startswith(b"PAR1"):
        return "parquet"
    if b"\0" in head[:1024]:
        raise InputError(
            source.name, "expected text, found binary data.", "Give a feed, JSONL, CSV, Parquet, HTML or text."
        )
    if asked != "auto":
        return asked
    return SUFFIXES.get(source.suffix) or _sniff(head)


def _sniff(head: bytes) -> str:
    start = head.lstrip()[:512].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "html"
    if start.startswith(b"<"):
        return "feed"
    if start.startswith((b"{", b"[")):
        return "json"
    return "text"


# --- records: JSONL, CSV, Parquet ---------------------------------------------------------------------------


def _article(record: object, name: str, line: int, keep: Sequence[str], note: str | None = None) -> Article:
    """Make an article of one record; raise `InputError` where it is none."""
    if not isinstance(record, Mapping):
        raise InputError(
            name, f"expected a JSON object, found {type(record).__name__}.", "Give one article a line.", line
        )
    if "title" not in record and "text" not in record:
        found = ", ".join(map(str, list(record)[:12])) or "none"
        raise InputError(
            name, f"expected the key title or text, found the keys {found}.", "Rename the key of the text.", line
        )
    title, text = (_string(record, key, name, line) for key in ("title", "text"))
    if text is not None and len(text) > MOST_CHARACTERS:
        text, note = text[:MOST_CHARACTERS], f"text cut at {MOST_CHARACTERS:,} characters"
    if not (title or text):
        note = NO_TEXT
    given = record.get("id")
    return Article(
        id=content_id(title, text) if _is_null(given) or given == "" else str(given),
        title=title,
        text=text,
        published=to_utc(record.get("published")),
        publisher=_optional(record.get("publisher")),
        url=_optional(record.get("url")),
        extra={key: record.get(key) for key in keep},
        note=note,
    )


def _is_null(value: object) -> bool:
    return value is None or value != value  # noqa: PLR0124 - NaN is not itself


def _optional(value: object) -> str | None:
    return None if _is_null(value) or value == "" else str(value)


def _string(record: Mapping[str, object], key: str, name: str, line: int) -> str | None:
    value = record.get(key)
    if _is_null(value):
        return None
    if not isinstance(value, str):
        raise InputError(
            name, f"expected text under {key!r}, found {type(value).__name__}.", "Give a string or null.", line
        )
    return value.strip() or None


def _lines(stream: IO[bytes], name: str, on_problem: Problem) -> Iterator[tuple[int, bytes]]:
    """Number the lines from 1; one that is too long is told and skipped."""
    number = 0
    while line := stream.readline(MOST_LINE + 1):
        number += 1
        if len(line) > MOST_LINE and not line.endswith(b"\n"):
            while (rest := stream.readline(MOST_LINE)) and not rest.endswith(b"\n"):
                pass
            on_problem(
                InputError(
                    name, f"expected at most {MOST_LINE:,} bytes in a line, found more.", "It was skipped.", number
                )
            )
            continue
        yield number, line


def _decoded(line: bytes) -> tuple[str, str | None]:
    try:
        return line.decode(), None
    except UnicodeDecodeError:
        return line.decode(errors="replace"), "invalid UTF-8 replaced"


def _read_jsonl(
    stream: IO[bytes], name: str, on_problem: Problem, keep: Sequence[str]
) -> Iterator[Article]:
    for number, raw in _lines(stream, name, on_problem):
        if not raw.strip():
            continue
        line, note = _decoded(raw)
        try:
            yield _article(_json(line, name, number), name, number, keep, note)
        except InputError as error:
            on_problem(error)


def _json(text: str, name: str, line: int | None = None) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", None) or str(error)
        raise InputError(name, f"expected JSON, found none ({reason}).", "Mend or drop it.", line) from None


def _read_json(
    stream: IO[bytes], name: str, on_problem: Problem, keep: Sequence[str]
) -> Iterator[Article]:
    """Read what a .json file may be: JSON Feed, a list of records, one record, or JSONL after all."""
    first = stream.peek(_SNIFF)[:_SNIFF] if isinstance(stream, io.BufferedReader) else b""
    if re.match(rb'\s*\{[^\n]*\}\s*\n\s*\{', first):
        yield from _read_jsonl(stream, name, on_problem, keep)
        return
    text, note = _decoded(read_document(stream, name))
    try:
        document = _json(text, name)
    except InputError:
        if "\n" not in text.strip():
            raise
        yield from _read_jsonl(io.BytesIO(text.encode()), name, on_problem, keep)
        return
    if isinstance(document, dict) and isinstance(document.get("items"), list):
        yield from _json_feed(document, name, on_problem, keep)
        return
    for number, record in enumerate(document if isinstance(document, list) else [document], 1):
        try:
            yield _article(record, name, number, keep, note)
        except InputError as error:
            on_problem(error)


def _json_feed(
    feed: dict[str, Any], name: str, on_problem: Problem, keep: Sequence[str]
) -> Iterator[Article]:
    if not feed["items"]:
        raise InputError(name, "expected items, found a feed that holds none.", "Nothing was read.")
    for number, item in enumerate(feed["items"], 1):
        try:
            if not isinstance(item, dict):
                raise InputError(name, f"expected an item, found {type(item).__name__}.", "Skipped.", number)
            bodies = [_plain(item.get(key)) for key in ("content_html", "content_text", "summary")]
            record = {key: item.get(key) for key in keep} | {
                "id": item.get("id"),
                "title": _plain(item.get("title")) or None,
                "text": max(bodies, key=len) or None,
                "published": item.get("date_published") or item.get("date_modified"),
                "publisher": feed.get("title"),
                "url": item.get("url"),
            }
            yield _article(record, name, number, keep)
        except InputError as error:
            on_problem(error)


def _plain(markup: object) -> str:
    """Turn a feed's HTML into text without what feeds append to it."""
    if not isinstance(markup, str):
        return ""
    return _TRAILER.sub("", to_text(markup[: 2 * MOST_CHARACTERS]))


def _read_csv(
    stream: IO[bytes], name: str, on_problem: Problem, keep: Sequence[str]
) -> Iterator[Article]:
    csv.field_size_limit(MOST_LINE)
    text = io.TextIOWrapper(stream, encoding="utf-8", errors="replace", newline="")
    try:
        header_line = text.readline(MOST_LINE)
        delimiter = max("\t,;|", key=header_line.count)
        header = [cell.strip() for cell in next(csv.reader([header_line], delimiter=delimiter), [])]
        columns = [cell.lower() if cell.lower() in _KEYS else cell for cell in header]
        if not {"title", "text"} & set(columns):
            found = ", ".join(header[:12])
            raise InputError(name, f"expected a column title or text, found {found}.", "Rename the column.", 1)
        rows = csv.reader(text, delimiter=delimiter, strict=True)
        while True:
            try:
                row = next(rows, None)
                if row is None:
                    return
                if not row:
                    continue
                line = rows.line_num + 1
                if len(row) > len(columns):
                    raise InputError(
                        name,
                        f"expected {len(columns)} fields, found {len(row)}.",
                        "Quote fields that hold the delimiter.",
                        line,
                    )
                note = "invalid UTF-8 replaced" if any("\ufffd" in cell for cell in row) else None
                yield _article(dict.fromkeys(columns) | dict(zip(columns, row, strict=False)), name, line, keep, note)
            except InputError as error:
                on_problem(error)
            except csv.Error as error:
                line = rows.line_num + 1
                on_problem(InputError(name, f"expected CSV, found a bad row ({error}).", "Mend its quotes.", line))
    finally:
        text.detach()


def _read_parquet(
    stream: IO[bytes], name: str, on_problem: Problem, keep: Sequence[str]
) -> Iterator[Article]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with tempfile.TemporaryFile() as seekable:
        shutil.copyfileobj(stream, seekable)
        seekable.seek(0)
        try:
            file = pq.ParquetFile(seekable)
            names = set(file.schema_arrow.names)
            if not {"title", "text"} & names:
                found = ", ".join(sorted(names)[:12])
                raise InputError(name, f"expected a column title or text, found {found}.", "Rename the column.")
            wanted = [key for key in dict.fromkeys((*_KEYS, *keep)) if key in names]
            number = 0
            for batch in file.iter_batches(batch_size=1024, columns=wanted):
                for record in batch.to_pylist():
                    number += 1
                    try:
                        yield _article(record, name, number, keep)
                    except InputError as error:
                        on_problem(error)
        except (pa.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(name, f"expected Parquet, found it damaged ({reason}).", "Write it again.") from None


# --- documents: feeds, HTML, text ---------------------------------------------------------------------------


def _read_feed(
    stream: IO[bytes], name: str, on_problem: Problem, keep: Sequence[str]
) -> Iterator[Article]:
    data = read_document(stream, name, MOST_FEED).lstrip()  # many feeds begin with a blank line; XML forbids it
    if data[:1] in (b"{", b"["):
        yield from _read_json(io.BufferedReader(io.BytesIO(data)), name, on_problem, keep)  # type: ignore[arg-type]
        return
    _refuse_entities(data, name)
    feed = _parse(data, name)
    if not feed.entries:
        if re.match(rb"\s*(?:<!doctype html|<html)", data[:_SNIFF], re.IGNORECASE):
            raise InputError(name, "expected a feed, found an HTML page.", "Use --input-format html.")
        raise InputError(name, "expected a feed with items, found none.", "Nothing was read.")
    if feed.bozo and isinstance(feed.bozo_exception, SAXException):
        reason = feed.bozo_exception.getMessage()
        on_problem(InputError(name, f"expected XML, found it broken ({reason}).", "What could be read was."))
    publisher = _plain(feed.feed.get("title")) or None
    for number, entry in enumerate(feed.entries, 1):
        try:
            yield _article(_entry(entry, publisher, keep), name, number, keep)
        except InputError as error:
            on_problem(error)


def _refuse_entities(data: bytes, name: str) -> None:
    """Refuse a feed that declares entities: none needs to, and they are how a small file becomes a large one."""
    flat = data.replace(b"\0", b"") if b"\0" in data else data
    doctype = flat.find(b"<!DOCTYPE")
    if doctype >= 0 and flat.find(b"<!ENTITY", doctype) >= 0:
        raise InputError(name, "expected a feed, found XML that declares entities.", "It was refused for safety.")


def _parse(data: bytes, name: str) -> Any:
    import feedparser

    try:
        # bytes in a stream: a string could be taken for a URL or a path
        return feedparser.parse(io.BytesIO(data), sanitize_html=False, resolve_relative_uris=False)
    except Exception as error:  # a parser of anything may fail in any way, and the other inputs must go on
        raise InputError(name, f"expected a feed, found what no parser reads ({error!r}).", "Skipped.") from None


def _entry(entry: Any, publisher: str | None, keep: Sequence[str]) -> dict[str, Any]:
    bodies = [_plain(content.get("value")) for content in entry.get("content", ())]
    bodies.append(_plain(entry.get("summary")))
    title = _plain(entry.get("title"))
    text = max(bodies, key=len)
    when = entry.get("published_parsed") or entry.get("updated_parsed")
    return {key: entry.get(key) for key in keep} | {
        "id": entry.get("id") or entry.get("link"),
        "title": title or None,
        "text": None if text == title else text or None,
        "published": calendar.timegm(when) if when else None,
        "publisher": publisher,
        "url": entry.get("link"),
    }


def _text_of(data: bytes) -> tuple[str, str | None]:
    """Decode a document without a declared encoding; the Web's usual one where it is not UTF-8."""
    try:
        return data.decode(), None
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace"), "read as Windows-1252, not UTF-8"


def _read_html(
    stream: IO[bytes], name: str, on_problem: Problem, keep: Sequence[str]
) -> Iterator[Article]:
    data = read_document(stream, name)
    declared = re.search(rb"charset\s*=\s*[\"']?\s*([\w-]{1,40})", data[:_SNIFF], re.IGNORECASE)
    note = None
    try:
        markup = data.decode((declared[1] if declared else b"utf-8").decode())
    except (LookupError, UnicodeDecodeError):
        markup, note = _text_of(data)
    page = read_page(markup)
    record = page._asdict()
    if not (page.title or page.text):
        raise InputError(name, "expected a page with text, found none.", "Nothing was read.")
    yield _article(record, name, 1, keep, note)


def _read_text(
    stream: IO[bytes], name: str, on_problem: Problem, keep: Sequence[str]
) -> Iterator[Article]:
    text, note = _text_of(read_document(stream, name))
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    title, blank, body = text.partition("\n\n")
    if not blank or "\n" in title or len(title) > _LONGEST_TITLE:
        title, body = "", text
    yield _article({"title": title or None, "text": body or None}, name, 1, keep, note)


def _read_lines(
    stream: IO[bytes], name: str, on_problem: Problem, keep: Sequence[str]
) -> Iterator[Article]:
    for number, raw in _lines(stream, name, on_problem):
        line, note = _decoded(raw)
        text = line.strip() or None
        if text is None:
            note = NO_TEXT
        yield Article(str(number), None, text, extra=dict.fromkeys(keep), note=note, whole=True)


_READERS: Final[dict[str, Reader]] = {
    "feed": _read_feed,
    "json": _read_json,
    "jsonl": _read_jsonl,
    "csv": _read_csv,
    "parquet": _read_parquet,
    "html": _read_html,
    "text": _read_text,
    "lines": _read_lines,
}
