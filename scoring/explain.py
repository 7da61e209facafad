"""Why a sentence got its score: leave a word or phrase out and see how far the score moves."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pandas as pd

from scoring.actors import Mention, find_mentions
from scoring.articles import clean_text
from scoring.clauses import Clause
from scoring.sentences import MAX_SENTENCE

if TYPE_CHECKING:
    from scoring.scorer import Scorer

LONGEST_PHRASE: Final = 3
"""Words in the longest phrase that is left out as one."""

MOST_WORDS: Final = 400
"""Words of a sentence that are tried; the rest of a longer one is kept as it is."""

_WORD: Final = re.compile(r"[^\W_]+(?:[-'’.][^\W_]+)*")


def explain(scorer: Scorer, text: str) -> pd.DataFrame:
    """Tell which words and phrases moved the score of one sentence, and by how much.

    Every word, and every run of up to `LONGEST_PHRASE` words, is left out in turn and the rest scored again: the
    effect is what the phrase adds to the score. A longer phrase is listed only where it moves the score further
    than any shorter one inside it. Actors are left out one mention at a time.

    Parameters
    ----------
    scorer : Scorer
        The scorer that is asked.
    text : str
        One sentence; it is cleaned as for scoring, and what exceeds `MAX_SENTENCE` characters is cut.

    Returns
    -------
    pandas.DataFrame
        Columns ``phrase`` (str), ``start``, ``end`` (int, in the cleaned text) and ``effect`` (float, score with
        the phrase minus score without it), the largest absolute effect first.
    """
    text = clean_text(text).strip()[:MAX_SENTENCE]
    mentions = find_mentions(text)
    actors = [(mention.start, mention.end) for mention in mentions]
    inside = {at for start, end in actors for at in range(start, end)}
    single = [m.span() for m in _WORD.finditer(text) if m.start() not in inside]
    single = sorted(single + actors)[:MOST_WORDS]
    spans = [
        (single[i][0], single[i + n][1])
        for n in range(LONGEST_PHRASE)
        for i in range(len(single) - n)
    ]
    whole, *without = scorer.expected_scores(
        [Clause(0, text, mentions), *(_without(text, span, mentions) for span in spans)]
    )
    effects = {span: float(whole - score) for span, score in zip(spans, without, strict=True)}
    rows = [
        {"phrase": text[start:end], "start": start, "end": end, "effect": effect}
        for (start, end), effect in effects.items()
        if _says_more((start, end), effects)
    ]
    frame = pd.DataFrame(rows, columns=["phrase", "start", "end", "effect"])
    order = frame["effect"].abs().sort_values(ascending=False, kind="stable").index
    return frame.loc[order].reset_index(drop=True)


def _without(text: str, span: tuple[int, int], mentions: list[Mention]) -> Clause:
    """Cut one span from a sentence."""
    start, end = span
    cut = end - start
    kept = [mention for mention in mentions if mention.end <= start]
    for mention in mentions:
        if mention.start >= end:
            kept.append(mention._replace(start=mention.start - cut, end=mention.end - cut))
    return Clause(0, text[:start] + text[end:], kept)


def _says_more(span: tuple[int, int], effects: dict[tuple[int, int], float]) -> bool:
    inner = (
        abs(effect)
        for other, effect in effects.items()
        if other != span and span[0] <= other[0] and other[1] <= span[1]
    )
    return abs(effects[span]) > max(inner, default=-1.0)
