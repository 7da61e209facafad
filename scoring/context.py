"""Fill a side that a sentence leaves open from the title and the sentences before it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from scoring.actors import Mention
from scoring.articles import Article
from scoring.dyads import Dyad

_WHO: Final = (
    r"(?:he|she|they|it|the (?:[\w-]+ ){0,2}?(?:ministry|minister|president|premier|chancellor|government|"
    r"spokes\w+|embassy|ambassador|envoy|diplomats?|officials?|statement|note|leader|secretary|army|kremlin))"
)
_SAYS: Final = (
    r"(?:sa(?:id|ys)|add(?:ed|s)|told|tells|warn(?:ed|s)|vow(?:ed|s)|accus(?:ed|es)|condemn(?:ed|s)|denounc(?:ed|es)|"
    r"urg(?:ed|es)|threaten(?:ed|s)|stress(?:ed|es)|wrote|tweeted|demand(?:ed|s)|protest(?:ed|s)|claim(?:ed|s)|"
    r"blam(?:ed|es)|insist(?:ed|s)|declar(?:ed|es)|announc(?:ed|es)|call(?:ed|s)|summon(?:ed|s)|will|would)"
)
_SPEAKER: Final = re.compile(
    rf"\b{_WHO}\s+(?:has\s+|have\s+|had\s+)?(?:also\s+|later\s+|since\s+|then\s+)?{_SAYS}\b"
    rf"|\b(?:said|says|added|wrote)\s+(?!it\b|they\b){_WHO}\s*[.,;”\"]",
    re.IGNORECASE,
)
"""A speaker named earlier, saying something now: "the ministry said", "added he", "it would"."""


class Context:
    """What the article has said so far: the actors of its title, its last speaker and its last dyad."""

    def __init__(self) -> None:
        self._article: Article | None = None
        self._sentence = 0
        self._text = ""
        self._mentions: Sequence[Mention] = ()
        self._title: list[str] = []
        self._speaker: str | None = None
        self._dyad: tuple[str | None, str | None] = (None, None)
        self._earlier: tuple[str | None, str | None] = (None, None)  # of the sentences before

    def enter(
        self, article: Article, sentence: int, text: str, mentions: Sequence[Mention]
    ) -> None:
        """Go on to the next sentence; a new article starts afresh.

        Parameters
        ----------
        article : Article
            The article that the sentence belongs to.
        sentence : int
            Its index; 0 is the title.
        text : str
            The sentence.
        mentions : sequence of Mention
            Its actors.
        """
        if article is not self._article:
            self.__init__()  # type: ignore[misc]
            self._article = article
        elif self._mentions:  # of the sentence before: a sentence is no context of its own
            self._speaker = self._mentions[0].code
            if self._sentence == 0:
                self._title = list(dict.fromkeys(mention.code for mention in self._mentions))
        self._sentence, self._text, self._mentions = sentence, text, mentions
        self._earlier = self._dyad

    def resolve(self, dyad: Dyad) -> tuple[str | None, str | None, str | None]:
        """Fill the open sides of a dyad of the present sentence, where the article makes them plain.

        Parameters
        ----------
        dyad : Dyad
            As the sentence by itself gives it.

        Returns
        -------
        source, target : str or None
            Codes.
        resolved : str or None
            The sides that were filled: ``"source"``, ``"target"``, ``"source target"``, or None.
        """
        source, target = dyad.source, dyad.target
        if source is None:
            source = self._likely_source(target)
        if target is None:
            target = self._likely_target(source)
        filled = (
            "source" if source != dyad.source else "",
            "target" if target != dyad.target else "",
        )
        self._dyad = (source, target)
        return source, target, " ".join(filter(None, filled)) or None

    def _likely_source(self, target: str | None) -> str | None:
        """Name the last speaker, if the sentence has a word that stands for him; never the target."""
        if not _SPEAKER.search(self._text):
            return None
        for code in (self._earlier[0], self._speaker, *self._title[:1]):
            if code is not None and code != target:
                return code
        return None

    def _likely_target(self, source: str | None) -> str | None:
        """Name whom the same speaker addressed before, else the one other actor of the title."""
        if source is None:
            return None
        if self._earlier[0] == source and self._earlier[1]:
            return self._earlier[1]
        others = [code for code in self._title if code != source]
        return others[0] if source in self._title and len(others) == 1 else None
