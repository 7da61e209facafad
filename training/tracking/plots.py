"""Pictures of the metrics of `training.evaluate.evaluate`: matplotlib figures that belong to nobody's pyplot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from scoring.levels import LEVELS
from training.evaluate import BINS, SLICES, Metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST_ROWS: Final = 20
"""Statements of a pool or stratum that is drawn: of fewer, the interval is all that there is."""

_INCH: Final = 0.24
"""Height of a row of a plot of many rows."""


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
    figure, axes = _axes("probability of the predicted level", "share that is right")
    rows = _bins(axes, metrics, "", None)
    for x, y, count in rows:
        axes.annotate(f"{count:.0f}", (x, y), xytext=(4, -10), textcoords="offset points")
    return figure


def level_reliability_plot(metrics: Metrics) -> Figure:
    """Draw, of each level, its probability against how often it is the gold level."""
    figure, axes = _axes("probability of the level", "share that is of it")
    for level in LEVELS:
        _bins(axes, metrics, f"{level}.", level)
    axes.legend()
    return figure


def f1_plot(metrics: Metrics) -> Figure:
    """Draw F1 of each level, macro-F1 of all rows and of each pool and stratum not tiny, with intervals."""
    names = {f"{level}.f1": level for level in LEVELS} | {"macro_f1": "all levels (macro)"}
    for by in SLICES:
        for key in metrics:
            part = key.removesuffix(".macro_f1")
            if part != key and key.startswith(f"{by}.") and metrics[f"{part}.rows"] >= LEAST_ROWS:
                names[key] = f"{by} {part.removeprefix(f'{by}.')}"
    shown = [name for name in names if f"{name}.low" in metrics]
    figure, axes = _axes("F1", "", (6, 1 + _INCH * len(shown)))
    for row, name in enumerate(shown):
        axes.hlines(row, metrics[f"{name}.low"], metrics[f"{name}.high"], color="tab:blue")
    axes.plot([metrics[name] for name in shown], range(len(shown)), "o", color="tab:blue")
    axes.set_yticks(range(len(shown)), [names[name] for name in shown])
    axes.set(xlim=(0, 1))
    axes.invert_yaxis()
    return figure


def plots(metrics: Metrics) -> dict[str, Figure]:
    """Draw every plot for which the metrics have the figures, by name."""
    out = {"confusion": confusion_plot(metrics), "f1": f1_plot(metrics)}
    if f"bin.{BINS - 1}.rows" in metrics:  # not of a method without probabilities
        out["reliability"] = reliability_plot(metrics)
        out["reliability_by_level"] = level_reliability_plot(metrics)
    return out


def _bins(
    axes: Any, metrics: Metrics, prefix: str, label: str | None
) -> list[tuple[float, float, float]]:
    """Draw the bins that hold rows, and the diagonal; give their (confidence, accuracy, rows)."""
    bins = [f"{prefix}bin.{k}" for k in range(BINS) if metrics[f"{prefix}bin.{k}.rows"]]
    rows = [
        (metrics[f"{name}.confidence"], metrics[f"{name}.accuracy"], metrics[f"{name}.rows"])
        for name in bins
    ]
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    axes.plot([x for x, _, _ in rows], [y for _, y, _ in rows], marker="o", label=label)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    return rows


def _axes(xlabel: str, ylabel: str, size: tuple[float, float] = (5, 5)) -> tuple[Figure, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)  # no pyplot: it keeps every figure of the process
    axes = figure.add_subplot(xlabel=xlabel, ylabel=ylabel)
    return figure, axes
