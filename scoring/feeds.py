"""Bytes -> articles, from every format that news comes in.

One bad record, or input, never stops the rest.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import datetime as dt
import io
import itertools
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, AnyStr, Final
from urllib.parse import urljoin
from xml.sax import SAXException

from scoring.articles import MOST_CHARACTERS, Article, content_id, to_utc, unique
from scoring.errors import InputError, UsageError
from scoring.inputs import (
    MOST_DOCUMENT,
    SUFFIXES,
    Source,
    expand,
    is_url,
    open_source,
    read_document,
    unreadable,
)
from scoring.markup import read_page, to_text

__all__ = [
    "FORMATS",
    "Article",
    "article_of_line",
    "article_of_record",
    "read_articles",
    "unique",
    "wanted_columns",
]

FORMATS: Final = ("auto", "feed", "jsonl", "csv", "parquet", "html", "text", "lines")
"""Input formats; auto goes by the file's ending, then by its first bytes."""

MOST_FEED: Final = 25_000_000
"""Bytes of one XML feed, unpacked; the largest real ones are a few million."""

MOST_LINE: Final = 10_000_000
"""Bytes of one line of JSONL or of statements; of one CSV field in characters."""

NO_TEXT: Final = "no text"
INVALID: Final = "invalid UTF-8 replaced"

_KEYS: Final = ("id", "title", "text", "published", "publisher", "url")
_STATEMENT: Final = "sentence"  # where there is neither title nor text: one statement, never split
_TEXTS: Final = frozenset({"title", "text", _STATEMENT})
_END: Final = (b"\n",)
_LONGEST_TITLE: Final = 300
_SNIFF: Final = 4096
_CONTROLS: Final = bytes({*range(32), 127} - set(b"\t\n\f\r\x1b"))
_MOST_CONTROLS: Final = 0.05  # of the first bytes; text has next to none, binary data a tenth

# What feeds wrap around the text of an item. Lines of their own: the date, hash tags, a plug, words
# that lead to a picture which is no text. At the very end: an ellipsis, a link to the rest.
_PLUG: Final = r"The post .{1,300} (?:appeared first on|first appeared on) .{1,100}"
_DATE: Final = re.compile(r"[A-Z][a-z]{2,8} \d{1,2}, \d{4} \d{1,2}:\d\d [AP]M")
_BARE: Final = re.compile(rf"(?:#\w+ ?)+|[^:]{{1,40}}:|Comments|{_PLUG}")
_TRAILER: Final = re.compile(
    r"\s*(?:(?:Continue reading|(?:Read|Learn) more|Read (?:the )?full story)\s*(?:\.{3}|[…»→>])*"
    rf"|\[?(?:…|\.{{3}})\]?|{_PLUG})\s*$"
)
_LONGEST_TRAILER: Final = 500

# Encodings that news is written in. Python knows more, such as UTF-7 or punycode, which would only
# hide or slow down what is hostile. As on the Web, Latin-1 and ASCII mean Windows-1252.
_ENCODING: Final = re.compile(
    r"iso-?8859-?\d+|latin-?\d|us-ascii|windows-\d+|cp-?\d+|koi8-[ru]|gb(?:2312|k|18030)|big5"
    r"|euc-(?:jp|kr)|shift[-_]jis|macintosh",
    re.IGNORECASE,
)
_REFERENCE: Final = re.compile(r"&#(?:(\d{5,})|[xX]([\da-fA-F]{4,}));?")
_XML: Final = re.compile(rb"<\?xml[^>]{0,200}\bencoding\s*=\s*[\"']([\w-]{1,40})")
_META: Final = re.compile(rb"charset\s*=\s*[\"']?\s*([\w-]{1,40})", re.IGNORECASE)

Problem = Callable[[InputError], None]
Reader = Callable[[io.BufferedReader, str, Problem, Sequence[str]], Iterator[Article]]


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
        Takes an `InputError` for each input or record that cannot be read; reading goes on with
        the next.
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
                yield from _some(reader, stream, source.name, on_problem, keep)
        except InputError as error:
            on_problem(error)
        except OSError as error:
            on_problem(unreadable(source.name, error))


def _some(
    reader: Reader,
    stream: io.BufferedReader,
    name: str,
    on_problem: Problem,
    keep: Sequence[str],
) -> Iterator[Article]:
    """Read on; to find nothing, and nothing wrong, is a problem too."""
    told = False

    def tell(error: InputError) -> None:
        nonlocal told
        told = True
        on_problem(error)

    article = None
    for article in reader(stream, name, tell, keep):
        yield article
    if article is None and not told:
        raise InputError(name, "expected articles, found none.", "Nothing was read.")


def _format(source: Source, stream: io.BufferedReader, asked: str) -> str:
    head = stream.peek(_SNIFF)[:_SNIFF]
    if head.startswith(b"PAR1"):
        return "parquet"
    controls = len(head) - len(head.translate(None, _CONTROLS))
    if b"\0" in head[:1024] or controls > _MOST_CONTROLS * len(head) or head.startswith(b"%PDF"):
        remedy = "Give a feed, JSONL, CSV, Parquet, HTML or text."
        raise InputError(source.name, "expected text, found binary data.", remedy)
    if asked != "auto":
        return asked
    found = SUFFIXES.get(source.suffix) or _sniff(head)
    # An address that gives a page is most likely the wrong one, or one that wants a log-in: the
    # feed reader refuses it, and says how to have it read as a page.
    return "feed" if found == "html" and is_url(source.name) else found


def _sniff(head: bytes) -> str:
    start = head.lstrip()[:512].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "html"
    if start.startswith(b"<"):
        return "feed"
    if start.startswith((b"{", b"[")):
        return "json"
    return "text"


# --- records: JSONL, CSV, Parquet -----------------------------------------------------------------


def article_of_line(raw: bytes, name: str, line: int, keep: Sequence[str]) -> Article | None:
    """Make an article of one line of JSONL.

    Parameters
    ----------
    raw : bytes
        The line, with or without its end.
    name, line : str, int
        Where it stands, for messages.
    keep : sequence of str
        Keys to carry through.

    Returns
    -------
    Article or None
        None of a blank line.

    Raises
    ------
    InputError
        If it holds no article, or is too long.
    """
    if len(raw) > MOST_LINE and not raw.endswith(_END):
        raise _too_long(name, line)
    if not raw.strip():
        return None
    text, note = _decoded(raw.removesuffix(b"\n"))
    return article_of_record(_json(text, name, line), name, line, keep, note)


def article_of_record(
    record: object, name: str, line: int, keep: Sequence[str], note: str | None = None
) -> Article:
    """Make an article of one record.

    Parameters
    ----------
    record : object
        What JSON or a row of a table gives: a mapping, if it is an article.
    name, line : str, int
        Where it stands, for messages.
    keep : sequence of str
        Keys to carry through.
    note : str, optional
        What was mended in reading.

    Returns
    -------
    Article

    Raises
    ------
    InputError
        If it is none.
    """
    if not isinstance(record, Mapping):
        problem = f"expected a JSON object, found {type(record).__name__}."
        raise InputError(name, problem, "Give one article a line.", line)
    whole = "title" not in record and "text" not in record
    if whole and _STATEMENT not in record:
        found = ", ".join(map(str, list(record)[:12])) or "none"
        problem = f"expected the key title, text or sentence, found the keys {found}."
        raise InputError(name, problem, "Rename the key of the text.", line)
    body = _STATEMENT if whole else "text"
    title, text = (_string(record, key, name, line) for key in ("title", body))
    if max(len(title or ""), len(text or "")) > MOST_CHARACTERS:
        title, text = (part and part[:MOST_CHARACTERS] for part in (title, text))
        note = f"cut at {MOST_CHARACTERS:,} characters"
    return Article(
        id=_optional(record.get("id")) or content_id(title, text),
        title=title,
        text=text,
        published=to_utc(record.get("published")),
        publisher=_optional(record.get("publisher")),
        url=_optional(record.get("url")),
        extra={key: _encodable(record.get(key)) for key in keep},
        note=note if title or text else NO_TEXT,
        whole=whole,
    )


def _is_null(value: object) -> bool:
    return value is None or value != value  # NaN is not itself


def _encodable(value: Any) -> Any:
    """Replace half a surrogate pair, which JSON can hold and no output can."""
    if isinstance(value, str) and not value.isascii():
        return value.encode(errors="replace").decode()
    return value


def _optional(value: object) -> str | None:
    return None if _is_null(value) else _encodable(str(value)) or None


def _string(record: Mapping[str, object], key: str, name: str, line: int) -> str | None:
    value = record.get(key)
    if _is_null(value):
        return None
    if not isinstance(value, str):
        problem = f"expected text under {key!r}, found {type(value).__name__}."
        raise InputError(name, problem, "Give a string or null.", line)
    return str(_encodable(value)).strip() or None


def _lines(
    readline: Callable[[int], AnyStr],
    ends: tuple[AnyStr, ...],
    name: str,
    on_problem: Problem,
    start: int = 1,
) -> Iterator[tuple[int, AnyStr]]:
    """Give each line its number; one that is too long is told, and empty."""
    for number in itertools.count(start):
        line = readline(MOST_LINE + 1)
        if not line:
            return
        if len(line) > MOST_LINE and not line.endswith(ends):
            while (rest := readline(MOST_LINE)) and not rest.endswith(ends):
                pass
            on_problem(_too_long(name, number))
            line = line[:0]
        yield number, line


def _too_long(name: str, line: int) -> InputError:
    problem = f"expected at most {MOST_LINE:,} bytes in a line, found more."
    return InputError(name, problem, "It was skipped.", line)


def _decoded(line: bytes) -> tuple[str, str | None]:
    try:
        return line.decode(), None
    except UnicodeDecodeError:
        return line.decode(errors="replace"), INVALID


def _read_lines(
    stream: io.BufferedReader, name: str, on_problem: Problem, keep: Sequence[str]
) -> Iterator[Article]:
    for number, raw in _lines(stream.readline, _END, name, on_problem):
        line, note = _decoded(raw)
        article = article_of_record({"id": number, "text": line}, name, number, keep, note)
        article.whole = True
        yield article


def _read_jsonl(
    stream: io.BufferedReader, name: str, on_problem: Problem, keep: Sequence[str]
) -> Iterator[Article]:
    lines = _lines(stream.readline, _END, name, on_problem)
    yield from _jsonl(lines, name, on_problem, keep)


def _jsonl(
    lines: Iterable[tuple[int, bytes]], name: str, on_problem: Problem, keep: Sequence[str]
) -> Iterator[Article]:
    for number, raw in lines:
        try:
            if article := article_of_line(raw, name, number, keep):
                yield article
        except InputError as error:
            on_problem(error)


def _json(text: str, name: str, line: int | None = None) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        problem = f"expected JSON, found none ({getattr(error, 'msg', None) or error})."
        raise InputError(name, problem, "Mend or drop it.", line) from None


def _read_json(
    stream: io.BufferedReader, name: str, on_problem: Problem, keep: Sequence[str]
) -> Iterator[Article]:
    """Read what .json files are: a JSON Feed, a list of records, one record, or JSONL after all."""
    first = stream.readline(MOST_DOCUMENT)
    if stream.peek(_SNIFF).strip() and _is_object(first):
        lines = _lines(stream.readline, _END, name, on_problem, start=2)
        yield from _jsonl(itertools.chain([(1, first)], lines), name, on_problem, keep)
        return
    text, note = _decoded(first + read_document(stream, name, MOST_DOCUMENT - len(first)))
    document = _json(text, name)
    if isinstance(document, dict) and isinstance(document.get("items"), list):
        records: Any = (_item(item, document.get("title"), keep) for item in document["items"])
    else:
        records = document if isinstance(document, list) else [document]
    for number, record in enumerate(records, 1):
        try:
            yield article_of_record(record, name, number, keep, note)
        except InputError as error:
            on_problem(error)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _item(item: object, publisher: object, keep: Sequence[str]) -> object:
    """Make a record of an item of a JSON Feed."""
    if not isinstance(item, dict):
        return item
    bodies = (_body(item.get(key)) for key in ("content_html", "content_text", "summary"))
    return {key: item.get(key) for key in keep} | {
        "id": item.get("id"),
        "title": _title(item.get("title")),
        "text": max(bodies, key=len),
        "published": item.get("date_published") or item.get("date_modified"),
        "publisher": publisher,
        "url": item.get("url"),
    }


def _read_csv(
    stream: io.BufferedReader, name: str, on_problem: Problem, keep: Sequence[str]
) -> Iterator[Article]:
    csv.field_size_limit(MOST_LINE)
    text = io.TextIOWrapper(stream, encoding="utf-8", errors="replace", newline="")
    try:
        first = text.readline(MOST_LINE)
        delimiter = max("\t,;|", key=first.count)
        header = [cell.strip() for cell in next(csv.reader([first], delimiter=delimiter), [])]
        columns = [
            cell.lower() if cell.lower() in (*_KEYS, _STATEMENT) else cell for cell in header
        ]
        if not _TEXTS & set(columns):
            found = ", ".join(header[:12])
            problem = f"expected a column title, text or sentence, found {found}."
            raise InputError(name, problem, "Rename the column.", 1)
        lines = _lines(text.readline, ("\n", "\r"), name, on_problem, start=2)
        for line, row in _rows((line for _, line in lines), delimiter, name, on_problem):
            try:
                if len(row) > len(columns):
                    problem = f"expected {len(columns)} fields, found {len(row)}."
                    raise InputError(name, problem, "Quote what holds the delimiter.", line)
                record = dict.fromkeys(columns) | dict(zip(columns, row, strict=False))
                note = INVALID if any("\ufffd" in cell for cell in row) else None
                yield article_of_record(record, name, line, keep, note)
            except InputError as error:
                on_problem(error)
    finally:
        text.detach()


def _rows(
    lines: Iterator[str], delimiter: str, name: str, on_problem: Problem
) -> Iterator[tuple[int, list[str]]]:
    """Give the rows below the header, each with the line on which it begins."""
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = rows.line_num + 2
        try:
            row = next(rows, None)
        except csv.Error as error:
            problem = f"expected CSV, found a bad row ({error})."
            on_problem(InputError(name, problem, "Mend its quotes.", line))
            continue
        if row is None:
            return
        if row:
            yield line, row


def _read_parquet(
    stream: io.BufferedReader, name: str, on_problem: Problem, keep: Sequence[str]
) -> Iterator[Article]:
    import pyarrow as pa

    with tempfile.TemporaryFile() as seekable:
        shutil.copyfileobj(stream, seekable)
        seekable.seek(0)
        records = _parquet_records(seekable, name, keep)
        for number in itertools.count(1):
            try:
                record = next(records, None)
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                problem = f"expected Parquet, found it damaged ({str(error).splitlines()[0]})."
                raise InputError(name, problem, "Write it again.") from None
            if record is None:
                return
            try:
                yield article_of_record(record, name, number, keep)
            except InputError as error:
                on_problem(error)


def _parquet_records(file: Any, name: str, keep: Sequence[str]) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    table = pq.ParquetFile(file)
    wanted = wanted_columns(table.schema_arrow.names, name, keep)
    for batch in table.iter_batches(batch_size=1024, columns=wanted):
        yield from batch.to_pylist()


def wanted_columns(names: Sequence[str], name: str, keep: Sequence[str]) -> list[str]:
    """Choose the columns of a table that an article is made of.

    Parameters
    ----------
    names : sequence of str
        All columns.
    name : str
        The table, for messages.
    keep : sequence of str
        Columns to carry through.

    Returns
    -------
    list of str

    Raises
    ------
    InputError
        If none of them holds text.
    """
    if not _TEXTS & set(names):
        found = ", ".join(sorted(names)[:12])
        problem = f"expected a column title, text or sentence, found {found}."
        raise InputError(name, problem, "Rename the column.")
    return [key for key in dict.fromkeys((*_KEYS, _STATEMENT, *keep)) if key in names]


# --- documents: feeds, HTML, text -----------------------------------------------------------------


def _read_feed(
    stream: io.BufferedReader, name: str, on_problem: Problem, keep: Sequence[str]
) -> Iterator[Article]:
    data = read_document(stream, name, MOST_FEED, on_problem)
    data = data.lstrip()  # many feeds begin with a blank line, which XML forbids
    if data[:1] in (b"{", b"["):
        yield from _read_json(io.BufferedReader(io.BytesIO(data)), name, on_problem, keep)
        return
    text, note = _text_of(data, _XML.match(data))
    _refuse_entities(text, name)
    feed = _parse(text, name)
    if not feed.entries:
        if re.match(r"<!doctype html|<html", text, re.IGNORECASE):
            problem = "expected a feed, found an HTML page."
            raise InputError(name, problem, "To read it as one article: --input-format html.")
        raise InputError(name, "expected a feed with items, found none.", "Nothing was read.")
    if feed.bozo and isinstance(feed.bozo_exception, SAXException):
        problem = f"expected XML, found it broken ({feed.bozo_exception.getMessage()})."
        on_problem(InputError(name, problem, "What could be read was."))
    for number, entry in enumerate(feed.entries, 1):
        try:
            yield article_of_record(_entry(entry, feed.feed, keep), name, number, keep, note)
        except InputError as error:
            on_problem(error)


def _refuse_entities(text: str, name: str) -> None:
    """Refuse a feed that declares entities, which is how a small file becomes a large one.

    This is for a clear message: feedparser leaves out what a DOCTYPE declares in any case.
    """
    root = re.search(r"<[A-Za-z]", text)
    if "<!entity" in text[: root.start() if root else None].lower():
        problem = "expected a feed, found XML that declares entities."
        raise InputError(name, problem, "It was refused for safety.")


def _parse(text: str, name: str) -> Any:
    import feedparser

    # Bytes in a stream: a string could be taken for a URL or a path. The XML declaration goes,
    # since what it says of the encoding is no longer so.
    text = re.sub(r"^<\?xml[^>]*>", "", text).lstrip()
    data = _REFERENCE.sub(_sound, text).encode()
    try:
        return feedparser.parse(
            io.BytesIO(data),
            response_headers={"content-type": "application/xml; charset=utf-8"},
            sanitize_html=False,
            resolve_relative_uris=False,
        )
    except Exception as error:  # a parser of anything may fail in any way; the other inputs go on
        problem = f"expected a feed, found what no parser reads ({error!r})."
        raise InputError(name, problem, "It was skipped.") from None


def _sound(reference: re.Match[str]) -> str:
    """Keep the reference to a character; one to none ends feedparser, and with it the feed."""
    digits, base = (reference[1], 10) if reference[1] else (reference[2], 16)
    code = int(digits[:20], base)
    none = len(digits) > 20 or code > sys.maxunicode or 0xD800 <= code < 0xE000
    return "\ufffd" if none else reference[0]


def _entry(entry: Any, feed: Any, keep: Sequence[str]) -> dict[str, Any]:
    """Make a record of an item of an XML feed."""
    bodies = [_body(content.get("value")) for content in entry.get("content", ())]
    bodies.append(_body(entry.get("summary")))
    title, text = _title(entry.get("title")), max(bodies, key=len)
    return {key: entry.get(key) for key in keep} | {
        "id": entry.get("id") or entry.get("link"),
        "title": title,
        "text": None if text == title else text,
        "published": _published(entry),
        "publisher": _title(feed.get("title")),
        "url": _absolute(feed.get("link"), entry.get("link")),
    }


def _published(entry: Any) -> dt.datetime | None:
    for key in ("published_parsed", "published", "updated_parsed", "updated"):
        # "in" first: asked for the one that is not there, feedparser gives the other and warns
        if key in entry and (moment := to_utc(entry[key])):
            return moment
    return None


def _absolute(base: str | None, link: str | None) -> str | None:
    try:
        return urljoin(base or "", link or "") if link else None
    except ValueError:  # no URL by any reading
        return link


def _title(markup: object) -> str:
    return to_text(markup[: 2 * MOST_CHARACTERS]) if isinstance(markup, str) else ""


def _body(markup: object) -> str:
    """Turn the HTML of an item into text without what feeds wrap around it."""
    lines = _title(markup).split("\n")
    if _DATE.fullmatch(lines[0]):
        del lines[0]
    while lines and len(lines[-1]) <= _LONGEST_TRAILER and _BARE.fullmatch(lines[-1]):
        lines.pop()
    text = "\n".join(lines)
    cut = max(0, len(text) - _LONGEST_TRAILER)
    return text[:cut] + _TRAILER.sub("", text[cut:])


def _text_of(data: bytes, declared: re.Match[bytes] | None = None) -> tuple[str, str | None]:
    """Decode a document: UTF-8 if it is, else as it declares, else as the Web reads the rest."""
    with contextlib.suppress(UnicodeDecodeError):
        return data.decode(), None
    name = declared[1].decode(errors="replace") if declared else ""
    if _ENCODING.fullmatch(name):
        with contextlib.suppress(LookupError, UnicodeDecodeError):
            encoding = codecs.lookup(name).name
            return data.decode("cp1252" if encoding in ("iso8859-1", "ascii") else encoding), None
    text = data.decode(errors="replace")
    wrong = text.count("\ufffd")
    if len(text) - len(text.encode("ascii", "ignore")) > 2 * wrong:
        return text, INVALID
    return data.decode("cp1252", errors="replace"), "read as Windows-1252, not UTF-8"


def _read_html(
    stream: io.BufferedReader, name: str, on_problem: Problem, keep: Sequence[str]
) -> Iterator[Article]:
    data = read_document(stream, name, MOST_DOCUMENT, on_problem)
    markup, note = _text_of(data, _META.search(data[:_SNIFF]))
    page = read_page(markup)
    if page.title or page.text:
        yield article_of_record(page._asdict(), name, 1, keep, note)


def _read_text(
    stream: io.BufferedReader, name: str, on_problem: Problem, keep: Sequence[str]
) -> Iterator[Article]:
    text, note = _text_of(read_document(stream, name, MOST_DOCUMENT, on_problem))
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    title, blank, body = text.partition("\n\n")
    if not blank or "\n" in title or len(title) > _LONGEST_TITLE:
        title, body = "", text
    if text:
        yield article_of_record({"title": title, "text": body}, name, 1, keep, note)


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
