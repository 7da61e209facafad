"""Inputs: what the user names, found and opened; gzip, encodings, limits."""

import gzip
import io
import os
import pickle
import sys
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest

from scoring import inputs
from scoring.errors import InputError
from scoring.inputs import Source, expand, is_url, open_source, read_document, total_bytes


def found(*names: str | Path) -> tuple[list[Source], list[InputError]]:
    problems: list[InputError] = []
    return list(expand([str(name) for name in names], problems.append)), problems


def names(sources: Sequence[Source]) -> list[str]:
    return [Path(source.name).name for source in sources]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = [
        "b.xml",
        "a.JSONL.gz",
        "sub/c.csv",
        "sub/notes.md",
        ".hidden.xml",
        ".git/d.xml",
        "README",
    ]
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    return tmp_path


def test_a_folder_gives_what_can_be_read_in_order(folder: Path) -> None:
    sources, problems = found(folder)
    assert (names(sources), problems) == (["a.JSONL.gz", "b.xml", "c.csv"], [])
    assert [source.suffix for source in sources] == [".jsonl", ".xml", ".csv"]


def test_a_folder_is_read_in_the_order_of_sorted_paths(tmp_path: Path) -> None:
    for name in ("b/x.xml", "b/a/y.xml", "b.xml", "a.xml", "b-1/z.xml", "B.csv", "c/.d/e.xml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (tmp_path / "b" / "up").symlink_to(tmp_path)  # is not followed: it would never end
    (tmp_path / "l.xml").symlink_to(tmp_path / "a.xml")
    wanted = [p for p in sorted(tmp_path.rglob("*.*")) if p.is_file() and ".d" not in p.parts]
    assert [Path(source.name) for source in found(tmp_path)[0]] == wanted


def test_a_file_is_taken_whatever_its_ending(folder: Path) -> None:
    assert names(found(folder / "README", folder / ".hidden.xml")[0]) == ["README", ".hidden.xml"]


def test_globs(folder: Path) -> None:
    assert names(found(folder / "*.xml")[0]) == ["b.xml"]
    assert names(found(folder / "**" / "*.csv")[0]) == ["c.csv"]
    assert names(found(folder / "[ab]*")[0]) == ["a.JSONL.gz", "b.xml"]


def test_a_name_that_looks_like_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "[x].xml").write_text("x")
    assert names(found(tmp_path / "[x].xml")[0]) == ["[x].xml"]


def test_a_bad_match_does_not_end_a_glob(folder: Path) -> None:
    (folder / "a_empty").mkdir()
    sources, [problem] = found(folder / "[ab]*")
    assert names(sources) == ["a.JSONL.gz", "b.xml"]
    assert "a_empty: expected a folder with files to read, found none." in str(problem)
    assert ".jsonl" in problem.remedy


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.xml", "expected a file or folder, found none"),
        ("absent*.xml", "expected a match for the pattern, found none"),
        ("ftp://host/feed.xml", "expected an http or https URL"),
        ("FILE:///etc/hostname", "expected an http or https URL"),
        ("", "expected a file or folder, found none"),
        ("a" * 5_000, "expected a readable file, found: File name too long"),
    ],
)
def test_what_is_not_there(name: str, message: str, folder: Path) -> None:
    sources, [problem] = found(name, folder / "b.xml")
    assert names(sources) == ["b.xml"]
    assert problem.where == name
    assert message in str(problem)


def test_a_colon_in_a_path_makes_no_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("odd:").mkdir()
    Path("odd:/feed.xml").write_text("x")
    assert names(found("odd://feed.xml")[0]) == ["feed.xml"]
    assert "expected a file or folder" in str(found("C:/feed.xml")[1][0])


def test_a_broken_link(tmp_path: Path) -> None:
    (tmp_path / "link.xml").symlink_to(tmp_path / "gone.xml")
    for name in ("link.xml", "*.xml"):
        [source], problems = found(tmp_path / name)
        assert problems == []
        with pytest.raises(FileNotFoundError):
            open_source(source)
    assert total_bytes([str(tmp_path / "*.xml")]) == 0


def test_urls() -> None:
    assert is_url("HTTP://host/")
    assert is_url("https://host/feed")
    assert not is_url("httpd/feed")
    [source], _ = found("https://host/a.b/feed.xml.gz?x=/y.csv#z")
    assert source.suffix == ".xml"


def test_total_bytes(folder: Path) -> None:
    assert total_bytes([str(folder), str(folder / "absent")]) == 3
    assert total_bytes(["-"]) is None
    assert total_bytes(["http://host/feed"]) is None


def opened(data: bytes, told: list[int] | None = None) -> bytes:
    source = Source("name", lambda: io.BytesIO(data))
    with open_source(source, told.append if told is not None else None) as stream:
        return stream.read()


TEXT = "Reykjavík – “no”\n" * 10_000


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"]
)
@pytest.mark.parametrize("packed", [False, True])
def test_byte_order_marks(encoding: str, packed: bool) -> None:
    mark = "\ufeff" if encoding.endswith(("le", "be")) else ""
    data = (mark + TEXT).encode(encoding)
    assert opened(gzip.compress(data) if packed else data) == TEXT.encode()


def test_half_a_character_at_the_end() -> None:
    assert opened("abc".encode("utf-16") + b"\x00").decode() == "abc\ufffd"


def test_bytes_are_told_as_they_lie_on_disk() -> None:
    data = gzip.compress(TEXT.encode())
    told: list[int] = []
    opened(data, told)
    assert sum(told) == len(data)


def test_gzip_in_two_members() -> None:
    assert opened(gzip.compress(b"one ") + gzip.compress(b"two")) == b"one two"


@pytest.mark.parametrize("data", [b"", gzip.compress(b"", mtime=0)])
def test_empty(data: bytes) -> None:
    with pytest.raises(InputError, match="found an empty input"):
        opened(data)


def test_cut_gzip_gives_what_came_before() -> None:
    data = gzip.compress(os.urandom(200_000))
    source = Source("name", lambda: io.BytesIO(data[:100_000]))
    problems: list[InputError] = []
    with open_source(source) as stream:
        assert len(read_document(stream, "name", 10**6, problems.append)) > 90_000
    assert "expected whole gzip data, found it cut short" in str(problems[0])
    with open_source(source) as stream, pytest.raises(InputError, match="cut short"):
        read_document(stream, "name", 10**6)


def test_damaged_gzip() -> None:
    data = bytearray(gzip.compress(os.urandom(200_000)))
    data[-8] ^= 1  # the checksum
    with pytest.raises(InputError, match="found it damaged"):
        opened(bytes(data))
    with pytest.raises(InputError, match="found it damaged"):
        opened(b"\x1f\x8b" + b"\xff" * 100)


def drain(source: Source) -> None:
    with open_source(source) as stream:
        while stream.read(1 << 20):
            pass


def test_a_gzip_bomb_stops_in_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "MOST_DOCUMENT", 10_000_000)
    path = tmp_path / "bomb.jsonl.gz"
    with gzip.open(path, "wb") as bomb:
        for _ in range(50):
            bomb.write(b"a" * 1_000_000)
    [source], _ = found(path)
    tracemalloc.start()
    with pytest.raises(InputError, match="found a gzip bomb"):
        drain(source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_a_document_over_the_limit() -> None:
    source = Source("name", lambda: io.BytesIO(b"x" * 100))
    with open_source(source) as stream:
        assert read_document(stream, "name", 100) == b"x" * 100
    with open_source(source) as stream, pytest.raises(InputError, match="at most 99 bytes"):
        read_document(stream, "name", 99, lambda error: None)


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"read me")))
    [source], _ = found("-")
    with open_source(source) as stream:
        assert stream.read() == b"read me"
    assert not sys.stdin.buffer.closed
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="found it closed"):
        open_source(source)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_rights(tmp_path: Path) -> None:
    path = tmp_path / "feed.xml"
    path.write_text("x")
    path.chmod(0)
    with pytest.raises(PermissionError):
        open_source(found(path)[0][0])


def test_an_error_of_an_input_passes_from_one_process_to_another():
    error = pickle.loads(pickle.dumps(InputError("a.jsonl", "expected x.", "Mend it.", 3)))  # noqa: S301 - ours
    assert str(error) == "a.jsonl, line 3: expected x. Mend it."
    assert (error.where, error.line) == ("a.jsonl", 3)
