"""The record: one row per statement and directed dyad, and what its columns hold."""

from __future__ import annotations

from typing import Final

import pandas as pd

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


def records_frame(rows: list[dict[str, object]], extra: tuple[str, ...] = ()) -> pd.DataFrame:
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
        Columns `RECORD_COLUMNS` + `extra`; ``published`` is ``datetime64[us, UTC]``, ``sentence`` int64,
        ``review`` bool, ``score`` and probabilities float64, the rest object with None for null.
    """
    names = [*RECORD_COLUMNS, *extra]
    columns = {name: [row.get(name) for row in rows] for name in names}
    frame = pd.DataFrame({name: pd.Series(columns[name], dtype=object) for name in names})
    frame["published"] = pd.to_datetime(frame["published"], utc=True).astype("datetime64[us, UTC]")
    frame["sentence"] = frame["sentence"].astype("int64")
    frame["review"] = frame["review"].astype(bool)
    for name in ("score", *PROBABILITIES):
        frame[name] = frame[name].astype("float64")
    return frame
