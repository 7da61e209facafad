"""The tables for people: one line a statement, in the width there is, whatever the text holds."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from scoring.levels import LEVELS
from scoring.records import records_frame
from scoring.report import TableWriter, bar, phrases_table, visible


def record(**cells: object) -> dict[str, object]:
    return {
        "article_id": "a",
        "sentence": 0,
        "text": "Oslo warns Moscow",
        "publisher": "Fjord Wire",
        "published": datetime(2026, 3, 2, 23, tzinfo=UTC),
        "source": "NOR",
        "target": "RUS",
        "level": "warning",
        "score": 0.66,
        "review": False,
    } | cells


def printed(*rows: dict[str, object], width: int = 80) -> list[str]:
    file = io.BytesIO()
    writer = TableWriter(file, width)
    for row in rows:
        writer.write(records_frame([row]))
    writer.close()
    return file.getvalue().decode().splitlines()


def test_a_statement_is_one_line_with_what_people_ask_for() -> None:
    header, line = printed(record())
    assert header.split() == ["level", "score", "dyad", "date", "text"]
    assert re.fullmatch(r"warning +0\.66 +NOR -> RUS +2026-03-02 +Oslo warns Moscow *", line)


def test_a_wide_terminal_shows_bar_and_publisher() -> None:
    _, line = printed(record(score=1.0), width=120)
    assert "1.00 █████" in line
    assert "Fjord Wire" in line


@pytest.mark.parametrize(
    ("cells", "dyad"),
    [
        ({"source": None}, "? -> RUS"),
        ({"target": None}, "NOR -> ?"),
        ({"resolved": "source"}, "[NOR] -> RUS"),
        ({"resolved": "source target"}, "[NOR] -> [RUS]"),
        ({"resolved": "target"}, "NOR -> [RUS]"),
    ],
)
def test_sides_not_named_and_sides_from_the_context_are_told_apart(
    cells: dict[str, object], dyad: str
) -> None:
    assert dyad in printed(record(**cells))[1]


def test_a_row_for_review_is_marked() -> None:
    assert "warning ?" in printed(record(review=True))[1]
    assert "?" not in printed(record())[1]


def test_a_row_that_is_not_scored_says_why() -> None:
    row = record(level=None, score=float("nan"), note="no text", text="", source=None, target=None)
    line = printed(row)[1]
    assert "no text" in line
    assert "nan" not in line


def test_nulls_print_as_nothing() -> None:
    row = record(published=None, publisher=None, level="none", source=None, target=None)
    line = printed(row, width=120)[1]
    assert line.split() == ["none", "0.66", "███▎", "Oslo", "warns", "Moscow"]


def test_no_rows_say_so() -> None:
    assert printed() == ["No statement at or above the level asked for."]


def test_batches_share_one_header_and_its_columns() -> None:
    lines = printed(record(), record(text="x" * 500, source="BRICS", resolved="source"), record())
    assert len(lines) == 4
    assert sum("level" in line for line in lines) == 1
    assert {line.index("2026") for line in lines[1:]} == {lines[0].index("date")}


@pytest.mark.parametrize("width", [60, 80, 100, 200])
@pytest.mark.parametrize(
    "text",
    [
        "Oslo warns Moscow " * 40,
        "外交部警告莫斯科" * 40,
        "\u202eevil\u202c\u200b text",
        "\x1b[31mred\x1b]0;title\x07 \x9b2J",
        "[bold]Oslo[/bold] [link=https://example.org]x[/link] :smile:",
        "line\nbreak\r\nand\ttab\u2028sep",
        "e\u0301\u0301\u0301 👩‍👩‍👧 \ud800",
    ],
)
def test_any_text_stays_one_line_in_the_width_and_steers_no_terminal(width: int, text: str) -> None:
    lines = printed(record(text=text, publisher=text), width=width)
    assert len(lines) == 2
    assert all(cell_len(line) <= width for line in lines)
    assert not re.search("[\x00-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2028]", "".join(lines))


def test_markup_of_others_is_text() -> None:
    assert "[bold red]Oslo[/]" in printed(record(text="[bold red]Oslo[/]"))[1]


@given(st.text())
def test_visible_text_is_one_line_without_control_characters(text: str) -> None:
    assert visible(text).isprintable()
    assert visible(text).split() == visible(visible(text)).split()


def test_levels_have_their_colours_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)

    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    colours = []
    for level in LEVELS:
        file = Terminal()
        writer = TableWriter(file, 80)
        writer._console._color_system = (
            None if writer._console.no_color else writer._console._color_system
        )
        writer.write(records_frame([record(level=level)]))
        colours.append(file.getvalue().decode().splitlines()[1].partition(level)[0])
    assert len(set(colours)) == len(LEVELS)
    assert "\x1b" not in "".join(printed(record()))


@pytest.mark.parametrize(
    ("share", "drawn"), [(0.0, "    "), (1.0, "████"), (0.5, "██  "), (0.53, "██▏ "), (9.0, "████")]
)
def test_bar(share: float, drawn: str) -> None:
    assert bar(share, 4) == drawn


def test_phrases_show_which_way_they_moved_the_score() -> None:
    phrases = pd.DataFrame({"phrase": ["warned of", "[i]mild"], "effect": [0.4, -0.2]})
    file = io.StringIO()
    Console(file=file, width=80).print(phrases_table(phrases))
    _, raised, lowered = file.getvalue().splitlines()
    assert re.search(r"warned of +\+0\.400 +\|█{12}", raised)
    assert re.search(r"\[i\]mild +-0\.200 +█{6}\|", lowered)
