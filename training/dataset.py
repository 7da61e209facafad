"""Labelled statements: read from JSONL, checked line by line, digested, grouped."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from scoring.actors import actors
from scoring.errors import InputError
from scoring.levels import CODE, LEVELS

FIELDS: Final[dict[str, type]] = {
    "id": str,
    "text": str,
    "pool": str,
    "stratum": str,
    "level": str,
    "dyads": list,
    "unsure": bool,
}
"""Fields of a labelled statement and their JSON types; further fields are left out of the table."""

SHINGLE: Final = 8
"""Words in a row that make two statements near-duplicates.

On the real training set 8 words join reprints and the stock sentences of one story; 6 words begin
to chain different statements through the formulas of official prose.
"""

Dyad = tuple[str | None, str | None, str]
"""Source, target and level; None for a side that the sentence leaves unnamed."""

_WORD: Final = re.compile(r"[^\W\d_]+")


class DataError(InputError):
    """A labelled statement, or a file of them, is not as training needs it."""


class _LineError(Exception):
    """What is wrong with a line, and the remedy; `read` adds where."""

    def __init__(
        self, problem: str, remedy: str = "Mend the line; the codebook is docs/codebook.md."
    ) -> None:
        super().__init__(problem)
        self.problem, self.remedy = problem, remedy


def read(paths: Sequence[Path]) -> pd.DataFrame:
    """Read and check labelled statements.

    Parameters
    ----------
    paths : sequence of Path
        JSONL files, or folders, of which every ``*.jsonl`` is read in the order of the names.

    Returns
    -------
    pandas.DataFrame
        One row per statement in the order of the lines, index 0..n-1, columns `FIELDS`: ``unsure``
        bool, ``dyads`` a list of (source, target, level) with None for a side unnamed, the rest
        str.

    Raises
    ------
    DataError
        At the first line that is not a statement labelled by the codebook; names file and line.
    """
    rows: list[dict[str, Any]] = []
    seen: dict[str, tuple[str, dict[str, Any]]] = {}
    for path in _files(paths):
        before = len(rows)
        for number, line in _lines(path):
            try:
                row = _statement(line)
                _check_new(row, f"{path}, line {number}", seen)
            except _LineError as wrong:
                raise DataError(str(path), wrong.problem, wrong.remedy, number) from wrong
            rows.append(row)
        if len(rows) == before:
            problem = "expected one labelled statement a line, found none."
            raise DataError(str(path), problem, "Give a file that holds statements.")
    return pd.DataFrame(rows, columns=list(FIELDS)).astype({"unsure": bool})


def statement_id(text: str) -> str:
    """Return the id of a statement: the first 12 hex digits of the SHA-256 of its text in UTF-8."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def digest(statements: pd.DataFrame) -> str:
    """Digest what was labelled and how: SHA-256 in hex over the sorted (id, level, dyads).

    Parameters
    ----------
    statements : pandas.DataFrame
        From `read`.

    Returns
    -------
    str
        64 hex digits, the same for any order of the rows, and of the dyads of a row.
    """
    rows = sorted(
        [id_, level, sorted(map(list, dyads), key=json.dumps)]
        for id_, level, dyads in statements[["id", "level", "dyads"]].itertuples(index=False)
    )
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def groups(statements: pd.DataFrame) -> NDArray[np.int64]:
    """Return the group of near-duplicates of each row: cross-validation keeps each on one side.

    Two statements belong together if they share `SHINGLE` words in a row (shorter ones: all words),
    case, digits and punctuation aside; so do those that a third one joins. Linear in the words.

    Parameters
    ----------
    statements : pandas.DataFrame
        With a column ``text``.

    Returns
    -------
    numpy.ndarray of int64, shape (n,)
        Group of each row, numbered from 0.
    """
    shingles: dict[tuple[str, ...], int] = {}
    rows: list[int] = []
    columns: list[int] = []
    for row, text in enumerate(statements["text"]):
        words = _WORD.findall(text.lower())
        for start in range(max(1, len(words) - SHINGLE + 1)):
            shingle = tuple(words[start : start + SHINGLE])
            rows.append(row)
            columns.append(shingles.setdefault(shingle, len(shingles)))
    # A graph of statements and shingles; statements joined by a path of shingles are one component.
    n = len(statements)
    size = n + len(shingles)
    edges = (np.ones(len(rows)), (np.array(rows, dtype=int), np.array(columns, dtype=int) + n))
    _, labels = connected_components(csr_array(edges, shape=(size, size)), directed=False)
    return np.unique(labels[:n], return_inverse=True)[1].astype(np.int64)


def check_apart(train: pd.DataFrame, held: pd.DataFrame) -> int:
    """Refuse statements that are in both tables, and count those that come near.

    Parameters
    ----------
    train, held : pandas.DataFrame
        From `read`.

    Returns
    -------
    int
        How many rows of `held` share a group of near-duplicates with a row of `train`.

    Raises
    ------
    DataError
        If an id is in both.
    """
    both = sorted(set(train["id"]) & set(held["id"]))
    if both:
        raise DataError(
            "held-out data",
            f"expected statements that training does not see, found {len(both)} that it does, "
            f"{both[0]} first.",
            "Take them out of one of the two.",
        )
    near = groups(pd.concat([train, held], ignore_index=True))
    return int(np.isin(near[len(train) :], near[: len(train)]).sum())


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
        elif found := sorted(path.glob("*.jsonl")):
            yield from found
        else:
            problem = "expected a folder with *.jsonl files, found none in it."
            raise DataError(str(path), problem, "Name the folder or the file of the statements.")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        problem = f"expected UTF-8, found something else ({error.reason} at byte {error.start})."
        raise DataError(str(path), problem, "Save it as UTF-8 JSONL.") from error
    except OSError as error:
        problem = f"expected a readable file, found none ({error.strerror})."
        raise DataError(str(path), problem, "Check the path.") from error
    # Not splitlines(): a JSON string may hold U+2028 or U+0085 as they are.
    for number, line in enumerate(content.split("\n"), 1):
        if line.strip():
            yield number, line


def _statement(line: str) -> dict[str, Any]:
    """Parse one line; raise `_LineError` if it is not a statement labelled by the codebook."""
    row = _fields(line)
    if not row["text"].strip():
        raise _LineError("expected a statement in text, found nothing.")
    expected = statement_id(row["text"])
    if row["id"] != expected:
        raise _LineError(
            f"expected the id {expected} (first 12 hex digits of the SHA-256 of text), "
            f"found {row['id']!r}.",
            "Was the text changed after it was labelled? If it is right, set the id.",
        )
    row["dyads"] = dyads = [_dyad(dyad) for dyad in row["dyads"]]
    if len({dyad[:2] for dyad in dyads}) < len(dyads):
        raise _LineError(f"expected each pair of source and target once, found {dyads}.")
    highest = LEVELS[max((CODE[level] for *_, level in dyads), default=0)]
    if _level(row["level"]) != highest:
        raise _LineError(
            f"expected the level to be the highest of the dyads, {highest}, found {row['level']}."
        )
    return row


def _fields(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _LineError(f"expected a JSON object, found none ({error}).") from error
    if not isinstance(row, dict):
        raise _LineError(f"expected a JSON object, found {type(row).__name__}.")
    if missing := [name for name in FIELDS if name not in row]:
        raise _LineError(f"expected the fields {', '.join(FIELDS)}, missing: {', '.join(missing)}.")
    for name, kind in FIELDS.items():
        if not isinstance(row[name], kind):
            raise _LineError(f"expected {name} to be {kind.__name__}, found {row[name]!r:.80}.")
    return {name: row[name] for name in FIELDS}


def _level(level: object) -> str:
    if not isinstance(level, str) or level not in LEVELS:
        raise _LineError(f"expected a level of {', '.join(LEVELS)}, found {level!r}.")
    return level


def _dyad(dyad: object) -> Dyad:
    if not isinstance(dyad, list) or len(dyad) != 3:
        raise _LineError(f"expected a dyad [source, target, level], found {dyad!r:.80}.")
    source, target, level = dyad
    for code in (source, target):
        if code is not None and (not isinstance(code, str) or code not in actors()):
            raise _LineError(f"expected a code of the codebook or null in a dyad, found {code!r}.")
    if source is not None and source == target:
        raise _LineError(f"expected two different sides in a dyad, found {source} twice.")
    if _level(level) == LEVELS[0]:
        raise _LineError(f"expected only dyads above {level}, found {dyad!r}.")
    return source, target, level


def _check_new(
    row: dict[str, Any], where: str, seen: dict[str, tuple[str, dict[str, Any]]]
) -> None:
    """Refuse a statement read before; case and white space do not make it another one."""
    place, other = seen.setdefault(" ".join(row["text"].casefold().split()), (where, row))
    if other is row:
        return
    alike = _labels(row) == _labels(other)
    raise _LineError(
        f"expected each statement once, found {row['id']} again with "
        f"{'the same' if alike else 'different'} labels ({place}).",
        "Keep one of the two.",
    )


def _labels(row: dict[str, Any]) -> tuple[str, list[Dyad]]:
    return row["level"], sorted(row["dyads"], key=repr)
