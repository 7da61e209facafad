import json
import os
import subprocess
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from scoring.artifact import load
from scoring.errors import OutputError, UsageError
from scoring.levels import PROBABILITIES
from scoring.scorer import Scorer
from training import cli, seen, train
from training.dataset import FIELDS, DataError, digest, groups, read, statement_id
from training.pipeline import Params
from training.train import in_doubt, soft_rows

SMALL = Params(level_bits=12, role_bits=12)


def test_saves_a_model_that_loads_and_scores_the_same(trained, statements):
    _, outcome = trained
    loaded = load(outcome.folder)
    texts = list(statements["text"])
    fresh = Scorer(outcome.model).score_lines(texts)
    again = Scorer(loaded).score_lines(texts)
    assert fresh[list(PROBABILITIES)].equals(again[list(PROBABILITIES)])
    assert again["source"].tolist() == fresh["source"].tolist()
    assert set(again["model"]) == {"small"}


def test_the_manifest_says_where_the_model_comes_from(trained):
    folder, outcome = trained
    manifest = json.loads((outcome.folder / "manifest.json").read_text())
    data, dev = read([folder / "train.jsonl"]), read([folder / "dev.jsonl"])
    assert manifest["version"] == "small"
    assert manifest["seed"] == 0
    assert manifest["params"] == SMALL.asdict()
    assert manifest["train"]["digest"] == digest(data)
    assert manifest["dev"]["digest"] == digest(dev)
    assert manifest["train"]["rows"] == len(data)
    counts = manifest["train"]["pool"]["agency"]
    assert counts == data[data["pool"] == "agency"]["level"].value_counts().to_dict()
    text = (outcome.folder / "manifest.json").read_text()
    assert str(folder) not in text  # no machine paths
    assert not any(sentence in text for sentence in data["text"])


def test_everything_is_in_mlflow(trained, monkeypatch):
    folder, outcome = trained
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    run = client.get_run(outcome.model.manifest["mlflow_run"])
    assert run.info.status == "FINISHED"
    assert run.data.params["level_bits"] == "12"
    assert run.data.tags["train.digest"] == outcome.model.manifest["train"]["digest"]
    for part in ("cv", "dev"):
        for name, value in outcome.metrics[part].items():
            assert run.data.metrics[f"{part}.{name}"] == value
    assert "cv.pool.headlines.macro_f1" in run.data.metrics
    assert "cv.protest.f1.low" in run.data.metrics
    assert {data.dataset.name for data in run.inputs.dataset_inputs} == {"train", "dev"}
    pictures = ("confusion", "f1", "reliability", "reliability_by_level")
    assert artefacts(client, run, "dev") == {f"dev/{name}.png" for name in pictures}
    assert {"card.md", "metrics.json", "requirements.txt"} <= artefacts(client, run)
    assert run.data.tags["mlflow.note.content"].startswith("# Model small\n")
    assert run.data.tags["git.clean"] == str(outcome.model.manifest["git"]["clean"])
    assert {"python", "platform", "git.commit", "dev.digest"} <= set(run.data.tags)


def artefacts(client, run, folder=None):
    return {item.path for item in client.list_artifacts(run.info.run_id, folder)}


def test_the_saved_folder_is_in_mlflow_once_as_the_served_model(trained):
    folder, outcome = trained
    store = f"sqlite:///{folder}/mlflow.db"
    client = mlflow.MlflowClient(store)
    run = client.get_run(outcome.model.manifest["mlflow_run"])
    [logged] = run.outputs.model_outputs
    assert outcome.served == run.data.tags["model.uri"] == f"models:/{logged.model_id}"
    (logged_folder,) = (path.parent for path in folder.rglob("artifacts/model/model.skops"))
    for file in outcome.folder.iterdir():
        assert (logged_folder / file.name).read_bytes() == file.read_bytes()
    everywhere = {path.parent.name for path in folder.rglob("model.skops")}
    assert everywhere == {"small", "model"}
    assert len(list(folder.rglob("model.skops"))) == 2


def test_without_saving_only_card_and_metrics_are_logged_of_the_folder(store, trained):
    _, outcome = trained
    with train.tracking.open_run("unsaved") as tracked:
        assert train._save(outcome.model, outcome.metrics, "unsaved", None, tracked) is None
    client = mlflow.MlflowClient()
    assert artefacts(client, client.get_run(tracked.id)) == {"card.md", "metrics.json"}
    assert not list(store.rglob("model.skops"))


def test_a_store_that_fails_at_the_end_leaves_no_model(store, trained):
    _, outcome = trained
    models = store / "models"
    models.mkdir()

    def save():
        with train.tracking.open_run("x") as tracked:
            runs.append(tracked.id)
            (store / "mlruns").write_text("in the way")
            train._save(outcome.model, outcome.metrics, "x", models, tracked)

    runs = []
    with pytest.raises(train.tracking.TrackingError, match="mlruns"):
        save()
    assert not any(models.iterdir())
    assert mlflow.MlflowClient().get_run(runs[0]).info.status == "FAILED"


def test_metrics_are_of_the_rows_given(trained):
    folder, outcome = trained
    saved = json.loads((outcome.folder / "metrics.json").read_text())
    assert saved == outcome.metrics
    dev = read([folder / "dev.jsonl"])
    assert saved["dev"]["rows"] == saved["baselines"]["tfidf"]["rows"] == len(dev)
    assert saved["cv"]["rows"] == len(read([folder / "train.jsonl"]))
    matrix = sum(v for k, v in saved["dev"].items() if k.startswith("confusion."))
    assert matrix == len(dev)


def test_the_same_data_and_seed_give_the_same_bytes(store, statements, trained):
    folder, outcome = trained
    again = train.run([folder / "train.jsonl"], params=SMALL, out=None, name="again")
    texts = list(statements["text"])
    first, second = (
        Scorer(model).score_lines(texts)[list(PROBABILITIES)].to_numpy().tobytes()
        for model in (outcome.model, again.model)
    )
    assert first == second
    # dev changes nothing that is fitted, and the folds are the same
    assert again.metrics["cv"] == outcome.metrics["cv"]
    assert again.model.manifest["review_below"] == outcome.model.manifest["review_below"]
    assert again.folder is None
    assert again.served is None
    run = mlflow.MlflowClient().get_run(again.model.manifest["mlflow_run"])
    assert len(run.outputs.model_outputs) == 1  # the level classifier
    assert not (store / "models").exists()
    assert again.metrics["baselines"]["tfidf"]["rows"] == again.metrics["cv"]["rows"]


def test_another_seed_gives_other_folds(statements):
    table = statements.iloc[:40]
    first, other = ([held.tolist() for _, held in train.folds_of(table, seed)] for seed in (0, 1))
    assert first != other


def test_cross_validation_never_sees_what_it_predicts(statements):
    twins = statements.assign(text="On Monday: " + statements["text"])
    table = pd.concat([statements, twins], ignore_index=True)
    group = groups(table)
    assert group.max() < len(table) - 40  # there are twins to tear apart
    held_rows = []
    for fitted, held in train.folds_of(table, 0):
        assert not set(group[fitted]) & set(group[held])
        held_rows += held.tolist()
    assert sorted(held_rows) == list(range(len(table)))


def test_cross_validation_returns_rows_in_order(statements):
    table = statements.reset_index(drop=True)
    found = train.cross_validate(table, SMALL, 0)
    fitted, held = next(iter(train.folds_of(table, 0)))
    rows = table.iloc[fitted].reset_index(drop=True)
    model = train.fit_alone(rows, SMALL, 0, folds=train.INNER_FOLDS)
    alone = train.predict(model, table.iloc[held])
    assert np.array_equal(found.probability[held], alone.probability)
    assert np.array_equal(found.review[held], alone.review)
    assert [found.dyads[row] for row in held] == alone.dyads


def test_what_cannot_be_trained_is_refused_before_any_run(store, trained, monkeypatch):
    folder, outcome = trained
    monkeypatch.setattr(train.tracking, "open_run", lambda name: pytest.fail("a run was opened"))
    data = [folder / "train.jsonl"]
    with pytest.raises(DataError, match="expected statements that training does not see"):
        train.run(data, data)
    with pytest.raises(UsageError, match="small: expected no model of this version yet"):
        train.run(data, out=outcome.folder.parent, name="small")
    for name in ("../small", "a/b", ".hidden"):
        with pytest.raises(UsageError, match="expected a version that can name a folder"):
            train.run(data, name=name)
    lines = data[0].read_text(encoding="utf-8").splitlines(keepends=True)
    few = store / "few.jsonl"
    few.write_text("".join(line for line in lines if '"level": "threat"' not in line))
    with pytest.raises(
        DataError, match=r"5 statements of every level, found \d+ none, .* 0 threat\."
    ):
        train.run([few])


def written(folder, rows):
    (folder / "mixed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "mixed.jsonl"


def test_labels_that_are_not_those_of_the_statements_are_doubted(store, trained):
    """Each is well formed: only what was learned tells. A few are left right, or no dyad would be."""
    folder, outcome = trained
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    others = [
        rows[k].copy() for k in np.random.default_rng(0).permutation(np.arange(16, len(rows)))
    ]
    for row, other in zip(rows[16:], others, strict=True):
        row.update({key: other[key] for key in ("level", "dyads")})
    said = []
    train.run([written(store, rows)], params=SMALL, out=None, say=said.append)
    [doubt] = [line for line in said if "better than chance" in line]
    assert "Are the labels those of these statements" in doubt
    assert in_doubt(outcome.metrics["dev"] | {"kappa.low": 0.1}) is None


def test_dyads_that_are_not_those_of_the_statements_are_refused(store, trained, capsys):
    """From whichever process finds it first."""
    rows = [json.loads(line) for line in (trained[0] / "train.jsonl").read_text().splitlines()]
    for row in rows:
        row["dyads"] = [["NRU", "KIR", level] for *_, level in row["dyads"][:1]]
        row["level"] = row["dyads"][0][2] if row["dyads"] else "none"
    data = written(store, rows)
    assert cli.run(["run", "--data", str(data), "--version", "x", "--param", "level_bits=8"]) == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert "expected statements that name the sides of their dyads" in told
    assert list((store / "models").iterdir()) == []
    [run] = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert run.info.status == "FAILED"


def test_a_folder_that_cannot_be_made_is_refused_at_once(store, trained):
    folder, _ = trained
    (store / "file").write_text("x")
    with pytest.raises(OutputError, match="expected a folder that can be written"):
        train.run([folder / "train.jsonl"], out=store / "file" / "models")


def test_a_failed_save_leaves_nothing(trained, tmp_path):
    _, outcome = trained
    never = train.tracking.Run("never")
    with pytest.raises(ValueError, match="JSON compliant"):  # after the model file is written
        train._save(outcome.model, {"cv": float("nan")}, "x", tmp_path, never)
    assert not any(tmp_path.iterdir())


def test_the_commit_is_that_of_the_checkout():
    root = Path(train.__file__).parent
    done = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True)
    expected = done.stdout.strip() if done.returncode == 0 else None
    assert train.git_state()["commit"] == expected


def test_without_git_the_commit_is_unknown(monkeypatch):
    monkeypatch.setenv("PATH", os.devnull)
    assert train.git_state() == {"commit": None, "clean": None}


def test_a_teacher_is_not_heard_on_what_is_labelled_or_near_a_held_out_one(statements, tmp_path):
    held, labelled = statements[:5], statements[5:10]
    texts = [*held["text"], *labelled["text"], "Malta thanked Cyprus for the ferry."]
    none = pd.DataFrame(
        {
            "text": texts,
            "parts": "[]",
            **dict(zip(PROBABILITIES, (1.0, 0.0, 0.0, 0.0), strict=True)),
        }
    )
    none.to_parquet(tmp_path / "soft.parquet")
    taught = soft_rows(tmp_path / "soft.parquet", held, labelled["id"])
    assert list(taught["text"]) == texts[-1:]
    assert list(soft_rows(tmp_path / "soft.parquet", None)["text"]) == texts


def test_statements_to_calibrate_on_are_in_the_run_and_come_near_nothing_learned(store, tmp_path):
    statements = read([train.CORPUS / "own.jsonl"])[:350]
    parts = {"train": statements[:150], "dev": statements[150:200], "fresh": statements[200:]}
    twin = statements[:1].assign(text=statements["text"][0] + " So it was.", id="0" * 12)
    twin["id"] = [statement_id(text) for text in twin["text"]]
    parts["fresh"] = pd.concat([parts["fresh"], twin])
    paths = {name: tmp_path / f"{name}.jsonl" for name in parts}
    for name, rows in parts.items():
        rows[list(FIELDS)].to_json(paths[name], orient="records", lines=True)
    small = {"params": SMALL, "out": tmp_path / "models", "name": "1"}
    outcome = train.run(
        [paths["train"]], [paths["dev"]], calibrate=[paths["fresh"]], encoders=[], **small
    )
    told = outcome.model.manifest["calibrate"]
    trained, dev = (read([paths[name]]) for name in ("train", "dev"))
    said: list[str] = []
    kept = train.fresh_rows([paths["fresh"]], trained, dev, say=said.append)
    assert told["rows"] == len(kept) < len(parts["fresh"])
    assert told["digest"] == digest(kept)
    assert said[0].startswith(
        f"calibrating on {len(kept)} statements that no classifier learns from, of which no encoder"
    )
    assert twin["id"].iloc[0] not in set(kept["id"])
    assert set(kept["id"]) <= seen.read(outcome.folder).ids, "none of them is measured on"
    card = (outcome.folder / "card.md").read_text()
    assert (
        f"Calibrated on {len(kept)} other statements, of {kept['pool'][0]}, that no classifier learned"
        in card
    )
    run = mlflow.MlflowClient().get_run(outcome.model.manifest["mlflow_run"])
    assert run.data.tags["calibrate.digest"] == told["digest"]
    names = {data.dataset.name for data in run.inputs.dataset_inputs}
    assert names == {"train", "dev", "calibrate"}


def test_statements_that_do_not_do_to_calibrate_on_are_refused(tmp_path):
    statements = read([train.CORPUS / "own.jsonl"])[:200]
    path = tmp_path / "fresh.jsonl"

    def fresh(rows, trained=statements[:100], held=None, taught=None):
        rows[list(FIELDS)].to_json(path, orient="records", lines=True)
        return train.fresh_rows([path], trained, held, taught)

    rest = statements[100:]
    with pytest.raises(DataError, match=r"--calibrate .*not trained on, found 10 that are"):
        fresh(statements[90:])
    with pytest.raises(DataError, match=r"--calibrate .*not held out, found 100 that are"):
        fresh(rest, held=rest)
    with pytest.raises(DataError, match="at least 30 that no encoder learned from"):
        fresh(rest[:25])
    with pytest.raises(DataError, match=r"5 of each level, found \d+ none, 0 protest"):
        fresh(rest[rest["level"] == "none"])
    kept = fresh(rest)
    left = fresh(rest, taught=rest[["text", "id"]][:10].assign(place="x"))
    assert len(left) < len(kept)
    assert not set(left["id"]) & set(rest["id"][:10]), "what a teacher labelled is learned from"


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        "x",
        "null",
        "0.5",
        "[0.5]",
        '[["RUS", "KOR", 1.5]]',
        '[["RUS", 1, 0.5]]',
        '[["A", "B", NaN]]',
    ],
)
def test_dyads_of_a_teacher_that_are_none_are_named(wrong, tmp_path):
    level = dict(zip(PROBABILITIES, (0.0, 1.0, 0.0, 0.0), strict=True))
    right = {"text": "Oslo protests.", "dyads": '[["NOR", null, 0.9]]'} | level
    table = pd.DataFrame([right, right | {"text": "Rome protests.", "dyads": wrong}])
    table.to_parquet(tmp_path / "soft.parquet")
    with pytest.raises(
        DataError, match=r"soft\.parquet: expected dyads as a JSON list .* in row 1"
    ):
        soft_rows(tmp_path / "soft.parquet", None)


@pytest.mark.parametrize("wrong", [{"text": None}, {"p_none": 1.1}, {"p_threat": None}])
def test_labels_of_a_teacher_that_are_none_are_named(wrong, tmp_path):
    right = {"text": "Oslo protests."} | dict.fromkeys(PROBABILITIES, 0.25)
    pd.DataFrame([right, right | wrong]).to_parquet(tmp_path / "soft.parquet")
    with pytest.raises(DataError, match=r"expected text and probabilities from 0 to 1.* in row 1"):
        soft_rows(tmp_path / "soft.parquet", None)
    pd.DataFrame([right]).drop(columns="p_none").to_parquet(tmp_path / "soft.parquet")
    with pytest.raises(DataError, match=r"expected the columns .*, found no p_none\. Make it anew"):
        soft_rows(tmp_path / "soft.parquet", None)
