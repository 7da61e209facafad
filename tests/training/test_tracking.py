import os
import platform
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.metadata import version
from importlib.util import find_spec

import mlflow
import mlflow.db
import numpy as np
import pandas as pd
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from click.testing import CliRunner
from mlflow.store.db import utils
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Engine

from scoring.errors import TensionError
from scoring.levels import LEVELS
from training.dataset import digest
from training.evaluate import Predictions, evaluate
from training.pipeline import Params, level_pipeline, mask_all
from training.tracking import (
    EXPERIMENT,
    TrackingError,
    confusion_plot,
    f1_plot,
    level_reliability_plot,
    open_run,
    plots,
    reliability_plot,
)
from training.tracking.plots import LEAST_ROWS
from training.tracking.runs import MOST_NOTE, note, requirements


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
    names = ("confusion", "f1", "reliability", "reliability_by_level")
    assert artefacts(run, "dev") == {f"dev/{name}.png" for name in names}
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


def test_the_environment_is_told(store):
    with open_run("first") as run:
        run.log_environment()
    tags = fetch(run).data.tags
    assert tags["python"] == platform.python_version()
    assert tags["platform"] == platform.platform()
    lines = mlflow.artifacts.load_text(f"runs:/{run.id}/requirements.txt").splitlines()
    assert f"scikit-learn=={version('scikit-learn')}" in lines
    assert lines == sorted(lines)
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.!+]+", line)] == []


def test_requirements_are_those_of_the_tier():
    fast, accurate = (requirements(accurate=accurate) for accurate in (False, True))
    assert f"skops=={version('skops')}" in fast
    assert f"mlflow=={mlflow.__version__}" in fast
    assert {line.split("==")[0] for line in set(accurate) - set(fast)} == {
        "onnxruntime",
        "tokenizers",
    }


def test_the_card_is_the_description_as_far_as_it_fits(store, tmp_path):
    sections = [
        f"## {name}\n\n{name * length}\n\n" for name, length in (("a", 50), ("b", 9000), ("c", 60))
    ]
    card = "# Model\n\nWhat it is.\n\n" + "".join(sections)
    short = note(card)
    assert short.startswith("# Model\n\nWhat it is.\n\n" + sections[0] + sections[2])
    assert "1 more section: artefact `card.md`" in short
    assert len(short) <= MOST_NOTE
    assert note(sections[0]) == sections[0]
    (tmp_path / "card.md").write_text(card)
    (tmp_path / "metrics.json").write_text("{}")
    with open_run("first") as run:
        run.log_card(tmp_path)
    assert fetch(run).data.tags["mlflow.note.content"] == short
    assert artefacts(run, None) == {"card.md", "metrics.json"}
    assert mlflow.artifacts.load_text(f"runs:/{run.id}/card.md") == card


@pytest.fixture(scope="module")
def died(migrated, tmp_path_factory):
    """A run whose process was killed: its store, its id, and MLflow's client of telemetry there."""
    file = tmp_path_factory.mktemp("died") / "mlflow.db"
    shutil.copy(migrated, file)
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{file}"}
    environment.pop("MLFLOW_DISABLE_TELEMETRY", None)
    code = (
        "import os, signal; from training.tracking import open_run\n"
        "from mlflow.telemetry.client import get_telemetry_client\n"
        "with open_run('died') as run:\n"
        "    print(run.id, get_telemetry_client(), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return file, *done.stdout.split()


def test_a_run_that_died_stays_open_and_bothers_nobody(store, died):
    file, run_id, _ = died
    shutil.copy(file, store / "mlflow.db")
    with open_run("next") as run:
        pass
    assert fetch(run).info.status == "FINISHED"
    assert mlflow.get_run(run_id).info.status == "RUNNING"


def test_telemetry_is_off_before_mlflow_is_loaded(died):
    assert died[2] == "None"


# --- stores that do not work ---


def test_a_locked_store_is_named(store, monkeypatch):
    monkeypatch.setattr("training.tracking.store.SQLITE_PATIENCE", 0.1)
    with closing(sqlite3.connect(store / "mlflow.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        with (
            pytest.raises(TrackingError, match=r"mlflow\.db: expected .* locked.* Wait until"),
            open_run("x"),
        ):
            pytest.fail("a locked store was opened")


def test_a_full_store_fails_the_run_and_says_so(store, metrics):
    def little_room(connection, _):
        [pages] = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 8}")

    def fill():
        with open_run("x") as run:
            runs.append(run)
            for part in range(9):
                run.log_metrics(f"part{part}", metrics)

    runs = []
    event.listen(Engine, "connect", little_room)
    try:
        with pytest.raises(TrackingError, match=r"found: database or disk is full\. Make room"):
            fill()
    finally:
        event.remove(Engine, "connect", little_room)
    assert fetch(runs[0]).info.status == "FAILED"
    with open_run("next") as run:
        pass
    assert fetch(run).info.status == "FINISHED"


def test_artefacts_that_cannot_be_written_fail_the_run(store, metrics):
    (store / "mlruns").write_text("in the way")
    with (
        pytest.raises(TrackingError, match=r"mlflow\.db: .* found: .*mlruns"),
        open_run("x") as run,
    ):
        run.log_metrics("dev", metrics)
    assert fetch(run).info.status == "FAILED"


def test_a_store_of_an_older_mlflow_is_left_alone_until_it_is_upgraded(store, monkeypatch):
    """MLflow by itself would upgrade it, for it lacks a table, without asking."""
    file = store / "old.db"
    uri = f"sqlite:///{file}"
    config = utils._get_alembic_config(uri)
    older = list(ScriptDirectory.from_config(config).walk_revisions())[1].revision
    engine = create_engine(uri)
    utils.InitialBase.metadata.create_all(engine)
    command.upgrade(config, older)
    engine.dispose()
    before = file.read_bytes()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with (
        pytest.raises(
            TrackingError, match=f"schema .{older}, .* mlflow db upgrade {uri} "
        ) as error,
        open_run("x"),
    ):
        pytest.fail("a store of an older MLflow was opened")
    assert "\n" not in str(error.value)
    assert file.read_bytes() == before
    upgraded = CliRunner().invoke(mlflow.db.commands, ["upgrade", uri])
    assert upgraded.exit_code == 0, upgraded.output
    with open_run("x") as run:
        pass
    assert fetch(run).info.status == "FINISHED"


def test_a_store_of_a_newer_mlflow_is_named(store):
    with closing(sqlite3.connect(store / "mlflow.db")) as other, other:
        other.execute("UPDATE alembic_version SET version_num = 'f00'")
    with (
        pytest.raises(TrackingError, match=r"schema \(f00, .* use the MLflow that made it"),
        open_run("x"),
    ):
        pytest.fail("a store of a newer MLflow was opened")


def test_a_file_that_is_no_store_is_named(store, monkeypatch):
    (store / "notes.txt").write_text("These are notes. " * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}/notes.txt")
    with (
        pytest.raises(TrackingError, match=r"notes\.txt: expected .* not a database"),
        open_run("x"),
    ):
        pytest.fail("no store was opened")


def test_a_process_killed_while_it_makes_a_store_leaves_none(store, monkeypatch):
    """MLflow by itself would leave tables that it can neither use nor upgrade."""
    code = (
        "import os, signal\n"
        "from sqlalchemy import event\n"
        "from sqlalchemy.engine import Engine\n"
        "from training.tracking import open_store\n"
        "@event.listens_for(Engine, 'before_cursor_execute')\n"
        "def die(connection, cursor, statement, *rest):\n"
        "    if statement.startswith('ALTER TABLE'):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "open_store()"
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}/new.db")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (store / "new.db").exists()
    with open_run("x") as run:
        pass
    assert fetch(run).info.status == "FINISHED"


def test_a_store_that_was_half_made_is_named(store, monkeypatch):
    with closing(sqlite3.connect(store / "half.db")) as half, half:
        half.execute("CREATE TABLE metrics (key TEXT)")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}/half.db")
    with (
        pytest.raises(TrackingError, match=r"half\.db: .* without a version .* move the file away"),
        open_run("x"),
    ):
        pytest.fail("half a store was opened")


def test_a_database_whose_driver_is_not_there_is_named(store, monkeypatch):
    if find_spec("MySQLdb"):
        pytest.skip("the driver is there")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mysql://127.0.0.1:9/x")
    with (
        pytest.raises(TrackingError, match=r"^mysql.*: expected .* Install the driver"),
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
        pytest.raises(
            TrackingError, match=r"^http://127.0.0.1:9: expected .* found: .*refused\. Set"
        ) as error,
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


def test_plots_by_level_and_part_show_the_figures(metrics):
    axes = level_reliability_plot(metrics).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(LEVELS)
    axes = f1_plot(metrics | {"stratum.cue.rows": LEAST_ROWS - 1}).axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    pool = "pool a|b (c)"
    strata = ["stratum random", "stratum uncertain"]
    assert names == [*LEVELS, "all levels (macro)", pool, *strata]
    shown = dict(zip(names, axes.lines[0].get_xdata(), strict=True))
    assert shown["threat"] == metrics["threat.f1"]
    assert shown[pool] == metrics["pool.a|b (c).macro_f1"]
    low, high = axes.collections[names.index(pool)].get_segments()[0][:, 0]
    assert [low, high] == [metrics[f"pool.a|b (c).macro_f1.{end}"] for end in ("low", "high")]


def test_a_method_without_probabilities_has_no_plot_of_them(statements):
    level = Predictions(
        np.zeros(len(statements), dtype=int), np.full((len(statements), 4), np.nan), None, None
    )
    assert set(plots(evaluate(statements, level, resamples=10))) == {"confusion", "f1"}
