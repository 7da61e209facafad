"""Tables that ``tension score`` wrote, read back: whatever their format, the same rows."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import Final

import pandas as pd

from scoring.errors import InputError
from scoring.inputs import expand, open_source, unreadable
from scoring.levels import LEVELS, PROBABILITIES

_TEXTS: Final = ["article_id", "text", "publisher", "source", "target", "model"]
_NUMBERS: Final = ["sentence", "score", *PROBABILITIES]
_NEEDED: Final = ["article_id", "sentence", "text", "model"]
_BOOL: Final = {"true": True, "false": False, True: True, False: False}


def read(names: Iterable[str], columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Read columns of scored tables, one table after the other.

    Parameters
    ----------
    names : iterable of str
        Tables of ``tension score`` (Parquet, JSONL or CSV, also gzip), folders or globs of several, or ``-``.
    columns : sequence of str
        Columns of the records, ``level`` among them.

    Yields
    ------
    pandas.DataFrame
        The rows as they are in the file: numbers as floats, ``review`` as bool, all else as text; null where there
        is none, and in ``level`` where a sentence could not be scored.

    Raises
    ------
    InputError
        If a table cannot be read or is none of ``tension score``; names it and the row.
    """

    def fail(error: InputError) -> None:
        raise error

    for source in expand(list(names), fail):
        try:
            with closing(open_source(source)) as stream:
                rows = _rows(stream, source.name, source.suffix, list(columns))
        except OSError as error:
            raise unreadable(source.name, error) from error
        yield _checked(rows, source.name)


def _rows(stream: io.BufferedReader, name: str, suffix: str, columns: list[str]) -> pd.DataFrame:
    """Read columns of one table, as they are in the file."""
    try:
        if suffix == ".parquet":
            return pd.read_parquet(io.BytesIO(stream.read()), columns=columns)
        if suffix == ".csv":
            texts = pd.read_csv(stream, dtype=str, keep_default_na=False, usecols=columns)
            return texts[columns].replace("", None)
    except (ValueError, KeyError, OSError) as error:
        found = (str(error).splitlines() or [type(error).__name__])[0]
        raise _no_table(name, f"({found:.200})") from error
    if suffix not in (".jsonl", ".ndjson", ""):
        raise _no_table(name, f"a file that ends in {suffix}")
    rows = []
    for number, line in enumerate(stream, 1):
        try:
            row = json.loads(line)
            rows.append([row[column] for column in columns])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise _no_table(name, _why(error), number) from error
    return pd.DataFrame(rows, columns=columns, dtype=object)


def _why(error: Exception) -> str:
    """Say what is wrong with a line of JSONL."""
    if isinstance(error, KeyError):
        return f"no column {error.args[0]}"
    return "what is no JSON object in UTF-8"


def _no_table(name: str, found: str, line: int | None = None) -> InputError:
    problem = f"expected a Parquet, JSONL or CSV table of tension score, found {found}."
    return InputError(name, problem, "Score with --all -o TABLE.parquet.", line)


def _checked(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """Give the columns their types; what does not fit is an error that names the row."""
    out = rows.astype(object).where(rows.notna(), None)
    for column in out.columns.intersection(_TEXTS):
        out[column] = [None if value is None else _undefused(str(value)) for value in out[column]]
    given = out["level"].notna()
    wrong = {"level": ~out["level"].isin([*LEVELS, None])}
    for column in out.columns.intersection(_NUMBERS):
        out[column] = pd.to_numeric(out[column], errors="coerce").astype(float)
        if column != "sentence":
            wrong[column] = given & ~out[column].between(0, 1)
    if "review" in out:
        review = out["review"].map(lambda value: _BOOL.get(value))
        wrong["review"] = review.isna()
    for column in out.columns.intersection(_NEEDED):
        wrong[column] = wrong.get(column, False) | out[column].isna()
    bad = pd.DataFrame(wrong)
    if bad.any(axis=None):
        at = int(bad.any(axis=1).to_numpy().argmax())
        column = str(bad.columns[int(bad.iloc[at].to_numpy().argmax())])
        shown = rows.iloc[at][column]
        found = f"no {column}" if pd.isna(shown) else f"{column} {shown!r:.80}"
        raise _no_table(name, found, at + 1)
    return out.assign(review=review.astype(bool)) if "review" in out else out


def _undefused(cell: str) -> str:
    """Take away the quote with which CSV keeps a spreadsheet from running a cell as a formula."""
    return cell[1:] if cell.startswith("'") and cell[1:2] in tuple("=+-@\t\r\n＝＋－＠") else cell
