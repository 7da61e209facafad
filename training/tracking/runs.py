"""Runs in MLflow: what was trained, on what, how well, and the model."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from scoring.actors import find_mentions
from scoring.artifact import TRUSTED, libraries
from scoring.errors import TensionError
from scoring.features import mask
from scoring.levels import LEVELS
from training.evaluate import BINS, Metrics

# Before mlflow is imported, and only where the user has not set them: no telemetry, and a server
# that does not answer is given up after seconds, not minutes.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")

import mlflow
import mlflow.data.pandas_dataset
import mlflow.sklearn
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from sqlalchemy.exc import SQLAlchemyError

STORE: Final = "sqlite:///mlflow.db"
"""The store without ``MLFLOW_TRACKING_URI``: a file in the working directory."""

EXPERIMENT: Final = "tension-escalation"
"""The experiment without ``MLFLOW_EXPERIMENT_NAME``."""

EXAMPLE: Final = "Moscow warned Seoul of asymmetric retaliation if it arms Kyiv."
SQLITE_PATIENCE: float = 5.0
"""Seconds to wait for a store that another process has locked."""

_SQLITE: Final = "sqlite:///"


class TrackingError(TensionError):
    """The MLflow store cannot be reached, or does not take what is logged."""


class Run:
    """An open run; made by `open_run`.

    Parameters
    ----------
    id : str
        MLflow's id of the run.
    """

    def __init__(self, id: str) -> None:
        self.id = id

    def log_params(self, params: Mapping[str, object]) -> None:
        """Log parameters, by name."""
        mlflow.log_params(dict(params))

    def log_tags(self, tags: Mapping[str, object]) -> None:
        """Log what says where the run comes from, by name."""
        mlflow.set_tags({name: str(value) for name, value in tags.items()})

    def log_metrics(self, part: str, metrics: Metrics) -> None:
        """Log the metrics of a part (``cv``, ``dev``) as ``<part>.<name>``, and its two plots."""
        # Pools and strata come from the data, and MLflow allows fewer characters in a name.
        names = {re.sub(r"[^\w./ -]", "_", f"{part}.{name}"): v for name, v in metrics.items()}
        mlflow.log_metrics(names)
        mlflow.log_figure(confusion_plot(metrics), f"{part}/confusion.png")
        if f"bin.{BINS - 1}.rows" in metrics:
            mlflow.log_figure(reliability_plot(metrics), f"{part}/reliability.png")

    def log_data(self, statements: pd.DataFrame, name: str, digest: str) -> None:
        """Log which statements were used: name, digest and columns, not the statements."""
        dataset = mlflow.data.pandas_dataset.from_pandas(
            statements[["id", "level", "pool", "stratum"]], name=name, digest=digest[:36]
        )
        mlflow.log_input(dataset, context=name)

    def log_level(self, pipeline: Any) -> None:
        """Log the level classifier with signature and input example, in skops format.

        It takes a column ``text`` of masked sentences (`scoring.features.mask`) and gives the
        probabilities of the four levels.
        """
        example = pd.DataFrame({"text": [mask(EXAMPLE, find_mentions(EXAMPLE))]}, dtype=object)
        mlflow.sklearn.log_model(
            pipeline,
            name="level",
            serialization_format="skops",
            skops_trusted_types=sorted(TRUSTED),
            pyfunc_predict_fn="predict_proba",
            signature=infer_signature(example, pipeline.predict_proba(example)),
            input_example=example,
            # Given, so that MLflow does not find them out by loading the model in a process of its
            # own.
            pip_requirements=[f"{name}=={version}" for name, version in libraries().items()],
        )

    def log_folder(self, folder: Path) -> None:
        """Log every file of a model folder as artefacts under ``model``."""
        mlflow.log_artifacts(str(folder), "model")


@contextmanager
def open_run(name: str) -> Iterator[Run]:
    """Open a run in the store, and close it as finished or, if an error leaves the block, failed.

    Parameters
    ----------
    name : str
        Name of the run.

    Yields
    ------
    Run

    Raises
    ------
    TrackingError
        If the store cannot be opened, reached or written; says which and what to do.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or STORE
    for chatty in ("alembic", "mlflow.store.db.utils"):  # a line per table of a new store
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        if uri.startswith(_SQLITE):
            _check_sqlite(uri)
        mlflow.set_tracking_uri(uri)
        mlflow.set_experiment(experiment_id=_experiment(uri))
        with mlflow.start_run(run_name=name) as run:
            yield Run(run.info.run_id)
    except (MlflowException, SQLAlchemyError, sqlite3.Error) as error:
        found = str(error).strip().splitlines()[0][:300]
        message = (
            f"{uri}: expected an MLflow store that answers and can be written, found: {found} "
            "Set MLFLOW_TRACKING_URI to a store that works, or unset it for mlflow.db here."
        )
        raise TrackingError(re.sub(r"//[^/@\s]*@", "//", message)) from error  # no passwords


def _check_sqlite(uri: str) -> None:
    """Fail now, where MLflow would try a store that it cannot open again for minutes."""
    with closing(sqlite3.connect(uri.removeprefix(_SQLITE), timeout=SQLITE_PATIENCE)) as store:
        store.execute("BEGIN IMMEDIATE")
        store.rollback()


def _experiment(uri: str) -> str:
    """Find the experiment or make it; artefacts of an SQLite store lie beside the store."""
    client = mlflow.MlflowClient(uri)
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    if found := client.get_experiment_by_name(name):
        return str(found.experiment_id)
    beside = None
    if uri.startswith(_SQLITE):
        beside = (Path(uri.removeprefix(_SQLITE)).resolve().parent / "mlruns" / name).as_uri()
    return str(client.create_experiment(name, artifact_location=beside))


def confusion_plot(metrics: Metrics) -> Figure:
    """Draw the confusion matrix of `training.evaluate.evaluate`: one row per gold level."""
    counts = np.array([[metrics[f"confusion.{gold}.{p}"] for p in LEVELS] for gold in LEVELS])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = _axes("predicted", "gold")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        colour = "white" if share > 0.5 else "black"
        label = f"{counts[row, column]:.0f}\n{share:.0%}"
        axes.text(column, row, label, ha="center", va="center", color=colour)
    axes.set_xticks(range(len(LEVELS)), LEVELS)
    axes.set_yticks(range(len(LEVELS)), LEVELS)
    return figure


def reliability_plot(metrics: Metrics) -> Figure:
    """Draw confidence against accuracy of the bins of `training.evaluate.evaluate`."""
    filled = [k for k in range(BINS) if metrics[f"bin.{k}.rows"]]
    confidence = [metrics[f"bin.{k}.confidence"] for k in filled]
    accuracy = [metrics[f"bin.{k}.accuracy"] for k in filled]
    figure, axes = _axes("probability of the predicted level", "share that is right")
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    axes.plot(confidence, accuracy, marker="o")
    for k, x, y in zip(filled, confidence, accuracy, strict=True):
        label = f"{metrics[f'bin.{k}.rows']:.0f}"
        axes.annotate(label, (x, y), xytext=(4, -10), textcoords="offset points")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    return figure


def _axes(xlabel: str, ylabel: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(5, 5), layout="constrained")
    FigureCanvasAgg(figure)  # no pyplot: it keeps every figure of the process
    axes = figure.add_subplot(xlabel=xlabel, ylabel=ylabel)
    return figure, axes
