"""Append what coders agree on to a file of labelled statements, or of labels by id: whole or not at all."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from scoring.batch import json_line, whole_file
from scoring.errors import OutputError, UsageError
from training import dataset
from training.dataset import LABEL_FIELDS, DataError
from training.hydrate import BASE_RATES, CORPUS, HELD_OUT, sources
from training.review.agreement import same
from training.review.codes import CODE_FIELDS, Codes, Row


class Merged(NamedTuple):
    """What came of a merge.

    Parameters
    ----------
    added : list of dict
        Lines appended.
    alone : int
        How many of them one coder alone coded.
    adjudicated : int
        How many of them come from the adjudicated codes.
    there : int
        Statements that the file has already, labelled the same.
    left : dict of str to list of str
        Ids that were not merged, by the reason why.
    """

    added: list[Row]
    alone: int
    adjudicated: int
    there: int
    left: dict[str, list[str]]


def merge(
    coders: Sequence[Codes],
    into: Path,
    *,
    adjudicated: Codes | None = None,
    ids_only: bool = False,
    at_least: int = 1,
    pool: str | None = None,
    corpus: Path = CORPUS,
) -> Merged:
    """Append to a file what all who coded a statement agree on.

    Parameters
    ----------
    coders : sequence of Codes
        One or more.
    into : Path
        Labelled statements, as JSONL, outside of the repository or ignored by git; with `ids_only` labels without text.
        Need not exist.
    adjudicated : Codes, optional
        What decides where coders differ; wins everywhere.
    ids_only : bool, optional
        Append labels by id, without text.
    at_least : int, optional
        Coders that a statement needs, unless it is adjudicated.
    pool : str, optional
        Pool of what is added; by default that of the queue.
    corpus : Path, optional
        Folder of the labels: what is held out or kept apart there is not merged.

    Returns
    -------
    Merged

    Raises
    ------
    UsageError
        If the file is not one to write such lines into.
    DataError
        If the file is not as it should be before, or would not be after: it is as it was then.
    OutputError
        If it cannot be written.
    """
    before = _before(into, ids_only)
    decided, left = _decided(coders, adjudicated, at_least)
    kept = {id_: name for name in (HELD_OUT, BASE_RATES) for id_ in _labels(corpus / name)}
    have = dict(zip(before["id"], before[["level", "dyads"]].to_dict("records"), strict=True))
    added, there = [], 0
    for id_, rows in decided.items():
        if id_ in kept:
            left.setdefault(f"kept apart in {kept[id_]}", []).append(id_)
        elif id_ not in have:
            added.append(_line(rows, ids_only, pool))
        elif same([have[id_], rows[0]]):
            there += 1
        else:
            left.setdefault(f"labelled otherwise in {into}", []).append(id_)
    if ids_only:
        _check_pools(added, into)
    if added:
        _append(into, added)
    new = {row["id"] for row in added}
    judged = len(new & set(adjudicated.rows if adjudicated else ()))
    alone = sum(len(rows) == 1 for id_, rows in decided.items() if id_ in new) - judged
    return Merged(added, alone, judged, there, left)


def _decided(
    coders: Sequence[Codes], adjudicated: Codes | None, at_least: int
) -> tuple[dict[str, list[Row]], dict[str, list[str]]]:
    """Return what each statement's coders said, where they agree or it is adjudicated; and what is left, and why."""
    said: dict[str, list[Row]] = {}
    for coder in coders:
        for id_, row in coder.rows.items():
            said.setdefault(id_, []).append(row | {"coder": coder.name})
    judged = {} if adjudicated is None else adjudicated.rows
    decided: dict[str, list[Row]] = {}
    left: dict[str, list[str]] = {}
    for id_ in dict.fromkeys([*said, *judged]):
        if id_ in judged and adjudicated is not None:
            decided[id_] = [judged[id_] | {"coder": adjudicated.name}]
        elif not same(said[id_]):
            left.setdefault("the coders differ", []).append(id_)
        elif len(said[id_]) < at_least:
            left.setdefault(f"coded by fewer than {at_least}", []).append(id_)
        else:
            decided[id_] = said[id_]
    return decided, left


def _line(rows: Sequence[Row], ids_only: bool, pool: str | None) -> Row:
    """Make the line of a statement: unsure if one of its coders was."""
    given: Row = {"unsure": any(row["unsure"] for row in rows)}
    given["coder"] = "+".join(row["coder"] for row in rows)
    given["time"] = max(row.get("time", "") for row in rows)
    row = rows[0] | given | ({"pool": pool} if pool else {})
    names = LABEL_FIELDS if ids_only else CODE_FIELDS
    if missing := [name for name in names if name not in row]:
        raise UsageError(
            f"expected codes with their {missing[0]}, found {row['id']} without. Merge labels with --ids-only."
        )
    return {name: row[name] for name in names}


def _labels(folder: Path) -> list[str]:
    return list(dataset.labels([folder])["id"]) if any(folder.glob("*.jsonl")) else []


def _before(into: Path, ids_only: bool) -> pd.DataFrame:
    """Read and check the file as it is, and refuse one that such lines do not belong into."""
    if into.is_dir():
        raise UsageError(
            f"{into}: expected a file to append to, found a folder. Name a file in it."
        )
    if not ids_only:
        _refuse_committed(into)
    if not into.exists() or not into.read_bytes().strip():
        return pd.DataFrame(columns=["id", "level", "dyads"])
    labels = dataset.labels([into])
    if labels.empty == ids_only:
        kinds = ("statements with text", "labels without text")
        raise UsageError(
            f"{into}: expected a file of {kinds[ids_only]}, found {kinds[not ids_only]}. "
            f"Name another with --into, or {'leave out' if ids_only else 'give'} --ids-only."
        )
    return labels if ids_only else dataset.read([into])


def _refuse_committed(into: Path) -> None:
    """Refuse a file that git would commit: sentences of others may not be passed on."""
    folder = into.resolve().parent
    try:
        done = subprocess.run(  # noqa: S603 - no shell
            ["git", "check-ignore", "--quiet", str(into.resolve())],  # noqa: S607 - the user's git
            cwd=folder,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as error:
        if not folder.is_dir():
            raise OutputError(f"{into}: expected a folder to write into, found none.") from error
        return  # no git: no repository to commit to
    if done.returncode == 1:
        raise UsageError(
            f"{into}: expected a file that git ignores, as it will hold the text of others, found one that it would "
            "commit. Name one outside of the repository or hydrated-NAME.jsonl, or give --ids-only."
        )


def _check_pools(rows: Sequence[Row], into: Path) -> None:
    """Refuse a pool that the table beside the file does not tell the source of."""
    if not (into.parent / "sources.toml").is_file():
        return
    known = sources(into.parent)
    if unknown := sorted({row["pool"] for row in rows} - set(known)):
        raise UsageError(
            f"expected a pool of {into.parent / 'sources.toml'}, found {unknown[0]!r}. "
            f"Name one with --pool ({', '.join(known)}), or add it there."
        )


def _append(into: Path, rows: Sequence[Row]) -> None:
    """Write the file anew with the rows behind it, after a check of the whole."""
    content = into.read_bytes() if into.exists() else b""
    if content and not content.endswith(b"\n"):
        content += b"\n"
    content += b"".join(map(json_line, rows))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / into.name
        copy.write_bytes(content)
        try:
            dataset.labels([copy])
        except DataError as error:
            remedy = f"{error.remedy} Nothing was merged."
            raise DataError(str(into), error.problem, remedy, error.line) from error
    with whole_file(into) as file:
        file.write(content)
