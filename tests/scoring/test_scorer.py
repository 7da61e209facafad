"""Texts, frames and articles to records: one statement gives one record, alone and in any batch."""

from __future__ import annotations

import datetime as dt
import json
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import scoring
from scoring.actors import find_mentions
from scoring.errors import ArtifactMissing, UsageError
from scoring.levels import LEVELS, PROBABILITIES
from scoring.records import RECORD_COLUMNS, records_frame
from scoring.scorer import NO_TEXT, Scorer, load

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("TENSION_SHARED") or ROOT.parent / "shared")
OWN = ROOT / "tests" / "training" / "statements.jsonl"
WARNS = "Moscow warned Seoul of serious consequences."
ID = ["article_id"]


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return load()


def texts_of(path: Path) -> list[str]:
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module", params=["own", "dev"])
def texts(request) -> list[str]:
    if request.param == "own":
        return texts_of(OWN)
    dev = SHARED / "gold" / "dev.jsonl"
    if not dev.is_file():
        pytest.skip(f"no real statements at {dev} (set TENSION_SHARED)")
    return texts_of(dev)


def same(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether two tables are equal, floats to the last bit, null equal to null."""
    return list(one.columns) == list(other.columns) and one.astype(object).equals(
        other.astype(object)
    )


def test_one_text_alone_equals_it_in_any_batch_in_any_order(scorer, texts):
    frame = pd.DataFrame({"text": texts})
    whole = scorer.score_frame(frame)
    rows = dict(iter(whole.groupby("article_id", sort=False)))
    assert list(rows) == [str(i) for i in frame.index]  # rows in order
    order = np.random.default_rng(0).permutation(len(frame))
    shuffled = scorer.score_frame(frame.iloc[order])
    assert list(dict.fromkeys(shuffled["article_id"])) == [str(i) for i in order]
    for id_, part in shuffled.groupby("article_id", sort=False):
        assert same(part.reset_index(drop=True), rows[id_].reset_index(drop=True))
    for i, text in enumerate(texts):
        alone = scorer.score(text).drop(columns=ID)
        assert same(alone, rows[str(i)].drop(columns=ID).reset_index(drop=True)), text


def test_what_holds_of_every_row(scorer, texts):
    records = scorer.score_lines(texts)
    chances = records[list(PROBABILITIES)].to_numpy()
    assert ((chances >= 0) & (chances <= 1)).all()
    assert np.abs(chances.sum(axis=1) - 1).max() < 1e-12
    expected = (chances * np.arange(4)).sum(axis=1) / 3
    assert np.abs(records["score"] - expected).max() < 1e-12
    assert list(records["level"]) == [LEVELS[i] for i in chances.argmax(axis=1)]
    below = scorer._model.manifest["review_below"]
    assert list(records["review"]) == list(chances.max(axis=1) < below)
    assert 0 < records["review"].mean() < 0.5
    none = records[records["level"] == "none"]
    assert none[["source", "target", "source_span", "target_span"]].isna().all(axis=None)
    assert set(records["level"]) == set(LEVELS)
    assert not records.duplicated(["article_id", "sentence", "source", "target"]).any()


def test_spans_point_at_the_sides(scorer, texts):
    for row in scorer.score_lines(texts).itertuples():
        for code, span in ((row.source, row.source_span), (row.target, row.target_span)):
            assert (code is None) == (span is None)
            if span:
                assert (*span, code) in [m[:3] for m in find_mentions(row.text)]


def test_load_is_the_public_door():
    assert isinstance(scoring.load(), Scorer)
    with pytest.raises(ArtifactMissing):
        scoring.load("no/such/model")


def test_version_of_the_model_is_in_every_row(scorer):
    assert set(scorer.score(WARNS, title="x")["model"]) == {scorer.version}


# -- articles --------------------------------------------------------------------------------------


def test_title_is_sentence_0_and_the_body_counts_from_1(scorer):
    records = scorer.score("It rained. " + WARNS, title="Moscow warns Seoul")
    first = records.drop_duplicates("sentence")
    assert list(first["sentence"]) == [0, 1, 2]
    assert list(first["text"]) == ["Moscow warns Seoul", "It rained.", WARNS]


def test_without_a_title_the_body_still_counts_from_1(scorer):
    assert list(scorer.score(WARNS)["sentence"]) == [1]


def test_a_title_alone(scorer):
    frame = pd.DataFrame({"title": [WARNS], "text": [None]})
    records = scorer.score_frame(frame, title="title")
    assert list(records["sentence"]) == [0]
    assert list(records["text"]) == [WARNS]


def test_lines_are_never_split(scorer):
    records = scorer.score_lines(["It rained. It snowed.", WARNS])
    assert list(records["article_id"]) == ["1", "2"]
    assert list(records["sentence"]) == [0, 0]
    assert records["text"].iloc[0] == "It rained. It snowed."


def test_id_of_a_text_comes_from_its_content(scorer):
    ids = [scorer.score(text)["article_id"].iloc[0] for text in (WARNS, WARNS, WARNS + " ")]
    assert ids[0] == ids[1] != ids[2]


def test_published_tells_who_was_in_office(scorer):
    text = "Trump warned Iran of serious consequences."
    years = {
        year: scorer.score(text, published=dt.datetime(year, 3, 1, tzinfo=dt.UTC))
        for year in (2015, 2019)
    }
    assert list(years[2019]["source"]) == ["USA"]
    assert "USA" not in set(years[2015]["source"])
    assert years[2019]["published"].iloc[0] == pd.Timestamp("2019-03-01", tz="UTC")


def test_naive_dates_are_utc_and_unreadable_ones_null(scorer):
    frame = pd.DataFrame(
        {"text": [WARNS] * 4, "date": ["2019-03-01T10:00", "soon", None, "2019-03-01T12:00+02:00"]}
    )
    published = scorer.score_frame(frame, published="date")["published"]
    assert published.isna().tolist() == [False, True, True, False]
    assert published.iloc[0] == published.iloc[3] == pd.Timestamp("2019-03-01 10:00", tz="UTC")


# -- frames ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("null", [None, np.nan, pd.NA, pd.NaT, "", " \n\t ", "\u200b"])
def test_null_text_gives_a_row_that_says_so(scorer, null):
    frame = pd.DataFrame({"text": pd.Series([WARNS, null, WARNS], dtype=object)})
    records = scorer.score_frame(frame)
    assert list(records["article_id"]) == ["0", "1", "2"]
    row = records.iloc[1]
    assert row["level"] is None
    assert np.isnan(row["score"])
    assert row[list(PROBABILITIES)].isna().all()
    assert row["note"] == NO_TEXT
    assert row["review"]
    assert list(records["level"]) == ["warning", None, "warning"]
    assert records["note"].iloc[0] is None


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"text": []}),
        pd.DataFrame({"text": pd.Series([], dtype="str")}),
        pd.DataFrame({"text": [WARNS]}).iloc[:0],
    ],
)
def test_0_rows_give_the_columns_and_types(scorer, frame):
    records = scorer.score_frame(frame)
    assert len(records) == 0
    assert tuple(records.columns) == RECORD_COLUMNS
    assert records.dtypes.equals(records_frame([]).dtypes)
    assert records.dtypes.equals(scorer.score_lines([]).dtypes)
    assert records.dtypes.equals(scorer.score(WARNS).dtypes)


@pytest.mark.parametrize("index", [[7, 7, 7], ["b", "a", "b"], [(1, 2), (1, 2), (3, 4)]])
def test_an_index_of_any_kind(scorer, index):
    frame = pd.DataFrame({"text": [WARNS, "It rained.", WARNS]}, index=pd.Index(index))
    records = scorer.score_frame(frame)
    assert list(records["article_id"]) == [str(id_) for id_ in frame.index]
    assert list(records["level"]) == ["warning", "none", "warning"]


@pytest.mark.parametrize(
    "dtype", ["object", "str", "string", "category", pd.ArrowDtype(pa.string())]
)
def test_columns_of_every_kind_of_text(scorer, dtype):
    frame = pd.DataFrame({"body": pd.Series([WARNS, None], dtype=dtype)})
    records = scorer.score_frame(frame, text="body")
    assert list(records["level"]) == ["warning", None]
    assert records["score"].iloc[0] == scorer.score(WARNS)["score"].iloc[0]


@pytest.mark.parametrize("value", [3, 2.5, True, b"text", ["a", "b"], [], {"a": 1}, np.zeros(2)])
@pytest.mark.parametrize("column", ["text", "title"])
def test_what_is_no_text_is_refused_with_its_row(scorer, column, value):
    frame = pd.DataFrame({"text": [WARNS] * 2, "title": [None] * 2}, index=["x", "y"], dtype=object)
    frame.at["y", column] = value
    with pytest.raises(UsageError, match=rf"row y: .*found {type(value).__name__}") as caught:
        scorer.score_frame(frame, title="title")
    assert "Give strings" in str(caught.value)


def test_a_text_that_is_none_is_refused(scorer):
    with pytest.raises(UsageError, match="found int"):
        scorer.score(3)


@pytest.mark.parametrize("role", ["text", "title", "published", "article_id"])
def test_a_column_that_is_not_there(scorer, role):
    with pytest.raises(UsageError, match=r"'body', found text, lang\. Name the column"):
        scorer.score_frame(pd.DataFrame({"text": [WARNS], "lang": ["en"]}), **{role: "body"})


def test_a_column_that_is_there_twice(scorer):
    frame = pd.DataFrame([[WARNS, WARNS]], columns=["text", "text"])
    with pytest.raises(UsageError, match="expected one column 'text', found 2"):
        scorer.score_frame(frame)


def test_ids_given_are_kept_and_missing_ones_made(scorer):
    frame = pd.DataFrame({"text": [WARNS, WARNS], "id": ["a7", None]})
    ids = list(scorer.score_frame(frame, article_id="id")["article_id"])
    assert ids == ["a7", scorer.score(WARNS)["article_id"].iloc[0]]


def test_the_frame_is_left_as_it_was(scorer):
    frame = pd.DataFrame({"text": [WARNS, None]})
    before = frame.copy(deep=True)
    scorer.score_frame(frame)
    pd.testing.assert_frame_equal(frame, before)


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Россия предупредила Сеул о последствиях.", "Cyrillic"),
        ("Le ministre a averti la Russie que la France ne se laissera pas faire.", "French"),
        ("中国外交部对美国表示强烈抗议。", "Chinese"),
    ],
)
def test_what_is_not_english_is_not_scored(scorer, text, says):
    records = scorer.score(text)
    assert records["note"].str.contains(f"not English.*{says}").all()
    assert records["level"].isna().all()
    assert records[["score", *PROBABILITIES]].isna().all(axis=None)
    assert records["review"].all()
    assert list(records["text"]) == [text]


def test_hidden_characters_do_not_count(scorer):
    hidden = (
        "\ufeffMos\u200bcow \u202ewarned\u202c Se\u00adoul\u2066 of\u00a0serious\x00 consequences."
    )
    records = scorer.score(hidden)
    assert list(records["text"]) == [WARNS]
    assert same(records.drop(columns=ID), scorer.score(WARNS).drop(columns=ID))


@pytest.mark.parametrize(
    ("unit", "size"),
    [("a", 1_000_000), ("the ", 1_000_000), ('"!', 250_000), ("Moscow warned Seoul ", 250_000)],
)
def test_a_sentence_of_up_to_a_megabyte(scorer, unit, size):
    text = unit * (size // len(unit))
    start = time.process_time()
    lines = scorer.score_lines([text])
    assert time.process_time() - start < 30
    assert set(lines["article_id"]) == {"1"}
    assert lines["score"].between(0, 1).all()


def test_a_megabyte_without_a_full_stop_is_cut_into_sentences(scorer):
    records = scorer.score("Moscow warned Seoul " * 5_000)
    assert records["text"].str.len().max() <= 2_000
    assert records["text"].str.count("warned").groupby(records["sentence"]).first().sum() == 5_000
