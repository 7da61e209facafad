"""Who says it to whom: directed dyads of an escalatory sentence.

Every ordered pair of the actors that a sentence names, either side also open, is a candidate. A role
classifier, trained on the labelled dyads, says of each how likely it is that the first speaks to the second.
It sees where the two stand and what stands around and between them, never who they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scoring.actors import Mention
from scoring.features import ACTOR, Cue, mask, skeleton, stem, words

MOST_ACTORS: Final = 8
"""Actors considered in one sentence, in order of mention; hostile input may name hundreds."""

_AND: Final = re.compile(r"\s*,?\s*(?:and|or|&|as well as)\s+(?:the\s+)?|\s*[/&]\s*", re.IGNORECASE)
_COMMA: Final = re.compile(r"\s*,\s*(?:the\s+)?", re.IGNORECASE)
_LEAST_JOINT: Final = 0.2
"""Probability from which an actor named in one breath with a side of the best dyad shares in it."""

_BE: Final = frozenset({"is", "are", "was", "were", "be", "been", "being"})
_SPEECH: Final = frozenset({"OFFICE", "SAY", "ACTOR", '"'})


class Dyad(NamedTuple):
    """A directed dyad found in a sentence; a side that it leaves open is None, and so is its span."""

    source: str | None
    target: str | None
    source_span: tuple[int, int] | None
    target_span: tuple[int, int] | None
    probability: float

    def moved(self, by: int) -> Dyad:
        """Return the dyad with its spans counted from `by` characters further left."""
        source, target = (
            None if span is None else (span[0] + by, span[1] + by)
            for span in (self.source_span, self.target_span)
        )
        return self._replace(source_span=source, target_span=target)


class Candidate(NamedTuple):
    """An ordered pair of actors (codes or None) and the names of its features."""

    source: str | None
    target: str | None
    features: list[str]


def candidates(text: str, mentions: Sequence[Mention]) -> list[Candidate]:
    """List every ordered pair of different actors of a sentence, open sides included, with features.

    Parameters
    ----------
    text : str
        The sentence.
    mentions : sequence of Mention
        Its actors, in order; those past `MOST_ACTORS` different ones are left out.

    Returns
    -------
    list of Candidate
        (k + 1) * k + 1 candidates for k actors; the pair of two open sides is the last.
    """
    view = _View(text, mentions)
    codes: list[str | None] = [*view.actors, None]
    return [
        Candidate(source, target, view.pair(source, target))
        for source in codes
        for target in codes
        if source != target or source is None
    ]


def find_dyads(
    text: str,
    mentions: Sequence[Mention],
    found: Sequence[Candidate],
    chances: Sequence[float] | NDArray[np.float64],
    at_least: float,
) -> list[Dyad]:
    """Find who says it to whom in a sentence that is known to be escalatory.

    Parameters
    ----------
    text : str
        The sentence.
    mentions : sequence of Mention
        Its actors, in order.
    found : sequence of Candidate
        As `candidates` lists them.
    chances : sequence of float
        Probability of each of being a dyad: the roles of a tier.
    at_least : float
        Probability from which a candidate with another speaker than the most probable one is a dyad too.

    Returns
    -------
    list of Dyad
        The most probable dyad first; never empty. Actors named in one breath with a side of it share in it. A
        further dyad never repeats another one with a side left open.
    """
    spans = {mention.code: (mention.start, mention.end) for mention in reversed(mentions)}
    order = sorted(range(len(found)), key=lambda i: (-chances[i], i))
    best = found[order[0]]
    together = _named_together(text, mentions)
    out: list[Dyad] = []
    for i in order:
        source, target = found[i].source, found[i].target
        joint = (
            chances[i] >= _LEAST_JOINT
            and _beside(source, best.source, together)
            and _beside(target, best.target, together)
        )
        other_speaker = source != best.source and chances[i] >= at_least
        if out and (not (joint or other_speaker) or _repeats(out, source, target)):
            continue
        span = (spans.get(source or ""), spans.get(target or ""))
        out.append(Dyad(source, target, *span, float(chances[i])))
    return out


def _named_together(text: str, mentions: Sequence[Mention]) -> dict[str, set[str]]:
    """Group the actors that are named in one breath: "France, Germany and Britain".

    A comma joins only in a list that ends with "and": "In a letter to the UN, Armenia accused ..." is none.
    """
    groups: dict[str, set[str]] = {}
    listed = False
    for one, other in reversed([*pairwise(mentions)]):
        joined = _AND.fullmatch(text, one.end, other.start) is not None
        listed = joined or (listed and _COMMA.fullmatch(text, one.end, other.start) is not None)
        if listed and one.code != other.code:
            group = groups.get(one.code, {one.code}) | groups.get(other.code, {other.code})
            groups |= dict.fromkeys(group, group)
    return groups


def _beside(code: str | None, best: str | None, together: dict[str, set[str]]) -> bool:
    """Tell whether an actor is the one of the best dyad, or named in one breath with it."""
    return code == best or (code is not None and code in together.get(best or "", ()))


def _repeats(known: list[Dyad], source: str | None, target: str | None) -> bool:
    """Tell whether an open-sided pair says no more than a dyad already found, or less."""
    return any(
        (source in (None, dyad.source) and target in (None, dyad.target))
        or (dyad.source in (None, source) and dyad.target in (None, target))
        for dyad in known
    )


class _View:
    """One sentence, read once: words, skeleton, and where each actor stands in them."""

    def __init__(self, text: str, mentions: Sequence[Mention]) -> None:
        self.words = words(mask(text, mentions))
        self.cues = skeleton(self.words)
        self.groups = [cue.group for cue in self.cues]
        self.quoted = _inside_quotes(self.words)
        places = [i for i, cue in enumerate(self.cues) if cue.group == "ACTOR"]
        self.actors: dict[str, list[tuple[int, str]]] = {}
        for place, mention in zip(places, mentions, strict=False):
            if mention.code in self.actors or len(self.actors) < MOST_ACTORS:
                self.actors.setdefault(mention.code, []).append((place, mention.kind))
        self.rank = {code: min(i, 3) for i, code in enumerate(self.actors)}
        self.size = min(len(self.actors), 4)
        self.sides = {code: self._side(code) for code in self.actors} | {None: self._open_side()}

    def pair(self, source: str | None, target: str | None) -> list[str]:
        """Name the features of one ordered pair."""
        out = [f"S {name}" for name in self.sides[source]]
        out += [f"T {name}" for name in self.sides[target]]
        out.append(f"open {source is None} {target is None} of {self.size}")
        if source is not None and target is not None:
            out += self._between(source, target)
        return out

    def _word(self, at: int) -> str:
        if at < 0:
            return "<"
        if at >= len(self.words):
            return ">"
        return "A" if self.words[at] == ACTOR else self.words[at]

    def _cue(self, at: int) -> str:
        return "<" if at < 0 else ">" if at >= len(self.groups) else self.groups[at]

    def _side(self, code: str) -> list[str]:
        """Name the features of an actor by itself: its rank, and what stands around each mention."""
        places = self.actors[code]
        out = [
            f"rank {self.rank[code]}",
            f"last {code == list(self.actors)[-1]}",
            f"mentions {min(len(places), 3)}",
        ]
        for number, (place, kind) in enumerate(places):
            again = "~" if number else ""
            out += [again + name for name in self._around(self.cues[place], place, kind)]
        return out

    def _around(self, cue: Cue, place: int, kind: str) -> list[str]:
        at, word, group = cue.at, self._word, self._cue
        after = next((g for g in self.groups[place + 1 : place + 5] if g not in _SPEECH), "")
        before = next(
            (g for g in self.groups[max(0, place - 4) : place][::-1] if g not in _SPEECH), ""
        )
        out = [
            f"w-1 {word(at - 1)}",
            f"w+1 {word(at + 1)}",
            f"w-2 {word(at - 2)} {word(at - 1)}",
            f"w+2 {word(at + 1)} {word(at + 2)}",
            f"g-1 {group(place - 1)}",
            f"g+1 {group(place + 1)}",
            f"g-2 {group(place - 2)} {group(place - 1)}",
            f"g+2 {group(place + 1)} {group(place + 2)}",
            f"g-+ {group(place - 1)} {group(place + 1)}",
            f"kind {kind}",
            f"kind {kind} w+1 {word(at + 1)}",
            f"quoted {self.quoted[at]}",
            f"after {after}",
            f"before {before}",
        ]
        left = len(self.words) - at
        marks = {
            "start": at == 0,
            "end": left <= 3,
            "dash before end": left <= 4 and "-" in self.words[max(0, at - 3) : at],
            "dash after": "-" in self.words[at + 1 : at + 3],
            "colon after": ":" in self.words[at + 1 : at + 4],
            "past quote": left <= 8 and '"' in self.words[:at] and not self.quoted[at],
        }
        return out + [name for name, holds in marks.items() if holds]

    def _open_side(self) -> list[str]:
        """Name the features of a side that the sentence does not name."""
        first = self._word(0)
        return ["open", f"open of {self.size}", f"open first {first}"] + [
            f"open with {group}" for group in sorted(set(self.groups))
        ]

    def _between(self, source: str, target: str) -> list[str]:
        """Name the features of the two together: order, distance, and what stands between and before."""
        a, b = self.actors[source][0][0], self.actors[target][0][0]
        way = "st" if a < b else "ts"
        low, high = min(a, b), max(a, b)
        between = self.groups[low + 1 : high]
        inner = self.words[self.cues[low].at + 1 : self.cues[high].at]
        return [
            way,
            f"{way} of {self.size}",
            f"{way} distance {min(len(inner), 12) // 2}",
            f"{way} actors {min(between.count('ACTOR'), 3)}",
            f"{way} groups {' '.join(between[:3])}",
            f"ranks {self.rank[source]} {self.rank[target]}",
            f"{way} passive {inner[-1:] == ['by'] and not _BE.isdisjoint(inner)}",
            *(f"{way} has {group}" for group in sorted(set(between))),
            *(f"{way} word {name}" for name in sorted({stem(word) for word in inner})),
            *(f"{way} after {group}" for group in sorted(set(self.groups[:low]))),
        ]


def _inside_quotes(sentence: Sequence[str]) -> list[bool]:
    out, inside = [], False
    for word in sentence:
        inside ^= word == '"'
        out.append(inside)
    return out
