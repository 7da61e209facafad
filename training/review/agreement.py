"""How far coders agree: kappa, alpha, pairs, and the statements on which they differ."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import combinations
from typing import Any, Final

import krippendorff
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from scoring.errors import UsageError
from scoring.levels import CODE, LEVELS
from training.dataset import Dyad
from training.review.codes import Codes, Row

FEW: Final = 50
"""Statements below which kappa and alpha are little more than a hint."""

RESAMPLES: Final = 300
_CODES: Final = list(range(len(LEVELS)))

Levels = NDArray[np.int64]


def agreement(coders: Sequence[Codes], seed: int = 0) -> dict[str, Any]:
    """Compare coders on the statements that they have in common.

    Parameters
    ----------
    coders : sequence of Codes
        Two or more.
    seed : int, optional
        Seed of the resamples.

    Returns
    -------
    dict
        ``coders``; ``statements``, coded by two or more; ``alpha``, Krippendorff's for ordinal levels, over all that
        two or more coded (null where only one level was used); ``pairs``: for every two coders ``coders``, ``rows``,
        ``only`` (how many each coded alone), ``agree`` (share of equal levels), ``kappa`` (Cohen's, quadratic
        weights), ``kappa.low`` and ``.high`` (percentiles of resampled statements, 95%), ``kappa_nominal``,
        ``pairs_f1`` (source and target, a side not named counting as itself), ``triples_f1`` (level besides),
        ``confusion`` (rows: the first coder, in the order of the levels).

    Raises
    ------
    UsageError
        If there are fewer than two coders, two of one name, or no two have a statement in common.
    """
    names = [coder.name for coder in coders]
    if len(coders) < 2:
        raise UsageError(f"expected the codes of two coders or more, found {len(coders)}.")
    if len(set(names)) < len(names):
        raise UsageError(
            f"expected coders of different names, found {', '.join(names)}. Is a file given twice?"
        )
    units = [id_ for id_ in _ids(coders) if sum(id_ in coder.rows for coder in coders) > 1]
    if not units:
        raise UsageError(
            f"expected statements that two coders coded, found none: {', '.join(names)} have no id in "
            "common. Give them the same queue."
        )
    rng = np.random.default_rng(seed)
    pairs = [
        _compared(a, b, rng) for a, b in combinations(coders, 2) if a.rows.keys() & b.rows.keys()
    ]
    return {
        "coders": names,
        "statements": len(units),
        "alpha": _alpha(coders, units),
        "pairs": pairs,
    }


def _ids(coders: Sequence[Codes]) -> list[str]:
    return list(dict.fromkeys(id_ for coder in coders for id_ in coder.rows))


def _alpha(coders: Sequence[Codes], units: Sequence[str]) -> float | None:
    given = [
        [CODE[coder.rows[id_]["level"]] if id_ in coder.rows else np.nan for id_ in units]
        for coder in coders
    ]
    values = np.array(given, dtype=float)
    if len(np.unique(values[~np.isnan(values)])) < 2:
        return None
    return float(krippendorff.alpha(values, value_domain=_CODES, level_of_measurement="ordinal"))


def _compared(a: Codes, b: Codes, rng: np.random.Generator) -> dict[str, Any]:
    common = [id_ for id_ in a.rows if id_ in b.rows]
    first, second = (
        np.array([CODE[coder.rows[id_]["level"]] for id_ in common], dtype=np.int64)
        for coder in (a, b)
    )
    out: dict[str, Any] = {
        "coders": [a.name, b.name],
        "rows": len(common),
        "only": [len(a.rows) - len(common), len(b.rows) - len(common)],
        "agree": float((first == second).mean()),
        "kappa": _kappa(first, second),
        "kappa_nominal": _kappa(first, second, None),
    }
    out |= _interval(first, second, rng)
    for name, size in (("pairs", 2), ("triples", 3)):
        sides = [[_cut(coder.rows[id_]["dyads"], size) for id_ in common] for coder in (a, b)]
        out[f"{name}_f1"] = _f1(*sides)
    out["confusion"] = confusion_matrix(first, second, labels=_CODES).tolist()
    return out


def _kappa(first: Levels, second: Levels, weights: str | None = "quadratic") -> float | None:
    """Return Cohen's kappa; None where both used one and the same level throughout: chance alone agrees so."""
    if len({*first, *second}) < 2:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = cohen_kappa_score(first, second, labels=_CODES, weights=weights)
    return None if np.isnan(found) else float(found)


def _interval(first: Levels, second: Levels, rng: np.random.Generator) -> dict[str, float]:
    drawn = rng.integers(len(first), size=(RESAMPLES, len(first)))
    found = [kappa for rows in drawn if (kappa := _kappa(first[rows], second[rows])) is not None]
    if not found:
        return {}
    low, high = np.quantile(found, [0.025, 0.975])
    return {"kappa.low": float(low), "kappa.high": float(high)}


def _cut(dyads: Sequence[Dyad], size: int) -> set[tuple[str | None, ...]]:
    return {tuple(dyad)[:size] for dyad in dyads}


def _f1(
    first: Sequence[set[tuple[str | None, ...]]], second: Sequence[set[tuple[str | None, ...]]]
) -> float | None:
    total = sum(map(len, (*first, *second)))
    both = sum(len(a & b) for a, b in zip(first, second, strict=True))
    return 2 * both / total if total else None


def same(rows: Sequence[Row]) -> bool:
    """Say whether statements were coded alike: level and dyads, in any order."""
    return len({(row["level"], frozenset(map(tuple, row["dyads"]))) for row in rows}) == 1


def differing(coders: Sequence[Codes]) -> list[tuple[str, dict[str, Row]]]:
    """Return the statements that two coders or more coded, and not alike.

    Returns
    -------
    list of (str, dict of str to dict)
        Id, and by the coder's name what each said; those whose levels lie farthest apart come first.
    """
    found = []
    for id_ in _ids(coders):
        said = {coder.name: coder.rows[id_] for coder in coders if id_ in coder.rows}
        if not same([*said.values()]):
            found.append((id_, said))
    return sorted(found, key=lambda pair: -_distance(pair[1]))


def _distance(said: dict[str, Row]) -> int:
    codes = [CODE[row["level"]] for row in said.values()]
    return max(codes) - min(codes)
