"""What the queue is worth: labels hidden and uncovered batch by batch, by the queue, by doubt alone, at random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits

from scoring.errors import UsageError
from scoring.levels import CODE, LEVELS, PROBABILITIES
from training.dataset import groups
from training.pipeline import Params, level_pipeline, mask_all
from training.review.codes import Row
from training.review.pick import Known, Traits, choose, traits

WAYS: Final = ("queue", "uncertain", "random")
"""Ways to choose what is labelled next: `pick.choose`, the smallest margin, chance."""

RESAMPLES: Final = 1000
_BITS: Final = 16  # of the features: a light model, as some hundred are fitted
_CODES: Final = list(range(len(LEVELS)))

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


class Plan(NamedTuple):
    """What is simulated.

    Parameters
    ----------
    start, batch, until : int
        Labels at first, at random; labels added at a time; labels in the end.
    folds, seeds : int
        Parts, of which each is the test once; how often that is done, parted and drawn anew.
    """

    start: int = 300
    batch: int = 150
    until: int = 1800
    folds: int = 5
    seeds: int = 2

    def sizes(self) -> list[int]:
        """Return the numbers of labels at which a model is trained."""
        return [*range(self.start, self.until + 1, self.batch)]


class _Data(NamedTuple):
    counts: csr_matrix
    levels: Rows
    weights: Array
    groups: Rows
    of: Traits
    publishers: list[str]


def study(
    statements: pd.DataFrame,
    plan: Plan,
    misses: Sequence[Row] = (),
    seed: int = 0,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Simulate labelling in each way, and compare.

    In every fold a model is trained on `start` labels drawn at random, the same for all ways; then each way adds
    batches from the other statements not tested on, with a model trained anew after each. Of the queue there is
    no second model, so that reason is idle.

    Parameters
    ----------
    statements : pandas.DataFrame
        From `training.dataset.read`.
    plan : Plan
        What is simulated.
    misses : sequence of dict, optional
        Past misses, for the queue.
    seed : int, optional
        Seed of all that is drawn.
    told : callable, optional
        Told how many of all simulations are done.

    Returns
    -------
    dict
        ``labels`` (list of int); by way its ``curve`` of macro-F1 on the statements tested on (mean over folds and
        seeds); ``target``, that of chance in the end; and for each other way ``labels`` with which it is reached, read
        off the straight line between two sizes and null if it is not, ``saving`` (share of labels saved), with
        ``saving.low`` and ``.high`` (percentiles of resampled runs, 95%; not reached counts as 0), ``reached`` (share
        of the resamples that reach it) and ``gain``, its macro-F1 less that of chance in the end, with interval.

    Raises
    ------
    UsageError
        If there are fewer statements than the plan needs.
    """
    fewest = int(len(statements) * (plan.folds - 1) / plan.folds)
    sizes = plan.sizes()
    if len(sizes) < 2 or plan.until > fewest:
        raise UsageError(
            f"expected --until between {plan.start + plan.batch:,} and the {fewest:,} statements that a fold leaves "
            f"to learn from, found {plan.until:,}. Give more --data, or a smaller --start, --batch and --until."
        )
    data = _data(statements, misses)
    if np.bincount(data.levels, minlength=len(LEVELS)).min() < plan.folds:
        raise UsageError(f"expected {plan.folds} statements or more of every level, found fewer.")
    curves: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    done, total = 0, plan.seeds * plan.folds * len(WAYS)
    for turn in range(plan.seeds):
        parts = StratifiedGroupKFold(plan.folds, shuffle=True, random_state=seed + turn)
        for fold, (train, test) in enumerate(parts.split(data.levels, data.levels, data.groups)):
            for way in WAYS:
                rng = np.random.default_rng([seed, turn, fold])
                with threadpool_limits(1):  # the fits are too small to share
                    curves[way].append(_run(data, train, test, way, plan, rng))
                done += 1
                told(done, total)
    return _compared({way: np.array(runs) for way, runs in curves.items()}, sizes, seed)


def _data(statements: pd.DataFrame, misses: Sequence[Row]) -> _Data:
    params = Params(level_bits=_BITS)
    features = level_pipeline(params)[0]
    levels = np.array([CODE[level] for level in statements["level"]], dtype=np.int64)
    weights = np.where(statements["unsure"], params.unsure_weight, 1.0)
    return _Data(
        csr_matrix(features.fit_transform(mask_all(statements["text"]))),
        levels,
        weights,
        groups(statements),
        traits(statements["text"].tolist(), misses),
        statements["pool"].tolist(),
    )


def _run(
    data: _Data, train: Rows, test: Rows, way: str, plan: Plan, rng: np.random.Generator
) -> list[float]:
    """Label batch after batch in one way; returns macro-F1 at each size."""
    order = rng.permutation(train)
    labelled, free = order[: plan.start], order[plan.start :]
    curve: list[float] = []
    chances = _fitted(data, labelled)
    for size in plan.sizes():
        if size > len(labelled):
            chosen = _choose(
                data, labelled, free, way, min(plan.batch, size - len(labelled)), chances(free), rng
            )
            labelled = np.concatenate([labelled, free[chosen]])
            free = np.delete(free, chosen)
            chances = _fitted(data, labelled)
        found = chances(test).argmax(axis=1)
        curve.append(
            float(
                f1_score(data.levels[test], found, labels=_CODES, average="macro", zero_division=0)
            )
        )
    return curve


def _fitted(data: _Data, rows: Rows) -> Callable[[Rows], Array]:
    """Fit a light level classifier on labelled rows; returns what gives the probabilities of rows."""
    params = Params()
    weigh = TfidfTransformer(sublinear_tf=True).fit(data.counts[rows])
    levels = data.levels[rows]
    counts = np.bincount(levels, minlength=len(LEVELS))
    balance = (len(rows) / len(LEVELS) / np.maximum(counts, 1)) ** params.balance
    model = LogisticRegression(C=params.level_c, solver="newton-cg")
    model.fit(weigh.transform(data.counts[rows]), levels, balance[levels] * data.weights[rows])

    def chances(of: Rows) -> Array:
        out = np.zeros((len(of), len(LEVELS)))
        out[:, model.classes_] = model.predict_proba(weigh.transform(data.counts[of]))
        return out

    return chances


def _choose(
    data: _Data,
    labelled: Rows,
    free: Rows,
    way: str,
    size: int,
    chances: Array,
    rng: np.random.Generator,
) -> Rows:
    """Choose positions in `free`."""
    if way == "random":
        return np.arange(size)  # they were shuffled
    if way == "uncertain":
        highest = np.sort(chances, axis=1)
        return np.argsort(highest[:, -1] - highest[:, -2], kind="stable")[:size]
    past = Known(
        {word for row in labelled for word in data.of.stems[row]},
        {part for row in labelled for part in data.of.shingles[row]},
    )
    scored = pd.DataFrame(chances, columns=list(PROBABILITIES))
    scored["publisher"] = [data.publishers[row] for row in free]
    seed = int(rng.integers(2**31))
    chosen = [at for at, _ in choose(scored, data.of.take(free), past, size, seed, size)]
    rest = np.setdiff1d(np.arange(len(free)), chosen)[: size - len(chosen)]
    return np.concatenate([np.array(chosen, dtype=np.int64), rest])


# --- curves to figures ---


def _compared(curves: dict[str, Array], sizes: Sequence[int], seed: int) -> dict[str, Any]:
    """Read off the curves, of shape (runs, sizes) each, what each way saves."""
    runs = len(curves[WAYS[0]])
    target = float(curves["random"].mean(axis=0)[-1])
    out: dict[str, Any] = {"labels": list(sizes), "runs": runs, "target": target}
    drawn = np.random.default_rng(seed).integers(runs, size=(RESAMPLES, runs))
    for way in WAYS:
        out[way] = {"curve": curves[way].mean(axis=0).tolist()}
        if way == "random":
            continue
        found = _labels_needed(curves[way].mean(axis=0), target, sizes)
        means = [
            (curves[way][rows].mean(axis=0), curves["random"][rows].mean(axis=0)) for rows in drawn
        ]
        needed = [_labels_needed(own, chance[-1], sizes) for own, chance in means]
        gains = [own[-1] - chance[-1] for own, chance in means]
        savings = [_saving(labels, sizes) for labels in needed]
        reached = float(np.mean([labels is not None for labels in needed]))
        gain = float(out[way]["curve"][-1] - target)
        out[way] |= {
            "labels": found,
            "saving": _saving(found, sizes),
            "reached": reached,
            "gain": gain,
        }
        for name, values in (("saving", savings), ("gain", gains)):
            low, high = np.quantile(values, [0.025, 0.975])
            out[way] |= {f"{name}.low": float(low), f"{name}.high": float(high)}
    return out


def _labels_needed(curve: Array, target: float, sizes: Sequence[int]) -> float | None:
    """Return at how many labels a curve first reaches the target; None if it does not."""
    above = np.flatnonzero(curve >= target)
    if not len(above):
        return None
    at = int(above[0])
    if at == 0:
        return float(sizes[0])
    share = (target - curve[at - 1]) / (curve[at] - curve[at - 1])
    return float(sizes[at - 1] + share * (sizes[at] - sizes[at - 1]))


def _saving(labels: float | None, sizes: Sequence[int]) -> float:
    return 0.0 if labels is None else 1 - labels / sizes[-1]
