"""The MLflow store: where it is, whether it works, and what to do where it does not."""

from __future__ import annotations

import logging
import os
import re
import socket
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from scoring.errors import TensionError

# Before mlflow is imported, and only where the user has not set them: no telemetry, and a server
# that does not answer is given up after seconds, not minutes.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
os.environ.setdefault(
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false"
)  # it would draw into pipes too

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.store.db.utils import _get_latest_schema_revision, _initialize_tables
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError

STORE: Final = "sqlite:///mlflow.db"
"""The store without ``MLFLOW_TRACKING_URI``: a file in the working directory."""

EXPERIMENT: Final = "tension-escalation"
"""The experiment without ``MLFLOW_EXPERIMENT_NAME``."""

SQLITE_PATIENCE: float = 5.0
"""Seconds to wait for a store that another process has locked."""

FAILURES: Final = (MlflowException, SQLAlchemyError, sqlite3.Error, ModuleNotFoundError)
"""What MLflow and its database raise, drivers that lack included; files and servers of artefacts raise `OSError`."""

_SQLITE: Final = "sqlite:///"
_ROOTS: Final = (sqlite3.Error, ConnectionError, TimeoutError, socket.gaierror)
_LONGEST: Final = 300  # characters of a complaint that are told
_PASSWORD: Final = re.compile(r"//[^/@\s]*@")

# A line per table of a new store, tracebacks of what our error says, a line per model.
_CHATTY: Final = {
    "alembic": logging.WARNING,
    "mlflow.store.db.utils": logging.CRITICAL,
    "mlflow.pyfunc": logging.WARNING,
}

# What a store's complaint means for the user; the first that fits. {uri} is the store.
_REMEDIES: Final = (
    (
        r"locked",
        "Wait until the process that writes there is done, or stop it; 'mlflow ui' only reads.",
    ),
    (
        r"disk is full|disk I/O|No space left|File too large|quota",
        "Make room on its disk, or set MLFLOW_TRACKING_URI to a store elsewhere.",
    ),
    (
        r"out-of-date database schema|Can't locate revision",
        "It was made by another MLflow. Back it up, then: mlflow db upgrade {uri} (if it is newer than this MLflow, "
        "use the MLflow that made it), or set MLFLOW_TRACKING_URI to another store.",
    ),
    (
        r"without a version",
        "A process died that was making it, or it is no MLflow store: move the file away, or set "
        "MLFLOW_TRACKING_URI to another.",
    ),
    (
        r"No module named",
        "Install the driver that this kind of database needs, or set MLFLOW_TRACKING_URI to another store.",
    ),
    (
        r"readonly|Read-only|Permission denied",
        "Make it writable, or set MLFLOW_TRACKING_URI to another store.",
    ),
)
_REMEDY: Final = "Set MLFLOW_TRACKING_URI to a store that works, or unset it for mlflow.db here."


class TrackingError(TensionError):
    """The MLflow store cannot be reached, or does not take what is logged."""


def store_uri() -> str:
    """Name the store: ``MLFLOW_TRACKING_URI``, else `STORE`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or STORE


def sqlite_file(uri: str) -> Path | None:
    """Return the file of an SQLite store; None of another store."""
    return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None


def shown_uri() -> str:
    """Name the store as messages do, without a password."""
    return _PASSWORD.sub("//", store_uri())


def open_store() -> str:
    """Point MLflow to the store, after a look whether it can be written.

    Returns
    -------
    str
        Its URI.

    Raises
    ------
    TrackingError
        If it is locked, full, of another schema, cannot be reached or is no store; says which, and what to do.
    """
    uri = store_uri()
    for chatty, least in _CHATTY.items():
        logging.getLogger(chatty).setLevel(least)
    with store_errors():
        if file := sqlite_file(uri):
            if file.parent.is_dir() and not file.exists():
                _make_sqlite(file)
            _check_sqlite(file)
        mlflow.set_tracking_uri(uri)
        mlflow.MlflowClient().search_experiments(max_results=1)  # opens it, and checks its schema
    return uri


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn what MLflow, its database or its files complain of into `TrackingError`; also a decorator.

    Raises
    ------
    TrackingError
        Says what the store complained of, and what to do.
    """
    try:
        yield
    except (*FAILURES, OSError) as error:
        found = _PASSWORD.sub("//", _complaint(error))
        named = next((text for sign, text in _REMEDIES if re.search(sign, found)), _REMEDY)
        raise TrackingError(
            f"{shown_uri()}: expected an MLflow store that answers and can be written, found: {found} "
            + named.format(uri=shown_uri())
        ) from error


def experiment_id(uri: str) -> str:
    """Find the experiment or make it; artefacts of an SQLite store lie beside the store.

    Parameters
    ----------
    uri : str
        From `open_store`.

    Returns
    -------
    str
        MLflow's id of the experiment.
    """
    client = mlflow.MlflowClient(uri)
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    if found := client.get_experiment_by_name(name):
        return str(found.experiment_id)
    beside = None
    if file := sqlite_file(uri):
        beside = (file.resolve().parent / "mlruns" / name).as_uri()
    return str(client.create_experiment(name, artifact_location=beside))


def _complaint(error: BaseException) -> str:
    """Take the first line of an error, or of what the database or the network said, which MLflow buries under much."""
    below = [one for one in _chain(error) if isinstance(one, _ROOTS)]
    lines = str(below[-1] if below else error).strip().splitlines() or [type(error).__name__]
    told = lines[0].rstrip(".")
    return f"{told[:_LONGEST]}..." if len(told) > _LONGEST else f"{told}."


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _make_sqlite(file: Path) -> None:
    """Make a store beside its place and move it there whole.

    MLflow makes the tables of a new one in place, for seconds. What is killed then is a store that it can neither use
    nor upgrade.
    """
    with tempfile.TemporaryDirectory(prefix=f".{file.name}.", dir=file.parent) as folder:
        made = Path(folder) / file.name
        engine = create_engine(f"{_SQLITE}{made}")
        _initialize_tables(engine)  # type: ignore[no-untyped-call]
        engine.dispose()
        try:
            file.hardlink_to(made)  # never over the store that another process has made meanwhile
        except FileExistsError:
            return
        except OSError:  # a file system without hard links
            made.rename(file)


def _check_sqlite(file: Path) -> None:
    """Fail now, where MLflow would try for minutes, or would upgrade a store of an older one without asking."""
    with closing(sqlite3.connect(file, timeout=SQLITE_PATIENCE)) as store:
        store.execute("BEGIN IMMEDIATE")
        tables = {name for (name,) in store.execute("SELECT name FROM sqlite_master")}
        versions = "alembic_version" in tables and store.execute("SELECT * FROM alembic_version")
        found = [version for (version,) in versions or ()]
        store.rollback()
    if tables and not found:
        raise MlflowException("tables without a version of their schema.")
    wanted = _get_latest_schema_revision()  # type: ignore[no-untyped-call]
    if found not in ([], [wanted]):
        raise MlflowException(
            f"out-of-date database schema ({found[0]}, this MLflow has {wanted})."
        )
