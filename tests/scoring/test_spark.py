"""Spark gives what the local engine gives, row for row: on this machine, and on a cluster of a master and two workers.

The clusters are real ones, on loopback.
"""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from scoring.artifact import MANIFEST_FILE, shipped_folder
from scoring.batch import Settings, open_output, score_inputs
from scoring.cli import app
from scoring.errors import InputError, OutputError, TensionError
from scoring.spark import score_on_spark
from scoring.spark_session import check_java, session

pyspark = pytest.importorskip("pyspark", reason="the extra 'spark' is not installed")
try:
    check_java()
except TensionError as error:
    pytest.skip(str(error), allow_module_level=True)

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("TENSION_SHARED") or ROOT.parent / "shared")
BIN = Path(pyspark.__file__).parent / "bin"
ON_LOOPBACK = {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}

STATES = ("Norway", "Russia", "Chile", "Peru", "Japan", "China", "India", "Pakistan", "Kenya")
SAYINGS = (
    "{0} lodged a strong protest with {1} over permit {2}. The talks went on.",
    "{0} warned {1} of consequences if convoy {2} crosses the border.",
    "{0} threatened to strike {1} within {2} hours, officials said. It also closed a port.",
    "{0} and {1} opened museum number {2}.",
)
BAD = (
    b'{"title": "cut\n\n["no", "object"]\n{"text": 7}\n\xef\xbb\xbf{}\n{"body": "no key of ours"}\n'
)


def article(number: int) -> dict[str, Any]:
    """Make a story; every tenth one is told again by another number."""
    story = number % 10 and number
    who, whom = STATES[story % 9], STATES[story // 9 % 9]
    said = SAYINGS[story % 4].format(who, whom if whom != who else "Egypt", story)
    made: dict[str, Any] = {"id": number, "title": f"Story {story}: {said}", "text": said * 2}
    made["published"] = (
        f"2026-03-{story % 28 + 1:02}T05:06:07.{story:06}+02:00" if story % 3 else None
    )
    made |= {"desk": ["Asia", {"no": story}] if story % 2 else None, "url": "https://example.org/é"}
    return made


def jsonl(numbers: range) -> bytes:
    return "".join(json.dumps(article(n), ensure_ascii=n % 2 == 0) + "\n" for n in numbers).encode()


@pytest.fixture(scope="module")
def news(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files that hold what an archive holds: packed or not, the same story twice, lines that are none."""
    folder = tmp_path_factory.mktemp("news")
    odd = [
        {"sentence": "Norway threatened to strike Russia."},  # a statement is never a duplicate
        {"sentence": "Norway threatened to strike Russia.", "desk": float("nan")},
        {"title": "La Norvège met en garde la Russie contre toute action au large de ses côtes."},
        {"title": "Peru warned Chile of consequences.\ud800", "published": "no date", "desk": 1.5},
        {"title": "", "text": None},
    ]
    lines = "".join(json.dumps(record) + "\n" for record in odd).encode()
    long = b'{"title": "' + b"Norway " * 1_500_000 + b'"}\n'
    broken = b'{"title": "Peru warned \xff Chile of consequences over caf\xc3\xa9s."}\r\n'
    (folder / "a [1]%20#é.jsonl").write_bytes(b"\xef\xbb\xbf" + jsonl(range(120)) + BAD + lines)
    (folder / "b").mkdir()
    with gzip.open(folder / "b" / "first.jsonl.gz", "wb") as file:
        file.write(jsonl(range(100, 200)) + broken)
    with gzip.open(folder / "b" / "first.jsonl.gz", "ab") as file:  # a second member
        file.write(BAD + long + jsonl(range(200, 220)).rstrip())
    rows = [
        article(n) | {"published": dt.datetime(2026, 5, 1, 2, 3, n % 60)} for n in range(190, 300)
    ]
    rows[5] |= {"title": None, "text": None}
    table = pa.Table.from_pylist([row | {"desk": row["published"]} for row in rows])
    nanoseconds = table["published"].cast(pa.timestamp("ns"))
    table = table.set_column(table.schema.get_field_index("published"), "published", nanoseconds)
    pq.write_table(table, folder / "c.parquet", row_group_size=40)
    (folder / "d-blank.jsonl").write_bytes(b"\n \n")
    (folder / "e-empty.jsonl").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    with session("local[2]") as made:
        for name, value in {  # so that a little news is many splits and many parts
            "spark.sql.files.maxPartitionBytes": "9000",
            "spark.sql.shuffle.partitions": "6",
            "spark.sql.adaptive.coalescePartitions.enabled": "false",
            "spark.sql.session.timeZone": "Asia/Tokyo",
        }.items():
            made.conf.set(name, value)
        yield made


def parts(output: Path) -> list[Path]:
    found = sorted(output.glob("part-*"))
    assert (output / "_SUCCESS").is_file()
    assert found
    return found


def read(output: Path, kind: str) -> Any:
    """Read what an engine wrote: a table, or bytes; parts in the order of their names."""
    if kind == "parquet":
        files = parts(output) if output.is_dir() else [output]
        return pa.concat_tables(
            pq.ParquetFile(file).read().replace_schema_metadata() for file in files
        )
    if not output.is_dir():
        return (gzip.decompress if output.suffix == ".gz" else bytes)(output.read_bytes())
    texts = [read(file, kind) for file in parts(output)]
    if kind == "csv":  # each part has the header, as is Spark's way
        header = texts[0].splitlines(keepends=True)[0]
        assert all(text.startswith(header) for text in texts)
        texts[1:] = [text.removeprefix(header) for text in texts[1:]]
    return b"".join(texts)


def both(
    spark: Any, inputs: list[Path], folder: Path, settings: Settings, name: str = "out.parquet"
) -> tuple[Any, list[str], Path]:
    """Score with both engines, make sure that rows, problems and counts are the same, and give them."""
    kind = name.removesuffix(".gz").rpartition(".")[2]
    named = [str(path) for path in inputs]
    told: dict[str, list[str]] = {"local": [], "spark": []}
    local, output = folder / f"local-{name}", folder / f"spark-{name}"
    with open_output(local, kind, settings.keep) as writer:
        wanted = score_inputs(
            named, writer, settings, on_problem=lambda error: told["local"].append(str(error))
        )
    summary = score_on_spark(
        spark, named, output, kind, settings, on_problem=lambda e: told["spark"].append(str(e))
    )
    rows = read(output, kind)
    assert told["spark"] == told["local"]
    assert str(summary) == str(wanted)
    assert summary == wanted
    assert rows == read(local, kind)
    assert spark.conf.get("spark.sql.session.timeZone") == "Asia/Tokyo", "it is the user's"
    return rows, told["spark"], output


# --- the same rows ---


@pytest.mark.parametrize("name", ["out.parquet", "out.jsonl.gz", "out.csv"])
def test_every_kind_of_news_gives_the_rows_of_the_local_engine(spark, news, tmp_path, name):
    rows, told, output = both(
        spark, [news], tmp_path, Settings(everything=True, keep=("desk",)), name
    )
    assert len(parts(output)) > 3, "one part shows nothing about their order"
    assert len(rows) > 900
    assert {path.name.partition(".")[2] for path in parts(output)} == {
        {"out.parquet": "zstd.parquet"}.get(name, name.removeprefix("out."))
    }
    assert len(told) == 13
    assert any("first.jsonl.gz, line 108: expected at most" in line for line in told)


def test_settings_and_order_of_inputs_are_kept(spark, news, tmp_path):
    first = [
        news / "c.parquet",
        news / "b",
        news / "a [1]%20#é.jsonl",
        news / "b" / "first.jsonl.gz",
    ]
    settings = Settings(min_level="threat", unscored=False)
    rows, _, _ = both(spark, [*first, news / "none.jsonl"], tmp_path, settings)
    assert set(rows["level"].to_pylist()) == {"threat"}


def test_lines_of_a_large_file_are_named_though_many_tasks_read_it(spark, tmp_path):
    lines = jsonl(range(400)).splitlines(keepends=True)
    for number in (0, 150, 399):
        lines[number] = b"{\n"
    (tmp_path / "large.jsonl").write_bytes(b"".join(lines))
    _, told, _ = both(spark, [tmp_path / "large.jsonl"], tmp_path, Settings())
    assert [re.search(r"line (\d+)", line)[1] for line in told] == ["1", "151", "400"]  # type: ignore[index]
    assert spark.read.text(str(tmp_path / "large.jsonl")).rdd.getNumPartitions() > 3


def test_no_rows_are_an_output_too(spark, tmp_path):
    (tmp_path / "quiet.jsonl").write_text('{"title": "Norway and Russia opened a museum."}\n')
    rows, _, _ = both(spark, [tmp_path / "quiet.jsonl"], tmp_path, Settings())
    assert rows.num_rows == 0
    both(spark, [tmp_path / "gone.jsonl"], tmp_path, Settings(), "none.parquet")


def test_real_news_gives_the_rows_of_the_local_engine(spark, tmp_path):
    real = SHARED / "news" / "reuters_1987.jsonl.gz"
    if not real.is_file():
        pytest.skip(f"no real news at {SHARED} (set TENSION_SHARED)")
    with gzip.open(real, "rb") as lines:
        (tmp_path / "news.jsonl").write_bytes(b"".join(next(lines) for _ in range(150)))
    rows, _, _ = both(spark, [tmp_path / "news.jsonl"], tmp_path, Settings(everything=True))
    assert len(rows) > 900


def test_the_accurate_tier_and_a_named_model_travel_to_the_workers(spark, news, tmp_path):
    pytest.importorskip("onnxruntime", reason="the extra 'encoder' is not installed")
    (tmp_path / "few.jsonl").write_bytes(jsonl(range(12)))
    settings = Settings(everything=True, tier="accurate", model=shipped_folder())
    rows, _, _ = both(spark, [tmp_path / "few.jsonl"], tmp_path, settings)
    assert all(name.endswith("+accurate") for name in rows["model"].to_pylist())


# --- what Spark cannot read ---


def test_damaged_files_are_left_out_and_named(spark, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(jsonl(range(9)))
    packed = gzip.compress(jsonl(range(300)))
    (tmp_path / "b cut.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    (tmp_path / "c.parquet").write_bytes(b"PAR1 is how it begins, and no more")
    told: list[InputError] = []
    output = tmp_path / "out.jsonl"
    summary = score_on_spark(
        spark, [str(tmp_path)], output, "jsonl", Settings(), on_problem=told.append
    )
    assert [Path(error.where).name for error in told] == ["b cut.jsonl.gz", "c.parquet"]
    assert summary.articles == 9
    assert summary.problems == 2
    local, _, _ = both(spark, [tmp_path / "a.jsonl"], tmp_path, Settings(), "alone.jsonl")
    assert read(output, "jsonl") == local


def test_names_that_spark_passes_over_are_told(spark, tmp_path):
    (tmp_path / "_old.jsonl").write_bytes(jsonl(range(3)))
    told: list[InputError] = []
    score_on_spark(
        spark, [str(tmp_path)], tmp_path / "out.jsonl", "jsonl", Settings(), on_problem=told.append
    )
    assert ["begins with _" in str(error) for error in told] == [True]


def test_a_table_without_text_is_told(spark, tmp_path):
    pq.write_table(pa.table({"headline": ["Norway threatened Russia."]}), tmp_path / "t.parquet")
    both(spark, [tmp_path / "t.parquet"], tmp_path, Settings())


def test_uris_are_listed_by_spark(spark, news, tmp_path):
    told: list[InputError] = []
    inputs = [(news / "b").as_uri(), f"file:{news}/none*.jsonl", f"file://{news}/[acd]*"]
    output = (tmp_path / "out.jsonl").as_uri()
    score_on_spark(spark, inputs, output, "jsonl", Settings(), on_problem=told.append)
    paths = [news / "b", *sorted(news.glob("[acd]*"))]
    rows, problems, _ = both(spark, paths, tmp_path, Settings(), "paths.jsonl")
    assert read(tmp_path / "out.jsonl", "jsonl") == rows
    assert len(told) == len(problems) + 1


def test_an_output_that_is_there_is_left_alone(spark, news, tmp_path):
    (tmp_path / "old").write_text("old")
    with pytest.raises(OutputError, match=r"not there yet.*Remove it"):
        score_on_spark(
            spark, [str(news)], tmp_path, "jsonl", Settings(), on_problem=lambda error: None
        )
    assert (tmp_path / "old").read_text() == "old"


def test_a_job_that_fails_says_why_and_leaves_no_output(spark, tmp_path):
    pq.write_table(pa.table({"title": ["a"], "id": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"title": ["a"], "id": [["x"]]}), tmp_path / "b.parquet")
    inputs = [str(tmp_path / name) for name in ("a.parquet", "b.parquet")]
    with pytest.raises(TensionError, match=r"run to its end, found: .*MERGE"):
        score_on_spark(
            spark, inputs, tmp_path / "out", "jsonl", Settings(), on_problem=lambda error: None
        )
    assert not (tmp_path / "out").exists()


# --- the command line ---


def run(*arguments: str | Path, **environment: str) -> Result:
    return CliRunner().invoke(app, ["score", *map(str, arguments)], env=environment)


def test_the_command_says_what_the_local_engine_says(spark, news, tmp_path):
    local = run(news, "-o", tmp_path / "local.jsonl")
    done = run(news, "-o", tmp_path / "spark.jsonl", "--engine", "spark")
    assert done.exit_code == local.exit_code == 1
    assert done.stderr == local.stderr
    assert read(tmp_path / "spark.jsonl", "jsonl") == (tmp_path / "local.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--jobs", "2"], "no --jobs"),
        (["--resume"], "no --resume"),
        (["--ledger", "seen.sqlite"], "no --ledger"),
        (["--input-format", "csv"], "found --input-format csv"),
        (["https://example.org/feed.xml"], "files that every worker can read"),
        (["-"], "files that every worker can read"),
        (["--format", "table"], "found table"),
        (["feed.xml"], r"feed\.xml: expected JSONL or Parquet .* found feed"),
        (["odd.dat"], r"odd\.dat: expected JSONL or Parquet .* found \.dat"),
    ],
)
def test_what_spark_does_not_take_is_refused_with_a_reason(
    spark, tmp_path, monkeypatch, arguments, said
):
    monkeypatch.chdir(tmp_path)
    for name in ("feed.xml", "odd.dat", "news.jsonl"):
        Path(name).write_text("{}\n")
    done = run("news.jsonl", *arguments, "-o", "out.jsonl", "--engine", "spark")
    assert done.exit_code == 2
    assert re.search(said, done.stderr), done.stderr
    assert done.stderr.count("\n") == 1
    assert not Path("out.jsonl").exists()


def test_input_output_and_engine_must_be_named(tmp_path):
    (tmp_path / "news.jsonl").write_bytes(jsonl(range(3)))
    assert "found no -o" in run(tmp_path / "news.jsonl", "--engine", "spark").stderr
    assert "expected an INPUT" in run("-o", tmp_path / "o.jsonl", "--engine", "spark").stderr
    assert "expected --engine spark" in run(tmp_path / "news.jsonl", "--master", "local").stderr


def test_what_is_missing_is_said(tmp_path):
    (tmp_path / "news.jsonl").write_bytes(jsonl(range(3)))

    def said(code: str = "", **environment: str) -> tuple[int, str]:
        command = [sys.executable, "-c", f"{code}\nfrom scoring.cli import main\nmain()", "score"]
        command += [str(tmp_path / "news.jsonl"), "-o", str(tmp_path / "o.jsonl"), "--engine=spark"]
        environment = os.environ | {"PYTHONPATH": str(ROOT)} | environment
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.stderr.count("\n") == 1
        return done.returncode, done.stderr

    assert re.search("found none in JAVA_HOME", said(JAVA_HOME=str(tmp_path))[1])
    old = tmp_path / "bin" / "java"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    old.chmod(0o755)
    code, told = said(JAVA_HOME=str(tmp_path))
    assert (code, "expected Java 17 or newer, found version 11" in told) == (1, True)
    code, told = said(SPARK_REMOTE="sc://127.0.0.1")
    assert (code, "Spark Connect" in told) == (2, True)
    assert "the extra 'spark'" in said("import sys; sys.modules['pyspark'] = None")[1]


# --- a cluster: a master and two workers, each a process of its own ---


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Start a standalone master and two workers; give the URL of the master and the folder of the executors."""
    folder = tmp_path_factory.mktemp("cluster")
    environment = os.environ | ON_LOOPBACK | {"PYTHONPATH": str(ROOT)}
    started = []

    def start(role: str, *options: str, until: str) -> str:
        log = folder / f"{role.rpartition('.')[2]}-{len(started)}.log"
        command = [str(BIN / "spark-class"), f"org.apache.spark.deploy.{role}", *options]
        command[2:2] = ["--host", "127.0.0.1", "--port", "0", "--webui-port", "0"]
        with log.open("wb") as file:
            started.append(subprocess.Popen(command, stdout=file, stderr=file, env=environment))
        for _ in range(600):
            if found := re.search(until, log.read_text(errors="replace")):
                return found[0]
            assert started[-1].poll() is None, log.read_text(errors="replace")
            time.sleep(0.1)
        raise AssertionError(f"{role} did not start: {log.read_text(errors='replace')}")

    try:
        master = start("master.Master", until=r"spark://127\.0\.0\.1:\d+")
        for _ in range(2):
            options = ["--cores", "1", "--memory", "2g", "--work-dir", str(folder / "work")]
            start("worker.Worker", *options, master, until="Successfully registered")
        yield master, folder / "work"
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(30)


def on_cluster(*command: str | Path, code: int) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        env=os.environ | ON_LOOPBACK | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stderr
    return done.stderr


def test_two_workers_give_the_rows_of_the_local_engine(cluster, news, tmp_path):
    """Without spark-submit, with a model by name, which goes to the workers by itself."""
    master, executors = cluster
    model = tmp_path / "my model"
    shutil.copytree(shipped_folder(), model, ignore=shutil.ignore_patterns("encoder.*"))
    rename(model, "7.7.7")
    command = (sys.executable, "-m", "scoring", "score", news, "--all", "--model", model)
    local = on_cluster(*command, "-o", tmp_path / "local.parquet", code=1)
    output = tmp_path / "spark.parquet"
    told = on_cluster(*command, "-o", output, "--engine", "spark", "--master", master, code=1)
    assert told == local
    rows = read(output, "parquet")
    assert rows == read(tmp_path / "local.parquet", "parquet")
    assert set(rows["model"].to_pylist()) == {"7.7.7"}
    assert len(list(executors.glob("app-*/*/stderr"))) == 2  # of a core each: one on each worker


def test_a_job_is_submitted_with_the_package_along(cluster, news, tmp_path):
    """As docs/spark.md says: the workers have Python and its libraries, the package comes as an archive."""
    archive = tmp_path / "package.zip"
    shipped = tmp_path / "shipped" / shipped_folder().name
    shutil.copytree(shipped_folder(), shipped, ignore=shutil.ignore_patterns("encoder.*"))
    rename(shipped, "8.8.8")  # which only the package in the archive says
    with zipfile.ZipFile(archive, "w") as file:  # laid out as the wheel is
        for path in (ROOT / "scoring").rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                file.write(path, path.relative_to(ROOT))
        for path in shipped.rglob("*"):
            file.write(path, Path("scoring/models", shipped.name, path.relative_to(shipped)))
        file.writestr("scoring/models/CHAMPION", shipped.name)
    script = tmp_path / "tension.py"
    script.write_text("from scoring.cli import main\n\nmain()\n")
    output = tmp_path / "spark.jsonl"
    on_cluster(
        *(BIN / "spark-submit", "--master", cluster[0], "--archives", f"{archive}#package"),
        *("--conf", "spark.executorEnv.PYTHONPATH=package"),
        *("--conf", "spark.sql.adaptive.coalescePartitions.enabled=false"),
        *("--conf", "spark.sql.shuffle.partitions=4"),
        *(script, "score", news, "-o", output, "--engine", "spark"),
        code=1,
    )
    local = tmp_path / "local.jsonl"
    on_cluster(sys.executable, "-m", "scoring", "score", news, "-o", local, code=1)
    assert len(parts(output)) > 1
    ours = shipped_folder().name
    assert read(output, "jsonl") == local.read_bytes().replace(
        f'"model": "{ours}"'.encode(), b'"model": "8.8.8"'
    )


def rename(model: Path, version: str) -> None:
    """Give a model another name, which the rows then tell."""
    manifest = json.loads((model / MANIFEST_FILE).read_text())
    (model / MANIFEST_FILE).write_text(json.dumps(manifest | {"version": version}))
