"""The registry of MLflow: versions of the model, and the aliases ``champion`` and ``challenger``.

A version is a model folder, logged as it is. ``models/CHAMPION`` says what ships (`training.promote`); the alias
follows it, so that whoever loads ``models:/tension-escalation@champion`` gets the same model.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from scoring.artifact import MANIFEST_FILE, MODEL_FILE, read_manifest
from scoring.errors import UsageError
from training.served import ARTIFACT
from training.tracking.runs import MODEL_TAG, open_run
from training.tracking.store import (
    TrackingError,
    open_store,
    shown_uri,
    sqlite_file,
    store_errors,
    store_uri,
)

import mlflow  # isort: skip - behind runs, which sets the environment that it reads
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

REGISTERED: Final = "tension-escalation"
"""The registered model without ``TENSION_REGISTERED_MODEL``."""

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
ALIASES: Final = (CHAMPION, CHALLENGER)

_RUN_ID: Final = re.compile(r"[0-9a-f]{32}")
_MODEL_URI: Final = re.compile(r"models:/([^/@]+(/\d+|@[\w-]+)|m-[0-9a-f]{32})")
_ABSENT: Final = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")


class RegistryError(TrackingError):
    """The registry, or the store, lacks what was asked for."""


class Version(NamedTuple):
    """A registered version.

    Parameters
    ----------
    name : str
        The registered model.
    number : str
        MLflow's number of it.
    version : str
        Version of the model, as in its manifest.
    digest : str
        `content_digest` of its manifest.
    previous : str or None
        Version that was champion before it.
    run : str or None
        MLflow run that it is from.
    aliases : tuple of str
        Those that point to it.
    """

    name: str
    number: str
    version: str
    digest: str
    previous: str | None
    run: str | None
    aliases: tuple[str, ...]


def name() -> str:
    """Return the name of the registered model: ``TENSION_REGISTERED_MODEL``, or `REGISTERED`."""
    return os.environ.get("TENSION_REGISTERED_MODEL") or REGISTERED


def address() -> str:
    """Return where the registry is: a file by its whole path, the same wherever a later command is started."""
    file = sqlite_file(store_uri())
    return str(file.resolve()) if file else store_uri()


def content_digest(manifest: Mapping[str, Any]) -> str:
    """Digest what a model says: its weights and thresholds, not its version or where it comes from.

    Parameters
    ----------
    manifest : mapping
        ``manifest.json`` of a model folder.

    Returns
    -------
    str
        16 hex digits.
    """
    encoder = {
        file: part["sha256"]
        for which in ("encoder", "scout")
        for file, part in manifest.get(which, {}).items()
    }
    names = ("sha256", "review_below", "dyad_at_least", "accurate")
    content = {key: manifest.get(key) for key in names} | {"encoder": encoder}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def versions() -> list[Version]:
    """List the registered versions, the oldest first.

    Raises
    ------
    RegistryError
        If there is no store yet. A registry without the model is an empty list.
    training.tracking.TrackingError
        If the store does not answer.
    """
    with _client() as client:
        return _versions(client)


def aliased(alias: str) -> Version | None:
    """Return the version that an alias points to; None without one, without the model, without a store.

    Raises
    ------
    training.tracking.TrackingError
        If the store does not answer.
    """
    if _no_store():
        return None
    return next((version for version in versions() if alias in version.aliases), None)


def register(folder: Path, alias: str | None = None) -> Version:
    """Register a model folder; one whose content is registered under its version is not registered again.

    Parameters
    ----------
    folder : Path
        Of the model.
    alias : str, optional
        One of `ALIASES`, moved to it.

    Returns
    -------
    Version

    Raises
    ------
    scoring.errors.ArtifactMissing, scoring.errors.ArtifactTampered
        If it is no model folder.
    training.tracking.TrackingError
        If the store does not answer or cannot be written.
    """
    manifest = read_manifest(folder)
    tags = {"version": str(manifest["version"]), "digest": content_digest(manifest)}
    with _client(make=True) as client:
        known = [
            found
            for found in _versions(client)
            if (found.version, found.digest) == tuple(tags.values())
        ]
        number = known[-1].number if known else _create(client, folder, tags)
    if alias is not None:
        point(alias, number)
    return _numbered(number)


def _create(client: Any, folder: Path, tags: dict[str, str]) -> str:
    """Log a folder and make a version of it."""
    source, run = _log(folder, tags["version"])
    with _present_is_fine():
        client.create_registered_model(name())
    logged = source.removeprefix("models:/") if source.startswith("models:/m-") else None
    made = client.create_model_version(
        name(), source, run, tags=tags, await_creation_for=0, model_id=logged
    )
    return str(made.version)


def _log(folder: Path, version: str) -> tuple[str, str]:
    """Log a model folder as a served model, in a run of its own: where it is, and the run."""
    with open_run(f"register {version}") as run:
        run.log_tags({"version": version})
        return run.log_served(folder), run.id


def point(alias: str, number: str) -> None:
    """Move an alias to a version, by its number.

    Raises
    ------
    UsageError
        If the alias is not one of `ALIASES`.
    training.tracking.TrackingError
        If there is no such version, or the store does not answer.
    """
    if alias not in ALIASES:
        raise UsageError(f"expected an alias of {', '.join(ALIASES)}, found {alias!r}.")
    with _client() as client:
        client.set_registered_model_alias(name(), alias, number)


def crown(number: str, previous: str | None) -> None:
    """Make a version the champion; it is no challenger any more. Doing it twice is doing it once.

    Parameters
    ----------
    number : str
        MLflow's number of the version.
    previous : str or None
        Version of the model that was champion before it, for `training.promote.rollback`; None leaves what is kept.
    """
    with _client() as client:
        if previous is not None:
            client.set_model_version_tag(name(), number, "previous", previous)
        client.set_registered_model_alias(name(), CHAMPION, number)
        challenger = client.get_registered_model(name()).aliases.get(CHALLENGER)
        if str(challenger) == number:
            client.delete_registered_model_alias(name(), CHALLENGER)


def fetch(reference: str, to: Path) -> Path:
    """Download the model folder of a run, of a registered version, or of a served model.

    Parameters
    ----------
    reference : str
        Id of a run (``runs:/ID`` too), ``models:/NAME@ALIAS``, ``models:/NAME/NUMBER`` or ``models:/m-ID``.
    to : Path
        Folder to download into.

    Returns
    -------
    Path
        The model folder in it.

    Raises
    ------
    RegistryError
        If there is no such run or version, or it has no model.
    training.tracking.TrackingError
        If the store does not answer.
    """
    run = reference.removeprefix("runs:/").partition("/")[0]
    if _RUN_ID.fullmatch(run):
        return _download(_served_by(run), to, f"run {run}")
    if not _MODEL_URI.fullmatch(reference):
        raise UsageError(
            f"expected the folder of a model, the id of an MLflow run, models:/NAME@ALIAS or models:/NAME/NUMBER, "
            f"found {reference!r}, and no folder of that name."
        )
    return _download(reference, to, reference)


def _served_by(run: str) -> str:
    """Return the URI of the served model that a run left."""
    with _client() as client:
        try:
            found = client.get_run(run)
        except MlflowException as error:
            if not _is_absent(error):
                raise
            raise RegistryError(
                f"{shown_uri()}: expected a run {run}, found none. See 'mlflow ui' for the runs of this store, or set "
                "MLFLOW_TRACKING_URI to the store that has it."
            ) from error
    if MODEL_TAG not in found.data.tags:
        raise RegistryError(
            f"run {run} ({found.info.status.lower()}): expected the model that a finished run leaves, found "
            "none. The run died before it was saved, or was one with --no-save: train again."
        )
    return str(found.data.tags[MODEL_TAG])


def _download(uri: str, to: Path, of: str) -> Path:
    """Download a served model; return the model folder in it."""
    to.mkdir(parents=True, exist_ok=True)
    with _client():
        try:
            mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(to))
        except MlflowException as error:
            if not _is_absent(error) and "alias" not in str(error):
                raise
            raise RegistryError(_lacks(uri, error)) from error
    folder = to / "artifacts" / ARTIFACT
    if not _is_model(folder):
        raise RegistryError(
            f"{of}: expected a model of ours ({MODEL_FILE} and {MANIFEST_FILE} in artifacts/{ARTIFACT}), found none. "
            "Register the model folder again: tension-train register."
        )
    return folder


def _is_model(folder: Path) -> bool:
    return all((folder / name).is_file() for name in (MODEL_FILE, MANIFEST_FILE))


def _lacks(reference: str, error: MlflowException) -> str:
    return (
        f"{shown_uri()}: expected {reference} in the registry, found none: {error.message.partition(chr(10))[0]} "
        "See 'tension-train champion' for what it holds; 'tension-train register FOLDER' adds a model."
    )


def _versions(client: Any) -> list[Version]:
    aliases = _aliases(client)
    found = client.search_model_versions(f"name = '{name()}'", max_results=10_000)
    return [_version(version, aliases) for version in sorted(found, key=lambda v: int(v.version))]


def _numbered(number: str) -> Version:
    with _client() as client:
        return _version(client.get_model_version(name(), number), _aliases(client))


def _aliases(client: Any) -> dict[str, str]:
    """Return which number each alias points to."""
    try:
        return {
            alias: str(number)
            for alias, number in client.get_registered_model(name()).aliases.items()
        }
    except MlflowException as error:
        if _is_absent(error):
            return {}
        raise


def _version(found: ModelVersion, aliases: Mapping[str, str]) -> Version:
    number, tags = str(found.version), dict(found.tags)
    return Version(
        str(found.name),
        number,
        tags.get("version", "?"),
        tags.get("digest", "?"),
        tags.get("previous"),
        found.run_id or None,
        tuple(sorted(alias for alias, at in aliases.items() if at == number)),
    )


def _no_store() -> bool:
    file = sqlite_file(store_uri())
    return file is not None and file.parent.is_dir() and not file.exists()


@contextmanager
def _client(make: bool = False) -> Iterator[Any]:
    """Open the registry; what MLflow cannot do becomes one message. `make` makes a store where there is none."""
    if not make and _no_store():
        raise RegistryError(
            f"{shown_uri()}: expected an MLflow store, found none. Start where mlflow.db is, set MLFLOW_TRACKING_URI, "
            "or make one: tension-train register FOLDER."
        )
    uri = open_store()
    with store_errors():
        yield mlflow.MlflowClient(uri)


@contextmanager
def _present_is_fine() -> Iterator[None]:
    try:
        yield
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"):
            raise


def _is_absent(error: MlflowException) -> bool:
    return error.error_code in _ABSENT
