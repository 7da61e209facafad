"""A model folder is loaded only if it is whole, unchanged, of these libraries and trusted types."""

from __future__ import annotations

import ast
import copy
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.preprocessing import FunctionTransformer

import scoring
from scoring import artifact
from scoring.artifact import MANIFEST_FILE, MODEL_FILE, Model, load, save, shipped_folder
from scoring.errors import (
    ArtifactError,
    ArtifactMissing,
    ArtifactTampered,
    ArtifactTruncated,
    ArtifactUntrusted,
    ArtifactVersion,
    TensionError,
)
from scoring.scorer import Scorer
from tests.heads import small_head

STATEMENTS = Path(__file__).parents[1] / "training" / "statements.jsonl"


def stranger(values: Any) -> Any:
    """Stand for any function that a hostile model file might name."""
    return values


@pytest.fixture(scope="module")
def fitted() -> Model:
    from training.dataset import read
    from training.pipeline import Params, fit

    model = fit(read([STATEMENTS]), Params(level_bits=10, role_bits=10), seed=0)
    return Model(model.level, model.roles, model.manifest | {"version": "tiny"})


@pytest.fixture(scope="module")
def saved(fitted, tmp_path_factory) -> Path:
    return save(fitted, tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    return shutil.copytree(saved, tmp_path / "model")


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest."""
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    change(manifest)
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))


def replace(folder: Path, content: bytes) -> None:
    """Put another model file in, with the manifest to match, as one who means harm would."""
    (folder / MODEL_FILE).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    edit(folder, lambda manifest: manifest.update(sha256=digest, bytes=len(content)))


def refuses(folder: Path, error: type[ArtifactError], *says: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        load(folder)
    assert caught.type is error
    known = error in (ArtifactMissing, ArtifactTampered, ArtifactUntrusted)
    for part in ("expected" if known else "", *says):
        assert part in str(caught.value)
    assert str(folder) in str(caught.value)


def test_saved_and_loaded_scores_the_same(fitted, saved):
    texts = [json.loads(line)["text"] for line in STATEMENTS.read_text().splitlines()]
    before, after = Scorer(fitted).score_lines(texts), Scorer(load(saved)).score_lines(texts)
    assert before.equals(after)
    assert before["level"].nunique() > 1
    assert set(after["model"]) == {"tiny"}


def test_the_manifest_tells_what_is_in_the_folder(fitted, saved):
    manifest = load(saved).manifest
    content = (saved / MODEL_FILE).read_bytes()
    assert manifest["sha256"] == hashlib.sha256(content).hexdigest()
    assert manifest["bytes"] == len(content)
    assert manifest["libraries"] == artifact.libraries()
    assert manifest["trusted_types"] == sorted(artifact.TRUSTED)
    assert fitted.manifest.items() <= manifest.items()
    assert sorted(path.name for path in saved.iterdir()) == [MANIFEST_FILE, MODEL_FILE]


def test_saving_again_replaces_the_model(fitted, folder):
    save(Model(fitted.level, fitted.roles, fitted.manifest | {"version": "next"}), folder)
    assert load(folder).manifest["version"] == "next"
    assert sorted(path.name for path in folder.iterdir()) == [MANIFEST_FILE, MODEL_FILE]


def test_no_folder(tmp_path):
    refuses(tmp_path / "nowhere", ArtifactMissing, MANIFEST_FILE, "give the folder of one")


@pytest.mark.parametrize("name", [MODEL_FILE, MANIFEST_FILE])
def test_a_file_is_missing(folder, name):
    (folder / name).unlink()
    refuses(folder, ArtifactMissing, name, "give the folder of one")


@pytest.mark.parametrize("place", [0, 0.5, 0.999])
def test_one_bit_was_flipped(folder, place):
    content = bytearray((folder / MODEL_FILE).read_bytes())
    content[int(place * len(content))] ^= 1
    (folder / MODEL_FILE).write_bytes(content)
    refuses(folder, ArtifactTampered, "SHA-256", "get it again")


@pytest.mark.parametrize("left", [0, 1_000, -1])
def test_the_file_was_cut_short(folder, left):
    content = (folder / MODEL_FILE).read_bytes()
    (folder / MODEL_FILE).write_bytes(content[:left])
    refuses(folder, ArtifactTruncated, f"{len(content):,} bytes", "copy it again")


def test_something_was_added_to_the_file(folder):
    with (folder / MODEL_FILE).open("ab") as file:
        file.write(b"x")
    refuses(folder, ArtifactTampered, "SHA-256")


def test_a_type_that_is_not_on_the_list(fitted, folder):
    foreign = {"level": FunctionTransformer(stranger), "roles": fitted.roles.pipeline}
    replace(folder, skops.io.dumps(foreign))
    refuses(folder, ArtifactUntrusted, "stranger", "was not loaded", "this package's training")


def test_a_model_with_weights_of_another_shape(fitted, folder):
    level = copy.deepcopy(fitted.level.pipeline)
    level[-1].coef_ = level[-1].coef_[:, :-1]
    replace(folder, skops.io.dumps({"level": level, "roles": fitted.roles.pipeline}))
    refuses(folder, ArtifactTampered, MODEL_FILE, "coef_", "expected the shape (4, 1024)")


def test_the_pipelines_of_a_loaded_model_are_those_that_were_saved(
    fitted, saved, folder, monkeypatch, tmp_path
):
    monkeypatch.chdir(folder.parent)
    model = load(Path(folder.name))
    monkeypatch.chdir(saved)
    assert model.level.pipeline is model.level.pipeline
    assert np.array_equal(model.level.pipeline[-1].coef_, fitted.level.coef)
    again = save(model, tmp_path / "again")
    assert np.array_equal(load(again).roles.coef, fitted.roles.coef)


def test_pipelines_of_a_file_that_was_changed_since_are_not_built(folder):
    model = load(folder)
    with (folder / MODEL_FILE).open("ab") as file:
        file.write(b"x")
    with pytest.raises(ArtifactTampered, match="SHA-256"):
        model.level.pipeline  # noqa: B018


def test_the_manifest_cannot_vouch_for_a_type(fitted, folder):
    replace(folder, skops.io.dumps({"level": FunctionTransformer(stranger), "roles": 0}))
    name = f"{stranger.__module__}.stranger"
    edit(folder, lambda manifest: manifest["trusted_types"].append(name))
    refuses(folder, ArtifactUntrusted, "stranger")


@pytest.mark.parametrize(
    "content", [b"not a zip file", skops.io.dumps([1, 2]), skops.io.dumps({"level": np.zeros(3)})]
)
def test_the_file_is_no_model(folder, content):
    replace(folder, content)
    refuses(folder, ArtifactTampered, MODEL_FILE)


@pytest.mark.parametrize("name", ["scikit-learn", "skops"])
def test_another_library_version(folder, name):
    edit(folder, lambda manifest: manifest["libraries"].update({name: "0.1.2"}))
    refuses(folder, ArtifactVersion, f"{name} 0.1.2", f"Install {name}==0.1.2")


def test_a_library_without_a_version(folder):
    edit(folder, lambda manifest: manifest["libraries"].pop("skops"))
    refuses(folder, ArtifactVersion, "skops")


def test_a_bugfix_release_of_a_library_will_do(folder):
    major, minor, *_ = artifact.libraries()["scikit-learn"].split(".")
    libraries = {"scikit-learn": f"{major}.{minor}.99"}
    edit(folder, lambda manifest: manifest["libraries"].update(libraries))
    assert load(folder).manifest["version"] == "tiny"


def test_another_codebook(folder):
    edit(folder, lambda manifest: manifest.update(codebook="0"))
    refuses(folder, ArtifactVersion, "codebook 0", "Train the model again")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '"sha256"', "{}", "\x00", "é"])
def test_the_manifest_is_none(folder, text):
    (folder / MANIFEST_FILE).write_bytes(text.encode("latin-1"))
    refuses(folder, ArtifactTampered, MANIFEST_FILE, "Get the model folder again")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("bytes", "many"),
        ("libraries", []),
        ("libraries", None),
        ("review_below", "low"),
        ("dyad_at_least", None),
    ],
)
def test_the_manifest_holds_another_kind_of_value(folder, key, value):
    edit(folder, lambda manifest: manifest.update({key: value}))
    refuses(folder, ArtifactTampered, MANIFEST_FILE, "Get the model folder again")


@pytest.mark.parametrize(
    "key", ["sha256", "bytes", "libraries", "codebook", "version", "review_below", "dyad_at_least"]
)
def test_the_manifest_lacks_a_key(folder, key):
    edit(folder, lambda manifest: manifest.pop(key))
    refuses(folder, ArtifactTampered, MANIFEST_FILE, key)


def test_the_shipped_model_loads_and_is_the_champion():
    folder = shipped_folder()
    assert (folder.parent / artifact.CHAMPION_FILE).read_text().strip() == folder.name
    assert load(folder).manifest["version"] == folder.name


def test_no_champion_no_model(monkeypatch, tmp_path):
    monkeypatch.setattr(artifact, "__file__", str(tmp_path / "scoring" / "artifact.py"))
    with pytest.raises(ArtifactMissing, match="Install the package again"):
        shipped_folder()


def test_every_error_is_one_that_the_command_line_prints():
    assert issubclass(ArtifactError, TensionError)


def test_nothing_in_scoring_unpickles():
    unpicklers = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "shelve", "marshal"}
    calls = {"read_pickle", "to_pickle"}
    for path in Path(scoring.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not {name.name.split(".")[0] for name in node.names} & unpicklers, path
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in unpicklers, path
            elif isinstance(node, ast.Attribute):
                assert node.attr not in calls, path
                assert ast.unparse(node) not in ("joblib.load", "joblib.dump"), path


@pytest.fixture
def versions(tmp_path, fitted) -> Path:
    """Two versions with the same encoder, which is but a few bytes: it is carried, not asked."""
    files = {artifact.ENCODER_FILE: b"an encoder", artifact.TOKENIZER_FILE: b"a tokenizer"}
    for name, part in files.items():
        (tmp_path / name).write_bytes(part)
    encoder, tokenizer = (tmp_path / name for name in files)
    said = {"review_below": 0.5, "dyad_at_least": 0.5}
    accurate = {"accurate": {"review_below": 0.5, "doubt_below": 0.5}}
    heads = artifact.Heads(small_head(4), small_head(2), encoder, tokenizer)
    for name in ("1", "2"):
        model = Model(fitted.level, fitted.roles, {"version": name} | said | accurate, heads)
        artifact.save(model, tmp_path / "models" / name)
    return tmp_path / "models"


def test_a_version_shares_the_encoder_of_an_earlier_one(versions, tmp_path):
    before = artifact.encoder_files(load(versions / "2").accurate)
    assert artifact.share_encoder(versions / "2") == "1"
    assert not (versions / "2" / artifact.ENCODER_FILE).exists()
    assert artifact.encoder_files(load(versions / "2").accurate) == before
    assert artifact.share_encoder(versions / "1") is None, "or both would be gone"
    copy = artifact.whole_copy(versions / "2", tmp_path / "elsewhere")
    shutil.rmtree(versions / "1")
    assert artifact.encoder_files(load(copy).accurate) == before
    with pytest.raises(ArtifactMissing, match=r"1.encoder\.onnx"):
        artifact.encoder_files(load(versions / "2").accurate)


def test_an_encoder_is_shared_from_where_a_version_is_made(versions, tmp_path):
    made = tmp_path / "stage"
    made.mkdir()
    (versions / "2").rename(made / "2-3")
    (versions / "1").rename(versions / ".half")  # what a killed process left is no version
    assert artifact.share_encoder(made / "2-3", versions) is None
    (versions / ".half").rename(versions / "1")
    before = artifact.encoder_files(load(made / "2-3").accurate)
    assert artifact.share_encoder(made / "2-3", versions) == "1"
    (made / "2-3").rename(versions / "3")
    assert not (versions / "3" / artifact.ENCODER_FILE).exists()
    assert artifact.encoder_files(load(versions / "3").accurate) == before


def test_another_encoder_is_not_shared(versions):
    with (versions / "1" / artifact.TOKENIZER_FILE).open("ab") as file:
        file.write(b" ")
    assert artifact.share_encoder(versions / "2") is None
    assert (versions / "2" / artifact.ENCODER_FILE).exists()


@pytest.mark.parametrize("home", ["../1", "/1", ".hidden", ""])
def test_a_shared_encoder_is_named_by_a_version_and_no_path(versions, home):
    edit(
        versions / "2", lambda m: m["encoder"][artifact.ENCODER_FILE].update({"shared_with": home})
    )
    refuses(versions / "2", ArtifactTampered, "version")
