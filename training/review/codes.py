"""Files of the review: the queue, the codes that a coder gives, and how an answer is typed.

A line of codes is a labelled statement as `training.dataset.read` reads it, with ``coder`` and ``time`` besides.
"""

from __future__ import annotations

import datetime
import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from scoring.actors import actors, find_mentions
from scoring.batch import json_line, whole_file
from scoring.errors import OutputError, TensionError, UsageError
from scoring.levels import CODE, LEVELS
from training.dataset import DataError, Dyad, lines, read_line, statement_id

CODE_FIELDS: Final = (
    "id",
    "text",
    "pool",
    "stratum",
    "level",
    "dyads",
    "unsure",
    "coder",
    "time",
)
"""Fields of a line of codes."""

Row = dict[str, Any]
Say = Callable[[str], None]

_NOBODY: Final = frozenset({"", "?", "-", "null"})
_DYAD_FORM: Final = "RUS>KOR threat, KOR>RUS protest; nothing or ? for a side not named"


class AnswerError(TensionError):
    """An answer is not by the codebook; says what was expected and what was found."""


class Codes(NamedTuple):
    """What one coder coded.

    Parameters
    ----------
    name : str
        The coder's; of labelled statements without a coder, the file's.
    rows : dict of str to dict
        id -> line, in the order of the lines.
    """

    name: str
    rows: dict[str, Row]


# --- what is typed ---


def parse_level(answer: str) -> tuple[str, bool]:
    """Read a typed level: a name, its first letter or its code, with ``?`` behind it if unsure.

    Returns
    -------
    level : str
    unsure : bool

    Raises
    ------
    AnswerError
        If it is none.
    """
    typed = answer.strip().lower()
    unsure = typed.endswith("?")
    level = _level(typed.removesuffix("?").strip())
    if level is None:
        known = ", ".join(f"{code} or {name[0]} ({name})" for name, code in CODE.items())
        raise AnswerError(f"expected a level, {known}, found {answer.strip()!r}.")
    return level, unsure


def _level(typed: str) -> str | None:
    names = {form: name for name, code in CODE.items() for form in (name, name[0], str(code))}
    return names.get(typed)


def parse_dyads(answer: str, level: str) -> list[Dyad]:
    """Read typed dyads, like ``RUS>KOR threat, KOR>RUS protest``.

    Parameters
    ----------
    answer : str
        Dyads, a comma or semicolon between them. A side is a code, or a name that stands for one actor; nothing or
        ``?`` for a side not named. A level left out is that of the statement. No dyads at all: both sides not named.
    level : str
        Level of the statement.

    Returns
    -------
    list of (source, target, level)
        None for a side not named; empty for a statement of level `none`.

    Raises
    ------
    AnswerError
        If it is no list of dyads, or its highest level is not that of the statement.
    """
    parts = [part.strip() for part in re.split("[,;]", answer) if part.strip()]
    if level == LEVELS[0]:
        if parts:
            raise AnswerError(f"expected no dyads of a statement of level none, found {answer!r}.")
        return []
    dyads = [_dyad(part, level) for part in parts] or [(None, None, level)]
    if len({dyad[:2] for dyad in dyads}) < len(dyads):
        raise AnswerError(f"expected each pair of source and target once, found {answer!r}.")
    highest = max((name for *_, name in dyads), key=CODE.__getitem__)
    if highest != level:
        raise AnswerError(
            f"expected {level} to be the highest level of the dyads, found {highest}."
        )
    return dyads


def _dyad(typed: str, level: str) -> Dyad:
    sides = re.split(r"\s*-?>\s*", typed)
    if len(sides) != 2:
        raise AnswerError(f"expected dyads like {_DYAD_FORM}; found {typed!r}.")
    source, rest = sides
    target, _, last = rest.rpartition(" ")
    given = _level(last.lower())
    if given is None:
        target, given = rest, level
    if given == LEVELS[0]:
        raise AnswerError(f"expected only dyads above {given}, found {typed!r}.")
    codes = side(source), side(target)
    if codes[0] is not None and codes[0] == codes[1]:
        raise AnswerError(f"expected two different sides, found {codes[0]} twice.")
    return (*codes, given)


def side(typed: str) -> str | None:
    """Return the code of a side of a dyad that was typed as code or name; None for one not named.

    Raises
    ------
    AnswerError
        If it stands for no actor of the codebook, or for several.
    """
    typed = typed.strip()
    if typed.lower() in _NOBODY:
        return None
    if typed.upper() in actors():
        return typed.upper()
    mentions = find_mentions(typed) or find_mentions(typed.title())
    found = sorted({mention.code for mention in mentions})
    if len(found) != 1:
        known = f"several: {', '.join(found)}" if found else "none of the codebook's"
        raise AnswerError(f"expected a code or name of a state, found {typed!r}, {known}.")
    return found[0]


def typed_dyads(dyads: Iterable[Sequence[str | None]]) -> str:
    """Write dyads as they are typed: `parse_dyads` reads them."""
    return ", ".join(f"{source or '?'}>{target or '?'} {level}" for source, target, level in dyads)


# --- what is on disk ---


def coder_name(given: str) -> str:
    """Check the name of a coder.

    Raises
    ------
    UsageError
        If it is blank, or not in one line.
    """
    name = given.strip()
    if not name or not name.isprintable():
        raise UsageError(f"expected the name of a coder, found {given!r}. Name one with --coder.")
    return name


def now() -> str:
    """Return the time in UTC to the second, in ISO 8601."""
    return f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"


def read_queue(path: Path) -> list[Row]:
    """Read a queue of statements to label.

    Parameters
    ----------
    path : Path
        JSONL with ``text`` and, if wanted, ``id``, ``pool``, ``stratum``; further fields are carried along.

    Returns
    -------
    list of dict
        The statements in order, with ``id``, ``text``, ``pool``, ``stratum``.

    Raises
    ------
    DataError
        If there is none, or a line is not one; names the line.
    """
    rows: dict[str, Row] = {}
    for number, row in objects(path):
        text = row.get("text")
        if not isinstance(text, str) or not text.strip():
            raise _line_error(path, f"expected a statement in text, found {text!r:.80}", number)
        id_ = statement_id(text)
        if row.get("id", id_) != id_:
            raise _line_error(
                path, f"expected the id {id_} of this text, found {row['id']!r:.80}", number
            )
        if id_ in rows:
            raise _line_error(path, f"expected each statement once, found {id_} again", number)
        for name in ("pool", "stratum"):
            if not isinstance(row.setdefault(name, "review"), str):
                raise _line_error(
                    path, f"expected {name} to be str, found {row[name]!r:.80}", number
                )
        rows[id_] = row | {"id": id_}
    if not rows:
        problem = "expected one statement a line, found none."
        raise DataError(str(path), problem, "Pick some with tension-train review pick.")
    return list(rows.values())


def objects(path: Path) -> Iterable[tuple[int, Row]]:
    """Give the JSON objects of a JSONL file with their lines.

    Raises
    ------
    DataError
        At the first line that is none.
    """
    for number, line in lines(path):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _line_error(
                path, f"expected a JSON object, found none ({error})", number
            ) from error
        if not isinstance(row, dict):
            raise _line_error(path, f"expected a JSON object, found {type(row).__name__}", number)
        yield number, row


def _line_error(path: Path, problem: str, number: int) -> DataError:
    return DataError(str(path), f"{problem}.", "Mend the line.", number)


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write a JSONL file, whole or not at all.

    Raises
    ------
    scoring.errors.OutputError
        If it cannot be written.
    """
    with whole_file(path) as file:
        file.write(b"".join(map(json_line, rows)))


def read_codes(path: Path, say: Say) -> Codes:
    """Read the codes of one coder; a line that was cut is left out, and named.

    Parameters
    ----------
    path : Path
        As `append` wrote it; or labelled statements without coder, like those of a corpus.
    say : callable
        Told of each line left out.

    Returns
    -------
    Codes

    Raises
    ------
    DataError
        If a line is not coded by the codebook, a statement is there twice, there are several coders, or nothing.
    """
    rows: dict[str, Row] = {}
    names: set[str] = set()
    for number, line in lines(path):
        if _is_cut(line):
            say(f"{path}, line {number}: cut in the middle; left out, the others are kept.")
            continue
        row = _coded(path, number, line)
        names.add(row.get("coder") or path.stem)
        if row["id"] in rows:
            raise _line_error(
                path, f"expected each statement once, found {row['id']} again", number
            )
        if len(names) > 1:
            found = " and ".join(sorted(names))
            problem = f"expected the codes of one coder, found {found}."
            raise DataError(str(path), problem, "Give each coder a file.", number)
        rows[row["id"]] = row
    if not rows:
        problem = "expected one coded statement a line, found none."
        raise DataError(str(path), problem, "Code some with tension-train review code.")
    return Codes(names.pop(), rows)


def _is_cut(line: str) -> bool:
    """Say whether a line is the beginning of an object that was not written to its end."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return line.startswith("{") and not line.rstrip().endswith("}")
    return False


def _coded(path: Path, number: int, line: str) -> Row:
    """Read one line of codes: a statement, or a label by id."""
    checked = read_line(line, path, number)
    given = json.loads(line)
    for name in ("coder", "time"):
        if not isinstance(given.get(name, ""), str):
            raise _line_error(path, f"expected {name} to be str, found {given[name]!r:.80}", number)
    return checked | {name: given[name] for name in ("coder", "time") if name in given}


def resume(path: Path, coder: str, say: Say) -> list[Row]:
    """Read what a coder has coded so far, and mend a file that was cut in the middle of a line.

    Parameters
    ----------
    path : Path
        The codes; need not exist.
    coder : str
        Who goes on.
    say : callable
        Told of each line left out: its statement is asked again.

    Returns
    -------
    list of dict
        The codes in order.

    Raises
    ------
    DataError
        As of `read_codes`; if they are another coder's.
    OutputError
        If the file cannot be written.
    """
    if not path.exists():
        append(path, [])  # says at once if it cannot be written
        return []
    cut = [number for number, line in lines(path) if _is_cut(line)]
    if len(cut) == sum(1 for _ in lines(path)):
        rows: list[Row] = []
        for number in cut:
            say(f"{path}, line {number}: cut in the middle; left out.")
    else:
        codes = read_codes(path, say)
        if codes.name != coder:
            problem = f"expected codes of {coder}, found those of {codes.name}."
            raise DataError(str(path), problem, "Name another file with -o.")
        rows = list(codes.rows.values())
    if cut or not path.read_bytes().endswith(b"\n"):
        write_rows(path, rows)
    return rows


def coded(entry: Row, level: str, dyads: Sequence[Dyad], unsure: bool, coder: str) -> Row:
    """Make a line of codes of a statement of the queue, at this time."""
    given = {"level": level, "dyads": [list(dyad) for dyad in dyads], "unsure": unsure}
    row = entry | given | {"coder": coder, "time": now()}
    return {name: row[name] for name in CODE_FIELDS}


def append(path: Path, rows: Iterable[Row]) -> None:
    """Add lines to a file; they are on disk when this returns.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    try:
        with path.open("ab") as file:
            file.write(b"".join(map(json_line, rows)))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OutputError(
            f"{path}: expected to write there, found that it cannot be ({error.strerror}). "
            "What was answered before is kept. Name another -o, or make room."
        ) from error
