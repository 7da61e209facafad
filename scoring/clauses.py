"""Cut a sentence in two where one side speaks and then the other, so that each dyad is scored on its own words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from scoring.actors import Mention
from scoring.features import ACTOR, mask, skeleton, words

_JOINT: Final = re.compile(
    r"(?:[,;]| [–—-])?\s+(?:and|but|while|whereas|as)\s+(?=[A-ZÀ-Þ“‘\"'])|[,;]\s+(?=[A-ZÀ-Þ])"
)
_SPEECH_GROUPS: Final = frozenset(
    {"ACCUSE", "CONDEMN", "OBJECT", "DEMAND", "WARN", "RETALIATE", "THREATEN", "ABLE", "COST"}
)
_OBJECT: Final = frozenset(
    ["that", "of", "over", "against", "to", "not", "for", "from", "about", "if", "unless"]
)
"""Words behind an actor that is no subject: "warned the US and Israel that ...", "accused Peru and Chile of ..."."""

_SUBJECT_WITHIN: Final = 3
"""An actor among the first words of a clause is taken for its subject."""


class Clause(NamedTuple):
    """A part of a sentence: where it begins, its text, and its mentions, counted from its own start."""

    start: int
    text: str
    mentions: list[Mention]


def two_clauses(text: str, mentions: Sequence[Mention]) -> tuple[Clause, Clause] | None:
    """Find the two clauses of a sentence in which two different actors each say something.

    Parameters
    ----------
    text : str
        The sentence.
    mentions : sequence of Mention
        Its actors, in order.

    Returns
    -------
    tuple of Clause, or None
        None unless exactly one joint parts it into two clauses with different subjects and a cue word each.
    """
    if len({mention.code for mention in mentions}) < 2:
        return None
    found = [pair for joint in _JOINT.finditer(text) if (pair := _pair(text, mentions, joint))]
    return found[0] if len(found) == 1 else None


def _pair(
    text: str, mentions: Sequence[Mention], joint: re.Match[str]
) -> tuple[Clause, Clause] | None:
    if any(m.start < joint.end() and joint.start() < m.end for m in mentions):
        return None  # "Bosnia and Herzegovina"
    first = Clause(0, text[: joint.start()], [m for m in mentions if m.end <= joint.start()])
    start = joint.end()
    second = Clause(
        start,
        text[start:],
        [
            m._replace(start=m.start - start, end=m.end - start)
            for m in mentions
            if m.start >= start
        ],
    )
    subjects = [_subject(clause) for clause in (first, second)]
    if None in subjects or subjects[0] == subjects[1]:
        return None
    return first, second


def _subject(clause: Clause) -> str | None:
    """Name the actor that a clause begins with, if the clause has a cue word of speech behind it."""
    found = words(mask(clause.text, clause.mentions))
    if ACTOR not in found[:_SUBJECT_WITHIN]:
        return None
    at = found.index(ACTOR)
    if found[at + 1 : at + 2] and found[at + 1] in _OBJECT:
        return None
    speaks = any(cue.group in _SPEECH_GROUPS and cue.at > at for cue in skeleton(found))
    return clause.mentions[0].code if speaks else None
