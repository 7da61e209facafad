"""The command `tension` as people and pipes meet it: most tests start a process of their own."""

from __future__ import annotations

import gzip
import json
import os
import pty
import resource
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from scoring.cli import app
from scoring.records import RECORD_COLUMNS

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "80"}
COMMAND = [sys.executable, "-m", "scoring"]
SAMPLE = ROOT / "scoring" / "data" / "sample_feed.xml"

ARTICLE = {
    "id": "n1",
    "title": "Norway summons Russian ambassador over border balloons",
    "text": "Norway lodged a strong protest with Russia over the balloons.",
    "published": "2026-03-02T10:00:00+01:00",
    "publisher": "Fjord Wire",
}
LINE = json.dumps(ARTICLE)


def tension(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run the command as a shell would."""
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [*COMMAND, *map(str, arguments)],
        **{"capture_output": True, "timeout": 120, "env": ENVIRONMENT} | options,
    )


def here(*arguments: str | Path, stdin: str | bytes | None = None) -> Result:
    """Run the command in this process, where the model is loaded only once."""
    return CliRunner().invoke(app, [*map(str, arguments)], input=stdin, prog_name="tension")


def rows(output: bytes | str) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.splitlines()]


@pytest.fixture
def feed(tmp_path: Path) -> Path:
    path = tmp_path / "feed.jsonl"
    path.write_text(f"{LINE}\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Work for many seconds."""
    path = tmp_path_factory.mktemp("archive") / "long.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for day in range(40_000):
            text = f"Norway lodged protest number {day} with Russia. " * 4
            file.write(json.dumps({"id": str(day), "text": text}) + "\n")
    return path


# --- what a newcomer types ---


def test_without_input_the_sample_feed_is_scored_and_said_to_be() -> None:
    done = tension("score")
    assert done.returncode == 0
    assert b"sample feed" in done.stderr
    found = {(row["source"], row["target"], row["level"]) for row in rows(done.stdout)}
    assert {("KOR", "RUS", "protest"), ("CHN", "USA", "protest")} <= found
    assert tuple(rows(done.stdout)[0]) == RECORD_COLUMNS


def test_a_terminal_gets_a_table_and_progress_leaves_nothing_behind(feed: Path) -> None:
    terminal, shell = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "score", str(feed)],
        stdin=shell,
        stdout=shell,
        stderr=shell,
        env=ENVIRONMENT | {"TERM": "xterm-256color"},
    )
    os.close(shell)
    shown = b""
    while select.select([terminal], [], [], 60)[0]:
        try:
            shown += os.read(terminal, 65536)
        except OSError:  # how Linux tells the end of a terminal
            break
    os.close(terminal)
    assert process.wait(10) == 0
    text = shown.decode()
    assert "NOR -> RUS" in text
    assert "\x1b[36mprotest" in text
    assert text.count("NOR -> RUS") == 2
    assert text.rstrip().endswith("0 none.")


def test_help_and_version_answer_without_loading_what_is_slow() -> None:
    code = (
        "import sys; from scoring.cli import app\n"
        "try: app(['score', '--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert not {'pandas', 'numpy', 'sklearn', 'pyarrow', 'feedparser'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    assert b"--min-level" in done.stdout
    assert here("--version").stdout.startswith("tension ")


# --- output ---


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "csv", "csv.gz", "parquet"])
def test_output_by_ending(tmp_path: Path, feed: Path, ending: str) -> None:
    output = tmp_path / f"out.{ending}"
    assert here("score", SAMPLE, feed, "--all", "-o", output).exit_code == 0
    read = {"jsonl": lambda path: pd.read_json(path, lines=True), "csv": pd.read_csv}
    frame = read.get(ending.removesuffix(".gz"), pd.read_parquet)(output)  # type: ignore[operator]
    assert tuple(frame.columns) == RECORD_COLUMNS
    assert set(frame["level"]) == {"none", "protest", "warning", "threat"}
    assert frame["article_id"].iloc[-1] == "n1"


@pytest.mark.parametrize("ending", ["jsonl.gz", "parquet"])
def test_output_is_the_same_bytes_for_any_number_of_jobs(
    tmp_path: Path, feed: Path, ending: str
) -> None:
    one, two = tmp_path / f"one.{ending}", tmp_path / f"two.{ending}"
    assert here("score", SAMPLE, feed, "--all", "-o", one).exit_code == 0
    assert here("score", SAMPLE, feed, "--all", "-o", two, "--jobs", "2").exit_code == 0
    assert one.read_bytes() == two.read_bytes()


def test_a_table_leaves_what_was_not_scored_to_the_summary(tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_text(json.dumps({"text": None}) + f"\n{LINE}\n", encoding="utf-8")
    done = here("score", path, "--format", "table")
    assert "NOR -> RUS" in done.stdout
    assert "no text" not in done.stdout
    assert "1 no text" in done.stderr
    assert "no text" in here("score", path, "--format", "table", "--all").stdout


def test_min_level_and_keep(feed: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps(ARTICLE | {"title": "Norway is quiet", "desk": "north"}) + "\n")
    assert rows(here("score", feed, "--min-level", "threat").stdout) == []
    done = rows(here("score", other, "--all", "--keep", "desk", "--format", "jsonl").stdout)
    assert {row["desk"] for row in done} == {"north"}
    assert list(done[0])[-1] == "desk"
    assert len(done) == 2


def test_lines_from_standard_input_are_numbered() -> None:
    done = tension(
        *("score", "-", "--input-format", "lines", "--all"),
        input=b"Norway protests to Russia\n\nChile opens a museum\n",
    )
    assert done.returncode == 0
    assert [(row["article_id"], row["note"]) for row in rows(done.stdout)] == [
        ("1", None),
        ("2", "no text"),
        ("3", None),
    ]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_reader_that_stops_early_is_no_error(archive: Path, jobs: str) -> None:
    process = subprocess.Popen(
        [*COMMAND, "score", str(archive), "--all", "--jobs", jobs],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    first = process.stdout.readline()
    process.stdout.close()
    assert json.loads(first)["article_id"] == "0"
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 0


@pytest.mark.parametrize(
    ("jobs", "number", "whole_group"),
    [("1", signal.SIGINT, True), ("2", signal.SIGINT, True), ("2", signal.SIGTERM, False)],
)
def test_an_interrupt_leaves_no_half_file_and_no_process(
    tmp_path: Path, archive: Path, jobs: str, number: signal.Signals, whole_group: bool
) -> None:
    output = tmp_path / "out.csv"
    output.write_bytes(b"of yesterday")
    process = subprocess.Popen(
        [*COMMAND, "score", str(archive), "--all", "--jobs", jobs, "-o", str(output)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        start_new_session=True,
        # a job of a script starts with Ctrl-C ignored, and what it starts inherits that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not any(p.stat().st_size > 10_000 for p in tmp_path.glob(".tension-*.tmp")):
        time.sleep(0.05)
        assert process.poll() is None
    (os.killpg if whole_group else os.kill)(process.pid, number)  # Ctrl-C goes to the whole group
    out, err = process.communicate(timeout=60)  # ends when no process holds the pipes any more
    assert process.returncode == 128 + number
    assert out == b""
    assert err.startswith(b"tension: interrupted")
    assert err.count(b"\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]
    assert output.read_bytes() == b"of yesterday"


def test_the_processes_end_with_a_parent_that_is_killed(archive: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "score", str(archive), "--all", "--jobs", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    process.kill()
    process.communicate(timeout=60)  # ends when no process holds the pipes any more
    assert process.returncode == -signal.SIGKILL


# --- output that cannot be written ---


def small_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # as good as a full disk


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "csv", "parquet"])
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, ending: str) -> None:
    output = tmp_path / f"out.{ending}"
    done = tension("score", SAMPLE, "--all", "-o", output, preexec_fn=small_files)
    assert done.returncode == 1
    assert done.stderr.decode().startswith(f"tension: {output}: expected to write there")
    assert done.stderr.count(b"\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_standard_output_that_is_full_is_said_once(feed: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = tension("score", feed, stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert done.returncode == 1
    assert b"standard output" in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("output", ["no/folder/o.csv", ".", "o.txt"])
def test_an_output_that_cannot_be_is_said_before_anything_is_read(
    tmp_path: Path, output: str
) -> None:
    arguments = ("--format", "csv") if output == "." else ()
    done = here("score", tmp_path / "none.jsonl", "-o", tmp_path / output, *arguments)
    assert done.exit_code == (2 if output == "o.txt" else 1)
    assert "expected" in done.stderr
    assert "none.jsonl" not in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("named", ["feed.jsonl", ".", "*.jsonl"])
def test_an_input_is_never_written_over(feed: Path, named: str) -> None:
    done = here("score", feed.parent / named, "-o", feed)
    assert done.exit_code == 2
    assert "named as both" in done.stderr
    assert feed.read_text() == f"{LINE}\n"


# --- bad input: each says what is wrong, and the good one beside it is scored ---

TOO_LONG = "Norway warned Russia of balloons and " * 30_000
BILLION_LAUGHS = """<?xml version="1.0"?>
<!DOCTYPE rss [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;">]><rss><channel><item><title>&c;</title></item></channel></rss>"""
OUTSIDE_ENTITY = """<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a SYSTEM "file:///etc/hostname">]>
<rss><channel><item><title>Oslo &a;</title></item></channel></rss>"""

BAD = {
    "empty.xml": b"",
    "binary.jsonl": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)) * 40,
    "broken.jsonl": b'{"title": "Oslo\n',
    "list.jsonl": b"[1, 2]\n",
    "keys.jsonl": b'{"headline": "Norway protests"}\n',
    "number.jsonl": b'{"text": 17}\n',
    "columns.csv": b"when,what\n2026,nothing\n",
    "broken.parquet": b"PAR1" + bytes(100),
    "cut.jsonl.gz": gzip.compress(os.urandom(4000).hex().encode())[:2000],
    "laughs.xml": BILLION_LAUGHS.encode(),
    "outside.xml": OUTSIDE_ENTITY.encode(),
    "feed.xml": b"not a feed at all",
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_input_is_named_and_the_rest_is_done(tmp_path: Path, feed: Path, name: str) -> None:
    (tmp_path / name).write_bytes(BAD[name])
    done = here("score", tmp_path / name, feed)
    assert done.exit_code == 1
    assert name in done.stderr.splitlines()[0]
    assert "expected" in done.stderr.splitlines()[0]
    assert {row["article_id"] for row in rows(done.stdout)} == {"n1"}


@pytest.mark.parametrize("name", ["none.jsonl", "no*match.xml", "folder"])
def test_an_input_that_is_not_there_is_named_and_the_rest_is_done(
    tmp_path: Path, feed: Path, name: str
) -> None:
    (tmp_path / "folder").mkdir()
    done = here("score", tmp_path / name, feed, "-o", tmp_path / "out.jsonl")
    assert done.exit_code == 1
    assert name in done.stderr
    assert {row["article_id"] for row in rows((tmp_path / "out.jsonl").read_text())} == {"n1"}


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ({"text": None}, "no text"),
        ({"text": float("nan"), "title": ""}, "no text"),
        ({"text": "  \u200b "}, "no text"),
        ({"text": "Норвегия выразила протест России из-за шаров."}, "Cyrillic"),
        ({"text": "احتجت النرويج لدى روسيا على البالونات الحدودية."}, "Arabic"),
        ({"text": "Le ministre a dit que la guerre est dans le pays et que nous sommes"}, "French"),
    ],
)
def test_an_article_that_cannot_be_scored_gives_a_row_that_says_why(
    tmp_path: Path, record: dict[str, object], why: str
) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_text(f"{json.dumps(record)}\n{LINE}\n", encoding="utf-8")
    done = here("score", path)
    assert done.exit_code == 0
    odd, *rest = rows(done.stdout)
    assert why in str(odd["note"])
    assert (odd["level"], odd["score"], odd["source"]) == (None, None, None)
    assert {row["article_id"] for row in rest} == {"n1"}
    assert f"articles not scored: 1 {odd['note']}" in done.stderr


def test_invisible_characters_do_not_hide_a_statement(tmp_path: Path, feed: Path) -> None:
    path = tmp_path / "hidden.jsonl"
    hidden = {
        key: "\u200b".join(value) for key, value in ARTICLE.items() if key in ("title", "text")
    }
    path.write_text(json.dumps(hidden) + "\n", encoding="utf-8")
    kept = ("source", "target", "level", "score", "text")
    plain, clean = (rows(here("score", each).stdout) for each in (feed, path))
    assert [[row[key] for key in kept] for row in plain] == [
        [row[key] for key in kept] for row in clean
    ]


def test_a_sentence_of_a_megabyte_is_scored(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    path.write_text(json.dumps({"id": "long", "text": TOO_LONG}) + f"\n{LINE}\n", encoding="utf-8")
    done = here("score", path, "--all")
    assert done.exit_code == 0
    assert {row["article_id"] for row in rows(done.stdout)} == {"long", "n1"}


def test_no_rows_give_a_valid_empty_output(tmp_path: Path) -> None:
    path = tmp_path / "head.csv"
    path.write_text("id,title,text\n")
    done = here("score", path, "-o", tmp_path / "out.parquet")
    assert done.exit_code in (0, 1)
    assert pd.read_parquet(tmp_path / "out.parquet").empty


def test_a_flood_of_problems_is_cut_short(tmp_path: Path, feed: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text("{\n" * 500 + f"{LINE}\n")
    done = here("score", path)
    assert done.exit_code == 1
    assert "490 more problems" in done.stderr
    assert len(done.stderr.splitlines()) == 12
    assert "500 problems" in done.stderr
    assert rows(done.stdout)


# --- wrong usage ---


@pytest.mark.parametrize(
    "arguments",
    [
        ("score", "--min-level", "war"),
        ("score", "--jobs", "0"),
        ("score", "--nonsense"),
        ("score", "--keep", "level"),
        ("explain",),
        ("explain", " "),
        ("fly",),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(arguments: tuple[str, ...]) -> None:
    done = tension(*arguments)
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr.startswith(b"tension: ")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("arguments", [("score",), ("explain", "Oslo warned Moscow.")])
def test_a_model_that_is_not_there_is_said(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = here(*arguments, "--model", tmp_path)
    assert done.exit_code == 1
    assert "expected a file of the model" in done.stderr
    assert done.stdout == ""


# --- explain ---

STATEMENT = "Norway lodged a strong protest with Russia over the balloons."


def test_explain_shows_the_statement_and_what_moved_it() -> None:
    done = tension("explain", f"{STATEMENT} It rained in Oslo.", "--format", "table")
    assert done.returncode == 0
    text = done.stdout.decode()
    assert "NOR -> RUS" in text
    assert "lowers | raises" in text
    assert "protest" in text.split("effect")[1]
    assert "rained" not in text


def test_explain_as_jsonl_names_phrases_by_place() -> None:
    (told,) = rows(here("explain", "-", "--format", "jsonl", stdin=STATEMENT).stdout)
    (statement,) = told["statements"]
    assert (statement["source"], statement["target"], statement["level"]) == (
        "NOR",
        "RUS",
        "protest",
    )
    assert told["phrases"]
    for phrase in told["phrases"]:
        assert STATEMENT[phrase["start"] : phrase["end"]] == phrase["phrase"]


def test_explain_of_what_is_not_english_says_so() -> None:
    done = here("explain", "Le ministre a dit que la guerre est dans le pays pour la paix")
    assert done.exit_code == 0
    (told,) = rows(done.stdout)
    assert "French" in told["statements"][0]["note"]
    assert told["phrases"] == []


# --- real feeds ---


def shared() -> Path:
    folder = Path(os.environ.get("TENSION_SHARED", ROOT.parent / "shared"))
    if not (folder / "feeds").is_dir():
        pytest.skip("the shared feeds are not here: set TENSION_SHARED to their folder")
    return folder


def test_real_feeds_give_readable_rows(tmp_path: Path) -> None:
    output = tmp_path / "out.parquet"
    done = here("score", shared() / "feeds/captured_2021_news/*.xml", "-o", output)
    assert done.exit_code in (0, 1)
    assert "Traceback" not in done.stderr
    frame = pd.read_parquet(output)
    scored = frame[frame["level"].notna()]
    assert len(scored) >= 5
    assert set(scored["level"]) <= {"protest", "warning", "threat"}
    assert not scored["text"].str.contains("<[a-z]+>|&[a-z]+;").any()
    assert scored["publisher"].notna().mean() > 0.8
    assert scored["published"].notna().mean() > 0.8
    assert scored["article_id"].notna().all()
