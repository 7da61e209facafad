"""Batches, jobs, and the files that come of them; scored by the shipped model throughout."""

from __future__ import annotations

import csv
import gzip
import io
import json
import multiprocessing
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.articles import Article
from scoring.batch import (
    CsvWriter,
    JsonlWriter,
    Settings,
    Summary,
    arrow_schema,
    batches,
    choose_format,
    open_output,
    plain_rows,
    score_batch,
    score_batches,
    score_inputs,
    whole_file,
)
from scoring.errors import ArtifactMissing, OutputError, UsageError
from scoring.records import RECORD_COLUMNS, records_frame

PROTEST = Article(
    id="p",
    title="Norway summons Russian ambassador over border balloons",
    text="Norway lodged a strong protest with Russia over the balloons. It was mild in Oslo.",
    published=datetime(2026, 3, 2, 9, tzinfo=UTC),
    publisher="Fjord Wire",
    url="https://example.org/p",
)
QUIET = Article("q", "Chile opens a new museum of glass", None)
FRENCH = Article(
    id="f",
    title="Le ministre est dans le pays pour la paix",
    text="Les deux pays ont dit que la guerre est une menace. Il sera dans la ville avec nous.",
)
EMPTY = Article("e", None, None)
ALL = [PROTEST, QUIET, FRENCH, EMPTY]


def records(**cells: object) -> pd.DataFrame:
    """One record, as the scorer gives it, with some cells changed."""
    row: dict[str, object] = {
        "article_id": "a1",
        "sentence": 0,
        "text": "Oslo protests to Moscow",
        "source": "NOR",
        "target": None,
        "source_span": (0, 4),
        "level": "protest",
        "score": 0.1 + 0.2,
        "p_none": 0.25,
        "p_protest": 0.5,
        "p_warning": 0.25,
        "p_threat": 0.0,
        "review": True,
        "model": "0",
    }
    extra = tuple(key for key in cells if key not in RECORD_COLUMNS)
    return records_frame([row | cells], extra)


def jsonl(frame: pd.DataFrame) -> list[dict[str, object]]:
    file = io.BytesIO()
    JsonlWriter(file).write(frame)
    return [json.loads(line) for line in file.getvalue().split(b"\n")[:-1]]


def cells(frame: pd.DataFrame) -> dict[str, str]:
    file = io.BytesIO()
    CsvWriter(file, list(frame.columns)).write(frame)
    header, row = csv.reader(io.StringIO(file.getvalue().decode(), newline=""))
    return dict(zip(header, row, strict=True))


# --- batches ---


@given(st.lists(st.integers(0, 3_000), max_size=60))
def test_batches_hold_every_article_in_order_and_are_full_but_the_last(sizes: list[int]) -> None:
    articles = [Article(str(i), None, "x" * size) for i, size in enumerate(sizes)]
    groups = list(batches(articles, 2_000))
    assert [a for group in groups for a in group] == articles
    for group in groups:
        assert sum(len(a.text or "") for a in group[:-1]) < 2_000
    for group in groups[:-1]:
        assert sum(100 + len(a.text or "") for a in group) >= 2_000


def test_articles_without_text_fill_a_batch_as_well() -> None:
    groups = list(batches([EMPTY] * 5_000, 10_000))
    assert [len(group) for group in groups] == [100] * 50


def test_kept_keys_count_towards_a_batch() -> None:
    article = Article("k", None, "Oslo", extra={"html": "x" * 9_000})
    assert [len(group) for group in batches([article] * 4, 10_000)] == [2, 2]


def test_batches_are_read_one_at_a_time() -> None:
    read: list[int] = []

    def articles() -> Iterator[Article]:
        for number in range(100):
            read.append(number)
            yield PROTEST

    next(batches(articles(), 1_000))
    assert len(read) < 10


# --- scoring ---


def test_rows_below_the_level_are_left_out_but_counted() -> None:
    frame, summary = score_batch([PROTEST, QUIET], Settings())
    assert set(frame["article_id"]) == {"p"}
    assert set(frame["level"]) == {"protest"}
    assert set(frame["source"]) == {"NOR"}
    assert (summary.articles, summary.sentences) == (2, 4)
    assert summary.levels["none"] == 2
    assert summary.levels["protest"] == len(frame) == 2


def test_min_level_none_keeps_every_scored_row_and_threat_none_of_these() -> None:
    assert len(score_batch([PROTEST, QUIET], Settings(min_level="none"))[0]) == 4
    assert score_batch([PROTEST, QUIET], Settings(min_level="threat"))[0].empty


def test_an_article_that_cannot_be_scored_keeps_one_row_that_says_why() -> None:
    frame, summary = score_batch(ALL, Settings(min_level="threat"))
    assert frame["article_id"].tolist() == ["f", "e"]
    assert frame["level"].isna().all()
    assert frame["note"].tolist() == ["not English (looks like French)", "no text"]
    assert summary.unscored == {"not English (looks like French)": 1, "no text": 1}
    everything, _ = score_batch(ALL, Settings(everything=True))
    assert everything["article_id"].tolist() == ["p", "p", "p", "q", "f", "f", "f", "e"]


def test_summary_adds_up_and_reads_as_one_line() -> None:
    summary = Summary()
    for article in ALL:
        summary.add(score_batch([article], Settings())[1])
    assert summary == score_batch(ALL, Settings())[1]
    summary.duplicates, summary.problems = 1, 2
    assert str(summary) == (
        "4 articles (1 duplicate dropped), 4 sentences: 0 threat, 0 warning, 2 protest, 2 none; "
        "articles not scored: 1 not English (looks like French), 1 no text; 2 problems."
    )


@pytest.mark.parametrize(
    "bad", [{"min_level": "war"}, {"keep": ("level",)}, {"keep": ("a", "a")}, {"keep": ("text",)}]
)
def test_settings_that_do_not_fit_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="expected"):
        Settings(**bad)  # type: ignore[arg-type]


def test_two_processes_give_the_rows_of_one_in_order() -> None:
    groups = [[PROTEST], [QUIET, EMPTY], [FRENCH], [EMPTY, PROTEST]] * 2
    settings = Settings(everything=True)
    one = [plain_rows(frame) for frame, _ in score_batches(groups, settings)]
    two = [plain_rows(frame) for frame, _ in score_batches(groups, settings, jobs=2)]
    assert [
        rows for rows in two if rows
    ] == one  # the first batch of a pool is empty: it loads the model


def test_processes_do_not_run_ahead_of_a_slow_reader() -> None:
    read: list[int] = []

    def groups() -> Iterator[list[Article]]:
        for number in range(50):
            read.append(number)
            yield [QUIET]

    results = score_batches(groups(), Settings(), jobs=2)
    next(results)
    next(results)
    assert len(read) <= 6
    results.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_of_reading_reaches_the_caller_and_ends_the_processes(jobs: int) -> None:
    def groups() -> Iterator[list[Article]]:
        yield [PROTEST]
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        list(score_batches(groups(), Settings(), jobs))
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_model_that_is_not_there_is_said_before_anything_is_scored(
    tmp_path: Path, jobs: int
) -> None:
    with pytest.raises(ArtifactMissing, match="expected"):
        list(score_batches([], Settings(model=tmp_path), jobs))


def test_the_whole_way_counts_duplicates_and_problems(tmp_path: Path) -> None:
    feed = tmp_path / "in.jsonl"
    line = json.dumps({"title": PROTEST.title, "desk": "north"})
    feed.write_text(f"{line}\nnot json\n{line}\n", encoding="utf-8")
    problems = []
    with open_output(tmp_path / "out.jsonl", "jsonl") as writer:
        summary = score_inputs(
            [str(feed)], writer, Settings(keep=("desk",)), on_problem=problems.append
        )
    assert (summary.articles, summary.duplicates, summary.problems) == (1, 1, 1)
    assert problems[0].line == 2
    row = json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8"))
    assert (row["source"], row["target"], row["desk"]) == ("NOR", "RUS", "north")


# --- formats ---


def test_jsonl_has_the_keys_in_order_and_null_for_what_is_missing() -> None:
    (row,) = jsonl(records(score=float("nan"), text="Осло\nпротестует"))
    assert tuple(row) == RECORD_COLUMNS
    assert row["source_span"] == [0, 4]
    assert [row[key] for key in ("score", "target", "target_span", "published")] == [None] * 4
    assert row["text"] == "Осло\nпротестует"
    assert row["review"] is True


def test_times_are_iso_8601_utc() -> None:
    when = datetime.fromisoformat("2026-03-02T10:30:00+01:00")
    (row,) = jsonl(records(published=when))
    assert row["published"] == cells(records(published=when))["published"] == "2026-03-02T09:30:00Z"


def test_kept_keys_of_any_type_come_through() -> None:
    odd = {"n": 3, "list": [1, float("nan")], "when": datetime(2026, 1, 1, tzinfo=UTC), "no": None}
    (row,) = jsonl(records(**odd))
    assert [row[key] for key in odd] == [3, [1, None], "2026-01-01 00:00:00+00:00", None]
    assert cells(records(**odd))["list"] == "[1, null]"


def test_a_lone_surrogate_does_not_stop_a_run(tmp_path: Path) -> None:
    frame = records(publisher="wire \ud800")
    assert jsonl(frame)[0]["publisher"] == "wire \ud800"
    assert cells(frame)["publisher"] == r"wire \ud800"
    with open_output(tmp_path / "o.parquet", "parquet") as writer:
        writer.write(frame)
    assert pd.read_parquet(tmp_path / "o.parquet")["publisher"].tolist() == [r"wire \ud800"]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])
@pytest.mark.parametrize("column", ["text", "article_id", "publisher", "url", "note", "kept"])
def test_csv_defuses_formulas_of_others(start: str, column: str) -> None:
    formula = f'{start}cmd|" /C calc"!A0'
    assert cells(records(**{column: formula}))[column] == f"'{formula}"


def test_csv_leaves_numbers_and_quiet_text_alone() -> None:
    row = cells(records(text='Oslo: "no", it says', p_threat=-0.0))
    assert row["text"] == 'Oslo: "no", it says'
    assert (row["score"], row["p_threat"]) == (repr(0.1 + 0.2), "-0.0")
    assert (row["source_span"], row["target_span"], row["target"]) == ("0:4", "", "")
    assert row["sentence"] == "0"


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "csv", "csv.gz", "parquet"])
def test_every_format_gives_the_scores_back_to_the_last_bit(tmp_path: Path, kind: str) -> None:
    frame, _ = score_batch([PROTEST, FRENCH], Settings(everything=True))
    path = tmp_path / f"out.{kind}"
    with open_output(path, kind.removesuffix(".gz")) as writer:
        writer.write(frame.iloc[:2])
        writer.write(frame.iloc[2:])
    read = {"jsonl": pd.read_json, "csv": pd.read_csv, "parquet": pd.read_parquet}
    options = {"jsonl": {"lines": True, "precise_float": True}}
    plain = kind.removesuffix(".gz")
    back = read[plain](path, **options.get(plain, {}))  # type: ignore[operator]
    assert tuple(back.columns) == RECORD_COLUMNS
    assert back["score"].fillna(-1).tolist() == frame["score"].fillna(-1).tolist()
    assert back["text"].tolist() == frame["text"].tolist()
    assert back["level"].isna().tolist() == frame["level"].isna().tolist()
    if kind.endswith(".gz"):
        assert gzip.decompress(path.read_bytes())[:1] in (b"{", b"a")
        assert path.read_bytes()[4:8] == bytes(4)  # no time: the same rows are the same bytes


@pytest.mark.parametrize("rows", [0, 1])
def test_parquet_has_one_schema_with_and_without_rows(tmp_path: Path, rows: int) -> None:
    with open_output(tmp_path / "o.parquet", "parquet", ("desk",)) as writer:
        writer.write(records(desk=7).iloc[:rows])
    table = pq.read_table(tmp_path / "o.parquet")
    assert table.schema.equals(arrow_schema(("desk",)))
    assert str(table.schema.field("published").type) == "timestamp[us, tz=UTC]"
    assert str(table.schema.field("source_span").type).startswith("list<")
    assert table["desk"].to_pylist() == ["7"] * rows
    assert table["source_span"].to_pylist() == [[0, 4]] * rows


def test_many_small_batches_make_one_row_group(tmp_path: Path) -> None:
    with open_output(tmp_path / "o.parquet", "parquet") as writer:
        for _ in range(50):
            writer.write(records())
    assert pq.ParquetFile(tmp_path / "o.parquet").metadata.num_row_groups == 1


def test_an_empty_run_gives_valid_files(tmp_path: Path) -> None:
    for kind in ("jsonl", "csv"):
        with open_output(tmp_path / f"o.{kind}", kind):
            pass
    assert (tmp_path / "o.jsonl").read_bytes() == b""
    assert tuple(pd.read_csv(tmp_path / "o.csv").columns) == RECORD_COLUMNS


@pytest.mark.parametrize(
    ("output", "wanted", "terminal", "kind"),
    [
        (None, None, True, "table"),
        (None, None, False, "jsonl"),
        (None, "parquet", False, "parquet"),
        ("o.CSV.gz", None, True, "csv"),
        ("o.parquet", None, False, "parquet"),
        ("o.dat", "csv", False, "csv"),
        ("o.csv", "jsonl", False, "jsonl"),
    ],
)
def test_the_format_follows_from_option_ending_and_reader(
    output: str | None, wanted: str | None, terminal: bool, kind: str
) -> None:
    assert choose_format(Path(output) if output else None, wanted, terminal) == kind


def test_a_format_that_cannot_be_told_names_the_endings() -> None:
    with pytest.raises(UsageError, match=r"\.jsonl, \.jsonl\.gz, \.csv, \.csv\.gz, \.parquet"):
        choose_format(Path("o.txt"), None, False)
    with pytest.raises(UsageError, match="terminal"):
        choose_format(None, "parquet", True)


# --- whole or not at all ---


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet", "table"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_run_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, kind: str, error: type[BaseException]
) -> None:
    path = tmp_path / "o.gz"
    path.write_bytes(b"of yesterday")

    def fails() -> None:
        with open_output(path, kind) as writer:
            writer.write(records())
            raise error

    with pytest.raises(error):
        fails()
    assert [p.name for p in tmp_path.iterdir()] == ["o.gz"]
    assert path.read_bytes() == b"of yesterday"


def test_a_link_stays_a_link_and_nothing_shows_before_the_end(tmp_path: Path) -> None:
    link, real = tmp_path / "link.jsonl", tmp_path / "real.jsonl"
    link.symlink_to(real)
    with whole_file(link) as file:
        file.write(b"{}\n")
        assert not real.exists()
    assert link.is_symlink()
    assert real.read_bytes() == b"{}\n"


@pytest.mark.parametrize("name", ["no/such/folder/o.jsonl", "folder", "x" * 300])
def test_an_output_that_cannot_be_written_is_said_at_once(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="expected"), whole_file(tmp_path / name):
        pytest.fail("opened")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_a_device_is_never_replaced() -> None:
    with pytest.raises(OutputError, match="may not be written"), whole_file(Path(os.devnull)):
        pytest.fail("opened")


def test_articles_of_one_id_are_told_apart() -> None:
    twins = [Article("7", None, None), Article("7", None, None), Article("7", None, "It rained.")]
    frame, summary = score_batch(twins * 2, Settings())
    assert len(frame) == 4  # one row of each that could not be scored
    assert (summary.articles, summary.sentences) == (6, 2)
    assert summary.unscored == {"no text": 4}
