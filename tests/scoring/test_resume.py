"""Runs that are killed, again and again, and what the last of them leaves."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from scoring.cli import app

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}

STATES = ("Norway", "Russia", "Chile", "Peru", "Japan", "China", "India", "Pakistan", "Kenya")
SAYINGS = (
    "{0} lodged a strong protest with {1} over permit {2}.",
    "{0} warned {1} of consequences if convoy {2} crosses the border.",
    "{0} threatened to strike {1} within {2} hours.",
    "{0} and {1} opened museum number {2}.",
)

DRIVER = """
import os, random, signal, sys, time
from pathlib import Path
from scoring.batch import Settings, score_batch
from scoring.resume import score_resumable

source, wanted, *outputs = sys.argv[1:]
wanted, settings = int(wanted), Settings(keep=("desk",))
score_batch([], settings)  # the model is loaded once, before the processes part

def run():
    kind = output.name.removesuffix(".gz").rpartition(".")[2]
    pid = os.fork()
    if pid:
        return pid
    try:
        score_resumable([source], output, kind, settings, on_problem=lambda error: None,
                        part_batches=2, batch_characters=4_000)
        os._exit(0)
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(9)

def end(pid, after=None):
    start = time.monotonic()
    while after is None or time.monotonic() - start < after:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]

for output in map(Path, outputs):
    start = time.monotonic()
    assert end(run()) == 0
    whole = time.monotonic() - start
    output.rename(output.with_name("whole-" + output.name))
    kills = finished = 0
    while True:
        status = end(run(), random.uniform(0, whole * 0.6))
        if os.WIFSIGNALED(status):
            kills += 1
        else:
            assert status == 0, status
            finished += 1
            output.rename(output.with_name(f"again-{finished}-" + output.name))
            if kills >= wanted:
                break
    print(kills, finished)
"""


def article(number: int) -> dict[str, object]:
    one, two = STATES[number % 9], STATES[(number * 4 + 1) % 9]
    text = " ".join(saying.format(one, two, number) for saying in SAYINGS)
    return {"id": str(number), "title": f"Day {number} in {one}", "text": text, "desk": number % 3}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hundreds of articles in three files, with a story seen twice, an empty one and a broken line."""
    folder = tmp_path_factory.mktemp("archive")
    for part in range(2):
        lines = [json.dumps(article(number)) for number in range(part * 100, part * 100 + 100)]
        lines[7] = "{broken"
        lines[9] = json.dumps({"id": "empty", "text": None})
        lines[50] = lines[3]
        (folder / f"{part}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    with gzip.open(folder / "2.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(article(number)) + "\n" for number in range(170, 230))
    return folder


def here(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["score", *map(str, arguments)], prog_name="tension")


def content(path: Path) -> dict[str, bytes]:
    """Give every byte below a path."""
    if path.is_file():
        return {"": path.read_bytes()}
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*.*"))}


def test_killed_again_and_again_the_result_is_that_of_an_uninterrupted_run(
    tmp_path: Path, archive: Path
) -> None:
    outputs = [tmp_path / name for name in ("a.jsonl", "b.csv.gz", "c.parquet")]
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(archive), "7", *map(str, outputs)],
        capture_output=True,
        env=ENVIRONMENT,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    for output, line in zip(outputs, done.stdout.splitlines(), strict=True):
        kills, finished = map(int, line.split())
        assert kills >= 7
        assert finished >= 1
        whole = content(tmp_path / f"whole-{output.name}")
        assert sum(map(len, whole.values())) > 5_000
        assert output.suffix != ".parquet" or len(whole) > 5
        for number in range(1, finished + 1):
            assert content(tmp_path / f"again-{number}-{output.name}") == whole
    assert not list(tmp_path.glob(".*")), "something is left of an unfinished run"


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_the_rows_are_those_of_a_run_without_resume(
    tmp_path: Path, archive: Path, ending: str
) -> None:
    plain, resumed = tmp_path / f"plain.{ending}", tmp_path / f"resumed.{ending}"
    jobs = ("--jobs", "2") if ending == "parquet" else ()
    one = here(archive, "-o", plain, "--keep", "desk")
    two = here(archive, "-o", resumed, "--keep", "desk", "--resume", *jobs)
    assert one.exit_code == two.exit_code == 1  # the broken lines
    assert one.stderr == two.stderr
    if ending == "parquet":
        pd.testing.assert_frame_equal(pd.read_parquet(resumed), pd.read_parquet(plain))
    else:
        assert resumed.read_bytes() == plain.read_bytes()


def test_no_articles_make_a_valid_output(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("{broken\n")
    for ending in ("csv", "parquet"):
        assert here(tmp_path / "in.jsonl", "-o", tmp_path / f"o.{ending}", "--resume").exit_code
    assert (tmp_path / "o.csv").read_text().startswith("article_id,")
    assert pd.read_parquet(tmp_path / "o.parquet").empty


# --- a run that stands there ---

STOP = """
import os, signal, sys
from pathlib import Path
import scoring.resume as resume
from scoring.batch import Settings

where, source, output = sys.argv[1:]
def die(*_arguments, **_options):
    os.kill(os.getpid(), signal.SIGKILL)
if where == "before the place":
    resume._Unfinished.place = die
elif where == "after the place":
    resume.shutil.rmtree = die
elif where == "in between":
    Path.replace = die
else:
    done = resume._Unfinished.done
    resume._Unfinished.done = lambda self, *rest: die() if self._parts == 2 else done(self, *rest)
resume.score_resumable([source], Path(output), Path(output).suffix[1:], Settings(unscored=True),
    on_problem=lambda error: None,
    **({"part_batches": 2, "batch_characters": 4_000} if where == "small parts" else {}))
"""


def stop(where: str, archive: Path, output: Path) -> None:
    """Leave an unfinished run behind, killed at a given step."""
    command = [sys.executable, "-c", STOP, where, str(archive), str(output)]
    done = subprocess.run(command, capture_output=True, env=ENVIRONMENT, timeout=60)
    assert done.returncode == -9, done.stderr


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
@pytest.mark.parametrize("where", ["before the place", "after the place"])
def test_killed_at_the_last_step(tmp_path: Path, archive: Path, where: str, ending: str) -> None:
    output, plain = tmp_path / f"out.{ending}", tmp_path / f"plain.{ending}"
    said = here(archive, "-o", plain, "--resume").stderr
    if ending == "parquet":
        shutil.copytree(plain, output)  # of an earlier run: replaced
    stop(where, archive, output)
    done = here(archive, "-o", output, "--resume")
    assert done.exit_code == 1, "problems of the run that was killed count"
    assert done.stderr.splitlines()[-1] == said.splitlines()[-1]
    assert content(output) == content(plain)
    assert not list(tmp_path.glob(".*"))


@pytest.fixture
def stopped(tmp_path: Path, archive: Path) -> tuple[Path, Path]:
    """Give inputs and output of a run that was killed before its last step."""
    inputs = tmp_path / "inputs"
    shutil.copytree(archive, inputs)
    stop("before the place", inputs, tmp_path / "out.jsonl")
    return inputs, tmp_path / "out.jsonl"


def test_another_run_is_refused_and_the_right_one_goes_on(
    stopped: tuple[Path, Path], tmp_path: Path
) -> None:
    inputs, output = stopped

    def refused(*arguments: str | Path) -> str:
        done = here(*arguments, "-o", output, "--resume")
        assert done.exit_code == 1
        assert done.stderr.count("\n") == 1
        assert "begin anew" in done.stderr
        return done.stderr

    assert "--min-level protest, found threat" in refused(inputs, "--min-level", "threat")
    assert '--keep [], found ["desk"]' in refused(inputs, "--keep", "desk")
    assert "--model" in refused(inputs, "--model", ROOT / "models" / "0.1.0")
    assert "no more, found" in refused(inputs, inputs / "0.jsonl")
    first = inputs / "0.jsonl"
    stat = first.stat()
    with first.open("a") as file:
        file.write("\n" + json.dumps(article(999)))
    assert "0.jsonl as it was, found it changed" in refused(inputs)
    os.truncate(first, stat.st_size)
    assert "0.jsonl as it was, found it changed" in refused(inputs)  # its time tells
    os.utime(first, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (inputs / "new.jsonl").write_text(json.dumps(article(1000)))
    assert "no more, found" in refused(inputs)
    (inputs / "new.jsonl").unlink()
    assert here(inputs, "-o", output, "--resume").exit_code == 1  # the broken lines
    assert output.exists()


def test_a_second_process_at_the_same_run_is_refused(stopped: tuple[Path, Path]) -> None:
    import sqlite3
    from contextlib import closing

    inputs, output = stopped
    journal = output.with_name(".out.jsonl.unfinished") / "journal.sqlite"
    with closing(sqlite3.connect(journal, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        done = here(inputs, "-o", output, "--resume")
    assert done.exit_code == 1
    assert "expected no other process at this run, found one" in done.stderr


def test_a_damaged_journal_or_lost_rows_are_said(tmp_path: Path, archive: Path) -> None:
    output = tmp_path / "out.jsonl"
    stop("small parts", archive, output)
    rows = tmp_path / ".out.jsonl.unfinished" / "rows"
    code = (
        "import sys; from pathlib import Path; from scoring.batch import Settings\n"
        "from scoring.resume import score_resumable\n"
        "score_resumable([sys.argv[1]], Path(sys.argv[2]), 'jsonl', Settings(),"
        "on_problem=print, part_batches=2, batch_characters=4_000)"
    )
    whole = rows.read_bytes()
    rows.write_bytes(b"")
    command = [sys.executable, "-c", code, str(archive), str(output)]
    done = subprocess.run(command, capture_output=True, env=ENVIRONMENT, timeout=60)
    assert b"ResumeError" in done.stderr
    assert b"rows that the journal speaks of, found 0 bytes" in done.stderr
    rows.write_bytes(whole)
    assert subprocess.run(command, capture_output=True, env=ENVIRONMENT).returncode == 0
    (tmp_path / ".out.jsonl.unfinished").mkdir()
    (tmp_path / ".out.jsonl.unfinished" / "journal.sqlite").write_bytes(b"no database" * 500)
    said = here(archive, "-o", output, "--resume")
    assert said.exit_code == 1
    assert (
        "expected the journal of an interrupted run, found: file is not a database" in said.stderr
    )


def test_what_cannot_be_resumed_is_refused(tmp_path: Path, archive: Path) -> None:
    def said(code: int, *arguments: str | Path) -> str:
        done = here(*arguments, "--resume")
        assert done.exit_code == code
        return done.stderr

    assert "Add -o" in said(2, archive)
    assert "Save it to a file first" in said(2, "-", "-o", tmp_path / "o.jsonl")
    assert "found 'https://" in said(2, "https://example.org/x", "-o", tmp_path / "o.jsonl")
    assert "found table" in said(2, archive, "-o", tmp_path / "o", "--format", "table")
    both = said(2, archive, "-o", tmp_path / "o.jsonl", "--ledger", tmp_path / "l")
    assert "expected one of them, found both" in both
    (tmp_path / "old.parquet").write_bytes(b"of yesterday")
    assert "found a file" in said(1, archive, "-o", tmp_path / "old.parquet")
    (tmp_path / "mine.parquet").mkdir()
    (tmp_path / "mine.parquet" / "notes.txt").write_text("mine")
    assert "found notes.txt in it" in said(1, archive, "-o", tmp_path / "mine.parquet")
    assert "expected a file" in said(1, archive, "-o", tmp_path, "--format", "csv")
    assert (tmp_path / "mine.parquet" / "notes.txt").read_text() == "mine"
