"""The level classifier, compiled: what its scikit-learn pipeline says of sentences, bit for bit, many times faster.

This lays out its weights and counts the same features over the bytes of many sentences at once (`scoring.kernel`).
What can be said of a word by itself (its stem, its cue group, the phrases that it may begin) is asked of
`scoring.features` once and kept. Needs numba, which is a large library: without it `scoring.linear` does the work.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from threading import Lock
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from scoring import features as f
from scoring import kernel as k
from scoring.levels import LEVELS
from scoring.linear import Hashed, softmax

MOST_WORDS: Final = 100_000
"""Words that are remembered; with more than these, the table begins anew."""

_FILTER: Final = 1 << 21  # bits of a filter; some 10,000 are set
_CHUNK: Final = 4_000  # sentences that are worked on at once
_LARGEST: Final = 1 << 21  # columns that the kernel can sort
_ACTORS: Final = "\x01\x02\x03"
_MARKS: Final = "?!:;\"'-"
_FIRST: Final = ("the", f.ACTOR, "0")  # the words that the kernel knows by number
_DASH: Final = "\x04"  # stands for a long dash, which is a mark but joins no words as a hyphen does
_ASCII: Final = (
    f._PLAIN | {ord(char): _DASH for char in "–—"} | {ord(char): " " for char in "…•£€¥°©®™"}
)
_LOWER: Final = np.frombuffer(bytes(range(256)).lower(), np.uint8)
_LOGS: Final = np.log(np.arange(1 << 12, dtype=float).clip(1)) + 1.0


def fits(level: Hashed) -> bool:
    """Tell whether a level classifier is of the size that the kernel works on; nearly all are."""
    levels, columns = level.coef.shape
    power = 0 < columns <= _LARGEST and columns & (columns - 1) == 0
    return levels == len(LEVELS) and power and level.idf is not None


class Compiled:
    """A level classifier whose weights have been laid out for `scoring.kernel`.

    Parameters
    ----------
    level : Hashed
        The level classifier of a model (`scoring.artifact.Model`), of which `fits` is true.
    """

    def __init__(self, level: Hashed) -> None:
        if level.idf is None:
            raise ValueError("expected a level classifier, found one without document frequencies")
        self._weights = _weights(level.coef, level.idf)
        self._intercept = level.intercept
        self._groups = _Groups(len(self._weights))
        self._words = _Words(self._groups)
        self._lock = Lock()  # a server answers several requests at once, and the words grow

    def probabilities(self, masked: Sequence[str]) -> NDArray[np.float64]:
        """Give the probabilities of the levels.

        Parameters
        ----------
        masked : sequence of str
            Sentences whose actors `scoring.features.mask` has replaced.

        Returns
        -------
        ndarray of float, shape (n, 4)
            Those of `Hashed.probabilities`.
        """
        out = np.empty((len(masked), len(LEVELS)))
        with self._lock:
            for start in range(0, len(masked), _CHUNK):
                part = masked[start : start + _CHUNK]
                self._logits(part, out[start : start + len(part)])
        out += self._intercept
        return softmax(out)

    def _logits(self, masked: Sequence[str], out: NDArray[np.float64]) -> None:
        words, groups = self._words, self._groups
        ids, offsets, counts, actors = words.read(masked)
        k.logits(
            ids, offsets, counts, actors,
            words.table.rows, words.pool.rows, words.fits.rows, words.starts.rows,
            groups.phrases, groups.parts, words.group_table, words.edges, groups.side, groups.quiet,
            groups.columns, groups.counts, _LOGS, self._weights, out,
        )  # fmt: skip


def _weights(coefficients: NDArray[np.float64], idf: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lay out the weights of a feature in one row that begins at a multiple of its 64 bytes in memory."""
    size = len(idf) * k.WEIGHTS
    room = np.zeros(size + k.WEIGHTS)
    start = (-room.ctypes.data % 64) // 8
    out = room[start : start + size].reshape(len(idf), k.WEIGHTS)
    out[:, : len(LEVELS)] = coefficients.T
    out[:, k.IDF] = idf
    return out


class Screen:
    """Tells cheaply of most sentences without an actor that they have none.

    Parameters
    ----------
    alone : iterable of str
        Words that are a name by themselves (`scoring.actors.Actors.openings`).
    together : iterable of str
        Pairs of words, parted by a blank, that a longer name may begin with.
    """

    def __init__(self, alone: Iterable[str], together: Iterable[str]) -> None:
        self._letters = np.zeros(256, np.uint8)
        self._letters[[ord(char) for char in string.ascii_lowercase + string.digits]] = 1
        self._letters[[ord(char) for char in string.ascii_uppercase]] = 2
        self._letters[128:] = 3
        self._filters = [np.zeros(_FILTER, bool) for _ in range(2)]
        for words, filter_ in zip((alone, together), self._filters, strict=True):
            text, offsets = _bytes([word for word in words if word.isascii()])
            k.mark(text, offsets, filter_)

    def may_name(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Tell which texts `scoring.actors.find_mentions` must read.

        Parameters
        ----------
        texts : sequence of str
            Sentences.

        Returns
        -------
        ndarray of bool, shape (n,)
            False only where it would find nothing.
        """
        out = np.empty(len(texts), bool)
        try:
            text, offsets = _bytes(texts)
        except UnicodeEncodeError:  # a lone surrogate
            return np.ones(len(texts), bool)
        k.may_name(text, offsets, self._letters, *self._filters, out)
        return out


def _bytes(texts: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Lay out texts one behind the other, in UTF-8, and tell where each begins."""
    lines = pa.array(texts, pa.string())
    offsets = np.frombuffer(lines.buffers()[1], np.int32)[: len(texts) + 1]
    return np.frombuffer(lines.buffers()[2] or b"", np.uint8), offsets


class _Rows:
    """An array that grows at its end."""

    def __init__(self, columns: int = 0, dtype: Any = np.int64) -> None:
        shape = (1024, columns) if columns else (1024,)
        self.rows = np.zeros(shape, dtype)
        self.size = 0

    def add(self, rows: Any) -> int:
        """Add rows; give the number of the first."""
        start, self.size = self.size, self.size + len(rows)
        if self.size > len(self.rows):
            more = np.zeros((2 * self.size, *self.rows.shape[1:]), self.rows.dtype)
            more[:start] = self.rows[:start]
            self.rows = more
        self.rows[start : self.size] = rows
        return start

    def add_lists(self, lists: list[list[int]]) -> NDArray[np.int64]:
        """Add lists, one behind the other; give where each begins and ends."""
        start = self.add([number for one in lists for number in one])
        ends = start + np.cumsum([0, *map(len, lists)])
        return np.column_stack([ends[:-1], ends[1:]])


class _Groups:
    """What the cue lexicon says, by number: groups, phrases, and the columns of all features made of groups alone."""

    def __init__(self, columns: int) -> None:
        self.mask = columns - 1
        lexicon = f._lexicon()
        phrases = [entry for known in lexicon.phrases.values() for entry in known]
        named = {*lexicon.words.values(), *lexicon.stems.values(), *(group for _, group in phrases)}
        self.names = ["ACTOR", *sorted(f._PUNCTUATION), *sorted(named)]
        self.code = {name: code for code, name in enumerate(self.names)}
        self.part = {part: i for i, part in enumerate({p: 0 for e in phrases for p in e[0]})}
        self._stems = {part[:-1]: i for part, i in self.part.items() if part.endswith("*")}
        self._lengths = sorted(set(map(len, self._stems)))
        self.phrase = {entry: i for i, entry in enumerate(phrases)}
        ends = np.cumsum([0, *(len(parts) for parts, _ in phrases)])
        codes = [self.code[group] for _, group in phrases]
        self.phrases = np.column_stack([codes, ends[:-1], ends[1:]])
        self.parts = np.array([self.part[p] for parts, _ in phrases for p in parts])
        self.side = np.array([name in f._SIDE_GROUPS for name in self.names])
        self.quiet = np.array([name == "ACTOR" or name in f._PUNCTUATION for name in self.names])
        self.columns = self._columns()
        counted = (("actors", 5), ("different", 5), ("words", 7))
        self.counts = np.zeros((3, 8), np.int32)
        for row, (what, most) in zip(self.counts, counted, strict=True):
            row[:most] = self._hashed([f"n {what} {number}" for number in range(most)])

    def _columns(self) -> tuple[NDArray[np.int32], ...]:
        """Give the columns of the n-grams of the skeleton; the last two groups are its edges."""
        edged = [*self.names, "<", ">"]
        pairs = [f"{a} {b}" for a in edged for b in edged]
        triples = [f"{pair} {c}" for pair in pairs for c in edged]
        n = len(edged)
        return (
            self._hashed([f"k {a}" for a in self.names]),
            self._hashed([f"k {pair}" for pair in pairs]).reshape(n, n),
            self._hashed([f"k {triple}" for triple in triples]).reshape(n, n, n),
            self._hashed([f"y {pair}" for pair in pairs]).reshape(n, n),
            self._hashed([f"y {triple}" for triple in triples]).reshape(n, n, n),
            self._hashed([f"p {pair}" for pair in pairs]).reshape(n, n),
        )

    def of(self, word: str) -> tuple[int, list[int]]:
        """Give the group of a word by itself, -1 for none, and the phrases that it may begin."""
        if word == f.ACTOR or word in f._PUNCTUATION:
            return self.code["ACTOR" if word == f.ACTOR else word], []
        group = f._group(word)
        begun = [self.phrase[entry] for entry in f._phrases(word)]
        return -1 if group is None else self.code[group], begun

    def fits(self, word: str) -> list[int]:
        """Give the parts of phrases that a word can be: itself, or a pattern that ends in ``*``."""
        out = [self.part[word]] if word in self.part else []
        out += [self._stems[word[:end]] for end in self._lengths if word[:end] in self._stems]
        return out

    def _hashed(self, names: list[str]) -> NDArray[np.int32]:
        out = np.empty(len(names), np.int32)
        k.columns(*_bytes(names), self.mask, out)
        return out


class _Words:
    """What is known of words and tokens; it grows with the text and begins anew when it is large."""

    def __init__(self, groups: _Groups) -> None:
        self._groups = groups
        self._kinds = np.zeros(128, np.uint8)
        for kind, which in (
            (k.LETTER, string.ascii_lowercase),
            (k.DIGIT, string.digits),
            (k.MARK, _MARKS + _DASH),
            (k.ACTOR_BYTE, _ACTORS),
        ):
            self._kinds[[ord(char) for char in which]] = kind
        self._clear()

    def _clear(self) -> None:
        self.table, self.pool = _Rows(k.COLUMNS), _Rows()
        self.fits, self.starts = _Rows(), _Rows()
        self._number: dict[str, int] = {}
        self._spans, self._known, self._of = _Rows(2), _Rows(dtype=np.uint8), _Rows(2)
        self._slots = np.full(1 << 13, -1, np.int32)
        self._learn([*_FIRST, *_MARKS])
        self._marks = np.zeros(128, np.int32)
        for mark in _MARKS:
            self._marks[ord(mark)] = self._number[mark]
        self._marks[ord(_DASH)] = self._number["-"]
        self.group_table = np.zeros((len(self._groups.names), k.GROUP_COLUMNS), np.int64)
        for row, name in zip(self.group_table, self._groups.names, strict=True):
            row[:2] = self._piece(name)
            for at, sign in zip(k.NEAR_STATE, "<>", strict=True):
                row[at : at + 4] = _state(f"v {name} {sign}")
            row[k.GROUP_STATE : k.GROUP_STATE + 4] = _state(f"g {name}>")
        self.edges = np.zeros((2, 6), np.int64)
        self.edges[0, 2:] = _state("s <")
        self.edges[1, :2] = self._piece(" >")

    def read(self, masked: Sequence[str]) -> tuple[Any, Any, Any, Any]:
        """Split masked sentences into numbered words (`scoring.kernel.tokenise`)."""
        if len(self._number) > MOST_WORDS:
            self._clear()
        plain, split = _plain(masked)
        raw, offsets = _bytes(plain)
        text = _LOWER[raw]
        ids = np.empty(len(text) + 1, np.int32)
        counts, actors = np.zeros(len(plain), np.int32), np.zeros(len(plain), np.int32)
        rows, unknown = np.arange(len(plain)), np.empty((1024, 3), np.int64)
        while len(rows):
            missing = k.tokenise(
                text, offsets, rows, self._kinds, self._marks, self._slots, self._spans.rows,
                self._known.rows, self._of.rows, ids, counts, actors, unknown,
            )  # fmt: skip
            found = unknown[: min(missing, len(unknown))]
            rows = np.unique(found[:, 0]) if missing <= len(unknown) else np.arange(len(plain))
            self._enter({bytes(text[start:end]) for _, start, end in found.tolist()})
        split |= {row: f.words(masked[row]) for row in np.flatnonzero(counts == k.CROWDED).tolist()}
        self._learn([word for words in split.values() for word in words])
        for row, words in split.items():
            ids[offsets[row] : offsets[row] + len(words)] = [self._number[word] for word in words]
            counts[row] = len(words)
            actors[row] = sum(1 << ord(mark) for mark in _ACTORS if mark in masked[row])
        return ids, offsets, counts, actors

    def _enter(self, tokens: set[bytes]) -> None:
        """Note the words that tokens stand for."""
        if not tokens:
            return
        written = {token: f.words_of(token.decode()) for token in tokens}
        self._learn([word for words in written.values() for word in words])
        base = self._known.add(np.frombuffer(b"".join(written), np.uint8))
        ends = base + np.cumsum([0, *map(len, written)])
        first = self._spans.add(np.column_stack([ends[:-1], ends[1:]]))
        numbers = [[self._number[word] for word in words] for words in written.values()]
        self._of.add([[one[0], one[1] if len(one) > 1 else -1] for one in numbers])
        while 2 * self._spans.size > len(self._slots):
            self._slots, first = np.full(4 * len(self._slots), -1, np.int32), 0
        k.enter(self._slots, self._spans.rows, self._known.rows, first, self._spans.size)

    def _learn(self, words: list[str]) -> None:
        """Give new words their numbers, and put what is said of each into the tables."""
        new = [word for word in dict.fromkeys(words) if word not in self._number]
        if not new:
            return
        rows = np.zeros((len(new), k.COLUMNS), np.int64)
        stems = [f.stem(word) for word in new]
        said = [self._groups.of(word) for word in new]
        rows[:, k.GROUP] = [group for group, _ in said]
        rows[:, k.LIGHT] = [stem in f._LIGHT for stem in stems]
        rows[:, [k.PHRASES, k.PHRASES_END]] = self.starts.add_lists([begun for _, begun in said])
        fits = [self._groups.fits(word) for word in new]
        rows[:, [k.FITS, k.FITS_END]] = self.fits.add_lists(fits)
        word_text, word_at = _bytes(new)
        stem_text, stem_at = _bytes([f" {stem}" for stem in stems])
        pieces = np.empty((len(word_text) + len(stem_text)) // 4 + 2 * len(new), np.int64)
        used = k.learn(
            word_text, word_at, stem_text, stem_at, rows, pieces, self.pool.size, self._groups.mask
        )
        self.pool.add(pieces[:used])
        first = self.table.add(rows)
        self._number |= {word: first + i for i, word in enumerate(new)}

    def _piece(self, text: str) -> tuple[int, int]:
        """Keep a piece of a name, four bytes a number; tell where, and how many bytes."""
        content = text.encode()
        padded = content + b"\0" * (-len(content) % 4)
        return self.pool.add(np.frombuffer(padded, "<u4")), len(content)


def _plain(masked: Sequence[str]) -> tuple[list[str], dict[int, list[str]]]:
    """Make ASCII of sentences, as far as the tokeniser does not care; split here those of which that makes none."""
    plain = list(masked)
    if any(_DASH in text for text in plain):
        plain = [text.replace(_DASH, " ") for text in plain]
    if all(map(str.isascii, plain)):
        return plain, {}
    plain = [text if text.isascii() else text.translate(_ASCII) for text in plain]
    split = {row: f.words(masked[row]) for row, text in enumerate(plain) if not text.isascii()}
    for row, words in split.items():  # nothing to split, and room for the numbers of the words
        plain[row] = " " * len(words)
    return plain, split


def _state(text: str) -> tuple[int, int, int, int]:
    """Hash the beginning of a name: the state of the hash, and how many bytes it has seen."""
    content = np.frombuffer(text.encode(), np.uint8)
    return (*k.begin(0, 0, 0, content, 0, len(content)), len(content))
