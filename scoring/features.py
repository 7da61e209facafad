"""Sentence and actor mentions -> words -> named features, blind to which states they are.

Every mention of a state becomes one and the same token, so the level cannot depend on who it is. The
features are word and stem n-grams, and n-grams over the *skeleton*: the sequence of the cue groups of
``data/cues.toml`` and of actors, all other words left out. They are names, not numbers, so that a
scikit-learn vectoriser can count them and a person can read what a weight stands for.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from itertools import combinations, pairwise
from typing import Final, NamedTuple

from scoring.actors import Mention

ACTOR: Final = "\x01"
"""The token that stands for any mention of any state or organisation of states."""

_OTHERS: Final = "\x02\x03"
"""In a masked sentence: the second actor, and any further one. Words treat all alike; what counts them does not."""

_TOKEN: Final = re.compile(
    rf"[{ACTOR}{_OTHERS}]|[a-zà-öø-ÿāăąćčđēęěğīıłńňőřśşšťūůűźżžș]+(?:[-'][a-zà-öø-ÿ]+)*|\d[\d.,]*|[?!:;\"'–—-]"
)
_PLAIN: Final = str.maketrans(
    {"’": "'", "‘": "'", "“": '"', "”": '"', "«": '"', "»": '"', "„": '"'}
)
_ENDING: Final = re.compile(r"(?:ing|ed|es|s|ly)$")
_SHORTEST_STEM: Final = 3
_SAME: Final = {"–": "-", "—": "-", "an": "a"}
_PUNCTUATION: Final = frozenset('?:"-')
_SIDE_GROUPS: Final = frozenset({"ACTOR", "OFFICE", "SAY", *_PUNCTUATION})
_MOST_CUES: Final = 60  # of one sentence are paired: real ones have fewer, hostile ones thousands
_NEAR: Final = (-3, -2, -1, 1, 2, 3)  # words around a cue that may say what it is about
_LIGHTEST: Final = (
    "the of a to in and on for by with at from as that is was it its be has have had or but"
)
_LIGHT: Final = frozenset(_LIGHTEST.split())
"""Words that say nothing about a cue beside them."""


class Cue(NamedTuple):
    """One place of the skeleton: a cue group (or actor, or mark) and the word it begins at."""

    group: str
    at: int


def mask(text: str, mentions: Iterable[Mention]) -> str:
    """Replace every mention by a token that tells the first actor, the second and the others apart.

    Parameters
    ----------
    text : str
        A sentence.
    mentions : iterable of Mention
        Non-overlapping, in order of start, as `scoring.actors.find_mentions` gives them.

    Returns
    -------
    str
        The sentence with a control character, parted by blanks, in place of each mention.
    """
    parts: list[str] = []
    order: dict[str, int] = {}
    at = 0
    for mention in mentions:
        number = order.setdefault(mention.code, len(order))
        parts += (text[at : mention.start], f" {(ACTOR + _OTHERS)[min(number, 2)]} ")
        at = mention.end
    return "".join((*parts, text[at:]))


def words(masked: str) -> list[str]:
    """Split a masked sentence into lower-case words and the marks that carry meaning.

    Numbers become ``0``; possessives are cut; ``n't`` becomes ``not`` and ``'ll`` ``will``. What only the form of an
    actor's name decides goes: "the" before it, the possessive behind it, and "an" for "a".
    """
    out: list[str] = []
    for token in _TOKEN.findall(masked.translate(_PLAIN).lower()):
        if token <= _OTHERS[-1]:
            if out and out[-1] == "the":
                out.pop()
            out.append(ACTOR)
        elif out and out[-1] == ACTOR and token in ("'", "s"):
            continue
        elif token[0].isdigit():
            out.append("0")
        else:
            out += words_of(token)
    return out


@lru_cache(maxsize=1 << 16)
def words_of(token: str) -> tuple[str, ...]:
    """Give the word, or the two, that a token of letters or a mark stands for."""
    if "'" in token and len(token) > 1:
        if token.endswith("n't"):
            return token[:-3], "not"
        if token.endswith("'ll"):
            return token[:-3], "will"
        return (token[:-2] if token.endswith("'s") else token,)
    return (_SAME.get(token, token),)


class _Lexicon(NamedTuple):
    words: dict[str, str]
    stems: dict[str, str]
    phrases: dict[str, list[tuple[tuple[str, ...], str]]]


@cache
def _lexicon() -> _Lexicon:
    raw = tomllib.loads((files(__package__) / "data" / "cues.toml").read_text(encoding="utf-8"))
    lexicon = _Lexicon({}, {}, {})
    for group, entries in raw.items():
        name = group.upper()
        for word in entries.get("words", "").split():
            table, key = (lexicon.stems, word[:-1]) if word.endswith("*") else (lexicon.words, word)
            table.setdefault(key, name)
        for phrase in entries.get("phrases", "").split(","):
            if parts := tuple(phrase.split()):
                lexicon.phrases.setdefault(parts[0][:3].rstrip("*"), []).append((parts, name))
    for known in lexicon.phrases.values():
        known.sort(key=lambda entry: -len(entry[0]))
    return lexicon


@cache
def _longest_stem() -> int:
    return max(map(len, _lexicon().stems))


@lru_cache(maxsize=1 << 16)
def _group(word: str) -> str | None:
    lexicon = _lexicon()
    if word in lexicon.words:
        return lexicon.words[word]
    for length in range(min(len(word), _longest_stem()), 1, -1):
        if word[:length] in lexicon.stems:
            return lexicon.stems[word[:length]]
    return None


@lru_cache(maxsize=1 << 16)
def _phrases(word: str) -> tuple[tuple[tuple[str, ...], str], ...]:
    known = _lexicon().phrases.get(word[:3], ())
    return tuple(entry for entry in known if _fits(word, entry[0][0]))


def _fits(word: str, pattern: str) -> bool:
    return word.startswith(pattern[:-1]) if pattern.endswith("*") else word == pattern


def skeleton(sentence: Sequence[str]) -> list[Cue]:
    """Reduce words to actors, cue groups and marks, in order; a longer phrase wins over its words."""
    out: list[Cue] = []
    at, end = 0, len(sentence)
    while at < end:
        word = sentence[at]
        if word == ACTOR:
            out.append(Cue("ACTOR", at))
        elif word in _PUNCTUATION:
            out.append(Cue(word, at))
        else:
            for parts, group in _phrases(word):
                if all(
                    at + k < end and _fits(sentence[at + k], part) for k, part in enumerate(parts)
                ):
                    out.append(Cue(group, at))
                    at += len(parts) - 1
                    break
            else:
                if found := _group(word):
                    out.append(Cue(found, at))
        at += 1
    return out


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """Cut the commonest English endings, so that "warns", "warned" and "warning" meet."""
    if len(word) <= _SHORTEST_STEM + 1:
        return word
    cut = _ENDING.sub("", word)
    return cut.rstrip("e") if len(cut) >= _SHORTEST_STEM else word


def statement_features(masked: str) -> list[str]:
    """Name the features of one masked sentence: the analyzer of the level classifier.

    Parameters
    ----------
    masked : str
        A sentence in which `mask` has replaced the actors.

    Returns
    -------
    list of str
        Feature names, repeated as often as they occur: ``s`` stem n-grams, ``k`` skeleton n-grams, ``y`` the same with
        actors and speakers left out, ``p`` groups anywhere one after the other, ``g`` a word beside a cue group, ``v``
        a stem near a cue group, ``n`` counts.
    """
    found = words(masked)
    stems = [stem(word) for word in found]
    cues = skeleton(found)
    groups = [cue.group for cue in cues]
    return [
        *_ngrams("s", stems),
        *(f"s {a} {b} {c}" for a, b, c in zip(stems, stems[1:], stems[2:], strict=False)),
        *_ngrams("k", groups),
        *(
            f"k {a} {b} {c}"
            for a, b, c in zip(["<", *groups], groups, [*groups[1:], ">"], strict=False)
        ),
        *sorted({f"p {a} {b}" for a, b in combinations(groups[:_MOST_CUES], 2)}),
        *_chain([group for group in groups if group not in _SIDE_GROUPS]),
        *(f"g {found[a.at]}>{b.group}" for a, b in pairwise(cues)),
        *(f"g {a.group}>{found[b.at]}" for a, b in pairwise(cues)),
        *_near_cues(stems, cues),
        f"n actors {min(groups.count('ACTOR'), 4)}",
        f"n different {sum(mark in masked for mark in ACTOR + _OTHERS)}",
        f"n words {min(len(found) // 8, 6)}",
    ]


def _near_cues(stems: list[str], cues: list[Cue]) -> list[str]:
    """Name the stems around each cue, before or behind it, light words left out."""
    out = []
    for cue in cues:
        if cue.group == "ACTOR" or cue.group in _PUNCTUATION:
            continue
        for step in _NEAR:
            at = cue.at + step
            if 0 <= at < len(stems) and stems[at] not in _LIGHT:
                out.append(f"v {cue.group} {'<' if step < 0 else '>'} {stems[at]}")
    return out


def _chain(groups: list[str]) -> list[str]:
    """Name pairs and triples of what is said, whoever stands in between."""
    pairs = [f"y {a} {b}" for a, b in zip(["<", *groups], [*groups, ">"], strict=False)]
    return pairs + [
        f"y {a} {b} {c}" for a, b, c in zip(groups, groups[1:], groups[2:], strict=False)
    ]


def _ngrams(kind: str, tokens: list[str]) -> list[str]:
    singles = [f"{kind} {token}" for token in tokens]
    pairs = [f"{kind} {a} {b}" for a, b in zip(["<", *tokens], [*tokens, ">"], strict=False)]
    return singles + pairs
