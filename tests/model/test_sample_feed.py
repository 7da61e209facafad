"""The bundled sample feed, scored by the shipped model as ``tension score`` does, row by row."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FEED = ROOT / "scoring" / "data" / "sample_feed.xml"
EXPECTED = ROOT / "tests" / "scoring" / "sample_expected.csv"
STORY = ("sample-01", "sample-02", "sample-03")
"""The articles that retell the story this software began with."""

Row = tuple[str, int, str, str, str]


def rows(lines: list[str], id_: str) -> list[Row]:
    return [
        (row[id_], int(row["sentence"]), row["source"], row["target"], row["level"])
        for row in csv.DictReader(lines)
    ]


@pytest.fixture(scope="module")
def expected() -> list[Row]:
    return rows(EXPECTED.read_text(encoding="utf-8").splitlines(), "guid")


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> list[Row]:
    out = tmp_path_factory.mktemp("sample") / "out.csv"
    command = [sys.executable, "-m", "scoring", "score", str(FEED), "-o", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return rows(out.read_text(encoding="utf-8").splitlines(), "article_id")


@pytest.mark.parametrize(
    ("article", "dyad"),
    [
        (STORY[0], ("KOR", "RUS", "protest")),
        (STORY[1], ("RUS", "KOR", "threat")),
        (STORY[2], ("CHN", "USA", "protest")),
    ],
)
def test_the_story_it_began_with(found, article, dyad):
    says = {(source, target, level) for id_, _, source, target, level in found if id_ == article}
    assert says == {dyad}


@pytest.mark.parametrize("article", STORY)
def test_the_story_sentence_by_sentence(found, expected, article):
    assert [row for row in found if row[0] == article] == [
        row for row in expected if row[0] == article
    ]


def test_every_row_of_the_sample_feed(found, expected):
    missing, wrong = set(expected) - set(found), set(found) - set(expected)
    assert (sorted(missing), sorted(wrong)) == ([], [])
    assert len(found) == len(expected)  # and none twice
