"""Words, skeleton and features of a masked sentence."""

from __future__ import annotations

import re
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.actors import Mention, find_mentions
from scoring.features import ACTOR, Cue, mask, skeleton, statement_features, stem, words

A = ACTOR


def masked(text: str) -> str:
    return mask(text, find_mentions(text))


def groups(text: str) -> list[str]:
    return [cue.group for cue in skeleton(words(masked(text)))]


def test_mask_tells_the_first_actor_from_the_second_and_the_others():
    text = "Russia, Japan, Kenya, Peru and Russia again"
    assert mask(text, find_mentions(text)) == (" \x01 ,  \x02 ,  \x03 ,  \x03  and  \x01  again")


def test_mask_is_the_same_for_other_states_and_for_other_names_of_them():
    assert masked("Moscow warned Tokyo; Russia meant it.") == masked(
        "Lima warned Quito; Peru meant it."
    )


def test_mask_without_actors_changes_nothing():
    assert mask("Nobody said a word.", []) == "Nobody said a word."


def test_mask_at_both_ends_and_side_by_side():
    assert mask("AB", [Mention(0, 1, "A", "name"), Mention(1, 2, "B", "name")]) == " \x01  \x02 "


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It won't stop, it isn't over", "it wo not stop it is not over"),
        ("We can’t and they’ll see", "we ca not and they will see"),
        ("the minister's own words", "the minister own words"),
        ("the ministers' words", "the ministers ' words"),
        ("up 2,014.5 points in 1987 and 3%", "up 0 points in 0 and 0"),
        ("He said: “never”; «no» and „nie“", 'he said : " never " ; " no " and " nie "'),
        ("‘Never’ — no", "' never ' - no"),
        ("tit-for-tat moves, no-one's", "tit-for-tat moves no-one"),
        ("What? No!", "what ? no !"),
        ("Naïve, Żaba, ÉLYSÉE", "naïve żaba élysée"),
        ("", ""),
        ("☃ \t\n", ""),
    ],
)
def test_words(text, expected):
    assert words(text) == expected.split()


@pytest.mark.parametrize(
    "text",
    [
        "The Kremlin condemned the United States",
        "the Philippines condemned Washington",
        "MOSCOW CONDEMNED THE EU",
        "Moscow condemned Paris",
    ],
)
def test_the_article_before_an_actor_goes(text):
    assert words(masked(text)) == [A, "condemned", A]


def test_the_article_before_other_words_stays():
    assert words(masked("the ministry of the Russians")) == ["the", "ministry", "of", A]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Moscow warned Seoul", "ACTOR WARN ACTOR"),
        ("Moscow walked along Seoul's river", "ACTOR ACTOR"),
        ("he accused them: lies", "ACCUSE : ACCUSE"),
        ('"red line"', '" WARN "'),  # two words, one phrase
        ("red tape", ""),
        ("crossing the red lines", "WARN"),  # the * of a phrase
        ("no plans to retaliate", "NEGATE RETALIATE"),  # "no plans" wins over no and plans
        ("plans", "COMMIT"),
        ("the foreign minister", "OFFICE"),  # one office, not two
        ("condemnations", "CONDEMN"),  # the * of a word
        ("protest", "OBJECT"),
        ("protestant", ""),  # a word without * stands for itself
        ("make it pay a heavy price", "RETALIATE RETALIATE"),
    ],
)
def test_skeleton(text, expected):
    assert groups(text) == expected.split()


def test_skeleton_says_where_a_cue_begins():
    found = words(masked("On Monday Moscow will not hesitate to strike"))
    assert found == ["on", "monday", A, "will", "not", "hesitate", "to", "strike"]
    assert skeleton(found) == [Cue("ACTOR", 2), Cue("RETALIATE", 3), Cue("COST", 7)]


@pytest.mark.parametrize("words_", ["warned warns warning warn", "demanded demands demanding"])
def test_endings_meet_in_one_stem(words_):
    assert len({stem(word) for word in words_.split()}) == 1


@pytest.mark.parametrize("word", ["is", "red", "king", "used"])
def test_short_words_are_their_own_stem(word):
    assert stem(word) == word


def test_features_are_named_and_counted():
    found = Counter(statement_features(masked("Moscow warned Seoul and Moscow warned Tokyo.")))
    assert found["s warn"] == 2
    assert found[f"s {A} warn"] == 2
    assert found[f"s < {A}"] == 1
    assert found[f"s {A} >"] == 1
    assert found["k WARN"] == 2
    assert found["k ACTOR WARN ACTOR"] == 2
    assert found["k < ACTOR WARN"] == 1
    assert found["p ACTOR WARN"] == 1
    assert found[f"g {A}>WARN"] == 2
    assert found["g WARN>" + A] == 2
    assert found["n actors 4"] == 1
    assert found["n different 3"] == 1
    assert found["n words 0"] == 1


def test_features_of_nothing_are_its_edges():
    found = statement_features("")
    assert found[:2] == ["s < >", "k < >"]
    assert found[-3:] == ["n actors 0", "n different 0", "n words 0"]


@given(st.text(max_size=300))
def test_any_text_has_named_features(text):
    sentence = words(text)
    assert all(word and word == word.lower() for word in sentence)
    cues = skeleton(sentence)
    assert [cue.at for cue in cues] == sorted({cue.at for cue in cues})
    assert all(cue.at < len(sentence) for cue in cues)
    assert all(re.match("[a-z] .", name) for name in statement_features(text))


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "a'",
        "a-",
        "é",
        '"',
        "n't ",
        "red line ",
        "will ",
        "1,",
        f" {A} ",
        "the ",
        "b" * 60 + " ",
    ],
)
def test_time_grows_with_the_length_of_hostile_text(unit):
    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        start = time.process_time()
        statement_features(text)
        return time.process_time() - start

    seconds(1_000)
    assert seconds(200_000) < 40 * max(seconds(20_000), 0.005)  # quadratic: 100 times
