"""Labelled statements of our own, an MLflow store, and one small training run for all tests."""

import os
import shutil
from pathlib import Path

import pytest

HERE = Path(__file__).parent
STATEMENTS = HERE / "statements.jsonl"
SHARED = Path(os.environ.get("TENSION_SHARED") or HERE.parents[2] / "shared")

# Of MLflow 3.17 under SQLAlchemy 2.1 and pandas 3; from nothing that this package calls.
MLFLOW_WARNINGS = (
    "ignore:The ``noload`` loader strategy",
    "ignore:Operation with range is deprecated",
    "ignore:.*Any type hint is inferred as AnyType:UserWarning",
)


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            for warning in MLFLOW_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(scope="session")
def gold():
    """The folder of real labelled statements, which are not part of the project."""
    if not (SHARED / "gold").is_dir():
        pytest.skip(f"no real labelled statements at {SHARED / 'gold'} (set TENSION_SHARED)")
    return SHARED / "gold"


@pytest.fixture(scope="session")
def statements():
    from training.dataset import read

    return read([STATEMENTS])


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    """An SQLite store with its tables, empty: making one takes seconds, a copy none."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    folder = tmp_path_factory.mktemp("store")
    SqlAlchemyStore(f"sqlite:///{folder}/mlflow.db", (folder / "mlruns").as_uri())
    return folder / "mlflow.db"


@pytest.fixture
def store(migrated, tmp_path, monkeypatch):
    """Point MLflow to an empty store of this test, with the working directory beside it."""
    shutil.copy(migrated, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    for name in ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path
    import mlflow

    mlflow.set_tracking_uri(None)  # MLflow keeps what a command set, for the process


@pytest.fixture(scope="session")
def trained(migrated, tmp_path_factory):
    """A model trained on our statements with every fourth held out: folder and outcome."""
    from training.pipeline import Params
    from training.train import run

    folder = tmp_path_factory.mktemp("trained")
    lines = STATEMENTS.read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "train.jsonl").write_text("".join(lines[::2] + lines[1::4]), encoding="utf-8")
    (folder / "dev.jsonl").write_text("".join(lines[3::4]), encoding="utf-8")
    shutil.copy(migrated, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
        outcome = run(
            [folder / "train.jsonl"],
            [folder / "dev.jsonl"],
            params=Params(level_bits=12, role_bits=12),
            out=folder / "models",
            name="small",
        )
    return folder, outcome
