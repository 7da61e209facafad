"""All that speaks to MLflow: the store, runs, the registry. No other module but the served model imports it."""

from training.tracking.runs import (
    EXPERIMENT,
    STORE,
    Run,
    TrackingError,
    confusion_plot,
    open_run,
    reliability_plot,
)

__all__ = [
    "EXPERIMENT",
    "STORE",
    "Run",
    "TrackingError",
    "confusion_plot",
    "open_run",
    "reliability_plot",
]
