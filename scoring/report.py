"""Tables for people: scored statements, and the phrases that moved a score."""

from __future__ import annotations

import io
import time
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, Final, cast

import pandas as pd
from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from scoring.batch import Progress, Summary, Writer, as_frame

STYLES: Final[dict[str, str]] = {
    "threat": "bold red",
    "warning": "yellow",
    "protest": "cyan",
    "none": "dim",
}
"""Level -> style of rich."""

_WIDE: Final = 100  # columns from which there is room for the bar and the publisher
_BAR: Final = 5  # cells of the bar of a score
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"


class TableWriter(Writer):
    """Writes records for people, batch after batch under one header, columns of fixed width.

    Parameters
    ----------
    file : binary file
        Standard output or a file; colours only if it is a terminal.
    width : int, optional
        In columns; that of the terminal by default, 80 where there is none.
    """

    def __init__(self, file: IO[bytes], width: int | None = None) -> None:
        super().__init__(as_frame)
        self._console = console(file, width)
        self._header = True

    def put(self, formed: pd.DataFrame) -> None:
        """Print one line a row; no rows print nothing."""
        if formed.empty:
            return
        table = _grid(self._console.width, self._header)
        for row in formed.to_dict("records"):
            table.add_row(*_cells(row, self._console.width))
        self._console.print(table)
        self._console.file.flush()
        self._header = False

    def write_phrases(self, phrases: pd.DataFrame, most: int = 10) -> None:
        """Print the phrases that moved the score of the statements just written.

        Parameters
        ----------
        phrases : pandas.DataFrame
            Columns ``phrase`` and ``effect``, as `scoring.explain.explain` gives them.
        most : int, optional
            Rows at most.
        """
        if len(phrases):
            self._console.print(
                "\n", phrases_table(phrases.head(most), self._console.width), "\n", sep=""
            )

    def close(self) -> None:
        """Say so if there was nothing to show."""
        if self._header:
            self._console.print("No statement at or above the level asked for.", style="dim")
        self._console.file.flush()


def console(file: IO[bytes], width: int | None = None) -> Console:
    """Return a console that writes to a binary file in UTF-8, without markup or highlights."""
    kept = cast(IO[bytes], _Kept(file))
    text = io.TextIOWrapper(kept, encoding="utf-8", errors="replace", write_through=True)
    return Console(file=text, width=width, markup=False, highlight=False, emoji=False)


def _grid(width: int, header: bool) -> Table:
    """Make the table; whatever is in it, it is as wide as the console."""
    table = Table(
        box=None,
        show_header=header,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        header_style="bold",
        width=width,
    )
    columns = {"level": 9, "score": 5, "dyad": 14, "date": 10}
    if width >= _WIDE:
        columns = columns | {"score": 5 + _BAR, "publisher": 14}
    left = max(10, width - sum(columns.values()) - len(columns))
    for name, size in (columns | {"text": left}).items():
        table.add_column(name, width=size, no_wrap=True, overflow="ellipsis")
    return table


def _cells(row: Mapping[Hashable, Any], width: int) -> list[RenderableType]:
    """Make the cells of one record: level with ? for review, score, dyad, date, publisher, text."""
    text = Text(visible(row["text"]))
    date = row["published"]
    when = date.strftime("%Y-%m-%d") if isinstance(date, pd.Timestamp) and not pd.isna(date) else ""
    publisher = [Text(visible(row["publisher"]))] if width >= _WIDE else []
    level = row["level"]
    if not isinstance(level, str):
        why = Text(f"{visible(row['note'])}: {text}", style="dim italic")
        return [Text("-", style="dim"), "", "", when, *publisher, why]
    style = STYLES[level]
    score = float(row["score"])
    number = f"{score:.2f} {bar(score, _BAR)}" if width >= _WIDE else f"{score:.2f}"
    return [
        Text(f"{level} ?" if row["review"] else level, style=style),
        Text(number, style=style),
        Text(_dyad(row)),
        Text(when),
        *publisher,
        text,
    ]


def _dyad(row: Mapping[Hashable, Any]) -> str:
    """Write ``KOR -> RUS``; ``?`` for a side not named, brackets round one from the context."""
    resolved = str(row["resolved"] or "").split() if isinstance(row["resolved"], str) else []
    if row["level"] == "none" and not isinstance(row["source"], str):
        return ""
    sides = []
    for side in ("source", "target"):
        code = row[side] if isinstance(row[side], str) else "?"
        sides.append(f"[{code}]" if side in resolved else str(code))
    return " -> ".join(sides)


def bar(share: float, width: int) -> str:
    """Draw 0..1 as a bar of at most `width` cells, to an eighth of a cell."""
    whole, eighth = divmod(round(max(0.0, min(1.0, share)) * width * 8), 8)
    return ("█" * whole + (_EIGHTHS[eighth] if eighth else "")).ljust(width)


def visible(value: object) -> str:
    """Return somebody else's text as one line that cannot steer a terminal.

    Parameters
    ----------
    value : object
        A string, or null.

    Returns
    -------
    str
        Without control, escape, bidirectional and other invisible characters; "" for null.
    """
    if not isinstance(value, str):
        return ""
    return "".join(filter(str.isprintable, " ".join(value.split())))


def phrases_table(phrases: pd.DataFrame, width: int = 80) -> Table:
    """Make the table of the phrases that moved a score, in the order given.

    Parameters
    ----------
    phrases : pandas.DataFrame
        Columns ``phrase`` (str) and ``effect`` (float).
    width : int, optional
        Of the table in columns.

    Returns
    -------
    rich.table.Table
        Bars to the right raise the score, bars to the left lower it.
    """
    half = 12
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("phrase", no_wrap=True, overflow="ellipsis", max_width=width - 2 * half - 14)
    table.add_column("effect", justify="right")
    table.add_column("lowers | raises".center(2 * half + 1))
    largest = float(phrases["effect"].abs().max()) or 1.0
    for phrase, effect in zip(phrases["phrase"], phrases["effect"], strict=True):
        size = max(1, round(abs(effect) / largest * half))
        left, right = ("█" * size, "") if effect < 0 else ("", "█" * size)
        bars = Text.assemble((left.rjust(half), "green"), "|", (right.ljust(half), "red"))
        table.add_row(Text(visible(phrase)), f"{effect:+.3f}", bars)
    return table


class ProgressBar(Progress):
    """Shows on standard error how far a run is: bytes of the input, articles and their speed.

    Parameters
    ----------
    total : int or None
        Bytes of all inputs; None where that is not known (standard input, URLs).
    over_output : bool
        Whether the output is printed on the same terminal, so that the bar has to make way for it.
    """

    def __init__(self, total: int | None, over_output: bool) -> None:
        self._over_output = over_output
        self._start = time.monotonic()
        self._before = 0  # articles of a run that was interrupted: no merit of this one's speed
        self._bar = Bar(
            BarColumn(),
            TaskProgressColumn(),
            DownloadColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,
        )
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._bar.stop()

    def read(self, size: int) -> None:
        """Move the bar on by so many bytes."""
        self._bar.advance(self._task, size)

    def resumed(self, summary: Summary) -> None:
        """Leave what was done before out of the speed."""
        self._before = summary.articles

    def scored(self, summary: Summary) -> None:
        """Show the articles done and their speed."""
        rate = (summary.articles - self._before) / max(time.monotonic() - self._start, 1e-3)
        said = f"{summary.articles:,} articles, {rate:,.0f}/s"
        self._bar.update(self._task, description=said)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Take the bar off the terminal while the output is printed there."""
        if not self._over_output:
            yield
            return
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.start()


class _Kept(io.BufferedIOBase):
    """Lends a binary file to a text layer without letting that close it when it goes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._file.isatty()

    def write(self, data: Any) -> int:
        return self._file.write(data)
