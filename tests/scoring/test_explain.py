"""What moved a score: effects are what leaving the phrase out really does."""

from __future__ import annotations

import time

import pytest

from scoring.actors import find_mentions
from scoring.explain import LONGEST_PHRASE
from scoring.scorer import Scorer, load

TEXTS = [
    "Moscow warned Seoul of asymmetric retaliation if it arms Kyiv.",
    "Beijing summoned the American ambassador to protest against the arms sale.",
    "South Korea and Japan signed a fishing treaty on Monday.",
]


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return load()


def score(scorer: Scorer, text: str) -> float:
    return float(scorer.score_lines([text])["score"].iloc[0])


@pytest.mark.parametrize("text", TEXTS)
def test_effects_are_what_leaving_the_phrase_out_does(scorer, text):
    found = scorer.explain(text)
    # A mention that is found only thanks to the phrase, or without it, is another matter.
    before = [mention.code for mention in find_mentions(text)]
    checked = 0
    for row in found.itertuples():
        rest = text[: row.start] + text[row.end :]
        left_out = [m.code for m in find_mentions(text[row.start : row.end])]
        if sorted(left_out + [m.code for m in find_mentions(rest)]) == sorted(before):
            assert row.effect == pytest.approx(score(scorer, text) - score(scorer, rest), abs=1e-12)
            checked += 1
    assert checked > len(found) / 2


@pytest.mark.parametrize("text", TEXTS)
def test_phrases_are_cut_from_the_text_and_sorted(scorer, text):
    found = scorer.explain(text)
    assert list(found.columns) == ["phrase", "start", "end", "effect"]
    assert [text[a:b] for a, b in zip(found["start"], found["end"], strict=True)] == list(
        found["phrase"]
    )
    assert found["effect"].abs().is_monotonic_decreasing
    assert not found.duplicated(["start", "end"]).any()
    assert found["phrase"].str.split().str.len().max() <= LONGEST_PHRASE + 1  # "South Korea"


@pytest.mark.parametrize("text", TEXTS)
def test_an_actor_is_left_out_whole_or_not_at_all(scorer, text):
    found = scorer.explain(text)
    for mention in find_mentions(text):
        for start, end in zip(found["start"], found["end"], strict=True):
            inside = start <= mention.start and mention.end <= end
            assert inside or end <= mention.start or mention.end <= start
        assert text[mention.start : mention.end] in set(found["phrase"])


def test_a_longer_phrase_says_more_than_those_inside_it(scorer):
    found = scorer.explain(TEXTS[0])
    for row in found.itertuples():
        inner = found[(found["start"] >= row.start) & (found["end"] <= row.end)]
        inner = inner.drop(row.Index)
        assert (inner["effect"].abs() < abs(row.effect)).all()


def test_the_words_that_warn_come_first(scorer):
    top = " ".join(scorer.explain("On Monday in its capital Lima warned Quito.")["phrase"].head(3))
    assert "warned" in top


@pytest.mark.parametrize("text", ["", "   ", "...!", "\u200b"])
def test_nothing_to_explain(scorer, text):
    found = scorer.explain(text)
    assert list(found.columns) == ["phrase", "start", "end", "effect"]
    assert found.empty


def test_hidden_characters_go_as_in_scoring(scorer):
    hidden = scorer.explain("Mos\u200bcow condemned Se\u202eoul")
    assert hidden.equals(scorer.explain("Moscow condemned Seoul"))


def test_a_long_text_takes_no_longer_than_its_first_part(scorer):
    start = time.process_time()
    found = scorer.explain("Moscow vowed revenge. " * 50_000)
    assert time.process_time() - start < 20
    assert len(found) > 0
    assert found["end"].max() <= 2_000
