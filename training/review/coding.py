"""Code a queue at a terminal: one statement at a time, every answer on disk before the next is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from scoring.actors import find_mentions
from scoring.levels import CODE, LEVELS, codebook
from scoring.report import STYLES, visible
from training.review.codes import (
    AnswerError,
    Row,
    Say,
    append,
    coded,
    parse_dyads,
    parse_level,
    resume,
    typed_dyads,
    write_rows,
)

KEYS: Final = (
    "level: 0-3 or its first letter, ? behind it if unsure; s skip, u undo, q quit, h levels"
)
"""What may be typed, in one line."""

_SKIP: Final = "skip"
_UNDO: Final = "undo"
_QUIT: Final = "quit"
_HELP: Final = "help"
_COMMANDS: Final = {form: name for name in (_SKIP, _UNDO, _QUIT, _HELP) for form in (name, name[0])}

Ask = Callable[[str], str]


def code(queue: Sequence[Row], path: Path, coder: str, ask: Ask, console: Console, say: Say) -> int:
    """Ask for the codes of each statement of a queue that has none yet.

    Parameters
    ----------
    queue : sequence of dict
        From `training.review.codes.read_queue`.
    path : Path
        File of the codes: gone on with, if it is there.
    coder : str
        Name of the coder.
    ask : callable
        Given a prompt, returns what was typed; EOFError ends the session.
    console : rich.console.Console
        Shows the statements.
    say : callable
        Told of what is wrong with the file.

    Returns
    -------
    int
        How many statements of the queue are without codes yet.

    Raises
    ------
    DataError
        If the file holds something else than codes of this coder.
    OutputError
        If it cannot be written.
    """
    done = resume(path, coder, say)
    ids = {row["id"] for row in done}
    left = [entry for entry in queue if entry["id"] not in ids]
    by_id = {entry["id"]: entry for entry in queue}
    total = len(queue)
    at = 0
    while at < len(left):
        entry = left[at]
        _show(console, entry, total - len(left) + 1, total)
        try:
            answer = _answer(entry, coder, ask, console)
        except (EOFError, KeyboardInterrupt):
            break
        if answer == _QUIT:
            break
        if answer == _SKIP:
            at += 1
        elif answer == _UNDO:
            if not done:
                console.print("nothing to undo.")
                continue
            last = done.pop()
            write_rows(path, done)
            if last["id"] in by_id:
                left.insert(at, by_id[last["id"]])
            console.print(f"taken back: {last['level']} {typed_dyads(last['dyads'])}")
        elif isinstance(answer, dict):
            append(path, [answer])
            done.append(answer)
            del left[at]
    return len(left)


def _answer(entry: Row, coder: str, ask: Ask, console: Console) -> Row | str:
    """Ask until there is a whole answer, or a command."""
    while True:
        typed = ask("level> ").strip()
        command = _COMMANDS.get(typed.lower())
        if command == _HELP:
            _help(console)
            continue
        if command:
            return command
        first, _, rest = typed.partition(" ")
        try:
            level, unsure = parse_level(first)
            if level != LEVELS[0] and not rest:
                rest = ask("who > whom> ")
                if _COMMANDS.get(rest.strip().lower()) == _UNDO:
                    continue
            return coded(entry, level, parse_dyads(rest, level), unsure, coder)
        except AnswerError as error:
            console.print(Text(str(error), style="red"))


def _show(console: Console, entry: Row, number: int, total: int) -> None:
    """Show a statement, the actors of the table that it names, and the steps; not what a model says of it."""
    console.rule(f"{number} of {total}", style="dim")
    for at, step in enumerate(codebook()["steps"], 1):
        console.print(Text(f"{at}. {step}", style="dim"))
    console.print(Text(f"\n{visible(entry['text'])}\n", style="bold"))
    named = {
        mention.code: entry["text"][mention.start : mention.end]
        for mention in find_mentions(entry["text"])
    }
    if named:
        shown = ", ".join(f"{code} ({visible(name)})" for code, name in named.items())
        console.print(Text(f"named: {shown}", style="dim"))
    console.print(Text(KEYS, style="dim"))


def _help(console: Console) -> None:
    for name, meaning in codebook()["levels"].items():
        console.print(Text(f"{CODE[name]} {name}: {meaning}", style=STYLES[name]))
    console.print(
        "who > whom: RUS>KOR, or Russia>South Korea; ? for a side not named, nothing for both. Several: "
        "RUS>KOR threat, KOR>RUS protest. In one go: 3? RUS>KOR"
    )
