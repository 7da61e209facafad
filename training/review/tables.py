"""Scored tables as the statements to pick from: what is labelled, held out or kept apart is told apart first."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pandas as pd

from scoring.errors import InputError, UsageError
from scoring.levels import CODE, PROBABILITIES
from scoring.tiers import TIERS
from training import scored
from training.dataset import statement_id
from training.hydrate import CORPUS
from training.review.codes import objects

KEPT_APART: Final = {"RT": 2, "Reuters": 6}
"""Publishers of whose articles one in so many is kept apart for base rates, by a hash of the article's id."""

_COLUMNS: Final = ("text", "article_id", "publisher", "level", "score", *PROBABILITIES, "model")


class Scored(NamedTuple):
    """Statements of scored tables, each text once.

    Parameters
    ----------
    free : pandas.DataFrame
        What may be picked, columns ``id``, ``text``, ``publisher``, ``level``, ``score``, the probabilities, ``model``;
        where there is a second model, its ``other_level``, ``other_model`` and probabilities, null where it did not
        read the text.
    known : list of str
        Texts in the tables that are labelled, left out by the user or kept apart: nothing near them is picked.
    labelled, left_out, apart : int
        How many of each there are in the tables.
    """

    free: pd.DataFrame
    known: list[str]
    labelled: int
    left_out: int
    apart: int


def read(
    tables: Sequence[Path], leave_out: Sequence[Path] = (), corpus: Path | None = CORPUS
) -> Scored:
    """Read tables of one model, or of two that read the same texts.

    Parameters
    ----------
    tables : sequence of Path
        Of ``tension score --all``: Parquet, JSONL or CSV.
    leave_out : sequence of Path, optional
        JSONL files with ``id`` or ``text`` of statements not to pick.
    corpus : Path, optional
        Folder of labels, with those held out and for base rates in subfolders; None: no labels.

    Returns
    -------
    Scored

    Raises
    ------
    InputError
        If a file is none of these.
    UsageError
        If the rows of `none` lack, or there are more than two models.
    """
    frame = pd.concat(list(scored.read(map(str, tables), _COLUMNS)), ignore_index=True)
    frame = frame[frame["level"].notna()]
    if "none" not in set(frame["level"]):
        raise UsageError(
            "expected tables with the rows of every level, found none called none. Score with --all."
        )
    apart = _kept_apart(frame)
    models = sorted(set(frame["model"]), key=_rank)
    if len(models) > 2:
        raise UsageError(
            f"expected tables of one model, or of two, found {', '.join(models)}. Leave out some."
        )
    free = _statements(frame[frame["model"] == models[-1]])
    if len(models) == 2:
        other = _statements(frame[frame["model"] == models[0]])
        other = other[["id", "level", "model", *PROBABILITIES]]
        free = free.merge(other.rename(columns=_other), on="id", how="left")
    labelled = free["id"].isin(ids(sorted(corpus.rglob("*.jsonl"))) if corpus else set())
    left = free["id"].isin(ids(leave_out)) & ~labelled
    kept = free["text"].isin(apart) & ~labelled & ~left
    taken = labelled | left | kept
    counts = (int(labelled.sum()), int(left.sum()), int(kept.sum()))
    return Scored(free[~taken].reset_index(drop=True), [*free["text"][taken]], *counts)


def _other(name: str) -> str:
    return name if name == "id" else f"other_{name}"


def _rank(model: str) -> tuple[int, str]:
    """Order models: the accurate tier behind the fast one, a later version behind an earlier."""
    tier = next((at for at, name in enumerate(TIERS) if model.endswith(f"+{name}")), 0)
    return tier, model


def _statements(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep of the rows of each text the one with the highest level, of these the highest score."""
    rows = rows.assign(code=rows["level"].map(CODE))
    rows = rows.sort_values(
        ["text", "code", "score"], ascending=[True, False, False], kind="stable"
    )
    rows = rows.drop_duplicates("text").drop(columns=["code", "article_id"])
    rows.insert(0, "id", [statement_id(text) for text in rows["text"]])
    return rows.sort_values("id").reset_index(drop=True)


def _kept_apart(rows: pd.DataFrame) -> set[str]:
    """Return the texts that `docs/corpus.md` keeps apart: by the article that a text is read in first."""
    first = rows[rows["publisher"].isin(KEPT_APART)].drop_duplicates("text")
    apart = [
        int(hashlib.sha256(article.encode()).hexdigest()[:4], 16) % KEPT_APART[publisher] == 0
        for article, publisher in zip(first["article_id"], first["publisher"], strict=True)
    ]
    return set(first["text"][apart])


def ids(paths: Sequence[Path]) -> set[str]:
    """Return the ids of JSONL files: of an ``id``, or of a ``text``.

    Raises
    ------
    DataError
        If a line has neither.
    """
    found: set[str] = set()
    for path in paths:
        for number, row in objects(path):
            id_, text = row.get("id"), row.get("text")
            if isinstance(id_, str):
                found.add(id_)
            elif isinstance(text, str):
                found.add(statement_id(text))
            else:
                raise InputError(
                    str(path), "expected an id or a text, found none.", "Add it.", number
                )
    return found
