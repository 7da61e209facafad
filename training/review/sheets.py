"""A queue as a sheet for who labels elsewhere, and the filled sheet as codes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from scoring.batch import CsvWriter, whole_file
from scoring.errors import UsageError
from training.dataset import DataError, Dyad, statement_id
from training.review.codes import (
    AnswerError,
    Row,
    coded,
    objects,
    parse_dyads,
    parse_level,
    typed_dyads,
    write_rows,
)

COLUMNS: Final = ("n", "id", "text", "level", "dyads", "unsure")
"""Columns of a sheet; the last three are for the coder to fill."""

_YES: Final = frozenset({"true", "yes", "y", "1", "x", "?"})
_NO: Final = frozenset({"false", "no", "n", "0", "", "none"})
_FORMULA: Final = tuple("=+-@\t\r\n＝＋－＠")


def export(queue: Sequence[Row], to: Path) -> None:
    """Write a queue as a sheet to fill: CSV, formulas defused, or JSONL, by the name's ending.

    Nothing in it tells what a model says of a statement, or why it was picked.

    Parameters
    ----------
    queue : sequence of dict
        From `training.review.codes.read_queue`.
    to : Path
        File to write.

    Raises
    ------
    UsageError
        If the name ends in neither.
    scoring.errors.OutputError
        If it cannot be written.
    """
    blank = {"level": "", "dyads": "", "unsure": ""}
    rows = [
        {"n": n, "id": row["id"], "text": row["text"]} | blank for n, row in enumerate(queue, 1)
    ]
    if to.suffix == ".jsonl":
        write_rows(to, rows)
    elif to.suffix == ".csv":
        with whole_file(to) as file:
            writer = CsvWriter(file, COLUMNS)
            writer.write(pd.DataFrame(rows, columns=list(COLUMNS)))
            writer.close()
    else:
        raise UsageError(f"{to}: expected a name that ends in .csv or .jsonl. Name another -o.")


def read_sheet(path: Path, queue: Sequence[Row], coder: str) -> tuple[list[Row], list[DataError]]:
    """Read a filled sheet.

    Parameters
    ----------
    path : Path
        As `export` wrote it, then filled: ``level`` and ``dyads`` as they are typed at the terminal, ``unsure`` yes
        or no. Rows without level are not coded yet.
    queue : sequence of dict
        The queue that it was made of.
    coder : str
        Name of the coder.

    Returns
    -------
    codes : list of dict
        Lines of codes, in the order of the sheet.
    errors : list of DataError
        What is wrong, by file and line; with any of them the codes are not to be used.

    Raises
    ------
    DataError
        If it is no such sheet at all.
    """
    codes: dict[str, Row] = {}
    errors: list[DataError] = []
    for number, row in _rows(path):
        try:
            entry = _entry(row, queue)
            if not _cell(row, "level"):
                if _cell(row, "dyads"):
                    raise AnswerError("expected a level beside the dyads, found none.")
                continue
            if entry["id"] in codes:
                raise AnswerError(f"expected each statement once, found n {row['n']} again.")
            codes[entry["id"]] = coded(entry, *_given(row), coder)
        except AnswerError as error:
            errors.append(DataError(str(path), str(error), "Mend the row.", number))
    return list(codes.values()), errors


def _given(row: Row) -> tuple[str, list[Dyad], bool]:
    level, unsure = parse_level(_cell(row, "level"))
    dyads = row.get("dyads")
    if isinstance(dyads, list):
        try:
            dyads = typed_dyads(dyads)
        except (TypeError, ValueError) as error:
            raise AnswerError(
                f"expected dyads [source, target, level], found {dyads!r:.80}."
            ) from error
    found = _cell(row, "unsure").lower()
    if found not in _YES | _NO:
        raise AnswerError(f"expected unsure to be yes or no, found {row['unsure']!r:.80}.")
    return level, parse_dyads(str(dyads or ""), level), unsure or found in _YES


def _cell(row: Row, name: str) -> str:
    value = row.get(name)
    return "" if value is None else str(value).strip()


def _entry(row: Row, queue: Sequence[Row]) -> Row:
    """Find the statement of a row by its number; id or text confirm it, as a spreadsheet may spoil one of them."""
    number = _cell(row, "n").removesuffix(".0")
    if not number.isdecimal() or not 1 <= int(number) <= len(queue):
        raise AnswerError(f"expected n to be a number of the queue, found {number!r:.80}.")
    entry = queue[int(number) - 1]
    text = str(row.get("text") or "")
    plain = text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA) else text
    if entry["id"] not in (_cell(row, "id"), statement_id(text), statement_id(plain)):
        raise AnswerError(
            f"expected statement {entry['id']} of the queue at n {number}, found another "
            f"({_cell(row, 'id')!r:.40}): is it the sheet of this queue?"
        )
    return entry


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if path.suffix == ".jsonl":
        yield from objects(path)
        return
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        problem = f"expected a readable file in UTF-8, found none ({error})."
        raise DataError(str(path), problem, "Check the path, or save it as CSV UTF-8.") from error
    first = content.split("\n", 1)[0]
    separator = max(",;\t", key=first.count)  # spreadsheets of some countries write semicolons
    reader = csv.DictReader(io.StringIO(content, newline=""), delimiter=separator)
    try:
        missing = [name for name in COLUMNS[:5] if name not in (reader.fieldnames or ())]
        if missing:
            problem = f"expected the columns {', '.join(COLUMNS)}, missing: {', '.join(missing)}."
            raise DataError(str(path), problem, "Make one with tension-train review export.", 1)
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        problem = f"expected CSV, found something else ({error})."
        raise DataError(str(path), problem, "Save it as CSV.", reader.line_num) from error
