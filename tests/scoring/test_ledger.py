"""Runs over the same feeds: what is new is scored, once, whoever runs and whatever ends a run."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from scoring.articles import Article
from scoring.cli import app
from scoring.errors import LedgerError
from scoring.ledger import open_ledger

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
COMMAND = [sys.executable, "-m", "scoring", "score"]


def feed(path: Path, first: int, last: int, sentences: int = 1) -> Path:
    """Write articles numbered from `first` up to `last`, one a line."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(first, last):
            text = f"Norway lodged protest number {number} with Russia. " * sentences
            file.write(json.dumps({"id": str(number), "text": text}) + "\n")
    return path


def here(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["score", *map(str, arguments)], prog_name="tension")


def ids(lines: str | bytes) -> list[int]:
    return [int(json.loads(line)["article_id"]) for line in lines.splitlines()]


def stories(ledger: Path) -> int:
    with closing(sqlite3.connect(ledger, timeout=30)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return int(db.execute("SELECT count(*) FROM seen").fetchone()[0])


def test_an_hourly_run_scores_what_is_new(tmp_path: Path) -> None:
    ledger = tmp_path / "seen.sqlite"
    first = here(feed(tmp_path / "1.jsonl", 0, 6), "--ledger", ledger, "--format", "jsonl")
    assert ids(first.stdout) == [*range(6)]
    assert "skipped" not in first.stderr
    later = here(feed(tmp_path / "2.jsonl", 3, 9), "--ledger", ledger, "--format", "jsonl")
    assert ids(later.stdout) == [6, 7, 8]
    assert "3 articles (3 articles of earlier runs skipped)" in later.stderr
    again = here(tmp_path / "2.jsonl", "--ledger", ledger, "-o", tmp_path / "o.parquet")
    assert again.exit_code == 0
    assert "0 articles (6 articles of earlier runs skipped)" in again.stderr
    assert stories(ledger) == 9


def test_a_story_is_known_by_its_content_and_statements_are_never_known(tmp_path: Path) -> None:
    ledger = tmp_path / "seen.sqlite"
    articles = [
        Article("1", "Norway protests", "To Russia."),
        Article("2", "NORWAY  protests", "To Russia."),  # the same story
        Article("1", "Norway protests", "To Russia, again."),  # another under an old id
        Article("3", None, None),
        Article("4", None, "Norway protests", whole=True),
    ]
    with open_ledger(ledger) as book:
        assert [*book.new(articles)] == [articles[0], *articles[2:]]
        assert book.skipped == 1
    with open_ledger(ledger) as book:
        assert [*book.new(articles)] == articles[3:]


def test_a_run_that_fails_or_is_killed_enters_nothing(tmp_path: Path) -> None:
    ledger = tmp_path / "seen.sqlite"
    source = feed(tmp_path / "in.jsonl", 0, 4_000, 4)
    lost = here(source, "--ledger", ledger, "-o", tmp_path / "none" / "out.jsonl")
    assert lost.exit_code == 1
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, str(source), "--ledger", str(ledger)],
            stdout=full,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            timeout=60,
        )
    assert done.returncode == 1
    process = subprocess.Popen(
        [*COMMAND, str(source), "--ledger", str(ledger)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
    )
    assert process.stdout is not None
    assert process.stdout.readline()  # it is at work, stories are being entered
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    few = feed(tmp_path / "few.jsonl", 0, 5, 4)
    found = ids(here(few, "--ledger", ledger, "--format", "jsonl").stdout)
    assert sorted(set(found)) == [*range(5)]  # scored again: none is lost
    assert stories(ledger) == 5


def test_two_runs_at_once_score_no_article_twice_and_lose_none(tmp_path: Path) -> None:
    ledger = tmp_path / "seen.sqlite"
    inputs = [feed(tmp_path / "a.jsonl", 0, 600), feed(tmp_path / "b.jsonl", 300, 900)]
    runs = [
        subprocess.Popen(
            [*COMMAND, str(source), "--ledger", str(ledger), "-o", str(source) + ".out.jsonl"],
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
        )
        for source in inputs
    ]
    said = [run.communicate(timeout=120)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    found = [ids(Path(f"{source}.out.jsonl").read_bytes()) for source in inputs]
    assert sorted(found[0] + found[1]) == [*range(900)]
    assert stories(ledger) == 900


def test_a_run_waits_for_another_says_so_and_gives_up_in_the_end(tmp_path: Path) -> None:
    ledger = tmp_path / "seen.sqlite"
    told: list[float] = []
    with open_ledger(ledger) as book:
        assert len([*book.new([Article("1", "Norway protests", None)])]) == 1
        with (
            pytest.raises(LedgerError, match="free within 1 s, found it locked by another run"),
            open_ledger(ledger, lambda: told.append(time.monotonic()), longest_wait=1.0),
        ):
            pass
    assert len(told) == 1
    assert stories(ledger) == 1


def test_what_is_no_ledger_is_refused_and_left_alone(tmp_path: Path) -> None:
    source = feed(tmp_path / "in.jsonl", 0, 1)

    def refused(ledger: Path) -> str:
        before = ledger.read_bytes() if ledger.is_file() else None
        done = here(source, "--ledger", ledger)
        assert done.exit_code == 1
        assert done.stderr.startswith(f"tension: {ledger}: expected a ledger")
        assert done.stderr.count("\n") == 1
        assert before is None or ledger.read_bytes() == before
        return done.stderr

    assert "file is not a database" in refused(feed(tmp_path / "text.jsonl", 0, 100))
    assert "unable to open" in refused(tmp_path / "none" / "seen.sqlite")
    assert "unable to open" in refused(tmp_path)
    other = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(other)) as db:
        db.execute("CREATE TABLE runs (id INTEGER)")
    assert "found another SQLite database" in refused(other)
    future = tmp_path / "future.sqlite"
    with open_ledger(future):
        pass
    with closing(sqlite3.connect(future)) as db:
        db.execute("PRAGMA user_version = 2")
    assert "version 1, found version 2" in refused(future)
    done = here(source, "--ledger", tmp_path / "o.csv", "-o", tmp_path / "o.csv")
    assert done.exit_code == 2
