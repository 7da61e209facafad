"""The record: one row per statement and directed dyad, and what its columns hold."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scoring.levels import PROBABILITIES

RECORD_COLUMNS: Final[tuple[str, ...]] = (
    "article_id",
    "published",
    "publisher",
    "url",
    "sentence",
    "text",
    "source",
    "target",
    "source_span",
    "target_span",
    "level",
    "score",
    *PROBABILITIES,
    "review",
    "model",
    "resolved",
    "note",
)
"""Columns of every table of scores, in order.

The design's record, and two columns more: ``resolved`` names the sides that the sentence leaves open and the
article's context fills (null, ``"source"``, ``"target"`` or ``"source target"``); ``note`` says why a row
is not scored (then ``level`` is null and ``score`` NaN) or was cut.
"""


def records_frame(rows: list[dict[str, Any]], extra: tuple[str, ...] = ()) -> pd.DataFrame:
    """Make the table of scores from rows, with the record's column types also when there are none.

    Parameters
    ----------
    rows : list of dict
        One dict per row, keys of `RECORD_COLUMNS` and of `extra`.
    extra : tuple of str, optional
        Further columns, carried through from the input.

    Returns
    -------
    pandas.DataFrame
        As of `columns_frame`.
    """
    names = (*RECORD_COLUMNS, *extra)
    columns: dict[str, Any] = {name: [row.get(name) for row in rows] for name in names}
    columns["published"] = moments(columns["published"])
    return columns_frame(columns, extra)


def moments(values: Sequence[dt.datetime | None]) -> pd.DatetimeIndex:
    """Make a column ``published`` of moments that know their zone."""
    found = pd.to_datetime(pd.Series(list(values), dtype=object), utc=True)
    return pd.DatetimeIndex(found.astype("datetime64[us, UTC]"))


def objects(values: Sequence[Any]) -> NDArray[np.object_]:
    """Make an array of any values, of which some may be lists."""
    out = np.empty(len(values), object)
    for i, value in enumerate(values):
        out[i] = value
    return out


def columns_frame(columns: Mapping[str, Any], extra: tuple[str, ...] = ()) -> pd.DataFrame:
    """Make the table of scores from columns.

    Parameters
    ----------
    columns : mapping of str to sequence
        A sequence for each of `RECORD_COLUMNS` and of `extra`, of equal length; ``published`` as of `moments`.
    extra : tuple of str, optional
        Further columns, carried through from the input.

    Returns
    -------
    pandas.DataFrame
        Columns `RECORD_COLUMNS` + `extra`; ``published`` is ``datetime64[us, UTC]``, ``sentence`` int64,
        ``review`` bool, ``score`` and probabilities float64, the rest object with None for null.
    """
    kinds = dict.fromkeys(("score", *PROBABILITIES), "float64") | {
        "sentence": "int64",
        "review": "bool",
        "published": None,
    }
    names = (*RECORD_COLUMNS, *extra)
    return pd.DataFrame(
        {name: pd.Series(columns[name], dtype=kinds.get(name, object)) for name in names}
    )
