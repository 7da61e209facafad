"""Articles: clean text, dates of any form as moments in UTC, stories seen twice."""

import datetime as dt
import time
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring import articles
from scoring.articles import Article, clean_text, content_id, to_utc, unique

NOON = dt.datetime(2021, 10, 17, 12, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("Mos\u00adcow pro\u200btested", "Moscow protested"),
        ("\u202eReversed\u202c and \ufeffmarked", "Reversed and marked"),
        ("Ankara\u00a0warned\u2009Athens\tagain", "Ankara warned Athens again"),
        ("one\r\ntwo\rthree\u2028four\x85five\fsix", "one\ntwo\nthree\nfour\nfive\nsix"),
        ("Trade &amp; Industry said &#8220;no&#8221;", "Trade & Industry said “no”"),
        ("AT&T and R&D stay, as does &nothing", "AT&T and R&D stay, as does &nothing"),
        ("E\u0301lyse\u0301e", "Élysée"),
        ("bell\x07 and null\x00", "bell and null"),
        ("", ""),
    ],
)
def test_clean_text(raw: str, clean: str) -> None:
    assert clean_text(raw) == clean


def test_clean_text_hands_back_what_is_clean() -> None:
    plain = 'The ministry said "no", and left.'
    assert clean_text(plain) is plain


def test_clean_text_survives_a_number_too_long_to_read() -> None:
    assert "&amp;" in clean_text("&amp; &#" + "1" * 5_000 + ";")


@given(st.text(alphabet=st.characters(exclude_characters="&", exclude_categories=["Cs"])))
def test_clean_text_is_idempotent_and_never_adds(text: str) -> None:
    clean = clean_text(text)
    assert clean_text(clean) == clean
    assert len(clean) <= len(unicodedata.normalize("NFC", text))  # NFC itself may be longer


@pytest.mark.parametrize(
    "value",
    [
        "2021-10-17T12:00:00Z",
        "2021-10-17 12:00:00",
        "2021-10-17 12:00:00 UTC",
        "2021-10-17T15:00+03:00",
        "2021-10-17T12:00:00.000000000Z",
        " 20211017T120000Z\n",
        "Sun, 17 Oct 2021 12:00:00 GMT",
        "Sun, 17 Oct 2021 08:00:00 EDT",
        "17 Oct 2021 21:00:00 +0900",
        "October 17, 2021 12:00 PM",
        "1634472000",
        "1634472000000",
        1634472000,
        1634472000.0,
        1634472000000,
        NOON,
        NOON.replace(tzinfo=None),
        NOON.astimezone(dt.timezone(dt.timedelta(hours=-5))),
        time.gmtime(1634472000),
    ],
)
def test_dates_of_many_forms_are_one_moment(value: object) -> None:
    moment = to_utc(value)
    assert moment == NOON
    assert type(moment) is dt.datetime
    assert moment.tzinfo is dt.UTC


@pytest.mark.parametrize(
    "value",
    ["2021-10-17", "20211017", "2021/10/17", "October 17, 2021", "17 October 2021", NOON.date()],
)
def test_a_day_is_its_midnight(value: object) -> None:
    assert to_utc(value) == NOON.replace(hour=0)


UNREADABLE = ["", " ", "soon", "yesterday", "2021", "5 May", "Mon", "31 Feb 2021", "2021-13-40"]
UNREADABLE += ["0000-00-00", "12.5", "Sun, 17 Oct 2021 12:00 +9999", "1" * 1_000_000]


@pytest.mark.parametrize("value", UNREADABLE)
def test_a_date_that_cannot_be_read_is_none(value: str) -> None:
    assert to_utc(value) is None


@pytest.mark.parametrize(
    "value", [None, True, (), {}, 10**400, float("nan"), float("inf"), time.struct_time((0,) * 9)]
)
def test_what_is_no_date_is_none(value: object) -> None:
    assert to_utc(value) is None


@given(st.one_of(st.text(), st.integers(), st.floats(), st.datetimes(), st.binary()))
def test_to_utc_never_raises(value: object) -> None:
    moment = to_utc(value)
    assert moment is None or moment.tzinfo is dt.UTC


def test_pandas_timestamp_becomes_plain() -> None:
    import pandas as pd

    assert type(to_utc(pd.Timestamp("2021-10-17 12:00:00.000000001"))) is dt.datetime
    assert to_utc(pd.NaT) is None


def test_content_id_is_of_the_content() -> None:
    assert content_id("a", "b") == content_id("a", "b")
    assert len({content_id("a", "b"), content_id("b", "a"), content_id(None, "a b")}) == 3
    assert len(content_id("\ud800", None)) == 16  # half a surrogate pair


def story(title: str | None, text: str | None = None, whole: bool = False) -> Article:
    return Article(content_id(title, text), title, text, whole=whole)


def test_unique_drops_a_story_seen_twice_and_counts() -> None:
    run = unique(
        [
            story("Tehran warns London", "It will answer."),
            story("Tehran  warns London", "It WILL answer.\n"),
            story("Tehran warns London", "It will not answer."),
            story("Tehran warns London"),
            story("Tehran warns London"),
        ]
    )
    assert [article.text for article in run] == ["It will answer.", "It will not answer.", None]
    assert run.dropped == 2


def test_unique_keeps_statements_and_what_has_no_text() -> None:
    run = unique([story(None, "No.", whole=True)] * 3 + [story(None)] * 2)
    assert len(list(run)) == 5
    assert run.dropped == 0


def test_unique_remembers_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(articles, "MOST_REMEMBERED", 2)
    run = unique(story(title) for title in "abbcdaeca")
    assert "".join(article.title or "" for article in run) == "abcdaec"
    assert run.dropped == 2  # the second b, and the third a; the first a was forgotten


def test_many_stories_take_no_more_memory_than_few() -> None:
    numbers = np.random.default_rng(3).integers(0, 2**64, 60_000, dtype=np.uint64).tolist()
    newest = articles._Newest(20_000)
    size = len(newest._young)
    assert all(newest.add(number) for number in numbers)
    assert not any(newest.add(number) for number in numbers[40_000:])
    assert all(newest.add(number) for number in numbers[:10_000])  # forgotten
    assert len(newest._young) == len(newest._old) == size
