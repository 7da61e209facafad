import sqlite3
import subprocess
import sys
from contextlib import closing

import mlflow
import numpy as np
import pandas as pd
import pytest

from scoring.errors import TensionError
from scoring.levels import LEVELS
from training.dataset import digest
from training.evaluate import Predictions, evaluate
from training.pipeline import Params, level_pipeline, mask_all
from training.tracking import (
    EXPERIMENT,
    TrackingError,
    confusion_plot,
    open_run,
    reliability_plot,
)


@pytest.fixture(scope="module")
def metrics(statements):
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), size=len(statements))
    gold = statements.assign(pool="a|b (c)")
    return evaluate(gold, Predictions(p.argmax(axis=1), p, None, None), resamples=10)


def fetch(run):
    return mlflow.MlflowClient().get_run(run.id)


def artefacts(run, folder):
    return {item.path for item in mlflow.MlflowClient().list_artifacts(run.id, folder)}


def test_a_run_holds_what_was_logged(store, statements, metrics):
    with open_run("first") as run:
        run.log_params({"level_c": 3.0, "seed": 0})
        run.log_tags({"git.commit": None, "git.clean": True})
        run.log_metrics("dev", metrics)
        run.log_data(statements, "train", digest(statements))
    logged = fetch(run)
    assert logged.info.status == "FINISHED"
    assert logged.info.run_name == "first"
    assert logged.data.params == {"level_c": "3.0", "seed": "0"}
    assert logged.data.tags["git.commit"] == "None"
    assert logged.data.metrics["dev.macro_f1"] == metrics["macro_f1"]
    assert logged.data.metrics["dev.threat.f1.low"] == metrics["threat.f1.low"]
    assert logged.data.metrics["dev.pool.a_b _c_.macro_f1"] == metrics["pool.a|b (c).macro_f1"]
    assert len(logged.data.metrics) == len(metrics)
    assert artefacts(run, "dev") == {"dev/confusion.png", "dev/reliability.png"}
    [data] = logged.inputs.dataset_inputs
    assert data.dataset.name == "train"
    assert digest(statements).startswith(data.dataset.digest)
    assert statements["text"][0] not in data.dataset.to_dictionary().values()


def test_the_store_lies_where_it_was_asked_for(store, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    with open_run("first") as run:
        mlflow.log_text("x", "x.txt")
    assert mlflow.get_experiment_by_name(EXPERIMENT).artifact_location.startswith(store.as_uri())
    assert (store / "mlruns" / EXPERIMENT / run.id / "artifacts" / "x.txt").read_text() == "x"


def test_without_a_setting_the_store_is_in_the_working_directory(store, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with open_run("first") as run:
        pass
    with closing(sqlite3.connect(store / "mlflow.db")) as database:
        assert database.execute("select run_uuid from runs").fetchall() == [(run.id,)]


def test_the_logged_model_gives_the_same_probabilities(store, statements):
    masked = mask_all(statements["text"])
    pipeline = level_pipeline(Params(level_bits=10)).fit(
        masked, statements["level"].map(LEVELS.index)
    )
    with open_run("first") as run:
        run.log_level(pipeline)
    [logged] = fetch(run).outputs.model_outputs
    served = mlflow.pyfunc.load_model(f"models:/{logged.model_id}")
    assert np.array_equal(served.predict(masked), pipeline.predict_proba(masked))
    assert served.metadata.get_input_schema().input_names() == ["text"]
    example = served.input_example
    assert example.columns.tolist() == ["text"]
    assert "Moscow" not in example["text"][0]
    with pytest.raises(mlflow.exceptions.MlflowException, match="missing inputs"):
        served.predict(pd.DataFrame({"body": ["x"]}))


def test_an_error_of_ours_leaves_the_run_failed_and_goes_through(store):
    with pytest.raises(TensionError, match=r"^of ours$"), open_run("first") as run:
        raise TensionError("of ours")
    assert fetch(run).info.status == "FAILED"
    with open_run("second") as run:  # the failed one is closed
        pass
    assert fetch(run).info.status == "FINISHED"


def test_a_locked_store_is_named(store, monkeypatch):
    monkeypatch.setattr("training.tracking.runs.SQLITE_PATIENCE", 0.1)
    with closing(sqlite3.connect(store / "mlflow.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TrackingError, match=r"mlflow\.db: expected .* locked"), open_run("x"):
            pytest.fail("a locked store was opened")


def test_a_file_that_is_no_store_is_named(store, monkeypatch):
    (store / "notes.txt").write_text("These are notes. " * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}/notes.txt")
    with (
        pytest.raises(TrackingError, match=r"notes\.txt: expected .* not a database"),
        open_run("x"),
    ):
        pytest.fail("no store was opened")


def test_a_folder_that_is_not_there_is_named(store, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}/nowhere/mlflow.db")
    with pytest.raises(TrackingError, match="unable to open database file"), open_run("x"):
        pytest.fail("no store was opened")


def test_a_server_that_does_not_answer_is_named_without_its_password(store, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with (
        pytest.raises(TrackingError, match=r"^http://127.0.0.1:9: expected") as error,
        open_run("x"),
    ):
        pytest.fail("no server was reached")
    assert "secret" not in str(error.value)


def test_an_unknown_kind_of_store_is_named(store, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "gopher://example.org")
    with pytest.raises(TrackingError, match=r"^gopher://example\.org: expected"), open_run("x"):
        pytest.fail("no store was opened")


def test_plots_show_the_figures(metrics):
    axes = confusion_plot(metrics).axes[0]
    shown = sum(int(text.get_text().split()[0]) for text in axes.texts)
    assert shown == metrics["rows"]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(LEVELS)
    points = reliability_plot(metrics).axes[0].lines[1].get_xydata()
    filled = [k for k in range(10) if metrics[f"bin.{k}.rows"]]
    expected = [[metrics[f"bin.{k}.confidence"], metrics[f"bin.{k}.accuracy"]] for k in filled]
    assert points.tolist() == expected


def test_telemetry_is_off_before_mlflow_is_loaded():
    code = (
        "import os; os.environ.pop('MLFLOW_DISABLE_TELEMETRY', None); import training.tracking; "
        "from mlflow.telemetry.client import get_telemetry_client; print(get_telemetry_client())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None"
