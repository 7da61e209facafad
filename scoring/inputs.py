"""What the user names -> sources of bytes: files, folders, globs, standard input, URLs.

Gzip is undone, UTF-16 recoded, sizes capped.
"""

from __future__ import annotations

import codecs
import glob
import gzip
import io
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlsplit

from scoring.errors import InputError
from scoring.fetch import fetch

MOST_DOCUMENT: Final = 100_000_000
"""Bytes of one JSON or HTML document, unpacked; also of one URL's answer on the wire."""

MOST_RATIO: Final = 200
"""Past `MOST_DOCUMENT` bytes, gzip that unpacks to more than this many times its size is a bomb."""

SUFFIXES: Final[dict[str, str]] = {
    ".xml": "feed",
    ".rss": "feed",
    ".atom": "feed",
    ".rdf": "feed",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".txt": "text",
}
"""File endings, before ``.gz``, and the format that each stands for."""

_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_BUFFER: Final = 1 << 16
_BOMS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Source:
    """One input that can be opened.

    Parameters
    ----------
    name : str
        As messages name it.
    open : callable
        Gives a binary stream; may raise OSError or InputError.
    suffix : str
        File ending without ``.gz``, lower case; empty where there is none.
    """

    name: str
    open: Callable[[], IO[bytes]]
    suffix: str = ""


def is_url(name: str) -> bool:
    """Tell whether an input is the URL of a feed."""
    return name.lower().startswith(("http://", "https://"))


def expand(inputs: Sequence[str], on_problem: Callable[[InputError], None]) -> Iterator[Source]:
    """Turn what the user named into sources, in order; what cannot be found is a problem.

    Parameters
    ----------
    inputs : sequence of str
        Files, folders (read recursively in sorted order, without hidden files and unknown
        endings), globs, ``-``, or http(s) URLs.
    on_problem : callable
        Takes each `InputError`; the other inputs are still given.
    """
    for name in inputs:
        try:
            for found in _matches(name):
                yield from _sources(found, on_problem)
        except InputError as error:
            on_problem(error)
        except OSError as error:
            on_problem(unreadable(name, error))


def _matches(name: str) -> list[str]:
    """Give the names that a pattern stands for; any other name is its own only match."""
    if name == "-" or is_url(name) or (name and Path(name).exists()):
        return [name]
    if _SCHEME.match(name):
        raise InputError(name, "expected an http or https URL, found another.", "Fetch it first.")
    matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 - absolute patterns too
    if not matches:
        what = "a match for the pattern" if glob.has_magic(name) else "a file or folder"
        raise InputError(name, f"expected {what}, found none.", "Check the path.")
    return matches


def _sources(name: str, on_problem: Callable[[InputError], None]) -> Iterator[Source]:
    if name == "-":
        yield Source("standard input", _standard_input)
    elif is_url(name):
        suffix = suffix_of(urlsplit(name).path)
        yield Source(name, lambda: io.BytesIO(fetch(name, MOST_DOCUMENT)), suffix)
    elif Path(name).is_dir():
        paths = _walk(Path(name), on_problem)
        first = next(paths, None)
        if first is None:
            problem = "expected a folder with files to read, found none."
            on_problem(InputError(name, problem, f"Known endings: {' '.join(SUFFIXES)}."))
            return
        yield from map(_file, chain([first], paths))
    else:
        yield _file(Path(name))


def _standard_input() -> IO[bytes]:
    if sys.stdin is None:
        raise InputError("standard input", "expected data, found it closed.", "Give a file.")
    return sys.stdin.buffer


def _file(path: Path) -> Source:
    return Source(str(path), lambda: path.open("rb"), suffix_of(path.name))


def suffix_of(name: str) -> str:
    """Give the ending of a file's name without ``.gz``, in lower case."""
    path = Path(name.lower())
    return Path(path.stem).suffix if path.suffix == ".gz" else path.suffix


def _walk(folder: Path, on_problem: Callable[[InputError], None]) -> Iterator[Path]:
    """Give the files of known endings below a folder, in sorted order, with the names of one folder in memory."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
    except OSError as error:
        on_problem(unreadable(str(folder), error))
        return
    for name in names:
        path = folder / name
        if path.is_dir():
            if not path.is_symlink():  # which may lead back up
                yield from _walk(path, on_problem)
        elif suffix_of(name) in SUFFIXES and path.is_file():
            yield path


def unreadable(name: str, error: OSError) -> InputError:
    """Say that an input cannot be opened or read."""
    found = error.strerror or error
    return InputError(name, f"expected a readable file, found: {found}.", "Check path and rights.")


def total_bytes(inputs: Sequence[str]) -> int | None:
    """Add up the sizes of all inputs as they lie on disk; None where one has no size beforehand."""
    if any(name == "-" or is_url(name) for name in inputs):
        return None
    files = (Path(source.name) for source in expand(inputs, lambda error: None))
    return sum(file.stat().st_size for file in files if file.exists())


class _Counted(io.RawIOBase):
    """A raw stream that tells how many bytes were read."""

    def __init__(self, raw: IO[bytes], on_bytes: Callable[[int], None] | None) -> None:
        self._raw = raw
        self._on_bytes = on_bytes
        self._read: Callable[[int], bytes] = getattr(raw, "read1", raw.read)
        self.total = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        self.total += len(data)
        if self._on_bytes is not None:
            self._on_bytes(len(data))
        return len(data)

    def close(self) -> None:
        if self._raw is not getattr(sys.stdin, "buffer", None):
            self._raw.close()
        super().close()


class _Unpacked(io.RawIOBase):
    """An unpacked gzip stream that stops at a bomb."""

    def __init__(self, name: str, packed: io.BufferedReader, counted: _Counted) -> None:
        self._name, self._packed, self._counted = name, packed, counted
        self._gzip = gzip.GzipFile(fileobj=packed)
        self._total = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            data = self._gzip.read1(len(buffer))
        except EOFError:
            raise self._problem("whole gzip data, found it cut short") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise self._problem(f"gzip data, found it damaged ({error})") from None
        buffer[: len(data)] = data
        self._total += len(data)
        if self._total > max(MOST_DOCUMENT, MOST_RATIO * self._counted.total):
            found = f"{self._counted.total:,} bytes unpack to more than {self._total:,}"
            raise self._problem(f"a file, found a gzip bomb ({found})")
        return len(data)

    def _problem(self, what: str) -> InputError:
        return InputError(self._name, f"expected {what}.", "Only what came before was read.")

    def close(self) -> None:
        self._packed.close()
        super().close()


class _Recoded(io.RawIOBase):
    """A stream in UTF-16 or UTF-32, read as UTF-8."""

    def __init__(self, stream: io.BufferedReader, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = b"?"
        while data and not self._ready:
            data = self._stream.read1(_BUFFER)
            text = self._decoder.decode(data, final=not data)
            self._ready = text.encode("utf-8", errors="replace")
        part, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        self._stream.close()
        super().close()


def open_source(source: Source, on_bytes: Callable[[int], None] | None = None) -> io.BufferedReader:
    """Open a source: gzip unpacked, UTF-16 and UTF-32 recoded, a byte-order mark dropped.

    Parameters
    ----------
    source : Source
        From `expand`.
    on_bytes : callable, optional
        Told the number of bytes as they are read, still packed: for a progress bar.

    Returns
    -------
    io.BufferedReader
        Reading from it may raise `InputError` where gzip data are cut short, damaged or a bomb.

    Raises
    ------
    OSError, InputError
        If it cannot be opened, or is empty.
    """
    counted = _Counted(source.open(), on_bytes)
    stream = _buffered(counted)
    try:
        if stream.peek(2)[:2] == b"\x1f\x8b":
            stream = _buffered(_Unpacked(source.name, stream, counted))
        head = stream.peek(4)[:4]
        if not head:
            problem = "expected articles, found an empty input."
            raise InputError(source.name, problem, "Nothing was read.")
    except BaseException:
        stream.close()
        raise
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return _buffered(_Recoded(stream, encoding))
    if head.startswith(codecs.BOM_UTF8):
        stream.read(len(codecs.BOM_UTF8))
    return stream


def _buffered(raw: io.RawIOBase) -> io.BufferedReader:
    return io.BufferedReader(raw, _BUFFER)


def read_document(
    stream: io.BufferedReader,
    name: str,
    most: int,
    on_cut: Callable[[InputError], None] | None = None,
) -> bytes:
    """Read a format that must be in memory whole.

    Parameters
    ----------
    stream : io.BufferedReader
        From `open_source`.
    name : str
        As messages name it.
    most : int
        Bytes, unpacked.
    on_cut : callable, optional
        For a format of which a part is of use: told what is wrong with gzip data that are cut
        short or damaged, and what came before is given.

    Raises
    ------
    InputError
        If it is larger than `most` bytes, or cut short and `on_cut` is None.
    """
    chunks: list[bytes] = []
    size = 0
    try:
        while chunk := stream.read1(_BUFFER):
            chunks.append(chunk)
            size += len(chunk)
            if size > most:
                problem = f"expected a document of at most {most:,} bytes, found a larger one."
                raise InputError(name, problem, "Split it, or use JSONL.")
    except InputError as error:
        if on_cut is None or size > most or not chunks:
            raise
        on_cut(error)
    return b"".join(chunks)
