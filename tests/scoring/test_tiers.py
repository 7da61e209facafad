"""Two tiers, one interface: the same records, alone and in any batch; clear words where a tier cannot run."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scoring.artifact import ENCODER_FILE, TOKENIZER_FILE, load, shipped_folder, whole_copy
from scoring.encoder import Encoder
from scoring.errors import (
    ArtifactMissing,
    ArtifactTampered,
    ArtifactTruncated,
    TierMissing,
    UsageError,
)
from scoring.levels import PROBABILITIES
from scoring.records import RECORD_COLUMNS
from scoring.scorer import Scorer
from scoring.scorer import load as load_scorer

STATEMENTS = Path(__file__).parents[1] / "training" / "statements.jsonl"


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [json.loads(line)["text"] for line in STATEMENTS.read_text().splitlines()][:80]


@pytest.fixture(scope="module")
def fast() -> Scorer:
    return load_scorer()


@pytest.fixture(scope="module")
def accurate() -> Scorer:
    return load_scorer(tier="accurate")


def test_both_tiers_give_the_same_columns_and_say_which_they_are(fast, accurate, texts):
    quick, slow = fast.score_lines(texts), accurate.score_lines(texts)
    assert tuple(quick.columns) == tuple(slow.columns) == RECORD_COLUMNS
    assert set(quick["model"]) == {fast.version}
    assert set(slow["model"]) == {f"{fast.version}+accurate"}
    assert slow[list(PROBABILITIES)].sum(axis=1).to_numpy() == pytest.approx(1)


def test_the_encoder_is_asked_only_where_the_fast_tier_doubts(fast, accurate, texts):
    below = load(shipped_folder()).manifest["accurate"]["doubt_below"]
    columns = list(PROBABILITIES)
    quick, slow = (
        scorer.score_lines(texts).drop_duplicates("article_id").reset_index(drop=True)
        for scorer in (fast, accurate)
    )
    one_clause = quick["article_id"].isin(
        quick["article_id"][~quick["article_id"].duplicated(keep=False)]
    )
    sure = (quick[columns].max(axis=1) >= below) & one_clause
    assert 0 < sure.sum() < len(texts)
    assert quick[columns][sure].equals(slow[columns][sure])
    assert not np.allclose(quick[columns][~sure], slow[columns][~sure])


def test_a_statement_scores_the_same_alone_and_in_any_batch(accurate, texts):
    together = accurate.score_lines(texts).drop(columns="article_id")
    backwards = accurate.score_lines(texts[::-1])
    backwards["at"] = len(texts) - backwards["article_id"].astype(int)
    backwards = backwards.sort_values("at", kind="stable").drop(columns=["at", "article_id"])
    assert together.equals(backwards.reset_index(drop=True))
    alone = accurate.score_lines(texts[5:6]).drop(columns="article_id")
    assert alone.equals(
        accurate.score_lines(texts)
        .query("article_id == '6'")
        .drop(columns="article_id")
        .reset_index(drop=True)
    )


def test_an_explanation_is_of_the_tier_that_is_asked(fast, accurate):
    text = "Peru may answer Chile's tariffs with mirror duties, its trade ministry said."
    for scorer in (fast, accurate):
        found = scorer.explain(text)
        assert found["effect"].abs().max() > 0.01
    assert not fast.explain(text)["effect"].equals(accurate.explain(text)["effect"])


def test_a_tier_that_does_not_exist():
    with pytest.raises(UsageError, match=r"expected a tier \(fast, accurate\), found 'slow'"):
        load_scorer(tier="slow")


def test_a_model_without_an_encoder():
    with pytest.raises(TierMissing, match="expected a model with an encoder, found none"):
        Scorer(replace(load(shipped_folder()), accurate=None), "accurate")


@pytest.mark.parametrize("package", ["onnxruntime", "tokenizers"])
def test_libraries_that_are_not_installed(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(TierMissing, match=rf"{package}.* pip install .*\[encoder\]"):
        load_scorer(tier="accurate")
    assert load_scorer().score("Peru protested to Chile.")["level"].notna().all()


@pytest.fixture
def folder(tmp_path) -> Path:
    return whole_copy(shipped_folder(), tmp_path / "model")


@pytest.mark.parametrize("name", [ENCODER_FILE, TOKENIZER_FILE])
def test_the_encoder_is_checked_before_it_is_loaded(folder, name):
    whole = (folder / name).read_bytes()
    middle = len(whole) // 2
    (folder / name).write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    with pytest.raises(ArtifactTampered, match=f"{name}: expected SHA-256"):
        load_scorer(folder, tier="accurate")
    (folder / name).write_bytes(whole[:-1])
    with pytest.raises(ArtifactTruncated, match=name):
        load_scorer(folder, tier="accurate")
    (folder / name).unlink()
    with pytest.raises(ArtifactMissing, match=name):
        load_scorer(folder, tier="accurate")
    assert load_scorer(folder).score("Peru protested to Chile.")["level"].notna().all()


def test_an_encoder_that_cannot_be_run():
    with pytest.raises(TierMissing, match="expected an encoder that onnxruntime"):
        Encoder(b"no encoder", b"{}")
