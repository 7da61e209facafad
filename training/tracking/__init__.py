"""All that speaks to MLflow: the store, runs, the registry. No other module but the served model imports it."""

from training.tracking.plots import (
    confusion_plot,
    f1_plot,
    level_reliability_plot,
    plots,
    reliability_plot,
)
from training.tracking.runs import Run, log_served, open_run
from training.tracking.store import (
    EXPERIMENT,
    STORE,
    TrackingError,
    open_store,
    shown_uri,
    store_errors,
    store_uri,
)

__all__ = [
    "EXPERIMENT",
    "STORE",
    "Run",
    "TrackingError",
    "confusion_plot",
    "f1_plot",
    "level_reliability_plot",
    "log_served",
    "open_run",
    "open_store",
    "plots",
    "reliability_plot",
    "shown_uri",
    "store_errors",
    "store_uri",
]
