"""The model as MLflow serves it: articles or statements in, the records of ``tension score`` out.

Models from code: MLflow keeps this file beside the model folder and a copy of the package `scoring`, and runs it to
load the model. Nothing is pickled or unpickled; the model folder is checked as `scoring.artifact.load` always does.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature, set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import Array, Object, Property

from scoring import artifact
from scoring.articles import MOST_CHARACTERS, Article, content_id, to_utc
from scoring.batch import arrow_schema, plain_rows
from scoring.errors import TensionError, UsageError
from scoring.scorer import Scorer
from scoring.tiers import TIERS

ARTIFACT: Final = "model"
"""Name under which MLflow keeps the model folder."""

COLUMNS: Final = ("text", "title", "published", "publisher", "url", "article_id")
"""Columns that are read, all of text; all but ``text`` may be missing, and any cell null."""

_ROW: Final = "row"


class Served(PythonModel):
    """Scores tables of articles with one model, in either tier.

    One row out for each row in, as Spark wants it, with the records of that row in a list.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model folder, checked; its tiers when they are first asked for.

        Raises
        ------
        MlflowException
            If the model is damaged, or was made for another version of the libraries; says what to do.
        """
        self._lock = threading.Lock()
        self._scorers: dict[str, Scorer] = {}
        try:
            self._model = artifact.load(Path(context.artifacts[ARTIFACT]))
        except TensionError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Score articles or statements.

        Parameters
        ----------
        context : PythonModelContext
            Not used.
        model_input : pandas.DataFrame
            Columns as in `COLUMNS`: one article, or one statement, a row.
        params : dict, optional
            ``tier``: ``"fast"`` (default) or ``"accurate"``; ``whole``: each text is one statement and is not split
            into sentences (default: False).

        Returns
        -------
        pandas.DataFrame
            Index and order of `model_input`, and the columns ``article_id`` (given, else a hash of title and text) and
            ``records``: a list of dicts, those of ``tension score --all --format jsonl``.

        Raises
        ------
        MlflowException
            If a value is of the wrong kind, or the tier cannot run; says which.
        """
        settings: dict[str, Any] = {"tier": TIERS[0], "whole": False} | (params or {})
        try:
            articles = _articles(model_input, bool(settings["whole"]))
            scored = self._scorer(settings["tier"]).score_articles(articles, keep=(_ROW,))
        except TensionError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        records: list[list[dict[str, Any]]] = [[] for _ in articles]
        for record in plain_rows(scored):
            records[record.pop(_ROW)].append(record)
        ids = pd.Series([article.id for article in articles], dtype=object)
        out = pd.DataFrame({"article_id": ids, "records": pd.Series(records, dtype=object)})
        return out.set_axis(model_input.index)

    def _scorer(self, tier: str) -> Scorer:
        with self._lock:  # a server answers several requests at once
            if tier not in self._scorers:
                self._scorers[tier] = Scorer(self._model, tier)
            return self._scorers[tier]


def signature() -> ModelSignature:
    """Describe what goes in and comes out, for MLflow to check and for Spark to make columns of."""
    inputs: list[Any] = [
        ColSpec(DataType.string, name, required=name == "text") for name in COLUMNS
    ]
    record = [Property(field.name, _kind(field.type), required=False) for field in arrow_schema()]
    outputs: list[Any] = [
        ColSpec(DataType.string, "article_id"),
        ColSpec(Array(Object(record)), "records"),
    ]
    params = [
        ParamSpec("tier", DataType.string, TIERS[0]),
        ParamSpec("whole", DataType.boolean, False),
    ]
    return ModelSignature(Schema(inputs), Schema(outputs), ParamSchema(params))


def _kind(type_: pa.DataType) -> Any:
    """Say in MLflow's words what a column of the record holds; times are text, as in JSON."""
    if pa.types.is_list(type_):
        return Array(_kind(type_.value_type))
    numbers = {
        pa.float64(): DataType.double,
        pa.int32(): DataType.integer,
        pa.bool_(): DataType.boolean,
    }
    return numbers.get(type_, DataType.string)


def _articles(table: pd.DataFrame, whole: bool) -> list[Article]:
    """Make articles of rows, as the readers of `scoring.feeds` do of JSONL."""
    columns = {
        name: [
            None if pd.api.types.is_scalar(value) and pd.isna(value) else value
            for value in table[name]
        ]
        if name in table
        else [None] * len(table)
        for name in COLUMNS
    }
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return [_article(number, row, whole) for number, row in enumerate(rows)]


def _article(number: int, row: dict[str, Any], whole: bool) -> Article:
    for name in ("text", "title"):
        if not (row[name] is None or isinstance(row[name], str)):
            kind = type(row[name]).__name__
            raise UsageError(
                f"row {number}: expected text or null as {name!r}, found {kind}. Give strings."
            )
    text, title = ((row[name] or "").strip() or None for name in ("text", "title"))
    if whole and title is not None:
        raise UsageError(
            f"row {number}: expected no title of a whole statement, found one. Leave it out."
        )
    cut = max(len(title or ""), len(text or "")) > MOST_CHARACTERS
    text, title = (part and part[:MOST_CHARACTERS] for part in (text, title))
    return Article(
        id=_string(row["article_id"]) or content_id(title, text),
        title=title,
        text=text,
        published=to_utc(row["published"]),
        publisher=_string(row["publisher"]),
        url=_string(row["url"]),
        extra={_ROW: number},
        note=f"cut at {MOST_CHARACTERS:,} characters" if cut else None,
        whole=whole,
    )


def _string(value: object) -> str | None:
    return None if value is None else str(value) or None


set_model(Served())
