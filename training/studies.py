"""Studies beside a training run: what a new publisher will see, and what each part of the data is worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd

from scoring.artifact import Model
from training.dataset import apart
from training.evaluate import Metrics
from training.pipeline import OWN

Fit = Callable[[pd.DataFrame, pd.DataFrame | None], Model]
"""Fits a model on statements and, unless None, a teacher's labels."""

Measure = Callable[[Model, pd.DataFrame], Metrics]
Say = Callable[[str], None]

LEAST = 100
"""Statements of a pool that are worth a figure of their own."""

_TEAM = "team"


def cross_pool(
    statements: pd.DataFrame, fit: Fit, measure: Measure, say: Say
) -> dict[str, Metrics]:
    """Train without each pool in turn, and test on it.

    Statements of other pools that come near one of it are left out too, and so are a teacher's labels: the
    teacher knew the pool.

    Parameters
    ----------
    statements : pandas.DataFrame
        From `training.dataset.read`.
    fit, measure : callable
        Statements to a model; model and statements to metrics.
    say : callable
        Told which pool it is at.

    Returns
    -------
    dict of str to Metrics
        By pool, those of `LEAST` statements or more.
    """
    out = {}
    for pool, size in statements["pool"].value_counts().sort_index().items():
        if pool == OWN or size < LEAST:
            continue
        say(f"training without {pool}")
        inside = statements["pool"] == pool
        rest, held = (statements[rows].reset_index(drop=True) for rows in (~inside, inside))
        rest, _ = apart(rest, held)
        out[str(pool)] = measure(fit(rest, None), held)
    return out


def ablation(
    statements: pd.DataFrame,
    soft: pd.DataFrame | None,
    coders: pd.Series[str],
    held: pd.DataFrame,
    fit: Fit,
    measure: Measure,
    say: Say,
) -> dict[str, Any]:
    """Train without each part of the data in turn, and test on held-out statements.

    Parameters
    ----------
    statements : pandas.DataFrame
        From `training.dataset.read`.
    soft : pandas.DataFrame or None
        A teacher's labels.
    coders : pandas.Series of str
        Who coded each real statement, by id.
    held : pandas.DataFrame
        Held-out statements.
    fit, measure : callable
        As of `cross_pool`.
    say : callable
        Told which part it is at.

    Returns
    -------
    dict of str to dict
        By name: ``what`` (str), ``rows`` (int) and ``dev`` (Metrics).
    """
    out: dict[str, Any] = {}
    for name, what, rows, labels in _parts(statements, soft, coders):
        if len(rows) == 0 or rows["level"].nunique() < statements["level"].nunique():
            continue
        say(f"training on {what}")
        number = len(rows) + (0 if labels is None else len(labels))
        out[name] = {"what": what, "rows": number, "dev": measure(fit(rows, labels), held)}
    return out


def _parts(
    statements: pd.DataFrame, soft: pd.DataFrame | None, coders: pd.Series[str]
) -> Iterator[tuple[str, str, pd.DataFrame, pd.DataFrame | None]]:
    own = statements["pool"] == OWN
    team = statements["id"].map(coders) == _TEAM

    def only(rows: pd.Series[bool]) -> pd.DataFrame:
        return statements[rows].reset_index(drop=True)

    yield "all", "everything", statements, soft
    if soft is not None:
        yield "no teacher", "everything but the teacher's labels", statements, None
    yield "no own", "everything but our own statements and the teacher's labels", only(~own), None
    yield "no team", "everything but the team's labels and the teacher's", only(~team), None
    yield "own", "our own statements alone", only(own), None
