"""Two models on the same labelled statements: which is better, where, and on which statements they differ.

The paired bootstrap (Efron and Tibshirani 1993, chapter 16): statements are drawn with replacement, the same for both
models, and the difference of a figure is taken in each draw. What is hard for both cancels out, so a difference shows
that the intervals of the two figures by themselves would hide.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from scoring import artifact
from scoring.errors import TensionError
from scoring.levels import CODE, LEVELS, PROBABILITIES
from training import seen
from training.dataset import DataError, digest
from training.evaluate import (
    INTERVAL,
    LEAST,
    RESAMPLES,
    SLICES,
    Array,
    Predictions,
    metrics,
    statistics,
    sums,
    weights,
)
from training.train import predict

FIGURES: Final[dict[str, int]] = (
    dict.fromkeys(("macro_f1", "kappa", "any.f1"), 1)
    | dict.fromkeys(("ece", "log_loss", "brier"), -1)
    | dict.fromkeys((f"{level}.f1" for level in LEVELS), 1)
    | dict.fromkeys(("triples.f1", "pairs.f1"), 1)
)
"""What is compared on all rows; 1 if more is better, -1 if less is."""

PART: Final = "accuracy"
"""Share of the right level: defined, and steady, in parts with few rows or of one level."""

PART_FIGURES: Final = (PART, "macro_f1", "any.f1", "triples.f1")
"""What is compared on each gold level, pool and stratum, as far as it is defined there."""

HEADLINE: Final = "macro_f1"
"""The figure by which a model is called the better one."""

_LEAST_CHANCE: Final = 1e-3  # below it, no less likely: one sure mistake is not to hide the others

Say = Callable[[str], None]


class SideError(TensionError):
    """One of the two models cannot be loaded; says which."""


@dataclass(frozen=True)
class Side:
    """One of the two that are compared.

    Parameters
    ----------
    folder : Path
        Of the model.
    tier : str
        ``fast`` or ``accurate``.
    model : scoring.artifact.Model
        Loaded.
    given : str
        As the user named it.
    """

    folder: Path
    tier: str
    model: artifact.Model
    given: str

    @property
    def version(self) -> str:
        """Version of the model."""
        return str(self.model.manifest["version"])

    def is_same(self, other: Side) -> bool:
        """Whether both are one tier of one model, wherever it lies."""
        marks = ("sha256", "encoder", "scout") if self.tier != "fast" else ("sha256",)
        mine, others = self.model.manifest, other.model.manifest
        kept = (*marks, "review_below", "dyad_at_least", "accurate")
        return self.tier == other.tier and all(mine.get(key) == others.get(key) for key in kept)


@dataclass(frozen=True)
class Difference:
    """A figure of both models, and how much better B is.

    Parameters
    ----------
    a, b : float
        The figure of A and of B.
    gain : float
        By how much B is better: b - a, or a - b where less is better.
    low, high : float
        Percentile interval of 95% of `gain`, over the draws in which it is defined.
    better : float
        Share of the draws in which B is better; a tie counts half.
    """

    a: float
    b: float
    gain: float
    low: float
    high: float
    better: float

    @property
    def winner(self) -> str | None:
        """``a`` or ``b``, whichever is better beyond noise; None if that is not certain."""
        return "b" if self.low > 0 else "a" if self.high < 0 else None


@dataclass(frozen=True)
class Comparison:
    """What came out.

    Parameters
    ----------
    a, b : Side
        What was compared.
    rows : int
        Statements.
    digest : str
        Of the statements (`training.dataset.digest`).
    left_out : int
        Statements left out because one of the models was trained on them.
    all : dict of str to Difference
        By figure (`FIGURES`), of all rows.
    parts : dict of str to dict of str to (int, dict of str to Difference)
        By ``level`` (of the gold), ``pool`` and ``stratum``, then by its name: number of rows, and differences by
        figure (`PART_FIGURES`).
    statements : list of dict
        Those on which the levels or the dyads differ, most telling first.
    """

    a: Side
    b: Side
    rows: int
    digest: str
    left_out: int
    all: dict[str, Difference]
    parts: dict[str, dict[str, tuple[int, dict[str, Difference]]]]
    statements: list[dict[str, Any]] = field(repr=False)

    @property
    def winner(self) -> str | None:
        """``a`` or ``b``, whichever has the higher macro-F1 beyond noise; None if neither, or of too few rows."""
        return self.all[HEADLINE].winner if self.rows >= LEAST else None


def load(given: str | Path, tier: str, name: str, scratch: Path | None = None) -> Side:
    """Load one of the two models.

    Parameters
    ----------
    given : str or Path
        Folder of a model; with `scratch` also what `training.tracking.registry.fetch` finds.
    tier : str
        ``fast`` or ``accurate``.
    name : str
        ``A`` or ``B``, for messages.
    scratch : Path, optional
        Folder to download into.

    Returns
    -------
    Side

    Raises
    ------
    SideError
        If the model cannot be loaded; says which of the two, and why.
    """
    try:
        folder = Path(given)
        if scratch is not None and not folder.is_dir():
            from training.tracking import registry  # MLflow, which takes long to load

            folder = registry.fetch(str(given), scratch / name)
        return Side(folder, tier, artifact.load(folder), str(given))
    except TensionError as error:
        raise SideError(f"{name} does not load: {error}") from error


def compare(
    a: Side,
    b: Side,
    statements: pd.DataFrame,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    say: Say = lambda _: None,
) -> Comparison:
    """Compare two models on labelled statements.

    Parameters
    ----------
    a, b : Side
        From `load`.
    statements : pandas.DataFrame
        From `training.dataset.read`. Those that either model was trained on, as far as its folder says, are left
        out.
    seed : int, optional
        Seed of the draws.
    resamples : int, optional
        How many draws.
    say : callable, optional
        Called with a line on each step that takes long.

    Returns
    -------
    Comparison

    Raises
    ------
    DataError
        If no statement is left that neither model was trained on.
    scoring.errors.TierMissing
        If a model lacks the tier.
    """
    left, known = unseen(
        statements, [seen.read(side.folder, side.model.manifest).ids for side in (a, b)]
    )
    if known:
        say(f"left out {known:,} statements that one of the models was trained on")

    def score(side: Side) -> Predictions:
        say(f"scoring {len(left):,} statements with {side.version}, {side.tier} tier")
        return predict(side.model, left, side.tier)

    by_a, by_b = score(a), score(b)
    told = differences(left, by_a, by_b, seed, resamples)
    by_part = {by: _parts(left, by, (by_a, by_b), seed, resamples) for by in ("level", *SLICES)}
    listed = differing(left, by_a, by_b)
    return Comparison(a, b, len(left), digest(left), known, told, by_part, listed)


def unseen(
    statements: pd.DataFrame, trained_on: Sequence[Collection[str] | None]
) -> tuple[pd.DataFrame, int]:
    """Leave out the statements that one of the models was trained on.

    Parameters
    ----------
    statements : pandas.DataFrame
        With a column ``id``.
    trained_on : sequence of collection of str, or None
        Ids of the statements of each model; None if it does not say.

    Returns
    -------
    statements : pandas.DataFrame
        The others, index 0..n-1.
    left_out : int
        How many were left out.

    Raises
    ------
    DataError
        If none is left.
    """
    known = {id_ for ids in trained_on for id_ in ids or ()}
    marks = statements["id"].isin(known)
    if marks.all():
        raise DataError(
            "--data",
            f"expected statements that neither model was trained on, found none among {len(statements):,}.",
            "Give statements that were held out.",
        )
    return statements[~marks].reset_index(drop=True), int(marks.sum())


def differences(
    gold: pd.DataFrame,
    a: Predictions,
    b: Predictions,
    seed: int = 0,
    resamples: int = RESAMPLES,
    figures: Collection[str] = tuple(FIGURES),
) -> dict[str, Difference]:
    """Take the differences of two methods' figures, with the paired bootstrap.

    Parameters
    ----------
    gold : pandas.DataFrame
        Columns ``level`` and ``dyads``.
    a, b : Predictions
        Of the same rows.
    seed : int, optional
        Seed of the draws.
    resamples : int, optional
        How many draws.
    figures : collection of str, optional
        Of `training.evaluate.evaluate`.

    Returns
    -------
    dict of str to Difference
        By figure; those that are undefined of either are left out.
    """
    rows_of = [statistics(gold, predicted) for predicted in (a, b)]
    n = len(gold)
    whole = [metrics(sums(side, np.ones((1, n)))) for side in rows_of]
    drawn = [
        [metrics(sums(side, block)) for side in rows_of]
        for block in weights(n, np.random.default_rng(seed), resamples)
    ]
    out = {}
    for name in figures:
        one, other = (float(side[name][0]) for side in whole)
        if np.isnan(one + other):
            continue
        of_a, of_b = (np.concatenate([block[side][name] for block in drawn]) for side in (0, 1))
        out[name] = _difference(one, other, of_a, of_b, FIGURES.get(name, 1))
    return out


def _difference(a: float, b: float, a_drawn: Array, b_drawn: Array, sign: int) -> Difference:
    gains = sign * (b_drawn - a_drawn)
    gains = gains[~np.isnan(gains)]
    low, high = map(float, np.quantile(gains, INTERVAL))
    better = float((gains > 0).mean() + (gains == 0).mean() / 2)
    return Difference(a, b, sign * (b - a), low, high, better)


def _parts(
    gold: pd.DataFrame,
    by: str,
    predicted: tuple[Predictions, Predictions],
    seed: int,
    resamples: int,
) -> dict[str, tuple[int, dict[str, Difference]]]:
    names = (
        [level for level in LEVELS if (gold[by] == level).any()]
        if by == "level"
        else sorted(gold[by].unique())
    )
    out = {}
    for name in names:
        rows = (gold[by] == name).to_numpy()
        a, b = (side.take(rows) for side in predicted)
        out[name] = int(rows.sum()), differences(gold[rows], a, b, seed, resamples, PART_FIGURES)
    return out


def differing(gold: pd.DataFrame, a: Predictions, b: Predictions) -> list[dict[str, Any]]:
    """List the statements of which two methods say different things, most telling first.

    First those whose levels differ: the more so, the more the odds that the two give to the gold level differ, for they
    tell most of which one is better. Then those whose level is the same and whose dyads differ.

    Parameters
    ----------
    gold : pandas.DataFrame
        From `training.dataset.read`.
    a, b : Predictions
        Of the same rows, with probabilities.

    Returns
    -------
    list of dict
        ``id``, ``text``, ``pool``, ``stratum``, ``gold`` (level), ``dyads``, ``differs`` (``level`` or ``dyads``),
        ``right`` (``a``, ``b`` or None) and, under ``a`` and ``b``, ``level``, ``probability`` (of that level),
        ``probabilities`` and ``dyads``.
    """
    truth = gold["level"].map(CODE).to_numpy(dtype=np.int64)
    at = np.arange(len(gold))
    chances = [np.maximum(side.probability[at, truth], _LEAST_CHANCE) for side in (a, b)]
    telling = np.abs(np.log(chances[1] / chances[0]))
    apart = a.level != b.level
    other = np.array(
        [x != y for x, y in zip(a.dyads or (), b.dyads or (), strict=True)], dtype=bool
    )
    rows = np.flatnonzero(apart | other) if len(other) else np.flatnonzero(apart)
    order = sorted(rows.tolist(), key=lambda row: (not apart[row], -telling[row], row))
    return [_listed(gold.iloc[row], row, int(truth[row]), a, b) for row in order]


def _listed(
    statement: pd.Series[Any], row: int, truth: int, a: Predictions, b: Predictions
) -> dict[str, Any]:
    right = [name for name, side in (("a", a), ("b", b)) if side.level[row] == truth]
    return {
        "id": statement["id"],
        "text": statement["text"],
        "pool": statement["pool"],
        "stratum": statement["stratum"],
        "gold": statement["level"],
        "dyads": [list(dyad) for dyad in statement["dyads"]],
        "differs": "level" if a.level[row] != b.level[row] else "dyads",
        "right": right[0] if len(right) == 1 else None,
        "a": _said(a, row),
        "b": _said(b, row),
    }


def _said(side: Predictions, row: int) -> dict[str, Any]:
    level = int(side.level[row])
    return {
        "level": LEVELS[level],
        "probability": float(side.probability[row, level]),
        "probabilities": dict(zip(PROBABILITIES, map(float, side.probability[row]), strict=True)),
        "dyads": sorted(map(list, side.dyads[row])) if side.dyads is not None else [],
    }


def as_dict(found: Comparison, *, texts: bool = True) -> dict[str, Any]:
    """Return everything as plain data for JSON.

    Parameters
    ----------
    found : Comparison
        From `compare`.
    texts : bool, optional
        False leaves the texts out, which may be others' property.
    """

    def side(given: Side) -> dict[str, str]:
        return {"model": given.given, "version": given.version, "tier": given.tier}

    def told(figures: Mapping[str, Difference]) -> dict[str, Any]:
        return {name: vars(one) | {"winner": one.winner} for name, one in figures.items()}

    return {
        "a": side(found.a),
        "b": side(found.b),
        "same": False,
        "rows": found.rows,
        "digest": found.digest,
        "left_out": found.left_out,
        "winner": found.winner,
        "all": told(found.all),
        "parts": {
            by: {name: {"rows": n} | told(figures) for name, (n, figures) in parts.items()}
            for by, parts in found.parts.items()
        },
        "statements": [
            {key: value for key, value in one.items() if texts or key != "text"}
            for one in found.statements
        ],
    }


def log(found: Comparison, statements: pd.DataFrame, seed: int) -> str:
    """Log a comparison to MLflow: figures, and the statements by id, without their texts.

    Parameters
    ----------
    found : Comparison
        From `compare`.
    statements : pandas.DataFrame
        That it was made on.
    seed : int
        That it was made with.

    Returns
    -------
    str
        MLflow's id of the run.

    Raises
    ------
    TrackingError
        If the store does not work.
    """
    from training import tracking
    from training.tracking.nested import log_figures

    names = [f"{side.version}+{side.tier}" for side in (found.a, found.b)]
    figures = {
        f"{name}.{key}": float(value)
        for name, one in found.all.items()
        for key, value in vars(one).items()
    }
    with tracking.open_run(f"compare {names[0]} {names[1]}") as run:
        run.log_params({"a": names[0], "b": names[1], "rows": found.rows, "seed": seed})
        run.log_tags({"winner": found.winner, "dev.digest": found.digest})
        run.log_data(statements, "compare", found.digest)
        content = json.dumps(as_dict(found, texts=False), indent=1, allow_nan=False)
        log_figures(run.id, figures, {"comparison.json": content})
    return run.id
