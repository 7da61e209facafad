"""Labelled statements: read from JSONL, checked line by line, digested, grouped, kept apart."""

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

LABEL_FIELDS: Final[dict[str, type]] = {
    "id": str,
    "pool": str,
    "stratum": str,
    "coder": str,
    "level": str,
    "dyads": list,
    "unsure": bool,
}
"""Fields of a label whose text may not be passed on: ``coder`` and no ``text`` tell it from a statement."""

SHINGLE: Final = 8
"""Words in a row that make two statements near-duplicates.

On the real training set 8 words join reprints and the stock sentences of one story; 6 words begin
to chain different statements through the formulas of official prose.
"""

Dyad = tuple[str | None, str | None, str]
"""Source, target and level; None for a side that the sentence leaves unnamed."""

_WORD: Final = re.compile(r"[^\W\d_]+")
_ID: Final = re.compile(r"[0-9a-f]{12}")


HYDRATE: Final = (
    "tension-train hydrate --from FOLDER_OF_TEXTS, then add --data hydrated.jsonl (docs/corpus.md)"
)
"""How to join labels with their texts, for messages."""


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
    """Read and check labelled statements that have their text.

    Labels without text are checked too and left out: `unhydrated` gives those that are missed.

    Parameters
    ----------
    paths : sequence of Path
        JSONL files, or folders, of which every ``*.jsonl`` is read in the order of the names;
        their subfolders are not.

    Returns
    -------
    pandas.DataFrame
        One row per statement in the order of the lines, index 0..n-1, columns `FIELDS`: ``unsure``
        bool, ``dyads`` a list of (source, target, level) with None for a side unnamed, the rest
        str; and ``place``, the file and line, for messages.

    Raises
    ------
    DataError
        At the first line that is not a statement labelled by the codebook, names file and line; or
        if there are only labels without text.
    """
    rows = _rows(paths)
    statements = [row for row in rows if "text" in row]
    if rows and not statements:
        problem = f"expected statements with their text, found {len(rows):,} labels without."
        where = ", ".join(map(str, paths))
        raise DataError(where, problem, f"Hydrate them first: {HYDRATE}.")
    return pd.DataFrame(statements, columns=[*FIELDS, "place"]).astype({"unsure": bool})


def labels(paths: Sequence[Path]) -> pd.DataFrame:
    """Read and check labels by id, without text; statements with text are checked and left out.

    Parameters
    ----------
    paths : sequence of Path
        As `read` takes them.

    Returns
    -------
    pandas.DataFrame
        One row per label in the order of the lines, index 0..n-1, columns `LABEL_FIELDS` and
        ``place``, of the types of `read`.

    Raises
    ------
    DataError
        As of `read`.
    """
    return _labels_of(_rows(paths))


def unhydrated(paths: Sequence[Path]) -> pd.DataFrame:
    """Return those of `labels` whose text is in none of the files: `read` gives all but these."""
    rows = _rows(paths)
    found = _labels_of(rows)
    hydrated = found["id"].isin({row["id"] for row in rows if "text" in row})
    return found[~hydrated].reset_index(drop=True)


def advice(missing: pd.DataFrame) -> str:
    """Say in one line what training without these labels costs, and how to hydrate them.

    Parameters
    ----------
    missing : pandas.DataFrame
        From `unhydrated`, not empty.
    """
    pools = ", ".join(f"{pool} {n:,}" for pool, n in missing["pool"].value_counts().items())
    return (
        f"{len(missing):,} labels of real statements lack their text and are left out ({pools}). "
        "A model of our own statements alone is less accurate on real news: the card says by how "
        f"much. To join the texts: {HYDRATE}."
    )


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
    known: dict[tuple[str, ...], int] = {}
    rows: list[int] = []
    columns: list[int] = []
    for row, text in enumerate(statements["text"]):
        for shingle in shingles(text):
            rows.append(row)
            columns.append(known.setdefault(shingle, len(known)))
    # A graph of statements and shingles; statements joined by a path of shingles are one component.
    n = len(statements)
    size = n + len(known)
    edges = (np.ones(len(rows)), (np.array(rows, dtype=int), np.array(columns, dtype=int) + n))
    _, labels = connected_components(csr_array(edges, shape=(size, size)), directed=False)
    return np.unique(labels[:n], return_inverse=True)[1].astype(np.int64)


def near_duplicates(train: pd.DataFrame, held: pd.DataFrame) -> pd.DataFrame:
    """Name the training statements that come near a held-out one.

    Two come near each other if they share `SHINGLE` words in a row (shorter ones: all words), case,
    digits and punctuation aside. Linear in the words.

    Parameters
    ----------
    train, held : pandas.DataFrame
        From `read`.

    Returns
    -------
    pandas.DataFrame
        One row per pair, in the order of `train` and then of `held`: the ids, ``train`` and
        ``held``, and ``train_place`` and ``held_place``, file and line.
    """
    pairs = _near(train, held)
    sides = []
    for side, (name, part) in enumerate((("train", train), ("held", held))):
        columns = {"id": name, "place": f"{name}_place"}
        rows = part.reindex(columns=[*columns]).iloc[[pair[side] for pair in pairs]]
        sides.append(rows.rename(columns=columns).reset_index(drop=True))
    return pd.concat(sides, axis=1)


def _near(train: pd.DataFrame, held: pd.DataFrame) -> list[tuple[int, int]]:
    """Return the positions of the rows of `train` and `held` that share a shingle, sorted."""
    holders: dict[tuple[str, ...], list[int]] = {}
    for row, text in enumerate(held["text"]):
        for shingle in shingles(text):
            holders.setdefault(shingle, []).append(row)
    pairs = {
        (row, other)
        for row, text in enumerate(train["text"])
        for shingle in shingles(text)
        for other in holders.get(shingle, ())
    }
    return sorted(pairs)


def apart(train: pd.DataFrame, held: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Leave out the training statements that come near a held-out one.

    Parameters
    ----------
    train, held : pandas.DataFrame
        From `read`.

    Returns
    -------
    train : pandas.DataFrame
        The others in their order, index 0..n-1.
    left_out : list of str
        Ids of those left out.

    Raises
    ------
    DataError
        If an id is in both.
    """
    _refuse_shared(train, held)
    near = np.zeros(len(train), dtype=bool)
    near[[row for row, _ in _near(train, held)]] = True
    return train[~near].reset_index(drop=True), list(train["id"][near])


def check_apart(train: pd.DataFrame, held: pd.DataFrame, most: int | None = None) -> int:
    """Refuse statements that are in both tables, and count those that come near.

    Parameters
    ----------
    train, held : pandas.DataFrame
        From `read`.
    most : int, optional
        Refuse more near ones than that; by default they are counted only.

    Returns
    -------
    int
        How many rows of `held` come near a row of `train` (`near_duplicates`).

    Raises
    ------
    DataError
        If an id is in both, or more than `most` rows of `held` come near; names the first.
    """
    _refuse_shared(train, held)
    count = len({other for _, other in _near(train, held)})
    if most is not None and count > most:
        first = near_duplicates(train, held).iloc[0]
        raise DataError(
            "held-out data",
            f"expected at most {most:,} statements that share {SHINGLE} words in a row with one of "
            f"training, found {count:,}: {first['held']} ({first['held_place']}) and "
            f"{first['train']} ({first['train_place']}) first.",
            "Leave those of training out: training.dataset.apart does.",
        )
    return count


def _refuse_shared(train: pd.DataFrame, held: pd.DataFrame) -> None:
    both = sorted(set(train["id"]) & set(held["id"]))
    if both:
        raise DataError(
            "held-out data",
            f"expected statements that training does not see, found {len(both)} that it does, "
            f"{both[0]} first.",
            "Take them out of one of the two.",
        )


def shingles(text: str) -> list[tuple[str, ...]]:
    """Return what near-duplicates share: each stretch of `SHINGLE` words; of a shorter text the one that it is."""
    words = _WORD.findall(text.lower())
    starts = range(max(1, len(words) - SHINGLE + 1))
    return [tuple(words[start : start + SHINGLE]) for start in starts]


def _labels_of(rows: list[dict[str, Any]]) -> pd.DataFrame:
    found = [row for row in rows if "text" not in row]
    return pd.DataFrame(found, columns=[*LABEL_FIELDS, "place"]).astype({"unsure": bool})


def _rows(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Read and check statements and labels alike, in order."""
    rows: list[dict[str, Any]] = []
    seen: dict[tuple[str, str], dict[str, Any]] = {}
    for path in _files(paths):
        before = len(rows)
        for number, line in lines(path):
            row = read_line(line, path, number) | {"place": f"{path}, line {number}"}
            try:
                _check_new(row, seen)
            except _LineError as wrong:
                raise DataError(str(path), wrong.problem, wrong.remedy, number) from wrong
            rows.append(row)
        if len(rows) == before:
            problem = "expected one labelled statement a line, found none."
            raise DataError(str(path), problem, "Give a file that holds statements.")
    return rows


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
        elif found := sorted(path.glob("*.jsonl")):
            yield from found
        else:
            problem = "expected a folder with *.jsonl files, found none in it."
            raise DataError(str(path), problem, "Name the folder or the file of the statements.")


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Give the lines of a JSONL file that are not blank, with their numbers from 1.

    Raises
    ------
    DataError
        If it cannot be read, or is not UTF-8.
    """
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


def read_line(line: str, path: Path, number: int) -> dict[str, Any]:
    """Read and check one labelled statement, or label.

    Parameters
    ----------
    line : str
        JSON.
    path : Path
        File that it is from, for messages.
    number : int
        Line from 1, for messages.

    Returns
    -------
    dict
        `FIELDS`, or `LABEL_FIELDS` of a label without text; further fields are left out.

    Raises
    ------
    DataError
        If it is no statement labelled by the codebook.
    """
    try:
        return _row(line)
    except _LineError as wrong:
        raise DataError(str(path), wrong.problem, wrong.remedy, number) from wrong


def _row(line: str) -> dict[str, Any]:
    """Parse one line; raise `_LineError` if it is no statement, or label, by the codebook."""
    row = _fields(line)
    _check_id(row)
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
    fields = LABEL_FIELDS if "coder" in row and "text" not in row else FIELDS
    if missing := [name for name in fields if name not in row]:
        raise _LineError(f"expected the fields {', '.join(fields)}, missing: {', '.join(missing)}.")
    for name, kind in fields.items():
        if not isinstance(row[name], kind):
            raise _LineError(f"expected {name} to be {kind.__name__}, found {row[name]!r:.80}.")
    return {name: row[name] for name in fields}


def _check_id(row: dict[str, Any]) -> None:
    if "text" not in row:
        if not _ID.fullmatch(row["id"]):
            raise _LineError(f"expected an id of 12 hex digits, found {row['id']!r:.80}.")
        return
    if not row["text"].strip():
        raise _LineError("expected a statement in text, found nothing.")
    expected = statement_id(row["text"])
    if row["id"] != expected:
        raise _LineError(
            f"expected the id {expected} (first 12 hex digits of the SHA-256 of text), "
            f"found {row['id']!r}.",
            "Was the text changed after it was labelled? If it is right, set the id.",
        )


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


def _check_new(row: dict[str, Any], seen: dict[tuple[str, str], dict[str, Any]]) -> None:
    """Refuse a statement read before; case and white space do not make it another one.

    A label and the statement that it was hydrated into are no repetition, if they agree.
    """
    kind = "text" if "text" in row else "label"
    keys = [(kind, row["id"])]
    if kind == "text":
        keys.append(("words", " ".join(row["text"].casefold().split())))
    for key in keys:
        other = seen.setdefault(key, row)
        if other is not row:
            alike = "the same" if _labels(row) == _labels(other) else "different"
            raise _LineError(
                f"expected each statement once, found {row['id']} again with {alike} labels "
                f"({other['place']}).",
                "Keep one of the two.",
            )
    other = seen.get(("label" if kind == "text" else "text", row["id"]), row)
    if _labels(row) != _labels(other):
        raise _LineError(
            f"expected the labels of {row['id']} to be the same with and without its text, found "
            f"others ({other['place']}).",
            "Hydrate again, or keep one of the two.",
        )


def _labels(row: dict[str, Any]) -> tuple[str, list[Dyad]]:
    return row["level"], sorted(row["dyads"], key=repr)
