"""Where the MLflow store is, and whether it works."""

# Stands in for the module of the same name on branch e1, with its three functions: on merging, take that one whole.

from __future__ import annotations

import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import mlflow
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from training.tracking.runs import _SQLITE, STORE, TrackingError, _check_sqlite, _experiment


def store_uri() -> str:
    """Name the store: ``MLFLOW_TRACKING_URI``, else `STORE`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or STORE


def open_store() -> str:
    """Point MLflow to the store, after a look whether it can be written."""
    uri = store_uri()
    for chatty in ("alembic", "mlflow.store.db.utils"):  # a line per table of a new store
        logging.getLogger(chatty).setLevel(logging.WARNING)
    with store_errors():
        if uri.startswith(_SQLITE):
            _check_sqlite(uri)
        mlflow.set_tracking_uri(uri)
    return uri


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn what MLflow, its database or its files complain of into `TrackingError`; also a decorator."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        found = str(error).strip().splitlines()[0][:300]
        message = (
            f"{store_uri()}: expected an MLflow store that answers and can be written, found: {found} "
            "Set MLFLOW_TRACKING_URI to a store that works, or unset it for mlflow.db here."
        )
        raise TrackingError(re.sub(r"//[^/@\s]*@", "//", message)) from error  # no passwords


experiment_id = _experiment
