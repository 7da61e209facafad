"""Choose the statements most worth labelling, each for a reason that it tells.

Every reason ranks the statements in its own way, and they take turns: so the head of the queue is as mixed as the
whole. A statement that comes near one chosen before, labelled or kept apart is passed over
(`training.dataset.shingles`).
"""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

from scoring.actors import find_mentions
from scoring.articles import clean_text
from scoring.features import mask, stem, words
from scoring.levels import CODE, LEVELS, PROBABILITIES
from training.dataset import shingles
from training.review.codes import Row

REASONS: Final = ("uncertain", "tiers", "rare", "words", "miss")
"""Why a statement is picked: two levels as likely; two models differ; a rare level; new words; like a past miss."""

RARE: Final = ("warning", "threat")
DOUBTFUL: Final = 0.95
"""Probability of `none` from which a statement is nearly sure to be that: such ones are not looked at."""

_POSSIBLE: Final = 0.15  # probability of any level from which new words are of interest
_MARGIN: Final = 0.2  # between the two likeliest levels: less is uncertain
_LIKE: Final = 0.2  # cosine from which a statement is like a past miss
_OF_A_MISS: Final = 3  # statements like one past miss: more of a headline's formula teach no more
_WORD: Final = re.compile(
    r"(?<![\w'’-])[a-zà-ÿ]{4,}(?![\w'’-])"
)  # lower case: no names, no headlines in capitals

Array = NDArray[np.float64]


class Traits(NamedTuple):
    """What the choice reads of n statements, beside what a model says of them.

    Parameters
    ----------
    shingles : list of list of tuple
        What near-duplicates share.
    stems : list of frozenset of str
        Their words in lower case, endings cut.
    likeness : ndarray of float, shape (n,)
        Cosine to the nearest past miss; 0 without misses.
    miss : ndarray of int, shape (n,)
        Which one that is.
    right : ndarray of int, shape (n,)
        Code of the level that would have been right there.
    """

    shingles: list[list[tuple[str, ...]]]
    stems: list[frozenset[str]]
    likeness: Array
    miss: NDArray[np.int64]
    right: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64]) -> Traits:
        """Return the traits of some of the statements."""
        return Traits(
            [self.shingles[row] for row in rows],
            [self.stems[row] for row in rows],
            self.likeness[rows],
            self.miss[rows],
            self.right[rows],
        )


@dataclass
class Known:
    """What need not be labelled: words met before, and stretches of words that a near-duplicate would share.

    Parameters
    ----------
    stems : set of str
    shingles : set of tuple of str
    """

    stems: set[str] = field(default_factory=set)
    shingles: set[tuple[str, ...]] = field(default_factory=set)


def known(labelled: Sequence[str], passed: Sequence[str] = ()) -> Known:
    """Collect what is known from texts.

    Parameters
    ----------
    labelled : sequence of str
        Labelled statements: nothing near them is picked, and their words are not new.
    passed : sequence of str, optional
        Others that nothing near is picked of: held out, kept apart.
    """
    stems = {word for text in labelled for word in _stems(text)}
    return Known(stems, {part for text in (*labelled, *passed) for part in shingles(text)})


def traits(texts: Sequence[str], misses: Sequence[Row] = ()) -> Traits:
    """Read what the choice needs of statements.

    Parameters
    ----------
    texts : sequence of str
        The statements.
    misses : sequence of dict, optional
        Statements that a model got wrong: ``text``, and the ``level`` that would have been right.
    """
    parts = [shingles(text) for text in texts]
    likeness, miss = _likeness(texts, [miss["text"] for miss in misses])
    right = np.array([CODE[row["level"]] for row in misses] or [0], dtype=np.int64)[miss]
    return Traits(parts, [_stems(text) for text in texts], likeness, miss, right)


def _stems(text: str) -> frozenset[str]:
    return frozenset(map(stem, _WORD.findall(text)))


def _likeness(texts: Sequence[str], misses: Sequence[str]) -> tuple[Array, NDArray[np.int64]]:
    """Return the cosine of TF-IDF over stems, pairs and triples of them to the nearest miss, and which."""
    n = len(texts)
    if not misses or not n:
        return np.zeros(n), np.zeros(n, dtype=np.int64)
    vectorizer = TfidfVectorizer(analyzer=_grams, sublinear_tf=True, dtype=np.float32)
    vectors = vectorizer.fit_transform([*texts, *misses]).tocsr()
    likeness, miss = np.zeros(n), np.zeros(n, dtype=np.int64)
    for start in range(0, n, 20_000):
        rows = slice(start, min(start + 20_000, n))
        block = (vectors[rows] @ vectors[n:].T).toarray()
        likeness[rows], miss[rows] = block.max(axis=1), block.argmax(axis=1)
    return likeness, miss


def _grams(text: str) -> list[str]:
    """Name the stems of a sentence with its actors masked, and pairs and triples of them."""
    cleaned = clean_text(text)
    found = [stem(word) for word in words(mask(cleaned, find_mentions(cleaned)))]
    return [
        " ".join(found[at : at + size]) for size in (1, 2, 3) for at in range(len(found) - size + 1)
    ]


# --- the choice ---


def choose(
    scored: pd.DataFrame,
    of: Traits,
    past: Known,
    per: int,
    seed: int = 0,
    most: int | None = None,
) -> list[tuple[int, str]]:
    """Choose statements.

    Parameters
    ----------
    scored : pandas.DataFrame
        The probabilities; where there is a second model, its own as ``other_p_none`` and so on; and, if they are to
        have their share each, ``publisher``.
    of : Traits
        Of the same rows.
    past : Known
        What is known; the chosen ones are added.
    per : int
        How many of each reason.
    seed : int, optional
        Decides between those of a rare level, and between ties.
    most : int, optional
        How many of all reasons together.

    Returns
    -------
    list of (int, str)
        Position of each row chosen and the reason, in the order of the queue.
    """
    rng = np.random.default_rng(seed)
    chances = scored[list(PROBABILITIES)].to_numpy(dtype=float)
    publishers = scored["publisher"].tolist() if "publisher" in scored else [None] * len(scored)
    spread = partial(_spread, publishers)
    ranked = {
        "uncertain": spread(_uncertain(chances, rng)),
        "tiers": spread(_tiers(scored, chances)),
        "rare": _alternate([spread(rows) for rows in _rare(chances, rng)]),
        "words": _turns(_new_words(of.stems, 1 - chances[:, 0], past.stems, publishers)),
        "miss": _alternate(_near_misses(of, chances)),
    }
    chosen: list[tuple[int, str]] = []
    taken: set[int] = set()
    limit = per * len(REASONS) if most is None else most
    for _ in range(per):
        for reason in REASONS:
            if len(chosen) == limit:
                return chosen
            for row in ranked[reason]:
                if row not in taken and past.shingles.isdisjoint(of.shingles[row]):
                    chosen.append((row, reason))
                    taken.add(row)
                    past.shingles.update(of.shingles[row])
                    past.stems.update(of.stems[row])
                    break
    return chosen


def _uncertain(chances: Array, rng: np.random.Generator) -> NDArray[np.int64]:
    """Order by the margin between the two likeliest levels."""
    order = np.lexsort((rng.random(len(chances)), _margin(chances)))
    return np.asarray(order[_margin(chances)[order] < _MARGIN])


def _margin(chances: Array) -> Array:
    highest = np.sort(chances, axis=1)
    return np.asarray(highest[:, -1] - highest[:, -2])


def _tiers(scored: pd.DataFrame, chances: Array) -> NDArray[np.int64]:
    """Order those of which two models name another level by how far apart their probabilities are."""
    if f"other_{PROBABILITIES[0]}" not in scored:
        return np.array([], dtype=np.int64)
    other = scored[[f"other_{name}" for name in PROBABILITIES]].to_numpy(dtype=float)
    apart = np.abs(chances - other).sum(axis=1)
    differ = (chances.argmax(axis=1) != other.argmax(axis=1)) & ~np.isnan(apart)
    order = np.argsort(-apart, kind="stable")
    return np.asarray(order[differ[order]])


def _rare(chances: Array, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Draw from those called each rare level."""
    called = chances.argmax(axis=1)
    order = rng.permutation(len(chances))
    return [order[called[order] == CODE[level]] for level in RARE]


def _new_words(
    stems: Sequence[frozenset[str]], chance: Array, seen: set[str], publishers: Sequence[Any]
) -> list[tuple[int, Iterator[int]]]:
    """Order the statements of each publisher by their new words; gives its number of them too."""
    possible = [int(row) for row in np.flatnonzero(chance >= _POSSIBLE)]
    counts = Counter(word for row in possible for word in stems[row] - seen)
    worth = {word: float(np.log2(count)) for word, count in counts.items()}  # one: a typing error
    rows_of: dict[Any, list[int]] = {}
    for row in possible:
        rows_of.setdefault(publishers[row], []).append(row)
    return [
        (len(rows), _by_new_words(rows, stems, chance, seen, worth)) for rows in rows_of.values()
    ]


def _by_new_words(
    rows: Sequence[int],
    stems: Sequence[frozenset[str]],
    chance: Array,
    seen: set[str],
    worth: Mapping[str, float],
) -> Iterator[int]:
    """Give first the statements whose new words are in most statements; words of the chosen are no longer new.

    The lazy greedy algorithm (Minoux 1978): a gain can only shrink, so what still leads when looked at again is best.
    """

    def gain(row: int) -> float:
        fresh = sum(worth.get(word, 0.0) for word in stems[row] if word not in seen)
        return float(fresh / np.sqrt(len(stems[row]) + 1) * chance[row])

    heap = [(-gain(row), row) for row in rows]
    heapq.heapify(heap)
    while heap:
        before, row = heapq.heappop(heap)
        now = -gain(row)
        if now == 0:
            continue
        if now > before and heap and now > heap[0][0]:
            heapq.heappush(heap, (now, row))
        else:
            yield row


def _near_misses(of: Traits, chances: Array) -> list[Iterator[int]]:
    """Order the statements like each past miss by likeness and by how little the model has learned from it."""
    wrong = 1 - chances[np.arange(len(chances)), of.right]
    order = np.argsort(-of.likeness * wrong, kind="stable")
    order = order[of.likeness[order] >= _LIKE]
    by_miss: dict[int, list[int]] = {}
    for row in order:
        by_miss.setdefault(int(of.miss[row]), []).append(int(row))
    return [iter(rows[:_OF_A_MISS]) for rows in by_miss.values()]


def _alternate(parts: Sequence[Iterator[int]]) -> Iterator[int]:
    """Take one of each part in turn, until all are empty."""
    left = list(parts)
    while left:
        for part in list(left):
            row = next(part, None)
            if row is None:
                left.remove(part)
            else:
                yield row


def _spread(publishers: Sequence[Any], order: NDArray[np.int64]) -> Iterator[int]:
    """Let the publishers take turns, a large one more often: each as often as the cube root of its rows says.

    Else the one that publishes most, or writes most harshly, would fill the queue.
    """
    queues: dict[Any, list[int]] = {}
    for row in order:
        queues.setdefault(publishers[row], []).append(int(row))
    parts = [(len(rows), iter(rows)) for rows in queues.values()]
    return _turns(parts)


def _turns(parts: Sequence[tuple[int, Iterator[int]]]) -> Iterator[int]:
    """Take from each part by turns, from one of n rows as often as the cube root of n says."""
    steps = [(1 / np.cbrt(size), at) for at, (size, _) in enumerate(parts)]
    due = [(step, at, step) for step, at in steps]
    heapq.heapify(due)
    while due:
        when, at, step = heapq.heappop(due)
        row = next(parts[at][1], None)
        if row is not None:
            yield row
            heapq.heappush(due, (when + step, at, step))


# --- the queue ---


def queue(
    scored: pd.DataFrame,
    past: Known,
    per: int,
    seed: int = 0,
    misses: Sequence[Row] = (),
    pool: str | None = None,
) -> list[Row]:
    """Pick statements from scored ones.

    Parameters
    ----------
    scored : pandas.DataFrame
        ``free`` of `training.review.tables.read`.
    past : Known
        From `known`; the chosen ones are added.
    per : int
        How many of each reason.
    seed : int, optional
        The same input and seed give the same queue.
    misses : sequence of dict
        Past misses: ``text``, ``level`` and, if there is, ``what``.
    pool : str, optional
        Pool of the statements; by default the name of the publisher in lower case.

    Returns
    -------
    list of dict
        ``n``, ``id``, ``text``, ``pool``, ``stratum`` (the reason), ``why`` (all reasons that hold, in words),
        ``publisher``, ``called``, the probabilities and ``model``.
    """
    scored = scored[scored[_none_of(scored)].min(axis=1) < DOUBTFUL].reset_index(drop=True)
    of = traits(scored["text"].tolist(), misses)
    seen = set(past.stems)
    out = []
    for n, (at, reason) in enumerate(choose(scored, of, past, per, seed), 1):
        row = {str(name): value for name, value in scored.iloc[at].items()}
        fresh = [word for word in _WORD.findall(row["text"]) if stem(word) not in seen]
        miss = misses[of.miss[at]] if of.likeness[at] >= _LIKE else None
        out.append(
            {"n": n, "id": row["id"], "text": row["text"]}
            | {"pool": pool or _pool(row["publisher"]), "stratum": f"review-{reason}"}
            | {"why": _why(reason, row, fresh, miss, float(of.likeness[at]))}
            | {"publisher": row["publisher"], "called": row["level"]}
            | {name: row[name] for name in (*PROBABILITIES, "model")}
        )
    return out


def _none_of(scored: pd.DataFrame) -> list[str]:
    return [name for name in (PROBABILITIES[0], f"other_{PROBABILITIES[0]}") if name in scored]


def _pool(publisher: object) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", str(publisher or "").lower()).strip("_")
    return name or "feed"


def _why(
    reason: str, row: dict[str, Any], fresh: Sequence[str], miss: Row | None, likeness: float
) -> list[str]:
    """Say why a statement is picked: the reason itself first, then what else holds."""
    chances = np.array([row[name] for name in PROBABILITIES])
    first, second = np.argsort(-chances, kind="stable")[:2]
    told = {}
    if _margin(chances[None])[0] < _MARGIN:
        told["uncertain"] = (
            f"uncertain: {LEVELS[first]} {chances[first]:.2f}, {LEVELS[second]} {chances[second]:.2f}"
        )
    if isinstance(other := row.get("other_level"), str) and other != row["level"]:
        told["tiers"] = (
            f"models differ: {row['model']} {row['level']}, {row['other_model']} {other}"
        )
    if row["level"] in RARE:
        told["rare"] = f"rare level: {row['level']}"
    if reason == "words":
        told["words"] = f"new words: {', '.join(dict.fromkeys(fresh[:6]))}"
    if miss is not None:
        told["miss"] = f"like a past miss ({miss.get('what') or miss['text']}): {likeness:.2f}"
    return [told.pop(reason), *told.values()]
