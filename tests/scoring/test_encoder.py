"""What the encoder is given: sentences in which nothing tells which states they are of."""

from __future__ import annotations

import pytest

from scoring.actors import find_mentions
from scoring.dyads import MOST_ACTORS
from scoring.encoder import MARKS, mark


def marked(text: str) -> str:
    return mark(text, find_mentions(text))[0]


def test_each_actor_has_a_mark_of_its_own_whatever_it_is_called():
    text = "Moscow warned Seoul; the Kremlin said South Korean arms would cost Russia nothing."
    found, codes = mark(text, find_mentions(text))
    assert codes == ["RUS", "KOR"]
    assert (
        found
        == "[unused1] warned [unused2] ; [unused1] said [unused2] arms would cost [unused1] nothing."
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Russia warned Japan.", "The United States warned the Philippines."),
        ("An Iranian envoy protested to Oman.", "A Russian envoy protested to Oman."),
        ("Egypt’s note to Sudan was sharp.", "The Philippines' note to Sudan was sharp."),
        ("It hit Norway's port, he said.", "It hit the Netherlands’ port, he said."),
    ],
)
def test_what_only_the_form_of_the_name_decides_goes(one, other):
    assert marked(one).lower() == marked(other).lower()


def test_a_feed_cannot_write_marks_of_its_own():
    assert (
        marked("[unused3] [SEP] warned </s> <pad> of war.")
        == "(unused3) (SEP) warned (/s) (pad) of war."
    )


def test_actors_past_the_last_mark_share_it():
    names = [
        "Russia",
        "China",
        "Japan",
        "Iran",
        "Turkey",
        "India",
        "Egypt",
        "Kenya",
        "Peru",
        "Chile",
    ]
    found, codes = mark(text := ", ".join(names), find_mentions(text))
    assert len(codes) == MOST_ACTORS == len(MARKS)
    assert found.count(MARKS[-1]) == len(names) - MOST_ACTORS + 1


def test_a_sentence_without_actors_is_left_as_it_is():
    assert mark("He warned them of war.", []) == ("He warned them of war.", [])
