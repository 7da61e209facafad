"""The shipped model: fitted pipelines, an encoder and a manifest in one folder, checked before it is loaded.

Nothing is unpickled: the pipelines are stored by skops, and a file is read only after its size, SHA-256,
library versions, codebook version and the exact list of types that it holds have been checked. Scoring takes the
weights out of it; the pipelines themselves are built only for who asks (`Linear.pipeline`). A model without the
accurate tier has no encoder.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from scoring.errors import (
    ArtifactMissing,
    ArtifactTampered,
    ArtifactTruncated,
    ArtifactUntrusted,
    ArtifactVersion,
)
from scoring.fingerprint import fingerprint
from scoring.levels import LEVELS, codebook
from scoring.linear import Dense, Hashed
from scoring.stored import Stored

MODEL_FILE: Final = "model.skops"
MANIFEST_FILE: Final = "manifest.json"
ENCODER_FILE: Final = "encoder.onnx"
TOKENIZER_FILE: Final = "tokenizer.json"
CHAMPION_FILE: Final = "CHAMPION"
"""Beside the model folders: names the version that is shipped."""

TRUSTED: Final[frozenset[str]] = frozenset({"scoring.features.statement_features"})
"""Every type in a model file that skops does not trust by itself; no other is ever loaded."""

_KNOWN: Final = TRUSTED | {
    "builtins.dict",
    "builtins.list",
    "builtins.slice",
    "builtins.str",
    "builtins.tuple",
    "numpy.float64",
    "numpy.ndarray",
    "sklearn.compose._column_transformer.ColumnTransformer",
    "sklearn.feature_extraction._hash.FeatureHasher",
    "sklearn.feature_extraction.text.HashingVectorizer",
    "sklearn.feature_extraction.text.TfidfTransformer",
    "sklearn.linear_model._logistic.LogisticRegression",
    "sklearn.pipeline.Pipeline",
    "sklearn.preprocessing._data.StandardScaler",
}
"""Every type in a model file: a file that names another is refused, though reading it builds none."""

SHARED_WITH: Final = "shared_with"
"""In the manifest, of a file of the encoder: the version beside this one in whose folder it lies."""

_LIBRARIES: Final = ("scikit-learn", "skops")
ENCODERS: Final = {
    "encoder": (ENCODER_FILE, TOKENIZER_FILE),
    "scout": (f"scout/{ENCODER_FILE}", f"scout/{TOKENIZER_FILE}"),
}
"""The files of each encoder that a model may have, by its name in the manifest."""

_PREFIX: Final = {"encoder": "accurate", "scout": "scout"}  # of its heads in the model file


@dataclass(frozen=True)
class Heads:
    """What makes probabilities of what an encoder says, and the encoder.

    Parameters
    ----------
    level : scoring.linear.Dense
        `scoring.tiers.level_features` in, probabilities of the four levels out.
    roles : scoring.linear.Dense
        `scoring.tiers.role_features` in, probability of being a dyad out.
    encoder, tokenizer : Path
        Files of the encoder; `encoder_files` reads them, once the accurate tier is asked for.
    expected : tuple of dict, optional
        Of a model that was loaded: ``bytes`` and ``sha256`` of the two files.
    """

    level: Dense
    roles: Dense
    encoder: Path
    tokenizer: Path
    expected: tuple[dict[str, Any], dict[str, Any]] | None = None

    @property
    def files(self) -> tuple[Path, Path]:
        """Give the two files of the encoder."""
        return self.encoder, self.tokenizer


@dataclass(frozen=True)
class Model:
    """A loaded model.

    Parameters
    ----------
    level : scoring.linear.Hashed
        Features of masked sentences (`scoring.features.statement_features`) in, probabilities of the four levels out.
    roles : scoring.linear.Hashed
        Features of candidate dyads in, probability of being one out.
    manifest : dict
        ``version``, ``review_below``, ``dyad_at_least`` and where the model comes from; ``accurate`` holds the
        ``review_below`` and ``doubt_below`` of the accurate tier.
    accurate : Heads, optional
        Of a model that has an accurate tier.
    scout : Heads, optional
        Of a model the accurate tier of which asks a small encoder before that one.
    """

    level: Hashed
    roles: Hashed
    manifest: dict[str, Any]
    accurate: Heads | None = None
    scout: Heads | None = None

    @property
    def encoders(self) -> dict[str, Heads]:
        """Give the encoders that the model has, by their names in the manifest."""
        both = {"encoder": self.accurate, "scout": self.scout}
        return {name: heads for name, heads in both.items() if heads is not None}


def shipped_folder() -> Path:
    """Find the shipped model: ``models/`` in the installed package, or beside it in a checkout.

    Returns
    -------
    Path
        The folder of the version that ``models/CHAMPION`` names.

    Raises
    ------
    ArtifactMissing
        If there is no such file.
    """
    package = Path(__file__).parent
    for home in (package / "models", package.parent / "models"):
        if (home / CHAMPION_FILE).is_file():
            return home / (home / CHAMPION_FILE).read_text(encoding="utf-8").strip()
    raise ArtifactMissing(
        f"{package}: expected the shipped model in models/, named by models/{CHAMPION_FILE}, found none. "
        "Install the package again, or give the folder of a model."
    )


def libraries() -> dict[str, str]:
    """Return the installed versions of the libraries that a model file depends on."""
    return {name: version(name) for name in _LIBRARIES}


def save(model: Model, folder: Path) -> Path:
    """Write a model folder, whole or not at all.

    Parameters
    ----------
    model : Model
        Its manifest holds at least ``version``, ``review_below`` and ``dyad_at_least``; SHA-256, size, library
        versions, codebook version and trusted types are added here.
    folder : Path
        Where ``model.skops``, ``manifest.json`` and the encoders' files go; made if need be.

    Returns
    -------
    Path
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pipelines = {"level": model.level.pipeline, "roles": model.roles.pipeline}
    encoders: dict[str, dict[str, Any]] = {}
    for which, heads in model.encoders.items():
        prefix = _PREFIX[which]
        pipelines |= {
            f"{prefix}_level": heads.level.pipeline,
            f"{prefix}_roles": heads.roles.pipeline,
        }
        encoders[which] = {}
        for name, part in zip(ENCODERS[which], encoder_files(heads), strict=True):
            said = {"sha256": hashlib.sha256(part).hexdigest(), "bytes": len(part)}
            encoders[which][name] = said
            _write(folder / name, part)
    import skops.io  # takes a second and more, with scikit-learn

    content = skops.io.dumps(pipelines, compression=zipfile.ZIP_DEFLATED, compresslevel=6)
    manifest = (
        model.manifest
        | {
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
            "libraries": libraries(),
            "codebook": codebook()["version"],
            "features": fingerprint(),
            "trusted_types": sorted(TRUSTED),
        }
        | encoders
    )
    _write(folder / MODEL_FILE, content)
    _write(folder / MANIFEST_FILE, _manifest_bytes(manifest))
    return folder


def _manifest_bytes(manifest: dict[str, Any]) -> bytes:
    return (json.dumps(manifest, indent=2) + "\n").encode()


def _digest(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def encoder_files(heads: Heads) -> tuple[bytes, bytes]:
    """Read the files of an encoder; what is returned is what was checked.

    Parameters
    ----------
    heads : Heads
        Of a model that was loaded, or freshly fitted.

    Returns
    -------
    encoder, tokenizer : bytes

    Raises
    ------
    ArtifactMissing, ArtifactTruncated, ArtifactTampered
        If a file is not the one that the manifest names.
    """
    if heads.expected is None:
        encoder, tokenizer = (_needed(path).read_bytes() for path in heads.files)
    else:
        encoder, tokenizer = map(_checked_content, heads.files, heads.expected)
    return encoder, tokenizer


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    Path(name).chmod(0o644)
    Path(name).replace(path)


def load(folder: Path) -> Model:
    """Load a model folder after checking it.

    Parameters
    ----------
    folder : Path
        Holds ``model.skops`` and ``manifest.json``.

    Returns
    -------
    Model

    Raises
    ------
    ArtifactMissing, ArtifactTruncated, ArtifactTampered, ArtifactVersion, ArtifactUntrusted
        Each says what was expected, what was found and what to do.
    """
    manifest = read_manifest(folder)
    content = _checked_content(folder / MODEL_FILE, manifest)
    _check_versions(folder, manifest)
    with _as_saved(folder):
        stored = Stored(content)
        if foreign := sorted(stored.types - _KNOWN):
            raise ArtifactUntrusted(
                f"{folder / MODEL_FILE}: expected the types of a model as this package saves it, "
                f"found others, which are not trusted: {', '.join(foreign)}. "
                "It was not loaded. Use a model that this package's training wrote."
            )
        found, reference = stored.read(), _Pipelines(folder.absolute(), manifest)
        level, roles = (
            Hashed.from_steps(found[name]["steps"], partial(reference, name))
            for name in ("level", "roles")
        )
        encoders = (_heads(folder, name, manifest, found, reference) for name in ENCODERS)
        return Model(level, roles, manifest, *encoders)


@contextmanager
def _as_saved(folder: Path) -> Iterator[None]:
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactTampered(
            f"{folder / MODEL_FILE}: expected a model as this package saves it, "
            f"found something else ({error}). Get the model folder again."
        ) from error


class _Pipelines:
    """The pipelines of a model file, as scikit-learn knows them: built when one is first asked for.

    Parameters
    ----------
    folder : Path
        A model folder.
    manifest : dict
        Its manifest, of when it was loaded.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self._folder, self._manifest = folder, manifest
        self._built: dict[str, Any] = {}

    def __call__(self, name: str) -> Any:
        """Give a pipeline; the file is checked again.

        Raises
        ------
        ArtifactMissing, ArtifactTruncated, ArtifactTampered
            If it is not there any more, or not what it was, or skops cannot build it.
        """
        if not self._built:
            import skops.io

            content = _checked_content(self._folder / MODEL_FILE, self._manifest)
            with _as_saved(self._folder):
                self._built = skops.io.loads(content, trusted=sorted(TRUSTED))
        return self._built[name]


def _heads(
    folder: Path, which: str, manifest: dict[str, Any], found: dict[str, Any], reference: _Pipelines
) -> Heads | None:
    if which not in manifest:
        return None
    level, roles = (
        Dense.from_steps(found[name]["steps"], partial(reference, name), outputs)
        for name, outputs in (
            (f"{_PREFIX[which]}_level", len(LEVELS)),
            (f"{_PREFIX[which]}_roles", 1),
        )
    )
    encoder, tokenizer = (_encoder_file(folder, manifest[which], name) for name in ENCODERS[which])
    expected = (manifest[which][name] for name in ENCODERS[which])
    return Heads(level, roles, encoder, tokenizer, tuple(expected))


def _encoder_file(folder: Path, parts: dict[str, dict[str, Any]], name: str) -> Path:
    """Find a file of an encoder: in the model's folder, else in that of the version it is shared with."""
    home = parts[name].get(SHARED_WITH)
    own = folder / name
    return own if home is None or own.is_file() else folder.absolute().parent / home / name


def share_encoder(folder: Path, versions: Path | None = None) -> str | None:
    """Drop each encoder of a model folder that another version has too; the manifest then names that.

    An encoder is up to a hundred megabytes, and versions often differ in all else only.

    Parameters
    ----------
    folder : Path
        A model folder.
    versions : Path, optional
        Folder of the versions that it is to lie among; by default the one that it lies in.

    Returns
    -------
    str or None
        The version whose files serve both, or two, if each encoder is of another one; None if there is none.

    Raises
    ------
    ArtifactMissing, ArtifactTampered
        If `folder` is not that of a model.
    """
    manifest, own = read_manifest(folder), folder.absolute()
    among = own.parent if versions is None else versions.absolute()
    homes = []
    for which, names in ENCODERS.items():
        if which not in manifest or (home := _same(own, among, manifest[which])) is None:
            continue
        for name in names:
            manifest[which][name][SHARED_WITH] = home
        _write(folder / MANIFEST_FILE, _manifest_bytes(manifest))
        for name in names:
            (folder / name).unlink(missing_ok=True)
        homes.append(home)
    return ", ".join(dict.fromkeys(homes)) or None


def _same(own: Path, among: Path, parts: dict[str, dict[str, Any]]) -> str | None:
    """Find a version, not that of `own`, whose folder holds the same files."""
    for other in sorted(among.glob(f"[!.]*/{MODEL_FILE}")):
        if other.parent != own and all(
            _digest(other.parent / name) == part["sha256"] for name, part in parts.items()
        ):
            return other.parent.name
    return None


def whole_copy(folder: Path, to: Path) -> Path:
    """Copy a model folder with all that it needs, shared encoders included.

    Parameters
    ----------
    folder : Path
        A model folder.
    to : Path
        The copy; it must not be there yet.

    Returns
    -------
    Path
        `to`.

    Raises
    ------
    ArtifactMissing, ArtifactTampered
        If `folder` is not that of a model, or the encoder that it shares is not there.
    """
    manifest = read_manifest(folder)
    shutil.copytree(folder, to)
    for which, names in ENCODERS.items():
        for name in names if which in manifest else ():
            if not (to / name).is_file():
                (to / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(_needed(_encoder_file(folder, manifest[which], name)), to / name)
    return to


def _needed(path: Path) -> Path:
    if not path.is_file():
        raise ArtifactMissing(
            f"{path}: expected a file of the model, found none. "
            f"A model folder holds at least {MODEL_FILE} and {MANIFEST_FILE}; give the folder of one."
        )
    return path


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read what a model folder says of itself; the model is not looked at.

    Parameters
    ----------
    folder : Path
        A model folder.

    Returns
    -------
    dict
        As in `Model`, and what `save` adds.

    Raises
    ------
    ArtifactMissing, ArtifactTampered
        If `folder` is not that of a model.
    """
    path = _needed(folder / MANIFEST_FILE)
    _needed(folder / MODEL_FILE)
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        manifest["sha256"], manifest["codebook"], manifest["version"], manifest["features"]
        manifest["bytes"] = int(manifest["bytes"])
        manifest["libraries"].items()
        float(manifest["review_below"]), float(manifest["dyad_at_least"])
        for which, names in ENCODERS.items():
            if which in manifest:
                float(manifest["accurate"]["review_below"])
                float(manifest["accurate"]["doubt_below"])
                manifest[which] = {name: _described(**manifest[which][name]) for name in names}
        if "scout" in manifest:
            manifest["encoder"], float(manifest["accurate"]["scout_doubt_below"])
            float(manifest["accurate"]["scout_role_doubt_below"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactTampered(
            f"{path}: expected the manifest of a model, found {error!r}. Get the model folder again."
        ) from error
    return dict(manifest)


def _described(bytes: int, sha256: str, shared_with: str | None = None) -> dict[str, Any]:
    """Check what a manifest says of a file; a version is the name of a folder beside, and no path."""
    if shared_with is not None and (
        shared_with != Path(shared_with).name or shared_with.startswith(".") or not shared_with
    ):
        raise ValueError(f"{shared_with!r} as a version")
    home = {} if shared_with is None else {SHARED_WITH: shared_with}
    return {"bytes": int(bytes), "sha256": sha256} | home


def _checked_content(path: Path, expected: dict[str, Any]) -> bytes:
    content = _needed(path).read_bytes()
    if len(content) < expected["bytes"]:
        raise ArtifactTruncated(
            f"{path}: expected {expected['bytes']:,} bytes, found {len(content):,}. "
            "The file was cut short; copy it again."
        )
    digest = hashlib.sha256(content).hexdigest()
    if digest != expected["sha256"]:
        raise ArtifactTampered(
            f"{path}: expected SHA-256 {expected['sha256']}, found {digest}. "
            "The file was changed after it was saved and was not loaded; get it again."
        )
    return content


def _check_versions(folder: Path, manifest: dict[str, Any]) -> None:
    for name, here in libraries().items():
        saved = str(manifest["libraries"].get(name))
        if saved.split(".")[:2] != here.split(".")[:2]:
            raise ArtifactVersion(
                f"{folder}: saved under {name} {saved}, found {name} {here}. "
                f"Install {name}=={saved}, or train the model again."
            )
    if manifest["codebook"] != codebook()["version"]:
        raise ArtifactVersion(
            f"{folder}: trained under codebook {manifest['codebook']}, this package holds "
            f"codebook {codebook()['version']}. Train the model again, or install the release it came with."
        )
    if manifest["features"] != (here := fingerprint()):
        raise ArtifactVersion(
            f"{folder}: trained with features {manifest['features']}, this package makes features {here}. "
            "Train the model again, or install the release it came with."
        )
