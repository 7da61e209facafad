"""The office holders that the package ships: well formed, and true where we can say so."""

from __future__ import annotations

import calendar
import csv
import re
from collections import Counter, defaultdict
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

FOLDER = Path(__file__).parents[2] / "scoring" / "data" / "leaders"
HEADER = ["code", "office", "name", "aliases", "start", "end"]
OFFICES = {"head_of_state", "head_of_government", "foreign_minister", "defence_minister", "other"}
DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")

# Surnames that holders of two codes, of different names, share; time tells which one is meant.
SHARED_SURNAMES = {"Stoltenberg"}
# Names too short to be safe elsewhere, but safe in the years of their row.
SHORT = {"Xi"}


class Row(NamedTuple):
    """One row, its dates read, and where it stands."""

    where: str
    code: str
    office: str
    name: str
    aliases: list[str]
    start: date
    end: date


def first_day(text: str) -> date:
    """Read ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD`` as its first day."""
    match = DATE.fullmatch(text)
    if match is None:
        raise ValueError(f"expected YYYY, YYYY-MM or YYYY-MM-DD, found {text!r}: mend the row")
    year, month, day = (int(part or 1) for part in match.groups())
    return date(year, month, day)


def last_day(text: str) -> date:
    """Read a date as the last day of its year or month; an empty one as still in office."""
    if not text:
        return date.max
    first = first_day(text)
    if len(text) == len("YYYY-MM-DD"):
        return first
    month = first.month if len(text) == len("YYYY-MM") else 12
    return date(first.year, month, calendar.monthrange(first.year, month)[1])


def records() -> list[tuple[str, list[str]]]:
    """Return every record but the headers, each with its file and line."""
    found = []
    for path in sorted(FOLDER.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as lines:
            reader = csv.reader(lines)
            next(reader)
            found += [(f"{path.name}:{reader.line_num}", record) for record in reader]
    return found


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return [
        Row(
            where,
            code,
            office,
            name,
            aliases.split("|") if aliases else [],
            first_day(a),
            last_day(b),
        )
        for where, (code, office, name, aliases, a, b) in records()
    ]


def holders(rows: list[Row], code: str, office: str, day: str) -> set[str]:
    """Return who held an office on a day."""
    when = first_day(day)
    return {
        r.name for r in rows if (r.code, r.office) == (code, office) and r.start <= when <= r.end
    }


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.csv")), ids=lambda path: path.stem)
def test_every_file_has_the_header_and_records_of_its_width(path: Path) -> None:
    with path.open(encoding="utf-8", newline="") as lines:
        reader = csv.reader(lines)
        assert next(reader) == HEADER
        odd = [reader.line_num for record in reader if len(record) != len(HEADER)]
    assert odd == [], "records that are not six cells wide (a comma in a name?)"


def test_codes_and_offices_are_of_the_codebook(rows: list[Row]) -> None:
    assert [r for r in rows if not re.fullmatch(r"[A-Z]{2,5}", r.code)] == []
    assert [r for r in rows if r.office not in OFFICES] == []


def test_terms_end_after_they_start(rows: list[Row]) -> None:
    assert [r.where for r in rows if r.start > r.end] == []
    assert [r.where for r in rows if not 1920 <= r.start.year <= 2026] == []


def test_no_row_stands_twice(rows: list[Row]) -> None:
    terms: dict[tuple[str, str, str, date], list[str]] = defaultdict(list)
    for row in rows:
        terms[row.code, row.office, row.name, row.start].append(row.where)
    assert [places for places in terms.values() if len(places) > 1] == []


def test_nobody_holds_one_office_twice_at_once(rows: list[Row]) -> None:
    terms: dict[tuple[str, str, str, str], list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.start):
        if row.office != "other":  # where one person may well hold two
            file = row.where.partition(":")[0]  # another file may add a spelling of its own
            terms[file, row.code, row.office, row.name].append(row)
    overlaps = [
        (earlier.where, later.where)
        for held in terms.values()
        for earlier, later in pairwise(held)
        if earlier.end.replace(day=1) > later.start  # a month may end one term and start the next
    ]
    assert overlaps == []


def test_names_are_clean_and_long_enough_to_be_safe(rows: list[Row]) -> None:
    untidy, short, again = [], [], []
    for row in rows:
        names = [row.name, *row.aliases]
        untidy += [(row.where, name) for name in names if name != " ".join(name.split())]
        short += [(row.where, name) for name in names if len(name) < 3 and name not in SHORT]
        again += [(row.where, name) for name, count in Counter(names).items() if count > 1]
    assert (untidy, short, again) == ([], [], [])


def test_a_bare_surname_means_one_person_unless_we_know(rows: list[Row]) -> None:
    """Two codes under one word are two people, or one who changed from one office to the other."""
    people: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for row in rows:
        for alias in row.aliases:
            if " " not in alias:
                people[alias].add((row.code, row.name))
    shared = {
        alias
        for alias, who in people.items()
        if len({code for code, _ in who}) > 1 and len({name for _, name in who}) > 1
    }
    assert shared == SHARED_SURNAMES


@pytest.mark.parametrize(
    ("code", "office", "day", "name"),
    [
        ("USA", "head_of_state", "1987-06-12", "Ronald Reagan"),
        ("USA", "foreign_minister", "1987-03", "George Shultz"),
        ("USA", "defence_minister", "1987-03", "Caspar Weinberger"),
        ("USA", "head_of_state", "2003-03-20", "George W. Bush"),
        ("USA", "head_of_state", "2019", "Donald Trump"),
        ("USA", "foreign_minister", "2022-02-24", "Antony Blinken"),
        ("RUS", "foreign_minister", "1987-03", "Eduard Shevardnadze"),
        ("RUS", "head_of_state", "2010", "Dmitry Medvedev"),
        ("RUS", "head_of_government", "2010", "Vladimir Putin"),
        ("RUS", "foreign_minister", "2014-03-18", "Sergei Lavrov"),
        ("RUS", "defence_minister", "2022-02-24", "Sergei Shoigu"),
        ("GBR", "head_of_government", "1987-03", "Margaret Thatcher"),
        ("GBR", "head_of_government", "2018-03", "Theresa May"),
        ("FRA", "head_of_government", "1987-03", "Jacques Chirac"),
        ("DEU", "head_of_government", "2015", "Angela Merkel"),
        ("UKR", "head_of_state", "2014-09", "Petro Poroshenko"),
        ("UKR", "foreign_minister", "2022-02-24", "Dmytro Kuleba"),
        ("TUR", "head_of_government", "2010", "Recep Tayyip Erdogan"),
        ("POL", "head_of_government", "2022-11-15", "Mateusz Morawiecki"),
        ("NATO", "head_of_government", "2022-02-24", "Jens Stoltenberg"),
        ("UN", "head_of_government", "2012", "Ban Ki-moon"),
        ("IAEA", "head_of_government", "2003", "Mohamed ElBaradei"),
        ("JPN", "head_of_government", "1987-03", "Yasuhiro Nakasone"),
        ("ISR", "head_of_government", "2018", "Benjamin Netanyahu"),
        ("IRN", "head_of_government", "2010", "Mahmoud Ahmadinejad"),
        ("IND", "head_of_government", "2019", "Narendra Modi"),
    ],
)
def test_who_held_which_office(
    rows: list[Row], code: str, office: str, day: str, name: str
) -> None:
    assert name in holders(rows, code, office, day)


@pytest.mark.parametrize("code", ["USA", "RUS", "GBR", "FRA", "DEU", "ITA", "UKR", "TUR", "POL"])
@pytest.mark.parametrize("office", ["foreign_minister", "defence_minister"])
def test_the_big_ones_have_no_long_gap_since_2011(rows: list[Row], code: str, office: str) -> None:
    days = [f"{year}-{month:02}-15" for year in range(2011, 2026) for month in (1, 4, 7, 10)]
    empty = [day for day in days if not holders(rows, code, office, day)]
    assert empty == []


def test_one_surname_two_codes_is_told_apart_by_time(rows: list[Row]) -> None:
    def codes(surname: str, day: str) -> set[str]:
        when = first_day(day)
        return {r.code for r in rows if surname in r.aliases and r.start <= when <= r.end}

    assert codes("Stoltenberg", "1987-02") == {"DEU"}  # Gerhard, of finance, in Bonn
    assert codes("Stoltenberg", "2010-06") == {"NOR"}  # Jens, prime minister
    assert codes("Stoltenberg", "2022-06") == {"NATO"}  # Jens, secretary general
    assert codes("Kallas", "2022-06") == {"EST"}
    assert codes("Kallas", "2025-06") == {"EU"}
    assert codes("Shevardnadze", "1987-06") == {"RUS"}
    assert codes("Shevardnadze", "2001-06") == {"GEO"}
