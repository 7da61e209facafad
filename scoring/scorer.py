"""Articles -> sentences -> actors -> levels -> dyads -> records.

The level is asked first, of every sentence; who says it to whom only of the sentences that escalate. Every
stage works row by row, so a statement's record is the same alone and in any batch, bit for bit.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scoring.actors import Mention, find_mentions, openings
from scoring.articles import Article, clean_text, content_id, to_utc
from scoring.artifact import Model, shipped_folder
from scoring.artifact import load as load_model
from scoring.clauses import Clause, two_clauses
from scoring.context import Context
from scoring.dyads import Dyad, candidates, find_dyads
from scoring.errors import UsageError
from scoring.language import not_english
from scoring.lazy import COMPILE_AFTER, Lazy
from scoring.levels import LEVELS, PROBABILITIES
from scoring.records import columns_frame, moments, objects
from scoring.sentences import split_sentences
from scoring.tiers import TIERS, Fast
from scoring.tiers import tier as make_tier

if TYPE_CHECKING:
    from scoring.compiled import Screen

_WEIGHTS: Final = np.arange(len(LEVELS)) / (len(LEVELS) - 1)
_SIDES: Final = ("source", "target", "source_span", "target_span", "resolved")
NO_TEXT: Final = "no text"

Floats = NDArray[np.float64]
Said = tuple[Dyad, Floats]
"""A dyad, and the probabilities of the levels of what is said."""


@dataclass(slots=True)
class Statement:
    """A sentence of an article on its way through the stages."""

    article: Article
    number: int  # of the article
    sentence: int
    text: str
    note: str | None
    scored: bool
    mentions: list[Mention] = field(default_factory=list)


def load(path: str | Path | None = None, *, tier: str = TIERS[0]) -> Scorer:
    """Load a scorer.

    Parameters
    ----------
    path : str or Path, optional
        Folder of a model; the shipped one by default.
    tier : str, optional
        ``"fast"``, or ``"accurate"``: an encoder reads what the fast tier leaves in doubt.

    Returns
    -------
    Scorer

    Raises
    ------
    scoring.errors.ArtifactError
        If the model is missing, truncated, changed, untrusted or of another library version, or the tier
        cannot run.
    scoring.errors.UsageError
        If there is no such tier.
    """
    return Scorer(load_model(Path(path) if path is not None else shipped_folder()), tier)


class Scorer:
    """Scores texts, frames and articles with one model.

    Parameters
    ----------
    model : scoring.artifact.Model
        From `scoring.artifact.load`, or freshly fitted.
    tier : str, optional
        One of `scoring.tiers.TIERS`. Records name the accurate one behind the version of the model.
    """

    def __init__(self, model: Model, tier: str = TIERS[0]) -> None:
        self._model = model
        self._tier = make_tier(model, tier)
        self._screen = Lazy(_screen)
        version = str(model.manifest.get("version", "unsaved"))
        self.version = version if tier == TIERS[0] else f"{version}+{tier}"

    def compile(self) -> None:
        """Make now what is else made when there is much to do: for a process that others are forked from."""
        if isinstance(self._tier, Fast):
            self._tier.compile()
        self._screen(COMPILE_AFTER + 1)

    def score(
        self, text: str, *, title: str | None = None, published: dt.datetime | None = None
    ) -> pd.DataFrame:
        """Score one text.

        Parameters
        ----------
        text : str
            One sentence or a whole article.
        title : str, optional
            Its headline: sentence 0.
        published : datetime, optional
            Tells which office holders of the same name are meant; naive means UTC.

        Returns
        -------
        pandas.DataFrame
            Records (`scoring.records.RECORD_COLUMNS`), one or more rows a sentence.
        """
        return self.score_articles([_article(None, text, title, published)])

    def score_frame(
        self,
        frame: pd.DataFrame,
        *,
        text: str = "text",
        title: str | None = None,
        published: str | None = None,
        article_id: str | None = None,
    ) -> pd.DataFrame:
        """Score a table with one article or statement a row.

        Parameters
        ----------
        frame : pandas.DataFrame
            Any index; null texts are allowed and give a row that says so.
        text, title, published, article_id : str, optional
            Names of the columns that hold these. Without `article_id`, the index tells the rows apart.

        Returns
        -------
        pandas.DataFrame
            Records in the order of the rows; ``article_id`` is the given id, else the index value, as a string.

        Raises
        ------
        scoring.errors.UsageError
            If a named column is not there, or a text is neither a string nor null.
        """
        columns = {"text": text, "title": title, "published": published, "article_id": article_id}
        for name in filter(None, columns.values()):
            if (count := list(frame.columns).count(name)) != 1:
                found = f"{count} of that name" if count else ", ".join(map(str, frame.columns))
                raise UsageError(
                    f"expected one column {name!r}, found {found or 'none'}. "
                    "Name the column that holds it."
                )
        values = {role: _column(frame, name) for role, name in columns.items()}
        ids = frame.index if article_id is None else values["article_id"]
        articles = [
            _article(None if id_ is None else str(id_), text, title, published)
            for id_, text, title, published in zip(
                ids, values["text"], values["title"], values["published"], strict=True
            )
        ]
        return self.score_articles(articles)

    def score_lines(self, texts: Sequence[str]) -> pd.DataFrame:
        """Score statements that are not to be split: ``article_id`` is the position from 1."""
        return self.score_articles(
            [
                Article(id=str(i), title=None, text=text, whole=True)
                for i, text in enumerate(texts, 1)
            ]
        )

    def score_articles(self, articles: Iterable[Article], keep: Sequence[str] = ()) -> pd.DataFrame:
        """Score articles as `scoring.feeds` reads them.

        Parameters
        ----------
        articles : iterable of Article
            In the order in which their rows are wanted.
        keep : sequence of str, optional
            Keys of ``Article.extra`` to carry through as columns.

        Returns
        -------
        pandas.DataFrame
            Records, every row, levels of ``none`` included.
        """
        return self.score_numbered(articles, keep)[0]

    def score_numbered(
        self, articles: Iterable[Article], keep: Sequence[str] = ()
    ) -> tuple[pd.DataFrame, NDArray[np.int64]]:
        """Score articles, and tell which article each row is of: ids need not be different.

        Parameters
        ----------
        articles, keep
            As of `score_articles`.

        Returns
        -------
        records : pandas.DataFrame
            As of `score_articles`.
        numbers : ndarray of int, shape (rows,)
            Number of the article of each row, from 0.
        """
        statements = [
            statement
            for number, article in enumerate(articles)
            for statement in _statements(article, number)
        ]
        scored = [statement for statement in statements if statement.scored]
        self._find_actors(scored)
        chances = self._tier.levels([Clause(0, s.text, s.mentions) for s in scored])
        return self._table(statements, chances, self._said(scored, chances), tuple(keep))

    def explain(self, text: str) -> pd.DataFrame:
        """Tell which words and phrases of a sentence moved its score, and by how much.

        See `scoring.explain.explain`.
        """
        from scoring.explain import explain

        return explain(self, text)

    def expected_scores(self, sentences: Sequence[Clause]) -> NDArray[np.float64]:
        """Score sentences whose actors are known: expected level / 3, shape (n,)."""
        return self._tier.levels(sentences) @ _WEIGHTS

    def _find_actors(self, scored: list[Statement]) -> None:
        """Find the mentions of each statement; most sentences have none, which a look at many at once can tell."""
        screen = self._screen(len(scored))
        named = (
            scored
            if screen is None
            else compress(scored, screen.may_name([s.text for s in scored]))
        )
        for statement in named:
            published = statement.article.published
            when = published.date() if published else None
            statement.mentions = find_mentions(statement.text, when)

    def _said(self, scored: list[Statement], chances: Floats) -> dict[int, list[Said]]:
        """Tell who says it to whom, and how sharply, of each statement that escalates, by its place."""
        loud = np.flatnonzero(chances.argmax(axis=1)).tolist()
        clauses = dict(zip(loud, self._clauses([scored[i] for i in loud]), strict=True))
        spoken = [
            (i, clause, chance)
            for i in loud
            for clause, chance in clauses[i]
            or [(Clause(0, scored[i].text, scored[i].mentions), chances[i])]
        ]
        out: dict[int, list[Said]] = {i: [] for i in loud}
        dyads = self._dyads([clause for _, clause, _ in spoken])
        for (i, _, chance), found in zip(spoken, dyads, strict=True):
            # A clause has one speaker: its most probable dyad.
            out[i] += [(dyad, chance) for dyad in (found[:1] if clauses[i] else found)]
        return {i: _answers(said) if clauses[i] else said for i, said in out.items()}

    def _clauses(self, statements: list[Statement]) -> list[list[tuple[Clause, Floats]]]:
        """Score apart the two clauses of escalatory sentences in which two sides speak, if both escalate."""
        pairs = [two_clauses(s.text, s.mentions) for s in statements]
        chances = iter(self._tier.levels([clause for pair in pairs if pair for clause in pair]))
        out: list[list[tuple[Clause, Floats]]] = []
        for pair in pairs:
            scored = [(clause, next(chances)) for clause in pair or ()]
            out.append(scored if all(chance.argmax() for _, chance in scored) else [])
        return out

    def _dyads(self, clauses: list[Clause]) -> list[list[Dyad]]:
        at_least = self._model.manifest["dyad_at_least"]
        pairs = [candidates(clause.text, clause.mentions) for clause in clauses]
        out = []
        for clause, pair, chance in zip(
            clauses, pairs, self._tier.roles(clauses, pairs), strict=True
        ):
            found = find_dyads(clause.text, clause.mentions, pair, chance, at_least)
            out.append([dyad.moved(clause.start) for dyad in found])
        return out

    def _table(
        self,
        statements: list[Statement],
        chances: Floats,
        said: dict[int, list[Said]],
        keep: tuple[str, ...],
    ) -> tuple[pd.DataFrame, NDArray[np.int64]]:
        """Make the rows, column by column: one a dyad, or a single one of level none or unscored."""
        scored = np.array([s.scored for s in statements], dtype=bool)
        places = np.flatnonzero(scored)  # of the scored statements among all
        count = np.ones(len(statements), dtype=np.int64)
        for i, dyads in said.items():
            count[places[i]] = len(dyads)
        first = np.cumsum(count) - count  # row of each statement
        rows = np.repeat(np.arange(len(statements)), count)
        levels = np.full((len(rows), len(LEVELS)), np.nan)
        levels[first[places]] = chances
        sides = {name: np.full(len(rows), None, dtype=object) for name in _SIDES}
        for i, context in _contexts([s for s in statements if s.scored], list(said)):
            for row, (dyad, chance) in enumerate(said[i], first[places[i]]):
                levels[row] = chance
                for name, value in zip(_SIDES, _resolved(dyad, context), strict=True):
                    sides[name][row] = value
        numbers = np.array([s.number for s in statements], dtype=np.int64)[rows]
        columns = _of_articles(statements, rows, keep) | self._levels(levels, scored[rows]) | sides
        columns["model"] = np.full(len(rows), self.version, dtype=object)
        return columns_frame(columns, keep), numbers

    def _levels(self, chances: Floats, scored: NDArray[np.bool_]) -> dict[str, Any]:
        """Make the columns that follow from the probabilities, which are NaN in rows that are not scored."""
        best = np.full(len(chances), len(LEVELS))
        best[scored] = chances[scored].argmax(axis=1)
        # Added up in this order, and not as a product of matrices, which may round otherwise.
        score = sum(k * chances[:, k] for k in range(len(LEVELS))) / (len(LEVELS) - 1)
        return {
            "level": np.array([*LEVELS, None], dtype=object)[best],
            "score": score,
            "review": ~(chances.max(axis=1) >= self._tier.review_below),
        } | {name: chances[:, k] for k, name in enumerate(PROBABILITIES)}


def _screen() -> Screen:
    from scoring.compiled import Screen

    return Screen(*openings())


def _contexts(scored: list[Statement], wanted: list[int]) -> Iterator[tuple[int, Context]]:
    """Give the context of some statements, in order; what no wanted one follows is not looked at."""
    context, read = Context(), 0
    for i in wanted:
        start = i
        while start > read and scored[start - 1].number == scored[i].number:
            start -= 1
        for s in scored[start : i + 1]:
            context.enter(s.article, s.sentence, s.text, s.mentions)
        read = i + 1
        yield i, context


def _resolved(dyad: Dyad, context: Context) -> tuple[Any, ...]:
    """Give a dyad's values of `_SIDES`."""
    source, target, resolved = context.resolve(dyad)
    return source, target, dyad.source_span, dyad.target_span, resolved


def _of_articles(
    statements: list[Statement], rows: NDArray[np.int64], keep: tuple[str, ...]
) -> dict[str, Any]:
    """Make the columns that say where a statement stands."""
    articles = list({s.number: s.article for s in statements}.values())  # each has a statement
    of = np.array([s.number for s in statements], dtype=np.int64)[rows]
    return {
        "article_id": objects([a.id for a in articles])[of],
        "published": moments([a.published for a in articles]).take(of),
        "publisher": objects([a.publisher for a in articles])[of],
        "url": objects([a.url for a in articles])[of],
        "sentence": np.array([s.sentence for s in statements], dtype=np.int64)[rows],
        "text": objects([s.text for s in statements])[rows],
        "note": objects([s.note for s in statements])[rows],
    } | {key: objects([a.extra.get(key) for a in articles])[of] for key in keep}


def _answers(pair: list[Said]) -> list[Said]:
    """Let each of two clauses that names no target speak to the subject of the other."""
    out = []
    for (dyad, chance), (other, _) in zip(pair, pair[::-1], strict=True):
        if dyad.target is None and other.source not in (None, dyad.source):
            dyad = dyad._replace(target=other.source, target_span=other.source_span)
        out.append((dyad, chance))
    return out


def _article(id_: str | None, text: Any, title: Any, published: Any) -> Article:
    for value in (text, title):
        if not (value is None or isinstance(value, str)):
            raise UsageError(
                f"row {id_}: expected text or null, found {type(value).__name__}. Give strings."
            )
    return Article(id_ or content_id(title, text), title, text, to_utc(published))


def _column(frame: pd.DataFrame, name: str | None) -> list[Any]:
    if name is None:
        return [None] * len(frame)
    values = list(frame[name])
    # A cell may hold a list or an array, of which "is it null" has no one answer.
    return [None if pd.api.types.is_scalar(v) and pd.isna(v) else v for v in values]


def _statements(article: Article, which: int) -> Iterable[Statement]:
    """Split an article; one that cannot be scored gives one statement that says why."""
    texts = list(_sentences(article))
    why = article.note if not texts else not_english("\n".join(t for _, t in texts))
    if not texts:
        yield Statement(article, which, 0, "", why or NO_TEXT, scored=False)
    for number, text in texts:
        note = why or article.note
        yield Statement(article, which, number, text, note, scored=not why)


def _sentences(article: Article) -> Iterable[tuple[int, str]]:
    """Give the sentences with their index: 0 is the title (or the whole statement), the body counts from 1."""
    title, text = (clean_text(part or "").strip() for part in (article.title, article.text))
    if article.whole:
        if text:
            yield 0, text
        return
    if title:
        yield 0, title
    yield from enumerate(split_sentences(text), 1)
