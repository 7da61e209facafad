"""From gold labels and predicted records to figures, with bootstrap intervals; and the baselines.

Every figure here is a function of sums over statements (a confusion matrix, bins of calibration,
hits of dyads). So the sums of a resample are one product of a matrix of weights with the statistics
of the rows, and a thousand resamples of five thousand statements take seconds. The tests hold the
figures to scikit-learn's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations_with_replacement, compress
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline, make_union

from scoring.levels import CODE, LEVELS, PROBABILITIES

BINS: Final = 10
"""Equal-width bins of the calibration error."""

LEAST: Final = 30
"""Rows under which nothing is said of noise: so few drawn again and again look surer than they are."""

RESAMPLES: Final = 1000
INTERVAL: Final = (0.025, 0.975)
"""Quantiles of the resamples that ``.low`` and ``.high`` give."""

REVIEW_CURVE: Final = (5, 10, 15, 20, 30)
"""Percent of the statements, the least sure ones, whose share of the errors is given."""

SLICES: Final = ("pool", "stratum")
SLICE_METRICS: Final = ("rows", "macro_f1", "any.precision", "any.f1", "kappa", "triples.f1")
"""What is given of each pool and stratum; the rest is given of all rows only."""

_CUT_STEP: Final = 0.05  # of VADER's score, which goes from -1 to 1
_BLOCK: Final = 100  # resamples at a time: bounds the memory of the weights

Array = NDArray[np.float64]
Sums = dict[str, Array]
Metrics = dict[str, float]


class Predictions(NamedTuple):
    """What was predicted of n statements.

    Parameters
    ----------
    level : ndarray of int, shape (n,)
        Codes of the levels.
    probability : ndarray of float, shape (n, 4)
        In the order of the levels; NaN from a method that gives none.
    review : ndarray of bool, shape (n,), or None
        Whether the statement is marked for review; None from a method that marks none.
    dyads : list of set of (source, target, level), or None
        Directed triples with both sides named; None from a method that finds none.
    """

    level: NDArray[np.int64]
    probability: Array
    review: NDArray[np.bool_] | None
    dyads: list[set[tuple[str, str, str]]] | None

    def take(self, rows: NDArray[np.bool_]) -> Predictions:
        """Return the predictions of the marked statements, in order."""
        return Predictions(
            self.level[rows],
            self.probability[rows],
            None if self.review is None else self.review[rows],
            None if self.dyads is None else list(compress(self.dyads, rows)),
        )


def collect(records: pd.DataFrame, n: int) -> Predictions:
    """Turn the records of n statements into one prediction a statement.

    Parameters
    ----------
    records : pandas.DataFrame
        From `scoring.scorer.Scorer.score_lines`: ``article_id`` is the position from 1.
    n : int
        Number of statements.

    Returns
    -------
    Predictions
        The level is the highest among a statement's rows; probabilities and review are those of
        that row, of several the one with the highest score. A statement that was not scored (its
        level is null) counts as `none` for sure: that is how a user of the table meets it.

    Raises
    ------
    ValueError
        If a statement has no record.
    """
    row = records["article_id"].astype(int).to_numpy() - 1
    level = records["level"].map(CODE)
    unscored = level.isna().to_numpy()
    code = level.fillna(0).to_numpy().astype(np.int64)
    probability = records[list(PROBABILITIES)].to_numpy(dtype=float)
    probability = np.where(unscored[:, None], np.eye(len(LEVELS))[0], probability)
    order = np.lexsort((records["score"].fillna(0).to_numpy(dtype=float), code, row))
    found, last = np.unique(row[order][::-1], return_index=True)
    if not np.array_equal(found, np.arange(n)):
        raise ValueError(f"expected records of statements 1 to {n}, found {len(found)} statements")
    best = order[::-1][last]
    dyads: list[set[tuple[str, str, str]]] = [set() for _ in range(n)]
    for at, source, target, name in zip(
        row, records["source"], records["target"], records["level"], strict=True
    ):
        if isinstance(source, str) and isinstance(target, str) and name != LEVELS[0]:
            dyads[at].add((source, target, name))
    review = records["review"].to_numpy(dtype=bool)
    return Predictions(code[best], probability[best], review[best], dyads)


def evaluate(
    gold: pd.DataFrame,
    predicted: Predictions,
    seed: int = 0,
    resamples: int = RESAMPLES,
    *,
    slices: bool = True,
) -> Metrics:
    """Compare predictions with the labels.

    Levels are compared statement by statement. Of the dyads, only the directed triples
    (source, target, level) with both sides named are compared: a gold dyad with a side left unnamed
    is no triple to find, and a predicted one is none found, so that naming a side wrongly costs and
    leaving it open misses. ``pairs`` are the same without the level; ``pairs.reversed`` is the
    share of predicted pairs whose reverse, but not themselves, are in the gold.

    Parameters
    ----------
    gold : pandas.DataFrame
        Columns ``level``, ``dyads``, ``pool`` and ``stratum``, as from `training.dataset.read`.
    predicted : Predictions
        Of the same rows.
    seed : int, optional
        Seed of the resamples.
    resamples : int, optional
        How often rows are drawn with replacement for the percentile intervals of 95%.
    slices : bool, optional
        Also measure each pool and stratum, which takes as long again for each.

    Returns
    -------
    dict of str to float
        Flat names: ``macro_f1`` (mean over the levels that occur in the gold), ``accuracy``,
        ``kappa`` (quadratic), ``any.f1`` (any level against none), ``ece``, ``log_loss``, ``brier``
        (0..2), ``protest.f1``, ``triples.f1``, ``review.share``, ``review.curve.<percent>`` (share
        of the errors among so many percent of the statements, those with the lowest probability of
        the predicted level; a resample keeps the marks of the whole), ``pool.<name>.macro_f1`` ...,
        each with ``.low`` and ``.high``; and counts such as ``rows``, ``threat.support``,
        ``confusion.<gold>.<predicted>``, and ``bin.<k>.rows``, ``.confidence`` and ``.accuracy`` of
        the probability of the predicted level, ``threat.bin.<k>.rows`` ... of the probability of
        each level. What is undefined (the precision of a level never predicted) is left out.
    """
    rng = np.random.default_rng(seed)
    rows_of = statistics(gold, predicted)
    out = _summary(rows_of, rng, resamples)
    for by in SLICES if slices else ():
        for name in sorted(gold[by].unique()):
            rows = (gold[by] == name).to_numpy()
            part = _summary({key: array[rows] for key, array in rows_of.items()}, rng, resamples)
            kept = {
                k: v for k, v in part.items() if re.sub(r"\.(low|high)$", "", k) in SLICE_METRICS
            }
            out |= {f"{by}.{name}.{key}": value for key, value in kept.items()}
    return out


def statistics(gold: pd.DataFrame, predicted: Predictions) -> Sums:
    """Compute what each statement adds to the sums that every figure is made of.

    Parameters
    ----------
    gold : pandas.DataFrame
        Columns ``level`` and ``dyads``.
    predicted : Predictions
        Of the same n rows.

    Returns
    -------
    dict of str to ndarray of float, shape (n, ...)
        By name; NaN where the method gives no probabilities, marks or dyads.
    """
    truth = gold["level"].map(CODE).to_numpy(dtype=np.int64)
    one_hot = np.eye(len(LEVELS))
    level, p = one_hot[predicted.level], predicted.probability
    hit = (truth == predicted.level).astype(float)
    chosen = np.take_along_axis(p, predicted.level[:, None], axis=1)[:, 0]
    # The smallest positive probability keeps a sure and wrong answer's loss finite, as scikit-learn
    # does.
    loss = -np.log(np.clip(np.take_along_axis(p, truth[:, None], axis=1)[:, 0], 2.3e-16, 1))
    review = np.full(len(gold), np.nan) if predicted.review is None else predicted.review + 0.0
    return {
        "confusion": one_hot[truth][:, :, None] * level[:, None, :],
        "bins": _binned(chosen, hit),
        "level_bins": _binned(p, one_hot[truth]),
        "log_loss": loss,
        "brier": ((p - one_hot[truth]) ** 2).sum(axis=1),
        "review": review,
        "review_errors": review * (1 - hit),
        "curve": np.stack([_least_sure(chosen, k / 100) * (1 - hit) for k in REVIEW_CURVE], axis=1),
    } | _dyad_statistics(gold, predicted)


def _binned(p: Array, hit: Array) -> Array:
    """Spread (1, p, hit) over bins of p: shape p.shape + (BINS, 3)."""
    bins = np.clip(np.nan_to_num(p) * BINS, 0, BINS - 1).astype(int)
    values = np.stack([np.ones_like(p), p, hit], axis=-1)
    values = np.where(np.isnan(p)[..., None], np.nan, values)
    return np.asarray(np.eye(BINS)[bins][..., None] * values[..., None, :])


def _least_sure(p: Array, share: float) -> Array:
    """Mark the given share of the rows, lowest p first; the rows of a tie at the end share it."""
    wanted = share * len(p)
    last = np.sort(p)[int(np.ceil(wanted)) - 1]
    below, tied = p < last, p == last
    marks = below + tied * (wanted - below.sum()) / max(tied.sum(), 1)
    return np.asarray(np.where(np.isnan(p), np.nan, marks))


def _dyad_statistics(gold: pd.DataFrame, predicted: Predictions) -> Sums:
    """Count hits, predicted and gold triples and pairs, and reversed pairs, of each statement."""
    n = len(gold)
    if predicted.dyads is None:
        none = np.full((n, 3), np.nan)
        return {"triples": none, "pairs": none, "reversed": none[:, 0]}
    triples, pairs, reverse = np.zeros((n, 3)), np.zeros((n, 3)), np.zeros(n)
    for row, (dyads, found) in enumerate(zip(gold["dyads"], predicted.dyads, strict=True)):
        wanted = {tuple(dyad) for dyad in dyads if None not in dyad}
        triples[row] = len(wanted & found), len(found), len(wanted)
        wanted_pairs, found_pairs = {d[:2] for d in wanted}, {d[:2] for d in found}
        pairs[row] = len(wanted_pairs & found_pairs), len(found_pairs), len(wanted_pairs)
        reverse[row] = len({pair[::-1] for pair in found_pairs - wanted_pairs} & wanted_pairs)
    return {"triples": triples, "pairs": pairs, "reversed": reverse}


def _summary(rows_of: Sums, rng: np.random.Generator, resamples: int) -> Metrics:
    """Figures of all the rows given, with intervals, and counts."""
    n = len(rows_of["log_loss"])
    total = sums(rows_of, np.ones((1, n)))
    blocks = [metrics(sums(rows_of, w)) for w in weights(n, rng, resamples)]
    out = with_intervals(metrics(total), blocks)
    out |= _counts({name: value[0] for name, value in total.items()})
    return {name: value for name, value in out.items() if not np.isnan(value)}


def with_intervals(values: Sums, blocks: Sequence[Sums]) -> Metrics:
    """Put beside each figure its percentile interval over the resamples.

    Parameters
    ----------
    values : dict of str to ndarray of float, shape (1,)
        Figures of all rows; NaN where undefined.
    blocks : sequence of dict of str to ndarray of float, shape (b,)
        The same figures of the resamples, in any number of parts.

    Returns
    -------
    dict of str to float
        Every figure, and after them ``<name>.low`` and ``<name>.high`` over the resamples in which
        it is defined.
    """
    out = {name: float(value[0]) for name, value in values.items()}
    for name in list(out) if blocks else ():
        drawn = np.concatenate([block[name] for block in blocks])
        drawn = drawn[~np.isnan(drawn)]
        if len(drawn):
            out[f"{name}.low"], out[f"{name}.high"] = map(float, np.quantile(drawn, INTERVAL))
    return out


def weights(n: int, rng: np.random.Generator, resamples: int) -> Iterator[Array]:
    """Draw n rows with replacement, again and again (the bootstrap), in blocks that bound the memory.

    Parameters
    ----------
    n : int
        Number of rows.
    rng : numpy.random.Generator
        The same state gives the same draws: of several methods, the same rows.
    resamples : int
        How many draws.

    Yields
    ------
    ndarray of float, shape (resamples of a block, n)
        How often each row was drawn.
    """
    for start in range(0, resamples, _BLOCK):
        size = min(_BLOCK, resamples - start)
        drawn = rng.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(float)


def sums(rows_of: Sums, weights: Array) -> Sums:
    """Sum the statistics of weighted rows.

    Parameters
    ----------
    rows_of : dict of str to ndarray of float, shape (n, ...)
        From `statistics`.
    weights : ndarray of float, shape (b, n)
        How often each row counts, in each of b draws.

    Returns
    -------
    dict of str to ndarray of float, shape (b, ...)
    """
    return {name: np.tensordot(weights, rows, axes=1) for name, rows in rows_of.items()}


def ratio(over: Array, under: Array) -> Array:
    """Divide elementwise; NaN where undefined."""
    return np.divide(over, under, out=np.full_like(over, np.nan), where=under != 0)


def metrics(sums: Sums) -> Sums:
    """Make the figures of `evaluate` out of sums.

    Parameters
    ----------
    sums : dict of str to ndarray of float, shape (b, ...)
        From `sums`.

    Returns
    -------
    dict of str to ndarray of float, shape (b,)
        By name; NaN where undefined.
    """
    matrix = sums["confusion"]  # batch, gold, predicted
    n, hit = matrix.sum(axis=(1, 2)), np.trace(matrix, axis1=1, axis2=2)
    gold, predicted = matrix.sum(axis=2), matrix.sum(axis=1)
    correct = np.diagonal(matrix, axis1=1, axis2=2)
    ordinal = np.arange(len(LEVELS))
    penalty = (ordinal[:, None] - ordinal) ** 2
    by_chance = np.einsum("bi,ij,bj->b", gold, penalty, predicted) / n
    out = {
        "macro_f1": _macro_f1(matrix),
        "accuracy": hit / n,
        "kappa": 1 - ratio((matrix * penalty).sum(axis=(1, 2)), by_chance),
        "ece": _calibration_error(sums["bins"], n),
        "log_loss": sums["log_loss"] / n,
        "brier": sums["brier"] / n,
        "review.share": sums["review"] / n,
        "review.errors_caught": ratio(sums["review_errors"], n - hit),
        # hits among the rows that nobody is asked to look at
        "review.accuracy_rest": 1
        - ratio(n - hit - sums["review_errors"], np.asarray(n - sums["review"])),
        "pairs.reversed": ratio(sums["reversed"], sums["pairs"][:, 1]),
    }
    some = np.stack([matrix[:, 1:, 1:].sum((1, 2)), predicted[:, 1:].sum(1), gold[:, 1:].sum(1)], 1)
    out |= _precision_recall("any", some)
    for code, name in enumerate(LEVELS):
        columns = [correct[:, code], predicted[:, code], gold[:, code]]
        out |= _precision_recall(name, np.stack(columns, axis=1))
        out[f"{name}.ece"] = _calibration_error(sums["level_bins"][:, code], n)
    for column, percent in enumerate(REVIEW_CURVE):
        out[f"review.curve.{percent}"] = ratio(sums["curve"][:, column], n - hit)
    return (
        out
        | _precision_recall("triples", sums["triples"])
        | _precision_recall("pairs", sums["pairs"])
    )


def _macro_f1(matrix: Array) -> Array:
    """Mean F1 over the levels that occur in the gold, of confusions (batch, gold, predicted)."""
    gold = matrix.sum(axis=2)
    correct = np.diagonal(matrix, axis1=1, axis2=2)
    f1 = ratio(2 * correct, gold + matrix.sum(axis=1))
    return np.asarray(np.where(gold > 0, f1, 0).sum(axis=1) / (gold > 0).sum(axis=1))


def _precision_recall(name: str, counts: Array) -> dict[str, Array]:
    """Precision, recall and F1 from (hits, predicted, gold), shape (batch, 3)."""
    hits, predicted, gold = counts.T
    return {
        f"{name}.precision": ratio(hits, predicted),
        f"{name}.recall": ratio(hits, gold),
        f"{name}.f1": ratio(2 * hits, predicted + gold),
    }


def _calibration_error(bins: Array, n: Array) -> Array:
    return np.asarray(np.abs(bins[..., 1] - bins[..., 2]).sum(axis=-1) / n)


def _counts(sums: Sums) -> Metrics:
    """Return the counts of one set of sums, and the confidence and accuracy of every bin."""
    matrix = sums["confusion"]
    out = {"rows": float(matrix.sum())}
    for code, name in enumerate(LEVELS):
        out[f"{name}.support"] = float(matrix[code].sum())
        out |= {
            f"confusion.{name}.{other}": float(matrix[code, k]) for k, other in enumerate(LEVELS)
        }
    for kind in ("triples", "pairs"):
        out[f"{kind}.predicted"], out[f"{kind}.gold"] = map(float, sums[kind][1:])
    out["pairs.reversed.count"] = float(sums["reversed"])
    out |= _bin_counts("", sums["bins"])
    for code, name in enumerate(LEVELS):
        out |= _bin_counts(f"{name}.", sums["level_bins"][code])
    return out


def _bin_counts(prefix: str, bins: Array) -> Metrics:
    """Return how many fell into each bin, their mean probability and the share that was true."""
    out = {}
    means = ratio(bins[:, 1:], bins[:, :1].repeat(2, axis=1))
    for k in range(BINS):
        out[f"{prefix}bin.{k}.rows"] = float(bins[k, 0])
        out[f"{prefix}bin.{k}.confidence"] = float(means[k, 0])
        out[f"{prefix}bin.{k}.accuracy"] = float(means[k, 1])
    return out


# What an analyst writes in ten minutes: the first rule that matches gives the level.
_RULES: Final = tuple(
    (CODE[level], re.compile(rf"\b({pattern})", re.IGNORECASE))
    for level, pattern in (
        ("none", r"no plans to|withdr[ae]w\w* (its|his|her|their|the) threat|not a warning"),
        ("threat", r"threat(en(s|ed|ing)?) to\b|retaliat|countermeasures?\b|revenge\b"),
        ("threat", r"(will|would|vow\w* to|ready to|prepared to) (strike|hit|punish|cut)\b"),
        ("threat", r"ultimatum|heavy price|merciless|(crushing|harsh) (blow|response)"),
        ("threat", r"impose (\w+ ){0,3}(sanctions|tariffs|duties)\b.*\b(unless|if)\b"),
        ("warning", r"warn(s|ed|ing|ings)?\b|caution(s|ed)?\b|red lines?\b"),
        ("warning", r"consequences\b|play\w* with fire|reserves? the right"),
        ("warning", r"(bear|held) (full |fully )?responsib|all options\b|in kind\b"),
        ("protest", r"protest(s|ed)?\b|condemn|denounc|deplor|d[eé]marche"),
        ("protest", r"accus(es?|ed|ing)\b|summon|slam(s|med)?\b|blast(s|ed)\b|blam(es?|ed)\b"),
        ("protest", r"demand(s|ed)\b|critici[sz]|object(s|ed) to\b|outrage"),
        ("protest", r"(serious|grave|deep) concern|provocati(on|ve)|violat(es|ed|ing)\b"),
    )
)


def keyword_baseline(texts: Iterable[str]) -> Predictions:
    """Predict levels by a dozen keyword rules: the least that a model must beat.

    Parameters
    ----------
    texts : iterable of str
        Statements.

    Returns
    -------
    Predictions
        Levels only.
    """
    level = [next((code for code, rule in _RULES if rule.search(text)), 0) for text in texts]
    return _levels_only(level)


def vader_baseline(train: pd.DataFrame, texts: Iterable[str]) -> Predictions:
    """Predict levels from how negative the words are: VADER, a lexicon of sentiment.

    Its compound score (-1 negative to 1 positive) is cut into four levels, the lower the higher the
    level, at the three points in steps of `_CUT_STEP` that give the best macro-F1 on `train`.

    Parameters
    ----------
    train : pandas.DataFrame
        Columns ``text`` and ``level``.
    texts : iterable of str
        Statements to predict.

    Returns
    -------
    Predictions
        Levels only.
    """
    # Not at the top: who only measures, or renders a card, may lack it (it is of the extra `train`).
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()

    def compound(statements: Iterable[str]) -> Array:
        scores = [analyzer.polarity_scores(str(text))["compound"] for text in statements]
        return np.array(scores, dtype=float)

    level = np.asarray(train["level"].map(CODE), dtype=np.int64)
    cuts = _cut_points(compound(train["text"]), level)
    return _levels_only((compound(texts)[:, None] < cuts).sum(axis=1))


def _cut_points(score: Array, level: NDArray[np.int64]) -> Array:
    """Find the three cut points, highest first; a row is of the level of how many it is below."""
    grid = np.round(np.arange(-1, 1 + _CUT_STEP, _CUT_STEP), 6)
    one_hot = np.eye(len(LEVELS))[level]
    below = (score[:, None] < grid).T @ one_hot  # points, gold
    triples = combinations_with_replacement(range(len(grid))[::-1], len(LEVELS) - 1)
    chosen = np.array(list(triples))  # trials, cut points
    everything = np.broadcast_to(one_hot.sum(axis=0), (len(chosen), 1, len(LEVELS)))
    at_least = np.concatenate([everything, below[chosen]], axis=1)  # trials, predicted, gold
    exactly = at_least - np.concatenate([at_least[:, 1:], 0 * everything], axis=1)
    best = _macro_f1(exactly.transpose(0, 2, 1)).argmax()
    return np.asarray(grid[chosen[best]])


def _levels_only(level: Sequence[int] | NDArray[np.int64]) -> Predictions:
    """Return the predictions of a method that gives nothing but levels."""
    nothing = np.full((len(level), len(LEVELS)), np.nan)
    return Predictions(np.asarray(level, dtype=np.int64), nothing, None, None)


def tfidf_baseline(train: pd.DataFrame, texts: Iterable[str]) -> Predictions:
    """Predict levels as scikit-learn does it off the shelf, trained on the same statements.

    TF-IDF of words 1-2 and of characters 3-5 within words, logistic regression with balanced
    classes (without the balance it is worse).

    Parameters
    ----------
    train : pandas.DataFrame
        Columns ``text`` and ``level``.
    texts : iterable of str
        Statements to predict.

    Returns
    -------
    Predictions
        Levels and probabilities.
    """
    model = tfidf_pipeline().fit(
        list(train["text"]), train["level"].map(CODE).to_numpy(dtype=np.int64)
    )
    given = model.predict_proba(list(texts))
    probability = np.zeros((len(given), len(LEVELS)))
    probability[:, model.classes_] = given
    return Predictions(probability.argmax(axis=1), probability, None, None)


def tfidf_pipeline() -> Pipeline:
    """Build the off-the-shelf baseline, unfitted: sentences in, probabilities of the levels out."""
    options: dict[str, Any] = {"min_df": 2, "sublinear_tf": True}
    return make_pipeline(
        make_union(
            TfidfVectorizer(ngram_range=(1, 2), **options),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), **options),
        ),
        LogisticRegression(max_iter=1000, class_weight="balanced"),
    )
