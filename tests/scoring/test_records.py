"""The table of scores has the same columns and types, with rows and without."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest

from scoring.levels import PROBABILITIES
from scoring.records import RECORD_COLUMNS, records_frame

ROW = {
    "article_id": "7",
    "published": dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC),
    "sentence": 0,
    "text": "Oslo protested to Moscow.",
    "source": "NOR",
    "target": "RUS",
    "source_span": (0, 4),
    "target_span": (18, 24),
    "level": "protest",
    "score": 0.34,
    **dict.fromkeys(PROBABILITIES, 0.25),
    "review": True,
    "model": "1",
}
TYPES = {
    "published": "datetime64[us, UTC]",
    "sentence": "int64",
    "review": "bool",
    **dict.fromkeys(("score", *PROBABILITIES), "float64"),
}


@pytest.mark.parametrize("rows", [[], [ROW], [ROW, ROW | {"published": None, "text": ""}]])
def test_columns_and_types(rows):
    frame = records_frame(rows)
    assert tuple(frame.columns) == RECORD_COLUMNS
    assert len(frame) == len(rows)
    for name in RECORD_COLUMNS:
        assert str(frame[name].dtype) == TYPES.get(name, "object"), name


def test_every_column_of_the_design_is_there():
    design = """article_id published publisher url sentence text source target source_span
        target_span level score p_none p_protest p_warning p_threat review model"""
    assert list(RECORD_COLUMNS[: len(design.split())]) == design.split()


def test_what_a_row_leaves_out_is_null():
    frame = records_frame([{k: v for k, v in ROW.items() if k not in ("target", "published")}])
    assert frame["target"].iloc[0] is None
    assert frame["published"].iloc[0] is pd.NaT
    assert frame["url"].iloc[0] is None


def test_values_come_through_unchanged():
    frame = records_frame([ROW])
    for name, value in ROW.items():
        assert frame[name].iloc[0] == value, name


@pytest.mark.parametrize("rows", [[], [ROW | {"desk": "Asia"}]])
def test_further_columns_come_last(rows):
    frame = records_frame(rows, ("desk",))
    assert tuple(frame.columns) == (*RECORD_COLUMNS, "desk")
    assert list(frame["desk"]) == [row["desk"] for row in rows]


def test_moments_of_other_zones_become_utc():
    tokyo = dt.timezone(dt.timedelta(hours=9))
    row = ROW | {"published": dt.datetime(2024, 1, 1, 3, tzinfo=tokyo)}
    moment = records_frame([row])["published"].iloc[0]
    assert moment.isoformat() == "2023-12-31T18:00:00+00:00"
