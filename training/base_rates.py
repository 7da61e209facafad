"""How good the levels are in whole feeds: draw statements by what they were called, code, weight.

Labelled statements are drawn so that levels are frequent; a feed is nearly all `none`. Here so many
statements of each called level are drawn at random from tables that were scored whole, a reader
codes them without seeing the score, and every called level is weighted by how often it was called.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scoring.batch import CsvWriter, json_line, whole_file
from scoring.errors import UsageError
from scoring.levels import CODE, LEVELS, PROBABILITIES
from scoring.tiers import TIERS
from training import card, scored
from training.dataset import DataError, statement_id
from training.evaluate import RESAMPLES, Metrics, ratio, with_intervals

PER: Final = {"threat": 150, "warning": 150, "protest": 150, "none": 300}
"""How many statements of each called level are drawn."""

SHEET_COLUMNS: Final = ("n", "text", "code")
"""Columns of the sheet: the statement, and a column left empty for the code."""

_COLUMNS: Final = ("text", "level", "score", *PROBABILITIES, "review", "publisher", "model")
_NO_PUBLISHER: Final = "not given"

Array = NDArray[np.float64]


class Population(NamedTuple):
    """The statements of scored tables, each text once.

    Parameters
    ----------
    statements : pandas.DataFrame
        Columns ``id`` and those of the records that matter here; by ``id``. Of the rows of a
        statement the one with the highest level, of these the highest score.
    unscored, labelled : int
        Statements left out: not scored, or labelled before.
    """

    statements: pd.DataFrame
    unscored: int
    labelled: int

    def counts(self) -> dict[str, int]:
        """Return how many statements were called each level."""
        return {level: int((self.statements["level"] == level).sum()) for level in LEVELS}


class Sample(NamedTuple):
    """Drawn statements that were coded.

    Parameters
    ----------
    rows : pandas.DataFrame
        Columns ``called``, ``coded`` (levels), ``publisher`` (str), ``unsure`` (bool) and, unless the key is older
        than that, ``review`` (bool): whether the score was marked.
    population : dict of str to dict of str to int
        Called level -> publisher -> statements called so in the tables that were drawn from.
    model, tier : str
        What called them.
    left_out : int
        Statements of the tables that were not drawn from: labelled before.
    """

    rows: pd.DataFrame
    population: dict[str, dict[str, int]]
    model: str
    tier: str
    left_out: int


# --- drawing ---


def read_tables(tables: Sequence[Path], leave_out: Sequence[Path] = ()) -> Population:
    """Read scored tables as the statements to draw from.

    Parameters
    ----------
    tables : sequence of Path
        Of ``tension score --all``: Parquet, JSONL or CSV.
    leave_out : sequence of Path, optional
        JSONL files with ``id``: statements that were labelled before, and may have been trained on.

    Returns
    -------
    Population

    Raises
    ------
    InputError
        If a table is not one of ``tension score``, or a line of `leave_out` has no id.
    UsageError
        If they were scored by several models, or lack the rows of `none`.
    """
    frame = pd.concat(list(scored.read(map(str, tables), _COLUMNS)), ignore_index=True)
    rows = frame[frame["level"].notna()]
    if "none" not in set(rows["level"]):
        raise UsageError(
            "expected tables with the rows of every level, found none called none. "
            "Score with --all."
        )
    models = sorted(set(rows["model"]))
    if len(models) > 1:
        raise UsageError(
            f"expected tables scored by one model and tier, found {', '.join(models)}. "
            "Draw from each by itself."
        )
    unscored = set(frame["text"]) - set(rows["text"])
    rows = rows.assign(id=[statement_id(text) for text in rows["text"]])
    rows = rows.assign(
        code=rows["level"].map(CODE), publisher=rows["publisher"].fillna(_NO_PUBLISHER)
    ).sort_values(["id", "code", "score"], ascending=[True, False, False], kind="stable")
    rows = rows.drop_duplicates("id").drop(columns="code")
    known = rows["id"].isin({id_ for path in leave_out for id_ in ids(path)})
    statements = rows[~known].reset_index(drop=True)
    return Population(statements, len(unscored), int(known.sum()))


def draw(
    population: Population, per: Mapping[str, int] | None = None, seed: int = 0
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Draw statements of each called level at random, and shuffle them.

    Parameters
    ----------
    population : Population
        From `read_tables`.
    per : mapping of str to int, optional
        How many of each called level; all, if there are fewer. Levels not named: as in `PER`.
    seed : int, optional
        The same tables and seed give the same statements in the same order.

    Returns
    -------
    sheet : pandas.DataFrame
        Columns `SHEET_COLUMNS`; nothing in it tells the score.
    key : list of dict
        For each ``n`` of the sheet: ``id``, ``called``, the probabilities, ``review``, ``publisher``,
        ``model``, ``tier``, ``population``: publisher -> statements called so, and ``left_out``.

    Raises
    ------
    UsageError
        If `per` names no level, or less than one statement.
    """
    sizes = dict(PER) | dict(per or {})
    if unknown := sorted(set(sizes) - set(LEVELS)):
        raise UsageError(f"expected a level of {', '.join(LEVELS)}, found {unknown[0]!r}.")
    if min(sizes.values()) < 1:
        raise UsageError(f"expected at least one statement of every level, found {sizes}.")
    rng = np.random.default_rng(seed)
    statements = population.statements
    parts = []
    for level in LEVELS:
        called = statements[statements["level"] == level]
        parts.append(called.sample(min(sizes[level], len(called)), random_state=rng))
    drawn = pd.concat(parts).sample(frac=1, random_state=rng)
    numbers = range(1, len(drawn) + 1)
    sheet = pd.DataFrame({"n": numbers, "text": list(drawn["text"]), "code": None})
    called_by = {
        level: {str(name): int(count) for name, count in sorted(part.value_counts().items())}
        for level, part in statements.groupby("level")["publisher"]
    }
    key = [
        {
            "n": n,
            "id": row["id"],
            "called": row["level"],
            **{name: float(row[name]) for name in PROBABILITIES},
            "review": bool(row["review"]),
            "publisher": row["publisher"],
            "model": row["model"],
            "tier": _tier(row["model"]),
            "population": called_by[row["level"]],
            "left_out": population.labelled,
        }
        for n, row in zip(numbers, drawn.to_dict("records"), strict=True)
    ]
    return sheet, key


def write(sheet: pd.DataFrame, key: Sequence[Mapping[str, Any]], to: Path, key_to: Path) -> None:
    """Write the sheet as CSV, formulas defused, and its key as JSONL; each whole or not at all.

    Raises
    ------
    UsageError
        If both are the same file.
    scoring.errors.OutputError
        If one cannot be written.
    """
    if to.resolve() == key_to.resolve():
        raise UsageError(f"{to}: expected two files, found one for sheet and key. Name another.")
    with whole_file(to) as sheet_file, whole_file(key_to) as key_file:
        writer = CsvWriter(sheet_file, SHEET_COLUMNS)
        writer.write(sheet)
        writer.close()
        key_file.write(b"".join(map(json_line, key)))


def _tier(model: str) -> str:
    """Name the tier of the records of a model: all but the first are named behind its version."""
    return next((tier for tier in TIERS[1:] if model.endswith(f"+{tier}")), TIERS[0])


def ids(path: Path) -> Iterator[str]:
    """Give the ids of a JSONL file of labels.

    Raises
    ------
    DataError
        If a line has none.
    """
    for number, row in _rows(path):
        if not isinstance(row.get("id"), str):
            raise DataError(str(path), "expected an id, found none.", "Add it.", number)
        yield row["id"]


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read a JSONL file: number of the line, object."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        problem = f"expected a readable file in UTF-8, found none ({error})."
        raise DataError(str(path), problem, "Check the path.") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            problem = f"expected a JSON object, found none ({error})."
            raise DataError(str(path), problem, "Mend the line.", number) from error
        if not isinstance(row, dict):
            problem = f"expected a JSON object, found {type(row).__name__}."
            raise DataError(str(path), problem, "Mend the line.", number)
        yield number, row


# --- measuring ---


def read_coded(key: Path, coded: Path) -> Sample:
    """Join the key of a sheet with its codes.

    Parameters
    ----------
    key : Path
        As `write` wrote it.
    coded : Path
        JSONL: ``id``, ``level``, and if the coder was unsure, ``unsure``; other fields are not
        read.

    Returns
    -------
    Sample

    Raises
    ------
    DataError
        If a line is not as it should be, or a statement is not coded, coded twice or not in the
        key.
    """
    drawn = dict(_keyed(key))
    if not drawn:
        problem = "expected one drawn statement a line, found none."
        raise DataError(str(key), problem, "Draw with tension-train sample.")
    codes = _codes(coded, drawn)
    if missing := [id_ for id_ in drawn if id_ not in codes]:
        raise DataError(
            str(coded),
            f"expected a code for every statement of {key}, found {len(missing)} without, "
            f"{missing[0]} first.",
            "Code them too: to leave out some, the hard ones, would bend every figure.",
        )
    rows = pd.DataFrame(
        [
            (row["called"], codes[id_]["level"], row["publisher"], bool(codes[id_].get("unsure")))
            for id_, row in drawn.items()
        ],
        columns=["called", "coded", "publisher", "unsure"],
    )
    if all("review" in row for row in drawn.values()):
        rows["review"] = [bool(row["review"]) for row in drawn.values()]
    populations = {row["called"]: row["population"] for row in drawn.values()}
    first = next(iter(drawn.values()))
    return Sample(rows, populations, first["model"], first["tier"], first["left_out"])


def _codes(path: Path, drawn: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Read and check what was coded: id -> row."""
    out: dict[str, dict[str, Any]] = {}
    for number, row in _rows(path):
        id_, level = row.get("id"), row.get("level")
        if not isinstance(id_, str) or id_ not in drawn or id_ in out:
            problem = f"expected each id of the key once, found {id_!r}."
            raise DataError(str(path), problem, "Take the line out.", number)
        if level not in LEVELS:
            problem = f"expected a level of {', '.join(LEVELS)}, found {level!r}."
            raise DataError(str(path), problem, "Mend the line.", number)
        out[id_] = row
    return out


def _keyed(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read and check a key: id, row. All rows are of one draw."""
    seen: set[str] = set()
    of_draw: dict[str, object] = {}
    for number, row in _rows(path):
        try:
            id_, called, population = row["id"], row["called"], row["population"]
            of_all = row["model"], row["tier"], row["left_out"]
            alike = {"all": of_all, called: population}
            right = called in LEVELS and id_ not in seen and population[row["publisher"]] > 0
        except (KeyError, TypeError) as error:
            problem = f"expected a line of a key, found one without {error}."
            raise DataError(
                str(path), problem, "Draw with tension-train sample.", number
            ) from error
        if not right or any(of_draw.setdefault(k, value) != value for k, value in alike.items()):
            problem = "expected a line of one draw, each id once, found another."
            raise DataError(str(path), problem, "Measure each draw by itself.", number)
        seen.add(id_)
        yield id_, row


def measure(sample: Sample, seed: int = 0, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Estimate how good the levels are in all that was scored.

    Every coded statement stands for as many as were called its level, divided by those drawn. The
    intervals of 95% are percentiles of resamples within each called level (of a publisher: within
    its statements of each called level). Where all drawn of a level agree they have no width there;
    the counts tell.

    Parameters
    ----------
    sample : Sample
        From `read_coded`.
    seed : int, optional
        Seed of the resamples.
    resamples : int, optional
        Their number.

    Returns
    -------
    dict
        ``model``; and flat names -> float: ``threat.precision`` (called so: is so),
        ``threat.any_precision`` (called so: is of any level), ``threat.at_least_warning``,
        ``threat.base_rate`` (share of all statements); of any level ``any.precision``,
        ``any.recall``, ``any.f1``, ``any.base_rate``; ``review.share`` (marked, of all statements),
        ``review.errors_caught`` (marked, of those called a wrong level); each with ``.low`` and ``.high``; counts
        ``rows``, ``population``, ``unsure``, ``threat.rows``, ``threat.population``,
        ``called.<level>.<coded>``; all of them also as ``publisher.<name>.<figure>``; and
        ``left_out``. What is undefined is left out: of a publisher of which no statement of a level
        was drawn although some were called so, all that needs it. Recall of a single level is not
        given: a few hundred called `none` are too few to hold its misses.
    """
    rng = np.random.default_rng(seed)
    everyone = {level: sum(by.values()) for level, by in sample.population.items()}
    out: dict[str, Any] = {"model": sample.model, "left_out": float(sample.left_out)}
    out |= _measured(sample.rows, everyone, rng, resamples)
    for name in sorted({name for by in sample.population.values() for name in by}):
        rows = sample.rows[sample.rows["publisher"] == name]
        called = {level: by.get(name, 0) for level, by in sample.population.items()}
        figures = _measured(rows, called, rng, resamples)
        out |= {f"publisher.{name}.{key}": value for key, value in figures.items()}
    return out


def add(folder: Path, tier: str, figures: Mapping[str, Any]) -> Path:
    """Put the figures of a tier into a model's ``metrics.json`` and render its card again.

    Parameters
    ----------
    folder : Path
        Folder of the model.
    tier : str
        One of `scoring.tiers.TIERS`.
    figures : mapping
        From `measure`.

    Returns
    -------
    Path
        The card.

    Raises
    ------
    UsageError
        If there is no such tier.
    scoring.errors.ArtifactMissing, scoring.errors.ArtifactTampered, scoring.errors.OutputError
        As `training.card.put`.
    """
    if tier not in TIERS:
        raise UsageError(f"expected a tier ({', '.join(TIERS)}), found {tier!r}. Name one.")
    measured = card.read_metrics(folder).get("base_rates", {}) | {tier: dict(figures)}
    in_order = {name: measured[name] for name in TIERS if name in measured}
    return card.put(folder, base_rates=in_order)


def _measured(
    rows: pd.DataFrame, called: Mapping[str, int], rng: np.random.Generator, resamples: int
) -> Metrics:
    """Figures of the rows given, which stand for so many called each level."""
    marked = rows.get("review", pd.Series(False, rows.index)).astype(int)
    cells = np.zeros((len(LEVELS), len(LEVELS), 2))  # called, coded, marked for review or not
    np.add.at(cells, (rows["called"].map(CODE), rows["coded"].map(CODE), marked), 1)
    counts = cells.reshape(len(LEVELS), -1)
    size = np.array([called.get(level, 0) for level in LEVELS], dtype=float)
    drawn = [_figures(_weighted(_resampled(counts, rng, resamples), size))] if resamples else []
    out = with_intervals(_figures(_weighted(counts[None], size)), drawn)
    out |= {
        "rows": float(counts.sum()),
        "population": float(size.sum()),
        "unsure": float(rows["unsure"].sum()),
    }
    for code, level in enumerate(LEVELS):
        out[f"{level}.rows"] = float(counts[code].sum())
        out[f"{level}.population"] = float(size[code])
        for other, name in enumerate(LEVELS):
            out[f"called.{level}.{name}"] = float(cells[code, other].sum())
    unknown = () if "review" in rows else ("review.share", "review.errors_caught")
    return {
        name: value
        for name, value in out.items()
        if not (np.isnan(value) or name.startswith(unknown))
    }


def _resampled(counts: Array, rng: np.random.Generator, resamples: int) -> Array:
    """Draw the rows of each called level again: shape (resamples, *counts.shape)."""
    out = np.zeros((resamples, *counts.shape))
    for code, row in enumerate(counts):
        if n := int(row.sum()):
            out[:, code] = rng.multinomial(n, row / n, size=resamples)
    return out


def _weighted(counts: Array, size: Array) -> Array:
    """Weight the rows of (batch, called, ...) to the size of each called level; NaN: none drawn."""
    drawn = np.broadcast_to(counts.sum(axis=2, keepdims=True), counts.shape)
    shares = ratio(counts, drawn)
    return np.asarray(np.where(size[:, None] > 0, shares * size[:, None], 0))


def _figures(weighted: Array) -> dict[str, Array]:
    """Figures of weighted rows (batch, called, coded and marked or not): name -> shape (batch,)."""
    cells = weighted.reshape(-1, len(LEVELS), len(LEVELS), 2)
    matrix, marked = cells.sum(axis=3), cells[..., 1]
    right_marked = np.trace(marked, axis1=1, axis2=2)
    wrong = matrix.sum(axis=(1, 2)) - np.trace(matrix, axis1=1, axis2=2)
    everything = matrix.sum(axis=(1, 2))
    called, coded = matrix.sum(axis=2), matrix.sum(axis=1)
    right, some = matrix[:, 1:, 1:].sum(axis=(1, 2)), coded[:, 1:].sum(axis=1)
    out = {
        "any.precision": ratio(right, called[:, 1:].sum(axis=1)),
        "any.recall": ratio(right, some),
        "any.f1": ratio(2 * right, called[:, 1:].sum(axis=1) + some),
        "any.base_rate": ratio(some, everything),
        "review.share": ratio(marked.sum(axis=(1, 2)), everything),
        "review.errors_caught": ratio(marked.sum(axis=(1, 2)) - right_marked, wrong),
    }
    for code, level in enumerate(LEVELS):
        out[f"{level}.precision"] = ratio(matrix[:, code, code], called[:, code])
        out[f"{level}.any_precision"] = ratio(matrix[:, code, 1:].sum(axis=1), called[:, code])
        out[f"{level}.base_rate"] = ratio(coded[:, code], everything)
    warning, threat = CODE["warning"], CODE["threat"]
    serious = matrix[:, threat, warning:].sum(axis=1)
    return out | {"threat.at_least_warning": ratio(serious, called[:, threat])}
