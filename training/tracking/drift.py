"""A comparison of two scored feeds in MLflow: one run, its figures as metrics, all of it as JSON."""

from __future__ import annotations

from training.drift import Report
from training.tracking.runs import open_run

import mlflow  # isort: skip - behind runs, which sets the environment that it reads


def log_drift(report: Report) -> str:
    """Log a comparison as a run of its own.

    Parameters
    ----------
    report : Report
        From `training.drift.compare`.

    Returns
    -------
    str
        Id of the run. Its metrics are ``<figure>.reference``, ``.new``, ``.change``, ``.chance``, ``.effect``, ``.p``
        (corrected) and ``.moved`` (0 or 1), and ``moved``, how many did; ``drift.json`` holds the report.

    Raises
    ------
    training.tracking.TrackingError
        If the store cannot be reached or written.
    """
    metrics = {"moved": float(len(report.moved))}
    for figure in report.figures:
        values = {
            "reference": figure.reference,
            "new": figure.new,
            "change": figure.change,
            "chance": figure.chance,
            "effect": figure.effect,
            "p": figure.p_holm,
            "moved": float(figure.verdict == "moved"),
        }
        metrics |= {f"{figure.name}.{k}": v for k, v in values.items() if v is not None}
    with open_run("drift") as run:
        run.log_params({**report.settings, "model": report.model})
        run.log_tags(
            {
                f"{side}.{key}": part[key]
                for side, part in (("reference", report.reference), ("new", report.new))
                for key in ("name", "digest", "articles")
            }
        )
        mlflow.log_metrics(metrics)
        mlflow.log_dict(report.asdict(), "drift.json")
        return run.id
