import gzip

import pandas as pd
import pytest

from scoring.errors import ArtifactMissing, ArtifactTampered
from training import seen
from training.dataset import DataError, digest, read, statement_id


@pytest.fixture
def rows(trained):
    folder, _ = trained
    return read([folder / "dev.jsonl"])


@pytest.fixture
def train(trained):
    folder, _ = trained
    return read([folder / "train.jsonl"])


def test_a_trained_model_says_what_it_was_trained_on(trained, train, rows):
    _, outcome = trained
    found = seen.read(outcome.folder)
    assert found.name == "small"
    assert found.ids == set(train["id"])
    assert found.dev == digest(rows)


def test_the_bytes_are_the_same_for_the_same_set(tmp_path):
    ids = [statement_id(text) for text in ("a", "b", "c")]
    first = seen.write(tmp_path, ids).read_bytes()
    assert seen.write(tmp_path, [*reversed(ids), ids[0]]).read_bytes() == first
    assert gzip.decompress(first).decode().split() == sorted(ids)
    assert first[4:8] == bytes(4)  # no time of writing


def test_rows_that_were_kept_apart_are_accepted(trained, train, rows):
    _, outcome = trained
    record = seen.read(outcome.folder)
    assert seen.refuse_seen(rows, record, train.iloc[:0]) == len(record.ids)


def test_a_row_that_was_trained_on_is_refused(trained, train, rows):
    _, outcome = trained
    leak = pd.concat([rows, train.iloc[[3]]], ignore_index=True)
    place = str(train["place"][3])
    with pytest.raises(DataError, match=r"small was not trained on, found 1 that it was") as error:
        seen.refuse_seen(leak, seen.read(outcome.folder), train)
    assert place in str(error.value)


def test_a_row_that_comes_near_one_is_refused_where_the_text_is_at_hand(trained, train, rows):
    _, outcome = trained
    record = seen.read(outcome.folder)
    text = "On Friday, sources said: " + train["text"][5]
    near = rows.iloc[[0]].assign(text=text, id=statement_id(text))
    more = pd.concat([rows, near], ignore_index=True)
    with pytest.raises(DataError, match=r"shares 8 words in a row .* found 1") as error:
        seen.refuse_seen(more, record, train)
    assert train["id"][5] in str(error.value)
    assert seen.refuse_seen(more, record, train.iloc[6:]) == len(train) - 6  # as many were at hand
    # what it was not trained on may come near
    assert seen.refuse_seen(more, record._replace(ids=frozenset(train["id"][6:])), train) > 0


def test_a_model_that_does_not_say_is_measured_only_on_what_was_kept_apart(trained, train, rows):
    _, outcome = trained
    record = seen.read(outcome.folder)._replace(ids=None)
    assert seen.refuse_seen(rows, record, train) == 0
    assert seen.refuse_seen(rows.iloc[::-1], record, train) == 0  # in any order
    for others in (rows.iloc[1:], rows.assign(level="none")):
        with pytest.raises(DataError, match="expected the rows that the training run of small"):
            seen.refuse_seen(others, record, train)
    with pytest.raises(DataError, match=r"cannot be measured fairly on any rows"):
        seen.refuse_seen(rows, record._replace(dev=None), train)


def test_files_that_are_not_what_training_writes_are_named(tmp_path):
    with pytest.raises(ArtifactMissing, match=r"manifest\.json: expected a file of the model"):
        seen.read(tmp_path)
    (tmp_path / "manifest.json").write_text("[")
    (tmp_path / "model.skops").touch()
    with pytest.raises(ArtifactTampered, match="expected the manifest of a model"):
        seen.read(tmp_path)
    manifest = {"version": "x"}
    assert seen.read(tmp_path, manifest) == seen.Seen("x", None, None)
    whole = seen.write(tmp_path, [statement_id("a")]).read_bytes()
    for content in (b"", whole[:-9], b"text", gzip.compress(b"abc\n"), gzip.compress(b"0" * 12)):
        (tmp_path / seen.SEEN_FILE).write_bytes(content)
        with pytest.raises(ArtifactTampered, match="expected ids of statements, gzipped"):
            seen.read(tmp_path, manifest)
