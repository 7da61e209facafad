"""Studies beside a training run: what a new publisher will see, and what each part of the data is worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
from joblib import Parallel, delayed

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
        Told what is done.

    Returns
    -------
    dict of str to Metrics
        By pool, those of `LEAST` statements or more.
    """

    def alone(pool: str) -> Metrics:
        inside = statements["pool"] == pool
        rest, held = (statements[rows].reset_index(drop=True) for rows in (~inside, inside))
        rest, _ = apart(rest, held)
        return measure(fit(rest, None), held)

    sizes = statements["pool"].value_counts().drop(OWN, errors="ignore").sort_index()
    pools = [str(pool) for pool, size in sizes.items() if size >= LEAST]
    say(f"training without {', '.join(pools)} in turn")
    return dict(zip(pools, Parallel(n_jobs=-1)(map(delayed(alone), pools)), strict=True))


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
        Told what is done.

    Returns
    -------
    dict of str to dict
        By name: ``what`` (str), ``rows`` (int) and ``dev`` (Metrics).
    """

    def tried(what: str, rows: pd.DataFrame, labels: pd.DataFrame | None) -> dict[str, Any]:
        number = len(rows) + (0 if labels is None else len(labels))
        return {"what": what, "rows": number, "dev": measure(fit(rows, labels), held)}

    levels = statements["level"].nunique()
    parts = [p for p in _parts(statements, soft, coders) if p[2]["level"].nunique() == levels]
    say(f"training on {', '.join(what for _, what, *_ in parts)}")
    found = Parallel(n_jobs=-1)(
        delayed(tried)(what, rows, labels) for _, what, rows, labels in parts
    )
    return dict(zip((name for name, *_ in parts), found, strict=True))


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
