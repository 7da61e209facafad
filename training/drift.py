"""What has moved between two scored feeds, and by how much against chance.

Every figure is a ratio of two sums over articles, and articles are the unit of chance: the sentences of one story move
together. Were the two feeds drawn from the same source, any other deal of their articles into two heaps of these sizes
would be as likely as the one found. So a few thousand deals show how far each figure moves by chance alone (a
permutation test), and Holm's correction allows for the number of figures.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scoring.errors import InputError, UsageError
from scoring.features import stem
from scoring.levels import CODE, LEVELS, PROBABILITIES
from training import scored
from training.dataset import labels, statement_id

PERMUTATIONS: Final = 1999
"""Deals of the articles: with Holm's correction for a dozen figures p is known well enough to tell 0.05."""

ALPHA: Final = 0.05
"""Chance that anything at all is said to have moved, where nothing has."""

LEAST_EFFECT: Final = 0.05
"""Effect that counts: below it a figure has moved for sure but hardly, as in large feeds all do."""

LEAST_ARTICLES: Final = 20
"""Articles on each side that bear on a figure, below which it is not tested."""

MOST_ACTORS: Final = 30
"""Actors that are told apart, the most frequent of both sides; the others count as one."""

OTHERS: Final = "others"
UNNAMED: Final = "?"

Kind = Literal["share", "mean", "mix"]
Verdict = Literal["moved", "slight", "same", "too few"]
Array = NDArray[np.float64]

_COLUMNS: Final = (
    "article_id",
    "sentence",
    "text",
    "source",
    "target",
    "level",
    "score",
    *PROBABILITIES,
    "review",
    "model",
)
_STATEMENT: Final = ["article", "sentence", "text"]
_WORD: Final = re.compile(r"[^\W\d_]+")
_SHOWN: Final = 3  # actors, and words, that are named
_ROUNDING: Final = 1e-12  # sums in another order may differ by so much and be the same


# --- scored tables ---


@dataclass(frozen=True)
class Feed:
    """One side of the comparison: a feed that was scored.

    Parameters
    ----------
    name : str
        As the user named it.
    model : str
        Model and tier that scored it.
    articles : int
        Their number; they are numbered from 0.
    statements : pandas.DataFrame
        One row a statement, that with its highest level: ``article`` (int), ``text``, ``level`` (None: not scored),
        ``score``, the probabilities and ``review``.
    dyads : pandas.DataFrame
        One row a dyad that escalates: ``article``, ``source`` and ``target`` (`UNNAMED` for a side not named).
    names : frozenset of tuple
        Id and first text of each article: tells which are on both sides.
    digest : str
        SHA-256 in hex of what was read, in order.
    """

    name: str
    model: str
    articles: int
    statements: pd.DataFrame
    dyads: pd.DataFrame
    names: frozenset[tuple[str, str]]
    digest: str


def read(name: str) -> Feed:
    """Read a scored feed.

    Parameters
    ----------
    name : str
        A table of ``tension score --all`` (Parquet, JSONL or CSV, also gzip), a folder or glob of several, or ``-``.
        Rows that are in several of its files count once.

    Returns
    -------
    Feed

    Raises
    ------
    InputError
        If a table cannot be read or is none of ``tension score``; names it and the row.
    UsageError
        If several models scored it, or the rows of `none` were left out.
    """
    tables = [table.assign(file=at) for at, table in enumerate(scored.read([name], _COLUMNS))]
    frame = pd.concat(tables, ignore_index=True)
    frame = frame.drop_duplicates(["article_id", "sentence", "text", "source", "target", "level"])
    if frame.empty:
        raise InputError(name, "expected scored statements, found no row.", "Was the feed empty?")
    models = sorted(set(frame["model"]))
    if len(models) > 1:
        found = ", ".join(models)
        raise UsageError(f"{name}: expected one model and tier, found {found}. Score it with one.")
    if frame["level"].notna().any() and not (frame["level"] == LEVELS[0]).any():
        raise UsageError(
            f"{name}: expected the rows of every level, found none called none. Score with --all."
        )
    article = frame.groupby(["file", "article_id"], sort=False).ngroup()
    frame = frame.assign(article=article, code=frame["level"].map(CODE).fillna(-1))
    highest = frame.sort_values(["code", "score"], ascending=False, kind="stable")
    statements = highest.drop_duplicates(_STATEMENT).sort_index()
    dyads = frame.loc[frame["code"] > 0, ["article", "source", "target"]].fillna(UNNAMED)
    first = frame.drop_duplicates("article")
    return Feed(
        name=name,
        model=models[0],
        articles=len(first),
        statements=statements.drop(columns=["file", "source", "target", "code", "model"]),
        dyads=dyads,
        names=frozenset(zip(first["article_id"], first["text"], strict=True)),
        digest=_digest(frame),
    )


def _digest(frame: pd.DataFrame) -> str:
    hashes = pd.util.hash_pandas_object(frame[list(_COLUMNS)], index=False)
    return hashlib.sha256(hashes.to_numpy().tobytes()).hexdigest()


# --- figures ---


@dataclass(frozen=True)
class Figure:
    """Something that may move: a ratio of two sums over the articles of both sides, reference first.

    Parameters
    ----------
    name, title : str
        For programs, and for people.
    kind : str
        ``share`` of something, ``mean`` of something, or ``mix``: shares of several things that sum to 1.
    total : ndarray of float, shape (n, k)
        What each article adds to the upper sums; k is 1 except of a mix.
    count : ndarray of float, shape (n,)
        What it adds to the lower sum; articles that add nothing to it do not bear on the figure.
    squares : ndarray of float, shape (n,), or None
        Of a mean: the squares that it adds.
    parts : tuple of str
        Of a mix: names of the things.
    """

    name: str
    title: str
    kind: Kind
    total: Array
    count: Array
    squares: Array | None = None
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """How far a figure has moved.

    Parameters
    ----------
    name, title, kind : str
        Of the figure.
    reference, new : float or None
        Its values; None of a mix, and where nothing bears on it.
    change : float or None
        New minus reference; of a mix the share that would have to change its name to make the two alike.
    chance : float or None
        Size of the change that chance exceeds in one of twenty deals.
    effect : float or None
        Size of the change that does not depend on the number of articles: Cohen's h of a share, d of a mean, the
        change of a mix.
    p, p_holm : float or None
        Share of the deals that move the figure at least as far, and the same corrected for the number of figures.
    verdict : str
        ``moved``; ``slight``: more than chance, but a smaller effect than counts; ``same``; ``too few`` articles.
    articles : tuple of int
        Articles that bear on it, of either side.
    parts : list of tuple
        What moved furthest in a mix: name, share in the reference, share in the new one.
    """

    name: str
    title: str
    kind: Kind
    reference: float | None
    new: float | None
    change: float | None
    chance: float | None
    effect: float | None
    p: float | None
    p_holm: float | None
    verdict: Verdict
    articles: tuple[int, int]
    parts: list[tuple[str, float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """The whole comparison.

    Parameters
    ----------
    reference, new : dict
        ``name``, ``articles``, ``statements``, ``labelled`` and ``digest`` of either side.
    model : str
        Model and tier that scored both.
    shared : int
        Articles that are on both sides.
    figures : list of Result
        In a fixed order.
    words : list of tuple
        Words of the new side that the reference does not know, and in how many articles they are; most first.
    settings : dict
        ``alpha``, ``least_effect``, ``permutations``, ``seed``.
    """

    reference: dict[str, Any]
    new: dict[str, Any]
    model: str
    shared: int
    figures: list[Result]
    words: list[tuple[str, int]]
    settings: dict[str, float]

    @property
    def moved(self) -> list[str]:
        """Names of the figures that moved."""
        return [figure.name for figure in self.figures if figure.verdict == "moved"]

    def asdict(self) -> dict[str, Any]:
        """Return all of it as what JSON knows."""
        return {**asdict(self), "moved": self.moved}


def coded(paths: Sequence[Path]) -> dict[str, str]:
    """Read labels, with their text or without: id of the text -> level.

    Parameters
    ----------
    paths : sequence of Path
        As `training.dataset.read` takes them.

    Returns
    -------
    dict of str to str

    Raises
    ------
    training.dataset.DataError
        At the first line that is neither a labelled statement nor a label.
    """
    from training.dataset import read as read_statements

    found = labels(paths)
    known = dict(zip(found["id"], found["level"], strict=True))
    try:
        statements = read_statements(paths)
    except InputError:
        if not known:
            raise
    else:
        known |= dict(zip(statements["id"], statements["level"], strict=True))
    return known


def compare(
    reference: Feed,
    new: Feed,
    levels: Mapping[str, str] | None = None,
    *,
    alpha: float = ALPHA,
    least_effect: float = LEAST_EFFECT,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Report:
    """Tell what has moved from one scored feed to another.

    What counts as a word that is known: the features of the model are hashed and nearly every one of its weights has
    been touched by some word, so the model itself cannot tell. Half of the reference's articles, drawn by the seed,
    lend their vocabulary (stems, as the model reads them); the other half and the new feed are held to it. That
    makes the two comparable: no article is held to words of its own.

    Parameters
    ----------
    reference, new : Feed
        From `read`, scored by the same model and tier.
    levels : mapping of str to str, optional
        Labels: id of a text -> level. With them the calibration is compared too.
    alpha : float, optional
        Chance of saying that anything moved where nothing did.
    least_effect : float, optional
        Effect that counts.
    permutations : int, optional
        How often the articles are dealt anew.
    seed : int, optional
        The same feeds and seed give the same report.

    Returns
    -------
    Report

    Raises
    ------
    UsageError
        If different models scored them.
    InputError
        If one has too few articles to tell anything.
    """
    if reference.model != new.model:
        raise UsageError(
            f"expected two feeds scored by the same model and tier, found {reference.model} "
            f"({reference.name}) and {new.model} ({new.name}). Score both with one."
        )
    for feed in (reference, new):
        if feed.articles < LEAST_ARTICLES:
            raise InputError(
                feed.name,
                f"expected at least {LEAST_ARTICLES} articles, found {feed.articles:,}: too few to "
                "tell anything from chance.",
                "Gather more, for instance a longer time.",
            )
    rng = np.random.default_rng(seed)
    feeds = (reference, new)
    unknown, words = _unknown_words(feeds, rng)
    figures = [*_levels(feeds), *_lengths(feeds), unknown, *_actors(feeds)]
    labelled = [0, 0]
    if levels:
        calibration = _calibration(feeds, levels)
        labelled = [int(part.sum()) for part in _halves(calibration[0].count, reference.articles)]
        figures += calibration
    is_new = np.arange(reference.articles + new.articles) >= reference.articles
    results = _holm(_tested(figures, is_new, permutations, rng), alpha, least_effect)
    return Report(
        reference=_side(reference, labelled[0]),
        new=_side(new, labelled[1]),
        model=new.model,
        shared=len(reference.names & new.names),
        figures=results,
        words=words,
        settings={
            "alpha": alpha,
            "least_effect": least_effect,
            "permutations": permutations,
            "seed": seed,
        },
    )


def _side(feed: Feed, labelled: int) -> dict[str, Any]:
    return {
        "name": feed.name,
        "articles": feed.articles,
        "statements": len(feed.statements),
        "labelled": labelled,
        "digest": feed.digest,
    }


Feeds = tuple[Feed, Feed]


def _by_article(feeds: Feeds, values: tuple[pd.Series, pd.Series]) -> Array:
    """Sum values, indexed as the statements, over the articles of both sides: shape (n,)."""
    sums = [
        np.bincount(
            feed.statements.loc[part.index, "article"],
            weights=part.to_numpy(dtype=float),
            minlength=feed.articles,
        )
        for feed, part in zip(feeds, values, strict=True)
    ]
    return np.concatenate(sums)


def _figure(
    feeds: Feeds, name: str, title: str, kind: Kind, values: tuple[pd.Series, pd.Series]
) -> Figure:
    """Make the share or mean of a value that statements have; those without are left out."""
    given = (values[0].dropna().astype(float), values[1].dropna().astype(float))
    return Figure(
        name,
        title,
        kind,
        _by_article(feeds, given)[:, None],
        _by_article(feeds, (given[0] * 0 + 1, given[1] * 0 + 1)),
        _by_article(feeds, (given[0] ** 2, given[1] ** 2)) if kind == "mean" else None,
    )


def _levels(feeds: Feeds) -> Iterator[Figure]:
    """Make the figures of the levels, scores, review and what was not scored."""
    scored = [feed.statements[feed.statements["level"].notna()] for feed in feeds]
    for level in LEVELS:
        called = (scored[0]["level"] == level, scored[1]["level"] == level)
        yield _figure(feeds, f"level.{level}", f"called {level}", "share", called)
    yield _figure(feeds, "score", "score", "mean", (scored[0]["score"], scored[1]["score"]))
    review = (scored[0]["review"], scored[1]["review"])
    yield _figure(feeds, "review", "for review", "share", review)
    missing = tuple(feed.statements["level"].isna() for feed in feeds)
    unscored = _by_article(feeds, (missing[0], missing[1])) > 0
    ones = np.ones(len(unscored))
    yield Figure("unscored", "articles unscored", "share", unscored[:, None].astype(float), ones)


def _lengths(feeds: Feeds) -> Iterator[Figure]:
    words = tuple(
        feed.statements["text"].map(lambda text: len(_WORD.findall(text))) for feed in feeds
    )
    yield _figure(feeds, "words", "words/statement", "mean", (words[0], words[1]))
    ones = (words[0] * 0 + 1, words[1] * 0 + 1)
    count = _by_article(feeds, ones)
    yield Figure(
        "statements",
        "statements/article",
        "mean",
        count[:, None],
        np.ones(len(count)),
        count**2,
    )


def _unknown_words(feeds: Feeds, rng: np.random.Generator) -> tuple[Figure, list[tuple[str, int]]]:
    """Count the words that are not in the vocabulary of a random half of the reference."""
    names = [_names(feed) for feed in feeds]
    drawn = rng.permutation(feeds[0].articles)[: feeds[0].articles // 2].tolist()
    lent = {names[0][article] for article in drawn}
    lenders = [{at for at, name in enumerate(part) if name in lent} for part in names]
    known: set[str] = set()
    for article, text in _texts(feeds[0]):
        if article in lenders[0]:
            known.update(_stems(text))
    size = feeds[0].articles + feeds[1].articles
    unknown, count = np.zeros(size), np.zeros(size)
    new: dict[str, set[int]] = {}
    for start, feed, lending in zip((0, feeds[0].articles), feeds, lenders, strict=True):
        for article, text in _texts(feed):
            if article in lending:
                continue
            stems = _stems(text)
            strange = [word for word in stems if word not in known]
            count[start + article] += len(stems)
            unknown[start + article] += len(strange)
            if feed is feeds[1]:
                for word in strange:
                    new.setdefault(word, set()).add(article)
    often = Counter({word: len(articles) for word, articles in new.items() if len(articles) > 1})
    words = sorted(often.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]
    figure = Figure("unknown", "unknown words", "share", unknown[:, None], count)
    return figure, words


def _names(feed: Feed) -> list[tuple[str, str]]:
    """Return id and first text of each article, in the order of their numbers."""
    first = feed.statements.drop_duplicates("article").sort_values("article")
    return list(zip(first["article_id"], first["text"], strict=True))


def _texts(feed: Feed) -> Iterator[tuple[int, str]]:
    return zip(feed.statements["article"].tolist(), feed.statements["text"].tolist(), strict=True)


def _stems(text: str) -> list[str]:
    return [stem(word) for word in _WORD.findall(text.lower())]


def _actors(feeds: Feeds) -> Iterator[Figure]:
    """Make the mix of the sources, and of the targets, of what escalates."""
    for side in ("source", "target"):
        codes = pd.concat([feed.dyads[side] for feed in feeds], ignore_index=True)
        article = np.concatenate(
            [feeds[0].dyads["article"], feeds[1].dyads["article"] + feeds[0].articles]
        )
        counts = Counter(codes)
        parts = sorted(counts, key=lambda code: (-counts[code], code))[:MOST_ACTORS]
        place = {code: k for k, code in enumerate(parts)}
        column = np.array([place.get(code, len(parts)) for code in codes], dtype=int)
        total = np.zeros((feeds[0].articles + feeds[1].articles, len(parts) + 1))
        np.add.at(total, (article.astype(int), column), 1)
        title = f"{side}s"
        yield Figure(f"{side}s", title, "mix", total, total.sum(axis=1), parts=(*parts, OTHERS))


def _calibration(feeds: Feeds, levels: Mapping[str, str]) -> list[Figure]:
    """Make the figures of the labelled statements: how sure against how right."""
    parts = []
    for feed in feeds:
        scored = feed.statements[feed.statements["level"].notna()]
        gold = scored["text"].map(statement_id).map(levels)
        held = scored[gold.notna()]
        truth = np.eye(len(LEVELS))[gold.dropna().map(CODE).to_numpy(dtype=int)]
        p = held[list(PROBABILITIES)].to_numpy(dtype=float)
        hit = (held["level"] == gold.dropna()).astype(float)
        parts.append(
            {
                "accuracy": hit,
                "overconfidence": pd.Series(p.max(axis=1, initial=0), held.index) - hit,
                "brier": pd.Series(((p - truth) ** 2).sum(axis=1), held.index),
            }
        )
    titles: dict[str, tuple[str, Kind]] = {
        "accuracy": ("labelled: right", "share"),
        "overconfidence": ("labelled: oversure", "mean"),
        "brier": ("labelled: Brier", "mean"),
    }
    return [
        _figure(feeds, f"labelled.{name}", title, kind, (parts[0][name], parts[1][name]))
        for name, (title, kind) in titles.items()
    ]


# --- chance ---


def _halves(values: Array, size: int) -> tuple[Array, Array]:
    return values[:size], values[size:]


def _tested(
    figures: Sequence[Figure],
    is_new: NDArray[np.bool_],
    permutations: int,
    rng: np.random.Generator,
) -> list[Result]:
    """Measure every figure, and deal the articles that bear on it anew; p is not yet corrected."""
    by_articles: dict[bytes, list[Figure]] = {}
    for figure in figures:
        by_articles.setdefault((figure.count > 0).tobytes(), []).append(figure)
    found: dict[str, Result] = {}
    for group in by_articles.values():
        bears = group[0].count > 0
        sides = is_new[bears]
        enough = min(sides.sum(), (~sides).sum()) >= LEAST_ARTICLES
        values = np.concatenate(
            [np.column_stack([figure.total, figure.count])[bears] for figure in group], axis=1
        )
        dealt = _dealt(values, int(sides.sum()), permutations, rng) if enough else None
        at = 0
        for figure in group:
            columns = slice(at, at := at + figure.total.shape[1] + 1)
            found[figure.name] = _result(
                figure,
                bears,
                is_new,
                None if dealt is None else (dealt[:, columns], values[:, columns].sum(axis=0)),
            )
    return [found[figure.name] for figure in figures]


def _dealt(values: Array, size: int, permutations: int, rng: np.random.Generator) -> Array:
    """Sum the values of `size` articles drawn at random, again and again: (permutations, k)."""
    n = len(values)
    fewer = min(size, n - size)  # the sum of the rest is the whole without it
    out = np.empty((permutations, values.shape[1]))
    for row in range(permutations):
        out[row] = values[rng.permutation(n)[:fewer]].sum(axis=0)
    return out if fewer == size else values.sum(axis=0) - out


def _result(
    figure: Figure,
    bears: NDArray[np.bool_],
    is_new: NDArray[np.bool_],
    dealt: tuple[Array, Array] | None,
) -> Result:
    """Measure one figure; `dealt` holds sums of the dealt new sides, and of the whole."""
    both = np.column_stack([figure.total, figure.count])
    new, reference = both[bears & is_new].sum(axis=0), both[bears & ~is_new].sum(axis=0)
    chance = p = None
    change = float(_change(figure.kind, reference[None], new[None])[0])
    if dealt is not None:
        sums, whole = dealt
        moved = np.abs(_change(figure.kind, whole - sums, sums))
        chance = float(np.quantile(moved, 0.95))
        as_far = int((moved >= abs(change) - _ROUNDING).sum())
        p = (1 + as_far) / (1 + len(moved))
    shares = [None if side[-1] == 0 else side[:-1] / side[-1] for side in (reference, new)]
    single = [None if s is None or figure.kind == "mix" else float(s[0]) for s in shares]
    compared = shares[0] is not None and shares[1] is not None
    return Result(
        name=figure.name,
        title=figure.title,
        kind=figure.kind,
        reference=single[0],
        new=single[1],
        change=change if compared else None,
        chance=chance,
        effect=_effect(figure, reference, new, change) if compared else None,
        p=p,
        p_holm=None,
        verdict="same" if p is not None else "too few",
        articles=(int((bears & ~is_new).sum()), int((bears & is_new).sum())),
        parts=_furthest(figure, shares[0], shares[1]),
    )


def _change(kind: Kind, reference: Array, new: Array) -> Array:
    """Return the change from sums to sums, each (batch, k + 1) with the count last; 0 where undefined."""
    a, b = (side[:, :-1] / np.maximum(side[:, -1:], _ROUNDING) for side in (reference, new))
    return np.asarray(np.abs(b - a).sum(axis=1) / 2 if kind == "mix" else (b - a)[:, 0])


def _effect(figure: Figure, reference: Array, new: Array, change: float) -> float:
    if figure.kind == "mix":
        return change
    if figure.kind == "share":
        a, b = (np.arcsin(np.sqrt(side[0] / side[-1])) for side in (reference, new))
        return float(2 * (b - a))
    assert figure.squares is not None  # noqa: S101 - every mean has them
    total, count = reference + new
    variance = figure.squares.sum() / count - (total / count) ** 2
    return float(change / np.sqrt(variance)) if variance > _ROUNDING else 0.0


def _furthest(
    figure: Figure, reference: Array | None, new: Array | None
) -> list[tuple[str, float, float]]:
    if figure.kind != "mix" or reference is None or new is None:
        return []
    order = np.argsort(-np.abs(new - reference), kind="stable")[:_SHOWN]
    return [(figure.parts[k], float(reference[k]), float(new[k])) for k in order]


def _holm(results: Sequence[Result], alpha: float, least_effect: float) -> list[Result]:
    """Correct p for the number of figures that were tested, and judge (Holm 1979)."""
    tested = sorted((r for r in results if r.p is not None), key=lambda r: r.p or 0.0)
    stepped = ((r.p or 0.0) * (len(tested) - k) for k, r in enumerate(tested))
    corrected = {
        r.name: min(1.0, p) for r, p in zip(tested, itertools.accumulate(stepped, max), strict=True)
    }
    return [_judged(result, corrected.get(result.name), alpha, least_effect) for result in results]


def _judged(result: Result, p: float | None, alpha: float, least_effect: float) -> Result:
    verdict = result.verdict
    if p is not None and p <= alpha:
        verdict = "moved" if abs(result.effect or 0.0) >= least_effect else "slight"
    return Result(**{**vars(result), "p_holm": p, "verdict": verdict})
