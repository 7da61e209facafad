"""Two encoders, one behind the other: how their heads are fitted, and which of them is asked."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from scoring import artifact
from scoring.actors import find_mentions
from scoring.artifact import ENCODER_FILE, TOKENIZER_FILE, load, shipped_folder
from scoring.clauses import Clause
from scoring.encoder import Encoder
from scoring.errors import ArtifactTampered, UsageError
from scoring.levels import PROBABILITIES
from scoring.scorer import Scorer
from scoring.tiers import Fast
from training import pipeline, seen
from training.dataset import DataError, read
from training.hydrate import CORPUS
from training.pipeline import DESCRIPTION_FILE, Params, fit, learned, unseen

PARAMS = Params(level_bits=12, role_bits=12, scout_doubt_below=0.7, scout_role_doubt_below=0.6)


@pytest.fixture(scope="module")
def statements():
    return read([CORPUS / "own.jsonl"]).sample(500, random_state=0).reset_index(drop=True)


@pytest.fixture(scope="module")
def kept_aside(statements) -> list[str]:
    return list(statements.groupby("level")["id"].head(20))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory, statements, kept_aside):
    """The folder of an encoder: the smallest that is shipped, said to be kept from statements of ours."""
    pytest.importorskip("onnxruntime", reason="the extra 'encoder' is not installed")
    shipped = load(shipped_folder())
    if shipped.accurate is None:
        pytest.skip("the shipped model has no encoder")
    folder = tmp_path_factory.mktemp("encoder")
    files = (shipped.scout or shipped.accurate).files
    for name, file in zip((ENCODER_FILE, TOKENIZER_FILE), files, strict=True):
        shutil.copy(file, folder / name)
    (folder / DESCRIPTION_FILE).write_text(json.dumps({"base": "some"}))
    seen.write(folder, set(statements["id"]) - set(kept_aside), seen.LEARNED_FILE)
    return folder


@pytest.fixture(scope="module")
def model(statements, encoder):
    return fit(statements, PARAMS, seed=0, encoders=[encoder, encoder])


@pytest.fixture(scope="module")
def texts(statements) -> list[str]:
    return list(statements["text"][::10])


def with_doubt(model, level: float, roles: float):
    accurate = model.manifest["accurate"]
    doubt = {"scout_doubt_below": level, "scout_role_doubt_below": roles}
    return replace(
        model, manifest=model.manifest | {"version": "9.0.0", "accurate": accurate | doubt}
    )


def test_the_manifest_says_where_each_encoder_is_asked(model, kept_aside):
    said = model.manifest["accurate"]
    assert said["doubt_below"] == PARAMS.doubt_below
    assert said["scout_doubt_below"] == 0.7
    assert said["scout_role_doubt_below"] == 0.6
    assert (
        said["encoder"]
        == said["scout"]["encoder"]
        == {"base": "some", "learned": 420, "heads_of": len(kept_aside)}
    )
    assert said["temperature"] != said["scout"]["temperature"], "the second hears the first"


def test_the_heads_are_calibrated_on_what_the_encoders_never_saw(
    statements, encoder, tmp_path, monkeypatch
):
    every = read([CORPUS / "own.jsonl"])
    fresh = every[~every["id"].isin(statements["id"])].head(300)
    known, knowing = fresh["id"].iloc[:150], tmp_path / "knowing"
    shutil.copytree(encoder, knowing)
    seen.write(knowing, learned(encoder) | set(known), seen.LEARNED_FILE)
    asked: list[set[str]] = []
    made = pipeline._Fresh
    monkeypatch.setattr(
        pipeline, "_Fresh", lambda rows, fast: asked.append(set(rows["id"])) or made(rows, fast)
    )

    def told(calibrate, encoders):
        model = fit(statements, PARAMS, 0, encoders=encoders, calibrate=calibrate, folds=2)
        accurate = model.manifest["accurate"]
        how = accurate.pop("encoder")
        assert how == {"base": "some", "learned": len(learned(encoders[-1])), "heads_of": 80}
        return model.manifest["temperature"], accurate

    fast, accurate = told(fresh, [encoder, knowing])
    fast_too, known_too = told(fresh, [encoder, encoder])
    assert asked == [set(fresh["id"]) - set(known), set(fresh["id"])]
    assert fast == fast_too, "which learned from none of them"
    assert accurate["scout"]["temperature"] != known_too["scout"]["temperature"]
    with pytest.raises(
        DataError, match="at least 30 that no encoder learned from, 5 of each level"
    ):
        told(fresh.iloc[140:170], [encoder, knowing])


def test_a_stage_that_is_hardly_asked_is_calibrated_on_those_most_in_doubt(statements, encoder):
    every = read([CORPUS / "own.jsonl"])
    fresh = every[~every["id"].isin(statements["id"])].head(100).reset_index(drop=True)
    made = fit(statements, PARAMS, 0, encoders=[encoder], folds=2)
    rows = pipeline._Fresh(fresh, Fast(made))
    before = rows._levels.copy()
    sure = before.max(axis=1)
    doubt = float(np.sort(sure)[5])
    reader = Encoder(*((encoder / name).read_bytes() for name in (ENCODER_FILE, TOKENIZER_FILE)))
    assert rows.add(reader, made.accurate.level.pipeline, doubt) > 0
    assert list(np.flatnonzero((rows._levels != before).any(axis=1))) == list(
        np.flatnonzero(sure < doubt)
    )


def test_the_large_encoder_is_asked_where_the_small_one_doubts(model, texts):
    def scored(level: float, roles: float):
        scorer = Scorer(with_doubt(model, level, roles), "accurate")
        rows = scorer.score_lines(texts)[list(PROBABILITIES)]
        return rows.to_numpy(), [stage.readings for stage in scorer._tier.stages]

    small, (all_doubted, none) = scored(0, 0)
    middle = float(np.quantile(small.max(axis=1), 0.2))  # below it, it doubts
    some, (_, few) = scored(middle, 0)
    _, (_, many) = scored(PARAMS.doubt_below, 1)
    assert none == 0 < few < many <= all_doubted
    alone = Scorer(replace(with_doubt(model, 0, 0), accurate=model.scout, scout=None), "accurate")
    assert (alone.score_lines(texts)[list(PROBABILITIES)].to_numpy() == small).all()
    assert 0 < (some != small).any(axis=1).sum() < len(texts)


def test_a_teacher_of_two_encoders_says_what_the_tier_says_where_it_doubts(model, texts):
    scorer = Scorer(with_doubt(model, 0.9, 0.9), "accurate")
    tier = scorer._tier
    sentences = [Clause(0, text, find_mentions(text)) for text in texts]
    fast = tier._fast.levels(sentences).max(axis=1)
    said = tier.levels(sentences)
    doubted = np.flatnonzero(fast < PARAMS.doubt_below)
    assert len(doubted) > 2
    for row in doubted:
        assert (tier.read(sentences[row])[0] == said[row]).all()


def test_it_is_saved_and_loaded_whole(model, texts, tmp_path):
    before = Scorer(with_doubt(model, 0.7, 0.6), "accurate").score_lines(texts)
    folder = artifact.save(with_doubt(model, 0.7, 0.6), tmp_path / "9.0.0")
    again = load(folder)
    assert Scorer(again, "accurate").score_lines(texts).equals(before)
    assert again.scout.encoder == folder / "scout" / ENCODER_FILE
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["accurate"]["scout_doubt_below"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactTampered, match="scout_doubt_below"):
        load(folder)


def test_both_encoders_are_shared_with_a_version_that_has_them(model, tmp_path):
    versions = tmp_path / "models"
    for name in ("1", "2"):
        artifact.save(with_doubt(model, 0.7, 0.6), versions / name)
    assert artifact.share_encoder(versions / "2") == "1"
    assert sorted(path.name for path in (versions / "2").rglob("*.onnx")) == []
    parts = [artifact.encoder_files(heads) for heads in load(versions / "1").encoders.values()]
    shared = load(versions / "2")
    assert [artifact.encoder_files(heads) for heads in shared.encoders.values()] == parts
    copy = artifact.whole_copy(versions / "2", tmp_path / "copy")
    shutil.rmtree(versions)
    assert [artifact.encoder_files(heads) for heads in load(copy).encoders.values()] == parts


def test_encoders_that_were_kept_from_nothing_in_common(statements, encoder, tmp_path):
    other = shutil.copytree(encoder, tmp_path / "other")
    seen.write(other, statements["id"], seen.LEARNED_FILE)
    with pytest.raises(DataError, match="that the encoder was kept from, found none"):
        unseen(statements, [encoder, other])
    with pytest.raises(UsageError, match="at most 2 encoders"):
        unseen(statements, [encoder, other, encoder])
    (other / ENCODER_FILE).unlink()
    with pytest.raises(DataError, match=r"expected encoder\.onnx beside encoder\.json"):
        unseen(statements, [other])
