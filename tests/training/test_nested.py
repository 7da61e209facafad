import mlflow
import pandas as pd
import pytest

from scoring.errors import TensionError
from training.tracking import TrackingError
from training.tracking.nested import beside_store, log_figures, open_search


def status(id):
    return mlflow.get_run(id).info.status


def test_a_search_is_found_again_and_its_dead_trials_are_closed(store):
    rows = pd.DataFrame(
        {"id": ["a"], "level": ["none"], "pool": ["p"], "stratum": ["s"], "text": ["x"]}
    )
    with open_search("one", "tune") as first:
        first.log_data(rows, "train", "0" * 64)
        first.log(params={"seed": 0}, figures={"best": 0.5}, tags={"better": False})
        with first.trial(0, "trial 0", {"level_c": 1.0}) as done:
            done.log({"cv.macro_f1": 0.5})
        with pytest.raises(TensionError, match="of ours"), first.trial(1, "trial 1", {}) as failed:
            raise TensionError("of ours")
        with first.trial(2, "trial 2", {}) as untold:  # ended, but its study does not know
            pass
        cut_off = mlflow.MlflowClient().create_run(  # as a process that is killed leaves it
            mlflow.get_run(first.id).info.experiment_id,
            tags={"mlflow.parentRunId": first.id, "trial": "3"},
        )
    with open_search("other", "tune") as other:
        assert other.id != first.id
    with open_search("one", "tune") as again:
        assert again.id == first.id
        assert status(first.id) == "RUNNING"
        again.log(params={"seed": 0}, tags={"better": True})
        assert again.close_dead([0]) == 2
        assert again.close_dead([0]) == 0
    assert status(first.id) == "FINISHED"
    assert [status(run.id) for run in (done, failed, untold)] == ["FINISHED", "FAILED", "KILLED"]
    assert status(cut_off.info.run_id) == "KILLED"
    logged = mlflow.get_run(first.id)
    assert logged.data.tags["better"] == "True"
    assert logged.inputs.dataset_inputs[0].dataset.name == "train"
    assert mlflow.get_run(done.id).data.metrics == {"cv.macro_f1": 0.5}


@pytest.mark.parametrize(
    ("error", "expected"), [(TensionError("x"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_a_search_that_ends_early_says_how(store, error, expected):
    with pytest.raises(type(error)), open_search("one", "tune") as search:
        raise error
    assert status(search.id) == expected


def test_many_figures_and_a_text_go_into_a_run(store):
    with open_search("one", "tune") as search:
        log_figures(search.id, {f"f{k}": float(k) for k in range(1500)}, {"note.txt": "x"})
    run = mlflow.get_run(search.id)
    assert run.data.metrics["f1499"] == 1499
    assert len(run.data.metrics) == 1500
    assert mlflow.artifacts.load_text(f"{run.info.artifact_uri}/note.txt") == "x"


def test_a_store_that_is_none_is_named(store, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}/nowhere/mlflow.db")
    with pytest.raises(TrackingError, match="nowhere"), open_search("one", "tune"):
        pytest.fail("no store was opened")


def test_the_study_lies_beside_the_store(store, monkeypatch):
    assert beside_store("tune.db") == store / "tune.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert str(beside_store("tune.db")) == "tune.db"
