"""Sides that a sentence leaves open, filled from the title and the sentences before it."""

from __future__ import annotations

import pytest

from scoring.actors import find_mentions
from scoring.articles import Article
from scoring.context import Context
from scoring.dyads import Dyad
from scoring.scorer import Scorer, load

Said = tuple[str | None, str | None]


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return load()


def dyad(source: str | None, target: str | None) -> Dyad:
    return Dyad(source, target, None, None, 0.9)


def read(
    context: Context, article: Article, number: int, text: str, *dyads: Said
) -> list[tuple[str | None, str | None, str | None]]:
    """Go on to a sentence and resolve its dyads."""
    context.enter(article, number, text, find_mentions(text))
    return [context.resolve(dyad(*said)) for said in dyads]


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture
def article() -> Article:
    return Article("1", None, None)


def test_named_sides_stay(context, article):
    assert read(context, article, 0, "Oslo protests to Moscow", ("NOR", "RUS")) == [
        ("NOR", "RUS", None)
    ]
    assert read(context, article, 1, "He accused Kenya.", ("PER", "KEN")) == [("PER", "KEN", None)]


@pytest.mark.parametrize(
    "text",
    [
        "The ministry said it would retaliate.",
        "the foreign ministry vowed revenge",
        "A harsh answer will come, the spokeswoman said.",
        "He threatened reprisals.",
        "They are playing with fire, the defence minister said.",
    ],
)
def test_a_word_for_the_speaker_is_resolved_from_the_title(context, article, text):
    read(context, article, 0, "Moscow protests to Seoul over arms", ("RUS", "KOR"))
    assert read(context, article, 1, text, (None, None)) == [("RUS", "KOR", "source target")]


def test_a_title_that_escalates_nothing_tells_as_well(context, article):
    read(context, article, 0, "Tehran and Baghdad")
    assert read(context, article, 1, "It warned of reprisals.", (None, None)) == [
        ("IRN", "IRQ", "source target")
    ]


def test_no_word_for_the_speaker_no_source(context, article):
    read(context, article, 0, "Moscow protests to Seoul", ("RUS", "KOR"))
    assert read(context, article, 1, "Retaliation will follow.", (None, None)) == [
        (None, None, None)
    ]


def test_only_the_open_side_is_named_as_resolved(context, article):
    read(context, article, 0, "Cairo protests to Khartoum", ("EGY", "SDN"))
    assert read(context, article, 1, "Egypt vowed revenge.", ("EGY", None)) == [
        ("EGY", "SDN", "target")
    ]
    assert read(context, article, 2, "It accused Sudan.", (None, "SDN")) == [
        ("EGY", "SDN", "source")
    ]


def test_the_sentence_before_counts_more_than_the_title(context, article):
    read(context, article, 0, "Lima protests to Quito", ("PER", "ECU"))
    read(context, article, 1, "Quito accused Peru of a raid.", ("ECU", "PER"))
    assert read(context, article, 2, "It vowed revenge.", (None, None)) == [
        ("ECU", "PER", "source target")
    ]


def test_the_target_is_never_its_own_source(context, article):
    read(context, article, 0, "Lima and Quito", ("PER", None))
    [(source, target, _)] = read(context, article, 1, "It accused Peru.", (None, "PER"))
    assert target == "PER"
    assert source != "PER"


def test_a_title_of_three_does_not_tell_the_target(context, article):
    read(context, article, 0, "Oslo, Helsinki and Stockholm")
    assert read(context, article, 1, "Norway vowed revenge.", ("NOR", None)) == [
        ("NOR", None, None)
    ]


@pytest.mark.parametrize(
    ("text", "dyads"),
    [
        ("The ministry in Warsaw, it is said, will answer Berlin.", [(None, "DEU")]),
        ("Warsaw protested, the minister said in Berlin.", [("POL", None)]),
        ("He accused Poland and, after talks in Rome, Germany.", [("ITA", "POL"), (None, "DEU")]),
    ],
)
@pytest.mark.parametrize("number", [0, 1])
def test_a_sentence_is_no_context_of_its_own(context, article, number, text, dyads):
    found = read(context, article, number, text, *dyads)
    assert found == [(source, target, None) for source, target in dyads]


def test_a_new_article_starts_afresh(context, article):
    read(context, article, 0, "Moscow protests to Seoul", ("RUS", "KOR"))
    other = Article("1", None, None)  # the same id, and yet another one
    assert read(context, other, 1, "The ministry vowed revenge.", (None, None)) == [
        (None, None, None)
    ]


STORY = "The ministry said it would retaliate and take countermeasures."


def test_records_say_what_was_resolved(scorer):
    records = scorer.score(STORY, title="Moscow protests to Seoul over arms for Kyiv")
    row = records[records["sentence"] == 1].iloc[0]
    assert row["level"] == "threat"
    assert (row["source"], row["target"]) == ("RUS", "KOR")
    assert row["resolved"] == "source target"
    assert row["source_span"] is None
    assert row["target_span"] is None
    assert records[records["sentence"] == 0]["resolved"].isna().all()


def test_records_of_a_single_line_have_open_sides(scorer):
    for records in (scorer.score(STORY), scorer.score_lines([STORY, STORY])):
        assert set(records["level"]) == {"threat"}
        assert records[["source", "target", "resolved"]].isna().all(axis=None)


def test_lines_and_articles_do_not_tell_of_each_other(scorer):
    lines = ["Moscow protests to Seoul over arms", STORY]
    assert scorer.score_lines(lines)["resolved"].isna().all()
