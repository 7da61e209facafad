import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scoring.errors import InputError
from training.dataset import (
    FIELDS,
    LABEL_FIELDS,
    DataError,
    advice,
    apart,
    check_apart,
    digest,
    groups,
    labels,
    near_duplicates,
    read,
    statement_id,
    unhydrated,
)

TEXT = "Lisbon warned Madrid of consequences if the dam is filled."


def row(**changes):
    text = changes.get("text", TEXT)
    given = {
        "id": hashlib.sha256((text or "").encode()).hexdigest()[:12],
        "text": text,
        "pool": "agency",
        "stratum": "random",
        "level": "warning",
        "dyads": [["PRT", "ESP", "warning"]],
        "unsure": False,
    }
    return given | changes


def label(**changes):
    """A label of `row()`, without its text."""
    given = {name: value for name, value in row(**changes).items() if name != "text"}
    return {"coder": "team"} | given


def write(folder: Path, *rows, name="statements.jsonl") -> Path:
    path = folder / name
    lines = [line if isinstance(line, str) else json.dumps(line) for line in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def frame(*texts):
    return pd.DataFrame({"text": list(texts)})


def test_reads_a_statement_as_it_was_labelled(tmp_path):
    path = write(tmp_path, "", row(adjudicated=True))
    table = read([path])
    assert list(table.columns) == [*FIELDS, "place"]
    assert table.loc[0, "place"] == f"{path}, line 2"
    assert table.loc[0, "dyads"] == [("PRT", "ESP", "warning")]
    assert table.loc[0, "level"] == "warning"
    assert table["unsure"].dtype == bool


def test_reads_files_and_folders_in_order(tmp_path):
    write(tmp_path, row(text="b", level="none", dyads=[]), name="2.jsonl")
    write(tmp_path, row(text="a", level="none", dyads=[]), name="1.jsonl")
    other = write(tmp_path, row(text="c", level="none", dyads=[]), name="3.json")
    assert list(read([other, tmp_path])["text"]) == ["c", "a", "b"]


def test_line_separators_inside_a_text_do_not_split_it(tmp_path):
    text = "Lisbon\u2028 and \u0085Madrid met."
    line = json.dumps(row(text=text, level="none", dyads=[]), ensure_ascii=False)
    assert list(read([write(tmp_path, line, "")])["text"]) == [text]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("{", "expected a JSON object, found none"),
        ("[1]", "expected a JSON object, found list"),
        ("[" * 100_000, "expected a JSON object, found none"),
        ({"id": "1", "text": TEXT}, "missing: pool, stratum, level, dyads, unsure"),
        ({"id": "1", "coder": "team"}, "missing: pool, stratum, level, dyads, unsure"),
        (label(id="ABCDEF012345"), "expected an id of 12 hex digits, found 'ABCDEF012345'"),
        (label(id="0123456789abc"), "expected an id of 12 hex digits, found '0123456789abc'"),
        (label(coder=None), "expected coder to be str, found None"),
        (label(dyads=[["PRT", "Spain", "warning"]]), "found 'Spain'"),
        (label(level="threat"), "highest of the dyads, warning, found threat"),
        (row(text=None, id="0" * 12), "expected text to be str, found None"),
        (row(unsure="no"), "expected unsure to be bool, found 'no'"),
        (row(text="  "), "expected a statement in text, found nothing"),
        (row(id="0" * 12), "expected the id"),
        (row(level="Warning"), "expected a level of none, protest, warning, threat"),
        (row(level="threat"), "highest of the dyads, warning, found threat"),
        (row(level="none"), "highest of the dyads, warning, found none"),
        (row(dyads=[]), "highest of the dyads, none, found warning"),
        (row(dyads=[["PRT", "warning"]]), "expected a dyad [source, target, level]"),
        (row(dyads=[["PRT", "Spain", "warning"]]), "found 'Spain'"),
        (row(dyads=[["PRT", 7, "warning"]]), "found 7"),
        (row(dyads=[["PRT", "PRT", "warning"]]), "expected two different sides"),
        (row(dyads=[["PRT", "ESP", "war"]]), "expected a level of"),
        (row(dyads=[["PRT", "ESP", ["warning"]]]), "expected a level of"),
        (row(dyads=[["PRT", "ESP", "none"]], level="none"), "expected only dyads above none"),
        (
            row(dyads=[["PRT", "ESP", "warning"], ["PRT", "ESP", "protest"]]),
            "expected each pair of source and target once",
        ),
    ],
)
def test_says_file_line_and_what_is_wrong(tmp_path, line, found):
    path = write(tmp_path, row(text="A good line.", level="none", dyads=[]), line)
    with pytest.raises(DataError) as error:
        read([path])
    assert str(error.value).startswith(f"{path}, line 2: expected ")
    assert found in str(error.value)
    assert isinstance(error.value, InputError)


@pytest.mark.parametrize(
    ("again", "how"),
    [
        (row(), "the same labels"),
        (row(level="none", dyads=[]), "different labels"),
        (row(text=TEXT.upper().replace(" ", "  "), level="none", dyads=[]), "different labels"),
    ],
)
def test_refuses_a_statement_given_twice_and_says_where_it_was(tmp_path, again, how):
    first, second = write(tmp_path, row(), name="1.jsonl"), write(tmp_path, again, name="2.jsonl")
    with pytest.raises(DataError) as error:
        read([first, second])
    assert how in str(error.value)
    assert f"{first}, line 1" in str(error.value)
    assert str(error.value).startswith(f"{second}, line 1: ")


def test_labels_without_text_are_left_out_and_can_be_told(tmp_path):
    other = row(text="Oslo and Bern met.", level="none", dyads=[])
    write(tmp_path, label(), name="real.jsonl")
    write(tmp_path, other, name="own.jsonl")
    (tmp_path / "held_out").mkdir()
    held = label(text="Held out.", level="none", dyads=[])
    write(tmp_path / "held_out", held, name="dev.jsonl")
    assert list(read([tmp_path])["text"]) == ["Oslo and Bern met."]
    missing = unhydrated([tmp_path])
    assert list(missing.columns) == [*LABEL_FIELDS, "place"]
    assert list(missing["id"]) == [statement_id(TEXT)]
    assert missing.loc[0, "dyads"] == [("PRT", "ESP", "warning")]
    assert missing.loc[0, "place"] == f"{tmp_path / 'real.jsonl'}, line 1"
    said = advice(missing)
    assert said.startswith(
        "1 labels of real statements lack their text and are left out (agency 1)"
    )
    assert "tension-train hydrate --from" in said
    hydrated = write(tmp_path / "held_out", row(coder="team"), name="hydrated.jsonl")
    assert unhydrated([tmp_path, hydrated]).empty
    assert list(labels([tmp_path, hydrated])["id"]) == [statement_id(TEXT)]
    assert list(read([tmp_path, hydrated])["text"]) == ["Oslo and Bern met.", TEXT]


def test_only_labels_without_text_are_an_error_that_says_what_to_do(tmp_path):
    path = write(tmp_path, label())
    with pytest.raises(DataError) as error:
        read([path])
    assert str(error.value).startswith(f"{path}: expected statements with their text, found 1 ")
    assert "tension-train hydrate --from" in str(error.value)


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        (label(), label(), "again with the same labels"),
        (label(), label(level="none", dyads=[]), "again with different labels"),
        (label(), row(level="none", dyads=[]), "same with and without its text, found others"),
        (row(level="none", dyads=[]), label(), "same with and without its text, found others"),
    ],
)
def test_labels_that_repeat_or_contradict_are_refused(tmp_path, first, second, found):
    paths = [write(tmp_path, first, name="1.jsonl"), write(tmp_path, second, name="2.jsonl")]
    with pytest.raises(DataError) as error:
        labels(paths)
    assert found in str(error.value)
    assert f"({paths[0]}, line 1)" in str(error.value)
    assert str(error.value).startswith(f"{paths[1]}, line 1: ")


def test_files_that_hold_no_statements_are_errors(tmp_path):
    empty, binary = tmp_path / "empty.jsonl", tmp_path / "binary.jsonl"
    empty.write_text("\n")
    binary.write_bytes(b"\x00\xff\xfe")
    (tmp_path / "folder").mkdir()
    for path, found in (
        (empty, "found none"),
        (binary, "expected UTF-8"),
        (tmp_path / "folder", "expected a folder with"),
        (tmp_path / "nowhere", "No such file"),
    ):
        with pytest.raises(DataError, match=found):
            read([path])


def test_digest_is_of_labels_not_of_order(statements):
    shuffled = statements.sample(frac=1, random_state=1)
    assert digest(shuffled) == digest(statements)
    assert len(digest(statements)) == 64
    other = statements.copy()
    other.loc[0, "level"] = "threat"
    assert digest(other) != digest(statements)
    turned = statements.copy()
    turned["dyads"] = [[(t, s, level) for s, t, level in dyads] for dyads in turned["dyads"]]
    assert digest(turned) != digest(statements)
    assert digest(turned.iloc[:0]) == hashlib.sha256(b"[]").hexdigest()


def test_near_duplicates_are_one_group():
    table = frame(
        "On May 3, Lisbon warned Madrid of grave consequences if the dam is filled.",
        "A quite different statement about the harvest of olives in the south.",
        "LISBON WARNED MADRID OF GRAVE CONSEQUENCES IF the talks fail, on May 4.",
        "The talks fail, on May 4, and both delegations go home without a deal.",
        "Short headline",
        "short headline!",
        "Short headline two",
    )
    label = groups(table)
    assert label[0] == label[2]  # eight words in a row
    assert label[4] == label[5]  # shorter than eight: all of them
    assert len(set(label.tolist())) == 5
    assert set(label.tolist()) == set(range(5))


def test_groups_join_through_a_third_statement():
    words = [f"w{chr(97 + k)}" for k in range(20)]
    table = frame(" ".join(words[:10]), " ".join(words[10:]), " ".join(words[2:18]))
    assert groups(table).tolist() == [0, 0, 0]
    assert groups(table.iloc[:2]).tolist() == [0, 1]


def test_held_out_statements_must_not_be_in_training(statements):
    half = statements.iloc[:30], statements.iloc[30:]
    assert check_apart(*half) == 0
    with pytest.raises(DataError, match="found 33 that it does"):
        check_apart(statements, half[1])
    near = half[0].assign(text=half[0]["text"] + " again", id="x")
    assert check_apart(half[0], near) == sum(half[0]["text"].str.split().str.len() >= 8)


@pytest.fixture
def near(tmp_path):
    """Training and held-out statements, of which some come near each other."""
    train = (
        "Lisbon warned Madrid of grave consequences if the dam is filled.",
        "Oslo and Bern met.",
        "On Monday, Lisbon warned Madrid of grave consequences if the talks fail in the end.",
        "The talks fail in the end because nobody has come to them, says the host of it all.",
    )
    held = (
        "LISBON WARNED MADRID, OF GRAVE CONSEQUENCES, IF THE rains fail.",
        "Oslo and Bern met again.",
        "Oslo, and Bern, met!",
    )
    made = [
        write(tmp_path, *(row(text=text, level="none", dyads=[]) for text in part), name=name)
        for part, name in ((train, "train.jsonl"), (held, "held.jsonl"))
    ]
    return [read([path]) for path in made]


def test_near_duplicates_are_named_by_id_and_line(near):
    train, held = near
    pairs = near_duplicates(train, held)
    assert list(pairs.columns) == ["train", "train_place", "held", "held_place"]
    expected = [(0, 0), (1, 2), (2, 0)]  # the fourth comes near the third only
    assert list(zip(pairs["train"], pairs["held"], strict=True)) == [
        (train["id"][row], held["id"][other]) for row, other in expected
    ]
    assert [place.rsplit(", ", 1)[1] for place in pairs["train_place"]] == [
        "line 1",
        "line 2",
        "line 3",
    ]
    assert pairs["held_place"][1] == held["place"][2]
    assert near_duplicates(train.iloc[3:], held).empty


def test_training_leaves_out_what_comes_near_the_held_out(near):
    train, held = near
    left, out = apart(train, held)
    assert out == list(train["id"][:3])
    assert list(left["text"]) == [train["text"][3]]
    assert list(left.index) == [0]
    assert check_apart(left, held, most=0) == 0
    again, none = apart(left, held)
    assert none == []
    pd.testing.assert_frame_equal(again, left)
    with pytest.raises(DataError, match="found 1 that it does"):
        apart(pd.concat([train, held.iloc[:1]], ignore_index=True), held)


def test_a_strict_check_names_the_first_near_duplicate(near):
    train, held = near
    assert check_apart(train, held) == 2
    assert check_apart(train, held, most=2) == 2
    with pytest.raises(DataError) as error:
        check_apart(train, held, most=1)
    assert "expected at most 1 statements that share 8 words" in str(error.value)
    assert f"{held['id'][0]} ({held['place'][0]})" in str(error.value)
    assert f"{train['id'][0]} ({train['place'][0]})" in str(error.value)


def test_our_statements_cover_what_the_tests_need(statements):
    assert set(statements["level"]) == {"none", "protest", "warning", "threat"}
    assert statements["pool"].nunique() > 1
    assert statements["stratum"].nunique() > 1
    assert any(None in dyad for dyads in statements["dyads"] for dyad in dyads)


@pytest.mark.parametrize("name", ["train.jsonl", "dev.jsonl"])
def test_real_statements_are_valid(gold, name):
    table = read([gold / name])
    lines = (gold / name).read_text(encoding="utf-8").count("\n")
    assert len(table) == lines
    assert (table["id"] == table["text"].map(statement_id)).all()
    # Formulas of official prose must not chain the set together.
    assert np.bincount(groups(table)).max() < len(table) / 20


def test_real_dev_is_apart_from_real_train(gold):
    train, dev = read([gold / "train.jsonl"]), read([gold / "dev.jsonl"])
    assert check_apart(train, dev) < len(dev) / 20
    left, out = apart(train, dev)
    assert 0 < len(out) < len(train) / 20
    assert check_apart(left, dev, most=0) == 0
    label = groups(pd.concat([left, dev], ignore_index=True))
    assert not set(label[: len(left)]) & set(label[len(left) :])
