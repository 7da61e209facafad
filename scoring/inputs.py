"""What the user names -> sources of bytes: files, folders, globs, standard input, URLs; gzip undone, sizes capped."""

from __future__ import annotations

import codecs
import glob
import gzip
import io
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from scoring.errors import InputError
from scoring.fetch import fetch

MOST_DOCUMENT: Final = 100_000_000
"""Bytes of one JSON or HTML document, unpacked; also of one URL's answer on the wire."""

MOST_RATIO: Final = 1000
"""A gzip stream that unpacks to more than this many times its size, past `MOST_DOCUMENT`, is a bomb."""

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


def expand(
    inputs: Sequence[str], on_problem: Callable[[InputError], None]
) -> Iterator[Source]:
    """Turn what the user named into sources, in order; what cannot be found is a problem, and the rest goes on.

    Parameters
    ----------
    inputs : sequence of str
        Files, folders (read recursively in sorted order, hidden files and unknown endings left out), globs, ``-``, or
        http(s) URLs.
    on_problem : callable
        Takes each `InputError`.
    """
    for name in inputs:
        try:
            yield from _expand(name)
        except InputError as error:
            on_problem(error)
        except OSError as error:
            on_problem(unreadable(name, error))


def _expand(name: str) -> Iterator[Source]:
    if name == "-":
        yield Source("standard input", lambda: sys.stdin.buffer)
    elif is_url(name):
        yield Source(name, lambda: io.BytesIO(fetch(name, MOST_DOCUMENT)), _suffix(name.split("?")[0]))
    elif "://" in name.split("/")[0] + "//" and not Path(name).exists():
        raise InputError(name, "expected an http or https URL, found another kind.", "Fetch it first.")
    elif Path(name).is_dir():
        files = [path for path in sorted(Path(name).rglob("*")) if _is_readable(path, Path(name))]
        if not files:
            known = " ".join(SUFFIXES)
            raise InputError(
                name, "expected a folder with files to read, found none.", f"Known endings: {known}."
            )
        yield from map(_file, files)
    elif Path(name).exists():
        yield _file(Path(name))
    elif matches := sorted(glob.glob(name, recursive=True)):  # noqa: PTH207 - absolute patterns too
        for match in matches:
            yield from _expand(match)
    else:
        what = "a match for the pattern" if glob.has_magic(name) else "a file or folder"
        raise InputError(name, f"expected {what}, found none.", "Check the path.")


def _file(path: Path) -> Source:
    return Source(str(path), lambda: path.open("rb"), _suffix(path.name))


def _suffix(name: str) -> str:
    path = Path(name.lower())
    return Path(path.stem).suffix if path.suffix == ".gz" else path.suffix


def _is_readable(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return not hidden and _suffix(path.name) in SUFFIXES and path.is_file()


def unreadable(name: str, error: OSError) -> InputError:
    """Say that an input cannot be opened or read."""
    return InputError(
        name, f"expected a readable file, found: {error.strerror or error}.", "Check the path and its rights."
    )


def total_bytes(inputs: Sequence[str]) -> int | None:
    """Add up the sizes of all inputs as they lie on disk; None where one has no size beforehand."""
    if any(name == "-" or is_url(name) for name in inputs):
        return None
    sources = expand(inputs, lambda error: None)
    return sum(Path(source.name).stat().st_size for source in sources)


class _Counted(io.RawIOBase):
    """A raw stream that tells how many bytes were read."""

    def __init__(self, raw: IO[bytes], on_bytes: Callable[[int], None] | None) -> None:
        self._raw = raw
        self._on_bytes = on_bytes
        self.total = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._raw.read1(len(buffer)) if hasattr(self._raw, "read1") else self._raw.read(len(buffer))
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
            raise InputError(
                self._name, "expected whole gzip data, found it cut short.", "What came before was read."
            ) from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise InputError(
                self._name, f"expected gzip data, found it damaged ({error}).", "What came before was read."
            ) from None
        buffer[: len(data)] = data
        self._total += len(data)
        if self._total > max(MOST_DOCUMENT, MOST_RATIO * self._counted.total):
            raise InputError(
                self._name,
                f"expected a file, found a gzip bomb ({self._counted.total:,} bytes unpack to more than "
                f"{MOST_RATIO} times as many).",
                "It was read no further.",
            )
        return len(data)

    def close(self) -> None:
        self._packed.close()
        super().close()


def open_source(
    source: Source, on_bytes: Callable[[int], None] | None = None
) -> io.BufferedReader:
    """Open a source: gzip unpacked, UTF-16 and UTF-32 with a byte-order mark recoded, a UTF-8 one dropped.

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
    stream = io.BufferedReader(counted, 1 << 16)
    if stream.peek(2)[:2] == b"\x1f\x8b":
        stream = io.BufferedReader(_Unpacked(source.name, stream, counted), 1 << 16)
    head = stream.peek(4)[:4]
    if not head:
        stream.close()
        raise InputError(source.name, "expected articles, found an empty input.", "Nothing was read.")
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return io.BufferedReader(_Recoded(stream, encoding), 1 << 16)
    if head.startswith(codecs.BOM_UTF8):
        stream.read(len(codecs.BOM_UTF8))
    return stream


class _Recoded(io.RawIOBase):
    """A stream in UTF-16 or UTF-32, read as UTF-8."""

    def __init__(self, stream: io.BufferedReader, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._ready:
            data = self._stream.read1(1 << 15)
            self._ready = self._decoder.decode(data, final=not data).encode("utf-8", errors="replace")
            if not data:
                break
        part, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        self._stream.close()
        super().close()


def read_document(stream: IO[bytes], name: str, most: int = MOST_DOCUMENT) -> bytes:
    """Read a format that must be in memory whole.

    Raises
    ------
    InputError
        If it is larger than `most` bytes.
    """
    data = stream.read(most + 1)
    if len(data) > most:
        raise InputError(
            name, f"expected a document of at most {most:,} bytes, found a larger one.", "Split it, or use JSONL."
        )
    return data
