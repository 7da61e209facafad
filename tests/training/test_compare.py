import json
import re
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from scoring import artifact
from scoring.levels import CODE, LEVELS
from training import cli
from training.compare import (
    FIGURES,
    LEAST,
    Side,
    SideError,
    as_dict,
    compare,
    differences,
    differing,
    load,
    unseen,
)
from training.dataset import DataError, read
from training.evaluate import Predictions, evaluate
from training.pipeline import Params
from training.seen import SEEN_FILE
from training.train import fit_alone, predict


def gold_of(truth):
    levels = [LEVELS[k] for k in truth]
    return pd.DataFrame(
        {"level": levels, "dyads": [[] for _ in levels], "pool": "a", "stratum": "s"}
    )


def said(rng, truth, skill):
    logits = rng.normal(size=(len(truth), 4)) + skill * np.eye(4)[truth]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Predictions(p.argmax(axis=1), p, p.max(axis=1) < 0.5, [set() for _ in truth])


# --- the paired bootstrap ---


def test_figures_are_those_of_evaluate_and_the_sides_can_be_swapped():
    rng = np.random.default_rng(0)
    truth = rng.integers(4, size=300)
    gold, a, b = gold_of(truth), said(rng, truth, 1.0), said(rng, truth, 2.0)
    found, swapped = differences(gold, a, b), differences(gold, b, a)
    for side, predicted in (("a", a), ("b", b)):
        expected = evaluate(gold, predicted, resamples=0)
        told = {name: getattr(one, side) for name, one in found.items()}
        assert told == {name: expected[name] for name in FIGURES if name in expected}
    assert "triples.f1" not in found  # no dyad is there to be found
    for name, one in found.items():
        other = swapped[name]
        assert (one.gain, one.better) == pytest.approx((-other.gain, 1 - other.better))
        assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
        assert one.low <= one.gain <= one.high or name == "ece"  # ece of a resample leans upwards
    assert found["macro_f1"].winner == "b"
    assert found["log_loss"].gain > 0, "less is better, so it is a gain"
    assert found["log_loss"].b < found["log_loss"].a
    assert swapped["macro_f1"].winner == "a"


def test_the_rows_are_drawn_in_pairs():
    """Of two that differ on a few rows, the difference is known far better than either figure."""
    rng = np.random.default_rng(0)
    truth = rng.integers(4, size=300)
    a = said(rng, truth, 1.5)
    wrong = np.flatnonzero(a.level != truth)[:12]
    level = a.level.copy()
    level[wrong] = truth[wrong]
    b = a._replace(level=level)
    alone = evaluate(gold_of(truth), b)
    one = differences(gold_of(truth), a, b)["macro_f1"]
    assert one.winner == "b"
    assert one.high - one.low < (alone["macro_f1.high"] - alone["macro_f1.low"]) / 2
    same = differences(gold_of(truth), a, a)["macro_f1"]
    assert (same.gain, same.low, same.high, same.better, same.winner) == (0, 0, 0, 0.5, None)


def test_equals_are_seldom_told_apart():
    def winner(seed):
        rng = np.random.default_rng(seed)
        truth = rng.choice(4, size=120, p=[0.4, 0.2, 0.2, 0.2])
        a, b = said(rng, truth, 1.5), said(rng, truth, 1.5)
        return differences(gold_of(truth), a, b, seed, 100, ["macro_f1"])["macro_f1"].winner

    found = [winner(seed) for seed in range(100)]
    assert found.count(None) >= 88  # 95 expected, fewer than 88 in one case of five hundred


def test_of_rows_of_one_level_what_is_undefined_is_left_out():
    rng = np.random.default_rng(0)
    truth = np.full(50, CODE["none"])
    found = differences(gold_of(truth), said(rng, truth, 1.0), said(rng, truth, 1.0))
    assert {"macro_f1", "none.f1", "log_loss"} <= set(found)
    assert all(np.isfinite(list(vars(one).values())).all() for one in found.values())


# --- the statements on which they differ ---


def test_the_most_telling_comes_first_and_dyads_last():
    p = {
        "sure": [0.01, 0.01, 0.01, 0.97],
        "torn": [0.3, 0.3, 0.1, 0.3],
        "none": [0.97, 0.01, 0.01, 0.01],
    }
    a = [("torn", 0), ("none", 0), ("sure", 3), ("sure", 3), ("none", 0)]
    b = [("torn", 1), ("sure", 3), ("sure", 3), ("sure", 3), ("none", 0)]
    sides = [
        Predictions(
            np.array([level for _, level in side]),
            np.array([p[name] for name, _ in side]),
            None,
            dyads,
        )
        for side, dyads in (
            (a, [set()] * 5),
            (b, [set(), set(), {("RUS", "KOR", "threat")}, set(), set()]),
        )
    ]
    gold = gold_of([1, 3, 3, 3, 0]).assign(id=list("abcde"), text="x")
    found = differing(gold, *sides)
    assert [one["id"] for one in found] == ["b", "a", "c"]
    assert [one["right"] for one in found] == ["b", "b", None]
    assert [one["differs"] for one in found] == ["level", "level", "dyads"]
    assert found[0]["a"]["level"] == "none"
    assert found[0]["b"]["probability"] == 0.97
    assert found[2]["b"]["dyads"] == [["RUS", "KOR", "threat"]]


def test_what_a_model_was_trained_on_is_left_out(statements):
    known = [set(statements["id"][:2]), None]
    left, count = unseen(statements, known)
    assert count == 2
    assert list(left["id"]) == list(statements["id"][2:])
    assert list(left.index) == list(range(len(left)))
    with pytest.raises(DataError, match="neither model was trained on, found none among 2"):
        unseen(statements[:2], known)


# --- two models ---


@pytest.fixture(scope="module")
def good(trained, tmp_path_factory):
    """Folder of the trained model, as if it did not say what it was trained on."""
    folder = shutil.copytree(trained[1].folder, tmp_path_factory.mktemp("models") / "small")
    (folder / SEEN_FILE).unlink()
    return folder


@pytest.fixture(scope="module")
def other(trained, tmp_path_factory):
    """Folder of a model that is not as good: strongly regularised, of few features."""
    folder, outcome = trained
    poor = Params(level_bits=6, role_bits=6, level_c=0.01, balance=0.0)
    model = fit_alone(read([folder / "train.jsonl"]), poor, 0, folds=2)
    manifest = outcome.model.manifest | model.manifest | {"version": "poor"}
    made = tmp_path_factory.mktemp("models") / "poor"
    artifact.save(replace(model, manifest=manifest), made)
    return made


@pytest.fixture(scope="module")
def rows(trained, tmp_path_factory):
    """Statements enough for a verdict: those that were held out, and some of training (it is no measurement)."""
    folder, _ = trained
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_bytes((folder / "dev.jsonl").read_bytes() + (folder / "train.jsonl").read_bytes())
    return path


def test_two_models_are_compared_on_the_same_rows(good, other, rows):
    statements = read([rows])
    a, b = load(good, "fast", "A"), load(other, "fast", "B")
    lines = []
    found = compare(a, b, statements, say=lines.append)
    assert len(lines) == 2
    assert found.winner == "a"
    alone = evaluate(statements, predict(b.model, statements), resamples=0)
    assert found.all["macro_f1"].b == alone["macro_f1"]
    assert found.all["triples.f1"].b == alone["triples.f1"]
    counts, figures = zip(*found.parts["level"].values(), strict=True)
    assert list(found.parts["level"]) == list(LEVELS)
    assert sum(counts) == found.rows == len(statements)
    assert [one["accuracy"].b for one in figures] == [alone[f"{level}.recall"] for level in LEVELS]
    assert set(found.parts["pool"]) == set(statements["pool"])
    told = predict(a.model, statements).level != predict(b.model, statements).level
    by_level = [one for one in found.statements if one["differs"] == "level"]
    assert {one["id"] for one in by_level} == set(statements["id"][told])
    assert compare(a, b, statements) == found
    few = compare(a, b, statements.head(LEAST - 1))
    assert few.winner is None


def test_the_same_model_from_elsewhere_is_the_same(good, other):
    loaded = artifact.load(good)
    a = Side(Path("a"), "fast", loaded, "a")
    assert load(good, "fast", "A").is_same(Side(Path("copy"), "fast", loaded, "copy"))
    assert not load(good, "fast", "A").is_same(load(other, "fast", "B"))
    assert not load(good, "fast", "A").is_same(replace(a, model=loaded, tier="accurate"))


def test_the_command_says_it_all_in_80_columns(store, good, other, rows, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    command = ["compare", str(good), str(other), "--data", str(rows)]
    assert cli.run([*command, "--most", "2"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert "A is better, by more than noise: macro_f1 " in out
    assert [line for line in lines if len(line) > 80 and not line.startswith(("A  ", "B  "))] == []
    figure = r"-?\d\.\d{3} +-?\d\.\d{3} +[+-]\d\.\d{3} +[+-]\d\.\d{3} [+-]\d\.\d{3}[* ] +\d+%"
    for name in ("macro_f1", "log_loss (lower better)", "threat.f1", "pairs.f1"):
        assert re.search(rf"^{re.escape(name)} +{figure}$", out, re.MULTILINE), name
    for name in ("threat", *read([rows])["pool"].unique()):
        assert re.search(rf"^{re.escape(name)} +\d+ +{figure}$", out, re.MULTILINE), name
    assert sum(line.startswith("gold ") for line in lines) == 2
    assert "more: --most" in out
    assert "MLflow" not in err
    assert cli.run([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["winner"] == "a"
    assert told["b"] == {"model": str(other), "version": "poor", "tier": "fast"}
    assert len(told["statements"]) > 2
    assert all(one["text"] for one in told["statements"])
    with closing(sqlite3.connect(store / "mlflow.db")) as database:
        assert database.execute("select count(*) from runs").fetchall() == [(0,)]


def test_with_log_it_is_in_mlflow_without_texts(store, good, other, rows, capsys):
    command = [
        "compare",
        str(good),
        str(other),
        "--data",
        str(rows),
        "--log",
        "--most",
        "0",
    ]
    assert cli.run(command) == 0
    out, err = capsys.readouterr()
    assert "gold " not in out.split("Gain:")[1]
    run = mlflow.get_run(err.rsplit("MLflow run ", 1)[1].strip())
    assert run.info.run_name == "compare small+fast poor+fast"
    assert run.data.tags["winner"] == "a"
    assert run.data.metrics["macro_f1.gain"] < 0
    content = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/comparison.json")
    assert json.loads(content)["all"]["macro_f1"]["winner"] == "a"
    assert "text" not in json.loads(content)["statements"][0]


def test_bad_input_is_named(store, good, other, rows, capsys, tmp_path):
    model = str(good)
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    line = json.loads(rows.read_text(encoding="utf-8").splitlines()[0])
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text(json.dumps(line | {"level": "none", "dyads": [["KOR", "RUS", "protest"]]}))
    one = tmp_path / "one.jsonl"
    one.write_text(json.dumps(line))
    for arguments, code, found in (
        (
            [model, "nowhere", "--data", str(rows)],
            1,
            "B does not load: expected the folder of a model, the id",
        ),
        (
            ["nowhere", model, "--data", str(rows)],
            1,
            "A does not load: expected the folder of a model, the id",
        ),
        ([model, str(other), "--data", str(empty)], 1, "expected one labelled statement a line"),
        ([model, str(other), "--data", str(wrong)], 1, "wrong.jsonl, line 1"),
        ([model, model, "--data", str(rows), "--tier-b", "accurate"], 1, "found none in small"),
        ([model, "--data", str(rows)], 2, "Missing argument"),
    ):
        assert cli.run(["compare", *arguments]) == code
        out, err = capsys.readouterr()
        assert out == ""
        assert found in err
    assert cli.run(["compare", model, model, "--data", str(rows)]) == 0
    assert (
        capsys.readouterr().out
        == "A and B are the same: small, fast tier. There is nothing to compare.\n"
    )
    assert cli.run(["compare", model, str(other), "--data", str(one)]) == 0
    out = capsys.readouterr().out
    assert "1 rows are too few to tell the two apart" in out
    assert "*" not in out.split("Gain:")[0]


def test_a_run_and_a_version_of_the_registry_are_compared_too(trained, other, monkeypatch, capsys):
    folder, outcome = trained
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    command = ["compare", "--data", str(folder / "dev.jsonl"), "--json"]
    run = outcome.model.manifest["mlflow_run"]
    assert cli.run([*command, str(outcome.folder), str(outcome.served)]) == 0
    assert json.loads(capsys.readouterr().out) == {"same": True}
    assert cli.run([*command, run, str(other)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["a"] == {"model": run, "version": "small", "tier": "fast"}


def test_a_model_that_was_changed_is_named(good, tmp_path):
    for name in ("model.skops", "manifest.json"):
        (tmp_path / name).write_bytes((good / name).read_bytes())
    with (tmp_path / "model.skops").open("ab") as file:
        file.write(b"x")
    with pytest.raises(SideError, match=r"B does not load: .*SHA-256"):
        load(tmp_path, "fast", "B")


def test_json_leaves_texts_out_on_demand(good, other, rows):
    found = compare(load(good, "fast", "A"), load(other, "fast", "B"), read([rows]))
    assert "text" in as_dict(found)["statements"][0]
    assert "text" not in as_dict(found, texts=False)["statements"][0]


def test_the_command_leaves_out_what_a_model_was_trained_on(trained, other, rows, capsys):
    folder, outcome = trained
    train, dev = (len(read([folder / f"{name}.jsonl"])) for name in ("train", "dev"))
    command = ["compare", str(outcome.folder), str(other), "--data"]
    assert cli.run([*command, str(rows), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["rows"] == dev
    assert f"left out {train} statements that one of the models was trained on" in err
    assert cli.run([*command, str(folder / "train.jsonl")]) == 1
    assert "expected statements that neither model was trained on" in capsys.readouterr().err
