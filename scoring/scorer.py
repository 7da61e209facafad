"""Articles -> sentences -> actors -> levels -> dyads -> records.

The level is asked first, of every sentence; who says it to whom only of the sentences that escalate. Every
stage works row by row, so a statement's record is the same alone and in any batch, bit for bit.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scoring.actors import Mention, find_mentions
from scoring.articles import Article, clean_text, content_id, to_utc
from scoring.artifact import Model, shipped_folder
from scoring.artifact import load as load_model
from scoring.clauses import Clause, two_clauses
from scoring.context import Context
from scoring.dyads import Dyad, find_dyads
from scoring.errors import UsageError
from scoring.language import not_english
from scoring.levels import LEVELS, PROBABILITIES
from scoring.records import records_frame
from scoring.sentences import split_sentences
from scoring.tiers import TIERS
from scoring.tiers import tier as make_tier

_WEIGHTS: Final = np.arange(len(LEVELS)) / (len(LEVELS) - 1)
NO_TEXT: Final = "no text"


@dataclass(slots=True)
class Statement:
    """A sentence of an article on its way through the stages."""

    article: Article
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
        version = str(model.manifest.get("version", "unsaved"))
        self.version = version if tier == TIERS[0] else f"{version}+{tier}"

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
        statements = [statement for article in articles for statement in _statements(article)]
        scored = [statement for statement in statements if statement.scored]
        probabilities = self._tier.levels([Clause(0, s.text, s.mentions) for s in scored])
        clauses = self._clauses(scored, probabilities)
        left = iter(zip(probabilities, clauses, strict=True))
        rows: list[dict[str, object]] = []
        context = Context()
        for statement in statements:
            base = self._base(statement, keep)
            if not statement.scored:
                rows.append(base | {"score": np.nan} | dict.fromkeys(PROBABILITIES, np.nan))
            else:
                rows += self._rows(base, statement, *next(left), context)
        return records_frame(rows, tuple(keep))

    def explain(self, text: str) -> pd.DataFrame:
        """Tell which words and phrases of a sentence moved its score, and by how much.

        See `scoring.explain.explain`.
        """
        from scoring.explain import explain

        return explain(self, text)

    def expected_scores(self, sentences: Sequence[Clause]) -> NDArray[np.float64]:
        """Score sentences whose actors are known: expected level / 3, shape (n,)."""
        return self._tier.levels(sentences) @ _WEIGHTS

    def _clauses(
        self, statements: list[Statement], probabilities: NDArray[np.float64]
    ) -> list[list[tuple[Clause, NDArray[np.float64]]]]:
        """Score apart the two clauses of escalatory sentences in which two sides speak, if both escalate."""
        levels = probabilities.argmax(axis=1)
        pairs = [
            two_clauses(s.text, s.mentions) if level else None
            for s, level in zip(statements, levels, strict=True)
        ]
        parts = [clause for pair in pairs if pair for clause in pair]
        chances = iter(self._tier.levels(parts))
        out: list[list[tuple[Clause, NDArray[np.float64]]]] = []
        for pair in pairs:
            scored = [(clause, next(chances)) for clause in pair or ()]
            out.append(scored if all(chance.argmax() for _, chance in scored) else [])
        return out

    def _base(self, statement: Statement, keep: Sequence[str]) -> dict[str, object]:
        article = statement.article
        return {
            "article_id": article.id,
            "published": article.published,
            "publisher": article.publisher,
            "url": article.url,
            "sentence": statement.sentence,
            "text": statement.text,
            "review": not statement.scored,
            "model": self.version,
            "note": statement.note,
        } | {key: article.extra.get(key) for key in keep}

    def _rows(
        self,
        base: dict[str, object],
        statement: Statement,
        chances: NDArray[np.float64],
        clauses: list[tuple[Clause, NDArray[np.float64]]],
        context: Context,
    ) -> list[dict[str, object]]:
        """Make the rows of one scored statement: one a dyad, or a single one of level none."""
        context.enter(statement.article, statement.sentence, statement.text, statement.mentions)
        if not chances.argmax():
            return [base | self._level(chances)]
        if clauses:
            found = _answers([(self._dyads(clause)[0], chance) for clause, chance in clauses])
        else:
            whole = Clause(0, statement.text, statement.mentions)
            found = [(dyad, chances) for dyad in self._dyads(whole)]
        return [base | self._level(chance) | _sides(dyad, context) for dyad, chance in found]

    def _level(self, chances: NDArray[np.float64]) -> dict[str, object]:
        score = sum(k * float(p) for k, p in enumerate(chances)) / (len(LEVELS) - 1)
        return {
            "level": LEVELS[int(chances.argmax())],
            "score": score,
            "review": bool(chances.max() < self._tier.review_below),
        } | dict(zip(PROBABILITIES, map(float, chances), strict=True))

    def _dyads(self, clause: Clause) -> list[Dyad]:
        at_least = self._model.manifest["dyad_at_least"]
        judge = partial(self._tier.roles, clause)
        found = find_dyads(clause.text, clause.mentions, judge, at_least)
        return [dyad.moved(clause.start) for dyad in found]


def _answers(
    pair: list[tuple[Dyad, NDArray[np.float64]]],
) -> list[tuple[Dyad, NDArray[np.float64]]]:
    """Let each of two clauses that names no target speak to the subject of the other."""
    out = []
    for (dyad, chance), (other, _) in zip(pair, pair[::-1], strict=True):
        if dyad.target is None and other.source not in (None, dyad.source):
            dyad = dyad._replace(target=other.source, target_span=other.source_span)
        out.append((dyad, chance))
    return out


def _sides(dyad: Dyad, context: Context) -> dict[str, object]:
    source, target, resolved = context.resolve(dyad)
    return {
        "source": source,
        "target": target,
        "source_span": dyad.source_span,
        "target_span": dyad.target_span,
        "resolved": resolved,
    }


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


def _statements(article: Article) -> Iterable[Statement]:
    """Split an article; one that cannot be scored gives one statement that says why."""
    texts = list(_sentences(article))
    why = article.note if not texts else not_english("\n".join(t for _, t in texts))
    if not texts:
        yield Statement(article, 0, "", why or NO_TEXT, scored=False)
        return
    when = article.published.date() if article.published else None
    for number, text in texts:
        if why:
            yield Statement(article, number, text, why, scored=False)
        else:
            mentions = find_mentions(text, when)
            yield Statement(article, number, text, article.note, scored=True, mentions=mentions)


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
