"""Find the states and organisations of states that a text names, and where.

One table, `data/`, is compiled at first use into a trie over words: every name, adjective, seat and
office holder is a path, and so is every phrase that only looks like one ("South China Sea"). The
text is read once, word by word, and the longest path wins; a few rules then look at the words
beside it. Whether an actor acts ("Moscow said") or is a place ("in Moscow") is left to the dyads.
"""

from __future__ import annotations

import csv
import datetime
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Final, NamedTuple

__all__ = ["Actors", "Mention", "Names", "actors", "find_mentions", "load_actors", "names"]


class Mention(NamedTuple):
    """One naming of an actor: the span ``[start, end)`` of the text, without a possessive 's.

    ``code`` is the codebook's; ``kind`` is ``name`` (Russia, U.S., EU), ``adjective`` (Russian,
    Frenchman), ``seat`` (Moscow, the Kremlin, the State Department), ``leader`` (Putin) or
    ``prefix`` (the Sino of Sino-Soviet).
    """

    start: int
    end: int
    code: str
    kind: str


class Names(NamedTuple):
    """How an actor is called; an empty string where there is no such word.

    ``leader`` is the full name of the latest head of government or state in the table.
    """

    name: str
    adjective: str
    capital: str
    leader: str


class Term(NamedTuple):
    """One term of an office holder, in days of the proleptic Gregorian calendar."""

    code: str
    head: bool  # of state or government, or of the organisation
    first: int
    last: int


class Node:
    """A place in the trie: the words that may follow, and what ends here."""

    __slots__ = ("actor", "following", "terms")

    def __init__(self) -> None:
        self.following: dict[str, Node] = {}
        self.actor: tuple[str, str] | None = None  # code and kind; kind BLOCK for a non-actor
        self.terms: tuple[Term, ...] = ()


# A dotted abbreviation, or a word. Marks inside a word: combining accents, soft hyphen, zero width.
_MARKS: Final = "\u0300-\u036f\u00ad\u200b-\u200d\u2060\ufeff"
_WORD: Final = re.compile(rf"[A-Z](?:\.[A-Z]){{1,5}}\b\.?|[^\W_]+(?:[{_MARKS}]+[^\W_]*)*")
_PART: Final = re.compile(rf"{_WORD.pattern}|,")  # of a phrase of the table
_INVISIBLE: Final = "\u00ad\u200b\u200c\u200d\u2060\ufeff"
# Letters that Unicode does not decompose into a letter and an accent.
_LETTERS: Final = str.maketrans(
    {"ı": "i", "ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ß": "ss", "æ": "ae"}
    | dict(zip("АВЕКМНОРСТХаеосрху", "ABEKMHOPCTXaeocpxy", strict=True))  # Cyrillic look-alikes
)
_BLOCK: Final = "none"
_ORGAN: Final = "organ"  # a seat only where no other state is named right before ("Italian Senate")
_WITHIN: Final = frozenset({"", "-", "‐", "‑", "–", "'", "’", "ʼ", "`", "."})  # inside one name
_LONGEST_GAP: Final = 3
_SLACK_DAYS: Final = 183  # news speaks of a winner before he is sworn in, and of a loser after
_COMPANY_WORDS: Final = 5  # "American Widget and Gadget Holdings Inc"
_HEADLINE_SHARE: Final = 0.7  # capitalised words in a Title Case headline
_HEADLINE_WORDS: Final = 40  # read no further to tell one
_DATELINE: Final = re.compile(
    r"(?:, \w+)?(?:,? (?:jan|feb|mar|apr|may|june?|july?|aug|sep|oct|nov|dec)\w*\.? \d{1,2}\b"
    r"|\s?\([^()\n]{1,40}\)\s?[-–—]|\s[-–—]{1,2}\s)",
    re.IGNORECASE,
)

# Which of several holders of one surname the news means if all are in office: the first here.
_PROMINENT: Final = (
    "USA",
    "RUS",
    "CHN",
    "PRK",
    "GBR",
    "DEU",
    "FRA",
    "IRN",
    "ISR",
    "UKR",
    "JPN",
    "KOR",
)


class Actors:
    """The compiled table of actors; build one with :func:`load_actors`.

    Attributes
    ----------
    names : dict of str to Names
        By code of the codebook.
    root, tails : Node
        The trie of all phrases, and that of what makes a non-actor of the actor before it
        ("* Airlines").
    lists : mapping of str to frozenset of str
        The words of ``actor_words.toml``, in lower case.
    """

    def __init__(self, lists: Mapping[str, frozenset[str]]) -> None:
        self.names: dict[str, Names] = {}
        self.root = Node()
        self.tails = Node()
        self.lists = lists

    # -- building ---------------------------------------------------------------------------------

    def _add(self, phrase: str, node: Node | None = None) -> Node:
        """Return the node at the end of ``phrase``, making the path as far as it is new."""
        node = node or self.root
        comma = ""
        for word in _PART.findall(phrase):
            if word == ",":
                comma = ","
                continue
            first, *others = _spellings(word)
            child = node.following.get(comma + first)
            if child is None:
                child = node.following[comma + first] = Node()
                for form in others:  # never onto another word's node: "Us" is not the US
                    node.following.setdefault(comma + form, child)
            node, comma = child, ""
        return node

    def add_actor(self, row: Mapping[str, str]) -> None:
        """Add a row of ``states.csv`` or ``organisations.csv``."""
        code = row["code"]
        self.names[code] = Names(row["name"], row["adjective"], row["capital"], "")
        phrases = {
            "name": [row["name"], *row["names"].split("|")],
            "adjective": _with_plurals([row["adjective"], *row["adjectives"].split("|")]),
            "seat": [row["capital"], *row["seats"].split("|")],
            _ORGAN: row["organs"].split("|"),
        }
        for kind, group in phrases.items():
            for phrase in filter(None, group):
                node = self._add(phrase)
                node.actor = node.actor or (code, kind)

    def add_leader(self, row: Mapping[str, str]) -> None:
        """Add a row of ``leaders/*.csv``."""
        code, head = row["code"], row["office"].startswith("head")
        term = Term(code, head, _day(row["start"], last=False), _day(row["end"], last=True))
        for phrase in filter(None, [row["name"], *row["aliases"].split("|")]):
            self._add(phrase).terms += (term,)
        if head and code in self.names:
            self.names[code] = self.names[code]._replace(leader=row["name"])

    def add_block(self, phrase: str) -> None:
        """Add a phrase that is no actor; ``* X`` for any actor followed by X."""
        star, _, tail = phrase.partition("* ")
        node = self._add(tail, self.tails) if star == "" and tail else self._add(phrase)
        node.actor = ("", _BLOCK)

    def add_prefix(self, prefix: str, code: str) -> None:
        """Add a combining form ("Sino"), which counts before a hyphen only."""
        self._add(prefix).actor = (code, "prefix")

    # -- finding ----------------------------------------------------------------------------------

    def find(self, text: str, when: datetime.date | None = None) -> list[Mention]:
        """Return the mentions in ``text``; see :func:`find_mentions`."""
        words = _WORD.findall(text)
        if not text.isascii():
            words = [word if word.isascii() else _plain(word) for word in words]
        places = list(self._begin(words))
        if not places:  # most sentences end here
            return []
        found = _Reading(self, text, words, when)
        i = 0
        for place, node in places:
            if place >= i:
                i = found.take(place, node)
        return found.mentions

    def openings(self) -> tuple[set[str], set[str]]:
        """Tell what a phrase may begin with: one word that is a whole one, or two words, parted by a blank."""
        start = self.root.following
        alone = {word for word, node in start.items() if node.actor or node.terms}
        together = {
            f"{word} {after.removeprefix(',')}"
            for word, node in start.items()
            for after in node.following
        }
        return alone, together

    def _begin(self, words: list[str]) -> Iterator[tuple[int, Node]]:
        """Tell where a phrase may begin: a whole one of one word, or one that the next word goes on with."""
        start = self.root.following
        if start.keys().isdisjoint(words):
            return
        last = len(words) - 1
        for i, node in enumerate(map(start.get, words)):
            if node is None:
                continue
            if node.actor or node.terms:
                yield i, node
            elif i < last:
                after = words[i + 1]
                if after in node.following or f",{after}" in node.following:
                    yield i, node


class _Reading:
    """One text while it is read: its words, where they stand, and the mentions so far."""

    def __init__(
        self, table: Actors, text: str, words: list[str], when: datetime.date | None
    ) -> None:
        self.text, self.words, self.day = text, words, when.toordinal() if when else None
        self.table, self.lists = table, table.lists
        self.found = list(_WORD.finditer(text))  # spans are asked of few words
        self.mentions: list[Mention] = []
        self.until = 0  # the word after the last mention
        self.seen: set[str] = set()  # codes mentioned so far
        self.shout = text.isupper()

    @cached_property
    def headline(self) -> bool:
        """Whether a capital says nothing here."""
        return self.shout or _in_title_case(self.text, self.words[:_HEADLINE_WORDS])

    def take(self, i: int, node: Node) -> int:
        """Read the longest phrase from word ``i`` on, note an actor, return the next word."""
        best, j = self._longest(i, node)
        if best is None:
            return i + 1
        if best.terms and not best.actor:
            i, best, j = self._without_title(i, best, j)
        code, kind = best.actor or (self._leader(i, j, best.terms), "leader")
        if code and self._counts(i, j, kind):
            start, end = self.found[i].start(), self.found[j - 1].end()
            end -= len(self.text[start:end]) - len(self.text[start:end].rstrip(_INVISIBLE))
            self.mentions.append(Mention(start, end, code, "seat" if kind == _ORGAN else kind))
            self.seen.add(code)
            self.until = j
        return j

    def _without_title(self, i: int, best: Node, j: int) -> tuple[int, Node, int]:
        """Leave the title out of the span; the table has "President Hu" beside "Hu Jintao"."""
        while i < j - 1 and self.words[i].lower() in self.lists["titles"]:
            i += 1
            node = self.table.root.following.get(self.words[i])
            longer, end = self._longest(i, node) if node else (None, j)
            if longer and longer.terms and end > j:
                return i, longer, end
        return i, best, j

    def _longest(self, i: int, node: Node) -> tuple[Node | None, int]:
        """Follow the trie from word ``i``, at ``node``; return the last end and the next word."""
        best, j = (node if node.actor or node.terms else None), i + 1
        for k in range(i + 1, len(self.words)):
            gap = self._gap(k)
            follower = node.following.get(gap + self.words[k]) if gap is not None else None
            if follower is None:
                break
            node = follower
            if node.actor or node.terms:
                best, j = node, k + 1
        return best, j

    def _gap(self, k: int) -> str | None:
        """Tell what parts word ``k`` from the one before: nothing much, a comma, or None."""
        start, end = self.found[k - 1].end(), self.found[k].start()
        if end - start > _LONGEST_GAP:
            return None
        gap = self.text[start:end].strip()
        return "" if gap in _WITHIN else gap if gap == "," else None

    def _joined(self, k: int) -> bool:
        """Whether word ``k`` follows the one before after blanks only."""
        return (
            0 < k < len(self.words)
            and self.text[self.found[k - 1].end() : self.found[k].start()].isspace()
        )

    def _capital(self, k: int) -> bool:
        return 0 <= k < len(self.words) and self.words[k][0].isupper()

    def _counts(self, i: int, j: int, kind: str) -> bool:
        """Whether the words beside the actor in words ``[i, j)`` leave it one."""
        if kind == "leader":
            return True
        if kind == "prefix":
            return self.text.startswith(("-", "‐", "‑", "–"), self.found[j - 1].end())
        if kind == _ORGAN and self.until == i and self.mentions:
            return False  # "Italian Senate": the adjective has said whose it is
        if kind == _ORGAN and self.words[j : j + 1] == ["of"] and self._capital(j + 1):
            return False  # "Senate of Italy": the name will
        if self._follows_former(i) or self._is_person(i) or self._is_company(j):
            return False
        if self.shout and self.words[i] == "US" and j == i + 1:
            return self._us_is_state(i)
        return not (kind == "seat" and self._is_dateline(i, j))

    def _follows_former(self, i: int) -> bool:
        before = self.words[i - 1].lower() if i and self._gap(i) == "" else ""
        return before in self.lists["former_state"]

    def _is_person(self, i: int) -> bool:
        """``Michael Jordan``; capitals hide names from words, so not in a shouted headline."""
        if self.shout or not (self._joined(i) and self._capital(i - 1)):
            return False
        return self.words[i - 1].lower() in self.lists["given"]

    def _is_company(self, j: int) -> bool:
        """Whether the capitalised words from ``j`` on make the name a company's or a paper's."""
        node = self.table.tails
        for k in range(j, min(j + 3, len(self.words))):
            follower = node.following.get(self.words[k]) if self._joined(k) else None
            if follower is None:
                break
            node = follower
        if node.actor:
            return True
        reach = 2 if self.headline else _COMPANY_WORDS
        for k in range(j, min(j + reach, len(self.words))):
            if not self._joined(k) or not self._capital(k):
                return False
            if self.words[k].lower() in self.lists["company"]:
                return True
        return False

    def _us_is_state(self, i: int) -> bool:
        """In a shouted line US may be the pronoun: a verb or a preposition before it says so."""
        return i == 0 or self.words[i - 1].lower() not in self.lists["before_pronoun"]

    def _is_dateline(self, i: int, j: int) -> bool:
        """``LONDON, March 3 -``: where a report was written, not who acts."""
        first = i == 0 or (self.words[i].isupper() and not self.shout)
        return first and _DATELINE.match(self.text, self.found[j - 1].end()) is not None

    # -- office holders ---------------------------------------------------------------------------

    def _leader(self, i: int, j: int, terms: tuple[Term, ...]) -> str:
        """Return the state that the person in words ``[i, j)`` speaks for, or an empty string."""
        if self.day is not None:
            day = self.day
            terms = tuple(t for t in terms if t.first - _SLACK_DAYS <= day <= t.last + _SLACK_DAYS)
        if not terms or self._was_leader(i) or self._is_stranger(i, j):
            return ""
        if len(terms) == 1:
            return terms[0].code
        return max(terms, key=self._likelihood).code

    def _likelihood(self, term: Term) -> tuple[bool, bool, int, int]:
        """Order the holders of one name: of a state named already, a head, the latest."""
        known = _PROMINENT[::-1].index(term.code) if term.code in _PROMINENT else -1
        return term.code in self.seen, term.head, term.last, known

    def _was_leader(self, i: int) -> bool:
        """Whether a "former" stands before the name, at most titles and his state between."""
        for k in range(i - 1, max(i - 8, -1), -1):
            word = self.words[k].lower()
            if self._gap(k + 1) is None:
                return False
            if word in self.lists["former"]:
                return True
            in_mention = bool(self.mentions) and self.found[k].start() >= self.mentions[-1].start
            if word not in self.lists["offices"] and not in_mention:
                return False
        return False

    def _is_stranger(self, i: int, j: int) -> bool:
        """Whether a bare surname, words ``[i, j)``, is somebody else's by the word before."""
        if j > i + 1:
            return False
        before = self.words[i - 1] if i else ""
        capital = self._capital(i - 1) and self._gap(i) == ""
        titled = capital and before.lower() in self.lists["titles"]
        if self.words[i].lower() in self.lists["words"]:
            return not titled
        if self._gap(i) == "" and before.lower() in self.lists["strangers"]:
            return True
        if not capital or titled or self.until == i:
            return False
        if before.lower() in self.lists["given"] or len(before) == 1:
            return True
        return not (self.headline or self._opens(i - 1) or before in self.table.root.following)

    def _opens(self, k: int) -> bool:
        """Whether word ``k`` opens a sentence or a quotation, and so is capitalised anyway."""
        before = self.text[max(0, self.found[k].start() - 3) : self.found[k].start()].rstrip()
        return k == 0 or before[-1:] in set(".!?:;\"“‘'—–-(")


def find_mentions(text: str, when: datetime.date | None = None) -> list[Mention]:
    """Find where a text names states and organisations of states.

    Parameters
    ----------
    text : str
        A sentence or headline; any length, read in linear time.
    when : datetime.date, optional
        Day of publication. Office holders count only in office then, half a year of slack on
        either side; without it, whenever they were in office.

    Returns
    -------
    list of Mention
        In order of ``start``, none overlapping another; offsets in code points of ``text``.

    Examples
    --------
    >>> [text[m.start : m.end] + "=" + m.code for text in ["Moscow warned the U.S. of reprisals."]
    ...  for m in find_mentions(text)]
    ['Moscow=RUS', 'U.S.=USA']
    """
    return _shipped().find(text, when)


def openings() -> tuple[set[str], set[str]]:
    """Tell what the name of an actor may begin with (`Actors.openings`)."""
    return _shipped().openings()


def names(code: str) -> Names:
    """Return how an actor is called: name, adjective, capital, a leader.

    Raises
    ------
    KeyError
        If ``code`` is none of :func:`actors`.
    """
    return _shipped().names[code]


@cache
def actors() -> Mapping[str, str]:
    """Return every code of the codebook with its English name, states first."""
    return MappingProxyType({code: known.name for code, known in _shipped().names.items()})


@cache
def _shipped() -> Actors:
    return load_actors(files(__package__) / "data")


def load_actors(folder: Traversable) -> Actors:
    """Compile the table of actors from a folder laid out as ``scoring/data``.

    Parameters
    ----------
    folder : path-like
        Holds ``states.csv``, ``organisations.csv``, ``prefixes.csv``, ``non_actors.txt``,
        ``actor_words.toml`` and ``leaders/*.csv``.

    Raises
    ------
    FileNotFoundError
        If a file is not there.
    ValueError
        If a date of a leader is not ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``.
    """
    lists = tomllib.loads((folder / "actor_words.toml").read_text(encoding="utf-8"))
    table = Actors({name: frozenset(words.lower().split()) for name, words in lists.items()})
    for file in ("states.csv", "organisations.csv"):
        for row in _rows(folder / file):
            table.add_actor(row)
    for row in _rows(folder / "prefixes.csv"):
        table.add_prefix(row["prefix"], row["code"])
    for file_ in sorted((folder / "leaders").iterdir(), key=lambda path: path.name):
        for row in _rows(file_) if file_.name.endswith(".csv") else ():
            table.add_leader(row)
    for line in (folder / "non_actors.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            table.add_block(line)
    return table


def _rows(file: Traversable) -> Iterator[dict[str, str]]:
    yield from csv.DictReader(file.read_text(encoding="utf-8").splitlines())


def _plain(word: str) -> str:
    """Return the word without accents and invisible characters."""
    if word.isascii():
        return word
    letters = unicodedata.normalize("NFKD", word.translate(_LETTERS))
    return "".join(c for c in letters if not unicodedata.combining(c) and c not in _INVISIBLE)


@cache
def _spellings(word: str) -> tuple[str, ...]:
    """Return a word of a name as it turns up: in capitals too, an abbreviation dotted too."""
    word = _plain(word)
    bare = word.replace(".", "")
    if bare.isupper() and len(bare) > 1:
        dotted = ".".join(bare)
        return (bare, dotted, dotted + ".")
    if word.islower():
        return (word, word.capitalize(), word.upper())
    return (word, word.upper())


def _in_title_case(text: str, words: list[str]) -> bool:
    """Whether most of the words are capitalised, so that a capital says nothing."""
    if text.endswith("."):
        return False
    long = [word for word in words if len(word) > 3 and word[0].isalpha()]
    return sum(word[0].isupper() for word in long) >= _HEADLINE_SHARE * len(long)


def _with_plurals(adjectives: Iterable[str]) -> Iterator[str]:
    """Adjectives that are nouns as well (Russian, Israeli) also in the plural."""
    for adjective in adjectives:
        yield adjective
        if adjective.endswith(("an", "i", "er", "ek", "kh", "ar")):
            yield adjective + "s"


@cache
def _day(date: str, *, last: bool) -> int:
    """Return the first or last day that ``YYYY[-MM[-DD]]`` may mean; empty: none is known."""
    if not date:
        return datetime.date.max.toordinal() if last else datetime.date.min.toordinal()
    year, month, day = ([int(part) for part in date.split("-")] + [0, 0])[:3]
    if day:
        return datetime.date(year, month, day).toordinal()
    if not last:
        return datetime.date(year, month or 1, 1).toordinal()
    following = (
        datetime.date(year + 1, 1, 1) if month in (0, 12) else datetime.date(year, month + 1, 1)
    )
    return following.toordinal() - 1
