"""Searches in MLflow, one run that holds many: a parent, and a child a trial; and figures that are no evaluation."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import mlflow.data.pandas_dataset
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_PARENT_RUN_ID

from training.tracking.store import (
    experiment_id,
    open_store,
    sqlite_file,
    store_errors,
    store_uri,
)

STUDY_TAG: Final = "study"
"""Tag of a search's runs, parent and children: the name of the study that they belong to."""

TRIAL_TAG: Final = "trial"
"""Tag of a child: the number of its trial in the study."""

_MOST: Final = 1000  # metrics, or as many runs, that MLflow takes or gives in one call


class Search:
    """The parent run of a search; made by `open_search`.

    Parameters
    ----------
    client : mlflow.MlflowClient
        Of the store.
    experiment : str
        MLflow's id of the experiment.
    id : str
        MLflow's id of the parent run.
    study : str
        Name of the study.
    """

    def __init__(self, client: MlflowClient, experiment: str, id: str, study: str) -> None:
        self.id = id
        self._client, self._experiment, self._study = client, experiment, study

    def log(
        self,
        params: Mapping[str, object] | None = None,
        figures: Mapping[str, float] | None = None,
        tags: Mapping[str, object] | None = None,
    ) -> None:
        """Log parameters, figures and tags of the search as a whole."""
        with store_errors():
            _log(self._client, self.id, params or {}, figures or {}, tags or {})

    def log_data(self, statements: pd.DataFrame, name: str, digest: str) -> None:
        """Log which statements were used: name, digest and columns, not the statements."""
        table = statements[["id", "level", "pool", "stratum"]]
        data = mlflow.data.pandas_dataset.from_pandas(table, name=name, digest=digest[:36])
        given = DatasetInput(data._to_mlflow_entity(), [InputTag(MLFLOW_DATASET_CONTEXT, name)])
        with store_errors():
            self._client.log_inputs(self.id, [given])

    def close_dead(self, done: Collection[int]) -> int:
        """Mark as killed the children whose trial was cut off.

        Parameters
        ----------
        done : collection of int
            Numbers of the trials that came to their end.

        Returns
        -------
        int
            How many were marked.
        """
        count = 0
        with store_errors():
            for child in self._children():
                told = child.data.tags.get(TRIAL_TAG, "")
                if child.info.status == "RUNNING" or (
                    child.info.status == "FINISHED" and int(told or -1) not in done
                ):
                    self._client.set_terminated(child.info.run_id, "KILLED")
                    count += 1
        return count

    @contextmanager
    def trial(self, number: int, name: str, params: Mapping[str, object]) -> Iterator[Trial]:
        """Open the child of a trial, and close it as finished or, if an error leaves the block, failed.

        Parameters
        ----------
        number : int
            Of the trial in the study.
        name : str
            For people.
        params : mapping of str to object
            What is tried.

        Yields
        ------
        Trial
        """
        tags = {MLFLOW_PARENT_RUN_ID: self.id, STUDY_TAG: self._study, TRIAL_TAG: str(number)}
        with store_errors():
            run = self._client.create_run(self._experiment, tags=tags, run_name=name)
            _log(self._client, run.info.run_id, params, {}, {})
        with _closing(self._client, run.info.run_id):
            yield Trial(self._client, run.info.run_id)

    def _children(self) -> Iterator[Any]:
        wanted = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{self.id}'"
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment], wanted, max_results=_MOST, page_token=token
            )
            yield from page
            if not (token := page.token):
                return


class Trial:
    """The child run of one trial; made by `Search.trial`.

    Parameters
    ----------
    client : mlflow.MlflowClient
        Of the store.
    id : str
        MLflow's id of the run.
    """

    def __init__(self, client: MlflowClient, id: str) -> None:
        self.id = id
        self._client = client

    def log(self, figures: Mapping[str, float]) -> None:
        """Log figures, by name."""
        with store_errors():
            _log(self._client, self.id, {}, figures, {})


@contextmanager
def open_search(study: str, name: str) -> Iterator[Search]:
    """Open the parent run of a search: that of the study, if it has one already, else a new one.

    It is closed as finished or, if an error leaves the block, failed; opened again, it runs again.

    Parameters
    ----------
    study : str
        Name of the study, which tells the run.
    name : str
        Name of a new run, for people.

    Yields
    ------
    Search

    Raises
    ------
    TrackingError
        If the store cannot be opened, reached or written.
    """
    uri = open_store()
    with store_errors():
        experiment, client = experiment_id(uri), MlflowClient(uri)
        wanted = f"tags.`{STUDY_TAG}` = '{study}'"
        found = client.search_runs([experiment], wanted, order_by=["attributes.start_time ASC"])
        parents = [run for run in found if MLFLOW_PARENT_RUN_ID not in run.data.tags]
        if parents:
            id = parents[0].info.run_id
            client.update_run(id, status="RUNNING")
        else:
            id = client.create_run(experiment, tags={STUDY_TAG: study}, run_name=name).info.run_id
    with _closing(client, id):
        yield Search(client, experiment, id, study)


def beside_store(name: str) -> Path:
    """Name a file beside the store if that is an SQLite file, else in the working directory."""
    file = sqlite_file(store_uri())
    return (file.parent if file else Path()) / name


def log_figures(id: str, figures: Mapping[str, float], texts: Mapping[str, str]) -> None:
    """Log figures and text files to an open run.

    Parameters
    ----------
    id : str
        MLflow's id of the run.
    figures : mapping of str to float
        By name.
    texts : mapping of str to str
        Content by name of the file.

    Raises
    ------
    TrackingError
        If the store does not take them.
    """
    with store_errors():
        client = MlflowClient(store_uri())
        _log(client, id, {}, figures, {})
        for name, content in texts.items():
            client.log_text(id, content, name)


@contextmanager
def _closing(client: MlflowClient, id: str) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        with store_errors():
            client.set_terminated(id, status)
        raise
    with store_errors():
        client.set_terminated(id)


def _log(
    client: MlflowClient,
    id: str,
    params: Mapping[str, object],
    figures: Mapping[str, float],
    tags: Mapping[str, object],
) -> None:
    now = int(time.time() * 1000)
    metrics = [Metric(name, value, now, 0) for name, value in figures.items()]
    given = [Param(name, str(value)) for name, value in params.items()]
    marks = [RunTag(name, str(value)) for name, value in tags.items()]
    client.log_batch(id, metrics[:_MOST], given, marks)
    for start in range(_MOST, len(metrics), _MOST):
        client.log_batch(id, metrics[start : start + _MOST])
