import json
import shutil
import sqlite3
from contextlib import closing

import mlflow
import pytest

from scoring.artifact import load
from scoring.errors import ArtifactMissing, ArtifactTampered, UsageError
from scoring.levels import LEVELS
from training.pipeline import Params, level_pipeline, mask_all
from training.tracking import TrackingError, open_run, registry
from training.tracking.runs import MODEL_TAG


@pytest.fixture
def small(trained):
    _, outcome = trained
    return outcome.folder


@pytest.fixture
def variant(small, tmp_path):
    """The small model with another threshold: another model."""
    folder = shutil.copytree(small, tmp_path / "variant")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {"version": "variant", "dyad_at_least": 0.4}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_versions_are_registered_once_and_told_apart(store, small, variant):
    assert registry.aliased("champion") is None
    first = registry.register(small, "champion")
    assert registry.register(small) == first
    second = registry.register(variant, "challenger")
    assert [found.number for found in registry.versions()] == ["1", "2"]
    assert (first.version, first.aliases) == ("small", ("champion",))
    assert (second.version, second.aliases) == ("variant", ("challenger",))
    assert first.digest != second.digest
    assert registry.aliased("challenger") == second
    tags = mlflow.MlflowClient().get_model_version("tension-escalation", "1").tags
    assert tags == {"version": "small", "digest": first.digest}


def test_a_version_of_the_registry_is_the_model_that_was_registered(store, small, tmp_path):
    registry.register(small, "challenger")
    for number, reference in enumerate(
        ("models:/tension-escalation@challenger", "models:/tension-escalation/1")
    ):
        folder = registry.fetch(reference, tmp_path / str(number))
        assert {path.name for path in folder.iterdir()} == {path.name for path in small.iterdir()}
        assert load(folder).manifest == load(small).manifest


def test_the_model_of_a_run_is_found(trained, monkeypatch, tmp_path):
    folder, outcome = trained
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    run = outcome.model.manifest["mlflow_run"]
    served = mlflow.MlflowClient().get_run(run).data.tags[MODEL_TAG]
    for number, reference in enumerate((run, f"runs:/{run}", served)):
        found = registry.fetch(reference, tmp_path / str(number))
        assert load(found).manifest == load(outcome.folder).manifest


def test_the_digest_is_of_what_a_model_says(small):
    manifest = json.loads((small / "manifest.json").read_text())
    first = registry.content_digest(manifest)
    assert registry.content_digest(manifest | {"version": "other", "git": None}) == first
    for change in ({"sha256": "0"}, {"review_below": 0.1}, {"dyad_at_least": 0.1}):
        assert registry.content_digest(manifest | change) != first
    encoder = {"encoder.onnx": {"sha256": "1", "bytes": 1, "shared_with": "0.1.0"}}
    with_one = registry.content_digest(manifest | {"encoder": encoder})
    assert with_one != first
    encoder["encoder.onnx"].pop("shared_with")  # the same encoder, wherever it lies
    assert registry.content_digest(manifest | {"encoder": encoder}) == with_one


def test_the_crown_passes_on(store, small, variant):
    registry.register(small, "champion")
    second = registry.register(variant, "challenger")
    for _ in range(2):  # twice is once
        registry.crown(second.number, "small")
        first, second = registry.versions()
        assert (first.aliases, second.aliases) == ((), ("champion",))
        assert second.previous == "small"
    registry.crown(first.number, None)
    first, second = registry.versions()
    assert (first.aliases, first.previous) == (("champion",), None)
    assert second.previous == "small"


def test_another_name_is_another_model(store, small, monkeypatch):
    registry.register(small, "champion")
    monkeypatch.setenv("TENSION_REGISTERED_MODEL", "other")
    assert registry.versions() == []
    assert registry.aliased("champion") is None
    assert registry.register(small).name == "other"


def test_only_our_aliases_are_moved_and_only_to_what_is_there(store, small):
    with pytest.raises(UsageError, match="expected an alias of champion, challenger, found 'best'"):
        registry.register(small, "best")
    with pytest.raises(TrackingError, match=r"mlflow\.db: expected .* version=7"):
        registry.point("champion", "7")


def test_what_is_no_model_is_not_registered(store, small, tmp_path):
    with pytest.raises(ArtifactMissing, match="expected a file of the model, found none"):
        registry.register(tmp_path)
    broken = shutil.copytree(small, tmp_path / "broken")
    for text in ("{", "[]", "{}", '{"version": 1, "encoder": 1}'):
        (broken / "manifest.json").write_text(text)
        with pytest.raises(ArtifactTampered, match="expected the manifest of a model"):
            registry.register(broken)
    assert registry.versions() == []


@pytest.mark.parametrize(
    ("reference", "error", "found"),
    [
        (
            "models:/tension-escalation@challenger",
            TrackingError,
            "expected models:/tension-escalation@challenger in the registry",
        ),
        ("models:/tension-escalation/9", TrackingError, "found none"),
        ("models:/nothing@champion", TrackingError, "found none"),
        ("0" * 32, TrackingError, "expected a run 0000"),
        ("nowhere", UsageError, "found 'nowhere', and no folder of that name"),
        ("models:/", UsageError, "expected the folder of a model, the id of an MLflow run"),
    ],
)
def test_what_is_not_in_the_registry_is_named(store, small, tmp_path, reference, error, found):
    registry.register(small, "champion")
    with pytest.raises(error, match=found):
        registry.fetch(reference, tmp_path / "to")


def test_a_run_that_died_has_no_model(store, tmp_path):
    with pytest.raises(ZeroDivisionError), open_run("dies") as run:
        raise ZeroDivisionError
    with pytest.raises(
        TrackingError, match=rf"run {run.id} \(failed\): expected the model .* The run died"
    ):
        registry.fetch(run.id, tmp_path / "to")


def test_a_model_of_another_kind_is_named(store, statements, tmp_path):
    """A run's level classifier alone, as a model that somebody registered."""
    masked = mask_all(statements["text"])
    level = level_pipeline(Params(level_bits=10)).fit(masked, statements["level"].map(LEVELS.index))
    with open_run("by hand") as run:
        run.log_level(level)
    [logged] = mlflow.get_run(run.id).outputs.model_outputs
    with pytest.raises(TrackingError, match=r"^models:/m-.*: expected a model of ours"):
        registry.fetch(f"models:/{logged.model_id}", tmp_path / "to")
    with pytest.raises(TrackingError, match=r"\(finished\): expected the model .* found none"):
        registry.fetch(run.id, tmp_path / "to")


def test_without_a_store_none_is_made_by_looking(store, monkeypatch, small):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}/other.db")
    assert registry.aliased("champion") is None
    for look in (registry.versions, lambda: registry.fetch("models:/a@b", store)):
        with pytest.raises(TrackingError, match=r"other\.db: expected an MLflow store, found none"):
            look()
    assert not (store / "other.db").exists()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}/nowhere/mlflow.db")
    with pytest.raises(TrackingError, match="unable to open database file"):
        registry.aliased("champion")


def test_a_locked_store_is_named(store, small, monkeypatch):
    monkeypatch.setattr("training.tracking.store.SQLITE_PATIENCE", 0.1)
    with closing(sqlite3.connect(store / "mlflow.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TrackingError, match=r"mlflow\.db: expected .* locked\. Wait until"):
            registry.aliased("champion")


def test_an_old_store_is_named(store):
    with closing(sqlite3.connect(store / "mlflow.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = '0c779009ac13'")
        database.commit()
    with pytest.raises(TrackingError, match=r"mlflow\.db: expected .*schema"):
        registry.versions()


def test_a_server_that_does_not_answer_is_named_without_its_password(store, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackingError, match=r"^http://127.0.0.1:9: expected") as error:
        registry.versions()
    assert "secret" not in str(error.value)
