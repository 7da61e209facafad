"""The article: what every input format is read into, and what makes one of it."""

from __future__ import annotations

import calendar
import contextlib
import datetime as dt
import hashlib
import math
import re
import time
import unicodedata
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Final

from scoring.markup import unescape

MOST_CHARACTERS: Final = 1_000_000
"""Characters of one article's title or text that are read; the rest is cut, and a note says so."""

MOST_REMEMBERED: Final = 1_000_000
"""Stories remembered to drop those seen twice: the newest, and up to as many before them."""

_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u180e\u200b-\u200f\u202a-\u202e"
    "\u2060-\u2064\u2066-\u2069\ufeff\ufff9-\ufffb]"
)
_BLANK: Final = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000\t]")
_LINE: Final = re.compile("\r\n?|[\v\f\u0085\u2028\u2029]")
_ENTITY: Final = re.compile(r"&(?:#\d{1,7}|#[xX][\da-fA-F]{1,6}|[a-zA-Z]{2,8}\d{0,2});")
_ALIEN: Final = re.compile(r"[^\n -%'-~]")  # anything but plain ASCII; "&" may begin an entity
_EPOCH: Final = re.compile(r"\d{10}(?:\d{3})?")  # seconds or milliseconds, written as text
_EPOCH_MILLISECONDS: Final = 10**11  # as seconds that would be the year 5138
_LONGEST_DATE: Final = 100
_WRITTEN: Final = ("%Y/%m/%d", "%B %d, %Y", "%d %B %Y", "%B %d, %Y %I:%M %p")


@dataclass(slots=True, eq=False)
class Article:
    """One item of a feed, one record of a file, one page, or one whole statement.

    Parameters
    ----------
    id : str
        As given, else a hash of the content (`content_id`).
    title, text : str or None
        Headline and body, as read; HTML is text by now.
    published : datetime or None
        Aware, in UTC.
    publisher, url : str or None
        Where it comes from.
    extra : dict
        Further keys that the user asked to keep.
    note : str or None
        Why it cannot be scored, or what was cut or mended in reading.
    whole : bool
        The text is one statement and is never split.
    """

    id: str
    title: str | None
    text: str | None
    published: dt.datetime | None = None
    publisher: str | None = None
    url: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    note: str | None = None
    whole: bool = False


def content_id(title: str | None, text: str | None) -> str:
    """Name an article that brings no id: 16 hex digits of the SHA-256 of its title and text."""
    content = f"{title or ''}\n{text or ''}".encode(errors="replace")
    return hashlib.sha256(content).hexdigest()[:16]


def clean_text(text: str) -> str:
    r"""Remove what a reader does not see and a machine stumbles over.

    Zero-width, bidirectional and control characters split words and reverse what is read; they go.
    Entities that an agency's export left behind become characters, odd blanks one blank, and
    letters their composed form (NFC).

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str
        The text with paragraph breaks as ``\n``; the same object where nothing had to be done.
    """
    if not _ALIEN.search(text):
        return text
    if "&" in text and _ENTITY.search(text):
        text = unescape(text)
    text = _LINE.sub("\n", text)
    text = _BLANK.sub(" ", _UNSEEN.sub("", text))
    return unicodedata.normalize("NFC", text)


def to_utc(value: object) -> dt.datetime | None:
    """Read a date of any usual form as a moment in UTC; what cannot be read is None, never a guess.

    Parameters
    ----------
    value : object
        ISO 8601 or RFC 822 text, a date written out in English, a date, a datetime, a struct_time
        (without a zone: UTC), or seconds or milliseconds since 1970, as a number or as text.

    Returns
    -------
    datetime or None
        Aware, in UTC.
    """
    try:
        moment = _moment(value)
        if moment is None:
            return None
        if moment.tzinfo is None:
            return moment.replace(tzinfo=dt.UTC)
        return moment.astimezone(dt.UTC)
    except (ValueError, OverflowError, OSError, TypeError, IndexError):
        return None


def _moment(value: object) -> dt.datetime | None:
    if isinstance(value, dt.datetime):
        return dt.datetime.combine(value.date(), value.timetz())  # plain, where pandas made it
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    if isinstance(value, time.struct_time):
        value = calendar.timegm(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        seconds = value / 1000 if abs(value) >= _EPOCH_MILLISECONDS else value
        return dt.datetime.fromtimestamp(seconds, dt.UTC)
    if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST_DATE:
        return None
    return _written(value.strip())


def _written(text: str) -> dt.datetime:
    if _EPOCH.fullmatch(text):
        return dt.datetime.fromtimestamp(int(text) / (1000 if len(text) > 10 else 1), dt.UTC)
    with contextlib.suppress(ValueError):
        return dt.datetime.fromisoformat(text.removesuffix(" UTC").removesuffix(" GMT"))
    for form in _WRITTEN:
        with contextlib.suppress(ValueError):
            return dt.datetime.strptime(text, form).replace(tzinfo=dt.UTC)
    return parsedate_to_datetime(text)


def story_key(article: Article) -> int | None:
    """Name the story of an article, whatever its id, case and blanks: what is the same is a duplicate.

    Parameters
    ----------
    article : Article
        As read.

    Returns
    -------
    int or None
        64 bits of a hash of title and text; None for a whole statement or no text: these are never duplicates.
    """
    if article.whole or not (article.title or article.text):
        return None
    story = " ".join(f"{article.title or ''}\n{article.text or ''}".casefold().split())
    digest = hashlib.blake2b(story.encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


class unique:  # noqa: N801 - reads as the function that it is used as
    """Iterate over articles, leaving out a story seen before; whole statements are all kept.

    Parameters
    ----------
    articles : iterable of Article
        Read lazily.

    Attributes
    ----------
    dropped : int
        Articles left out so far.
    """

    def __init__(self, articles: Iterable[Article]) -> None:
        self._articles = articles
        self._seen = _Newest(MOST_REMEMBERED)
        self.dropped = 0

    def __iter__(self) -> Iterator[Article]:
        for article in self._articles:
            key = story_key(article)
            if key is None or self._seen.add(key):
                yield article
            else:
                self.dropped += 1


class _Newest:
    """Remembers numbers, at least the newest `most` of them and at most twice as many, in memory of one size.

    Two tables with open addressing: new numbers go into the young one; when that has `most`, it becomes the old one.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._mask = (1 << (2 * most).bit_length()) - 1
        self._young, self._old = self._table(), self._table()
        self._filled = 0

    def _table(self) -> array[int]:
        return array("Q", [0]) * (self._mask + 1)

    def add(self, number: int) -> bool:
        """Remember a number below 2^64; tell whether it was new."""
        number = number or 1  # 0 is an empty place
        at = self._place(self._young, number)
        if self._young[at] or self._old[self._place(self._old, number)]:
            return False
        self._young[at] = number
        self._filled += 1
        if self._filled == self._most:
            self._old, self._young, self._filled = self._young, self._table(), 0
        return True

    def _place(self, table: array[int], number: int) -> int:
        """Find where a number stands, or would."""
        at = number & self._mask
        while table[at] not in (0, number):
            at = (at + 1) & self._mask
        return at
