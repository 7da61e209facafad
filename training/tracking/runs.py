"""Runs in MLflow: what was trained, on what, how well, in which environment, and the model."""

from __future__ import annotations

import platform
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, distributions, requires, version
from pathlib import Path
from typing import Any, Final

import mlflow
import mlflow.data.pandas_dataset
import mlflow.sklearn
import pandas as pd
from mlflow.entities import RunStatus
from mlflow.models import infer_signature
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE
from packaging.requirements import Requirement

import scoring
from scoring.actors import find_mentions
from scoring.artifact import ENCODER_FILE, MANIFEST_FILE, TRUSTED, libraries, whole_copy
from scoring.features import mask
from training import served
from training.card import CARD_FILE, METRICS_FILE
from training.evaluate import Metrics
from training.tracking.plots import plots
from training.tracking.store import FAILURES, experiment_id, open_store, store_errors

EXAMPLE: Final = "Moscow warned Seoul of asymmetric retaliation if it arms Kyiv."
SERVED_EXAMPLE: Final = {"article_id": "1", "published": "2026-01-15T09:00:00Z", "text": EXAMPLE}
MOST_NOTE: Final = 7_500
"""Characters of the card that go into the description of the run: MLflow cuts at 8,000, anywhere."""

SERVED: Final = "served"
"""Name of the served model within a run."""

MODEL_TAG: Final = "model.uri"
"""Tag of a run that tells the URI of its served model."""


class Run:
    """An open run; made by `open_run`.

    Parameters
    ----------
    id : str
        MLflow's id of the run.
    """

    def __init__(self, id: str) -> None:
        self.id = id

    @store_errors()
    def log_params(self, params: Mapping[str, object]) -> None:
        """Log parameters, by name."""
        mlflow.log_params(dict(params))

    @store_errors()
    def log_tags(self, tags: Mapping[str, object]) -> None:
        """Log what says where the run comes from, by name."""
        mlflow.set_tags({name: str(value) for name, value in tags.items()})

    @store_errors()
    def log_environment(self) -> None:
        """Log Python's version and the platform as tags, and what is installed as ``requirements.txt``."""
        mlflow.set_tags({"python": platform.python_version(), "platform": platform.platform()})
        mlflow.log_text("".join(f"{line}\n" for line in installed()), "requirements.txt")

    @store_errors()
    def log_metrics(self, part: str, metrics: Metrics) -> None:
        """Log the metrics of a part (``cv``, ``dev``) as ``<part>.<name>``, and its plots."""
        # Pools and strata come from the data, and MLflow allows fewer characters in a name.
        names = {re.sub(r"[^\w./ -]", "_", f"{part}.{name}"): v for name, v in metrics.items()}
        mlflow.log_metrics(names)
        for name, figure in plots(metrics).items():
            mlflow.log_figure(figure, f"{part}/{name}.png")

    @store_errors()
    def log_data(self, statements: pd.DataFrame, name: str, digest: str) -> None:
        """Log which statements were used: name, digest and columns, not the statements."""
        dataset = mlflow.data.pandas_dataset.from_pandas(
            statements[["id", "level", "pool", "stratum"]], name=name, digest=digest[:36]
        )
        mlflow.log_input(dataset, context=name)

    @store_errors()
    def log_level(self, pipeline: Any) -> None:
        """Log the level classifier alone, with signature and input example, in skops format.

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

    @store_errors()
    def log_card(self, folder: Path) -> None:
        """Log card and metrics of a model folder as artefacts, and the card's main parts as description."""
        for name in (CARD_FILE, METRICS_FILE):
            mlflow.log_artifact(str(folder / name))
        mlflow.set_tag(MLFLOW_RUN_NOTE, note((folder / CARD_FILE).read_text(encoding="utf-8")))

    def log_served(self, folder: Path) -> str:
        """Log the served model; see `log_served`."""
        return log_served(folder)


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
    uri = open_store()
    with store_errors():
        mlflow.set_experiment(experiment_id=experiment_id(uri))
        run = mlflow.start_run(run_name=name)
    try:
        yield Run(run.info.run_id)
    except BaseException as error:
        with suppress(*FAILURES):  # it may be the store that failed
            mlflow.end_run(RunStatus.to_string(RunStatus.FAILED))
        if isinstance(error, FAILURES):
            with store_errors():
                raise
        raise
    with store_errors():
        mlflow.end_run()


@store_errors()
def log_served(folder: Path) -> str:
    """Log a model folder as a served model (`training.served`) of the open run.

    With signature and input example; what it needs is listed, and the package `scoring` as it is here goes along, so
    that the model also runs where the package is not installed. The run's tag `MODEL_TAG` tells the URI.

    Parameters
    ----------
    folder : Path
        A model folder.

    Returns
    -------
    str
        URI of the model, ``models:/m-...``.

    Raises
    ------
    TrackingError
        If the store does not take it.
    """
    with tempfile.TemporaryDirectory() as scratch:
        whole = whole_copy(folder, Path(scratch) / served.ARTIFACT)
        package = shutil.copytree(
            Path(scoring.__file__).parent,
            Path(scratch) / scoring.__name__,
            ignore=shutil.ignore_patterns("__pycache__", "models"),  # of an installed package
        )
        info = mlflow.pyfunc.log_model(
            name=SERVED,
            python_model=served.__file__,
            artifacts={served.ARTIFACT: str(whole)},
            code_paths=[str(package)],
            signature=served.signature(),
            input_example=pd.DataFrame([SERVED_EXAMPLE], dtype=object),
            pip_requirements=requirements(accurate=(whole / ENCODER_FILE).is_file()),
            metadata={"manifest": MANIFEST_FILE, "folder": f"artifacts/{served.ARTIFACT}"},
        )
    mlflow.set_tag(MODEL_TAG, info.model_uri)
    return str(info.model_uri)


def requirements(*, accurate: bool) -> list[str]:
    """List what a served model needs, as installed here: ``name==version``.

    Parameters
    ----------
    accurate : bool
        Also what the accurate tier needs.
    """
    extras = ("", "encoder") if accurate else ("",)
    try:
        declared = [Requirement(line) for line in requires("tension-escalation") or ()]
    except PackageNotFoundError:  # a bare checkout: the least that a model folder asks for
        declared = [Requirement(name) for name in ("mmh3", "pandas", "pyarrow", *libraries())]
    names = {
        wanted.name
        for wanted in declared
        if wanted.marker is None or any(wanted.marker.evaluate({"extra": e}) for e in extras)
    }
    return [f"{name}=={version(name)}" for name in sorted(names | {"mlflow"})]


def installed() -> list[str]:
    """List all that is installed, as ``name==version``, in order."""
    found = {str(d.metadata["Name"]).lower().replace("_", "-"): d.version for d in distributions()}
    return sorted(f"{name}=={version}" for name, version in found.items())


def note(card: str) -> str:
    """Take of a card what fits into the description of a run: whole sections, the first ones first.

    Parameters
    ----------
    card : str
        Markdown with sections ``##``.

    Returns
    -------
    str
        At most `MOST_NOTE` characters; says how many sections are left to the artefact.
    """
    head, *sections = re.split(r"(?m)^(?=## )", card)
    kept, left = head, 0
    for section in sections:
        if len(kept) + len(section) + 100 <= MOST_NOTE:
            kept += section
        else:
            left += 1
    if not left:
        return kept
    return f"{kept}\n{left} more section{'s' * (left > 1)}: artefact `{CARD_FILE}`.\n"
